//! What a connection travels on.

use std::ffi::{CStr, CString, c_char};
use std::os::fd::BorrowedFd;
use std::sync::Arc;
use std::time::Duration;

use super::boundary::ffi;
use super::conn::iscp_conn_t;
use super::convert::{self, c_text};
use super::error::iscp_error_t;
use super::handle::{self, handle};
use super::status::iscp_status_t;
use crate::client::ConnectionState;
use crate::error::{Error, Status};
use crate::transport::path::{Path, PathMetrics, TlsFacts};
use crate::transport::tcp_info;

/// A path of a connection: one transport to the server.
///
/// What was agreed when it was made never changes; numbers are those of the moment in which they are asked
/// for. A path may be kept when the connection has left it, and may be read from any thread.
#[allow(non_camel_case_types)]
pub struct iscp_path_t {
    _opaque: [u8; 0],
}

pub(super) struct Object {
    path: Arc<Path>,
    url: CString,
    transport: CString,
    protocol: CString,
    local_address: CString,
    peer_address: CString,
    tls_version: CString,
    tls_cipher: CString,
    alpn: CString,
    encoding: CString,
    compression: CString,
}

handle!(iscp_path_t, b"iscp.pth", "path", Object);

impl Object {
    fn new(path: Arc<Path>) -> Self {
        let about = path.about();
        let TlsFacts { version, cipher, alpn } = about.tls.clone().unwrap_or_default();
        let address = |address: Option<std::net::SocketAddr>| {
            c_text(&address.map(|address| address.to_string()).unwrap_or_default())
        };
        Self {
            url: c_text(&about.target.to_string()),
            transport: c_text(about.target.scheme.transport()),
            protocol: c_text(about.protocol),
            local_address: address(about.local),
            peer_address: address(about.peer),
            tls_version: c_text(&version),
            tls_cipher: c_text(&cipher),
            alpn: c_text(&alpn),
            encoding: c_text(about.encoding.option_name()),
            compression: c_text(&about.compression.to_string()),
            path,
        }
    }
}

/// A number about a path: one of the `ISCP_PATH_STAT_…` constants.
#[allow(non_camel_case_types)]
pub type iscp_path_stat_t = i32;

/// Nanoseconds of a round trip, as TCP or QUIC estimates it.
pub const ISCP_PATH_STAT_ROUND_TRIP_NS: iscp_path_stat_t = 1;
/// Nanoseconds by which the round trips vary. TCP only.
pub const ISCP_PATH_STAT_ROUND_TRIP_VARIANCE_NS: iscp_path_stat_t = 2;
/// Nanoseconds of the shortest round trip. QUIC only.
pub const ISCP_PATH_STAT_MIN_ROUND_TRIP_NS: iscp_path_stat_t = 3;
/// Bytes that may be under way: the congestion window.
pub const ISCP_PATH_STAT_CONGESTION_WINDOW: iscp_path_stat_t = 4;
/// Bytes of the largest packet: for TCP with the headers of IP, for QUIC what is in a datagram.
pub const ISCP_PATH_STAT_MTU: iscp_path_stat_t = 5;
/// Segments that are under way and not acknowledged. TCP only.
pub const ISCP_PATH_STAT_UNACKED_SEGMENTS: iscp_path_stat_t = 6;
/// Segments that were sent again. TCP only.
pub const ISCP_PATH_STAT_RETRANSMITTED_SEGMENTS: iscp_path_stat_t = 7;
/// Packets that were sent. QUIC only.
pub const ISCP_PATH_STAT_SENT_PACKETS: iscp_path_stat_t = 8;
/// Packets that were lost. QUIC only.
pub const ISCP_PATH_STAT_LOST_PACKETS: iscp_path_stat_t = 9;
/// Times the path was found congested. QUIC only.
pub const ISCP_PATH_STAT_CONGESTION_EVENTS: iscp_path_stat_t = 10;

/// Name of the transport of a connection. What was agreed with the server besides is told by `iscp_conn_path`.
///
/// @param conn the connection
/// @return "websocket", "quic" or "webtransport"; "multi" for a connection over several paths; "" for something
///         that is no connection; never NULL
///
/// Thread: any, callbacks included. Blocking: no. Lifetime: static text. Since: 0.1.0.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn iscp_conn_transport_name(conn: *const iscp_conn_t) -> *const c_char {
    ffi!(c"".as_ptr(); {
        // SAFETY: the caller passes a connection of this library.
        let conn = unsafe { handle::enter(conn)? };
        let name: &CStr = match conn.connection.transport_name() {
            "websocket" => c"websocket",
            "quic" => c"quic",
            "webtransport" => c"webtransport",
            _ => c"multi",
        };
        Ok(name.as_ptr())
    })
}

/// Encoding of the messages of a connection.
///
/// @param conn the connection
/// @return "protobuf" or "json", as in the options; "" for something that is no connection; never NULL
///
/// Thread: any, callbacks included. Blocking: no. Lifetime: static text. Since: 0.1.0.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn iscp_conn_encoding(conn: *const iscp_conn_t) -> *const c_char {
    ffi!(c"".as_ptr(); {
        // SAFETY: the caller passes a connection of this library.
        let conn = unsafe { handle::enter(conn)? };
        let name: &CStr = match conn.connection.encoding().option_name() {
            "json" => c"json",
            _ => c"protobuf",
        };
        Ok(name.as_ptr())
    })
}

/// Gives a path of a connection.
///
/// There is one, number 0, unless `iscp_conn_options_add_path` made it several; `ISCP_CONN_STAT_PATHS` says how
/// many, without those that have gone silent. Which number a path has changes when one is lost or comes back.
///
/// @param conn      the connection
/// @param index     number of the path, from 0
/// @param out_path  receives the path, to be freed with `iscp_path_free`; NULL on failure
/// @param out_error receives the detail of a failure, or NULL
/// @return `ISCP_OK`; `ISCP_ERR_INVALID_ARGUMENT` when there are less; `ISCP_ERR_CONNECTION_LOST` while the
///         connection is lost; `ISCP_ERR_CLOSED` when it has ended; `ISCP_ERR_NULL_ARGUMENT`,
///         `ISCP_ERR_BAD_HANDLE`, `ISCP_ERR_FORKED`
///
/// Thread: any, callbacks included. Blocking: no. Lifetime: the path is owned by the caller. Since: 0.1.0.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn iscp_conn_path(
    conn: *mut iscp_conn_t,
    index: usize,
    out_path: *mut *mut iscp_path_t,
    out_error: *mut *mut iscp_error_t,
) -> iscp_status_t {
    ffi!(out_error => {
        // SAFETY: the caller passes a connection of this library and a writable place.
        let (out, conn) = unsafe {
            (convert::output(out_path, std::ptr::null_mut(), "out_path")?, convert::object(conn, "conn")?)
        };
        let paths = conn.connection.paths();
        let path = paths.get(index).cloned().ok_or_else(|| match (paths.len(), conn.connection.state()) {
            (0, ConnectionState::Closed) => Error::new(Status::Closed, "the connection is closed"),
            (0, _) => Error::new(Status::ConnectionLost, "the connection is lost at present"),
            (count, _) => {
                Error::new(Status::InvalidArgument, format!("index: {index} of {count} paths, from 0"))
            }
        })?;
        out.set(handle::new(Object::new(path)));
        Ok(())
    })
}

/// Number about a path, as the system or QUIC knows it at this moment. Through a proxy it is about the way to
/// the proxy.
///
/// @param path      the path
/// @param stat      which number
/// @param out_value receives it; 0 on failure
/// @return `ISCP_OK`; `ISCP_ERR_UNSUPPORTED` for a number that this system or transport does not know;
///         `ISCP_ERR_CLOSED` when the path has ended; `ISCP_ERR_INVALID_ARGUMENT` when there is no such number;
///         `ISCP_ERR_NULL_ARGUMENT`, `ISCP_ERR_BAD_HANDLE`, `ISCP_ERR_FORKED`
///
/// Thread: any, callbacks included. Blocking: no. Lifetime: plain value. Since: 0.1.0.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn iscp_path_stat(
    path: *const iscp_path_t,
    stat: iscp_path_stat_t,
    out_value: *mut u64,
) -> iscp_status_t {
    ffi!({
        // SAFETY: the caller passes a path of this library and a writable place.
        let (out, path) = unsafe { (convert::stat(out_value)?, handle::enter(path)?) };
        let nanoseconds = |time: Duration| u64::try_from(time.as_nanos()).unwrap_or(u64::MAX);
        let pick: fn(&PathMetrics) -> Option<u64> = match stat {
            ISCP_PATH_STAT_CONGESTION_WINDOW => |metrics| Some(metrics.congestion_window),
            ISCP_PATH_STAT_MTU => |metrics| Some(metrics.mtu),
            ISCP_PATH_STAT_UNACKED_SEGMENTS => |metrics| metrics.unacknowledged,
            ISCP_PATH_STAT_RETRANSMITTED_SEGMENTS => |metrics| metrics.retransmitted,
            ISCP_PATH_STAT_SENT_PACKETS => |metrics| metrics.sent,
            ISCP_PATH_STAT_LOST_PACKETS => |metrics| metrics.lost,
            ISCP_PATH_STAT_CONGESTION_EVENTS => |metrics| metrics.congestion_events,
            ISCP_PATH_STAT_ROUND_TRIP_NS
            | ISCP_PATH_STAT_ROUND_TRIP_VARIANCE_NS
            | ISCP_PATH_STAT_MIN_ROUND_TRIP_NS => |_| None,
            _ => return Err(Status::InvalidArgument),
        };
        let metrics = path.path.metrics(|socket| {
            // SAFETY: the path promises that the socket is open during this call.
            tcp_info::metrics(unsafe { BorrowedFd::borrow_raw(socket) })
        })?;
        let value = match stat {
            ISCP_PATH_STAT_ROUND_TRIP_NS => Some(nanoseconds(metrics.round_trip)),
            ISCP_PATH_STAT_ROUND_TRIP_VARIANCE_NS => metrics.variance.map(nanoseconds),
            ISCP_PATH_STAT_MIN_ROUND_TRIP_NS => metrics.least_round_trip.map(nanoseconds),
            _ => pick(&metrics),
        };
        out.set(value.ok_or(Status::Unsupported)?);
        Ok(())
    })
}

/// Address that a path leads to.
///
/// @param path the path
/// @return the address with its port and path; "" for something that is no path; never NULL
///
/// Thread: any, callbacks included. Blocking: no. Lifetime: valid as long as the path. Since: 0.1.0.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn iscp_path_url(path: *const iscp_path_t) -> *const c_char {
    // SAFETY: the caller passes a path of this library.
    ffi!(c"".as_ptr(); { unsafe { handle::enter(path) }.map(|path| path.url.as_ptr()) })
}

/// Name of the transport of a path.
///
/// @param path the path
/// @return "websocket", "quic" or "webtransport"; "" for something that is no path; never NULL
///
/// Thread: any, callbacks included. Blocking: no. Lifetime: valid as long as the path. Since: 0.1.0.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn iscp_path_transport(path: *const iscp_path_t) -> *const c_char {
    // SAFETY: the caller passes a path of this library.
    ffi!(c"".as_ptr(); { unsafe { handle::enter(path) }.map(|path| path.transport.as_ptr()) })
}

/// Protocol that carries a path.
///
/// @param path the path
/// @return "tcp"; "mptcp" when both sides speak Multipath TCP; "udp" under QUIC and WebTransport; "" for something that is no path; never NULL
///
/// Thread: any, callbacks included. Blocking: no. Lifetime: valid as long as the path. Since: 0.1.0.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn iscp_path_protocol(path: *const iscp_path_t) -> *const c_char {
    // SAFETY: the caller passes a path of this library.
    ffi!(c"".as_ptr(); { unsafe { handle::enter(path) }.map(|path| path.protocol.as_ptr()) })
}

/// Address and port of a path on this machine.
///
/// @param path the path
/// @return such as "192.0.2.1:49152", or "[2001:db8::1]:49152"; "" where it is not known, as with QUIC; "" for something that is no path; never NULL
///
/// Thread: any, callbacks included. Blocking: no. Lifetime: valid as long as the path. Since: 0.1.0.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn iscp_path_local_address(path: *const iscp_path_t) -> *const c_char {
    // SAFETY: the caller passes a path of this library.
    ffi!(c"".as_ptr(); { unsafe { handle::enter(path) }.map(|path| path.local_address.as_ptr()) })
}

/// Address and port of the other end of a path: that of the server, or of the proxy.
///
/// @param path the path
/// @return such as "192.0.2.1:443", or "[2001:db8::1]:443"; "" for something that is no path; never NULL
///
/// Thread: any, callbacks included. Blocking: no. Lifetime: valid as long as the path. Since: 0.1.0.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn iscp_path_peer_address(path: *const iscp_path_t) -> *const c_char {
    // SAFETY: the caller passes a path of this library.
    ffi!(c"".as_ptr(); { unsafe { handle::enter(path) }.map(|path| path.peer_address.as_ptr()) })
}

/// Version of TLS that was agreed.
///
/// @param path the path
/// @return "TLSv1.2" or "TLSv1.3"; "" without TLS; "" for something that is no path; never NULL
///
/// Thread: any, callbacks included. Blocking: no. Lifetime: valid as long as the path. Since: 0.1.0.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn iscp_path_tls_version(path: *const iscp_path_t) -> *const c_char {
    // SAFETY: the caller passes a path of this library.
    ffi!(c"".as_ptr(); { unsafe { handle::enter(path) }.map(|path| path.tls_version.as_ptr()) })
}

/// Cipher suite that was agreed.
///
/// @param path the path
/// @return such as "TLS13_AES_256_GCM_SHA384"; "" without TLS, and with QUIC, which does not tell; "" for something that is no path; never NULL
///
/// Thread: any, callbacks included. Blocking: no. Lifetime: valid as long as the path. Since: 0.1.0.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn iscp_path_tls_cipher(path: *const iscp_path_t) -> *const c_char {
    // SAFETY: the caller passes a path of this library.
    ffi!(c"".as_ptr(); { unsafe { handle::enter(path) }.map(|path| path.tls_cipher.as_ptr()) })
}

/// Protocol that TLS agreed on for what is inside (ALPN).
///
/// @param path the path
/// @return "http/1.1", "iscp" or "h3"; "" when the server chose none, and without TLS; "" for something that is no path; never NULL
///
/// Thread: any, callbacks included. Blocking: no. Lifetime: valid as long as the path. Since: 0.1.0.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn iscp_path_alpn(path: *const iscp_path_t) -> *const c_char {
    // SAFETY: the caller passes a path of this library.
    ffi!(c"".as_ptr(); { unsafe { handle::enter(path) }.map(|path| path.alpn.as_ptr()) })
}

/// Encoding of the messages on a path.
///
/// @param path the path
/// @return "protobuf" or "json", as in the options; "" for something that is no path; never NULL
///
/// Thread: any, callbacks included. Blocking: no. Lifetime: valid as long as the path. Since: 0.1.0.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn iscp_path_encoding(path: *const iscp_path_t) -> *const c_char {
    // SAFETY: the caller passes a path of this library.
    ffi!(c"".as_ptr(); { unsafe { handle::enter(path) }.map(|path| path.encoding.as_ptr()) })
}

/// Compression of the messages on a path, with its level and the size of the dictionary.
///
/// @param path the path
/// @return "none", "per-message:LEVEL" or "context-takeover:LEVEL:WINDOW_BITS"; "" for something that is no path; never NULL
///
/// Thread: any, callbacks included. Blocking: no. Lifetime: valid as long as the path. Since: 0.1.0.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn iscp_path_compression(path: *const iscp_path_t) -> *const c_char {
    // SAFETY: the caller passes a path of this library.
    ffi!(c"".as_ptr(); { unsafe { handle::enter(path) }.map(|path| path.compression.as_ptr()) })
}

/// Adds an owner to a path: it then takes one more `iscp_path_free`.
///
/// @param path the path
/// @return the same path; NULL for NULL and for something that is no path
///
/// Thread: any, callbacks included. Blocking: no. Lifetime: the new owner frees it. Since: 0.1.0.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn iscp_path_ref(path: *const iscp_path_t) -> *mut iscp_path_t {
    // SAFETY: the caller passes a path of this library.
    ffi!(std::ptr::null_mut(); { unsafe { handle::add_owner(path) }.map(|()| path.cast_mut()) })
}

/// Frees a path; the connection goes on. Nothing happens for NULL.
///
/// @param path the path, or NULL
///
/// Thread: any, callbacks included. Blocking: no. Lifetime: the path and its texts end here. Since: 0.1.0.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn iscp_path_free(path: *mut iscp_path_t) {
    // SAFETY: the caller passes a path of this library.
    ffi!((); { unsafe { handle::free(path) }; Ok(()) });
}
