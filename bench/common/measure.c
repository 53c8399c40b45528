#include "measure.h"

#include "fail.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>

#define NS_PER_S 1000000000LL

struct timespec timespec_of(int64_t ns) {
    return (struct timespec){.tv_sec = ns / NS_PER_S, .tv_nsec = ns % NS_PER_S};
}

int64_t clock_ns(void) {
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    return now.tv_sec * NS_PER_S + now.tv_nsec;
}

void sleep_until(int64_t at) {
    struct timespec time = timespec_of(at);
    while (clock_nanosleep(CLOCK_MONOTONIC, TIMER_ABSTIME, &time, NULL) == EINTR) {
    }
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
