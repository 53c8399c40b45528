//! Options of a connection: points that are kept on disk until they are delivered.

use std::ffi::{CString, c_char, c_void};
use std::sync::Arc;

use super::boundary::ffi;
use super::conn_option_table::OPTIONS;
use super::conn_options::iscp_conn_options_t;
use super::convert::{self, Callback, iscp_release_cb};
use super::error::{self, iscp_error_t};
use super::options::{set_text, set_typed};
use super::status::iscp_status_t;
use super::types::iscp_uuid_t;
use crate::client::{SpoolHandler, SpoolOutcome};

/// Told what became of points that an earlier process left in the spool.
///
/// Called on the connection's dispatcher thread, once for each stream whose points were left. `session_id` is the
/// session of the points, `former_stream_id` the stream on which they were last sent (all zero if they never were)
/// and `stream_id` the one on which they were delivered: the same if the server still had it, and then nothing
/// arrives twice. `points` is how many were delivered and `missing_points` how many are lost because their file is
/// damaged. `error` says why the points stay in the spool, and is NULL when they were delivered. The pointers are
/// valid until the callback returns.
#[allow(non_camel_case_types)]
pub type iscp_spool_cb = Option<
    unsafe extern "C" fn(
        session_id: *const c_char,
        former_stream_id: *const iscp_uuid_t,
        stream_id: *const iscp_uuid_t,
        points: u64,
        missing_points: u64,
        error: *const iscp_error_t,
        user_data: *mut c_void,
    ),
>;

type Function = unsafe extern "C" fn(
    *const c_char,
    *const iscp_uuid_t,
    *const iscp_uuid_t,
    u64,
    u64,
    *const iscp_error_t,
    *mut c_void,
);

/// Sets the directory in which the points of RELIABLE upstreams are kept until the server acknowledged them, so
/// that they survive the process. Default: empty, they are kept in memory only.
///
/// What an earlier process left there is delivered once the connection is up, if it was written by the same node of
/// the same project: on the stream on which it was sent when the server still has that, otherwise on another one of
/// the same session, with the same elapsed times. One connection of one process uses a directory at a time.
///
/// A stream that ends with points that were not delivered leaves them for the next process.
///
/// @param options   the options
/// @param spool_dir a directory, which is created if necessary; "" for none
/// @param out_error receives the detail of a failure, or NULL
/// @return `ISCP_OK`; `ISCP_ERR_NULL_ARGUMENT`, `ISCP_ERR_BAD_HANDLE`, `ISCP_ERR_INVALID_UTF8`; that the directory
///         cannot be used is an `ISCP_ERR_SPOOL` of connecting
///
/// Thread: any, one at a time. Blocking: no. Lifetime: borrows the text for the call.
/// Since: 0.1.0.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn iscp_conn_options_set_spool_dir(
    options: *mut iscp_conn_options_t,
    spool_dir: *const c_char,
    out_error: *mut *mut iscp_error_t,
) -> iscp_status_t {
    // SAFETY: the caller passes options of this library and a string.
    ffi!(out_error => { unsafe { set_text(options, OPTIONS, "spool_dir", spool_dir) } })
}

/// Sets how many bytes the spool may take on disk. Default: 268435456.
///
/// @param options           the options
/// @param spool_limit_bytes bytes, 65536 to 1099511627776
/// @param out_error         receives the detail of a failure, or NULL
/// @return `ISCP_OK`; `ISCP_ERR_INVALID_OPTION` for a value out of range; `ISCP_ERR_NULL_ARGUMENT`,
///         `ISCP_ERR_BAD_HANDLE`
///
/// Thread: any, one at a time. Blocking: no. Lifetime: plain values. Since: 0.1.0.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn iscp_conn_options_set_spool_limit_bytes(
    options: *mut iscp_conn_options_t,
    spool_limit_bytes: u64,
    out_error: *mut *mut iscp_error_t,
) -> iscp_status_t {
    // SAFETY: the caller passes options of this library.
    ffi!(out_error => { unsafe { set_typed(options, OPTIONS, "spool_limit_bytes", spool_limit_bytes) } })
}

/// Sets what a write survives once it succeeded. Default: `process`.
///
/// With `process` it survives the process, however that ends; a write costs a system call. With `disk` it survives
/// a power cut too: a write waits for the disk.
///
/// @param options    the options
/// @param spool_sync "process" or "disk"
/// @param out_error  receives the detail of a failure, or NULL
/// @return `ISCP_OK`; `ISCP_ERR_INVALID_OPTION` for a value out of range; `ISCP_ERR_NULL_ARGUMENT`,
///         `ISCP_ERR_BAD_HANDLE`, `ISCP_ERR_INVALID_UTF8`
///
/// Thread: any, one at a time. Blocking: no. Lifetime: borrows the text for the call.
/// Since: 0.1.0.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn iscp_conn_options_set_spool_sync(
    options: *mut iscp_conn_options_t,
    spool_sync: *const c_char,
    out_error: *mut *mut iscp_error_t,
) -> iscp_status_t {
    // SAFETY: the caller passes options of this library and a string.
    ffi!(out_error => { unsafe { set_text(options, OPTIONS, "spool_sync", spool_sync) } })
}

/// Sets what happens when the spool is full. Default: `refuse`.
///
/// With `refuse` writes wait or fail, as the upstream's option `buffer_policy` says. With `drop_oldest` the oldest
/// points of the upstream on disk are given up, several at a time, and counted (`ISCP_CONN_STAT_SPOOL_DROPPED`);
/// those among them that are in memory already may arrive nevertheless.
///
/// @param options    the options
/// @param spool_full "refuse" or "drop_oldest"
/// @param out_error  receives the detail of a failure, or NULL
/// @return `ISCP_OK`; `ISCP_ERR_INVALID_OPTION` for a value out of range; `ISCP_ERR_NULL_ARGUMENT`,
///         `ISCP_ERR_BAD_HANDLE`, `ISCP_ERR_INVALID_UTF8`
///
/// Thread: any, one at a time. Blocking: no. Lifetime: borrows the text for the call.
/// Since: 0.1.0.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn iscp_conn_options_set_spool_full(
    options: *mut iscp_conn_options_t,
    spool_full: *const c_char,
    out_error: *mut *mut iscp_error_t,
) -> iscp_status_t {
    // SAFETY: the caller passes options of this library and a string.
    ffi!(out_error => { unsafe { set_text(options, OPTIONS, "spool_full", spool_full) } })
}

/// Sets a callback that is told what became of points that an earlier process left in the spool.
///
/// @param options   the options
/// @param callback  told once for each stream whose points were left
/// @param user_data handed to the callback
/// @param release   called with `user_data` when neither the options nor a connection need it, or NULL
/// @param out_error receives the detail of a failure, or NULL
/// @return `ISCP_OK`; `ISCP_ERR_NULL_ARGUMENT`, `ISCP_ERR_BAD_HANDLE`
///
/// Thread: any, one at a time. Blocking: no. Lifetime: `user_data` is needed until `release` is
/// called, also on failure. Since: 0.1.0.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn iscp_conn_options_set_spool_callback(
    options: *mut iscp_conn_options_t,
    callback: iscp_spool_cb,
    user_data: *mut c_void,
    release: iscp_release_cb,
    out_error: *mut *mut iscp_error_t,
) -> iscp_status_t {
    ffi!(out_error => {
        let callback = Callback::new(callback, user_data, release);
        let function = callback.function.ok_or_else(|| convert::null("callback"))?;
        // SAFETY: the caller passes options of this library.
        let options = unsafe { convert::object(options, "options")? };
        let handler: SpoolHandler =
            Arc::new(move |outcome| tell(function, callback.user_data.0, outcome));
        // The former one is released once the options are unlocked: it may use them.
        let former = options.lock().on_spool.replace(handler);
        drop(former);
        Ok(())
    })
}

fn tell(function: Function, user_data: *mut c_void, outcome: SpoolOutcome) {
    let SpoolOutcome { session_id, former, stream_id, points, missing_points, error } = outcome;
    // A session id that came from disk.
    let session_id = CString::new(session_id.replace('\0', "")).unwrap_or_default();
    let (former, stream_id) = (iscp_uuid_t::from(former), iscp_uuid_t::from(stream_id));
    // SAFETY: the application promised a function of this type.
    error::with_borrowed(error, |error| unsafe {
        function(
            session_id.as_ptr(),
            &raw const former,
            &raw const stream_id,
            points,
            missing_points,
            error,
            user_data,
        );
    });
}
