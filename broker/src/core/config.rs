//! What an operator can choose: who may connect, how long things may take, how much a peer may use.

use std::fmt;
use std::sync::Arc;
use std::time::{Duration, Instant};

/// Knows access tokens that come and go.
pub trait TokenCheck: fmt::Debug + Send + Sync {
    /// Whether a client with this token may connect now.
    fn accepts(&self, token: &str, now: Instant) -> bool;
}

/// Settings of a broker.
#[derive(Clone)]
pub struct Config {
    /// Access tokens, any of which lets a client in. None, and no `token_check`: everyone may connect.
    pub tokens: Vec<String>,
    /// Lets clients in with other tokens. A server's own token endpoint does so beside it.
    pub token_check: Option<Arc<dyn TokenCheck>>,
    /// Whether a new downstream is told of the upstreams that already run, and of their newest base
    /// times. Without it a late reader cannot place elapsed times on a clock
    /// (docs/protocol/behaviour.md §7.3).
    pub replay_metadata: bool,
    /// How long things may take.
    pub timing: Timing,
    /// How much a peer may use.
    pub limits: Limits,
}

impl Default for Config {
    fn default() -> Self {
        Self {
            tokens: Vec::new(),
            token_check: None,
            replay_metadata: true,
            timing: Timing::default(),
            limits: Limits::default(),
        }
    }
}

impl fmt::Debug for Config {
    /// Leaves out the tokens.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Config")
            .field("tokens", &self.tokens.len())
            .field("token_check", &self.token_check)
            .field("replay_metadata", &self.replay_metadata)
            .field("timing", &self.timing)
            .field("limits", &self.limits)
            .finish()
    }
}

/// Durations of a broker.
#[derive(Clone, Debug)]
pub struct Timing {
    /// From the transport being up to the `ConnectRequest`. Default 10 s.
    pub connect_timeout: Duration,
    /// Ping interval of clients that announce 0 (Go with sub-second values). Default 10 s.
    pub default_ping_interval: Duration,
    /// Ping timeout of clients that announce 0. Default 1 s.
    pub default_ping_timeout: Duration,
    /// Longest time between two pings, whatever a client announces. Default 1 h.
    pub max_ping_interval: Duration,
    /// Longest ping timeout a client may announce. Default 10 min.
    pub max_ping_timeout: Duration,
    /// How much later than announced a pong may come. Default 1 s.
    pub ping_margin: Duration,
    /// Shortest interval between acks of a stream that asks for one above 0: Python and TypeScript
    /// send seconds in the field that is in milliseconds. Default 5 ms.
    pub min_ack_interval: Duration,
    /// Longest ack interval a client may ask for. Default 60 s.
    pub max_ack_interval: Duration,
    /// Longest expiry interval a client may ask for. Default 1 h.
    pub max_expiry_interval: Duration,
    /// Shortest time a stream with an expiry interval above 0 survives the loss of its connection:
    /// TypeScript needs longer to notice a loss than its default expiry. Default 2 s.
    pub min_expiry: Duration,
    /// How long after its resume a stream recovers: chunks are acknowledged at once, and those of a
    /// RELIABLE upstream wait for chunks with lower numbers, which come again in any order from Go.
    /// Default 1 s.
    pub recovery: Duration,
    /// How long a chunk waits for chunks with lower numbers, and the close of an UNRELIABLE upstream for
    /// chunks still under way. Default 100 ms.
    pub reorder_wait: Duration,
    /// How long the close of any other upstream waits for chunks still under way. Default 1 s.
    pub close_wait: Duration,
    /// How much longer than its ping timeout a socket may take nothing. A slow link can need seconds
    /// until the system reports room. Default 5 s.
    pub stall_margin: Duration,
    /// From the answer that opens or resumes a downstream to its first chunk: Rust and TypeScript lose what
    /// arrives before they processed the answer. Default 10 ms.
    pub open_gap: Duration,
    /// How long a server that ends goes on delivering RELIABLE data; half of the time it is given at most.
    /// Default 2 s.
    pub drain: Duration,
    /// How long the refusal of a wrong token is held back once an address sent several. Below the
    /// 3 s for which the Rust client waits. Default 1 s.
    pub auth_delay: Duration,
}

impl Default for Timing {
    fn default() -> Self {
        Self {
            connect_timeout: Duration::from_secs(10),
            default_ping_interval: Duration::from_secs(10),
            default_ping_timeout: Duration::from_secs(1),
            max_ping_interval: Duration::from_secs(3600),
            max_ping_timeout: Duration::from_secs(600),
            ping_margin: Duration::from_secs(1),
            min_ack_interval: Duration::from_millis(5),
            max_ack_interval: Duration::from_secs(60),
            max_expiry_interval: Duration::from_secs(3600),
            min_expiry: Duration::from_secs(2),
            recovery: Duration::from_secs(1),
            reorder_wait: Duration::from_millis(100),
            close_wait: Duration::from_secs(1),
            stall_margin: Duration::from_secs(5),
            open_gap: Duration::from_millis(10),
            drain: Duration::from_secs(2),
            auth_delay: Duration::from_secs(1),
        }
    }
}

/// Bounds of everything a peer can make grow (docs/protocol/behaviour.md §11.9).
#[derive(Clone, Debug)]
pub struct Limits {
    /// Connections at one time. Default 20 000.
    pub connections: usize,
    /// Connections of one node at one time. A client that has lost some may still be listed with them until
    /// their pings are missed. Default 1000.
    pub connections_per_node: usize,
    /// Size of one incoming message in bytes. Default 16 MiB.
    pub message_bytes: usize,
    /// Upstreams and downstreams of one connection together. Default 1024.
    pub streams_per_connection: usize,
    /// Streams that outlive their connection, in the whole broker. Default 10 000.
    pub detached_streams: usize,
    /// Streams of one node that outlive their connection; the longest detached are given up first.
    /// Default 1024.
    pub detached_streams_per_node: usize,
    /// Bytes of chunks and metadata that wait in downstreams without a connection, in the whole broker. A
    /// downstream for which there is no room is closed. Default 256 MiB.
    pub detached_bytes: usize,
    /// Filters of a downstream. Default 1024.
    pub filters: usize,
    /// Data filters of a downstream, all filters together. Default 4096.
    pub data_filters: usize,
    /// Length in bytes of all texts in the filters of a downstream together, which readers of its node
    /// receive as one message. Default 256 KiB.
    pub filter_bytes: usize,
    /// Data ids of a stream that get an alias. Default 16 384.
    pub data_ids: usize,
    /// Groups in one chunk. Default 65 536.
    pub groups_per_chunk: usize,
    /// Length in bytes of every name a client chooses: node, session, data id, filter, clock, call.
    /// Default 1024.
    pub name_bytes: usize,
    /// Base times remembered per node. Default 64.
    pub base_times: usize,
    /// Responses and acks that wait for one client to read them. Default 4096.
    pub responses: usize,
    /// Chunk results that wait for one upstream client to read its acks. Default 262 144.
    pub chunk_results: usize,
    /// Chunks of one upstream that wait for chunks with lower numbers. Default 255.
    pub reorder_chunks: usize,
    /// Bytes of chunks of one upstream that wait for chunks with lower numbers. Default 16 MiB.
    pub reorder_bytes: usize,
    /// Bytes that wait in an UNRELIABLE or PARTIAL downstream before the oldest are dropped.
    /// Default 16 MiB.
    pub lossy_queue_bytes: usize,
    /// Bytes that wait in a RELIABLE downstream before it is closed, and its connection ended if it has
    /// one: the client would not learn of the gap otherwise. Default 64 MiB.
    pub reliable_queue_bytes: usize,
    /// Chunks of a RELIABLE downstream under way without an ack. Go clients lose chunks above
    /// 1024. Default 512.
    pub reliable_window: usize,
    /// Bytes of points of a RELIABLE downstream under way without an ack; a single chunk may be
    /// larger. Keeps a reader that acknowledges what it has read within its own buffer. Default
    /// 16 MiB.
    pub reliable_window_bytes: usize,
    /// Metadata that wait in one downstream before it is closed as a RELIABLE one is. Default 16 384.
    pub metadata_queue: usize,
    /// Calls that wait for one client to read them; Python's own queue holds 256. Default 128.
    pub calls: usize,
    /// Bytes of the payloads of calls that wait for one client to read them; a single one may be larger.
    /// Default 16 MiB.
    pub call_queue_bytes: usize,
    /// Calls of one connection whose replies find back to it among several connections of its node;
    /// the oldest are forgotten first. Default 256.
    pub calls_asked: usize,
    /// Payload of a call in bytes; Python refuses messages above 1 MiB. Default 1 000 000.
    pub call_bytes: usize,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            connections: 20_000,
            connections_per_node: 1000,
            message_bytes: 16 * 1024 * 1024,
            streams_per_connection: 1024,
            detached_streams: 10_000,
            detached_streams_per_node: 1024,
            detached_bytes: 256 * 1024 * 1024,
            filters: 1024,
            data_filters: 4096,
            filter_bytes: 256 * 1024,
            data_ids: 16_384,
            groups_per_chunk: 65_536,
            name_bytes: 1024,
            base_times: 64,
            responses: 4096,
            chunk_results: 262_144,
            reorder_chunks: 255,
            reorder_bytes: 16 * 1024 * 1024,
            lossy_queue_bytes: 16 * 1024 * 1024,
            reliable_queue_bytes: 64 * 1024 * 1024,
            reliable_window: 512,
            reliable_window_bytes: 16 * 1024 * 1024,
            metadata_queue: 16_384,
            calls: 128,
            call_queue_bytes: 16 * 1024 * 1024,
            calls_asked: 256,
            call_bytes: 1_000_000,
        }
    }
}
