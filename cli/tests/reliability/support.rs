//! Streams of numbered points, and readers that miss nothing.

use std::collections::HashMap;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering::Relaxed};
use std::sync::{Arc, Mutex};
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

use iscp::client::{
    Completion, ConnectOptions, Connection, Downstream, DownstreamOptions, FullPolicy, Upstream,
    UpstreamOptions,
};
use iscp::core::{FlushPolicy, UpstreamEnd};
use iscp::error::{Error, Result, Status};
use iscp::message::{DataFilter, DataId, DownstreamFilter, Qos};

/// Nothing takes nearly as long, outages included.
pub(crate) const LIMIT: Duration = Duration::from_secs(120);

/// Whether the long runs are wanted.
pub(crate) fn full() -> bool {
    std::env::var("ISCP_RELIABILITY").is_ok_and(|value| value == "full")
}

/// Decides what goes wrong and when.
pub(crate) fn seed() -> u64 {
    std::env::var("ISCP_RELIABILITY_SEED").map_or(1, |seed| seed.parse().expect("a number"))
}

/// Numbers that look random, the same for the same seed (SplitMix64).
pub(crate) struct Random(pub(crate) u64);

impl Random {
    /// A number below `limit`.
    pub(crate) fn below(&mut self, limit: u64) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        (z ^ (z >> 31)) % limit
    }
}

pub(crate) fn wait<T: Send + 'static>(start: impl FnOnce(Completion<T>) -> Result<()>) -> Result<T> {
    let (done, waiter) = Completion::waiter()?;
    start(done)?;
    waiter.wait(Some(LIMIT))
}

/// Connects with keep-alive intervals that find silent connections as soon as the protocol can.
pub(crate) fn connect(mut options: ConnectOptions, node: &str) -> Connection {
    options.config.node_id = node.to_owned();
    options.config.ping_interval = Duration::from_secs(1);
    options.config.ping_timeout = Duration::from_secs(1);
    Connection::connect_wait(options, Some(LIMIT)).unwrap()
}

/// Options of a RELIABLE upstream.
pub(crate) fn upstream_options(flush_policy: FlushPolicy) -> UpstreamOptions {
    let mut options = UpstreamOptions { full: FullPolicy::Block(LIMIT), ..UpstreamOptions::default() };
    options.config.qos = Qos::Reliable;
    options.config.session_id = "session".to_owned();
    options.config.flush_policy = flush_policy;
    options.config.ack_interval = Duration::from_millis(10);
    options.config.close_timeout = LIMIT;
    options
}

/// Opens a RELIABLE upstream.
pub(crate) fn open_upstream(connection: &Connection, flush_policy: FlushPolicy) -> Upstream {
    wait(|done| connection.open_upstream(upstream_options(flush_policy), done)).unwrap()
}

/// A thread that writes numbered points until it is told to stop.
pub(crate) struct Writer {
    pub(crate) upstream: Arc<Upstream>,
    stop: Arc<AtomicBool>,
    thread: JoinHandle<u64>,
    end: Arc<Mutex<Option<UpstreamEnd>>>,
}

impl Writer {
    /// Opens an upstream with the number `number` and writes to it.
    pub(crate) fn start(connection: &Connection, number: usize) -> Self {
        let mut options = upstream_options(FlushPolicy::Interval(Duration::from_millis(5)));
        let end = Arc::new(Mutex::new(None));
        let told = end.clone();
        options.on_closed = Some(Box::new(move |end| *told.lock().unwrap() = Some(end)));
        let upstream = Arc::new(wait(|done| connection.open_upstream(options, done)).unwrap());
        let stop = Arc::new(AtomicBool::new(false));
        let (stopped, writing) = (stop.clone(), upstream.clone());
        let thread = thread::spawn(move || {
            let id = writing.data_id(DataId::new(number.to_string(), "counter")).unwrap();
            let mut next = 0_u64;
            while !stopped.load(Relaxed) {
                for _ in 0..20 {
                    writing.write(id, next as i64, &next.to_le_bytes()).unwrap();
                    next += 1;
                }
                // Not faster than what a machine under test can verify.
                thread::sleep(Duration::from_millis(1));
            }
            next
        });
        Self { upstream, stop, thread, end }
    }

    /// Stops writing and closes the stream, which delivers everything. Returns how many points it wrote.
    pub(crate) fn finish(self) -> u64 {
        self.stop.store(true, Relaxed);
        let written = self.thread.join().unwrap();
        wait(|done| self.upstream.close(false, done)).unwrap();
        let deadline = Instant::now() + LIMIT;
        while self.end.lock().unwrap().is_none() {
            assert!(Instant::now() < deadline, "no end is told");
            thread::sleep(Duration::from_millis(1));
        }
        let end = self.end.lock().unwrap().take().unwrap();
        assert_eq!((end.error, end.undelivered_points), (None, 0));
        written
    }
}

/// Options of a RELIABLE downstream for everything of the node `source`.
pub(crate) fn downstream_options(source: &str) -> DownstreamOptions {
    let mut options = DownstreamOptions::default();
    options.config.qos = Qos::Reliable;
    options.config.ack_interval = Duration::from_millis(10);
    options.config.filters = vec![DownstreamFilter {
        source_node_id: source.to_owned(),
        data_filters: vec![DataFilter { name: "#".to_owned(), kind: "#".to_owned() }],
    }];
    options
}

/// A thread that reads numbered points and checks that each comes once and in order.
pub(crate) struct Reader {
    stop: Arc<AtomicBool>,
    read: Arc<AtomicU64>,
    ended: Arc<AtomicBool>,
    thread: JoinHandle<HashMap<String, u64>>,
}

impl Reader {
    /// Opens a downstream for everything of the node `source` and reads from it.
    pub(crate) fn start(connection: &Connection, source: &str) -> Self {
        let mut options = downstream_options(source);
        let why: Arc<Mutex<Option<Error>>> = Arc::default();
        let told = why.clone();
        options.on_closed = Some(Box::new(move |error| *told.lock().unwrap() = error));
        let downstream: Downstream = wait(|done| connection.open_downstream(options, done)).unwrap();
        let (stop, read) = (Arc::new(AtomicBool::new(false)), Arc::new(AtomicU64::new(0)));
        let ended = Arc::new(AtomicBool::new(false));
        let (stopped, count, end) = (stop.clone(), read.clone(), ended.clone());
        let thread = thread::spawn(move || {
            let mut next: HashMap<String, u64> = HashMap::new();
            while !stopped.load(Relaxed) {
                let chunk = match downstream.next_chunk(Some(Duration::from_millis(100))) {
                    Ok(chunk) => chunk,
                    Err(error) if error.status() == Status::Timeout => continue,
                    Err(error) => panic!("{error}: {:?}", why.lock().unwrap()),
                };
                for group in &chunk.groups {
                    // Where points were given up there may be gaps, and nothing else.
                    let gaps = group.data_id.name == "gaps";
                    let next = next.entry(group.data_id.name.clone()).or_default();
                    for point in group.points.iter() {
                        let number = u64::from_le_bytes(point.payload[..].try_into().unwrap());
                        let place = (&group.data_id.name, chunk.sequence_number);
                        assert!(
                            number == *next || (gaps && number > *next),
                            "{number}, not {next}: {place:?}"
                        );
                        assert_eq!(point.elapsed_time, number as i64);
                        *next = number + 1;
                        count.fetch_add(1, Relaxed);
                    }
                    end.fetch_or(group.data_id.name == "end", Relaxed);
                }
            }
            next
        });
        Self { stop, read, ended, thread }
    }

    /// Points read so far.
    pub(crate) fn read(&self) -> u64 {
        self.read.load(Relaxed)
    }

    /// Waits for the point 0 of the stream `end`. Returns how many points came before it.
    pub(crate) fn read_up_to_end(&self) -> u64 {
        let deadline = Instant::now() + LIMIT;
        while !self.ended.load(Relaxed) {
            assert!(Instant::now() < deadline, "no end arrived");
            thread::sleep(Duration::from_millis(1));
        }
        self.read() - 1
    }

    /// Waits until `expected` points of all streams together are read. Returns how many of each.
    pub(crate) fn finish(self, expected: u64) -> HashMap<String, u64> {
        let deadline = Instant::now() + LIMIT;
        while self.read() < expected && !self.thread.is_finished() {
            assert!(Instant::now() < deadline, "{} of {expected} points arrived", self.read());
            thread::sleep(Duration::from_millis(5));
        }
        self.stop.store(true, Relaxed);
        self.thread.join().unwrap()
    }
}

/// Resident memory of the process in bytes.
pub(crate) fn resident() -> u64 {
    resident_of("self")
}

/// Resident memory of another process.
pub(crate) fn resident_of(process: &str) -> u64 {
    status(process, "VmRSS:")
}

/// The most it was so far.
pub(crate) fn most_resident() -> u64 {
    status("self", "VmHWM:")
}

fn status(process: &str, field: &str) -> u64 {
    let status = std::fs::read_to_string(format!("/proc/{process}/status")).unwrap();
    let line = status.lines().find_map(|line| line.strip_prefix(field)).unwrap();
    line.trim().trim_end_matches(" kB").parse::<u64>().unwrap() << 10
}

/// Threads and open descriptors of the process.
pub(crate) fn threads_and_descriptors() -> (usize, usize) {
    let count = |path: &str| std::fs::read_dir(path).unwrap().count();
    (count("/proc/self/task"), count("/proc/self/fd"))
}
