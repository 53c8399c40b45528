#include "bridge.h"

#include "_cgo_export.h"

/* True on a thread of the library while it runs a callback of the application. */
static _Thread_local bool in_callback;

static void on_release(void *user_data) {
    goiscpRelease((uintptr_t)user_data);
}

/* --- One-shot callbacks: they only pass the outcome on ----------------------------------------------------
 */

static void on_done(const iscp_error_t *error, void *user_data) {
    goiscpDone(NULL, (iscp_error_t *)error, (uintptr_t)user_data);
}

static void on_connected(iscp_conn_t *conn, const iscp_error_t *error, void *user_data) {
    goiscpDone(conn, (iscp_error_t *)error, (uintptr_t)user_data);
}

static void on_upstream(iscp_upstream_t *upstream, const iscp_error_t *error, void *user_data) {
    goiscpDone(upstream, (iscp_error_t *)error, (uintptr_t)user_data);
}

static void on_downstream(iscp_downstream_t *downstream, const iscp_error_t *error, void *user_data) {
    goiscpDone(downstream, (iscp_error_t *)error, (uintptr_t)user_data);
}

static void on_reply(const iscp_call_t *reply, const iscp_error_t *error, void *user_data) {
    goiscpDone(iscp_call_ref(reply), (iscp_error_t *)error, (uintptr_t)user_data);
}

#define REFUSE_IN_CALLBACK                                                                                   \
    if (in_callback) {                                                                                       \
        return ISCP_ERR_IN_CALLBACK;                                                                         \
    }

iscp_status_t goiscp_connect(const iscp_conn_options_t *options, uintptr_t handle, iscp_error_t **out_error) {
    REFUSE_IN_CALLBACK
    return iscp_connect(options, on_connected, (void *)handle, out_error);
}

iscp_status_t goiscp_conn_close(iscp_conn_t *conn, uintptr_t handle, iscp_error_t **out_error) {
    REFUSE_IN_CALLBACK
    return iscp_conn_close(conn, on_done, (void *)handle, out_error);
}

iscp_status_t goiscp_send_base_time(iscp_conn_t *conn, const char *session_id, const char *name,
                                    uint32_t priority, int64_t elapsed_time_ns, int64_t base_time_ns,
                                    bool persist, uintptr_t handle, iscp_error_t **out_error) {
    REFUSE_IN_CALLBACK
    return iscp_conn_send_base_time(conn, session_id, name, priority, elapsed_time_ns, base_time_ns, persist,
                                    on_done, (void *)handle, out_error);
}

iscp_status_t goiscp_call(iscp_conn_t *conn, const char *node_id, const char *name, const char *type,
                          const uint8_t *payload, size_t payload_len, int32_t timeout_ms, uintptr_t handle,
                          iscp_error_t **out_error) {
    REFUSE_IN_CALLBACK
    return iscp_conn_call(conn, node_id, name, type, payload, payload_len, timeout_ms, on_reply,
                          (void *)handle, out_error);
}

iscp_status_t goiscp_reply(iscp_conn_t *conn, const iscp_call_t *call, const char *name, const char *type,
                           const uint8_t *payload, size_t payload_len, uintptr_t handle,
                           iscp_error_t **out_error) {
    REFUSE_IN_CALLBACK
    return iscp_conn_send_reply(conn, call, name, type, payload, payload_len, on_done, (void *)handle,
                                out_error);
}

iscp_status_t goiscp_upstream_open(iscp_conn_t *conn, const iscp_upstream_options_t *options,
                                   uintptr_t handle, iscp_error_t **out_error) {
    REFUSE_IN_CALLBACK
    return iscp_upstream_open(conn, options, on_upstream, (void *)handle, out_error);
}

iscp_status_t goiscp_upstream_write_acknowledged(iscp_upstream_t *upstream, iscp_data_id_t data_id,
                                                 int64_t elapsed_time_ns, const uint8_t *payload,
                                                 size_t payload_len, uintptr_t handle,
                                                 iscp_error_t **out_error) {
    REFUSE_IN_CALLBACK
    return iscp_upstream_write_acknowledged(upstream, data_id, elapsed_time_ns, payload, payload_len, on_done,
                                            (void *)handle, out_error);
}

iscp_status_t goiscp_upstream_flush(iscp_upstream_t *upstream, iscp_flush_level_t level, int32_t timeout_ms,
                                    uintptr_t handle, iscp_error_t **out_error) {
    REFUSE_IN_CALLBACK
    return iscp_upstream_flush(upstream, level, timeout_ms, on_done, (void *)handle, out_error);
}

iscp_status_t goiscp_upstream_close(iscp_upstream_t *upstream, bool close_session, uintptr_t handle,
                                    iscp_error_t **out_error) {
    REFUSE_IN_CALLBACK
    return iscp_upstream_close(upstream, close_session, on_done, (void *)handle, out_error);
}

iscp_status_t goiscp_downstream_open(iscp_conn_t *conn, const iscp_downstream_options_t *options,
                                     uintptr_t handle, iscp_error_t **out_error) {
    REFUSE_IN_CALLBACK
    return iscp_downstream_open(conn, options, on_downstream, (void *)handle, out_error);
}

iscp_status_t goiscp_downstream_close(iscp_downstream_t *downstream, uintptr_t handle,
                                      iscp_error_t **out_error) {
    REFUSE_IN_CALLBACK
    return iscp_downstream_close(downstream, on_done, (void *)handle, out_error);
}

/* --- Long-lived callbacks: they run code of the application -----------------------------------------------
 */

static void on_token(iscp_token_request_t *request, void *user_data) {
    /* Go answers on a goroutine of its own, so nothing of the application runs here. */
    goiscpToken(request, (uintptr_t)user_data);
}

static void on_event(const iscp_event_t *event, void *user_data) {
    iscp_event_kind_t kind = iscp_event_kind(event);
    /* Go is told of the connection, not of its streams. */
    if (kind > ISCP_EVENT_CLOSED) {
        return;
    }
    in_callback = true;
    goiscpEvent(kind, iscp_event_attempt(event), iscp_event_delay_ms(event),
                (iscp_error_t *)iscp_event_error(event), (uintptr_t)user_data);
    in_callback = false;
}

static void on_ack(uint32_t sequence_number, int32_t result_code, const char *result_string,
                   void *user_data) {
    in_callback = true;
    goiscpAck(sequence_number, result_code, (char *)result_string, (uintptr_t)user_data);
    in_callback = false;
}

static void on_stream_event(iscp_stream_event_t event, const iscp_uuid_t *stream_id,
                            const iscp_uuid_t *former_stream_id, void *user_data) {
    in_callback = true;
    goiscpStreamEvent(event, *stream_id, *former_stream_id, (uintptr_t)user_data);
    in_callback = false;
}

static void on_upstream_closed(const iscp_error_t *error, uint64_t undelivered_points,
                               const uint32_t *undelivered_chunks, size_t undelivered_chunk_count,
                               void *user_data) {
    in_callback = true;
    goiscpUpstreamClosed((iscp_error_t *)error, undelivered_points, (uint32_t *)undelivered_chunks,
                         undelivered_chunk_count, (uintptr_t)user_data);
    in_callback = false;
}

static void on_downstream_closed(const iscp_error_t *error, void *user_data) {
    in_callback = true;
    goiscpDownstreamClosed((iscp_error_t *)error, (uintptr_t)user_data);
    in_callback = false;
}

iscp_status_t goiscp_set_token_source(iscp_conn_options_t *options, uintptr_t handle,
                                      iscp_error_t **out_error) {
    return iscp_conn_options_set_token_callback(options, on_token, (void *)handle, on_release, out_error);
}

iscp_status_t goiscp_set_on_event(iscp_conn_options_t *options, uintptr_t handle, iscp_error_t **out_error) {
    return iscp_conn_options_set_event_callback(options, on_event, (void *)handle, on_release, out_error);
}

iscp_status_t goiscp_set_on_ack(iscp_upstream_options_t *options, uintptr_t handle,
                                iscp_error_t **out_error) {
    return iscp_upstream_options_set_ack_callback(options, on_ack, (void *)handle, on_release, out_error);
}

iscp_status_t goiscp_upstream_set_on_event(iscp_upstream_options_t *options, uintptr_t handle,
                                           iscp_error_t **out_error) {
    return iscp_upstream_options_set_event_callback(options, on_stream_event, (void *)handle, on_release,
                                                    out_error);
}

iscp_status_t goiscp_upstream_set_on_closed(iscp_upstream_options_t *options, uintptr_t handle,
                                            iscp_error_t **out_error) {
    return iscp_upstream_options_set_closed_callback(options, on_upstream_closed, (void *)handle, on_release,
                                                     out_error);
}

iscp_status_t goiscp_downstream_set_on_event(iscp_downstream_options_t *options, uintptr_t handle,
                                             iscp_error_t **out_error) {
    return iscp_downstream_options_set_event_callback(options, on_stream_event, (void *)handle, on_release,
                                                      out_error);
}

iscp_status_t goiscp_downstream_set_on_closed(iscp_downstream_options_t *options, uintptr_t handle,
                                              iscp_error_t **out_error) {
    return iscp_downstream_options_set_closed_callback(options, on_downstream_closed, (void *)handle,
                                                       on_release, out_error);
}
