#include "client.h"

#include <stdio.h>
#include <stdlib.h>

void check(const char *what, iscp_status_t status, iscp_error_t *error) {
    if (status != ISCP_OK) {
        const char *detail = error != NULL ? iscp_error_message(error) : iscp_status_text(status);
        fprintf(stderr, "%s: %s (%s)\n", what, detail, iscp_status_name(status));
        exit(EXIT_FAILURE);
    }
}

iscp_conn_t *client_connect(const struct settings *settings, const char *node) {
    iscp_error_t *error = NULL;
    iscp_conn_t *conn = NULL;
    iscp_conn_options_t *options = iscp_conn_options_new();
    check("url", iscp_conn_options_set_url(options, settings->url, &error), error);
    check("node", iscp_conn_options_set_node_id(options, node, &error), error);
    check("encoding", iscp_conn_options_set_encoding(options, settings->encoding, &error), error);
    if (settings->compression > 0) {
        char compression[48];
        snprintf(compression, sizeof compression, "per-message:%ld", settings->compression);
        check("compression", iscp_conn_options_set_compression(options, compression, &error), error);
    }
    if (settings->ca != NULL) {
        check("ca", iscp_conn_options_set_tls_ca_file(options, settings->ca, &error), error);
    }
    /* A loss would falsify what is measured. */
    check("reconnect", iscp_conn_options_set_reconnect(options, false, &error), error);
    check("connect", iscp_connect_wait(options, LIMIT_MS, &conn, &error), error);
    iscp_conn_options_free(options);
    return conn;
}

struct source source_open(const struct settings *settings, const char *node) {
    struct source source = {.conn = client_connect(settings, node)};
    iscp_error_t *error = NULL;
    iscp_upstream_options_t *options = iscp_upstream_options_new();
    iscp_qos_t qos = settings->reliable ? ISCP_QOS_RELIABLE : ISCP_QOS_UNRELIABLE;
    check("qos", iscp_upstream_options_set_qos(options, qos, &error), error);
    if (settings->immediate) {
        check("flush", iscp_upstream_options_set_flush_policy(options, "immediate", &error), error);
    }
    if (settings->ack_at_once) {
        check("ack interval", iscp_upstream_options_set_ack_interval_ms(options, 0, &error), error);
    }
    if (settings->flush_size > 0) {
        check("flush", iscp_upstream_options_set_flush_policy(options, "size", &error), error);
        check("flush", iscp_upstream_options_set_flush_size(options, settings->flush_size, &error), error);
    }
    /* On a busy machine a write may wait for longer than by default. */
    check("time-out", iscp_upstream_options_set_write_timeout_ms(options, LIMIT_MS, &error), error);
    /* Announced, so that they have aliases from the first chunk on. */
    for (long i = 0; i < settings->ids; i++) {
        char name[32];
        snprintf(name, sizeof name, "bench:d%ld", i);
        check("data id", iscp_upstream_options_add_data_id(options, name, &error), error);
    }
    check("open upstream", iscp_upstream_open_wait(source.conn, options, LIMIT_MS, &source.upstream, &error),
          error);
    iscp_upstream_options_free(options);
    source.ids = calloc((size_t)settings->ids, sizeof *source.ids);
    if (source.ids == NULL) {
        fprintf(stderr, "no memory for data ids\n");
        exit(EXIT_FAILURE);
    }
    for (long i = 0; i < settings->ids; i++) {
        char name[32];
        snprintf(name, sizeof name, "d%ld", i);
        check("data id", iscp_upstream_data_id(source.upstream, name, "bench", &source.ids[i], &error),
              error);
    }
    return source;
}

uint8_t *payload_new(size_t size) {
    uint8_t *payload = malloc(size);
    if (payload == NULL) {
        fprintf(stderr, "no memory for a payload\n");
        exit(EXIT_FAILURE);
    }
    uint32_t state = 1;
    for (size_t i = 0; i < size; i++) {
        /* The generator of the C standard's example: nothing within the payload repeats. */
        state = state * 1103515245 + 12345;
        payload[i] = (uint8_t)(state >> 16);
    }
    return payload;
}

void source_flush(const struct source *source) {
    iscp_error_t *error = NULL;
    check("flush", iscp_upstream_flush_wait(source->upstream, ISCP_FLUSH_ACKNOWLEDGED, LIMIT_MS, &error),
          error);
}

void source_close(struct source *source) {
    iscp_error_t *error = NULL;
    check("close", iscp_conn_close_wait(source->conn, LIMIT_MS, &error), error);
    iscp_upstream_free(source->upstream);
    iscp_conn_free(source->conn);
    free(source->ids);
}

iscp_downstream_t *subscribe(iscp_conn_t *conn, const struct settings *settings) {
    iscp_error_t *error = NULL;
    iscp_downstream_t *downstream = NULL;
    iscp_downstream_options_t *options = iscp_downstream_options_new();
    check("filter", iscp_downstream_options_add_filter(options, settings->session, "#:#", &error), error);
    iscp_qos_t qos = settings->reliable ? ISCP_QOS_RELIABLE : ISCP_QOS_UNRELIABLE;
    check("qos", iscp_downstream_options_set_qos(options, qos, &error), error);
    check("empty", iscp_downstream_options_set_omit_empty_chunk(options, true, &error), error);
    check("subscribe", iscp_downstream_open_wait(conn, options, LIMIT_MS, &downstream, &error), error);
    iscp_downstream_options_free(options);
    return downstream;
}
