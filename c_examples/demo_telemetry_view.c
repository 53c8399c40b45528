/* Shows the telemetry that demo_telemetry_send streams, live, and checks that nothing was lost.
 *
 *   demo_telemetry_view [--url URL] [--seconds S] [--ready FILE]
 *
 * Start it before the sender. It ends by itself when the source has closed its stream, or S seconds and a
 * little more after the start, with a summary. The exit status is 0 only if points arrived and none was
 * lost. A line is written to FILE, such as a FIFO, once nothing sent from now on can be missed. */
#include "draw.h"
#include "example.h"
#include "signals.h"

#include <poll.h>
#include <signal.h>
#include <unistd.h>

/* How much longer than S seconds the source may take. */
#define MARGIN_SECONDS 5

static volatile sig_atomic_t stop_requested;

static void request_stop(int signal_number) {
    (void)signal_number;
    stop_requested = 1;
}

static void catch_signals(void) {
    struct sigaction action = {.sa_handler = request_stop};
    static const int signals[] = {SIGINT, SIGTERM, SIGHUP, SIGQUIT};
    for (size_t i = 0; i < sizeof signals / sizeof signals[0]; i++) {
        sigaction(signals[i], &action, NULL);
    }
}

static iscp_status_t connect_to(const char *url, iscp_conn_t **conn, iscp_error_t **error) {
    iscp_conn_options_t *options = iscp_conn_options_new();
    iscp_status_t status = iscp_conn_options_set_url(options, url, error);
    if (status == ISCP_OK) {
        status = iscp_conn_options_set_node_id(options, TELEMETRY_NODE "-view", error);
    }
    if (status == ISCP_OK) {
        /* The viewer ends with the server; by default the library would wait for its return. */
        status = iscp_conn_options_set_reconnect(options, false, error);
    }
    if (status == ISCP_OK) {
        status = iscp_connect_wait(options, -1, conn, error);
    }
    iscp_conn_options_free(options);
    return status;
}

static iscp_status_t open_stream(iscp_conn_t *conn, iscp_downstream_t **downstream, int32_t *fd,
                                 iscp_error_t **error) {
    iscp_downstream_options_t *options = iscp_downstream_options_new();
    iscp_status_t status = iscp_downstream_options_add_filter(options, TELEMETRY_NODE, "#:#", error);
    if (status == ISCP_OK) {
        status = iscp_downstream_options_set_qos(options, ISCP_QOS_RELIABLE, error);
    }
    if (status == ISCP_OK) {
        status = iscp_downstream_open_wait(conn, options, -1, downstream, error);
    }
    if (status == ISCP_OK) {
        status = iscp_downstream_pollable(*downstream, fd, error);
    }
    iscp_downstream_options_free(options);
    return status;
}

/* Takes everything there is. Metadata first: what the source says about a stream that was closed counts
 * the points before it, and those have been received by then. */
static iscp_status_t take_all(iscp_downstream_t *downstream, struct signals *signals, iscp_error_t **error) {
    iscp_status_t status;
    iscp_metadata_t *metadata;
    while ((status = iscp_downstream_next_metadata_wait(downstream, 0, &metadata, NULL)) == ISCP_OK) {
        signals_metadata(signals, metadata);
        iscp_metadata_free(metadata);
    }
    iscp_chunk_t *chunk;
    while ((status = iscp_downstream_next_chunk_wait(downstream, 0, &chunk, error)) == ISCP_OK) {
        signals_chunk(signals, chunk, example_clock_ns(CLOCK_REALTIME));
        iscp_chunk_free(chunk);
    }
    if (status != ISCP_ERR_WOULD_BLOCK) {
        return status;
    }
    iscp_error_free(*error);
    *error = NULL;
    return ISCP_OK;
}

/* Receives and shows until the source closed its stream, the time is over, or a signal came. */
static iscp_status_t view(iscp_downstream_t *downstream, int32_t fd, double limit, struct signals *signals,
                          double *seconds, iscp_error_t **error) {
    int64_t start_ns = example_clock_ns(CLOCK_MONOTONIC);
    int64_t period_ns = draw_live() ? 100000000 : 1000000000;
    int64_t next_ns = start_ns + period_ns;
    while (!stop_requested && !signals->closed && !signals->aborted) {
        int64_t now_ns = example_clock_ns(CLOCK_MONOTONIC);
        *seconds = (double)(now_ns - start_ns) / 1e9;
        if (limit > 0 && *seconds >= limit) {
            break;
        }
        if (now_ns >= next_ns) {
            draw_update(signals, *seconds, example_clock_ns(CLOCK_REALTIME));
            next_ns += period_ns;
            continue;
        }
        struct pollfd ready = {.fd = fd, .events = POLLIN};
        if (poll(&ready, 1, (int)((next_ns - now_ns) / 1000000) + 1) > 0) {
            iscp_status_t status = take_all(downstream, signals, error);
            if (status != ISCP_OK) {
                return status;
            }
        }
    }
    *seconds = (double)(example_clock_ns(CLOCK_MONOTONIC) - start_ns) / 1e9;
    return ISCP_OK;
}

/* Whether all is well; says what is not. */
static bool judge(const struct signals *signals) {
    if (signals->aborted) {
        fprintf(stderr, "demo_telemetry_view: the source ended without closing its stream\n");
    } else if (signals->points == 0) {
        fprintf(stderr, "demo_telemetry_view: nothing was received from %s\n", TELEMETRY_NODE);
    } else if (signals_lost(signals) > 0 || signals->lost_chunks > 0) {
        fprintf(stderr, "demo_telemetry_view: points were lost\n");
    } else {
        return true;
    }
    return false;
}

int main(int argc, char **argv) {
    static const char *const options[] = {"--url", "--seconds", "--ready", NULL};
    if (!example_options_valid(argc, argv, options)) {
        return 2;
    }
    const char *url = example_option(argc, argv, "--url", EXAMPLE_URL);
    const char *ready_file = example_option(argc, argv, "--ready", NULL);
    const char *limit_text = example_option(argc, argv, "--seconds", NULL);
    double limit = limit_text != NULL ? example_seconds(limit_text) : 0;
    if (limit < 0) {
        fprintf(stderr, "%s: --seconds: not a number of seconds: %s\n", argv[0], limit_text);
        return 2;
    }
    catch_signals();

    static struct signals signals;
    int exit_status = EXIT_FAILURE;
    const char *doing = "connect";
    double seconds = 0;
    int32_t fd = -1;
    iscp_conn_t *conn = NULL;
    iscp_downstream_t *downstream = NULL;
    iscp_error_t *error = NULL;

    iscp_status_t status = connect_to(url, &conn, &error);
    if (status != ISCP_OK) {
        goto end;
    }
    doing = "open downstream";
    if ((status = open_stream(conn, &downstream, &fd, &error)) != ISCP_OK) {
        goto end;
    }
    if (ready_file != NULL) {
        FILE *file = fopen(ready_file, "w");
        if (file == NULL || fputs("ready\n", file) == EOF || fclose(file) == EOF) {
            fprintf(stderr, "%s: %s: %s\n", argv[0], ready_file, strerror(errno));
            goto end;
        }
    }
    doing = "receive telemetry";
    draw_begin();
    status = view(downstream, fd, limit > 0 ? limit + MARGIN_SECONDS : 0, &signals, &seconds, &error);
    draw_end();
    if (status != ISCP_OK) {
        goto end;
    }
    draw_summary(&signals, seconds);
    bool well = judge(&signals);
    doing = "close connection";
    if ((status = iscp_conn_close_wait(conn, 10000, &error)) != ISCP_OK) {
        goto end;
    }
    exit_status = well ? EXIT_SUCCESS : EXIT_FAILURE;

end:
    if (status != ISCP_OK) {
        char what[64];
        snprintf(what, sizeof what, "demo_telemetry_view: %s", doing);
        example_print_error(what, status, error);
    }
    iscp_downstream_free(downstream);
    iscp_conn_free(conn);
    return exit_status;
}
