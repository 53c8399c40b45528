/* The library and the process: forks, exits, shutting down, logging. */
#include "client.h"

#include <dirent.h>
#include <signal.h>
#include <sys/wait.h>
#include <unistd.h>

/* Runs a function in a forked child; it ends the child with its answer. */
static int in_child(int (*run)(void)) {
    pid_t pid = fork();
    CHECK(pid >= 0);
    if (pid == 0) {
        exit(run());
    }
    test_guard_process(pid);
    test_waiting_for("the end of the child");
    int status;
    CHECK(waitpid(pid, &status, 0) == pid);
    test_unguard_process(pid);
    test_waiting_for(NULL);
    CHECK(WIFEXITED(status));
    return WEXITSTATUS(status);
}

static struct broker broker;
static iscp_conn_t *conn;
static iscp_upstream_t *up;
static iscp_downstream_t *down;
static iscp_data_id_t id;

static int use_handles_of_the_parent(void) {
    iscp_chunk_t *chunk = NULL;
    iscp_conn_t *other = NULL;
    uint64_t value;
    FAILS(iscp_conn_close_wait(conn, -1, &error), ISCP_ERR_FORKED, "parent");
    FAILS(iscp_upstream_open_wait(conn, NULL, -1, &up, &error), ISCP_ERR_FORKED, "parent");
    CHECK(iscp_conn_ref(conn) == NULL);
    CHECK_EQ(iscp_conn_state(conn), ISCP_CONN_STATE_CLOSED);
    CHECK_STATUS(iscp_conn_stat(conn, ISCP_CONN_STAT_BYTES_SENT, &value), ISCP_ERR_FORKED);
    FAILS(iscp_downstream_next_chunk_wait(down, -1, &chunk, &error), ISCP_ERR_FORKED, "parent");
    iscp_conn_options_t *options = conn_options(broker.url, "child", NULL);
    FAILS(iscp_connect_wait(options, -1, &other, &error), ISCP_ERR_FORKED, "forked");
    iscp_conn_options_free(options);
    FAILS(iscp_shutdown(-1, &error), ISCP_ERR_FORKED, "shutdown");
    FAILS(iscp_log_set(NULL, ISCP_LOG_OFF, NULL, NULL, &error), ISCP_ERR_FORKED, "log");
    iscp_conn_free(conn);
    iscp_downstream_free(down);
    return 7;
}

static int write_to_a_stream_of_the_parent(void) {
    CHECK_STATUS(iscp_upstream_write(up, id, 0, (const uint8_t *)"child", 5), ISCP_ERR_FORKED);
    FAILS(iscp_upstream_flush_wait(up, ISCP_FLUSH_SENT, -1, &error), ISCP_ERR_FORKED, "parent");
    FAILS(iscp_upstream_close_wait(up, false, -1, &error), ISCP_ERR_FORKED, "parent");
    iscp_upstream_free(up);
    return 8;
}

TEST(forked_child) {
    broker_start(&broker, NULL);
    conn = client_connect(broker.url, "node");
    up = client_upstream(conn, NULL);
    down = client_downstream(conn, "node");
    id = client_data_id(up, "a");
    CHECK_EQ(in_child(use_handles_of_the_parent), 7);
    CHECK_EQ(in_child(write_to_a_stream_of_the_parent), 8);
    /* The parent did not notice. */
    client_write(up, id, 0, "parent");
    CHECK_EQ(client_read_points(down, 1), 1);
    OK(iscp_upstream_close_wait(up, false, -1, &error));
    iscp_upstream_free(up);
    iscp_downstream_free(down);
    iscp_conn_free(conn);
    client_shutdown();
    broker_stop(&broker);
}

static int do_nothing(void) {
    return iscp_version() != NULL ? 0 : 1;
}

TEST(loaded_but_unused) {
    CHECK_EQ(in_child(do_nothing), 0);
    /* Nothing was started that a child would miss, and nothing has to be ended. */
    OK(iscp_shutdown(0, &error));
}

/* The signals that a thread of this process blocks, as the kernel shows them. */
static unsigned long long blocked_by(const char *thread) {
    char path[300], line[200];
    unsigned long long blocked = 0;
    snprintf(path, sizeof path, "/proc/self/task/%s/status", thread);
    FILE *file = fopen(path, "r");
    CHECK(file != NULL);
    while (fgets(line, sizeof line, file) != NULL) {
        sscanf(line, "SigBlk: %llx", &blocked);
    }
    fclose(file);
    return blocked;
}

static unsigned long long bit(int signal_number) {
    return 1ULL << (signal_number - 1);
}

static void handler(int signal_number) {
    (void)signal_number;
}

/* Handlers and mask of the application stay, library threads take no signals, and a broken connection raises
 * none. */
TEST(signals_are_left_alone) {
    struct sigaction before[NSIG], after;
    sigset_t mask_before, mask_after;
    broker_start(&broker, NULL);
    signal(SIGPIPE, SIG_DFL);
    signal(SIGUSR1, handler);
    pthread_sigmask(SIG_SETMASK, NULL, &mask_before);
    for (int i = 1; i < NSIG; i++) {
        sigaction(i, NULL, &before[i]);
    }

    conn = client_connect(broker.url, "node");
    up = client_upstream(conn, NULL);
    id = client_data_id(up, "a");
    client_write(up, id, 0, "x");
    OK(iscp_conn_send_base_time_wait(conn, "s", "n", 0, 0, 0, false, -1, &error));
    DIR *threads = opendir("/proc/self/task");
    int others = 0;
    CHECK(threads != NULL);
    for (struct dirent *entry; (entry = readdir(threads)) != NULL;) {
        if (entry->d_name[0] != '.' && atoi(entry->d_name) != getpid()) {
            unsigned long long asked =
                bit(SIGTERM) | bit(SIGINT) | bit(SIGALRM) | bit(SIGUSR1) | bit(SIGCHLD);
            CHECK_EQ(blocked_by(entry->d_name) & asked, asked);
            others++;
        }
    }
    closedir(threads);
    CHECK(others > 0);

    /* Written to a socket that nobody reads any more: with its own action SIGPIPE would end the process. */
    process_signal(&broker.process, SIGKILL);
    process_finish(&broker.process);
    for (int i = 0; i < 100; i++) {
        iscp_status_t status = iscp_upstream_write(up, id, i, (const uint8_t *)"x", 1);
        CHECK(status == ISCP_OK || status == ISCP_ERR_CLOSED || status == ISCP_ERR_CONNECTION_LOST);
    }
    iscp_upstream_free(up);
    iscp_conn_free(conn);
    process_free(&broker.process);

    pthread_sigmask(SIG_SETMASK, NULL, &mask_after);
    for (int i = 1; i < NSIG; i++) {
        /* Two signals are the C library's own, and it tells nothing of them. */
        if (sigaction(i, NULL, &after) == 0) {
            CHECK(after.sa_handler == before[i].sa_handler && after.sa_flags == before[i].sa_flags);
        }
        CHECK_EQ(sigismember(&mask_after, i), sigismember(&mask_before, i));
    }
}

static void on_closed(const iscp_error_t *error, void *user_data) {
    CHECK(error == NULL);
    event_signal(user_data);
}

TEST(shutdown_and_again) {
    broker_start(&broker, NULL);
    for (int round = 0; round < 3; round++) {
        struct event closed = EVENT_INIT;
        iscp_conn_options_t *options = conn_options(broker.url, "node", NULL);
        OK(iscp_conn_options_set_closed_callback(options, on_closed, &closed, NULL, &error));
        OK(iscp_connect_wait(options, -1, &conn, &error));
        iscp_conn_options_free(options);
        up = client_upstream(conn, "flush_policy", "none", NULL);
        id = client_data_id(up, "a");
        client_write(up, id, 0, "x");
        OK(iscp_shutdown(-1, &error));
        CHECK_EQ(event_count(&closed), 1);
        CHECK_EQ(iscp_conn_state(conn), ISCP_CONN_STATE_CLOSED);
        /* What was written has been delivered. */
        CHECK_EQ(upstream_stat(up, ISCP_UPSTREAM_STAT_TOTAL_POINTS), 1);
        CHECK_EQ(upstream_stat(up, ISCP_UPSTREAM_STAT_FAILED_POINTS), 0);
        CHECK_STATUS(iscp_upstream_write(up, id, 0, NULL, 0), ISCP_ERR_CLOSED);
        iscp_upstream_free(up);
        iscp_conn_free(conn);
    }
    OK(iscp_shutdown(-1, &error));
    FAILS(iscp_shutdown(-2, &error), ISCP_ERR_INVALID_ARGUMENT, "timeout_ms");
    broker_stop(&broker);
}

static struct event entered, gate;

static void wait_at_gate(const iscp_error_t *error, void *user_data) {
    (void)error;
    (void)user_data;
    event_signal(&entered);
    event_wait(&gate, 1, "the gate");
}

TEST(shutdown_waits_for_callbacks) {
    entered = gate = (struct event)EVENT_INIT;
    broker_start(&broker, NULL);
    conn = client_connect(broker.url, "node");
    OK(iscp_conn_send_base_time(conn, "s", "n", 0, 0, 0, false, wait_at_gate, NULL, &error));
    event_wait(&entered, 1, "the callback");
    FAILS(iscp_shutdown(100, &error), ISCP_ERR_TIMEOUT, "shutdown");
    event_signal(&gate);
    OK(iscp_shutdown(-1, &error));
    iscp_conn_free(conn);
    broker_stop(&broker);
}

struct log {
    struct event messages, released;
    bool tried;
};

static void on_log(iscp_log_level_t level, const char *target, const char *message, void *user_data) {
    struct log *log = user_data;
    CHECK(level >= ISCP_LOG_ERROR && level <= ISCP_LOG_TRACE);
    CHECK_CONTAINS(target, "iscp");
    CHECK(message[0] != '\0');
    if (!log->tried) {
        log->tried = true;
        FAILS(iscp_log_set(NULL, ISCP_LOG_OFF, NULL, NULL, &error), ISCP_ERR_IN_CALLBACK, "callback");
        FAILS(iscp_shutdown(-1, &error), ISCP_ERR_IN_CALLBACK, "callback");
        /* Everything else works. */
        iscp_conn_options_free(conn_options("ws://h", "n", NULL));
    }
    event_signal(&log->messages);
}

static void on_log_release(void *user_data) {
    event_signal(&((struct log *)user_data)->released);
}

TEST(log_callback) {
    struct log log = {EVENT_INIT, EVENT_INIT, false}, second = log;
    broker_start(&broker, NULL);
    OK(iscp_log_set(on_log, ISCP_LOG_TRACE, &log, on_log_release, &error));
    conn = client_connect(broker.url, "node");
    event_wait(&log.messages, 1, "a message");
    CHECK_EQ(event_count(&log.released), 0);
    /* Another takes its place: it has returned and is released when the call returns. */
    OK(iscp_log_set(on_log, ISCP_LOG_TRACE, &second, on_log_release, &error));
    CHECK_EQ(event_count(&log.released), 1);
    OK(iscp_conn_close_wait(conn, -1, &error));
    OK(iscp_log_set(NULL, ISCP_LOG_OFF, NULL, NULL, &error));
    CHECK_EQ(event_count(&second.released), 1);
    int messages = event_count(&second.messages);
    iscp_conn_free(conn);
    client_shutdown();
    CHECK_EQ(event_count(&second.messages), messages);
    FAILS(iscp_log_set(on_log, 6, &log, on_log_release, &error), ISCP_ERR_INVALID_ARGUMENT, "level");
    CHECK_EQ(event_count(&log.released), 2);
    /* Without a callback the user data is not needed at all. */
    OK(iscp_log_set(NULL, ISCP_LOG_OFF, &log, on_log_release, &error));
    CHECK_EQ(event_count(&log.released), 3);
    broker_stop(&broker);
}
