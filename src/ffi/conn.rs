//! Connections.

use std::ffi::{CString, c_char, c_void};
use std::sync::atomic::Ordering::Relaxed;

use super::boundary::ffi;
use super::conn_options::iscp_conn_options_t;
use super::convert::{self, UserData, c_text};
use super::error::iscp_error_t;
use super::handle::{self, handle};
use super::status::iscp_status_t;
use super::{completion, fork, iscp_done_cb, log};
use crate::client::{Completion, ConnectOptions, Connection, ConnectionState};
use crate::error::{Error, Result, Status};
use crate::message::BaseTime;

/// A connection to a server.
///
/// It is closed by `iscp_conn_close`, or in the background when the connection and every stream on it
/// have been freed; freeing the connection before its streams is fine. It may be used from any thread.
#[allow(non_camel_case_types)]
pub struct iscp_conn_t {
    _opaque: [u8; 0],
}

pub(super) struct Object {
    pub(super) connection: Connection,
    protocol_version: CString,
}

handle!(iscp_conn_t, b"iscp.con", "connection", Object, |conn| {
    // Ends whoever waits for calls, replies, events or the end: they could wait for ever.
    conn.connection.abandon();
});

/// State of a connection: one of the `ISCP_CONN_STATE_…` constants.
#[allow(non_camel_case_types)]
pub type iscp_conn_state_t = i32;

/// In use.
pub const ISCP_CONN_STATE_CONNECTED: iscp_conn_state_t = 1;
/// Ended, by the application or otherwise.
pub const ISCP_CONN_STATE_CLOSED: iscp_conn_state_t = 2;
/// Lost, and about to be made anew; streams and calls wait for it.
pub const ISCP_CONN_STATE_RECONNECTING: iscp_conn_state_t = 3;

/// A number about a connection: one of the `ISCP_CONN_STAT_…` constants.
#[allow(non_camel_case_types)]
pub type iscp_conn_stat_t = i32;

/// Messages sent.
pub const ISCP_CONN_STAT_MESSAGES_SENT: iscp_conn_stat_t = 1;
/// Messages received.
pub const ISCP_CONN_STAT_MESSAGES_RECEIVED: iscp_conn_stat_t = 2;
/// Bytes of the messages sent, without the transport's framing.
pub const ISCP_CONN_STAT_BYTES_SENT: iscp_conn_stat_t = 3;
/// Bytes of the messages received, without the transport's framing.
pub const ISCP_CONN_STAT_BYTES_RECEIVED: iscp_conn_stat_t = 4;
/// Nanoseconds the last ping and its answer took; 0 before the first.
pub const ISCP_CONN_STAT_ROUND_TRIP_NS: iscp_conn_stat_t = 5;
/// Messages of UNRELIABLE upstreams that were dropped because datagrams left too slowly.
pub const ISCP_CONN_STAT_MESSAGES_DROPPED: iscp_conn_stat_t = 6;
/// Calls of other nodes received, those that were dropped included.
pub const ISCP_CONN_STAT_CALLS_RECEIVED: iscp_conn_stat_t = 7;
/// Calls dropped because too many waited for the application (`call_queue_limit`, `call_queue_bytes`).
pub const ISCP_CONN_STAT_CALLS_DROPPED: iscp_conn_stat_t = 8;
/// Calls that wait for the application.
pub const ISCP_CONN_STAT_CALLS_WAITING: iscp_conn_stat_t = 9;
/// Replies received for which nobody waited, those that were dropped included.
pub const ISCP_CONN_STAT_REPLIES_RECEIVED: iscp_conn_stat_t = 10;
/// Replies dropped because too many waited for the application.
pub const ISCP_CONN_STAT_REPLIES_DROPPED: iscp_conn_stat_t = 11;
/// Replies that wait for the application.
pub const ISCP_CONN_STAT_REPLIES_WAITING: iscp_conn_stat_t = 12;
/// Times the connection was lost and was to be made anew.
pub const ISCP_CONN_STAT_LOSSES: iscp_conn_stat_t = 13;
/// Times it was made anew.
pub const ISCP_CONN_STAT_RECONNECTS: iscp_conn_stat_t = 14;
/// Bytes that the spool takes on disk.
pub const ISCP_CONN_STAT_SPOOL_BYTES: iscp_conn_stat_t = 15;
/// Points given up because the spool was full (`spool_full`).
pub const ISCP_CONN_STAT_SPOOL_DROPPED: iscp_conn_stat_t = 16;
/// Points of earlier processes that were delivered.
pub const ISCP_CONN_STAT_SPOOL_RECOVERED: iscp_conn_stat_t = 17;
/// Paths of which the connection consists at present: 1 without `iscp_conn_options_add_path`, 0 while it is lost.
pub const ISCP_CONN_STAT_PATHS: iscp_conn_stat_t = 18;
/// Events dropped because too many waited for the application (`event_queue_limit`).
pub const ISCP_CONN_STAT_EVENTS_DROPPED: iscp_conn_stat_t = 19;
/// Points sent, those that were sent again included.
pub const ISCP_CONN_STAT_POINTS_SENT: iscp_conn_stat_t = 20;
/// Points received, those that came again included.
pub const ISCP_CONN_STAT_POINTS_RECEIVED: iscp_conn_stat_t = 21;

/// Told how an attempt to connect ended.
///
/// Called once on the connection's dispatcher thread. On success `conn` is the application's, to be
/// freed with `iscp_conn_free`, and `error` is NULL; on failure `conn` is NULL and `error` is valid
/// until the callback returns.
#[allow(non_camel_case_types)]
pub type iscp_connect_cb =
    Option<unsafe extern "C" fn(conn: *mut iscp_conn_t, error: *const iscp_error_t, user_data: *mut c_void)>;

fn new(connection: Connection) -> *mut iscp_conn_t {
    let protocol_version = c_text(connection.protocol_version());
    handle::new(Object { connection, protocol_version })
}

/// Copies options for one attempt.
///
/// # Safety
/// `options` is a handle of this library or NULL.
unsafe fn prepare(options: *const iscp_conn_options_t) -> Result<ConnectOptions> {
    fork::refuse_in_child("connect")?;
    log::follow_environment();
    // SAFETY: the caller's promise.
    let options = unsafe { convert::object(options, "options")? }.lock().clone();
    if options.url.is_empty() && !options.address.has_host() {
        return Err(Error::new(Status::InvalidOption, "option url: it is not set"));
    }
    Ok(options)
}

/// Connects to a server: asks the token source, opens the transport, and introduces itself.
///
/// @param options   where and how; copied
/// @param callback  told how it ended; must not be NULL
/// @param user_data handed to the callback
/// @param out_error receives the detail of a failure to begin, or NULL
/// @return `ISCP_OK` when it began, and the callback is called once; otherwise it is not called:
///         `ISCP_ERR_INVALID_OPTION` when there is no address or options contradict each other,
///         `ISCP_ERR_UNSUPPORTED` when this build lacks what the address needs, `ISCP_ERR_SPOOL` when the directory
///         of the option `spool_dir` cannot be used, `ISCP_ERR_NULL_ARGUMENT`, `ISCP_ERR_BAD_HANDLE`, `ISCP_ERR_FORKED`, `ISCP_ERR_INVALID_STATE` during a shutdown,
///         `ISCP_ERR_RESOURCE` when no thread can be started
///
/// Thread: any, callbacks included. Blocking: no. Lifetime: `options` may be freed at once.
/// Since: 0.1.0.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn iscp_connect(
    options: *const iscp_conn_options_t,
    callback: iscp_connect_cb,
    user_data: *mut c_void,
    out_error: *mut *mut iscp_error_t,
) -> iscp_status_t {
    ffi!(out_error => {
        // SAFETY: the caller passes options of this library.
        let options = unsafe { prepare(options)? };
        let callback = callback.ok_or_else(|| convert::null("callback"))?;
        let user_data = UserData(user_data);
        Connection::connect(options, Completion::call(move |outcome| {
            let user_data = user_data;
            completion::opened(outcome, new, |conn, error| {
                // SAFETY: the application promised a function of this type.
                unsafe { callback(conn, error, user_data.0) };
            });
        }))
    })
}

/// Connects to a server and waits for it, as `iscp_connect` does without waiting.
///
/// @param options    where and how; copied
/// @param timeout_ms milliseconds to wait; -1 as long as the time-outs of the options allow. An attempt
///                   that takes longer is abandoned
/// @param out_conn   receives the connection, to be freed with `iscp_conn_free`; NULL on failure
/// @param out_error  receives the detail of a failure, or NULL
/// @return `ISCP_OK`; what `iscp_connect` returns; `ISCP_ERR_IN_CALLBACK`; `ISCP_ERR_TIMEOUT`;
///         `ISCP_ERR_RESOLVE`, `ISCP_ERR_CONNECT_FAILED`, `ISCP_ERR_HANDSHAKE` for the transport;
///         `ISCP_ERR_TOKEN_FAILED`, `ISCP_ERR_UNAUTHORIZED`, `ISCP_ERR_REFUSED`,
///         `ISCP_ERR_INCOMPATIBLE_VERSION`, `ISCP_ERR_DISCONNECTED`, `ISCP_ERR_CONNECTION_LOST`,
///         `ISCP_ERR_MALFORMED_MESSAGE`, `ISCP_ERR_PROTOCOL_VIOLATION` for the server
///
/// Thread: any but the library's own. Blocking: yes. Lifetime: the connection is owned by the caller.
/// Since: 0.1.0.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn iscp_connect_wait(
    options: *const iscp_conn_options_t,
    timeout_ms: i32,
    out_conn: *mut *mut iscp_conn_t,
    out_error: *mut *mut iscp_error_t,
) -> iscp_status_t {
    ffi!(out_error => {
        // SAFETY: the caller passes options of this library and a writable place.
        let (out, options) = unsafe { (convert::output(out_conn, std::ptr::null_mut(), "out_conn")?, prepare(options)?) };
        let timeout = convert::timeout(timeout_ms)?;
        out.set(new(Connection::connect_wait(options, timeout)?));
        Ok(())
    })
}

/// Flushes and closes every stream, says goodbye to the server and closes the transport.
///
/// @param conn      the connection
/// @param callback  told how it ended, or NULL
/// @param user_data handed to the callback
/// @param out_error receives the detail of a failure to begin, or NULL
/// @return `ISCP_OK` when it began, and the callback is called once; otherwise it is not called:
///         `ISCP_ERR_CLOSED` when the connection has ended, `ISCP_ERR_NULL_ARGUMENT`,
///         `ISCP_ERR_BAD_HANDLE`, `ISCP_ERR_FORKED`
///
/// Thread: any, callbacks included. Blocking: no. Lifetime: the connection must still be freed.
/// Since: 0.1.0.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn iscp_conn_close(
    conn: *mut iscp_conn_t,
    callback: iscp_done_cb,
    user_data: *mut c_void,
    out_error: *mut *mut iscp_error_t,
) -> iscp_status_t {
    ffi!(out_error => {
        // SAFETY: the caller passes a connection of this library.
        let conn = unsafe { convert::object(conn, "conn")? };
        conn.connection.close(completion::done(callback, user_data))
    })
}

/// Closes a connection and waits for it, as `iscp_conn_close` does without waiting.
///
/// @param conn       the connection
/// @param timeout_ms milliseconds to wait; -1 as long as the close time-out of the options allows
/// @param out_error  receives the detail of a failure, or NULL
/// @return `ISCP_OK`; what `iscp_conn_close` returns; `ISCP_ERR_IN_CALLBACK`; `ISCP_ERR_TIMEOUT`;
///         `ISCP_ERR_CONNECTION_LOST` and others when the connection broke meanwhile
///
/// Thread: any but the library's own. Blocking: yes. Lifetime: the connection must still be freed.
/// Since: 0.1.0.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn iscp_conn_close_wait(
    conn: *mut iscp_conn_t,
    timeout_ms: i32,
    out_error: *mut *mut iscp_error_t,
) -> iscp_status_t {
    ffi!(out_error => {
        // SAFETY: the caller passes a connection of this library.
        let conn = unsafe { convert::object(conn, "conn")? };
        completion::wait(timeout_ms, |done| conn.connection.close(done))
    })
}

/// Sends a base time, which ties the elapsed times of a session to a clock; readers receive it as
/// metadata.
///
/// @param conn            the connection
/// @param session_id      session the time belongs to
/// @param name            name of the clock, such as "edge_rtc" or "manual"
/// @param priority        priority among the base times of the session; Go clients keep the low 8 bits
/// @param elapsed_time_ns elapsed time that corresponds to `base_time_ns`, in nanoseconds, not negative
/// @param base_time_ns    the clock, nanoseconds since the Unix epoch
/// @param persist         whether the server stores it in the session
/// @param callback        told whether the server took it, or NULL
/// @param user_data       handed to the callback
/// @param out_error       receives the detail of a failure to begin, or NULL
/// @return `ISCP_OK` when it began, and the callback is called once; otherwise it is not called:
///         `ISCP_ERR_CLOSED`, `ISCP_ERR_INVALID_ARGUMENT`, `ISCP_ERR_NULL_ARGUMENT`,
///         `ISCP_ERR_INVALID_UTF8`, `ISCP_ERR_BAD_HANDLE`, `ISCP_ERR_FORKED`
///
/// Thread: any, callbacks included. Blocking: no. Lifetime: borrows the texts for the call.
/// Since: 0.1.0.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn iscp_conn_send_base_time(
    conn: *mut iscp_conn_t,
    session_id: *const c_char,
    name: *const c_char,
    priority: u32,
    elapsed_time_ns: i64,
    base_time_ns: i64,
    persist: bool,
    callback: iscp_done_cb,
    user_data: *mut c_void,
    out_error: *mut *mut iscp_error_t,
) -> iscp_status_t {
    ffi!(out_error => {
        // SAFETY: the caller passes a connection of this library and strings.
        let (conn, base_time) = unsafe {
            (convert::object(conn, "conn")?, base_time(session_id, name, priority, elapsed_time_ns, base_time_ns)?)
        };
        conn.connection.send_base_time(base_time, persist, completion::done(callback, user_data))
    })
}

/// Sends a base time and waits until the server took it, as `iscp_conn_send_base_time` does without
/// waiting.
///
/// @param conn            the connection
/// @param session_id      session the time belongs to
/// @param name            name of the clock
/// @param priority        priority among the base times of the session
/// @param elapsed_time_ns elapsed time that corresponds to `base_time_ns`, in nanoseconds, not negative
/// @param base_time_ns    the clock, nanoseconds since the Unix epoch
/// @param persist         whether the server stores it in the session
/// @param timeout_ms      milliseconds to wait; -1 as long as the response time-out allows
/// @param out_error       receives the detail of a failure, or NULL
/// @return `ISCP_OK`; what `iscp_conn_send_base_time` returns; `ISCP_ERR_IN_CALLBACK`;
///         `ISCP_ERR_TIMEOUT`; `ISCP_ERR_REFUSED`; `ISCP_ERR_CONNECTION_LOST`
///
/// Thread: any but the library's own. Blocking: yes. Lifetime: borrows the texts for the call.
/// Since: 0.1.0.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn iscp_conn_send_base_time_wait(
    conn: *mut iscp_conn_t,
    session_id: *const c_char,
    name: *const c_char,
    priority: u32,
    elapsed_time_ns: i64,
    base_time_ns: i64,
    persist: bool,
    timeout_ms: i32,
    out_error: *mut *mut iscp_error_t,
) -> iscp_status_t {
    ffi!(out_error => {
        // SAFETY: the caller passes a connection of this library and strings.
        let (conn, base_time) = unsafe {
            (convert::object(conn, "conn")?, base_time(session_id, name, priority, elapsed_time_ns, base_time_ns)?)
        };
        completion::wait(timeout_ms, |done| conn.connection.send_base_time(base_time, persist, done))
    })
}

/// Reads the arguments of a base time.
///
/// # Safety
/// The texts are strings or NULL.
unsafe fn base_time(
    session_id: *const c_char,
    name: *const c_char,
    priority: u32,
    elapsed_time_ns: i64,
    base_time_ns: i64,
) -> Result<BaseTime> {
    // SAFETY: the caller's promise.
    let (session_id, name) =
        unsafe { (convert::text(session_id, "session_id")?, convert::text(name, "name")?) };
    let elapsed_time_ns = u64::try_from(elapsed_time_ns).map_err(|_| {
        Error::new(Status::InvalidArgument, format!("elapsed_time_ns: {elapsed_time_ns} is negative"))
    })?;
    Ok(BaseTime {
        session_id: session_id.to_owned(),
        name: name.to_owned(),
        priority,
        elapsed_time_ns,
        base_time_ns,
    })
}

/// State of a connection.
///
/// @param conn the connection
/// @return `ISCP_CONN_STATE_CONNECTED`, `ISCP_CONN_STATE_RECONNECTING` or `ISCP_CONN_STATE_CLOSED`; the last
///         for something that is no connection too
///
/// Thread: any, callbacks included. Blocking: no. Lifetime: plain value. Since: 0.1.0.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn iscp_conn_state(conn: *const iscp_conn_t) -> iscp_conn_state_t {
    ffi!(ISCP_CONN_STATE_CLOSED; {
        // SAFETY: the caller passes a connection of this library.
        let conn = unsafe { handle::enter(conn)? };
        Ok(match conn.connection.state() {
            ConnectionState::Connecting | ConnectionState::Connected => ISCP_CONN_STATE_CONNECTED,
            ConnectionState::Reconnecting => ISCP_CONN_STATE_RECONNECTING,
            ConnectionState::Closed => ISCP_CONN_STATE_CLOSED,
        })
    })
}

/// Protocol version that was agreed with the server when the connection was first made.
///
/// @param conn the connection
/// @return the version, such as "3.0.0"; "" for something that is no connection; never NULL
///
/// Thread: any, callbacks included. Blocking: no. Lifetime: valid as long as the connection is not
/// freed. Since: 0.1.0.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn iscp_conn_protocol_version(conn: *const iscp_conn_t) -> *const c_char {
    // SAFETY: the caller passes a connection of this library.
    ffi!(c"".as_ptr(); { unsafe { handle::enter(conn) }.map(|conn| conn.protocol_version.as_ptr()) })
}

/// A number about a connection.
///
/// @param conn      the connection
/// @param stat      which number: one of the `ISCP_CONN_STAT_…` constants
/// @param out_value receives the number; 0 on failure
/// @return `ISCP_OK`; `ISCP_ERR_INVALID_ARGUMENT` for another constant; `ISCP_ERR_NULL_ARGUMENT`,
///         `ISCP_ERR_BAD_HANDLE`, `ISCP_ERR_FORKED`
///
/// Thread: any, callbacks included. Blocking: no. Lifetime: plain value. Since: 0.1.0.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn iscp_conn_stat(
    conn: *const iscp_conn_t,
    stat: iscp_conn_stat_t,
    out_value: *mut u64,
) -> iscp_status_t {
    ffi!({
        // SAFETY: the caller passes a connection of this library and a writable place.
        let (out, conn) = unsafe { (convert::stat(out_value)?, handle::enter(conn)?) };
        let connection = &conn.connection;
        let counters = connection.counters();
        out.set(match stat {
            ISCP_CONN_STAT_MESSAGES_SENT => counters.messages_sent.load(Relaxed),
            ISCP_CONN_STAT_MESSAGES_RECEIVED => counters.messages_received.load(Relaxed),
            ISCP_CONN_STAT_BYTES_SENT => counters.bytes_sent.load(Relaxed),
            ISCP_CONN_STAT_BYTES_RECEIVED => counters.bytes_received.load(Relaxed),
            ISCP_CONN_STAT_ROUND_TRIP_NS => counters.round_trip_ns.load(Relaxed),
            ISCP_CONN_STAT_MESSAGES_DROPPED => counters.messages_dropped.load(Relaxed),
            ISCP_CONN_STAT_LOSSES => counters.losses.load(Relaxed),
            ISCP_CONN_STAT_RECONNECTS => counters.reconnects.load(Relaxed),
            ISCP_CONN_STAT_SPOOL_BYTES => connection.spool().map_or(0, |(_, used)| used),
            ISCP_CONN_STAT_SPOOL_DROPPED => {
                connection.spool().map_or(0, |(counters, _)| counters.dropped_points.load(Relaxed))
            }
            ISCP_CONN_STAT_SPOOL_RECOVERED => {
                connection.spool().map_or(0, |(counters, _)| counters.recovered_points.load(Relaxed))
            }
            ISCP_CONN_STAT_PATHS => counters.paths.load(Relaxed),
            ISCP_CONN_STAT_POINTS_SENT => counters.points_sent.load(Relaxed),
            ISCP_CONN_STAT_POINTS_RECEIVED => counters.points_received.load(Relaxed),
            ISCP_CONN_STAT_EVENTS_DROPPED => connection.dropped_events(),
            ISCP_CONN_STAT_CALLS_RECEIVED => connection.call_counters().received,
            ISCP_CONN_STAT_CALLS_DROPPED => connection.call_counters().dropped,
            ISCP_CONN_STAT_CALLS_WAITING => connection.call_counters().waiting,
            ISCP_CONN_STAT_REPLIES_RECEIVED => connection.reply_counters().received,
            ISCP_CONN_STAT_REPLIES_DROPPED => connection.reply_counters().dropped,
            ISCP_CONN_STAT_REPLIES_WAITING => connection.reply_counters().waiting,
            _ => return Err(Status::InvalidArgument),
        });
        Ok(())
    })
}

/// Adds an owner to a connection: it then takes one more `iscp_conn_free`.
///
/// @param conn the connection
/// @return the same connection; NULL for NULL and for something that is no connection
///
/// Thread: any, callbacks included. Blocking: no. Lifetime: the new owner frees it. Since: 0.1.0.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn iscp_conn_ref(conn: *mut iscp_conn_t) -> *mut iscp_conn_t {
    // SAFETY: the caller passes a connection of this library.
    ffi!(std::ptr::null_mut(); { unsafe { handle::add_owner(conn) }.map(|()| conn) })
}

/// Frees a connection. Unless it was closed, it is closed in the background once its streams have
/// been freed too. Nothing happens for NULL.
///
/// @param conn the connection, or NULL
///
/// Thread: any, callbacks included. Blocking: never. Lifetime: the handle ends here; calls in progress
/// on other threads end in order. Since: 0.1.0.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn iscp_conn_free(conn: *mut iscp_conn_t) {
    // SAFETY: the caller passes a connection of this library.
    ffi!((); { unsafe { handle::free(conn) }; Ok(()) });
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ffi::error::{iscp_error_free, iscp_error_message};

    #[test]
    fn connecting_without_an_address_names_the_option() {
        let options = crate::ffi::conn_options::iscp_conn_options_new();
        let (mut conn, mut error) = (std::ptr::null_mut(), std::ptr::null_mut());
        // SAFETY: handles of this library and writable places.
        unsafe {
            let status = iscp_connect_wait(options, 1000, &raw mut conn, &raw mut error);
            assert_eq!((status, conn.is_null()), (Status::InvalidOption.number(), true));
            let message = std::ffi::CStr::from_ptr(iscp_error_message(error)).to_str().unwrap();
            assert!(message.contains("url"), "{message}");
            iscp_error_free(error);
            crate::ffi::conn_options::iscp_conn_options_free(options);
        }
    }
}
