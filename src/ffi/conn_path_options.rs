//! Options of a connection: several transports as one.

use std::ffi::c_char;

use super::boundary::ffi;
use super::conn_option_table::OPTIONS;
use super::conn_options::iscp_conn_options_t;
use super::convert;
use super::error::iscp_error_t;
#[cfg(not(feature = "multi"))]
use super::options::built_in;
use super::options::{Refusal, set_text, set_typed};
use super::status::iscp_status_t;
use crate::client::ConnectOptions;
#[cfg(feature = "multi")]
use crate::error::Error;
#[cfg(feature = "multi")]
use crate::transport::multi::dial::{MAX_PATHS, PathOptions};

#[cfg(feature = "multi")]
fn add_path(options: &mut ConnectOptions, path: Result<PathOptions, Error>) -> Result<(), Refusal> {
    let path = path.map_err(|error| Refusal { status: error.status(), why: error.message().to_owned() })?;
    let paths = &mut options.dial.multi.paths;
    if paths.len() == MAX_PATHS {
        return Err(format!("there are {MAX_PATHS} paths already").into());
    }
    paths.push(path);
    Ok(())
}

/// Adds a path as text.
pub(super) fn add_path_text(options: &mut ConnectOptions, text: &str) -> Result<(), Refusal> {
    #[cfg(feature = "multi")]
    return add_path(options, text.parse());
    #[cfg(not(feature = "multi"))]
    {
        let _ = (options, text);
        built_in("multi")
    }
}

/// The same of its parts.
fn add_path_parts(
    options: &mut ConnectOptions,
    url: &str,
    local_address: &str,
    interface: &str,
) -> Result<(), Refusal> {
    #[cfg(feature = "multi")]
    return add_path(options, PathOptions::new(url, local_address, interface));
    #[cfg(not(feature = "multi"))]
    {
        let _ = (options, url, local_address, interface);
        built_in("multi")
    }
}

/// Adds a path, up to 16. The connection then consists of transports by all its paths, which are dialled at the same
/// time and again whenever they are lost; it is there as long as one of them is. By key it is the option "path", whose
/// value has the words `url=`, `local_address=` and `interface=` with their values, those that are needed.
///
/// For a vehicle with two modems: `iscp_conn_options_add_path(options, "", "", "wwan0", &error)`, and the same with
/// "wwan1". The option "url" is needed also when every path has an address of its own; the options "local_address" and
/// "interface" are for connections without paths. Nothing is lost, and all stays in order, toward servers that number
/// messages as the broker of this library does; with others the connection is lost with the first of its paths, and
/// made anew as any other (docs/multi-transport.md).
///
/// @param options       the options
/// @param url           where this path connects to: as the option "url", "" for the address of the connection
/// @param local_address IP address of this machine to connect from, "" for any
/// @param interface     network interface that the path takes, "" for any
/// @param out_error     receives the detail of a failure, or NULL
/// @return `ISCP_OK`; `ISCP_ERR_INVALID_OPTION` for a value of another form or too many paths;
///         `ISCP_ERR_UNSUPPORTED` when the build lacks the feature "multi" or the transport of the address;
///         `ISCP_ERR_NULL_ARGUMENT`, `ISCP_ERR_BAD_HANDLE`, `ISCP_ERR_INVALID_UTF8`
///
/// Thread: any, one at a time. Blocking: no. Lifetime: borrows the texts for the call. Since: 0.1.0.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn iscp_conn_options_add_path(
    options: *mut iscp_conn_options_t,
    url: *const c_char,
    local_address: *const c_char,
    interface: *const c_char,
    out_error: *mut *mut iscp_error_t,
) -> iscp_status_t {
    ffi!(out_error => {
        // SAFETY: the caller passes options of this library and strings.
        let (options, url, local_address, interface) = unsafe {
            (
                convert::object(options, "options")?,
                convert::text(url, "url")?,
                convert::text(local_address, "local_address")?,
                convert::text(interface, "interface")?,
            )
        };
        add_path_parts(&mut options.lock(), url, local_address, interface)
            .map_err(|refusal| refusal.into_error("path"))?;
        Ok(())
    })
}

/// Sets how messages are spread over the paths of a connection. Default: `min-rtt`.
///
/// `round-robin` takes each path in its turn. `min-rtt` takes the one with the shortest round trip that has room.
/// `ecf`, earliest completion first, weighs in what is under way already, and waits for a faster path where a message
/// would come later by the one that has room; that suits paths of very different speed.
///
/// @param options         the options
/// @param multi_scheduler "round-robin", "min-rtt" or "ecf"
/// @param out_error       receives the detail of a failure, or NULL
/// @return `ISCP_OK`; `ISCP_ERR_INVALID_OPTION` for a value out of range; `ISCP_ERR_UNSUPPORTED` when the
///         build lacks the feature "multi"; `ISCP_ERR_NULL_ARGUMENT`, `ISCP_ERR_BAD_HANDLE`,
///         `ISCP_ERR_INVALID_UTF8`
///
/// Thread: any, one at a time. Blocking: no. Lifetime: borrows the text for the call. Since: 0.1.0.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn iscp_conn_options_set_multi_scheduler(
    options: *mut iscp_conn_options_t,
    multi_scheduler: *const c_char,
    out_error: *mut *mut iscp_error_t,
) -> iscp_status_t {
    // SAFETY: the caller passes options of this library and a string.
    ffi!(out_error => { unsafe { set_text(options, OPTIONS, "multi_scheduler", multi_scheduler) } })
}

/// Sets the pause before a path that was lost, or could not be connected, is dialled again. Default: 1000.
///
/// @param options                  the options
/// @param multi_redial_interval_ms milliseconds, 1 to 3600000
/// @param out_error                receives the detail of a failure, or NULL
/// @return `ISCP_OK`; `ISCP_ERR_INVALID_OPTION` for a value out of range; `ISCP_ERR_UNSUPPORTED` when the
///         build lacks the feature "multi"; `ISCP_ERR_NULL_ARGUMENT`, `ISCP_ERR_BAD_HANDLE`
///
/// Thread: any, one at a time. Blocking: no. Lifetime: plain values. Since: 0.1.0.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn iscp_conn_options_set_multi_redial_interval_ms(
    options: *mut iscp_conn_options_t,
    multi_redial_interval_ms: u32,
    out_error: *mut *mut iscp_error_t,
) -> iscp_status_t {
    // SAFETY: the caller passes options of this library.
    ffi!(out_error => { unsafe {
        set_typed(options, OPTIONS, "multi_redial_interval_ms", multi_redial_interval_ms)
    } })
}

/// Sets how often each path is asked whether it carries anything, which also measures its round trip.
/// Default: 1000.
///
/// A path that does not answer for a second, or for four of its round trips, carries nothing new, and what it had
/// under way goes by the others.
///
/// @param options                the options
/// @param multi_ping_interval_ms milliseconds, 10 to 3600000
/// @param out_error              receives the detail of a failure, or NULL
/// @return `ISCP_OK`; `ISCP_ERR_INVALID_OPTION` for a value out of range; `ISCP_ERR_UNSUPPORTED` when the
///         build lacks the feature "multi"; `ISCP_ERR_NULL_ARGUMENT`, `ISCP_ERR_BAD_HANDLE`
///
/// Thread: any, one at a time. Blocking: no. Lifetime: plain values. Since: 0.1.0.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn iscp_conn_options_set_multi_ping_interval_ms(
    options: *mut iscp_conn_options_t,
    multi_ping_interval_ms: u32,
    out_error: *mut *mut iscp_error_t,
) -> iscp_status_t {
    // SAFETY: the caller passes options of this library.
    ffi!(out_error => { unsafe {
        set_typed(options, OPTIONS, "multi_ping_interval_ms", multi_ping_interval_ms)
    } })
}

/// Sets how long a path may leave a question unanswered before it is closed and dialled again. Default: 10000.
///
/// @param options               the options
/// @param multi_path_timeout_ms milliseconds, 10 to 3600000
/// @param out_error             receives the detail of a failure, or NULL
/// @return `ISCP_OK`; `ISCP_ERR_INVALID_OPTION` for a value out of range; `ISCP_ERR_UNSUPPORTED` when the
///         build lacks the feature "multi"; `ISCP_ERR_NULL_ARGUMENT`, `ISCP_ERR_BAD_HANDLE`
///
/// Thread: any, one at a time. Blocking: no. Lifetime: plain values. Since: 0.1.0.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn iscp_conn_options_set_multi_path_timeout_ms(
    options: *mut iscp_conn_options_t,
    multi_path_timeout_ms: u32,
    out_error: *mut *mut iscp_error_t,
) -> iscp_status_t {
    // SAFETY: the caller passes options of this library.
    ffi!(out_error => { unsafe {
        set_typed(options, OPTIONS, "multi_path_timeout_ms", multi_path_timeout_ms)
    } })
}

/// Sets how long a connection lasts without any of its paths. Default: 10000.
///
/// The pings of the connection itself go by its paths, too: it ends earlier when they are lost for the interval and the
/// timeout of those.
///
/// @param options               the options
/// @param multi_lost_timeout_ms milliseconds, 1 to 3600000
/// @param out_error             receives the detail of a failure, or NULL
/// @return `ISCP_OK`; `ISCP_ERR_INVALID_OPTION` for a value out of range; `ISCP_ERR_UNSUPPORTED` when the
///         build lacks the feature "multi"; `ISCP_ERR_NULL_ARGUMENT`, `ISCP_ERR_BAD_HANDLE`
///
/// Thread: any, one at a time. Blocking: no. Lifetime: plain values. Since: 0.1.0.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn iscp_conn_options_set_multi_lost_timeout_ms(
    options: *mut iscp_conn_options_t,
    multi_lost_timeout_ms: u32,
    out_error: *mut *mut iscp_error_t,
) -> iscp_status_t {
    // SAFETY: the caller passes options of this library.
    ffi!(out_error => { unsafe {
        set_typed(options, OPTIONS, "multi_lost_timeout_ms", multi_lost_timeout_ms)
    } })
}
