/* Connects with an access token that the application provides when it is asked.
 *
 *   connect_token [--url URL] [--token TOKEN]
 *
 * Start the broker with `--token secret`. With another token the program shows the server's refusal and
 * exits with status 3. */
#include "example.h"

/* What the callback needs. It lives until its release function is called. */
struct token_source {
    char *token;
    int questions;
};

/* Asked before every attempt to connect, on a thread of the library. A real application would start a
 * request to its OAuth server here and answer later, from any thread. */
static void on_token(iscp_token_request_t *request, void *user_data) {
    struct token_source *source = user_data;
    source->questions++;
    printf("asked for a token, question %d\n", source->questions);
    iscp_status_t status;
    if (source->token[0] != '\0') {
        status = iscp_token_request_resolve(request, source->token, NULL);
    } else {
        status = iscp_token_request_reject(request, "no token was given with --token", NULL);
    }
    if (status != ISCP_OK) {
        fprintf(stderr, "answer: %s\n", iscp_status_text(status));
    }
}

/* Called once, when neither the options nor a connection need the source any more. */
static void release_source(void *user_data) {
    struct token_source *source = user_data;
    free(source->token);
    free(source);
}

static struct token_source *new_source(const char *token) {
    struct token_source *source = malloc(sizeof *source);
    size_t size = strlen(token) + 1;
    char *copy = malloc(size);
    if (source == NULL || copy == NULL) {
        abort();
    }
    memcpy(copy, token, size);
    *source = (struct token_source){.token = copy};
    return source;
}

/* Says why connecting failed; a program decides by the status and the server's result code. */
static int explain(iscp_status_t status, iscp_error_t *error) {
    if (status == ISCP_ERR_UNAUTHORIZED) {
        int32_t code = iscp_error_result_code(error);
        printf("unauthorized: result code %d %s: %s\n", (int)code, iscp_result_code_name(code),
               iscp_error_result_string(error));
        iscp_error_free(error);
        return 3;
    }
    example_print_error("connect", status, error);
    return EXIT_FAILURE;
}

int main(int argc, char **argv) {
    static const char *const names[] = {"--url", "--token", NULL};
    if (!example_options_valid(argc, argv, names)) {
        return 2;
    }
    int exit_status = EXIT_FAILURE;
    iscp_status_t status;
    iscp_error_t *error = NULL;
    iscp_conn_t *conn = NULL;
    iscp_conn_options_t *options = iscp_conn_options_new();
    const char *url = example_option(argc, argv, "--url", EXAMPLE_URL);
    const char *token = example_option(argc, argv, "--token", "secret");

    if ((status = iscp_conn_options_set_url(options, url, &error)) != ISCP_OK) {
        goto end;
    }
    if ((status = iscp_conn_options_set_node_id(options, "token-example", &error)) != ISCP_OK) {
        goto end;
    }
    /* The library owns the source from here on, also when the call fails: it calls release_source. */
    status =
        iscp_conn_options_set_token_callback(options, on_token, new_source(token), release_source, &error);
    if (status != ISCP_OK) {
        goto end;
    }
    if ((status = iscp_connect_wait(options, -1, &conn, &error)) != ISCP_OK) {
        goto end;
    }
    printf("connected, protocol version %s\n", iscp_conn_protocol_version(conn));
    if ((status = iscp_conn_close_wait(conn, -1, &error)) != ISCP_OK) {
        goto end;
    }
    exit_status = EXIT_SUCCESS;

end:
    if (status != ISCP_OK) {
        exit_status = explain(status, error);
    }
    iscp_conn_free(conn);
    iscp_conn_options_free(options);
    return exit_status;
}
