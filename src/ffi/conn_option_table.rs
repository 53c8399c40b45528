//! The table of the options of a connection.

use http::{HeaderName, HeaderValue};
use uuid::Uuid;

#[cfg(feature = "oauth2")]
use super::conn_credential_options as credentials;
use super::conn_path_options::add_path_text;
#[cfg(feature = "tls")]
use super::conn_tls_options as tls;
#[cfg(feature = "tls")]
use super::options::file;
use super::options::{
    Refusal, Settings, Spec, boolean, bounded, built_in, milliseconds, needs, number, whole_seconds,
};
use crate::client::{Address, ConnectOptions, SpoolFull, TokenSource, check_header_token_name};
use crate::encoding::Encoding;
use crate::spool::SyncPolicy;
#[cfg(feature = "quic")]
use crate::transport::dial::Congestion;
#[cfg(feature = "multi")]
use crate::transport::multi::Scheduler;
use crate::transport::{Compression, Scheme, Target};

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
            options.address = Address::default();
            Ok(())
        },
    },
    Spec {
        key: "transport",
        range: "ws, wss, quic or webtransport, or empty",
        set: |options, value| {
            let mut address = options.address.clone();
            address.set_scheme(value)?;
            address.scheme().map_or(&[][..], Scheme::features).iter().try_for_each(|name| built_in(name))?;
            options.address = address;
            Ok(())
        },
    },
    Spec {
        key: "host",
        range: "a host name or an IP address, or empty",
        set: |options, value| Ok(options.address.set_host(value)?),
    },
    Spec {
        key: "port",
        range: "0 to 65535",
        set: |options, value| number(value, 0, u16::MAX).map(|value| options.address.set_port(value)),
    },
    Spec {
        key: "url_path",
        range: "a path that begins with a slash, or empty",
        set: |options, value| Ok(options.address.set_path(value)?),
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
        key: "event_queue_limit",
        range: "1 to 1048576",
        set: |options, value| number(value, 1, 1 << 20).map(|value| options.event_queue_limit = value),
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
        key: "multipath_tcp",
        range: "true or false",
        set: |options, value| boolean(value).map(|value| options.dial.socket.multipath = value),
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
