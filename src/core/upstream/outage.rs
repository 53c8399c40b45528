//! An upstream between two connections: what is kept, and what is sent again.

use std::time::{Duration, Instant};

use super::{State, Upstream};
use crate::core::config::UpstreamConfig;
use crate::core::event::{Event, StreamKey};
use crate::core::keeper::{RestoredChunk, RestoredUpstream};
use crate::core::resume::Attachment;
use crate::core::sent::SentChunk;
use crate::core::shared_buffer::StreamIdentity;
use crate::message::{
    Qos, StreamChunk, UpstreamChunk, UpstreamOpenRequest, UpstreamOpenResponse, UpstreamResumeRequest,
};

/// Nobody knows when the connection was lost: the server decides whether it still has the stream.
const RESTORED_EXPIRY: Duration = Duration::from_secs(24 * 3600);

impl Upstream {
    /// An upstream of an earlier process, which is to be resumed, or else opened anew.
    pub(in crate::core) fn restored(
        key: StreamKey,
        config: UpstreamConfig,
        restored: RestoredUpstream,
        now: Instant,
    ) -> Self {
        let response = UpstreamOpenResponse::default();
        // The keeper knows the stream already.
        let keeper = config.keeper.clone();
        let config = UpstreamConfig { keeper: None, data_ids: restored.data_ids, ..config };
        let mut upstream = Self::new(key, config, response, false);
        upstream.config.keeper.clone_from(&keeper);
        upstream.keeper = keeper;
        upstream.buffer.lock().begin_at(restored.next_point);
        upstream.settled = restored.next_point;
        let Some(stream) = restored.stream else {
            upstream.attachment.lost(Duration::ZERO, true, now);
            return upstream;
        };
        upstream.stream_id = stream.stream_id;
        upstream.buffer.identify(StreamIdentity { stream_id: stream.stream_id, server_time_ns: 0 });
        upstream.last_sequence_number = stream.last_sequence_number;
        upstream.total_points = stream.total_points;
        for chunk in stream.chunks {
            let RestoredChunk { sequence_number, first_point, end, runs } = chunk;
            upstream.settled = upstream.settled.min(first_point);
            let points = runs.iter().map(|(_, points)| points.len() as u64).sum();
            let bytes = runs.iter().map(|(_, points)| points.as_bytes().len()).sum();
            let chunk = SentChunk { points, first_point, end, bytes, sent: now, runs, awaited: Vec::new() };
            upstream.sent.insert(sequence_number, chunk);
        }
        upstream.sent.rewind();
        upstream.attachment = Attachment::new(stream.resume_token);
        upstream.attachment.lost(RESTORED_EXPIRY, true, now);
        upstream.publish();
        upstream
    }

    /// The connection was lost. False when the stream ends with it.
    pub(in crate::core) fn detach(&mut self, now: Instant, events: &mut Vec<Event>) -> bool {
        self.set_aside(events);
        let stays = self.attachment.lost(self.config.expiry_interval, self.config.reopen, now);
        // What room there is can be used meanwhile.
        self.buffer.space.notify_all();
        self.publish_state();
        stays
    }

    /// What was sent and not acknowledged is to be sent again, or lost.
    fn set_aside(&mut self, events: &mut Vec<Event>) {
        if self.config.qos == Qos::Reliable {
            self.sent.rewind();
        } else {
            for (number, chunk) in self.sent.drain() {
                self.lose_chunk(number, chunk, events);
            }
        }
        self.publish();
        self.settle_waiters(events);
    }

    /// The close request was not answered before the connection was lost: it has until then.
    pub(in crate::core) fn close_again(&mut self, deadline: Instant) {
        if let State::Closing { op, close_session } = self.state {
            self.state = State::Draining { op, deadline, close_session };
            self.close_by = Some(deadline);
        }
    }

    /// When closing must have ended, however often the connection is lost meanwhile.
    pub(in crate::core) fn close_by(&self) -> Option<Instant> {
        self.close_by
    }

    /// The server does not have the stream any more. False when the stream ends with that.
    pub(in crate::core) fn forgotten(&mut self, events: &mut Vec<Event>) -> bool {
        self.set_aside(events);
        let stays = self.attachment.forgotten(self.config.reopen);
        self.publish_state();
        stays
    }

    /// Whether the stream is only left to be closed.
    pub(in crate::core) fn is_finished(&self) -> bool {
        self.state != State::Open && !self.has_undelivered()
    }

    /// Whether points wait to be sent or acknowledged.
    pub(super) fn has_undelivered(&self) -> bool {
        !self.sent.is_empty() || !self.buffer.lock().is_empty()
    }

    /// Whether the stream has points that it owes to the application.
    pub(in crate::core) fn owes_points(&self) -> bool {
        self.config.qos == Qos::Reliable && self.has_undelivered()
    }

    pub(in crate::core) fn resume_request(&self, request_id: u32, token: String) -> UpstreamResumeRequest {
        UpstreamResumeRequest { request_id, stream_id: self.stream_id, resume_token: token }
    }

    pub(in crate::core) fn reopen_request(&self, request_id: u32) -> UpstreamOpenRequest {
        Self::open_request(&self.config, request_id)
    }

    /// The server resumed the stream, which may have another alias now.
    pub(in crate::core) fn resumed(&mut self, alias: u32, token: String, datagrams: bool) {
        self.alias = alias;
        self.lossy = datagrams && self.config.qos == Qos::Unreliable;
        if let Some(keeper) = &self.keeper {
            keeper.attached(self.stream_id, alias, &token, self.settled);
        }
        self.attachment.attached(token);
        self.publish_state();
    }

    /// The server opened another stream in place of this one. It goes on with what was not acknowledged,
    /// under new numbers, and with what was not sent.
    pub(in crate::core) fn reopened(&mut self, response: UpstreamOpenResponse, datagrams: bool) {
        self.stream_id = response.stream_id;
        self.server_time_ns = response.server_time_ns;
        let (stream_id, server_time_ns) = (self.stream_id, self.server_time_ns);
        self.buffer.identify(StreamIdentity { stream_id, server_time_ns });
        {
            let mut buffer = self.buffer.lock();
            buffer.forget_aliases();
            buffer.learn_aliases(response.data_id_aliases);
        }
        for waiter in &mut self.waiters {
            if let Some(last) = waiter.last_chunk {
                let before = self.sent.numbers().take_while(|number| *number <= last).count();
                waiter.last_chunk = Some(before as u32);
            }
        }
        self.last_sequence_number = self.sent.renumber();
        self.total_points = self.sent.points();
        self.failed_chunks.clear();
        self.resumed(response.stream_id_alias, response.resume_token, datagrams);
        if let Some(keeper) = &self.keeper {
            for (number, end) in self.sent.ends() {
                keeper.cut(number, end);
            }
        }
        self.publish();
    }

    /// The next chunk that was not acknowledged before the connection was lost, under the aliases of today
    /// and with its old number, by which the server knows it again.
    pub(super) fn poll_resend(&mut self, now: Instant) -> Option<UpstreamChunk> {
        let (sequence_number, chunk) = self.sent.next_resend(now)?;
        let (groups, data_ids) = self.buffer.lock().name(chunk.runs.iter().cloned());
        self.last_sent = Some(now);
        Some(UpstreamChunk {
            stream_id_alias: self.alias,
            chunk: StreamChunk { sequence_number, groups },
            data_ids,
        })
    }
}
