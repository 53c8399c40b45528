/* What the harness asks for: WORKER ROLE key=value … bench/README.md lists roles and keys. */
#ifndef BENCH_COMMON_OPTIONS_H
#define BENCH_COMMON_OPTIONS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* How long a worker waits for an answer that does not come, seconds. */
#define ANSWER_LIMIT_S 60

struct options {
    const char *role;
    const char *url;
    const char *ca; /* certificate to trust, or NULL */
    const char *session;
    size_t payload;       /* bytes of a point */
    uint64_t points;      /* how many */
    unsigned ids;         /* data ids, used in turn */
    double rate;          /* points per second, 0: as fast as they are accepted */
    bool reliable;        /* qos= */
    bool json;            /* encoding= */
    unsigned compression; /* level, 0: none */
    bool immediate;       /* flush= */
    unsigned connections;
    double idle_s;
};

/* Reads the command line; what is wrong with it ends the program with a message that names the culprit. */
void options_parse(struct options *options, int argc, char **argv);

struct role {
    const char *name;
    void (*run)(const struct options *options);
};

/* Runs the role that is asked for; without a name is what follows the last of them. */
void run_role(const struct role *roles, const struct options *options);

#endif
