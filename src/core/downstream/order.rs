//! The chunks of each upstream: which came before, which are missing, and which wait for earlier ones.

use std::collections::{BTreeMap, HashMap, HashSet};
use std::fmt::Write as _;
use std::sync::Arc;
use std::sync::atomic::AtomicU64;
use std::sync::atomic::Ordering::Relaxed;
use std::time::{Duration, Instant};

use uuid::Uuid;

use super::seen::Seen;
use crate::core::config::{ChunkOrder, DownstreamConfig};
use crate::core::event::ReceivedChunk;
use crate::error::{Error, Status};
use crate::message::Qos;

/// Upstreams that a downstream keeps apart. Beyond it those that ended are forgotten.
const MAX_SOURCES: usize = 65_536;

/// Stands for number 0, far from the ends so that numbers that wrap at 2^32, as some senders let them, go on
/// rising.
const ORIGIN: u64 = 1 << 40;

/// Ranges of missing numbers that an error names.
const NAMED_RANGES: usize = 8;

/// Numbers about what a downstream received, from any thread.
#[derive(Debug, Default)]
pub struct ReceiveCounters {
    /// Chunks that came again and were not delivered a second time.
    pub duplicate_chunks: AtomicU64,
    /// Numbers left out below the highest of their upstream that have not come by now.
    pub missing_chunks: AtomicU64,
    /// Chunks that came before an earlier one of their upstream and waited for it.
    pub reordered_chunks: AtomicU64,
    /// Chunks that wait for an earlier one of their upstream.
    pub waiting_chunks: AtomicU64,
    /// Missing numbers that were waited for in vain.
    pub given_up_chunks: AtomicU64,
    /// Chunks that came after later ones of their upstream had been delivered.
    pub late_chunks: AtomicU64,
    /// Late ones that were dropped for the sake of the order.
    pub late_dropped_chunks: AtomicU64,
}

/// What became of a chunk that came.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Arrival {
    /// It is to be delivered.
    Ready,
    /// It had to wait, perhaps only until now.
    Waited,
    /// It came before.
    Duplicate,
    /// It is too late for the order.
    Dropped,
}

/// A chunk to deliver.
#[derive(Debug)]
pub(super) struct Ready {
    pub(super) chunk: ReceivedChunk,
    pub(super) waited: bool,
}

/// Puts the chunks of each upstream in the order that the application chose.
#[derive(Debug)]
pub(super) struct Order {
    order: ChunkOrder,
    reliable: bool,
    /// Whether a number that is left out belongs to a chunk that is missing.
    gapless: bool,
    limit: usize,
    limit_bytes: usize,
    wait: Duration,
    sources: HashMap<Uuid, Source>,
    /// Those of them that ended.
    ended: HashSet<Uuid>,
    /// By upstream and position.
    waiting: BTreeMap<Uuid, BTreeMap<u64, Waiting>>,
    /// How many wait, and the bytes they take.
    count: usize,
    bytes: usize,
    /// When a gap is given up, or earlier.
    deadline: Option<Instant>,
    pub(super) counters: Arc<ReceiveCounters>,
}

/// One upstream.
#[derive(Debug, Default)]
struct Source {
    seen: Seen,
    span: Option<Span>,
    /// What it sends may be lost on its way to the server.
    lossy: bool,
}

/// Positions of an upstream: its numbers without their wrap.
#[derive(Clone, Copy, Debug)]
struct Span {
    first: u64,
    highest: u64,
    /// The next to deliver.
    next: u64,
    /// The next may also be any later one: the server does not go on where it was.
    adrift: bool,
}

#[derive(Debug)]
struct Waiting {
    chunk: ReceivedChunk,
    since: Instant,
}

impl Span {
    fn of(number: u32) -> Self {
        let at = ORIGIN + u64::from(number);
        Self { first: at, highest: at, next: at, adrift: false }
    }

    /// The position of `number` that is nearest to what came last.
    fn position(&self, number: u32) -> u64 {
        let distance = number.wrapping_sub(self.highest as u32).cast_signed();
        self.highest.wrapping_add_signed(i64::from(distance))
    }
}

impl Order {
    pub(super) fn new(config: &DownstreamConfig) -> Self {
        Self {
            order: config.chunk_order,
            reliable: config.qos == Qos::Reliable,
            gapless: !config.omit_empty_chunk,
            limit: config.reorder_limit,
            limit_bytes: config.reorder_bytes,
            wait: config.reorder_wait,
            sources: HashMap::new(),
            ended: HashSet::new(),
            waiting: BTreeMap::new(),
            count: 0,
            bytes: 0,
            deadline: None,
            counters: Arc::default(),
        }
    }

    /// A chunk came. What can be delivered now goes to `ready`.
    ///
    /// # Errors
    /// `OutOfOrder` when the order that was promised cannot be kept; `Overflow` when there are too many
    /// upstreams to keep it.
    pub(super) fn receive(
        &mut self,
        chunk: ReceivedChunk,
        now: Instant,
        ready: &mut Vec<Ready>,
    ) -> Result<Arrival, Error> {
        let (upstream, number) = (chunk.upstream.stream_id, chunk.sequence_number);
        if !self.has_room_for(upstream) {
            if self.order == ChunkOrder::Strict {
                let text = format!("more than {MAX_SOURCES} upstreams cannot be kept in order");
                return Err(Error::new(Status::Overflow, text));
            }
            ready.push(Ready { chunk, waited: false });
            return Ok(Arrival::Ready);
        }
        let source = self.sources.entry(upstream).or_default();
        let span = source.span.get_or_insert_with(|| Span::of(number));
        let position = span.position(number);
        // One that waits is known by that also when it is not known to have been seen any more.
        let waits = self.waiting.get(&upstream).is_some_and(|waiting| waiting.contains_key(&position));
        let new = source.seen.insert(position) && !waits;
        if !new && (self.reliable || self.order != ChunkOrder::AsReceived) {
            self.counters.duplicate_chunks.fetch_add(1, Relaxed);
            return Ok(Arrival::Duplicate);
        }
        if new && self.gapless {
            note_missing(span, position, &self.counters);
        }
        span.highest = span.highest.max(position);
        if self.order == ChunkOrder::AsReceived {
            ready.push(Ready { chunk, waited: false });
            return Ok(Arrival::Ready);
        }
        if position < span.next {
            self.counters.late_chunks.fetch_add(1, Relaxed);
            if self.order == ChunkOrder::BestEffort {
                ready.push(Ready { chunk, waited: false });
                return Ok(Arrival::Ready);
            }
            if self.reliable && !source.lossy {
                let before = span.next.wrapping_sub(1) as u32;
                let text = format!("chunk {number} of upstream {upstream} came after chunk {before}");
                return Err(Error::new(Status::OutOfOrder, text));
            }
            log_late(number, &upstream, self.counters.late_dropped_chunks.fetch_add(1, Relaxed) + 1);
            return Ok(Arrival::Dropped);
        }
        if position == span.next || span.adrift {
            span.adrift = false;
            span.next = position + 1;
            ready.push(Ready { chunk, waited: false });
            self.release(upstream, ready);
            return Ok(Arrival::Ready);
        }
        self.hold(position, chunk, now);
        while self.is_over_limit(upstream) {
            if self.waits_for_ever(upstream) {
                return Err(self.gap(upstream, &self.limits()));
            }
            self.give_up(upstream, ready);
        }
        Ok(Arrival::Waited)
    }

    /// Lets a chunk wait.
    fn hold(&mut self, position: u64, chunk: ReceivedChunk, now: Instant) {
        let upstream = chunk.upstream.stream_id;
        self.count += 1;
        self.bytes += chunk.footprint();
        self.waiting.entry(upstream).or_default().insert(position, Waiting { chunk, since: now });
        self.counters.reordered_chunks.fetch_add(1, Relaxed);
        self.counters.waiting_chunks.store(self.count as u64, Relaxed);
        if self.deadline.is_none() && !self.waits_for_ever(upstream) {
            self.deadline = Some(now + self.wait);
        }
    }

    fn has_room_for(&mut self, upstream: Uuid) -> bool {
        if self.sources.len() < MAX_SOURCES || self.sources.contains_key(&upstream) {
            return true;
        }
        // Not by looking at all of them: somebody may send from ever new upstreams. What came after the end of its
        // upstream and waits needs it still.
        let (sources, waiting) = (&mut self.sources, &self.waiting);
        self.ended.retain(|ended| {
            let waits = waiting.contains_key(ended);
            if !waits {
                sources.remove(ended);
            }
            waits
        });
        self.sources.len() < MAX_SOURCES
    }

    fn is_over_limit(&self, upstream: Uuid) -> bool {
        self.waiting
            .get(&upstream)
            .is_some_and(|waiting| waiting.len() > self.limit || self.bytes > self.limit_bytes)
    }

    /// What an error says of the limits.
    fn limits(&self) -> String {
        if self.bytes > self.limit_bytes {
            format!("more than {} bytes of chunks (buffer_limit)", self.limit_bytes)
        } else {
            format!("more than {} chunks (reorder_limit)", self.limit)
        }
    }

    /// Whether a gap of an upstream must be filled.
    fn waits_for_ever(&self, upstream: Uuid) -> bool {
        self.order == ChunkOrder::Strict
            && self.reliable
            && !self.ended.contains(&upstream)
            && self.sources.get(&upstream).is_none_or(|source| !source.lossy)
    }

    /// Delivers what waits and has no gap before it any more.
    fn release(&mut self, upstream: Uuid, ready: &mut Vec<Ready>) {
        let Some(waiting) = self.waiting.get_mut(&upstream) else { return };
        let Some(span) = self.sources.get_mut(&upstream).and_then(|source| source.span.as_mut()) else {
            return;
        };
        while let Some(next) = waiting.remove(&span.next) {
            self.count -= 1;
            self.bytes -= next.chunk.footprint();
            span.next += 1;
            ready.push(Ready { chunk: next.chunk, waited: true });
        }
        if waiting.is_empty() {
            self.waiting.remove(&upstream);
        }
        self.counters.waiting_chunks.store(self.count as u64, Relaxed);
        if self.waiting.is_empty() {
            self.deadline = None;
        }
    }

    /// Goes on behind the first gap.
    fn give_up(&mut self, upstream: Uuid, ready: &mut Vec<Ready>) {
        let first = self.first_waiting(upstream);
        let span = self.sources.get_mut(&upstream).and_then(|source| source.span.as_mut());
        if let (Some(first), Some(span)) = (first, span) {
            self.counters.given_up_chunks.fetch_add(first - span.next, Relaxed);
            span.next = first;
            self.release(upstream, ready);
        }
    }

    /// Delivers everything of an upstream that waits.
    fn give_up_all(&mut self, upstream: Uuid, ready: &mut Vec<Ready>) {
        while self.waiting.contains_key(&upstream) {
            self.give_up(upstream, ready);
        }
    }

    /// Finds out when a gap is given up.
    fn rearm(&mut self) {
        let timed = self.waiting.iter().filter(|(upstream, _)| !self.waits_for_ever(**upstream));
        let oldest = timed.flat_map(|(_, waiting)| waiting.values().map(|waiting| waiting.since)).min();
        self.deadline = oldest.map(|since| since + self.wait);
    }

    /// When [`handle_timeout`](Self::handle_timeout) wants to be called.
    pub(super) fn next_timeout(&self) -> Option<Instant> {
        self.deadline
    }

    /// Goes on behind the gaps that were waited for long enough.
    pub(super) fn handle_timeout(&mut self, now: Instant, ready: &mut Vec<Ready>) {
        if self.deadline.is_none_or(|at| at > now) {
            return;
        }
        let timed = self.waiting.iter().filter(|(upstream, _)| !self.waits_for_ever(**upstream));
        let overdue = timed.filter_map(|(upstream, waiting)| {
            let last = waiting.iter().rev().find(|(_, waiting)| waiting.since + self.wait <= now)?;
            Some((*upstream, *last.0))
        });
        for (upstream, last) in overdue.collect::<Vec<_>>() {
            while self.first_waiting(upstream).is_some_and(|first| first <= last) {
                self.give_up(upstream, ready);
            }
        }
        self.rearm();
    }

    /// Position of the first chunk of an upstream that waits.
    fn first_waiting(&self, upstream: Uuid) -> Option<u64> {
        self.waiting.get(&upstream).and_then(|waiting| waiting.keys().next().copied())
    }

    /// The server told of the QoS of an upstream.
    pub(super) fn note_qos(&mut self, upstream: Uuid, qos: Qos) {
        if self.has_room_for(upstream) {
            let source = self.sources.entry(upstream).or_default();
            source.lossy = qos != Qos::Reliable;
            self.ended.remove(&upstream);
            self.rearm();
        }
    }

    /// An upstream ended, with this number if it is known: what is missing does not come any more.
    ///
    /// # Errors
    /// `OutOfOrder` when something had to come.
    pub(super) fn end_of(
        &mut self,
        upstream: Uuid,
        last: Option<u32>,
        ready: &mut Vec<Ready>,
    ) -> Result<(), Error> {
        if self.waiting.contains_key(&upstream) && self.waits_for_ever(upstream) {
            return Err(self.gap(upstream, "it ended, and chunks"));
        }
        if let Some(source) = self.sources.get_mut(&upstream) {
            self.ended.insert(upstream);
            if let (Some(span), Some(last), true) = (&mut source.span, last, self.gapless) {
                let last = span.position(last);
                self.counters.missing_chunks.fetch_add(last.saturating_sub(span.highest), Relaxed);
                span.highest = span.highest.max(last);
            }
        }
        self.give_up_all(upstream, ready);
        Ok(())
    }

    /// The server does not go on where it was: nothing is waited for any more.
    pub(super) fn restart(&mut self, ready: &mut Vec<Ready>) {
        self.give_up_everything(ready);
        for span in self.sources.values_mut().filter_map(|source| source.span.as_mut()) {
            span.adrift = true;
        }
    }

    /// The downstream ends.
    ///
    /// # Errors
    /// `OutOfOrder` when something is missing that had to come.
    pub(super) fn finish(&mut self, ready: &mut Vec<Ready>) -> Result<(), Error> {
        let upstreams = self.waiting.keys().copied();
        let in_vain: Vec<_> = upstreams.filter(|upstream| self.waits_for_ever(*upstream)).collect();
        let error = in_vain.first().map(|upstream| self.gap(*upstream, "the downstream ends, and chunks"));
        for upstream in in_vain {
            let lost = self.waiting.remove(&upstream).unwrap_or_default();
            self.count -= lost.len();
            self.bytes -= lost.values().map(|waiting| waiting.chunk.footprint()).sum::<usize>();
        }
        self.counters.waiting_chunks.store(self.count as u64, Relaxed);
        self.give_up_everything(ready);
        error.map_or(Ok(()), Err)
    }

    fn give_up_everything(&mut self, ready: &mut Vec<Ready>) {
        for upstream in self.waiting.keys().copied().collect::<Vec<_>>() {
            self.give_up_all(upstream, ready);
        }
    }

    /// Names what is missing before the chunks of an upstream that wait.
    fn gap(&self, upstream: Uuid, what: &str) -> Error {
        let mut missing = String::new();
        let mut next = self.sources.get(&upstream).and_then(|source| source.span).map_or(0, |span| span.next);
        let waiting = self.waiting.get(&upstream);
        let mut ranges = 0;
        for position in waiting.into_iter().flat_map(BTreeMap::keys).copied() {
            if position > next {
                ranges += 1;
                let separator = if ranges > 1 { ", " } else { "" };
                let (first, last) = (next as u32, (position - 1) as u32);
                let _ = match ranges {
                    _ if ranges > NAMED_RANGES => Ok(()),
                    _ if first == last => write!(missing, "{separator}{first}"),
                    _ => write!(missing, "{separator}{first} to {last}"),
                };
            }
            next = position + 1;
        }
        if ranges > NAMED_RANGES {
            let _ = write!(missing, " and others");
        }
        let count = waiting.map_or(0, BTreeMap::len);
        let text = format!("upstream {upstream}: {what} wait for missing ones: {missing} ({count} wait)");
        Error::new(Status::OutOfOrder, text)
    }
}

/// Counts what is left out below the highest position.
fn note_missing(span: &Span, position: u64, counters: &ReceiveCounters) {
    if position > span.highest {
        counters.missing_chunks.fetch_add(position - span.highest - 1, Relaxed);
    } else if position > span.first {
        let _ =
            counters.missing_chunks.fetch_update(Relaxed, Relaxed, |missing| Some(missing.saturating_sub(1)));
    }
}

/// A line for each power of two: what comes late goes on coming late.
fn log_late(number: u32, upstream: &Uuid, dropped: u64) {
    if dropped.is_power_of_two() {
        tracing::warn!(
            "chunk {number} of upstream {upstream} came too late for its order and was dropped; \
             dropped so far: {dropped}"
        );
    }
}
