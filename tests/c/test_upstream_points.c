/* Points: what becomes of each, several at once, too many at once, and chunks that are shown before they
 * leave. */
#include "client.h"

#include <signal.h>

static struct broker broker;
static iscp_conn_t *sender, *reader;
static iscp_downstream_t *down;

static void begin(void) {
    broker_start(&broker, NULL);
    sender = client_connect(broker.url, "sender");
    reader = client_connect(broker.url, "reader");
    down = client_downstream(reader, "sender");
}

static void end(void) {
    iscp_downstream_free(down);
    iscp_conn_free(sender);
    iscp_conn_free(reader);
    client_shutdown();
    broker_stop(&broker);
}

/* What writers are told. */
struct told {
    struct event outcomes, ok;
    iscp_status_t last; /* the last failure */
    uint64_t undelivered;
    struct event closed, released;
};

#define TOLD_INIT                                                                                            \
    { .outcomes = EVENT_INIT, .ok = EVENT_INIT, .closed = EVENT_INIT, .released = EVENT_INIT }

static void on_outcome(const iscp_error_t *error, void *user_data) {
    struct told *told = user_data;
    CHECK_EQ(event_count(&told->closed), 0);
    if (error == NULL) {
        event_signal(&told->ok);
    } else {
        told->last = iscp_error_code(error);
        CHECK(strlen(iscp_error_message(error)) > 0);
    }
    event_signal(&told->outcomes);
}

static void on_closed(const iscp_error_t *error, uint64_t points, const uint32_t *chunks, size_t chunk_count,
                      void *user_data) {
    struct told *told = user_data;
    (void)error, (void)chunks, (void)chunk_count;
    told->undelivered = points;
    event_signal(&told->closed);
}

static void on_release(void *user_data) {
    event_signal(&((struct told *)user_data)->released);
}

static iscp_status_t write_told(iscp_upstream_t *up, iscp_data_id_t id, int64_t elapsed_ns,
                                struct told *told) {
    return iscp_upstream_write_acknowledged(up, id, elapsed_ns, (const uint8_t *)"x", 1, on_outcome, told,
                                            NULL);
}

/* An upstream whose end is told too. */
static iscp_upstream_t *open_told(struct told *told, iscp_upstream_options_t *options) {
    iscp_upstream_t *up = NULL;
    OK(iscp_upstream_options_set_closed_callback(options, on_closed, told, on_release, &error));
    OK(iscp_upstream_open_wait(sender, options, -1, &up, &error));
    iscp_upstream_options_free(options);
    return up;
}

TEST(each_point_is_told_of_once) {
    begin();
    struct told told = TOLD_INIT;
    iscp_upstream_t *up = open_told(&told, upstream_options("flush_policy", "none", NULL));
    iscp_data_id_t id = client_data_id(up, "a");
    for (int i = 0; i < 300; i++) {
        CHECK_STATUS(write_told(up, id, i, &told), ISCP_OK);
        client_write(up, id, i, "nobody waits for this");
        if (i % 100 == 0) {
            OK(iscp_upstream_flush(up, ISCP_FLUSH_SENT, -1, NULL, NULL, &error));
        }
    }
    /* The rest leaves with the close. */
    OK(iscp_upstream_close_wait(up, false, -1, &error));
    event_wait(&told.closed, 1, "the closed callback");
    CHECK_EQ(event_count(&told.ok), 300);
    CHECK_EQ(event_count(&told.outcomes), 300);
    FAILS(iscp_upstream_write_acknowledged(up, id, 0, NULL, 0, on_outcome, &told, &error), ISCP_ERR_CLOSED,
          "upstream");
    iscp_upstream_free(up);
    CHECK_EQ(client_read_points(down, 600), 600);
    end();
    CHECK_EQ(event_count(&told.outcomes), 300);
}

TEST(waits_until_a_point_is_delivered) {
    begin();
    iscp_upstream_t *up = client_upstream(sender, "flush_policy", "immediate", NULL);
    iscp_data_id_t id = client_data_id(up, "a");
    for (int i = 0; i < 3; i++) {
        OK(iscp_upstream_write_acknowledged_wait(up, id, i, (const uint8_t *)"x", 1, -1, &error));
        CHECK_EQ(upstream_stat(up, ISCP_UPSTREAM_STAT_IN_FLIGHT_CHUNKS), 0);
    }
    /* The name travels as an alias by now. */
    CHECK_EQ(upstream_stat(up, ISCP_UPSTREAM_STAT_ALIASES), 1);
    /* With nobody told it is a write like any other. */
    OK(iscp_upstream_write_acknowledged(up, id, 3, NULL, 0, NULL, NULL, &error));
    FAILS(iscp_upstream_write_acknowledged_wait(up, id, 0, NULL, 1, -1, &error), ISCP_ERR_NULL_ARGUMENT,
          "payload");
    FAILS(iscp_upstream_write_acknowledged_wait(up, 0, 0, NULL, 0, -1, &error), ISCP_ERR_INVALID_ARGUMENT,
          "data_id");
    FAILS(iscp_upstream_write_acknowledged_wait(up, id + 1, 0, NULL, 0, -1, &error),
          ISCP_ERR_INVALID_ARGUMENT, "data_id");
    FAILS(iscp_upstream_write_acknowledged_wait(up, id, 0, NULL, 0, -2, &error), ISCP_ERR_INVALID_ARGUMENT,
          "timeout_ms");
    FAILS(iscp_upstream_write_acknowledged(NULL, id, 0, NULL, 0, on_outcome, NULL, &error),
          ISCP_ERR_NULL_ARGUMENT, "upstream");
    OK(iscp_upstream_close_wait(up, false, -1, &error));
    iscp_upstream_free(up);
    CHECK_EQ(client_read_points(down, 4), 4);
    end();
}

/* Neither flush nor the acknowledgement is the other. */
TEST(sent_is_not_delivered) {
    begin();
    struct told told = TOLD_INIT;
    iscp_upstream_t *up =
        open_told(&told, upstream_options("flush_policy", "none", "ack_timeout_ms", "700", NULL));
    iscp_data_id_t id = client_data_id(up, "a");
    process_stop(&broker.process);
    client_write(up, id, 0, "x");
    FAILS(iscp_upstream_write_acknowledged_wait(up, id, 1, NULL, 0, 100, &error), ISCP_ERR_TIMEOUT, "");
    CHECK_EQ(upstream_stat(up, ISCP_UPSTREAM_STAT_BUFFERED_POINTS), 2);
    CHECK_STATUS(write_told(up, id, 2, &told), ISCP_OK);
    OK(iscp_upstream_flush_wait(up, ISCP_FLUSH_SENT, -1, &error));
    CHECK_EQ(upstream_stat(up, ISCP_UPSTREAM_STAT_BUFFERED_POINTS), 0);
    CHECK_EQ(upstream_stat(up, ISCP_UPSTREAM_STAT_IN_FLIGHT_CHUNKS), 1);
    FAILS(iscp_upstream_flush_wait(up, ISCP_FLUSH_ACKNOWLEDGED, 100, &error), ISCP_ERR_TIMEOUT,
          "acknowledge");
    event_wait(&told.outcomes, 1, "the end of the time for an acknowledgement");
    CHECK_STATUS(told.last, ISCP_ERR_TIMEOUT);
    process_signal(&broker.process, SIGCONT);
    FAILS(iscp_upstream_close_wait(up, false, -1, &error), ISCP_ERR_TIMEOUT, "chunk 1");
    event_wait(&told.closed, 1, "the closed callback");
    CHECK_EQ(told.undelivered, 3);
    CHECK_EQ(event_count(&told.outcomes), 1);
    iscp_upstream_free(up);
    end();
}

static void write_in_callback(const iscp_error_t *error, void *user_data) {
    void **all = user_data;
    CHECK(error == NULL);
    iscp_upstream_t *up = all[0];
    iscp_data_id_t id = *(iscp_data_id_t *)all[1];
    FAILS(iscp_upstream_write_acknowledged_wait(up, id, 0, NULL, 0, -1, &error), ISCP_ERR_IN_CALLBACK, "");
    CHECK_STATUS(write_told(up, id, 1, all[2]), ISCP_OK);
}

TEST(writes_inside_the_callback) {
    begin();
    struct told told = TOLD_INIT;
    iscp_upstream_t *up = client_upstream(sender, "flush_policy", "immediate", NULL);
    iscp_data_id_t id = client_data_id(up, "a");
    void *all[] = {up, &id, &told};
    OK(iscp_upstream_write_acknowledged(up, id, 0, NULL, 0, write_in_callback, all, &error));
    event_wait(&told.ok, 1, "the point that was written inside the callback");
    OK(iscp_upstream_close_wait(up, false, -1, &error));
    CHECK_EQ(upstream_stat(up, ISCP_UPSTREAM_STAT_TOTAL_POINTS), 2);
    iscp_upstream_free(up);
    end();
}

/* Whatever ends the stream, every writer is told. */
TEST(writers_are_told_that_the_stream_has_ended) {
    begin();
    struct told told = TOLD_INIT, freed = TOLD_INIT;
    iscp_conn_options_t *once = conn_options(broker.url, "once", "reconnect", "false", NULL);
    iscp_conn_t *conn = NULL;
    OK(iscp_connect_wait(once, -1, &conn, &error));
    iscp_conn_options_free(once);
    iscp_upstream_t *up = client_upstream(conn, "flush_policy", "none", NULL);
    iscp_upstream_t *other = client_upstream(sender, "flush_policy", "none", NULL);
    iscp_data_id_t id = client_data_id(up, "a");
    CHECK_STATUS(write_told(other, client_data_id(other, "a"), 0, &freed), ISCP_OK);
    /* Freed without a close it delivers in the background. */
    iscp_upstream_free(other);
    event_wait(&freed.ok, 1, "the point of the freed stream");
    process_stop(&broker.process);
    CHECK_STATUS(write_told(up, id, 0, &told), ISCP_OK);
    OK(iscp_upstream_flush_wait(up, ISCP_FLUSH_SENT, -1, &error));
    CHECK_STATUS(write_told(up, id, 1, &told), ISCP_OK);
    process_signal(&broker.process, SIGKILL);
    event_wait(&told.outcomes, 2, "the point that was sent and the one that was not");
    CHECK(told.last != ISCP_OK);
    CHECK_EQ(event_count(&told.ok), 0);
    EVENTUALLY(iscp_upstream_state(up) == ISCP_UPSTREAM_STATE_CLOSED);
    CHECK(write_told(up, id, 2, &told) != ISCP_OK);
    iscp_upstream_free(up);
    iscp_conn_free(conn);
    end();
    CHECK_EQ(event_count(&told.outcomes), 2);
}

TEST(so_many_writers_may_wait) {
    begin();
    struct told told = TOLD_INIT;
    iscp_upstream_t *up = client_upstream(sender, "flush_policy", "none", NULL);
    iscp_data_id_t id = client_data_id(up, "a");
    for (int i = 0; i < 65536; i++) {
        CHECK_STATUS(write_told(up, id, i, &told), ISCP_OK);
    }
    FAILS(iscp_upstream_write_acknowledged(up, id, 0, NULL, 0, on_outcome, &told, &error),
          ISCP_ERR_WOULD_BLOCK, "65536");
    client_write(up, id, 0, "this may be written all the same");
    OK(iscp_upstream_flush_wait(up, ISCP_FLUSH_ACKNOWLEDGED, -1, &error));
    event_wait(&told.ok, 65536, "all of them");
    OK(iscp_upstream_write_acknowledged(up, id, 0, NULL, 0, on_outcome, &told, &error));
    OK(iscp_upstream_close_wait(up, false, -1, &error));
    event_wait(&told.ok, 65537, "one more");
    iscp_upstream_free(up);
    end();
}

TEST(several_data_ids_in_one_chunk) {
    begin();
    iscp_upstream_t *up = client_upstream(sender, "flush_policy", "none", NULL);
    iscp_data_id_t a = client_data_id(up, "a"), b = client_data_id(up, "b");
    uint8_t *large = calloc(1, ISCP_MAX_TOGETHER);
    CHECK(large != NULL);
    iscp_upstream_point_t points[] = {
        {a, {2, (const uint8_t *)"one", 3}}, {b, {1, NULL, 0}}, {a, {-1, (const uint8_t *)"three", 5}}};
    /* The rest of a chunk that is nearly full stays empty. */
    CHECK_STATUS(iscp_upstream_write(up, a, 0, large, ISCP_MAX_TOGETHER - 60), ISCP_OK);
    CHECK_STATUS(iscp_upstream_write_together(up, points, 3), ISCP_OK);
    /* All or none. */
    iscp_upstream_point_t wrong[] = {points[0], {b + 1, {0, NULL, 0}}};
    CHECK_STATUS(iscp_upstream_write_together(up, wrong, 2), ISCP_ERR_INVALID_ARGUMENT);
    wrong[1] = (iscp_upstream_point_t){0, {0, NULL, 0}};
    CHECK_STATUS(iscp_upstream_write_together(up, wrong, 2), ISCP_ERR_INVALID_ARGUMENT);
    wrong[1] = (iscp_upstream_point_t){b, {0, NULL, 1}};
    CHECK_STATUS(iscp_upstream_write_together(up, wrong, 2), ISCP_ERR_NULL_ARGUMENT);
    wrong[1] = (iscp_upstream_point_t){b, {0, large, ISCP_MAX_TOGETHER - 23 - 23 - 3}};
    CHECK_STATUS(iscp_upstream_write_together(up, wrong, 2), ISCP_OK);
    wrong[1].point.payload_len++;
    CHECK_STATUS(iscp_upstream_write_together(up, wrong, 2), ISCP_ERR_TOO_LARGE);
    CHECK_STATUS(iscp_upstream_write_together(up, NULL, 1), ISCP_ERR_NULL_ARGUMENT);
    CHECK_STATUS(iscp_upstream_write_together(NULL, points, 1), ISCP_ERR_NULL_ARGUMENT);
    CHECK_STATUS(iscp_upstream_write_together(up, NULL, 0), ISCP_OK);
    CHECK_EQ(upstream_stat(up, ISCP_UPSTREAM_STAT_BUFFERED_POINTS), 6);
    OK(iscp_upstream_close_wait(up, false, -1, &error));
    static const size_t expected[] = {1, 3, 2};
    for (uint32_t i = 0; i < 3; i++) {
        iscp_chunk_t *chunk = NULL;
        OK(iscp_downstream_next_chunk_wait(down, -1, &chunk, &error));
        CHECK_EQ(iscp_chunk_sequence_number(chunk), i + 1);
        CHECK_EQ(iscp_chunk_point_count(chunk), expected[i]);
        if (i == 1) {
            const char *name;
            const iscp_data_point_t *read;
            size_t count;
            CHECK_EQ(iscp_chunk_group_count(chunk), 2);
            CHECK_STATUS(iscp_chunk_group(chunk, 0, &name, NULL, &read, &count), ISCP_OK);
            CHECK_TEXT(name, "a");
            CHECK_EQ(count, 2);
            CHECK_EQ(read[0].elapsed_time_ns, 2);
            CHECK_EQ(read[1].elapsed_time_ns, -1);
        }
        iscp_chunk_free(chunk);
    }
    free(large);
    iscp_upstream_free(up);
    end();
}

TEST(points_are_sorted_within_a_chunk) {
    begin();
    iscp_upstream_t *up = client_upstream(sender, "flush_policy", "none", "points_sorted", "true", NULL);
    iscp_data_id_t a = client_data_id(up, "a"), b = client_data_id(up, "b");
    static const int64_t times[] = {5, -3, 5, 0, INT64_MAX, INT64_MIN};
    for (size_t i = 0; i < 6; i++) {
        client_write(up, a, times[i], i == 0 ? "first" : "x");
        client_write(up, b, (int64_t)i, "x");
    }
    OK(iscp_upstream_close_wait(up, false, -1, &error));
    iscp_chunk_t *chunk = NULL;
    OK(iscp_downstream_next_chunk_wait(down, -1, &chunk, &error));
    const iscp_data_point_t *read;
    size_t count;
    CHECK_STATUS(iscp_chunk_group(chunk, 0, NULL, NULL, &read, &count), ISCP_OK);
    static const int64_t sorted[] = {INT64_MIN, -3, 0, 5, 5, INT64_MAX};
    CHECK_EQ(count, 6);
    for (size_t i = 0; i < 6; i++) {
        CHECK_EQ(read[i].elapsed_time_ns, sorted[i]);
    }
    CHECK_EQ(read[3].payload_len, 5);
    iscp_chunk_free(chunk);
    iscp_upstream_free(up);
    end();
}

/* Writes to a broker that takes nothing until `dropped` points were dropped, and the broker goes on. Every
 * tenth writer waits. Returns how many were written. */
static int64_t write_too_much(iscp_upstream_t *up, iscp_data_id_t id, uint64_t dropped, struct told *told) {
    static const uint8_t large[8192];
    int64_t written = 0;
    process_stop(&broker.process);
    while (upstream_stat(up, ISCP_UPSTREAM_STAT_DROPPED_POINTS) < dropped) {
        if (written % 10 == 0) {
            OK(iscp_upstream_write_acknowledged(up, id, written++, large, sizeof large, on_outcome, told,
                                                &error));
        } else {
            CHECK_STATUS(iscp_upstream_write(up, id, written++, large, sizeof large), ISCP_OK);
        }
        CHECK(upstream_stat(up, ISCP_UPSTREAM_STAT_BUFFERED_BYTES) <= 262144);
    }
    process_signal(&broker.process, SIGCONT);
    return written;
}

/* Reads so many points, in order, of which some may be missing. Returns the last. */
static int64_t read_with_gaps(int64_t count) {
    int64_t previous = -1;
    for (int64_t received = 0; received < count;) {
        iscp_chunk_t *chunk = NULL;
        OK(iscp_downstream_next_chunk_wait(down, -1, &chunk, &error));
        const iscp_data_point_t *read;
        size_t points;
        CHECK_STATUS(iscp_chunk_group(chunk, 0, NULL, NULL, &read, &points), ISCP_OK);
        for (size_t i = 0; i < points; i++, received++) {
            CHECK(read[i].elapsed_time_ns > previous);
            previous = read[i].elapsed_time_ns;
        }
        iscp_chunk_free(chunk);
    }
    return previous;
}

static void drop_with(const char *policy, const char *qos) {
    begin();
    struct told told = TOLD_INIT;
    iscp_upstream_t *up = open_told(
        &told, upstream_options("qos", qos, "buffer_policy", policy, "buffer_limit", "262144", NULL));
    iscp_data_id_t id = client_data_id(up, "a");
    int64_t written = write_too_much(up, id, 200, &told);
    int64_t dropped = (int64_t)upstream_stat(up, ISCP_UPSTREAM_STAT_DROPPED_POINTS);
    CHECK(dropped >= 200);
    OK(iscp_upstream_close_wait(up, false, -1, &error));
    event_wait(&told.closed, 1, "the closed callback");
    CHECK_EQ(told.undelivered, dropped);
    CHECK_EQ(upstream_stat(up, ISCP_UPSTREAM_STAT_TOTAL_POINTS), written - dropped);
    /* Everybody was told, in time. */
    CHECK_EQ(event_count(&told.outcomes), (written + 9) / 10);
    CHECK(event_count(&told.ok) < event_count(&told.outcomes));
    CHECK_STATUS(told.last, ISCP_ERR_OVERFLOW);
    int64_t last = read_with_gaps(written - dropped);
    /* The write after which nothing more was dropped is the last one. */
    CHECK_EQ(last == written - 1, strcmp(policy, "drop_oldest") == 0);
    iscp_upstream_free(up);
    end();
}

TEST(drop_oldest_keeps_the_newest_points) {
    drop_with("drop_oldest", "unreliable");
}
TEST(drop_newest_keeps_the_oldest_points) {
    drop_with("drop_newest", "partial");
}

TEST(reliable_points_are_never_dropped) {
    begin();
    static const char *const policies[] = {"drop_oldest", "drop_newest"};
    for (size_t i = 0; i < 2; i++) {
        iscp_upstream_options_t *options = upstream_options("buffer_policy", policies[i], NULL);
        iscp_upstream_t *up = NULL;
        FAILS(iscp_upstream_open_wait(sender, options, -1, &up, &error), ISCP_ERR_INVALID_OPTION,
              policies[i]);
        FAILS(iscp_upstream_open_wait(sender, options, -1, &up, &error), ISCP_ERR_INVALID_OPTION,
              "buffer_policy");
        CHECK(up == NULL);
        OK(iscp_upstream_options_set_qos(options, ISCP_QOS_PARTIAL, &error));
        OK(iscp_upstream_open_wait(sender, options, -1, &up, &error));
        iscp_upstream_free(up);
        iscp_upstream_options_free(options);
    }
    end();
}

/* What is shown, with its acknowledgements. */
struct shown {
    struct event chunks, acked, points, released;
    struct event *gate; /* waits for it, if there is one */
    iscp_chunk_t *kept;
    pthread_t thread; /* which runs the callbacks */
    bool thread_known;
};

static void on_before_send(const iscp_chunk_t *chunk, void *user_data) {
    struct shown *shown = user_data;
    if (shown->gate != NULL) {
        event_wait(shown->gate, 1, "the gate");
    }
    shown->thread = pthread_self();
    shown->thread_known = true;
    uint32_t number = iscp_chunk_sequence_number(chunk);
    CHECK_EQ(number, event_count(&shown->chunks) + 1);
    CHECK(event_count(&shown->acked) < (int)number);
    CHECK_TEXT(iscp_chunk_source_node_id(chunk), "sender");
    CHECK_TEXT(iscp_chunk_session_id(chunk), "session");
    const char *name, *type;
    const iscp_data_point_t *points;
    size_t count;
    CHECK_STATUS(iscp_chunk_group(chunk, 0, &name, &type, &points, &count), ISCP_OK);
    CHECK_TEXT(name, "a");
    CHECK_TEXT(type, "string");
    CHECK_EQ(count, 1);
    CHECK_EQ(points[0].elapsed_time_ns, number);
    CHECK(points[0].payload_len == 5 && memcmp(points[0].payload, "hello", 5) == 0);
    if (shown->kept == NULL) {
        shown->kept = iscp_chunk_ref(chunk);
    }
    event_signal(&shown->chunks);
}

static void on_shown_ack(uint32_t number, int32_t code, const char *text, void *user_data) {
    struct shown *shown = user_data;
    (void)code, (void)text;
    CHECK(event_count(&shown->chunks) >= (int)number);
    event_signal(&shown->acked);
}

static void on_shown_point(const iscp_error_t *error, void *user_data) {
    struct shown *shown = user_data;
    CHECK(error == NULL);
    event_signal(&shown->points);
    CHECK(event_count(&shown->chunks) >= event_count(&shown->points));
}

static void on_shown_release(void *user_data) {
    struct shown *shown = user_data;
    CHECK(!shown->thread_known || pthread_equal(shown->thread, pthread_self()));
    event_signal(&shown->released);
}

#define SHOWN_INIT                                                                                           \
    { .chunks = EVENT_INIT, .acked = EVENT_INIT, .points = EVENT_INIT, .released = EVENT_INIT }

static iscp_upstream_t *open_shown(struct shown *shown) {
    iscp_upstream_options_t *options = upstream_options("flush_policy", "none", "ack_interval_ms", "0", NULL);
    OK(iscp_upstream_options_set_before_send_callback(options, on_before_send, shown, on_shown_release,
                                                      &error));
    OK(iscp_upstream_options_set_ack_callback(options, on_shown_ack, shown, NULL, &error));
    iscp_upstream_t *up = NULL;
    OK(iscp_upstream_open_wait(sender, options, -1, &up, &error));
    iscp_upstream_options_free(options);
    return up;
}

TEST(chunks_are_shown_before_anything_is_told_of_them) {
    begin();
    struct shown shown = SHOWN_INIT;
    iscp_upstream_t *up = open_shown(&shown);
    iscp_data_id_t id = client_data_id(up, "a");
    for (int i = 1; i <= 50; i++) {
        OK(iscp_upstream_write_acknowledged(up, id, i, (const uint8_t *)"hello", 5, on_shown_point, &shown,
                                            &error));
        OK(iscp_upstream_flush(up, ISCP_FLUSH_SENT, -1, NULL, NULL, &error));
        EVENTUALLY(upstream_stat(up, ISCP_UPSTREAM_STAT_LAST_SEQUENCE_NUMBER) == (uint64_t)i);
    }
    iscp_uuid_t id_of_stream = iscp_upstream_id(up);
    OK(iscp_upstream_close_wait(up, false, -1, &error));
    iscp_upstream_free(up);
    event_wait(&shown.released, 1, "the release");
    CHECK_EQ(event_count(&shown.chunks), 50);
    CHECK_EQ(event_count(&shown.acked), 50);
    CHECK_EQ(event_count(&shown.points), 50);
    /* Kept, it outlives the stream. */
    iscp_uuid_t source = iscp_chunk_upstream_id(shown.kept);
    CHECK(memcmp(&source, &id_of_stream, sizeof source) == 0);
    CHECK_EQ(iscp_chunk_point_count(shown.kept), 1);
    iscp_chunk_free(shown.kept);
    end();
}

TEST(a_slow_look_at_chunks_holds_up_no_chunk) {
    begin();
    struct event gate = EVENT_INIT;
    struct shown shown = SHOWN_INIT;
    shown.gate = &gate;
    iscp_upstream_t *up = open_shown(&shown);
    iscp_data_id_t id = client_data_id(up, "a");
    for (int i = 1; i <= 3; i++) {
        client_write(up, id, i, "hello");
        OK(iscp_upstream_flush_wait(up, ISCP_FLUSH_ACKNOWLEDGED, -1, &error));
    }
    CHECK_EQ(client_read_points(down, 3), 3);
    CHECK_EQ(event_count(&shown.chunks), 0);
    event_signal(&gate);
    OK(iscp_upstream_close_wait(up, false, -1, &error));
    iscp_upstream_free(up);
    event_wait(&shown.released, 1, "the release");
    CHECK_EQ(event_count(&shown.chunks), 3);
    iscp_chunk_free(shown.kept);
    shown.thread_known = false;
    FAILS(iscp_upstream_options_set_before_send_callback(NULL, on_before_send, &shown, on_shown_release,
                                                         &error),
          ISCP_ERR_NULL_ARGUMENT, "options");
    CHECK_EQ(event_count(&shown.released), 2);
    end();
}

TEST(states_of_an_upstream) {
    struct chaos chaos;
    begin();
    chaos_start(&chaos, &broker);
    iscp_conn_options_t *options = conn_options(chaos.url, "node", "reconnect_min_interval_ms", "10",
                                                "reconnect_max_interval_ms", "50", NULL);
    iscp_conn_t *conn = NULL;
    OK(iscp_connect_wait(options, -1, &conn, &error));
    iscp_conn_options_free(options);
    iscp_upstream_t *up = client_upstream(conn, "flush_policy", "none", NULL);
    iscp_data_id_t id = client_data_id(up, "a");
    CHECK_EQ(iscp_upstream_state(up), ISCP_UPSTREAM_STATE_OPEN);
    chaos_do(&chaos, "refuse");
    chaos_do(&chaos, "cut");
    EVENTUALLY(iscp_upstream_state(up) == ISCP_UPSTREAM_STATE_RESUMING);
    struct told told = TOLD_INIT;
    CHECK_STATUS(write_told(up, id, 0, &told), ISCP_OK);
    chaos_do(&chaos, "accept");
    EVENTUALLY(iscp_upstream_state(up) == ISCP_UPSTREAM_STATE_OPEN);
    process_stop(&broker.process);
    OK(iscp_upstream_close(up, false, NULL, NULL, &error));
    CHECK_EQ(iscp_upstream_state(up), ISCP_UPSTREAM_STATE_CLOSING);
    process_signal(&broker.process, SIGCONT);
    EVENTUALLY(iscp_upstream_state(up) == ISCP_UPSTREAM_STATE_CLOSED);
    event_wait(&told.ok, 1, "the point that was written during the outage");
    iscp_upstream_free(up);
    CHECK_EQ(iscp_upstream_state(NULL), ISCP_UPSTREAM_STATE_CLOSED);
    CHECK_EQ(iscp_upstream_state(up), ISCP_UPSTREAM_STATE_CLOSED);
    iscp_conn_free(conn);
    chaos_stop(&chaos);
    end();
}
