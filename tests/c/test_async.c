/* Callbacks: exactly once, on the library's thread, released exactly once; what they may do. */
#include "client.h"

struct async {
    struct event called, released, gate;
    pthread_t caller, callback_thread;
    iscp_conn_t *conn;
    iscp_upstream_t *up;
    iscp_downstream_t *down;
    iscp_status_t status;
};

#define ASYNC_INIT                                                                                           \
    { .called = EVENT_INIT, .released = EVENT_INIT, .gate = EVENT_INIT, .caller = pthread_self() }

static void note(struct async *async, const iscp_error_t *error) {
    CHECK(!pthread_equal(async->caller, pthread_self()));
    async->callback_thread = pthread_self();
    async->status = iscp_error_code(error);
    event_signal(&async->called);
}

static void on_done(const iscp_error_t *error, void *user_data) {
    note(user_data, error);
}

static void on_connect(iscp_conn_t *conn, const iscp_error_t *error, void *user_data) {
    struct async *async = user_data;
    CHECK((conn == NULL) == (error != NULL));
    async->conn = conn;
    note(async, error);
}

static void on_upstream(iscp_upstream_t *up, const iscp_error_t *error, void *user_data) {
    struct async *async = user_data;
    CHECK((up == NULL) == (error != NULL));
    async->up = up;
    note(async, error);
}

static void on_downstream(iscp_downstream_t *down, const iscp_error_t *error, void *user_data) {
    struct async *async = user_data;
    CHECK((down == NULL) == (error != NULL));
    async->down = down;
    note(async, error);
}

static void on_release(void *user_data) {
    event_signal(&((struct async *)user_data)->released);
}

static void on_upstream_closed(const iscp_error_t *error, uint64_t points, const uint32_t *chunks,
                               size_t count, void *user_data) {
    (void)points;
    (void)chunks;
    (void)count;
    note(user_data, error);
}

/* The n-th callback has come, with success. */
static void expect(struct async *async, int count, const char *what) {
    event_wait(&async->called, count, what);
    CHECK_STATUS(async->status, ISCP_OK);
}

TEST(every_callback_once) {
    struct broker broker;
    broker_start(&broker, NULL);
    struct async a = ASYNC_INIT, closed = ASYNC_INIT;
    iscp_conn_options_t *options = conn_options(broker.url, "node", NULL);
    OK(iscp_conn_options_set_closed_callback(options, on_done, &closed, on_release, &error));
    OK(iscp_connect(options, on_connect, &a, &error));
    iscp_conn_options_free(options);
    expect(&a, 1, "connect");
    OK(iscp_upstream_open(a.conn, NULL, on_upstream, &a, &error));
    expect(&a, 2, "open upstream");
    iscp_downstream_options_t *down_options = iscp_downstream_options_new();
    OK(iscp_downstream_options_add_filter(down_options, "node", "#:#", &error));
    OK(iscp_downstream_open(a.conn, down_options, on_downstream, &a, &error));
    iscp_downstream_options_free(down_options);
    expect(&a, 3, "open downstream");
    OK(iscp_conn_send_base_time(a.conn, "s", "n", 0, 0, 0, false, on_done, &a, &error));
    expect(&a, 4, "base time");
    client_write(a.up, client_data_id(a.up, "a"), 0, "x");
    OK(iscp_upstream_flush(a.up, ISCP_FLUSH_ACKNOWLEDGED, 10000, on_done, &a, &error));
    expect(&a, 5, "flush");
    OK(iscp_upstream_close(a.up, false, on_done, &a, &error));
    expect(&a, 6, "close upstream");
    FAILS(iscp_upstream_close(a.up, false, on_done, &a, &error), ISCP_ERR_CLOSED, "upstream");
    OK(iscp_downstream_close(a.down, on_done, &a, &error));
    expect(&a, 7, "close downstream");
    OK(iscp_conn_close(a.conn, on_done, &a, &error));
    expect(&a, 8, "close connection");
    expect(&closed, 1, "closed");
    event_wait(&closed.released, 1, "the release");
    FAILS(iscp_conn_close(a.conn, on_done, &a, &error), ISCP_ERR_CLOSED, "connection");
    iscp_upstream_free(a.up);
    iscp_downstream_free(a.down);
    iscp_conn_free(a.conn);
    client_shutdown();
    /* Nothing came twice, and nothing of the calls that failed. */
    CHECK_EQ(event_count(&a.called), 8);
    CHECK_EQ(event_count(&closed.called), 1);
    CHECK_EQ(event_count(&closed.released), 1);
    broker_stop(&broker);
}

TEST(callbacks_may_be_absent) {
    struct broker broker;
    broker_start(&broker, NULL);
    iscp_conn_t *conn = client_connect(broker.url, "node");
    iscp_upstream_t *up = client_upstream(conn, NULL);
    OK(iscp_upstream_flush(up, ISCP_FLUSH_SENT, 0, NULL, NULL, &error));
    OK(iscp_conn_send_base_time(conn, "s", "n", 0, 0, 0, false, NULL, NULL, &error));
    OK(iscp_upstream_close(up, false, NULL, NULL, &error));
    OK(iscp_conn_close(conn, NULL, NULL, &error));
    iscp_upstream_free(up);
    iscp_conn_free(conn);
    client_shutdown();
    broker_stop(&broker);
}

TEST(a_failed_attempt_calls_back_once) {
    struct broker broker;
    broker_start(&broker, "secret");
    struct async a = ASYNC_INIT, closed = ASYNC_INIT;
    iscp_conn_options_t *options = conn_options(broker.url, "node", NULL);
    OK(iscp_conn_options_set_closed_callback(options, on_done, &closed, on_release, &error));
    OK(iscp_connect(options, on_connect, &a, &error));
    iscp_conn_options_free(options);
    event_wait(&a.called, 1, "the failure");
    CHECK_STATUS(a.status, ISCP_ERR_UNAUTHORIZED);
    event_wait(&closed.released, 1, "the release");
    client_shutdown();
    CHECK_EQ(event_count(&a.called), 1);
    /* What never was did not end. */
    CHECK_EQ(event_count(&closed.called), 0);
    CHECK_EQ(event_count(&closed.released), 1);
    broker_stop(&broker);
}

static void release_sets_an_option(void *options) {
    (void)iscp_conn_options_set_node_id(options, "released", NULL);
}

TEST(release_may_use_the_options) {
    struct async a = ASYNC_INIT;
    iscp_conn_options_t *options = iscp_conn_options_new();
    OK(iscp_conn_options_set_closed_callback(options, on_done, options, release_sets_an_option, &error));
    OK(iscp_conn_options_set_closed_callback(options, on_done, &a, on_release, &error));
    iscp_conn_options_free(options);
    CHECK_EQ(event_count(&a.released), 1);
}

TEST(release_on_failure) {
    struct async a = ASYNC_INIT;
    int expected = 0;
    iscp_conn_options_t *options = iscp_conn_options_new();
    /* The call fails, whatever the reason: released at once. */
    CHECK_STATUS(iscp_conn_options_set_closed_callback(options, NULL, &a, on_release, NULL),
                 ISCP_ERR_NULL_ARGUMENT);
    CHECK_EQ(event_count(&a.released), ++expected);
    CHECK_STATUS(iscp_conn_options_set_token_callback(options, NULL, &a, on_release, NULL),
                 ISCP_ERR_NULL_ARGUMENT);
    CHECK_EQ(event_count(&a.released), ++expected);
    CHECK_STATUS(iscp_conn_options_set_closed_callback(NULL, on_done, &a, on_release, NULL),
                 ISCP_ERR_NULL_ARGUMENT);
    CHECK_EQ(event_count(&a.released), ++expected);
    CHECK_STATUS(iscp_upstream_options_set_ack_callback(NULL, NULL, &a, on_release, NULL),
                 ISCP_ERR_NULL_ARGUMENT);
    CHECK_EQ(event_count(&a.released), ++expected);
    CHECK_STATUS(iscp_downstream_read(NULL, NULL, &a, on_release, NULL), ISCP_ERR_NULL_ARGUMENT);
    CHECK_EQ(event_count(&a.released), ++expected);
    CHECK_STATUS(iscp_log_set(NULL, 77, &a, on_release, NULL), ISCP_ERR_INVALID_ARGUMENT);
    CHECK_EQ(event_count(&a.released), ++expected);
    /* Replaced: the former is released. */
    OK(iscp_conn_options_set_closed_callback(options, on_done, &a, on_release, &error));
    CHECK_EQ(event_count(&a.released), expected);
    OK(iscp_conn_options_set_closed_callback(options, on_done, &a, on_release, &error));
    CHECK_EQ(event_count(&a.released), ++expected);
    /* Never used: released with the options. */
    iscp_conn_options_free(options);
    CHECK_EQ(event_count(&a.released), ++expected);
    CHECK_EQ(event_count(&a.called), 0);
}

static void block_inside(iscp_conn_t *conn, const iscp_error_t *error, void *user_data) {
    struct async *a = user_data;
    CHECK(error == NULL);
    iscp_upstream_t *up = NULL;
    iscp_downstream_t *down = NULL;
    iscp_conn_t *other = NULL;
    iscp_conn_options_t *options = conn_options("ws://127.0.0.1:1", "x", NULL);
    iscp_downstream_options_t *down_options = iscp_downstream_options_new();
    FAILS(iscp_connect_wait(options, -1, &other, &error), ISCP_ERR_IN_CALLBACK, "callback");
    FAILS(iscp_upstream_open_wait(conn, NULL, -1, &up, &error), ISCP_ERR_IN_CALLBACK, "callback");
    FAILS(iscp_downstream_open_wait(conn, down_options, -1, &down, &error), ISCP_ERR_IN_CALLBACK, "callback");
    FAILS(iscp_conn_send_base_time_wait(conn, "s", "n", 0, 0, 0, false, -1, &error), ISCP_ERR_IN_CALLBACK,
          "callback");
    FAILS(iscp_conn_close_wait(conn, -1, &error), ISCP_ERR_IN_CALLBACK, "callback");
    FAILS(iscp_shutdown(-1, &error), ISCP_ERR_IN_CALLBACK, "callback");
    FAILS(iscp_log_set(NULL, ISCP_LOG_OFF, NULL, NULL, &error), ISCP_ERR_IN_CALLBACK, "callback");
    iscp_downstream_options_free(down_options);
    iscp_conn_options_free(options);
    a->conn = conn;
    note(a, NULL);
}

static void block_on_streams(const iscp_error_t *error, void *user_data) {
    struct async *a = user_data;
    CHECK(error == NULL);
    iscp_chunk_t *chunk = NULL;
    FAILS(iscp_upstream_flush_wait(a->up, ISCP_FLUSH_SENT, -1, &error), ISCP_ERR_IN_CALLBACK, "callback");
    FAILS(iscp_downstream_next_chunk_wait(a->down, -1, &chunk, &error), ISCP_ERR_IN_CALLBACK, "callback");
    FAILS(iscp_downstream_next_chunk_wait(a->down, 0, &chunk, &error), ISCP_ERR_WOULD_BLOCK, "downstream");
    FAILS(iscp_downstream_close_wait(a->down, -1, &error), ISCP_ERR_IN_CALLBACK, "callback");
    FAILS(iscp_upstream_close_wait(a->up, false, -1, &error), ISCP_ERR_IN_CALLBACK, "callback");
    note(a, NULL);
}

TEST(blocking_functions_inside_a_callback) {
    struct broker broker;
    broker_start(&broker, NULL);
    struct async a = ASYNC_INIT;
    iscp_conn_options_t *options = conn_options(broker.url, "node", NULL);
    OK(iscp_connect(options, block_inside, &a, &error));
    iscp_conn_options_free(options);
    expect(&a, 1, "the callback");
    a.up = client_upstream(a.conn, NULL);
    a.down = client_downstream(a.conn, "nobody");
    OK(iscp_conn_send_base_time(a.conn, "s", "n", 0, 0, 0, false, block_on_streams, &a, &error));
    expect(&a, 2, "the callback");
    /* None of it closed anything. */
    OK(iscp_upstream_close_wait(a.up, false, -1, &error));
    OK(iscp_downstream_close_wait(a.down, -1, &error));
    OK(iscp_conn_close_wait(a.conn, -1, &error));
    iscp_upstream_free(a.up);
    iscp_downstream_free(a.down);
    iscp_conn_free(a.conn);
    client_shutdown();
    broker_stop(&broker);
}

static void free_all(const iscp_error_t *error, void *user_data) {
    struct async *a = user_data;
    CHECK(error == NULL);
    iscp_error_t *detail = NULL;
    iscp_conn_options_t *options = iscp_conn_options_new();
    CHECK_STATUS(iscp_conn_options_set_url(options, NULL, &detail), ISCP_ERR_NULL_ARGUMENT);
    iscp_error_free(detail);
    iscp_conn_options_free(options);
    iscp_metadata_t *metadata = NULL;
    OK(iscp_downstream_next_metadata_wait(a->down, 0, &metadata, &error));
    iscp_metadata_free(metadata);
    iscp_conn_free(a->conn);
    iscp_downstream_free(a->down);
    iscp_upstream_free(a->up);
    note(a, NULL);
}

static void free_in_handler(const iscp_chunk_t *chunk, void *user_data) {
    struct async *a = user_data;
    iscp_downstream_free(a->down);
    iscp_chunk_free(iscp_chunk_ref(chunk));
    CHECK_EQ(iscp_chunk_point_count(chunk), 1);
    note(a, NULL);
}

TEST(free_everything_in_callbacks) {
    struct broker broker;
    broker_start(&broker, NULL);
    struct async a = ASYNC_INIT, b = ASYNC_INIT;
    a.conn = client_connect(broker.url, "node");
    a.down = client_downstream(a.conn, "node");
    b.down = client_downstream(a.conn, "node");
    a.up = client_upstream(a.conn, NULL);
    OK(iscp_downstream_read(b.down, free_in_handler, &b, on_release, &error));
    client_write(a.up, client_data_id(a.up, "a"), 0, "x");
    expect(&b, 1, "the handler");
    event_wait(&b.released, 1, "the release of the handler");
    OK(iscp_upstream_flush(a.up, ISCP_FLUSH_ACKNOWLEDGED, 10000, free_all, &a, &error));
    expect(&a, 1, "the callback");
    client_shutdown();
    CHECK_EQ(event_count(&b.called), 1);
    CHECK_EQ(event_count(&b.released), 1);
    broker_stop(&broker);
}

static void close_inside(const iscp_error_t *error, void *user_data) {
    struct async *a = user_data;
    CHECK(error == NULL);
    OK(iscp_upstream_close(a->up, false, on_done, a, &error));
    OK(iscp_downstream_close(a->down, on_done, a, &error));
    OK(iscp_conn_close(a->conn, on_done, a, &error));
}

TEST(close_everything_in_a_callback) {
    struct broker broker;
    broker_start(&broker, NULL);
    struct async a = ASYNC_INIT;
    a.conn = client_connect(broker.url, "node");
    a.up = client_upstream(a.conn, NULL);
    a.down = client_downstream(a.conn, "node");
    OK(iscp_conn_send_base_time(a.conn, "s", "n", 0, 0, 0, false, close_inside, &a, &error));
    expect(&a, 3, "three closes");
    iscp_upstream_free(a.up);
    iscp_downstream_free(a.down);
    iscp_conn_free(a.conn);
    client_shutdown();
    CHECK_EQ(event_count(&a.called), 3);
    broker_stop(&broker);
}

static void wait_at_gate(const iscp_error_t *error, void *user_data) {
    struct async *a = user_data;
    note(a, error);
    event_wait(&a->gate, 1, "the gate");
}

/* While a callback of one connection does not return, the network of both goes on: keep-alive, writes,
 * acknowledgements; and the callbacks of the other connection come. */
TEST(a_slow_callback_stops_nothing_else) {
    struct broker broker;
    broker_start(&broker, NULL);
    struct async slow = ASYNC_INIT, other = ASYNC_INIT;
    iscp_conn_options_t *options = conn_options(broker.url, "slow", "ping_interval_ms", "1000", NULL);
    OK(iscp_connect_wait(options, -1, &slow.conn, &error));
    iscp_conn_options_free(options);
    other.conn = client_connect(broker.url, "other");
    slow.up = client_upstream(slow.conn, NULL);
    OK(iscp_conn_send_base_time(slow.conn, "s", "n", 0, 0, 0, false, wait_at_gate, &slow, &error));
    expect(&slow, 1, "the slow callback");

    OK(iscp_conn_send_base_time(other.conn, "s", "n", 0, 0, 0, false, on_done, &other, &error));
    expect(&other, 1, "the callback of the other connection");
    client_write(slow.up, client_data_id(slow.up, "a"), 0, "x");
    OK(iscp_upstream_flush_wait(slow.up, ISCP_FLUSH_ACKNOWLEDGED, -1, &error));
    uint64_t round_trip = 0;
    EVENTUALLY(iscp_conn_stat(slow.conn, ISCP_CONN_STAT_ROUND_TRIP_NS, &round_trip) == ISCP_OK &&
               round_trip > 0);
    /* More callbacks of the slow connection wait their turn. */
    OK(iscp_conn_send_base_time(slow.conn, "s", "n", 0, 0, 0, false, on_done, &slow, &error));
    OK(iscp_conn_send_base_time_wait(slow.conn, "s", "n", 0, 0, 0, false, -1, &error));
    CHECK_EQ(event_count(&slow.called), 1);
    event_signal(&slow.gate);
    expect(&slow, 2, "the callback that waited");
    iscp_upstream_free(slow.up);
    iscp_conn_free(slow.conn);
    iscp_conn_free(other.conn);
    client_shutdown();
    broker_stop(&broker);
}

TEST(connections_have_threads_of_their_own) {
    struct broker broker;
    broker_start(&broker, NULL);
    struct async a = ASYNC_INIT, b = ASYNC_INIT;
    a.conn = client_connect(broker.url, "a");
    b.conn = client_connect(broker.url, "b");
    for (int i = 1; i <= 3; i++) {
        OK(iscp_conn_send_base_time(a.conn, "s", "n", 0, 0, 0, false, on_done, &a, &error));
        expect(&a, i, "a");
        pthread_t thread = a.callback_thread;
        OK(iscp_conn_send_base_time(b.conn, "s", "n", 0, 0, 0, false, on_done, &b, &error));
        expect(&b, i, "b");
        CHECK(pthread_equal(thread, a.callback_thread));
        CHECK(!pthread_equal(thread, b.callback_thread));
    }
    iscp_conn_free(a.conn);
    iscp_conn_free(b.conn);
    client_shutdown();
    broker_stop(&broker);
}

TEST(options_are_shared_by_streams) {
    /* One closed callback in the options of three streams: called three times, released once, at last. */
    struct broker broker;
    broker_start(&broker, NULL);
    struct async a = ASYNC_INIT;
    a.conn = client_connect(broker.url, "node");
    iscp_upstream_options_t *options = iscp_upstream_options_new();
    OK(iscp_upstream_options_set_closed_callback(options, on_upstream_closed, &a, on_release, &error));
    iscp_upstream_t *ups[3];
    for (int i = 0; i < 3; i++) {
        OK(iscp_upstream_open_wait(a.conn, options, -1, &ups[i], &error));
    }
    iscp_upstream_options_free(options);
    for (int i = 0; i < 3; i++) {
        CHECK_EQ(event_count(&a.released), 0);
        OK(iscp_upstream_close_wait(ups[i], false, -1, &error));
        expect(&a, i + 1, "the closed callback");
        iscp_upstream_free(ups[i]);
    }
    event_wait(&a.released, 1, "the release");
    iscp_conn_free(a.conn);
    client_shutdown();
    CHECK_EQ(event_count(&a.called), 3);
    CHECK_EQ(event_count(&a.released), 1);
    broker_stop(&broker);
}
