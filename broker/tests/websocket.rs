//! The server over real WebSockets, spoken to by a client that knows nothing but bytes.

mod support;

use std::time::Duration;

use bytes::Bytes;
use iscp::message::{Message, OrAlias, Qos, ResultCode, UpstreamCloseRequest};
use iscp::transport::Scheme;
use iscp_broker::{Listener, Server, ServerConfig};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::time::timeout;
use tokio_tungstenite::tungstenite::Error as WsError;

use support::*;

#[test]
fn a_chunk_travels_from_an_upstream_to_a_downstream() {
    let server = start(|_| {});
    run(async {
        let mut reader = Client::connect(&server, "reader").await;
        open_downstream(&mut reader, "sender", Qos::Reliable).await;
        let mut sender = Client::connect(&server, "sender").await;
        let stream = open_upstream(&mut sender, Qos::Reliable).await;
        match sender.ask(chunk(stream.stream_id_alias, 1, b"payload")).await {
            Message::UpstreamChunkAck(ack) => {
                assert_eq!(ack.results.len(), 1);
                assert_eq!(ack.results[0].result_code, ResultCode::SUCCEEDED);
            }
            other => panic!("{other:?}"),
        }
        assert_eq!(reader.next().await.unwrap().name(), "DownstreamMetadata");
        match reader.next().await.unwrap() {
            Message::DownstreamChunk(chunk) => {
                assert!(matches!(chunk.upstream, OrAlias::Full(ref info) if info.source_node_id == "sender"));
                let points: Vec<_> = chunk.chunk.groups[0].points.iter().collect();
                assert_eq!(points.len(), 2);
                assert_eq!(&points[0].payload[..], b"payload");
            }
            other => panic!("{other:?}"),
        }
        let close = UpstreamCloseRequest {
            request_id: 4,
            stream_id: stream.stream_id,
            total_data_points: 2,
            final_sequence_number: 1,
            close_session: false,
        };
        assert_eq!(sender.ask(Message::UpstreamCloseRequest(close)).await.name(), "UpstreamCloseResponse");
        assert_eq!(reader.next().await.unwrap().name(), "DownstreamMetadata");
        assert_eq!(sender.ask(Message::Ping(6)).await, Message::Pong(6));
    });
}

#[test]
fn every_path_is_served_and_odd_parameters_are_refused_in_words() {
    let server = start(|_| {});
    run(async {
        for path in [
            "",
            "/",
            "/api/iscp/connect",
            "/?enc=proto&clevel=0&comp=context-takeover&cwinbits=0",
            "/x?tid=a&tgid=b",
        ] {
            let mut client = Client::dial(&server, path).await.unwrap();
            let response = client.ask(connect_request("", "")).await;
            assert_eq!(response.name(), "ConnectResponse", "{path}");
        }
        match Client::dial(&server, "/?enc=xml").await {
            Err(WsError::Http(response)) => {
                assert_eq!(response.status(), 400);
                let body = response.body().clone().unwrap_or_default();
                assert!(String::from_utf8_lossy(&body).contains("xml"), "{body:?}");
            }
            other => panic!("{:?}", other.map(|_| ())),
        }
    });
}

#[test]
fn a_foreign_page_is_refused_in_words_unless_it_is_allowed() {
    let foreign = "https://page.example";
    let open = start(|_| {});
    let allowing = start(|config| config.allowed_origins = vec![foreign.to_owned()]);
    let guarded = start(|config| config.tokens = vec!["secret".to_owned()]);
    let own = format!("http://{}", address(&open));
    run(async {
        for (server, origin) in [(&open, &*own), (&allowing, foreign), (&guarded, foreign)] {
            Client::dial_from(server, "/", Some(origin)).await.unwrap();
        }
        for (server, origin) in [(&open, foreign), (&allowing, "https://other.example"), (&open, "null")] {
            match Client::dial_from(server, "/", Some(origin)).await {
                Err(WsError::Http(response)) => {
                    assert_eq!(response.status(), 403);
                    let body = String::from_utf8(response.into_body().unwrap_or_default()).unwrap();
                    assert!(body.contains(origin) && body.lines().count() == 1, "{body:?}");
                }
                other => panic!("{:?}", other.map(|_| ())),
            }
        }
    });
}

#[test]
fn a_wrong_token_is_refused_and_the_connection_closed() {
    let server = start(|config| config.tokens = vec!["secret".to_owned()]);
    run(async {
        for (token, code) in [
            ("guess", ResultCode::AUTH_FAILED),
            ("", ResultCode::AUTH_FAILED),
            ("secret", ResultCode::SUCCEEDED),
        ] {
            let mut client = Client::dial(&server, "/").await.unwrap();
            match client.ask(connect_request("node", token)).await {
                Message::ConnectResponse(response) => assert_eq!(response.result_code, code),
                other => panic!("{other:?}"),
            }
            if !code.is_success() {
                assert_eq!(client.next().await, Err("close Some(1000)".to_owned()));
            }
        }
    });
}

#[test]
fn bytes_that_are_no_message_end_the_connection_with_malformed_message() {
    let server = start(|config| config.core.limits.message_bytes = 100_000);
    run(async {
        for garbage in [&b"\xff\xff\xff"[..], b"", &[0; 50_000]] {
            let mut client = Client::connect(&server, "node").await;
            client.send_bytes(Bytes::copy_from_slice(garbage)).await;
            match client.next().await {
                Ok(Message::Disconnect(disconnect)) => {
                    assert_eq!(disconnect.result_code, ResultCode::MALFORMED_MESSAGE);
                }
                other => panic!("{other:?}"),
            }
            assert_eq!(client.next().await, Err("close Some(1000)".to_owned()));
        }
        // Too large to be read at all.
        let mut client = Client::connect(&server, "node").await;
        client.send_bytes(Bytes::from(vec![0; 100_001])).await;
        while client.next().await.is_ok() {}
    });
}

#[test]
fn a_reader_that_stops_reading_does_not_slow_down_others() {
    let server = start(|config| config.core.limits.lossy_queue_bytes = 1024 * 1024);
    run(async {
        let mut stuck = Client::connect(&server, "stuck").await;
        open_downstream(&mut stuck, "sender", Qos::Unreliable).await;
        let mut reader = Client::connect(&server, "reader").await;
        open_downstream(&mut reader, "sender", Qos::Reliable).await;
        let mut sender = Client::connect(&server, "sender").await;
        let alias = open_upstream(&mut sender, Qos::Reliable).await.stream_id_alias;
        assert_eq!(reader.next().await.unwrap().name(), "DownstreamMetadata");
        let payload = vec![7; 64 * 1024];
        for number in 1..=200 {
            sender.send(chunk(alias, number, &payload)).await;
            match reader.next().await.unwrap() {
                Message::DownstreamChunk(chunk) => assert_eq!(chunk.chunk.sequence_number, number),
                other => panic!("{other:?}"),
            }
        }
    });
}

#[test]
fn a_socket_that_takes_nothing_is_given_up() {
    let server = start(|config| {
        config.core.timing.stall_margin = Duration::from_millis(100);
        config.core.limits.lossy_queue_bytes = 1024 * 1024;
    });
    run(async {
        let mut watcher = Client::connect(&server, "watcher").await;
        open_downstream(&mut watcher, "stuck", Qos::Unreliable).await;
        let mut stuck = Client::connect(&server, "stuck").await;
        open_downstream(&mut stuck, "sender", Qos::Unreliable).await;
        let opened = watcher.next().await.unwrap();
        let mut sender = Client::connect(&server, "sender").await;
        let alias = open_upstream(&mut sender, Qos::Unreliable).await.stream_id_alias;
        // More than the buffers between broker and client can hold.
        let payload = vec![7; 1024 * 1024];
        for number in 1..=64 {
            sender.send(chunk(alias, number, &payload)).await;
        }
        let ended = watcher.next().await.unwrap();
        for (message, expected) in [(opened, "DownstreamOpen"), (ended, "DownstreamAbnormalClose")] {
            let text = format!("{message:?}");
            assert!(text.contains(expected), "{text}");
        }
    });
}

#[test]
fn shutdown_closes_connections_in_an_orderly_way_and_ends_in_time() {
    let server = start(|_| {});
    let address = address(&server);
    run(async {
        let mut client = Client::connect(&server, "node").await;
        // One that is in the middle of its handshake does not hold up anything.
        let _half_open = TcpStream::connect(address).await.unwrap();
        let waiting = tokio::task::spawn_blocking(move || {
            server.shutdown(PATIENCE);
            server
        });
        assert_eq!(client.next().await, Err("close Some(1000)".to_owned()));
        drop(client);
        let server = timeout(PATIENCE, waiting).await.unwrap().unwrap();
        assert!(server.is_stopped());
        server.join();
        assert!(TcpStream::connect(address).await.is_err());
    });
}

#[test]
fn shutdown_delivers_reliable_data_to_a_reader_that_goes_on() {
    const CHUNKS: u32 = 50;
    let server = start(|config| {
        config.core.limits.reliable_window = 4;
        config.core.timing.drain = PATIENCE;
    });
    run(async {
        let mut reader = Client::connect(&server, "reader").await;
        open_downstream(&mut reader, "sender", Qos::Reliable).await;
        let mut sender = Client::connect(&server, "sender").await;
        let stream = open_upstream(&mut sender, Qos::Reliable).await;
        for number in 1..=CHUNKS {
            sender.ask(chunk(stream.stream_id_alias, number, b"payload")).await;
        }
        let waiting = tokio::task::spawn_blocking(move || {
            server.shutdown(2 * PATIENCE);
            server
        });
        assert_eq!(sender.next().await, Err("close Some(1000)".to_owned()));
        let mut received = 0;
        let end = loop {
            match reader.next().await {
                Ok(Message::DownstreamChunk(chunk)) => {
                    received += 1;
                    assert_eq!(chunk.chunk.sequence_number, received);
                    reader.send(ack(stream.stream_id, received)).await;
                }
                Ok(_) => {}
                Err(end) => break end,
            }
        };
        assert_eq!((received, end.as_str()), (CHUNKS, "close Some(1000)"));
        drop(reader);
        assert!(timeout(PATIENCE, waiting).await.unwrap().unwrap().is_stopped());
    });
}

#[test]
fn shutdown_does_not_wait_for_a_reader_that_does_not_go_on() {
    let server = start(|config| {
        config.core.limits.reliable_window = 1;
        config.core.timing.drain = Duration::from_millis(20);
    });
    run(async {
        let mut reader = Client::connect(&server, "reader").await;
        open_downstream(&mut reader, "sender", Qos::Reliable).await;
        let mut sender = Client::connect(&server, "sender").await;
        let alias = open_upstream(&mut sender, Qos::Reliable).await.stream_id_alias;
        for number in 1..=2 {
            sender.ask(chunk(alias, number, b"payload")).await;
        }
        let waiting = tokio::task::spawn_blocking(move || {
            server.shutdown(PATIENCE);
            server
        });
        let mut received = 0;
        let end = loop {
            match reader.next().await {
                Ok(message) => received += u32::from(message.name() == "DownstreamChunk"),
                Err(end) => break end,
            }
        };
        assert_eq!((received, end.as_str()), (1, "close Some(1000)"));
        drop((reader, sender));
        assert!(timeout(PATIENCE, waiting).await.unwrap().unwrap().is_stopped());
    });
}

#[test]
fn dropping_the_handle_stops_the_server() {
    let server = start(|_| {});
    let address = address(&server);
    drop(server);
    run(async move {
        assert!(TcpStream::connect(address).await.is_err());
    });
}

#[test]
fn an_address_in_use_is_named() {
    let server = start(|_| {});
    let config = ServerConfig {
        listeners: vec![Listener::new(Scheme::Ws, address(&server))],
        ..ServerConfig::default()
    };
    let error = Server::start(config).unwrap_err().to_string();
    assert!(error.starts_with(&format!("cannot listen on {}: ", address(&server))), "{error}");
}

#[test]
fn a_peer_that_never_finishes_its_handshake_is_dropped() {
    let server = start(|config| config.handshake_timeout = Duration::from_millis(50));
    run(async {
        let mut stream = TcpStream::connect(address(&server)).await.unwrap();
        stream.write_all(b"GET / HTTP/1.1\r\n").await.unwrap();
        let mut rest = Vec::new();
        let end = timeout(PATIENCE, stream.read_to_end(&mut rest)).await.unwrap();
        assert!(end.is_err() || rest.is_empty());
    });
}
