//! One upstream: when buffered points become chunks, and what became of them.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::Ordering::Relaxed;
use std::time::{Duration, Instant};

use uuid::Uuid;

use super::config::UpstreamConfig;
use super::event::{ChunkOutcome, Event, OpId, Output, StreamKey, UpstreamEnd};
use super::write_buffer::{CHUNK_LIMIT, MAX_UNREPORTED, SharedBuffer, WriteBuffer};
use crate::error::{Error, Status};
use crate::message::{
    Aliases, DataId, Message, Qos, StreamChunk, UpstreamChunk, UpstreamChunkAck, UpstreamCloseRequest,
    UpstreamOpenRequest, UpstreamOpenResponse,
};

/// Chunks of an upstream without delivery guarantee that are remembered until acknowledged; older
/// ones count as lost. More than fast writers send within the longest usual ack interval.
const UNRELIABLE_IN_FLIGHT: usize = 65_536;

/// Beyond the ack interval, how long the acknowledgement of a chunk that went by datagram may take before
/// the chunk counts as lost.
const LOSS_MARGIN: Duration = Duration::from_secs(1);

/// Numbers of undelivered chunks that are kept for the end of the stream; the points of further ones
/// are counted all the same.
const MAX_FAILED_CHUNKS: usize = 65_536;

/// What a flush waits for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum FlushLevel {
    /// Everything written before is on its way.
    Sent,
    /// The server answered for everything written before. A chunk that it refused since the last such
    /// flush is the flush's failure.
    Acknowledged,
}

#[derive(Debug, PartialEq, Eq)]
enum State {
    Open,
    /// Closing: waiting for outstanding acknowledgements.
    Draining {
        op: Option<OpId>,
        deadline: Instant,
        close_session: bool,
    },
    /// Closing: the close request is on its way.
    Closing {
        op: Option<OpId>,
    },
}

#[derive(Debug)]
struct InFlight {
    points: u64,
    bytes: usize,
    sent: Instant,
}

#[derive(Debug)]
struct FlushWaiter {
    op: OpId,
    level: FlushLevel,
    /// Points that must have left the buffer.
    points: u64,
    /// Once they have: the last chunk among them.
    last_chunk: Option<u32>,
    deadline: Instant,
    failure: Option<Error>,
}

/// One upstream of a connection.
#[derive(Debug)]
pub(super) struct Upstream {
    key: StreamKey,
    config: UpstreamConfig,
    state: State,
    /// Chunks go by datagram, and some never arrive. That is what the QoS means and no failure.
    lossy: bool,
    last_sent: Option<Instant>,
    pub(super) stream_id: Uuid,
    pub(super) alias: u32,
    pub(super) server_time_ns: i64,
    pub(super) buffer: Arc<SharedBuffer>,
    last_sequence_number: u32,
    total_points: u64,
    in_flight: BTreeMap<u32, InFlight>,
    in_flight_bytes: usize,
    /// Everything written up to this many points is to be sent now.
    flush_target: u64,
    next_flush: Option<Instant>,
    waiters: Vec<FlushWaiter>,
    /// Chunks the server refused, or that were given up.
    failed_points: u64,
    failed_chunks: Vec<u32>,
    first_failure: Option<Error>,
    /// First failure since the last flush that no flush waited for; the next one reports it.
    unawaited_failure: Option<Error>,
}

impl Upstream {
    pub(super) fn open_request(config: &UpstreamConfig, request_id: u32) -> UpstreamOpenRequest {
        UpstreamOpenRequest {
            request_id,
            session_id: config.session_id.clone(),
            ack_interval_ms: u32::try_from(config.ack_interval.as_millis()).unwrap_or(u32::MAX),
            expiry_interval_s: u32::try_from(config.expiry_interval.as_secs()).unwrap_or(u32::MAX),
            data_ids: config.data_ids.clone(),
            qos: config.qos,
            persist: config.persist,
        }
    }

    /// An upstream that the server opened. `datagrams` says whether the transport has them.
    pub(super) fn new(
        key: StreamKey,
        config: UpstreamConfig,
        response: UpstreamOpenResponse,
        datagrams: bool,
    ) -> Self {
        let mut buffer = WriteBuffer::new(config.buffer_limit, config.flush_policy.size());
        for data_id in &config.data_ids {
            // The open request was refused if there were too many.
            let _ = buffer.data_id(data_id.clone());
        }
        buffer.learn_aliases(response.data_id_aliases);
        Self {
            key,
            lossy: datagrams && config.qos == Qos::Unreliable,
            config,
            state: State::Open,
            last_sent: None,
            stream_id: response.stream_id,
            alias: response.stream_id_alias,
            server_time_ns: response.server_time_ns,
            buffer: Arc::new(SharedBuffer::new(buffer)),
            last_sequence_number: 0,
            total_points: 0,
            in_flight: BTreeMap::new(),
            in_flight_bytes: 0,
            flush_target: 0,
            next_flush: None,
            waiters: Vec::new(),
            failed_points: 0,
            failed_chunks: Vec::new(),
            first_failure: None,
            unawaited_failure: None,
        }
    }

    /// The buffer wants attention: it is no longer empty, or crossed the size limit.
    pub(super) fn attend(&mut self, now: Instant) {
        let buffer = self.buffer.clone();
        let mut buffer = buffer.lock();
        buffer.attend();
        self.reconsider(&buffer, now);
    }

    /// The buffer is full: whatever the policy, it is sent.
    pub(super) fn relieve(&mut self) {
        self.flush_target = self.buffer.lock().relieve();
    }

    fn reconsider(&mut self, buffer: &WriteBuffer, now: Instant) {
        if buffer.is_empty() {
            self.next_flush = None;
        } else if buffer.exceeds_size() {
            self.flush_target = buffer.written();
        } else if let (None, Some(interval)) = (self.next_flush, self.config.flush_policy.interval()) {
            self.next_flush = Some(now + interval);
        }
    }

    pub(super) fn flush(&mut self, op: OpId, level: FlushLevel, deadline: Instant, events: &mut Vec<Event>) {
        if self.state != State::Open {
            return events.push(Event::Done(op, Err(closed_error())));
        }
        self.relieve();
        let points = self.flush_target;
        let failure = match level {
            FlushLevel::Sent => None,
            FlushLevel::Acknowledged => self.unawaited_failure.take(),
        };
        self.waiters.push(FlushWaiter { op, level, points, last_chunk: None, deadline, failure });
        self.settle_waiters(events);
    }

    pub(super) fn close(
        &mut self,
        op: Option<OpId>,
        close_session: bool,
        now: Instant,
        events: &mut Vec<Event>,
    ) {
        if self.state != State::Open {
            if let Some(op) = op {
                events.push(Event::Done(op, Err(closed_error())));
            }
            return;
        }
        self.shut_buffer();
        self.relieve();
        self.state = State::Draining { op, deadline: now + self.config.close_timeout, close_session };
    }

    /// No write after this, and nobody keeps waiting for space.
    fn shut_buffer(&self) {
        self.buffer.lock().close(Status::Closed);
        self.buffer.space.notify_all();
    }

    pub(super) fn next_timeout(&self) -> Option<Instant> {
        let drain = self.drain_deadline();
        self.waiters.iter().map(|waiter| waiter.deadline).chain(self.next_flush).chain(drain).min()
    }

    pub(super) fn handle_timeout(&mut self, now: Instant, events: &mut Vec<Event>) {
        if self.next_flush.is_some_and(|at| at <= now) {
            self.next_flush = None;
            self.relieve();
        }
        let unawaited = &mut self.unawaited_failure;
        self.waiters.retain_mut(|waiter| {
            let expired = waiter.deadline <= now;
            if expired {
                // The next flush reports what this one cannot.
                if let Some(failure) = waiter.failure.take() {
                    unawaited.get_or_insert(failure);
                }
                let error = Error::new(Status::Timeout, "flush: the server did not acknowledge in time");
                events.push(Event::Done(waiter.op, Err(error)));
            }
            !expired
        });
        if self.is_overdue(now) {
            self.give_up_in_flight(events);
        }
    }

    /// Whether closing waited for outstanding acknowledgements as long as it may.
    pub(super) fn is_overdue(&self, now: Instant) -> bool {
        self.drain_deadline().is_some_and(|deadline| deadline <= now)
    }

    /// Until when closing waits for outstanding acknowledgements. Those of lost chunks never come, so that
    /// once everything is sent the usual time of an acknowledgement is enough.
    fn drain_deadline(&self) -> Option<Instant> {
        let State::Draining { deadline, .. } = self.state else { return None };
        match self.last_sent {
            Some(sent) if self.lossy && self.buffer.lock().is_empty() => {
                Some(deadline.min(sent + self.config.ack_interval + LOSS_MARGIN))
            }
            _ => Some(deadline),
        }
    }

    /// Chunks that will not be waited for any longer are failures, also to those who wait for them.
    fn give_up_in_flight(&mut self, events: &mut Vec<Event>) {
        let points = {
            let mut buffer = self.buffer.lock();
            let left = buffer.points();
            while buffer.take().is_some() {}
            left
        };
        let chunks = self.in_flight.len();
        for (number, chunk) in std::mem::take(&mut self.in_flight) {
            self.failed_points += chunk.points;
            self.failed_chunks.push(number);
        }
        self.in_flight_bytes = 0;
        self.failed_points += points;
        let error = Error::new(
            Status::Timeout,
            format!("close: {chunks} chunks were not acknowledged and {points} points not sent in time"),
        );
        for waiter in self.waiters.drain(..) {
            let failure = waiter.failure.unwrap_or_else(|| error.clone());
            events.push(Event::Done(waiter.op, Err(failure)));
        }
        if points > 0 || (chunks > 0 && !self.lossy) {
            self.first_failure.get_or_insert(error);
        }
        self.publish();
    }

    /// A chunk that was sent and not delivered.
    fn fail_chunk(&mut self, sequence_number: u32, points: u64, error: Error) {
        let mut awaited = false;
        for waiter in &mut self.waiters {
            if waiter.level == FlushLevel::Acknowledged
                && waiter.last_chunk.is_none_or(|last| last >= sequence_number)
            {
                waiter.failure.get_or_insert_with(|| error.clone());
                awaited = true;
            }
        }
        if !awaited {
            self.unawaited_failure.get_or_insert_with(|| error.clone());
        }
        self.failed_points += points;
        if self.failed_chunks.len() < MAX_FAILED_CHUNKS {
            self.failed_chunks.push(sequence_number);
        }
        self.first_failure.get_or_insert(error);
    }

    /// A chunk that was lost on the way, which only those hear of who wait for it.
    fn lose_chunk(&mut self, sequence_number: u32, points: u64) {
        for waiter in &mut self.waiters {
            if waiter.level == FlushLevel::Acknowledged
                && waiter.last_chunk.is_none_or(|last| last >= sequence_number)
            {
                let text = format!("chunk {sequence_number} ({points} points) was lost on the way");
                waiter.failure.get_or_insert_with(|| Error::new(Status::Timeout, text));
            }
        }
        self.failed_points += points;
        if self.failed_chunks.len() < MAX_FAILED_CHUNKS {
            self.failed_chunks.push(sequence_number);
        }
    }

    /// Gives up chunks that went by datagram, once the server acknowledged a later one although their own
    /// acknowledgement is overdue.
    fn lose_overdue(&mut self, acknowledged: u32, now: Instant) {
        while let Some(oldest) = self.in_flight.first_entry()
            && *oldest.key() < acknowledged
            && oldest.get().sent + self.config.ack_interval + LOSS_MARGIN <= now
        {
            let (number, lost) = oldest.remove_entry();
            self.in_flight_bytes -= lost.bytes;
            self.lose_chunk(number, lost.points);
        }
    }

    /// Next chunk to send, if one is due and may be sent.
    pub(super) fn poll_chunk(&mut self, now: Instant, events: &mut Vec<Event>) -> Option<UpstreamChunk> {
        if matches!(self.state, State::Closing { .. }) || !self.window_open() {
            return None;
        }
        let shared = self.buffer.clone();
        let mut buffer = shared.lock();
        if buffer.taken() >= self.flush_target {
            return None;
        }
        if self.last_sequence_number == u32::MAX {
            buffer.close(Status::SequenceExhausted);
            shared.space.notify_all();
            drop(buffer);
            let error = Error::new(Status::SequenceExhausted, "flush: the sequence numbers are used up");
            events.extend(self.waiters.drain(..).map(|waiter| Event::Done(waiter.op, Err(error.clone()))));
            return None;
        }
        let taken = buffer.take()?;
        if buffer.waiters > 0 {
            shared.space.notify_all();
        }
        if buffer.taken() >= self.flush_target {
            self.next_flush = None;
            self.reconsider(&buffer, now);
        }
        drop(buffer);

        self.last_sequence_number += 1;
        self.total_points += taken.points;
        let sequence_number = self.last_sequence_number;
        let chunk = UpstreamChunk {
            stream_id_alias: self.alias,
            chunk: StreamChunk { sequence_number, groups: taken.groups },
            data_ids: taken.unaliased,
        };
        let reliable = self.config.qos == Qos::Reliable;
        self.in_flight_bytes += taken.bytes;
        let in_flight = InFlight { points: taken.points, bytes: taken.bytes, sent: now };
        self.in_flight.insert(sequence_number, in_flight);
        self.last_sent = Some(now);
        if !reliable
            && self.in_flight.len() > UNRELIABLE_IN_FLIGHT
            && let Some((number, lost)) = self.in_flight.pop_first()
        {
            self.in_flight_bytes -= lost.bytes;
            if self.lossy {
                self.lose_chunk(number, lost.points);
            } else {
                let text =
                    format!("chunk {number} ({} points): the server did not acknowledge it", lost.points);
                self.fail_chunk(number, lost.points, Error::new(Status::Timeout, text));
            }
        }
        self.publish();
        self.settle_waiters(events);
        Some(chunk)
    }

    fn window_open(&self) -> bool {
        if self.buffer.counters.unreported.load(Relaxed) >= MAX_UNREPORTED {
            return false;
        }
        self.config.qos != Qos::Reliable || self.in_flight_bytes < self.config.in_flight_limit
    }

    /// The close request, once everything before it is settled.
    pub(super) fn poll_close(&mut self, request_id: impl FnOnce() -> u32) -> Option<Message> {
        let State::Draining { op, close_session, .. } = self.state else {
            return None;
        };
        if !self.in_flight.is_empty() || !self.buffer.lock().is_empty() {
            return None;
        }
        self.state = State::Closing { op };
        let request = UpstreamCloseRequest {
            request_id: request_id(),
            stream_id: self.stream_id,
            total_data_points: self.total_points,
            final_sequence_number: self.last_sequence_number,
            close_session,
        };
        Some(Message::UpstreamCloseRequest(request))
    }

    pub(super) fn handle_ack(&mut self, ack: UpstreamChunkAck, now: Instant, events: &mut Vec<Event>) {
        self.learn_aliases(ack.data_id_aliases);
        let acknowledged = ack.results.iter().map(|result| result.sequence_number).max();
        for result in ack.results {
            // Duplicates and numbers never sent are harmless (docs/protocol/behaviour.md §12.5 item 8).
            let Some(chunk) = self.in_flight.remove(&result.sequence_number) else {
                continue;
            };
            self.in_flight_bytes -= chunk.bytes;
            if !result.result_code.is_success() {
                let what = format!("chunk {} ({} points)", result.sequence_number, chunk.points);
                let error = Error::refused(&what, result.result_code, &result.result_string);
                self.fail_chunk(result.sequence_number, chunk.points, error);
            }
            if self.config.report_acks {
                self.buffer.counters.unreported.fetch_add(1, Relaxed);
                events.push(Event::ChunkAcked(
                    self.key,
                    ChunkOutcome {
                        sequence_number: result.sequence_number,
                        result_code: result.result_code,
                        result_string: result.result_string,
                    },
                ));
            }
        }
        if let (true, Some(acknowledged)) = (self.lossy, acknowledged) {
            self.lose_overdue(acknowledged, now);
        }
        self.publish();
        self.settle_waiters(events);
    }

    /// Makes the numbers visible to the application.
    fn publish(&self) {
        let counters = &self.buffer.counters;
        counters.total_points.store(self.total_points, Relaxed);
        counters.last_sequence_number.store(u64::from(self.last_sequence_number), Relaxed);
        counters.in_flight_chunks.store(self.in_flight.len() as u64, Relaxed);
        counters.in_flight_bytes.store(self.in_flight_bytes as u64, Relaxed);
        counters.failed_points.store(self.failed_points, Relaxed);
    }

    fn learn_aliases(&mut self, aliases: Aliases<DataId>) {
        if !aliases.is_empty() {
            self.buffer.lock().learn_aliases(aliases);
        }
    }

    fn settle_waiters(&mut self, events: &mut Vec<Event>) {
        if self.waiters.is_empty() {
            return;
        }
        let taken = self.buffer.lock().taken();
        let newest = self.last_sequence_number;
        let oldest_in_flight = self.in_flight.keys().next().copied();
        self.waiters.retain_mut(|waiter| {
            if taken < waiter.points {
                return true;
            }
            let last = *waiter.last_chunk.get_or_insert(newest);
            if waiter.level == FlushLevel::Acknowledged
                && oldest_in_flight.is_some_and(|oldest| oldest <= last)
            {
                return true;
            }
            let outcome = waiter.failure.take().map_or(Ok(Output::Done), Err);
            events.push(Event::Done(waiter.op, outcome));
            false
        });
    }

    /// The server answered the close request, or did not.
    pub(super) fn closed(mut self, outcome: Result<(), Error>, events: &mut Vec<Event>) {
        let State::Closing { op } = self.state else { return };
        self.failed_chunks.sort_unstable();
        let end = UpstreamEnd {
            error: outcome.err().or(self.first_failure),
            undelivered_points: self.failed_points,
            undelivered_chunks: self.failed_chunks,
        };
        if let Some(op) = op {
            events.push(Event::Done(op, end.error.clone().map_or(Ok(Output::Done), Err)));
        }
        events.push(Event::UpstreamClosed(self.key, end));
    }

    /// The connection ended under the stream.
    pub(super) fn lost(mut self, error: &Error, events: &mut Vec<Event>) {
        self.shut_buffer();
        if let State::Draining { op: Some(op), .. } | State::Closing { op: Some(op) } = self.state {
            events.push(Event::Done(op, Err(error.clone())));
        }
        for waiter in self.waiters.drain(..) {
            events.push(Event::Done(waiter.op, Err(error.clone())));
        }
        let unsent = self.buffer.lock().points();
        let mut undelivered_chunks = self.failed_chunks;
        undelivered_chunks.extend(self.in_flight.keys());
        undelivered_chunks.sort_unstable();
        let end = UpstreamEnd {
            error: Some(error.clone()),
            undelivered_points: self.failed_points
                + unsent
                + self.in_flight.values().map(|chunk| chunk.points).sum::<u64>(),
            undelivered_chunks,
        };
        events.push(Event::UpstreamClosed(self.key, end));
    }

    /// Whether the message of the next chunk certainly has at most `limit` bytes. In JSON its payloads take
    /// a third more.
    pub(super) fn fits_datagrams(&self, limit: usize) -> bool {
        self.lossy && self.buffer.lock().bytes() <= CHUNK_LIMIT.min(limit / 3 * 2)
    }

    pub(super) fn is_unreliable(&self) -> bool {
        self.config.qos == Qos::Unreliable
    }

    pub(super) fn is_closing(&self) -> bool {
        self.state != State::Open
    }
}

fn closed_error() -> Error {
    Error::new(Status::Closed, "the upstream is closed")
}
