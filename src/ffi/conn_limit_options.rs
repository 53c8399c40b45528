//! How much a connection keeps.

use super::boundary::ffi;
use super::conn_option_table::OPTIONS;
use super::conn_options::iscp_conn_options_t;
use super::error::iscp_error_t;
use super::options::set_typed;
use super::status::iscp_status_t;

/// Sets the largest message accepted from the server. Default: 67108864.
///
/// @param options          the options
/// @param max_message_size bytes, 1024 to 1073741824
/// @param out_error        receives the detail of a failure, or NULL
/// @return `ISCP_OK`; `ISCP_ERR_INVALID_OPTION` for a value out of range; `ISCP_ERR_NULL_ARGUMENT`,
///         `ISCP_ERR_BAD_HANDLE`
///
/// Thread: any, one at a time. Blocking: no. Lifetime: plain values. Since: 0.1.0.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn iscp_conn_options_set_max_message_size(
    options: *mut iscp_conn_options_t,
    max_message_size: usize,
    out_error: *mut *mut iscp_error_t,
) -> iscp_status_t {
    // SAFETY: the caller passes options of this library.
    ffi!(out_error => { unsafe { set_typed(options, OPTIONS, "max_message_size", max_message_size) } })
}

/// Sets how many calls of other nodes, and how many replies for which nobody waits, may wait for the
/// application. When more come they are dropped and counted. Default: 1024.
///
/// @param options          the options
/// @param call_queue_limit calls, and replies, 1 to 1048576
/// @param out_error        receives the detail of a failure, or NULL
/// @return `ISCP_OK`; `ISCP_ERR_INVALID_OPTION` for a value out of range; `ISCP_ERR_NULL_ARGUMENT`,
///         `ISCP_ERR_BAD_HANDLE`
///
/// Thread: any, one at a time. Blocking: no. Lifetime: plain values. Since: 0.1.0.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn iscp_conn_options_set_call_queue_limit(
    options: *mut iscp_conn_options_t,
    call_queue_limit: usize,
    out_error: *mut *mut iscp_error_t,
) -> iscp_status_t {
    // SAFETY: the caller passes options of this library.
    ffi!(out_error => { unsafe { set_typed(options, OPTIONS, "call_queue_limit", call_queue_limit) } })
}

/// Sets how many bytes of calls of other nodes, and of replies for which nobody waits, may wait for the
/// application; a single one may be larger. When more come they are dropped and counted.
/// Default: 67108864.
///
/// @param options          the options
/// @param call_queue_bytes bytes, 1024 to 1073741824
/// @param out_error        receives the detail of a failure, or NULL
/// @return `ISCP_OK`; `ISCP_ERR_INVALID_OPTION` for a value out of range; `ISCP_ERR_NULL_ARGUMENT`,
///         `ISCP_ERR_BAD_HANDLE`
///
/// Thread: any, one at a time. Blocking: no. Lifetime: plain values. Since: 0.1.0.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn iscp_conn_options_set_call_queue_bytes(
    options: *mut iscp_conn_options_t,
    call_queue_bytes: usize,
    out_error: *mut *mut iscp_error_t,
) -> iscp_status_t {
    // SAFETY: the caller passes options of this library.
    ffi!(out_error => { unsafe { set_typed(options, OPTIONS, "call_queue_bytes", call_queue_bytes) } })
}

/// Sets how many bytes of calls and replies may wait to be sent; a single one may be larger. Sending
/// more answers `ISCP_ERR_WOULD_BLOCK`. Default: 16777216.
///
/// @param options         the options
/// @param call_send_limit bytes, 1024 to 1073741824
/// @param out_error       receives the detail of a failure, or NULL
/// @return `ISCP_OK`; `ISCP_ERR_INVALID_OPTION` for a value out of range; `ISCP_ERR_NULL_ARGUMENT`,
///         `ISCP_ERR_BAD_HANDLE`
///
/// Thread: any, one at a time. Blocking: no. Lifetime: plain values. Since: 0.1.0.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn iscp_conn_options_set_call_send_limit(
    options: *mut iscp_conn_options_t,
    call_send_limit: usize,
    out_error: *mut *mut iscp_error_t,
) -> iscp_status_t {
    // SAFETY: the caller passes options of this library.
    ffi!(out_error => { unsafe { set_typed(options, OPTIONS, "call_send_limit", call_send_limit) } })
}

/// Sets how many events may wait for the application, or for its event callback to return. When more come
/// the oldest are dropped, and an event says so. Default: 256.
///
/// @param options           the options
/// @param event_queue_limit events, 1 to 1048576
/// @param out_error         receives the detail of a failure, or NULL
/// @return `ISCP_OK`; `ISCP_ERR_INVALID_OPTION` for a value out of range; `ISCP_ERR_NULL_ARGUMENT`,
///         `ISCP_ERR_BAD_HANDLE`
///
/// Thread: any, one at a time. Blocking: no. Lifetime: plain values. Since: 0.1.0.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn iscp_conn_options_set_event_queue_limit(
    options: *mut iscp_conn_options_t,
    event_queue_limit: usize,
    out_error: *mut *mut iscp_error_t,
) -> iscp_status_t {
    // SAFETY: the caller passes options of this library.
    ffi!(out_error => { unsafe { set_typed(options, OPTIONS, "event_queue_limit", event_queue_limit) } })
}
