//! What a snapshot consists of, as protobuf messages. A field that is added takes a new number; anything else
//! takes a new version of the file.
//!
//! What several queues share stands in a table once; everything else refers to it by its place there.

use std::time::Duration;

use bytes::Bytes;

/// A whole broker whose connections are gone.
#[derive(Clone, PartialEq, prost::Message)]
pub(in crate::core) struct Snapshot {
    #[prost(uint32, tag = "1")]
    pub(in crate::core) last_upstream_alias: u32,
    #[prost(message, repeated, tag = "2")]
    pub(in crate::core) data_ids: Vec<DataId>,
    #[prost(message, repeated, tag = "3")]
    pub(in crate::core) origins: Vec<Origin>,
    #[prost(message, repeated, tag = "4")]
    pub(in crate::core) chunks: Vec<Chunk>,
    #[prost(message, repeated, tag = "5")]
    pub(in crate::core) events: Vec<Event>,
    #[prost(message, repeated, tag = "6")]
    pub(in crate::core) nodes: Vec<Node>,
    #[prost(message, repeated, tag = "7")]
    pub(in crate::core) downstreams: Vec<Downstream>,
}

#[derive(Clone, PartialEq, prost::Message)]
pub(in crate::core) struct DataId {
    #[prost(string, tag = "1")]
    pub(in crate::core) name: String,
    #[prost(string, tag = "2")]
    pub(in crate::core) kind: String,
}

/// An upstream, perhaps one that has ended, of which something waits.
#[derive(Clone, PartialEq, prost::Message)]
pub(in crate::core) struct Origin {
    /// Missing where nothing but its end waits.
    #[prost(message, optional, tag = "1")]
    pub(in crate::core) info: Option<Info>,
}

#[derive(Clone, PartialEq, prost::Message)]
pub(in crate::core) struct Info {
    #[prost(string, tag = "1")]
    pub(in crate::core) session_id: String,
    #[prost(bytes = "bytes", tag = "2")]
    pub(in crate::core) stream_id: Bytes,
    #[prost(string, tag = "3")]
    pub(in crate::core) source_node_id: String,
}

#[derive(Clone, PartialEq, prost::Message)]
pub(in crate::core) struct Chunk {
    #[prost(uint32, tag = "1")]
    pub(in crate::core) sequence_number: u32,
    #[prost(message, repeated, tag = "2")]
    pub(in crate::core) groups: Vec<Group>,
}

#[derive(Clone, PartialEq, prost::Message)]
pub(in crate::core) struct Group {
    #[prost(uint32, optional, tag = "1")]
    pub(in crate::core) place: Option<u32>,
    #[prost(uint32, tag = "2")]
    pub(in crate::core) data_id: u32,
    /// Data points in the form in which they travel.
    #[prost(bytes = "bytes", tag = "3")]
    pub(in crate::core) points: Bytes,
}

#[derive(Clone, PartialEq, prost::Message)]
pub(in crate::core) struct Event {
    /// A message `DownstreamMetadata` of iSCP.
    #[prost(bytes = "bytes", tag = "1")]
    pub(in crate::core) message: Bytes,
    /// Origin that ends with it.
    #[prost(uint32, optional, tag = "2")]
    pub(in crate::core) ends: Option<u32>,
}

/// A node that sends.
#[derive(Clone, PartialEq, prost::Message)]
pub(in crate::core) struct Node {
    #[prost(string, tag = "1")]
    pub(in crate::core) id: String,
    /// Messages `UpstreamMetadata` of iSCP, oldest first.
    #[prost(bytes = "bytes", repeated, tag = "2")]
    pub(in crate::core) base_times: Vec<Bytes>,
    /// In the order in which they were opened.
    #[prost(message, repeated, tag = "3")]
    pub(in crate::core) upstreams: Vec<Upstream>,
}

/// What ties a stream to its client.
#[derive(Clone, PartialEq, prost::Message)]
pub(in crate::core) struct Tie {
    #[prost(string, tag = "1")]
    pub(in crate::core) owner: String,
    #[prost(bool, tag = "2")]
    pub(in crate::core) anonymous: bool,
    #[prost(string, tag = "3")]
    pub(in crate::core) token: String,
    #[prost(string, optional, tag = "4")]
    pub(in crate::core) previous_token: Option<String>,
    #[prost(uint64, tag = "5")]
    pub(in crate::core) expiry_ns: u64,
    #[prost(uint64, tag = "6")]
    pub(in crate::core) left_ns: u64,
    /// Among the detached streams of the owner, longest detached first.
    #[prost(uint32, tag = "7")]
    pub(in crate::core) place: u32,
}

#[derive(Clone, PartialEq, prost::Message)]
pub(in crate::core) struct Upstream {
    #[prost(uint32, tag = "1")]
    pub(in crate::core) origin: u32,
    #[prost(message, required, tag = "2")]
    pub(in crate::core) tie: Tie,
    #[prost(uint32, tag = "3")]
    pub(in crate::core) alias: u32,
    #[prost(int32, tag = "4")]
    pub(in crate::core) qos: i32,
    #[prost(uint64, tag = "5")]
    pub(in crate::core) ack_interval_ns: u64,
    #[prost(message, repeated, tag = "6")]
    pub(in crate::core) ids: Vec<UpstreamId>,
    /// Places of data ids whose aliases the client asked for.
    #[prost(uint32, repeated, tag = "7")]
    pub(in crate::core) asked: Vec<u32>,
    #[prost(message, required, tag = "8")]
    pub(in crate::core) received: Received,
    #[prost(uint64, repeated, tag = "9")]
    pub(in crate::core) refused: Vec<u64>,
    /// Position of the chunk that is to be forwarded next.
    #[prost(uint64, tag = "10")]
    pub(in crate::core) next: u64,
    #[prost(message, repeated, tag = "11")]
    pub(in crate::core) waiting: Vec<Waiting>,
}

#[derive(Clone, Copy, PartialEq, prost::Message)]
pub(in crate::core) struct UpstreamId {
    #[prost(uint32, tag = "1")]
    pub(in crate::core) data_id: u32,
    #[prost(bool, tag = "2")]
    pub(in crate::core) announced: bool,
    #[prost(bool, tag = "3")]
    pub(in crate::core) pending: bool,
}

#[derive(Clone, PartialEq, prost::Message)]
pub(in crate::core) struct Received {
    #[prost(uint64, tag = "1")]
    pub(in crate::core) highest: u64,
    #[prost(message, repeated, tag = "2")]
    pub(in crate::core) gaps: Vec<Gap>,
    #[prost(uint64, tag = "3")]
    pub(in crate::core) floor: u64,
}

#[derive(Clone, Copy, PartialEq, prost::Message)]
pub(in crate::core) struct Gap {
    #[prost(uint64, tag = "1")]
    pub(in crate::core) first: u64,
    #[prost(uint64, tag = "2")]
    pub(in crate::core) last: u64,
}

/// A chunk that came too early.
#[derive(Clone, Copy, PartialEq, prost::Message)]
pub(in crate::core) struct Waiting {
    #[prost(uint64, tag = "1")]
    pub(in crate::core) position: u64,
    /// Missing for one that was refused.
    #[prost(uint32, optional, tag = "2")]
    pub(in crate::core) chunk: Option<u32>,
}

#[derive(Clone, PartialEq, prost::Message)]
pub(in crate::core) struct Downstream {
    #[prost(bytes = "bytes", tag = "1")]
    pub(in crate::core) id: Bytes,
    #[prost(message, required, tag = "2")]
    pub(in crate::core) tie: Tie,
    #[prost(uint32, tag = "3")]
    pub(in crate::core) alias: u32,
    #[prost(int32, tag = "4")]
    pub(in crate::core) qos: i32,
    #[prost(bool, tag = "5")]
    pub(in crate::core) omit_empty_chunk: bool,
    #[prost(bool, tag = "6")]
    pub(in crate::core) tell_filters: bool,
    #[prost(message, repeated, tag = "7")]
    pub(in crate::core) filters: Vec<Filter>,
    #[prost(message, repeated, tag = "8")]
    pub(in crate::core) ids: Vec<DownstreamId>,
    #[prost(message, repeated, tag = "9")]
    pub(in crate::core) sources: Vec<Source>,
    /// Sent, and not acknowledged.
    #[prost(message, repeated, tag = "10")]
    pub(in crate::core) unacked: Vec<Queued>,
    #[prost(message, repeated, tag = "11")]
    pub(in crate::core) chunks: Vec<Queued>,
    #[prost(message, repeated, tag = "12")]
    pub(in crate::core) metadata: Vec<QueuedEvent>,
    #[prost(uint64, tag = "13")]
    pub(in crate::core) next_number: u64,
    #[prost(uint64, tag = "14")]
    pub(in crate::core) dropped: u64,
}

#[derive(Clone, PartialEq, prost::Message)]
pub(in crate::core) struct Filter {
    #[prost(string, tag = "1")]
    pub(in crate::core) source_node_id: String,
    #[prost(message, repeated, tag = "2")]
    pub(in crate::core) data_filters: Vec<DataId>,
}

#[derive(Clone, PartialEq, prost::Message)]
pub(in crate::core) struct DownstreamId {
    #[prost(uint32, tag = "1")]
    pub(in crate::core) alias: u32,
    #[prost(string, tag = "2")]
    pub(in crate::core) name: String,
    #[prost(string, tag = "3")]
    pub(in crate::core) kind: String,
}

/// An upstream that a downstream knows.
#[derive(Clone, Copy, PartialEq, prost::Message)]
pub(in crate::core) struct Source {
    #[prost(uint32, tag = "1")]
    pub(in crate::core) origin: u32,
    /// What its client calls it.
    #[prost(uint32, optional, tag = "2")]
    pub(in crate::core) alias: Option<u32>,
}

#[derive(Clone, PartialEq, prost::Message)]
pub(in crate::core) struct Queued {
    #[prost(uint64, tag = "1")]
    pub(in crate::core) number: u64,
    #[prost(uint32, tag = "2")]
    pub(in crate::core) origin: u32,
    #[prost(uint32, tag = "3")]
    pub(in crate::core) chunk: u32,
    #[prost(message, optional, tag = "4")]
    pub(in crate::core) selection: Option<Selection>,
}

/// Which groups of a chunk are for a downstream.
#[derive(Clone, PartialEq, prost::Message)]
pub(in crate::core) struct Selection {
    #[prost(uint32, repeated, tag = "1")]
    pub(in crate::core) groups: Vec<u32>,
}

#[derive(Clone, Copy, PartialEq, prost::Message)]
pub(in crate::core) struct QueuedEvent {
    #[prost(uint64, tag = "1")]
    pub(in crate::core) number: u64,
    #[prost(uint32, tag = "2")]
    pub(in crate::core) event: u32,
}

/// A duration as a field. What a field cannot hold, no timer lasts.
pub(in crate::core) fn nanos(duration: Duration) -> u64 {
    u64::try_from(duration.as_nanos()).unwrap_or(u64::MAX)
}
