//! How long a connection waits.

use super::boundary::ffi;
use super::conn_option_table::OPTIONS;
use super::conn_options::iscp_conn_options_t;
use super::error::iscp_error_t;
use super::options::set_typed;
use super::status::iscp_status_t;

/// Sets how often both sides ask whether the other is still there. Default: 10000.
///
/// @param options          the options
/// @param ping_interval_ms milliseconds, a multiple of 1000, 1000 to 3600000
/// @param out_error        receives the detail of a failure, or NULL
/// @return `ISCP_OK`; `ISCP_ERR_INVALID_OPTION` for a value out of range; `ISCP_ERR_NULL_ARGUMENT`,
///         `ISCP_ERR_BAD_HANDLE`
///
/// Thread: any, one at a time. Blocking: no. Lifetime: plain values. Since: 0.1.0.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn iscp_conn_options_set_ping_interval_ms(
    options: *mut iscp_conn_options_t,
    ping_interval_ms: u32,
    out_error: *mut *mut iscp_error_t,
) -> iscp_status_t {
    // SAFETY: the caller passes options of this library.
    ffi!(out_error => { unsafe { set_typed(options, OPTIONS, "ping_interval_ms", ping_interval_ms) } })
}

/// Sets how long both sides wait for the answer before they give the connection up. Default: 1000.
///
/// @param options         the options
/// @param ping_timeout_ms milliseconds, a multiple of 1000, 1000 to 3600000
/// @param out_error       receives the detail of a failure, or NULL
/// @return `ISCP_OK`; `ISCP_ERR_INVALID_OPTION` for a value out of range; `ISCP_ERR_NULL_ARGUMENT`,
///         `ISCP_ERR_BAD_HANDLE`
///
/// Thread: any, one at a time. Blocking: no. Lifetime: plain values. Since: 0.1.0.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn iscp_conn_options_set_ping_timeout_ms(
    options: *mut iscp_conn_options_t,
    ping_timeout_ms: u32,
    out_error: *mut *mut iscp_error_t,
) -> iscp_status_t {
    // SAFETY: the caller passes options of this library.
    ffi!(out_error => { unsafe { set_typed(options, OPTIONS, "ping_timeout_ms", ping_timeout_ms) } })
}

/// Sets how long the transport may take when connecting: the name service, the proxy, TLS and the
/// handshake together. Default: 10000.
///
/// @param options            the options
/// @param connect_timeout_ms milliseconds, 1 to 3600000
/// @param out_error          receives the detail of a failure, or NULL
/// @return `ISCP_OK`; `ISCP_ERR_INVALID_OPTION` for a value out of range; `ISCP_ERR_NULL_ARGUMENT`,
///         `ISCP_ERR_BAD_HANDLE`
///
/// Thread: any, one at a time. Blocking: no. Lifetime: plain values. Since: 0.1.0.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn iscp_conn_options_set_connect_timeout_ms(
    options: *mut iscp_conn_options_t,
    connect_timeout_ms: u32,
    out_error: *mut *mut iscp_error_t,
) -> iscp_status_t {
    // SAFETY: the caller passes options of this library.
    ffi!(out_error => { unsafe { set_typed(options, OPTIONS, "connect_timeout_ms", connect_timeout_ms) } })
}

/// Sets how long the server may take to answer a request. Default: 10000.
///
/// @param options             the options
/// @param response_timeout_ms milliseconds, 1 to 3600000
/// @param out_error           receives the detail of a failure, or NULL
/// @return `ISCP_OK`; `ISCP_ERR_INVALID_OPTION` for a value out of range; `ISCP_ERR_NULL_ARGUMENT`,
///         `ISCP_ERR_BAD_HANDLE`
///
/// Thread: any, one at a time. Blocking: no. Lifetime: plain values. Since: 0.1.0.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn iscp_conn_options_set_response_timeout_ms(
    options: *mut iscp_conn_options_t,
    response_timeout_ms: u32,
    out_error: *mut *mut iscp_error_t,
) -> iscp_status_t {
    // SAFETY: the caller passes options of this library.
    ffi!(out_error => { unsafe { set_typed(options, OPTIONS, "response_timeout_ms", response_timeout_ms) } })
}

/// Sets how long closing the connection may take, its streams included. Default: 10000.
///
/// The goodbye of the transport comes afterwards and takes 2 seconds at most, if the server does not answer
/// it.
///
/// @param options          the options
/// @param close_timeout_ms milliseconds, 1 to 3600000
/// @param out_error        receives the detail of a failure, or NULL
/// @return `ISCP_OK`; `ISCP_ERR_INVALID_OPTION` for a value out of range; `ISCP_ERR_NULL_ARGUMENT`,
///         `ISCP_ERR_BAD_HANDLE`
///
/// Thread: any, one at a time. Blocking: no. Lifetime: plain values. Since: 0.1.0.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn iscp_conn_options_set_close_timeout_ms(
    options: *mut iscp_conn_options_t,
    close_timeout_ms: u32,
    out_error: *mut *mut iscp_error_t,
) -> iscp_status_t {
    // SAFETY: the caller passes options of this library.
    ffi!(out_error => { unsafe { set_typed(options, OPTIONS, "close_timeout_ms", close_timeout_ms) } })
}

/// Sets how long a call waits for its reply unless it says otherwise. Default: 60000.
///
/// @param options          the options
/// @param reply_timeout_ms milliseconds, 1 to 3600000
/// @param out_error        receives the detail of a failure, or NULL
/// @return `ISCP_OK`; `ISCP_ERR_INVALID_OPTION` for a value out of range; `ISCP_ERR_NULL_ARGUMENT`,
///         `ISCP_ERR_BAD_HANDLE`
///
/// Thread: any, one at a time. Blocking: no. Lifetime: plain values. Since: 0.1.0.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn iscp_conn_options_set_reply_timeout_ms(
    options: *mut iscp_conn_options_t,
    reply_timeout_ms: u32,
    out_error: *mut *mut iscp_error_t,
) -> iscp_status_t {
    // SAFETY: the caller passes options of this library.
    ffi!(out_error => { unsafe { set_typed(options, OPTIONS, "reply_timeout_ms", reply_timeout_ms) } })
}
