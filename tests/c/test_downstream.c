/* Reading: pulling and handlers, metadata, filters, the descriptor. */
#include "client.h"

#include <poll.h>
#include <signal.h>
#include <sys/wait.h>
#include <unistd.h>

static struct broker broker;
static iscp_conn_t *sender, *reader;

static void begin(void) {
    broker_start(&broker, NULL);
    sender = client_connect(broker.url, "sender");
    reader = client_connect(broker.url, "reader");
}

static void end(void) {
    iscp_conn_free(sender);
    iscp_conn_free(reader);
    client_shutdown();
    broker_stop(&broker);
}

static void send_points(int count) {
    iscp_upstream_t *up = client_upstream(sender, "flush_policy", "none", NULL);
    iscp_data_id_t id = client_data_id(up, "a");
    for (int i = 0; i < count; i++) {
        client_write(up, id, i, "x");
        OK(iscp_upstream_flush_wait(up, ISCP_FLUSH_SENT, -1, &error));
    }
    OK(iscp_upstream_close_wait(up, false, -1, &error));
    iscp_upstream_free(up);
}

TEST(metadata_kinds) {
    begin();
    iscp_downstream_t *down = client_downstream(reader, "sender");
    OK(iscp_conn_send_base_time_wait(sender, "session", "edge_rtc", 7, 123, -456, true, -1, &error));
    iscp_metadata_t *metadata = client_read_metadata(down, ISCP_METADATA_BASE_TIME);
    CHECK_TEXT(iscp_metadata_source_node_id(metadata), "sender");
    CHECK_TEXT(iscp_metadata_session_id(metadata), "session");
    CHECK_TEXT(iscp_metadata_name(metadata), "edge_rtc");
    CHECK_EQ(iscp_metadata_priority(metadata), 7);
    CHECK_EQ(iscp_metadata_elapsed_time_ns(metadata), 123);
    CHECK_EQ(iscp_metadata_base_time_ns(metadata), -456);
    CHECK_EQ(iscp_metadata_total_points(metadata), 0);
    CHECK(iscp_metadata_ref(metadata) == metadata);
    iscp_metadata_free(metadata);
    CHECK_TEXT(iscp_metadata_name(metadata), "edge_rtc");
    iscp_metadata_free(metadata);

    iscp_upstream_t *up = client_upstream(sender, NULL);
    iscp_uuid_t id = iscp_upstream_id(up), got;
    metadata = client_read_metadata(down, ISCP_METADATA_UPSTREAM_OPEN);
    got = iscp_metadata_stream_id(metadata);
    CHECK(memcmp(&got, &id, sizeof id) == 0);
    CHECK_EQ(iscp_metadata_qos(metadata), ISCP_QOS_RELIABLE);
    CHECK_TEXT(iscp_metadata_session_id(metadata), "session");
    iscp_metadata_free(metadata);
    OK(iscp_upstream_close_wait(up, false, -1, &error));
    metadata = client_read_metadata(down, ISCP_METADATA_UPSTREAM_NORMAL_CLOSE);
    CHECK_EQ(iscp_metadata_total_points(metadata), 0);
    CHECK_EQ(iscp_metadata_final_sequence_number(metadata), 0);
    iscp_metadata_free(metadata);
    iscp_upstream_free(up);

    iscp_downstream_t *theirs = client_downstream(sender, "nobody");
    id = iscp_downstream_id(theirs);
    metadata = client_read_metadata(down, ISCP_METADATA_DOWNSTREAM_OPEN);
    got = iscp_metadata_stream_id(metadata);
    CHECK(memcmp(&got, &id, sizeof id) == 0);
    iscp_metadata_free(metadata);
    OK(iscp_downstream_close_wait(theirs, -1, &error));
    iscp_metadata_free(client_read_metadata(down, ISCP_METADATA_DOWNSTREAM_NORMAL_CLOSE));
    iscp_downstream_free(theirs);
    iscp_downstream_free(down);
    end();
}

TEST(a_source_that_dies_is_told) {
    broker_start(&broker, NULL);
    int go[2];
    char byte = 0;
    CHECK(pipe(go) == 0);
    /* A child that opens an upstream when it is told to, and does nothing more. */
    pid_t pid = fork();
    CHECK(pid >= 0);
    if (pid == 0) {
        CHECK(read(go[0], &byte, 1) == 1);
        client_upstream(client_connect(broker.url, "dying"), "expiry_interval_ms", "0", NULL);
        for (;;) {
            pause();
        }
    }
    test_guard_process(pid);
    reader = client_connect(broker.url, "reader");
    iscp_downstream_t *down = client_downstream(reader, "dying");
    CHECK(write(go[1], &byte, 1) == 1);
    iscp_metadata_free(client_read_metadata(down, ISCP_METADATA_UPSTREAM_OPEN));
    CHECK(kill(pid, SIGKILL) == 0);
    CHECK(waitpid(pid, NULL, 0) == pid);
    test_unguard_process(pid);
    iscp_metadata_free(client_read_metadata(down, ISCP_METADATA_UPSTREAM_ABNORMAL_CLOSE));
    iscp_downstream_free(down);
    iscp_conn_free(reader);
    client_shutdown();
    broker_stop(&broker);
}

struct handled {
    struct event chunks, metadata, closed, released;
    iscp_chunk_t *kept;
};

static void on_chunk(const iscp_chunk_t *chunk, void *user_data) {
    struct handled *handled = user_data;
    if (handled->kept == NULL) {
        handled->kept = iscp_chunk_ref(chunk);
    }
    /* A callback's chunk belongs to the library. */
    CHECK_EQ(iscp_chunk_point_count(chunk), 1);
    event_signal(&handled->chunks);
}

static void on_metadata(const iscp_metadata_t *metadata, void *user_data) {
    struct handled *handled = user_data;
    iscp_metadata_kind_t kind = iscp_metadata_kind(metadata);
    /* In order with the chunks. */
    if (kind == ISCP_METADATA_UPSTREAM_OPEN) {
        CHECK_EQ(event_count(&handled->chunks), 0);
    } else if (kind == ISCP_METADATA_UPSTREAM_NORMAL_CLOSE) {
        CHECK_EQ(event_count(&handled->chunks), (int)iscp_metadata_final_sequence_number(metadata));
        event_signal(&handled->metadata);
    }
}

static void on_closed(const iscp_error_t *error, void *user_data) {
    CHECK(error == NULL);
    event_signal(&((struct handled *)user_data)->closed);
}

static void on_release(void *user_data) {
    event_signal(&((struct handled *)user_data)->released);
}

TEST(handlers_receive_everything) {
    begin();
    struct handled handled = {EVENT_INIT, EVENT_INIT, EVENT_INIT, EVENT_INIT, NULL};
    iscp_downstream_options_t *options = iscp_downstream_options_new();
    OK(iscp_downstream_options_add_filter(options, "sender", "#:#", &error));
    OK(iscp_downstream_options_set_qos(options, ISCP_QOS_RELIABLE, &error));
    OK(iscp_downstream_options_set_closed_callback(options, on_closed, &handled, on_release, &error));
    iscp_downstream_t *down = NULL;
    OK(iscp_downstream_open_wait(reader, options, -1, &down, &error));
    iscp_downstream_options_free(options);
    /* Half arrives before there are handlers. */
    iscp_upstream_t *up = client_upstream(sender, "flush_policy", "none", NULL);
    iscp_data_id_t id = client_data_id(up, "a");
    for (int i = 0; i < 50; i++) {
        if (i == 25) {
            EVENTUALLY(downstream_stat(down, ISCP_DOWNSTREAM_STAT_BUFFERED_CHUNKS) == 25);
            OK(iscp_downstream_read_metadata(down, on_metadata, &handled, on_release, &error));
            OK(iscp_downstream_read(down, on_chunk, &handled, on_release, &error));
        }
        client_write(up, id, i, "x");
        OK(iscp_upstream_flush_wait(up, ISCP_FLUSH_SENT, -1, &error));
    }
    OK(iscp_upstream_close_wait(up, false, -1, &error));
    event_wait(&handled.metadata, 1, "the end of the upstream");
    CHECK_EQ(event_count(&handled.chunks), 50);
    OK(iscp_downstream_close_wait(down, -1, &error));
    event_wait(&handled.closed, 1, "the closed callback");
    event_wait(&handled.released, 3, "the releases");
    CHECK_EQ(event_count(&handled.closed), 1);
    CHECK_EQ(iscp_chunk_sequence_number(handled.kept), 1);
    iscp_chunk_free(handled.kept);
    iscp_upstream_free(up);
    iscp_downstream_free(down);
    end();
}

TEST(handler_and_pull_exclude_each_other) {
    begin();
    struct handled handled = {EVENT_INIT, EVENT_INIT, EVENT_INIT, EVENT_INIT, NULL};
    iscp_downstream_t *down = client_downstream(reader, "sender");
    send_points(1);
    CHECK_EQ(client_read_points(down, 1), 1);
    /* What was pulled is gone; the handler gets the rest. */
    OK(iscp_downstream_read(down, on_chunk, &handled, on_release, &error));
    iscp_chunk_t *chunk = NULL;
    FAILS(iscp_downstream_next_chunk_wait(down, 0, &chunk, &error), ISCP_ERR_INVALID_STATE, "chunks");
    FAILS(iscp_downstream_next_chunk_wait(down, -1, &chunk, &error), ISCP_ERR_INVALID_STATE, "chunks");
    FAILS(iscp_downstream_read(down, on_chunk, &handled, on_release, &error), ISCP_ERR_INVALID_STATE,
          "chunks");
    /* The failed call has released its user data. */
    CHECK_EQ(event_count(&handled.released), 1);
    /* Metadata are a matter of their own. */
    iscp_metadata_free(client_read_metadata(down, ISCP_METADATA_UPSTREAM_OPEN));
    send_points(2);
    event_wait(&handled.chunks, 1, "a chunk");
    OK(iscp_downstream_close_wait(down, -1, &error));
    event_wait(&handled.released, 2, "the release");
    iscp_chunk_free(handled.kept);
    iscp_downstream_free(down);
    end();
}

static size_t count_with_filter(const char *filter) {
    iscp_downstream_t *down = NULL;
    iscp_downstream_options_t *options = iscp_downstream_options_new();
    OK(iscp_downstream_options_add_filter(options, "sender", filter, &error));
    OK(iscp_downstream_options_add_filter(options, "sender", "t:no/match", &error));
    OK(iscp_downstream_options_set_qos(options, ISCP_QOS_RELIABLE, &error));
    OK(iscp_downstream_open_wait(reader, options, -1, &down, &error));
    iscp_downstream_options_free(options);
    static const char *const names[] = {"a", "a/b", "a/b/c", "d"};
    iscp_upstream_t *up = client_upstream(sender, NULL);
    for (size_t i = 0; i < 4; i++) {
        for (int t = 0; t < 2; t++) {
            iscp_data_id_t id;
            OK(iscp_upstream_data_id(up, names[i], t == 0 ? "t" : "u", &id, &error));
            client_write(up, id, 0, "x");
        }
    }
    OK(iscp_upstream_close_wait(up, false, -1, &error));
    iscp_upstream_free(up);
    iscp_metadata_free(client_read_metadata(down, ISCP_METADATA_UPSTREAM_NORMAL_CLOSE));
    size_t points = downstream_stat(down, ISCP_DOWNSTREAM_STAT_POINTS);
    iscp_downstream_free(down);
    return points;
}

TEST(filters_with_wildcards) {
    begin();
    CHECK_EQ(count_with_filter("#:#"), 8);
    CHECK_EQ(count_with_filter("t:#"), 4);
    CHECK_EQ(count_with_filter("t:a"), 1);
    CHECK_EQ(count_with_filter("#:a/b"), 2);
    CHECK_EQ(count_with_filter("t:a/+"), 1);
    CHECK_EQ(count_with_filter("t:+"), 2);
    CHECK_EQ(count_with_filter("u:a/+/c"), 1);
    CHECK_EQ(count_with_filter("v:#"), 0);
    end();
}

/* Numbers of the filters that the points of a data id matched, as text. */
static void matched(iscp_downstream_t *down, const char *name, const char *expected) {
    iscp_upstream_t *up = client_upstream(sender, NULL);
    client_write(up, client_data_id(up, name), 0, "x");
    OK(iscp_upstream_close_wait(up, false, -1, &error));
    iscp_upstream_free(up);
    iscp_chunk_t *chunk = NULL;
    OK(iscp_downstream_next_chunk_wait(down, -1, &chunk, &error));
    CHECK_EQ(iscp_chunk_group_count(chunk), 1);
    const uint32_t *filters = NULL;
    size_t count = 7;
    CHECK_STATUS(iscp_chunk_group_filters(chunk, 0, &filters, &count), ISCP_OK);
    char text[64] = "";
    for (size_t i = 0; i < count; i++) {
        size_t length = strlen(text);
        snprintf(text + length, sizeof text - length, " %u", (unsigned)filters[i]);
    }
    CHECK_TEXT(text, expected);
    CHECK((filters == NULL) == (count == 0));
    CHECK_STATUS(iscp_chunk_group_filters(chunk, 1, &filters, &count), ISCP_ERR_INVALID_ARGUMENT);
    CHECK(filters == NULL && count == 0);
    CHECK_STATUS(iscp_chunk_group_filters(chunk, 0, NULL, &count), ISCP_ERR_NULL_ARGUMENT);
    CHECK_STATUS(iscp_chunk_group_filters(chunk, 0, &filters, NULL), ISCP_ERR_NULL_ARGUMENT);
    iscp_chunk_free(chunk);
}

/* Filters are numbered in the order in which they were added, whatever node they are for. */
TEST(the_filters_that_matched) {
    begin();
    iscp_downstream_t *down = NULL;
    iscp_downstream_options_t *options = iscp_downstream_options_new();
    OK(iscp_downstream_options_add_filter(options, "other", "#:#", &error));
    OK(iscp_downstream_options_add_filter(options, "sender", "string:a", &error));
    OK(iscp_downstream_options_set(options, "filter", "another #:#", &error));
    OK(iscp_downstream_options_set(options, "filter", "sender #:+", &error));
    OK(iscp_downstream_options_add_filter(options, "sender", "#:b/#", &error));
    OK(iscp_downstream_options_add_filter(options, "sender", "string:a", &error));
    OK(iscp_downstream_open_wait(reader, options, -1, &down, &error));
    iscp_downstream_options_free(options);
    matched(down, "a", " 1 3 5");
    matched(down, "b/c", " 4");
    matched(down, "c", " 3");
    iscp_downstream_free(down);
    end();
}

TEST(empty_chunks_can_be_omitted) {
    begin();
    for (int omit = 0; omit < 2; omit++) {
        iscp_downstream_t *down = NULL;
        iscp_downstream_options_t *options = iscp_downstream_options_new();
        OK(iscp_downstream_options_add_filter(options, "sender", "other:#", &error));
        OK(iscp_downstream_options_set_omit_empty_chunk(options, omit == 1, &error));
        OK(iscp_downstream_open_wait(reader, options, -1, &down, &error));
        iscp_downstream_options_free(options);
        send_points(1);
        iscp_metadata_free(client_read_metadata(down, ISCP_METADATA_UPSTREAM_NORMAL_CLOSE));
        CHECK_EQ(downstream_stat(down, ISCP_DOWNSTREAM_STAT_CHUNKS), omit == 1 ? 0 : 1);
        iscp_downstream_free(down);
    }
    end();
}

TEST(statistics) {
    begin();
    iscp_downstream_t *down = client_downstream(reader, "sender");
    send_points(10);
    iscp_metadata_free(client_read_metadata(down, ISCP_METADATA_UPSTREAM_NORMAL_CLOSE));
    uint64_t chunks = downstream_stat(down, ISCP_DOWNSTREAM_STAT_CHUNKS);
    CHECK_EQ(downstream_stat(down, ISCP_DOWNSTREAM_STAT_POINTS), 10);
    CHECK_EQ(downstream_stat(down, ISCP_DOWNSTREAM_STAT_BUFFERED_CHUNKS), chunks);
    CHECK_EQ(client_read_points(down, 10), 10);
    CHECK_EQ(downstream_stat(down, ISCP_DOWNSTREAM_STAT_BUFFERED_CHUNKS), 0);
    CHECK_EQ(downstream_stat(down, ISCP_DOWNSTREAM_STAT_DROPPED_CHUNKS), 0);
    CHECK_EQ(downstream_stat(down, ISCP_DOWNSTREAM_STAT_DROPPED_POINTS), 0);
    CHECK_EQ(downstream_stat(down, ISCP_DOWNSTREAM_STAT_DROPPED_METADATA), 0);
    uint64_t value;
    CHECK_STATUS(iscp_downstream_stat(down, 0, &value), ISCP_ERR_INVALID_ARGUMENT);
    iscp_downstream_free(down);
    end();
}

static bool readable(int fd, int timeout_ms) {
    struct pollfd ready = {.fd = fd, .events = POLLIN};
    return poll(&ready, 1, timeout_ms) == 1;
}

TEST(descriptor_is_readable_while_there_is_something) {
    begin();
    iscp_downstream_t *down = client_downstream(reader, "sender");
    int32_t fd = -1, again = -1;
    OK(iscp_downstream_pollable(down, &fd, &error));
    OK(iscp_downstream_pollable(down, &again, &error));
    CHECK(fd >= 0 && again == fd);
    CHECK(!readable(fd, 0));
    iscp_upstream_t *up = client_upstream(sender, NULL);
    CHECK(readable(fd, -1));
    CHECK(readable(fd, 0));
    iscp_metadata_t *metadata = NULL;
    OK(iscp_downstream_next_metadata_wait(down, 0, &metadata, &error));
    iscp_metadata_free(metadata);
    FAILS(iscp_downstream_next_metadata_wait(down, 0, &metadata, &error), ISCP_ERR_WOULD_BLOCK, "downstream");
    CHECK(!readable(fd, 0));
    client_write(up, client_data_id(up, "a"), 0, "x");
    CHECK(readable(fd, -1));
    iscp_chunk_t *chunk = NULL;
    OK(iscp_downstream_next_chunk_wait(down, 0, &chunk, &error));
    iscp_chunk_free(chunk);
    FAILS(iscp_downstream_next_chunk_wait(down, 0, &chunk, &error), ISCP_ERR_WOULD_BLOCK, "downstream");
    FAILS(iscp_downstream_next_chunk_wait(down, 10, &chunk, &error), ISCP_ERR_TIMEOUT, "downstream");
    FAILS(iscp_downstream_next_chunk_wait(down, -3, &chunk, &error), ISCP_ERR_INVALID_ARGUMENT, "timeout_ms");
    CHECK(!readable(fd, 0));
    /* The end makes it readable for good. */
    OK(iscp_downstream_close_wait(down, -1, &error));
    CHECK(readable(fd, -1));
    FAILS(iscp_downstream_next_chunk_wait(down, 0, &chunk, &error), ISCP_ERR_CLOSED, "downstream");
    CHECK(readable(fd, 0));
    iscp_upstream_free(up);
    iscp_downstream_free(down);
    end();
}

TEST(what_was_received_stays_readable) {
    begin();
    iscp_downstream_t *down = client_downstream(reader, "sender");
    send_points(5);
    iscp_metadata_free(client_read_metadata(down, ISCP_METADATA_UPSTREAM_NORMAL_CLOSE));
    OK(iscp_downstream_close_wait(down, -1, &error));
    CHECK_EQ(client_read_points(down, 5), 5);
    iscp_chunk_t *chunk = NULL;
    FAILS(iscp_downstream_next_chunk_wait(down, -1, &chunk, &error), ISCP_ERR_CLOSED, "downstream");
    FAILS(iscp_downstream_close_wait(down, -1, &error), ISCP_ERR_CLOSED, "downstream");
    struct handled handled = {EVENT_INIT, EVENT_INIT, EVENT_INIT, EVENT_INIT, NULL};
    FAILS(iscp_downstream_read(down, on_chunk, &handled, on_release, &error), ISCP_ERR_CLOSED, "downstream");
    CHECK_EQ(event_count(&handled.released), 1);
    iscp_downstream_free(down);
    end();
}

TEST(a_reader_that_does_not_read) {
    begin();
    /* UNRELIABLE drops the oldest chunks and counts them; RELIABLE ends. */
    for (int reliable = 0; reliable < 2; reliable++) {
        iscp_downstream_t *down = NULL;
        iscp_downstream_options_t *options = iscp_downstream_options_new();
        OK(iscp_downstream_options_add_filter(options, "sender", "#:#", &error));
        OK(iscp_downstream_options_set_qos(options, reliable, &error));
        OK(iscp_downstream_options_set_buffer_limit(options, 1024, &error));
        OK(iscp_downstream_open_wait(reader, options, -1, &down, &error));
        iscp_downstream_options_free(options);
        iscp_upstream_t *up = client_upstream(sender, "flush_policy", "none", NULL);
        iscp_data_id_t id = client_data_id(up, "a");
        for (int i = 0; i < 20; i++) {
            client_write(up, id, i, "x");
            OK(iscp_upstream_flush_wait(up, ISCP_FLUSH_SENT, -1, &error));
        }
        if (reliable) {
            iscp_chunk_t *chunk = NULL;
            iscp_status_t status;
            test_waiting_for("the overflow");
            while ((status = iscp_downstream_next_metadata_wait(down, -1, (iscp_metadata_t **)&chunk,
                                                                NULL)) == ISCP_OK) {
                iscp_metadata_free((iscp_metadata_t *)chunk);
            }
            CHECK_STATUS(status, ISCP_ERR_OVERFLOW);
        } else {
            EVENTUALLY(downstream_stat(down, ISCP_DOWNSTREAM_STAT_CHUNKS) == 20);
            uint64_t dropped = downstream_stat(down, ISCP_DOWNSTREAM_STAT_DROPPED_CHUNKS);
            CHECK(dropped > 0);
            CHECK_EQ(downstream_stat(down, ISCP_DOWNSTREAM_STAT_DROPPED_POINTS), dropped);
            CHECK_EQ(downstream_stat(down, ISCP_DOWNSTREAM_STAT_BUFFERED_CHUNKS), 20 - dropped);
        }
        iscp_upstream_free(up);
        iscp_downstream_free(down);
    }
    end();
}
