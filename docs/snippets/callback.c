#include <iscp/iscp.h>
#include <stdio.h>
#include <stdlib.h>

static void check(iscp_status_t status, iscp_error_t **error) {
    if (status != ISCP_OK) {
        fprintf(stderr, "%s: %s\n", iscp_status_name(status), iscp_error_message(*error));
        exit(1);
    }
}

struct viewer {
    size_t points;
};

/* Runs on the dispatcher thread of the connection. The chunk is the library's. */
static void on_chunk(const iscp_chunk_t *chunk, void *user_data) {
    struct viewer *viewer = user_data;
    viewer->points += iscp_chunk_point_count(chunk);
    printf("%zu points\n", viewer->points);
    fflush(stdout);
}

/* Runs once, after the last on_chunk has returned: the one place where freeing is right. */
static void release_viewer(void *user_data) {
    free(user_data);
    puts("released");
}

int main(int argc, char **argv) {
    iscp_error_t *error = NULL;
    iscp_conn_options_t *options = iscp_conn_options_new();
    check(iscp_conn_options_set_url(options, argc > 1 ? argv[1] : "ws://127.0.0.1:8080", &error), &error);
    check(iscp_conn_options_set_node_id(options, "viewer-2", &error), &error);
    iscp_downstream_options_t *wanted = iscp_downstream_options_new();
    check(iscp_downstream_options_add_filter(wanted, "sensor-1", "#:#", &error), &error);

    iscp_conn_t *conn;
    iscp_downstream_t *downstream;
    check(iscp_connect_wait(options, 5000, &conn, &error), &error);
    check(iscp_downstream_open_wait(conn, wanted, 5000, &downstream, &error), &error);
    struct viewer *viewer = calloc(1, sizeof *viewer);
    check(iscp_downstream_read(downstream, on_chunk, viewer, release_viewer, &error), &error);
    puts("subscribed");
    fflush(stdout);

    getchar(); /* the main thread is free; here it waits for a key or the end of its input */

    iscp_downstream_free(downstream);
    iscp_conn_free(conn);
    iscp_downstream_options_free(wanted);
    iscp_conn_options_free(options);
    check(iscp_shutdown(5000, &error), &error); /* returns after release_viewer has */
    return 0;
}
