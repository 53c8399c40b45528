//! Messages written field by field, against the schema.

use uuid::Uuid;

use super::wild::{arm, field, number};
use super::{decode, encode};
use crate::message::{
    BaseTime, ConnectRequest, DataFilter, DataId, DownstreamChunkAck, DownstreamChunkResult,
    DownstreamFilter, DownstreamMetadata, DownstreamOpenRequest, Message, Metadata, Qos, ResultCode,
    UpstreamChunkAck, UpstreamInfo, UpstreamMetadata, UpstreamOpenRequest, UpstreamOpenResponse,
};

/// What the schema calls a number lands in the field it should.
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
                        &[field(1, b"s"), field(2, b"n"), number(3, 3), number(4, 4), number(5, 10)].concat(),
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
                    data_filters: vec![DataFilter { name: "n".into(), kind: "t".into() }],
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
                    field(3, &[field(1, &id), number(2, 5), number(3, 64), field(4, b"r")].concat()),
                    field(4, &entry(&[field(1, b"s"), field(2, &id), field(3, b"n")].concat())),
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
                    field(6, &[field(1, &id), field(2, b"s"), number(3, 8), number(4, 5)].concat()),
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
    let expect =
        |project_uuid| Ok(Message::ConnectRequest(ConnectRequest { project_uuid, ..Default::default() }));
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
        assert_eq!(encode(&message.unwrap()), arm(1, &field(6, &field(1024, &field(1, uuid.as_bytes())))));
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
