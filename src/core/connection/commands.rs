//! What the application asks of the connection.

use std::time::{Duration, Instant};

use super::{Connection, MAX_ANSWERS, Request, State};
use crate::core::config::{DownstreamConfig, UpstreamConfig};
use crate::core::downstream::{Downstream, TakenAck};
use crate::core::event::{OpId, Output, ReceivedMetadata, StreamKey};
use crate::core::upstream::{FlushLevel, Upstream};
use crate::error::{Error, Status};
use crate::message::{
    BaseTime, DownstreamCloseRequest, Message, Reply, ResultCode, UpstreamCall, UpstreamMetadata,
};

impl Connection {
    /// Opens an upstream; `op` yields [`Output::Upstream`].
    pub fn open_upstream(&mut self, op: OpId, config: UpstreamConfig, now: Instant) {
        if self.refuse_unless_open(op) {
            return;
        }
        let request_id = self.request(Request::OpenUpstream(op, Box::new(config.clone())), now);
        let request = Upstream::open_request(&config, request_id);
        self.control.push_back(Message::UpstreamOpenRequest(request));
    }

    /// Opens a downstream; `op` yields [`Output::Downstream`].
    pub fn open_downstream(&mut self, op: OpId, config: DownstreamConfig, now: Instant) {
        if self.refuse_unless_open(op) {
            return;
        }
        let alias = self.next_downstream_alias;
        self.next_downstream_alias += 1;
        let request_id = self.request(Request::OpenDownstream(op, alias, Box::new(config.clone())), now);
        let request = Downstream::open_request(&config, request_id, alias);
        self.control.push_back(Message::DownstreamOpenRequest(request));
    }

    /// Sends a base time; `op` ends when the server took it.
    pub fn send_base_time(&mut self, op: OpId, base_time: BaseTime, persist: bool, now: Instant) {
        if self.refuse_unless_open(op) {
            return;
        }
        let request_id = self.request(Request::Metadata(op), now);
        self.control.push_back(Message::UpstreamMetadata(UpstreamMetadata {
            request_id,
            base_time,
            persist,
        }));
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
        if self.refuse_unless_open(op) {
            return;
        }
        match self.calls.begin(op, &call, self.config.response_timeout, reply, now) {
            Ok(()) => self.control.push_back(Message::UpstreamCall(call)),
            Err(error) => self.done(op, Err(error)),
        }
    }

    /// An upstream's buffer wants attention.
    pub fn attend_upstream(&mut self, key: StreamKey, now: Instant) {
        if let Some(upstream) = self.upstreams.get_mut(&key) {
            upstream.attend(now);
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
        if self.is_closed() {
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
        let request_id = self.next_id();
        self.control.push_back(Message::DownstreamCloseRequest(DownstreamCloseRequest {
            request_id,
            stream_id: downstream.stream_id,
        }));
        downstream.failed(error, &mut self.events);
    }

    /// Closes every stream, says goodbye and ends; at the latest after `timeout`.
    pub fn close(&mut self, op: Option<OpId>, now: Instant, timeout: Duration) {
        match self.state {
            State::Open => {
                for upstream in self.upstreams.values_mut().filter(|upstream| !upstream.is_closing()) {
                    upstream.close(None, false, now, &mut self.events);
                }
                for downstream in self.downstreams.values_mut().filter(|downstream| !downstream.is_closing())
                {
                    downstream.close(None, now, &mut self.events);
                }
                self.state = State::Closing { op, deadline: now + timeout };
            }
            State::Connecting => {
                let error = Error::new(Status::Cancelled, "connect: the connection was closed meanwhile");
                if let Some(op) = op {
                    self.done(op, Ok(Output::Done));
                }
                self.end(Some(&error));
            }
            State::Closing { .. } | State::Closed => {
                if let Some(op) = op {
                    self.done(op, Err(Error::new(Status::Closed, "the connection is closed")));
                }
            }
        }
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

    /// The transport is gone.
    pub fn transport_lost(&mut self, error: &Error) {
        if let State::Closed = self.state {
            return;
        }
        self.end(Some(error));
    }
}
