/* Readers: one connection or many, each of which receives everything. */
#include "client.h"
#include "measure.h"
#include "roles.h"

#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>

struct reader {
    iscp_conn_t *conn;
    iscp_downstream_t *downstream;
    pthread_t thread;
    long wanted;
    long received;
    int64_t first_ns;
    int64_t last_ns;
};

static void *read_points(void *argument) {
    struct reader *reader = argument;
    iscp_error_t *error = NULL;
    while (reader->received < reader->wanted) {
        iscp_chunk_t *chunk = NULL;
        iscp_status_t status = iscp_downstream_next_chunk_wait(reader->downstream, LIMIT_MS, &chunk, &error);
        check("read", status, error);
        reader->last_ns = now_ns();
        if (reader->received == 0) {
            reader->first_ns = reader->last_ns;
        }
        size_t groups = iscp_chunk_group_count(chunk);
        for (size_t group = 0; group < groups; group++) {
            const char *name, *type;
            const iscp_data_point_t *points;
            size_t count;
            check("group", iscp_chunk_group(chunk, group, &name, &type, &points, &count), NULL);
            reader->received += (long)count;
        }
        iscp_chunk_free(chunk);
    }
    return NULL;
}

void run_sub(const struct settings *settings) {
    size_t count = (size_t)settings->connections;
    struct reader *readers = calloc(count, sizeof *readers);
    if (readers == NULL) {
        fprintf(stderr, "no memory for readers\n");
        exit(EXIT_FAILURE);
    }
    for (size_t i = 0; i < count; i++) {
        char node[160];
        snprintf(node, sizeof node, "%s-reader-%zu", settings->session, i);
        readers[i].wanted = settings->points;
        readers[i].conn = client_connect(settings, node);
        readers[i].downstream = subscribe(readers[i].conn, settings);
    }
    printf("ready\n");
    fflush(stdout);
    double cpu = cpu_s();
    for (size_t i = 0; i < count; i++) {
        if (pthread_create(&readers[i].thread, NULL, read_points, &readers[i]) != 0) {
            fprintf(stderr, "no thread for reader %zu\n", i);
            exit(EXIT_FAILURE);
        }
    }
    long received = 0, surplus = 0;
    int64_t first = INT64_MAX, last = 0;
    for (size_t i = 0; i < count; i++) {
        pthread_join(readers[i].thread, NULL);
        first = readers[i].first_ns < first ? readers[i].first_ns : first;
        last = readers[i].last_ns > last ? readers[i].last_ns : last;
        received += readers[i].received;
        surplus += readers[i].received - readers[i].wanted;
    }
    cpu = cpu_s() - cpu;
    for (size_t i = 0; i < count; i++) {
        iscp_error_t *error = NULL;
        check("close", iscp_conn_close_wait(readers[i].conn, LIMIT_MS, &error), error);
        iscp_downstream_free(readers[i].downstream);
        iscp_conn_free(readers[i].conn);
    }
    free(readers);
    if (surplus != 0) {
        fprintf(stderr, "%ld points arrived twice\n", surplus);
        exit(EXIT_FAILURE);
    }
    printf("{\"points\":%ld,\"wall_s\":%.9f,\"cpu_s\":%.6f,\"lost\":0,\"rss_kb\":%ld}\n", received,
           (double)(last - first) / 1e9, cpu, memory_kb("VmHWM"));
}
