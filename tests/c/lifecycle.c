#include "lifecycle.h"

/* --- Options ---------------------------------------------------------------------------------------------
 */

static void *make_conn_options(struct family *family) {
    return conn_options(family->broker.url, "options", NULL);
}
static iscp_status_t use_conn_options(void *handle) {
    return iscp_conn_options_set(handle, "connect_timeout_ms", "1000", NULL);
}

static void *make_upstream_options(struct family *family) {
    (void)family;
    return iscp_upstream_options_new();
}
static iscp_status_t use_upstream_options(void *handle) {
    return iscp_upstream_options_set(handle, "qos", "reliable", NULL);
}

static void *make_downstream_options(struct family *family) {
    (void)family;
    return iscp_downstream_options_new();
}
static iscp_status_t use_downstream_options(void *handle) {
    return iscp_downstream_options_set(handle, "qos", "reliable", NULL);
}

static void *make_runtime_options(struct family *family) {
    (void)family;
    return iscp_runtime_options_new();
}
static iscp_status_t use_runtime_options(void *handle) {
    return iscp_runtime_options_set(handle, "stack_size", "0", NULL);
}

/* --- Connections and streams -----------------------------------------------------------------------------
 */

static void *make_conn(struct family *family) {
    iscp_conn_t *conn = client_connect(family->broker.url, family->conn == NULL ? "parent" : "another");
    if (family->conn == NULL) {
        family->conn = conn;
    }
    return conn;
}
static iscp_status_t use_conn(void *handle) {
    uint64_t value;
    return iscp_conn_stat(handle, ISCP_CONN_STAT_BYTES_SENT, &value);
}
static iscp_status_t close_conn(void *handle) {
    return iscp_conn_close_wait(handle, -1, NULL);
}
static iscp_status_t wait_for_call(void *handle) {
    iscp_call_t *call;
    return iscp_conn_next_call_wait(handle, -1, &call, NULL);
}
static iscp_status_t wait_for_late_reply(void *handle) {
    iscp_call_t *reply;
    return iscp_conn_next_reply_wait(handle, -1, &reply, NULL);
}
static iscp_status_t wait_for_the_end(void *handle) {
    iscp_status_t status = iscp_conn_wait_closed(handle, -1, NULL);
    /* It succeeds where the others tell of the end. */
    return status == ISCP_OK ? ISCP_ERR_CLOSED : status;
}
static iscp_status_t wait_for_event(void *handle) {
    iscp_status_t status;
    iscp_event_t *event;
    while ((status = iscp_conn_next_event_wait(handle, -1, &event, NULL)) == ISCP_OK) {
        iscp_event_free(event);
    }
    return status;
}
/* The other is there, and does not reply. */
static iscp_status_t wait_for_reply(void *handle) {
    iscp_call_t *reply;
    return iscp_conn_call_wait(handle, "parent", "name", "type", NULL, 0, -1, &reply, NULL);
}

static void *make_upstream(struct family *family) {
    if (family->up == NULL) {
        return family->up = client_upstream(family->conn, NULL);
    }
    /* One whose points the server does not acknowledge soon. */
    return client_upstream(family->conn, "ack_interval_ms", "60000", "close_timeout_ms", "200", NULL);
}
static iscp_status_t use_upstream(void *handle) {
    uint64_t value;
    return iscp_upstream_stat(handle, ISCP_UPSTREAM_STAT_TOTAL_POINTS, &value);
}
static iscp_status_t close_upstream(void *handle) {
    return iscp_upstream_close_wait(handle, false, -1, NULL);
}
static iscp_status_t wait_for_acknowledgement(void *handle) {
    iscp_data_id_t id;
    iscp_status_t status = iscp_upstream_data_id(handle, "n", "t", &id, NULL);
    if (status == ISCP_OK) {
        status = iscp_upstream_write(handle, id, 0, NULL, 0);
    }
    return status == ISCP_OK ? iscp_upstream_flush_wait(handle, ISCP_FLUSH_ACKNOWLEDGED, -1, NULL) : status;
}

static void *make_downstream(struct family *family) {
    iscp_downstream_t *down = client_downstream(family->conn, "parent");
    if (family->down == NULL) {
        family->down = down;
    }
    return down;
}
static iscp_status_t use_downstream(void *handle) {
    uint64_t value;
    return iscp_downstream_stat(handle, ISCP_DOWNSTREAM_STAT_CHUNKS, &value);
}
static iscp_status_t close_downstream(void *handle) {
    return iscp_downstream_close_wait(handle, -1, NULL);
}
static iscp_status_t wait_for_chunk(void *handle) {
    iscp_chunk_t *chunk;
    return iscp_downstream_next_chunk_wait(handle, -1, &chunk, NULL);
}
static iscp_status_t wait_for_metadata(void *handle) {
    iscp_status_t status;
    iscp_metadata_t *metadata;
    while ((status = iscp_downstream_next_metadata_wait(handle, -1, &metadata, NULL)) == ISCP_OK) {
        iscp_metadata_free(metadata);
    }
    return status;
}

/* --- What is received ------------------------------------------------------------------------------------
 */

static void *make_chunk(struct family *family) {
    iscp_chunk_t *chunk = NULL;
    client_write(family->up, client_data_id(family->up, "chunk"), 0, "x");
    OK(iscp_upstream_flush_wait(family->up, ISCP_FLUSH_SENT, -1, &error));
    OK(iscp_downstream_next_chunk_wait(family->down, -1, &chunk, &error));
    return chunk;
}
static iscp_status_t use_chunk(void *handle) {
    return iscp_chunk_group(handle, 0, NULL, NULL, NULL, NULL);
}

static void *make_metadata(struct family *family) {
    iscp_downstream_t *watched = client_downstream(family->conn, "nobody");
    iscp_metadata_t *metadata = client_read_metadata(family->down, ISCP_METADATA_DOWNSTREAM_OPEN);
    iscp_downstream_free(watched);
    return metadata;
}
static iscp_status_t use_metadata(void *handle) {
    const char *node, *name, *type;
    return iscp_metadata_filter(handle, 0, &node, &name, &type);
}

static void *make_call(struct family *family) {
    iscp_call_t *call = NULL;
    OK(iscp_conn_send_call_wait(family->conn, "parent", "name", "type", NULL, 0, -1, NULL, &error));
    OK(iscp_conn_next_call_wait(family->conn, -1, &call, &error));
    return call;
}
static iscp_status_t use_call(void *handle) {
    const uint8_t *payload;
    size_t length;
    return iscp_call_payload(handle, &payload, &length);
}

static void *make_event(struct family *family) {
    iscp_event_t *event = NULL;
    iscp_conn_t *conn = client_connect(family->broker.url, "told");
    OK(iscp_conn_next_event_wait(conn, -1, &event, &error));
    iscp_conn_free(conn);
    return event;
}
static iscp_status_t use_event(void *handle) {
    return iscp_event_kind(handle) != 0 ? ISCP_OK : ISCP_ERR_BAD_HANDLE;
}

static void *make_path(struct family *family) {
    iscp_path_t *path = NULL;
    iscp_conn_t *conn = client_connect(family->broker.url, "measured");
    OK(iscp_conn_path(conn, 0, &path, &error));
    iscp_conn_free(conn);
    return path;
}
static iscp_status_t use_path(void *handle) {
    return iscp_path_transport(handle)[0] != '\0' ? ISCP_OK : ISCP_ERR_BAD_HANDLE;
}

static void *make_error(struct family *family) {
    (void)family;
    iscp_error_t *error = NULL;
    iscp_upstream_options_t *options = iscp_upstream_options_new();
    CHECK_STATUS(iscp_upstream_options_set(options, "none such", "", &error), ISCP_ERR_UNKNOWN_OPTION);
    iscp_upstream_options_free(options);
    return error;
}
static iscp_status_t use_error(void *handle) {
    iscp_status_t status = iscp_error_code(handle);
    return status == ISCP_ERR_UNKNOWN_OPTION ? ISCP_OK : status;
}

static struct event asked, refused;
static iscp_token_request_t *request;

static void on_token(iscp_token_request_t *question, void *user_data) {
    (void)user_data;
    request = question;
    event_signal(&asked);
}
static void on_refused(iscp_conn_t *conn, const iscp_error_t *error, void *user_data) {
    (void)error;
    (void)user_data;
    CHECK(conn == NULL);
    event_signal(&refused);
}
static void *make_token_request(struct family *family) {
    asked = refused = (struct event)EVENT_INIT;
    iscp_conn_options_t *options = conn_options(family->broker.url, "asked", "reconnect", "false", NULL);
    OK(iscp_conn_options_set_token_callback(options, on_token, NULL, NULL, &error));
    OK(iscp_connect(options, on_refused, NULL, &error));
    iscp_conn_options_free(options);
    event_wait(&asked, 1, "the question for a token");
    return request;
}
static iscp_status_t reject_token_request(void *handle) {
    iscp_status_t status = iscp_token_request_reject(handle, "no reason", NULL);
    if (status == ISCP_OK) {
        event_wait(&refused, 1, "the end of the attempt to connect");
    }
    return status;
}

/* --- The table -------------------------------------------------------------------------------------------
 */

/* The functions of the header, with pointers to anything. */
#define FREE(type)                                                                                           \
    static void free_##type(void *handle) {                                                                  \
        iscp_##type##_free(handle);                                                                          \
    }
#define REF(type)                                                                                            \
    static void *ref_##type(void *handle) {                                                                  \
        return iscp_##type##_ref(handle);                                                                    \
    }
FREE(conn_options)
FREE(upstream_options)
FREE(downstream_options)
FREE(conn)
REF(conn)
FREE(upstream)
REF(upstream)
FREE(downstream)
REF(downstream)
FREE(chunk)
REF(chunk)
FREE(metadata)
REF(metadata)
FREE(call)
REF(call)
FREE(event)
REF(event)
FREE(path)
REF(path)
FREE(error)
FREE(runtime_options)

#define TYPE(type) .name = #type, .make = make_##type, .free = free_##type, .use = use_##type
#define COUNTED(type) TYPE(type), .ref = ref_##type

/* Parents before children. */
const struct handle_type handle_types[] = {
    {TYPE(runtime_options), .of_null = ISCP_ERR_NULL_ARGUMENT},
    {TYPE(conn_options), .of_null = ISCP_ERR_NULL_ARGUMENT},
    {TYPE(upstream_options), .of_null = ISCP_ERR_NULL_ARGUMENT},
    {TYPE(downstream_options), .of_null = ISCP_ERR_NULL_ARGUMENT},
    {COUNTED(conn), .of_null = ISCP_ERR_NULL_ARGUMENT, .close = close_conn,
     .waits = {wait_for_call, wait_for_late_reply, wait_for_reply, wait_for_event, wait_for_the_end}},
    {COUNTED(upstream), .of_null = ISCP_ERR_NULL_ARGUMENT, .close = close_upstream,
     .waits = {wait_for_acknowledgement}},
    {COUNTED(downstream), .of_null = ISCP_ERR_NULL_ARGUMENT, .close = close_downstream,
     .waits = {wait_for_chunk, wait_for_metadata}},
    {COUNTED(chunk), .of_null = ISCP_ERR_NULL_ARGUMENT},
    {COUNTED(metadata), .of_null = ISCP_ERR_NULL_ARGUMENT},
    {COUNTED(call), .of_null = ISCP_ERR_NULL_ARGUMENT},
    {COUNTED(event), .of_null = ISCP_ERR_BAD_HANDLE, .of_forked = ISCP_ERR_BAD_HANDLE},
    {COUNTED(path), .of_null = ISCP_ERR_BAD_HANDLE, .of_forked = ISCP_ERR_BAD_HANDLE},
    {TYPE(error), .of_null = ISCP_OK},
    {.name = "token_request",
     .make = make_token_request,
     .use = reject_token_request,
     .of_null = ISCP_ERR_NULL_ARGUMENT,
     .use_ends = true},
};
const size_t handle_type_count = sizeof handle_types / sizeof handle_types[0];
_Static_assert(sizeof handle_types / sizeof handle_types[0] <= MAX_TYPES, "MAX_TYPES");

void family_start(struct family *family) {
    *family = (struct family){0};
    broker_start(&family->broker, NULL);
}

void family_make(struct family *family, void **handles) {
    family->conn = NULL;
    family->up = NULL;
    family->down = NULL;
    for (size_t i = 0; i < handle_type_count; i++) {
        test_about(handle_types[i].name);
        handles[i] = handle_types[i].make(family);
        CHECK(handles[i] != NULL);
    }
}

void handle_end(const struct handle_type *type, void *handle) {
    if (type->use_ends) {
        type->use(handle);
    } else {
        type->free(handle);
    }
}

void family_stop(struct family *family) {
    test_about("the end of the family");
    client_shutdown();
    broker_stop(&family->broker);
}
