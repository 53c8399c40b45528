//! Options of an upstream about its buffer: when it is sent, how much fits, and what happens when it is full.

use std::ffi::c_char;

use super::boundary::ffi;
use super::error::iscp_error_t;
use super::options::{set_text, set_typed};
use super::status::iscp_status_t;
use super::upstream_options::{OPTIONS, iscp_upstream_options_t};

/// Sets when written points are sent: `none` (only by `iscp_upstream_flush`, by closing, and when the
/// buffer is full), `interval`, `size`, `interval_or_size`, or `immediate` (at every write). Default:
/// `interval_or_size`.
///
/// @param options      the options
/// @param flush_policy the name of the policy
/// @param out_error    receives the detail of a failure, or NULL
/// @return `ISCP_OK`; `ISCP_ERR_INVALID_OPTION` for a value out of range; `ISCP_ERR_NULL_ARGUMENT`,
///         `ISCP_ERR_BAD_HANDLE`, `ISCP_ERR_INVALID_UTF8`
///
/// Thread: any, one at a time. Blocking: no. Lifetime: borrows the text for the call. Since: 0.1.0.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn iscp_upstream_options_set_flush_policy(
    options: *mut iscp_upstream_options_t,
    flush_policy: *const c_char,
    out_error: *mut *mut iscp_error_t,
) -> iscp_status_t {
    // SAFETY: the caller passes options of this library and a string.
    ffi!(out_error => { unsafe { set_text(options, OPTIONS, "flush_policy", flush_policy) } })
}

/// Sets how long a point stays buffered, for the policies `interval` and `interval_or_size`. Default:
/// 100.
///
/// @param options           the options
/// @param flush_interval_ms milliseconds, 1 to 3600000
/// @param out_error         receives the detail of a failure, or NULL
/// @return `ISCP_OK`; `ISCP_ERR_INVALID_OPTION` for a value out of range; `ISCP_ERR_NULL_ARGUMENT`,
///         `ISCP_ERR_BAD_HANDLE`
///
/// Thread: any, one at a time. Blocking: no. Lifetime: plain values. Since: 0.1.0.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn iscp_upstream_options_set_flush_interval_ms(
    options: *mut iscp_upstream_options_t,
    flush_interval_ms: u32,
    out_error: *mut *mut iscp_error_t,
) -> iscp_status_t {
    // SAFETY: the caller passes options of this library.
    ffi!(out_error => { unsafe { set_typed(options, OPTIONS, "flush_interval_ms", flush_interval_ms) } })
}

/// Sets how many payload bytes are buffered before they are sent, for the policies `size` and
/// `interval_or_size`. Default: 10000.
///
/// @param options    the options
/// @param flush_size bytes, 1 to 1073741824
/// @param out_error  receives the detail of a failure, or NULL
/// @return `ISCP_OK`; `ISCP_ERR_INVALID_OPTION` for a value out of range; `ISCP_ERR_NULL_ARGUMENT`,
///         `ISCP_ERR_BAD_HANDLE`
///
/// Thread: any, one at a time. Blocking: no. Lifetime: plain values. Since: 0.1.0.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn iscp_upstream_options_set_flush_size(
    options: *mut iscp_upstream_options_t,
    flush_size: usize,
    out_error: *mut *mut iscp_error_t,
) -> iscp_status_t {
    // SAFETY: the caller passes options of this library.
    ffi!(out_error => { unsafe { set_typed(options, OPTIONS, "flush_size", flush_size) } })
}

/// Sets how many bytes of points may wait to be sent. Default: 8388608.
///
/// @param options      the options
/// @param buffer_limit bytes, 1024 to 1073741824
/// @param out_error    receives the detail of a failure, or NULL
/// @return `ISCP_OK`; `ISCP_ERR_INVALID_OPTION` for a value out of range; `ISCP_ERR_NULL_ARGUMENT`,
///         `ISCP_ERR_BAD_HANDLE`
///
/// Thread: any, one at a time. Blocking: no. Lifetime: plain values. Since: 0.1.0.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn iscp_upstream_options_set_buffer_limit(
    options: *mut iscp_upstream_options_t,
    buffer_limit: usize,
    out_error: *mut *mut iscp_error_t,
) -> iscp_status_t {
    // SAFETY: the caller passes options of this library.
    ffi!(out_error => { unsafe { set_typed(options, OPTIONS, "buffer_limit", buffer_limit) } })
}

/// Sets how many bytes of sent points may wait for their acknowledgement when the QoS is RELIABLE;
/// further points stay in the buffer. Default: 33554432.
///
/// They are kept to be sent again after a loss of the connection. Beside its points a chunk counts 160 bytes,
/// and 64 for each of its data ids.
///
/// @param options         the options
/// @param in_flight_limit bytes, 1024 to 1073741824
/// @param out_error       receives the detail of a failure, or NULL
/// @return `ISCP_OK`; `ISCP_ERR_INVALID_OPTION` for a value out of range; `ISCP_ERR_NULL_ARGUMENT`,
///         `ISCP_ERR_BAD_HANDLE`
///
/// Thread: any, one at a time. Blocking: no. Lifetime: plain values. Since: 0.1.0.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn iscp_upstream_options_set_in_flight_limit(
    options: *mut iscp_upstream_options_t,
    in_flight_limit: usize,
    out_error: *mut *mut iscp_error_t,
) -> iscp_status_t {
    // SAFETY: the caller passes options of this library.
    ffi!(out_error => { unsafe { set_typed(options, OPTIONS, "in_flight_limit", in_flight_limit) } })
}

/// Sets what a write does when the buffer is full: `block` waits for space, at most the write time-out,
/// and inside a callback answers `ISCP_ERR_WOULD_BLOCK` at once; `would_block` always does that; `drop_oldest`
/// drops the oldest points that wait, and `drop_newest` the one that is written, and both succeed. Default:
/// `block`.
///
/// Points of a RELIABLE upstream are never dropped: opening one with a policy that does is refused.
/// `drop_oldest` drops the points that would have been the next chunk, at most a sixteenth of the buffer
/// at a time unless a single point or those of `iscp_upstream_write_together` take more.
/// `ISCP_UPSTREAM_STAT_DROPPED_POINTS` counts what was dropped; a flush does not wait for it.
///
/// @param options       the options
/// @param buffer_policy the name of the policy
/// @param out_error     receives the detail of a failure, or NULL
/// @return `ISCP_OK`; `ISCP_ERR_INVALID_OPTION` for a value out of range; `ISCP_ERR_NULL_ARGUMENT`,
///         `ISCP_ERR_BAD_HANDLE`, `ISCP_ERR_INVALID_UTF8`
///
/// Thread: any, one at a time. Blocking: no. Lifetime: borrows the text for the call. Since: 0.1.0.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn iscp_upstream_options_set_buffer_policy(
    options: *mut iscp_upstream_options_t,
    buffer_policy: *const c_char,
    out_error: *mut *mut iscp_error_t,
) -> iscp_status_t {
    // SAFETY: the caller passes options of this library and a string.
    ffi!(out_error => { unsafe { set_text(options, OPTIONS, "buffer_policy", buffer_policy) } })
}

/// Sets whether the points of each data id are sorted by their elapsed times within a chunk. Those of one time
/// stay in the order in which they were written. Default: false.
///
/// Points in different chunks are not sorted. A chunk of an earlier process that a spool sends again is not, either.
///
/// @param options       the options
/// @param points_sorted whether they are
/// @param out_error     receives the detail of a failure, or NULL
/// @return `ISCP_OK`; `ISCP_ERR_INVALID_OPTION` for a value out of range; `ISCP_ERR_NULL_ARGUMENT`,
///         `ISCP_ERR_BAD_HANDLE`
///
/// Thread: any, one at a time. Blocking: no. Lifetime: plain values. Since: 0.1.0.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn iscp_upstream_options_set_points_sorted(
    options: *mut iscp_upstream_options_t,
    points_sorted: bool,
    out_error: *mut *mut iscp_error_t,
) -> iscp_status_t {
    // SAFETY: the caller passes options of this library.
    ffi!(out_error => { unsafe { set_typed(options, OPTIONS, "points_sorted", points_sorted) } })
}

/// Sets how long a write waits for space in the buffer. Default: 10000.
///
/// @param options          the options
/// @param write_timeout_ms milliseconds, 1 to 3600000
/// @param out_error        receives the detail of a failure, or NULL
/// @return `ISCP_OK`; `ISCP_ERR_INVALID_OPTION` for a value out of range; `ISCP_ERR_NULL_ARGUMENT`,
///         `ISCP_ERR_BAD_HANDLE`
///
/// Thread: any, one at a time. Blocking: no. Lifetime: plain values. Since: 0.1.0.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn iscp_upstream_options_set_write_timeout_ms(
    options: *mut iscp_upstream_options_t,
    write_timeout_ms: u32,
    out_error: *mut *mut iscp_error_t,
) -> iscp_status_t {
    // SAFETY: the caller passes options of this library.
    ffi!(out_error => { unsafe { set_typed(options, OPTIONS, "write_timeout_ms", write_timeout_ms) } })
}
