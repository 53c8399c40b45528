#include <iscp/iscp.hpp>

#include <cstdio>

using namespace std::chrono_literals;

// Prints what failed; the caller returns.
template <class T> static bool failed(const char *what, const iscp::result<T> &outcome) {
    if (!outcome) {
        std::fprintf(stderr, "%s: %s (%s)\n", what, outcome.error().what(),
                     iscp_status_name(outcome.status()));
    }
    return !outcome;
}

int main(int argc, char **argv) {
    iscp::connection_options options;
    options.url(argc > 1 ? argv[1] : "ws://127.0.0.1:8080").node_id("sensor-4");
    iscp::result<iscp::connection> conn = iscp::connection::connect_wait(options, 5s);
    if (failed("connect", conn)) {
        return 1;
    }
    iscp::upstream_options reliable;
    reliable.session_id("drive-1").qos(iscp::qos::reliable);
    iscp::result<iscp::upstream> upstream = conn->open_upstream_wait(reliable, 5s);
    if (failed("open upstream", upstream)) {
        return 1;
    }
    iscp::result<iscp::data_id> id = upstream->data_id("room/temperature", "string");
    if (failed("data id", id) || failed("write", upstream->write(*id, 0s, "20.5")) ||
        failed("close", upstream->close_wait(5s))) {
        return 1;
    }
    std::puts("delivered");
    return 0;
}
