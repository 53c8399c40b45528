/* The main loop of GLib, and so of GTK and GStreamer programs, drives a downstream and the events of its
 * connection; everything runs on the loop's thread.
 *
 *   glib_loop [--url URL] [--source NODE]
 *
 * It ends at Ctrl-C, or with the stream. */
#include "drain.h"

#include <glib-unix.h>
#include <signal.h>

struct reader {
    GMainLoop *loop;
    iscp_conn_t *conn;
    iscp_downstream_t *downstream;
    unsigned long points;
    unsigned long points_before;
};

static gboolean on_chunks(gint fd, GIOCondition condition, gpointer user_data) {
    struct reader *reader = user_data;
    (void)fd;
    (void)condition;
    if (drain_downstream(reader->downstream, &reader->points)) {
        return G_SOURCE_CONTINUE;
    }
    g_main_loop_quit(reader->loop);
    return G_SOURCE_REMOVE;
}

static gboolean on_events(gint fd, GIOCondition condition, gpointer user_data) {
    struct reader *reader = user_data;
    (void)fd;
    (void)condition;
    if (drain_events(reader->conn)) {
        return G_SOURCE_CONTINUE;
    }
    g_main_loop_quit(reader->loop);
    return G_SOURCE_REMOVE;
}

static gboolean on_second(gpointer user_data) {
    struct reader *reader = user_data;
    printf("%lu points in the last second\n", reader->points - reader->points_before);
    fflush(stdout);
    reader->points_before = reader->points;
    return G_SOURCE_CONTINUE;
}

static gboolean on_interrupt(gpointer user_data) {
    struct reader *reader = user_data;
    g_main_loop_quit(reader->loop);
    return G_SOURCE_CONTINUE;
}

/* The descriptors stay the same as long as connection and stream live, also over lost connections. */
static void watch(struct reader *reader) {
    iscp_error_t *error = NULL;
    int32_t chunks, events;
    example_check("descriptor", iscp_downstream_pollable(reader->downstream, &chunks, &error), &error);
    example_check("descriptor", iscp_conn_event_pollable(reader->conn, &events, &error), &error);
    g_unix_fd_add(chunks, G_IO_IN, on_chunks, reader);
    g_unix_fd_add(events, G_IO_IN, on_events, reader);
    g_timeout_add_seconds(1, on_second, reader);
    g_unix_signal_add(SIGINT, on_interrupt, reader);
}

int main(int argc, char **argv) {
    static const char *const names[] = {"--url", "--source", NULL};
    if (!example_options_valid(argc, argv, names)) {
        return 2;
    }
    const char *source = example_option(argc, argv, "--source", "hello");
    struct reader reader = {.loop = g_main_loop_new(NULL, FALSE)};
    reader.conn = example_connect(example_option(argc, argv, "--url", EXAMPLE_URL), "glib-reader");
    reader.downstream = example_subscribe(reader.conn, source);

    watch(&reader);
    printf("waiting for points of %s\n", source);
    fflush(stdout);
    g_main_loop_run(reader.loop);

    printf("received %lu points\n", reader.points);
    /* The loop, which polls the descriptors, does not run any more. */
    g_main_loop_unref(reader.loop);
    iscp_downstream_free(reader.downstream);
    iscp_conn_free(reader.conn);
    return EXIT_SUCCESS;
}
