use super::*;
use crate::message::{
    BaseTime, Disconnect, DownstreamCall, DownstreamChunk, DownstreamChunkAckComplete,
    DownstreamResumeResponse, OrAlias, Qos, StreamChunk, UpstreamCall, UpstreamCallAck, UpstreamChunkAck,
    UpstreamChunkResult, UpstreamInfo, UpstreamResumeResponse,
};

fn attempts(rig: &Rig) -> Vec<(u32, Status)> {
    let attempts = rig.events.iter().filter_map(|event| match event {
        Event::Reconnecting { attempt, error, .. } => Some((*attempt, error.status())),
        _ => None,
    });
    attempts.collect()
}

fn limited(adjust: impl FnOnce(&mut ReconnectConfig)) -> Rig {
    let mut config = ConnectionConfig::default();
    adjust(&mut config.reconnect);
    Rig::resilient_with(config)
}

fn refuse(rig: &mut Rig, code: ResultCode) {
    let request_id = rig.dial().request_id;
    let response = ConnectResponse { request_id, result_code: code, ..ConnectResponse::default() };
    rig.receive(Message::ConnectResponse(response));
}

fn base_time(rig: &mut Rig) -> OpId {
    let op = rig.op();
    rig.core.send_base_time(op, BaseTime::default(), false, rig.now);
    op
}

fn call(rig: &mut Rig, id: &str, reply: Option<Duration>) -> OpId {
    let op = rig.op();
    let call = UpstreamCall { call_id: id.to_owned(), ..UpstreamCall::default() };
    match reply {
        Some(timeout) => rig.core.call(op, call, timeout, rig.now),
        None => rig.core.send_call(op, call, rig.now),
    }
    rig.collect();
    op
}

#[test]
fn a_lost_connection_is_made_anew_with_a_fresh_token_and_a_keep_alive_of_its_own() {
    let mut rig = Rig::resilient();
    rig.pass(ms(9_900));
    rig.lose();
    assert!(
        matches!(rig.events[0], Event::Disconnected(ref error, None) if error.status() == Status::ConnectionLost)
    );
    assert_eq!(attempts(&rig), [(1, Status::ConnectionLost)]);
    let request = rig.dial();
    assert_eq!((&*request.access_token, &*request.node_id), ("fresh token", "node"));
    assert_ne!(request.request_id, 0, "no answer to an earlier request is taken for the one to this");
    let at = rig.now;
    rig.receive(Message::ConnectResponse(ConnectResponse { request_id: request.request_id, ..accepted() }));
    assert_eq!(rig.core.next_timeout(), Some(at + ms(10_000)));
    assert!(!rig.core.is_closed());
    rig.events.clear();
    rig.lose();
    assert_eq!(attempts(&rig), [(1, Status::ConnectionLost)], "another outage");
}

#[test]
fn every_kind_of_loss_leads_to_an_attempt() {
    type Lose = fn(&mut Rig);
    let losses: [(Status, Lose); 5] = [
        (Status::ConnectionLost, Rig::lose),
        (Status::KeepAliveTimeout, |rig| rig.pass(ms(11_000))),
        (Status::Disconnected, |rig| {
            let result_code = ResultCode::PING_TIMEOUT;
            rig.receive(Message::Disconnect(Disconnect { result_code, ..Disconnect::default() }));
        }),
        (Status::Disconnected, |rig| rig.receive(Message::Disconnect(Disconnect::default()))),
        (Status::MalformedMessage, |rig| {
            rig.core.handle_malformed("nonsense", rig.now);
            rig.collect();
        }),
    ];
    for (status, lose) in losses {
        let mut rig = Rig::resilient();
        lose(&mut rig);
        assert_eq!(attempts(&rig)[0], (1, status));
        let goodbye = match &rig.events[0] {
            Event::Disconnected(_, goodbye) => goodbye.is_some(),
            other => panic!("{other:?}"),
        };
        assert_eq!(goodbye, status == Status::MalformedMessage);
        rig.reconnect();
    }
}

#[test]
fn there_is_one_attempt_at_a_time() {
    let mut rig = Rig::resilient();
    rig.lose();
    rig.lose();
    assert_eq!(attempts(&rig).len(), 1);
    rig.pass(ms(60_000));
    assert_eq!(rig.events.iter().filter(|event| matches!(event, Event::Dial)).count(), 1);
    assert_eq!(rig.core.next_timeout(), None, "whoever dials says when it failed");
    rig.core.dial_failed(&Error::new(Status::ConnectFailed, "refused"), rig.now);
    rig.core.dial_failed(&Error::new(Status::ConnectFailed, "refused"), rig.now);
    rig.collect();
    assert_eq!(attempts(&rig), [(1, Status::ConnectionLost), (2, Status::ConnectFailed)]);
}

#[test]
fn an_attempt_that_the_server_does_not_answer_is_followed_by_another() {
    let mut rig = Rig::resilient();
    rig.lose();
    rig.dial();
    rig.pass(ms(10_000));
    assert_eq!(attempts(&rig)[1], (2, Status::Timeout));
    rig.dial();
    rig.receive(Message::Ping(1));
    assert_eq!(attempts(&rig)[2], (3, Status::ProtocolViolation));
    rig.dial();
    rig.lose();
    assert_eq!(attempts(&rig)[3], (4, Status::ConnectionLost));
    rig.reconnect();
}

#[test]
fn refusals_are_retried_unless_they_are_final() {
    let mut rig = Rig::resilient();
    rig.lose();
    refuse(&mut rig, ResultCode::RATE_LIMIT_REACHED);
    refuse(&mut rig, ResultCode::AUTH_FAILED);
    refuse(&mut rig, ResultCode::AUTH_FAILED);
    assert!(!rig.core.is_closed());
    refuse(&mut rig, ResultCode::AUTH_FAILED);
    assert_eq!(rig.end(), Some(Status::Unauthorized));

    let mut rig = Rig::resilient();
    rig.lose();
    refuse(&mut rig, ResultCode::INCOMPATIBLE_VERSION);
    assert_eq!(rig.end(), Some(Status::IncompatibleVersion));
}

#[test]
fn the_first_attempt_is_not_repeated() {
    let mut rig = Rig::with(ConnectionConfig::default());
    rig.sent();
    rig.lose();
    assert_eq!(rig.status(OpId(0)), Status::ConnectionLost);
    assert_eq!(rig.end(), Some(Status::ConnectionLost));
}

#[test]
fn attempts_may_be_limited() {
    let mut rig = limited(|reconnect| reconnect.attempts = 2);
    let upstream = rig.open_upstream(UpstreamConfig::default(), Aliases::new());
    rig.write(&upstream, "a", b"x");
    rig.lose();
    rig.dial();
    rig.lose();
    rig.dial();
    rig.lose();
    assert_eq!(rig.end(), Some(Status::ConnectionLost));
    assert_eq!(rig.upstream_ends()[0].undelivered_points, 1);
}

#[test]
fn the_length_of_an_outage_may_be_limited_whatever_is_going_on() {
    let limit = |reconnect: &mut ReconnectConfig| reconnect.total = Some(ms(3_000));
    let mut waiting = limited(limit);
    waiting.lose();
    let mut dialling = limited(limit);
    dialling.lose();
    dialling.pass(ms(500));
    let mut connecting = limited(limit);
    connecting.lose();
    connecting.dial();
    for mut rig in [waiting, dialling, connecting] {
        rig.pass(ms(3_000));
        assert_eq!(rig.end(), Some(Status::ConnectionLost));
    }
}

#[test]
fn operations_wait_for_the_connection_as_long_as_they_may() {
    let mut rig = Rig::resilient();
    let sent = base_time(&mut rig);
    rig.sent();
    rig.pass(ms(4_000));
    rig.lose();
    rig.pass(ms(10));
    let late = base_time(&mut rig);
    let (up, down) = (rig.op(), rig.op());
    rig.core.open_upstream(up, UpstreamConfig::default(), rig.now);
    rig.core.open_downstream(down, DownstreamConfig::default(), rig.now);
    let messages = rig.reconnect();
    let [Message::UpstreamMetadata(first), Message::UpstreamMetadata(second), opens @ ..] = &messages[..]
    else {
        panic!("{messages:?}");
    };
    assert!(matches!(opens, [Message::UpstreamOpenRequest(_), Message::DownstreamOpenRequest(_)]));
    rig.receive(Message::UpstreamMetadataAck(reply(first.request_id, ResultCode::SUCCEEDED)));
    assert!(rig.outcome(sent).is_ok());
    let answer = reply(second.request_id, ResultCode::SUCCEEDED);
    rig.pass(ms(10_000));
    for op in [late, up, down] {
        assert_eq!(rig.status(op), Status::Timeout);
    }
    rig.receive(Message::UpstreamMetadataAck(answer));
}

#[test]
fn an_operation_that_waited_too_long_is_not_sent_any_more() {
    let mut rig = Rig::resilient();
    rig.lose();
    rig.pass(ms(50));
    let ops = [base_time(&mut rig), call(&mut rig, "A", None), call(&mut rig, "B", Some(ms(700)))];
    rig.pass(ms(10_000));
    for op in ops {
        assert_eq!(rig.status(op), Status::Timeout);
    }
    rig.core.dial_failed(&Error::new(Status::ConnectFailed, "refused"), rig.now);
    rig.collect();
    assert_eq!(rig.reconnect(), []);
}

#[test]
fn calls_are_never_sent_twice() {
    let mut rig = Rig::resilient();
    let on_the_way = call(&mut rig, "on the way", None);
    let asked = call(&mut rig, "asked", Some(ms(60_000)));
    let taken = call(&mut rig, "taken", Some(ms(60_000)));
    rig.sent();
    let ack = UpstreamCallAck { call_id: "taken".to_owned(), ..UpstreamCallAck::default() };
    rig.receive(Message::UpstreamCallAck(ack));
    let unsent = call(&mut rig, "unsent", None);
    rig.lose();
    assert_eq!((rig.status(on_the_way), rig.status(asked)), (Status::ConnectionLost, Status::ConnectionLost));
    assert!(rig.outcome(asked).unwrap_err().message().contains("node"), "names the call");
    let later = call(&mut rig, "later", None);
    let sent = rig.reconnect();
    let ids = sent.iter().map(|message| match message {
        Message::UpstreamCall(call) => &*call.call_id,
        other => panic!("{other:?}"),
    });
    assert_eq!(ids.collect::<Vec<_>>(), ["unsent", "later"]);
    for (id, op) in [("unsent", unsent), ("later", later)] {
        let ack = UpstreamCallAck { call_id: id.to_owned(), ..UpstreamCallAck::default() };
        rig.receive(Message::UpstreamCallAck(ack));
        assert!(rig.outcome(op).is_ok());
    }
    rig.receive(Message::DownstreamCall(DownstreamCall {
        request_call_id: "taken".to_owned(),
        ..DownstreamCall::default()
    }));
    assert!(rig.outcome(taken).is_ok(), "the reply finds the node on its new connection");
}

#[test]
fn replies_do_not_find_a_node_without_a_name() {
    let mut rig = Rig::resilient_with(ConnectionConfig::default());
    let taken = call(&mut rig, "taken", Some(ms(60_000)));
    rig.sent();
    rig.receive(Message::UpstreamCallAck(UpstreamCallAck {
        call_id: "taken".to_owned(),
        ..UpstreamCallAck::default()
    }));
    rig.lose();
    assert_eq!(rig.status(taken), Status::ConnectionLost);
}

#[test]
fn closing_a_lost_connection_ends_it_at_once_when_nothing_is_owed() {
    for dial in [false, true] {
        let mut rig = Rig::resilient();
        rig.open_upstream(UpstreamConfig::default(), Aliases::new());
        rig.open_downstream(DownstreamConfig::default());
        rig.lose();
        let waiting = base_time(&mut rig);
        if dial {
            rig.pass(ms(500));
        }
        let close = rig.op();
        rig.core.close(Some(close), rig.now, ms(5_000));
        rig.collect();
        assert!(rig.outcome(close).is_ok());
        assert_eq!(rig.status(waiting), Status::Closed);
        assert_eq!(rig.upstream_ends()[0], UpstreamEnd::default());
        assert_eq!(rig.downstream_ends(), [None]);
        assert_eq!(rig.end(), None);
        rig.core.transport_established(String::new(), false, rig.now);
        assert_eq!(rig.sent(), []);
    }
}

#[test]
fn an_ended_connection_is_not_made_anew() {
    let mut rig = Rig::resilient();
    let close = rig.op();
    rig.core.close(Some(close), rig.now, ms(5_000));
    assert!(matches!(rig.sends(), Message::Disconnect(_)));
    rig.lose();
    assert_eq!(rig.end(), None);
    rig.core.abort(&Error::new(Status::Panic, "late"));
    rig.collect();
    assert_eq!(rig.end(), None);
    let mut rig = Rig::resilient();
    rig.lose();
    rig.core.abort(&Error::new(Status::Panic, "a panic"));
    rig.collect();
    assert_eq!(rig.end(), Some(Status::Panic));
}

#[test]
fn a_thousand_outages_leave_nothing_behind() {
    let mut rig = Rig::resilient();
    let config = UpstreamConfig {
        flush_policy: FlushPolicy::Immediate,
        qos: Qos::Reliable,
        ..UpstreamConfig::default()
    };
    let upstream = rig.open_upstream(config, Aliases::new());
    let downstream =
        rig.open_downstream(DownstreamConfig { qos: Qos::Reliable, ..DownstreamConfig::default() });
    let mut size = 0;
    for outage in 1..=1000 {
        rig.write(&upstream, "a", b"x");
        rig.sent();
        call(&mut rig, &outage.to_string(), None);
        rig.lose();
        for message in rig.reconnect() {
            match message {
                Message::UpstreamResumeRequest(request) => {
                    rig.receive(Message::UpstreamResumeResponse(UpstreamResumeResponse {
                        request_id: request.request_id,
                        stream_id_alias: 7,
                        ..UpstreamResumeResponse::default()
                    }));
                }
                Message::DownstreamResumeRequest(request) => {
                    rig.receive(Message::DownstreamResumeResponse(DownstreamResumeResponse {
                        request_id: request.request_id,
                        ..DownstreamResumeResponse::default()
                    }));
                }
                Message::UpstreamCall(call) => rig.receive(Message::UpstreamCallAck(UpstreamCallAck {
                    call_id: call.call_id,
                    ..UpstreamCallAck::default()
                })),
                other => panic!("{other:?}"),
            }
        }
        rig.sent();
        rig.receive(Message::UpstreamChunkAck(UpstreamChunkAck {
            stream_id_alias: 7,
            results: vec![UpstreamChunkResult { sequence_number: outage, ..UpstreamChunkResult::default() }],
            ..UpstreamChunkAck::default()
        }));
        rig.receive(Message::DownstreamChunk(DownstreamChunk {
            stream_id_alias: 1,
            upstream: OrAlias::Full(UpstreamInfo {
                session_id: String::new(),
                stream_id: STREAM,
                source_node_id: "n".to_owned(),
            }),
            chunk: StreamChunk { sequence_number: outage, groups: Vec::new() },
            filter_references: Vec::new(),
        }));
        let taken = TakenAck { upstream: STREAM, sequence_number: outage };
        rig.core.acknowledge(downstream.key, [taken]);
        let Message::DownstreamChunkAck(ack) = rig.sends() else { panic!("no acknowledgement") };
        rig.receive(Message::DownstreamChunkAckComplete(DownstreamChunkAckComplete {
            stream_id_alias: 1,
            ack_id: ack.ack_id,
            ..DownstreamChunkAckComplete::default()
        }));
        rig.events.clear();
        // Everything that the connection keeps; numbers get longer.
        let now = format!("{:?}", rig.core).len();
        if outage == 10 {
            size = now;
        }
        assert!(outage < 10 || now < size + 100, "{now} bytes after {outage} outages, {size} after 10");
    }
}
