//! What application threads and the connection share of an upstream.

use std::fmt;
use std::sync::atomic::Ordering::Relaxed;
use std::sync::atomic::{AtomicU8, AtomicU64};
use std::sync::{Condvar, Mutex, MutexGuard, PoisonError};

use uuid::Uuid;

use super::write_buffer::WriteBuffer;
use crate::error::Status;

/// Outcomes, and chunks to be shown, that may wait for slow handlers.
pub const MAX_UNREPORTED: u64 = 16_384;

/// A write buffer and the condition that there may be space in it again.
pub struct SharedBuffer {
    buffer: Mutex<WriteBuffer>,
    /// Signalled when a chunk was taken or the buffer was closed while somebody waits.
    pub space: Condvar,
    /// Numbers about the stream.
    pub counters: UpstreamCounters,
    identity: Mutex<StreamIdentity>,
    state: AtomicU8,
    /// Bytes of chunks that may wait to be shown to the application.
    unreported_limit: u64,
}

/// What the server gave a stream when it was opened. Another one takes its place when the stream has to be
/// opened anew.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct StreamIdentity {
    /// Id of the stream.
    pub stream_id: Uuid,
    /// The server's clock, nanoseconds since the Unix epoch.
    pub server_time_ns: i64,
}

/// Where an upstream stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
pub enum UpstreamState {
    /// In use.
    Open = 0,
    /// The connection was lost, or the server forgot the stream, which is about to come back.
    Resuming = 1,
    /// Being closed: takes no points any more.
    Closing = 2,
    /// Ended, in order or not.
    Closed = 3,
}

/// Numbers about an upstream, written by the connection and read from any thread.
#[derive(Debug, Default)]
pub struct UpstreamCounters {
    /// Points that left in chunks.
    pub total_points: AtomicU64,
    /// Sequence number of the newest chunk.
    pub last_sequence_number: AtomicU64,
    /// Chunks sent and not acknowledged.
    pub in_flight_chunks: AtomicU64,
    /// Wire bytes of their points.
    pub in_flight_bytes: AtomicU64,
    /// Points the server refused, or that were given up.
    pub failed_points: AtomicU64,
    /// Outcomes of chunks, and chunks, that the application was not told of yet. The connection adds, whoever
    /// tells the application subtracts; [`MAX_UNREPORTED`] of them hold back further chunks.
    unreported: AtomicU64,
    /// Wire bytes of those chunks.
    unreported_bytes: AtomicU64,
}

/// Without its content, which has no order and would drown what is printed around it.
impl fmt::Debug for SharedBuffer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("SharedBuffer").field("counters", &self.counters).finish_non_exhaustive()
    }
}

impl SharedBuffer {
    /// Shares a buffer. Chunks of `unreported_limit` bytes may wait to be shown to the application.
    pub fn new(buffer: WriteBuffer, unreported_limit: usize) -> Self {
        Self {
            buffer: Mutex::new(buffer),
            space: Condvar::new(),
            counters: UpstreamCounters::default(),
            identity: Mutex::default(),
            state: AtomicU8::new(UpstreamState::Open as u8),
            unreported_limit: unreported_limit as u64,
        }
    }

    /// What the server gave the stream.
    pub fn identity(&self) -> StreamIdentity {
        *self.identity.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(super) fn identify(&self, identity: StreamIdentity) {
        *self.identity.lock().unwrap_or_else(PoisonError::into_inner) = identity;
    }

    /// Where the stream stands.
    pub fn state(&self) -> UpstreamState {
        match self.state.load(Relaxed) {
            0 => UpstreamState::Open,
            1 => UpstreamState::Resuming,
            2 => UpstreamState::Closing,
            _ => UpstreamState::Closed,
        }
    }

    pub(super) fn set_state(&self, state: UpstreamState) {
        self.state.store(state as u8, Relaxed);
    }

    /// Locks the buffer. Nothing that can panic runs under the lock, so poison is ignored.
    #[inline]
    pub fn lock(&self) -> MutexGuard<'_, WriteBuffer> {
        self.buffer.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The stream has ended: no write after this, and nobody keeps waiting for space.
    pub fn end(&self) {
        self.lock().close(Status::Closed);
        self.space.notify_all();
        self.set_state(UpstreamState::Closed);
    }

    /// The application is to be told of an outcome, or shown a chunk of `bytes`.
    pub(super) fn will_tell(&self, bytes: usize) {
        self.counters.unreported.fetch_add(1, Relaxed);
        self.counters.unreported_bytes.fetch_add(bytes as u64, Relaxed);
    }

    /// It was. True when further chunks were held back until then: the connection is to look again.
    pub fn told(&self, bytes: usize) -> bool {
        let bytes = bytes as u64;
        let waited = self.counters.unreported.fetch_sub(1, Relaxed);
        let waiting = self.counters.unreported_bytes.fetch_sub(bytes, Relaxed);
        waited == MAX_UNREPORTED
            || (waiting >= self.unreported_limit && waiting - bytes < self.unreported_limit)
    }

    /// Whether the application keeps up with what it is told.
    pub(super) fn keeps_up(&self) -> bool {
        self.counters.unreported.load(Relaxed) < MAX_UNREPORTED
            && self.counters.unreported_bytes.load(Relaxed) < self.unreported_limit
    }
}
