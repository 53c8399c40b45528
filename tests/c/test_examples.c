/* The example programs, run as the README says, against a broker. */
#include "client.h"

#include <signal.h>
#include <unistd.h>

#define PROGRAM(name) (ISCP_BIN "/" name)

static struct broker broker;

#define START(process, ...)                                                                                  \
    process_start_checked(process, (const char *const[]){__VA_ARGS__, "--url", broker.url, NULL})

/* Ends with a status, having printed a text. */
static void finish(struct process *process, int status, const char *text) {
    int got = process_finish(process);
    if (got != status || strstr(process->text, text) == NULL) {
        FAIL("status %d instead of %d, or no \"%s\":\n%s", got, status, text, process->text);
    }
    process_free(process);
}

TEST(hello_pair) {
    broker_start(&broker, NULL);
    struct process reader, sender;
    START(&reader, PROGRAM("hello_downstream"));
    process_expect(&reader, "waiting for points of hello\n");
    START(&sender, PROGRAM("hello_upstream"));
    finish(&sender, 0, "sent 10 points\n");
    process_expect(&reader, "string:greeting 0.000 s hello 0\n");
    finish(&reader, 0, "string:greeting 9.000 s hello 9\n");
    broker_stop(&broker);
}

TEST(outages) {
    broker_start(&broker, NULL);
    struct process proxy, sender;
    const char *arguments[] = {ISCP_PROGRAM, "chaos", "--to", strstr(broker.url, "//") + 2,
                               "--commands", NULL};
    process_start(&proxy, arguments);
    process_expect(&proxy, "\n");
    char address[32], url[64];
    CHECK(sscanf(proxy.text, "listening %31s", address) == 1);
    snprintf(url, sizeof url, "ws://%s", address);
    process_start_checked(
        &sender, (const char *const[]){PROGRAM("upstream_outages"), "--points", "30", "--url", url, NULL});
    /* The one is printed on the dispatcher's thread, the other on main's. */
    process_expect(&sender, "connected\n");
    process_expect(&sender, "writing 30 points\n");
    CHECK(write(proxy.in, "cut\n", 4) == 4);
    process_expect(&sender, "connection lost: ");
    process_expect(&sender, "attempt 1 in ");
    process_expect(&sender, "connected again\nthe stream goes on\n");
    finish(&sender, 0, "delivered 30 points\n");
    process_signal(&proxy, SIGTERM);
    process_finish(&proxy);
    process_free(&proxy);
    broker_stop(&broker);
}

TEST(connect_token) {
    broker_start(&broker, "secret");
    struct process process;
    START(&process, PROGRAM("connect_token"));
    finish(&process, 0, "asked for a token, question 1\nconnected, protocol version 3.0.0\n");
    START(&process, PROGRAM("connect_token"), "--token", "guess");
    finish(&process, 3, "unauthorized: result code 66 AUTH_FAILED");
    START(&process, PROGRAM("connect_token"), "--token", "");
    finish(&process, 1, "no token was given with --token (ISCP_ERR_TOKEN_FAILED)\n");
    broker_stop(&broker);
}

TEST(connect_intdash) {
    struct process process;
    broker_start_secure(&broker, NULL);
#define CONNECT(...)                                                                                         \
    START(&process, PROGRAM("connect_intdash"), "--oauth2-url", broker.token_url, __VA_ARGS__)
    CONNECT("--ca", broker.ca);
    finish(&process, 0, "connected, protocol version 3.0.0\n");
    CONNECT("--node", "no-ca");
    finish(&process, 1, "Are --oauth2-url, --client-id and --client-secret right?\nconnect: ");
    CONNECT("--ca", broker.ca, "--client-secret", "guess");
    finish(&process, 1, "invalid_client");
    CONNECT("--ca", "/no/such/file");
    finish(&process, 1, "/no/such/file");
    broker_stop(&broker);
}

TEST(basetime_and_print) {
    broker_start(&broker, NULL);
    struct process reader, sender;
    START(&reader, PROGRAM("downstream_print"));
    process_expect(&reader, "waiting for basetime-example\n");
    START(&sender, PROGRAM("upstream_basetime"));
    finish(&sender, 0, "sent a base time and the point \"hello\"\n");
    finish(&reader, 0, "\npoint string:greeting hello\nupstream_normal_close after 1 points\n");
    broker_stop(&broker);
}

TEST(print_names_what_it_receives) {
    broker_start(&broker, NULL);
    struct process reader, sender;
    START(&reader, PROGRAM("downstream_print"));
    process_expect(&reader, "waiting for basetime-example\n");
    START(&sender, PROGRAM("upstream_basetime"));
    finish(&sender, 0, "");
    finish(&reader, 0, "upstream_open\nbase_time edge_rtc ");
    broker_stop(&broker);
}

TEST(downstream_poll) {
    broker_start(&broker, NULL);
    struct process reader, sender;
    START(&reader, PROGRAM("downstream_poll"));
    process_expect(&reader, "waiting for points of hello");
    START(&sender, PROGRAM("hello_upstream"));
    finish(&sender, 0, "sent 10 points\n");
    process_expect(&reader, "metadata upstream_normal_close\n");
    process_expect(&reader, "chunk 1, ");
    /* The end of its standard input ends it. */
    finish(&reader, 0, "received 10 points\n");
    broker_stop(&broker);
}

TEST(async_connect) {
    broker_start(&broker, NULL);
    struct process process;
    START(&process, PROGRAM("async_connect"));
    finish(&process, 0,
           "connected\nupstream open\npoint acknowledged\nupstream closed\nconnection closed\ndone\n");
    broker_stop(&broker);
}

TEST(call_reply) {
    broker_start(&broker, NULL);
    struct process process;
    START(&process, PROGRAM("call_reply"));
    finish(&process, 0,
           "calculator: student wants to know: sum 1 + 2 + 39\nstudent: calculator replied: 42\n");
    START(&process, PROGRAM("call_reply"), "--question", "");
    finish(&process, 0, "student: calculator replied: 0\n");
    broker_stop(&broker);
}

TEST(metadata) {
    broker_start(&broker, NULL);
    struct process reader, sender;
    START(&reader, PROGRAM("metadata"));
    process_expect(&reader, "waiting for metadata of basetime-example\n");
    START(&sender, PROGRAM("upstream_basetime"));
    finish(&sender, 0, "");
    process_expect(&reader, "\nupstream_open ");
    process_expect(&reader, "\nbase_time of session ");
    process_expect(&reader, ": edge_rtc, priority ");
    finish(&reader, 0, " after 1 points\n");
    broker_stop(&broker);
}

TEST(sensor_10khz) {
    broker_start(&broker, NULL);
    struct process sender;
    START(&sender, PROGRAM("sensor_10khz"), "--seconds", "0.5");
    finish(&sender, 0, "delivered 5000 samples in ");
    START(&sender, PROGRAM("sensor_10khz"), "--seconds", "soon");
    finish(&sender, 2, "--seconds needs a number above 0\n");
    broker_stop(&broker);
}

TEST(video_frames) {
    broker_start(&broker, NULL);
    struct process process;
    START(&process, PROGRAM("video_frames"), "--frames", "20");
    finish(&process, 0, "received 20 frames, 1.0 MB, 0 damaged\n");
    broker_stop(&broker);
}

TEST(backpressure) {
    broker_start(&broker, NULL);
    struct process process;
    START(&process, PROGRAM("backpressure"), "--points", "2000");
    finish(&process, 0, "sent 2000 points, left out 0, dropped 0\n");
    /* It writes far faster than the server acknowledges. */
    START(&process, PROGRAM("backpressure"), "--points", "2000", "--policy", "would_block");
    CHECK_EQ(process_finish(&process), 0);
    long sent = 0, left_out = 0;
    const char *line = strstr(process.text, "sent ");
    CHECK(line != NULL && sscanf(line, "sent %ld points, left out %ld", &sent, &left_out) == 2);
    CHECK(sent > 0 && left_out > 0);
    CHECK_EQ(sent + left_out, 2000);
    process_free(&process);
    /* How much is dropped depends on the machine; that nothing is missing, the program looks at. */
    START(&process, PROGRAM("backpressure"), "--points", "2000", "--policy", "drop_oldest");
    finish(&process, 0, " points, left out 0, dropped ");
    START(&process, PROGRAM("backpressure"), "--policy", "hope");
    finish(&process, 1, "buffer_policy");
    broker_stop(&broker);
}

TEST(statistics) {
    broker_start(&broker, NULL);
    struct process process;
    START(&process, PROGRAM("statistics"), "--seconds", "1");
    process_expect(&process, "after 1 s\n");
    process_expect(&process, "round trip, ns");
    process_expect(&process, "points in the buffer");
    process_expect(&process, "chunks received");
    process_expect(&process, "ConnectRequest");
    finish(&process, 0, "in total 100 points\n");
    broker_stop(&broker);
}

TEST(reconnect_monitor) {
    broker_start(&broker, NULL);
    struct chaos chaos;
    struct process monitor;
    chaos_start(&chaos, &broker);
    process_start_checked(&monitor, (const char *const[]){PROGRAM("reconnect_monitor"), "--outages", "1",
                                                          "--url", chaos.url, NULL});
    process_expect(&monitor, " connected\n");
    chaos_do(&chaos, "cut");
    process_expect(&monitor, " disconnected: ");
    process_expect(&monitor, " reconnecting, attempt 1 in ");
    process_expect(&monitor, " reconnected\n");
    finish(&monitor, 0, "1 outages, ");
    chaos_stop(&chaos);

    START(&monitor, PROGRAM("reconnect_monitor"), "--attempts", "2");
    process_expect(&monitor, " connected\n");
    broker_stop(&broker);
    process_expect(&monitor, " reconnecting, attempt 2 in ");
    process_expect(&monitor, " closed: ");
    finish(&monitor, 1, "the connection has ended: ");
}

/* A program that waits in an event loop: it receives ten points, is told what happens to the connection, and
 * ends with a signal. */
static void event_loop(const char *program) {
    struct process reader, sender;
    broker_start(&broker, NULL);
    START(&reader, program);
    process_expect(&reader, "waiting for points of hello\n");
    process_expect(&reader, "event: connected\n");
    START(&sender, PROGRAM("hello_upstream"));
    finish(&sender, 0, "sent 10 points\n");
    process_expect(&reader, ", 10 points so far\n");
    process_signal(&reader, SIGINT);
    finish(&reader, 0, "received 10 points\n");

    START(&reader, program);
    process_expect(&reader, "event: connected\n");
    broker_stop(&broker);
    process_expect(&reader, "event: disconnected: ");
    process_expect(&reader, "event: reconnecting");
    process_signal(&reader, SIGINT);
    finish(&reader, 0, "received 0 points\n");
}

TEST(epoll_loop) {
    event_loop(PROGRAM("epoll_loop"));
}

TEST(uv_loop) {
    event_loop(PROGRAM("uv_loop"));
}

TEST(glib_loop) {
    event_loop(PROGRAM("glib_loop"));
}

TEST(cpp_raii) {
    broker_start(&broker, NULL);
    struct process process;
    START(&process, PROGRAM("cpp_raii"), "--points", "3");
    process_expect(&process, "greeting 0 ms: hello 0\ngreeting 100 ms: hello 1\ngreeting 200 ms: hello 2\n");
    finish(&process, 0, "received 3 points\na closed upstream answers ISCP_ERR_CLOSED\n");
    broker_stop(&broker);
}

TEST(fork_safe) {
    broker_start(&broker, NULL);
    struct process process;
    START(&process, PROGRAM("fork_safe"));
    process_expect(&process, "child: writing to the parent's stream gives ISCP_ERR_FORKED\n");
    process_expect(&process, "worker: delivered over a connection of its own\n");
    finish(&process, 0, "parent: delivered 2 points, before and after the fork\n");
    broker_stop(&broker);
}

TEST(multi_connection) {
    struct broker other;
    struct process bridge, reader, sender;
    broker_start(&broker, NULL);
    broker_start(&other, NULL);
    process_start_checked(&reader, (const char *const[]){PROGRAM("hello_downstream"), "--source", "bridge",
                                                         "--url", other.url, NULL});
    process_expect(&reader, "waiting for points of bridge\n");
    START(&bridge, PROGRAM("multi_connection"), "--to", other.url);
    process_expect(&bridge, "bridging hello\n");
    START(&sender, PROGRAM("hello_upstream"));
    finish(&sender, 0, "sent 10 points\n");
    finish(&bridge, 0, "forwarded 10 points\n");
    finish(&reader, 0, "string:greeting 9.000 s hello 9\n");
    broker_stop(&other);
    broker_stop(&broker);
}

TEST(examples_without_a_broker) {
    static const char *const programs[] = {"hello_upstream",
                                           "hello_downstream",
                                           "connect_token",
                                           "upstream_basetime",
                                           "downstream_print",
                                           "downstream_poll",
                                           "async_connect",
                                           "call_reply",
                                           "demo_telemetry_send",
                                           "demo_telemetry_view",
                                           "connect_intdash",
                                           "metadata",
                                           "sensor_10khz",
                                           "video_frames",
                                           "backpressure",
                                           "statistics",
                                           "reconnect_monitor",
                                           "epoll_loop",
                                           "uv_loop",
                                           "glib_loop",
                                           "cpp_raii",
                                           "fork_safe",
                                           "multi_connection",
                                           "upstream_outages"};
    broker_start(&broker, NULL);
    broker_stop(&broker);
    for (size_t i = 0; i < sizeof programs / sizeof programs[0]; i++) {
        char path[512];
        struct process process;
        snprintf(path, sizeof path, "%s/%s", ISCP_BIN, programs[i]);
        START(&process, path);
        finish(&process, 1, "127.0.0.1");
        START(&process, path, "--wrong", "option");
        finish(&process, 2, "usage: ");
    }
}

static void start_demo(struct process *view, struct process *send, const char *seconds) {
    broker_start(&broker, NULL);
    START(view, PROGRAM("demo_telemetry_view"), "--seconds", seconds, "--ready", "/dev/stdout");
    process_expect(view, "ready\n");
    START(send, PROGRAM("demo_telemetry_send"), "--seconds", seconds);
}

TEST(telemetry_demo) {
    struct process view, send;
    start_demo(&view, &send, "2");
    /* Twenty chunks, unless the machine is so slow that samples travel together. */
    process_expect(&send, "sent 120 points in ");
    finish(&send, 0, " chunks; acknowledged 120 points in ");
    process_expect(&view, "  sent      120 points\n  received  120 points in ");
    process_expect(&view, "  lost      0 points\n  latency   p50 ");
    finish(&view, 0, "cpu/busy_percent");
    broker_stop(&broker);
}

TEST(telemetry_demo_loses_its_broker) {
    struct process view, send;
    start_demo(&view, &send, "30");
    process_expect(&view, " points  cpu");
    int64_t before = test_now_ms();
    broker_stop(&broker);
    finish(&send, 1, "demo_telemetry_send: send telemetry: the connection to the server was lost\n");
    finish(&view, 1, "demo_telemetry_view: receive telemetry: connection: ");
    CHECK(test_now_ms() - before < 5000);
}

TEST(telemetry_demo_loses_its_sender) {
    struct process view, send;
    start_demo(&view, &send, "30");
    process_expect(&view, " points  cpu");
    process_signal(&send, SIGKILL);
    finish(&send, 128 + SIGKILL, "");
    finish(&view, 1, "demo_telemetry_view: the source ended without closing its stream\n");
    broker_stop(&broker);
}

TEST(telemetry_demo_is_interrupted) {
    struct process view, send;
    start_demo(&view, &send, "30");
    process_expect(&view, " points  cpu");
    process_signal(&send, SIGINT);
    finish(&send, 0, "acknowledged");
    /* The source has closed its stream, so the viewer ends too. */
    finish(&view, 0, "  lost      0 points\n");
    broker_stop(&broker);
}
