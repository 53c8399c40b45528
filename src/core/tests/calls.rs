use super::*;
use crate::message::{DownstreamCall, UpstreamCall, UpstreamCallAck};

fn call(id: &str) -> UpstreamCall {
    UpstreamCall {
        call_id: id.to_owned(),
        destination_node_id: "callee".to_owned(),
        name: "add".to_owned(),
        kind: "json".to_owned(),
        payload: bytes::Bytes::from_static(b"[1, 2]"),
        ..UpstreamCall::default()
    }
}

fn ack(id: &str, result_code: ResultCode) -> Message {
    let result_string = "because".to_owned();
    Message::UpstreamCallAck(UpstreamCallAck { call_id: id.to_owned(), result_code, result_string })
}

fn incoming(id: &str, request_call_id: &str) -> DownstreamCall {
    DownstreamCall {
        call_id: id.to_owned(),
        request_call_id: request_call_id.to_owned(),
        source_node_id: "callee".to_owned(),
        name: "add".to_owned(),
        kind: "json".to_owned(),
        payload: bytes::Bytes::from_static(b"3"),
    }
}

impl Rig {
    fn send_call(&mut self, id: &str) -> OpId {
        let op = self.op();
        self.core.send_call(op, call(id), self.now);
        self.collect();
        op
    }

    fn call(&mut self, id: &str, timeout: Duration) -> OpId {
        let op = self.op();
        self.core.call(op, call(id), timeout, self.now);
        self.collect();
        op
    }

    fn reply_of(&self, op: OpId) -> DownstreamCall {
        match self.outcome(op) {
            Ok(Output::Reply(reply)) => *reply,
            other => panic!("{other:?}"),
        }
    }

    /// Calls that reached the application, and replies for which nothing waited: their ids.
    fn delivered(&self) -> (Vec<&str>, Vec<&str>) {
        let (mut calls, mut replies) = (Vec::new(), Vec::new());
        for event in &self.events {
            match event {
                Event::Call(call) => calls.push(call.call_id.as_str()),
                Event::Reply(reply) => replies.push(reply.call_id.as_str()),
                _ => {}
            }
        }
        (calls, replies)
    }
}

#[test]
fn a_call_is_sent_unchanged_and_ends_with_its_acknowledgement() {
    let mut rig = Rig::open();
    let op = rig.send_call("A");
    assert_eq!(rig.sends(), Message::UpstreamCall(call("A")));
    assert!(!rig.is_done(op));
    rig.receive(ack("other", ResultCode::SUCCEEDED));
    assert!(!rig.is_done(op));
    rig.receive(ack("A", ResultCode::SUCCEEDED));
    assert!(matches!(rig.outcome(op), Ok(Output::Done)));
    rig.receive(ack("A", ResultCode::SUCCEEDED));
    assert!(rig.outcome(op).is_ok());
}

#[test]
fn a_refused_call_says_what_the_server_said() {
    for wait in [false, true] {
        let mut rig = Rig::open();
        let op = if wait { rig.call("A", ms(5_000)) } else { rig.send_call("A") };
        rig.receive(ack("A", ResultCode::PROCESS_FAILED));
        let error = rig.outcome(op).unwrap_err();
        assert_eq!(error.result_code(), Some(ResultCode::PROCESS_FAILED));
        for part in ["call \"add\"", "\"callee\"", "because"] {
            assert!(error.message().contains(part), "{error}");
        }
    }
}

#[test]
fn the_reply_ends_a_call_before_or_after_the_acknowledgement() {
    for reply_first in [false, true] {
        let mut rig = Rig::open();
        let op = rig.call("A", ms(5_000));
        let reply = Message::DownstreamCall(incoming("B", "A"));
        let acknowledgement = ack("A", ResultCode::SUCCEEDED);
        let (first, second) = if reply_first { (reply, acknowledgement) } else { (acknowledgement, reply) };
        rig.receive(first);
        assert_eq!(rig.is_done(op), reply_first);
        rig.receive(second);
        assert_eq!(rig.reply_of(op), incoming("B", "A"));
        assert_eq!(rig.delivered(), (vec![], vec![]), "nobody else sees the reply");
        rig.pass(ms(60_000));
    }
}

#[test]
fn each_reply_goes_to_its_own_call() {
    let mut rig = Rig::open();
    let (a, b) = (rig.call("A", ms(5_000)), rig.call("B", ms(5_000)));
    rig.receive(Message::DownstreamCall(incoming("Y", "B")));
    assert!(!rig.is_done(a));
    rig.receive(Message::DownstreamCall(incoming("X", "A")));
    assert_eq!((rig.reply_of(a).call_id.as_str(), rig.reply_of(b).call_id.as_str()), ("X", "Y"));
}

#[test]
fn calls_and_replies_nobody_waits_for_go_to_the_application() {
    let mut rig = Rig::open();
    let op = rig.send_call("A");
    rig.receive(Message::DownstreamCall(incoming("call", "")));
    // The sender of "A" does not wait for the reply, but may want to see it.
    rig.receive(Message::DownstreamCall(incoming("to A", "A")));
    rig.receive(Message::DownstreamCall(incoming("stray", "unknown")));
    assert_eq!(rig.delivered(), (vec!["call"], vec!["to A", "stray"]));
    assert!(!rig.is_done(op), "a reply is no acknowledgement");
}

#[test]
fn a_late_reply_and_a_second_one_are_not_lost() {
    let mut rig = Rig::open();
    let op = rig.call("A", ms(100));
    rig.receive(ack("A", ResultCode::SUCCEEDED));
    rig.pass(ms(99));
    assert!(!rig.is_done(op));
    rig.pass(ms(1));
    let error = rig.outcome(op).unwrap_err();
    assert_eq!(error.status(), Status::Timeout);
    assert!(error.message().contains("no reply within 100ms"), "{error}");
    rig.receive(Message::DownstreamCall(incoming("late", "A")));
    rig.receive(Message::DownstreamCall(incoming("later", "A")));
    assert_eq!(rig.delivered().1, ["late", "later"]);
}

#[test]
fn a_server_that_does_not_acknowledge_is_not_waited_for() {
    let config = ConnectionConfig { response_timeout: ms(200), ..ConnectionConfig::default() };
    let mut rig = Rig::with(config);
    rig.receive(Message::ConnectResponse(accepted()));
    let sent = rig.send_call("A");
    let waits = rig.call("B", ms(60_000));
    let impatient = rig.call("C", ms(50));
    assert_eq!(rig.deadline(), Some(ms(50)));
    rig.pass(ms(50));
    assert!(rig.outcome(impatient).unwrap_err().message().contains("no reply within 50ms"));
    rig.pass(ms(150));
    for op in [sent, waits] {
        let error = rig.outcome(op).unwrap_err();
        assert_eq!(error.status(), Status::Timeout);
        assert!(error.message().contains("did not answer"), "{error}");
    }
    rig.receive(ack("A", ResultCode::SUCCEEDED));
    assert_eq!(rig.status(sent), Status::Timeout);
}

#[test]
fn an_id_in_use_is_refused_and_free_again_afterwards() {
    let mut rig = Rig::open();
    let first = rig.send_call("A");
    let second = rig.send_call("A");
    assert_eq!(rig.status(second), Status::InvalidArgument);
    assert_eq!(rig.sent().len(), 1);
    rig.receive(ack("A", ResultCode::SUCCEEDED));
    assert!(rig.outcome(first).is_ok());
    let third = rig.send_call("A");
    rig.receive(ack("A", ResultCode::SUCCEEDED));
    assert!(rig.outcome(third).is_ok());
}

#[test]
fn closing_waits_for_acknowledgements_and_not_for_replies() {
    let mut rig = Rig::open();
    let (sent, waits) = (rig.send_call("A"), rig.call("B", ms(60_000)));
    rig.receive(ack("B", ResultCode::SUCCEEDED));
    rig.sent();
    let close = rig.op();
    rig.core.close(Some(close), rig.now, ms(10_000));
    assert_eq!(rig.sent(), []);
    let late = rig.send_call("C");
    assert_eq!(rig.status(late), Status::Closed);
    rig.receive(ack("A", ResultCode::SUCCEEDED));
    assert!(rig.outcome(sent).is_ok());
    assert!(matches!(rig.sends(), Message::Disconnect(_)));
    assert_eq!(rig.status(waits), Status::Closed);
    assert!(rig.outcome(close).is_ok());
    assert_eq!(rig.end(), None);
}

#[test]
fn every_call_ends_with_the_connection() {
    let mut rig = Rig::open();
    let ops = [rig.send_call("A"), rig.call("B", ms(1_000)), rig.call("C", ms(1_000))];
    rig.receive(ack("C", ResultCode::SUCCEEDED));
    rig.lose();
    rig.collect();
    for op in ops {
        assert_eq!(rig.status(op), Status::ConnectionLost);
    }
    assert_eq!(rig.end(), Some(Status::ConnectionLost));
}
