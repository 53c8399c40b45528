/* What the roles measure, and the JSON of it. bench/README.md says what each role measures. */
#ifndef BENCH_COMMON_RESULTS_H
#define BENCH_COMMON_RESULTS_H

#include "counter.h"
#include "options.h"

#include <stdatomic.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* Tells the harness that the worker is connected and subscribed. */
void print_ready(void);
/* Ends a line of the result, which the caller has begun to print. */
void print_end(const char *end);
/* The role `version`: prints it and ends the program, if that is the role. */
void answer_version(int argc, char **argv, const char *version);

/* What `pub` measures, from the first call on. */
struct publication {
    long rss_open_kb;
    double cpu;
    int64_t start;
};

void publication_start(struct publication *publication);
/* ack: what is known of the points when the time ends, "all" (acknowledged), "ping" (the broker has read
 * them) or "none". */
void print_pub(const struct options *options, const struct publication *publication, const char *ack);

/* Every latency measured, so that percentiles are exact. One thread adds, another one may wait. */
struct latencies {
    int64_t *ns;
    size_t capacity;
    size_t count;
    struct counter measured;
};

void latencies_init(struct latencies *latencies, size_t capacity);
void latencies_add(struct latencies *latencies, int64_t ns);
/* The two halves of latencies_add(), for points that arrive together: a thread that waits is told once. */
void latencies_put(struct latencies *latencies, int64_t ns);
void latencies_tell(struct latencies *latencies);
void print_ack(struct latencies *latencies);
/* Waits for what is still under way before it prints. */
void print_e2e(struct latencies *latencies, const struct options *options);

/* The points of the role `sub`, from any number of threads. */
struct arrivals {
    uint64_t wanted;
    bool lossy;
    _Atomic uint64_t claimed;
    struct counter arrived;
    _Atomic int64_t first_ns;
    _Atomic int64_t last_ns;
};

/* Every one of connections= is to get points=. */
void arrivals_init(struct arrivals *arrivals, const struct options *options);
void arrivals_add(struct arrivals *arrivals, uint64_t points);
/* Prints `ready`, waits for the points and prints what it took to receive them. */
void print_sub(struct arrivals *arrivals);

/* The role `idle` without the client: what one more connection costs. What the first one takes, all share:
 * the threads of the client, its code. */
struct idle {
    long rss_kb;
    double cpu;
};

void idle_first_open(struct idle *idle);
/* Prints `ready`, idles and prints the result. */
void idle_all_open(const struct idle *first, const struct options *options);

/* Ends the program, too: what comes after the first acknowledgement is no part of the measurement. */
_Noreturn void print_start(void);

#endif
