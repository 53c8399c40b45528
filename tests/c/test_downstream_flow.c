/* Reading: applications that are too slow, the order of chunks, states and owners. */
#include "client.h"

#include <poll.h>
#include <stdarg.h>

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

/* Options for everything of the sender and what the pairs of key and value say, ended by NULL. */
static iscp_downstream_options_t *options_with(const char *key, ...) {
    iscp_downstream_options_t *options = iscp_downstream_options_new();
    OK(iscp_downstream_options_add_node(options, "sender", &error));
    va_list pairs;
    va_start(pairs, key);
    for (; key != NULL; key = va_arg(pairs, const char *)) {
        OK(iscp_downstream_options_set(options, key, va_arg(pairs, const char *), &error));
    }
    va_end(pairs);
    return options;
}

static iscp_downstream_t *opened(iscp_downstream_options_t *options) {
    iscp_downstream_t *down = NULL;
    OK(iscp_downstream_open_wait(reader, options, -1, &down, &error));
    iscp_downstream_options_free(options);
    return down;
}

/* Sends chunks of one point each, whose elapsed times count them. */
static void send_chunks(int count) {
    iscp_upstream_t *up = client_upstream(sender, "flush_policy", "none", NULL);
    iscp_data_id_t id = client_data_id(up, "a");
    for (int i = 0; i < count; i++) {
        client_write(up, id, i, "payload");
        OK(iscp_upstream_flush_wait(up, ISCP_FLUSH_SENT, -1, &error));
    }
    OK(iscp_upstream_close_wait(up, false, -1, &error));
    iscp_upstream_free(up);
}

/* Elapsed time of the only point of the next chunk. */
static int64_t next_elapsed(iscp_downstream_t *down) {
    iscp_chunk_t *chunk = NULL;
    OK(iscp_downstream_next_chunk_wait(down, -1, &chunk, &error));
    const iscp_data_point_t *points = NULL;
    size_t count = 0;
    CHECK_STATUS(iscp_chunk_group(chunk, 0, NULL, NULL, &points, &count), ISCP_OK);
    CHECK_EQ(count, 1);
    int64_t elapsed_ns = points[0].elapsed_time_ns;
    iscp_chunk_free(chunk);
    return elapsed_ns;
}

/* A reader that pauses gets everything in the end, and holds up nobody meanwhile. */
TEST(a_reliable_reader_pauses) {
    enum { CHUNKS = 1500 };
    begin();
    iscp_downstream_t *down = opened(options_with("qos", "reliable", "buffer_policy", "pause", NULL));
    iscp_downstream_t *other = opened(options_with("qos", "reliable", NULL));
    send_chunks(CHUNKS);
    /* The other stream of the same connection goes on, up to the end of the upstream. */
    for (int i = 0; i < CHUNKS; i++) {
        CHECK_EQ(next_elapsed(other), i);
    }
    iscp_metadata_free(client_read_metadata(other, ISCP_METADATA_UPSTREAM_NORMAL_CLOSE));
    /* The broker waits for acknowledgements after 512 chunks. */
    CHECK_EQ(downstream_stat(down, ISCP_DOWNSTREAM_STAT_CHUNKS), 512);
    CHECK_EQ(downstream_stat(down, ISCP_DOWNSTREAM_STAT_BUFFERED_CHUNKS), 512);
    CHECK(downstream_stat(down, ISCP_DOWNSTREAM_STAT_BUFFERED_BYTES) > 0);
    for (int i = 0; i < CHUNKS; i++) {
        CHECK_EQ(next_elapsed(down), i);
    }
    CHECK_EQ(downstream_stat(down, ISCP_DOWNSTREAM_STAT_CHUNKS), CHUNKS);
    CHECK_EQ(downstream_stat(down, ISCP_DOWNSTREAM_STAT_BYTES), CHUNKS * (int)strlen("payload"));
    CHECK_EQ(downstream_stat(down, ISCP_DOWNSTREAM_STAT_DROPPED_CHUNKS), 0);
    CHECK_EQ(downstream_stat(down, ISCP_DOWNSTREAM_STAT_LOST_CHUNKS), 0);
    iscp_downstream_free(other);
    iscp_downstream_free(down);
    end();
}

struct ending {
    struct event closed, released;
    iscp_status_t status;
};

static void on_closed(const iscp_error_t *error, void *user_data) {
    struct ending *ending = user_data;
    ending->status = iscp_error_code(error);
    CHECK_CONTAINS(iscp_error_message(error), "buffer_limit");
    event_signal(&ending->closed);
}

static void on_release(void *user_data) {
    event_signal(&((struct ending *)user_data)->released);
}

/* One that fails takes what fits and ends, whatever its QoS. */
TEST(a_reader_that_fails) {
    begin();
    static const char *const qos[] = {"reliable", "unreliable", "partial"};
    for (size_t i = 0; i < 3; i++) {
        struct ending ending = {EVENT_INIT, EVENT_INIT, ISCP_OK};
        iscp_downstream_options_t *options =
            options_with("qos", qos[i], "buffer_policy", "fail", "buffer_limit", "300000", NULL);
        OK(iscp_downstream_options_set_closed_callback(options, on_closed, &ending, on_release, &error));
        iscp_downstream_t *down = opened(options);
        /* More than the server would send without acknowledgements. */
        send_chunks(1000);
        event_wait(&ending.closed, 1, "the end of the stream");
        CHECK_STATUS(ending.status, ISCP_ERR_OVERFLOW);
        CHECK_EQ(iscp_downstream_state(down), ISCP_DOWNSTREAM_STATE_CLOSED);
        uint64_t received = downstream_stat(down, ISCP_DOWNSTREAM_STAT_CHUNKS);
        CHECK(received > 512 * (i == 0) && received < 1000);
        CHECK_EQ(downstream_stat(down, ISCP_DOWNSTREAM_STAT_DROPPED_CHUNKS), 0);
        for (uint64_t n = 0; n < received; n++) {
            CHECK_EQ(next_elapsed(down), n);
        }
        iscp_chunk_t *chunk = NULL;
        FAILS(iscp_downstream_next_chunk_wait(down, -1, &chunk, &error), ISCP_ERR_OVERFLOW, "buffer_limit");
        event_wait(&ending.released, 1, "the release");
        iscp_downstream_free(down);
    }
    end();
}

TEST(readers_that_drop) {
    begin();
    static const char *const policies[] = {"drop_oldest", "drop_newest", "auto"};
    for (int i = 0; i < 3; i++) {
        iscp_downstream_t *down = opened(
            options_with("qos", "partial", "buffer_policy", policies[i], "buffer_limit", "4096", NULL));
        send_chunks(40);
        iscp_metadata_free(client_read_metadata(down, ISCP_METADATA_UPSTREAM_NORMAL_CLOSE));
        uint64_t dropped = downstream_stat(down, ISCP_DOWNSTREAM_STAT_DROPPED_CHUNKS);
        uint64_t kept = downstream_stat(down, ISCP_DOWNSTREAM_STAT_BUFFERED_CHUNKS);
        CHECK(dropped > 0 && kept > 0);
        CHECK_EQ(dropped + kept, 40);
        CHECK_EQ(downstream_stat(down, ISCP_DOWNSTREAM_STAT_CHUNKS), 40);
        CHECK_EQ(downstream_stat(down, ISCP_DOWNSTREAM_STAT_DROPPED_POINTS), dropped);
        CHECK(downstream_stat(down, ISCP_DOWNSTREAM_STAT_BUFFERED_BYTES) <= 4096);
        /* They arrived: what is dropped here is not lost on the way. */
        CHECK_EQ(downstream_stat(down, ISCP_DOWNSTREAM_STAT_LOST_CHUNKS), 0);
        for (uint64_t n = 0; n < kept; n++) {
            CHECK_EQ(next_elapsed(down), n + (i == 1 ? 0 : dropped));
        }
        iscp_downstream_free(down);
    }
    end();
}

static void on_opened(iscp_downstream_t *down, const iscp_error_t *error, void *user_data) {
    (void)down, (void)error, (void)user_data;
    FAIL("called although it did not begin");
}

static void refused(const char *option, iscp_downstream_options_t *options) {
    iscp_downstream_t *down = NULL;
    FAILS(iscp_downstream_open_wait(reader, options, -1, &down, &error), ISCP_ERR_INVALID_OPTION, option);
    CHECK(down == NULL);
    FAILS(iscp_downstream_open(reader, options, on_opened, NULL, &error), ISCP_ERR_INVALID_OPTION, option);
    iscp_downstream_options_free(options);
}

TEST(options_that_contradict_each_other) {
    begin();
    refused("buffer_policy", options_with("qos", "reliable", "buffer_policy", "drop_oldest", NULL));
    refused("buffer_policy", options_with("buffer_policy", "drop_newest", "qos", "reliable", NULL));
    refused("buffer_policy", options_with("buffer_policy", "pause", NULL));
    refused("buffer_policy", options_with("buffer_policy", "pause", "qos", "partial", NULL));
    refused("omit_empty_chunk", options_with("chunk_order", "strict", "omit_empty_chunk", "true", NULL));
    refused("chunk_order", options_with("omit_empty_chunk", "true", "chunk_order", "best_effort", NULL));
    iscp_downstream_options_t *options = iscp_downstream_options_new();
    FAILS(iscp_downstream_options_set_buffer_policy(options, "drop", &error), ISCP_ERR_INVALID_OPTION,
          "drop_oldest");
    FAILS(iscp_downstream_options_set_chunk_order(options, "sorted", &error), ISCP_ERR_INVALID_OPTION,
          "best_effort");
    FAILS(iscp_downstream_options_set_reorder_limit(options, 0, &error), ISCP_ERR_INVALID_OPTION, "65536");
    FAILS(iscp_downstream_options_set_reorder_wait_ms(options, 0, &error), ISCP_ERR_INVALID_OPTION,
          "reorder_wait_ms");
    FAILS(iscp_downstream_options_add_node(options, "", &error), ISCP_ERR_INVALID_OPTION, "node");
    FAILS(iscp_downstream_options_add_node(options, NULL, &error), ISCP_ERR_NULL_ARGUMENT, "node");
    OK(iscp_downstream_options_set_buffer_policy(options, "fail", &error));
    OK(iscp_downstream_options_set_chunk_order(options, "best_effort", &error));
    OK(iscp_downstream_options_set_reorder_limit(options, 65536, &error));
    OK(iscp_downstream_options_set_reorder_wait_ms(options, 3600000, &error));
    iscp_downstream_options_free(options);
    end();
}

TEST(every_order_of_chunks_receives_everything) {
    begin();
    static const char *const orders[] = {"as_received", "best_effort", "strict"};
    static const char *const qos[] = {"reliable", "unreliable", "partial"};
    for (size_t i = 0; i < 9; i++) {
        iscp_downstream_t *down = opened(options_with("chunk_order", orders[i / 3], "qos", qos[i % 3], NULL));
        send_chunks(20);
        for (int n = 0; n < 20; n++) {
            CHECK_EQ(next_elapsed(down), n);
        }
        static const iscp_downstream_stat_t quiet[] = {
            ISCP_DOWNSTREAM_STAT_DUPLICATE_CHUNKS,    ISCP_DOWNSTREAM_STAT_LOST_CHUNKS,
            ISCP_DOWNSTREAM_STAT_REORDERED_CHUNKS,    ISCP_DOWNSTREAM_STAT_WAITING_CHUNKS,
            ISCP_DOWNSTREAM_STAT_GIVEN_UP_CHUNKS,     ISCP_DOWNSTREAM_STAT_LATE_CHUNKS,
            ISCP_DOWNSTREAM_STAT_LATE_DROPPED_CHUNKS,
        };
        for (size_t k = 0; k < sizeof quiet / sizeof quiet[0]; k++) {
            CHECK_EQ(downstream_stat(down, quiet[k]), 0);
        }
        iscp_downstream_free(down);
    }
    end();
}

static bool readable(int fd, int timeout_ms) {
    struct pollfd ready = {.fd = fd, .events = POLLIN};
    return poll(&ready, 1, timeout_ms) == 1;
}

/* Each descriptor speaks of one source only. */
TEST(a_descriptor_for_metadata) {
    begin();
    iscp_downstream_t *down = opened(options_with(NULL));
    int32_t chunks = -1, metadata = -1, again = -1;
    OK(iscp_downstream_pollable(down, &chunks, &error));
    send_chunks(0);
    CHECK(readable(chunks, -1));
    OK(iscp_downstream_metadata_pollable(down, &metadata, &error));
    OK(iscp_downstream_metadata_pollable(down, &again, &error));
    CHECK(metadata >= 0 && metadata == again && metadata != chunks);
    CHECK(readable(metadata, 0) && !readable(chunks, 0));
    iscp_metadata_free(client_read_metadata(down, ISCP_METADATA_UPSTREAM_NORMAL_CLOSE));
    CHECK(!readable(metadata, 0) && !readable(chunks, 0));
    CHECK_EQ(downstream_stat(down, ISCP_DOWNSTREAM_STAT_METADATA), 2);
    send_chunks(1);
    CHECK(readable(chunks, -1) && readable(metadata, -1));
    EVENTUALLY(downstream_stat(down, ISCP_DOWNSTREAM_STAT_BUFFERED_METADATA) == 2);
    CHECK_EQ(next_elapsed(down), 0);
    CHECK(!readable(chunks, 0) && readable(metadata, 0));
    /* The end makes both readable for good. */
    iscp_metadata_free(client_read_metadata(down, ISCP_METADATA_UPSTREAM_NORMAL_CLOSE));
    OK(iscp_downstream_close_wait(down, -1, &error));
    CHECK(readable(chunks, -1) && readable(metadata, -1));
    FAILS(iscp_downstream_metadata_pollable(NULL, &metadata, &error), ISCP_ERR_NULL_ARGUMENT, "downstream");
    CHECK_EQ(metadata, -1);
    iscp_downstream_free(down);
    end();
}

/* What a connection may do when it is lost is seen in test_reconnect.c. */
TEST(states_and_owners) {
    begin();
    iscp_downstream_t *down = opened(options_with("qos", "reliable", NULL));
    CHECK_EQ(iscp_downstream_state(down), ISCP_DOWNSTREAM_STATE_OPEN);
    CHECK_EQ(iscp_downstream_state(NULL), ISCP_DOWNSTREAM_STATE_CLOSED);
    CHECK(iscp_downstream_ref(NULL) == NULL);
    CHECK(iscp_downstream_ref(down) == down);
    iscp_downstream_free(down);
    CHECK_EQ(iscp_downstream_state(down), ISCP_DOWNSTREAM_STATE_OPEN);
    send_chunks(1);
    CHECK_EQ(next_elapsed(down), 0);
    OK(iscp_downstream_close_wait(down, -1, &error));
    CHECK_EQ(iscp_downstream_state(down), ISCP_DOWNSTREAM_STATE_CLOSED);
    iscp_downstream_free(down);
    CHECK_EQ(iscp_downstream_state(down), ISCP_DOWNSTREAM_STATE_CLOSED);
    CHECK(iscp_downstream_ref(down) == NULL);
    end();
}

static void parses(const char *text, const char *type, const char *name) {
    const char *out_type = NULL, *out_name = NULL;
    size_t type_len = 99, name_len = 99;
    OK(iscp_data_id_parse(text, &out_type, &type_len, &out_name, &name_len, &error));
    CHECK(out_type == text && type_len == strlen(type) && memcmp(out_type, type, type_len) == 0);
    CHECK_TEXT(out_name, name);
    CHECK_EQ(name_len, strlen(name));
    OK(iscp_data_id_parse(text, NULL, NULL, NULL, NULL, &error));
}

TEST(data_ids_as_text) {
    parses("string:room/temperature", "string", "room/temperature");
    parses("t:n", "t", "n");
    parses(":name", "", "name");
    static const char *const wrong[] = {"", "name", "type:", "a:b:c", "#:name", "type:a/+"};
    for (size_t i = 0; i < sizeof wrong / sizeof wrong[0]; i++) {
        const char *type = "", *name = "";
        size_t type_len = 9, name_len = 9;
        FAILS(iscp_data_id_parse(wrong[i], &type, &type_len, &name, &name_len, &error),
              ISCP_ERR_INVALID_ARGUMENT, "text");
        CHECK(type == NULL && name == NULL && type_len == 0 && name_len == 0);
    }
    FAILS(iscp_data_id_parse(NULL, NULL, NULL, NULL, NULL, &error), ISCP_ERR_NULL_ARGUMENT, "text");
    FAILS(iscp_data_id_parse("t:\xff", NULL, NULL, NULL, NULL, &error), ISCP_ERR_INVALID_UTF8, "text");
}
