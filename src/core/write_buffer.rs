//! Points on their way from the application to a chunk.
//!
//! The buffer is the one thing that application threads and the connection share: a write appends
//! the point, already in wire form, to the run of its data id under the buffer's lock. Taking a
//! chunk moves whole runs out.

use std::collections::{HashMap, VecDeque};
use std::fmt;
use std::sync::atomic::AtomicU64;
use std::sync::{Condvar, Mutex, MutexGuard, PoisonError};

use uuid::Uuid;

use crate::error::{Error, Status};
use crate::message::{Aliases, DataId, DataPointGroup, OrAlias, Points, PointsBuf, max_wire_len};

/// Wire bytes after which a chunk is sealed and the next one begun. Well below the smallest receive
/// limit of an official client (docs/protocol/transport.md §2.5).
pub const CHUNK_LIMIT: usize = 512 * 1024;

/// Largest payload of one point. With its framing it stays below the 16 MiB message limit that
/// brokers are advised to have (docs/protocol/behaviour.md §11.9).
pub const MAX_PAYLOAD: usize = 15 << 20;

/// Most data ids of one upstream.
pub const MAX_DATA_IDS: usize = 65_536;

/// Outcomes that may wait for a slow acknowledgement hook.
pub const MAX_UNREPORTED: u64 = 16_384;

/// Number of a data id in its upstream, given by [`WriteBuffer::data_id`].
pub type DataIdIndex = u32;

/// A write buffer and the condition that there may be space in it again.
pub struct SharedBuffer {
    buffer: Mutex<WriteBuffer>,
    /// Signalled when a chunk was taken or the buffer was closed while somebody waits.
    pub space: Condvar,
    /// Numbers about the stream.
    pub counters: UpstreamCounters,
    identity: Mutex<StreamIdentity>,
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
    /// Outcomes of chunks that the application was not told yet. The connection adds, whoever tells
    /// the application subtracts; [`MAX_UNREPORTED`] of them hold back further chunks.
    pub unreported: AtomicU64,
}

/// Without its content, which has no order and would drown what is printed around it.
impl fmt::Debug for SharedBuffer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("SharedBuffer").field("counters", &self.counters).finish_non_exhaustive()
    }
}

impl SharedBuffer {
    /// Shares a buffer.
    pub fn new(buffer: WriteBuffer) -> Self {
        Self {
            buffer: Mutex::new(buffer),
            space: Condvar::new(),
            counters: UpstreamCounters::default(),
            identity: Mutex::default(),
        }
    }

    /// What the server gave the stream.
    pub fn identity(&self) -> StreamIdentity {
        *self.identity.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(super) fn identify(&self, identity: StreamIdentity) {
        *self.identity.lock().unwrap_or_else(PoisonError::into_inner) = identity;
    }

    /// Locks the buffer. Nothing that can panic runs under the lock, so poison is ignored.
    #[inline]
    pub fn lock(&self) -> MutexGuard<'_, WriteBuffer> {
        self.buffer.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// What the caller of [`WriteBuffer::push`] has to do.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Pushed {
    /// Nothing: the connection knows already, or need not know yet.
    Quiet,
    /// Tell the connection that the buffer wants attention.
    Wake,
}

/// Points that leave the buffer together.
#[derive(Debug, PartialEq, Eq)]
pub struct TakenChunk {
    /// Runs of points.
    pub runs: Vec<(DataIdIndex, Points)>,
    /// Number of points.
    pub points: u64,
    /// Wire bytes of the points.
    pub bytes: usize,
}

#[derive(Debug)]
struct Slot {
    data_id: DataId,
    alias: Option<u32>,
    run: PointsBuf,
}

#[derive(Debug)]
struct Sealed {
    runs: Vec<(DataIdIndex, Points)>,
    points: u64,
    /// Numbers that were left out before the points.
    skipped: u64,
    bytes: usize,
}

/// Buffered points of one upstream, bounded by bytes.
#[derive(Debug)]
pub struct WriteBuffer {
    slots: Vec<Slot>,
    index: HashMap<DataId, DataIdIndex>,
    /// Data ids with an open run, in the order of their first write.
    active: Vec<DataIdIndex>,
    open_bytes: usize,
    open_payload: usize,
    open_points: u64,
    sealed: VecDeque<Sealed>,
    sealed_bytes: usize,
    sealed_payload: usize,
    limit: usize,
    /// Payload bytes above which the connection is woken.
    wake_above: usize,
    woken: bool,
    /// Somebody said that the buffer is full, and the connection has not reacted yet.
    relief_wanted: bool,
    written: u64,
    taken: u64,
    /// Numbers left out before the points that are not sealed, and all that were not taken yet.
    skipped: u64,
    skipped_in_all: u64,
    closed: Option<Status>,
    /// Writers waiting for space.
    pub waiters: u32,
}

impl WriteBuffer {
    /// A buffer for at most `limit` wire bytes whose owner wants to know when there is something in
    /// it, and again when there are more than `wake_above` payload bytes.
    pub fn new(limit: usize, wake_above: Option<usize>) -> Self {
        Self {
            slots: Vec::new(),
            index: HashMap::new(),
            active: Vec::new(),
            open_bytes: 0,
            open_payload: 0,
            open_points: 0,
            sealed: VecDeque::new(),
            sealed_bytes: 0,
            sealed_payload: 0,
            limit,
            wake_above: wake_above.unwrap_or(usize::MAX),
            woken: false,
            relief_wanted: false,
            written: 0,
            taken: 0,
            skipped: 0,
            skipped_in_all: 0,
            closed: None,
            waiters: 0,
        }
    }

    /// Number of a data id; the same for the same name and type.
    ///
    /// # Errors
    /// `TooLarge` when the stream has [`MAX_DATA_IDS`] already.
    pub fn data_id(&mut self, data_id: DataId) -> Result<DataIdIndex, Error> {
        if let Some(&index) = self.index.get(&data_id) {
            return Ok(index);
        }
        if self.slots.len() >= MAX_DATA_IDS {
            return Err(Error::new(
                Status::TooLarge,
                format!("data id {data_id}: the upstream has {MAX_DATA_IDS} data ids already"),
            ));
        }
        let index = self.slots.len() as DataIdIndex;
        self.index.insert(data_id.clone(), index);
        self.slots.push(Slot { data_id, alias: None, run: PointsBuf::default() });
        Ok(index)
    }

    /// Appends a point.
    ///
    /// # Errors
    /// `WouldBlock` when the buffer is full; `InvalidArgument` for a number that
    /// [`WriteBuffer::data_id`] did not give; `TooLarge` for a payload above [`MAX_PAYLOAD`] or one
    /// that can never fit; what [`WriteBuffer::close`] was given once the stream is closed.
    #[inline]
    pub fn push(&mut self, id: DataIdIndex, elapsed_time: i64, payload: &[u8]) -> Result<Pushed, Status> {
        if let Some(status) = self.closed {
            return Err(status);
        }
        let most = max_wire_len(payload.len());
        let Some(slot) = self.slots.get_mut(id as usize) else {
            return Err(Status::InvalidArgument);
        };
        if self.open_bytes + self.sealed_bytes + most > self.limit {
            return Err(if payload.len() > MAX_PAYLOAD || most > self.limit {
                Status::TooLarge
            } else {
                Status::WouldBlock
            });
        }
        if payload.len() > MAX_PAYLOAD {
            return Err(Status::TooLarge);
        }
        if self.open_bytes + most > CHUNK_LIMIT && self.open_bytes > 0 {
            self.seal();
            return self.push(id, elapsed_time, payload);
        }
        let before = slot.run.wire_bytes();
        if before == 0 {
            self.active.push(id);
        }
        slot.run.push(elapsed_time, payload);
        self.open_bytes += slot.run.wire_bytes() - before;
        self.open_payload += payload.len();
        self.open_points += 1;
        self.written += 1;
        let wake = !self.woken && (self.open_points == 1 || self.exceeds_size());
        self.woken |= wake;
        Ok(if wake { Pushed::Wake } else { Pushed::Quiet })
    }

    /// Whether the connection is to be told that the buffer is full: once, until it reacts.
    pub fn want_relief(&mut self) -> bool {
        !std::mem::replace(&mut self.relief_wanted, true)
    }

    /// The connection reacts to a full buffer. Returns how many points it is to send.
    pub(super) fn relieve(&mut self) -> u64 {
        self.relief_wanted = false;
        self.written
    }

    /// Called by the owner when it was woken: from now on a write wakes it again.
    ///
    /// Until the buffer was emptied only crossing the size limit does.
    pub fn attend(&mut self) {
        self.woken = self.exceeds_size();
    }

    /// Whether more than the size limit of the flush policy is buffered.
    pub fn exceeds_size(&self) -> bool {
        self.wake_above != usize::MAX
            && !self.is_empty()
            && (self.wake_above == 0 || self.open_payload + self.sealed_payload > self.wake_above)
    }

    /// Whether nothing is buffered.
    pub fn is_empty(&self) -> bool {
        self.open_points == 0 && self.sealed.is_empty()
    }

    /// Whether there is a chunk that no further point would join.
    pub fn has_sealed(&self) -> bool {
        !self.sealed.is_empty()
    }

    /// Wire bytes buffered.
    pub fn bytes(&self) -> usize {
        self.open_bytes + self.sealed_bytes
    }

    /// Points buffered.
    pub fn points(&self) -> u64 {
        self.written - self.taken - self.skipped_in_all
    }

    /// Counts points from `number` on: those before are another process's.
    pub(super) fn begin_at(&mut self, number: u64) {
        self.written = number;
        self.taken = number;
    }

    /// Leaves out numbers: their points are gone.
    pub fn skip(&mut self, numbers: u64) {
        if self.open_points > 0 {
            self.seal();
        }
        self.skipped += numbers;
        self.skipped_in_all += numbers;
        self.written += numbers;
    }

    /// Whether a point can be taken at all, though perhaps not now.
    ///
    /// # Errors
    /// As [`WriteBuffer::push`], but for `WouldBlock`.
    pub fn check(&self, id: DataIdIndex, payload_len: usize) -> Result<(), Status> {
        if let Some(status) = self.closed {
            return Err(status);
        }
        if self.slots.len() <= id as usize {
            return Err(Status::InvalidArgument);
        }
        if payload_len > MAX_PAYLOAD || max_wire_len(payload_len) > self.limit {
            return Err(Status::TooLarge);
        }
        Ok(())
    }

    /// Points accepted since the stream was opened.
    pub fn written(&self) -> u64 {
        self.written
    }

    /// Points that left the buffer in chunks.
    pub fn taken(&self) -> u64 {
        self.taken
    }

    /// Takes the oldest chunk.
    pub fn take(&mut self) -> Option<TakenChunk> {
        if self.sealed.is_empty() {
            if self.open_points == 0 {
                return None;
            }
            self.seal();
        }
        let sealed = self.sealed.pop_front()?;
        self.sealed_bytes -= sealed.bytes;
        self.taken += sealed.points + sealed.skipped;
        self.skipped_in_all -= sealed.skipped;
        self.sealed_payload -= sealed.runs.iter().map(|(_, points)| points.payload_bytes()).sum::<usize>();
        self.woken = self.exceeds_size();
        Some(TakenChunk { runs: sealed.runs, points: sealed.points, bytes: sealed.bytes })
    }

    /// Runs as they are sent now, by alias where there is one, and the data ids that have none.
    pub fn name(
        &self,
        runs: impl ExactSizeIterator<Item = (DataIdIndex, Points)>,
    ) -> (Vec<DataPointGroup>, Vec<DataId>) {
        let mut groups = Vec::with_capacity(runs.len());
        let mut unaliased = Vec::new();
        for (id, points) in runs {
            let slot = &self.slots[id as usize];
            let data_id = match slot.alias {
                Some(alias) => OrAlias::Alias(alias),
                None => {
                    unaliased.push(slot.data_id.clone());
                    OrAlias::Full(slot.data_id.clone())
                }
            };
            groups.push(DataPointGroup { data_id, points });
        }
        (groups, unaliased)
    }

    /// Learns aliases; the first one of a data id stays (docs/protocol/behaviour.md §5.2).
    pub fn learn_aliases(&mut self, aliases: Aliases<DataId>) {
        for (alias, data_id) in aliases {
            // A server must not be able to grow the table with data ids that nobody writes.
            if let Some(&index) = self.index.get(&data_id) {
                self.slots[index as usize].alias.get_or_insert(alias);
            }
        }
    }

    /// Forgets every alias: the server does not know them.
    pub fn forget_aliases(&mut self) {
        for slot in &mut self.slots {
            slot.alias = None;
        }
    }

    /// Data ids that have an alias.
    pub fn aliased(&self) -> usize {
        self.slots.iter().filter(|slot| slot.alias.is_some()).count()
    }

    /// Refuses every further write with `status`. What is buffered can still be taken.
    pub fn close(&mut self, status: Status) {
        self.closed.get_or_insert(status);
    }

    fn seal(&mut self) {
        let runs: Vec<_> = self.active.drain(..).map(|id| (id, self.slots[id as usize].run.take())).collect();
        self.sealed_bytes += self.open_bytes;
        self.sealed_payload += self.open_payload;
        let skipped = std::mem::take(&mut self.skipped);
        self.sealed.push_back(Sealed { runs, points: self.open_points, skipped, bytes: self.open_bytes });
        self.open_bytes = 0;
        self.open_payload = 0;
        self.open_points = 0;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn buffer(limit: usize, wake_above: Option<usize>) -> (WriteBuffer, DataIdIndex, DataIdIndex) {
        let mut buffer = WriteBuffer::new(limit, wake_above);
        let a = buffer.data_id(DataId::new("a", "t")).unwrap();
        let b = buffer.data_id(DataId::new("b", "t")).unwrap();
        (buffer, a, b)
    }

    #[test]
    fn points_are_grouped_by_data_id_in_the_order_of_first_writes() {
        let (mut buffer, a, b) = buffer(1 << 20, None);
        for (id, time) in [(b, 1), (a, 2), (b, 3)] {
            buffer.push(id, time, b"x").unwrap();
        }
        buffer.learn_aliases([(7, DataId::new("a", "t"))].into());
        let chunk = buffer.take().unwrap();
        assert_eq!(chunk.points, 3);
        let (groups, unaliased) = buffer.name(chunk.runs.clone().into_iter());
        assert_eq!(unaliased, [DataId::new("b", "t")]);
        assert_eq!(groups[0].data_id, OrAlias::Full(DataId::new("b", "t")));
        assert_eq!(groups[0].points, [(1, "x"), (3, "x")].into_iter().collect());
        assert_eq!(groups[1].data_id, OrAlias::Alias(7));
        buffer.forget_aliases();
        assert_eq!(buffer.name(chunk.runs.into_iter()).1.len(), 2);
        assert_eq!((buffer.take(), buffer.points(), buffer.bytes()), (None, 0, 0));
    }

    #[test]
    fn a_full_buffer_refuses_and_takes_again_after_a_chunk_left() {
        let (mut buffer, a, _) = buffer(1000, None);
        let mut accepted = 0;
        let refusal = loop {
            match buffer.push(a, 1, &[0; 100]) {
                Ok(_) => accepted += 1,
                Err(status) => break status,
            }
        };
        assert_eq!((accepted, refusal), (9, Status::WouldBlock));
        assert_eq!(buffer.push(a, 1, &[0; 1000]), Err(Status::TooLarge));
        assert_eq!(buffer.take().unwrap().points, 9);
        assert!(buffer.push(a, 1, &[0; 100]).is_ok());
    }

    #[test]
    fn the_owner_is_woken_by_the_first_point_and_by_the_size_once() {
        let (mut buffer, a, _) = buffer(1 << 20, Some(10));
        assert_eq!(buffer.push(a, 1, &[0; 5]), Ok(Pushed::Wake));
        assert_eq!(buffer.push(a, 1, &[0; 5]), Ok(Pushed::Quiet));
        buffer.attend();
        assert_eq!(buffer.push(a, 1, &[0; 5]), Ok(Pushed::Wake));
        assert_eq!(buffer.push(a, 1, &[0; 5]), Ok(Pushed::Quiet));
        buffer.take();
        assert_eq!(buffer.push(a, 1, &[0; 5]), Ok(Pushed::Wake));
    }

    #[test]
    fn large_amounts_are_cut_into_chunks_in_order() {
        let (mut buffer, a, _) = buffer(64 << 20, None);
        for time in 0..40 {
            buffer.push(a, time, &vec![0; 50_000]).unwrap();
        }
        buffer.push(a, 40, &vec![0; 2 << 20]).unwrap();
        let mut times = Vec::new();
        while let Some(chunk) = buffer.take() {
            assert!(chunk.bytes <= CHUNK_LIMIT || chunk.points == 1);
            times.extend(chunk.runs[0].1.spans().map(|span| span.elapsed_time));
        }
        assert_eq!(times, (0..=40).collect::<Vec<_>>());
    }

    #[test]
    fn numbers_that_are_left_out_are_no_points() {
        let (mut buffer, a, _) = buffer(1 << 20, None);
        buffer.begin_at(100);
        buffer.push(a, 1, b"x").unwrap();
        buffer.skip(10);
        buffer.push(a, 2, b"x").unwrap();
        assert_eq!((buffer.written(), buffer.taken(), buffer.points()), (112, 100, 2));
        let times =
            |chunk: TakenChunk| chunk.runs[0].1.iter().map(|point| point.elapsed_time).collect::<Vec<_>>();
        assert_eq!(times(buffer.take().unwrap()), [1]);
        assert_eq!((buffer.taken(), buffer.points()), (101, 1));
        assert_eq!(times(buffer.take().unwrap()), [2]);
        assert_eq!((buffer.taken(), buffer.points()), (112, 0));
    }

    #[test]
    fn a_closed_buffer_refuses_writes_but_keeps_its_points() {
        let (mut buffer, a, _) = buffer(1000, None);
        buffer.push(a, 1, b"x").unwrap();
        buffer.close(Status::Closed);
        assert_eq!(buffer.push(a, 1, b"x"), Err(Status::Closed));
        assert_eq!(buffer.take().unwrap().points, 1);
        assert_eq!(WriteBuffer::new(10, None).push(0, 1, b""), Err(Status::InvalidArgument));
    }
}
