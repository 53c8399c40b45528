//! A client that knows nothing but bytes.

#![allow(dead_code, reason = "every test program uses its part")]

use std::net::SocketAddr;
use std::time::Duration;

use bytes::Bytes;
use futures_util::{SinkExt, StreamExt};
use iscp::encoding::{Encoding, Schema};
use iscp::message::{
    ConnectRequest, DataFilter, DataId, DataPointGroup, DownstreamChunkAck, DownstreamChunkResult,
    DownstreamFilter, DownstreamOpenRequest, Message, OrAlias, Points, Qos, ResultCode, StreamChunk,
    UpstreamChunk, UpstreamOpenRequest,
};
use iscp::transport::Scheme;
use iscp_broker::{Listener, Server, ServerConfig, ServerHandle};
use tokio::net::TcpStream;
use tokio::time::timeout;
use tokio_tungstenite::WebSocketStream;
use tokio_tungstenite::tungstenite::client::IntoClientRequest;
use tokio_tungstenite::tungstenite::http::header::{HeaderName, ORIGIN};
use tokio_tungstenite::tungstenite::{Error as WsError, Message as WsMessage};
use uuid::Uuid;

/// Nothing here takes nearly as long; only a failure waits for it.
pub(crate) const PATIENCE: Duration = Duration::from_secs(20);

/// The test program `threads` runs the tests of others once more.
pub(crate) const THREADS: usize =
    if matches!(env!("CARGO_CRATE_NAME").as_bytes(), b"threads") { 4 } else { 1 };

pub(crate) fn address(server: &ServerHandle) -> SocketAddr {
    server.address(Scheme::Ws).unwrap()
}

pub(crate) fn start(adjust: impl FnOnce(&mut ServerConfig)) -> ServerHandle {
    let mut config = ServerConfig {
        listeners: vec![Listener::new(Scheme::Ws, ([127, 0, 0, 1], 0))],
        threads: THREADS,
        ..ServerConfig::default()
    };
    adjust(&mut config);
    Server::start(config).unwrap()
}

pub(crate) fn run(test: impl Future<Output = ()>) {
    tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap().block_on(test);
}

pub(crate) struct Client(pub(crate) WebSocketStream<TcpStream>);

impl Client {
    pub(crate) async fn dial(server: &ServerHandle, path: &str) -> Result<Self, WsError> {
        Self::dial_from(server, path, None).await
    }

    /// As a browser does for a page of an origin.
    pub(crate) async fn dial_from(
        server: &ServerHandle,
        path: &str,
        origin: Option<&str>,
    ) -> Result<Self, WsError> {
        Self::dial_with(server, path, origin.map(|origin| (ORIGIN, origin))).await
    }

    /// With a header.
    pub(crate) async fn dial_with(
        server: &ServerHandle,
        path: &str,
        header: Option<(HeaderName, &str)>,
    ) -> Result<Self, WsError> {
        let mut request = format!("{}{path}", server.url(Scheme::Ws)).into_client_request()?;
        if let Some((name, value)) = header {
            request.headers_mut().insert(name, value.parse().unwrap());
        }
        let stream = TcpStream::connect(address(server)).await?;
        let (socket, _) = tokio_tungstenite::client_async(request, stream).await?;
        Ok(Self(socket))
    }

    pub(crate) async fn connect(server: &ServerHandle, node: &str) -> Self {
        let mut client = Self::dial(server, "/api/iscp/connect?enc=proto").await.unwrap();
        match client.ask(connect_request(node, "")).await {
            Message::ConnectResponse(response) => {
                assert_eq!(response.result_code, ResultCode::SUCCEEDED);
            }
            other => panic!("{other:?}"),
        }
        client
    }

    pub(crate) async fn send_bytes(&mut self, bytes: Bytes) {
        self.0.send(WsMessage::Binary(bytes)).await.unwrap();
    }

    pub(crate) async fn send(&mut self, message: Message) {
        self.send_bytes(Encoding::Protobuf.encode(&message, Schema::V3)).await;
    }

    /// Next message, or how the connection ended.
    pub(crate) async fn next(&mut self) -> Result<Message, String> {
        loop {
            let bytes = self.next_bytes().await?;
            if bytes.starts_with(b"\xff\x00") {
                // A ping among the transports of a group, where it need not be answered for long.
                continue;
            }
            let message = Encoding::Protobuf.decode(bytes).unwrap();
            // A test may take longer than a ping interval on a busy machine.
            let Message::Ping(request_id) = message else { return Ok(message) };
            self.send(Message::Pong(request_id)).await;
        }
    }

    /// The same, not decoded.
    pub(crate) async fn next_bytes(&mut self) -> Result<Bytes, String> {
        loop {
            let frame = timeout(PATIENCE, self.0.next()).await.expect("no message came");
            match frame {
                Some(Ok(WsMessage::Binary(bytes))) => return Ok(bytes),
                Some(Ok(WsMessage::Close(frame))) => {
                    return Err(format!("close {:?}", frame.map(|frame| u16::from(frame.code))));
                }
                Some(Ok(_)) => {}
                Some(Err(error)) => return Err(error.to_string()),
                None => return Err("end".to_owned()),
            }
        }
    }

    pub(crate) async fn ask(&mut self, message: Message) -> Message {
        self.send(message).await;
        self.next().await.unwrap()
    }
}

pub(crate) fn connect_request(node: &str, token: &str) -> Message {
    Message::ConnectRequest(ConnectRequest {
        request_id: 0,
        protocol_version: "3.0.0".to_owned(),
        node_id: node.to_owned(),
        ping_interval_s: 10,
        ping_timeout_s: 1,
        access_token: token.to_owned(),
        ..ConnectRequest::default()
    })
}

pub(crate) fn chunk(alias: u32, number: u32, payload: &[u8]) -> Message {
    Message::UpstreamChunk(UpstreamChunk {
        stream_id_alias: alias,
        chunk: StreamChunk {
            sequence_number: number,
            groups: vec![DataPointGroup {
                data_id: OrAlias::Full(DataId::new("speed", "float")),
                points: [(1, payload), (2, b"")].into_iter().collect::<Points>(),
            }],
        },
        data_ids: vec![],
    })
}

/// An ack of a downstream with alias 1 for one chunk.
pub(crate) fn ack(upstream: Uuid, number: u32) -> Message {
    Message::DownstreamChunkAck(DownstreamChunkAck {
        stream_id_alias: 1,
        ack_id: number,
        results: vec![DownstreamChunkResult {
            upstream_stream_id: upstream,
            upstream_sequence_number: number,
            ..DownstreamChunkResult::default()
        }],
        ..DownstreamChunkAck::default()
    })
}

pub(crate) async fn open_upstream(client: &mut Client, qos: Qos) -> iscp::message::UpstreamOpenResponse {
    let request = UpstreamOpenRequest {
        request_id: 2,
        session_id: "session".to_owned(),
        qos,
        ..UpstreamOpenRequest::default()
    };
    match client.ask(Message::UpstreamOpenRequest(request)).await {
        Message::UpstreamOpenResponse(response) => response,
        other => panic!("{other:?}"),
    }
}

pub(crate) async fn open_downstream(client: &mut Client, node: &str, qos: Qos) {
    let request = DownstreamOpenRequest {
        request_id: 2,
        desired_stream_id_alias: 1,
        filters: vec![DownstreamFilter {
            source_node_id: node.to_owned(),
            data_filters: vec![DataFilter { name: "#".to_owned(), kind: "#".to_owned() }],
        }],
        qos,
        ..DownstreamOpenRequest::default()
    };
    match client.ask(Message::DownstreamOpenRequest(request)).await {
        Message::DownstreamOpenResponse(response) => {
            assert_eq!(response.result_code, ResultCode::SUCCEEDED);
        }
        other => panic!("{other:?}"),
    }
}
