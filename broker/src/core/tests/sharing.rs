//! One message and one encoding for several readers.

use std::sync::{Arc, Weak};

use iscp::encoding::{Encoding, Schema};

use super::*;
use crate::core::{Outgoing, SharedChunk};

/// A world with a sender, node `s`, and readers of it that were opened with these requests.
fn world(readers: Vec<DownstreamOpenRequest>) -> (World, ConnId, u32, Vec<ConnId>) {
    let mut world = World::new();
    let sender = world.connect("s");
    let stream = world.open_upstream(sender, upstream("s", Qos::Reliable));
    let readers = readers.into_iter().map(|request| {
        let reader = world.connect("");
        world.open_downstream(reader, request);
        world.receive(reader);
        reader
    });
    let readers = readers.collect();
    (world, sender, stream.stream_id_alias, readers)
}

fn reader_of_all() -> DownstreamOpenRequest {
    downstream(1, all_of("s"), Qos::Unreliable)
}

/// The next chunk of each.
fn take(world: &mut World, readers: &[ConnId]) -> Vec<Outgoing> {
    readers.iter().map(|reader| world.broker.poll_outgoing(*reader).unwrap()).collect()
}

fn shared(outgoing: &Outgoing) -> &Arc<SharedChunk> {
    match outgoing {
        Outgoing::Shared(shared) => shared,
        Outgoing::Own(message) => panic!("not shared: {message:?}"),
    }
}

#[test]
fn readers_of_the_same_get_the_same_bytes() {
    let (mut world, sender, alias, readers) = world(vec![reader_of_all(); 3]);
    world.chunk(sender, alias, 1, vec![full("a"), full("b")]);
    let taken = take(&mut world, &readers);
    let encoded = taken.iter().map(|outgoing| outgoing.encode(Encoding::Protobuf, Schema::V3));
    let encoded: Vec<_> = encoded.collect();
    for (outgoing, bytes) in taken.iter().zip(&encoded) {
        assert!(Arc::ptr_eq(shared(outgoing), shared(&taken[0])));
        assert_eq!(bytes.as_ptr(), encoded[0].as_ptr());
    }
    let message = Encoding::Protobuf.decode(encoded[0].clone()).unwrap();
    assert_eq!(message, taken[2].clone().into_message());
    let [chunk] = &chunks(std::slice::from_ref(&message))[..] else { panic!("{message:?}") };
    assert_eq!((chunk.stream_id_alias, chunk.chunk.sequence_number), (1, 1));
    assert_eq!(chunk.chunk.groups, [full("a"), full("b")]);
    // Nobody else will ask for it.
    assert_eq!(Arc::strong_count(shared(&taken[0])), taken.len());
}

#[cfg(feature = "full")]
#[test]
fn readers_in_two_encodings_get_two() {
    let (mut world, sender, alias, readers) = world(vec![reader_of_all(); 2]);
    world.chunk(sender, alias, 1, vec![full("a")]);
    let taken = take(&mut world, &readers);
    for encoding in [Encoding::Protobuf, Encoding::Json] {
        let bytes = [&taken[0], &taken[1]].map(|outgoing| outgoing.encode(encoding, Schema::V3));
        assert_eq!(bytes[0].as_ptr(), bytes[1].as_ptr());
        assert_eq!(encoding.decode(bytes[0].clone()).unwrap(), *taken[0].message());
    }
}

#[test]
fn a_single_reader_gets_a_message_of_its_own() {
    let (mut world, sender, alias, readers) = world(vec![reader_of_all()]);
    world.chunk(sender, alias, 1, vec![full("a")]);
    assert!(matches!(take(&mut world, &readers)[..], [Outgoing::Own(Message::DownstreamChunk(_))]));
}

#[test]
fn readers_that_differ_get_what_is_theirs() {
    let some = DownstreamOpenRequest { filters: vec![filter("s", &[("b", "#")])], ..reader_of_all() };
    let twice =
        DownstreamOpenRequest { filters: vec![filter("s", &[("b", "#"), ("#", "#")])], ..reader_of_all() };
    let named = DownstreamOpenRequest { data_id_aliases: [(7, id("b"))].into(), ..reader_of_all() };
    let other = downstream(2, all_of("s"), Qos::Unreliable);
    let requests = vec![reader_of_all(), some, twice, named, other, reader_of_all()];
    let (mut world, sender, alias, readers) = world(requests.clone());
    world.chunk(sender, alias, 1, vec![full("a"), full("b")]);
    let taken = take(&mut world, &readers);
    for (outgoing, request) in taken.iter().zip(&requests) {
        // What a broker without other readers would say.
        let (mut alone, sender, alias, reader) = self::world(vec![request.clone()]);
        alone.chunk(sender, alias, 1, vec![full("a"), full("b")]);
        let own = take(&mut alone, &reader).remove(0).into_message();
        let (Message::DownstreamChunk(expected), Message::DownstreamChunk(chunk)) = (own, outgoing.message())
        else {
            panic!("{outgoing:?}");
        };
        assert_eq!(chunk.stream_id_alias, expected.stream_id_alias);
        assert_eq!(chunk.chunk, expected.chunk);
        assert_eq!(chunk.filter_references, expected.filter_references);
    }
    assert!(Arc::ptr_eq(shared(&taken[0]), shared(&taken[5])));
}

#[test]
fn an_alias_that_one_reader_gave_is_not_used_for_another() {
    let (mut world, sender, alias, readers) = world(vec![reader_of_all(); 3]);
    let mut ack = ack_of(1, 0, &[]);
    ack.data_id_aliases = [(5, id("a"))].into();
    world.send(readers[1], Message::DownstreamChunkAck(ack));
    world.receive(readers[1]);
    for number in 1..=2 {
        world.chunk(sender, alias, number, vec![full("a")]);
        let taken = take(&mut world, &readers);
        let ids = taken.iter().map(|outgoing| match outgoing.message() {
            Message::DownstreamChunk(chunk) => chunk.chunk.groups[0].data_id.clone(),
            other => panic!("{other:?}"),
        });
        let full = OrAlias::Full(id("a"));
        assert_eq!(ids.collect::<Vec<_>>(), [full.clone(), OrAlias::Alias(5), full], "{number}");
    }
}

#[test]
fn a_reader_that_falls_behind_keeps_little_of_what_others_had() {
    const SIZE: usize = 32 * 1024;
    const CHUNKS: u32 = 400;
    let (mut world, sender, alias, readers) = world(vec![reader_of_all(); 3]);
    let group = || DataPointGroup { data_id: OrAlias::Full(id("a")), points: points(&[7; SIZE]) };
    let mut kept: Vec<Weak<SharedChunk>> = Vec::new();
    for number in 1..=CHUNKS {
        world.chunk(sender, alias, number, vec![group()]);
        let taken = take(&mut world, &readers[..2]);
        assert!(Arc::ptr_eq(shared(&taken[0]), shared(&taken[1])), "{number}");
        kept.push(Arc::downgrade(shared(&taken[0])));
    }
    let alive = kept.iter().filter(|form| form.strong_count() > 0).count();
    assert!((1..=4 * 1024 * 1024 / SIZE).contains(&alive), "{alive}");
    // It gets its own.
    let late = world.receive(readers[2]);
    let dropped = world.broker.stats().chunks_dropped as u32;
    assert_eq!(numbers(&late), (dropped + 1..=CHUNKS).collect::<Vec<_>>());
    assert!(chunks(&late).iter().all(|chunk| chunk.chunk.groups == [group()]));
    assert!(kept.iter().all(|form| form.strong_count() == 0));
}
