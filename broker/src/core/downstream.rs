//! Downstreams (docs/protocol/behaviour.md §11.3, §11.7).

mod lifecycle;
mod queue;
mod saved;

use std::collections::VecDeque;
use std::sync::Arc;
use std::time::Instant;

use iscp::message::{
    DownstreamChunkAck, DownstreamChunkAckComplete, DownstreamFilter, DownstreamOpenRequest,
    DownstreamOpenResponse, Message, Metadata, Qos, ResultCode, UpstreamInfo,
};
use tracing::{debug, info};
use uuid::Uuid;

use super::aliases::{AliasError, DownstreamIds};
use super::arena::Key;
use super::hold::Holds;
use super::metadata::Event;
use super::numbers::NumberMap;
use super::resume::Tie;
use super::routing::Routed;
use super::subscription::Source;
use super::timers::Timer;
use super::version::Version;
use super::{Broker, ConnId, environment, filter};

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
    sources: NumberMap<Key, Source>,
    /// Chunks and metadata wait apart, so that old chunks can be dropped, and leave in the order of
    /// their numbers.
    chunks: VecDeque<QueuedChunk>,
    metadata: VecDeque<(u64, Arc<Event>)>,
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
    pub(super) holds: Holds,
    /// Something found no room. Nothing is taken any more: there would be a gap before it.
    overrun: bool,
    dropped: u64,
}

#[derive(Debug)]
struct QueuedChunk {
    number: u64,
    upstream: Key,
    info: Arc<UpstreamInfo>,
    chunk: Arc<Routed>,
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

/// Results in one ack for chunks that are not under way. A client that repeats itself has a window of them;
/// each costs a look at all that is.
const MAX_STRAY_RESULTS: usize = 4096;

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
        let owner = Arc::clone(&tie.owner);
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
            sources: NumberMap::default(),
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
            holds: Holds::default(),
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

    /// Tells a downstream what happened. It is closed if there is no room: it would miss something without
    /// knowing.
    pub(super) fn tell(&mut self, key: Key, event: &Arc<Event>) {
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
        self.ease(key, now);
        let Some(downstream) = self.downstreams.get_mut(key) else { return };
        let mut strays = 0;
        for result in ack.results {
            if !downstream.acknowledge(result.upstream_stream_id, result.upstream_sequence_number) {
                strays += 1;
            }
            if strays > MAX_STRAY_RESULTS {
                debug!(conn = conn.0, alias = ack.stream_id_alias, "ack for chunks that are not under way");
                break;
            }
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
}
