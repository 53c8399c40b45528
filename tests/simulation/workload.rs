//! Applications: what they do, what they take note of, and what happens to their links.

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::sync::Arc;
use std::sync::atomic::Ordering::Relaxed;
use std::time::Duration;

use bytes::Bytes;
use iscp::core::{
    ChunkOrder, ConnectionConfig, DataIdIndex, Event, FlushLevel, OpId, Output, Pushed, ReceiveCounters,
    ReceivedChunk, ReceivedMetadata, SharedBuffer, StreamKey, TakenAck,
};
use iscp::error::{Error, Result, Status};
use iscp::message::{BaseTime, DownstreamCall, Qos};
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

    // The core.

    pub(crate) fn op(&mut self, id: SessionId, what: OpKind, limit: Duration, must_succeed: bool) -> OpId {
        let started = self.now;
        let session = &mut self.sessions[id];
        // Once the application closes the connection everything else may fail.
        let must_succeed = must_succeed && !session.app.closing && !session.core.is_closed();
        let app = &mut session.app;
        let op = app.next_op;
        app.next_op += 1;
        app.ops.insert(op, Op { what, started, limit, must_succeed });
        OpId(op)
    }

    pub(crate) fn command(&mut self, id: SessionId, command: Command) {
        self.trace.note(self.now, format_args!("client {id}"), format_args!("{command:?}"));
        let now = self.instant();
        let answer = self.sessions[id].app.plan.config.response_timeout;
        let sure = !self.sessions[id].app.closing;
        match command {
            Command::OpenUpstream(i) => {
                let op = self.op(id, OpKind::OpenUpstream(i), answer, sure);
                let config = self.sessions[id].app.upstreams[i].plan.config.clone();
                self.sessions[id].core.open_upstream(op, config, now);
            }
            Command::OpenDownstream(i) => {
                let op = self.op(id, OpKind::OpenDownstream(i), answer, sure);
                let config = self.sessions[id].app.downstreams[i].plan.config.clone();
                self.sessions[id].core.open_downstream(op, config, now);
            }
            Command::Attend(key) => self.sessions[id].core.attend_upstream(key, now),
            Command::Relieve(key) => self.sessions[id].core.relieve_upstream(key),
            Command::Flush(key, level, timeout, sure) => {
                let sides = &self.sessions[id].app.upstreams;
                let stream_id = sides
                    .iter()
                    .find_map(|side| side.opened.as_ref().filter(|opened| opened.0 == key))
                    .expect("an open upstream")
                    .1;
                let points = self.ledger.written_points(stream_id);
                let acknowledged = level == FlushLevel::Acknowledged;
                let what = OpKind::Flush { stream_id, acknowledged, points };
                let op = self.op(id, what, timeout, sure);
                self.sessions[id].core.flush_upstream(op, key, level, now, timeout);
            }
            Command::CloseUpstream(key, close_session, timeout) => {
                let sure = timeout > Duration::from_secs(5);
                self.note_close(id, Some(key));
                let op = self.op(id, OpKind::Other, timeout + answer, sure);
                self.sessions[id].core.close_upstream(Some(op), key, close_session, now);
            }
            Command::CloseDownstream(key, timeout) => {
                // One that fails meanwhile, or failed before, cannot be closed in order.
                let fails = self.sessions[id].app.downstreams.iter().any(|side| side.plan.fails.is_some());
                let op = self.op(id, OpKind::Other, timeout + answer, sure && !fails);
                self.sessions[id].core.close_downstream(Some(op), key, now);
            }
            Command::Taken(key, urgent, metadata) => {
                let core = &mut self.sessions[id].core;
                for metadata in &metadata {
                    core.acknowledge_metadata(metadata);
                }
                core.want_ack(key, urgent, now);
            }
            Command::BaseTime(base_time) => {
                let op = self.op(id, OpKind::Other, answer, sure);
                self.sessions[id].core.send_base_time(op, base_time, false, now);
            }
            Command::Call(i) => self.call(id, i),
            Command::Reply(call) => self.reply(id, &call),
            Command::Close(timeout) => {
                let first = !std::mem::replace(&mut self.sessions[id].app.close_asked, true);
                let sure = first && timeout > Duration::from_secs(50) && !self.sessions[id].core.is_closed();
                self.note_close(id, None);
                let op = self.op(id, OpKind::Close { sure }, timeout, false);
                self.sessions[id].core.close(Some(op), now, timeout);
            }
        }
    }

    /// Takes note of when an upstream, or all of a connection, will give up waiting.
    fn note_close(&mut self, id: SessionId, only: Option<StreamKey>) {
        for side in &mut self.sessions[id].app.upstreams {
            let key = side.opened.as_ref().map(|opened| opened.0);
            if only.is_none() || key == only {
                let at = self.now + side.plan.config.close_timeout;
                side.gives_up.get_or_insert(at);
            }
        }
    }

    pub(crate) fn event(&mut self, id: SessionId, event: Event) {
        if !matches!(event, Event::Chunk(..)) {
            self.trace.note(self.now, format_args!("client {id}"), format_args!("{event:?}"));
        }
        assert!(
            !self.sessions[id].app.ended || matches!(event, Event::Done(..)),
            "client {id}: {event:?} after the end"
        );
        match event {
            Event::Connected { protocol_version } => assert_eq!(protocol_version, "3.0.0"),
            Event::Done(op, outcome) => self.done(id, op, outcome),
            Event::ChunkAcked(key, _) => {
                let app = &self.sessions[id].app;
                let side = app
                    .upstreams
                    .iter()
                    .find(|side| side.opened.as_ref().is_some_and(|opened| opened.0 == key));
                let (_, _, buffer) = side.and_then(|side| side.opened.as_ref()).expect("an upstream");
                buffer.told(0);
            }
            Event::PointsSettled(key, points, outcome) => {
                let side = self.sessions[id]
                    .app
                    .upstreams
                    .iter_mut()
                    .find(|side| side.opened.as_ref().is_some_and(|opened| opened.0 == key))
                    .expect("an upstream that was opened");
                for point in points {
                    assert!(side.awaited.remove(&point), "nobody waits for point {point}: {outcome:?}");
                }
            }
            Event::UpstreamClosed(key, end) => {
                let session = &mut self.sessions[id];
                let side = session
                    .app
                    .upstreams
                    .iter_mut()
                    .find(|side| side.opened.as_ref().is_some_and(|opened| opened.0 == key))
                    .expect("an upstream that was opened");
                assert!(!std::mem::replace(&mut side.ended, true), "a second end of upstream {key:?}");
                // A stream that delivered everything told so of every point.
                assert!(side.awaited.is_empty() || end.undelivered_points > 0, "{:?}", side.awaited);
                let (_, stream_id, buffer) = side.opened.as_ref().expect("an open upstream");
                assert!(buffer.lock().push(0, 0, b"").is_err(), "a write after the end is refused");
                // An application that closes its connection in a hurry gives up what is under way.
                let disturbed = session.disturbed || session.app.closing;
                let gave_up = side.gives_up.is_some_and(|at| at <= self.now);
                self.ledger.upstream_ended(*stream_id, &end, disturbed, gave_up);
            }
            Event::Chunk(key, chunk) => {
                let i = self.downstream(id, key);
                let (_, stream_id) = self.sessions[id].app.downstreams[i].opened.expect("open");
                let order = self.sessions[id].app.downstreams[i].plan.config.chunk_order;
                self.ledger.read(id, stream_id, &chunk, order != ChunkOrder::AsReceived);
                self.check_order(id, i, &chunk);
                let taken =
                    TakenAck { upstream: chunk.upstream.stream_id, sequence_number: chunk.sequence_number };
                self.sessions[id].app.downstreams[i].waiting.push_back(taken);
                self.plan_read(id, i);
            }
            Event::Metadata(key, metadata) => {
                let i = self.downstream(id, key);
                let disturbed = self.sessions[id].disturbed;
                let side = &mut self.sessions[id].app.downstreams[i];
                let (_, stream_id) = side.opened.expect("open");
                self.ledger.read_metadata(id, stream_id, &metadata, disturbed);
                side.metadata.push(metadata);
                self.plan_read(id, i);
            }
            Event::CollectAcks(key) => {
                let i = self.downstream(id, key);
                let session = &mut self.sessions[id];
                let taken = std::mem::take(&mut session.app.downstreams[i].taken);
                session.core.acknowledge(key, taken);
            }
            Event::DownstreamClosed(key, error) => {
                let i = self.downstream(id, key);
                let session = &mut self.sessions[id];
                let side = &mut session.app.downstreams[i];
                assert!(!std::mem::replace(&mut side.ended, true), "a second end of downstream {i}");
                assert_eq!(side.counters.waiting_chunks.load(Relaxed), 0, "left behind by downstream {i}");
                // The outage of a sender may leave a gap, or what comes late.
                let out_of_order = error.as_ref().is_some_and(|error| error.status() == Status::OutOfOrder);
                let config = &side.plan.config;
                let must_fail = config.chunk_order == ChunkOrder::Strict && config.qos == Qos::Reliable;
                assert!(!out_of_order || must_fail && self.ledger.outages, "downstream {i}: {error:?}");
                assert!(
                    session.disturbed
                        || session.app.closing
                        || side.failed
                        || out_of_order
                        || error.is_none(),
                    "downstream {i} of client {id}: {error:?}"
                );
            }
            Event::Call(call) => self.called(id, call),
            Event::Reply(reply) => self.replied(id, &reply),
            Event::Closed(error) => self.closed(id, error),
            Event::Disconnected(error, _) => self.disconnected(id, &error),
            Event::Reconnecting { delay, .. } => {
                let reconnect = &self.sessions[id].app.plan.config.reconnect;
                assert!((reconnect.min_interval..=reconnect.max_interval).contains(&delay), "{delay:?}");
                self.drop_link(id);
            }
            Event::Dial => self.dial(id),
            Event::Reconnected { protocol_version } => assert_eq!(protocol_version, "3.0.0"),
            Event::UpstreamResumed(_) => {}
            Event::UpstreamReopened { key, former, stream_id } => {
                let upstreams = &mut self.sessions[id].app.upstreams;
                let opened = upstreams.iter_mut().filter_map(|side| side.opened.as_mut());
                let opened = opened.into_iter().find(|opened| opened.0 == key).expect("an open upstream");
                assert_eq!(std::mem::replace(&mut opened.1, stream_id), former);
                assert_eq!(opened.2.identity().stream_id, stream_id);
                self.ledger.upstream_reopened(former, stream_id);
            }
            Event::DownstreamResumed(_) => {}
            Event::DownstreamReopened { key, former, stream_id, .. } => {
                let i = self.downstream(id, key);
                let opened = &mut self.sessions[id].app.downstreams[i].opened;
                assert_eq!(opened.replace((key, stream_id)), Some((key, former)));
            }
        }
    }

    /// A reader gets the chunks of an upstream in the order that it chose, each once if it chose one.
    fn check_order(&mut self, id: SessionId, i: usize, chunk: &ReceivedChunk) {
        let side = &mut self.sessions[id].app.downstreams[i];
        let number = chunk.sequence_number;
        let before = side.last.insert(chunk.upstream.stream_id, number);
        if side.plan.config.chunk_order == ChunkOrder::Strict {
            assert!(before.is_none_or(|before| before < number), "chunk {number} after chunk {before:?}");
        }
    }

    /// A connection was lost that will be made anew.
    fn disconnected(&mut self, id: SessionId, error: &Error) {
        let session = &mut self.sessions[id];
        assert!(session.disturbed, "client {id}: an undisturbed connection was lost: {error:?}");
        assert!(session.app.plan.config.reconnect.enabled, "client {id} does not want to reconnect");
        self.check_notice(id);
        self.ledger.client_left(id);
        self.drop_link(id);
    }

    /// A dead link is noticed in time.
    fn check_notice(&self, id: SessionId) {
        let session = &self.sessions[id];
        let Some(cut_at) = session.link.and_then(|link| self.links[link].cut_at) else { return };
        let config = &session.app.plan.config;
        let took = self.now - cut_at;
        let limit = config.ping_interval + config.ping_timeout;
        assert!(
            took <= limit.max(config.response_timeout) + self.leapt,
            "client {id} noticed a dead link after {took:?}"
        );
    }

    /// Everything written had time to arrive.
    pub(crate) fn check_complete(&mut self) {
        let Self { sessions, ledger, .. } = self;
        ledger.check_complete(|id| sessions[id].disturbed);
        for (id, session) in sessions.iter().enumerate() {
            if session.link.is_none() || session.app.closing || session.core.is_closed() {
                continue;
            }
            for side in session.app.upstreams.iter().filter(|side| !side.closing && !side.ended) {
                if let Some((_, stream_id, _)) = side.opened {
                    ledger.check_delivered(stream_id);
                }
            }
            for side in session.app.downstreams.iter().filter(|side| !side.closing && !side.ended) {
                if let Some((_, stream_id)) = side.opened {
                    ledger.check_read(id, stream_id);
                }
            }
        }
    }

    fn downstream(&self, id: SessionId, key: StreamKey) -> usize {
        self.sessions[id]
            .app
            .downstreams
            .iter()
            .position(|side| side.opened.is_some_and(|opened| opened.0 == key))
            .expect("a downstream that was opened")
    }

    fn done(&mut self, id: SessionId, op: OpId, outcome: Result<Output>) {
        let leapt = self.leapt;
        let now = self.now;
        let mut excused = false;
        if let Some(Op { what: OpKind::Call(i), .. }) = self.sessions[id].app.ops.get(&op.0).copied() {
            self.call_done(id, i, &outcome);
            excused = !self.call_must_succeed(id, i);
        }
        let session = &mut self.sessions[id];
        let app = &mut session.app;
        let Some(started) = app.ops.remove(&op.0) else {
            panic!("client {id}: {op:?} ended, known: {}", app.done.contains(&op.0));
        };
        app.done.insert(op.0);
        assert!(now <= started.started + started.limit + leapt, "client {id}: {started:?} ended at {now:?}");
        if started.must_succeed && !excused && !session.disturbed && !app.closing {
            assert!(outcome.is_ok(), "client {id}: {started:?}: {outcome:?}");
        }
        if let OpKind::Close { sure: true } = started.what {
            assert!(outcome.is_ok() || session.disturbed, "client {id}: close: {outcome:?}");
        }
        match (started.what, outcome) {
            (OpKind::Flush { stream_id, acknowledged, points }, Ok(_)) => {
                self.check_flushes.push((stream_id, acknowledged, points))
            }
            (OpKind::Connect, Ok(_)) => {
                app.connected = true;
                self.plan_work(id);
            }
            (OpKind::OpenUpstream(i), Ok(Output::Upstream(opened))) => {
                let side = &mut app.upstreams[i];
                let mut buffer = opened.buffer.lock();
                side.ids = side
                    .plan
                    .data_ids
                    .iter()
                    .map(|data_id| buffer.data_id(data_id.clone()).expect("room for a data id"))
                    .collect();
                drop(buffer);
                side.opened = Some((opened.key, opened.stream_id, opened.buffer));
                self.app_action(id, AppAction::Write(i));
            }
            (OpKind::OpenDownstream(i), Ok(Output::Downstream(opened))) => {
                app.downstreams[i].opened = Some((opened.key, opened.stream_id));
                app.downstreams[i].counters = opened.counters;
            }
            (OpKind::OpenUpstream(_) | OpKind::OpenDownstream(_), Ok(output)) => {
                panic!("{started:?} yielded {output:?}")
            }
            _ => {}
        }
    }

    fn closed(&mut self, id: SessionId, error: Option<Error>) {
        let now = self.now;
        if !self.sessions[id].app.plan.config.reconnect.enabled {
            self.check_notice(id);
        }
        let session = &mut self.sessions[id];
        session.app.ended = true;
        let app = &session.app;
        assert!(session.disturbed || app.closing, "client {id}: an undisturbed connection ended: {error:?}");
        let reconnect = &app.plan.config.reconnect;
        let limited = !reconnect.enabled || reconnect.attempts > 0 || reconnect.total.is_some();
        assert!(limited || app.closing || !app.connected, "client {id} gave up: {error:?}");
        let again = app.plan.reconnects > 0 && now < WORK;
        let mut plan = app.plan.clone();
        self.client_ended(id);
        if again {
            plan.reconnects -= 1;
            let delay = *self.rng.pick(&[Duration::ZERO, Duration::from_millis(100), Duration::from_secs(2)]);
            self.after(delay, Action::Connect(Box::new(plan)));
        }
    }
}
