/* Writing: whatever the options, what is written arrives as it was, and is accounted for. */
#include "client.h"

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

/* One point of a chunk that has exactly one, which is checked. */
static void expect_point(const char *name, int64_t elapsed_ns, const void *payload, size_t length) {
    iscp_chunk_t *chunk = NULL;
    OK(iscp_downstream_next_chunk_wait(down, -1, &chunk, &error));
    const char *got_name, *got_type;
    const iscp_data_point_t *points;
    size_t count;
    CHECK_EQ(iscp_chunk_point_count(chunk), 1);
    CHECK_STATUS(iscp_chunk_group(chunk, 0, &got_name, &got_type, &points, &count), ISCP_OK);
    CHECK_TEXT(got_name, name);
    CHECK_TEXT(got_type, "string");
    CHECK_EQ(count, 1);
    CHECK_EQ(points[0].elapsed_time_ns, elapsed_ns);
    CHECK_EQ(points[0].payload_len, length);
    CHECK(length == 0 || memcmp(points[0].payload, payload, length) == 0);
    iscp_chunk_free(chunk);
}

static void write_point(iscp_upstream_t *up, const char *name, int64_t elapsed_ns, const void *payload,
                        size_t length) {
    CHECK_STATUS(iscp_upstream_write(up, client_data_id(up, name), elapsed_ns, payload, length), ISCP_OK);
}

static void roundtrip(iscp_upstream_t *up, const char *name, int64_t elapsed_ns, const void *payload,
                      size_t length) {
    write_point(up, name, elapsed_ns, payload, length);
    OK(iscp_upstream_flush_wait(up, ISCP_FLUSH_SENT, -1, &error));
    expect_point(name, elapsed_ns, payload, length);
}

TEST(points_arrive_unchanged) {
    begin();
    iscp_upstream_t *up = client_upstream(sender, NULL);
    size_t large_size = 1 << 20;
    uint8_t *large = malloc(large_size);
    CHECK(large != NULL);
    for (size_t i = 0; i < large_size; i++) {
        large[i] = (uint8_t)(i * 31 >> 3);
    }
    static const uint8_t zeros[3];
    roundtrip(up, "a", 0, "x", 1);
    roundtrip(up, "a", -1, NULL, 0);
    roundtrip(up, "b/c", INT64_MAX, zeros, 3);
    roundtrip(up, "b/c", INT64_MIN, "\xff\xfe", 2);
    roundtrip(up, "日本", 1000000000, large, large_size);
    OK(iscp_upstream_close_wait(up, false, -1, &error));
    free(large);
    iscp_upstream_free(up);
    end();
}

TEST(largest_payload) {
    begin();
    iscp_upstream_t *up = client_upstream(sender, "buffer_limit", "33554432", NULL);
    uint8_t *large = calloc(1, ISCP_MAX_PAYLOAD);
    CHECK(large != NULL);
    write_point(up, "a", 0, large, ISCP_MAX_PAYLOAD);
    expect_point("a", 0, large, ISCP_MAX_PAYLOAD);
    OK(iscp_upstream_close_wait(up, false, -1, &error));
    free(large);
    iscp_upstream_free(up);
    end();
}

TEST(data_ids) {
    begin();
    iscp_upstream_t *up = client_upstream(sender, "data_id", "string:announced", NULL);
    iscp_data_id_t a = client_data_id(up, "a"), b = client_data_id(up, "b");
    CHECK(a != b);
    CHECK_EQ(client_data_id(up, "a"), a);
    iscp_data_id_t other_type;
    OK(iscp_upstream_data_id(up, "a", "float64", &other_type, &error));
    CHECK(other_type != a);
    write_point(up, "announced", 1, "x", 1);
    OK(iscp_upstream_flush_wait(up, ISCP_FLUSH_SENT, -1, &error));
    expect_point("announced", 1, "x", 1);
    iscp_upstream_free(up);
    end();
}

/* Everything written arrives, in order per data id, whatever the flush policy and the QoS. */
static void stream_with(const char *policy, const char *qos) {
    begin();
    iscp_upstream_t *up = client_upstream(sender, "flush_policy", policy, "qos", qos, "flush_interval_ms",
                                          "20", "flush_size", "50", NULL);
    iscp_data_id_t ids[2] = {client_data_id(up, "a"), client_data_id(up, "b")};
    for (int64_t n = 0; n < 100; n++) {
        client_write(up, ids[n % 2], n, "0123456789");
    }
    OK(iscp_upstream_close_wait(up, false, -1, &error));
    CHECK_EQ(upstream_stat(up, ISCP_UPSTREAM_STAT_TOTAL_POINTS), 100);
    uint64_t chunks = upstream_stat(up, ISCP_UPSTREAM_STAT_LAST_SEQUENCE_NUMBER);
    CHECK(strcmp(policy, "none") != 0 || chunks == 1);
    /* How many it takes otherwise depends on how quickly they leave. */
    CHECK(chunks >= 1 && chunks <= 100);

    int64_t next[2] = {0, 1};
    uint32_t sequence = 0;
    for (size_t received = 0; received < 100;) {
        iscp_chunk_t *chunk = NULL;
        OK(iscp_downstream_next_chunk_wait(down, -1, &chunk, &error));
        CHECK_EQ(iscp_chunk_sequence_number(chunk), ++sequence);
        for (size_t g = 0; g < iscp_chunk_group_count(chunk); g++) {
            const char *name;
            const iscp_data_point_t *points;
            size_t count;
            CHECK_STATUS(iscp_chunk_group(chunk, g, &name, NULL, &points, &count), ISCP_OK);
            for (size_t p = 0; p < count; p++) {
                CHECK_EQ(points[p].elapsed_time_ns, next[name[0] - 'a']);
                next[name[0] - 'a'] += 2;
            }
            received += count;
        }
        iscp_chunk_free(chunk);
    }
    CHECK_EQ(sequence, chunks);
    iscp_metadata_t *closed = client_read_metadata(down, ISCP_METADATA_UPSTREAM_NORMAL_CLOSE);
    CHECK_EQ(iscp_metadata_total_points(closed), 100);
    CHECK_EQ(iscp_metadata_final_sequence_number(closed), chunks);
    iscp_metadata_free(closed);
    iscp_upstream_free(up);
    end();
}

TEST(flush_policy_none) {
    stream_with("none", "reliable");
}
TEST(flush_policy_interval) {
    stream_with("interval", "reliable");
}
TEST(flush_policy_size) {
    stream_with("size", "reliable");
}
TEST(flush_policy_interval_or_size) {
    stream_with("interval_or_size", "reliable");
}
TEST(flush_policy_immediate) {
    stream_with("immediate", "reliable");
}
TEST(qos_unreliable) {
    stream_with("interval_or_size", "unreliable");
}
TEST(qos_partial) {
    stream_with("interval_or_size", "partial");
}

TEST(interval_sends_without_a_flush) {
    begin();
    iscp_upstream_t *up =
        client_upstream(sender, "flush_policy", "interval", "flush_interval_ms", "10", NULL);
    write_point(up, "a", 5, "x", 1);
    expect_point("a", 5, "x", 1);
    iscp_upstream_free(up);
    end();
}

TEST(size_sends_without_a_flush) {
    begin();
    iscp_upstream_t *up = client_upstream(sender, "flush_policy", "size", "flush_size", "3", NULL);
    write_point(up, "a", 0, "12", 2);
    CHECK_EQ(upstream_stat(up, ISCP_UPSTREAM_STAT_BUFFERED_POINTS), 1);
    write_point(up, "a", 1, "34", 2);
    CHECK_EQ(client_read_points(down, 2), 2);
    iscp_upstream_free(up);
    end();
}

TEST(write_points) {
    begin();
    iscp_upstream_t *up = client_upstream(sender, "flush_policy", "none", NULL);
    iscp_data_id_t id = client_data_id(up, "a");
    iscp_data_point_t points[] = {
        {1, (const uint8_t *)"one", 3}, {2, NULL, 0}, {3, (const uint8_t *)"three", 5}, {4, NULL, 7}};
    CHECK_STATUS(iscp_upstream_write_points(up, id, points, 3), ISCP_OK);
    /* All or none. */
    CHECK_STATUS(iscp_upstream_write_points(up, id, points, 4), ISCP_ERR_NULL_ARGUMENT);
    CHECK_STATUS(iscp_upstream_write_points(up, id + 1, points, 3), ISCP_ERR_INVALID_ARGUMENT);
    points[3] = (iscp_data_point_t){4, (const uint8_t *)"", ISCP_MAX_PAYLOAD + 1};
    CHECK_STATUS(iscp_upstream_write_points(up, id, points, 4), ISCP_ERR_TOO_LARGE);
    CHECK_STATUS(iscp_upstream_write_points(up, id, NULL, 0), ISCP_OK);
    CHECK_STATUS(iscp_upstream_write_points(up, id, points, 1), ISCP_OK);
    CHECK_EQ(upstream_stat(up, ISCP_UPSTREAM_STAT_BUFFERED_POINTS), 4);
    CHECK(upstream_stat(up, ISCP_UPSTREAM_STAT_BUFFERED_BYTES) > 0);
    OK(iscp_upstream_close_wait(up, false, -1, &error));
    CHECK_EQ(client_read_points(down, 4), 4);
    iscp_upstream_free(up);
    end();
}

TEST(flush_levels) {
    begin();
    iscp_upstream_t *up = client_upstream(sender, "flush_policy", "none", NULL);
    iscp_data_id_t id = client_data_id(up, "a");
    /* With nothing to do both are done at once. */
    OK(iscp_upstream_flush_wait(up, ISCP_FLUSH_SENT, -1, &error));
    OK(iscp_upstream_flush_wait(up, ISCP_FLUSH_ACKNOWLEDGED, -1, &error));
    client_write(up, id, 0, "x");
    CHECK_EQ(upstream_stat(up, ISCP_UPSTREAM_STAT_BUFFERED_POINTS), 1);
    OK(iscp_upstream_flush_wait(up, ISCP_FLUSH_SENT, -1, &error));
    CHECK_EQ(upstream_stat(up, ISCP_UPSTREAM_STAT_BUFFERED_POINTS), 0);
    CHECK_EQ(upstream_stat(up, ISCP_UPSTREAM_STAT_TOTAL_POINTS), 1);
    client_write(up, id, 1, "y");
    OK(iscp_upstream_flush_wait(up, ISCP_FLUSH_ACKNOWLEDGED, -1, &error));
    CHECK_EQ(upstream_stat(up, ISCP_UPSTREAM_STAT_IN_FLIGHT_CHUNKS), 0);
    CHECK_EQ(upstream_stat(up, ISCP_UPSTREAM_STAT_IN_FLIGHT_BYTES), 0);
    CHECK_EQ(upstream_stat(up, ISCP_UPSTREAM_STAT_FAILED_POINTS), 0);
    iscp_upstream_free(up);
    end();
}

struct acks {
    struct event acked, closed, released;
    uint32_t last;
    uint64_t undelivered;
};

static void on_ack(uint32_t sequence_number, int32_t result_code, const char *result_string,
                   void *user_data) {
    struct acks *acks = user_data;
    CHECK_EQ(result_code, 0);
    CHECK(result_string != NULL);
    CHECK_EQ(sequence_number, acks->last + 1);
    acks->last = sequence_number;
    event_signal(&acks->acked);
}

static void on_closed(const iscp_error_t *error, uint64_t points, const uint32_t *chunks, size_t chunk_count,
                      void *user_data) {
    struct acks *acks = user_data;
    CHECK(error == NULL);
    CHECK_EQ(points, 0);
    CHECK_EQ(chunk_count, 0);
    (void)chunks;
    event_signal(&acks->closed);
}

static void on_release(void *user_data) {
    event_signal(&((struct acks *)user_data)->released);
}

TEST(every_chunk_is_acknowledged_once) {
    begin();
    struct acks acks = {EVENT_INIT, EVENT_INIT, EVENT_INIT, 0, 0};
    iscp_upstream_options_t *options = upstream_options("flush_policy", "none", "ack_interval_ms", "0", NULL);
    OK(iscp_upstream_options_set_ack_callback(options, on_ack, &acks, on_release, &error));
    OK(iscp_upstream_options_set_closed_callback(options, on_closed, &acks, on_release, &error));
    iscp_upstream_t *up = NULL;
    OK(iscp_upstream_open_wait(sender, options, -1, &up, &error));
    iscp_upstream_options_free(options);
    iscp_data_id_t id = client_data_id(up, "a");
    for (int i = 0; i < 20; i++) {
        client_write(up, id, i, "x");
        OK(iscp_upstream_flush_wait(up, i % 2, -1, &error));
    }
    OK(iscp_upstream_close_wait(up, true, -1, &error));
    event_wait(&acks.acked, 20, "20 acknowledgements");
    event_wait(&acks.closed, 1, "the closed callback");
    event_wait(&acks.released, 2, "both releases");
    CHECK_EQ(event_count(&acks.acked), 20);
    CHECK_EQ(event_count(&acks.closed), 1);
    FAILS(iscp_upstream_close_wait(up, true, -1, &error), ISCP_ERR_CLOSED, "upstream");
    FAILS(iscp_upstream_flush_wait(up, ISCP_FLUSH_SENT, -1, &error), ISCP_ERR_CLOSED, "");
    CHECK_STATUS(iscp_upstream_write(up, id, 0, NULL, 0), ISCP_ERR_CLOSED);
    iscp_upstream_free(up);
    end();
}

TEST(ids_and_times) {
    begin();
    iscp_upstream_t *up = client_upstream(sender, NULL);
    static const iscp_uuid_t zero;
    iscp_uuid_t id = iscp_upstream_id(up), down_id = iscp_downstream_id(down);
    CHECK(memcmp(&id, &zero, sizeof id) != 0 && memcmp(&down_id, &zero, sizeof id) != 0);
    CHECK(memcmp(&id, &down_id, sizeof id) != 0);
    CHECK(iscp_upstream_server_time_ns(up) > 1000000000ll * 1500000000);
    CHECK(iscp_downstream_server_time_ns(down) > 1000000000ll * 1500000000);
    write_point(up, "a", 0, "x", 1);
    iscp_chunk_t *chunk = NULL;
    OK(iscp_downstream_next_chunk_wait(down, -1, &chunk, &error));
    iscp_uuid_t source = iscp_chunk_upstream_id(chunk);
    CHECK(memcmp(&id, &source, sizeof id) == 0);
    CHECK_TEXT(iscp_chunk_source_node_id(chunk), "sender");
    CHECK_TEXT(iscp_chunk_session_id(chunk), "session");
    iscp_chunk_t *again = iscp_chunk_ref(chunk);
    CHECK(again == chunk);
    iscp_chunk_free(chunk);
    CHECK_EQ(iscp_chunk_point_count(again), 1);
    const char *name = "untouched";
    CHECK_STATUS(iscp_chunk_group(again, 1, &name, NULL, NULL, NULL), ISCP_ERR_INVALID_ARGUMENT);
    CHECK(name == NULL);
    iscp_chunk_free(again);
    iscp_upstream_free(up);
    end();
}
