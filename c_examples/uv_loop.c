/* libuv drives a downstream and the events of its connection; everything runs on the loop's thread.
 *
 *   uv_loop [--url URL] [--source NODE]
 *
 * It ends at Ctrl-C, or with the stream. */
#include "drain.h"

#include <signal.h>
#include <uv.h>

struct reader {
    iscp_conn_t *conn;
    iscp_downstream_t *downstream;
    unsigned long points;
    unsigned long points_before;
    uv_poll_t chunks;
    uv_poll_t events;
    uv_timer_t second;
    uv_signal_t interrupt;
};

static void check(const char *what, int status) {
    if (status != 0) {
        fprintf(stderr, "%s: %s\n", what, uv_strerror(status));
        exit(EXIT_FAILURE);
    }
}

/* Closes every handle; without any the loop ends. The descriptors themselves are the library's, and uv_close
 * does not close them. */
static void end(struct reader *reader) {
    uv_handle_t *handles[] = {(uv_handle_t *)&reader->chunks, (uv_handle_t *)&reader->events,
                              (uv_handle_t *)&reader->second, (uv_handle_t *)&reader->interrupt};
    for (size_t i = 0; i < sizeof handles / sizeof handles[0]; i++) {
        if (!uv_is_closing(handles[i])) {
            uv_close(handles[i], NULL);
        }
    }
}

static void on_chunks(uv_poll_t *handle, int status, int events) {
    struct reader *reader = handle->data;
    (void)events;
    if (status < 0 || !drain_downstream(reader->downstream, &reader->points)) {
        end(reader);
    }
}

static void on_events(uv_poll_t *handle, int status, int events) {
    struct reader *reader = handle->data;
    (void)events;
    if (status < 0 || !drain_events(reader->conn)) {
        end(reader);
    }
}

static void on_second(uv_timer_t *handle) {
    struct reader *reader = handle->data;
    printf("%lu points in the last second\n", reader->points - reader->points_before);
    fflush(stdout);
    reader->points_before = reader->points;
}

static void on_interrupt(uv_signal_t *handle, int signal_number) {
    (void)signal_number;
    end(handle->data);
}

/* The descriptors stay the same as long as connection and stream live, also over lost connections. */
static void watch(uv_loop_t *loop, struct reader *reader) {
    iscp_error_t *error = NULL;
    int32_t chunks, events;
    example_check("descriptor", iscp_downstream_pollable(reader->downstream, &chunks, &error), &error);
    example_check("descriptor", iscp_conn_event_pollable(reader->conn, &events, &error), &error);
    check("poll", uv_poll_init(loop, &reader->chunks, chunks));
    check("poll", uv_poll_init(loop, &reader->events, events));
    check("timer", uv_timer_init(loop, &reader->second));
    check("signal", uv_signal_init(loop, &reader->interrupt));
    reader->chunks.data = reader->events.data = reader->second.data = reader->interrupt.data = reader;
    check("poll", uv_poll_start(&reader->chunks, UV_READABLE, on_chunks));
    check("poll", uv_poll_start(&reader->events, UV_READABLE, on_events));
    check("timer", uv_timer_start(&reader->second, on_second, 1000, 1000));
    check("signal", uv_signal_start(&reader->interrupt, on_interrupt, SIGINT));
}

int main(int argc, char **argv) {
    static const char *const names[] = {"--url", "--source", NULL};
    if (!example_options_valid(argc, argv, names)) {
        return 2;
    }
    const char *source = example_option(argc, argv, "--source", "hello");
    struct reader reader = {.points = 0};
    reader.conn = example_connect(example_option(argc, argv, "--url", EXAMPLE_URL), "uv-reader");
    reader.downstream = example_subscribe(reader.conn, source);

    uv_loop_t *loop = uv_default_loop();
    watch(loop, &reader);
    printf("waiting for points of %s\n", source);
    fflush(stdout);
    uv_run(loop, UV_RUN_DEFAULT);
    uv_loop_close(loop);

    printf("received %lu points\n", reader.points);
    iscp_downstream_free(reader.downstream);
    iscp_conn_free(reader.conn);
    return EXIT_SUCCESS;
}
