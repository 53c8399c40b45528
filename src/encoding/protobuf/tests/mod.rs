//! Tests over random messages and damaged frames.

mod random;
mod wild;

use bytes::Bytes;
use uuid::Uuid;

use self::random::Random;
use self::wild::{arm, body, field, number};
use super::{chunk, decode, decode_generated, encode, encode_generated};
use crate::message::{
    BaseTime, ConnectRequest, DataFilter, DataId, DataPointGroup, DownstreamChunk, DownstreamChunkAck,
    DownstreamChunkResult, DownstreamFilter, DownstreamMetadata, DownstreamOpenRequest, Message, Metadata,
    OrAlias, Qos, ResultCode, StreamChunk, UpstreamChunk, UpstreamChunkAck, UpstreamInfo, UpstreamMetadata,
    UpstreamOpenRequest, UpstreamOpenResponse,
};

/// Vectors of both chunk arms, as hex.
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
    (0..hex.len() / 2)
        .map(|index| u8::from_str_radix(&hex[2 * index..2 * index + 2], 16).unwrap())
        .collect()
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
        let number = if matches!(message, Message::UpstreamChunk(_)) {
            70
        } else {
            134
        };
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
    let Ok(Message::UpstreamChunk(chunk)) = decode(frame.clone()) else {
        panic!()
    };
    let run = chunk.chunk.groups[0].points.as_bytes();
    assert_eq!(frame.slice_ref(run), run);
}

#[test]
fn scattered_records_become_one_run() {
    // Records, an alias between them, a record whose key has a needless byte, one more record.
    let group = b"\x1a\x02\x08\x02\x1a\x00\x10\x05\x1a\x02\x08\x04\x9a\x00\x03\x12\x01z\x1a\x02\x08\x06";
    let chunk = field(2, &field(2, group));
    let Ok(Message::UpstreamChunk(chunk)) = decode(arm(70, &chunk)) else {
        panic!()
    };
    let [group] = &chunk.chunk.groups[..] else {
        panic!()
    };
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
    let Ok(Message::DownstreamChunk(message)) = decode(arm(134, &body)) else {
        panic!()
    };
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
    let Ok(Message::DownstreamChunk(merged)) = decode(twice.into()) else {
        panic!()
    };
    assert_eq!(
        merged,
        DownstreamChunk {
            stream_id_alias: 5,
            ..message
        }
    );
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
        (
            b"\xb2\x04\x04\x12\x02\x12\x00",
            "DataPointGroup.data_id_or_alias: not set",
        ),
        (
            b"\xb2\x04\x02\x0a\x00",
            "UpstreamChunk.stream_id_alias: wire type 2 instead of 0",
        ),
        (b"\xb2\x04\x05\x1a\x03\x0a\x01\xff", "DataID.name: not UTF-8"),
        (
            b"\xb2\x04\x03\x12\x05\x00",
            "UpstreamChunk.stream_chunk: length past the end of the message",
        ),
        (&arm(134, &info), "UpstreamInfo.stream_id: 5 bytes instead of 16"),
        (
            b"\x0a\x06\x32\x04\x82\x40\x01\x0a",
            "failed to decode Protobuf message: IntdashExtensionFields.project_uuid: \
             ConnectRequestExtensionFields.intdash: ConnectRequest.extension_fields: Message.message",
        ),
        (
            b"\x0a\x05\x32\x03\x82\x40\x00",
            "IntdashExtensionFields.project_uuid: \"\" is no UUID",
        ),
    ] {
        let error = decode(Bytes::copy_from_slice(frame)).unwrap_err().to_string();
        assert!(error.starts_with(text), "{error}");
    }
}

/// Messages written field by field: what the schema calls a number lands in the field it should.
#[test]
fn fields_are_where_they_should_be() {
    let id = [7; 16];
    let data_id = [field(1, b"n"), field(2, b"t")].concat();
    let entry = |value: &[u8]| [number(1, 4), field(2, value)].concat();
    let cases = [
        (
            arm(
                64,
                &[
                    number(1, 2),
                    field(2, b"s"),
                    number(3, 100),
                    number(5, 10),
                    field(6, &data_id),
                    number(7, 1),
                    field(8, &number(1, 1)),
                ]
                .concat(),
            ),
            Message::UpstreamOpenRequest(UpstreamOpenRequest {
                request_id: 2,
                session_id: "s".into(),
                ack_interval_ms: 100,
                expiry_interval_s: 10,
                data_ids: vec![DataId::new("n", "t")],
                qos: Qos::Reliable,
                persist: true,
            }),
        ),
        (
            arm(
                65,
                &[
                    number(1, 2),
                    field(2, &id),
                    number(3, 3),
                    field(4, &entry(&data_id)),
                    number(5, 9),
                    number(6, 64),
                    field(7, b"r"),
                    field(9, b"k"),
                ]
                .concat(),
            ),
            Message::UpstreamOpenResponse(UpstreamOpenResponse {
                request_id: 2,
                stream_id: Uuid::from_bytes(id),
                stream_id_alias: 3,
                data_id_aliases: [(4, DataId::new("n", "t"))].into(),
                server_time_ns: -5,
                result_code: ResultCode::UNSPECIFIED_ERROR,
                result_string: "r".into(),
                resume_token: "k".into(),
            }),
        ),
        (
            arm(
                72,
                &[
                    number(1, 2),
                    field(
                        2,
                        &[
                            field(1, b"s"),
                            field(2, b"n"),
                            number(3, 3),
                            number(4, 4),
                            number(5, 10),
                        ]
                        .concat(),
                    ),
                    field(4, b""),
                ]
                .concat(),
            ),
            Message::UpstreamMetadata(UpstreamMetadata {
                request_id: 2,
                base_time: BaseTime {
                    session_id: "s".into(),
                    name: "n".into(),
                    priority: 3,
                    elapsed_time_ns: 4,
                    base_time_ns: 5,
                },
                persist: false,
            }),
        ),
        (
            arm(
                128,
                &[
                    number(1, 2),
                    number(2, 3),
                    field(3, &[field(1, b"s"), field(2, &data_id)].concat()),
                    number(4, 5),
                    field(5, &entry(&data_id)),
                    number(6, 2),
                    number(8, 1),
                ]
                .concat(),
            ),
            Message::DownstreamOpenRequest(DownstreamOpenRequest {
                request_id: 2,
                desired_stream_id_alias: 3,
                filters: vec![DownstreamFilter {
                    source_node_id: "s".into(),
                    data_filters: vec![DataFilter {
                        name: "n".into(),
                        kind: "t".into(),
                    }],
                }],
                expiry_interval_s: 5,
                data_id_aliases: [(4, DataId::new("n", "t"))].into(),
                qos: Qos::Partial,
                omit_empty_chunk: true,
            }),
        ),
        (
            arm(
                135,
                &[
                    number(1, 2),
                    number(2, 3),
                    field(
                        3,
                        &[field(1, &id), number(2, 5), number(3, 64), field(4, b"r")].concat(),
                    ),
                    field(
                        4,
                        &entry(&[field(1, b"s"), field(2, &id), field(3, b"n")].concat()),
                    ),
                    field(5, &entry(&data_id)),
                ]
                .concat(),
            ),
            Message::DownstreamChunkAck(DownstreamChunkAck {
                stream_id_alias: 2,
                ack_id: 3,
                results: vec![DownstreamChunkResult {
                    upstream_stream_id: Uuid::from_bytes(id),
                    upstream_sequence_number: 5,
                    result_code: ResultCode::UNSPECIFIED_ERROR,
                    result_string: "r".into(),
                }],
                upstream_aliases: [(
                    4,
                    UpstreamInfo {
                        session_id: "s".into(),
                        stream_id: Uuid::from_bytes(id),
                        source_node_id: "n".into(),
                    },
                )]
                .into(),
                data_id_aliases: [(4, DataId::new("n", "t"))].into(),
            }),
        ),
        (
            arm(
                137,
                &[
                    number(1, 1),
                    field(
                        6,
                        &[field(1, &id), field(2, b"s"), number(3, 8), number(4, 5)].concat(),
                    ),
                    field(11, b"n"),
                    number(13, 9),
                ]
                .concat(),
            ),
            Message::DownstreamMetadata(DownstreamMetadata {
                request_id: 1,
                stream_id_alias: 9,
                source_node_id: "n".into(),
                metadata: Metadata::UpstreamNormalClose {
                    stream_id: Uuid::from_bytes(id),
                    session_id: "s".into(),
                    total_data_points: 8,
                    final_sequence_number: 5,
                },
            }),
        ),
    ];
    for (frame, message) in cases {
        assert_eq!(decode(frame), Ok(message));
    }
}

#[test]
fn project_uuid() {
    let request = |block: &[u8]| decode(arm(1, &field(6, block)));
    let project = |text: &str| request(&field(1024, &field(1, text.as_bytes())));
    let uuid = "01234567-89ab-cdef-0123-456789abcdef";
    let expect = |project_uuid| {
        Ok(Message::ConnectRequest(ConnectRequest {
            project_uuid,
            ..Default::default()
        }))
    };
    assert_eq!(request(b""), expect(None));
    assert_eq!(project(&Uuid::nil().to_string()), expect(Some(Uuid::nil())));
    for spelling in [
        uuid.to_owned(),
        uuid.to_uppercase(),
        uuid.replace('-', ""),
        format!("{{{uuid}}}"),
        format!("urn:uuid:{uuid}"),
    ] {
        let message = project(&spelling);
        assert_eq!(message, expect(Some(uuid.parse().unwrap())));
        assert_eq!(
            encode(&message.unwrap()),
            arm(1, &field(6, &field(1024, &field(1, uuid.as_bytes()))))
        );
    }
    for bad in ["", "x", &uuid[1..]] {
        assert!(project(bad).is_err());
    }
}

#[test]
fn map_entries_have_both_parts() {
    let ack = Message::UpstreamChunkAck(UpstreamChunkAck {
        data_id_aliases: [(0, DataId::default()), (1, DataId::default())].into(),
        ..Default::default()
    });
    let entries = [field(3, b"\x08\x00\x12\x00"), field(3, b"\x08\x01\x12\x00")].concat();
    assert_eq!(encode(&ack), arm(71, &entries));
}
