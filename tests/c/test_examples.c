/* The example programs, run as the README says, against a broker. */
#include "client.h"

#include <signal.h>
#include <unistd.h>

#define PROGRAM(name) (ISCP_BIN "/" name)
#define MAX_WORDS 32

static struct broker broker;

/* Starts an example; under valgrind when the environment names its command, a word per line. */
static void start(struct process *process, const char *const *arguments) {
    static char command[1024];
    const char *words[MAX_WORDS];
    size_t count = 0;
    const char *memcheck = getenv("TEST_MEMCHECK");
    if (memcheck != NULL) {
        snprintf(command, sizeof command, "%s", memcheck);
        for (char *word = strtok(command, "\n"); word != NULL; word = strtok(NULL, "\n")) {
            words[count++] = word;
        }
    }
    while (*arguments != NULL && count + 1 < MAX_WORDS) {
        words[count++] = *arguments++;
    }
    words[count] = NULL;
    process_start(process, words);
}

#define START(process, ...) start(process, (const char *const[]){__VA_ARGS__, "--url", broker.url, NULL})

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
    start(&sender, (const char *const[]){PROGRAM("upstream_outages"), "--points", "30", "--url", url, NULL});
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

TEST(examples_without_a_broker) {
    static const char *const programs[] = {"hello_upstream",      "hello_downstream", "connect_token",
                                           "upstream_basetime",   "downstream_print", "downstream_poll",
                                           "async_connect",       "call_reply",       "demo_telemetry_send",
                                           "demo_telemetry_view", "connect_intdash"};
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
