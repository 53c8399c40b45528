//! `iscp bench`.

mod load;
mod report;

use std::sync::atomic::AtomicBool;
use std::sync::atomic::Ordering::Relaxed;
use std::sync::{Arc, Mutex, PoisonError};
use std::thread;
use std::time::{Duration, Instant};

use clap::builder::NonEmptyStringValueParser;
use clap::{ValueEnum, value_parser};
use crossbeam_channel::{after, never, select, tick, unbounded};
use hdrhistogram::Histogram;
use iscp::client::{Downstream, DownstreamOptions};
use iscp::core::{DownstreamConfig, FlushPolicy, MAX_PAYLOAD, ReceivedChunk};
use iscp::error::Error;
use iscp::message::{DataFilter, DownstreamFilter};
use nix::sys::resource::{UsageWho, getrusage};
use nix::sys::time::TimeValLike;
use tracing::{debug, info};

use crate::args::{StreamArgs, parse_seconds};
use crate::client::Client;
use crate::connect_args::ConnectArgs;
use crate::failure::Failure;
use crate::interrupt::Interrupt;
use crate::progress::Progress;
use load::{Load, Writer};
use report::Report;

/// How long nothing may move before the rest counts as lost.
const STALL_LIMIT: Duration = Duration::from_secs(10);

/// How often the progress line and the end of the work are looked at.
const LOOK: Duration = Duration::from_millis(100);

/// Times above this are counted as this.
const LONGEST: u64 = 3_600_000_000_000;

/// Options of `iscp bench`.
#[derive(clap::Args)]
#[command(mut_arg("node", |node| node.required(false).default_value("bench").help(
    "Id of the nodes to connect as, to each of which a number is added"
)))]
pub(crate) struct BenchArgs {
    #[command(flatten)]
    pub(crate) connect: ConnectArgs,
    #[command(flatten)]
    pub(crate) stream: StreamArgs,
    /// What is measured.
    #[arg(long, value_enum, default_value_t = Mode::Upstream)]
    mode: Mode,
    /// Bytes of payload in a point.
    #[arg(long, value_name = "BYTES", allow_negative_numbers = true, default_value = "32", value_parser = value_parser!(u32).range(0..=MAX_PAYLOAD as i64))]
    payload: u32,
    /// Points to write on each connection, instead of writing for a time.
    #[arg(long, value_name = "N", allow_negative_numbers = true, value_parser = value_parser!(u64).range(1..), conflicts_with = "seconds")]
    points: Option<u64>,
    /// How long to write, in seconds.
    #[arg(long, value_name = "SECONDS", default_value = "10", value_parser = parse_seconds, allow_negative_numbers = true)]
    seconds: Duration,
    /// Points to write in a second on each connection [default: as many as it takes]
    #[arg(long, value_name = "N", allow_negative_numbers = true, value_parser = value_parser!(u32).range(1..=10_000_000))]
    rate: Option<u32>,
    /// Data ids of each stream, which take turns.
    #[arg(long, value_name = "N", allow_negative_numbers = true, default_value = "1", value_parser = value_parser!(u32).range(1..=10_000))]
    ids: u32,
    /// Connections to the server, each with one upstream; with --mode end-to-end as many again with a downstream.
    #[arg(long, value_name = "N", allow_negative_numbers = true, default_value = "1", value_parser = value_parser!(u32).range(1..=10_000))]
    connections: u32,
    /// When points become a chunk: none, immediate, interval:MS, size:BYTES or interval-or-size:MS:BYTES
    /// [default: interval-or-size:100:10000]
    #[arg(long, value_name = "POLICY", value_parser = parse_flush)]
    flush: Option<FlushPolicy>,
    /// Id of the session to write in.
    #[arg(long, value_name = "SESSION", default_value = "bench", value_parser = NonEmptyStringValueParser::new())]
    session: String,
    /// Print the result as one JSON object.
    #[arg(long)]
    json: bool,
}

/// What is measured.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum Mode {
    /// Points written and acknowledged.
    Upstream,
    /// Points written by one connection and received by another of this process, and how long that takes.
    EndToEnd,
    /// How long it takes from writing a point until the server has acknowledged it, one point after the other.
    Latency,
}

/// A value as it is written on the command line.
fn name_of(value: impl ValueEnum) -> String {
    value.to_possible_value().map(|value| value.get_name().to_owned()).unwrap_or_default()
}

/// Measures what a server and the way to it can do.
pub(crate) fn run(args: &BenchArgs, interrupt: &Interrupt, quiet: bool) -> Result<(), Failure> {
    if args.mode == Mode::Latency && args.flush.is_some() {
        return Err(Failure::new("--flush: with --mode latency every point is sent at once"));
    }
    let Some(setup) = Setup::open(args, interrupt)? else { return Ok(()) };
    let report = setup.measure(args, interrupt, quiet)?;
    for client in &setup.clients {
        let closed = client.close();
        debug!("closed: {closed:?}");
    }
    report
        .print(args.json)
        .map_err(|error| Failure::new(format!("cannot write to standard output: {error}")))?;
    report.verdict()
}

/// Everything that is open when the measuring begins.
struct Setup<'a> {
    clients: Vec<Client<'a>>,
    writers: Vec<Writer>,
    readers: Vec<Reader>,
    start: Instant,
}

/// A downstream, and what it received.
struct Reader {
    received: Arc<Mutex<Received>>,
    // Held for the life of the stream.
    _downstream: Downstream,
}

struct Received {
    points: u64,
    latency: Histogram<u64>,
    /// Why no more will come.
    ended: Option<Error>,
}

fn histogram() -> Histogram<u64> {
    Histogram::new_with_max(LONGEST, 3).expect("bounds that make sense")
}

fn nanoseconds_since(start: Instant) -> i64 {
    i64::try_from(start.elapsed().as_nanos()).unwrap_or(i64::MAX)
}

impl<'a> Setup<'a> {
    /// Connects and opens the streams; `None` when a signal came first.
    fn open(args: &'a BenchArgs, interrupt: &'a Interrupt) -> Result<Option<Self>, Failure> {
        let mut setup =
            Self { clients: Vec::new(), writers: Vec::new(), readers: Vec::new(), start: Instant::now() };
        let load = Arc::new(Load {
            points: args.points,
            seconds: args.seconds,
            rate: args.rate,
            payload: load::payload(args.payload as usize),
            one_by_one: args.mode == Mode::Latency,
            start: setup.start,
        });
        for number in 1..=args.connections {
            let writer = format!("{}-{number}", args.connect.node);
            if args.mode == Mode::EndToEnd {
                let name = format!("{writer}-reader");
                let Some(client) = connect(args, interrupt, name)? else { return Ok(None) };
                let Some(reader) = Reader::open(&client, args, &writer, setup.start)? else {
                    return Ok(None);
                };
                setup.clients.push(client);
                setup.readers.push(reader);
            }
            let Some(client) = connect(args, interrupt, writer)? else { return Ok(None) };
            let Some(writer) = Writer::open(&client, args, load.clone())? else { return Ok(None) };
            setup.clients.push(client);
            setup.writers.push(writer);
        }
        info!("{} connections are open", setup.clients.len());
        Ok(Some(setup))
    }

    /// Lets all of them write, and waits until everything has arrived or nothing moves any more.
    fn measure(&self, args: &BenchArgs, interrupt: &Interrupt, quiet: bool) -> Result<Report, Failure> {
        let progress = Progress::start("written", quiet);
        let stop = Arc::new(AtomicBool::new(false));
        let (done, outcomes) = unbounded();
        let cpu_before = cpu_time()?;
        let begun = Instant::now();
        for writer in &self.writers {
            let (writer, stop, done) = (writer.clone(), stop.clone(), done.clone());
            thread::Builder::new()
                .name("iscp-bench".to_owned())
                // Nobody listens any more when another has failed.
                .spawn(move || drop(done.send(writer.run(begun, &stop))))
                .map_err(|error| Failure::new(format!("cannot start a thread: {error}")))?;
        }
        drop(done);
        let mut latency = histogram();
        let (ticks, mut shown, mut left) = (tick(LOOK), 0, self.writers.len());
        let mut signal = Some(interrupt.channel());
        let nothing = never();
        let mut failure = None;
        while left > 0 {
            select! {
                recv(outcomes) -> outcome => {
                    left -= 1;
                    match outcome {
                        Ok(Ok(times)) => latency.add(times).expect("the same bounds"),
                        Ok(Err(error)) => {
                            failure.get_or_insert(error);
                            stop.store(true, Relaxed);
                        }
                        Err(_) => return Err(Failure::new("a writer ended without a result")),
                    }
                }
                recv(signal.unwrap_or(&nothing)) -> _ => {
                    // What was written is still waited for, and reported.
                    stop.store(true, Relaxed);
                    signal = None;
                }
                recv(ticks) -> _ => {
                    let written = self.written();
                    progress.add(written.saturating_sub(shown));
                    shown = shown.max(written);
                }
            }
        }
        let received = self.wait_for_readers(args);
        let seconds = begun.elapsed();
        let cpu = cpu_time()?.saturating_sub(cpu_before);
        progress.add(self.written().saturating_sub(shown));
        progress.finish();
        for reader in &self.readers {
            latency.add(&reader.lock().latency).expect("the same bounds");
        }
        if let Some(failure) = failure {
            return Err(failure);
        }
        Ok(Report::new(args, self.written(), (received, self.ended()), seconds, cpu, latency))
    }

    fn written(&self) -> u64 {
        self.writers.iter().map(Writer::written).sum()
    }

    fn received(&self) -> u64 {
        self.readers.iter().map(|reader| reader.lock().points).sum()
    }

    /// Why one of the readers gets nothing any more.
    fn ended(&self) -> Option<Error> {
        self.readers.iter().find_map(|reader| reader.lock().ended.clone())
    }

    /// Points that arrived, once all have, or no more will, or none has for a while. A signal ends the program meanwhile as always.
    fn wait_for_readers(&self, args: &BenchArgs) -> Option<u64> {
        if args.mode != Mode::EndToEnd {
            return None;
        }
        let written = self.written();
        let (mut before, mut since) = (0, Instant::now());
        loop {
            let received = self.received();
            let over = self.readers.iter().all(|reader| reader.lock().ended.is_some());
            if received >= written || over || since.elapsed() > STALL_LIMIT {
                return Some(received);
            }
            if received != before {
                (before, since) = (received, Instant::now());
            }
            let _ = after(Duration::from_millis(1)).recv();
        }
    }
}

fn connect<'a>(
    args: &'a BenchArgs,
    interrupt: &'a Interrupt,
    node: String,
) -> Result<Option<Client<'a>>, Failure> {
    Client::connect_with(&args.connect, interrupt, |options| options.config.node_id = node)
}

impl Reader {
    fn open(
        client: &Client<'_>,
        args: &BenchArgs,
        source: &str,
        start: Instant,
    ) -> Result<Option<Self>, Failure> {
        let mut options = DownstreamOptions {
            config: DownstreamConfig {
                filters: vec![DownstreamFilter {
                    source_node_id: source.to_owned(),
                    data_filters: vec![DataFilter { name: "#".to_owned(), kind: "#".to_owned() }],
                }],
                qos: args.stream.qos.into(),
                ..DownstreamConfig::default()
            },
            ..DownstreamOptions::default()
        };
        let received = Arc::new(Mutex::new(Received { points: 0, latency: histogram(), ended: None }));
        let (taken, ended) = (received.clone(), received.clone());
        options.on_closed = Some(Box::new(move |why: Option<Error>| {
            ended.lock().unwrap_or_else(PoisonError::into_inner).ended = why;
        }));
        let on_chunk = move |chunk: ReceivedChunk| {
            let now = nanoseconds_since(start);
            let mut received = taken.lock().unwrap_or_else(PoisonError::into_inner);
            for point in chunk.groups.iter().flat_map(|group| group.points.iter()) {
                received.points += 1;
                let took = u64::try_from(now - point.elapsed_time).unwrap_or_default();
                received.latency.saturating_record(took);
            }
        };
        let downstream = client.wait_then(
            |done| client.connection.open_downstream(options, done),
            move |downstream: Downstream| downstream.on_chunk(Box::new(on_chunk)).map(|()| downstream),
        )?;
        Ok(downstream.map(|downstream| Self { received, _downstream: downstream }))
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, Received> {
        self.received.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// CPU time that this process has used.
fn cpu_time() -> Result<Duration, Failure> {
    let usage = getrusage(UsageWho::RUSAGE_SELF)
        .map_err(|error| Failure::new(format!("cannot ask for the CPU time: {error}")))?;
    let microseconds = usage.user_time().num_microseconds() + usage.system_time().num_microseconds();
    Ok(Duration::from_micros(u64::try_from(microseconds).unwrap_or_default()))
}

fn parse_flush(text: &str) -> Result<FlushPolicy, String> {
    let wrong = || {
        "the policies are none, immediate, interval:MS, size:BYTES and interval-or-size:MS:BYTES".to_owned()
    };
    let milliseconds = |text: &str| match text.parse() {
        Ok(number @ 1..=3_600_000) => Ok(Duration::from_millis(number)),
        _ => Err(format!("{text} is no interval of 1 to 3600000 milliseconds")),
    };
    let bytes = |text: &str| match text.parse() {
        Ok(number @ 1..=1_073_741_824) => Ok(number),
        _ => Err(format!("{text} is no size of 1 to 1073741824 bytes")),
    };
    let parts: Vec<&str> = text.split(':').collect();
    match parts[..] {
        ["none"] => Ok(FlushPolicy::None),
        ["immediate"] => Ok(FlushPolicy::Immediate),
        ["interval", interval] => Ok(FlushPolicy::Interval(milliseconds(interval)?)),
        ["size", size] => Ok(FlushPolicy::Size(bytes(size)?)),
        ["interval-or-size", interval, size] => {
            Ok(FlushPolicy::IntervalOrSize(milliseconds(interval)?, bytes(size)?))
        }
        _ => Err(wrong()),
    }
}
