//! What the connection does with each message of the peer.

use std::time::Instant;

use super::streams::alias_twice;
use super::{Connection, Request, State};
use crate::core::downstream::Downstream;
use crate::core::event::{Event, Output, StreamKey};
use crate::core::upstream::Upstream;
use crate::core::version;
use crate::error::{Error, Status, printable};
use crate::message::{
    ConnectResponse, Disconnect, DownstreamMetadata, DownstreamOpenResponse, Message, Reply, ResultCode,
    UpstreamCloseRequest, UpstreamOpenResponse,
};

impl Connection {
    /// A message arrived.
    pub fn handle_message(&mut self, message: Message, now: Instant) {
        self.keep_alive.heard(now);
        match self.state {
            State::Closed => return,
            State::Connecting if !matches!(message, Message::ConnectResponse(_) | Message::Disconnect(_)) => {
                let error = Error::new(
                    Status::ProtocolViolation,
                    format!("connect: the server sent {} before ConnectResponse", message.name()),
                );
                return self.link_lost(&error, None, now);
            }
            State::Waiting { .. } | State::Dialling => return,
            _ => {}
        }
        match message {
            Message::ConnectResponse(response) => self.handle_connect_response(response, now),
            Message::Disconnect(disconnect) => self.handle_disconnect(&disconnect, now),
            Message::Ping(request_id) => self.control.push_front(Message::Pong(request_id)),
            Message::Pong(request_id) => self.handle_pong(request_id, now),
            Message::UpstreamOpenResponse(response) => self.handle_upstream_open(response, now),
            Message::UpstreamResumeResponse(response) => self.handle_upstream_resume(response, now),
            Message::DownstreamResumeResponse(response) => self.handle_downstream_resume(response, now),
            Message::UpstreamCloseResponse(reply) => self.handle_upstream_close(&reply),
            Message::UpstreamMetadataAck(reply) => self.handle_metadata_ack(&reply),
            Message::DownstreamOpenResponse(response) => self.handle_downstream_open(&response, now),
            Message::DownstreamCloseResponse(reply) => self.handle_downstream_close(&reply),
            Message::UpstreamChunkAck(ack) => {
                if let Some(&key) = self.upstream_aliases.get(&ack.stream_id_alias)
                    && let Some(upstream) = self.upstreams.get_mut(&key)
                    && let Err(error) = upstream.handle_ack(ack, now, &mut self.events)
                {
                    self.upstream_vanished(key, error, now);
                }
            }
            Message::DownstreamChunk(chunk) => {
                let Some(&key) = self.downstream_aliases.get(&chunk.stream_id_alias) else {
                    return;
                };
                let Some(downstream) = self.downstreams.get_mut(&key) else {
                    return;
                };
                if let Err(error) = downstream.handle_chunk(chunk, now, &mut self.events) {
                    self.fail_downstream(key, &error);
                }
            }
            Message::DownstreamChunkAckComplete(complete) => {
                if let Some(key) = self.downstream_aliases.get(&complete.stream_id_alias)
                    && let Some(downstream) = self.downstreams.get_mut(key)
                {
                    downstream.handle_ack_complete(&complete);
                }
            }
            Message::DownstreamMetadata(metadata) => self.handle_downstream_metadata(metadata, now),
            Message::UpstreamCallAck(ack) => self.calls.handle_ack(&ack, &mut self.events),
            Message::DownstreamCall(call) => self.calls.handle_call(call, &mut self.events),
            // Well-formed messages that a client has no use for are ignored
            // (docs/protocol/behaviour.md §12.5 item 12).
            other => tracing::debug!("ignored a {} from the server", other.name()),
        }
    }

    fn handle_pong(&mut self, request_id: u32, now: Instant) {
        match self.answered(request_id, |request| matches!(request, Request::Ping(_, Some(_)))) {
            Some(Request::Ping(op, Some(left))) => {
                let took = now.saturating_duration_since(left);
                self.keep_alive.measured(took);
                self.done(op, Ok(Output::RoundTrip(took)));
            }
            _ => self.keep_alive.pong(request_id, now),
        }
    }

    /// Something arrived that is no message.
    pub fn handle_malformed(&mut self, reason: &str, now: Instant) {
        let goodbye = Message::Disconnect(Disconnect {
            result_code: ResultCode::MALFORMED_MESSAGE,
            result_string: reason.to_owned(),
        });
        let error =
            Error::new(Status::MalformedMessage, format!("the server sent a malformed message: {reason}"));
        self.link_lost(&error, Some(goodbye), now);
    }

    fn handle_connect_response(&mut self, response: ConnectResponse, now: Instant) {
        let Some(Request::Connect(op)) =
            self.answered(response.request_id, |request| matches!(request, Request::Connect(_)))
        else {
            return self.unexpected("ConnectResponse", response.request_id);
        };
        let refusal = if response.result_code.is_success() {
            version::check(&response.protocol_version).err()
        } else {
            Some(Error::refused("connect", response.result_code, &response.result_string))
        };
        if let Some(error) = refusal {
            if let Some(op) = op {
                self.done(op, Err(error.clone()));
            }
            return self.link_lost(&error, None, now);
        }
        self.state = State::Open;
        self.accepted = true;
        self.tokens = version::has_resume_tokens(&response.protocol_version);
        self.backoff.up(now);
        let protocol_version = response.protocol_version;
        match op {
            Some(op) => {
                self.events.push(Event::Connected { protocol_version });
                self.done(op, Ok(Output::Done));
            }
            None => {
                self.events.push(Event::Reconnected { protocol_version });
                self.back(now);
            }
        }
    }

    fn handle_disconnect(&mut self, disconnect: &Disconnect, now: Instant) {
        let error = Error::refused("connection", disconnect.result_code, &disconnect.result_string);
        let status = match error.status() {
            Status::Refused => Status::Disconnected,
            other => other,
        };
        let detail = match disconnect.result_string.as_str() {
            "" => String::new(),
            text => format!(" ({})", printable(text.as_bytes())),
        };
        let error =
            Error::new(status, format!("the server disconnected: {}{detail}", disconnect.result_code))
                .with_result(disconnect.result_code, &disconnect.result_string);
        self.link_lost(&error, None, now);
    }

    fn handle_upstream_open(&mut self, response: UpstreamOpenResponse, now: Instant) {
        let opens =
            |request: &Request| matches!(request, Request::OpenUpstream(..) | Request::ReopenUpstream(_));
        let request = self.answered(response.request_id, opens);
        if let Some(Request::ReopenUpstream(key)) = request {
            return self.handle_upstream_reopen(key, response);
        }
        let Some(Request::OpenUpstream(op, config)) = request else {
            let ours = |upstream: &Upstream| upstream.stream_id == response.stream_id;
            if response.result_code.is_success() && !self.upstreams.values().any(ours) {
                // The application was told that it failed: nobody else would close it.
                let stream_id = response.stream_id;
                self.disown_upstream(UpstreamCloseRequest { stream_id, ..UpstreamCloseRequest::default() });
            }
            return self.unexpected("UpstreamOpenResponse", response.request_id);
        };
        if !response.result_code.is_success() {
            let error = Error::refused("open upstream", response.result_code, &response.result_string);
            return self.done(op, Err(error));
        }
        if self.upstream_aliases.contains_key(&response.stream_id_alias) {
            let error = alias_twice("open upstream", response.stream_id_alias);
            self.done(op, Err(error.clone()));
            return self.end(Some(&error));
        }
        let key = self.new_key();
        let upstream = Upstream::new(key, *config, response, self.datagrams);
        self.upstream_aliases.insert(upstream.alias, key);
        let opened = upstream.opened();
        self.upstreams.insert(key, upstream);
        self.done(op, Ok(Output::Upstream(opened)));
        if self.closing.is_some() {
            self.close_upstream(None, key, false, now);
        }
    }

    fn handle_upstream_close(&mut self, reply: &Reply) {
        let Some(Request::CloseUpstream(key)) =
            self.answered(reply.request_id, |request| matches!(request, Request::CloseUpstream(_)))
        else {
            return self.unexpected("UpstreamCloseResponse", reply.request_id);
        };
        self.upstream_closed(key, reply_outcome("close upstream", reply));
    }

    pub(super) fn upstream_closed(&mut self, key: StreamKey, outcome: Result<(), Error>) {
        if let Some(upstream) = self.upstreams.remove(&key) {
            self.upstream_aliases.remove(&upstream.alias);
            upstream.ended(outcome.err(), &mut self.events);
        }
    }

    fn handle_metadata_ack(&mut self, reply: &Reply) {
        let Some(Request::Metadata(op, _)) =
            self.answered(reply.request_id, |request| matches!(request, Request::Metadata(..)))
        else {
            return self.unexpected("UpstreamMetadataAck", reply.request_id);
        };
        self.done(op, reply_outcome("send metadata", reply).map(|()| Output::Done));
    }

    fn handle_downstream_open(&mut self, response: &DownstreamOpenResponse, now: Instant) {
        let opens =
            |request: &Request| matches!(request, Request::OpenDownstream(..) | Request::ReopenDownstream(_));
        let request = self.answered(response.request_id, opens);
        if let Some(Request::ReopenDownstream(key)) = request {
            return self.handle_downstream_reopen(key, response, now);
        }
        let Some(Request::OpenDownstream(op, alias, config)) = request else {
            let ours = |downstream: &Downstream| downstream.stream_id == response.stream_id;
            if response.result_code.is_success() && !self.downstreams.values().any(ours) {
                // As for upstreams; its chunks would never be acknowledged either.
                self.disown_downstream(response.stream_id);
            }
            return self.unexpected("DownstreamOpenResponse", response.request_id);
        };
        if !response.result_code.is_success() {
            let error = Error::refused("open downstream", response.result_code, &response.result_string);
            return self.done(op, Err(error));
        }
        let key = self.new_key();
        let downstream = Downstream::new(key, alias, *config, response);
        let opened = downstream.opened();
        self.downstream_aliases.insert(alias, key);
        self.downstreams.insert(key, downstream);
        self.done(op, Ok(Output::Downstream(opened)));
        if self.closing.is_some() {
            self.close_downstream(None, key, now);
        }
    }

    fn handle_downstream_metadata(&mut self, metadata: DownstreamMetadata, now: Instant) {
        let key = self.downstream_aliases.get(&metadata.stream_id_alias).copied();
        let keys: Vec<StreamKey> = if metadata.stream_id_alias == 0 {
            // Old brokers do not say which stream it is for, only which node it is about, and take an
            // acknowledgement from each reader of that (docs/protocol/messages.md §4.4, §10 item 10).
            let readers =
                self.downstreams.iter().filter(|(_, stream)| stream.reads(&metadata.source_node_id));
            readers.map(|(key, _)| *key).collect()
        } else {
            key.into_iter().collect()
        };
        for key in keys {
            if let Some(downstream) = self.downstreams.get_mut(&key)
                && let Err(error) =
                    downstream.handle_metadata(metadata.clone(), self.link, now, &mut self.events)
            {
                self.fail_downstream(key, &error);
            }
        }
    }

    fn handle_downstream_close(&mut self, reply: &Reply) {
        match self.answered(reply.request_id, |request| matches!(request, Request::CloseDownstream(_))) {
            Some(Request::CloseDownstream(key)) => {
                self.downstream_closed(key, reply_outcome("close downstream", reply));
            }
            // The answer for a stream that failed here is of no interest to anybody.
            _ => tracing::debug!("answer to the close request of a failed downstream"),
        }
    }

    pub(super) fn downstream_closed(&mut self, key: StreamKey, outcome: Result<(), Error>) {
        if let Some(downstream) = self.downstreams.remove(&key) {
            self.downstream_aliases.remove(&downstream.alias);
            downstream.closed(outcome, &mut self.events);
        }
    }
}

fn reply_outcome(what: &str, reply: &Reply) -> Result<(), Error> {
    if reply.result_code.is_success() {
        Ok(())
    } else {
        Err(Error::refused(what, reply.result_code, &reply.result_string))
    }
}
