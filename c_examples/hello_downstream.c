/* The shortest reader: connects, opens a downstream, and prints points until the given number arrived.
 *
 *   hello_downstream [--url URL] [--source NODE] [--count N] */
#include "example.h"

/* Prints the points of a chunk; returns how many there were. */
static size_t print_chunk(const iscp_chunk_t *chunk) {
    size_t groups = iscp_chunk_group_count(chunk);
    for (size_t g = 0; g < groups; g++) {
        const char *name, *type;
        const iscp_data_point_t *points;
        size_t count;
        if (iscp_chunk_group(chunk, g, &name, &type, &points, &count) != ISCP_OK) {
            continue;
        }
        for (size_t p = 0; p < count; p++) {
            printf("%s:%s %.3f s %.*s\n", type, name, (double)points[p].elapsed_time_ns / 1e9,
                   (int)points[p].payload_len, (const char *)points[p].payload);
        }
    }
    return iscp_chunk_point_count(chunk);
}

int main(int argc, char **argv) {
    static const char *const names[] = {"--url", "--source", "--count", NULL};
    if (!example_options_valid(argc, argv, names)) {
        return 2;
    }
    int exit_status = EXIT_FAILURE;
    const char *doing = "set options";
    iscp_status_t status;
    iscp_error_t *error = NULL;
    iscp_conn_t *conn = NULL;
    iscp_downstream_t *downstream = NULL;
    size_t wanted = strtoul(example_option(argc, argv, "--count", "10"), NULL, 10);
    iscp_conn_options_t *options = iscp_conn_options_new();
    iscp_downstream_options_t *downstream_options = iscp_downstream_options_new();

    const char *url = example_option(argc, argv, "--url", EXAMPLE_URL);
    if ((status = iscp_conn_options_set_url(options, url, &error)) != ISCP_OK) {
        goto end;
    }
    if ((status = iscp_conn_options_set_node_id(options, "hello-reader", &error)) != ISCP_OK) {
        goto end;
    }
    doing = "connect";
    if ((status = iscp_connect_wait(options, -1, &conn, &error)) != ISCP_OK) {
        goto end;
    }

    /* Everything of the source: any type, any name. */
    doing = "open downstream";
    const char *source = example_option(argc, argv, "--source", "hello");
    status = iscp_downstream_options_add_filter(downstream_options, source, "#:#", &error);
    if (status != ISCP_OK) {
        goto end;
    }
    status = iscp_downstream_options_set_qos(downstream_options, ISCP_QOS_RELIABLE, &error);
    if (status != ISCP_OK) {
        goto end;
    }
    if ((status = iscp_downstream_open_wait(conn, downstream_options, -1, &downstream, &error)) != ISCP_OK) {
        goto end;
    }
    printf("waiting for points of %s\n", source);
    fflush(stdout);

    doing = "read";
    for (size_t received = 0; received < wanted;) {
        iscp_chunk_t *chunk;
        if ((status = iscp_downstream_next_chunk_wait(downstream, -1, &chunk, &error)) != ISCP_OK) {
            goto end;
        }
        received += print_chunk(chunk);
        iscp_chunk_free(chunk);
    }

    /* Acknowledges what was taken and closes the stream. */
    doing = "close downstream";
    if ((status = iscp_downstream_close_wait(downstream, -1, &error)) != ISCP_OK) {
        goto end;
    }
    doing = "close connection";
    if ((status = iscp_conn_close_wait(conn, -1, &error)) != ISCP_OK) {
        goto end;
    }
    exit_status = EXIT_SUCCESS;

end:
    if (status != ISCP_OK) {
        example_print_error(doing, status, error);
    }
    iscp_downstream_free(downstream);
    iscp_conn_free(conn);
    iscp_downstream_options_free(downstream_options);
    iscp_conn_options_free(options);
    return exit_status;
}
