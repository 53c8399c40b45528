//! Metadata (docs/protocol/behaviour.md §7.3, §11.4).

use super::*;
use iscp::message::{BaseTime, DownstreamCloseRequest, UpstreamMetadata};

fn base_time(session: &str, name: &str, ns: i64) -> BaseTime {
    BaseTime {
        session_id: session.to_owned(),
        name: name.to_owned(),
        priority: 1000,
        elapsed_time_ns: 5,
        base_time_ns: ns,
    }
}

fn send(base_time: BaseTime) -> Message {
    Message::UpstreamMetadata(UpstreamMetadata { request_id: 6, base_time, persist: true })
}

#[test]
fn base_times_are_acknowledged_and_reach_the_readers_of_the_node() {
    let mut world = World::new();
    let sender = world.connect("s");
    let reader = world.connect("r");
    let stranger = world.connect("x");
    // Whatever the data filters.
    world.open_downstream(reader, downstream(3, vec![filter("s", &[])], Qos::Unreliable));
    world.open_downstream(stranger, downstream(3, all_of("other"), Qos::Unreliable));
    match world.ask(sender, send(base_time("s", "edge", 7))) {
        Message::UpstreamMetadataAck(reply) => {
            assert_eq!((reply.request_id, reply.result_code), (6, ResultCode::SUCCEEDED));
        }
        other => panic!("{other:?}"),
    }
    match &world.receive(reader)[..] {
        [Message::DownstreamMetadata(message)] => {
            assert_eq!(message.request_id % 2, 1);
            assert_eq!((message.stream_id_alias, &*message.source_node_id), (3, "s"));
            assert_eq!(message.metadata, Metadata::BaseTime(base_time("s", "edge", 7)));
        }
        other => panic!("{other:?}"),
    }
    assert_eq!(world.receive(stranger), []);
    // No ack is due, and acks of any kind are taken.
    for _ in 0..2 {
        world.send(reader, Message::DownstreamMetadataAck(Default::default()));
    }
    assert!(!world.broker.is_closing(reader));
}

#[test]
fn metadata_and_data_of_an_upstream_arrive_in_order() {
    let mut world = World::new();
    let sender = world.connect("s");
    let reader = world.connect("r");
    world.open_downstream(reader, downstream(1, all_of("s"), Qos::Unreliable));
    let stream = world.open_upstream(sender, upstream("s", Qos::Unreliable));
    world.send(sender, send(base_time("s", "edge", 1)));
    world.chunk(sender, stream.stream_id_alias, 1, vec![full("a")]);
    world.send(sender, send(base_time("s", "edge", 2)));
    world.chunk(sender, stream.stream_id_alias, 2, vec![full("a")]);
    world.send(sender, close(stream.stream_id, 2));
    let messages = world.receive(reader);
    assert_eq!(
        names(&messages),
        [
            "DownstreamMetadata",
            "DownstreamMetadata",
            "DownstreamChunk",
            "DownstreamMetadata",
            "DownstreamChunk",
            "DownstreamMetadata"
        ]
    );
    assert!(matches!(
        metadata(&messages)[..],
        [
            Metadata::UpstreamOpen { .. },
            Metadata::BaseTime(_),
            Metadata::BaseTime(_),
            Metadata::UpstreamNormalClose { .. }
        ]
    ));
    let ids: Vec<_> = messages
        .iter()
        .filter_map(|message| match message {
            Message::DownstreamMetadata(metadata) => Some(metadata.request_id),
            _ => None,
        })
        .collect();
    assert_eq!(ids, [1, 3, 5, 7]);
}

#[test]
fn a_late_reader_is_told_of_running_upstreams_and_their_newest_base_times() {
    for replay in [true, false] {
        let mut world = World::with(|config| config.replay_metadata = replay);
        let sender = world.connect("s");
        world.send(sender, send(base_time("one", "edge", 1)));
        world.send(sender, send(base_time("one", "ntp", 2)));
        world.send(sender, send(base_time("gone", "edge", 3)));
        world.receive(sender);
        let stream = world.open_upstream(sender, upstream("one", Qos::Partial));
        let gone = world.open_upstream(sender, upstream("gone", Qos::Partial));
        world.send(sender, close(gone.stream_id, 0));
        world.send(sender, send(base_time("one", "edge", 4)));
        let reader = world.connect("r");
        world.open_downstream(reader, downstream(1, all_of("s"), Qos::Unreliable));
        let messages = world.receive(reader);
        if replay {
            assert_eq!(
                metadata(&messages),
                [
                    &Metadata::UpstreamOpen {
                        stream_id: stream.stream_id,
                        session_id: "one".to_owned(),
                        qos: Qos::Partial
                    },
                    &Metadata::BaseTime(base_time("one", "ntp", 2)),
                    &Metadata::BaseTime(base_time("one", "edge", 4)),
                ]
            );
        } else {
            assert_eq!(messages, []);
        }
    }
}

#[test]
fn readers_of_a_node_learn_of_its_downstreams() {
    let mut world = World::new();
    let watcher = world.connect("w");
    world.open_downstream(watcher, downstream(1, all_of("r"), Qos::Unreliable));
    let reader = world.connect("r");
    let filters = all_of("r");
    let first = world.open_downstream(reader, downstream(1, filters.clone(), Qos::Reliable));
    let open = Metadata::DownstreamOpen { stream_id: first.stream_id, filters, qos: Qos::Reliable };
    assert_eq!(metadata(&world.receive(reader)), [&open], "one's own downstream included");
    assert_eq!(metadata(&world.receive(watcher)), [&open]);
    let mut request = downstream(2, vec![], Qos::Unreliable);
    request.expiry_interval_s = 0;
    let second = world.open_downstream(reader, request);
    let request = DownstreamCloseRequest { request_id: 6, stream_id: first.stream_id };
    world.send(reader, Message::DownstreamCloseRequest(request));
    world.broker.connection_lost(reader, world.now);
    let messages = world.receive(watcher);
    assert_eq!(
        metadata(&messages)[1..],
        [
            &Metadata::DownstreamNormalClose { stream_id: first.stream_id },
            &Metadata::DownstreamAbnormalClose { stream_id: second.stream_id }
        ]
    );
}

#[test]
fn base_times_are_bounded_in_number_and_length() {
    let mut world = World::with(|config| config.limits.base_times = 2);
    let sender = world.connect("s");
    world.open_upstream(sender, upstream("s", Qos::Partial));
    for i in 0..5 {
        world.send(sender, send(base_time("s", &format!("clock {i}"), i)));
    }
    world.receive(sender);
    match world.ask(sender, send(base_time("s", &"n".repeat(1025), 0))) {
        Message::UpstreamMetadataAck(reply) => assert_eq!(reply.result_code, ResultCode::PROTOCOL_ERROR),
        other => panic!("{other:?}"),
    }
    let reader = world.connect("r");
    world.open_downstream(reader, downstream(1, all_of("s"), Qos::Unreliable));
    assert_eq!(metadata(&world.receive(reader)).len(), 3, "UpstreamOpen and the newest two");
}

#[test]
fn metadata_is_sent_once_whatever_is_acknowledged() {
    let mut world = World::new();
    let (sender, reader) = (world.connect("s"), world.connect("r"));
    let opened = world.open_downstream(reader, downstream(3, all_of("s"), Qos::Reliable));
    world.send(sender, send(base_time("s", "edge", 7)));
    assert_eq!(metadata(&world.receive(reader)).len(), 1);
    world.advance(60_000);
    world.broker.connection_lost(reader, world.now);
    let reader = world.connect("r");
    let request = iscp::message::DownstreamResumeRequest {
        request_id: 8,
        stream_id: opened.stream_id,
        desired_stream_id_alias: 3,
        resume_token: opened.resume_token,
    };
    assert_eq!(
        world.ask(reader, Message::DownstreamResumeRequest(request)).name(),
        "DownstreamResumeResponse"
    );
    world.advance(1_000);
    assert_eq!(world.receive(reader), []);
}
