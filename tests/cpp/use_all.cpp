// Instantiates every template of iscp.hpp, for compilers that only look at it: see CMakeLists.txt.
#include <iscp/iscp.hpp>

#include <string>
#include <vector>

using namespace std::chrono_literals;

void use_all(iscp::connection &conn, iscp::upstream &up, iscp::downstream &down);

void use_all(iscp::connection &conn, iscp::upstream &up, iscp::downstream &down) {
    auto done = [](iscp::result<>) {};
    iscp::connection_options options;
    options.url("ws://127.0.0.1:1").ping_interval(5s);
    options.on_token([](iscp::token_request request) { static_cast<void>(request.resolve("token")); });
    options.on_header_token([](iscp::token_request request) { static_cast<void>(request.reject("why")); });
    options.on_event([](iscp::event_view event) { event.keep(); }).on_closed([](const iscp::result<> &) {});
    options.on_spool([](const iscp::spool_event &) {});
    iscp::connection::connect(options, [](iscp::result<iscp::connection> opened) { opened.value(); }).value();
    conn = iscp::connection::connect_wait(options, 1s).value();

    iscp::upstream_options up_options;
    up_options.on_ack([](const iscp::ack &) {}).on_closed([](const iscp::upstream_end &) {});
    up_options.on_event([](const iscp::stream_event &) {});
    up_options.before_send([](iscp::chunk_view chunk) { chunk.keep(); }).points_sorted(true);
    conn.open_upstream(up_options, [](iscp::result<iscp::upstream> opened) { opened.value(); }).value();
    up = conn.open_upstream_wait(up_options, iscp::forever).value();
    up.write(iscp::data_id(1), 5ms, std::string("payload")).value();
    std::vector<iscp_data_point_t> points;
    points.push_back(iscp::point(1ms, "payload"));
    up.write_points(iscp::data_id(1), points).value();
    up.write_together(std::vector<iscp_upstream_point_t>()).value();
    up.write_acknowledged(iscp::data_id(1), 5ms, "payload", done).value();
    up.write_acknowledged_wait(iscp::data_id(1), 5ms, "payload", 1s).value();
    up.flush(iscp::flush_level::sent, iscp::forever).value();
    up.flush(iscp::flush_level::sent, 1s, done).value();
    up.close(true, done).value();

    iscp::downstream_options down_options;
    down_options.on_closed([](const iscp::result<> &) {}).on_event([](const iscp::stream_event &) {});
    conn.open_downstream(down_options, [](iscp::result<iscp::downstream> opened) { opened.value(); }).value();
    down = conn.open_downstream_wait(down_options, 1min).value();
    down.read([](iscp::chunk_view chunk) {
            for (const iscp::group group : chunk.keep().chunk_view::groups()) {
                for (const iscp::point point : group.points) {
                    static_cast<void>(point);
                }
            }
        })
        .value();
    down.read_metadata([](iscp::metadata_view metadata) { metadata.keep(); }).value();
    down.close(done).value();

    conn.send_base_time(iscp::base_time(), done).value();
    static_cast<void>(conn.send_call("node", "name", "type", "payload", done).value());
    auto answered = [](const iscp::result<iscp::incoming_call> &) {};
    conn.call("node", "name", "type", std::vector<std::uint8_t>{1}, 1s, answered).value();
    conn.set_call_handler([&conn, done](iscp::incoming_call_view call) {
            conn.send_reply(call, "name", "type", call.payload(), done).value();
        })
        .value();
    conn.set_reply_handler([](iscp::incoming_call_view call) { call.keep(); }).value();
    conn.ping([](const iscp::result<std::chrono::nanoseconds> &) {}).value();
    conn.close(done).value();
    iscp::set_log(iscp::log_level::warn, [](const iscp::log_message &) {}).value();
    iscp::stop_log().value();
    iscp::runtime_options threads;
    threads.on_threads([](iscp::thread_kind) {}, [](iscp::thread_kind) {});
    iscp::configure_runtime(threads).value();
}
