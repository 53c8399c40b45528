//! Close, loss, resume and expiry of downstreams (docs/protocol/behaviour.md §11 items 58 to 60, 74).

use std::sync::Arc;
use std::time::Instant;

use iscp::message::{
    DownstreamCloseRequest, DownstreamResumeRequest, DownstreamResumeResponse, Message, Metadata, Reply,
    ResultCode,
};
use tracing::{debug, info, warn};

use crate::core::arena::Key;
use crate::core::resume::{self, Stream};
use crate::core::timers::Timer;
use crate::core::version::Version;
use crate::core::{Broker, ConnId};

impl Broker {
    pub(in crate::core) fn close_downstream(
        &mut self,
        conn: ConnId,
        request: DownstreamCloseRequest,
        now: Instant,
    ) {
        let key = self.downstream_ids.get(&request.stream_id).copied();
        let own_node = self.session(conn).map(|session| Arc::clone(&session.node_id));
        let downstream = key.and_then(|key| self.downstreams.get(key));
        let mut closes = None;
        let (result_code, text) = match (key, downstream) {
            (Some(key), Some(downstream)) => match downstream.tie.connection {
                Some(other) if other != conn => {
                    (ResultCode::STREAM_NOT_FOUND, "the stream belongs to another connection")
                }
                None if Some(&downstream.tie.owner) != own_node.as_ref() => {
                    (ResultCode::STREAM_NOT_FOUND, "the stream belongs to another node")
                }
                _ => {
                    closes = Some(key);
                    (ResultCode::SUCCEEDED, "OK")
                }
            },
            // As for upstreams: Go closes a stream that it could not resume.
            _ => (ResultCode::SUCCEEDED, "no such stream: nothing to close"),
        };
        if let Some(key) = closes {
            let metadata = Metadata::DownstreamNormalClose { stream_id: request.stream_id };
            self.remove_downstream(key, metadata);
        }
        let response = Message::DownstreamCloseResponse(Reply {
            request_id: request.request_id,
            result_code,
            result_string: text.to_owned(),
        });
        self.answer(conn, response, now);
    }

    /// Closes a downstream whose client reads too slowly, or has not come back in time. A connected client
    /// learns of it by the end of its connection: there is no message for the end of one stream.
    pub(in crate::core) fn close_overrun(&mut self, key: Key, reason: String, now: Instant) {
        let Some(downstream) = self.downstreams.get(key) else { return };
        warn!(downstream = %downstream.id, reason, "downstream closed");
        let connection = downstream.tie.connection;
        self.expire_downstream(key, now);
        if let Some(conn) = connection {
            self.doomed.push((conn, ResultCode::ACK_TIMEOUT, reason));
        }
    }

    /// The connection of a downstream is gone. It goes on collecting what it reads.
    pub(in crate::core) fn detach_downstream(&mut self, key: Key, now: Instant) {
        let Some(downstream) = self.downstreams.get_mut(key) else {
            return;
        };
        downstream.tie.connection = None;
        downstream.has_turn = false;
        downstream.forget_lossy();
        self.detached.bytes += downstream.held_bytes();
        self.timers.clear(Timer::DownstreamOpen(key));
        self.await_resume(Stream::Downstream(key), now);
    }

    /// Takes a downstream out of the nodes it reads.
    fn unsubscribe(&mut self, key: Key) {
        let Some(downstream) = self.downstreams.get_mut(key) else {
            return;
        };
        for node in std::mem::take(&mut downstream.nodes) {
            if let Some(node) = self.nodes.get_mut(node) {
                node.remove_reader(key);
            }
            self.nodes.release(node);
        }
    }

    /// Gives up a downstream whose connection is gone.
    pub(in crate::core) fn expire_downstream(&mut self, key: Key, _now: Instant) {
        if let Some(downstream) = self.downstreams.get(key) {
            let metadata = Metadata::DownstreamAbnormalClose { stream_id: downstream.id };
            self.remove_downstream(key, metadata);
        }
    }

    fn remove_downstream(&mut self, key: Key, metadata: Metadata) {
        self.unsubscribe(key);
        let Some(mut downstream) = self.downstreams.remove(key) else {
            return;
        };
        self.release_all(key, &mut downstream.holds);
        info!(stream = %downstream.id, node = %downstream.tie.owner, dropped = downstream.dropped, "downstream ended");
        self.downstream_ids.remove(&downstream.id);
        match downstream.tie.connection {
            Some(conn) => {
                if let Some(session) = self.session_mut(conn) {
                    session.downstreams.remove(&downstream.alias);
                }
            }
            None => {
                self.detached.bytes -= downstream.held_bytes();
                self.detached.remove(&downstream.tie.owner, Stream::Downstream(key));
            }
        }
        self.timers.clear(Timer::DownstreamOpen(key));
        self.timers.clear(Timer::DownstreamExpiry(key));
        if let Some(node) = self.nodes.find(&downstream.tie.owner) {
            self.announce(node, metadata, None);
        }
    }

    pub(in crate::core) fn resume_downstream(
        &mut self,
        conn: ConnId,
        request: DownstreamResumeRequest,
        now: Instant,
    ) {
        let id = request.stream_id;
        let mut response = DownstreamResumeResponse {
            request_id: request.request_id,
            ..DownstreamResumeResponse::default()
        };
        let key = self.downstream_ids.get(&id).copied();
        let outcome = self.attach_downstream(conn, key, &request, now);
        match &outcome {
            Ok(token) => {
                response.resume_token.clone_from(token);
                response.result_string = "OK".to_owned();
                info!(conn = conn.0, stream = %id, "downstream resumed");
            }
            Err((code, text)) => {
                response.result_code = *code;
                response.result_string = format!("downstream {id}: {text}");
                debug!(conn = conn.0, %code, reason = %response.result_string, "resume refused");
            }
        }
        self.answer(conn, Message::DownstreamResumeResponse(response), now);
        if let Some(key) = key.filter(|_| outcome.is_ok())
            && let Some(downstream) = self.downstreams.get(key)
            && let Some(node) = self.nodes.find(&downstream.tie.owner)
        {
            let metadata = Metadata::DownstreamResume {
                stream_id: id,
                filters: downstream.filters.clone(),
                qos: downstream.qos,
            };
            self.announce(node, metadata, None);
        }
    }

    /// Gives a downstream to a connection, under the alias the client wants now.
    fn attach_downstream(
        &mut self,
        conn: ConnId,
        key: Option<Key>,
        request: &DownstreamResumeRequest,
        now: Instant,
    ) -> Result<String, resume::Refusal> {
        let found = key.and_then(|key| Some((key, self.downstreams.get(key)?)));
        self.check_resume(conn, found.map(|(_, downstream)| &downstream.tie), &request.resume_token)?;
        let (Some((key, downstream)), Some(session)) = (found, self.session(conn)) else {
            return Err(resume::NO_SUCH_STREAM);
        };
        let alias = request.desired_stream_id_alias;
        if session.downstreams.get(&alias).is_some_and(|other| *other != key) {
            return Err((ResultCode::PROTOCOL_ERROR, "the stream id alias is in use on this connection"));
        }
        let tell_filters = session.version >= Version::V3;
        if downstream.tie.connection.is_none() {
            self.detached.bytes -= downstream.held_bytes();
        }
        let token =
            self.retie(conn, Stream::Downstream(key), &request.resume_token).ok_or(resume::NO_SUCH_STREAM)?;
        if let Some(session) = self.session_mut(conn) {
            session.downstreams.insert(alias, key);
        }
        if let Some(downstream) = self.downstreams.get_mut(key) {
            downstream.alias = alias;
            downstream.tell_filters = tell_filters;
            downstream.has_turn = false;
            downstream.held = true;
            downstream.rewind();
            downstream.holds.resume();
        }
        self.timers.clear(Timer::DownstreamExpiry(key));
        self.timers.set(Timer::DownstreamOpen(key), now + self.config.timing.open_gap);
        Ok(token)
    }
}
