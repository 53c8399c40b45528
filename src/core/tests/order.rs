//! The order in which the application gets the chunks of an upstream.

use std::sync::atomic::Ordering::Relaxed;

use super::*;
use crate::message::{
    DataPointGroup, DownstreamChunk, DownstreamMetadata, DownstreamResumeResponse, Metadata, OrAlias, Qos,
    StreamChunk, UpstreamInfo,
};

const SOURCE: Uuid = Uuid::from_u128(0xa);
const OTHER: Uuid = Uuid::from_u128(0xb);

fn ordered(order: ChunkOrder, qos: Qos) -> DownstreamConfig {
    DownstreamConfig {
        chunk_order: order,
        qos,
        reorder_limit: 4,
        reorder_wait: ms(50),
        // No acknowledgement falls due in between.
        ack_interval: ms(5000),
        ..DownstreamConfig::default()
    }
}

fn metadata(metadata: Metadata) -> Message {
    Message::DownstreamMetadata(DownstreamMetadata {
        request_id: 1,
        stream_id_alias: 1,
        source_node_id: "n".to_owned(),
        metadata,
    })
}

fn opened(qos: Qos) -> Message {
    metadata(Metadata::UpstreamOpen { stream_id: SOURCE, session_id: "s".to_owned(), qos })
}

fn ended(final_sequence_number: u32) -> Message {
    metadata(Metadata::UpstreamNormalClose {
        stream_id: SOURCE,
        session_id: "s".to_owned(),
        total_data_points: 0,
        final_sequence_number,
    })
}

/// A downstream and what its application sees.
struct Reader {
    rig: Rig,
    opened: OpenedDownstream,
}

impl Reader {
    fn new(order: ChunkOrder, qos: Qos) -> Self {
        Self::with(ordered(order, qos))
    }

    fn with(config: DownstreamConfig) -> Self {
        let mut rig = Rig::resilient();
        let opened = rig.open_downstream(config);
        rig.events.clear();
        Self { rig, opened }
    }

    fn send(&mut self, stream_id: Uuid, sequence_number: u32) {
        let points = [(1, "payload")].into_iter().collect();
        let groups = vec![DataPointGroup { data_id: OrAlias::Full(id("a")), points }];
        let source_node_id = "n".to_owned();
        self.rig.receive(Message::DownstreamChunk(DownstreamChunk {
            stream_id_alias: 1,
            upstream: OrAlias::Full(UpstreamInfo { session_id: "s".to_owned(), stream_id, source_node_id }),
            chunk: StreamChunk { sequence_number, groups },
            filter_references: Vec::new(),
        }));
    }

    fn seen(&mut self) -> Vec<u32> {
        let seen = self.rig.events.iter().filter_map(|event| match event {
            Event::Chunk(_, chunk) => Some(chunk.sequence_number),
            _ => None,
        });
        let seen = seen.collect();
        self.rig.events.retain(|event| !matches!(event, Event::Chunk(..)));
        seen
    }

    /// The numbers that the application sees when these come.
    fn receive(&mut self, numbers: impl IntoIterator<Item = u32>) -> Vec<u32> {
        for number in numbers {
            self.send(SOURCE, number);
        }
        self.seen()
    }

    fn pass(&mut self, millis: u64) -> Vec<u32> {
        self.rig.pass(ms(millis));
        self.seen()
    }

    /// Numbers of the chunks that are acknowledged next.
    fn acknowledged(&mut self) -> Vec<u32> {
        self.rig.core.want_ack(self.opened.key, true, self.rig.now);
        self.rig.pass(ms(0));
        self.rig.core.acknowledge(self.opened.key, []);
        let acks = self.rig.sent().into_iter().filter_map(|message| match message {
            Message::DownstreamChunkAck(ack) => Some(ack.results),
            _ => None,
        });
        acks.flatten().map(|result| result.upstream_sequence_number).collect()
    }

    fn error(&self) -> Error {
        let end = self.rig.events.iter().find_map(|event| match event {
            Event::DownstreamClosed(_, error) => Some(error.clone()),
            _ => None,
        });
        end.expect("the end of the stream").expect("an error")
    }

    fn has_ended(&self) -> bool {
        self.rig.events.iter().any(|event| matches!(event, Event::DownstreamClosed(..)))
    }

    /// Duplicates, missing, reordered, waiting, given up, late, late and dropped.
    fn counters(&self) -> [u64; 7] {
        let counters = &self.opened.counters;
        [
            &counters.duplicate_chunks,
            &counters.missing_chunks,
            &counters.reordered_chunks,
            &counters.waiting_chunks,
            &counters.given_up_chunks,
            &counters.late_chunks,
            &counters.late_dropped_chunks,
        ]
        .map(|counter| counter.load(Relaxed))
    }
}

const NONE: [u32; 0] = [];
const EVERY_QOS: [Qos; 3] = [Qos::Unreliable, Qos::Reliable, Qos::Partial];
const ORDERED: [ChunkOrder; 2] = [ChunkOrder::BestEffort, ChunkOrder::Strict];

#[test]
fn as_received_nothing_waits_and_what_is_missing_is_counted() {
    for qos in EVERY_QOS {
        let mut reader = Reader::new(ChunkOrder::AsReceived, qos);
        assert_eq!(reader.receive([3, 7, 5]), [3, 7, 5]);
        assert_eq!(reader.counters(), [0, 2, 0, 0, 0, 0, 0], "4 and 6");
        assert_eq!(reader.receive([4, 6, 8]), [4, 6, 8]);
        assert_eq!(reader.counters(), [0; 7]);
    }
}

#[test]
fn chunks_are_put_in_order() {
    for order in ORDERED {
        for qos in EVERY_QOS {
            let mut reader = Reader::new(order, qos);
            assert_eq!(reader.receive([10, 11, 14, 13]), [10, 11], "{order:?} {qos:?}");
            assert_eq!(reader.counters(), [0, 1, 2, 2, 0, 0, 0]);
            assert_eq!(reader.receive([12, 12, 13, 16]), [12, 13, 14]);
            assert_eq!(reader.counters(), [2, 1, 3, 1, 0, 0, 0]);
            assert_eq!(reader.receive([15]), [15, 16]);
            assert_eq!(reader.counters(), [2, 0, 3, 0, 0, 0, 0]);
            assert_eq!(reader.pass(1000), NONE);
        }
    }
}

#[test]
fn numbers_may_wrap() {
    let mut reader = Reader::new(ChunkOrder::Strict, Qos::Reliable);
    assert_eq!(reader.receive([u32::MAX - 1, 0, 1, u32::MAX, 2]), [u32::MAX - 1, u32::MAX, 0, 1, 2]);
    assert_eq!(reader.counters(), [0, 0, 2, 0, 0, 0, 0]);

    // A number that came before the wrap is another chunk after it.
    let far = [7, 0x7fff_ffff, 0xffff_fff0, 7];
    assert_eq!(Reader::new(ChunkOrder::AsReceived, Qos::Reliable).receive(far), far);
}

#[test]
fn upstreams_do_not_wait_for_each_other() {
    for order in ORDERED {
        let mut reader = Reader::new(order, Qos::Reliable);
        reader.send(SOURCE, 1);
        reader.send(OTHER, 5);
        reader.send(SOURCE, 3);
        reader.send(OTHER, 6);
        assert_eq!(reader.seen(), [1, 5, 6]);
        reader.send(SOURCE, 2);
        assert_eq!(reader.seen(), [2, 3]);
    }
}

/// What is missing does not stall the stream: neither the time nor the number of chunks exceeds the limits.
#[test]
fn a_gap_that_may_stay_open_is_given_up_in_time() {
    for (order, qos) in [
        (ChunkOrder::BestEffort, Qos::Unreliable),
        (ChunkOrder::BestEffort, Qos::Reliable),
        (ChunkOrder::Strict, Qos::Unreliable),
        (ChunkOrder::Strict, Qos::Partial),
    ] {
        let mut reader = Reader::new(order, qos);
        assert_eq!(reader.receive([1, 3]), [1]);
        assert_eq!(reader.pass(40), NONE);
        assert_eq!(reader.receive([6, 5]), NONE);
        // 3 has waited for 50 ms; the others go on waiting for 4.
        assert_eq!(reader.pass(10), [3]);
        assert_eq!(reader.pass(39), NONE);
        assert_eq!(reader.pass(1), [5, 6]);
        assert_eq!(reader.counters(), [0, 2, 3, 0, 2, 0, 0]);
        // Four may wait, not five.
        assert_eq!(reader.receive([8, 9, 11, 12]), NONE);
        assert_eq!(reader.receive([13]), [8, 9]);
        assert_eq!(reader.receive([10]), [10, 11, 12, 13]);
        assert_eq!(reader.counters(), [0, 3, 8, 0, 3, 0, 0]);
        assert!(!reader.has_ended());
    }
}

#[test]
fn what_comes_too_late_is_delivered_or_dropped_and_counted() {
    for qos in EVERY_QOS {
        let mut reader = Reader::new(ChunkOrder::BestEffort, qos);
        reader.receive([1, 3]);
        assert_eq!(reader.pass(50), [3]);
        assert_eq!(reader.receive([2, 2, 4]), [2, 4], "once");
        assert_eq!(reader.counters(), [1, 0, 1, 0, 1, 1, 0]);
    }
    let mut reader = Reader::new(ChunkOrder::Strict, Qos::Unreliable);
    reader.receive([1, 3]);
    assert_eq!(reader.pass(50), [3]);
    assert_eq!(reader.receive([2, 4]), [4]);
    assert_eq!(reader.counters(), [0, 0, 1, 0, 1, 1, 1]);
}

#[test]
fn a_strict_reliable_stream_waits_and_ends_naming_what_is_missing() {
    let mut reader = Reader::new(ChunkOrder::Strict, Qos::Reliable);
    assert_eq!(reader.receive([1, 3, 4, 8, 10]), [1]);
    assert_eq!(reader.pass(9_000), NONE);
    assert_eq!(reader.acknowledged(), [3, 4, 8, 10], "the missing ones may be behind the server's window");
    assert!(!reader.has_ended());
    assert_eq!(reader.receive([11]), NONE);
    let error = reader.error();
    assert_eq!(error.status(), Status::OutOfOrder);
    for part in ["2, 5 to 7, 9", "reorder_limit", &SOURCE.to_string(), &STREAM.to_string()] {
        assert!(error.message().contains(part), "{error}");
    }
    assert!(matches!(reader.rig.sends(), Message::DownstreamCloseRequest(_)));
}

#[test]
fn bytes_that_wait_are_limited_too() {
    for (order, limit) in [(ChunkOrder::BestEffort, 1000), (ChunkOrder::Strict, 1000)] {
        let config =
            DownstreamConfig { reorder_bytes: limit, reorder_limit: 1000, ..ordered(order, Qos::Reliable) };
        let mut reader = Reader::with(config);
        // About 400 bytes each.
        assert_eq!(reader.receive([1, 3, 4]), [1]);
        let seen = reader.receive([5]);
        if order == ChunkOrder::BestEffort {
            assert_eq!((seen, reader.has_ended()), (vec![3, 4, 5], false));
        } else {
            assert!(reader.error().message().contains("buffer_limit"), "{}", reader.error());
        }
    }
}

/// A RELIABLE reader of an upstream that is not: its chunks may be lost on their way to the server.
#[test]
fn a_strict_reader_does_not_wait_for_ever_for_what_may_be_lost() {
    let mut reader = Reader::new(ChunkOrder::Strict, Qos::Reliable);
    reader.rig.receive(opened(Qos::Unreliable));
    assert_eq!(reader.receive([1, 3]), [1]);
    assert_eq!(reader.pass(50), [3]);
    assert_eq!(reader.receive([2]), NONE);
    assert_eq!(reader.counters(), [0, 0, 1, 0, 1, 1, 1]);
    assert_eq!(reader.acknowledged(), [3, 2]);
    reader.rig.receive(opened(Qos::Reliable));
    assert_eq!(reader.receive([5]), NONE);
    assert_eq!(reader.pass(9_000), NONE);
}

#[test]
fn a_strict_reliable_stream_ends_when_the_server_breaks_the_order() {
    let mut reader = Reader::new(ChunkOrder::Strict, Qos::Reliable);
    assert_eq!(reader.receive([5, 6, 4]), [5, 6]);
    let error = reader.error();
    assert_eq!(error.status(), Status::OutOfOrder);
    assert!(error.message().contains("chunk 4") && error.message().contains("chunk 6"), "{error}");
}

#[test]
fn what_waits_is_delivered_before_the_end_of_its_upstream() {
    let last = |reader: &Reader| {
        let events = reader.rig.events.iter().filter_map(|event| match event {
            Event::Chunk(_, chunk) => Some(chunk.sequence_number),
            Event::Metadata(..) => Some(0),
            _ => None,
        });
        events.collect::<Vec<_>>()
    };
    let mut reader = Reader::new(ChunkOrder::BestEffort, Qos::Reliable);
    reader.receive([1, 3, 5]);
    reader.rig.receive(ended(7));
    assert_eq!(last(&reader), [3, 5, 0]);
    assert_eq!(reader.counters(), [0, 4, 2, 0, 2, 0, 0], "2, 4, 6 and 7");
    // A datagram may come after the news.
    assert_eq!(reader.receive([7, 3]), [3, 5]);
    assert_eq!(reader.pass(50), [7]);
    assert_eq!(reader.counters(), [1, 3, 3, 0, 3, 0, 0]);

    let mut reader = Reader::new(ChunkOrder::Strict, Qos::Reliable);
    reader.receive([1, 3]);
    reader.rig.receive(ended(3));
    assert_eq!(last(&reader), [0], "told of the end, then of the failure");
    assert_eq!(reader.error().status(), Status::OutOfOrder);
}

#[test]
fn what_waits_when_the_stream_ends_is_delivered_unless_something_had_to_come() {
    for (order, qos, lost) in [
        (ChunkOrder::BestEffort, Qos::Reliable, false),
        (ChunkOrder::Strict, Qos::Unreliable, false),
        (ChunkOrder::Strict, Qos::Reliable, true),
    ] {
        let mut reader = Reader::new(order, qos);
        reader.receive([1, 3]);
        reader.rig.lose();
        let op = reader.rig.op();
        reader.rig.core.close_downstream(Some(op), reader.opened.key, reader.rig.now);
        reader.rig.collect();
        if lost {
            assert_eq!((reader.rig.status(op), reader.seen()), (Status::OutOfOrder, vec![]));
            assert!(reader.error().message().contains("missing ones: 2 "), "{}", reader.error());
        } else {
            assert!(reader.rig.outcome(op).is_ok());
            assert_eq!(reader.seen(), [3]);
            assert_eq!(reader.rig.downstream_ends(), [None]);
        }
    }
}

#[test]
fn a_stream_that_is_opened_anew_waits_for_nothing_of_before() {
    for qos in [Qos::Unreliable, Qos::Reliable] {
        let mut reader = Reader::with(DownstreamConfig { reopen: true, ..ordered(ChunkOrder::Strict, qos) });
        assert_eq!(reader.receive([1, 3]), [1]);
        reader.rig.lose();
        let sent = reader.rig.reconnect();
        let [Message::DownstreamResumeRequest(request)] = &sent[..] else { panic!("{sent:?}") };
        reader.rig.receive(Message::DownstreamResumeResponse(DownstreamResumeResponse {
            request_id: request.request_id,
            result_code: ResultCode::STREAM_NOT_FOUND,
            ..DownstreamResumeResponse::default()
        }));
        let Message::DownstreamOpenRequest(request) = reader.rig.sends() else { panic!("no open request") };
        reader.rig.receive(Message::DownstreamOpenResponse(DownstreamOpenResponse {
            request_id: request.request_id,
            stream_id: Uuid::from_u128(0x5678),
            ..DownstreamOpenResponse::default()
        }));
        assert_eq!(reader.seen(), [3]);
        assert_eq!(reader.receive([7, 9, 8]), [7, 8, 9]);
        assert!(!reader.has_ended());
    }
}

#[test]
fn chunks_are_acknowledged_on_arrival_or_when_they_are_taken() {
    for ack_on_arrival in [false, true] {
        let config = DownstreamConfig { ack_on_arrival, ..ordered(ChunkOrder::AsReceived, Qos::Reliable) };
        let mut reader = Reader::with(config);
        assert_eq!(reader.receive([1, 2]), [1, 2]);
        assert_eq!(reader.acknowledged(), if ack_on_arrival { vec![1, 2] } else { vec![] });
        let taken = [1, 2].map(|sequence_number| TakenAck { upstream: SOURCE, sequence_number });
        reader.rig.core.acknowledge(reader.opened.key, taken);
        assert_eq!(reader.acknowledged(), if ack_on_arrival { vec![] } else { vec![1, 2] }, "once");
        // The server did not get the acknowledgement.
        assert_eq!(reader.receive([1]), NONE);
        assert_eq!(reader.acknowledged(), [1]);
    }
}

#[test]
fn upstreams_without_end_are_forgotten_when_they_ended_and_never_kept_without_limit() {
    const MOST: u128 = 65_536;
    for order in [ChunkOrder::AsReceived, ChunkOrder::BestEffort, ChunkOrder::Strict] {
        let mut reader = Reader::new(order, Qos::Reliable);
        for number in 0..MOST {
            reader.send(Uuid::from_u128(number), 1);
        }
        assert_eq!(reader.seen().len(), MOST as usize);
        for number in 0..1024 {
            let session_id = "s".to_owned();
            let stream_id = Uuid::from_u128(number);
            reader.rig.receive(metadata(Metadata::UpstreamAbnormalClose { stream_id, session_id }));
        }
        for number in MOST..MOST + 1024 {
            reader.send(Uuid::from_u128(number), 1);
            reader.send(Uuid::from_u128(number), 1);
        }
        assert_eq!(reader.seen().len(), 1024, "each once");
        reader.send(Uuid::from_u128(MOST * 2), 1);
        if order == ChunkOrder::Strict {
            assert_eq!(reader.error().status(), Status::Overflow);
        } else {
            assert_eq!((reader.seen(), reader.has_ended()), (vec![1], false));
        }
    }
}

/// It came after the end of its upstream, and its upstream is forgotten before what it waits for is given up.
#[test]
fn what_waits_when_its_upstream_is_forgotten_is_delivered() {
    const MOST: u128 = 65_536;
    let mut reader = Reader::new(ChunkOrder::BestEffort, Qos::Unreliable);
    reader.send(SOURCE, 1);
    reader.rig.receive(ended(3));
    reader.send(SOURCE, 3);
    assert_eq!(reader.seen(), [1]);
    for number in 0..=MOST {
        reader.send(Uuid::from_u128(number << 64), 7);
    }
    assert_eq!(reader.seen().len(), MOST as usize + 1);
    assert_eq!(reader.pass(50), [3]);
    assert_eq!(reader.counters()[3], 0, "waiting");
}

/// A sender that leaves more gaps than are remembered sends a chunk again that waits.
#[test]
fn a_chunk_that_waits_is_held_once() {
    for order in ORDERED {
        let config = DownstreamConfig { reorder_limit: 1000, ..ordered(order, Qos::Reliable) };
        let mut reader = Reader::with(config);
        assert_eq!(reader.receive([1]), [1]);
        assert_eq!(reader.receive((3..203).step_by(2)), NONE, "{order:?}");
        assert_eq!(reader.counters()[3], 100, "waiting");
        assert_eq!(reader.receive((3..203).step_by(2)), NONE);
        assert_eq!(reader.counters()[3], 100, "waiting");
        assert_eq!(reader.receive((2..203).step_by(2)), (2..203).collect::<Vec<_>>());
        let counters = reader.counters();
        assert_eq!((counters[0], counters[3]), (100, 0), "duplicates, waiting");
    }
}

#[test]
fn with_omitted_chunks_no_number_counts_as_missing() {
    let mut reader = Reader::with(DownstreamConfig {
        omit_empty_chunk: true,
        ..ordered(ChunkOrder::AsReceived, Qos::Reliable)
    });
    reader.receive([1, 5, 9]);
    reader.rig.receive(ended(12));
    assert_eq!(reader.counters(), [0; 7]);
}

/// splitmix64, below a bound.
struct Random(u64);

impl Random {
    fn below(&mut self, end: u64) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut value = self.0;
        value = (value ^ (value >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        value = (value ^ (value >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        (value ^ (value >> 31)) % end
    }
}

/// Whatever is lost, late or repeated: nothing waits too long or comes twice, and everything is accounted for.
#[test]
fn any_disorder_is_put_right_within_the_limits_and_counted() {
    for seed in 0..600 {
        let mut random = Random(seed);
        let order = ORDERED[random.below(2) as usize];
        let qos = EVERY_QOS[random.below(3) as usize];
        let must_come = order == ChunkOrder::Strict && qos == Qos::Reliable;
        let config = DownstreamConfig { reorder_limit: 1 + random.below(8) as usize, ..ordered(order, qos) };
        let limit = config.reorder_limit;
        let mut reader = Reader::with(config);
        // When each arrives: some late, some twice, some never.
        let start = random.below(5) as u32;
        let count = 40;
        let spread = 1 + random.below(12);
        let loss = if must_come { 0 } else { random.below(20) };
        let mut arrivals = vec![(0, start)];
        for number in start + 1..start + count {
            let at = 1 + u64::from(number - start) * 5;
            if random.below(100) >= loss {
                arrivals.push((at + random.below(spread * 5), number));
            }
            if random.below(100) < 5 {
                arrivals.push((at + random.below(spread * 5), number));
            }
        }
        arrivals.sort_by_key(|(at, _)| *at);
        let (mut now, mut came, mut seen) = (0, Vec::new(), Vec::new());
        for (at, number) in &arrivals {
            seen.extend(reader.pass(at - now));
            now = *at;
            seen.extend(reader.receive([*number]));
            if reader.has_ended() {
                break;
            }
            if !came.iter().any(|(_, before)| before == number) {
                came.push((*at, *number));
            }
            let [_, _, _, waiting, _, _, dropped] = reader.counters();
            assert_eq!(waiting + dropped, (came.len() - seen.len()) as u64, "seed {seed}");
            assert!(waiting <= limit as u64, "seed {seed}");
            let overdue = came.iter().filter(|(at, number)| now - at >= 50 && !seen.contains(number)).count();
            assert!(must_come || overdue as u64 <= dropped, "seed {seed}");
        }
        if must_come {
            assert!(seen.is_sorted(), "seed {seed}: {seen:?}");
            assert_eq!(reader.has_ended(), seen.len() < count as usize, "seed {seed}");
            continue;
        }
        seen.extend(reader.pass(50));
        assert!(!reader.has_ended(), "seed {seed}");
        let [_, missing, _, waiting, given_up, late, dropped] = reader.counters();
        assert_eq!((waiting, seen.len() as u64 + dropped), (0, came.len() as u64), "seed {seed}");
        let highest = came.iter().map(|(_, number)| *number).max().unwrap();
        assert_eq!(missing, u64::from(highest - start) + 1 - came.len() as u64, "seed {seed}");
        assert_eq!(given_up, missing + late, "seed {seed}");
        let mut distinct = seen.clone();
        distinct.sort_unstable();
        distinct.dedup();
        assert_eq!(distinct.len(), seen.len(), "seed {seed}: twice");
        match order {
            ChunkOrder::Strict => assert!(seen.is_sorted() && late == dropped, "seed {seed}: {seen:?}"),
            _ => assert_eq!(dropped, 0, "seed {seed}"),
        }
    }
}
