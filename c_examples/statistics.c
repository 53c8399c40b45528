/* What the library counts: a program that sends and receives, and prints the statistics of its connection
 * and its streams once a second.
 *
 *   statistics [--url URL] [--seconds N] */
#include "example.h"

struct named {
    int32_t stat;
    const char *name;
};

static const struct named of_connection[] = {
    {ISCP_CONN_STAT_MESSAGES_SENT, "messages sent"},
    {ISCP_CONN_STAT_MESSAGES_RECEIVED, "messages received"},
    {ISCP_CONN_STAT_BYTES_SENT, "bytes sent"},
    {ISCP_CONN_STAT_BYTES_RECEIVED, "bytes received"},
    {ISCP_CONN_STAT_ROUND_TRIP_NS, "round trip, ns"},
    {ISCP_CONN_STAT_MESSAGES_DROPPED, "messages dropped"},
    {ISCP_CONN_STAT_POINTS_SENT, "points sent"},
    {ISCP_CONN_STAT_POINTS_RECEIVED, "points received"},
    {ISCP_CONN_STAT_LOSSES, "times lost"},
    {ISCP_CONN_STAT_RECONNECTS, "times reconnected"},
};

static const struct named of_upstream[] = {
    {ISCP_UPSTREAM_STAT_TOTAL_POINTS, "points sent"},
    {ISCP_UPSTREAM_STAT_LAST_SEQUENCE_NUMBER, "chunks sent"},
    {ISCP_UPSTREAM_STAT_BUFFERED_POINTS, "points in the buffer"},
    {ISCP_UPSTREAM_STAT_BUFFERED_BYTES, "bytes in the buffer"},
    {ISCP_UPSTREAM_STAT_IN_FLIGHT_CHUNKS, "chunks in flight"},
    {ISCP_UPSTREAM_STAT_IN_FLIGHT_BYTES, "bytes in flight"},
    {ISCP_UPSTREAM_STAT_FAILED_POINTS, "points failed"},
};

static const struct named of_downstream[] = {
    {ISCP_DOWNSTREAM_STAT_CHUNKS, "chunks received"},
    {ISCP_DOWNSTREAM_STAT_POINTS, "points received"},
    {ISCP_DOWNSTREAM_STAT_DROPPED_CHUNKS, "chunks dropped"},
    {ISCP_DOWNSTREAM_STAT_DROPPED_POINTS, "points dropped"},
    {ISCP_DOWNSTREAM_STAT_BUFFERED_CHUNKS, "chunks to be read"},
    {ISCP_DOWNSTREAM_STAT_LOST_CHUNKS, "chunks lost"},
};

/* Each is a number of its own, read at once and without a lock that anything waits for. */
#define PRINT(object, stats, read)                                                                           \
    do {                                                                                                     \
        for (size_t i = 0; i < sizeof(stats) / sizeof(stats)[0]; i++) {                                      \
            uint64_t value;                                                                                  \
            example_check((stats)[i].name, read(object, (stats)[i].stat, &value), NULL);                     \
            printf("  %-22s %14llu\n", (stats)[i].name, (unsigned long long)value);                          \
        }                                                                                                    \
    } while (0)

/* Messages of each kind, of those that occurred. */
static void print_messages(const iscp_conn_t *conn) {
    const char *name;
    for (size_t i = 0; (name = iscp_message_name(i)) != NULL; i++) {
        uint64_t sent, received;
        example_check(name, iscp_conn_message_count(conn, name, &sent, &received), NULL);
        if (sent + received > 0) {
            printf("  %-22s %14llu sent, %llu received\n", name, (unsigned long long)sent,
                   (unsigned long long)received);
        }
    }
}

static void on_chunk(const iscp_chunk_t *chunk, void *user_data) {
    (void)chunk;
    (void)user_data;
}

int main(int argc, char **argv) {
    static const char *const names[] = {"--url", "--seconds", NULL};
    if (!example_options_valid(argc, argv, names)) {
        return 2;
    }
    long seconds = strtol(example_option(argc, argv, "--seconds", "10"), NULL, 10);
    iscp_error_t *error = NULL;
    iscp_conn_t *conn = example_connect(example_option(argc, argv, "--url", EXAMPLE_URL), "counted");
    iscp_downstream_t *downstream = example_subscribe(conn, "counted");
    example_check("read", iscp_downstream_read(downstream, on_chunk, NULL, NULL, &error), &error);
    iscp_upstream_t *upstream = NULL;
    iscp_data_id_t id;
    example_check("open upstream", iscp_upstream_open_wait(conn, NULL, -1, &upstream, &error), &error);
    example_check("data id", iscp_upstream_data_id(upstream, "tick", "bytes", &id, &error), &error);

    for (long second = 1; second <= seconds; second++) {
        for (long i = 0; i < 100; i++) { /* a hundred points a second */
            int64_t elapsed = ((second - 1) * 100 + i) * 10000000LL;
            example_check("write", iscp_upstream_write(upstream, id, elapsed, (const uint8_t *)"tick", 4),
                          NULL);
            nanosleep(&(struct timespec){.tv_nsec = 10000000}, NULL);
        }
        printf("after %ld s\n", second);
        PRINT(conn, of_connection, iscp_conn_stat);
        PRINT(upstream, of_upstream, iscp_upstream_stat);
        PRINT(downstream, of_downstream, iscp_downstream_stat);
        print_messages(conn);
        fflush(stdout);
    }
    example_check("close upstream", iscp_upstream_close_wait(upstream, false, -1, &error), &error);
    /* They stay readable after the end. */
    uint64_t sent;
    example_check("total", iscp_upstream_stat(upstream, ISCP_UPSTREAM_STAT_TOTAL_POINTS, &sent), NULL);
    printf("in total %llu points\n", (unsigned long long)sent);
    iscp_upstream_free(upstream);
    iscp_downstream_free(downstream);
    example_disconnect(conn);
    return EXIT_SUCCESS;
}
