#include <iscp/iscp.h>
#include <stdio.h>
#include <stdlib.h>

static void check(iscp_status_t status, iscp_error_t **error) {
    if (status != ISCP_OK) {
        fprintf(stderr, "%s: %s\n", iscp_status_name(status), error ? iscp_error_message(*error) : "write");
        exit(1);
    }
}

int main(int argc, char **argv) {
    iscp_error_t *error = NULL;
    iscp_conn_options_t *options = iscp_conn_options_new();
    check(iscp_conn_options_set_url(options, argc > 1 ? argv[1] : "ws://127.0.0.1:8080", &error), &error);
    check(iscp_conn_options_set_node_id(options, "sensor-1", &error), &error);

    iscp_conn_t *conn;
    iscp_upstream_t *upstream;
    iscp_data_id_t temperature;
    check(iscp_connect_wait(options, 5000, &conn, &error), &error);
    check(iscp_upstream_open_wait(conn, NULL, 5000, &upstream, &error), &error);
    check(iscp_upstream_data_id(upstream, "room/temperature", "string", &temperature, &error), &error);

    for (int i = 0; i < 10; i++) {
        char text[16];
        int length = snprintf(text, sizeof text, "%d.%d", 20 + i / 4, i % 4);
        int64_t elapsed_ns = i * INT64_C(100000000); /* ten points a second on the session's clock */
        check(iscp_upstream_write(upstream, temperature, elapsed_ns, (uint8_t *)text, (size_t)length), NULL);
    }
    check(iscp_upstream_close_wait(upstream, false, 5000, &error), &error);
    puts("the server confirmed every point");

    iscp_upstream_free(upstream);
    iscp_conn_free(conn);
    iscp_conn_options_free(options);
    return 0;
}
