use super::*;
use crate::message::{
    DataPointGroup, DownstreamChunk, DownstreamChunkAck, DownstreamChunkAckComplete, DownstreamMetadata,
    DownstreamResumeRequest, DownstreamResumeResponse, Metadata, OrAlias, Qos, StreamChunk, UpstreamInfo,
};

const SOURCE: Uuid = Uuid::from_u128(0xabc);
const OTHER: Uuid = Uuid::from_u128(0x5678);

fn config(qos: Qos) -> DownstreamConfig {
    DownstreamConfig { qos, ..DownstreamConfig::default() }
}

fn info() -> UpstreamInfo {
    UpstreamInfo { session_id: "s".to_owned(), stream_id: SOURCE, source_node_id: "n".to_owned() }
}

fn chunk(sequence_number: u32) -> Message {
    let points = [(1, "x")].into_iter().collect();
    let groups = vec![DataPointGroup { data_id: OrAlias::Full(id("a")), points }];
    Message::DownstreamChunk(DownstreamChunk {
        stream_id_alias: 1,
        upstream: OrAlias::Full(info()),
        chunk: StreamChunk { sequence_number, groups },
        filter_references: Vec::new(),
    })
}

fn one_resume(messages: &[Message]) -> DownstreamResumeRequest {
    match messages {
        [Message::DownstreamResumeRequest(request)] => request.clone(),
        other => panic!("{other:?}"),
    }
}

impl Rig {
    /// Numbers of the chunks that the application saw since the last call.
    fn seen(&mut self) -> Vec<u32> {
        let seen = self.events.iter().filter_map(|event| match event {
            Event::Chunk(_, chunk) => Some(chunk.sequence_number),
            _ => None,
        });
        let seen = seen.collect();
        self.events.clear();
        seen
    }

    fn take_chunks(&mut self, key: StreamKey, numbers: &[u32]) {
        let taken = numbers.iter().map(|number| TakenAck { upstream: SOURCE, sequence_number: *number });
        self.core.acknowledge(key, taken);
    }

    fn one_ack(&mut self) -> DownstreamChunkAck {
        match self.sends() {
            Message::DownstreamChunkAck(ack) => ack,
            other => panic!("{other:?}"),
        }
    }

    fn answer_downstream(&mut self, request_id: u32, result_code: ResultCode) {
        self.receive(Message::DownstreamResumeResponse(DownstreamResumeResponse {
            request_id,
            result_code,
            resume_token: "next".to_owned(),
            ..DownstreamResumeResponse::default()
        }));
    }

    fn resume_downstream(&mut self) {
        let request = one_resume(&self.reconnect());
        self.answer_downstream(request.request_id, ResultCode::SUCCEEDED);
        assert!(self.events.iter().any(|event| matches!(event, Event::DownstreamResumed(_))));
    }
}

fn numbers(ack: &DownstreamChunkAck) -> Vec<u32> {
    ack.results.iter().map(|result| result.upstream_sequence_number).collect()
}

#[test]
fn a_downstream_is_resumed_under_its_alias() {
    let mut rig = Rig::resilient();
    rig.open_downstream(config(Qos::Reliable));
    rig.lose();
    let request = one_resume(&rig.reconnect());
    assert_eq!((request.stream_id, request.desired_stream_id_alias), (STREAM, 1));
    assert_eq!(request.resume_token, "first");
    rig.answer_downstream(request.request_id, ResultCode::SUCCEEDED);
    rig.receive(chunk(1));
    assert_eq!(rig.seen(), [1]);
    rig.lose();
    assert_eq!(one_resume(&rig.reconnect()).resume_token, "next");
}

#[test]
fn what_the_server_sends_again_is_delivered_once_and_acknowledged_when_it_was_taken() {
    let mut rig = Rig::resilient();
    let opened = rig.open_downstream(config(Qos::Reliable));
    for number in 1..=3 {
        rig.receive(chunk(number));
    }
    assert_eq!(rig.seen(), [1, 2, 3]);
    rig.take_chunks(opened.key, &[1]);
    assert_eq!(numbers(&rig.one_ack()), [1]);
    rig.lose();
    rig.resume_downstream();
    rig.events.clear();
    for number in [1, 2, 3, 4] {
        rig.receive(chunk(number));
    }
    assert_eq!(rig.seen(), [4]);
    rig.pass(ms(0));
    assert_eq!(numbers(&rig.one_ack()), [1], "the others wait for the application");
    rig.take_chunks(opened.key, &[2, 3, 4]);
    assert_eq!(numbers(&rig.one_ack()), [2, 3, 4]);
}

#[test]
fn without_a_guarantee_every_chunk_is_delivered_as_it_comes() {
    let mut rig = Rig::resilient();
    rig.open_downstream(config(Qos::Unreliable));
    rig.receive(chunk(1));
    rig.receive(chunk(1));
    assert_eq!(rig.seen(), [1, 1]);
}

#[test]
fn what_was_taken_during_the_outage_is_acknowledged_afterwards() {
    let mut rig = Rig::resilient();
    let opened = rig.open_downstream(config(Qos::Reliable));
    rig.receive(chunk(1));
    rig.lose();
    rig.core.want_ack(opened.key, true, rig.now);
    rig.pass(ms(1));
    rig.take_chunks(opened.key, &[1]);
    assert_eq!(rig.sent(), []);
    rig.resume_downstream();
    assert_eq!(numbers(&rig.one_ack()), [1]);
}

#[test]
fn aliases_that_the_server_did_not_confirm_are_announced_again() {
    let mut rig = Rig::resilient();
    let opened = rig.open_downstream(config(Qos::Unreliable));
    rig.receive(chunk(1));
    rig.take_chunks(opened.key, &[1]);
    let first = rig.one_ack();
    assert_eq!(first.upstream_aliases, [(1, info())].into());
    rig.lose();
    rig.resume_downstream();
    rig.pass(ms(0));
    let again = rig.one_ack();
    assert_eq!(
        (&again.upstream_aliases, &again.data_id_aliases),
        (&first.upstream_aliases, &first.data_id_aliases)
    );
    rig.receive(Message::DownstreamChunkAckComplete(DownstreamChunkAckComplete {
        stream_id_alias: 1,
        ack_id: again.ack_id,
        ..DownstreamChunkAckComplete::default()
    }));
    rig.lose();
    rig.resume_downstream();
    rig.pass(ms(0));
    assert_eq!(rig.sent(), []);
}

#[test]
fn metadata_is_acknowledged_on_the_connection_it_came_over() {
    let mut rig = Rig::resilient();
    let opened = rig.open_downstream(config(Qos::Reliable));
    rig.receive(Message::DownstreamMetadata(DownstreamMetadata {
        request_id: 1,
        stream_id_alias: 1,
        source_node_id: "n".to_owned(),
        metadata: Metadata::BaseTime(crate::message::BaseTime::default()),
    }));
    let metadata = rig.events.iter().find_map(|event| match event {
        Event::Metadata(key, metadata) if *key == opened.key => Some(metadata.clone()),
        _ => None,
    });
    rig.lose();
    rig.resume_downstream();
    rig.core.acknowledge_metadata(&metadata.unwrap());
    assert_eq!(rig.sent(), []);
}

#[test]
fn a_conflict_is_asked_again() {
    let mut rig = Rig::resilient();
    rig.open_downstream(config(Qos::Reliable));
    rig.lose();
    let request = one_resume(&rig.reconnect());
    rig.answer_downstream(request.request_id, ResultCode::RESUME_REQUEST_CONFLICT);
    assert_eq!(rig.sent(), []);
    rig.pass(ms(200));
    let request = one_resume(&rig.sent());
    assert_eq!(request.resume_token, "first", "a refusal replaces no token");
    rig.answer_downstream(request.request_id, ResultCode::SUCCEEDED);
    rig.receive(chunk(1));
    assert_eq!(rig.seen(), [1]);
}

#[test]
fn a_forgotten_downstream_ends_unless_it_is_opened_anew() {
    let mut rig = Rig::resilient();
    rig.open_downstream(config(Qos::Reliable));
    rig.lose();
    let request = one_resume(&rig.reconnect());
    rig.answer_downstream(request.request_id, ResultCode::STREAM_NOT_FOUND);
    assert_eq!(rig.downstream_ends(), [Some(Status::Refused)]);

    let mut rig = Rig::resilient();
    rig.open_downstream(DownstreamConfig { reopen: true, ..config(Qos::Reliable) });
    rig.receive(chunk(1));
    rig.events.clear();
    rig.lose();
    let request = one_resume(&rig.reconnect());
    rig.answer_downstream(request.request_id, ResultCode::STREAM_NOT_FOUND);
    let Message::DownstreamOpenRequest(request) = rig.sends() else { panic!("no open request") };
    assert_eq!(request.desired_stream_id_alias, 1);
    rig.receive(Message::DownstreamOpenResponse(DownstreamOpenResponse {
        request_id: request.request_id,
        stream_id: OTHER,
        ..DownstreamOpenResponse::default()
    }));
    assert!(matches!(
        rig.events.last(),
        Some(Event::DownstreamReopened { former: STREAM, stream_id: OTHER, .. })
    ));
    rig.receive(chunk(2));
    assert_eq!(rig.seen(), [2]);
    rig.pass(ms(100));
    assert_eq!(rig.one_ack().upstream_aliases.len(), 1, "the new stream knows no alias");
}

#[test]
fn closing_needs_no_connection() {
    let mut rig = Rig::resilient();
    let opened = rig.open_downstream(config(Qos::Reliable));
    let op = rig.op();
    rig.core.close_downstream(Some(op), opened.key, rig.now);
    rig.collect();
    rig.lose();
    assert!(rig.outcome(op).is_ok());
    assert_eq!(rig.downstream_ends(), [None]);

    let mut rig = Rig::resilient();
    let opened = rig.open_downstream(config(Qos::Reliable));
    rig.lose();
    let request = one_resume(&rig.reconnect());
    let op = rig.op();
    rig.core.close_downstream(Some(op), opened.key, rig.now);
    rig.collect();
    assert!(rig.outcome(op).is_ok());
    rig.answer_downstream(request.request_id, ResultCode::SUCCEEDED);
    assert!(matches!(rig.sends(), Message::DownstreamCloseRequest(request) if request.stream_id == STREAM));
}

#[test]
fn chunks_may_come_before_the_answer() {
    let mut rig = Rig::resilient();
    rig.open_downstream(config(Qos::Reliable));
    rig.lose();
    let request = one_resume(&rig.reconnect());
    rig.receive(chunk(1));
    rig.answer_downstream(request.request_id, ResultCode::SUCCEEDED);
    rig.receive(chunk(2));
    assert_eq!(rig.seen(), [1, 2]);
}

#[test]
fn a_second_loss_while_it_is_resumed_does_no_harm() {
    let mut rig = Rig::resilient();
    let opened = rig.open_downstream(config(Qos::Reliable));
    rig.receive(chunk(1));
    rig.lose();
    let former = one_resume(&rig.reconnect());
    rig.lose();
    rig.answer_downstream(former.request_id, ResultCode::STREAM_NOT_FOUND);
    let request = one_resume(&rig.reconnect());
    assert_eq!(request.resume_token, "first");
    // Too late: it is about the connection before.
    rig.answer_downstream(former.request_id, ResultCode::STREAM_NOT_FOUND);
    rig.answer_downstream(request.request_id, ResultCode::SUCCEEDED);
    rig.receive(chunk(1));
    rig.receive(chunk(2));
    assert_eq!((rig.downstream_ends(), rig.seen()), (vec![], vec![1, 2]));
    rig.take_chunks(opened.key, &[1, 2]);
    assert_eq!(numbers(&rig.one_ack()), [1, 2]);
}
