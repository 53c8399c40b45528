#include "client.h"
#include "common/fail.h"

#include <stdio.h>
#include <stdlib.h>

void check(const char *what, iscp_status_t status, iscp_error_t *error) {
    if (status != ISCP_OK) {
        const char *detail = error != NULL ? iscp_error_message(error) : iscp_status_text(status);
        fail("%s: %s (%s)", what, detail, iscp_status_name(status));
    }
}

static void set_url(iscp_conn_options_t *settings, const char *url) {
    iscp_error_t *error = NULL;
    iscp_status_t status = iscp_conn_options_set_url(settings, url, &error);
    if (status == ISCP_ERR_INVALID_OPTION || status == ISCP_ERR_UNSUPPORTED) {
        unsupported("%s: %s", url, iscp_error_message(error));
    }
    check("url", status, error);
}

iscp_conn_t *client_connect(const struct options *options, const char *node) {
    iscp_error_t *error = NULL;
    iscp_conn_t *conn = NULL;
    iscp_conn_options_t *settings = iscp_conn_options_new();
    const char *encoding = options->json ? "json" : "protobuf";
    set_url(settings, options->url);
    check("node", iscp_conn_options_set_node_id(settings, node, &error), error);
    check("encoding", iscp_conn_options_set_encoding(settings, encoding, &error), error);
    if (options->compression > 0) {
        char compression[48];
        snprintf(compression, sizeof compression, "per-message:%u", options->compression);
        check("compression", iscp_conn_options_set_compression(settings, compression, &error), error);
    }
    if (options->ca != NULL) {
        check("ca", iscp_conn_options_set_tls_ca_file(settings, options->ca, &error), error);
    }
    /* A loss would falsify what is measured. */
    check("reconnect", iscp_conn_options_set_reconnect(settings, false, &error), error);
    check("connect", iscp_connect_wait(settings, LIMIT_MS, &conn, &error), error);
    iscp_conn_options_free(settings);
    return conn;
}

struct source source_open(const struct options *options, const char *node, struct delivery delivery) {
    struct source source = {.conn = client_connect(options, node)};
    iscp_error_t *error = NULL;
    iscp_upstream_options_t *settings = iscp_upstream_options_new();
    iscp_qos_t qos = options->reliable ? ISCP_QOS_RELIABLE : ISCP_QOS_UNRELIABLE;
    check("qos", iscp_upstream_options_set_qos(settings, qos, &error), error);
    if (delivery.immediate) {
        check("flush", iscp_upstream_options_set_flush_policy(settings, "immediate", &error), error);
    }
    if (delivery.ack_at_once) {
        check("ack interval", iscp_upstream_options_set_ack_interval_ms(settings, 0, &error), error);
    }
    if (delivery.flush_size > 0) {
        check("flush", iscp_upstream_options_set_flush_policy(settings, "size", &error), error);
        check("flush", iscp_upstream_options_set_flush_size(settings, delivery.flush_size, &error), error);
    }
    /* On a busy machine a write may wait for longer than by default. */
    check("time-out", iscp_upstream_options_set_write_timeout_ms(settings, LIMIT_MS, &error), error);
    /* Announced, so that they have aliases from the first chunk on. */
    for (unsigned i = 0; i < options->ids; i++) {
        char name[32];
        snprintf(name, sizeof name, "bench:d%u", i);
        check("data id", iscp_upstream_options_add_data_id(settings, name, &error), error);
    }
    check("open upstream", iscp_upstream_open_wait(source.conn, settings, LIMIT_MS, &source.upstream, &error),
          error);
    iscp_upstream_options_free(settings);
    source.ids = allocate(options->ids, sizeof *source.ids);
    for (unsigned i = 0; i < options->ids; i++) {
        char name[32];
        snprintf(name, sizeof name, "d%u", i);
        check("data id", iscp_upstream_data_id(source.upstream, name, "bench", &source.ids[i], &error),
              error);
    }
    return source;
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

iscp_downstream_t *subscribe(iscp_conn_t *conn, const struct options *options) {
    iscp_error_t *error = NULL;
    iscp_downstream_t *downstream = NULL;
    iscp_downstream_options_t *settings = iscp_downstream_options_new();
    check("filter", iscp_downstream_options_add_filter(settings, options->session, "#:#", &error), error);
    iscp_qos_t qos = options->reliable ? ISCP_QOS_RELIABLE : ISCP_QOS_UNRELIABLE;
    check("qos", iscp_downstream_options_set_qos(settings, qos, &error), error);
    check("empty", iscp_downstream_options_set_omit_empty_chunk(settings, true, &error), error);
    check("subscribe", iscp_downstream_open_wait(conn, settings, LIMIT_MS, &downstream, &error), error);
    iscp_downstream_options_free(settings);
    return downstream;
}
