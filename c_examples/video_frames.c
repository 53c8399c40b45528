/* Video: thirty frames a second of 50 KB each. One program plays both ends. The camera writes each frame from
 * the buffer it is in, the viewer looks at it where it was received: neither copies it.
 *
 *   video_frames [--url URL] [--frames N] */
#include "example.h"

#include <pthread.h>

#define FRAME_SIZE 50000
#define FRAME_INTERVAL_NS (INT64_C(1000000000) / 30)

struct viewer {
    pthread_mutex_t mutex;
    pthread_cond_t changed;
    long frames;
    long damaged;
    uint64_t bytes;
};

/* What a camera would put into its buffer. */
static void take_picture(uint8_t *frame, long number) {
    memset(frame, (int)(number % 251), FRAME_SIZE);
}

static bool is_picture(const uint8_t *frame, size_t size, long number) {
    uint8_t expected = (uint8_t)(number % 251);
    return size == FRAME_SIZE && frame[0] == expected && memcmp(frame, frame + 1, size - 1) == 0;
}

/* Runs on the dispatcher thread. The payloads are views into the message that arrived, valid until the
 * callback returns. A decoder on another thread would take the chunk with iscp_chunk_ref, and free it when it
 * is done. */
static void on_chunk(const iscp_chunk_t *chunk, void *user_data) {
    struct viewer *viewer = user_data;
    pthread_mutex_lock(&viewer->mutex);
    for (size_t g = 0; g < iscp_chunk_group_count(chunk); g++) {
        const iscp_data_point_t *points;
        size_t count;
        if (iscp_chunk_group(chunk, g, NULL, NULL, &points, &count) != ISCP_OK) {
            continue;
        }
        for (size_t p = 0; p < count; p++) {
            if (!is_picture(points[p].payload, points[p].payload_len, viewer->frames)) {
                viewer->damaged++;
            }
            viewer->frames++;
            viewer->bytes += points[p].payload_len;
        }
    }
    pthread_cond_broadcast(&viewer->changed);
    pthread_mutex_unlock(&viewer->mutex);
}

static iscp_upstream_t *open_upstream(iscp_conn_t *conn) {
    iscp_upstream_t *upstream = NULL;
    iscp_error_t *error = NULL;
    iscp_upstream_options_t *options = iscp_upstream_options_new();
    example_check("qos", iscp_upstream_options_set_qos(options, ISCP_QOS_RELIABLE, &error), &error);
    /* A frame is worth a chunk of its own: it leaves at once. */
    example_check("policy", iscp_upstream_options_set_flush_policy(options, "immediate", &error), &error);
    example_check("open upstream", iscp_upstream_open_wait(conn, options, -1, &upstream, &error), &error);
    iscp_upstream_options_free(options);
    return upstream;
}

int main(int argc, char **argv) {
    static const char *const names[] = {"--url", "--frames", NULL};
    if (!example_options_valid(argc, argv, names)) {
        return 2;
    }
    static struct viewer viewer = {.mutex = PTHREAD_MUTEX_INITIALIZER, .changed = PTHREAD_COND_INITIALIZER};
    static uint8_t frame[FRAME_SIZE];
    const char *url = example_option(argc, argv, "--url", EXAMPLE_URL);
    long frames = strtol(example_option(argc, argv, "--frames", "300"), NULL, 10);
    iscp_error_t *error = NULL;

    iscp_conn_t *viewing = example_connect(url, "viewer");
    iscp_downstream_t *downstream = example_subscribe(viewing, "camera");
    example_check("read", iscp_downstream_read(downstream, on_chunk, &viewer, NULL, &error), &error);
    iscp_conn_t *filming = example_connect(url, "camera");
    iscp_upstream_t *upstream = open_upstream(filming);
    iscp_data_id_t id;
    example_check("data id", iscp_upstream_data_id(upstream, "front", "frame", &id, &error), &error);

    int64_t start = example_clock_ns(CLOCK_MONOTONIC);
    for (long i = 0; i < frames; i++) {
        int64_t at = start + i * FRAME_INTERVAL_NS;
        struct timespec until = {.tv_sec = at / 1000000000, .tv_nsec = at % 1000000000};
        clock_nanosleep(CLOCK_MONOTONIC, TIMER_ABSTIME, &until, NULL);
        take_picture(frame, i);
        /* When this returns, the buffer is free for the next picture. */
        example_check("write", iscp_upstream_write(upstream, id, i * FRAME_INTERVAL_NS, frame, sizeof frame),
                      NULL);
    }
    example_check("close upstream", iscp_upstream_close_wait(upstream, false, -1, &error), &error);

    pthread_mutex_lock(&viewer.mutex);
    while (viewer.frames < frames) {
        pthread_cond_wait(&viewer.changed, &viewer.mutex);
    }
    printf("received %ld frames, %.1f MB, %ld damaged\n", viewer.frames, (double)viewer.bytes / 1e6,
           viewer.damaged);
    bool good = viewer.damaged == 0;
    pthread_mutex_unlock(&viewer.mutex);
    iscp_upstream_free(upstream);
    iscp_downstream_free(downstream);
    example_disconnect(filming);
    example_disconnect(viewing);
    return good ? EXIT_SUCCESS : EXIT_FAILURE;
}
