/* Processes that tests start: brokers and example programs. */
#ifndef PROCESS_H
#define PROCESS_H

#include "test.h"

struct process {
    pid_t pid;
    int in;  /* writes to its standard input */
    int out; /* reads its standard output and error */
    char *text;
    size_t length;
};

/* Starts a program; `arguments` ends with NULL and begins with the path. */
void process_start(struct process *process, const char *const *arguments);

/* The same, under valgrind when the environment names its command (TEST_MEMCHECK, a word per line). */
void process_start_checked(struct process *process, const char *const *arguments);

/* Reads until the output so far contains `part`. */
void process_expect(struct process *process, const char *part);

/* Reads until the process ends; returns its exit status, or 128 and the signal. Its output stays. */
int process_finish(struct process *process);

void process_signal(const struct process *process, int signal_number);

/* Stops a process and waits until all of its threads have stopped, which SIGSTOP alone does not. */
void process_stop(const struct process *process);

/* Frees what is left of a process that has finished. */
void process_free(struct process *process);

/* A broker of the program `iscp`, on a port of its own. */
struct broker {
    struct process process;
    char url[64];
    char token_url[128]; /* of a secure broker */
    char ca[64];         /* of a secure broker: the file with its certificate */
};

/* `token` is the only one it accepts; NULL accepts everybody. */
void broker_start(struct broker *broker, const char *token);

/* One with TLS and a certificate of its own, that gives access tokens to the client iscp-dev with the secret
 * iscp-dev-secret. `token` is another that it accepts, or NULL. */
void broker_start_secure(struct broker *broker, const char *token);

/* One for a transport, "ws" to "webtransport"; its certificate, if it needs one, is its own. */
void broker_start_transport(struct broker *broker, const char *transport);

void broker_stop(struct broker *broker);

/* The proxy that injects faults, `iscp chaos`, which is told when. */
struct chaos {
    struct process process;
    char url[64]; /* for WebSockets through it */
};

/* In front of a broker for WebSockets. */
void chaos_start(struct chaos *chaos, const struct broker *broker);

/* Tells it something, see docs/chaos.md, and waits until it is done. Each command once. */
void chaos_do(struct chaos *chaos, const char *command);

void chaos_stop(struct chaos *chaos);

#endif
