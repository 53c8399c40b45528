/* Arguments that cannot be used: each has its own status, and a message that names it. */
#include "client.h"

static iscp_conn_options_t *options;
static iscp_upstream_options_t *up_options;
static iscp_downstream_options_t *down_options;

static void make_options(void) {
    options = iscp_conn_options_new();
    up_options = iscp_upstream_options_new();
    down_options = iscp_downstream_options_new();
}

static void free_options(void) {
    iscp_conn_options_free(options);
    iscp_upstream_options_free(up_options);
    iscp_downstream_options_free(down_options);
}

static void never_chunk(const iscp_chunk_t *chunk, void *user_data) {
    (void)chunk;
    (void)user_data;
    FAIL("called");
}

static void never_connect(iscp_conn_t *conn, const iscp_error_t *error, void *user_data) {
    (void)conn;
    (void)error;
    (void)user_data;
    FAIL("called");
}

TEST(null_arguments) {
    make_options();
    FAILS(iscp_conn_options_set(NULL, "url", "ws://h", &error), ISCP_ERR_NULL_ARGUMENT, "options");
    FAILS(iscp_conn_options_set(options, NULL, "x", &error), ISCP_ERR_NULL_ARGUMENT, "key");
    FAILS(iscp_conn_options_set(options, "url", NULL, &error), ISCP_ERR_NULL_ARGUMENT, "url");
    FAILS(iscp_conn_options_set_url(NULL, "ws://h", &error), ISCP_ERR_NULL_ARGUMENT, "options");
    FAILS(iscp_conn_options_set_url(options, NULL, &error), ISCP_ERR_NULL_ARGUMENT, "url");
    FAILS(iscp_conn_options_set_node_id(options, NULL, &error), ISCP_ERR_NULL_ARGUMENT, "node_id");
    FAILS(iscp_conn_options_set_token(options, NULL, &error), ISCP_ERR_NULL_ARGUMENT, "token");
    FAILS(iscp_conn_options_set_token_callback(options, NULL, NULL, NULL, &error), ISCP_ERR_NULL_ARGUMENT,
          "callback");
    FAILS(iscp_conn_options_set_closed_callback(options, NULL, NULL, NULL, &error), ISCP_ERR_NULL_ARGUMENT,
          "callback");
    FAILS(iscp_upstream_options_set_session_id(up_options, NULL, &error), ISCP_ERR_NULL_ARGUMENT,
          "session_id");
    FAILS(iscp_upstream_options_set_ack_callback(up_options, NULL, NULL, NULL, &error),
          ISCP_ERR_NULL_ARGUMENT, "callback");
    FAILS(iscp_downstream_options_add_filter(down_options, NULL, "#:#", &error), ISCP_ERR_NULL_ARGUMENT,
          "source_node_id");
    FAILS(iscp_downstream_options_add_filter(down_options, "n", NULL, &error), ISCP_ERR_NULL_ARGUMENT,
          "filter");

    OK(iscp_conn_options_set_url(options, "ws://127.0.0.1:1", &error));
    iscp_conn_t *conn = NULL;
    FAILS(iscp_connect_wait(NULL, -1, &conn, &error), ISCP_ERR_NULL_ARGUMENT, "options");
    FAILS(iscp_connect_wait(options, -1, NULL, &error), ISCP_ERR_NULL_ARGUMENT, "out_conn");
    FAILS(iscp_connect(options, NULL, NULL, &error), ISCP_ERR_NULL_ARGUMENT, "callback");
    FAILS(iscp_connect(NULL, never_connect, NULL, &error), ISCP_ERR_NULL_ARGUMENT, "options");
    FAILS(iscp_conn_close(NULL, NULL, NULL, &error), ISCP_ERR_NULL_ARGUMENT, "conn");
    FAILS(iscp_conn_send_base_time_wait(NULL, "s", "n", 0, 0, 0, false, -1, &error), ISCP_ERR_NULL_ARGUMENT,
          "conn");
    FAILS(iscp_upstream_open_wait(NULL, NULL, -1, NULL, &error), ISCP_ERR_NULL_ARGUMENT, "");
    FAILS(iscp_downstream_next_chunk_wait(NULL, 0, NULL, &error), ISCP_ERR_NULL_ARGUMENT, "");
    FAILS(iscp_downstream_read(NULL, never_chunk, NULL, NULL, &error), ISCP_ERR_NULL_ARGUMENT, "downstream");
    FAILS(iscp_token_request_resolve(NULL, "t", &error), ISCP_ERR_NULL_ARGUMENT, "request");
    CHECK_STATUS(iscp_upstream_write(NULL, 0, 0, NULL, 0), ISCP_ERR_NULL_ARGUMENT);
    CHECK_STATUS(iscp_upstream_write_points(NULL, 0, NULL, 0), ISCP_ERR_NULL_ARGUMENT);
    uint64_t value = 7;
    CHECK_STATUS(iscp_conn_stat(NULL, ISCP_CONN_STAT_BYTES_SENT, &value), ISCP_ERR_NULL_ARGUMENT);
    CHECK_EQ(value, 0);
    /* Without interest in the detail. */
    CHECK_STATUS(iscp_conn_options_set_url(options, NULL, NULL), ISCP_ERR_NULL_ARGUMENT);
    free_options();
}

TEST(null_arguments_of_streams) {
    struct broker broker;
    broker_start(&broker, NULL);
    iscp_conn_t *conn = client_connect(broker.url, "node");
    iscp_upstream_t *up = client_upstream(conn, NULL);
    iscp_downstream_t *down = client_downstream(conn, "node");
    iscp_data_id_t id = client_data_id(up, "a");

    FAILS(iscp_upstream_open_wait(conn, NULL, -1, NULL, &error), ISCP_ERR_NULL_ARGUMENT, "out_upstream");
    FAILS(iscp_upstream_open(conn, NULL, NULL, NULL, &error), ISCP_ERR_NULL_ARGUMENT, "callback");
    iscp_downstream_t *none = down;
    FAILS(iscp_downstream_open_wait(conn, NULL, -1, &none, &error), ISCP_ERR_NULL_ARGUMENT, "options");
    CHECK(none == NULL);
    FAILS(iscp_upstream_data_id(up, NULL, "t", &id, &error), ISCP_ERR_NULL_ARGUMENT, "name");
    FAILS(iscp_upstream_data_id(up, "n", NULL, &id, &error), ISCP_ERR_NULL_ARGUMENT, "type");
    FAILS(iscp_upstream_data_id(up, "n", "t", NULL, &error), ISCP_ERR_NULL_ARGUMENT, "out_data_id");
    FAILS(iscp_upstream_data_id(up, "", "t", &id, &error), ISCP_ERR_INVALID_ARGUMENT, "name");
    FAILS(iscp_upstream_data_id(up, "a/#", "t", &id, &error), ISCP_ERR_INVALID_ARGUMENT, "name");
    FAILS(iscp_upstream_data_id(up, "a", "+", &id, &error), ISCP_ERR_INVALID_ARGUMENT, "type");
    FAILS(iscp_upstream_data_id(up, "\xff", "t", &id, &error), ISCP_ERR_INVALID_UTF8, "name");
    id = client_data_id(up, "a");
    CHECK_STATUS(iscp_upstream_write(up, id, 0, NULL, 1), ISCP_ERR_NULL_ARGUMENT);
    CHECK_STATUS(iscp_upstream_write(up, id + 1000, 0, NULL, 0), ISCP_ERR_INVALID_ARGUMENT);
    static const uint8_t byte;
    CHECK_STATUS(iscp_upstream_write(up, id, 0, &byte, ISCP_MAX_PAYLOAD + 1), ISCP_ERR_TOO_LARGE);
    CHECK_STATUS(iscp_upstream_write(up, id, 0, &byte, (size_t)1 << 40), ISCP_ERR_TOO_LARGE);
    CHECK_STATUS(iscp_upstream_write_points(up, id, NULL, 1), ISCP_ERR_NULL_ARGUMENT);
    /* What are too many are not even read. */
    const iscp_upstream_point_t point = {id, {0, &byte, 1}};
    const size_t too_many[] = {(size_t)1 << 27, (size_t)1 << 40, SIZE_MAX};
    for (size_t i = 0; i < sizeof too_many / sizeof *too_many; i++) {
        CHECK_STATUS(iscp_upstream_write_points(up, id, &point.point, too_many[i]), ISCP_ERR_TOO_LARGE);
        CHECK_STATUS(iscp_upstream_write_together(up, &point, too_many[i]), ISCP_ERR_TOO_LARGE);
    }
    FAILS(iscp_upstream_flush_wait(up, 2, -1, &error), ISCP_ERR_INVALID_ARGUMENT, "level");
    FAILS(iscp_upstream_flush_wait(up, ISCP_FLUSH_SENT, -2, &error), ISCP_ERR_INVALID_ARGUMENT, "timeout_ms");
    FAILS(iscp_upstream_flush(up, ISCP_FLUSH_SENT, -2, NULL, NULL, &error), ISCP_ERR_INVALID_ARGUMENT,
          "timeout_ms");
    FAILS(iscp_conn_send_base_time_wait(conn, NULL, "n", 0, 0, 0, false, -1, &error), ISCP_ERR_NULL_ARGUMENT,
          "session_id");
    FAILS(iscp_conn_send_base_time_wait(conn, "s", NULL, 0, 0, 0, false, -1, &error), ISCP_ERR_NULL_ARGUMENT,
          "name");
    FAILS(iscp_conn_send_base_time_wait(conn, "s", "n", 0, -1, 0, false, -1, &error),
          ISCP_ERR_INVALID_ARGUMENT, "elapsed_time_ns");
    uint64_t value = 7;
    CHECK_STATUS(iscp_conn_stat(conn, 99, &value), ISCP_ERR_INVALID_ARGUMENT);
    CHECK_EQ(value, 0);
    CHECK_STATUS(iscp_upstream_stat(up, 0, &value), ISCP_ERR_INVALID_ARGUMENT);
    CHECK_STATUS(iscp_upstream_stat(up, ISCP_UPSTREAM_STAT_TOTAL_POINTS, NULL), ISCP_ERR_NULL_ARGUMENT);

    iscp_upstream_free(up);
    iscp_downstream_free(down);
    iscp_conn_free(conn);
    client_shutdown();
    broker_stop(&broker);
}

TEST(unknown_options) {
    make_options();
    FAILS(iscp_conn_options_set(options, "ulr", "ws://h", &error), ISCP_ERR_UNKNOWN_OPTION, "ulr");
    FAILS(iscp_conn_options_set(options, "ulr", "ws://h", &error), ISCP_ERR_UNKNOWN_OPTION,
          "connect_timeout_ms");
    FAILS(iscp_upstream_options_set(up_options, "flush", "1", &error), ISCP_ERR_UNKNOWN_OPTION,
          "flush_policy");
    FAILS(iscp_downstream_options_set(down_options, "", "1", &error), ISCP_ERR_UNKNOWN_OPTION, "qos");
    free_options();
}

TEST(options_out_of_range) {
    make_options();
    FAILS(iscp_conn_options_set(options, "connect_timeout_ms", "soon", &error), ISCP_ERR_INVALID_OPTION,
          "connect_timeout_ms");
    FAILS(iscp_conn_options_set_connect_timeout_ms(options, 0, &error), ISCP_ERR_INVALID_OPTION,
          "connect_timeout_ms");
    FAILS(iscp_conn_options_set_ping_interval_ms(options, 1500, &error), ISCP_ERR_INVALID_OPTION,
          "whole number of seconds");
    FAILS(iscp_conn_options_set_ping_timeout_ms(options, 999, &error), ISCP_ERR_INVALID_OPTION,
          "ping_timeout_ms");
    FAILS(iscp_conn_options_set_max_message_size(options, 1, &error), ISCP_ERR_INVALID_OPTION, "1024");
    FAILS(iscp_conn_options_set_compression(options, "zip", &error), ISCP_ERR_INVALID_OPTION, "zip");
    FAILS(iscp_conn_options_set_compression(options, "per-message:10", &error), ISCP_ERR_INVALID_OPTION,
          "10");
    FAILS(iscp_conn_options_set_quic_congestion(options, "reno", &error), ISCP_ERR_INVALID_OPTION, "reno");
    FAILS(iscp_conn_options_set_quic_datagram_size(options, 63, &error), ISCP_ERR_INVALID_OPTION, "63");
    FAILS(iscp_conn_options_set_project_uuid(options, "not-a-uuid", &error), ISCP_ERR_INVALID_OPTION,
          "project_uuid");
    FAILS(iscp_upstream_options_set_qos(up_options, 3, &error), ISCP_ERR_INVALID_OPTION, "qos");
    FAILS(iscp_upstream_options_set_flush_policy(up_options, "sometimes", &error), ISCP_ERR_INVALID_OPTION,
          "immediate");
    FAILS(iscp_upstream_options_set_flush_interval_ms(up_options, 0, &error), ISCP_ERR_INVALID_OPTION,
          "flush_interval_ms");
    FAILS(iscp_upstream_options_set_flush_size(up_options, 0, &error), ISCP_ERR_INVALID_OPTION, "flush_size");
    FAILS(iscp_upstream_options_set_buffer_limit(up_options, 1023, &error), ISCP_ERR_INVALID_OPTION,
          "buffer_limit");
    FAILS(iscp_upstream_options_set_in_flight_limit(up_options, 0, &error), ISCP_ERR_INVALID_OPTION,
          "in_flight_limit");
    FAILS(iscp_upstream_options_set_buffer_policy(up_options, "drop", &error), ISCP_ERR_INVALID_OPTION,
          "would_block");
    FAILS(iscp_upstream_options_add_data_id(up_options, "name", &error), ISCP_ERR_INVALID_OPTION,
          "type:name");
    FAILS(iscp_upstream_options_set_expiry_interval_ms(up_options, 1, &error), ISCP_ERR_INVALID_OPTION,
          "expiry_interval_ms");
    FAILS(iscp_downstream_options_add_filter(down_options, "n", "a", &error), ISCP_ERR_INVALID_OPTION,
          "type:name");
    FAILS(iscp_downstream_options_add_filter(down_options, "n", "t:a#", &error), ISCP_ERR_INVALID_OPTION,
          "level");
    FAILS(iscp_downstream_options_set_ack_interval_ms(down_options, 0, &error), ISCP_ERR_INVALID_OPTION,
          "ack_interval_ms");
    FAILS(iscp_downstream_options_set_buffer_limit(down_options, 0, &error), ISCP_ERR_INVALID_OPTION,
          "buffer_limit");
    free_options();
}

TEST(text_that_is_not_utf8) {
    make_options();
    FAILS(iscp_conn_options_set_node_id(options, "\xc3(", &error), ISCP_ERR_INVALID_UTF8, "node_id");
    FAILS(iscp_conn_options_set(options, "\xff", "x", &error), ISCP_ERR_INVALID_UTF8, "key");
    FAILS(iscp_upstream_options_set_session_id(up_options, "\x80", &error), ISCP_ERR_INVALID_UTF8,
          "session_id");
    free_options();
}

TEST(handles_of_another_type) {
    make_options();
    FAILS(iscp_upstream_options_set((iscp_upstream_options_t *)options, "qos", "reliable", &error),
          ISCP_ERR_BAD_HANDLE, "options");
    FAILS(iscp_conn_close((iscp_conn_t *)options, NULL, NULL, &error), ISCP_ERR_BAD_HANDLE, "conn");
    CHECK_STATUS(iscp_error_code((const iscp_error_t *)options), ISCP_ERR_BAD_HANDLE);
    CHECK_STATUS(iscp_upstream_write((iscp_upstream_t *)options, 0, 0, NULL, 0), ISCP_ERR_BAD_HANDLE);
    CHECK(iscp_conn_ref((iscp_conn_t *)options) == NULL);
    CHECK_TEXT(iscp_conn_protocol_version((iscp_conn_t *)options), "");
    /* Freeing it as something else leaves it alone. */
    iscp_conn_free((iscp_conn_t *)options);
    OK(iscp_conn_options_set(options, "url", "ws://h", &error));
    free_options();
}

TEST(use_after_free) {
    struct broker broker;
    broker_start(&broker, NULL);
    iscp_conn_t *conn = client_connect(broker.url, "node");
    iscp_upstream_t *up = client_upstream(conn, NULL);
    iscp_downstream_t *down = client_downstream(conn, "node");
    iscp_data_id_t id = client_data_id(up, "a");
    client_write(up, id, 0, "x");
    OK(iscp_upstream_flush_wait(up, ISCP_FLUSH_ACKNOWLEDGED, -1, &error));
    iscp_chunk_t *chunk = NULL;
    OK(iscp_downstream_next_chunk_wait(down, -1, &chunk, &error));
    make_options();
    free_options();
    iscp_chunk_free(chunk);
    iscp_upstream_free(up);
    iscp_downstream_free(down);
    iscp_conn_free(conn);

    FAILS(iscp_conn_options_set_url(options, "ws://h", &error), ISCP_ERR_BAD_HANDLE, "options");
    FAILS(iscp_conn_close(conn, NULL, NULL, &error), ISCP_ERR_BAD_HANDLE, "conn");
    FAILS(iscp_upstream_data_id(up, "n", "t", &id, &error), ISCP_ERR_BAD_HANDLE, "upstream");
    FAILS(iscp_downstream_next_chunk_wait(down, 0, &chunk, &error), ISCP_ERR_BAD_HANDLE, "downstream");
    CHECK_STATUS(iscp_upstream_write(up, id, 0, NULL, 0), ISCP_ERR_BAD_HANDLE);
    CHECK_EQ(iscp_chunk_point_count(chunk), 0);
    CHECK_EQ(iscp_conn_state(conn), ISCP_CONN_STATE_CLOSED);
    /* And freeing again. */
    iscp_conn_free(conn);
    iscp_upstream_free(up);
    iscp_downstream_free(down);
    client_shutdown();
    broker_stop(&broker);
}
