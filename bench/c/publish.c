/* As many points as the server takes: what they cost, and how fast they go. */
#include "client.h"
#include "common/fail.h"
#include "common/points.h"
#include "common/results.h"
#include "roles.h"

#include <stdlib.h>

static struct source *sources_open(const struct options *options) {
    struct source *sources = allocate(options->connections, sizeof *sources);
    struct delivery delivery = {.immediate = options->immediate};
    for (unsigned i = 0; i < options->connections; i++) {
        sources[i] = source_open(options, options->session, delivery);
    }
    return sources;
}

static void write_point(const struct source *source, unsigned id, uint64_t index, const uint8_t *payload,
                        size_t size) {
    iscp_status_t status =
        iscp_upstream_write(source->upstream, source->ids[id], (int64_t)(index * ELAPSED_NS), payload, size);
    if (status != ISCP_OK) {
        check("write", status, NULL);
    }
}

static void write_points(const struct options *options, const struct source *sources,
                         const uint8_t *payload) {
    struct pacer pacer;
    pacer_start(&pacer, options->rate);
    unsigned id = 0, source = 0;
    for (uint64_t i = 0; i < options->points; i++) {
        if (options->rate > 0) {
            pacer_wait(&pacer);
        }
        write_point(&sources[source], id, i, payload, options->payload);
        if (++source == options->connections) {
            source = 0;
            id = id + 1 == options->ids ? 0 : id + 1;
        }
    }
}

void run_pub(const struct options *options) {
    struct source *sources = sources_open(options);
    uint8_t *payload = payload_new(options->payload);
    struct publication publication;
    publication_start(&publication);
    write_points(options, sources, payload);
    for (unsigned i = 0; i < options->connections; i++) {
        source_flush(&sources[i]);
    }
    print_pub(options, &publication, options->reliable ? "all" : "none");
    for (unsigned i = 0; i < options->connections; i++) {
        source_close(&sources[i]);
    }
    free(payload);
    free(sources);
}

void run_start(const struct options *options) {
    struct delivery delivery = {.immediate = true, .ack_at_once = true};
    struct source source = source_open(options, options->session, delivery);
    uint8_t *payload = payload_new(options->payload);
    write_point(&source, 0, 0, payload, options->payload);
    source_flush(&source);
    print_start();
}
