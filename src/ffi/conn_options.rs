//! Options of a connection.

use std::ffi::{c_char, c_void};
use std::sync::Arc;

use super::boundary::ffi;
use super::conn_credential_options as credentials;
use super::conn_option_table::OPTIONS;
use super::convert::{self, Callback, iscp_release_cb};
use super::error::{self, iscp_error_t};
use super::handle::{self, handle};
use super::options::{Collected, set_by_key, set_text};
use super::status::iscp_status_t;
use super::token::iscp_token_cb;
use super::{fork, iscp_closed_cb};
use crate::client::ConnectOptions;
use crate::error::Error;

/// Settings of a connection, collected before `iscp_connect`, which copies them.
#[allow(non_camel_case_types)]
pub struct iscp_conn_options_t {
    _opaque: [u8; 0],
}

handle!(iscp_conn_options_t, b"iscp.cop", "connection options object", Collected<ConnectOptions>);

type ClosedHandler = Arc<dyn Fn(Option<Error>) + Send + Sync>;

/// Makes connection options with every option at its default.
///
/// @return new options, to be freed with `iscp_conn_options_free`; never NULL
///
/// Thread: any. Blocking: no. Lifetime: owned by the caller. Since: 0.1.0.
#[unsafe(no_mangle)]
pub extern "C" fn iscp_conn_options_new() -> *mut iscp_conn_options_t {
    ffi!(std::ptr::null_mut(); {
        fork::watch();
        Ok(handle::new(Collected::new(ConnectOptions::default())))
    })
}

/// Frees options. What was opened with them is not affected. Nothing happens for NULL.
///
/// @param options the options, or NULL
///
/// Thread: any, one at a time. Blocking: no. Lifetime: the options end here. Since: 0.1.0.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn iscp_conn_options_free(options: *mut iscp_conn_options_t) {
    // SAFETY: the caller passes options of this library.
    ffi!((); { unsafe { handle::free(options) }; Ok(()) });
}

/// Sets an option by its name, as the typed setters do: for configuration files and bindings.
///
/// The name is that of the typed setter after `set_`; numbers are decimal, booleans `true` or `false`.
///
/// @param options   the options
/// @param key       name of the option, such as "url"
/// @param value     its value as text
/// @param out_error receives the detail of a failure, or NULL
/// @return `ISCP_OK`; `ISCP_ERR_UNKNOWN_OPTION` when there is no such option; `ISCP_ERR_INVALID_OPTION`
///         for a value it does not take; `ISCP_ERR_NULL_ARGUMENT`, `ISCP_ERR_BAD_HANDLE`,
///         `ISCP_ERR_INVALID_UTF8`
///
/// Thread: any, one at a time. Blocking: no. Lifetime: borrows the texts for the call. Since: 0.1.0.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn iscp_conn_options_set(
    options: *mut iscp_conn_options_t,
    key: *const c_char,
    value: *const c_char,
    out_error: *mut *mut iscp_error_t,
) -> iscp_status_t {
    // SAFETY: the caller passes options of this library and strings.
    ffi!(out_error => { unsafe { set_by_key(options, OPTIONS, key, value) } })
}

/// Sets the address of the server. There is no default: connecting without one fails.
///
/// @param options   the options
/// @param url       the address, `ws://host:port/path`, or with `wss`, `quic` (without path) or
///                  `webtransport`; intdash servers use the path `/api/iscp/connect`, which is also
///                  meant by an address without one
/// @param out_error receives the detail of a failure, or NULL
/// @return `ISCP_OK`; `ISCP_ERR_INVALID_OPTION` for something that is no such address;
///         `ISCP_ERR_UNSUPPORTED` for one whose transport this build lacks; `ISCP_ERR_NULL_ARGUMENT`,
///         `ISCP_ERR_BAD_HANDLE`, `ISCP_ERR_INVALID_UTF8`
///
/// Thread: any, one at a time. Blocking: no. Lifetime: borrows the text for the call. Since: 0.1.0.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn iscp_conn_options_set_url(
    options: *mut iscp_conn_options_t,
    url: *const c_char,
    out_error: *mut *mut iscp_error_t,
) -> iscp_status_t {
    // SAFETY: the caller passes options of this library and a string.
    ffi!(out_error => { unsafe { set_text(options, OPTIONS, "url", url) } })
}

/// Sets the id of this node, under which others receive its data. Default: empty, the server then
/// chooses one.
///
/// @param options   the options
/// @param node_id   the id, usually a UUID as text
/// @param out_error receives the detail of a failure, or NULL
/// @return `ISCP_OK`; `ISCP_ERR_INVALID_OPTION` for a value out of range; `ISCP_ERR_NULL_ARGUMENT`,
///         `ISCP_ERR_BAD_HANDLE`, `ISCP_ERR_INVALID_UTF8`
///
/// Thread: any, one at a time. Blocking: no. Lifetime: borrows the text for the call. Since: 0.1.0.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn iscp_conn_options_set_node_id(
    options: *mut iscp_conn_options_t,
    node_id: *const c_char,
    out_error: *mut *mut iscp_error_t,
) -> iscp_status_t {
    // SAFETY: the caller passes options of this library and a string.
    ffi!(out_error => { unsafe { set_text(options, OPTIONS, "node_id", node_id) } })
}

/// Sets the intdash project the connection belongs to. Default: none.
///
/// @param options      the options
/// @param project_uuid the UUID as text, or "" for none
/// @param out_error    receives the detail of a failure, or NULL
/// @return `ISCP_OK`; `ISCP_ERR_INVALID_OPTION` for a value out of range; `ISCP_ERR_NULL_ARGUMENT`,
///         `ISCP_ERR_BAD_HANDLE`, `ISCP_ERR_INVALID_UTF8`
///
/// Thread: any, one at a time. Blocking: no. Lifetime: borrows the text for the call. Since: 0.1.0.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn iscp_conn_options_set_project_uuid(
    options: *mut iscp_conn_options_t,
    project_uuid: *const c_char,
    out_error: *mut *mut iscp_error_t,
) -> iscp_status_t {
    // SAFETY: the caller passes options of this library and a string.
    ffi!(out_error => { unsafe { set_text(options, OPTIONS, "project_uuid", project_uuid) } })
}

/// Sets an access token that never changes. Default: none. Replaces a token callback.
///
/// @param options   the options
/// @param token     the token, without a scheme word such as "Bearer"; "" for none
/// @param out_error receives the detail of a failure, or NULL
/// @return `ISCP_OK`; `ISCP_ERR_INVALID_OPTION` for a value out of range; `ISCP_ERR_NULL_ARGUMENT`,
///         `ISCP_ERR_BAD_HANDLE`, `ISCP_ERR_INVALID_UTF8`
///
/// Thread: any, one at a time. Blocking: no. Lifetime: borrows the text for the call. Since: 0.1.0.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn iscp_conn_options_set_token(
    options: *mut iscp_conn_options_t,
    token: *const c_char,
    out_error: *mut *mut iscp_error_t,
) -> iscp_status_t {
    // SAFETY: the caller passes options of this library and a string.
    ffi!(out_error => { unsafe { set_text(options, OPTIONS, "token", token) } })
}

/// Sets the encoding of the messages, in both directions. Default: protobuf.
///
/// JSON takes several times the time and bytes; it is there for servers and captures that want text.
///
/// @param options   the options
/// @param encoding  "protobuf" or "json"
/// @param out_error receives the detail of a failure, or NULL
/// @return `ISCP_OK`; `ISCP_ERR_INVALID_OPTION` for something else; `ISCP_ERR_UNSUPPORTED` when the build
///         lacks the feature "json"; `ISCP_ERR_NULL_ARGUMENT`, `ISCP_ERR_BAD_HANDLE`,
///         `ISCP_ERR_INVALID_UTF8`
///
/// Thread: any, one at a time. Blocking: no. Lifetime: borrows the text for the call. Since: 0.1.0.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn iscp_conn_options_set_encoding(
    options: *mut iscp_conn_options_t,
    encoding: *const c_char,
    out_error: *mut *mut iscp_error_t,
) -> iscp_status_t {
    // SAFETY: the caller passes options of this library and a string.
    ffi!(out_error => { unsafe { set_text(options, OPTIONS, "encoding", encoding) } })
}

/// Sets the compression of the messages, in both directions. Default: off.
///
/// With `per-message` each message is compressed on its own; with `context-takeover` what was sent before
/// is the dictionary of the next message, which pays for many small messages that resemble each other.
/// A higher LEVEL takes more time and gives less bytes, 6 unless it is given; WINDOW_BITS is the
/// dictionary's size as an exponent of two, 15 unless it is given. QUIC and WebTransport compress each
/// message on its own in either mode.
///
/// @param options     the options
/// @param compression "none", "per-message", "per-message:LEVEL", "context-takeover",
///                    "context-takeover:LEVEL" or "context-takeover:LEVEL:WINDOW_BITS"
/// @param out_error   receives the detail of a failure, or NULL
/// @return `ISCP_OK`; `ISCP_ERR_INVALID_OPTION` for something else; `ISCP_ERR_UNSUPPORTED` when the build
///         lacks the feature "compression"; `ISCP_ERR_NULL_ARGUMENT`, `ISCP_ERR_BAD_HANDLE`,
///         `ISCP_ERR_INVALID_UTF8`
///
/// Thread: any, one at a time. Blocking: no. Lifetime: borrows the text for the call. Since: 0.1.0.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn iscp_conn_options_set_compression(
    options: *mut iscp_conn_options_t,
    compression: *const c_char,
    out_error: *mut *mut iscp_error_t,
) -> iscp_status_t {
    // SAFETY: the caller passes options of this library and a string.
    ffi!(out_error => { unsafe { set_text(options, OPTIONS, "compression", compression) } })
}

/// Sets a callback that provides the access token, before every attempt to connect. Replaces a fixed
/// token.
///
/// @param options   the options
/// @param callback  asked for a token on the connection's dispatcher thread
/// @param user_data handed to the callback
/// @param release   called with `user_data` when neither the options nor a connection need it, or NULL
/// @param out_error receives the detail of a failure, or NULL
/// @return `ISCP_OK`; `ISCP_ERR_NULL_ARGUMENT`, `ISCP_ERR_BAD_HANDLE`
///
/// Thread: any, one at a time. Blocking: no. Lifetime: `user_data` is needed until `release` is
/// called, also on failure. Since: 0.1.0.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn iscp_conn_options_set_token_callback(
    options: *mut iscp_conn_options_t,
    callback: iscp_token_cb,
    user_data: *mut c_void,
    release: iscp_release_cb,
    out_error: *mut *mut iscp_error_t,
) -> iscp_status_t {
    ffi!(out_error => {
        // SAFETY: the application promised a function for this data.
        let source = unsafe { credentials::asking(Callback::new(callback, user_data, release))? };
        // SAFETY: the caller passes options of this library.
        let options = unsafe { convert::object(options, "options")? };
        // The former one is released once the options are unlocked: it may use them.
        let former = std::mem::replace(&mut options.lock().token, source);
        drop(former);
        Ok(())
    })
}

/// Sets a callback that is told when the connection ended.
///
/// @param options   the options
/// @param callback  told once per connection, after every other callback of it: the error is NULL when
///                  the application closed the connection
/// @param user_data handed to the callback
/// @param release   called with `user_data` when neither the options nor a connection need it, or NULL
/// @param out_error receives the detail of a failure, or NULL
/// @return `ISCP_OK`; `ISCP_ERR_NULL_ARGUMENT`, `ISCP_ERR_BAD_HANDLE`
///
/// Thread: any, one at a time. Blocking: no. Lifetime: `user_data` is needed until `release` is
/// called, also on failure. Since: 0.1.0.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn iscp_conn_options_set_closed_callback(
    options: *mut iscp_conn_options_t,
    callback: iscp_closed_cb,
    user_data: *mut c_void,
    release: iscp_release_cb,
    out_error: *mut *mut iscp_error_t,
) -> iscp_status_t {
    ffi!(out_error => {
        let callback = Callback::new(callback, user_data, release);
        let function = callback.function.ok_or_else(|| convert::null("callback"))?;
        // SAFETY: the caller passes options of this library.
        let options = unsafe { convert::object(options, "options")? };
        let handler: ClosedHandler = Arc::new(move |ended: Option<Error>| {
            // SAFETY: the application promised a function of this type.
            error::with_borrowed(ended, |error| unsafe { function(error, callback.user_data.0) });
        });
        // The former one is released once the options are unlocked: it may use them.
        let former = options.lock().on_closed.replace(handler);
        drop(former);
        Ok(())
    })
}
