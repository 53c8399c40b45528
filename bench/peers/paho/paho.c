/* The MQTT client of Eclipse Paho in C, its asynchronous interface. README.md says what is measured. */
#include "common/counter.h"
#include "common/fail.h"
#include "common/measure.h"
#include "common/options.h"
#include "common/points.h"
#include "common/results.h"

#include <MQTTAsync.h>

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

/* How many messages may be under way. The client looks for a free message id in the list of those under way,
 * so more of them make it slower: of 20, 100, 400, 1000 and 10000 this was the fastest. */
#define WINDOW 100
/* And how many bytes: when the socket takes no more, the client may notice only a second later that it does
 * again. */
#define WINDOW_BYTES (1024 * 1024)

struct client {
    MQTTAsync handle;
    /* What is waited for one at a time: connecting, subscribing, disconnecting. */
    struct counter answers;
    /* Completed publications: acknowledged with QoS 1, handed to the operating system with QoS 0. */
    struct counter completed;
    /* What becomes of the messages of a subscriber; one of the two. */
    struct latencies *latencies;
    struct arrivals *arrivals;
    size_t payload;
    uint64_t window;
};

static void require(int code, const char *what) {
    if (code != MQTTASYNC_SUCCESS) {
        fail("%s: %s (%d)", what, MQTTAsync_strerror(code) ? MQTTAsync_strerror(code) : "error", code);
    }
}

static void on_answer(void *context, MQTTAsync_successData *data) {
    (void)data;
    struct client *client = context;
    counter_add(&client->answers, 1);
}

static void on_completed(void *context, MQTTAsync_successData *data) {
    (void)data;
    struct client *client = context;
    counter_add(&client->completed, 1);
}

static void on_failure(void *context, MQTTAsync_failureData *data) {
    (void)context;
    fail("a request failed: %s (%d)", data && data->message ? data->message : "no reason given",
         data ? data->code : 0);
}

static void on_lost(void *context, char *cause) {
    (void)context;
    fail("the connection was lost: %s", cause ? cause : "no reason given");
}

static int on_message(void *context, char *topic, int topic_length, MQTTAsync_message *message) {
    (void)topic_length;
    struct client *client = context;
    if ((size_t)message->payloadlen != client->payload) {
        fail("a message of %d bytes arrived", message->payloadlen);
    }
    if (client->latencies) {
        latencies_add(client->latencies, clock_ns() - stamp_get(message->payload));
    } else if (client->arrivals) {
        arrivals_add(client->arrivals, 1);
    }
    MQTTAsync_freeMessage(&message);
    MQTTAsync_free(topic);
    return 1;
}

static void wait_for_answer(struct client *client, const char *what) {
    if (!counter_wait(&client->answers, 1, ANSWER_LIMIT_S)) {
        fail("%s: no answer in %d s", what, ANSWER_LIMIT_S);
    }
    atomic_store(&client->answers.value, 0);
}

static void client_open(struct client *client, const struct options *options, const char *role,
                        unsigned index) {
    char name[256];
    snprintf(name, sizeof name, "%s-%s-%ld-%u", options->session, role, (long)getpid(), index);
    counter_init(&client->answers);
    counter_init(&client->completed);
    client->payload = options->payload;
    client->window = WINDOW;
    if (client->payload > WINDOW_BYTES / WINDOW) {
        client->window = client->payload < WINDOW_BYTES ? WINDOW_BYTES / client->payload : 1;
    }
    MQTTAsync_createOptions create = MQTTAsync_createOptions_initializer;
    create.maxBufferedMessages = WINDOW + 1;
    require(MQTTAsync_createWithOptions(&client->handle, options->url, name, MQTTCLIENT_PERSISTENCE_NONE,
                                        NULL, &create),
            options->url);
    require(MQTTAsync_setCallbacks(client->handle, client, on_lost, on_message, NULL), "callbacks");
    MQTTAsync_connectOptions connect = MQTTAsync_connectOptions_initializer;
    connect.maxInflight = UINT16_MAX;
    connect.connectTimeout = ANSWER_LIMIT_S;
    connect.onSuccess = on_answer;
    connect.onFailure = on_failure;
    connect.context = client;
    require(MQTTAsync_connect(client->handle, &connect), "connect");
}

static void connected(struct client *client) {
    wait_for_answer(client, "connect");
}

/* Begins to disconnect; client_free() waits for it. */
static void client_close(struct client *client) {
    MQTTAsync_disconnectOptions disconnect = MQTTAsync_disconnectOptions_initializer;
    disconnect.timeout = ANSWER_LIMIT_S * 1000;
    disconnect.onSuccess = on_answer;
    disconnect.onFailure = on_failure;
    disconnect.context = client;
    require(MQTTAsync_disconnect(client->handle, &disconnect), "disconnect");
}

static void client_free(struct client *client) {
    wait_for_answer(client, "disconnect");
    MQTTAsync_destroy(&client->handle);
}

static int qos(const struct options *options) {
    return options->reliable ? 1 : 0;
}

static void subscribe(struct client *client, const struct options *options) {
    char filter[256];
    snprintf(filter, sizeof filter, "%s/#", options->session);
    MQTTAsync_responseOptions response = MQTTAsync_responseOptions_initializer;
    response.onSuccess = on_answer;
    response.onFailure = on_failure;
    response.context = client;
    require(MQTTAsync_subscribe(client->handle, filter, qos(options), &response), "subscribe");
    wait_for_answer(client, "subscribe");
}

static void publish(struct client *client, const char *topic, const uint8_t *payload, int quality) {
    MQTTAsync_responseOptions response = MQTTAsync_responseOptions_initializer;
    response.onSuccess = on_completed;
    response.onFailure = on_failure;
    response.context = client;
    require(MQTTAsync_send(client->handle, topic, (int)client->payload, payload, quality, 0, &response),
            "send");
}

/* Waits until all but so many of the messages are completed. */
static void wait_completed(struct client *client, uint64_t sent, uint64_t but) {
    if (sent > but && !counter_wait(&client->completed, sent - but, ANSWER_LIMIT_S)) {
        fail("%llu of %llu messages were completed", (unsigned long long)counter_get(&client->completed),
             (unsigned long long)sent);
    }
}

/* Keeps the window: lets it become half empty before it is filled again, so that the threads switch less. */
static void keep_window(struct client *client, uint64_t sent) {
    if (sent - counter_get(&client->completed) >= client->window) {
        wait_completed(client, sent, client->window / 2);
    }
}

/* All at once after the first: the client may notice only a second later that there is one more socket. */
static struct client *clients_open(const struct options *options, const char *role, struct idle *idle) {
    struct client *clients = allocate(options->connections, sizeof *clients);
    client_open(&clients[0], options, role, 0);
    connected(&clients[0]);
    if (idle) {
        idle_first_open(idle);
    }
    for (unsigned i = 1; i < options->connections; i++) {
        client_open(&clients[i], options, role, i);
    }
    for (unsigned i = 1; i < options->connections; i++) {
        connected(&clients[i]);
    }
    return clients;
}

static void clients_close(struct client *clients, const struct options *options) {
    for (unsigned i = 0; i < options->connections; i++) {
        client_close(&clients[i]);
    }
    for (unsigned i = 0; i < options->connections; i++) {
        client_free(&clients[i]);
    }
    free(clients);
}

static void run_pub(const struct options *options) {
    struct client *clients = clients_open(options, "pub", NULL);
    char **topics = topics_new(options, '/');
    uint8_t *payload = payload_new(options->payload);
    struct pacer pacer;
    struct publication publication;
    publication_start(&publication);
    pacer_start(&pacer, options->rate);
    for (uint64_t i = 0; i < options->points; i++) {
        struct client *client = &clients[i % options->connections];
        if (options->rate > 0) {
            pacer_wait(&pacer);
        }
        publish(client, topics[i % options->ids], payload, qos(options));
        keep_window(client, i / options->connections + 1);
    }
    for (unsigned i = 0; i < options->connections; i++) {
        wait_completed(&clients[i], (options->points + options->connections - 1 - i) / options->connections,
                       0);
    }
    print_pub(options, &publication, options->reliable ? "all" : "none");
    clients_close(clients, options);
    topics_free(topics, options);
    free(payload);
}

static void run_ack(const struct options *options) {
    struct client client = {0};
    client_open(&client, options, "ack", 0);
    connected(&client);
    char **topics = topics_new(options, '/');
    uint8_t *payload = payload_new(options->payload);
    struct latencies latencies;
    latencies_init(&latencies, options->points);
    struct pacer pacer;
    pacer_start(&pacer, options->rate);
    for (uint64_t i = 0; i < options->points; i++) {
        pacer_wait(&pacer);
        int64_t start = clock_ns();
        publish(&client, topics[i % options->ids], payload, 1);
        wait_completed(&client, i + 1, 0);
        latencies_add(&latencies, clock_ns() - start);
    }
    print_ack(&latencies);
    client_close(&client);
    client_free(&client);
    topics_free(topics, options);
    free(payload);
    free(latencies.ns);
}

static void run_e2e(const struct options *options) {
    struct latencies latencies;
    latencies_init(&latencies, options->points);
    struct client subscriber = {.latencies = &latencies};
    struct client publisher = {0};
    client_open(&subscriber, options, "sub", 0);
    client_open(&publisher, options, "pub", 0);
    connected(&subscriber);
    connected(&publisher);
    subscribe(&subscriber, options);
    char **topics = topics_new(options, '/');
    uint8_t *payload = payload_new(options->payload);
    struct pacer pacer;
    pacer_start(&pacer, options->rate);
    for (uint64_t i = 0; i < options->points; i++) {
        stamp_put(payload, pacer_wait(&pacer));
        publish(&publisher, topics[i % options->ids], payload, qos(options));
        keep_window(&publisher, i + 1);
    }
    wait_completed(&publisher, options->points, 0);
    print_e2e(&latencies, options);
    client_close(&publisher);
    client_close(&subscriber);
    client_free(&publisher);
    client_free(&subscriber);
    topics_free(topics, options);
    free(payload);
    free(latencies.ns);
}

static void run_sub(const struct options *options) {
    struct arrivals arrivals;
    arrivals_init(&arrivals, options);
    struct client *clients = clients_open(options, "sub", NULL);
    for (unsigned i = 0; i < options->connections; i++) {
        clients[i].arrivals = &arrivals;
        subscribe(&clients[i], options);
    }
    print_sub(&arrivals);
    clients_close(clients, options);
}

static void run_idle(const struct options *options) {
    struct idle idle;
    struct client *clients = clients_open(options, "idle", &idle);
    idle_all_open(&idle, options);
    clients_close(clients, options);
}

static void run_start(const struct options *options) {
    struct client client = {0};
    client_open(&client, options, "start", 0);
    connected(&client);
    char **topics = topics_new(options, '/');
    uint8_t *payload = payload_new(options->payload);
    publish(&client, topics[0], payload, 1);
    wait_completed(&client, 1, 0);
    print_start();
}

static const struct role roles[] = {
    {"pub", run_pub},   {"ack", run_ack},     {"e2e", run_e2e}, {"sub", run_sub},
    {"idle", run_idle}, {"start", run_start}, {NULL, NULL},
};

static const char *library_version(void) {
    for (MQTTAsync_nameValue *info = MQTTAsync_getVersionInfo(); info && info->name; info++) {
        if (strcmp(info->name, "Version") == 0) {
            return info->value;
        }
    }
    return "of unknown version";
}

int main(int argc, char **argv) {
    char version[64];
    snprintf(version, sizeof version, "Paho MQTT C %s", library_version());
    answer_version(argc, argv, version);
    struct options options;
    options_parse(&options, argc, argv);
    if (strncmp(options.url, "tcp://", 6) != 0) {
        unsupported("%s: MQTT is measured over tcp:// only", options.url);
    }
    if (options.ca) {
        unsupported("MQTT is measured without TLS");
    }
    if (options.json) {
        unsupported("MQTT has no encoding");
    }
    if (options.compression) {
        unsupported("MQTT has no compression");
    }
    run_role(roles, &options);
    return 0;
}
