//! Handshake, keep-alive and end of connections (docs/protocol/behaviour.md §11.1).

use std::sync::Arc;

use super::super::TokenCheck;
use super::*;

fn request(version: &str, node: &str, token: &str) -> ConnectRequest {
    ConnectRequest {
        request_id: 8,
        protocol_version: version.to_owned(),
        node_id: node.to_owned(),
        access_token: token.to_owned(),
        ..ConnectRequest::default()
    }
}

#[test]
fn the_response_echoes_the_request_id_and_a_version_the_client_accepts() {
    let mut world = World::new();
    for (announced, answered) in [("2.0.0", "2.0.0"), ("3.0.0", "3.0.0"), ("3.2.0", "3.0.0")] {
        let conn = world.dial();
        let response = world.request_connect(conn, request(announced, "node", ""));
        assert_eq!(
            (response.request_id, response.result_code, &*response.protocol_version),
            (8, ResultCode::SUCCEEDED, answered)
        );
        assert!(!world.broker.is_closing(conn));
    }
}

#[test]
fn an_unknown_version_is_refused_and_the_connection_closed() {
    let mut world = World::new();
    for version in ["1.0.0", "4.0.0", "", "v2"] {
        let conn = world.dial();
        let response = world.request_connect(conn, request(version, "node", ""));
        assert_eq!(response.result_code, ResultCode::INCOMPATIBLE_VERSION);
        assert!(!response.protocol_version.is_empty());
        assert!(world.broker.is_closing(conn));
        world.send(conn, Message::Ping(2));
        assert_eq!(world.receive(conn), [], "a refused client is not pinged back");
    }
}

#[test]
fn a_token_opens_the_door_from_the_request_or_the_header() {
    let mut world = World::with(|config| config.tokens = vec!["one".into(), "".into(), "two".into()]);
    for (token, header, expected) in [
        ("one", None, ResultCode::SUCCEEDED),
        ("two", None, ResultCode::SUCCEEDED),
        ("", Some("one"), ResultCode::SUCCEEDED),
        ("", Some("Bearer two"), ResultCode::SUCCEEDED),
        ("", None, ResultCode::AUTH_FAILED),
        ("on", None, ResultCode::AUTH_FAILED),
        ("three", Some("Bearer"), ResultCode::AUTH_FAILED),
    ] {
        let conn = world.dial();
        let peer = PeerInfo { address: None, authorization: header.map(str::to_owned) };
        world.broker.connected(conn, peer, world.now);
        let response = world.request_connect(conn, request("3.0.0", "node", token));
        assert_eq!(response.result_code, expected, "{token:?} {header:?}");
        assert_eq!(world.broker.is_closing(conn), !expected.is_success());
        // It is kept no longer than it is needed.
        let kept = &world.broker.connections[&conn].peer.authorization;
        assert!(!expected.is_success() || kept.is_none(), "{kept:?}");
    }
}

/// Takes the token "fresh" up to a moment.
#[derive(Debug)]
struct Until(Instant);

impl TokenCheck for Until {
    fn accepts(&self, token: &str, now: Instant) -> bool {
        token == "fresh" && now < self.0
    }
}

#[test]
fn a_token_that_ends_opens_the_door_until_then() {
    let end = Instant::now() + Duration::from_secs(60);
    for tokens in [vec![], vec!["fixed".to_owned()]] {
        let mut world = World::with(|config| {
            config.tokens.clone_from(&tokens);
            config.token_check = Some(Arc::new(Until(end)));
        });
        let mut code = |token: &str, now| {
            world.now = now;
            let conn = world.dial();
            world.request_connect(conn, request("3.0.0", "node", token)).result_code
        };
        let fixed = if tokens.is_empty() { ResultCode::AUTH_FAILED } else { ResultCode::SUCCEEDED };
        let before = end - Duration::from_secs(1);
        assert_eq!(code("fresh", before), ResultCode::SUCCEEDED);
        assert_eq!(code("fixed", before), fixed);
        assert_eq!(code("", before), ResultCode::AUTH_FAILED);
        assert_eq!(code("fresh", end), ResultCode::AUTH_FAILED);
    }
}

#[test]
fn repeated_wrong_tokens_are_answered_late() {
    let mut world = World::with(|config| config.tokens = vec!["one".into()]);
    let mut delayed = 0;
    for _ in 0..8 {
        let conn = world.dial();
        world.send(conn, Message::ConnectRequest(request("3.0.0", "node", "bad")));
        if !world.broker.is_closing(conn) {
            assert_eq!(world.receive(conn), []);
            world.advance(1000);
            delayed += 1;
        }
        assert_eq!(names(&world.receive(conn)), ["ConnectResponse"]);
        assert!(world.broker.is_closing(conn));
    }
    assert_eq!(delayed, 3);
    let conn = world.dial();
    let response = world.request_connect(conn, request("3.0.0", "node", "one"));
    assert_eq!(response.result_code, ResultCode::SUCCEEDED);
}

#[test]
fn a_silent_client_is_disconnected_with_connect_timeout() {
    let mut world = World::new();
    let conn = world.dial();
    world.send(conn, Message::Ping(0));
    world.advance(9_999);
    assert_eq!(world.receive(conn), [], "no Pong before the ConnectRequest");
    world.advance(1);
    assert_eq!(disconnect(&world.receive(conn)).result_code, ResultCode::CONNECT_TIMEOUT);
    assert!(world.broker.is_closing(conn));
}

#[test]
fn messages_out_of_place_are_protocol_errors() {
    let mut world = World::new();
    let early = world.dial();
    world.send(early, Message::UpstreamOpenRequest(upstream("s", Qos::Reliable)));
    let second = world.connect("a");
    world.send(second, Message::ConnectRequest(request("3.0.0", "a", "")));
    let wrong_way = world.connect("b");
    world.send(wrong_way, Message::ConnectResponse(ConnectResponse::default()));
    for conn in [early, second, wrong_way] {
        let messages = world.receive(conn);
        assert_eq!(disconnect(&messages).result_code, ResultCode::PROTOCOL_ERROR);
        assert!(world.broker.is_closing(conn));
    }
}

#[test]
fn garbage_is_answered_with_malformed_message() {
    let mut world = World::new();
    let conn = world.connect("a");
    world.broker.malformed(conn, "no arm", world.now);
    let messages = world.receive(conn);
    assert_eq!(disconnect(&messages).result_code, ResultCode::MALFORMED_MESSAGE);
    assert_eq!(disconnect(&messages).result_string, "no arm");
}

#[test]
fn clients_are_pinged_with_odd_ids_at_the_interval_they_announce() {
    let mut world = World::new();
    let conn = world.dial();
    let mut connect = request("3.0.0", "node", "");
    (connect.ping_interval_s, connect.ping_timeout_s) = (3, 1);
    world.request_connect(conn, connect);
    for id in [1, 3, 5] {
        world.advance(2_999);
        assert_eq!(world.receive(conn), []);
        world.advance(1);
        assert_eq!(world.receive(conn), [Message::Ping(id)]);
        world.send(conn, Message::Pong(id));
    }
}

#[test]
fn a_client_that_announces_zero_is_pinged_at_the_default() {
    let mut world = World::new();
    let conn = world.dial();
    let response = world.request_connect(conn, request("3.0.0", "node", ""));
    assert_eq!(response.result_code, ResultCode::SUCCEEDED);
    world.advance(10_000);
    assert_eq!(world.receive(conn), [Message::Ping(1)]);
}

#[test]
fn a_missing_pong_ends_the_connection_and_keeps_the_streams() {
    let mut world = World::new();
    let conn = world.dial();
    world.request_connect(conn, request("3.0.0", "node", ""));
    world.open_upstream(conn, upstream("s", Qos::Reliable));
    world.advance(10_000);
    assert_eq!(names(&world.receive(conn)), ["Ping"]);
    world.advance(1);
    world.send(conn, Message::Pong(77));
    // The wrong Pong counts as a sign of life, once; then 1 s as announced and 1 s of margin.
    world.advance(3_998);
    assert!(!world.broker.is_closing(conn));
    world.advance(1);
    assert_eq!(disconnect(&world.receive(conn)).result_code, ResultCode::PING_TIMEOUT);
    assert_eq!(world.broker.stats().upstreams, 1);
}

#[test]
fn other_messages_prolong_the_wait_for_a_pong_but_not_for_ever() {
    let mut world = World::new();
    let conn = world.dial();
    world.request_connect(conn, request("3.0.0", "node", ""));
    world.advance(10_000);
    let mut waited = 0;
    while !world.broker.is_closing(conn) {
        world.send(conn, Message::Ping(2));
        world.advance(500);
        waited += 500;
    }
    assert_eq!(waited, 6_000);
}

#[test]
fn a_pong_overtakes_everything_that_waits() {
    let mut world = World::new();
    let reader = world.connect("r");
    let sender = world.connect("s");
    world.open_downstream(reader, downstream(1, all_of("s"), Qos::Unreliable));
    let stream = world.open_upstream(sender, upstream("s", Qos::Unreliable));
    world.chunk(sender, stream.stream_id_alias, 1, vec![full("a")]);
    world.send(reader, Message::DownstreamChunkAck(ack_of(1, 0, &[])));
    world.send(reader, Message::Ping(6));
    let messages = world.receive(reader);
    assert_eq!(
        names(&messages),
        ["Pong", "DownstreamChunkAckComplete", "DownstreamMetadata", "DownstreamChunk"]
    );
}

#[test]
fn a_pong_does_not_overtake_the_connect_response() {
    let mut world = World::new();
    let conn = world.dial();
    world.send(conn, Message::ConnectRequest(request("2.0.0", "node", "")));
    world.send(conn, Message::Ping(2));
    assert_eq!(names(&world.receive(conn)), ["ConnectResponse", "Pong"]);
}

#[test]
fn a_client_without_a_node_id_gets_one() {
    let mut world = World::new();
    let sender = world.connect("");
    let reader = world.connect("r");
    world.open_downstream(reader, downstream(1, all_of(""), Qos::Unreliable));
    let stream = world.open_upstream(sender, upstream("s", Qos::Unreliable));
    world.chunk(sender, stream.stream_id_alias, 1, vec![full("a")]);
    assert_eq!(world.receive(reader), [], "no node is named \"\"");
}

#[test]
fn bad_connect_values_have_their_codes() {
    let mut world = World::with(|config| config.limits.connections = 1);
    let mut long_ping = request("2.0.0", "node", "");
    long_ping.ping_timeout_s = 601;
    let long_name = request("2.0.0", &"n".repeat(1025), "");
    for (connect, code) in [
        (long_ping, ResultCode::TOO_LONG_PING_TIMEOUT),
        (long_name, ResultCode::PROTOCOL_ERROR),
        (request("2.0.0", "node", ""), ResultCode::SUCCEEDED),
        (request("2.0.0", "node", ""), ResultCode::RATE_LIMIT_REACHED),
    ] {
        let conn = world.dial();
        assert_eq!(world.request_connect(conn, connect).result_code, code);
    }
}

#[test]
fn a_clients_disconnect_is_not_answered_and_detaches_its_streams() {
    let mut world = World::new();
    let sender = world.connect("s");
    let reader = world.connect("r");
    world.open_downstream(reader, downstream(1, all_of("s"), Qos::Unreliable));
    let mut open = upstream("s", Qos::Reliable);
    open.expiry_interval_s = 5;
    let stream = world.open_upstream(sender, open);
    assert_eq!(names(&world.receive(reader)), ["DownstreamMetadata"]);
    world.send(sender, Message::Disconnect(Disconnect::default()));
    assert_eq!(world.receive(sender), []);
    assert!(world.broker.is_closing(sender));
    world.broker.connection_lost(sender, world.now);
    world.advance(4_999);
    assert_eq!(world.receive(reader), []);
    world.advance(1);
    assert_eq!(
        metadata(&world.receive(reader)),
        [&Metadata::UpstreamAbnormalClose { stream_id: stream.stream_id, session_id: "s".to_owned() }]
    );
    assert_eq!(world.broker.stats().upstreams, 0);
}

#[test]
fn a_lost_stream_without_expiry_ends_at_once_and_others_get_a_minimum_of_grace() {
    let mut world = World::new();
    let reader = world.connect("r");
    world.open_downstream(reader, downstream(1, all_of("s"), Qos::Unreliable));
    for (expiry, grace) in [(0, 0), (1, 2_000)] {
        let sender = world.connect("s");
        let mut open = upstream("s", Qos::Reliable);
        open.expiry_interval_s = expiry;
        world.open_upstream(sender, open);
        world.receive(reader);
        world.broker.connection_lost(sender, world.now);
        if grace > 0 {
            world.advance(grace - 1);
            assert_eq!(world.receive(reader), []);
            world.advance(1);
        }
        assert_eq!(names(&world.receive(reader)), ["DownstreamMetadata"]);
    }
}

#[test]
fn shutdown_closes_without_a_disconnect_after_what_was_owed() {
    let mut world = World::new();
    let conn = world.connect("a");
    let stream = world.open_upstream(conn, upstream("s", Qos::Reliable));
    world.chunk(conn, stream.stream_id_alias, 1, vec![full("a")]);
    world.receive(conn);
    world.chunk(conn, stream.stream_id_alias, 2, vec![full("a")]);
    world.broker.shutdown(world.now);
    let messages = world.receive(conn);
    assert_eq!(names(&messages), ["UpstreamChunkAck"]);
    assert_eq!(results(&messages), [(2, ResultCode::SUCCEEDED)]);
    assert!(world.broker.is_closing(conn));
    let late = world.dial();
    assert!(world.broker.is_closing(late));
}

#[test]
fn a_broker_that_ends_acknowledges_and_delivers_what_it_took_and_takes_no_more() {
    let mut world = World::with(|config| config.limits.reliable_window = 2);
    let (sender, reader, idle) = (world.connect("s"), world.connect("r"), world.connect("i"));
    world.open_downstream(reader, downstream(1, all_of("s"), Qos::Reliable));
    world.open_downstream(idle, downstream(1, all_of("s"), Qos::Unreliable));
    let stream = world.open_upstream(sender, upstream("s", Qos::Reliable));
    world.receive(reader);
    world.receive(idle);
    // Chunk 3 is missing before 4.
    for number in [1, 2, 4] {
        world.chunk(sender, stream.stream_id_alias, number, vec![full("a")]);
    }
    let mut ready = Vec::new();
    world.broker.take_ready(&mut ready);
    world.broker.drain(world.now, world.now + Duration::from_secs(2));
    ready.clear();
    world.broker.take_ready(&mut ready);
    ready.sort_unstable();
    assert_eq!(ready, [sender, reader, idle], "all are woken");
    let late = world.dial();
    assert!(
        world.broker.is_closing(late) && world.broker.is_closing(sender) && world.broker.is_closing(idle)
    );
    world.chunk(sender, stream.stream_id_alias, 5, vec![full("a")]);
    world.send(sender, close(stream.stream_id, 5));
    let messages = world.receive(sender);
    assert_eq!(names(&messages), ["UpstreamChunkAck"], "neither the chunk nor the close is taken");
    assert_eq!(results(&messages).len(), 3);
    assert_eq!(numbers(&world.receive(reader)), [1, 2]);
    assert!(!world.broker.is_closing(reader));
    world.send(reader, Message::Ping(2));
    world.send(reader, Message::DownstreamChunkAck(ack_of(1, 1, &[(stream.stream_id, 1)])));
    assert_eq!(names(&world.receive(reader)), ["Pong", "DownstreamChunkAckComplete", "DownstreamChunk"]);
    assert!(world.broker.is_closing(reader), "everything is with it");
}

#[test]
fn a_broker_that_ends_waits_a_bounded_time_for_readers() {
    let mut world = World::with(|config| config.limits.reliable_window = 1);
    let (sender, reader) = (world.connect("s"), world.connect("r"));
    world.open_downstream(reader, downstream(1, all_of("s"), Qos::Reliable));
    let stream = world.open_upstream(sender, upstream("s", Qos::Reliable));
    for number in 1..=2 {
        world.chunk(sender, stream.stream_id_alias, number, vec![full("a")]);
    }
    world.broker.drain(world.now, world.now + Duration::from_secs(2));
    assert_eq!(numbers(&world.receive(reader)), [1]);
    world.advance(1_999);
    assert!(!world.broker.is_closing(reader));
    world.advance(1);
    assert!(world.broker.is_closing(reader));
    assert_eq!(world.receive(reader), [], "no Disconnect");
}

#[test]
fn a_client_that_sends_requests_and_reads_nothing_is_ended() {
    let mut world = World::with(|config| config.limits.responses = 10);
    let conn = world.connect("a");
    for id in 0..12 {
        world.send(conn, Message::Ping(2 * id));
    }
    assert!(world.broker.is_closing(conn));
    assert_eq!(disconnect(&world.receive(conn)).result_code, ResultCode::RATE_LIMIT_REACHED);
}

#[test]
fn ready_lists_each_connection_with_output_once() {
    let mut world = World::new();
    let (a, b) = (world.connect("a"), world.connect("b"));
    let mut ready = Vec::new();
    world.broker.take_ready(&mut ready);
    ready.clear();
    world.send(a, Message::Ping(2));
    world.send(a, Message::Ping(4));
    world.broker.take_ready(&mut ready);
    assert_eq!(ready, [a]);
    world.send(b, Message::Ping(2));
    world.broker.take_ready(&mut ready);
    assert_eq!(ready, [a, b]);
}

#[test]
fn nothing_remains_of_clients_that_left() {
    let mut world = World::new();
    for round in 0..3 {
        let sender = world.connect("s");
        let reader = world.connect("r");
        world.open_downstream(reader, downstream(1, all_of("s"), Qos::Reliable));
        let stream = world.open_upstream(sender, upstream("s", Qos::Reliable));
        world.chunk(sender, stream.stream_id_alias, 1 + round, vec![full("a")]);
        world.broker.connection_lost(reader, world.now);
        world.broker.connection_lost(sender, world.now);
        world.advance(60_000);
    }
    let stats = world.broker.stats();
    assert_eq!((stats.connections, stats.upstreams, stats.downstreams, stats.nodes), (0, 0, 0, 0));
    assert_eq!(world.broker.next_timeout(), None);
}

#[test]
fn a_project_is_taken_and_the_nil_uuid_means_none() {
    let mut world = World::new();
    for project in [None, Some(Uuid::nil()), Some(Uuid::from_u128(7))] {
        let conn = world.dial();
        let connect = ConnectRequest { project_uuid: project, ..request("2.0.0", "node", "") };
        assert_eq!(world.request_connect(conn, connect).result_code, ResultCode::SUCCEEDED, "{project:?}");
    }
}

#[test]
fn the_connections_of_one_node_are_bounded() {
    let mut world = World::with(|config| config.limits.connections_per_node = 2);
    let first = world.connect("node");
    world.connect("node");
    let third = world.dial();
    let response = world.request_connect(third, request("2.0.0", "node", ""));
    assert_eq!(response.result_code, ResultCode::RATE_LIMIT_REACHED);
    assert!(response.result_string.contains("node"), "{}", response.result_string);
    for _ in 0..3 {
        // Each has a name of its own.
        world.connect("");
    }
    world.broker.connection_lost(first, world.now);
    world.connect("node");
}

/// Codes of protocol 2.x that every client of it can decode (docs/protocol/behaviour.md §0.5).
fn is_known_to_version_2(code: ResultCode) -> bool {
    // TOO_SHORT_PING_INTERVAL, 88, kills the reader of Go.
    matches!(code.0, 0..=3 | 64..=87 | 89..=90 | 128..=131)
}

#[test]
fn a_client_of_version_2_is_sent_nothing_it_cannot_decode() {
    use iscp::message::{DownstreamCloseRequest, DownstreamResumeRequest, UpstreamResumeRequest};
    let mut world = World::with(|config| config.limits.streams_per_connection = 2);
    let conn = world.connect_as("old", "2.0.0");
    let newer = world.connect_as("old", "3.0.0");
    let theirs = world.open_upstream(newer, upstream("s", Qos::Reliable));
    let mut unknown_qos = upstream("s", Qos::Unknown(9));
    unknown_qos.expiry_interval_s = 10;
    let own = world.open_upstream(conn, upstream("s", Qos::Reliable));
    let mut requests = vec![
        Message::UpstreamOpenRequest(unknown_qos),
        Message::DownstreamOpenRequest(downstream(1, all_of("old"), Qos::Unknown(9))),
        Message::DownstreamOpenRequest(downstream(1, all_of("old"), Qos::Reliable)),
        Message::UpstreamOpenRequest(upstream("s", Qos::Reliable)),
        Message::DownstreamOpenRequest(downstream(1, vec![], Qos::Reliable)),
    ];
    for stream_id in [Uuid::nil(), theirs.stream_id] {
        let resume_token = "guessed".to_owned();
        requests.extend([
            Message::UpstreamResumeRequest(UpstreamResumeRequest {
                request_id: 6,
                stream_id,
                resume_token: resume_token.clone(),
            }),
            Message::DownstreamResumeRequest(DownstreamResumeRequest {
                request_id: 8,
                stream_id,
                desired_stream_id_alias: 1,
                resume_token,
            }),
            Message::DownstreamCloseRequest(DownstreamCloseRequest { request_id: 10, stream_id }),
            close(stream_id, 0),
        ]);
    }
    for request in requests {
        world.send(conn, request);
    }
    world.chunk(conn, own.stream_id_alias, 1, vec![full("a+")]);
    world.chunk(conn, own.stream_id_alias, 2, vec![full("a")]);
    world.advance(100);
    let messages = world.receive(conn);
    assert!(messages.len() > 13, "{messages:?}");
    let mut refusals = 0;
    for message in &messages {
        let mut check = |code: ResultCode, token: &str| {
            assert!(is_known_to_version_2(code), "{message:?}");
            assert_eq!(token, "");
            refusals += usize::from(!code.is_success());
        };
        match message {
            Message::UpstreamOpenResponse(response) => check(response.result_code, &response.resume_token),
            Message::DownstreamOpenResponse(response) => check(response.result_code, &response.resume_token),
            Message::UpstreamResumeResponse(response) => check(response.result_code, &response.resume_token),
            Message::DownstreamResumeResponse(response) => {
                check(response.result_code, &response.resume_token);
            }
            Message::UpstreamCloseResponse(reply) | Message::DownstreamCloseResponse(reply) => {
                check(reply.result_code, "");
            }
            Message::UpstreamChunkAck(ack) => {
                ack.results.iter().for_each(|result| check(result.result_code, ""));
            }
            Message::DownstreamChunk(chunk) => assert!(chunk.filter_references.is_empty()),
            Message::DownstreamMetadata(metadata) => match metadata.metadata {
                Metadata::UpstreamOpen { qos, .. } | Metadata::DownstreamOpen { qos, .. } => {
                    assert!(!matches!(qos, Qos::Unknown(_)));
                }
                _ => panic!("{message:?}"),
            },
            other => panic!("{other:?}"),
        }
    }
    assert!(refusals >= 9, "{refusals} {messages:?}");
}
