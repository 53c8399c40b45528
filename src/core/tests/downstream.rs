use super::*;
use crate::message::{
    DataPointGroup, DownstreamChunk, DownstreamChunkAck, DownstreamChunkAckComplete, DownstreamFilter,
    DownstreamMetadata, Metadata, OrAlias, StreamChunk, UpstreamInfo,
};

fn info(number: u128) -> UpstreamInfo {
    UpstreamInfo {
        session_id: "session".to_owned(),
        stream_id: Uuid::from_u128(number),
        source_node_id: "node".to_owned(),
    }
}

fn chunk(alias: u32, upstream: OrAlias<UpstreamInfo>, number: u32, ids: Vec<OrAlias<DataId>>) -> Message {
    let groups =
        ids.into_iter().map(|data_id| DataPointGroup { data_id, points: [(1, "x")].into_iter().collect() });
    Message::DownstreamChunk(DownstreamChunk {
        stream_id_alias: alias,
        upstream,
        chunk: StreamChunk { sequence_number: number, groups: groups.collect() },
        filter_references: Vec::new(),
    })
}

fn complete(ack_id: u32) -> Message {
    Message::DownstreamChunkAckComplete(DownstreamChunkAckComplete {
        stream_id_alias: 1,
        ack_id,
        ..DownstreamChunkAckComplete::default()
    })
}

impl Rig {
    fn ack(&mut self) -> DownstreamChunkAck {
        match self.sends() {
            Message::DownstreamChunkAck(ack) => ack,
            other => panic!("{other:?}"),
        }
    }

    fn chunks(&self) -> Vec<(u128, u32, Vec<DataId>)> {
        let chunks = self.events.iter().filter_map(|event| match event {
            Event::Chunk(_, chunk) => Some((
                chunk.upstream.stream_id.as_u128(),
                chunk.sequence_number,
                chunk.groups.iter().map(|group| (*group.data_id).clone()).collect(),
            )),
            _ => None,
        });
        chunks.collect()
    }

    /// The application took a chunk; it is acknowledged at the next occasion.
    fn take(&mut self, key: StreamKey, number: u32) {
        let taken = TakenAck { upstream: Uuid::from_u128(1), sequence_number: number };
        self.core.acknowledge(key, [taken]);
    }
}

#[test]
fn aliases_are_chosen_from_one_and_announced_once() {
    let mut rig = Rig::open();
    rig.open_downstream(DownstreamConfig { data_ids: vec![id("known")], ..DownstreamConfig::default() });
    let ids = vec![OrAlias::Alias(1), OrAlias::Full(id("new")), OrAlias::Full(id("known"))];
    rig.receive(chunk(1, OrAlias::Full(info(1)), 1, ids));
    rig.receive(chunk(1, OrAlias::Full(info(1)), 2, vec![OrAlias::Full(id("new"))]));
    rig.receive(chunk(1, OrAlias::Full(info(2)), 1, vec![]));
    rig.pass(ms(100));
    let ack = rig.ack();
    assert_eq!((ack.stream_id_alias, ack.ack_id, ack.results.len()), (1, 1, 0));
    assert_eq!(ack.upstream_aliases, [(1, info(1)), (2, info(2))].into());
    assert_eq!(ack.data_id_aliases, [(2, id("new"))].into());
    rig.receive(chunk(1, OrAlias::Alias(2), 2, vec![OrAlias::Alias(2)]));
    rig.pass(ms(1_000));
    assert_eq!(rig.sent(), [], "nothing new to announce, nothing taken");
    let (known, new) = (id("known"), id("new"));
    assert_eq!(
        rig.chunks(),
        [
            (1, 1, vec![known.clone(), new.clone(), known]),
            (1, 2, vec![new.clone()]),
            (2, 1, vec![]),
            (2, 2, vec![new]),
        ]
    );
}

#[test]
fn each_downstream_gets_its_own_alias() {
    let mut rig = Rig::open();
    for expected in 1..4 {
        let op = rig.op();
        rig.core.open_downstream(op, DownstreamConfig::default(), rig.now);
        assert!(
            matches!(rig.sends(), Message::DownstreamOpenRequest(request) if request.desired_stream_id_alias == expected)
        );
    }
}

#[test]
fn what_was_taken_is_acknowledged_after_the_interval() {
    let mut rig = Rig::open();
    let downstream = rig.open_downstream(DownstreamConfig::default());
    rig.core.want_ack(downstream.key, false, rig.now);
    rig.pass(ms(60));
    rig.core.want_ack(downstream.key, false, rig.now);
    assert_eq!(rig.deadline(), Some(ms(100)), "the first one counts");
    rig.pass(ms(40));
    assert!(matches!(rig.events.last(), Some(Event::CollectAcks(key)) if *key == downstream.key));
    rig.take(downstream.key, 1);
    rig.take(downstream.key, 2);
    let ack = rig.ack();
    let numbers: Vec<_> = ack.results.iter().map(|result| result.upstream_sequence_number).collect();
    assert_eq!((ack.ack_id, numbers), (1, vec![1, 2]));
}

#[test]
fn an_urgent_ack_leaves_now_and_ids_count_up() {
    let mut rig = Rig::open();
    let downstream = rig.open_downstream(DownstreamConfig::default());
    for expected in 1..4 {
        rig.core.want_ack(downstream.key, false, rig.now);
        rig.core.want_ack(downstream.key, true, rig.now);
        rig.pass(Duration::ZERO);
        rig.take(downstream.key, expected);
        assert_eq!(rig.ack().ack_id, expected);
    }
}

#[test]
fn an_unknown_alias_fails_its_stream_only() {
    for bad in
        [chunk(1, OrAlias::Alias(5), 1, vec![]), chunk(1, OrAlias::Full(info(1)), 1, vec![OrAlias::Alias(5)])]
    {
        let mut rig = Rig::open();
        rig.open_downstream(DownstreamConfig::default());
        rig.open_downstream(DownstreamConfig::default());
        rig.receive(bad);
        assert_eq!(rig.downstream_ends(), [Some(Status::ProtocolViolation)]);
        assert!(matches!(rig.sends(), Message::DownstreamCloseRequest(_)));
        rig.receive(chunk(1, OrAlias::Full(info(1)), 2, vec![]));
        rig.receive(chunk(2, OrAlias::Full(info(1)), 2, vec![]));
        assert_eq!(rig.chunks().len(), 1);
        assert!(!rig.core.is_closed());
    }
}

#[test]
fn metadata_is_acknowledged_when_the_application_takes_it() {
    let mut rig = Rig::open();
    rig.open_downstream(DownstreamConfig::default());
    rig.receive(Message::DownstreamMetadata(DownstreamMetadata {
        request_id: 11,
        stream_id_alias: 1,
        source_node_id: "node".to_owned(),
        metadata: Metadata::DownstreamNormalClose { stream_id: STREAM },
    }));
    assert_eq!(rig.sent(), []);
    let Some(Event::Metadata(_, metadata)) = rig.events.pop() else {
        panic!("no metadata");
    };
    assert_eq!(metadata.source_node_id, "node");
    rig.core.acknowledge_metadata(&metadata);
    assert!(matches!(rig.sends(), Message::DownstreamMetadataAck(reply) if reply.request_id == 11));
}

#[test]
fn metadata_of_an_old_broker_is_told_by_its_node() {
    let mut rig = Rig::open();
    let reads = |node: &str| DownstreamConfig {
        filters: vec![DownstreamFilter { source_node_id: node.to_owned(), data_filters: vec![] }],
        ..DownstreamConfig::default()
    };
    let first = rig.open_downstream(reads("node")).key;
    rig.open_downstream(reads("other"));
    let third = rig.open_downstream(reads("node")).key;
    let mut told = |stream_id_alias, source: &str| {
        rig.events.clear();
        rig.receive(Message::DownstreamMetadata(DownstreamMetadata {
            request_id: 11,
            stream_id_alias,
            source_node_id: source.to_owned(),
            metadata: Metadata::DownstreamNormalClose { stream_id: STREAM },
        }));
        let keys = rig.events.iter().map(|event| match event {
            Event::Metadata(key, _) => *key,
            other => panic!("{other:?}"),
        });
        keys.collect::<Vec<_>>()
    };
    assert_eq!(told(0, "node"), [first, third]);
    assert_eq!(told(0, "nobody"), []);
    assert_eq!(told(3, "node"), [third], "with an alias it is for one stream");
    // Even about a node that no filter names.
    assert_eq!(told(3, "nobody"), [third]);
    assert_eq!(told(9, "node"), []);
}

#[test]
fn closing_waits_for_the_completion_of_the_last_ack() {
    let mut rig = Rig::open();
    let downstream = rig.open_downstream(DownstreamConfig::default());
    rig.take(downstream.key, 1);
    rig.ack();
    let close = rig.op();
    rig.core.close_downstream(Some(close), downstream.key, rig.now);
    rig.collect();
    assert!(matches!(rig.events.last(), Some(Event::CollectAcks(_))));
    rig.take(downstream.key, 2);
    assert_eq!(rig.ack().ack_id, 2);
    rig.receive(complete(1));
    assert_eq!(rig.sent(), []);
    rig.receive(complete(2));
    let Message::DownstreamCloseRequest(request) = rig.sends() else {
        panic!("no close request");
    };
    rig.receive(Message::DownstreamCloseResponse(reply(request.request_id, ResultCode::SUCCEEDED)));
    assert!(rig.outcome(close).is_ok());
    assert_eq!(rig.downstream_ends(), [None]);
}

#[test]
fn a_busy_stream_sends_one_last_ack_and_waits_for_that_one() {
    let mut rig = Rig::open();
    let downstream = rig.open_downstream(DownstreamConfig::default());
    rig.core.close_downstream(None, downstream.key, rig.now);
    rig.collect();
    rig.take(downstream.key, 1);
    assert_eq!(rig.ack().ack_id, 1);
    // More is taken and would be acknowledged before the completion has come back.
    rig.take(downstream.key, 2);
    rig.pass(ms(500));
    assert_eq!(rig.sent(), []);
    rig.receive(complete(1));
    assert!(matches!(rig.sends(), Message::DownstreamCloseRequest(_)));
}

#[test]
fn closing_does_not_wait_for_a_completion_for_ever() {
    let mut rig = Rig::open();
    let downstream =
        rig.open_downstream(DownstreamConfig { close_timeout: ms(300), ..DownstreamConfig::default() });
    rig.take(downstream.key, 1);
    rig.ack();
    rig.core.close_downstream(None, downstream.key, rig.now);
    rig.pass(ms(299));
    assert_eq!(rig.sent(), []);
    rig.pass(ms(1));
    assert!(matches!(rig.sends(), Message::DownstreamCloseRequest(_)));
}

#[test]
fn a_close_request_without_an_answer_ends_the_stream_anyway() {
    let mut rig = Rig::open();
    let downstream = rig.open_downstream(DownstreamConfig::default());
    let close = rig.op();
    rig.core.close_downstream(Some(close), downstream.key, rig.now);
    rig.sent();
    rig.pass(ms(9_999));
    assert!(!rig.is_done(close));
    rig.pass(ms(1));
    assert_eq!(rig.status(close), Status::Timeout);
    assert_eq!(rig.downstream_ends(), [Some(Status::Timeout)]);
}

#[test]
fn a_stream_opened_too_late_is_closed_again() {
    let mut rig = Rig::open();
    let op = rig.op();
    rig.core.open_downstream(op, DownstreamConfig::default(), rig.now);
    rig.sent();
    rig.pass(ms(10_000));
    assert_eq!(rig.status(op), Status::Timeout);
    rig.sent();
    rig.receive(Message::DownstreamOpenResponse(DownstreamOpenResponse {
        request_id: 2,
        stream_id: STREAM,
        ..DownstreamOpenResponse::default()
    }));
    assert!(matches!(rig.sends(), Message::DownstreamCloseRequest(request) if request.stream_id == STREAM));
}

#[test]
fn what_comes_right_behind_the_answer_is_received() {
    let mut rig = Rig::open();
    let op = rig.op();
    rig.core.open_downstream(op, DownstreamConfig::default(), rig.now);
    let Message::DownstreamOpenRequest(request) = rig.sends() else { panic!("no open request") };
    let messages = [
        Message::DownstreamOpenResponse(DownstreamOpenResponse {
            request_id: request.request_id,
            stream_id: STREAM,
            ..DownstreamOpenResponse::default()
        }),
        Message::DownstreamMetadata(DownstreamMetadata {
            request_id: 1,
            stream_id_alias: 1,
            source_node_id: "node".to_owned(),
            metadata: Metadata::DownstreamNormalClose { stream_id: STREAM },
        }),
        chunk(1, OrAlias::Full(info(1)), 1, vec![]),
    ];
    for message in messages {
        rig.core.handle_message(message, rig.now);
    }
    rig.collect();
    assert!(
        matches!(rig.events[..], [Event::Done(..), Event::Metadata(..), Event::Chunk(..)]),
        "{:?}",
        rig.events
    );
}

#[test]
fn metadata_about_an_unknown_node_holds_nothing_up() {
    let mut rig = Rig::open();
    let filters = vec![DownstreamFilter { source_node_id: "node".to_owned(), data_filters: vec![] }];
    let downstream = rig.open_downstream(DownstreamConfig { filters, ..DownstreamConfig::default() });
    for stream_id_alias in [1, 0, 9] {
        rig.receive(Message::DownstreamMetadata(DownstreamMetadata {
            request_id: 11,
            stream_id_alias,
            source_node_id: "stranger".to_owned(),
            metadata: Metadata::DownstreamNormalClose { stream_id: STREAM },
        }));
    }
    rig.open_downstream(DownstreamConfig::default());
    for alias in [1, 2] {
        rig.receive(chunk(alias, OrAlias::Full(info(1)), 1, vec![]));
    }
    assert_eq!(rig.chunks().len(), 2);
    let close = rig.op();
    rig.core.close_downstream(Some(close), downstream.key, rig.now);
    let Message::DownstreamChunkAck(ack) = rig.sent().remove(0) else { panic!("no acknowledgement") };
    rig.receive(complete(ack.ack_id));
    let Message::DownstreamCloseRequest(request) = rig.sends() else { panic!("no close request") };
    rig.receive(Message::DownstreamCloseResponse(reply(request.request_id, ResultCode::SUCCEEDED)));
    assert!(rig.outcome(close).is_ok());
}
