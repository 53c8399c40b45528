//! Upstreams (docs/protocol/behaviour.md §11.2).

use super::*;

#[test]
fn an_open_answers_with_ids_aliases_and_the_time() {
    let mut world = World::new();
    let conn = world.connect("a");
    let mut open = upstream("session", Qos::Reliable);
    open.data_ids = vec![id("a"), id("b"), id("a"), id("bad#")];
    let response = world.open_upstream(conn, open);
    assert_eq!((response.request_id, &*response.result_string), (2, "OK"));
    assert_eq!(response.stream_id.get_version_num(), 4);
    assert_eq!(response.stream_id_alias, 1);
    assert_eq!(response.data_id_aliases, [(1, id("a")), (2, id("b"))].into());
    assert!(response.server_time_ns >= START_NS);
    assert!(!response.resume_token.is_empty());
    let other = world.connect_as("b", "2.0.0");
    let second = world.open_upstream(other, upstream("session", Qos::Reliable));
    assert_eq!(second.stream_id_alias, 2, "unique in the broker");
    assert_eq!(second.resume_token, "", "not below protocol 3.0.0");
}

#[test]
fn refused_opens_have_their_codes_and_a_nil_stream_id() {
    let mut world = World::with(|config| {
        config.limits.data_ids = 2;
        config.limits.streams_per_connection = 1;
    });
    let conn = world.connect("a");
    let open = || upstream("s", Qos::Reliable);
    let mut cases = Vec::new();
    let mut case = open();
    case.ack_interval_ms = 60_001;
    cases.push((case, ResultCode::TOO_LONG_ACK_INTERVAL));
    case = open();
    case.expiry_interval_s = 3601;
    cases.push((case, ResultCode::TOO_LONG_EXPIRY_INTERVAL));
    case = open();
    case.qos = Qos::Unknown(9);
    cases.push((case, ResultCode::DESIRED_QOS_NOT_SUPPORTED));
    case = open();
    case.data_ids = vec![id("a"), id("b"), id("c")];
    cases.push((case, ResultCode::TOO_MANY_DATA_ID_ALIASES));
    case = open();
    case.session_id = "s".repeat(1025);
    cases.push((case, ResultCode::PROTOCOL_ERROR));
    cases.push((open(), ResultCode::SUCCEEDED));
    cases.push((open(), ResultCode::TOO_MANY_STREAMS));
    for (case, code) in cases {
        let response = world.ask_upstream(conn, case);
        assert_eq!(response.result_code, code);
        if !code.is_success() {
            assert_eq!((response.stream_id, response.stream_id_alias), (Uuid::nil(), 0));
            assert!(!response.result_string.is_empty());
        }
    }
}

#[test]
fn the_first_ack_comes_at_once_and_later_ones_in_batches() {
    let mut world = World::new();
    let conn = world.connect("a");
    let alias = world.open_upstream(conn, upstream("s", Qos::Reliable)).stream_id_alias;
    world.chunk(conn, alias, 1, vec![full("a")]);
    assert_eq!(results(&world.receive(conn)), [(1, ResultCode::SUCCEEDED)]);
    world.advance(10);
    world.chunk(conn, alias, 2, vec![full("a")]);
    world.advance(10);
    world.chunk(conn, alias, 3, vec![full("a")]);
    world.advance(79);
    assert_eq!(world.receive(conn), []);
    world.advance(1);
    let messages = world.receive(conn);
    assert_eq!(messages.len(), 1);
    assert_eq!(results(&messages), [(2, ResultCode::SUCCEEDED), (3, ResultCode::SUCCEEDED)]);
    world.advance(500);
    world.chunk(conn, alias, 4, vec![full("a")]);
    assert_eq!(results(&world.receive(conn)).len(), 1, "after a quiet period, at once");
}

#[test]
fn tiny_ack_intervals_are_raised_and_zero_means_at_once() {
    let mut world = World::new();
    let conn = world.connect("a");
    for (interval, wait) in [(1, 5), (4, 5), (7, 7)] {
        let mut open = upstream("s", Qos::Unreliable);
        open.ack_interval_ms = interval;
        let alias = world.open_upstream(conn, open).stream_id_alias;
        world.chunk(conn, alias, 1, vec![]);
        world.chunk(conn, alias, 2, vec![]);
        assert_eq!(results(&world.receive(conn)).len(), 2, "one message, taken late");
        world.chunk(conn, alias, 3, vec![]);
        world.advance(wait - 1);
        assert_eq!(world.receive(conn), []);
        world.advance(1);
        assert_eq!(results(&world.receive(conn)).len(), 1);
    }
    let mut open = upstream("s", Qos::Unreliable);
    open.ack_interval_ms = 0;
    let alias = world.open_upstream(conn, open).stream_id_alias;
    for number in 1..5 {
        world.chunk(conn, alias, number, vec![]);
        assert_eq!(results(&world.receive(conn)), [(number, ResultCode::SUCCEEDED)]);
    }
}

#[test]
fn late_chunks_are_acknowledged_at_once() {
    let mut world = World::new();
    let conn = world.connect("a");
    let alias = world.open_upstream(conn, upstream("s", Qos::Reliable)).stream_id_alias;
    for number in [1, 5] {
        world.chunk(conn, alias, number, vec![full("a")]);
    }
    world.receive(conn);
    for number in [2, 3, 1] {
        world.chunk(conn, alias, number, vec![full("a")]);
        assert_eq!(results(&world.receive(conn)), [(number, ResultCode::SUCCEEDED)]);
    }
}

#[test]
fn data_ids_announced_in_a_chunk_get_their_alias_in_the_next_ack() {
    let mut world = World::new();
    let conn = world.connect("a");
    let mut open = upstream("s", Qos::Reliable);
    open.data_ids = vec![id("a")];
    open.ack_interval_ms = 0;
    let alias = world.open_upstream(conn, open).stream_id_alias;
    let mut send = |number, groups| {
        world.send(
            conn,
            Message::UpstreamChunk(UpstreamChunk {
                stream_id_alias: alias,
                chunk: StreamChunk { sequence_number: number, groups },
                data_ids: vec![id("b"), id("a#")],
            }),
        );
        let messages = world.receive(conn);
        assert_eq!(results(&messages)[0].0, number);
        (results(&messages)[0].1, acks(&messages)[0].data_id_aliases.clone())
    };
    let known = (ResultCode::SUCCEEDED, [(2, id("b"))].into());
    assert_eq!(send(1, vec![full("b"), full("c")]), known);
    assert_eq!(send(2, vec![full("b")]), known, "announced again: the same alias");
    assert_eq!(send(3, vec![aliased(2), full("b"), aliased(1)]).0, ResultCode::SUCCEEDED);
    assert_eq!(
        send(4, vec![aliased(3)]).0,
        ResultCode::INVALID_DATA_ID_ALIAS,
        "never given out, though the id is known"
    );
    assert_eq!(send(5, vec![aliased(0)]).0, ResultCode::INVALID_DATA_ID_ALIAS);
}

#[test]
fn refused_chunks_are_not_forwarded_and_do_not_hold_up_others() {
    let mut world = World::new();
    let sender = world.connect("s");
    let reader = world.connect("r");
    world.open_downstream(reader, downstream(1, all_of("s"), Qos::Reliable));
    let mut open = upstream("s", Qos::Reliable);
    open.ack_interval_ms = 0;
    let alias = world.open_upstream(sender, open).stream_id_alias;
    world.chunk(sender, alias, 1, vec![full("a"), aliased(9)]);
    world.chunk(sender, alias, 2, vec![full("a+")]);
    world.chunk(sender, alias, 3, vec![full("a")]);
    assert_eq!(
        results(&world.receive(sender)),
        [
            (1, ResultCode::INVALID_DATA_ID_ALIAS),
            (2, ResultCode::INVALID_DATA_ID),
            (3, ResultCode::SUCCEEDED)
        ]
    );
    assert_eq!(numbers(&world.receive(reader)), [3]);
}

#[test]
fn repeated_reliable_chunks_are_forwarded_once_and_acknowledged_twice() {
    let mut world = World::new();
    let sender = world.connect("s");
    let reader = world.connect("r");
    world.open_downstream(reader, downstream(1, all_of("s"), Qos::Reliable));
    let mut open = upstream("s", Qos::Reliable);
    open.ack_interval_ms = 0;
    let alias = world.open_upstream(sender, open).stream_id_alias;
    let mut acknowledged = Vec::new();
    for number in [1, 2, 1, 3, 2] {
        world.chunk(sender, alias, number, vec![full("a")]);
        acknowledged.extend(results(&world.receive(sender)).iter().map(|(number, _)| *number));
    }
    assert_eq!(acknowledged, [1, 2, 1, 3, 2]);
    assert_eq!(numbers(&world.receive(reader)), [1, 2, 3]);
}

#[test]
fn reliable_and_partial_chunks_are_put_in_order_and_unreliable_ones_are_not() {
    for (qos, expected) in
        [(Qos::Reliable, [1, 2, 3, 4]), (Qos::Partial, [1, 2, 3, 4]), (Qos::Unreliable, [3, 1, 4, 2])]
    {
        let mut world = World::new();
        let sender = world.connect("s");
        let reader = world.connect("r");
        world.open_downstream(reader, downstream(1, all_of("s"), Qos::Reliable));
        let alias = world.open_upstream(sender, upstream("s", qos)).stream_id_alias;
        for number in [3, 1, 4, 2] {
            world.chunk(sender, alias, number, vec![full("a")]);
        }
        assert_eq!(numbers(&world.receive(reader)), expected, "{qos:?}");
    }
}

#[test]
fn a_gap_is_given_up_after_a_while_and_filled_late_all_the_same() {
    let mut world = World::new();
    let sender = world.connect("s");
    let reader = world.connect("r");
    world.open_downstream(reader, downstream(1, all_of("s"), Qos::Reliable));
    let alias = world.open_upstream(sender, upstream("s", Qos::Reliable)).stream_id_alias;
    world.chunk(sender, alias, 1, vec![full("a")]);
    world.chunk(sender, alias, 3, vec![full("a")]);
    world.advance(50);
    world.chunk(sender, alias, 6, vec![full("a")]);
    world.advance(49);
    assert_eq!(numbers(&world.receive(reader)), [1]);
    world.advance(1);
    assert_eq!(numbers(&world.receive(reader)), [3]);
    world.advance(50);
    assert_eq!(numbers(&world.receive(reader)), [6]);
    world.chunk(sender, alias, 2, vec![full("a")]);
    world.chunk(sender, alias, 2, vec![full("a")]);
    world.chunk(sender, alias, 7, vec![full("a")]);
    assert_eq!(numbers(&world.receive(reader)), [2, 7]);
}

#[test]
fn a_gap_is_given_up_when_too_much_waits_for_it() {
    let mut world = World::with(|config| config.limits.reorder_chunks = 3);
    let sender = world.connect("s");
    let reader = world.connect("r");
    world.open_downstream(reader, downstream(1, all_of("s"), Qos::Reliable));
    let alias = world.open_upstream(sender, upstream("s", Qos::Reliable)).stream_id_alias;
    for number in [2, 3, 5] {
        world.chunk(sender, alias, number, vec![full("a")]);
    }
    assert!(numbers(&world.receive(reader)).is_empty());
    world.chunk(sender, alias, 6, vec![full("a")]);
    assert_eq!(numbers(&world.receive(reader)), [2, 3]);
}

#[test]
fn chunks_for_an_unknown_alias_or_another_connections_stream_are_ignored() {
    let mut world = World::new();
    let (a, b) = (world.connect("a"), world.connect("b"));
    let alias = world.open_upstream(a, upstream("s", Qos::Reliable)).stream_id_alias;
    world.chunk(b, alias, 1, vec![full("a")]);
    world.chunk(a, alias + 1, 1, vec![full("a")]);
    world.chunk(a, 0, 1, vec![full("a")]);
    assert_eq!((world.receive(a), world.receive(b)), (vec![], vec![]));
}

#[test]
fn a_close_acknowledges_forwards_and_answers_in_this_order() {
    let mut world = World::new();
    let sender = world.connect("s");
    let reader = world.connect("r");
    world.open_downstream(reader, downstream(1, all_of("s"), Qos::Reliable));
    let stream = world.open_upstream(sender, upstream("s", Qos::Reliable));
    for number in 1..=2 {
        world.chunk(sender, stream.stream_id_alias, number, vec![full("a")]);
        if number == 1 {
            world.receive(sender);
        }
    }
    world.send(sender, close(stream.stream_id, 2));
    let messages = world.receive(sender);
    assert_eq!(names(&messages), ["UpstreamChunkAck", "UpstreamCloseResponse"]);
    assert_eq!(results(&messages), [(2, ResultCode::SUCCEEDED)]);
    let messages = world.receive(reader);
    assert_eq!(
        names(&messages),
        ["DownstreamMetadata", "DownstreamChunk", "DownstreamChunk", "DownstreamMetadata"]
    );
    assert_eq!(
        metadata(&messages)[1],
        &Metadata::UpstreamNormalClose {
            stream_id: stream.stream_id,
            session_id: "s".to_owned(),
            total_data_points: 1000,
            final_sequence_number: 2,
        }
    );
    assert_eq!(world.broker.stats().upstreams, 0);
}

#[test]
fn a_close_waits_for_chunks_under_way_for_a_bounded_time() {
    let mut world = World::new();
    let conn = world.connect("s");
    for missing_comes in [true, false] {
        let stream = world.open_upstream(conn, upstream("s", Qos::Reliable));
        world.chunk(conn, stream.stream_id_alias, 1, vec![full("a")]);
        world.chunk(conn, stream.stream_id_alias, 3, vec![full("a")]);
        world.receive(conn);
        world.send(conn, close(stream.stream_id, 3));
        world.advance(999);
        assert_eq!(names(&world.receive(conn)), [""; 0]);
        if missing_comes {
            world.chunk(conn, stream.stream_id_alias, 2, vec![full("a")]);
            assert_eq!(names(&world.receive(conn)), ["UpstreamChunkAck", "UpstreamCloseResponse"]);
        } else {
            world.advance(1);
            assert_eq!(names(&world.receive(conn)), ["UpstreamCloseResponse"]);
        }
    }
}

#[test]
fn a_close_hardly_waits_for_datagrams_that_are_missing() {
    let mut world = World::new();
    let conn = world.connect("s");
    let stream = world.open_upstream(conn, upstream("s", Qos::Unreliable));
    world.chunk(conn, stream.stream_id_alias, 2, vec![full("a")]);
    world.receive(conn);
    world.send(conn, close(stream.stream_id, 2));
    world.advance(99);
    assert_eq!(names(&world.receive(conn)), [""; 0]);
    world.advance(1);
    assert_eq!(names(&world.receive(conn)), ["UpstreamCloseResponse"]);
}

#[test]
fn closing_a_stream_that_does_not_exist_succeeds_and_a_foreign_one_does_not() {
    let mut world = World::new();
    let (a, b) = (world.connect("a"), world.connect("b"));
    let stream = world.open_upstream(a, upstream("s", Qos::Reliable));
    for (stream_id, code) in [
        (Uuid::from_u128(1), ResultCode::SUCCEEDED),
        (Uuid::nil(), ResultCode::SUCCEEDED),
        (stream.stream_id, ResultCode::STREAM_NOT_FOUND),
    ] {
        match world.ask(b, close(stream_id, 0)) {
            Message::UpstreamCloseResponse(reply) => {
                assert_eq!((reply.request_id, reply.result_code), (90, code));
            }
            other => panic!("{other:?}"),
        }
    }
    assert_eq!(world.broker.stats().upstreams, 1);
}

#[test]
fn a_lost_stream_can_be_closed_by_its_node_from_a_new_connection() {
    let mut world = World::new();
    let reader = world.connect("r");
    world.open_downstream(reader, downstream(1, all_of("s"), Qos::Reliable));
    let first = world.connect("s");
    let stream = world.open_upstream(first, upstream("s", Qos::Reliable));
    world.broker.connection_lost(first, world.now);
    world.receive(reader);
    let second = world.connect("s");
    assert_eq!(world.ask(second, close(stream.stream_id, 0)).name(), "UpstreamCloseResponse");
    assert!(matches!(metadata(&world.receive(reader))[..], [Metadata::UpstreamNormalClose { .. }]));
    world.advance(60_000);
    assert_eq!(world.receive(reader), []);
}

#[test]
fn acks_that_nobody_reads_end_the_connection() {
    let mut world = World::with(|config| config.limits.chunk_results = 100);
    let conn = world.connect("a");
    let alias = world.open_upstream(conn, upstream("s", Qos::Unreliable)).stream_id_alias;
    for number in 1..=101 {
        world.chunk(conn, alias, number, vec![]);
    }
    assert_eq!(disconnect(&world.receive(conn)).result_code, ResultCode::RATE_LIMIT_REACHED);
}

#[test]
fn a_long_list_of_results_is_sent_in_several_acks() {
    let mut world = World::new();
    let conn = world.connect("a");
    let alias = world.open_upstream(conn, upstream("s", Qos::Unreliable)).stream_id_alias;
    for number in 1..=20_000 {
        world.chunk(conn, alias, number, vec![]);
    }
    let messages = world.receive(conn);
    assert_eq!(messages.len(), 3);
    let numbers: Vec<_> = results(&messages).iter().map(|(number, _)| *number).collect();
    assert_eq!(numbers, (1..=20_000).collect::<Vec<_>>());
}

#[test]
fn lost_streams_are_bounded_in_number() {
    let mut world = World::with(|config| config.limits.detached_streams = 2);
    let conn = world.connect("a");
    for _ in 0..5 {
        world.open_upstream(conn, upstream("s", Qos::Reliable));
    }
    world.broker.connection_lost(conn, world.now);
    assert_eq!(world.broker.stats().upstreams, 2);
}

#[test]
fn much_under_way_is_acknowledged_before_the_interval_has_passed() {
    let mut world = World::new();
    let sender = world.connect("s");
    let stream = world.open_upstream(sender, upstream("s", Qos::Reliable));
    world.chunk(sender, stream.stream_id_alias, 1, vec![full("a")]);
    assert_eq!(results(&world.receive(sender)).len(), 1, "the leading edge");
    for number in 2..=200 {
        world.chunk(sender, stream.stream_id_alias, number, vec![full("a")]);
    }
    assert!(results(&world.receive(sender)).len() >= 128);
}

#[test]
fn an_alias_is_never_zero() {
    let mut world = World::new();
    let conn = world.connect("a");
    world.broker.last_upstream_alias = u32::MAX - 1;
    let aliases = [(); 2].map(|()| world.open_upstream(conn, upstream("s", Qos::Reliable)).stream_id_alias);
    assert_eq!(aliases, [u32::MAX, 1]);
}

#[test]
fn the_time_of_an_answer_is_never_negative() {
    let mut world = World::new();
    let epoch = SeededEnvironment::new(7, world.now, -60_000_000_000);
    world.broker = Broker::new(Config::default(), Box::new(epoch));
    let conn = world.connect("a");
    assert_eq!(world.open_upstream(conn, upstream("s", Qos::Reliable)).server_time_ns, 0);
    assert_eq!(world.ask_downstream(conn, downstream(1, all_of("s"), Qos::Reliable)).server_time_ns, 0);
}

#[test]
fn totals_above_what_came_are_passed_on_and_close_session_is_accepted() {
    let mut world = World::new();
    let (sender, reader) = (world.connect("s"), world.connect("r"));
    world.open_downstream(reader, downstream(1, all_of("s"), Qos::Reliable));
    let stream = world.open_upstream(sender, upstream("s", Qos::Unreliable));
    world.receive(reader);
    // Rust counts what it dropped (docs/protocol/behaviour.md §11 item 43).
    let request = UpstreamCloseRequest {
        request_id: 90,
        stream_id: stream.stream_id,
        total_data_points: u64::MAX,
        final_sequence_number: u32::MAX,
        close_session: true,
    };
    world.send(sender, Message::UpstreamCloseRequest(request));
    world.advance(100);
    match &world.receive(sender)[..] {
        [Message::UpstreamCloseResponse(reply)] => assert_eq!(reply.result_code, ResultCode::SUCCEEDED),
        other => panic!("{other:?}"),
    }
    assert_eq!(
        metadata(&world.receive(reader)),
        [&Metadata::UpstreamNormalClose {
            stream_id: stream.stream_id,
            session_id: "s".to_owned(),
            total_data_points: u64::MAX,
            final_sequence_number: u32::MAX,
        }]
    );
}
