/* The points that a worker publishes: what is in them, what they are called and when they are due. */
#ifndef BENCH_COMMON_POINTS_H
#define BENCH_COMMON_POINTS_H

#include "options.h"

#include <stddef.h>
#include <stdint.h>
#include <string.h>

/* Bytes of a point: the same in every worker, so that compression has the same work. To be freed. */
uint8_t *payload_new(size_t size);

/* The time stamp in the first eight bytes of a payload. */
static inline void stamp_put(uint8_t *payload, int64_t ns) {
    memcpy(payload, &ns, sizeof ns);
}

static inline int64_t stamp_get(const uint8_t *payload) {
    int64_t ns;
    memcpy(&ns, payload, sizeof ns);
    return ns;
}

/* Topics or subjects below the session, as many as there are data ids. */
char **topics_new(const struct options *options, char separator);
void topics_free(char **topics, const struct options *options);

/* When the points of a given rate are due. */
struct pacer {
    int64_t start;
    double interval_ns;
    uint64_t next;
};

/* rate: points per second; 0 makes every point due at once. */
void pacer_start(struct pacer *pacer, double rate);
/* Waits until the next point is due, and returns its time stamp: the time of the return, or, when a call of
 * the client held the publisher up beyond it, the time when the point was due. Otherwise a client that blocks
 * would hide the points that wait ("coordinated omission"); the lateness of a timer is not the client's. */
int64_t pacer_wait(struct pacer *pacer);

#endif
