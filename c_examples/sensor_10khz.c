/* A sensor with ten thousand samples a second: the program wakes every few milliseconds and hands over what
 * has come together since, as an array. The library makes chunks of it, fifty a second.
 *
 *   sensor_10khz [--url URL] [--node NODE] [--seconds N] */
#include "example.h"

#include <math.h>

#define RATE 10000 /* samples a second */
#define PERIOD_NS (INT64_C(1000000000) / RATE)
#define WAKE_NS (2 * INT64_C(1000000)) /* the program wakes every 2 ms */
#define MOST 200                       /* samples at a time, should it wake late */

/* Stands for reading the converter's buffer: sample number `index`, as eight bytes. */
static double sample(int64_t index) {
    return sin((double)index * 2 * 3.14159265358979 * 50 / RATE);
}

static iscp_upstream_t *open_upstream(iscp_conn_t *conn) {
    iscp_upstream_t *upstream = NULL;
    iscp_error_t *error = NULL;
    iscp_upstream_options_t *options = iscp_upstream_options_new();
    example_check("qos", iscp_upstream_options_set_qos(options, ISCP_QOS_RELIABLE, &error), &error);
    /* A chunk every 20 ms: 200 samples share the cost of a message and an acknowledgement. */
    example_check("policy", iscp_upstream_options_set_flush_policy(options, "interval", &error), &error);
    example_check("interval", iscp_upstream_options_set_flush_interval_ms(options, 20, &error), &error);
    example_check("open upstream", iscp_upstream_open_wait(conn, options, -1, &upstream, &error), &error);
    iscp_upstream_options_free(options);
    return upstream;
}

/* Writes the samples from `first` on, in one call. The payloads are copied in it, so one array serves again
 * and again. */
static void write_samples(iscp_upstream_t *upstream, iscp_data_id_t id, int64_t first, size_t count) {
    static double values[MOST];
    static iscp_data_point_t points[MOST];
    for (size_t i = 0; i < count; i++) {
        int64_t index = first + (int64_t)i;
        values[i] = sample(index);
        /* The time is the sample's, not that of the wake-up: evenly spaced, without jitter. */
        points[i].elapsed_time_ns = index * PERIOD_NS;
        points[i].payload = (const uint8_t *)&values[i];
        points[i].payload_len = sizeof values[i];
    }
    example_check("write", iscp_upstream_write_points(upstream, id, points, count), NULL);
}

int main(int argc, char **argv) {
    static const char *const names[] = {"--url", "--node", "--seconds", NULL};
    if (!example_options_valid(argc, argv, names)) {
        return 2;
    }
    double seconds = example_seconds(example_option(argc, argv, "--seconds", "10"));
    if (seconds < 0) {
        fprintf(stderr, "usage: %s: --seconds needs a number above 0\n", argv[0]);
        return 2;
    }
    iscp_error_t *error = NULL;
    iscp_conn_t *conn = example_connect(example_option(argc, argv, "--url", EXAMPLE_URL),
                                        example_option(argc, argv, "--node", "sensor"));
    iscp_upstream_t *upstream = open_upstream(conn);
    iscp_data_id_t id;
    example_check("data id", iscp_upstream_data_id(upstream, "vibration", "float64", &id, &error), &error);

    int64_t total = (int64_t)(seconds * RATE), written = 0;
    int64_t start = example_clock_ns(CLOCK_MONOTONIC);
    for (int64_t wake = start; written < total; wake += WAKE_NS) {
        struct timespec until = {.tv_sec = wake / 1000000000, .tv_nsec = wake % 1000000000};
        clock_nanosleep(CLOCK_MONOTONIC, TIMER_ABSTIME, &until, NULL);
        /* What has come together; after a late wake-up that is more, and is written in several calls. */
        int64_t due = (example_clock_ns(CLOCK_MONOTONIC) - start) / PERIOD_NS;
        due = due < total ? due : total;
        while (written < due) {
            int64_t count = due - written < MOST ? due - written : MOST;
            write_samples(upstream, id, written, (size_t)count);
            written += count;
        }
    }

    /* Closing waits until the server has confirmed every chunk. */
    example_check("close upstream", iscp_upstream_close_wait(upstream, false, -1, &error), &error);
    uint64_t points, chunks;
    example_check("points", iscp_upstream_stat(upstream, ISCP_UPSTREAM_STAT_TOTAL_POINTS, &points), NULL);
    example_check("chunks", iscp_upstream_stat(upstream, ISCP_UPSTREAM_STAT_LAST_SEQUENCE_NUMBER, &chunks),
                  NULL);
    printf("delivered %llu samples in %llu chunks\n", (unsigned long long)points, (unsigned long long)chunks);
    iscp_upstream_free(upstream);
    example_disconnect(conn);
    return EXIT_SUCCESS;
}
