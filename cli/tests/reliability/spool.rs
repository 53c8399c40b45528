//! Processes that are killed, and deliver what they had written when they are started again.

use std::collections::HashMap;
use std::io::{BufRead, BufReader, Write};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::atomic::Ordering::Relaxed;
use std::sync::mpsc;
use std::thread;
use std::time::{Duration, Instant};

use iscp::client::{ConnectOptions, Connection, FullPolicy, SpoolFull, SpoolOptions, Upstream};
use iscp::core::{FlushLevel, FlushPolicy};
use iscp::error::Status;
use iscp::message::DataId;
use iscp::transport::Scheme;
use iscp_broker::{Listener, Server, ServerConfig, ServerHandle};
use iscp_chaos::{Cut, Proxy};

use crate::support::{LIMIT, Random, Reader, connect, full, open_upstream, seed, upstream_options, wait};

/// Tells a process that it is the one to be killed: address, directory of the spool, number of its run.
const ROLE: &str = "ISCP_RELIABILITY_ROLE";

struct Dir(PathBuf);

impl Dir {
    fn new() -> Self {
        let dir = std::env::temp_dir().join(format!("iscp-reliability-{}", uuid::Uuid::new_v4()));
        Self(dir)
    }
}

impl Drop for Dir {
    fn drop(&mut self) {
        let _ = std::fs::remove_dir_all(&self.0);
    }
}

/// Starts this test program anew as the process that writes, or that only delivers what is left.
fn start(url: &str, dir: &Path, run: &str) -> Child {
    Command::new(std::env::current_exe().unwrap())
        .args(["--exact", "spool::role_of_the_process_that_is_killed", "--nocapture"])
        .env(ROLE, format!("{url} {} {run}", dir.display()))
        .stdout(Stdio::piped())
        .stderr(Stdio::null())
        .spawn()
        .unwrap()
}

/// Not a test of its own: what the processes do that the test below starts.
#[test]
fn role_of_the_process_that_is_killed() {
    let Ok(role) = std::env::var(ROLE) else { return };
    let [url, dir, run] = role.split(' ').collect::<Vec<_>>()[..] else { panic!("{role}") };
    let (outcomes, told) = mpsc::channel();
    let mut options = ConnectOptions { url: url.to_owned(), ..ConnectOptions::default() };
    options.spool = SpoolOptions { dir: dir.into(), limit: 64 << 20, ..SpoolOptions::default() };
    options.on_spool = Some(std::sync::Arc::new(move |outcome| drop(outcomes.send(outcome))));
    let connection = connect(options, "source");
    let mut output = std::io::stdout().lock();
    if run == "drain" {
        while connection.spool().unwrap().1 > 0 {
            match told.recv_timeout(LIMIT) {
                Ok(outcome) => assert!(outcome.error.is_none() && outcome.missing_points == 0, "{outcome:?}"),
                Err(error) => panic!("{error}: {:?}", connection.spool()),
            }
        }
        return writeln!(output, "drained").unwrap();
    }
    let upstream = open_upstream(&connection, FlushPolicy::Interval(Duration::from_millis(5)));
    let id = upstream.data_id(DataId::new(run, "counter")).unwrap();
    for number in 0_u64.. {
        upstream.write(id, number as i64, &number.to_le_bytes()).unwrap();
        writeln!(output, "wrote {number}").unwrap();
        if number % 10 == 9 {
            thread::sleep(Duration::from_millis(1));
        }
    }
}

/// A broker, a proxy before it, and a node that reads past the proxy.
struct World {
    proxy: Proxy,
    /// Through the proxy.
    url: String,
    reader: Reader,
    _reader: Connection,
    _broker: ServerHandle,
}

impl World {
    fn new() -> Self {
        let broker = Server::start(ServerConfig {
            listeners: vec![Listener::new(Scheme::Ws, ([127, 0, 0, 1], 0))],
            ..ServerConfig::default()
        })
        .unwrap();
        let address = broker.address(Scheme::Ws).unwrap().to_string();
        let proxy = Proxy::tcp(address.clone()).unwrap();
        let url = broker.url(Scheme::Ws).replace(&address, &proxy.address().to_string());
        let reads = ConnectOptions { url: broker.url(Scheme::Ws), ..ConnectOptions::default() };
        let connection = connect(reads, "reader");
        let reader = Reader::start(&connection, "source");
        Self { proxy, url, reader, _reader: connection, _broker: broker }
    }

    /// A connection with a spool in `dir`, and an upstream with a small buffer.
    fn source(&self, dir: &Dir, limit: u64, spool_full: SpoolFull) -> (Connection, Upstream) {
        let mut options = ConnectOptions { url: self.url.clone(), ..ConnectOptions::default() };
        options.spool =
            SpoolOptions { dir: dir.0.clone(), limit, full: spool_full, ..SpoolOptions::default() };
        let connection = connect(options, "source");
        let mut options = upstream_options(FlushPolicy::Interval(Duration::from_millis(5)));
        options.full = FullPolicy::Fail;
        options.config.buffer_limit = 64 << 10;
        options.config.in_flight_limit = 64 << 10;
        let upstream = wait(|done| connection.open_upstream(options, done)).unwrap();
        (connection, upstream)
    }

    fn outage(&self) {
        self.proxy.refuse(true);
        self.proxy.cut(Cut::Reset);
    }
}

#[test]
fn an_outage_may_be_longer_than_memory() {
    let (world, dir) = (World::new(), Dir::new());
    let (connection, upstream) = world.source(&dir, 64 << 20, SpoolFull::Refuse);
    let id = upstream.data_id(DataId::new("0", "counter")).unwrap();
    world.outage();
    // More than a hundred times what the buffers hold, and no write fails.
    let points: u64 = 500_000;
    for number in 0..points {
        upstream.write(id, number as i64, &number.to_le_bytes()).unwrap();
    }
    assert!(connection.spool().unwrap().1 > 4 << 20);
    let late = wait(|done| upstream.flush(FlushLevel::Sent, Duration::from_millis(50), done)).unwrap_err();
    assert!(late.status() == Status::Timeout && late.message().contains("spool"), "{late}");
    world.proxy.refuse(false);
    // What is written meanwhile keeps its place behind the rest.
    for number in points..points + 1000 {
        upstream.write(id, number as i64, &number.to_le_bytes()).unwrap();
    }
    wait(|done| upstream.flush(FlushLevel::Acknowledged, LIMIT, done)).unwrap();
    wait(|done| upstream.close(false, done)).unwrap();
    assert_eq!(world.reader.finish(points + 1000)["0"], points + 1000);
    assert_eq!(connection.spool().unwrap().1, 0);
}

#[test]
fn a_full_spool_refuses_or_drops_and_counts() {
    let (world, dir) = (World::new(), Dir::new());
    let limit = 1 << 20;
    let (connection, upstream) = world.source(&dir, limit, SpoolFull::Refuse);
    let id = upstream.data_id(DataId::new("0", "counter")).unwrap();
    world.outage();
    let mut written = 0_u64;
    let refusal = loop {
        match upstream.write(id, written as i64, &written.to_le_bytes()) {
            Ok(()) => written += 1,
            Err(status) => break status,
        }
    };
    assert_eq!(refusal, Status::WouldBlock);
    assert!(connection.spool().unwrap().1 <= limit + (64 << 10));
    world.proxy.refuse(false);
    wait(|done| upstream.close(false, done)).unwrap();
    assert_eq!(world.reader.finish(written)["0"], written);
    drop((upstream, connection));

    let (world, dir) = (World::new(), Dir::new());
    let (connection, upstream) = world.source(&dir, limit, SpoolFull::DropOldest);
    let id = upstream.data_id(DataId::new("gaps", "counter")).unwrap();
    world.outage();
    let written: u64 = 200_000;
    for number in 0..written {
        upstream.write(id, number as i64, &number.to_le_bytes()).unwrap();
    }
    let dropped = connection.spool().unwrap().0.dropped_points.load(Relaxed);
    assert!(dropped > 0);
    world.proxy.refuse(false);
    wait(|done| upstream.close(false, done)).unwrap();
    // Behind everything that the broker took before.
    let end = open_upstream(&connection, FlushPolicy::Immediate);
    end.write(end.data_id(DataId::new("end", "counter")).unwrap(), 0, &0_u64.to_le_bytes()).unwrap();
    // What was in memory already arrives although it was dropped on disk.
    let arrived = world.reader.read_up_to_end();
    assert!(arrived + dropped >= written && arrived < written, "{arrived} + {dropped} of {written}");
}

/// The number of the last point whose write returned, once the process is gone.
fn last_written(output: impl BufRead) -> Option<u64> {
    let lines = output.lines().map_while(Result::ok);
    let numbers = lines.filter_map(|line| line.strip_prefix("wrote ").and_then(|number| number.parse().ok()));
    numbers.last()
}

#[test]
fn what_a_killed_process_wrote_is_delivered_by_the_next_once() {
    let runs = if full() { 50 } else { 6 };
    let World { proxy, url, reader, _reader, _broker } = World::new();
    let dir = Dir::new();
    let mut random = Random(seed());
    let mut written = HashMap::new();
    for run in 0..runs {
        let mut child = start(&url, &dir.0, &run.to_string());
        let output = BufReader::new(child.stdout.take().unwrap());
        let output = thread::spawn(move || last_written(output));
        let before = proxy.accepted();
        let deadline = Instant::now() + LIMIT;
        while proxy.accepted() == before {
            assert!(Instant::now() < deadline, "run {run} does not connect");
            thread::sleep(Duration::from_millis(1));
        }
        thread::sleep(Duration::from_millis(50 + random.below(200)));
        let cut_off = random.below(2) == 0;
        if cut_off {
            // What is written from now on is on disk only.
            proxy.refuse(true);
            proxy.cut(Cut::Reset);
            thread::sleep(Duration::from_millis(random.below(300)));
        }
        child.kill().unwrap();
        child.wait().unwrap();
        proxy.refuse(false);
        if let Some(last) = output.join().unwrap() {
            written.insert(run.to_string(), last + 1);
        }
    }
    assert!(written.len() > runs / 2, "{written:?}");
    let drain = start(&url, &dir.0, "drain").wait_with_output().unwrap();
    let printed = String::from_utf8_lossy(&drain.stdout);
    assert!(drain.status.success() && printed.contains("drained"), "{printed}");

    let expected: u64 = written.values().sum();
    let read = reader.finish(expected);
    for (run, written) in &written {
        let read = read.get(run).copied().unwrap_or_default();
        assert!(read >= *written, "run {run}: {read} of {written} points arrived");
    }
    println!(
        "{runs} processes killed, {expected} points whose write had returned, all arrived once and in order"
    );
}
