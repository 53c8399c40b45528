//! The task of one connection: handshake, then messages between the transport and the core.

use std::future::{Future, poll_fn};
use std::net::SocketAddr;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, Waker};
use std::time::{Duration, Instant};

use iscp::encoding::{Encoding, Schema};
use iscp::message::Message;
use iscp::transport::multi::Control;
use iscp::transport::{Channel, Negotiation, Received, Transport, TransportError, compressed};
use tokio::sync::watch;
use tokio::time::Sleep;
use tracing::debug;

use super::driver::Shared;
use super::group::Place;
use crate::core::{Broker, ConnId, Outgoing, PeerInfo};

/// Messages, and bytes of them, that are read before others get their turn. A single one may be larger.
pub(super) const READ_BURST: usize = 64;
pub(super) const READ_BURST_BYTES: usize = 128 * 1024;
/// Bytes handed to the socket before they are flushed and others get their turn. What is handed over
/// can no longer be overtaken by something more urgent.
const WRITE_BURST: usize = 64 * 1024;
/// Largest message of a client that has not said who it is: what it can make us do costs it as much.
const STRANGER: usize = 64 * 1024;
/// Time for the last messages and the closing handshake of the WebSocket. Rust waits 3 s for a
/// response, so a refusal has that long at most.
const CLOSE_LIMIT: Duration = Duration::from_secs(3);

/// A connection after its handshake.
pub(super) struct Accepted {
    pub(super) transport: Box<dyn Transport>,
    pub(super) negotiation: Negotiation,
    pub(super) peer: PeerInfo,
    /// Whether it is encrypted.
    pub(super) secure: bool,
}

/// Completes the handshake of one connection, in bounded time, and serves it.
pub(super) async fn run(
    shared: Arc<Shared>,
    address: SocketAddr,
    handshake: impl Future<Output = Option<Accepted>>,
    mut stop: watch::Receiver<Option<Instant>>,
) {
    // Boxed: its state, larger than all that follows, is not kept for the life of the connection.
    let handshake = Box::pin(tokio::time::timeout(shared.config.handshake_timeout, handshake));
    let accepted = tokio::select! {
        accepted = handshake => accepted,
        _ = stop.changed() => return,
    };
    drop(stop);
    let accepted = match accepted {
        Ok(Some(accepted)) => accepted,
        Ok(None) => return,
        Err(_) => {
            debug!(%address, "the handshake took too long");
            return;
        }
    };
    let (encoding, peer) = (accepted.negotiation.encoding, accepted.peer.clone());
    let limit = shared.config.core.limits.message_bytes;
    let (mut transport, founded): (Box<dyn Transport>, _) = match accepted.negotiation.group.clone() {
        None => (compressed(accepted.transport, &accepted.negotiation, limit), None),
        // Boxed as the handshake is.
        Some(group) => match Box::pin(shared.groups.enter(&shared.config, &group, accepted)).await {
            Place::Founder(bundle, founded) => (bundle, Some(founded)),
            Place::Member => return,
        },
    };
    let mut first = None;
    loop {
        let conn = shared.next_conn();
        debug!(conn = conn.0, %address, "transport open");
        shared.with_core(|core| core.connected(conn, peer.clone(), Instant::now()));
        // Also when the task is cancelled or panics, the core hears of the end.
        let registered = Registered { shared: &shared, conn };
        if let Some(request) = first.take() {
            shared.with_core(|core| core.handle_message(conn, request, Instant::now()));
        }
        shared.wake_others(Some(conn));
        let mut link = Link {
            shared: &shared,
            conn,
            encoding,
            schema: Schema::default(),
            transport,
            grouped: founded.is_some(),
            pong: None,
            waker: None,
            admitted: shared.with_core(|core| core.is_admitted(conn)),
            again: None,
            unflushed: false,
            stall: None,
        };
        let end = poll_fn(|cx| link.poll(cx)).await;
        debug!(conn = conn.0, ?end, "connection ends");
        first = link.again;
        transport = link.transport;
        drop(registered);
        match end {
            End::Again => continue,
            End::Finished => finish(&mut *transport).await,
            // The library has the answer to the peer's close ready.
            End::Closed => {
                let _ = tokio::time::timeout(CLOSE_LIMIT, poll_fn(|cx| transport.poll_flush(cx))).await;
            }
            End::Lost(_) | End::Stalled => {}
        }
        return;
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
        self.shared.with_core(|core| core.connection_lost(self.conn, Instant::now()));
        self.shared.wake_others(None);
    }
}

/// Says goodbye and waits for the peer to do so: closing a socket with unread data would discard what
/// the peer has not read yet, such as the reason it is being refused.
async fn finish(transport: &mut dyn Transport) {
    let goodbye = poll_fn(|cx| {
        let closed = transport.poll_close(cx);
        while let Poll::Ready(message) = transport.poll_recv(cx) {
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
    /// The client of a group begins anew.
    Again,
}

struct Link<'a> {
    shared: &'a Shared,
    conn: ConnId,
    encoding: Encoding,
    transport: Box<dyn Transport>,
    /// It is that of a group, which a client that was restarted can come back to.
    grouped: bool,
    /// The request by which the client begins anew.
    again: Option<Message>,
    /// The answer to the last ping of the client's transport.
    pong: Option<u32>,
    /// How the others wake this task, as they know it.
    waker: Option<Waker>,
    /// What the client can read, known once it is answered.
    schema: Schema,
    /// The client said who it is and may stay.
    admitted: bool,
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
        if !self.waker.as_ref().is_some_and(|known| known.will_wake(cx.waker())) {
            self.waker = Some(cx.waker().clone());
            self.shared.register(self.conn, cx.waker());
        }
        if let Poll::Ready(end) = self.poll_read(cx) {
            return Poll::Ready(end);
        }
        match self.poll_write(cx) {
            Poll::Ready(end) => Poll::Ready(end),
            // Nobody is left to say goodbye to.
            Poll::Pending
                if self.transport.is_deserted()
                    && self.shared.with_core(|core| core.is_closing(self.conn)) =>
            {
                Poll::Ready(End::Finished)
            }
            Poll::Pending => self.poll_stall(cx),
        }
    }

    /// Reads what there is, whatever the state of the other direction: a client that is slow to read
    /// can still send, and its pongs be seen.
    fn poll_read(&mut self, cx: &mut Context<'_>) -> Poll<End> {
        let mut fed = false;
        let mut end = Poll::Pending;
        let mut bytes = 0;
        for burst in 0.. {
            if burst == READ_BURST || bytes >= READ_BURST_BYTES {
                cx.waker().wake_by_ref();
                break;
            }
            match self.transport.poll_recv(cx) {
                Poll::Pending => break,
                Poll::Ready(Some(Ok(received))) => {
                    bytes += received.bytes.len();
                    self.receive(received);
                }
                Poll::Ready(Some(Err(TransportError::Malformed(reason))))
                    if !self.shared.with_core(|core| core.is_closing(self.conn)) =>
                {
                    self.shared.with_core(|core| core.malformed(self.conn, &reason, Instant::now()));
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
            if self.again.is_some() {
                end = Poll::Ready(End::Again);
                break;
            }
        }
        if fed {
            self.shared.wake_others(Some(self.conn));
        }
        end
    }

    fn receive(&mut self, received: Received) {
        // Whoever asks gets an answer, with several transports or not (docs/protocol/transport.md §7.1).
        if let Ok(Some(Control::Ping(number))) = Control::parse(&received.bytes) {
            self.pong = Some(number);
            return;
        }
        if !self.admitted {
            if received.channel == Channel::Unreliable {
                return;
            }
            if received.bytes.len() > STRANGER {
                let reason = format!("a first message of more than {STRANGER} bytes");
                return self.shared.with_core(|core| core.malformed(self.conn, &reason, Instant::now()));
            }
        }
        let message = self.encoding.decode(received.bytes);
        if self.grouped && self.admitted && matches!(message, Ok(Message::ConnectRequest(_))) {
            self.again = message.ok();
            return;
        }
        // Only chunks come by datagram; whatever else does, or cannot be read, is dropped alone
        // (docs/protocol/transport.md §5.5, §5.6).
        if received.channel == Channel::Unreliable && !matches!(message, Ok(Message::UpstreamChunk(_))) {
            debug!(conn = self.conn.0, "dropped a datagram message that is no chunk");
            return;
        }
        let admitted = self.shared.with_core(|core| {
            match message {
                Ok(message) => core.handle_message(self.conn, message, Instant::now()),
                Err(error) => core.malformed(self.conn, &error.to_string(), Instant::now()),
            }
            self.admitted || core.is_admitted(self.conn)
        });
        if admitted && !self.admitted {
            self.admitted = true;
            self.transport.admit();
        }
    }

    /// Writes what the core has, in bursts. Nothing is fetched while the socket takes nothing, so the
    /// most urgent message goes first when it does again.
    fn poll_write(&mut self, cx: &mut Context<'_>) -> Poll<End> {
        if self.unflushed {
            match self.transport.poll_flush(cx) {
                Poll::Pending => return self.poll_write_datagrams(cx),
                Poll::Ready(Err(error)) => return Poll::Ready(End::Lost(error)),
                Poll::Ready(Ok(())) => self.unflushed = false,
            }
        }
        let mut burst = 0;
        let mut done = false;
        let mut closing = false;
        while burst < WRITE_BURST {
            match self.transport.poll_ready(cx) {
                Poll::Pending => {
                    self.unflushed = true;
                    return self.poll_write_datagrams(cx);
                }
                Poll::Ready(Err(error)) => return Poll::Ready(End::Lost(error)),
                Poll::Ready(Ok(())) => {}
            }
            if let Some(number) = self.pong.take() {
                self.unflushed = true;
                if let Err(error) = self.transport.send(Control::Pong(number).encode()) {
                    return Poll::Ready(End::Lost(error));
                }
                continue;
            }
            let next = self.shared.with_core(|core| match core.poll_outgoing(self.conn) {
                Some(next) => Ok((core.is_unreliable(self.conn, next.message()), next)),
                None => Err(core.is_closing(self.conn)),
            });
            let (unreliable, message) = match next {
                Ok(next) => next,
                Err(is_closing) => {
                    done = true;
                    closing = is_closing;
                    break;
                }
            };
            if let Message::ConnectResponse(response) = message.message() {
                self.schema = Schema::of(&response.protocol_version);
            }
            self.unflushed = true;
            match self.send(&message, unreliable) {
                Ok(bytes) => burst += bytes,
                Err(error) => return Poll::Ready(End::Lost(error)),
            }
        }
        // Also with nothing to send: the library may have to answer the peer's WebSocket ping.
        match self.transport.poll_flush(cx) {
            Poll::Pending => {
                self.unflushed = true;
                return Poll::Pending;
            }
            Poll::Ready(Err(error)) => return Poll::Ready(End::Lost(error)),
            Poll::Ready(Ok(())) => self.unflushed = false,
        }
        if !done {
            cx.waker().wake_by_ref();
        } else if closing {
            return Poll::Ready(End::Finished);
        }
        Poll::Pending
    }

    /// Writes chunks that go by datagram while the stream takes nothing.
    fn poll_write_datagrams(&mut self, cx: &mut Context<'_>) -> Poll<End> {
        let mut burst = 0;
        while burst < WRITE_BURST {
            let limit = self.transport.datagram_limit();
            let next = self.shared.with_core(|core| {
                let next = core.poll_datagram(self.conn, limit)?;
                Some((core.is_unreliable(self.conn, next.message()), next))
            });
            let Some((unreliable, message)) = next else { break };
            match self.send(&message, unreliable) {
                Ok(bytes) => burst += bytes,
                Err(error) => return Poll::Ready(End::Lost(error)),
            }
        }
        if burst >= WRITE_BURST {
            cx.waker().wake_by_ref();
        }
        if burst > 0
            && let Poll::Ready(Err(error)) = self.transport.poll_flush(cx)
        {
            return Poll::Ready(End::Lost(error));
        }
        Poll::Pending
    }

    /// Hands a message to the transport; returns its size.
    fn send(&mut self, message: &Outgoing, unreliable: bool) -> Result<usize, TransportError> {
        let bytes = message.encode(self.encoding, self.schema);
        let size = bytes.len();
        if !unreliable {
            self.transport.send(bytes)?;
        } else if !self.transport.send_unreliable(bytes)? {
            self.shared.with_core(Broker::datagram_dropped);
        }
        Ok(size)
    }

    /// Gives up on a socket that takes nothing for too long (docs/protocol/behaviour.md §11 item 77).
    fn poll_stall(&mut self, cx: &mut Context<'_>) -> Poll<End> {
        if !self.unflushed {
            self.stall = None;
            return Poll::Pending;
        }
        let written = self.transport.bytes_written();
        let limit = || self.shared.with_core(|core| core.stall_limit(self.conn));
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
