/* What all examples need: options of the command line, error messages, the clock. */
#ifndef EXAMPLE_H
#define EXAMPLE_H

/* clock_gettime, also when the compiler is told to be strict (-std=c11). */
#ifndef _POSIX_C_SOURCE
#define _POSIX_C_SOURCE 200809L
#endif

#include <iscp/iscp.h>

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#define EXAMPLE_URL "ws://127.0.0.1:8080"

/* Value of an option such as "--url", or `fallback` when it is not on the command line. */
static inline const char *example_option(int argc, char **argv, const char *name, const char *fallback) {
    for (int i = 1; i + 1 < argc; i += 2) {
        if (strcmp(argv[i], name) == 0) {
            return argv[i + 1];
        }
    }
    return fallback;
}

/* Whether the command line consists of pairs of a known option and its value; says so if not. */
static inline bool example_options_valid(int argc, char **argv, const char *const *names) {
    for (int i = 1; i < argc; i += 2) {
        const char *const *name = names;
        while (*name != NULL && strcmp(*name, argv[i]) != 0) {
            name++;
        }
        if (*name == NULL || i + 1 == argc) {
            fprintf(stderr, "%s: %s: %s\nusage: %s", argv[0], argv[i],
                    *name == NULL ? "unknown option" : "needs a value", argv[0]);
            for (name = names; *name != NULL; name++) {
                fprintf(stderr, " [%s VALUE]", *name);
            }
            fputc('\n', stderr);
            return false;
        }
    }
    return true;
}

/* A number of seconds above 0, or -1 when `text` is none. */
static inline double example_seconds(const char *text) {
    char *end = NULL;
    double seconds = strtod(text, &end);
    return end != text && *end == '\0' && seconds > 0 && seconds <= 1e6 ? seconds : -1;
}

/* Prints what failed and why, and frees the error; `error` may be NULL. */
static inline void example_print_error(const char *what, iscp_status_t status, iscp_error_t *error) {
    const char *detail = error != NULL ? iscp_error_message(error) : iscp_status_text(status);
    fprintf(stderr, "%s: %s (%s)\n", what, detail, iscp_status_name(status));
    iscp_error_free(error);
}

/* Ends the program when a step failed, with what and why; the library needs no farewell. */
static inline void example_check(const char *what, iscp_status_t status, iscp_error_t **error) {
    if (status != ISCP_OK) {
        example_print_error(what, status, error != NULL ? *error : NULL);
        exit(EXIT_FAILURE);
    }
}

/* A connection as a node. */
static inline iscp_conn_t *example_connect(const char *url, const char *node) {
    iscp_conn_t *conn = NULL;
    iscp_error_t *error = NULL;
    iscp_conn_options_t *options = iscp_conn_options_new();
    example_check("url", iscp_conn_options_set_url(options, url, &error), &error);
    example_check("node", iscp_conn_options_set_node_id(options, node, &error), &error);
    example_check("connect", iscp_connect_wait(options, -1, &conn, &error), &error);
    iscp_conn_options_free(options);
    return conn;
}

/* A RELIABLE downstream of everything that a node sends, without the chunks of which nothing matches. */
static inline iscp_downstream_t *example_subscribe(iscp_conn_t *conn, const char *source) {
    iscp_downstream_t *downstream = NULL;
    iscp_error_t *error = NULL;
    iscp_downstream_options_t *options = iscp_downstream_options_new();
    example_check("filter", iscp_downstream_options_add_filter(options, source, "#:#", &error), &error);
    example_check("qos", iscp_downstream_options_set_qos(options, ISCP_QOS_RELIABLE, &error), &error);
    example_check("empty", iscp_downstream_options_set_omit_empty_chunk(options, true, &error), &error);
    example_check("subscribe", iscp_downstream_open_wait(conn, options, -1, &downstream, &error), &error);
    iscp_downstream_options_free(options);
    return downstream;
}

/* Closes a connection with its streams, and frees it. */
static inline void example_disconnect(iscp_conn_t *conn) {
    iscp_error_t *error = NULL;
    example_check("close connection", iscp_conn_close_wait(conn, -1, &error), &error);
    iscp_conn_free(conn);
}

/* A clock in nanoseconds: CLOCK_REALTIME counts from the Unix epoch, CLOCK_MONOTONIC never jumps. */
static inline int64_t example_clock_ns(clockid_t clock) {
    struct timespec now;
    clock_gettime(clock, &now);
    return (int64_t)now.tv_sec * 1000000000 + now.tv_nsec;
}

#endif
