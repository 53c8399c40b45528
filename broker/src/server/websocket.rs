//! WebSocket connections: the handshake of the server's side (docs/protocol/transport.md §2).

use std::net::SocketAddr;

use iscp::transport::websocket::{self, Refusal, WebSocket};
use iscp::transport::{Metered, Negotiation};
use tokio::io::{AsyncRead, AsyncWrite};
use tokio_tungstenite::tungstenite::handshake::server::{Request, Response};
use tokio_tungstenite::tungstenite::http::{HeaderValue, StatusCode, header};
use tracing::info;

use super::connection::Accepted;
use super::driver::Shared;
use crate::core::PeerInfo;

/// Makes a WebSocket, at whatever path, with parameters that this server can serve.
///
/// `secure` is whether the stream is encrypted.
pub(super) async fn accept<S>(
    shared: &Shared,
    stream: S,
    address: SocketAddr,
    secure: bool,
) -> Option<Accepted>
where
    S: AsyncRead + AsyncWrite + Unpin + Send + 'static,
{
    let mut negotiation = Negotiation::default();
    let mut peer = PeerInfo { address: Some(address.ip()), authorization: None };
    let limits = &shared.config.core.limits;
    let full = shared.is_full();
    #[allow(clippy::result_large_err, reason = "the library's own type")]
    let examine = |request: &Request, response: Response| {
        if full {
            return Err(refuse(StatusCode::SERVICE_UNAVAILABLE, "too many connections"));
        }
        shared
            .config
            .check_origin(request.headers(), secure)
            .map_err(|why| refuse(StatusCode::FORBIDDEN, &why))?;
        negotiation = Negotiation::from_query(request.uri().query().unwrap_or_default())
            .map_err(|error| refuse(StatusCode::BAD_REQUEST, &error.to_string()))?;
        peer.authorization = request
            .headers()
            .get(header::AUTHORIZATION)
            .and_then(|value| value.to_str().ok())
            .map(str::to_owned);
        Ok(response)
    };
    let accepted = tokio_tungstenite::accept_hdr_async_with_config(
        Metered::new(stream),
        examine,
        Some(websocket::config(limits.message_bytes)),
    )
    .await;
    match accepted {
        Ok(socket) => {
            Some(Accepted { transport: Box::new(WebSocket::new(socket)), negotiation, peer, secure })
        }
        Err(error) => {
            info!(%address, %error, "WebSocket handshake refused");
            None
        }
    }
}

fn refuse(status: StatusCode, reason: &str) -> Refusal {
    let mut refusal = Refusal::new(Some(format!("{reason}\n")));
    *refusal.status_mut() = status;
    refusal.headers_mut().insert(header::CONTENT_TYPE, HeaderValue::from_static("text/plain; charset=utf-8"));
    refusal
}
