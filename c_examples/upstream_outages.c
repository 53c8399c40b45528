/* An upstream that outlives lost connections: writes a counter ten times a second, prints what happens to
 * connection and stream meanwhile, and says in the end whether every point was delivered.
 *
 *   upstream_outages [--url URL] [--node NODE] [--points N] */
#include "example.h"

/* Called on a thread of the library, one callback at a time. Nothing has to be done here: the library makes
 * the connection anew by itself. */
static void on_event(const iscp_event_t *event, void *user_data) {
    (void)user_data;
    switch (iscp_event_kind(event)) {
    case ISCP_EVENT_CONNECTED:
        printf("connected\n");
        break;
    case ISCP_EVENT_DISCONNECTED:
        printf("connection lost: %s\n", iscp_error_message(iscp_event_error(event)));
        break;
    case ISCP_EVENT_RECONNECTING:
        printf("attempt %u in %u ms: %s\n", (unsigned)iscp_event_attempt(event),
               (unsigned)iscp_event_delay_ms(event), iscp_error_message(iscp_event_error(event)));
        break;
    case ISCP_EVENT_RECONNECTED:
        printf("connected again\n");
        break;
    default: /* the streams' events, the end, which main knows, and what later versions may add */
        break;
    }
    fflush(stdout);
}

static void on_stream(iscp_stream_event_t event, const iscp_uuid_t *stream_id,
                      const iscp_uuid_t *former_stream_id, void *user_data) {
    (void)stream_id;
    (void)former_stream_id;
    (void)user_data;
    printf("%s\n", event == ISCP_STREAM_EVENT_RESUMED
                       ? "the stream goes on"
                       : "the server had forgotten the stream: here is another");
    fflush(stdout);
}

static void on_closed(const iscp_error_t *error, uint64_t undelivered_points,
                      const uint32_t *undelivered_chunks, size_t undelivered_chunk_count, void *user_data) {
    (void)user_data;
    if (undelivered_points > 0) {
        fprintf(stderr, "%llu points were not delivered, %zu chunks among them, from number %u on: %s\n",
                (unsigned long long)undelivered_points, undelivered_chunk_count,
                undelivered_chunk_count > 0 ? (unsigned)undelivered_chunks[0] : 0, iscp_error_message(error));
    }
}

static iscp_status_t connect_as(const char *url, const char *node, iscp_conn_t **conn, iscp_error_t **error) {
    iscp_conn_options_t *options = iscp_conn_options_new();
    iscp_status_t status = iscp_conn_options_set_url(options, url, error);
    if (status == ISCP_OK) {
        status = iscp_conn_options_set_node_id(options, node, error);
    }
    if (status == ISCP_OK) {
        status = iscp_conn_options_set_event_callback(options, on_event, NULL, NULL, error);
    }
    if (status == ISCP_OK) {
        status = iscp_connect_wait(options, -1, conn, error);
    }
    iscp_conn_options_free(options);
    return status;
}

static iscp_status_t open_upstream(iscp_conn_t *conn, iscp_upstream_t **upstream, iscp_error_t **error) {
    iscp_upstream_options_t *options = iscp_upstream_options_new();
    /* RELIABLE: what the server did not acknowledge is kept, and sent again after an outage. */
    iscp_status_t status = iscp_upstream_options_set_qos(options, ISCP_QOS_RELIABLE, error);
    if (status == ISCP_OK) {
        /* Also when the server was restarted and knows nothing of the stream any more. */
        status = iscp_upstream_options_set_reopen(options, true, error);
    }
    if (status == ISCP_OK) {
        status = iscp_upstream_options_set_event_callback(options, on_stream, NULL, NULL, error);
    }
    if (status == ISCP_OK) {
        status = iscp_upstream_options_set_closed_callback(options, on_closed, NULL, NULL, error);
    }
    if (status == ISCP_OK) {
        status = iscp_upstream_open_wait(conn, options, -1, upstream, error);
    }
    iscp_upstream_options_free(options);
    return status;
}

int main(int argc, char **argv) {
    static const char *const names[] = {"--url", "--node", "--points", NULL};
    if (!example_options_valid(argc, argv, names)) {
        return 2;
    }
    const char *url = example_option(argc, argv, "--url", EXAMPLE_URL);
    const char *node = example_option(argc, argv, "--node", "outages");
    long points = strtol(example_option(argc, argv, "--points", "600"), NULL, 10);
    int exit_status = EXIT_FAILURE;
    const char *doing = "connect";
    iscp_error_t *error = NULL;
    iscp_conn_t *conn = NULL;
    iscp_upstream_t *upstream = NULL;
    iscp_data_id_t data_id;

    iscp_status_t status = connect_as(url, node, &conn, &error);
    if (status != ISCP_OK) {
        goto end;
    }
    doing = "open upstream";
    if ((status = open_upstream(conn, &upstream, &error)) != ISCP_OK) {
        goto end;
    }
    doing = "write";
    if ((status = iscp_upstream_data_id(upstream, "counter", "string", &data_id, &error)) != ISCP_OK) {
        goto end;
    }
    printf("writing %ld points\n", points);
    fflush(stdout);
    for (long i = 0; i < points; i++) {
        char text[32];
        int length = snprintf(text, sizeof text, "%ld", i);
        /* During an outage the point waits in the buffer; once that is full, this waits, for ten seconds. */
        status =
            iscp_upstream_write(upstream, data_id, i * 100000000LL, (const uint8_t *)text, (size_t)length);
        if (status != ISCP_OK) {
            goto end;
        }
        nanosleep(&(struct timespec){.tv_nsec = 100000000}, NULL);
    }

    /* Waits until everything was delivered, also through an outage, as long as the options allow. */
    doing = "close upstream";
    if ((status = iscp_upstream_close_wait(upstream, false, -1, &error)) != ISCP_OK) {
        goto end;
    }
    doing = "close connection";
    if ((status = iscp_conn_close_wait(conn, -1, &error)) != ISCP_OK) {
        goto end;
    }
    printf("delivered %ld points\n", points);
    exit_status = EXIT_SUCCESS;

end:
    if (status != ISCP_OK) {
        example_print_error(doing, status, error);
    }
    iscp_upstream_free(upstream);
    iscp_conn_free(conn);
    return exit_status;
}
