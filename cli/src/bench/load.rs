//! Writing points as fast as asked for.

use std::sync::Arc;
use std::sync::atomic::Ordering::Relaxed;
use std::sync::atomic::{AtomicBool, AtomicU64};
use std::thread;
use std::time::{Duration, Instant};

use hdrhistogram::Histogram;
use iscp::client::{Completion, FullPolicy, Upstream, UpstreamOptions};
use iscp::core::{DataIdIndex, FlushLevel, UpstreamConfig};
use iscp::error::{Error, Status};
use iscp::message::DataId;

use super::{BenchArgs, STALL_LIMIT, histogram, nanoseconds_since};
use crate::client::Client;
use crate::failure::Failure;

/// Bytes of points that may wait to be sent.
const BUFFER_LIMIT: usize = 32 << 20;

/// How long a write waits for space before it looks around.
const WRITE_WAIT: Duration = Duration::from_millis(250);

/// How far ahead of its time a point may be written: a shorter wait would be longer than asked for.
const EARLY: Duration = Duration::from_micros(100);

/// How many points are written between two looks at the clock, when nothing else asks for it.
const STRIDE: u64 = 64;

/// What every connection is to write.
pub(super) struct Load {
    pub(super) points: Option<u64>,
    pub(super) seconds: Duration,
    pub(super) rate: Option<u32>,
    pub(super) payload: Vec<u8>,
    /// Whether each point is acknowledged before the next is written.
    pub(super) one_by_one: bool,
    /// Origin of the elapsed times.
    pub(super) start: Instant,
}

/// Bytes that do not compress, the same in every run.
pub(super) fn payload(length: usize) -> Vec<u8> {
    let mut state = 0x9e37_79b9_7f4a_7c15_u64;
    let random = std::iter::repeat_with(|| {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        state.to_le_bytes()
    });
    random.flatten().take(length).collect()
}

/// An upstream, and what it is to write.
#[derive(Clone)]
pub(super) struct Writer {
    upstream: Arc<Upstream>,
    ids: Arc<[DataIdIndex]>,
    load: Arc<Load>,
    written: Arc<AtomicU64>,
    url: Arc<str>,
}

impl Writer {
    /// `None` when a signal came first.
    pub(super) fn open(
        client: &Client<'_>,
        args: &BenchArgs,
        load: Arc<Load>,
    ) -> Result<Option<Self>, Failure> {
        let data_ids: Vec<_> = (1..=args.ids).map(|id| DataId::new(format!("bench/{id}"), "bytes")).collect();
        let mut config = UpstreamConfig {
            session_id: args.session.clone(),
            qos: args.stream.qos.into(),
            data_ids: data_ids.clone(),
            buffer_limit: BUFFER_LIMIT,
            ..UpstreamConfig::default()
        };
        config.flush_policy = args.flush.unwrap_or(config.flush_policy);
        if load.one_by_one {
            // The server need not wait for others to acknowledge with them.
            config.ack_interval = Duration::ZERO;
        }
        let options =
            UpstreamOptions { config, full: FullPolicy::Block(WRITE_WAIT), ..UpstreamOptions::default() };
        let Some(upstream) = client.wait(|done| client.connection.open_upstream(options, done))? else {
            return Ok(None);
        };
        let ids: Result<Arc<[_]>, Error> = data_ids.into_iter().map(|id| upstream.data_id(id)).collect();
        Ok(Some(Self {
            upstream: Arc::new(upstream),
            ids: ids.map_err(|error| client.failure(&error))?,
            load,
            written: Arc::default(),
            url: client.connection.url().into(),
        }))
    }

    /// Points written so far.
    pub(super) fn written(&self) -> u64 {
        self.written.load(Relaxed)
    }

    /// Writes everything from `begun` on, or until `stop`, and waits until it is acknowledged. Returns how long each
    /// point took, if they were written one by one.
    pub(super) fn run(&self, begun: Instant, stop: &AtomicBool) -> Result<Histogram<u64>, Failure> {
        let load = &*self.load;
        let mut times = histogram();
        // A look at the clock costs as much as a write.
        let stride = if load.rate.is_some() || load.one_by_one { 1 } else { STRIDE };
        let mut elapsed = nanoseconds_since(load.start);
        let mut count = 0;
        while !stop.load(Relaxed) && load.points.is_none_or(|points| count < points) {
            if count % stride == 0 {
                if load.points.is_none() && begun.elapsed() >= load.seconds {
                    break;
                }
                if let Some(rate) = load.rate {
                    wait_until(begun + Duration::from_nanos(count * 1_000_000_000 / u64::from(rate)));
                }
                elapsed = nanoseconds_since(load.start);
            }
            let written_at = load.one_by_one.then(Instant::now);
            if !self.write(count, elapsed, stop)? {
                break;
            }
            count += 1;
            self.written.store(count, Relaxed);
            if let Some(written_at) = written_at {
                self.flush(STALL_LIMIT).map_err(|error| self.failure(&error))?;
                times.saturating_record(u64::try_from(written_at.elapsed().as_nanos()).unwrap_or(u64::MAX));
            }
        }
        self.finish()?;
        Ok(times)
    }

    /// Writes a point; false when `stop` came first.
    fn write(&self, number: u64, elapsed: i64, stop: &AtomicBool) -> Result<bool, Failure> {
        let ids = self.ids.len() as u64;
        let id = self.ids[usize::try_from(number % ids).unwrap_or_default()];
        loop {
            match self.upstream.write(id, elapsed, &self.load.payload) {
                Ok(()) => return Ok(true),
                Err(Status::Timeout | Status::WouldBlock) if stop.load(Relaxed) => return Ok(false),
                Err(Status::Timeout | Status::WouldBlock) => {}
                Err(status) => return Err(self.failure(&Error::new(status, status.text()))),
            }
        }
    }

    /// Waits until everything is acknowledged, as long as it goes forward.
    fn finish(&self) -> Result<(), Failure> {
        loop {
            let before = self.outstanding();
            match self.flush(STALL_LIMIT) {
                Ok(()) => return Ok(()),
                Err(error) if error.status() == Status::Timeout && self.outstanding() != before => {}
                Err(error) => return Err(self.failure(&error)),
            }
        }
    }

    fn flush(&self, timeout: Duration) -> Result<(), Error> {
        let (done, waiter) = Completion::waiter()?;
        self.upstream.flush(FlushLevel::Acknowledged, timeout, done)?;
        waiter.wait(None)
    }

    fn outstanding(&self) -> (u64, u64) {
        let counters = self.upstream.counters();
        (counters.total_points.load(Relaxed), counters.in_flight_bytes.load(Relaxed))
    }

    fn failure(&self, error: &Error) -> Failure {
        Failure::new(format!("{}: {error}", self.url))
    }
}

fn wait_until(due: Instant) {
    let left = due.saturating_duration_since(Instant::now());
    if left > EARLY {
        thread::sleep(left);
    }
}
