//! Making a connected transport of an address.

use std::net::SocketAddr;

use http::HeaderMap;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::{TcpStream, lookup_host};

#[cfg(any(feature = "websocket", feature = "quic"))]
use super::Scheme;
#[cfg(feature = "multi")]
use super::multi::dial::{self as multi, MultiOptions};
#[cfg(feature = "proxy")]
use super::proxy::Proxy;
use super::socket::{SocketFacts, SocketOptions};
#[cfg(feature = "tls")]
use super::tls::TlsOptions;
use super::{Negotiation, Target, Transport, TransportError, compressed};

/// How a QUIC connection finds out what the path carries.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Congestion {
    /// RFC 9438.
    #[default]
    Cubic,
    /// RFC 9002 §7.
    NewReno,
    /// By measuring rate and delay rather than by loss.
    Bbr,
}

impl Congestion {
    /// Every way.
    pub const ALL: [Self; 3] = [Self::Cubic, Self::NewReno, Self::Bbr];

    /// Name for people and options.
    pub fn name(self) -> &'static str {
        match self {
            Self::Cubic => "cubic",
            Self::NewReno => "new-reno",
            Self::Bbr => "bbr",
        }
    }
}

/// Settings of a transport.
#[derive(Clone, Debug)]
pub struct DialOptions {
    /// What is announced to the server.
    pub negotiation: Negotiation,
    /// Largest message accepted from the server, before and after inflating.
    pub max_message_size: usize,
    /// Further headers of the HTTP request that WebSocket and WebTransport begin with. A secret is marked
    /// as such, so that it is not printed.
    pub headers: HeaderMap,
    /// Where sockets are bound.
    pub socket: SocketOptions,
    /// The proxy to go through, for WebSockets.
    #[cfg(feature = "proxy")]
    pub proxy: Option<Proxy>,
    /// Congestion control of QUIC and WebTransport.
    pub quic_congestion: Congestion,
    /// Bytes of a datagram of QUIC and WebTransport at most, 0 for what the path carries.
    pub quic_datagram_size: usize,
    /// Settings of TLS.
    #[cfg(feature = "tls")]
    pub tls: TlsOptions,
    /// Several transports as one connection.
    #[cfg(feature = "multi")]
    pub multi: MultiOptions,
}

impl Default for DialOptions {
    fn default() -> Self {
        Self {
            negotiation: Negotiation::default(),
            max_message_size: 64 << 20,
            headers: HeaderMap::new(),
            socket: SocketOptions::default(),
            #[cfg(feature = "proxy")]
            proxy: None,
            quic_congestion: Congestion::default(),
            quic_datagram_size: 0,
            #[cfg(feature = "tls")]
            tls: TlsOptions::default(),
            #[cfg(feature = "multi")]
            multi: MultiOptions::default(),
        }
    }
}

impl DialOptions {
    /// Finds what would fail whatever the server.
    ///
    /// # Errors
    /// Says what does not fit.
    pub fn check(&self, target: &Target) -> Result<(), TransportError> {
        #[cfg(feature = "multi")]
        if let Some(paths) = self.multi.split(target, self) {
            return paths.iter().try_for_each(|(target, options)| options.check(target));
        }
        #[cfg(feature = "proxy")]
        if self.proxy.is_some() && !target.scheme.is_websocket() {
            return Err(TransportError::Setting(format!(
                "{target}: HTTP proxies carry WebSockets only, not {}://",
                target.scheme.name()
            )));
        }
        if self.socket.multipath && !target.scheme.is_websocket() {
            return Err(TransportError::Setting(format!(
                "{target}: Multipath TCP carries WebSockets only, not {}://",
                target.scheme.name()
            )));
        }
        #[cfg(feature = "tls")]
        self.tls.check()?;
        Ok(())
    }

    /// Every address that a connection to `target` connects to.
    pub fn targets(&self, target: &Target) -> Vec<Target> {
        #[cfg(feature = "multi")]
        if let Some(paths) = self.multi.split(target, self) {
            return paths.into_iter().map(|(target, _)| target).collect();
        }
        vec![target.clone()]
    }

    /// Name of the transport to `target`, as the application is told it.
    pub fn name(&self, target: &Target) -> &'static str {
        #[cfg(feature = "multi")]
        if self.multi.is_used() {
            return "multi";
        }
        target.scheme.transport()
    }

    /// What to say of the way to `target` besides its address, for errors.
    pub fn way(&self, target: &Target) -> String {
        #[cfg(feature = "multi")]
        if self.multi.is_used() {
            return format!(" by any of {} paths", self.multi.paths.len());
        }
        #[cfg(feature = "proxy")]
        if let Some(proxy) = &self.proxy
            && let Ok(Some(proxy)) = proxy.find(target.scheme.is_secure(), &target.host, target.port)
        {
            return format!(" through the proxy {proxy}");
        }
        let _ = target;
        String::new()
    }
}

/// Connects to `target`.
///
/// # Errors
/// Says which address failed and how.
pub async fn dial(target: &Target, options: &DialOptions) -> Result<Box<dyn Transport>, TransportError> {
    options.check(target)?;
    #[cfg(feature = "multi")]
    if let Some(paths) = options.multi.split(target, options) {
        return multi::dial(paths, &options.multi).await;
    }
    one(target, options).await
}

/// Connects to `target` by one transport.
pub(super) async fn one(
    target: &Target,
    options: &DialOptions,
) -> Result<Box<dyn Transport>, TransportError> {
    let mut options = options.clone();
    if target.scheme.is_per_message_only() {
        options.negotiation = options.negotiation.without_context();
    }
    let transport = connect(target, &options).await?;
    Ok(compressed(transport, &options.negotiation, options.max_message_size))
}

#[cfg_attr(
    not(any(feature = "websocket", feature = "quic")),
    expect(unused_variables, reason = "no transport is built in")
)]
async fn connect(target: &Target, options: &DialOptions) -> Result<Box<dyn Transport>, TransportError> {
    match target.scheme {
        #[cfg(feature = "websocket")]
        Scheme::Ws | Scheme::Wss => super::websocket::connect(target, options).await,
        #[cfg(feature = "quic")]
        Scheme::Quic => super::quic::connect(target, options).await,
        #[cfg(feature = "webtransport")]
        Scheme::WebTransport => super::webtransport::connect(target, options).await,
        // Addresses of transports that are not built in were refused when they were parsed.
        #[allow(unreachable_patterns, reason = "depends on the features")]
        scheme => Err(TransportError::Setting(format!(
            "{target}: this build has no transport for {}://",
            scheme.name()
        ))),
    }
}

/// A connection that carries bytes.
pub trait ByteStream: AsyncRead + AsyncWrite + Send + Unpin {}

impl<S: AsyncRead + AsyncWrite + Send + Unpin> ByteStream for S {}

/// A connection that carries bytes, to a server or through a proxy.
pub type Stream = Box<dyn ByteStream>;

/// Opens a connection to a port of a host, through the proxy if there is one. `secure` says whether TLS
/// will be spoken on it. What it says of the socket is that of the way to the proxy then.
///
/// # Errors
/// Says which address, or the proxy, failed and how.
pub async fn stream(
    host: &str,
    port: u16,
    secure: bool,
    options: &DialOptions,
) -> Result<(Stream, SocketFacts), TransportError> {
    #[cfg(feature = "proxy")]
    if let Some(proxy) = &options.proxy
        && let Some(proxy) = proxy.find(secure, host, port)?
    {
        let (proxy_host, proxy_port) = proxy.address();
        let stream = tcp(proxy_host, proxy_port, options).await.map_err(|error| match error {
            TransportError::Resolve(why) => TransportError::Resolve(format!("proxy {why}")),
            TransportError::Connect(why) => TransportError::Connect(format!("proxy {why}")),
            other => other,
        })?;
        let facts = SocketFacts::of(&stream);
        return Ok((proxy.tunnel(stream, host, port).await?, facts));
    }
    let _ = secure;
    let stream = tcp(host, port, options).await?;
    let facts = SocketFacts::of(&stream);
    Ok((Box::new(stream), facts))
}

async fn tcp(host: &str, port: u16, options: &DialOptions) -> Result<TcpStream, TransportError> {
    options.socket.tcp(lookup(host, port).await?).await
}

/// The addresses of a host, in the order in which the system wants them tried.
pub(super) async fn lookup(host: &str, port: u16) -> Result<Vec<SocketAddr>, TransportError> {
    let addresses: Vec<_> = lookup_host((host, port))
        .await
        .map_err(|error| TransportError::Resolve(format!("{host}: {error}")))?
        .collect();
    if addresses.is_empty() {
        return Err(TransportError::Resolve(format!("{host}: the name has no address")));
    }
    Ok(addresses)
}

#[cfg(all(test, feature = "proxy"))]
mod tests {
    use super::*;
    use crate::transport::{DEFAULT_PATH, Scheme};

    #[test]
    fn only_websockets_go_through_a_proxy() {
        let options =
            DialOptions { proxy: Some(Proxy::parse("http://proxy:1").unwrap()), ..DialOptions::default() };
        for scheme in Scheme::ALL {
            let target = Target { scheme, host: "host".to_owned(), port: 1, path: DEFAULT_PATH.to_owned() };
            match options.check(&target) {
                Ok(()) => assert!(matches!(scheme, Scheme::Ws | Scheme::Wss)),
                Err(error) => {
                    assert!(matches!(scheme, Scheme::Quic | Scheme::WebTransport));
                    assert!(matches!(error, TransportError::Setting(_)));
                    assert!(error.to_string().contains("prox") && error.to_string().contains(scheme.name()));
                }
            }
        }
    }
}
