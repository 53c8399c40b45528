//! Options of a downstream about the order of chunks, and about applications that are too slow.

use std::ffi::c_char;

use super::boundary::ffi;
use super::downstream_options::{OPTIONS, iscp_downstream_options_t};
use super::error::iscp_error_t;
use super::options::{set_text, set_typed};
use super::status::iscp_status_t;

/// Sets in which order the chunks of each upstream are received: `as_received`, as they come; `best_effort`, by
/// their sequence numbers, where a missing one is waited for within the limits `reorder_limit` and
/// `reorder_wait_ms`, and is received late if it comes after that; or `strict`, never in another order: what comes
/// too late is dropped and counted, and a RELIABLE stream does not give up what is missing but ends with
/// `ISCP_ERR_OUT_OF_ORDER` when `reorder_limit` is exceeded. Default: `as_received`.
///
/// Chunks of different upstreams do not wait for each other. The order needs all chunks, empty ones too: other
/// values than `as_received` contradict `omit_empty_chunk`, and opening with both fails with
/// `ISCP_ERR_INVALID_OPTION`.
///
/// @param options     the options
/// @param chunk_order the name of the order
/// @param out_error   receives the detail of a failure, or NULL
/// @return `ISCP_OK`; `ISCP_ERR_INVALID_OPTION` for a value out of range; `ISCP_ERR_NULL_ARGUMENT`,
///         `ISCP_ERR_BAD_HANDLE`, `ISCP_ERR_INVALID_UTF8`
///
/// Thread: any, one at a time. Blocking: no. Lifetime: borrows the text for the call. Since: 0.1.0.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn iscp_downstream_options_set_chunk_order(
    options: *mut iscp_downstream_options_t,
    chunk_order: *const c_char,
    out_error: *mut *mut iscp_error_t,
) -> iscp_status_t {
    // SAFETY: the caller passes options of this library and a string.
    ffi!(out_error => { unsafe { set_text(options, OPTIONS, "chunk_order", chunk_order) } })
}

/// Sets how many chunks of one upstream may wait for an earlier one, unless `chunk_order` is `as_received`.
/// Default: 255, as in the official Rust client.
///
/// Together, those of all upstreams take at most `buffer_limit` bytes.
///
/// @param options       the options
/// @param reorder_limit chunks, 1 to 65536
/// @param out_error     receives the detail of a failure, or NULL
/// @return `ISCP_OK`; `ISCP_ERR_INVALID_OPTION` for a value out of range; `ISCP_ERR_NULL_ARGUMENT`,
///         `ISCP_ERR_BAD_HANDLE`
///
/// Thread: any, one at a time. Blocking: no. Lifetime: plain values. Since: 0.1.0.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn iscp_downstream_options_set_reorder_limit(
    options: *mut iscp_downstream_options_t,
    reorder_limit: usize,
    out_error: *mut *mut iscp_error_t,
) -> iscp_status_t {
    // SAFETY: the caller passes options of this library.
    ffi!(out_error => { unsafe { set_typed(options, OPTIONS, "reorder_limit", reorder_limit) } })
}

/// Sets how long a chunk may wait for an earlier one, unless `chunk_order` is `as_received`, or the earlier one
/// must come because the order is `strict` and downstream and upstream are RELIABLE. Default: 100.
///
/// @param options         the options
/// @param reorder_wait_ms milliseconds, 1 to 3600000
/// @param out_error       receives the detail of a failure, or NULL
/// @return `ISCP_OK`; `ISCP_ERR_INVALID_OPTION` for a value out of range; `ISCP_ERR_NULL_ARGUMENT`,
///         `ISCP_ERR_BAD_HANDLE`
///
/// Thread: any, one at a time. Blocking: no. Lifetime: plain values. Since: 0.1.0.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn iscp_downstream_options_set_reorder_wait_ms(
    options: *mut iscp_downstream_options_t,
    reorder_wait_ms: u32,
    out_error: *mut *mut iscp_error_t,
) -> iscp_status_t {
    // SAFETY: the caller passes options of this library.
    ffi!(out_error => { unsafe { set_typed(options, OPTIONS, "reorder_wait_ms", reorder_wait_ms) } })
}

/// Sets how many bytes of chunks may wait for the application; a single one may be larger. What happens beyond
/// it is what `buffer_policy` says. Default: 67108864.
///
/// A RELIABLE stream needs more than the server sends without an acknowledgement, which is 16 MiB with the open
/// broker.
///
/// @param options      the options
/// @param buffer_limit bytes, 1024 to 1073741824
/// @param out_error    receives the detail of a failure, or NULL
/// @return `ISCP_OK`; `ISCP_ERR_INVALID_OPTION` for a value out of range; `ISCP_ERR_NULL_ARGUMENT`,
///         `ISCP_ERR_BAD_HANDLE`
///
/// Thread: any, one at a time. Blocking: no. Lifetime: plain values. Since: 0.1.0.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn iscp_downstream_options_set_buffer_limit(
    options: *mut iscp_downstream_options_t,
    buffer_limit: usize,
    out_error: *mut *mut iscp_error_t,
) -> iscp_status_t {
    // SAFETY: the caller passes options of this library.
    ffi!(out_error => { unsafe { set_typed(options, OPTIONS, "buffer_limit", buffer_limit) } })
}

/// Sets what happens when chunks arrive faster than the application takes them: `pause`, chunks are acknowledged
/// when the application takes them, so that the server stops sending; `fail`, chunks are acknowledged when they
/// arrive, and the stream ends with `ISCP_ERR_OVERFLOW` when one does not fit; `drop_oldest` or `drop_newest`,
/// chunks that do not fit are dropped and counted; or `auto`, which is `pause` for RELIABLE streams and
/// `drop_oldest` for others. Default: `auto`.
///
/// A server that goes on sending beyond `buffer_limit` although nothing is acknowledged ends a stream that pauses
/// with `ISCP_ERR_OVERFLOW`. Opening a RELIABLE stream that drops, or another that pauses, fails with
/// `ISCP_ERR_INVALID_OPTION`. Other streams of the connection and its keep-alive go on in any case.
///
/// @param options       the options
/// @param buffer_policy the name of the policy
/// @param out_error     receives the detail of a failure, or NULL
/// @return `ISCP_OK`; `ISCP_ERR_INVALID_OPTION` for a value out of range; `ISCP_ERR_NULL_ARGUMENT`,
///         `ISCP_ERR_BAD_HANDLE`, `ISCP_ERR_INVALID_UTF8`
///
/// Thread: any, one at a time. Blocking: no. Lifetime: borrows the text for the call. Since: 0.1.0.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn iscp_downstream_options_set_buffer_policy(
    options: *mut iscp_downstream_options_t,
    buffer_policy: *const c_char,
    out_error: *mut *mut iscp_error_t,
) -> iscp_status_t {
    // SAFETY: the caller passes options of this library and a string.
    ffi!(out_error => { unsafe { set_text(options, OPTIONS, "buffer_policy", buffer_policy) } })
}
