//! One upstream: when buffered points become chunks, and what became of them.

mod outage;
mod outcome;
mod shown;

use std::sync::Arc;
use std::sync::atomic::Ordering::Relaxed;
use std::time::Instant;

use outcome::LOSS_MARGIN;
use shown::NewChunk;
use uuid::Uuid;

use super::config::UpstreamConfig;
use super::event::{Event, OpId, OpenedUpstream, Output, StreamKey, UpstreamEnd};
use super::keeper::Keeper;
use super::resume::Attachment;
use super::sent::{Sent, SentChunk};
use super::shared_buffer::{SharedBuffer, StreamIdentity, UpstreamState};
use super::write_buffer::{CHUNK_LIMIT, WriteBuffer};
use crate::error::{Error, Status};
use crate::message::{
    Aliases, DataId, Message, Qos, StreamChunk, UpstreamChunk, UpstreamCloseRequest, UpstreamOpenRequest,
    UpstreamOpenResponse,
};

/// Chunks of an upstream without delivery guarantee that are remembered until acknowledged; older
/// ones count as lost. More than fast writers send within the longest usual ack interval.
const UNRELIABLE_IN_FLIGHT: usize = 65_536;

/// What a flush waits for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum FlushLevel {
    /// Everything written before was handed to the transport, once.
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
        close_session: bool,
    },
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
    sent: Sent,
    /// Whether the buffer may have memory of chunks that were acknowledged.
    keeps_memory: bool,
    /// Told what it has to keep, as long as what is given up here is given up for good.
    keeper: Option<Arc<dyn Keeper>>,
    settled: u64,
    pub(super) attachment: Attachment,
    /// Once a close request was under way when the connection was lost: when the answer must have come.
    close_by: Option<Instant>,
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
    /// The newest chunk, until it is shown to the application.
    to_show: Option<NewChunk>,
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
        if config.drop_oldest {
            buffer = buffer.dropping_oldest();
        }
        for data_id in &config.data_ids {
            // The open request was refused if there were too many.
            let _ = buffer.data_id(data_id.clone());
        }
        buffer.learn_aliases(response.data_id_aliases);
        if let Some(keeper) = &config.keeper {
            keeper.attached(response.stream_id, response.stream_id_alias, &response.resume_token, 0);
        }
        let buffer = Arc::new(SharedBuffer::new(buffer, config.in_flight_limit));
        let (stream_id, server_time_ns) = (response.stream_id, response.server_time_ns);
        buffer.identify(StreamIdentity { stream_id, server_time_ns });
        Self {
            key,
            keeper: config.keeper.clone(),
            settled: 0,
            lossy: datagrams && config.qos == Qos::Unreliable,
            config,
            state: State::Open,
            last_sent: None,
            stream_id,
            alias: response.stream_id_alias,
            server_time_ns,
            buffer,
            last_sequence_number: 0,
            total_points: 0,
            sent: Sent::default(),
            keeps_memory: false,
            attachment: Attachment::new(response.resume_token),
            close_by: None,
            flush_target: 0,
            next_flush: None,
            waiters: Vec::new(),
            failed_points: 0,
            failed_chunks: Vec::new(),
            first_failure: None,
            unawaited_failure: None,
            to_show: None,
        }
    }

    /// What the application gets of it.
    pub(super) fn opened(&self) -> OpenedUpstream {
        OpenedUpstream {
            key: self.key,
            stream_id: self.stream_id,
            server_time_ns: self.server_time_ns,
            buffer: self.buffer.clone(),
        }
    }

    /// The buffer wants attention: it is no longer empty, or crossed the size limit.
    pub(super) fn attend(&mut self, now: Instant, events: &mut Vec<Event>) {
        let buffer = self.buffer.clone();
        let mut buffer = buffer.lock();
        buffer.attend();
        self.reconsider(&buffer, now);
        let given_up = buffer.take_given_up();
        drop(buffer);
        self.settle_given_up(given_up, events);
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
        self.publish_state();
    }

    /// No write after this, and nobody keeps waiting for space.
    fn shut_buffer(&self) {
        self.buffer.lock().close(Status::Closed);
        self.buffer.space.notify_all();
    }

    pub(super) fn next_timeout(&self) -> Option<Instant> {
        let ack = self.config.ack_timeout.and_then(|limit| Some(self.sent.waits_since()? + limit));
        let streams = [self.next_flush, self.drain_deadline(), ack];
        self.waiters.iter().map(|waiter| waiter.deadline).chain(streams.into_iter().flatten()).min()
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
        self.give_up_unanswered(now, events);
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

    /// Next chunk to send, if one is due and may be sent.
    pub(super) fn poll_chunk(&mut self, now: Instant, events: &mut Vec<Event>) -> Option<UpstreamChunk> {
        if matches!(self.state, State::Closing { .. }) || !self.attachment.is_attached() {
            return None;
        }
        if let Some(chunk) = self.poll_resend(now) {
            return Some(chunk);
        }
        if !self.window_open() {
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
            let awaited = buffer.take_awaited();
            drop(buffer);
            let error = Error::new(Status::SequenceExhausted, "flush: the sequence numbers are used up");
            self.settle_points(awaited, &Err(error.clone()), events);
            events.extend(self.waiters.drain(..).map(|waiter| Event::Done(waiter.op, Err(error.clone()))));
            return None;
        }
        let first_point = buffer.taken();
        let mut taken = buffer.take()?;
        let end = buffer.taken();
        let given_up = buffer.take_given_up();
        // Not for every chunk: a writer that is woken for two points at a time costs more than they do. One whose time runs
        // out looks for room once more, so nobody fails for it.
        if buffer.waiters > 0 && (buffer.is_roomy() || buffer.taken() >= self.flush_target) {
            shared.space.notify_all();
        }
        if buffer.taken() >= self.flush_target {
            self.next_flush = None;
            self.reconsider(&buffer, now);
        }
        if self.config.points_sorted {
            // Writers need not wait for it.
            drop(buffer);
            taken.runs.iter_mut().for_each(|(_, points)| points.sort());
            buffer = shared.lock();
        }
        let reliable = self.config.qos == Qos::Reliable;
        let runs = if reliable { taken.runs.clone() } else { Vec::new() };
        self.last_sequence_number += 1;
        if self.config.report_chunks {
            self.keep_to_show(&buffer, &taken.runs, taken.bytes);
        }
        let (groups, data_ids) = buffer.name(taken.runs.into_iter());
        drop(buffer);

        self.settle_given_up(given_up, events);
        self.total_points += taken.points;
        let sequence_number = self.last_sequence_number;
        let chunk = UpstreamChunk {
            stream_id_alias: self.alias,
            chunk: StreamChunk { sequence_number, groups },
            data_ids,
        };
        if let Some(keeper) = &self.keeper {
            keeper.cut(sequence_number, end);
        }
        let sent = SentChunk {
            points: taken.points,
            end,
            first_point,
            bytes: taken.bytes,
            sent: now,
            runs,
            awaited: taken.awaited,
        };
        self.sent.insert(sequence_number, sent);
        self.last_sent = Some(now);
        if !reliable && self.sent.len() > UNRELIABLE_IN_FLIGHT {
            self.forget_oldest(events);
        }
        self.publish();
        self.settle_waiters(events);
        Some(chunk)
    }

    fn window_open(&self) -> bool {
        self.buffer.keeps_up()
            && (self.config.qos != Qos::Reliable || self.sent.cost() < self.config.in_flight_limit)
    }

    /// The close request, once everything before it is settled.
    pub(super) fn poll_close(&mut self, request_id: impl FnOnce() -> u32) -> Option<Message> {
        let State::Draining { op, close_session, .. } = self.state else {
            return None;
        };
        if !self.attachment.is_attached() || self.has_undelivered() {
            return None;
        }
        self.state = State::Closing { op, close_session };
        let request = self.close_request(request_id(), close_session);
        Some(Message::UpstreamCloseRequest(request))
    }

    /// What closes the stream at the server.
    pub(super) fn close_request(&self, request_id: u32, close_session: bool) -> UpstreamCloseRequest {
        UpstreamCloseRequest {
            request_id,
            stream_id: self.stream_id,
            total_data_points: self.total_points,
            final_sequence_number: self.last_sequence_number,
            close_session,
        }
    }

    /// Makes the numbers visible to the application.
    fn publish(&self) {
        let counters = &self.buffer.counters;
        counters.total_points.store(self.total_points, Relaxed);
        counters.last_sequence_number.store(u64::from(self.last_sequence_number), Relaxed);
        counters.in_flight_chunks.store(self.sent.len() as u64, Relaxed);
        counters.in_flight_bytes.store(self.sent.bytes() as u64, Relaxed);
        counters.failed_points.store(self.failed_points, Relaxed);
    }

    /// Makes visible where the stream stands.
    fn publish_state(&self) {
        self.buffer.set_state(match self.state {
            State::Open if self.attachment.is_attached() => UpstreamState::Open,
            State::Open => UpstreamState::Resuming,
            State::Draining { .. } | State::Closing { .. } => UpstreamState::Closing,
        });
    }

    fn learn_aliases(&mut self, aliases: Aliases<DataId>) {
        if !aliases.is_empty() {
            self.buffer.lock().learn_aliases(aliases);
        }
    }

    /// The stream ended: in order, or for a reason.
    pub(super) fn ended(mut self, error: Option<Error>, events: &mut Vec<Event>) {
        self.buffer.end();
        let (unsent, dropped) = {
            let buffer = self.buffer.lock();
            (buffer.points(), buffer.dropped())
        };
        let mut undelivered_chunks = self.failed_chunks;
        undelivered_chunks.extend(self.sent.numbers());
        undelivered_chunks.sort_unstable();
        let end = UpstreamEnd {
            error: error.or(self.first_failure),
            undelivered_points: self.failed_points + unsent + dropped + self.sent.points(),
            undelivered_chunks,
        };
        let outcome = || end.error.clone().map_or(Ok(Output::Done), Err);
        if let State::Draining { op: Some(op), .. } | State::Closing { op: Some(op), .. } = self.state {
            events.push(Event::Done(op, outcome()));
        }
        for waiter in self.waiters.drain(..) {
            events.push(Event::Done(waiter.op, outcome()));
        }
        if let Some(keeper) = &self.config.keeper {
            keeper.ended();
        }
        events.push(Event::UpstreamClosed(self.key, end));
    }

    /// The stream ended because the application wanted it to, but the server cannot be told.
    pub(super) fn abandoned(self, error: &Error, events: &mut Vec<Event>) {
        let error = self.has_undelivered().then(|| error.clone());
        self.ended(error, events);
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
