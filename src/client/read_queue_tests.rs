use uuid::Uuid;

use super::*;
use crate::core::ReceivedGroup;
use crate::message::{DataId, UpstreamInfo};

/// A chunk with as many points as its number, which all chunks here occupy about as much space with.
fn chunk(sequence_number: u32) -> ReceivedChunk {
    let points = (0..sequence_number).map(|n| (i64::from(n), "x")).collect();
    let data_id = Arc::new(DataId::new("name", "type"));
    ReceivedChunk {
        upstream: Arc::new(UpstreamInfo {
            session_id: "session".to_owned(),
            stream_id: Uuid::nil(),
            source_node_id: "node".to_owned(),
        }),
        sequence_number,
        groups: vec![ReceivedGroup { data_id, points, filter_references: Vec::new() }],
    }
}

/// A queue for three chunks and a half.
fn queue(policy: BufferPolicy) -> ReadQueue {
    ReadQueue::new(chunk(1).footprint() * 7 / 2, policy, Arc::default())
}

fn taken(queue: &ReadQueue) -> Vec<u32> {
    let next = || queue.next_chunk(Some(Duration::ZERO)).ok();
    std::iter::from_fn(next).map(|(chunk, _)| chunk.sequence_number).collect()
}

#[test]
fn what_does_not_fit_is_dropped_at_the_end_that_was_chosen_and_counted() {
    for (policy, kept, dropped) in
        [(BufferPolicy::DropOldest, [3, 4, 5], 1 + 2), (BufferPolicy::DropNewest, [1, 2, 3], 4 + 5)]
    {
        let queue = queue(policy);
        for number in 1..=5 {
            queue.push_chunk(chunk(number)).unwrap();
        }
        let counters = queue.counters();
        assert_eq!((counters.chunks, counters.points, counters.bytes), (5, 15, 15));
        assert_eq!((counters.dropped_chunks, counters.dropped_points), (2, dropped), "{policy:?}");
        let bytes: usize = kept.iter().map(|number| chunk(*number).footprint()).sum();
        assert_eq!((counters.buffered_chunks, counters.buffered_bytes), (3, bytes as u64));
        assert_eq!(taken(&queue), kept);
        queue.push_chunk(chunk(6)).unwrap();
        assert_eq!(taken(&queue), [6], "there is room again");
        assert_eq!(queue.counters().buffered_bytes, 0);
    }
}

#[test]
fn where_nothing_may_be_dropped_the_stream_ends_and_what_was_received_stays() {
    for (policy, why) in [(BufferPolicy::Pause, "acknowledgement"), (BufferPolicy::Fail, "room")] {
        let queue = queue(policy);
        for number in 1..=3 {
            queue.push_chunk(chunk(number)).unwrap();
        }
        let error = queue.push_chunk(chunk(4)).unwrap_err();
        assert_eq!(error.status(), Status::Overflow);
        assert!(error.message().contains("3 chunks") && error.message().contains(why), "{error}");
        queue.end(Some(error));
        assert_eq!(queue.counters().dropped_chunks, 0);
        assert_eq!(taken(&queue), [1, 2, 3]);
        assert_eq!(queue.next_chunk(None).unwrap_err().status(), Status::Overflow);
    }
}

#[test]
fn one_chunk_larger_than_the_limit_is_taken() {
    for policy in
        [BufferPolicy::Pause, BufferPolicy::Fail, BufferPolicy::DropOldest, BufferPolicy::DropNewest]
    {
        let queue = ReadQueue::new(1, policy, Arc::default());
        queue.push_chunk(chunk(1)).unwrap();
        assert_eq!(taken(&queue), [1], "{policy:?}");
    }
}
