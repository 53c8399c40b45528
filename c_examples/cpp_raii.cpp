// C++: objects that end by themselves, lambdas as handlers, errors as exceptions. What fails anywhere in main
// is caught at its end, and everything that was opened is closed on the way there.
//
//   cpp_raii [--url URL] [--points N]
#include <iscp/iscp.hpp>

#include <cstdlib>
#include <future>
#include <iostream>
#include <map>
#include <string>

using namespace std::chrono_literals;

namespace {

// The options of the command line: pairs of a name and a value.
std::map<std::string, std::string> parse(int argc, char **argv) {
    std::map<std::string, std::string> options{{"--url", "ws://127.0.0.1:8080"}, {"--points", "10"}};
    for (int i = 1; i < argc; i += 2) {
        if (options.count(argv[i]) == 0 || i + 1 == argc) {
            std::cerr << "usage: " << argv[0] << " [--url URL] [--points N]\n";
            std::exit(2);
        }
        options[argv[i]] = argv[i + 1];
    }
    return options;
}

iscp::connection connect(const std::string &url, const char *node) {
    iscp::connection_options options;
    options.url(url).node_id(node).connect_timeout(5s);
    // value() is the connection, or throws iscp::error.
    return iscp::connection::connect_wait(options, 10s).value();
}

// Counts what arrives; the last point fulfils the promise.
class counter {
  public:
    explicit counter(std::size_t wanted) : wanted_(wanted) {}

    std::future<std::size_t> all() {
        return all_.get_future();
    }

    // On the dispatcher thread of the connection. Chunk, names and payloads are views, gone when it returns.
    void add(iscp::chunk_view chunk) {
        for (const iscp::group group : chunk.groups()) {
            for (const iscp::point point : group.points) {
                std::cout << group.name << " " << point.elapsed_time() / 1ms
                          << " ms: " << point.payload().as_text() << "\n";
                if (++points_ == wanted_) {
                    all_.set_value(points_);
                }
            }
        }
    }

  private:
    std::size_t wanted_;
    std::size_t points_ = 0;
    std::promise<std::size_t> all_;
};

void run(const std::string &url, std::size_t points) {
    iscp::connection reading = connect(url, "cpp-reader");
    iscp::downstream_options wanted;
    wanted.add_filter("cpp-writer", "#:#").qos(iscp::qos::reliable).omit_empty_chunk(true);
    iscp::downstream downstream = reading.open_downstream_wait(wanted, 10s).value();

    // The lambda owns the counter; the library owns the lambda, and destroys it after its last call.
    auto counting = std::make_unique<counter>(points);
    std::future<std::size_t> all = counting->all();
    downstream.read([counting = std::move(counting)](iscp::chunk_view chunk) { counting->add(chunk); })
        .value();

    iscp::connection writing = connect(url, "cpp-writer");
    iscp::upstream_options options;
    options.session_id("cpp-session").qos(iscp::qos::reliable).flush_interval(20ms);
    iscp::upstream upstream = writing.open_upstream_wait(options, 10s).value();
    const iscp::data_id id = upstream.data_id("greeting", "string").value();
    for (std::size_t i = 0; i < points; i++) {
        upstream.write(id, i * 100ms, "hello " + std::to_string(i)).value();
    }
    upstream.close_wait(10s).value();
    const std::size_t received = all.get();
    std::cout << "received " << received << " points\n";

    // Without exceptions: look first.
    iscp::result<> late = upstream.write(id, 0s, "too late");
    if (!late) {
        std::cout << "a closed upstream answers " << late.error().name() << "\n";
    }
}

} // namespace

int main(int argc, char **argv) {
    std::map<std::string, std::string> options = parse(argc, argv);
    try {
        run(options["--url"], std::stoul(options["--points"]));
    } catch (const iscp::error &error) {
        std::cerr << "cpp_raii: " << error.message() << " (" << error.name() << ")\n";
        return EXIT_FAILURE;
    }
    return EXIT_SUCCESS;
}
