//! Close, loss, resume and expiry of upstreams (docs/protocol/behaviour.md §11 items 41 to 47).

use std::time::Instant;

use iscp::message::{
    Message, Metadata, Qos, Reply, ResultCode, UpstreamCloseRequest, UpstreamResumeRequest,
    UpstreamResumeResponse,
};
use tracing::{debug, info};

use crate::core::arena::Key;
use crate::core::resume::{self, Stream};
use crate::core::timers::Timer;
use crate::core::{Broker, ConnId};

impl Broker {
    pub(in crate::core) fn close_upstream(
        &mut self,
        conn: ConnId,
        request: UpstreamCloseRequest,
        now: Instant,
    ) {
        let reply = |result_code, text: &str| {
            Message::UpstreamCloseResponse(Reply {
                request_id: request.request_id,
                result_code,
                result_string: text.to_owned(),
            })
        };
        let key = self.upstream_ids.get(&request.stream_id).copied();
        let node = self.session(conn).map(|session| session.node);
        let upstream = key.and_then(|key| self.upstreams.get_mut(key));
        let (Some(key), Some(upstream)) = (key, upstream) else {
            // Success, or Go would not report the stream as closed after a failed resume
            // (docs/protocol/behaviour.md §11 item 41).
            let response = reply(ResultCode::SUCCEEDED, "no such stream: nothing to close");
            return self.answer(conn, response, now);
        };
        match upstream.tie.connection {
            Some(other) if other != conn => {
                let response =
                    reply(ResultCode::STREAM_NOT_FOUND, "the stream belongs to another connection");
                return self.answer(conn, response, now);
            }
            // After a failed resume a client closes the stream of its earlier connection.
            None if Some(upstream.node) != node => {
                let response = reply(ResultCode::STREAM_NOT_FOUND, "the stream belongs to another node");
                return self.answer(conn, response, now);
            }
            None => {
                upstream.closing = Some(request.clone());
                self.answer(conn, reply(ResultCode::SUCCEEDED, "OK"), now);
                return self.finish_close(key, now);
            }
            Some(_) => {}
        }
        if upstream.closing.is_some() {
            let response = reply(ResultCode::PROTOCOL_ERROR, "the stream is being closed");
            return self.answer(conn, response, now);
        }
        upstream.closing = Some(request);
        if upstream.is_complete() {
            self.finish_close(key, now);
        } else {
            // Datagrams that are still missing are lost, or not much later than the request.
            let timing = &self.config.timing;
            let wait = if upstream.is_ordered() { timing.close_wait } else { timing.reorder_wait };
            self.timers.set(Timer::UpstreamClose(key), now + wait);
        }
    }

    /// Closes an upstream for which a close request came: forwards and acknowledges what there is,
    /// answers, tells the readers.
    pub(in crate::core) fn finish_close(&mut self, key: Key, now: Instant) {
        while self.skip_gap(key) {}
        let Some(upstream) = self.upstreams.get_mut(key) else {
            return;
        };
        let Some(request) = upstream.closing.take() else {
            return;
        };
        let connection = upstream.tie.connection;
        let acks: Vec<_> = std::iter::from_fn(|| upstream.take_acks()).collect();
        let metadata = Metadata::UpstreamNormalClose {
            stream_id: upstream.info.stream_id,
            session_id: upstream.info.session_id.clone(),
            total_data_points: request.total_data_points,
            final_sequence_number: request.final_sequence_number,
        };
        if let Some(conn) = connection {
            for acks in acks {
                self.answer(conn, acks, now);
            }
            let response = Message::UpstreamCloseResponse(Reply {
                request_id: request.request_id,
                result_code: ResultCode::SUCCEEDED,
                result_string: "OK".to_owned(),
            });
            self.answer(conn, response, now);
        }
        self.remove_upstream(key, metadata);
    }

    /// Takes a close request that waits for missing chunks for not received: its client sends them, and it, again
    /// to the restored broker.
    pub(in crate::core) fn forget_close(&mut self, key: Key) {
        if let Some(upstream) = self.upstreams.get_mut(key) {
            upstream.closing = None;
        }
    }

    /// The connection of an upstream is gone.
    pub(in crate::core) fn detach_upstream(&mut self, key: Key, now: Instant) {
        let Some(upstream) = self.upstreams.get_mut(key) else {
            return;
        };
        upstream.tie.connection = None;
        upstream.forget_acks();
        let (closing, reliable) = (upstream.closing.is_some(), upstream.qos == Qos::Reliable);
        self.timers.clear(Timer::UpstreamAck(key));
        if reliable {
            self.timers.clear(Timer::UpstreamReorder(key));
        }
        if closing {
            self.finish_close(key, now);
        } else {
            self.await_resume(Stream::Upstream(key), now);
        }
    }

    /// Gives up an upstream whose connection is gone.
    pub(in crate::core) fn expire_upstream(&mut self, key: Key, _now: Instant) {
        while self.skip_gap(key) {}
        let Some(upstream) = self.upstreams.get(key) else {
            return;
        };
        let metadata = Metadata::UpstreamAbnormalClose {
            stream_id: upstream.info.stream_id,
            session_id: upstream.info.session_id.clone(),
        };
        self.remove_upstream(key, metadata);
    }

    fn remove_upstream(&mut self, key: Key, metadata: Metadata) {
        let Some(upstream) = self.upstreams.remove(key) else {
            return;
        };
        info!(stream = %upstream.info.stream_id, node = %upstream.info.source_node_id, "upstream ended");
        self.announce(upstream.node, metadata, Some(key));
        self.upstream_ids.remove(&upstream.info.stream_id);
        self.upstream_aliases.remove(&upstream.alias);
        match upstream.tie.connection {
            Some(conn) => {
                if let Some(session) = self.session_mut(conn) {
                    session.upstreams.retain(|other| *other != key);
                }
            }
            None => self.detached.remove(&upstream.tie.owner, Stream::Upstream(key)),
        }
        if let Some(node) = self.nodes.get_mut(upstream.node) {
            node.remove_upstream(key);
        }
        self.nodes.release(upstream.node);
        for timer in [
            Timer::UpstreamAck(key),
            Timer::UpstreamReorder(key),
            Timer::UpstreamClose(key),
            Timer::UpstreamExpiry(key),
        ] {
            self.timers.clear(timer);
        }
    }

    pub(in crate::core) fn resume_upstream(
        &mut self,
        conn: ConnId,
        request: UpstreamResumeRequest,
        now: Instant,
    ) {
        let id = request.stream_id;
        let mut response =
            UpstreamResumeResponse { request_id: request.request_id, ..UpstreamResumeResponse::default() };
        let key = self.upstream_ids.get(&id).copied();
        let outcome = self.attach_upstream(conn, key, &request.resume_token, now);
        match &outcome {
            Ok((alias, token)) => {
                response.stream_id_alias = *alias;
                response.resume_token.clone_from(token);
                response.result_string = "OK".to_owned();
                info!(conn = conn.0, stream = %id, "upstream resumed");
            }
            Err((code, text)) => {
                response.result_code = *code;
                response.result_string = format!("upstream {id}: {text}");
                debug!(conn = conn.0, %code, reason = %response.result_string, "resume refused");
            }
        }
        self.answer(conn, Message::UpstreamResumeResponse(response), now);
        if let Some(key) = key.filter(|_| outcome.is_ok())
            && let Some(upstream) = self.upstreams.get(key)
        {
            let metadata = Metadata::UpstreamResume {
                stream_id: id,
                session_id: upstream.info.session_id.clone(),
                qos: upstream.qos,
            };
            let asks = upstream.has_acks();
            self.announce(upstream.node, metadata, None);
            if asks {
                self.send_acks(key, now);
            }
            self.schedule_reorder(key);
        }
    }

    /// Gives an upstream to a connection. Its alias stays the same: TypeScript never adopts another one, and
    /// Rust sends again with the old one (docs/protocol/behaviour.md §11 item 27).
    fn attach_upstream(
        &mut self,
        conn: ConnId,
        key: Option<Key>,
        given: &str,
        now: Instant,
    ) -> Result<(u32, String), resume::Refusal> {
        let found = key.and_then(|key| Some((key, self.upstreams.get(key)?)));
        self.check_resume(conn, found.map(|(_, upstream)| &upstream.tie), given)?;
        let Some((key, upstream)) = found else { return Err(resume::NO_SUCH_STREAM) };
        if upstream.closing.is_some() {
            // The client has no use for it any more; had its connection been known to be lost, it would
            // be closed by now.
            self.finish_close(key, now);
            return Err(resume::NO_SUCH_STREAM);
        }
        let same_connection = upstream.tie.connection == Some(conn);
        let token = self.retie(conn, Stream::Upstream(key), given).ok_or(resume::NO_SUCH_STREAM)?;
        let recovers_until = now + self.config.timing.recovery;
        self.timers.clear(Timer::UpstreamExpiry(key));
        self.timers.clear(Timer::UpstreamAck(key));
        self.timers.clear(Timer::UpstreamReorder(key));
        if let Some(session) = self.session_mut(conn) {
            session.upstreams.push(key);
        }
        let upstream = self.upstreams.get_mut(key).ok_or(resume::NO_SUCH_STREAM)?;
        if same_connection {
            // What waits is sent behind the answer.
            upstream.ack_queued = false;
        } else {
            upstream.forget_acks();
        }
        upstream.recovers_until = Some(recovers_until);
        Ok((upstream.alias, token))
    }
}
