//! The address of the server in parts.

use std::ffi::c_char;

use super::boundary::ffi;
use super::conn_option_table::OPTIONS;
use super::conn_options::iscp_conn_options_t;
use super::error::iscp_error_t;
use super::options::{set_text, set_typed};
use super::status::iscp_status_t;

/// Sets how the server is reached, instead of in the URL. Default: empty, which means as the URL says, or
/// `wss` without one.
///
/// Each part of the address that is set by itself, `transport`, `host`, `port` and `url_path`, takes the place
/// of that of the URL; a URL that is set later replaces them all. Parts that do not go together, such as QUIC
/// and a path, are refused when connecting.
///
/// @param options   the options
/// @param transport "ws", "wss", "quic" or "webtransport", or ""
/// @param out_error receives the detail of a failure, or NULL
/// @return `ISCP_OK`; `ISCP_ERR_INVALID_OPTION` for something else; `ISCP_ERR_UNSUPPORTED` for what this
///         build lacks; `ISCP_ERR_NULL_ARGUMENT`, `ISCP_ERR_BAD_HANDLE`,
///         `ISCP_ERR_INVALID_UTF8`
///
/// Thread: any, one at a time. Blocking: no. Lifetime: borrows the text for the call. Since: 0.1.0.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn iscp_conn_options_set_transport(
    options: *mut iscp_conn_options_t,
    transport: *const c_char,
    out_error: *mut *mut iscp_error_t,
) -> iscp_status_t {
    // SAFETY: the caller passes options of this library and a string.
    ffi!(out_error => { unsafe { set_text(options, OPTIONS, "transport", transport) } })
}

/// Sets the host of the server, instead of in the URL. Default: empty, which means as the URL says.
///
/// @param options   the options
/// @param host      a name or an IP address, or ""
/// @param out_error receives the detail of a failure, or NULL
/// @return `ISCP_OK`; `ISCP_ERR_INVALID_OPTION` for something else; `ISCP_ERR_NULL_ARGUMENT`, `ISCP_ERR_BAD_HANDLE`,
///         `ISCP_ERR_INVALID_UTF8`
///
/// Thread: any, one at a time. Blocking: no. Lifetime: borrows the text for the call. Since: 0.1.0.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn iscp_conn_options_set_host(
    options: *mut iscp_conn_options_t,
    host: *const c_char,
    out_error: *mut *mut iscp_error_t,
) -> iscp_status_t {
    // SAFETY: the caller passes options of this library and a string.
    ffi!(out_error => { unsafe { set_text(options, OPTIONS, "host", host) } })
}

/// Sets the port of the server, instead of in the URL. Default: 0, which means as the URL says, or the usual one
/// of the transport: 80 for `ws`, 443 for others.
///
/// @param options   the options
/// @param port      1 to 65535, or 0
/// @param out_error receives the detail of a failure, or NULL
/// @return `ISCP_OK`; `ISCP_ERR_INVALID_OPTION` for a value out of range; `ISCP_ERR_NULL_ARGUMENT`,
///         `ISCP_ERR_BAD_HANDLE`
///
/// Thread: any, one at a time. Blocking: no. Lifetime: plain values. Since: 0.1.0.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn iscp_conn_options_set_port(
    options: *mut iscp_conn_options_t,
    port: u16,
    out_error: *mut *mut iscp_error_t,
) -> iscp_status_t {
    // SAFETY: the caller passes options of this library.
    ffi!(out_error => { unsafe { set_typed(options, OPTIONS, "port", port) } })
}

/// Sets the path at the server, instead of in the URL. Default: empty, which means as the URL says, or
/// `/api/iscp/connect`.
///
/// @param options   the options
/// @param url_path  a path that begins with a slash, or ""
/// @param out_error receives the detail of a failure, or NULL
/// @return `ISCP_OK`; `ISCP_ERR_INVALID_OPTION` for something else; `ISCP_ERR_NULL_ARGUMENT`, `ISCP_ERR_BAD_HANDLE`,
///         `ISCP_ERR_INVALID_UTF8`
///
/// Thread: any, one at a time. Blocking: no. Lifetime: borrows the text for the call. Since: 0.1.0.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn iscp_conn_options_set_url_path(
    options: *mut iscp_conn_options_t,
    url_path: *const c_char,
    out_error: *mut *mut iscp_error_t,
) -> iscp_status_t {
    // SAFETY: the caller passes options of this library and a string.
    ffi!(out_error => { unsafe { set_text(options, OPTIONS, "url_path", url_path) } })
}
