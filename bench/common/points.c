#include "points.h"

#include "fail.h"
#include "measure.h"

#include <stdio.h>
#include <stdlib.h>

uint8_t *payload_new(size_t size) {
    uint8_t *payload = allocate(size, 1);
    uint32_t state = 1;
    for (size_t i = 0; i < size; i++) {
        /* The generator of the C standard's example: nothing in the payload repeats. */
        state = state * 1103515245 + 12345;
        payload[i] = (uint8_t)(state >> 16);
    }
    return payload;
}

char **topics_new(const struct options *options, char separator) {
    char **topics = allocate(options->ids, sizeof *topics);
    for (unsigned i = 0; i < options->ids; i++) {
        size_t size = strlen(options->session) + 16;
        topics[i] = allocate(size, 1);
        snprintf(topics[i], size, "%s%cd%u", options->session, separator, i);
    }
    return topics;
}

void topics_free(char **topics, const struct options *options) {
    for (unsigned i = 0; i < options->ids; i++) {
        free(topics[i]);
    }
    free(topics);
}

void pacer_start(struct pacer *pacer, double rate) {
    *pacer = (struct pacer){.start = clock_ns(), .interval_ns = rate > 0 ? 1e9 / rate : 0};
}

int64_t pacer_wait(struct pacer *pacer) {
    int64_t now = clock_ns();
    if (pacer->interval_ns == 0) {
        return now;
    }
    int64_t due = pacer->start + (int64_t)((double)pacer->next++ * pacer->interval_ns);
    if (due <= now) {
        return due;
    }
    sleep_until(due);
    return clock_ns();
}
