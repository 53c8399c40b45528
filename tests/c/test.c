#include "test.h"

#include <signal.h>
#include <stdarg.h>
#include <time.h>
#include <unistd.h>

#define MAX_CASES 64
#define MAX_PROCESSES 8

/* Seconds that a case may take; valgrind gets more through the environment. */
#define DEADLINE 60

static struct {
    const char *name;
    void (*run)(void);
} cases[MAX_CASES];
static size_t case_count;

static volatile sig_atomic_t processes[MAX_PROCESSES];
/* Set by any thread, read in a signal handler. */
static const char *_Atomic waiting_for;
static const char *_Atomic about;

void test_register(const char *name, void (*run)(void)) {
    if (case_count == MAX_CASES) {
        abort();
    }
    cases[case_count].name = name;
    cases[case_count++].run = run;
}

/* Also called in a signal handler. */
static void end_processes(void) {
    for (size_t i = 0; i < MAX_PROCESSES; i++) {
        if (processes[i] > 0) {
            kill(processes[i], SIGKILL);
        }
    }
}

void test_fail(const char *file, int line, const char *format, ...) {
    va_list arguments;
    va_start(arguments, format);
    flockfile(stderr);
    fprintf(stderr, "%s:%d: ", file, line);
    if (about != NULL) {
        fprintf(stderr, "%s: ", about);
    }
    vfprintf(stderr, format, arguments);
    fputc('\n', stderr);
    funlockfile(stderr);
    va_end(arguments);
    end_processes();
    /* Other threads may be in any state, so nothing is cleaned up. */
    _exit(1);
}

static void say(const char *text) {
    if (write(STDERR_FILENO, text, strlen(text)) < 0) {
        _exit(1);
    }
}

static void on_deadline(int signal_number) {
    (void)signal_number;
    say("the deadline passed");
    if (about != NULL) {
        say(", about: ");
        say(about);
    }
    if (waiting_for != NULL) {
        say(", waiting for: ");
        say(waiting_for);
    }
    say("\n");
    end_processes();
    _exit(1);
}

void test_waiting_for(const char *what) {
    waiting_for = what;
}

void test_about(const char *what) {
    about = what;
}

int64_t test_now_ms(void) {
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    return (int64_t)now.tv_sec * 1000 + now.tv_nsec / 1000000;
}

void test_guard_process(pid_t pid) {
    for (size_t i = 0; i < MAX_PROCESSES; i++) {
        if (processes[i] == 0) {
            processes[i] = pid;
            return;
        }
    }
    abort();
}

void test_unguard_process(pid_t pid) {
    for (size_t i = 0; i < MAX_PROCESSES; i++) {
        if (processes[i] == pid) {
            processes[i] = 0;
        }
    }
}

void event_signal(struct event *event) {
    pthread_mutex_lock(&event->mutex);
    event->count++;
    pthread_cond_broadcast(&event->changed);
    pthread_mutex_unlock(&event->mutex);
}

void event_wait(struct event *event, int count, const char *what) {
    test_waiting_for(what);
    pthread_mutex_lock(&event->mutex);
    while (event->count < count) {
        pthread_cond_wait(&event->changed, &event->mutex);
    }
    pthread_mutex_unlock(&event->mutex);
    test_waiting_for(NULL);
}

int event_count(struct event *event) {
    pthread_mutex_lock(&event->mutex);
    int count = event->count;
    pthread_mutex_unlock(&event->mutex);
    return count;
}

void test_pause(void) {
    struct timespec pause = {.tv_nsec = 2000000};
    nanosleep(&pause, NULL);
}

void test_begin(void) {
    const char *deadline = getenv("TEST_DEADLINE");
    signal(SIGALRM, on_deadline);
    /* Writing to a process that has ended is an error to look at, not the end. */
    signal(SIGPIPE, SIG_IGN);
    alarm(deadline != NULL ? (unsigned)atoi(deadline) : DEADLINE);
}

void test_end(void) {
    end_processes();
}

int test_main(int argc, char **argv) {
    for (size_t i = 0; argc == 2 && i < case_count; i++) {
        if (strcmp(cases[i].name, argv[1]) == 0) {
            test_begin();
            cases[i].run();
            test_end();
            return 0;
        }
    }
    fprintf(stderr, "usage: %s CASE, with one of:\n", argv[0]);
    for (size_t i = 0; i < case_count; i++) {
        fprintf(stderr, "  %s\n", cases[i].name);
    }
    return 2;
}
