//! What applications ask of the core, and what they take note of.

use std::sync::atomic::Ordering::Relaxed;
use std::time::Duration;

use iscp::core::{ChunkOrder, Event, FlushLevel, OpId, Output, ReceivedChunk, StreamKey, TakenAck};
use iscp::error::{Error, Result, Status};
use iscp::message::Qos;

use super::{AppAction, Command};
use crate::invariants::{Op, OpKind, SessionId};
use crate::plan::WORK;
use crate::world::{Action, World};

impl World {
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
