//! Fake time, the queue of what is to happen, and the transports between the cores.

use std::collections::BTreeMap;
use std::fmt;
use std::time::{Duration, Instant};

use iscp::core;
use iscp_broker::core::{Broker, Config, SeededEnvironment};
use uuid::Uuid;

use crate::invariants::{Ledger, SessionId};
use crate::link::Parcel;
use crate::plan::{Plan, WORK};
use crate::transport::{Link, LinkId};
use crate::workload::{AppAction, Application, Command};

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
    pub(crate) fn mix(&mut self, bytes: &[u8]) {
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
    /// A client's attempt to establish another transport ends.
    Dialled(SessionId),
    /// The front of the pipe towards `Side` leaves its sender.
    Depart(LinkId, Side),
    Arrive(LinkId, Side, Parcel),
    /// Both directions, or one, carry nothing any more; nobody is told.
    Cut(LinkId, Option<Side>),
    /// An end learns that its transport is gone.
    Lost(LinkId, Side),
    Stall(LinkId, Side, Duration),
    /// A client's transport gives up saying goodbye.
    GiveUpGoodbye(LinkId),
    /// The broker's transport looks whether a blocked pipe moved.
    StallCheck(LinkId, u64),
    /// The clock leaps: nothing ran meanwhile.
    Leap(Duration),
    /// The broker ends in order, for good.
    Shutdown,
    /// The broker dies, and another that knows nothing takes its place after a while.
    Crash(Duration),
    Restart,
    /// Everything written had time to arrive.
    CheckComplete,
}

/// A connection of a client: core and application.
pub(crate) struct Session {
    pub(crate) node: String,
    pub(crate) core: core::Connection,
    pub(crate) app: Application,
    /// What the client takes for its transport.
    pub(crate) link: Option<LinkId>,
    /// Whether the client waits for a transport.
    pub(crate) dialling: bool,
    /// Whether something happened that may end the connection before the application does.
    pub(crate) disturbed: bool,
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
    /// All the transports there have been.
    pub(crate) links: Vec<Link>,
    pub(crate) broker: Broker,
    config: Config,
    seed: u64,
    pub(crate) ledger: Ledger,
    /// The broker takes no connections.
    pub(crate) down: bool,
    /// The broker is gone without a word.
    crashed: bool,
    /// All the leaps so far: what they add to every wait.
    pub(crate) leapt: Duration,
    /// Where the last leap ended.
    leapt_until: Duration,
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
            links: Vec::new(),
            broker: Broker::new(config.clone(), Box::new(environment)),
            config,
            seed,
            ledger: Ledger::default(),
            down: false,
            crashed: false,
            leapt: Duration::ZERO,
            leapt_until: Duration::ZERO,
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
        let broker = self.broker_timeout().map(|at| self.offset(at));
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
        if !self.crashed {
            self.pump_broker();
        }
        true
    }

    /// A broker that crashed has no deadlines.
    fn broker_timeout(&self) -> Option<Instant> {
        self.broker.next_timeout().filter(|_| !self.crashed)
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
            Action::Dialled(id) => self.dialled(id),
            Action::Depart(link, to) => self.depart(link, to),
            Action::Arrive(link, to, parcel) => self.arrive(link, to, parcel),
            Action::Cut(link, only) => {
                self.trace.note(self.now, format_args!("link {link}"), format_args!("cut: {only:?}"));
                let session = self.links[link].cut(only, self.now);
                self.sessions[session].disturbed = true;
            }
            Action::Lost(link, Side::Client) => self.client_lost(link, "the transport broke"),
            Action::Lost(link, Side::Broker) => self.broker_lost(link),
            Action::Stall(link, to, duration) => {
                self.trace.note(
                    self.now,
                    format_args!("link {link}"),
                    format_args!("stalls for {duration:?}"),
                );
                let until = self.now + duration;
                let session = self.links[link].stall(to, until);
                self.sessions[session].disturbed |= duration > Duration::from_millis(150);
            }
            Action::GiveUpGoodbye(link) => self.close_client(link),
            Action::StallCheck(link, departures) => self.stall_check(link, departures),
            Action::Leap(by) => {
                self.trace.note(self.now, format_args!("clock"), format_args!("leaps {by:?}"));
                self.now += by;
                self.leapt += by;
                self.leapt_until = self.now;
                for session in &mut self.sessions {
                    session.disturbed = true;
                }
            }
            Action::Shutdown => {
                self.trace.note(self.now, format_args!("broker"), format_args!("shuts down"));
                self.down = true;
                self.disturb_all();
                for link in 0..self.links.len() {
                    self.ledger.broker_left(link);
                }
                let now = self.instant();
                self.broker.shutdown(now);
            }
            Action::Crash(downtime) => {
                self.trace.note(self.now, format_args!("broker"), format_args!("crashes for {downtime:?}"));
                self.down = true;
                self.crashed = true;
                self.disturb_all();
                self.kill_links();
                self.ledger.broker_crashed();
                self.after(downtime, Action::Restart);
            }
            Action::Restart => {
                self.trace.note(self.now, format_args!("broker"), format_args!("starts again"));
                self.down = false;
                self.crashed = false;
                self.seed = self.seed.wrapping_add(0x1000_0000_0000);
                let time = 1_700_000_000_000_000_000;
                let environment = SeededEnvironment::new(self.seed, self.base, time);
                self.broker = Broker::new(self.config.clone(), Box::new(environment));
            }
            // A leap past the end of the work took of the time to arrive.
            Action::CheckComplete if self.leapt_until > WORK => {}
            Action::CheckComplete => self.check_complete(),
        }
    }

    fn disturb_all(&mut self) {
        for session in &mut self.sessions {
            session.disturbed = true;
        }
    }

    fn finish(mut self) -> u64 {
        let stats = self.broker.stats();
        assert_eq!(
            (stats.connections, stats.upstreams, stats.downstreams, stats.nodes),
            (0, 0, 0, 0),
            "left in the broker: connections, upstreams, downstreams, nodes"
        );
        assert!(self.ledger.may_drop || self.ledger.outages || stats.chunks_dropped == 0);
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
