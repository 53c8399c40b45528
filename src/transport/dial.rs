//! Making a connected transport of an address.

use std::net::SocketAddr;

use socket2::SockRef;
use tokio::net::{TcpStream, lookup_host};

#[cfg(feature = "tls")]
use super::tls::TlsOptions;
use super::{Negotiation, Scheme, Target, Transport, TransportError, compressed};

/// Bytes the system may hold that it has not begun to send.
const UNSENT_LIMIT: u32 = 128 * 1024;

/// Settings of a transport.
#[derive(Clone, Debug)]
pub struct DialOptions {
    /// What is announced to the server.
    pub negotiation: Negotiation,
    /// Largest message accepted from the server, before and after inflating.
    pub max_message_size: usize,
    /// Settings of TLS.
    #[cfg(feature = "tls")]
    pub tls: TlsOptions,
}

impl Default for DialOptions {
    fn default() -> Self {
        Self {
            negotiation: Negotiation::default(),
            max_message_size: 64 << 20,
            #[cfg(feature = "tls")]
            tls: TlsOptions::default(),
        }
    }
}

/// Connects to `target`.
///
/// # Errors
/// Says which address failed and how.
pub async fn dial(target: &Target, options: &DialOptions) -> Result<Box<dyn Transport>, TransportError> {
    let mut options = options.clone();
    if target.scheme.is_per_message_only() {
        options.negotiation = options.negotiation.without_context();
    }
    let transport = connect(target, &options).await?;
    Ok(compressed(transport, &options.negotiation, options.max_message_size))
}

async fn connect(target: &Target, options: &DialOptions) -> Result<Box<dyn Transport>, TransportError> {
    match target.scheme {
        #[cfg(feature = "websocket")]
        Scheme::Ws | Scheme::Wss => super::websocket::connect(target, options).await,
        // Addresses of transports that are not built in were refused when they were parsed.
        #[allow(unreachable_patterns, reason = "depends on the features")]
        scheme => Err(TransportError::Setting(format!(
            "{target}: this build has no transport for {}://",
            scheme.name()
        ))),
    }
}

/// The addresses of the target's host.
pub(super) async fn resolve(target: &Target) -> Result<Vec<SocketAddr>, TransportError> {
    let host = &target.host;
    let addresses: Vec<_> = lookup_host((host.as_str(), target.port))
        .await
        .map_err(|error| TransportError::Resolve(format!("{host}: {error}")))?
        .collect();
    if addresses.is_empty() {
        return Err(TransportError::Resolve(format!("{host}: the name has no address")));
    }
    Ok(addresses)
}

/// Opens a TCP connection, trying every address of the host in turn.
pub(super) async fn tcp(target: &Target) -> Result<TcpStream, TransportError> {
    let mut failures = Vec::new();
    for address in resolve(target).await? {
        match TcpStream::connect(address).await {
            Ok(stream) => {
                // Chunks are batched above; a delay here would only add to their latency.
                let _ = stream.set_nodelay(true);
                // What the system holds unsent can no longer be overtaken by a pong.
                let _ = SockRef::from(&stream).set_tcp_notsent_lowat(UNSENT_LIMIT);
                return Ok(stream);
            }
            Err(error) => failures.push(format!("{address}: {error}")),
        }
    }
    Err(TransportError::Connect(failures.join("; ")))
}
