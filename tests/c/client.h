/* Shorthands of the tests for connecting, opening, writing and reading; they succeed or end the case. */
#ifndef CLIENT_H
#define CLIENT_H

#include "process.h"

/* Options with what the pairs of key and value say, ended by NULL. */
iscp_conn_options_t *conn_options(const char *url, const char *node, ...);
iscp_upstream_options_t *upstream_options(const char *key, ...);

/* A connection as a node. */
iscp_conn_t *client_connect(const char *url, const char *node);

/* An upstream: session "session", RELIABLE, and what the pairs of key and value say, ended by NULL. */
iscp_upstream_t *client_upstream(iscp_conn_t *conn, ...);

/* A RELIABLE downstream of everything of a node. */
iscp_downstream_t *client_downstream(iscp_conn_t *conn, const char *node);

iscp_data_id_t client_data_id(iscp_upstream_t *upstream, const char *name);
void client_write(iscp_upstream_t *upstream, iscp_data_id_t id, int64_t elapsed_ns, const char *text);

/* Reads until `count` points have arrived; returns how many did, which may be more. */
size_t client_read_points(iscp_downstream_t *downstream, size_t count);

/* The next metadata of a kind; others are skipped. Freed by the caller. */
iscp_metadata_t *client_read_metadata(iscp_downstream_t *downstream, iscp_metadata_kind_t kind);

uint64_t upstream_stat(const iscp_upstream_t *upstream, iscp_upstream_stat_t stat);
uint64_t downstream_stat(const iscp_downstream_t *downstream, iscp_downstream_stat_t stat);

/* Closes every connection and ends the library's threads, so that nothing is left for valgrind. */
void client_shutdown(void);

#endif
