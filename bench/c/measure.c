#include "measure.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <time.h>

#define PER_DECADE 40

int64_t now_ns(void) {
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    return (int64_t)now.tv_sec * 1000000000 + now.tv_nsec;
}

static double seconds(struct timeval time) {
    return (double)time.tv_sec + (double)time.tv_usec / 1e6;
}

double cpu_s(void) {
    struct rusage usage;
    getrusage(RUSAGE_SELF, &usage);
    return seconds(usage.ru_utime) + seconds(usage.ru_stime);
}

long memory_kb(const char *field) {
    FILE *file = fopen("/proc/self/status", "r");
    if (file == NULL) {
        perror("/proc/self/status");
        exit(EXIT_FAILURE);
    }
    char line[256];
    long kb = 0;
    size_t length = strlen(field);
    while (fgets(line, sizeof line, file) != NULL) {
        if (strncmp(line, field, length) == 0 && line[length] == ':') {
            kb = strtol(line + length + 1, NULL, 10);
            break;
        }
    }
    fclose(file);
    return kb;
}

struct samples samples_new(long capacity) {
    struct samples samples = {.capacity = (size_t)capacity};
    samples.ns = malloc(samples.capacity * sizeof *samples.ns);
    if (samples.ns == NULL) {
        fprintf(stderr, "no memory for %ld samples\n", capacity);
        exit(EXIT_FAILURE);
    }
    return samples;
}

void samples_add(struct samples *samples, int64_t ns) {
    if (samples->count == samples->capacity) {
        fprintf(stderr, "more points arrived than were written\n");
        exit(EXIT_FAILURE);
    }
    samples->ns[samples->count++] = ns;
}

static int compare(const void *a, const void *b) {
    int64_t x = *(const int64_t *)a, y = *(const int64_t *)b;
    return (x > y) - (x < y);
}

/* The smallest sample that is not exceeded by the given share of all. */
static double percentile_us(const struct samples *samples, double share) {
    size_t rank = (size_t)ceil(share * (double)samples->count);
    return (double)samples->ns[rank > 0 ? rank - 1 : 0] / 1e3;
}

static void print_histogram(const struct samples *samples) {
    const char *comma = "";
    size_t at = 0;
    while (at < samples->count) {
        double us = fmax((double)samples->ns[at] / 1e3, 1e-3);
        /* The bound above the smallest that is left; a little more than it, whatever log10 rounds to. */
        double bound = pow(10, (floor(log10(us) * PER_DECADE + 1e-9) + 1) / PER_DECADE);
        size_t first = at;
        while (at < samples->count && (double)samples->ns[at] / 1e3 <= bound) {
            at++;
        }
        printf("%s[%.4g,%zu]", comma, bound, at - first);
        comma = ",";
    }
}

void samples_print(struct samples *samples, long lost) {
    if (samples->count == 0) {
        fprintf(stderr, "no point arrived\n");
        exit(EXIT_FAILURE);
    }
    qsort(samples->ns, samples->count, sizeof *samples->ns, compare);
    printf(
        "{\"points\":%zu,\"lost\":%ld,\"p50_us\":%.3f,\"p99_us\":%.3f,\"p99_9_us\":%.3f,\"histogram_us\":[",
        samples->count, lost, percentile_us(samples, 0.5), percentile_us(samples, 0.99),
        percentile_us(samples, 0.999));
    print_histogram(samples);
    printf("]}\n");
    free(samples->ns);
}
