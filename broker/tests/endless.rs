//! Clients that open, lose and resume streams for ever: the broker's memory stays where it is.

#[path = "../../tests/support/memory.rs"]
mod memory;

use std::time::{Duration, Instant};

use iscp::message::{
    ConnectRequest, DataFilter, DataId, DataPointGroup, DownstreamChunkAck, DownstreamChunkResult,
    DownstreamFilter, DownstreamOpenRequest, DownstreamResumeRequest, Message, OrAlias, Points, Qos,
    StreamChunk, UpstreamChunk, UpstreamOpenRequest, UpstreamResumeRequest,
};
use iscp_broker::core::{Broker, Config, ConnId, PeerInfo, SeededEnvironment};
use memory::{alone, memory_of};
use uuid::Uuid;

struct World {
    broker: Broker,
    now: Instant,
    conns: u64,
    ready: Vec<ConnId>,
}

impl World {
    fn new() -> Self {
        let now = Instant::now();
        let environment = SeededEnvironment::new(1, now, 0);
        let broker = Broker::new(Config::default(), Box::new(environment));
        Self { broker, now, conns: 0, ready: Vec::new() }
    }

    fn connect(&mut self, node: &str) -> ConnId {
        self.conns += 1;
        let conn = ConnId(self.conns);
        self.broker.connected(conn, PeerInfo::default(), self.now);
        let request = ConnectRequest {
            protocol_version: "3.0.0".to_owned(),
            node_id: node.to_owned(),
            ping_interval_s: 3600,
            ..ConnectRequest::default()
        };
        self.send(conn, Message::ConnectRequest(request));
        assert!(matches!(self.receive(conn)[..], [Message::ConnectResponse(_)]));
        conn
    }

    fn send(&mut self, conn: ConnId, message: Message) {
        self.broker.handle_message(conn, message, self.now);
    }

    fn receive(&mut self, conn: ConnId) -> Vec<Message> {
        self.broker.take_ready(&mut self.ready);
        self.ready.clear();
        std::iter::from_fn(|| self.broker.poll_transmit(conn)).collect()
    }

    fn advance(&mut self, by: Duration) {
        let end = self.now + by;
        while let Some(at) = self.broker.next_timeout().filter(|at| *at <= end) {
            self.now = self.now.max(at);
            self.broker.handle_timeout(self.now);
        }
        self.now = end;
    }

    fn open_upstream(&mut self, conn: ConnId) -> (Uuid, u32, String) {
        self.send(
            conn,
            Message::UpstreamOpenRequest(UpstreamOpenRequest {
                session_id: "session".to_owned(),
                expiry_interval_s: 10,
                qos: Qos::Reliable,
                ..UpstreamOpenRequest::default()
            }),
        );
        match self.receive(conn).remove(0) {
            Message::UpstreamOpenResponse(opened) => {
                (opened.stream_id, opened.stream_id_alias, opened.resume_token)
            }
            other => panic!("{other:?}"),
        }
    }

    fn open_downstream(&mut self, conn: ConnId) -> (Uuid, String) {
        self.send(
            conn,
            Message::DownstreamOpenRequest(DownstreamOpenRequest {
                desired_stream_id_alias: 1,
                filters: vec![DownstreamFilter {
                    source_node_id: "sender".to_owned(),
                    data_filters: vec![DataFilter { name: "#".to_owned(), kind: "#".to_owned() }],
                }],
                expiry_interval_s: 10,
                qos: Qos::Reliable,
                ..DownstreamOpenRequest::default()
            }),
        );
        match self.receive(conn).remove(0) {
            Message::DownstreamOpenResponse(opened) => (opened.stream_id, opened.resume_token),
            other => panic!("{other:?}"),
        }
    }
}

fn chunk(alias: u32, number: u32) -> Message {
    let id = DataId::new("speed", "float");
    Message::UpstreamChunk(UpstreamChunk {
        stream_id_alias: alias,
        chunk: StreamChunk {
            sequence_number: number,
            groups: vec![DataPointGroup {
                data_id: OrAlias::Full(id.clone()),
                points: [(1, &[0; 1000][..])].into_iter().collect::<Points>(),
            }],
        },
        data_ids: vec![id],
    })
}

/// A sender and a reader, each with a stream that it loses and resumes.
struct Clients {
    world: World,
    sender: ConnId,
    upstream: (Uuid, u32, String),
    reader: ConnId,
    downstream: (Uuid, String),
    number: u32,
}

impl Clients {
    fn new() -> Self {
        let mut world = World::new();
        let (sender, reader) = (world.connect("sender"), world.connect("reader"));
        let upstream = world.open_upstream(sender);
        let downstream = world.open_downstream(reader);
        Self { world, sender, upstream, reader, downstream, number: 0 }
    }

    fn round(&mut self) {
        let world = &mut self.world;
        // The broker hears of the loss of one now, of that of the other after its streams were taken over.
        world.broker.connection_lost(self.sender, world.now);
        self.sender = world.connect("sender");
        let request = UpstreamResumeRequest {
            request_id: 2,
            stream_id: self.upstream.0,
            resume_token: self.upstream.2.clone(),
        };
        world.send(self.sender, Message::UpstreamResumeRequest(request));
        match &world.receive(self.sender)[0] {
            Message::UpstreamResumeResponse(response) => {
                assert!(response.result_code.is_success(), "{}", response.result_string);
                self.upstream.2.clone_from(&response.resume_token);
            }
            other => panic!("{other:?}"),
        }
        for _ in 0..2 {
            self.number += 1;
            world.send(self.sender, chunk(self.upstream.1, self.number));
        }
        let old = std::mem::replace(&mut self.reader, world.connect("reader"));
        let request = DownstreamResumeRequest {
            request_id: 2,
            stream_id: self.downstream.0,
            desired_stream_id_alias: 1,
            resume_token: self.downstream.1.clone(),
        };
        world.send(self.reader, Message::DownstreamResumeRequest(request));
        match &world.receive(self.reader)[0] {
            Message::DownstreamResumeResponse(response) => {
                assert!(response.result_code.is_success(), "{}", response.result_string);
                self.downstream.1.clone_from(&response.resume_token);
            }
            other => panic!("{other:?}"),
        }
        world.broker.connection_lost(old, world.now);
        // Others come, leave streams behind, and never return.
        let stranger = world.connect("");
        world.open_upstream(stranger);
        world.open_downstream(stranger);
        world.broker.connection_lost(stranger, world.now);
        world.advance(Duration::from_secs(1));
        world.receive(self.sender);
        let mut results = Vec::new();
        let mut upstream_aliases = Vec::new();
        for message in world.receive(self.reader) {
            if let Message::DownstreamChunk(chunk) = message {
                results.push(DownstreamChunkResult {
                    upstream_stream_id: self.upstream.0,
                    upstream_sequence_number: chunk.chunk.sequence_number,
                    ..DownstreamChunkResult::default()
                });
                if let OrAlias::Full(info) = chunk.upstream {
                    upstream_aliases.push((self.number, info));
                }
            }
        }
        assert_eq!(results.len(), 2);
        world.send(
            self.reader,
            Message::DownstreamChunkAck(DownstreamChunkAck {
                stream_id_alias: 1,
                ack_id: self.number,
                results,
                upstream_aliases: upstream_aliases.into_iter().collect(),
                data_id_aliases: [(1, DataId::new("speed", "float"))].into(),
            }),
        );
        world.receive(self.reader);
    }
}

#[test]
fn losing_and_resuming_for_ever_takes_no_memory() {
    const ROUNDS: usize = 20_000;
    let _alone = alone();
    let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
    let mut clients = Clients::new();
    for _ in 0..1_000 {
        clients.round();
    }
    let grown = runtime.block_on(memory_of(async {
        for _ in 0..ROUNDS {
            clients.round();
        }
    }));
    // So 50 bytes a round would be seen.
    assert_eq!(grown, 0, "MiB in {ROUNDS} rounds");
    let stats = clients.world.broker.stats();
    assert!(stats.detached <= 30 && stats.connections == 2, "{stats:?}");
}
