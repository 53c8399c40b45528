#include "telemetry.h"

#include <stdio.h>
#include <string.h>
#include <time.h>

/* Time of all processors, in ticks, and context switches, both since the machine was started. */
static bool read_stat(struct telemetry_counters *now) {
    FILE *file = fopen("/proc/stat", "r");
    if (file == NULL) {
        return false;
    }
    char line[8192];
    bool found = false;
    while (fgets(line, sizeof line, file) != NULL) {
        double user, nice, system, idle, iowait, irq, softirq, steal;
        /* The line of all processors; those of single ones begin with "cpu0" and so on. */
        if (strncmp(line, "cpu ", 4) == 0 && sscanf(line + 4, "%lf %lf %lf %lf %lf %lf %lf %lf", &user, &nice,
                                                    &system, &idle, &iowait, &irq, &softirq, &steal) == 8) {
            now->cpu_busy = user + nice + system + irq + softirq + steal;
            now->cpu_all = now->cpu_busy + idle + iowait;
            found = true;
        } else if (sscanf(line, "ctxt %lf", &now->switches) == 1) {
            break;
        }
    }
    fclose(file);
    return found;
}

/* Bytes over all interfaces since they were set up. */
static bool read_net(struct telemetry_counters *now) {
    FILE *file = fopen("/proc/net/dev", "r");
    if (file == NULL) {
        return false;
    }
    char line[512];
    now->net_rx = now->net_tx = 0;
    while (fgets(line, sizeof line, file) != NULL) {
        /* name: bytes packets errs drop fifo frame compressed multicast bytes … */
        const char *numbers = strchr(line, ':');
        double rx, tx;
        if (numbers != NULL && sscanf(numbers + 1, "%lf %*s %*s %*s %*s %*s %*s %*s %lf", &rx, &tx) == 2) {
            now->net_rx += rx;
            now->net_tx += tx;
        }
    }
    fclose(file);
    return true;
}

static bool read_memory(double *used_percent) {
    FILE *file = fopen("/proc/meminfo", "r");
    if (file == NULL) {
        return false;
    }
    char line[256];
    double total = 0, available = 0;
    while (fgets(line, sizeof line, file) != NULL) {
        (void)(sscanf(line, "MemTotal: %lf", &total) == 1 ||
               sscanf(line, "MemAvailable: %lf", &available) == 1);
    }
    fclose(file);
    *used_percent = total > 0 ? 100 * (total - available) / total : 0;
    return total > 0;
}

static bool read_load(double *load) {
    FILE *file = fopen("/proc/loadavg", "r");
    if (file == NULL) {
        return false;
    }
    bool found = fscanf(file, "%lf", load) == 1;
    fclose(file);
    return found;
}

/* Growth of a counter per unit of another; 0 while there is nothing to compare. */
static double rate(double before, double after, double units) {
    return units > 0 && after > before ? (after - before) / units : 0;
}

bool telemetry_read(struct telemetry *telemetry, double values[TELEMETRY_SIGNALS]) {
    struct telemetry_counters now = {0};
    struct timespec clock;
    clock_gettime(CLOCK_MONOTONIC, &clock);
    now.seconds = (double)clock.tv_sec + (double)clock.tv_nsec / 1e9;
    double memory, load;
    if (!read_stat(&now) || !read_net(&now) || !read_memory(&memory) || !read_load(&load)) {
        return false;
    }
    size_t slot = telemetry->count % TELEMETRY_PER_SECOND;
    const struct telemetry_counters *then =
        telemetry->count < TELEMETRY_PER_SECOND ? &telemetry->history[0] : &telemetry->history[slot];
    if (telemetry->count == 0) {
        then = &now;
    }
    double seconds = now.seconds - then->seconds;
    values[0] = 100 * rate(then->cpu_busy, now.cpu_busy, now.cpu_all - then->cpu_all);
    values[1] = memory;
    values[2] = load;
    values[3] = rate(then->net_rx, now.net_rx, seconds);
    values[4] = rate(then->net_tx, now.net_tx, seconds);
    values[5] = rate(then->switches, now.switches, seconds);
    telemetry->history[slot] = now;
    telemetry->count++;
    return true;
}
