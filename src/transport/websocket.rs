//! WebSocket: one binary message per protocol message (docs/protocol/transport.md §2).

use std::io;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};

use bytes::Bytes;
use futures_util::{Sink, Stream};
use tokio::io::{AsyncRead, AsyncWrite};
use tokio_tungstenite::WebSocketStream;
use tokio_tungstenite::tungstenite::client::IntoClientRequest;
use tokio_tungstenite::tungstenite::protocol::frame::coding::CloseCode;
use tokio_tungstenite::tungstenite::protocol::{CloseFrame, WebSocketConfig};
use tokio_tungstenite::tungstenite::{Error as WsError, Message as WsMessage, handshake};

use super::dial::{self, DialOptions};
use super::path::{Path, PathOwner};
#[cfg(feature = "tls")]
use super::tls;
use super::{Channel, Metered, Received, Target, Transport, TransportError, reason};

/// Size of the read buffer a connection holds for its whole life. Larger ones save system calls
/// under load but count against the memory of every idle connection.
const READ_BUFFER: usize = 16 * 1024;

/// Settings of a WebSocket for messages of at most `max_message_size` bytes, in either direction's
/// framing (clients cut messages into frames of every size).
pub fn config(max_message_size: usize) -> WebSocketConfig {
    WebSocketConfig::default()
        .read_buffer_size(READ_BUFFER)
        .max_message_size(Some(max_message_size))
        .max_frame_size(Some(max_message_size))
}

/// Connects to `target`, over TLS when its scheme says so.
///
/// # Errors
/// Says which address failed and how.
pub async fn connect(target: &Target, options: &DialOptions) -> Result<Box<dyn Transport>, TransportError> {
    let secure = target.scheme.is_secure();
    let (stream, socket) = dial::stream(&target.host, target.port, secure, options).await?;
    #[cfg(feature = "tls")]
    let (stream, agreed) = if secure {
        let connected = tls::connect(&options.tls, &target.host, &[b"http/1.1"], stream).await;
        let (stream, agreed) = connected.map_err(|error| in_front(target, error))?;
        (stream, Some(agreed))
    } else {
        (stream, None)
    };
    #[cfg(not(feature = "tls"))]
    let agreed = None;
    let socket =
        upgrade(target, options, stream).await?.on_path(PathOwner::tcp(target, options, &socket, agreed));
    Ok(Box::new(socket))
}

/// Names the server in front of a failure of TLS.
#[cfg(feature = "tls")]
fn in_front(target: &Target, error: TransportError) -> TransportError {
    match error {
        TransportError::Tls(why) => TransportError::Tls(format!("{target}: {why}")),
        other => other,
    }
}

/// Makes a WebSocket of a connected stream.
async fn upgrade(
    target: &Target,
    options: &DialOptions,
    stream: dial::Stream,
) -> Result<WebSocket<dial::Stream>, TransportError> {
    let url = format!("{target}?{}", options.negotiation.to_query());
    let mut request = url
        .as_str()
        .into_client_request()
        .map_err(|error| TransportError::Handshake(format!("{target}: {error}")))?;
    request.headers_mut().extend(options.headers.clone());
    let (socket, _) = tokio_tungstenite::client_async_with_config(
        request,
        Metered::new(stream),
        Some(config(options.max_message_size)),
    )
    .await
    .map_err(|error| {
        #[cfg(feature = "tls")]
        if let WsError::Io(error) = &error
            && let Some(error) = tls::failure(&options.tls, error)
        {
            return in_front(target, error);
        }
        TransportError::Handshake(describe_handshake(target, &error))
    })?;
    Ok(WebSocket::new(socket))
}

fn describe_handshake(url: &Target, error: &WsError) -> String {
    match error {
        WsError::Http(response) => {
            let status = response.status();
            let body = response.body().as_deref().unwrap_or_default();
            let line = body.split(|byte| *byte == b'\n').next().unwrap_or_default().trim_ascii();
            format!("{url}: the server answered HTTP {status} instead of a WebSocket{}", reason(line))
        }
        WsError::Protocol(_) | WsError::HttpFormat(_) => format!("{url}: not a WebSocket server: {error}"),
        _ => format!("{url}: no WebSocket handshake: {error}"),
    }
}

/// A WebSocket as a message transport, of either side.
pub struct WebSocket<S> {
    /// Ends before the socket does.
    path: Option<PathOwner>,
    socket: WebSocketStream<Metered<S>>,
    closing: bool,
}

impl<S: AsyncRead + AsyncWrite + Unpin> WebSocket<S> {
    /// Wraps an established WebSocket.
    pub fn new(socket: WebSocketStream<Metered<S>>) -> Self {
        Self { path: None, socket, closing: false }
    }

    /// Says what it travels on.
    fn on_path(self, path: PathOwner) -> Self {
        Self { path: Some(path), ..self }
    }
}

impl<S: AsyncRead + AsyncWrite + Unpin + Send> Transport for WebSocket<S> {
    fn poll_recv(&mut self, cx: &mut Context<'_>) -> Poll<Option<Result<Received, TransportError>>> {
        loop {
            return Poll::Ready(match ready!(Pin::new(&mut self.socket).poll_next(cx)) {
                Some(Ok(WsMessage::Binary(bytes))) => Some(Ok(reliable(bytes))),
                // Only binary messages are legal; a text message is read as its bytes
                // (docs/protocol/transport.md §2.4).
                Some(Ok(WsMessage::Text(text))) => Some(Ok(reliable(text.into()))),
                Some(Ok(WsMessage::Close(frame))) => match frame {
                    Some(frame) if !is_orderly(frame.code) => Some(Err(TransportError::Lost(format!(
                        "the peer closed the WebSocket with code {}{}",
                        u16::from(frame.code),
                        reason(frame.reason.as_bytes())
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

    fn describe(&self) -> Vec<Arc<Path>> {
        self.path.iter().map(PathOwner::path).collect()
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

fn reliable(bytes: Bytes) -> Received {
    Received { bytes, channel: Channel::Reliable }
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
