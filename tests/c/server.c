#include "server.h"

#include "test.h"

#include <arpa/inet.h>
#include <netinet/in.h>
#include <sys/socket.h>
#include <unistd.h>

#define MAX_SILENT 16

static int listen_somewhere(int *port) {
    int listener = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    struct sockaddr_in address = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    socklen_t length = sizeof address;
    CHECK(bind(listener, (struct sockaddr *)&address, length) == 0);
    CHECK(listen(listener, 8) == 0);
    CHECK(getsockname(listener, (struct sockaddr *)&address, &length) == 0);
    *port = ntohs(address.sin_port);
    return listener;
}

static void *serve(void *argument) {
    struct server *server = argument;
    int silent[MAX_SILENT];
    size_t count = 0;
    int peer;
    while (count < MAX_SILENT && (peer = accept(server->listener, NULL, NULL)) >= 0) {
        char request[4096];
        if (server->answer == NULL) {
            silent[count++] = peer;
        } else {
            if (read(peer, request, sizeof request) > 0) {
                (void)!write(peer, server->answer, strlen(server->answer));
            }
            shutdown(peer, SHUT_WR);
            /* Until the client has closed too: unread bytes would reset the connection. */
            while (read(peer, request, sizeof request) > 0) {
            }
            close(peer);
        }
    }
    while (count > 0) {
        close(silent[--count]);
    }
    return NULL;
}

void server_start(struct server *server, const char *answer) {
    int port;
    server->listener = listen_somewhere(&port);
    server->answer = answer;
    snprintf(server->url, sizeof server->url, "ws://127.0.0.1:%d", port);
    CHECK(pthread_create(&server->thread, NULL, serve, server) == 0);
}

void server_stop(struct server *server) {
    shutdown(server->listener, SHUT_RDWR);
    pthread_join(server->thread, NULL);
    close(server->listener);
}

int server_unused_port(void) {
    int port;
    close(listen_somewhere(&port));
    return port;
}
