//! The client against a server of bytes (docs/protocol/transport.md §3, §5).

use std::collections::VecDeque;
use std::net::{Ipv4Addr, SocketAddr};
use std::sync::atomic::Ordering::Relaxed;
use std::sync::{Arc, mpsc};
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

use iscp::client::{ConnectOptions, Connection, ConnectionState};
use iscp::core::FlushLevel;
use iscp::encoding::{Encoding, Schema};
use iscp::error::Status;
use iscp::message::{
    ConnectResponse, Disconnect, Message, Qos, Reply, ResultCode, UpstreamChunk, UpstreamChunkAck,
    UpstreamChunkResult, UpstreamOpenResponse,
};
use quinn::crypto::rustls::QuicServerConfig;
use quinn::{ConnectionError, Endpoint, ServerConfig, TransportConfig};
use rustls::pki_types::PrivateKeyDer;
use rustls::pki_types::pem::PemObject;

use crate::support::{LIMIT, Peer, Pki, id, payload, refused, run, stream_id, upstream, wait};

/// A server with one connection, which a test plays in a thread of its own.
struct Server {
    address: SocketAddr,
    pki: Pki,
    thread: JoinHandle<()>,
}

impl Server {
    fn start<F: Future<Output = ()>>(
        alpn: &'static [u8],
        adjust: impl FnOnce(&mut TransportConfig),
        play: impl FnOnce(quinn::Connection) -> F + Send + 'static,
    ) -> Self {
        let pki = Pki::new();
        let chain = iscp::transport::tls::certificates(pki.chain.as_bytes()).unwrap();
        let key = PrivateKeyDer::from_pem_slice(pki.key.as_bytes()).unwrap();
        let provider = Arc::new(rustls::crypto::ring::default_provider());
        let mut tls = rustls::ServerConfig::builder_with_provider(provider)
            .with_safe_default_protocol_versions()
            .unwrap()
            .with_no_client_auth()
            .with_single_cert(chain, key)
            .unwrap();
        tls.alpn_protocols = vec![alpn.to_vec()];
        let mut config = ServerConfig::with_crypto(Arc::new(QuicServerConfig::try_from(tls).unwrap()));
        let mut transport = TransportConfig::default();
        adjust(&mut transport);
        config.transport_config(Arc::new(transport));
        let (report, started) = mpsc::channel();
        let thread = thread::spawn(move || {
            run(async {
                let endpoint = Endpoint::server(config, (Ipv4Addr::LOCALHOST, 0).into()).unwrap();
                report.send(endpoint.local_addr().unwrap()).unwrap();
                let incoming = endpoint.accept().await.unwrap();
                if let Ok(connection) = incoming.await {
                    play(connection).await;
                }
                endpoint.wait_idle().await;
            });
        });
        Self { address: started.recv().unwrap(), pki, thread }
    }

    fn options(&self) -> ConnectOptions {
        let mut options =
            ConnectOptions { url: format!("quic://{}", self.address), ..ConnectOptions::default() };
        options.dial.tls = self.pki.trust();
        // The server is there for one connection.
        options.config.reconnect.enabled = false;
        options
    }

    fn connect(&self) -> Connection {
        Connection::connect_wait(self.options(), Some(LIMIT)).unwrap()
    }

    fn join(self) {
        self.thread.join().unwrap();
    }
}

/// Reads what a client begins with, and accepts it.
async fn accept(connection: quinn::Connection) -> Peer {
    let mut announced = connection.accept_uni().await.unwrap();
    assert_eq!(stream_id(announced.id()), 2);
    assert_eq!(announced.read_to_end(100).await.unwrap(), b"\x00\x03enc\x00\x05proto");
    let incoming = connection.accept_uni().await.unwrap();
    assert_eq!(stream_id(incoming.id()), 6);
    let outgoing = connection.open_uni().await.unwrap();
    let mut peer = Peer { connection, outgoing, incoming };
    let Message::ConnectRequest(request) = peer.next().await.unwrap() else { panic!("no ConnectRequest") };
    let response = ConnectResponse {
        request_id: request.request_id,
        protocol_version: request.protocol_version,
        ..ConnectResponse::default()
    };
    peer.send(&Message::ConnectResponse(response)).await;
    peer
}

async fn accept_upstream(peer: &mut Peer) {
    accept_stream(peer, 1).await;
}

async fn accept_stream(peer: &mut Peer, alias: u32) {
    let Message::UpstreamOpenRequest(request) = peer.next_but_pings().await else {
        panic!("no open request")
    };
    let response = UpstreamOpenResponse {
        request_id: request.request_id,
        stream_id: uuid::Uuid::from_u128(alias.into()),
        stream_id_alias: alias,
        ..UpstreamOpenResponse::default()
    };
    peer.send(&Message::UpstreamOpenResponse(response)).await;
}

async fn acknowledge(peer: &mut Peer, number: u32) {
    let result = UpstreamChunkResult {
        sequence_number: number,
        result_code: ResultCode::SUCCEEDED,
        result_string: String::new(),
    };
    let ack = UpstreamChunkAck { stream_id_alias: 1, results: vec![result], ..UpstreamChunkAck::default() };
    peer.send(&Message::UpstreamChunkAck(ack)).await;
}

/// Answers until the client says goodbye, and returns what it did in the end.
async fn serve_to_the_end(mut peer: Peer) -> ConnectionError {
    loop {
        let reply = |request_id| Reply {
            request_id,
            result_code: ResultCode::SUCCEEDED,
            result_string: String::new(),
        };
        match peer.next_but_pings().await {
            Message::UpstreamCloseRequest(request) => {
                peer.send(&Message::UpstreamCloseResponse(reply(request.request_id))).await;
            }
            Message::Disconnect(_) => return peer.connection.closed().await,
            other => panic!("{other:?}"),
        }
    }
}

fn expect_close_0(end: &ConnectionError) {
    match end {
        ConnectionError::ApplicationClosed(close) => {
            assert_eq!((close.error_code.into_inner(), &close.reason[..]), (0, &b""[..]));
        }
        other => panic!("{other}"),
    }
}

/// The message of a chunk in datagrams.
async fn read_datagrams(peer: &Peer, sequence: u32) -> Message {
    let mut message = Vec::new();
    loop {
        let datagram = peer.connection.read_datagram().await.unwrap();
        let (header, part) = datagram.split_at(8);
        assert_eq!(header[..4], sequence.to_be_bytes());
        let (max, index) = (&header[4..6], &header[6..8]);
        message.extend_from_slice(part);
        assert!(!part.is_empty());
        if max == index {
            return Encoding::Protobuf.decode(message.into()).unwrap();
        }
    }
}

fn expect_chunk(message: Message, number: u32, expected: &[u8]) {
    let Message::UpstreamChunk(UpstreamChunk { chunk, .. }) = message else { panic!("{message:?}") };
    assert_eq!(chunk.sequence_number, number);
    let points: Vec<_> = chunk.groups.iter().flat_map(|group| group.points.iter()).collect();
    assert_eq!(points.len(), 1);
    assert!(points[0].payload == expected);
}

#[test]
fn the_bytes_on_the_wire_are_those_of_the_protocol() {
    let server = Server::start(
        b"iscp",
        |_| {},
        async |connection| {
            let mut peer = accept(connection).await;
            accept_upstream(&mut peer).await;
            // One datagram, then several; everything else keeps to the stream.
            for (number, size) in [(1, 10), (2, 5_000)] {
                expect_chunk(read_datagrams(&peer, number - 1).await, number, &payload(number.into(), size));
                acknowledge(&mut peer, number).await;
            }
            accept_upstream_again(&mut peer).await;
            expect_close_0(&serve_to_the_end(peer).await);
        },
    );
    let connection = server.connect();
    let up = upstream(&connection, Qos::Unreliable);
    let data_id = up.data_id(id()).unwrap();
    for (number, size) in [(1, 10), (2, 5_000)] {
        up.write(data_id, number, &payload(number, size)).unwrap();
        wait(|done| up.flush(FlushLevel::Acknowledged, LIMIT, done)).unwrap();
    }
    let reliable = upstream(&connection, Qos::Reliable);
    let data_id = reliable.data_id(id()).unwrap();
    reliable.write(data_id, 1, &payload(1, 10)).unwrap();
    wait(|done| reliable.flush(FlushLevel::Acknowledged, LIMIT, done)).unwrap();
    wait(|done| connection.close(done)).unwrap();
    server.join();
}

/// A RELIABLE stream, whose chunk comes on the message stream.
async fn accept_upstream_again(peer: &mut Peer) {
    let Message::UpstreamOpenRequest(request) = peer.next_but_pings().await else {
        panic!("no open request")
    };
    assert_eq!(request.qos, Qos::Reliable);
    let response = UpstreamOpenResponse {
        request_id: request.request_id,
        stream_id: uuid::Uuid::from_u128(2),
        stream_id_alias: 2,
        ..UpstreamOpenResponse::default()
    };
    peer.send(&Message::UpstreamOpenResponse(response)).await;
    expect_chunk(peer.next_but_pings().await, 1, &payload(1, 10));
    let results = vec![UpstreamChunkResult {
        sequence_number: 1,
        result_code: ResultCode::SUCCEEDED,
        result_string: String::new(),
    }];
    let ack = UpstreamChunkAck { stream_id_alias: 2, results, ..UpstreamChunkAck::default() };
    peer.send(&Message::UpstreamChunkAck(ack)).await;
}

#[test]
fn without_datagrams_every_chunk_takes_the_stream() {
    // None at all, and none that has room for a part of a message.
    for size in [None, Some(12), Some(17)] {
        let adjust = move |config: &mut TransportConfig| {
            config.datagram_receive_buffer_size(size);
        };
        let server = Server::start(b"iscp", adjust, async |connection| {
            let mut peer = accept(connection).await;
            accept_upstream(&mut peer).await;
            expect_chunk(peer.next_but_pings().await, 1, b"x");
            acknowledge(&mut peer, 1).await;
            expect_close_0(&serve_to_the_end(peer).await);
        });
        let connection = server.connect();
        let up = upstream(&connection, Qos::Unreliable);
        up.write(up.data_id(id()).unwrap(), 1, b"x").unwrap();
        wait(|done| connection.close(done)).unwrap();
        server.join();
    }
}

#[test]
fn without_datagrams_chunks_wait_for_a_stream_that_is_not_read() {
    let adjust = |config: &mut TransportConfig| {
        config.datagram_receive_buffer_size(Some(17)).stream_receive_window(4_000_u32.into());
    };
    let (proceed, proceeds) = tokio::sync::oneshot::channel::<()>();
    let server = Server::start(b"iscp", adjust, async |connection| {
        let mut peer = accept(connection).await;
        accept_upstream(&mut peer).await;
        proceeds.await.unwrap();
        let mut number = 0;
        while number < 50 {
            let message = peer.next_but_pings().await;
            let Message::UpstreamChunk(UpstreamChunk { chunk, .. }) = message else { panic!("{message:?}") };
            for point in chunk.groups.iter().flat_map(|group| group.points.iter()) {
                number += 1;
                assert!(point.payload == payload(number, 100_000));
            }
        }
        peer.connection.close(0_u32.into(), b"");
    });
    let connection = server.connect();
    let up = upstream(&connection, Qos::Unreliable);
    let data_id = up.data_id(id()).unwrap();
    for number in 1..=50 {
        up.write(data_id, number, &payload(number, 100_000)).unwrap();
    }
    // They do not pile up between the stream and the queue with a bound.
    let sent = wait(|done| up.flush(FlushLevel::Sent, Duration::from_millis(200), done));
    assert_eq!(sent.unwrap_err().status(), Status::Timeout);
    assert!(connection.counters().messages_sent.load(Relaxed) < 20);
    proceed.send(()).unwrap();
    server.join();
}

/// A way to `server` that carries so many bytes per second, with a queue of 64 KiB. The way back has no limit.
fn narrow_path(server: SocketAddr, rate: u32) -> SocketAddr {
    let (report, started) = mpsc::channel();
    // Ends with the process: a path does not learn that it is no longer used.
    thread::spawn(move || {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        runtime.block_on(async {
            let near = tokio::net::UdpSocket::bind((Ipv4Addr::LOCALHOST, 0)).await.unwrap();
            let far = tokio::net::UdpSocket::bind((Ipv4Addr::LOCALHOST, 0)).await.unwrap();
            far.connect(server).await.unwrap();
            report.send(near.local_addr().unwrap()).unwrap();
            let mut client = None;
            let mut queue: VecDeque<Vec<u8>> = VecDeque::new();
            let mut queued = 0;
            let mut next = tokio::time::Instant::now();
            let (mut up, mut down) = ([0; 2_048], [0; 2_048]);
            loop {
                tokio::select! {
                    received = near.recv_from(&mut up) => {
                        let Ok((len, from)) = received else { continue };
                        client = Some(from);
                        if queued + len <= 64 * 1024 {
                            if queue.is_empty() {
                                next = next.max(tokio::time::Instant::now());
                            }
                            queued += len;
                            queue.push_back(up[..len].to_vec());
                        }
                    }
                    received = far.recv(&mut down) => {
                        if let (Ok(len), Some(client)) = (received, client) {
                            let _ = near.send_to(&down[..len], client).await;
                        }
                    }
                    () = tokio::time::sleep_until(next), if !queue.is_empty() => {
                        let packet = queue.pop_front().unwrap();
                        queued -= packet.len();
                        next += Duration::from_secs(1) * packet.len() as u32 / rate;
                        let _ = far.send(&packet).await;
                    }
                }
            }
        });
    });
    started.recv().unwrap()
}

/// A flood of datagrams on a slow link keeps back what the stream carries by no more than what is under way.
#[test]
fn a_flood_of_datagrams_does_not_keep_back_the_stream() {
    let server = Server::start(
        b"iscp",
        |_| {},
        async |connection| {
            let mut peer = accept(connection).await;
            accept_upstream(&mut peer).await;
            let connection = peer.connection.clone();
            let flood = async || connection.read_datagram().await.unwrap().len();
            for round in 0..10 {
                // The flood is on.
                let mut before = 0;
                while before < 200_000 {
                    before += flood().await;
                }
                peer.send(&Message::Ping(round)).await;
                let mut between = 0;
                let pong = async { while peer.next().await.unwrap() != Message::Pong(round) {} };
                let mut pong = std::pin::pin!(pong);
                loop {
                    tokio::select! {
                        () = &mut pong => break,
                        len = flood() => between += len,

                    }
                    assert!(between < 300_000, "still no pong");
                }
            }
            peer.connection.close(0_u32.into(), b"");
        },
    );
    let mut options = server.options();
    options.url = format!("quic://{}", narrow_path(server.address, 1_000_000));
    let connection = Connection::connect_wait(options, Some(LIMIT)).unwrap();
    let up = upstream(&connection, Qos::Unreliable);
    let data_id = up.data_id(id()).unwrap();
    let payload = payload(1, 5_000);
    while connection.state() == ConnectionState::Connected {
        // More than the link takes, and not much more than is held for it.
        for _ in 0..100 {
            let _ = up.write(data_id, 1, &payload);
        }
        let _ = wait(|done| up.flush(FlushLevel::Sent, LIMIT, done));
    }
    server.join();
}

#[test]
fn datagrams_overtake_a_stream_that_is_not_read() {
    let small = |config: &mut TransportConfig| {
        config.stream_receive_window(4_000_u32.into());
    };
    let server = Server::start(b"iscp", small, async |connection| {
        let mut peer = accept(connection).await;
        for alias in [1, 2] {
            accept_stream(&mut peer, alias).await;
        }
        // The chunk on the stream is far larger than the window, and nothing of it is read before this.
        expect_chunk(read_datagrams(&peer, 0).await, 1, b"first");
        expect_chunk(peer.next_but_pings().await, 1, &payload(1, 100_000));
        peer.connection.close(0_u32.into(), b"");
    });
    let connection = server.connect();
    let reliable = upstream(&connection, Qos::Reliable);
    let unreliable = upstream(&connection, Qos::Unreliable);
    reliable.write(reliable.data_id(id()).unwrap(), 1, &payload(1, 100_000)).unwrap();
    wait(|done| reliable.flush(FlushLevel::Sent, LIMIT, done)).unwrap();
    unreliable.write(unreliable.data_id(id()).unwrap(), 1, b"first").unwrap();
    server.join();
}

#[test]
fn a_stream_that_does_not_say_what_it_is_for_holds_up_no_session() {
    let server = Server::start(
        b"h3",
        |_| {},
        async |connection| {
            // The client learns of the first by what comes on the second.
            let _silent = connection.open_uni().await.unwrap();
            let mut control = connection.open_uni().await.unwrap();
            let mut settings = web_transport_proto::Settings::default();
            settings.enable_webtransport(1);
            settings.write(&mut control).await.unwrap();
            let (_send, mut receive) = connection.accept_bi().await.unwrap();
            web_transport_proto::ConnectRequest::read(&mut receive).await.unwrap();
            connection.close(7_u32.into(), b"come again");
        },
    );
    let mut options = server.options();
    options.url = format!("webtransport://{}", server.address);
    let error = refused(options);
    assert!(error.message().contains("come again"), "{error}");
    server.join();
}

#[test]
fn only_the_first_stream_of_a_server_is_read() {
    let server = Server::start(
        b"iscp",
        |_| {},
        async |connection| {
            let peer = accept(connection).await;
            let mut second = peer.connection.open_uni().await.unwrap();
            second.write_all(&[0xff; 100]).await.unwrap();
            assert!(matches!(second.stopped().await, Ok(Some(_))));
            expect_close_0(&serve_to_the_end(peer).await);
        },
    );
    let connection = server.connect();
    wait(|done| connection.close(done)).unwrap();
    server.join();
}

#[test]
fn lost_datagrams_neither_fail_nor_hold_up_a_close() {
    let server = Server::start(
        b"iscp",
        |_| {},
        async |connection| {
            let mut peer = accept(connection).await;
            accept_upstream(&mut peer).await;
            // The first two never came, as far as this server knows.
            for sequence in 0..3 {
                read_datagrams(&peer, sequence).await;
            }
            acknowledge(&mut peer, 3).await;
            expect_close_0(&serve_to_the_end(peer).await);
        },
    );
    let connection = server.connect();
    let mut options = iscp::client::UpstreamOptions::default();
    options.config.qos = Qos::Unreliable;
    options.config.flush_policy = iscp::core::FlushPolicy::Immediate;
    // What it must not wait for.
    options.config.close_timeout = LIMIT * 3;
    let (ended, ends) = mpsc::channel();
    options.on_closed = Some(Box::new(move |end| ended.send(end).unwrap()));
    let up = wait(|done| connection.open_upstream(options, done)).unwrap();
    let data_id = up.data_id(id()).unwrap();
    for number in 0..3 {
        up.write(data_id, number, b"x").unwrap();
        wait(|done| up.flush(FlushLevel::Sent, LIMIT, done)).unwrap();
    }
    wait(|done| up.close(false, done)).unwrap();
    let end = ends.recv_timeout(LIMIT).unwrap();
    assert_eq!((end.error, end.undelivered_points, end.undelivered_chunks), (None, 2, vec![1, 2]));
    wait(|done| connection.close(done)).unwrap();
    server.join();
}

#[test]
fn a_server_of_another_protocol_is_named_as_such() {
    let server = Server::start(b"h3", |_| {}, async |_| {});
    let error = refused(server.options());
    assert_eq!(error.status(), Status::Handshake, "{error}");
    assert!(error.message().contains("iscp"), "{error}");
    server.join();
}

#[test]
fn what_a_server_says_when_it_closes_is_told() {
    let server = Server::start(
        b"iscp",
        |_| {},
        async |connection| {
            let mut peer = accept(connection).await;
            // The client has read its acceptance.
            peer.send(&Message::Ping(1)).await;
            while peer.next().await.unwrap() != Message::Pong(1) {}
            peer.connection.close(7_u32.into(), b"out of \x1b[31mcoffee");
        },
    );
    let (ended, ends) = mpsc::channel();
    let mut options = server.options();
    options.on_closed = Some(Arc::new(move |error| ended.send(error).unwrap()));
    let connection = Connection::connect_wait(options, Some(LIMIT)).unwrap();
    let error = ends.recv_timeout(LIMIT).unwrap().unwrap();
    assert_eq!(error.status(), Status::ConnectionLost);
    assert!(error.message().contains("code 7: out of \\u{1b}[31mcoffee"), "{error}");
    assert_eq!(connection.state(), ConnectionState::Closed);
    server.join();
}

#[test]
fn a_message_beyond_the_limit_ends_the_connection() {
    let server = Server::start(
        b"iscp",
        |_| {},
        async |connection| {
            let mut peer = accept(connection).await;
            peer.outgoing.write_all(&[0xff; 4]).await.unwrap();
            while peer.next().await.is_ok() {}
        },
    );
    let (ended, ends) = mpsc::channel();
    let mut options = server.options();
    options.on_closed = Some(Arc::new(move |error| ended.send(error).unwrap()));
    let _connection = Connection::connect_wait(options, Some(LIMIT)).unwrap();
    let error = ends.recv_timeout(LIMIT).unwrap().unwrap();
    assert_eq!(error.status(), Status::MalformedMessage, "{error}");
    server.join();
}

/// What comes by datagram can be anybody's: nothing in it ends the connection (docs/protocol/transport.md §5.5,
/// §5.6).
#[test]
fn datagrams_that_are_no_chunks_are_dropped_alone() {
    let server = Server::start(
        b"iscp",
        |_| {},
        async |connection| {
            let mut peer = accept(connection).await;
            let goodbye = Encoding::Protobuf.encode(&Message::Disconnect(Disconnect::default()), Schema::V3);
            for datagram in [
                b"".to_vec(),
                b"short".to_vec(),
                // An index above the last, and a part of what never comes.
                b"\0\0\0\0\0\0\0\x01x".to_vec(),
                b"\0\0\0\x01\0\x02\0\0x".to_vec(),
                // Whole, and no message or not a chunk.
                b"\0\0\0\x02\0\0\0\0\xff\xff".to_vec(),
                [&b"\0\0\0\x03\0\0\0\0"[..], &goodbye].concat(),
            ] {
                peer.connection.send_datagram(datagram.into()).unwrap();
            }
            accept_upstream(&mut peer).await;
            expect_close_0(&serve_to_the_end(peer).await);
        },
    );
    let connection = server.connect();
    let deadline = Instant::now() + LIMIT;
    while connection.counters().messages_received.load(Relaxed) < 3 {
        assert!(Instant::now() < deadline, "the datagrams did not come");
        thread::yield_now();
    }
    upstream(&connection, Qos::Reliable);
    assert_eq!(connection.state(), ConnectionState::Connected);
    wait(|done| connection.close(done)).unwrap();
    server.join();
}
