/* Points that are kept on disk: what one connection could not deliver is delivered by the next. */
#include "client.h"

#include <stdlib.h>
#include <unistd.h>

static struct broker broker;
static struct chaos chaos;
static char dir[64];

static void begin(void) {
    broker_start(&broker, NULL);
    chaos_start(&chaos, &broker);
    snprintf(dir, sizeof dir, "/tmp/libiscp-spool-XXXXXX");
    CHECK(mkdtemp(dir) != NULL);
}

/* What is left once nothing waits there. */
static void remove_spool(void) {
    char path[128];
    snprintf(path, sizeof path, "%s/lock", dir);
    CHECK_EQ(unlink(path), 0);
    CHECK_EQ(rmdir(dir), 0);
}

static void end(void) {
    client_shutdown();
    chaos_stop(&chaos);
    broker_stop(&broker);
    remove_spool();
}

static uint64_t stat_of(const iscp_conn_t *conn, iscp_conn_stat_t stat_number) {
    uint64_t value = UINT64_MAX;
    CHECK_STATUS(iscp_conn_stat(conn, stat_number, &value), ISCP_OK);
    return value;
}

struct told {
    struct event outcome, released;
    char session[32];
    iscp_uuid_t former, stream;
    uint64_t points, missing;
    iscp_status_t error;
};

static void on_spool(const char *session_id, const iscp_uuid_t *former, const iscp_uuid_t *stream,
                     uint64_t points, uint64_t missing_points, const iscp_error_t *failure, void *user_data) {
    struct told *told = user_data;
    snprintf(told->session, sizeof told->session, "%s", session_id);
    told->former = *former;
    told->stream = *stream;
    told->points = points;
    told->missing = missing_points;
    told->error = iscp_error_code(failure);
    event_signal(&told->outcome);
}

static void on_release(void *user_data) {
    event_signal(&((struct told *)user_data)->released);
}

TEST(what_one_connection_leaves_the_next_delivers) {
    begin();
    iscp_conn_t *reader = client_connect(broker.url, "reader");
    iscp_downstream_t *from_sender = client_downstream(reader, "sender");
    iscp_conn_options_t *options =
        conn_options(chaos.url, "sender", "spool_dir", dir, "spool_sync", "disk", "spool_limit_bytes",
                     "1000000", "close_timeout_ms", "100", NULL);
    iscp_conn_t *sender = NULL;
    OK(iscp_connect_wait(options, -1, &sender, &error));
    iscp_conn_t *second = NULL;
    FAILS(iscp_connect_wait(options, -1, &second, &error), ISCP_ERR_SPOOL, dir);

    iscp_upstream_t *up = client_upstream(sender, NULL);
    iscp_data_id_t id = client_data_id(up, "n");
    client_write(up, id, 1, "delivered");
    OK(iscp_upstream_flush_wait(up, ISCP_FLUSH_ACKNOWLEDGED, -1, &error));
    iscp_uuid_t stream = iscp_upstream_id(up);
    chaos_do(&chaos, "refuse");
    chaos_do(&chaos, "cut");
    client_write(up, id, 2, "left");
    client_write(up, id, 3, "behind");
    CHECK(stat_of(sender, ISCP_CONN_STAT_SPOOL_BYTES) > 0);
    CHECK(iscp_conn_close_wait(sender, -1, NULL) != ISCP_OK);
    iscp_upstream_free(up);
    iscp_conn_free(sender);

    chaos_do(&chaos, "accept");
    struct told told = {.outcome = EVENT_INIT, .released = EVENT_INIT};
    OK(iscp_conn_options_set_spool_callback(options, on_spool, &told, on_release, &error));
    /* The connection gives the directory back once it is gone, which nobody waits for. */
    EVENTUALLY(iscp_connect_wait(options, -1, &sender, NULL) == ISCP_OK);
    event_wait(&told.outcome, 1, "the outcome");
    CHECK_TEXT(told.session, "session");
    CHECK_EQ(told.points, 2);
    CHECK_EQ(told.missing, 0);
    CHECK_EQ(told.error, ISCP_OK);
    CHECK(memcmp(&told.former, &stream, sizeof stream) == 0 &&
          memcmp(&told.stream, &stream, sizeof stream) == 0);
    CHECK_EQ(stat_of(sender, ISCP_CONN_STAT_SPOOL_RECOVERED), 2);
    CHECK_EQ(stat_of(sender, ISCP_CONN_STAT_SPOOL_DROPPED), 0);
    CHECK_EQ(stat_of(sender, ISCP_CONN_STAT_SPOOL_BYTES), 0);
    CHECK_EQ(client_read_points(from_sender, 3), 3);
    OK(iscp_conn_close_wait(sender, -1, &error));
    iscp_conn_free(sender);
    iscp_conn_options_free(options);
    event_wait(&told.released, 1, "the release");
    CHECK_EQ(event_count(&told.outcome), 1);
    iscp_downstream_free(from_sender);
    iscp_conn_free(reader);
    end();
}

struct outcomes {
    struct event all, ok, dropped;
};

static void on_outcome(const iscp_error_t *error, void *user_data) {
    struct outcomes *outcomes = user_data;
    if (error == NULL) {
        event_signal(&outcomes->ok);
    } else {
        CHECK_STATUS(iscp_error_code(error), ISCP_ERR_OVERFLOW);
        event_signal(&outcomes->dropped);
    }
    event_signal(&outcomes->all);
}

/* Writes to a small buffer during an outage, so that points wait on disk; gives what became of them. */
static void write_awaited(const char *full, struct outcomes *outcomes) {
    iscp_conn_t *reader = client_connect(broker.url, "reader");
    iscp_downstream_t *from_sender = client_downstream(reader, "sender");
    iscp_conn_options_t *options =
        conn_options(chaos.url, "sender", "spool_dir", dir, "spool_limit_bytes", "1000000", "spool_full",
                     full, "reconnect_min_interval_ms", "10", "reconnect_max_interval_ms", "50", NULL);
    iscp_conn_t *sender = NULL;
    OK(iscp_connect_wait(options, -1, &sender, &error));
    iscp_conn_options_free(options);
    iscp_upstream_t *up = client_upstream(sender, "buffer_limit", "4096", NULL);
    iscp_data_id_t a = client_data_id(up, "a"), b = client_data_id(up, "b");
    chaos_do(&chaos, "refuse");
    chaos_do(&chaos, "cut");
    static const uint8_t payload[1000];
    const int count = strcmp(full, "refuse") == 0 ? 200 : 3000;
    for (int i = 0; i < count; i++) {
        iscp_upstream_point_t points[] = {{a, {i, payload, 10}}, {b, {i, payload, 10}}};
        CHECK_STATUS(iscp_upstream_write_together(up, points, 2), ISCP_OK);
        OK(iscp_upstream_write_acknowledged(up, a, i, payload, sizeof payload, on_outcome, outcomes, &error));
    }
    CHECK(upstream_stat(up, ISCP_UPSTREAM_STAT_BUFFERED_BYTES) <= 4096);
    chaos_do(&chaos, "accept");
    OK(iscp_upstream_close_wait(up, false, -1, &error));
    event_wait(&outcomes->all, count, "what became of every point");
    uint64_t dropped = stat_of(sender, ISCP_CONN_STAT_SPOOL_DROPPED);
    CHECK_EQ(dropped > 0, strcmp(full, "refuse") != 0);
    CHECK(event_count(&outcomes->dropped) <= (int)dropped);
    size_t arrived = 3 * (size_t)count - dropped;
    CHECK_EQ(client_read_points(from_sender, arrived), arrived);
    CHECK_EQ(event_count(&outcomes->all), count);
    iscp_upstream_free(up);
    iscp_downstream_free(from_sender);
    iscp_conn_free(reader);
    OK(iscp_conn_close_wait(sender, -1, &error));
    iscp_conn_free(sender);
}

TEST(writers_are_told_of_points_that_waited_on_disk) {
    begin();
    struct outcomes outcomes = {EVENT_INIT, EVENT_INIT, EVENT_INIT};
    write_awaited("refuse", &outcomes);
    CHECK_EQ(event_count(&outcomes.ok), 200);
    end();
}

TEST(writers_are_told_of_points_that_were_dropped_on_disk) {
    begin();
    struct outcomes outcomes = {EVENT_INIT, EVENT_INIT, EVENT_INIT};
    write_awaited("drop_oldest", &outcomes);
    CHECK(event_count(&outcomes.ok) > 0 && event_count(&outcomes.dropped) > 0);
    end();
}

/* A disk that takes its time: the library's call comes here instead of to the C library. */
static pthread_mutex_t disk = PTHREAD_MUTEX_INITIALIZER;
static struct event disk_asked = EVENT_INIT;

int fdatasync(int file) {
    event_signal(&disk_asked);
    pthread_mutex_lock(&disk);
    pthread_mutex_unlock(&disk);
    return fsync(file);
}

struct writing {
    iscp_upstream_t *up;
    iscp_data_id_t id;
    iscp_status_t status;
};

static void *write_one(void *argument) {
    struct writing *writing = argument;
    writing->status = iscp_upstream_write(writing->up, writing->id, 1, (const uint8_t *)"slow", 4);
    return NULL;
}

TEST(a_slow_disk_holds_up_its_writer_and_nobody_else) {
    begin();
    iscp_conn_t *reader = client_connect(broker.url, "reader");
    iscp_downstream_t *from_sender = client_downstream(reader, "sender");
    iscp_conn_options_t *options =
        conn_options(broker.url, "sender", "spool_dir", dir, "spool_sync", "disk", NULL);
    iscp_conn_t *sender = NULL;
    OK(iscp_connect_wait(options, -1, &sender, &error));
    iscp_conn_options_free(options);
    iscp_upstream_t *up = client_upstream(sender, NULL);
    struct writing writing = {up, client_data_id(up, "n"), ISCP_ERR_INTERNAL};

    pthread_mutex_lock(&disk);
    int asked_before = event_count(&disk_asked);
    pthread_t writer;
    CHECK_EQ(pthread_create(&writer, NULL, write_one, &writing), 0);
    event_wait(&disk_asked, asked_before + 1, "the disk to be asked");
    /* The point itself is sent and acknowledged, and another stream is opened, used and closed. */
    OK(iscp_upstream_flush_wait(up, ISCP_FLUSH_ACKNOWLEDGED, -1, &error));
    CHECK_EQ(client_read_points(from_sender, 1), 1);
    iscp_upstream_t *other = client_upstream(sender, "qos", "unreliable", NULL);
    client_write(other, client_data_id(other, "n"), 2, "quick");
    OK(iscp_upstream_close_wait(other, false, -1, &error));
    CHECK_EQ(client_read_points(from_sender, 1), 1);
    iscp_upstream_free(other);
    pthread_mutex_unlock(&disk);

    CHECK_EQ(pthread_join(writer, NULL), 0);
    CHECK_EQ(writing.status, ISCP_OK);
    OK(iscp_conn_close_wait(sender, -1, &error));
    iscp_upstream_free(up);
    iscp_conn_free(sender);
    iscp_downstream_free(from_sender);
    iscp_conn_free(reader);
    end();
}

/* A connection with a spool, and an upstream with more on disk than its buffer holds, during an outage. */
static iscp_conn_options_t *begin_with_backlog(iscp_conn_t **sender, iscp_upstream_t **up,
                                               iscp_data_id_t *id) {
    begin();
    iscp_conn_options_t *options = conn_options(chaos.url, "sender", "spool_dir", dir, "spool_limit_bytes",
                                                "1000000", "close_timeout_ms", "100", NULL);
    OK(iscp_connect_wait(options, -1, sender, &error));
    *up = client_upstream(*sender, "buffer_limit", "4096", "close_timeout_ms", "3000", NULL);
    *id = client_data_id(*up, "n");
    chaos_do(&chaos, "refuse");
    chaos_do(&chaos, "cut");
    static const uint8_t payload[1000];
    for (int i = 0; i < 10; i++) {
        CHECK_STATUS(iscp_upstream_write(*up, *id, i, payload, sizeof payload), ISCP_OK);
    }
    return options;
}

/* Another connection delivers what is on disk. */
static void end_with_backlog(iscp_conn_options_t *options, iscp_conn_t *sender, iscp_upstream_t *up) {
    iscp_upstream_free(up);
    iscp_conn_free(sender);
    client_shutdown();
    chaos_do(&chaos, "accept");
    OK(iscp_connect_wait(options, -1, &sender, &error));
    iscp_conn_options_free(options);
    EVENTUALLY(stat_of(sender, ISCP_CONN_STAT_SPOOL_BYTES) == 0);
    OK(iscp_conn_close_wait(sender, -1, &error));
    iscp_conn_free(sender);
    end();
}

static void on_closed(const iscp_error_t *error, void *user_data) {
    CHECK_STATUS(iscp_error_code(error), ISCP_ERR_CLOSED);
    event_signal(user_data);
}

TEST(what_waits_for_points_on_disk_ends_with_the_stream) {
    iscp_conn_t *sender;
    iscp_upstream_t *up;
    iscp_data_id_t id;
    iscp_conn_options_t *options = begin_with_backlog(&sender, &up, &id);
    struct event flushed = EVENT_INIT;
    OK(iscp_upstream_flush(up, ISCP_FLUSH_ACKNOWLEDGED, -1, on_closed, &flushed, &error));
    CHECK(iscp_conn_close_wait(sender, -1, NULL) != ISCP_OK);
    event_wait(&flushed, 1, "the flush");
    for (int round = 0; round < 2; round++) {
        FAILS(iscp_upstream_flush_wait(up, ISCP_FLUSH_SENT, -1, &error), ISCP_ERR_CLOSED, "closed");
        FAILS(iscp_upstream_flush(up, ISCP_FLUSH_SENT, -1, on_closed, &flushed, &error), ISCP_ERR_CLOSED,
              "closed");
    }
    CHECK_STATUS(iscp_upstream_write(up, id, 1, NULL, 0), ISCP_ERR_CLOSED);
    /* Why the connection ended, as long as it is there to tell. */
    CHECK(iscp_upstream_close_wait(up, false, -1, NULL) != ISCP_OK);
    end_with_backlog(options, sender, up);
    CHECK_EQ(event_count(&flushed), 1);
}

static void *write_until_it_fails(void *argument) {
    struct writing *writing = argument;
    static const uint8_t payload[3000];
    do {
        writing->status = iscp_upstream_write(writing->up, writing->id, 1, payload, sizeof payload);
    } while (writing->status == ISCP_OK);
    return NULL;
}

TEST(closing_ends_a_writer_who_waits_for_the_disk) {
    iscp_conn_t *sender;
    struct writing writing;
    iscp_conn_options_t *options = begin_with_backlog(&sender, &writing.up, &writing.id);
    pthread_t writer;
    CHECK_EQ(pthread_create(&writer, NULL, write_until_it_fails, &writing), 0);
    EVENTUALLY(stat_of(sender, ISCP_CONN_STAT_SPOOL_BYTES) > 900000);
    OK(iscp_upstream_close(writing.up, false, NULL, NULL, &error));
    CHECK_EQ(pthread_join(writer, NULL), 0);
    CHECK_STATUS(writing.status, ISCP_ERR_CLOSED);
    CHECK_EQ(iscp_upstream_state(writing.up), ISCP_UPSTREAM_STATE_CLOSING);
    end_with_backlog(options, sender, writing.up);
}

struct gate {
    struct event reached, open;
};

static void wait_at_the_gate(iscp_thread_kind_t kind, void *user_data) {
    struct gate *gate = user_data;
    if (kind == ISCP_THREAD_SPOOL) {
        event_signal(&gate->reached);
        event_wait(&gate->open, 1, "the gate");
    }
}

TEST(shutting_down_waits_for_the_thread_that_reads_the_disk) {
    begin();
    iscp_conn_options_t *options =
        conn_options(chaos.url, "sender", "spool_dir", dir, "close_timeout_ms", "100", NULL);
    iscp_conn_t *sender = NULL;
    OK(iscp_connect_wait(options, -1, &sender, &error));
    iscp_upstream_t *up = client_upstream(sender, NULL);
    chaos_do(&chaos, "refuse");
    chaos_do(&chaos, "cut");
    client_write(up, client_data_id(up, "n"), 1, "left");
    iscp_upstream_free(up);
    iscp_conn_free(sender);
    client_shutdown();

    chaos_do(&chaos, "accept");
    struct gate gate = {EVENT_INIT, EVENT_INIT};
    iscp_runtime_options_t *threads = iscp_runtime_options_new();
    OK(iscp_runtime_options_set_thread_callbacks(threads, NULL, wait_at_the_gate, &gate, NULL, &error));
    OK(iscp_runtime_configure(threads, &error));
    iscp_runtime_options_free(threads);
    OK(iscp_connect_wait(options, -1, &sender, &error));
    iscp_conn_options_free(options);
    event_wait(&gate.reached, 1, "the end of the thread");
    iscp_conn_free(sender);
    FAILS(iscp_shutdown(500, &error), ISCP_ERR_TIMEOUT, "shutdown");
    event_signal(&gate.open);
    client_shutdown();
    OK(iscp_runtime_configure(NULL, &error));
    end();
}

TEST(options_of_a_spool_are_checked) {
    iscp_conn_options_t *options = iscp_conn_options_new();
    OK(iscp_conn_options_set_spool_dir(options, "/proc/no-such-place", &error));
    OK(iscp_conn_options_set_spool_limit_bytes(options, 65536, &error));
    FAILS(iscp_conn_options_set_spool_limit_bytes(options, 65535, &error), ISCP_ERR_INVALID_OPTION,
          "spool_limit_bytes");
    OK(iscp_conn_options_set_spool_sync(options, "disk", &error));
    FAILS(iscp_conn_options_set_spool_sync(options, "never", &error), ISCP_ERR_INVALID_OPTION, "spool_sync");
    OK(iscp_conn_options_set_spool_full(options, "drop_oldest", &error));
    FAILS(iscp_conn_options_set_spool_full(options, "panic", &error), ISCP_ERR_INVALID_OPTION, "spool_full");
    struct told told = {.outcome = EVENT_INIT, .released = EVENT_INIT};
    FAILS(iscp_conn_options_set_spool_callback(options, NULL, &told, on_release, &error),
          ISCP_ERR_NULL_ARGUMENT, "callback");
    CHECK_EQ(event_count(&told.released), 1);
    OK(iscp_conn_options_set_url(options, "ws://127.0.0.1:1", &error));
    iscp_conn_t *conn = NULL;
    FAILS(iscp_connect_wait(options, -1, &conn, &error), ISCP_ERR_SPOOL, "/proc/no-such-place");
    iscp_conn_options_free(options);
}
