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
