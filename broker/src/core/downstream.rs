//! Downstreams: opening, queue, acks, closing, expiry (docs/protocol/behaviour.md §11.3, §11.7).

use std::collections::{HashMap, VecDeque};
use std::rc::Rc;
use std::time::Instant;

use iscp::message::{
    DataPointGroup, DownstreamChunk, DownstreamChunkAck, DownstreamChunkAckComplete, DownstreamCloseRequest,
    DownstreamFilter, DownstreamMetadata, DownstreamOpenRequest, DownstreamOpenResponse,
    DownstreamResumeRequest, DownstreamResumeResponse, Message, Metadata, OrAlias, Qos, Reply, ResultCode,
    StreamChunk, UpstreamInfo,
};
use tracing::{debug, info, warn};
use uuid::Uuid;

use super::aliases::{AliasError, DownstreamIds};
use super::arena::Key;
use super::connection::RequestIds;
use super::metadata::Event;
use super::resume::{self, Stream, Tie};
use super::routing::Routed;
use super::subscription::Source;
use super::timers::Timer;
use super::version::Version;
use super::{Broker, ConnId, Limits, environment, filter, outbox};

/// A downstream, with or without a connection.
#[derive(Debug)]
pub(super) struct Downstream {
    pub(super) id: Uuid,
    pub(super) tie: Tie,
    /// Listed among the turns of its connection.
    pub(super) has_turn: bool,
    alias: u32,
    qos: Qos,
    omit_empty_chunk: bool,
    /// The client understands filter references.
    tell_filters: bool,
    filters: Vec<DownstreamFilter>,
    /// Nodes of the filters.
    nodes: Vec<Key>,
    ids: DownstreamIds,
    sources: HashMap<Key, Source>,
    /// Chunks and metadata wait apart, so that old chunks can be dropped, and leave in the order of
    /// their numbers.
    chunks: VecDeque<QueuedChunk>,
    metadata: VecDeque<(u64, Rc<Event>)>,
    next_number: u64,
    queued_bytes: usize,
    /// Chunks of a RELIABLE downstream that the client has not acknowledged.
    unacked: VecDeque<QueuedChunk>,
    unacked_bytes: usize,
    /// Chunks that were not acknowledged on an earlier connection; they go first.
    resend: VecDeque<QueuedChunk>,
    resend_bytes: usize,
    window: usize,
    window_bytes: usize,
    /// Just opened or resumed: the client may not be ready yet.
    held: bool,
    /// Something found no room. Nothing is taken any more: there would be a gap before it.
    overrun: bool,
    dropped: u64,
}

#[derive(Debug)]
struct QueuedChunk {
    number: u64,
    upstream: Key,
    info: Rc<UpstreamInfo>,
    chunk: Rc<Routed>,
    /// Which groups are for this downstream; `None` for all.
    selection: Option<Box<[u32]>>,
}

/// What became of a chunk offered to a downstream.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Offer {
    /// It is not wanted.
    Omitted,
    /// It waits to be sent; so many older ones were dropped for it.
    Queued { dropped: u64 },
    /// It may not be dropped and there is no room.
    Overflow,
}

/// Memory that a piece of metadata takes in a queue, in estimate; its content is shared.
const EVENT_BYTES: usize = 256;

impl Downstream {
    /// Queues the part of a chunk that the filters let through. Without a connection only a RELIABLE
    /// downstream does so, `room` bytes at most.
    pub(super) fn offer(
        &mut self,
        upstream: Key,
        info: &Rc<UpstreamInfo>,
        chunk: &Rc<Routed>,
        limits: &Limits,
        room: usize,
    ) -> Offer {
        let reliable = self.qos == Qos::Reliable;
        if self.overrun || (!reliable && self.tie.connection.is_none()) {
            return Offer::Omitted;
        }
        let source = self.sources.entry(upstream).or_default();
        let node = &info.source_node_id;
        let mut matched = Vec::new();
        let mut all = true;
        for (i, group) in chunk.groups.iter().enumerate() {
            if source.matches(&self.filters, node, group) {
                if !all {
                    matched.push(i as u32);
                }
            } else if all {
                all = false;
                matched.extend(0..i as u32);
            }
        }
        if self.omit_empty_chunk && (chunk.groups.is_empty() || (!all && matched.is_empty())) {
            return Offer::Omitted;
        }
        let full = self.queued_bytes + chunk.bytes > limits.reliable_queue_bytes && !self.chunks.is_empty();
        if reliable && (full || chunk.bytes > room) {
            self.overrun = true;
            return Offer::Overflow;
        }
        self.queued_bytes += chunk.bytes;
        let number = self.number();
        self.chunks.push_back(QueuedChunk {
            number,
            upstream,
            info: Rc::clone(info),
            chunk: Rc::clone(chunk),
            selection: (!all).then(|| matched.into()),
        });
        let dropped = if reliable { 0 } else { self.drop_oldest(limits) };
        Offer::Queued { dropped }
    }

    /// Makes room by dropping what has waited longest.
    fn drop_oldest(&mut self, limits: &Limits) -> u64 {
        let mut dropped = 0;
        while self.queued_bytes > limits.lossy_queue_bytes && self.chunks.len() > 1 {
            if let Some(oldest) = self.chunks.pop_front() {
                self.queued_bytes -= oldest.chunk.bytes;
                dropped += 1;
            }
        }
        if dropped > 0 {
            let before = self.dropped;
            self.dropped += dropped;
            // A line for each power of two: a consumer that is too slow drops without end.
            if before.checked_ilog2() != self.dropped.checked_ilog2() {
                warn!(downstream = %self.id, dropped = self.dropped, "slow consumer, chunks dropped");
            }
        }
        dropped
    }

    fn number(&mut self) -> u64 {
        self.next_number += 1;
        self.next_number
    }

    /// Queues metadata, of which `room` bytes may be taken. Returns whether it is missing now.
    #[must_use]
    fn push_metadata(&mut self, event: &Rc<Event>, limits: &Limits, room: usize) -> bool {
        if self.overrun {
            return false;
        }
        if self.metadata.len() >= limits.metadata_queue || EVENT_BYTES > room {
            self.overrun = true;
            return true;
        }
        let number = self.number();
        self.metadata.push_back((number, Rc::clone(event)));
        false
    }

    /// What all that waits takes, and what is kept to be sent again.
    fn held_bytes(&self) -> usize {
        self.queued_bytes + self.unacked_bytes + self.resend_bytes + self.metadata.len() * EVENT_BYTES
    }

    /// Drops what is not kept for a client that has lost its connection: only RELIABLE data is.
    fn forget_lossy(&mut self) {
        if self.qos != Qos::Reliable {
            self.chunks = VecDeque::new();
            self.queued_bytes = 0;
        }
    }

    /// Starts over on a new connection: what was not acknowledged is sent again, before everything else and
    /// in its order.
    fn rewind(&mut self) {
        let mut resend = std::mem::take(&mut self.unacked);
        resend.append(&mut self.resend);
        self.resend = resend;
        self.resend_bytes += std::mem::take(&mut self.unacked_bytes);
    }

    /// Whether the downstream is to be listed among the turns of its connection, which is then done.
    pub(super) fn take_turn(&mut self) -> bool {
        !self.held && !std::mem::replace(&mut self.has_turn, true)
    }

    /// Next message of the downstream. Metadata and data keep the order in which they were queued
    /// (docs/protocol/behaviour.md §11 item 63).
    pub(super) fn next_message(&mut self, request_ids: &mut RequestIds) -> Option<Message> {
        if self.held {
            return None;
        }
        if !self.resend.is_empty() {
            if self.window_is_full() {
                return None;
            }
            let again = outbox::pop(&mut self.resend)?;
            self.resend_bytes -= again.chunk.bytes;
            return Some(self.dispatch_chunk(again));
        }
        let chunk = self.chunks.front().map_or(u64::MAX, |queued| queued.number);
        if self.metadata.front().is_some_and(|(number, _)| *number < chunk) {
            let (_, event) = outbox::pop(&mut self.metadata)?;
            // The last of an upstream: none of its chunks waits any more.
            if let Some(upstream) = event.ends {
                self.sources.remove(&upstream);
            }
            return Some(Message::DownstreamMetadata(DownstreamMetadata {
                request_id: request_ids.next(),
                stream_id_alias: self.alias,
                source_node_id: event.source_node_id.to_string(),
                metadata: event.metadata.clone(),
            }));
        }
        if self.qos == Qos::Reliable && self.window_is_full() {
            return None;
        }
        let queued = outbox::pop(&mut self.chunks)?;
        self.queued_bytes -= queued.chunk.bytes;
        Some(self.dispatch_chunk(queued))
    }

    /// The message for a chunk, which is kept until it is acknowledged if it must not be lost.
    fn dispatch_chunk(&mut self, queued: QueuedChunk) -> Message {
        let message = Message::DownstreamChunk(self.build(&queued));
        if self.qos == Qos::Reliable {
            self.unacked_bytes += queued.chunk.bytes;
            self.unacked.push_back(queued);
        }
        message
    }

    pub(super) fn qos(&self) -> Qos {
        self.qos
    }

    pub(super) fn is_unreliable(&self) -> bool {
        self.qos == Qos::Unreliable
    }

    /// Whether the next message is a chunk that certainly goes by datagram if those take messages of at most
    /// `limit` bytes. In JSON its payloads take a third more.
    pub(super) fn fits_datagrams(&self, limit: usize) -> bool {
        let number = self.metadata.front().map_or(u64::MAX, |(number, _)| *number);
        let next = self.chunks.front().filter(|queued| queued.number < number);
        self.is_unreliable() && !self.held && next.is_some_and(|queued| queued.chunk.bytes <= limit / 3 * 2)
    }

    /// Whether nothing waits to be sent.
    pub(super) fn is_idle(&self) -> bool {
        self.resend.is_empty() && self.chunks.is_empty() && self.metadata.is_empty()
    }

    fn window_is_full(&self) -> bool {
        self.unacked.len() >= self.window || self.unacked_bytes >= self.window_bytes
    }

    /// The message for a chunk, with the aliases known by now.
    fn build(&mut self, queued: &QueuedChunk) -> DownstreamChunk {
        // A chunk that is sent again may be of an upstream that has ended.
        let mut ended = Source::default();
        let source = self.sources.get_mut(&queued.upstream).unwrap_or(&mut ended);
        let node = &queued.info.source_node_id;
        let count = queued.selection.as_ref().map_or(queued.chunk.groups.len(), |selection| selection.len());
        let mut groups = Vec::with_capacity(count);
        let mut filter_references = Vec::with_capacity(if self.tell_filters { count } else { 0 });
        for i in 0..count {
            let index = queued.selection.as_ref().map_or(i, |selection| selection[i] as usize);
            let group = &queued.chunk.groups[index];
            let data_id = match source.id_alias(&self.ids, group) {
                Some(alias) => OrAlias::Alias(alias),
                None => OrAlias::Full((*group.id).clone()),
            };
            groups.push(DataPointGroup { data_id, points: group.points.clone() });
            if self.tell_filters {
                filter_references.push(source.references(&self.filters, node, group));
            }
        }
        DownstreamChunk {
            stream_id_alias: self.alias,
            upstream: match source.alias {
                Some(alias) => OrAlias::Alias(alias),
                None => OrAlias::Full((*queued.info).clone()),
            },
            chunk: StreamChunk { sequence_number: queued.chunk.sequence_number, groups },
            filter_references,
        }
    }

    /// Takes note that the client has a chunk.
    fn acknowledge(&mut self, stream_id: Uuid, sequence_number: u32) {
        // Clients acknowledge in order, so this is nearly always the first.
        let is_it = |queued: &QueuedChunk| {
            queued.info.stream_id == stream_id && queued.chunk.sequence_number == sequence_number
        };
        if let Some(chunk) = self.unacked.iter().position(is_it).and_then(|at| self.unacked.remove(at)) {
            self.unacked_bytes -= chunk.chunk.bytes;
        } else if let Some(chunk) = self.resend.iter().position(is_it).and_then(|at| self.resend.remove(at)) {
            // It had it before its connection was lost.
            self.resend_bytes -= chunk.chunk.bytes;
        }
    }
}

impl Broker {
    pub(super) fn open_downstream(&mut self, conn: ConnId, request: DownstreamOpenRequest, now: Instant) {
        let request_id = request.request_id;
        if let Err((result_code, result_string)) = self.check_downstream(conn, &request) {
            debug!(conn = conn.0, code = %result_code, reason = %result_string, "downstream refused");
            let refusal = DownstreamOpenResponse {
                request_id,
                result_code,
                result_string,
                ..DownstreamOpenResponse::default()
            };
            return self.answer(conn, Message::DownstreamOpenResponse(refusal), now);
        }
        let Some(version) = self.session(conn).map(|session| session.version) else { return };
        let id = environment::new_uuid(self.environment.as_mut());
        let Some((tie, resume_token)) = self.tie(conn, request.expiry_interval_s, now) else { return };
        let owner = Rc::clone(&tie.owner);
        let mut ids = DownstreamIds::default();
        // Conflicts and excess were refused above.
        let _ = ids.learn(request.data_id_aliases, self.config.limits.data_ids);
        let mut nodes: Vec<Key> = Vec::new();
        for filter in &request.filters {
            let node = self.nodes.enter(&filter.source_node_id);
            if !nodes.contains(&node) {
                nodes.push(node);
            }
        }
        let metadata =
            Metadata::DownstreamOpen { stream_id: id, filters: request.filters.clone(), qos: request.qos };
        let key = self.downstreams.insert(Downstream {
            id,
            tie,
            has_turn: false,
            alias: request.desired_stream_id_alias,
            qos: request.qos,
            omit_empty_chunk: request.omit_empty_chunk,
            tell_filters: version >= Version::V3,
            filters: request.filters,
            nodes: nodes.clone(),
            ids,
            sources: HashMap::new(),
            chunks: VecDeque::new(),
            metadata: VecDeque::new(),
            next_number: 0,
            queued_bytes: 0,
            unacked: VecDeque::new(),
            unacked_bytes: 0,
            resend: VecDeque::new(),
            resend_bytes: 0,
            window: self.config.limits.reliable_window.max(1),
            window_bytes: self.config.limits.reliable_window_bytes.max(1),
            held: true,
            overrun: false,
            dropped: 0,
        });
        self.downstream_ids.insert(id, key);
        if let Some(session) = self.session_mut(conn) {
            session.downstreams.insert(request.desired_stream_id_alias, key);
        }
        for node in &nodes {
            if let Some(node) = self.nodes.get_mut(*node) {
                node.readers.push(key);
            }
        }
        info!(conn = conn.0, stream = %id, node = %owner, "downstream opened");
        let response = DownstreamOpenResponse {
            request_id,
            stream_id: id,
            server_time_ns: self.environment.unix_time_ns(now).max(0),
            result_code: ResultCode::SUCCEEDED,
            result_string: "OK".to_owned(),
            resume_token,
        };
        self.answer(conn, Message::DownstreamOpenResponse(response), now);
        // What comes now waits a moment: Rust and TypeScript register a stream only after they have
        // processed the answer (docs/protocol/behaviour.md §11 item 50).
        self.timers.set(Timer::DownstreamOpen(key), now + self.config.timing.open_gap);
        if self.config.replay_metadata {
            self.replay(key, &nodes);
        }
        if let Some(node) = self.nodes.find(&owner) {
            self.announce(node, metadata, None);
        }
    }

    fn check_downstream(
        &self,
        conn: ConnId,
        request: &DownstreamOpenRequest,
    ) -> Result<(), (ResultCode, String)> {
        let limits = &self.config.limits;
        self.check_stream_limits(conn, request.qos, request.expiry_interval_s)?;
        let alias = request.desired_stream_id_alias;
        if self.session(conn).is_some_and(|session| session.downstreams.contains_key(&alias)) {
            let text = format!("stream id alias {alias} is in use on this connection");
            return Err((ResultCode::PROTOCOL_ERROR, text));
        }
        if request.filters.len() > limits.filters {
            let text = format!("more than {} filters", limits.filters);
            return Err((ResultCode::TOO_MANY_DOWNSTREAM_FILTERS, text));
        }
        let data_filters = request.filters.iter().map(|filter| filter.data_filters.len());
        if data_filters.sum::<usize>() > limits.data_filters {
            let text = format!("more than {} data filters", limits.data_filters);
            return Err((ResultCode::TOO_MANY_DATA_FILTERS, text));
        }
        let texts = request.filters.iter().map(|filter| {
            let data = filter.data_filters.iter().map(|data| data.name.len() + data.kind.len());
            filter.source_node_id.len() + data.sum::<usize>()
        });
        if texts.sum::<usize>() > limits.filter_bytes {
            let text = format!("filters with more than {} bytes together", limits.filter_bytes);
            return Err((ResultCode::TOO_MANY_DATA_FILTERS, text));
        }
        if request.data_id_aliases.len() > limits.data_ids {
            let text = format!("more than {} data id aliases", limits.data_ids);
            return Err((ResultCode::TOO_MANY_DATA_ID_ALIASES, text));
        }
        for id in request.data_id_aliases.values() {
            filter::check_data_id(id, limits.name_bytes)
                .map_err(|text| (ResultCode::INVALID_DATA_ID, text))?;
        }
        for (i, filter) in request.filters.iter().enumerate() {
            let invalid = |text| (ResultCode::INVALID_DATA_FILTER, format!("filter {i}: {text}"));
            let too_long = || invalid(format!("more than {} bytes in a text", limits.name_bytes));
            if filter.source_node_id.len() > limits.name_bytes {
                return Err(too_long());
            }
            for data in &filter.data_filters {
                for pattern in [&data.name, &data.kind] {
                    if pattern.len() > limits.name_bytes {
                        return Err(too_long());
                    }
                    filter::check_pattern(pattern).map_err(invalid)?;
                }
            }
        }
        Ok(())
    }

    /// Lets a new downstream send.
    pub(super) fn release_downstream(&mut self, key: Key) {
        if let Some(downstream) = self.downstreams.get_mut(key) {
            downstream.held = false;
        }
        self.give_turn(key);
    }

    /// Lists a downstream among the turns of its connection.
    pub(super) fn give_turn(&mut self, key: Key) {
        let Some(downstream) = self.downstreams.get_mut(key) else {
            return;
        };
        if let Some(conn) = downstream.tie.connection
            && downstream.take_turn()
            && let Some(connection) = self.connections.get_mut(&conn)
        {
            connection.out.turns.push_back(key);
            connection.wake(conn, &mut self.ready);
        }
    }

    pub(super) fn downstream_ack(&mut self, conn: ConnId, ack: DownstreamChunkAck, now: Instant) {
        let key =
            self.session(conn).and_then(|session| session.downstreams.get(&ack.stream_id_alias)).copied();
        let downstream = key.and_then(|key| self.downstreams.get_mut(key));
        let (Some(key), Some(downstream)) = (key, downstream) else {
            // Late, for a stream that is closed (docs/protocol/behaviour.md §11 item 58).
            debug!(conn = conn.0, alias = ack.stream_id_alias, "ack for an unknown downstream");
            return;
        };
        downstream.tie.heard(now);
        for result in ack.results {
            downstream.acknowledge(result.upstream_stream_id, result.upstream_sequence_number);
        }
        let learned = downstream.ids.learn(ack.data_id_aliases, self.config.limits.data_ids);
        for (alias, info) in ack.upstream_aliases {
            // Of several aliases for one upstream, Go's habit, the first is used. An upstream that has
            // ended needs none.
            if let Some(upstream) = self.upstream_ids.get(&info.stream_id)
                && let Some(source) = downstream.sources.get_mut(upstream)
            {
                source.alias.get_or_insert(alias);
            }
        }
        let (result_code, result_string) = match learned {
            Ok(()) => (ResultCode::SUCCEEDED, "OK".to_owned()),
            Err(AliasError::Full) => {
                (ResultCode::MAXIMUM_DATA_ID_ALIAS, "no room for more data id aliases".to_owned())
            }
            Err(AliasError::Conflict(alias)) => {
                (ResultCode::PROTOCOL_ERROR, format!("data id alias {alias} stands for another data id"))
            }
        };
        let complete = DownstreamChunkAckComplete {
            stream_id_alias: ack.stream_id_alias,
            ack_id: ack.ack_id,
            result_code,
            result_string,
        };
        self.answer(conn, Message::DownstreamChunkAckComplete(complete), now);
        self.give_turn(key);
    }

    pub(super) fn close_downstream(&mut self, conn: ConnId, request: DownstreamCloseRequest, now: Instant) {
        let key = self.downstream_ids.get(&request.stream_id).copied();
        let own_node = self.session(conn).map(|session| Rc::clone(&session.node_id));
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

    /// Tells a downstream what happened. It is closed if there is no room: it would miss something without
    /// knowing.
    pub(super) fn tell(&mut self, key: Key, event: &Rc<Event>) {
        let room = self.config.limits.detached_bytes.saturating_sub(self.detached.bytes);
        let Some(downstream) = self.downstreams.get_mut(key) else { return };
        let attached = downstream.tie.connection.is_some();
        if downstream.push_metadata(event, &self.config.limits, if attached { usize::MAX } else { room }) {
            let text = format!("downstream {}: metadata is not read", downstream.id);
            self.overrun.push((key, text));
        } else if attached {
            self.give_turn(key);
        } else {
            self.detached.bytes += EVENT_BYTES;
        }
    }

    /// Closes a downstream whose client reads too slowly, or has not come back in time. A connected client
    /// learns of it by the end of its connection: there is no message for the end of one stream.
    pub(super) fn close_overrun(&mut self, key: Key, reason: String, now: Instant) {
        let Some(downstream) = self.downstreams.get(key) else { return };
        warn!(downstream = %downstream.id, reason, "downstream closed");
        let connection = downstream.tie.connection;
        self.expire_downstream(key, now);
        if let Some(conn) = connection {
            self.doomed.push((conn, ResultCode::ACK_TIMEOUT, reason));
        }
    }

    /// The connection of a downstream is gone. It goes on collecting what it reads.
    pub(super) fn detach_downstream(&mut self, key: Key, now: Instant) {
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
    pub(super) fn expire_downstream(&mut self, key: Key, _now: Instant) {
        if let Some(downstream) = self.downstreams.get(key) {
            let metadata = Metadata::DownstreamAbnormalClose { stream_id: downstream.id };
            self.remove_downstream(key, metadata);
        }
    }

    fn remove_downstream(&mut self, key: Key, metadata: Metadata) {
        self.unsubscribe(key);
        let Some(downstream) = self.downstreams.remove(key) else {
            return;
        };
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

    pub(super) fn resume_downstream(&mut self, conn: ConnId, request: DownstreamResumeRequest, now: Instant) {
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
        }
        self.timers.clear(Timer::DownstreamExpiry(key));
        self.timers.set(Timer::DownstreamOpen(key), now + self.config.timing.open_gap);
        Ok(token)
    }
}
