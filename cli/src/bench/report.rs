//! What was measured, for people and for programs.

use std::io::{self, Write};
use std::time::Duration;

use hdrhistogram::Histogram;
use iscp::error::Error;
use iscp::transport::redacted;
use serde_json::{Value, json};

use super::{BenchArgs, Mode, name_of};
use crate::args::QosArg;
use crate::failure::Failure;

/// The percentiles that are reported.
const PERCENTILES: [(&str, f64); 4] = [("p50", 50.0), ("p90", 90.0), ("p99", 99.0), ("p99_9", 99.9)];

/// The result of a run.
pub(super) struct Report {
    mode: Mode,
    url: String,
    qos: QosArg,
    connections: u32,
    ids: u32,
    payload: u32,
    written: u64,
    /// Points that readers got, if there were readers.
    received: Option<u64>,
    /// Why one of the readers got no more.
    ended: Option<Error>,
    elapsed: Duration,
    cpu: Duration,
    latency: Histogram<u64>,
}

impl Report {
    pub(super) fn new(
        args: &BenchArgs,
        written: u64,
        (received, ended): (Option<u64>, Option<Error>),
        elapsed: Duration,
        cpu: Duration,
        latency: Histogram<u64>,
    ) -> Self {
        Self {
            mode: args.mode,
            url: redacted(&args.connect.url).into_owned(),
            qos: args.stream.qos,
            connections: args.connections,
            ids: args.ids,
            payload: args.payload,
            written,
            received,
            ended,
            elapsed,
            cpu,
            latency,
        }
    }

    /// Points that got where they should.
    fn arrived(&self) -> u64 {
        self.received.unwrap_or(self.written)
    }

    fn per_second(&self) -> f64 {
        self.arrived() as f64 / self.elapsed.as_secs_f64().max(f64::EPSILON)
    }

    fn bytes_per_second(&self) -> f64 {
        self.per_second() * f64::from(self.payload)
    }

    fn cpu_per_point(&self) -> f64 {
        self.cpu.as_secs_f64() * 1e6 / self.written.max(1) as f64
    }

    fn lost(&self) -> u64 {
        self.written.saturating_sub(self.arrived())
    }

    fn microseconds(&self, percentile: f64) -> f64 {
        self.latency.value_at_percentile(percentile) as f64 / 1e3
    }

    pub(super) fn print(&self, json: bool) -> io::Result<()> {
        let mut output = io::stdout().lock();
        if json {
            writeln!(output, "{}", self.json())?;
        } else {
            for (what, value) in self.rows() {
                writeln!(output, "{what:<32} {value:>16}")?;
            }
        }
        output.flush()
    }

    fn rows(&self) -> Vec<(String, String)> {
        let mut rows = vec![
            ("points written".to_owned(), self.written.to_string()),
            match self.received {
                Some(received) => ("points received".to_owned(), received.to_string()),
                None => ("points acknowledged".to_owned(), self.written.to_string()),
            },
            ("points lost".to_owned(), self.lost().to_string()),
            ("seconds".to_owned(), format!("{:.3}", self.elapsed.as_secs_f64())),
            ("points a second".to_owned(), format!("{:.0}", self.per_second())),
            ("payload, MB a second".to_owned(), format!("{:.2}", self.bytes_per_second() / 1e6)),
            ("CPU of this process, µs a point".to_owned(), format!("{:.3}", self.cpu_per_point())),
        ];
        if !self.latency.is_empty() {
            let times = PERCENTILES.iter().map(|(name, percentile)| {
                let name = name.replace('_', ".");
                (format!("latency {name}, µs"), format!("{:.1}", self.microseconds(*percentile)))
            });
            rows.extend(times);
            let most = self.latency.max() as f64 / 1e3;
            rows.push(("latency max, µs".to_owned(), format!("{most:.1}")));
        }
        rows
    }

    fn json(&self) -> Value {
        let mut object = json!({
            "mode": name_of(self.mode),
            "url": self.url,
            "qos": name_of(self.qos),
            "connections": self.connections,
            "ids": self.ids,
            "payload_bytes": self.payload,
            "points_written": self.written,
            "points_lost": self.lost(),
            "seconds": self.elapsed.as_secs_f64(),
            "points_per_second": self.per_second(),
            "bytes_per_second": self.bytes_per_second(),
            "cpu_us_per_point": self.cpu_per_point(),
        });
        let arrived = if self.received.is_some() { "points_received" } else { "points_acknowledged" };
        object[arrived] = self.arrived().into();
        if !self.latency.is_empty() {
            for (name, percentile) in PERCENTILES {
                object["latency_us"][name] = self.microseconds(percentile).into();
            }
            object["latency_us"]["max"] = (self.latency.max() as f64 / 1e3).into();
        }
        object
    }

    /// What was lost of a RELIABLE stream is a failure.
    pub(super) fn verdict(&self) -> Result<(), Failure> {
        match self.lost() {
            lost @ 1.. if self.qos == QosArg::Reliable => {
                let why = self.ended.as_ref().map(|error| format!(": a reader was ended, {error}"));
                let why = why.unwrap_or_default();
                Err(Failure::new(format!("{}: {lost} points of {} were lost{why}", self.url, self.written)))
            }
            _ => Ok(()),
        }
    }
}
