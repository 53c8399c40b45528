use super::*;
use crate::message::Disconnect;

fn refused(result_code: ResultCode) -> Rig {
    let mut rig = Rig::connecting();
    rig.receive(Message::ConnectResponse(ConnectResponse {
        result_code,
        result_string: "because".to_owned(),
        ..accepted()
    }));
    rig
}

#[test]
fn the_first_message_says_who_connects() {
    let mut rig = Rig::with(ConnectionConfig {
        node_id: "node".to_owned(),
        ping_interval: ms(2500),
        ..ConnectionConfig::default()
    });
    let Message::ConnectRequest(request) = rig.sends() else {
        panic!("no connect request");
    };
    assert_eq!((request.request_id, request.protocol_version.as_str()), (0, PROTOCOL_VERSION));
    assert_eq!((request.node_id.as_str(), request.access_token.as_str()), ("node", "token"));
    assert_eq!((request.ping_interval_s, request.ping_timeout_s), (2, 1));
}

#[test]
fn an_accepted_connection_is_open() {
    let mut rig = Rig::connecting();
    rig.receive(Message::ConnectResponse(accepted()));
    assert!(matches!(rig.events[0], Event::Connected { .. }));
    assert!(rig.outcome(OpId(0)).is_ok());
    assert!(!rig.core.is_closed());
}

#[test]
fn refusals_keep_their_code() {
    for (code, status) in [
        (ResultCode::AUTH_FAILED, Status::Unauthorized),
        (ResultCode::INCOMPATIBLE_VERSION, Status::IncompatibleVersion),
        (ResultCode::NO_NODE_ID, Status::Refused),
        (ResultCode::RATE_LIMIT_REACHED, Status::Refused),
        (ResultCode::TOO_SHORT_PING_INTERVAL, Status::Refused),
        (ResultCode(9999), Status::Refused),
    ] {
        let rig = refused(code);
        assert_eq!(rig.status(OpId(0)), status, "{code}");
        assert_eq!(rig.end(), Some(status), "{code}");
    }
}

#[test]
fn a_server_of_another_version_is_refused() {
    let mut rig = Rig::connecting();
    rig.receive(Message::ConnectResponse(ConnectResponse {
        protocol_version: "3.1.0".to_owned(),
        ..accepted()
    }));
    assert_eq!(rig.status(OpId(0)), Status::IncompatibleVersion);
    assert_eq!(rig.end(), Some(Status::IncompatibleVersion));
}

#[test]
fn a_disconnect_in_place_of_the_answer_is_a_refusal() {
    for (result_code, status) in [
        (ResultCode::AUTH_FAILED, Status::Unauthorized),
        (ResultCode::CONNECT_TIMEOUT, Status::Disconnected),
        (ResultCode::SUCCEEDED, Status::Disconnected),
    ] {
        let mut rig = Rig::connecting();
        rig.receive(Message::Disconnect(Disconnect { result_code, result_string: String::new() }));
        assert_eq!(rig.status(OpId(0)), status);
        assert_eq!(rig.end(), Some(status));
    }
}

#[test]
fn any_other_message_before_the_answer_breaks_the_protocol() {
    let mut rig = Rig::connecting();
    rig.receive(Message::Ping(1));
    assert_eq!(rig.status(OpId(0)), Status::ProtocolViolation);
    assert_eq!(rig.end(), Some(Status::ProtocolViolation));
}

#[test]
fn an_answer_to_another_request_does_not_connect() {
    let mut rig = Rig::connecting();
    rig.receive(Message::ConnectResponse(ConnectResponse { request_id: 2, ..accepted() }));
    assert!(!rig.is_done(OpId(0)));
    rig.pass(ms(10_000));
    assert_eq!(rig.status(OpId(0)), Status::Timeout);
}

#[test]
fn a_silent_server_is_given_up_after_the_response_timeout() {
    let mut rig = Rig::connecting();
    assert_eq!(rig.deadline(), Some(ms(10_000)));
    rig.pass(ms(9_999));
    assert!(!rig.is_done(OpId(0)));
    rig.pass(ms(1));
    assert_eq!(rig.status(OpId(0)), Status::Timeout);
    assert_eq!(rig.end(), Some(Status::Timeout));
}

#[test]
fn nothing_can_be_opened_before_the_answer() {
    let mut rig = Rig::connecting();
    let op = rig.op();
    rig.core.open_upstream(op, UpstreamConfig::default(), rig.now);
    rig.collect();
    assert_eq!(rig.status(op), Status::Closed);
}

#[test]
fn request_ids_are_even_and_count_up() {
    let mut rig = Rig::connecting();
    assert!(matches!(rig.sends(), Message::ConnectRequest(request) if request.request_id == 0));
    rig.receive(Message::ConnectResponse(accepted()));
    for expected in [2, 4, 6] {
        let op = rig.op();
        rig.core.send_base_time(op, crate::message::BaseTime::default(), false, rig.now);
        assert!(
            matches!(rig.sends(), Message::UpstreamMetadata(metadata) if metadata.request_id == expected)
        );
    }
}
