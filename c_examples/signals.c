#include "signals.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static size_t signal_of(const char *name) {
    size_t i = 0;
    while (i < TELEMETRY_SIGNALS && strcmp(name, telemetry_names[i]) != 0) {
        i++;
    }
    return i;
}

static bool same_stream(const struct signals *signals, iscp_uuid_t stream) {
    return signals->have_stream && memcmp(&signals->stream, &stream, sizeof stream) == 0;
}

/* The first stream seen is the one that is shown. */
static bool follow_stream(struct signals *signals, iscp_uuid_t stream, const char *session) {
    if (!signals->have_stream) {
        signals->have_stream = true;
        signals->stream = stream;
        snprintf(signals->session, sizeof signals->session, "%s", session);
    }
    return same_stream(signals, stream);
}

static void add_latency(struct signals *signals, int64_t elapsed_ns, int64_t now_ns) {
    if (signals->have_base) {
        int64_t sent_ns = signals->base_time_ns + (elapsed_ns - signals->base_elapsed_ns);
        signals->latencies[signals->latency_count++ % SIGNALS_LATENCIES] = now_ns - sent_ns;
    }
}

void signals_chunk(struct signals *signals, const iscp_chunk_t *chunk, int64_t now_ns) {
    if (!follow_stream(signals, iscp_chunk_upstream_id(chunk), iscp_chunk_session_id(chunk))) {
        signals->foreign_points += iscp_chunk_point_count(chunk);
        return;
    }
    uint32_t sequence = iscp_chunk_sequence_number(chunk);
    if (signals->chunks++ == 0) {
        signals->first_sequence = sequence;
    } else if (sequence > signals->last_sequence + 1) {
        signals->lost_chunks += sequence - signals->last_sequence - 1;
    }
    signals->last_sequence = sequence;
    size_t groups = iscp_chunk_group_count(chunk);
    for (size_t g = 0; g < groups; g++) {
        const char *name, *type;
        const iscp_data_point_t *points;
        size_t count;
        if (iscp_chunk_group(chunk, g, &name, &type, &points, &count) != ISCP_OK) {
            continue;
        }
        size_t i = signal_of(name);
        signals->points += count;
        for (size_t p = 0; p < count; p++) {
            add_latency(signals, points[p].elapsed_time_ns, now_ns);
            if (i < TELEMETRY_SIGNALS && strcmp(type, TELEMETRY_TYPE) == 0 && points[p].payload_len == 8) {
                struct signal_state *state = &signals->state[i];
                state->values[state->count % SIGNALS_HISTORY] = telemetry_decode(points[p].payload);
                state->arrivals[state->count % (2 * TELEMETRY_PER_SECOND)] = now_ns;
                state->count++;
            }
        }
    }
}

void signals_metadata(struct signals *signals, const iscp_metadata_t *metadata) {
    switch (iscp_metadata_kind(metadata)) {
    case ISCP_METADATA_UPSTREAM_OPEN:
        follow_stream(signals, iscp_metadata_stream_id(metadata), iscp_metadata_session_id(metadata));
        break;
    case ISCP_METADATA_BASE_TIME:
        if (!signals->have_stream || strcmp(signals->session, iscp_metadata_session_id(metadata)) == 0) {
            signals->have_base = true;
            signals->base_time_ns = iscp_metadata_base_time_ns(metadata);
            signals->base_elapsed_ns = iscp_metadata_elapsed_time_ns(metadata);
        }
        break;
    case ISCP_METADATA_UPSTREAM_NORMAL_CLOSE:
        if (same_stream(signals, iscp_metadata_stream_id(metadata))) {
            signals->closed = true;
            signals->total_points = iscp_metadata_total_points(metadata);
        }
        break;
    case ISCP_METADATA_UPSTREAM_ABNORMAL_CLOSE:
        if (same_stream(signals, iscp_metadata_stream_id(metadata))) {
            signals->aborted = true;
        }
        break;
    default:
        break;
    }
}

double signals_rate(const struct signal_state *state, int64_t now_ns) {
    size_t size = sizeof state->arrivals / sizeof state->arrivals[0];
    size_t filled = state->count < size ? (size_t)state->count : size;
    double count = 0;
    for (size_t i = 0; i < filled; i++) {
        count += now_ns - state->arrivals[i] <= 1000000000;
    }
    return count;
}

static int compare(const void *a, const void *b) {
    int64_t x = *(const int64_t *)a, y = *(const int64_t *)b;
    return (x > y) - (x < y);
}

double signals_latency_ms(const struct signals *signals, double fraction) {
    size_t count =
        signals->latency_count < SIGNALS_LATENCIES ? (size_t)signals->latency_count : SIGNALS_LATENCIES;
    int64_t *sorted = count > 0 ? malloc(count * sizeof *sorted) : NULL;
    if (sorted == NULL) {
        return -1;
    }
    memcpy(sorted, signals->latencies, count * sizeof *sorted);
    qsort(sorted, count, sizeof *sorted, compare);
    size_t at = (size_t)(fraction * (double)count);
    double latency = (double)sorted[at < count ? at : count - 1] / 1e6;
    free(sorted);
    return latency;
}

uint64_t signals_lost(const struct signals *signals) {
    /* Who joined late cannot know how many points the chunks before had. */
    bool from_the_start = signals->chunks == 0 || signals->first_sequence == 1;
    if (signals->closed && from_the_start && signals->total_points >= signals->points) {
        return signals->total_points - signals->points;
    }
    return signals->lost_chunks * TELEMETRY_SIGNALS;
}

void signals_format(size_t signal, double value, char *text, size_t size) {
    const char *name = telemetry_names[signal];
    if (strstr(name, "percent") != NULL) {
        snprintf(text, size, "%.1f %%", value);
    } else if (strstr(name, "bytes") != NULL) {
        static const char *const units[] = {"B/s", "kB/s", "MB/s", "GB/s"};
        size_t unit = 0;
        while (value >= 1000 && unit < 3) {
            value /= 1000;
            unit++;
        }
        snprintf(text, size, "%.*f %s", unit == 0 ? 0 : 1, value, units[unit]);
    } else if (strstr(name, "per_second") != NULL) {
        snprintf(text, size, "%.0f /s", value);
    } else {
        snprintf(text, size, "%.2f", value);
    }
}
