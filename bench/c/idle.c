/* Connections that do nothing: what it costs to open one, and to have it. */
#include "client.h"
#include "measure.h"
#include "roles.h"

#include <stdio.h>
#include <stdlib.h>
#include <time.h>

void run_idle(const struct settings *settings) {
    long count = settings->connections;
    if (count < 2) {
        fprintf(stderr, "not supported: fewer than 2 connections\n");
        exit(EXIT_UNSUPPORTED);
    }
    struct source *sources = calloc((size_t)count, sizeof *sources);
    if (sources == NULL) {
        fprintf(stderr, "no memory for connections\n");
        exit(EXIT_FAILURE);
    }
    long before_kb = 0;
    double open_s = 0;
    for (long i = 0; i < count; i++) {
        char node[128];
        snprintf(node, sizeof node, "%s-%ld", settings->session, i);
        sources[i] = source_open(settings, node);
        /* What the first takes, all share: the runtime, the code. */
        if (i == 0) {
            before_kb = memory_kb("VmRSS");
            open_s = cpu_s();
        }
    }
    open_s = cpu_s() - open_s;
    long after_kb = memory_kb("VmRSS");
    printf("ready {\"connections\":%ld,\"rss_kb_before\":%ld,\"rss_kb_after\":%ld,\"cpu_s_open\":%.6f}\n",
           count, before_kb, after_kb, open_s);
    fflush(stdout);
    double idle_cpu = cpu_s();
    int64_t start = now_ns();
    struct timespec rest = {.tv_sec = (time_t)settings->idle_s};
    rest.tv_nsec = (long)((settings->idle_s - (double)rest.tv_sec) * 1e9);
    nanosleep(&rest, NULL);
    idle_cpu = cpu_s() - idle_cpu;
    double idle_s = (double)(now_ns() - start) / 1e9;
    printf("{\"connections\":%ld,\"kb_each\":%.3f,\"cpu_ms_open_each\":%.6f,\"cpu_us_per_s_each\":%.3f}\n",
           count, (double)(after_kb - before_kb) / (double)(count - 1), open_s * 1e3 / (double)(count - 1),
           idle_cpu * 1e6 / idle_s / (double)count);
    fflush(stdout);
    /* Closing thousands of connections is not what is measured, and the server notices anyway. */
    _Exit(EXIT_SUCCESS);
}
