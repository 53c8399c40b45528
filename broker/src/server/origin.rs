//! Which web pages may connect (docs/protocol/transport.md T-7).
//!
//! A browser lets every page connect to every server, also to one that only this machine reaches, and tells
//! the server whose page it is. Who demands nothing else of its clients must look at that.

use tokio_tungstenite::tungstenite::http::header::{HOST, ORIGIN};
use tokio_tungstenite::tungstenite::http::{HeaderMap, Uri};

use super::ServerConfig;

impl ServerConfig {
    /// Finds a page that may not connect. `secure` is whether the listener speaks TLS.
    ///
    /// # Errors
    /// Names the page.
    pub(super) fn check_origin(&self, headers: &HeaderMap, secure: bool) -> Result<(), String> {
        if self.demands_credentials(secure) {
            return Ok(());
        }
        let host = headers.get(HOST).and_then(|host| host.to_str().ok());
        for origin in headers.get_all(ORIGIN) {
            let origin = origin.to_str().unwrap_or("?");
            if !self.allows(origin) && !host.is_some_and(|host| is_same(origin, host)) {
                return Err(format!(
                    "pages of the origin {origin:.200} may not connect, since no token is needed here"
                ));
            }
        }
        Ok(())
    }

    fn demands_credentials(&self, secure: bool) -> bool {
        #[cfg(feature = "full")]
        let demands =
            self.oauth2.is_some() || secure && self.tls.as_ref().is_some_and(|tls| tls.demands_clients());
        #[cfg(not(feature = "full"))]
        let demands = {
            let _ = secure;
            false
        };
        demands || !self.tokens.is_empty() || !self.core.tokens.is_empty() || self.core.token_check.is_some()
    }

    fn allows(&self, origin: &str) -> bool {
        self.allowed_origins.iter().any(|allowed| allowed == "*" || allowed.eq_ignore_ascii_case(origin))
    }
}

/// Whether an origin is that of a page of the host and port that the request is for.
fn is_same(origin: &str, host: &str) -> bool {
    let Ok(origin) = origin.parse::<Uri>() else { return false };
    let default = match origin.scheme_str() {
        Some("http") => 80,
        Some("https") => 443,
        _ => return false,
    };
    let (Some(name), Ok(host)) = (origin.host(), host.parse::<Uri>()) else { return false };
    host.host().is_some_and(|host| host.eq_ignore_ascii_case(name))
        && host.port_u16().unwrap_or(default) == origin.port_u16().unwrap_or(default)
}

#[cfg(test)]
mod tests {
    use tokio_tungstenite::tungstenite::http::HeaderValue;

    use super::*;

    fn check(config: &ServerConfig, host: &str, origins: &[&str]) -> Result<(), String> {
        let mut headers = HeaderMap::from_iter([(HOST, HeaderValue::from_str(host).unwrap())]);
        for origin in origins {
            headers.append(ORIGIN, HeaderValue::from_str(origin).unwrap());
        }
        config.check_origin(&headers, false)
    }

    #[test]
    fn only_pages_of_the_same_host_and_port_and_allowed_ones_may_connect() {
        let mut config =
            ServerConfig { allowed_origins: vec!["https://a.example".to_owned()], ..Default::default() };
        for (host, origins, allowed) in [
            ("127.0.0.1:8080", &[][..], true),
            ("127.0.0.1:8080", &["http://127.0.0.1:8080"], true),
            ("[::1]:8080", &["http://[::1]:8080"], true),
            ("Host.example", &["http://host.example"], true),
            ("host.example", &["https://host.example:443"], true),
            ("host.example", &["https://A.example"], true),
            ("127.0.0.1:8080", &["http://127.0.0.1:8081"], false),
            ("127.0.0.1:8080", &["http://127.0.0.1"], false),
            ("127.0.0.1:8080", &["http://localhost:8080"], false),
            ("127.0.0.1:8080", &["https://evil.example"], false),
            ("127.0.0.1:8080", &["http://a.example"], false),
            ("127.0.0.1:8080", &["null"], false),
            ("127.0.0.1:8080", &[""], false),
            ("127.0.0.1:8080", &["http://127.0.0.1:8080", "https://evil.example"], false),
        ] {
            let checked = check(&config, host, origins);
            assert_eq!(checked.is_ok(), allowed, "{host} {origins:?} {checked:?}");
        }
        config.allowed_origins.push("*".to_owned());
        assert_eq!(check(&config, "host", &["null"]), Ok(()));
    }

    #[test]
    fn whoever_has_a_token_may_connect_from_every_page() {
        let config = ServerConfig { tokens: vec!["token".to_owned()], ..Default::default() };
        assert_eq!(check(&config, "host", &["https://evil.example"]), Ok(()));
    }
}
