//! What became of the chunks of an upstream: acknowledged, refused, lost or given up.

use std::time::{Duration, Instant};

use super::{FlushLevel, Upstream};
use crate::core::event::{ChunkOutcome, Event, Output};
use crate::core::sent::SentChunk;
use crate::error::{Error, Result, Status};
use crate::message::{ResultCode, UpstreamChunkAck};

/// Beyond the ack interval, how long the acknowledgement of a chunk that went by datagram may take before
/// the chunk counts as lost.
pub(super) const LOSS_MARGIN: Duration = Duration::from_secs(1);

/// Numbers of undelivered chunks that are kept for the end of the stream; the points of further ones
/// are counted all the same.
const MAX_FAILED_CHUNKS: usize = 65_536;

impl Upstream {
    /// The server answered for chunks. Returns an error when the server does not know the stream.
    pub(in crate::core) fn handle_ack(
        &mut self,
        ack: UpstreamChunkAck,
        now: Instant,
        events: &mut Vec<Event>,
    ) -> Result<()> {
        self.learn_aliases(ack.data_id_aliases);
        let acknowledged = ack.results.iter().map(|result| result.sequence_number).max();
        let mut outcome = Ok(());
        let mut memory = Vec::new();
        for result in ack.results {
            let number = result.sequence_number;
            if result.result_code == ResultCode::STREAM_NOT_FOUND {
                // Nothing is wrong with the chunk.
                let what = format!("chunk {number}");
                outcome = Err(Error::refused(&what, result.result_code, &result.result_string));
                continue;
            }
            // Duplicates and numbers never sent are harmless (docs/protocol/behaviour.md §12.5 item 8).
            let Some(chunk) = self.sent.remove(number) else {
                continue;
            };
            if result.result_code.is_success() {
                self.settle_points(chunk.awaited, &Ok(()), events);
                memory.extend(chunk.runs.into_iter().filter_map(|(_, points)| points.into_memory()));
            } else {
                if result.result_code == ResultCode::INVALID_DATA_ID_ALIAS {
                    // Further chunks name their data ids until the server gives aliases again.
                    self.buffer.lock().forget_aliases();
                }
                let what = format!("chunk {number} ({} points)", chunk.points);
                let error = Error::refused(&what, result.result_code, &result.result_string);
                self.fail_chunk(number, chunk, error, events);
            }
            self.report(number, result.result_code, result.result_string, events);
        }
        if let (true, Some(acknowledged)) = (self.lossy, acknowledged) {
            self.lose_overdue(acknowledged, now, events);
        }
        self.give_back(memory);
        self.publish();
        self.settle_waiters(events);
        self.settle_kept();
        outcome
    }

    /// Lets writers use memory again. Once there is nothing more to send, nothing is kept.
    fn give_back(&mut self, mut memory: Vec<Vec<u8>>) {
        if memory.is_empty() && !self.keeps_memory {
            return;
        }
        let mut buffer = self.buffer.lock();
        self.keeps_memory = !self.sent.is_empty() || !buffer.is_empty();
        if self.keeps_memory {
            buffer.give_back(&mut memory);
        } else {
            memory.append(&mut buffer.take_spare());
        }
        // Writers need not wait until the rest is freed.
        drop(buffer);
    }

    /// Chunks whose acknowledgement takes longer than the application allows are failures; should it come
    /// later it changes nothing.
    pub(super) fn give_up_unanswered(&mut self, now: Instant, events: &mut Vec<Event>) {
        let Some(limit) = self.config.ack_timeout else { return };
        let mut any = false;
        while let Some((number, chunk)) = self.sent.pop_overdue(|_, chunk| chunk.sent + limit <= now) {
            any = true;
            if self.lossy {
                self.lose_chunk(number, chunk, events);
            } else {
                let text = format!(
                    "chunk {number} ({} points): the server did not acknowledge it within {limit:?}",
                    chunk.points
                );
                self.fail_chunk(number, chunk, Error::new(Status::Timeout, text), events);
            }
            self.report(number, ResultCode::ACK_TIMEOUT, "no acknowledgement in time".to_owned(), events);
        }
        if any {
            self.publish();
            self.settle_waiters(events);
            self.settle_kept();
        }
    }

    /// Chunks that will not be waited for any longer are failures, also to those who wait for them.
    pub(super) fn give_up_in_flight(&mut self, events: &mut Vec<Event>) {
        let mut awaited = Vec::new();
        let points = {
            let mut buffer = self.buffer.lock();
            let left = buffer.points();
            while let Some(chunk) = buffer.take() {
                awaited.extend(chunk.awaited);
            }
            left
        };
        // Another connection, or another process, may still deliver what was kept.
        self.keeper = None;
        let chunks = self.sent.len();
        for (number, chunk) in self.sent.drain() {
            self.failed_points += chunk.points;
            self.failed_chunks.push(number);
            awaited.extend(chunk.awaited);
        }
        self.failed_points += points;
        let error = Error::new(
            Status::Timeout,
            format!("close: {chunks} chunks were not acknowledged and {points} points not sent in time"),
        );
        self.settle_points(awaited, &Err(error.clone()), events);
        for waiter in self.waiters.drain(..) {
            let failure = waiter.failure.unwrap_or_else(|| error.clone());
            events.push(Event::Done(waiter.op, Err(failure)));
        }
        if points > 0 || (chunks > 0 && !self.lossy) {
            self.first_failure.get_or_insert(error);
        }
        self.publish();
    }

    /// Gives up the oldest chunk when more are under way than are remembered without a guarantee.
    pub(super) fn forget_oldest(&mut self, events: &mut Vec<Event>) {
        let Some((number, chunk)) = self.sent.pop_first() else { return };
        if self.lossy {
            return self.lose_chunk(number, chunk, events);
        }
        let text = format!("chunk {number} ({} points): the server did not acknowledge it", chunk.points);
        self.fail_chunk(number, chunk, Error::new(Status::Timeout, text), events);
    }

    /// Gives up chunks that went by datagram, once the server acknowledged a later one although their own
    /// acknowledgement is overdue.
    fn lose_overdue(&mut self, acknowledged: u32, now: Instant, events: &mut Vec<Event>) {
        let limit = self.config.ack_interval + LOSS_MARGIN;
        while let Some((number, lost)) =
            self.sent.pop_overdue(|number, chunk| number < acknowledged && chunk.sent + limit <= now)
        {
            self.lose_chunk(number, lost, events);
        }
    }

    /// A chunk that was sent and not delivered.
    fn fail_chunk(&mut self, sequence_number: u32, chunk: SentChunk, error: Error, events: &mut Vec<Event>) {
        if !self.fail_waiters(sequence_number, &error) {
            self.unawaited_failure.get_or_insert_with(|| error.clone());
        }
        let outcome = Err(error);
        self.count_failed(sequence_number, chunk, &outcome, events);
        if let Err(error) = outcome {
            self.first_failure.get_or_insert(error);
        }
    }

    /// A chunk that was lost on the way, which only those hear of who wait for it.
    pub(super) fn lose_chunk(&mut self, sequence_number: u32, chunk: SentChunk, events: &mut Vec<Event>) {
        let text = format!("chunk {sequence_number} ({} points) was lost on the way", chunk.points);
        let error = Error::new(Status::Timeout, text);
        self.fail_waiters(sequence_number, &error);
        self.count_failed(sequence_number, chunk, &Err(error), events);
    }

    /// Tells those who wait for the acknowledgement of a chunk that it will not come. Says whether anybody does.
    fn fail_waiters(&mut self, sequence_number: u32, error: &Error) -> bool {
        let mut awaited = false;
        for waiter in &mut self.waiters {
            if waiter.level == FlushLevel::Acknowledged
                && waiter.last_chunk.is_none_or(|last| last >= sequence_number)
            {
                waiter.failure.get_or_insert_with(|| error.clone());
                awaited = true;
            }
        }
        awaited
    }

    fn count_failed(
        &mut self,
        sequence_number: u32,
        chunk: SentChunk,
        outcome: &Result<()>,
        events: &mut Vec<Event>,
    ) {
        self.settle_points(chunk.awaited, outcome, events);
        self.failed_points += chunk.points;
        if self.failed_chunks.len() < MAX_FAILED_CHUNKS {
            self.failed_chunks.push(sequence_number);
        }
    }

    /// Tells the outcome of points to those who wait for it.
    pub(super) fn settle_points(&self, points: Vec<u64>, outcome: &Result<()>, events: &mut Vec<Event>) {
        if !points.is_empty() {
            events.push(Event::PointsSettled(self.key, points, outcome.clone()));
        }
    }

    /// Points that will be in no chunk.
    pub(super) fn settle_given_up(&self, points: Vec<u64>, events: &mut Vec<Event>) {
        if !points.is_empty() {
            let error = Error::new(Status::Overflow, "the point was dropped: too many waited to be sent");
            self.settle_points(points, &Err(error), events);
        }
    }

    /// Tells the outcome of a chunk, if anybody wants to know.
    fn report(&self, number: u32, code: ResultCode, text: String, events: &mut Vec<Event>) {
        if self.config.report_acks {
            self.buffer.will_tell(0);
            let outcome = ChunkOutcome { sequence_number: number, result_code: code, result_string: text };
            events.push(Event::ChunkAcked(self.key, outcome));
        }
    }

    /// Tells the keeper what it need not keep any longer.
    fn settle_kept(&mut self) {
        if let Some(keeper) = &self.keeper {
            let settled = self.sent.first_point().unwrap_or_else(|| self.buffer.lock().taken());
            if settled > self.settled {
                self.settled = settled;
                keeper.settled(settled);
            }
        }
    }

    pub(super) fn settle_waiters(&mut self, events: &mut Vec<Event>) {
        if self.waiters.is_empty() {
            return;
        }
        let taken = self.buffer.lock().taken();
        let newest = self.last_sequence_number;
        let oldest_in_flight = self.sent.first();
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
}
