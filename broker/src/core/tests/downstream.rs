//! Downstreams (docs/protocol/behaviour.md §11.3).

use super::*;
use iscp::message::{DownstreamCloseRequest, FilterReference};

/// A world with a reader of node `s` and a sender as node `s`.
struct Pair {
    world: World,
    reader: ConnId,
    sender: ConnId,
    stream: UpstreamOpenResponse,
}

fn pair(version: &str, request: DownstreamOpenRequest) -> Pair {
    let mut world = World::new();
    let reader = world.connect_as("r", version);
    let sender = world.connect("s");
    world.open_downstream(reader, request);
    let stream = world.open_upstream(sender, upstream("session", Qos::Unreliable));
    world.receive(reader);
    Pair { world, reader, sender, stream }
}

impl Pair {
    fn send(&mut self, number: u32, groups: Vec<DataPointGroup>) -> Vec<Message> {
        self.world.chunk(self.sender, self.stream.stream_id_alias, number, groups);
        self.world.receive(self.reader)
    }

    fn info(&self) -> UpstreamInfo {
        UpstreamInfo {
            session_id: "session".to_owned(),
            stream_id: self.stream.stream_id,
            source_node_id: "s".to_owned(),
        }
    }
}

fn ids(chunk: &DownstreamChunk) -> Vec<OrAlias<DataId>> {
    chunk.chunk.groups.iter().map(|group| group.data_id.clone()).collect()
}

#[test]
fn the_answer_comes_first_and_data_a_moment_later() {
    let mut world = World::new();
    let sender = world.connect("s");
    let stream = world.open_upstream(sender, upstream("s", Qos::Unreliable));
    let reader = world.connect("r");
    let response = world.ask_downstream(reader, downstream(2, all_of("s"), Qos::Unreliable));
    assert_eq!(response.stream_id.get_version_num(), 4);
    assert!(response.server_time_ns >= START_NS && !response.resume_token.is_empty());
    world.chunk(sender, stream.stream_id_alias, 1, vec![full("a")]);
    world.advance(9);
    assert_eq!(world.receive(reader), []);
    world.advance(1);
    assert_eq!(names(&world.receive(reader)), ["DownstreamMetadata", "DownstreamChunk"]);
}

#[test]
fn groups_that_no_filter_matches_are_left_out() {
    let request = downstream(7, vec![filter("s", &[("a/#", "t"), ("b", "t")])], Qos::Unreliable);
    let mut pair = pair("2.0.0", request);
    let messages = pair.send(1, vec![full("a/x"), full("c"), full("b"), full("a/x")]);
    let chunk = chunks(&messages)[0];
    assert_eq!((chunk.stream_id_alias, chunk.chunk.sequence_number), (7, 1));
    assert_eq!(ids(chunk), [OrAlias::Full(id("a/x")), OrAlias::Full(id("b")), OrAlias::Full(id("a/x"))]);
    assert_eq!(chunk.chunk.groups[0].points, points(b"x"));
    assert!(chunk.filter_references.is_empty(), "not below protocol 3.0.0");
}

#[test]
fn a_chunk_without_a_matching_group_is_sent_empty_unless_omitted() {
    for omit in [false, true] {
        let mut request = downstream(1, vec![filter("s", &[("a", "t")])], Qos::Unreliable);
        request.omit_empty_chunk = omit;
        let mut pair = pair("3.0.0", request);
        let mut received = Vec::new();
        received.extend(pair.send(1, vec![full("b")]));
        received.extend(pair.send(2, vec![full("a")]));
        received.extend(pair.send(3, vec![]));
        let sizes: Vec<_> = chunks(&received)
            .iter()
            .map(|chunk| (chunk.chunk.sequence_number, chunk.chunk.groups.len()))
            .collect();
        let expected: &[_] = if omit { &[(2, 1)] } else { &[(1, 0), (2, 1), (3, 0)] };
        assert_eq!(sizes, expected);
    }
}

#[test]
fn a_chunk_goes_once_to_a_downstream_that_several_filters_match() {
    let filters =
        vec![filter("x", &[("#", "#")]), filter("s", &[("a", "t"), ("+", "#")]), filter("s", &[("#", "t")])];
    let mut pair = pair("3.0.0", downstream(1, filters, Qos::Unreliable));
    let messages = pair.send(1, vec![full("a"), full("b/c")]);
    let [chunk] = chunks(&messages)[..] else { panic!() };
    let reference =
        |filter, data| FilterReference { downstream_filter_index: filter, data_filter_index: data };
    assert_eq!(
        chunk.filter_references,
        [vec![reference(1, 0), reference(1, 1), reference(2, 0)], vec![reference(2, 0)]]
    );
}

#[test]
fn other_nodes_data_is_not_received() {
    let mut pair = pair("3.0.0", downstream(1, all_of("other"), Qos::Unreliable));
    assert_eq!(pair.send(1, vec![full("a")]), []);
}

#[test]
fn full_information_is_sent_until_aliases_are_known_and_zero_is_an_alias() {
    let mut pair = pair("3.0.0", downstream(1, all_of("s"), Qos::Unreliable));
    let info = pair.info();
    for number in [1, 2] {
        let messages = pair.send(number, vec![full("a")]);
        assert_eq!(chunks(&messages)[0].upstream, OrAlias::Full(info.clone()));
        assert_eq!(ids(chunks(&messages)[0]), [OrAlias::Full(id("a"))]);
    }
    let mut ack = ack_of(1, 0, &[(info.stream_id, 1)]);
    ack.upstream_aliases = [(0, info.clone()), (1, info.clone())].into();
    ack.data_id_aliases = [(5, id("a"))].into();
    // A chunk that waits already profits too.
    pair.world.chunk(pair.sender, pair.stream.stream_id_alias, 3, vec![full("a"), full("b")]);
    for _ in 0..2 {
        pair.world.send(pair.reader, Message::DownstreamChunkAck(ack.clone()));
    }
    let messages = pair.world.receive(pair.reader);
    for message in &messages[..2] {
        let Message::DownstreamChunkAckComplete(complete) = message else { panic!("{message:?}") };
        assert_eq!(
            (complete.stream_id_alias, complete.ack_id, complete.result_code),
            (1, 0, ResultCode::SUCCEEDED)
        );
    }
    let chunk = chunks(&messages)[0];
    assert_eq!(chunk.upstream, OrAlias::Alias(0));
    assert_eq!(ids(chunk), [OrAlias::Alias(5), OrAlias::Full(id("b"))]);
    // An alias that comes later is adopted as well.
    let mut ack = ack_of(1, 1, &[]);
    ack.data_id_aliases = [(5, id("a")), (6, id("b"))].into();
    pair.world.send(pair.reader, Message::DownstreamChunkAck(ack));
    pair.world.receive(pair.reader);
    let messages = pair.send(4, vec![full("a"), full("b")]);
    assert_eq!(ids(chunks(&messages)[0]), [OrAlias::Alias(5), OrAlias::Alias(6)]);
}

#[test]
fn aliases_of_the_open_request_are_used_in_the_first_chunk() {
    let mut request = downstream(1, all_of("s"), Qos::Unreliable);
    request.data_id_aliases = [(3, id("a"))].into();
    let mut pair = pair("2.0.0", request);
    assert_eq!(ids(chunks(&pair.send(1, vec![full("a")]))[0]), [OrAlias::Alias(3)]);
}

#[test]
fn an_alias_announced_for_something_else_is_refused() {
    let mut request = downstream(1, all_of("s"), Qos::Unreliable);
    request.data_id_aliases = [(3, id("a"))].into();
    let mut pair = pair("2.0.0", request);
    let mut ack = ack_of(1, 9, &[]);
    ack.data_id_aliases = [(3, id("b"))].into();
    match pair.world.ask(pair.reader, Message::DownstreamChunkAck(ack)) {
        Message::DownstreamChunkAckComplete(complete) => {
            assert_eq!((complete.ack_id, complete.result_code), (9, ResultCode::PROTOCOL_ERROR));
        }
        other => panic!("{other:?}"),
    }
}

#[test]
fn refused_opens_have_their_codes_and_a_nil_stream_id() {
    let mut world = World::with(|config| {
        config.limits.filters = 2;
        config.limits.data_filters = 3;
        config.limits.data_ids = 1;
        config.limits.streams_per_connection = 2;
        config.limits.filter_bytes = 100;
    });
    let conn = world.connect("a");
    let open = |filters| downstream(2, filters, Qos::Reliable);
    let mut cases =
        vec![(open(all_of("a")), ResultCode::SUCCEEDED), (open(all_of("a")), ResultCode::PROTOCOL_ERROR)];
    let mut add = |mut request: DownstreamOpenRequest, code| {
        request.desired_stream_id_alias = 3;
        cases.push((request, code));
    };
    add(open(vec![filter("a", &[]); 3]), ResultCode::TOO_MANY_DOWNSTREAM_FILTERS);
    add(open(vec![filter("a", &[("#", "#"); 2]); 2]), ResultCode::TOO_MANY_DATA_FILTERS);
    add(open(vec![filter(&"a".repeat(101), &[])]), ResultCode::TOO_MANY_DATA_FILTERS);
    add(open(vec![filter("a", &[("a#", "#")])]), ResultCode::INVALID_DATA_FILTER);
    add(open(vec![filter("a", &[("a", "#/b")])]), ResultCode::INVALID_DATA_FILTER);
    let mut request = open(all_of("a"));
    request.qos = Qos::Unknown(3);
    add(request, ResultCode::DESIRED_QOS_NOT_SUPPORTED);
    let mut request = open(all_of("a"));
    request.expiry_interval_s = 4000;
    add(request, ResultCode::TOO_LONG_EXPIRY_INTERVAL);
    let mut request = open(all_of("a"));
    request.data_id_aliases = [(1, id("a")), (2, id("b"))].into();
    add(request, ResultCode::TOO_MANY_DATA_ID_ALIASES);
    let mut request = open(all_of("a"));
    request.data_id_aliases = [(1, id("#"))].into();
    add(request, ResultCode::INVALID_DATA_ID);
    add(open(vec![]), ResultCode::SUCCEEDED);
    add(open(vec![]), ResultCode::TOO_MANY_STREAMS);
    for (request, code) in cases {
        let response = world.ask_downstream(conn, request);
        assert_eq!((response.request_id, response.result_code), (4, code), "{}", response.result_string);
        if !code.is_success() {
            assert_eq!(response.stream_id, Uuid::nil());
        }
    }
}

#[test]
fn nothing_follows_the_answer_to_a_close_and_late_acks_are_ignored() {
    let mut world = World::new();
    let reader = world.connect("r");
    let sender = world.connect("s");
    let opened = world.open_downstream(reader, downstream(1, all_of("s"), Qos::Unreliable));
    let stream = world.open_upstream(sender, upstream("s", Qos::Unreliable));
    world.chunk(sender, stream.stream_id_alias, 1, vec![full("a")]);
    let request = DownstreamCloseRequest { request_id: 6, stream_id: opened.stream_id };
    world.send(reader, Message::DownstreamCloseRequest(request.clone()));
    world.chunk(sender, stream.stream_id_alias, 2, vec![full("a")]);
    world.send(reader, Message::DownstreamChunkAck(ack_of(1, 0, &[])));
    let messages = world.receive(reader);
    assert_eq!(names(&messages), ["DownstreamCloseResponse"]);
    // Again: a stream that does not exist is as good as closed.
    match world.ask(reader, Message::DownstreamCloseRequest(request)) {
        Message::DownstreamCloseResponse(reply) => {
            assert_eq!((reply.request_id, reply.result_code), (6, ResultCode::SUCCEEDED));
        }
        other => panic!("{other:?}"),
    }
    // The alias is free again.
    world.open_downstream(reader, downstream(1, all_of("s"), Qos::Unreliable));
}

#[test]
fn every_subscriber_receives_every_chunk() {
    let mut world = World::new();
    let sender = world.connect("s");
    let readers: Vec<_> = (0..10)
        .map(|i| {
            let reader = world.connect("");
            world.open_downstream(reader, downstream(i, all_of("s"), Qos::Reliable));
            reader
        })
        .collect();
    let stream = world.open_upstream(sender, upstream("s", Qos::Reliable));
    for number in 1..=3 {
        world.chunk(sender, stream.stream_id_alias, number, vec![full("a")]);
    }
    for (i, reader) in readers.into_iter().enumerate() {
        let messages = world.receive(reader);
        assert_eq!(numbers(&messages), [1, 2, 3]);
        assert_eq!(chunks(&messages)[0].stream_id_alias, i as u32);
    }
}

#[test]
fn ids_beyond_the_alias_table_are_forwarded_in_full() {
    let mut world = World::with(|config| config.limits.data_ids = 1);
    let sender = world.connect("s");
    let reader = world.connect("r");
    let filters = vec![filter("s", &[("a", "t"), ("b", "t")])];
    world.open_downstream(reader, downstream(1, filters, Qos::Reliable));
    let stream = world.open_upstream(sender, upstream("s", Qos::Reliable));
    world.receive(reader);
    world.chunk(sender, stream.stream_id_alias, 1, vec![full("a"), full("b"), full("c")]);
    assert_eq!(results(&world.receive(sender)), [(1, ResultCode::SUCCEEDED)]);
    let messages = world.receive(reader);
    assert_eq!(ids(chunks(&messages)[0]), [OrAlias::Full(id("a")), OrAlias::Full(id("b"))]);
    assert_eq!(chunks(&messages)[0].filter_references.len(), 2);
}

#[test]
fn every_ack_of_chunks_is_answered_at_once() {
    let mut pair = pair("2.0.0", downstream(1, all_of("s"), Qos::Unreliable));
    for ack_id in [0, 0, 7, u32::MAX] {
        match pair.world.ask(pair.reader, Message::DownstreamChunkAck(ack_of(1, ack_id, &[]))) {
            Message::DownstreamChunkAckComplete(complete) => assert_eq!(
                (complete.stream_id_alias, complete.ack_id, complete.result_code),
                (1, ack_id, ResultCode::SUCCEEDED)
            ),
            other => panic!("{other:?}"),
        }
    }
}

#[test]
fn chunks_of_unreliable_downstreams_and_nothing_else_may_go_by_datagram() {
    for qos in [Qos::Unreliable, Qos::Partial, Qos::Reliable] {
        let mut pair = pair("3.0.0", downstream(1, all_of("s"), qos));
        pair.world.chunk(pair.sender, pair.stream.stream_id_alias, 1, vec![full("a")]);
        pair.world.send(pair.sender, close(pair.stream.stream_id, 1));
        pair.world.send(pair.reader, Message::DownstreamChunkAck(ack_of(1, 1, &[])));
        pair.world.send(pair.reader, Message::Ping(2));
        let (reader, sender) = (pair.reader, pair.sender);
        let unreliable = |pair: &mut Pair, conn| -> Vec<_> {
            let messages = pair.world.receive(conn);
            assert!(messages.len() > 1);
            messages
                .iter()
                .filter(|message| pair.world.broker.is_unreliable(conn, message))
                .map(Message::name)
                .collect()
        };
        let expected: &[_] = if qos == Qos::Unreliable { &["DownstreamChunk"] } else { &[] };
        assert_eq!(unreliable(&mut pair, reader), expected, "{qos:?}");
        assert_eq!(unreliable(&mut pair, sender), [""; 0]);
    }
}
