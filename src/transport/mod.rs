//! How encoded messages travel: negotiation, and message transports over sockets.
//!
//! A transport carries whole messages, both ways, in order. It is polled by the task that owns the
//! connection; nothing of ours in it runs on its own.

mod compression;
#[cfg(feature = "compression")]
pub mod deflate;
pub mod dial;
#[cfg(feature = "quic")]
pub mod framing;
#[cfg(any(feature = "oauth2", feature = "proxy"))]
pub(crate) mod http1;
mod metered;
pub mod multi;
mod negotiation;
pub mod path;
#[cfg(feature = "proxy")]
pub mod proxy;
#[cfg(feature = "quic")]
pub mod quic;
#[cfg(feature = "quic")]
pub mod segments;
pub mod socket;
mod target;
pub(crate) mod tcp_info;
#[cfg(feature = "tls")]
pub mod tls;
#[cfg(feature = "websocket")]
pub mod websocket;
#[cfg(feature = "webtransport")]
pub mod webtransport;

use std::sync::Arc;
use std::task::{Context, Poll};

use bytes::Bytes;

#[cfg(any(feature = "quic", feature = "websocket"))]
use crate::error::printable;

pub use compression::Compression;
use dial::DialOptions;
pub use metered::Metered;
pub use negotiation::{Group, Negotiation, NegotiationError};
use path::Path;
pub use target::{DEFAULT_PATH, Scheme, Target, redacted};

/// What a peer said, for the end of a message.
#[cfg(any(feature = "quic", feature = "websocket"))]
fn reason(text: &[u8]) -> String {
    if text.is_empty() { String::new() } else { format!(": {}", printable(text)) }
}

/// How a message travels.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Channel {
    /// In order, whatever it takes.
    Reliable,
    /// By datagrams where the transport has them: it may be lost, come twice or out of order.
    Unreliable,
}

/// A message of the peer.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Received {
    /// The message.
    pub bytes: Bytes,
    /// How it came. One that is broken and came unreliably is dropped; otherwise the connection is.
    pub channel: Channel,
}

/// A connected message transport.
pub trait Transport: Send {
    /// Next message of the peer; `None` when the peer closed in an orderly way.
    fn poll_recv(&mut self, cx: &mut Context<'_>) -> Poll<Option<Result<Received, TransportError>>>;

    /// Ready when the transport can take a message. Writes out what it holds to become so.
    fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), TransportError>>;

    /// Takes a message; only after [`Transport::poll_ready`] said so. It is on its way at the
    /// latest when [`Transport::poll_flush`] is done, so that several messages share one write.
    fn send(&mut self, message: Bytes) -> Result<(), TransportError>;

    /// Takes a message that may be lost, as [`Transport::send`] does; `false` when it was dropped at once
    /// because datagrams leave too slowly. It goes the reliable way if it is larger than
    /// [`Transport::datagram_limit`].
    ///
    /// One that is not may be handed over although [`Transport::poll_ready`] did not say so. A larger one is
    /// dropped then.
    fn send_unreliable(&mut self, message: Bytes) -> Result<bool, TransportError> {
        self.send(message).map(|()| true)
    }

    /// Bytes of the largest message for which [`Transport::send_unreliable`] uses datagrams at present; 0
    /// where there are none.
    fn datagram_limit(&self) -> usize {
        0
    }

    /// Whether messages may go by datagrams sooner or later, and be lost.
    fn has_datagrams(&self) -> bool {
        self.datagram_limit() > 0
    }

    /// Writes out everything taken. Datagrams are not waited for, but some leave only when this is called
    /// again, for which the task is woken.
    fn poll_flush(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), TransportError>>;

    /// Bytes the system, or a library in its place, has taken from the transport so far. Once it takes no
    /// more, an increase shows that the peer is reading.
    fn bytes_written(&self) -> u64;

    /// Transports of which the connection consists at present.
    fn paths(&self) -> usize {
        1
    }

    /// What it travels on, those that go silent aside.
    fn describe(&self) -> Vec<Arc<Path>> {
        Vec::new()
    }

    /// A number that is another once [`Transport::describe`] says something else.
    fn path_stamp(&self) -> u64 {
        1
    }

    /// Whether there is nobody to send to at present, though there may be again: of several transports that are
    /// one connection, all are lost.
    fn is_deserted(&self) -> bool {
        false
    }

    /// The peer has said who it is: what it may use is no longer that of a stranger.
    fn admit(&mut self) {}

    /// Writes out everything taken, says goodbye in the transport's own way and closes.
    fn poll_close(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), TransportError>>;
}

impl<T: Transport + ?Sized> Transport for Box<T> {
    fn poll_recv(&mut self, cx: &mut Context<'_>) -> Poll<Option<Result<Received, TransportError>>> {
        (**self).poll_recv(cx)
    }

    fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), TransportError>> {
        (**self).poll_ready(cx)
    }

    fn send(&mut self, message: Bytes) -> Result<(), TransportError> {
        (**self).send(message)
    }

    fn send_unreliable(&mut self, message: Bytes) -> Result<bool, TransportError> {
        (**self).send_unreliable(message)
    }

    fn datagram_limit(&self) -> usize {
        (**self).datagram_limit()
    }

    fn has_datagrams(&self) -> bool {
        (**self).has_datagrams()
    }

    fn poll_flush(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), TransportError>> {
        (**self).poll_flush(cx)
    }

    fn bytes_written(&self) -> u64 {
        (**self).bytes_written()
    }

    fn paths(&self) -> usize {
        (**self).paths()
    }

    fn describe(&self) -> Vec<Arc<Path>> {
        (**self).describe()
    }

    fn path_stamp(&self) -> u64 {
        (**self).path_stamp()
    }

    fn is_deserted(&self) -> bool {
        (**self).is_deserted()
    }

    fn admit(&mut self) {
        (**self).admit();
    }

    fn poll_close(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), TransportError>> {
        (**self).poll_close(cx)
    }
}

/// Compresses the messages of `transport` as agreed; `limit` is the largest inflated message.
pub fn compressed(
    transport: Box<dyn Transport>,
    negotiation: &Negotiation,
    limit: usize,
) -> Box<dyn Transport> {
    #[cfg(feature = "compression")]
    {
        use deflate::{Codec, Compressed};
        if let Some(codec) = Codec::new(negotiation.compression, limit) {
            return Box::new(Compressed::new(transport, codec));
        }
        if let Some(codec) = Codec::new(negotiation.ambiguous, limit) {
            return Box::new(Compressed::undecided(transport, codec));
        }
    }
    #[cfg(not(feature = "compression"))]
    let _ = (negotiation, limit);
    transport
}

/// Why a transport broke, or could not be made.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum TransportError {
    /// The host name was not found.
    #[error("{0}")]
    Resolve(String),
    /// No connection could be made.
    #[error("{0}")]
    Connect(String),
    /// The peer does not speak the transport's protocol, or refused.
    #[error("{0}")]
    Handshake(String),
    /// TLS failed: a certificate is not trusted or not usable.
    #[error("{0}")]
    Tls(String),
    /// A setting cannot be used.
    #[error("{0}")]
    Setting(String),
    /// The connection broke.
    #[error("{0}")]
    Lost(String),
    /// The peer sent more than the limit allows, or something that is no message.
    #[error("{0}")]
    Malformed(String),
}

#[cfg(feature = "quic")]
impl TransportError {
    /// Names the server, unless the text does already.
    fn at(self, target: &Target) -> Self {
        let named = |why: String| format!("{target}: {why}");
        match self {
            Self::Connect(why) => Self::Connect(named(why)),
            Self::Handshake(why) => Self::Handshake(named(why)),
            Self::Tls(why) => Self::Tls(named(why)),
            Self::Lost(why) => Self::Lost(named(why)),
            other @ (Self::Resolve(_) | Self::Setting(_) | Self::Malformed(_)) => other,
        }
    }
}
