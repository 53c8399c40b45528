/* What the examples with event loops do when a descriptor is readable: take everything there is, without
 * waiting. */
#ifndef DRAIN_H
#define DRAIN_H

#include "example.h"

/* Takes the chunks and metadata that have arrived; false when the stream has ended, which is told. Metadata
 * are taken although nobody wants them: the descriptor stays readable as long as any wait. */
static inline bool drain_downstream(iscp_downstream_t *downstream, unsigned long *points) {
    iscp_metadata_t *metadata;
    while (iscp_downstream_next_metadata_wait(downstream, 0, &metadata, NULL) == ISCP_OK) {
        iscp_metadata_free(metadata);
    }
    iscp_status_t status;
    iscp_chunk_t *chunk;
    iscp_error_t *error = NULL;
    while ((status = iscp_downstream_next_chunk_wait(downstream, 0, &chunk, &error)) == ISCP_OK) {
        *points += iscp_chunk_point_count(chunk);
        printf("chunk %lu, %lu points so far\n", (unsigned long)iscp_chunk_sequence_number(chunk), *points);
        iscp_chunk_free(chunk);
    }
    bool goes_on = status == ISCP_ERR_WOULD_BLOCK;
    if (!goes_on) {
        printf("the stream has ended: %s\n", iscp_error_message(error));
    }
    fflush(stdout);
    iscp_error_free(error);
    return goes_on;
}

/* Takes the events of a connection; false when it has ended. */
static inline bool drain_events(iscp_conn_t *conn) {
    iscp_event_t *event;
    iscp_status_t status;
    while ((status = iscp_conn_next_event_wait(conn, 0, &event, NULL)) == ISCP_OK) {
        const iscp_error_t *why = iscp_event_error(event);
        printf("event: %s%s%s\n", iscp_event_kind_name(iscp_event_kind(event)), why != NULL ? ": " : "",
               why != NULL ? iscp_error_message(why) : "");
        iscp_event_free(event);
    }
    fflush(stdout);
    return status == ISCP_ERR_WOULD_BLOCK;
}

#endif
