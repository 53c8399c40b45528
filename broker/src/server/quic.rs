//! QUIC connections: the handshake of the server's side (docs/protocol/transport.md §3).

use std::io;
use std::net::{SocketAddr, UdpSocket};
use std::sync::Arc;

use iscp::transport::quic;
use quinn::{Connection, ConnectionError, Endpoint, EndpointConfig, Incoming, ServerConfig, TokioRuntime};
use socket2::SockRef;
use tracing::info;

use super::connection::Accepted;
use super::driver::Shared;
use crate::core::PeerInfo;

/// What the system may hold of what clients sent: one socket receives from all of them. Systems grant
/// less where this exceeds their limit.
const RECEIVE_BUFFER: usize = 4 << 20;

/// Handshakes that a listener has under way at most, and the part of all connections that they may be.
const MAX_HANDSHAKES: (usize, usize) = (1024, 4);
/// Handshakes under way from which on a client must show that it receives at its address, and the part of
/// the former that they are at most.
const UNPROVEN_HANDSHAKES: (usize, usize) = (64, 4);

/// Counts the handshakes of a listener. Anybody can begin some under addresses of others, which must not take
/// the place of clients.
pub(super) struct Handshakes {
    under_way: Arc<()>,
    max: usize,
    unproven: usize,
}

impl Handshakes {
    /// For a server with so many connections at most.
    pub(super) fn new(connections: usize) -> Self {
        let max = (connections / MAX_HANDSHAKES.1).clamp(1, MAX_HANDSHAKES.0);
        let unproven = (max / UNPROVEN_HANDSHAKES.1).min(UNPROVEN_HANDSHAKES.0);
        Self { under_way: Arc::new(()), max, unproven }
    }

    /// Lets a client begin, with what is to be dropped at the end of the handshake, unless it is refused or
    /// asked to come again.
    pub(super) fn admit(&self, incoming: Incoming) -> Option<(Incoming, Arc<()>)> {
        let under_way = Arc::strong_count(&self.under_way) - 1;
        let address = incoming.remote_address();
        if under_way >= self.unproven && !incoming.remote_address_validated() {
            // Costs no memory. Fails only for a client that has been asked before.
            let _ = incoming.retry();
            return None;
        }
        if under_way >= self.max {
            info!(%address, "QUIC connection refused: too many handshakes under way");
            incoming.refuse();
            return None;
        }
        Some((incoming, Arc::clone(&self.under_way)))
    }
}

/// Opens the socket of a listener.
pub(super) fn listen(address: SocketAddr, config: &ServerConfig) -> io::Result<(SocketAddr, Endpoint)> {
    let socket = UdpSocket::bind(address)?;
    // Failing to set it is no reason not to serve.
    let _ = SockRef::from(&socket).set_recv_buffer_size(RECEIVE_BUFFER);
    let endpoint =
        Endpoint::new(EndpointConfig::default(), Some(config.clone()), socket, Arc::new(TokioRuntime))?;
    Ok((endpoint.local_addr()?, endpoint))
}

/// Completes the handshake of QUIC itself.
pub(super) async fn handshake(incoming: Incoming) -> Option<Connection> {
    let address = incoming.remote_address();
    let failed = |error: &ConnectionError| info!(%address, %error, "QUIC handshake failed");
    incoming.accept().inspect_err(failed).ok()?.await.inspect_err(failed).ok()
}

/// Completes the handshake of a client and reads its parameters.
pub(super) async fn accept(shared: &Shared, incoming: Incoming) -> Option<Accepted> {
    let address = incoming.remote_address();
    if shared.is_full() {
        info!(%address, "QUIC connection refused: too many connections");
        incoming.refuse();
        return None;
    }
    let connection = handshake(incoming).await?;
    let accepted = quic::accept(connection, shared.config.core.limits.message_bytes).await;
    let (transport, negotiation) =
        accepted.inspect_err(|error| info!(%address, %error, "QUIC connection refused")).ok()?;
    let peer = PeerInfo { address: Some(address.ip()), authorization: None };
    Some(Accepted { transport: Box::new(transport), negotiation, peer, secure: true })
}
