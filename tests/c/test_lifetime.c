/* What is delivered when streams and connections are closed, freed and shared; test_lifecycle.c has the rest
 * of the life of handles. */
#include "client.h"

static struct broker broker;
static iscp_conn_t *reader;
static iscp_downstream_t *from_sender;

static void begin(void) {
    broker_start(&broker, NULL);
    reader = client_connect(broker.url, "reader");
    from_sender = client_downstream(reader, "sender");
}

static void end(void) {
    iscp_downstream_free(from_sender);
    iscp_conn_free(reader);
    client_shutdown();
    broker_stop(&broker);
}

static iscp_conn_t *conn;
static iscp_upstream_t *up;
static iscp_downstream_t *down;
static iscp_conn_options_t *options;

static void free_conn(void) {
    iscp_conn_free(conn);
}
static void free_up(void) {
    iscp_upstream_free(up);
}
static void free_down(void) {
    iscp_downstream_free(down);
}
static void free_options(void) {
    iscp_conn_options_free(options);
}

/* All 24 orders; each time what was written and not flushed arrives all the same. */
TEST(free_in_every_order) {
    begin();
    void (*const parts[4])(void) = {free_conn, free_up, free_down, free_options};
    for (int order = 0; order < 256; order++) {
        int at[4] = {order & 3, order >> 2 & 3, order >> 4 & 3, order >> 6 & 3};
        if ((1 << at[0] | 1 << at[1] | 1 << at[2] | 1 << at[3]) != 15) {
            continue;
        }
        options = conn_options(broker.url, "sender", NULL);
        conn = NULL;
        OK(iscp_connect_wait(options, -1, &conn, &error));
        up = client_upstream(conn, "flush_policy", "none", NULL);
        down = client_downstream(conn, "nobody");
        iscp_data_id_t id = client_data_id(up, "a");
        for (int i = 0; i < 10; i++) {
            client_write(up, id, i, "x");
        }
        for (int i = 0; i < 4; i++) {
            parts[at[i]]();
        }
        CHECK_EQ(client_read_points(from_sender, 10), 10);
        iscp_metadata_t *closed = client_read_metadata(from_sender, ISCP_METADATA_UPSTREAM_NORMAL_CLOSE);
        CHECK_EQ(iscp_metadata_total_points(closed), 10);
        iscp_metadata_free(closed);
    }
    end();
}

TEST(stream_outlives_its_connection_handle) {
    begin();
    conn = client_connect(broker.url, "sender");
    up = client_upstream(conn, NULL);
    iscp_conn_free(conn);
    client_write(up, client_data_id(up, "a"), 0, "x");
    OK(iscp_upstream_flush_wait(up, ISCP_FLUSH_ACKNOWLEDGED, -1, &error));
    OK(iscp_upstream_close_wait(up, false, -1, &error));
    iscp_upstream_free(up);
    end();
}

/* Closing the connection delivers what was written and not flushed. */
TEST(closing_the_connection_closes_its_streams) {
    begin();
    conn = client_connect(broker.url, "sender");
    up = client_upstream(conn, "flush_policy", "none", NULL);
    client_write(up, client_data_id(up, "a"), 0, "x");
    OK(iscp_conn_close_wait(conn, -1, &error));
    iscp_metadata_t *closed = client_read_metadata(from_sender, ISCP_METADATA_UPSTREAM_NORMAL_CLOSE);
    CHECK_EQ(iscp_metadata_total_points(closed), 1);
    iscp_metadata_free(closed);
    CHECK_STATUS(iscp_upstream_write(up, 1, 0, NULL, 0), ISCP_ERR_CLOSED);
    FAILS(iscp_upstream_close_wait(up, false, -1, &error), ISCP_ERR_CLOSED, "");
    iscp_upstream_free(up);
    iscp_conn_free(conn);
    end();
}

static struct event waiting;

static void *wait_for_chunk(void *argument) {
    iscp_downstream_t *target = argument;
    iscp_chunk_t *chunk = NULL;
    event_signal(&waiting);
    iscp_status_t status = iscp_downstream_next_chunk_wait(target, -1, &chunk, NULL);
    CHECK_STATUS(status, ISCP_ERR_CLOSED);
    CHECK(chunk == NULL);
    return NULL;
}

TEST(close_while_another_thread_waits) {
    begin();
    waiting = (struct event)EVENT_INIT;
    conn = client_connect(broker.url, "sender");
    down = client_downstream(conn, "nobody");
    pthread_t other;
    CHECK(pthread_create(&other, NULL, wait_for_chunk, down) == 0);
    event_wait(&waiting, 1, "the other thread");
    OK(iscp_downstream_close_wait(down, -1, &error));
    test_waiting_for("the thread whose downstream was closed");
    pthread_join(other, NULL);
    iscp_downstream_free(down);
    iscp_conn_free(conn);
    end();
}

static void *write_many(void *argument) {
    iscp_data_id_t id = *(iscp_data_id_t *)argument;
    for (int i = 0; i < 1000; i++) {
        CHECK_STATUS(iscp_upstream_write(up, id, i, (const uint8_t *)"x", 1), ISCP_OK);
    }
    return NULL;
}

TEST(threads_write_at_once) {
    begin();
    conn = client_connect(broker.url, "sender");
    up = client_upstream(conn, NULL);
    iscp_data_id_t ids[4];
    pthread_t threads[4];
    static const char *const names[] = {"a", "b", "c", "d"};
    for (int i = 0; i < 4; i++) {
        ids[i] = client_data_id(up, names[i]);
        CHECK(pthread_create(&threads[i], NULL, write_many, &ids[i]) == 0);
    }
    for (int i = 0; i < 4; i++) {
        pthread_join(threads[i], NULL);
    }
    OK(iscp_upstream_close_wait(up, false, -1, &error));
    CHECK_EQ(upstream_stat(up, ISCP_UPSTREAM_STAT_TOTAL_POINTS), 4000);
    CHECK_EQ(client_read_points(from_sender, 4000), 4000);
    iscp_upstream_free(up);
    iscp_conn_free(conn);
    end();
}

TEST(chunk_outlives_everything) {
    begin();
    conn = client_connect(broker.url, "sender");
    up = client_upstream(conn, NULL);
    client_write(up, client_data_id(up, "a"), 7, "payload");
    iscp_upstream_free(up);
    iscp_conn_free(conn);
    iscp_chunk_t *chunk = NULL;
    OK(iscp_downstream_next_chunk_wait(from_sender, -1, &chunk, &error));
    end();
    const iscp_data_point_t *points;
    const char *name;
    CHECK_STATUS(iscp_chunk_group(chunk, 0, &name, NULL, &points, NULL), ISCP_OK);
    CHECK_TEXT(name, "a");
    CHECK(points[0].payload_len == 7 && memcmp(points[0].payload, "payload", 7) == 0);
    iscp_chunk_free(chunk);
}
