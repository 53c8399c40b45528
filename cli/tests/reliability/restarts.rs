//! Brokers that are stopped or killed, and started again.

use std::io::{BufRead, BufReader};
use std::net::TcpListener;
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::sync::{Arc, Mutex, mpsc};
use std::thread;
use std::time::{Duration, Instant};

use iscp::client::{ConnectOptions, Connection, StreamEvent};
use iscp::core::{FlushLevel, FlushPolicy};
use iscp::message::DataId;
use iscp_chaos::{Cut, Proxy};
use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use uuid::Uuid;

use crate::support::{
    LIMIT, Random, Reader, Writer, connect, downstream_options, full, resident_of, seed, upstream_options,
    wait,
};

/// The program `iscp broker`, on the same port each time.
pub(crate) struct Broker {
    port: u16,
    state: Option<PathBuf>,
    child: Child,
}

impl Broker {
    pub(crate) fn start(state: Option<PathBuf>) -> Self {
        let port = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
        let child = Self::spawn(port, state.as_ref());
        Self { port, state, child }
    }

    fn spawn(port: u16, state: Option<&PathBuf>) -> Child {
        let deadline = Instant::now() + LIMIT;
        loop {
            let mut command = Command::new(env!("CARGO_BIN_EXE_iscp"));
            command.args(["broker", "--ws", &format!("127.0.0.1:{port}")]).stdout(Stdio::piped());
            if let Some(state) = state {
                command.arg("--state").arg(state);
            }
            let mut child = command.spawn().unwrap();
            let mut line = String::new();
            BufReader::new(child.stdout.take().unwrap()).read_line(&mut line).unwrap();
            if line.starts_with("listening ") {
                return child;
            }
            // Somebody else's connection may have the port for a moment.
            child.wait().unwrap();
            assert!(Instant::now() < deadline, "the broker does not start on port {port}");
        }
    }

    fn address(&self) -> String {
        format!("127.0.0.1:{}", self.port)
    }

    pub(crate) fn options(&self) -> ConnectOptions {
        ConnectOptions { url: format!("ws://{}", self.address()), ..ConnectOptions::default() }
    }

    /// Resident memory in bytes.
    pub(crate) fn resident(&self) -> u64 {
        resident_of(&self.child.id().to_string())
    }

    /// Ends it in order, and starts it again.
    fn restart(&mut self) {
        let id = Pid::from_raw(self.child.id().cast_signed());
        kill(id, Signal::SIGTERM).unwrap();
        assert!(self.child.wait().unwrap().success());
        self.child = Self::spawn(self.port, self.state.as_ref());
    }

    fn kill(&mut self) {
        self.child.kill().unwrap();
        self.child.wait().unwrap();
    }

    fn start_again(&mut self) {
        self.child = Self::spawn(self.port, self.state.as_ref());
    }
}

impl Drop for Broker {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
        if let Some(state) = &self.state {
            let _ = std::fs::remove_file(state);
        }
    }
}

#[test]
fn a_broker_that_is_stopped_and_started_loses_nothing_and_repeats_nothing() {
    let rounds = if full() { 50 } else { 3 };
    let state = std::env::temp_dir().join(format!("iscp-state-{}", Uuid::new_v4()));
    let mut broker = Broker::start(Some(state));
    let source = connect(broker.options(), "source");
    let reader = connect(broker.options(), "reader");
    let readers: Vec<_> = (0..3).map(|_| Reader::start(&reader, "source")).collect();
    let writers: Vec<_> = (0..3).map(|number| Writer::start(&source, number)).collect();
    let mut random = Random(seed());
    for round in 0..rounds {
        let read: Vec<_> = readers.iter().map(Reader::read).collect();
        let deadline = Instant::now() + LIMIT;
        while !readers.iter().zip(&read).all(|(reader, read)| reader.read() > read + 1000) {
            assert!(Instant::now() < deadline, "round {round}: nothing arrives any more");
            thread::sleep(Duration::from_millis(1));
        }
        thread::sleep(Duration::from_millis(random.below(100)));
        broker.restart();
    }
    let written: Vec<_> = writers.into_iter().map(Writer::finish).collect();
    let total = written.iter().sum();
    for reader in readers {
        let read = reader.finish(total);
        for (number, written) in written.iter().enumerate() {
            assert_eq!(read.get(&number.to_string()), Some(written), "stream {number}");
        }
    }
    println!("{rounds} brokers stopped by SIGTERM: {total} points, each once and in order");
}

/// A point as it arrived: the stream, and its number.
type Arrived = (Uuid, u64);

fn collect(connection: &Connection, back: mpsc::Sender<()>) -> mpsc::Receiver<Arrived> {
    let mut options = downstream_options("source");
    options.config.reopen = true;
    options.on_event = Some(Box::new(move |_| {
        // Nobody wants to know once the test ends.
        let _ = back.send(());
    }));
    let downstream = wait(|done| connection.open_downstream(options, done)).unwrap();
    let (sender, arrived) = mpsc::channel();
    thread::spawn(move || {
        while let Ok(chunk) = downstream.next_chunk(None) {
            for point in chunk.groups.iter().flat_map(|group| group.points.iter()) {
                let number = u64::from_le_bytes(point.payload[..].try_into().unwrap());
                if sender.send((chunk.upstream.stream_id, number)).is_err() {
                    return;
                }
            }
        }
    });
    arrived
}

#[test]
fn what_a_killed_broker_had_not_acknowledged_is_sent_again() {
    let rounds = if full() { 50 } else { 3 };
    let mut broker = Broker::start(None);
    let (back, came_back) = mpsc::channel();
    let reader = connect(broker.options(), "reader");
    let arrived = collect(&reader, back);
    // The source is held back until the reader is there again: a broker keeps nothing for readers it does not know.
    let proxy = Proxy::tcp(broker.address()).unwrap();
    let url = format!("ws://{}", proxy.address());
    let source = connect(ConnectOptions { url, ..ConnectOptions::default() }, "source");
    let mut options = upstream_options(FlushPolicy::Immediate);
    options.config.reopen = true;
    let reopened = Arc::new(Mutex::new(Vec::new()));
    let told = reopened.clone();
    options.on_event = Some(Box::new(move |event| {
        if let StreamEvent::Reopened { former, stream_id } = event {
            told.lock().unwrap().push((former, stream_id));
        }
    }));
    let upstream = Arc::new(wait(|done| source.open_upstream(options, done)).unwrap());
    let acknowledged = Arc::new(AtomicU64::new(0));
    let (stop, stopped) = mpsc::channel::<()>();
    let (writing, known) = (upstream.clone(), acknowledged.clone());
    let writer = thread::spawn(move || {
        let id = writing.data_id(DataId::new("0", "counter")).unwrap();
        let mut next = 0_u64;
        while stopped.try_recv() == Err(mpsc::TryRecvError::Empty) {
            for _ in 0..20 {
                writing.write(id, next as i64, &next.to_le_bytes()).unwrap();
                next += 1;
            }
            wait(|done| writing.flush(FlushLevel::Acknowledged, LIMIT, done)).unwrap();
            known.store(next, Relaxed);
        }
        next
    });

    let mut random = Random(seed());
    let mut bounds = Vec::new();
    for round in 0..rounds {
        thread::sleep(Duration::from_millis(30 + random.below(100)));
        broker.kill();
        proxy.refuse(true);
        proxy.cut(Cut::Reset);
        // Points of the flush that was under way may be acknowledged without its having returned.
        bounds.push(acknowledged.load(Relaxed) + 20);
        while came_back.try_recv().is_ok() {}
        broker.start_again();
        came_back
            .recv_timeout(LIMIT)
            .unwrap_or_else(|_| panic!("round {round}: the reader does not come back"));
        proxy.refuse(false);
        let before = acknowledged.load(Relaxed);
        let deadline = Instant::now() + LIMIT;
        while acknowledged.load(Relaxed) == before {
            assert!(Instant::now() < deadline, "round {round}: the source does not come back");
            thread::sleep(Duration::from_millis(1));
        }
    }
    stop.send(()).unwrap();
    let written = writer.join().unwrap();
    wait(|done| upstream.close(false, done)).unwrap();

    let (mut lost, mut twice, mut next, mut streams) = (0, 0, 0, Vec::<Uuid>::new());
    while next < written {
        let (stream, number) = arrived.recv_timeout(LIMIT).expect("what was written last");
        if streams.last() != Some(&stream) {
            if !streams.is_empty() {
                let bound = bounds[streams.len() - 1];
                assert!(
                    number <= bound,
                    "point {number} is the first to be sent again, {bound} were acknowledged"
                );
            }
            streams.push(stream);
            lost += number.saturating_sub(next);
            twice += next.saturating_sub(number);
            next = number;
        }
        assert_eq!(number, next, "in order within a stream");
        next += 1;
    }
    let events = reopened.lock().unwrap().clone();
    assert_eq!(events, streams.windows(2).map(|pair| (pair[0], pair[1])).collect::<Vec<_>>());
    println!(
        "{rounds} brokers killed: of {written} points {lost} were acknowledged and not yet delivered, {twice} delivered \
         and not yet acknowledged"
    );
}
