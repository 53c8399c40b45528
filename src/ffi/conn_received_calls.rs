//! Calls and replies that a connection receives: handed to callbacks, or pulled.

use std::ffi::c_void;
use std::time::Duration;

use super::boundary::ffi;
use super::call::{self, iscp_call_t};
use super::conn::iscp_conn_t;
use super::conn_calls::with_borrowed;
use super::convert::{self, Callback, iscp_release_cb};
use super::error::iscp_error_t;
use super::status::iscp_status_t;
use crate::client::{Connection, Handler};
use crate::error::Result;
use crate::message::DownstreamCall;

/// Receives calls, or replies.
///
/// Called on the connection's dispatcher thread, one at a time and in order. `call` is valid until the
/// callback returns; `iscp_call_ref` keeps it longer.
#[allow(non_camel_case_types)]
pub type iscp_call_cb = Option<unsafe extern "C" fn(call: *const iscp_call_t, user_data: *mut c_void)>;

/// Hands what is received to a callback from now on.
///
/// # Safety
/// `conn` is a handle of this library or NULL; `callback` and `release` are functions of these types.
unsafe fn hand_over(
    conn: *mut iscp_conn_t,
    callback: iscp_call_cb,
    user_data: *mut c_void,
    release: iscp_release_cb,
    set: fn(&Connection, Handler<DownstreamCall>) -> Result<()>,
) -> Result<()> {
    let callback = Callback::new(callback, user_data, release);
    let function = callback.function.ok_or_else(|| convert::null("callback"))?;
    // SAFETY: the caller's promise.
    let conn = unsafe { convert::object(conn, "conn")? };
    set(
        &conn.connection,
        Box::new(move |call| {
            // SAFETY: the caller's promise.
            with_borrowed(call, |call| unsafe { function(call, callback.user_data.0) });
        }),
    )
}

/// Takes the next of what is received.
///
/// # Safety
/// `conn` is a handle of this library or NULL, the output NULL or writable.
unsafe fn take(
    conn: *mut iscp_conn_t,
    timeout_ms: i32,
    (out, argument): (*mut *mut iscp_call_t, &str),
    next: fn(&Connection, Option<Duration>) -> Result<DownstreamCall>,
) -> Result<()> {
    // SAFETY: the caller's promise.
    let (out, conn) =
        unsafe { (convert::output(out, std::ptr::null_mut(), argument)?, convert::object(conn, "conn")?) };
    out.set(call::new(next(&conn.connection, convert::timeout(timeout_ms)?)?));
    Ok(())
}

/// Hands the calls of other nodes to a callback from now on, beginning with those received before. Can be
/// set once.
///
/// @param conn      the connection
/// @param callback  receives the calls
/// @param user_data handed to the callback
/// @param release   called with `user_data` after the last call, or NULL
/// @param out_error receives the detail of a failure, or NULL
/// @return `ISCP_OK`; `ISCP_ERR_INVALID_STATE` when there is a callback already; `ISCP_ERR_CLOSED`, or
///         why the connection ended, in which case what was received before can still be pulled;
///         `ISCP_ERR_NULL_ARGUMENT`, `ISCP_ERR_BAD_HANDLE`, `ISCP_ERR_FORKED`
///
/// Thread: any, callbacks included. Blocking: no. Lifetime: `user_data` is needed until `release` is
/// called, also on failure. Since: 0.1.0.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn iscp_conn_set_call_handler(
    conn: *mut iscp_conn_t,
    callback: iscp_call_cb,
    user_data: *mut c_void,
    release: iscp_release_cb,
    out_error: *mut *mut iscp_error_t,
) -> iscp_status_t {
    ffi!(out_error => {
        // SAFETY: the caller passes a connection of this library and functions of these types.
        unsafe { hand_over(conn, callback, user_data, release, Connection::on_call) }
    })
}

/// Hands replies to a callback from now on, beginning with those received before. Can be set once.
///
/// These are the replies to calls sent with `iscp_conn_send_call`, which `iscp_call_request_call_id` names,
/// and those that came too late for `iscp_conn_call`.
///
/// @param conn      the connection
/// @param callback  receives the replies
/// @param user_data handed to the callback
/// @param release   called with `user_data` after the last reply, or NULL
/// @param out_error receives the detail of a failure, or NULL
/// @return `ISCP_OK`; `ISCP_ERR_INVALID_STATE` when there is a callback already; `ISCP_ERR_CLOSED`, or
///         why the connection ended, in which case what was received before can still be pulled;
///         `ISCP_ERR_NULL_ARGUMENT`, `ISCP_ERR_BAD_HANDLE`, `ISCP_ERR_FORKED`
///
/// Thread: any, callbacks included. Blocking: no. Lifetime: `user_data` is needed until `release` is
/// called, also on failure. Since: 0.1.0.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn iscp_conn_set_reply_handler(
    conn: *mut iscp_conn_t,
    callback: iscp_call_cb,
    user_data: *mut c_void,
    release: iscp_release_cb,
    out_error: *mut *mut iscp_error_t,
) -> iscp_status_t {
    ffi!(out_error => {
        // SAFETY: the caller passes a connection of this library and functions of these types.
        unsafe { hand_over(conn, callback, user_data, release, Connection::on_reply) }
    })
}

/// Takes the next call of another node.
///
/// @param conn       the connection
/// @param timeout_ms milliseconds to wait; -1 until there is one or the connection ends; 0 to try
/// @param out_call   receives the call, to be freed with `iscp_call_free`; NULL on failure
/// @param out_error  receives the detail of a failure, or NULL
/// @return `ISCP_OK`; `ISCP_ERR_WOULD_BLOCK` when there is nothing and `timeout_ms` is 0;
///         `ISCP_ERR_TIMEOUT`; once everything received was taken, `ISCP_ERR_CLOSED` or why the
///         connection ended; `ISCP_ERR_INVALID_STATE` when there is a callback; `ISCP_ERR_IN_CALLBACK`
///         unless `timeout_ms` is 0; `ISCP_ERR_INVALID_ARGUMENT`, `ISCP_ERR_NULL_ARGUMENT`,
///         `ISCP_ERR_BAD_HANDLE`, `ISCP_ERR_FORKED`
///
/// Thread: any; inside a callback only with `timeout_ms` 0. Blocking: as `timeout_ms` says. Lifetime:
/// the call is owned by the caller. Since: 0.1.0.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn iscp_conn_next_call_wait(
    conn: *mut iscp_conn_t,
    timeout_ms: i32,
    out_call: *mut *mut iscp_call_t,
    out_error: *mut *mut iscp_error_t,
) -> iscp_status_t {
    ffi!(out_error => {
        // SAFETY: the caller passes a connection of this library and a writable place.
        unsafe { take(conn, timeout_ms, (out_call, "out_call"), Connection::next_call) }
    })
}

/// Takes the next reply, of those for which nobody waits, see `iscp_conn_set_reply_handler`.
///
/// @param conn       the connection
/// @param timeout_ms milliseconds to wait; -1 until there is one or the connection ends; 0 to try
/// @param out_reply  receives the reply, to be freed with `iscp_call_free`; NULL on failure
/// @param out_error  receives the detail of a failure, or NULL
/// @return `ISCP_OK`; `ISCP_ERR_WOULD_BLOCK` when there is nothing and `timeout_ms` is 0;
///         `ISCP_ERR_TIMEOUT`; once everything received was taken, `ISCP_ERR_CLOSED` or why the
///         connection ended; `ISCP_ERR_INVALID_STATE` when there is a callback; `ISCP_ERR_IN_CALLBACK`
///         unless `timeout_ms` is 0; `ISCP_ERR_INVALID_ARGUMENT`, `ISCP_ERR_NULL_ARGUMENT`,
///         `ISCP_ERR_BAD_HANDLE`, `ISCP_ERR_FORKED`
///
/// Thread: any; inside a callback only with `timeout_ms` 0. Blocking: as `timeout_ms` says. Lifetime:
/// the reply is owned by the caller. Since: 0.1.0.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn iscp_conn_next_reply_wait(
    conn: *mut iscp_conn_t,
    timeout_ms: i32,
    out_reply: *mut *mut iscp_call_t,
    out_error: *mut *mut iscp_error_t,
) -> iscp_status_t {
    ffi!(out_error => {
        // SAFETY: the caller passes a connection of this library and a writable place.
        unsafe { take(conn, timeout_ms, (out_reply, "out_reply"), Connection::next_reply) }
    })
}

/// A descriptor for `poll`, `select`, `epoll` and event loops: readable while there is a call to take
/// with `iscp_conn_next_call_wait`, or the connection has ended.
///
/// It is level-triggered and belongs to the connection: never read, write or close it. When it is
/// readable, take with a `timeout_ms` of 0 until the answer is `ISCP_ERR_WOULD_BLOCK` or that the
/// connection has ended.
///
/// @param conn      the connection
/// @param out_fd    receives the descriptor; -1 on failure
/// @param out_error receives the detail of a failure, or NULL
/// @return `ISCP_OK`; `ISCP_ERR_RESOURCE` when the system has no descriptor; `ISCP_ERR_NULL_ARGUMENT`,
///         `ISCP_ERR_BAD_HANDLE`, `ISCP_ERR_FORKED`
///
/// Thread: any, callbacks included. Blocking: no. Lifetime: the descriptor is valid until the connection
/// is freed. Since: 0.1.0.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn iscp_conn_call_pollable(
    conn: *mut iscp_conn_t,
    out_fd: *mut i32,
    out_error: *mut *mut iscp_error_t,
) -> iscp_status_t {
    ffi!(out_error => {
        // SAFETY: the caller passes a connection of this library and a writable place.
        unsafe { convert::descriptor(conn, "conn", out_fd, |conn| conn.connection.call_pollable()) }
    })
}

/// A descriptor for `poll`, `select`, `epoll` and event loops: readable while there is a reply to take
/// with `iscp_conn_next_reply_wait`, or the connection has ended.
///
/// It is level-triggered and belongs to the connection: never read, write or close it. When it is
/// readable, take with a `timeout_ms` of 0 until the answer is `ISCP_ERR_WOULD_BLOCK` or that the
/// connection has ended.
///
/// @param conn      the connection
/// @param out_fd    receives the descriptor; -1 on failure
/// @param out_error receives the detail of a failure, or NULL
/// @return `ISCP_OK`; `ISCP_ERR_RESOURCE` when the system has no descriptor; `ISCP_ERR_NULL_ARGUMENT`,
///         `ISCP_ERR_BAD_HANDLE`, `ISCP_ERR_FORKED`
///
/// Thread: any, callbacks included. Blocking: no. Lifetime: the descriptor is valid until the connection
/// is freed. Since: 0.1.0.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn iscp_conn_reply_pollable(
    conn: *mut iscp_conn_t,
    out_fd: *mut i32,
    out_error: *mut *mut iscp_error_t,
) -> iscp_status_t {
    ffi!(out_error => {
        // SAFETY: the caller passes a connection of this library and a writable place.
        unsafe { convert::descriptor(conn, "conn", out_fd, |conn| conn.connection.reply_pollable()) }
    })
}
