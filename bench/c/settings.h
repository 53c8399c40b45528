/* What the harness asks for: key=value on the command line. bench/README.md lists the keys. */
#ifndef BENCH_SETTINGS_H
#define BENCH_SETTINGS_H

#include <stdbool.h>
#include <stddef.h>

/* Exit status for a role or a value that this worker does not know. */
#define EXIT_UNSUPPORTED 64

struct settings {
    const char *url;
    const char *session;
    const char *encoding;
    const char *ca;
    size_t payload;
    long points;
    long ids;
    long connections;
    long compression;
    double rate;
    double idle_s;
    /* Payload bytes at which a chunk is sent, where a role wants it; 0 is the default policy. */
    size_t flush_size;
    bool reliable;
    bool immediate;
    /* Whether the server acknowledges every chunk at once; otherwise as often as by default. */
    bool ack_at_once;
};

/* Reads argv[2] and what follows; ends the program with EXIT_UNSUPPORTED on what it does not know. */
struct settings settings_read(int argc, char **argv);

#endif
