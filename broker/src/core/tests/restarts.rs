//! A broker that ends with a snapshot and starts again with it (docs/broker.md).

use iscp::message::UpstreamMetadata;

use super::resume::Pair;
use super::*;
use crate::core::SnapshotError;

impl World {
    /// The broker ends as by a signal, without anybody taking what it has to send, and the next takes over.
    fn restart(&mut self) {
        self.broker.suspend(self.now, self.now + Duration::from_secs(2));
        self.replace();
    }

    /// Another broker with the streams of this one.
    pub(super) fn replace(&mut self) {
        let config = self.broker.config().clone();
        let snapshot = self.broker.snapshot(self.now);
        // Other ids and tokens than those of the first.
        let environment = Box::new(SeededEnvironment::new(1_000 + self.conns, self.now, START_NS));
        self.broker = Broker::restore(config, environment, snapshot, self.now).unwrap();
    }
}

impl Pair {
    fn restart(&mut self) {
        self.world.restart();
        self.sender = self.world.connect("s");
        self.reader = self.world.connect("r");
    }
}

#[test]
fn streams_go_on_at_the_next_broker() {
    let mut pair = Pair::new(Qos::Reliable);
    pair.chunks(1..=3);
    assert_eq!(numbers(&pair.read()), [1, 2, 3]);
    pair.world.ack(pair.reader, 1, &[(pair.up.stream_id, 2)]);
    pair.chunks(4..=5);
    let (up, down) = (pair.up.resume_token.clone(), pair.down.resume_token.clone());
    pair.restart();
    assert_eq!(pair.world.broker.stats().detached, 2);
    pair.resume_sender();
    pair.chunks(5..=6);
    assert_eq!(results(&pair.world.receive(pair.sender)).len(), 2, "acknowledged at once");
    pair.resume_reader(7);
    let messages = pair.read();
    assert_eq!(numbers(&messages), [1, 3, 4, 5, 6], "what it did not acknowledge first, and none twice");
    assert!(chunks(&messages).iter().all(|chunk| chunk.stream_id_alias == 7));
    assert!(up != pair.up.resume_token && down != pair.down.resume_token, "renewed as ever");
    // The second restart finds nothing of the first but what is to be kept.
    pair.world.ack(pair.reader, 7, &[1, 3, 4, 5, 6].map(|number| (pair.up.stream_id, number)));
    pair.restart();
    pair.resume_reader(8);
    assert_eq!(numbers(&pair.read()), [0; 0]);
    pair.resume_sender();
    pair.chunks(7..=7);
    assert_eq!(numbers(&pair.read()), [7]);
}

#[test]
fn tokens_are_asked_for_at_the_next_broker_and_the_one_before_the_last_holds() {
    let mut pair = Pair::new(Qos::Reliable);
    let first = pair.up.resume_token.clone();
    pair.lose_sender();
    pair.resume_sender();
    pair.restart();
    let refused = pair.world.resume_upstream(pair.sender, pair.up.stream_id, "wrong");
    assert_eq!(refused.result_code, ResultCode::INVALID_RESUME_TOKEN);
    let stranger = pair.world.connect("x");
    let refused = pair.world.resume_upstream(stranger, pair.up.stream_id, &first);
    assert_eq!(refused.result_code, ResultCode::STREAM_NOT_FOUND);
    let resumed = pair.world.resume_upstream(pair.sender, pair.up.stream_id, &first);
    assert_eq!(resumed.result_code, ResultCode::SUCCEEDED, "it may have missed the answer");
    assert_eq!(resumed.resume_token, pair.up.resume_token);
}

#[test]
fn clients_of_version_2_and_those_without_a_name_go_on() {
    for (node, version) in [("s", "2.0.0"), ("", "3.0.0")] {
        let mut world = World::new();
        let sender = world.connect_as(node, version);
        let up = world.open_upstream(sender, upstream("session", Qos::Reliable));
        world.chunk(sender, up.stream_id_alias, 1, vec![full("a")]);
        world.restart();
        let sender = world.connect_as(node, version);
        let resumed = world.resume_upstream(sender, up.stream_id, &up.resume_token);
        assert_eq!(resumed.result_code, ResultCode::SUCCEEDED, "{version}");
        assert_eq!(resumed.stream_id_alias, up.stream_id_alias);
        assert_eq!(resumed.resume_token.is_empty(), version == "2.0.0");
    }
    let mut world = World::new();
    let (sender, reader) = (world.connect("s"), world.connect_as("r", "2.0.0"));
    let down = world.open_downstream(reader, downstream(1, all_of("s"), Qos::Reliable));
    let up = world.open_upstream(sender, upstream("session", Qos::Reliable));
    world.chunk(sender, up.stream_id_alias, 1, vec![full("a")]);
    assert_eq!(numbers(&world.receive(reader)), [1]);
    world.restart();
    let reader = world.connect_as("r", "2.0.0");
    assert_eq!(world.resume_downstream(reader, down.stream_id, 1, ""), "");
    let messages = world.receive(reader);
    assert_eq!(numbers(&messages), [1]);
    assert!(chunks(&messages)[0].filter_references.is_empty(), "which it would not know");
}

#[test]
fn aliases_hold_at_the_next_broker() {
    let mut world = World::new();
    let (sender, reader) = (world.connect("s"), world.connect("r"));
    let mut request = downstream(1, all_of("s"), Qos::Reliable);
    request.data_id_aliases = [(9, id("a"))].into();
    let down = world.open_downstream(reader, request);
    let mut request = upstream("session", Qos::Reliable);
    request.data_ids = vec![id("a")];
    let up = world.open_upstream(sender, request);
    let mut ack = ack_of(1, 1, &[]);
    world.chunk(sender, up.stream_id_alias, 1, vec![aliased(1), full("b")]);
    world.receive(reader);
    let info = UpstreamInfo {
        session_id: "session".to_owned(),
        stream_id: up.stream_id,
        source_node_id: "s".to_owned(),
    };
    ack.upstream_aliases = [(5, info)].into();
    ack.data_id_aliases = [(4, id("b")), (3, id("b"))].into();
    world.send(reader, Message::DownstreamChunkAck(ack));
    world.restart();
    let (sender, reader) = (world.connect("s"), world.connect("r"));
    world.resume_upstream(sender, up.stream_id, &up.resume_token);
    world.resume_downstream(reader, down.stream_id, 1, &down.resume_token);
    world.chunk(sender, up.stream_id_alias, 2, vec![aliased(1), full("b"), full("c")]);
    let messages = world.receive(reader);
    assert_eq!(numbers(&messages), [1, 2]);
    for chunk in chunks(&messages) {
        assert_eq!(chunk.upstream, OrAlias::Alias(5));
        let ids: Vec<_> = chunk.chunk.groups.iter().map(|group| group.data_id.clone()).collect();
        assert_eq!(ids[..2], [OrAlias::Alias(9), OrAlias::Alias(3)]);
        assert_eq!(chunk.filter_references.len(), ids.len());
    }
    // No other stream gets the alias of one that was restored.
    let other = world.connect("s");
    let other = world.open_upstream(other, upstream("other", Qos::Reliable));
    assert!(other.stream_id_alias > up.stream_id_alias);
}

#[test]
fn chunks_go_on_waiting_for_those_before_them() {
    let mut pair = Pair::new(Qos::Reliable);
    pair.chunks(1..=1);
    pair.chunks(3..=4);
    pair.world.broker.suspend(pair.world.now, pair.world.now + Duration::from_secs(2));
    // Longer than a chunk waits otherwise, while the sender reads on slowly.
    pair.world.advance(1_000);
    assert_eq!(results(&pair.world.receive(pair.sender)).len(), 3, "all are acknowledged");
    assert_eq!(numbers(&pair.read()), [1]);
    pair.world.replace();
    pair.sender = pair.world.connect("s");
    pair.reader = pair.world.connect("r");
    pair.resume_reader(1);
    pair.resume_sender();
    pair.chunks(2..=4);
    assert_eq!(numbers(&pair.read()), [1, 2, 3, 4]);
}

#[test]
fn a_close_that_waits_for_chunks_is_asked_for_again() {
    let mut pair = Pair::new(Qos::Reliable);
    pair.chunks(1..=1);
    pair.world.send(pair.sender, close(pair.up.stream_id, 2));
    pair.restart();
    pair.resume_reader(1);
    pair.resume_sender();
    pair.chunks(2..=2);
    pair.world.send(pair.sender, close(pair.up.stream_id, 2));
    let messages = pair.read();
    assert_eq!(numbers(&messages), [1, 2]);
    assert!(matches!(metadata(&messages).last(), Some(Metadata::UpstreamNormalClose { .. })));
}

#[test]
fn what_an_upstream_that_ended_left_behind_is_delivered() {
    let mut pair = Pair::new(Qos::Reliable);
    pair.chunks(1..=1);
    pair.read();
    pair.lose_reader();
    pair.chunks(2..=2);
    pair.world.send(pair.sender, close(pair.up.stream_id, 2));
    pair.restart();
    pair.chunks(3..=3);
    pair.resume_reader(1);
    let messages = pair.read();
    assert_eq!(names(&messages), ["DownstreamChunk", "DownstreamChunk", "DownstreamMetadata"]);
    assert_eq!(numbers(&messages), [1, 2]);
    assert!(matches!(metadata(&messages)[..], [Metadata::UpstreamNormalClose { .. }]));
    // Streams opened since are not taken for it.
    let up = pair.world.open_upstream(pair.sender, upstream("session", Qos::Reliable));
    pair.world.chunk(pair.sender, up.stream_id_alias, 1, vec![full("a")]);
    let messages = pair.read();
    assert_eq!(numbers(&messages), [1]);
    assert!(matches!(&chunks(&messages)[0].upstream, OrAlias::Full(info) if info.stream_id == up.stream_id));
}

#[test]
fn a_late_reader_of_the_next_broker_is_told_of_streams_and_base_times() {
    let mut pair = Pair::new(Qos::Reliable);
    let base_time =
        iscp::message::BaseTime { session_id: "session".to_owned(), ..iscp::message::BaseTime::default() };
    let message = UpstreamMetadata { base_time: base_time.clone(), ..UpstreamMetadata::default() };
    pair.world.send(pair.sender, Message::UpstreamMetadata(message));
    pair.restart();
    let late = pair.world.connect("late");
    pair.world.open_downstream(late, downstream(1, all_of("s"), Qos::Reliable));
    let messages = pair.world.receive(late);
    assert!(matches!(
        metadata(&messages)[..],
        [Metadata::UpstreamOpen { stream_id, .. }, Metadata::BaseTime(replayed)]
            if *stream_id == pair.up.stream_id && *replayed == base_time
    ));
}

#[test]
fn streams_are_kept_as_long_as_they_had_left_and_a_moment_at_least() {
    for (before, after) in [(3_000, 7_000), (9_500, 2_000)] {
        let mut pair = Pair::new(Qos::Reliable);
        pair.lose_sender();
        pair.lose_reader();
        pair.world.advance(before);
        pair.restart();
        pair.world.advance(after - 1);
        assert_eq!(pair.world.broker.stats().detached, 2, "{before}");
        pair.world.advance(1);
        let stats = pair.world.broker.stats();
        assert_eq!((stats.upstreams, stats.downstreams, stats.detached), (0, 0, 0), "{before}");
        assert_eq!(pair.world.broker.detached.bytes, 0);
    }
}

#[test]
fn streams_that_ask_for_nothing_end_with_the_broker() {
    let mut world = World::new();
    let sender = world.connect("s");
    let mut request = upstream("session", Qos::Reliable);
    request.expiry_interval_s = 0;
    let up = world.open_upstream(sender, request);
    world.restart();
    assert_eq!(world.broker.stats().upstreams, 0);
    let sender = world.connect("s");
    let refused = world.resume_upstream(sender, up.stream_id, &up.resume_token);
    assert_eq!(refused.result_code, ResultCode::STREAM_NOT_FOUND);
}

#[test]
fn limits_hold_for_restored_streams() {
    let mut world = World::new();
    let sender = world.connect("s");
    let streams: Vec<_> = (0..5).map(|_| world.open_upstream(sender, upstream("s", Qos::Reliable))).collect();
    let snapshot = world.broker.snapshot(world.now);
    let mut config = Config::default();
    config.limits.detached_streams_per_node = 2;
    let environment = Box::new(SeededEnvironment::new(8, world.now, START_NS));
    world.broker = Broker::restore(config, environment, snapshot, world.now).unwrap();
    let sender = world.connect("s");
    let resumed: Vec<_> = streams
        .iter()
        .map(|up| world.resume_upstream(sender, up.stream_id, &up.resume_token).result_code.is_success())
        .collect();
    assert_eq!(resumed, [false, false, false, true, true], "the newest stay");
}

#[test]
fn bytes_that_are_no_snapshot_are_refused_whatever_they_are() {
    let mut pair = Pair::new(Qos::Reliable);
    pair.chunks(1..=2);
    pair.chunks(4..=4);
    pair.read();
    pair.lose_reader();
    pair.chunks(5..=9);
    let now = pair.world.now;
    let snapshot = pair.world.broker.snapshot(now);
    let restore = |bytes: Vec<u8>| -> Result<Broker, SnapshotError> {
        let environment = Box::new(SeededEnvironment::new(8, now, START_NS));
        Broker::restore(Config::default(), environment, bytes, now)
    };
    assert!(restore(snapshot.clone()).is_ok());
    let mut refused = 0;
    for at in 0..snapshot.len() {
        for change in [1, 0x80, 0xff] {
            let mut bytes = snapshot.clone();
            bytes[at] ^= change;
            let Ok(mut broker) = restore(bytes) else {
                refused += 1;
                continue;
            };
            // It is the snapshot of another broker, and works like one.
            broker.handle_timeout(now + Duration::from_secs(5));
            assert!(restore(broker.snapshot(now)).is_ok(), "byte {at}");
        }
    }
    assert!(refused > 100, "{refused} of {}", 3 * snapshot.len());
}
