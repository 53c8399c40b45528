/* Two connections in one program: a bridge that receives what a node sends to one server, and sends it on to
 * another, as itself. Connections share the threads for the network and nothing else; each has a thread for
 * its callbacks.
 *
 *   multi_connection [--url URL] [--to URL] [--source NODE] [--points N] */
#include "example.h"

/* Data ids of the other side by those of this one. A group of a chunk is one data id, so it is looked up once
 * for many points, and iscp_upstream_data_id is quick for those it knows. */
static void forward_group(iscp_upstream_t *upstream, const iscp_chunk_t *chunk, size_t group, long *points) {
    const char *name, *type;
    const iscp_data_point_t *received;
    size_t count;
    iscp_data_id_t id;
    iscp_error_t *error = NULL;
    example_check("group", iscp_chunk_group(chunk, group, &name, &type, &received, &count), NULL);
    example_check("data id", iscp_upstream_data_id(upstream, name, type, &id, &error), &error);
    /* Written from where they were received. If the other network is slower, this waits, and then the first
     * server is not asked for more: the pressure goes back to the source. */
    example_check("write", iscp_upstream_write_points(upstream, id, received, count), NULL);
    *points += (long)count;
}

static iscp_upstream_t *open_upstream(iscp_conn_t *conn) {
    iscp_upstream_t *upstream = NULL;
    iscp_error_t *error = NULL;
    iscp_upstream_options_t *options = iscp_upstream_options_new();
    example_check("session", iscp_upstream_options_set_session_id(options, "bridge-session", &error), &error);
    example_check("qos", iscp_upstream_options_set_qos(options, ISCP_QOS_RELIABLE, &error), &error);
    example_check("open upstream", iscp_upstream_open_wait(conn, options, -1, &upstream, &error), &error);
    iscp_upstream_options_free(options);
    return upstream;
}

int main(int argc, char **argv) {
    static const char *const names[] = {"--url", "--to", "--source", "--points", NULL};
    if (!example_options_valid(argc, argv, names)) {
        return 2;
    }
    const char *from = example_option(argc, argv, "--url", EXAMPLE_URL);
    const char *to = example_option(argc, argv, "--to", from);
    const char *source = example_option(argc, argv, "--source", "hello");
    long wanted = strtol(example_option(argc, argv, "--points", "10"), NULL, 10);
    iscp_error_t *error = NULL;

    /* A node id is one at each server; it may be the same at both. */
    iscp_conn_t *receiving = example_connect(from, "bridge-in");
    iscp_conn_t *sending = example_connect(to, "bridge");
    iscp_downstream_t *downstream = example_subscribe(receiving, source);
    iscp_upstream_t *upstream = open_upstream(sending);
    printf("bridging %s\n", source);
    fflush(stdout);

    long points = 0;
    while (points < wanted) {
        iscp_chunk_t *chunk;
        example_check("read", iscp_downstream_next_chunk_wait(downstream, -1, &chunk, &error), &error);
        for (size_t g = 0; g < iscp_chunk_group_count(chunk); g++) {
            forward_group(upstream, chunk, g, &points);
        }
        iscp_chunk_free(chunk);
    }

    example_check("close upstream", iscp_upstream_close_wait(upstream, false, -1, &error), &error);
    iscp_upstream_free(upstream);
    iscp_downstream_free(downstream);
    example_disconnect(receiving);
    example_disconnect(sending);
    printf("forwarded %ld points\n", points);
    return EXIT_SUCCESS;
}
