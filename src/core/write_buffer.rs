//! Points on their way from the application to a chunk.
//!
//! The buffer is the one thing that application threads and the connection share: a write appends
//! the point, already in wire form, to the run of its data id under the buffer's lock. Taking a
//! chunk moves whole runs out.

use std::collections::{HashMap, VecDeque};
use std::iter::once;

use super::spare::Spare;
use crate::error::{Error, Status};
use crate::message::{Aliases, DataId, DataPointGroup, OrAlias, Points, PointsBuf, max_wire_len};

/// Most wire bytes of points that are kept together in one chunk. Well below the smallest receive
/// limit of an official client (docs/protocol/transport.md §2.5).
pub const CHUNK_LIMIT: usize = 512 * 1024;

/// Wire bytes after which a chunk is sealed and the next one begun: with larger ones every copy on the way would be
/// made in a slower cache, smaller ones would cost more messages.
const SEAL_ABOVE: usize = 128 * 1024;

/// Payload bytes from which on a point is put together before it comes into the buffer: neither the connection nor other
/// writers wait while it is copied. Two of them never share a chunk.
pub const LARGE: usize = SEAL_ABOVE / 2;

/// Largest payload of one point. With its framing it stays below the 16 MiB message limit that
/// brokers are advised to have (docs/protocol/behaviour.md §11.9).
pub const MAX_PAYLOAD: usize = 15 << 20;

/// Most data ids of one upstream.
pub const MAX_DATA_IDS: usize = 65_536;

/// Number of a data id in its upstream, given by [`WriteBuffer::data_id`].
pub type DataIdIndex = u32;

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
    /// Numbers of those whose outcome somebody waits for.
    pub awaited: Vec<u64>,
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
    /// What they may grow to before there is anything to decide; 0 when the buffer is closed.
    open_limit: usize,
    open_payload: usize,
    open_points: u64,
    sealed: VecDeque<Sealed>,
    sealed_bytes: usize,
    sealed_payload: usize,
    limit: usize,
    /// Wire bytes after which a chunk is sealed.
    chunk_limit: usize,
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
    /// Numbers of points that are in no chunk yet and whose outcome somebody waits for, in order.
    awaited: VecDeque<u64>,
    /// Those of them that will be in none.
    given_up: Vec<u64>,
    /// Points that the buffer was too full for.
    dropped: u64,
    closed: Option<Status>,
    spare: Spare,
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
            open_limit: SEAL_ABOVE.min(limit),
            open_payload: 0,
            open_points: 0,
            sealed: VecDeque::new(),
            sealed_bytes: 0,
            sealed_payload: 0,
            limit,
            chunk_limit: SEAL_ABOVE,
            wake_above: wake_above.unwrap_or(usize::MAX),
            woken: false,
            relief_wanted: false,
            written: 0,
            taken: 0,
            skipped: 0,
            skipped_in_all: 0,
            awaited: VecDeque::new(),
            given_up: Vec::new(),
            dropped: 0,
            closed: None,
            spare: Spare::default(),
            waiters: 0,
        }
    }

    /// A buffer that drops its oldest points when it is full ([`WriteBuffer::make_room`]), a sixteenth at a time.
    pub fn dropping_oldest(mut self) -> Self {
        self.chunk_limit = (self.limit / 16).clamp(1, SEAL_ABOVE);
        self.limit_open();
        self
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
        let most = max_wire_len(payload.len());
        if self.open_bytes + most > self.open_limit {
            self.admit(id, payload.len())?;
        }
        self.append(id, payload.len(), |run| run.push(elapsed_time, payload))?;
        Ok(self.pushed())
    }

    /// Memory to put a large point together in; `None` when there is no room for it.
    ///
    /// # Errors
    /// As [`WriteBuffer::push`], but for `WouldBlock`. The payload is not read.
    pub fn memory_for(
        &mut self,
        id: DataIdIndex,
        elapsed_time: i64,
        payload: &[u8],
    ) -> Result<Option<Vec<u8>>, Status> {
        let most = self.check(once((id, elapsed_time, payload)), false)?;
        if self.bytes() + most > self.limit {
            return Ok(None);
        }
        Ok(Some(self.spare.take(most).unwrap_or_default()))
    }

    /// Appends a point that was put together elsewhere, which is left empty.
    ///
    /// # Errors
    /// As [`WriteBuffer::push`]; it is not left empty then.
    pub fn push_made(&mut self, id: DataIdIndex, point: &mut PointsBuf) -> Result<Pushed, Status> {
        let payload_len = point.payload_bytes();
        if self.open_bytes + max_wire_len(payload_len) > self.open_limit {
            self.admit(id, payload_len)?;
        }
        let mut left = Vec::new();
        self.append(id, payload_len, |run| left = run.append(std::mem::take(point)))?;
        // What cannot be used is freed by the caller, without the lock.
        *point = PointsBuf::in_memory(self.spare.put(left, self.limit).unwrap_or_default());
        Ok(self.pushed())
    }

    /// What the caller has to do after a point was appended.
    #[inline]
    fn pushed(&mut self) -> Pushed {
        let wake = !self.woken && (self.open_points == 1 || self.exceeds_size());
        self.woken |= wake;
        if wake { Pushed::Wake } else { Pushed::Quiet }
    }

    /// Decides about a payload for which the open chunk has no room. What is left to do is to append it.
    ///
    /// # Errors
    /// As [`WriteBuffer::push`].
    #[cold]
    fn admit(&mut self, id: DataIdIndex, payload_len: usize) -> Result<(), Status> {
        if let Some(status) = self.closed {
            return Err(status);
        }
        let most = max_wire_len(payload_len);
        if self.slots.len() <= id as usize {
            return Err(Status::InvalidArgument);
        }
        if payload_len > MAX_PAYLOAD || most > self.limit {
            return Err(Status::TooLarge);
        }
        if self.bytes() + most > self.limit {
            return Err(Status::WouldBlock);
        }
        if self.open_bytes + most > self.chunk_limit && self.open_bytes > 0 {
            self.seal();
        }
        Ok(())
    }

    /// Appends a point to the open chunk.
    #[inline]
    fn append(
        &mut self,
        id: DataIdIndex,
        payload_len: usize,
        put: impl FnOnce(&mut PointsBuf),
    ) -> Result<(), Status> {
        let Some(slot) = self.slots.get_mut(id as usize) else {
            return Err(Status::InvalidArgument);
        };
        let before = slot.run.wire_bytes();
        if before == 0 {
            self.active.push(id);
        }
        put(&mut slot.run);
        self.open_bytes += slot.run.wire_bytes() - before;
        self.open_payload += payload_len;
        self.open_points += 1;
        self.written += 1;
        Ok(())
    }

    /// To be called whenever what it depends on changes.
    fn limit_open(&mut self) {
        self.open_limit = match self.closed {
            Some(_) => 0,
            None => self.chunk_limit.min(self.limit.saturating_sub(self.sealed_bytes)),
        };
    }

    /// Appends several points, all of them or none. `together` keeps them in one chunk.
    ///
    /// # Errors
    /// As [`WriteBuffer::push`]; `TooLarge` too for points that can never fit together.
    pub fn push_all<'a>(
        &mut self,
        points: impl Iterator<Item = (DataIdIndex, i64, &'a [u8])> + Clone,
        together: bool,
    ) -> Result<Pushed, Status> {
        let most = self.check(points.clone(), together)?;
        if self.bytes() + most > self.limit {
            return Err(Status::WouldBlock);
        }
        if together && self.open_bytes > 0 && self.open_bytes + most > self.chunk_limit {
            self.seal();
        }
        let mut wake = false;
        for (id, elapsed_time, payload) in points {
            let most = max_wire_len(payload.len());
            if !together && self.open_bytes > 0 && self.open_bytes + most > self.chunk_limit {
                self.seal();
            }
            self.append(id, payload.len(), |run| run.push(elapsed_time, payload))?;
            wake |= self.open_points == 1;
        }
        let wake = !self.woken && (wake || self.exceeds_size());
        self.woken |= wake;
        Ok(if wake { Pushed::Wake } else { Pushed::Quiet })
    }

    /// Whether points can be taken at all, though perhaps not now. Gives the most that they take, in wire bytes.
    ///
    /// # Errors
    /// As [`WriteBuffer::push_all`], but for `WouldBlock`.
    pub fn check<'a>(
        &self,
        points: impl Iterator<Item = (DataIdIndex, i64, &'a [u8])>,
        together: bool,
    ) -> Result<usize, Status> {
        if let Some(status) = self.closed {
            return Err(status);
        }
        let (mut count, mut most) = (0_u64, 0_usize);
        for (id, _, payload) in points {
            if self.slots.len() <= id as usize {
                return Err(Status::InvalidArgument);
            }
            if payload.len() > MAX_PAYLOAD {
                return Err(Status::TooLarge);
            }
            count += 1;
            most = most.saturating_add(max_wire_len(payload.len()));
        }
        if most > self.limit || (together && count > 1 && most > CHUNK_LIMIT) {
            return Err(Status::TooLarge);
        }
        Ok(most)
    }

    /// Drops the oldest points until there is room for `most` more wire bytes, whole chunks that were not sent.
    /// Says whether the connection is to be told, since somebody waits for the outcome of one of them.
    pub fn make_room(&mut self, most: usize) -> bool {
        let (woken, told) = (self.woken, !self.given_up.is_empty());
        while self.bytes() + most > self.limit {
            let Some(dropped) = self.take() else { break };
            self.dropped += dropped.points;
            self.given_up.extend(dropped.awaited);
        }
        self.woken |= woken;
        !told && !self.given_up.is_empty()
    }

    /// Counts points that are not taken because the buffer is full.
    pub fn drop_newest(&mut self, points: u64) {
        self.dropped += points;
    }

    /// Points that the buffer was too full for.
    pub fn dropped(&self) -> u64 {
        self.dropped
    }

    /// Somebody waits for the outcome of a point that is in no chunk yet. Numbers come in order.
    pub fn await_point(&mut self, number: u64) {
        self.awaited.push_back(number);
    }

    /// Numbers of the points that somebody waits for and that are in no chunk.
    pub(super) fn take_awaited(&mut self) -> Vec<u64> {
        self.awaited.drain(..).collect()
    }

    /// Numbers of the points that somebody waits for and that were dropped.
    pub(super) fn take_given_up(&mut self) -> Vec<u64> {
        std::mem::take(&mut self.given_up)
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
        self.open_payload + self.sealed_payload > self.wake_above
            || (self.wake_above == 0 && !self.is_empty())
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

    /// Whether there is room for many points: a quarter of the limit.
    pub fn is_roomy(&self) -> bool {
        self.bytes() <= self.limit - self.limit / 4
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
        let end = self.written + numbers;
        // Those before are in the chunks that were sealed above, or earlier.
        let sent = self.awaited.partition_point(|number| *number < self.written);
        let gone = self.awaited.partition_point(|number| *number < end);
        self.given_up.extend(self.awaited.drain(sent..gone));
        self.skipped += numbers;
        self.skipped_in_all += numbers;
        self.written = end;
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
        self.limit_open();
        self.taken += sealed.points + sealed.skipped;
        self.skipped_in_all -= sealed.skipped;
        self.sealed_payload -= sealed.runs.iter().map(|(_, points)| points.payload_bytes()).sum::<usize>();
        self.woken = self.exceeds_size();
        let awaited = self.awaited.partition_point(|number| *number < self.taken);
        let awaited = self.awaited.drain(..awaited).collect();
        Some(TakenChunk { runs: sealed.runs, points: sealed.points, bytes: sealed.bytes, awaited })
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

    /// What a number stands for.
    pub(super) fn data_id_of(&self, id: DataIdIndex) -> &DataId {
        &self.slots[id as usize].data_id
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
        self.spare = Spare::default();
        self.limit_open();
    }

    /// Takes memory to be written to instead of new one; what is left in `memory` is too much.
    pub(super) fn give_back(&mut self, memory: &mut Vec<Vec<u8>>) {
        while self.closed.is_none()
            && let Some(last) = memory.pop()
        {
            if let Some(last) = self.spare.put(last, self.limit) {
                memory.push(last);
                break;
            }
        }
    }

    /// Gives up memory that waits to be written to. Each data id keeps what its last run took.
    pub(super) fn take_spare(&mut self) -> Vec<Vec<u8>> {
        std::mem::take(&mut self.spare).into_memory()
    }

    fn seal(&mut self) {
        let mut runs = Vec::with_capacity(self.active.len());
        for id in self.active.drain(..) {
            let run = &mut self.slots[id as usize].run;
            // A large point brings its own memory; what many points took, as many will take again.
            let next = match run.wire_bytes() {
                bytes if bytes >= LARGE && run.len() == 1 => Vec::new(),
                bytes => self.spare.take(bytes).unwrap_or_else(|| PointsBuf::memory(bytes.min(SEAL_ABOVE))),
            };
            runs.push((id, run.take_leaving(next)));
        }
        self.sealed_bytes += self.open_bytes;
        self.sealed_payload += self.open_payload;
        let skipped = std::mem::take(&mut self.skipped);
        self.sealed.push_back(Sealed { runs, points: self.open_points, skipped, bytes: self.open_bytes });
        self.open_bytes = 0;
        self.open_payload = 0;
        self.open_points = 0;
        self.limit_open();
    }
}
