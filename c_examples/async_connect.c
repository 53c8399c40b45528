/* Everything without blocking: each step begins in the callback of the one before. main only waits for
 * the end.
 *
 *   async_connect [--url URL] [--node NODE]
 *
 * connect -> open an upstream -> write and flush -> close the stream -> close the connection -> ended */
#include "example.h"

#include <pthread.h>

/* The application's state. The callbacks of one connection run one at a time, so only what main looks at
 * needs the mutex. The connection's closed callback owns it: its release function is called after the
 * last callback, and says so to main. */
struct app {
    iscp_conn_t *conn;
    iscp_upstream_t *upstream;
    pthread_mutex_t mutex;
    pthread_cond_t changed;
    bool released;
    int failures;
};

static void failed(struct app *app, const char *what, const iscp_error_t *error) {
    fprintf(stderr, "%s: %s\n", what, iscp_error_message(error));
    app->failures++;
}

/* For a step that could not begin: its callback does not come, so the connection is closed instead. */
static void give_up(struct app *app, const char *what, iscp_error_t *error) {
    failed(app, what, error);
    iscp_error_free(error);
    iscp_conn_close(app->conn, NULL, NULL, NULL);
}

/* Freeing inside callbacks is fine, in any order. */
static void on_conn_closed(const iscp_error_t *error, void *user_data) {
    struct app *app = user_data;
    if (error != NULL) {
        failed(app, "connection", error);
    }
    printf("connection closed\n");
    iscp_conn_free(app->conn);
    iscp_upstream_free(app->upstream);
}

static void on_upstream_closed(const iscp_error_t *error, void *user_data) {
    struct app *app = user_data;
    if (error != NULL) {
        failed(app, "close upstream", error);
    }
    printf("upstream closed\n");
    iscp_conn_close(app->conn, NULL, NULL, NULL);
}

static void on_flushed(const iscp_error_t *error, void *user_data) {
    struct app *app = user_data;
    iscp_error_t *detail = NULL;
    if (error != NULL) {
        failed(app, "flush", error);
    } else {
        printf("point acknowledged\n");
    }
    if (iscp_upstream_close(app->upstream, false, on_upstream_closed, app, &detail) != ISCP_OK) {
        give_up(app, "close upstream", detail);
    }
}

static void on_upstream_open(iscp_upstream_t *upstream, const iscp_error_t *error, void *user_data) {
    struct app *app = user_data;
    if (error != NULL) {
        failed(app, "open upstream", error);
        iscp_conn_close(app->conn, NULL, NULL, NULL);
        return;
    }
    printf("upstream open\n");
    app->upstream = upstream;
    iscp_data_id_t data_id;
    iscp_error_t *detail = NULL;
    iscp_status_t status = iscp_upstream_data_id(upstream, "greeting", "string", &data_id, &detail);
    if (status == ISCP_OK) {
        /* Inside a callback a write never waits: with a full buffer it answers WOULD_BLOCK. */
        status = iscp_upstream_write(upstream, data_id, 0, (const uint8_t *)"hello", 5);
    }
    if (status == ISCP_OK) {
        status = iscp_upstream_flush(upstream, ISCP_FLUSH_ACKNOWLEDGED, 10000, on_flushed, app, &detail);
    }
    if (status != ISCP_OK) {
        give_up(app, "write", detail);
    }
}

static void on_connected(iscp_conn_t *conn, const iscp_error_t *error, void *user_data) {
    struct app *app = user_data;
    if (error != NULL) {
        /* A connection that never was has no end to be told of; the app is released all the same. */
        failed(app, "connect", error);
        return;
    }
    printf("connected\n");
    app->conn = conn;
    iscp_error_t *detail = NULL;
    if (iscp_upstream_open(conn, NULL, on_upstream_open, app, &detail) != ISCP_OK) {
        give_up(app, "open upstream", detail);
    }
}

static void release_app(void *user_data) {
    struct app *app = user_data;
    pthread_mutex_lock(&app->mutex);
    app->released = true;
    pthread_cond_signal(&app->changed);
    pthread_mutex_unlock(&app->mutex);
}

int main(int argc, char **argv) {
    static const char *const names[] = {"--url", "--node", NULL};
    if (!example_options_valid(argc, argv, names)) {
        return 2;
    }
    /* Safe on the stack: main does not return before the app is released. */
    struct app app = {.mutex = PTHREAD_MUTEX_INITIALIZER, .changed = PTHREAD_COND_INITIALIZER};
    iscp_error_t *error = NULL;
    iscp_conn_options_t *options = iscp_conn_options_new();
    const char *node = example_option(argc, argv, "--node", "async-example");
    const char *url = example_option(argc, argv, "--url", EXAMPLE_URL);
    iscp_status_t status =
        iscp_conn_options_set_closed_callback(options, on_conn_closed, &app, release_app, &error);
    if (status == ISCP_OK) {
        status = iscp_conn_options_set_url(options, url, &error);
    }
    if (status == ISCP_OK) {
        status = iscp_conn_options_set_node_id(options, node, &error);
    }
    if (status == ISCP_OK) {
        status = iscp_connect(options, on_connected, &app, &error);
    }
    /* The options were copied. Unless a connection was begun, this releases the app. */
    iscp_conn_options_free(options);
    pthread_mutex_lock(&app.mutex);
    while (!app.released) {
        pthread_cond_wait(&app.changed, &app.mutex);
    }
    pthread_mutex_unlock(&app.mutex);
    if (status != ISCP_OK) {
        example_print_error("connect", status, error);
    } else if (app.failures == 0) {
        printf("done\n");
    }
    return status == ISCP_OK && app.failures == 0 ? EXIT_SUCCESS : EXIT_FAILURE;
}
