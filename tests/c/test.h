/* A small test framework: one program holds several cases, each run on its own.
 *
 *   TEST(name) { CHECK(1 + 1 == 2); }
 *
 * `program name` runs one case; CMakeLists.txt reads the names from the source and registers each. A case
 * ends with the first failed check. Nothing waits by sleeping: what a case waits for either happens, or the
 * deadline of the whole case passes, which says what was waited for. Processes that a case started never
 * outlive it. */
#ifndef TEST_H
#define TEST_H

#include <iscp/iscp.h>

#include <pthread.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/types.h>

void test_register(const char *name, void (*run)(void));

/* Runs the case that the command line names. */
int test_main(int argc, char **argv);

/* What a program with a main of its own does before and after a case. */
void test_begin(void);
void test_end(void);

#define TEST(name)                                                                                           \
    static void name(void);                                                                                  \
    __attribute__((constructor)) static void register_##name(void) {                                         \
        test_register(#name, name);                                                                          \
    }                                                                                                        \
    static void name(void)

/* Ends the case: prints the place and the text. */
_Noreturn void test_fail(const char *file, int line, const char *format, ...)
    __attribute__((format(printf, 3, 4)));

#define FAIL(...) test_fail(__FILE__, __LINE__, __VA_ARGS__)

#define CHECK(expression)                                                                                    \
    do {                                                                                                     \
        if (!(expression)) {                                                                                 \
            FAIL("%s", #expression);                                                                         \
        }                                                                                                    \
    } while (0)

/* Whole numbers: compared as such, printed on failure. */
#define CHECK_EQ(actual, expected)                                                                           \
    do {                                                                                                     \
        long long actual_ = (long long)(actual), expected_ = (long long)(expected);                          \
        if (actual_ != expected_) {                                                                          \
            FAIL("%s is %lld instead of %s = %lld", #actual, actual_, #expected, expected_);                 \
        }                                                                                                    \
    } while (0)

#define CHECK_STATUS(actual, expected)                                                                       \
    do {                                                                                                     \
        iscp_status_t status_ = (actual);                                                                    \
        if (status_ != (expected)) {                                                                         \
            FAIL("%s gives %s instead of %s", #actual, iscp_status_name(status_), #expected);                \
        }                                                                                                    \
    } while (0)

#define CHECK_TEXT(actual, expected)                                                                         \
    do {                                                                                                     \
        const char *text_ = (actual);                                                                        \
        if (text_ == NULL || strcmp(text_, (expected)) != 0) {                                               \
            FAIL("%s is \"%s\" instead of \"%s\"", #actual, text_ == NULL ? "(null)" : text_, (expected));   \
        }                                                                                                    \
    } while (0)

#define CHECK_CONTAINS(actual, part)                                                                         \
    do {                                                                                                     \
        const char *text_ = (actual);                                                                        \
        if (text_ == NULL || strstr(text_, (part)) == NULL) {                                                \
            FAIL("%s is \"%s\", without \"%s\"", #actual, text_ == NULL ? "(null)" : text_, (part));         \
        }                                                                                                    \
    } while (0)

/* A call with an `error` variable in scope: it succeeds, or the message is shown. */
#define OK(call)                                                                                             \
    do {                                                                                                     \
        iscp_error_t *error = NULL;                                                                          \
        iscp_status_t status_ = (call);                                                                      \
        if (status_ != ISCP_OK) {                                                                            \
            FAIL("%s gives %s: %s", #call, iscp_status_name(status_), iscp_error_message(error));            \
        }                                                                                                    \
        if (error != NULL) {                                                                                 \
            FAIL("%s succeeds and leaves an error", #call);                                                  \
        }                                                                                                    \
    } while (0)

/* A call with `&error`: it fails with a status, and the message names the culprit. */
#define FAILS(call, expected, culprit)                                                                       \
    do {                                                                                                     \
        iscp_error_t *error = NULL;                                                                          \
        CHECK_STATUS(call, expected);                                                                        \
        CHECK(error != NULL);                                                                                \
        CHECK_STATUS(iscp_error_code(error), expected);                                                      \
        CHECK_CONTAINS(iscp_error_message(error), culprit);                                                  \
        iscp_error_free(error);                                                                              \
    } while (0)

/* What the deadline's message names; the caller keeps the text. */
void test_waiting_for(const char *what);

/* What a failure's message begins with, in a case that goes through a table; the caller keeps the text. */
void test_about(const char *what);

/* Monotonic clock in milliseconds, for upper bounds. */
int64_t test_now_ms(void);

/* A process to end when the case ends, however that is. */
void test_guard_process(pid_t pid);
void test_unguard_process(pid_t pid);

/* A counter to wait for. */
struct event {
    pthread_mutex_t mutex;
    pthread_cond_t changed;
    int count;
};

#define EVENT_INIT                                                                                           \
    { .mutex = PTHREAD_MUTEX_INITIALIZER, .changed = PTHREAD_COND_INITIALIZER, .count = 0 }

void event_signal(struct event *event);
void event_wait(struct event *event, int count, const char *what);
int event_count(struct event *event);

/* Waits until the expression holds, asking again and again. */
#define EVENTUALLY(expression)                                                                               \
    do {                                                                                                     \
        test_waiting_for(#expression);                                                                       \
        while (!(expression)) {                                                                              \
            test_pause();                                                                                    \
        }                                                                                                    \
        test_waiting_for(NULL);                                                                              \
    } while (0)

void test_pause(void);

#endif
