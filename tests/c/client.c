#include "client.h"

#include <stdarg.h>

iscp_conn_options_t *conn_options(const char *url, const char *node, ...) {
    iscp_conn_options_t *options = iscp_conn_options_new();
    OK(iscp_conn_options_set_url(options, url, &error));
    OK(iscp_conn_options_set_node_id(options, node, &error));
    va_list pairs;
    va_start(pairs, node);
    for (const char *key; (key = va_arg(pairs, const char *)) != NULL;) {
        OK(iscp_conn_options_set(options, key, va_arg(pairs, const char *), &error));
    }
    va_end(pairs);
    return options;
}

static iscp_upstream_options_t *upstream_options_of(const char *key, va_list pairs) {
    iscp_upstream_options_t *options = iscp_upstream_options_new();
    OK(iscp_upstream_options_set_session_id(options, "session", &error));
    OK(iscp_upstream_options_set_qos(options, ISCP_QOS_RELIABLE, &error));
    for (; key != NULL; key = va_arg(pairs, const char *)) {
        OK(iscp_upstream_options_set(options, key, va_arg(pairs, const char *), &error));
    }
    return options;
}

iscp_upstream_options_t *upstream_options(const char *key, ...) {
    va_list pairs;
    va_start(pairs, key);
    iscp_upstream_options_t *options = upstream_options_of(key, pairs);
    va_end(pairs);
    return options;
}

iscp_conn_t *client_connect(const char *url, const char *node) {
    iscp_conn_t *conn = NULL;
    iscp_conn_options_t *options = conn_options(url, node, NULL);
    OK(iscp_connect_wait(options, -1, &conn, &error));
    iscp_conn_options_free(options);
    return conn;
}

iscp_upstream_t *client_upstream(iscp_conn_t *conn, ...) {
    iscp_upstream_t *upstream = NULL;
    va_list pairs;
    va_start(pairs, conn);
    const char *key = va_arg(pairs, const char *);
    iscp_upstream_options_t *options = upstream_options_of(key, pairs);
    va_end(pairs);
    OK(iscp_upstream_open_wait(conn, options, -1, &upstream, &error));
    iscp_upstream_options_free(options);
    return upstream;
}

iscp_downstream_t *client_downstream(iscp_conn_t *conn, const char *node) {
    iscp_downstream_t *downstream = NULL;
    iscp_downstream_options_t *options = iscp_downstream_options_new();
    OK(iscp_downstream_options_add_filter(options, node, "#:#", &error));
    OK(iscp_downstream_options_set_qos(options, ISCP_QOS_RELIABLE, &error));
    OK(iscp_downstream_open_wait(conn, options, -1, &downstream, &error));
    iscp_downstream_options_free(options);
    return downstream;
}

iscp_data_id_t client_data_id(iscp_upstream_t *upstream, const char *name) {
    iscp_data_id_t id;
    OK(iscp_upstream_data_id(upstream, name, "string", &id, &error));
    return id;
}

void client_write(iscp_upstream_t *upstream, iscp_data_id_t id, int64_t elapsed_ns, const char *text) {
    CHECK_STATUS(iscp_upstream_write(upstream, id, elapsed_ns, (const uint8_t *)text, strlen(text)), ISCP_OK);
}

size_t client_read_points(iscp_downstream_t *downstream, size_t count) {
    size_t received = 0;
    while (received < count) {
        iscp_chunk_t *chunk = NULL;
        OK(iscp_downstream_next_chunk_wait(downstream, -1, &chunk, &error));
        received += iscp_chunk_point_count(chunk);
        iscp_chunk_free(chunk);
    }
    return received;
}

iscp_metadata_t *client_read_metadata(iscp_downstream_t *downstream, iscp_metadata_kind_t kind) {
    for (;;) {
        iscp_metadata_t *metadata = NULL;
        OK(iscp_downstream_next_metadata_wait(downstream, -1, &metadata, &error));
        if (iscp_metadata_kind(metadata) == kind) {
            return metadata;
        }
        iscp_metadata_free(metadata);
    }
}

uint64_t upstream_stat(const iscp_upstream_t *upstream, iscp_upstream_stat_t stat) {
    uint64_t value;
    CHECK_STATUS(iscp_upstream_stat(upstream, stat, &value), ISCP_OK);
    return value;
}

uint64_t downstream_stat(const iscp_downstream_t *downstream, iscp_downstream_stat_t stat) {
    uint64_t value;
    CHECK_STATUS(iscp_downstream_stat(downstream, stat, &value), ISCP_OK);
    return value;
}

void client_shutdown(void) {
    OK(iscp_shutdown(-1, &error));
}
