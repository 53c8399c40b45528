/* A process that forks while it is connected. The child cannot use what the parent opened, for a fork copies
 * memory and no threads: every call says so and does no harm. What wants a connection of its own in the child
 * is executed anew, and the parent goes on undisturbed.
 *
 *   fork_safe [--url URL] */
#include "example.h"

#include <sys/wait.h>
#include <unistd.h>

static iscp_upstream_t *open_upstream(iscp_conn_t *conn, iscp_data_id_t *id) {
    iscp_upstream_t *upstream = NULL;
    iscp_error_t *error = NULL;
    iscp_upstream_options_t *options = iscp_upstream_options_new();
    example_check("qos", iscp_upstream_options_set_qos(options, ISCP_QOS_RELIABLE, &error), &error);
    example_check("open upstream", iscp_upstream_open_wait(conn, options, -1, &upstream, &error), &error);
    iscp_upstream_options_free(options);
    example_check("data id", iscp_upstream_data_id(upstream, "from", "string", id, &error), &error);
    return upstream;
}

static void write_text(iscp_upstream_t *upstream, iscp_data_id_t id, int64_t elapsed_ns, const char *text) {
    example_check("write", iscp_upstream_write(upstream, id, elapsed_ns, (const uint8_t *)text, strlen(text)),
                  NULL);
}

/* What the executed child does: all from the beginning. */
static int be_worker(const char *url) {
    iscp_error_t *error = NULL;
    iscp_data_id_t id;
    iscp_conn_t *conn = example_connect(url, "worker");
    iscp_upstream_t *upstream = open_upstream(conn, &id);
    write_text(upstream, id, 0, "worker");
    example_check("close upstream", iscp_upstream_close_wait(upstream, false, -1, &error), &error);
    iscp_upstream_free(upstream);
    example_disconnect(conn);
    printf("worker: delivered over a connection of its own\n");
    return EXIT_SUCCESS;
}

/* What the child does first, only to show it: a real one would execute the worker at once. */
static void be_child(iscp_conn_t *conn, iscp_upstream_t *upstream, iscp_data_id_t id) {
    iscp_status_t status = iscp_upstream_write(upstream, id, 0, NULL, 0);
    printf("child: writing to the parent's stream gives %s\n", iscp_status_name(status));
    /* Freeing is allowed, and does nothing: what they stand for belongs to the parent. */
    iscp_upstream_free(upstream);
    iscp_conn_free(conn);
    fflush(stdout);
}

int main(int argc, char **argv) {
    static const char *const names[] = {"--url", "--role", NULL};
    if (!example_options_valid(argc, argv, names)) {
        return 2;
    }
    const char *url = example_option(argc, argv, "--url", EXAMPLE_URL);
    if (strcmp(example_option(argc, argv, "--role", "parent"), "worker") == 0) {
        return be_worker(url);
    }
    iscp_error_t *error = NULL;
    iscp_data_id_t id;
    iscp_conn_t *conn = example_connect(url, "parent");
    iscp_upstream_t *upstream = open_upstream(conn, &id);
    write_text(upstream, id, 0, "before the fork");

    fflush(stdout); /* or both processes print what is in the buffer */
    pid_t child = fork();
    if (child < 0) {
        perror("fork");
        return EXIT_FAILURE;
    }
    if (child == 0) {
        be_child(conn, upstream, id);
        /* The library's sockets and descriptors are closed by it. */
        execl(argv[0], argv[0], "--role", "worker", "--url", url, (char *)NULL);
        perror(argv[0]);
        _exit(EXIT_FAILURE); /* not exit: what the parent registered is not the child's to run */
    }

    write_text(upstream, id, 1000000, "after the fork");
    example_check("close upstream", iscp_upstream_close_wait(upstream, false, -1, &error), &error);
    iscp_upstream_free(upstream);
    example_disconnect(conn);
    int status = 0;
    if (waitpid(child, &status, 0) != child || status != 0) {
        fprintf(stderr, "the child failed\n");
        return EXIT_FAILURE;
    }
    printf("parent: delivered 2 points, before and after the fork\n");
    return EXIT_SUCCESS;
}
