/* The life of every type of handle, by the table in lifecycle.c: wrong pointers, stale handles, freeing in
 * every order and at every moment, forks, exits. */
#include "lifecycle.h"

#include <sys/wait.h>
#include <unistd.h>

static struct family family;
static void *handles[MAX_TYPES];

/* for_each_type(type): handles[type - handle_types] is one of the type. */
#define for_each_type(type)                                                                                  \
    for (const struct handle_type *type = handle_types;                                                      \
         type < handle_types + handle_type_count && (test_about(type->name), true); type++)

static void *handle_of(const struct handle_type *type) {
    return handles[type - handle_types];
}

/* A handle of one type, whose parents are members of the family. */
static void begin(void) {
    family_start(&family);
    family_make(&family, handles);
}

static void end_all(void) {
    for_each_type(type) {
        handle_end(type, handle_of(type));
    }
    family_stop(&family);
}

static void expect_alive(const struct handle_type *type, void *handle) {
    if (!type->use_ends) {
        CHECK_STATUS(type->use(handle), ISCP_OK);
    }
}

/* A stale handle: every call says so, freeing does nothing. */
static void expect_stale(const struct handle_type *type, void *handle) {
    CHECK_STATUS(type->use(handle), ISCP_ERR_BAD_HANDLE);
    CHECK(type->ref == NULL || type->ref(handle) == NULL);
    if (type->close != NULL) {
        CHECK_STATUS(type->close(handle), ISCP_ERR_BAD_HANDLE);
    }
    for (size_t i = 0; type->waits[i] != NULL; i++) {
        CHECK_STATUS(type->waits[i](handle), ISCP_ERR_BAD_HANDLE);
    }
    handle_end(type, handle);
}

TEST(null) {
    for_each_type(type) {
        CHECK_STATUS(type->use(NULL), type->of_null);
        CHECK(type->ref == NULL || type->ref(NULL) == NULL);
        if (type->close != NULL) {
            CHECK_STATUS(type->close(NULL), ISCP_ERR_NULL_ARGUMENT);
        }
        for (size_t i = 0; type->waits[i] != NULL; i++) {
            CHECK_STATUS(type->waits[i](NULL), ISCP_ERR_NULL_ARGUMENT);
        }
        handle_end(type, NULL);
    }
    /* Nothing was started by that. */
    OK(iscp_shutdown(0, &error));
}

TEST(use_after_free) {
    begin();
    for_each_type(type) {
        expect_alive(type, handle_of(type));
        handle_end(type, handle_of(type));
        expect_stale(type, handle_of(type));
    }
    /* And when nothing of the library runs any more. */
    family_stop(&family);
    for_each_type(type) {
        expect_stale(type, handle_of(type));
    }
}

TEST(use_after_close) {
    begin();
    for_each_type(type) {
        if (type->close == NULL) {
            continue;
        }
        /* Another of the type: the parents are needed. */
        void *handle = type->make(&family);
        CHECK_STATUS(type->close(handle), ISCP_OK);
        CHECK_STATUS(type->use(handle), ISCP_OK);
        CHECK_STATUS(type->close(handle), ISCP_ERR_CLOSED);
        for (size_t i = 0; type->waits[i] != NULL; i++) {
            CHECK_STATUS(type->waits[i](handle), ISCP_ERR_CLOSED);
        }
        handle_end(type, handle);
        expect_stale(type, handle);
    }
    end_all();
}

TEST(every_owner_frees) {
    begin();
    for_each_type(type) {
        if (type->ref == NULL) {
            continue;
        }
        CHECK(type->ref(handle_of(type)) == handle_of(type));
        type->free(handle_of(type));
        expect_alive(type, handle_of(type));
    }
    end_all();
}

TEST(stale_handle_whose_memory_is_used_again) {
    begin();
    int seen = 0;
    for_each_type(type) {
        if (type->use_ends || type->close != NULL) {
            /* Too slow by the hundreds. */
            continue;
        }
        void *stale = type->make(&family);
        type->free(stale);
        void *used_again = NULL;
        for (int i = 0; i < 600 && used_again == NULL; i++) {
            void *other = type->make(&family);
            if (other == stale) {
                used_again = other;
            } else {
                type->free(other);
                CHECK_STATUS(type->use(stale), ISCP_ERR_BAD_HANDLE);
            }
        }
        if (used_again != NULL) {
            /* After some hundred others; the old pointer is one to the new object then. */
            seen++;
            CHECK_STATUS(type->use(stale), ISCP_OK);
            type->free(used_again);
            CHECK_STATUS(type->use(stale), ISCP_ERR_BAD_HANDLE);
        }
    }
    /* Not all: what is made besides, and freed before it is seen, may get the memory. */
    CHECK(seen >= 4);
    end_all();
}

TEST(wrong_pointers) {
    begin();
    static uint64_t nothing[16];
    for_each_type(type) {
        for (size_t other = 0; other < handle_type_count; other++) {
            if (type != &handle_types[other]) {
                expect_stale(type, handles[other]);
                expect_alive(&handle_types[other], handles[other]);
            }
        }
        expect_stale(type, nothing);
        expect_stale(type, (char *)handle_of(type) + 1);
        expect_alive(type, handle_of(type));
    }
    end_all();
}

/* The order of the table, begun anywhere, forwards and backwards: each type is freed before each other. */
static const struct handle_type *ordered(size_t order, size_t place) {
    size_t at = (order / 2 + place) % handle_type_count;
    return &handle_types[order % 2 == 0 ? at : handle_type_count - 1 - at];
}

static void end_in_order(size_t order) {
    for (size_t i = 0; i < handle_type_count; i++) {
        const struct handle_type *type = ordered(order, i);
        test_about(type->name);
        handle_end(type, handle_of(type));
        expect_stale(type, handle_of(type));
        for (size_t left = i + 1; left < handle_type_count; left++) {
            const struct handle_type *other = ordered(order, left);
            expect_alive(other, handle_of(other));
        }
    }
}

TEST(free_in_every_order) {
    family_start(&family);
    for (size_t order = 0; order < 2 * handle_type_count; order++) {
        family_make(&family, handles);
        end_in_order(order);
    }
    family_stop(&family);
}

static struct event ended;

static void end_inside(const iscp_error_t *error, void *user_data) {
    CHECK(error == NULL);
    size_t order = *(size_t *)user_data;
    for (size_t i = 0; i < handle_type_count; i++) {
        const struct handle_type *type = ordered(order, i);
        test_about(type->name);
        expect_alive(type, handle_of(type));
        handle_end(type, handle_of(type));
        CHECK_STATUS(type->use(handle_of(type)), ISCP_ERR_BAD_HANDLE);
    }
    event_signal(&ended);
}

/* In a callback of the connection that is itself freed there. */
TEST(free_inside_a_callback) {
    family_start(&family);
    for (size_t order = 0; order < 2 * handle_type_count; order++) {
        ended = (struct event)EVENT_INIT;
        family_make(&family, handles);
        OK(iscp_conn_send_base_time(family.conn, "s", "n", 0, 0, 0, false, end_inside, &order, &error));
        event_wait(&ended, 1, "the callback");
    }
    family_stop(&family);
}

struct user {
    const struct handle_type *type;
    void *handle;
    iscp_status_t (*call)(void *handle);
    struct event begins;
    pthread_barrier_t barrier;
};

static void *call_until_it_fails(void *argument) {
    struct user *user = argument;
    iscp_status_t status;
    event_signal(&user->begins);
    do {
        status = user->call(user->handle);
    } while (status == ISCP_OK);
    if (status != ISCP_ERR_CLOSED && status != ISCP_ERR_BAD_HANDLE) {
        /* Closing waited for acknowledgements, and so did a flush. */
        CHECK_STATUS(status, ISCP_ERR_TIMEOUT);
    }
    return NULL;
}

static void free_during(const struct handle_type *type, iscp_status_t (*call)(void *), bool wait) {
    struct user user = {.type = type, .handle = type->make(&family), .call = call, .begins = EVENT_INIT};
    pthread_t other;
    CHECK(pthread_create(&other, NULL, call_until_it_fails, &user) == 0);
    event_wait(&user.begins, 1, "the other thread");
    if (wait) {
        /* Most likely it blocks by now. */
        test_pause();
    }
    type->free(user.handle);
    test_waiting_for("the thread that used what was freed");
    pthread_join(other, NULL);
    test_waiting_for(NULL);
}

TEST(free_while_another_thread_is_in_a_call) {
    begin();
    for_each_type(type) {
        for (int round = 0; round < 4 && !type->use_ends; round++) {
            for (size_t i = 0; type->waits[i] != NULL; i++) {
                free_during(type, type->waits[i], round % 2 == 0);
            }
            free_during(type, type->use, round % 2 == 0);
        }
    }
    end_all();
}

static void *close_and_end(void *argument) {
    struct user *user = argument;
    const struct handle_type *type = user->type;
    pthread_barrier_wait(&user->barrier);
    if (type->close != NULL) {
        iscp_status_t status = type->close(user->handle);
        CHECK(status == ISCP_OK || status == ISCP_ERR_CLOSED || status == ISCP_ERR_BAD_HANDLE);
    }
    iscp_status_t status = type->use(user->handle);
    CHECK(status == ISCP_OK || status == ISCP_ERR_BAD_HANDLE || (type->use_ends && status != 0));
    handle_end(type, user->handle);
    return NULL;
}

TEST(two_threads_close_and_free_at_once) {
    begin();
    for_each_type(type) {
        for (int round = 0; round < 5; round++) {
            struct user user = {.type = type, .handle = type->make(&family)};
            pthread_barrier_init(&user.barrier, NULL, 2);
            pthread_t other;
            CHECK(pthread_create(&other, NULL, close_and_end, &user) == 0);
            close_and_end(&user);
            pthread_join(other, NULL);
            pthread_barrier_destroy(&user.barrier);
            expect_stale(type, user.handle);
        }
    }
    end_all();
}

/* Runs a function in a forked child, which ends by exit(); it did everything if the status is 7. */
static void in_child(void (*run)(void)) {
    pid_t pid = fork();
    CHECK(pid >= 0);
    if (pid == 0) {
        run();
        exit(7);
    }
    test_guard_process(pid);
    test_waiting_for("the end of the child");
    int status;
    CHECK(waitpid(pid, &status, 0) == pid);
    test_unguard_process(pid);
    test_waiting_for(NULL);
    CHECK(WIFEXITED(status));
    CHECK_EQ(WEXITSTATUS(status), 7);
}

static void everything_is_refused(void) {
    for (int round = 0; round < 2; round++) {
        /* Freeing changes nothing in the child. */
        for_each_type(type) {
            CHECK_STATUS(type->use(handle_of(type)),
                         type->of_forked != 0 ? type->of_forked : ISCP_ERR_FORKED);
            CHECK(type->ref == NULL || type->ref(handle_of(type)) == NULL);
            if (type->close != NULL) {
                CHECK_STATUS(type->close(handle_of(type)), ISCP_ERR_FORKED);
            }
            for (size_t i = 0; type->waits[i] != NULL; i++) {
                CHECK_STATUS(type->waits[i](handle_of(type)), ISCP_ERR_FORKED);
            }
            handle_end(type, handle_of(type));
        }
    }
}

/* Ends the child without an exit, where memcheck would miss what the threads of the parent have on their
 * stacks. */
static void everything_is_refused_until_exec(void) {
    everything_is_refused();
    execl("/bin/sh", "sh", "-c", "exit 7", (char *)NULL);
}

TEST(forked_child_that_exits) {
    begin();
    in_child(everything_is_refused);
    end_all();
}

TEST(forked_child) {
    begin();
    in_child(everything_is_refused_until_exec);
    /* The parent did not notice. */
    for_each_type(type) {
        expect_alive(type, handle_of(type));
    }
    client_write(family.up, client_data_id(family.up, "after"), 0, "x");
    OK(iscp_upstream_flush_wait(family.up, ISCP_FLUSH_SENT, -1, &error));
    CHECK_EQ(client_read_points(family.down, 1), 1);
    end_all();
}

static void make_everything(void) {
    family_make(&family, handles);
}

static void exit_inside(const iscp_error_t *error, void *user_data) {
    (void)error;
    (void)user_data;
    exit(7);
}

static void exit_in_a_callback(void) {
    make_everything();
    OK(iscp_conn_send_base_time(family.conn, "s", "n", 0, 0, 0, false, exit_inside, NULL, &error));
    test_waiting_for("the exit");
    for (;;) {
        pause();
    }
}

static void exit_while_threads_wait(void) {
    make_everything();
    static struct user users[MAX_TYPES];
    for_each_type(type) {
        if (type->waits[0] != NULL) {
            struct user *user = &users[type - handle_types];
            *user = (struct user){.handle = handle_of(type), .call = type->waits[0], .begins = EVENT_INIT};
            pthread_t other;
            CHECK(pthread_create(&other, NULL, call_until_it_fails, user) == 0);
            event_wait(&user->begins, 1, "the other thread");
        }
    }
}

/* In children, before this process uses the library. Nothing is closed or freed, and nothing waits. */
TEST(exit_while_connected) {
    family_start(&family);
    in_child(make_everything);
    in_child(exit_while_threads_wait);
    in_child(exit_in_a_callback);
    broker_stop(&family.broker);
}

/* A plugin with all of this, as a host would use it that was not linked with the library. */
TEST(plugin_that_is_loaded_and_unloaded) {
    struct process host;
    process_start_checked(&host, (const char *const[]){ISCP_LIFECYCLE_HOST, ISCP_LIFECYCLE_PLUGIN, NULL});
    int status = process_finish(&host);
    if (status != 0) {
        FAIL("status %d:\n%s", status, host.text);
    }
    CHECK_CONTAINS(host.text, "the library stays");
    process_free(&host);
}
