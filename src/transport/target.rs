//! Where a connection goes: the address a user writes.

use std::borrow::Cow;
use std::fmt;

use http::Uri;

use crate::error::{Error, Result, Status};
use crate::features;

/// Path of servers that an address without one means (docs/protocol/transport.md §2.1).
pub const DEFAULT_PATH: &str = "/api/iscp/connect";

/// How a server is reached.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Scheme {
    /// WebSocket without encryption.
    Ws,
    /// WebSocket over TLS.
    Wss,
    /// QUIC, always encrypted.
    Quic,
    /// WebTransport over HTTP/3, always encrypted.
    WebTransport,
}

impl Scheme {
    /// Every scheme.
    pub const ALL: [Self; 4] = [Self::Ws, Self::Wss, Self::Quic, Self::WebTransport];

    /// Name in an address.
    pub fn name(self) -> &'static str {
        match self {
            Self::Ws => "ws",
            Self::Wss => "wss",
            Self::Quic => "quic",
            Self::WebTransport => "webtransport",
        }
    }

    /// Name of the transport, as the application is told it.
    pub fn transport(self) -> &'static str {
        match self {
            Self::Ws | Self::Wss => "websocket",
            Self::Quic => "quic",
            Self::WebTransport => "webtransport",
        }
    }

    /// Features of the build it needs.
    pub fn features(self) -> &'static [&'static str] {
        match self {
            Self::Ws => &["websocket"],
            Self::Wss => &["websocket", "tls"],
            Self::Quic => &["quic"],
            Self::WebTransport => &["webtransport"],
        }
    }

    /// Whether the transport compresses each message on its own, whatever `comp` says
    /// (docs/protocol/transport.md §6.2).
    pub fn is_per_message_only(self) -> bool {
        matches!(self, Self::Quic | Self::WebTransport)
    }

    /// Whether it is a WebSocket, with TLS or without.
    pub fn is_websocket(self) -> bool {
        matches!(self, Self::Ws | Self::Wss)
    }

    /// Whether everything is encrypted.
    pub fn is_secure(self) -> bool {
        self != Self::Ws
    }

    pub(crate) fn default_port(self) -> u16 {
        match self {
            Self::Ws => 80,
            Self::Wss | Self::Quic | Self::WebTransport => 443,
        }
    }
}

/// An address for messages: without user, password and query, which may hold secrets even where they have
/// no meaning. What follows the last `@` is taken for the host, since a password may contain anything.
pub fn redacted(url: &str) -> Cow<'_, str> {
    let (start, rest) = match url.find("://") {
        Some(end) => url.split_at(end + "://".len()),
        None => ("", url),
    };
    let (user, rest) = match rest.rfind('@') {
        Some(at) => ("…@", &rest[at + 1..]),
        None => ("", rest),
    };
    let (rest, query) = match rest.find(['?', '#']) {
        Some(at) => (&rest[..at], "?…"),
        None => (rest, ""),
    };
    if user.is_empty() && query.is_empty() { url.into() } else { [start, user, rest, query].concat().into() }
}

/// A checked address.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Target {
    /// How the server is reached.
    pub scheme: Scheme,
    /// Name or IP address of the server, the latter without brackets.
    pub host: String,
    /// Port of the server.
    pub port: u16,
    /// Path at the server, with its leading slash; not used by QUIC.
    pub path: String,
}

impl Target {
    /// Reads an address, `scheme://host:port/path`.
    ///
    /// # Errors
    /// `InvalidOption` naming the part that is wrong, `Unsupported` naming the feature that this build
    /// lacks.
    pub fn parse(url: &str) -> Result<Self> {
        let invalid =
            |why: String| Error::new(Status::InvalidOption, format!("url {:?}: {why}", redacted(url)));
        let known = "ws://, wss://, quic:// or webtransport://";
        let parsed: Uri = url.parse().map_err(|error| invalid(format!("{error}")))?;
        let Some(name) = parsed.scheme_str() else {
            return Err(invalid(format!("no scheme; use {known} with host:port/path")));
        };
        let Some(scheme) = Scheme::ALL.into_iter().find(|scheme| scheme.name() == name) else {
            return Err(invalid(format!("unknown scheme {name:?}; use {known}")));
        };
        let host = match parsed.host() {
            None | Some("" | "[]") => return Err(invalid("no host".to_owned())),
            Some(host) => host.trim_start_matches('[').trim_end_matches(']').to_owned(),
        };
        let authority = parsed.authority().map_or("", |authority| authority.as_str());
        if authority.contains('@') {
            return Err(invalid("user and password have no meaning here; use a token".to_owned()));
        }
        let port = match parsed.port_u16() {
            Some(0) => return Err(invalid("the port is not a number from 1 to 65535".to_owned())),
            Some(port) => port,
            None if authority.rsplit_once(']').map_or(authority, |(_, rest)| rest).contains(':') => {
                return Err(invalid("the port is not a number from 1 to 65535".to_owned()));
            }
            None => scheme.default_port(),
        };
        if parsed.query().is_some() {
            return Err(invalid("the query belongs to the protocol's negotiation; leave it out".to_owned()));
        }
        // The parser turns an absent path into "/".
        let after_authority = url.split_once("://").map_or("", |(_, rest)| rest);
        let path = if after_authority.contains('/') { parsed.path() } else { DEFAULT_PATH };
        if scheme == Scheme::Quic && after_authority.contains('/') && !matches!(path, "/" | DEFAULT_PATH) {
            return Err(invalid("QUIC addresses have no path".to_owned()));
        }
        if let Some(missing) = scheme.features().iter().find(|feature| !features::has(feature)) {
            return Err(Error::new(
                Status::Unsupported,
                format!("url {:?}: this build lacks the feature {missing:?}", redacted(url)),
            ));
        }
        Ok(Self { scheme, host, port, path: path.to_owned() })
    }

    /// Host and port as in an address, an IPv6 host in brackets.
    pub fn authority(&self) -> String {
        if self.host.contains(':') {
            format!("[{}]:{}", self.host, self.port)
        } else {
            format!("{}:{}", self.host, self.port)
        }
    }
}

impl fmt::Display for Target {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let path = if self.scheme == Scheme::Quic { "" } else { &self.path };
        write!(f, "{}://{}{path}", self.scheme.name(), self.authority())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_parts_of_an_address_are_read() {
        let parse = |url: &str| Target::parse(url).map(|target| target.to_string());
        for (url, read) in [
            ("ws://127.0.0.1:8080", "ws://127.0.0.1:8080/api/iscp/connect"),
            ("ws://host", "ws://host:80/api/iscp/connect"),
            ("ws://host/", "ws://host:80/"),
            ("ws://[::1]:1/a/b", "ws://[::1]:1/a/b"),
            ("ws://[::1]", "ws://[::1]:80/api/iscp/connect"),
        ] {
            assert_eq!(parse(url).as_deref(), Ok(read));
        }
        if features::has("tls") {
            assert_eq!(parse("wss://host/x").as_deref(), Ok("wss://host:443/x"));
        }
    }

    #[test]
    fn addresses_are_refused_part_by_part() {
        for (url, culprit) in [
            ("", "url"),
            ("host:1", "scheme"),
            ("http://host", "http"),
            ("ws://", "url"),
            ("ws://[]:1", "url"),
            ("ws://host:99999", "port"),
            ("ws://host:0", "port"),
            ("ws://u:p@host", "password"),
            ("ws://host/?enc=json", "query"),
            ("quic://host/path", "path"),
        ] {
            let error = Target::parse(url).unwrap_err();
            assert_eq!(error.status(), Status::InvalidOption, "{url}: {error}");
            assert!(error.message().contains(culprit), "{url}: {error}");
        }
    }

    #[test]
    fn user_password_and_query_are_not_quoted() {
        for url in [
            "ws://user:s3cr3t@host",
            "ws://user:s3/cr3t@host:0",
            "ws://user:s3 cr3t@host",
            "ws://user:s3@cr3t@host",
            "http://user:s3cr3t@host",
            "user:s3cr3t@host",
            "ws://host:0/?token=s3cr3t",
        ] {
            let error = Target::parse(url).unwrap_err();
            assert!(error.message().contains("host") && !error.message().contains("cr3t"), "{error}");
        }
        assert_eq!(redacted("ws://host:1/path"), "ws://host:1/path");
    }

    #[test]
    fn what_is_not_built_in_is_unsupported_by_name() {
        for scheme in Scheme::ALL {
            let missing = scheme.features().iter().find(|feature| !features::has(feature));
            let parsed = Target::parse(&format!("{}://host", scheme.name()));
            match missing {
                None => assert_eq!(parsed.unwrap().scheme, scheme),
                Some(feature) => {
                    let error = parsed.unwrap_err();
                    assert_eq!(error.status(), Status::Unsupported);
                    assert!(error.message().contains(feature), "{error}");
                }
            }
        }
    }
}
