//! The transport: messages on the streams and in the datagrams of a connection.

use std::future::Future;
use std::io;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};
use std::time::{Duration, Instant};

#[cfg(feature = "webtransport")]
use bytes::Buf;
use bytes::Bytes;
use futures_util::stream::{self, BoxStream, StreamExt};
use quinn::{Connection, RecvStream, SendStream, Side, VarInt};
use tokio::io::AsyncWrite;
use tokio::time::{Sleep, sleep, sleep_until};

use super::Streams;
use super::datagrams::Outgoing;
use super::failure::{closed, describe_end};
use crate::transport::framing::{MessageReader, MessageWriter, ReadError};
use crate::transport::path::{Path, PathOwner};
use crate::transport::segments::{Limits, Reassembler};
#[cfg(feature = "webtransport")]
use crate::transport::webtransport::{self, Session};
use crate::transport::{Channel, Received, Transport, TransportError};

/// What the library holds of a stream beyond what the path takes in a round trip. It can no longer be
/// overtaken by a pong.
pub(super) const UNSENT_LIMIT: u64 = 128 * 1024;
/// Datagrams taken without a message before others get their turn.
const DATAGRAM_TURN: usize = 256;
/// Messages put together from datagrams: larger than those that we send.
const REASSEMBLY: Limits =
    Limits { message: 4 << 20, held: 8 << 20, partials: 64, age: Duration::from_secs(5) };
/// A server waits this long after its last message for the client to close: some clients drop what they
/// have not read when the close arrives.
const LINGER: Duration = Duration::from_millis(500);
/// How long messages are waited for that were sent before the end of a session. Most peers end or reset
/// their stream, or close the connection, long before.
#[cfg(feature = "webtransport")]
const LATE_MESSAGES: Duration = Duration::from_millis(500);
/// How long the packet with the close may wait for the socket, and how often that is looked at.
const CLOSE_SENT: (Duration, Duration) = (Duration::from_millis(200), Duration::from_millis(1));

/// What a transport is made of.
pub(in crate::transport) struct Parts {
    pub(in crate::transport) side: Side,
    pub(in crate::transport) connection: Connection,
    /// The first stream of the peer that is left carries its messages.
    pub(in crate::transport) streams: Streams,
    pub(in crate::transport) outgoing: SendStream,
    /// Before every datagram.
    pub(in crate::transport) datagram_prefix: Bytes,
    /// Bytes of a datagram at most, 0 for what the path takes.
    pub(in crate::transport) datagram_size: usize,
    pub(in crate::transport) max_message_size: usize,
    /// Code of an orderly close.
    pub(in crate::transport) close_code: VarInt,
    /// Code for streams that are not read.
    pub(in crate::transport) refusal_code: VarInt,
    /// What the streams belong to, if not to the connection itself.
    #[cfg(feature = "webtransport")]
    pub(in crate::transport) session: Option<Session>,
}

/// A QUIC connection as a message transport, of either side.
///
/// `bytes_written` counts what the library took from the message stream. It holds no more than the path
/// takes in a round trip and [`UNSENT_LIMIT`], so that more is taken only after the peer acknowledged.
pub struct QuicTransport {
    /// What it says of itself.
    path: Option<PathOwner>,
    side: Side,
    connection: Connection,
    streams: Option<Streams>,
    reader: Option<MessageReader<RecvStream>>,
    writer: MessageWriter<SendStream>,
    max_message_size: usize,
    datagrams: BoxStream<'static, Bytes>,
    outgoing: Outgoing,
    reassembler: Reassembler,
    /// Wakes the task when a message is to be given up.
    expiry: Option<(Instant, Pin<Box<Sleep>>)>,
    /// Whether a message of the peer came on its stream.
    heard: bool,
    /// Whether datagrams come first the next time.
    datagrams_first: bool,
    /// How the messages ended, while datagrams that came before are still handed out.
    end: Option<End>,
    wrote: Option<Instant>,
    closing: Closing,
    close_code: VarInt,
    refusal_code: VarInt,
    #[cfg(feature = "webtransport")]
    session: Option<Session>,
    /// How the peer ended the session, and how long messages that it sent before are waited for.
    #[cfg(feature = "webtransport")]
    session_end: Option<(End, Pin<Box<Sleep>>)>,
}

/// How the messages of the peer ended.
type End = Result<(), TransportError>;

/// How far closing is.
enum Closing {
    No,
    /// Everything is with the library; the peer has yet to acknowledge.
    Acknowledgement,
    /// The peer has it and is given time to read it.
    Linger(Pin<Box<Sleep>>),
    /// The rest of the goodbye of a session is to be written, and then acknowledged.
    #[cfg(feature = "webtransport")]
    Goodbye(Bytes),
    Close,
    /// Waits until the packet with the close has left.
    Sent {
        packets: u64,
        until: Instant,
        tick: Pin<Box<Sleep>>,
    },
    Done,
}

impl QuicTransport {
    /// Says what it travels on.
    pub(in crate::transport) fn on_path(mut self, path: PathOwner) -> Self {
        self.path = Some(path);
        self
    }

    pub(in crate::transport) fn new(parts: Parts) -> Self {
        let datagrams = stream::unfold(parts.connection.clone(), |connection| async move {
            let datagram = connection.read_datagram().await.ok()?;
            Some((datagram, connection))
        });
        let message = REASSEMBLY.message.min(parts.max_message_size);
        Self {
            path: None,
            side: parts.side,
            connection: parts.connection,
            streams: Some(parts.streams),
            reader: None,
            writer: MessageWriter::new(parts.outgoing),
            max_message_size: parts.max_message_size,
            datagrams: datagrams.fuse().boxed(),
            outgoing: Outgoing::new(parts.datagram_prefix, parts.datagram_size),
            reassembler: Reassembler::new(Limits { message, ..REASSEMBLY }),
            expiry: None,
            heard: false,
            datagrams_first: false,
            end: None,
            wrote: None,
            closing: Closing::No,
            close_code: parts.close_code,
            refusal_code: parts.refusal_code,
            #[cfg(feature = "webtransport")]
            session: parts.session,
            #[cfg(feature = "webtransport")]
            session_end: None,
        }
    }

    /// Takes the first stream of the peer and refuses the others.
    fn poll_streams(&mut self, cx: &mut Context<'_>) {
        while let Some(streams) = &mut self.streams {
            match streams.poll_next_unpin(cx) {
                Poll::Pending => return,
                Poll::Ready(Some(Ok(stream))) if self.reader.is_none() => {
                    self.reader = Some(MessageReader::new(stream, self.max_message_size));
                }
                Poll::Ready(Some(Ok(mut stream))) => {
                    tracing::debug!("refused stream {} of the peer: one is read", stream.id());
                    // Fails only for a stream that ended already.
                    let _ = stream.stop(self.refusal_code);
                }
                Poll::Ready(Some(Err(_)) | None) => self.streams = None,
            }
        }
    }

    /// Next message of the stream, or its end.
    fn poll_message(&mut self, cx: &mut Context<'_>) -> Poll<Result<Bytes, End>> {
        self.poll_streams(cx);
        let message = self.poll_stream(cx);
        #[cfg(feature = "webtransport")]
        return self.or_session_end(message, cx);
        #[cfg(not(feature = "webtransport"))]
        message
    }

    /// The end of the session is that of the messages, but it comes on a stream of its own and may overtake
    /// some of them.
    #[cfg(feature = "webtransport")]
    fn or_session_end(
        &mut self,
        message: Poll<Result<Bytes, End>>,
        cx: &mut Context<'_>,
    ) -> Poll<Result<Bytes, End>> {
        if matches!(message, Poll::Ready(Ok(_)) | Poll::Ready(Err(Err(TransportError::Malformed(_))))) {
            return message;
        }
        if self.session_end.is_none()
            && let Some(session) = &mut self.session
            && let Poll::Ready(end) = session.ended.as_mut().poll(cx)
        {
            // Not polled again.
            session.ended = Box::pin(std::future::pending());
            self.session_end = Some((end, Box::pin(sleep(LATE_MESSAGES))));
        }
        let Some((end, limit)) = &mut self.session_end else { return message };
        if message.is_pending() {
            ready!(limit.as_mut().poll(cx));
        }
        // A stream that ends with its session says nothing else.
        Poll::Ready(Err(end.clone()))
    }

    fn poll_stream(&mut self, cx: &mut Context<'_>) -> Poll<Result<Bytes, End>> {
        let Some(reader) = &mut self.reader else {
            // Without a stream only the end of the connection is left to tell.
            return match (&self.streams, self.connection.close_reason()) {
                (None, Some(reason)) => Poll::Ready(Err(describe_end(reason).map_or(Ok(()), Err))),
                _ => Poll::Pending,
            };
        };
        Poll::Ready(match ready!(reader.poll_next(cx)) {
            Some(Ok(message)) => Ok(message),
            None => Err(Ok(())),
            Some(Err(ReadError::Message(error))) => Err(Err(error)),
            Some(Err(ReadError::Stream(error))) => Err(self.describe(&error)),
        })
    }

    /// Next message that came by datagrams.
    fn poll_datagrams(&mut self, cx: &mut Context<'_>) -> Poll<Bytes> {
        let now = Instant::now();
        self.reassembler.expire(now);
        // Both sides begin with a message on their streams (docs/protocol/transport.md §5.6). Nothing is kept
        // of a peer that may yet be refused.
        let expected = self.heard && self.wrote.is_some();
        for _ in 0..DATAGRAM_TURN {
            let Poll::Ready(Some(datagram)) = self.datagrams.poll_next_unpin(cx) else {
                self.await_expiry(cx);
                return Poll::Pending;
            };
            let Some(segment) = datagram.strip_prefix(self.outgoing.prefix()) else { continue };
            if !expected {
                continue;
            }
            match self.reassembler.receive(segment, now) {
                // An empty message says nothing.
                Some(message) if !message.is_empty() => return Poll::Ready(message),
                _ => {}
            }
        }
        cx.waker().wake_by_ref();
        Poll::Pending
    }

    /// Arranges that what is held of incomplete messages is given up also when nothing else happens.
    fn await_expiry(&mut self, cx: &mut Context<'_>) {
        let Some(at) = self.reassembler.next_expiry() else {
            self.expiry = None;
            return;
        };
        let (set, timer) = self.expiry.get_or_insert_with(|| (at, Box::pin(sleep_until(at.into()))));
        if *set != at {
            *set = at;
            timer.as_mut().reset(at.into());
        }
        if timer.as_mut().poll(cx).is_ready() {
            self.expiry = None;
            cx.waker().wake_by_ref();
        }
    }

    /// What a failure of a stream means: nothing bad if the peer closed in an orderly way.
    fn describe(&self, error: &io::Error) -> Result<(), TransportError> {
        match self.connection.close_reason() {
            Some(reason) => describe_end(reason).map_or(Ok(()), Err),
            None => Err(TransportError::Lost(format!("the message stream: {error}"))),
        }
    }

    fn broken(&self, error: &io::Error) -> TransportError {
        self.describe(error).err().unwrap_or_else(closed)
    }

    /// Writes out what the library takes of the stream: what the path carries in a round trip, and some
    /// more.
    fn poll_stream_flush(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), TransportError>> {
        let stats = self.connection.stats();
        self.connection.set_send_window(stats.path.cwnd + UNSENT_LIMIT);
        let before = self.writer.written();
        let flushed = self.writer.poll_flush(cx).map_err(|error| self.broken(&error));
        if self.writer.written() != before {
            self.outgoing.stream_written(stats.frame_tx.stream);
        }
        flushed
    }

    /// Hands over datagrams that may leave by now; ready when none is left.
    fn poll_outgoing(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), TransportError>> {
        self.outgoing.poll(&self.connection, !self.writer.is_empty(), cx)
    }

    #[cfg(not(feature = "webtransport"))]
    fn after_linger(&self) -> Closing {
        Closing::Close
    }

    #[cfg(feature = "webtransport")]
    fn after_linger(&self) -> Closing {
        match self.session {
            Some(_) => Closing::Goodbye(webtransport::goodbye()),
            None => Closing::Close,
        }
    }

    /// Ends the session, before the connection ends under it. Failures mean that it has ended already.
    #[cfg(feature = "webtransport")]
    fn poll_goodbye(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        if let (Closing::Goodbye(rest), Some(session)) = (&mut self.closing, &mut self.session)
            && !rest.is_empty()
        {
            self.connection.set_send_window(UNSENT_LIMIT);
            let connect = session.connect_mut();
            while !rest.is_empty() {
                match ready!(AsyncWrite::poll_write(Pin::new(connect), cx, rest)) {
                    Ok(written) => rest.advance(written),
                    Err(_) => return Poll::Ready(()),
                }
            }
            let _ = connect.finish();
        }
        self.poll_acknowledged(cx)
    }

    /// Waits for the peer's acknowledgement of everything.
    ///
    /// The library does not tell what was acknowledged, only whether more may be written, and with a
    /// window of one byte that is when nothing is outstanding. Ending the stream would tell too, but some
    /// peers take its end for an error (docs/protocol/transport.md §3.3).
    fn poll_acknowledged(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        self.connection.set_send_window(1);
        // A failure means that the connection has ended.
        AsyncWrite::poll_write(Pin::new(self.writer.stream_mut()), cx, &[]).map(drop)
    }
}

impl Transport for QuicTransport {
    fn poll_recv(&mut self, cx: &mut Context<'_>) -> Poll<Option<Result<Received, TransportError>>> {
        let received = |bytes, channel| Poll::Ready(Some(Ok(Received { bytes, channel })));
        self.datagrams_first = !self.datagrams_first;
        if self.datagrams_first
            && let Poll::Ready(bytes) = self.poll_datagrams(cx)
        {
            return received(bytes, Channel::Unreliable);
        }
        if self.end.is_none() {
            match self.poll_message(cx) {
                Poll::Ready(Ok(bytes)) => {
                    self.heard = true;
                    return received(bytes, Channel::Reliable);
                }
                Poll::Ready(Err(end)) => self.end = Some(end),
                Poll::Pending => {}
            }
        }
        if let Poll::Ready(bytes) = self.poll_datagrams(cx) {
            return received(bytes, Channel::Unreliable);
        }
        match &mut self.end {
            None => Poll::Pending,
            Some(end) => Poll::Ready(std::mem::replace(end, Ok(())).err().map(Err)),
        }
    }

    fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), TransportError>> {
        let ready = if self.writer.is_waiting() { self.poll_stream_flush(cx) } else { Poll::Ready(Ok(())) };
        if let Poll::Ready(Err(error)) = self.poll_outgoing(cx) {
            return Poll::Ready(Err(error));
        }
        ready
    }

    fn send(&mut self, message: Bytes) -> Result<(), TransportError> {
        self.wrote = Some(Instant::now());
        self.writer.send(message)
    }

    fn send_unreliable(&mut self, message: Bytes) -> Result<bool, TransportError> {
        if message.len() <= self.datagram_limit() {
            return Ok(self.outgoing.push(&self.connection, &message));
        }
        // The caller thought that it would go by datagrams, and did not ask whether the stream takes it.
        if self.writer.is_waiting() {
            return Ok(false);
        }
        self.send(message).map(|()| true)
    }

    fn poll_flush(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), TransportError>> {
        let flushed = if self.writer.is_empty() { Poll::Ready(Ok(())) } else { self.poll_stream_flush(cx) };
        if let Poll::Ready(Err(error)) = self.poll_outgoing(cx) {
            return Poll::Ready(Err(error));
        }
        flushed
    }

    fn datagram_limit(&self) -> usize {
        self.outgoing.limit(&self.connection)
    }

    fn describe(&self) -> Vec<Arc<Path>> {
        self.path.iter().map(PathOwner::path).collect()
    }

    fn bytes_written(&self) -> u64 {
        self.writer.written()
    }

    fn poll_close(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), TransportError>> {
        loop {
            self.closing = match &mut self.closing {
                Closing::No => {
                    let flushed = ready!(self.poll_flush(cx));
                    if let Err(error) = flushed.and(ready!(self.poll_outgoing(cx))) {
                        self.closing = Closing::Done;
                        return Poll::Ready(Err(error));
                    }
                    Closing::Acknowledgement
                }
                Closing::Acknowledgement => {
                    ready!(self.poll_acknowledged(cx));
                    let since = self.wrote.map_or(LINGER, |wrote| wrote.elapsed());
                    let linger =
                        if self.side.is_server() { LINGER.saturating_sub(since) } else { Duration::ZERO };
                    Closing::Linger(Box::pin(sleep(linger)))
                }
                Closing::Linger(limit) => {
                    // The caller learns from reading that the peer closed, and does not come back here.
                    ready!(limit.as_mut().poll(cx));
                    self.after_linger()
                }
                #[cfg(feature = "webtransport")]
                Closing::Goodbye(_) => {
                    ready!(self.poll_goodbye(cx));
                    Closing::Close
                }
                Closing::Close if self.connection.close_reason().is_some() => Closing::Done,
                Closing::Close => {
                    let packets = self.connection.stats().udp_tx.datagrams;
                    self.connection.close(self.close_code, &[]);
                    let (limit, tick) = CLOSE_SENT;
                    Closing::Sent { packets, until: Instant::now() + limit, tick: Box::pin(sleep(tick)) }
                }
                Closing::Sent { packets, until, tick } => {
                    // The library tells nobody that it sent the packet.
                    while self.connection.stats().udp_tx.datagrams == *packets && Instant::now() < *until {
                        ready!(tick.as_mut().poll(cx));
                        tick.as_mut().reset(tokio::time::Instant::now() + CLOSE_SENT.1);
                    }
                    Closing::Done
                }
                Closing::Done => return Poll::Ready(Ok(())),
            };
        }
    }
}

impl Drop for QuicTransport {
    fn drop(&mut self) {
        // Before the streams are dropped, which would end them first.
        self.connection.close(self.close_code, &[]);
    }
}
