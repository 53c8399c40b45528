/* An event loop of the application's own, with epoll: points, events of the connection, a timer and signals,
 * all on the one thread of the program.
 *
 *   epoll_loop [--url URL] [--source NODE]
 *
 * It ends at Ctrl-C, or with the stream. */
#include "drain.h"

#include <signal.h>
#include <sys/epoll.h>
#include <sys/signalfd.h>
#include <sys/timerfd.h>
#include <unistd.h>

/* What a descriptor stands for. */
enum source { CHUNKS, EVENTS, TIMER, SIGNALS, SOURCES };

/* Descriptors of the library are level-triggered; with EPOLLET the loop would have to drain them all the
 * same. */
static void watch(int loop, int fd, enum source source) {
    struct epoll_event wanted = {.events = EPOLLIN, .data.u32 = source};
    if (epoll_ctl(loop, EPOLL_CTL_ADD, fd, &wanted) != 0) {
        perror("epoll_ctl");
        exit(EXIT_FAILURE);
    }
}

static int every_second(void) {
    int fd = timerfd_create(CLOCK_MONOTONIC, TFD_CLOEXEC);
    struct itimerspec second = {.it_interval.tv_sec = 1, .it_value.tv_sec = 1};
    timerfd_settime(fd, 0, &second, NULL);
    return fd;
}

/* Blocked before the library starts its threads, which block all signals anyway. */
static int interrupts(void) {
    sigset_t set;
    sigemptyset(&set);
    sigaddset(&set, SIGINT);
    sigaddset(&set, SIGTERM);
    sigprocmask(SIG_BLOCK, &set, NULL);
    return signalfd(-1, &set, SFD_CLOEXEC);
}

static void print_rate(int timer, unsigned long points) {
    static unsigned long before;
    uint64_t seconds = 0;
    if (read(timer, &seconds, sizeof seconds) == sizeof seconds) {
        printf("%.1f points a second\n", (double)(points - before) / (double)seconds);
        fflush(stdout);
        before = points;
    }
}

int main(int argc, char **argv) {
    static const char *const names[] = {"--url", "--source", NULL};
    if (!example_options_valid(argc, argv, names)) {
        return 2;
    }
    const char *source = example_option(argc, argv, "--source", "hello");
    int loop = epoll_create1(EPOLL_CLOEXEC), signals = interrupts(), timer = every_second();
    if (loop < 0 || signals < 0 || timer < 0) {
        perror("descriptors");
        return EXIT_FAILURE;
    }

    /* Connecting waits here; a program that may not has the forms with callbacks, see async_connect.c. */
    iscp_error_t *error = NULL;
    iscp_conn_t *conn = example_connect(example_option(argc, argv, "--url", EXAMPLE_URL), "epoll-reader");
    iscp_downstream_t *downstream = example_subscribe(conn, source);
    int32_t chunks, events;
    example_check("descriptor", iscp_downstream_pollable(downstream, &chunks, &error), &error);
    example_check("descriptor", iscp_conn_event_pollable(conn, &events, &error), &error);
    watch(loop, chunks, CHUNKS);
    watch(loop, events, EVENTS);
    watch(loop, timer, TIMER);
    watch(loop, signals, SIGNALS);
    printf("waiting for points of %s\n", source);
    fflush(stdout);

    unsigned long points = 0;
    for (bool running = true; running;) {
        struct epoll_event ready[SOURCES];
        int count = epoll_wait(loop, ready, SOURCES, -1);
        for (int i = 0; i < count; i++) {
            switch ((enum source)ready[i].data.u32) {
            case CHUNKS:
                running = drain_downstream(downstream, &points) && running;
                break;
            case EVENTS:
                running = drain_events(conn) && running;
                break;
            case TIMER:
                print_rate(timer, points);
                break;
            default:
                running = false;
            }
        }
    }

    /* The descriptors end with what they belong to: the loop goes first. */
    close(loop);
    close(timer);
    close(signals);
    printf("received %lu points\n", points);
    iscp_downstream_free(downstream);
    iscp_conn_free(conn);
    return EXIT_SUCCESS;
}
