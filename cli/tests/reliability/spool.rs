//! Processes that are killed, and deliver what they had written when they are started again.

use std::collections::HashMap;
use std::io::{BufRead, BufReader, Write};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::mpsc;
use std::thread;
use std::time::{Duration, Instant};

use iscp::client::{ConnectOptions, SpoolOptions};
use iscp::core::FlushPolicy;
use iscp::transport::Scheme;
use iscp_broker::{Listener, Server, ServerConfig};
use iscp_chaos::{Cut, Proxy};

use crate::support::{LIMIT, Random, Reader, connect, full, open_upstream, seed};
use iscp::message::DataId;

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

/// The number of the last point whose write returned, once the process is gone.
fn last_written(output: impl BufRead) -> Option<u64> {
    let lines = output.lines().map_while(Result::ok);
    let numbers = lines.filter_map(|line| line.strip_prefix("wrote ").and_then(|number| number.parse().ok()));
    numbers.last()
}

#[test]
fn what_a_killed_process_wrote_is_delivered_by_the_next_once() {
    let runs = if full() { 50 } else { 6 };
    let broker = Server::start(ServerConfig {
        listeners: vec![Listener::new(Scheme::Ws, ([127, 0, 0, 1], 0))],
        ..ServerConfig::default()
    })
    .unwrap();
    let address = broker.address(Scheme::Ws).unwrap().to_string();
    let proxy = Proxy::tcp(address.clone()).unwrap();
    let url = broker.url(Scheme::Ws).replace(&address, &proxy.address().to_string());
    let reader =
        connect(ConnectOptions { url: broker.url(Scheme::Ws), ..ConnectOptions::default() }, "reader");
    let reader = Reader::start(&reader, "source");
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
