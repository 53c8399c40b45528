//! The official Rust client as a peer of the interoperability tests: carries out the commands of docs/interop.md
//! that come on standard input, one a line, and prints what it receives, one event a line.

mod fields;

use std::collections::HashMap;
use std::sync::{Arc, Mutex};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use fields::{Fields, escape};
use iscp::metadata::ReceivableMetadata;
use iscp::transport::quic::QuicConnector;
use iscp::transport::websocket::WebSocketConnector;
use iscp::transport::webtransport::WebTransportConnector;
use iscp::transport::{Compression, Connector};
use iscp::{
    CallbackReturnValue, Conn, ConnBuilder, DataFilter, DataId, DataPoint, DataPointGroup, Downstream,
    DownstreamCall, DownstreamChunk, DownstreamFilter, DownstreamMetadataReader, FlushPolicy, QoS,
    StaticTokenSource, Upstream, UpstreamCall, UpstreamCloseOptions, UpstreamReplyCall,
};
use tokio::io::{AsyncBufReadExt, BufReader};
use tokio::sync::{Notify, oneshot};

type Failure = Box<dyn std::error::Error>;

/// How long a reply may take.
const REPLY_LIMIT: Duration = Duration::from_secs(10);

#[derive(Default)]
struct Peer {
    conn: Option<Conn>,
    upstreams: HashMap<String, Upstream>,
    downstreams: HashMap<String, oneshot::Sender<oneshot::Sender<Result<(), iscp::Error>>>>,
    last_call: Arc<Mutex<Option<DownstreamCall>>>,
}

// One thread: between the callback that tells of an open upstream and what follows it in the client, nothing here
// runs.
#[tokio::main(flavor = "current_thread")]
async fn main() {
    let mut peer = Peer::default();
    let mut lines = BufReader::new(tokio::io::stdin()).lines();
    while let Some(line) = lines.next_line().await.expect("standard input") {
        let (command, fields) = Fields::parse(&line);
        match peer.run(command, &fields).await {
            Ok(answer) => println!("ok{answer}"),
            Err(error) => println!("error text={}", escape(&error.to_string())),
        }
    }
    // The client's tasks may never end.
    std::process::exit(0);
}

impl Peer {
    async fn run(&mut self, command: &str, fields: &Fields<'_>) -> Result<String, Failure> {
        if command == "connect" {
            self.conn = Some(connect(fields).await?);
            return Ok(String::new());
        }
        let conn = self.conn.clone().ok_or("not connected")?;
        match command {
            "up" => {
                let upstream = open_up(&conn, fields).await?;
                let answer = format!(" stream_id={}", upstream.stream_id());
                self.upstreams.insert(fields.text("as").to_owned(), upstream);
                return Ok(answer);
            }
            "write" => {
                let id = DataId::new(fields.text("name"), fields.text("type"));
                let points = fields.text("points").split(',').map(point).collect::<Vec<_>>();
                self.upstream(fields)?.write_data_points(id, points).await?;
            }
            "flush" => self.upstream(fields)?.flush().await?,
            "close_up" => {
                let options = UpstreamCloseOptions { close_session: fields.is_true("close_session") };
                self.upstream(fields)?.close(options).await?;
            }
            "down" => {
                let (downstream, metadata) = open_down(&conn, fields).await?;
                let answer = format!(" stream_id={}", downstream.stream_id());
                let name = fields.text("as").to_owned();
                let (close, closed) = oneshot::channel();
                self.downstreams.insert(name.clone(), close);
                tokio::spawn(print_chunks(name.clone(), downstream, closed));
                tokio::spawn(print_metadata(name, metadata));
                return Ok(answer);
            }
            "close_down" => {
                let close = self.downstreams.remove(fields.text("as")).ok_or("no such downstream")?;
                let (result, closed) = oneshot::channel();
                close.send(result).map_err(|_| "the downstream has ended")?;
                closed.await??;
            }
            "base_time" => send_base_time(&conn, fields).await?,
            "serve" => {
                tokio::spawn(serve(conn.clone(), fields.is_true("answer"), self.last_call.clone()));
                tokio::spawn(print_replies(conn));
                // The client receives only while somebody waits in it.
                tokio::task::yield_now().await;
            }
            "call" => return Ok(format!(" call_id={}", conn.send_call(call(fields)).await?)),
            "call_wait" => {
                let reply =
                    tokio::time::timeout(REPLY_LIMIT, conn.send_call_and_wait_reply_call(call(fields)))
                        .await??;
                return Ok(call_fields(&reply.source_node_id, &reply.name, &reply.type_, &reply.payload));
            }
            "reply" => {
                let last = self.last_call.lock().unwrap().clone().ok_or("there was no call")?;
                conn.send_reply_call(UpstreamReplyCall {
                    request_call_id: last.call_id,
                    destination_node_id: last.source_node_id,
                    name: fields.text("name").to_owned(),
                    type_: fields.text("type").to_owned(),
                    payload: fields.hex("payload").into(),
                })
                .await?;
            }
            "close" => conn.close().await?,
            _ => return Err(format!("unknown command {command}").into()),
        }
        Ok(String::new())
    }

    fn upstream(&mut self, fields: &Fields<'_>) -> Result<&mut Upstream, Failure> {
        self.upstreams.get_mut(fields.text("as")).ok_or_else(|| "no such upstream".into())
    }
}

async fn connect(fields: &Fields<'_>) -> Result<Conn, Failure> {
    if fields.get("encoding").is_some_and(|encoding| encoding != "protobuf") {
        return Err("the client has no encoding but protobuf".into());
    }
    let url = fields.text("url");
    let (scheme, rest) = url.split_once("://").ok_or("the URL has no scheme")?;
    match scheme {
        "ws" | "wss" => {
            connect_over(WebSocketConnector::new(url).skip_server_verification(true), fields).await
        }
        "quic" => {
            let (host, port) = rest.trim_end_matches('/').rsplit_once(':').ok_or("the URL has no port")?;
            connect_over(QuicConnector::new(host, port.parse()?).skip_server_verification(true), fields).await
        }
        _ => {
            let url = format!("https://{rest}");
            connect_over(WebTransportConnector::new(url).skip_server_verification(true), fields).await
        }
    }
}

async fn connect_over<C: Connector>(connector: C, fields: &Fields<'_>) -> Result<Conn, Failure> {
    let mut builder = ConnBuilder::new(connector).node_id(fields.text("node_id"));
    if let Some(token) = fields.get("token") {
        builder = builder.token_source(StaticTokenSource::new(token));
    }
    if let Some(interval) = fields.get("ping_interval_ms") {
        builder = builder.ping_interval(Duration::from_millis(interval.parse()?));
    }
    let compression: Vec<&str> = fields.get("compression").unwrap_or("none").split(':').collect();
    builder = builder.compression(match compression[..] {
        ["per-message", level] => Compression::new().enable(level.parse()?),
        ["context-takeover", level, bits] => {
            Compression::new().enable_with_window_bits(level.parse()?, bits.parse()?)
        }
        _ => Compression::new(),
    });
    Ok(builder.build().await?)
}

fn qos(fields: &Fields<'_>) -> QoS {
    match fields.text("qos") {
        "reliable" => QoS::Reliable,
        "partial" => QoS::Partial,
        _ => QoS::Unreliable,
    }
}

fn qos_name(qos: QoS) -> &'static str {
    match qos {
        QoS::Unreliable => "unreliable",
        QoS::Reliable => "reliable",
        QoS::Partial => "partial",
    }
}

fn data_ids(fields: &Fields<'_>) -> Result<Vec<DataId>, Failure> {
    let ids = fields.get("data_ids").unwrap_or_default();
    Ok(ids.split(',').filter(|id| !id.is_empty()).map(str::parse).collect::<Result<_, _>>()?)
}

fn flush_policy(text: &str) -> Result<FlushPolicy, Failure> {
    let parts: Vec<&str> = text.split(':').collect();
    Ok(match parts[..] {
        ["immediate"] => FlushPolicy::Immediately,
        ["interval", ms] => FlushPolicy::IntervalOnly { interval: Duration::from_millis(ms.parse()?) },
        ["size", bytes] => FlushPolicy::BufferSizeOnly { buffer_size: bytes.parse()? },
        ["either", ms, bytes] => FlushPolicy::IntervalOrBufferSize {
            interval: Duration::from_millis(ms.parse()?),
            buffer_size: bytes.parse()?,
        },
        _ => FlushPolicy::None,
    })
}

async fn open_up(conn: &Conn, fields: &Fields<'_>) -> Result<Upstream, Failure> {
    let name = fields.text("as").to_owned();
    let acked = name.clone();
    // The client tells of a resumption when the stream is open, too, and drops what was written before.
    let opened = Arc::new(Notify::new());
    let ready = opened.clone();
    let mut builder = conn.upstream_builder(fields.text("session_id"));
    builder
        .qos(qos(fields))
        .persist(fields.is_true("persist"))
        .data_ids(data_ids(fields)?)
        .flush_policy(flush_policy(fields.text("flush"))?)
        .receive_ack_callback(Arc::new(move |_, ack: iscp::UpstreamChunkResult| {
            let (sequence_number, code) = (ack.sequence_number, ack.result_code as i32);
            println!("ack up={acked} sequence_number={sequence_number} code={code}");
            CallbackReturnValue::complete()
        }) as iscp::ReceiveAckCallback)
        .resumed_callback(Arc::new(move |_, _, _| {
            println!("resumed up={name}");
            ready.notify_one();
            CallbackReturnValue::complete()
        }) as iscp::UpstreamResumedCallback);
    if let Some(interval) = fields.get("ack_interval_ms") {
        builder.ack_interval(Duration::from_millis(interval.parse()?));
    }
    if let Some(interval) = fields.get("expiry_interval_ms") {
        builder.expiry_interval(Duration::from_millis(interval.parse()?));
    }
    let upstream = builder.build().await?;
    opened.notified().await;
    Ok(upstream)
}

async fn open_down(
    conn: &Conn,
    fields: &Fields<'_>,
) -> Result<(Downstream, DownstreamMetadataReader), Failure> {
    let mut filters = Vec::new();
    for filter in fields.text("filters").split(',') {
        let (node, id) = filter.split_once('|').ok_or("a filter is not of the form NODE|TYPE:NAME")?;
        let (type_, name) = id.split_once(':').ok_or("a filter is not of the form NODE|TYPE:NAME")?;
        filters.push(DownstreamFilter {
            source_node_id: node.to_owned(),
            data_filters: vec![DataFilter { name: name.to_owned(), type_: type_.to_owned() }],
        });
    }
    let mut builder = conn.downstream_builder(filters);
    builder.qos(qos(fields)).data_ids(data_ids(fields)?).omit_empty_chunk(fields.is_true("omit_empty_chunk"));
    if let Some(interval) = fields.get("expiry_interval_ms") {
        builder.expiry_interval(Duration::from_millis(interval.parse()?));
    }
    Ok(builder.build().await?)
}

fn point(text: &str) -> DataPoint {
    let (elapsed, payload) = text.split_once(':').expect("a point is ELAPSED:HEX");
    DataPoint {
        elapsed_time: elapsed.parse().expect("elapsed time"),
        payload: hex::decode(payload).expect("payload").into(),
    }
}

async fn print_chunks(
    name: String,
    mut downstream: Downstream,
    mut close: oneshot::Receiver<oneshot::Sender<Result<(), iscp::Error>>>,
) {
    loop {
        tokio::select! {
            biased;
            chunk = downstream.read_chunk() => match chunk {
                Ok(chunk) => print_chunk(&name, &chunk),
                Err(error) => {
                    println!("down_ended down={name} text={}", escape(&error.to_string()));
                    return;
                }
            },
            result = &mut close => {
                if let Ok(result) = result {
                    let closed = downstream.close().await;
                    while let Ok(chunk) = downstream.read_chunk().await {
                        print_chunk(&name, &chunk);
                    }
                    // Nobody waits for it when the peer ends.
                    drop(result.send(closed));
                }
                return;
            }
        }
    }
}

fn print_chunk(name: &str, chunk: &DownstreamChunk) {
    let groups: Vec<String> = chunk.data_point_groups.iter().map(group).collect();
    println!(
        "chunk down={name} source_node_id={} session_id={} stream_id={} sequence_number={} groups={}",
        escape(&chunk.upstream.source_node_id),
        escape(&chunk.upstream.session_id),
        chunk.upstream.stream_id,
        chunk.sequence_number,
        groups.join(";")
    );
}

fn group(group: &DataPointGroup) -> String {
    let points: Vec<String> = group
        .data_points
        .iter()
        .map(|point| format!("{}:{}", point.elapsed_time, hex::encode(&point.payload)))
        .collect();
    format!("{}:{}|{}", escape(&group.data_id.type_), escape(&group.data_id.name), points.join(","))
}

async fn print_metadata(name: String, mut reader: DownstreamMetadataReader) {
    while let Ok(metadata) = reader.read().await {
        println!(
            "metadata down={name} source_node_id={} {}",
            escape(&metadata.source_node_id),
            metadata_fields(&metadata.metadata)
        );
    }
}

fn metadata_fields(metadata: &ReceivableMetadata) -> String {
    let upstream = |id: &uuid::Uuid, session: &str| format!("stream_id={id} session_id={}", escape(session));
    let filters = |filters: &[DownstreamFilter]| {
        let all = filters.iter().flat_map(|filter| {
            filter
                .data_filters
                .iter()
                .map(|data| format!("{}|{}:{}", filter.source_node_id, data.type_, data.name))
        });
        all.collect::<Vec<_>>().join(",")
    };
    match metadata {
        ReceivableMetadata::BaseTime(m) => format!(
            "kind=base_time session_id={} name={} priority={} elapsed_ns={} base_time_ns={}",
            escape(&m.session_id),
            escape(&m.name),
            m.priority,
            m.elapsed_time.as_nanos(),
            m.base_time.duration_since(UNIX_EPOCH).expect("a time after 1970").as_nanos()
        ),
        ReceivableMetadata::UpstreamOpen(m) => {
            format!("kind=upstream_open {} qos={}", upstream(&m.stream_id, &m.session_id), qos_name(m.qos))
        }
        ReceivableMetadata::UpstreamAbnormalClose(m) => {
            format!("kind=upstream_abnormal_close {}", upstream(&m.stream_id, &m.session_id))
        }
        ReceivableMetadata::UpstreamResume(m) => {
            format!("kind=upstream_resume {} qos={}", upstream(&m.stream_id, &m.session_id), qos_name(m.qos))
        }
        ReceivableMetadata::UpstreamNormalClose(m) => format!(
            "kind=upstream_normal_close {} total_points={} final_sequence_number={}",
            upstream(&m.stream_id, &m.session_id),
            m.total_data_points,
            m.final_sequence_number
        ),
        ReceivableMetadata::DownstreamOpen(m) => format!(
            "kind=downstream_open stream_id={} filters={} qos={}",
            m.stream_id,
            filters(&m.downstream_filters),
            qos_name(m.qos)
        ),
        ReceivableMetadata::DownstreamAbnormalClose(m) => {
            format!("kind=downstream_abnormal_close stream_id={}", m.stream_id)
        }
        ReceivableMetadata::DownstreamResume(m) => format!(
            "kind=downstream_resume stream_id={} filters={} qos={}",
            m.stream_id,
            filters(&m.downstream_filters),
            qos_name(m.qos)
        ),
        ReceivableMetadata::DownstreamNormalClose(m) => {
            format!("kind=downstream_normal_close stream_id={}", m.stream_id)
        }
        other => format!("kind=unknown text={}", escape(&format!("{other:?}"))),
    }
}

async fn send_base_time(conn: &Conn, fields: &Fields<'_>) -> Result<(), Failure> {
    let base_time = iscp::metadata::BaseTime {
        session_id: fields.text("session_id").to_owned(),
        name: fields.text("name").to_owned(),
        priority: fields.text("priority").parse()?,
        elapsed_time: Duration::from_nanos(fields.text("elapsed_ns").parse()?),
        base_time: SystemTime::UNIX_EPOCH + Duration::from_nanos(fields.text("base_time_ns").parse()?),
    };
    Ok(conn.metadata_sender(base_time).persist(fields.is_true("persist")).send().await?)
}

fn call(fields: &Fields<'_>) -> UpstreamCall {
    UpstreamCall {
        destination_node_id: fields.text("to").to_owned(),
        name: fields.text("name").to_owned(),
        type_: fields.text("type").to_owned(),
        payload: fields.hex("payload").into(),
    }
}

fn call_fields(source: &str, name: &str, type_: &str, payload: &[u8]) -> String {
    format!(
        " source_node_id={} name={} type={} payload={}",
        escape(source),
        escape(name),
        escape(type_),
        hex::encode(payload)
    )
}

async fn serve(conn: Conn, answer: bool, last_call: Arc<Mutex<Option<DownstreamCall>>>) {
    while let Ok(call) = conn.recv_call().await {
        let fields = call_fields(&call.source_node_id, &call.name, &call.type_, &call.payload);
        *last_call.lock().unwrap() = Some(call.clone());
        println!("call call_id={}{fields}", call.call_id);
        if answer {
            let reply = UpstreamReplyCall {
                request_call_id: call.call_id,
                destination_node_id: call.source_node_id,
                name: call.name,
                type_: "reply".to_owned(),
                payload: [b"re:", &call.payload[..]].concat().into(),
            };
            let conn = conn.clone();
            // Calls that come while nobody waits for one are lost in the client.
            tokio::spawn(async move {
                if let Err(error) = conn.send_reply_call(reply).await {
                    eprintln!("reply: {error}");
                }
            });
        }
    }
}

async fn print_replies(conn: Conn) {
    while let Ok(reply) = conn.recv_reply_call().await {
        let fields = call_fields(&reply.source_node_id, &reply.name, &reply.type_, &reply.payload);
        println!("reply request_call_id={}{fields}", reply.request_call_id);
    }
}
