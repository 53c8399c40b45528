/* What the C++ tests use of the C ones in tests/c, whose own headers are C. */
#ifndef SUPPORT_H
#define SUPPORT_H

#ifdef __cplusplus
extern "C" {
#endif

/* Starts the deadline of the program; ends with it every process that the functions below started. */
void test_begin(void);
void test_end(void);

/* A broker on a port of its own. `token` is the only one it accepts; NULL accepts everybody. */
struct support_broker;
struct support_broker *support_broker_start(const char *token);
const char *support_broker_url(const struct support_broker *broker);
void support_broker_stop(struct support_broker *broker);

/* The proxy that injects faults, in front of a broker. */
struct support_proxy;
struct support_proxy *support_proxy_start(const struct support_broker *broker);
const char *support_proxy_url(const struct support_proxy *proxy);
void support_proxy_do(struct support_proxy *proxy, const char *command);
void support_proxy_stop(struct support_proxy *proxy);

/* A port on which nobody listens. */
int server_unused_port(void);

#ifdef __cplusplus
}
#endif

#endif
