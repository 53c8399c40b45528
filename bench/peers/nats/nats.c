/* The NATS client in C, core NATS without JetStream. README.md says what is measured. */
#include "common/fail.h"
#include "common/measure.h"
#include "common/options.h"
#include "common/points.h"
#include "common/results.h"

#include <nats/nats.h>

#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

struct subscriber {
    natsSubscription *subscription;
    /* What becomes of the messages; one of the two. */
    struct latencies *latencies;
    struct arrivals *arrivals;
    size_t payload;
};

static void require(natsStatus status, const char *what) {
    if (status != NATS_OK) {
        fail("%s: %s", what, natsStatus_GetText(status));
    }
}

/* A point may be lost only here: where a subscriber is too slow, the client drops what it has no room for. */
static void on_error(natsConnection *connection, natsSubscription *subscription, natsStatus status,
                     void *context) {
    (void)connection;
    (void)subscription;
    (void)context;
    fail("%s", natsStatus_GetText(status));
}

static void on_disconnected(natsConnection *connection, void *context) {
    (void)context;
    /* Also called when this side closes. */
    if (!natsConnection_IsClosed(connection)) {
        fail("the connection was lost");
    }
}

/* at_once: whether a publication is sent at once rather than together with those that follow. */
static natsConnection *connection_open(const struct options *options, bool at_once) {
    natsOptions *settings;
    require(natsOptions_Create(&settings), "options");
    require(natsOptions_SetURL(settings, options->url), options->url);
    require(natsOptions_SetAllowReconnect(settings, false), "reconnecting");
    require(natsOptions_SetSendAsap(settings, at_once), "sending at once");
    require(natsOptions_SetErrorHandler(settings, on_error, NULL), "error handler");
    require(natsOptions_SetDisconnectedCB(settings, on_disconnected, NULL), "disconnection handler");
    natsConnection *connection;
    require(natsConnection_Connect(&connection, settings), options->url);
    natsOptions_Destroy(settings);
    return connection;
}

static void connection_close(natsConnection *connection) {
    natsConnection_Close(connection);
    natsConnection_Destroy(connection);
}

static void flush(natsConnection *connection) {
    require(natsConnection_FlushTimeout(connection, ANSWER_LIMIT_S * 1000), "ping");
}

static void on_message(natsConnection *connection, natsSubscription *subscription, natsMsg *message,
                       void *context) {
    (void)connection;
    (void)subscription;
    struct subscriber *subscriber = context;
    if ((size_t)natsMsg_GetDataLength(message) != subscriber->payload) {
        fail("a message of %d bytes arrived", natsMsg_GetDataLength(message));
    }
    if (subscriber->latencies) {
        latencies_add(subscriber->latencies,
                      clock_ns() - stamp_get((const uint8_t *)natsMsg_GetData(message)));
    } else {
        arrivals_add(subscriber->arrivals, 1);
    }
    natsMsg_Destroy(message);
}

static void subscribe(struct subscriber *subscriber, natsConnection *connection,
                      const struct options *options) {
    char subject[256];
    snprintf(subject, sizeof subject, "%s.>", options->session);
    subscriber->payload = options->payload;
    require(natsConnection_Subscribe(&subscriber->subscription, connection, subject, on_message, subscriber),
            "subscribe");
    require(natsSubscription_SetPendingLimits(subscriber->subscription, INT_MAX, INT_MAX), "limits");
    /* The broker has the subscription when it answers what was sent after it. */
    flush(connection);
}

static natsConnection **connections_open(const struct options *options, bool at_once, struct idle *idle) {
    natsConnection **connections = allocate(options->connections, sizeof(natsConnection *));
    for (unsigned i = 0; i < options->connections; i++) {
        connections[i] = connection_open(options, at_once);
        if (i == 0 && idle) {
            idle_first_open(idle);
        }
    }
    return connections;
}

static void connections_close(natsConnection **connections, const struct options *options) {
    for (unsigned i = 0; i < options->connections; i++) {
        connection_close(connections[i]);
    }
    free(connections);
}

static void publish(natsConnection *connection, const char *subject, const uint8_t *payload,
                    const struct options *options) {
    require(natsConnection_Publish(connection, subject, payload, (int)options->payload), "publish");
}

static void run_pub(const struct options *options) {
    natsConnection **connections = connections_open(options, options->immediate, NULL);
    char **subjects = topics_new(options, '.');
    uint8_t *payload = payload_new(options->payload);
    struct pacer pacer;
    struct publication publication;
    publication_start(&publication);
    pacer_start(&pacer, options->rate);
    for (uint64_t i = 0; i < options->points; i++) {
        if (options->rate > 0) {
            pacer_wait(&pacer);
        }
        publish(connections[i % options->connections], subjects[i % options->ids], payload, options);
    }
    for (unsigned i = 0; i < options->connections; i++) {
        flush(connections[i]);
    }
    print_pub(options, &publication, "ping");
    connections_close(connections, options);
    topics_free(subjects, options);
    free(payload);
}

static void run_ack(const struct options *options) {
    natsConnection *connection = connection_open(options, false);
    char **subjects = topics_new(options, '.');
    uint8_t *payload = payload_new(options->payload);
    struct latencies latencies;
    latencies_init(&latencies, options->points);
    struct pacer pacer;
    pacer_start(&pacer, options->rate);
    for (uint64_t i = 0; i < options->points; i++) {
        pacer_wait(&pacer);
        int64_t start = clock_ns();
        publish(connection, subjects[i % options->ids], payload, options);
        flush(connection);
        latencies_add(&latencies, clock_ns() - start);
    }
    print_ack(&latencies);
    connection_close(connection);
    topics_free(subjects, options);
    free(payload);
    free(latencies.ns);
}

static void run_e2e(const struct options *options) {
    struct latencies latencies;
    latencies_init(&latencies, options->points);
    struct subscriber subscriber = {.latencies = &latencies};
    natsConnection *receiving = connection_open(options, false);
    subscribe(&subscriber, receiving, options);
    natsConnection *sending = connection_open(options, options->immediate);
    char **subjects = topics_new(options, '.');
    uint8_t *payload = payload_new(options->payload);
    struct pacer pacer;
    pacer_start(&pacer, options->rate);
    for (uint64_t i = 0; i < options->points; i++) {
        stamp_put(payload, pacer_wait(&pacer));
        publish(sending, subjects[i % options->ids], payload, options);
    }
    flush(sending);
    print_e2e(&latencies, options);
    natsSubscription_Destroy(subscriber.subscription);
    connection_close(sending);
    connection_close(receiving);
    topics_free(subjects, options);
    free(payload);
    free(latencies.ns);
}

static void run_sub(const struct options *options) {
    struct arrivals arrivals;
    arrivals_init(&arrivals, options);
    struct subscriber *subscribers = allocate(options->connections, sizeof *subscribers);
    natsConnection **connections = connections_open(options, false, NULL);
    for (unsigned i = 0; i < options->connections; i++) {
        subscribers[i].arrivals = &arrivals;
        subscribe(&subscribers[i], connections[i], options);
    }
    print_sub(&arrivals);
    for (unsigned i = 0; i < options->connections; i++) {
        natsSubscription_Destroy(subscribers[i].subscription);
    }
    connections_close(connections, options);
    free(subscribers);
}

static void run_idle(const struct options *options) {
    struct idle idle;
    natsConnection **connections = connections_open(options, false, &idle);
    idle_all_open(&idle, options);
    connections_close(connections, options);
}

static void run_start(const struct options *options) {
    natsConnection *connection = connection_open(options, false);
    char **subjects = topics_new(options, '.');
    uint8_t *payload = payload_new(options->payload);
    publish(connection, subjects[0], payload, options);
    flush(connection);
    print_start();
}

static const struct role roles[] = {
    {"pub", run_pub},   {"ack", run_ack},     {"e2e", run_e2e}, {"sub", run_sub},
    {"idle", run_idle}, {"start", run_start}, {NULL, NULL},
};

int main(int argc, char **argv) {
    char version[64];
    snprintf(version, sizeof version, "NATS C %s", nats_GetVersion());
    answer_version(argc, argv, version);
    struct options options;
    options_parse(&options, argc, argv);
    if (strncmp(options.url, "nats://", 7) != 0) {
        unsupported("%s: NATS is measured over nats:// only", options.url);
    }
    if (options.ca) {
        unsupported("NATS is measured without TLS");
    }
    if (options.json) {
        unsupported("NATS has no encoding");
    }
    if (options.compression) {
        unsupported("core NATS has no compression");
    }
    run_role(roles, &options);
    return 0;
}
