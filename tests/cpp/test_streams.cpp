// Points and metadata through a broker.
#include "fixture.hpp"

#include <gtest/gtest.h>

#include <future>
#include <map>
#include <poll.h>

TEST(streams, points_arrive_group_by_group) {
    broker server;
    iscp::connection reading = connect(server.url(), "reader"), writing = connect(server.url(), "writer");
    iscp::downstream down = open_downstream(reading, "writer");
    iscp::upstream_options options;
    options.session_id("session").qos(iscp::qos::reliable).flush_policy("none").persist(false);
    iscp::upstream up = writing.open_upstream_wait(options, ample).value();
    const iscp::data_id text = up.data_id("greeting", "string").value();
    const iscp::data_id number = up.data_id("count", "uint8").value();
    EXPECT_NE(text.value(), 0U);
    EXPECT_EQ(up.data_id("greeting", "string")->value(), text.value());

    up.write(text, -5ms, "hello").value();
    const std::vector<std::uint8_t> payload{42};
    const std::vector<iscp_data_point_t> points{iscp::point(1ms, payload), iscp::point(2ms, iscp::bytes())};
    up.write_points(number, points).value();
    EXPECT_EQ(up.stat(iscp::upstream_stat::buffered_points).value(), 3U);
    up.flush_wait(iscp::flush_level::acknowledged, ample).value();
    EXPECT_EQ(up.stat(iscp::upstream_stat::total_points).value(), 3U);
    EXPECT_EQ(up.stat(iscp::upstream_stat::last_sequence_number).value(), 1U);

    const iscp::chunk chunk = down.next_chunk_wait(ample).value();
    EXPECT_EQ(chunk.sequence_number(), 1U);
    EXPECT_EQ(chunk.source_node_id(), "writer");
    EXPECT_EQ(chunk.session_id(), "session");
    EXPECT_EQ(chunk.upstream_id(), up.id());
    EXPECT_EQ(chunk.point_count(), 3U);
    std::map<std::string, std::vector<std::pair<std::int64_t, std::string>>> seen;
    for (const iscp::group group : chunk.groups()) {
        ASSERT_EQ(group.filters.size(), 1U);
        EXPECT_EQ(group.filters[0], 0U);
        for (const iscp::point point : group.points) {
            seen[std::string(group.type) + ":" + std::string(group.name)].emplace_back(
                point.elapsed_time().count(), point.payload().as_text());
        }
    }
    decltype(seen) expected;
    expected["string:greeting"] = {{-5000000, "hello"}};
    expected["uint8:count"] = {{1000000, "*"}, {2000000, ""}};
    EXPECT_EQ(seen, expected);
    EXPECT_EQ(chunk.groups().size(), 2U);
    EXPECT_EQ(chunk.groups()[0].points.size(), chunk.groups()[0].points.raw().size());
    EXPECT_GT(up.server_time(), iscp::time_point());
    EXPECT_GT(down.server_time(), iscp::time_point());
    EXPECT_FALSE(down.id().is_nil());
    EXPECT_EQ(down.stat(iscp::downstream_stat::points).value(), 3U);
    up.close_wait(ample).value();
    EXPECT_EQ(up.write(text, 0s, "late").status(), ISCP_ERR_CLOSED);
    EXPECT_EQ(up.close_wait(ample).status(), ISCP_ERR_CLOSED);
}

TEST(streams, what_failed_says_which_argument) {
    broker server;
    iscp::connection conn = connect(server.url(), "node");
    iscp::upstream up = open_upstream(conn);
    EXPECT_EQ(up.write(iscp::data_id(77), 0s, "x").status(), ISCP_ERR_INVALID_ARGUMENT);
    iscp::result<iscp::data_id> wrong = up.data_id(std::string_view("x\0y", 3), "string");
    EXPECT_EQ(wrong.status(), ISCP_ERR_INVALID_UTF8);
    EXPECT_NE(wrong.error().message().find("name"), std::string_view::npos);
    const iscp_data_point_t points[] = {iscp::point(0s, "x")};
    EXPECT_EQ(up.write_points(iscp::data_id(77), points).status(), ISCP_ERR_INVALID_ARGUMENT);
}

TEST(streams, points_are_delivered_together_and_the_writer_is_told) {
    broker server;
    iscp::connection reading = connect(server.url(), "reader");
    iscp::downstream down = open_downstream(reading, "writer");
    iscp::connection writing = connect(server.url(), "writer");
    std::vector<std::uint32_t> shown;
    iscp::upstream_options options;
    options.qos(iscp::qos::reliable).flush_policy("immediate").points_sorted(true);
    options.before_send([&shown](iscp::chunk_view chunk) { shown.push_back(chunk.sequence_number()); });
    iscp::upstream up = writing.open_upstream_wait(options, ample).value();
    EXPECT_EQ(up.state(), iscp::upstream_state::open);
    const iscp::data_id a = up.data_id("a", "t").value();
    const iscp::data_id b = up.data_id("b", "t").value();
    const iscp_upstream_point_t points[] = {{a.value(), iscp::point(2ms, "x")},
                                            {b.value(), iscp::point(2ms, "y")},
                                            {a.value(), iscp::point(1ms, "z")}};
    up.write_together(points).value();
    const iscp::chunk chunk = down.next_chunk_wait(ample).value();
    EXPECT_EQ(chunk.point_count(), 3U);
    std::promise<iscp_status_t> told;
    up.write_acknowledged(a, 3ms, "x", [&told](iscp::result<> outcome) {
          told.set_value(outcome.status());
      }).value();
    EXPECT_EQ(told.get_future().get(), ISCP_OK);
    up.write_acknowledged_wait(b, 4ms, "y", ample).value();
    EXPECT_EQ(up.stat(iscp::upstream_stat::dropped_points).value(), 0U);
    EXPECT_EQ(up.stat(iscp::upstream_stat::aliases).value(), 2U);
    up.close_wait(ample).value();
    EXPECT_EQ(up.state(), iscp::upstream_state::closed);
    // Shown before the acknowledgements that were told above.
    EXPECT_EQ(shown, (std::vector<std::uint32_t>{1, 2, 3}));
}

TEST(streams, waiting_ends_with_the_time_out) {
    broker server;
    iscp::connection conn = connect(server.url(), "node");
    iscp::downstream down = open_downstream(conn, "nobody");
    EXPECT_EQ(down.next_chunk_wait(0s).status(), ISCP_ERR_WOULD_BLOCK);
    EXPECT_EQ(down.next_chunk_wait(1ms).status(), ISCP_ERR_TIMEOUT);
    EXPECT_EQ(down.next_metadata_wait(1us).status(), ISCP_ERR_TIMEOUT);
    EXPECT_EQ(conn.next_call_wait(1ms).status(), ISCP_ERR_TIMEOUT);
    EXPECT_EQ(conn.next_reply_wait(0s).status(), ISCP_ERR_WOULD_BLOCK);
    EXPECT_THROW(down.next_chunk_wait(0s).value(), iscp::error);
}

TEST(streams, moved_objects_go_on) {
    broker server;
    iscp::connection reading = connect(server.url(), "reader"), writing = connect(server.url(), "writer");
    iscp::downstream first = open_downstream(reading, "writer");
    iscp::downstream down = std::move(first);
    EXPECT_EQ(first.next_chunk_wait(0s).status(), ISCP_ERR_NULL_ARGUMENT); // NOLINT: that is the question
    iscp::connection moved = std::move(reading);
    iscp::upstream up;
    up = open_upstream(writing);
    const iscp::data_id id = up.data_id("n", "t").value();
    up.write(id, 1ns, "one").value();
    up.flush_wait(iscp::flush_level::acknowledged, ample).value();

    iscp::chunk chunk;
    chunk = down.next_chunk_wait(ample).value();
    iscp::chunk kept = chunk.keep();
    iscp::chunk last = std::move(chunk);
    EXPECT_EQ(chunk.point_count(), 0U); // NOLINT: that is the question
    last = std::move(kept);
    // Freed before what it came from was read.
    down.reset();
    moved.reset();
    ASSERT_EQ(last.groups().size(), 1U);
    EXPECT_EQ(last.groups()[0].points[0].payload().as_text(), "one");
    iscp_chunk_t *raw = last.release();
    EXPECT_EQ(last.point_count(), 0U);
    EXPECT_EQ(iscp::chunk(raw).point_count(), 1U);
    iscp::connection shared = writing.share();
    writing.reset();
    EXPECT_EQ(shared.state(), iscp::conn_state::connected);
    EXPECT_EQ(shared.protocol_version(), "3.0.0");
}

TEST(streams, handlers_receive_everything) {
    broker server;
    iscp::connection reading = connect(server.url(), "reader"), writing = connect(server.url(), "writer");
    mailbox<iscp::chunk> chunks;
    mailbox<iscp::metadata> metadata;
    mailbox<int> ended;
    mailbox<iscp::result<>> closed;
    iscp::downstream_options options;
    options.add_filter("writer", "#:#").qos(iscp::qos::reliable).omit_empty_chunk(true);
    options.on_closed([&, guard = sentinel(ended)](const iscp::result<> &why) { closed.put(why); });
    iscp::downstream down = reading.open_downstream_wait(options, ample).value();
    down.read([&, guard = sentinel(ended)](iscp::chunk_view chunk) { chunks.put(chunk.keep()); }).value();
    down.read_metadata([&, guard = sentinel(ended)](iscp::metadata_view data) { metadata.put(data.keep()); })
        .value();
    EXPECT_EQ(down.next_chunk_wait(0s).status(), ISCP_ERR_INVALID_STATE);
    // The second handler is refused, and ended at once.
    EXPECT_EQ(down.read([guard = sentinel(ended)](iscp::chunk_view) {}).status(), ISCP_ERR_INVALID_STATE);
    ended.take();
    EXPECT_EQ(ended.size(), 0U);

    iscp::upstream up = open_upstream(writing);
    EXPECT_EQ(metadata.take().kind(), iscp::metadata_kind::upstream_open);
    iscp::base_time base;
    base.session_id = "session";
    base.name = "clock";
    base.priority = 7;
    base.elapsed_time = 3s;
    base.time = iscp::time_point(1234567890123456789ns);
    writing.send_base_time_wait(base, ample).value();
    const iscp::metadata received = metadata.take();
    EXPECT_EQ(received.kind(), iscp::metadata_kind::base_time);
    EXPECT_EQ(received.source_node_id(), "writer");
    EXPECT_EQ(received.session_id(), "session");
    EXPECT_EQ(received.name(), "clock");
    EXPECT_EQ(received.priority(), 7U);
    EXPECT_EQ(received.elapsed_time(), 3s);
    EXPECT_EQ(received.base_time(), base.time);
    EXPECT_EQ(received.filter_count(), 0U);
    EXPECT_EQ(received.filter(0).status(), ISCP_ERR_INVALID_ARGUMENT);

    up.write(up.data_id("n", "t").value(), 0s, "x").value();
    up.close_wait(ample, true).value();
    EXPECT_EQ(chunks.take().point_count(), 1U);
    const iscp::metadata end = metadata.take();
    EXPECT_EQ(end.kind(), iscp::metadata_kind::upstream_normal_close);
    EXPECT_EQ(end.stream_id(), up.id());
    EXPECT_EQ(end.total_points(), 1U);
    EXPECT_EQ(end.final_sequence_number(), 1U);

    down.close_wait(ample).value();
    EXPECT_TRUE(closed.take());
    // Both readers and the closed handler; that one is held by the options too.
    ended.take();
    ended.take();
    options = iscp::downstream_options();
    down.reset();
    ended.take();
    iscp::shutdown(ample).value();
    EXPECT_EQ(ended.size(), 0U);
}

TEST(streams, filters_of_other_downstreams_are_told) {
    broker server;
    iscp::connection watching = connect(server.url(), "watcher"), reading = connect(server.url(), "reader");
    iscp::downstream watch = open_downstream(watching, "reader");
    iscp::downstream_options options;
    options.add_filter("writer", "float64:room/+").qos(iscp::qos::unreliable);
    iscp::downstream down = reading.open_downstream_wait(options, ample).value();
    iscp::metadata metadata = watch.next_metadata_wait(ample).value();
    EXPECT_EQ(metadata.kind(), iscp::metadata_kind::downstream_open);
    EXPECT_EQ(metadata.stream_id(), down.id());
    EXPECT_EQ(metadata.qos(), iscp::qos::unreliable);
    ASSERT_EQ(metadata.filter_count(), 1U);
    const iscp::metadata_filter filter = metadata.filter(0).value();
    EXPECT_EQ(filter.source_node_id, "writer");
    EXPECT_EQ(filter.name, "room/+");
    EXPECT_EQ(filter.type, "float64");
    EXPECT_EQ(metadata.filter(1).status(), ISCP_ERR_INVALID_ARGUMENT);
}

TEST(streams, a_descriptor_tells_when_to_read) {
    broker server;
    iscp::connection reading = connect(server.url(), "reader"), writing = connect(server.url(), "writer");
    iscp::downstream down = open_downstream(reading, "writer");
    const int fd = down.pollable().value();
    pollfd waiting{fd, POLLIN, 0};
    EXPECT_EQ(poll(&waiting, 1, 0), 0);
    iscp::upstream up = open_upstream(writing);
    up.write(up.data_id("n", "t").value(), 0s, "x").value();
    up.flush_wait(iscp::flush_level::sent, ample).value();
    std::size_t points = 0;
    while (points == 0) {
        ASSERT_EQ(poll(&waiting, 1, 30000), 1);
        for (;;) {
            iscp::result<iscp::chunk> chunk = down.next_chunk_wait(0s);
            if (!chunk) {
                ASSERT_EQ(chunk.status(), ISCP_ERR_WOULD_BLOCK);
                break;
            }
            points += chunk->point_count();
        }
        while (down.next_metadata_wait(0s)) {
        }
    }
    EXPECT_EQ(points, 1U);
    EXPECT_EQ(poll(&waiting, 1, 0), 0);
    EXPECT_GE(reading.call_pollable().value(), 0);
    EXPECT_GE(reading.reply_pollable().value(), 0);
}

TEST(streams, chunks_in_order_and_metadata_apart) {
    broker server;
    iscp::connection reading = connect(server.url(), "reader"), writing = connect(server.url(), "writer");
    iscp::downstream_options options;
    options.add_node("writer").qos(iscp::qos::reliable).buffer_policy("pause").chunk_order("strict");
    options.reorder_limit(8).reorder_wait(50ms);
    iscp::downstream down = reading.open_downstream_wait(options, ample).value();
    EXPECT_EQ(down.state(), iscp::downstream_state::open);
    pollfd of_chunks{down.pollable().value(), POLLIN, 0},
        of_metadata{down.metadata_pollable().value(), POLLIN, 0};
    iscp::upstream up = open_upstream(writing);
    EXPECT_EQ(poll(&of_metadata, 1, 30000), 1);
    EXPECT_EQ(poll(&of_chunks, 1, 0), 0);
    EXPECT_EQ(down.stat(iscp::downstream_stat::buffered_metadata).value(), 1U);
    EXPECT_EQ(down.next_metadata_wait(0s)->kind(), iscp::metadata_kind::upstream_open);

    up.write(up.data_id("n", "t").value(), 0s, "four").value();
    up.flush_wait(iscp::flush_level::acknowledged, ample).value();
    EXPECT_EQ(poll(&of_chunks, 1, 30000), 1);
    EXPECT_EQ(poll(&of_metadata, 1, 0), 0);
    iscp::downstream other = down.share();
    down.reset();
    EXPECT_EQ(other.next_chunk_wait(ample)->point_count(), 1U);
    EXPECT_EQ(other.stat(iscp::downstream_stat::bytes).value(), 4U);
    EXPECT_EQ(other.stat(iscp::downstream_stat::lost_chunks).value(), 0U);
    other.close_wait(ample).value();
    EXPECT_EQ(other.state(), iscp::downstream_state::closed);
    EXPECT_EQ(down.state(), iscp::downstream_state::closed);

    options.omit_empty_chunk(true);
    EXPECT_EQ(reading.open_downstream_wait(options, ample).status(), ISCP_ERR_INVALID_OPTION);
}

TEST(streams, acknowledgements_and_the_end_are_told) {
    broker server;
    iscp::connection conn = connect(server.url(), "writer");
    mailbox<std::pair<std::uint32_t, std::int32_t>> acks;
    mailbox<std::uint64_t> ends;
    mailbox<iscp::result<>> flushed;
    mailbox<int> ended;
    iscp::upstream_options options;
    options.qos(iscp::qos::reliable).ack_interval(10ms);
    options.on_ack([&, guard = sentinel(ended)](const iscp::ack &ack) {
        acks.put({ack.sequence_number, ack.result_code});
    });
    options.on_closed([&, guard = sentinel(ended)](const iscp::upstream_end &end) {
        EXPECT_TRUE(end.why);
        EXPECT_TRUE(end.undelivered_chunks.empty());
        ends.put(end.undelivered_points);
    });
    iscp::upstream up = conn.open_upstream_wait(options, ample).value();
    up.write(up.data_id("n", "t").value(), 0s, "x").value();
    up.flush(iscp::flush_level::acknowledged, ample, [&, guard = sentinel(ended)](iscp::result<> done) {
          flushed.put(done);
      }).value();
    EXPECT_TRUE(flushed.take());
    EXPECT_EQ(acks.take(), (std::pair<std::uint32_t, std::int32_t>(1, 0)));
    ended.take();
    up.close(false).value();
    EXPECT_EQ(ends.take(), 0U);
    up.reset();
    options = iscp::upstream_options();
    ended.take();
    ended.take();
    iscp::shutdown(ample).value();
    EXPECT_EQ(ended.size(), 0U);
}
