//! Callbacks of a downstream.

use std::ffi::c_void;

use super::boundary::ffi;
use super::convert::iscp_release_cb;
use super::downstream_options::{DownstreamSettings, iscp_downstream_options_t};
use super::error::iscp_error_t;
use super::event::iscp_stream_event_cb;
use super::handler::set_handler;
use super::iscp_closed_cb;
use super::status::iscp_status_t;

/// Sets a callback that is told how the stream ended.
///
/// @param options   the options
/// @param callback  told once per stream, after every other callback of it: the error is NULL when the
///                  application closed the stream
/// @param user_data handed to the callback
/// @param release   called with `user_data` when neither the options nor a stream need it, or NULL
/// @param out_error receives the detail of a failure, or NULL
/// @return `ISCP_OK`; `ISCP_ERR_NULL_ARGUMENT`, `ISCP_ERR_BAD_HANDLE`
///
/// Thread: any, one at a time. Blocking: no. Lifetime: `user_data` is needed until `release` is
/// called, also on failure. Since: 0.1.0.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn iscp_downstream_options_set_closed_callback(
    options: *mut iscp_downstream_options_t,
    callback: iscp_closed_cb,
    user_data: *mut c_void,
    release: iscp_release_cb,
    out_error: *mut *mut iscp_error_t,
) -> iscp_status_t {
    ffi!(out_error => {
        let store = |options: &mut DownstreamSettings, callback| options.on_closed.replace(callback);
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
pub unsafe extern "C" fn iscp_downstream_options_set_event_callback(
    options: *mut iscp_downstream_options_t,
    callback: iscp_stream_event_cb,
    user_data: *mut c_void,
    release: iscp_release_cb,
    out_error: *mut *mut iscp_error_t,
) -> iscp_status_t {
    ffi!(out_error => {
        let store = |options: &mut DownstreamSettings, callback| options.on_event.replace(callback);
        // SAFETY: the caller passes options of this library.
        unsafe { set_handler(options, callback, user_data, release, store) }
    })
}
