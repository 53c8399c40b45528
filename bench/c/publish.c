/* As many points as the server takes: what they cost, and how fast they go. */
#include "client.h"
#include "measure.h"
#include "roles.h"

#include <stdio.h>
#include <stdlib.h>

static struct source *open_sources(const struct settings *settings) {
    struct source *sources = calloc((size_t)settings->connections, sizeof *sources);
    if (sources == NULL) {
        fprintf(stderr, "no memory for connections\n");
        exit(EXIT_FAILURE);
    }
    for (long i = 0; i < settings->connections; i++) {
        sources[i] = source_open(settings, settings->session);
    }
    return sources;
}

static void write_points(const struct settings *settings, const struct source *sources,
                         const uint8_t *payload) {
    long id = 0, source = 0;
    for (long i = 0; i < settings->points; i++) {
        const struct source *to = &sources[source];
        iscp_status_t status =
            iscp_upstream_write(to->upstream, to->ids[id], i * ELAPSED_NS, payload, settings->payload);
        if (status != ISCP_OK) {
            check("write", status, NULL);
        }
        if (++source == settings->connections) {
            source = 0;
            id = id + 1 == settings->ids ? 0 : id + 1;
        }
    }
}

void run_pub(const struct settings *settings) {
    struct source *sources = open_sources(settings);
    uint8_t *payload = payload_new(settings->payload);
    long open_kb = memory_kb("VmRSS");
    printf("ready\n");
    fflush(stdout);
    double cpu = cpu_s();
    int64_t start = now_ns();
    write_points(settings, sources, payload);
    for (long i = 0; i < settings->connections; i++) {
        source_flush(&sources[i]);
    }
    double wall = (double)(now_ns() - start) / 1e9;
    cpu = cpu_s() - cpu;
    for (long i = 0; i < settings->connections; i++) {
        source_close(&sources[i]);
    }
    printf(
        "{\"points\":%ld,\"wall_s\":%.9f,\"cpu_s\":%.6f,\"rss_kb_open\":%ld,\"rss_kb\":%ld,\"bytes\":%.0f}\n",
        settings->points, wall, cpu, open_kb, memory_kb("VmHWM"),
        (double)settings->points * (double)settings->payload);
    free(payload);
    free(sources);
}

void run_start(const struct settings *settings) {
    struct settings one = *settings;
    one.points = 1;
    one.immediate = true;
    one.ack_at_once = true;
    struct source source = source_open(&one, one.session);
    uint8_t *payload = payload_new(one.payload);
    write_points(&one, &source, payload);
    source_flush(&source);
    printf("{\"acked\":1}\n");
    fflush(stdout);
    /* The first acknowledged point is what is timed; a farewell is not. */
    _Exit(EXIT_SUCCESS);
}
