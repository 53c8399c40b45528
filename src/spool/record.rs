//! The records of a segment.
//!
//! `length u32 LE, CRC-32 of the record u32 LE, record`; a record is a protobuf message, so that later versions
//! can add to it and `iscp spool` of another version reads it.

use prost::Message as _;
use uuid::Uuid;

use super::{Attachment, StreamDescription};
use crate::message::{DataId, Qos};

/// Begins every segment; the last byte is the version of the format.
pub(super) const MAGIC: [u8; 8] = *b"iscpspl\x01";

/// Length and checksum.
pub(super) const HEAD: usize = 8;

/// No record is longer; a length above it is damage.
pub(super) const MAX_RECORD: usize = 64 << 20;

/// One record.
#[derive(Clone, PartialEq, prost::Message)]
pub(super) struct Record {
    #[prost(oneof = "Body", tags = "1, 2, 3, 4, 5, 6, 7")]
    pub(super) body: Option<Body>,
}

#[derive(Clone, PartialEq, prost::Oneof)]
pub(super) enum Body {
    /// First record of a segment.
    #[prost(message, tag = "1")]
    Start(Start),
    /// The stream the points belong to.
    #[prost(message, tag = "2")]
    Stream(Stream),
    /// The server opened or resumed the stream.
    #[prost(message, tag = "3")]
    Attached(Attached),
    /// A data id, before its first point.
    #[prost(message, tag = "4")]
    DataId(Id),
    /// Points of one data id.
    #[prost(message, tag = "5")]
    Points(Run),
    /// A chunk was made of the points before `end` that no chunk had before.
    #[prost(message, tag = "6")]
    Cut(CutRecord),
    /// All points before this one are delivered or given up.
    #[prost(uint64, tag = "7")]
    Settled(u64),
}

#[derive(Clone, Copy, PartialEq, Eq, prost::Message)]
pub(super) struct Start {
    /// Number of the first point of the segment.
    #[prost(uint64, tag = "1")]
    pub(super) first_point: u64,
    /// All points before this one were settled when the segment began.
    #[prost(uint64, tag = "2")]
    pub(super) settled: u64,
    /// Sequence number of the last chunk that was cut before.
    #[prost(uint32, tag = "3")]
    pub(super) last_chunk: u32,
    /// Where that chunk ended.
    #[prost(uint64, tag = "4")]
    pub(super) last_cut: u64,
}

#[derive(Clone, PartialEq, Eq, prost::Message)]
pub(super) struct Stream {
    #[prost(string, tag = "1")]
    node_id: String,
    #[prost(bytes = "vec", tag = "2")]
    project_uuid: Vec<u8>,
    #[prost(string, tag = "3")]
    session_id: String,
    #[prost(uint32, tag = "4")]
    expiry_interval_s: u32,
    #[prost(uint32, tag = "5")]
    ack_interval_ms: u32,
    #[prost(int32, tag = "6")]
    qos: i32,
    #[prost(bool, tag = "7")]
    persist: bool,
}

#[derive(Clone, PartialEq, Eq, prost::Message)]
pub(super) struct Attached {
    #[prost(bytes = "vec", tag = "1")]
    stream_id: Vec<u8>,
    #[prost(uint32, tag = "2")]
    alias: u32,
    #[prost(string, tag = "3")]
    resume_token: String,
    #[prost(uint64, tag = "4")]
    first_point: u64,
    /// Names the time from one start of the system to the next.
    #[prost(string, tag = "5")]
    pub(super) boot_id: String,
}

#[derive(Clone, PartialEq, Eq, prost::Message)]
pub(super) struct Id {
    #[prost(string, tag = "1")]
    name: String,
    #[prost(string, tag = "2")]
    kind: String,
}

#[derive(Clone, PartialEq, Eq, prost::Message)]
pub(super) struct Run {
    /// Position of the data id in the table.
    #[prost(uint32, tag = "1")]
    pub(super) data_id: u32,
    /// The points in wire form (message/points.rs).
    #[prost(bytes = "bytes", tag = "2")]
    pub(super) points: bytes::Bytes,
}

#[derive(Clone, Copy, PartialEq, Eq, prost::Message)]
pub(super) struct CutRecord {
    #[prost(uint32, tag = "1")]
    pub(super) sequence_number: u32,
    #[prost(uint64, tag = "2")]
    pub(super) end: u64,
}

/// Appends a record to `out`.
pub(super) fn encode(body: Body, out: &mut Vec<u8>) {
    let record = Record { body: Some(body) };
    let at = out.len();
    out.resize(at + HEAD, 0);
    record.encode(out).expect("a vector grows");
    let length = u32::try_from(out.len() - at - HEAD).expect("records are smaller than MAX_RECORD");
    let checksum = crc32fast::hash(&out[at + HEAD..]);
    out[at..at + 4].copy_from_slice(&length.to_le_bytes());
    out[at + 4..at + HEAD].copy_from_slice(&checksum.to_le_bytes());
}

/// The record at the beginning of `bytes` and its length with all that belongs to it; `None` when it is not
/// whole.
pub(super) fn decode(bytes: &[u8]) -> Option<(Body, usize)> {
    let word = |at: usize| Some(u32::from_le_bytes(bytes.get(at..at + 4)?.try_into().ok()?));
    let length = usize::try_from(word(0)?).ok().filter(|length| *length <= MAX_RECORD)?;
    let record = bytes.get(HEAD..HEAD + length)?;
    if crc32fast::hash(record) != word(4)? {
        return None;
    }
    Some((Record::decode(record).ok()?.body?, HEAD + length))
}

impl From<&StreamDescription> for Stream {
    fn from(stream: &StreamDescription) -> Self {
        Self {
            node_id: stream.node_id.clone(),
            project_uuid: stream.project_uuid.map(|uuid| uuid.as_bytes().to_vec()).unwrap_or_default(),
            session_id: stream.session_id.clone(),
            expiry_interval_s: stream.expiry_interval_s,
            ack_interval_ms: stream.ack_interval_ms,
            qos: stream.qos.number(),
            persist: stream.persist,
        }
    }
}

impl From<Stream> for StreamDescription {
    fn from(stream: Stream) -> Self {
        Self {
            node_id: stream.node_id,
            project_uuid: Uuid::from_slice(&stream.project_uuid).ok(),
            session_id: stream.session_id,
            expiry_interval_s: stream.expiry_interval_s,
            ack_interval_ms: stream.ack_interval_ms,
            qos: Qos::from_number(stream.qos),
            persist: stream.persist,
        }
    }
}

impl Attached {
    pub(super) fn new(attachment: &Attachment, boot_id: &str) -> Self {
        Self {
            boot_id: boot_id.to_owned(),
            stream_id: attachment.stream_id.as_bytes().to_vec(),
            alias: attachment.alias,
            resume_token: attachment.resume_token.clone(),
            first_point: attachment.first_point,
        }
    }
}

impl From<Attached> for Attachment {
    fn from(attached: Attached) -> Self {
        Self {
            stream_id: Uuid::from_slice(&attached.stream_id).unwrap_or_default(),
            alias: attached.alias,
            resume_token: attached.resume_token,
            first_point: attached.first_point,
        }
    }
}

impl From<&DataId> for Id {
    fn from(data_id: &DataId) -> Self {
        Self { name: data_id.name.clone(), kind: data_id.kind.clone() }
    }
}

impl From<Id> for DataId {
    fn from(id: Id) -> Self {
        Self::new(id.name, id.kind)
    }
}
