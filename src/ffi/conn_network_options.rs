//! Options of a connection: the way to the server.

use std::ffi::c_char;

use super::boundary::ffi;
use super::conn_option_table::OPTIONS;
use super::conn_options::iscp_conn_options_t;
use super::error::iscp_error_t;
use super::options::{set_text, set_typed};
use super::status::iscp_status_t;

/// Sets the HTTP proxy that WebSockets go through, with the method CONNECT. Default: none.
///
/// Without this option the environment is not looked at. With `env` it is, when a connection is made:
/// `HTTPS_PROXY` for `wss`, `HTTP_PROXY` for `ws`, `ALL_PROXY` for both, in capitals or not, and `NO_PROXY`
/// for hosts to reach directly. OAuth2 servers are asked through the proxy too. QUIC and WebTransport cannot
/// go through a proxy: connecting then fails with `ISCP_ERR_INVALID_OPTION`.
///
/// @param options   the options
/// @param proxy     `http://host:port` or `http://user:password@host:port`, user and password
///                  percent-encoded; "env"; "" for none
/// @param out_error receives the detail of a failure, or NULL
/// @return `ISCP_OK`; `ISCP_ERR_INVALID_OPTION` for something that is no such address;
///         `ISCP_ERR_UNSUPPORTED` when the build lacks the feature "proxy"; `ISCP_ERR_NULL_ARGUMENT`,
///         `ISCP_ERR_BAD_HANDLE`, `ISCP_ERR_INVALID_UTF8`
///
/// Thread: any, one at a time. Blocking: no. Lifetime: borrows the text for the call.
/// Since: 0.1.0.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn iscp_conn_options_set_proxy(
    options: *mut iscp_conn_options_t,
    proxy: *const c_char,
    out_error: *mut *mut iscp_error_t,
) -> iscp_status_t {
    // SAFETY: the caller passes options of this library and a string.
    ffi!(out_error => { unsafe { set_text(options, OPTIONS, "proxy", proxy) } })
}

/// Sets the IP address of this machine to connect from. Default: empty, the system chooses.
///
/// Of the server's addresses only those of the same family are tried.
///
/// @param options       the options
/// @param local_address an IPv4 or IPv6 address without port, "" for any
/// @param out_error     receives the detail of a failure, or NULL
/// @return `ISCP_OK`; `ISCP_ERR_INVALID_OPTION` for a value out of range; `ISCP_ERR_NULL_ARGUMENT`,
///         `ISCP_ERR_BAD_HANDLE`, `ISCP_ERR_INVALID_UTF8`
///
/// Thread: any, one at a time. Blocking: no. Lifetime: borrows the text for the call.
/// Since: 0.1.0.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn iscp_conn_options_set_local_address(
    options: *mut iscp_conn_options_t,
    local_address: *const c_char,
    out_error: *mut *mut iscp_error_t,
) -> iscp_status_t {
    // SAFETY: the caller passes options of this library and a string.
    ffi!(out_error => { unsafe { set_text(options, OPTIONS, "local_address", local_address) } })
}

/// Sets the network interface that the connection takes, whatever the routes say. Default: empty, as the
/// routes say.
///
/// Linux only; older kernels than 5.7 want the capability `CAP_NET_RAW` for it. Both families work.
///
/// @param options   the options
/// @param interface name of an interface, such as "eth0", at most 15 bytes; "" for any
/// @param out_error receives the detail of a failure, or NULL
/// @return `ISCP_OK`; `ISCP_ERR_INVALID_OPTION` for a value out of range; `ISCP_ERR_NULL_ARGUMENT`,
///         `ISCP_ERR_BAD_HANDLE`, `ISCP_ERR_INVALID_UTF8`
///
/// Thread: any, one at a time. Blocking: no. Lifetime: borrows the text for the call.
/// Since: 0.1.0.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn iscp_conn_options_set_interface(
    options: *mut iscp_conn_options_t,
    interface: *const c_char,
    out_error: *mut *mut iscp_error_t,
) -> iscp_status_t {
    // SAFETY: the caller passes options of this library and a string.
    ffi!(out_error => { unsafe { set_text(options, OPTIONS, "interface", interface) } })
}

/// Sets how QUIC and WebTransport find out how fast they may send. Default: `cubic`.
///
/// `cubic` (RFC 9438) and `new-reno` (RFC 9002) slow down when packets are lost; `cubic` recovers faster on
/// long paths. `bbr` measures rate and delay instead, which suits links that lose packets without being
/// congested, such as radio; it is experimental.
///
/// @param options         the options
/// @param quic_congestion "cubic", "new-reno" or "bbr"
/// @param out_error       receives the detail of a failure, or NULL
/// @return `ISCP_OK`; `ISCP_ERR_INVALID_OPTION` for a value out of range; `ISCP_ERR_UNSUPPORTED` when the
///         build lacks the feature "quic"; `ISCP_ERR_NULL_ARGUMENT`, `ISCP_ERR_BAD_HANDLE`,
///         `ISCP_ERR_INVALID_UTF8`
///
/// Thread: any, one at a time. Blocking: no. Lifetime: borrows the text for the call.
/// Since: 0.1.0.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn iscp_conn_options_set_quic_congestion(
    options: *mut iscp_conn_options_t,
    quic_congestion: *const c_char,
    out_error: *mut *mut iscp_error_t,
) -> iscp_status_t {
    // SAFETY: the caller passes options of this library and a string.
    ffi!(out_error => { unsafe { set_text(options, OPTIONS, "quic_congestion", quic_congestion) } })
}

/// Sets the largest datagram of QUIC and WebTransport, in which the chunks of UNRELIABLE upstreams go.
/// Default: 0, as large as the path carries.
///
/// A chunk that does not fit is cut into several; it is lost as a whole when one of them is. The path's own
/// limit applies in any case.
///
/// @param options            the options
/// @param quic_datagram_size bytes of content, 64 to 65527; 0 for what the path carries
/// @param out_error          receives the detail of a failure, or NULL
/// @return `ISCP_OK`; `ISCP_ERR_INVALID_OPTION` for a value out of range; `ISCP_ERR_UNSUPPORTED` when the
///         build lacks the feature "quic"; `ISCP_ERR_NULL_ARGUMENT`, `ISCP_ERR_BAD_HANDLE`
///
/// Thread: any, one at a time. Blocking: no. Lifetime: plain values. Since: 0.1.0.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn iscp_conn_options_set_quic_datagram_size(
    options: *mut iscp_conn_options_t,
    quic_datagram_size: usize,
    out_error: *mut *mut iscp_error_t,
) -> iscp_status_t {
    // SAFETY: the caller passes options of this library.
    ffi!(out_error => { unsafe { set_typed(options, OPTIONS, "quic_datagram_size", quic_datagram_size) } })
}

/// Sets whether WebSockets use Multipath TCP (RFC 8684), so that a connection may go on over another network when
/// the system knows one, as `ip mptcp` says. Default: false.
///
/// Where the system or the server has none, plain TCP is used; a line in the log says the former, and
/// `iscp_path_protocol` which it is. Linux only. For paths that the library chooses itself see
/// `iscp_conn_options_add_path`.
///
/// @param options       the options
/// @param multipath_tcp whether to use it
/// @param out_error     receives the detail of a failure, or NULL
/// @return `ISCP_OK`; `ISCP_ERR_NULL_ARGUMENT`, `ISCP_ERR_BAD_HANDLE`. With QUIC or WebTransport, which have
///         no TCP, connecting fails with `ISCP_ERR_INVALID_OPTION`
///
/// Thread: any, one at a time. Blocking: no. Lifetime: plain values. Since: 0.1.0.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn iscp_conn_options_set_multipath_tcp(
    options: *mut iscp_conn_options_t,
    multipath_tcp: bool,
    out_error: *mut *mut iscp_error_t,
) -> iscp_status_t {
    // SAFETY: the caller passes options of this library.
    ffi!(out_error => { unsafe { set_typed(options, OPTIONS, "multipath_tcp", multipath_tcp) } })
}
