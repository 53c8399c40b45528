/* Clocks, CPU time and memory as the system tells them, and times collected for percentiles. */
#ifndef BENCH_MEASURE_H
#define BENCH_MEASURE_H

#include <stddef.h>
#include <stdint.h>

/* CLOCK_MONOTONIC. */
int64_t now_ns(void);
/* User and system time of the whole process. */
double cpu_s(void);
/* A field of /proc/self/status, such as "VmHWM" or "VmRSS", in KiB. */
long memory_kb(const char *field);

struct samples {
    int64_t *ns;
    size_t count;
    size_t capacity;
};

struct samples samples_new(long capacity);
void samples_add(struct samples *samples, int64_t ns);
/* Prints the object of the roles `ack` and `e2e`, with percentiles of all samples and their histogram, and
 * frees the samples. */
void samples_print(struct samples *samples, long lost);

#endif
