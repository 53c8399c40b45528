// Compiled without exceptions and RTTI: the same header, a whole story. GoogleTest needs both, so this has a
// main.
#include "support.h"

#include <iscp/iscp.hpp>

#include <atomic>
#include <cstdio>
#include <cstdlib>
#include <sys/wait.h>
#include <unistd.h>

#if defined(__cpp_exceptions) || defined(__cpp_rtti)
#error "this file is about -fno-exceptions -fno-rtti"
#endif

using namespace std::chrono_literals;

namespace {

void check(bool condition, const char *what, const char *why = "") {
    if (!condition) {
        std::fprintf(stderr, "%s: %s\n", what, why);
        test_end();
        _exit(1);
    }
}

template <class T> T take(iscp::result<T> outcome, const char *what) {
    check(outcome.has_value(), what, outcome.error().what());
    return std::move(*outcome);
}

void take(iscp::result<> outcome, const char *what) {
    check(outcome.has_value(), what, outcome.error().what());
}

void points_and_calls() {
    support_broker *broker = support_broker_start(nullptr);
    std::atomic<int> released{0};
    struct counter {
        explicit counter(std::atomic<int> &count) : count_(&count) {}
        counter(counter &&other) noexcept : count_(std::exchange(other.count_, nullptr)) {}
        ~counter() {
            if (count_ != nullptr) {
                ++*count_;
            }
        }
        std::atomic<int> *count_;
    };
    {
        iscp::connection_options options;
        options.url(support_broker_url(broker)).node_id("node");
        options.on_closed([guard = counter(released)](const iscp::result<> &) {});
        iscp::connection conn = take(iscp::connection::connect_wait(options, 30s), "connect");
        iscp::downstream_options wanted;
        wanted.add_filter("node", "#:#").omit_empty_chunk(true).qos(iscp::qos::reliable);
        iscp::downstream down = take(conn.open_downstream_wait(wanted, 30s), "open downstream");
        iscp::upstream up = take(conn.open_upstream_wait(iscp::upstream_options(), 30s), "open upstream");
        iscp::data_id id = take(up.data_id("name", "type"), "data id");
        take(up.write(id, 5ms, "payload"), "write");
        take(up.flush_wait(iscp::flush_level::sent, 30s), "flush");
        iscp::chunk chunk = take(down.next_chunk_wait(30s), "read");
        std::size_t points = 0;
        for (const iscp::group group : chunk.groups()) {
            for (const iscp::point point : group.points) {
                points++;
                check(point.payload().as_text() == "payload", "payload");
                check(point.elapsed_time() == 5ms, "time");
            }
        }
        check(points == 1, "points");
        take(conn.set_call_handler([&conn, guard = counter(released)](iscp::incoming_call_view call) {
            take(conn.send_reply(call, "r", "t", call.payload()), "reply");
        }),
             "handler");
        iscp::incoming_call reply = take(conn.call_wait("node", "n", "t", "ping", 30s), "call");
        check(reply.payload().as_text() == "ping", "reply");
        check(up.write(iscp::data_id(99), 0s, "").status() == ISCP_ERR_INVALID_ARGUMENT, "unknown id");
        take(conn.close_wait(30s), "close");
    }
    take(iscp::shutdown(30s), "shutdown");
    check(released == 2, "handlers released once each");
    support_broker_stop(broker);
}

// What throws elsewhere prints and aborts here.
void value_of_a_failure_aborts() {
    int ends[2];
    check(pipe(ends) == 0, "pipe");
    pid_t child = fork();
    if (child == 0) {
        dup2(ends[1], STDERR_FILENO);
        iscp::result<int>(iscp::error(ISCP_ERR_TIMEOUT)).value();
        _exit(0);
    }
    close(ends[1]);
    char printed[256] = "";
    check(read(ends[0], printed, sizeof printed - 1) > 0, "nothing was printed");
    close(ends[0]);
    int status = 0;
    check(waitpid(child, &status, 0) == child, "wait");
    check(WIFSIGNALED(status) && WTERMSIG(status) == SIGABRT, "not aborted");
    check(std::string_view(printed).find("ISCP_ERR_TIMEOUT") != std::string_view::npos, "message", printed);
}

} // namespace

int main() {
    test_begin();
    value_of_a_failure_aborts();
    points_and_calls();
    test_end();
    return 0;
}
