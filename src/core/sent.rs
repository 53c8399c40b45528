//! Chunks that were sent and not acknowledged.

use std::collections::BTreeMap;
use std::time::Instant;

use super::write_buffer::DataIdIndex;
use crate::message::Points;

/// What a chunk, and each of its runs, occupies beside its points.
const CHUNK_COST: usize = 160;
const RUN_COST: usize = 64;

/// A chunk that was sent.
#[derive(Debug)]
pub(super) struct SentChunk {
    pub(super) points: u64,
    /// Number of the point after its last one, as the buffer counts.
    pub(super) end: u64,
    /// Number of its first point.
    pub(super) first_point: u64,
    /// Wire bytes of the points.
    pub(super) bytes: usize,
    pub(super) sent: Instant,
    /// The points, by data id and not by alias, which a new stream would not know. Empty unless the chunk
    /// may have to be sent again.
    pub(super) runs: Vec<(DataIdIndex, Points)>,
    /// Numbers of the points whose outcome somebody waits for.
    pub(super) awaited: Vec<u64>,
}

impl SentChunk {
    fn cost(&self) -> usize {
        CHUNK_COST + RUN_COST * self.runs.len() + self.bytes
    }
}

/// The chunks of one upstream, by sequence number.
#[derive(Debug, Default)]
pub(super) struct Sent {
    chunks: BTreeMap<u32, SentChunk>,
    bytes: usize,
    cost: usize,
    /// Chunks from here on were not sent on this connection yet.
    resend: Option<u32>,
}

impl Sent {
    pub(super) fn is_empty(&self) -> bool {
        self.chunks.is_empty()
    }

    pub(super) fn len(&self) -> usize {
        self.chunks.len()
    }

    /// Wire bytes of the points.
    pub(super) fn bytes(&self) -> usize {
        self.bytes
    }

    /// Bytes that the chunks occupy.
    pub(super) fn cost(&self) -> usize {
        self.cost
    }

    /// Number of points.
    pub(super) fn points(&self) -> u64 {
        self.chunks.values().map(|chunk| chunk.points).sum()
    }

    pub(super) fn numbers(&self) -> impl Iterator<Item = u32> + '_ {
        self.chunks.keys().copied()
    }

    /// Number of the first point that is in one of the chunks.
    pub(super) fn first_point(&self) -> Option<u64> {
        self.chunks.first_key_value().map(|(_, chunk)| chunk.first_point)
    }

    /// Where each chunk ends, by number.
    pub(super) fn ends(&self) -> impl Iterator<Item = (u32, u64)> + '_ {
        self.chunks.iter().map(|(number, chunk)| (*number, chunk.end))
    }

    pub(super) fn first(&self) -> Option<u32> {
        self.chunks.first_key_value().map(|(number, _)| *number)
    }

    pub(super) fn insert(&mut self, number: u32, chunk: SentChunk) {
        self.bytes += chunk.bytes;
        self.cost += chunk.cost();
        self.chunks.insert(number, chunk);
    }

    pub(super) fn remove(&mut self, number: u32) -> Option<SentChunk> {
        let chunk = self.chunks.remove(&number)?;
        self.bytes -= chunk.bytes;
        self.cost -= chunk.cost();
        Some(chunk)
    }

    pub(super) fn pop_first(&mut self) -> Option<(u32, SentChunk)> {
        let number = self.first()?;
        self.remove(number).map(|chunk| (number, chunk))
    }

    /// Takes the oldest chunk if it was sent on this connection, and so long ago.
    pub(super) fn pop_overdue(
        &mut self,
        is_overdue: impl FnOnce(u32, &SentChunk) -> bool,
    ) -> Option<(u32, SentChunk)> {
        let (&number, chunk) = self.chunks.first_key_value()?;
        let waits = self.resend.is_none_or(|next| number < next) && is_overdue(number, chunk);
        waits.then(|| self.pop_first()).flatten()
    }

    /// When the oldest chunk was sent that waits for its acknowledgement on this connection.
    pub(super) fn waits_since(&self) -> Option<Instant> {
        let (&number, chunk) = self.chunks.first_key_value()?;
        self.resend.is_none_or(|next| number < next).then_some(chunk.sent)
    }

    pub(super) fn drain(&mut self) -> impl Iterator<Item = (u32, SentChunk)> + use<> {
        self.bytes = 0;
        self.cost = 0;
        self.resend = None;
        std::mem::take(&mut self.chunks).into_iter()
    }

    /// All chunks are to be sent again.
    pub(super) fn rewind(&mut self) {
        self.resend = self.first();
    }

    /// The next chunk that is to be sent again.
    pub(super) fn next_resend(&mut self, now: Instant) -> Option<(u32, &SentChunk)> {
        let from = self.resend?;
        let Some((&number, chunk)) = self.chunks.range_mut(from..).next() else {
            self.resend = None;
            return None;
        };
        self.resend = number.checked_add(1);
        chunk.sent = now;
        Some((number, chunk))
    }

    /// Gives the chunks new numbers from 1 on. Returns the last.
    pub(super) fn renumber(&mut self) -> u32 {
        self.chunks = (1..).zip(std::mem::take(&mut self.chunks).into_values()).collect();
        self.rewind();
        self.chunks.len() as u32
    }
}
