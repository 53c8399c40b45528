//! Upstreams: opening, chunks, acks (docs/protocol/behaviour.md §11.2).

mod lifecycle;
mod saved;

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::{Duration, Instant};

use iscp::message::{
    Aliases, DataId, DataPointGroup, Message, Metadata, OrAlias, Qos, ResultCode, UpstreamChunk,
    UpstreamChunkAck, UpstreamChunkResult, UpstreamCloseRequest, UpstreamInfo, UpstreamOpenRequest,
    UpstreamOpenResponse,
};
use tracing::{debug, info};
use uuid::Uuid;

use super::aliases::UpstreamIds;
use super::arena::Key;
use super::outbox::Answer;
use super::resume::Tie;
use super::routing::{Routed, RoutedGroup};
use super::sequence::{Received, Reorder};
use super::timers::Timer;
use super::version::Version;
use super::{Broker, ConnId, Limits, Timing, environment};

/// An upstream, with or without a connection.
#[derive(Debug)]
pub(super) struct Upstream {
    pub(super) info: Arc<UpstreamInfo>,
    pub(super) qos: Qos,
    pub(super) node: Key,
    pub(super) tie: Tie,
    /// Downstreams that withhold acknowledgements, and of how many chunks each.
    pub(super) holders: BTreeMap<Key, usize>,
    alias: u32,
    ack_interval: Duration,
    ids: UpstreamIds,
    received: Received,
    /// Positions of chunks among them that were refused; not for UNRELIABLE streams.
    refused: BTreeSet<u64>,
    /// Chunks that came too early; `None` for one that was refused.
    reorder: Reorder<Option<Arc<Routed>>>,
    results: Vec<UpstreamChunkResult>,
    /// Bytes of points in the chunks that `results` speaks of.
    result_bytes: usize,
    /// Places of data ids whose aliases the next ack carries.
    asked: Vec<u32>,
    last_ack: Option<Instant>,
    ack_queued: bool,
    /// Resumed: the client sends again what was not acknowledged.
    recovers_until: Option<Instant>,
    closing: Option<UpstreamCloseRequest>,
}

/// Results in one ack: Python refuses messages above 1 MiB.
const MAX_RESULTS_PER_ACK: usize = 8192;

/// Refused chunks that are remembered, the newest. Another one that comes again is taken for forwarded.
const MAX_REFUSED: usize = 1024;

/// Chunks, and bytes of points, after which an ack does not wait for its interval: a client that
/// bounds what it has under way must not be slowed down to one window per interval.
const EARLY_ACK_CHUNKS: usize = 128;
const EARLY_ACK_BYTES: usize = 2 * 1024 * 1024;

/// Why a chunk is not forwarded, as its sender will read it.
type Refusal = (ResultCode, String);

impl Upstream {
    /// An ack for what was gathered so far, or for as much of it as one message should carry.
    pub(super) fn take_acks(&mut self) -> Option<Message> {
        self.ack_queued = false;
        self.result_bytes = 0;
        if !self.has_acks() {
            return None;
        }
        let data_id_aliases: Aliases<_> = std::mem::take(&mut self.asked)
            .into_iter()
            .filter_map(|place| self.ids.announce(place))
            .collect();
        let rest = self.results.split_off(self.sendable().min(MAX_RESULTS_PER_ACK));
        Some(Message::UpstreamChunkAck(UpstreamChunkAck {
            stream_id_alias: self.alias,
            results: std::mem::replace(&mut self.results, rest),
            data_id_aliases,
        }))
    }

    /// Whether there is something to acknowledge now.
    pub(super) fn has_acks(&self) -> bool {
        self.sendable() > 0 || !self.asked.is_empty()
    }

    /// Results that no slow reader withholds.
    fn sendable(&self) -> usize {
        self.results.len() - self.withheld()
    }

    fn withheld(&self) -> usize {
        self.holders.values().copied().max().unwrap_or_default().min(self.results.len())
    }

    /// Whether the client waits for acknowledgements that are withheld.
    pub(super) fn is_waiting(&self) -> bool {
        self.tie.connection.is_some() && self.withheld() > 0
    }

    pub(super) fn is_reliable(&self) -> bool {
        self.qos == Qos::Reliable
    }

    /// Takes note of the data ids for which a chunk asks for aliases, also when it is not forwarded.
    fn ask_for(&mut self, data_ids: &[DataId], limits: &Limits) {
        for id in data_ids {
            // An id that cannot have an alias goes without; only its use in a group is an error.
            if let Ok(Some((place, _))) = self.ids.enter(id, limits.data_ids, limits.name_bytes)
                && self.ids.ask(place)
            {
                self.asked.push(place);
            }
        }
    }

    /// Remembers that a chunk was refused: should it come again, it is no duplicate of one that was forwarded.
    fn refuse(&mut self, position: u64) {
        self.refused.insert(position);
        if self.refused.len() > MAX_REFUSED {
            self.refused.pop_first();
        }
    }

    /// Resolves what a chunk refers to. Fails as a whole: its sender could not tell which part was
    /// taken.
    fn resolve(&mut self, chunk: UpstreamChunk, limits: &Limits) -> Result<Arc<Routed>, Refusal> {
        let groups = chunk.chunk.groups;
        if groups.len() > limits.groups_per_chunk {
            let text = format!("more than {} groups in a chunk", limits.groups_per_chunk);
            return Err((ResultCode::INVALID_PAYLOAD, text));
        }
        let mut routed = Vec::with_capacity(groups.len());
        for DataPointGroup { data_id, points } in groups {
            let (place, id) = match data_id {
                OrAlias::Alias(alias) => {
                    let (place, id) = self.ids.resolve(alias).ok_or_else(|| {
                        let text = format!("data id alias {alias} was never given out on this stream");
                        (ResultCode::INVALID_DATA_ID_ALIAS, text)
                    })?;
                    (Some(place), id)
                }
                OrAlias::Full(id) => match self.ids.enter(&id, limits.data_ids, limits.name_bytes) {
                    Ok(Some((place, id))) => (Some(place), id),
                    Ok(None) => (None, Arc::new(id)),
                    Err(text) => return Err((ResultCode::INVALID_DATA_ID, text)),
                },
            };
            routed.push(RoutedGroup { place, id, points });
        }
        Ok(Arc::new(Routed::new(chunk.chunk.sequence_number, routed)))
    }

    /// Drops the results that no connection is left for: what the client sends again is acknowledged again.
    fn forget_acks(&mut self) {
        self.results = Vec::new();
        self.result_bytes = 0;
        self.ack_queued = false;
    }

    fn is_ordered(&self) -> bool {
        matches!(self.qos, Qos::Reliable | Qos::Partial)
    }

    /// When chunks no longer wait for those before them. A RELIABLE client sends what is missing as soon
    /// as it has a connection again.
    fn reorder_deadline(&self, wait: Duration) -> Option<Instant> {
        let deadline = self.reorder.deadline(wait)?;
        if self.qos != Qos::Reliable {
            return Some(deadline);
        }
        self.tie.connection?;
        Some(self.recovers_until.map_or(deadline, |until| deadline.max(until)))
    }

    fn is_complete(&self) -> bool {
        self.closing
            .as_ref()
            .is_some_and(|request| self.received.complete_up_to(request.final_sequence_number))
    }
}

/// Interval between the acks of a stream. A value below the floor is a client that means seconds
/// (docs/protocol/behaviour.md §0.3, §11 item 32).
fn ack_interval(ms: u32, timing: &Timing) -> Duration {
    match ms {
        0 => Duration::ZERO,
        ms => Duration::from_millis(u64::from(ms)).max(timing.min_ack_interval),
    }
}

impl Broker {
    pub(super) fn open_upstream(&mut self, conn: ConnId, request: UpstreamOpenRequest, now: Instant) {
        let response = match self.check_upstream(conn, &request) {
            Ok(()) => self.make_upstream(conn, &request, now),
            Err((result_code, result_string)) => {
                debug!(conn = conn.0, code = %result_code, reason = %result_string, "upstream refused");
                UpstreamOpenResponse {
                    request_id: request.request_id,
                    result_code,
                    result_string,
                    ..UpstreamOpenResponse::default()
                }
            }
        };
        let opened = self.upstream_ids.get(&response.stream_id).copied();
        self.answer(conn, Message::UpstreamOpenResponse(response), now);
        if let Some(upstream) = opened.and_then(|key| self.upstreams.get(key)) {
            let metadata = Metadata::UpstreamOpen {
                stream_id: upstream.info.stream_id,
                session_id: upstream.info.session_id.clone(),
                qos: upstream.qos,
            };
            self.announce(upstream.node, metadata, None);
        }
    }

    fn check_upstream(&self, conn: ConnId, request: &UpstreamOpenRequest) -> Result<(), Refusal> {
        let (limits, timing) = (&self.config.limits, &self.config.timing);
        self.check_stream_limits(conn, request.qos, request.expiry_interval_s)?;
        if Duration::from_millis(u64::from(request.ack_interval_ms)) > timing.max_ack_interval {
            let text = format!("ack interval above {} ms", timing.max_ack_interval.as_millis());
            return Err((ResultCode::TOO_LONG_ACK_INTERVAL, text));
        }
        if request.session_id.len() > limits.name_bytes {
            let text = format!("session id with more than {} bytes", limits.name_bytes);
            return Err((ResultCode::PROTOCOL_ERROR, text));
        }
        if request.data_ids.len() > limits.data_ids {
            let text = format!("more than {} data ids", limits.data_ids);
            return Err((ResultCode::TOO_MANY_DATA_ID_ALIASES, text));
        }
        Ok(())
    }

    /// What upstreams and downstreams have in common.
    pub(super) fn check_stream_limits(&self, conn: ConnId, qos: Qos, expiry_s: u32) -> Result<(), Refusal> {
        let max = self.config.limits.streams_per_connection;
        let streams =
            self.session(conn).map_or(0, |session| session.upstreams.len() + session.downstreams.len());
        if streams >= max {
            let text = format!("more than {max} streams on one connection");
            return Err((ResultCode::TOO_MANY_STREAMS, text));
        }
        if let Qos::Unknown(number) = qos {
            let text = format!("QoS {number} is not supported");
            return Err((ResultCode::DESIRED_QOS_NOT_SUPPORTED, text));
        }
        let max = self.config.timing.max_expiry_interval;
        if Duration::from_secs(u64::from(expiry_s)) > max {
            let text = format!("expiry interval above {} s", max.as_secs());
            return Err((ResultCode::TOO_LONG_EXPIRY_INTERVAL, text));
        }
        Ok(())
    }

    /// A resume token, for clients that know what it is (docs/protocol/behaviour.md §9).
    pub(super) fn resume_token(&mut self, version: Version) -> String {
        if version < Version::V3 {
            return String::new();
        }
        Uuid::from_bytes(self.environment.random()).simple().to_string()
    }

    /// An alias that no upstream of the broker has, and never 0: Go takes a refusal's 0 for an alias
    /// (docs/protocol/behaviour.md §11 items 27, 28).
    fn new_upstream_alias(&mut self) -> u32 {
        loop {
            self.last_upstream_alias = self.last_upstream_alias.wrapping_add(1);
            let alias = self.last_upstream_alias;
            if alias != 0 && !self.upstream_aliases.contains_key(&alias) {
                return alias;
            }
        }
    }

    fn make_upstream(
        &mut self,
        conn: ConnId,
        request: &UpstreamOpenRequest,
        now: Instant,
    ) -> UpstreamOpenResponse {
        let node = self.session(conn).map(|session| session.node);
        let tie = self.tie(conn, request.expiry_interval_s, now);
        let (Some(node), Some((tie, resume_token))) = (node, tie) else {
            return UpstreamOpenResponse::default();
        };
        let node_id = Arc::clone(&tie.owner);
        let stream_id = environment::new_uuid(self.environment.as_mut());
        let alias = self.new_upstream_alias();
        let limits = &self.config.limits;
        let mut ids = UpstreamIds::default();
        let data_id_aliases = request
            .data_ids
            .iter()
            .filter_map(|id| {
                let (place, _) = ids.enter(id, limits.data_ids, limits.name_bytes).ok()??;
                ids.announce(place)
            })
            .collect();
        let key = self.upstreams.insert(Upstream {
            info: Arc::new(UpstreamInfo {
                session_id: request.session_id.clone(),
                stream_id,
                source_node_id: node_id.to_string(),
            }),
            qos: request.qos,
            node,
            tie,
            holders: BTreeMap::new(),
            alias,
            ack_interval: ack_interval(request.ack_interval_ms, &self.config.timing),
            ids,
            received: Received::default(),
            refused: BTreeSet::new(),
            reorder: Reorder::default(),
            results: Vec::new(),
            result_bytes: 0,
            asked: Vec::new(),
            last_ack: None,
            ack_queued: false,
            recovers_until: None,
            closing: None,
        });
        self.upstream_ids.insert(stream_id, key);
        self.upstream_aliases.insert(alias, key);
        if let Some(session) = self.session_mut(conn) {
            session.upstreams.push(key);
        }
        if let Some(node) = self.nodes.get_mut(node) {
            node.upstreams.push(key);
        }
        info!(conn = conn.0, stream = %stream_id, node = %node_id, session = %request.session_id, "upstream opened");
        UpstreamOpenResponse {
            request_id: request.request_id,
            stream_id,
            stream_id_alias: alias,
            data_id_aliases,
            server_time_ns: self.environment.unix_time_ns(now).max(0),
            result_code: ResultCode::SUCCEEDED,
            result_string: "OK".to_owned(),
            resume_token,
        }
    }

    pub(super) fn upstream_chunk(&mut self, conn: ConnId, chunk: UpstreamChunk, now: Instant) {
        self.chunks_received += 1;
        let limits = &self.config.limits;
        let key = self.upstream_aliases.get(&chunk.stream_id_alias).copied();
        let upstream = key.and_then(|key| self.upstreams.get_mut(key));
        let (Some(key), Some(upstream)) =
            (key, upstream.filter(|upstream| upstream.tie.connection == Some(conn)))
        else {
            // No message exists to complain with (docs/protocol/behaviour.md §11 item 39).
            debug!(conn = conn.0, alias = chunk.stream_id_alias, "chunk for an unknown upstream");
            return;
        };
        upstream.tie.heard(now);
        let recovers = upstream.recovers_until.is_some_and(|until| now < until);
        let sequence_number = chunk.chunk.sequence_number;
        let chunk_bytes: usize = chunk.chunk.groups.iter().map(|group| group.points.as_bytes().len()).sum();
        let receipt = upstream.received.insert(sequence_number);
        let mut result = UpstreamChunkResult {
            sequence_number,
            result_code: ResultCode::SUCCEEDED,
            result_string: "OK".to_owned(),
        };
        let ordered = upstream.is_ordered();
        let mut released = None;
        upstream.ask_for(&chunk.data_ids, limits);
        // A chunk of a RELIABLE stream that comes again is acknowledged again, not forwarded again.
        if !(receipt.duplicate && ordered) || upstream.refused.remove(&receipt.position) {
            let resolved = match upstream.resolve(chunk, limits) {
                Ok(routed) => Some(routed),
                Err((code, text)) => {
                    if ordered {
                        upstream.refuse(receipt.position);
                    }
                    debug!(stream = %upstream.info.stream_id, sequence_number, %code, reason = %text, "chunk refused");
                    result.result_code = code;
                    result.result_string = text;
                    None
                }
            };
            if ordered {
                let bytes = resolved.as_ref().map_or(0, |routed| routed.bytes);
                released = upstream.reorder.push(receipt.position, resolved, bytes, now).flatten();
            } else {
                released = resolved;
            }
        }
        upstream.results.push(result);
        upstream.result_bytes += chunk_bytes;
        let early = upstream.results.len() >= EARLY_ACK_CHUNKS || upstream.result_bytes >= EARLY_ACK_BYTES;
        let over = upstream.results.len() > limits.chunk_results;
        let complete = upstream.closing.is_some() && upstream.is_complete();

        if let Some(routed) = released {
            self.fan_out(key, &routed);
        }
        if ordered {
            while self.is_backed_up(key) && self.skip_gap(key) {}
            self.release_in_order(key);
            self.schedule_reorder(key);
        }
        if over {
            let text = format!("upstream {}: acks are not read", self.stream_id(key));
            self.doomed.push((conn, ResultCode::RATE_LIMIT_REACHED, text));
        }
        self.schedule_ack(key, receipt.late || early || recovers, now);
        if complete {
            self.finish_close(key, now);
        }
    }

    fn is_backed_up(&self, key: Key) -> bool {
        let limits = &self.config.limits;
        self.upstreams
            .get(key)
            .is_some_and(|upstream| upstream.reorder.is_over(limits.reorder_chunks, limits.reorder_bytes))
    }

    fn stream_id(&self, key: Key) -> Uuid {
        self.upstreams.get(key).map_or(Uuid::nil(), |upstream| upstream.info.stream_id)
    }

    /// Sends acks now when none was sent for an interval, else at the end of the interval. At once
    /// while chunks come late and after a resume, since Go sends one chunk an ack then
    /// (docs/protocol/behaviour.md §11 items 32, 33), and when there is much to acknowledge.
    pub(super) fn schedule_ack(&mut self, key: Key, at_once: bool, now: Instant) {
        let Some(upstream) = self.upstreams.get(key) else {
            return;
        };
        if upstream.ack_queued {
            return;
        }
        let due = match upstream.last_ack {
            Some(last) if !at_once => last + upstream.ack_interval,
            _ => now,
        };
        if due <= now {
            self.send_acks(key, now);
        } else if !self.timers.is_set(Timer::UpstreamAck(key)) {
            self.timers.set(Timer::UpstreamAck(key), due);
        }
    }

    pub(super) fn send_acks(&mut self, key: Key, now: Instant) {
        self.timers.clear(Timer::UpstreamAck(key));
        let Some(upstream) = self.upstreams.get_mut(key) else {
            return;
        };
        let Some(conn) = upstream.tie.connection else { return };
        upstream.last_ack = Some(now);
        if !std::mem::replace(&mut upstream.ack_queued, true) {
            self.push_answer(conn, Answer::Acks(key), now);
        }
    }

    /// Forwards what is next in order.
    fn release_in_order(&mut self, key: Key) {
        while let Some(next) =
            self.upstreams.get_mut(key).and_then(|upstream| upstream.reorder.pop_in_order())
        {
            if let Some(routed) = next {
                self.fan_out(key, &routed);
            }
        }
    }

    /// Gives up on the lowest missing chunks. Returns whether something was waiting for them.
    pub(super) fn skip_gap(&mut self, key: Key) -> bool {
        let skipped = self.upstreams.get_mut(key).is_some_and(|upstream| upstream.reorder.skip_gap());
        if skipped {
            self.release_in_order(key);
        }
        skipped
    }

    /// Whether the chunks of an upstream that wait for others go on doing so until the broker is restored.
    pub(super) fn waits_for_restart(&self, key: Key) -> bool {
        self.suspends && self.upstreams.get(key).is_some_and(|upstream| upstream.qos == Qos::Reliable)
    }

    fn schedule_reorder(&mut self, key: Key) {
        let (timer, wait) = (Timer::UpstreamReorder(key), self.config.timing.reorder_wait);
        if !self.timers.is_set(timer)
            && let Some(at) = self.upstreams.get(key).and_then(|upstream| upstream.reorder_deadline(wait))
        {
            self.timers.set(timer, at);
        }
    }

    /// Forwards the chunks that have waited long enough, and those before them.
    pub(super) fn release_waiting(&mut self, key: Key, now: Instant) {
        if self.waits_for_restart(key) {
            return;
        }
        let wait = self.config.timing.reorder_wait;
        while self
            .upstreams
            .get(key)
            .is_some_and(|upstream| upstream.reorder_deadline(wait).is_some_and(|deadline| deadline <= now))
        {
            self.skip_gap(key);
        }
        self.schedule_reorder(key);
    }
}
