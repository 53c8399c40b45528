/* Events of a connection that are pulled, and waiting for its end. */
#include "client.h"

#include <poll.h>
#include <time.h>
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

static iscp_conn_t *connect_with(const char *key, const char *value) {
    iscp_conn_t *conn = NULL;
    iscp_conn_options_t *options = conn_options(chaos.url, "node", "reconnect_min_interval_ms", "10",
                                                "reconnect_max_interval_ms", "20", key, value, NULL);
    OK(iscp_connect_wait(options, -1, &conn, &error));
    iscp_conn_options_free(options);
    return conn;
}

/* The next event, which is of a kind. Freed by the caller. */
static iscp_event_t *next(iscp_conn_t *conn, iscp_event_kind_t kind) {
    iscp_event_t *event = NULL;
    test_waiting_for(iscp_event_kind_name(kind));
    OK(iscp_conn_next_event_wait(conn, -1, &event, &error));
    test_waiting_for(NULL);
    if (iscp_event_kind(event) != kind) {
        FAIL("%s instead of %s", iscp_event_kind_name(iscp_event_kind(event)), iscp_event_kind_name(kind));
    }
    return event;
}

static void skip(iscp_conn_t *conn, iscp_event_kind_t kind) {
    iscp_event_free(next(conn, kind));
}

/* Takes the attempts up to the event that follows them, which is of a kind. Returns how many they were. */
static uint32_t skip_attempts(iscp_conn_t *conn, iscp_event_kind_t kind) {
    for (uint32_t attempts = 0;; attempts++) {
        iscp_event_t *event = NULL;
        OK(iscp_conn_next_event_wait(conn, -1, &event, &error));
        iscp_event_kind_t got = iscp_event_kind(event);
        if (got == ISCP_EVENT_RECONNECTING) {
            CHECK_EQ(iscp_event_attempt(event), attempts + 1);
            CHECK(iscp_event_delay_ms(event) <= 20);
            CHECK(iscp_error_code(iscp_event_error(event)) != ISCP_OK);
        }
        iscp_event_free(event);
        if (got != ISCP_EVENT_RECONNECTING) {
            CHECK_EQ(got, kind);
            return attempts;
        }
    }
}

static bool same(iscp_uuid_t a, iscp_uuid_t b) {
    return memcmp(&a, &b, sizeof a) == 0;
}

TEST(pulled_events_tell_the_life_of_a_connection) {
    begin();
    int64_t before_ns = (int64_t)time(NULL) * 1000000000;
    iscp_conn_t *conn = connect_with(NULL, NULL);
    iscp_event_t *event = next(conn, ISCP_EVENT_CONNECTED);
    int64_t after_ns = ((int64_t)time(NULL) + 1) * 1000000000;
    CHECK(iscp_event_time_ns(event) >= before_ns && iscp_event_time_ns(event) <= after_ns);
    CHECK(iscp_event_error(event) == NULL);
    CHECK_EQ(iscp_event_attempt(event) + iscp_event_delay_ms(event), 0);
    CHECK(same(iscp_event_stream_id(event), (iscp_uuid_t){{0}}));
    iscp_event_free(event);
    FAILS(iscp_conn_next_event_wait(conn, 0, &event, &error), ISCP_ERR_WOULD_BLOCK, "events");
    FAILS(iscp_conn_next_event_wait(conn, 1, &event, &error), ISCP_ERR_TIMEOUT, "events");
    CHECK(event == NULL);

    iscp_upstream_t *up = client_upstream(conn, NULL);
    iscp_downstream_t *down = client_downstream(conn, "node");
    chaos_do(&chaos, "cut");
    event = next(conn, ISCP_EVENT_DISCONNECTED);
    CHECK(iscp_error_code(iscp_event_error(event)) != ISCP_OK);
    CHECK(strlen(iscp_error_message(iscp_event_error(event))) > 0);
    iscp_event_free(event);
    CHECK(skip_attempts(conn, ISCP_EVENT_RECONNECTED) >= 1);
    /* In the order in which the server answers. */
    bool resumed_up = false, resumed_down = false;
    while (!resumed_up || !resumed_down) {
        OK(iscp_conn_next_event_wait(conn, -1, &event, &error));
        bool is_up = iscp_event_kind(event) == ISCP_EVENT_UPSTREAM_RESUMED;
        CHECK(is_up || iscp_event_kind(event) == ISCP_EVENT_DOWNSTREAM_RESUMED);
        CHECK(same(iscp_event_stream_id(event), is_up ? iscp_upstream_id(up) : iscp_downstream_id(down)));
        CHECK(same(iscp_event_stream_id(event), iscp_event_former_stream_id(event)));
        *(is_up ? &resumed_up : &resumed_down) = true;
        iscp_event_free(event);
    }

    OK(iscp_upstream_close_wait(up, false, -1, &error));
    event = next(conn, ISCP_EVENT_UPSTREAM_CLOSED);
    CHECK(iscp_event_error(event) == NULL);
    CHECK(same(iscp_event_stream_id(event), iscp_upstream_id(up)));
    CHECK_EQ(iscp_event_undelivered_points(event), 0);
    CHECK_EQ(iscp_event_undelivered_chunk_count(event), 0);
    CHECK(iscp_event_undelivered_chunks(event) == NULL);
    iscp_event_free(event);
    OK(iscp_downstream_close_wait(down, -1, &error));
    event = next(conn, ISCP_EVENT_DOWNSTREAM_CLOSED);
    CHECK(same(iscp_event_stream_id(event), iscp_downstream_id(down)));
    iscp_event_free(event);
    OK(iscp_conn_close_wait(conn, -1, &error));
    /* Valid after the connection, and for as many owners as it has. */
    event = next(conn, ISCP_EVENT_CLOSED);
    CHECK(iscp_event_ref(event) == event);
    FAILS(iscp_conn_next_event_wait(conn, -1, &(iscp_event_t *){NULL}, &error), ISCP_ERR_CLOSED, "closed");
    iscp_upstream_free(up);
    iscp_downstream_free(down);
    iscp_conn_free(conn);
    iscp_event_free(event);
    CHECK_EQ(iscp_event_kind(event), ISCP_EVENT_CLOSED);
    CHECK(iscp_event_error(event) == NULL);
    iscp_event_free(event);
    CHECK_EQ(iscp_event_kind(event), 0);
    end();
}

TEST(what_was_not_delivered_is_told) {
    begin();
    iscp_conn_t *conn = connect_with("reconnect_attempts", "2");
    iscp_upstream_t *up = client_upstream(conn, NULL);
    iscp_data_id_t id = client_data_id(up, "a");
    skip(conn, ISCP_EVENT_CONNECTED);
    chaos_do(&chaos, "black-hole");
    client_write(up, id, 0, "one");
    client_write(up, id, 1, "two");
    OK(iscp_upstream_flush_wait(up, ISCP_FLUSH_SENT, -1, &error));
    chaos_do(&chaos, "refuse");
    chaos_do(&chaos, "cut");
    skip(conn, ISCP_EVENT_DISCONNECTED);
    client_write(up, id, 2, "three");
    iscp_event_t *event = NULL;
    do {
        iscp_event_free(event);
        OK(iscp_conn_next_event_wait(conn, -1, &event, &error));
    } while (iscp_event_kind(event) == ISCP_EVENT_RECONNECTING);
    CHECK_EQ(iscp_event_kind(event), ISCP_EVENT_UPSTREAM_CLOSED);
    CHECK_STATUS(iscp_error_code(iscp_event_error(event)), ISCP_ERR_CONNECT_FAILED);
    CHECK_EQ(iscp_event_undelivered_points(event), 3);
    const uint32_t *chunks = iscp_event_undelivered_chunks(event);
    CHECK(iscp_event_undelivered_chunk_count(event) >= 1);
    for (size_t i = 1; i < iscp_event_undelivered_chunk_count(event); i++) {
        CHECK(chunks[i] > chunks[i - 1]);
    }
    iscp_event_free(event);
    skip(conn, ISCP_EVENT_CLOSED);
    FAILS(iscp_conn_next_event_wait(conn, -1, &event, &error), ISCP_ERR_CONNECT_FAILED, "2 attempts");
    FAILS(iscp_conn_wait_closed(conn, -1, &error), ISCP_ERR_CONNECT_FAILED, "2 attempts");
    CHECK_EQ(iscp_conn_state(conn), ISCP_CONN_STATE_CLOSED);
    iscp_upstream_free(up);
    iscp_conn_free(conn);
    end();
}

TEST(descriptor_for_event_loops) {
    begin();
    iscp_conn_t *conn = connect_with(NULL, NULL);
    struct pollfd polled = {.fd = -1, .events = POLLIN};
    OK(iscp_conn_event_pollable(conn, &polled.fd, &error));
    int again = -1;
    OK(iscp_conn_event_pollable(conn, &again, &error));
    CHECK_EQ(again, polled.fd);
    /* What came before anybody asked for the descriptor. */
    CHECK_EQ(poll(&polled, 1, -1), 1);
    skip(conn, ISCP_EVENT_CONNECTED);
    CHECK_EQ(poll(&polled, 1, 0), 0);
    chaos_do(&chaos, "cut");
    CHECK_EQ(poll(&polled, 1, -1), 1);
    skip(conn, ISCP_EVENT_DISCONNECTED);
    CHECK(skip_attempts(conn, ISCP_EVENT_RECONNECTED) >= 1);
    CHECK_EQ(poll(&polled, 1, 0), 0);
    OK(iscp_conn_close_wait(conn, -1, &error));
    skip(conn, ISCP_EVENT_CLOSED);
    /* The end stays readable. */
    OK(iscp_conn_wait_closed(conn, -1, &error));
    CHECK_EQ(poll(&polled, 1, 0), 1);
    iscp_conn_free(conn);
    end();
}

TEST(events_that_nobody_takes_are_bounded_and_counted) {
    begin();
    iscp_conn_t *conn = connect_with("event_queue_limit", "2");
    chaos_do(&chaos, "refuse");
    chaos_do(&chaos, "cut");
    uint64_t dropped = 0;
    EVENTUALLY(iscp_conn_stat(conn, ISCP_CONN_STAT_EVENTS_DROPPED, &dropped) == ISCP_OK && dropped >= 3);
    iscp_event_t *event = next(conn, ISCP_EVENT_DROPPED);
    CHECK(iscp_event_dropped(event) >= 3);
    CHECK(iscp_event_error(event) == NULL);
    iscp_event_free(event);
    /* The newest are kept. */
    event = next(conn, ISCP_EVENT_RECONNECTING);
    CHECK(iscp_event_attempt(event) >= 2);
    iscp_event_free(event);
    iscp_conn_free(conn);
    end();
}

struct told {
    struct event all, closed, released;
    iscp_conn_t *conn;
    iscp_event_t *kept;
};

static void on_event(const iscp_event_t *event, void *user_data) {
    struct told *told = user_data;
    if (iscp_event_kind(event) == ISCP_EVENT_DISCONNECTED) {
        told->kept = iscp_event_ref(event);
        FAILS(iscp_conn_wait_closed(told->conn, -1, &error), ISCP_ERR_IN_CALLBACK, "callback");
        FAILS(iscp_conn_wait_closed(told->conn, 0, &error), ISCP_ERR_WOULD_BLOCK, "open");
    }
    event_signal(iscp_event_kind(event) == ISCP_EVENT_CLOSED ? &told->closed : &told->all);
}

static void on_release(void *user_data) {
    event_signal(&((struct told *)user_data)->released);
}

TEST(a_callback_gets_the_same_events_and_nothing_is_left_to_pull) {
    begin();
    struct told told = {.all = EVENT_INIT, .closed = EVENT_INIT, .released = EVENT_INIT};
    iscp_conn_options_t *options = conn_options(chaos.url, "node", "reconnect_min_interval_ms", "10", NULL);
    OK(iscp_conn_options_set_event_callback(options, on_event, &told, on_release, &error));
    OK(iscp_connect_wait(options, -1, &told.conn, &error));
    iscp_conn_options_free(options);
    iscp_event_t *event = NULL;
    FAILS(iscp_conn_next_event_wait(told.conn, 0, &event, &error), ISCP_ERR_INVALID_STATE, "callback");
    event_wait(&told.all, 1, "the connection");
    chaos_do(&chaos, "cut");
    event_wait(&told.all, 4, "the way back");
    OK(iscp_conn_close_wait(told.conn, -1, &error));
    OK(iscp_conn_wait_closed(told.conn, -1, &error));
    event_wait(&told.closed, 1, "the end");
    event_wait(&told.released, 1, "the release");
    iscp_conn_free(told.conn);
    CHECK(strlen(iscp_error_message(iscp_event_error(told.kept))) > 0);
    iscp_event_free(told.kept);
    end();
}

struct waiter {
    pthread_t thread;
    iscp_conn_t *conn;
    iscp_status_t status;
};

static void *wait_closed(void *argument) {
    struct waiter *waiter = argument;
    waiter->status = iscp_conn_wait_closed(waiter->conn, -1, NULL);
    return NULL;
}

static void *wait_event(void *argument) {
    struct waiter *waiter = argument;
    iscp_event_t *event = NULL;
    do {
        waiter->status = iscp_conn_next_event_wait(waiter->conn, -1, &event, NULL);
        iscp_event_free(event);
    } while (waiter->status == ISCP_OK);
    return NULL;
}

static void start(struct waiter *waiter, iscp_conn_t *conn, void *(*wait)(void *)) {
    *waiter = (struct waiter){.conn = conn};
    CHECK(pthread_create(&waiter->thread, NULL, wait, waiter) == 0);
}

TEST(threads_wait_for_the_end) {
    begin();
    iscp_conn_t *conn = connect_with(NULL, NULL);
    FAILS(iscp_conn_wait_closed(conn, 0, &error), ISCP_ERR_WOULD_BLOCK, "open");
    FAILS(iscp_conn_wait_closed(conn, 1, &error), ISCP_ERR_TIMEOUT, "open");
    FAILS(iscp_conn_wait_closed(conn, -2, &error), ISCP_ERR_INVALID_ARGUMENT, "timeout_ms");
    FAILS(iscp_conn_wait_closed(NULL, -1, &error), ISCP_ERR_NULL_ARGUMENT, "conn");
    struct waiter closed, events;
    start(&closed, conn, wait_closed);
    start(&events, conn, wait_event);
    OK(iscp_conn_close_wait(conn, -1, &error));
    pthread_join(closed.thread, NULL);
    pthread_join(events.thread, NULL);
    CHECK_STATUS(closed.status, ISCP_OK);
    CHECK_STATUS(events.status, ISCP_ERR_CLOSED);
    iscp_conn_free(conn);
    end();
}

TEST(freeing_ends_those_who_wait) {
    begin();
    iscp_conn_t *conn = connect_with(NULL, NULL);
    struct waiter closed, events;
    start(&closed, conn, wait_closed);
    start(&events, conn, wait_event);
    iscp_conn_free(conn);
    pthread_join(closed.thread, NULL);
    pthread_join(events.thread, NULL);
    /* A thread that came too late finds no handle. */
    CHECK(closed.status == ISCP_ERR_CLOSED || closed.status == ISCP_ERR_BAD_HANDLE);
    CHECK(events.status == ISCP_ERR_CLOSED || events.status == ISCP_ERR_BAD_HANDLE);
    end();
}

TEST(null_arguments) {
    iscp_event_t *event = NULL;
    int fd = 7;
    FAILS(iscp_conn_next_event_wait(NULL, 0, &event, &error), ISCP_ERR_NULL_ARGUMENT, "conn");
    FAILS(iscp_conn_event_pollable(NULL, &fd, &error), ISCP_ERR_NULL_ARGUMENT, "conn");
    CHECK_EQ(fd, -1);
    CHECK_EQ(iscp_event_kind(NULL), 0);
    CHECK(iscp_event_error(NULL) == NULL && iscp_event_undelivered_chunks(NULL) == NULL);
    CHECK_EQ(iscp_event_time_ns(NULL) + iscp_event_attempt(NULL) + iscp_event_delay_ms(NULL), 0);
    CHECK_EQ(iscp_event_undelivered_points(NULL) + iscp_event_undelivered_chunk_count(NULL), 0);
    CHECK_EQ(iscp_event_dropped(NULL), 0);
    CHECK(iscp_event_ref(NULL) == NULL);
    iscp_event_free(NULL);
    CHECK_TEXT(iscp_event_kind_name(ISCP_EVENT_UPSTREAM_REOPENED), "upstream reopened");
    CHECK_TEXT(iscp_event_kind_name(0), "unknown event");
}
