//! WebTransport sessions: the handshake of the server's side (docs/protocol/transport.md §4).

use http::{StatusCode, header};
use iscp::transport::Negotiation;
use iscp::transport::webtransport::Request;
use quinn::Incoming;
use tracing::info;

use super::connection::Accepted;
use super::driver::Shared;
use super::quic;
use crate::core::PeerInfo;

/// Makes a session, at whatever path, with parameters that this server can serve.
pub(super) async fn accept(shared: &Shared, incoming: Incoming) -> Option<Accepted> {
    let address = incoming.remote_address();
    let refused = |error: &dyn std::fmt::Display| info!(%address, %error, "WebTransport session refused");
    let connection = quic::handshake(incoming).await?;
    let request = Request::read(connection).await.inspect_err(|error| refused(error)).ok()?;
    if shared.is_full() {
        refused(&"too many connections");
        request.refuse(StatusCode::SERVICE_UNAVAILABLE, "too many connections").await;
        return None;
    }
    if let Err(why) = shared.config.check_origin(request.headers(), true) {
        refused(&why);
        request.refuse(StatusCode::FORBIDDEN, &why).await;
        return None;
    }
    let negotiation = match Negotiation::from_query(request.query()) {
        Ok(negotiation) => negotiation.without_context(),
        Err(error) => {
            refused(&error);
            request.refuse(StatusCode::BAD_REQUEST, &error.to_string()).await;
            return None;
        }
    };
    let authorization = request.headers().get(header::AUTHORIZATION);
    let authorization = authorization.and_then(|value| value.to_str().ok()).map(str::to_owned);
    let peer = PeerInfo { address: Some(address.ip()), authorization };
    let transport = request.accept(shared.config.core.limits.message_bytes).await;
    let transport = transport.inspect_err(|error| refused(error)).ok()?;
    Some(Accepted { transport: Box::new(transport), negotiation, peer, secure: true })
}
