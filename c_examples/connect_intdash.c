/* Connects as to an intdash server: WebSocket over TLS, access token by OAuth2 client credentials.
 *
 *   connect_intdash --url URL --oauth2-url URL --client-id ID --client-secret SECRET [--ca FILE]
 *                   [--project UUID] [--node UUID]
 *
 * For an intdash server https://example.intdash.jp the first two are
 *
 *   --url wss://example.intdash.jp/api/iscp/connect
 *   --oauth2-url https://example.intdash.jp/api/auth/oauth2/token
 *
 * and the server's certificate is verified with the certificates that the system trusts. With --ca those in
 * a PEM file are trusted instead, such as the one that `iscp broker --self-signed-pem FILE` writes. */
#include "example.h"

/* What to set, and what to set it to. */
struct setting {
    iscp_status_t (*set)(iscp_conn_options_t *, const char *, iscp_error_t **);
    const char *value;
};

/* Says why connecting failed: which of the three things in the way it was. */
static void explain(iscp_status_t status, iscp_error_t *error) {
    switch (status) {
    case ISCP_ERR_TLS:
        fputs("The server's certificate is not trusted, or is for another name. Is --ca right?\n", stderr);
        break;
    case ISCP_ERR_TOKEN_FAILED:
        fputs("The OAuth2 server gave no token. Are --oauth2-url, --client-id and --client-secret right?\n",
              stderr);
        break;
    case ISCP_ERR_UNAUTHORIZED:
        fputs("The server does not take the token. May this client connect to --project?\n", stderr);
        break;
    default:
        break;
    }
    example_print_error("connect", status, error);
}

int main(int argc, char **argv) {
    static const char *const names[] = {"--url", "--oauth2-url", "--client-id", "--client-secret",
                                        "--ca",  "--project",    "--node",      NULL};
    if (!example_options_valid(argc, argv, names)) {
        return 2;
    }
    /* An empty value leaves an option at its default. Keep the secret of a real client in a file that only
     * the program can read: other users can see command lines. */
    const struct setting settings[] = {
        {iscp_conn_options_set_url,
         example_option(argc, argv, "--url", "wss://127.0.0.1:8443/api/iscp/connect")},
        {iscp_conn_options_set_oauth2_token_url,
         example_option(argc, argv, "--oauth2-url", "https://127.0.0.1:8444/api/auth/oauth2/token")},
        {iscp_conn_options_set_oauth2_client_id, example_option(argc, argv, "--client-id", "iscp-dev")},
        {iscp_conn_options_set_oauth2_client_secret,
         example_option(argc, argv, "--client-secret", "iscp-dev-secret")},
        {iscp_conn_options_set_tls_ca_file, example_option(argc, argv, "--ca", "")},
        {iscp_conn_options_set_project_uuid, example_option(argc, argv, "--project", "")},
        {iscp_conn_options_set_node_id, example_option(argc, argv, "--node", "intdash-example")},
    };
    int exit_status = EXIT_FAILURE;
    iscp_status_t status = ISCP_OK;
    iscp_error_t *error = NULL;
    iscp_conn_t *conn = NULL;
    iscp_conn_options_t *options = iscp_conn_options_new();

    for (size_t i = 0; i < sizeof settings / sizeof settings[0]; i++) {
        if ((status = settings[i].set(options, settings[i].value, &error)) != ISCP_OK) {
            goto end;
        }
    }
    /* Asks the OAuth2 server for a token, verifies the server's certificate, and shows the token. */
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
        explain(status, error);
    }
    iscp_conn_free(conn);
    iscp_conn_options_free(options);
    return exit_status;
}
