#include <iscp/iscp.h>
#include <stdio.h>

int main(int argc, char **argv) {
    iscp_error_t *error = NULL;
    iscp_conn_t *conn = NULL;
    iscp_upstream_t *up = NULL;
    iscp_data_id_t id;
    iscp_conn_options_t *options = iscp_conn_options_new();
    bool ok =
        iscp_conn_options_set_url(options, argc > 1 ? argv[1] : "ws://127.0.0.1:8080", &error) == ISCP_OK &&
        iscp_conn_options_set_node_id(options, "sensor-1", &error) == ISCP_OK &&
        iscp_connect_wait(options, 5000, &conn, &error) == ISCP_OK &&
        iscp_upstream_open_wait(conn, NULL, 5000, &up, &error) == ISCP_OK &&
        iscp_upstream_data_id(up, "room/temperature", "string", &id, &error) == ISCP_OK;
    for (int64_t i = 0; ok && i < 10; i++) { /* ten points a second on the session's clock */
        ok = iscp_upstream_write(up, id, i * 100000000, (const uint8_t *)"20.5", 4) == ISCP_OK;
    }
    ok = ok && iscp_upstream_close_wait(up, false, 5000, &error) == ISCP_OK;
    puts(ok ? "the server confirmed every point" : iscp_error_message(error));
    iscp_error_free(error);
    iscp_upstream_free(up);
    iscp_conn_free(conn);
    iscp_conn_options_free(options);
    return ok ? 0 : 1;
}
