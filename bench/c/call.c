/* What a call of iscp_upstream_write costs its caller, above a call that does nothing. */
#include "client.h"
#include "common/fail.h"
#include "common/measure.h"
#include "common/points.h"
#include "common/results.h"
#include "roles.h"

#include <stdio.h>
#include <stdlib.h>

#define BATCH 1000

static int compare(const void *a, const void *b) {
    double x = *(const double *)a, y = *(const double *)b;
    return (x > y) - (x < y);
}

static double median(double *values, size_t count) {
    qsort(values, count, sizeof *values, compare);
    return values[count / 2];
}

void run_write(const struct options *options) {
    size_t batches = (size_t)((options->points + BATCH - 1) / BATCH);
    double *empty = allocate(batches, sizeof *empty), *write = allocate(batches, sizeof *write);
    uint8_t *payload = payload_new(options->payload);
    /* Chunks of several batches: at the median there is a batch of calls without one, which is what is asked
     * for. What chunks cost is in the role `pub`. */
    struct delivery delivery = {.flush_size = 8 * BATCH * options->payload};
    struct source source = source_open(options, options->session, delivery);
    for (size_t batch = 0; batch < batches; batch++) {
        /* Volatile, or the compiler would make one call of a thousand. */
        volatile uint32_t version;
        int64_t start = clock_ns();
        for (int i = 0; i < BATCH; i++) {
            version = iscp_version_number();
        }
        (void)version;
        int64_t middle = clock_ns();
        iscp_status_t status = ISCP_OK;
        for (int i = 0; i < BATCH && status == ISCP_OK; i++) {
            status =
                iscp_upstream_write(source.upstream, source.ids[0], ((int64_t)batch * BATCH + i) * ELAPSED_NS,
                                    payload, options->payload);
        }
        int64_t end = clock_ns();
        check("write", status, NULL);
        empty[batch] = (double)(middle - start) / BATCH;
        write[batch] = (double)(end - middle) / BATCH;
    }
    source_flush(&source);
    source_close(&source);
    printf("{\"points\":%zu,\"write_ns\":%.3f,\"empty_ns\":%.3f", batches * BATCH, median(write, batches),
           median(empty, batches));
    print_end("}");
    free(empty);
    free(write);
    free(payload);
}
