//! Loss, resume and expiry of downstreams (docs/protocol/behaviour.md §4.4, §9, §11 items 18, 19, 27, 33,
//! 44 to 48, 50, 59, 60, 74).

use super::resume::Pair;
use super::*;

#[test]
fn an_unacknowledged_reliable_chunk_is_sent_again_in_order_before_what_came_meanwhile() {
    let mut pair = Pair::new(Qos::Reliable);
    pair.chunks(1..=5);
    assert_eq!(numbers(&pair.read()), [1, 2, 3, 4, 5]);
    let id = pair.up.stream_id;
    pair.world.ack(pair.reader, 1, &[(id, 1), (id, 3)]);
    pair.lose_reader();
    pair.chunks(6..=8);
    pair.world.advance(5_000);
    let (stream_id, token) = (pair.down.stream_id, pair.down.resume_token.clone());
    let response = pair.world.ask_downstream_resume(pair.reader, stream_id, 9, &token);
    assert_eq!(response.result_code, ResultCode::SUCCEEDED);
    assert_eq!(pair.read(), [], "a moment for the client to get ready");
    // What its client had, it says first.
    pair.world.ack(pair.reader, 9, &[(id, 4)]);
    assert_eq!(names(&pair.read()), ["DownstreamChunkAckComplete"]);
    pair.world.advance(10);
    pair.chunks(9..=9);
    let messages = pair.read();
    assert_eq!(numbers(&messages), [2, 5, 6, 7, 8, 9]);
    assert!(chunks(&messages).iter().all(|chunk| chunk.stream_id_alias == 9));
    // Lost once more, half-way through: in the same order.
    pair.world.ack(pair.reader, 9, &[(id, 2), (id, 6)]);
    pair.lose_reader();
    pair.down.resume_token = response.resume_token;
    pair.resume_reader(9);
    assert_eq!(numbers(&pair.read()), [5, 7, 8, 9]);
    pair.world.ack(pair.reader, 9, &[(id, 5), (id, 7), (id, 8), (id, 9)]);
    pair.lose_reader();
    pair.resume_reader(9);
    assert_eq!(numbers(&pair.read()), [0; 0]);
}

#[test]
fn a_second_loss_before_everything_was_sent_again_keeps_the_order() {
    let mut pair = Pair::with(Qos::Reliable, |config| config.limits.reliable_window = 4);
    pair.chunks(1..=8);
    assert_eq!(numbers(&pair.read()), [1, 2, 3, 4]);
    pair.lose_reader();
    pair.resume_reader(1);
    for number in [1, 2] {
        let message = pair.world.broker.poll_transmit(pair.reader).unwrap();
        assert_eq!(numbers(&[message]), [number]);
    }
    pair.lose_reader();
    pair.resume_reader(1);
    assert_eq!(numbers(&pair.read()), [1, 2, 3, 4]);
    let id = pair.up.stream_id;
    pair.world.ack(pair.reader, 1, &[(id, 1), (id, 2), (id, 3), (id, 4)]);
    assert_eq!(numbers(&pair.read()), [5, 6, 7, 8]);
}

#[test]
fn aliases_of_a_downstream_outlive_its_connection() {
    let mut pair = Pair::new(Qos::Reliable);
    pair.chunks(1..=1);
    pair.read();
    let info = UpstreamInfo {
        session_id: "session".to_owned(),
        stream_id: pair.up.stream_id,
        source_node_id: "s".to_owned(),
    };
    let mut ack = ack_of(1, 1, &[(pair.up.stream_id, 1)]);
    ack.upstream_aliases = [(0, info)].into();
    ack.data_id_aliases = [(3, id("a"))].into();
    pair.world.send(pair.reader, Message::DownstreamChunkAck(ack));
    pair.lose_reader();
    pair.chunks(2..=2);
    pair.resume_reader(1);
    let messages = pair.read();
    let chunk = chunks(&messages)[0];
    assert_eq!(chunk.upstream, OrAlias::Alias(0));
    assert_eq!(chunk.chunk.groups[0].data_id, OrAlias::Alias(3));
}

#[test]
fn a_chunk_of_an_upstream_that_has_ended_is_sent_again() {
    let mut pair = Pair::new(Qos::Reliable);
    pair.chunks(1..=1);
    pair.world.send(pair.sender, close(pair.up.stream_id, 1));
    let messages = pair.read();
    assert_eq!((numbers(&messages), metadata(&messages).len()), (vec![1], 1));
    pair.lose_reader();
    pair.resume_reader(1);
    let messages = pair.read();
    assert_eq!(numbers(&messages), [1]);
    assert!(
        matches!(&chunks(&messages)[0].upstream, OrAlias::Full(info) if info.stream_id == pair.up.stream_id)
    );
}

#[test]
fn lossy_downstreams_collect_metadata_but_no_data_while_they_have_no_connection() {
    for qos in [Qos::Unreliable, Qos::Partial] {
        let mut pair = Pair::new(qos);
        pair.chunks(1..=2);
        pair.lose_reader();
        pair.chunks(3..=3);
        pair.world.send(pair.sender, close(pair.up.stream_id, 3));
        pair.resume_reader(1);
        let messages = pair.read();
        assert_eq!(numbers(&messages), [0; 0]);
        assert!(matches!(metadata(&messages)[..], [Metadata::UpstreamNormalClose { .. }]));
    }
}

#[test]
fn an_alias_in_use_on_the_connection_is_refused_to_a_resume() {
    let mut pair = Pair::new(Qos::Reliable);
    pair.lose_reader();
    pair.world.open_downstream(pair.reader, downstream(3, all_of("x"), Qos::Reliable));
    let (id, token) = (pair.down.stream_id, pair.down.resume_token.clone());
    let response = pair.world.ask_downstream_resume(pair.reader, id, 3, &token);
    assert_eq!(response.result_code, ResultCode::PROTOCOL_ERROR);
    pair.resume_reader(4);
}

#[test]
fn the_readers_of_a_node_learn_of_the_resume_and_the_end_of_its_downstreams() {
    let mut pair = Pair::new(Qos::Reliable);
    let watcher = pair.world.connect("w");
    pair.world.open_downstream(watcher, downstream(1, all_of("r"), Qos::Reliable));
    pair.world.receive(watcher);
    pair.lose_reader();
    pair.resume_reader(1);
    assert_eq!(
        metadata(&pair.world.receive(watcher)),
        [&Metadata::DownstreamResume {
            stream_id: pair.down.stream_id,
            filters: all_of("s"),
            qos: Qos::Reliable
        }]
    );
    pair.lose_reader();
    pair.world.advance(9_999);
    assert_eq!(pair.world.receive(watcher), []);
    pair.world.advance(1);
    assert_eq!(
        metadata(&pair.world.receive(watcher)),
        [&Metadata::DownstreamAbnormalClose { stream_id: pair.down.stream_id }]
    );
    assert_eq!(pair.world.broker.stats().downstreams, 1, "that of the watcher");
    let (id, token) = (pair.down.stream_id, pair.down.resume_token.clone());
    let response = pair.world.ask_downstream_resume(pair.reader, id, 1, &token);
    assert_eq!(response.result_code, ResultCode::STREAM_NOT_FOUND);
}

#[test]
fn a_detached_reliable_downstream_without_room_is_closed_rather_than_left_with_a_gap() {
    let small: [fn(&mut Config); 2] =
        [|config| config.limits.reliable_queue_bytes = 4_000, |config| config.limits.detached_bytes = 4_000];
    for adjust in small {
        let mut pair = Pair::with(Qos::Reliable, adjust);
        let watcher = pair.world.connect("w");
        pair.world.open_downstream(watcher, downstream(1, all_of("r"), Qos::Reliable));
        pair.world.receive(watcher);
        pair.lose_reader();
        pair.chunks(1..=100);
        assert_eq!(
            metadata(&pair.world.receive(watcher)),
            [&Metadata::DownstreamAbnormalClose { stream_id: pair.down.stream_id }]
        );
        let (id, token) = (pair.down.stream_id, pair.down.resume_token.clone());
        let response = pair.world.ask_downstream_resume(pair.reader, id, 1, &token);
        assert_eq!(response.result_code, ResultCode::STREAM_NOT_FOUND);
        assert_eq!(pair.world.broker.detached.bytes, 0);
    }
}

#[test]
fn a_connected_reliable_downstream_without_room_is_closed_and_cannot_be_resumed() {
    let mut pair = Pair::with(Qos::Reliable, |config| config.limits.reliable_queue_bytes = 4_000);
    pair.chunks(1..=100);
    assert_eq!(disconnect(&pair.read()).result_code, ResultCode::ACK_TIMEOUT);
    pair.lose_reader();
    let (id, token) = (pair.down.stream_id, pair.down.resume_token.clone());
    let response = pair.world.ask_downstream_resume(pair.reader, id, 1, &token);
    assert_eq!(response.result_code, ResultCode::STREAM_NOT_FOUND);
}

#[test]
fn metadata_without_room_closes_a_detached_downstream() {
    let mut pair = Pair::with(Qos::Unreliable, |config| config.limits.metadata_queue = 4);
    pair.lose_reader();
    for _ in 0..5 {
        pair.world.open_upstream(pair.sender, upstream("s", Qos::Reliable));
    }
    assert_eq!(pair.world.broker.stats().downstreams, 0);
    assert_eq!(pair.world.broker.detached.bytes, 0);
}
