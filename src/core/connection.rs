//! The connection: handshake, requests and their answers, keep-alive, and its streams.

use std::collections::btree_map::Entry;
use std::collections::{BTreeMap, HashMap, VecDeque};
use std::ops::Bound::{Excluded, Included, Unbounded};
use std::time::{Duration, Instant};

use super::config::{ConnectionConfig, DownstreamConfig, PROTOCOL_VERSION, UpstreamConfig};
use super::downstream::{Downstream, TakenAck};
use super::event::{Event, OpId, OpenedDownstream, OpenedUpstream, Output, ReceivedMetadata, StreamKey};
use super::keep_alive::{Due, KeepAlive};
use super::upstream::{FlushLevel, Upstream};
use super::version;
use crate::error::{Error, Status};
use crate::message::{
    BaseTime, ConnectRequest, ConnectResponse, Disconnect, DownstreamCloseRequest, DownstreamOpenResponse,
    Message, Reply, ResultCode, UpstreamCloseRequest, UpstreamMetadata, UpstreamOpenResponse,
};

/// Answers and requests that wait to be sent before reading stops: a peer must not make us hold more.
const MAX_ANSWERS: usize = 4096;

#[derive(Debug)]
enum State {
    Connecting,
    Open,
    /// Closing its streams before it says goodbye.
    Closing {
        op: Option<OpId>,
        deadline: Instant,
    },
    Closed,
}

#[derive(Debug)]
enum Request {
    Connect(OpId),
    OpenUpstream(OpId, Box<UpstreamConfig>),
    CloseUpstream(StreamKey),
    OpenDownstream(OpId, u32, Box<DownstreamConfig>),
    CloseDownstream(StreamKey),
    Metadata(OpId),
}

impl Request {
    fn name(&self) -> &'static str {
        match self {
            Self::Connect(_) => "connect",
            Self::OpenUpstream(..) => "open upstream",
            Self::CloseUpstream(_) => "close upstream",
            Self::OpenDownstream(..) => "open downstream",
            Self::CloseDownstream(_) => "close downstream",
            Self::Metadata(_) => "send metadata",
        }
    }
}

#[derive(Debug)]
struct Pending {
    request: Request,
    deadline: Instant,
}

/// A connection of a client, without its transport.
///
/// Give it what arrives ([`handle_message`](Self::handle_message)), the time
/// ([`handle_timeout`](Self::handle_timeout)) and the application's commands; then take what it wants
/// to send ([`poll_transmit`](Self::poll_transmit)), when it wants to be called again
/// ([`next_timeout`](Self::next_timeout)) and what happened ([`take_events`](Self::take_events)).
#[derive(Debug)]
pub struct Connection {
    config: ConnectionConfig,
    state: State,
    next_request_id: u32,
    /// In the order of the requests, so that they end in that order too.
    pending: BTreeMap<u32, Pending>,
    keep_alive: KeepAlive,
    next_key: u32,
    upstreams: BTreeMap<StreamKey, Upstream>,
    upstream_aliases: HashMap<u32, StreamKey>,
    downstreams: BTreeMap<StreamKey, Downstream>,
    downstream_aliases: HashMap<u32, StreamKey>,
    next_downstream_alias: u32,
    /// Where the search for the next chunk starts, so that no upstream starves another.
    last_served: StreamKey,
    control: VecDeque<Message>,
    events: Vec<Event>,
}

impl Connection {
    /// A connection over a transport that was just established. `op` ends when the server accepted.
    pub fn new(config: ConnectionConfig, access_token: String, op: OpId, now: Instant) -> Self {
        let mut connection = Self {
            keep_alive: KeepAlive::new(config.ping_interval, config.ping_timeout, now),
            config,
            state: State::Connecting,
            next_request_id: 0,
            pending: BTreeMap::new(),
            next_key: 0,
            upstreams: BTreeMap::new(),
            upstream_aliases: HashMap::new(),
            downstreams: BTreeMap::new(),
            downstream_aliases: HashMap::new(),
            next_downstream_alias: 1,
            last_served: StreamKey(0),
            control: VecDeque::new(),
            events: Vec::new(),
        };
        let request_id = connection.request(Request::Connect(op), now);
        let request = ConnectRequest {
            request_id,
            protocol_version: PROTOCOL_VERSION.to_owned(),
            node_id: connection.config.node_id.clone(),
            ping_interval_s: whole_seconds(connection.config.ping_interval),
            ping_timeout_s: whole_seconds(connection.config.ping_timeout),
            access_token,
            project_uuid: connection.config.project_uuid,
            ..ConnectRequest::default()
        };
        connection.control.push_back(Message::ConnectRequest(request));
        connection
    }

    // Commands of the application.

    /// Opens an upstream; `op` yields [`Output::Upstream`].
    pub fn open_upstream(&mut self, op: OpId, config: UpstreamConfig, now: Instant) {
        if self.refuse_unless_open(op) {
            return;
        }
        let request_id = self.request(Request::OpenUpstream(op, Box::new(config.clone())), now);
        let request = Upstream::open_request(&config, request_id);
        self.control.push_back(Message::UpstreamOpenRequest(request));
    }

    /// Opens a downstream; `op` yields [`Output::Downstream`].
    pub fn open_downstream(&mut self, op: OpId, config: DownstreamConfig, now: Instant) {
        if self.refuse_unless_open(op) {
            return;
        }
        let alias = self.next_downstream_alias;
        self.next_downstream_alias += 1;
        let request_id = self.request(Request::OpenDownstream(op, alias, Box::new(config.clone())), now);
        let request = Downstream::open_request(&config, request_id, alias);
        self.control.push_back(Message::DownstreamOpenRequest(request));
    }

    /// Sends a base time; `op` ends when the server took it.
    pub fn send_base_time(&mut self, op: OpId, base_time: BaseTime, persist: bool, now: Instant) {
        if self.refuse_unless_open(op) {
            return;
        }
        let request_id = self.request(Request::Metadata(op), now);
        self.control.push_back(Message::UpstreamMetadata(UpstreamMetadata {
            request_id,
            base_time,
            persist,
        }));
    }

    /// An upstream's buffer wants attention.
    pub fn attend_upstream(&mut self, key: StreamKey, now: Instant) {
        if let Some(upstream) = self.upstreams.get_mut(&key) {
            upstream.attend(now);
        }
    }

    /// An upstream's buffer is full.
    pub fn relieve_upstream(&mut self, key: StreamKey) {
        if let Some(upstream) = self.upstreams.get_mut(&key) {
            upstream.relieve();
        }
    }

    /// Flushes an upstream; `op` ends when `level` is reached for everything written before.
    pub fn flush_upstream(
        &mut self,
        op: OpId,
        key: StreamKey,
        level: FlushLevel,
        now: Instant,
        timeout: Duration,
    ) {
        match self.upstreams.get_mut(&key) {
            Some(upstream) => upstream.flush(op, level, now + timeout, &mut self.events),
            None => self.done(op, Err(Error::new(Status::Closed, "the upstream is closed"))),
        }
    }

    /// Closes an upstream; `op` ends when everything is delivered and the server confirmed.
    pub fn close_upstream(&mut self, op: Option<OpId>, key: StreamKey, close_session: bool, now: Instant) {
        match (self.upstreams.get_mut(&key), op) {
            (Some(upstream), op) => upstream.close(op, close_session, now, &mut self.events),
            (None, Some(op)) => self.done(op, Err(Error::new(Status::Closed, "the upstream is closed"))),
            (None, None) => {}
        }
    }

    /// The application took chunks of a downstream: they are to be acknowledged within its ack
    /// interval, or now if `urgent`.
    pub fn want_ack(&mut self, key: StreamKey, urgent: bool, now: Instant) {
        if let Some(downstream) = self.downstreams.get_mut(&key) {
            downstream.want_ack(now, urgent);
        }
    }

    /// What the application took, after [`Event::CollectAcks`].
    pub fn acknowledge(&mut self, key: StreamKey, taken: impl IntoIterator<Item = TakenAck>) {
        if let Some(downstream) = self.downstreams.get_mut(&key) {
            downstream.acknowledge(taken);
        }
    }

    /// The application took metadata.
    pub fn acknowledge_metadata(&mut self, metadata: &ReceivedMetadata) {
        if self.is_closed() {
            return;
        }
        self.control.push_back(Message::DownstreamMetadataAck(Reply {
            request_id: metadata.request_id,
            result_code: ResultCode::SUCCEEDED,
            result_string: "OK".to_owned(),
        }));
    }

    /// Closes a downstream; `op` ends when the server confirmed.
    pub fn close_downstream(&mut self, op: Option<OpId>, key: StreamKey, now: Instant) {
        match (self.downstreams.get_mut(&key), op) {
            (Some(downstream), op) => downstream.close(op, now, &mut self.events),
            (None, Some(op)) => self.done(op, Err(Error::new(Status::Closed, "the downstream is closed"))),
            (None, None) => {}
        }
    }

    /// Ends a downstream that the application cannot keep up with, loudly.
    pub fn fail_downstream(&mut self, key: StreamKey, error: &Error) {
        let Some(downstream) = self.downstreams.remove(&key) else {
            return;
        };
        self.downstream_aliases.remove(&downstream.alias);
        let request_id = self.next_id();
        self.control.push_back(Message::DownstreamCloseRequest(DownstreamCloseRequest {
            request_id,
            stream_id: downstream.stream_id,
        }));
        downstream.failed(error, &mut self.events);
    }

    /// Closes every stream, says goodbye and ends; at the latest after `timeout`.
    pub fn close(&mut self, op: Option<OpId>, now: Instant, timeout: Duration) {
        match self.state {
            State::Open => {
                for upstream in self.upstreams.values_mut().filter(|upstream| !upstream.is_closing()) {
                    upstream.close(None, false, now, &mut self.events);
                }
                for downstream in self.downstreams.values_mut().filter(|downstream| !downstream.is_closing())
                {
                    downstream.close(None, now, &mut self.events);
                }
                self.state = State::Closing { op, deadline: now + timeout };
            }
            State::Connecting => {
                let error = Error::new(Status::Cancelled, "connect: the connection was closed meanwhile");
                if let Some(op) = op {
                    self.done(op, Ok(Output::Done));
                }
                self.end(Some(&error));
            }
            State::Closing { .. } | State::Closed => {
                if let Some(op) = op {
                    self.done(op, Err(Error::new(Status::Closed, "the connection is closed")));
                }
            }
        }
    }

    /// The peer took data although the transport had been full: it is there, however late its answer
    /// to a ping is.
    pub fn transport_progressed(&mut self, now: Instant) {
        self.keep_alive.heard(now);
    }

    /// Whether so many answers wait to be sent that no more questions should be read.
    pub fn is_congested(&self) -> bool {
        self.control.len() > MAX_ANSWERS
    }

    /// The transport is gone.
    pub fn transport_lost(&mut self, error: &Error) {
        if let State::Closed = self.state {
            return;
        }
        self.end(Some(error));
    }

    // Inputs from the peer and the clock.

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
                return self.end(Some(&error));
            }
            _ => {}
        }
        match message {
            Message::ConnectResponse(response) => self.handle_connect_response(response),
            Message::Disconnect(disconnect) => self.handle_disconnect(&disconnect),
            Message::Ping(request_id) => self.control.push_front(Message::Pong(request_id)),
            Message::Pong(request_id) => self.keep_alive.pong(request_id, now),
            Message::UpstreamOpenResponse(response) => self.handle_upstream_open(response, now),
            Message::UpstreamCloseResponse(reply) => self.handle_upstream_close(&reply),
            Message::UpstreamMetadataAck(reply) => self.handle_metadata_ack(&reply),
            Message::DownstreamOpenResponse(response) => self.handle_downstream_open(&response, now),
            Message::DownstreamCloseResponse(reply) => self.handle_downstream_close(&reply),
            Message::UpstreamChunkAck(ack) => {
                if let Some(key) = self.upstream_aliases.get(&ack.stream_id_alias)
                    && let Some(upstream) = self.upstreams.get_mut(key)
                {
                    upstream.handle_ack(ack, &mut self.events);
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
            Message::DownstreamMetadata(metadata) => {
                if let Some(key) = self.downstream_aliases.get(&metadata.stream_id_alias)
                    && let Some(downstream) = self.downstreams.get_mut(key)
                {
                    downstream.handle_metadata(metadata, &mut self.events);
                }
            }
            // Well-formed messages that a client has no use for are ignored
            // (docs/protocol/behaviour.md §12.5 item 12).
            other => tracing::debug!("ignored a {} from the server", other.name()),
        }
    }

    /// Something arrived that is no message.
    pub fn handle_malformed(&mut self, reason: &str) {
        if !matches!(self.state, State::Closed) {
            self.control.push_back(Message::Disconnect(Disconnect {
                result_code: ResultCode::MALFORMED_MESSAGE,
                result_string: reason.to_owned(),
            }));
            let error = Error::new(
                Status::MalformedMessage,
                format!("the server sent a malformed message: {reason}"),
            );
            self.end(Some(&error));
        }
    }

    /// Time passed.
    pub fn handle_timeout(&mut self, now: Instant) {
        if matches!(self.state, State::Closed) {
            return;
        }
        let expired: Vec<u32> =
            self.pending.iter().filter(|(_, p)| p.deadline <= now).map(|(&id, _)| id).collect();
        for request_id in expired {
            if let Some(pending) = self.pending.remove(&request_id) {
                let error = Error::new(
                    Status::Timeout,
                    format!("{}: the server did not answer in time", pending.request.name()),
                );
                self.fail_request(pending.request, error);
            }
        }
        for upstream in self.upstreams.values_mut() {
            upstream.handle_timeout(now, &mut self.events);
        }
        for downstream in self.downstreams.values_mut() {
            downstream.handle_timeout(now, &mut self.events);
        }
        // Not left to the transport: one that takes nothing would keep the deadlines in the past.
        while let Some(close) = self.poll_stream_close(now, true) {
            self.control.push_back(close);
        }
        if let State::Closing { deadline, .. } = self.state
            && deadline <= now
        {
            let error = Error::new(Status::Timeout, "close: the streams did not end in time");
            self.say_goodbye(Some(&error));
        }
        // Before the server accepted, the response time-out is what counts.
        if matches!(self.state, State::Open | State::Closing { .. }) {
            match self.keep_alive.due(now) {
                Some(Due::Ping) => {
                    let request_id = self.next_id();
                    self.keep_alive.pinged(request_id, now);
                    self.control.push_back(Message::Ping(request_id));
                }
                Some(Due::PeerGone) => {
                    let error = Error::new(
                        Status::KeepAliveTimeout,
                        format!("the server did not answer a ping within {:?}", self.config.ping_timeout),
                    );
                    self.end(Some(&error));
                }
                None => {}
            }
        }
    }

    // Outputs.

    /// Next message to send. Call it whenever the transport can take one.
    pub fn poll_transmit(&mut self, now: Instant) -> Option<Message> {
        if let Some(message) = self.control.pop_front() {
            if matches!(message, Message::Ping(_)) {
                self.keep_alive.sent(now);
            }
            return Some(message);
        }
        if !matches!(self.state, State::Open | State::Closing { .. }) {
            return None;
        }
        if let Some(ack) = self.downstreams.values_mut().find_map(Downstream::poll_ack) {
            return Some(Message::DownstreamChunkAck(ack));
        }
        // Before chunks: a stream that keeps the transport busy must not hold up the end of another.
        if let Some(message) = self.poll_stream_close(now, false) {
            return Some(message);
        }
        if let Some(message) = self.poll_chunk(now) {
            return Some(message);
        }
        if let State::Closing { .. } = self.state
            && self.upstreams.is_empty()
            && self.downstreams.is_empty()
            && self.pending.is_empty()
        {
            self.say_goodbye(None);
            return self.control.pop_front();
        }
        None
    }

    fn poll_chunk(&mut self, now: Instant) -> Option<Message> {
        let after = (Excluded(self.last_served), Unbounded);
        let until = (Unbounded, Included(self.last_served));
        for range in [after, until] {
            for (&key, upstream) in self.upstreams.range_mut(range) {
                if let Some(chunk) = upstream.poll_chunk(now, &mut self.events) {
                    self.last_served = key;
                    return Some(Message::UpstreamChunk(chunk));
                }
            }
        }
        None
    }

    /// Close request of a stream that is ready for it, if `overdue` of one that waited long enough.
    fn poll_stream_close(&mut self, now: Instant, overdue: bool) -> Option<Message> {
        let Self { upstreams, downstreams, next_request_id, pending, config, .. } = self;
        let deadline = now + config.response_timeout;
        let mut request_id = |request| {
            let id = take_id(next_request_id);
            pending.insert(id, Pending { request, deadline });
            id
        };
        for (&key, upstream) in upstreams.iter_mut() {
            if overdue && !upstream.is_overdue(now) {
                continue;
            }
            let close = upstream.poll_close(|| request_id(Request::CloseUpstream(key)));
            if close.is_some() {
                return close;
            }
        }
        for (&key, downstream) in downstreams.iter_mut() {
            if overdue && !downstream.is_overdue(now) {
                continue;
            }
            let close = downstream.poll_close(now, || request_id(Request::CloseDownstream(key)));
            if close.is_some() {
                return close;
            }
        }
        None
    }

    /// When [`handle_timeout`](Self::handle_timeout) wants to be called.
    pub fn next_timeout(&self) -> Option<Instant> {
        let keep_alive = match self.state {
            State::Closed => return None,
            State::Connecting => None,
            State::Open => Some(self.keep_alive.next_timeout()),
            State::Closing { deadline, .. } => Some(deadline.min(self.keep_alive.next_timeout())),
        };
        let requests = self.pending.values().map(|pending| pending.deadline);
        let upstreams = self.upstreams.values().filter_map(Upstream::next_timeout);
        let downstreams = self.downstreams.values().filter_map(Downstream::next_timeout);
        requests.chain(upstreams).chain(downstreams).chain(keep_alive).min()
    }

    /// What happened since the last call, in order.
    pub fn take_events(&mut self) -> Vec<Event> {
        std::mem::take(&mut self.events)
    }

    /// Whether the connection ended.
    pub fn is_closed(&self) -> bool {
        matches!(self.state, State::Closed)
    }

    /// Time the last ping took.
    pub fn round_trip(&self) -> Option<Duration> {
        self.keep_alive.round_trip()
    }

    // Messages, one by one.

    fn handle_connect_response(&mut self, response: ConnectResponse) {
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
            self.done(op, Err(error.clone()));
            return self.end(Some(&error));
        }
        self.state = State::Open;
        self.events.push(Event::Connected { protocol_version: response.protocol_version });
        self.done(op, Ok(Output::Done));
    }

    fn handle_disconnect(&mut self, disconnect: &Disconnect) {
        let error = Error::refused("connection", disconnect.result_code, &disconnect.result_string);
        let status = match error.status() {
            Status::Refused => Status::Disconnected,
            other => other,
        };
        let detail = match disconnect.result_string.as_str() {
            "" => String::new(),
            text => format!(" ({text})"),
        };
        let error =
            Error::new(status, format!("the server disconnected: {}{detail}", disconnect.result_code))
                .with_result(disconnect.result_code, &disconnect.result_string);
        self.end(Some(&error));
    }

    fn handle_upstream_open(&mut self, response: UpstreamOpenResponse, now: Instant) {
        let Some(Request::OpenUpstream(op, config)) =
            self.answered(response.request_id, |request| matches!(request, Request::OpenUpstream(..)))
        else {
            let ours = |upstream: &Upstream| upstream.stream_id == response.stream_id;
            if response.result_code.is_success() && !self.upstreams.values().any(ours) {
                // The application was told that it failed: nobody else would close it.
                let request_id = self.next_id();
                self.control.push_back(Message::UpstreamCloseRequest(UpstreamCloseRequest {
                    request_id,
                    stream_id: response.stream_id,
                    ..UpstreamCloseRequest::default()
                }));
            }
            return self.unexpected("UpstreamOpenResponse", response.request_id);
        };
        if !response.result_code.is_success() {
            let error = Error::refused("open upstream", response.result_code, &response.result_string);
            return self.done(op, Err(error));
        }
        if self.upstream_aliases.contains_key(&response.stream_id_alias) {
            let error = Error::new(
                Status::ProtocolViolation,
                format!("open upstream: the server gave alias {} twice", response.stream_id_alias),
            );
            self.done(op, Err(error.clone()));
            return self.end(Some(&error));
        }
        let key = self.new_key();
        let upstream = Upstream::new(key, *config, response);
        self.upstream_aliases.insert(upstream.alias, key);
        let opened = OpenedUpstream {
            key,
            stream_id: upstream.stream_id,
            server_time_ns: upstream.server_time_ns,
            buffer: upstream.buffer.clone(),
        };
        self.upstreams.insert(key, upstream);
        self.done(op, Ok(Output::Upstream(opened)));
        if let State::Closing { .. } = self.state {
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

    fn upstream_closed(&mut self, key: StreamKey, outcome: Result<(), Error>) {
        if let Some(upstream) = self.upstreams.remove(&key) {
            self.upstream_aliases.remove(&upstream.alias);
            upstream.closed(outcome, &mut self.events);
        }
    }

    fn handle_metadata_ack(&mut self, reply: &Reply) {
        let Some(Request::Metadata(op)) =
            self.answered(reply.request_id, |request| matches!(request, Request::Metadata(_)))
        else {
            return self.unexpected("UpstreamMetadataAck", reply.request_id);
        };
        self.done(op, reply_outcome("send metadata", reply).map(|()| Output::Done));
    }

    fn handle_downstream_open(&mut self, response: &DownstreamOpenResponse, now: Instant) {
        let Some(Request::OpenDownstream(op, alias, config)) =
            self.answered(response.request_id, |request| matches!(request, Request::OpenDownstream(..)))
        else {
            let ours = |downstream: &Downstream| downstream.stream_id == response.stream_id;
            if response.result_code.is_success() && !self.downstreams.values().any(ours) {
                // As for upstreams; its chunks would never be acknowledged either.
                let request_id = self.next_id();
                self.control.push_back(Message::DownstreamCloseRequest(DownstreamCloseRequest {
                    request_id,
                    stream_id: response.stream_id,
                }));
            }
            return self.unexpected("DownstreamOpenResponse", response.request_id);
        };
        if !response.result_code.is_success() {
            let error = Error::refused("open downstream", response.result_code, &response.result_string);
            return self.done(op, Err(error));
        }
        let key = self.new_key();
        let downstream = Downstream::new(key, alias, *config, response);
        let opened = OpenedDownstream {
            key,
            stream_id: downstream.stream_id,
            server_time_ns: downstream.server_time_ns,
        };
        self.downstream_aliases.insert(alias, key);
        self.downstreams.insert(key, downstream);
        self.done(op, Ok(Output::Downstream(opened)));
        if let State::Closing { .. } = self.state {
            self.close_downstream(None, key, now);
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

    fn downstream_closed(&mut self, key: StreamKey, outcome: Result<(), Error>) {
        if let Some(downstream) = self.downstreams.remove(&key) {
            self.downstream_aliases.remove(&downstream.alias);
            downstream.closed(outcome, &mut self.events);
        }
    }

    // Requests.

    fn next_id(&mut self) -> u32 {
        take_id(&mut self.next_request_id)
    }

    fn request(&mut self, request: Request, now: Instant) -> u32 {
        let request_id = self.next_id();
        let deadline = now + self.config.response_timeout;
        self.pending.insert(request_id, Pending { request, deadline });
        request_id
    }

    /// The request that is answered. One of another kind goes on waiting: it must still end.
    fn answered(&mut self, request_id: u32, kind: fn(&Request) -> bool) -> Option<Request> {
        match self.pending.entry(request_id) {
            Entry::Occupied(entry) if kind(&entry.get().request) => Some(entry.remove().request),
            _ => None,
        }
    }

    /// An answer that nobody waits for: too late, or not an answer to what was asked.
    fn unexpected(&mut self, what: &str, request_id: u32) {
        tracing::debug!("ignored a {what} to request {request_id}, which is not waiting for one");
    }

    fn fail_request(&mut self, request: Request, error: Error) {
        match request {
            Request::Connect(op) => {
                self.done(op, Err(error.clone()));
                self.end(Some(&error));
            }
            Request::OpenUpstream(op, _) | Request::OpenDownstream(op, ..) | Request::Metadata(op) => {
                self.done(op, Err(error));
            }
            Request::CloseUpstream(key) => self.upstream_closed(key, Err(error)),
            Request::CloseDownstream(key) => self.downstream_closed(key, Err(error)),
        }
    }

    fn refuse_unless_open(&mut self, op: OpId) -> bool {
        let open = matches!(self.state, State::Open);
        if !open {
            self.done(op, Err(Error::new(Status::Closed, "the connection is closed")));
        }
        !open
    }

    fn done(&mut self, op: OpId, outcome: Result<Output, Error>) {
        self.events.push(Event::Done(op, outcome));
    }

    fn new_key(&mut self) -> StreamKey {
        self.next_key += 1;
        StreamKey(self.next_key)
    }

    // The end.

    fn say_goodbye(&mut self, error: Option<&Error>) {
        self.control.push_back(Message::Disconnect(Disconnect {
            result_code: ResultCode::SUCCEEDED,
            result_string: "NormalClosure".to_owned(),
        }));
        self.end(error);
    }

    /// Ends everything that is left, for a reason or in order.
    fn end(&mut self, error: Option<&Error>) {
        let closing = match std::mem::replace(&mut self.state, State::Closed) {
            State::Closing { op, .. } => op,
            _ => None,
        };
        let gone = Error::new(Status::Closed, "the connection is closed");
        let error = error.cloned().map(Error::fatal);
        let reason = error.as_ref().unwrap_or(&gone);
        for upstream in std::mem::take(&mut self.upstreams).into_values() {
            upstream.lost(reason, &mut self.events);
        }
        for downstream in std::mem::take(&mut self.downstreams).into_values() {
            downstream.failed(reason, &mut self.events);
        }
        for pending in std::mem::take(&mut self.pending).into_values() {
            match pending.request {
                Request::Connect(op)
                | Request::OpenUpstream(op, _)
                | Request::OpenDownstream(op, ..)
                | Request::Metadata(op) => self.events.push(Event::Done(op, Err(reason.clone()))),
                // Their streams were told above.
                Request::CloseUpstream(_) | Request::CloseDownstream(_) => {}
            }
        }
        if let Some(op) = closing {
            self.events.push(Event::Done(op, error.clone().map_or(Ok(Output::Done), Err)));
        }
        self.events.push(Event::Closed(error));
    }
}

fn take_id(next: &mut u32) -> u32 {
    let id = *next;
    *next = next.wrapping_add(2);
    id
}

fn reply_outcome(what: &str, reply: &Reply) -> Result<(), Error> {
    if reply.result_code.is_success() {
        Ok(())
    } else {
        Err(Error::refused(what, reply.result_code, &reply.result_string))
    }
}

fn whole_seconds(duration: Duration) -> u32 {
    u32::try_from(duration.as_secs()).unwrap_or(u32::MAX)
}
