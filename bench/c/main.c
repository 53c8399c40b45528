/* The worker of the benchmark for libiscp: one program, one role a run.
 *
 *   iscp_c ROLE key=value ... */
#include "common/options.h"
#include "common/results.h"
#include "roles.h"

#include <iscp/iscp.h>

#include <stdio.h>

static const struct role roles[] = {
    {"pub", run_pub},   {"ack", run_ack},     {"e2e", run_e2e},     {"sub", run_sub},
    {"idle", run_idle}, {"start", run_start}, {"write", run_write}, {NULL, NULL},
};

int main(int argc, char **argv) {
    char version[64];
    snprintf(version, sizeof version, "libiscp %s, C API", iscp_version());
    answer_version(argc, argv, version);
    struct options options;
    options_parse(&options, argc, argv);
    run_role(roles, &options);
    return 0;
}
