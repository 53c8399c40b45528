/* Every type of handle, described once: how to make, use, close and free one, and what blocks with it. The
 * tests of lifecycles go through this table; handles_complete.cmake compares it with the types of the header.
 */
#ifndef LIFECYCLE_H
#define LIFECYCLE_H

#include "client.h"

#define MAX_TYPES 24

/* Where handles come from: a broker, and the parents of what is made next. */
struct family {
    struct broker broker;
    iscp_conn_t *conn;
    iscp_upstream_t *up;
    iscp_downstream_t *down;
};

struct handle_type {
    const char *name;
    /* A new handle. The first connection and the first streams become the parents of what is made later. */
    void *(*make)(struct family *family);
    void (*free)(void *handle);
    /* A call that leaves the handle as it is; ISCP_OK, or what it says of the handle. Of NULL it says
     * `of_null`. */
    iscp_status_t (*use)(void *handle);
    iscp_status_t of_null;
    /* What it says in a forked child, if that is not ISCP_ERR_FORKED: types without a status say only that a
     * handle is of no use. */
    iscp_status_t of_forked;
    /* The call is the one that ends the handle, because the type has no other. */
    bool use_ends;
    /* The others may be NULL: another owner; the end of what the handle stands for. */
    void *(*ref)(void *handle);
    iscp_status_t (*close)(void *handle);
    /* Calls that block until another thread frees the handle. */
    iscp_status_t (*waits[6])(void *handle);
};

extern const struct handle_type handle_types[];
extern const size_t handle_type_count;

/* A broker, without parents. */
void family_start(struct family *family);

/* One handle of every type, children of those among them. */
void family_make(struct family *family, void **handles);

/* Ends a handle: frees it, or uses it if that is its end. */
void handle_end(const struct handle_type *type, void *handle);

/* Everything of the process ends. */
void family_stop(struct family *family);

#endif
