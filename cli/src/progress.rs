//! The progress line on standard error.

use std::io::{self, IsTerminal, Write as _};
use std::time::Duration;

use indicatif::{HumanCount, ProgressBar, ProgressDrawTarget, ProgressState, ProgressStyle};

/// Points so far and their rate, redrawn in place; nothing when standard error is not a terminal.
#[derive(Clone, Debug)]
pub(crate) struct Progress {
    bar: Option<ProgressBar>,
    verb: &'static str,
}

impl Progress {
    /// Starts the line, unless `quiet`. `verb` says what happened to the points.
    pub(crate) fn start(verb: &'static str, quiet: bool) -> Self {
        const REDRAW: Duration = Duration::from_millis(200);
        if quiet || !io::stderr().is_terminal() {
            return Self { bar: None, verb };
        }
        let bar = ProgressBar::with_draw_target(None, ProgressDrawTarget::stderr());
        let rate = |state: &ProgressState, line: &mut dyn std::fmt::Write| {
            // A line that cannot be drawn is drawn again soon.
            let _ = write!(line, "{:.0}", state.per_sec());
        };
        if let Ok(style) = ProgressStyle::with_template("{human_pos} points {msg}, {rate}/s") {
            bar.set_style(style.with_key("rate", rate));
        }
        bar.set_message(verb);
        bar.enable_steady_tick(REDRAW);
        Self { bar: Some(bar), verb }
    }

    /// Counts points.
    pub(crate) fn add(&self, points: u64) {
        if let Some(bar) = &self.bar {
            bar.inc(points);
        }
    }

    /// Takes the line away while something is printed, so that they do not mix on a terminal.
    pub(crate) fn suspend<T>(&self, print: impl FnOnce() -> T) -> T {
        match &self.bar {
            Some(bar) => bar.suspend(print),
            None => print(),
        }
    }

    /// Replaces the line by a last one about the whole time.
    pub(crate) fn finish(&self) {
        if let Some(bar) = &self.bar {
            bar.finish_and_clear();
            let (points, seconds) = (bar.position(), bar.elapsed().as_secs_f64());
            let rate = points as f64 / seconds.max(f64::EPSILON);
            let _ = writeln!(
                io::stderr(),
                "{} points {} in {seconds:.1} s, {rate:.0}/s",
                HumanCount(points),
                self.verb
            );
        }
    }
}
