//! Peers that mean harm: memory stays bounded, the answer is clear, others do not notice.

#[path = "../../tests/support/memory.rs"]
mod memory;
mod support;

use std::rc::Rc;
use std::time::Duration;

use bytes::Bytes;
use futures_util::SinkExt;
use iscp::encoding::{Encoding, Schema};
use iscp::message::{
    Aliases, DataId, DownstreamChunkAck, DownstreamOpenRequest, Message, Qos, ResultCode, UpstreamInfo,
    UpstreamOpenRequest,
};
use iscp::transport::Compression;
use iscp::transport::deflate::Codec;
use iscp_broker::ServerHandle;
use memory::{alone, memory_of};
use support::{Client, chunk, connect_request, open_downstream, open_upstream, run, start};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio_tungstenite::tungstenite::Message as WsMessage;
use uuid::Uuid;

/// Two clients that go on talking during an attack.
struct Witness {
    sender: Client,
    reader: Client,
    alias: u32,
    number: u32,
}

impl Witness {
    async fn new(server: &ServerHandle) -> Self {
        let mut reader = Client::connect(server, "reader").await;
        open_downstream(&mut reader, "sender", Qos::Reliable).await;
        let mut sender = Client::connect(server, "sender").await;
        let alias = open_upstream(&mut sender, Qos::Reliable).await.stream_id_alias;
        Self { sender, reader, alias, number: 0 }
    }

    /// A chunk still gets its answer and arrives.
    async fn talks(&mut self) {
        self.number += 1;
        match self.sender.ask(chunk(self.alias, self.number, b"still here")).await {
            Message::UpstreamChunkAck(ack) => assert_eq!(ack.results[0].result_code, ResultCode::SUCCEEDED),
            other => panic!("{other:?}"),
        }
        loop {
            match self.reader.next().await.unwrap() {
                Message::DownstreamChunk(chunk) => {
                    break assert_eq!(chunk.chunk.sequence_number, self.number);
                }
                Message::DownstreamMetadata(_) => {}
                other => panic!("{other:?}"),
            }
        }
    }
}

/// Runs an attack while others talk; returns the megabytes it took.
fn attacked<A: Future<Output = ()>>(
    adjust: impl FnOnce(&mut iscp_broker::ServerConfig),
    attack: impl FnOnce(Rc<ServerHandle>) -> A,
) -> usize {
    let server = Rc::new(start(adjust));
    let mut megabytes = 0;
    run(async {
        let mut witness = Witness::new(&server).await;
        witness.talks().await;
        megabytes = memory_of(async {
            attack(server.clone()).await;
            witness.talks().await;
        })
        .await;
        witness.talks().await;
    });
    megabytes
}

fn protobuf(message: &Message) -> Bytes {
    Encoding::Protobuf.encode(message, Schema::V3)
}

/// The reason in the Disconnect that comes, other messages aside.
async fn disconnected(client: &mut Client) -> (ResultCode, String) {
    loop {
        if let Message::Disconnect(disconnect) = client.next().await.expect("a Disconnect comes first") {
            return (disconnect.result_code, disconnect.result_string);
        }
    }
}

#[test]
fn a_compressed_bomb_is_not_inflated() {
    let _alone = alone();
    let mut bomber = Codec::new(Compression::PerMessage { level: 9 }, 1 << 20).unwrap();
    let bomb = bomber.compress(&vec![0; 256 << 20]).unwrap();
    assert!(bomb.len() < 1 << 20);
    let megabytes = attacked(
        |_| {},
        |server| async move {
            let mut client = Client::dial(&server, "/?comp=per-message&clevel=9").await.unwrap();
            let request = protobuf(&connect_request("bomber", ""));
            client.send_bytes(bomber.compress(&request).unwrap()).await;
            client.send_bytes(bomb).await;
            let mut reason = String::new();
            while let Ok(bytes) = client.next_bytes().await {
                let message = Encoding::Protobuf.decode(bomber.inflate(&bytes).unwrap()).unwrap();
                if let Message::Disconnect(disconnect) = message {
                    assert_eq!(disconnect.result_code, ResultCode::MALFORMED_MESSAGE);
                    reason = disconnect.result_string;
                }
            }
            assert!(reason.contains("inflates to more than"), "{reason:?}");
        },
    );
    assert!(megabytes < 64, "{megabytes} MB");
}

#[test]
fn a_stranger_gets_little_inflated_and_nothing_large_read() {
    let _alone = alone();
    let mut bomber = Codec::new(Compression::PerMessage { level: 9 }, 1 << 20).unwrap();
    let bomb = bomber.compress(&vec![0; 16 << 20]).unwrap();
    let megabytes = attacked(
        |_| {},
        |server| async move {
            let mut client = Client::dial(&server, "/?comp=per-message&clevel=9").await.unwrap();
            client.send_bytes(bomb).await;
            while client.next_bytes().await.is_ok() {}
            let mut client = Client::dial(&server, "/").await.unwrap();
            client.send_bytes(Bytes::from(vec![0; 1 << 20])).await;
            let (code, reason) = disconnected(&mut client).await;
            assert_eq!(code, ResultCode::MALFORMED_MESSAGE);
            assert!(reason.contains("first message"), "{reason}");
        },
    );
    assert!(megabytes < 8, "{megabytes} MB");
}

#[test]
fn a_million_aliases_are_refused() {
    let _alone = alone();
    let data_ids: Vec<DataId> = (0..1_000_000).map(|number| DataId::new(format!("{number:x}"), "")).collect();
    let upstream = UpstreamOpenRequest { request_id: 4, data_ids: data_ids.clone(), ..Default::default() };
    // As many as fit in a message.
    let aliases: Aliases<DataId> =
        data_ids.into_iter().take(700_000).enumerate().map(|(at, id)| (at as u32, id)).collect();
    let downstream = DownstreamOpenRequest {
        request_id: 6,
        desired_stream_id_alias: 1,
        data_id_aliases: aliases.clone(),
        ..Default::default()
    };
    let ack = DownstreamChunkAck { stream_id_alias: 1, data_id_aliases: aliases, ..Default::default() };
    let requests = [Message::UpstreamOpenRequest(upstream), Message::DownstreamOpenRequest(downstream)]
        .map(|m| protobuf(&m));
    let ack = protobuf(&Message::DownstreamChunkAck(ack));
    let megabytes = attacked(
        |_| {},
        |server| async move {
            for request in requests {
                let mut client = Client::connect(&server, "greedy").await;
                client.send_bytes(request).await;
                let answer = client.next().await;
                let code = match &answer {
                    Ok(Message::UpstreamOpenResponse(response)) => response.result_code,
                    Ok(Message::DownstreamOpenResponse(response)) => response.result_code,
                    other => panic!("{other:?}"),
                };
                assert!(!code.is_success(), "{answer:?}");
            }
            let mut client = Client::connect(&server, "greedy").await;
            open_downstream(&mut client, "sender", Qos::Reliable).await;
            client.send_bytes(ack).await;
            let answer = loop {
                match client.next().await {
                    Ok(Message::DownstreamMetadata(_) | Message::DownstreamChunk(_)) => {}
                    answer => break answer,
                }
            };
            match answer {
                Ok(Message::DownstreamChunkAckComplete(complete)) => {
                    assert!(!complete.result_code.is_success(), "{complete:?}");
                }
                Ok(Message::Disconnect(disconnect)) => assert!(!disconnect.result_code.is_success()),
                other => panic!("{other:?}"),
            }
        },
    );
    assert!(megabytes < 400, "{megabytes} MB");
}

#[test]
fn upstream_aliases_of_an_ack_are_bounded() {
    let _alone = alone();
    let infos = |from: u32| -> Aliases<UpstreamInfo> {
        (from..from + 50_000)
            .map(|alias| {
                let info = UpstreamInfo {
                    session_id: "s".to_owned(),
                    stream_id: Uuid::from_u128(alias.into()),
                    source_node_id: "n".to_owned(),
                };
                (alias, info)
            })
            .collect()
    };
    let acks: Vec<_> = (0..10)
        .map(|turn| {
            let upstream_aliases = infos(turn * 50_000);
            DownstreamChunkAck { stream_id_alias: 1, ack_id: turn, upstream_aliases, ..Default::default() }
        })
        .map(|ack| protobuf(&Message::DownstreamChunkAck(ack)))
        .collect();
    let megabytes = attacked(
        |_| {},
        |server| async move {
            let mut client = Client::connect(&server, "greedy").await;
            open_downstream(&mut client, "sender", Qos::Reliable).await;
            for ack in acks {
                if client.0.send(WsMessage::Binary(ack)).await.is_err() {
                    break;
                }
            }
        },
    );
    assert!(megabytes < 64, "{megabytes} MB");
}

#[test]
fn text_that_is_no_message_is_refused() {
    let _alone = alone();
    attacked(
        |_| {},
        |server| async move {
            let mut client = Client::connect(&server, "texter").await;
            client.0.send(WsMessage::Text("GET / HTTP/1.1".into())).await.unwrap();
            let (code, reason) = disconnected(&mut client).await;
            assert_eq!(code, ResultCode::MALFORMED_MESSAGE, "{reason}");
        },
    );
}

#[test]
fn a_message_above_the_limit_is_refused_before_it_is_there() {
    let _alone = alone();
    let megabytes = attacked(
        |_| {},
        |server| async move {
            let mut client = Client::connect(&server, "large").await;
            // A binary frame, masked with zeros, whose header says 4 GiB.
            let mut frame = vec![0x82, 0xff];
            frame.extend_from_slice(&(4_u64 << 30).to_be_bytes());
            frame.extend_from_slice(&[0; 4 + 1000]);
            client.0.get_mut().write_all(&frame).await.unwrap();
            let (code, reason) = disconnected(&mut client).await;
            assert_eq!(code, ResultCode::MALFORMED_MESSAGE, "{reason}");
        },
    );
    assert!(megabytes < 8, "{megabytes} MB");
}

#[test]
fn handshakes_that_take_their_time_are_dropped() {
    let _alone = alone();
    let megabytes = attacked(
        |config| config.handshake_timeout = Duration::from_millis(300),
        |server| async move {
            let address = support::address(&server);
            let mut slow = Vec::new();
            for _ in 0..200 {
                slow.push(TcpStream::connect(address).await.unwrap());
            }
            // A byte now and then: none of them gets an answer, all of them an end.
            let request = b"GET / HTTP/1.1\r\nHost: x\r\nX: ";
            let mut written = 0;
            while !slow.is_empty() {
                let byte = [*request.get(written).unwrap_or(&b'x')];
                written += 1;
                let mut open = Vec::new();
                for mut stream in slow {
                    let mut buffer = [0; 16];
                    let over = stream.write_all(&byte).await.is_err()
                        || matches!(stream.try_read(&mut buffer), Ok(0))
                        || matches!(stream.try_read(&mut buffer), Err(error)
                            if error.kind() != std::io::ErrorKind::WouldBlock);
                    if !over {
                        open.push(stream);
                    }
                }
                slow = open;
                tokio::time::sleep(Duration::from_millis(20)).await;
            }
        },
    );
    assert!(megabytes < 64, "{megabytes} MB");
}

#[test]
fn a_client_that_never_says_who_it_is_is_dropped() {
    let _alone = alone();
    attacked(
        |config| config.core.timing.connect_timeout = Duration::from_millis(200),
        |server| async move {
            let mut client = Client::dial(&server, "/").await.unwrap();
            let (code, reason) = disconnected(&mut client).await;
            assert_eq!(code, ResultCode::CONNECT_TIMEOUT, "{reason}");
            let mut rest = Vec::new();
            let _ = client.0.get_mut().read_to_end(&mut rest).await;
        },
    );
}
