//! The official Rust client as a worker of the benchmark. `../README.md` says what is measured.

mod measure;
mod options;
mod streams;

use std::process::ExitCode;
use std::sync::Arc;
use std::time::{Duration, Instant};

use bytes::Bytes;
use iscp::{Conn, Downstream, DownstreamChunk};
use serde_json::json;
use tokio::time::timeout;

use crate::measure::{Latencies, Pacer, cpu_s, print};
use crate::options::Options;
use crate::streams::{Sender, connect, open_downstream};

/// How long an answer may take that does not come.
const ANSWER_LIMIT: Duration = Duration::from_secs(60);
/// How long to wait for the next point of a stream that may lose points.
const LOSS_LIMIT: Duration = Duration::from_secs(1);
/// What becomes of a stream that is closed is no part of any measurement.
const CLOSE_LIMIT: Duration = Duration::from_secs(10);

enum Failure {
    /// The client does not have it: status 64.
    Unsupported(String),
    Other(String),
}

impl From<String> for Failure {
    fn from(text: String) -> Self {
        Self::Other(text)
    }
}

impl From<&str> for Failure {
    fn from(text: &str) -> Self {
        Self::Other(text.to_owned())
    }
}

impl From<iscp::Error> for Failure {
    fn from(error: iscp::Error) -> Self {
        Self::Other(error.to_string())
    }
}

impl From<std::io::Error> for Failure {
    fn from(error: std::io::Error) -> Self {
        Self::Other(error.to_string())
    }
}

fn main() -> ExitCode {
    match run() {
        Ok(()) => ExitCode::SUCCESS,
        Err(Failure::Unsupported(text)) => {
            eprintln!("rs: {text}");
            ExitCode::from(64)
        }
        Err(Failure::Other(text)) => {
            eprintln!("rs: {text}");
            ExitCode::FAILURE
        }
    }
}

/// The version of the client, which the manifest has exactly.
fn print_version() -> Result<(), Failure> {
    let dependency =
        include_str!("../Cargo.toml").lines().find_map(|line| line.strip_prefix("iscp-rs = \"="));
    let version = dependency.ok_or("the manifest has no version of iscp-rs")?.trim_end_matches('"');
    print(&json!({"version": format!("iscp-rs {version}")}))
}

fn run() -> Result<(), Failure> {
    if std::env::args().skip(1).eq(["version"]) {
        return print_version();
    }
    let options = Arc::new(Options::parse(std::env::args().skip(1))?);
    if options.json {
        return Err(Failure::Unsupported("the client has no encoding but protobuf".into()));
    }
    // With a single thread an acknowledgement takes half as long and a point costs less of the processor. But a
    // publisher that keeps a rate sleeps on its thread, and the client has to work meanwhile.
    let mut builder = if options.rate > 0.0 || options.role == "e2e" {
        tokio::runtime::Builder::new_multi_thread()
    } else {
        tokio::runtime::Builder::new_current_thread()
    };
    let runtime = builder.enable_all().build()?;
    let result = runtime.block_on(async {
        match options.role.as_str() {
            "pub" => publish(&options).await,
            "ack" => acknowledge(&options).await,
            "e2e" => end_to_end(&options).await,
            "sub" => subscribe(&options).await,
            "idle" => idle(&options).await,
            "start" => start(&options).await,
            role => Err(Failure::Unsupported(format!("there is no role {role}"))),
        }
    });
    // Some of the client's tasks never end.
    runtime.shutdown_background();
    result
}

/// A failure is told, but the measurement is done.
async fn close(what: &str, closing: impl Future<Output = Result<(), iscp::Error>>) {
    match timeout(CLOSE_LIMIT, closing).await {
        Ok(Ok(())) => {}
        Ok(Err(error)) => eprintln!("rs: closing {what}: {error}"),
        Err(_) => eprintln!("rs: closing {what} takes too long"),
    }
}

async fn close_sender(mut sender: Sender, conn: &Conn) {
    close("an upstream", sender.close()).await;
    close("a connection", conn.close()).await;
}

async fn publish(options: &Options) -> Result<(), Failure> {
    let mut conns = Vec::new();
    let mut senders = Vec::new();
    for _ in 0..options.connections {
        let conn = connect(options, &options.session).await?;
        senders.push(Sender::open(&conn, options, false).await?);
        conns.push(conn);
    }
    let payload = measure::payload(options.payload);
    let open = measure::rss_now_kb()?;
    let cpu = cpu_s();
    let begun = Instant::now();
    let mut pacer = Pacer::start(options.rate);
    for point in 0..options.points {
        if options.rate > 0.0 {
            pacer.wait();
        }
        let sender = &mut senders[point as usize % options.connections];
        // The payload is shared: nothing is copied on the way to the client.
        sender.write(point, point as i64 * 1000, payload.clone()).await?;
    }
    for sender in &mut senders {
        sender.finish(options).await?;
    }
    let (wall, cpu) = (begun.elapsed(), cpu_s() - cpu);
    print(&json!({
        "points": options.points,
        "wall_s": wall.as_secs_f64(),
        "cpu_s": cpu,
        "rss_kb_open": open,
        "rss_kb": measure::rss_peak_kb()?,
        "bytes": options.points * options.payload as u64,
        "ack": if options.reliable { "all" } else { "none" },
    }))?;
    for (sender, conn) in senders.into_iter().zip(conns) {
        close_sender(sender, &conn).await;
    }
    Ok(())
}

async fn acknowledge(options: &Options) -> Result<(), Failure> {
    let conn = connect(options, &options.session).await?;
    let mut sender = Sender::open(&conn, options, true).await?;
    let payload = measure::payload(options.payload);
    let mut latencies = Vec::with_capacity(options.points as usize);
    let mut pacer = Pacer::start(options.rate);
    for point in 0..options.points {
        pacer.wait();
        let begun = Instant::now();
        sender.write(point, point as i64 * 1000, payload.clone()).await?;
        sender.wait_acked(point + 1).await?;
        latencies.push(begun.elapsed());
    }
    print(&Latencies::of(latencies, None)?)?;
    close_sender(sender, &conn).await;
    Ok(())
}

async fn start(options: &Options) -> Result<(), Failure> {
    let conn = connect(options, &options.session).await?;
    let mut sender = Sender::open(&conn, options, true).await?;
    sender.write(0, 0, measure::payload(options.payload)).await?;
    sender.wait_acked(1).await?;
    // Without closing: what comes after the first acknowledgement is no part of the measurement.
    print(&json!({"acked": 1}))
}

/// The next chunk, or `None` when no more comes of a stream that may lose points.
async fn read(
    downstream: &mut Downstream,
    options: &Options,
    first: bool,
) -> Result<Option<DownstreamChunk>, Failure> {
    let limit = if options.reliable || first { ANSWER_LIMIT } else { LOSS_LIMIT };
    match timeout(limit, downstream.read_chunk()).await {
        Ok(chunk) => Ok(Some(chunk?)),
        Err(_) if options.reliable || first => Err("no point arrives".into()),
        Err(_) => Ok(None),
    }
}

/// Calls `each` for every point of a chunk and returns how many there are.
fn points(chunk: &DownstreamChunk, options: &Options, mut each: impl FnMut(&Bytes)) -> Result<u64, Failure> {
    let mut count = 0;
    for point in chunk.data_point_groups.iter().flat_map(|group| &group.data_points) {
        if point.payload.len() != options.payload {
            return Err(format!("a point of {} bytes arrived", point.payload.len()).into());
        }
        each(&point.payload);
        count += 1;
    }
    Ok(count)
}

async fn end_to_end(options: &Arc<Options>) -> Result<(), Failure> {
    let receiving = connect(options, &format!("{}-reader", options.session)).await?;
    let downstream = open_downstream(&receiving, options).await?;
    let sending = connect(options, &options.session).await?;
    let mut sender = Sender::open(&sending, options, false).await?;
    let mut payload = measure::payload(options.payload).to_vec();
    let begun = Instant::now();
    let arrivals = tokio::spawn(measure_arrivals(downstream, options.clone(), begun));
    let mut pacer = Pacer::start(options.rate);
    for point in 0..options.points {
        let stamp = (pacer.wait() - begun).as_nanos() as i64;
        payload[..size_of::<i64>()].copy_from_slice(&stamp.to_ne_bytes());
        sender.write(point, point as i64 * 1000, Bytes::copy_from_slice(&payload)).await?;
    }
    sender.finish(options).await?;
    let (mut downstream, latencies) = arrivals.await.map_err(|error| error.to_string())??;
    let lost = options.points - latencies.len() as u64;
    print(&Latencies::of(latencies, Some(lost))?)?;
    close_sender(sender, &sending).await;
    close("a downstream", downstream.close()).await;
    close("a connection", receiving.close()).await;
    Ok(())
}

async fn measure_arrivals(
    mut downstream: Downstream,
    options: Arc<Options>,
    begun: Instant,
) -> Result<(Downstream, Vec<Duration>), Failure> {
    let wanted = options.points as usize;
    let mut latencies = Vec::with_capacity(wanted);
    while latencies.len() < wanted {
        let Some(chunk) = read(&mut downstream, &options, latencies.is_empty()).await? else {
            break;
        };
        let arrived = begun.elapsed();
        points(&chunk, &options, |payload| {
            let stamp = payload.first_chunk().map_or(0, |bytes| i64::from_ne_bytes(*bytes));
            latencies.push(arrived.saturating_sub(Duration::from_nanos(stamp as u64)));
        })?;
    }
    if latencies.len() > wanted {
        return Err(format!("more than the {wanted} points of the measurement arrived").into());
    }
    Ok((downstream, latencies))
}

async fn subscribe(options: &Arc<Options>) -> Result<(), Failure> {
    let mut conns = Vec::new();
    let mut downstreams = Vec::new();
    for connection in 0..options.connections {
        let node_id = format!("{}-reader-{}-{connection}", options.session, std::process::id());
        let conn = connect(options, &node_id).await?;
        downstreams.push(open_downstream(&conn, options).await?);
        conns.push(conn);
    }
    println!("ready");
    let cpu = cpu_s();
    let readers: Vec<_> = downstreams
        .into_iter()
        .map(|downstream| tokio::spawn(count_arrivals(downstream, options.clone())))
        .collect();
    let mut total = 0;
    let mut firsts = Vec::new();
    let mut lasts = Vec::new();
    let mut downstreams = Vec::new();
    for reader in readers {
        let (downstream, count, first, last) = reader.await.map_err(|error| error.to_string())??;
        total += count;
        firsts.push(first);
        lasts.push(last);
        downstreams.push(downstream);
    }
    let cpu = cpu_s() - cpu;
    let wall = lasts.into_iter().max().zip(firsts.into_iter().min()).map(|(last, first)| last - first);
    print(&json!({
        "points": total,
        "wall_s": wall.unwrap_or_default().as_secs_f64(),
        "cpu_s": cpu,
        "lost": options.points * options.connections as u64 - total,
        "rss_kb": measure::rss_peak_kb()?,
    }))?;
    for (mut downstream, conn) in downstreams.into_iter().zip(conns) {
        close("a downstream", downstream.close()).await;
        close("a connection", conn.close()).await;
    }
    Ok(())
}

/// Reads all points; how many there were, and when the first and the last one came.
async fn count_arrivals(
    mut downstream: Downstream,
    options: Arc<Options>,
) -> Result<(Downstream, u64, Instant, Instant), Failure> {
    let mut count = 0;
    let mut first = None;
    let mut last = Instant::now();
    while count < options.points {
        let Some(chunk) = read(&mut downstream, &options, count == 0).await? else {
            break;
        };
        last = Instant::now();
        first.get_or_insert(last);
        count += points(&chunk, &options, |_| {})?;
    }
    if count > options.points {
        return Err(format!("more than the {} points of the measurement arrived", options.points).into());
    }
    Ok((downstream, count, first.unwrap_or(last), last))
}

async fn idle(options: &Options) -> Result<(), Failure> {
    let connections = options.connections;
    if connections < 2 {
        let text = format!("connections={connections}: what one more connection costs needs at least 2");
        return Err(text.into());
    }
    let mut open = Vec::new();
    let mut before = (0, 0.0);
    for connection in 0..connections {
        let conn = connect(options, &format!("{}-{connection}", options.session)).await?;
        let sender = Sender::open(&conn, options, false).await?;
        open.push((conn, sender));
        if connection == 0 {
            before = (measure::rss_now_kb()?, cpu_s());
        }
    }
    let after = (measure::rss_now_kb()?, cpu_s());
    let opened = json!({
        "connections": connections,
        "rss_kb_before": before.0,
        "rss_kb_after": after.0,
        "cpu_s_open": after.1 - before.1,
    });
    println!("ready {opened}");
    tokio::time::sleep(Duration::from_secs_f64(options.idle_s)).await;
    let idled = cpu_s() - after.1;
    let others = (connections - 1) as f64;
    print(&json!({
        "connections": connections,
        "kb_each": (after.0 as f64 - before.0 as f64) / others,
        "cpu_ms_open_each": (after.1 - before.1) * 1e3 / others,
        "cpu_us_per_s_each":
            if options.idle_s > 0.0 { idled * 1e6 / options.idle_s / connections as f64 } else { 0.0 },
    }))?;
    for (conn, sender) in open {
        close_sender(sender, &conn).await;
    }
    Ok(())
}
