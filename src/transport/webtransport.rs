//! WebTransport: the streams and datagrams of QUIC in a session of HTTP/3
//! (docs/protocol/transport.md §4).
//!
//! `web-transport-proto` has the formats of HTTP/3; what is left of a session is here: its streams are told
//! from those of HTTP/3, and its end is carried over.

use std::future::ready;
use std::io;
use std::pin::pin;

use bytes::{BufMut, Bytes, BytesMut};
use futures_util::future::BoxFuture;
use futures_util::stream::{BoxStream, StreamExt};
use http::{HeaderMap, StatusCode};
use quinn::{Connection, ConnectionError, RecvStream, SendStream, ServerConfig, Side, VarInt as Code};
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, simplex};
use url::Url;
use web_transport_proto::{
    Capsule, CapsuleError, ConnectError, ConnectRequest, ConnectResponse, Frame, Settings, StreamUni, VarInt,
    VarIntUnexpectedEnd,
};

use super::dial::DialOptions;
use super::path::PathOwner;
use super::quic::{self, Grants, Parts, QuicTransport, Streams, closed, describe_end};
use super::{Target, Transport, TransportError};

/// Protocol of the TLS handshake.
pub const ALPN: &[u8] = b"h3";

/// Streams that a peer may open: some of HTTP/3 (three at present), the messages, and some that are refused
/// without harm. Only clients open streams with both directions, one for the session.
const UNI_STREAMS: u32 = 16;
/// Streams whose purpose is being found out at one time.
const UNKNOWN_STREAMS: usize = 8;

/// H3_NO_ERROR (RFC 9114 §8.1): the session was closed before, with a code of its own.
const CLOSE_CODE: Code = Code::from_u32(0x100);
/// WEBTRANSPORT_BUFFERED_STREAM_REJECTED, for streams that are not read.
const REFUSED: Code = Code::from_u32(0x3994_bd84);

/// Content of the frames on a session's stream that is taken out of them at a time.
const CONTENT: usize = 1024;
/// Text of a refusal that is read at most.
const MAX_REFUSAL: u64 = 200;

/// What keeps a session alive, and how it ends.
pub(super) struct Session {
    /// Its end would be an error of HTTP/3.
    _control: SendStream,
    connect: SendStream,
    /// Done when the peer ended the session.
    pub(super) ended: BoxFuture<'static, Result<(), TransportError>>,
}

impl Session {
    fn new(connection: &Connection, control: SendStream, connect: (SendStream, RecvStream)) -> Self {
        let (connect, capsules) = connect;
        let ended = Box::pin(read_end(connection.clone(), capsules));
        Self { _control: control, connect, ended }
    }

    fn id(&self) -> VarInt {
        session_id(&self.connect)
    }

    /// The stream that carries [`goodbye`], after which it ends.
    pub(super) fn connect_mut(&mut self) -> &mut SendStream {
        &mut self.connect
    }
}

/// An orderly end of a session, on its stream.
pub(super) fn goodbye() -> Bytes {
    let mut capsule = BytesMut::new();
    Capsule::CloseWebTransportSession { code: 0, reason: String::new() }.encode(&mut capsule);
    data_frame(&capsule)
}

fn data_frame(content: &[u8]) -> Bytes {
    let mut frame = BytesMut::new();
    Frame::DATA.encode(&mut frame);
    // A few bytes, or a line of text.
    VarInt::from_u32(content.len() as u32).encode(&mut frame);
    frame.put_slice(content);
    frame.freeze()
}

/// Waits until the peer ends the session.
async fn read_end(connection: Connection, stream: RecvStream) -> Result<(), TransportError> {
    let (mut content, sink) = simplex(CONTENT);
    let failed = |error: &dyn std::fmt::Display| match connection.close_reason() {
        Some(reason) => describe_end(reason).map_or(Ok(()), Err),
        None => Err(TransportError::Lost(format!("the stream of the session: {error}"))),
    };
    let mut capsules = pin!(read_capsules(&mut content));
    let ended = tokio::select! {
        biased;
        ended = &mut capsules => ended,
        // What came before the end of the stream counts, and its failure only if that was nothing.
        unpacked = unpack(stream, sink) => match (capsules.await, unpacked) {
            (Ok(None), Err(error)) => return failed(&error),
            (ended, _) => ended,
        },
    };
    match ended {
        Ok(Some(closed)) => closed,
        Ok(None) => Ok(()),
        Err(error) => failed(&error),
    }
}

/// Copies the content of DATA frames, and skips others.
async fn unpack(mut stream: RecvStream, mut sink: impl AsyncWrite + Unpin) -> io::Result<()> {
    while let Some(frame) = VarInt::read_optional(&mut stream).await.map_err(io::Error::other)? {
        let length = VarInt::read(&mut stream).await.map_err(io::Error::other)?.into_inner();
        let mut content = (&mut stream).take(length);
        let copied = match Frame(frame) {
            Frame::DATA => tokio::io::copy(&mut content, &mut sink).await?,
            _ => tokio::io::copy(&mut content, &mut tokio::io::sink()).await?,
        };
        if copied < length {
            return Err(io::ErrorKind::UnexpectedEof.into());
        }
    }
    Ok(())
}

/// Reads up to the capsule that closes the session, and says with what; `None` when there was none. A
/// capsule that is not whole is an error, and so is one of more than 64 KiB.
async fn read_capsules(
    content: &mut (impl AsyncRead + Unpin),
) -> Result<Option<Result<(), TransportError>>, CapsuleError> {
    while let Some(capsule) = Capsule::read(content).await? {
        match capsule {
            Capsule::CloseWebTransportSession { code: 0, .. } => return Ok(Some(Ok(()))),
            Capsule::CloseWebTransportSession { code, reason } => {
                let reason = quic::reason(reason.as_bytes());
                let text = format!("the peer closed the session with code {code}{reason}");
                return Ok(Some(Err(TransportError::Lost(text))));
            }
            Capsule::Grease { .. } | Capsule::Unknown { .. } => {}
        }
    }
    Ok(None)
}

fn session_id(connect: &SendStream) -> VarInt {
    // Both are what QUIC calls a varint.
    VarInt::try_from(Code::from(connect.id()).into_inner()).unwrap_or_default()
}

/// Connects to `target`.
///
/// # Errors
/// Says which address failed and how, or what the server answered.
pub async fn connect(target: &Target, options: &DialOptions) -> Result<Box<dyn Transport>, TransportError> {
    let grants = Grants { uni: UNI_STREAMS, bidi: 0 };
    let connection = quic::open(target, options, ALPN, grants).await?;
    let path = PathOwner::quic(target, options, &connection);
    let transport = open_session(target, options, connection).await.map_err(|error| error.at(target))?;
    Ok(Box::new(transport.on_path(path)))
}

async fn open_session(
    target: &Target,
    options: &DialOptions,
    connection: Connection,
) -> Result<QuicTransport, TransportError> {
    let handshake = |what: &dyn std::fmt::Display| TransportError::Handshake(what.to_string());
    let mut kinds = kinds(&connection);
    let (control, (settings, held)) =
        tokio::try_join!(send_settings(&connection), receive_settings(&mut kinds))?;
    if settings.supports_webtransport() == 0 {
        return Err(handshake(&"the server does not offer WebTransport"));
    }
    let url = format!("https://{}{}?{}", target.authority(), target.path, options.negotiation.to_query());
    let url: Url = url.parse().map_err(|error| TransportError::Setting(format!("{url}: {error}")))?;
    let (mut send, mut receive) =
        connection.open_bi().await.map_err(|error| describe_end(error).unwrap_or_else(closed))?;
    let request = ConnectRequest::new(url).with_headers(options.headers.clone());
    request.write(&mut send).await.map_err(|error| handshake(&error))?;
    match ConnectResponse::read(&mut receive).await {
        Ok(_) => {}
        Err(ConnectError::WrongStatus(Some(status))) => {
            let detail = read_refusal(&mut receive).await;
            return Err(handshake(&format!(
                "the server answered HTTP {status} instead of a WebTransport session{detail}"
            )));
        }
        Err(error) => {
            return Err(match connection.close_reason() {
                Some(reason) => describe_end(reason).unwrap_or_else(closed),
                None => handshake(&error),
            });
        }
    }
    let session = Session::new(&connection, control, (send, receive));
    let streams = streams(kinds, session.id(), held);
    start(Side::Client, connection, session, streams, options.quic_datagram_size, options.max_message_size)
        .await
}

/// What a server says besides the status, if anything.
async fn read_refusal(stream: &mut RecvStream) -> String {
    let mut text = Vec::new();
    if let Ok(Frame::DATA) = VarInt::read(stream).await.map(Frame)
        && let Ok(len) = VarInt::read(stream).await
    {
        // What cannot be read is not shown.
        let _ = stream.take(len.into_inner().min(MAX_REFUSAL)).read_to_end(&mut text).await;
    }
    quic::reason(text.trim_ascii())
}

async fn send_settings(connection: &Connection) -> Result<SendStream, TransportError> {
    let mut settings = Settings::default();
    settings.enable_webtransport(1);
    let mut control =
        connection.open_uni().await.map_err(|error| describe_end(error).unwrap_or_else(closed))?;
    settings.write(&mut control).await.map_err(|error| TransportError::Handshake(error.to_string()))?;
    Ok(control)
}

/// The server's settings, with the streams that came up to them.
async fn receive_settings(kinds: &mut Kinds) -> Result<(Settings, Vec<RecvStream>), TransportError> {
    let mut held = Vec::new();
    while let Some(accepted) = kinds.next().await {
        let (kind, mut stream) = accepted.map_err(|error| describe_end(error).unwrap_or_else(closed))?;
        if !matches!(kind, Ok(StreamUni::CONTROL)) {
            held.push(stream);
            continue;
        }
        // The library reads the kind too.
        let mut whole = (&[0_u8][..]).chain(&mut stream);
        let settings = Settings::read(&mut whole)
            .await
            .map_err(|error| TransportError::Handshake(format!("the settings of HTTP/3: {error}")))?;
        held.push(stream);
        return Ok((settings, held));
    }
    Err(closed())
}

/// The transport of a session that both sides agreed on.
async fn start(
    side: Side,
    connection: Connection,
    session: Session,
    streams: Streams,
    datagram_size: usize,
    max_message_size: usize,
) -> Result<QuicTransport, TransportError> {
    let id = session.id();
    let mut outgoing =
        connection.open_uni().await.map_err(|error| describe_end(error).unwrap_or_else(closed))?;
    let mut header = BytesMut::new();
    StreamUni::WEBTRANSPORT.encode(&mut header);
    id.encode(&mut header);
    outgoing.write_all(&header).await.map_err(|error| TransportError::Lost(error.to_string()))?;
    let mut prefix = BytesMut::new();
    VarInt::try_from(id.into_inner() / 4).unwrap_or_default().encode(&mut prefix);
    Ok(QuicTransport::new(Parts {
        side,
        streams,
        outgoing,
        datagram_prefix: prefix.freeze(),
        datagram_size,
        max_message_size,
        close_code: CLOSE_CODE,
        refusal_code: REFUSED,
        session: Some(session),
        connection,
    }))
}

/// Streams that the peer opens, each when it says of what kind it is. One that does not say holds up no
/// other.
type Kinds =
    BoxStream<'static, Result<(Result<StreamUni, VarIntUnexpectedEnd>, RecvStream), ConnectionError>>;

fn kinds(connection: &Connection) -> Kinds {
    quic::streams(connection)
        .map(|accepted| async {
            let mut stream = accepted?;
            let kind = VarInt::read(&mut stream).await.map(StreamUni);
            Ok((kind, stream))
        })
        .buffer_unordered(UNKNOWN_STREAMS)
        .boxed()
}

/// What a stream of the peer is for.
enum Purpose {
    Session(RecvStream),
    /// One of HTTP/3, which must not be refused and has nothing to say to us.
    Http3(RecvStream),
    Nothing,
}

async fn purpose(
    kind: Result<StreamUni, VarIntUnexpectedEnd>,
    mut stream: RecvStream,
    session: VarInt,
) -> Purpose {
    match kind {
        Ok(StreamUni::WEBTRANSPORT) => match VarInt::read(&mut stream).await {
            Ok(id) if id == session => Purpose::Session(stream),
            _ => Purpose::Nothing,
        },
        Ok(StreamUni::CONTROL | StreamUni::QPACK_ENCODER | StreamUni::QPACK_DECODER) => {
            Purpose::Http3(stream)
        }
        // Dropping a stream refuses it.
        _ => Purpose::Nothing,
    }
}

/// The streams that the peer opens for the session. Those of HTTP/3 are held as long.
fn streams(kinds: Kinds, session: VarInt, mut held: Vec<RecvStream>) -> Streams {
    kinds
        .map(move |accepted| async move {
            match accepted {
                Ok((kind, stream)) => Ok(purpose(kind, stream, session).await),
                Err(error) => Err(error),
            }
        })
        .buffer_unordered(UNKNOWN_STREAMS)
        .filter_map(move |purpose| {
            ready(match purpose {
                Ok(Purpose::Session(stream)) => Some(Ok(stream)),
                Ok(Purpose::Http3(stream)) => {
                    held.push(stream);
                    None
                }
                Ok(Purpose::Nothing) => None,
                Err(error) => Some(Err(error)),
            })
        })
        .boxed()
}

// Servers.

/// Configuration of a server's connections.
///
/// # Errors
/// The configuration of TLS cannot be used for QUIC.
pub fn server_config(
    tls: rustls::ServerConfig,
    max_message_size: usize,
) -> Result<ServerConfig, TransportError> {
    quic::configure_server(tls, max_message_size, Grants { uni: UNI_STREAMS, bidi: 1 })
}

/// A client that wants a session.
pub struct Request {
    connection: Connection,
    control: SendStream,
    connect: (SendStream, RecvStream),
    request: ConnectRequest,
}

impl Request {
    /// Reads what a client wants. A client that wants something else is refused.
    ///
    /// # Errors
    /// It is no session, or the connection broke.
    pub async fn read(connection: Connection) -> Result<Self, TransportError> {
        let control = send_settings(&connection).await?;
        let accepted = connection.accept_bi().await;
        let (mut send, mut receive) = accepted.map_err(|error| describe_end(error).unwrap_or_else(closed))?;
        match ConnectRequest::read(&mut receive).await {
            Ok(request) => Ok(Self { connection, control, connect: (send, receive), request }),
            Err(error) => {
                respond_and_close(&connection, &mut send, StatusCode::BAD_REQUEST, "no WebTransport").await;
                Err(TransportError::Handshake(error.to_string()))
            }
        }
    }

    /// The query component of the URL, which has the parameters of the client.
    pub fn query(&self) -> &str {
        self.request.url.query().unwrap_or_default()
    }

    /// The headers of the request.
    pub fn headers(&self) -> &HeaderMap {
        &self.request.headers
    }

    /// Answers with a status other than success, and a line of text.
    pub async fn refuse(mut self, status: StatusCode, why: &str) {
        respond_and_close(&self.connection, &mut self.connect.0, status, why).await;
    }

    /// Gives the client its session.
    ///
    /// # Errors
    /// The connection broke.
    pub async fn accept(mut self, max_message_size: usize) -> Result<QuicTransport, TransportError> {
        ConnectResponse::OK
            .write(&mut self.connect.0)
            .await
            .map_err(|error| TransportError::Lost(error.to_string()))?;
        let session = Session::new(&self.connection, self.control, self.connect);
        let streams = streams(kinds(&self.connection), session.id(), Vec::new());
        start(Side::Server, self.connection, session, streams, 0, max_message_size).await
    }
}

/// Answers, and closes the connection once the client has the answer. The caller bounds the time.
async fn respond_and_close(connection: &Connection, send: &mut SendStream, status: StatusCode, why: &str) {
    let answered = async {
        ConnectResponse::new(status).write(send).await.ok()?;
        send.write_all(&data_frame(format!("{why}\n").as_bytes())).await.ok()?;
        send.finish().ok()?;
        send.stopped().await.ok()
    };
    answered.await;
    connection.close(CLOSE_CODE, b"");
}
