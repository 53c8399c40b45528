/* The shortest sender: connects, opens an upstream, writes ten points and closes.
 *
 *   hello_upstream [--url URL] [--node NODE] */
#include "example.h"

int main(int argc, char **argv) {
    static const char *const names[] = {"--url", "--node", NULL};
    if (!example_options_valid(argc, argv, names)) {
        return 2;
    }
    int exit_status = EXIT_FAILURE;
    const char *doing = "set options";
    iscp_status_t status;
    iscp_error_t *error = NULL;
    iscp_conn_t *conn = NULL;
    iscp_upstream_t *upstream = NULL;
    iscp_data_id_t data_id;
    iscp_conn_options_t *options = iscp_conn_options_new();
    iscp_upstream_options_t *upstream_options = iscp_upstream_options_new();

    /* Every function says how it went; `error` has the detail. The first failure leads to the end, where
     * everything is freed. Freeing NULL does nothing. */
    const char *url = example_option(argc, argv, "--url", EXAMPLE_URL);
    if ((status = iscp_conn_options_set_url(options, url, &error)) != ISCP_OK) {
        goto end;
    }
    /* Readers ask for data by the id of the node that sends it. */
    const char *node = example_option(argc, argv, "--node", "hello");
    if ((status = iscp_conn_options_set_node_id(options, node, &error)) != ISCP_OK) {
        goto end;
    }
    doing = "connect";
    if ((status = iscp_connect_wait(options, -1, &conn, &error)) != ISCP_OK) {
        goto end;
    }

    doing = "open upstream";
    if ((status = iscp_upstream_options_set_session_id(upstream_options, "hello-session", &error)) !=
        ISCP_OK) {
        goto end;
    }
    status = iscp_upstream_options_set_qos(upstream_options, ISCP_QOS_RELIABLE, &error);
    if (status != ISCP_OK) {
        goto end;
    }
    if ((status = iscp_upstream_open_wait(conn, upstream_options, -1, &upstream, &error)) != ISCP_OK) {
        goto end;
    }

    doing = "write";
    if ((status = iscp_upstream_data_id(upstream, "greeting", "string", &data_id, &error)) != ISCP_OK) {
        goto end;
    }
    for (int i = 0; i < 10; i++) {
        char text[32];
        int length = snprintf(text, sizeof text, "hello %d", i);
        /* The payload is copied; the point leaves with others, at most 100 ms later. */
        status = iscp_upstream_write(upstream, data_id, (int64_t)i * 1000000000, (const uint8_t *)text,
                                     (size_t)length);
        if (status != ISCP_OK) {
            goto end;
        }
    }

    /* Sends what is left and waits until the server confirmed all of it. */
    doing = "close upstream";
    if ((status = iscp_upstream_close_wait(upstream, false, -1, &error)) != ISCP_OK) {
        goto end;
    }
    doing = "close connection";
    if ((status = iscp_conn_close_wait(conn, -1, &error)) != ISCP_OK) {
        goto end;
    }
    printf("sent 10 points\n");
    exit_status = EXIT_SUCCESS;

end:
    if (status != ISCP_OK) {
        example_print_error(doing, status, error);
    }
    iscp_upstream_free(upstream);
    iscp_conn_free(conn);
    iscp_upstream_options_free(upstream_options);
    iscp_conn_options_free(options);
    return exit_status;
}
