//! Runs official iSCP clients against the broker and the C library of this repository, and writes down what works.
//! scripts/interop.sh builds what it needs.

mod bench;
mod broker;
mod cases;
mod known;
mod peer;
mod relay;
mod report;
mod table;

use std::path::PathBuf;
use std::process::ExitCode;
use std::sync::Mutex;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Instant;

use bench::{Bench, Client};
use broker::Broker;
use clap::Parser;
use report::Outcome;

/// Runs official iSCP clients against the broker and the C library.
#[derive(Parser)]
struct Args {
    /// The program iscp.
    #[arg(long, value_name = "FILE")]
    program: PathBuf,
    /// A client and the command of its peer; the first must be c. May be repeated.
    #[arg(long, value_name = "LANGUAGE@VERSION=COMMAND", value_parser = peer)]
    peer: Vec<(String, String, String)>,
    /// A client that there is no peer for, and why. May be repeated.
    #[arg(long, value_name = "LANGUAGE@VERSION=WHY", value_parser = peer)]
    missing: Vec<(String, String, String)>,
    /// Directory for logs.
    #[arg(long, value_name = "DIR")]
    logs: PathBuf,
    /// Where recorded sessions go instead: the tests replay those in tests/interop/captures.
    #[arg(long, value_name = "DIR")]
    captures: Option<PathBuf>,
    /// Where to write the page; it begins with what the file --introduction says.
    #[arg(long, value_name = "FILE", requires = "introduction", requires = "date")]
    page: Option<PathBuf>,
    #[arg(long, value_name = "FILE")]
    introduction: Option<PathBuf>,
    /// What the page says of when it was written.
    #[arg(long)]
    date: Option<String>,
    /// What else the page says of the run.
    #[arg(long, value_name = "TEXT", env = "INTEROP_NOTE", default_value = "")]
    note: String,
    /// Run only cases whose name contains this. May be repeated: each part must be contained.
    #[arg(long, value_name = "PART")]
    only: Vec<String>,
    /// How many cases to run at a time.
    #[arg(long, default_value_t = 4)]
    jobs: usize,
}

fn peer(text: &str) -> Result<(String, String, String), String> {
    let (client, value) = text.split_once('=').ok_or("not of the form LANGUAGE@VERSION=...")?;
    let (language, version) = client.split_once('@').ok_or("not of the form LANGUAGE@VERSION=...")?;
    Ok((language.to_owned(), version.to_owned(), value.to_owned()))
}

fn main() -> ExitCode {
    match run(&Args::parse()) {
        Ok(true) => ExitCode::SUCCESS,
        Ok(false) => ExitCode::FAILURE,
        Err(error) => {
            eprintln!("interop: {error}");
            ExitCode::FAILURE
        }
    }
}

fn clients(args: &Args) -> Vec<Client> {
    let command = |text: &str| text.split(' ').map(str::to_owned).collect();
    let there = args.peer.iter().map(|(language, version, text)| (language, version, Ok(command(text))));
    let missing = args.missing.iter().map(|(language, version, why)| (language, version, Err(why.clone())));
    let mut clients: Vec<Client> = there
        .chain(missing)
        .map(|(language, version, peer)| Client {
            language: language.clone(),
            version: version.clone(),
            peer,
        })
        .collect();
    let order = ["c", "go", "rust", "python", "typescript"];
    clients.sort_by_key(|client| order.iter().position(|language| *language == client.language));
    clients
}

/// Whether nothing failed.
fn run(args: &Args) -> Result<bool, String> {
    std::fs::create_dir_all(&args.logs).map_err(|error| format!("{}: {error}", args.logs.display()))?;
    let clients = clients(args);
    let listen = ["ws", "wss", "quic", "webtransport"];
    let certificate = args.logs.join(bench::CERTIFICATE).to_string_lossy().into_owned();
    let mut options = vec!["--self-signed".to_owned(), "--self-signed-pem".to_owned(), certificate];
    options.extend(listen.iter().flat_map(|scheme| [format!("--{scheme}"), "127.0.0.1:0".to_owned()]));
    let options: Vec<&str> = options.iter().map(String::as_str).collect();
    let broker = Broker::start(&args.program, &options, args.logs.join("broker.log"))?;
    let bench = Bench::new(
        args.program.clone(),
        broker,
        args.logs.clone(),
        args.captures.clone().unwrap_or_else(|| args.logs.clone()),
    );

    let mut cases = table::cases(&clients);
    cases.retain(|case| args.only.iter().all(|part| case.name().contains(part)));
    let outcomes: Vec<Mutex<Option<Outcome>>> = cases.iter().map(|_| Mutex::new(None)).collect();
    let next = AtomicUsize::new(0);
    std::thread::scope(|scope| {
        for _ in 0..args.jobs {
            scope.spawn(|| {
                while let Some(index) =
                    Some(next.fetch_add(1, Ordering::Relaxed)).filter(|i| *i < cases.len())
                {
                    let start = Instant::now();
                    let outcome = cases[index].run(&bench);
                    println!("{}: {} ({:.1?})", cases[index].name(), outcome.text(), start.elapsed());
                    *outcomes[index].lock().unwrap() = Some(outcome);
                }
            });
        }
    });
    let results: Vec<report::Result> = cases
        .iter()
        .zip(outcomes)
        .map(|(case, outcome)| report::Result {
            group: case.group,
            row: case.row.clone(),
            column: case.column.clone(),
            outcome: outcome.into_inner().unwrap().expect("every case was run"),
        })
        .collect();

    if let (Some(page), Some(introduction), Some(date)) = (&args.page, &args.introduction, &args.date) {
        let introduction =
            std::fs::read_to_string(introduction).map_err(|error| format!("the introduction: {error}"))?;
        let text = report::page(&introduction, &clients, &results, date, &args.note);
        std::fs::write(page, text).map_err(|error| format!("{}: {error}", page.display()))?;
    }
    for result in &results {
        if let Outcome::Failed(error) = &result.outcome {
            println!("FAILED: {} / {} / {}: {error}", result.group, result.row, result.column);
        }
    }
    println!("{}", report::summary(&results));
    Ok(!results.iter().any(|result| matches!(result.outcome, Outcome::Failed(_))))
}
