//! Tests of the core with typed messages and a clock that only moves when told to.

mod calls;
mod connection;
mod downstream;
mod holds;
mod metadata;
mod outages;
mod queues;
mod restarts;
mod resume;
mod resume_downstream;
mod sharing;
mod upstream;

use std::time::{Duration, Instant};

use iscp::message::{
    ConnectRequest, ConnectResponse, DataFilter, DataId, DataPointGroup, Disconnect, DownstreamChunk,
    DownstreamChunkAck, DownstreamChunkResult, DownstreamFilter, DownstreamOpenRequest,
    DownstreamOpenResponse, Message, Metadata, OrAlias, Points, Qos, ResultCode, StreamChunk, UpstreamChunk,
    UpstreamChunkAck, UpstreamCloseRequest, UpstreamInfo, UpstreamOpenRequest, UpstreamOpenResponse,
};
use uuid::Uuid;

use super::{Broker, Config, ConnId, PeerInfo, SeededEnvironment};

const START_NS: i64 = 1_700_000_000_000_000_000;

/// A broker and its clock.
struct World {
    broker: Broker,
    now: Instant,
    conns: u64,
}

impl World {
    fn new() -> Self {
        Self::with(|_| {})
    }

    fn with(adjust: impl FnOnce(&mut Config)) -> Self {
        let mut config = Config::default();
        adjust(&mut config);
        let now = Instant::now();
        Self {
            broker: Broker::new(config, Box::new(SeededEnvironment::new(7, now, START_NS))),
            now,
            conns: 0,
        }
    }

    /// A transport on which nothing was said yet.
    fn dial(&mut self) -> ConnId {
        self.conns += 1;
        let conn = ConnId(self.conns);
        let peer = PeerInfo { address: Some([127, 0, 0, 1].into()), authorization: None };
        self.broker.connected(conn, peer, self.now);
        conn
    }

    fn request_connect(&mut self, conn: ConnId, request: ConnectRequest) -> ConnectResponse {
        self.send(conn, Message::ConnectRequest(request));
        match self.receive(conn).as_slice() {
            [Message::ConnectResponse(response)] => response.clone(),
            other => panic!("{other:?}"),
        }
    }

    fn connect_as(&mut self, node: &str, version: &str) -> ConnId {
        let conn = self.dial();
        let request = ConnectRequest {
            protocol_version: version.to_owned(),
            node_id: node.to_owned(),
            ping_interval_s: 3600,
            ping_timeout_s: 1,
            ..ConnectRequest::default()
        };
        let response = self.request_connect(conn, request);
        assert_eq!(response.result_code, ResultCode::SUCCEEDED);
        conn
    }

    fn connect(&mut self, node: &str) -> ConnId {
        self.connect_as(node, "3.0.0")
    }

    fn send(&mut self, conn: ConnId, message: Message) {
        self.broker.handle_message(conn, message, self.now);
    }

    /// Everything a connection is sent now.
    fn receive(&mut self, conn: ConnId) -> Vec<Message> {
        std::iter::from_fn(|| self.broker.poll_transmit(conn)).collect()
    }

    fn ask(&mut self, conn: ConnId, message: Message) -> Message {
        self.send(conn, message);
        self.receive(conn).remove(0)
    }

    /// Lets time pass, stopping at every timer.
    fn advance(&mut self, ms: u64) {
        let end = self.now + Duration::from_millis(ms);
        while let Some(at) = self.broker.next_timeout().filter(|at| *at <= end) {
            self.now = self.now.max(at);
            self.broker.handle_timeout(self.now);
        }
        self.now = end;
    }

    fn ask_upstream(&mut self, conn: ConnId, request: UpstreamOpenRequest) -> UpstreamOpenResponse {
        match self.ask(conn, Message::UpstreamOpenRequest(request)) {
            Message::UpstreamOpenResponse(response) => response,
            other => panic!("{other:?}"),
        }
    }

    fn open_upstream(&mut self, conn: ConnId, request: UpstreamOpenRequest) -> UpstreamOpenResponse {
        let response = self.ask_upstream(conn, request);
        assert_eq!(response.result_code, ResultCode::SUCCEEDED);
        response
    }

    fn ask_downstream(&mut self, conn: ConnId, request: DownstreamOpenRequest) -> DownstreamOpenResponse {
        match self.ask(conn, Message::DownstreamOpenRequest(request)) {
            Message::DownstreamOpenResponse(response) => response,
            other => panic!("{other:?}"),
        }
    }

    /// Opens a downstream and lets the pause after it pass.
    fn open_downstream(&mut self, conn: ConnId, request: DownstreamOpenRequest) -> DownstreamOpenResponse {
        let response = self.ask_downstream(conn, request);
        assert_eq!(response.result_code, ResultCode::SUCCEEDED);
        self.advance(10);
        response
    }

    fn chunk(&mut self, conn: ConnId, alias: u32, number: u32, groups: Vec<DataPointGroup>) {
        self.send(
            conn,
            Message::UpstreamChunk(UpstreamChunk {
                stream_id_alias: alias,
                chunk: StreamChunk { sequence_number: number, groups },
                data_ids: Vec::new(),
            }),
        );
    }
}

fn upstream(session: &str, qos: Qos) -> UpstreamOpenRequest {
    UpstreamOpenRequest {
        request_id: 2,
        session_id: session.to_owned(),
        ack_interval_ms: 100,
        expiry_interval_s: 10,
        qos,
        ..UpstreamOpenRequest::default()
    }
}

fn filter(node: &str, patterns: &[(&str, &str)]) -> DownstreamFilter {
    DownstreamFilter {
        source_node_id: node.to_owned(),
        data_filters: patterns
            .iter()
            .map(|(name, kind)| DataFilter { name: (*name).to_owned(), kind: (*kind).to_owned() })
            .collect(),
    }
}

fn downstream(alias: u32, filters: Vec<DownstreamFilter>, qos: Qos) -> DownstreamOpenRequest {
    DownstreamOpenRequest {
        request_id: 4,
        desired_stream_id_alias: alias,
        filters,
        expiry_interval_s: 10,
        qos,
        ..DownstreamOpenRequest::default()
    }
}

fn all_of(node: &str) -> Vec<DownstreamFilter> {
    vec![filter(node, &[("#", "#")])]
}

fn id(name: &str) -> DataId {
    DataId::new(name, "t")
}

fn points(payload: &[u8]) -> Points {
    [(1, payload)].into_iter().collect()
}

fn full(name: &str) -> DataPointGroup {
    DataPointGroup { data_id: OrAlias::Full(id(name)), points: points(b"x") }
}

fn aliased(alias: u32) -> DataPointGroup {
    DataPointGroup { data_id: OrAlias::Alias(alias), points: points(b"x") }
}

fn close(stream_id: Uuid, final_sequence_number: u32) -> Message {
    Message::UpstreamCloseRequest(UpstreamCloseRequest {
        request_id: 90,
        stream_id,
        total_data_points: 1000,
        final_sequence_number,
        close_session: false,
    })
}

fn ack_of(alias: u32, ack_id: u32, results: &[(Uuid, u32)]) -> DownstreamChunkAck {
    DownstreamChunkAck {
        stream_id_alias: alias,
        ack_id,
        results: results
            .iter()
            .map(|(stream, number)| DownstreamChunkResult {
                upstream_stream_id: *stream,
                upstream_sequence_number: *number,
                ..DownstreamChunkResult::default()
            })
            .collect(),
        ..DownstreamChunkAck::default()
    }
}

fn acks(messages: &[Message]) -> Vec<&UpstreamChunkAck> {
    messages
        .iter()
        .filter_map(|message| match message {
            Message::UpstreamChunkAck(ack) => Some(ack),
            _ => None,
        })
        .collect()
}

/// Sequence numbers and codes of the results in acks.
fn results(messages: &[Message]) -> Vec<(u32, ResultCode)> {
    acks(messages)
        .iter()
        .flat_map(|ack| &ack.results)
        .map(|result| (result.sequence_number, result.result_code))
        .collect()
}

fn chunks(messages: &[Message]) -> Vec<&DownstreamChunk> {
    messages
        .iter()
        .filter_map(|message| match message {
            Message::DownstreamChunk(chunk) => Some(chunk),
            _ => None,
        })
        .collect()
}

/// Sequence numbers of the chunks.
fn numbers(messages: &[Message]) -> Vec<u32> {
    chunks(messages).iter().map(|chunk| chunk.chunk.sequence_number).collect()
}

fn metadata(messages: &[Message]) -> Vec<&Metadata> {
    messages
        .iter()
        .filter_map(|message| match message {
            Message::DownstreamMetadata(metadata) => Some(&metadata.metadata),
            _ => None,
        })
        .collect()
}

fn disconnect(messages: &[Message]) -> &Disconnect {
    match messages.last() {
        Some(Message::Disconnect(disconnect)) => disconnect,
        other => panic!("{other:?}"),
    }
}

fn names(messages: &[Message]) -> Vec<&'static str> {
    messages.iter().map(Message::name).collect()
}
