//! The task of one connection: WebSocket handshake, then messages between the socket and the core.

use std::future::{Future, poll_fn};
use std::net::SocketAddr;
use std::pin::Pin;
use std::rc::Rc;
use std::task::{Context, Poll};
use std::time::{Duration, Instant};

use bytes::Bytes;
use iscp::encoding::Schema;
use iscp::message::Message;
use iscp::transport::websocket::{self, Refusal, WebSocket};
use iscp::transport::{Metered, Negotiation, Transport, TransportError};
use tokio::net::TcpStream;
use tokio::sync::watch;
use tokio::time::Sleep;
use tokio_tungstenite::tungstenite::handshake::server::{Request, Response};
use tokio_tungstenite::tungstenite::http::{HeaderValue, StatusCode, header};
use tracing::{debug, info};

use super::driver::Shared;
use crate::core::{ConnId, PeerInfo};

/// Messages read before others get their turn.
const READ_BURST: usize = 64;
/// Bytes handed to the socket before they are flushed and others get their turn. What is handed over
/// can no longer be overtaken by something more urgent.
const WRITE_BURST: usize = 64 * 1024;
/// Time for the last messages and the closing handshake of the WebSocket. Rust waits 3 s for a
/// response, so a refusal has that long at most.
const CLOSE_LIMIT: Duration = Duration::from_secs(3);

/// Serves one TCP connection.
pub(super) async fn run(
    shared: Rc<Shared>,
    socket: TcpStream,
    address: SocketAddr,
    mut stop: watch::Receiver<Option<Instant>>,
) {
    // Messages are batched here; a delay below would only add to their latency.
    let _ = socket.set_nodelay(true);
    // Boxed: its state, larger than all that follows, is not kept for the life of the connection.
    let handshake =
        Box::pin(tokio::time::timeout(shared.config.handshake_timeout, accept(&shared, socket, address)));
    let accepted = tokio::select! {
        accepted = handshake => accepted,
        _ = stop.changed() => return,
    };
    drop(stop);
    let accepted = match accepted {
        Ok(Some(accepted)) => accepted,
        Ok(None) => return,
        Err(_) => {
            debug!(%address, "WebSocket handshake took too long");
            return;
        }
    };
    let conn = shared.next_conn();
    debug!(conn = conn.0, %address, "WebSocket open");
    shared.core.borrow_mut().connected(conn, accepted.peer, Instant::now());
    // Also when the task is cancelled or panics, the core hears of the end.
    let registered = Registered { shared: &shared, conn };
    shared.wake_others(Some(conn));
    let mut link = Link {
        shared: &shared,
        conn,
        negotiation: accepted.negotiation,
        socket: accepted.socket,
        schema: Schema::default(),
        unflushed: false,
        stall: None,
    };
    let end = poll_fn(|cx| link.poll(cx)).await;
    debug!(conn = conn.0, ?end, "connection ends");
    let Link { mut socket, .. } = link;
    drop(registered);
    match end {
        End::Finished => finish(&mut socket).await,
        // The library has the answer to the peer's close ready.
        End::Closed => {
            let _ = tokio::time::timeout(CLOSE_LIMIT, poll_fn(|cx| socket.poll_flush(cx))).await;
        }
        End::Lost(_) | End::Stalled => {}
    }
}

/// Tells the core of the end of a connection when dropped.
struct Registered<'a> {
    shared: &'a Shared,
    conn: ConnId,
}

impl Drop for Registered<'_> {
    fn drop(&mut self) {
        self.shared.forget(self.conn);
        // Borrowed only when the core itself panicked, and then nothing can be told any more.
        if let Ok(mut core) = self.shared.core.try_borrow_mut() {
            core.connection_lost(self.conn, Instant::now());
            drop(core);
            self.shared.wake_others(None);
        }
    }
}

type Socket = WebSocket<TcpStream>;

/// A connection after its handshake.
struct Accepted {
    socket: Socket,
    negotiation: Negotiation,
    peer: PeerInfo,
}

/// Makes a WebSocket, at whatever path, with parameters that this server can serve.
async fn accept(shared: &Shared, socket: TcpStream, address: SocketAddr) -> Option<Accepted> {
    let mut negotiation = Negotiation::default();
    let mut peer = PeerInfo { address: Some(address.ip()), authorization: None };
    let limits = &shared.config.core.limits;
    let full = shared.core.borrow().stats().connections >= limits.connections;
    #[allow(clippy::result_large_err, reason = "the library's own type")]
    let examine = |request: &Request, response: Response| {
        if full {
            return Err(refuse(StatusCode::SERVICE_UNAVAILABLE, "too many connections"));
        }
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
        Metered::new(socket),
        examine,
        Some(websocket::config(limits.message_bytes)),
    )
    .await;
    match accepted {
        Ok(socket) => Some(Accepted { socket: WebSocket::new(socket), negotiation, peer }),
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

/// Says goodbye and waits for the peer to do so: closing a socket with unread data would discard what
/// the peer has not read yet, such as the reason it is being refused.
async fn finish(socket: &mut Socket) {
    let goodbye = poll_fn(|cx| {
        let closed = socket.poll_close(cx);
        while let Poll::Ready(message) = socket.poll_recv(cx) {
            if !matches!(message, Some(Ok(_))) {
                return Poll::Ready(());
            }
        }
        if matches!(closed, Poll::Ready(Err(_))) {
            return Poll::Ready(());
        }
        Poll::Pending
    });
    let _ = tokio::time::timeout(CLOSE_LIMIT, goodbye).await;
}

/// How a connection ended.
#[derive(Debug)]
enum End {
    /// The core wants it closed and everything is sent.
    Finished,
    /// The peer closed it.
    Closed,
    /// It broke.
    Lost(#[allow(dead_code, reason = "for the log")] TransportError),
    /// The socket took nothing for too long.
    Stalled,
}

struct Link<'a> {
    shared: &'a Shared,
    conn: ConnId,
    negotiation: Negotiation,
    socket: Socket,
    /// What the client can read, known once it is answered.
    schema: Schema,
    /// Handed to the socket, not yet with the system.
    unflushed: bool,
    stall: Option<Stall>,
}

/// A socket that takes nothing at the moment.
struct Stall {
    written: u64,
    limit: Pin<Box<Sleep>>,
}

impl Link<'_> {
    fn poll(&mut self, cx: &mut Context<'_>) -> Poll<End> {
        self.shared.register(self.conn, cx);
        if let Poll::Ready(end) = self.poll_read(cx) {
            return Poll::Ready(end);
        }
        match self.poll_write(cx) {
            Poll::Ready(end) => Poll::Ready(end),
            Poll::Pending => self.poll_stall(cx),
        }
    }

    /// Reads what there is, whatever the state of the other direction: a client that is slow to read
    /// can still send, and its pongs be seen.
    fn poll_read(&mut self, cx: &mut Context<'_>) -> Poll<End> {
        let mut fed = false;
        let mut end = Poll::Pending;
        for burst in 0.. {
            if burst == READ_BURST {
                cx.waker().wake_by_ref();
                break;
            }
            match self.socket.poll_recv(cx) {
                Poll::Pending => break,
                Poll::Ready(Some(Ok(bytes))) => self.receive(bytes),
                Poll::Ready(Some(Err(TransportError::Malformed(reason))))
                    if !self.shared.core.borrow().is_closing(self.conn) =>
                {
                    self.shared.core.borrow_mut().malformed(self.conn, &reason, Instant::now());
                    // Nothing can be read behind it.
                    fed = true;
                    break;
                }
                Poll::Ready(Some(Err(error))) => {
                    end = Poll::Ready(End::Lost(error));
                    break;
                }
                Poll::Ready(None) => {
                    end = Poll::Ready(End::Closed);
                    break;
                }
            }
            fed = true;
        }
        if fed {
            self.shared.wake_others(Some(self.conn));
        }
        end
    }

    fn receive(&self, bytes: Bytes) {
        let message = self.negotiation.encoding.decode(bytes);
        let mut core = self.shared.core.borrow_mut();
        match message {
            Ok(message) => core.handle_message(self.conn, message, Instant::now()),
            Err(error) => core.malformed(self.conn, &error.to_string(), Instant::now()),
        }
    }

    /// Writes what the core has, in bursts. Nothing is fetched while the socket takes nothing, so the
    /// most urgent message goes first when it does again.
    fn poll_write(&mut self, cx: &mut Context<'_>) -> Poll<End> {
        if self.unflushed {
            match self.socket.poll_flush(cx) {
                Poll::Pending => return Poll::Pending,
                Poll::Ready(Err(error)) => return Poll::Ready(End::Lost(error)),
                Poll::Ready(Ok(())) => self.unflushed = false,
            }
        }
        let mut burst = 0;
        let mut done = false;
        while burst < WRITE_BURST {
            match self.socket.poll_ready(cx) {
                Poll::Pending => {
                    self.unflushed = true;
                    return Poll::Pending;
                }
                Poll::Ready(Err(error)) => return Poll::Ready(End::Lost(error)),
                Poll::Ready(Ok(())) => {}
            }
            let Some(message) = self.shared.core.borrow_mut().poll_transmit(self.conn) else {
                done = true;
                break;
            };
            if let Message::ConnectResponse(response) = &message {
                self.schema = Schema::of(&response.protocol_version);
            }
            let bytes = self.negotiation.encoding.encode(&message, self.schema);
            burst += bytes.len();
            self.unflushed = true;
            if let Err(error) = self.socket.send(bytes) {
                return Poll::Ready(End::Lost(error));
            }
        }
        // Also with nothing to send: the library may have to answer the peer's WebSocket ping.
        match self.socket.poll_flush(cx) {
            Poll::Pending => {
                self.unflushed = true;
                return Poll::Pending;
            }
            Poll::Ready(Err(error)) => return Poll::Ready(End::Lost(error)),
            Poll::Ready(Ok(())) => self.unflushed = false,
        }
        if !done {
            cx.waker().wake_by_ref();
        } else if self.shared.core.borrow().is_closing(self.conn) {
            return Poll::Ready(End::Finished);
        }
        Poll::Pending
    }

    /// Gives up on a socket that takes nothing for too long (docs/protocol/behaviour.md §11 item 77).
    fn poll_stall(&mut self, cx: &mut Context<'_>) -> Poll<End> {
        if !self.unflushed {
            self.stall = None;
            return Poll::Pending;
        }
        let written = self.socket.bytes_written();
        let limit = || self.shared.core.borrow().stall_limit(self.conn);
        let stall =
            self.stall.get_or_insert_with(|| Stall { written, limit: Box::pin(tokio::time::sleep(limit())) });
        if stall.written != written {
            stall.written = written;
            stall.limit.as_mut().reset(tokio::time::Instant::now() + limit());
        }
        match stall.limit.as_mut().poll(cx) {
            Poll::Ready(()) => Poll::Ready(End::Stalled),
            Poll::Pending => Poll::Pending,
        }
    }
}
