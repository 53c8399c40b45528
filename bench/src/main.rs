//! The benchmark: starts servers and workers, measures them in turns, and writes what came of it.
//!
//! bench/README.md says what is measured and how to read it.

mod catalogue;
mod machine;
mod markdown;
mod plots;
mod progress;
mod report;
mod run;
mod server;
mod stats;
mod targets;
mod worker;

use std::collections::BTreeMap;
use std::error::Error;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::time::{Instant, SystemTime};

use clap::{Parser, ValueEnum};

use crate::catalogue::CASES;
use crate::report::{Outcome, Report};

/// Measures libiscp beside other clients and bare sockets.
#[derive(Debug, Parser)]
struct Args {
    /// Directory with the programs, as bench/build.sh makes it.
    #[arg(long, value_name = "DIR", default_value = "build/bench/bin")]
    programs: PathBuf,
    /// Script that starts the servers of other clients.
    #[arg(long, value_name = "FILE", default_value = "bench/peers/server.sh")]
    server_script: PathBuf,
    /// Sizes of built files, as bench/sizes.sh writes them.
    #[arg(long, value_name = "FILE")]
    sizes: Option<PathBuf>,
    /// Directory for the results.
    #[arg(long, value_name = "DIR", default_value = "bench/results")]
    out: PathBuf,
    /// How much is measured.
    #[arg(long, value_enum, default_value_t = Extent::Full)]
    extent: Extent,
    /// Runs of each measurement, of which the median counts [default: as the extent says]
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u32).range(1..=99))]
    runs: Option<u32>,
    /// Only the workloads whose names begin so, for example `a` or `f10`. May be repeated.
    #[arg(long, value_name = "NAME")]
    only: Vec<String>,
    /// Only this client, for example `iscp_c`. May be repeated.
    #[arg(long, value_name = "CLIENT")]
    client: Vec<String>,
    /// Measure nothing: write table and plots anew from results that were written before.
    #[arg(long, value_name = "FILE", conflicts_with_all = ["only", "client", "runs"])]
    render: Option<PathBuf>,
}

/// How much is measured.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
enum Extent {
    /// Five runs of every workload, about twelve minutes.
    Full,
    /// Three runs with a fifth of the points, under three minutes.
    Quick,
    /// One run with very few points, which shows that everything works and measures nothing.
    Smoke,
}

impl Extent {
    fn runs(self) -> u32 {
        match self {
            Self::Full => 5,
            Self::Quick => 3,
            Self::Smoke => 1,
        }
    }

    /// How many points there are instead of so many.
    fn points(self, full: u64) -> u64 {
        match self {
            Self::Full => full,
            Self::Quick => (full / 5).max(1),
            Self::Smoke => (full / 1000).clamp(20, 2000).min(full),
        }
    }

    fn name(self) -> &'static str {
        match self {
            Self::Full => "full",
            Self::Quick => "quick",
            Self::Smoke => "smoke",
        }
    }
}

fn main() -> ExitCode {
    match benchmark(&Args::parse()) {
        Ok(true) => ExitCode::SUCCESS,
        Ok(false) => ExitCode::FAILURE,
        Err(error) => {
            eprintln!("error: {error}");
            ExitCode::FAILURE
        }
    }
}

/// Whether every worker did what it was asked for.
fn benchmark(args: &Args) -> Result<bool, Box<dyn Error>> {
    if let Some(file) = &args.render {
        let text = fs::read_to_string(file).map_err(|error| format!("{}: {error}", file.display()))?;
        let mut report: Report =
            serde_json::from_str(&text).map_err(|error| format!("{}: {error}", file.display()))?;
        report.targets = targets::evaluate(&report);
        write(&report, &args.out)?;
        return Ok(true);
    }
    machine::allow_many_files()?;
    machine::make_timers_exact()?;
    let begin = Instant::now();
    let mut report = Report {
        created: humantime::format_rfc3339_seconds(SystemTime::now()).to_string(),
        extent: args.extent.name().to_owned(),
        runs: args.runs.unwrap_or_else(|| args.extent.runs()),
        machine: machine::describe()?,
        sizes: read_sizes(args.sizes.as_deref())?,
        ..Report::default()
    };
    let cases: Vec<_> = CASES
        .iter()
        .filter(|case| args.only.is_empty() || args.only.iter().any(|only| case.id.starts_with(only)))
        .collect();
    if cases.is_empty() {
        return Err(format!("no workload begins with {}", args.only.join(", ")).into());
    }
    let bench = run::Bench::new(&args.programs, &args.server_script, args.extent, &args.client)?;
    report.versions = bench.versions();
    bench.run(&cases, &mut report)?;
    report.seconds = begin.elapsed().as_secs_f64();
    report.machine.load_after = machine::load();
    report.targets = targets::evaluate(&report);
    write(&report, &args.out)?;
    eprintln!("bench: {}", args.out.join("latest.md").display());
    let mut sound = true;
    for cell in &report.cells {
        if let Outcome::Failed(message) = &cell.outcome {
            eprintln!("bench: failed: {} with {}: {message}", cell.case, cell.peer);
            sound = false;
        }
    }
    Ok(sound)
}

fn read_sizes(file: Option<&Path>) -> Result<BTreeMap<String, u64>, Box<dyn Error>> {
    let Some(file) = file else { return Ok(BTreeMap::new()) };
    let text = fs::read_to_string(file).map_err(|error| format!("{}: {error}", file.display()))?;
    serde_json::from_str(&text).map_err(|error| format!("{}: {error}", file.display()).into())
}

fn write(report: &Report, out: &Path) -> Result<(), Box<dyn Error>> {
    fs::create_dir_all(out).map_err(|error| format!("{}: {error}", out.display()))?;
    let plots = plots::draw(report, out)?;
    fs::write(out.join("latest.json"), serde_json::to_string_pretty(report)? + "\n")?;
    fs::write(out.join("latest.md"), markdown::page(report, &plots))?;
    Ok(())
}
