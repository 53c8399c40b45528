//! Fake time, the queue of what is to happen, and the transports between the cores.

use std::collections::BTreeMap;
use std::fmt;
use std::time::{Duration, Instant};

use bytes::Bytes;
use iscp::core;
use iscp::encoding::{Encoding, Schema};
use iscp::error::{Error, Status};
use iscp_broker::core::{Broker, Config, ConnId, PeerInfo, SeededEnvironment};
use uuid::Uuid;

use crate::invariants::{Ledger, SessionId};
use crate::link::{Parcel, Pipe};
use crate::plan::Plan;
use crate::workload::{AppAction, Application, Command};

/// How long a client's transport waits for its last messages to leave.
const GOODBYE: Duration = Duration::from_secs(2);

/// Steps after which a run counts as a live-lock.
const MAX_STEPS: u64 = 400_000;

/// Random numbers of a run (SplitMix64): the same on every machine and with every compiler.
#[derive(Clone, Debug)]
pub(crate) struct Rng(u64);

impl Rng {
    pub(crate) fn new(seed: u64) -> Self {
        Self(seed)
    }

    pub(crate) fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }

    /// A number of `from..=to`.
    pub(crate) fn range(&mut self, from: u64, to: u64) -> u64 {
        from + self.next() % (to - from + 1)
    }

    pub(crate) fn index(&mut self, len: usize) -> usize {
        self.range(0, len as u64 - 1) as usize
    }

    pub(crate) fn chance(&mut self, percent: u64) -> bool {
        self.range(0, 99) < percent
    }

    pub(crate) fn pick<'a, T>(&mut self, from: &'a [T]) -> &'a T {
        &from[self.index(from.len())]
    }

    /// A duration of `from..=to`, in microseconds.
    pub(crate) fn duration(&mut self, from: Duration, to: Duration) -> Duration {
        Duration::from_micros(self.range(from.as_micros() as u64, to.as_micros() as u64))
    }
}

/// What happened, as a hash and, when a run is replayed, in words.
#[derive(Debug)]
pub(crate) struct Trace {
    hash: u64,
    print: bool,
}

impl Trace {
    fn mix(&mut self, bytes: &[u8]) {
        // FNV-1a.
        for byte in bytes {
            self.hash = (self.hash ^ u64::from(*byte)).wrapping_mul(0x0000_0100_0000_01b3);
        }
    }

    pub(crate) fn note(&mut self, now: Duration, who: fmt::Arguments<'_>, what: fmt::Arguments<'_>) {
        self.mix(&now.as_nanos().to_le_bytes());
        if self.print {
            println!("{:>12.6} {who} {what}", now.as_secs_f64());
        }
    }
}

/// The two ends of a link.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Side {
    Client,
    Broker,
}

/// Something that happens at a time.
#[derive(Debug)]
pub(crate) enum Action {
    Connect(Box<Plan>),
    App(SessionId, AppAction),
    Command(SessionId, Command),
    /// The front of the pipe towards `Side` leaves its sender.
    Depart(SessionId, Side),
    Arrive(SessionId, Side, Parcel),
    /// Both directions carry nothing any more; nobody is told.
    Cut(SessionId),
    /// An end learns that its transport is gone.
    Lost(SessionId, Side),
    Stall(SessionId, Side, Duration),
    /// A client's transport gives up saying goodbye.
    GiveUpGoodbye(SessionId),
    /// The broker's transport looks whether a blocked pipe moved.
    StallCheck(SessionId, u64),
    /// The clock leaps: nothing ran meanwhile.
    Leap(Duration),
    Shutdown,
    /// Everything written had time to arrive.
    CheckComplete,
}

/// A connection of a client: core, application, transport.
pub(crate) struct Session {
    pub(crate) node: String,
    pub(crate) core: core::Connection,
    pub(crate) app: Application,
    /// Indexed by the side that receives.
    pub(crate) to_broker: Pipe,
    pub(crate) to_client: Pipe,
    client_open: bool,
    broker_open: bool,
    stall_check: bool,
    /// Whether something happened that may end the connection before the application does.
    pub(crate) disturbed: bool,
    pub(crate) cut_at: Option<Duration>,
}

impl Session {
    fn pipe(&mut self, to: Side) -> &mut Pipe {
        match to {
            Side::Client => &mut self.to_client,
            Side::Broker => &mut self.to_broker,
        }
    }
}

/// Everything there is in a run.
pub(crate) struct World {
    pub(crate) rng: Rng,
    pub(crate) trace: Trace,
    pub(crate) now: Duration,
    base: Instant,
    queue: BTreeMap<(Duration, u64), Action>,
    queued: u64,
    pub(crate) sessions: Vec<Session>,
    pub(crate) broker: Broker,
    pub(crate) ledger: Ledger,
    pub(crate) down: bool,
    /// All the leaps so far: what they add to every wait.
    pub(crate) leapt: Duration,
    /// Flushes that succeeded, to be checked once what they announce has happened.
    pub(crate) check_flushes: Vec<(Uuid, bool, u64)>,
    steps: u64,
}

impl World {
    pub(crate) fn new(seed: u64, rng: Rng, config: Config, print: bool) -> Self {
        let base = Instant::now();
        let environment = SeededEnvironment::new(seed, base, 1_700_000_000_000_000_000);
        Self {
            rng,
            trace: Trace { hash: 0xcbf2_9ce4_8422_2325, print },
            now: Duration::ZERO,
            base,
            queue: BTreeMap::new(),
            queued: 0,
            sessions: Vec::new(),
            broker: Broker::new(config, Box::new(environment)),
            ledger: Ledger::default(),
            down: false,
            leapt: Duration::ZERO,
            check_flushes: Vec::new(),
            steps: 0,
        }
    }

    pub(crate) fn instant(&self) -> Instant {
        self.base + self.now
    }

    pub(crate) fn at(&mut self, when: Duration, action: Action) {
        self.queued += 1;
        self.queue.insert((when.max(self.now), self.queued), action);
    }

    pub(crate) fn after(&mut self, delay: Duration, action: Action) {
        self.at(self.now + delay, action);
    }

    /// Runs until nothing is left to happen. Gives the hash of the trace.
    pub(crate) fn run(mut self) -> u64 {
        while self.step() {
            self.steps += 1;
            assert!(self.steps < MAX_STEPS, "live-lock: {MAX_STEPS} steps until {:?}", self.now);
        }
        self.finish()
    }

    fn step(&mut self) -> bool {
        let queued = self.queue.first_key_value().map(|((at, _), _)| *at);
        let client = (0..self.sessions.len())
            .filter_map(|id| Some((self.offset(self.sessions[id].core.next_timeout()?), id)))
            .min();
        let broker = self.broker.next_timeout().map(|at| self.offset(at));
        let times = [queued, client.map(|(at, _)| at), broker];
        let Some(next) = times.iter().flatten().min() else {
            return false;
        };
        self.now = self.now.max(*next);
        // What is due at one time happens in any order.
        let due: Vec<usize> = (0..3).filter(|i| times[*i].is_some_and(|at| at <= self.now)).collect();
        match *self.rng.pick(&due) {
            0 => {
                let (_, action) = self.queue.pop_first().expect("a queued action");
                self.act(action);
            }
            1 => {
                let (_, id) = client.expect("a client's deadline");
                self.trace.note(self.now, format_args!("client {id}"), format_args!("time-out"));
                let now = self.instant();
                self.sessions[id].core.handle_timeout(now);
                self.pump_client(id);
                let next = self.sessions[id].core.next_timeout();
                assert!(next.is_none_or(|at| at > now), "client {id} wants to be called again at once");
            }
            _ => {
                self.trace.note(self.now, format_args!("broker"), format_args!("time-out"));
                let now = self.instant();
                self.broker.handle_timeout(now);
                let next = self.broker.next_timeout();
                assert!(next.is_none_or(|at| at > now), "the broker wants to be called again at once");
            }
        }
        self.pump_broker();
        true
    }

    fn offset(&self, at: Instant) -> Duration {
        at.saturating_duration_since(self.base)
    }

    fn act(&mut self, action: Action) {
        match action {
            Action::Connect(plan) => self.connect(*plan),
            Action::App(id, action) => self.app_action(id, action),
            Action::Command(id, command) => {
                self.command(id, command);
                self.pump_client(id);
            }
            Action::Depart(id, to) => self.depart(id, to),
            Action::Arrive(id, to, parcel) => self.arrive(id, to, parcel),
            Action::Cut(id) => {
                self.trace.note(self.now, format_args!("link {id}"), format_args!("cut"));
                let now = self.now;
                let session = &mut self.sessions[id];
                session.to_broker.kill();
                session.to_client.kill();
                session.disturbed = true;
                session.cut_at = Some(now);
            }
            Action::Lost(id, Side::Client) => self.client_lost(id, "the transport broke"),
            Action::Lost(id, Side::Broker) => self.broker_lost(id),
            Action::Stall(id, to, duration) => {
                self.trace.note(self.now, format_args!("link {id}"), format_args!("stalls for {duration:?}"));
                let until = self.now + duration;
                let session = &mut self.sessions[id];
                session.disturbed |= duration > Duration::from_millis(150);
                session.pipe(to).stall(until);
            }
            Action::GiveUpGoodbye(id) => self.close_client(id),
            Action::StallCheck(id, departures) => {
                let session = &mut self.sessions[id];
                session.stall_check = false;
                if session.to_client.departures() == departures && !session.to_client.ready() {
                    self.broker_lost(id);
                } else {
                    self.watch_for_stall(id);
                }
            }
            Action::Leap(by) => {
                self.trace.note(self.now, format_args!("clock"), format_args!("leaps {by:?}"));
                self.now += by;
                self.leapt += by;
                for session in &mut self.sessions {
                    session.disturbed = true;
                }
            }
            Action::Shutdown => {
                self.trace.note(self.now, format_args!("broker"), format_args!("shuts down"));
                self.down = true;
                for id in 0..self.sessions.len() {
                    self.sessions[id].disturbed = true;
                    self.ledger.broker_left(id);
                }
                let now = self.instant();
                self.broker.shutdown(now);
            }
            Action::CheckComplete => {
                let sessions = &self.sessions;
                self.ledger.check_complete(|id| sessions[id].disturbed);
            }
        }
    }

    fn connect(&mut self, plan: Plan) {
        let id = self.sessions.len();
        self.trace.note(
            self.now,
            format_args!("client {id}"),
            format_args!("connects as {}", plan.config.node_id),
        );
        let now = self.instant();
        let session = Session {
            node: plan.config.node_id.clone(),
            core: core::Connection::new(plan.config.clone(), String::new(), core::OpId(0), now),
            // Time-outs shorter than the link end what they will.
            disturbed: self.down || plan.config.response_timeout < Duration::from_secs(1),
            to_broker: Pipe::new(plan.to_broker),
            to_client: Pipe::new(plan.to_client),
            app: Application::new(plan, self.now),
            client_open: true,
            broker_open: true,
            stall_check: false,
            cut_at: None,
        };
        self.sessions.push(session);
        self.broker.connected(ConnId(id as u64), PeerInfo::default(), now);
        self.plan_disturbances(id);
        self.pump_client(id);
    }

    // Transports.

    fn send(&mut self, id: SessionId, to: Side, parcel: Parcel) {
        let now = self.now;
        if let Some(at) = self.sessions[id].pipe(to).send(parcel, now) {
            self.at(at, Action::Depart(id, to));
        }
    }

    fn depart(&mut self, id: SessionId, to: Side) {
        let Self { sessions, rng, now, .. } = self;
        let (left, next) = sessions[id].pipe(to).depart(*now, rng);
        if let Some((parcel, at)) = left {
            self.at(at, Action::Arrive(id, to, parcel));
        }
        if let Some(at) = next {
            self.at(at, Action::Depart(id, to));
        }
        match to {
            Side::Broker => self.pump_client(id),
            Side::Client => self.pump_broker_side(id),
        }
    }

    fn arrive(&mut self, id: SessionId, to: Side, parcel: Parcel) {
        if self.sessions[id].pipe(to).is_dead() {
            return;
        }
        let message = match parcel {
            Parcel::End if to == Side::Client => return self.client_lost(id, "the server closed it"),
            Parcel::End => return self.broker_lost(id),
            Parcel::Message(bytes) => {
                Encoding::Protobuf.decode(bytes).unwrap_or_else(|error| panic!("malformed message: {error}"))
            }
        };
        let now = self.instant();
        match to {
            Side::Client => {
                let session = &mut self.sessions[id];
                if session.client_open && !session.core.is_closed() {
                    self.ledger.client_receives(&message);
                    session.core.handle_message(message, now);
                    self.pump_client(id);
                }
            }
            Side::Broker => {
                let conn = ConnId(id as u64);
                if self.sessions[id].broker_open {
                    if !self.broker.is_closing(conn) {
                        self.ledger.broker_receives(id, &self.sessions[id].node, &message);
                    }
                    self.broker.handle_message(conn, message, now);
                    if self.broker.is_closing(conn) {
                        self.ledger.broker_left(id);
                    }
                }
            }
        }
    }

    fn client_lost(&mut self, id: SessionId, why: &str) {
        let session = &mut self.sessions[id];
        if !session.client_open {
            return;
        }
        session.client_open = false;
        let now = self.base + self.now;
        session.core.transport_lost(&Error::new(Status::ConnectionLost, why), now);
        self.pump_client(id);
    }

    fn close_client(&mut self, id: SessionId) {
        if std::mem::replace(&mut self.sessions[id].client_open, false) {
            self.send(id, Side::Broker, Parcel::End);
        }
    }

    /// What the driver of a client does in a turn: events, then messages while the transport takes
    /// them.
    pub(crate) fn pump_client(&mut self, id: SessionId) {
        loop {
            let events = self.sessions[id].core.take_events();
            let mut idle = events.is_empty();
            for event in events {
                self.event(id, event);
            }
            let now = self.instant();
            while self.sessions[id].client_open && self.sessions[id].to_broker.ready() {
                let session = &mut self.sessions[id];
                let Some(message) = session.core.poll_transmit(now) else {
                    if session.core.is_closed() && session.app.ended {
                        self.close_client(id);
                    }
                    break;
                };
                self.trace.note(self.now, format_args!("client {id}"), format_args!("sends {message:?}"));
                // Sending may have ended something.
                idle = false;
                self.ledger.client_sends(id, &message);
                let bytes = self.encoded(&message);
                self.send(id, Side::Broker, Parcel::Message(bytes));
            }
            for (stream_id, acknowledged, points) in self.check_flushes.drain(..) {
                self.ledger.flushed(stream_id, acknowledged, points);
            }
            if idle {
                return;
            }
        }
    }

    fn encoded(&mut self, message: &iscp::message::Message) -> Bytes {
        let bytes = Encoding::Protobuf.encode(message, Schema::V3);
        self.trace.mix(&bytes);
        bytes
    }

    /// The core of a client said that it ended.
    pub(crate) fn client_ended(&mut self, id: SessionId) {
        self.after(GOODBYE, Action::GiveUpGoodbye(id));
    }

    fn pump_broker(&mut self) {
        let mut ready = Vec::new();
        loop {
            self.broker.take_ready(&mut ready);
            if ready.is_empty() {
                return;
            }
            for conn in ready.drain(..) {
                self.pump_broker_side(conn.0 as SessionId);
            }
        }
    }

    fn pump_broker_side(&mut self, id: SessionId) {
        let conn = ConnId(id as u64);
        while self.sessions[id].broker_open && self.sessions[id].to_client.ready() {
            let Some(message) = self.broker.poll_transmit(conn) else {
                if self.broker.is_closing(conn) {
                    self.send(id, Side::Client, Parcel::End);
                    self.broker_lost(id);
                }
                break;
            };
            self.trace.note(self.now, format_args!("broker {id}"), format_args!("sends {message:?}"));
            self.ledger.broker_sends(id, &self.sessions[id].node, &message);
            let bytes = self.encoded(&message);
            self.send(id, Side::Client, Parcel::Message(bytes));
        }
        self.watch_for_stall(id);
    }

    fn watch_for_stall(&mut self, id: SessionId) {
        let limit = self.broker.stall_limit(ConnId(id as u64));
        let session = &mut self.sessions[id];
        if session.broker_open && !session.to_client.ready() && !session.stall_check {
            session.stall_check = true;
            let departures = session.to_client.departures();
            self.after(limit, Action::StallCheck(id, departures));
        }
    }

    fn broker_lost(&mut self, id: SessionId) {
        let session = &mut self.sessions[id];
        if !std::mem::replace(&mut session.broker_open, false) {
            return;
        }
        if let Some(cut_at) = session.cut_at {
            let app = &session.app;
            let timeout = app.config().ping_timeout;
            // Margin and two prolongations of the broker, and the limit of a stalled socket.
            let limit = app.config().ping_interval
                + 3 * (timeout + Duration::from_secs(1))
                + timeout
                + 2 * Duration::from_secs(5);
            let took = self.now - cut_at;
            assert!(took <= limit + self.leapt, "the broker noticed a dead link after {took:?}");
        }
        self.trace.note(self.now, format_args!("broker {id}"), format_args!("link gone"));
        self.ledger.broker_left(id);
        let now = self.instant();
        self.broker.connection_lost(ConnId(id as u64), now);
    }

    fn finish(mut self) -> u64 {
        let stats = self.broker.stats();
        assert_eq!(
            (stats.connections, stats.upstreams, stats.downstreams, stats.nodes),
            (0, 0, 0, 0),
            "left in the broker: connections, upstreams, downstreams, nodes"
        );
        assert!(self.ledger.may_drop || stats.chunks_dropped == 0);
        for id in 0..self.sessions.len() {
            let session = &mut self.sessions[id];
            assert!(session.core.is_closed(), "client {id} did not end: {:?}", session.core);
            assert_eq!(session.core.next_timeout(), None, "client {id} still waits");
            assert!(session.core.take_events().is_empty(), "client {id}: events after the end");
            session.app.check_finished(id);
        }
        if self.trace.print {
            println!(
                "{} steps, {} chunks, {} points, until {:?}",
                self.steps, self.ledger.chunks, self.ledger.points, self.now
            );
        }
        self.trace.hash
    }
}
