//! How encoded messages travel: negotiation, and message transports over sockets.
//!
//! A transport carries whole messages, both ways, in order. It is polled by the task that owns the
//! connection; nothing in it runs on its own.

mod metered;
mod negotiation;
pub mod websocket;

use std::task::{Context, Poll};

use bytes::Bytes;

pub use metered::Metered;
pub use negotiation::{Negotiation, NegotiationError};

/// A connected message transport.
pub trait Transport: Send {
    /// Next message of the peer; `None` when the peer closed in an orderly way.
    fn poll_recv(&mut self, cx: &mut Context<'_>) -> Poll<Option<Result<Bytes, TransportError>>>;

    /// Ready when the transport can take a message. Writes out what it holds to become so.
    fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), TransportError>>;

    /// Takes a message; only after [`Transport::poll_ready`] said so. It is on its way at the
    /// latest when [`Transport::poll_flush`] is done, so that several messages share one write.
    fn send(&mut self, message: Bytes) -> Result<(), TransportError>;

    /// Writes out everything taken.
    fn poll_flush(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), TransportError>>;

    /// Bytes the system has taken from the transport so far. Once it takes no more, an increase shows
    /// that the peer is reading.
    fn bytes_written(&self) -> u64;

    /// Writes out everything taken, says goodbye in the transport's own way and closes.
    fn poll_close(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), TransportError>>;
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
    /// The connection broke.
    #[error("{0}")]
    Lost(String),
    /// The peer sent more than the limit allows, or something that is no message.
    #[error("{0}")]
    Malformed(String),
}
