/* Streams this machine's own telemetry: six signals, ten points a second each (see telemetry.h).
 *
 *   demo_telemetry_send [--url URL] [--seconds S]
 *
 * Ends after S seconds, or at SIGINT or SIGTERM, with a summary. The exit status is 0 only if the server
 * confirmed every point. */
#include "example.h"
#include "telemetry.h"

#include <signal.h>
#include <stdatomic.h>
#include <unistd.h>

static volatile sig_atomic_t stop_requested;

static void request_stop(int signal_number) {
    (void)signal_number;
    stop_requested = 1;
}

/* Not a variable of main: callbacks may still run while the process exits after an error. */
static atomic_uint acknowledged_chunks;

/* Called on the library's thread for every chunk the server answered. */
static void on_ack(uint32_t sequence_number, int32_t result_code, const char *result_string,
                   void *user_data) {
    (void)user_data;
    if (result_code == 0) {
        atomic_fetch_add(&acknowledged_chunks, 1);
    } else {
        fprintf(stderr, "demo_telemetry_send: chunk %u refused: %s\n", (unsigned)sequence_number,
                result_string);
    }
}

static iscp_status_t connect_to(const char *url, iscp_conn_t **conn, iscp_error_t **error) {
    iscp_conn_options_t *options = iscp_conn_options_new();
    iscp_status_t status = iscp_conn_options_set_url(options, url, error);
    if (status == ISCP_OK) {
        status = iscp_conn_options_set_node_id(options, TELEMETRY_NODE, error);
    }
    if (status == ISCP_OK) {
        /* Who looks on sees that the server is gone; by default the library would wait for its return. */
        status = iscp_conn_options_set_reconnect(options, false, error);
    }
    if (status == ISCP_OK) {
        status = iscp_connect_wait(options, -1, conn, error);
    }
    iscp_conn_options_free(options);
    return status;
}

/* Opens a RELIABLE stream whose points leave when we flush, so that one sample makes one chunk. */
static iscp_status_t open_stream(iscp_conn_t *conn, const char *session, iscp_upstream_t **upstream,
                                 iscp_error_t **error) {
    iscp_upstream_options_t *options = iscp_upstream_options_new();
    iscp_status_t status = iscp_upstream_options_set_session_id(options, session, error);
    if (status == ISCP_OK) {
        status = iscp_upstream_options_set_qos(options, ISCP_QOS_RELIABLE, error);
    }
    if (status == ISCP_OK) {
        status = iscp_upstream_options_set_flush_policy(options, "none", error);
    }
    if (status == ISCP_OK) {
        /* Viewers learn at once when this program dies; by default the server waits for its return. */
        status = iscp_upstream_options_set_expiry_interval_ms(options, 0, error);
    }
    if (status == ISCP_OK) {
        status = iscp_upstream_options_set_ack_callback(options, on_ack, NULL, NULL, error);
    }
    if (status == ISCP_OK) {
        status = iscp_upstream_open_wait(conn, options, -1, upstream, error);
    }
    iscp_upstream_options_free(options);
    return status;
}

/* Sends a sample every tenth of a second until the time is over, a signal came, or sending failed. */
static iscp_status_t stream(iscp_upstream_t *upstream, const iscp_data_id_t ids[TELEMETRY_SIGNALS],
                            int64_t origin_ns, double seconds, iscp_error_t **error) {
    struct telemetry telemetry = {0};
    double values[TELEMETRY_SIGNALS];
    long samples = (long)(seconds * TELEMETRY_PER_SECOND);
    for (long n = 0; (seconds < 0 || n < samples) && !stop_requested; n++) {
        int64_t due = origin_ns + (int64_t)n * (1000000000 / TELEMETRY_PER_SECOND);
        struct timespec until = {.tv_sec = due / 1000000000, .tv_nsec = due % 1000000000};
        while (!stop_requested && clock_nanosleep(CLOCK_MONOTONIC, TIMER_ABSTIME, &until, NULL) == EINTR) {
        }
        if (stop_requested) {
            break;
        }
        if (!telemetry_read(&telemetry, values)) {
            fprintf(stderr, "demo_telemetry_send: /proc cannot be read\n");
            return ISCP_ERR_RESOURCE;
        }
        int64_t elapsed = example_clock_ns(CLOCK_MONOTONIC) - origin_ns;
        for (size_t i = 0; i < TELEMETRY_SIGNALS; i++) {
            uint8_t payload[8];
            telemetry_encode(values[i], payload);
            iscp_status_t status = iscp_upstream_write(upstream, ids[i], elapsed, payload, sizeof payload);
            if (status != ISCP_OK) {
                return status;
            }
        }
        /* Does not wait: what goes wrong later shows at the next write, and in the end. */
        iscp_status_t status = iscp_upstream_flush(upstream, ISCP_FLUSH_SENT, 1000, NULL, NULL, error);
        if (status != ISCP_OK) {
            return status;
        }
    }
    return ISCP_OK;
}

int main(int argc, char **argv) {
    static const char *const options[] = {"--url", "--seconds", NULL};
    if (!example_options_valid(argc, argv, options)) {
        return 2;
    }
    const char *url = example_option(argc, argv, "--url", EXAMPLE_URL);
    const char *limit = example_option(argc, argv, "--seconds", NULL);
    double seconds = limit != NULL ? example_seconds(limit) : -1;
    if (limit != NULL && seconds < 0) {
        fprintf(stderr, "%s: --seconds: not a number of seconds: %s\n", argv[0], limit);
        return 2;
    }
    struct sigaction action = {.sa_handler = request_stop};
    sigaction(SIGINT, &action, NULL);
    sigaction(SIGTERM, &action, NULL);

    int exit_status = EXIT_FAILURE;
    const char *doing = "connect";
    iscp_conn_t *conn = NULL;
    iscp_upstream_t *upstream = NULL;
    iscp_error_t *error = NULL;
    iscp_data_id_t ids[TELEMETRY_SIGNALS];

    iscp_status_t status = connect_to(url, &conn, &error);
    if (status != ISCP_OK) {
        goto end;
    }
    char session[64];
    snprintf(session, sizeof session, "demo-%lld-%ld", (long long)time(NULL), (long)getpid());
    doing = "open upstream";
    if ((status = open_stream(conn, session, &upstream, &error)) != ISCP_OK) {
        goto end;
    }
    for (size_t i = 0; i < TELEMETRY_SIGNALS; i++) {
        doing = "data id";
        status = iscp_upstream_data_id(upstream, telemetry_names[i], TELEMETRY_TYPE, &ids[i], &error);
        if (status != ISCP_OK) {
            goto end;
        }
    }
    /* Elapsed time 0 is now; the base time says what the clock shows. */
    int64_t origin_ns = example_clock_ns(CLOCK_MONOTONIC);
    doing = "send base time";
    status = iscp_conn_send_base_time_wait(conn, session, "edge_rtc", 20, 0, example_clock_ns(CLOCK_REALTIME),
                                           false, -1, &error);
    if (status != ISCP_OK) {
        goto end;
    }
    doing = "send telemetry";
    if ((status = stream(upstream, ids, origin_ns, seconds, &error)) != ISCP_OK) {
        goto end;
    }
    doing = "close upstream";
    if ((status = iscp_upstream_close_wait(upstream, true, 10000, &error)) != ISCP_OK) {
        goto end;
    }
    uint64_t points = 0, chunks = 0, failed = 0;
    iscp_upstream_stat(upstream, ISCP_UPSTREAM_STAT_TOTAL_POINTS, &points);
    iscp_upstream_stat(upstream, ISCP_UPSTREAM_STAT_LAST_SEQUENCE_NUMBER, &chunks);
    iscp_upstream_stat(upstream, ISCP_UPSTREAM_STAT_FAILED_POINTS, &failed);
    doing = "close connection";
    if ((status = iscp_conn_close_wait(conn, 10000, &error)) != ISCP_OK) {
        goto end;
    }
    iscp_upstream_free(upstream);
    iscp_conn_free(conn);
    upstream = NULL;
    conn = NULL;
    /* Waits for the callbacks too, so that every acknowledgement is counted. */
    doing = "shut down";
    if ((status = iscp_shutdown(10000, &error)) != ISCP_OK) {
        goto end;
    }
    printf("sent %llu points in %llu chunks; acknowledged %llu points in %u chunks\n",
           (unsigned long long)points, (unsigned long long)chunks, (unsigned long long)(points - failed),
           atomic_load(&acknowledged_chunks));
    exit_status = failed == 0 ? EXIT_SUCCESS : EXIT_FAILURE;

end:
    if (status == ISCP_ERR_CLOSED) {
        /* It was not this program that closed it. */
        fprintf(stderr, "demo_telemetry_send: %s: the connection to the server was lost\n", doing);
        iscp_error_free(error);
    } else if (status != ISCP_OK) {
        char what[64];
        snprintf(what, sizeof what, "demo_telemetry_send: %s", doing);
        example_print_error(what, status, error);
    }
    iscp_upstream_free(upstream);
    iscp_conn_free(conn);
    return exit_status;
}
