#include "support.h"

#include "process.h"

struct support_broker {
    struct broker broker;
};

struct support_proxy {
    struct chaos chaos;
};

struct support_broker *support_broker_start(const char *token) {
    struct support_broker *broker = calloc(1, sizeof *broker);
    CHECK(broker != NULL);
    broker_start(&broker->broker, token);
    return broker;
}

const char *support_broker_url(const struct support_broker *broker) {
    return broker->broker.url;
}

void support_broker_stop(struct support_broker *broker) {
    broker_stop(&broker->broker);
    free(broker);
}

struct support_proxy *support_proxy_start(const struct support_broker *broker) {
    struct support_proxy *proxy = calloc(1, sizeof *proxy);
    CHECK(proxy != NULL);
    chaos_start(&proxy->chaos, &broker->broker);
    return proxy;
}

const char *support_proxy_url(const struct support_proxy *proxy) {
    return proxy->chaos.url;
}

void support_proxy_do(struct support_proxy *proxy, const char *command) {
    chaos_do(&proxy->chaos, command);
}

void support_proxy_stop(struct support_proxy *proxy) {
    chaos_stop(&proxy->chaos);
    free(proxy);
}
