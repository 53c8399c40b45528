//! What the tests of transports share: certificates, brokers and clients.

use std::future::Future;
use std::time::Duration;

use bytes::Bytes;
use iscp::client::{
    Completion, ConnectOptions, Connection, Downstream, DownstreamOptions, Upstream, UpstreamOptions,
};
use iscp::core::FlushPolicy;
use iscp::encoding::{Encoding, Schema};
use iscp::error::{Error, Result};
use iscp::message::{
    DataFilter, DataId, DataPointGroup, DownstreamFilter, Message, OrAlias, Points, Qos, ResultCode,
    StreamChunk, UpstreamChunk, UpstreamOpenRequest,
};
use iscp::transport::Scheme;
use iscp::transport::tls::{TlsOptions, certificates};
use iscp_broker::{Listener, Server, ServerConfig, ServerHandle, TlsIdentity};
use quinn::{ReadExactError, RecvStream, SendStream};
use rcgen::{BasicConstraints, CertificateParams, IsCa, Issuer, KeyPair};

/// Nothing here takes nearly as long; only a failure waits for it.
pub(crate) const LIMIT: Duration = Duration::from_secs(30);

/// Threads of the broker: with several, a part of the tests runs once more.
const THREADS: usize =
    if matches!(env!("CARGO_CRATE_NAME").as_bytes(), b"transports_threads") { 4 } else { 1 };

/// The transports under test.
pub(crate) const SCHEMES: [Scheme; 2] = [Scheme::Quic, Scheme::WebTransport];

/// A CA, and a certificate of it for `localhost`, as PEM.
pub(crate) struct Pki {
    pub(crate) ca: String,
    pub(crate) chain: String,
    pub(crate) key: String,
}

impl Pki {
    pub(crate) fn new() -> Self {
        let ca_key = KeyPair::generate().unwrap();
        let mut ca = CertificateParams::default();
        ca.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        let ca_pem = ca.self_signed(&ca_key).unwrap().pem();
        let issuer = Issuer::new(ca, ca_key);
        let key = KeyPair::generate().unwrap();
        let params = CertificateParams::new(["localhost".to_owned()]).unwrap();
        let chain = params.signed_by(&key, &issuer).unwrap().pem();
        Self { ca: ca_pem, chain, key: key.serialize_pem() }
    }

    pub(crate) fn identity(&self) -> TlsIdentity {
        TlsIdentity::from_pem(self.chain.as_bytes(), self.key.as_bytes()).unwrap()
    }

    /// Settings of a client that trusts this CA and no other, and knows the server's name.
    pub(crate) fn trust(&self) -> TlsOptions {
        TlsOptions {
            ca: Some(certificates(self.ca.as_bytes()).unwrap()),
            server_name: Some("localhost".try_into().unwrap()),
            ..TlsOptions::default()
        }
    }
}

/// A broker with every transport under test, and the CA of its certificate.
pub(crate) struct World {
    pub(crate) broker: ServerHandle,
    pub(crate) pki: Pki,
}

impl World {
    pub(crate) fn new() -> Self {
        Self::with(|_| {})
    }

    pub(crate) fn with(adjust: impl FnOnce(&mut ServerConfig)) -> Self {
        let pki = Pki::new();
        let mut config = ServerConfig {
            listeners: SCHEMES.iter().map(|&scheme| Listener::new(scheme, ([127, 0, 0, 1], 0))).collect(),
            tls: Some(pki.identity()),
            threads: THREADS,
            ..ServerConfig::default()
        };
        adjust(&mut config);
        Self { broker: Server::start(config).unwrap(), pki }
    }

    pub(crate) fn options(&self, scheme: Scheme, node: &str) -> ConnectOptions {
        let mut options = ConnectOptions { url: self.broker.url(scheme), ..ConnectOptions::default() };
        options.config.node_id = node.to_owned();
        options.dial.tls = self.pki.trust();
        options
    }

    pub(crate) fn connect(&self, scheme: Scheme, node: &str) -> Connection {
        Connection::connect_wait(self.options(scheme, node), Some(LIMIT)).unwrap()
    }
}

pub(crate) fn wait<T: Send + 'static>(start: impl FnOnce(Completion<T>) -> Result<()>) -> Result<T> {
    let (done, waiter) = Completion::waiter()?;
    start(done)?;
    waiter.wait(Some(LIMIT))
}

pub(crate) fn refused(options: ConnectOptions) -> Error {
    Connection::connect_wait(options, Some(LIMIT)).map(drop).unwrap_err()
}

pub(crate) fn id() -> DataId {
    DataId { name: "n".to_owned(), kind: "t".to_owned() }
}

pub(crate) fn upstream(connection: &Connection, qos: Qos) -> Upstream {
    let mut options = UpstreamOptions::default();
    options.config.qos = qos;
    options.config.flush_policy = FlushPolicy::Immediate;
    options.config.session_id = "session".to_owned();
    wait(|done| connection.open_upstream(options, done)).unwrap()
}

pub(crate) fn downstream(connection: &Connection, node: &str, qos: Qos) -> Downstream {
    let mut options = DownstreamOptions::default();
    options.config.qos = qos;
    options.config.filters = vec![DownstreamFilter {
        source_node_id: node.to_owned(),
        data_filters: vec![DataFilter { name: "#".to_owned(), kind: "#".to_owned() }],
    }];
    wait(|done| connection.open_downstream(options, done)).unwrap()
}

/// Points of the next chunk: elapsed time and payload.
pub(crate) fn next_points(downstream: &Downstream, limit: Duration) -> Result<Vec<(i64, Vec<u8>)>> {
    let chunk = downstream.next_chunk(Some(limit))?;
    let points = chunk.groups.iter().flat_map(|group| group.points.iter());
    Ok(points.map(|point| (point.elapsed_time, point.payload.to_vec())).collect())
}

/// `size` bytes that differ from those of another number.
pub(crate) fn payload(number: i64, size: usize) -> Vec<u8> {
    (0..size).map(|at| (at as i64 * 31 + number * 7) as u8).collect()
}

/// Runs the tasks of a raw peer.
pub(crate) fn run(test: impl Future<Output = ()>) {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    runtime.block_on(async { tokio::time::timeout(LIMIT * 2, test).await.expect("in time") });
}

/// Either end of the messages of a connection, as bytes.
pub(crate) struct Peer {
    pub(crate) connection: quinn::Connection,
    pub(crate) outgoing: SendStream,
    pub(crate) incoming: RecvStream,
}

impl Peer {
    pub(crate) async fn send(&mut self, message: &Message) {
        self.outgoing.write_all(&framed(message)).await.unwrap();
    }

    /// Next message, or how the stream ended.
    pub(crate) async fn next(&mut self) -> std::result::Result<Message, ReadExactError> {
        read(&mut self.incoming).await
    }

    /// Skips pings until there is something else.
    pub(crate) async fn next_but_pings(&mut self) -> Message {
        loop {
            match self.next().await.unwrap() {
                Message::Ping(id) => self.send(&Message::Pong(id)).await,
                message => return message,
            }
        }
    }
}

fn open_request(qos: Qos) -> Message {
    Message::UpstreamOpenRequest(UpstreamOpenRequest {
        request_id: 2,
        session_id: "session".to_owned(),
        ack_interval_ms: 10,
        qos,
        ..UpstreamOpenRequest::default()
    })
}

pub(crate) fn chunk(alias: u32, number: u32, payload: &[u8]) -> Message {
    let points: Points = [(i64::from(number), payload)].into_iter().collect();
    let groups = vec![DataPointGroup { data_id: OrAlias::Full(id()), points }];
    Message::UpstreamChunk(UpstreamChunk {
        stream_id_alias: alias,
        chunk: StreamChunk { sequence_number: number, groups },
        data_ids: vec![id()],
    })
}

pub(crate) async fn open_upstream(peer: &mut Peer, qos: Qos) -> u32 {
    peer.send(&open_request(qos)).await;
    match peer.next_but_pings().await {
        Message::UpstreamOpenResponse(response) => {
            assert_eq!(response.result_code, ResultCode::SUCCEEDED);
            response.stream_id_alias
        }
        other => panic!("{other:?}"),
    }
}

pub(crate) fn encode(message: &Message) -> Bytes {
    Encoding::Protobuf.encode(message, Schema::V3)
}

/// A message behind its length.
pub(crate) fn framed(message: &Message) -> Vec<u8> {
    let message = encode(message);
    [&(message.len() as u32).to_be_bytes()[..], &message].concat()
}

pub(crate) async fn read(stream: &mut RecvStream) -> std::result::Result<Message, ReadExactError> {
    let mut length = [0; 4];
    stream.read_exact(&mut length).await?;
    let mut message = vec![0; u32::from_be_bytes(length) as usize];
    stream.read_exact(&mut message).await?;
    Ok(Encoding::Protobuf.decode(message.into()).unwrap())
}

/// Number of a stream on the wire.
pub(crate) fn stream_id(id: quinn::StreamId) -> u64 {
    quinn::VarInt::from(id).into_inner()
}
