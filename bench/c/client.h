/* Connections and streams as all roles open them. What fails ends the program with a message. */
#ifndef BENCH_CLIENT_H
#define BENCH_CLIENT_H

#include "common/options.h"

#include <iscp/iscp.h>

/* Between two points, as the data says; nobody looks at a clock for it. */
#define ELAPSED_NS 1000
/* How long anything may take that waits for the server. */
#define LIMIT_MS (ANSWER_LIMIT_S * 1000)

/* How an upstream differs from one with the defaults. */
struct delivery {
    /* Every point is sent by itself. */
    bool immediate;
    /* The server acknowledges every chunk at once; otherwise as often as by default. */
    bool ack_at_once;
    /* Payload bytes at which a chunk is sent; 0 is the default policy. */
    size_t flush_size;
};

/* A stream to write to, and its connection. */
struct source {
    iscp_conn_t *conn;
    iscp_upstream_t *upstream;
    iscp_data_id_t *ids;
};

/* Ends the program when a step failed, with what and why. */
void check(const char *what, iscp_status_t status, iscp_error_t *error);

iscp_conn_t *client_connect(const struct options *options, const char *node);
/* A connection as `node` with an upstream and its data ids. */
struct source source_open(const struct options *options, const char *node, struct delivery delivery);
/* Waits until everything is acknowledged. */
void source_flush(const struct source *source);
void source_close(struct source *source);

/* A downstream of what the session sends. */
iscp_downstream_t *subscribe(iscp_conn_t *conn, const struct options *options);

#endif
