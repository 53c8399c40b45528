//! What the application asks of the connection.

use std::time::{Duration, Instant};

use super::{Closing, Connection, MAX_ANSWERS, MAX_PINGS, Pending, Request, State};
use crate::core::config::{DownstreamConfig, UpstreamConfig};
use crate::core::downstream::TakenAck;
use crate::core::event::{OpId, Output, ReceivedMetadata, StreamKey};
use crate::core::keeper::RestoredUpstream;
use crate::core::upstream::{FlushLevel, Upstream};
use crate::error::{Error, Status};
use crate::message::{BaseTime, Message, Reply, ResultCode, UpstreamCall};

impl Connection {
    /// Opens an upstream; `op` yields [`Output::Upstream`].
    pub fn open_upstream(&mut self, op: OpId, config: UpstreamConfig, now: Instant) {
        if !self.refuse_if_closed(op) {
            self.ask(Request::OpenUpstream(op, Box::new(config)), now + self.config.response_timeout);
        }
    }

    /// Brings back an upstream of an earlier process; `op` yields [`Output::Upstream`] at once.
    pub fn restore_upstream(
        &mut self,
        op: OpId,
        config: UpstreamConfig,
        restored: RestoredUpstream,
        now: Instant,
    ) {
        if self.refuse_if_closed(op) {
            return;
        }
        let key = self.new_key();
        let upstream = Upstream::restored(key, config, restored, now);
        let opened = upstream.opened();
        self.upstreams.insert(key, upstream);
        self.done(op, Ok(Output::Upstream(opened)));
        self.ask_for_streams(now);
    }

    /// Opens a downstream; `op` yields [`Output::Downstream`].
    pub fn open_downstream(&mut self, op: OpId, config: DownstreamConfig, now: Instant) {
        if self.refuse_if_closed(op) {
            return;
        }
        let alias = self.next_downstream_alias;
        self.next_downstream_alias += 1;
        let deadline = now + self.config.response_timeout;
        self.ask(Request::OpenDownstream(op, alias, Box::new(config)), deadline);
    }

    /// Sends a base time; `op` ends when the server took it.
    pub fn send_base_time(&mut self, op: OpId, base_time: BaseTime, persist: bool, now: Instant) {
        if !self.refuse_if_closed(op) {
            let deadline = now + self.config.response_timeout;
            self.ask(Request::Metadata(op, Box::new((base_time, persist))), deadline);
        }
    }

    /// Asks the server for a sign of life; `op` yields [`Output::RoundTrip`], or fails with the connection.
    pub fn ping(&mut self, op: OpId, now: Instant) {
        if self.refuse_if_closed(op) {
            return;
        }
        let refusal = |status, why: String| Err(Error::new(status, format!("ping: {why}")));
        if !matches!(self.state, State::Open) {
            let lost = refusal(Status::ConnectionLost, "the connection is lost at present".to_owned());
            return self.done(op, lost);
        }
        let is_ping = |pending: &&Pending| matches!(pending.request, Request::Ping(..));
        if self.pending.values().filter(is_ping).count() >= MAX_PINGS {
            return self.done(
                op,
                refusal(Status::WouldBlock, format!("{MAX_PINGS} wait for their answers already")),
            );
        }
        let request_id = self.request(Request::Ping(op, None), now);
        self.control.push_back(Message::Ping(request_id));
    }

    /// Sends a call, or a reply to one; `op` ends when the server took it.
    pub fn send_call(&mut self, op: OpId, call: UpstreamCall, now: Instant) {
        self.begin_call(op, call, None, now);
    }

    /// Calls and waits for the reply, at most `timeout`; `op` yields [`Output::Reply`].
    pub fn call(&mut self, op: OpId, call: UpstreamCall, timeout: Duration, now: Instant) {
        self.begin_call(op, call, Some(timeout), now);
    }

    fn begin_call(&mut self, op: OpId, call: UpstreamCall, reply: Option<Duration>, now: Instant) {
        if self.refuse_if_closed(op) {
            return;
        }
        match self.calls.begin(op, &call, self.config.response_timeout, reply, now) {
            Ok(()) if matches!(self.state, State::Open) => {
                self.control.push_back(Message::UpstreamCall(call))
            }
            Ok(()) => self.waiting_calls.push_back(call),
            Err(error) => self.done(op, Err(error)),
        }
    }

    /// An upstream's buffer wants attention.
    pub fn attend_upstream(&mut self, key: StreamKey, now: Instant) {
        if let Some(upstream) = self.upstreams.get_mut(&key) {
            upstream.attend(now, &mut self.events);
        }
    }

    /// An upstream's buffer is full.
    pub fn relieve_upstream(&mut self, key: StreamKey) {
        if let Some(upstream) = self.upstreams.get_mut(&key) {
            upstream.relieve();
        }
    }

    /// Flushes an upstream; `op` ends when `level` is reached for everything written before.
    pub fn flush_upstream(
        &mut self,
        op: OpId,
        key: StreamKey,
        level: FlushLevel,
        now: Instant,
        timeout: Duration,
    ) {
        match self.upstreams.get_mut(&key) {
            Some(upstream) => upstream.flush(op, level, now + timeout, &mut self.events),
            None => self.done(op, Err(Error::new(Status::Closed, "the upstream is closed"))),
        }
    }

    /// Closes an upstream; `op` ends when everything is delivered and the server confirmed.
    pub fn close_upstream(&mut self, op: Option<OpId>, key: StreamKey, close_session: bool, now: Instant) {
        match (self.upstreams.get_mut(&key), op) {
            (Some(upstream), op) => upstream.close(op, close_session, now, &mut self.events),
            (None, Some(op)) => self.done(op, Err(Error::new(Status::Closed, "the upstream is closed"))),
            (None, None) => {}
        }
    }

    /// The application took chunks of a downstream: they are to be acknowledged within its ack
    /// interval, or now if `urgent`.
    pub fn want_ack(&mut self, key: StreamKey, urgent: bool, now: Instant) {
        if let Some(downstream) = self.downstreams.get_mut(&key) {
            downstream.want_ack(now, urgent);
        }
    }

    /// What the application took, after [`Event::CollectAcks`].
    pub fn acknowledge(&mut self, key: StreamKey, taken: impl IntoIterator<Item = TakenAck>) {
        if let Some(downstream) = self.downstreams.get_mut(&key) {
            downstream.acknowledge(taken);
        }
    }

    /// The application took metadata.
    pub fn acknowledge_metadata(&mut self, metadata: &ReceivedMetadata) {
        // Another connection has other metadata under the same number.
        if !matches!(self.state, State::Open) || metadata.link != self.link {
            return;
        }
        self.control.push_back(Message::DownstreamMetadataAck(Reply {
            request_id: metadata.request_id,
            result_code: ResultCode::SUCCEEDED,
            result_string: "OK".to_owned(),
        }));
    }

    /// Closes a downstream; `op` ends when the server confirmed.
    pub fn close_downstream(&mut self, op: Option<OpId>, key: StreamKey, now: Instant) {
        match (self.downstreams.get_mut(&key), op) {
            (Some(downstream), op) if !downstream.attachment.is_attached() => {
                downstream.close(op, now, &mut self.events);
                self.abandon_downstream(key);
            }
            (Some(downstream), op) => downstream.close(op, now, &mut self.events),
            (None, Some(op)) => self.done(op, Err(Error::new(Status::Closed, "the downstream is closed"))),
            (None, None) => {}
        }
    }

    /// Ends a downstream that the application cannot keep up with, loudly.
    pub fn fail_downstream(&mut self, key: StreamKey, error: &Error) {
        let Some(downstream) = self.downstreams.remove(&key) else {
            return;
        };
        self.downstream_aliases.remove(&downstream.alias);
        if downstream.attachment.is_attached() {
            self.disown_downstream(downstream.stream_id);
        }
        downstream.failed(error, &mut self.events);
    }

    /// Ends a downstream that is closed while it is not attached.
    fn abandon_downstream(&mut self, key: StreamKey) {
        if let Some(downstream) = self.downstreams.remove(&key) {
            self.downstream_aliases.remove(&downstream.alias);
            downstream.abandoned(&mut self.events);
        }
    }

    /// Closes every stream, says goodbye and ends; at the latest after `timeout`.
    pub fn close(&mut self, op: Option<OpId>, now: Instant, timeout: Duration) {
        if self.closing.is_some() || self.is_closed() {
            if let Some(op) = op {
                self.done(op, Err(Error::new(Status::Closed, "the connection is closed")));
            }
            return;
        }
        if !self.accepted {
            let error = Error::new(Status::Cancelled, "connect: the connection was closed meanwhile");
            if let Some(op) = op {
                self.done(op, Ok(Output::Done));
            }
            return self.end(Some(&error));
        }
        for upstream in self.upstreams.values_mut().filter(|upstream| !upstream.is_closing()) {
            upstream.close(None, false, now, &mut self.events);
        }
        for (key, mut downstream) in std::mem::take(&mut self.downstreams) {
            if !downstream.is_closing() {
                downstream.close(None, now, &mut self.events);
            }
            if downstream.attachment.is_attached() {
                self.downstreams.insert(key, downstream);
            } else {
                self.downstream_aliases.remove(&downstream.alias);
                downstream.abandoned(&mut self.events);
            }
        }
        self.closing = Some(Closing { op, deadline: now + timeout });
        self.end_if_nothing_is_owed();
    }

    /// The peer took data although the transport had been full: it is there, however late its answer
    /// to a ping is.
    pub fn transport_progressed(&mut self, now: Instant) {
        self.keep_alive.heard(now);
    }

    /// Whether so many answers wait to be sent that no more questions should be read.
    pub fn is_congested(&self) -> bool {
        self.control.len() > MAX_ANSWERS
    }
}
