//! What must hold: the ledger knows what was written, what the broker received, and therefore what
//! every reader has to see. It watches messages on their way and shares no logic with either core.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use bytes::Bytes;
use iscp::core::{ReceivedChunk, ReceivedMetadata, UpstreamEnd};
use iscp::error::Status;
use iscp::message::{
    BaseTime, DataFilter, DataId, DownstreamOpenRequest, FilterReference, Message, Metadata, OrAlias, Points,
    Qos, UpstreamChunk, UpstreamOpenRequest,
};
use uuid::Uuid;

use crate::calls::CallLedger;
use crate::transport::LinkId;

/// One connection of a client, from its transport to its end.
pub(crate) type SessionId = usize;

/// Points of a chunk, by data id.
type Content = Vec<(DataId, Points)>;

/// What is known of an upstream.
#[derive(Debug)]
struct UpstreamRecord {
    session: SessionId,
    /// The link that carries it, as the broker sees it.
    link: LinkId,
    qos: Qos,
    session_name: String,
    node: String,
    aliases: BTreeMap<u32, DataId>,
    /// Accepted from the application, and how many of them are in chunks.
    written: BTreeMap<DataId, (Vec<(i64, Bytes)>, usize)>,
    written_points: u64,
    received_points: u64,
    last_sent: u32,
    sent_points: Vec<u64>,
    chunks: Vec<Content>,
    /// The link over which the last chunk was sent, and its number.
    sending: (LinkId, u32),
    received: BTreeSet<u32>,
    acked: BTreeSet<u32>,
    acked_points: u64,
    close_requested: bool,
    /// Its connection was lost.
    outage: bool,
    /// It took the place of another, or another took its place.
    replaced: bool,
}

/// A chunk that a reader has to see.
#[derive(Debug)]
struct Expected {
    /// Where it stands among the chunks of all upstreams.
    order: u64,
    sequence_number: u32,
    groups: Vec<(DataId, Points, Vec<FilterReference>)>,
}

/// What is known of a downstream.
#[derive(Debug)]
struct Subscription {
    request: DownstreamOpenRequest,
    link: LinkId,
    active: bool,
    stream_id: Option<Uuid>,
    /// By upstream: what is to be seen, and how much of it the reader has seen or was shown to have missed.
    expected: BTreeMap<Uuid, (Vec<Expected>, usize)>,
    last_order: u64,
    /// Chunks that waited in the broker since before the stream was opened.
    early: BTreeSet<(Uuid, u32)>,
    announced: BTreeSet<Uuid>,
    ended: BTreeSet<Uuid>,
    /// Its connection was lost.
    outage: bool,
}

/// The ledger.
#[derive(Debug, Default)]
pub(crate) struct Ledger {
    /// Whether the broker may drop chunks of slow UNRELIABLE and PARTIAL readers.
    pub(crate) may_drop: bool,
    /// Whether clients come back to streams that lost their connection.
    pub(crate) outages: bool,
    upstream_requests: BTreeMap<(SessionId, u32), UpstreamOpenRequest>,
    upstreams: BTreeMap<Uuid, UpstreamRecord>,
    /// A broker that was started anew gives aliases again that clients which have not noticed still use.
    upstream_aliases: BTreeMap<(SessionId, u32), Uuid>,
    /// By the number of the open request, which a session uses once.
    subscriptions: BTreeMap<(SessionId, u32), Subscription>,
    base_times: Vec<(String, BaseTime)>,
    pub(crate) calls: CallLedger,
    pub(crate) chunks: u64,
    pub(crate) points: u64,
}

impl UpstreamRecord {
    fn is_reliable(&self) -> bool {
        self.qos == Qos::Reliable
    }

    /// A chunk for the first time: its points are the next that were written.
    fn check_new(&mut self, chunk: &UpstreamChunk) {
        let content = self.content(chunk);
        for (data_id, points) in &content {
            let (written, next) = self.written.get_mut(data_id).expect("a written data id");
            for point in points.iter() {
                let (elapsed_time, payload) = &written[*next];
                assert_eq!(
                    (point.elapsed_time, &point.payload),
                    (*elapsed_time, payload),
                    "point {next} of {data_id}"
                );
                *next += 1;
            }
        }
        self.sent_points.push(content.iter().map(|(_, points)| points.len() as u64).sum());
        self.chunks.push(content);
    }

    fn content(&self, chunk: &UpstreamChunk) -> Content {
        let groups = chunk.chunk.groups.iter().map(|group| {
            let data_id = match &group.data_id {
                OrAlias::Full(data_id) => {
                    assert!(chunk.data_ids.contains(data_id), "{data_id} without an alias is not listed");
                    data_id.clone()
                }
                OrAlias::Alias(alias) => self.aliases[alias].clone(),
            };
            (data_id, group.points.clone())
        });
        groups.collect()
    }
}

impl Ledger {
    // On the client's side.

    /// The application wrote a point and it was accepted.
    pub(crate) fn written(&mut self, stream_id: Uuid, data_id: &DataId, elapsed_time: i64, payload: Bytes) {
        let record = self.upstreams.get_mut(&stream_id).expect("an open upstream");
        record.written_points += 1;
        let (points, _) = record.written.entry(data_id.clone()).or_default();
        points.push((elapsed_time, payload));
    }

    /// A client put a message into its transport.
    pub(crate) fn client_sends(&mut self, session: SessionId, link: LinkId, message: &Message) {
        match message {
            Message::UpstreamChunk(chunk) => {
                let record = self.upstream_by_alias(session, chunk.stream_id_alias);
                assert_eq!(record.session, session, "a chunk of another connection");
                assert!(!record.close_requested, "a chunk after the close request");
                let number = chunk.chunk.sequence_number;
                let before = if record.sending.0 == link { record.sending.1 } else { 0 };
                assert!(number > before, "chunk {number} after chunk {before}");
                if record.is_reliable() {
                    let skipped = (before + 1..number).find(|skipped| !record.acked.contains(skipped));
                    assert_eq!(skipped, None, "chunk {number} before one that was not acknowledged");
                }
                record.sending = (link, number);
                if number <= record.last_sent {
                    assert!(record.is_reliable() && record.outage, "chunk {number} again");
                    assert!(!record.acked.contains(&number), "chunk {number} again after its ack");
                } else {
                    record.last_sent += 1;
                    assert_eq!(number, record.last_sent, "sequence number");
                    record.check_new(chunk);
                }
            }
            Message::UpstreamCloseRequest(request) => {
                if let Some(record) = self.upstreams.get_mut(&request.stream_id) {
                    record.close_requested = true;
                    assert_eq!(request.final_sequence_number, record.last_sent);
                    assert_eq!(request.total_data_points, record.sent_points.iter().sum::<u64>());
                }
            }
            _ => {}
        }
    }

    /// A message reached a client that still listens.
    pub(crate) fn client_receives(&mut self, session: SessionId, message: &Message) {
        let Message::UpstreamChunkAck(ack) = message else {
            return;
        };
        let record = self.upstream_by_alias(session, ack.stream_id_alias);
        for result in &ack.results {
            assert!(result.result_code.is_success(), "a chunk was refused: {result:?}");
            let number = result.sequence_number;
            assert!(record.received.contains(&number), "ack for what never came");
            let first = record.acked.insert(number);
            assert!(first || record.outage, "a second ack for chunk {number}");
            if first {
                record.acked_points += record.sent_points[number as usize - 1];
            }
        }
    }

    /// A client goes on with another stream in place of one that the broker has forgotten.
    pub(crate) fn upstream_reopened(&mut self, former: Uuid, stream_id: Uuid) {
        let old = self.upstreams.get_mut(&former).expect("a known upstream");
        old.replaced = true;
        let mut carried: BTreeMap<DataId, Vec<(i64, Bytes)>> = BTreeMap::new();
        if old.is_reliable() {
            let kept = (1..).zip(&old.chunks).filter(|(number, _)| !old.acked.contains(number));
            for (data_id, points) in kept.flat_map(|(_, content)| content) {
                let points = points.iter().map(|point| (point.elapsed_time, point.payload));
                carried.entry(data_id.clone()).or_default().extend(points);
            }
        }
        for (data_id, (points, next)) in &old.written {
            carried.entry(data_id.clone()).or_default().extend_from_slice(&points[*next..]);
        }
        let new = self.upstreams.get_mut(&stream_id).expect("a known upstream");
        new.replaced = true;
        new.written_points = carried.values().map(|points| points.len() as u64).sum();
        new.written = carried.into_iter().map(|(data_id, points)| (data_id, (points, 0))).collect();
    }

    /// A client has lost its connection, perhaps before the broker knows.
    pub(crate) fn client_left(&mut self, session: SessionId) {
        for record in self.upstreams.values_mut().filter(|record| record.session == session) {
            record.outage = true;
        }
        for (_, subscription) in self.subscriptions.range_mut((session, 0)..=(session, u32::MAX)) {
            subscription.outage = true;
        }
    }

    fn upstream_by_alias(&mut self, session: SessionId, alias: u32) -> &mut UpstreamRecord {
        let stream_id = self.upstream_aliases[&(session, alias)];
        self.upstreams.get_mut(&stream_id).expect("a known upstream")
    }

    /// Points accepted from the application so far.
    pub(crate) fn written_points(&self, stream_id: Uuid) -> u64 {
        self.upstreams[&stream_id].written_points
    }

    /// A flush succeeded.
    pub(crate) fn flushed(&self, stream_id: Uuid, acknowledged: bool, points: u64) {
        let record = &self.upstreams[&stream_id];
        if record.replaced || acknowledged && record.outage && !record.is_reliable() {
            return;
        }
        let sent: u64 = record.sent_points.iter().sum();
        let reached = if acknowledged { record.acked_points } else { sent };
        assert!(
            reached >= points,
            "{stream_id}: flushed {reached} of {points} points (acknowledged: {acknowledged})"
        );
    }

    /// An upstream ended, as its application is told.
    pub(crate) fn upstream_ended(&self, stream_id: Uuid, end: &UpstreamEnd, disturbed: bool, gave_up: bool) {
        let record = &self.upstreams[&stream_id];
        let (written, undelivered) = (record.written_points, end.undelivered_points);
        let timed_out = end.error.as_ref().is_some_and(|error| error.status() == Status::Timeout);
        assert!(gave_up || disturbed || !timed_out, "{stream_id}: {:?}", end.error);
        // An acknowledgement may come for what was counted as lost with the connection.
        let exact = !gave_up && !record.replaced && (record.is_reliable() || !record.outage);
        if exact {
            assert_eq!(
                record.acked_points + undelivered,
                written,
                "{stream_id}: acknowledged and undelivered points against written ones"
            );
            let missing: Vec<u32> =
                (1..=record.last_sent).filter(|number| !record.acked.contains(number)).collect();
            assert_eq!(end.undelivered_chunks, missing, "{stream_id}: undelivered chunks");
        } else {
            // What is acknowledged after the stream stopped waiting counts twice.
            assert!(record.acked_points + undelivered >= written, "{stream_id}: points vanished");
        }
        assert!(record.received_points + undelivered >= written, "{stream_id}: points lost");
        assert!(end.undelivered_chunks.is_sorted(), "{stream_id}: undelivered chunks out of order");
        if end.error.is_none() && (record.is_reliable() || !record.outage && !record.replaced) {
            assert_eq!(undelivered, 0, "{stream_id}: a clean end with undelivered points");
            assert_eq!(record.received_points, written, "{stream_id}: a clean end without all points");
        }
        assert!(disturbed || gave_up || end.error.is_none(), "{stream_id}: {:?}", end.error);
    }

    /// Everything written to a RELIABLE stream that lives has arrived.
    pub(crate) fn check_delivered(&self, stream_id: Uuid) {
        let record = &self.upstreams[&stream_id];
        if record.is_reliable() {
            assert_eq!(
                record.acked_points, record.written_points,
                "{stream_id}: acknowledged of written points"
            );
        }
    }

    /// A reader sees a chunk. In the order `by_upstream` those of one upstream may wait while others pass.
    pub(crate) fn read(
        &mut self,
        session: SessionId,
        stream_id: Uuid,
        chunk: &ReceivedChunk,
        by_upstream: bool,
    ) {
        let (may_drop, outages) = (self.may_drop, self.outages);
        let from = chunk.upstream.stream_id;
        let source = &self.upstreams[&from];
        assert_eq!(chunk.upstream.source_node_id, source.node, "source of {:?}", chunk.upstream);
        assert_eq!(chunk.upstream.session_id, source.session_name, "session of {:?}", chunk.upstream);
        let gaps = source.outage;
        let subscription = self.subscription(session, stream_id);
        assert!(
            subscription.announced.contains(&from) || subscription.outage,
            "data before the UpstreamOpen of {from}"
        );
        assert!(!subscription.ended.contains(&from), "data after the end of {from}");
        let may_miss = subscription.request.qos != Qos::Reliable && (may_drop || subscription.outage);
        let number = chunk.sequence_number;
        let (expected, seen) = subscription.expected.entry(from).or_default();
        let mut at = *seen;
        while may_miss && expected.get(at).is_some_and(|expected| expected.sequence_number != number) {
            at += 1;
        }
        let Some(expected) = expected.get(at).filter(|expected| expected.sequence_number == number) else {
            // Behind a gap that an outage left it waited for others in the broker.
            assert!(
                gaps && *seen == 0 && subscription.early.insert((from, number)),
                "reader {stream_id}: chunk {number} of {from} was not to be seen, or not again; next is {:?}",
                expected.get(*seen).map(|expected| expected.sequence_number)
            );
            return;
        };
        *seen = at + 1;
        assert!(
            outages || by_upstream || expected.order > subscription.last_order,
            "reader {stream_id}: chunk {number} of {from} out of order among all"
        );
        subscription.last_order = expected.order;
        assert_eq!(chunk.groups.len(), expected.groups.len(), "groups of a chunk");
        for (group, (data_id, points, references)) in chunk.groups.iter().zip(&expected.groups) {
            assert_eq!(*group.data_id, *data_id, "data id of a group");
            assert_eq!(group.points, *points, "points of a group");
            assert_eq!(group.filter_references, *references, "filter references of a group");
        }
    }

    /// A reader sees metadata.
    pub(crate) fn read_metadata(
        &mut self,
        session: SessionId,
        stream_id: Uuid,
        received: &ReceivedMetadata,
        disturbed: bool,
    ) {
        let may_drop = self.may_drop;
        let base_times = std::mem::take(&mut self.base_times);
        let end = match &received.metadata {
            Metadata::UpstreamNormalClose {
                stream_id: upstream,
                total_data_points,
                final_sequence_number,
                ..
            } => {
                let record = &self.upstreams[upstream];
                assert_eq!(*final_sequence_number, record.last_sent);
                assert_eq!(*total_data_points, record.sent_points.iter().sum::<u64>());
                Some(*upstream)
            }
            Metadata::UpstreamAbnormalClose { stream_id: upstream, .. } => Some(*upstream),
            _ => None,
        };
        let subscription = self.subscription(session, stream_id);
        match &received.metadata {
            Metadata::UpstreamOpen { stream_id: upstream, .. } => {
                subscription.announced.insert(*upstream);
            }
            Metadata::BaseTime(base_time) => assert!(
                base_times.contains(&(received.source_node_id.clone(), base_time.clone())),
                "a base time nobody sent: {base_time:?}"
            ),
            _ => {}
        }
        if let Some(upstream) = end {
            subscription.ended.insert(upstream);
            let left = subscription.expected.get(&upstream).is_some_and(|(all, seen)| all.len() > *seen);
            let droppable = may_drop && subscription.request.qos != Qos::Reliable;
            assert!(!left || droppable || disturbed, "end of {upstream} before its last chunk");
        }
        self.base_times = base_times;
    }

    fn subscription(&mut self, session: SessionId, stream_id: Uuid) -> &mut Subscription {
        self.subscriptions
            .range_mut((session, 0)..=(session, u32::MAX))
            .find(|(_, subscription)| subscription.stream_id == Some(stream_id))
            .map(|(_, subscription)| subscription)
            .expect("a known downstream")
    }

    /// Everything had time to arrive: readers of undisturbed connections have seen all there is.
    pub(crate) fn check_complete(&self, disturbed: impl Fn(SessionId) -> bool) {
        for ((session, _), subscription) in &self.subscriptions {
            let droppable = self.may_drop && subscription.request.qos != Qos::Reliable;
            if subscription.active && !subscription.outage && !droppable && !disturbed(*session) {
                subscription.check_complete(*session);
            }
        }
    }

    /// The same for a RELIABLE reader that came back to its stream.
    pub(crate) fn check_read(&self, session: SessionId, stream_id: Uuid) {
        for (_, subscription) in self.subscriptions.range((session, 0)..=(session, u32::MAX)) {
            if subscription.stream_id == Some(stream_id) && subscription.request.qos == Qos::Reliable {
                subscription.check_complete(session);
            }
        }
    }

    // On the broker's side.

    /// The broker takes a message.
    pub(crate) fn broker_receives(
        &mut self,
        session: SessionId,
        link: LinkId,
        node: &str,
        message: &Message,
    ) {
        match message {
            Message::UpstreamOpenRequest(request) => {
                self.upstream_requests.insert((session, request.request_id), request.clone());
            }
            Message::UpstreamResumeRequest(request) => {
                if let Some(record) = self.upstreams.get_mut(&request.stream_id) {
                    record.link = link;
                    record.outage = true;
                }
            }
            Message::DownstreamResumeRequest(request) => {
                for subscription in self.subscriptions.values_mut() {
                    if subscription.stream_id == Some(request.stream_id) {
                        subscription.link = link;
                        subscription.outage = true;
                    }
                }
            }
            Message::DownstreamOpenRequest(request) => {
                let subscription = Subscription {
                    request: request.clone(),
                    link,
                    active: true,
                    stream_id: None,
                    expected: BTreeMap::new(),
                    last_order: 0,
                    early: BTreeSet::new(),
                    announced: BTreeSet::new(),
                    ended: BTreeSet::new(),
                    outage: false,
                };
                self.subscriptions.insert((session, request.request_id), subscription);
            }
            Message::DownstreamCloseRequest(request) => {
                for subscription in self.subscriptions.values_mut() {
                    if subscription.stream_id == Some(request.stream_id) {
                        subscription.active = false;
                    }
                }
            }
            Message::UpstreamMetadata(metadata) => {
                self.base_times.push((node.to_owned(), metadata.base_time.clone()));
            }
            Message::UpstreamChunk(chunk) => self.broker_takes(session, link, chunk),
            _ => {}
        }
    }

    fn broker_takes(&mut self, session: SessionId, link: LinkId, chunk: &UpstreamChunk) {
        let stream_id = self.upstream_aliases[&(session, chunk.stream_id_alias)];
        let record = self.upstreams.get_mut(&stream_id).expect("a known upstream");
        let number = chunk.chunk.sequence_number;
        if record.link != link {
            // The client has gone on with the stream on another.
            return;
        }
        let content = record.content(chunk);
        assert_eq!(content, record.chunks[number as usize - 1], "content of chunk {number}");
        if !record.received.insert(number) {
            assert!(record.is_reliable() && record.outage, "chunk {number} twice");
            return;
        }
        self.chunks += 1;
        let points = content.iter().map(|(_, points)| points.len() as u64).sum::<u64>();
        record.received_points += points;
        self.points += points;
        let order = self.chunks;
        let node = record.node.clone();
        for subscription in self.subscriptions.values_mut() {
            let request = &subscription.request;
            if !subscription.active || !request.filters.iter().any(|filter| filter.source_node_id == node) {
                continue;
            }
            let wanted: Vec<_> = content
                .iter()
                .map(|(data_id, points)| {
                    (data_id.clone(), points.clone(), references(request, &node, data_id))
                })
                .filter(|(_, _, references)| !references.is_empty())
                .collect();
            if !(wanted.is_empty() && request.omit_empty_chunk) {
                let (expected, _) = subscription.expected.entry(stream_id).or_default();
                expected.push(Expected { order, sequence_number: number, groups: wanted });
            }
        }
    }

    /// The broker put a message into the transport of a client.
    pub(crate) fn broker_sends(&mut self, session: SessionId, link: LinkId, node: &str, message: &Message) {
        match message {
            Message::UpstreamOpenResponse(response) => {
                let request = &self.upstream_requests[&(session, response.request_id)];
                assert!(response.result_code.is_success(), "upstream refused: {response:?}");
                self.upstream_aliases.insert((session, response.stream_id_alias), response.stream_id);
                let record = UpstreamRecord {
                    session,
                    link,
                    qos: request.qos,
                    session_name: request.session_id.clone(),
                    node: node.to_owned(),
                    aliases: response.data_id_aliases.clone(),
                    written: BTreeMap::new(),
                    written_points: 0,
                    received_points: 0,
                    last_sent: 0,
                    sent_points: Vec::new(),
                    chunks: Vec::new(),
                    sending: (link, 0),
                    received: BTreeSet::new(),
                    acked: BTreeSet::new(),
                    acked_points: 0,
                    close_requested: false,
                    outage: false,
                    replaced: false,
                };
                self.upstreams.insert(response.stream_id, record);
            }
            Message::UpstreamChunkAck(ack) => {
                let record = self.upstream_by_alias(session, ack.stream_id_alias);
                for (alias, data_id) in &ack.data_id_aliases {
                    let known = record.aliases.entry(*alias).or_insert_with(|| data_id.clone());
                    assert_eq!(known, data_id, "alias {alias} changed its meaning");
                }
            }
            Message::DownstreamOpenResponse(response) => {
                assert!(response.result_code.is_success(), "downstream refused: {response:?}");
                if let Some(subscription) = self.subscriptions.get_mut(&(session, response.request_id)) {
                    subscription.stream_id = Some(response.stream_id);
                }
            }
            Message::UpstreamResumeResponse(response) if response.result_code.is_success() => {
                assert!(self.upstream_aliases.contains_key(&(session, response.stream_id_alias)));
            }
            _ => {}
        }
    }

    /// The broker let go of a connection. Streams that wait for their client go on.
    pub(crate) fn broker_left(&mut self, link: LinkId) {
        for record in self.upstreams.values_mut().filter(|record| record.link == link) {
            record.outage = true;
        }
        let outages = self.outages;
        for subscription in self.subscriptions.values_mut().filter(|subscription| subscription.link == link) {
            subscription.outage = true;
            subscription.active &= outages;
        }
    }

    /// The broker lost everything.
    pub(crate) fn broker_crashed(&mut self) {
        for record in self.upstreams.values_mut() {
            record.outage = true;
        }
        for subscription in self.subscriptions.values_mut() {
            subscription.outage = true;
            subscription.active = false;
        }
    }
}

impl Subscription {
    fn check_complete(&self, session: SessionId) {
        for (upstream, (expected, seen)) in &self.expected {
            assert_eq!(
                *seen,
                expected.len(),
                "chunks of {upstream} seen by downstream {:?} of connection {session}",
                self.stream_id
            );
        }
    }
}

/// An operation the application started at a core.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Op {
    pub(crate) what: OpKind,
    pub(crate) started: Duration,
    pub(crate) limit: Duration,
    /// Whether it must succeed on an undisturbed connection.
    pub(crate) must_succeed: bool,
}

/// What an operation is about; streams by their place in the application.
#[derive(Clone, Copy, Debug)]
pub(crate) enum OpKind {
    Connect,
    OpenUpstream(usize),
    OpenDownstream(usize),
    Call(usize),
    /// A flush of everything written until then, in points.
    Flush {
        stream_id: Uuid,
        acknowledged: bool,
        points: u64,
    },
    /// Ends the connection; whether it must succeed on an undisturbed one.
    Close {
        sure: bool,
    },
    Other,
}

/// Filters that match, in the order of the request. Written another way than the broker does it.
fn references(request: &DownstreamOpenRequest, node: &str, data_id: &DataId) -> Vec<FilterReference> {
    let mut found = Vec::new();
    for (i, filter) in (0..).zip(&request.filters) {
        for (j, DataFilter { name, kind }) in (0..).zip(&filter.data_filters) {
            if filter.source_node_id == node && matches(name, &data_id.name) && matches(kind, &data_id.kind) {
                found.push(FilterReference { downstream_filter_index: i, data_filter_index: j });
            }
        }
    }
    found
}

fn matches(pattern: &str, value: &str) -> bool {
    fn levels(pattern: &[&str], value: &[&str]) -> bool {
        match (pattern, value) {
            (["#"], _) | ([], []) => true,
            ([first, pattern @ ..], [level, value @ ..]) => {
                (*first == "+" || first == level) && levels(pattern, value)
            }
            _ => false,
        }
    }
    levels(&pattern.split('/').collect::<Vec<_>>(), &value.split('/').collect::<Vec<_>>())
}
