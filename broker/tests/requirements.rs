//! The requirements of docs/protocol/behaviour.md §11 and the tests that show each. Paths are relative to the
//! root of the repository; tests below are of this file.
//!
//! | # | requirement | tests |
//! |---|---|---|
//! | 1 | any path, unknown query keys | broker/tests/websocket.rs `every_path_is_served_and_odd_parameters_are_refused_in_words` |
//! | 2 | lenient negotiation values | broker/tests/websocket.rs `every_path_is_served_and_odd_parameters_are_refused_in_words` |
//! | 3 | protobuf and JSON in binary frames | broker/tests/requirements.rs `both_encodings_are_answered_in_binary_frames` |
//! | 4 | token in the request or the HTTP header | broker/tests/requirements.rs `a_token_in_the_http_header_opens_the_door`, broker/src/core/tests/connection.rs `a_token_opens_the_door_from_the_request_or_the_header` |
//! | 5 | ConnectRequest within a time limit | broker/src/core/tests/connection.rs `a_silent_client_is_disconnected_with_connect_timeout` |
//! | 6 | any request id is echoed | broker/src/core/tests/connection.rs `the_response_echoes_the_request_id_and_a_version_the_client_accepts` |
//! | 7 | versions | broker/src/core/version.rs `clients_get_the_version_they_can_check`, broker/src/core/tests/connection.rs `an_unknown_version_is_refused_and_the_connection_closed` |
//! | 8 | a refused connection is closed | broker/tests/websocket.rs `a_wrong_token_is_refused_and_the_connection_closed` |
//! | 9 | no Pong before or after a failed connect | broker/src/core/tests/connection.rs `a_silent_client_is_disconnected_with_connect_timeout`, `an_unknown_version_is_refused_and_the_connection_closed` |
//! | 10 | repeated wrong tokens are held back | broker/src/core/tests/connection.rs `repeated_wrong_tokens_are_answered_late` |
//! | 11 | missing node id: one is made | broker/src/core/tests/connection.rs `a_client_without_a_node_id_gets_one` |
//! | 12 | several connections of a node, calls to the newest | broker/src/core/tests/calls.rs `a_call_reaches_the_newest_connection_of_its_node_unchanged` |
//! | 13 | nil project | broker/src/core/tests/connection.rs `a_project_is_taken_and_the_nil_uuid_means_none` |
//! | 14 | ping values of 0 | broker/src/core/tests/connection.rs `a_client_that_announces_zero_is_pinged_at_the_default` |
//! | 15 | pings, PING_TIMEOUT, idle QUIC | broker/src/core/tests/connection.rs `clients_are_pinged_with_odd_ids_at_the_interval_they_announce`, `a_missing_pong_ends_the_connection_and_keeps_the_streams`, tests/transports/raw_client.rs `idle_clients_are_kept_alive` |
//! | 16 | odd request ids of the broker | broker/src/core/tests/connection.rs `clients_are_pinged_with_odd_ids_at_the_interval_they_announce`, broker/src/core/tests/metadata.rs `base_times_are_acknowledged_and_reach_the_readers_of_the_node` |
//! | 17 | Pong before data | broker/src/core/tests/connection.rs `a_pong_overtakes_everything_that_waits` |
//! | 18 | half-open connections are noticed, streams kept | broker/src/core/tests/connection.rs `a_missing_pong_ends_the_connection_and_keeps_the_streams` |
//! | 19 | Disconnect of a client detaches its streams | broker/src/core/tests/connection.rs `a_clients_disconnect_is_not_answered_and_detaches_its_streams` |
//! | 20 | graceful end without Disconnect | broker/src/core/tests/connection.rs `a_broker_that_ends_acknowledges_and_delivers_what_it_took_and_takes_no_more`, `a_broker_that_ends_waits_a_bounded_time_for_readers`, broker/tests/websocket.rs `shutdown_delivers_reliable_data_to_a_reader_that_goes_on`, `shutdown_does_not_wait_for_a_reader_that_does_not_go_on` |
//! | 21 | nothing beyond 2.x for clients of 2.x | broker/src/core/tests/connection.rs `a_client_of_version_2_is_sent_nothing_it_cannot_decode` |
//! | 22 | ids of 16 bytes also in refusals, version 4 | broker/tests/requirements.rs `refusals_carry_an_id_of_sixteen_zero_bytes`, broker/src/core/tests/upstream.rs `an_open_answers_with_ids_aliases_and_the_time`, broker/src/core/tests/downstream.rs `the_answer_comes_first_and_data_a_moment_later` |
//! | 23 | "OK" | broker/src/core/tests/upstream.rs `an_open_answers_with_ids_aliases_and_the_time` |
//! | 24 | server time not negative | broker/src/core/tests/upstream.rs `the_time_of_an_answer_is_never_negative` |
//! | 25 | several transports of one connection | broker/src/server/group.rs |
//! | 26 | open of an upstream | broker/src/core/tests/upstream.rs `an_open_answers_with_ids_aliases_and_the_time`, `refused_opens_have_their_codes_and_a_nil_stream_id`, broker/src/core/tests/metadata.rs `metadata_and_data_of_an_upstream_arrive_in_order` |
//! | 27 | stable, unique stream aliases | broker/src/core/tests/resume.rs `no_other_stream_gets_the_alias_of_one_that_may_be_resumed`, `an_upstream_is_resumed_with_its_alias_and_its_readers_are_told` |
//! | 28 | never alias 0 | broker/src/core/tests/upstream.rs `an_alias_is_never_zero` |
//! | 29 | data id aliases | broker/src/core/tests/upstream.rs `data_ids_announced_in_a_chunk_get_their_alias_in_the_next_ack` |
//! | 30 | full data id beside an alias | broker/src/core/tests/upstream.rs `data_ids_announced_in_a_chunk_get_their_alias_in_the_next_ack` |
//! | 31 | one result per receipt | broker/src/core/tests/upstream.rs `repeated_reliable_chunks_are_forwarded_once_and_acknowledged_twice`, `a_long_list_of_results_is_sent_in_several_acks` |
//! | 32 | batched acks with a leading edge | broker/src/core/tests/upstream.rs `the_first_ack_comes_at_once_and_later_ones_in_batches`, `tiny_ack_intervals_are_raised_and_zero_means_at_once` |
//! | 33 | acks at once in recovery | broker/src/core/tests/resume.rs `chunks_are_acknowledged_at_once_while_a_stream_recovers`, broker/src/core/tests/upstream.rs `late_chunks_are_acknowledged_at_once` |
//! | 34 | everything but chunks on the reliable lane | broker/src/core/tests/downstream.rs `chunks_of_unreliable_downstreams_and_nothing_else_may_go_by_datagram` |
//! | 35 | chunks of any QoS on any lane | tests/transports/raw_client.rs `chunks_in_datagrams_of_other_clients_reach_the_readers` |
//! | 36 | order and gaps are no errors | broker/src/core/tests/upstream.rs `a_gap_is_given_up_after_a_while_and_filled_late_all_the_same` |
//! | 37 | de-duplication of RELIABLE chunks | broker/src/core/tests/upstream.rs `repeated_reliable_chunks_are_forwarded_once_and_acknowledged_twice` |
//! | 38 | order within a window | broker/src/core/tests/upstream.rs `reliable_and_partial_chunks_are_put_in_order_and_unreliable_ones_are_not`, `a_gap_is_given_up_when_too_much_waits_for_it`, broker/src/core/tests/resume.rs `chunks_sent_again_in_any_order_are_forwarded_in_their_own` |
//! | 39 | unknown stream alias is ignored | broker/src/core/tests/upstream.rs `chunks_for_an_unknown_alias_or_another_connections_stream_are_ignored` |
//! | 40 | unknown data id alias has its code | broker/src/core/tests/upstream.rs `refused_chunks_are_not_forwarded_and_do_not_hold_up_others` |
//! | 41 | close | broker/src/core/tests/upstream.rs `a_close_waits_for_chunks_under_way_for_a_bounded_time`, `closing_a_stream_that_does_not_exist_succeeds_and_a_foreign_one_does_not` |
//! | 42 | acks before the answer to a close | broker/src/core/tests/upstream.rs `a_close_acknowledges_forwards_and_answers_in_this_order` |
//! | 43 | totals above what came | broker/src/core/tests/upstream.rs `totals_above_what_came_are_passed_on_and_close_session_is_accepted` |
//! | 44 | expiry of lost upstreams | broker/src/core/tests/connection.rs `a_lost_stream_without_expiry_ends_at_once_and_others_get_a_minimum_of_grace` |
//! | 45 | resume of upstreams | broker/src/core/tests/resume.rs `an_upstream_is_resumed_with_its_alias_and_its_readers_are_told`, `a_stream_is_resumed_by_its_node_and_token_only`, `the_previous_token_holds_until_the_stream_is_used` |
//! | 46 | take-over | broker/src/core/tests/resume.rs `a_resume_takes_a_stream_over_from_a_connection_that_seems_to_live`, `a_conflict_is_only_found_with_a_stream_that_is_used_long_after` |
//! | 47 | aliases and de-duplication outlive a resume | broker/src/core/tests/resume.rs `what_came_before_the_loss_is_not_forwarded_again_and_aliases_hold`, `an_alias_that_was_asked_for_before_the_loss_comes_after_the_resume` |
//! | 48 | desired alias of downstreams | broker/src/core/tests/downstream.rs `refused_opens_have_their_codes_and_a_nil_stream_id`, broker/src/core/tests/resume_downstream.rs `an_alias_in_use_on_the_connection_is_refused_to_a_resume` |
//! | 49 | aliases of the open request | broker/src/core/tests/downstream.rs `aliases_of_the_open_request_are_used_in_the_first_chunk` |
//! | 50 | answer first, then a gap | broker/src/core/tests/downstream.rs `the_answer_comes_first_and_data_a_moment_later`, broker/src/core/tests/resume_downstream.rs `an_unacknowledged_reliable_chunk_is_sent_again_in_order_before_what_came_meanwhile` |
//! | 51 | filters | broker/src/core/filter.rs `patterns_match_as_the_official_clients_document`, `every_pattern_matches_what_a_plain_reference_says` |
//! | 52 | exact source node | broker/src/core/filter.rs `an_id_matches_when_node_name_and_type_do` |
//! | 53 | one chunk per downstream, empty chunks | broker/src/core/tests/downstream.rs `a_chunk_without_a_matching_group_is_sent_empty_unless_omitted`, `a_chunk_goes_once_to_a_downstream_that_several_filters_match` |
//! | 54 | upstream aliases, 0 among them | broker/src/core/tests/downstream.rs `full_information_is_sent_until_aliases_are_known_and_zero_is_an_alias` |
//! | 55 | repeated announcements | broker/src/core/aliases.rs `downstream_aliases_may_be_repeated_and_several_may_name_one_id` |
//! | 56 | every ack is answered | broker/src/core/tests/downstream.rs `every_ack_of_chunks_is_answered_at_once` |
//! | 57 | lane of a downstream | broker/src/core/tests/downstream.rs `chunks_of_unreliable_downstreams_and_nothing_else_may_go_by_datagram`, broker/src/core/tests/queues.rs `datagrams_do_not_wait_for_the_stream` |
//! | 58 | close of downstreams | broker/src/core/tests/downstream.rs `nothing_follows_the_answer_to_a_close_and_late_acks_are_ignored`, broker/src/core/tests/metadata.rs `readers_of_a_node_learn_of_its_downstreams` |
//! | 59 | resume of downstreams | broker/tests/requirements.rs `a_reader_whose_socket_breaks_misses_nothing`, broker/src/core/tests/resume_downstream.rs `an_unacknowledged_reliable_chunk_is_sent_again_in_order_before_what_came_meanwhile`, `aliases_of_a_downstream_outlive_its_connection`, `a_second_loss_before_everything_was_sent_again_keeps_the_order` |
//! | 60 | expiry of downstreams | broker/src/core/tests/resume_downstream.rs `the_readers_of_a_node_learn_of_the_resume_and_the_end_of_its_downstreams` |
//! | 61 | metadata for all readers of a node | broker/src/core/tests/metadata.rs `base_times_are_acknowledged_and_reach_the_readers_of_the_node` |
//! | 62 | metadata is never sent again | broker/src/core/tests/metadata.rs `metadata_is_sent_once_whatever_is_acknowledged` |
//! | 63 | order of metadata and data | broker/src/core/tests/metadata.rs `metadata_and_data_of_an_upstream_arrive_in_order` |
//! | 64 | persist and close_session | broker/src/core/tests/metadata.rs `base_times_are_acknowledged_and_reach_the_readers_of_the_node`, broker/src/core/tests/upstream.rs `totals_above_what_came_are_passed_on_and_close_session_is_accepted` |
//! | 65 | acks before chunks | broker/src/core/tests/queues.rs `acks_go_before_chunks_that_wait` |
//! | 66 | acks do not slow a client down | broker/src/core/tests/upstream.rs `the_first_ack_comes_at_once_and_later_ones_in_batches`, `much_under_way_is_acknowledged_before_the_interval_has_passed` |
//! | 67 | aliases are used at once | broker/src/core/tests/downstream.rs `full_information_is_sent_until_aliases_are_known_and_zero_is_an_alias` |
//! | 68 | slow readers slow nobody down | broker/tests/websocket.rs `a_reader_that_stops_reading_does_not_slow_down_others` |
//! | 69 | calls to nobody | broker/src/core/tests/calls.rs `a_call_to_nobody_fails_and_names_the_destination` |
//! | 70 | ids and source of calls | broker/src/core/tests/calls.rs `a_call_reaches_the_newest_connection_of_its_node_unchanged` |
//! | 71 | order of calls, replies | broker/src/core/tests/calls.rs `calls_are_bounded_in_number_and_size_and_stay_in_order`, `a_reply_finds_the_connection_that_asked` |
//! | 72 | repeated calls | broker/src/core/tests/calls.rs `a_call_that_is_repeated_under_a_new_id_is_another_call` |
//! | 73 | bounded queue of calls | broker/src/core/tests/calls.rs `calls_are_bounded_in_number_and_size_and_stay_in_order` |
//! | 74 | bounded queues of downstreams | broker/src/core/tests/queues.rs `unreliable_and_partial_queues_drop_the_oldest_chunks_and_keep_metadata`, broker/src/core/tests/resume_downstream.rs `a_detached_reliable_downstream_without_room_is_closed_rather_than_left_with_a_gap`, `a_connected_reliable_downstream_without_room_is_closed_and_cannot_be_resumed` |
//! | 75 | window of RELIABLE downstreams | broker/src/core/tests/queues.rs `no_more_reliable_chunks_are_under_way_than_go_can_take`, `a_reliable_downstream_has_a_bounded_number_of_chunks_under_way_and_loses_none` |
//! | 76 | streams do not hold up one another | broker/src/core/tests/queues.rs `a_reliable_stream_without_acks_does_not_hold_up_others_on_the_connection` |
//! | 77 | sockets that take nothing | broker/tests/websocket.rs `a_socket_that_takes_nothing_is_given_up` |

mod support;

use std::collections::BTreeMap;
use std::path::Path;

use bytes::Bytes;
use iscp::encoding::{Encoding, Schema};
use iscp::message::{
    DataFilter, DownstreamFilter, DownstreamOpenRequest, DownstreamResumeRequest, Message, Metadata, Qos,
    ResultCode, UpstreamOpenRequest,
};
use iscp::transport::Scheme;
use iscp_broker::core::Config;
use tokio::net::TcpStream;
use tokio_tungstenite::tungstenite::client::IntoClientRequest;
use tokio_tungstenite::tungstenite::http::header::AUTHORIZATION;

use support::*;

#[test]
fn every_requirement_has_a_test() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).parent().unwrap();
    let mut sources = BTreeMap::new();
    let mut next = 1;
    for line in include_str!("requirements.rs").lines() {
        let Some(row) = line.strip_prefix("//! | ") else { continue };
        let [number, _, tests, ..] = row.split(" | ").collect::<Vec<_>>()[..] else { panic!("{row}") };
        let Ok(number) = number.parse::<u32>() else { continue };
        assert_eq!(number, next, "{row}");
        next += 1;
        let mut named = 0;
        let mut path = "";
        for test in tests.trim_end_matches(" |").split(", ") {
            let (file, name) = test.split_once('`').unwrap_or((test, ""));
            let (file, name) = (file.trim(), name.trim_end_matches('`'));
            if name.is_empty() {
                assert_eq!(number, 25, "{row}");
                continue;
            }
            path = if file.is_empty() { path } else { file };
            let source = sources.entry(path.to_owned()).or_insert_with(|| {
                std::fs::read_to_string(root.join(path)).unwrap_or_else(|error| panic!("{path}: {error}"))
            });
            let is_test = |indent: &str| source.contains(&format!("{indent}#[test]\n{indent}fn {name}()"));
            assert!(is_test("") || is_test("    "), "{path}: {name}");
            named += 1;
        }
        assert!(named > 0 || number == 25, "{row}");
    }
    assert_eq!(next, 78, "all of them");
}

/// A number as docs/broker.md writes it.
fn spaced(number: usize) -> String {
    let digits = number.to_string();
    let mut text = String::new();
    for (i, digit) in digits.chars().enumerate() {
        if i > 0 && digits.len() > 4 && (digits.len() - i).is_multiple_of(3) {
            text.push(' ');
        }
        text.push(digit);
    }
    text
}

/// §11.9 of docs/protocol/behaviour.md.
#[test]
fn the_documented_limits_are_the_defaults() {
    let Config { limits, timing, .. } = Config::default();
    let mib = |bytes: usize| format!("{} MiB", bytes >> 20);
    let expected = [
        ("connections", spaced(limits.connections)),
        ("connections of one node", spaced(limits.connections_per_node)),
        ("time until the ConnectRequest", format!("{} s", timing.connect_timeout.as_secs())),
        ("size of a message", mib(limits.message_bytes)),
        ("streams of one connection", spaced(limits.streams_per_connection)),
        ("detached streams", spaced(limits.detached_streams)),
        ("detached streams of one node", spaced(limits.detached_streams_per_node)),
        ("memory of detached downstreams", mib(limits.detached_bytes)),
        ("filters of a downstream", spaced(limits.filters)),
        ("data filters of a downstream", spaced(limits.data_filters)),
        ("data ids with an alias, per stream", spaced(limits.data_ids)),
        ("groups of a chunk", spaced(limits.groups_per_chunk)),
        ("length of a name", format!("{} bytes", limits.name_bytes)),
        ("ack interval", format!("{} s", timing.max_ack_interval.as_secs())),
        ("expiry interval", format!("{} h", timing.max_expiry_interval.as_secs() / 3600)),
        ("ping timeout", format!("{} min", timing.max_ping_timeout.as_secs() / 60)),
        (
            "chunks that wait for one with a lower number",
            format!(
                "{}, {}, {} ms",
                limits.reorder_chunks,
                mib(limits.reorder_bytes),
                timing.reorder_wait.as_millis()
            ),
        ),
        (
            "RELIABLE chunks under way to a reader",
            format!("{}, {}", limits.reliable_window, mib(limits.reliable_window_bytes)),
        ),
        ("metadata that wait in a downstream", spaced(limits.metadata_queue)),
        ("calls that wait for a node", format!("{}, {}", limits.calls, mib(limits.call_queue_bytes))),
        ("payload of a call", format!("{} bytes", spaced(limits.call_bytes))),
        ("answers that a client does not read", spaced(limits.responses)),
    ];
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).parent().unwrap();
    let page = std::fs::read_to_string(root.join("docs/broker.md")).unwrap();
    let (_, table) = page.split_once("| what | limit | beyond it |\n|---|---|---|\n").unwrap();
    let documented: Vec<_> = table
        .lines()
        .map(|row| row.trim_matches('|').split('|').map(str::trim).collect::<Vec<_>>())
        .map(|cells| (cells[0], cells[1].to_owned()))
        .collect();
    assert_eq!(documented, expected);
    // Beside the table.
    for text in [
        format!("at least {} seconds", timing.min_expiry.as_secs()),
        format!("{} milliseconds after", timing.open_gap.as_millis()),
        format!("When {} wait in one", mib(limits.reliable_queue_bytes)),
        format!("beyond {}.", mib(limits.lossy_queue_bytes)),
    ] {
        assert!(page.split_whitespace().collect::<Vec<_>>().join(" ").contains(&text), "{text}");
    }
}

#[test]
fn both_encodings_are_answered_in_binary_frames() {
    let server = start(|_| {});
    run(async {
        for (name, encoding) in [("proto", Encoding::Protobuf), ("json", Encoding::Json)] {
            let mut client = Client::dial(&server, &format!("/?enc={name}")).await.unwrap();
            for request in [connect_request("node", ""), Message::Ping(2)] {
                client.send_bytes(encoding.encode(&request, Schema::V3)).await;
                // Fails with a text frame, which is skipped.
                let answer = encoding.decode(client.next_bytes().await.unwrap()).unwrap();
                assert!(
                    matches!(answer, Message::ConnectResponse(_) | Message::Pong(2)),
                    "{name}: {answer:?}"
                );
            }
        }
    });
}

#[test]
fn a_token_in_the_http_header_opens_the_door() {
    let server = start(|config| config.tokens = vec!["secret".to_owned()]);
    run(async {
        for (header, expected) in [
            ("secret", ResultCode::SUCCEEDED),
            ("Bearer secret", ResultCode::SUCCEEDED),
            ("Bearer other", ResultCode::AUTH_FAILED),
        ] {
            let mut request = server.url(Scheme::Ws).into_client_request().unwrap();
            request.headers_mut().insert(AUTHORIZATION, header.parse().unwrap());
            let stream = TcpStream::connect(address(&server)).await.unwrap();
            let (socket, _) = tokio_tungstenite::client_async(request, stream).await.unwrap();
            match Client(socket).ask(connect_request("node", "")).await {
                Message::ConnectResponse(response) => assert_eq!(response.result_code, expected, "{header}"),
                other => panic!("{other:?}"),
            }
        }
    });
}

#[test]
fn refusals_carry_an_id_of_sixteen_zero_bytes() {
    // Field 2 of both responses, of type bytes (docs/protocol/messages.md).
    let expected = [&[0x12, 16][..], &[0; 16]].concat();
    let server = start(|_| {});
    run(async {
        let mut client = Client::connect(&server, "node").await;
        let qos = Qos::Unknown(9);
        for request in [
            Message::UpstreamOpenRequest(UpstreamOpenRequest { request_id: 2, qos, ..Default::default() }),
            Message::DownstreamOpenRequest(DownstreamOpenRequest {
                request_id: 4,
                qos,
                ..Default::default()
            }),
        ] {
            client.send(request).await;
            let bytes: Bytes = client.next_bytes().await.unwrap();
            assert!(bytes.windows(expected.len()).any(|window| window == expected), "{bytes:?}");
        }
    });
}

/// Ends the socket as a broken network does, without a word.
fn break_socket(client: Client) {
    drop(client.0.into_inner());
}

#[test]
fn a_reader_whose_socket_breaks_misses_nothing() {
    const CHUNKS: u32 = 60;
    let server = start(|_| {});
    run(async {
        let mut reader = Client::connect(&server, "reader").await;
        let request = DownstreamOpenRequest {
            request_id: 2,
            desired_stream_id_alias: 1,
            filters: vec![DownstreamFilter {
                source_node_id: "sender".to_owned(),
                data_filters: vec![DataFilter { name: "#".to_owned(), kind: "#".to_owned() }],
            }],
            qos: Qos::Reliable,
            expiry_interval_s: 60,
            ..DownstreamOpenRequest::default()
        };
        let Message::DownstreamOpenResponse(opened) =
            reader.ask(Message::DownstreamOpenRequest(request)).await
        else {
            panic!("no answer")
        };
        let mut token = opened.resume_token;
        let mut sender = Client::connect(&server, "sender").await;
        let stream = open_upstream(&mut sender, Qos::Reliable).await;
        let mut received = Vec::new();
        for number in 1..=CHUNKS {
            sender.ask(chunk(stream.stream_id_alias, number, b"payload")).await;
            if number % 10 != 0 {
                continue;
            }
            // Some are read, some of those acknowledged; the rest is lost with the socket.
            for _ in 0..3 {
                if let Ok(Message::DownstreamChunk(chunk)) = reader.next().await {
                    let number = chunk.chunk.sequence_number;
                    received.push(number);
                    if number % 2 == 0 {
                        reader.send(ack(stream.stream_id, number)).await;
                    }
                }
            }
            break_socket(reader);
            reader = Client::connect(&server, "reader").await;
            let request = DownstreamResumeRequest {
                request_id: 4,
                stream_id: opened.stream_id,
                desired_stream_id_alias: 1,
                resume_token: token,
            };
            match reader.ask(Message::DownstreamResumeRequest(request)).await {
                Message::DownstreamResumeResponse(response) => {
                    assert_eq!(response.result_code, ResultCode::SUCCEEDED, "{}", response.result_string);
                    token = response.resume_token;
                }
                other => panic!("{other:?}"),
            }
        }
        while received.last() != Some(&CHUNKS) {
            match reader.next().await.unwrap() {
                Message::DownstreamChunk(chunk) => {
                    received.push(chunk.chunk.sequence_number);
                    reader.send(ack(stream.stream_id, chunk.chunk.sequence_number)).await;
                }
                Message::DownstreamMetadata(metadata) => {
                    assert!(!matches!(metadata.metadata, Metadata::DownstreamAbnormalClose { .. }));
                }
                _ => {}
            }
        }
        // First seen in order, each of them.
        let mut seen = 0;
        for number in received {
            assert!(number <= seen + 1, "{number} after {seen}");
            seen = seen.max(number);
        }
        assert_eq!(seen, CHUNKS);
    });
}
