//! End-to-end calls (docs/protocol/behaviour.md §11.6).

use super::*;
use iscp::message::{DownstreamCall, UpstreamCall};

fn call(id: &str, destination: &str) -> UpstreamCall {
    UpstreamCall {
        call_id: id.to_owned(),
        request_call_id: "earlier".to_owned(),
        destination_node_id: destination.to_owned(),
        name: "name".to_owned(),
        kind: "type".to_owned(),
        payload: bytes::Bytes::from_static(b"payload"),
    }
}

fn ask(world: &mut World, conn: ConnId, call: UpstreamCall) -> (String, ResultCode, String) {
    match world.ask(conn, Message::UpstreamCall(call)) {
        Message::UpstreamCallAck(ack) => (ack.call_id, ack.result_code, ack.result_string),
        other => panic!("{other:?}"),
    }
}

#[test]
fn a_call_reaches_the_newest_connection_of_its_node_unchanged() {
    let mut world = World::new();
    let caller = world.connect("caller");
    let old = world.connect("callee");
    let new = world.connect("callee");
    let (id, code, _) = ask(&mut world, caller, call("A", "callee"));
    assert_eq!((&*id, code), ("A", ResultCode::SUCCEEDED));
    assert_eq!(world.receive(old), []);
    assert_eq!(
        world.receive(new),
        [Message::DownstreamCall(DownstreamCall {
            call_id: "A".to_owned(),
            request_call_id: "earlier".to_owned(),
            source_node_id: "caller".to_owned(),
            name: "name".to_owned(),
            kind: "type".to_owned(),
            payload: bytes::Bytes::from_static(b"payload"),
        })]
    );
    world.broker.connection_lost(new, world.now);
    ask(&mut world, caller, call("B", "callee"));
    assert_eq!(names(&world.receive(old)), ["DownstreamCall"]);
}

#[test]
fn a_call_to_nobody_fails_and_names_the_destination() {
    let mut world = World::new();
    let caller = world.connect("caller");
    // Being read does not make a node a destination.
    world.open_downstream(caller, downstream(1, all_of("absent"), Qos::Reliable));
    let (id, code, text) = ask(&mut world, caller, call("A", "absent"));
    assert_eq!((&*id, code), ("A", ResultCode::PROCESS_FAILED));
    assert!(text.contains("absent"), "{text}");
}

#[test]
fn calls_are_bounded_in_number_and_size_and_stay_in_order() {
    let mut world = World::with(|config| {
        config.limits.calls = 2;
        config.limits.call_bytes = 10;
    });
    let caller = world.connect("caller");
    let callee = world.connect("callee");
    let mut large = call("L", "callee");
    large.payload = vec![0; 11].into();
    assert_eq!(ask(&mut world, caller, large).1, ResultCode::TOO_LARGE_MESSAGE_SIZE);
    let codes: Vec<_> =
        ["A", "B", "C"].iter().map(|id| ask(&mut world, caller, call(id, "callee")).1).collect();
    assert_eq!(codes, [ResultCode::SUCCEEDED, ResultCode::SUCCEEDED, ResultCode::RATE_LIMIT_REACHED]);
    let received: Vec<_> = world
        .receive(callee)
        .into_iter()
        .map(|message| match message {
            Message::DownstreamCall(call) => call.call_id,
            other => panic!("{other:?}"),
        })
        .collect();
    assert_eq!(received, ["A", "B"]);
    assert_eq!(ask(&mut world, caller, call("D", "callee")).1, ResultCode::SUCCEEDED);
}

#[test]
fn large_calls_are_bounded_in_bytes() {
    let mut world = World::with(|config| config.limits.call_queue_bytes = 100);
    let caller = world.connect("caller");
    let callee = world.connect("callee");
    let sized = |id: &str, len: usize| UpstreamCall { payload: vec![1; len].into(), ..call(id, "callee") };
    // A single one may be larger than the queue.
    assert_eq!(ask(&mut world, caller, sized("A", 1_000_000)).1, ResultCode::SUCCEEDED);
    assert_eq!(ask(&mut world, caller, sized("B", 1)).1, ResultCode::RATE_LIMIT_REACHED);
    let [Message::DownstreamCall(received)] = &world.receive(callee)[..] else { panic!("one call") };
    assert_eq!((received.call_id.as_str(), received.payload.len()), ("A", 1_000_000));
    for (id, len) in [("C", 60), ("D", 40)] {
        assert_eq!(ask(&mut world, caller, sized(id, len)).1, ResultCode::SUCCEEDED);
    }
    assert_eq!(ask(&mut world, caller, sized("E", 1)).1, ResultCode::RATE_LIMIT_REACHED);
    assert_eq!(world.receive(callee).len(), 2);
}

#[test]
fn a_call_without_an_id_is_refused() {
    let mut world = World::new();
    let caller = world.connect("caller");
    assert_eq!(ask(&mut world, caller, call("", "caller")).1, ResultCode::PROTOCOL_ERROR);
    assert_eq!(world.receive(caller), []);
}

#[test]
fn a_node_may_call_itself() {
    let mut world = World::new();
    let node = world.connect("node");
    world.send(node, Message::UpstreamCall(call("A", "node")));
    assert_eq!(names(&world.receive(node)), ["UpstreamCallAck", "DownstreamCall"]);
}

fn question(id: &str, destination: &str) -> UpstreamCall {
    UpstreamCall { request_call_id: String::new(), ..call(id, destination) }
}

fn answer(id: &str, request: &str) -> UpstreamCall {
    UpstreamCall { request_call_id: request.to_owned(), ..call(id, "caller") }
}

#[test]
fn a_reply_finds_the_connection_that_asked() {
    let mut world = World::with(|config| config.limits.calls_asked = 2);
    let old = world.connect("caller");
    let new = world.connect("caller");
    let callee = world.connect("callee");
    for id in ["A", "B", "C"] {
        ask(&mut world, old, question(id, "callee"));
    }
    world.receive(callee);
    let mut reply = |id: &str, request: &str| {
        assert_eq!(ask(&mut world, callee, answer(id, request)).1, ResultCode::SUCCEEDED);
        (world.receive(old).len(), world.receive(new).len())
    };
    assert_eq!(reply("1", "B"), (1, 0));
    assert_eq!(reply("2", "C"), (1, 0));
    // A second reply, and one to a call that was forgotten, go where calls go.
    assert_eq!(reply("3", "C"), (0, 1));
    assert_eq!(reply("4", "A"), (0, 1));
}

#[test]
fn a_reply_to_a_caller_that_has_gone_is_refused() {
    let mut world = World::new();
    let caller = world.connect("caller");
    let callee = world.connect("callee");
    ask(&mut world, caller, question("A", "callee"));
    world.broker.connection_lost(caller, world.now);
    let (_, code, text) = ask(&mut world, callee, answer("B", "A"));
    assert_eq!(code, ResultCode::PROCESS_FAILED);
    assert!(text.contains("caller"), "{text}");
    // Back again under its name, it may still want to know.
    let again = world.connect("caller");
    assert_eq!(ask(&mut world, callee, answer("C", "A")).1, ResultCode::SUCCEEDED);
    assert_eq!(names(&world.receive(again)), ["DownstreamCall"]);
}

#[test]
fn a_client_that_does_not_read_delays_nobody_but_its_callers() {
    let mut world = World::with(|config| config.limits.calls = 1);
    let caller = world.connect("caller");
    let _stuck = world.connect("stuck");
    let callee = world.connect("callee");
    ask(&mut world, caller, call("A", "stuck"));
    assert_eq!(ask(&mut world, caller, call("B", "stuck")).1, ResultCode::RATE_LIMIT_REACHED);
    assert_eq!(ask(&mut world, caller, call("C", "callee")).1, ResultCode::SUCCEEDED);
    assert_eq!(names(&world.receive(callee)), ["DownstreamCall"]);
}

#[test]
fn a_call_that_is_repeated_under_a_new_id_is_another_call() {
    let mut world = World::new();
    let caller = world.connect("caller");
    let callee = world.connect("callee");
    ask(&mut world, caller, question("A", "callee"));
    world.broker.connection_lost(caller, world.now);
    let caller = world.connect("caller");
    assert_eq!(ask(&mut world, caller, question("B", "callee")).1, ResultCode::SUCCEEDED);
    assert_eq!(names(&world.receive(callee)), ["DownstreamCall"; 2]);
    for (id, request) in [("1", "A"), ("2", "B")] {
        assert_eq!(ask(&mut world, callee, answer(id, request)).1, ResultCode::SUCCEEDED);
    }
    assert_eq!(names(&world.receive(caller)), ["DownstreamCall"; 2]);
}
