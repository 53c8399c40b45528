#include <iscp/iscp.hpp>

#include <future>
#include <iostream>

using namespace std::chrono_literals;

static iscp::connection connect(const char *url, const char *node) {
    iscp::connection_options options;
    options.url(url).node_id(node).ping_interval(5s);
    return iscp::connection::connect_wait(options, 5s).value();
}

int main(int argc, char **argv) {
    const char *url = argc > 1 ? argv[1] : "ws://127.0.0.1:8080";
    try {
        iscp::connection viewer = connect(url, "viewer-3");
        iscp::downstream_options wanted;
        wanted.add_filter("sensor-3", "#:room/+");
        iscp::downstream downstream = viewer.open_downstream_wait(wanted, 5s).value();

        std::promise<void> done; // moves into the lambda, which the library owns
        std::future<void> finished = done.get_future();
        downstream
            .read([done = std::move(done), missing = 10](iscp::chunk_view chunk) mutable {
                for (const iscp::group group : chunk.groups()) {
                    for (const iscp::point point : group.points) {
                        std::cout << group.name << " at " << point.elapsed_time() / 1ms
                                  << " ms: " << point.payload().as_text() << "\n";
                        if (--missing == 0) {
                            done.set_value();
                        }
                    }
                }
            })
            .value();

        iscp::connection sensor = connect(url, "sensor-3");
        iscp::upstream upstream = sensor.open_upstream_wait(iscp::upstream_options(), 5s).value();
        const iscp::data_id id = upstream.data_id("room/temperature", "string").value();
        for (int i = 0; i < 10; i++) {
            upstream.write(id, i * 100ms, "20.5").value();
        }
        upstream.close_wait(5s).value();
        finished.wait();
        viewer.close_wait(5s).value();
        iscp::shutdown(5s).value(); // the lambda has ended when this returns
    } catch (const iscp::error &error) {
        std::cerr << error.message() << "\n";
        return 1;
    }
}
