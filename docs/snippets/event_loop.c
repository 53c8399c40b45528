#include <iscp/iscp.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>

static void check(iscp_status_t status, iscp_error_t **error) {
    if (status != ISCP_OK) {
        fprintf(stderr, "%s: %s\n", iscp_status_name(status), iscp_error_message(*error));
        exit(1);
    }
}

/* Takes all that has come, without waiting; false once the stream has ended. */
static bool take_points(iscp_downstream_t *downstream, size_t *points) {
    iscp_metadata_t *metadata;
    while (iscp_downstream_next_metadata_wait(downstream, 0, &metadata, NULL) == ISCP_OK) {
        iscp_metadata_free(metadata);
    }
    iscp_chunk_t *chunk;
    iscp_status_t status;
    while ((status = iscp_downstream_next_chunk_wait(downstream, 0, &chunk, NULL)) == ISCP_OK) {
        *points += iscp_chunk_point_count(chunk);
        iscp_chunk_free(chunk);
    }
    return status == ISCP_ERR_WOULD_BLOCK;
}

static bool take_events(iscp_conn_t *conn) {
    iscp_event_t *event;
    iscp_status_t status;
    while ((status = iscp_conn_next_event_wait(conn, 0, &event, NULL)) == ISCP_OK) {
        puts(iscp_event_kind_name(iscp_event_kind(event)));
        iscp_event_free(event);
    }
    return status == ISCP_ERR_WOULD_BLOCK;
}

int main(int argc, char **argv) {
    iscp_error_t *error = NULL;
    iscp_conn_options_t *options = iscp_conn_options_new();
    check(iscp_conn_options_set_url(options, argc > 1 ? argv[1] : "ws://127.0.0.1:8080", &error), &error);
    iscp_downstream_options_t *wanted = iscp_downstream_options_new();
    check(iscp_downstream_options_add_filter(wanted, "sensor-1", "#:#", &error), &error);

    iscp_conn_t *conn;
    iscp_downstream_t *downstream;
    check(iscp_connect_wait(options, 5000, &conn, &error), &error);
    check(iscp_downstream_open_wait(conn, wanted, 5000, &downstream, &error), &error);
    int32_t chunks, events; /* two of the many descriptors that a program waits for */
    check(iscp_downstream_pollable(downstream, &chunks, &error), &error);
    check(iscp_conn_event_pollable(conn, &events, &error), &error);
    puts("subscribed");
    fflush(stdout);

    size_t points = 0;
    for (bool running = true; running && points < 10;) {
        struct pollfd ready[] = {{.fd = chunks, .events = POLLIN}, {.fd = events, .events = POLLIN}};
        if (poll(ready, 2, 30000) < 1) {
            return 1;
        }
        if (ready[0].revents != 0) {
            running = take_points(downstream, &points);
        }
        if (ready[1].revents != 0) {
            running = take_events(conn) && running;
        }
    }
    printf("%zu points\n", points);
    iscp_downstream_free(downstream);
    iscp_conn_free(conn);
    iscp_downstream_options_free(wanted);
    iscp_conn_options_free(options);
    return 0;
}
