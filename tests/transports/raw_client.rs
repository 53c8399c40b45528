//! The broker against a client of bytes (docs/protocol/transport.md §3, §5).

use std::collections::HashMap;
use std::net::{Ipv4Addr, SocketAddr, UdpSocket};
use std::sync::Arc;
use std::time::Duration;

use iscp::message::{ConnectRequest, Disconnect, Message, Qos, ResultCode};
use iscp::transport::Scheme;
use iscp::transport::tls::client_config;
use quinn::crypto::rustls::QuicClientConfig;
use quinn::{
    ApplicationClose, ClientConfig, Connection, ConnectionError, Endpoint, ReadError, ReadExactError,
};

use crate::support::{
    LIMIT, Peer, SCHEMES, World, chunk, downstream, encode, framed, next_points, open_upstream, payload, run,
    stream_id,
};

const ENC_PROTO: &[u8] = b"\x00\x03enc\x00\x05proto";

fn pair(key: &str, value: &str) -> Vec<u8> {
    let text = |text: &str| [&(text.len() as u16).to_be_bytes()[..], text.as_bytes()].concat();
    [text(key), text(value)].concat()
}

fn address(world: &World) -> SocketAddr {
    world.broker.address(Scheme::Quic).unwrap()
}

async fn dial(world: &World, address: SocketAddr) -> Result<Connection, ConnectionError> {
    let tls = client_config(&world.pki.trust(), &[b"iscp"]).unwrap();
    let config = ClientConfig::new(Arc::new(QuicClientConfig::try_from(tls).unwrap()));
    let endpoint = Endpoint::client((Ipv4Addr::UNSPECIFIED, 0).into()).unwrap();
    endpoint.connect_with(config, address, "localhost").unwrap().await
}

fn connect_request(node: &str) -> Message {
    Message::ConnectRequest(ConnectRequest {
        protocol_version: "2.0.0".to_owned(),
        node_id: node.to_owned(),
        ping_interval_s: 10,
        ping_timeout_s: 10,
        ..ConnectRequest::default()
    })
}

async fn expect_accepted(peer: &mut Peer) {
    match peer.next().await.unwrap() {
        Message::ConnectResponse(response) => assert_eq!(response.result_code, ResultCode::SUCCEEDED),
        other => panic!("{other:?}"),
    }
}

/// A connection as the official clients make it.
async fn connect(world: &World, node: &str) -> Peer {
    begin(dial(world, address(world)).await.unwrap(), node).await
}

async fn begin(connection: Connection, node: &str) -> Peer {
    let mut negotiation = connection.open_uni().await.unwrap();
    negotiation.write_all(ENC_PROTO).await.unwrap();
    negotiation.finish().unwrap();
    let mut outgoing = connection.open_uni().await.unwrap();
    outgoing.write_all(&framed(&connect_request(node))).await.unwrap();
    let incoming = connection.accept_uni().await.unwrap();
    let mut peer = Peer { connection, outgoing, incoming };
    expect_accepted(&mut peer).await;
    peer
}

/// Shows that the broker still serves the connection.
async fn expect_alive(peer: &mut Peer) {
    peer.send(&Message::Ping(70)).await;
    while peer.next_but_pings().await != Message::Pong(70) {}
}

fn code(error: &ConnectionError) -> (u64, String) {
    match error {
        ConnectionError::ApplicationClosed(ApplicationClose { error_code, reason }) => {
            (error_code.into_inner(), String::from_utf8(reason.to_vec()).unwrap())
        }
        other => panic!("{other}"),
    }
}

#[test]
fn clients_of_every_style_are_served() {
    let off =
        [pair("clevel", "0"), pair("comp", "context-takeover"), pair("cwinbits", "0"), ENC_PROTO.to_vec()];
    let orders = [[0, 1, 2, 3], [3, 2, 1, 0], [1, 3, 0, 2], [2, 0, 3, 1]];
    let mut negotiations: Vec<Vec<u8>> =
        orders.iter().map(|order| order.map(|at| off[at].clone()).concat()).collect();
    assert_eq!(negotiations[0].len(), 60);
    negotiations.extend([Vec::new(), ENC_PROTO.to_vec(), [&pair("unknown", "x")[..], ENC_PROTO].concat()]);
    let world = World::new();
    run(async {
        for negotiation in negotiations {
            // Everything in one packet, as Python does; length and message apart, as Go does; byte by byte.
            for pieces in [usize::MAX, 4, 1] {
                let connection = dial(&world, address(&world)).await.unwrap();
                let mut announced = connection.open_uni().await.unwrap();
                let mut outgoing = connection.open_uni().await.unwrap();
                assert_eq!((stream_id(announced.id()), stream_id(outgoing.id())), (2, 6));
                let request = framed(&connect_request("node"));
                if pieces == usize::MAX {
                    announced.write_all(&negotiation).await.unwrap();
                    announced.finish().unwrap();
                    outgoing.write_all(&request).await.unwrap();
                } else {
                    // The messages are there before the parameters that they need.
                    for piece in [&request[..4], &request[4..]] {
                        for bytes in piece.chunks(if pieces == 4 { piece.len() } else { 1 }) {
                            outgoing.write_all(bytes).await.unwrap();
                            tokio::task::yield_now().await;
                        }
                    }
                    for bytes in negotiation.chunks(pieces) {
                        announced.write_all(bytes).await.unwrap();
                        tokio::task::yield_now().await;
                    }
                    announced.finish().unwrap();
                }
                let incoming = connection.accept_uni().await.unwrap();
                assert_eq!(stream_id(incoming.id()), 3);
                let mut peer = Peer { connection, outgoing, incoming };
                expect_accepted(&mut peer).await;
                expect_alive(&mut peer).await;
                // No other stream came, and this one did not end.
                let more = tokio::time::timeout(Duration::ZERO, peer.connection.accept_uni()).await;
                assert!(more.is_err());
            }
        }
    });
}

#[test]
fn a_negotiation_that_cannot_be_served_is_refused_in_words() {
    let world = World::new();
    run(async {
        for (negotiation, culprit) in [
            (pair("enc", "xml"), "xml"),
            ([ENC_PROTO, ENC_PROTO].concat(), "twice"),
            (b"\x00\x03en".to_vec(), "key"),
            (vec![0xff; 9_000], "too long"),
        ] {
            let connection = dial(&world, address(&world)).await.unwrap();
            let mut announced = connection.open_uni().await.unwrap();
            announced.write_all(&negotiation).await.unwrap();
            announced.finish().unwrap();
            let (code, reason) = code(&connection.closed().await);
            assert_eq!(code, 1);
            assert!(reason.contains(culprit), "{reason}");
        }
    });
}

#[test]
fn a_client_that_announces_nothing_is_not_waited_for() {
    let world = World::with(|config| config.handshake_timeout = Duration::from_millis(200));
    run(async {
        let connection = dial(&world, address(&world)).await.unwrap();
        let mut announced = connection.open_uni().await.unwrap();
        announced.write_all(ENC_PROTO).await.unwrap();
        // Not finished.
        assert_eq!(code(&connection.closed().await), (0, String::new()));
    });
}

#[test]
fn the_end_is_a_close_with_code_0_and_never_the_end_of_the_stream() {
    let world = World::with(|config| config.tokens = vec!["right".to_owned()]);
    run(async {
        // A refusal is read before the close comes.
        let connection = dial(&world, address(&world)).await.unwrap();
        let mut announced = connection.open_uni().await.unwrap();
        announced.write_all(ENC_PROTO).await.unwrap();
        announced.finish().unwrap();
        let mut outgoing = connection.open_uni().await.unwrap();
        outgoing.write_all(&framed(&connect_request("node"))).await.unwrap();
        let incoming = connection.accept_uni().await.unwrap();
        let mut peer = Peer { connection, outgoing, incoming };
        match peer.next().await.unwrap() {
            Message::ConnectResponse(response) => assert_eq!(response.result_code, ResultCode::AUTH_FAILED),
            other => panic!("{other:?}"),
        }
        match peer.next().await.unwrap_err() {
            ReadExactError::ReadError(ReadError::ConnectionLost(end)) => {
                assert_eq!(code(&end), (0, String::new()));
            }
            other => panic!("{other}"),
        }
    });
    let world = World::new();
    run(async {
        let mut peer = connect(&world, "node").await;
        peer.send(&Message::Disconnect(Disconnect::default())).await;
        assert_eq!(code(&peer.connection.closed().await), (0, String::new()));

        // A client that ends its stream is done too.
        let mut peer = connect(&world, "node").await;
        peer.outgoing.finish().unwrap();
        assert_eq!(code(&peer.connection.closed().await), (0, String::new()));

        // And one that just closes takes nobody with it.
        let (mut other, peer) = (connect(&world, "other").await, connect(&world, "node").await);
        peer.connection.close(0_u32.into(), b"");
        expect_alive(&mut other).await;
    });
}

#[test]
fn further_streams_are_refused_and_harm_nobody() {
    let world = World::new();
    run(async {
        let mut other = connect(&world, "other").await;
        let mut peer = connect(&world, "peer").await;
        for _ in 0..100 {
            let mut extra = peer.connection.open_uni().await.unwrap();
            // Whether it took some of it or not.
            let _ = extra.write(&[0xff; 1_000]).await;
            assert!(matches!(extra.stopped().await, Ok(Some(_))));
            extra.reset(0_u32.into()).unwrap();
        }
        expect_alive(&mut peer).await;
        expect_alive(&mut peer).await;
        // Streams with both directions are not granted at all.
        let open = tokio::time::timeout(Duration::ZERO, peer.connection.open_bi()).await;
        assert!(open.is_err());
        expect_alive(&mut other).await;
    });
}

#[test]
fn garbage_ends_at_most_the_connection_that_sent_it() {
    let world = World::new();
    run(async {
        let mut other = connect(&world, "other").await;
        for garbage in [&[0xff; 64][..], b"\0\0\0\x04\xff\xff\xff\xff", b"\0\0\0\x01"] {
            let mut peer = connect(&world, "peer").await;
            peer.outgoing.write_all(garbage).await.unwrap();
            let _ = peer.outgoing.finish();
            let (code, reason) = code(&peer.connection.closed().await);
            assert_eq!((code, reason.as_str()), (0, ""));
        }
        let mut peer = connect(&world, "peer").await;
        let alias = open_upstream(&mut peer, Qos::Unreliable).await;
        for round in 0..2_000_u32 {
            let datagrams: [Vec<u8>; 5] = [
                Vec::new(),
                vec![0; round as usize % 8],
                [&round.to_be_bytes()[..], &[0xff; 5]].concat(),
                [&round.to_be_bytes()[..], &[0, 0, 0, 0], b"no message"].concat(),
                // A message that may come, but not this way.
                [&round.to_be_bytes()[..], &[0; 4], &encode(&Message::Disconnect(Disconnect::default()))]
                    .concat(),
            ];
            for datagram in datagrams {
                peer.connection.send_datagram(datagram.into()).unwrap();
            }
        }
        expect_alive(&mut peer).await;
        peer.send(&chunk(alias, 1, b"x")).await;
        assert!(matches!(peer.next_but_pings().await, Message::UpstreamChunkAck(_)));
        expect_alive(&mut other).await;
    });
}

/// Segments as Go and Python cut them: parts of one size, and an empty one behind a message that fills
/// them.
fn segments(sequence: u32, message: &[u8], part: usize) -> Vec<Vec<u8>> {
    let max = message.len() / part;
    (0..=max)
        .map(|index| {
            let rest = &message[(index * part).min(message.len())..];
            let header =
                [&sequence.to_be_bytes()[..], &(max as u16).to_be_bytes(), &(index as u16).to_be_bytes()];
            [&header.concat()[..], &rest[..rest.len().min(part)]].concat()
        })
        .collect()
}

#[test]
fn chunks_in_datagrams_of_other_clients_reach_the_readers() {
    let world = World::new();
    let reader = world.connect(Scheme::Quic, "reader");
    let down = downstream(&reader, "source", Qos::Reliable);
    run(async {
        let mut peer = connect(&world, "source").await;
        // On either channel, whatever the QoS of the stream (docs/protocol/transport.md §5.6).
        let alias = open_upstream(&mut peer, Qos::Partial).await;
        let first = encode(&chunk(alias, 1, &payload(1, 5_000)));
        for number in 1..=3 {
            let message = encode(&chunk(alias, number, &payload(i64::from(number), 5_000)));
            // The second fills its last segment.
            let part = if number == 2 { first.len() / 4 } else { 1_100 };
            let mut datagrams = segments(number, &message[..], part);
            datagrams.reverse();
            if number == 3 {
                peer.send(&chunk(alias, number, &payload(i64::from(number), 5_000))).await;
            } else {
                for datagram in datagrams {
                    peer.connection.send_datagram(datagram.into()).unwrap();
                }
            }
            // Each was acknowledged, on the stream, so that none is lost here.
            assert!(matches!(peer.next_but_pings().await, Message::UpstreamChunkAck(_)));
        }
    });
    for number in 1..=3 {
        assert!(next_points(&down, LIMIT).unwrap() == [(number, payload(number, 5_000))]);
    }
}

#[test]
fn idle_clients_are_kept_alive() {
    let world = World::new();
    run(async {
        let peer = connect(&world, "node").await;
        // This end is silent, so pings are the broker's.
        while peer.connection.stats().frame_rx.ping == 0 {
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
    });
}

/// Longer ids leave no room for Python's datagrams (docs/protocol/transport.md §3.1).
#[test]
fn connection_ids_have_at_most_8_bytes() {
    let world = World::new();
    run(async {
        let between = UdpSocket::bind("127.0.0.1:0").unwrap();
        between.set_nonblocking(true).unwrap();
        let between = tokio::net::UdpSocket::from_std(between).unwrap();
        let mut packet = [0; 2_000];
        let dialled = dial(&world, between.local_addr().unwrap());
        let observed = async {
            let (len, _) = between.recv_from(&mut packet).await.unwrap();
            between.send_to(&packet[..len], address(&world)).await.unwrap();
            loop {
                let (len, from) = between.recv_from(&mut packet).await.unwrap();
                if from == address(&world) {
                    return packet[..len].to_vec();
                }
            }
        };
        let answer = tokio::select! {
            answer = observed => answer,
            _ = dialled => panic!("connected through half a proxy"),
        };
        assert_ne!(answer[0] & 0x80, 0, "a long header");
        let destination = usize::from(answer[5]);
        let source = usize::from(answer[6 + destination]);
        assert!((1..=8).contains(&source), "{source}");
    });
}

/// Packets that begin connections, as anybody can send them under any address.
async fn initials(world: &World, count: usize) -> Vec<Vec<u8>> {
    let sink = tokio::net::UdpSocket::bind((Ipv4Addr::LOCALHOST, 0)).await.unwrap();
    let tls = client_config(&world.pki.trust(), &[b"iscp", b"h3"]).unwrap();
    let config = ClientConfig::new(Arc::new(QuicClientConfig::try_from(tls).unwrap()));
    let endpoint = Endpoint::client((Ipv4Addr::UNSPECIFIED, 0).into()).unwrap();
    let mut packets = HashMap::new();
    let mut packet = [0; 2_000];
    // None is given up, for which there would be packets too.
    let mut connecting = Vec::new();
    while packets.len() < count {
        let address = sink.local_addr().unwrap();
        connecting.push(endpoint.connect_with(config.clone(), address, "localhost").unwrap());
        let (len, _) = sink.recv_from(&mut packet).await.unwrap();
        // By the id of the connection; the others are repetitions.
        let id = packet[6..][..packet[5].into()].to_vec();
        packets.entry(id).or_insert_with(|| packet[..len].to_vec());
    }
    packets.into_values().collect()
}

#[test]
fn handshakes_under_addresses_of_others_do_not_shut_clients_out() {
    // With what is kept for refusals, that is fewer than the packets.
    let world = World::with(|config| config.core.limits.connections = 10);
    run(async {
        let packets = initials(&world, 400).await;
        let stranger = tokio::net::UdpSocket::bind((Ipv4Addr::LOCALHOST, 0)).await.unwrap();
        for scheme in SCHEMES {
            let mut answer = [0; 2_000];
            for packet in &packets {
                stranger.send_to(packet, world.broker.address(scheme).unwrap()).await.unwrap();
                // One at a time, so that none is lost.
                stranger.recv(&mut answer).await.unwrap();
            }
        }
    });
    for scheme in SCHEMES {
        world.connect(scheme, "node");
    }
}

#[test]
fn nothing_is_kept_of_datagrams_before_a_client_is_accepted() {
    let world = World::new();
    run(async {
        let alias = 1;
        let message = encode(&chunk(alias, 1, &payload(1, 1_000)));
        let [first, second] = segments(1, &message, message.len() - 1).try_into().unwrap();
        let connection = dial(&world, address(&world)).await.unwrap();
        connection.send_datagram(first.into()).unwrap();
        let mut peer = begin(connection, "node").await;
        assert_eq!(open_upstream(&mut peer, Qos::Reliable).await, alias);
        peer.connection.send_datagram(second.into()).unwrap();
        peer.send(&chunk(alias, 2, b"x")).await;
        let Message::UpstreamChunkAck(ack) = peer.next_but_pings().await else { panic!("no ack") };
        let numbers: Vec<_> = ack.results.iter().map(|result| result.sequence_number).collect();
        assert_eq!(numbers, [2]);
    });
}
