//! Options of a connection: tokens besides the plain access token.

use std::ffi::{c_char, c_void};

use super::boundary::ffi;
use super::conn_option_table::OPTIONS;
use super::conn_options::iscp_conn_options_t;
use super::convert::{self, Callback, iscp_release_cb};
use super::error::iscp_error_t;
#[cfg(feature = "oauth2")]
use super::options::Refusal;
use super::options::{set_text, set_typed};
use super::status::iscp_status_t;
use super::token::{self, iscp_token_cb};
use crate::client::TokenSource;

/// Checks the address of a token endpoint, which may be empty.
#[cfg(feature = "oauth2")]
pub(super) fn token_url(value: &str) -> Result<String, Refusal> {
    if !value.is_empty() {
        crate::client::OAuth2::check_url(value)?;
    }
    super::options::bounded(value, 2048)
}

/// A source of tokens that asks the application.
///
/// # Safety
/// `callback.function` takes the `user_data` it comes with.
pub(super) unsafe fn asking(
    callback: std::sync::Arc<Callback<iscp_token_cb>>,
) -> Result<TokenSource, crate::error::Error> {
    let function = callback.function.ok_or_else(|| convert::null("callback"))?;
    Ok(TokenSource::Callback(std::sync::Arc::new(move |request| {
        // SAFETY: the application promised a function of this type.
        unsafe { function(token::new(request), callback.user_data.0) };
    })))
}

/// Sets how long a source of tokens may take: a callback, or an OAuth2 server. Default: 10000.
///
/// Connecting fails with `ISCP_ERR_TOKEN_FAILED` when it takes longer.
///
/// @param options          the options
/// @param token_timeout_ms milliseconds, 1 to 3600000
/// @param out_error        receives the detail of a failure, or NULL
/// @return `ISCP_OK`; `ISCP_ERR_INVALID_OPTION` for a value out of range; `ISCP_ERR_NULL_ARGUMENT`,
///         `ISCP_ERR_BAD_HANDLE`
///
/// Thread: any, one at a time. Blocking: no. Lifetime: plain values.
/// Since: 0.1.0.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn iscp_conn_options_set_token_timeout_ms(
    options: *mut iscp_conn_options_t,
    token_timeout_ms: u32,
    out_error: *mut *mut iscp_error_t,
) -> iscp_status_t {
    // SAFETY: the caller passes options of this library.
    ffi!(out_error => { unsafe { set_typed(options, OPTIONS, "token_timeout_ms", token_timeout_ms) } })
}

/// Sets the value of an HTTP header that WebSocket and WebTransport begin with. Default: none. Replaces a
/// header token callback.
///
/// For gateways in front of the server; the server itself looks at the access token. It is sent as it is:
/// write the scheme word, such as "Bearer", yourself. With QUIC, which has no headers, connecting fails with
/// `ISCP_ERR_INVALID_OPTION`.
///
/// @param options      the options
/// @param header_token the value, printable ASCII; "" for none
/// @param out_error    receives the detail of a failure, or NULL
/// @return `ISCP_OK`; `ISCP_ERR_INVALID_OPTION` for a value out of range; `ISCP_ERR_NULL_ARGUMENT`,
///         `ISCP_ERR_BAD_HANDLE`, `ISCP_ERR_INVALID_UTF8`
///
/// Thread: any, one at a time. Blocking: no. Lifetime: borrows the text for the call.
/// Since: 0.1.0.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn iscp_conn_options_set_header_token(
    options: *mut iscp_conn_options_t,
    header_token: *const c_char,
    out_error: *mut *mut iscp_error_t,
) -> iscp_status_t {
    // SAFETY: the caller passes options of this library and a string.
    ffi!(out_error => { unsafe { set_text(options, OPTIONS, "header_token", header_token) } })
}

/// Sets the name of the header that carries the header token. Default: authorization.
///
/// @param options           the options
/// @param header_token_name name of an HTTP header, in whatever case, that the handshake itself does not
///                          use
/// @param out_error         receives the detail of a failure, or NULL
/// @return `ISCP_OK`; `ISCP_ERR_INVALID_OPTION` for a value out of range; `ISCP_ERR_NULL_ARGUMENT`,
///         `ISCP_ERR_BAD_HANDLE`, `ISCP_ERR_INVALID_UTF8`
///
/// Thread: any, one at a time. Blocking: no. Lifetime: borrows the text for the call.
/// Since: 0.1.0.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn iscp_conn_options_set_header_token_name(
    options: *mut iscp_conn_options_t,
    header_token_name: *const c_char,
    out_error: *mut *mut iscp_error_t,
) -> iscp_status_t {
    // SAFETY: the caller passes options of this library and a string.
    ffi!(out_error => { unsafe { set_text(options, OPTIONS, "header_token_name", header_token_name) } })
}

/// Sets a callback that provides the header token, before every attempt to connect. Replaces a fixed
/// header token.
///
/// @param options   the options
/// @param callback  asked for a token on the connection's dispatcher thread, before the access token is
/// @param user_data handed to the callback
/// @param release   called with `user_data` when neither the options nor a connection need it, or NULL
/// @param out_error receives the detail of a failure, or NULL
/// @return `ISCP_OK`; `ISCP_ERR_NULL_ARGUMENT`, `ISCP_ERR_BAD_HANDLE`
///
/// Thread: any, one at a time. Blocking: no. Lifetime: `user_data` is needed until `release` is
/// called, also on failure. Since: 0.1.0.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn iscp_conn_options_set_header_token_callback(
    options: *mut iscp_conn_options_t,
    callback: iscp_token_cb,
    user_data: *mut c_void,
    release: iscp_release_cb,
    out_error: *mut *mut iscp_error_t,
) -> iscp_status_t {
    ffi!(out_error => {
        // SAFETY: the application promised a function for this data.
        let source = unsafe { asking(Callback::new(callback, user_data, release))? };
        // SAFETY: the caller passes options of this library.
        let options = unsafe { convert::object(options, "options")? };
        // The former one is released once the options are unlocked: it may use them.
        let former = std::mem::replace(&mut options.lock().header_token, source);
        drop(former);
        Ok(())
    })
}

/// Sets the token endpoint of an OAuth2 server that gives the access token. Default: none.
///
/// With endpoint, id and secret the library asks for a token by client credentials (RFC 6749 section 4.4)
/// before it connects. It uses the token again, also for other connections with the same options, until 60
/// seconds before it ends, or a quarter of its life if that is less; one that the server did not take is not
/// used again. The TLS options hold for the endpoint too, `tls_server_name` and
/// `tls_insecure_skip_verify` only if it is on the host of the server. Excludes a token and a token callback. intdash servers use the path `/api/auth/oauth2/token`.
///
/// @param options          the options
/// @param oauth2_token_url `https://host:port/path`, or `http://` where everybody on the way may read
///                         the secret; "" for none
/// @param out_error        receives the detail of a failure, or NULL
/// @return `ISCP_OK`; `ISCP_ERR_INVALID_OPTION` for something that is no such address;
///         `ISCP_ERR_UNSUPPORTED` when the build lacks the feature "oauth2"; `ISCP_ERR_NULL_ARGUMENT`,
///         `ISCP_ERR_BAD_HANDLE`, `ISCP_ERR_INVALID_UTF8`
///
/// Thread: any, one at a time. Blocking: no. Lifetime: borrows the text for the call.
/// Since: 0.1.0.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn iscp_conn_options_set_oauth2_token_url(
    options: *mut iscp_conn_options_t,
    oauth2_token_url: *const c_char,
    out_error: *mut *mut iscp_error_t,
) -> iscp_status_t {
    // SAFETY: the caller passes options of this library and a string.
    ffi!(out_error => { unsafe { set_text(options, OPTIONS, "oauth2_token_url", oauth2_token_url) } })
}

/// Sets the id of the client for the OAuth2 server. Default: none.
///
/// @param options          the options
/// @param oauth2_client_id the id
/// @param out_error        receives the detail of a failure, or NULL
/// @return `ISCP_OK`; `ISCP_ERR_INVALID_OPTION` for a value out of range; `ISCP_ERR_UNSUPPORTED` when the
///         build lacks the feature "oauth2"; `ISCP_ERR_NULL_ARGUMENT`, `ISCP_ERR_BAD_HANDLE`,
///         `ISCP_ERR_INVALID_UTF8`
///
/// Thread: any, one at a time. Blocking: no. Lifetime: borrows the text for the call.
/// Since: 0.1.0.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn iscp_conn_options_set_oauth2_client_id(
    options: *mut iscp_conn_options_t,
    oauth2_client_id: *const c_char,
    out_error: *mut *mut iscp_error_t,
) -> iscp_status_t {
    // SAFETY: the caller passes options of this library and a string.
    ffi!(out_error => { unsafe { set_text(options, OPTIONS, "oauth2_client_id", oauth2_client_id) } })
}

/// Sets the secret of the client for the OAuth2 server. Default: none.
///
/// It goes into the header `Authorization` of the request, is never logged and stands in no error message.
///
/// @param options              the options
/// @param oauth2_client_secret the secret
/// @param out_error            receives the detail of a failure, or NULL
/// @return `ISCP_OK`; `ISCP_ERR_INVALID_OPTION` for a value out of range; `ISCP_ERR_UNSUPPORTED` when the
///         build lacks the feature "oauth2"; `ISCP_ERR_NULL_ARGUMENT`, `ISCP_ERR_BAD_HANDLE`,
///         `ISCP_ERR_INVALID_UTF8`
///
/// Thread: any, one at a time. Blocking: no. Lifetime: borrows the text for the call.
/// Since: 0.1.0.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn iscp_conn_options_set_oauth2_client_secret(
    options: *mut iscp_conn_options_t,
    oauth2_client_secret: *const c_char,
    out_error: *mut *mut iscp_error_t,
) -> iscp_status_t {
    // SAFETY: the caller passes options of this library and a string.
    ffi!(out_error => { unsafe { set_text(options, OPTIONS, "oauth2_client_secret", oauth2_client_secret) } })
}

/// Sets the scopes to ask the OAuth2 server for. Default: none, the server chooses.
///
/// @param options      the options
/// @param oauth2_scope scopes separated by spaces
/// @param out_error    receives the detail of a failure, or NULL
/// @return `ISCP_OK`; `ISCP_ERR_INVALID_OPTION` for a value out of range; `ISCP_ERR_UNSUPPORTED` when the
///         build lacks the feature "oauth2"; `ISCP_ERR_NULL_ARGUMENT`, `ISCP_ERR_BAD_HANDLE`,
///         `ISCP_ERR_INVALID_UTF8`
///
/// Thread: any, one at a time. Blocking: no. Lifetime: borrows the text for the call.
/// Since: 0.1.0.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn iscp_conn_options_set_oauth2_scope(
    options: *mut iscp_conn_options_t,
    oauth2_scope: *const c_char,
    out_error: *mut *mut iscp_error_t,
) -> iscp_status_t {
    // SAFETY: the caller passes options of this library and a string.
    ffi!(out_error => { unsafe { set_text(options, OPTIONS, "oauth2_scope", oauth2_scope) } })
}
