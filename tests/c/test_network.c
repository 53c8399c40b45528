/* TLS, tokens and the way to the server, through the options of a connection. */
#include "client.h"
#include "server.h"

#include <stdatomic.h>
#include <unistd.h>

/* Options for a broker that waits for nothing long. */
static iscp_conn_options_t *options_for(const struct broker *broker) {
    return conn_options(broker->url, "node", "connect_timeout_ms", "5000", NULL);
}

static void connects(iscp_conn_options_t *options) {
    iscp_conn_t *conn = NULL;
    OK(iscp_connect_wait(options, -1, &conn, &error));
    iscp_conn_free(conn);
}

static iscp_status_t try_connect(iscp_conn_options_t *options, iscp_error_t **error) {
    iscp_conn_t *conn = NULL;
    iscp_status_t status = iscp_connect_wait(options, -1, &conn, error);
    iscp_conn_free(conn);
    return status;
}

static char *file_text(const char *path) {
    static char text[16384];
    FILE *file = fopen(path, "r");
    CHECK(file != NULL);
    size_t length = fread(text, 1, sizeof text - 1, file);
    fclose(file);
    CHECK(length > 0 && length < sizeof text - 1);
    text[length] = '\0';
    return text;
}

static atomic_int warnings;

static void on_log(iscp_log_level_t level, const char *target, const char *message, void *user_data) {
    (void)target, (void)user_data;
    if (level == ISCP_LOG_WARN && strstr(message, "NOT verified") != NULL) {
        warnings++;
    }
}

TEST(certificates_are_verified) {
    struct broker broker;
    broker_start_secure(&broker, "fixed");
    iscp_conn_options_t *options = options_for(&broker);
    OK(iscp_conn_options_set_token(options, "fixed", &error));
    FAILS(try_connect(options, &error), ISCP_ERR_TLS, "unknown issuer");
    OK(iscp_conn_options_set_tls_ca_file(options, broker.ca, &error));
    connects(options);
    OK(iscp_conn_options_set_tls_ca_file(options, "", &error));
    FAILS(try_connect(options, &error), ISCP_ERR_TLS, "server's certificate");
    OK(iscp_conn_options_set_tls_ca_pem(options, file_text(broker.ca), &error));
    connects(options);
    OK(iscp_conn_options_set_tls_server_name(options, "wrong.example", &error));
    FAILS(try_connect(options, &error), ISCP_ERR_TLS, "wrong.example");
    OK(iscp_conn_options_set_tls_server_name(options, "localhost", &error));
    connects(options);
    iscp_conn_options_free(options);
    client_shutdown();
    broker_stop(&broker);
}

TEST(skipping_verification_is_logged_at_every_connect) {
    struct broker broker;
    broker_start_secure(&broker, "fixed");
    OK(iscp_log_set(on_log, ISCP_LOG_WARN, NULL, NULL, &error));
    iscp_conn_options_t *options = options_for(&broker);
    OK(iscp_conn_options_set_token(options, "fixed", &error));
    OK(iscp_conn_options_set_tls_insecure_skip_verify(options, true, &error));
    connects(options);
    EVENTUALLY(warnings == 1);
    connects(options);
    EVENTUALLY(warnings == 2);
    OK(iscp_conn_options_set_tls_insecure_skip_verify(options, false, &error));
    FAILS(try_connect(options, &error), ISCP_ERR_TLS, "unknown issuer");
    iscp_conn_options_free(options);
    client_shutdown();
    broker_stop(&broker);
}

TEST(files_and_texts_of_tls_are_checked_when_set) {
    struct broker broker;
    broker_start_secure(&broker, NULL);
    iscp_conn_options_t *options = options_for(&broker);
    static iscp_status_t (*const files[])(iscp_conn_options_t *, const char *, iscp_error_t **) = {
        iscp_conn_options_set_tls_ca_file, iscp_conn_options_set_tls_client_cert_file,
        iscp_conn_options_set_tls_client_key_file};
    for (size_t i = 0; i < 3; i++) {
        FAILS(files[i](options, "/no/such/file", &error), ISCP_ERR_INVALID_OPTION, "/no/such/file");
        FAILS(files[i](options, "/dev/null", &error), ISCP_ERR_INVALID_OPTION, "empty");
        FAILS(files[i](options, "/proc/self/exe", &error), ISCP_ERR_INVALID_OPTION, "/proc/self/exe");
    }
    FAILS(iscp_conn_options_set_tls_client_key_file(options, broker.ca, &error), ISCP_ERR_INVALID_OPTION,
          "no private key");
    FAILS(iscp_conn_options_set_tls_ca_pem(options, "text", &error), ISCP_ERR_INVALID_OPTION,
          "no certificate");
    FAILS(iscp_conn_options_set_tls_client_cert_pem(options, "text", &error), ISCP_ERR_INVALID_OPTION,
          "no certificate");
    FAILS(iscp_conn_options_set_tls_client_key_pem(options, "my secret key", &error), ISCP_ERR_INVALID_OPTION,
          "no private key");
    FAILS(iscp_conn_options_set_tls_server_name(options, "a b", &error), ISCP_ERR_INVALID_OPTION, "a b");
    /* Half of a client certificate is found when connecting, before anything is sent. */
    OK(iscp_conn_options_set_tls_client_cert_file(options, broker.ca, &error));
    FAILS(try_connect(options, &error), ISCP_ERR_INVALID_OPTION, "key");
    iscp_conn_options_free(options);
    broker_stop(&broker);
}

TEST(oauth2_gives_the_token) {
    struct broker broker;
    broker_start_secure(&broker, NULL);
    iscp_conn_options_t *options = options_for(&broker);
    OK(iscp_conn_options_set_tls_ca_file(options, broker.ca, &error));
    FAILS(try_connect(options, &error), ISCP_ERR_UNAUTHORIZED, "AUTH_FAILED");
    OK(iscp_conn_options_set_oauth2_token_url(options, broker.token_url, &error));
    FAILS(try_connect(options, &error), ISCP_ERR_INVALID_OPTION, "oauth2_client_id");
    OK(iscp_conn_options_set_oauth2_client_id(options, "iscp-dev", &error));
    OK(iscp_conn_options_set_oauth2_client_secret(options, "guess", &error));
    OK(iscp_conn_options_set_oauth2_scope(options, "any", &error));
    FAILS(try_connect(options, &error), ISCP_ERR_TOKEN_FAILED, "invalid_client");
    OK(iscp_conn_options_set_oauth2_client_secret(options, "iscp-dev-secret", &error));
    connects(options);
    connects(options);
    OK(iscp_conn_options_set_token(options, "fixed", &error));
    FAILS(try_connect(options, &error), ISCP_ERR_INVALID_OPTION, "OAuth2");
    FAILS(iscp_conn_options_set_oauth2_token_url(options, "ftp://host", &error), ISCP_ERR_INVALID_OPTION,
          "ftp://host");
    iscp_conn_options_free(options);
    client_shutdown();
    broker_stop(&broker);
}

TEST(oauth2_servers_that_are_silent_are_not_waited_for) {
    struct broker broker;
    struct server server;
    broker_start(&broker, NULL);
    server_start(&server, NULL);
    char url[128];
    snprintf(url, sizeof url, "http%s/token", strchr(server.url, ':'));
    iscp_conn_options_t *options =
        conn_options(broker.url, "node", "oauth2_client_id", "id", "oauth2_client_secret", "secret", NULL);
    OK(iscp_conn_options_set_oauth2_token_url(options, url, &error));
    OK(iscp_conn_options_set_token_timeout_ms(options, 100, &error));
    iscp_error_t *error = NULL;
    CHECK_STATUS(try_connect(options, &error), ISCP_ERR_TOKEN_FAILED);
    CHECK_CONTAINS(iscp_error_message(error), "100ms");
    CHECK(iscp_error_is_retriable(error));
    iscp_error_free(error);
    iscp_conn_options_free(options);
    client_shutdown();
    server_stop(&server);
    broker_stop(&broker);
}

struct source {
    struct event asked, released;
    const char *token; /* NULL keeps the question */
    iscp_token_request_t *request;
};

static void on_token(iscp_token_request_t *request, void *user_data) {
    struct source *source = user_data;
    if (source->token == NULL) {
        source->request = request;
    } else if (source->token[0] == '!') {
        OK(iscp_token_request_reject(request, source->token, &error));
    } else {
        OK(iscp_token_request_resolve(request, source->token, &error));
    }
    event_signal(&source->asked);
}

static void on_release(void *user_data) {
    event_signal(&((struct source *)user_data)->released);
}

TEST(header_tokens) {
    struct broker broker;
    broker_start(&broker, "secret");
    iscp_conn_options_t *options = options_for(&broker);
    OK(iscp_conn_options_set_header_token(options, "Bearer secret", &error));
    connects(options);
    OK(iscp_conn_options_set_header_token_name(options, "X-Token", &error));
    FAILS(try_connect(options, &error), ISCP_ERR_UNAUTHORIZED, "AUTH_FAILED");
    OK(iscp_conn_options_set_header_token_name(options, "authorization", &error));
    static const struct {
        const char *token;
        iscp_status_t status;
    } all[] = {
        {"secret", ISCP_OK}, {"guess", ISCP_ERR_UNAUTHORIZED}, {"!out of tokens", ISCP_ERR_TOKEN_FAILED}};
    for (size_t i = 0; i < 3; i++) {
        struct source source = {EVENT_INIT, EVENT_INIT, all[i].token, NULL};
        OK(iscp_conn_options_set_header_token_callback(options, on_token, &source, on_release, &error));
        iscp_error_t *error = NULL;
        CHECK_STATUS(try_connect(options, &error), all[i].status);
        if (all[i].status == ISCP_ERR_TOKEN_FAILED) {
            CHECK_CONTAINS(iscp_error_message(error), "header token");
        }
        iscp_error_free(error);
        /* A fixed token replaces the callback, which is then released. */
        OK(iscp_conn_options_set_header_token(options, "secret", &error));
        event_wait(&source.released, 1, "the release of the source");
        CHECK_EQ(event_count(&source.asked), 1);
    }
    FAILS(iscp_conn_options_set_header_token_callback(options, NULL, NULL, NULL, &error),
          ISCP_ERR_NULL_ARGUMENT, "callback");
    FAILS(iscp_conn_options_set_header_token(options, "a\nb", &error), ISCP_ERR_INVALID_OPTION, "header");
    FAILS(iscp_conn_options_set_header_token_name(options, "a b", &error), ISCP_ERR_INVALID_OPTION,
          "name of a header");
    FAILS(iscp_conn_options_set_header_token_name(options, "Upgrade", &error), ISCP_ERR_INVALID_OPTION,
          "handshake");
    iscp_conn_options_free(options);
    client_shutdown();
    broker_stop(&broker);
}

TEST(a_token_callback_that_never_answers_is_not_waited_for) {
    struct broker broker;
    broker_start(&broker, "secret");
    struct source source = {EVENT_INIT, EVENT_INIT, NULL, NULL};
    iscp_conn_options_t *options = options_for(&broker);
    OK(iscp_conn_options_set_token_timeout_ms(options, 50, &error));
    OK(iscp_conn_options_set_token_callback(options, on_token, &source, on_release, &error));
    FAILS(try_connect(options, &error), ISCP_ERR_TOKEN_FAILED, "50ms");
    event_wait(&source.asked, 1, "the question for a token");
    /* Too late, and legal. */
    OK(iscp_token_request_resolve(source.request, "secret", &error));
    iscp_conn_options_free(options);
    event_wait(&source.released, 1, "the release of the source");
    client_shutdown();
    broker_stop(&broker);
}

TEST(proxies) {
    struct server proxy;
    server_start(&proxy, "HTTP/1.1 407 Proxy Authentication Required\r\nContent-Length: 0\r\n\r\n");
    iscp_conn_options_t *options = conn_options("ws://host.invalid", "node", NULL);
    char url[128];
    snprintf(url, sizeof url, "http://user:secret@%s", strstr(proxy.url, "127"));
    OK(iscp_conn_options_set_proxy(options, url, &error));
    /* The proxy would resolve the name. */
    FAILS(try_connect(options, &error), ISCP_ERR_HANDSHAKE, "407");
    FAILS(iscp_conn_options_set_proxy(options, "socks5://host:1", &error), ISCP_ERR_INVALID_OPTION, "socks5");
    iscp_error_t *error = NULL;
    CHECK_STATUS(iscp_conn_options_set_proxy(options, "https://user:secret@host", &error),
                 ISCP_ERR_INVALID_OPTION);
    CHECK(strstr(iscp_error_message(error), "secret") == NULL);
    iscp_error_free(error);
    iscp_conn_options_free(options);
    client_shutdown();
    server_stop(&proxy);
}

TEST(local_address_and_interface) {
    struct broker broker;
    broker_start(&broker, NULL);
    iscp_conn_options_t *options = options_for(&broker);
    OK(iscp_conn_options_set_local_address(options, "127.0.0.1", &error));
    OK(iscp_conn_options_set_interface(options, "lo", &error));
    connects(options);
    OK(iscp_conn_options_set_interface(options, "no-such-if", &error));
    FAILS(try_connect(options, &error), ISCP_ERR_CONNECT_FAILED, "no-such-if");
    OK(iscp_conn_options_set_interface(options, "", &error));
    OK(iscp_conn_options_set_local_address(options, "::1", &error));
    FAILS(try_connect(options, &error), ISCP_ERR_CONNECT_FAILED, "::1");
    FAILS(iscp_conn_options_set_local_address(options, "lo", &error), ISCP_ERR_INVALID_OPTION, "lo");
    FAILS(iscp_conn_options_set_interface(options, "a-name-that-is-too-long", &error),
          ISCP_ERR_INVALID_OPTION, "interface");
    iscp_conn_options_free(options);
    client_shutdown();
    broker_stop(&broker);
}

TEST(several_paths_are_one_connection) {
    struct broker broker;
    struct chaos chaos[2];
    broker_start(&broker, NULL);
    chaos_start(&chaos[0], &broker);
    chaos_start(&chaos[1], &broker);
    iscp_conn_options_t *options = options_for(&broker);
    OK(iscp_conn_options_add_path(options, chaos[0].url, "", "", &error));
    OK(iscp_conn_options_add_path(options, chaos[1].url, "127.0.0.1", "", &error));
    /* The paths do it, not a new connection. */
    OK(iscp_conn_options_set_reconnect(options, false, &error));
    OK(iscp_conn_options_set_multi_scheduler(options, "round-robin", &error));
    OK(iscp_conn_options_set_multi_redial_interval_ms(options, 20, &error));
    OK(iscp_conn_options_set_multi_ping_interval_ms(options, 50, &error));
    OK(iscp_conn_options_set_multi_path_timeout_ms(options, 2000, &error));
    OK(iscp_conn_options_set_multi_lost_timeout_ms(options, 30000, &error));
    iscp_conn_t *sender = NULL;
    OK(iscp_connect_wait(options, -1, &sender, &error));
    iscp_conn_t *reader = client_connect(broker.url, "reader");
    iscp_downstream_t *down = client_downstream(reader, "node");
    iscp_upstream_t *up = client_upstream(sender, "flush_policy", "immediate", NULL);
    iscp_data_id_t id = client_data_id(up, "n");
    size_t points = 0, count = 0;
    /* One breaks, the other, and the first again in another way. */
    const char *faults[] = {"cut", "cut", "cut finish"};
    for (size_t i = 0; i < 3; i++) {
        for (int64_t elapsed = 0; elapsed < 100; elapsed++, points++) {
            client_write(up, id, elapsed, "point");
            if (elapsed == 50) {
                chaos_do(&chaos[i % 2], faults[i]);
            }
        }
        OK(iscp_upstream_flush_wait(up, ISCP_FLUSH_ACKNOWLEDGED, -1, &error));
        uint64_t paths = 0;
        EVENTUALLY(iscp_conn_stat(sender, ISCP_CONN_STAT_PATHS, &paths) == ISCP_OK && paths == 2);
    }
    while (count < points) {
        count += client_read_points(down, 1);
    }
    CHECK_EQ(count, points);
    iscp_upstream_free(up);
    iscp_downstream_free(down);
    iscp_conn_free(sender);
    iscp_conn_free(reader);

    FAILS(iscp_conn_options_add_path(options, "ftp://host", "", "", &error), ISCP_ERR_INVALID_OPTION, "ftp");
    FAILS(iscp_conn_options_add_path(options, "", "host", "", &error), ISCP_ERR_INVALID_OPTION, "host");
    FAILS(iscp_conn_options_add_path(options, "", "", "a name that is too long", &error),
          ISCP_ERR_INVALID_OPTION, "23 bytes");
    FAILS(iscp_conn_options_add_path(options, NULL, "", "", &error), ISCP_ERR_NULL_ARGUMENT, "url");
    FAILS(iscp_conn_options_set(options, "path", "eth0", &error), ISCP_ERR_INVALID_OPTION, "interface=");
    FAILS(iscp_conn_options_set_multi_scheduler(options, "fastest", &error), ISCP_ERR_INVALID_OPTION,
          "fastest");
    for (size_t i = 2; i < 16; i++) {
        OK(iscp_conn_options_set(options, "path", "interface=wwan0", &error));
    }
    FAILS(iscp_conn_options_add_path(options, "", "", "", &error), ISCP_ERR_INVALID_OPTION, "16");
    iscp_conn_options_free(options);
    client_shutdown();
    chaos_stop(&chaos[0]);
    chaos_stop(&chaos[1]);
    broker_stop(&broker);
}
