/* As many points as the server takes: what they cost, and how fast they go. */
#include "client.h"
#include "measure.h"
#include "roles.h"

#include <stdio.h>
#include <stdlib.h>

/* Payloads that DEFLATE finds neither empty nor random: a slow ramp, as sensors have, with noise in the last
 * bits. Several, so that not every point repeats the one before. */
#define VARIANTS 64

static uint8_t *make_payloads(size_t size) {
    uint8_t *payloads = malloc(VARIANTS * size);
    if (payloads == NULL) {
        fprintf(stderr, "no memory for payloads\n");
        exit(EXIT_FAILURE);
    }
    uint32_t noise = 1;
    for (size_t i = 0; i < VARIANTS * size; i++) {
        noise = noise * 1664525 + 1013904223;
        payloads[i] = (uint8_t)((i / 16) ^ (noise >> 30));
    }
    return payloads;
}

static struct source *open_sources(const struct settings *settings) {
    struct source *sources = calloc((size_t)settings->connections, sizeof *sources);
    if (sources == NULL) {
        fprintf(stderr, "no memory for connections\n");
        exit(EXIT_FAILURE);
    }
    for (long i = 0; i < settings->connections; i++) {
        char node[128];
        session_name(node, sizeof node, settings, i, settings->connections);
        sources[i] = source_open(settings, node);
    }
    return sources;
}

static void write_points(const struct settings *settings, const struct source *sources,
                         const uint8_t *payloads) {
    long id = 0, source = 0;
    for (long i = 0; i < settings->points; i++) {
        const struct source *to = &sources[source];
        iscp_status_t status =
            iscp_upstream_write(to->upstream, to->ids[id], i,
                                payloads + (size_t)(i % VARIANTS) * settings->payload, settings->payload);
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
    uint8_t *payloads = make_payloads(settings->payload);
    long open_kb = memory_kb("VmRSS");
    printf("ready\n");
    fflush(stdout);
    double cpu = cpu_s();
    int64_t start = now_ns();
    write_points(settings, sources, payloads);
    for (long i = 0; i < settings->connections; i++) {
        source_flush(&sources[i]);
    }
    double wall = (double)(now_ns() - start) / 1e9;
    cpu = cpu_s() - cpu;
    for (long i = 0; i < settings->connections; i++) {
        source_close(&sources[i]);
    }
    printf(
        "{\"points\":%ld,\"wall_s\":%.9f,\"cpu_s\":%.6f,\"rss_kb\":%ld,\"bytes\":%.0f,\"wire_bytes\":%llu}\n",
        settings->points, wall, cpu, memory_kb("VmHWM"), (double)settings->points * (double)settings->payload,
        (unsigned long long)wire);
    free(payloads);
    free(sources);
}

void run_start(const struct settings *settings) {
    struct settings one = *settings;
    one.points = 1;
    one.immediate = true;
    struct source source = source_open(&one, one.session);
    uint8_t *payloads = make_payloads(one.payload);
    write_points(&one, &source, payloads);
    source_flush(&source);
    printf("{\"acked\":1}\n");
    fflush(stdout);
    /* The first acknowledged point is what is timed; a farewell is not. */
    _Exit(EXIT_SUCCESS);
}
