#include "results.h"

#include "fail.h"
#include "measure.h"

#include <errno.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* How long a subscriber waits for the next point of a stream that may lose points, seconds. */
#define LOSS_LIMIT_S 1

void print_end(const char *end) {
    puts(end);
    if (fflush(stdout) != 0) {
        fail("standard output: %s", strerror(errno));
    }
}

void print_ready(void) {
    print_end("ready");
}

void answer_version(int argc, char **argv, const char *version) {
    if (argc == 2 && strcmp(argv[1], "version") == 0) {
        printf("{\"version\":\"%s\"", version);
        print_end("}");
        exit(EXIT_SUCCESS);
    }
}

void publication_start(struct publication *publication) {
    publication->rss_open_kb = rss_now_kb();
    publication->cpu = cpu_s();
    publication->start = clock_ns();
}

void print_pub(const struct options *options, const struct publication *publication, const char *ack) {
    double wall_s = (double)(clock_ns() - publication->start) / 1e9;
    double cpu = cpu_s() - publication->cpu;
    printf(
        "{\"points\":%llu,\"wall_s\":%.9f,\"cpu_s\":%.6f,\"rss_kb_open\":%ld,\"rss_kb\":%ld,\"bytes\":%llu,"
        "\"ack\":\"%s\"",
        (unsigned long long)options->points, wall_s, cpu, publication->rss_open_kb, rss_peak_kb(),
        (unsigned long long)(options->points * options->payload), ack);
    print_end("}");
}

void latencies_init(struct latencies *latencies, size_t capacity) {
    latencies->ns = allocate(capacity, sizeof(int64_t));
    latencies->capacity = capacity;
    latencies->count = 0;
    counter_init(&latencies->measured);
}

void latencies_put(struct latencies *latencies, int64_t ns) {
    if (latencies->count == latencies->capacity) {
        fail("more than the %zu points of the measurement arrived", latencies->capacity);
    }
    latencies->ns[latencies->count++] = ns;
}

void latencies_tell(struct latencies *latencies) {
    counter_add(&latencies->measured, latencies->count - counter_get(&latencies->measured));
}

void latencies_add(struct latencies *latencies, int64_t ns) {
    latencies_put(latencies, ns);
    latencies_tell(latencies);
}

static int by_size(const void *left, const void *right) {
    int64_t a = *(const int64_t *)left;
    int64_t b = *(const int64_t *)right;
    return (a > b) - (a < b);
}

/* The latency that the given part of all do not exceed. */
static double percentile_us(const int64_t *sorted, size_t count, double part) {
    size_t rank = (size_t)ceil(part * (double)count);
    return (double)sorted[rank ? rank - 1 : 0] / 1e3;
}

/* Bounds that divide every power of ten into 40 parts, from 0.1 µs on. */
static double bound_us(int bucket) {
    return 0.1 * pow(10, bucket / 40.0);
}

static void print_latencies(int64_t *ns, size_t count) {
    if (count == 0) {
        fail("no point came through");
    }
    qsort(ns, count, sizeof *ns, by_size);
    printf("{\"points\":%zu,\"p50_us\":%.3f,\"p99_us\":%.3f,\"p99_9_us\":%.3f,\"histogram_us\":[", count,
           percentile_us(ns, count, 0.5), percentile_us(ns, count, 0.99), percentile_us(ns, count, 0.999));
    const char *separator = "";
    size_t i = 0;
    for (int bucket = 0; i < count; bucket++) {
        double bound = bound_us(bucket);
        size_t first = i;
        while (i < count && (double)ns[i] / 1e3 <= bound) {
            i++;
        }
        if (i > first) {
            printf("%s[%.4g,%zu]", separator, bound, i - first);
            separator = ",";
        }
    }
    putchar(']');
}

void print_ack(struct latencies *latencies) {
    print_latencies(latencies->ns, counter_get(&latencies->measured));
    print_end("}");
}

void print_e2e(struct latencies *latencies, const struct options *options) {
    counter_wait(&latencies->measured, options->points, options->reliable ? ANSWER_LIMIT_S : LOSS_LIMIT_S);
    /* What arrives from now on goes behind these. */
    size_t count = counter_get(&latencies->measured);
    if (options->reliable && count < options->points) {
        fail("%zu of %llu points arrived", count, (unsigned long long)options->points);
    }
    print_latencies(latencies->ns, count);
    printf(",\"lost\":%llu", (unsigned long long)(options->points - count));
    print_end("}");
}

void arrivals_init(struct arrivals *arrivals, const struct options *options) {
    arrivals->wanted = options->points * options->connections;
    arrivals->lossy = !options->reliable;
    atomic_init(&arrivals->claimed, 0);
    counter_init(&arrivals->arrived);
    atomic_init(&arrivals->first_ns, 0);
    atomic_init(&arrivals->last_ns, 0);
}

void arrivals_add(struct arrivals *arrivals, uint64_t points) {
    if (atomic_load_explicit(&arrivals->first_ns, memory_order_relaxed) == 0) {
        int64_t none = 0;
        atomic_compare_exchange_strong(&arrivals->first_ns, &none, clock_ns());
    }
    /* Which point is the last one is known in advance only where none is lost. The time is there before the
     * waiting thread can be told of the point. */
    uint64_t claimed = atomic_fetch_add(&arrivals->claimed, points) + points;
    if (arrivals->lossy || claimed >= arrivals->wanted) {
        atomic_store(&arrivals->last_ns, clock_ns());
    }
    if (claimed > arrivals->wanted) {
        fail("more than the %llu points of the measurement arrived", (unsigned long long)arrivals->wanted);
    }
    counter_add(&arrivals->arrived, points);
}

void print_sub(struct arrivals *arrivals) {
    print_ready();
    double cpu = cpu_s();
    if (counter_wait(&arrivals->arrived, 1, ANSWER_LIMIT_S)) {
        counter_wait(&arrivals->arrived, arrivals->wanted, arrivals->lossy ? LOSS_LIMIT_S : ANSWER_LIMIT_S);
    }
    cpu = cpu_s() - cpu;
    uint64_t points = counter_get(&arrivals->arrived);
    if (points == 0 || (points < arrivals->wanted && !arrivals->lossy)) {
        fail("%llu of %llu points arrived", (unsigned long long)points, (unsigned long long)arrivals->wanted);
    }
    double wall_s = (double)(atomic_load(&arrivals->last_ns) - atomic_load(&arrivals->first_ns)) / 1e9;
    printf("{\"points\":%llu,\"wall_s\":%.9f,\"cpu_s\":%.6f,\"lost\":%llu,\"rss_kb\":%ld",
           (unsigned long long)points, wall_s, cpu, (unsigned long long)(arrivals->wanted - points),
           rss_peak_kb());
    print_end("}");
}

void idle_first_open(struct idle *idle) {
    idle->rss_kb = rss_now_kb();
    idle->cpu = cpu_s();
}

void idle_all_open(const struct idle *first, const struct options *options) {
    unsigned connections = options->connections;
    if (connections < 2) {
        fail("connections=%u: what one more connection costs needs at least 2", connections);
    }
    double open_s = cpu_s() - first->cpu;
    long rss_kb = rss_now_kb();
    printf("ready {\"connections\":%u,\"rss_kb_before\":%ld,\"rss_kb_after\":%ld,\"cpu_s_open\":%.6f",
           connections, first->rss_kb, rss_kb, open_s);
    print_end("}");
    double idle_cpu = cpu_s();
    int64_t start = clock_ns();
    sleep_until(start + (int64_t)(options->idle_s * 1e9));
    idle_cpu = cpu_s() - idle_cpu;
    double idle_s = (double)(clock_ns() - start) / 1e9;
    double opened = connections - 1;
    printf("{\"connections\":%u,\"kb_each\":%.3f,\"cpu_ms_open_each\":%.6f,\"cpu_us_per_s_each\":%.3f",
           connections, (double)(rss_kb - first->rss_kb) / opened, open_s * 1e3 / opened,
           idle_cpu * 1e6 / idle_s / connections);
    print_end("}");
}

void print_start(void) {
    print_end("{\"acked\":1}");
    _Exit(EXIT_SUCCESS);
}
