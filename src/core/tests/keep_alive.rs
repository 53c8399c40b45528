use super::*;

#[test]
fn a_ping_leaves_every_interval() {
    let mut rig = Rig::open();
    assert_eq!(rig.deadline(), Some(ms(10_000)));
    rig.pass(ms(10_000));
    assert_eq!(rig.sends(), Message::Ping(2));
    rig.pass(ms(300));
    rig.receive(Message::Pong(2));
    assert_eq!(rig.core.round_trip(), Some(ms(300)));
    assert_eq!(rig.deadline(), Some(ms(20_000)));
    rig.pass(ms(9_700));
    assert_eq!(rig.sends(), Message::Ping(4));
}

#[test]
fn a_ping_without_an_answer_ends_the_connection() {
    let mut rig = Rig::open();
    rig.pass(ms(10_999));
    assert!(!rig.core.is_closed());
    rig.pass(ms(1));
    assert_eq!(rig.end(), Some(Status::KeepAliveTimeout));
}

#[test]
fn a_pong_for_another_ping_is_no_answer() {
    let mut rig = Rig::open();
    rig.pass(ms(10_000));
    rig.receive(Message::Pong(0));
    rig.pass(ms(1_000));
    assert_eq!(rig.end(), Some(Status::KeepAliveTimeout));
}

#[test]
fn other_messages_prolong_the_wait_for_a_pong() {
    let mut rig = Rig::open();
    rig.pass(ms(10_500));
    rig.receive(Message::Ping(1));
    rig.pass(ms(999));
    assert!(!rig.core.is_closed());
    rig.pass(ms(1));
    assert_eq!(rig.end(), Some(Status::KeepAliveTimeout));
}

#[test]
fn pings_of_the_server_are_answered_before_anything_else() {
    let mut rig = Rig::open();
    let config = UpstreamConfig { flush_policy: FlushPolicy::Immediate, ..UpstreamConfig::default() };
    let upstream = rig.open_upstream(config, Aliases::new());
    rig.write(&upstream, "a", b"x");
    let op = rig.op();
    rig.core.send_base_time(op, crate::message::BaseTime::default(), false, rig.now);
    rig.receive(Message::Ping(5));
    let sent = rig.sent();
    assert_eq!(sent[0], Message::Pong(5));
    assert!(matches!(sent[1], Message::UpstreamMetadata(_)));
    assert!(matches!(sent[2], Message::UpstreamChunk(_)));
}

#[test]
fn a_leap_of_the_clock_leads_to_one_ping() {
    let mut rig = Rig::open();
    rig.now += ms(3_600_000);
    rig.core.handle_timeout(rig.now);
    assert_eq!(rig.sent().len(), 1);
    assert!(!rig.core.is_closed());
}

fn ping(rig: &mut Rig) -> OpId {
    let op = rig.op();
    rig.core.ping(op, rig.now);
    rig.collect();
    op
}

fn round_trip(rig: &Rig, op: OpId) -> Duration {
    match rig.outcome(op) {
        Ok(Output::RoundTrip(took)) => took,
        other => panic!("{other:?}"),
    }
}

#[test]
fn a_ping_of_the_application_is_measured_from_when_it_leaves() {
    let mut rig = Rig::open();
    let op = ping(&mut rig);
    rig.pass(ms(50));
    assert_eq!(rig.sends(), Message::Ping(2));
    rig.pass(ms(30));
    rig.receive(Message::Pong(2));
    assert_eq!(round_trip(&rig, op), ms(30));
    assert_eq!(rig.core.round_trip(), Some(ms(30)));
}

#[test]
fn pings_of_the_application_and_of_the_connection_do_not_answer_each_other() {
    let mut rig = Rig::open();
    rig.pass(ms(9_990));
    let op = ping(&mut rig);
    assert_eq!(rig.sends(), Message::Ping(2));
    rig.pass(ms(10));
    assert_eq!(rig.sends(), Message::Ping(4));
    rig.pass(ms(500));
    rig.receive(Message::Pong(4));
    assert!(!rig.is_done(op));
    assert_eq!(rig.core.round_trip(), Some(ms(500)));
    rig.receive(Message::Pong(2));
    assert_eq!(round_trip(&rig, op), ms(510));
}

#[test]
fn pings_of_the_application_are_bounded_and_end_with_what_they_measure() {
    let mut rig = Rig::resilient();
    let pings: Vec<_> = (0..64).map(|_| ping(&mut rig)).collect();
    let refused = ping(&mut rig);
    assert_eq!(rig.status(refused), Status::WouldBlock);
    rig.lose();
    assert!(pings.iter().all(|op| rig.status(*op) == Status::ConnectionLost));
    let meanwhile = ping(&mut rig);
    assert_eq!(rig.status(meanwhile), Status::ConnectionLost);
    assert!(!rig.reconnect().iter().any(|message| matches!(message, Message::Ping(_))));
    let late = ping(&mut rig);
    rig.sent();
    rig.pass(ms(10_000));
    assert_eq!(rig.status(late), Status::Timeout);
}
