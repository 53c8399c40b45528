//! The connection: handshake, requests and their answers, keep-alive, and its streams.

mod answers;
mod commands;
mod outage;
mod streams;

use std::collections::btree_map::Entry;
use std::collections::{BTreeMap, HashMap, VecDeque};
use std::ops::Bound::{Excluded, Included, Unbounded};
use std::time::{Duration, Instant};

use uuid::Uuid;

use super::calls::Calls;
use super::config::{ConnectionConfig, DownstreamConfig, PROTOCOL_VERSION, UpstreamConfig};
use super::downstream::Downstream;
use super::event::{Event, OpId, Output, ReceivedChunk, StreamKey};
use super::keep_alive::{Due, KeepAlive};
use super::reconnect::Backoff;
use super::upstream::Upstream;
use crate::error::{Error, Status};
use crate::message::{
    BaseTime, ConnectRequest, Disconnect, Message, ResultCode, UpstreamCall, UpstreamCloseRequest,
};

/// Answers and requests that wait to be sent before reading stops: a peer must not make us hold more.
const MAX_ANSWERS: usize = 4096;

/// Pings of the application that may be under way.
const MAX_PINGS: usize = 64;

#[derive(Debug)]
enum State {
    /// The server has not accepted, for the first time or again.
    Connecting,
    Open,
    /// Lost: waits before the next attempt.
    Waiting {
        until: Instant,
    },
    /// Lost: a transport is being established.
    Dialling,
    Closed,
}

/// The application wants to close the connection: its streams end before it says goodbye.
#[derive(Debug)]
struct Closing {
    op: Option<OpId>,
    deadline: Instant,
}

#[derive(Debug)]
enum Request {
    /// The first time with an operation that waits for it.
    Connect(Option<OpId>),
    OpenUpstream(OpId, Box<UpstreamConfig>),
    /// With what closes the stream at the server, should it have ended here meanwhile.
    ResumeUpstream(StreamKey, Box<UpstreamCloseRequest>),
    ReopenUpstream(StreamKey),
    CloseUpstream(StreamKey),
    OpenDownstream(OpId, u32, Box<DownstreamConfig>),
    ResumeDownstream(StreamKey, Uuid),
    ReopenDownstream(StreamKey),
    CloseDownstream(StreamKey),
    Metadata(OpId, Box<(BaseTime, bool)>),
    /// A ping of the application, and when it left.
    Ping(OpId, Option<Instant>),
}

impl Request {
    fn name(&self) -> &'static str {
        match self {
            Self::Connect(_) => "connect",
            Self::OpenUpstream(..) | Self::ReopenUpstream(_) => "open upstream",
            Self::ResumeUpstream(..) => "resume upstream",
            Self::CloseUpstream(_) => "close upstream",
            Self::OpenDownstream(..) | Self::ReopenDownstream(_) => "open downstream",
            Self::ResumeDownstream(..) => "resume downstream",
            Self::CloseDownstream(_) => "close downstream",
            Self::Metadata(..) => "send metadata",
            Self::Ping(..) => "ping",
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
///
/// Once the server has accepted, the connection outlives its transports: it says when it wants another
/// ([`Event::Dial`]) and is told of it ([`transport_established`](Self::transport_established),
/// [`dial_failed`](Self::dial_failed)). One that reports a loss ([`Event::Disconnected`],
/// [`Event::Reconnecting`]) has no use for the former any more.
#[derive(Debug)]
pub struct Connection {
    config: ConnectionConfig,
    state: State,
    closing: Option<Closing>,
    backoff: Backoff,
    /// Whether the server ever accepted. Until then there is nothing that could be lost.
    accepted: bool,
    /// Whether streams are resumed with tokens on this connection.
    tokens: bool,
    /// Counts the transports.
    link: u32,
    /// Why the connection was lost, or the last attempt failed.
    lost: Option<Error>,
    /// Requests that wait until there is a connection again.
    waiting: VecDeque<Pending>,
    /// Calls that do.
    waiting_calls: VecDeque<UpstreamCall>,
    /// Goes on over reconnections, so that no late answer is taken for another.
    next_request_id: u32,
    /// In the order of the requests, so that they end in that order too.
    pending: BTreeMap<u32, Pending>,
    calls: Calls,
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
    /// Whether chunks of UNRELIABLE upstreams go by datagram.
    datagrams: bool,
}

impl Connection {
    /// A connection over a transport that was just established. `op` ends when the server accepted.
    pub fn new(config: ConnectionConfig, access_token: String, op: OpId, now: Instant) -> Self {
        let mut connection = Self {
            keep_alive: KeepAlive::new(config.ping_interval, config.ping_timeout, now),
            backoff: Backoff::new(config.reconnect.clone()),
            config,
            state: State::Connecting,
            closing: None,
            accepted: false,
            tokens: false,
            link: 0,
            lost: None,
            waiting: VecDeque::new(),
            waiting_calls: VecDeque::new(),
            next_request_id: 0,
            pending: BTreeMap::new(),
            calls: Calls::default(),
            next_key: 0,
            upstreams: BTreeMap::new(),
            upstream_aliases: HashMap::new(),
            downstreams: BTreeMap::new(),
            downstream_aliases: HashMap::new(),
            next_downstream_alias: 1,
            last_served: StreamKey(0),
            control: VecDeque::new(),
            events: Vec::new(),
            datagrams: false,
        };
        connection.introduce(access_token, Some(op), now);
        connection
    }

    /// Begins the handshake on a transport that was just established.
    fn introduce(&mut self, access_token: String, op: Option<OpId>, now: Instant) {
        let request_id = self.request(Request::Connect(op), now);
        let request = ConnectRequest {
            request_id,
            protocol_version: PROTOCOL_VERSION.to_owned(),
            node_id: self.config.node_id.clone(),
            ping_interval_s: whole_seconds(self.config.ping_interval),
            ping_timeout_s: whole_seconds(self.config.ping_timeout),
            access_token,
            project_uuid: self.config.project_uuid,
            ..ConnectRequest::default()
        };
        self.control.push_back(Message::ConnectRequest(request));
    }

    /// The transport has datagrams: chunks of UNRELIABLE upstreams may be lost on the way, which ends with
    /// nobody's operation failing for it.
    pub fn use_datagrams(&mut self) {
        self.datagrams = true;
    }

    // The clock.

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
                self.fail_request(request_id, pending.request, error, now);
            }
        }
        self.calls.handle_timeout(now, &mut self.events);
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
        if self.closing.as_ref().is_some_and(|closing| closing.deadline <= now) {
            let error = Error::new(Status::Timeout, "close: the streams did not end in time");
            self.say_goodbye(Some(&error));
        }
        self.handle_outage(now);
        // Before the server accepted, the response time-out is what counts.
        if matches!(self.state, State::Open) {
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
                    self.link_lost(&error, None, now);
                }
                None => {}
            }
        }
    }

    // Outputs.

    /// Next message to send. Call it whenever the transport can take one.
    pub fn poll_transmit(&mut self, now: Instant) -> Option<Message> {
        if let Some(message) = self.control.pop_front() {
            if let Message::Ping(request_id) = message {
                self.ping_left(request_id, now);
            }
            return Some(message);
        }
        if !matches!(self.state, State::Open) {
            return None;
        }
        if let Some(ack) = self.downstreams.values_mut().find_map(Downstream::poll_ack) {
            return Some(Message::DownstreamChunkAck(ack));
        }
        // Before chunks: a stream that keeps the transport busy must not hold up the end of another.
        if let Some(message) = self.poll_stream_close(now, false) {
            return Some(message);
        }
        if let Some(message) = self.poll_chunk(now, |_| true) {
            return Some(message);
        }
        if self.closing.is_some()
            && self.upstreams.is_empty()
            && self.downstreams.is_empty()
            && self.pending.is_empty()
            && !self.calls.await_server()
        {
            self.say_goodbye(None);
            return self.control.pop_front();
        }
        None
    }

    fn ping_left(&mut self, request_id: u32, now: Instant) {
        match self.pending.get_mut(&request_id) {
            Some(Pending { request: Request::Ping(_, left), .. }) => *left = Some(now),
            _ => self.keep_alive.sent(request_id, now),
        }
    }

    /// Next chunk for a transport that takes nothing but datagrams at the moment, for messages of at most
    /// `limit` bytes: what is under way on its stream does not hold up the chunks of UNRELIABLE upstreams,
    /// unless they are large.
    pub fn poll_datagram(&mut self, limit: usize, now: Instant) -> Option<Message> {
        matches!(self.state, State::Open)
            .then(|| self.poll_chunk(now, |upstream| upstream.fits_datagrams(limit)))
            .flatten()
    }

    /// Whether a message from [`poll_transmit`](Self::poll_transmit) may be lost on the way: chunks of
    /// UNRELIABLE upstreams (docs/protocol/transport.md §5.6).
    pub fn is_unreliable(&self, message: &Message) -> bool {
        let Message::UpstreamChunk(chunk) = message else { return false };
        let upstream =
            self.upstream_aliases.get(&chunk.stream_id_alias).and_then(|key| self.upstreams.get(key));
        upstream.is_some_and(Upstream::is_unreliable)
    }

    /// What the application is to be shown before a message from [`poll_transmit`](Self::poll_transmit) is sent:
    /// the chunk that it carries and the wire bytes of its points, unless that was shown before.
    pub fn take_to_show(&mut self, message: &Message) -> Option<(StreamKey, ReceivedChunk, usize)> {
        let Message::UpstreamChunk(chunk) = message else { return None };
        let key = *self.upstream_aliases.get(&chunk.stream_id_alias)?;
        let (chunk, bytes) = self.upstreams.get_mut(&key)?.take_to_show(&self.config.node_id)?;
        Some((key, chunk, bytes))
    }

    fn poll_chunk(&mut self, now: Instant, eligible: impl Fn(&Upstream) -> bool) -> Option<Message> {
        let after = (Excluded(self.last_served), Unbounded);
        let until = (Unbounded, Included(self.last_served));
        for range in [after, until] {
            for (&key, upstream) in self.upstreams.range_mut(range) {
                if eligible(upstream)
                    && let Some(chunk) = upstream.poll_chunk(now, &mut self.events)
                {
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
        let answer = now + config.response_timeout;
        let mut request_id = |request, deadline| {
            let id = take_id(next_request_id);
            pending.insert(id, Pending { request, deadline });
            id
        };
        for (&key, upstream) in upstreams.iter_mut() {
            if overdue && !upstream.is_overdue(now) {
                continue;
            }
            let deadline = upstream.close_by().unwrap_or(answer);
            let close = upstream.poll_close(|| request_id(Request::CloseUpstream(key), deadline));
            if close.is_some() {
                return close;
            }
        }
        for (&key, downstream) in downstreams.iter_mut() {
            if overdue && !downstream.is_overdue(now) {
                continue;
            }
            let close = downstream.poll_close(now, || request_id(Request::CloseDownstream(key), answer));
            if close.is_some() {
                return close;
            }
        }
        None
    }

    /// When [`handle_timeout`](Self::handle_timeout) wants to be called.
    pub fn next_timeout(&self) -> Option<Instant> {
        let link = match self.state {
            State::Closed => return None,
            State::Connecting | State::Dialling => None,
            State::Open => Some(self.keep_alive.next_timeout()),
            State::Waiting { until } => Some(until),
        };
        let closing = self.closing.as_ref().map(|closing| closing.deadline);
        let single = [link, closing, self.calls.next_timeout(), self.backoff.gives_up_at()];
        let requests = self.pending.values().chain(&self.waiting).map(|pending| pending.deadline);
        let upstreams = self.upstreams.values().filter_map(Upstream::next_timeout);
        let downstreams = self.downstreams.values().filter_map(Downstream::next_timeout);
        let streams = upstreams.chain(downstreams).chain(self.next_attachment());
        requests.chain(streams).chain(single.into_iter().flatten()).min()
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

    fn fail_request(&mut self, request_id: u32, request: Request, error: Error, now: Instant) {
        match request {
            Request::Connect(op) => {
                if let Some(op) = op {
                    self.done(op, Err(error.clone()));
                }
                self.link_lost(&error, None, now);
            }
            Request::OpenUpstream(op, _)
            | Request::OpenDownstream(op, ..)
            | Request::Metadata(op, _)
            | Request::Ping(op, _) => self.done(op, Err(error)),
            Request::ResumeUpstream(..) | Request::ResumeDownstream(..) => {
                self.resume_unanswered(request_id, request, error, now);
            }
            Request::ReopenUpstream(key) => self.end_upstream(key, Some(error)),
            Request::ReopenDownstream(key) => self.end_downstream(key, &error),
            Request::CloseUpstream(key) => self.upstream_closed(key, Err(error)),
            Request::CloseDownstream(key) => self.downstream_closed(key, Err(error)),
        }
    }

    fn refuse_if_closed(&mut self, op: OpId) -> bool {
        let closed = !self.accepted || self.closing.is_some() || self.is_closed();
        if closed {
            self.done(op, Err(Error::new(Status::Closed, "the connection is closed")));
        }
        closed
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
        if matches!(self.state, State::Open) {
            self.control.push_back(Message::Disconnect(Disconnect {
                result_code: ResultCode::SUCCEEDED,
                result_string: "NormalClosure".to_owned(),
            }));
        }
        self.end(error);
    }

    /// Ends everything that is left, for a reason or in order.
    fn end(&mut self, error: Option<&Error>) {
        if self.is_closed() {
            return;
        }
        self.state = State::Closed;
        let closing = self.closing.take().and_then(|closing| closing.op);
        let gone = Error::new(Status::Closed, "the connection is closed");
        let error = error.cloned().map(Error::fatal);
        let reason = error.as_ref().unwrap_or(&gone);
        for upstream in std::mem::take(&mut self.upstreams).into_values() {
            upstream.ended(Some(reason.clone()), &mut self.events);
        }
        for downstream in std::mem::take(&mut self.downstreams).into_values() {
            downstream.failed(reason, &mut self.events);
        }
        let waiting = std::mem::take(&mut self.waiting);
        for pending in std::mem::take(&mut self.pending).into_values().chain(waiting) {
            match pending.request {
                Request::Connect(Some(op))
                | Request::OpenUpstream(op, _)
                | Request::OpenDownstream(op, ..)
                | Request::Metadata(op, _)
                | Request::Ping(op, _) => self.events.push(Event::Done(op, Err(reason.clone()))),
                // Their streams were told above.
                _ => {}
            }
        }
        self.waiting_calls.clear();
        self.calls.end(reason, &mut self.events);
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

fn whole_seconds(duration: Duration) -> u32 {
    u32::try_from(duration.as_secs()).unwrap_or(u32::MAX)
}
