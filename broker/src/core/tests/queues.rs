//! Slow consumers (docs/protocol/behaviour.md §11.7).

use super::*;

/// A world whose reader has one downstream of node `s` and whose sender one upstream.
fn world(qos: Qos, adjust: impl FnOnce(&mut Config)) -> (World, ConnId, ConnId, UpstreamOpenResponse) {
    let mut world = World::with(adjust);
    let reader = world.connect("r");
    let sender = world.connect("s");
    world.open_downstream(reader, downstream(1, all_of("s"), qos));
    let stream = world.open_upstream(sender, upstream("s", Qos::Reliable));
    world.receive(reader);
    (world, reader, sender, stream)
}

#[test]
fn unreliable_and_partial_queues_drop_the_oldest_chunks_and_keep_metadata() {
    for qos in [Qos::Unreliable, Qos::Partial] {
        let (mut world, reader, sender, stream) =
            world(qos, |config| config.limits.lossy_queue_bytes = 4_000);
        for number in 1..=100 {
            world.chunk(sender, stream.stream_id_alias, number, vec![full("a")]);
        }
        world.send(sender, close(stream.stream_id, 100));
        let messages = world.receive(reader);
        let received = numbers(&messages);
        assert!((5..20).contains(&received.len()), "{received:?}");
        assert_eq!(received.last(), Some(&100));
        assert!(received.windows(2).all(|pair| pair[1] == pair[0] + 1));
        assert_eq!(metadata(&messages).len(), 1, "the close is not dropped");
        assert_eq!(world.broker.stats().chunks_dropped, 100 - received.len() as u64);
    }
}

#[test]
fn datagrams_do_not_wait_for_the_stream() {
    const LIMIT: usize = 1 << 20;
    let (mut world, reader, sender, stream) = world(Qos::Unreliable, |_| {});
    world.open_downstream(reader, downstream(2, all_of("s"), Qos::Reliable));
    world.receive(reader);
    let mut ready = Vec::new();
    for number in 1..=2 {
        world.broker.take_ready(&mut ready);
        ready.clear();
        world.chunk(sender, stream.stream_id_alias, number, vec![full("a")]);
        // The connection is told of each, although the RELIABLE downstream still has its turn.
        world.broker.take_ready(&mut ready);
        assert!(ready.contains(&reader), "{number}");
        assert!(world.broker.poll_datagram(reader, 10).is_none(), "too large");
        let message = world.broker.poll_datagram(reader, LIMIT).unwrap().into_message();
        assert!(world.broker.is_unreliable(reader, &message));
        assert_eq!(numbers(&[message]), [number]);
        assert!(world.broker.poll_datagram(reader, LIMIT).is_none());
    }
    // Neither does what comes before it on the stream fall behind.
    world.send(sender, close(stream.stream_id, 2));
    assert!(world.broker.poll_datagram(reader, LIMIT).is_none());
    let messages = world.receive(reader);
    assert_eq!((numbers(&messages), metadata(&messages).len()), (vec![1, 2], 2));
    world.broker.datagram_dropped();
    assert_eq!(world.broker.stats().chunks_dropped, 1);
}

#[test]
fn a_reliable_downstream_has_a_bounded_number_of_chunks_under_way_and_loses_none() {
    let (mut world, reader, sender, stream) =
        world(Qos::Reliable, |config| config.limits.reliable_window = 4);
    for number in 1..=10 {
        world.chunk(sender, stream.stream_id_alias, number, vec![full("a")]);
    }
    assert_eq!(numbers(&world.receive(reader)), [1, 2, 3, 4]);
    let id = stream.stream_id;
    let mut ack = |results: &[(Uuid, u32)]| {
        world.send(reader, Message::DownstreamChunkAck(ack_of(1, 0, results)));
        numbers(&world.receive(reader))
    };
    assert!(ack(&[(Uuid::nil(), 1), (id, 9)]).is_empty(), "nothing that is under way");
    assert_eq!(ack(&[(id, 2)]), [5]);
    assert!(ack(&[(id, 2)]).is_empty(), "twice");
    assert_eq!(ack(&[(id, 5), (id, 4), (id, 3), (id, 1)]), [6, 7, 8, 9]);
    assert_eq!(ack(&[(id, 6)]), [10]);
}

#[test]
fn an_ack_full_of_chunks_that_are_not_under_way_is_not_read_to_its_end() {
    let (mut world, reader, sender, stream) =
        world(Qos::Reliable, |config| config.limits.reliable_window = 1);
    for number in 1..=3 {
        world.chunk(sender, stream.stream_id_alias, number, vec![full("a")]);
    }
    assert_eq!(numbers(&world.receive(reader)), [1]);
    let mut ack = |strays: u32, number: u32| {
        let mut results: Vec<_> = (0..strays).map(|i| (stream.stream_id, 1_000 + i)).collect();
        results.push((stream.stream_id, number));
        world.send(reader, Message::DownstreamChunkAck(ack_of(1, 1, &results)));
        let messages = world.receive(reader);
        assert_eq!(messages[0].name(), "DownstreamChunkAckComplete");
        numbers(&messages)
    };
    assert_eq!(ack(4_096, 1), [2], "more than any client repeats");
    assert_eq!(ack(1_000_000, 2), [0; 0]);
    assert_eq!(ack(0, 2), [3]);
}

#[test]
fn a_reliable_downstream_has_a_bounded_number_of_bytes_under_way() {
    let (mut world, reader, sender, stream) =
        world(Qos::Reliable, |config| config.limits.reliable_window_bytes = 1);
    for number in 1..=3 {
        world.chunk(sender, stream.stream_id_alias, number, vec![full("a")]);
    }
    assert_eq!(numbers(&world.receive(reader)), [1], "one chunk may always be under way");
    world.send(reader, Message::DownstreamChunkAck(ack_of(1, 0, &[(stream.stream_id, 1)])));
    assert_eq!(numbers(&world.receive(reader)), [2]);
}

#[test]
fn a_reliable_consumer_that_falls_too_far_behind_is_disconnected_by_name() {
    let (mut world, reader, sender, stream) =
        world(Qos::Reliable, |config| config.limits.reliable_queue_bytes = 4_000);
    let other = world.connect("other");
    world.open_downstream(other, downstream(1, all_of("s"), Qos::Unreliable));
    world.receive(other);
    for number in 1..=100 {
        world.chunk(sender, stream.stream_id_alias, number, vec![full("a")]);
    }
    let messages = world.receive(reader);
    let goodbye = disconnect(&messages);
    assert_eq!(goodbye.result_code, ResultCode::ACK_TIMEOUT);
    assert!(goodbye.result_string.contains("downstream"), "{goodbye:?}");
    assert!(world.broker.is_closing(reader));
    assert_eq!(numbers(&world.receive(other)).len(), 100, "others are not affected");
}

#[test]
fn a_reliable_stream_without_acks_does_not_hold_up_others_on_the_connection() {
    let (mut world, reader, sender, stream) =
        world(Qos::Reliable, |config| config.limits.reliable_window = 1);
    world.open_downstream(reader, downstream(2, all_of("s"), Qos::Unreliable));
    world.receive(reader);
    for number in 1..=3 {
        world.chunk(sender, stream.stream_id_alias, number, vec![full("a")]);
    }
    let messages = world.receive(reader);
    let received: Vec<_> =
        chunks(&messages).iter().map(|chunk| (chunk.stream_id_alias, chunk.chunk.sequence_number)).collect();
    assert_eq!(received, [(1, 1), (2, 1), (2, 2), (2, 3)]);
}

#[test]
fn metadata_that_nobody_reads_ends_the_connection() {
    let (mut world, reader, sender, _) = world(Qos::Reliable, |config| config.limits.metadata_queue = 4);
    for _ in 0..5 {
        world.open_upstream(sender, upstream("s", Qos::Reliable));
    }
    assert_eq!(disconnect(&world.receive(reader)).result_code, ResultCode::ACK_TIMEOUT);
}

#[test]
fn acks_go_before_chunks_that_wait() {
    let (mut world, both, sender, stream) = world(Qos::Reliable, |_| {});
    let own = world.open_upstream(both, upstream("own", Qos::Reliable));
    for number in 1..=3 {
        world.chunk(sender, stream.stream_id_alias, number, vec![full("a")]);
    }
    world.chunk(both, own.stream_id_alias, 1, vec![full("a")]);
    world.send(both, Message::DownstreamChunkAck(ack_of(1, 1, &[])));
    let messages = world.receive(both);
    assert_eq!(names(&messages)[..2], ["UpstreamChunkAck", "DownstreamChunkAckComplete"]);
    assert_eq!(numbers(&messages), [1, 2, 3]);
}

#[test]
fn no_more_reliable_chunks_are_under_way_than_go_can_take() {
    let (mut world, reader, sender, stream) = world(Qos::Reliable, |_| {});
    for number in 1..=2_000 {
        world.chunk(sender, stream.stream_id_alias, number, vec![full("a")]);
    }
    let under_way = numbers(&world.receive(reader)).len();
    assert!((256..1024).contains(&under_way), "{under_way}");
}
