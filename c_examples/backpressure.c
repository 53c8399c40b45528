/* A source that is faster than the network: points come together in the write buffer until it is full. What
 * then happens to a write is the application's choice.
 *
 *   backpressure [--url URL] [--policy block|would_block|drop_oldest|drop_newest] [--points N]
 *
 * With `block` the program is slowed down to the speed of the network. With `would_block` it goes on at its
 * own, is told, and leaves points out. With the other two it is not told: the library drops points, and
 * counts them; this is for streams that are not RELIABLE. The limits are small here, to be reached on a fast
 * network too. */
#include "example.h"

#define POINT_SIZE 1000

static iscp_upstream_t *open_upstream(iscp_conn_t *conn, const char *policy) {
    iscp_upstream_t *upstream = NULL;
    iscp_error_t *error = NULL;
    iscp_upstream_options_t *options = iscp_upstream_options_new();
    bool drops = strncmp(policy, "drop", 4) == 0;
    iscp_qos_t qos = drops ? ISCP_QOS_UNRELIABLE : ISCP_QOS_RELIABLE;
    example_check("qos", iscp_upstream_options_set_qos(options, qos, &error), &error);
    /* What waits to be sent; what was sent and waits for its acknowledgement, if the stream is RELIABLE. */
    example_check("limit", iscp_upstream_options_set_buffer_limit(options, 64 * 1024, &error), &error);
    example_check("limit", iscp_upstream_options_set_in_flight_limit(options, 64 * 1024, &error), &error);
    example_check("policy", iscp_upstream_options_set_buffer_policy(options, policy, &error), &error);
    /* With `block`: how long a write may wait before it answers ISCP_ERR_TIMEOUT. */
    example_check("time", iscp_upstream_options_set_write_timeout_ms(options, 10000, &error), &error);
    example_check("open upstream", iscp_upstream_open_wait(conn, options, -1, &upstream, &error), &error);
    iscp_upstream_options_free(options);
    return upstream;
}

int main(int argc, char **argv) {
    static const char *const names[] = {"--url", "--policy", "--points", NULL};
    if (!example_options_valid(argc, argv, names)) {
        return 2;
    }
    const char *policy = example_option(argc, argv, "--policy", "block");
    long points = strtol(example_option(argc, argv, "--points", "5000"), NULL, 10);
    iscp_error_t *error = NULL;
    iscp_conn_t *conn = example_connect(example_option(argc, argv, "--url", EXAMPLE_URL), "fast-source");
    iscp_upstream_t *upstream = open_upstream(conn, policy);
    iscp_data_id_t id;
    example_check("data id", iscp_upstream_data_id(upstream, "load", "bytes", &id, &error), &error);

    static const uint8_t payload[POINT_SIZE];
    long left_out = 0;
    uint64_t fullest = 0;
    int64_t longest = 0;
    for (long i = 0; i < points; i++) {
        int64_t before = example_clock_ns(CLOCK_MONOTONIC);
        iscp_status_t status = iscp_upstream_write(upstream, id, i * 1000000, payload, sizeof payload);
        int64_t took = example_clock_ns(CLOCK_MONOTONIC) - before;
        longest = took > longest ? took : longest;
        if (status == ISCP_ERR_WOULD_BLOCK) {
            /* Here an application lowers its rate or its resolution, or keeps the point to write it later. */
            left_out++;
        } else {
            example_check("write", status, NULL);
        }
        /* How full the buffer is tells it before writes fail. */
        uint64_t buffered;
        example_check("statistics",
                      iscp_upstream_stat(upstream, ISCP_UPSTREAM_STAT_BUFFERED_BYTES, &buffered), NULL);
        fullest = buffered > fullest ? buffered : fullest;
    }
    example_check("close upstream", iscp_upstream_close_wait(upstream, false, -1, &error), &error);

    uint64_t sent, dropped;
    example_check("statistics", iscp_upstream_stat(upstream, ISCP_UPSTREAM_STAT_TOTAL_POINTS, &sent), NULL);
    example_check("statistics", iscp_upstream_stat(upstream, ISCP_UPSTREAM_STAT_DROPPED_POINTS, &dropped),
                  NULL);
    printf("buffer at most %llu of %d bytes, longest write %.1f ms\n", (unsigned long long)fullest, 64 * 1024,
           (double)longest / 1e6);
    printf("sent %llu points, left out %ld, dropped %llu\n", (unsigned long long)sent, left_out,
           (unsigned long long)dropped);
    iscp_upstream_free(upstream);
    example_disconnect(conn);
    return (long)(sent + dropped) + left_out == points ? EXIT_SUCCESS : EXIT_FAILURE;
}
