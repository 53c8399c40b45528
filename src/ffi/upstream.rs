//! Upstreams.

use std::ffi::{c_char, c_void};
use std::sync::atomic::Ordering::Relaxed;
use std::time::Duration;

use super::boundary::ffi;
use super::completion;
use super::conn::iscp_conn_t;
use super::convert::{self, UserData};
use super::error::iscp_error_t;
use super::handle::{self, handle};
use super::iscp_done_cb;
use super::status::iscp_status_t;
use super::types::iscp_uuid_t;
use super::upstream_options::iscp_upstream_options_t;
use crate::client::{Completion, Upstream, UpstreamOptions};
use crate::core::{FlushLevel, UpstreamState};
use crate::error::{Error, Result, Status};
use crate::message::DataId;

/// A stream of points from this node.
///
/// It is closed by `iscp_upstream_close`, or in the background when it is freed. It may be used from
/// any thread; writes of several threads to one data id are in the order in which they happened.
#[allow(non_camel_case_types)]
pub struct iscp_upstream_t {
    _opaque: [u8; 0],
}

handle!(iscp_upstream_t, b"iscp.ups", "upstream", Upstream, |upstream| {
    // Was closed already, or begins to close: that ends whoever waits for space in the buffer.
    let _ = upstream.close(false, Completion::ignore());
});

/// A data id of one upstream, from `iscp_upstream_data_id`. Never 0.
#[allow(non_camel_case_types)]
pub type iscp_data_id_t = u32;

/// Largest payload of one point, in bytes.
pub const ISCP_MAX_PAYLOAD: usize = 15_728_640;

/// What a flush waits for: one of the `ISCP_FLUSH_…` constants.
#[allow(non_camel_case_types)]
pub type iscp_flush_level_t = i32;

/// Everything written before was handed to the transport. It may still be in a buffer of the operating system; if
/// the connection is lost, RELIABLE points are sent again and others may be lost. While there is no connection
/// what waits in the write buffer is waited for.
pub const ISCP_FLUSH_SENT: iscp_flush_level_t = 0;
/// The server answered for everything written before; a chunk that it refused since the last flush of
/// this level makes the flush fail with `ISCP_ERR_REFUSED`, one that was lost with `ISCP_ERR_TIMEOUT`.
pub const ISCP_FLUSH_ACKNOWLEDGED: iscp_flush_level_t = 1;

/// A number about an upstream: one of the `ISCP_UPSTREAM_STAT_…` constants.
#[allow(non_camel_case_types)]
pub type iscp_upstream_stat_t = i32;

/// Points that left in chunks; since the stream was last opened anew, if it was (option `reopen`).
pub const ISCP_UPSTREAM_STAT_TOTAL_POINTS: iscp_upstream_stat_t = 1;
/// Sequence number of the newest chunk; 0 before the first.
pub const ISCP_UPSTREAM_STAT_LAST_SEQUENCE_NUMBER: iscp_upstream_stat_t = 2;
/// Points that wait to be sent.
pub const ISCP_UPSTREAM_STAT_BUFFERED_POINTS: iscp_upstream_stat_t = 3;
/// Bytes of the points that wait to be sent, with their framing.
pub const ISCP_UPSTREAM_STAT_BUFFERED_BYTES: iscp_upstream_stat_t = 4;
/// Chunks sent and not acknowledged.
pub const ISCP_UPSTREAM_STAT_IN_FLIGHT_CHUNKS: iscp_upstream_stat_t = 5;
/// Bytes of the points in chunks sent and not acknowledged.
pub const ISCP_UPSTREAM_STAT_IN_FLIGHT_BYTES: iscp_upstream_stat_t = 6;
/// Points that the server refused, or that were given up.
pub const ISCP_UPSTREAM_STAT_FAILED_POINTS: iscp_upstream_stat_t = 7;
/// Points that were dropped because the buffer was full (option `buffer_policy`).
pub const ISCP_UPSTREAM_STAT_DROPPED_POINTS: iscp_upstream_stat_t = 8;
/// Data ids that travel as aliases, which the server has given so far.
pub const ISCP_UPSTREAM_STAT_ALIASES: iscp_upstream_stat_t = 9;

/// State of an upstream: one of the `ISCP_UPSTREAM_STATE_…` constants.
#[allow(non_camel_case_types)]
pub type iscp_upstream_state_t = i32;

/// In use.
pub const ISCP_UPSTREAM_STATE_OPEN: iscp_upstream_state_t = 1;
/// The connection was lost, or the server forgot the stream, and it is about to come back. Points may be written.
pub const ISCP_UPSTREAM_STATE_RESUMING: iscp_upstream_state_t = 2;
/// Being closed: no points are taken any more, and what was written is being delivered.
pub const ISCP_UPSTREAM_STATE_CLOSING: iscp_upstream_state_t = 3;
/// Ended, in order or not.
pub const ISCP_UPSTREAM_STATE_CLOSED: iscp_upstream_state_t = 4;

/// Told how opening an upstream ended.
///
/// Called once on the connection's dispatcher thread. On success `upstream` is the application's, to
/// be freed with `iscp_upstream_free`, and `error` is NULL; on failure `upstream` is NULL and `error`
/// is valid until the callback returns.
#[allow(non_camel_case_types)]
pub type iscp_upstream_open_cb = Option<
    unsafe extern "C" fn(upstream: *mut iscp_upstream_t, error: *const iscp_error_t, user_data: *mut c_void),
>;

/// Copies options for one stream.
///
/// # Safety
/// `options` is a handle of this library or NULL.
unsafe fn prepare(options: *const iscp_upstream_options_t) -> Result<UpstreamOptions> {
    if options.is_null() {
        return Ok(UpstreamOptions::default());
    }
    // SAFETY: the caller's promise.
    Ok(unsafe { convert::object(options, "options")? }.lock().to_options())
}

/// Opens an upstream.
///
/// @param conn      the connection
/// @param options   how; copied; NULL for the defaults
/// @param callback  told how it ended; must not be NULL
/// @param user_data handed to the callback
/// @param out_error receives the detail of a failure to begin, or NULL
/// @return `ISCP_OK` when it began, and the callback is called once; otherwise it is not called:
///         `ISCP_ERR_CLOSED` when the connection has ended, `ISCP_ERR_NULL_ARGUMENT`,
///         `ISCP_ERR_BAD_HANDLE`, `ISCP_ERR_FORKED`; `ISCP_ERR_INVALID_OPTION` when the buffer policy drops
///         points and the QoS is RELIABLE; `ISCP_ERR_SPOOL`
///
/// Thread: any, callbacks included. Blocking: no. Lifetime: `options` may be freed at once.
/// Since: 0.1.0.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn iscp_upstream_open(
    conn: *mut iscp_conn_t,
    options: *const iscp_upstream_options_t,
    callback: iscp_upstream_open_cb,
    user_data: *mut c_void,
    out_error: *mut *mut iscp_error_t,
) -> iscp_status_t {
    ffi!(out_error => {
        // SAFETY: the caller passes handles of this library.
        let (conn, options) = unsafe { (convert::object(conn, "conn")?, prepare(options)?) };
        let callback = callback.ok_or_else(|| convert::null("callback"))?;
        let user_data = UserData(user_data);
        conn.connection.open_upstream(options, Completion::call(move |outcome| {
            let user_data = user_data;
            completion::opened(outcome, handle::new, |upstream, error| {
                // SAFETY: the application promised a function of this type.
                unsafe { callback(upstream, error, user_data.0) };
            });
        }))
    })
}

/// Opens an upstream and waits for it, as `iscp_upstream_open` does without waiting.
///
/// @param conn         the connection
/// @param options      how; copied; NULL for the defaults
/// @param timeout_ms   milliseconds to wait; -1 as long as the response time-out allows
/// @param out_upstream receives the upstream, to be freed with `iscp_upstream_free`; NULL on failure
/// @param out_error    receives the detail of a failure, or NULL
/// @return `ISCP_OK`; what `iscp_upstream_open` returns; `ISCP_ERR_IN_CALLBACK`; `ISCP_ERR_TIMEOUT`;
///         `ISCP_ERR_REFUSED`; `ISCP_ERR_CONNECTION_LOST`
///
/// Thread: any but the library's own. Blocking: yes. Lifetime: the upstream is owned by the caller.
/// Since: 0.1.0.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn iscp_upstream_open_wait(
    conn: *mut iscp_conn_t,
    options: *const iscp_upstream_options_t,
    timeout_ms: i32,
    out_upstream: *mut *mut iscp_upstream_t,
    out_error: *mut *mut iscp_error_t,
) -> iscp_status_t {
    ffi!(out_error => {
        // SAFETY: the caller passes handles of this library and a writable place.
        let (out, conn, options) = unsafe {
            (
                convert::output(out_upstream, std::ptr::null_mut(), "out_upstream")?,
                convert::object(conn, "conn")?,
                prepare(options)?,
            )
        };
        let upstream = completion::wait(timeout_ms, |done| conn.connection.open_upstream(options, done))?;
        out.set(handle::new(upstream));
        Ok(())
    })
}

/// Makes a data id known to an upstream, so that points can be written to it.
///
/// @param upstream    the upstream
/// @param name        name; `/` separates levels; not empty, no `#` and `+`
/// @param type        type; `/` separates levels; no `#` and `+`
/// @param out_data_id receives the data id, the same for the same name and type; 0 on failure
/// @param out_error   receives the detail of a failure, or NULL
/// @return `ISCP_OK`; `ISCP_ERR_INVALID_ARGUMENT` for a name or type that is not allowed;
///         `ISCP_ERR_TOO_LARGE` when the upstream has 65536 data ids already; with the option `spool_dir`
///         `ISCP_ERR_CLOSED` once the stream has ended, and `ISCP_ERR_SPOOL`;
///         `ISCP_ERR_NULL_ARGUMENT`, `ISCP_ERR_INVALID_UTF8`, `ISCP_ERR_BAD_HANDLE`, `ISCP_ERR_FORKED`
///
/// Thread: any, callbacks included. Blocking: no. Lifetime: borrows the texts for the call; the data
/// id is valid as long as the upstream. Since: 0.1.0.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn iscp_upstream_data_id(
    upstream: *mut iscp_upstream_t,
    name: *const c_char,
    r#type: *const c_char,
    out_data_id: *mut iscp_data_id_t,
    out_error: *mut *mut iscp_error_t,
) -> iscp_status_t {
    ffi!(out_error => {
        // SAFETY: the caller passes a handle of this library, strings and a writable place.
        let (out, upstream, name, kind) = unsafe {
            (
                convert::output(out_data_id, 0, "out_data_id")?,
                convert::object(upstream, "upstream")?,
                convert::text(name, "name")?,
                convert::text(r#type, "type")?,
            )
        };
        let invalid = |why: String| Err(Error::new(Status::InvalidArgument, why));
        if name.is_empty() {
            return invalid("name: it is empty".to_owned());
        }
        for (argument, value) in [("name", name), ("type", kind)] {
            if value.contains(['#', '+']) {
                return invalid(format!("{argument}: {value:?} contains a wildcard, which only filters may"));
            }
        }
        // From 1 on, so that the output of a failed call is no data id.
        out.set(upstream.data_id(DataId::new(name, kind))? + 1);
        Ok(())
    })
}

/// What stands for "as long as the connection lives" in the core, which wants a limit.
const FOR_EVER: Duration = Duration::from_secs(365 * 24 * 3600);

fn flush_level(level: iscp_flush_level_t) -> Result<FlushLevel> {
    match level {
        ISCP_FLUSH_SENT => Ok(FlushLevel::Sent),
        ISCP_FLUSH_ACKNOWLEDGED => Ok(FlushLevel::Acknowledged),
        _ => Err(Error::new(Status::InvalidArgument, format!("level: {level} is no flush level"))),
    }
}

/// Sends everything written before, whatever the flush policy.
///
/// @param upstream   the upstream
/// @param level      what counts as done: `ISCP_FLUSH_SENT` or `ISCP_FLUSH_ACKNOWLEDGED`
/// @param timeout_ms milliseconds the operation may take; then it fails with `ISCP_ERR_TIMEOUT`, and
///                   the points stay on their way; -1 as long as the connection lives
/// @param callback   told how it ended, or NULL
/// @param user_data  handed to the callback
/// @param out_error  receives the detail of a failure to begin, or NULL
/// @return `ISCP_OK` when it began, and the callback is called once; otherwise it is not called:
///         `ISCP_ERR_CLOSED`, `ISCP_ERR_INVALID_ARGUMENT`, `ISCP_ERR_NULL_ARGUMENT`,
///         `ISCP_ERR_BAD_HANDLE`, `ISCP_ERR_FORKED`; `ISCP_ERR_SPOOL` or `ISCP_ERR_RESOURCE` when points that wait
///         on disk (option `spool_dir`) cannot be read back
///
/// Thread: any, callbacks included. Blocking: no. Lifetime: nothing is kept. Since: 0.1.0.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn iscp_upstream_flush(
    upstream: *mut iscp_upstream_t,
    level: iscp_flush_level_t,
    timeout_ms: i32,
    callback: iscp_done_cb,
    user_data: *mut c_void,
    out_error: *mut *mut iscp_error_t,
) -> iscp_status_t {
    ffi!(out_error => {
        // SAFETY: the caller passes an upstream of this library.
        let upstream = unsafe { convert::object(upstream, "upstream")? };
        let limit = convert::timeout(timeout_ms)?.unwrap_or(FOR_EVER);
        upstream.flush(flush_level(level)?, limit, completion::done(callback, user_data))
    })
}

/// Sends everything written before and waits, as `iscp_upstream_flush` does without waiting.
///
/// @param upstream   the upstream
/// @param level      what to wait for: `ISCP_FLUSH_SENT` or `ISCP_FLUSH_ACKNOWLEDGED`
/// @param timeout_ms milliseconds to wait; -1 as long as the connection lives
/// @param out_error  receives the detail of a failure, or NULL
/// @return `ISCP_OK`; what `iscp_upstream_flush` returns; `ISCP_ERR_IN_CALLBACK`; `ISCP_ERR_TIMEOUT`;
///         `ISCP_ERR_REFUSED` when the server refused a chunk; `ISCP_ERR_CONNECTION_LOST`
///
/// Thread: any but the library's own. Blocking: yes. Lifetime: nothing is kept. Since: 0.1.0.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn iscp_upstream_flush_wait(
    upstream: *mut iscp_upstream_t,
    level: iscp_flush_level_t,
    timeout_ms: i32,
    out_error: *mut *mut iscp_error_t,
) -> iscp_status_t {
    ffi!(out_error => {
        // SAFETY: the caller passes an upstream of this library.
        let upstream = unsafe { convert::object(upstream, "upstream")? };
        let level = flush_level(level)?;
        let limit = convert::timeout(timeout_ms)?.unwrap_or(FOR_EVER);
        // The core keeps the limit, and says what it waited for; the caller waits as long as it takes.
        completion::wait(-1, |done| upstream.flush(level, limit, done))
    })
}

/// Sends everything written, waits until the server confirmed it, and closes the stream.
///
/// Chunks of an UNRELIABLE stream may be lost where the transport has datagrams. That is no failure: the
/// closed callback and `ISCP_UPSTREAM_STAT_FAILED_POINTS` count them.
///
/// @param upstream      the upstream
/// @param close_session whether the server closes the session too
/// @param callback      told how it ended, or NULL
/// @param user_data     handed to the callback
/// @param out_error     receives the detail of a failure to begin, or NULL
/// @return `ISCP_OK` when it began, and the callback is called once; otherwise it is not called:
///         `ISCP_ERR_CLOSED` when the upstream was closed before, `ISCP_ERR_NULL_ARGUMENT`,
///         `ISCP_ERR_BAD_HANDLE`, `ISCP_ERR_FORKED`
///
/// Thread: any, callbacks included. Blocking: no. Lifetime: the upstream must still be freed; writes
/// fail from now on. Since: 0.1.0.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn iscp_upstream_close(
    upstream: *mut iscp_upstream_t,
    close_session: bool,
    callback: iscp_done_cb,
    user_data: *mut c_void,
    out_error: *mut *mut iscp_error_t,
) -> iscp_status_t {
    ffi!(out_error => {
        // SAFETY: the caller passes an upstream of this library.
        let upstream = unsafe { convert::object(upstream, "upstream")? };
        upstream.close(close_session, completion::done(callback, user_data))
    })
}

/// Closes an upstream and waits for it, as `iscp_upstream_close` does without waiting.
///
/// @param upstream      the upstream
/// @param close_session whether the server closes the session too
/// @param timeout_ms    milliseconds to wait; -1 as long as the time-outs of the options allow
/// @param out_error     receives the detail of a failure, or NULL
/// @return `ISCP_OK` when the server confirmed every point that datagrams did not lose; what
///         `iscp_upstream_close` returns; `ISCP_ERR_IN_CALLBACK`; `ISCP_ERR_TIMEOUT`; `ISCP_ERR_REFUSED` when the server refused a
///         chunk or the request; `ISCP_ERR_CONNECTION_LOST`
///
/// Thread: any but the library's own. Blocking: yes. Lifetime: the upstream must still be freed;
/// writes fail from now on. Since: 0.1.0.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn iscp_upstream_close_wait(
    upstream: *mut iscp_upstream_t,
    close_session: bool,
    timeout_ms: i32,
    out_error: *mut *mut iscp_error_t,
) -> iscp_status_t {
    ffi!(out_error => {
        // SAFETY: the caller passes an upstream of this library.
        let upstream = unsafe { convert::object(upstream, "upstream")? };
        completion::wait(timeout_ms, |done| upstream.close(close_session, done))
    })
}

/// A number about an upstream.
///
/// @param upstream  the upstream
/// @param stat      which number: one of the `ISCP_UPSTREAM_STAT_…` constants
/// @param out_value receives the number; 0 on failure
/// @return `ISCP_OK`; `ISCP_ERR_INVALID_ARGUMENT` for another constant; `ISCP_ERR_NULL_ARGUMENT`,
///         `ISCP_ERR_BAD_HANDLE`, `ISCP_ERR_FORKED`
///
/// Thread: any, callbacks included. Blocking: no. Lifetime: plain value. Since: 0.1.0.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn iscp_upstream_stat(
    upstream: *const iscp_upstream_t,
    stat: iscp_upstream_stat_t,
    out_value: *mut u64,
) -> iscp_status_t {
    ffi!({
        // SAFETY: the caller passes an upstream of this library and a writable place.
        let (out, upstream) = unsafe { (convert::stat(out_value)?, handle::enter(upstream)?) };
        let counters = upstream.counters();
        out.set(match stat {
            ISCP_UPSTREAM_STAT_TOTAL_POINTS => counters.total_points.load(Relaxed),
            ISCP_UPSTREAM_STAT_LAST_SEQUENCE_NUMBER => counters.last_sequence_number.load(Relaxed),
            ISCP_UPSTREAM_STAT_BUFFERED_POINTS => upstream.buffered().0,
            ISCP_UPSTREAM_STAT_BUFFERED_BYTES => upstream.buffered().1 as u64,
            ISCP_UPSTREAM_STAT_IN_FLIGHT_CHUNKS => counters.in_flight_chunks.load(Relaxed),
            ISCP_UPSTREAM_STAT_IN_FLIGHT_BYTES => counters.in_flight_bytes.load(Relaxed),
            ISCP_UPSTREAM_STAT_FAILED_POINTS => counters.failed_points.load(Relaxed),
            ISCP_UPSTREAM_STAT_DROPPED_POINTS => upstream.dropped(),
            ISCP_UPSTREAM_STAT_ALIASES => upstream.aliases() as u64,
            _ => return Err(Status::InvalidArgument),
        });
        Ok(())
    })
}

/// Where an upstream stands. There is no state before it is open, since there is no handle.
///
/// @param upstream the upstream
/// @return one of the `ISCP_UPSTREAM_STATE_…` constants; `ISCP_UPSTREAM_STATE_CLOSED` for something that is no
///         upstream too
///
/// Thread: any, callbacks included. Blocking: no. Lifetime: plain value; it may change at any moment.
/// Since: 0.1.0.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn iscp_upstream_state(upstream: *const iscp_upstream_t) -> iscp_upstream_state_t {
    ffi!(ISCP_UPSTREAM_STATE_CLOSED; {
        // SAFETY: the caller passes an upstream of this library.
        let upstream = unsafe { handle::enter(upstream)? };
        Ok(match upstream.state() {
            UpstreamState::Open => ISCP_UPSTREAM_STATE_OPEN,
            UpstreamState::Resuming => ISCP_UPSTREAM_STATE_RESUMING,
            UpstreamState::Closing => ISCP_UPSTREAM_STATE_CLOSING,
            UpstreamState::Closed => ISCP_UPSTREAM_STATE_CLOSED,
        })
    })
}

/// Id that the server gave an upstream.
///
/// @param upstream the upstream
/// @return the id; all zero for something that is no upstream
///
/// Thread: any, callbacks included. Blocking: no. Lifetime: plain value. Since: 0.1.0.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn iscp_upstream_id(upstream: *const iscp_upstream_t) -> iscp_uuid_t {
    // SAFETY: the caller passes an upstream of this library.
    ffi!(iscp_uuid_t::default(); { unsafe { handle::enter(upstream) }.map(|upstream| upstream.stream_id().into()) })
}

/// Clock of the server when an upstream was opened.
///
/// @param upstream the upstream
/// @return nanoseconds since the Unix epoch; 0 when the server did not say, and for something that is
///         no upstream
///
/// Thread: any, callbacks included. Blocking: no. Lifetime: plain value. Since: 0.1.0.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn iscp_upstream_server_time_ns(upstream: *const iscp_upstream_t) -> i64 {
    // SAFETY: the caller passes an upstream of this library.
    ffi!(0; { unsafe { handle::enter(upstream) }.map(|upstream| upstream.server_time_ns()) })
}

/// Adds an owner to an upstream: it then takes one more `iscp_upstream_free`.
///
/// @param upstream the upstream
/// @return the same upstream; NULL for NULL and for something that is no upstream
///
/// Thread: any, callbacks included. Blocking: no. Lifetime: the new owner frees it. Since: 0.1.0.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn iscp_upstream_ref(upstream: *mut iscp_upstream_t) -> *mut iscp_upstream_t {
    // SAFETY: the caller passes an upstream of this library.
    ffi!(std::ptr::null_mut(); { unsafe { handle::add_owner(upstream) }.map(|()| upstream) })
}

/// Frees an upstream: the last owner ends it. Unless it was closed, it is closed in the background: what was written is still
/// sent as long as the connection lives. Nothing happens for NULL.
///
/// @param upstream the upstream, or NULL
///
/// Thread: any, callbacks included. Blocking: never. Lifetime: the handle ends with its last owner; calls in
/// progress on other threads end in order. Since: 0.1.0.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn iscp_upstream_free(upstream: *mut iscp_upstream_t) {
    // SAFETY: the caller passes an upstream of this library.
    ffi!((); { unsafe { handle::free(upstream) }; Ok(()) });
}

const _: () = assert!(ISCP_MAX_PAYLOAD == crate::core::MAX_PAYLOAD);
