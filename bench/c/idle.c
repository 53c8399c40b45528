/* Connections that do nothing: what it costs to open one, and to have it. */
#include "client.h"
#include "common/results.h"
#include "roles.h"

#include <stdio.h>
#include <stdlib.h>

void run_idle(const struct options *options) {
    struct delivery delivery = {.immediate = options->immediate};
    struct idle idle = {0};
    for (unsigned i = 0; i < options->connections; i++) {
        char node[128];
        snprintf(node, sizeof node, "%s-%u", options->session, i);
        /* Stays open until the program ends. */
        source_open(options, node, delivery);
        if (i == 0) {
            idle_first_open(&idle);
        }
    }
    idle_all_open(&idle, options);
    /* Closing thousands of connections is not what is measured, and the server notices anyway. */
    _Exit(EXIT_SUCCESS);
}
