//! What the application chose, with its callbacks.

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use super::address::Address;
use super::events::{Dated, StreamEvent};
#[cfg(feature = "oauth2")]
use super::oauth2::OAuth2;
use super::spool::{SpoolOptions, SpoolOutcome};
use super::token::TokenSource;
use crate::core::{
    ChunkOutcome, ConnectionConfig, DownstreamConfig, ReceivedChunk, UpstreamConfig, UpstreamEnd,
};
use crate::error::{Error, Result};
use crate::transport::dial::DialOptions;
use crate::transport::{Target, redacted};
use http::HeaderName;
use http::header::AUTHORIZATION;

/// A callback for events of one kind. Runs on the connection's dispatcher thread, and is dropped
/// there after the last event.
pub type Handler<E> = Box<dyn Fn(E) + Send + Sync>;

/// A callback for the events of connections and their streams.
pub type ConnectionHandler = Arc<dyn Fn(Dated) + Send + Sync>;

/// A callback for what became of points in a spool.
pub type SpoolHandler = Arc<dyn Fn(SpoolOutcome) + Send + Sync>;

/// Settings of a connection.
#[derive(Clone)]
pub struct ConnectOptions {
    /// Address, see [`Target::parse`](crate::transport::Target::parse).
    pub url: String,
    /// Parts of the address that take the place of those of the URL.
    pub address: Address,
    /// Settings of the protocol.
    pub config: ConnectionConfig,
    /// Where the access token comes from.
    pub token: TokenSource,
    /// The OAuth2 server that gives the access token, instead.
    #[cfg(feature = "oauth2")]
    pub oauth2: OAuth2,
    /// Where the value of a header of the HTTP request comes from that WebSocket and WebTransport begin
    /// with (docs/protocol/transport.md §2.7).
    pub header_token: TokenSource,
    /// Name of that header.
    pub header_token_name: HeaderName,
    /// How long each source of tokens may take.
    pub token_timeout: Duration,
    /// How long the transport may take to come up.
    pub connect_timeout: Duration,
    /// How long closing may take.
    pub close_timeout: Duration,
    /// Settings of calls between nodes.
    pub calls: CallOptions,
    /// Settings of the transport.
    pub dial: DialOptions,
    /// Where points of RELIABLE upstreams are kept until they are delivered.
    pub spool: SpoolOptions,
    /// Told what became of points that an earlier process left there.
    pub on_spool: Option<SpoolHandler>,
    /// Events that may wait for the application. Beyond it the oldest are dropped and counted.
    pub event_queue_limit: usize,
    /// Told what happens to the connection and its streams.
    pub on_event: Option<ConnectionHandler>,
    /// Told when the connection ended, and why unless the application closed it.
    pub on_closed: Option<Arc<dyn Fn(Option<Error>) + Send + Sync>>,
}

/// Settings of calls between nodes.
#[derive(Clone, Debug)]
pub struct CallOptions {
    /// How long a call waits for its reply unless it says otherwise.
    pub reply_timeout: Duration,
    /// Calls, and replies that nobody waits for, that may wait for the application, of each so many.
    /// Beyond it the newest are dropped and counted.
    pub queue_limit: usize,
    /// Bytes of calls, and of such replies, that may wait for the application.
    pub queue_bytes: usize,
    /// Bytes of calls that may wait to be sent.
    pub send_limit: usize,
}

impl Default for CallOptions {
    fn default() -> Self {
        Self {
            reply_timeout: Duration::from_secs(60),
            queue_limit: 1024,
            queue_bytes: 64 << 20,
            send_limit: 16 << 20,
        }
    }
}

impl Default for ConnectOptions {
    fn default() -> Self {
        Self {
            url: String::new(),
            address: Address::default(),
            config: ConnectionConfig::default(),
            token: TokenSource::None,
            #[cfg(feature = "oauth2")]
            oauth2: OAuth2::default(),
            header_token: TokenSource::None,
            header_token_name: AUTHORIZATION,
            token_timeout: Duration::from_secs(10),
            connect_timeout: Duration::from_secs(10),
            close_timeout: Duration::from_secs(10),
            calls: CallOptions::default(),
            dial: DialOptions::default(),
            spool: SpoolOptions::default(),
            on_spool: None,
            event_queue_limit: 256,
            on_event: None,
            on_closed: None,
        }
    }
}

/// What a write does when the buffer is full.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum FullPolicy {
    /// Waits for space, at most this long; inside a callback as [`FullPolicy::Fail`].
    Block(Duration),
    /// Fails at once.
    Fail,
    /// Drops the oldest points that wait to be sent. Not for RELIABLE streams.
    DropOldest,
    /// Drops the point that is written, and succeeds. Not for RELIABLE streams.
    DropNewest,
}

impl FullPolicy {
    /// Its name, if it drops points.
    pub(super) fn drops(self) -> Option<&'static str> {
        match self {
            Self::Block(_) | Self::Fail => None,
            Self::DropOldest => Some("drop_oldest"),
            Self::DropNewest => Some("drop_newest"),
        }
    }
}

/// Settings of an upstream.
pub struct UpstreamOptions {
    /// Settings of the protocol.
    pub config: UpstreamConfig,
    /// What a write does when the buffer is full.
    pub full: FullPolicy,
    /// Told the outcome of every chunk.
    pub on_ack: Option<Handler<ChunkOutcome>>,
    /// Shown every chunk that is about to be sent, in order, and not again when it is sent again. Nothing waits
    /// for it, but when too much waits for it no further chunks are made.
    pub on_chunk: Option<Handler<ReceivedChunk>>,
    /// Told when the stream came back after the connection was lost.
    pub on_event: Option<Handler<StreamEvent>>,
    /// Told how the stream ended.
    pub on_closed: Option<Handler<UpstreamEnd>>,
}

impl Default for UpstreamOptions {
    fn default() -> Self {
        Self {
            config: UpstreamConfig::default(),
            full: FullPolicy::Block(Duration::from_secs(10)),
            on_ack: None,
            on_chunk: None,
            on_event: None,
            on_closed: None,
        }
    }
}

/// What happens when chunks arrive faster than the application takes them.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum BufferPolicy {
    /// Chunks are acknowledged when the application takes them, so that the server stops sending. A server that
    /// goes on beyond the limit ends the stream. Only RELIABLE streams can do this.
    Pause,
    /// Chunks are acknowledged when they arrive, so that nobody waits for this reader. One that does not fit
    /// ends the stream.
    Fail,
    /// The oldest make room, and are counted. Not for RELIABLE streams.
    DropOldest,
    /// One that does not fit is dropped and counted. Not for RELIABLE streams.
    DropNewest,
}

/// Settings of a downstream.
pub struct DownstreamOptions {
    /// Settings of the protocol; `reorder_bytes` and `ack_on_arrival` follow from the fields below.
    pub config: DownstreamConfig,
    /// Bytes of chunks that may wait for the application, and of those that may wait for earlier ones.
    pub buffer_limit: usize,
    /// What happens beyond it. By default a RELIABLE stream pauses, and others drop the oldest.
    pub buffer_policy: Option<BufferPolicy>,
    /// Told when the stream came back after the connection was lost.
    pub on_event: Option<Handler<StreamEvent>>,
    /// Told how the stream ended.
    pub on_closed: Option<Handler<Option<Error>>>,
}

impl Default for DownstreamOptions {
    fn default() -> Self {
        Self {
            config: DownstreamConfig::default(),
            buffer_limit: 64 << 20,
            buffer_policy: None,
            on_event: None,
            on_closed: None,
        }
    }
}

impl ConnectOptions {
    /// Where to connect to.
    ///
    /// # Errors
    /// `InvalidOption`, `Unsupported` as for [`Target::parse`].
    pub fn target(&self) -> Result<Target> {
        self.address.over(&self.url)
    }
}

impl fmt::Debug for ConnectOptions {
    /// Leaves out the token.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ConnectOptions")
            .field("url", &redacted(&self.url))
            .field("config", &self.config)
            .finish_non_exhaustive()
    }
}
