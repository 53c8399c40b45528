//! The client core with typed messages and fake time.

mod calls;
mod downstream;
mod ending;
mod handshake;
mod keep_alive;
mod order;
mod reconnect;
mod resume_downstream;
mod resume_upstream;
mod upstream;
mod upstream_points;
mod write_buffer;

use std::time::{Duration, Instant};

use uuid::Uuid;

use super::*;
use crate::error::{Error, Result, Status};
use crate::message::{
    Aliases, ConnectRequest, ConnectResponse, DataId, DownstreamOpenResponse, Message, Reply, ResultCode,
    UpstreamOpenResponse,
};

const STREAM: Uuid = Uuid::from_u128(0x1234);

fn ms(millis: u64) -> Duration {
    Duration::from_millis(millis)
}

fn id(name: &str) -> DataId {
    DataId::new(name, "t")
}

fn reply(request_id: u32, result_code: ResultCode) -> Reply {
    Reply { request_id, result_code, result_string: String::new() }
}

/// A connection and its clock.
struct Rig {
    core: Connection,
    start: Instant,
    now: Instant,
    events: Vec<Event>,
    next_op: u64,
}

impl Rig {
    /// Before the server answered. The connect operation is number 0. A loss is the end.
    fn connecting() -> Self {
        let reconnect = ReconnectConfig { enabled: false, ..ReconnectConfig::default() };
        Self::with(ConnectionConfig { reconnect, ..ConnectionConfig::default() })
    }

    fn with(config: ConnectionConfig) -> Self {
        let now = Instant::now();
        Self {
            core: Connection::new(config, "token".to_owned(), OpId(0), now),
            start: now,
            now,
            events: Vec::new(),
            next_op: 1,
        }
    }

    /// Accepted by the server; nothing is left to send or to tell.
    fn open() -> Self {
        let mut rig = Self::connecting();
        rig.sent();
        rig.receive(Message::ConnectResponse(accepted()));
        assert!(rig.outcome(OpId(0)).is_ok());
        rig.events.clear();
        rig
    }

    /// As [`Self::open`], over a connection that is made anew when it is lost.
    fn resilient() -> Self {
        Self::resilient_with(ConnectionConfig { node_id: "node".to_owned(), ..ConnectionConfig::default() })
    }

    fn resilient_with(config: ConnectionConfig) -> Self {
        let mut rig = Self::with(config);
        rig.sent();
        rig.receive(Message::ConnectResponse(accepted()));
        rig.events.clear();
        rig
    }

    /// The transport breaks.
    fn lose(&mut self) {
        self.core.transport_lost(&Error::new(Status::ConnectionLost, "gone"), self.now);
        self.collect();
    }

    /// Waits for the next attempt to reconnect, and establishes a transport. Gives the connect request.
    fn dial(&mut self) -> ConnectRequest {
        let dials = |rig: &Self| rig.events.iter().filter(|event| matches!(event, Event::Dial)).count();
        let before = dials(self);
        while dials(self) == before {
            let at = self.core.next_timeout().expect("an attempt");
            self.pass(at - self.now);
        }
        self.core.transport_established("fresh token".to_owned(), false, self.now);
        match self.sends() {
            Message::ConnectRequest(request) => request,
            other => panic!("{other:?}"),
        }
    }

    /// Reconnects. Gives what is sent once the server accepted.
    fn reconnect(&mut self) -> Vec<Message> {
        self.reconnect_to("3.0.0")
    }

    fn reconnect_to(&mut self, version: &str) -> Vec<Message> {
        let request_id = self.dial().request_id;
        let protocol_version = version.to_owned();
        let response = ConnectResponse { request_id, protocol_version, ..ConnectResponse::default() };
        self.receive(Message::ConnectResponse(response));
        assert!(matches!(self.events.last(), Some(Event::Reconnected { .. })), "{:?}", self.events);
        self.sent()
    }

    fn op(&mut self) -> OpId {
        self.next_op += 1;
        OpId(self.next_op)
    }

    fn collect(&mut self) {
        self.events.extend(self.core.take_events());
    }

    fn receive(&mut self, message: Message) {
        self.core.handle_message(message, self.now);
        self.collect();
    }

    /// Lets time pass, stopping at every deadline.
    fn pass(&mut self, duration: Duration) {
        let until = self.now + duration;
        while let Some(at) = self.core.next_timeout().filter(|at| *at <= until) {
            self.now = self.now.max(at);
            self.core.handle_timeout(self.now);
            self.collect();
            let next = self.core.next_timeout();
            assert!(next.is_none_or(|at| at > self.now), "wants to be called again at once");
        }
        self.now = until;
    }

    /// When the connection wants to be called, since the start of the test.
    fn deadline(&self) -> Option<Duration> {
        self.core.next_timeout().map(|at| at - self.start)
    }

    /// Everything there is to send.
    fn sent(&mut self) -> Vec<Message> {
        let sent = std::iter::from_fn(|| self.core.poll_transmit(self.now)).collect();
        self.collect();
        sent
    }

    /// The one message there is to send.
    fn sends(&mut self) -> Message {
        let mut sent = self.sent();
        assert_eq!(sent.len(), 1, "{sent:?}");
        sent.remove(0)
    }

    /// How an operation ended; it must have, and once.
    fn outcome(&self, op: OpId) -> Result<Output> {
        let mut found = self.events.iter().filter_map(|event| match event {
            Event::Done(done, outcome) if *done == op => Some(outcome.clone()),
            _ => None,
        });
        let outcome = found.next().expect("the operation ended");
        assert!(found.next().is_none(), "{op:?} ended twice");
        outcome
    }

    fn status(&self, op: OpId) -> Status {
        self.outcome(op).expect_err("a failure").status()
    }

    fn is_done(&self, op: OpId) -> bool {
        self.events.iter().any(|event| matches!(event, Event::Done(done, _) if *done == op))
    }

    fn upstream_ends(&self) -> Vec<UpstreamEnd> {
        let ends = self.events.iter().filter_map(|event| match event {
            Event::UpstreamClosed(_, end) => Some(end.clone()),
            _ => None,
        });
        ends.collect()
    }

    fn downstream_ends(&self) -> Vec<Option<Status>> {
        let ends = self.events.iter().filter_map(|event| match event {
            Event::DownstreamClosed(_, error) => Some(error.as_ref().map(Error::status)),
            _ => None,
        });
        ends.collect()
    }

    /// Why the connection ended; it must have, once, and as the last event.
    fn end(&self) -> Option<Status> {
        let ends = self.events.iter().filter(|event| matches!(event, Event::Closed(_)));
        assert_eq!(ends.count(), 1);
        assert!(self.core.is_closed());
        assert_eq!(self.core.next_timeout(), None);
        match self.events.last() {
            Some(Event::Closed(error)) => error.as_ref().map(Error::status),
            other => panic!("not the last event: {other:?}"),
        }
    }

    fn open_upstream(&mut self, config: UpstreamConfig, aliases: Aliases<DataId>) -> OpenedUpstream {
        let op = self.op();
        self.core.open_upstream(op, config, self.now);
        let Message::UpstreamOpenRequest(request) = self.sends() else {
            panic!("no open request");
        };
        self.receive(Message::UpstreamOpenResponse(UpstreamOpenResponse {
            request_id: request.request_id,
            stream_id: STREAM,
            stream_id_alias: 7,
            data_id_aliases: aliases,
            resume_token: "first".to_owned(),
            ..UpstreamOpenResponse::default()
        }));
        match self.outcome(op) {
            Ok(Output::Upstream(opened)) => opened,
            other => panic!("{other:?}"),
        }
    }

    fn open_downstream(&mut self, config: DownstreamConfig) -> OpenedDownstream {
        let op = self.op();
        self.core.open_downstream(op, config, self.now);
        let Message::DownstreamOpenRequest(request) = self.sends() else {
            panic!("no open request");
        };
        self.receive(Message::DownstreamOpenResponse(DownstreamOpenResponse {
            request_id: request.request_id,
            stream_id: STREAM,
            resume_token: "first".to_owned(),
            ..DownstreamOpenResponse::default()
        }));
        match self.outcome(op) {
            Ok(Output::Downstream(opened)) => opened,
            other => panic!("{other:?}"),
        }
    }

    /// Writes a point as an application does.
    fn write(&mut self, upstream: &OpenedUpstream, name: &str, payload: &[u8]) {
        let mut buffer = upstream.buffer.lock();
        let index = buffer.data_id(id(name)).expect("room for a data id");
        let pushed = buffer.push(index, 1, payload).expect("room for a point");
        drop(buffer);
        if pushed == Pushed::Wake {
            self.core.attend_upstream(upstream.key, self.now);
        }
    }
}

fn accepted() -> ConnectResponse {
    ConnectResponse { protocol_version: "3.0.0".to_owned(), ..ConnectResponse::default() }
}
