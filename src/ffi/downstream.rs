//! Downstreams.

use std::ffi::c_void;
use std::ops::Deref;
use std::sync::Arc;

use super::boundary::ffi;
use super::chunk::{self, iscp_chunk_t};
use super::completion;
use super::conn::iscp_conn_t;
use super::convert::{self, Callback, UserData, iscp_release_cb};
use super::downstream_options::{FilterNumbers, iscp_downstream_options_t};
use super::error::iscp_error_t;
use super::handle::{self, handle};
use super::iscp_done_cb;
use super::metadata::{self, iscp_metadata_t};
use super::status::iscp_status_t;
use super::types::iscp_uuid_t;
use crate::client::{Completion, Downstream, DownstreamOptions};
use crate::error::{Result, Status};

/// A stream of points and metadata of other nodes.
///
/// It is closed by `iscp_downstream_close`, or in the background when it is freed. It may be used from
/// any thread. Chunks, and metadata, are either handed to a callback or pulled; a chunk counts as
/// received, towards the server, when the application takes it.
#[allow(non_camel_case_types)]
pub struct iscp_downstream_t {
    _opaque: [u8; 0],
}

pub(super) struct Object {
    downstream: Downstream,
    filter_numbers: Arc<FilterNumbers>,
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

/// A number about a downstream: one of the `ISCP_DOWNSTREAM_STAT_…` constants.
#[allow(non_camel_case_types)]
pub type iscp_downstream_stat_t = i32;

/// Chunks received.
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

/// Receives chunks.
///
/// Called on the connection's dispatcher thread, for one chunk at a time and in order. A chunk may be
/// empty: unless told otherwise by `iscp_downstream_options_set_omit_empty_chunk`, the server sends one
/// for every chunk of the node of which no point matches. `chunk` is valid until the callback returns;
/// `iscp_chunk_ref` keeps it longer.
#[allow(non_camel_case_types)]
pub type iscp_chunk_cb = Option<unsafe extern "C" fn(chunk: *const iscp_chunk_t, user_data: *mut c_void)>;

/// Receives metadata.
///
/// Called on the connection's dispatcher thread, in order with the chunks if they go to a callback
/// too. `metadata` is valid until the callback returns; `iscp_metadata_ref` keeps it longer.
#[allow(non_camel_case_types)]
pub type iscp_metadata_cb =
    Option<unsafe extern "C" fn(metadata: *const iscp_metadata_t, user_data: *mut c_void)>;

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
///         `ISCP_ERR_CLOSED` when the connection has ended, `ISCP_ERR_NULL_ARGUMENT`,
///         `ISCP_ERR_BAD_HANDLE`, `ISCP_ERR_FORKED`
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

/// Hands chunks to a callback from now on, beginning with those received before. Can be set once.
///
/// @param downstream the downstream
/// @param callback   receives the chunks
/// @param user_data  handed to the callback
/// @param release    called with `user_data` after the last chunk, or NULL
/// @param out_error  receives the detail of a failure, or NULL
/// @return `ISCP_OK`; `ISCP_ERR_INVALID_STATE` when there is a callback already; `ISCP_ERR_CLOSED`, or
///         why the stream ended, in which case what was received before can still be pulled;
///         `ISCP_ERR_NULL_ARGUMENT`, `ISCP_ERR_BAD_HANDLE`, `ISCP_ERR_FORKED`
///
/// Thread: any, callbacks included. Blocking: no. Lifetime: `user_data` is needed until `release` is
/// called, also on failure. Since: 0.1.0.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn iscp_downstream_read(
    downstream: *mut iscp_downstream_t,
    callback: iscp_chunk_cb,
    user_data: *mut c_void,
    release: iscp_release_cb,
    out_error: *mut *mut iscp_error_t,
) -> iscp_status_t {
    ffi!(out_error => {
        let callback = Callback::new(callback, user_data, release);
        let function = callback.function.ok_or_else(|| convert::null("callback"))?;
        // SAFETY: the caller passes a downstream of this library.
        let downstream = unsafe { convert::object(downstream, "downstream")? };
        let filter_numbers = downstream.filter_numbers.clone();
        downstream.on_chunk(Box::new(move |received| {
            let object = chunk::new(received, &filter_numbers);
            // SAFETY: the application promised a function of this type; the object was made here.
            unsafe {
                function(object, callback.user_data.0);
                handle::free(object);
            }
        }))
    })
}

/// Hands metadata to a callback from now on, beginning with that received before. Can be set once.
///
/// @param downstream the downstream
/// @param callback   receives the metadata
/// @param user_data  handed to the callback
/// @param release    called with `user_data` after the last metadata, or NULL
/// @param out_error  receives the detail of a failure, or NULL
/// @return `ISCP_OK`; `ISCP_ERR_INVALID_STATE` when there is a callback already; `ISCP_ERR_CLOSED`, or
///         why the stream ended, in which case what was received before can still be pulled;
///         `ISCP_ERR_NULL_ARGUMENT`, `ISCP_ERR_BAD_HANDLE`, `ISCP_ERR_FORKED`
///
/// Thread: any, callbacks included. Blocking: no. Lifetime: `user_data` is needed until `release` is
/// called, also on failure. Since: 0.1.0.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn iscp_downstream_read_metadata(
    downstream: *mut iscp_downstream_t,
    callback: iscp_metadata_cb,
    user_data: *mut c_void,
    release: iscp_release_cb,
    out_error: *mut *mut iscp_error_t,
) -> iscp_status_t {
    ffi!(out_error => {
        let callback = Callback::new(callback, user_data, release);
        let function = callback.function.ok_or_else(|| convert::null("callback"))?;
        // SAFETY: the caller passes a downstream of this library.
        let downstream = unsafe { convert::object(downstream, "downstream")? };
        downstream.on_metadata(Box::new(move |received| {
            let object = metadata::new(received);
            // SAFETY: the application promised a function of this type; the object was made here.
            unsafe {
                function(object, callback.user_data.0);
                handle::free(object);
            }
        }))
    })
}

/// Takes the next chunk.
///
/// @param downstream   the downstream
/// @param timeout_ms   milliseconds to wait; -1 until there is one or the stream ends; 0 to try
/// @param out_chunk receives the chunk, to be freed with `iscp_chunk_free`; NULL on failure
/// @param out_error    receives the detail of a failure, or NULL
/// @return `ISCP_OK`; `ISCP_ERR_WOULD_BLOCK` when there is nothing and `timeout_ms` is 0;
///         `ISCP_ERR_TIMEOUT`; once everything received was taken, `ISCP_ERR_CLOSED` or why the stream
///         ended; `ISCP_ERR_INVALID_STATE` when there is a callback; `ISCP_ERR_IN_CALLBACK` unless
///         `timeout_ms` is 0; `ISCP_ERR_INVALID_ARGUMENT`, `ISCP_ERR_NULL_ARGUMENT`,
///         `ISCP_ERR_BAD_HANDLE`, `ISCP_ERR_FORKED`
///
/// Thread: any; inside a callback only with `timeout_ms` 0. Blocking: as `timeout_ms` says. Lifetime:
/// the chunk is owned by the caller. Since: 0.1.0.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn iscp_downstream_next_chunk_wait(
    downstream: *mut iscp_downstream_t,
    timeout_ms: i32,
    out_chunk: *mut *mut iscp_chunk_t,
    out_error: *mut *mut iscp_error_t,
) -> iscp_status_t {
    ffi!(out_error => {
        // SAFETY: the caller passes a downstream of this library and a writable place.
        let (out, downstream) = unsafe {
            (
                convert::output(out_chunk, std::ptr::null_mut(), "out_chunk")?,
                convert::object(downstream, "downstream")?,
            )
        };
        let received = downstream.next_chunk(convert::timeout(timeout_ms)?)?;
        out.set(chunk::new(received, &downstream.filter_numbers));
        Ok(())
    })
}

/// Takes the next metadata.
///
/// @param downstream   the downstream
/// @param timeout_ms   milliseconds to wait; -1 until there is some or the stream ends; 0 to try
/// @param out_metadata receives the metadata, to be freed with `iscp_metadata_free`; NULL on failure
/// @param out_error    receives the detail of a failure, or NULL
/// @return `ISCP_OK`; `ISCP_ERR_WOULD_BLOCK` when there is nothing and `timeout_ms` is 0;
///         `ISCP_ERR_TIMEOUT`; once everything received was taken, `ISCP_ERR_CLOSED` or why the stream
///         ended; `ISCP_ERR_INVALID_STATE` when there is a callback; `ISCP_ERR_IN_CALLBACK` unless
///         `timeout_ms` is 0; `ISCP_ERR_INVALID_ARGUMENT`, `ISCP_ERR_NULL_ARGUMENT`,
///         `ISCP_ERR_BAD_HANDLE`, `ISCP_ERR_FORKED`
///
/// Thread: any; inside a callback only with `timeout_ms` 0. Blocking: as `timeout_ms` says. Lifetime:
/// the metadata is owned by the caller. Since: 0.1.0.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn iscp_downstream_next_metadata_wait(
    downstream: *mut iscp_downstream_t,
    timeout_ms: i32,
    out_metadata: *mut *mut iscp_metadata_t,
    out_error: *mut *mut iscp_error_t,
) -> iscp_status_t {
    ffi!(out_error => {
        // SAFETY: the caller passes a downstream of this library and a writable place.
        let (out, downstream) = unsafe {
            (
                convert::output(out_metadata, std::ptr::null_mut(), "out_metadata")?,
                convert::object(downstream, "downstream")?,
            )
        };
        out.set(metadata::new(downstream.next_metadata(convert::timeout(timeout_ms)?)?));
        Ok(())
    })
}

/// A descriptor for `poll`, `select`, `epoll` and event loops: readable while there is a chunk or
/// metadata to take, or the stream has ended.
///
/// It is level-triggered and belongs to the stream: never read, write or close it. When it is
/// readable, take chunks and metadata with a `timeout_ms` of 0 until both answer
/// `ISCP_ERR_WOULD_BLOCK` or that the stream has ended.
///
/// @param downstream the downstream
/// @param out_fd     receives the descriptor, the same at every call; -1 on failure
/// @param out_error  receives the detail of a failure, or NULL
/// @return `ISCP_OK`; `ISCP_ERR_RESOURCE` when the system has no descriptor left;
///         `ISCP_ERR_NULL_ARGUMENT`, `ISCP_ERR_BAD_HANDLE`, `ISCP_ERR_FORKED`
///
/// Thread: any, callbacks included. Blocking: no. Lifetime: valid as long as the downstream is not
/// freed. Since: 0.1.0.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn iscp_downstream_pollable(
    downstream: *mut iscp_downstream_t,
    out_fd: *mut i32,
    out_error: *mut *mut iscp_error_t,
) -> iscp_status_t {
    ffi!(out_error => {
        // SAFETY: the caller passes a downstream of this library and a writable place.
        let (out, downstream) =
            unsafe { (convert::output(out_fd, -1, "out_fd")?, convert::object(downstream, "downstream")?) };
        out.set(downstream.pollable()?);
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
///         `ISCP_ERR_TIMEOUT`; `ISCP_ERR_REFUSED`; `ISCP_ERR_CONNECTION_LOST`
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

/// Frees a downstream. Unless it was closed, it is closed in the background. Nothing happens for NULL.
///
/// @param downstream the downstream, or NULL
///
/// Thread: any, callbacks included. Blocking: never. Lifetime: the handle ends here; calls in progress
/// on other threads end in order, and its callbacks are released once they have returned.
/// Since: 0.1.0.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn iscp_downstream_free(downstream: *mut iscp_downstream_t) {
    // SAFETY: the caller passes a downstream of this library.
    ffi!((); { unsafe { handle::free(downstream) }; Ok(()) });
}
