//! The loss of the connection, and the way back.

use std::time::Instant;

use super::{Connection, KeepAlive, Pending, Request, State};
use crate::core::event::{Event, OpId, Output};
use crate::error::{Error, Status};
use crate::message::Message;

impl Connection {
    /// The transport is gone.
    pub fn transport_lost(&mut self, error: &Error, now: Instant) {
        self.link_lost(error, None, now);
    }

    /// No transport could be established after [`Event::Dial`].
    pub fn dial_failed(&mut self, error: &Error, now: Instant) {
        if matches!(self.state, State::Dialling) {
            self.wait_for_attempt(error, now);
        }
    }

    /// A transport was established after [`Event::Dial`]; `datagrams` says whether it has them.
    pub fn transport_established(&mut self, access_token: String, datagrams: bool, now: Instant) {
        if matches!(self.state, State::Dialling) {
            self.state = State::Connecting;
            self.link = self.link.wrapping_add(1);
            self.datagrams = datagrams;
            self.keep_alive = KeepAlive::new(self.config.ping_interval, self.config.ping_timeout, now);
            self.control.clear();
            self.introduce(access_token, None, now);
        }
    }

    /// Ends the connection whatever its state, without an attempt to make it anew.
    pub fn abort(&mut self, error: &Error) {
        self.end(Some(error));
    }

    /// The connection is of no use any more, or an attempt to make it anew failed. `goodbye` is for a
    /// transport that still takes something.
    pub(super) fn link_lost(&mut self, error: &Error, goodbye: Option<Message>, now: Instant) {
        if !matches!(self.state, State::Connecting | State::Open) {
            return;
        }
        if !self.accepted || !self.backoff.recovers_from(error) {
            self.control.extend(goodbye);
            return self.end(Some(error));
        }
        if matches!(self.state, State::Open) {
            self.events.push(Event::Disconnected(error.clone(), goodbye));
            self.detach(error, now);
        }
        self.pending.clear();
        self.control.clear();
        self.wait_for_attempt(error, now);
        self.end_if_nothing_is_owed();
    }

    /// Takes what depends on the connection off it.
    fn detach(&mut self, error: &Error, now: Instant) {
        self.upstream_aliases.clear();
        self.downstream_aliases.clear();
        for message in self.control.drain(..) {
            if let Message::UpstreamCall(call) = message {
                self.waiting_calls.push_back(call);
            }
        }
        let replies_find_us = !self.config.node_id.is_empty();
        self.calls.link_lost(error, &self.waiting_calls, replies_find_us, &mut self.events);
        for pending in std::mem::take(&mut self.pending).into_values() {
            match pending.request {
                // Opening a stream that nobody used yet, and telling a base time, do no harm when they
                // happen twice.
                Request::OpenUpstream(..) | Request::OpenDownstream(..) | Request::Metadata(..) => {
                    self.waiting.push_back(pending);
                }
                // What it was to measure is gone.
                Request::Ping(op, _) => self.done(op, Err(error.clone().context("ping"))),
                Request::CloseUpstream(key) => {
                    if let Some(upstream) = self.upstreams.get_mut(&key) {
                        upstream.close_again(pending.deadline);
                    }
                }
                _ => {}
            }
        }
        for (key, mut upstream) in std::mem::take(&mut self.upstreams) {
            if upstream.detach(now, &mut self.events) {
                self.upstreams.insert(key, upstream);
            } else {
                let error = (!upstream.is_finished()).then(|| error.clone().fatal());
                upstream.ended(error, &mut self.events);
            }
        }
        for (key, mut downstream) in std::mem::take(&mut self.downstreams) {
            if downstream.is_closing() {
                downstream.abandoned(&mut self.events);
            } else if downstream.detach(now) {
                self.downstreams.insert(key, downstream);
            } else {
                downstream.failed(error, &mut self.events);
            }
        }
    }

    fn wait_for_attempt(&mut self, error: &Error, now: Instant) {
        match self.backoff.next(error, now) {
            Ok((attempt, delay)) => {
                self.state = State::Waiting { until: now + delay };
                self.lost = Some(error.clone());
                self.events.push(Event::Reconnecting { attempt, delay, error: error.clone() });
            }
            Err(error) => self.end(Some(&error)),
        }
    }

    /// An application that closes a lost connection waits for it only as long as a point that it was
    /// promised the delivery of depends on it.
    pub(super) fn end_if_nothing_is_owed(&mut self) {
        let lost = matches!(self.state, State::Waiting { .. } | State::Dialling | State::Connecting);
        if !lost || self.closing.is_none() || self.upstreams.values().any(|upstream| upstream.owes_points()) {
            return;
        }
        let error =
            self.lost.take().unwrap_or_else(|| Error::new(Status::Closed, "the connection is closed"));
        for upstream in std::mem::take(&mut self.upstreams).into_values() {
            upstream.abandoned(&error, &mut self.events);
        }
        self.end(None);
    }

    /// The server accepted again.
    pub(super) fn back(&mut self, now: Instant) {
        self.ask_for_streams(now);
        for Pending { request, deadline } in std::mem::take(&mut self.waiting) {
            self.ask(request, deadline);
        }
        for call in std::mem::take(&mut self.waiting_calls) {
            if self.calls.is_pending(&call.call_id) {
                self.control.push_back(Message::UpstreamCall(call));
            }
        }
    }

    /// Time passed.
    pub(super) fn handle_outage(&mut self, now: Instant) {
        if self.is_closed() {
            return;
        }
        if self.backoff.gives_up_at().is_some_and(|at| at <= now) {
            let last = self.lost.take().unwrap_or_else(|| Error::new(Status::ConnectionLost, "connection"));
            let error = self.backoff.out_of_time(&last);
            return self.end(Some(&error));
        }
        if let State::Waiting { until } = self.state
            && until <= now
        {
            self.state = State::Dialling;
            self.events.push(Event::Dial);
        }
        let (expired, waiting): (Vec<_>, Vec<_>) =
            std::mem::take(&mut self.waiting).into_iter().partition(|pending| pending.deadline <= now);
        self.waiting = waiting.into();
        self.expire(expired);
        if !self.waiting_calls.is_empty() {
            let calls = &self.calls;
            self.waiting_calls.retain(|call| calls.is_pending(&call.call_id));
        }
        self.handle_detached(now);
        self.end_if_nothing_is_owed();
    }

    fn expire(&mut self, requests: Vec<Pending>) {
        for Pending { request, .. } in requests {
            let text = format!("{}: there was no connection in time", request.name());
            if let Some(op) = op_of(&request) {
                self.done(op, Err::<Output, _>(Error::new(Status::Timeout, text)));
            }
        }
    }
}

fn op_of(request: &Request) -> Option<OpId> {
    match request {
        Request::OpenUpstream(op, _) | Request::OpenDownstream(op, ..) | Request::Metadata(op, _) => {
            Some(*op)
        }
        _ => None,
    }
}
