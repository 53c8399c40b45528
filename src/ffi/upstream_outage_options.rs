//! Options of an upstream: acknowledgements that do not come, and the loss of the connection.

use super::boundary::ffi;
use super::error::iscp_error_t;
use super::options::set_typed;
use super::status::iscp_status_t;
use super::upstream_options::{OPTIONS, iscp_upstream_options_t};

/// Sets how long the acknowledgement of a chunk may take before its points count as undelivered. Default: 0, as
/// long as the connection lives.
///
/// The acknowledgement callback is then told `ACK_TIMEOUT` (70) for the chunk, a flush that waits for it fails,
/// and an acknowledgement that comes later changes nothing. While the connection is lost the time stands
/// still; a chunk that is sent again has all of it again.
///
/// @param options   the options
/// @param ack_timeout_ms milliseconds, at most 3600000; 0 for as long as the connection lives
/// @param out_error receives the detail of a failure, or NULL
/// @return `ISCP_OK`; `ISCP_ERR_INVALID_OPTION` for a value out of range; `ISCP_ERR_NULL_ARGUMENT`,
///         `ISCP_ERR_BAD_HANDLE`
///
/// Thread: any, one at a time. Blocking: no. Lifetime: plain values. Since: 0.1.0.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn iscp_upstream_options_set_ack_timeout_ms(
    options: *mut iscp_upstream_options_t,
    ack_timeout_ms: u32,
    out_error: *mut *mut iscp_error_t,
) -> iscp_status_t {
    // SAFETY: the caller passes options of this library.
    ffi!(out_error => { unsafe { set_typed(options, OPTIONS, "ack_timeout_ms", ack_timeout_ms) } })
}

/// Sets whether the stream is opened anew when the server has forgotten it: because it was restarted, or because
/// the connection was lost for longer than the expiry interval. Default: false, the stream then ends.
///
/// The new stream belongs to the same session and has another id. It goes on with what was not acknowledged
/// and what waits to be sent, elapsed times unchanged, in chunks numbered from 1. What the server had
/// received without saying so before it forgot is there twice. Base times are not sent again.
///
/// @param options   the options
/// @param reopen whether it is
/// @param out_error receives the detail of a failure, or NULL
/// @return `ISCP_OK`; `ISCP_ERR_INVALID_OPTION` for a value out of range; `ISCP_ERR_NULL_ARGUMENT`,
///         `ISCP_ERR_BAD_HANDLE`
///
/// Thread: any, one at a time. Blocking: no. Lifetime: plain values. Since: 0.1.0.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn iscp_upstream_options_set_reopen(
    options: *mut iscp_upstream_options_t,
    reopen: bool,
    out_error: *mut *mut iscp_error_t,
) -> iscp_status_t {
    // SAFETY: the caller passes options of this library.
    ffi!(out_error => { unsafe { set_typed(options, OPTIONS, "reopen", reopen) } })
}
