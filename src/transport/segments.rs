//! Messages in datagrams: cut into segments, and put together again (docs/protocol/transport.md §5).
//!
//! No sockets and no clocks here: datagrams and the time are handed in.

use std::collections::VecDeque;
use std::time::{Duration, Instant};

use bytes::{BufMut, Bytes, BytesMut};

/// Bytes before the part of the message in a datagram: sequence number of the message, largest index
/// among its segments, index of this one.
pub const HEADER: usize = 8;

/// Segments of a message at most. One more, which the header could express, is more than an official
/// client can receive (docs/protocol/transport.md §5.4 D2).
pub const MAX_SEGMENTS: usize = 65_535;

/// How a message is cut.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Cut {
    /// Bytes of the message in every segment but the last.
    part: usize,
    /// Segments.
    pub count: usize,
}

impl Cut {
    /// How a message of `len` bytes is cut for datagrams of at most `datagram` bytes; `None` if that
    /// takes too many.
    pub fn new(len: usize, datagram: usize) -> Option<Self> {
        let part = datagram.checked_sub(HEADER).filter(|part| *part > 0)?;
        // No empty part at the end: some receivers never complete such a message (§5.4 D1).
        let count = len.div_ceil(part).max(1);
        (count <= MAX_SEGMENTS).then_some(Self { part, count })
    }
}

/// Cuts the messages of one connection.
#[derive(Debug, Default)]
pub struct Segmenter {
    next_sequence: u32,
}

impl Segmenter {
    /// The datagrams of a message, each with `prefix` before the header of the segment.
    pub fn cut<'a>(
        &mut self,
        message: &'a [u8],
        cut: Cut,
        prefix: &'a [u8],
    ) -> impl Iterator<Item = Bytes> + use<'a> {
        let sequence = self.next_sequence;
        self.next_sequence = sequence.wrapping_add(1);
        // All of them in one allocation.
        let mut buffer = BytesMut::with_capacity(message.len() + cut.count * (prefix.len() + HEADER));
        (0..cut.count).map(move |index| {
            let rest = &message[index * cut.part..];
            buffer.put_slice(prefix);
            buffer.put_u32(sequence);
            // Both fit: a cut has at most 65 535 segments.
            buffer.put_u16((cut.count - 1) as u16);
            buffer.put_u16(index as u16);
            buffer.put_slice(&rest[..rest.len().min(cut.part)]);
            buffer.split().freeze()
        })
    }
}

/// What a [`Reassembler`] may hold.
#[derive(Clone, Copy, Debug)]
pub struct Limits {
    /// Bytes of one message.
    pub message: usize,
    /// Bytes of all messages that are not complete, with what is noted about them.
    pub held: usize,
    /// Messages that are not complete.
    pub partials: usize,
    /// From the first segment of a message to the last.
    pub age: Duration,
}

/// Messages that begin after an incomplete one before that is given up. Some senders use a sequence
/// number again after 34 messages (docs/protocol/transport.md §5.2).
const MAX_NEWER: u64 = 16;

/// Puts the messages of one connection together.
#[derive(Debug)]
pub struct Reassembler {
    limits: Limits,
    /// Messages of which something is missing, those that began first in front.
    partials: VecDeque<Partial>,
    /// Messages that began so far.
    begun: u64,
    held: usize,
}

/// A message of which something is missing. Everything grows with what arrived, not with what the
/// sender announces.
#[derive(Debug)]
struct Partial {
    sequence: u32,
    max_index: u16,
    began: Instant,
    /// How many messages had begun with this one.
    number: u64,
    /// The parts in the order in which they came.
    data: Vec<u8>,
    parts: Vec<Part>,
    /// One bit for each index, as far as they came.
    seen: Vec<u64>,
}

#[derive(Clone, Copy, Debug)]
struct Part {
    index: u16,
    len: u16,
    start: u32,
}

impl Partial {
    fn memory(&self) -> usize {
        size_of::<Self>()
            + self.data.capacity()
            + self.parts.capacity() * size_of::<Part>()
            + self.seen.capacity() * size_of::<u64>()
    }

    /// Whether `index` is new, which it is not again.
    fn note(&mut self, index: u16) -> bool {
        let (word, bit) = (usize::from(index / 64), 1 << (index % 64));
        if self.seen.len() <= word {
            self.seen.resize(word + 1, 0);
        }
        let new = self.seen[word] & bit == 0;
        self.seen[word] |= bit;
        new
    }

    fn push(&mut self, index: u16, part: &[u8]) {
        // A part is a datagram's, and the limits of all messages keep them far below 4 GiB.
        self.parts.push(Part { index, len: part.len() as u16, start: self.data.len() as u32 });
        self.data.extend_from_slice(part);
    }

    fn is_complete(&self) -> bool {
        self.parts.len() == usize::from(self.max_index) + 1
    }

    fn into_message(mut self) -> Bytes {
        if self.parts.is_sorted_by_key(|part| part.index) {
            return self.data.into();
        }
        self.parts.sort_unstable_by_key(|part| part.index);
        let mut message = Vec::with_capacity(self.data.len());
        for part in &self.parts {
            message.extend_from_slice(&self.data[part.start as usize..][..part.len.into()]);
        }
        message.into()
    }
}

impl Reassembler {
    /// Holds nothing yet.
    pub fn new(limits: Limits) -> Self {
        Self { limits, partials: VecDeque::new(), begun: 0, held: 0 }
    }

    /// Takes a datagram; returns the message that it completes.
    ///
    /// Follows the rules of docs/protocol/transport.md §5.5. What is no segment, or too much, is
    /// dropped without a word: datagrams may be lost in any case.
    pub fn receive(&mut self, datagram: &[u8], now: Instant) -> Option<Bytes> {
        self.expire(now);
        let (header, part) = datagram.split_first_chunk::<HEADER>()?;
        let [s0, s1, s2, s3, m0, m1, i0, i1] = *header;
        let sequence = u32::from_be_bytes([s0, s1, s2, s3]);
        let max_index = u16::from_be_bytes([m0, m1]);
        let index = u16::from_be_bytes([i0, i1]);
        if index > max_index || part.len() > usize::from(u16::MAX) {
            return None;
        }
        // Outside the queue while it changes, and with it its memory.
        let known = self.take(sequence);
        if max_index == 0 {
            self.begin();
            return (part.len() <= self.limits.message).then(|| Bytes::copy_from_slice(part));
        }
        let known = known.and_then(|(place, mut partial)| {
            // Otherwise the sender uses the number again, and the rest of the former message is lost.
            (partial.max_index == max_index && partial.note(index)).then_some((place, partial))
        });
        let (place, mut partial) = known.unwrap_or_else(|| {
            let number = self.begin();
            let mut partial = Partial {
                sequence,
                max_index,
                began: now,
                number,
                data: Vec::new(),
                parts: Vec::new(),
                seen: Vec::new(),
            };
            partial.note(index);
            (self.partials.len(), partial)
        });
        if partial.data.len() + part.len() > self.limits.message {
            return None;
        }
        partial.push(index, part);
        if partial.is_complete() {
            return Some(partial.into_message());
        }
        self.held += partial.memory();
        self.partials.insert(place, partial);
        while self.held > self.limits.held || self.partials.len() > self.limits.partials {
            self.drop_oldest();
        }
        None
    }

    /// Gives up messages that began too long ago.
    pub fn expire(&mut self, now: Instant) {
        while let Some(oldest) = self.partials.front()
            && now.saturating_duration_since(oldest.began) >= self.limits.age
        {
            self.drop_oldest();
        }
    }

    /// When the next message is given up if it stays incomplete.
    pub fn next_expiry(&self) -> Option<Instant> {
        self.partials.front().map(|oldest| oldest.began + self.limits.age)
    }

    /// Bytes held for messages that are not complete.
    pub fn held(&self) -> usize {
        self.held
    }

    /// Notes that a message began, and gives up those that began long before; returns its number.
    fn begin(&mut self) -> u64 {
        self.begun += 1;
        while let Some(oldest) = self.partials.front()
            && self.begun - oldest.number >= MAX_NEWER
        {
            self.drop_oldest();
        }
        self.begun
    }

    fn take(&mut self, sequence: u32) -> Option<(usize, Partial)> {
        let place = self.partials.iter().position(|partial| partial.sequence == sequence)?;
        let partial = self.partials.remove(place)?;
        self.held -= partial.memory();
        Some((place, partial))
    }

    fn drop_oldest(&mut self) {
        if let Some(partial) = self.partials.pop_front() {
            self.held -= partial.memory();
            if self.partials.is_empty() {
                // An idle connection keeps nothing.
                self.partials = VecDeque::new();
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const LIMITS: Limits =
        Limits { message: 1 << 20, held: 2 << 20, partials: 64, age: Duration::from_secs(5) };

    /// Random numbers that are the same in every run (SplitMix64).
    struct Random(u64);

    impl Random {
        fn next(&mut self) -> u64 {
            self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
            let mut z = self.0;
            z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
            z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
            z ^ (z >> 31)
        }

        fn below(&mut self, bound: usize) -> usize {
            (self.next() % bound as u64) as usize
        }
    }

    fn segment(sequence: u32, max_index: u16, index: u16, part: &[u8]) -> Bytes {
        let mut datagram = sequence.to_be_bytes().to_vec();
        datagram.extend_from_slice(&max_index.to_be_bytes());
        datagram.extend_from_slice(&index.to_be_bytes());
        datagram.extend_from_slice(part);
        datagram.into()
    }

    fn cut(segmenter: &mut Segmenter, message: &[u8], datagram: usize) -> Vec<Bytes> {
        let cut = Cut::new(message.len(), datagram).unwrap();
        segmenter.cut(message, cut, &[]).collect()
    }

    #[test]
    fn the_bytes_are_those_of_the_protocol() {
        let mut segmenter = Segmenter { next_sequence: 1 };
        let message = [0, 1, 2, 3, 4, 5, 6, 7, 8];
        assert_eq!(
            cut(&mut segmenter, &message, 16),
            [&b"\0\0\0\x01\0\x01\0\0\0\x01\x02\x03\x04\x05\x06\x07"[..], b"\0\0\0\x01\0\x01\0\x01\x08"]
        );
        assert_eq!(cut(&mut segmenter, b"", 16), [&b"\0\0\0\x02\0\0\0\0"[..]]);
        let cut = Cut::new(1, 16).unwrap();
        let prefixed: Vec<_> = segmenter.cut(b"x", cut, b"\x07").collect();
        assert_eq!(prefixed, [&b"\x07\0\0\0\x03\0\0\0\0x"[..]]);
    }

    #[test]
    fn no_part_is_empty_and_no_message_has_too_many() {
        for (len, count) in [(0, 1), (1, 1), (7, 1), (8, 1), (9, 2), (16, 2), (17, 3), (65_535 * 8, 65_535)] {
            assert_eq!(Cut::new(len, 16).map(|cut| cut.count), Some(count), "{len}");
        }
        assert_eq!(Cut::new(65_535 * 8 + 1, 16), None);
        for datagram in 0..=HEADER {
            assert_eq!(Cut::new(1, datagram), None);
        }
    }

    #[test]
    fn sequence_numbers_wrap_at_their_end() {
        let mut segmenter = Segmenter { next_sequence: u32::MAX };
        let mut reassembler = Reassembler::new(LIMITS);
        for message in [b"last", b"next"] {
            let segments = cut(&mut segmenter, message, 10);
            let now = Instant::now();
            let complete: Vec<_> =
                segments.iter().filter_map(|segment| reassembler.receive(segment, now)).collect();
            assert_eq!(complete, [&message[..]]);
        }
        assert_eq!(segmenter.next_sequence, 1);
    }

    #[test]
    fn messages_of_every_official_client_are_put_together() {
        let now = Instant::now();
        let mut reassembler = Reassembler::new(LIMITS);
        // Go and Python end a message that fills its segments with an empty one.
        assert_eq!(reassembler.receive(&segment(7, 1, 0, &[5; 1162]), now), None);
        assert_eq!(reassembler.receive(&segment(7, 1, 1, b""), now), Some(Bytes::from(vec![5; 1162])));
        // A message without content in one datagram.
        assert_eq!(reassembler.receive(&segment(8, 0, 0, b""), now), Some(Bytes::new()));
        // In any order.
        assert_eq!(reassembler.receive(&segment(9, 2, 2, b"c"), now), None);
        assert_eq!(reassembler.receive(&segment(9, 2, 0, b"aa"), now), None);
        assert_eq!(reassembler.receive(&segment(9, 2, 1, b"bb"), now), Some(Bytes::from("aabbc")));
        assert_eq!(reassembler.held(), 0);
    }

    #[test]
    fn what_is_no_segment_is_dropped() {
        let now = Instant::now();
        let mut reassembler = Reassembler::new(LIMITS);
        for length in 0..HEADER {
            assert_eq!(reassembler.receive(&[0; HEADER][..length], now), None);
        }
        assert_eq!(reassembler.receive(&segment(1, 1, 2, b"x"), now), None);
        assert_eq!(reassembler.receive(&segment(1, 0, 1, b"x"), now), None);
        assert_eq!(reassembler.held(), 0);
    }

    #[test]
    fn a_number_used_again_begins_a_new_message() {
        let now = Instant::now();
        let mut reassembler = Reassembler::new(LIMITS);
        let mut receive = |datagram: Bytes| reassembler.receive(&datagram, now);
        // By a message of one segment.
        assert_eq!(receive(segment(1, 1, 0, b"old")), None);
        assert_eq!(receive(segment(1, 0, 0, b"new")), Some(Bytes::from("new")));
        assert_eq!(receive(segment(1, 1, 1, b"old")), None);
        // By one with another number of segments.
        assert_eq!(receive(segment(2, 2, 0, b"old")), None);
        assert_eq!(receive(segment(2, 1, 1, b"w")), None);
        assert_eq!(receive(segment(2, 1, 0, b"ne")), Some(Bytes::from("new")));
        // By one with as many, seen by an index that came already.
        assert_eq!(receive(segment(3, 1, 0, b"old")), None);
        assert_eq!(receive(segment(3, 1, 0, b"ne")), None);
        assert_eq!(receive(segment(3, 1, 1, b"w")), Some(Bytes::from("new")));
    }

    #[test]
    fn an_incomplete_message_is_given_up_by_age_and_by_newer_ones() {
        let start = Instant::now();
        let mut reassembler = Reassembler::new(LIMITS);
        reassembler.receive(&segment(1, 1, 0, b"a"), start);
        assert_eq!(reassembler.next_expiry(), Some(start + LIMITS.age));
        reassembler.expire(start + LIMITS.age - Duration::from_millis(1));
        assert_ne!(reassembler.held(), 0);
        reassembler.expire(start + LIMITS.age);
        assert_eq!(reassembler.held(), 0);
        assert_eq!(reassembler.receive(&segment(1, 1, 1, b"b"), start + LIMITS.age), None);

        for (newer, survives) in [(15, true), (16, false)] {
            let mut reassembler = Reassembler::new(LIMITS);
            reassembler.receive(&segment(1, 1, 0, b"a"), start);
            for sequence in 2..2 + newer {
                assert!(reassembler.receive(&segment(sequence, 0, 0, b"x"), start).is_some());
            }
            let complete = reassembler.receive(&segment(1, 1, 1, b"b"), start);
            assert_eq!(complete.is_some(), survives, "{newer}");
        }
    }

    #[test]
    fn a_message_beyond_the_limit_is_dropped() {
        let now = Instant::now();
        let mut reassembler = Reassembler::new(Limits { message: 4, ..LIMITS });
        assert_eq!(reassembler.receive(&segment(1, 0, 0, b"12345"), now), None);
        assert_eq!(reassembler.receive(&segment(2, 1, 0, b"123"), now), None);
        assert_eq!(reassembler.receive(&segment(2, 1, 1, b"45"), now), None);
        assert_eq!(reassembler.held(), 0);
        assert_eq!(reassembler.receive(&segment(3, 1, 0, b"12"), now), None);
        assert_eq!(reassembler.receive(&segment(3, 1, 1, b"34"), now), Some(Bytes::from("1234")));
    }

    #[test]
    fn announcing_many_segments_costs_the_receiver_little() {
        let now = Instant::now();
        let mut reassembler = Reassembler::new(LIMITS);
        reassembler.receive(&segment(0, u16::MAX, 0, b"x"), now);
        assert!(reassembler.held() < 1024, "{}", reassembler.held());
        // The worst index, in more messages than are kept.
        for sequence in 1..100_000 {
            assert_eq!(reassembler.receive(&segment(sequence, u16::MAX, u16::MAX, b"x"), now), None);
            assert!(reassembler.held() < 16 * 10 * 1024, "{}", reassembler.held());
        }
        assert!(reassembler.partials.len() <= MAX_NEWER as usize);
    }

    #[test]
    fn what_is_held_is_bounded() {
        let now = Instant::now();
        let limits = Limits { held: 64 * 1024, partials: 4, ..LIMITS };
        let mut reassembler = Reassembler::new(limits);
        let mut random = Random(1);
        for _ in 0..50_000 {
            let (sequence, index) = (random.below(8) as u32, random.below(2_000) as u16);
            let part = vec![0; random.below(1_200)];
            reassembler.receive(&segment(sequence, 2_000, index, &part), now);
            let held: usize = reassembler.partials.iter().map(Partial::memory).sum();
            assert_eq!(reassembler.held(), held);
            assert!(held <= limits.held);
            assert!(reassembler.partials.len() <= limits.partials);
        }
    }

    /// Whatever the network does, a message that comes out is one that went in.
    #[test]
    fn loss_duplication_and_disorder_never_forge_a_message() {
        for (seed, cycle) in (0..200).zip([1 << 32, 34, 1 << 32, 40].into_iter().cycle()) {
            let mut random = Random(seed);
            let duplicates = seed % 3 == 0;
            let mut reassembler = Reassembler::new(LIMITS);
            let now = Instant::now();
            let mut sent = Vec::new();
            // Datagrams with the time at which they arrive.
            let mut network: Vec<(usize, u32, Bytes)> = Vec::new();
            for number in 0..300_u64 {
                let len = random.below(400);
                let mut message = number.to_be_bytes().to_vec();
                message.extend((0..len).map(|at| (at as u8).wrapping_add(number as u8)));
                let mut segmenter = Segmenter { next_sequence: (number % cycle) as u32 };
                for datagram in cut(&mut segmenter, &message, 8 + 16 + random.below(64)) {
                    if random.below(20) == 0 {
                        continue;
                    }
                    // At most the width of a few messages late.
                    let at = network.len() + random.below(40);
                    if duplicates && random.below(20) == 0 {
                        network.push((at + random.below(20), number as u32, datagram.clone()));
                    }
                    network.push((at, number as u32, datagram));
                }
                sent.push(message);
            }
            network.sort_by_key(|(at, ..)| *at);
            let mut delivered = Vec::new();
            for (_, _, datagram) in &network {
                if let Some(message) = reassembler.receive(datagram, now) {
                    let number = u64::from_be_bytes(message[..8].try_into().unwrap());
                    assert_eq!(message, sent[number as usize], "seed {seed}, message {number}");
                    delivered.push(number);
                }
            }
            if !duplicates {
                let count = delivered.len();
                delivered.sort_unstable();
                delivered.dedup();
                assert_eq!(delivered.len(), count, "seed {seed}: a message came twice");
                // Most messages lose nothing.
                assert!(count > 100, "seed {seed}: only {count} messages");
            }
        }
    }

    #[test]
    fn noise_is_harmless() {
        let mut random = Random(3);
        let mut reassembler = Reassembler::new(LIMITS);
        let start = Instant::now();
        for round in 0..100_000 {
            let datagram: Vec<u8> = (0..random.below(24)).map(|_| (random.next() as u8) & 3).collect();
            reassembler.receive(&datagram, start + Duration::from_millis(round));
            assert!(reassembler.held() <= LIMITS.held);
        }
    }
}
