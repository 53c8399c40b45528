//! Points on their way to a chunk.

use crate::core::write_buffer::*;
use crate::error::Status;
use crate::message::{DataId, OrAlias, PointsBuf, max_wire_len};

fn buffer(limit: usize, wake_above: Option<usize>) -> (WriteBuffer, DataIdIndex, DataIdIndex) {
    let mut buffer = WriteBuffer::new(limit, wake_above);
    let a = buffer.data_id(DataId::new("a", "t")).unwrap();
    let b = buffer.data_id(DataId::new("b", "t")).unwrap();
    (buffer, a, b)
}

#[test]
fn points_are_grouped_by_data_id_in_the_order_of_first_writes() {
    let (mut buffer, a, b) = buffer(1 << 20, None);
    for (id, time) in [(b, 1), (a, 2), (b, 3)] {
        buffer.push(id, time, b"x").unwrap();
    }
    buffer.learn_aliases([(7, DataId::new("a", "t"))].into());
    let chunk = buffer.take().unwrap();
    assert_eq!(chunk.points, 3);
    let (groups, unaliased) = buffer.name(chunk.runs.clone().into_iter());
    assert_eq!(unaliased, [DataId::new("b", "t")]);
    assert_eq!(groups[0].data_id, OrAlias::Full(DataId::new("b", "t")));
    assert_eq!(groups[0].points, [(1, "x"), (3, "x")].into_iter().collect());
    assert_eq!(groups[1].data_id, OrAlias::Alias(7));
    buffer.forget_aliases();
    assert_eq!(buffer.name(chunk.runs.into_iter()).1.len(), 2);
    assert_eq!((buffer.take(), buffer.points(), buffer.bytes()), (None, 0, 0));
}

#[test]
fn a_full_buffer_refuses_and_takes_again_after_a_chunk_left() {
    let (mut buffer, a, _) = buffer(1000, None);
    let mut accepted = 0;
    let refusal = loop {
        match buffer.push(a, 1, &[0; 100]) {
            Ok(_) => accepted += 1,
            Err(status) => break status,
        }
    };
    assert_eq!((accepted, refusal), (9, Status::WouldBlock));
    assert_eq!(buffer.push(a, 1, &[0; 1000]), Err(Status::TooLarge));
    assert_eq!(buffer.take().unwrap().points, 9);
    assert!(buffer.push(a, 1, &[0; 100]).is_ok());
}

#[test]
fn the_owner_is_woken_by_the_first_point_and_by_the_size_once() {
    let (mut buffer, a, _) = buffer(1 << 20, Some(10));
    assert_eq!(buffer.push(a, 1, &[0; 5]), Ok(Pushed::Wake));
    assert_eq!(buffer.push(a, 1, &[0; 5]), Ok(Pushed::Quiet));
    buffer.attend();
    assert_eq!(buffer.push(a, 1, &[0; 5]), Ok(Pushed::Wake));
    assert_eq!(buffer.push(a, 1, &[0; 5]), Ok(Pushed::Quiet));
    buffer.take();
    assert_eq!(buffer.push(a, 1, &[0; 5]), Ok(Pushed::Wake));
}

#[test]
fn large_amounts_are_cut_into_chunks_in_order() {
    let (mut buffer, a, _) = buffer(64 << 20, None);
    for time in 0..40 {
        buffer.push(a, time, &vec![0; 50_000]).unwrap();
    }
    buffer.push(a, 40, &vec![0; 2 << 20]).unwrap();
    let mut times = Vec::new();
    while let Some(chunk) = buffer.take() {
        assert!(chunk.bytes <= CHUNK_LIMIT || chunk.points == 1);
        times.extend(chunk.runs[0].1.spans().map(|span| span.elapsed_time));
    }
    assert_eq!(times, (0..=40).collect::<Vec<_>>());
}

#[test]
fn numbers_that_are_left_out_are_no_points() {
    let (mut buffer, a, _) = buffer(1 << 20, None);
    buffer.begin_at(100);
    buffer.push(a, 1, b"x").unwrap();
    buffer.skip(10);
    buffer.push(a, 2, b"x").unwrap();
    assert_eq!((buffer.written(), buffer.taken(), buffer.points()), (112, 100, 2));
    let times =
        |chunk: TakenChunk| chunk.runs[0].1.iter().map(|point| point.elapsed_time).collect::<Vec<_>>();
    assert_eq!(times(buffer.take().unwrap()), [1]);
    assert_eq!((buffer.taken(), buffer.points()), (101, 1));
    assert_eq!(times(buffer.take().unwrap()), [2]);
    assert_eq!((buffer.taken(), buffer.points()), (112, 0));
}

#[test]
fn a_closed_buffer_refuses_writes_but_keeps_its_points() {
    let (mut buffer, a, _) = buffer(1000, None);
    buffer.push(a, 1, b"x").unwrap();
    buffer.close(Status::Closed);
    assert_eq!(buffer.push(a, 1, b"x"), Err(Status::Closed));
    assert_eq!(buffer.take().unwrap().points, 1);
    assert_eq!(WriteBuffer::new(10, None).push(0, 1, b""), Err(Status::InvalidArgument));
}

#[test]
fn several_points_are_taken_all_or_none() {
    let (mut buffer, a, b) = buffer(1000, None);
    let points = [(a, 1, &[0; 100][..]), (b, 2, &[0; 100]), (a, 3, b"")];
    assert_eq!(buffer.push_all(points.into_iter(), true), Ok(Pushed::Wake));
    assert_eq!(buffer.push_all(points.into_iter(), false), Ok(Pushed::Quiet));
    assert_eq!(buffer.push_all([(a, 1, &[0; 100][..]); 5].into_iter(), false), Err(Status::WouldBlock));
    assert_eq!(buffer.push_all([(a, 1, &[0; 100][..]); 9].into_iter(), false), Err(Status::TooLarge));
    assert_eq!(
        buffer.push_all([(a, 1, &b""[..]), (b + 1, 1, b"")].into_iter(), true),
        Err(Status::InvalidArgument)
    );
    assert_eq!(buffer.push_all([].into_iter(), true), Ok(Pushed::Quiet));
    assert_eq!((buffer.points(), buffer.written()), (6, 6));
    buffer.close(Status::Closed);
    assert_eq!(buffer.push_all(points.into_iter(), true), Err(Status::Closed));
    let chunk = buffer.take().unwrap();
    let times: Vec<Vec<_>> =
        chunk.runs.iter().map(|(_, run)| run.spans().map(|span| span.elapsed_time).collect()).collect();
    assert_eq!(times, [vec![1, 3, 1, 3], vec![2, 2]]);
}

#[test]
fn points_that_belong_together_share_a_chunk() {
    let (mut buffer, a, b) = buffer(64 << 20, None);
    let large = vec![0; CHUNK_LIMIT / 4];
    for _ in 0..10 {
        let three = [(a, 1, &large[..]), (b, 1, &large), (a, 2, &large)];
        buffer.push_all(three.into_iter(), true).unwrap();
    }
    let four = [(a, 1, &large[..]); 4];
    assert_eq!(buffer.push_all(four.into_iter(), true), Err(Status::TooLarge));
    assert!(buffer.push_all(four.into_iter(), false).is_ok(), "each in a chunk");
    let huge = vec![0; 2 * CHUNK_LIMIT];
    assert!(buffer.push_all([(a, 1, &huge[..])].into_iter(), true).is_ok(), "a point is never cut");
    let mut counts = Vec::new();
    while let Some(chunk) = buffer.take() {
        assert!(chunk.bytes <= CHUNK_LIMIT || chunk.points == 1);
        counts.push(chunk.points);
    }
    assert_eq!(counts, [[3; 10].to_vec(), vec![1; 5]].concat());
}

#[test]
fn dropping_the_oldest_keeps_the_newest_and_counts() {
    let buffer = WriteBuffer::new(16_000, None);
    let mut buffer = buffer.dropping_oldest();
    let a = buffer.data_id(DataId::new("a", "t")).unwrap();
    let mut steps = 0;
    for time in 0..1000 {
        if buffer.push(a, time, &[0; 100]) == Err(Status::WouldBlock) {
            let before = buffer.dropped();
            buffer.make_room(200);
            steps = steps.max(buffer.dropped() - before);
            buffer.push(a, time, &[0; 100]).unwrap();
        }
    }
    assert!(steps <= 10, "{steps} points at a time");
    let kept = buffer.points();
    assert_eq!(kept + buffer.dropped(), 1000);
    assert!(kept > 100, "{kept}");
    // A point that needs it all gets it all.
    let whole = vec![1; 15_900];
    assert_eq!(buffer.push(a, 1000, &whole), Err(Status::WouldBlock));
    buffer.make_room(max_wire_len(whole.len()));
    buffer.push(a, 1000, &whole).unwrap();
    assert_eq!((buffer.points(), buffer.dropped(), buffer.written()), (1, 1000, 1001));
    buffer.drop_newest(5);
    assert_eq!(buffer.dropped(), 1005);
    assert_eq!(buffer.take().unwrap().runs[0].1.spans().next().unwrap().elapsed_time, 1000);
    assert_eq!((buffer.taken(), buffer.is_empty()), (1001, true));
}

#[test]
fn awaited_points_are_in_a_chunk_or_given_up() {
    let mut buffer = WriteBuffer::new(1600, None).dropping_oldest();
    let a = buffer.data_id(DataId::new("a", "t")).unwrap();
    for number in 0..12 {
        buffer.push(a, 1, &[0; 100]).unwrap();
        if number % 3 == 0 {
            buffer.await_point(number);
        }
    }
    assert_eq!(buffer.take().unwrap().awaited, [0]);
    assert_eq!(buffer.take().unwrap().awaited, [0_u64; 0]);
    assert!(buffer.make_room(1600 - 7 * 123), "the connection is to be told");
    assert_eq!(buffer.take_given_up(), [3]);
    assert!(!buffer.make_room(1600 - 7 * 123), "of nothing new");
    buffer.skip(3);
    buffer.await_point(20);
    buffer.skip(10);
    let awaited: Vec<_> = std::iter::from_fn(|| buffer.take()).map(|chunk| chunk.awaited).collect();
    assert_eq!(awaited.concat(), [6, 9]);
    assert_eq!(buffer.take_given_up(), [20]);
    assert!(buffer.take_awaited().is_empty());
}

#[test]
fn a_full_buffer_is_roomy_again_before_it_is_empty() {
    let limit = 1 << 20;
    let mut buffer = WriteBuffer::new(limit, None);
    let a = buffer.data_id(DataId::new("a", "t")).unwrap();
    assert!(buffer.is_roomy());
    while buffer.push(a, 1, &[0; 10_000]).is_ok() {}
    assert!(!buffer.is_roomy());
    let mut taken = 0;
    while !buffer.is_roomy() {
        taken += buffer.take().unwrap().points;
    }
    assert!(taken > 20, "{taken} points would be written before the next writer waits");
    assert!(buffer.bytes() > limit / 2, "there is no hurry");
}

#[test]
fn a_point_that_was_put_together_elsewhere_comes_in_as_it_is() {
    let (mut buffer, a, b) = buffer(3 * LARGE, None);
    let made = |value: u8| {
        let mut point = PointsBuf::default();
        point.push(2, &[value; LARGE]);
        point
    };
    let mut point = made(1);
    assert_eq!(buffer.push_made(a, &mut point), Ok(Pushed::Wake));
    assert!(point.is_empty());
    // Behind others of the same data id it is copied.
    buffer.push(b, 1, b"x").unwrap();
    assert_eq!(buffer.push_made(b, &mut made(2)), Ok(Pushed::Quiet));
    let mut refused = made(3);
    assert_eq!(buffer.push_made(a, &mut refused), Err(Status::WouldBlock));
    assert_eq!(refused.payload_bytes(), LARGE, "it can be written later");
    assert_eq!(buffer.push_made(7, &mut refused), Err(Status::InvalidArgument));
    let payload = |value| vec![value; LARGE];
    let first = buffer.take().unwrap();
    assert_eq!(
        first.runs,
        [(a, [(2, payload(1))].into_iter().collect()), (b, [(1, b"x")].into_iter().collect())]
    );
    buffer.push_made(a, &mut refused).unwrap();
    assert!(refused.is_empty());
    let taken: Vec<_> = std::iter::from_fn(|| buffer.take()).flat_map(|chunk| chunk.runs).collect();
    assert_eq!(
        taken,
        [(b, [(2, payload(2))].into_iter().collect()), (a, [(2, payload(3))].into_iter().collect())]
    );
    assert_eq!((buffer.points(), buffer.bytes()), (0, 0));
}

#[test]
fn memory_is_used_again_for_what_is_as_large() {
    let mut buffer = WriteBuffer::new(8 << 20, None);
    let a = buffer.data_id(DataId::new("a", "t")).unwrap();
    let mut capacity = |size: usize, given: &mut Vec<Vec<u8>>| {
        buffer.give_back(given);
        buffer.memory_for(a, 1, &vec![0; size]).unwrap().unwrap().capacity()
    };
    let mut given = vec![Vec::with_capacity(200_000)];
    // What is in flight is counted by what was written: twice as much may be held, and not more.
    assert_eq!(capacity(LARGE, &mut given), 0);
    assert_eq!(capacity(199_000, &mut given), 200_000);
    assert_eq!(capacity(199_000, &mut given), 0, "it is used once");
    for size in [100, 4 << 20] {
        let mut given = vec![Vec::with_capacity(size)];
        assert_eq!(
            (capacity(size.max(LARGE), &mut given), given.len()),
            (0, 1),
            "{size} bytes are not worth it"
        );
    }
    // However much is given back, a part of the limit is kept.
    let mut given: Vec<_> = (0..100).map(|_| Vec::with_capacity(100_000)).collect();
    assert_eq!(capacity(99_000, &mut given), 100_000);
    assert_eq!(given.len(), 100 - (4 << 20) / 100_000);
    buffer.push(a, 1, &vec![0; 7 << 20]).unwrap();
    assert_eq!(buffer.memory_for(a, 1, &vec![0; 2 << 20]), Ok(None), "there is no room");
    buffer.close(Status::Closed);
    assert_eq!(buffer.memory_for(a, 1, &[0; LARGE]), Err(Status::Closed));
    assert!(buffer.take_spare().is_empty());
}
