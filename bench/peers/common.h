/* What the workers in C share: options of the form key=value, clocks, waiting, and the JSON of the results.
 * README.md says what the roles measure. */
#ifndef BENCH_PEERS_COMMON_H
#define BENCH_PEERS_COMMON_H

#include <pthread.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* How long a worker waits for an answer that does not come, seconds. */
#define ANSWER_LIMIT_S 60
/* How long a subscriber waits for the next point of a stream that may lose points, seconds. */
#define LOSS_LIMIT_S 1

/* The exit status for a role or an option that the client does not have. */
#define EXIT_UNSUPPORTED 64

/* The command line: WORKER ROLE key=value … */
struct options {
    const char *role;
    const char *url;
    const char *session;
    size_t payload;       /* bytes of a point */
    uint64_t points;      /* how many */
    unsigned ids;         /* data ids, used in turn */
    double rate;          /* points per second, 0: as fast as they are accepted */
    bool reliable;        /* qos= */
    bool json;            /* encoding= */
    unsigned compression; /* level, 0: none */
    bool immediate;       /* flush= */
    unsigned connections;
    double idle_s;
};

/* Reads the command line; what is wrong with it ends the program with a message that names the culprit. */
void options_parse(struct options *options, int argc, char **argv);

/* Ends the program with status 1 and a message on standard error. */
_Noreturn void fail(const char *format, ...) __attribute__((format(printf, 1, 2)));
/* Ends the program with EXIT_UNSUPPORTED and a message on standard error. */
_Noreturn void unsupported(const char *format, ...) __attribute__((format(printf, 1, 2)));

/* malloc and calloc that end the program when there is no memory. */
void *allocate(size_t count, size_t size);

/* CLOCK_MONOTONIC, nanoseconds. */
int64_t clock_ns(void);
/* User and system time of the process so far, seconds. */
double cpu_s(void);
/* Resident memory of the process, KiB: now, and the most there was. */
long rss_now_kb(void);
long rss_peak_kb(void);
/* Sleeps until a time of clock_ns(). */
void sleep_until(int64_t at);

/* Bytes of a point: the same in every worker, so that compression has the same work. To be freed. */
uint8_t *payload_new(size_t size);
/* The time stamp in the first eight bytes of a payload. */
void stamp_put(uint8_t *payload, int64_t ns);
int64_t stamp_get(const uint8_t *payload);

/* When the points of a given rate are due. */
struct pacer {
    int64_t start;
    double interval_ns;
    uint64_t next;
};
/* rate: points per second; 0 makes every point due at once. */
void pacer_start(struct pacer *pacer, double rate);
/* Waits until the next point is due, and returns its time stamp: the time of the return, or, when a call of
 * the client held the publisher up beyond it, the time when the point was due. Otherwise a client that blocks
 * would hide the points that wait ("coordinated omission"); the lateness of a timer is not the client's. */
int64_t pacer_wait(struct pacer *pacer);

/* A number that one thread raises and another one waits for. */
struct counter {
    _Atomic uint64_t value;
    _Atomic uint64_t wanted;
    pthread_mutex_t mutex;
    pthread_cond_t reached;
};
void counter_init(struct counter *counter);
/* Returns the value after the addition. */
uint64_t counter_add(struct counter *counter, uint64_t count);
uint64_t counter_get(struct counter *counter);
/* Waits until the value is at least wanted; false when it has not grown for limit_s seconds. */
bool counter_wait(struct counter *counter, uint64_t wanted, double limit_s);

/* Every latency measured, so that percentiles are exact. One thread adds, another one may wait. */
struct latencies {
    int64_t *ns;
    size_t capacity;
    struct counter measured;
};
void latencies_init(struct latencies *latencies, size_t capacity);
void latencies_add(struct latencies *latencies, int64_t ns);

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

/* Tells the harness that the worker is connected and subscribed. */
void print_ready(void);
/* The role `version`: prints it and ends the program, if that is the role. */
void answer_version(int argc, char **argv, const char *version);

/* What `pub` measures, from the first call on. */
struct publication {
    long rss_open_kb;
    double cpu;
    int64_t start;
};
void publication_start(struct publication *publication);

/* The results of the roles, one JSON object each. */
/* ack: what is known of the points when the time ends, "all" (acknowledged), "ping" (the broker has read
 * them) or "none". */
void print_pub(const struct options *options, const struct publication *publication, const char *ack);
void print_ack(struct latencies *latencies);
/* Waits for what is still under way before it prints. */
void print_e2e(struct latencies *latencies, const struct options *options);
/* Prints `ready`, waits for the points and prints what it took to receive them. */
void print_sub(struct arrivals *arrivals);
/* Ends the program, too: what comes after the first acknowledgement is no part of the measurement. */
_Noreturn void print_start(void);

/* The role `idle` without the client: what one more connection costs.
 */
struct idle {
    long rss_before_kb;
    long rss_after_kb;
    double cpu_before;
    double cpu_after;
};
void idle_first_open(struct idle *idle);
/* Prints `ready`, idles and prints the result. */
void idle_all_open(struct idle *idle, const struct options *options);

#endif
