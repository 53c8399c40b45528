use super::*;
use crate::error::Error;
use crate::message::{
    BaseTime, Disconnect, DownstreamChunkAck, DownstreamChunkAckComplete, UpstreamCall, UpstreamCallAck,
    UpstreamChunkAck, UpstreamOpenRequest,
};

fn base_time(rig: &mut Rig) -> OpId {
    let op = rig.op();
    rig.core.send_base_time(op, BaseTime::default(), false, rig.now);
    op
}

#[test]
fn closing_closes_every_stream_then_says_goodbye() {
    let mut rig = Rig::open();
    rig.open_upstream(UpstreamConfig::default(), Aliases::new());
    rig.open_downstream(DownstreamConfig::default());
    let close = rig.op();
    rig.core.close(Some(close), rig.now, ms(5_000));
    rig.collect();
    let sent = rig.sent();
    let [Message::UpstreamCloseRequest(upstream), Message::DownstreamCloseRequest(downstream)] = &sent[..]
    else {
        panic!("{sent:?}");
    };
    rig.receive(Message::UpstreamCloseResponse(reply(upstream.request_id, ResultCode::SUCCEEDED)));
    assert_eq!(rig.sent(), []);
    rig.receive(Message::DownstreamCloseResponse(reply(downstream.request_id, ResultCode::SUCCEEDED)));
    assert!(matches!(rig.sends(), Message::Disconnect(disconnect) if disconnect.result_code.is_success()));
    assert!(rig.outcome(close).is_ok());
    assert_eq!((rig.upstream_ends().len(), rig.downstream_ends()), (1, vec![None]));
    assert_eq!(rig.end(), None);
}

#[test]
fn closing_is_bounded() {
    let mut rig = Rig::open();
    rig.open_upstream(UpstreamConfig::default(), Aliases::new());
    let close = rig.op();
    rig.core.close(Some(close), rig.now, ms(2_000));
    rig.sent();
    rig.pass(ms(2_000));
    assert_eq!(rig.status(close), Status::Timeout);
    assert!(matches!(rig.sends(), Message::Disconnect(_)));
    assert_eq!(rig.upstream_ends().len(), 1);
    assert_eq!(rig.end(), Some(Status::Timeout));
}

#[test]
fn a_stream_that_opens_while_the_connection_is_closed_is_closed_too() {
    let mut rig = Rig::open();
    rig.open_upstream(UpstreamConfig::default(), Aliases::new());
    let open = rig.op();
    rig.core.open_downstream(open, DownstreamConfig::default(), rig.now);
    let Message::DownstreamOpenRequest(request) = rig.sends() else {
        panic!("no open request");
    };
    let close = rig.op();
    rig.core.close(Some(close), rig.now, ms(5_000));
    let Message::UpstreamCloseRequest(first) = rig.sends() else {
        panic!("no close request");
    };
    rig.receive(Message::DownstreamOpenResponse(DownstreamOpenResponse {
        request_id: request.request_id,
        stream_id: STREAM,
        ..DownstreamOpenResponse::default()
    }));
    assert!(rig.outcome(open).is_ok());
    let Message::DownstreamCloseRequest(second) = rig.sends() else {
        panic!("no close request");
    };
    let ok = ResultCode::SUCCEEDED;
    rig.receive(Message::UpstreamCloseResponse(reply(first.request_id, ok)));
    rig.receive(Message::DownstreamCloseResponse(reply(second.request_id, ok)));
    assert!(matches!(rig.sends(), Message::Disconnect(_)));
    assert!(rig.outcome(close).is_ok());
}

#[test]
fn closing_while_connecting_ends_both_operations() {
    let mut rig = Rig::connecting();
    let close = rig.op();
    rig.core.close(Some(close), rig.now, ms(5_000));
    rig.collect();
    assert!(rig.outcome(close).is_ok());
    assert_eq!(rig.status(OpId(0)), Status::Cancelled);
    assert_eq!(rig.end(), Some(Status::Cancelled));
}

#[test]
fn a_lost_transport_ends_everything_once() {
    let mut rig = Rig::open();
    let config = UpstreamConfig { flush_policy: FlushPolicy::None, ..UpstreamConfig::default() };
    let upstream = rig.open_upstream(config, Aliases::new());
    let downstream = rig.open_downstream(DownstreamConfig::default());
    rig.write(&upstream, "a", b"x");
    let flush = rig.op();
    let level = FlushLevel::Acknowledged;
    rig.core.flush_upstream(flush, upstream.key, level, rig.now, ms(5_000));
    rig.sent();
    rig.write(&upstream, "a", b"unsent");
    let ops = [
        flush,
        base_time(&mut rig),
        {
            let op = rig.op();
            rig.core.open_upstream(op, UpstreamConfig::default(), rig.now);
            op
        },
        {
            let op = rig.op();
            rig.core.close_downstream(Some(op), downstream.key, rig.now);
            op
        },
    ];
    let lost = Error::new(Status::ConnectionLost, "gone");
    rig.core.transport_lost(&lost, rig.now);
    rig.core.transport_lost(&lost, rig.now);
    rig.collect();
    for op in ops {
        assert_eq!(rig.status(op), Status::ConnectionLost, "{op:?}");
    }
    let ends = rig.upstream_ends();
    assert_eq!(ends.len(), 1);
    assert_eq!((ends[0].undelivered_points, &ends[0].undelivered_chunks[..]), (2, &[1][..]));
    assert_eq!(rig.downstream_ends(), [Some(Status::ConnectionLost)]);
    assert_eq!(rig.end(), Some(Status::ConnectionLost));
    assert_eq!(upstream.buffer.lock().push(0, 1, b""), Err(Status::Closed));
}

#[test]
fn operations_after_the_end_fail_at_once() {
    let mut rig = Rig::open();
    let upstream = rig.open_upstream(UpstreamConfig::default(), Aliases::new());
    rig.core.transport_lost(&Error::new(Status::ConnectionLost, "gone"), rig.now);
    rig.sent();
    rig.events.clear();
    let base_time = base_time(&mut rig);
    let close = rig.op();
    rig.core.close(Some(close), rig.now, ms(1_000));
    let flush = rig.op();
    rig.core.flush_upstream(flush, upstream.key, FlushLevel::Sent, rig.now, ms(1_000));
    let others: Vec<_> = (0..6).map(|_| rig.op()).collect();
    rig.core.open_upstream(others[0], UpstreamConfig::default(), rig.now);
    rig.core.open_downstream(others[1], DownstreamConfig::default(), rig.now);
    rig.core.close_upstream(Some(others[2]), upstream.key, false, rig.now);
    rig.core.close_downstream(Some(others[3]), StreamKey(9), rig.now);
    rig.core.send_call(others[4], UpstreamCall::default(), rig.now);
    rig.core.call(others[5], UpstreamCall::default(), ms(1_000), rig.now);
    rig.receive(Message::Ping(1));
    for op in others.into_iter().chain([base_time, close, flush]) {
        assert_eq!(rig.status(op), Status::Closed);
    }
    assert_eq!(rig.sent(), []);
    assert_eq!(rig.core.next_timeout(), None);
}

#[test]
fn a_server_that_disconnects_says_why() {
    let mut rig = Rig::open();
    rig.receive(Message::Disconnect(Disconnect {
        result_code: ResultCode::PING_TIMEOUT,
        result_string: "late".to_owned(),
    }));
    assert_eq!(rig.end(), Some(Status::Disconnected));
}

#[test]
fn a_malformed_message_is_answered_with_a_disconnect() {
    let mut rig = Rig::open();
    rig.core.handle_malformed("nonsense", rig.now);
    assert!(
        matches!(rig.sends(), Message::Disconnect(disconnect) if disconnect.result_code == ResultCode::MALFORMED_MESSAGE)
    );
    assert_eq!(rig.end(), Some(Status::MalformedMessage));
}

#[test]
fn base_times_end_with_the_answer_of_the_server() {
    let mut rig = Rig::open();
    let ops = [base_time(&mut rig), base_time(&mut rig), base_time(&mut rig)];
    rig.sent();
    rig.receive(Message::UpstreamMetadataAck(reply(4, ResultCode::PROTOCOL_ERROR)));
    rig.receive(Message::UpstreamMetadataAck(reply(2, ResultCode::SUCCEEDED)));
    rig.pass(ms(10_000));
    assert!(rig.outcome(ops[0]).is_ok());
    assert_eq!(rig.status(ops[1]), Status::Refused);
    assert_eq!(rig.status(ops[2]), Status::Timeout);
}

#[test]
fn closing_again_fails_at_once_and_disturbs_nothing() {
    let mut rig = Rig::open();
    rig.open_upstream(UpstreamConfig::default(), Aliases::new());
    let close = |rig: &mut Rig| {
        let op = rig.op();
        rig.core.close(Some(op), rig.now, ms(5_000));
        rig.collect();
        op
    };
    let first = close(&mut rig);
    let Message::UpstreamCloseRequest(request) = rig.sends() else { panic!("no close request") };
    for _ in 0..3 {
        let again = close(&mut rig);
        assert_eq!(rig.status(again), Status::Closed);
    }
    assert!(!rig.is_done(first));
    rig.receive(Message::UpstreamCloseResponse(reply(request.request_id, ResultCode::SUCCEEDED)));
    assert!(matches!(rig.sends(), Message::Disconnect(_)));
    assert!(rig.outcome(first).is_ok());
    for _ in 0..3 {
        let again = close(&mut rig);
        assert_eq!(rig.status(again), Status::Closed);
    }
}

#[test]
fn requests_without_an_answer_leave_nothing_behind() {
    let config = ConnectionConfig { ping_interval: ms(100_000_000), ..ConnectionConfig::default() };
    let mut rig = Rig::resilient_with(config);
    let mut size = 0;
    for round in 1..=500_u32 {
        let ops: Vec<_> = (0..5).map(|_| rig.op()).collect();
        let call = |id: &str| UpstreamCall { call_id: format!("{id}{round}"), ..UpstreamCall::default() };
        rig.core.send_base_time(ops[0], BaseTime::default(), false, rig.now);
        rig.core.open_upstream(ops[1], UpstreamConfig::default(), rig.now);
        rig.core.open_downstream(ops[2], DownstreamConfig::default(), rig.now);
        rig.core.send_call(ops[3], call("sent"), rig.now);
        rig.core.call(ops[4], call("asked"), ms(1_000), rig.now);
        rig.sent();
        rig.pass(ms(10_000));
        for op in ops {
            assert_eq!(rig.status(op), Status::Timeout);
        }
        rig.events.clear();
        // Everything that the connection keeps; numbers get longer.
        let now = format!("{:?}", rig.core).len();
        if round == 10 {
            size = now;
        }
        assert!(round < 10 || now < size + 100, "{now} bytes after {round} rounds, {size} after 10");
    }
    assert!(!rig.core.is_closed());
}

#[test]
fn messages_that_a_client_has_no_use_for_are_ignored() {
    let mut rig = Rig::open();
    for message in [
        Message::UpstreamOpenRequest(UpstreamOpenRequest::default()),
        Message::DownstreamChunkAck(DownstreamChunkAck::default()),
        Message::UpstreamChunkAck(UpstreamChunkAck { stream_id_alias: 9, ..UpstreamChunkAck::default() }),
        Message::DownstreamChunkAckComplete(DownstreamChunkAckComplete::default()),
        Message::UpstreamCallAck(UpstreamCallAck::default()),
        Message::UpstreamCloseResponse(reply(98, ResultCode(9999))),
        Message::DownstreamCloseResponse(reply(98, ResultCode(9999))),
        Message::UpstreamMetadataAck(reply(98, ResultCode(9999))),
        Message::Pong(98),
    ] {
        rig.receive(message);
    }
    assert_eq!(rig.sent(), []);
    assert!(rig.events.is_empty() && !rig.core.is_closed(), "{:?}", rig.events);
    rig.open_upstream(UpstreamConfig::default(), Aliases::new());
}
