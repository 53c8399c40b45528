// Connecting, losing, calling; and when handlers end.
#include "fixture.hpp"

#include <gtest/gtest.h>

#include <poll.h>
#include <stdexcept>

namespace {

std::string nobody() {
    return "ws://127.0.0.1:" + std::to_string(server_unused_port());
}

} // namespace

TEST(connections, everything_in_handlers) {
    broker server;
    mailbox<std::string> done;
    mailbox<int> ended;
    iscp::connection kept;
    iscp::connection_options options;
    options.url(server.url()).node_id("node");
    iscp::connection::connect(options, [&, guard = sentinel(ended)](iscp::result<iscp::connection> conn) {
        EXPECT_TRUE(conn);
        // What waits is refused here.
        EXPECT_EQ(conn->close_wait(ample).status(), ISCP_ERR_IN_CALLBACK);
        kept = std::move(conn).value();
        kept.open_upstream(iscp::upstream_options(),
                           [&, guard2 = sentinel(ended)](iscp::result<iscp::upstream> up) {
                               EXPECT_TRUE(up);
                               done.put("upstream");
                               // Ends the upstream here, in its handler.
                           })
            .value();
        kept.open_downstream(iscp::downstream_options().add_filter("node", "#:#"),
                             [&, guard2 = sentinel(ended)](iscp::result<iscp::downstream> down) {
                                 EXPECT_TRUE(down);
                                 done.put("downstream");
                                 kept.close([&](iscp::result<> closed) {
                                         EXPECT_TRUE(closed);
                                         done.put("closed");
                                     })
                                     .value();
                             })
            .value();
    }).value();
    EXPECT_EQ(done.take(), "upstream");
    EXPECT_EQ(done.take(), "downstream");
    EXPECT_EQ(done.take(), "closed");
    ended.take();
    ended.take();
    ended.take();
    iscp::shutdown(ample).value();
    EXPECT_EQ(ended.size(), 0U);
    EXPECT_EQ(kept.state(), iscp::conn_state::closed);
}

TEST(connections, handlers_end_once_when_connecting_fails) {
    mailbox<int> ended;
    mailbox<iscp_status_t> told;
    {
        iscp::connection_options options;
        options.url(nobody());
        options.on_closed([guard = sentinel(ended)](const iscp::result<> &) { ADD_FAILURE(); });
        options.on_event([guard = sentinel(ended)](iscp::event_view) { ADD_FAILURE(); });
        options.on_token(
            [guard = sentinel(ended)](iscp::token_request request) { request.resolve("token").value(); });
        options.on_spool([guard = sentinel(ended)](const iscp::spool_event &) { ADD_FAILURE(); });
        iscp::result<iscp::connection> conn = iscp::connection::connect_wait(options, ample);
        EXPECT_EQ(conn.status(), ISCP_ERR_CONNECT_FAILED);
        EXPECT_NE(conn.error().message().find("127.0.0.1"), std::string_view::npos);
        EXPECT_TRUE(conn.error().is_retriable());
        iscp::connection::connect(options, [&, guard = sentinel(ended)](iscp::result<iscp::connection> none) {
            told.put(none.status());
        }).value();
        EXPECT_EQ(told.take(), ISCP_ERR_CONNECT_FAILED);
        ended.take();
        iscp::shutdown(ample).value();
        // The options still hold the four.
        EXPECT_EQ(ended.size(), 0U);
    }
    for (int i = 0; i < 4; i++) {
        ended.take();
    }
    EXPECT_EQ(ended.size(), 0U);
}

TEST(connections, handlers_end_once_when_nothing_begins) {
    mailbox<int> ended;
    iscp::connection none;
    iscp::upstream no_upstream;
    iscp::downstream no_downstream;
    EXPECT_EQ(iscp::connection::connect(iscp::connection_options(),
                                        [guard = sentinel(ended)](iscp::result<iscp::connection>) {})
                  .status(),
              ISCP_ERR_INVALID_OPTION);
    EXPECT_FALSE(none.close([guard = sentinel(ended)](iscp::result<>) {}));
    EXPECT_FALSE(none.open_upstream(iscp::upstream_options(),
                                    [guard = sentinel(ended)](iscp::result<iscp::upstream>) {}));
    EXPECT_FALSE(none.send_call("a", "b", "c", "d", [guard = sentinel(ended)](iscp::result<>) {}));
    EXPECT_FALSE(none.call("a", "b", "c", "d", ample,
                           [guard = sentinel(ended)](iscp::result<iscp::incoming_call>) {}));
    EXPECT_FALSE(none.set_call_handler([guard = sentinel(ended)](iscp::incoming_call_view) {}));
    EXPECT_FALSE(none.set_reply_handler([guard = sentinel(ended)](iscp::incoming_call_view) {}));
    EXPECT_FALSE(
        no_upstream.flush(iscp::flush_level::sent, ample, [guard = sentinel(ended)](iscp::result<>) {}));
    EXPECT_FALSE(no_downstream.read([guard = sentinel(ended)](iscp::chunk_view) {}));
    EXPECT_FALSE(no_downstream.read_metadata([guard = sentinel(ended)](iscp::metadata_view) {}));
    EXPECT_EQ(ended.size(), 10U);
}

TEST(connections, tokens_are_asked_for) {
    broker server("secret");
    mailbox<iscp::token_request> requests;
    iscp::connection_options options;
    options.url(server.url()).on_token([](iscp::token_request request) {
        EXPECT_EQ(request
                      .resolve("not\xff"
                               "text")
                      .status(),
                  ISCP_ERR_INVALID_UTF8);
        request.resolve("secret").value();
    });
    EXPECT_TRUE(iscp::connection::connect_wait(options, ample));

    iscp::connection_options rejecting;
    rejecting.url(server.url()).on_token([](iscp::token_request request) {
        request.reject("the vault is closed").value();
    });
    iscp::result<iscp::connection> rejected = iscp::connection::connect_wait(rejecting, ample);
    EXPECT_EQ(rejected.status(), ISCP_ERR_TOKEN_FAILED);
    EXPECT_NE(rejected.error().message().find("the vault is closed"), std::string_view::npos);

    iscp::connection_options forgetting;
    forgetting.url(server.url()).on_token([](iscp::token_request) {});
    iscp::result<iscp::connection> forgotten = iscp::connection::connect_wait(forgetting, ample);
    EXPECT_EQ(forgotten.status(), ISCP_ERR_TOKEN_FAILED);
    EXPECT_NE(forgotten.error().message().find("dropped"), std::string_view::npos);

    iscp::connection_options later;
    later.url(server.url()).on_token([&](iscp::token_request request) { requests.put(std::move(request)); });
    mailbox<iscp::result<iscp::connection>> connected;
    iscp::connection::connect(later, [&](iscp::result<iscp::connection> conn) {
        connected.put(std::move(conn));
    }).value();
    iscp::token_request request = requests.take();
    request.resolve("secret").value();
    EXPECT_TRUE(connected.take());

    iscp::connection_options wrong;
    wrong.url(server.url()).token("guess");
    iscp::result<iscp::connection> refused = iscp::connection::connect_wait(wrong, ample);
    EXPECT_EQ(refused.status(), ISCP_ERR_UNAUTHORIZED);
    EXPECT_EQ(iscp::result_code_name(refused.error().result_code()), "AUTH_FAILED");
}

TEST(connections, outages_are_told_and_streams_go_on) {
    broker server;
    proxy between(server);
    mailbox<iscp::event> events;
    mailbox<int> ended;
    mailbox<iscp::stream_event> of_stream;
    iscp::connection_options options;
    options.url(between.url()).node_id("node").reconnect_min_interval(10ms).reconnect_max_interval(50ms);
    options.on_event([&, guard = sentinel(ended)](iscp::event_view event) { events.put(event.keep()); });
    iscp::connection conn = iscp::connection::connect_wait(options, ample).value();
    EXPECT_EQ(events.take().kind(), iscp::event_kind::connected);
    EXPECT_EQ(conn.next_event_wait(0s).status(), ISCP_ERR_INVALID_STATE);
    iscp::upstream_options up_options;
    up_options.qos(iscp::qos::reliable).on_event([&](const iscp::stream_event &event) {
        of_stream.put(event);
    });
    iscp::upstream up = conn.open_upstream_wait(up_options, ample).value();
    between.tell("cut");
    const iscp::event lost = events.take();
    EXPECT_EQ(lost.kind(), iscp::event_kind::disconnected);
    EXPECT_FALSE(lost.why());
    EXPECT_NE(lost.why().error().message(), "");
    EXPECT_GT(lost.time(), iscp::time_point());
    const iscp::event attempt = events.take();
    EXPECT_EQ(attempt.kind(), iscp::event_kind::reconnecting);
    EXPECT_EQ(attempt.attempt(), 1U);
    EXPECT_LE(attempt.delay(), 50ms);
    iscp::event event = events.take();
    while (event.kind() == iscp::event_kind::reconnecting) {
        event = events.take();
    }
    EXPECT_EQ(event.kind(), iscp::event_kind::reconnected);
    EXPECT_TRUE(event.why());
    event = events.take();
    EXPECT_EQ(event.kind(), iscp::event_kind::upstream_resumed);
    EXPECT_EQ(event.stream_id(), up.id());
    EXPECT_EQ(event.former_stream_id(), up.id());
    const iscp::stream_event resumed = of_stream.take();
    EXPECT_EQ(resumed.kind, iscp::stream_event_kind::resumed);
    EXPECT_EQ(resumed.stream_id, up.id());
    EXPECT_EQ(resumed.former_stream_id, up.id());
    EXPECT_EQ(conn.stat(iscp::conn_stat::reconnects).value(), 1U);
    up.close_wait(ample).value();
    EXPECT_EQ(events.take().kind(), iscp::event_kind::upstream_closed);
    EXPECT_EQ(conn.wait_closed(0s).status(), ISCP_ERR_WOULD_BLOCK);
    conn.close_wait(ample).value();
    EXPECT_EQ(events.take().kind(), iscp::event_kind::closed);
    conn.wait_closed(ample).value();
    options = iscp::connection_options();
    conn.reset();
    ended.take();
    EXPECT_EQ(ended.size(), 0U);
}

TEST(connections, events_are_pulled) {
    broker server;
    iscp::connection_options options;
    options.url(server.url()).event_queue_limit(2).reconnect(false);
    iscp::connection conn = iscp::connection::connect_wait(options, ample).value();
    pollfd waiting{conn.event_pollable().value(), POLLIN, 0};
    EXPECT_EQ(poll(&waiting, 1, 30000), 1);
    const iscp::event connected = conn.next_event_wait(ample).value();
    EXPECT_EQ(connected.kind(), iscp::event_kind::connected);
    EXPECT_EQ(iscp::to_string(connected.kind()), "connected");
    EXPECT_EQ(conn.next_event_wait(0s).status(), ISCP_ERR_WOULD_BLOCK);
    EXPECT_EQ(poll(&waiting, 1, 0), 0);

    // More than two: the oldest are dropped, which is told and counted.
    iscp::upstream up = conn.open_upstream_wait(iscp::upstream_options().flush_policy("none"), ample).value();
    for (int i = 0; i < 3; i++) {
        conn.open_upstream_wait(iscp::upstream_options(), ample)->close_wait(ample).value();
    }
    eventually([&] { return conn.stat(iscp::conn_stat::events_dropped).value() == 1; });
    const iscp::event dropped = conn.next_event_wait(ample).value();
    EXPECT_EQ(dropped.kind(), iscp::event_kind::dropped);
    EXPECT_EQ(dropped.dropped(), 1U);
    while (conn.next_event_wait(0s)) {
    }

    up.write(up.data_id("n", "t").value(), 0s, "never sent").value();
    server.stop();
    EXPECT_FALSE(conn.wait_closed(ample));
    std::uint64_t undelivered = 0;
    iscp::event last;
    while (iscp::result<iscp::event> event = conn.next_event_wait(ample)) {
        if (event->kind() == iscp::event_kind::upstream_closed) {
            undelivered += event->undelivered_points();
            EXPECT_TRUE(event->undelivered_chunks().empty());
        }
        last = std::move(*event);
    }
    EXPECT_EQ(last.kind(), iscp::event_kind::closed);
    EXPECT_FALSE(last.why());
    EXPECT_EQ(undelivered, 1U);
}

TEST(connections, pings_and_what_was_counted) {
    broker server;
    const std::string url = server.url();
    const std::size_t colon = url.rfind(':');
    iscp::connection_options options;
    options.transport("ws").host(url.substr(5, colon - 5)).url_path("/api/iscp/connect");
    options.port(static_cast<std::uint16_t>(std::stoul(url.substr(colon + 1))));
    iscp::connection conn = iscp::connection::connect_wait(options, ample).value();
    EXPECT_GT(conn.ping_wait(ample).value(), 0ns);
    mailbox<iscp::result<std::chrono::nanoseconds>> told;
    mailbox<int> ended;
    conn.ping([&, guard = sentinel(ended)](iscp::result<std::chrono::nanoseconds> took) { told.put(took); })
        .value();
    EXPECT_GT(told.take().value(), 0ns);
    ended.take();
    EXPECT_EQ(conn.message_count("Ping")->sent, 2U);
    EXPECT_EQ(conn.message_count("no such kind").status(), ISCP_ERR_INVALID_ARGUMENT);
    std::size_t kinds = 0;
    while (iscp::message_name(kinds) != "") {
        EXPECT_TRUE(conn.message_count(iscp::message_name(kinds++)));
    }
    EXPECT_GT(kinds, 20U);
    EXPECT_EQ(conn.stat(iscp::conn_stat::points_sent).value(), 0U);
    EXPECT_EQ(conn.transport_name(), "websocket");
    EXPECT_EQ(conn.encoding(), "protobuf");
    EXPECT_EQ(conn.path(1).status(), ISCP_ERR_INVALID_ARGUMENT);
    iscp::path path = conn.path(0).value();
    iscp::path other = path.share();
    path.reset();
    EXPECT_NE(other.url().find(url.substr(5)), std::string_view::npos) << other.url();
    EXPECT_EQ(other.peer_address(), url.substr(5));
    EXPECT_NE(other.local_address(), "");
    EXPECT_EQ(other.transport(), "websocket");
    EXPECT_EQ(other.protocol(), "tcp");
    EXPECT_EQ(other.encoding(), "protobuf");
    EXPECT_EQ(other.tls_version(), "");
    EXPECT_EQ(other.tls_cipher(), "");
    EXPECT_EQ(other.alpn(), "");
    EXPECT_NE(other.compression(), "json");
    EXPECT_GT(other.stat(iscp::path_stat::round_trip_ns).value(), 0U);
    EXPECT_EQ(other.stat(static_cast<iscp::path_stat>(99)).status(), ISCP_ERR_INVALID_ARGUMENT);
    conn.close_wait(ample).value();
    EXPECT_EQ(conn.ping_wait(ample).status(), ISCP_ERR_CLOSED);
    EXPECT_EQ(conn.ping([guard = sentinel(ended)](auto &&) {}).status(), ISCP_ERR_CLOSED);
    EXPECT_EQ(ended.size(), 1U);
}

TEST(connections, threads_are_told_when_they_start_and_stop) {
    mailbox<iscp::thread_kind> started, stopped;
    mailbox<int> ended;
    broker server;
    iscp::shutdown(ample).value();
    {
        iscp::runtime_options options;
        options.thread_name("cpp").stack_size(1 << 20);
        options.on_threads([&, guard = sentinel(ended)](iscp::thread_kind kind) { started.put(kind); },
                           [&](iscp::thread_kind kind) { stopped.put(kind); });
        iscp::configure_runtime(options).value();
        iscp::connection conn = connect(server.url(), "node");
        EXPECT_EQ(started.take(), iscp::thread_kind::runtime);
        EXPECT_EQ(iscp::configure_runtime(options).status(), ISCP_ERR_INVALID_STATE);
    }
    iscp::shutdown(ample).value();
    EXPECT_GE(stopped.size(), 1U);
    iscp::configure_runtime(iscp::runtime_options()).value();
    EXPECT_EQ(ended.size(), 1U);

    iscp::runtime_options wrong;
    wrong.thread_name("much too long");
    EXPECT_EQ(iscp::configure_runtime(wrong).status(), ISCP_ERR_INVALID_OPTION);
    wrong.set("no_such_option", "1");
    EXPECT_EQ(wrong.check().status(), ISCP_ERR_INVALID_OPTION);
}

TEST(connections, calls_and_replies) {
    broker server;
    iscp::connection caller = connect(server.url(), "caller"), callee = connect(server.url(), "callee");
    mailbox<int> ended;
    callee
        .set_call_handler([&, guard = sentinel(ended)](iscp::incoming_call_view call) {
            EXPECT_EQ(call.source_node_id(), "caller");
            EXPECT_EQ(call.type(), "question");
            EXPECT_EQ(call.request_call_id(), "");
            if (call.name() == "echo") {
                callee.send_reply(call, "answer", "text", call.payload()).value();
            }
        })
        .value();
    iscp::incoming_call reply = caller.call_wait("callee", "echo", "question", "hello", ample).value();
    EXPECT_EQ(reply.payload().as_text(), "hello");
    EXPECT_EQ(reply.name(), "answer");
    EXPECT_EQ(reply.source_node_id(), "callee");
    EXPECT_NE(reply.id(), "");
    EXPECT_NE(reply.request_call_id(), "");

    mailbox<iscp::result<iscp::incoming_call>> replies;
    caller
        .call("callee", "echo", "question", std::vector<std::uint8_t>{'x'}, ample,
              [&, guard = sentinel(ended)](iscp::result<iscp::incoming_call> answer) {
                  replies.put(std::move(answer));
              })
        .value();
    iscp::result<iscp::incoming_call> answer = replies.take();
    ASSERT_TRUE(answer);
    EXPECT_EQ(answer->payload().as_text(), "x");
    ended.take();

    EXPECT_EQ(caller.call_wait("callee", "silence", "question", "", 20ms).status(), ISCP_ERR_TIMEOUT);
    EXPECT_FALSE(caller.call_wait("no such node", "echo", "question", "", ample));

    // A reply for which nobody waits is pulled, and names its call.
    const std::string id = caller.send_call_wait("callee", "echo", "question", "later", ample).value();
    EXPECT_EQ(id.size(), static_cast<std::size_t>(ISCP_CALL_ID_SIZE - 1));
    EXPECT_EQ(caller.next_reply_wait(ample)->request_call_id(), id);
    mailbox<std::string> pushed;
    caller
        .set_reply_handler(
            [&](iscp::incoming_call_view view) { pushed.put(std::string(view.request_call_id())); })
        .value();
    const std::string second = caller.send_call("callee", "echo", "question", "again").value();
    EXPECT_EQ(pushed.take(), second);

    // Pulled and answered the other way round.
    callee.send_call_wait("caller", "back", "question", "", ample).value();
    iscp::incoming_call back = caller.next_call_wait(ample).value();
    EXPECT_EQ(back.name(), "back");
    caller.send_reply_wait(back, "answer", "text", "done", ample).value();
    EXPECT_EQ(callee.next_reply_wait(ample)->payload().as_text(), "done");
    callee.reset();
    caller.reset();
    iscp::shutdown(ample).value();
    ended.take();
    EXPECT_EQ(ended.size(), 0U);
}

TEST(connections, several_connections_share_the_handlers_of_their_options) {
    broker server;
    mailbox<int> ended;
    mailbox<bool> closed;
    {
        iscp::connection_options options;
        options.url(server.url()).on_closed([&, guard = sentinel(ended)](const iscp::result<> &why) {
            closed.put(why.has_value());
        });
        iscp::connection one = iscp::connection::connect_wait(options, ample).value();
        iscp::connection two = iscp::connection::connect_wait(options, ample).value();
        options = iscp::connection_options();
        one.close_wait(ample).value();
        EXPECT_TRUE(closed.take());
        EXPECT_EQ(ended.size(), 0U);
        two.close_wait(ample).value();
        EXPECT_TRUE(closed.take());
    }
    ended.take();
    iscp::shutdown(ample).value();
    EXPECT_EQ(ended.size(), 0U);
}

TEST(connections, the_log_is_told_until_it_is_stopped) {
    mailbox<std::string> messages;
    mailbox<int> ended;
    iscp::set_log(iscp::log_level::trace, [&, guard = sentinel(ended)](const iscp::log_message &message) {
        EXPECT_FALSE(message.target.empty());
        EXPECT_GE(message.level, iscp::log_level::error);
        messages.put(std::string(message.message));
    }).value();
    iscp::connection_options options;
    options.url(nobody());
    EXPECT_FALSE(iscp::connection::connect_wait(options, ample));
    EXPECT_NE(messages.take(), "");
    iscp::stop_log().value();
    EXPECT_EQ(ended.size(), 1U);
}

TEST(connections_death, an_exception_that_leaves_a_handler_ends_the_program) {
    testing::FLAGS_gtest_death_test_style = "threadsafe";
    EXPECT_DEATH(
        {
            iscp::connection_options options;
            options.url("ws://127.0.0.1:1");
            iscp::connection::connect(options, [](iscp::result<iscp::connection>) {
                throw std::runtime_error("thrown by a handler");
            }).value();
            mailbox<int>().take();
        },
        "thrown by a handler");
}
