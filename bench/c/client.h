/* Connections and streams as all roles open them. What fails ends the program with a message. */
#ifndef BENCH_CLIENT_H
#define BENCH_CLIENT_H

#include "settings.h"

#include <iscp/iscp.h>

/* Between two points, as the data says; nobody looks at a clock for it. */
#define ELAPSED_NS 1000
/* How long anything may take that waits for the server. */
#define LIMIT_MS 120000

/* A stream to write to, and its connection. */
struct source {
    iscp_conn_t *conn;
    iscp_upstream_t *upstream;
    iscp_data_id_t *ids;
};

/* Ends the program when a step failed, with what and why. */
void check(const char *what, iscp_status_t status, iscp_error_t *error);

iscp_conn_t *client_connect(const struct settings *settings, const char *node);
/* A connection as `node` with an upstream and its data ids. */
struct source source_open(const struct settings *settings, const char *node);
/* Waits until everything is acknowledged. */
void source_flush(const struct source *source);
void source_close(struct source *source);

/* The bytes of a point, the same in every worker, so that compression has the same work. To be freed. */
uint8_t *payload_new(size_t size);

/* A downstream of what the session sends. */
iscp_downstream_t *subscribe(iscp_conn_t *conn, const struct settings *settings);

#endif
