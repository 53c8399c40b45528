/* Telemetry of this machine, read from /proc, and the format in which the demo sends it.
 *
 * Every point is one value of one signal: data type "float64", payload the eight bytes of an IEEE 754
 * double, lowest byte first. */
#ifndef TELEMETRY_H
#define TELEMETRY_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define TELEMETRY_NODE "demo-telemetry"
#define TELEMETRY_TYPE "float64"
#define TELEMETRY_PER_SECOND 10

/* The signals, in the order of the values that telemetry_read gives. */
#define TELEMETRY_SIGNALS 6
static const char *const telemetry_names[TELEMETRY_SIGNALS] = {
    "cpu/busy_percent",        "memory/used_percent",     "load/1min",
    "net/rx_bytes_per_second", "net/tx_bytes_per_second", "kernel/switches_per_second"};

/* Counters at one moment. */
struct telemetry_counters {
    double seconds;
    double cpu_busy, cpu_all;
    double net_rx, net_tx;
    double switches;
};

/* The last second, over which rates are formed. */
struct telemetry {
    struct telemetry_counters history[TELEMETRY_PER_SECOND];
    size_t count;
};

/* Reads every signal; rates are those since at most one second ago, and 0 the first time. False when
 * /proc cannot be read. */
bool telemetry_read(struct telemetry *telemetry, double values[TELEMETRY_SIGNALS]);

static inline void telemetry_encode(double value, uint8_t payload[8]) {
    union {
        double value;
        uint64_t bits;
    } u = {.value = value};
    for (int i = 0; i < 8; i++) {
        payload[i] = (uint8_t)(u.bits >> 8 * i);
    }
}

static inline double telemetry_decode(const uint8_t payload[8]) {
    union {
        uint64_t bits;
        double value;
    } u = {.bits = 0};
    for (int i = 0; i < 8; i++) {
        u.bits |= (uint64_t)payload[i] << 8 * i;
    }
    return u.value;
}

#endif
