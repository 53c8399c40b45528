/* Connections that are lost and made anew: what the application is told, and what it gets. A proxy of the
 * program `iscp` stands between client and broker and does what it is told. */
#include "client.h"

#include <signal.h>
#include <unistd.h>

static struct broker broker;
static struct chaos chaos;

static void begin(void) {
    broker_start(&broker, NULL);
    chaos_start(&chaos, &broker);
}

static void end(void) {
    client_shutdown();
    chaos_stop(&chaos);
    broker_stop(&broker);
}

/* What was told. */
struct told {
    struct event connected, disconnected, reconnecting, reconnected, closed;
    struct event up_resumed, up_reopened, down_resumed, down_reopened;
    struct event released;
    uint32_t attempt;
    iscp_status_t lost_by, closed_by;
    iscp_uuid_t up_id, up_former;
};

#define TOLD_INIT                                                                                            \
    {                                                                                                        \
        .connected = EVENT_INIT, .disconnected = EVENT_INIT, .reconnecting = EVENT_INIT,                     \
        .reconnected = EVENT_INIT, .closed = EVENT_INIT, .up_resumed = EVENT_INIT,                           \
        .up_reopened = EVENT_INIT, .down_resumed = EVENT_INIT, .down_reopened = EVENT_INIT,                  \
        .released = EVENT_INIT                                                                               \
    }

static void on_event(const iscp_event_t *event, void *user_data) {
    struct told *told = user_data;
    iscp_event_kind_t kind = iscp_event_kind(event);
    const iscp_error_t *error = iscp_event_error(event);
    uint32_t attempt = iscp_event_attempt(event), delay_ms = iscp_event_delay_ms(event);
    CHECK_EQ(event_count(&told->closed), 0);
    CHECK_EQ(attempt > 0, kind == ISCP_EVENT_RECONNECTING);
    switch (kind) {
    case ISCP_EVENT_CONNECTED:
        CHECK(error == NULL);
        event_signal(&told->connected);
        break;
    case ISCP_EVENT_DISCONNECTED:
        told->lost_by = iscp_error_code(error);
        CHECK(told->lost_by != ISCP_OK && strlen(iscp_error_message(error)) > 0);
        event_signal(&told->disconnected);
        break;
    case ISCP_EVENT_RECONNECTING:
        CHECK(error != NULL && delay_ms >= 10 && delay_ms <= 200);
        told->attempt = attempt;
        event_signal(&told->reconnecting);
        break;
    case ISCP_EVENT_RECONNECTED:
        CHECK(error == NULL);
        event_signal(&told->reconnected);
        break;
    case ISCP_EVENT_CLOSED:
        told->closed_by = iscp_error_code(error);
        event_signal(&told->closed);
        break;
    case ISCP_EVENT_UPSTREAM_RESUMED:
    case ISCP_EVENT_UPSTREAM_REOPENED:
    case ISCP_EVENT_UPSTREAM_CLOSED:
    case ISCP_EVENT_DOWNSTREAM_RESUMED:
    case ISCP_EVENT_DOWNSTREAM_REOPENED:
    case ISCP_EVENT_DOWNSTREAM_CLOSED:
        break;
    default:
        FAIL("event %d", (int)kind);
    }
}

static void on_up_event(iscp_stream_event_t event, const iscp_uuid_t *id, const iscp_uuid_t *former,
                        void *user_data) {
    struct told *told = user_data;
    CHECK_EQ(memcmp(id, former, sizeof *id) == 0, event == ISCP_STREAM_EVENT_RESUMED);
    told->up_id = *id;
    told->up_former = *former;
    event_signal(event == ISCP_STREAM_EVENT_RESUMED ? &told->up_resumed : &told->up_reopened);
}

static void on_down_event(iscp_stream_event_t event, const iscp_uuid_t *id, const iscp_uuid_t *former,
                          void *user_data) {
    struct told *told = user_data;
    CHECK(id != NULL && former != NULL);
    event_signal(event == ISCP_STREAM_EVENT_RESUMED ? &told->down_resumed : &told->down_reopened);
}

static void on_release(void *user_data) {
    event_signal(&((struct told *)user_data)->released);
}

static iscp_conn_t *connect_to(const char *address, struct told *told) {
    iscp_conn_t *conn = NULL;
    iscp_conn_options_t *options = conn_options(address, "node", "reconnect_min_interval_ms", "10",
                                                "reconnect_max_interval_ms", "200", NULL);
    OK(iscp_conn_options_set_event_callback(options, on_event, told, on_release, &error));
    OK(iscp_connect_wait(options, -1, &conn, &error));
    iscp_conn_options_free(options);
    return conn;
}

static iscp_upstream_t *open_up(iscp_conn_t *conn, const char *reopen, struct told *told) {
    iscp_upstream_t *up = NULL;
    iscp_upstream_options_t *options = upstream_options("reopen", reopen, "flush_policy", "immediate", NULL);
    OK(iscp_upstream_options_set_event_callback(options, on_up_event, told, on_release, &error));
    OK(iscp_upstream_open_wait(conn, options, -1, &up, &error));
    iscp_upstream_options_free(options);
    return up;
}

static iscp_downstream_t *open_down(iscp_conn_t *conn, bool reopen, struct told *told) {
    iscp_downstream_t *down = NULL;
    iscp_downstream_options_t *options = iscp_downstream_options_new();
    OK(iscp_downstream_options_add_filter(options, "node", "#:#", &error));
    OK(iscp_downstream_options_set_qos(options, ISCP_QOS_RELIABLE, &error));
    OK(iscp_downstream_options_set_reopen(options, reopen, &error));
    OK(iscp_downstream_options_set_event_callback(options, on_down_event, told, on_release, &error));
    OK(iscp_downstream_open_wait(conn, options, -1, &down, &error));
    iscp_downstream_options_free(options);
    return down;
}

static uint64_t conn_stat(const iscp_conn_t *conn, iscp_conn_stat_t stat) {
    uint64_t value = 0;
    CHECK_STATUS(iscp_conn_stat(conn, stat, &value), ISCP_OK);
    return value;
}

TEST(streams_go_on_and_every_event_is_told) {
    begin();
    struct told told = TOLD_INIT;
    iscp_conn_t *conn = connect_to(chaos.url, &told);
    iscp_upstream_t *up = open_up(conn, "false", &told);
    iscp_downstream_t *down = open_down(conn, false, &told);
    iscp_uuid_t id = iscp_upstream_id(up);
    iscp_data_id_t data_id = client_data_id(up, "a");
    client_write(up, data_id, 0, "before");
    CHECK_EQ(client_read_points(down, 1), 1);
    chaos_do(&chaos, "refuse");
    chaos_do(&chaos, "cut");
    event_wait(&told.reconnecting, 3, "three attempts");
    CHECK_EQ(iscp_conn_state(conn), ISCP_CONN_STATE_RECONNECTING);
    CHECK_EQ(iscp_downstream_state(down), ISCP_DOWNSTREAM_STATE_RESUMING);
    CHECK(told.attempt >= 3);
    client_write(up, data_id, 1, "meanwhile");
    FAILS(iscp_upstream_flush_wait(up, ISCP_FLUSH_ACKNOWLEDGED, 20, &error), ISCP_ERR_TIMEOUT, "");
    chaos_do(&chaos, "accept");
    event_wait(&told.up_resumed, 1, "the upstream");
    event_wait(&told.down_resumed, 1, "the downstream");
    CHECK_EQ(iscp_downstream_state(down), ISCP_DOWNSTREAM_STATE_OPEN);
    CHECK_EQ(event_count(&told.reconnected), 1);
    CHECK(memcmp(&told.up_id, &id, sizeof id) == 0);
    client_write(up, data_id, 2, "after");
    CHECK_EQ(client_read_points(down, 2), 2);
    CHECK_EQ(iscp_conn_state(conn), ISCP_CONN_STATE_CONNECTED);
    CHECK_EQ(conn_stat(conn, ISCP_CONN_STAT_LOSSES), 1);
    CHECK_EQ(conn_stat(conn, ISCP_CONN_STAT_RECONNECTS), 1);
    OK(iscp_upstream_close_wait(up, false, -1, &error));
    OK(iscp_conn_close_wait(conn, -1, &error));
    event_wait(&told.closed, 1, "the end");
    event_wait(&told.released, 3, "the releases");
    CHECK_STATUS(told.closed_by, ISCP_OK);
    CHECK_EQ(event_count(&told.connected), 1);
    CHECK_EQ(event_count(&told.disconnected), 1);
    iscp_upstream_free(up);
    iscp_downstream_free(down);
    iscp_conn_free(conn);
    end();
    CHECK_EQ(event_count(&told.released), 3);
}

TEST(broker_that_starts_again) {
    broker_start(&broker, NULL);
    struct told told = TOLD_INIT;
    iscp_conn_t *conn = connect_to(broker.url, &told);
    iscp_upstream_t *up = open_up(conn, "true", &told);
    iscp_downstream_t *down = open_down(conn, true, &told);
    iscp_uuid_t former = iscp_upstream_id(up);
    iscp_data_id_t data_id = client_data_id(up, "a");
    client_write(up, data_id, 0, "before");
    CHECK_EQ(client_read_points(down, 1), 1);
    OK(iscp_upstream_flush_wait(up, ISCP_FLUSH_ACKNOWLEDGED, -1, &error));
    process_signal(&broker.process, SIGKILL);
    process_finish(&broker.process);
    process_free(&broker.process);
    event_wait(&told.disconnected, 1, "the loss");
    client_write(up, data_id, 1, "meanwhile");
    const char *arguments[] = {ISCP_PROGRAM, "broker", "--ws", strstr(broker.url, "//") + 2, NULL};
    process_start(&broker.process, arguments);
    process_expect(&broker.process, "listening ");
    event_wait(&told.up_reopened, 1, "another upstream");
    event_wait(&told.down_reopened, 1, "another downstream");
    CHECK(memcmp(&told.up_former, &former, sizeof former) == 0);
    iscp_uuid_t id = iscp_upstream_id(up);
    CHECK(memcmp(&told.up_id, &id, sizeof id) == 0);
    OK(iscp_upstream_flush_wait(up, ISCP_FLUSH_ACKNOWLEDGED, -1, &error));
    client_write(up, data_id, 2, "after");
    CHECK(client_read_points(down, 1) >= 1);
    OK(iscp_upstream_close_wait(up, false, -1, &error));
    CHECK_EQ(event_count(&told.up_resumed) + event_count(&told.down_resumed), 0);
    iscp_upstream_free(up);
    iscp_downstream_free(down);
    iscp_conn_free(conn);
    client_shutdown();
    CHECK_EQ(event_count(&told.released), 3);
    broker_stop(&broker);
}

TEST(free_everything_while_reconnecting) {
    begin();
    struct told told = TOLD_INIT;
    iscp_conn_t *conn = connect_to(chaos.url, &told);
    iscp_upstream_t *up = open_up(conn, "true", &told);
    iscp_downstream_t *down = open_down(conn, true, &told);
    chaos_do(&chaos, "refuse");
    chaos_do(&chaos, "cut");
    event_wait(&told.reconnecting, 2, "two attempts");
    iscp_conn_free(conn);
    iscp_upstream_free(up);
    iscp_downstream_free(down);
    event_wait(&told.closed, 1, "the end");
    event_wait(&told.released, 3, "the releases");
    CHECK_STATUS(told.closed_by, ISCP_OK);
    end();
}

TEST(an_outage_that_is_given_up) {
    begin();
    struct told told = TOLD_INIT;
    iscp_conn_t *conn = NULL;
    iscp_conn_options_t *options = conn_options(chaos.url, "node", "reconnect_min_interval_ms", "10",
                                                "reconnect_max_interval_ms", "20", NULL);
    OK(iscp_conn_options_set_reconnect_attempts(options, 2, &error));
    OK(iscp_conn_options_set_reconnect_total_ms(options, 60000, &error));
    OK(iscp_conn_options_set_event_callback(options, on_event, &told, on_release, &error));
    OK(iscp_connect_wait(options, -1, &conn, &error));
    iscp_conn_options_free(options);
    iscp_downstream_t *down = client_downstream(conn, "nobody");
    chaos_do(&chaos, "refuse");
    chaos_do(&chaos, "cut");
    iscp_chunk_t *chunk = NULL;
    FAILS(iscp_downstream_next_chunk_wait(down, -1, &chunk, &error), ISCP_ERR_CONNECT_FAILED, "2 attempts");
    event_wait(&told.closed, 1, "the end");
    CHECK_STATUS(told.closed_by, ISCP_ERR_CONNECT_FAILED);
    CHECK_EQ(told.attempt, 2);
    CHECK_EQ(iscp_conn_state(conn), ISCP_CONN_STATE_CLOSED);
    iscp_downstream_free(down);
    iscp_conn_free(conn);
    end();
}

TEST(options_and_null_callbacks) {
    struct told told = TOLD_INIT;
    iscp_conn_options_t *options = conn_options("ws://127.0.0.1:1", "node", NULL);
    FAILS(iscp_conn_options_set_reconnect_min_interval_ms(options, 9, &error), ISCP_ERR_INVALID_OPTION,
          "reconnect_min_interval_ms");
    FAILS(iscp_conn_options_set(options, "reconnect", "maybe", &error), ISCP_ERR_INVALID_OPTION, "reconnect");
    OK(iscp_conn_options_set_reconnect(options, true, &error));
    OK(iscp_conn_options_set_reconnect_max_interval_ms(options, 50, &error));
    iscp_conn_t *conn = NULL;
    FAILS(iscp_connect_wait(options, -1, &conn, &error), ISCP_ERR_INVALID_OPTION, "reconnect_min_interval");
    FAILS(iscp_conn_options_set_event_callback(options, NULL, &told, on_release, &error),
          ISCP_ERR_NULL_ARGUMENT, "callback");
    iscp_conn_options_free(options);
    iscp_upstream_options_t *up = iscp_upstream_options_new();
    OK(iscp_upstream_options_set_ack_timeout_ms(up, 500, &error));
    FAILS(iscp_upstream_options_set_ack_timeout_ms(up, 3600001, &error), ISCP_ERR_INVALID_OPTION,
          "ack_timeout_ms");
    OK(iscp_upstream_options_set_reopen(up, true, &error));
    FAILS(iscp_upstream_options_set_event_callback(up, NULL, &told, on_release, &error),
          ISCP_ERR_NULL_ARGUMENT, "callback");
    iscp_upstream_options_free(up);
    iscp_downstream_options_t *down = iscp_downstream_options_new();
    FAILS(iscp_downstream_options_set_event_callback(down, NULL, &told, on_release, &error),
          ISCP_ERR_NULL_ARGUMENT, "callback");
    iscp_downstream_options_free(down);
    CHECK_EQ(event_count(&told.released), 3);
}
