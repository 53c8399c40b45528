//! The broker against a WebTransport client of bytes (docs/protocol/transport.md §4).

use std::collections::HashMap;
use std::net::Ipv4Addr;
use std::sync::Arc;
use std::time::Duration;

use http::StatusCode;
use iscp::message::{ConnectRequest as Connect, Disconnect, Message, Qos, ResultCode};
use iscp::transport::Scheme;
use iscp::transport::tls::client_config;
use quinn::crypto::rustls::QuicClientConfig;
use quinn::{ClientConfig, Connection, Endpoint, RecvStream, SendStream};
use web_transport_proto::{ConnectError, ConnectRequest, ConnectResponse};

use crate::support::{
    LIMIT, Peer, World, chunk, downstream, framed, next_points, open_upstream, payload, run,
};

/// What HTTP/3 of a client begins with: a control stream with settings.
const CONTROL: &[u8] = b"\x00\x04\x0d\x33\x01\xab\x60\x37\x42\x01\x80\xff\xd2\x77\x01\x08\x01";

/// A connection up to the answer to its request.
struct Session {
    connection: Connection,
    /// Both must not end.
    _control: SendStream,
    connect: (SendStream, RecvStream),
    answer: Result<ConnectResponse, ConnectError>,
}

async fn request(world: &World, query: &str) -> Session {
    let tls = client_config(&world.pki.trust(), &[b"h3"]).unwrap();
    let config = ClientConfig::new(Arc::new(QuicClientConfig::try_from(tls).unwrap()));
    let endpoint = Endpoint::client((Ipv4Addr::UNSPECIFIED, 0).into()).unwrap();
    let address = world.broker.address(Scheme::WebTransport).unwrap();
    let connection = endpoint.connect_with(config, address, "localhost").unwrap().await.unwrap();
    let mut control = connection.open_uni().await.unwrap();
    control.write_all(CONTROL).await.unwrap();
    let mut connect = connection.open_bi().await.unwrap();
    let url: url::Url = format!("https://localhost/?{query}").parse().unwrap();
    ConnectRequest::new(url).write(&mut connect.0).await.unwrap();
    let answer = ConnectResponse::read(&mut connect.1).await;
    Session { connection, _control: control, connect, answer }
}

/// A session with the messages of a client that was accepted.
async fn connect(world: &World) -> (Session, Peer) {
    let session = request(world, "enc=proto").await;
    assert_eq!(session.answer.as_ref().unwrap().status, StatusCode::OK);
    let connection = session.connection.clone();
    let mut outgoing = connection.open_uni().await.unwrap();
    outgoing.write_all(b"\x40\x54\x00").await.unwrap();
    let request = Message::ConnectRequest(Connect {
        protocol_version: "2.0.0".to_owned(),
        node_id: "node".to_owned(),
        ping_interval_s: 10,
        ping_timeout_s: 10,
        ..Connect::default()
    });
    outgoing.write_all(&framed(&request)).await.unwrap();
    // The control stream comes first.
    let settings = read_settings(&mut connection.accept_uni().await.unwrap()).await;
    for setting in [0x08, 0x33, 0x2b60_3742, 0xc671_706a] {
        assert_eq!(settings.get(&setting), Some(&1), "{setting:x}");
    }
    let mut incoming = connection.accept_uni().await.unwrap();
    let mut kind = [0; 3];
    incoming.read_exact(&mut kind).await.unwrap();
    assert_eq!(&kind, b"\x40\x54\x00");
    let mut peer = Peer { connection, outgoing, incoming };
    match peer.next().await.unwrap() {
        Message::ConnectResponse(response) => assert_eq!(response.result_code, ResultCode::SUCCEEDED),
        other => panic!("{other:?}"),
    }
    (session, peer)
}

async fn varint(stream: &mut RecvStream) -> u64 {
    let mut first = [0];
    stream.read_exact(&mut first).await.unwrap();
    let mut rest = vec![0; (1 << (first[0] >> 6)) - 1];
    stream.read_exact(&mut rest).await.unwrap();
    rest.iter().fold(u64::from(first[0] & 0x3f), |value, byte| value << 8 | u64::from(*byte))
}

async fn read_settings(stream: &mut RecvStream) -> HashMap<u64, u64> {
    assert_eq!((varint(stream).await, varint(stream).await), (0, 4));
    let length = varint(stream).await;
    let mut settings = HashMap::new();
    let mut read = 0;
    while read < length {
        let (setting, value) = (varint(stream).await, varint(stream).await);
        let size = |value: u64| match value {
            0..0x40 => 1,
            0x40..0x4000 => 2,
            0x4000..0x4000_0000 => 4,
            _ => 8,
        };
        read += size(setting) + size(value);
        settings.insert(setting, value);
    }
    settings
}

async fn expect_alive(peer: &mut Peer) {
    peer.send(&Message::Ping(70)).await;
    while peer.next_but_pings().await != Message::Pong(70) {}
}

#[test]
fn a_session_is_that_of_the_standard_and_harmed_by_nothing_beside_it() {
    let world = World::new();
    run(async {
        let (_session, mut peer) = connect(&world).await;
        // Streams of HTTP/3 are left alone, even one that never says what it is for.
        let mut qpack = Vec::new();
        for kind in [&b"\x02"[..], b"\x03", b""] {
            let mut stream = peer.connection.open_uni().await.unwrap();
            stream.write_all(kind).await.unwrap();
            qpack.push(stream);
        }
        // Another stream of the session, one of another session, and one of no known kind.
        for kind in [&b"\x40\x54\x00"[..], b"\x40\x54\x04", b"\x21garbage"] {
            for _ in 0..20 {
                let mut extra = peer.connection.open_uni().await.unwrap();
                let _ = extra.write(kind).await;
                assert!(matches!(extra.stopped().await, Ok(Some(_))), "{kind:?}");
                extra.reset(0_u32.into()).unwrap();
            }
        }
        for datagram in [&b""[..], b"\x00", b"\x01\0\0\0\0\0\0\0\0x", b"\x00\0\0\0", b"\xff"] {
            peer.connection.send_datagram(datagram.into()).unwrap();
        }
        expect_alive(&mut peer).await;
        // A refusal would have come before the answer.
        for stream in &qpack {
            assert!(tokio::time::timeout(Duration::ZERO, stream.stopped()).await.is_err());
        }
        // One session, and nothing else that needs both directions.
        assert!(tokio::time::timeout(Duration::ZERO, peer.connection.open_bi()).await.is_err());
    });
}

#[test]
fn parameters_that_cannot_be_served_are_answered_with_400() {
    let world = World::new();
    run(async {
        for query in ["enc=xml", "enc=proto&enc=proto", "=1"] {
            let mut session = request(&world, query).await;
            match session.answer {
                Err(ConnectError::WrongStatus(Some(status))) => assert_eq!(status, StatusCode::BAD_REQUEST),
                other => panic!("{query}: {other:?}"),
            }
            let text = session.connect.1.read_to_end(1_000).await.unwrap();
            let text = String::from_utf8_lossy(&text);
            assert!(text.contains("xml") || text.contains("twice") || text.contains("empty"), "{text}");
        }
        // What announces nothing takes the defaults, as on every transport.
        assert!(request(&world, "").await.answer.is_ok());
    });
}

#[test]
fn a_session_ends_by_its_capsule_or_by_its_stream() {
    let world = World::new();
    run(async {
        // A capsule with code 0, in a frame, as Go and browsers send it; then just the end of the stream.
        for goodbye in [&b"\x00\x07\x68\x43\x04\0\0\0\0"[..], b""] {
            let (mut session, peer) = connect(&world).await;
            session.connect.0.write_all(goodbye).await.unwrap();
            session.connect.0.finish().unwrap();
            peer.connection.closed().await;
        }
        // The broker's own end: the capsule comes before the connection closes.
        let (mut session, mut peer) = connect(&world).await;
        peer.send(&Message::Disconnect(Disconnect::default())).await;
        let goodbye = session.connect.1.read_to_end(100).await.unwrap();
        assert_eq!(goodbye, b"\x00\x07\x68\x43\x04\0\0\0\0");
        match peer.connection.closed().await {
            quinn::ConnectionError::ApplicationClosed(close) => {
                assert_eq!((close.error_code.into_inner(), &close.reason[..]), (0x100, &b""[..]));
            }
            other => panic!("{other}"),
        }
    });
}

/// The end of a session comes on a stream of its own, and here before most of the data.
#[test]
fn a_session_s_end_does_not_overtake_its_messages() {
    const CHUNKS: u32 = 20;
    let world = World::new();
    let reader = world.connect(Scheme::WebTransport, "reader");
    let down = downstream(&reader, "node", Qos::Reliable);
    run(async {
        let (mut session, mut peer) = connect(&world).await;
        let alias = open_upstream(&mut peer, Qos::Reliable).await;
        session.connect.0.set_priority(1).unwrap();
        let chunks: Vec<_> =
            (1..=CHUNKS).flat_map(|n| framed(&chunk(alias, n, &payload(n.into(), 10_000)))).collect();
        peer.connection.set_send_window(chunks.len() as u64 * 2);
        // Nothing leaves before all of it can.
        peer.outgoing.write_all(&chunks).await.unwrap();
        session.connect.0.write_all(b"\x00\x07\x68\x43\x04\0\0\0\0").await.unwrap();
        session.connect.0.finish().unwrap();
        peer.connection.closed().await;
    });
    let mut numbers = Vec::new();
    while numbers.len() < CHUNKS as usize {
        numbers.extend(next_points(&down, LIMIT).unwrap().into_iter().map(|(number, _)| number));
    }
    assert!(numbers.into_iter().eq(1..=i64::from(CHUNKS)));
}

/// `content` in a frame of HTTP/3 with the given number of bytes at most.
fn data_frames(content: &[u8], size: usize) -> Vec<u8> {
    content
        .chunks(size)
        .flat_map(|part| [&[0, 0x80], &(part.len() as u32).to_be_bytes()[1..], part].concat())
        .collect()
}

#[test]
fn no_more_is_kept_of_a_session_s_stream_than_a_capsule() {
    let world = World::new();
    run(async {
        // A peer may say much that means nothing here, in frames of any size.
        let (mut session, mut peer) = connect(&world).await;
        let grease = [&b"\x17\x80\0\x10\0"[..], &[0; 4096]].concat().repeat(50);
        for size in [7, 4101, 60_000] {
            session.connect.0.write_all(&data_frames(&grease, size)).await.unwrap();
        }
        expect_alive(&mut peer).await;
        // Closing takes a code of four bytes. What follows is not waited for.
        for length in 0..4 {
            let (mut session, peer) = connect(&world).await;
            let short = [&[0x68, 0x43, length][..], &vec![0; length.into()]].concat();
            session.connect.0.write_all(&data_frames(&short, 100)).await.unwrap();
            let more = data_frames(&[0; 65_536], 65_536);
            let mut taken = 0;
            while session.connect.0.write_all(&more).await.is_ok() {
                taken += more.len();
                assert!(taken < 32 << 20, "the broker goes on reading");
            }
            peer.connection.closed().await;
        }
    });
}

#[test]
fn other_requests_are_refused() {
    let world = World::new();
    run(async {
        let (session, mut peer) = connect(&world).await;
        drop(session.connection);
        expect_alive(&mut peer).await;
        let tls = client_config(&world.pki.trust(), &[b"h3"]).unwrap();
        let config = ClientConfig::new(Arc::new(QuicClientConfig::try_from(tls).unwrap()));
        let endpoint = Endpoint::client((Ipv4Addr::UNSPECIFIED, 0).into()).unwrap();
        let address = world.broker.address(Scheme::WebTransport).unwrap();
        let connection = endpoint.connect_with(config, address, "localhost").unwrap().await.unwrap();
        let (mut send, mut receive) = connection.open_bi().await.unwrap();
        // HEADERS with `:method: GET` and `:path: /` of the static table.
        send.write_all(b"\x01\x04\x00\x00\xd1\xc1").await.unwrap();
        match ConnectResponse::read(&mut receive).await {
            Err(ConnectError::WrongStatus(Some(status))) => assert_eq!(status, StatusCode::BAD_REQUEST),
            other => panic!("{other:?}"),
        }
        expect_alive(&mut peer).await;
    });
}

#[test]
fn a_token_may_come_in_a_header() {
    let world = World::with(|config| config.tokens = vec!["right".to_owned()]);
    let mut options = world.options(Scheme::WebTransport, "node");
    options.dial.headers.insert(http::header::AUTHORIZATION, "Bearer right".parse().unwrap());
    iscp::client::Connection::connect_wait(options, Some(LIMIT)).unwrap();
}
