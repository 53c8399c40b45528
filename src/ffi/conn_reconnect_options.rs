//! Options of a connection: what follows its loss.

use std::ffi::c_void;
use std::sync::Arc;

use super::boundary::ffi;
use super::conn_option_table::OPTIONS;
use super::conn_options::iscp_conn_options_t;
use super::convert::{self, Callback, iscp_release_cb};
use super::error::iscp_error_t;
use super::event::{self, iscp_event_cb};
use super::options::set_typed;
use super::status::iscp_status_t;
use crate::client::ConnectionHandler;

/// Sets whether a connection that is lost is made anew, with its streams. Default: true.
///
/// Without it the loss of the connection is its end. The first attempt to connect is never repeated by the
/// library: `iscp_connect` reports how it failed.
///
/// @param options   the options
/// @param reconnect whether it is
/// @param out_error receives the detail of a failure, or NULL
/// @return `ISCP_OK`; `ISCP_ERR_INVALID_OPTION` for a value out of range; `ISCP_ERR_NULL_ARGUMENT`,
///         `ISCP_ERR_BAD_HANDLE`
///
/// Thread: any, one at a time. Blocking: no. Lifetime: plain values. Since: 0.1.0.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn iscp_conn_options_set_reconnect(
    options: *mut iscp_conn_options_t,
    reconnect: bool,
    out_error: *mut *mut iscp_error_t,
) -> iscp_status_t {
    // SAFETY: the caller passes options of this library.
    ffi!(out_error => { unsafe { set_typed(options, OPTIONS, "reconnect", reconnect) } })
}

/// Sets the shortest wait before an attempt to reconnect. Default: 100.
///
/// Each wait is drawn at random between this one and a limit that doubles with every attempt, up to
/// `reconnect_max_interval_ms`, so that many clients do not return all at once.
///
/// @param options   the options
/// @param reconnect_min_interval_ms milliseconds, 10 to 3600000
/// @param out_error receives the detail of a failure, or NULL
/// @return `ISCP_OK`; `ISCP_ERR_INVALID_OPTION` for a value out of range; `ISCP_ERR_NULL_ARGUMENT`,
///         `ISCP_ERR_BAD_HANDLE`
///
/// Thread: any, one at a time. Blocking: no. Lifetime: plain values. Since: 0.1.0.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn iscp_conn_options_set_reconnect_min_interval_ms(
    options: *mut iscp_conn_options_t,
    reconnect_min_interval_ms: u32,
    out_error: *mut *mut iscp_error_t,
) -> iscp_status_t {
    // SAFETY: the caller passes options of this library.
    ffi!(out_error => { unsafe { set_typed(options, OPTIONS, "reconnect_min_interval_ms", reconnect_min_interval_ms) } })
}

/// Sets the longest wait before an attempt to reconnect. Default: 5000.
///
/// @param options   the options
/// @param reconnect_max_interval_ms milliseconds, 10 to 3600000; not less than the shortest wait, which connecting checks
/// @param out_error receives the detail of a failure, or NULL
/// @return `ISCP_OK`; `ISCP_ERR_INVALID_OPTION` for a value out of range; `ISCP_ERR_NULL_ARGUMENT`,
///         `ISCP_ERR_BAD_HANDLE`
///
/// Thread: any, one at a time. Blocking: no. Lifetime: plain values. Since: 0.1.0.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn iscp_conn_options_set_reconnect_max_interval_ms(
    options: *mut iscp_conn_options_t,
    reconnect_max_interval_ms: u32,
    out_error: *mut *mut iscp_error_t,
) -> iscp_status_t {
    // SAFETY: the caller passes options of this library.
    ffi!(out_error => { unsafe { set_typed(options, OPTIONS, "reconnect_max_interval_ms", reconnect_max_interval_ms) } })
}

/// Sets how many attempts in one outage may fail before the connection ends. Default: 0, no limit.
///
/// Whatever this says, the connection ends when the server refuses the protocol version or a setting, and
/// when it refuses the credentials, asked for anew each time, three times in a row.
///
/// @param options   the options
/// @param reconnect_attempts attempts, or 0 for no limit
/// @param out_error receives the detail of a failure, or NULL
/// @return `ISCP_OK`; `ISCP_ERR_INVALID_OPTION` for a value out of range; `ISCP_ERR_NULL_ARGUMENT`,
///         `ISCP_ERR_BAD_HANDLE`
///
/// Thread: any, one at a time. Blocking: no. Lifetime: plain values. Since: 0.1.0.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn iscp_conn_options_set_reconnect_attempts(
    options: *mut iscp_conn_options_t,
    reconnect_attempts: u32,
    out_error: *mut *mut iscp_error_t,
) -> iscp_status_t {
    // SAFETY: the caller passes options of this library.
    ffi!(out_error => { unsafe { set_typed(options, OPTIONS, "reconnect_attempts", reconnect_attempts) } })
}

/// Sets how long an outage may take before the connection ends. Default: 0, no limit.
///
/// @param options   the options
/// @param reconnect_total_ms milliseconds, or 0 for no limit
/// @param out_error receives the detail of a failure, or NULL
/// @return `ISCP_OK`; `ISCP_ERR_INVALID_OPTION` for a value out of range; `ISCP_ERR_NULL_ARGUMENT`,
///         `ISCP_ERR_BAD_HANDLE`
///
/// Thread: any, one at a time. Blocking: no. Lifetime: plain values. Since: 0.1.0.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn iscp_conn_options_set_reconnect_total_ms(
    options: *mut iscp_conn_options_t,
    reconnect_total_ms: u32,
    out_error: *mut *mut iscp_error_t,
) -> iscp_status_t {
    // SAFETY: the caller passes options of this library.
    ffi!(out_error => { unsafe { set_typed(options, OPTIONS, "reconnect_total_ms", reconnect_total_ms) } })
}

/// Sets a callback that is told what happens to the connection and its streams: that it is made, lost, made
/// anew, and that it ended. Without it the events can be pulled, with `iscp_conn_next_event_wait`.
///
/// @param options   the options
/// @param callback  told of every event
/// @param user_data handed to the callback
/// @param release   called with `user_data` when neither the options nor a connection need it, or NULL
/// @param out_error receives the detail of a failure, or NULL
/// @return `ISCP_OK`; `ISCP_ERR_NULL_ARGUMENT`, `ISCP_ERR_BAD_HANDLE`
///
/// Thread: any, one at a time. Blocking: no. Lifetime: `user_data` is needed until `release` is
/// called, also on failure. Since: 0.1.0.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn iscp_conn_options_set_event_callback(
    options: *mut iscp_conn_options_t,
    callback: iscp_event_cb,
    user_data: *mut c_void,
    release: iscp_release_cb,
    out_error: *mut *mut iscp_error_t,
) -> iscp_status_t {
    ffi!(out_error => {
        let Some(function) = callback else {
            drop(Callback::new((), user_data, release));
            return Err(convert::null("callback"));
        };
        let callback = Callback::new(function as _, user_data, release);
        // SAFETY: the caller passes options of this library.
        let options = unsafe { convert::object(options, "options")? };
        let handler: ConnectionHandler = Arc::new(move |event| event::tell_connection(&callback, event));
        // The former one is released once the options are unlocked: it may use them.
        let former = options.lock().on_event.replace(handler);
        drop(former);
        Ok(())
    })
}
