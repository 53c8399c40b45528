/* Metadata of a node: which streams it opens, loses, resumes and closes, and which base times it sends. The
 * data itself is not asked for.
 *
 *   metadata [--url URL] [--source NODE]
 *
 * It ends when an upstream of the node is closed. */
#include "example.h"

static void print_uuid(iscp_uuid_t id) {
    for (size_t i = 0; i < sizeof id.bytes; i++) {
        printf("%s%02x", i == 4 || i == 6 || i == 8 || i == 10 ? "-" : "", id.bytes[i]);
    }
}

static void print_filters(const iscp_metadata_t *metadata) {
    for (size_t i = 0; i < iscp_metadata_filter_count(metadata); i++) {
        const char *node, *name, *type;
        if (iscp_metadata_filter(metadata, i, &node, &name, &type) == ISCP_OK) {
            printf("  it receives %s:%s of %s\n", type, name, node);
        }
    }
}

/* Which accessors mean something depends on the kind. */
static void print(const iscp_metadata_t *metadata) {
    iscp_metadata_kind_t kind = iscp_metadata_kind(metadata);
    printf("%s ", iscp_metadata_kind_name(kind));
    switch (kind) {
    case ISCP_METADATA_BASE_TIME:
        /* On the session's clock it was `elapsed` when the named clock showed `base`. */
        printf("of session %s: %s, priority %u, elapsed %.3f s is %.3f s since 1970\n",
               iscp_metadata_session_id(metadata), iscp_metadata_name(metadata),
               (unsigned)iscp_metadata_priority(metadata),
               (double)iscp_metadata_elapsed_time_ns(metadata) / 1e9,
               (double)iscp_metadata_base_time_ns(metadata) / 1e9);
        break;
    case ISCP_METADATA_UPSTREAM_ABNORMAL_CLOSE:
    case ISCP_METADATA_UPSTREAM_NORMAL_CLOSE:
        print_uuid(iscp_metadata_stream_id(metadata));
        printf(" of session %s after %llu points\n", iscp_metadata_session_id(metadata),
               (unsigned long long)iscp_metadata_total_points(metadata));
        break;
    default:
        print_uuid(iscp_metadata_stream_id(metadata));
        printf(", QoS %d\n", (int)iscp_metadata_qos(metadata));
        print_filters(metadata); /* of downstreams; upstreams have none */
    }
    fflush(stdout);
}

int main(int argc, char **argv) {
    static const char *const names[] = {"--url", "--source", NULL};
    if (!example_options_valid(argc, argv, names)) {
        return 2;
    }
    const char *source = example_option(argc, argv, "--source", "basetime-example");
    iscp_error_t *error = NULL;
    iscp_conn_t *conn = example_connect(example_option(argc, argv, "--url", EXAMPLE_URL), "observer");

    /* Metadata of a node come with every downstream that has a filter for the node. This filter matches no
     * data id, and chunks without a match are left out, so metadata are all that comes. */
    iscp_downstream_t *downstream = NULL;
    iscp_downstream_options_t *options = iscp_downstream_options_new();
    example_check("filter", iscp_downstream_options_add_filter(options, source, "none:none", &error), &error);
    example_check("empty", iscp_downstream_options_set_omit_empty_chunk(options, true, &error), &error);
    example_check("subscribe", iscp_downstream_open_wait(conn, options, -1, &downstream, &error), &error);
    iscp_downstream_options_free(options);
    printf("waiting for metadata of %s\n", source);
    fflush(stdout);

    for (bool closed = false; !closed;) {
        iscp_metadata_t *metadata;
        example_check("read", iscp_downstream_next_metadata_wait(downstream, -1, &metadata, &error), &error);
        print(metadata);
        closed = iscp_metadata_kind(metadata) == ISCP_METADATA_UPSTREAM_NORMAL_CLOSE;
        iscp_metadata_free(metadata);
    }
    iscp_downstream_free(downstream);
    example_disconnect(conn);
    return EXIT_SUCCESS;
}
