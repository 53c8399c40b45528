//! What the application chose for a connection or stream, as far as the protocol cares.

use std::sync::Arc;
use std::time::Duration;

use uuid::Uuid;

use super::keeper::Keeper;
use crate::message::{DataId, DownstreamFilter, Qos};

/// Protocol version this client announces.
pub const PROTOCOL_VERSION: &str = "3.0.0";

/// Settings of a connection.
#[derive(Clone, Debug)]
pub struct ConnectionConfig {
    /// Node that connects; empty lets the server choose.
    pub node_id: String,
    /// Project the connection belongs to.
    pub project_uuid: Option<Uuid>,
    /// Interval of the keep-alive pings, announced to the server too, in whole seconds.
    pub ping_interval: Duration,
    /// How long to wait for the answer to a ping, announced to the server too.
    pub ping_timeout: Duration,
    /// How long to wait for the answer to a request.
    pub response_timeout: Duration,
    /// What follows the loss of the connection.
    pub reconnect: ReconnectConfig,
}

/// Whether and how often a lost connection is made anew.
#[derive(Clone, Debug)]
pub struct ReconnectConfig {
    /// Whether it is. Otherwise its loss is its end.
    pub enabled: bool,
    /// Shortest wait before an attempt.
    pub min_interval: Duration,
    /// Longest wait before an attempt.
    pub max_interval: Duration,
    /// Attempts in one outage after which it is given up; 0 for no limit.
    pub attempts: u32,
    /// Length of an outage after which it is given up, if any is.
    pub total: Option<Duration>,
    /// Seed of the random part of the waits.
    pub seed: u64,
}

impl Default for ReconnectConfig {
    /// The intervals of docs/protocol/behaviour.md §4.1.
    fn default() -> Self {
        Self {
            enabled: true,
            min_interval: Duration::from_millis(100),
            max_interval: Duration::from_secs(5),
            attempts: 0,
            total: None,
            seed: 0,
        }
    }
}

impl Default for ConnectionConfig {
    /// The defaults of docs/protocol/behaviour.md §13.8.
    fn default() -> Self {
        Self {
            node_id: String::new(),
            project_uuid: None,
            ping_interval: Duration::from_secs(10),
            ping_timeout: Duration::from_secs(1),
            response_timeout: Duration::from_secs(10),
            reconnect: ReconnectConfig::default(),
        }
    }
}

/// When buffered points become a chunk. An explicit flush and closing always do.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum FlushPolicy {
    /// Only explicit flushes.
    None,
    /// This long after the first point was buffered.
    Interval(Duration),
    /// When more payload bytes than this are buffered.
    Size(usize),
    /// Whichever of the two comes first.
    IntervalOrSize(Duration, usize),
    /// At every write.
    Immediate,
}

impl Default for FlushPolicy {
    /// 100 ms or more than 10 000 bytes (docs/protocol/behaviour.md §5.1).
    fn default() -> Self {
        Self::IntervalOrSize(Duration::from_millis(100), 10_000)
    }
}

impl FlushPolicy {
    /// Longest time a point stays buffered, if time is bounded.
    pub fn interval(self) -> Option<Duration> {
        match self {
            Self::Interval(interval) | Self::IntervalOrSize(interval, _) => Some(interval),
            _ => None,
        }
    }

    /// Payload bytes above which the buffer is flushed, if size is bounded.
    pub fn size(self) -> Option<usize> {
        match self {
            Self::Size(size) | Self::IntervalOrSize(_, size) => Some(size),
            Self::Immediate => Some(0),
            _ => None,
        }
    }
}

/// Settings of an upstream.
#[derive(Clone, Debug)]
pub struct UpstreamConfig {
    /// Session the stream belongs to.
    pub session_id: String,
    /// How often the server should acknowledge, in whole milliseconds.
    pub ack_interval: Duration,
    /// How long the server keeps the stream after a loss, in whole seconds.
    pub expiry_interval: Duration,
    /// QoS.
    pub qos: Qos,
    /// Whether the server stores the data in the session.
    pub persist: bool,
    /// Data ids known in advance.
    pub data_ids: Vec<DataId>,
    /// When buffered points become a chunk.
    pub flush_policy: FlushPolicy,
    /// How long closing waits for outstanding acknowledgements.
    pub close_timeout: Duration,
    /// Bytes of points that may wait to be sent.
    pub buffer_limit: usize,
    /// Bytes of sent points that may wait to be acknowledged when the QoS is RELIABLE; more stay in
    /// the buffer.
    pub in_flight_limit: usize,
    /// How long a chunk may wait for its acknowledgement on a connection before it counts as undelivered,
    /// if not as long as the connection lives.
    pub ack_timeout: Option<Duration>,
    /// Whether a stream that the server has forgotten is opened anew, with what was not acknowledged.
    pub reopen: bool,
    /// Whether the outcome of every chunk is reported.
    pub report_acks: bool,
    /// Whether every chunk is shown before it is sent.
    pub report_chunks: bool,
    /// Whether the points of each data id are sorted by their elapsed times in a chunk; equal ones stay in the
    /// order in which they were written.
    pub points_sorted: bool,
    /// Whether the oldest points may be dropped when too many wait to be sent. Not for RELIABLE streams.
    pub drop_oldest: bool,
    /// Keeps the points of a RELIABLE stream until they are delivered.
    pub keeper: Option<Arc<dyn Keeper>>,
}

impl Default for UpstreamConfig {
    /// The defaults of docs/protocol/behaviour.md §13.8; the limits are this library's own.
    fn default() -> Self {
        Self {
            session_id: String::new(),
            ack_interval: Duration::from_millis(100),
            expiry_interval: Duration::from_secs(60),
            qos: Qos::Unreliable,
            persist: false,
            data_ids: Vec::new(),
            flush_policy: FlushPolicy::default(),
            close_timeout: Duration::from_secs(10),
            buffer_limit: 8 << 20,
            in_flight_limit: 32 << 20,
            ack_timeout: None,
            reopen: false,
            report_acks: false,
            report_chunks: false,
            points_sorted: false,
            drop_oldest: false,
            keeper: None,
        }
    }
}

/// In which order the chunks of each upstream are delivered.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum ChunkOrder {
    /// As they come.
    #[default]
    AsReceived,
    /// By their numbers. A missing one is waited for within limits; should it come after that, it is delivered
    /// late.
    BestEffort,
    /// By their numbers and never otherwise. A missing one of a RELIABLE upstream is waited for until the limits
    /// are reached, which ends a RELIABLE downstream; others are waited for within limits, and dropped should
    /// they come after that.
    Strict,
}

/// Settings of a downstream.
#[derive(Clone, Debug)]
pub struct DownstreamConfig {
    /// What to receive.
    pub filters: Vec<DownstreamFilter>,
    /// QoS.
    pub qos: Qos,
    /// How long the server keeps the stream after a loss, in whole seconds.
    pub expiry_interval: Duration,
    /// Data ids known in advance; the server uses aliases for them from the start.
    pub data_ids: Vec<DataId>,
    /// How often received chunks are acknowledged.
    pub ack_interval: Duration,
    /// Whether the server leaves out chunks without a matching group.
    pub omit_empty_chunk: bool,
    /// In which order chunks are delivered. Numbers must not be left out for another than as they come.
    pub chunk_order: ChunkOrder,
    /// Chunks of one upstream that may wait for an earlier one.
    pub reorder_limit: usize,
    /// Bytes of chunks of all upstreams that may.
    pub reorder_bytes: usize,
    /// How long they may, unless the earlier one must come.
    pub reorder_wait: Duration,
    /// Whether chunks of a RELIABLE stream are acknowledged when they arrive, and not when the application
    /// takes them.
    pub ack_on_arrival: bool,
    /// How long closing waits for the last acknowledgement to be completed.
    pub close_timeout: Duration,
    /// Whether a stream that the server has forgotten is opened anew.
    pub reopen: bool,
}

impl Default for DownstreamConfig {
    /// The defaults of docs/protocol/behaviour.md §13.8.
    fn default() -> Self {
        Self {
            filters: Vec::new(),
            qos: Qos::Unreliable,
            expiry_interval: Duration::from_secs(60),
            data_ids: Vec::new(),
            ack_interval: Duration::from_millis(100),
            omit_empty_chunk: false,
            chunk_order: ChunkOrder::default(),
            reorder_limit: 255,
            reorder_bytes: 64 << 20,
            reorder_wait: Duration::from_millis(100),
            ack_on_arrival: false,
            close_timeout: Duration::from_secs(10),
            reopen: false,
        }
    }
}
