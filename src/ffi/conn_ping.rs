//! Whether the server answers, and what went to it and came from it.

use std::ffi::{CString, c_char, c_void};
use std::sync::OnceLock;
use std::sync::atomic::Ordering::Relaxed;
use std::time::Duration;

use super::boundary::ffi;
use super::completion;
use super::conn::iscp_conn_t;
use super::convert::{self, UserData, c_text};
use super::error::{self, iscp_error_t};
use super::handle;
use super::status::iscp_status_t;
use crate::client::Completion;
use crate::error::{Result, Status};
use crate::message::Message;

/// Told how long the server took to answer a ping.
///
/// Called once on the connection's dispatcher thread. On success `error` is NULL and `round_trip_ns` the
/// nanoseconds from when the ping left to its answer; on failure `round_trip_ns` is 0 and `error` is valid
/// until the callback returns.
#[allow(non_camel_case_types)]
pub type iscp_ping_cb =
    Option<unsafe extern "C" fn(round_trip_ns: i64, error: *const iscp_error_t, user_data: *mut c_void)>;

fn nanoseconds(took: Duration) -> i64 {
    i64::try_from(took.as_nanos()).unwrap_or(i64::MAX)
}

/// Asks the server for a sign of life, beside what the connection does by itself, and measures how long the
/// answer takes. It is also what `ISCP_CONN_STAT_ROUND_TRIP_NS` then says.
///
/// @param conn      the connection
/// @param callback  told how long it took; must not be NULL
/// @param user_data handed to the callback
/// @param out_error receives the detail of a failure to begin, or NULL
/// @return `ISCP_OK` when it began, and the callback is called once; otherwise it is not called:
///         `ISCP_ERR_CLOSED`, `ISCP_ERR_NULL_ARGUMENT`, `ISCP_ERR_BAD_HANDLE`, `ISCP_ERR_FORKED`
///
/// Thread: any, callbacks included. Blocking: no. Lifetime: plain values. Since: 0.1.0.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn iscp_conn_ping(
    conn: *mut iscp_conn_t,
    callback: iscp_ping_cb,
    user_data: *mut c_void,
    out_error: *mut *mut iscp_error_t,
) -> iscp_status_t {
    ffi!(out_error => {
        // SAFETY: the caller passes a connection of this library.
        let conn = unsafe { convert::object(conn, "conn")? };
        let callback = callback.ok_or_else(|| convert::null("callback"))?;
        let user_data = UserData(user_data);
        conn.connection.ping(Completion::call(move |outcome: Result<Duration>| {
            let user_data = user_data;
            let round_trip_ns = outcome.as_ref().map_or(0, |took| nanoseconds(*took));
            // SAFETY: the application promised a function of this type.
            error::with_borrowed(outcome.err(), |error| unsafe {
                callback(round_trip_ns, error, user_data.0);
            });
        }))
    })
}

/// Asks the server for a sign of life and waits for it, as `iscp_conn_ping` does without waiting.
///
/// @param conn              the connection
/// @param timeout_ms        milliseconds to wait; -1 as long as the response time-out of the options allows
/// @param out_round_trip_ns receives the nanoseconds from when the ping left to its answer; 0 on failure
/// @param out_error         receives the detail of a failure, or NULL
/// @return `ISCP_OK`; what `iscp_conn_ping` returns; `ISCP_ERR_IN_CALLBACK`; `ISCP_ERR_TIMEOUT`;
///         `ISCP_ERR_WOULD_BLOCK` when 64 wait for their answers already; `ISCP_ERR_CONNECTION_LOST` while the
///         connection is lost, and that or another reason when it is lost meanwhile
///
/// Thread: any but the library's own. Blocking: yes. Lifetime: plain values. Since: 0.1.0.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn iscp_conn_ping_wait(
    conn: *mut iscp_conn_t,
    timeout_ms: i32,
    out_round_trip_ns: *mut i64,
    out_error: *mut *mut iscp_error_t,
) -> iscp_status_t {
    ffi!(out_error => {
        // SAFETY: the caller passes a connection of this library and a writable place.
        let (out, conn) = unsafe {
            (convert::output(out_round_trip_ns, 0, "out_round_trip_ns")?, convert::object(conn, "conn")?)
        };
        let took = completion::wait(timeout_ms, |done| conn.connection.ping(done))?;
        out.set(nanoseconds(took));
        Ok(())
    })
}

/// Names of the messages for C, in the order of [`Message::NAMES`].
fn names() -> &'static [CString] {
    static NAMES: OnceLock<Vec<CString>> = OnceLock::new();
    NAMES.get_or_init(|| Message::NAMES.iter().map(|name| c_text(name)).collect())
}

/// Name of a kind of messages of the protocol, to go through all of them.
///
/// @param index 0, 1 and so on; which number a kind has may be another in later versions
/// @return the name, such as "UpstreamChunk"; NULL behind the last
///
/// Thread: any, callbacks included. Blocking: no. Lifetime: static text. Since: 0.1.0.
#[unsafe(no_mangle)]
pub extern "C" fn iscp_message_name(index: usize) -> *const c_char {
    ffi!(std::ptr::null(); { Ok(names().get(index).map_or(std::ptr::null(), |name| name.as_ptr())) })
}

/// Counts the messages of one kind on a connection, reconnections included.
///
/// @param conn         the connection
/// @param name         name of the kind, see `iscp_message_name`
/// @param out_sent     receives how many were sent; 0 on failure
/// @param out_received receives how many were received; 0 on failure
/// @return `ISCP_OK`; `ISCP_ERR_INVALID_ARGUMENT` when there is no such kind; `ISCP_ERR_NULL_ARGUMENT`,
///         `ISCP_ERR_INVALID_UTF8`, `ISCP_ERR_BAD_HANDLE`, `ISCP_ERR_FORKED`
///
/// Thread: any, callbacks included. Blocking: no. Lifetime: borrows the text for the call. Since: 0.1.0.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn iscp_conn_message_count(
    conn: *const iscp_conn_t,
    name: *const c_char,
    out_sent: *mut u64,
    out_received: *mut u64,
) -> iscp_status_t {
    ffi!({
        // SAFETY: the caller passes a connection of this library, a string and writable places.
        let (sent, received, conn, name) = unsafe {
            let (sent, received) = (convert::stat(out_sent)?, convert::stat(out_received)?);
            let name = convert::text(name, "name").map_err(|error| error.status())?;
            (sent, received, handle::enter(conn)?, name)
        };
        let counters = conn.connection.counters();
        let kind = Message::NAMES.iter().position(|known| *known == name).ok_or(Status::InvalidArgument)?;
        sent.set(counters.sent_by_kind[kind].load(Relaxed));
        received.set(counters.received_by_kind[kind].load(Relaxed));
        Ok(())
    })
}
