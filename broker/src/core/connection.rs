//! Connections: handshake, keep-alive, end (docs/protocol/behaviour.md §11.1).

use std::collections::{BTreeMap, VecDeque};
use std::sync::Arc;
use std::time::{Duration, Instant};

use iscp::message::{ConnectRequest, ConnectResponse, Disconnect, Message, ResultCode};
use tracing::{debug, info};

use super::arena::Key;
use super::outbox::{Answer, Outbox};
use super::timers::Timer;
use super::upstream::Upstream;
use super::version::Version;
use super::{Broker, ConnId, PeerInfo, environment};

/// Times the wait for a pong is prolonged while other messages arrive: they prove that the peer lives
/// and that its pong may stand behind them.
const PONG_EXTENSIONS: u32 = 2;

/// One transport and what waits to be sent on it.
#[derive(Debug)]
pub(super) struct Connection {
    pub(super) peer: PeerInfo,
    pub(super) phase: Phase,
    pub(super) out: Outbox,
    /// Listed in the broker's `ready`.
    pub(super) ready: bool,
    pub(super) request_ids: RequestIds,
}

/// Where a connection stands.
#[derive(Debug)]
pub(super) enum Phase {
    /// Waits for the `ConnectRequest`.
    Handshake,
    /// Refused; the answer is held back for a while.
    Delayed(ConnectResponse),
    /// Works.
    Open(Box<Session>),
    /// Over; what is queued is still sent.
    Closing,
}

/// A connection that works.
#[derive(Debug)]
pub(super) struct Session {
    pub(super) node: Key,
    pub(super) node_id: Arc<str>,
    /// The client gave no node id.
    pub(super) anonymous: bool,
    pub(super) version: Version,
    /// When the client was let in.
    pub(super) since: Instant,
    pub(super) ping_interval: Duration,
    pub(super) ping_timeout: Duration,
    ping: Option<PingUnderWay>,
    last_heard: Instant,
    pub(super) upstreams: Vec<Key>,
    /// By the alias the client chose.
    pub(super) downstreams: BTreeMap<u32, Key>,
    /// Ids of calls to which no reply came yet, oldest first.
    pub(super) asked: VecDeque<String>,
}

#[derive(Debug)]
struct PingUnderWay {
    id: u32,
    sent: Instant,
    extensions: u32,
    since: Instant,
}

/// Ids for requests of the broker: always odd, so that no client takes one for its own
/// (docs/protocol/behaviour.md §11 item 16).
#[derive(Debug)]
pub(super) struct RequestIds(u32);

impl RequestIds {
    pub(super) fn next(&mut self) -> u32 {
        let id = self.0;
        self.0 = id.wrapping_add(2);
        id
    }
}

impl Connection {
    pub(super) fn new(peer: PeerInfo) -> Self {
        Self {
            peer,
            phase: Phase::Handshake,
            out: Outbox::default(),
            ready: false,
            request_ids: RequestIds(1),
        }
    }

    /// Lists the connection among those with something to send.
    pub(super) fn wake(&mut self, conn: ConnId, ready: &mut Vec<ConnId>) {
        if !std::mem::replace(&mut self.ready, true) {
            ready.push(conn);
        }
    }
}

impl Broker {
    pub(super) fn session(&self, conn: ConnId) -> Option<&Session> {
        match &self.connections.get(&conn)?.phase {
            Phase::Open(session) => Some(session),
            _ => None,
        }
    }

    pub(super) fn session_mut(&mut self, conn: ConnId) -> Option<&mut Session> {
        match &mut self.connections.get_mut(&conn)?.phase {
            Phase::Open(session) => Some(session),
            _ => None,
        }
    }

    /// Queues a response.
    pub(super) fn answer(&mut self, conn: ConnId, message: Message, now: Instant) {
        self.push_answer(conn, Answer::Message(message), now);
    }

    pub(super) fn push_answer(&mut self, conn: ConnId, answer: Answer, now: Instant) {
        let Some(connection) = self.connections.get_mut(&conn) else {
            return;
        };
        connection.out.answers.push_back(answer);
        connection.wake(conn, &mut self.ready);
        self.check_backlog(conn, now);
    }

    fn push_urgent(&mut self, conn: ConnId, message: Message, now: Instant) {
        let Some(connection) = self.connections.get_mut(&conn) else {
            return;
        };
        connection.out.urgent.push_back(message);
        connection.wake(conn, &mut self.ready);
        self.check_backlog(conn, now);
    }

    fn check_backlog(&mut self, conn: ConnId, now: Instant) {
        let backlog = self.connections.get(&conn).map_or(0, |connection| connection.out.backlog());
        if backlog > self.config.limits.responses {
            let text = format!("{backlog} responses wait to be read");
            self.end(conn, ResultCode::RATE_LIMIT_REACHED, &text, now);
        }
    }

    pub(super) fn dispatch(&mut self, conn: ConnId, message: Message, now: Instant) {
        let Some(connection) = self.connections.get_mut(&conn) else {
            return;
        };
        match &mut connection.phase {
            Phase::Open(session) => session.last_heard = now,
            Phase::Handshake => {
                match message {
                    Message::ConnectRequest(request) => self.connect(conn, request, now),
                    // Rust pings before its ConnectRequest. Left without a Pong, a client that never
                    // sends one goes away (docs/protocol/behaviour.md §11 item 9).
                    Message::Ping(_) | Message::Pong(_) => {}
                    Message::Disconnect(_) => self.hang_up(conn, now),
                    other => {
                        let text = format!("{} before ConnectRequest", other.name());
                        self.end(conn, ResultCode::PROTOCOL_ERROR, &text, now);
                    }
                }
                return;
            }
            Phase::Delayed(_) | Phase::Closing => return,
        }
        if self.shutting_down && !self.takes_while_draining(conn, &message) {
            return;
        }
        match message {
            Message::UpstreamChunk(chunk) => self.upstream_chunk(conn, chunk, now),
            Message::DownstreamChunkAck(ack) => self.downstream_ack(conn, ack, now),
            Message::Ping(id) => self.push_urgent(conn, Message::Pong(id), now),
            Message::Pong(id) => self.pong(conn, id, now),
            Message::UpstreamOpenRequest(request) => self.open_upstream(conn, request, now),
            Message::UpstreamCloseRequest(request) => self.close_upstream(conn, request, now),
            Message::UpstreamResumeRequest(request) => self.resume_upstream(conn, request, now),
            Message::UpstreamMetadata(metadata) => self.upstream_metadata(conn, metadata, now),
            Message::DownstreamOpenRequest(request) => self.open_downstream(conn, request, now),
            Message::DownstreamCloseRequest(request) => self.close_downstream(conn, request, now),
            Message::DownstreamResumeRequest(request) => self.resume_downstream(conn, request, now),
            Message::UpstreamCall(call) => self.upstream_call(conn, call, now),
            // Clients acknowledge metadata late, twice or never (item 62).
            Message::DownstreamMetadataAck(_) => {}
            // Not answered; the streams wait for a resume (item 19).
            Message::Disconnect(disconnect) => {
                debug!(conn = conn.0, code = %disconnect.result_code, "client disconnects");
                self.hang_up(conn, now);
            }
            Message::ConnectRequest(_) => {
                self.end(conn, ResultCode::PROTOCOL_ERROR, "second ConnectRequest", now);
            }
            other => {
                let text = format!("{} is not a message for a broker", other.name());
                self.end(conn, ResultCode::PROTOCOL_ERROR, &text, now);
            }
        }
    }

    fn connect(&mut self, conn: ConnId, request: ConnectRequest, now: Instant) {
        let version = Version::for_client(&request.protocol_version);
        let refusal = |result_code, result_string| ConnectResponse {
            request_id: request.request_id,
            protocol_version: version.unwrap_or(Version::V2).text().to_owned(),
            result_code,
            result_string,
            ..ConnectResponse::default()
        };
        let max_timeout = self.config.timing.max_ping_timeout;
        let max_name = self.config.limits.name_bytes;
        let Some(version) = version else {
            let text = format!(
                "protocol version {:?} is not supported: this broker speaks 2.0.0 and 3.0.0",
                clip(&request.protocol_version)
            );
            return self.refuse(conn, refusal(ResultCode::INCOMPATIBLE_VERSION, text), now);
        };
        if !self.authorised(conn, &request.access_token, now) {
            let response = refusal(ResultCode::AUTH_FAILED, "access token missing or wrong".to_owned());
            return self.refuse_token(conn, response, now);
        }
        if self.established >= self.config.limits.connections {
            let text = "too many connections".to_owned();
            return self.refuse(conn, refusal(ResultCode::RATE_LIMIT_REACHED, text), now);
        }
        if request.node_id.len() > max_name {
            let text = format!("node id with more than {max_name} bytes");
            return self.refuse(conn, refusal(ResultCode::PROTOCOL_ERROR, text), now);
        }
        let max = self.config.limits.connections_per_node;
        let node = self.nodes.find(&request.node_id).and_then(|node| self.nodes.get(node));
        if node.is_some_and(|node| node.connections.len() >= max) {
            let text = format!("more than {max} connections of node {:?}", clip(&request.node_id));
            return self.refuse(conn, refusal(ResultCode::RATE_LIMIT_REACHED, text), now);
        }
        let seconds = |value: u32, default| match value {
            0 => default,
            value => Duration::from_secs(u64::from(value)),
        };
        let ping_timeout = seconds(request.ping_timeout_s, self.config.timing.default_ping_timeout);
        if ping_timeout > max_timeout {
            let text = format!("ping timeout above {} s", max_timeout.as_secs());
            return self.refuse(conn, refusal(ResultCode::TOO_LONG_PING_TIMEOUT, text), now);
        }
        let ping_interval = seconds(request.ping_interval_s, self.config.timing.default_ping_interval)
            .min(self.config.timing.max_ping_interval);

        let anonymous = request.node_id.is_empty();
        let node_id = if anonymous {
            environment::new_uuid(self.environment.as_mut()).to_string()
        } else {
            request.node_id
        };
        let node = self.nodes.enter(&node_id);
        if let Some(node) = self.nodes.get_mut(node) {
            node.connections.push(conn);
        }
        info!(conn = conn.0, node = %node_id, version = version.text(), "connected");
        if let Some(connection) = self.connections.get_mut(&conn) {
            // Nobody looks at it again.
            connection.peer.authorization = None;
            connection.phase = Phase::Open(Box::new(Session {
                node,
                node_id: node_id.as_str().into(),
                anonymous,
                version,
                since: now,
                ping_interval,
                ping_timeout,
                ping: None,
                last_heard: now,
                upstreams: Vec::new(),
                downstreams: BTreeMap::new(),
                asked: VecDeque::new(),
            }));
            self.established += 1;
        }
        self.timers.set(Timer::Connection(conn), now + ping_interval);
        let response = ConnectResponse {
            request_id: request.request_id,
            protocol_version: version.text().to_owned(),
            result_code: ResultCode::SUCCEEDED,
            result_string: "OK".to_owned(),
            ..ConnectResponse::default()
        };
        // Urgent, or a Pong could come before it: Go takes the first message for the answer.
        self.push_urgent(conn, Message::ConnectResponse(response), now);
    }

    /// Whether a token lets the client in: that of the request, or that of the HTTP header.
    fn authorised(&self, conn: ConnId, access_token: &str, now: Instant) -> bool {
        let (tokens, check) = (&self.config.tokens, &self.config.token_check);
        if tokens.is_empty() && check.is_none() {
            return true;
        }
        let header = self
            .connections
            .get(&conn)
            .and_then(|connection| connection.peer.authorization.as_deref())
            .unwrap_or_default();
        let header = header.strip_prefix("Bearer ").unwrap_or(header).trim();
        // Every token is compared, and in full, so that time tells nothing.
        // An empty one lets nobody in: it is what an unset variable in a start script leaves.
        [access_token, header].into_iter().filter(|given| !given.is_empty()).any(|given| {
            tokens.iter().fold(false, |found, token| found | same_secret(token, given))
                || check.as_ref().is_some_and(|check| check.accepts(given, now))
        })
    }

    fn refuse_token(&mut self, conn: ConnId, response: ConnectResponse, now: Instant) {
        let address = self.connections.get(&conn).and_then(|connection| connection.peer.address);
        let delay = address.is_some_and(|address| self.throttle.refuse(address, now));
        if delay && let Some(connection) = self.connections.get_mut(&conn) {
            connection.phase = Phase::Delayed(response);
            self.timers.set(Timer::Connection(conn), now + self.config.timing.auth_delay);
        } else {
            self.refuse(conn, response, now);
        }
    }

    /// Answers a `ConnectRequest` with a failure and closes: Rust, Python and TypeScript would keep
    /// the transport open and ping it (docs/protocol/behaviour.md §11 item 8).
    fn refuse(&mut self, conn: ConnId, response: ConnectResponse, now: Instant) {
        info!(conn = conn.0, code = %response.result_code, reason = %response.result_string, "refused");
        if let Some(connection) = self.connections.get_mut(&conn) {
            connection.out.urgent.push_back(Message::ConnectResponse(response));
        }
        self.hang_up(conn, now);
    }

    fn pong(&mut self, conn: ConnId, id: u32, now: Instant) {
        let Some(session) = self.session_mut(conn) else {
            return;
        };
        if let Some(ping) = session.ping.take_if(|ping| ping.id == id) {
            let next = (ping.sent + session.ping_interval).max(now);
            self.timers.set(Timer::Connection(conn), next);
        }
    }

    pub(super) fn connection_timeout(&mut self, conn: ConnId, now: Instant) {
        let margin = self.config.timing.ping_margin;
        let Some(connection) = self.connections.get_mut(&conn) else {
            return;
        };
        match &mut connection.phase {
            Phase::Closing => {}
            Phase::Handshake => {
                self.end(conn, ResultCode::CONNECT_TIMEOUT, "no ConnectRequest came in time", now);
            }
            Phase::Delayed(response) => {
                let response = std::mem::take(response);
                self.refuse(conn, response, now);
            }
            Phase::Open(session) => {
                let wait = session.ping_timeout + margin;
                match &mut session.ping {
                    None => {
                        let id = connection.request_ids.next();
                        session.ping = Some(PingUnderWay { id, sent: now, extensions: 0, since: now });
                        self.timers.set(Timer::Connection(conn), now + wait);
                        self.push_urgent(conn, Message::Ping(id), now);
                    }
                    Some(ping) if session.last_heard > ping.since && ping.extensions < PONG_EXTENSIONS => {
                        ping.extensions += 1;
                        ping.since = now;
                        self.timers.set(Timer::Connection(conn), now + wait);
                    }
                    Some(ping) => {
                        let text = format!("no Pong for Ping {} in {} ms", ping.id, wait.as_millis());
                        self.end(conn, ResultCode::PING_TIMEOUT, &text, now);
                    }
                }
            }
        }
    }

    /// Ends a connection with a Disconnect that says why.
    pub(super) fn end(&mut self, conn: ConnId, code: ResultCode, reason: &str, now: Instant) {
        let Some(connection) = self.connections.get_mut(&conn) else {
            return;
        };
        if matches!(connection.phase, Phase::Closing) {
            return;
        }
        info!(conn = conn.0, %code, reason, "ending a connection");
        connection.out.goodbye =
            Some(Message::Disconnect(Disconnect { result_code: code, result_string: reason.to_owned() }));
        self.hang_up(conn, now);
    }

    /// Ends a connection without a word, beside what is queued for it already.
    pub(super) fn hang_up(&mut self, conn: ConnId, now: Instant) {
        // A last time, what was received is acknowledged.
        let upstreams = self.session(conn).map_or_else(Vec::new, |session| session.upstreams.clone());
        for key in upstreams {
            self.let_go(key);
            while let Some(acks) = self.upstreams.get_mut(key).and_then(Upstream::take_acks)
                && let Some(connection) = self.connections.get_mut(&conn)
            {
                connection.out.answers.push_back(Answer::Message(acks));
            }
        }
        self.leave(conn, now);
        if let Some(connection) = self.connections.get_mut(&conn) {
            connection.phase = Phase::Closing;
            connection.out.drop_bulk();
            connection.wake(conn, &mut self.ready);
        }
        self.timers.clear(Timer::Connection(conn));
    }

    /// Takes a connection out of everything: its streams are on their own now.
    pub(super) fn leave(&mut self, conn: ConnId, now: Instant) {
        let Some(connection) = self.connections.get_mut(&conn) else {
            return;
        };
        if !matches!(connection.phase, Phase::Open(_)) {
            return;
        }
        let Phase::Open(session) = std::mem::replace(&mut connection.phase, Phase::Closing) else {
            return;
        };
        self.established -= 1;
        debug!(conn = conn.0, node = %session.node_id, "connection ends");
        // Downstreams first: what becomes of the upstreams is no longer for them.
        for key in session.downstreams.into_values() {
            self.detach_downstream(key, now);
        }
        for key in session.upstreams {
            self.detach_upstream(key, now);
        }
        if let Some(node) = self.nodes.get_mut(session.node) {
            node.connections.retain(|other| *other != conn);
        }
        self.nodes.release(session.node);
    }
}

/// Whether two secrets are the same, in a time that depends on their lengths only.
pub(crate) fn same_secret(a: &str, b: &str) -> bool {
    a.len() == b.len() && a.bytes().zip(b.bytes()).fold(0, |all, (a, b)| all | (a ^ b)) == 0
}

/// A peer's text, short enough for a message.
pub(super) fn clip(text: &str) -> &str {
    let end = (0..=text.len().min(64)).rev().find(|end| text.is_char_boundary(*end)).unwrap_or(0);
    &text[..end]
}
