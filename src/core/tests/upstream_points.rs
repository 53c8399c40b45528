//! What becomes of single points, and what the application is shown of them.

use std::sync::atomic::Ordering::Relaxed;

use super::*;
use crate::message::{PointsBuf, Qos, UpstreamChunk, UpstreamChunkAck, UpstreamChunkResult};

fn immediate(qos: Qos) -> UpstreamConfig {
    UpstreamConfig { qos, flush_policy: FlushPolicy::Immediate, ..UpstreamConfig::default() }
}

fn ack(alias: u32, number: u32, result_code: ResultCode) -> Message {
    let result = UpstreamChunkResult { sequence_number: number, result_code, result_string: String::new() };
    Message::UpstreamChunkAck(UpstreamChunkAck {
        stream_id_alias: alias,
        results: vec![result],
        data_id_aliases: Aliases::new(),
    })
}

impl Rig {
    /// Writes a point and waits for its outcome. Gives its number.
    fn write_awaited(&mut self, upstream: &OpenedUpstream, payload: &[u8]) -> u64 {
        self.write(upstream, "a", payload);
        let mut buffer = upstream.buffer.lock();
        let number = buffer.written() - 1;
        buffer.await_point(number);
        number
    }

    fn chunks_sent(&mut self) -> Vec<UpstreamChunk> {
        let chunks = self.sent().into_iter().filter_map(|message| match message {
            Message::UpstreamChunk(chunk) => Some(chunk),
            _ => None,
        });
        chunks.collect()
    }

    /// Outcomes of points so far, in the order in which they came.
    fn settled(&self) -> Vec<(u64, Option<Status>)> {
        let settled = self.events.iter().filter_map(|event| match event {
            Event::PointsSettled(_, points, outcome) => {
                let status = outcome.as_ref().err().map(Error::status);
                Some(points.iter().map(move |point| (*point, status)))
            }
            _ => None,
        });
        settled.flatten().collect()
    }
}

#[test]
fn each_awaited_point_has_the_outcome_of_its_chunk() {
    let mut rig = Rig::open();
    let upstream = rig.open_upstream(immediate(Qos::Reliable), Aliases::new());
    for _ in 0..2 {
        rig.write(&upstream, "a", b"x");
        rig.write_awaited(&upstream, b"y");
        rig.write_awaited(&upstream, b"z");
        assert_eq!(rig.chunks_sent().len(), 1);
    }
    rig.write(&upstream, "a", b"x");
    assert_eq!(rig.chunks_sent().len(), 1);
    assert_eq!(rig.settled(), []);
    rig.receive(ack(7, 3, ResultCode::SUCCEEDED));
    assert_eq!(rig.settled(), [], "nobody waits for it");
    rig.receive(ack(7, 2, ResultCode::INVALID_PAYLOAD));
    rig.receive(ack(7, 1, ResultCode::SUCCEEDED));
    rig.receive(ack(7, 1, ResultCode::INVALID_PAYLOAD));
    let refused = Some(Status::Refused);
    assert_eq!(rig.settled(), [(4, refused), (5, refused), (1, None), (2, None)]);
}

#[test]
fn an_awaited_point_waits_through_the_outage_if_it_is_sent_again() {
    for (qos, outcome) in [
        (Qos::Reliable, vec![(0, None)]),
        (Qos::Partial, vec![(0, Some(Status::Timeout))]),
        (Qos::Unreliable, vec![(0, Some(Status::Timeout))]),
    ] {
        let mut rig = Rig::resilient();
        let upstream = rig.open_upstream(immediate(qos), Aliases::new());
        rig.write_awaited(&upstream, b"x");
        rig.chunks_sent();
        assert_eq!(upstream.buffer.state(), UpstreamState::Open);
        rig.lose();
        assert_eq!(upstream.buffer.state(), UpstreamState::Resuming);
        assert_eq!(rig.settled().is_empty(), qos == Qos::Reliable);
        let [Message::UpstreamResumeRequest(request)] = &rig.reconnect()[..] else { panic!("no resume") };
        rig.receive(Message::UpstreamResumeResponse(crate::message::UpstreamResumeResponse {
            request_id: request.request_id,
            stream_id_alias: 9,
            ..Default::default()
        }));
        assert_eq!(upstream.buffer.state(), UpstreamState::Open);
        rig.chunks_sent();
        rig.receive(ack(9, 1, ResultCode::SUCCEEDED));
        assert_eq!(rig.settled(), outcome);
    }
}

#[test]
fn an_acknowledgement_that_does_not_come_in_time_is_an_outcome() {
    let mut rig = Rig::open();
    let config = UpstreamConfig { ack_timeout: Some(ms(200)), ..immediate(Qos::Reliable) };
    let upstream = rig.open_upstream(config, Aliases::new());
    rig.write_awaited(&upstream, b"x");
    rig.chunks_sent();
    rig.pass(ms(199));
    assert_eq!(rig.settled(), []);
    rig.pass(ms(1));
    assert_eq!(rig.settled(), [(0, Some(Status::Timeout))]);
    rig.receive(ack(7, 1, ResultCode::SUCCEEDED));
    assert_eq!(rig.settled().len(), 1);
}

#[test]
fn closing_gives_up_awaited_points_that_are_sent_and_that_are_not() {
    let mut rig = Rig::open();
    let config = UpstreamConfig { in_flight_limit: 1, close_timeout: ms(500), ..immediate(Qos::Reliable) };
    let upstream = rig.open_upstream(config, Aliases::new());
    rig.write_awaited(&upstream, b"sent");
    assert_eq!(rig.chunks_sent().len(), 1);
    rig.write_awaited(&upstream, b"not sent");
    let op = rig.op();
    rig.core.close_upstream(Some(op), upstream.key, false, rig.now);
    assert_eq!(upstream.buffer.state(), UpstreamState::Closing);
    rig.pass(ms(500));
    let late = Some(Status::Timeout);
    let mut settled = rig.settled();
    settled.sort_by_key(|(point, _)| *point);
    assert_eq!(settled, [(0, late), (1, late)]);
    let Some(Message::UpstreamCloseRequest(request)) = rig.sent().pop() else { panic!("no close request") };
    rig.receive(Message::UpstreamCloseResponse(reply(request.request_id, ResultCode::SUCCEEDED)));
    assert_eq!(upstream.buffer.state(), UpstreamState::Closed);
}

#[test]
fn dropped_points_are_told_and_counted_at_the_end() {
    let mut rig = Rig::resilient();
    let config = UpstreamConfig { drop_oldest: true, buffer_limit: 3200, ..immediate(Qos::Unreliable) };
    let upstream = rig.open_upstream(config, Aliases::new());
    rig.lose();
    let first = rig.write_awaited(&upstream, &[0; 100]);
    let mut told = false;
    for _ in 0..50 {
        told |= upstream.buffer.lock().make_room(123);
        rig.write(&upstream, "a", &[0; 100]);
    }
    assert!(told);
    rig.core.attend_upstream(upstream.key, rig.now);
    rig.collect();
    assert_eq!(rig.settled(), [(first, Some(Status::Overflow))]);
    let dropped = upstream.buffer.lock().dropped();
    assert!(dropped > 20, "{dropped}");
    rig.core.close(None, rig.now, ms(100));
    rig.collect();
    let end = &rig.upstream_ends()[0];
    assert_eq!((end.undelivered_points, &end.undelivered_chunks[..]), (51, &[][..]));
}

#[test]
fn points_are_sorted_within_a_chunk_if_asked_for() {
    for sorted in [false, true] {
        let mut rig = Rig::open();
        let config = UpstreamConfig { points_sorted: sorted, ..immediate(Qos::Reliable) };
        let upstream = rig.open_upstream(config, Aliases::new());
        {
            let mut buffer = upstream.buffer.lock();
            let [a, b] = ["a", "b"].map(|name| buffer.data_id(id(name)).unwrap());
            for (id, time, payload) in [(a, 3, "1"), (b, 9, "2"), (a, -1, "3"), (b, 8, "4"), (a, 3, "5")] {
                buffer.push(id, time, payload.as_bytes()).unwrap();
            }
        }
        rig.core.attend_upstream(upstream.key, rig.now);
        let chunk = rig.chunks_sent().remove(0).chunk;
        let points: Vec<Vec<_>> = chunk
            .groups
            .iter()
            .map(|group| group.points.iter().map(|point| (point.elapsed_time, point.payload[0])).collect())
            .collect();
        let expected = if sorted {
            [vec![(-1, b'3'), (3, b'1'), (3, b'5')], vec![(8, b'4'), (9, b'2')]]
        } else {
            [vec![(3, b'1'), (-1, b'3'), (3, b'5')], vec![(9, b'2'), (8, b'4')]]
        };
        assert_eq!(points, expected);
    }
}

#[test]
fn a_chunk_is_shown_once_under_its_names_and_not_copied() {
    let mut rig = Rig::resilient();
    let config =
        UpstreamConfig { report_chunks: true, session_id: "session".to_owned(), ..immediate(Qos::Reliable) };
    let upstream = rig.open_upstream(config, [(4, id("a"))].into());
    rig.write(&upstream, "a", b"payload");
    let message = rig.sends();
    let (key, chunk, bytes) = rig.core.take_to_show(&message).expect("a chunk to show");
    assert_eq!(
        (key, chunk.sequence_number, bytes),
        (upstream.key, 1, chunk.groups[0].points.as_bytes().len())
    );
    assert_eq!((&*chunk.upstream.source_node_id, &*chunk.upstream.session_id), ("node", "session"));
    assert_eq!((chunk.upstream.stream_id, &*chunk.groups[0].data_id), (STREAM, &id("a")));
    let Message::UpstreamChunk(sent) = &message else { panic!("{message:?}") };
    let memory = |points: &crate::message::Points| points.as_bytes().as_ptr();
    assert_eq!(memory(&chunk.groups[0].points), memory(&sent.chunk.groups[0].points));
    assert!(rig.core.take_to_show(&message).is_none());
    // Sent again it is not shown again.
    rig.lose();
    let [Message::UpstreamResumeRequest(request)] = &rig.reconnect()[..] else { panic!("no resume") };
    rig.receive(Message::UpstreamResumeResponse(crate::message::UpstreamResumeResponse {
        request_id: request.request_id,
        stream_id_alias: 9,
        ..Default::default()
    }));
    let again = rig.sends();
    assert!(matches!(again, Message::UpstreamChunk(_)) && rig.core.take_to_show(&again).is_none());
}

#[test]
fn chunks_wait_for_an_application_that_does_not_look_at_them() {
    let mut rig = Rig::open();
    let config = UpstreamConfig { report_chunks: true, in_flight_limit: 1000, ..immediate(Qos::Unreliable) };
    let upstream = rig.open_upstream(config, Aliases::new());
    let mut unseen = Vec::new();
    let mut waiting = |rig: &mut Rig| {
        rig.write(&upstream, "a", &[0; 400]);
        let sent = rig.sent();
        unseen.extend(sent.iter().filter_map(|message| rig.core.take_to_show(message)));
        sent.is_empty()
    };
    assert!(!waiting(&mut rig) && !waiting(&mut rig) && !waiting(&mut rig));
    assert!(waiting(&mut rig) && waiting(&mut rig), "more than 1000 bytes were not looked at");
    let held: Vec<_> = unseen.iter().map(|(_, _, bytes)| upstream.buffer.told(*bytes)).collect();
    assert_eq!(held, [true, false, false], "once there is room again the connection is to look");
    assert_eq!(rig.chunks_sent().len(), 1);
    assert_eq!(upstream.buffer.counters.total_points.load(Relaxed), 5);
}

impl Rig {
    /// Writes a point of its own chunk as an application does, and tells where it lies.
    fn send_from(&mut self, upstream: &OpenedUpstream, size: usize) -> *const u8 {
        let payload = vec![7; size];
        let mut buffer = upstream.buffer.lock();
        let index = buffer.data_id(id("a")).unwrap();
        let pushed = if size < LARGE {
            buffer.push(index, 1, &payload)
        } else {
            let memory = buffer.memory_for(index, 1, &payload).unwrap().expect("there is room");
            let mut point = PointsBuf::in_memory(memory);
            point.push(1, &payload);
            buffer.push_made(index, &mut point)
        };
        drop(buffer);
        if pushed == Ok(Pushed::Wake) {
            self.core.attend_upstream(upstream.key, self.now);
        }
        let Message::UpstreamChunk(chunk) = self.sends() else { panic!("no chunk") };
        chunk.chunk.groups[0].points.as_bytes().as_ptr()
    }
}

#[test]
fn memory_of_large_runs_is_written_to_again_while_there_is_something_to_send() {
    // Where many points make a run, the next one has memory as large already.
    for (size, ahead) in [(LARGE, 0), (40_000, 1)] {
        let mut rig = Rig::open();
        let upstream = rig.open_upstream(immediate(Qos::Reliable), [(4, id("a"))].into());
        let first = rig.send_from(&upstream, size);
        rig.send_from(&upstream, size);
        rig.receive(ack(7, 1, ResultCode::SUCCEEDED));
        let later: Vec<_> = (0..=ahead).map(|_| rig.send_from(&upstream, size)).collect();
        assert_eq!(later[ahead], first, "{size} bytes");
        for number in 2..=3 + ahead as u32 {
            rig.receive(ack(7, number, ResultCode::SUCCEEDED));
        }
        assert!(upstream.buffer.lock().take_spare().is_empty(), "nothing is kept for a stream at rest");
    }
}
