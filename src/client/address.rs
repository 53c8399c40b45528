//! The address of the server in parts.

use std::net::Ipv6Addr;

use crate::error::{Error, Result, Status};
use crate::transport::{DEFAULT_PATH, Scheme, Target};

/// Bytes of the name of a host at most (RFC 1035 §2.3.4).
const MAX_HOST: usize = 253;

/// Parts of an address that take the place of those of a URL, or stand without one.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Address {
    scheme: Option<Scheme>,
    /// Empty: not set, as of the path; the port then is 0.
    host: String,
    port: u16,
    path: String,
}

impl Address {
    /// Whether no part is set.
    pub fn is_empty(&self) -> bool {
        *self == Self::default()
    }

    /// Whether the host is set.
    pub fn has_host(&self) -> bool {
        !self.host.is_empty()
    }

    /// Takes the name of a scheme; empty for that of the URL, or `wss`.
    ///
    /// # Errors
    /// It is none.
    pub fn set_scheme(&mut self, name: &str) -> Result<(), String> {
        self.scheme = match name {
            "" => None,
            name => Some(
                Scheme::ALL
                    .into_iter()
                    .find(|scheme| scheme.name() == name)
                    .ok_or_else(|| format!("{name:?} is no transport"))?,
            ),
        };
        Ok(())
    }

    /// The scheme that was set.
    pub fn scheme(&self) -> Option<Scheme> {
        self.scheme
    }

    /// Takes a name or an IP address, one of IPv6 with brackets or without; empty for that of the URL.
    ///
    /// # Errors
    /// It is neither.
    pub fn set_host(&mut self, host: &str) -> Result<(), String> {
        let bare = host.strip_prefix('[').and_then(|host| host.strip_suffix(']')).unwrap_or(host);
        let is_name = |host: &str| {
            host.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"-._~".contains(&byte)) && host == bare
        };
        if bare.len() > MAX_HOST || !(bare.parse::<Ipv6Addr>().is_ok() || is_name(host)) {
            return Err(format!("{host:?} is neither a name nor an IP address"));
        }
        bare.clone_into(&mut self.host);
        Ok(())
    }

    /// Takes a port; 0 for that of the URL, or that of the transport.
    pub fn set_port(&mut self, port: u16) {
        self.port = port;
    }

    /// Takes a path; empty for that of the URL, or that of intdash.
    ///
    /// # Errors
    /// It does not begin with a slash, or has a query.
    pub fn set_path(&mut self, path: &str) -> Result<(), String> {
        let legal = |byte: u8| byte.is_ascii_graphic() && !b"?#".contains(&byte);
        if !path.is_empty() && (!path.starts_with('/') || !path.bytes().all(legal)) {
            return Err(format!("{path:?} is no path"));
        }
        path.clone_into(&mut self.path);
        Ok(())
    }

    /// Where the parts lead, those that are not set taken from a URL that may be empty.
    ///
    /// # Errors
    /// `InvalidOption` when no host is known, or what comes out is no address, such as one of QUIC with a path;
    /// `Unsupported` naming the feature that this build lacks.
    pub fn over(&self, url: &str) -> Result<Target> {
        if self.is_empty() {
            return Target::parse(url);
        }
        let base = if url.is_empty() { None } else { Some(Target::parse(url)?) };
        let scheme = self.scheme.or(base.as_ref().map(|base| base.scheme)).unwrap_or(Scheme::Wss);
        let host = match (&*self.host, &base) {
            ("", None) => {
                return Err(Error::new(Status::InvalidOption, "option host: it is not set, nor is url"));
            }
            ("", Some(base)) => base.host.clone(),
            (host, _) => host.to_owned(),
        };
        let port = match (self.port, &base) {
            // One that nobody chose goes with the transport.
            (0, Some(base)) if base.port != base.scheme.default_port() => base.port,
            (0, _) => scheme.default_port(),
            (port, _) => port,
        };
        let path = match (&*self.path, &base) {
            ("", Some(base)) => base.path.clone(),
            ("", None) => DEFAULT_PATH.to_owned(),
            (path, _) => path.to_owned(),
        };
        let target = Target { scheme, host, port, path };
        // Also what parts may not be combined.
        Target::parse(&format!("{}://{}{}", scheme.name(), target.authority(), target.path))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn over(parts: [&str; 4], url: &str) -> Result<String> {
        let mut address = Address::default();
        address.set_scheme(parts[0]).unwrap();
        address.set_host(parts[1]).unwrap();
        address.set_port(parts[2].parse().unwrap_or_default());
        address.set_path(parts[3]).unwrap();
        address.over(url).map(|target| target.to_string())
    }

    #[test]
    fn parts_take_the_place_of_those_of_the_url() {
        for (parts, url, meant) in [
            (["", "", "", ""], "ws://a:1/x", "ws://a:1/x"),
            (["ws", "b", "", ""], "", "ws://b:80/api/iscp/connect"),
            (["ws", "::1", "7", "/y"], "", "ws://[::1]:7/y"),
            (["", "[::1]", "", ""], "ws://a:1/x", "ws://[::1]:1/x"),
            (["", "", "2", ""], "ws://a:1/x", "ws://a:2/x"),
            (["", "", "", "/y"], "ws://a", "ws://a:80/y"),
        ] {
            assert_eq!(over(parts, url).as_deref(), Ok(meant), "{parts:?} {url}");
        }
    }

    #[test]
    #[cfg(feature = "quic")]
    fn a_port_that_nobody_chose_goes_with_the_transport() {
        for (parts, url, meant) in [
            (["", "b", "", ""], "", "wss://b:443/api/iscp/connect"),
            (["wss", "", "", ""], "ws://a/x", "wss://a:443/x"),
            (["wss", "", "", ""], "ws://a:8080/x", "wss://a:8080/x"),
            (["quic", "", "", ""], "ws://a:8080", "quic://a:8080"),
        ] {
            assert_eq!(over(parts, url).as_deref(), Ok(meant), "{parts:?} {url}");
        }
        let error = over(["quic", "a", "", "/x"], "").unwrap_err();
        assert!(error.message().contains("path"), "{error}");
    }

    #[test]
    fn what_is_no_part_of_an_address_is_refused() {
        let mut address = Address::default();
        for host in ["a b", "a/b", "a:1", "u@a", "[a]", "[]", "[", "ä", &"a".repeat(254)] {
            assert!(address.set_host(host).is_err(), "{host}");
        }
        for path in ["x", "/a?b", "/a#b", "/a b", "/ä"] {
            assert!(address.set_path(path).is_err(), "{path}");
        }
        assert!(address.set_scheme("http").is_err());
        assert!(over(["", "", "1", ""], "").unwrap_err().message().contains("host"));
    }
}
