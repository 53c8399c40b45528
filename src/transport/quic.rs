//! QUIC: one stream of messages each way, and datagrams (docs/protocol/transport.md §3, §5).
//!
//! Packets, acknowledgements and timers are the business of the QUIC library, whose tasks run beside
//! the one that polls the transport. WebTransport uses the same transport on streams of its own.

use std::future::Future;
use std::io;
use std::net::SocketAddr;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};
use std::time::{Duration, Instant};

#[cfg(feature = "webtransport")]
use bytes::Buf;
use bytes::Bytes;
use futures_util::stream::{self, BoxStream, StreamExt};
use quinn::congestion::{BbrConfig, CubicConfig, NewRenoConfig};
use quinn::crypto::rustls::{QuicClientConfig, QuicServerConfig};
use quinn::{
    ClientConfig, Connection, ConnectionError, Endpoint, EndpointConfig, IdleTimeout, ReadToEndError,
    RecvStream, SendDatagramError, SendStream, ServerConfig, Side, TokioRuntime, TransportConfig,
    TransportErrorCode, VarInt,
};
use tokio::io::AsyncWrite;
use tokio::time::{Sleep, sleep};

use super::dial::{self, Congestion, DialOptions};
use super::framing::{MessageReader, MessageWriter, ReadError};
use super::negotiation::MAX_NEGOTIATION;
use super::segments::{Cut, HEADER, Limits, Reassembler, Segmenter};
#[cfg(feature = "webtransport")]
use super::webtransport::{self, Session};
use super::{Channel, Negotiation, Received, Target, Transport, TransportError, socket, tls};

/// Protocol of the TLS handshake (docs/protocol/transport.md §3.1).
pub const ALPN: &[u8] = b"iscp";

/// A peer of which nothing came for this long is gone. The protocol's own pings find out earlier.
const IDLE_TIMEOUT: Duration = Duration::from_millis(30_000);
/// Said on an idle connection, so that neither a peer with an idle timeout of 10 s nor a NAT on the way
/// forgets it (docs/protocol/transport.md §3.1).
const KEEP_ALIVE: Duration = Duration::from_millis(3_500);

/// Bytes that a peer may send on a stream before they are read: what 100 Mbit/s bring in 160 ms. Memory
/// is used by what arrived, not set aside.
const STREAM_WINDOW: usize = 2 << 20;
/// The same on all streams together: other streams cannot use up what the messages need.
const WINDOW_SLACK: usize = 64 * 1024;
/// What the library holds of a stream beyond what the path takes in a round trip. It can no longer be
/// overtaken by a pong.
const UNSENT_LIMIT: u64 = 128 * 1024;

/// Messages up to this size go by datagram. One that needs more of them hardly ever arrives whole, and
/// is better sent reliably.
const DATAGRAM_MESSAGE: usize = 1 << 20;
/// Datagrams that wait to be sent: one message of the largest size, or many small ones.
const DATAGRAM_SEND_BUFFER: usize = 5 << 18;
/// Datagrams that wait to be read.
const DATAGRAM_RECEIVE_BUFFER: usize = 2 << 20;
/// What the library counts for a datagram besides its content, at most.
const DATAGRAM_OVERHEAD: usize = 64;
/// Datagrams taken without a message before others get their turn.
const DATAGRAM_TURN: usize = 256;
/// Messages put together from datagrams: larger than those that we send.
const REASSEMBLY: Limits =
    Limits { message: 4 << 20, held: 8 << 20, partials: 64, age: Duration::from_secs(5) };

/// Streams that a peer may open beside each other: the negotiation and the messages of a client, of a server
/// only the latter, and some that are refused without harm.
const GRANTS: Grants = Grants { uni: 4, bidi: 0 };

/// Code of an orderly close (docs/protocol/transport.md §3.4).
const CLOSE_OK: VarInt = VarInt::from_u32(0);
/// Code of an orderly close in HTTP/3 (RFC 9114 §8.1).
const H3_NO_ERROR: u64 = 0x100;
/// Code for a client whose parameters cannot be served, and for streams that are not read.
const REFUSED: VarInt = VarInt::from_u32(1);

/// A server waits this long after its last message for the client to close: some clients drop what they
/// have not read when the close arrives.
const LINGER: Duration = Duration::from_millis(500);
/// How long the packet with the close may wait for the socket, and how often that is looked at.
const CLOSE_SENT: (Duration, Duration) = (Duration::from_millis(200), Duration::from_millis(1));

/// Streams that a peer may open.
#[derive(Clone, Copy)]
pub(super) struct Grants {
    pub(super) uni: u32,
    pub(super) bidi: u32,
}

/// Connects to `target`.
///
/// # Errors
/// Says which address failed and how.
pub async fn connect(target: &Target, options: &DialOptions) -> Result<Box<dyn Transport>, TransportError> {
    let connection = open(target, options, ALPN, GRANTS).await?;
    let lost = |error: ConnectionError| describe_end(error).unwrap_or_else(closed).at(target);
    let mut announced = connection.open_uni().await.map_err(lost)?;
    announced
        .write_all(&options.negotiation.to_bytes())
        .await
        .map_err(|error| TransportError::Handshake(format!("{target}: {error}")))?;
    // Fails only for a stream that ended already.
    let _ = announced.finish();
    let outgoing = connection.open_uni().await.map_err(lost)?;
    let streams = streams(&connection);
    Ok(Box::new(QuicTransport::new(Parts {
        side: Side::Client,
        streams,
        outgoing,
        datagram_prefix: Bytes::new(),
        datagram_size: options.quic_datagram_size,
        max_message_size: options.max_message_size,
        close_code: CLOSE_OK,
        refusal_code: REFUSED,
        #[cfg(feature = "webtransport")]
        session: None,
        connection,
    })))
}

/// Makes a QUIC connection, trying the addresses of the host beside each other.
pub(super) async fn open(
    target: &Target,
    options: &DialOptions,
    alpn: &[u8],
    grants: Grants,
) -> Result<Connection, TransportError> {
    let crypto = QuicClientConfig::try_from(tls::client_config(&options.tls, &[alpn])?)
        .map_err(|error| TransportError::Tls(format!("TLS: {error}")))?;
    let mut config = ClientConfig::new(Arc::new(crypto));
    let mut transport = transport_config(options.max_message_size, grants);
    match options.quic_congestion {
        Congestion::Cubic => transport.congestion_controller_factory(Arc::new(CubicConfig::default())),
        Congestion::NewReno => transport.congestion_controller_factory(Arc::new(NewRenoConfig::default())),
        Congestion::Bbr => transport.congestion_controller_factory(Arc::new(BbrConfig::default())),
    };
    config.transport_config(Arc::new(transport));
    let name = tls::server_name(&options.tls, &target.host)?.to_str().into_owned();
    let attempt = async |address: SocketAddr| {
        let failed = |error: &dyn std::fmt::Display| error.to_string();
        let socket = options.socket.udp(address).map_err(|error| failed(&error))?;
        let endpoint = Endpoint::new(EndpointConfig::default(), None, socket, Arc::new(TokioRuntime))
            .map_err(|error| failed(&error))?;
        let connecting =
            endpoint.connect_with(config.clone(), address, &name).map_err(|error| failed(&error))?;
        match connecting.await {
            Ok(connection) => Ok(Ok(connection)),
            // A server that answered but cannot be had, by whatever address.
            Err(error) => refusal(options, alpn, &error).map(Err),
        }
    };
    let addresses = dial::lookup(&target.host, target.port).await?;
    let connected = socket::race(options.socket.usable(addresses)?, attempt).await;
    connected.flatten().map_err(|error| error.at(target))
}

/// What both sides agree to do with a connection.
fn transport_config(max_message_size: usize, grants: Grants) -> TransportConfig {
    let window = STREAM_WINDOW.min(max_message_size.max(WINDOW_SLACK));
    // A few MiB, which a VarInt can hold.
    let varint = |size: usize| VarInt::from_u32(size as u32);
    let mut config = TransportConfig::default();
    config
        .max_idle_timeout(Some(IdleTimeout::from(VarInt::from_u32(IDLE_TIMEOUT.as_millis() as u32))))
        .keep_alive_interval(Some(KEEP_ALIVE))
        .max_concurrent_bidi_streams(VarInt::from_u32(grants.bidi))
        .max_concurrent_uni_streams(VarInt::from_u32(grants.uni))
        .stream_receive_window(varint(window))
        .receive_window(varint(window + WINDOW_SLACK))
        .send_window(UNSENT_LIMIT)
        .datagram_receive_buffer_size(Some(DATAGRAM_RECEIVE_BUFFER))
        .datagram_send_buffer_size(DATAGRAM_SEND_BUFFER);
    config
}

/// Configuration of a server's connections. Their ids have the library's 8 bytes: longer ones leave too
/// little room for the datagrams of some clients (docs/protocol/transport.md §3.1).
///
/// # Errors
/// The configuration of TLS cannot be used for QUIC.
pub fn server_config(
    tls: rustls::ServerConfig,
    max_message_size: usize,
) -> Result<ServerConfig, TransportError> {
    configure_server(tls, max_message_size, GRANTS)
}

pub(super) fn configure_server(
    tls: rustls::ServerConfig,
    max_message_size: usize,
    grants: Grants,
) -> Result<ServerConfig, TransportError> {
    let crypto = QuicServerConfig::try_from(tls).map_err(|error| TransportError::Tls(error.to_string()))?;
    let mut config = ServerConfig::with_crypto(Arc::new(crypto));
    config.transport_config(Arc::new(transport_config(max_message_size, grants)));
    Ok(config)
}

/// The transport of a client, with the parameters that it announces.
///
/// # Errors
/// The parameters cannot be served, or the connection broke. It is closed then.
pub async fn accept(
    connection: Connection,
    max_message_size: usize,
) -> Result<(QuicTransport, Negotiation), TransportError> {
    let lost = |error: ConnectionError| describe_end(error).unwrap_or_else(closed);
    let mut streams = streams(&connection);
    // Streams come in the order of their ids, whatever the order of the packets.
    let mut announced = match streams.next().await {
        Some(stream) => stream.map_err(lost)?,
        None => return Err(closed()),
    };
    let negotiation = match announced.read_to_end(MAX_NEGOTIATION).await {
        Ok(bytes) => Negotiation::from_bytes(&bytes).map_err(|error| error.to_string()),
        Err(ReadToEndError::TooLong) => Err("the negotiation is too long".to_owned()),
        Err(ReadToEndError::Read(error)) => Err(format!("the negotiation cannot be read: {error}")),
    };
    let negotiation = negotiation.map_err(|why| {
        connection.close(REFUSED, why.as_bytes());
        TransportError::Handshake(why)
    })?;
    let outgoing = connection.open_uni().await.map_err(lost)?;
    let transport = QuicTransport::new(Parts {
        side: Side::Server,
        streams,
        outgoing,
        datagram_prefix: Bytes::new(),
        datagram_size: 0,
        max_message_size,
        close_code: CLOSE_OK,
        refusal_code: REFUSED,
        #[cfg(feature = "webtransport")]
        session: None,
        connection,
    });
    Ok((transport, negotiation.without_context()))
}

/// The unidirectional streams that the peer opens.
pub(super) type Streams = BoxStream<'static, Result<RecvStream, ConnectionError>>;

pub(super) fn streams(connection: &Connection) -> Streams {
    stream::unfold(Some(connection.clone()), |connection| async move {
        let connection = connection?;
        let accepted = connection.accept_uni().await;
        let rest = accepted.is_ok().then_some(connection);
        Some((accepted, rest))
    })
    .boxed()
}

/// What a transport is made of.
pub(super) struct Parts {
    pub(super) side: Side,
    pub(super) connection: Connection,
    /// The first stream of the peer that is left carries its messages.
    pub(super) streams: Streams,
    pub(super) outgoing: SendStream,
    /// Before every datagram.
    pub(super) datagram_prefix: Bytes,
    /// Bytes of a datagram at most, 0 for what the path takes.
    pub(super) datagram_size: usize,
    pub(super) max_message_size: usize,
    /// Code of an orderly close.
    pub(super) close_code: VarInt,
    /// Code for streams that are not read.
    pub(super) refusal_code: VarInt,
    /// What the streams belong to, if not to the connection itself.
    #[cfg(feature = "webtransport")]
    pub(super) session: Option<Session>,
}

/// A QUIC connection as a message transport, of either side.
///
/// `bytes_written` counts what the library took from the message stream. It holds no more than the path
/// takes in a round trip and [`UNSENT_LIMIT`], so that more is taken only after the peer acknowledged.
pub struct QuicTransport {
    side: Side,
    connection: Connection,
    streams: Option<Streams>,
    reader: Option<MessageReader<RecvStream>>,
    writer: MessageWriter<SendStream>,
    max_message_size: usize,
    datagrams: BoxStream<'static, Bytes>,
    datagram_prefix: Bytes,
    datagram_size: usize,
    segmenter: Segmenter,
    reassembler: Reassembler,
    /// Whether datagrams come first the next time.
    datagrams_first: bool,
    /// How the messages ended, while datagrams that came before are still handed out.
    end: Option<Result<(), TransportError>>,
    wrote: Option<Instant>,
    closing: Closing,
    close_code: VarInt,
    refusal_code: VarInt,
    #[cfg(feature = "webtransport")]
    session: Option<Session>,
}

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
    pub(super) fn new(parts: Parts) -> Self {
        let datagrams = stream::unfold(parts.connection.clone(), |connection| async move {
            let datagram = connection.read_datagram().await.ok()?;
            Some((datagram, connection))
        });
        let message = REASSEMBLY.message.min(parts.max_message_size);
        Self {
            side: parts.side,
            connection: parts.connection,
            streams: Some(parts.streams),
            reader: None,
            writer: MessageWriter::new(parts.outgoing),
            max_message_size: parts.max_message_size,
            datagrams: datagrams.fuse().boxed(),
            datagram_prefix: parts.datagram_prefix,
            datagram_size: parts.datagram_size,
            segmenter: Segmenter::default(),
            reassembler: Reassembler::new(Limits { message, ..REASSEMBLY }),
            datagrams_first: false,
            end: None,
            wrote: None,
            closing: Closing::No,
            close_code: parts.close_code,
            refusal_code: parts.refusal_code,
            #[cfg(feature = "webtransport")]
            session: parts.session,
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
    fn poll_message(&mut self, cx: &mut Context<'_>) -> Poll<Result<Bytes, Result<(), TransportError>>> {
        self.poll_streams(cx);
        let message = self.poll_stream(cx);
        #[cfg(feature = "webtransport")]
        if message.is_pending()
            && let Some(session) = &mut self.session
        {
            return session.ended.as_mut().poll(cx).map(Err);
        }
        message
    }

    fn poll_stream(&mut self, cx: &mut Context<'_>) -> Poll<Result<Bytes, Result<(), TransportError>>> {
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
        for _ in 0..DATAGRAM_TURN {
            let Some(datagram) = ready!(self.datagrams.poll_next_unpin(cx)) else { return Poll::Pending };
            let Some(segment) = datagram.strip_prefix(&self.datagram_prefix[..]) else { continue };
            match self.reassembler.receive(segment, now) {
                // An empty message says nothing.
                Some(message) if !message.is_empty() => return Poll::Ready(message),
                _ => {}
            }
        }
        cx.waker().wake_by_ref();
        Poll::Pending
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

    /// Lets the library take what the path carries in a round trip, and some more.
    fn widen_window(&self) {
        self.connection.set_send_window(self.connection.stats().path.cwnd + UNSENT_LIMIT);
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
                Poll::Ready(Ok(bytes)) => return received(bytes, Channel::Reliable),
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
        if !self.writer.is_waiting() {
            return Poll::Ready(Ok(()));
        }
        self.widen_window();
        self.writer.poll_flush(cx).map_err(|error| self.broken(&error))
    }

    fn send(&mut self, message: Bytes) -> Result<(), TransportError> {
        self.wrote = Some(Instant::now());
        self.writer.send(message)
    }

    fn send_unreliable(&mut self, message: Bytes) -> Result<bool, TransportError> {
        let Some(size) = self.connection.max_datagram_size() else {
            return self.send(message).map(|()| true);
        };
        let size = if self.datagram_size == 0 { size } else { size.min(self.datagram_size) };
        let prefix = self.datagram_prefix.clone();
        let cut = Cut::new(message.len(), size.saturating_sub(prefix.len()))
            .filter(|_| message.len() <= DATAGRAM_MESSAGE);
        let Some(cut) = cut else { return self.send(message).map(|()| true) };
        // Half a message would be of no use, and the library would drop the oldest to make room.
        let needed = message.len() + cut.count * (prefix.len() + HEADER + DATAGRAM_OVERHEAD);
        if self.connection.datagram_send_buffer_space() < needed {
            return Ok(false);
        }
        for datagram in self.segmenter.cut(&message, cut, &prefix) {
            match self.connection.send_datagram(datagram) {
                Ok(()) => {}
                Err(SendDatagramError::ConnectionLost(reason)) => {
                    return Err(describe_end(reason).unwrap_or_else(closed));
                }
                // The path has become narrower since it was asked.
                Err(_) => return Ok(false),
            }
        }
        Ok(true)
    }

    fn poll_flush(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), TransportError>> {
        if self.writer.is_empty() {
            return Poll::Ready(Ok(()));
        }
        self.widen_window();
        self.writer.poll_flush(cx).map_err(|error| self.broken(&error))
    }

    fn has_datagrams(&self) -> bool {
        self.connection.max_datagram_size().is_some()
    }

    fn bytes_written(&self) -> u64 {
        self.writer.written()
    }

    fn poll_close(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), TransportError>> {
        loop {
            self.closing = match &mut self.closing {
                Closing::No => {
                    if let Err(error) = ready!(self.poll_flush(cx)) {
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

pub(super) fn closed() -> TransportError {
    TransportError::Lost("the connection is closed".to_owned())
}

/// The alert behind a code of QUIC, if it stands for one (RFC 9001 §4.8).
fn alert(code: TransportErrorCode) -> Option<u8> {
    u8::try_from(u64::from(code).checked_sub(0x100)?).ok()
}

/// Why a connection ended; `None` for an orderly end.
pub(super) fn describe_end(error: ConnectionError) -> Option<TransportError> {
    Some(match error {
        ConnectionError::LocallyClosed => return None,
        ConnectionError::ApplicationClosed(close)
            if matches!(close.error_code.into_inner(), 0 | H3_NO_ERROR) =>
        {
            return None;
        }
        ConnectionError::ApplicationClosed(close) => TransportError::Lost(format!(
            "the peer closed the connection with code {}{}",
            close.error_code,
            reason(&close.reason)
        )),
        ConnectionError::ConnectionClosed(close) if alert(close.error_code).is_some() => {
            TransportError::Tls(format!("the peer refused the TLS handshake{}", reason(&close.reason)))
        }
        ConnectionError::TimedOut => {
            TransportError::Lost("nothing came from the peer for too long".to_owned())
        }
        other => TransportError::Lost(other.to_string()),
    })
}

/// A peer's text, for people.
pub(super) fn reason(text: &[u8]) -> String {
    let text = String::from_utf8_lossy(text);
    if text.is_empty() { String::new() } else { format!(": {:.200}", text.escape_debug()) }
}

/// What a server said that answered a handshake, or else in a text why there was no answer.
fn refusal(options: &DialOptions, alpn: &[u8], error: &ConnectionError) -> Result<TransportError, String> {
    const NO_APPLICATION_PROTOCOL: u8 = 120;
    const CONNECTION_REFUSED: u64 = 2;
    Ok(match error {
        ConnectionError::ConnectionClosed(close) => match alert(close.error_code) {
            Some(NO_APPLICATION_PROTOCOL) => TransportError::Handshake(format!(
                "the server does not speak {:?} over QUIC",
                String::from_utf8_lossy(alpn)
            )),
            Some(alert) => {
                let alert = rustls::Error::AlertReceived(alert.into());
                TransportError::Tls(format!("TLS: {}", tls::describe(&options.tls, &alert)))
            }
            None if u64::from(close.error_code) == CONNECTION_REFUSED => {
                TransportError::Handshake("the server refuses the connection".to_owned())
            }
            None => TransportError::Handshake(error.to_string()),
        },
        ConnectionError::TransportError(failure) if alert(failure.code).is_some() => {
            // What the library has left of the error that TLS found.
            let why = failure.reason.strip_prefix("invalid peer certificate: ");
            TransportError::Tls(match why {
                Some("UnknownIssuer") => {
                    let unknown = rustls::Error::InvalidCertificate(rustls::CertificateError::UnknownIssuer);
                    format!("TLS: {}", tls::describe(&options.tls, &unknown))
                }
                Some(why) => format!("TLS: the server's certificate is refused: {why}"),
                None => format!("TLS: {}", failure.reason),
            })
        }
        ConnectionError::TimedOut => return Err("no answer".to_owned()),
        ConnectionError::VersionMismatch => {
            TransportError::Handshake("the server does not speak version 1 of QUIC".to_owned())
        }
        other => return Err(other.to_string()),
    })
}
