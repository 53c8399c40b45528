/* How long a point takes: to its acknowledgement, and to a reader. */
#include "client.h"
#include "measure.h"
#include "roles.h"

#include <errno.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <time.h>

/* How long points that datagrams carry are waited for after the last was written. */
#define LATE_MS 1000

void run_ack(const struct settings *settings) {
    struct settings immediate = *settings;
    immediate.immediate = true;
    immediate.ack_at_once = true;
    struct source source = source_open(&immediate, immediate.session);
    uint8_t *payload = payload_new(settings->payload);
    struct samples samples = samples_new(settings->points);
    printf("ready\n");
    fflush(stdout);
    for (long i = 0; i < settings->points; i++) {
        iscp_error_t *error = NULL;
        int64_t start = now_ns();
        iscp_status_t status = iscp_upstream_write_acknowledged_wait(
            source.upstream, source.ids[0], i * ELAPSED_NS, payload, settings->payload, LIMIT_MS, &error);
        samples_add(&samples, now_ns() - start);
        check("write", status, error);
    }
    source_close(&source);
    samples_print(&samples, 0);
    free(payload);
}

struct receiver {
    iscp_downstream_t *downstream;
    struct samples samples;
    long wanted;
    bool reliable;
    atomic_bool written;
};

static void take_chunk(struct receiver *receiver, const iscp_chunk_t *chunk) {
    int64_t now = now_ns();
    size_t groups = iscp_chunk_group_count(chunk);
    for (size_t group = 0; group < groups; group++) {
        const char *name, *type;
        const iscp_data_point_t *points;
        size_t count;
        check("group", iscp_chunk_group(chunk, group, &name, &type, &points, &count), NULL);
        for (size_t i = 0; i < count; i++) {
            int64_t written;
            memcpy(&written, points[i].payload, sizeof written);
            samples_add(&receiver->samples, now - written);
        }
    }
}

static void *receive(void *argument) {
    struct receiver *receiver = argument;
    while (receiver->samples.count < (size_t)receiver->wanted) {
        iscp_error_t *error = NULL;
        iscp_chunk_t *chunk = NULL;
        bool written = atomic_load(&receiver->written);
        iscp_status_t status = iscp_downstream_next_chunk_wait(
            receiver->downstream, receiver->reliable ? LIMIT_MS : LATE_MS, &chunk, &error);
        if (status == ISCP_ERR_TIMEOUT && !receiver->reliable) {
            iscp_error_free(error);
            if (written) {
                break;
            }
            continue;
        }
        check("read", status, error);
        take_chunk(receiver, chunk);
        iscp_chunk_free(chunk);
    }
    return NULL;
}

/* Waits until a point is due and returns its time stamp. That is when it is written, or, when a write before
 * it took so long that it is late, when it was due: otherwise a client that blocks would hide the points that
 * wait. */
static int64_t wait_until(int64_t due_ns) {
    if (now_ns() >= due_ns) {
        return due_ns;
    }
    struct timespec until = {.tv_sec = due_ns / 1000000000, .tv_nsec = due_ns % 1000000000};
    while (clock_nanosleep(CLOCK_MONOTONIC, TIMER_ABSTIME, &until, NULL) == EINTR) {
    }
    return now_ns();
}

static void write_at_rate(const struct settings *settings, const struct source *source) {
    uint8_t *payload = payload_new(settings->payload);
    /* The default of 50 us would be most of what is measured. */
    prctl(PR_SET_TIMERSLACK, 1UL);
    int64_t start = now_ns();
    for (long i = 0; i < settings->points; i++) {
        int64_t now =
            settings->rate > 0 ? wait_until(start + (int64_t)((double)i * 1e9 / settings->rate)) : now_ns();
        memcpy(payload, &now, sizeof now);
        iscp_status_t status = iscp_upstream_write(source->upstream, source->ids[i % settings->ids],
                                                   i * ELAPSED_NS, payload, settings->payload);
        if (status != ISCP_OK) {
            check("write", status, NULL);
        }
    }
    free(payload);
}

void run_e2e(const struct settings *settings) {
    char node[160];
    snprintf(node, sizeof node, "%s-reader", settings->session);
    iscp_error_t *error = NULL;
    iscp_conn_t *conn = client_connect(settings, node);
    struct receiver receiver = {
        .downstream = subscribe(conn, settings),
        .samples = samples_new(settings->points),
        .wanted = settings->points,
        .reliable = settings->reliable,
    };
    struct source source = source_open(settings, settings->session);
    pthread_t thread;
    if (pthread_create(&thread, NULL, receive, &receiver) != 0) {
        fprintf(stderr, "no thread for the reader\n");
        exit(EXIT_FAILURE);
    }
    printf("ready\n");
    fflush(stdout);
    write_at_rate(settings, &source);
    if (settings->reliable) {
        source_flush(&source);
    }
    atomic_store(&receiver.written, true);
    pthread_join(thread, NULL);
    if (settings->reliable) {
        source_close(&source);
        check("close", iscp_conn_close_wait(conn, LIMIT_MS, &error), error);
        iscp_downstream_free(receiver.downstream);
        iscp_conn_free(conn);
    }
    samples_print(&receiver.samples, settings->points - (long)receiver.samples.count);
}
