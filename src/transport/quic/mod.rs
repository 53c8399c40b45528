//! QUIC: one stream of messages each way, and datagrams (docs/protocol/transport.md §3, §5).
//!
//! Packets, acknowledgements and timers are the business of the QUIC library, whose tasks run beside
//! the one that polls the transport. WebTransport uses the same transport on streams of its own.

mod datagrams;
mod failure;
mod messages;

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use futures_util::stream::{self, BoxStream, StreamExt};
use quinn::congestion::{BbrConfig, CubicConfig, NewRenoConfig};
use quinn::crypto::rustls::{QuicClientConfig, QuicServerConfig};
use quinn::{
    ClientConfig, Connection, ConnectionError, Endpoint, EndpointConfig, IdleTimeout, ReadToEndError,
    RecvStream, ServerConfig, Side, TokioRuntime, TransportConfig, VarInt,
};

use super::dial::{self, Congestion, DialOptions};
use super::negotiation::MAX_NEGOTIATION;
use super::path::PathOwner;
#[cfg(feature = "webtransport")]
pub(super) use super::reason;
use super::{Negotiation, Target, Transport, TransportError, socket, tls};
use failure::refusal;
pub(super) use failure::{closed, describe_end};
pub(super) use messages::Parts;
pub use messages::QuicTransport;
use messages::UNSENT_LIMIT;

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

/// Datagrams that wait to be read.
const DATAGRAM_RECEIVE_BUFFER: usize = 2 << 20;

/// Streams that a peer may open beside each other: the negotiation and the messages of a client, of a server
/// only the latter, and some that are refused without harm.
const GRANTS: Grants = Grants { uni: 4, bidi: 0 };

/// Code of an orderly close (docs/protocol/transport.md §3.4).
const CLOSE_OK: VarInt = VarInt::from_u32(0);
/// Code for a client whose parameters cannot be served, and for streams that are not read.
const REFUSED: VarInt = VarInt::from_u32(1);

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
    let path = PathOwner::quic(target, options, &connection);
    let transport = QuicTransport::new(Parts {
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
    });
    Ok(Box::new(transport.on_path(path)))
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
        .datagram_send_buffer_size(datagrams::SEND_BUFFER);
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
