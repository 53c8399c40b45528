//! Downstreams.

use std::ffi::c_void;
use std::ops::Deref;
use std::sync::Arc;

use super::boundary::ffi;
use super::completion;
use super::conn::iscp_conn_t;
use super::convert::{self, UserData};
use super::downstream_options::{FilterNumbers, iscp_downstream_options_t};
use super::error::iscp_error_t;
use super::handle::{self, handle};
use super::iscp_done_cb;
use super::status::iscp_status_t;
use super::types::iscp_uuid_t;
use crate::client::{Completion, Downstream, DownstreamOptions, DownstreamState};
use crate::error::{Result, Status};

/// A stream of points and metadata of other nodes.
///
/// It is closed by `iscp_downstream_close`, or in the background when it is freed. It may be used from
/// any thread. Chunks, and metadata, are either handed to a callback or pulled; a chunk counts as
/// received, towards the server, when the application takes it, unless `buffer_policy` is `fail`.
#[allow(non_camel_case_types)]
pub struct iscp_downstream_t {
    _opaque: [u8; 0],
}

pub(super) struct Object {
    downstream: Downstream,
    pub(super) filter_numbers: Arc<FilterNumbers>,
}

impl Deref for Object {
    type Target = Downstream;

    fn deref(&self) -> &Downstream {
        &self.downstream
    }
}

handle!(iscp_downstream_t, b"iscp.dow", "downstream", Object, |downstream| {
    // Was closed already, or begins to close: that ends whoever waits for chunks or metadata.
    let _ = downstream.close(Completion::ignore());
});

/// State of a downstream: one of the `ISCP_DOWNSTREAM_STATE_…` constants.
#[allow(non_camel_case_types)]
pub type iscp_downstream_state_t = i32;

/// In use.
pub const ISCP_DOWNSTREAM_STATE_OPEN: iscp_downstream_state_t = 1;
/// Its connection was lost, and it did not come back yet.
pub const ISCP_DOWNSTREAM_STATE_RESUMING: iscp_downstream_state_t = 2;
/// The application closes it.
pub const ISCP_DOWNSTREAM_STATE_CLOSING: iscp_downstream_state_t = 3;
/// Ended, by the application or otherwise. What was received can still be taken.
pub const ISCP_DOWNSTREAM_STATE_CLOSED: iscp_downstream_state_t = 4;

/// A number about a downstream: one of the `ISCP_DOWNSTREAM_STAT_…` constants.
#[allow(non_camel_case_types)]
pub type iscp_downstream_stat_t = i32;

/// Chunks received, those that were dropped because the application was too slow included.
pub const ISCP_DOWNSTREAM_STAT_CHUNKS: iscp_downstream_stat_t = 1;
/// Points received.
pub const ISCP_DOWNSTREAM_STAT_POINTS: iscp_downstream_stat_t = 2;
/// Chunks dropped because the application did not take them in time; never of a RELIABLE stream.
pub const ISCP_DOWNSTREAM_STAT_DROPPED_CHUNKS: iscp_downstream_stat_t = 3;
/// Points in the chunks that were dropped.
pub const ISCP_DOWNSTREAM_STAT_DROPPED_POINTS: iscp_downstream_stat_t = 4;
/// Metadata dropped because the application did not take it and more than 4096 waited.
pub const ISCP_DOWNSTREAM_STAT_DROPPED_METADATA: iscp_downstream_stat_t = 5;
/// Chunks that wait for the application.
pub const ISCP_DOWNSTREAM_STAT_BUFFERED_CHUNKS: iscp_downstream_stat_t = 6;
/// Bytes of the payloads received.
pub const ISCP_DOWNSTREAM_STAT_BYTES: iscp_downstream_stat_t = 7;
/// Metadata received, those that were dropped included.
pub const ISCP_DOWNSTREAM_STAT_METADATA: iscp_downstream_stat_t = 8;
/// Bytes that the chunks occupy that wait for the application: what `buffer_limit` limits.
pub const ISCP_DOWNSTREAM_STAT_BUFFERED_BYTES: iscp_downstream_stat_t = 9;
/// Metadata that wait for the application.
pub const ISCP_DOWNSTREAM_STAT_BUFFERED_METADATA: iscp_downstream_stat_t = 10;
/// Chunks that came again and were not handed out a second time. A stream that is not RELIABLE hands them out
/// again when its `chunk_order` is `as_received`, and does not count them.
pub const ISCP_DOWNSTREAM_STAT_DUPLICATE_CHUNKS: iscp_downstream_stat_t = 11;
/// Chunks lost as far as is known: sequence numbers that were left out, since the first one seen of their
/// upstream, and have not come by now. One that comes later is subtracted. Always 0 with `omit_empty_chunk`.
pub const ISCP_DOWNSTREAM_STAT_LOST_CHUNKS: iscp_downstream_stat_t = 12;
/// Chunks that came before an earlier one and waited for it, with another `chunk_order` than `as_received`.
pub const ISCP_DOWNSTREAM_STAT_REORDERED_CHUNKS: iscp_downstream_stat_t = 13;
/// Chunks that wait for an earlier one.
pub const ISCP_DOWNSTREAM_STAT_WAITING_CHUNKS: iscp_downstream_stat_t = 14;
/// Missing chunks that were waited for in vain: up to `reorder_wait_ms`, `reorder_limit`, or the end.
pub const ISCP_DOWNSTREAM_STAT_GIVEN_UP_CHUNKS: iscp_downstream_stat_t = 15;
/// Chunks that came when later ones had been handed out, with another `chunk_order` than `as_received`.
pub const ISCP_DOWNSTREAM_STAT_LATE_CHUNKS: iscp_downstream_stat_t = 16;
/// Late chunks that were dropped because the `chunk_order` is `strict`; never of a RELIABLE upstream read by a
/// RELIABLE stream.
pub const ISCP_DOWNSTREAM_STAT_LATE_DROPPED_CHUNKS: iscp_downstream_stat_t = 17;

/// Told how opening a downstream ended.
///
/// Called once on the connection's dispatcher thread. On success `downstream` is the application's, to
/// be freed with `iscp_downstream_free`, and `error` is NULL; on failure `downstream` is NULL and
/// `error` is valid until the callback returns.
#[allow(non_camel_case_types)]
pub type iscp_downstream_open_cb = Option<
    unsafe extern "C" fn(
        downstream: *mut iscp_downstream_t,
        error: *const iscp_error_t,
        user_data: *mut c_void,
    ),
>;

/// Copies options for one stream.
///
/// # Safety
/// `options` is a handle of this library.
unsafe fn prepare(
    options: *const iscp_downstream_options_t,
) -> Result<(DownstreamOptions, Arc<FilterNumbers>)> {
    // SAFETY: the caller's promise.
    let options = unsafe { convert::object(options, "options")? };
    let settings = options.lock();
    Ok((settings.to_options(), settings.filter_numbers()))
}

/// Opens a downstream.
///
/// @param conn      the connection
/// @param options   what to receive, and how; copied; must not be NULL, since without a filter nothing
///                  is received
/// @param callback  told how it ended; must not be NULL
/// @param user_data handed to the callback
/// @param out_error receives the detail of a failure to begin, or NULL
/// @return `ISCP_OK` when it began, and the callback is called once; otherwise it is not called:
///         `ISCP_ERR_CLOSED` when the connection has ended, `ISCP_ERR_INVALID_OPTION` for options that
///         contradict each other, `ISCP_ERR_NULL_ARGUMENT`, `ISCP_ERR_BAD_HANDLE`, `ISCP_ERR_FORKED`
///
/// Thread: any, callbacks included. Blocking: no. Lifetime: `options` may be freed at once.
/// Since: 0.1.0.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn iscp_downstream_open(
    conn: *mut iscp_conn_t,
    options: *const iscp_downstream_options_t,
    callback: iscp_downstream_open_cb,
    user_data: *mut c_void,
    out_error: *mut *mut iscp_error_t,
) -> iscp_status_t {
    ffi!(out_error => {
        // SAFETY: the caller passes handles of this library.
        let (conn, (options, filter_numbers)) = unsafe { (convert::object(conn, "conn")?, prepare(options)?) };
        let callback = callback.ok_or_else(|| convert::null("callback"))?;
        let user_data = UserData(user_data);
        conn.connection.open_downstream(options, Completion::call(move |outcome| {
            let user_data = user_data;
            let new = |downstream| handle::new(Object { downstream, filter_numbers });
            completion::opened(outcome, new, |downstream, error| {
                // SAFETY: the application promised a function of this type.
                unsafe { callback(downstream, error, user_data.0) };
            });
        }))
    })
}

/// Opens a downstream and waits for it, as `iscp_downstream_open` does without waiting.
///
/// @param conn           the connection
/// @param options        what to receive, and how; copied; must not be NULL
/// @param timeout_ms     milliseconds to wait; -1 as long as the response time-out allows
/// @param out_downstream receives the downstream, to be freed with `iscp_downstream_free`; NULL on
///                       failure
/// @param out_error      receives the detail of a failure, or NULL
/// @return `ISCP_OK`; what `iscp_downstream_open` returns; `ISCP_ERR_IN_CALLBACK`; `ISCP_ERR_TIMEOUT`;
///         `ISCP_ERR_REFUSED`; `ISCP_ERR_CONNECTION_LOST`
///
/// Thread: any but the library's own. Blocking: yes. Lifetime: the downstream is owned by the caller.
/// Since: 0.1.0.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn iscp_downstream_open_wait(
    conn: *mut iscp_conn_t,
    options: *const iscp_downstream_options_t,
    timeout_ms: i32,
    out_downstream: *mut *mut iscp_downstream_t,
    out_error: *mut *mut iscp_error_t,
) -> iscp_status_t {
    ffi!(out_error => {
        // SAFETY: the caller passes handles of this library and a writable place.
        let (out, conn, (options, filter_numbers)) = unsafe {
            (
                convert::output(out_downstream, std::ptr::null_mut(), "out_downstream")?,
                convert::object(conn, "conn")?,
                prepare(options)?,
            )
        };
        let downstream = completion::wait(timeout_ms, |done| conn.connection.open_downstream(options, done))?;
        out.set(handle::new(Object { downstream, filter_numbers }));
        Ok(())
    })
}

/// Acknowledges what the application took and closes the stream. What was received stays readable.
///
/// @param downstream the downstream
/// @param callback   told how it ended, or NULL
/// @param user_data  handed to the callback
/// @param out_error  receives the detail of a failure to begin, or NULL
/// @return `ISCP_OK` when it began, and the callback is called once; otherwise it is not called:
///         `ISCP_ERR_CLOSED` when the downstream was closed before, `ISCP_ERR_NULL_ARGUMENT`,
///         `ISCP_ERR_BAD_HANDLE`, `ISCP_ERR_FORKED`
///
/// Thread: any, callbacks included. Blocking: no. Lifetime: the downstream must still be freed.
/// Since: 0.1.0.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn iscp_downstream_close(
    downstream: *mut iscp_downstream_t,
    callback: iscp_done_cb,
    user_data: *mut c_void,
    out_error: *mut *mut iscp_error_t,
) -> iscp_status_t {
    ffi!(out_error => {
        // SAFETY: the caller passes a downstream of this library.
        let downstream = unsafe { convert::object(downstream, "downstream")? };
        downstream.close(completion::done(callback, user_data))
    })
}

/// Closes a downstream and waits for it, as `iscp_downstream_close` does without waiting.
///
/// @param downstream the downstream
/// @param timeout_ms milliseconds to wait; -1 as long as the time-outs of the options allow
/// @param out_error  receives the detail of a failure, or NULL
/// @return `ISCP_OK`; what `iscp_downstream_close` returns; `ISCP_ERR_IN_CALLBACK`;
///         `ISCP_ERR_TIMEOUT`; `ISCP_ERR_REFUSED`; `ISCP_ERR_CONNECTION_LOST`; `ISCP_ERR_OUT_OF_ORDER` when
///         the `chunk_order` is `strict` and something is missing
///
/// Thread: any but the library's own. Blocking: yes. Lifetime: the downstream must still be freed.
/// Since: 0.1.0.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn iscp_downstream_close_wait(
    downstream: *mut iscp_downstream_t,
    timeout_ms: i32,
    out_error: *mut *mut iscp_error_t,
) -> iscp_status_t {
    ffi!(out_error => {
        // SAFETY: the caller passes a downstream of this library.
        let downstream = unsafe { convert::object(downstream, "downstream")? };
        completion::wait(timeout_ms, |done| downstream.close(done))
    })
}

/// State of a downstream.
///
/// @param downstream the downstream
/// @return one of the `ISCP_DOWNSTREAM_STATE_…` constants; `ISCP_DOWNSTREAM_STATE_CLOSED` for something that is no
///         downstream too
///
/// Thread: any, callbacks included. Blocking: no. Lifetime: plain value. Since: 0.1.0.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn iscp_downstream_state(
    downstream: *const iscp_downstream_t,
) -> iscp_downstream_state_t {
    ffi!(ISCP_DOWNSTREAM_STATE_CLOSED; {
        // SAFETY: the caller passes a downstream of this library.
        let downstream = unsafe { handle::enter(downstream)? };
        Ok(match downstream.state() {
            DownstreamState::Open => ISCP_DOWNSTREAM_STATE_OPEN,
            DownstreamState::Resuming => ISCP_DOWNSTREAM_STATE_RESUMING,
            DownstreamState::Closing => ISCP_DOWNSTREAM_STATE_CLOSING,
            DownstreamState::Closed => ISCP_DOWNSTREAM_STATE_CLOSED,
        })
    })
}

/// A number about a downstream.
///
/// @param downstream the downstream
/// @param stat       which number: one of the `ISCP_DOWNSTREAM_STAT_…` constants
/// @param out_value  receives the number; 0 on failure
/// @return `ISCP_OK`; `ISCP_ERR_INVALID_ARGUMENT` for another constant; `ISCP_ERR_NULL_ARGUMENT`,
///         `ISCP_ERR_BAD_HANDLE`, `ISCP_ERR_FORKED`
///
/// Thread: any, callbacks included. Blocking: no. Lifetime: plain value. Since: 0.1.0.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn iscp_downstream_stat(
    downstream: *const iscp_downstream_t,
    stat: iscp_downstream_stat_t,
    out_value: *mut u64,
) -> iscp_status_t {
    ffi!({
        // SAFETY: the caller passes a downstream of this library and a writable place.
        let (out, downstream) = unsafe { (convert::stat(out_value)?, handle::enter(downstream)?) };
        let counters = downstream.counters();
        out.set(match stat {
            ISCP_DOWNSTREAM_STAT_CHUNKS => counters.chunks,
            ISCP_DOWNSTREAM_STAT_POINTS => counters.points,
            ISCP_DOWNSTREAM_STAT_DROPPED_CHUNKS => counters.dropped_chunks,
            ISCP_DOWNSTREAM_STAT_DROPPED_POINTS => counters.dropped_points,
            ISCP_DOWNSTREAM_STAT_DROPPED_METADATA => counters.dropped_metadata,
            ISCP_DOWNSTREAM_STAT_BUFFERED_CHUNKS => counters.buffered_chunks,
            ISCP_DOWNSTREAM_STAT_BYTES => counters.bytes,
            ISCP_DOWNSTREAM_STAT_METADATA => counters.metadata,
            ISCP_DOWNSTREAM_STAT_BUFFERED_BYTES => counters.buffered_bytes,
            ISCP_DOWNSTREAM_STAT_BUFFERED_METADATA => counters.buffered_metadata,
            ISCP_DOWNSTREAM_STAT_DUPLICATE_CHUNKS => counters.duplicate_chunks,
            ISCP_DOWNSTREAM_STAT_LOST_CHUNKS => counters.missing_chunks,
            ISCP_DOWNSTREAM_STAT_REORDERED_CHUNKS => counters.reordered_chunks,
            ISCP_DOWNSTREAM_STAT_WAITING_CHUNKS => counters.waiting_chunks,
            ISCP_DOWNSTREAM_STAT_GIVEN_UP_CHUNKS => counters.given_up_chunks,
            ISCP_DOWNSTREAM_STAT_LATE_CHUNKS => counters.late_chunks,
            ISCP_DOWNSTREAM_STAT_LATE_DROPPED_CHUNKS => counters.late_dropped_chunks,
            _ => return Err(Status::InvalidArgument),
        });
        Ok(())
    })
}

/// Id that the server gave a downstream.
///
/// @param downstream the downstream
/// @return the id; all zero for something that is no downstream
///
/// Thread: any, callbacks included. Blocking: no. Lifetime: plain value. Since: 0.1.0.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn iscp_downstream_id(downstream: *const iscp_downstream_t) -> iscp_uuid_t {
    // SAFETY: the caller passes a downstream of this library.
    ffi!(iscp_uuid_t::default(); { unsafe { handle::enter(downstream) }.map(|stream| stream.stream_id().into()) })
}

/// Clock of the server when a downstream was opened.
///
/// @param downstream the downstream
/// @return nanoseconds since the Unix epoch; 0 when the server did not say, and for something that is
///         no downstream
///
/// Thread: any, callbacks included. Blocking: no. Lifetime: plain value. Since: 0.1.0.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn iscp_downstream_server_time_ns(downstream: *const iscp_downstream_t) -> i64 {
    // SAFETY: the caller passes a downstream of this library.
    ffi!(0; { unsafe { handle::enter(downstream) }.map(|stream| stream.server_time_ns()) })
}

/// Adds an owner to a downstream: it then takes one more `iscp_downstream_free`.
///
/// @param downstream the downstream
/// @return the same downstream; NULL for NULL and for something that is no downstream
///
/// Thread: any, callbacks included. Blocking: no. Lifetime: the new owner frees it. Since: 0.1.0.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn iscp_downstream_ref(downstream: *mut iscp_downstream_t) -> *mut iscp_downstream_t {
    // SAFETY: the caller passes a downstream of this library.
    ffi!(std::ptr::null_mut(); { unsafe { handle::add_owner(downstream) }.map(|()| downstream) })
}

/// Frees a downstream: the last owner ends it. Unless it was closed, it is closed in the background. Nothing happens for NULL.
///
/// @param downstream the downstream, or NULL
///
/// Thread: any, callbacks included. Blocking: never. Lifetime: the handle ends with its last owner; calls in progress
/// on other threads end in order, and its callbacks are released once they have returned.
/// Since: 0.1.0.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn iscp_downstream_free(downstream: *mut iscp_downstream_t) {
    // SAFETY: the caller passes a downstream of this library.
    ffi!((); { unsafe { handle::free(downstream) }; Ok(()) });
}
