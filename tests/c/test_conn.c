/* What a connection tells of itself: transport, paths, counters, pings; and its address in parts. */
#include "client.h"

static struct broker broker;
static struct chaos chaos;

static uint64_t conn_stat(const iscp_conn_t *conn, iscp_conn_stat_t stat) {
    uint64_t value = 0;
    CHECK_STATUS(iscp_conn_stat(conn, stat, &value), ISCP_OK);
    return value;
}

static uint64_t path_stat(const iscp_path_t *path, iscp_path_stat_t stat) {
    uint64_t value = 0;
    CHECK_STATUS(iscp_path_stat(path, stat, &value), ISCP_OK);
    return value;
}

static iscp_path_t *path_of(iscp_conn_t *conn, size_t index) {
    iscp_path_t *path = NULL;
    OK(iscp_conn_path(conn, index, &path, &error));
    return path;
}

struct expected {
    const char *scheme, *name, *protocol, *tls_version, *alpn, *compression;
};

static void check_path(const iscp_path_t *path, const struct expected *expected) {
    const char *host = strstr(broker.url, "//") + 2;
    CHECK_CONTAINS(iscp_path_url(path), expected->scheme);
    CHECK_TEXT(iscp_path_transport(path), expected->name);
    CHECK_TEXT(iscp_path_protocol(path), expected->protocol);
    CHECK(strncmp(iscp_path_peer_address(path), host, strlen(iscp_path_peer_address(path))) == 0);
    CHECK_TEXT(iscp_path_tls_version(path), expected->tls_version);
    CHECK_TEXT(iscp_path_alpn(path), expected->alpn);
    CHECK_TEXT(iscp_path_encoding(path), "json");
    CHECK_TEXT(iscp_path_compression(path), expected->compression);
    bool tcp = strcmp(expected->protocol, "tcp") == 0;
    CHECK_EQ(strlen(iscp_path_local_address(path)) > 0, tcp);
    CHECK_EQ(strlen(iscp_path_tls_cipher(path)) > 0, tcp && strlen(expected->tls_version) > 0);
    CHECK(path_stat(path, ISCP_PATH_STAT_ROUND_TRIP_NS) > 0);
    CHECK(path_stat(path, ISCP_PATH_STAT_CONGESTION_WINDOW) > 0);
    CHECK(path_stat(path, ISCP_PATH_STAT_MTU) >= 1200);
    static const iscp_path_stat_t of_tcp[] = {ISCP_PATH_STAT_ROUND_TRIP_VARIANCE_NS,
                                              ISCP_PATH_STAT_UNACKED_SEGMENTS,
                                              ISCP_PATH_STAT_RETRANSMITTED_SEGMENTS};
    static const iscp_path_stat_t of_quic[] = {ISCP_PATH_STAT_MIN_ROUND_TRIP_NS, ISCP_PATH_STAT_SENT_PACKETS,
                                               ISCP_PATH_STAT_LOST_PACKETS, ISCP_PATH_STAT_CONGESTION_EVENTS};
    uint64_t value = 7;
    for (size_t i = 0; i < sizeof of_tcp / sizeof *of_tcp; i++) {
        CHECK_STATUS(iscp_path_stat(path, of_tcp[i], &value), tcp ? ISCP_OK : ISCP_ERR_UNSUPPORTED);
    }
    for (size_t i = 0; i < sizeof of_quic / sizeof *of_quic; i++) {
        CHECK_STATUS(iscp_path_stat(path, of_quic[i], &value), tcp ? ISCP_ERR_UNSUPPORTED : ISCP_OK);
    }
    if (!tcp) {
        CHECK(path_stat(path, ISCP_PATH_STAT_SENT_PACKETS) > 0);
    }
    CHECK_STATUS(iscp_path_stat(path, 77, &value), ISCP_ERR_INVALID_ARGUMENT);
    CHECK_EQ(value, 0);
}

static void what_was_agreed(const struct expected *expected) {
    broker_start_transport(&broker, expected->scheme);
    iscp_conn_options_t *options =
        conn_options(broker.url, "node", "encoding", "json", "compression", "context-takeover:4:10", NULL);
    if (strlen(expected->tls_version) > 0) {
        OK(iscp_conn_options_set_tls_insecure_skip_verify(options, true, &error));
    }
    iscp_conn_t *conn = NULL;
    OK(iscp_connect_wait(options, -1, &conn, &error));
    iscp_conn_options_free(options);
    CHECK_TEXT(iscp_conn_transport_name(conn), expected->name);
    CHECK_TEXT(iscp_conn_encoding(conn), "json");
    iscp_path_t *path = path_of(conn, 0);
    check_path(path, expected);
    FAILS(iscp_conn_path(conn, 1, &(iscp_path_t *){NULL}, &error), ISCP_ERR_INVALID_ARGUMENT, "1 of 1");
    CHECK(iscp_path_ref(path) == path);
    OK(iscp_conn_close_wait(conn, -1, &error));
    OK(iscp_conn_wait_closed(conn, -1, &error));
    FAILS(iscp_conn_path(conn, 0, &(iscp_path_t *){NULL}, &error), ISCP_ERR_CLOSED, "closed");
    iscp_conn_free(conn);
    /* What was agreed stays; there is nothing to measure any more. */
    iscp_path_free(path);
    CHECK_TEXT(iscp_path_transport(path), expected->name);
    CHECK_STATUS(iscp_path_stat(path, ISCP_PATH_STAT_MTU, &(uint64_t){0}), ISCP_ERR_CLOSED);
    iscp_path_free(path);
    CHECK_TEXT(iscp_path_transport(path), "");
    client_shutdown();
    broker_stop(&broker);
}

TEST(path_of_a_websocket) {
    what_was_agreed(&(struct expected){"ws", "websocket", "tcp", "", "", "context-takeover:4:10"});
}

TEST(path_of_a_websocket_with_tls) {
    what_was_agreed(
        &(struct expected){"wss", "websocket", "tcp", "TLSv1.3", "http/1.1", "context-takeover:4:10"});
}

TEST(path_of_quic) {
    what_was_agreed(&(struct expected){"quic", "quic", "udp", "TLSv1.3", "iscp", "per-message:4"});
}

TEST(path_of_webtransport) {
    what_was_agreed(
        &(struct expected){"webtransport", "webtransport", "udp", "TLSv1.3", "h3", "per-message:4"});
}

TEST(paths_of_a_connection_over_several) {
    broker_start(&broker, NULL);
    iscp_conn_options_t *options = conn_options(broker.url, "node", NULL);
    OK(iscp_conn_options_add_path(options, "", "", "", &error));
    OK(iscp_conn_options_add_path(options, "", "127.0.0.1", "", &error));
    iscp_conn_t *conn = NULL;
    OK(iscp_connect_wait(options, -1, &conn, &error));
    iscp_conn_options_free(options);
    EVENTUALLY(conn_stat(conn, ISCP_CONN_STAT_PATHS) == 2);
    CHECK_TEXT(iscp_conn_transport_name(conn), "multi");
    iscp_path_t *first = path_of(conn, 0), *second = path_of(conn, 1);
    CHECK(strcmp(iscp_path_local_address(first), iscp_path_local_address(second)) != 0);
    CHECK(path_stat(second, ISCP_PATH_STAT_ROUND_TRIP_NS) > 0);
    FAILS(iscp_conn_path(conn, 2, &(iscp_path_t *){NULL}, &error), ISCP_ERR_INVALID_ARGUMENT, "2 of 2");
    iscp_path_free(first);
    iscp_path_free(second);
    iscp_conn_free(conn);
    client_shutdown();
    broker_stop(&broker);
}

struct ping {
    struct event done;
    iscp_conn_t *conn;
    int64_t round_trip_ns;
    iscp_status_t status;
};

static void on_pong(int64_t round_trip_ns, const iscp_error_t *error, void *user_data) {
    struct ping *ping = user_data;
    ping->round_trip_ns = round_trip_ns;
    ping->status = iscp_error_code(error);
    int64_t other = 7;
    FAILS(iscp_conn_ping_wait(ping->conn, -1, &other, &error), ISCP_ERR_IN_CALLBACK, "callback");
    CHECK_EQ(other, 0);
    event_signal(&ping->done);
}

TEST(pings_measure_and_end_with_the_connection) {
    broker_start(&broker, NULL);
    chaos_start(&chaos, &broker);
    struct ping ping = {.done = EVENT_INIT};
    iscp_conn_options_t *options = conn_options(chaos.url, "node", "reconnect_min_interval_ms", "10",
                                                "reconnect_max_interval_ms", "20", NULL);
    OK(iscp_connect_wait(options, -1, &ping.conn, &error));
    iscp_conn_options_free(options);
    int64_t round_trip_ns = 0;
    OK(iscp_conn_ping_wait(ping.conn, -1, &round_trip_ns, &error));
    CHECK(round_trip_ns > 0);
    CHECK_EQ(conn_stat(ping.conn, ISCP_CONN_STAT_ROUND_TRIP_NS), round_trip_ns);
    OK(iscp_conn_ping(ping.conn, on_pong, &ping, &error));
    event_wait(&ping.done, 1, "the answer");
    CHECK_STATUS(ping.status, ISCP_OK);
    CHECK(ping.round_trip_ns > 0);
    uint64_t sent = 0, received = 0;
    CHECK_STATUS(iscp_conn_message_count(ping.conn, "Ping", &sent, &received), ISCP_OK);
    CHECK_EQ(sent, 2);

    chaos_do(&chaos, "black-hole");
    FAILS(iscp_conn_ping_wait(ping.conn, 20, &round_trip_ns, &error), ISCP_ERR_TIMEOUT, "");
    CHECK_EQ(round_trip_ns, 0);
    OK(iscp_conn_ping(ping.conn, on_pong, &ping, &error));
    chaos_do(&chaos, "refuse");
    chaos_do(&chaos, "cut");
    event_wait(&ping.done, 2, "the loss");
    CHECK_STATUS(ping.status, ISCP_ERR_CONNECTION_LOST);
    CHECK_EQ(ping.round_trip_ns, 0);
    FAILS(iscp_conn_ping_wait(ping.conn, -1, &round_trip_ns, &error), ISCP_ERR_CONNECTION_LOST, "lost");
    iscp_path_t *path = NULL;
    EVENTUALLY(iscp_conn_path(ping.conn, 0, &path, NULL) == ISCP_ERR_CONNECTION_LOST);
    FAILS(iscp_conn_ping(ping.conn, NULL, NULL, &error), ISCP_ERR_NULL_ARGUMENT, "callback");
    chaos_do(&chaos, "let-go");
    chaos_do(&chaos, "accept");
    EVENTUALLY(iscp_conn_state(ping.conn) == ISCP_CONN_STATE_CONNECTED);
    path = path_of(ping.conn, 0);
    iscp_path_free(path);
    OK(iscp_conn_close_wait(ping.conn, -1, &error));
    FAILS(iscp_conn_ping_wait(ping.conn, -1, &round_trip_ns, &error), ISCP_ERR_CLOSED, "closed");
    iscp_conn_free(ping.conn);
    client_shutdown();
    chaos_stop(&chaos);
    broker_stop(&broker);
}

/* Messages of all kinds: sent, and received. */
static void sum(const iscp_conn_t *conn, uint64_t *out_sent, uint64_t *out_received) {
    *out_sent = *out_received = 0;
    size_t kinds = 0;
    for (const char *name; (name = iscp_message_name(kinds)) != NULL; kinds++) {
        uint64_t sent, received;
        CHECK_STATUS(iscp_conn_message_count(conn, name, &sent, &received), ISCP_OK);
        *out_sent += sent;
        *out_received += received;
    }
    CHECK(kinds > 20);
}

TEST(messages_and_points_are_counted) {
    broker_start(&broker, NULL);
    iscp_conn_t *source = client_connect(broker.url, "source"),
                *reader = client_connect(broker.url, "reader");
    iscp_downstream_t *down = client_downstream(reader, "source");
    iscp_upstream_t *up = client_upstream(source, NULL);
    iscp_data_id_t id = client_data_id(up, "a");
    for (int i = 0; i < 1000; i++) {
        client_write(up, id, i, "x");
    }
    OK(iscp_upstream_close_wait(up, false, -1, &error));
    CHECK_EQ(client_read_points(down, 1000), 1000);
    OK(iscp_conn_close_wait(source, -1, &error));
    OK(iscp_conn_close_wait(reader, -1, &error));
    CHECK_EQ(conn_stat(source, ISCP_CONN_STAT_POINTS_SENT), 1000);
    CHECK_EQ(conn_stat(source, ISCP_CONN_STAT_POINTS_RECEIVED), 0);
    CHECK_EQ(conn_stat(reader, ISCP_CONN_STAT_POINTS_SENT), 0);
    CHECK_EQ(conn_stat(reader, ISCP_CONN_STAT_POINTS_RECEIVED), 1000);
    uint64_t sent, received, chunks;
    CHECK_STATUS(iscp_conn_message_count(source, "UpstreamOpenRequest", &sent, &received), ISCP_OK);
    CHECK(sent == 1 && received == 0);
    CHECK_STATUS(iscp_conn_message_count(source, "UpstreamChunk", &chunks, &received), ISCP_OK);
    CHECK(chunks >= 1 && received == 0);
    CHECK_STATUS(iscp_conn_message_count(reader, "DownstreamChunk", &sent, &received), ISCP_OK);
    CHECK(sent == 0 && received == chunks);
    for (int i = 0; i < 2; i++) {
        const iscp_conn_t *conn = i == 0 ? source : reader;
        sum(conn, &sent, &received);
        CHECK_EQ(sent, conn_stat(conn, ISCP_CONN_STAT_MESSAGES_SENT));
        CHECK_EQ(received, conn_stat(conn, ISCP_CONN_STAT_MESSAGES_RECEIVED));
    }
    CHECK_STATUS(iscp_conn_message_count(source, "Nothing", &sent, &received), ISCP_ERR_INVALID_ARGUMENT);
    CHECK_STATUS(iscp_conn_message_count(source, NULL, &sent, &received), ISCP_ERR_NULL_ARGUMENT);
    CHECK_STATUS(iscp_conn_message_count(source, "Ping", NULL, &received), ISCP_ERR_NULL_ARGUMENT);
    iscp_upstream_free(up);
    iscp_downstream_free(down);
    iscp_conn_free(source);
    iscp_conn_free(reader);
    client_shutdown();
    broker_stop(&broker);
}

TEST(address_in_parts) {
    broker_start(&broker, NULL);
    unsigned port = (unsigned)atoi(strrchr(broker.url, ':') + 1);
    iscp_conn_t *conn = NULL;
    iscp_conn_options_t *options = iscp_conn_options_new();
    OK(iscp_conn_options_set_node_id(options, "node", &error));
    FAILS(iscp_connect_wait(options, -1, &conn, &error), ISCP_ERR_INVALID_OPTION, "url");
    OK(iscp_conn_options_set_transport(options, "ws", &error));
    OK(iscp_conn_options_set_host(options, "127.0.0.1", &error));
    OK(iscp_conn_options_set_port(options, (uint16_t)port, &error));
    OK(iscp_conn_options_set_url_path(options, "/elsewhere", &error));
    OK(iscp_connect_wait(options, -1, &conn, &error));
    iscp_path_t *path = path_of(conn, 0);
    CHECK_CONTAINS(iscp_path_url(path), "/elsewhere");
    iscp_path_free(path);
    iscp_conn_free(conn);
    OK(iscp_conn_options_set_url_path(options, "", &error));
    OK(iscp_connect_wait(options, -1, &conn, &error));
    path = path_of(conn, 0);
    CHECK_CONTAINS(iscp_path_url(path), "ws://127.0.0.1:");
    CHECK_CONTAINS(iscp_path_url(path), "/api/iscp/connect");
    iscp_path_free(path);
    iscp_conn_free(conn);

    /* Parts in place of those of a URL, and a URL in place of all parts. */
    OK(iscp_conn_options_set_url(options, "ws://127.0.0.1:1", &error));
    FAILS(iscp_connect_wait(options, -1, &conn, &error), ISCP_ERR_CONNECT_FAILED, "127.0.0.1:1");
    OK(iscp_conn_options_set_port(options, (uint16_t)port, &error));
    OK(iscp_connect_wait(options, -1, &conn, &error));
    iscp_conn_free(conn);
    OK(iscp_conn_options_set_host(options, "[::1]", &error));
    OK(iscp_conn_options_set_url(options, broker.url, &error));
    OK(iscp_connect_wait(options, -1, &conn, &error));
    iscp_conn_free(conn);

    FAILS(iscp_conn_options_set_transport(options, "http", &error), ISCP_ERR_INVALID_OPTION, "transport");
    FAILS(iscp_conn_options_set_host(options, "a b", &error), ISCP_ERR_INVALID_OPTION, "host");
    FAILS(iscp_conn_options_set(options, "port", "65536", &error), ISCP_ERR_INVALID_OPTION, "port");
    FAILS(iscp_conn_options_set_url_path(options, "/?a=b", &error), ISCP_ERR_INVALID_OPTION, "url_path");
    OK(iscp_conn_options_set_transport(options, "quic", &error));
    OK(iscp_conn_options_set_url_path(options, "/x", &error));
    FAILS(iscp_connect_wait(options, -1, &conn, &error), ISCP_ERR_INVALID_OPTION, "path");
    iscp_conn_options_free(options);
    client_shutdown();
    broker_stop(&broker);
}

/* The broker speaks plain TCP, so that this is what comes of it, whatever the system has. */
TEST(multipath_tcp_falls_back) {
    broker_start(&broker, NULL);
    iscp_conn_options_t *options = conn_options(broker.url, "node", "multipath_tcp", "true", NULL);
    iscp_conn_t *conn = NULL;
    OK(iscp_connect_wait(options, -1, &conn, &error));
    iscp_path_t *path = path_of(conn, 0);
    CHECK_TEXT(iscp_path_protocol(path), "tcp");
    iscp_path_free(path);
    iscp_conn_free(conn);
    OK(iscp_conn_options_set_url(options, "quic://127.0.0.1:1", &error));
    FAILS(iscp_connect_wait(options, -1, &conn, &error), ISCP_ERR_INVALID_OPTION, "Multipath TCP");
    OK(iscp_conn_options_set_multipath_tcp(options, false, &error));
    iscp_conn_options_free(options);
    client_shutdown();
    broker_stop(&broker);
}

TEST(null_arguments) {
    iscp_path_t *path = NULL;
    FAILS(iscp_conn_path(NULL, 0, &path, &error), ISCP_ERR_NULL_ARGUMENT, "conn");
    CHECK_TEXT(iscp_conn_transport_name(NULL), "");
    CHECK_TEXT(iscp_conn_encoding(NULL), "");
    CHECK_TEXT(iscp_path_url(NULL), "");
    CHECK_TEXT(iscp_path_alpn(NULL), "");
    CHECK_STATUS(iscp_path_stat(NULL, ISCP_PATH_STAT_MTU, &(uint64_t){0}), ISCP_ERR_NULL_ARGUMENT);
    CHECK(iscp_path_ref(NULL) == NULL);
    iscp_path_free(NULL);
    CHECK_TEXT(iscp_message_name(0), "ConnectRequest");
    CHECK(iscp_message_name(1000) == NULL);
}
