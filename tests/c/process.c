#include "process.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <spawn.h>
#include <sys/wait.h>
#include <unistd.h>

extern char **environ;

static void make_pipe(int ends[2]) {
    CHECK(pipe2(ends, O_CLOEXEC) == 0);
}

void process_start(struct process *process, const char *const *arguments) {
    int in[2], out[2];
    make_pipe(in);
    make_pipe(out);
    posix_spawn_file_actions_t actions;
    posix_spawn_file_actions_init(&actions);
    posix_spawn_file_actions_adddup2(&actions, in[0], STDIN_FILENO);
    posix_spawn_file_actions_adddup2(&actions, out[1], STDOUT_FILENO);
    posix_spawn_file_actions_adddup2(&actions, out[1], STDERR_FILENO);
    /* Ignored signals are inherited; the program gets the default ones. */
    posix_spawnattr_t attributes;
    sigset_t defaults;
    posix_spawnattr_init(&attributes);
    sigemptyset(&defaults);
    sigaddset(&defaults, SIGPIPE);
    posix_spawnattr_setsigdefault(&attributes, &defaults);
    posix_spawnattr_setflags(&attributes, POSIX_SPAWN_SETSIGDEF);
    pid_t pid;
    int failure = posix_spawn(&pid, arguments[0], &actions, &attributes, (char *const *)arguments, environ);
    if (failure != 0) {
        FAIL("%s: %s", arguments[0], strerror(failure));
    }
    test_guard_process(pid);
    posix_spawn_file_actions_destroy(&actions);
    posix_spawnattr_destroy(&attributes);
    close(in[0]);
    close(out[1]);
    *process = (struct process){.pid = pid, .in = in[1], .out = out[0]};
    process->text = calloc(1, 1);
    CHECK(process->text != NULL);
}

void process_start_checked(struct process *process, const char *const *arguments) {
    enum { MAX_WORDS = 32 };
    static char command[1024];
    const char *words[MAX_WORDS];
    size_t count = 0;
    const char *memcheck = getenv("TEST_MEMCHECK");
    if (memcheck != NULL) {
        snprintf(command, sizeof command, "%s", memcheck);
        for (char *word = strtok(command, "\n"); word != NULL; word = strtok(NULL, "\n")) {
            words[count++] = word;
        }
    }
    while (*arguments != NULL && count + 1 < MAX_WORDS) {
        words[count++] = *arguments++;
    }
    words[count] = NULL;
    process_start(process, words);
}

/* Reads something; false at the end of the output. */
static bool read_more(struct process *process) {
    char bytes[4096];
    ssize_t got = read(process->out, bytes, sizeof bytes);
    if (got <= 0) {
        return got < 0 && errno == EINTR;
    }
    process->text = realloc(process->text, process->length + (size_t)got + 1);
    CHECK(process->text != NULL);
    memcpy(process->text + process->length, bytes, (size_t)got);
    process->length += (size_t)got;
    process->text[process->length] = '\0';
    return true;
}

void process_expect(struct process *process, const char *part) {
    test_waiting_for(part);
    while (strstr(process->text, part) == NULL) {
        if (!read_more(process)) {
            FAIL("the output ended without \"%s\":\n%s", part, process->text);
        }
    }
    test_waiting_for(NULL);
}

int process_finish(struct process *process) {
    test_waiting_for("the end of a process");
    close(process->in);
    while (read_more(process)) {
    }
    close(process->out);
    int status;
    CHECK(waitpid(process->pid, &status, 0) == process->pid);
    test_unguard_process(process->pid);
    test_waiting_for(NULL);
    return WIFEXITED(status) ? WEXITSTATUS(status) : 128 + WTERMSIG(status);
}

void process_signal(const struct process *process, int signal_number) {
    CHECK(kill(process->pid, signal_number) == 0);
}

void process_stop(const struct process *process) {
    int status;
    process_signal(process, SIGSTOP);
    test_waiting_for("a process to stop");
    CHECK(waitpid(process->pid, &status, WUNTRACED) == process->pid);
    CHECK(WIFSTOPPED(status));
    test_waiting_for(NULL);
}

void process_free(struct process *process) {
    free(process->text);
    process->text = NULL;
}

void broker_start(struct broker *broker, const char *token) {
    const char *arguments[] = {ISCP_PROGRAM, "broker", "--ws", "127.0.0.1:0", token ? "--token" : NULL,
                               token,        NULL};
    process_start(&broker->process, arguments);
    process_expect(&broker->process, "\n");
    const char *line = strstr(broker->process.text, "listening ");
    CHECK(line != NULL);
    CHECK(sscanf(line, "listening %63s", broker->url) == 1);
    broker->ca[0] = '\0';
}

/* A file for the broker's certificate. */
static void make_ca_file(struct broker *broker) {
    snprintf(broker->ca, sizeof broker->ca, "/tmp/libiscp-ca-XXXXXX");
    int file = mkstemp(broker->ca);
    CHECK(file >= 0);
    close(file);
}

void broker_start_transport(struct broker *broker, const char *transport) {
    if (strcmp(transport, "ws") == 0) {
        broker_start(broker, NULL);
        return;
    }
    char flag[32];
    snprintf(flag, sizeof flag, "--%s", transport);
    make_ca_file(broker);
    const char *arguments[] = {ISCP_PROGRAM,        "broker",   flag, "127.0.0.1:0", "--self-signed",
                               "--self-signed-pem", broker->ca, NULL};
    process_start(&broker->process, arguments);
    process_expect(&broker->process, "certificate SHA-256 ");
    CHECK(sscanf(broker->process.text, "listening %63s", broker->url) == 1);
}

void broker_start_secure(struct broker *broker, const char *token) {
    make_ca_file(broker);
    const char *arguments[] = {ISCP_PROGRAM,
                               "broker",
                               "--wss",
                               "127.0.0.1:0",
                               "--self-signed",
                               "--self-signed-pem",
                               broker->ca,
                               "--oauth2-dev",
                               token ? "--token" : NULL,
                               token,
                               NULL};
    process_start(&broker->process, arguments);
    process_expect(&broker->process, "certificate SHA-256 ");
    CHECK(sscanf(broker->process.text, "listening %63s listening %127s", broker->url, broker->token_url) ==
          2);
}

void broker_stop(struct broker *broker) {
    process_signal(&broker->process, SIGKILL);
    process_finish(&broker->process);
    process_free(&broker->process);
    if (broker->ca[0] != '\0') {
        unlink(broker->ca);
    }
}

void chaos_start(struct chaos *chaos, const struct broker *broker) {
    const char *to = broker->url + strlen("ws://");
    const char *arguments[] = {ISCP_PROGRAM, "chaos", "--to", to, "--commands", NULL};
    process_start(&chaos->process, arguments);
    process_expect(&chaos->process, "\n");
    char address[32];
    CHECK(sscanf(chaos->process.text, "listening %31s", address) == 1);
    snprintf(chaos->url, sizeof chaos->url, "ws://%s", address);
}

void chaos_do(struct chaos *chaos, const char *command) {
    CHECK(dprintf(chaos->process.in, "%s\n", command) > 0);
    char done[64];
    snprintf(done, sizeof done, "ok %s\n", command);
    process_expect(&chaos->process, done);
}

void chaos_stop(struct chaos *chaos) {
    /* It ends with its standard input. */
    CHECK_EQ(process_finish(&chaos->process), 0);
    process_free(&chaos->process);
}
