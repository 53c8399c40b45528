/* Imports the module as Swift does, and uses what the Swift sources use of it. */
#pragma clang module import CIscp

_Static_assert(sizeof(iscp_uuid_t) == 16, "a Swift tuple of 16 bytes");
_Static_assert(sizeof(iscp_data_point_t) == 16 + sizeof(size_t), "three fields without padding");
_Static_assert(ISCP_OK == 0 && ISCP_ERR_CLOSED < 0, "statuses");

static void on_connect(iscp_conn_t *conn, const iscp_error_t *error, void *user_data) {
    (void)error;
    (void)user_data;
    iscp_conn_free(conn);
}

iscp_status_t test_module(const iscp_conn_options_t *options) {
    return iscp_connect(options, on_connect, NULL, NULL);
}
