#include "common.h"

#include <errno.h>
#include <math.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <time.h>

#define NS_PER_S 1000000000LL

static const char *program = "worker";

static void complain(const char *format, va_list arguments) {
    fflush(stdout);
    fprintf(stderr, "%s: ", program);
    vfprintf(stderr, format, arguments);
    fputc('\n', stderr);
}

/* The threads of a client may be at work: nothing that they use is torn down. */
void fail(const char *format, ...) {
    va_list arguments;
    va_start(arguments, format);
    complain(format, arguments);
    va_end(arguments);
    _Exit(EXIT_FAILURE);
}

void unsupported(const char *format, ...) {
    va_list arguments;
    va_start(arguments, format);
    complain(format, arguments);
    va_end(arguments);
    _Exit(EXIT_UNSUPPORTED);
}

void *allocate(size_t count, size_t size) {
    void *memory = calloc(count ? count : 1, size);
    if (!memory) {
        fail("no memory for %zu times %zu bytes", count, size);
    }
    return memory;
}

/* --- Options ----------------------------------------------------------------------------------------------
 */

static double number(const char *key, const char *value, double least, double most) {
    char *end;
    errno = 0;
    double result = strtod(value, &end);
    if (end == value || *end || errno || !(result >= least && result <= most)) {
        fail("%s=%s is not a number from %g to %g", key, value, least, most);
    }
    return result;
}

static unsigned long whole(const char *key, const char *value, unsigned long least, unsigned long most) {
    double result = number(key, value, (double)least, (double)most);
    if (result != floor(result)) {
        fail("%s=%s is not a whole number", key, value);
    }
    return (unsigned long)result;
}

/* Whether the value is the second of two words. */
static bool second(const char *key, const char *value, const char *first, const char *other) {
    bool is_second = strcmp(value, other) == 0;
    if (!is_second && strcmp(value, first) != 0) {
        fail("%s=%s is neither %s nor %s", key, value, first, other);
    }
    return is_second;
}

static void set(struct options *options, const char *key, const char *value) {
    if (strcmp(key, "url") == 0) {
        options->url = value;
    } else if (strcmp(key, "session") == 0) {
        options->session = value;
    } else if (strcmp(key, "payload") == 0) {
        options->payload = whole(key, value, 0, 16 * 1024 * 1024);
    } else if (strcmp(key, "points") == 0) {
        options->points = whole(key, value, 1, 100 * 1000 * 1000);
    } else if (strcmp(key, "ids") == 0) {
        options->ids = (unsigned)whole(key, value, 1, 10000);
    } else if (strcmp(key, "rate") == 0) {
        options->rate = number(key, value, 0, 1e9);
    } else if (strcmp(key, "qos") == 0) {
        options->reliable = second(key, value, "unreliable", "reliable");
    } else if (strcmp(key, "encoding") == 0) {
        options->json = second(key, value, "protobuf", "json");
    } else if (strcmp(key, "compression") == 0) {
        options->compression = (unsigned)whole(key, value, 0, 9);
    } else if (strcmp(key, "flush") == 0) {
        options->immediate = second(key, value, "default", "immediate");
    } else if (strcmp(key, "connections") == 0) {
        options->connections = (unsigned)whole(key, value, 1, 100000);
    } else if (strcmp(key, "idle_s") == 0) {
        options->idle_s = number(key, value, 0, 3600);
    } else {
        unsupported("there is no option %s", key);
    }
}

void options_parse(struct options *options, int argc, char **argv) {
    const char *slash = argc > 0 ? strrchr(argv[0], '/') : NULL;
    program = slash ? slash + 1 : argc > 0 ? argv[0] : program;
    if (argc < 2) {
        fail("usage: %s ROLE key=value ...", program);
    }
    *options = (struct options){
        .role = argv[1],
        .session = "bench",
        .payload = 32,
        .points = 1000,
        .ids = 1,
        .reliable = true,
        .connections = 1,
        .idle_s = 5,
    };
    for (int i = 2; i < argc; i++) {
        char *equals = strchr(argv[i], '=');
        if (!equals) {
            fail("%s is not of the form key=value", argv[i]);
        }
        *equals = '\0';
        set(options, argv[i], equals + 1);
    }
    if (!options->url) {
        fail("url= is missing");
    }
    if (strcmp(options->role, "e2e") == 0 && options->payload < sizeof(int64_t)) {
        fail("payload=%zu has no room for the time stamp of e2e", options->payload);
    }
}

/* --- Clocks and memory -------------------------------------------------------------------------------------
 */

static struct timespec timespec_of(int64_t ns) {
    return (struct timespec){.tv_sec = ns / NS_PER_S, .tv_nsec = ns % NS_PER_S};
}

int64_t clock_ns(void) {
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    return now.tv_sec * NS_PER_S + now.tv_nsec;
}

static double seconds(struct timeval time) {
    return (double)time.tv_sec + (double)time.tv_usec / 1e6;
}

double cpu_s(void) {
    struct rusage usage;
    getrusage(RUSAGE_SELF, &usage);
    return seconds(usage.ru_utime) + seconds(usage.ru_stime);
}

static long status_kb(const char *field) {
    FILE *status = fopen("/proc/self/status", "r");
    if (!status) {
        fail("/proc/self/status: %s", strerror(errno));
    }
    char line[256];
    long value = -1;
    while (value < 0 && fgets(line, sizeof line, status)) {
        if (strncmp(line, field, strlen(field)) == 0) {
            value = atol(line + strlen(field));
        }
    }
    fclose(status);
    if (value < 0) {
        fail("/proc/self/status has no %s", field);
    }
    return value;
}

long rss_now_kb(void) {
    return status_kb("VmRSS:");
}

long rss_peak_kb(void) {
    return status_kb("VmHWM:");
}

void sleep_until(int64_t at) {
    struct timespec time = timespec_of(at);
    while (clock_nanosleep(CLOCK_MONOTONIC, TIMER_ABSTIME, &time, NULL) == EINTR) {
    }
}

/* --- Payloads and pace -------------------------------------------------------------------------------------
 */

uint8_t *payload_new(size_t size) {
    uint8_t *payload = allocate(size, 1);
    uint32_t state = 1;
    for (size_t i = 0; i < size; i++) {
        /* The generator of the C standard's example: nothing in the payload repeats. */
        state = state * 1103515245 + 12345;
        payload[i] = (uint8_t)(state >> 16);
    }
    return payload;
}

void stamp_put(uint8_t *payload, int64_t ns) {
    memcpy(payload, &ns, sizeof ns);
}

int64_t stamp_get(const uint8_t *payload) {
    int64_t ns;
    memcpy(&ns, payload, sizeof ns);
    return ns;
}

void pacer_start(struct pacer *pacer, double rate) {
    *pacer = (struct pacer){.start = clock_ns(), .interval_ns = rate > 0 ? 1e9 / rate : 0};
}

int64_t pacer_wait(struct pacer *pacer) {
    int64_t now = clock_ns();
    if (pacer->interval_ns == 0) {
        return now;
    }
    int64_t due = pacer->start + (int64_t)((double)pacer->next++ * pacer->interval_ns);
    if (due <= now) {
        return due;
    }
    sleep_until(due);
    return clock_ns();
}

/* --- Waiting -----------------------------------------------------------------------------------------------
 */

void counter_init(struct counter *counter) {
    pthread_condattr_t attributes;
    pthread_condattr_init(&attributes);
    pthread_condattr_setclock(&attributes, CLOCK_MONOTONIC);
    atomic_init(&counter->value, 0);
    atomic_init(&counter->wanted, UINT64_MAX);
    pthread_mutex_init(&counter->mutex, NULL);
    pthread_cond_init(&counter->reached, &attributes);
    pthread_condattr_destroy(&attributes);
}

uint64_t counter_add(struct counter *counter, uint64_t count) {
    /* Sequentially consistent, as what the waiting thread does: one of the two sees what the other one wrote.
     */
    uint64_t value = atomic_fetch_add(&counter->value, count) + count;
    if (value >= atomic_load(&counter->wanted)) {
        pthread_mutex_lock(&counter->mutex);
        pthread_cond_broadcast(&counter->reached);
        pthread_mutex_unlock(&counter->mutex);
    }
    return value;
}

uint64_t counter_get(struct counter *counter) {
    return atomic_load(&counter->value);
}

bool counter_wait(struct counter *counter, uint64_t wanted, double limit_s) {
    pthread_mutex_lock(&counter->mutex);
    atomic_store(&counter->wanted, wanted);
    uint64_t value = atomic_load(&counter->value);
    bool grows = true;
    while (value < wanted && grows) {
        struct timespec deadline = timespec_of(clock_ns() + (int64_t)(limit_s * 1e9));
        int status = 0;
        while (status == 0 && atomic_load(&counter->value) < wanted) {
            status = pthread_cond_timedwait(&counter->reached, &counter->mutex, &deadline);
        }
        uint64_t now = atomic_load(&counter->value);
        grows = now > value;
        value = now;
    }
    atomic_store(&counter->wanted, UINT64_MAX);
    pthread_mutex_unlock(&counter->mutex);
    return value >= wanted;
}

/* --- Results -----------------------------------------------------------------------------------------------
 */

void latencies_init(struct latencies *latencies, size_t capacity) {
    latencies->ns = allocate(capacity, sizeof(int64_t));
    latencies->capacity = capacity;
    counter_init(&latencies->measured);
}

void latencies_add(struct latencies *latencies, int64_t ns) {
    size_t at = counter_get(&latencies->measured);
    if (at == latencies->capacity) {
        fail("more than the %zu points of the measurement arrived", latencies->capacity);
    }
    latencies->ns[at] = ns;
    counter_add(&latencies->measured, 1);
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
        size_t first = i;
        while (i < count && (double)ns[i] / 1e3 <= bound_us(bucket)) {
            i++;
        }
        if (i > first) {
            printf("%s[%.4g,%zu]", separator, bound_us(bucket), i - first);
            separator = ",";
        }
    }
    putchar(']');
}

static void end_of_result(const char *end) {
    puts(end);
    if (fflush(stdout) != 0) {
        fail("standard output: %s", strerror(errno));
    }
}

void print_ready(void) {
    end_of_result("ready");
}

void answer_version(int argc, char **argv, const char *version) {
    if (argc == 2 && strcmp(argv[1], "version") == 0) {
        printf("{\"version\":\"%s\"", version);
        end_of_result("}");
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
    end_of_result("}");
}

void print_ack(struct latencies *latencies) {
    print_latencies(latencies->ns, counter_get(&latencies->measured));
    end_of_result("}");
}

void print_e2e(struct latencies *latencies, const struct options *options) {
    counter_wait(&latencies->measured, options->points, options->reliable ? ANSWER_LIMIT_S : LOSS_LIMIT_S);
    /* What arrives from now on goes behind these. */
    size_t count = counter_get(&latencies->measured);
    print_latencies(latencies->ns, count);
    printf(",\"lost\":%llu", (unsigned long long)(options->points - count));
    end_of_result("}");
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
    end_of_result("}");
}

void print_start(void) {
    end_of_result("{\"acked\":1}");
    _Exit(EXIT_SUCCESS);
}

void idle_first_open(struct idle *idle) {
    idle->rss_before_kb = rss_now_kb();
    idle->cpu_before = cpu_s();
}

void idle_all_open(struct idle *idle, const struct options *options) {
    unsigned connections = options->connections;
    if (connections < 2) {
        fail("connections=%u: what one more connection costs needs at least 2", connections);
    }
    idle->rss_after_kb = rss_now_kb();
    idle->cpu_after = cpu_s();
    printf("ready {\"connections\":%u,\"rss_kb_before\":%ld,\"rss_kb_after\":%ld,\"cpu_s_open\":%.6f",
           connections, idle->rss_before_kb, idle->rss_after_kb, idle->cpu_after - idle->cpu_before);
    end_of_result("}");
    sleep_until(clock_ns() + (int64_t)(options->idle_s * 1e9));
    double idled = cpu_s() - idle->cpu_after;
    double opened = connections - 1;
    printf("{\"connections\":%u,\"kb_each\":%.2f,\"cpu_ms_open_each\":%.4f,\"cpu_us_per_s_each\":%.3f",
           connections, (double)(idle->rss_after_kb - idle->rss_before_kb) / opened,
           (idle->cpu_after - idle->cpu_before) * 1e3 / opened,
           options->idle_s > 0 ? idled * 1e6 / options->idle_s / connections : 0.0);
    end_of_result("}");
}
