/* The library's threads: their names, stacks, signals and the application's hooks on them. */
#include "client.h"

#include <signal.h>
#include <unistd.h>

#define KINDS 6
#define STACK_SIZE (1024 * 1024)

struct threads {
    pthread_mutex_t mutex;
    int started[KINDS], stopped[KINDS];
    struct event released;
};

#define THREADS_INIT                                                                                         \
    { .mutex = PTHREAD_MUTEX_INITIALIZER, .released = EVENT_INIT }

static int count(struct threads *threads, const int *counter) {
    pthread_mutex_lock(&threads->mutex);
    int value = *counter;
    pthread_mutex_unlock(&threads->mutex);
    return value;
}

static void increment(struct threads *threads, int *counter) {
    pthread_mutex_lock(&threads->mutex);
    ++*counter;
    pthread_mutex_unlock(&threads->mutex);
}

/* The current thread's name, after the prefix. */
static void check_name(iscp_thread_kind_t kind) {
    static const char *const names[KINDS] = {"",          "x.1-runtime", "x.1-dispatch", "x.1-resolve",
                                             "x.1-spool", "x.1-log"};
    char name[16];
    CHECK(pthread_getname_np(pthread_self(), name, sizeof name) == 0);
    CHECK_TEXT(name, names[kind]);
}

static void check_stack(void) {
    pthread_attr_t attributes;
    size_t size;
    CHECK(pthread_getattr_np(pthread_self(), &attributes) == 0);
    CHECK(pthread_attr_getstacksize(&attributes, &size) == 0);
    pthread_attr_destroy(&attributes);
    CHECK(size >= STACK_SIZE && size < STACK_SIZE + STACK_SIZE / 2);
}

/* Signals that the application may handle never arrive on this thread. */
static void check_signals(void) {
    static const int blocked[] = {SIGINT,  SIGTERM, SIGHUP,  SIGQUIT, SIGUSR1, SIGUSR2,
                                  SIGPIPE, SIGALRM, SIGCHLD, SIGPROF, SIGWINCH};
    static const int own[] = {SIGSEGV, SIGBUS, SIGFPE, SIGILL, SIGTRAP, SIGSYS};
    sigset_t mask;
    CHECK(pthread_sigmask(SIG_BLOCK, NULL, &mask) == 0);
    for (size_t i = 0; i < sizeof blocked / sizeof *blocked; i++) {
        CHECK_EQ(sigismember(&mask, blocked[i]), 1);
    }
    for (int real_time = SIGRTMIN; real_time <= SIGRTMAX; real_time++) {
        CHECK_EQ(sigismember(&mask, real_time), 1);
    }
    for (size_t i = 0; i < sizeof own / sizeof *own; i++) {
        CHECK_EQ(sigismember(&mask, own[i]), 0);
    }
}

static __thread iscp_thread_kind_t this_thread;

static void on_start(iscp_thread_kind_t kind, void *user_data) {
    struct threads *threads = user_data;
    CHECK(kind >= ISCP_THREAD_RUNTIME && kind < KINDS);
    CHECK_EQ(this_thread, 0);
    this_thread = kind;
    check_name(kind);
    check_stack();
    check_signals();
    FAILS(iscp_shutdown(-1, &error), ISCP_ERR_IN_CALLBACK, "callback");
    increment(threads, &threads->started[kind]);
}

static void on_stop(iscp_thread_kind_t kind, void *user_data) {
    struct threads *threads = user_data;
    CHECK_EQ(this_thread, kind);
    check_signals();
    increment(threads, &threads->stopped[kind]);
}

static void on_release(void *user_data) {
    event_signal(&((struct threads *)user_data)->released);
}

static void on_connected(iscp_conn_t *conn, const iscp_error_t *error, void *user_data) {
    CHECK(error == NULL && conn != NULL);
    CHECK_EQ(this_thread, ISCP_THREAD_DISPATCHER);
    iscp_conn_free(conn);
    event_signal(user_data);
}

static void on_log(iscp_log_level_t level, const char *target, const char *message, void *user_data) {
    (void)level, (void)target, (void)message, (void)user_data;
    CHECK_EQ(this_thread, ISCP_THREAD_LOG);
}

static void configure(struct threads *threads) {
    iscp_runtime_options_t *options = iscp_runtime_options_new();
    OK(iscp_runtime_options_set(options, "thread_name", "x.1", &error));
    OK(iscp_runtime_options_set_stack_size(options, STACK_SIZE, &error));
    OK(iscp_runtime_options_set_thread_callbacks(options, on_start, on_stop, threads, on_release, &error));
    OK(iscp_runtime_configure(options, &error));
    iscp_runtime_options_free(options);
}

TEST(every_thread_calls_the_hooks) {
    struct threads threads = THREADS_INIT;
    struct event connected = EVENT_INIT;
    struct broker broker;
    broker_start(&broker, NULL);
    configure(&threads);
    CHECK_EQ(event_count(&threads.released), 0);
    OK(iscp_log_set(on_log, ISCP_LOG_DEBUG, NULL, NULL, &error));
    /* By a name, so that it must be looked up. */
    char url[64];
    snprintf(url, sizeof url, "ws://localhost%s", strrchr(broker.url, ':'));
    iscp_conn_options_t *options = conn_options(url, "node", NULL);
    for (int i = 1; i <= 2; i++) {
        OK(iscp_connect(options, on_connected, &connected, &error));
        event_wait(&connected, i, "the connection");
    }
    iscp_conn_options_free(options);
    iscp_error_t *error = NULL;
    CHECK_STATUS(iscp_shutdown(-1, &error), ISCP_OK);
    /* A thread that looks up names may end later; every other one has ended, and has said so. */
    static const iscp_thread_kind_t kinds[] = {ISCP_THREAD_RUNTIME, ISCP_THREAD_DISPATCHER, ISCP_THREAD_LOG};
    static const int expected[] = {1, 2, 1};
    for (size_t i = 0; i < sizeof kinds / sizeof *kinds; i++) {
        CHECK_EQ(count(&threads, &threads.started[kinds[i]]), expected[i]);
        CHECK_EQ(count(&threads, &threads.stopped[kinds[i]]), expected[i]);
    }
    CHECK(count(&threads, &threads.started[ISCP_THREAD_RESOLVER]) >= 1);
    EVENTUALLY(count(&threads, &threads.stopped[ISCP_THREAD_RESOLVER]) ==
               count(&threads, &threads.started[ISCP_THREAD_RESOLVER]));
    OK(iscp_runtime_configure(NULL, &error));
    event_wait(&threads.released, 1, "the release");
    broker_stop(&broker);
}

TEST(threads_that_run_are_not_configured) {
    struct threads threads = THREADS_INIT;
    struct broker broker;
    broker_start(&broker, NULL);
    iscp_conn_t *conn = client_connect(broker.url, "node");
    iscp_runtime_options_t *options = iscp_runtime_options_new();
    OK(iscp_runtime_options_set_thread_callbacks(options, on_start, NULL, &threads, on_release, &error));
    FAILS(iscp_runtime_configure(options, &error), ISCP_ERR_INVALID_STATE, "1 threads");
    FAILS(iscp_runtime_configure(NULL, &error), ISCP_ERR_INVALID_STATE, "runtime");
    iscp_runtime_options_free(options);
    CHECK_EQ(event_count(&threads.released), 1);
    iscp_conn_free(conn);
    client_shutdown();
    OK(iscp_runtime_configure(NULL, &error));
    broker_stop(&broker);
}

/* Holds up the end of the runtime's thread. */
struct gate {
    struct event reached, open;
};

static void wait_at_the_gate(iscp_thread_kind_t kind, void *user_data) {
    struct gate *gate = user_data;
    if (kind == ISCP_THREAD_RUNTIME) {
        event_signal(&gate->reached);
        event_wait(&gate->open, 1, "the gate");
    }
}

static void *shut_down(void *argument) {
    (void)argument;
    OK(iscp_shutdown(-1, &error));
    return NULL;
}

TEST(every_shutdown_waits_until_the_threads_have_ended) {
    struct gate gate = {EVENT_INIT, EVENT_INIT};
    struct broker broker;
    broker_start(&broker, NULL);
    iscp_runtime_options_t *options = iscp_runtime_options_new();
    OK(iscp_runtime_options_set_thread_callbacks(options, NULL, wait_at_the_gate, &gate, NULL, &error));
    OK(iscp_runtime_configure(options, &error));
    iscp_runtime_options_free(options);
    iscp_conn_free(client_connect(broker.url, "node"));
    /* In time, also when the application holds it up; repeated, and at once. */
    EVENTUALLY(iscp_shutdown(100, NULL) == ISCP_ERR_TIMEOUT && event_count(&gate.reached) == 1);
    FAILS(iscp_shutdown(0, &error), ISCP_ERR_TIMEOUT, "shutdown");
    FAILS(iscp_runtime_configure(NULL, &error), ISCP_ERR_INVALID_STATE, "1 threads");
    pthread_t other;
    CHECK(pthread_create(&other, NULL, shut_down, NULL) == 0);
    event_signal(&gate.open);
    OK(iscp_shutdown(-1, &error));
    OK(iscp_runtime_configure(NULL, &error));
    pthread_join(other, NULL);
    CHECK_EQ(event_count(&gate.reached), 1);
    broker_stop(&broker);
}

TEST(options_are_checked) {
    struct threads threads = THREADS_INIT;
    iscp_runtime_options_t *options = iscp_runtime_options_new();
    static const char *const names[] = {"", "7letter", "a b", "\xc3\xa4"};
    for (size_t i = 0; i < sizeof names / sizeof *names; i++) {
        FAILS(iscp_runtime_options_set_thread_name(options, names[i], &error), ISCP_ERR_INVALID_OPTION,
              "thread_name");
    }
    FAILS(iscp_runtime_options_set_stack_size(options, 4096, &error), ISCP_ERR_INVALID_OPTION, "stack_size");
    FAILS(iscp_runtime_options_set(options, "threads", "4", &error), ISCP_ERR_UNKNOWN_OPTION, "thread_name");
    FAILS(iscp_runtime_options_set_thread_callbacks(options, NULL, NULL, &threads, on_release, &error),
          ISCP_ERR_NULL_ARGUMENT, "on_start");
    CHECK_EQ(event_count(&threads.released), 1);
    OK(iscp_runtime_options_set_thread_callbacks(options, NULL, on_stop, &threads, on_release, &error));
    OK(iscp_runtime_options_set_thread_callbacks(options, on_start, NULL, &threads, on_release, &error));
    CHECK_EQ(event_count(&threads.released), 2);
    iscp_runtime_options_free(options);
    CHECK_EQ(event_count(&threads.released), 3);
    FAILS(iscp_runtime_configure(options, &error), ISCP_ERR_BAD_HANDLE, "options");
    iscp_runtime_options_free(NULL);
}
