//! Servers that mean harm: memory stays bounded, and the application is told what was wrong.

#[path = "support/memory.rs"]
mod memory;

use std::net::TcpListener as StdListener;
use std::sync::mpsc;
use std::thread;
use std::time::{Duration, Instant};

use bytes::Bytes;
use futures_util::{SinkExt, StreamExt};
use iscp::client::{
    Completion, ConnectOptions, Connection, Downstream, DownstreamOptions, Upstream, UpstreamOptions,
};
use iscp::encoding::{Encoding, Schema};
use iscp::error::{Error, Result, Status};
use iscp::message::{
    BaseTime, ConnectResponse, DataFilter, DataId, DownstreamChunk, DownstreamFilter, DownstreamMetadata,
    DownstreamOpenResponse, Message, Metadata, OrAlias, Qos, StreamChunk, UpstreamChunkAck, UpstreamInfo,
    UpstreamOpenResponse,
};
use iscp::transport::Compression;
use iscp::transport::deflate::Codec;
use memory::{alone, memory_of};
use tokio::io::AsyncWriteExt;
use tokio::net::{TcpListener, TcpStream};
use tokio_tungstenite::WebSocketStream;
use tokio_tungstenite::tungstenite::Message as WsMessage;
use uuid::Uuid;

/// Longer than anything takes on a busy machine.
const LIMIT: Duration = Duration::from_secs(20);

type Socket = WebSocketStream<TcpStream>;

fn protobuf(message: &Message) -> Bytes {
    Encoding::Protobuf.encode(message, Schema::V3)
}

/// What a server answers so that a client goes on; `None` for what needs no answer.
fn answer(message: Message) -> Option<Message> {
    Some(match message {
        Message::ConnectRequest(request) => Message::ConnectResponse(ConnectResponse {
            request_id: request.request_id,
            protocol_version: "3.0.0".to_owned(),
            ..ConnectResponse::default()
        }),
        Message::UpstreamOpenRequest(request) => Message::UpstreamOpenResponse(UpstreamOpenResponse {
            request_id: request.request_id,
            stream_id: Uuid::new_v4(),
            stream_id_alias: 1,
            ..UpstreamOpenResponse::default()
        }),
        Message::DownstreamOpenRequest(request) => Message::DownstreamOpenResponse(DownstreamOpenResponse {
            request_id: request.request_id,
            stream_id: Uuid::new_v4(),
            ..DownstreamOpenResponse::default()
        }),
        Message::Ping(id) => Message::Pong(id),
        _ => return None,
    })
}

/// A server for one client: polite for `requests` requests, then it attacks and goes on answering.
struct Server {
    url: String,
    thread: thread::JoinHandle<()>,
}

fn serve<A>(requests: usize, attack: impl FnOnce(Socket) -> A + Send + 'static) -> Server
where
    A: Future<Output = Socket>,
{
    let listener = StdListener::bind("127.0.0.1:0").unwrap();
    listener.set_nonblocking(true).unwrap();
    let url = format!("ws://{}", listener.local_addr().unwrap());
    let thread = thread::spawn(move || {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        runtime.block_on(async {
            let (stream, _) = TcpListener::from_std(listener).unwrap().accept().await.unwrap();
            let mut socket = tokio_tungstenite::accept_async(stream).await.unwrap();
            for _ in 0..requests {
                serve_one(&mut socket).await;
            }
            let mut socket = attack(socket).await;
            while serve_one(&mut socket).await {}
        });
    });
    Server { url, thread }
}

async fn serve_one(socket: &mut Socket) -> bool {
    let Some(Ok(received)) = socket.next().await else { return false };
    if let WsMessage::Binary(bytes) = received
        // Under compression only the attack matters.
        && let Ok(message) = Encoding::Protobuf.decode(bytes)
        && let Some(answer) = answer(message)
    {
        let _ = socket.send(WsMessage::Binary(protobuf(&answer))).await;
    }
    true
}

/// A client of a server, and how its connection ends.
fn connect(
    server: &Server,
    adjust: impl FnOnce(&mut ConnectOptions),
) -> (Connection, mpsc::Receiver<Option<Error>>) {
    let (closed, end) = mpsc::channel();
    let mut options = ConnectOptions { url: server.url.clone(), ..ConnectOptions::default() };
    options.on_closed = Some(std::sync::Arc::new(move |error| closed.send(error).unwrap()));
    options.dial.max_message_size = 1 << 20;
    options.config.reconnect.enabled = false;
    adjust(&mut options);
    (Connection::connect_wait(options, Some(LIMIT)).unwrap(), end)
}

fn wait<T: Send + 'static>(start: impl FnOnce(Completion<T>) -> Result<()>) -> Result<T> {
    let (done, waiter) = Completion::waiter()?;
    start(done)?;
    waiter.wait(Some(LIMIT))
}

fn open_upstream(connection: &Connection) -> Upstream {
    wait(|done| connection.open_upstream(UpstreamOptions::default(), done)).unwrap()
}

fn open_downstream(connection: &Connection, buffer_limit: usize) -> Downstream {
    let mut options = DownstreamOptions { buffer_limit, ..DownstreamOptions::default() };
    options.config.qos = Qos::Reliable;
    options.config.filters = vec![DownstreamFilter {
        source_node_id: "n".to_owned(),
        data_filters: vec![DataFilter { name: "#".to_owned(), kind: "#".to_owned() }],
    }];
    wait(|done| connection.open_downstream(options, done)).unwrap()
}

/// Runs `test` and returns the megabytes that were allocated meanwhile, on whatever thread.
fn megabytes_of(test: impl FnOnce()) -> usize {
    let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
    runtime.block_on(memory_of(async { test() }))
}

fn malformed(end: &mpsc::Receiver<Option<Error>>, culprit: &str) {
    let error = end.recv_timeout(LIMIT).unwrap().expect("it did not end in order");
    assert_eq!(error.status(), Status::MalformedMessage, "{error}");
    assert!(error.message().contains(culprit), "{error}");
}

#[test]
fn a_compressed_bomb_is_not_inflated() {
    let _alone = alone();
    let level = Compression::PerMessage { level: 9 };
    let mut codec = Codec::new(level, 1 << 20).unwrap();
    let bomb = codec.compress(&vec![0; 256 << 20]).unwrap();
    let server = serve(0, |mut socket| async move {
        let request = socket.next().await.unwrap().unwrap().into_data();
        let request = Encoding::Protobuf.decode(codec.inflate(&request).unwrap()).unwrap();
        let response = protobuf(&answer(request).unwrap());
        socket.send(WsMessage::Binary(codec.compress(&response).unwrap())).await.unwrap();
        socket.send(WsMessage::Binary(bomb)).await.unwrap();
        socket
    });
    let megabytes = megabytes_of(|| {
        let (_connection, end) = connect(&server, |options| options.dial.negotiation.compression = level);
        malformed(&end, "inflates to more than 1048576 bytes");
    });
    assert!(megabytes < 16, "{megabytes} MB");
    server.thread.join().unwrap();
}

#[test]
fn a_frame_that_claims_4_gib_is_refused_at_once() {
    let _alone = alone();
    let server = serve(1, |mut socket| async move {
        let mut frame = vec![0x82, 0x7f];
        frame.extend_from_slice(&(4_u64 << 30).to_be_bytes());
        frame.extend_from_slice(&[0; 1000]);
        socket.get_mut().write_all(&frame).await.unwrap();
        socket
    });
    let megabytes = megabytes_of(|| {
        let (_connection, end) = connect(&server, |_| {});
        malformed(&end, "");
    });
    assert!(megabytes < 8, "{megabytes} MB");
    server.thread.join().unwrap();
}

#[test]
fn text_that_is_no_message_is_refused() {
    let _alone = alone();
    let server = serve(1, |mut socket| async move {
        socket.send(WsMessage::Text("hello".into())).await.unwrap();
        socket
    });
    let (_connection, end) = connect(&server, |_| {});
    malformed(&end, "");
    server.thread.join().unwrap();
}

#[test]
fn a_million_aliases_that_nobody_asked_for_are_not_kept() {
    let _alone = alone();
    let server = serve(2, |mut socket| async move {
        for turn in 0..50_u32 {
            let ack = UpstreamChunkAck {
                stream_id_alias: 1,
                data_id_aliases: (turn * 20_000..(turn + 1) * 20_000)
                    .map(|alias| (alias, DataId::new(alias.to_string(), "t")))
                    .collect(),
                ..UpstreamChunkAck::default()
            };
            socket.send(WsMessage::Binary(protobuf(&Message::UpstreamChunkAck(ack)))).await.unwrap();
        }
        socket
    });
    let megabytes = megabytes_of(|| {
        let (connection, _end) = connect(&server, |_| {});
        let _upstream = open_upstream(&connection);
        // Answered behind all of them.
        let _behind = wait(|done| connection.open_downstream(DownstreamOptions::default(), done));
        wait(|done| connection.close(done)).unwrap_or_default();
    });
    assert!(megabytes < 64, "{megabytes} MB");
    server.thread.join().unwrap();
}

/// Sends messages without waiting for what the client says to them, which is read beside.
async fn flood(socket: Socket, messages: impl Iterator<Item = Message>) -> Socket {
    let (mut sink, mut stream) = socket.split();
    let writing = async {
        for message in messages {
            if sink.feed(WsMessage::Binary(protobuf(&message))).await.is_err() {
                break;
            }
        }
        let _ = sink.flush().await;
    };
    let reading = async { while matches!(stream.next().await, Some(Ok(_))) {} };
    tokio::select! {
        () = writing => {}
        () = reading => {}
    }
    sink.reunite(stream).unwrap()
}

#[test]
fn ever_new_upstreams_in_a_downstream_get_aliases_up_to_a_limit_only() {
    const UPSTREAMS: u32 = 150_000;
    let _alone = alone();
    let chunk = |number: u32| {
        Message::DownstreamChunk(DownstreamChunk {
            stream_id_alias: 1,
            upstream: OrAlias::Full(UpstreamInfo {
                session_id: "s".repeat(100),
                stream_id: Uuid::from_u128(number.into()),
                source_node_id: "n".repeat(100),
            }),
            chunk: StreamChunk { sequence_number: 1, groups: vec![] },
            filter_references: vec![],
        })
    };
    let server = serve(2, move |socket| flood(socket, (0..UPSTREAMS).map(chunk)));
    let megabytes = megabytes_of(|| {
        let (connection, _end) = connect(&server, |_| {});
        let downstream = open_downstream(&connection, 64 << 20);
        for _ in 0..UPSTREAMS {
            downstream.next_chunk(Some(LIMIT)).unwrap();
        }
        drop(connection);
    });
    assert!(megabytes < 120, "{megabytes} MB");
    server.thread.join().unwrap();
}

#[test]
fn metadata_that_nobody_reads_do_not_fill_the_memory() {
    let _alone = alone();
    let metadata = |number: u32| {
        Message::DownstreamMetadata(DownstreamMetadata {
            request_id: 2 * number + 1,
            stream_id_alias: 1,
            source_node_id: "n".repeat(100_000),
            metadata: Metadata::BaseTime(BaseTime {
                session_id: "s".repeat(100_000),
                name: "clock".to_owned(),
                ..BaseTime::default()
            }),
        })
    };
    let server = serve(2, move |socket| flood(socket, (0..1000).map(metadata)));
    let megabytes = megabytes_of(|| {
        let (connection, _end) = connect(&server, |_| {});
        let downstream = open_downstream(&connection, 1 << 20);
        let deadline = Instant::now() + LIMIT;
        while downstream.counters().dropped_metadata < 900 {
            assert!(Instant::now() < deadline, "{:?}", downstream.counters());
            thread::yield_now();
        }
        let (newest, _) = (downstream.next_metadata(Some(LIMIT)).unwrap(), connection);
        assert_eq!(newest.source_node_id.len(), 100_000);
    });
    // 200 MB are sent, and what the server itself has not written yet counts too.
    assert!(megabytes < 100, "{megabytes} MB");
    server.thread.join().unwrap();
}
