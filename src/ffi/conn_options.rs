//! Options of a connection.

use std::ffi::c_char;
use std::ffi::c_void;
use std::sync::Arc;

use http::{HeaderName, HeaderValue};
use uuid::Uuid;

use super::boundary::ffi;
use super::conn_credential_options as credentials;
use super::conn_path_options::add_path_text;
#[cfg(feature = "tls")]
use super::conn_tls_options as tls;
use super::convert::{self, Callback, iscp_release_cb};
use super::error::{self, iscp_error_t};
use super::handle::{self, handle};
#[cfg(feature = "tls")]
use super::options::file;
use super::options::{
    Collected, Refusal, Settings, Spec, boolean, bounded, built_in, milliseconds, needs, number, set_by_key,
    set_text, set_typed, whole_seconds,
};
use super::status::iscp_status_t;
use super::token::iscp_token_cb;
use super::{fork, iscp_closed_cb};
use crate::client::{ConnectOptions, SpoolFull, TokenSource, check_header_token_name};
use crate::encoding::Encoding;
use crate::error::Error;
use crate::spool::SyncPolicy;
#[cfg(feature = "quic")]
use crate::transport::dial::Congestion;
#[cfg(feature = "multi")]
use crate::transport::multi::Scheduler;
use crate::transport::{Compression, Target};

/// Settings of a connection, collected before `iscp_connect`, which copies them.
#[allow(non_camel_case_types)]
pub struct iscp_conn_options_t {
    _opaque: [u8; 0],
}

handle!(iscp_conn_options_t, b"iscp.cop", "connection options object", Collected<ConnectOptions>);

type ClosedHandler = Arc<dyn Fn(Option<Error>) + Send + Sync>;

impl Settings for ConnectOptions {
    type Held = [TokenSource; 2];

    fn held(&self) -> [TokenSource; 2] {
        [self.token.clone(), self.header_token.clone()]
    }
}

/// Every option that has a value a text can hold.
pub(super) const OPTIONS: &[Spec<ConnectOptions>] = &[
    Spec {
        key: "url",
        range: "ws, wss, quic or webtransport://host:port/path",
        set: |options, value| {
            Target::parse(value)
                .map_err(|error| Refusal { status: error.status(), why: error.message().to_owned() })?;
            value.clone_into(&mut options.url);
            Ok(())
        },
    },
    Spec {
        key: "node_id",
        range: "text of at most 1024 bytes",
        set: |options, value| bounded(value, 1024).map(|value| options.config.node_id = value),
    },
    Spec {
        key: "project_uuid",
        range: "a UUID, or empty for none",
        set: |options, value| {
            options.config.project_uuid = match value {
                "" => None,
                text => Some(Uuid::try_parse(text).map_err(|error| format!("{text:?}: {error}"))?),
            };
            Ok(())
        },
    },
    Spec {
        key: "token",
        range: "text of at most 65536 bytes, empty for none",
        set: |options, value| {
            options.token = match bounded(value, 65_536)?.as_str() {
                "" => TokenSource::None,
                token => TokenSource::Static(token.to_owned()),
            };
            Ok(())
        },
    },
    Spec {
        key: "encoding",
        range: "protobuf or json",
        set: |options, value| {
            // The negotiation has a name of its own for the first.
            let name = match value {
                "protobuf" => "proto",
                "json" => "json",
                _ => return Err(format!("{value:?} is no encoding").into()),
            };
            let Some(encoding) = Encoding::from_name(name) else { return built_in(value) };
            options.dial.negotiation.encoding = encoding;
            Ok(())
        },
    },
    Spec {
        key: "compression",
        range: "none, per-message[:LEVEL] or context-takeover[:LEVEL[:WINDOW_BITS]]; LEVEL 1 to 9, \
                WINDOW_BITS 9 to 15",
        set: |options, value| {
            let compression: Compression = value.parse().map_err(Refusal::from)?;
            if compression != Compression::Off {
                built_in("compression")?;
            }
            options.dial.negotiation.compression = compression;
            Ok(())
        },
    },
    Spec {
        key: "ping_interval_ms",
        range: "a multiple of 1000, 1000 to 3600000",
        set: |options, value| {
            whole_seconds(value, 1000, 3_600_000).map(|value| options.config.ping_interval = value)
        },
    },
    Spec {
        key: "ping_timeout_ms",
        range: "a multiple of 1000, 1000 to 3600000",
        set: |options, value| {
            whole_seconds(value, 1000, 3_600_000).map(|value| options.config.ping_timeout = value)
        },
    },
    Spec {
        key: "token_timeout_ms",
        range: "1 to 3600000",
        set: |options, value| milliseconds(value, 1, 3_600_000).map(|value| options.token_timeout = value),
    },
    Spec {
        key: "connect_timeout_ms",
        range: "1 to 3600000",
        set: |options, value| milliseconds(value, 1, 3_600_000).map(|value| options.connect_timeout = value),
    },
    Spec {
        key: "response_timeout_ms",
        range: "1 to 3600000",
        set: |options, value| {
            milliseconds(value, 1, 3_600_000).map(|value| options.config.response_timeout = value)
        },
    },
    Spec {
        key: "close_timeout_ms",
        range: "1 to 3600000",
        set: |options, value| milliseconds(value, 1, 3_600_000).map(|value| options.close_timeout = value),
    },
    Spec {
        key: "reply_timeout_ms",
        range: "1 to 3600000",
        set: |options, value| {
            milliseconds(value, 1, 3_600_000).map(|value| options.calls.reply_timeout = value)
        },
    },
    Spec {
        key: "call_queue_limit",
        range: "1 to 1048576",
        set: |options, value| number(value, 1, 1 << 20).map(|value| options.calls.queue_limit = value),
    },
    Spec {
        key: "call_queue_bytes",
        range: "1024 to 1073741824",
        set: |options, value| number(value, 1024, 1 << 30).map(|value| options.calls.queue_bytes = value),
    },
    Spec {
        key: "call_send_limit",
        range: "1024 to 1073741824",
        set: |options, value| number(value, 1024, 1 << 30).map(|value| options.calls.send_limit = value),
    },
    Spec {
        key: "reconnect",
        range: "true or false",
        set: |options, value| boolean(value).map(|value| options.config.reconnect.enabled = value),
    },
    Spec {
        key: "reconnect_min_interval_ms",
        range: "10 to 3600000",
        set: |options, value| {
            milliseconds(value, 10, 3_600_000).map(|value| options.config.reconnect.min_interval = value)
        },
    },
    Spec {
        key: "reconnect_max_interval_ms",
        range: "10 to 3600000",
        set: |options, value| {
            milliseconds(value, 10, 3_600_000).map(|value| options.config.reconnect.max_interval = value)
        },
    },
    Spec {
        key: "reconnect_attempts",
        range: "0 to 4294967295",
        set: |options, value| {
            number(value, 0, u32::MAX).map(|value| options.config.reconnect.attempts = value)
        },
    },
    Spec {
        key: "reconnect_total_ms",
        range: "0 to 4294967295",
        set: |options, value| {
            let total = milliseconds(value, 0, u32::MAX)?;
            options.config.reconnect.total = (!total.is_zero()).then_some(total);
            Ok(())
        },
    },
    Spec {
        key: "spool_dir",
        range: "a directory, or empty for none",
        set: |options, value| {
            options.spool.dir = value.into();
            Ok(())
        },
    },
    Spec {
        key: "spool_limit_bytes",
        range: "65536 to 1099511627776",
        set: |options, value| number(value, 1 << 16, 1 << 40).map(|value| options.spool.limit = value),
    },
    Spec {
        key: "spool_sync",
        range: "process or disk",
        set: |options, value| {
            options.spool.sync = match value {
                "process" => SyncPolicy::Process,
                "disk" => SyncPolicy::Disk,
                other => return Err(format!("{other:?}: neither process nor disk").into()),
            };
            Ok(())
        },
    },
    Spec {
        key: "spool_full",
        range: "refuse or drop_oldest",
        set: |options, value| {
            options.spool.full = match value {
                "refuse" => SpoolFull::Refuse,
                "drop_oldest" => SpoolFull::DropOldest,
                other => return Err(format!("{other:?}: neither refuse nor drop_oldest").into()),
            };
            Ok(())
        },
    },
    Spec {
        key: "max_message_size",
        range: "1024 to 1073741824",
        set: |options, value| number(value, 1024, 1 << 30).map(|value| options.dial.max_message_size = value),
    },
    Spec {
        key: "quic_congestion",
        range: "cubic, new-reno or bbr",
        set: needs!("quic", |options: &mut ConnectOptions, value: &str| {
            options.dial.quic_congestion = Congestion::ALL
                .into_iter()
                .find(|congestion| congestion.name() == value)
                .ok_or_else(|| format!("{value:?} is no congestion control"))?;
            Ok(())
        }),
    },
    Spec {
        key: "quic_datagram_size",
        range: "0 or 64 to 65527",
        set: needs!("quic", |options: &mut ConnectOptions, value: &str| {
            let size = number(value, 0, 65_527)?;
            if (1..64).contains(&size) {
                return Err(format!("{size} bytes leave no room for data").into());
            }
            options.dial.quic_datagram_size = size;
            Ok(())
        }),
    },
    Spec {
        key: "tls_ca_file",
        range: "path of a PEM file with certificates, or empty",
        set: needs!("tls", |options: &mut ConnectOptions, value: &str| {
            options.dial.tls.ca = tls::certificates(&file(value)?).map_err(|why| why.of_file(value))?;
            Ok(())
        }),
    },
    Spec {
        key: "tls_ca_pem",
        range: "PEM text with certificates, or empty",
        set: needs!("tls", |options: &mut ConnectOptions, value: &str| {
            options.dial.tls.ca = tls::certificates(value.as_bytes())?;
            Ok(())
        }),
    },
    Spec {
        key: "tls_client_cert_file",
        range: "path of a PEM file with certificates, or empty",
        set: needs!("tls", |options: &mut ConnectOptions, value: &str| {
            options.dial.tls.chain = tls::certificates(&file(value)?).map_err(|why| why.of_file(value))?;
            Ok(())
        }),
    },
    Spec {
        key: "tls_client_cert_pem",
        range: "PEM text with certificates, or empty",
        set: needs!("tls", |options: &mut ConnectOptions, value: &str| {
            options.dial.tls.chain = tls::certificates(value.as_bytes())?;
            Ok(())
        }),
    },
    Spec {
        key: "tls_client_key_file",
        range: "path of a PEM file with a private key, or empty",
        set: needs!("tls", |options: &mut ConnectOptions, value: &str| {
            options.dial.tls.key = tls::key(&file(value)?).map_err(|why| why.of_file(value))?;
            Ok(())
        }),
    },
    Spec {
        key: "tls_client_key_pem",
        range: "PEM text with a private key, or empty",
        set: needs!("tls", |options: &mut ConnectOptions, value: &str| {
            options.dial.tls.key = tls::key(value.as_bytes())?;
            Ok(())
        }),
    },
    Spec {
        key: "tls_server_name",
        range: "a DNS name or an IP address, or empty",
        set: needs!("tls", |options: &mut ConnectOptions, value: &str| {
            options.dial.tls.server_name = tls::server_name(value)?;
            Ok(())
        }),
    },
    Spec {
        key: "tls_insecure_skip_verify",
        range: "true or false",
        set: needs!("tls", |options: &mut ConnectOptions, value: &str| {
            options.dial.tls.insecure = boolean(value)?;
            Ok(())
        }),
    },
    Spec {
        key: "proxy",
        range: "http://user:password@host:port, env, or empty",
        set: needs!("proxy", |options: &mut ConnectOptions, value: &str| {
            options.dial.proxy = match value {
                "" => None,
                url => Some(crate::transport::proxy::Proxy::parse(url)?),
            };
            Ok(())
        }),
    },
    Spec {
        key: "local_address",
        range: "an IPv4 or IPv6 address, or empty",
        set: |options, value| Ok(options.dial.socket.set_local_address(value)?),
    },
    Spec {
        key: "interface",
        range: "name of a network interface of at most 15 bytes, or empty",
        set: |options, value| Ok(options.dial.socket.set_interface(value)?),
    },
    Spec {
        key: "path",
        range: "words url=URL, local_address=ADDRESS, interface=NAME, added to the paths given before",
        set: add_path_text,
    },
    Spec {
        key: "multi_scheduler",
        range: "round-robin, min-rtt or ecf",
        set: needs!("multi", |options: &mut ConnectOptions, value: &str| {
            options.dial.multi.scheduler = Scheduler::ALL
                .into_iter()
                .find(|scheduler| scheduler.name() == value)
                .ok_or_else(|| format!("{value:?} is no scheduler"))?;
            Ok(())
        }),
    },
    Spec {
        key: "multi_redial_interval_ms",
        range: "1 to 3600000",
        set: needs!("multi", |options: &mut ConnectOptions, value: &str| {
            milliseconds(value, 1, 3_600_000).map(|value| options.dial.multi.redial_interval = value)
        }),
    },
    Spec {
        key: "multi_ping_interval_ms",
        range: "10 to 3600000",
        set: needs!("multi", |options: &mut ConnectOptions, value: &str| {
            milliseconds(value, 10, 3_600_000).map(|value| options.dial.multi.ping_interval = value)
        }),
    },
    Spec {
        key: "multi_path_timeout_ms",
        range: "10 to 3600000",
        set: needs!("multi", |options: &mut ConnectOptions, value: &str| {
            milliseconds(value, 10, 3_600_000).map(|value| options.dial.multi.silence_limit = value)
        }),
    },
    Spec {
        key: "multi_lost_timeout_ms",
        range: "1 to 3600000",
        set: needs!("multi", |options: &mut ConnectOptions, value: &str| {
            milliseconds(value, 1, 3_600_000).map(|value| options.dial.multi.grace = value)
        }),
    },
    Spec {
        key: "header_token",
        range: "printable ASCII of at most 65536 bytes, or empty",
        set: |options, value| {
            let token = bounded(value, 65_536)?;
            HeaderValue::from_str(&token)
                .map_err(|_| "it has characters that no HTTP header takes".to_owned())?;
            options.header_token =
                if token.is_empty() { TokenSource::None } else { TokenSource::Static(token) };
            Ok(())
        },
    },
    Spec {
        key: "header_token_name",
        range: "name of an HTTP header that the handshake itself does not use",
        set: |options, value| {
            // Not quoted: who confuses the two options gives the token here.
            let name: HeaderName =
                value.parse().map_err(|_| "it has characters that no name of a header has".to_owned())?;
            check_header_token_name(&name)?;
            options.header_token_name = name;
            Ok(())
        },
    },
    Spec {
        key: "oauth2_token_url",
        range: "https://host:port/path, or empty",
        set: needs!("oauth2", |options: &mut ConnectOptions, value: &str| {
            let url = credentials::token_url(value)?;
            options.oauth2.set(|settings| settings.token_url = url);
            Ok(())
        }),
    },
    Spec {
        key: "oauth2_client_id",
        range: "text of at most 1024 bytes",
        set: needs!("oauth2", |options: &mut ConnectOptions, value: &str| {
            let id = bounded(value, 1024)?;
            options.oauth2.set(|settings| settings.client_id = id);
            Ok(())
        }),
    },
    Spec {
        key: "oauth2_client_secret",
        range: "text of at most 1024 bytes",
        set: needs!("oauth2", |options: &mut ConnectOptions, value: &str| {
            let secret = bounded(value, 1024)?;
            options.oauth2.set(|settings| settings.client_secret = secret);
            Ok(())
        }),
    },
    Spec {
        key: "oauth2_scope",
        range: "text of at most 1024 bytes",
        set: needs!("oauth2", |options: &mut ConnectOptions, value: &str| {
            let scope = bounded(value, 1024)?;
            options.oauth2.set(|settings| settings.scope = scope);
            Ok(())
        }),
    },
];

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

/// Sets how often both sides ask whether the other is still there. Default: 10000.
///
/// @param options          the options
/// @param ping_interval_ms milliseconds, a multiple of 1000, 1000 to 3600000
/// @param out_error        receives the detail of a failure, or NULL
/// @return `ISCP_OK`; `ISCP_ERR_INVALID_OPTION` for a value out of range; `ISCP_ERR_NULL_ARGUMENT`,
///         `ISCP_ERR_BAD_HANDLE`
///
/// Thread: any, one at a time. Blocking: no. Lifetime: plain values. Since: 0.1.0.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn iscp_conn_options_set_ping_interval_ms(
    options: *mut iscp_conn_options_t,
    ping_interval_ms: u32,
    out_error: *mut *mut iscp_error_t,
) -> iscp_status_t {
    // SAFETY: the caller passes options of this library.
    ffi!(out_error => { unsafe { set_typed(options, OPTIONS, "ping_interval_ms", ping_interval_ms) } })
}

/// Sets how long both sides wait for the answer before they give the connection up. Default: 1000.
///
/// @param options         the options
/// @param ping_timeout_ms milliseconds, a multiple of 1000, 1000 to 3600000
/// @param out_error       receives the detail of a failure, or NULL
/// @return `ISCP_OK`; `ISCP_ERR_INVALID_OPTION` for a value out of range; `ISCP_ERR_NULL_ARGUMENT`,
///         `ISCP_ERR_BAD_HANDLE`
///
/// Thread: any, one at a time. Blocking: no. Lifetime: plain values. Since: 0.1.0.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn iscp_conn_options_set_ping_timeout_ms(
    options: *mut iscp_conn_options_t,
    ping_timeout_ms: u32,
    out_error: *mut *mut iscp_error_t,
) -> iscp_status_t {
    // SAFETY: the caller passes options of this library.
    ffi!(out_error => { unsafe { set_typed(options, OPTIONS, "ping_timeout_ms", ping_timeout_ms) } })
}

/// Sets how long the transport may take when connecting: the name service, the proxy, TLS and the
/// handshake together. Default: 10000.
///
/// @param options            the options
/// @param connect_timeout_ms milliseconds, 1 to 3600000
/// @param out_error          receives the detail of a failure, or NULL
/// @return `ISCP_OK`; `ISCP_ERR_INVALID_OPTION` for a value out of range; `ISCP_ERR_NULL_ARGUMENT`,
///         `ISCP_ERR_BAD_HANDLE`
///
/// Thread: any, one at a time. Blocking: no. Lifetime: plain values. Since: 0.1.0.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn iscp_conn_options_set_connect_timeout_ms(
    options: *mut iscp_conn_options_t,
    connect_timeout_ms: u32,
    out_error: *mut *mut iscp_error_t,
) -> iscp_status_t {
    // SAFETY: the caller passes options of this library.
    ffi!(out_error => { unsafe { set_typed(options, OPTIONS, "connect_timeout_ms", connect_timeout_ms) } })
}

/// Sets how long the server may take to answer a request. Default: 10000.
///
/// @param options             the options
/// @param response_timeout_ms milliseconds, 1 to 3600000
/// @param out_error           receives the detail of a failure, or NULL
/// @return `ISCP_OK`; `ISCP_ERR_INVALID_OPTION` for a value out of range; `ISCP_ERR_NULL_ARGUMENT`,
///         `ISCP_ERR_BAD_HANDLE`
///
/// Thread: any, one at a time. Blocking: no. Lifetime: plain values. Since: 0.1.0.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn iscp_conn_options_set_response_timeout_ms(
    options: *mut iscp_conn_options_t,
    response_timeout_ms: u32,
    out_error: *mut *mut iscp_error_t,
) -> iscp_status_t {
    // SAFETY: the caller passes options of this library.
    ffi!(out_error => { unsafe { set_typed(options, OPTIONS, "response_timeout_ms", response_timeout_ms) } })
}

/// Sets how long closing the connection may take, its streams included. Default: 10000.
///
/// The goodbye of the transport comes afterwards and takes 2 seconds at most, if the server does not answer
/// it.
///
/// @param options          the options
/// @param close_timeout_ms milliseconds, 1 to 3600000
/// @param out_error        receives the detail of a failure, or NULL
/// @return `ISCP_OK`; `ISCP_ERR_INVALID_OPTION` for a value out of range; `ISCP_ERR_NULL_ARGUMENT`,
///         `ISCP_ERR_BAD_HANDLE`
///
/// Thread: any, one at a time. Blocking: no. Lifetime: plain values. Since: 0.1.0.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn iscp_conn_options_set_close_timeout_ms(
    options: *mut iscp_conn_options_t,
    close_timeout_ms: u32,
    out_error: *mut *mut iscp_error_t,
) -> iscp_status_t {
    // SAFETY: the caller passes options of this library.
    ffi!(out_error => { unsafe { set_typed(options, OPTIONS, "close_timeout_ms", close_timeout_ms) } })
}

/// Sets the largest message accepted from the server. Default: 67108864.
///
/// @param options          the options
/// @param max_message_size bytes, 1024 to 1073741824
/// @param out_error        receives the detail of a failure, or NULL
/// @return `ISCP_OK`; `ISCP_ERR_INVALID_OPTION` for a value out of range; `ISCP_ERR_NULL_ARGUMENT`,
///         `ISCP_ERR_BAD_HANDLE`
///
/// Thread: any, one at a time. Blocking: no. Lifetime: plain values. Since: 0.1.0.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn iscp_conn_options_set_max_message_size(
    options: *mut iscp_conn_options_t,
    max_message_size: usize,
    out_error: *mut *mut iscp_error_t,
) -> iscp_status_t {
    // SAFETY: the caller passes options of this library.
    ffi!(out_error => { unsafe { set_typed(options, OPTIONS, "max_message_size", max_message_size) } })
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

/// Sets how long a call waits for its reply unless it says otherwise. Default: 60000.
///
/// @param options          the options
/// @param reply_timeout_ms milliseconds, 1 to 3600000
/// @param out_error        receives the detail of a failure, or NULL
/// @return `ISCP_OK`; `ISCP_ERR_INVALID_OPTION` for a value out of range; `ISCP_ERR_NULL_ARGUMENT`,
///         `ISCP_ERR_BAD_HANDLE`
///
/// Thread: any, one at a time. Blocking: no. Lifetime: plain values. Since: 0.1.0.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn iscp_conn_options_set_reply_timeout_ms(
    options: *mut iscp_conn_options_t,
    reply_timeout_ms: u32,
    out_error: *mut *mut iscp_error_t,
) -> iscp_status_t {
    // SAFETY: the caller passes options of this library.
    ffi!(out_error => { unsafe { set_typed(options, OPTIONS, "reply_timeout_ms", reply_timeout_ms) } })
}

/// Sets how many calls of other nodes, and how many replies for which nobody waits, may wait for the
/// application. When more come they are dropped and counted. Default: 1024.
///
/// @param options          the options
/// @param call_queue_limit calls, and replies, 1 to 1048576
/// @param out_error        receives the detail of a failure, or NULL
/// @return `ISCP_OK`; `ISCP_ERR_INVALID_OPTION` for a value out of range; `ISCP_ERR_NULL_ARGUMENT`,
///         `ISCP_ERR_BAD_HANDLE`
///
/// Thread: any, one at a time. Blocking: no. Lifetime: plain values. Since: 0.1.0.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn iscp_conn_options_set_call_queue_limit(
    options: *mut iscp_conn_options_t,
    call_queue_limit: usize,
    out_error: *mut *mut iscp_error_t,
) -> iscp_status_t {
    // SAFETY: the caller passes options of this library.
    ffi!(out_error => { unsafe { set_typed(options, OPTIONS, "call_queue_limit", call_queue_limit) } })
}

/// Sets how many bytes of calls of other nodes, and of replies for which nobody waits, may wait for the
/// application; a single one may be larger. When more come they are dropped and counted.
/// Default: 67108864.
///
/// @param options          the options
/// @param call_queue_bytes bytes, 1024 to 1073741824
/// @param out_error        receives the detail of a failure, or NULL
/// @return `ISCP_OK`; `ISCP_ERR_INVALID_OPTION` for a value out of range; `ISCP_ERR_NULL_ARGUMENT`,
///         `ISCP_ERR_BAD_HANDLE`
///
/// Thread: any, one at a time. Blocking: no. Lifetime: plain values. Since: 0.1.0.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn iscp_conn_options_set_call_queue_bytes(
    options: *mut iscp_conn_options_t,
    call_queue_bytes: usize,
    out_error: *mut *mut iscp_error_t,
) -> iscp_status_t {
    // SAFETY: the caller passes options of this library.
    ffi!(out_error => { unsafe { set_typed(options, OPTIONS, "call_queue_bytes", call_queue_bytes) } })
}

/// Sets how many bytes of calls and replies may wait to be sent; a single one may be larger. Sending
/// more answers `ISCP_ERR_WOULD_BLOCK`. Default: 16777216.
///
/// @param options         the options
/// @param call_send_limit bytes, 1024 to 1073741824
/// @param out_error       receives the detail of a failure, or NULL
/// @return `ISCP_OK`; `ISCP_ERR_INVALID_OPTION` for a value out of range; `ISCP_ERR_NULL_ARGUMENT`,
///         `ISCP_ERR_BAD_HANDLE`
///
/// Thread: any, one at a time. Blocking: no. Lifetime: plain values. Since: 0.1.0.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn iscp_conn_options_set_call_send_limit(
    options: *mut iscp_conn_options_t,
    call_send_limit: usize,
    out_error: *mut *mut iscp_error_t,
) -> iscp_status_t {
    // SAFETY: the caller passes options of this library.
    ffi!(out_error => { unsafe { set_typed(options, OPTIONS, "call_send_limit", call_send_limit) } })
}
