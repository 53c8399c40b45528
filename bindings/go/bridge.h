/* What Go cannot say by itself: callbacks are C functions that call Go, and user data is a number and no
 * pointer.
 *
 * The functions start an operation of the library whose outcome is given to Go once. They fail with
 * ISCP_ERR_IN_CALLBACK inside a callback, where waiting for the outcome would never end. */
#ifndef GOISCP_BRIDGE_H
#define GOISCP_BRIDGE_H

#include <iscp/iscp.h>

iscp_status_t goiscp_connect(const iscp_conn_options_t *options, uintptr_t handle, iscp_error_t **out_error);
iscp_status_t goiscp_conn_close(iscp_conn_t *conn, uintptr_t handle, iscp_error_t **out_error);
iscp_status_t goiscp_send_base_time(iscp_conn_t *conn, const char *session_id, const char *name,
                                    uint32_t priority, int64_t elapsed_time_ns, int64_t base_time_ns,
                                    bool persist, uintptr_t handle, iscp_error_t **out_error);
iscp_status_t goiscp_call(iscp_conn_t *conn, const char *node_id, const char *name, const char *type,
                          const uint8_t *payload, size_t payload_len, int32_t timeout_ms, uintptr_t handle,
                          iscp_error_t **out_error);
iscp_status_t goiscp_reply(iscp_conn_t *conn, const iscp_call_t *call, const char *name, const char *type,
                           const uint8_t *payload, size_t payload_len, uintptr_t handle,
                           iscp_error_t **out_error);
iscp_status_t goiscp_upstream_open(iscp_conn_t *conn, const iscp_upstream_options_t *options,
                                   uintptr_t handle, iscp_error_t **out_error);
iscp_status_t goiscp_upstream_write_acknowledged(iscp_upstream_t *upstream, iscp_data_id_t data_id,
                                                 int64_t elapsed_time_ns, const uint8_t *payload,
                                                 size_t payload_len, uintptr_t handle,
                                                 iscp_error_t **out_error);
iscp_status_t goiscp_upstream_flush(iscp_upstream_t *upstream, iscp_flush_level_t level, int32_t timeout_ms,
                                    uintptr_t handle, iscp_error_t **out_error);
iscp_status_t goiscp_upstream_close(iscp_upstream_t *upstream, bool close_session, uintptr_t handle,
                                    iscp_error_t **out_error);
iscp_status_t goiscp_downstream_open(iscp_conn_t *conn, const iscp_downstream_options_t *options,
                                     uintptr_t handle, iscp_error_t **out_error);
iscp_status_t goiscp_downstream_close(iscp_downstream_t *downstream, uintptr_t handle,
                                      iscp_error_t **out_error);

/* Long-lived callbacks: the handle is released once, also when the function fails. */
iscp_status_t goiscp_set_token_source(iscp_conn_options_t *options, uintptr_t handle,
                                      iscp_error_t **out_error);
iscp_status_t goiscp_set_on_event(iscp_conn_options_t *options, uintptr_t handle, iscp_error_t **out_error);
iscp_status_t goiscp_set_on_ack(iscp_upstream_options_t *options, uintptr_t handle, iscp_error_t **out_error);
iscp_status_t goiscp_upstream_set_on_event(iscp_upstream_options_t *options, uintptr_t handle,
                                           iscp_error_t **out_error);
iscp_status_t goiscp_upstream_set_on_closed(iscp_upstream_options_t *options, uintptr_t handle,
                                            iscp_error_t **out_error);
iscp_status_t goiscp_downstream_set_on_event(iscp_downstream_options_t *options, uintptr_t handle,
                                             iscp_error_t **out_error);
iscp_status_t goiscp_downstream_set_on_closed(iscp_downstream_options_t *options, uintptr_t handle,
                                              iscp_error_t **out_error);

#endif
