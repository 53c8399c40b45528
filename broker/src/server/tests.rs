//! Who gets a turn, with clients in place of sockets, so that turns can be counted.

use std::collections::{HashMap, VecDeque};
use std::io::Write;
use std::os::unix::net::UnixStream as StdStream;
use std::pin::Pin;
use std::sync::{Arc, Condvar, Mutex};
use std::task::{Context, Poll, Waker};
use std::time::{Duration, Instant};

use bytes::Bytes;
use iscp::encoding::{Encoding, Schema};
use iscp::message::{
    ConnectRequest, DataFilter, DataId, DataPointGroup, DownstreamFilter, DownstreamOpenRequest, Message,
    OrAlias, Points, Qos, StreamChunk, UpstreamChunk, UpstreamOpenRequest,
};
use iscp::transport::{Channel, Negotiation, Received, Transport, TransportError};
use tokio::io::{AsyncRead, ReadBuf};
use tokio::net::UnixStream;
use tokio::sync::watch;

use super::connection::{self, Accepted, READ_BURST, READ_BURST_BYTES};
use super::driver::{self, EVENT_INTERVAL, Shared};
use super::{ServerConfig, StartError};
use crate::core::{Broker, PeerInfo, SystemEnvironment};

/// Nothing takes nearly as long; only a failure waits for it.
const PATIENCE: Duration = Duration::from_secs(20);
/// Chunks of a flood: where nobody else gets a turn it ends at last.
const FLOOD: u32 = 200_000;
/// Chunks that the light client sends, each when the one before was acknowledged and delivered.
const LIGHT: u32 = 40;

fn encode(message: &Message) -> Bytes {
    Encoding::Protobuf.encode(message, Schema::V3)
}

fn chunk(alias: u32, number: u32, payload: &[u8]) -> Bytes {
    encode(&Message::UpstreamChunk(UpstreamChunk {
        stream_id_alias: alias,
        chunk: StreamChunk {
            sequence_number: number,
            groups: vec![DataPointGroup {
                data_id: OrAlias::Full(DataId::new("speed", "float")),
                points: [(1, payload)].into_iter().collect::<Points>(),
            }],
        },
        data_ids: vec![],
    }))
}

fn open_downstream(of: &str) -> Message {
    Message::DownstreamOpenRequest(DownstreamOpenRequest {
        request_id: 2,
        desired_stream_id_alias: 1,
        filters: vec![DownstreamFilter {
            source_node_id: of.to_owned(),
            data_filters: vec![DataFilter { name: "#".to_owned(), kind: "#".to_owned() }],
        }],
        qos: Qos::Unreliable,
        omit_empty_chunk: true,
        ..DownstreamOpenRequest::default()
    })
}

fn open_upstream() -> Message {
    Message::UpstreamOpenRequest(UpstreamOpenRequest {
        request_id: 2,
        session_id: "session".to_owned(),
        qos: Qos::Reliable,
        ..UpstreamOpenRequest::default()
    })
}

/// What happened in a server, in messages.
#[derive(Default)]
struct Scene {
    /// Messages read from the floods so far.
    flooded: u32,
    /// By the number of a light chunk: the floods when it was written to its socket, when its ack left, when it was
    /// delivered.
    sent: HashMap<u32, u32>,
    acknowledged: HashMap<u32, u32>,
    delivered: HashMap<u32, u32>,
    /// Chunks that readers of the floods got.
    fanned_out: u32,
    readers: usize,
    /// Clients that have nothing to send before something changes.
    waiting: Vec<Waker>,
}

impl Scene {
    /// Whether the light client may send its next chunk.
    fn arrived(&self, number: u32) -> bool {
        number == 0 || (self.acknowledged.contains_key(&number) && self.delivered.contains_key(&number))
    }

    fn changed(&mut self) {
        self.waiting.drain(..).for_each(Waker::wake);
    }
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Role {
    /// Sends as fast as it can; so many bytes a chunk.
    Flood(usize),
    /// Reads the flood.
    Crowd,
    /// Sends now and then.
    Light,
    /// Reads what the light one sends.
    Reader,
}

impl Role {
    fn node(self) -> &'static str {
        match self {
            Self::Flood(_) => "flood",
            Self::Crowd => "crowd",
            Self::Light => "light",
            Self::Reader => "reader",
        }
    }
}

/// A client that is its own transport.
struct Client {
    role: Role,
    scene: Arc<Mutex<Scene>>,
    /// Readers that are to be there before anything is sent.
    audience: usize,
    inbox: VecDeque<Bytes>,
    waker: Option<Waker>,
    alias: Option<u32>,
    sent: u32,
    wire: (UnixStream, StdStream),
}

impl Client {
    fn put(&mut self, message: &Message) {
        self.inbox.push_back(encode(message));
        if let Some(waker) = self.waker.take() {
            waker.wake();
        }
    }

    fn next(&mut self, cx: &mut Context<'_>) -> Option<Bytes> {
        if let Some(bytes) = self.inbox.pop_front() {
            return Some(bytes);
        }
        let next = match (self.role, self.alias) {
            (Role::Flood(size), Some(alias)) => self.next_of_flood(alias, size),
            (Role::Light, Some(alias)) => self.next_light(alias, cx),
            _ => None,
        };
        if next.is_none() {
            self.scene.lock().unwrap().waiting.push(cx.waker().clone());
        }
        next
    }

    /// There is always more, from when the audience is there until the light client is done.
    fn next_of_flood(&mut self, alias: u32, size: usize) -> Option<Bytes> {
        let mut scene = self.scene.lock().unwrap();
        if scene.readers < self.audience || self.sent == FLOOD || scene.arrived(LIGHT) {
            return None;
        }
        self.sent += 1;
        scene.flooded += 1;
        if scene.flooded == 1 {
            scene.changed();
        }
        Some(chunk(alias, self.sent, &vec![7; size]))
    }

    /// A chunk comes by a socket, so that the system has to be asked for it.
    fn next_light(&mut self, alias: u32, cx: &mut Context<'_>) -> Option<Bytes> {
        let (near, far) = &mut self.wire;
        let mut byte = [0];
        if Pin::new(near).poll_read(cx, &mut ReadBuf::new(&mut byte)).is_ready() {
            return Some(chunk(alias, self.sent, b"light"));
        }
        let mut scene = self.scene.lock().unwrap();
        // The flood has begun, or there would be nothing to see.
        if self.sent < LIGHT && scene.flooded > 0 && scene.arrived(self.sent) {
            self.sent += 1;
            let flooded = scene.flooded;
            scene.sent.insert(self.sent, flooded);
            far.write_all(&byte).unwrap();
        }
        None
    }
}

impl Transport for Client {
    fn poll_recv(&mut self, cx: &mut Context<'_>) -> Poll<Option<Result<Received, TransportError>>> {
        match self.next(cx) {
            Some(bytes) => Poll::Ready(Some(Ok(Received { bytes, channel: Channel::Reliable }))),
            None => {
                self.waker = Some(cx.waker().clone());
                Poll::Pending
            }
        }
    }

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), TransportError>> {
        Poll::Ready(Ok(()))
    }

    fn send(&mut self, message: Bytes) -> Result<(), TransportError> {
        match Encoding::Protobuf.decode(message).unwrap() {
            Message::ConnectResponse(_) => match self.role {
                Role::Flood(_) | Role::Light => self.put(&open_upstream()),
                Role::Crowd => self.put(&open_downstream("flood")),
                Role::Reader => self.put(&open_downstream("light")),
            },
            Message::UpstreamOpenResponse(response) => {
                self.alias = Some(response.stream_id_alias);
                if let Some(waker) = self.waker.take() {
                    waker.wake();
                }
            }
            Message::DownstreamOpenResponse(_) => {
                let mut scene = self.scene.lock().unwrap();
                scene.readers += 1;
                scene.changed();
            }
            Message::Ping(id) => self.put(&Message::Pong(id)),
            Message::UpstreamChunkAck(ack) if self.role == Role::Light => {
                let mut scene = self.scene.lock().unwrap();
                let flooded = scene.flooded;
                let numbers = ack.results.iter().map(|result| (result.sequence_number, flooded));
                scene.acknowledged.extend(numbers);
                scene.changed();
            }
            Message::DownstreamChunk(chunk) => {
                let mut scene = self.scene.lock().unwrap();
                if self.role == Role::Reader {
                    let flooded = scene.flooded;
                    scene.delivered.insert(chunk.chunk.sequence_number, flooded);
                    scene.changed();
                } else {
                    scene.fanned_out += 1;
                }
            }
            _ => {}
        }
        Ok(())
    }

    fn poll_flush(&mut self, _: &mut Context<'_>) -> Poll<Result<(), TransportError>> {
        Poll::Ready(Ok(()))
    }

    fn bytes_written(&self) -> u64 {
        0
    }

    fn poll_close(&mut self, _: &mut Context<'_>) -> Poll<Result<(), TransportError>> {
        Poll::Ready(Ok(()))
    }
}

fn wire() -> (UnixStream, StdStream) {
    let (near, far) = StdStream::pair().unwrap();
    near.set_nonblocking(true).unwrap();
    (UnixStream::from_std(near).unwrap(), far)
}

fn accepted(transport: impl Transport + 'static) -> Accepted {
    Accepted {
        transport: Box::new(transport),
        negotiation: Negotiation::default(),
        peer: PeerInfo::default(),
        secure: false,
    }
}

fn connect(node: &str) -> Message {
    Message::ConnectRequest(ConnectRequest {
        protocol_version: "3.0.0".to_owned(),
        node_id: node.to_owned(),
        ping_interval_s: 60,
        ping_timeout_s: 60,
        ..ConnectRequest::default()
    })
}

fn shared() -> Arc<Shared> {
    let mut config = ServerConfig::default();
    config.core.timing.open_gap = Duration::ZERO;
    Arc::new(Shared::around(Broker::new(config.core.clone(), Box::new(SystemEnvironment)), config))
}

/// Lets a flood in chunks of `size` bytes, which `crowd` clients read, and a light sender with a reader at one
/// broker on one thread, and tells how many messages of the flood were read between the sending of a light chunk
/// and its ack, or its delivery, at most.
fn longest_wait(size: usize, crowd: usize) -> (u32, Scene) {
    let scene = Arc::new(Mutex::new(Scene::default()));
    driver::runtime(1).unwrap().block_on(async {
        let shared = shared();
        let (_stop, stopped) = watch::channel(None);
        let timers = Arc::clone(&shared);
        tokio::spawn(async move { timers.run_timers().await });
        let roles = [Role::Flood(size), Role::Light, Role::Reader].into_iter();
        for role in roles.chain(std::iter::repeat_n(Role::Crowd, crowd)) {
            let client = Client {
                role,
                scene: Arc::clone(&scene),
                audience: 1 + crowd,
                inbox: [encode(&connect(role.node()))].into(),
                waker: None,
                alias: None,
                sent: 0,
                wire: wire(),
            };
            let handshake = async move { Some(accepted(client)) };
            let address = ([127, 0, 0, 1], 1).into();
            tokio::spawn(connection::run(Arc::clone(&shared), address, handshake, stopped.clone()));
        }
        let deadline = Instant::now() + PATIENCE;
        while !scene.lock().unwrap().arrived(LIGHT) && Instant::now() < deadline {
            tokio::task::yield_now().await;
        }
    });
    let scene = std::mem::take(&mut *scene.lock().unwrap());
    assert!(scene.arrived(LIGHT), "only {} of {LIGHT} light chunks arrived", scene.delivered.len());
    let waits = (1..=LIGHT).flat_map(|number| {
        let sent = scene.sent[&number];
        [scene.acknowledged[&number] - sent, scene.delivered[&number] - sent]
    });
    (waits.max().unwrap(), scene)
}

/// Turns of the flood until the system is asked for what came, and as many again until a chunk is read, acknowledged
/// and delivered. That takes two or three; how many depends on what else was woken, such as timers.
const TURNS: u32 = 2 * EVENT_INTERVAL;

#[test]
fn a_flood_of_small_chunks_starves_nobody() {
    let (wait, scene) = longest_wait(100, 0);
    assert!(scene.flooded >= LIGHT, "{} chunks are no flood", scene.flooded);
    assert!(wait <= TURNS * READ_BURST as u32, "{wait} messages");
}

#[test]
fn a_flood_of_large_chunks_starves_nobody() {
    let size = READ_BURST_BYTES / 2;
    let (wait, scene) = longest_wait(size, 0);
    assert!(scene.flooded >= LIGHT, "{} chunks are no flood", scene.flooded);
    assert!(wait <= TURNS * 2, "{wait} messages of {size} bytes");
}

#[test]
fn a_flood_with_many_readers_starves_nobody() {
    let (wait, scene) = longest_wait(1000, 50);
    assert!(scene.fanned_out >= scene.flooded, "{} chunks of {}", scene.fanned_out, scene.flooded);
    assert!(wait <= TURNS * READ_BURST as u32, "{wait} messages");
}

/// A connection whose read is done when another one reads at the same time.
struct Meeting(Arc<(Mutex<u32>, Condvar)>);

impl Transport for Meeting {
    fn poll_recv(&mut self, _: &mut Context<'_>) -> Poll<Option<Result<Received, TransportError>>> {
        let (there, come) = &*self.0;
        let mut there = there.lock().unwrap();
        *there += 1;
        come.notify_all();
        drop(come.wait_timeout_while(there, PATIENCE, |there| *there < 2).unwrap());
        Poll::Ready(None)
    }

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), TransportError>> {
        Poll::Ready(Ok(()))
    }

    fn send(&mut self, _: Bytes) -> Result<(), TransportError> {
        Ok(())
    }

    fn poll_flush(&mut self, _: &mut Context<'_>) -> Poll<Result<(), TransportError>> {
        Poll::Ready(Ok(()))
    }

    fn bytes_written(&self) -> u64 {
        0
    }

    fn poll_close(&mut self, _: &mut Context<'_>) -> Poll<Result<(), TransportError>> {
        Poll::Ready(Ok(()))
    }
}

#[test]
fn two_threads_carry_two_connections_at_the_same_time() {
    let meeting = Arc::new((Mutex::new(0), Condvar::new()));
    let began = Instant::now();
    driver::runtime(2).unwrap().block_on(async {
        let shared = shared();
        let (_stop, stopped) = watch::channel(None);
        let connections = [(); 2].map(|()| {
            let transport = Meeting(Arc::clone(&meeting));
            let handshake = async move { Some(accepted(transport)) };
            let address = ([127, 0, 0, 1], 1).into();
            tokio::spawn(connection::run(Arc::clone(&shared), address, handshake, stopped.clone()))
        });
        for connection in connections {
            connection.await.unwrap();
        }
    });
    assert!(began.elapsed() < PATIENCE, "they did not meet");
}

#[test]
fn a_number_of_threads_that_is_not_possible_is_named() {
    use iscp::transport::Scheme;
    for threads in [0, ServerConfig::MAX_THREADS + 1] {
        let listeners = vec![super::Listener::new(Scheme::Ws, ([127, 0, 0, 1], 0))];
        let config = ServerConfig { listeners, threads, ..ServerConfig::default() };
        let error = super::Server::start(config).unwrap_err();
        assert!(matches!(error, StartError::Threads(given) if given == threads), "{error}");
        assert_eq!(error.to_string(), format!("{threads} threads: from 1 to 256 are possible"));
    }
}
