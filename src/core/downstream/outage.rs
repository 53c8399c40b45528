//! A downstream between two connections.

use std::time::Instant;

use super::{AliasTable, Downstream, State, preset};
use crate::core::event::{Event, Output};
use crate::message::{Aliases, DownstreamOpenRequest, DownstreamOpenResponse, DownstreamResumeRequest};

impl Downstream {
    /// The connection was lost. False when the stream ends with it.
    pub(in crate::core) fn detach(&mut self, now: Instant) -> bool {
        self.upstreams.announce_again();
        self.data_ids.announce_again();
        self.attachment.lost(self.config.expiry_interval, self.config.reopen, now)
    }

    /// The server does not have the stream any more. False when the stream ends with that.
    pub(in crate::core) fn forgotten(&mut self) -> bool {
        self.attachment.forgotten(self.config.reopen)
    }

    pub(in crate::core) fn resume_request(&self, request_id: u32, token: String) -> DownstreamResumeRequest {
        DownstreamResumeRequest {
            request_id,
            stream_id: self.stream_id,
            desired_stream_id_alias: self.alias,
            resume_token: token,
        }
    }

    pub(in crate::core) fn reopen_request(&self, request_id: u32) -> DownstreamOpenRequest {
        Self::open_request(&self.config, request_id, self.alias)
    }

    /// The server resumed the stream.
    pub(in crate::core) fn resumed(&mut self, token: String, now: Instant) {
        self.attachment.attached(token);
        if !self.taken.is_empty() || self.upstreams.has_fresh() || self.data_ids.has_fresh() {
            self.want_ack(now, true);
        }
    }

    /// The server opened another stream in place of this one. It knows nothing of the aliases, and wants no
    /// acknowledgement of what the other one sent.
    pub(in crate::core) fn reopened(
        &mut self,
        response: &DownstreamOpenResponse,
        now: Instant,
        events: &mut Vec<Event>,
    ) {
        let mut ready = Vec::new();
        self.order.restart(&mut ready);
        self.deliver(ready, now, events);
        self.stream_id = response.stream_id;
        self.server_time_ns = response.server_time_ns;
        self.upstreams = AliasTable::new(&Aliases::new());
        self.data_ids = AliasTable::new(&preset(&self.config));
        self.taken.clear();
        self.resumed(response.resume_token.clone(), now);
    }

    /// The application closed the stream, and the server cannot be told: it drops the stream by itself.
    pub(in crate::core) fn abandoned(mut self, events: &mut Vec<Event>) {
        let outcome = self.release_all(events);
        if let State::Draining { op: Some(op), .. } | State::Closing { op: Some(op) } = self.state {
            events.push(Event::Done(op, outcome.clone().map(|()| Output::Done)));
        }
        events.push(Event::DownstreamClosed(self.key, outcome.err()));
    }
}
