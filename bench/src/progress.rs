//! The progress display on standard error.

use std::io::{self, IsTerminal};
use std::time::{Duration, Instant};

use indicatif::{ProgressBar, ProgressStyle};

/// A bar on a terminal, a line per workload elsewhere.
pub(crate) struct Progress {
    bar: Option<ProgressBar>,
    start: Instant,
}

impl Progress {
    /// `steps` is the number of runs of workers.
    pub(crate) fn start(steps: u64) -> Self {
        if !io::stderr().is_terminal() {
            return Self { bar: None, start: Instant::now() };
        }
        let bar = ProgressBar::new(steps);
        if let Ok(style) = ProgressStyle::with_template("{elapsed_precise} [{wide_bar}] {pos}/{len} {msg}") {
            bar.set_style(style.progress_chars("=> "));
        }
        bar.enable_steady_tick(Duration::from_millis(200));
        Self { bar: Some(bar), start: Instant::now() }
    }

    /// A workload begins.
    pub(crate) fn case(&self, id: &str, title: &str) {
        match &self.bar {
            Some(bar) => bar.println(format!("({id}) {title}")),
            None => eprintln!("bench: {:4} s ({id}) {title}", self.start.elapsed().as_secs()),
        }
    }

    /// A run of a worker begins.
    pub(crate) fn run(&self, what: &str) {
        if let Some(bar) = &self.bar {
            bar.set_message(what.to_owned());
        }
    }

    /// So many runs ended, or will not be.
    pub(crate) fn reach(&self, steps: u64) {
        if let Some(bar) = &self.bar {
            bar.set_position(steps);
        }
    }

    /// Something that the user should know now.
    pub(crate) fn warn(&self, text: &str) {
        match &self.bar {
            Some(bar) => bar.println(text),
            None => eprintln!("bench: {text}"),
        }
    }
}
