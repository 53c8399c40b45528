/* Reads a downstream in an event loop: the stream has a descriptor for poll(2), so one thread can wait
 * for points and for anything else at once. Here that is standard input: the program ends when a line or
 * the end of input arrives there.
 *
 *   downstream_poll [--url URL] [--source NODE] */
#include "example.h"

#include <poll.h>
#include <unistd.h>

/* Takes everything that has arrived, without waiting. WOULD_BLOCK says that there is no more. */
static iscp_status_t drain(iscp_downstream_t *downstream, uint64_t *points, iscp_error_t **error) {
    iscp_metadata_t *metadata;
    while (iscp_downstream_next_metadata_wait(downstream, 0, &metadata, NULL) == ISCP_OK) {
        printf("metadata %s\n", iscp_metadata_kind_name(iscp_metadata_kind(metadata)));
        iscp_metadata_free(metadata);
    }
    iscp_status_t status;
    iscp_chunk_t *chunk;
    while ((status = iscp_downstream_next_chunk_wait(downstream, 0, &chunk, NULL)) == ISCP_OK) {
        *points += iscp_chunk_point_count(chunk);
        printf("chunk %lu, %zu points\n", (unsigned long)iscp_chunk_sequence_number(chunk),
               iscp_chunk_point_count(chunk));
        iscp_chunk_free(chunk);
    }
    fflush(stdout);
    if (status == ISCP_ERR_WOULD_BLOCK) {
        return ISCP_OK;
    }
    /* The stream has ended. Asking again gives the reason in detail. */
    return iscp_downstream_next_chunk_wait(downstream, 0, &chunk, error);
}

static iscp_status_t loop(iscp_downstream_t *downstream, int32_t fd, uint64_t *points, iscp_error_t **error) {
    for (;;) {
        /* The descriptor belongs to the library: only wait for it, never read, write or close it. */
        struct pollfd ready[] = {{.fd = fd, .events = POLLIN}, {.fd = STDIN_FILENO, .events = POLLIN}};
        if (poll(ready, 2, -1) < 0 && errno != EINTR) {
            perror("poll");
            return ISCP_ERR_RESOURCE;
        }
        if (ready[0].revents != 0) {
            iscp_status_t status = drain(downstream, points, error);
            if (status != ISCP_OK) {
                return status;
            }
        }
        if (ready[1].revents != 0) {
            return ISCP_OK;
        }
    }
}

int main(int argc, char **argv) {
    static const char *const names[] = {"--url", "--source", NULL};
    if (!example_options_valid(argc, argv, names)) {
        return 2;
    }
    const char *url = example_option(argc, argv, "--url", EXAMPLE_URL);
    const char *source = example_option(argc, argv, "--source", "hello");
    int exit_status = EXIT_FAILURE;
    uint64_t points = 0;
    int32_t fd = -1;
    iscp_error_t *error = NULL;
    iscp_conn_t *conn = NULL;
    iscp_downstream_t *downstream = NULL;
    iscp_conn_options_t *options = iscp_conn_options_new();
    iscp_downstream_options_t *downstream_options = iscp_downstream_options_new();

    iscp_status_t status = iscp_conn_options_set_url(options, url, &error);
    if (status != ISCP_OK || (status = iscp_connect_wait(options, -1, &conn, &error)) != ISCP_OK) {
        goto end;
    }
    status = iscp_downstream_options_add_filter(downstream_options, source, "#:#", &error);
    if (status != ISCP_OK) {
        goto end;
    }
    if ((status = iscp_downstream_open_wait(conn, downstream_options, -1, &downstream, &error)) != ISCP_OK) {
        goto end;
    }
    if ((status = iscp_downstream_pollable(downstream, &fd, &error)) != ISCP_OK) {
        goto end;
    }
    printf("waiting for points of %s; press Enter to end\n", source);
    fflush(stdout);
    if ((status = loop(downstream, fd, &points, &error)) != ISCP_OK) {
        goto end;
    }
    if ((status = iscp_conn_close_wait(conn, -1, &error)) != ISCP_OK) {
        goto end;
    }
    printf("received %llu points\n", (unsigned long long)points);
    exit_status = EXIT_SUCCESS;

end:
    if (status != ISCP_OK) {
        example_print_error("downstream_poll", status, error);
    }
    iscp_downstream_free(downstream);
    iscp_conn_free(conn);
    iscp_downstream_options_free(downstream_options);
    iscp_conn_options_free(options);
    return exit_status;
}
