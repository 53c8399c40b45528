//! Options of a connection: TLS.
//!
//! Files are read, and what they hold is checked, when the option is set: the mistake is reported where it
//! was made, and a connection that comes back does not depend on the file.

use std::ffi::c_char;

use super::boundary::ffi;
use super::conn_option_table::OPTIONS;
use super::conn_options::iscp_conn_options_t;
use super::error::iscp_error_t;
#[cfg(feature = "tls")]
use super::options::Refusal;
use super::options::{set_text, set_typed};
use super::status::iscp_status_t;

/// The certificates in a PEM text, none in an empty one.
#[cfg(feature = "tls")]
pub(super) fn certificates(
    pem: &[u8],
) -> Result<Option<Vec<rustls_pki_types::CertificateDer<'static>>>, Refusal> {
    if pem.is_empty() {
        return Ok(None);
    }
    Ok(Some(crate::transport::tls::certificates(pem)?))
}

/// The key in a PEM text, none in an empty one.
#[cfg(feature = "tls")]
pub(super) fn key(
    pem: &[u8],
) -> Result<Option<std::sync::Arc<rustls_pki_types::PrivateKeyDer<'static>>>, Refusal> {
    if pem.is_empty() {
        return Ok(None);
    }
    Ok(Some(std::sync::Arc::new(crate::transport::tls::private_key(pem)?)))
}

/// Name in a certificate, none if empty.
#[cfg(feature = "tls")]
pub(super) fn server_name(value: &str) -> Result<Option<rustls_pki_types::ServerName<'static>>, Refusal> {
    if value.is_empty() {
        return Ok(None);
    }
    Ok(Some(crate::transport::tls::server_name_of(value).map_err(|why| format!("{value:?}: {why}"))?))
}

/// Sets a file of certificates to trust when the server shows its own. Default: none, the system's are.
///
/// They replace those that the system trusts, and those set before, by file or by text. The server's
/// certificate, or one of the chain it shows, must be issued by one of them, or be one of them.
///
/// @param options     the options
/// @param tls_ca_file path of a PEM file with one or more certificates; "" for those of the
///                    system
/// @param out_error   receives the detail of a failure, or NULL
/// @return `ISCP_OK`; `ISCP_ERR_INVALID_OPTION` for a file that cannot be read or holds no certificate;
///         `ISCP_ERR_UNSUPPORTED` when the build lacks the feature "tls"; `ISCP_ERR_NULL_ARGUMENT`,
///         `ISCP_ERR_BAD_HANDLE`, `ISCP_ERR_INVALID_UTF8`
///
/// Thread: any, one at a time. Blocking: reads a file. Lifetime: borrows the text for the call.
/// Since: 0.1.0.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn iscp_conn_options_set_tls_ca_file(
    options: *mut iscp_conn_options_t,
    tls_ca_file: *const c_char,
    out_error: *mut *mut iscp_error_t,
) -> iscp_status_t {
    // SAFETY: the caller passes options of this library and a string.
    ffi!(out_error => { unsafe { set_text(options, OPTIONS, "tls_ca_file", tls_ca_file) } })
}

/// Sets certificates to trust when the server shows its own, as text. Default: none, the system's are.
///
/// They replace those that the system trusts, and those set before, by file or by text. The server's
/// certificate, or one of the chain it shows, must be issued by one of them, or be one of them.
///
/// @param options    the options
/// @param tls_ca_pem PEM text with one or more certificates; "" for those of the system
/// @param out_error  receives the detail of a failure, or NULL
/// @return `ISCP_OK`; `ISCP_ERR_INVALID_OPTION` for a text that holds no certificate;
///         `ISCP_ERR_UNSUPPORTED` when the build lacks the feature "tls"; `ISCP_ERR_NULL_ARGUMENT`,
///         `ISCP_ERR_BAD_HANDLE`, `ISCP_ERR_INVALID_UTF8`
///
/// Thread: any, one at a time. Blocking: no. Lifetime: borrows the text for the call.
/// Since: 0.1.0.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn iscp_conn_options_set_tls_ca_pem(
    options: *mut iscp_conn_options_t,
    tls_ca_pem: *const c_char,
    out_error: *mut *mut iscp_error_t,
) -> iscp_status_t {
    // SAFETY: the caller passes options of this library and a string.
    ffi!(out_error => { unsafe { set_text(options, OPTIONS, "tls_ca_pem", tls_ca_pem) } })
}

/// Sets a file with the certificate to show a server that demands one. Default: none.
///
/// Its key is needed too. Without a certificate such a server refuses the connection with `ISCP_ERR_TLS`.
///
/// @param options              the options
/// @param tls_client_cert_file path of a PEM file: the certificate first, then those between it and one
///                             that the server knows; "" for none
/// @param out_error            receives the detail of a failure, or NULL
/// @return `ISCP_OK`; `ISCP_ERR_INVALID_OPTION` for a file that cannot be read or holds no certificate;
///         `ISCP_ERR_UNSUPPORTED` when the build lacks the feature "tls"; `ISCP_ERR_NULL_ARGUMENT`,
///         `ISCP_ERR_BAD_HANDLE`, `ISCP_ERR_INVALID_UTF8`
///
/// Thread: any, one at a time. Blocking: reads a file. Lifetime: borrows the text for the call.
/// Since: 0.1.0.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn iscp_conn_options_set_tls_client_cert_file(
    options: *mut iscp_conn_options_t,
    tls_client_cert_file: *const c_char,
    out_error: *mut *mut iscp_error_t,
) -> iscp_status_t {
    // SAFETY: the caller passes options of this library and a string.
    ffi!(out_error => { unsafe { set_text(options, OPTIONS, "tls_client_cert_file", tls_client_cert_file) } })
}

/// Sets the certificate to show a server that demands one, as text. Default: none.
///
/// As `iscp_conn_options_set_tls_client_cert_file`, whose value it replaces.
///
/// @param options             the options
/// @param tls_client_cert_pem PEM text, "" for none
/// @param out_error           receives the detail of a failure, or NULL
/// @return `ISCP_OK`; `ISCP_ERR_INVALID_OPTION` for a text that holds no certificate;
///         `ISCP_ERR_UNSUPPORTED` when the build lacks the feature "tls"; `ISCP_ERR_NULL_ARGUMENT`,
///         `ISCP_ERR_BAD_HANDLE`, `ISCP_ERR_INVALID_UTF8`
///
/// Thread: any, one at a time. Blocking: no. Lifetime: borrows the text for the call.
/// Since: 0.1.0.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn iscp_conn_options_set_tls_client_cert_pem(
    options: *mut iscp_conn_options_t,
    tls_client_cert_pem: *const c_char,
    out_error: *mut *mut iscp_error_t,
) -> iscp_status_t {
    // SAFETY: the caller passes options of this library and a string.
    ffi!(out_error => { unsafe { set_text(options, OPTIONS, "tls_client_cert_pem", tls_client_cert_pem) } })
}

/// Sets a file with the key of the client's certificate. Default: none.
///
/// Connecting fails with `ISCP_ERR_INVALID_OPTION` when it is not the key of the certificate. The key is
/// never logged.
///
/// @param options             the options
/// @param tls_client_key_file path of a PEM file with a private key, PKCS #8, PKCS #1 or SEC 1, without
///                            a password; "" for none
/// @param out_error           receives the detail of a failure, or NULL
/// @return `ISCP_OK`; `ISCP_ERR_INVALID_OPTION` for a file that cannot be read or holds no such key;
///         `ISCP_ERR_UNSUPPORTED` when the build lacks the feature "tls"; `ISCP_ERR_NULL_ARGUMENT`,
///         `ISCP_ERR_BAD_HANDLE`, `ISCP_ERR_INVALID_UTF8`
///
/// Thread: any, one at a time. Blocking: reads a file. Lifetime: borrows the text for the call.
/// Since: 0.1.0.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn iscp_conn_options_set_tls_client_key_file(
    options: *mut iscp_conn_options_t,
    tls_client_key_file: *const c_char,
    out_error: *mut *mut iscp_error_t,
) -> iscp_status_t {
    // SAFETY: the caller passes options of this library and a string.
    ffi!(out_error => { unsafe { set_text(options, OPTIONS, "tls_client_key_file", tls_client_key_file) } })
}

/// Sets the key of the client's certificate, as text. Default: none.
///
/// As `iscp_conn_options_set_tls_client_key_file`, whose value it replaces.
///
/// @param options            the options
/// @param tls_client_key_pem PEM text, "" for none
/// @param out_error          receives the detail of a failure, or NULL
/// @return `ISCP_OK`; `ISCP_ERR_INVALID_OPTION` for a text that holds no such key; `ISCP_ERR_UNSUPPORTED`
///         when the build lacks the feature "tls"; `ISCP_ERR_NULL_ARGUMENT`, `ISCP_ERR_BAD_HANDLE`,
///         `ISCP_ERR_INVALID_UTF8`
///
/// Thread: any, one at a time. Blocking: no. Lifetime: borrows the text for the call.
/// Since: 0.1.0.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn iscp_conn_options_set_tls_client_key_pem(
    options: *mut iscp_conn_options_t,
    tls_client_key_pem: *const c_char,
    out_error: *mut *mut iscp_error_t,
) -> iscp_status_t {
    // SAFETY: the caller passes options of this library and a string.
    ffi!(out_error => { unsafe { set_text(options, OPTIONS, "tls_client_key_pem", tls_client_key_pem) } })
}

/// Sets the name that the server's certificate must be for. Default: empty, the host of the address.
///
/// For servers that are reached by an address that their certificate does not name. It is also the name
/// that the server is told (SNI).
///
/// @param options         the options
/// @param tls_server_name a DNS name or IP address, "" for the host of the address
/// @param out_error       receives the detail of a failure, or NULL
/// @return `ISCP_OK`; `ISCP_ERR_INVALID_OPTION` for a value out of range; `ISCP_ERR_UNSUPPORTED` when the
///         build lacks the feature "tls"; `ISCP_ERR_NULL_ARGUMENT`, `ISCP_ERR_BAD_HANDLE`,
///         `ISCP_ERR_INVALID_UTF8`
///
/// Thread: any, one at a time. Blocking: no. Lifetime: borrows the text for the call.
/// Since: 0.1.0.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn iscp_conn_options_set_tls_server_name(
    options: *mut iscp_conn_options_t,
    tls_server_name: *const c_char,
    out_error: *mut *mut iscp_error_t,
) -> iscp_status_t {
    // SAFETY: the caller passes options of this library and a string.
    ffi!(out_error => { unsafe { set_text(options, OPTIONS, "tls_server_name", tls_server_name) } })
}

/// Sets whether to take any certificate of the server: whoever answers is believed. Default: false.
///
/// For tests only. Every connect logs a warning. An OAuth2 server on another host than that of the address is
/// verified nevertheless: it gets the client's secret.
///
/// @param options                  the options
/// @param tls_insecure_skip_verify true to take any certificate
/// @param out_error                receives the detail of a failure, or NULL
/// @return `ISCP_OK`; `ISCP_ERR_UNSUPPORTED` when the build lacks the feature "tls";
///         `ISCP_ERR_NULL_ARGUMENT`, `ISCP_ERR_BAD_HANDLE`
///
/// Thread: any, one at a time. Blocking: no. Lifetime: plain values.
/// Since: 0.1.0.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn iscp_conn_options_set_tls_insecure_skip_verify(
    options: *mut iscp_conn_options_t,
    tls_insecure_skip_verify: bool,
    out_error: *mut *mut iscp_error_t,
) -> iscp_status_t {
    // SAFETY: the caller passes options of this library.
    ffi!(out_error => { unsafe { set_typed(options, OPTIONS, "tls_insecure_skip_verify", tls_insecure_skip_verify) } })
}
