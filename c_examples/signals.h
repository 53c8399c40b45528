/* What the viewer of the telemetry demo knows: the newest values, counts, latencies. */
#ifndef SIGNALS_H
#define SIGNALS_H

#include "telemetry.h"

#include <iscp/iscp.h>

#define SIGNALS_HISTORY 120
#define SIGNALS_LATENCIES 100000

struct signal_state {
    double values[SIGNALS_HISTORY]; /* ring of the newest, number n in slot n % SIGNALS_HISTORY */
    uint64_t count;
    int64_t arrivals[2 * TELEMETRY_PER_SECOND]; /* ring of clock times, for points per second */
};

struct signals {
    struct signal_state state[TELEMETRY_SIGNALS];
    uint64_t points, chunks, foreign_points;
    /* Sequence numbers of one stream have no gaps; a gap is a lost chunk. */
    uint32_t first_sequence, last_sequence;
    uint64_t lost_chunks;
    iscp_uuid_t stream;
    char session[128];
    bool have_stream, have_base, closed, aborted;
    int64_t base_time_ns, base_elapsed_ns;
    uint64_t total_points; /* as the source counted them, once it closed its stream */
    /* Newest latencies in nanoseconds: ring of `latency_count` so far. */
    int64_t latencies[SIGNALS_LATENCIES];
    uint64_t latency_count;
};

/* Takes a received chunk into account; `now_ns` is the clock, CLOCK_REALTIME. */
void signals_chunk(struct signals *signals, const iscp_chunk_t *chunk, int64_t now_ns);

/* Takes received metadata into account. */
void signals_metadata(struct signals *signals, const iscp_metadata_t *metadata);

/* Points of a signal in the second before `now_ns`. */
double signals_rate(const struct signal_state *state, int64_t now_ns);

/* Latency that `fraction` of the points did not exceed, in milliseconds; -1 when there is none. */
double signals_latency_ms(const struct signals *signals, double fraction);

/* Points that were sent and did not arrive, as far as they can be known. */
uint64_t signals_lost(const struct signals *signals);

/* Value with its unit, such as "12.3 %". */
void signals_format(size_t signal, double value, char *text, size_t size);

#endif
