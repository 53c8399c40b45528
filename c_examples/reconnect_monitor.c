/* A monitor of outages: takes the events of a connection and prints what happens, when and why, and in the
 * end how often and how long the connection was away. The library connects anew by itself; the program only
 * looks on.
 *
 *   reconnect_monitor [--url URL] [--outages N] [--attempts N]
 *
 * It ends after N outages, or when the library gives up after N attempts to connect. */
#include "example.h"

struct outages {
    long count;
    int64_t began_ns; /* 0 while connected */
    int64_t total_ns;
    int64_t longest_ns;
};

static void print(const iscp_event_t *event) {
    time_t second = (time_t)(iscp_event_time_ns(event) / 1000000000);
    struct tm local;
    char clock[32];
    strftime(clock, sizeof clock, "%H:%M:%S", localtime_r(&second, &local));
    printf("%s.%03d %s", clock, (int)(iscp_event_time_ns(event) / 1000000 % 1000),
           iscp_event_kind_name(iscp_event_kind(event)));
    if (iscp_event_kind(event) == ISCP_EVENT_RECONNECTING) {
        printf(", attempt %u in %u ms", (unsigned)iscp_event_attempt(event),
               (unsigned)iscp_event_delay_ms(event));
    }
    /* Why it was lost, why the attempt before failed, or why it ended for good. */
    const iscp_error_t *why = iscp_event_error(event);
    printf("%s%s\n", why != NULL ? ": " : "", why != NULL ? iscp_error_message(why) : "");
    fflush(stdout);
}

static void count(const iscp_event_t *event, struct outages *outages) {
    switch (iscp_event_kind(event)) {
    case ISCP_EVENT_DISCONNECTED:
        outages->began_ns = iscp_event_time_ns(event);
        break;
    case ISCP_EVENT_RECONNECTED: {
        int64_t lasted = iscp_event_time_ns(event) - outages->began_ns;
        outages->count++;
        outages->total_ns += lasted;
        outages->longest_ns = lasted > outages->longest_ns ? lasted : outages->longest_ns;
        outages->began_ns = 0;
        break;
    }
    default: /* streams, and what later versions may add */
        break;
    }
}

static iscp_conn_t *connect_with_patience(const char *url, uint32_t attempts) {
    iscp_conn_t *conn = NULL;
    iscp_error_t *error = NULL;
    iscp_conn_options_t *options = iscp_conn_options_new();
    example_check("url", iscp_conn_options_set_url(options, url, &error), &error);
    example_check("node", iscp_conn_options_set_node_id(options, "monitor", &error), &error);
    /* The waits grow from one to the other, with a random part, so that a thousand devices do not come at
     * once. */
    example_check("wait", iscp_conn_options_set_reconnect_min_interval_ms(options, 50, &error), &error);
    example_check("wait", iscp_conn_options_set_reconnect_max_interval_ms(options, 2000, &error), &error);
    example_check("attempts", iscp_conn_options_set_reconnect_attempts(options, attempts, &error), &error);
    example_check("connect", iscp_connect_wait(options, -1, &conn, &error), &error);
    iscp_conn_options_free(options);
    return conn;
}

int main(int argc, char **argv) {
    static const char *const names[] = {"--url", "--outages", "--attempts", NULL};
    if (!example_options_valid(argc, argv, names)) {
        return 2;
    }
    long wanted = strtol(example_option(argc, argv, "--outages", "1000"), NULL, 10);
    unsigned long attempts = strtoul(example_option(argc, argv, "--attempts", "0"), NULL, 10);
    iscp_conn_t *conn =
        connect_with_patience(example_option(argc, argv, "--url", EXAMPLE_URL), (uint32_t)attempts);

    struct outages outages = {0};
    iscp_status_t status = ISCP_OK;
    iscp_error_t *error = NULL;
    while (outages.count < wanted) {
        iscp_event_t *event;
        /* After the last event this says why the connection has ended. */
        if ((status = iscp_conn_next_event_wait(conn, -1, &event, &error)) != ISCP_OK) {
            break;
        }
        print(event);
        count(event, &outages);
        iscp_event_free(event);
    }

    printf("%ld outages, %.1f s in total, the longest %.1f s\n", outages.count,
           (double)outages.total_ns / 1e9, (double)outages.longest_ns / 1e9);
    if (status != ISCP_OK) {
        example_print_error("the connection has ended", status, error);
        iscp_conn_free(conn);
        return EXIT_FAILURE;
    }
    example_disconnect(conn);
    return EXIT_SUCCESS;
}
