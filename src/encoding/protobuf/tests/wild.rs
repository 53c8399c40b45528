//! Chunks as no encoder writes them: fields in any order, several times, with needless bytes, of
//! unknown numbers, of the wrong type now and then.

use bytes::Bytes;

use crate::encoding::random::Random;

/// Messages inside a chunk.
#[derive(Clone, Copy)]
enum Kind {
    UpstreamChunk,
    DownstreamChunk,
    StreamChunk,
    Group,
    Point,
    DataId,
    Info,
    References,
    Reference,
    Block,
}

/// Types of fields.
#[derive(Clone, Copy)]
enum Type {
    Number,
    Text,
    StreamId,
    Numbers,
    Inner(Kind),
}

fn fields(kind: Kind) -> &'static [(u64, Type)] {
    use Type::{Inner, Number, Numbers, StreamId, Text};
    match kind {
        Kind::UpstreamChunk => {
            &[(1, Number), (2, Inner(Kind::StreamChunk)), (3, Inner(Kind::DataId)), (4, Inner(Kind::Block))]
        }
        Kind::DownstreamChunk => &[
            (1, Number),
            (2, Inner(Kind::Info)),
            (3, Number),
            (4, Inner(Kind::StreamChunk)),
            (5, Inner(Kind::Block)),
            (6, Inner(Kind::References)),
        ],
        Kind::StreamChunk => &[(1, Number), (2, Inner(Kind::Group))],
        Kind::Group => &[
            (1, Inner(Kind::DataId)),
            (2, Number),
            (3, Inner(Kind::Point)),
            (3, Inner(Kind::Point)),
            (4, Numbers),
        ],
        Kind::Point => &[(1, Number), (2, Text)],
        Kind::DataId => &[(1, Text), (2, Text)],
        Kind::Info => &[(1, Text), (2, StreamId), (3, Text)],
        Kind::References => &[(1, Inner(Kind::Reference))],
        Kind::Reference => &[(1, Number), (2, Number)],
        Kind::Block => &[],
    }
}

/// A frame that is a chunk, mostly exactly one.
pub(super) fn frame(random: &mut Random) -> Bytes {
    let mut frame = Vec::new();
    for _ in 0..=usize::from(random.below(10) == 0) {
        let (number, kind) = match random.below(2) {
            0 => (70, Kind::UpstreamChunk),
            _ => (134, Kind::DownstreamChunk),
        };
        let mut inner = message(random, kind);
        if kind as u8 == Kind::DownstreamChunk as u8 && random.below(2) == 0 {
            inner.extend([0x18, 0]);
        }
        put_key(random, &mut frame, number, 2);
        put_len(random, &mut frame, &inner);
    }
    frame.into()
}

fn message(random: &mut Random, kind: Kind) -> Vec<u8> {
    let known = fields(kind);
    let mut bytes = Vec::new();
    // Ids that groups need for being taken, mostly.
    if matches!(kind, Kind::Group) && random.below(20) != 0 {
        bytes.extend([0x10, 1]);
    }
    for _ in 0..random.below(5) {
        if known.is_empty() || random.below(12) == 0 {
            unknown(random, &mut bytes);
        } else {
            let (number, kind) = known[random.below(known.len())];
            value(random, &mut bytes, number, kind);
        }
    }
    bytes
}

fn value(random: &mut Random, bytes: &mut Vec<u8>, number: u64, kind: Type) {
    if random.below(150) == 0 {
        let wire_type = random.below(8) as u64;
        put_key(random, bytes, number, wire_type);
        bytes.push(random.next() as u8);
        return;
    }
    match kind {
        Type::Number => {
            put_key(random, bytes, number, 0);
            let value = random.u64();
            put_varint(random, bytes, value);
        }
        Type::Text => {
            put_key(random, bytes, number, 2);
            let text: &[u8] = match random.below(100) {
                0 => b"\xff",
                1 => b"\xc3\xa9",
                other => &b"text"[..other % 5],
            };
            put_len(random, bytes, text);
        }
        Type::StreamId => {
            put_key(random, bytes, number, 2);
            let len = if random.below(20) == 0 { 15 } else { 16 };
            put_len(random, bytes, &[5; 16][..len]);
        }
        Type::Numbers if random.below(2) == 0 => value(random, bytes, number, Type::Number),
        Type::Numbers => {
            let mut packed = Vec::new();
            for _ in 0..random.below(4) {
                let value = random.u64();
                put_varint(random, &mut packed, value);
            }
            put_key(random, bytes, number, 2);
            put_len(random, bytes, &packed);
        }
        Type::Inner(kind) => {
            put_key(random, bytes, number, 2);
            let inner = message(random, kind);
            put_len(random, bytes, &inner);
        }
    }
}

/// An unknown field, groups included.
fn unknown(random: &mut Random, bytes: &mut Vec<u8>) {
    let number = 7 + random.next() % 3000;
    match random.below(5) {
        0 => {
            put_key(random, bytes, number, 0);
            let value = random.u64();
            put_varint(random, bytes, value);
        }
        1 => {
            put_key(random, bytes, number, 1);
            bytes.extend([0xff; 8]);
        }
        2 => {
            put_key(random, bytes, number, 2);
            put_len(random, bytes, b"\xff\xff");
        }
        3 => {
            put_key(random, bytes, number, 5);
            bytes.extend([0xff; 4]);
        }
        _ => {
            put_key(random, bytes, number, 3);
            for _ in 0..random.below(3) {
                unknown(random, bytes);
            }
            let end = number + u64::from(random.below(50) == 0);
            put_key(random, bytes, end, 4);
        }
    }
}

fn put_key(random: &mut Random, bytes: &mut Vec<u8>, number: u64, wire_type: u64) {
    put_varint(random, bytes, number << 3 | wire_type);
}

fn put_len(random: &mut Random, bytes: &mut Vec<u8>, inner: &[u8]) {
    let wrong = u64::from(random.below(300) == 0);
    put_varint(random, bytes, inner.len() as u64 + wrong);
    bytes.extend(inner);
}

/// A varint, now and then with needless bytes or one byte too many.
fn put_varint(random: &mut Random, bytes: &mut Vec<u8>, value: u64) {
    push_varint(bytes, value);
    if random.below(20) == 0 {
        for _ in 0..=random.below(4) {
            if let Some(last) = bytes.last_mut() {
                *last |= 0x80;
            }
            bytes.push(0);
        }
    }
}

fn push_varint(bytes: &mut Vec<u8>, mut value: u64) {
    while value >= 0x80 {
        bytes.push(value as u8 | 0x80);
        value >>= 7;
    }
    bytes.push(value as u8);
}

/// A varint field as it should be.
pub(super) fn number(number: u64, value: u64) -> Vec<u8> {
    let mut bytes = Vec::new();
    push_varint(&mut bytes, number << 3);
    push_varint(&mut bytes, value);
    bytes
}

/// A length-delimited field as it should be.
pub(super) fn field(number: u64, inner: &[u8]) -> Vec<u8> {
    let mut bytes = Vec::new();
    push_varint(&mut bytes, number << 3 | 2);
    push_varint(&mut bytes, inner.len() as u64);
    bytes.extend(inner);
    bytes
}

/// A frame of one arm.
pub(super) fn arm(number: u64, inner: &[u8]) -> Bytes {
    field(number, inner).into()
}

/// The message in a frame of one arm whose key has two bytes.
pub(super) fn body(frame: &[u8]) -> &[u8] {
    let len = frame[2..].iter().take_while(|byte| **byte >= 0x80).count() + 1;
    &frame[2 + len..]
}
