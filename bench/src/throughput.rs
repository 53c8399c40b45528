//! Points and bytes a second, and what a point costs.

use std::time::Instant;

use iscp::client::{Upstream, UpstreamOptions};
use iscp::core::{FlushLevel, FlushPolicy};
use iscp::message::{DataId, Qos};

use crate::counting::allocations;
use crate::process::{self, connect, wait};
use crate::row;

fn open(url: &str, adjust: impl FnOnce(&mut UpstreamOptions)) -> Upstream {
    let connection = connect(url, "bench");
    let mut options = UpstreamOptions::default();
    options.config.qos = Qos::Reliable;
    options.full = iscp::client::FullPolicy::Block(process::LIMIT);
    adjust(&mut options);
    wait(|done| connection.open_upstream(options, done))
}

fn finish(upstream: &Upstream) {
    wait(|done| upstream.flush(FlushLevel::Acknowledged, process::LIMIT, done));
}

/// What one write costs the caller: time at the median of batches, and allocations.
pub(crate) fn write_cost(url: &str, lock: f64) {
    const BATCH: i64 = 1000;
    let upstream = open(url, |options| {
        options.config.flush_policy = FlushPolicy::Size(200_000);
        options.config.buffer_limit = 64 << 20;
    });
    let id = upstream.data_id(DataId::new("bench", "bytes")).expect("a data id");
    let mut batches = Vec::new();
    let mut quiet = 0;
    for batch in 0..2000 {
        let (start, before) = (Instant::now(), allocations());
        for i in 0..BATCH {
            upstream.write(id, batch * BATCH + i, &[7; 32]).expect("written");
        }
        batches.push(start.elapsed().as_secs_f64() / BATCH as f64);
        quiet += u32::from(allocations() == before);
    }
    finish(&upstream);
    batches.sort_by(f64::total_cmp);
    let median = batches[batches.len() / 2];
    row(
        "write by handle, median",
        &format!("{:.1} ns", median * 1e9),
        &format!("{:.2}x lock", median / lock),
    );
    row("batches of 1000 writes without any allocation", &format!("{:.1} %", f64::from(quiet) / 20.0), "");
}

/// CPU from call to acknowledgement, and points a second.
pub(crate) fn points(url: &str, size: usize, count: i64, lock: f64) {
    let upstream = open(url, |_| {});
    let id = upstream.data_id(DataId::new("bench", "bytes")).expect("a data id");
    let payload = vec![7; size];
    let (start, cpu, before) = (Instant::now(), process::cpu_seconds(), allocations());
    for i in 0..count {
        upstream.write(id, i, &payload).expect("written");
    }
    finish(&upstream);
    let per_point = (process::cpu_seconds() - cpu) / count as f64;
    let rate = count as f64 / start.elapsed().as_secs_f64();
    let what = format!("{size}-byte points, one call each, acknowledged");
    row(
        &format!("{what}: CPU"),
        &format!("{:.4} µs", per_point * 1e6),
        &format!("{:.2}x lock", per_point / lock),
    );
    row(&format!("{what}: rate"), &format!("{:.2} M/s", rate / 1e6), "");
    let each = (allocations() - before) as f64 / count as f64;
    row(&format!("{what}: allocations"), &format!("{each:.4}"), "per point");
}

/// Payload bytes a second with large payloads.
pub(crate) fn large(url: &str, size: usize, count: usize, bare: f64) {
    let upstream = open(url, |_| {});
    let id = upstream.data_id(DataId::new("bench", "bytes")).expect("a data id");
    let payload = vec![7; size];
    let start = Instant::now();
    for i in 0..count {
        upstream.write(id, i as i64, &payload).expect("written");
    }
    finish(&upstream);
    let rate = (size * count) as f64 / start.elapsed().as_secs_f64();
    row(
        "64 KiB payloads, acknowledged",
        &format!("{:.0} MB/s", rate / 1e6),
        &format!("{:.2}x bare", rate / bare),
    );
}
