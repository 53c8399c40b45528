//! Data ids, filters, chunks and the messages of upstreams and downstreams.

use std::collections::BTreeMap;
use std::fmt;

use uuid::Uuid;

use super::{Points, Qos, ResultCode};

/// Name and type of a series of data points. Its text form is `type:name`.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct DataId {
    /// Name; `/` separates levels.
    pub name: String,
    /// Type; `/` separates levels.
    pub kind: String,
}

impl DataId {
    /// Data id of a name and a type.
    pub fn new(name: impl Into<String>, kind: impl Into<String>) -> Self {
        Self { name: name.into(), kind: kind.into() }
    }
}

impl fmt::Display for DataId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{}", self.kind, self.name)
    }
}

/// Pattern for data ids: `+` stands for one level, `#` for any number of levels.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash)]
pub struct DataFilter {
    /// Pattern for the name.
    pub name: String,
    /// Pattern for the type.
    pub kind: String,
}

/// What a downstream receives of one node: everything that any of the data filters matches.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct DownstreamFilter {
    /// Node whose data is wanted.
    pub source_node_id: String,
    /// Patterns, any of which may match.
    pub data_filters: Vec<DataFilter>,
}

/// Identity of an upstream, as its readers see it.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct UpstreamInfo {
    /// Session of the upstream.
    pub session_id: String,
    /// Id of the upstream.
    pub stream_id: Uuid,
    /// Node that sends it.
    pub source_node_id: String,
}

/// Table of aliases: alias → what it stands for.
pub type Aliases<T> = BTreeMap<u32, T>;

/// A value in full or its alias.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum OrAlias<T> {
    /// The value itself.
    Full(T),
    /// The alias agreed for it. Zero is an ordinary alias.
    Alias(u32),
}

/// Points of one data id.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DataPointGroup {
    /// What the points belong to.
    pub data_id: OrAlias<DataId>,
    /// The points, in the sender's order.
    pub points: Points,
}

/// Groups of points that travel together under one sequence number.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct StreamChunk {
    /// Number in the upstream, from 1.
    pub sequence_number: u32,
    /// The groups; a data id may appear in several.
    pub groups: Vec<DataPointGroup>,
}

impl StreamChunk {
    /// How many points it has.
    pub fn points(&self) -> u64 {
        self.groups.iter().map(|group| group.points.len() as u64).sum()
    }
}

/// `UpstreamOpenRequest`.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct UpstreamOpenRequest {
    /// Correlation id.
    pub request_id: u32,
    /// Session the stream belongs to.
    pub session_id: String,
    /// How often the broker should acknowledge, in milliseconds.
    pub ack_interval_ms: u32,
    /// How long the stream stays resumable after a loss, in seconds.
    pub expiry_interval_s: u32,
    /// Data ids the client expects to send.
    pub data_ids: Vec<DataId>,
    /// QoS of the stream.
    pub qos: Qos,
    /// Whether the data is stored in the session.
    pub persist: bool,
}

/// `UpstreamOpenResponse`.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct UpstreamOpenResponse {
    /// Id of the request.
    pub request_id: u32,
    /// Id of the new stream; nil in a refusal.
    pub stream_id: Uuid,
    /// Alias of the stream on this connection.
    pub stream_id_alias: u32,
    /// Aliases for data ids of the request.
    pub data_id_aliases: Aliases<DataId>,
    /// The broker's clock, nanoseconds since the Unix epoch.
    pub server_time_ns: i64,
    /// Outcome.
    pub result_code: ResultCode,
    /// Detail.
    pub result_string: String,
    /// Secret to resume with; empty below protocol 3.0.0.
    pub resume_token: String,
}

/// `UpstreamResumeRequest`.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct UpstreamResumeRequest {
    /// Correlation id.
    pub request_id: u32,
    /// The stream.
    pub stream_id: Uuid,
    /// Newest token of the stream.
    pub resume_token: String,
}

/// `UpstreamResumeResponse`.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct UpstreamResumeResponse {
    /// Id of the request.
    pub request_id: u32,
    /// Alias on the new connection.
    pub stream_id_alias: u32,
    /// Outcome.
    pub result_code: ResultCode,
    /// Detail.
    pub result_string: String,
    /// Replaces the client's token.
    pub resume_token: String,
}

/// `UpstreamCloseRequest`.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct UpstreamCloseRequest {
    /// Correlation id.
    pub request_id: u32,
    /// The stream.
    pub stream_id: Uuid,
    /// Points sent on the stream since it was opened.
    pub total_data_points: u64,
    /// Last sequence number issued; 0 when no chunk was sent.
    pub final_sequence_number: u32,
    /// Whether the session is closed too.
    pub close_session: bool,
}

/// Outcome of a request that is answered with nothing else: the responses to closing an upstream or
/// downstream and the acknowledgements of metadata.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Reply {
    /// Id of the request.
    pub request_id: u32,
    /// Outcome.
    pub result_code: ResultCode,
    /// Detail.
    pub result_string: String,
}

/// `UpstreamChunk`.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct UpstreamChunk {
    /// Alias of the upstream.
    pub stream_id_alias: u32,
    /// The data.
    pub chunk: StreamChunk,
    /// Data ids of the chunk that have no alias yet.
    pub data_ids: Vec<DataId>,
}

/// Outcome of one upstream chunk.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct UpstreamChunkResult {
    /// Number of the chunk.
    pub sequence_number: u32,
    /// Outcome.
    pub result_code: ResultCode,
    /// Detail.
    pub result_string: String,
}

/// `UpstreamChunkAck`.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct UpstreamChunkAck {
    /// Alias of the upstream.
    pub stream_id_alias: u32,
    /// One result a chunk.
    pub results: Vec<UpstreamChunkResult>,
    /// New aliases, usable from now on.
    pub data_id_aliases: Aliases<DataId>,
}

/// `DownstreamOpenRequest`.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct DownstreamOpenRequest {
    /// Correlation id.
    pub request_id: u32,
    /// Alias the client chose for the stream on this connection.
    pub desired_stream_id_alias: u32,
    /// What to receive.
    pub filters: Vec<DownstreamFilter>,
    /// How long the stream stays resumable after a loss, in seconds.
    pub expiry_interval_s: u32,
    /// Aliases the broker may use at once.
    pub data_id_aliases: Aliases<DataId>,
    /// QoS of the stream.
    pub qos: Qos,
    /// Whether chunks without a matching group are left out.
    pub omit_empty_chunk: bool,
}

/// `DownstreamOpenResponse`.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct DownstreamOpenResponse {
    /// Id of the request.
    pub request_id: u32,
    /// Id of the new stream; nil in a refusal.
    pub stream_id: Uuid,
    /// The broker's clock, nanoseconds since the Unix epoch.
    pub server_time_ns: i64,
    /// Outcome.
    pub result_code: ResultCode,
    /// Detail.
    pub result_string: String,
    /// Secret to resume with; empty below protocol 3.0.0.
    pub resume_token: String,
}

/// `DownstreamResumeRequest`.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct DownstreamResumeRequest {
    /// Correlation id.
    pub request_id: u32,
    /// The stream.
    pub stream_id: Uuid,
    /// Alias the client chose on the new connection.
    pub desired_stream_id_alias: u32,
    /// Newest token of the stream.
    pub resume_token: String,
}

/// `DownstreamResumeResponse`.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct DownstreamResumeResponse {
    /// Id of the request.
    pub request_id: u32,
    /// Outcome.
    pub result_code: ResultCode,
    /// Detail.
    pub result_string: String,
    /// Replaces the client's token.
    pub resume_token: String,
}

/// `DownstreamCloseRequest`.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct DownstreamCloseRequest {
    /// Correlation id.
    pub request_id: u32,
    /// The stream.
    pub stream_id: Uuid,
}

/// Which filter of the open request a group matched.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct FilterReference {
    /// Index into the filters of the open request.
    pub downstream_filter_index: u32,
    /// Index into that filter's data filters.
    pub data_filter_index: u32,
}

/// `DownstreamChunk`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DownstreamChunk {
    /// Alias of the downstream.
    pub stream_id_alias: u32,
    /// Where the chunk comes from.
    pub upstream: OrAlias<UpstreamInfo>,
    /// The data; the sequence number is the upstream's.
    pub chunk: StreamChunk,
    /// Entry *i* says which filters group *i* matched; empty when the broker does not say.
    pub filter_references: Vec<Vec<FilterReference>>,
}

/// Outcome of one downstream chunk at the client.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct DownstreamChunkResult {
    /// Upstream the chunk came from.
    pub upstream_stream_id: Uuid,
    /// Its sequence number there.
    pub upstream_sequence_number: u32,
    /// Outcome.
    pub result_code: ResultCode,
    /// Detail.
    pub result_string: String,
}

/// `DownstreamChunkAck`.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct DownstreamChunkAck {
    /// Alias of the downstream.
    pub stream_id_alias: u32,
    /// Id of this acknowledgement. Zero is an ordinary id.
    pub ack_id: u32,
    /// One entry a received chunk.
    pub results: Vec<DownstreamChunkResult>,
    /// Aliases the broker may use for upstreams from now on.
    pub upstream_aliases: Aliases<UpstreamInfo>,
    /// Aliases the broker may use for data ids from now on.
    pub data_id_aliases: Aliases<DataId>,
}

/// `DownstreamChunkAckComplete`.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct DownstreamChunkAckComplete {
    /// Alias of the downstream.
    pub stream_id_alias: u32,
    /// The acknowledgement answered.
    pub ack_id: u32,
    /// Outcome.
    pub result_code: ResultCode,
    /// Detail.
    pub result_string: String,
}
