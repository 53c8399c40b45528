//! Tests over random messages and damaged frames.

mod fields;
mod wild;

use bytes::Bytes;
use uuid::Uuid;

use self::wild::{arm, body, field};
use super::{chunk, decode, decode_generated, encode, encode_generated};
use crate::encoding::random::Random;
use crate::message::{
    DataPointGroup, DownstreamCall, DownstreamChunk, Message, OrAlias, StreamChunk, UpstreamCall,
    UpstreamChunk, UpstreamInfo,
};

/// Every frame among the vectors.
fn vectors() -> Vec<Bytes> {
    let texts = [
        include_str!("../../../../tests/vectors/messages.json"),
        include_str!("../../../../tests/vectors/malformed.json"),
        include_str!("../../../../tests/vectors/accept.json"),
    ];
    let mut frames = Vec::new();
    for text in texts {
        let entries: Vec<serde_json::Value> = serde_json::from_str(text).unwrap();
        for entry in entries {
            for key in ["proto_hex", "hex"] {
                if let Some(hex) = entry[key].as_str() {
                    frames.push(unhex(hex));
                }
            }
        }
    }
    frames
}

fn unhex(hex: &str) -> Bytes {
    (0..hex.len() / 2).map(|index| u8::from_str_radix(&hex[2 * index..2 * index + 2], 16).unwrap()).collect()
}

/// Checks that the codec of chunks and the generated types agree on a frame. Whether the codec of
/// chunks was asked at all, and whether the frame was taken.
fn compare(frame: &Bytes) -> (bool, bool) {
    let slow = decode_generated(frame.clone());
    assert_eq!(decode(frame.clone()).is_ok(), slow.is_ok(), "{frame:02x?}");
    let Some(fast) = chunk::decode(frame) else {
        return (false, slow.is_ok());
    };
    match (&fast, &slow) {
        (Ok(fast), Ok(slow)) => assert_eq!(fast, slow, "{frame:02x?}"),
        (Err(error), Err(_)) => assert!(!error.to_string().is_empty()),
        _ => panic!("fast {fast:?}, slow {slow:?} on {frame:02x?}"),
    }
    (true, slow.is_ok())
}

/// A damaged copy of a frame.
fn mutated(random: &mut Random, frame: &[u8]) -> Bytes {
    let mut bytes = frame.to_vec();
    for _ in 0..=random.below(3) {
        let at = random.below(bytes.len() + 1);
        let byte = random.next() as u8;
        match random.below(8) {
            0 => bytes.truncate(at),
            1 => bytes.insert(at, byte),
            2 if at < bytes.len() => drop(bytes.remove(at)),
            3 if at < bytes.len() => bytes[at] = [0, 1, 0x7f, 0x80, 0xff][random.below(5)],
            4 | 5 if at < bytes.len() => bytes[at] ^= 1 << (byte & 7),
            _ if at < bytes.len() => bytes[at] = byte,
            _ => bytes.push(byte),
        }
    }
    bytes.into()
}

#[test]
fn random_messages_survive() {
    let mut random = Random::new(1);
    for _ in 0..200 {
        for kind in 0..Random::KINDS {
            let message = random.message(kind);
            let bytes = encode(&message);
            assert_eq!(decode(bytes.clone()).as_ref(), Ok(&message), "{message:?}");
            // Both ways of encoding and decoding are one.
            assert_eq!(encode_generated(&message), bytes, "{message:?}");
            assert_eq!(decode_generated(bytes).as_ref(), Ok(&message), "{message:?}");
        }
    }
}

#[test]
fn damaged_messages_do_no_harm() {
    let mut random = Random::new(2);
    let mut refused = 0;
    for _ in 0..100 {
        for kind in 0..Random::KINDS {
            let message = random.message(kind);
            let frame = encode(&message);
            for _ in 0..5 {
                let damaged = mutated(&mut random, &frame);
                if let Ok(message) = decode(damaged) {
                    // What is taken is a message like any other.
                    assert_eq!(decode(encode(&message)), Ok(message));
                } else {
                    refused += 1;
                }
            }
        }
    }
    assert!(refused > 5_000, "{refused}");
}

#[test]
fn every_truncation_of_a_chunk_is_refused() {
    let mut random = Random::new(3);
    for _ in 0..50 {
        let frame = encode(&random.chunk_message());
        for len in 0..frame.len() {
            assert!(decode(frame.slice(..len)).is_err());
        }
    }
}

#[test]
fn both_codecs_agree_on_vectors() {
    let mut random = Random::new(4);
    let mut fast = 0;
    for frame in vectors() {
        fast += usize::from(compare(&frame).0);
        for _ in 0..20 {
            compare(&mutated(&mut random, &frame));
        }
    }
    assert!(fast >= 50, "only {fast} chunks among the vectors");
}

#[test]
fn both_codecs_agree_on_damaged_chunks() {
    let mut random = Random::new(5);
    let (mut fast, mut taken) = (0, 0);
    for _ in 0..20_000 {
        let message = random.chunk_message();
        let number = if matches!(message, Message::UpstreamChunk(_)) { 70 } else { 134 };
        // The damage is inside of the arm, so that the frame still is exactly one chunk.
        let damaged = mutated(&mut random, body(&encode(&message)));
        let result = compare(&arm(number, &damaged));
        fast += usize::from(result.0);
        taken += usize::from(result.1);
        compare(&mutated(&mut random, &encode(&message)));
    }
    assert_eq!(fast, 20_000);
    assert!((500..19_500).contains(&taken), "{taken}");
}

#[test]
fn both_codecs_agree_on_unusual_chunks() {
    let mut random = Random::new(6);
    let (mut fast, mut taken) = (0, 0);
    for _ in 0..40_000 {
        let result = compare(&wild::frame(&mut random));
        fast += usize::from(result.0);
        taken += usize::from(result.1);
    }
    assert!(fast > 30_000, "{fast}");
    assert!((5_000..35_000).contains(&taken), "{taken}");
}

#[test]
fn runs_of_points_share_the_memory_of_the_frame() {
    let message = Message::UpstreamChunk(UpstreamChunk {
        chunk: StreamChunk {
            sequence_number: 1,
            groups: vec![DataPointGroup {
                data_id: OrAlias::Alias(0),
                points: [(1, b"abc"), (-2, b"def")].into_iter().collect(),
            }],
        },
        ..Default::default()
    });
    let frame = encode(&message);
    let Ok(Message::UpstreamChunk(chunk)) = decode(frame.clone()) else { panic!() };
    let run = chunk.chunk.groups[0].points.as_bytes();
    assert_eq!(frame.slice_ref(run), run);
}

#[test]
fn a_small_payload_does_not_keep_a_large_frame_alive() {
    let points = |len| StreamChunk {
        sequence_number: 1,
        groups: [&b"x"[..], &vec![7; len]]
            .map(|payload| DataPointGroup {
                data_id: OrAlias::Alias(0),
                points: [(1, payload)].into_iter().collect(),
            })
            .into(),
    };
    let messages = |len| {
        let (chunk, payload) = (points(len), Bytes::from(vec![7; len]));
        let upstream = OrAlias::Alias(1);
        [
            (70, Message::UpstreamChunk(UpstreamChunk { chunk: chunk.clone(), ..Default::default() })),
            (
                134,
                Message::DownstreamChunk(DownstreamChunk {
                    stream_id_alias: 1,
                    upstream,
                    chunk,
                    filter_references: Vec::new(),
                }),
            ),
            (256, Message::UpstreamCall(UpstreamCall { payload: payload.clone(), ..Default::default() })),
            (258, Message::DownstreamCall(DownstreamCall { payload, ..Default::default() })),
        ]
    };
    // The rest is a field that nobody reads.
    for (len, rest, shared) in [(100, 5000, false), (5000, 100, true), (10, 100, true)] {
        for (number, message) in messages(len) {
            let frame = encode(&message);
            let frame = arm(number, &[body(&frame), &field(999, &vec![0; rest])].concat());
            let decoded = decode(frame.clone());
            assert_eq!(decoded.as_ref(), Ok(&message));
            assert_eq!(!frame.is_unique(), shared, "{len} of {rest}: {}", message.name());
        }
    }
}

#[test]
fn what_points_bring_along_is_passed_on() {
    // Field 17 of a point is unknown.
    let group = b"\x10\x05\x1a\x07\x08\x02\x8a\x01\x02ab";
    let frame = arm(70, &field(2, &field(2, group)));
    let message = decode(frame.clone()).unwrap();
    assert_eq!(encode(&message), frame);
    // Nevertheless it is the same message as without.
    let canonical = encode_generated(&message);
    assert_eq!(canonical.len(), frame.len() - 5);
    assert_eq!(decode(canonical), Ok(message));
}

#[test]
fn scattered_records_become_one_run() {
    // Records, an alias between them, a record whose key has a needless byte, one more record.
    let group = b"\x1a\x02\x08\x02\x1a\x00\x10\x05\x1a\x02\x08\x04\x9a\x00\x03\x12\x01z\x1a\x02\x08\x06";
    let chunk = field(2, &field(2, group));
    let Ok(Message::UpstreamChunk(chunk)) = decode(arm(70, &chunk)) else { panic!() };
    let [group] = &chunk.chunk.groups[..] else { panic!() };
    assert_eq!(group.data_id, OrAlias::Alias(5));
    let points = [(1, &b""[..]), (0, b""), (2, b""), (0, b"z"), (3, b"")];
    assert_eq!(group.points, points.into_iter().collect());
}

#[test]
fn repeated_messages_are_merged_and_the_last_arm_counts() {
    let chunk = |sequence: u8, alias: u8| field(4, &[&[8, sequence][..], &field(2, &[0x10, alias])].concat());
    let info = [field(1, b"s"), field(2, &[9; 16])].concat();
    let body = [
        field(2, b"\x12\x01\x00"),
        vec![0x18, 7],
        chunk(1, 1),
        field(2, &info),
        chunk(2, 2),
        field(2, &field(3, b"n")),
    ]
    .concat();
    let Ok(Message::DownstreamChunk(message)) = decode(arm(134, &body)) else { panic!() };
    assert_eq!(
        message.upstream,
        OrAlias::Full(UpstreamInfo {
            session_id: "s".into(),
            stream_id: Uuid::from_bytes([9; 16]),
            source_node_id: "n".into(),
        })
    );
    assert_eq!(message.chunk.sequence_number, 2);
    assert_eq!(message.chunk.groups.len(), 2);

    // The arm twice, once in each codec.
    let twice = [&arm(134, &body)[..], &arm(134, b"\x08\x05")].concat();
    let Ok(Message::DownstreamChunk(merged)) = decode(twice.into()) else { panic!() };
    assert_eq!(merged, DownstreamChunk { stream_id_alias: 5, ..message });
}

#[test]
fn errors_name_the_field() {
    let info = field(2, &field(2, b"short"));
    for (frame, text) in [
        (&b""[..], "Message.message: not set"),
        (
            b"\x8a\x04\x0a\x12\x08\x00\x00\x00\x00\x00\x00\x00\x00",
            "UpstreamOpenResponse.assigned_stream_id: 8 bytes instead of 16",
        ),
        (b"\xc2\x04\x00", "UpstreamMetadata.metadata: not set"),
        (b"\xb2\x08\x00", "DownstreamChunk.upstream_or_alias: not set"),
        (b"\xb2\x04\x04\x12\x02\x12\x00", "DataPointGroup.data_id_or_alias: not set"),
        (b"\xb2\x04\x02\x0a\x00", "UpstreamChunk.stream_id_alias: wire type 2 instead of 0"),
        (b"\xb2\x04\x05\x1a\x03\x0a\x01\xff", "DataID.name: not UTF-8"),
        (b"\xb2\x04\x03\x12\x05\x00", "UpstreamChunk.stream_chunk: length past the end of the message"),
        (&arm(134, &info), "UpstreamInfo.stream_id: 5 bytes instead of 16"),
        (
            b"\x0a\x06\x32\x04\x82\x40\x01\x0a",
            "failed to decode Protobuf message: IntdashExtensionFields.project_uuid: \
             ConnectRequestExtensionFields.intdash: ConnectRequest.extension_fields: Message.message",
        ),
        (b"\x0a\x05\x32\x03\x82\x40\x00", "IntdashExtensionFields.project_uuid: \"\" is no UUID"),
    ] {
        let error = decode(Bytes::copy_from_slice(frame)).unwrap_err().to_string();
        assert!(error.starts_with(text), "{error}");
    }
}
