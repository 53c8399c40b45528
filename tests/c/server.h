/* A TCP server that is no iSCP server. */
#ifndef SERVER_H
#define SERVER_H

#include <pthread.h>
#include <stdbool.h>

struct server {
    int listener;
    const char *answer;
    char url[64];
    pthread_t thread;
};

/* Answers what comes first on every connection with `answer` and closes it; NULL stays silent. */
void server_start(struct server *server, const char *answer);
void server_stop(struct server *server);

/* A port on which nobody listens. */
int server_unused_port(void);

#endif
