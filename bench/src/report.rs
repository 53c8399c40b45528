//! The results, as they are written to `latest.json`.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use crate::machine::Machine;
use crate::stats::Summary;

/// Everything that a run found out.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub(crate) struct Report {
    /// When, in UTC.
    pub(crate) created: String,
    /// `full`, `quick` or `smoke`.
    pub(crate) extent: String,
    /// Runs of each measurement.
    pub(crate) runs: u32,
    /// How long it all took.
    pub(crate) seconds: f64,
    pub(crate) machine: Machine,
    /// Versions of clients, by key, and of brokers, by name.
    pub(crate) versions: BTreeMap<String, String>,
    pub(crate) targets: Vec<Verdict>,
    pub(crate) cells: Vec<Cell>,
    /// Bytes of files.
    pub(crate) sizes: BTreeMap<String, u64>,
}

/// One client in one workload.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub(crate) struct Cell {
    pub(crate) case: String,
    pub(crate) peer: String,
    pub(crate) outcome: Outcome,
    /// Points of a run; connections where these are what is counted.
    pub(crate) points: u64,
    /// What was measured, over all runs.
    pub(crate) metrics: BTreeMap<String, Summary>,
    /// Latencies of all runs together: upper bounds in microseconds, and how many are below and above the one before.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub(crate) histogram: Vec<(f64, u64)>,
}

/// Whether a client took part.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum Outcome {
    Done,
    NotRun(String),
    Failed(String),
}

/// A target of the design beside what was measured.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub(crate) struct Verdict {
    pub(crate) target: String,
    pub(crate) demand: String,
    /// None when what it needs was not measured.
    pub(crate) measured: Option<String>,
    pub(crate) met: Option<bool>,
}

impl Report {
    pub(crate) fn cell(&self, case: &str, peer: &str) -> Option<&Cell> {
        self.cells.iter().find(|cell| cell.case == case && cell.peer == peer)
    }

    /// Over all runs, when the client took part.
    pub(crate) fn summary(&self, case: &str, peer: &str, metric: &str) -> Option<Summary> {
        self.cell(case, peer)?.metrics.get(metric).copied()
    }

    pub(crate) fn median(&self, case: &str, peer: &str, metric: &str) -> Option<f64> {
        self.summary(case, peer, metric).map(|summary| summary.median)
    }
}
