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
    Some(Accepted { transport: Box::new(transport), negotiation, peer })
}
