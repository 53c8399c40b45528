/* The upstream sample of the Go client's documentation, in C: opens an upstream, sends the base time of
 * its session and one string point, and closes.
 *
 *   upstream_basetime [--url URL] [--node NODE] */
#include "example.h"

#define SESSION_ID "018f0000-0000-7000-8000-000000000001"

static iscp_status_t connect_as(const char *url, const char *node, iscp_conn_t **conn, iscp_error_t **error) {
    iscp_conn_options_t *options = iscp_conn_options_new();
    iscp_status_t status = iscp_conn_options_set_url(options, url, error);
    if (status == ISCP_OK) {
        status = iscp_conn_options_set_node_id(options, node, error);
    }
    if (status == ISCP_OK) {
        status = iscp_connect_wait(options, -1, conn, error);
    }
    iscp_conn_options_free(options);
    return status;
}

static iscp_status_t open_upstream(iscp_conn_t *conn, iscp_upstream_t **upstream, iscp_error_t **error) {
    iscp_upstream_options_t *options = iscp_upstream_options_new();
    iscp_status_t status = iscp_upstream_options_set_session_id(options, SESSION_ID, error);
    if (status == ISCP_OK) {
        /* Options can be set by their names too, such as those of a configuration file. */
        status = iscp_upstream_options_set(options, "qos", "reliable", error);
    }
    if (status == ISCP_OK) {
        status = iscp_upstream_open_wait(conn, options, -1, upstream, error);
    }
    iscp_upstream_options_free(options);
    return status;
}

int main(int argc, char **argv) {
    static const char *const names[] = {"--url", "--node", NULL};
    if (!example_options_valid(argc, argv, names)) {
        return 2;
    }
    const char *url = example_option(argc, argv, "--url", EXAMPLE_URL);
    const char *node = example_option(argc, argv, "--node", "basetime-example");
    static const char text[] = "hello";
    int exit_status = EXIT_FAILURE;
    const char *doing = "connect";
    iscp_error_t *error = NULL;
    iscp_conn_t *conn = NULL;
    iscp_upstream_t *upstream = NULL;
    iscp_data_id_t data_id;

    iscp_status_t status = connect_as(url, node, &conn, &error);
    if (status != ISCP_OK) {
        goto end;
    }
    doing = "open upstream";
    if ((status = open_upstream(conn, &upstream, &error)) != ISCP_OK) {
        goto end;
    }

    /* The elapsed times of the session count from now on; the base time says which time of day that is.
     * Readers receive it as metadata. */
    int64_t origin_ns = example_clock_ns(CLOCK_MONOTONIC);
    doing = "send base time";
    status = iscp_conn_send_base_time_wait(conn, SESSION_ID, "edge_rtc", 1, 0,
                                           example_clock_ns(CLOCK_REALTIME), true, -1, &error);
    if (status != ISCP_OK) {
        goto end;
    }

    doing = "write";
    if ((status = iscp_upstream_data_id(upstream, "greeting", "string", &data_id, &error)) != ISCP_OK) {
        goto end;
    }
    int64_t elapsed_ns = example_clock_ns(CLOCK_MONOTONIC) - origin_ns;
    status = iscp_upstream_write(upstream, data_id, elapsed_ns, (const uint8_t *)text, sizeof text - 1);
    if (status != ISCP_OK) {
        goto end;
    }

    /* The session is over with this stream, and the server may close it. */
    doing = "close upstream";
    if ((status = iscp_upstream_close_wait(upstream, true, -1, &error)) != ISCP_OK) {
        goto end;
    }
    doing = "close connection";
    if ((status = iscp_conn_close_wait(conn, -1, &error)) != ISCP_OK) {
        goto end;
    }
    printf("sent a base time and the point \"%s\"\n", text);
    exit_status = EXIT_SUCCESS;

end:
    if (status != ISCP_OK) {
        example_print_error(doing, status, error);
    }
    iscp_upstream_free(upstream);
    iscp_conn_free(conn);
    return exit_status;
}
