//! Clocks, pace and results, as `../../common` has them for the workers in C.

use std::thread;
use std::time::{Duration, Instant};

use bytes::Bytes;
use serde::Serialize;

use crate::Failure;

/// User and system time of the process so far, seconds.
pub(crate) fn cpu_s() -> f64 {
    let mut usage = std::mem::MaybeUninit::<libc::rusage>::zeroed();
    // SAFETY: the pointer is to memory for the result, which the call fills; zeroes are one already.
    let usage = unsafe {
        libc::getrusage(libc::RUSAGE_SELF, usage.as_mut_ptr());
        usage.assume_init()
    };
    let seconds = |time: libc::timeval| time.tv_sec as f64 + time.tv_usec as f64 / 1e6;
    seconds(usage.ru_utime) + seconds(usage.ru_stime)
}

fn status_kb(field: &str) -> Result<u64, Failure> {
    let status = std::fs::read_to_string("/proc/self/status")?;
    let line = status.lines().find_map(|line| line.strip_prefix(field));
    let kb = line.and_then(|line| line.trim().trim_end_matches(" kB").parse().ok());
    kb.ok_or_else(|| format!("/proc/self/status has no {field}").into())
}

/// Resident memory of the process now, KiB.
pub(crate) fn rss_now_kb() -> Result<u64, Failure> {
    status_kb("VmRSS:")
}

/// The most resident memory there was, KiB.
pub(crate) fn rss_peak_kb() -> Result<u64, Failure> {
    status_kb("VmHWM:")
}

/// Bytes of a point: the same in every worker, so that compression has the same work.
pub(crate) fn payload(size: usize) -> Bytes {
    let mut state = 1_u32;
    (0..size)
        .map(|_| {
            // The generator of the C standard's example: nothing in the payload repeats.
            state = state.wrapping_mul(1_103_515_245).wrapping_add(12345);
            (state >> 16) as u8
        })
        .collect()
}

/// When the points of a given rate are due.
pub(crate) struct Pacer {
    start: Instant,
    rate: f64,
    next: u64,
}

impl Pacer {
    /// `rate`: points per second; 0 makes every point due at once.
    pub(crate) fn start(rate: f64) -> Self {
        Self { start: Instant::now(), rate, next: 0 }
    }

    /// Waits until the next point is due, and returns its time stamp: the time of the return, or, when a call of
    /// the client held the publisher up beyond it, the time when the point was due ("coordinated omission").
    ///
    /// The thread sleeps rather than the task: the timers of the runtime are of milliseconds. It is the main thread,
    /// on which nothing else runs.
    pub(crate) fn wait(&mut self) -> Instant {
        let now = Instant::now();
        if self.rate == 0.0 {
            return now;
        }
        let due = self.start + Duration::from_secs_f64(self.next as f64 / self.rate);
        self.next += 1;
        if due <= now {
            return due;
        }
        thread::sleep(due - now);
        Instant::now()
    }
}

#[derive(Serialize)]
pub(crate) struct Latencies {
    points: usize,
    p50_us: f64,
    p99_us: f64,
    p99_9_us: f64,
    histogram_us: Vec<(f64, usize)>,
    #[serde(skip_serializing_if = "Option::is_none")]
    lost: Option<u64>,
}

impl Latencies {
    /// Of every latency measured, so that the percentiles are exact.
    pub(crate) fn of(mut all: Vec<Duration>, lost: Option<u64>) -> Result<Self, Failure> {
        if all.is_empty() {
            return Err("no point came through".into());
        }
        all.sort_unstable();
        let us = |latency: Duration| latency.as_nanos() as f64 / 1e3;
        let percentile = |part: f64| {
            let rank = (part * all.len() as f64).ceil() as usize;
            us(all[rank.saturating_sub(1)])
        };
        // Bounds that divide every power of ten into 40 parts, from 0.1 µs on.
        let mut histogram_us = Vec::new();
        let mut rest = &all[..];
        for bucket in 0.. {
            let bound = 0.1 * 10_f64.powf(f64::from(bucket) / 40.0);
            let (below, above) = rest.split_at(rest.partition_point(|&latency| us(latency) <= bound));
            if !below.is_empty() {
                histogram_us.push(((bound * 1e3).round() / 1e3, below.len()));
            }
            rest = above;
            if rest.is_empty() {
                break;
            }
        }
        Ok(Self {
            points: all.len(),
            p50_us: percentile(0.5),
            p99_us: percentile(0.99),
            p99_9_us: percentile(0.999),
            histogram_us,
            lost,
        })
    }
}

pub(crate) fn print(result: &impl Serialize) -> Result<(), Failure> {
    println!("{}", serde_json::to_string(result).map_err(|error| error.to_string())?);
    Ok(())
}
