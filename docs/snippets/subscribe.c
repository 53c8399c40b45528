#include <inttypes.h>
#include <iscp/iscp.h>
#include <stdio.h>
#include <stdlib.h>

static void check(iscp_status_t status, iscp_error_t **error) {
    if (status != ISCP_OK) {
        fprintf(stderr, "%s: %s\n", iscp_status_name(status), iscp_error_message(*error));
        exit(1);
    }
}

static void print_chunk(const iscp_chunk_t *chunk) {
    for (size_t group = 0; group < iscp_chunk_group_count(chunk); group++) {
        const char *name;
        const iscp_data_point_t *points;
        size_t count;
        iscp_chunk_group(chunk, group, &name, NULL, &points, &count);
        for (size_t i = 0; i < count; i++) {
            printf("%s %" PRId64 " ms: ", name, points[i].elapsed_time_ns / 1000000);
            fwrite(points[i].payload, 1, points[i].payload_len, stdout);
            putchar('\n');
        }
    }
}

int main(int argc, char **argv) {
    iscp_error_t *error = NULL;
    iscp_conn_options_t *options = iscp_conn_options_new();
    check(iscp_conn_options_set_url(options, argc > 1 ? argv[1] : "ws://127.0.0.1:8080", &error), &error);
    check(iscp_conn_options_set_node_id(options, "viewer-1", &error), &error);
    iscp_downstream_options_t *wanted = iscp_downstream_options_new();
    check(iscp_downstream_options_add_filter(wanted, "sensor-1", "#:room/+", &error), &error);

    iscp_conn_t *conn;
    iscp_downstream_t *downstream;
    check(iscp_connect_wait(options, 5000, &conn, &error), &error);
    check(iscp_downstream_open_wait(conn, wanted, 5000, &downstream, &error), &error);
    puts("subscribed");
    fflush(stdout);

    for (size_t seen = 0; seen < 10;) {
        iscp_chunk_t *chunk; /* the program's from the call on, so the program frees it */
        check(iscp_downstream_next_chunk_wait(downstream, 30000, &chunk, &error), &error);
        print_chunk(chunk);
        seen += iscp_chunk_point_count(chunk);
        iscp_chunk_free(chunk);
    }

    iscp_downstream_free(downstream);
    iscp_conn_free(conn);
    iscp_downstream_options_free(wanted);
    iscp_conn_options_free(options);
    return 0;
}
