//! What the connection tells its driver.

use std::sync::Arc;
use std::time::Duration;

use uuid::Uuid;

use super::downstream::ReceiveCounters;
use super::shared_buffer::SharedBuffer;
use crate::error::{Error, Result};
use crate::message::{
    DataId, DownstreamCall, FilterReference, Message, Metadata, Points, ResultCode, UpstreamInfo,
};

/// An operation the driver started and wants the outcome of. Chosen by the driver.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct OpId(pub u64);

/// A stream of the connection, for the life of the connection. Chosen by the connection.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct StreamKey(pub u32);

/// What a successful operation produced.
#[derive(Clone, Debug)]
pub enum Output {
    /// Nothing but success.
    Done,
    /// An open upstream.
    Upstream(OpenedUpstream),
    /// An open downstream.
    Downstream(OpenedDownstream),
    /// The reply to a call.
    Reply(Box<DownstreamCall>),
    /// The time a ping took.
    RoundTrip(Duration),
}

/// An upstream that was opened.
#[derive(Clone, Debug)]
pub struct OpenedUpstream {
    /// The stream.
    pub key: StreamKey,
    /// Id the server gave it.
    pub stream_id: Uuid,
    /// The server's clock, nanoseconds since the Unix epoch.
    pub server_time_ns: i64,
    /// Where points are written.
    pub buffer: Arc<SharedBuffer>,
}

/// A downstream that was opened.
#[derive(Clone, Debug)]
pub struct OpenedDownstream {
    /// The stream.
    pub key: StreamKey,
    /// Id the server gave it.
    pub stream_id: Uuid,
    /// The server's clock, nanoseconds since the Unix epoch.
    pub server_time_ns: i64,
    /// Numbers about what it receives.
    pub counters: Arc<ReceiveCounters>,
}

/// Outcome of one chunk of an upstream.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ChunkOutcome {
    /// Number of the chunk.
    pub sequence_number: u32,
    /// What the server said.
    pub result_code: ResultCode,
    /// Detail of it.
    pub result_string: String,
}

/// How an upstream ended.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct UpstreamEnd {
    /// Why, unless the application closed it and everything was delivered. Chunks of an UNRELIABLE stream
    /// that datagrams lost are no reason.
    pub error: Option<Error>,
    /// Points whose delivery the server did not confirm, those that were dropped included.
    pub undelivered_points: u64,
    /// Sequence numbers of chunks that were sent and not confirmed, in order. Those of the last stream, if it
    /// was opened anew.
    pub undelivered_chunks: Vec<u32>,
}

/// Points of one data id in a received chunk.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ReceivedGroup {
    /// What the points belong to.
    pub data_id: Arc<DataId>,
    /// The points.
    pub points: Points,
    /// Filters of the open request that matched; empty when the server does not say.
    pub filter_references: Vec<FilterReference>,
}

/// A chunk as the application sees it: no aliases left.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ReceivedChunk {
    /// Where it comes from.
    pub upstream: Arc<UpstreamInfo>,
    /// Number in its upstream.
    pub sequence_number: u32,
    /// Its points.
    pub groups: Vec<ReceivedGroup>,
}

/// Bytes that a chunk, and each of its groups, occupies beside its points.
const CHUNK_OVERHEAD: usize = 256;
const GROUP_OVERHEAD: usize = 128;

impl ReceivedChunk {
    /// Bytes that it occupies, about.
    pub fn footprint(&self) -> usize {
        let group = |group: &ReceivedGroup| GROUP_OVERHEAD + group.points.as_bytes().len();
        CHUNK_OVERHEAD + self.groups.iter().map(group).sum::<usize>()
    }

    /// Number of its points.
    pub fn points(&self) -> usize {
        self.groups.iter().map(|group| group.points.len()).sum()
    }

    /// Sum of the lengths of the payloads.
    pub fn payload_bytes(&self) -> usize {
        self.groups.iter().map(|group| group.points.payload_bytes()).sum()
    }
}

/// Metadata as the application sees it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ReceivedMetadata {
    /// Node it is about.
    pub source_node_id: String,
    /// The metadata.
    pub metadata: Metadata,
    /// To acknowledge it with.
    pub(super) request_id: u32,
    /// Number of the connection over which it came, which is the one to acknowledge it on.
    pub(super) link: u32,
}

#[cfg(test)]
impl ReceivedMetadata {
    /// Metadata that did not arrive.
    pub(crate) fn for_test(source_node_id: &str, metadata: Metadata) -> Self {
        Self { source_node_id: source_node_id.to_owned(), metadata, request_id: 0, link: 0 }
    }
}

/// What happened.
#[derive(Clone, Debug)]
pub enum Event {
    /// The server accepted the connection.
    Connected {
        /// Protocol version that holds.
        protocol_version: String,
    },
    /// The connection was lost, and why; it is about to be made anew. The transport is of no use any more,
    /// except perhaps for a last message.
    Disconnected(Error, Option<Message>),
    /// There will be an attempt to make the connection anew.
    Reconnecting {
        /// Number of the attempt in this outage, from 1.
        attempt: u32,
        /// How long to wait before it.
        delay: Duration,
        /// Why the connection was lost, or the attempt before failed.
        error: Error,
    },
    /// The moment to establish a transport, with fresh credentials; answered with
    /// [`Connection::transport_established`](super::Connection::transport_established) or
    /// [`Connection::dial_failed`](super::Connection::dial_failed).
    Dial,
    /// The server accepted the connection again.
    Reconnected {
        /// Protocol version that holds.
        protocol_version: String,
    },
    /// An upstream goes on after the connection was lost.
    UpstreamResumed(StreamKey),
    /// The server had forgotten an upstream, and opened another in its place.
    UpstreamReopened {
        /// The stream.
        key: StreamKey,
        /// Id it had.
        former: Uuid,
        /// Id it has.
        stream_id: Uuid,
    },
    /// A downstream goes on after the connection was lost.
    DownstreamResumed(StreamKey),
    /// The server had forgotten a downstream, and opened another in its place.
    DownstreamReopened {
        /// The stream.
        key: StreamKey,
        /// Id it had.
        former: Uuid,
        /// Id it has.
        stream_id: Uuid,
        /// The server's clock, nanoseconds since the Unix epoch.
        server_time_ns: i64,
    },
    /// An operation ended.
    Done(OpId, Result<Output>),
    /// The server answered for a chunk.
    ChunkAcked(StreamKey, ChunkOutcome),
    /// What became of points whose outcome is awaited ([`WriteBuffer::await_point`](super::WriteBuffer::await_point)).
    /// Those of which nothing was told when the stream ends ended with it.
    PointsSettled(StreamKey, Vec<u64>, Result<()>),
    /// An upstream ended.
    UpstreamClosed(StreamKey, UpstreamEnd),
    /// A chunk arrived.
    Chunk(StreamKey, ReceivedChunk),
    /// Metadata arrived.
    Metadata(StreamKey, ReceivedMetadata),
    /// The moment to hand over what the application took, with
    /// [`Connection::acknowledge`](super::Connection::acknowledge).
    CollectAcks(StreamKey),
    /// Another node called.
    Call(DownstreamCall),
    /// A reply arrived for which no operation waits.
    Reply(DownstreamCall),
    /// A downstream ended, in order or for a reason.
    DownstreamClosed(StreamKey, Option<Error>),
    /// The connection ended, in order or for a reason: close the transport once everything is sent.
    Closed(Option<Error>),
}
