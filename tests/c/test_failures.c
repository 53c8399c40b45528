/* A server that stalls or dies: writes end in time, waits end with an error, nothing is lost silently. */
#include "client.h"

#include <signal.h>

static struct broker broker;
static iscp_conn_t *conn;

static void begin(void) {
    broker_start(&broker, NULL);
    /* What happens when the loss of a connection is its end. */
    iscp_conn_options_t *options = conn_options(broker.url, "node", "reconnect", "false", NULL);
    OK(iscp_connect_wait(options, -1, &conn, &error));
    iscp_conn_options_free(options);
}

/* A stalled broker does not answer the goodbye either, so it is killed first. */
static void end(void) {
    broker_stop(&broker);
    iscp_conn_free(conn);
    client_shutdown();
}

static const char big[4096];

/* Fills the socket's and the library's buffers against a broker that has stopped reading. */
static iscp_status_t write_until_refused(iscp_upstream_t *up, iscp_data_id_t id) {
    iscp_status_t status = ISCP_OK;
    for (int i = 0; status == ISCP_OK; i++) {
        status = iscp_upstream_write(up, id, i, (const uint8_t *)big, sizeof big);
    }
    return status;
}

TEST(full_buffer_would_block) {
    begin();
    iscp_upstream_t *up = client_upstream(conn, "flush_policy", "none", "buffer_policy", "would_block",
                                          "buffer_limit", "65536", NULL);
    iscp_data_id_t id = client_data_id(up, "a");
    process_stop(&broker.process);
    test_waiting_for("a full buffer");
    /* A full buffer is sent whatever the policy; it stays full once nothing more fits into the socket. */
    int64_t stable_since = test_now_ms();
    while (test_now_ms() - stable_since < 500) {
        iscp_status_t status = iscp_upstream_write(up, id, 0, (const uint8_t *)big, sizeof big);
        CHECK(status == ISCP_OK || status == ISCP_ERR_WOULD_BLOCK);
        if (status == ISCP_OK) {
            stable_since = test_now_ms();
        } else {
            test_pause();
        }
    }
    CHECK_STATUS(iscp_upstream_write(up, id, 0, (const uint8_t *)big, sizeof big), ISCP_ERR_WOULD_BLOCK);
    CHECK(upstream_stat(up, ISCP_UPSTREAM_STAT_BUFFERED_BYTES) <= 65536);
    CHECK(upstream_stat(up, ISCP_UPSTREAM_STAT_BUFFERED_POINTS) > 0);
    iscp_data_point_t points[2] = {{0, (const uint8_t *)big, sizeof big}, {1, NULL, 0}};
    CHECK_STATUS(iscp_upstream_write_points(up, id, points, 2), ISCP_ERR_WOULD_BLOCK);
    /* The broker goes on reading, and so does everything else. */
    process_signal(&broker.process, SIGCONT);
    EVENTUALLY(iscp_upstream_write(up, id, 0, (const uint8_t *)big, sizeof big) == ISCP_OK);
    OK(iscp_upstream_close_wait(up, false, -1, &error));
    CHECK_EQ(upstream_stat(up, ISCP_UPSTREAM_STAT_FAILED_POINTS), 0);
    iscp_upstream_free(up);
    end();
}

TEST(write_times_out) {
    begin();
    iscp_upstream_t *up = client_upstream(conn, "flush_policy", "none", "write_timeout_ms", "300",
                                          "buffer_limit", "65536", NULL);
    iscp_data_id_t id = client_data_id(up, "a");
    process_stop(&broker.process);
    test_waiting_for("the write time-out");
    CHECK_STATUS(write_until_refused(up, id), ISCP_ERR_TIMEOUT);
    int64_t before = test_now_ms();
    CHECK_STATUS(iscp_upstream_write(up, id, 0, (const uint8_t *)big, sizeof big), ISCP_ERR_TIMEOUT);
    CHECK(test_now_ms() - before >= 290);
    iscp_upstream_free(up);
    end();
}

TEST(blocked_write_goes_on_when_there_is_space) {
    begin();
    iscp_upstream_t *up = client_upstream(conn, "flush_policy", "none", "write_timeout_ms", "60000",
                                          "buffer_limit", "65536", NULL);
    iscp_data_id_t id = client_data_id(up, "a");
    /* Far more than the buffer holds, against a broker that reads. */
    for (int i = 0; i < 500; i++) {
        CHECK_STATUS(iscp_upstream_write(up, id, i, (const uint8_t *)big, sizeof big), ISCP_OK);
    }
    OK(iscp_upstream_close_wait(up, false, -1, &error));
    CHECK_EQ(upstream_stat(up, ISCP_UPSTREAM_STAT_TOTAL_POINTS), 500);
    iscp_upstream_free(up);
    end();
}

TEST(flush_times_out) {
    begin();
    iscp_upstream_t *up = client_upstream(conn, NULL);
    client_write(up, client_data_id(up, "a"), 0, "x");
    process_stop(&broker.process);
    FAILS(iscp_upstream_flush_wait(up, ISCP_FLUSH_ACKNOWLEDGED, 100, &error), ISCP_ERR_TIMEOUT, "");
    /* The points are still on their way. */
    process_signal(&broker.process, SIGCONT);
    OK(iscp_upstream_close_wait(up, false, -1, &error));
    iscp_upstream_free(up);
    end();
}

TEST(stalled_server_is_noticed) {
    begin();
    iscp_conn_t *watchful = NULL;
    iscp_conn_options_t *options = conn_options(broker.url, "watchful", "reconnect", "false",
                                                "ping_interval_ms", "1000", "ping_timeout_ms", "1000", NULL);
    OK(iscp_connect_wait(options, -1, &watchful, &error));
    iscp_conn_options_free(options);
    iscp_downstream_t *down = client_downstream(watchful, "nobody");
    process_stop(&broker.process);
    iscp_chunk_t *chunk = NULL;
    FAILS(iscp_downstream_next_chunk_wait(down, -1, &chunk, &error), ISCP_ERR_KEEP_ALIVE_TIMEOUT, "ping");
    EVENTUALLY(iscp_conn_state(watchful) == ISCP_CONN_STATE_CLOSED);
    iscp_downstream_free(down);
    iscp_conn_free(watchful);
    end();
}

struct ends {
    struct event conn, up, down, acks, released;
    iscp_status_t conn_status, up_status, down_status;
    bool fatal;
    uint64_t points;
    size_t chunks;
    uint32_t first_chunk;
};

static void on_conn_closed(const iscp_error_t *error, void *user_data) {
    struct ends *ends = user_data;
    /* After every other callback of the connection. */
    CHECK_EQ(event_count(&ends->up), 1);
    CHECK_EQ(event_count(&ends->down), 1);
    ends->conn_status = iscp_error_code(error);
    ends->fatal = iscp_error_is_fatal(error);
    event_signal(&ends->conn);
}

static void on_up_closed(const iscp_error_t *error, uint64_t points, const uint32_t *chunks, size_t count,
                         void *user_data) {
    struct ends *ends = user_data;
    ends->up_status = iscp_error_code(error);
    ends->points = points;
    ends->chunks = count;
    for (size_t i = 1; i < count; i++) {
        CHECK(chunks[i] > chunks[i - 1]);
    }
    ends->first_chunk = count > 0 ? chunks[0] : 0;
    event_signal(&ends->up);
}

static void on_down_closed(const iscp_error_t *error, void *user_data) {
    struct ends *ends = user_data;
    ends->down_status = iscp_error_code(error);
    event_signal(&ends->down);
}

static void on_release(void *user_data) {
    event_signal(&((struct ends *)user_data)->released);
}

static void *wait_for_chunk(void *argument) {
    iscp_chunk_t *chunk = NULL;
    FAILS(iscp_downstream_next_chunk_wait(argument, -1, &chunk, &error), ISCP_ERR_CONNECTION_LOST,
          "connection");
    return NULL;
}

static void *wait_for_flush(void *argument) {
    iscp_status_t status = iscp_upstream_flush_wait(argument, ISCP_FLUSH_ACKNOWLEDGED, -1, NULL);
    /* CLOSED when the thread was so late that the connection had ended before. */
    CHECK(status == ISCP_ERR_CONNECTION_LOST || status == ISCP_ERR_CLOSED);
    return NULL;
}

static void on_flush(const iscp_error_t *error, void *user_data) {
    CHECK_STATUS(iscp_error_code(error), ISCP_ERR_CONNECTION_LOST);
    event_signal(user_data);
}

TEST(broker_killed) {
    begin();
    struct ends ends = {.conn = EVENT_INIT, .up = EVENT_INIT, .down = EVENT_INIT, .released = EVENT_INIT};
    iscp_conn_t *lost = NULL;
    iscp_upstream_t *up = NULL;
    iscp_downstream_t *down = NULL;
    iscp_conn_options_t *options = conn_options(broker.url, "lost", "reconnect", "false", NULL);
    OK(iscp_conn_options_set_closed_callback(options, on_conn_closed, &ends, on_release, &error));
    OK(iscp_connect_wait(options, -1, &lost, &error));
    iscp_conn_options_free(options);
    iscp_upstream_options_t *up_options = upstream_options("flush_policy", "none", NULL);
    OK(iscp_upstream_options_set_closed_callback(up_options, on_up_closed, &ends, on_release, &error));
    OK(iscp_upstream_open_wait(lost, up_options, -1, &up, &error));
    iscp_upstream_options_free(up_options);
    iscp_downstream_options_t *down_options = iscp_downstream_options_new();
    OK(iscp_downstream_options_add_filter(down_options, "nobody", "#:#", &error));
    OK(iscp_downstream_options_set_closed_callback(down_options, on_down_closed, &ends, on_release, &error));
    OK(iscp_downstream_open_wait(lost, down_options, -1, &down, &error));
    iscp_downstream_options_free(down_options);

    iscp_data_id_t id = client_data_id(up, "a");
    client_write(up, id, 0, "acknowledged");
    OK(iscp_upstream_flush_wait(up, ISCP_FLUSH_ACKNOWLEDGED, -1, &error));
    process_stop(&broker.process);
    client_write(up, id, 1, "sent");
    client_write(up, id, 2, "sent");
    OK(iscp_upstream_flush_wait(up, ISCP_FLUSH_SENT, -1, &error));
    pthread_t threads[2];
    CHECK(pthread_create(&threads[0], NULL, wait_for_chunk, down) == 0);
    CHECK(pthread_create(&threads[1], NULL, wait_for_flush, up) == 0);
    struct event flushed = EVENT_INIT;
    OK(iscp_upstream_flush(up, ISCP_FLUSH_ACKNOWLEDGED, 60000, on_flush, &flushed, &error));
    client_write(up, id, 3, "sent or not");
    EVENTUALLY(upstream_stat(up, ISCP_UPSTREAM_STAT_IN_FLIGHT_CHUNKS) >= 1);

    process_signal(&broker.process, SIGKILL);
    test_waiting_for("the threads that wait");
    pthread_join(threads[0], NULL);
    pthread_join(threads[1], NULL);
    event_wait(&flushed, 1, "the callback of the flush");
    event_wait(&ends.conn, 1, "the closed callback of the connection");
    event_wait(&ends.released, 3, "the releases");
    CHECK_STATUS(ends.conn_status, ISCP_ERR_CONNECTION_LOST);
    CHECK_STATUS(ends.up_status, ISCP_ERR_CONNECTION_LOST);
    CHECK_STATUS(ends.down_status, ISCP_ERR_CONNECTION_LOST);
    CHECK(ends.fatal);
    /* The first was acknowledged; of the others none. */
    CHECK_EQ(ends.points, 3);
    CHECK(ends.chunks == 1 || ends.chunks == 2);
    CHECK_EQ(ends.first_chunk, 2);
    CHECK_EQ(iscp_conn_state(lost), ISCP_CONN_STATE_CLOSED);
    CHECK(iscp_upstream_write(up, id, 4, NULL, 0) < 0);
    FAILS(iscp_upstream_close_wait(up, false, -1, &error), ISCP_ERR_CLOSED, "");
    iscp_upstream_free(up);
    iscp_downstream_free(down);
    iscp_conn_free(lost);
    end();
}

static void count_done(const iscp_error_t *error, void *user_data) {
    CHECK(error != NULL);
    event_signal(user_data);
}

TEST(operations_under_way_end_when_the_broker_dies) {
    begin();
    struct event done = EVENT_INIT;
    iscp_upstream_t *up = client_upstream(conn, NULL);
    iscp_downstream_t *down = client_downstream(conn, "nobody");
    process_stop(&broker.process);
    client_write(up, client_data_id(up, "a"), 0, "x");
    OK(iscp_conn_send_base_time(conn, "s", "n", 0, 0, 0, false, count_done, &done, &error));
    OK(iscp_upstream_flush(up, ISCP_FLUSH_ACKNOWLEDGED, 60000, count_done, &done, &error));
    OK(iscp_upstream_close(up, false, count_done, &done, &error));
    OK(iscp_downstream_close(down, count_done, &done, &error));
    OK(iscp_conn_close(conn, count_done, &done, &error));
    process_signal(&broker.process, SIGKILL);
    event_wait(&done, 5, "five callbacks");
    iscp_upstream_free(up);
    iscp_downstream_free(down);
    end();
    CHECK_EQ(event_count(&done), 5);
}

TEST(broker_that_ends_in_order) {
    begin();
    iscp_downstream_t *down = client_downstream(conn, "nobody");
    process_signal(&broker.process, SIGTERM);
    iscp_chunk_t *chunk = NULL;
    iscp_status_t status = iscp_downstream_next_chunk_wait(down, -1, &chunk, NULL);
    CHECK(status == ISCP_ERR_CONNECTION_LOST || status == ISCP_ERR_DISCONNECTED);
    iscp_downstream_free(down);
    iscp_conn_free(conn);
    CHECK_EQ(process_finish(&broker.process), 0);
    process_free(&broker.process);
    client_shutdown();
}
