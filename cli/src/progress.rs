//! The progress line on standard error.

use std::io::IsTerminal;
use std::time::Duration;

use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle};

/// Points so far and their rate, redrawn in place; nothing when standard error is not a terminal.
#[derive(Clone, Debug)]
pub(crate) struct Progress(Option<ProgressBar>);

impl Progress {
    /// Starts the line, unless `quiet`. `verb` says what happened to the points.
    pub(crate) fn start(verb: &'static str, quiet: bool) -> Self {
        const REDRAW: Duration = Duration::from_millis(200);
        if quiet || !std::io::stderr().is_terminal() {
            return Self(None);
        }
        let bar = ProgressBar::with_draw_target(None, ProgressDrawTarget::stderr());
        if let Ok(style) = ProgressStyle::with_template("{human_pos} points {msg}, {per_sec}") {
            bar.set_style(style);
        }
        bar.set_message(verb);
        bar.enable_steady_tick(REDRAW);
        Self(Some(bar))
    }

    /// Counts points.
    pub(crate) fn add(&self, points: u64) {
        if let Some(bar) = &self.0 {
            bar.inc(points);
        }
    }

    /// Takes the line away while something is printed, so that they do not mix on a terminal.
    pub(crate) fn suspend<T>(&self, print: impl FnOnce() -> T) -> T {
        match &self.0 {
            Some(bar) => bar.suspend(print),
            None => print(),
        }
    }

    /// Leaves the last state of the line and goes to the next one.
    pub(crate) fn finish(&self) {
        if let Some(bar) = &self.0 {
            bar.abandon();
        }
    }
}
