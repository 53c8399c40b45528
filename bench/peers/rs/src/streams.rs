//! Connections and streams of the client, and the waiting for acknowledgements.

use std::pin::pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::Duration;

use bytes::Bytes;
use iscp::message::ResultCode;
use iscp::transport::quic::QuicConnector;
use iscp::transport::websocket::WebSocketConnector;
use iscp::transport::{Compression, Connector};
use iscp::{
    CallbackReturnValue, Conn, ConnBuilder, DataFilter, DataId, DataPoint, Downstream, DownstreamFilter,
    DownstreamMetadataReader, FlushPolicy, QoS, ReceiveAckCallback, Upstream, UpstreamChunkResult,
    UpstreamResumedCallback,
};
use tokio::sync::Notify;
use tokio::time::timeout;

use crate::options::Options;
use crate::{ANSWER_LIMIT, Failure};

/// How many bytes of payload are written between two calls of `flush`. The client has no limit to what it buffers
/// and would otherwise put everything that is written in 100 ms into one chunk, beyond what a broker accepts.
const FLUSH_BYTES: usize = 64 * 1024;

/// The data type of all points.
const TYPE: &str = "bench";

pub(crate) async fn connect(options: &Options, node_id: &str) -> Result<Conn, Failure> {
    let url = &options.url;
    match url.split_once("://") {
        Some(("ws", _)) => connect_over(WebSocketConnector::new(url), options, node_id).await,
        Some(("quic", address)) => {
            let (host, port) =
                address.trim_end_matches('/').rsplit_once(':').ok_or_else(|| format!("{url} has no port"))?;
            let port = port.parse().map_err(|error| format!("{url}: {error}"))?;
            // The broker's certificate is made for the run, and the client trusts only those of the system.
            let connector = QuicConnector::new(host, port).skip_server_verification(true);
            connect_over(connector, options, node_id).await
        }
        _ => Err(Failure::Unsupported(format!("{url}: the client is measured over ws:// and quic://"))),
    }
}

async fn connect_over<C: Connector>(connector: C, options: &Options, node_id: &str) -> Result<Conn, Failure> {
    let compression = match options.compression {
        0 => Compression::new(),
        level => Compression::new().enable(level),
    };
    Ok(ConnBuilder::new(connector)
        .node_id(node_id)
        .compression(compression)
        // A ping waits behind what is sent as fast as possible: that is no reason to give up the connection.
        .ping_timeout(ANSWER_LIMIT)
        .response_message_timeout(ANSWER_LIMIT)
        .build()
        .await?)
}

fn qos(options: &Options) -> QoS {
    if options.reliable { QoS::Reliable } else { QoS::Unreliable }
}

fn data_ids(options: &Options) -> Vec<DataId> {
    (0..options.ids).map(|id| DataId::new(format!("d{id}"), TYPE)).collect()
}

/// What the broker said about the chunks so far.
#[derive(Default)]
struct Acks {
    open: AtomicBool,
    acked: AtomicU64,
    refused: AtomicBool,
    resumed: AtomicBool,
    changed: Notify,
}

impl Acks {
    /// Waits until `reached`; an error when nothing is acknowledged for long.
    async fn wait(&self, reached: impl Fn(&Self) -> bool, what: &str) -> Result<(), Failure> {
        loop {
            let mut changed = pin!(self.changed.notified());
            changed.as_mut().enable();
            if self.refused.load(Ordering::Acquire) {
                return Err("the broker refused a chunk".into());
            }
            if self.resumed.load(Ordering::Acquire) {
                return Err("the connection was lost".into());
            }
            if reached(self) {
                return Ok(());
            }
            timeout(ANSWER_LIMIT, changed).await.map_err(|_| format!("{what} takes too long"))?;
        }
    }
}

/// An upstream that knows what of it is acknowledged.
pub(crate) struct Sender {
    upstream: Upstream,
    acks: Arc<Acks>,
    ids: Vec<DataId>,
    written: u64,
    unflushed: usize,
}

impl Sender {
    /// `one_by_one`: whether every point is a chunk that is acknowledged by itself.
    pub(crate) async fn open(conn: &Conn, options: &Options, one_by_one: bool) -> Result<Self, Failure> {
        let acks = Arc::new(Acks::default());
        let (on_ack, on_open) = (acks.clone(), acks.clone());
        let ids = data_ids(options);
        let mut builder = conn.upstream_builder(&options.session);
        builder
            .qos(qos(options))
            .data_ids(ids.clone())
            .receive_ack_callback(Arc::new(move |_, result: UpstreamChunkResult| {
                if result.result_code == ResultCode::Succeeded {
                    on_ack.acked.fetch_add(1, Ordering::AcqRel);
                } else {
                    on_ack.refused.store(true, Ordering::Release);
                }
                on_ack.changed.notify_one();
                CallbackReturnValue::complete()
            }) as ReceiveAckCallback)
            .resumed_callback(Arc::new(move |_, _, _| {
                if on_open.open.swap(true, Ordering::AcqRel) {
                    on_open.resumed.store(true, Ordering::Release);
                }
                on_open.changed.notify_one();
                CallbackReturnValue::complete()
            }) as UpstreamResumedCallback);
        if one_by_one {
            builder.ack_interval(Duration::ZERO);
        }
        if one_by_one || options.immediate {
            builder.flush_policy(FlushPolicy::Immediately);
        }
        let upstream = builder.build().await?;
        // The client drops what is written with QoS unreliable before it calls this first "resumption".
        acks.wait(|acks| acks.open.load(Ordering::Acquire), "opening an upstream").await?;
        Ok(Self { upstream, acks, ids, written: 0, unflushed: 0 })
    }

    /// One call of the client for one point.
    pub(crate) async fn write(&mut self, id: u64, elapsed_time: i64, payload: Bytes) -> Result<(), Failure> {
        self.unflushed += payload.len();
        let data_id = self.ids[id as usize % self.ids.len()].clone();
        // An array rather than a vector: nothing is allocated for the argument.
        self.upstream.write_data_points(data_id, [DataPoint { elapsed_time, payload }]).await?;
        self.written += 1;
        if self.unflushed >= FLUSH_BYTES {
            self.flush().await?;
        }
        Ok(())
    }

    pub(crate) async fn flush(&mut self) -> Result<(), Failure> {
        self.unflushed = 0;
        timeout(ANSWER_LIMIT, self.upstream.flush()).await.map_err(|_| "flushing takes too long")??;
        Ok(())
    }

    /// Waits until so many chunks are acknowledged.
    pub(crate) async fn wait_acked(&self, chunks: u64) -> Result<(), Failure> {
        self.acks.wait(|acks| acks.acked.load(Ordering::Acquire) >= chunks, "an acknowledgement").await
    }

    /// Flushes, and waits until everything is acknowledged where acknowledgements cannot be lost.
    pub(crate) async fn finish(&mut self, options: &Options) -> Result<(), Failure> {
        self.flush().await?;
        let state = self.upstream.state();
        if state.total_data_points != self.written {
            return Err(format!("{} of {} points were sent", state.total_data_points, self.written).into());
        }
        if options.reliable {
            let chunks = state.last_issued_sequence_number.map_or(0, |last| last.get());
            self.wait_acked(chunks.into()).await?;
        }
        Ok(())
    }

    pub(crate) async fn close(&mut self) -> Result<(), iscp::Error> {
        self.upstream.close(None).await
    }
}

/// A downstream of everything that the node of the session sends.
pub(crate) async fn open_downstream(conn: &Conn, options: &Options) -> Result<Downstream, Failure> {
    let filter = DownstreamFilter {
        source_node_id: options.session.clone(),
        data_filters: vec![DataFilter { name: "#".into(), type_: "#".into() }],
    };
    let mut builder = conn.downstream_builder(vec![filter]);
    builder.qos(qos(options)).data_ids(data_ids(options));
    let (downstream, metadata) = builder.build().await?;
    tokio::spawn(drain(metadata));
    Ok(downstream)
}

/// The client stops reading points when nobody takes the metadata.
async fn drain(mut metadata: DownstreamMetadataReader) {
    while metadata.read().await.is_ok() {}
}
