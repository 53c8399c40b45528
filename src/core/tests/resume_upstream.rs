use super::*;
use crate::message::{
    DownstreamResumeResponse, OrAlias, Qos, UpstreamChunk, UpstreamChunkAck, UpstreamChunkResult,
    UpstreamOpenRequest, UpstreamResumeRequest, UpstreamResumeResponse,
};

const OTHER: Uuid = Uuid::from_u128(0x5678);

fn reliable() -> UpstreamConfig {
    UpstreamConfig { qos: Qos::Reliable, flush_policy: FlushPolicy::Immediate, ..UpstreamConfig::default() }
}

fn reopening() -> UpstreamConfig {
    UpstreamConfig { reopen: true, ..reliable() }
}

fn chunks(messages: &[Message]) -> Vec<&UpstreamChunk> {
    let chunks = messages.iter().map(|message| match message {
        Message::UpstreamChunk(chunk) => chunk,
        other => panic!("{other:?}"),
    });
    chunks.collect()
}

fn numbers(messages: &[Message]) -> Vec<(u32, u32)> {
    chunks(messages).iter().map(|chunk| (chunk.stream_id_alias, chunk.chunk.sequence_number)).collect()
}

fn ack(alias: u32, numbers: &[u32], result_code: ResultCode) -> Message {
    let results = numbers.iter().map(|number| UpstreamChunkResult {
        sequence_number: *number,
        result_code,
        result_string: String::new(),
    });
    Message::UpstreamChunkAck(UpstreamChunkAck {
        stream_id_alias: alias,
        results: results.collect(),
        ..UpstreamChunkAck::default()
    })
}

fn one_resume(messages: &[Message]) -> UpstreamResumeRequest {
    match messages {
        [Message::UpstreamResumeRequest(request)] => request.clone(),
        other => panic!("{other:?}"),
    }
}

fn one_open(messages: &[Message]) -> UpstreamOpenRequest {
    match messages {
        [Message::UpstreamOpenRequest(request)] => request.clone(),
        other => panic!("{other:?}"),
    }
}

impl Rig {
    /// A stream with so many chunks of one point that were sent and not acknowledged.
    fn in_flight(&mut self, config: UpstreamConfig, chunks: u32) -> OpenedUpstream {
        let config = UpstreamConfig { data_ids: vec![id("a")], ..config };
        let upstream = self.open_upstream(config, [(3, id("a"))].into());
        for number in 0..chunks {
            self.write(&upstream, "a", format!("{number}").as_bytes());
            self.sends();
        }
        upstream
    }

    fn answer_resume(&mut self, request_id: u32, alias: u32, result_code: ResultCode) {
        self.receive(Message::UpstreamResumeResponse(UpstreamResumeResponse {
            request_id,
            stream_id_alias: alias,
            result_code,
            resume_token: "next".to_owned(),
            ..UpstreamResumeResponse::default()
        }));
    }

    /// Reconnects and lets the server resume the one upstream.
    fn resume(&mut self, alias: u32) -> Vec<Message> {
        let sent = self.reconnect();
        self.answer_resume(one_resume(&sent).request_id, alias, ResultCode::SUCCEEDED);
        assert!(matches!(self.events.last(), Some(Event::UpstreamResumed(_))), "{:?}", self.events.last());
        self.sent()
    }

    fn answer_open(&mut self, request_id: u32, result_code: ResultCode) {
        self.receive(Message::UpstreamOpenResponse(UpstreamOpenResponse {
            request_id,
            stream_id: OTHER,
            stream_id_alias: 8,
            result_code,
            server_time_ns: 99,
            ..UpstreamOpenResponse::default()
        }));
    }

    fn close_it(&mut self, upstream: &OpenedUpstream) -> OpId {
        let op = self.op();
        self.core.close_upstream(Some(op), upstream.key, false, self.now);
        self.collect();
        op
    }
}

#[test]
fn what_was_not_acknowledged_is_sent_again_in_order_before_anything_new() {
    let mut rig = Rig::resilient();
    let upstream = rig.in_flight(reliable(), 5);
    rig.receive(ack(7, &[2, 4], ResultCode::SUCCEEDED));
    rig.lose();
    rig.write(&upstream, "a", b"new");
    let sent = rig.resume(9);
    assert_eq!(numbers(&sent), [(9, 1), (9, 3), (9, 5), (9, 6)], "under the new alias");
    let payloads = chunks(&sent).into_iter().map(|chunk| {
        assert_eq!(chunk.chunk.groups[0].data_id, OrAlias::Alias(3), "aliases of data ids outlive the loss");
        chunk.chunk.groups[0].points.iter().next().unwrap().payload
    });
    assert_eq!(payloads.collect::<Vec<_>>(), ["0", "2", "4", "new"]);
    assert_eq!(rig.sent(), []);
    rig.receive(ack(7, &[1], ResultCode::SUCCEEDED));
    rig.receive(ack(9, &[1, 3, 5, 6, 6], ResultCode::SUCCEEDED));
    let close = rig.close_it(&upstream);
    let Message::UpstreamCloseRequest(request) = rig.sends() else { panic!("no close request") };
    assert_eq!((request.total_data_points, request.final_sequence_number), (6, 6), "counted once");
    rig.receive(Message::UpstreamCloseResponse(reply(request.request_id, ResultCode::SUCCEEDED)));
    assert!(rig.outcome(close).is_ok());
    assert_eq!(rig.upstream_ends(), [UpstreamEnd::default()]);
}

#[test]
fn nothing_is_sent_before_the_server_has_resumed_the_stream() {
    let mut rig = Rig::resilient();
    let upstream = rig.in_flight(reliable(), 1);
    rig.lose();
    let request = one_resume(&rig.reconnect());
    assert_eq!((request.stream_id, &*request.resume_token), (STREAM, "first"));
    rig.write(&upstream, "a", b"new");
    rig.pass(ms(500));
    assert_eq!(rig.sent(), []);
    rig.answer_resume(request.request_id, 7, ResultCode::SUCCEEDED);
    assert_eq!(numbers(&rig.sent()), [(7, 1), (7, 2)]);
}

#[test]
fn tokens_are_for_protocol_3_and_are_replaced() {
    let mut rig = Rig::resilient();
    rig.in_flight(reliable(), 0);
    rig.lose();
    rig.resume(7);
    rig.lose();
    let request = one_resume(&rig.reconnect_to("2.1.0"));
    assert_eq!(request.resume_token, "");
    rig.answer_resume(request.request_id, 7, ResultCode::SUCCEEDED);
    rig.lose();
    assert_eq!(one_resume(&rig.reconnect()).resume_token, "next");
}

#[test]
fn acknowledgements_while_sending_again_spare_the_rest() {
    let mut rig = Rig::resilient();
    rig.in_flight(reliable(), 4);
    rig.lose();
    let request = one_resume(&rig.reconnect());
    rig.answer_resume(request.request_id, 7, ResultCode::SUCCEEDED);
    let first = rig.core.poll_transmit(rig.now).unwrap();
    assert_eq!(numbers(&[first]), [(7, 1)]);
    rig.receive(ack(7, &[2, 3], ResultCode::SUCCEEDED));
    assert_eq!(numbers(&rig.sent()), [(7, 4)]);
}

#[test]
fn a_second_loss_begins_again_from_the_oldest() {
    let mut rig = Rig::resilient();
    rig.in_flight(reliable(), 3);
    rig.lose();
    let request = one_resume(&rig.reconnect());
    rig.lose();
    rig.answer_resume(request.request_id, 7, ResultCode::SUCCEEDED);
    let request = one_resume(&rig.reconnect());
    assert_eq!(request.resume_token, "first", "no answer came");
    rig.answer_resume(request.request_id, 7, ResultCode::SUCCEEDED);
    rig.core.poll_transmit(rig.now).unwrap();
    rig.lose();
    assert_eq!(numbers(&rig.resume(7)), [(7, 1), (7, 2), (7, 3)]);
}

#[test]
fn a_conflict_is_asked_again_until_the_stream_expires() {
    let mut rig = Rig::resilient();
    rig.in_flight(reliable(), 1);
    rig.lose();
    let mut request = one_resume(&rig.reconnect());
    let mut asked = 0;
    while rig.upstream_ends().is_empty() {
        rig.answer_resume(request.request_id, 0, ResultCode::RESUME_REQUEST_CONFLICT);
        assert_eq!(rig.sent(), [], "not at once");
        let at = rig.core.next_timeout().unwrap();
        rig.pass(at - rig.now);
        match &rig.sent()[..] {
            [] => {}
            [Message::Ping(id)] => rig.receive(Message::Pong(*id)),
            sent => {
                request = one_resume(sent);
                asked += 1;
            }
        }
    }
    assert!(asked > 10, "asked {asked} times");
    let end = &rig.upstream_ends()[0];
    assert_eq!(end.error.as_ref().map(Error::status), Some(Status::ConnectionLost));
    assert_eq!((end.undelivered_points, &end.undelivered_chunks[..]), (1, &[1][..]));
    assert!(rig.now - rig.start >= ms(60_000));
}

#[test]
fn a_forgotten_stream_ends_and_says_what_is_undelivered() {
    let mut rig = Rig::resilient();
    let upstream = rig.in_flight(reliable(), 3);
    rig.receive(ack(7, &[2], ResultCode::SUCCEEDED));
    rig.lose();
    rig.write(&upstream, "a", b"unsent");
    let flush = rig.op();
    rig.core.flush_upstream(flush, upstream.key, FlushLevel::Sent, rig.now, ms(60_000));
    let request = one_resume(&rig.reconnect());
    rig.answer_resume(request.request_id, 0, ResultCode::STREAM_NOT_FOUND);
    let end = &rig.upstream_ends()[0];
    assert_eq!(end.error.as_ref().and_then(Error::result_code), Some(ResultCode::STREAM_NOT_FOUND));
    assert_eq!((end.undelivered_points, &end.undelivered_chunks[..]), (3, &[1, 3][..]));
    assert_eq!(rig.status(flush), Status::Refused);
    assert_eq!(upstream.buffer.lock().push(0, 1, b""), Err(Status::Closed));
    assert!(!rig.core.is_closed());
}

#[test]
fn a_stream_expires_while_there_is_no_connection() {
    let mut rig = Rig::resilient();
    rig.in_flight(UpstreamConfig { expiry_interval: ms(2_000), ..reliable() }, 1);
    rig.lose();
    rig.pass(ms(1_999));
    assert!(rig.upstream_ends().is_empty());
    rig.pass(ms(1));
    assert_eq!(rig.upstream_ends()[0].undelivered_chunks, [1]);
    rig.core.dial_failed(&Error::new(Status::ConnectFailed, "refused"), rig.now);
    rig.collect();
    assert_eq!(rig.reconnect(), []);
}

#[test]
fn a_stream_that_the_server_never_keeps_ends_with_the_connection() {
    let mut rig = Rig::resilient();
    rig.in_flight(UpstreamConfig { expiry_interval: ms(0), ..reliable() }, 1);
    rig.lose();
    assert_eq!(rig.upstream_ends()[0].undelivered_chunks, [1]);
    assert!(!rig.core.is_closed());
}

#[test]
fn unreliable_chunks_that_were_under_way_are_counted_and_buffered_points_are_kept() {
    for qos in [Qos::Unreliable, Qos::Partial] {
        let mut rig = Rig::resilient();
        let upstream = rig.in_flight(UpstreamConfig { qos, ..reliable() }, 3);
        rig.receive(ack(7, &[1], ResultCode::SUCCEEDED));
        rig.lose();
        rig.write(&upstream, "a", b"new");
        assert_eq!(numbers(&rig.resume(7)), [(7, 4)]);
        rig.receive(ack(7, &[4], ResultCode::SUCCEEDED));
        rig.close_it(&upstream);
        let Message::UpstreamCloseRequest(request) = rig.sends() else { panic!("no close request") };
        assert_eq!((request.total_data_points, request.final_sequence_number), (4, 4));
        rig.receive(Message::UpstreamCloseResponse(reply(request.request_id, ResultCode::SUCCEEDED)));
        let expected = UpstreamEnd { error: None, undelivered_points: 2, undelivered_chunks: vec![2, 3] };
        assert_eq!(rig.upstream_ends(), [expected]);
    }
}

#[test]
fn a_flush_waits_through_the_outage() {
    let mut rig = Rig::resilient();
    let upstream = rig.in_flight(UpstreamConfig { flush_policy: FlushPolicy::None, ..reliable() }, 0);
    rig.write(&upstream, "a", b"x");
    let (flush, short) = (rig.op(), rig.op());
    rig.core.flush_upstream(flush, upstream.key, FlushLevel::Acknowledged, rig.now, ms(30_000));
    rig.sends();
    rig.lose();
    rig.core.flush_upstream(short, upstream.key, FlushLevel::Acknowledged, rig.now, ms(20));
    rig.pass(ms(20));
    assert_eq!(rig.status(short), Status::Timeout);
    assert_eq!(numbers(&rig.resume(7)), [(7, 1)]);
    assert!(!rig.is_done(flush));
    rig.receive(ack(7, &[1], ResultCode::SUCCEEDED));
    assert!(rig.outcome(flush).is_ok());
}

#[test]
fn the_buffer_is_bounded_while_there_is_no_connection() {
    let mut rig = Rig::resilient();
    let upstream = rig.in_flight(UpstreamConfig { buffer_limit: 2_000, ..reliable() }, 0);
    rig.lose();
    let mut written = 0;
    while upstream.buffer.lock().push(0, 1, &[0; 100]).is_ok() {
        rig.core.attend_upstream(upstream.key, rig.now);
        rig.core.relieve_upstream(upstream.key);
        written += 1;
    }
    assert!((10..20).contains(&written), "{written}");
    let sent = rig.resume(7);
    assert_eq!(chunks(&sent).iter().map(|chunk| chunk.chunk.groups[0].points.len()).sum::<usize>(), written);
}

#[test]
fn closing_a_stream_waits_for_the_connection_as_long_as_it_may() {
    let mut rig = Rig::resilient();
    let upstream = rig.in_flight(reliable(), 1);
    rig.lose();
    let close = rig.close_it(&upstream);
    assert_eq!(numbers(&rig.resume(7)), [(7, 1)]);
    rig.receive(ack(7, &[1], ResultCode::SUCCEEDED));
    let Message::UpstreamCloseRequest(request) = rig.sends() else { panic!("no close request") };
    rig.receive(Message::UpstreamCloseResponse(reply(request.request_id, ResultCode::SUCCEEDED)));
    assert!(rig.outcome(close).is_ok());

    let mut rig = Rig::resilient();
    let upstream = rig.in_flight(UpstreamConfig { close_timeout: ms(700), ..reliable() }, 1);
    rig.lose();
    let close = rig.close_it(&upstream);
    rig.pass(ms(700));
    assert_eq!(rig.status(close), Status::Timeout);
    assert_eq!(rig.upstream_ends()[0].undelivered_chunks, [1]);
}

#[test]
fn a_close_request_without_an_answer_is_sent_again() {
    for (code, asks_again) in [(ResultCode::SUCCEEDED, true), (ResultCode::STREAM_NOT_FOUND, false)] {
        let mut rig = Rig::resilient();
        let upstream = rig.in_flight(reopening(), 0);
        let close = rig.close_it(&upstream);
        assert!(matches!(rig.sends(), Message::UpstreamCloseRequest(_)));
        rig.lose();
        let request = one_resume(&rig.reconnect());
        rig.answer_resume(request.request_id, 7, code);
        if asks_again {
            let Message::UpstreamCloseRequest(request) = rig.sends() else { panic!("no close request") };
            rig.receive(Message::UpstreamCloseResponse(reply(request.request_id, ResultCode::SUCCEEDED)));
        }
        assert!(rig.outcome(close).is_ok(), "{code}: everything had been delivered");
        assert_eq!(rig.upstream_ends(), [UpstreamEnd::default()]);
    }
}

#[test]
fn closing_the_connection_waits_for_points_that_are_owed() {
    let mut rig = Rig::resilient();
    rig.in_flight(reliable(), 1);
    rig.lose();
    let close = rig.op();
    rig.core.close(Some(close), rig.now, ms(5_000));
    rig.collect();
    assert!(!rig.is_done(close));
    assert_eq!(numbers(&rig.resume(7)), [(7, 1)]);
    rig.receive(ack(7, &[1], ResultCode::SUCCEEDED));
    let Message::UpstreamCloseRequest(request) = rig.sends() else { panic!("no close request") };
    rig.receive(Message::UpstreamCloseResponse(reply(request.request_id, ResultCode::SUCCEEDED)));
    assert!(matches!(rig.sends(), Message::Disconnect(_)));
    assert!(rig.outcome(close).is_ok());
    assert_eq!(rig.end(), None);
}

#[test]
fn closing_the_connection_does_not_wait_for_ever_for_points_that_are_owed() {
    let mut rig = Rig::resilient();
    rig.in_flight(reliable(), 1);
    let close = rig.op();
    rig.core.close(Some(close), rig.now, ms(5_000));
    rig.lose();
    rig.pass(ms(5_000));
    assert_eq!(rig.status(close), Status::Timeout);
    assert_eq!(rig.upstream_ends()[0].undelivered_chunks, [1]);
    assert_eq!(rig.end(), Some(Status::Timeout));
}

#[test]
fn the_end_of_an_outage_and_of_closing_at_one_time_is_one_end() {
    let mut config = ConnectionConfig::default();
    config.reconnect.total = Some(ms(3_000));
    let mut rig = Rig::resilient_with(config);
    rig.in_flight(reliable(), 1);
    rig.lose();
    let close = rig.op();
    rig.core.close(Some(close), rig.now, ms(3_000));
    rig.pass(ms(3_000));
    assert!(rig.outcome(close).is_err());
    assert!(rig.end().is_some());
}

#[test]
fn a_forgotten_stream_is_opened_anew_if_asked_for() {
    let mut rig = Rig::resilient();
    let upstream = rig.in_flight(reopening(), 4);
    rig.receive(ack(7, &[1, 3], ResultCode::SUCCEEDED));
    let flush = rig.op();
    rig.core.flush_upstream(flush, upstream.key, FlushLevel::Acknowledged, rig.now, ms(60_000));
    rig.lose();
    rig.write(&upstream, "a", b"new");
    let request = one_resume(&rig.reconnect());
    rig.answer_resume(request.request_id, 0, ResultCode::STREAM_NOT_FOUND);
    let request = one_open(&rig.sent());
    rig.answer_open(request.request_id, ResultCode::SUCCEEDED);
    assert!(
        matches!(rig.events.last(), Some(Event::UpstreamReopened { former: STREAM, stream_id: OTHER, .. })),
        "{:?}",
        rig.events.last()
    );
    let identity = upstream.buffer.identity();
    assert_eq!((identity.stream_id, identity.server_time_ns), (OTHER, 99));
    let sent = rig.sent();
    assert_eq!(numbers(&sent), [(8, 1), (8, 2), (8, 3)]);
    for chunk in chunks(&sent) {
        assert_eq!(chunk.data_ids, [id("a")], "the aliases were those of the other stream");
        assert_eq!(chunk.chunk.groups[0].points.iter().next().unwrap().elapsed_time, 1);
    }
    rig.receive(ack(8, &[1], ResultCode::SUCCEEDED));
    assert!(!rig.is_done(flush));
    rig.receive(ack(8, &[2], ResultCode::SUCCEEDED));
    assert!(rig.outcome(flush).is_ok(), "the flush waited for the first two of the new numbers");
    rig.receive(ack(8, &[3], ResultCode::SUCCEEDED));
    rig.close_it(&upstream);
    let Message::UpstreamCloseRequest(request) = rig.sends() else { panic!("no close request") };
    let totals = (request.stream_id, request.total_data_points, request.final_sequence_number);
    assert_eq!(totals, (OTHER, 3, 3));
}

#[test]
fn expiry_leads_to_a_new_stream_too_and_a_lost_answer_to_another() {
    let mut rig = Rig::resilient();
    rig.in_flight(UpstreamConfig { expiry_interval: ms(0), ..reopening() }, 1);
    rig.lose();
    let request = one_open(&rig.reconnect());
    rig.lose();
    let again = one_open(&rig.reconnect());
    assert_ne!(request.request_id, again.request_id);
    rig.answer_open(again.request_id, ResultCode::SUCCEEDED);
    assert_eq!(numbers(&rig.sent()), [(8, 1)]);
}

#[test]
fn a_stream_that_cannot_be_opened_anew_ends() {
    let mut rig = Rig::resilient();
    rig.in_flight(reopening(), 1);
    rig.lose();
    let request = one_resume(&rig.reconnect());
    rig.answer_resume(request.request_id, 0, ResultCode::INVALID_RESUME_TOKEN);
    let request = one_open(&rig.sent());
    rig.answer_open(request.request_id, ResultCode::TOO_MANY_STREAMS);
    let end = &rig.upstream_ends()[0];
    assert_eq!(end.error.as_ref().and_then(Error::result_code), Some(ResultCode::TOO_MANY_STREAMS));
    assert_eq!(end.undelivered_chunks, [1]);
}

#[test]
fn a_server_that_forgets_a_stream_on_a_living_connection_is_found_out() {
    let mut rig = Rig::resilient();
    rig.in_flight(reopening(), 2);
    rig.receive(ack(7, &[1], ResultCode::STREAM_NOT_FOUND));
    assert_eq!(rig.sent(), [], "not at once: it may go the same way");
    rig.pass(ms(200));
    let request = one_open(&rig.sent());
    rig.answer_open(request.request_id, ResultCode::SUCCEEDED);
    assert_eq!(numbers(&rig.sent()), [(8, 1), (8, 2)]);
}

#[test]
fn a_stream_without_a_guarantee_that_is_forgotten_counts_what_was_under_way() {
    let mut rig = Rig::resilient();
    let config = UpstreamConfig { ack_timeout: Some(ms(1_000)), qos: Qos::Partial, ..reopening() };
    let upstream = rig.in_flight(config, 2);
    rig.receive(ack(7, &[1], ResultCode::STREAM_NOT_FOUND));
    rig.write(&upstream, "a", b"new");
    rig.pass(ms(200));
    let request = one_open(&rig.sent());
    rig.answer_open(request.request_id, ResultCode::SUCCEEDED);
    assert_eq!(numbers(&rig.sent()), [(8, 1)]);
    rig.receive(ack(8, &[1], ResultCode::SUCCEEDED));
    rig.close_it(&upstream);
    let Message::UpstreamCloseRequest(request) = rig.sends() else { panic!("no close request") };
    assert_eq!((request.total_data_points, request.final_sequence_number), (1, 1));
    rig.receive(Message::UpstreamCloseResponse(reply(request.request_id, ResultCode::SUCCEEDED)));
    assert_eq!(rig.upstream_ends()[0].undelivered_points, 2);
}

#[test]
fn the_time_for_acknowledgements_stands_still_without_a_stream() {
    let mut rig = Rig::resilient();
    rig.in_flight(UpstreamConfig { ack_timeout: Some(ms(1_000)), ..reopening() }, 1);
    rig.receive(ack(7, &[1], ResultCode::STREAM_NOT_FOUND));
    rig.pass(ms(200));
    let request = one_open(&rig.sent());
    rig.pass(ms(5_000));
    rig.answer_open(request.request_id, ResultCode::SUCCEEDED);
    assert_eq!(numbers(&rig.sent()), [(8, 1)]);
    assert_eq!(rig.events.iter().filter(|event| matches!(event, Event::ChunkAcked(..))).count(), 0);
}

#[test]
fn acknowledgements_that_do_not_come_are_failures_after_their_time() {
    let mut rig = Rig::resilient();
    let config = UpstreamConfig { ack_timeout: Some(ms(1_000)), report_acks: true, ..reliable() };
    let upstream = rig.in_flight(config, 2);
    let flush = rig.op();
    rig.core.flush_upstream(flush, upstream.key, FlushLevel::Acknowledged, rig.now, ms(60_000));
    rig.pass(ms(900));
    rig.lose();
    rig.pass(ms(5));
    assert_eq!(numbers(&rig.resume(7)), [(7, 1), (7, 2)]);
    rig.pass(ms(999));
    rig.receive(ack(7, &[2], ResultCode::SUCCEEDED));
    assert!(!rig.is_done(flush));
    rig.pass(ms(1));
    assert_eq!(rig.status(flush), Status::Timeout);
    let outcomes = rig.events.iter().filter_map(|event| match event {
        Event::ChunkAcked(_, outcome) => Some((outcome.sequence_number, outcome.result_code)),
        _ => None,
    });
    assert_eq!(outcomes.collect::<Vec<_>>(), [(2, ResultCode::SUCCEEDED), (1, ResultCode::ACK_TIMEOUT)]);
    rig.receive(ack(7, &[1], ResultCode::SUCCEEDED));
    rig.close_it(&upstream);
    let Message::UpstreamCloseRequest(request) = rig.sends() else { panic!("no close request") };
    rig.receive(Message::UpstreamCloseResponse(reply(request.request_id, ResultCode::SUCCEEDED)));
    assert_eq!(rig.upstream_ends()[0].undelivered_chunks, [1]);
}

#[test]
fn after_an_unknown_alias_data_ids_travel_in_full() {
    let mut rig = Rig::resilient();
    let upstream = rig.in_flight(reliable(), 1);
    rig.receive(ack(7, &[1], ResultCode::INVALID_DATA_ID_ALIAS));
    rig.write(&upstream, "a", b"x");
    let sent = rig.sent();
    assert_eq!(chunks(&sent)[0].data_ids, [id("a")]);
}

#[test]
fn a_resume_that_takes_long_is_waited_for_and_not_asked_twice() {
    let config = ConnectionConfig { ping_interval: ms(3_600_000), ..ConnectionConfig::default() };
    let mut rig = Rig::resilient_with(config);
    rig.in_flight(reliable(), 1);
    rig.lose();
    let request = one_resume(&rig.reconnect());
    rig.pass(ms(45_000));
    assert_eq!(rig.sent(), []);
    rig.answer_resume(request.request_id, 7, ResultCode::SUCCEEDED);
    assert_eq!(numbers(&rig.sent()), [(7, 1)]);
    rig.lose();
    one_resume(&rig.reconnect());
    rig.pass(ms(75_000));
    assert_eq!(rig.upstream_ends()[0].undelivered_chunks, [1]);
    assert!(matches!(rig.sends(), Message::UpstreamCloseRequest(request) if request.stream_id == STREAM));
}

#[test]
fn a_stream_that_ended_while_it_was_resumed_is_closed_at_the_server() {
    let mut rig = Rig::resilient();
    let upstream = rig.in_flight(UpstreamConfig { close_timeout: ms(100), ..reliable() }, 1);
    rig.lose();
    let request = one_resume(&rig.reconnect());
    rig.close_it(&upstream);
    rig.pass(ms(100));
    assert_eq!(rig.upstream_ends().len(), 1);
    rig.answer_resume(request.request_id, 7, ResultCode::SUCCEEDED);
    assert!(matches!(rig.sends(), Message::UpstreamCloseRequest(request) if request.stream_id == STREAM));
}

#[test]
fn an_answer_that_nobody_needs_any_more_does_not_hold_up_the_end() {
    let config = ConnectionConfig { ping_interval: ms(3_600_000), ..ConnectionConfig::default() };
    let mut rig = Rig::resilient_with(config);
    let upstream = rig.in_flight(UpstreamConfig { close_timeout: ms(100), ..reliable() }, 1);
    rig.lose();
    one_resume(&rig.reconnect());
    rig.close_it(&upstream);
    rig.pass(ms(10_000));
    assert!(matches!(rig.sends(), Message::UpstreamCloseRequest(request) if request.stream_id == STREAM));
    let close = rig.op();
    rig.core.close(Some(close), rig.now, ms(5_000));
    assert!(matches!(rig.sends(), Message::Disconnect(_)));
    assert!(rig.outcome(close).is_ok());
}

#[test]
fn every_stream_is_asked_for_upstreams_first() {
    let mut rig = Rig::resilient();
    rig.open_downstream(DownstreamConfig::default());
    rig.in_flight(reliable(), 0);
    rig.lose();
    let sent = rig.reconnect();
    assert!(
        matches!(sent[..], [Message::UpstreamResumeRequest(_), Message::DownstreamResumeRequest(_)]),
        "{sent:?}"
    );
}

#[test]
fn each_stream_sends_its_own_chunks_again() {
    let mut rig = Rig::resilient();
    let first = rig.in_flight(reliable(), 1);
    let op = rig.op();
    rig.core.open_upstream(op, reliable(), rig.now);
    let request = one_open(&rig.sent());
    rig.answer_open(request.request_id, ResultCode::SUCCEEDED);
    let Ok(Output::Upstream(second)) = rig.outcome(op) else { panic!("not opened") };
    rig.write(&second, "b", b"second");
    rig.sends();
    rig.lose();
    let sent = rig.reconnect();
    let [Message::UpstreamResumeRequest(one), Message::UpstreamResumeRequest(two)] = &sent[..] else {
        panic!("{sent:?}");
    };
    assert_eq!((one.stream_id, two.stream_id), (STREAM, OTHER));
    rig.answer_resume(one.request_id, 7, ResultCode::SUCCEEDED);
    assert_eq!(numbers(&rig.sent()), [(7, 1)]);
    rig.receive(ack(7, &[1], ResultCode::SUCCEEDED));
    rig.core.close_upstream(None, first.key, false, rig.now);
    assert!(matches!(rig.sends(), Message::UpstreamCloseRequest(_)));
    rig.answer_resume(two.request_id, 8, ResultCode::SUCCEEDED);
    let sent = rig.sent();
    assert_eq!(numbers(&sent), [(8, 1)]);
    assert_eq!(chunks(&sent)[0].chunk.groups[0].points.iter().next().unwrap().payload, "second");
}

#[test]
fn no_flush_succeeds_for_what_was_lost_or_waits() {
    for qos in [Qos::Unreliable, Qos::Partial] {
        let mut rig = Rig::resilient();
        let upstream = rig.in_flight(UpstreamConfig { qos, ..reliable() }, 1);
        let flush = |rig: &mut Rig, level| {
            let op = rig.op();
            rig.core.flush_upstream(op, upstream.key, level, rig.now, ms(60_000));
            rig.collect();
            op
        };
        let under_way = flush(&mut rig, FlushLevel::Acknowledged);
        rig.lose();
        let lost = rig.outcome(under_way).unwrap_err();
        assert!(lost.message().contains("chunk 1") && lost.message().contains("lost"), "{lost}");
        rig.write(&upstream, "a", b"new");
        let waits = flush(&mut rig, FlushLevel::Sent);
        let request = one_resume(&rig.reconnect());
        assert!(!rig.is_done(waits), "{qos:?}");
        rig.answer_resume(request.request_id, 7, ResultCode::SUCCEEDED);
        assert_eq!(numbers(&rig.sent()), [(7, 2)]);
        assert!(rig.outcome(waits).is_ok());
    }
}

#[test]
fn streams_that_are_being_resumed_are_closed_with_the_connection() {
    let mut rig = Rig::resilient();
    rig.open_downstream(DownstreamConfig::default());
    rig.in_flight(reliable(), 0);
    rig.lose();
    let sent = rig.reconnect();
    let [Message::UpstreamResumeRequest(up), Message::DownstreamResumeRequest(down)] = &sent[..] else {
        panic!("{sent:?}");
    };
    let close = rig.op();
    rig.core.close(Some(close), rig.now, ms(5_000));
    assert_eq!(rig.sent(), []);
    rig.answer_resume(up.request_id, 7, ResultCode::SUCCEEDED);
    let Message::UpstreamCloseRequest(request) = rig.sends() else { panic!("no close request") };
    rig.receive(Message::UpstreamCloseResponse(reply(request.request_id, ResultCode::SUCCEEDED)));
    assert_eq!(rig.sent(), [], "the server may have resumed the downstream");
    rig.receive(Message::DownstreamResumeResponse(DownstreamResumeResponse {
        request_id: down.request_id,
        ..DownstreamResumeResponse::default()
    }));
    let sent = rig.sent();
    assert!(
        matches!(&sent[..], [Message::DownstreamCloseRequest(request), Message::Disconnect(_)]
            if request.stream_id == down.stream_id),
        "{sent:?}"
    );
    assert!(rig.outcome(close).is_ok());
}
