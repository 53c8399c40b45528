/* Connecting: that it works, and every way in which it does not. */
#include "client.h"
#include "server.h"

static iscp_status_t try_connect(const char *url, const char *node, iscp_error_t **error) {
    iscp_conn_options_t *options =
        conn_options(url, node, "connect_timeout_ms", "700", "response_timeout_ms", "700", NULL);
    iscp_conn_t *conn = (iscp_conn_t *)1;
    iscp_status_t status = iscp_connect_wait(options, -1, &conn, error);
    CHECK((status == ISCP_OK) == (conn != NULL));
    iscp_conn_free(conn);
    iscp_conn_options_free(options);
    return status;
}

TEST(connects_and_closes) {
    struct broker broker;
    broker_start(&broker, NULL);
    iscp_conn_t *conn = client_connect(broker.url, "node");
    CHECK_EQ(iscp_conn_state(conn), ISCP_CONN_STATE_CONNECTED);
    CHECK_TEXT(iscp_conn_protocol_version(conn), "3.0.0");
    uint64_t sent, received;
    CHECK_STATUS(iscp_conn_stat(conn, ISCP_CONN_STAT_MESSAGES_SENT, &sent), ISCP_OK);
    CHECK_STATUS(iscp_conn_stat(conn, ISCP_CONN_STAT_MESSAGES_RECEIVED, &received), ISCP_OK);
    CHECK(sent >= 1 && received >= 1);
    CHECK_STATUS(iscp_conn_stat(conn, ISCP_CONN_STAT_BYTES_SENT, &sent), ISCP_OK);
    CHECK_STATUS(iscp_conn_stat(conn, ISCP_CONN_STAT_BYTES_RECEIVED, &received), ISCP_OK);
    CHECK(sent > 0 && received > 0);
    OK(iscp_conn_close_wait(conn, -1, &error));
    CHECK_EQ(iscp_conn_state(conn), ISCP_CONN_STATE_CLOSED);
    FAILS(iscp_conn_close_wait(conn, -1, &error), ISCP_ERR_CLOSED, "connection");
    iscp_upstream_t *up = NULL;
    FAILS(iscp_upstream_open_wait(conn, NULL, -1, &up, &error), ISCP_ERR_CLOSED, "connection");
    iscp_conn_free(conn);
    client_shutdown();
    broker_stop(&broker);
}

TEST(references_share_a_connection) {
    struct broker broker;
    broker_start(&broker, NULL);
    iscp_conn_t *conn = client_connect(broker.url, "node");
    CHECK(iscp_conn_ref(conn) == conn);
    iscp_conn_free(conn);
    CHECK_EQ(iscp_conn_state(conn), ISCP_CONN_STATE_CONNECTED);
    OK(iscp_conn_close_wait(conn, -1, &error));
    iscp_conn_free(conn);
    client_shutdown();
    broker_stop(&broker);
}

TEST(refused_port) {
    char url[64];
    snprintf(url, sizeof url, "ws://127.0.0.1:%d", server_unused_port());
    FAILS(try_connect(url, "node", &error), ISCP_ERR_CONNECT_FAILED, "127.0.0.1");
    iscp_error_t *error = NULL;
    CHECK_STATUS(try_connect(url, "node", &error), ISCP_ERR_CONNECT_FAILED);
    CHECK(iscp_error_is_retriable(error));
    CHECK_EQ(iscp_error_result_code(error), -1);
    iscp_error_free(error);
    client_shutdown();
}

TEST(unknown_host) {
    iscp_error_t *error = NULL;
    iscp_status_t status = try_connect("ws://host.invalid:1", "node", &error);
    /* Some resolvers do not answer at all. */
    CHECK(status == ISCP_ERR_RESOLVE || status == ISCP_ERR_TIMEOUT);
    CHECK_CONTAINS(iscp_error_message(error), "host.invalid");
    iscp_error_free(error);
}

TEST(bad_urls) {
    static const struct {
        const char *url, *culprit;
    } all[] = {
        {"host:1", "scheme"},        {"http://host", "http"}, {"ws://", "url"},
        {"ws://host:99999", "port"}, {"ws://host:x", "url"},  {"ws://host/?enc=json", "query"},
        {"not a url", "url"},        {"://", "url"},
    };
    for (size_t i = 0; i < sizeof all / sizeof all[0]; i++) {
        iscp_conn_options_t *options = iscp_conn_options_new();
        FAILS(iscp_conn_options_set_url(options, all[i].url, &error), ISCP_ERR_INVALID_OPTION,
              all[i].culprit);
        /* The address is quoted, but for what may be a secret. */
        char quoted[64];
        snprintf(quoted, sizeof quoted, "%.*s", (int)strcspn(all[i].url, "?"), all[i].url);
        FAILS(iscp_conn_options_set_url(options, all[i].url, &error), ISCP_ERR_INVALID_OPTION, quoted);
        iscp_conn_options_free(options);
    }
    iscp_conn_options_t *options = iscp_conn_options_new();
    FAILS(iscp_conn_options_set_url(options, "ws://u:p@host", &error), ISCP_ERR_INVALID_OPTION, "password");
    FAILS(iscp_conn_options_set_url(options, "ws://u:p@host", &error), ISCP_ERR_INVALID_OPTION, "@host");
    iscp_conn_options_free(options);
}

TEST(missing_url) {
    iscp_conn_options_t *options = iscp_conn_options_new();
    iscp_conn_t *conn = (iscp_conn_t *)1;
    FAILS(iscp_connect_wait(options, -1, &conn, &error), ISCP_ERR_INVALID_OPTION, "url");
    CHECK(conn == NULL);
    iscp_conn_options_free(options);
}

TEST(transports_this_build_lacks) {
    static const struct {
        const char *url, *feature;
    } all[] = {{"wss://host", "tls"}, {"quic://host", "quic"}, {"webtransport://host", "webtransport"}};
    for (size_t i = 0; i < sizeof all / sizeof all[0]; i++) {
        iscp_conn_options_t *options = iscp_conn_options_new();
        if (iscp_has_feature(all[i].feature)) {
            OK(iscp_conn_options_set_url(options, all[i].url, &error));
        } else {
            FAILS(iscp_conn_options_set_url(options, all[i].url, &error), ISCP_ERR_UNSUPPORTED, all[i].url);
        }
        iscp_conn_options_free(options);
    }
}

static void connect_with_token(const char *url, const char *token, iscp_status_t expected) {
    iscp_conn_options_t *options = conn_options(url, "node", "token", token, NULL);
    iscp_conn_t *conn = NULL;
    iscp_error_t *error = NULL;
    CHECK_STATUS(iscp_connect_wait(options, -1, &conn, &error), expected);
    if (expected == ISCP_ERR_UNAUTHORIZED) {
        CHECK_EQ(iscp_error_result_code(error), 66);
        CHECK_CONTAINS(iscp_error_message(error), "AUTH_FAILED");
        CHECK(!iscp_error_is_retriable(error));
    }
    iscp_error_free(error);
    iscp_conn_free(conn);
    iscp_conn_options_free(options);
}

TEST(wrong_token) {
    struct broker broker;
    broker_start(&broker, "secret");
    connect_with_token(broker.url, "secret", ISCP_OK);
    connect_with_token(broker.url, "guess", ISCP_ERR_UNAUTHORIZED);
    connect_with_token(broker.url, "", ISCP_ERR_UNAUTHORIZED);
    client_shutdown();
    broker_stop(&broker);
}

TEST(no_node_id) {
    struct broker broker;
    broker_start(&broker, NULL);
    /* The server chooses one. */
    iscp_conn_t *conn = client_connect(broker.url, "");
    iscp_upstream_t *up = client_upstream(conn, NULL);
    OK(iscp_upstream_close_wait(up, false, -1, &error));
    iscp_upstream_free(up);
    iscp_conn_free(conn);
    client_shutdown();
    broker_stop(&broker);
}

TEST(http_server) {
    struct server server;
    server_start(&server, "HTTP/1.1 404 Not Found\r\nContent-Length: 0\r\nConnection: close\r\n\r\n");
    FAILS(try_connect(server.url, "node", &error), ISCP_ERR_HANDSHAKE, "404");
    server_stop(&server);
}

TEST(silent_server) {
    struct server server;
    server_start(&server, NULL);
    int64_t before = test_now_ms();
    FAILS(try_connect(server.url, "node", &error), ISCP_ERR_TIMEOUT, server.url);
    int64_t took = test_now_ms() - before;
    CHECK(took >= 650 && took < 10000);
    server_stop(&server);
}

TEST(server_that_talks_nonsense) {
    struct server server;
    server_start(&server, "\x16\x03\x01 this is no HTTP\r\n\r\n");
    FAILS(try_connect(server.url, "node", &error), ISCP_ERR_HANDSHAKE, "connect");
    server_stop(&server);
}

TEST(caller_waits_less_than_the_attempt) {
    struct server server;
    server_start(&server, NULL);
    iscp_conn_options_t *options = conn_options(server.url, "node", NULL);
    iscp_conn_t *conn = NULL;
    FAILS(iscp_connect_wait(options, 50, &conn, &error), ISCP_ERR_TIMEOUT, "time-out");
    FAILS(iscp_connect_wait(options, -2, &conn, &error), ISCP_ERR_INVALID_ARGUMENT, "timeout_ms");
    iscp_conn_options_free(options);
    /* The attempt goes on by itself; the shutdown ends it long before its own time-out. */
    int64_t before = test_now_ms();
    client_shutdown();
    CHECK(test_now_ms() - before < 8000);
    server_stop(&server);
}

struct token_source {
    struct event asked, released;
    const char *token;
    iscp_token_request_t *request;
};

static void on_token(iscp_token_request_t *request, void *user_data) {
    struct token_source *source = user_data;
    if (source->token == NULL) {
        source->request = request;
    } else if (source->token[0] == '!') {
        OK(iscp_token_request_reject(request, source->token, &error));
    } else {
        OK(iscp_token_request_resolve(request, source->token, &error));
        FAILS(iscp_token_request_resolve(request, source->token, &error), ISCP_ERR_BAD_HANDLE, "request");
    }
    event_signal(&source->asked);
}

static void on_release(void *user_data) {
    event_signal(&((struct token_source *)user_data)->released);
}

TEST(token_callback) {
    struct broker broker;
    broker_start(&broker, "secret");
    static const struct {
        const char *token;
        iscp_status_t status;
    } all[] = {
        {"secret", ISCP_OK}, {"guess", ISCP_ERR_UNAUTHORIZED}, {"!out of tokens", ISCP_ERR_TOKEN_FAILED}};
    for (size_t i = 0; i < 3; i++) {
        struct token_source source = {EVENT_INIT, EVENT_INIT, all[i].token, NULL};
        iscp_conn_options_t *options = conn_options(broker.url, "node", NULL);
        OK(iscp_conn_options_set_token_callback(options, on_token, &source, on_release, &error));
        iscp_conn_t *conn = NULL;
        iscp_error_t *error = NULL;
        CHECK_STATUS(iscp_connect_wait(options, -1, &conn, &error), all[i].status);
        if (all[i].status == ISCP_ERR_TOKEN_FAILED) {
            CHECK_CONTAINS(iscp_error_message(error), "out of tokens");
        }
        iscp_error_free(error);
        event_wait(&source.asked, 1, "the end of the token callback");
        iscp_conn_free(conn);
        iscp_conn_options_free(options);
        event_wait(&source.released, 1, "the release of the token source");
        CHECK_EQ(event_count(&source.asked), 1);
    }
    client_shutdown();
    broker_stop(&broker);
}

static void connected(iscp_conn_t *conn, const iscp_error_t *error, void *user_data) {
    CHECK(error == NULL);
    iscp_conn_free(conn);
    event_signal(user_data);
}

TEST(token_answered_later) {
    struct broker broker;
    broker_start(&broker, "secret");
    struct token_source source = {EVENT_INIT, EVENT_INIT, NULL, NULL};
    struct event done = EVENT_INIT;
    iscp_conn_options_t *options = conn_options(broker.url, "node", NULL);
    OK(iscp_conn_options_set_token_callback(options, on_token, &source, on_release, &error));
    OK(iscp_connect(options, connected, &done, &error));
    iscp_conn_options_free(options);
    event_wait(&source.asked, 1, "the question for a token");
    CHECK_EQ(event_count(&done), 0);
    FAILS(iscp_token_request_resolve(source.request, NULL, &error), ISCP_ERR_NULL_ARGUMENT, "token");
    OK(iscp_token_request_resolve(source.request, "secret", &error));
    event_wait(&done, 1, "the connection");
    event_wait(&source.released, 1, "the release of the token source");
    client_shutdown();
    broker_stop(&broker);
}
