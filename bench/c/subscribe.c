/* Readers: one connection or many, each of which receives everything. */
#include "client.h"
#include "common/fail.h"
#include "common/results.h"
#include "roles.h"

#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>

struct reader {
    iscp_conn_t *conn;
    iscp_downstream_t *downstream;
    pthread_t thread;
    uint64_t wanted;
    struct arrivals *arrivals;
};

static uint64_t count_points(const iscp_chunk_t *chunk) {
    uint64_t points_of_all = 0;
    size_t groups = iscp_chunk_group_count(chunk);
    for (size_t group = 0; group < groups; group++) {
        const char *name, *type;
        const iscp_data_point_t *points;
        size_t count;
        check("group", iscp_chunk_group(chunk, group, &name, &type, &points, &count), NULL);
        points_of_all += count;
    }
    return points_of_all;
}

static void *read_points(void *argument) {
    struct reader *reader = argument;
    uint64_t received = 0;
    while (received < reader->wanted) {
        iscp_error_t *error = NULL;
        iscp_chunk_t *chunk = NULL;
        iscp_status_t status = iscp_downstream_next_chunk_wait(reader->downstream, LIMIT_MS, &chunk, &error);
        check("read", status, error);
        uint64_t count = count_points(chunk);
        iscp_chunk_free(chunk);
        received += count;
        if (received > reader->wanted) {
            fail("%llu points of %llu arrived at one reader", (unsigned long long)received,
                 (unsigned long long)reader->wanted);
        }
        arrivals_add(reader->arrivals, count);
    }
    return NULL;
}

static void reader_close(struct reader *reader) {
    iscp_error_t *error = NULL;
    pthread_join(reader->thread, NULL);
    check("close", iscp_conn_close_wait(reader->conn, LIMIT_MS, &error), error);
    iscp_downstream_free(reader->downstream);
    iscp_conn_free(reader->conn);
}

void run_sub(const struct options *options) {
    struct arrivals arrivals;
    arrivals_init(&arrivals, options);
    struct reader *readers = allocate(options->connections, sizeof *readers);
    for (unsigned i = 0; i < options->connections; i++) {
        char node[160];
        snprintf(node, sizeof node, "%s-reader-%u", options->session, i);
        readers[i].wanted = options->points;
        readers[i].arrivals = &arrivals;
        readers[i].conn = client_connect(options, node);
        readers[i].downstream = subscribe(readers[i].conn, options);
        if (pthread_create(&readers[i].thread, NULL, read_points, &readers[i]) != 0) {
            fail("no thread for reader %u", i);
        }
    }
    print_sub(&arrivals);
    if (!options->reliable) {
        /* Threads may wait for points that are lost. */
        _Exit(EXIT_SUCCESS);
    }
    for (unsigned i = 0; i < options->connections; i++) {
        reader_close(&readers[i]);
    }
    free(readers);
}
