//! What an upstream tells whoever keeps its points beyond the life of the process.

use std::fmt::Debug;

use uuid::Uuid;

use super::write_buffer::DataIdIndex;
use crate::message::{DataId, Points};

/// Keeps the points of one upstream. Points have the numbers of [`WriteBuffer::written`](super::WriteBuffer::written).
///
/// Called on the thread of the connection, and not under the lock of the buffer.
pub trait Keeper: Debug + Send + Sync {
    /// The server opened or resumed a stream. Points from `first_point` on are sent on it.
    fn attached(&self, stream_id: Uuid, alias: u32, resume_token: &str, first_point: u64);
    /// A chunk is about to be sent: the points before `end` that no chunk had before.
    fn cut(&self, sequence_number: u32, end: u64);
    /// The points before `end` are delivered, or were given up and reported.
    fn settled(&self, end: u64);
    /// The stream ended. Nothing follows.
    fn ended(&self);
}

/// An upstream of an earlier process.
#[derive(Debug, Default)]
pub struct RestoredUpstream {
    /// Its data ids, in the order of their numbers.
    pub data_ids: Vec<DataId>,
    /// What the server knows of it. Without it a new stream is opened.
    pub stream: Option<RestoredStream>,
    /// Number of the first point that is in no chunk.
    pub next_point: u64,
}

/// A stream that the server may still know.
#[derive(Debug)]
pub struct RestoredStream {
    /// Id of the stream.
    pub stream_id: Uuid,
    /// Secret to resume it with.
    pub resume_token: String,
    /// Number of the last chunk that was made.
    pub last_sequence_number: u32,
    /// Points in all its chunks.
    pub total_points: u64,
    /// Chunks that were not acknowledged, in order.
    pub chunks: Vec<RestoredChunk>,
}

/// A chunk that was not acknowledged.
#[derive(Debug)]
pub struct RestoredChunk {
    /// Its number.
    pub sequence_number: u32,
    /// Number of its first point.
    pub first_point: u64,
    /// Number of the point after its last one.
    pub end: u64,
    /// Its points.
    pub runs: Vec<(DataIdIndex, Points)>,
}
