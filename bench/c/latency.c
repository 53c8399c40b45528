/* How long a point takes: to its acknowledgement, and to a reader. */
#include "client.h"
#include "common/fail.h"
#include "common/measure.h"
#include "common/points.h"
#include "common/results.h"
#include "roles.h"

#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>

void run_ack(const struct options *options) {
    struct delivery delivery = {.immediate = true, .ack_at_once = true};
    struct source source = source_open(options, options->session, delivery);
    uint8_t *payload = payload_new(options->payload);
    struct latencies latencies;
    latencies_init(&latencies, options->points);
    struct pacer pacer;
    pacer_start(&pacer, options->rate);
    for (uint64_t i = 0; i < options->points; i++) {
        iscp_error_t *error = NULL;
        pacer_wait(&pacer);
        int64_t start = clock_ns();
        iscp_status_t status = iscp_upstream_write_acknowledged_wait(
            source.upstream, source.ids[i % options->ids], (int64_t)(i * ELAPSED_NS), payload,
            options->payload, LIMIT_MS, &error);
        latencies_add(&latencies, clock_ns() - start);
        check("write", status, error);
    }
    print_ack(&latencies);
    source_close(&source);
    free(payload);
    free(latencies.ns);
}

struct receiver {
    iscp_downstream_t *downstream;
    struct latencies latencies;
    uint64_t wanted;
};

static void take_chunk(struct latencies *latencies, const iscp_chunk_t *chunk) {
    int64_t now = clock_ns();
    size_t groups = iscp_chunk_group_count(chunk);
    for (size_t group = 0; group < groups; group++) {
        const char *name, *type;
        const iscp_data_point_t *points;
        size_t count;
        check("group", iscp_chunk_group(chunk, group, &name, &type, &points, &count), NULL);
        for (size_t i = 0; i < count; i++) {
            latencies_put(latencies, now - stamp_get(points[i].payload));
        }
    }
    latencies_tell(latencies);
}

static void *receive(void *argument) {
    struct receiver *receiver = argument;
    while (receiver->latencies.count < receiver->wanted) {
        iscp_error_t *error = NULL;
        iscp_chunk_t *chunk = NULL;
        iscp_status_t status =
            iscp_downstream_next_chunk_wait(receiver->downstream, LIMIT_MS, &chunk, &error);
        check("read", status, error);
        take_chunk(&receiver->latencies, chunk);
        iscp_chunk_free(chunk);
    }
    return NULL;
}

static void write_at_rate(const struct options *options, const struct source *source) {
    uint8_t *payload = payload_new(options->payload);
    struct pacer pacer;
    pacer_start(&pacer, options->rate);
    for (uint64_t i = 0; i < options->points; i++) {
        stamp_put(payload, pacer_wait(&pacer));
        iscp_status_t status = iscp_upstream_write(source->upstream, source->ids[i % options->ids],
                                                   (int64_t)(i * ELAPSED_NS), payload, options->payload);
        if (status != ISCP_OK) {
            check("write", status, NULL);
        }
    }
    free(payload);
}

void run_e2e(const struct options *options) {
    char node[160];
    snprintf(node, sizeof node, "%s-reader", options->session);
    iscp_conn_t *conn = client_connect(options, node);
    struct receiver receiver = {.downstream = subscribe(conn, options), .wanted = options->points};
    latencies_init(&receiver.latencies, options->points);
    struct delivery delivery = {.immediate = options->immediate};
    struct source source = source_open(options, options->session, delivery);
    pthread_t thread;
    if (pthread_create(&thread, NULL, receive, &receiver) != 0) {
        fail("no thread for the reader");
    }
    write_at_rate(options, &source);
    if (options->reliable) {
        source_flush(&source);
    }
    print_e2e(&receiver.latencies, options);
    if (!options->reliable) {
        /* The thread may wait for points that are lost. */
        _Exit(EXIT_SUCCESS);
    }
    iscp_error_t *error = NULL;
    pthread_join(thread, NULL);
    source_close(&source);
    check("close", iscp_conn_close_wait(conn, LIMIT_MS, &error), error);
    iscp_downstream_free(receiver.downstream);
    iscp_conn_free(conn);
    free(receiver.latencies.ns);
}
