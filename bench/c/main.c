/* The worker of the benchmark for libiscp: one program, one role a run.
 *
 *   iscp_c ROLE key=value ... */
#include "roles.h"

#include <iscp/iscp.h>

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

int main(int argc, char **argv) {
    static const struct {
        const char *name;
        void (*run)(const struct settings *settings);
    } roles[] = {
        {"pub", run_pub},   {"sub", run_sub},     {"ack", run_ack},     {"e2e", run_e2e},
        {"idle", run_idle}, {"start", run_start}, {"write", run_write},
    };
    const char *role = argc > 1 ? argv[1] : "";
    if (strcmp(role, "version") == 0) {
        printf("{\"version\":\"libiscp %s, C API\"}\n", iscp_version());
        return EXIT_SUCCESS;
    }
    for (size_t i = 0; i < sizeof roles / sizeof *roles; i++) {
        if (strcmp(role, roles[i].name) == 0) {
            struct settings settings = settings_read(argc, argv);
            roles[i].run(&settings);
            return EXIT_SUCCESS;
        }
    }
    fprintf(stderr, "not supported: role \"%s\"\n", role);
    return EXIT_UNSUPPORTED;
}
