use super::*;
use crate::message::{
    OrAlias, Qos, UpstreamChunk, UpstreamChunkAck, UpstreamChunkResult, UpstreamResumeResponse,
};

fn config(flush_policy: FlushPolicy) -> UpstreamConfig {
    UpstreamConfig { flush_policy, ..UpstreamConfig::default() }
}

fn ack_with(numbers: &[u32], result_code: ResultCode, aliases: Aliases<DataId>) -> Message {
    let results = numbers.iter().map(|number| UpstreamChunkResult {
        sequence_number: *number,
        result_code,
        result_string: String::new(),
    });
    Message::UpstreamChunkAck(UpstreamChunkAck {
        stream_id_alias: 7,
        results: results.collect(),
        data_id_aliases: aliases,
    })
}

fn ack(numbers: &[u32]) -> Message {
    ack_with(numbers, ResultCode::SUCCEEDED, Aliases::new())
}

impl Rig {
    fn chunk(&mut self) -> UpstreamChunk {
        match self.sends() {
            Message::UpstreamChunk(chunk) => chunk,
            other => panic!("{other:?}"),
        }
    }

    /// Opens a stream that sends at once, and sends so many chunks of one point.
    fn sending(&mut self, config: UpstreamConfig, chunks: u32) -> OpenedUpstream {
        let upstream = self
            .open_upstream(UpstreamConfig { flush_policy: FlushPolicy::Immediate, ..config }, Aliases::new());
        for _ in 0..chunks {
            self.write(&upstream, "a", b"x");
            self.chunk();
        }
        upstream
    }

    fn flush(&mut self, upstream: &OpenedUpstream, level: FlushLevel) -> OpId {
        let op = self.op();
        self.core.flush_upstream(op, upstream.key, level, self.now, ms(500));
        self.collect();
        op
    }

    fn close_upstream(&mut self, upstream: &OpenedUpstream) -> OpId {
        let op = self.op();
        self.core.close_upstream(Some(op), upstream.key, true, self.now);
        self.collect();
        op
    }
}

#[test]
fn without_a_policy_only_a_flush_sends() {
    let mut rig = Rig::open();
    let upstream = rig.open_upstream(config(FlushPolicy::None), Aliases::new());
    rig.write(&upstream, "a", &[0; 100_000]);
    rig.pass(ms(9_000));
    assert_eq!(rig.sent(), []);
    rig.flush(&upstream, FlushLevel::Sent);
    assert_eq!(rig.chunk().chunk.groups[0].points.len(), 1);
}

#[test]
fn the_interval_runs_from_the_first_point() {
    let mut rig = Rig::open();
    let upstream = rig.open_upstream(config(FlushPolicy::Interval(ms(50))), Aliases::new());
    rig.pass(ms(30));
    assert_eq!(rig.deadline(), Some(ms(10_000)), "an idle stream costs nothing");
    rig.write(&upstream, "a", b"1");
    assert_eq!(rig.deadline(), Some(ms(80)));
    rig.pass(ms(40));
    rig.write(&upstream, "a", b"2");
    assert_eq!(rig.deadline(), Some(ms(80)));
    assert_eq!(rig.sent(), []);
    rig.pass(ms(10));
    assert_eq!(rig.chunk().chunk.groups[0].points.len(), 2);
    assert_eq!(rig.deadline(), Some(ms(10_000)));
    rig.write(&upstream, "a", b"3");
    assert_eq!(rig.deadline(), Some(ms(130)));
}

#[test]
fn the_size_counts_payload_and_must_be_exceeded() {
    let mut rig = Rig::open();
    let upstream = rig.open_upstream(config(FlushPolicy::Size(10)), Aliases::new());
    rig.write(&upstream, "a", &[0; 10]);
    rig.pass(ms(5_000));
    assert_eq!(rig.sent(), []);
    rig.write(&upstream, "a", &[0; 1]);
    assert_eq!(rig.chunk().chunk.groups[0].points.payload_bytes(), 11);
}

#[test]
fn interval_and_size_work_together() {
    let mut rig = Rig::open();
    let upstream = rig.open_upstream(config(FlushPolicy::IntervalOrSize(ms(50), 10)), Aliases::new());
    rig.write(&upstream, "a", &[0; 11]);
    rig.chunk();
    rig.write(&upstream, "a", &[0; 1]);
    assert_eq!(rig.sent(), []);
    rig.pass(ms(50));
    rig.chunk();
}

#[test]
fn every_write_is_sent_at_once_if_asked_for() {
    let mut rig = Rig::open();
    let upstream = rig.open_upstream(config(FlushPolicy::Immediate), Aliases::new());
    for number in 1..4 {
        rig.write(&upstream, "a", b"");
        assert_eq!(rig.chunk().chunk.sequence_number, number);
    }
}

#[test]
fn a_full_buffer_is_sent_whatever_the_policy() {
    let mut rig = Rig::open();
    let upstream = rig.open_upstream(config(FlushPolicy::None), Aliases::new());
    rig.write(&upstream, "a", b"x");
    rig.core.relieve_upstream(upstream.key);
    rig.chunk();
}

#[test]
fn data_ids_are_listed_until_their_alias_is_known() {
    let mut rig = Rig::open();
    let known = UpstreamConfig { data_ids: vec![id("known")], ..config(FlushPolicy::None) };
    let upstream = rig.open_upstream(known, [(3, id("known"))].into());
    let send = |rig: &mut Rig| {
        rig.write(&upstream, "known", b"x");
        rig.write(&upstream, "new", b"x");
        rig.flush(&upstream, FlushLevel::Sent);
        let chunk = rig.chunk();
        let ids: Vec<_> = chunk.chunk.groups.into_iter().map(|group| group.data_id).collect();
        (chunk.stream_id_alias, chunk.data_ids, ids)
    };
    let full = (7, vec![id("new")], vec![OrAlias::Alias(3), OrAlias::Full(id("new"))]);
    assert_eq!(send(&mut rig), full);
    assert_eq!(send(&mut rig), full, "again, as no alias came");
    rig.receive(ack_with(&[1], ResultCode::SUCCEEDED, [(9, id("new"))].into()));
    let short = (7, vec![], vec![OrAlias::Alias(3), OrAlias::Alias(9)]);
    assert_eq!(send(&mut rig), short);
    let others = [(8, id("new")), (10, id("known"))].into();
    rig.receive(ack_with(&[2], ResultCode::SUCCEEDED, others));
    assert_eq!(send(&mut rig), short, "the first alias stays");
}

#[test]
fn acks_may_be_batched_repeated_and_unknown() {
    let mut rig = Rig::open();
    let reporting = UpstreamConfig { report_acks: true, ..UpstreamConfig::default() };
    let upstream = rig.sending(reporting, 3);
    rig.receive(ack(&[3, 1, 1, 99]));
    rig.receive(ack(&[3]));
    rig.receive(ack(&[2]));
    let outcomes: Vec<_> = rig
        .events
        .iter()
        .filter_map(|event| match event {
            Event::ChunkAcked(_, outcome) => Some((outcome.sequence_number, outcome.result_code)),
            _ => None,
        })
        .collect();
    assert_eq!(outcomes, [3, 1, 2].map(|number| (number, ResultCode::SUCCEEDED)));
    let in_flight = &upstream.buffer.counters.in_flight_chunks;
    assert_eq!(in_flight.load(std::sync::atomic::Ordering::Relaxed), 0);
}

#[test]
fn a_refused_chunk_fails_the_flush_and_the_close() {
    let mut rig = Rig::open();
    let upstream = rig.sending(UpstreamConfig::default(), 2);
    let flush = rig.flush(&upstream, FlushLevel::Acknowledged);
    rig.receive(ack_with(&[2], ResultCode::INVALID_PAYLOAD, Aliases::new()));
    assert!(!rig.is_done(flush));
    rig.receive(ack(&[1]));
    assert_eq!(rig.status(flush), Status::Refused);
    let close = rig.close_upstream(&upstream);
    let Message::UpstreamCloseRequest(request) = rig.sends() else {
        panic!("no close request");
    };
    rig.receive(Message::UpstreamCloseResponse(reply(request.request_id, ResultCode::SUCCEEDED)));
    assert_eq!(rig.status(close), Status::Refused);
    let ends = rig.upstream_ends();
    assert_eq!((ends[0].undelivered_points, &ends[0].undelivered_chunks[..]), (1, &[2][..]));
}

#[test]
fn a_flush_to_send_ends_when_the_chunk_leaves() {
    let mut rig = Rig::open();
    let upstream = rig.open_upstream(config(FlushPolicy::None), Aliases::new());
    let empty = rig.flush(&upstream, FlushLevel::Sent);
    assert!(rig.outcome(empty).is_ok(), "nothing to send");
    rig.write(&upstream, "a", b"x");
    let flush = rig.flush(&upstream, FlushLevel::Sent);
    assert!(!rig.is_done(flush));
    rig.chunk();
    assert!(rig.outcome(flush).is_ok());
}

#[test]
fn a_flush_to_acknowledge_waits_for_every_chunk_before_it() {
    let mut rig = Rig::open();
    let upstream = rig.sending(UpstreamConfig::default(), 2);
    let flush = rig.flush(&upstream, FlushLevel::Acknowledged);
    rig.write(&upstream, "a", b"later");
    rig.chunk();
    rig.receive(ack(&[2]));
    assert!(!rig.is_done(flush));
    rig.receive(ack(&[1]));
    assert!(rig.outcome(flush).is_ok());
}

#[test]
fn a_flush_times_out_and_the_stream_goes_on() {
    let mut rig = Rig::open();
    let upstream = rig.sending(UpstreamConfig::default(), 1);
    let flush = rig.flush(&upstream, FlushLevel::Acknowledged);
    rig.pass(ms(499));
    assert!(!rig.is_done(flush));
    rig.pass(ms(1));
    assert_eq!(rig.status(flush), Status::Timeout);
    rig.receive(ack(&[1]));
    rig.write(&upstream, "a", b"x");
    assert_eq!(rig.chunk().chunk.sequence_number, 2);
}

#[test]
fn closing_sends_the_rest_waits_for_acks_and_tells_the_totals() {
    let mut rig = Rig::open();
    let upstream = rig.open_upstream(config(FlushPolicy::None), Aliases::new());
    rig.write(&upstream, "a", b"x");
    rig.write(&upstream, "b", b"x");
    let close = rig.close_upstream(&upstream);
    assert_eq!(upstream.buffer.lock().push(0, 1, b""), Err(Status::Closed));
    assert_eq!(rig.chunk().chunk.groups.len(), 2);
    assert_eq!(rig.sent(), [], "the ack is missing");
    rig.receive(ack(&[1]));
    let Message::UpstreamCloseRequest(request) = rig.sends() else {
        panic!("no close request");
    };
    assert_eq!(
        (request.total_data_points, request.final_sequence_number, request.close_session),
        (2, 1, true)
    );
    let second = rig.close_upstream(&upstream);
    assert_eq!(rig.status(second), Status::Closed);
    rig.receive(Message::UpstreamCloseResponse(reply(request.request_id, ResultCode::SUCCEEDED)));
    assert!(rig.outcome(close).is_ok());
    assert_eq!(
        rig.upstream_ends(),
        [UpstreamEnd { error: None, undelivered_points: 0, undelivered_chunks: vec![] }]
    );
}

#[test]
fn closing_an_unused_stream_tells_zero() {
    let mut rig = Rig::open();
    let upstream = rig.open_upstream(UpstreamConfig::default(), Aliases::new());
    rig.close_upstream(&upstream);
    let Message::UpstreamCloseRequest(request) = rig.sends() else {
        panic!("no close request");
    };
    assert_eq!((request.total_data_points, request.final_sequence_number), (0, 0));
}

#[test]
fn a_refused_close_is_an_error() {
    let mut rig = Rig::open();
    let upstream = rig.open_upstream(UpstreamConfig::default(), Aliases::new());
    let close = rig.close_upstream(&upstream);
    let Message::UpstreamCloseRequest(request) = rig.sends() else {
        panic!("no close request");
    };
    rig.receive(Message::UpstreamCloseResponse(reply(request.request_id, ResultCode::STREAM_NOT_FOUND)));
    assert_eq!(rig.status(close), Status::Refused);
    assert_eq!(rig.upstream_ends().len(), 1);
}

#[test]
fn a_close_that_times_out_reports_what_is_undelivered_and_ends_every_flush() {
    let mut rig = Rig::open();
    let reliable = UpstreamConfig {
        qos: Qos::Reliable,
        in_flight_limit: 1,
        close_timeout: ms(400),
        ..UpstreamConfig::default()
    };
    let upstream = rig.sending(reliable, 1);
    // Held back by the limit.
    rig.write(&upstream, "a", b"x");
    rig.write(&upstream, "a", b"x");
    assert_eq!(rig.sent(), []);
    let sent = rig.flush(&upstream, FlushLevel::Sent);
    let acknowledged = rig.flush(&upstream, FlushLevel::Acknowledged);
    let close = rig.close_upstream(&upstream);
    rig.pass(ms(400));
    assert_eq!(rig.status(sent), Status::Timeout);
    assert_eq!(rig.status(acknowledged), Status::Timeout);
    let Message::UpstreamCloseRequest(request) = rig.sends() else {
        panic!("no close request");
    };
    rig.receive(ack(&[1]));
    rig.receive(Message::UpstreamCloseResponse(reply(request.request_id, ResultCode::SUCCEEDED)));
    assert_eq!(rig.status(close), Status::Timeout);
    let ends = rig.upstream_ends();
    assert_eq!((ends[0].undelivered_points, &ends[0].undelivered_chunks[..]), (3, &[1][..]));
}

#[test]
fn a_close_ends_even_if_the_transport_takes_nothing() {
    let mut rig = Rig::open();
    let upstream = rig.open_upstream(UpstreamConfig::default(), Aliases::new());
    let close = rig.close_upstream(&upstream);
    // Both time-outs, with the server heard all the time so that keep-alive does not end it.
    for _ in 0..40 {
        rig.pass(ms(500));
        rig.receive(Message::Ping(1));
    }
    assert_eq!(rig.status(close), Status::Timeout);
    assert!(!rig.core.is_closed());
}

#[test]
fn reliable_chunks_wait_for_the_window_others_do_not() {
    for (qos, expected) in [(Qos::Reliable, 1), (Qos::Partial, 2), (Qos::Unreliable, 2)] {
        let mut rig = Rig::open();
        let limited = UpstreamConfig { qos, in_flight_limit: 1, ..UpstreamConfig::default() };
        let upstream = rig.sending(limited, 1);
        rig.write(&upstream, "a", b"x");
        assert_eq!(1 + rig.sent().len(), expected, "{qos:?}");
        rig.receive(ack(&[1]));
        assert_eq!(rig.sent().len(), 2 - expected, "{qos:?}");
    }
}

#[test]
fn chunks_that_are_never_acknowledged_count_as_undelivered_in_the_end() {
    let mut rig = Rig::open();
    let chunks = 65_536 + 2;
    let upstream = rig.sending(UpstreamConfig::default(), chunks);
    let failed = &upstream.buffer.counters.failed_points;
    assert_eq!(failed.load(std::sync::atomic::Ordering::Relaxed), 2);
    rig.lose();
    rig.collect();
    let ends = rig.upstream_ends();
    assert_eq!(ends[0].undelivered_points, u64::from(chunks));
    assert!(ends[0].undelivered_chunks.iter().copied().eq(1..=chunks));
}

/// A stream whose chunks go by datagram, acknowledged every 10 ms, and some chunks of it.
fn by_datagram(rig: &mut Rig, chunks: u32) -> OpenedUpstream {
    rig.core.use_datagrams();
    let config = UpstreamConfig { qos: Qos::Unreliable, ack_interval: ms(10), ..UpstreamConfig::default() };
    rig.sending(config, chunks)
}

#[test]
fn datagrams_do_not_wait_for_the_stream() {
    let mut rig = Rig::open();
    let upstream = by_datagram(&mut rig, 0);
    rig.core.send_base_time(OpId(90), crate::message::BaseTime::default(), false, rig.now);
    for payload in [&b"x"[..], &vec![0; CHUNK_LIMIT + 1]] {
        rig.write(&upstream, "a", payload);
    }
    assert!(rig.core.poll_datagram(1 << 20, rig.now).is_none(), "too large to be certain");
    // Nothing but chunks, and in their order.
    assert!(matches!(rig.core.poll_transmit(rig.now), Some(Message::UpstreamMetadata(_))));
    assert!(matches!(&rig.sent()[..], [Message::UpstreamChunk(_), Message::UpstreamChunk(_)]));
    rig.write(&upstream, "a", b"x");
    rig.core.send_base_time(OpId(91), crate::message::BaseTime::default(), false, rig.now);
    assert_eq!(rig.core.poll_datagram(3, rig.now), None);
    let Some(Message::UpstreamChunk(chunk)) = rig.core.poll_datagram(1 << 20, rig.now) else {
        panic!("no chunk");
    };
    assert_eq!(chunk.chunk.sequence_number, 3);
    assert_eq!(rig.core.poll_datagram(1 << 20, rig.now), None);
}

#[test]
fn a_stream_on_a_transport_without_datagrams_has_none() {
    let mut rig = Rig::open();
    let config = UpstreamConfig { qos: Qos::Unreliable, ..config(FlushPolicy::Immediate) };
    let upstream = rig.open_upstream(config, Aliases::new());
    rig.write(&upstream, "a", b"x");
    assert_eq!(rig.core.poll_datagram(1 << 20, rig.now), None);
    rig.chunk();
}

#[test]
fn closing_waits_for_datagrams_only_as_long_as_an_acknowledgement_takes() {
    let mut rig = Rig::open();
    let upstream = by_datagram(&mut rig, 3);
    rig.receive(ack(&[1, 3]));
    let close = rig.close_upstream(&upstream);
    rig.pass(ms(1_009));
    assert_eq!(rig.sent(), []);
    rig.pass(ms(1));
    let Message::UpstreamCloseRequest(request) = rig.sends() else {
        panic!("no close request");
    };
    assert_eq!((request.total_data_points, request.final_sequence_number), (3, 3));
    rig.receive(Message::UpstreamCloseResponse(reply(request.request_id, ResultCode::SUCCEEDED)));
    assert!(rig.outcome(close).is_ok(), "losses are what the QoS means");
    let ends = rig.upstream_ends();
    assert_eq!((&ends[0].error, ends[0].undelivered_points), (&None, 1));
    assert_eq!(ends[0].undelivered_chunks, [2]);
}

#[test]
fn closing_after_a_pause_does_not_wait_for_lost_datagrams() {
    let mut rig = Rig::open();
    let upstream = by_datagram(&mut rig, 1);
    rig.pass(ms(1_010));
    rig.sent();
    rig.close_upstream(&upstream);
    rig.pass(ms(0));
    assert!(matches!(rig.sends(), Message::UpstreamCloseRequest(_)));
}

#[test]
fn closing_still_sends_what_is_buffered_before_it_counts_losses() {
    let mut rig = Rig::open();
    let upstream = by_datagram(&mut rig, 1);
    rig.write(&upstream, "a", b"unsent");
    let close = rig.close_upstream(&upstream);
    // The transport takes nothing for a while.
    rig.core.handle_timeout(rig.now + ms(1_500));
    rig.now += ms(1_500);
    assert_eq!(rig.chunk().chunk.sequence_number, 2);
    rig.receive(ack(&[1, 2]));
    assert!(matches!(rig.sends(), Message::UpstreamCloseRequest(_)));
    assert!(!rig.is_done(close));
}

#[test]
fn a_lost_datagram_is_given_up_once_later_ones_are_acknowledged() {
    let mut rig = Rig::open();
    let upstream = by_datagram(&mut rig, 2);
    let in_flight = || upstream.buffer.counters.in_flight_chunks.load(std::sync::atomic::Ordering::Relaxed);
    let op = rig.op();
    rig.core.flush_upstream(op, upstream.key, FlushLevel::Acknowledged, rig.now, ms(5_000));
    rig.receive(ack(&[2]));
    assert_eq!(in_flight(), 1, "it may still be under way");
    rig.pass(ms(1_010));
    rig.write(&upstream, "a", b"x");
    rig.chunk();
    rig.receive(ack(&[3]));
    assert_eq!(in_flight(), 0);
    let lost = rig.outcome(op).unwrap_err();
    assert!(lost.message().contains("chunk 1") && lost.message().contains("lost"), "{lost}");
    // Late is as good as never, and nobody else is told.
    rig.receive(ack(&[1]));
    let next = rig.flush(&upstream, FlushLevel::Acknowledged);
    assert!(rig.outcome(next).is_ok());
    let failed = &upstream.buffer.counters.failed_points;
    assert_eq!(failed.load(std::sync::atomic::Ordering::Relaxed), 1);
}

#[test]
fn upstreams_take_turns() {
    let mut rig = Rig::open();
    let busy = rig.open_upstream(config(FlushPolicy::Immediate), Aliases::new());
    for _ in 0..3 {
        rig.write(&busy, "a", &vec![0; CHUNK_LIMIT]);
    }
    let op = rig.op();
    rig.core.open_upstream(op, config(FlushPolicy::Immediate), rig.now);
    let opened = |rig: &mut Rig| {
        // The request goes before the chunks.
        match rig.core.poll_transmit(rig.now) {
            Some(Message::UpstreamOpenRequest(request)) => request.request_id,
            other => panic!("{other:?}"),
        }
    };
    let request_id = opened(&mut rig);
    rig.receive(Message::UpstreamOpenResponse(UpstreamOpenResponse {
        request_id,
        stream_id: Uuid::from_u128(9),
        stream_id_alias: 8,
        ..UpstreamOpenResponse::default()
    }));
    let Ok(Output::Upstream(other)) = rig.outcome(op) else {
        panic!("not opened");
    };
    rig.write(&other, "a", b"x");
    let aliases: Vec<_> = rig
        .sent()
        .into_iter()
        .map(|message| match message {
            Message::UpstreamChunk(chunk) => chunk.stream_id_alias,
            other => panic!("{other:?}"),
        })
        .collect();
    assert_eq!(aliases, [7, 8, 7, 7]);
}

#[test]
fn a_busy_stream_does_not_hold_up_the_close_of_another() {
    let mut rig = Rig::open();
    let busy = rig.open_upstream(config(FlushPolicy::Immediate), Aliases::new());
    let downstream = rig.open_downstream(DownstreamConfig::default());
    rig.write(&busy, "a", b"x");
    rig.core.close_downstream(None, downstream.key, rig.now);
    assert!(matches!(rig.sent()[0], Message::DownstreamCloseRequest(_)));
}

#[test]
fn a_stream_opened_too_late_is_closed_again() {
    let mut rig = Rig::open();
    let op = rig.op();
    rig.core.open_upstream(op, UpstreamConfig::default(), rig.now);
    rig.sent();
    rig.pass(ms(10_000));
    assert_eq!(rig.status(op), Status::Timeout);
    rig.sent();
    let response = UpstreamOpenResponse {
        request_id: 2,
        stream_id: STREAM,
        stream_id_alias: 7,
        ..UpstreamOpenResponse::default()
    };
    rig.receive(Message::UpstreamOpenResponse(response));
    let Message::UpstreamCloseRequest(request) = rig.sends() else {
        panic!("no close request");
    };
    assert_eq!(request.stream_id, STREAM);
    rig.receive(Message::UpstreamCloseResponse(reply(request.request_id, ResultCode::SUCCEEDED)));
    assert!(rig.upstream_ends().is_empty());
}

#[test]
fn an_answer_of_another_kind_is_no_answer() {
    let mut rig = Rig::open();
    let op = rig.op();
    rig.core.open_upstream(op, UpstreamConfig::default(), rig.now);
    rig.sent();
    rig.receive(Message::UpstreamMetadataAck(reply(2, ResultCode::SUCCEEDED)));
    assert!(!rig.is_done(op));
    rig.pass(ms(10_000));
    assert_eq!(rig.status(op), Status::Timeout);
}

#[test]
fn points_written_right_behind_the_open_are_sent() {
    for qos in [Qos::Reliable, Qos::Partial, Qos::Unreliable] {
        for closes in [false, true] {
            let mut rig = Rig::open();
            let config = UpstreamConfig { qos, ..UpstreamConfig::default() };
            let upstream = rig.open_upstream(config, Aliases::new());
            rig.write(&upstream, "a", b"1");
            rig.write(&upstream, "a", b"2");
            if !closes {
                rig.pass(ms(1_000));
            }
            rig.close_upstream(&upstream);
            let chunk = rig.chunk().chunk;
            assert_eq!((chunk.sequence_number, chunk.groups[0].points.len()), (1, 2), "{qos:?}");
            rig.receive(ack(&[1]));
            let Message::UpstreamCloseRequest(request) = rig.sends() else { panic!("no close request") };
            assert_eq!((request.total_data_points, request.final_sequence_number), (2, 1), "{qos:?}");
        }
    }
}

#[test]
fn acknowledgements_do_not_stretch_the_interval() {
    let mut rig = Rig::open();
    let upstream = rig.open_upstream(config(FlushPolicy::Interval(ms(50))), Aliases::new());
    rig.write(&upstream, "a", b"1");
    rig.pass(ms(50));
    rig.chunk();
    rig.write(&upstream, "a", b"2");
    for number in [0, 1, 1, 2] {
        rig.pass(ms(10));
        rig.receive(ack_with(&[number], ResultCode::SUCCEEDED, [(number + 1, id("a"))].into()));
        assert_eq!(rig.sent(), []);
    }
    rig.pass(ms(10));
    assert_eq!(rig.chunk().chunk.sequence_number, 2);
}

#[test]
fn sequence_numbers_do_not_wrap() {
    let mut rig = Rig::open();
    let stream = RestoredStream {
        stream_id: STREAM,
        resume_token: String::new(),
        last_sequence_number: u32::MAX - 1,
        total_points: 0,
        chunks: Vec::new(),
    };
    let restored = RestoredUpstream { data_ids: vec![id("a")], stream: Some(stream), next_point: 0 };
    let op = rig.op();
    let config = UpstreamConfig { close_timeout: ms(400), ..config(FlushPolicy::Immediate) };
    rig.core.restore_upstream(op, config, restored, rig.now);
    rig.collect();
    let Ok(Output::Upstream(upstream)) = rig.outcome(op) else { panic!("not opened") };
    let Message::UpstreamResumeRequest(request) = rig.sends() else { panic!("no resume request") };
    rig.receive(Message::UpstreamResumeResponse(UpstreamResumeResponse {
        request_id: request.request_id,
        stream_id_alias: 7,
        ..UpstreamResumeResponse::default()
    }));
    rig.write(&upstream, "a", b"last");
    assert_eq!(rig.chunk().chunk.sequence_number, u32::MAX);
    rig.receive(ack(&[u32::MAX]));
    rig.write(&upstream, "a", b"one more");
    let flush = rig.flush(&upstream, FlushLevel::Sent);
    assert_eq!(rig.sent(), []);
    assert_eq!(rig.status(flush), Status::SequenceExhausted);
    assert_eq!(upstream.buffer.lock().push(0, 1, b""), Err(Status::SequenceExhausted));
    let close = rig.close_upstream(&upstream);
    rig.pass(ms(400));
    let Message::UpstreamCloseRequest(request) = rig.sends() else { panic!("no close request") };
    assert_eq!(request.final_sequence_number, u32::MAX);
    rig.receive(Message::UpstreamCloseResponse(reply(request.request_id, ResultCode::SUCCEEDED)));
    assert!(rig.outcome(close).is_err());
    assert_eq!(rig.upstream_ends()[0].undelivered_points, 1);
}

#[test]
fn the_open_request_has_the_units_of_the_protocol() {
    let mut rig = Rig::open();
    let op = rig.op();
    let config =
        UpstreamConfig { ack_interval: ms(250), expiry_interval: ms(7_000), ..UpstreamConfig::default() };
    rig.core.open_upstream(op, config, rig.now);
    let Message::UpstreamOpenRequest(request) = rig.sends() else { panic!("no open request") };
    assert_eq!((request.ack_interval_ms, request.expiry_interval_s), (250, 7));
}

#[test]
fn opens_that_fail_harm_nobody() {
    let mut rig = Rig::open();
    let upstream = rig.sending(UpstreamConfig::default(), 1);
    for _ in 0..20 {
        let op = rig.op();
        rig.core.open_upstream(op, UpstreamConfig::default(), rig.now);
        let Message::UpstreamOpenRequest(request) = rig.sends() else { panic!("no open request") };
        rig.receive(Message::UpstreamOpenResponse(UpstreamOpenResponse {
            request_id: request.request_id,
            result_code: ResultCode::TOO_MANY_STREAMS,
            ..UpstreamOpenResponse::default()
        }));
        assert_eq!(rig.status(op), Status::Refused);
    }
    assert!(!rig.core.is_closed() && rig.upstream_ends().is_empty());
    rig.write(&upstream, "a", b"x");
    assert_eq!(rig.chunk().chunk.sequence_number, 2);
}

#[test]
fn only_chunks_of_unreliable_streams_go_by_datagram() {
    for qos in [Qos::Reliable, Qos::Partial, Qos::Unreliable] {
        let mut rig = Rig::open();
        rig.core.use_datagrams();
        let upstream = rig.sending(UpstreamConfig { qos, ..UpstreamConfig::default() }, 0);
        rig.write(&upstream, "a", b"x");
        assert_eq!(rig.core.poll_datagram(1_000, rig.now).is_some(), qos == Qos::Unreliable, "{qos:?}");
        rig.write(&upstream, "a", b"x");
        let sent = rig.sent();
        let lossy = sent.iter().map(|message| rig.core.is_unreliable(message));
        assert!(lossy.into_iter().all(|lossy| lossy == (qos == Qos::Unreliable)), "{qos:?}");
    }
}

#[test]
fn data_ids_may_have_colons_anywhere() {
    let mut rig = Rig::open();
    let upstream = rig.open_upstream(config(FlushPolicy::None), Aliases::new());
    let ids = [DataId::new("a:b", "c"), DataId::new("b", "c:a"), DataId::new("b:c", "a")];
    let send = |rig: &mut Rig| {
        for id in &ids {
            let mut buffer = upstream.buffer.lock();
            let index = buffer.data_id(id.clone()).unwrap();
            buffer.push(index, 1, b"x").unwrap();
        }
        rig.flush(&upstream, FlushLevel::Sent);
        rig.chunk().chunk.groups.into_iter().map(|group| group.data_id).collect::<Vec<_>>()
    };
    assert_eq!(send(&mut rig), ids.clone().map(OrAlias::Full));
    let aliases = (1..).zip(ids.iter().cloned()).collect();
    rig.receive(ack_with(&[1], ResultCode::SUCCEEDED, aliases));
    assert_eq!(send(&mut rig), [1, 2, 3].map(OrAlias::Alias));
}
