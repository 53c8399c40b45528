//! WebSocket: one binary message per protocol message (docs/protocol/transport.md §2).

use std::io;
use std::pin::Pin;
use std::task::{Context, Poll, ready};

use bytes::Bytes;
use futures_util::{Sink, Stream};
use http::Uri;
use socket2::SockRef;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::TcpStream;
use tokio_tungstenite::WebSocketStream;
use tokio_tungstenite::tungstenite::client::IntoClientRequest;
use tokio_tungstenite::tungstenite::protocol::frame::coding::CloseCode;
use tokio_tungstenite::tungstenite::protocol::{CloseFrame, WebSocketConfig};
use tokio_tungstenite::tungstenite::{Error as WsError, Message as WsMessage, handshake};

use super::{Metered, Negotiation, Transport, TransportError};

/// Size of the read buffer a connection holds for its whole life. Larger ones save system calls
/// under load but count against the memory of every idle connection.
const READ_BUFFER: usize = 16 * 1024;

/// Bytes the system may hold that it has not begun to send.
const UNSENT_LIMIT: u32 = 128 * 1024;

/// Settings of a WebSocket for messages of at most `max_message_size` bytes, in either direction's
/// framing (clients cut messages into frames of every size).
pub fn config(max_message_size: usize) -> WebSocketConfig {
    WebSocketConfig::default()
        .read_buffer_size(READ_BUFFER)
        .max_message_size(Some(max_message_size))
        .max_frame_size(Some(max_message_size))
}

/// Connects to `url` (`ws://host:port/path`), announcing `negotiation`.
///
/// # Errors
/// Says which address failed and how.
pub async fn connect(
    url: &Uri,
    negotiation: &Negotiation,
    max_message_size: usize,
) -> Result<WebSocket<TcpStream>, TransportError> {
    let host = url.host().unwrap_or_default();
    let stream =
        dial(host.trim_start_matches('[').trim_end_matches(']'), url.port_u16().unwrap_or(80)).await?;
    let authority = url.authority().map_or("", |authority| authority.as_str());
    let target = format!("ws://{authority}{}?{}", url.path(), negotiation.to_query());
    let request = target
        .as_str()
        .into_client_request()
        .map_err(|error| TransportError::Handshake(format!("{url}: {error}")))?;
    let (socket, _) = tokio_tungstenite::client_async_with_config(
        request,
        Metered::new(stream),
        Some(config(max_message_size)),
    )
    .await
    .map_err(|error| TransportError::Handshake(describe_handshake(url, &error)))?;
    Ok(WebSocket::new(socket))
}

/// Opens a TCP connection, trying every address of the host in turn.
async fn dial(host: &str, port: u16) -> Result<TcpStream, TransportError> {
    let addresses: Vec<_> = tokio::net::lookup_host((host, port))
        .await
        .map_err(|error| TransportError::Resolve(format!("{host}: {error}")))?
        .collect();
    let mut failures = Vec::new();
    for address in &addresses {
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
    if failures.is_empty() {
        return Err(TransportError::Resolve(format!("{host}: the name has no address")));
    }
    Err(TransportError::Connect(failures.join("; ")))
}

fn describe_handshake(url: &Uri, error: &WsError) -> String {
    match error {
        WsError::Http(response) => {
            let status = response.status();
            let body = response.body().as_deref().map(String::from_utf8_lossy).unwrap_or_default();
            let detail = body.lines().next().unwrap_or_default();
            if detail.is_empty() {
                format!("{url}: the server answered HTTP {status} instead of a WebSocket")
            } else {
                format!("{url}: the server answered HTTP {status} instead of a WebSocket: {detail:.200}")
            }
        }
        WsError::Protocol(_) | WsError::HttpFormat(_) => format!("{url}: not a WebSocket server: {error}"),
        _ => format!("{url}: no WebSocket handshake: {error}"),
    }
}

/// A WebSocket as a message transport, of either side.
pub struct WebSocket<S> {
    socket: WebSocketStream<Metered<S>>,
    closing: bool,
}

impl<S: AsyncRead + AsyncWrite + Unpin> WebSocket<S> {
    /// Wraps an established WebSocket.
    pub fn new(socket: WebSocketStream<Metered<S>>) -> Self {
        Self { socket, closing: false }
    }
}

impl<S: AsyncRead + AsyncWrite + Unpin + Send> Transport for WebSocket<S> {
    fn poll_recv(&mut self, cx: &mut Context<'_>) -> Poll<Option<Result<Bytes, TransportError>>> {
        loop {
            return Poll::Ready(match ready!(Pin::new(&mut self.socket).poll_next(cx)) {
                Some(Ok(WsMessage::Binary(bytes))) => Some(Ok(bytes)),
                // Only binary messages are legal; a text message is read as its bytes
                // (docs/protocol/transport.md §2.4).
                Some(Ok(WsMessage::Text(text))) => Some(Ok(text.into())),
                Some(Ok(WsMessage::Close(frame))) => match frame {
                    Some(frame) if !is_orderly(frame.code) => Some(Err(TransportError::Lost(format!(
                        "the peer closed the WebSocket with code {}{}{}",
                        u16::from(frame.code),
                        if frame.reason.is_empty() { "" } else { ": " },
                        frame.reason
                    )))),
                    _ => None,
                },
                // The library answers pings itself, at the next read or write.
                Some(Ok(WsMessage::Ping(_) | WsMessage::Pong(_) | WsMessage::Frame(_))) => continue,
                Some(Err(WsError::ConnectionClosed | WsError::AlreadyClosed)) | None => None,
                Some(Err(error)) => Some(Err(describe(error))),
            });
        }
    }

    fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), TransportError>> {
        Pin::new(&mut self.socket).poll_ready(cx).map_err(describe)
    }

    fn send(&mut self, message: Bytes) -> Result<(), TransportError> {
        Pin::new(&mut self.socket).start_send(WsMessage::Binary(message)).map_err(describe)
    }

    fn poll_flush(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), TransportError>> {
        Pin::new(&mut self.socket).poll_flush(cx).map_err(describe)
    }

    fn bytes_written(&self) -> u64 {
        self.socket.get_ref().written()
    }

    fn poll_close(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), TransportError>> {
        if !self.closing {
            ready!(Pin::new(&mut self.socket).poll_ready(cx)).map_err(describe)?;
            let goodbye = CloseFrame { code: CloseCode::Normal, reason: "".into() };
            Pin::new(&mut self.socket).start_send(WsMessage::Close(Some(goodbye))).map_err(describe)?;
            self.closing = true;
        }
        match ready!(Pin::new(&mut self.socket).poll_close(cx)) {
            Ok(()) | Err(WsError::ConnectionClosed | WsError::AlreadyClosed) => Poll::Ready(Ok(())),
            Err(error) => Poll::Ready(Err(describe(error))),
        }
    }
}

fn is_orderly(code: CloseCode) -> bool {
    matches!(code, CloseCode::Normal | CloseCode::Away | CloseCode::Status)
}

fn describe(error: WsError) -> TransportError {
    match error {
        WsError::ConnectionClosed | WsError::AlreadyClosed => {
            TransportError::Lost("the WebSocket is closed".to_owned())
        }
        WsError::Io(error) if error.kind() == io::ErrorKind::UnexpectedEof => {
            TransportError::Lost("the peer closed the connection".to_owned())
        }
        WsError::Io(error) => TransportError::Lost(error.to_string()),
        WsError::Protocol(
            tokio_tungstenite::tungstenite::error::ProtocolError::ResetWithoutClosingHandshake,
        ) => TransportError::Lost("the peer closed the connection".to_owned()),
        WsError::Capacity(error) => TransportError::Malformed(error.to_string()),
        WsError::Protocol(error) => TransportError::Malformed(error.to_string()),
        WsError::Utf8(error) => TransportError::Malformed(error),
        other => TransportError::Lost(other.to_string()),
    }
}

/// Type of the handshake callback's refusal, for servers.
pub type Refusal = handshake::server::ErrorResponse;
