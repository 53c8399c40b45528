//! What one step on the way of a point costs, without sockets, clocks and other threads, so that a count of
//! instructions is the same in every run.
//!
//! `cost STEP CHUNKS` sends so many chunks from one client through the broker to readers and prints the points and the
//! allocations of the step. `bench/costs.sh` runs it under callgrind, which counts only inside of [`measured`], and
//! compares with `bench/budgets.txt`.

#[path = "../counting.rs"]
mod counting;
mod pipeline;

use std::hint::black_box;
use std::process::ExitCode;

use pipeline::{POINTS, Pipeline};

/// One step on the way of a point.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Step {
    /// The application writes it to the buffer.
    Write,
    /// The buffer becomes a message, and that bytes.
    Frame,
    /// The broker decodes the message and makes another of it for each reader, and that bytes.
    Route,
    /// A reader decodes the message, and the application goes through the points.
    Read,
}

impl Step {
    const ALL: [(&'static str, Self); 4] =
        [("write", Self::Write), ("frame", Self::Frame), ("route", Self::Route), ("read", Self::Read)];
}

/// What is counted. Its name is given to callgrind.
#[inline(never)]
fn measured<T>(step: impl FnOnce() -> T) -> T {
    // Or the call could be turned around into a jump, and callgrind would not see its end.
    black_box(step())
}

/// Runs a step, and counts its allocations if it is the one that is asked for.
struct Meter {
    step: Step,
    allocations: u64,
}

impl Meter {
    fn run<T>(&mut self, step: Step, work: impl FnOnce() -> T) -> T {
        if step != self.step {
            return work();
        }
        let before = counting::allocations();
        let outcome = measured(work);
        self.allocations += counting::allocations() - before;
        outcome
    }
}

fn main() -> ExitCode {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let parsed = match &arguments[..] {
        [name, chunks, readers] => Step::ALL
            .iter()
            .find(|(known, _)| known == name)
            .and_then(|(_, step)| Some((*step, chunks.parse::<u64>().ok()?, readers.parse::<u64>().ok()?))),
        _ => None,
    };
    let Some((step, chunks, readers)) = parsed else {
        eprintln!("usage: cost write|frame|route|read CHUNKS READERS");
        return ExitCode::from(2);
    };
    let mut meter = Meter { step, allocations: 0 };
    let mut pipeline = Pipeline::new(readers);
    // Buffers grow and aliases are learned before anything is counted.
    for _ in 0..10 {
        pipeline.send_chunk(|_, work| work());
    }
    for _ in 0..chunks {
        pipeline.send_chunk(|step, work| meter.run(step, work));
    }
    println!("points {} allocations {}", chunks * POINTS, meter.allocations);
    ExitCode::SUCCESS
}
