//! Calls between nodes, through the broker over real sockets.

mod support;

use std::os::fd::{BorrowedFd, RawFd};
use std::sync::mpsc;
use std::time::{Duration, Instant};

use iscp::client::{Completion, Connection, InboxCounters, OutgoingCall};
use iscp::error::Status;
use iscp::message::{DownstreamCall, ResultCode};
use iscp_broker::core::Limits;
use nix::poll::{PollFd, PollFlags, PollTimeout};

use support::{LIMIT, broker, connect, wait};

fn call(to: &str, name: &str, payload: &[u8]) -> OutgoingCall {
    OutgoingCall::new(to, name, "bytes", payload.to_vec())
}

fn ask(from: &Connection, call: OutgoingCall) -> iscp::error::Result<DownstreamCall> {
    wait(|done| from.call(call, Some(LIMIT), done))
}

/// Answers every call with its payload, reversed.
fn serve(connection: &Connection) {
    let own = connection.clone();
    connection
        .on_call(Box::new(move |call| {
            let payload: Vec<u8> = call.payload.iter().rev().copied().collect();
            let reply = OutgoingCall::reply(&call, call.name.as_str(), "reversed", payload).unwrap();
            own.send_call(reply, Completion::ignore()).unwrap();
        }))
        .unwrap();
}

#[test]
fn a_call_comes_back_with_the_reply() {
    let broker = broker(Limits::default());
    let (caller, callee) = (connect(&broker, "caller", |_| {}), connect(&broker, "callee", |_| {}));
    serve(&callee);
    let large: Vec<u8> = (0..1_000_000_u32).map(|i| i as u8).collect();
    for payload in [&b""[..], b"\0\xff", &large] {
        let reply = ask(&caller, call("callee", "name", payload)).unwrap();
        assert!(reply.payload.iter().eq(payload.iter().rev()));
        let texts = [reply.source_node_id, reply.name, reply.kind];
        assert_eq!(texts, ["callee", "name", "reversed"]);
    }
    assert_eq!(caller.reply_counters(), InboxCounters::default(), "the replies were the calls' own");
    assert_eq!(callee.call_counters().received, 3);
    wait(|done| callee.close(done)).unwrap();
    let error = ask(&caller, call("callee", "name", b"")).unwrap_err();
    assert_eq!((error.status(), error.result_code()), (Status::Refused, Some(ResultCode::PROCESS_FAILED)));
}

#[test]
fn many_calls_at_once_get_each_its_own_reply() {
    let broker = broker(Limits { calls: 1000, ..Limits::default() });
    let (caller, callee) = (connect(&broker, "caller", |_| {}), connect(&broker, "callee", |_| {}));
    serve(&callee);
    let (sender, replies) = mpsc::channel();
    for i in 0..500_u32 {
        let sender = sender.clone();
        let done = Completion::call(move |reply| drop(sender.send((i, reply))));
        caller.call(call("callee", "n", &i.to_be_bytes()), Some(LIMIT), done).unwrap();
    }
    for _ in 0..500 {
        let (i, reply): (u32, iscp::error::Result<DownstreamCall>) = replies.recv_timeout(LIMIT).unwrap();
        assert_eq!(reply.unwrap().payload[..], i.to_le_bytes());
    }
}

#[test]
fn calls_and_replies_are_pulled_in_order() {
    let broker = broker(Limits::default());
    let (caller, callee) = (connect(&broker, "caller", |_| {}), connect(&broker, "callee", |_| {}));
    let mut ids = Vec::new();
    for i in 0..10_u8 {
        let call = call("callee", "n", &[i]);
        ids.push(call.id().to_owned());
        wait(|done| caller.send_call(call, done)).unwrap();
    }
    for (i, id) in (0..).zip(&ids) {
        let received = callee.next_call(Some(LIMIT)).unwrap();
        assert_eq!((&received.call_id, &received.payload[..]), (id, &[i][..]));
        let reply = OutgoingCall::reply(&received, "r", "t", vec![]).unwrap();
        wait(|done| callee.send_call(reply, done)).unwrap();
        assert_eq!(caller.next_reply(Some(LIMIT)).unwrap().request_call_id, *id);
    }
    assert_eq!(callee.next_call(Some(Duration::ZERO)).unwrap_err().status(), Status::WouldBlock);
    assert_eq!(callee.next_call(Some(Duration::from_millis(1))).unwrap_err().status(), Status::Timeout);
}

#[test]
fn a_reply_that_comes_too_late_goes_to_the_others() {
    let broker = broker(Limits::default());
    let (caller, callee) = (connect(&broker, "caller", |_| {}), connect(&broker, "callee", |_| {}));
    let question = call("callee", "n", b"");
    let id = question.id().to_owned();
    let error = wait(|done| caller.call(question, Some(Duration::from_millis(20)), done)).unwrap_err();
    assert_eq!(error.status(), Status::Timeout);
    assert!(error.message().contains("no reply within 20ms"), "{error}");
    let received = callee.next_call(Some(LIMIT)).unwrap();
    let reply = OutgoingCall::reply(&received, "n", "t", b"late".to_vec()).unwrap();
    wait(|done| callee.send_call(reply, done)).unwrap();
    assert_eq!(caller.next_reply(Some(LIMIT)).unwrap().request_call_id, id);
}

#[test]
fn the_options_bound_the_wait_for_a_reply() {
    let broker = broker(Limits::default());
    let caller =
        connect(&broker, "caller", |options| options.calls.reply_timeout = Duration::from_millis(20));
    let _silent = connect(&broker, "silent", |_| {});
    let error = wait(|done| caller.call(call("silent", "n", b""), None, done)).unwrap_err();
    assert_eq!(error.status(), Status::Timeout);
}

#[test]
fn an_application_that_takes_no_calls_drops_the_newest_and_counts_them() {
    let broker = broker(Limits::default());
    let callee = connect(&broker, "callee", |options| options.calls.queue_limit = 2);
    let caller = connect(&broker, "caller", |_| {});
    for i in 0..5 {
        wait(|done| caller.send_call(call("callee", "n", &[i]), done)).unwrap();
    }
    let deadline = Instant::now() + LIMIT;
    while callee.call_counters().received < 5 {
        assert!(Instant::now() < deadline, "the calls do not arrive");
        std::thread::yield_now();
    }
    assert_eq!(callee.call_counters(), InboxCounters { received: 5, dropped: 3, waiting: 2 });
    for i in 0..2 {
        assert_eq!(callee.next_call(Some(LIMIT)).unwrap().payload[..], [i]);
    }
}

/// Whether a descriptor polls readable, waiting for it at most so many milliseconds.
fn readable(descriptor: RawFd, timeout_ms: u16) -> bool {
    // SAFETY: the descriptor belongs to a connection that outlives the borrow.
    let descriptor = unsafe { BorrowedFd::borrow_raw(descriptor) };
    let mut poll = [PollFd::new(descriptor, PollFlags::POLLIN)];
    nix::poll::poll(&mut poll, PollTimeout::from(timeout_ms)).unwrap() == 1
}

#[test]
fn descriptors_tell_of_calls_of_replies_and_of_the_end() {
    let broker = broker(Limits::default());
    let node = connect(&broker, "node", |_| {});
    let (calls, replies) = (node.call_pollable().unwrap(), node.reply_pollable().unwrap());
    assert!(!readable(calls, 0) && !readable(replies, 0));
    wait(|done| node.send_call(call("node", "n", b""), done)).unwrap();
    assert!(readable(calls, 20_000) && !readable(replies, 0));
    let received = node.next_call(Some(Duration::ZERO)).unwrap();
    assert!(!readable(calls, 0));
    let reply = OutgoingCall::reply(&received, "n", "t", vec![]).unwrap();
    wait(|done| node.send_call(reply, done)).unwrap();
    assert!(readable(replies, 20_000) && !readable(calls, 0));
    wait(|done| node.close(done)).unwrap();
    assert!(readable(calls, 20_000));
    assert_eq!(node.next_call(None).unwrap_err().status(), Status::Closed);
    // What was received can still be taken.
    node.next_reply(None).unwrap();
    assert_eq!(node.next_reply(None).unwrap_err().status(), Status::Closed);
}

#[test]
fn calls_wait_for_the_handler_and_a_second_one_is_refused() {
    let broker = broker(Limits::default());
    let node = connect(&broker, "node", |_| {});
    wait(|done| node.send_call(call("node", "early", b""), done)).unwrap();
    let (sender, calls) = mpsc::channel();
    node.on_call(Box::new(move |call| drop(sender.send(call.name)))).unwrap();
    assert_eq!(calls.recv_timeout(LIMIT).unwrap(), "early");
    assert_eq!(node.on_call(Box::new(drop)).unwrap_err().status(), Status::InvalidState);
    assert_eq!(node.next_call(Some(Duration::ZERO)).unwrap_err().status(), Status::InvalidState);
    // The handler goes with the connection.
    wait(|done| node.close(done)).unwrap();
    assert_eq!(calls.recv_timeout(LIMIT), Err(mpsc::RecvTimeoutError::Disconnected));
    assert_eq!(node.on_reply(Box::new(drop)).unwrap_err().status(), Status::Closed);
}

#[test]
fn what_cannot_be_sent_is_refused_at_once() {
    let broker = broker(Limits::default());
    let node = connect(&broker, "node", |options| options.config.reconnect.enabled = false);
    let error = node.send_call(call("node", "n", &[0; (15 << 20) + 1]), Completion::ignore()).unwrap_err();
    assert_eq!(error.status(), Status::TooLarge);
    // More than this broker carries.
    let error = ask(&node, call("node", "n", &[0; 1_000_001])).unwrap_err();
    assert_eq!(error.result_code(), Some(ResultCode::TOO_LARGE_MESSAGE_SIZE));
    drop(broker);
    assert!(node.next_call(Some(LIMIT)).is_err());
    let error = wait(|done| node.send_call(call("node", "n", b""), done)).unwrap_err();
    assert!(matches!(error.status(), Status::Closed | Status::ConnectionLost), "{error}");
}

#[test]
fn everything_under_way_ends_with_the_broker() {
    let broker = broker(Limits::default());
    let caller = connect(&broker, "caller", |options| options.config.reconnect.enabled = false);
    let callee = connect(&broker, "callee", |_| {});
    let (done, waiter) = Completion::waiter().unwrap();
    caller.call(call("callee", "n", b""), Some(LIMIT), done).unwrap();
    callee.next_call(Some(LIMIT)).unwrap();
    drop(broker);
    assert_eq!(waiter.wait(None).unwrap_err().status(), Status::ConnectionLost);
}
