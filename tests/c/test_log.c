/* Where log messages go, and how many wait. The log callback itself: test_process.c. */
#include "client.h"

#include <fcntl.h>
#include <unistd.h>

static struct broker broker;

TEST(environment_sends_messages_to_standard_error) {
    char path[] = "/tmp/iscp-log-XXXXXX", text[65536];
    int file = mkstemp(path), kept = dup(STDERR_FILENO);
    CHECK(file >= 0 && kept >= 0);
    broker_start(&broker, NULL);
    CHECK(setenv("ISCP_LOG", "info", 1) == 0);
    CHECK(dup2(file, STDERR_FILENO) >= 0);
    iscp_conn_t *conn = client_connect(broker.url, "node");
    iscp_upstream_t *up = client_upstream(conn, NULL);
    iscp_upstream_free(up);
    iscp_conn_free(conn);
    client_shutdown();
    CHECK(dup2(kept, STDERR_FILENO) >= 0);
    ssize_t length = pread(file, text, sizeof text - 1, 0);
    CHECK(length >= 0);
    text[length] = '\0';
    close(file);
    close(kept);
    unlink(path);
    CHECK_CONTAINS(text, "INFO  iscp::");
    CHECK_CONTAINS(text, broker.url);
    CHECK(strstr(text, "DEBUG") == NULL && strstr(text, "TRACE") == NULL);
    broker_stop(&broker);
}

/* What the library says of its queue: 1024 messages. */
#define QUEUE 1024

struct log {
    struct event began, gate;
    int count;
    unsigned lost;
};

static void on_log(iscp_log_level_t level, const char *target, const char *message, void *user_data) {
    struct log *log = user_data;
    (void)level;
    (void)target;
    if (log->count++ == 0) {
        event_signal(&log->began);
        event_wait(&log->gate, 1, "the gate");
    }
    unsigned lost;
    if (sscanf(message, "%u log messages were lost", &lost) == 1) {
        log->lost += lost;
    }
}

TEST(a_callback_that_is_too_slow_loses_messages_and_is_told) {
    struct log log = {.began = EVENT_INIT, .gate = EVENT_INIT};
    broker_start(&broker, NULL);
    OK(iscp_log_set(on_log, ISCP_LOG_INFO, &log, NULL, &error));
    iscp_conn_t *conn = client_connect(broker.url, "node");
    event_wait(&log.began, 1, "the first message");
    /* Two messages each; nothing waits for the callback. */
    for (int i = 0; i < QUEUE; i++) {
        iscp_upstream_t *up = client_upstream(conn, NULL);
        OK(iscp_upstream_close_wait(up, false, -1, &error));
        iscp_upstream_free(up);
    }
    event_signal(&log.gate);
    OK(iscp_log_set(NULL, ISCP_LOG_OFF, NULL, NULL, &error));
    CHECK(log.lost >= QUEUE / 2);
    CHECK(log.count <= QUEUE + 8);
    iscp_conn_free(conn);
    client_shutdown();
    broker_stop(&broker);
}

static void *stop_logging(void *argument) {
    (void)argument;
    OK(iscp_log_set(NULL, ISCP_LOG_OFF, NULL, NULL, &error));
    return NULL;
}

TEST(shutting_down_waits_no_longer_for_the_callback_than_it_may) {
    struct log log = {.began = EVENT_INIT, .gate = EVENT_INIT};
    broker_start(&broker, NULL);
    OK(iscp_log_set(on_log, ISCP_LOG_INFO, &log, NULL, &error));
    iscp_conn_t *conn = client_connect(broker.url, "node");
    event_wait(&log.began, 1, "a message");
    OK(iscp_conn_close_wait(conn, -1, &error));
    iscp_conn_free(conn);
    FAILS(iscp_shutdown(2000, &error), ISCP_ERR_TIMEOUT, "log");
    /* Nor for another thread that waits for it. */
    pthread_t other;
    CHECK_EQ(pthread_create(&other, NULL, stop_logging, NULL), 0);
    for (int round = 0; round < 20; round++) {
        FAILS(iscp_shutdown(10, &error), ISCP_ERR_TIMEOUT, "log");
    }
    event_signal(&log.gate);
    OK(iscp_shutdown(-1, &error));
    CHECK_EQ(pthread_join(other, NULL), 0);
    OK(iscp_runtime_configure(NULL, &error));
    broker_stop(&broker);
}
