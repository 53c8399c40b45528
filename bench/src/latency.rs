//! How long a point takes.

use std::time::{Duration, Instant};

use iscp::client::{DownstreamOptions, UpstreamOptions};
use iscp::core::{FlushLevel, FlushPolicy};
use iscp::message::{DataFilter, DataId, DownstreamFilter, Qos};

use crate::process::{self, connect, wait};
use crate::row;

/// Percentiles of a set of times, in microseconds.
pub(crate) struct Percentiles {
    pub(crate) p50: f64,
    pub(crate) p99: f64,
}

impl Percentiles {
    pub(crate) fn of(mut samples: Vec<Duration>) -> Self {
        samples.sort_unstable();
        let at = |share: f64| samples[((samples.len() - 1) as f64 * share) as usize].as_secs_f64() * 1e6;
        Self { p50: at(0.50), p99: at(0.99) }
    }

    fn print(&self, what: &str, against: f64) {
        row(&format!("{what}, p50"), &format!("{:.1} µs", self.p50), &format!("{:.2}x", self.p50 / against));
        row(&format!("{what}, p99"), &format!("{:.1} µs", self.p99), "");
    }
}

fn immediate() -> UpstreamOptions {
    let mut options = UpstreamOptions::default();
    options.config.qos = Qos::Reliable;
    options.config.flush_policy = FlushPolicy::Immediate;
    options.config.ack_interval = Duration::ZERO;
    options
}

/// From a write to the acknowledgement of its chunk.
pub(crate) fn write_to_ack(url: &str, count: i64, ping: &Percentiles) {
    let connection = connect(url, "bench");
    let upstream = wait(|done| connection.open_upstream(immediate(), done));
    let id = upstream.data_id(DataId::new("bench", "bytes")).expect("a data id");
    let samples = (0..count)
        .map(|i| {
            let start = Instant::now();
            upstream.write(id, i, &[7; 32]).expect("written");
            wait(|done| upstream.flush(FlushLevel::Acknowledged, process::LIMIT, done));
            start.elapsed()
        })
        .collect();
    Percentiles::of(samples).print("write to acknowledgement", ping.p50);
}

/// From a write to the same point read by another connection.
pub(crate) fn end_to_end(url: &str, count: i64, ping: &Percentiles) {
    let (source, reader) = (connect(url, "source"), connect(url, "reader"));
    let mut options = DownstreamOptions::default();
    options.config.qos = Qos::Reliable;
    options.config.filters = vec![DownstreamFilter {
        source_node_id: "source".to_owned(),
        data_filters: vec![DataFilter { name: "#".to_owned(), kind: "#".to_owned() }],
    }];
    let downstream = wait(|done| reader.open_downstream(options, done));
    let upstream = wait(|done| source.open_upstream(immediate(), done));
    let id = upstream.data_id(DataId::new("bench", "bytes")).expect("a data id");
    let samples = (0..count)
        .map(|i| {
            let start = Instant::now();
            upstream.write(id, i, &[7; 32]).expect("written");
            downstream.next_chunk(Some(process::LIMIT)).expect("a chunk");
            start.elapsed()
        })
        .collect();
    // One hop is half a round trip, and there are two.
    Percentiles::of(samples).print("end to end, against two hops", ping.p50);
}
