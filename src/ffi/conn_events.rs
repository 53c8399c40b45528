//! Events of a connection that the application pulls, and its end.

use super::boundary::ffi;
use super::conn::iscp_conn_t;
use super::convert;
use super::error::iscp_error_t;
use super::event::{self, iscp_event_t};
use super::status::iscp_status_t;

/// Takes the next event of a connection and its streams.
///
/// Events wait for the application, `event_queue_limit` of them; when more come the oldest are dropped, and an
/// event of the kind `ISCP_EVENT_DROPPED` says how many. The last event is `ISCP_EVENT_CLOSED`.
///
/// @param conn       the connection
/// @param timeout_ms milliseconds to wait; -1 until there is one or the connection ends; 0 to try
/// @param out_event  receives the event, to be freed with `iscp_event_free`; NULL on failure
/// @param out_error  receives the detail of a failure, or NULL
/// @return `ISCP_OK`; `ISCP_ERR_WOULD_BLOCK` when there is nothing and `timeout_ms` is 0;
///         `ISCP_ERR_TIMEOUT`; once every event was taken, `ISCP_ERR_CLOSED` or why the connection ended;
///         `ISCP_ERR_INVALID_STATE` when the options have an event callback; `ISCP_ERR_IN_CALLBACK`
///         unless `timeout_ms` is 0; `ISCP_ERR_INVALID_ARGUMENT`, `ISCP_ERR_NULL_ARGUMENT`,
///         `ISCP_ERR_BAD_HANDLE`, `ISCP_ERR_FORKED`
///
/// Thread: any; inside a callback only with `timeout_ms` 0. Blocking: as `timeout_ms` says. Lifetime:
/// the event is owned by the caller. Since: 0.1.0.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn iscp_conn_next_event_wait(
    conn: *mut iscp_conn_t,
    timeout_ms: i32,
    out_event: *mut *mut iscp_event_t,
    out_error: *mut *mut iscp_error_t,
) -> iscp_status_t {
    ffi!(out_error => {
        // SAFETY: the caller passes a connection of this library and a writable place.
        let (out, conn) = unsafe {
            (convert::output(out_event, std::ptr::null_mut(), "out_event")?, convert::object(conn, "conn")?)
        };
        out.set(event::new(conn.connection.next_event(convert::timeout(timeout_ms)?)?));
        Ok(())
    })
}

/// A descriptor for `poll`, `select`, `epoll` and event loops: readable while there is an event to take
/// with `iscp_conn_next_event_wait`, or the connection has ended.
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
pub unsafe extern "C" fn iscp_conn_event_pollable(
    conn: *mut iscp_conn_t,
    out_fd: *mut i32,
    out_error: *mut *mut iscp_error_t,
) -> iscp_status_t {
    ffi!(out_error => {
        // SAFETY: the caller passes a connection of this library and a writable place.
        unsafe { convert::descriptor(conn, "conn", out_fd, |conn| conn.connection.event_pollable()) }
    })
}

/// Waits until a connection has ended: its transport is closed and nothing is under way any more. Its last
/// callbacks may still run.
///
/// @param conn       the connection
/// @param timeout_ms milliseconds to wait; -1 until it has ended; 0 to try
/// @param out_error  receives why the connection ended, or the detail of another failure, or NULL
/// @return `ISCP_OK` when the application closed it; why it ended otherwise; `ISCP_ERR_WOULD_BLOCK` when it
///         has not ended and `timeout_ms` is 0; `ISCP_ERR_TIMEOUT` when it has not, or because closing it took
///         too long, which `iscp_conn_state` tells apart; `ISCP_ERR_CLOSED` when another thread freed the
///         connection; `ISCP_ERR_IN_CALLBACK` unless `timeout_ms` is 0; `ISCP_ERR_INVALID_ARGUMENT`,
///         `ISCP_ERR_NULL_ARGUMENT`, `ISCP_ERR_BAD_HANDLE`, `ISCP_ERR_FORKED`
///
/// Thread: any; inside a callback only with `timeout_ms` 0. Blocking: as `timeout_ms` says. Lifetime: the
/// connection must still be freed. Since: 0.1.0.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn iscp_conn_wait_closed(
    conn: *mut iscp_conn_t,
    timeout_ms: i32,
    out_error: *mut *mut iscp_error_t,
) -> iscp_status_t {
    ffi!(out_error => {
        // SAFETY: the caller passes a connection of this library.
        let conn = unsafe { convert::object(conn, "conn")? };
        conn.connection.wait_closed(convert::timeout(timeout_ms)?)
    })
}
