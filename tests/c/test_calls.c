/* Calls between nodes: sent, answered, waited for; by callback and by pulling; and everything that may go
 * wrong on the way. */
#include "client.h"

#include <poll.h>
#include <signal.h>

static struct broker broker;
static iscp_conn_t *caller, *callee;

static void begin(void) {
    broker_start(&broker, NULL);
    caller = client_connect(broker.url, "caller");
    callee = client_connect(broker.url, "callee");
}

static void end(void) {
    iscp_conn_free(caller);
    iscp_conn_free(callee);
    client_shutdown();
    broker_stop(&broker);
}

#define BYTES(text) (const uint8_t *)(text), strlen(text)

static bool payload_is(const iscp_call_t *call, const char *text) {
    const uint8_t *payload;
    size_t length;
    CHECK_STATUS(iscp_call_payload(call, &payload, &length), ISCP_OK);
    CHECK(payload != NULL);
    return length == strlen(text) && memcmp(payload, text, length) == 0;
}

static uint64_t stat_of(const iscp_conn_t *conn, iscp_conn_stat_t stat) {
    uint64_t value;
    CHECK_STATUS(iscp_conn_stat(conn, stat, &value), ISCP_OK);
    return value;
}

/* What handlers and callbacks of calls take note of. */
struct seen {
    struct event called, released, gate;
    iscp_conn_t *conn;
    iscp_call_t *kept;
    iscp_status_t status;
    char text[64];
};

#define SEEN_INIT                                                                                            \
    { .called = EVENT_INIT, .released = EVENT_INIT, .gate = EVENT_INIT }

static void on_release(void *user_data) {
    event_signal(&((struct seen *)user_data)->released);
}

static void on_done(const iscp_error_t *error, void *user_data) {
    struct seen *seen = user_data;
    seen->status = iscp_error_code(error);
    event_signal(&seen->called);
}

/* Answers with the name of the call in front of its payload. */
static void answer(const iscp_call_t *call, void *user_data) {
    struct seen *seen = user_data;
    const uint8_t *payload;
    size_t length;
    CHECK_STATUS(iscp_call_payload(call, &payload, &length), ISCP_OK);
    char text[64];
    int size =
        snprintf(text, sizeof text, "%s %.*s", iscp_call_name(call), (int)length, (const char *)payload);
    OK(iscp_conn_send_reply(seen->conn, call, "reply", "text", (const uint8_t *)text, (size_t)size, NULL,
                            NULL, &error));
    event_signal(&seen->called);
}

static void keep(const iscp_call_t *call, void *user_data) {
    struct seen *seen = user_data;
    iscp_call_free(seen->kept);
    seen->kept = iscp_call_ref(call);
    event_signal(&seen->called);
}

static void on_reply(const iscp_call_t *reply, const iscp_error_t *error, void *user_data) {
    CHECK((reply == NULL) == (error != NULL));
    struct seen *seen = user_data;
    seen->status = iscp_error_code(error);
    if (reply != NULL) {
        keep(reply, seen);
    } else {
        event_signal(&seen->called);
    }
}

TEST(call_and_reply) {
    begin();
    struct seen served = SEEN_INIT;
    served.conn = callee;
    OK(iscp_conn_set_call_handler(callee, answer, &served, on_release, &error));
    iscp_call_t *reply = NULL;
    OK(iscp_conn_call_wait(caller, "callee", "greet", "text", BYTES("world"), -1, &reply, &error));
    CHECK(payload_is(reply, "greet world"));
    CHECK_TEXT(iscp_call_name(reply), "reply");
    CHECK_TEXT(iscp_call_type(reply), "text");
    CHECK_TEXT(iscp_call_source_node_id(reply), "callee");
    CHECK_EQ(strlen(iscp_call_id(reply)), ISCP_CALL_ID_SIZE - 1);
    CHECK_EQ(strlen(iscp_call_request_call_id(reply)), ISCP_CALL_ID_SIZE - 1);
    iscp_call_free(reply);
    /* Without a payload, and in the background. */
    struct seen seen = SEEN_INIT;
    OK(iscp_conn_call(caller, "callee", "empty", "", NULL, 0, 10000, on_reply, &seen, &error));
    event_wait(&seen.called, 1, "the reply");
    CHECK_STATUS(seen.status, ISCP_OK);
    CHECK(payload_is(seen.kept, "empty "));
    iscp_call_free(seen.kept);
    CHECK_EQ(stat_of(callee, ISCP_CONN_STAT_CALLS_RECEIVED), 2);
    CHECK_EQ(stat_of(caller, ISCP_CONN_STAT_REPLIES_RECEIVED), 0);
    OK(iscp_conn_close_wait(callee, -1, &error));
    event_wait(&served.released, 1, "the release of the handler");
    end();
    CHECK_EQ(event_count(&served.called), 2);
    CHECK_EQ(event_count(&served.released), 1);
    CHECK_EQ(event_count(&seen.called), 1);
}

TEST(calls_and_replies_are_pulled) {
    begin();
    char ids[3][ISCP_CALL_ID_SIZE];
    struct seen seen = SEEN_INIT;
    OK(iscp_conn_send_call_wait(caller, "callee", "a", "t", BYTES("1"), -1, ids[0], &error));
    OK(iscp_conn_send_call(caller, "callee", "b", "t", BYTES("2"), ids[1], on_done, &seen, &error));
    event_wait(&seen.called, 1, "the acknowledgement");
    CHECK_STATUS(seen.status, ISCP_OK);
    OK(iscp_conn_send_call(caller, "callee", "c", "t", NULL, 0, NULL, NULL, NULL, &error));
    static const char *const names[] = {"a", "b", "c"};
    for (int i = 0; i < 3; i++) {
        iscp_call_t *call = NULL, *reply = NULL;
        OK(iscp_conn_next_call_wait(callee, -1, &call, &error));
        CHECK_TEXT(iscp_call_name(call), names[i]);
        CHECK_TEXT(iscp_call_source_node_id(call), "caller");
        CHECK_TEXT(iscp_call_request_call_id(call), "");
        if (i < 2) {
            CHECK_TEXT(iscp_call_id(call), ids[i]);
        } else {
            memcpy(ids[2], iscp_call_id(call), ISCP_CALL_ID_SIZE);
        }
        OK(iscp_conn_send_reply_wait(callee, call, "r", "t", BYTES("done"), -1, &error));
        iscp_call_free(call);
        OK(iscp_conn_next_reply_wait(caller, -1, &reply, &error));
        CHECK_TEXT(iscp_call_request_call_id(reply), ids[i]);
        CHECK(payload_is(reply, "done"));
        iscp_call_free(reply);
    }
    iscp_call_t *none = NULL;
    FAILS(iscp_conn_next_call_wait(callee, 0, &none, &error), ISCP_ERR_WOULD_BLOCK, "calls");
    FAILS(iscp_conn_next_reply_wait(caller, 10, &none, &error), ISCP_ERR_TIMEOUT, "replies");
    CHECK(none == NULL);
    end();
}

TEST(replies_by_handler) {
    begin();
    struct seen served = SEEN_INIT, seen = SEEN_INIT;
    served.conn = callee;
    OK(iscp_conn_set_call_handler(callee, answer, &served, on_release, &error));
    OK(iscp_conn_set_reply_handler(caller, keep, &seen, on_release, &error));
    char id[ISCP_CALL_ID_SIZE];
    OK(iscp_conn_send_call_wait(caller, "callee", "n", "t", BYTES("x"), -1, id, &error));
    event_wait(&seen.called, 1, "the reply");
    CHECK_TEXT(iscp_call_request_call_id(seen.kept), id);
    CHECK(payload_is(seen.kept, "n x"));
    FAILS(iscp_conn_set_reply_handler(caller, keep, &seen, on_release, &error), ISCP_ERR_INVALID_STATE,
          "replies");
    CHECK_EQ(event_count(&seen.released), 1);
    iscp_call_t *none = NULL;
    FAILS(iscp_conn_next_reply_wait(caller, 0, &none, &error), ISCP_ERR_INVALID_STATE, "replies");
    end();
    CHECK_EQ(event_count(&seen.released), 2);
    CHECK_EQ(event_count(&served.released), 1);
    /* What was kept outlives everything. */
    CHECK(payload_is(seen.kept, "n x"));
    iscp_call_free(seen.kept);
}

TEST(reply_later_from_a_kept_call) {
    begin();
    struct seen served = SEEN_INIT, seen = SEEN_INIT;
    OK(iscp_conn_set_call_handler(callee, keep, &served, on_release, &error));
    OK(iscp_conn_call(caller, "callee", "n", "t", NULL, 0, -1, on_reply, &seen, &error));
    event_wait(&served.called, 1, "the call");
    OK(iscp_conn_send_reply_wait(callee, served.kept, "n", "t", BYTES("later"), -1, &error));
    event_wait(&seen.called, 1, "the reply");
    CHECK(payload_is(seen.kept, "later"));
    iscp_call_free(seen.kept);
    iscp_call_free(served.kept);
    end();
}

TEST(call_to_nobody_and_reply_to_one_that_has_gone) {
    begin();
    iscp_call_t *call = NULL, *reply = NULL;
    iscp_error_t *refusal = NULL;
    CHECK_STATUS(iscp_conn_call_wait(caller, "nobody", "n", "t", NULL, 0, -1, &reply, &refusal),
                 ISCP_ERR_REFUSED);
    CHECK(reply == NULL);
    CHECK_CONTAINS(iscp_error_message(refusal), "\"nobody\"");
    CHECK_CONTAINS(iscp_error_result_string(refusal), "not connected");
    CHECK_EQ(iscp_error_result_code(refusal), 77);
    iscp_error_free(refusal);
    char id[ISCP_CALL_ID_SIZE] = "x";
    FAILS(iscp_conn_send_call_wait(caller, "nobody", "n", "t", NULL, 0, -1, id, &error), ISCP_ERR_REFUSED,
          "nobody");
    CHECK_TEXT(id, "");
    OK(iscp_conn_send_call_wait(caller, "callee", "n", "t", NULL, 0, -1, NULL, &error));
    OK(iscp_conn_next_call_wait(callee, -1, &call, &error));
    OK(iscp_conn_close_wait(caller, -1, &error));
    FAILS(iscp_conn_send_reply_wait(callee, call, "n", "t", NULL, 0, -1, &error), ISCP_ERR_REFUSED, "caller");
    iscp_call_free(call);
    end();
}

TEST(call_without_an_answer) {
    begin();
    iscp_call_t *reply = NULL, *call = NULL;
    FAILS(iscp_conn_call_wait(caller, "callee", "n", "t", NULL, 0, 20, &reply, &error), ISCP_ERR_TIMEOUT,
          "no reply within 20ms");
    FAILS(iscp_conn_call_wait(caller, "callee", "n", "t", NULL, 0, 0, &reply, &error), ISCP_ERR_TIMEOUT,
          "no reply");
    /* The reply that comes too late is not lost. */
    OK(iscp_conn_next_call_wait(callee, -1, &call, &error));
    OK(iscp_conn_send_reply_wait(callee, call, "n", "t", BYTES("late"), -1, &error));
    OK(iscp_conn_next_reply_wait(caller, -1, &reply, &error));
    CHECK_TEXT(iscp_call_request_call_id(reply), iscp_call_id(call));
    iscp_call_free(call);
    iscp_call_free(reply);
    /* As the options say. */
    iscp_conn_options_t *options = conn_options(broker.url, "hasty", "reply_timeout_ms", "20", NULL);
    iscp_conn_t *hasty = NULL;
    OK(iscp_connect_wait(options, -1, &hasty, &error));
    iscp_conn_options_free(options);
    FAILS(iscp_conn_call_wait(hasty, "callee", "n", "t", NULL, 0, -1, &reply, &error), ISCP_ERR_TIMEOUT,
          "no reply within 20ms");
    iscp_conn_free(hasty);
    end();
}

TEST(calls_that_nobody_takes_are_counted) {
    begin();
    iscp_conn_options_t *options =
        conn_options(broker.url, "idle", "call_queue_limit", "2", "call_queue_bytes", "4096", NULL);
    iscp_conn_t *idle = NULL;
    OK(iscp_connect_wait(options, -1, &idle, &error));
    iscp_conn_options_free(options);
    for (int i = 0; i < 5; i++) {
        OK(iscp_conn_send_call_wait(caller, "idle", "n", "t", NULL, 0, -1, NULL, &error));
    }
    EVENTUALLY(stat_of(idle, ISCP_CONN_STAT_CALLS_RECEIVED) == 5);
    CHECK_EQ(stat_of(idle, ISCP_CONN_STAT_CALLS_DROPPED), 3);
    CHECK_EQ(stat_of(idle, ISCP_CONN_STAT_CALLS_WAITING), 2);
    CHECK_EQ(stat_of(idle, ISCP_CONN_STAT_REPLIES_DROPPED), 0);
    CHECK_EQ(stat_of(idle, ISCP_CONN_STAT_REPLIES_WAITING), 0);
    iscp_conn_free(idle);
    end();
}

TEST(calls_that_cannot_leave_are_refused) {
    broker_start(&broker, NULL);
    iscp_conn_options_t *options = conn_options(broker.url, "caller", "call_send_limit", "1000000", NULL);
    OK(iscp_connect_wait(options, -1, &caller, &error));
    iscp_conn_options_free(options);
    /* The broker takes nothing any more. */
    process_stop(&broker.process);
    static uint8_t payload[900000];
    struct seen seen = SEEN_INIT;
    int sent = 0;
    iscp_status_t status;
    while ((status = iscp_conn_send_call(caller, "nobody", "n", "t", payload, sizeof payload, NULL, on_done,
                                         &seen, NULL)) == ISCP_OK) {
        /* What the system's buffers hold, and one more. */
        CHECK(++sent < 1000);
        test_pause();
    }
    CHECK_STATUS(status, ISCP_ERR_WOULD_BLOCK);
    CHECK(sent > 0);
    process_signal(&broker.process, SIGCONT);
    event_wait(&seen.called, sent, "the answers");
    CHECK_STATUS(seen.status, ISCP_ERR_REFUSED);
    FAILS(iscp_conn_send_call_wait(caller, "nobody", "n", "t", payload, sizeof payload, -1, NULL, &error),
          ISCP_ERR_REFUSED, "nobody");
    iscp_conn_free(caller);
    client_shutdown();
    broker_stop(&broker);
}

TEST(everything_under_way_ends_with_the_connection) {
    begin();
    struct seen seen = SEEN_INIT;
    for (int i = 0; i < 10; i++) {
        OK(iscp_conn_call(caller, "callee", "n", "t", NULL, 0, -1, on_reply, &seen, &error));
    }
    iscp_call_t *call = NULL;
    OK(iscp_conn_next_call_wait(callee, -1, &call, &error));
    iscp_call_free(call);
    OK(iscp_conn_close_wait(caller, -1, &error));
    event_wait(&seen.called, 10, "the ends of the calls");
    CHECK_STATUS(seen.status, ISCP_ERR_CLOSED);
    FAILS(iscp_conn_send_call_wait(caller, "callee", "n", "t", NULL, 0, -1, NULL, &error), ISCP_ERR_CLOSED,
          "connection");
    FAILS(iscp_conn_next_call_wait(caller, -1, &call, &error), ISCP_ERR_CLOSED, "connection");
    FAILS(iscp_conn_set_call_handler(caller, keep, &seen, on_release, &error), ISCP_ERR_CLOSED, "connection");
    CHECK_EQ(event_count(&seen.released), 1);
    end();
    CHECK_EQ(event_count(&seen.called), 10);
}

static bool readable(int fd, int timeout_ms) {
    struct pollfd ready = {.fd = fd, .events = POLLIN};
    return poll(&ready, 1, timeout_ms) == 1;
}

TEST(descriptors_of_calls_and_replies) {
    begin();
    int32_t calls = -1, replies = -1, again = -1;
    OK(iscp_conn_call_pollable(callee, &calls, &error));
    OK(iscp_conn_call_pollable(callee, &again, &error));
    OK(iscp_conn_reply_pollable(caller, &replies, &error));
    CHECK(calls >= 0 && calls == again && replies >= 0 && replies != calls);
    CHECK(!readable(calls, 0) && !readable(replies, 0));
    OK(iscp_conn_send_call_wait(caller, "callee", "n", "t", NULL, 0, -1, NULL, &error));
    CHECK(readable(calls, -1));
    CHECK(readable(calls, 0));
    iscp_call_t *call = NULL, *reply = NULL;
    OK(iscp_conn_next_call_wait(callee, 0, &call, &error));
    CHECK(!readable(calls, 0));
    OK(iscp_conn_send_reply_wait(callee, call, "n", "t", NULL, 0, -1, &error));
    iscp_call_free(call);
    CHECK(readable(replies, -1));
    OK(iscp_conn_next_reply_wait(caller, 0, &reply, &error));
    iscp_call_free(reply);
    CHECK(!readable(replies, 0));
    OK(iscp_conn_close_wait(callee, -1, &error));
    CHECK(readable(calls, -1));
    end();
}

static void *wait_for_call(void *argument) {
    struct seen *seen = argument;
    iscp_call_t *call = NULL;
    event_signal(&seen->called);
    iscp_status_t status = iscp_conn_next_call_wait(seen->conn, -1, &call, NULL);
    /* BAD_HANDLE when the wait had not begun yet. */
    CHECK(status == ISCP_ERR_CLOSED || status == ISCP_ERR_BAD_HANDLE);
    CHECK(call == NULL);
    return NULL;
}

TEST(free_and_close_while_another_thread_waits) {
    begin();
    for (int round = 0; round < 20; round++) {
        struct seen seen = SEEN_INIT;
        seen.conn = client_connect(broker.url, "waiter");
        pthread_t other;
        CHECK(pthread_create(&other, NULL, wait_for_call, &seen) == 0);
        event_wait(&seen.called, 1, "the other thread");
        if (round % 2 == 0) {
            /* Most likely it waits by now. */
            test_pause();
        }
        if (round % 4 < 2) {
            iscp_conn_free(seen.conn);
        } else {
            OK(iscp_conn_close_wait(seen.conn, -1, &error));
        }
        test_waiting_for("the thread that waits for a call");
        pthread_join(other, NULL);
        if (round % 4 >= 2) {
            iscp_conn_free(seen.conn);
        }
    }
    end();
}

/* A stream keeps the connection, and with it the handler of calls. */
TEST(a_handler_outlives_the_handle) {
    begin();
    struct seen seen = SEEN_INIT;
    iscp_upstream_t *up = client_upstream(callee, NULL);
    OK(iscp_conn_set_call_handler(callee, keep, &seen, on_release, &error));
    iscp_conn_free(callee);
    OK(iscp_conn_send_call_wait(caller, "callee", "n", "t", BYTES("x"), -1, NULL, &error));
    event_wait(&seen.called, 1, "the call");
    CHECK(payload_is(seen.kept, "x"));
    CHECK_EQ(event_count(&seen.released), 0);
    iscp_upstream_free(up);
    event_wait(&seen.released, 1, "the release");
    iscp_call_free(seen.kept);
    callee = NULL;
    end();
}

static void free_inside(const iscp_call_t *call, void *user_data) {
    struct seen *seen = user_data;
    iscp_conn_free(seen->conn);
    iscp_call_free(iscp_call_ref(call));
    CHECK(payload_is(call, "x"));
    event_signal(&seen->called);
}

TEST(free_the_connection_in_the_handler) {
    begin();
    struct seen seen = SEEN_INIT;
    seen.conn = callee;
    OK(iscp_conn_set_call_handler(callee, free_inside, &seen, on_release, &error));
    OK(iscp_conn_send_call_wait(caller, "callee", "n", "t", BYTES("x"), -1, NULL, &error));
    event_wait(&seen.released, 1, "the release");
    CHECK_EQ(event_count(&seen.called), 1);
    callee = NULL;
    end();
}

static void block_inside(const iscp_call_t *call, void *user_data) {
    struct seen *seen = user_data;
    iscp_call_t *other = NULL;
    FAILS(iscp_conn_call_wait(seen->conn, "caller", "n", "t", NULL, 0, -1, &other, &error),
          ISCP_ERR_IN_CALLBACK, "callback");
    FAILS(iscp_conn_send_call_wait(seen->conn, "caller", "n", "t", NULL, 0, -1, NULL, &error),
          ISCP_ERR_IN_CALLBACK, "callback");
    FAILS(iscp_conn_send_reply_wait(seen->conn, call, "n", "t", NULL, 0, -1, &error), ISCP_ERR_IN_CALLBACK,
          "callback");
    FAILS(iscp_conn_next_reply_wait(seen->conn, -1, &other, &error), ISCP_ERR_IN_CALLBACK, "callback");
    FAILS(iscp_conn_next_reply_wait(seen->conn, 0, &other, &error), ISCP_ERR_WOULD_BLOCK, "replies");
    /* What does not block is allowed, a call of its own included. */
    OK(iscp_conn_call(seen->conn, "caller", "back", "t", NULL, 0, -1, on_reply, seen, &error));
    OK(iscp_conn_send_reply(seen->conn, call, "n", "t", NULL, 0, on_done, seen, &error));
    event_signal(&seen->gate);
}

TEST(what_a_handler_may_do) {
    begin();
    struct seen inside = SEEN_INIT, back = SEEN_INIT;
    inside.conn = callee;
    back.conn = caller;
    OK(iscp_conn_set_call_handler(callee, block_inside, &inside, on_release, &error));
    OK(iscp_conn_set_call_handler(caller, answer, &back, on_release, &error));
    iscp_call_t *reply = NULL;
    OK(iscp_conn_call_wait(caller, "callee", "n", "t", NULL, 0, -1, &reply, &error));
    iscp_call_free(reply);
    event_wait(&inside.called, 2, "the reply to the handler's own call");
    CHECK_EQ(event_count(&inside.gate), 1);
    CHECK(payload_is(inside.kept, "back "));
    iscp_call_free(inside.kept);
    end();
}

static void never(const iscp_call_t *call, void *user_data) {
    (void)call;
    (void)user_data;
    FAIL("called");
}

TEST(arguments) {
    begin();
    struct seen seen = SEEN_INIT;
    iscp_call_t *call = NULL;
    char id[ISCP_CALL_ID_SIZE] = "x";
    static const uint8_t byte;
    FAILS(iscp_conn_send_call(NULL, "n", "n", "t", NULL, 0, id, NULL, NULL, &error), ISCP_ERR_NULL_ARGUMENT,
          "conn");
    CHECK_TEXT(id, "");
    FAILS(iscp_conn_send_call(caller, NULL, "n", "t", NULL, 0, id, NULL, NULL, &error),
          ISCP_ERR_NULL_ARGUMENT, "destination_node_id");
    FAILS(iscp_conn_send_call(caller, "n", NULL, "t", NULL, 0, id, NULL, NULL, &error),
          ISCP_ERR_NULL_ARGUMENT, "name");
    FAILS(iscp_conn_send_call(caller, "n", "n", NULL, NULL, 0, id, NULL, NULL, &error),
          ISCP_ERR_NULL_ARGUMENT, "type");
    FAILS(iscp_conn_send_call(caller, "n", "n", "t", NULL, 1, id, NULL, NULL, &error), ISCP_ERR_NULL_ARGUMENT,
          "payload");
    FAILS(iscp_conn_send_call(caller, "n", "\xff", "t", NULL, 0, id, NULL, NULL, &error),
          ISCP_ERR_INVALID_UTF8, "name");
    FAILS(iscp_conn_send_call_wait(caller, "n", "n", "t", NULL, 0, -2, id, &error), ISCP_ERR_INVALID_ARGUMENT,
          "timeout_ms");
    CHECK_TEXT(id, "");
    /* What is too long is not even read. */
    const size_t too_long[] = {ISCP_MAX_PAYLOAD + 1, (size_t)1 << 40, SIZE_MAX};
    for (size_t i = 0; i < sizeof too_long / sizeof *too_long; i++) {
        FAILS(iscp_conn_send_call(caller, "n", "n", "t", &byte, too_long[i], id, NULL, NULL, &error),
              ISCP_ERR_TOO_LARGE, "payload");
    }
    FAILS(iscp_conn_call(caller, "n", "n", "t", &byte, 1, -1, NULL, NULL, &error), ISCP_ERR_NULL_ARGUMENT,
          "callback");
    FAILS(iscp_conn_call(caller, "n", "n", "t", &byte, 1, -2, on_reply, &seen, &error),
          ISCP_ERR_INVALID_ARGUMENT, "timeout_ms");
    FAILS(iscp_conn_call_wait(caller, "n", "n", "t", &byte, 1, -1, NULL, &error), ISCP_ERR_NULL_ARGUMENT,
          "out_reply");
    FAILS(iscp_conn_send_reply(caller, NULL, "n", "t", NULL, 0, NULL, NULL, &error), ISCP_ERR_NULL_ARGUMENT,
          "call");
    FAILS(iscp_conn_send_reply(caller, (const iscp_call_t *)callee, "n", "t", NULL, 0, NULL, NULL, &error),
          ISCP_ERR_BAD_HANDLE, "call");
    FAILS(iscp_conn_next_call_wait(caller, -1, NULL, &error), ISCP_ERR_NULL_ARGUMENT, "out_call");
    FAILS(iscp_conn_next_reply_wait(NULL, -1, &call, &error), ISCP_ERR_NULL_ARGUMENT, "conn");
    FAILS(iscp_conn_next_reply_wait(caller, -2, &call, &error), ISCP_ERR_INVALID_ARGUMENT, "timeout_ms");
    FAILS(iscp_conn_call_pollable(caller, NULL, &error), ISCP_ERR_NULL_ARGUMENT, "out_fd");
    int32_t fd = 0;
    FAILS(iscp_conn_reply_pollable(NULL, &fd, &error), ISCP_ERR_NULL_ARGUMENT, "conn");
    CHECK_EQ(fd, -1);
    FAILS(iscp_conn_set_call_handler(caller, NULL, &seen, on_release, &error), ISCP_ERR_NULL_ARGUMENT,
          "callback");
    FAILS(iscp_conn_set_reply_handler(NULL, never, &seen, on_release, &error), ISCP_ERR_NULL_ARGUMENT,
          "conn");
    CHECK_EQ(event_count(&seen.released), 2);
    CHECK_EQ(event_count(&seen.called), 0);

    /* Accessors of something that is no call. */
    const uint8_t *payload = &byte;
    size_t length = 7;
    CHECK_STATUS(iscp_call_payload(NULL, &payload, &length), ISCP_ERR_NULL_ARGUMENT);
    CHECK(payload == NULL && length == 0);
    CHECK_TEXT(iscp_call_id((const iscp_call_t *)callee), "");
    CHECK_TEXT(iscp_call_name(NULL), "");
    CHECK(iscp_call_ref(NULL) == NULL);
    iscp_call_free(NULL);

    /* And of one that was freed. */
    OK(iscp_conn_send_call_wait(caller, "callee", "n", "t", &byte, 1, -1, NULL, &error));
    OK(iscp_conn_next_call_wait(callee, -1, &call, &error));
    CHECK_STATUS(iscp_call_payload(call, NULL, &length), ISCP_ERR_NULL_ARGUMENT);
    CHECK_STATUS(iscp_call_payload(call, &payload, NULL), ISCP_ERR_NULL_ARGUMENT);
    iscp_call_t *kept = iscp_call_ref(call);
    CHECK(kept == call);
    iscp_call_free(call);
    CHECK_TEXT(iscp_call_name(kept), "n");
    iscp_call_free(kept);
    CHECK_STATUS(iscp_call_payload(call, &payload, &length), ISCP_ERR_BAD_HANDLE);
    CHECK_TEXT(iscp_call_source_node_id(call), "");
    FAILS(iscp_conn_send_reply(callee, call, "n", "t", NULL, 0, NULL, NULL, &error), ISCP_ERR_BAD_HANDLE,
          "call");
    iscp_call_free(call);
    end();
}
