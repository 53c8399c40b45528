/* Clocks, CPU time and memory as the system tells them. */
#ifndef BENCH_COMMON_MEASURE_H
#define BENCH_COMMON_MEASURE_H

#include <stdint.h>
#include <time.h>

/* A time of clock_ns(), as the calls of the system take it. */
struct timespec timespec_of(int64_t ns);
/* CLOCK_MONOTONIC, nanoseconds. */
int64_t clock_ns(void);
/* Sleeps until a time of clock_ns(). */
void sleep_until(int64_t at);
/* User and system time of the process so far, seconds. */
double cpu_s(void);
/* Resident memory of the process, KiB: now, and the most there was. */
long rss_now_kb(void);
long rss_peak_kb(void);

#endif
