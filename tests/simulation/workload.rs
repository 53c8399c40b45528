//! Applications: what they do, what they take note of, and what happens to their links.

mod core;

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use iscp::core::{
    ConnectionConfig, DataIdIndex, FlushLevel, Pushed, ReceiveCounters, ReceivedMetadata, SharedBuffer,
    StreamKey, TakenAck,
};
use iscp::error::{Error, Status};
use iscp::message::{BaseTime, DownstreamCall};
use uuid::Uuid;

use crate::calls::CallPlan;
use crate::invariants::{Op, OpKind, SessionId};
use crate::plan::{DownstreamPlan, Plan, SETTLE, UpstreamPlan, WORK, millis};
use crate::transport::LinkId;
use crate::world::{Action, Side, World};

/// Chunks after which an application's reads are acknowledged at once, as the client does it.
const URGENT: usize = 128;

/// What an application does.
#[derive(Clone, Copy, Debug)]
pub(crate) enum AppAction {
    OpenUpstream(usize),
    Write(usize),
    Flush(usize),
    CloseUpstream(usize),
    OpenDownstream(usize),
    Take(usize),
    CloseDownstream(usize),
    FailDownstream(usize),
    BaseTime,
    Close,
}

/// What reaches the core, a moment after the application asked for it.
#[derive(Debug)]
pub(crate) enum Command {
    OpenUpstream(usize),
    OpenDownstream(usize),
    Attend(StreamKey),
    Relieve(StreamKey),
    Flush(StreamKey, FlushLevel, Duration, bool),
    CloseUpstream(StreamKey, bool, Duration),
    CloseDownstream(StreamKey, Duration),
    Taken(StreamKey, bool, Vec<ReceivedMetadata>),
    BaseTime(BaseTime),
    Call(usize),
    Reply(DownstreamCall),
    Close(Duration),
}

#[derive(Debug)]
struct UpstreamSide {
    plan: UpstreamPlan,
    opened: Option<(StreamKey, Uuid, Arc<SharedBuffer>)>,
    ids: Vec<DataIdIndex>,
    left: u64,
    counter: u64,
    /// Numbers of points whose outcome the application waits for.
    awaited: BTreeSet<u64>,
    closing: bool,
    /// When closing stops waiting for acknowledgements.
    gives_up: Option<Duration>,
    ended: bool,
}

#[derive(Debug)]
struct DownstreamSide {
    plan: DownstreamPlan,
    opened: Option<(StreamKey, Uuid)>,
    counters: Arc<ReceiveCounters>,
    /// Number of the last chunk of each upstream.
    last: BTreeMap<Uuid, u32>,
    waiting: VecDeque<TakenAck>,
    metadata: Vec<ReceivedMetadata>,
    taken: Vec<TakenAck>,
    /// A read is planned.
    reading: bool,
    closing: bool,
    failed: bool,
    ended: bool,
}

/// An application on one connection.
#[derive(Debug)]
pub(crate) struct Application {
    plan: Plan,
    upstreams: Vec<UpstreamSide>,
    downstreams: Vec<DownstreamSide>,
    ops: BTreeMap<u64, Op>,
    next_op: u64,
    done: BTreeSet<u64>,
    last_command: Duration,
    pub(crate) ended: bool,
    /// The server accepted the connection once.
    connected: bool,
    /// The application decided to close the connection, and the core was told.
    closing: bool,
    close_asked: bool,
}

impl Application {
    pub(crate) fn new(plan: Plan, now: Duration) -> Self {
        let connect = Op {
            what: OpKind::Connect,
            started: now,
            limit: plan.config.response_timeout,
            must_succeed: true,
        };
        let upstreams = plan.upstreams.iter().map(|plan| UpstreamSide {
            plan: plan.clone(),
            opened: None,
            ids: Vec::new(),
            left: plan.writes,
            counter: 0,
            awaited: BTreeSet::new(),
            closing: false,
            gives_up: None,
            ended: false,
        });
        let downstreams = plan.downstreams.iter().map(|plan| DownstreamSide {
            plan: plan.clone(),
            opened: None,
            counters: Arc::default(),
            last: BTreeMap::new(),
            waiting: VecDeque::new(),
            metadata: Vec::new(),
            taken: Vec::new(),
            reading: false,
            closing: false,
            failed: false,
            ended: false,
        });
        Self {
            upstreams: upstreams.collect(),
            downstreams: downstreams.collect(),
            ops: BTreeMap::from([(0, connect)]),
            next_op: 1,
            done: BTreeSet::new(),
            last_command: now,
            plan,
            ended: false,
            connected: false,
            closing: false,
            close_asked: false,
        }
    }

    pub(crate) fn plan(&self) -> &Plan {
        &self.plan
    }

    pub(crate) fn config(&self) -> &ConnectionConfig {
        &self.plan.config
    }

    pub(crate) fn call_plan(&self, i: usize) -> &CallPlan {
        &self.plan.calls[i]
    }

    pub(crate) fn is_closing(&self) -> bool {
        self.closing
    }

    pub(crate) fn check_finished(&self, id: SessionId) {
        assert!(self.ended, "client {id} was not told of its end");
        assert!(self.ops.is_empty(), "client {id}: operations without an end: {:?}", self.ops);
        let upstreams = self.upstreams.iter().all(|side| side.opened.is_none() || side.ended);
        let downstreams = self.downstreams.iter().all(|side| side.opened.is_none() || side.ended);
        assert!(upstreams && downstreams, "client {id}: streams without an end");
    }
}

// What a seed decides.

impl World {
    /// What will happen to a new link.
    pub(crate) fn plan_disturbances(&mut self, id: SessionId, link: LinkId) {
        // Nothing after the work, so that everything can settle.
        let time = if self.ledger.outages { WORK.saturating_sub(self.now) } else { WORK };
        if self.rng.chance(30) {
            let at = self.rng.duration(Duration::ZERO, WORK);
            let duration = millis(&mut self.rng, 1, 150);
            let side = *self.rng.pick(&[Side::Client, Side::Broker]);
            self.after(at, Action::Stall(link, side, duration));
        }
        if !self.sessions[id].app.plan.trouble || time.is_zero() {
            return;
        }
        if self.rng.chance(20) {
            let at = self.rng.duration(Duration::ZERO, time);
            let duration = millis(&mut self.rng, 150, 20_000);
            let side = *self.rng.pick(&[Side::Client, Side::Broker]);
            self.after(at, Action::Stall(link, side, duration));
        }
        let again = self.sessions[id].app.plan.config.reconnect.enabled;
        if self.rng.chance(if again { 70 } else { 40 }) {
            // Where the connection is made anew often right at its beginning, during the resume.
            let soon = again && self.rng.chance(50);
            let at = self
                .rng
                .duration(Duration::ZERO, if soon { time.min(Duration::from_millis(500)) } else { time });
            let only = (again && self.rng.chance(20)).then(|| *self.rng.pick(&[Side::Client, Side::Broker]));
            self.after(at, Action::Cut(link, only));
            // Each end may be told, at once or later; who is not told must find out.
            for side in [Side::Client, Side::Broker] {
                if self.rng.chance(50) {
                    let delay =
                        *self.rng.pick(&[Duration::ZERO, Duration::from_millis(5), Duration::from_secs(1)]);
                    self.after(at + delay, Action::Lost(link, side));
                }
            }
        }
    }

    // The application acts.

    fn plan_work(&mut self, id: SessionId) {
        let plan = self.sessions[id].app.plan.clone();
        for (i, upstream) in plan.upstreams.iter().enumerate() {
            self.after(upstream.opens, Action::App(id, AppAction::OpenUpstream(i)));
            if let Some(closes) = upstream.closes {
                self.after(closes, Action::App(id, AppAction::CloseUpstream(i)));
            } else if self.rng.chance(70) {
                // The others are left for the end of the connection.
                self.at(WORK, Action::App(id, AppAction::CloseUpstream(i)));
            }
            for _ in 0..self.rng.range(0, 3) {
                let at = upstream.opens + self.rng.duration(Duration::ZERO, Duration::from_secs(4));
                self.after(at, Action::App(id, AppAction::Flush(i)));
            }
            // Nothing stays in a buffer without a flush policy.
            self.at(self.now.max(WORK) + Duration::from_secs(1), Action::App(id, AppAction::Flush(i)));
        }
        for (i, downstream) in plan.downstreams.iter().enumerate() {
            self.after(downstream.opens, Action::App(id, AppAction::OpenDownstream(i)));
            if let Some(fails) = downstream.fails {
                self.after(fails, Action::App(id, AppAction::FailDownstream(i)));
            }
            if let Some(closes) = downstream.closes {
                self.after(closes, Action::App(id, AppAction::CloseDownstream(i)));
            } else {
                let late = millis(&mut self.rng, 0, 2000);
                self.at(WORK + SETTLE + late, Action::App(id, AppAction::CloseDownstream(i)));
            }
        }
        for at in &plan.base_times {
            self.after(*at, Action::App(id, AppAction::BaseTime));
        }
        for (i, call) in plan.calls.iter().enumerate() {
            self.after(call.at, Action::Command(id, Command::Call(i)));
        }
        let close = AppAction::Close;
        let late = millis(&mut self.rng, 1, 4000);
        self.at(WORK + SETTLE + late, Action::App(id, close));
        if let Some(closes) = plan.closes {
            self.after(closes, Action::App(id, close));
        }
    }

    pub(crate) fn app_action(&mut self, id: SessionId, action: AppAction) {
        self.trace.note(self.now, format_args!("app {id}"), format_args!("{action:?}"));
        match action {
            AppAction::OpenUpstream(i) => self.ask(id, Command::OpenUpstream(i)),
            AppAction::OpenDownstream(i) => self.ask(id, Command::OpenDownstream(i)),
            AppAction::Write(i) => self.write(id, i),
            AppAction::Flush(i) => {
                let level = *self.rng.pick(&[FlushLevel::Sent, FlushLevel::Acknowledged]);
                let timeout =
                    *self.rng.pick(&[Duration::ZERO, Duration::from_millis(50), Duration::from_secs(20)]);
                let side = &self.sessions[id].app.upstreams[i];
                if let Some((key, ..)) = side.opened {
                    // One that is overtaken by the end of its stream may fail.
                    let patient = side.plan.config.close_timeout > Duration::from_secs(5);
                    let sure = patient && !side.closing && timeout > Duration::from_secs(10);
                    self.ask(id, Command::Flush(key, level, timeout, sure));
                }
            }
            AppAction::CloseUpstream(i) => {
                let side = &mut self.sessions[id].app.upstreams[i];
                if let Some((key, _, buffer)) = &side.opened {
                    buffer.lock().close(Status::Closed);
                    side.closing = true;
                    let command = Command::CloseUpstream(
                        *key,
                        side.counter.is_multiple_of(2),
                        side.plan.config.close_timeout,
                    );
                    self.ask(id, command);
                }
            }
            AppAction::Take(i) => self.take(id, i),
            AppAction::CloseDownstream(i) => {
                let side = &mut self.sessions[id].app.downstreams[i];
                if let Some((key, _)) = side.opened {
                    side.closing = true;
                    let command = Command::CloseDownstream(key, side.plan.config.close_timeout);
                    self.ask(id, command);
                }
            }
            AppAction::FailDownstream(i) => {
                let session = &mut self.sessions[id];
                let side = &mut session.app.downstreams[i];
                if let Some((key, _)) = side.opened {
                    side.failed = true;
                    let error = Error::new(Status::Overflow, "the application does not read");
                    session.core.fail_downstream(key, &error);
                    self.pump_client(id);
                }
            }
            AppAction::BaseTime => {
                let base_time = BaseTime {
                    session_id: format!("session-{}", self.rng.range(0, 3)),
                    name: (*self.rng.pick(&["gps", "ntp"])).to_owned(),
                    priority: self.rng.range(0, 1000) as u32,
                    elapsed_time_ns: self.rng.next(),
                    base_time_ns: self.rng.next() as i64,
                };
                self.ask(id, Command::BaseTime(base_time));
            }
            AppAction::Close => {
                let timeout = *self.rng.pick(&[Duration::from_millis(10), Duration::from_secs(60)]);
                self.sessions[id].app.closing = true;
                self.ask(id, Command::Close(timeout));
            }
        }
    }

    /// Commands reach the core in order, some time later.
    fn ask(&mut self, id: SessionId, command: Command) {
        let delay = *self.rng.pick(&[Duration::ZERO, Duration::ZERO, Duration::from_micros(200)]);
        let app = &mut self.sessions[id].app;
        let at = (self.now + delay).max(app.last_command);
        app.last_command = at;
        self.at(at, Action::Command(id, command));
    }

    fn write(&mut self, id: SessionId, i: usize) {
        let Self { sessions, rng, ledger, .. } = self;
        let side = &mut sessions[id].app.upstreams[i];
        let Some((key, stream_id, buffer)) = &side.opened else {
            return;
        };
        let (key, stream_id) = (*key, *stream_id);
        if side.left == 0 || side.ended || self.now > WORK {
            return;
        }
        side.left -= 1;
        let at = rng.index(side.plan.data_ids.len());
        let elapsed_time = match rng.range(0, 9) {
            0 => 0,
            1 => -(side.counter as i64),
            _ => self.now.as_nanos() as i64,
        };
        let len = rng.range(0, side.plan.sizes as u64) as usize;
        let payload: Bytes = (0..len).map(|n| (side.counter as usize + n) as u8).collect();
        let mut locked = buffer.lock();
        let pushed = locked.push(side.ids[at], elapsed_time, &payload);
        if pushed.is_ok() && side.counter.is_multiple_of(3) {
            let number = locked.written() - 1;
            locked.await_point(number);
            side.awaited.insert(number);
        }
        drop(locked);
        let mut command = None;
        match pushed {
            Ok(pushed) => {
                side.counter += 1;
                ledger.written(stream_id, &side.plan.data_ids[at], elapsed_time, payload);
                if pushed == Pushed::Wake {
                    command = Some(Command::Attend(key));
                }
            }
            Err(Status::WouldBlock) => {
                command = Some(Command::Relieve(key));
            }
            Err(Status::Closed) => return,
            Err(status) => panic!("write: {status:?}"),
        }
        let gap = rng.duration(Duration::ZERO, side.plan.gap);
        if let Some(command) = command {
            self.ask(id, command);
        }
        self.after(gap, Action::App(id, AppAction::Write(i)));
    }

    fn take(&mut self, id: SessionId, i: usize) {
        let late = self.now > WORK;
        let side = &mut self.sessions[id].app.downstreams[i];
        side.reading = false;
        let pace = side.plan.pace.filter(|_| !late);
        let count = if pace.is_some() { 1 } else { usize::MAX };
        let mut notice = None;
        for _ in 0..count.min(side.waiting.len()) {
            side.taken.extend(side.waiting.pop_front());
            match side.taken.len() {
                1 => notice = notice.or(Some(false)),
                URGENT => notice = Some(true),
                _ => {}
            }
        }
        let metadata = std::mem::take(&mut side.metadata);
        let more = !side.waiting.is_empty();
        let Some((key, _)) = side.opened else { return };
        if notice.is_some() || !metadata.is_empty() {
            self.ask(id, Command::Taken(key, notice.unwrap_or_default(), metadata));
        }
        if more {
            self.plan_read(id, i);
        }
    }

    fn plan_read(&mut self, id: SessionId, i: usize) {
        let late = self.now > WORK;
        let side = &mut self.sessions[id].app.downstreams[i];
        if !std::mem::replace(&mut side.reading, true) {
            let pace = side.plan.pace.filter(|_| !late).unwrap_or_default();
            self.after(pace, Action::App(id, AppAction::Take(i)));
        }
    }
}
