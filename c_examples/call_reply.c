/* A call from one node to another, and the reply. One program plays both: the node "calculator" answers
 * calls in a handler, the node "student" calls it and waits for the reply. Usually they are programs on
 * different machines.
 *
 *   call_reply [--url URL] [--question TEXT] */
#include "example.h"

#include <ctype.h>

static iscp_status_t connect_as(const char *url, const char *node, iscp_conn_t **conn, iscp_error_t **error) {
    iscp_conn_options_t *options = iscp_conn_options_new();
    iscp_status_t status = iscp_conn_options_set_url(options, url, error);
    if (status == ISCP_OK) {
        status = iscp_conn_options_set_node_id(options, node, error);
    }
    if (status == ISCP_OK) {
        status = iscp_connect_wait(options, -1, conn, error);
    }
    iscp_conn_options_free(options);
    return status;
}

/* Sum of the whole numbers in a text. */
static long sum(const uint8_t *text, size_t length) {
    long total = 0, number = 0;
    for (size_t i = 0; i < length; i++) {
        if (isdigit(text[i])) {
            number = number * 10 + (text[i] - '0');
        } else {
            total += number;
            number = 0;
        }
    }
    return total + number;
}

/* Runs on the library's thread for every call to the calculator. Replying does not block, so it is done
 * right here; for work that takes long, keep the call with iscp_call_ref and reply from another thread. */
static void on_call(const iscp_call_t *call, void *user_data) {
    iscp_conn_t *calculator = user_data;
    iscp_error_t *error = NULL;
    const uint8_t *question;
    size_t length;
    char text[32];
    if (iscp_call_payload(call, &question, &length) != ISCP_OK) {
        return;
    }
    printf("calculator: %s wants to know: %s %.*s\n", iscp_call_source_node_id(call), iscp_call_name(call),
           (int)length, (const char *)question);
    int size = snprintf(text, sizeof text, "%ld", sum(question, length));
    iscp_status_t status = iscp_conn_send_reply(calculator, call, "sum", "text", (const uint8_t *)text,
                                                (size_t)size, NULL, NULL, &error);
    if (status != ISCP_OK) {
        example_print_error("reply", status, error);
    }
}

int main(int argc, char **argv) {
    static const char *const names[] = {"--url", "--question", NULL};
    if (!example_options_valid(argc, argv, names)) {
        return 2;
    }
    const char *url = example_option(argc, argv, "--url", EXAMPLE_URL);
    const char *question = example_option(argc, argv, "--question", "1 + 2 + 39");
    int exit_status = EXIT_FAILURE;
    const char *doing = "connect";
    iscp_error_t *error = NULL;
    iscp_conn_t *calculator = NULL, *student = NULL;
    iscp_call_t *reply = NULL;
    const uint8_t *answer;
    size_t length;

    iscp_status_t status = connect_as(url, "calculator", &calculator, &error);
    if (status != ISCP_OK || (status = connect_as(url, "student", &student, &error)) != ISCP_OK) {
        goto end;
    }
    doing = "set call handler";
    if ((status = iscp_conn_set_call_handler(calculator, on_call, calculator, NULL, &error)) != ISCP_OK) {
        goto end;
    }

    /* Success means that the calculator has replied. A failure says whether there is no such node, or no
     * reply came within five seconds. */
    doing = "call";
    status = iscp_conn_call_wait(student, "calculator", "sum", "text", (const uint8_t *)question,
                                 strlen(question), 5000, &reply, &error);
    if (status != ISCP_OK || (status = iscp_call_payload(reply, &answer, &length)) != ISCP_OK) {
        goto end;
    }
    printf("student: %s replied: %.*s\n", iscp_call_source_node_id(reply), (int)length, (const char *)answer);
    doing = "close connection";
    if ((status = iscp_conn_close_wait(student, -1, &error)) == ISCP_OK) {
        status = iscp_conn_close_wait(calculator, -1, &error);
    }
    if (status != ISCP_OK) {
        goto end;
    }
    exit_status = EXIT_SUCCESS;

end:
    if (status != ISCP_OK) {
        example_print_error(doing, status, error);
    }
    iscp_call_free(reply);
    iscp_conn_free(student);
    iscp_conn_free(calculator);
    return exit_status;
}
