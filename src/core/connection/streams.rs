//! How streams come back once the connection has: resumed, or opened anew.

use std::time::Instant;

use uuid::Uuid;

use super::{Connection, Pending, Request, State};
use crate::core::downstream::Downstream;
use crate::core::event::{Event, StreamKey};
use crate::core::resume::Ask;
use crate::core::upstream::Upstream;
use crate::error::{Error, Status};
use crate::message::{
    DownstreamCloseRequest, DownstreamOpenResponse, DownstreamResumeResponse, Message, ResultCode,
    UpstreamCloseRequest, UpstreamMetadata, UpstreamOpenResponse, UpstreamResumeResponse,
};

impl Connection {
    /// Sends a request of the application, or lets it wait for the connection.
    pub(super) fn ask(&mut self, request: Request, deadline: Instant) {
        if !matches!(self.state, State::Open) {
            self.waiting.push_back(Pending { request, deadline });
            return;
        }
        let request_id = self.next_id();
        let message = match &request {
            Request::OpenUpstream(_, config) => {
                Message::UpstreamOpenRequest(Upstream::open_request(config, request_id))
            }
            Request::OpenDownstream(_, alias, config) => {
                Message::DownstreamOpenRequest(Downstream::open_request(config, request_id, *alias))
            }
            Request::Metadata(_, metadata) => {
                let (base_time, persist) = (**metadata).clone();
                Message::UpstreamMetadata(UpstreamMetadata { request_id, base_time, persist })
            }
            other => unreachable!("{} is not the application's", other.name()),
        };
        self.pending.insert(request_id, Pending { request, deadline });
        self.control.push_back(message);
    }

    /// Asks for every stream whose turn it is.
    pub(super) fn ask_for_streams(&mut self, now: Instant) {
        if !matches!(self.state, State::Open) {
            return;
        }
        let due = self.upstreams.iter().filter(|(_, upstream)| upstream.attachment.is_due(now));
        for key in due.map(|(key, _)| *key).collect::<Vec<_>>() {
            self.ask_for_upstream(key, now);
        }
        let due = self.downstreams.iter().filter(|(_, downstream)| downstream.attachment.is_due(now));
        for key in due.map(|(key, _)| *key).collect::<Vec<_>>() {
            self.ask_for_downstream(key, now);
        }
    }

    fn ask_for_upstream(&mut self, key: StreamKey, now: Instant) {
        let Some(upstream) = self.upstreams.get_mut(&key) else { return };
        let close = upstream.close_request(0, false);
        let ask = upstream.attachment.ask();
        let token = if self.tokens { upstream.attachment.token().to_owned() } else { String::new() };
        let request_id = self.request(
            match ask {
                Ask::Resume => Request::ResumeUpstream(key, Box::new(close)),
                Ask::Reopen => Request::ReopenUpstream(key),
            },
            now,
        );
        let Some(upstream) = self.upstreams.get(&key) else { return };
        self.control.push_back(match ask {
            Ask::Resume => Message::UpstreamResumeRequest(upstream.resume_request(request_id, token)),
            Ask::Reopen => Message::UpstreamOpenRequest(upstream.reopen_request(request_id)),
        });
    }

    fn ask_for_downstream(&mut self, key: StreamKey, now: Instant) {
        let Some(downstream) = self.downstreams.get_mut(&key) else { return };
        let (stream_id, alias) = (downstream.stream_id, downstream.alias);
        let ask = downstream.attachment.ask();
        let token = if self.tokens { downstream.attachment.token().to_owned() } else { String::new() };
        let request_id = self.request(
            match ask {
                Ask::Resume => Request::ResumeDownstream(key, stream_id),
                Ask::Reopen => Request::ReopenDownstream(key),
            },
            now,
        );
        let Some(downstream) = self.downstreams.get(&key) else { return };
        self.downstream_aliases.insert(alias, key);
        self.control.push_back(match ask {
            Ask::Resume => Message::DownstreamResumeRequest(downstream.resume_request(request_id, token)),
            Ask::Reopen => Message::DownstreamOpenRequest(downstream.reopen_request(request_id)),
        });
    }

    // Answers.

    pub(super) fn handle_upstream_resume(&mut self, response: UpstreamResumeResponse, now: Instant) {
        let Some(Request::ResumeUpstream(key, close)) =
            self.answered(response.request_id, |request| matches!(request, Request::ResumeUpstream(..)))
        else {
            return self.unexpected("UpstreamResumeResponse", response.request_id);
        };
        let success = response.result_code.is_success();
        let Some(upstream) = self.upstreams.get_mut(&key) else {
            if success {
                self.disown_upstream(*close);
            }
            return;
        };
        if success {
            if self.upstream_aliases.contains_key(&response.stream_id_alias) {
                return self.end(Some(&alias_twice("resume upstream", response.stream_id_alias)));
            }
            self.upstream_aliases.insert(response.stream_id_alias, key);
            upstream.resumed(response.stream_id_alias, response.resume_token, self.datagrams);
            self.events.push(Event::UpstreamResumed(key));
        } else if response.result_code == ResultCode::RESUME_REQUEST_CONFLICT {
            let backoff = &mut self.backoff;
            upstream.attachment.retry(now, |level| backoff.delay(level));
        } else {
            let error = Error::refused("resume upstream", response.result_code, &response.result_string);
            self.upstream_gone(key, error, now);
        }
    }

    pub(super) fn handle_upstream_reopen(&mut self, key: StreamKey, response: UpstreamOpenResponse) {
        let Some(upstream) = self.upstreams.get_mut(&key) else {
            if response.result_code.is_success() {
                let stream_id = response.stream_id;
                self.disown_upstream(UpstreamCloseRequest { stream_id, ..UpstreamCloseRequest::default() });
            }
            return;
        };
        if !response.result_code.is_success() {
            let error = Error::refused("reopen upstream", response.result_code, &response.result_string);
            return self.end_upstream(key, Some(error));
        }
        if self.upstream_aliases.contains_key(&response.stream_id_alias) {
            return self.end(Some(&alias_twice("reopen upstream", response.stream_id_alias)));
        }
        self.upstream_aliases.insert(response.stream_id_alias, key);
        let (former, stream_id) = (upstream.stream_id, response.stream_id);
        upstream.reopened(response, self.datagrams);
        self.events.push(Event::UpstreamReopened { key, former, stream_id });
    }

    pub(super) fn handle_downstream_resume(&mut self, response: DownstreamResumeResponse, now: Instant) {
        let Some(Request::ResumeDownstream(key, stream_id)) =
            self.answered(response.request_id, |request| matches!(request, Request::ResumeDownstream(..)))
        else {
            return self.unexpected("DownstreamResumeResponse", response.request_id);
        };
        let success = response.result_code.is_success();
        let Some(downstream) = self.downstreams.get_mut(&key) else {
            if success {
                self.disown_downstream(stream_id);
            }
            return;
        };
        if success {
            downstream.resumed(response.resume_token, now);
            self.events.push(Event::DownstreamResumed(key));
        } else if response.result_code == ResultCode::RESUME_REQUEST_CONFLICT {
            let backoff = &mut self.backoff;
            downstream.attachment.retry(now, |level| backoff.delay(level));
        } else {
            let error = Error::refused("resume downstream", response.result_code, &response.result_string);
            self.downstream_gone(key, &error, now);
        }
    }

    pub(super) fn handle_downstream_reopen(
        &mut self,
        key: StreamKey,
        response: &DownstreamOpenResponse,
        now: Instant,
    ) {
        let Some(downstream) = self.downstreams.get_mut(&key) else {
            if response.result_code.is_success() {
                self.disown_downstream(response.stream_id);
            }
            return;
        };
        if !response.result_code.is_success() {
            let error = Error::refused("reopen downstream", response.result_code, &response.result_string);
            return self.end_downstream(key, &error);
        }
        let former = downstream.stream_id;
        downstream.reopened(response, now, &mut self.events);
        let (stream_id, server_time_ns) = (response.stream_id, response.server_time_ns);
        self.events.push(Event::DownstreamReopened { key, former, stream_id, server_time_ns });
    }

    /// A stream of which nobody knows any more: nobody else would close it.
    pub(super) fn disown_upstream(&mut self, close: UpstreamCloseRequest) {
        let request_id = self.next_id();
        self.control.push_back(Message::UpstreamCloseRequest(UpstreamCloseRequest { request_id, ..close }));
    }

    pub(super) fn disown_downstream(&mut self, stream_id: Uuid) {
        let request_id = self.next_id();
        self.control
            .push_back(Message::DownstreamCloseRequest(DownstreamCloseRequest { request_id, stream_id }));
    }

    // What does not come back.

    /// The answer to a resume request takes long. It may still come as long as the server has the stream, so
    /// nothing is asked twice: the server would see a conflict.
    pub(super) fn resume_unanswered(
        &mut self,
        request_id: u32,
        request: Request,
        error: Error,
        now: Instant,
    ) {
        let past = match &request {
            Request::ResumeUpstream(key, _) => self.upstreams.get(key).map(|s| s.attachment.is_past(now)),
            Request::ResumeDownstream(key, _) => self.downstreams.get(key).map(|s| s.attachment.is_past(now)),
            _ => None,
        };
        match (past, request) {
            (None | Some(true), Request::ResumeUpstream(key, close)) => {
                self.disown_upstream(*close);
                self.upstream_gone(key, error, now);
            }
            (None | Some(true), Request::ResumeDownstream(key, stream_id)) => {
                self.disown_downstream(stream_id);
                self.downstream_gone(key, &error, now);
            }
            (_, request) => {
                let deadline = now + self.config.response_timeout;
                self.pending.insert(request_id, Pending { request, deadline });
            }
        }
    }

    /// The server does not have an upstream any more that is attached to this connection. Another is not
    /// asked for at once: it may be forgotten just as quickly.
    pub(super) fn upstream_vanished(&mut self, key: StreamKey, error: Error, now: Instant) {
        let Some(upstream) = self.upstreams.get_mut(&key) else { return };
        self.upstream_aliases.remove(&upstream.alias);
        if !upstream.is_finished() && upstream.forgotten(&mut self.events) {
            let backoff = &mut self.backoff;
            upstream.attachment.retry(now, |level| backoff.delay(level));
        } else {
            let error = (!upstream.is_finished()).then_some(error);
            self.end_upstream(key, error);
        }
    }

    /// The server does not have an upstream any more.
    pub(super) fn upstream_gone(&mut self, key: StreamKey, error: Error, now: Instant) {
        let Some(upstream) = self.upstreams.get_mut(&key) else { return };
        if upstream.is_finished() {
            return self.end_upstream(key, None);
        }
        if upstream.forgotten(&mut self.events) {
            self.ask_for_streams(now);
        } else {
            self.end_upstream(key, Some(error));
        }
    }

    fn downstream_gone(&mut self, key: StreamKey, error: &Error, now: Instant) {
        let Some(downstream) = self.downstreams.get_mut(&key) else { return };
        if downstream.forgotten() {
            self.ask_for_streams(now);
        } else {
            self.end_downstream(key, error);
        }
    }

    pub(super) fn end_upstream(&mut self, key: StreamKey, error: Option<Error>) {
        let Some(upstream) = self.upstreams.remove(&key) else { return };
        if upstream.attachment.is_attached() {
            self.upstream_aliases.remove(&upstream.alias);
        }
        upstream.ended(error.map(Error::fatal), &mut self.events);
    }

    pub(super) fn end_downstream(&mut self, key: StreamKey, error: &Error) {
        let Some(downstream) = self.downstreams.remove(&key) else { return };
        self.downstream_aliases.remove(&downstream.alias);
        downstream.failed(error, &mut self.events);
    }

    /// Time passed for streams that are not attached.
    pub(super) fn handle_detached(&mut self, now: Instant) {
        let overdue = |upstream: &Upstream| !upstream.attachment.is_attached() && upstream.is_overdue(now);
        let keys = self.upstreams.iter().filter(|(_, upstream)| overdue(upstream)).map(|(key, _)| *key);
        for key in keys.collect::<Vec<_>>() {
            let text = "close: there was no connection in time";
            self.end_upstream(key, Some(Error::new(Status::Timeout, text)));
        }
        let expired = |stream_id: Uuid| {
            let text = format!("stream {stream_id}: the connection was lost for longer than it is kept");
            Error::new(Status::ConnectionLost, text)
        };
        let streams = self.upstreams.iter().filter(|(_, s)| s.attachment.is_expired(now));
        for (key, stream_id) in streams.map(|(key, s)| (*key, s.stream_id)).collect::<Vec<_>>() {
            self.upstream_gone(key, expired(stream_id), now);
        }
        let streams = self.downstreams.iter().filter(|(_, s)| s.attachment.is_expired(now));
        for (key, stream_id) in streams.map(|(key, s)| (*key, s.stream_id)).collect::<Vec<_>>() {
            self.downstream_gone(key, &expired(stream_id), now);
        }
        self.ask_for_streams(now);
    }

    /// When a stream that is not attached has something to do.
    pub(super) fn next_attachment(&self) -> Option<Instant> {
        let connected = matches!(self.state, State::Open);
        let upstreams = self.upstreams.values().map(|upstream| &upstream.attachment);
        let downstreams = self.downstreams.values().map(|downstream| &downstream.attachment);
        upstreams.chain(downstreams).filter_map(|attachment| attachment.next_timeout(connected)).min()
    }
}

pub(super) fn alias_twice(what: &str, alias: u32) -> Error {
    Error::new(Status::ProtocolViolation, format!("{what}: the server gave alias {alias} twice"))
}
