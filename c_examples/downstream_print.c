/* The downstream sample of the Go client's documentation, in C: prints the metadata and the points of a
 * node as they arrive, in callbacks, until one of its upstreams is closed.
 *
 *   downstream_print [--url URL] [--source NODE] */
#include "example.h"

#include <pthread.h>

/* Shared by the callbacks, which run on a thread of the library, and main, which waits. Static, because
 * callbacks may still run when main is left after an error. */
static struct {
    pthread_mutex_t mutex;
    pthread_cond_t changed;
    bool source_closed, stream_ended;
} state = {PTHREAD_MUTEX_INITIALIZER, PTHREAD_COND_INITIALIZER, false, false};

static void set(bool *flag) {
    pthread_mutex_lock(&state.mutex);
    *flag = true;
    pthread_cond_signal(&state.changed);
    pthread_mutex_unlock(&state.mutex);
}

/* What is read from the chunk is valid until the callback returns. */
static void on_chunk(const iscp_chunk_t *chunk, void *user_data) {
    (void)user_data;
    size_t groups = iscp_chunk_group_count(chunk);
    for (size_t g = 0; g < groups; g++) {
        const char *name, *type;
        const iscp_data_point_t *points;
        size_t count;
        if (iscp_chunk_group(chunk, g, &name, &type, &points, &count) != ISCP_OK) {
            continue;
        }
        for (size_t p = 0; p < count; p++) {
            printf("point %s:%s %.*s\n", type, name, (int)points[p].payload_len,
                   (const char *)points[p].payload);
        }
    }
}

/* Called in order with on_chunk: what precedes the end of a stream has been printed by then. */
static void on_metadata(const iscp_metadata_t *metadata, void *user_data) {
    (void)user_data;
    iscp_metadata_kind_t kind = iscp_metadata_kind(metadata);
    printf("%s", iscp_metadata_kind_name(kind));
    if (kind == ISCP_METADATA_BASE_TIME) {
        printf(" %s %.3f s", iscp_metadata_name(metadata),
               (double)iscp_metadata_base_time_ns(metadata) / 1e9);
    } else if (kind == ISCP_METADATA_UPSTREAM_NORMAL_CLOSE) {
        printf(" after %llu points", (unsigned long long)iscp_metadata_total_points(metadata));
    }
    printf("\n");
    if (kind == ISCP_METADATA_UPSTREAM_NORMAL_CLOSE || kind == ISCP_METADATA_UPSTREAM_ABNORMAL_CLOSE) {
        set(&state.source_closed);
    }
}

/* Called once, whatever ended the stream. */
static void on_closed(const iscp_error_t *error, void *user_data) {
    (void)user_data;
    if (error != NULL) {
        fprintf(stderr, "downstream ended: %s\n", iscp_error_message(error));
    }
    set(&state.stream_ended);
}

static iscp_status_t open_downstream(iscp_conn_t *conn, const char *source, iscp_downstream_t **downstream,
                                     iscp_error_t **error) {
    iscp_downstream_options_t *options = iscp_downstream_options_new();
    iscp_status_t status = iscp_downstream_options_add_filter(options, source, "#:#", error);
    if (status == ISCP_OK) {
        status = iscp_downstream_options_set_closed_callback(options, on_closed, NULL, NULL, error);
    }
    if (status == ISCP_OK) {
        status = iscp_downstream_open_wait(conn, options, -1, downstream, error);
    }
    iscp_downstream_options_free(options);
    return status;
}

int main(int argc, char **argv) {
    static const char *const names[] = {"--url", "--source", NULL};
    if (!example_options_valid(argc, argv, names)) {
        return 2;
    }
    const char *url = example_option(argc, argv, "--url", EXAMPLE_URL);
    const char *source = example_option(argc, argv, "--source", "basetime-example");
    int exit_status = EXIT_FAILURE;
    iscp_error_t *error = NULL;
    iscp_conn_t *conn = NULL;
    iscp_downstream_t *downstream = NULL;
    iscp_conn_options_t *options = iscp_conn_options_new();

    iscp_status_t status = iscp_conn_options_set_url(options, url, &error);
    if (status != ISCP_OK || (status = iscp_connect_wait(options, -1, &conn, &error)) != ISCP_OK) {
        goto end;
    }
    if ((status = open_downstream(conn, source, &downstream, &error)) != ISCP_OK) {
        goto end;
    }
    /* What arrived since the stream was opened comes first, so nothing is missed between the calls. */
    if ((status = iscp_downstream_read_metadata(downstream, on_metadata, NULL, NULL, &error)) != ISCP_OK) {
        goto end;
    }
    if ((status = iscp_downstream_read(downstream, on_chunk, NULL, NULL, &error)) != ISCP_OK) {
        goto end;
    }
    printf("waiting for %s\n", source);
    fflush(stdout);

    pthread_mutex_lock(&state.mutex);
    while (!state.source_closed && !state.stream_ended) {
        pthread_cond_wait(&state.changed, &state.mutex);
    }
    bool lost = !state.source_closed;
    pthread_mutex_unlock(&state.mutex);
    if (lost) {
        goto end;
    }
    if ((status = iscp_conn_close_wait(conn, -1, &error)) != ISCP_OK) {
        goto end;
    }
    exit_status = EXIT_SUCCESS;

end:
    if (status != ISCP_OK) {
        example_print_error("downstream_print", status, error);
    }
    iscp_downstream_free(downstream);
    iscp_conn_free(conn);
    iscp_conn_options_free(options);
    return exit_status;
}
