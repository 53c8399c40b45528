/* Metadata: every kind that a broker of streams without a resume produces, with all its fields. */
#include "client.h"

#include <arpa/inet.h>
#include <netinet/in.h>
#include <poll.h>
#include <sys/socket.h>
#include <unistd.h>

static struct broker broker;
static iscp_conn_t *reader, *sender;
static iscp_downstream_t *from_sender;

static void begin(void) {
    broker_start(&broker, NULL);
    reader = client_connect(broker.url, "reader");
    from_sender = client_downstream(reader, "sender");
    sender = client_connect(broker.url, "sender");
}

static void end(void) {
    iscp_conn_free(sender);
    iscp_downstream_free(from_sender);
    iscp_conn_free(reader);
    client_shutdown();
    broker_stop(&broker);
}

/* The next metadata, which must be of a kind. */
static iscp_metadata_t *next(iscp_metadata_kind_t kind) {
    iscp_metadata_t *metadata = NULL;
    OK(iscp_downstream_next_metadata_wait(from_sender, -1, &metadata, &error));
    CHECK_TEXT(iscp_metadata_kind_name(iscp_metadata_kind(metadata)), iscp_metadata_kind_name(kind));
    CHECK_TEXT(iscp_metadata_source_node_id(metadata), "sender");
    return metadata;
}

static bool same_id(iscp_uuid_t a, iscp_uuid_t b) {
    return memcmp(a.bytes, b.bytes, sizeof a.bytes) == 0;
}

static void check_filter(const iscp_metadata_t *metadata, size_t filter, const char *node, const char *type,
                         const char *name) {
    const char *texts[3] = {NULL, NULL, NULL};
    CHECK_STATUS(iscp_metadata_filter(metadata, filter, &texts[0], &texts[1], &texts[2]), ISCP_OK);
    CHECK_TEXT(texts[0], node);
    CHECK_TEXT(texts[1], name);
    CHECK_TEXT(texts[2], type);
}

TEST(base_times_persisted_or_not) {
    begin();
    for (int persist = 0; persist < 2; persist++) {
        OK(iscp_conn_send_base_time_wait(sender, "session", "edge_rtc", 4000000000, 7, -5, persist == 1, -1,
                                         &error));
        iscp_metadata_t *metadata = next(ISCP_METADATA_BASE_TIME);
        CHECK_TEXT(iscp_metadata_session_id(metadata), "session");
        CHECK_TEXT(iscp_metadata_name(metadata), "edge_rtc");
        CHECK_EQ(iscp_metadata_priority(metadata), 4000000000);
        CHECK_EQ(iscp_metadata_elapsed_time_ns(metadata), 7);
        CHECK_EQ(iscp_metadata_base_time_ns(metadata), -5);
        CHECK_EQ(iscp_metadata_filter_count(metadata), 0);
        iscp_metadata_free(metadata);
    }
    end();
}

TEST(upstreams_that_open_and_close) {
    begin();
    static const struct {
        const char *name;
        iscp_qos_t qos;
        bool persist, close_session;
    } streams[] = {{"unreliable", ISCP_QOS_UNRELIABLE, false, false},
                   {"reliable", ISCP_QOS_RELIABLE, true, false},
                   {"partial", ISCP_QOS_PARTIAL, false, true}};
    for (size_t i = 0; i < 3; i++) {
        iscp_upstream_t *up = client_upstream(sender, "qos", streams[i].name, "persist",
                                              streams[i].persist ? "true" : "false", NULL);
        iscp_metadata_t *metadata = next(ISCP_METADATA_UPSTREAM_OPEN);
        CHECK(same_id(iscp_metadata_stream_id(metadata), iscp_upstream_id(up)));
        CHECK_TEXT(iscp_metadata_session_id(metadata), "session");
        CHECK_EQ(iscp_metadata_qos(metadata), streams[i].qos);
        iscp_metadata_free(metadata);
        iscp_data_id_t id = client_data_id(up, "a");
        for (int point = 0; point < 3; point++) {
            client_write(up, id, point, "x");
            OK(iscp_upstream_flush_wait(up, ISCP_FLUSH_ACKNOWLEDGED, -1, &error));
        }
        OK(iscp_upstream_close_wait(up, streams[i].close_session, -1, &error));
        metadata = next(ISCP_METADATA_UPSTREAM_NORMAL_CLOSE);
        CHECK(same_id(iscp_metadata_stream_id(metadata), iscp_upstream_id(up)));
        CHECK_TEXT(iscp_metadata_session_id(metadata), "session");
        CHECK_EQ(iscp_metadata_total_points(metadata), 3);
        CHECK_EQ(iscp_metadata_final_sequence_number(metadata), 3);
        iscp_metadata_free(metadata);
        iscp_upstream_free(up);
    }
    end();
}

static iscp_downstream_t *open_downstream(iscp_conn_t *conn) {
    iscp_downstream_t *down = NULL;
    iscp_downstream_options_t *options = iscp_downstream_options_new();
    OK(iscp_downstream_options_add_filter(options, "a", "t:x", &error));
    OK(iscp_downstream_options_add_filter(options, "b", "#:+/y", &error));
    OK(iscp_downstream_options_add_filter(options, "a", "u:#", &error));
    OK(iscp_downstream_options_set_qos(options, ISCP_QOS_PARTIAL, &error));
    OK(iscp_downstream_options_set_expiry_interval_ms(options, 0, &error));
    OK(iscp_downstream_open_wait(conn, options, -1, &down, &error));
    iscp_downstream_options_free(options);
    return down;
}

TEST(downstreams_that_open_and_close) {
    begin();
    iscp_downstream_t *down = open_downstream(sender);
    iscp_metadata_t *metadata = next(ISCP_METADATA_DOWNSTREAM_OPEN);
    CHECK(same_id(iscp_metadata_stream_id(metadata), iscp_downstream_id(down)));
    CHECK_EQ(iscp_metadata_qos(metadata), ISCP_QOS_PARTIAL);
    CHECK_TEXT(iscp_metadata_session_id(metadata), "");
    /* By node, in the order of the nodes' first filters. */
    CHECK_EQ(iscp_metadata_filter_count(metadata), 3);
    check_filter(metadata, 0, "a", "t", "x");
    check_filter(metadata, 1, "a", "u", "#");
    check_filter(metadata, 2, "b", "#", "+/y");
    const char *text = "x", *other = "x";
    CHECK_STATUS(iscp_metadata_filter(metadata, 3, &text, &other, &other), ISCP_ERR_INVALID_ARGUMENT);
    CHECK(text == NULL && other == NULL);
    CHECK_STATUS(iscp_metadata_filter(metadata, 0, &text, NULL, &other), ISCP_ERR_NULL_ARGUMENT);
    CHECK_STATUS(iscp_metadata_filter(NULL, 0, &text, &other, &other), ISCP_ERR_NULL_ARGUMENT);
    iscp_metadata_free(metadata);
    OK(iscp_downstream_close_wait(down, -1, &error));
    metadata = next(ISCP_METADATA_DOWNSTREAM_NORMAL_CLOSE);
    CHECK(same_id(iscp_metadata_stream_id(metadata), iscp_downstream_id(down)));
    iscp_metadata_free(metadata);
    iscp_downstream_free(down);
    end();
}

/* Carries one connection to the broker until it is cut. */
struct relay {
    int listener, stop[2], port;
    char url[64];
    pthread_t thread;
};

static bool carry(int from, int to) {
    char buffer[4096];
    ssize_t length = read(from, buffer, sizeof buffer);
    return length > 0 && write(to, buffer, (size_t)length) == length;
}

static void *relay_run(void *argument) {
    struct relay *relay = argument;
    struct sockaddr_in address = {.sin_family = AF_INET,
                                  .sin_addr.s_addr = htonl(INADDR_LOOPBACK),
                                  .sin_port = htons((uint16_t)relay->port)};
    int client = accept(relay->listener, NULL, NULL);
    int server = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    CHECK(client >= 0 && connect(server, (struct sockaddr *)&address, sizeof address) == 0);
    struct pollfd ready[] = {{.fd = client, .events = POLLIN},
                             {.fd = server, .events = POLLIN},
                             {.fd = relay->stop[0], .events = POLLIN}};
    do {
        CHECK(poll(ready, 3, -1) > 0);
    } while (ready[2].revents == 0 && (ready[0].revents == 0 || carry(client, server)) &&
             (ready[1].revents == 0 || carry(server, client)));
    close(client);
    close(server);
    return NULL;
}

static void relay_start(struct relay *relay) {
    struct sockaddr_in address = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    socklen_t length = sizeof address;
    CHECK(sscanf(broker.url, "ws://127.0.0.1:%d", &relay->port) == 1);
    relay->listener = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    CHECK(bind(relay->listener, (struct sockaddr *)&address, length) == 0);
    CHECK(listen(relay->listener, 1) == 0);
    CHECK(getsockname(relay->listener, (struct sockaddr *)&address, &length) == 0);
    snprintf(relay->url, sizeof relay->url, "ws://127.0.0.1:%d", ntohs(address.sin_port));
    CHECK(pipe(relay->stop) == 0);
    CHECK(pthread_create(&relay->thread, NULL, relay_run, relay) == 0);
}

static void relay_cut(struct relay *relay) {
    CHECK(write(relay->stop[1], "x", 1) == 1);
    pthread_join(relay->thread, NULL);
    close(relay->listener);
    close(relay->stop[0]);
    close(relay->stop[1]);
}

TEST(streams_that_are_lost) {
    begin();
    struct relay relay;
    relay_start(&relay);
    iscp_conn_t *far = client_connect(relay.url, "sender");
    iscp_upstream_t *up = client_upstream(far, "expiry_interval_ms", "0", NULL);
    iscp_downstream_t *down = open_downstream(far);
    iscp_metadata_free(next(ISCP_METADATA_UPSTREAM_OPEN));
    iscp_metadata_free(next(ISCP_METADATA_DOWNSTREAM_OPEN));
    relay_cut(&relay);
    iscp_metadata_t *metadata = next(ISCP_METADATA_DOWNSTREAM_ABNORMAL_CLOSE);
    CHECK(same_id(iscp_metadata_stream_id(metadata), iscp_downstream_id(down)));
    iscp_metadata_free(metadata);
    metadata = next(ISCP_METADATA_UPSTREAM_ABNORMAL_CLOSE);
    CHECK(same_id(iscp_metadata_stream_id(metadata), iscp_upstream_id(up)));
    CHECK_TEXT(iscp_metadata_session_id(metadata), "session");
    iscp_metadata_free(metadata);
    iscp_upstream_free(up);
    iscp_downstream_free(down);
    iscp_conn_free(far);
    end();
}

/* A reader that comes later is told of what runs and how its times are to be read. */
TEST(a_late_reader) {
    begin();
    OK(iscp_conn_send_base_time_wait(sender, "session", "edge_rtc", 1, 0, 1000, true, -1, &error));
    iscp_upstream_t *up = client_upstream(sender, NULL);
    iscp_downstream_t *late = client_downstream(reader, "sender");
    iscp_metadata_free(client_read_metadata(late, ISCP_METADATA_UPSTREAM_OPEN));
    iscp_metadata_t *metadata = client_read_metadata(late, ISCP_METADATA_BASE_TIME);
    CHECK_EQ(iscp_metadata_base_time_ns(metadata), 1000);
    iscp_metadata_free(metadata);
    iscp_downstream_free(late);
    iscp_upstream_free(up);
    end();
}
