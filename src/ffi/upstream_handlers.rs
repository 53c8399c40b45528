//! Callbacks of an upstream.

use std::ffi::{c_char, c_void};

use super::boundary::ffi;
use super::chunk::{self, iscp_chunk_t};
use super::convert::{self, Callback, c_text, iscp_release_cb};
use super::downstream_options::FilterNumbers;
use super::error::{self, iscp_error_t};
use super::event::iscp_stream_event_cb;
use super::handle;
use super::handler::set_handler;
use super::status::iscp_status_t;
use super::upstream_options::{UpstreamSettings, iscp_upstream_options_t};
use crate::core::{ChunkOutcome, ReceivedChunk, UpstreamEnd};

/// Told what the server said about a chunk.
///
/// Called on the connection's dispatcher thread for every chunk, except those of UNRELIABLE and PARTIAL
/// streams that are lost. `result_code` is 0 when the server took it, otherwise a result code of the protocol,
/// among them 70, `ACK_TIMEOUT`, when the acknowledgement did not come within `ack_timeout_ms`;
/// `result_string` is valid until the callback returns.
#[allow(non_camel_case_types)]
pub type iscp_ack_cb = Option<
    unsafe extern "C" fn(
        sequence_number: u32,
        result_code: i32,
        result_string: *const c_char,
        user_data: *mut c_void,
    ),
>;

/// Shown a chunk that is about to be sent.
///
/// Called on the connection's dispatcher thread for every chunk, one at a time, in the order of their sequence
/// numbers, before every other callback about the chunk or a point in it. `chunk` is valid until the callback
/// returns; `iscp_chunk_ref` keeps it longer. It shares the memory of what is sent: nothing is copied.
///
/// The callback observes and does not hold up the chunk: it is asked for before the chunk is handed to the
/// transport, and may run before, while or after the bytes leave. Only when it lags behind so far that 16384
/// calls of it and of the acknowledgement callback wait, or chunks of `in_flight_limit` bytes, no further chunk is
/// made until it catches up; the write buffer fills meanwhile. A chunk that is sent again after the connection
/// was lost is not shown again, also when it has another number then (option `reopen`).
#[allow(non_camel_case_types)]
pub type iscp_before_send_cb =
    Option<unsafe extern "C" fn(chunk: *const iscp_chunk_t, user_data: *mut c_void)>;

/// Told how an upstream ended.
///
/// Called once on the connection's dispatcher thread, after every other callback of the stream, and
/// never for one that could not be opened.
/// `error` is NULL when the application closed the stream and the server confirmed everything, or what it
/// did not was lost as the QoS allows: by datagrams, or with the connection.
/// `undelivered_points` counts the points whose delivery the server did not confirm, those included that were
/// dropped because the buffer was full (option `buffer_policy`);
/// `undelivered_chunks` holds the sequence numbers of `undelivered_chunk_count` chunks that were sent
/// and not confirmed, in order; points that never left the buffer have no number. Once the stream was opened
/// anew (option `reopen`) the numbers are those of its last id. Error and array are valid until the callback
/// returns.
#[allow(non_camel_case_types)]
pub type iscp_upstream_closed_cb = Option<
    unsafe extern "C" fn(
        error: *const iscp_error_t,
        undelivered_points: u64,
        undelivered_chunks: *const u32,
        undelivered_chunk_count: usize,
        user_data: *mut c_void,
    ),
>;

pub(super) type AckFunction = unsafe extern "C" fn(u32, i32, *const c_char, *mut c_void);
pub(super) type BeforeSendFunction = unsafe extern "C" fn(*const iscp_chunk_t, *mut c_void);
pub(super) type ClosedFunction =
    unsafe extern "C" fn(*const iscp_error_t, u64, *const u32, usize, *mut c_void);

pub(super) fn report_ack(callback: &Callback<AckFunction>, ack: &ChunkOutcome) {
    let text = c_text(&ack.result_string);
    // SAFETY: the application promised a function of this type.
    unsafe {
        (callback.function)(ack.sequence_number, ack.result_code.0, text.as_ptr(), callback.user_data.0);
    }
}

pub(super) fn show_chunk(callback: &Callback<BeforeSendFunction>, chunk: ReceivedChunk) {
    let object = chunk::new(chunk, &FilterNumbers::default());
    // SAFETY: the application promised a function of this type; the object was made here.
    unsafe {
        (callback.function)(object, callback.user_data.0);
        handle::free(object);
    }
}

pub(super) fn report_end(callback: &Callback<ClosedFunction>, end: UpstreamEnd) {
    let chunks = end.undelivered_chunks;
    // SAFETY: the application promised a function of this type.
    error::with_borrowed(end.error, |error| unsafe {
        (callback.function)(
            error,
            end.undelivered_points,
            convert::start_of(&chunks),
            chunks.len(),
            callback.user_data.0,
        );
    });
}

/// Sets a callback that is told what the server said about every chunk.
///
/// @param options   the options
/// @param callback  told once per chunk
/// @param user_data handed to the callback
/// @param release   called with `user_data` when neither the options nor a stream need it, or NULL
/// @param out_error receives the detail of a failure, or NULL
/// @return `ISCP_OK`; `ISCP_ERR_NULL_ARGUMENT`, `ISCP_ERR_BAD_HANDLE`
///
/// Thread: any, one at a time. Blocking: no. Lifetime: `user_data` is needed until `release` is
/// called, also on failure. Since: 0.1.0.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn iscp_upstream_options_set_ack_callback(
    options: *mut iscp_upstream_options_t,
    callback: iscp_ack_cb,
    user_data: *mut c_void,
    release: iscp_release_cb,
    out_error: *mut *mut iscp_error_t,
) -> iscp_status_t {
    ffi!(out_error => {
        let store = |options: &mut UpstreamSettings, callback| options.on_ack.replace(callback);
        // SAFETY: the caller passes options of this library.
        unsafe { set_handler(options, callback, user_data, release, store) }
    })
}

/// Sets a callback that is shown every chunk that is about to be sent, with its sequence number and its points.
///
/// @param options   the options
/// @param callback  shown every chunk once
/// @param user_data handed to the callback
/// @param release   called with `user_data` when neither the options nor a stream need it, or NULL
/// @param out_error receives the detail of a failure, or NULL
/// @return `ISCP_OK`; `ISCP_ERR_NULL_ARGUMENT`, `ISCP_ERR_BAD_HANDLE`
///
/// Thread: any, one at a time. Blocking: no. Lifetime: `user_data` is needed until `release` is
/// called, also on failure. Since: 0.1.0.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn iscp_upstream_options_set_before_send_callback(
    options: *mut iscp_upstream_options_t,
    callback: iscp_before_send_cb,
    user_data: *mut c_void,
    release: iscp_release_cb,
    out_error: *mut *mut iscp_error_t,
) -> iscp_status_t {
    ffi!(out_error => {
        let store = |options: &mut UpstreamSettings, callback| options.before_send.replace(callback);
        // SAFETY: the caller passes options of this library.
        unsafe { set_handler(options, callback, user_data, release, store) }
    })
}

/// Sets a callback that is told how the stream ended, and what could not be delivered.
///
/// @param options   the options
/// @param callback  told once per stream
/// @param user_data handed to the callback
/// @param release   called with `user_data` when neither the options nor a stream need it, or NULL
/// @param out_error receives the detail of a failure, or NULL
/// @return `ISCP_OK`; `ISCP_ERR_NULL_ARGUMENT`, `ISCP_ERR_BAD_HANDLE`
///
/// Thread: any, one at a time. Blocking: no. Lifetime: `user_data` is needed until `release` is
/// called, also on failure. Since: 0.1.0.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn iscp_upstream_options_set_closed_callback(
    options: *mut iscp_upstream_options_t,
    callback: iscp_upstream_closed_cb,
    user_data: *mut c_void,
    release: iscp_release_cb,
    out_error: *mut *mut iscp_error_t,
) -> iscp_status_t {
    ffi!(out_error => {
        let store = |options: &mut UpstreamSettings, callback| options.on_closed.replace(callback);
        // SAFETY: the caller passes options of this library.
        unsafe { set_handler(options, callback, user_data, release, store) }
    })
}

/// Sets a callback that is told when the stream came back after the connection was lost.
///
/// @param options   the options
/// @param callback  told of every event
/// @param user_data handed to the callback
/// @param release   called with `user_data` when neither the options nor a stream need it, or NULL
/// @param out_error receives the detail of a failure, or NULL
/// @return `ISCP_OK`; `ISCP_ERR_NULL_ARGUMENT`, `ISCP_ERR_BAD_HANDLE`
///
/// Thread: any, one at a time. Blocking: no. Lifetime: `user_data` is needed until `release` is
/// called, also on failure. Since: 0.1.0.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn iscp_upstream_options_set_event_callback(
    options: *mut iscp_upstream_options_t,
    callback: iscp_stream_event_cb,
    user_data: *mut c_void,
    release: iscp_release_cb,
    out_error: *mut *mut iscp_error_t,
) -> iscp_status_t {
    ffi!(out_error => {
        let store = |options: &mut UpstreamSettings, callback| options.on_event.replace(callback);
        // SAFETY: the caller passes options of this library.
        unsafe { set_handler(options, callback, user_data, release, store) }
    })
}
