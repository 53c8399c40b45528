//! Messages in datagrams: what a receiver makes of them, compared with the rules of
//! docs/protocol/transport.md §5.5 at their plainest.

use std::collections::{BTreeMap, HashMap};
use std::time::{Duration, Instant};

use arbitrary::{Result, Unstructured};
use bytes::Bytes;
use iscp::transport::segments::{Cut, HEADER, Limits, Reassembler, Segmenter};

use crate::memory::memory_of;

/// Memory of the queue of incomplete messages, and of a message besides its bytes.
const OVERHEAD: usize = 16 * 1024;

/// Checks a sequence of datagrams. In one half of the inputs they are those of a sender, on a network that
/// loses, repeats and reorders them; in the other half anything.
pub fn check(input: &mut Unstructured<'_>) -> Result<()> {
    let genuine = input.arbitrary::<u8>()? & 1 == 0;
    let limits = Limits {
        message: usize::from(input.arbitrary::<u16>()?) * 4,
        held: usize::from(input.arbitrary::<u16>()?) * 4,
        partials: usize::from(input.arbitrary::<u8>()? % 32) + 1,
        age: Duration::from_millis(u64::from(input.arbitrary::<u8>()?) + 1),
    };
    let mut receivers = Receivers::new(limits);
    let mut segmenter = Segmenter::default();
    let mut sent: Vec<Vec<u8>> = Vec::new();
    let mut network: Vec<Bytes> = Vec::new();
    while !input.is_empty() {
        let step = input.arbitrary::<u8>()?;
        receivers.now += Duration::from_millis(u64::from(step >> 3));
        match (step & 7, genuine) {
            (0, true) => {
                let number = sent.len();
                let len = usize::from(input.arbitrary::<u16>()? % 4096);
                let message: Vec<u8> = (0..len).map(|at| (at ^ number ^ (at >> 8)) as u8).collect();
                if let Some(datagrams) =
                    datagrams(&mut segmenter, &message, input.arbitrary()?, step & 8 != 0)
                {
                    network.extend(datagrams);
                    sent.push(message);
                }
            }
            (_, true) => {
                let (from, count) = (input.arbitrary::<u8>()?, input.arbitrary::<u8>()? % 32 + 1);
                for at in 0..count {
                    if network.is_empty() {
                        break;
                    }
                    let at = match step & 1 {
                        0 => usize::from(from) + usize::from(at),
                        _ => usize::from(from).wrapping_sub(at.into()),
                    } % network.len();
                    let datagram = match step & 6 {
                        // Comes again, or is late.
                        0 => network[at].clone(),
                        // Is lost.
                        2 => {
                            network.remove(at);
                            continue;
                        }
                        4 => network.remove(at),
                        _ => network.swap_remove(at),
                    };
                    if let Some(message) = receivers.receive(&datagram) {
                        let (sequence, ..) = header(&datagram).expect("of a sender");
                        assert_eq!(message, sent[sequence as usize]);
                    }
                }
            }
            (0, false) => {
                let len = usize::from(input.arbitrary::<u8>()?).min(input.len());
                receivers.receive(input.bytes(len)?);
            }
            (_, false) => {
                let [sequence, max_index, index, len]: [u8; 4] = input.arbitrary()?;
                let mut datagram = u32::from(sequence).to_be_bytes().to_vec();
                datagram.extend_from_slice(&wide(max_index).to_be_bytes());
                datagram.extend_from_slice(&wide(index).to_be_bytes());
                // One byte more than a datagram can have.
                let len = if len == u8::MAX { usize::from(u16::MAX) + 1 } else { usize::from(len) };
                datagram.resize(HEADER + len, receivers.received as u8);
                receivers.receive(&datagram);
            }
        }
    }
    Ok(())
}

/// A small number, or the largest.
fn wide(number: u8) -> u16 {
    if number == u8::MAX { u16::MAX } else { number.into() }
}

/// The datagrams of a message, after a look at how it is cut; `None` if they have no room for it.
fn datagrams(segmenter: &mut Segmenter, message: &[u8], part: u8, prefixed: bool) -> Option<Vec<Bytes>> {
    let largest = HEADER + usize::from(part);
    let Some(cut) = Cut::new(message.len(), largest) else {
        assert_eq!(part, 0);
        return None;
    };
    let prefix: &[u8] = if prefixed { b"prefix" } else { b"" };
    let datagrams: Vec<_> = segmenter
        .cut(message, cut, prefix)
        .map(|datagram| {
            assert!(datagram.starts_with(prefix) && datagram.len() <= prefix.len() + largest);
            datagram.slice(prefix.len()..)
        })
        .collect();
    assert_eq!(datagrams.len(), cut.count);
    assert!(datagrams.len() == 1 || datagrams.iter().all(|datagram| datagram.len() > HEADER));
    Some(datagrams)
}

/// Sequence number, largest index, index and part of a datagram.
fn header(datagram: &[u8]) -> Option<(u32, u16, u16, &[u8])> {
    let (sequence, rest) = datagram.split_first_chunk()?;
    let (max_index, rest) = rest.split_first_chunk()?;
    let (index, part) = rest.split_first_chunk()?;
    let index = u16::from_be_bytes(*index);
    Some((u32::from_be_bytes(*sequence), u16::from_be_bytes(*max_index), index, part))
}

/// Receivers of the same datagrams.
struct Receivers {
    start: Instant,
    now: Duration,
    received: usize,
    limits: Limits,
    /// Has memory for all.
    large: Reassembler,
    plain: Plain,
    /// Has little memory. What it gives up is its business, but not what it makes of the rest.
    small: Reassembler,
    small_memory: isize,
    /// What came last as a segment, and when.
    segments: HashMap<(u32, u16, u16), (Duration, Vec<u8>)>,
}

impl Receivers {
    fn new(limits: Limits) -> Self {
        Self {
            start: Instant::now(),
            now: Duration::ZERO,
            received: 0,
            limits,
            large: Reassembler::new(Limits { held: usize::MAX, ..limits }),
            plain: Plain { limits, partials: Vec::new(), begun: 0 },
            small: Reassembler::new(limits),
            small_memory: 0,
            segments: HashMap::new(),
        }
    }

    /// What a receiver with enough memory makes of a datagram.
    fn receive(&mut self, datagram: &[u8]) -> Option<Bytes> {
        self.received += 1;
        let now = self.start + self.now;
        if let Some((sequence, max_index, index, part)) = header(datagram)
            && part.len() <= usize::from(u16::MAX)
        {
            self.segments.insert((sequence, max_index, index), (self.now, part.to_vec()));
        }
        self.receive_small(datagram, now);
        let message = self.large.receive(datagram, now);
        assert_eq!(message.as_deref(), self.plain.receive(datagram, self.now).as_deref());
        message
    }

    fn receive_small(&mut self, datagram: &[u8], now: Instant) {
        let (message, memory) = memory_of(|| self.small.receive(datagram, now));
        self.small_memory += memory.kept;
        assert!(self.small.held() <= self.limits.held);
        if let Some(message) = message {
            let (sequence, max_index, ..) = header(datagram).expect("with a message");
            let mut expected = Vec::new();
            for index in 0..=max_index {
                let (came, part) = &self.segments[&(sequence, max_index, index)];
                assert!(self.now - *came < self.limits.age, "a message of old parts");
                expected.extend_from_slice(part);
            }
            assert_eq!(message, expected);
            assert!(message.len() <= self.limits.message);
            let len = message.len();
            let memory = -memory_of(|| drop(message)).1.kept;
            assert!(memory <= (2 * len + OVERHEAD).cast_signed(), "a message of {len} bytes keeps {memory}");
            self.small_memory -= memory;
        }
        let (held, memory) = (self.small.held(), self.small_memory);
        assert!(memory <= (held + OVERHEAD).cast_signed(), "{memory} bytes held instead of {held}");
    }
}

/// A receiver that keeps to the rules without any thought about memory.
struct Plain {
    limits: Limits,
    partials: Vec<Partial>,
    begun: u64,
}

struct Partial {
    sequence: u32,
    max_index: u16,
    began: Duration,
    number: u64,
    parts: BTreeMap<u16, Vec<u8>>,
}

impl Plain {
    fn receive(&mut self, datagram: &[u8], now: Duration) -> Option<Vec<u8>> {
        self.partials.retain(|partial| now - partial.began < self.limits.age);
        let (sequence, max_index, index, part) = header(datagram)?;
        if index > max_index || part.len() > usize::from(u16::MAX) {
            return None;
        }
        self.partials.retain(|partial| {
            partial.sequence != sequence
                || partial.max_index == max_index && !partial.parts.contains_key(&index)
        });
        let known = self.partials.iter().position(|partial| partial.sequence == sequence);
        let at = known.unwrap_or_else(|| {
            self.begun += 1;
            self.partials.retain(|partial| self.begun - partial.number < 16);
            let (began, number) = (now, self.begun);
            self.partials.push(Partial { sequence, max_index, began, number, parts: BTreeMap::new() });
            self.partials.len() - 1
        });
        let partial = &mut self.partials[at];
        partial.parts.insert(index, part.to_vec());
        let complete = partial.parts.len() == usize::from(max_index) + 1;
        let too_long = partial.parts.values().map(Vec::len).sum::<usize>() > self.limits.message;
        if complete || too_long {
            let partial = self.partials.remove(at);
            return (!too_long).then(|| partial.parts.into_values().flatten().collect());
        }
        if self.partials.len() > self.limits.partials {
            self.partials.remove(0);
        }
        None
    }
}
