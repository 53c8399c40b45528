//! One downstream: aliases, acknowledgements, and chunks without aliases for the application.

mod aliases;
mod order;
mod outage;
mod seen;

use std::collections::HashSet;
use std::time::Instant;

use uuid::Uuid;

use self::aliases::AliasTable;
pub use self::order::ReceiveCounters;
use self::order::{Arrival, Order, Ready};
use super::config::DownstreamConfig;
use super::event::{
    Event, OpId, OpenedDownstream, Output, ReceivedChunk, ReceivedGroup, ReceivedMetadata, StreamKey,
};
use super::resume::Attachment;
use crate::error::{Error, Status, printable};
use crate::message::{
    Aliases, DataId, DownstreamChunk, DownstreamChunkAck, DownstreamChunkAckComplete, DownstreamChunkResult,
    DownstreamCloseRequest, DownstreamMetadata, DownstreamOpenRequest, DownstreamOpenResponse, Message,
    Metadata, Qos, ResultCode, UpstreamInfo,
};

/// Results that are acknowledged without waiting for the ack interval, a quarter of the window that brokers
/// keep towards a reader (docs/protocol/behaviour.md §11.7 item 75).
pub const URGENT_ACKS: usize = 128;

#[derive(Debug, PartialEq, Eq)]
enum State {
    Open,
    /// Closing: the last acknowledgement waits for its completion.
    Draining {
        /// Id of the last acknowledgement, once it was sent. None is sent after it, so that a busy
        /// stream comes to an end.
        last_ack: Option<u32>,
        op: Option<OpId>,
        deadline: Instant,
    },
    /// Closing: the close request is on its way.
    Closing {
        op: Option<OpId>,
    },
}

/// A chunk the application took.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct TakenAck {
    /// Upstream of the chunk.
    pub upstream: Uuid,
    /// Its number there.
    pub sequence_number: u32,
}

/// The aliases that a downstream gives to data ids from the beginning.
fn preset(config: &DownstreamConfig) -> Aliases<DataId> {
    let mut aliases = Aliases::new();
    aliases.extend((1..).zip(config.data_ids.iter().cloned()));
    aliases
}

/// One downstream of a connection.
#[derive(Debug)]
pub(super) struct Downstream {
    key: StreamKey,
    config: DownstreamConfig,
    state: State,
    pub(super) stream_id: Uuid,
    pub(super) alias: u32,
    pub(super) server_time_ns: i64,
    upstreams: AliasTable<UpstreamInfo>,
    data_ids: AliasTable<DataId>,
    next_ack: Option<Instant>,
    last_ack_id: u32,
    completed_ack_id: u32,
    /// Taken by the application, for the next acknowledgement.
    taken: Vec<DownstreamChunkResult>,
    ack_due: bool,
    pub(super) attachment: Attachment,
    order: Order,
    /// Empty, and kept for its memory.
    ready: Vec<Ready>,
    /// Of a RELIABLE stream: chunks that are acknowledged when the application takes them.
    untaken: HashSet<(Uuid, u32)>,
}

impl Downstream {
    pub(super) fn open_request(
        config: &DownstreamConfig,
        request_id: u32,
        alias: u32,
    ) -> DownstreamOpenRequest {
        DownstreamOpenRequest {
            request_id,
            desired_stream_id_alias: alias,
            filters: config.filters.clone(),
            expiry_interval_s: u32::try_from(config.expiry_interval.as_secs()).unwrap_or(u32::MAX),
            data_id_aliases: preset(config),
            qos: config.qos,
            omit_empty_chunk: config.omit_empty_chunk,
        }
    }

    pub(super) fn new(
        key: StreamKey,
        alias: u32,
        config: DownstreamConfig,
        response: &DownstreamOpenResponse,
    ) -> Self {
        let known = preset(&config);
        Self {
            key,
            order: Order::new(&config),
            ready: Vec::new(),
            config,
            state: State::Open,
            stream_id: response.stream_id,
            alias,
            server_time_ns: response.server_time_ns,
            upstreams: AliasTable::new(&Aliases::new()),
            data_ids: AliasTable::new(&known),
            next_ack: None,
            last_ack_id: 0,
            completed_ack_id: 0,
            taken: Vec::new(),
            ack_due: false,
            attachment: Attachment::new(response.resume_token.clone()),
            untaken: HashSet::new(),
        }
    }

    pub(super) fn handle_chunk(
        &mut self,
        chunk: DownstreamChunk,
        now: Instant,
        events: &mut Vec<Event>,
    ) -> Result<(), Error> {
        let upstream = self
            .upstreams
            .resolve(chunk.upstream)
            .map_err(|alias| self.unknown_alias("upstream", alias, chunk.chunk.sequence_number))?;
        let mut references = chunk.filter_references.into_iter();
        let mut groups = Vec::with_capacity(chunk.chunk.groups.len());
        for group in chunk.chunk.groups {
            let data_id = self
                .data_ids
                .resolve(group.data_id)
                .map_err(|alias| self.unknown_alias("data id", alias, chunk.chunk.sequence_number))?;
            let filter_references = references.next().unwrap_or_default();
            groups.push(ReceivedGroup { data_id, points: group.points, filter_references });
        }
        if self.upstreams.has_fresh() || self.data_ids.has_fresh() {
            self.want_ack(now, false);
        }
        let sequence_number = chunk.chunk.sequence_number;
        let source = upstream.stream_id;
        let received = ReceivedChunk { upstream, sequence_number, groups };
        let mut ready = std::mem::take(&mut self.ready);
        let arrival = self.order.receive(received, now, &mut ready);
        self.deliver(ready, now, events);
        let arrival = arrival.map_err(|error| self.name(error))?;
        let acknowledges = match arrival {
            Arrival::Ready => false,
            // The server need not wait for the application: the chunk that is missing may stand behind the
            // end of its window.
            Arrival::Waited | Arrival::Dropped => true,
            // One that waits for the application is acknowledged when that takes it.
            Arrival::Duplicate => !self.untaken.contains(&(source, sequence_number)),
        };
        if acknowledges && self.config.qos == Qos::Reliable {
            self.taken.push(result(source, sequence_number));
            self.want_ack(now, arrival == Arrival::Duplicate || self.taken.len() >= URGENT_ACKS);
        }
        Ok(())
    }

    /// Hands chunks to the application.
    fn deliver(&mut self, mut ready: Vec<Ready>, now: Instant, events: &mut Vec<Event>) {
        for Ready { chunk, waited } in ready.drain(..) {
            if self.config.qos == Qos::Reliable && !waited {
                let (upstream, sequence_number) = (chunk.upstream.stream_id, chunk.sequence_number);
                if self.config.ack_on_arrival {
                    self.taken.push(result(upstream, sequence_number));
                    self.want_ack(now, self.taken.len() >= URGENT_ACKS);
                } else {
                    self.untaken.insert((upstream, sequence_number));
                }
            }
            events.push(Event::Chunk(self.key, chunk));
        }
        self.ready = ready;
    }

    /// Says of which stream an error is.
    fn name(&self, error: Error) -> Error {
        error.context(format!("downstream {}", self.stream_id))
    }

    fn unknown_alias(&self, kind: &str, alias: u32, sequence_number: u32) -> Error {
        Error::new(
            Status::ProtocolViolation,
            format!(
                "downstream {}: chunk {sequence_number} names the {kind} by alias {alias}, which was never agreed",
                self.stream_id
            ),
        )
    }

    /// Whether a filter names the node.
    pub(super) fn reads(&self, node_id: &str) -> bool {
        self.config.filters.iter().any(|filter| filter.source_node_id == node_id)
    }

    /// Metadata arrived over the connection of this number.
    pub(super) fn handle_metadata(
        &mut self,
        message: DownstreamMetadata,
        link: u32,
        now: Instant,
        events: &mut Vec<Event>,
    ) -> Result<(), Error> {
        let mut ready = Vec::new();
        let ended = match &message.metadata {
            Metadata::UpstreamOpen { stream_id, qos, .. }
            | Metadata::UpstreamResume { stream_id, qos, .. } => {
                self.order.note_qos(*stream_id, *qos);
                Ok(())
            }
            Metadata::UpstreamNormalClose { stream_id, final_sequence_number, .. } => {
                self.order.end_of(*stream_id, Some(*final_sequence_number), &mut ready)
            }
            Metadata::UpstreamAbnormalClose { stream_id, .. } => {
                self.order.end_of(*stream_id, None, &mut ready)
            }
            _ => Ok(()),
        };
        // Before the news that there are no more.
        self.deliver(ready, now, events);
        let metadata = ReceivedMetadata {
            source_node_id: message.source_node_id,
            metadata: message.metadata,
            request_id: message.request_id,
            link,
        };
        events.push(Event::Metadata(self.key, metadata));
        ended.map_err(|error| self.name(error))
    }

    /// The application took chunks: acknowledge within the ack interval, or now.
    pub(super) fn want_ack(&mut self, now: Instant, urgent: bool) {
        let at = if urgent { now } else { now + self.config.ack_interval };
        self.next_ack = Some(self.next_ack.map_or(at, |next| next.min(at)));
    }

    pub(super) fn next_timeout(&self) -> Option<Instant> {
        let drain = match self.state {
            State::Draining { deadline, .. } => Some(deadline),
            _ => None,
        };
        [self.next_ack, drain, self.order.next_timeout()].into_iter().flatten().min()
    }

    pub(super) fn handle_timeout(&mut self, now: Instant, events: &mut Vec<Event>) {
        if self.next_ack.is_some_and(|at| at <= now) {
            self.next_ack = None;
            self.ack_due = true;
            events.push(Event::CollectAcks(self.key));
        }
        let mut ready = Vec::new();
        self.order.handle_timeout(now, &mut ready);
        self.deliver(ready, now, events);
    }

    /// Whether closing waited for the last acknowledgement as long as it may.
    pub(super) fn is_overdue(&self, now: Instant) -> bool {
        matches!(self.state, State::Draining { deadline, .. } if deadline <= now)
    }

    pub(super) fn acknowledge(&mut self, taken: impl IntoIterator<Item = TakenAck>) {
        for ack in taken {
            let owed = self.untaken.remove(&(ack.upstream, ack.sequence_number));
            // Others of a RELIABLE stream were acknowledged when they came.
            if owed || self.config.qos != Qos::Reliable {
                self.taken.push(result(ack.upstream, ack.sequence_number));
            }
        }
        self.ack_due = true;
    }

    pub(super) fn poll_ack(&mut self) -> Option<DownstreamChunkAck> {
        if matches!(self.state, State::Draining { last_ack: Some(_), .. } | State::Closing { .. })
            || !self.attachment.is_attached()
            || !std::mem::take(&mut self.ack_due)
        {
            return None;
        }
        let ack = self.build_ack();
        if let State::Draining { last_ack, .. } = &mut self.state {
            *last_ack = Some(self.last_ack_id);
        }
        ack
    }

    fn build_ack(&mut self) -> Option<DownstreamChunkAck> {
        if self.taken.is_empty() && !self.upstreams.has_fresh() && !self.data_ids.has_fresh() {
            return None;
        }
        self.last_ack_id = self.last_ack_id.wrapping_add(1);
        Some(DownstreamChunkAck {
            stream_id_alias: self.alias,
            ack_id: self.last_ack_id,
            results: std::mem::take(&mut self.taken),
            upstream_aliases: self.upstreams.announce(self.last_ack_id),
            data_id_aliases: self.data_ids.announce(self.last_ack_id),
        })
    }

    pub(super) fn handle_ack_complete(&mut self, complete: &DownstreamChunkAckComplete) {
        self.completed_ack_id = complete.ack_id;
        if complete.result_code.is_success() {
            self.upstreams.confirm(complete.ack_id);
            self.data_ids.confirm(complete.ack_id);
        } else {
            tracing::warn!(
                "downstream {}: acknowledgement {} failed: {} {}",
                self.stream_id,
                complete.ack_id,
                complete.result_code,
                printable(complete.result_string.as_bytes())
            );
        }
    }

    pub(super) fn close(&mut self, op: Option<OpId>, now: Instant, events: &mut Vec<Event>) {
        if self.state != State::Open {
            if let Some(op) = op {
                let error = Error::new(Status::Closed, "the downstream is closed");
                events.push(Event::Done(op, Err(error)));
            }
            return;
        }
        // What the application took until now is acknowledged before the stream is closed.
        events.push(Event::CollectAcks(self.key));
        self.ack_due = true;
        self.state = State::Draining { last_ack: None, op, deadline: now + self.config.close_timeout };
    }

    /// The close request, once the last acknowledgement was completed.
    pub(super) fn poll_close(&mut self, now: Instant, request_id: impl FnOnce() -> u32) -> Option<Message> {
        let State::Draining { op, deadline, last_ack } = self.state else {
            return None;
        };
        if now < deadline && last_ack != Some(self.completed_ack_id) {
            return None;
        }
        self.state = State::Closing { op };
        let request = DownstreamCloseRequest { request_id: request_id(), stream_id: self.stream_id };
        Some(Message::DownstreamCloseRequest(request))
    }

    /// The server answered the close request, or did not.
    pub(super) fn closed(mut self, outcome: Result<(), Error>, events: &mut Vec<Event>) {
        let outcome = outcome.and(self.release_all(events));
        if let State::Closing { op: Some(op) } = self.state {
            events.push(Event::Done(op, outcome.clone().map(|()| Output::Done)));
        }
        events.push(Event::DownstreamClosed(self.key, outcome.err()));
    }

    /// The stream cannot go on.
    pub(super) fn failed(mut self, error: &Error, events: &mut Vec<Event>) {
        if let Err(gap) = self.release_all(events) {
            tracing::warn!("{gap}");
        }
        if let State::Draining { op: Some(op), .. } | State::Closing { op: Some(op) } = self.state {
            events.push(Event::Done(op, Err(error.clone())));
        }
        events.push(Event::DownstreamClosed(self.key, Some(error.clone().fatal())));
    }

    /// The stream ends: nothing is waited for any more.
    fn release_all(&mut self, events: &mut Vec<Event>) -> Result<(), Error> {
        let mut ready = Vec::new();
        let outcome = self.order.finish(&mut ready);
        events.extend(ready.into_iter().map(|ready| Event::Chunk(self.key, ready.chunk)));
        outcome.map_err(|error| self.name(error))
    }

    pub(super) fn is_closing(&self) -> bool {
        self.state != State::Open
    }

    pub(super) fn opened(&self) -> OpenedDownstream {
        OpenedDownstream {
            key: self.key,
            stream_id: self.stream_id,
            server_time_ns: self.server_time_ns,
            counters: self.order.counters.clone(),
        }
    }
}

fn result(upstream: Uuid, sequence_number: u32) -> DownstreamChunkResult {
    DownstreamChunkResult {
        upstream_stream_id: upstream,
        upstream_sequence_number: sequence_number,
        result_code: ResultCode::SUCCEEDED,
        result_string: "OK".to_owned(),
    }
}
