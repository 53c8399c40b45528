//! The broker as a state machine, without input or output of its own.
//!
//! A driver feeds [`Broker`] with what happens: connections that come and go, decoded messages, the
//! passing of time. It fetches what is to be sent with [`Broker::poll_outgoing`] whenever a socket can
//! take something. Nothing is put into messages before that moment, so a slow socket gets the newest
//! aliases and the most urgent message, and costs nobody else anything.
//!
//! ```text
//! connected, handle_message, malformed, connection_lost, handle_timeout, drain, shutdown
//!     then: take_ready -> poll_outgoing of each, is_closing of each; next_timeout
//! ```
//!
//! Data takes this way: `upstream` puts chunks in order and resolves aliases, `routing` offers them to
//! the `downstream`s that read the node, each of which filters, queues and, when asked, builds messages.

mod aliases;
mod arena;
mod calls;
mod config;
mod connection;
mod downstream;
mod drain;
mod environment;
mod filter;
mod hold;
mod metadata;
mod node;
mod numbers;
mod outbox;
mod resume;
mod routing;
mod sequence;
mod sharing;
mod snapshot;
mod subscription;
mod throttle;
mod timers;
mod upstream;
mod version;

#[cfg(test)]
mod tests;

use std::collections::HashMap;
use std::fmt;
use std::net::IpAddr;
use std::time::{Duration, Instant};

use iscp::message::{Message, ResultCode};
use uuid::Uuid;

pub use config::{Config, Limits, Timing, TokenCheck};
#[cfg(feature = "full")]
pub(crate) use connection::same_secret;
pub use environment::{Environment, SeededEnvironment, SystemEnvironment};
pub use sharing::{Outgoing, SharedChunk};
pub use snapshot::SnapshotError;

use arena::{Arena, Key};
use connection::{Connection, Phase};
use downstream::Downstream;
use node::Nodes;
use numbers::NumberMap;
use outbox::Answer;
use resume::Detached;
use sharing::Recent;
use throttle::Throttle;
use timers::{Timer, Timers};
use upstream::Upstream;

/// Name of a connection, chosen by the driver and never used again.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct ConnId(pub u64);

/// What the transport knows of a client.
#[derive(Clone, Default)]
pub struct PeerInfo {
    /// Address of the client.
    pub address: Option<IpAddr>,
    /// Value of the HTTP header `Authorization`, with or without `Bearer`.
    pub authorization: Option<String>,
}

impl fmt::Debug for PeerInfo {
    /// Leaves out the token.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("PeerInfo")
            .field("address", &self.address)
            .field("authorization", &self.authorization.is_some())
            .finish()
    }
}

/// Counters of a broker.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Stats {
    /// Connections that exist, in whatever phase.
    pub connections: usize,
    /// Upstreams, detached ones included.
    pub upstreams: usize,
    /// Downstreams, detached ones included.
    pub downstreams: usize,
    /// Streams among them that have lost their connection and wait to be resumed.
    pub detached: usize,
    /// Nodes that are connected, send or are read.
    pub nodes: usize,
    /// Chunks received from upstreams, repeated ones included.
    pub chunks_received: u64,
    /// Chunks queued for downstreams.
    pub chunks_forwarded: u64,
    /// Chunks dropped because a downstream, or the datagrams of its connection, did not keep up.
    pub chunks_dropped: u64,
}

/// The broker.
pub struct Broker {
    config: Config,
    environment: Box<dyn Environment>,
    connections: NumberMap<ConnId, Connection>,
    /// Connections past their `ConnectRequest`.
    established: usize,
    upstreams: Arena<Upstream>,
    upstream_ids: HashMap<Uuid, Key>,
    upstream_aliases: NumberMap<u32, Key>,
    last_upstream_alias: u32,
    downstreams: Arena<Downstream>,
    downstream_ids: HashMap<Uuid, Key>,
    detached: Detached,
    nodes: Nodes,
    timers: Timers,
    throttle: Throttle,
    recent: Recent,
    ready: Vec<ConnId>,
    /// Connections to be ended as soon as what is going on is done.
    doomed: Vec<(ConnId, ResultCode, String)>,
    /// Downstreams to be closed because what waits in them has no more room, and why.
    overrun: Vec<(Key, String)>,
    /// Downstreams that withhold acknowledgements since a moment ago.
    held: Vec<Key>,
    /// Upstreams of whose chunks acknowledgements are perhaps no longer withheld.
    eased: Vec<Key>,
    shutting_down: bool,
    /// The broker ends to be restored from its snapshot: streams are left as they are.
    suspends: bool,
    chunks_received: u64,
    chunks_forwarded: u64,
    chunks_dropped: u64,
}

impl Broker {
    /// A broker with nobody connected.
    pub fn new(config: Config, environment: Box<dyn Environment>) -> Self {
        Self {
            config,
            environment,
            connections: NumberMap::default(),
            established: 0,
            upstreams: Arena::default(),
            upstream_ids: HashMap::new(),
            upstream_aliases: NumberMap::default(),
            last_upstream_alias: 0,
            downstreams: Arena::default(),
            downstream_ids: HashMap::new(),
            detached: Detached::default(),
            overrun: Vec::new(),
            held: Vec::new(),
            eased: Vec::new(),
            nodes: Nodes::default(),
            timers: Timers::default(),
            throttle: Throttle::default(),
            recent: Recent::default(),
            ready: Vec::new(),
            doomed: Vec::new(),
            shutting_down: false,
            suspends: false,
            chunks_received: 0,
            chunks_forwarded: 0,
            chunks_dropped: 0,
        }
    }

    /// A transport is up. The client has [`Timing::connect_timeout`] for its `ConnectRequest`.
    pub fn connected(&mut self, conn: ConnId, peer: PeerInfo, now: Instant) {
        self.connections.insert(conn, Connection::new(peer));
        self.timers.set(Timer::Connection(conn), now + self.config.timing.connect_timeout);
        if self.shutting_down {
            self.hang_up(conn, now);
        }
    }

    /// A message arrived.
    pub fn handle_message(&mut self, conn: ConnId, message: Message, now: Instant) {
        self.dispatch(conn, message, now);
        self.settle(now);
    }

    /// Something arrived that is no message: the connection ends with MALFORMED_MESSAGE.
    pub fn malformed(&mut self, conn: ConnId, reason: &str, now: Instant) {
        self.end(conn, ResultCode::MALFORMED_MESSAGE, reason, now);
        self.settle(now);
    }

    /// The transport is gone, in whatever way. Must be called once for every connection, also for
    /// those that ended by [`Broker::is_closing`]. Streams wait for their expiry.
    pub fn connection_lost(&mut self, conn: ConnId, now: Instant) {
        self.leave(conn, now);
        self.connections.remove(&conn);
        self.timers.clear(Timer::Connection(conn));
        self.settle(now);
    }

    /// When [`Broker::handle_timeout`] is due.
    pub fn next_timeout(&self) -> Option<Instant> {
        self.timers.next()
    }

    /// Does everything that is due at `now`.
    pub fn handle_timeout(&mut self, now: Instant) {
        while let Some(timer) = self.timers.pop(now) {
            match timer {
                Timer::Connection(conn) => self.connection_timeout(conn, now),
                Timer::UpstreamAck(key) => self.send_acks(key, now),
                Timer::UpstreamReorder(key) => self.release_waiting(key, now),
                Timer::UpstreamClose(key) => self.finish_close(key, now),
                Timer::UpstreamExpiry(key) => self.expire_upstream(key, now),
                Timer::DownstreamOpen(key) => self.release_downstream(key),
                Timer::DownstreamExpiry(key) => self.expire_downstream(key, now),
                Timer::DownstreamHold(key) => self.hold_timeout(key, now),
                Timer::Drain => self.shutdown(now),
            }
            self.settle(now);
        }
    }

    /// Ends what overflowed. Not done where the overflow is found: one end leads to metadata for others,
    /// which may overflow in turn.
    fn settle(&mut self, now: Instant) {
        loop {
            self.settle_holds(now);
            if let Some((key, reason)) = self.overrun.pop() {
                self.close_overrun(key, reason, now);
            } else if let Some((conn, code, reason)) = self.doomed.pop() {
                self.end(conn, code, &reason, now);
            } else {
                break;
            }
        }
    }

    /// Ends every connection without an iSCP Disconnect, so that clients come back
    /// (docs/protocol/behaviour.md §11 item 20). Answers already given are still delivered; streams
    /// are not announced as closed.
    pub fn shutdown(&mut self, now: Instant) {
        self.shutting_down = true;
        let mut connections: Vec<_> = self.connections.keys().copied().collect();
        connections.sort_unstable();
        for conn in connections {
            self.hang_up(conn, now);
        }
        self.timers.clear(Timer::Drain);
        self.settle(now);
    }

    /// Appends the connections that may have something to send, or are to be closed, since the last
    /// call. Each must be polled until [`Broker::poll_outgoing`] gives nothing, sooner or later.
    pub fn take_ready(&mut self, into: &mut Vec<ConnId>) {
        for conn in self.ready.drain(..) {
            if let Some(connection) = self.connections.get_mut(&conn) {
                connection.ready = false;
                into.push(conn);
            }
        }
    }

    /// [`Broker::poll_outgoing`] for somebody who needs a message of his own.
    pub fn poll_transmit(&mut self, conn: ConnId) -> Option<Message> {
        self.poll_outgoing(conn).map(Outgoing::into_message)
    }

    /// Next message for a connection: the most urgent there is now.
    pub fn poll_outgoing(&mut self, conn: ConnId) -> Option<Outgoing> {
        let Self { connections, upstreams, downstreams, recent, .. } = self;
        let connection = connections.get_mut(&conn)?;
        let out = &mut connection.out;
        if let Some(message) = outbox::pop(&mut out.urgent) {
            return Some(Outgoing::Own(message));
        }
        while let Some(answer) = outbox::pop(&mut out.answers) {
            match answer {
                Answer::Message(message) => return Some(Outgoing::Own(message)),
                Answer::Acks(key) => {
                    // Another connection may have resumed it since.
                    let Some(upstream) =
                        upstreams.get_mut(key).filter(|upstream| upstream.tie.connection == Some(conn))
                    else {
                        continue;
                    };
                    let acks = upstream.take_acks();
                    if upstream.has_acks() {
                        out.answers.push_front(answer);
                    }
                    if acks.is_some() {
                        return acks.map(Outgoing::Own);
                    }
                }
            }
        }
        if let Some(call) = out.calls.pop() {
            return Some(Outgoing::Own(Message::DownstreamCall(call)));
        }
        while let Some(key) = outbox::pop(&mut out.turns) {
            let Some(downstream) = downstreams.get_mut(key) else {
                continue;
            };
            match downstream.next_message(&mut connection.request_ids, recent) {
                Some(message) => {
                    out.turns.push_back(key);
                    return Some(message);
                }
                None => downstream.has_turn = false,
            }
        }
        out.goodbye.take().map(Outgoing::Own)
    }

    /// Next message for a connection whose transport takes nothing but datagrams at the moment, of messages
    /// with at most `limit` bytes: what is under way on its stream does not hold up the chunks of UNRELIABLE
    /// downstreams, unless they are large or metadata comes before them.
    pub fn poll_datagram(&mut self, conn: ConnId, limit: usize) -> Option<Outgoing> {
        let Self { connections, downstreams, recent, .. } = self;
        let connection = connections.get_mut(&conn)?;
        let turns = &mut connection.out.turns;
        let fits =
            |key: &Key| downstreams.get(*key).is_some_and(|downstream| downstream.fits_datagrams(limit));
        let key = turns.remove(turns.iter().position(fits)?)?;
        let downstream = downstreams.get_mut(key)?;
        let message = downstream.next_message(&mut connection.request_ids, recent);
        // One without a turn is given it, and the connection woken, when there is more.
        if downstream.is_idle() {
            downstream.has_turn = false;
        } else {
            turns.push_back(key);
        }
        message
    }

    /// Takes note that a chunk from [`Broker::poll_outgoing`] or [`Broker::poll_datagram`] was dropped
    /// because its transport sends datagrams too slowly.
    pub fn datagram_dropped(&mut self) {
        self.chunks_dropped += 1;
    }

    /// Whether a message from [`Broker::poll_outgoing`] may be lost on the way: chunks of UNRELIABLE
    /// downstreams (docs/protocol/transport.md §5.6).
    pub fn is_unreliable(&self, conn: ConnId, message: &Message) -> bool {
        let Message::DownstreamChunk(chunk) = message else { return false };
        let key = self.session(conn).and_then(|session| session.downstreams.get(&chunk.stream_id_alias));
        key.and_then(|key| self.downstreams.get(*key)).is_some_and(Downstream::is_unreliable)
    }

    /// Whether the client was accepted.
    pub fn is_admitted(&self, conn: ConnId) -> bool {
        self.session(conn).is_some()
    }

    /// How long a socket may take nothing before its connection counts as broken
    /// (docs/protocol/behaviour.md §11 item 77).
    pub fn stall_limit(&self, conn: ConnId) -> Duration {
        let timing = &self.config.timing;
        let timeout = match self.connections.get(&conn).map(|connection| &connection.phase) {
            Some(Phase::Open(session)) => session.ping_timeout,
            _ => timing.default_ping_timeout,
        };
        timeout + timing.stall_margin
    }

    /// Counters.
    pub fn stats(&self) -> Stats {
        Stats {
            connections: self.connections.len(),
            upstreams: self.upstreams.len(),
            downstreams: self.downstreams.len(),
            detached: self.detached.len(),
            nodes: self.nodes.len(),
            chunks_received: self.chunks_received,
            chunks_forwarded: self.chunks_forwarded,
            chunks_dropped: self.chunks_dropped,
        }
    }

    /// Settings the broker runs with.
    pub fn config(&self) -> &Config {
        &self.config
    }
}
