//! The way through an HTTP proxy: the method CONNECT, then bytes as if there were no proxy.

use std::fmt;

use http::header::{HOST, HeaderValue, PROXY_AUTHORIZATION};
use http::{Method, Request, StatusCode, Uri};
use hyper_util::client::proxy::matcher::{Intercept, Matcher};
use hyper_util::rt::TokioIo;
use tokio::net::TcpStream;

use super::TransportError;
use super::dial::Stream;
use super::http1::{describe, drive, handshake};

/// Bytes of the headers of an answer that are read at most.
const MAX_HEADERS: usize = 16 * 1024;

/// Which proxy to take.
#[derive(Clone, Debug)]
pub enum Proxy {
    /// Always this one.
    Fixed(HttpProxy),
    /// What the environment says when a connection is made: `HTTPS_PROXY`, `HTTP_PROXY`, `ALL_PROXY` and
    /// `NO_PROXY`, in capitals or not.
    Environment,
}

/// A proxy. Nothing printed of it shows user or password.
#[derive(Clone)]
pub struct HttpProxy {
    host: String,
    port: u16,
    authorization: Option<HeaderValue>,
}

impl fmt::Display for HttpProxy {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.host.contains(':') {
            write!(f, "[{}]:{}", self.host, self.port)
        } else {
            write!(f, "{}:{}", self.host, self.port)
        }
    }
}

impl fmt::Debug for HttpProxy {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "HttpProxy({self}, {})", if self.authorization.is_some() { "with user" } else { "no user" })
    }
}

impl Proxy {
    /// Reads `http://user:password@host:port`, user and password percent-encoded and optional, or `env`.
    ///
    /// # Errors
    /// Says which part is wrong, without user and password.
    pub fn parse(text: &str) -> Result<Self, String> {
        if text == "env" {
            return Ok(Self::Environment);
        }
        // What the parser says may quote the password.
        let uri: Uri = text.parse().map_err(|_| "this is not a URL".to_owned())?;
        match uri.scheme_str() {
            Some("http") => {}
            Some(scheme) => {
                return Err(format!("proxies of the kind {scheme}:// are not supported, only http://"));
            }
            None => return Err("the URL does not begin with http://".to_owned()),
        }
        if !matches!(uri.path(), "" | "/") || uri.query().is_some() {
            return Err("the URL of a proxy has no path".to_owned());
        }
        let anywhere = Uri::from_static("https://host");
        let proxy = Matcher::builder().all(text.to_owned()).build().intercept(&anywhere);
        HttpProxy::new(&proxy.ok_or("this is not the URL of a proxy")?).map(Self::Fixed)
    }

    /// The proxy for a host, if there is one. `secure` connections may have another than others.
    ///
    /// # Errors
    /// Says what in the environment cannot be used.
    pub fn find(&self, secure: bool, host: &str, port: u16) -> Result<Option<HttpProxy>, TransportError> {
        match self {
            Self::Fixed(proxy) => Ok(Some(proxy.clone())),
            Self::Environment => {
                let destination: Uri =
                    format!("{}://{}", if secure { "https" } else { "http" }, authority(host, port))
                        .parse()
                        .map_err(|error| TransportError::Setting(format!("{host}: {error}")))?;
                choose(&Matcher::from_env(), &destination)
            }
        }
    }
}

fn choose(matcher: &Matcher, destination: &Uri) -> Result<Option<HttpProxy>, TransportError> {
    let Some(proxy) = matcher.intercept(destination) else { return Ok(None) };
    HttpProxy::new(&proxy)
        .map(Some)
        .map_err(|why| TransportError::Setting(format!("the proxy in the environment: {why}")))
}

impl HttpProxy {
    fn new(proxy: &Intercept) -> Result<Self, String> {
        let uri = proxy.uri();
        if uri.scheme_str() != Some("http") {
            let scheme = uri.scheme_str().unwrap_or_default();
            return Err(format!("proxies of the kind {scheme}:// are not supported, only http://"));
        }
        let host = uri.host().unwrap_or_default().trim_start_matches('[').trim_end_matches(']').to_owned();
        if host.is_empty() {
            return Err("the URL has no host".to_owned());
        }
        let authorization = proxy.basic_auth().cloned();
        Ok(Self { host, port: uri.port_u16().unwrap_or(80), authorization })
    }

    /// Host and port of the proxy.
    pub fn address(&self) -> (&str, u16) {
        (&self.host, self.port)
    }

    /// Makes a connection to the proxy one to `host`.
    ///
    /// # Errors
    /// Quotes what the proxy answered.
    pub async fn tunnel(&self, stream: TcpStream, host: &str, port: u16) -> Result<Stream, TransportError> {
        let failed = |error: hyper::Error| {
            TransportError::Handshake(format!(
                "proxy {self}: no answer that makes sense: {}",
                describe(&error)
            ))
        };
        let (mut sender, connection) = handshake(Box::new(stream), MAX_HEADERS).await.map_err(failed)?;
        let destination = authority(host, port);
        let mut request = Request::builder()
            .method(Method::CONNECT)
            .uri(&destination)
            .header(HOST, &destination)
            .body(String::new())
            .map_err(|error| TransportError::Setting(format!("{destination}: {error}")))?;
        if let Some(authorization) = &self.authorization {
            request.headers_mut().insert(PROXY_AUTHORIZATION, authorization.clone());
        }
        let exchange = async {
            let response = sender.send_request(request).await.map_err(failed)?;
            if !response.status().is_success() {
                return Err(self.refusal(response.status(), &destination));
            }
            hyper::upgrade::on(response).await.map_err(failed)
        };
        let upgraded = drive(connection.with_upgrades(), exchange).await?;
        Ok(Box::new(TokioIo::new(upgraded)))
    }

    fn refusal(&self, status: StatusCode, destination: &str) -> TransportError {
        if status == StatusCode::PROXY_AUTHENTICATION_REQUIRED {
            let user = if self.authorization.is_some() { "does not take the" } else { "demands a" };
            return TransportError::Handshake(format!(
                "proxy {self}: it {user} user and password ({status})"
            ));
        }
        let text = format!("proxy {self}: it does not connect to {destination}: {status}");
        // A gateway that cannot reach the server now may later.
        if status.is_server_error() { TransportError::Connect(text) } else { TransportError::Handshake(text) }
    }
}

fn authority(host: &str, port: u16) -> String {
    if host.contains(':') { format!("[{host}]:{port}") } else { format!("{host}:{port}") }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn user_and_password_are_read_and_never_shown() {
        let Ok(Proxy::Fixed(proxy)) = Proxy::parse("http://us%65r:p%40ss@proxy:3128") else { panic!() };
        assert_eq!(proxy.address(), ("proxy", 3128));
        // "user:p@ss".
        assert_eq!(proxy.authorization.as_ref().unwrap(), "Basic dXNlcjpwQHNz");
        assert_eq!(proxy.to_string(), "proxy:3128");
        let shown = format!("{:?} {proxy:?} {:?}", Proxy::Fixed(proxy.clone()), proxy.authorization);
        for secret in ["user", "p@ss", "dXNlcjpwQHNz"] {
            assert!(!shown.replace("with user", "").contains(secret), "{shown}");
        }
    }

    #[test]
    fn wrong_urls_are_refused_without_quoting_them() {
        for (text, culprit) in [
            ("", "URL"),
            ("proxy:3128", "http://"),
            ("https://user:secret@proxy:3128", "https"),
            ("socks5://user:secret@proxy:1080", "socks5"),
            ("http://user:secret@proxy:3128/path", "path"),
            ("http://user:sec ret@proxy", "URL"),
            ("http://user:secret@", "URL"),
        ] {
            let why = Proxy::parse(text).unwrap_err();
            assert!(why.contains(culprit) && !why.contains("sec"), "{text}: {why}");
        }
    }

    #[test]
    fn an_environment_has_exceptions_and_may_be_unusable() {
        let matcher = Matcher::builder().https("http://one:1").http("two:2").no("example.org").build();
        let find = |url: &'static str| {
            choose(&matcher, &Uri::from_static(url)).map(|proxy| proxy.map(|proxy| proxy.to_string()))
        };
        assert_eq!(find("https://host:443"), Ok(Some("one:1".to_owned())));
        assert_eq!(find("http://host:80"), Ok(Some("two:2".to_owned())));
        assert_eq!(find("https://a.example.org:443"), Ok(None));
        let socks = Matcher::builder().all("socks5://user:secret@proxy:1").build();
        let error = choose(&socks, &Uri::from_static("https://host")).unwrap_err().to_string();
        assert!(error.contains("socks5") && !error.contains("secret"), "{error}");
    }

    #[test]
    fn ipv6_hosts_have_brackets() {
        let Ok(Proxy::Fixed(proxy)) = Proxy::parse("http://[::1]:3128") else { panic!() };
        assert_eq!((proxy.address(), proxy.to_string().as_str()), (("::1", 3128), "[::1]:3128"));
        assert_eq!(authority("::1", 80), "[::1]:80");
    }
}
