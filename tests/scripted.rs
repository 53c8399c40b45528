//! The C interface against a server that shows what it was sent and sends what the broker does not.

#[path = "support/c_api.rs"]
mod c_api;
#[path = "support/scripted_server.rs"]
mod scripted_server;

use iscp::error::Status;
use iscp::message::{
    BaseTime, DataFilter, DataId, DataPointGroup, DownstreamChunk, DownstreamFilter, DownstreamMetadata,
    FilterReference, Message, Metadata, OrAlias, Qos, StreamChunk, UpstreamInfo,
};
use uuid::Uuid;

use c_api::{Conn, Down};
use scripted_server::{STREAM, ScriptedServer};

fn quiet(_: &Message) -> Vec<Message> {
    Vec::new()
}

fn connect(server: &ScriptedServer) -> Conn {
    Conn::connect(&[("url", &server.url), ("node_id", "node")]).unwrap()
}

/// What is sent once a downstream was opened.
fn once_open(messages: Vec<Message>) -> impl FnMut(&Message) -> Vec<Message> + Send {
    move |message| match message {
        Message::DownstreamOpenRequest(_) => messages.clone(),
        _ => Vec::new(),
    }
}

#[test]
fn servers_of_2_0_0_up_to_3_0_x_are_accepted() {
    for version in ["2.0.0", "2.1.0", "2.9.9", "3.0.0", "3.0.7", "3.0"] {
        let server = ScriptedServer::start(version, quiet);
        let conn = connect(&server);
        assert_eq!(conn.protocol_version(), version);
        let announced = server.expect(|message| match message {
            Message::ConnectRequest(request) => Some(request.protocol_version),
            _ => None,
        });
        assert_eq!(announced, "3.0.0");
        // Streams and metadata work with each of them, tokens to resume or not.
        conn.upstream(&[], false);
        conn.send_base_time(false);
        drop(conn.downstream(&[("filter", "node #:#")]));
    }
}

#[test]
fn servers_of_other_versions_are_refused() {
    for version in ["", "v3.0.0", "1.9.9", "3.1.0", "4.0.0", "three"] {
        let server = ScriptedServer::start(version, quiet);
        let (status, message) = Conn::connect(&[("url", &server.url)]).err().unwrap();
        assert_eq!(status, Status::IncompatibleVersion.number(), "{version}");
        assert!(message.contains(&format!("{version:?}")), "{message}");
    }
}

#[test]
fn the_connect_request_carries_token_and_project() {
    let project = "8f14e45f-ceea-467f-a8f3-0d2e8a1b2c3d";
    for (options, token, uuid) in [
        (&[][..], "", None),
        (&[("token", "secret")], "secret", None),
        (&[("token", "secret"), ("project_uuid", project)], "secret", Some(project)),
    ] {
        let server = ScriptedServer::start("3.0.0", quiet);
        let _conn = Conn::connect(&[&[("url", server.url.as_str())], options].concat()).unwrap();
        let request = server.expect(|message| match message {
            Message::ConnectRequest(request) => Some(request),
            _ => None,
        });
        assert_eq!(request.access_token, token);
        assert_eq!(request.project_uuid, uuid.map(|uuid| Uuid::try_parse(uuid).unwrap()));
    }
}

#[test]
fn persist_and_close_session_are_what_the_application_says() {
    let server = ScriptedServer::start("3.0.0", quiet);
    let conn = connect(&server);
    for (text, flag) in [("true", true), ("false", false)] {
        conn.upstream(&[("persist", text)], flag);
        conn.send_base_time(flag);
        let persist = server.expect(|message| match message {
            Message::UpstreamOpenRequest(request) => Some(request.persist),
            _ => None,
        });
        let close_session = server.expect(|message| match message {
            Message::UpstreamCloseRequest(request) => Some(request.close_session),
            _ => None,
        });
        let metadata = server.expect(|message| match message {
            Message::UpstreamMetadata(metadata) => Some(metadata),
            _ => None,
        });
        assert_eq!((persist, close_session, metadata.persist), (flag, flag, flag));
        let expected = BaseTime {
            session_id: "session".to_owned(),
            name: "edge_rtc".to_owned(),
            priority: 300,
            elapsed_time_ns: 7,
            base_time_ns: -5,
        };
        assert_eq!(metadata.base_time, expected);
    }
}

#[test]
fn omit_empty_chunk_is_what_the_application_says() {
    let server = ScriptedServer::start("3.0.0", quiet);
    let conn = connect(&server);
    for (options, omit) in
        [(&[][..], false), (&[("omit_empty_chunk", "true")], true), (&[("omit_empty_chunk", "false")], false)]
    {
        drop(conn.downstream(&[&[("filter", "node #:#")], options].concat()));
        let sent = server.expect(|message| match message {
            Message::DownstreamOpenRequest(request) => Some(request.omit_empty_chunk),
            _ => None,
        });
        assert_eq!(sent, omit);
    }
}

fn every_kind() -> Vec<Metadata> {
    let (stream_id, qos, session) = (STREAM, Qos::Partial, "session");
    let filter = DownstreamFilter {
        source_node_id: "a".to_owned(),
        data_filters: vec![DataFilter { name: "#".to_owned(), kind: "#".to_owned() }; 2],
    };
    let filters = vec![filter.clone(), DownstreamFilter { source_node_id: "b".to_owned(), ..filter }];
    let session_id = || session.to_owned();
    vec![
        Metadata::BaseTime(BaseTime { session_id: session_id(), ..BaseTime::default() }),
        Metadata::UpstreamOpen { stream_id, session_id: session_id(), qos },
        Metadata::UpstreamAbnormalClose { stream_id, session_id: session_id() },
        Metadata::UpstreamResume { stream_id, session_id: session_id(), qos },
        Metadata::UpstreamNormalClose {
            stream_id,
            session_id: session_id(),
            total_data_points: 1,
            final_sequence_number: 1,
        },
        Metadata::DownstreamOpen { stream_id, filters: filters.clone(), qos },
        Metadata::DownstreamAbnormalClose { stream_id },
        Metadata::DownstreamResume { stream_id, filters, qos },
        Metadata::DownstreamNormalClose { stream_id },
    ]
}

/// Kind, session, QoS and number of filters, as the application is told.
const TOLD: [(&str, &str, i32, usize); 9] = [
    ("base_time", "session", 0, 0),
    ("upstream_open", "session", 2, 0),
    ("upstream_abnormal_close", "session", 0, 0),
    ("upstream_resume", "session", 2, 0),
    ("upstream_normal_close", "session", 0, 0),
    ("downstream_open", "", 2, 4),
    ("downstream_abnormal_close", "", 0, 0),
    ("downstream_resume", "", 2, 4),
    ("downstream_normal_close", "", 0, 0),
];

#[test]
fn every_kind_of_metadata_arrives_and_is_acknowledged() {
    // The second server does not say for which stream its metadata is, as old ones of version 2 do not;
    // the third tells of a node that no filter names.
    for (version, stream_id_alias, source) in [("3.0.0", 1, "node"), ("2.0.0", 0, "node"), ("3.0.0", 1, "x")]
    {
        let messages = every_kind().into_iter().zip(0..).map(|(metadata, i)| {
            let source_node_id = source.to_owned();
            let request_id = 2 * i + 1;
            Message::DownstreamMetadata(DownstreamMetadata {
                request_id,
                stream_id_alias,
                source_node_id,
                metadata,
            })
        });
        let server = ScriptedServer::start(version, once_open(messages.collect()));
        let conn = connect(&server);
        let down = conn.downstream(&[("filter", "node #:#")]);
        for (i, (kind, session, qos, filters)) in (0..).zip(TOLD) {
            let expected = (kind.to_owned(), source.to_owned(), session.to_owned(), qos, filters);
            assert_eq!(down.next_metadata(), expected);
            let acknowledged = server.expect(|message| match message {
                Message::DownstreamMetadataAck(reply) => Some((reply.request_id, reply.result_code.0)),
                _ => None,
            });
            assert_eq!(acknowledged, (2 * i + 1, 0));
        }
    }
}

fn chunk(sequence_number: u32, groups: usize, references: &[&[(u32, u32)]]) -> Message {
    let group = DataPointGroup {
        data_id: OrAlias::Full(DataId::new("name", "type")),
        points: [(1, "x")].into_iter().collect(),
    };
    let reference = |(filter, data_filter): &(u32, u32)| FilterReference {
        downstream_filter_index: *filter,
        data_filter_index: *data_filter,
    };
    Message::DownstreamChunk(DownstreamChunk {
        stream_id_alias: 1,
        upstream: OrAlias::Full(UpstreamInfo {
            session_id: "session".to_owned(),
            stream_id: STREAM,
            source_node_id: "a".to_owned(),
        }),
        chunk: StreamChunk { sequence_number, groups: vec![group; groups] },
        filter_references: references.iter().map(|group| group.iter().map(reference).collect()).collect(),
    })
}

#[test]
fn filter_references_become_the_numbers_of_the_filters() {
    let messages = vec![
        chunk(1, 3, &[&[(0, 0)], &[(1, 0), (0, 1)], &[]]),
        // Of a server that does not say.
        chunk(2, 2, &[]),
        // Fewer than groups, and some that name no filter.
        chunk(3, 2, &[&[(7, 0), (0, 1), (0, 2), (u32::MAX, u32::MAX)]]),
        // More than groups.
        chunk(4, 1, &[&[(1, 0)], &[(0, 0)]]),
        chunk(5, 0, &[]),
    ];
    let server = ScriptedServer::start("3.0.0", once_open(messages));
    let conn = connect(&server);
    let down = conn.downstream(&[("filter", "a #:x"), ("filter", "b #:#"), ("filter", "a t:#")]);
    let expected: [&[&[u32]]; 5] = [&[&[0], &[1, 2], &[]], &[&[], &[]], &[&[2], &[]], &[&[1]], &[]];
    for filters in expected {
        assert_eq!(down.next_filters(), filters);
    }
}

fn numbered(numbers: &[u32]) -> Vec<Message> {
    numbers.iter().map(|number| chunk(*number, 1, &[])).collect()
}

fn reader(conn: &Conn, options: &[(&str, &str)]) -> Down {
    conn.downstream(&[&[("node", "a")], options].concat())
}

/// Statistics: reordered, given up, late, late and dropped chunks.
fn order_statistics(down: &Down) -> [u64; 4] {
    [13, 15, 16, 17].map(|stat| down.stat(stat))
}

#[test]
fn chunks_come_in_the_order_that_the_application_chose() {
    let sent = [1, 3, 5, 4, 2, 6, 6];
    for (options, expected, statistics) in [
        (&[("chunk_order", "as_received")][..], &[1, 3, 5, 4, 2, 6, 6][..], [0, 0, 0, 0]),
        (&[("chunk_order", "as_received"), ("qos", "reliable")], &[1, 3, 5, 4, 2, 6], [0, 0, 0, 0]),
        (&[("chunk_order", "best_effort")], &[1, 2, 3, 4, 5, 6], [3, 0, 0, 0]),
        (&[("chunk_order", "strict")], &[1, 2, 3, 4, 5, 6], [3, 0, 0, 0]),
        (&[("chunk_order", "strict"), ("qos", "reliable")], &[1, 2, 3, 4, 5, 6], [3, 0, 0, 0]),
        // Only one chunk may wait.
        (&[("chunk_order", "best_effort"), ("reorder_limit", "1")], &[1, 3, 4, 5, 2, 6], [2, 1, 1, 0]),
        (&[("chunk_order", "strict"), ("reorder_limit", "1")], &[1, 3, 4, 5, 6], [2, 1, 1, 1]),
    ] {
        let server = ScriptedServer::start("3.0.0", once_open(numbered(&sent)));
        let conn = connect(&server);
        // Nothing is given up for time.
        let down = reader(&conn, &[options, &[("reorder_wait_ms", "3600000")]].concat());
        let received: Vec<_> = expected.iter().map(|_| down.next_number().unwrap()).collect();
        assert_eq!(received, expected, "{options:?}");
        assert_eq!(order_statistics(&down), statistics, "{options:?}");
    }
}

#[test]
fn a_missing_chunk_is_waited_for_no_longer_than_the_application_says() {
    for order in ["best_effort", "strict"] {
        let server = ScriptedServer::start("3.0.0", once_open(numbered(&[1, 3, 4])));
        let conn = connect(&server);
        let down = reader(&conn, &[("chunk_order", order), ("reorder_wait_ms", "50")]);
        assert_eq!([(); 3].map(|()| down.next_number().unwrap()), [1, 3, 4]);
        assert_eq!(order_statistics(&down), [2, 1, 0, 0]);
        assert_eq!(down.stat(12), 1, "lost");
    }
}

#[test]
fn a_strict_reliable_stream_ends_naming_what_is_missing() {
    let server = ScriptedServer::start("3.0.0", once_open(numbered(&[1, 3, 4, 6])));
    let conn = connect(&server);
    let options = [("chunk_order", "strict"), ("qos", "reliable"), ("reorder_limit", "2")];
    let down = reader(&conn, &options);
    assert_eq!(down.next_number(), Ok(1));
    let (status, message) = down.next_number().unwrap_err();
    assert_eq!(status, Status::OutOfOrder.number());
    assert!(message.contains("2, 5") && message.contains(&STREAM.to_string()), "{message}");
}

/// Numbers of the next `count` chunks that are acknowledged.
fn acknowledged(server: &ScriptedServer, count: usize) -> Vec<u32> {
    let mut numbers = Vec::new();
    while numbers.len() < count {
        numbers.extend(server.expect(|message| match message {
            Message::DownstreamChunkAck(ack) => {
                let results = ack.results.into_iter();
                Some(results.map(|result| result.upstream_sequence_number).collect::<Vec<_>>())
            }
            _ => None,
        }));
    }
    numbers
}

#[test]
fn a_reader_that_pauses_acknowledges_what_was_taken_and_one_that_fails_what_came() {
    for policy in ["auto", "pause", "fail"] {
        let server = ScriptedServer::start("3.0.0", once_open(numbered(&[1, 2, 3])));
        let conn = connect(&server);
        let options = [("qos", "reliable"), ("buffer_policy", policy), ("ack_interval_ms", "10")];
        let down = reader(&conn, &options);
        if policy == "fail" {
            assert_eq!(acknowledged(&server, 3), [1, 2, 3]);
        } else {
            assert_eq!([down.next_number(), down.next_number()], [Ok(1), Ok(2)]);
            assert_eq!(acknowledged(&server, 2), [1, 2], "{policy}");
            assert_eq!(down.next_number(), Ok(3));
            assert_eq!(acknowledged(&server, 1), [3]);
        }
    }
}
