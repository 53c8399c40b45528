//! What a connection may carry at present: by its schedule, and by the commands of whoever runs the proxy.

use std::time::Duration;

use crate::faults::{Cut, Faults};
use crate::report::{Direction, Fault};
use crate::schedule::{Schedule, Timed};

/// What whoever runs the proxy wants. Counters tell what was wanted since a connection began.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Control {
    pub(crate) stop: bool,
    pub(crate) refuse: bool,
    pub(crate) black_hole: bool,
    pub(crate) cuts: u64,
    pub(crate) cut_by: Cut,
    pub(crate) half_closes: [u64; 2],
    pub(crate) silences: [u64; 2],
}

/// What a connection may carry.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Mode {
    /// Neither direction is forwarded at present.
    pub(crate) held: bool,
    /// These are not forwarded any more.
    pub(crate) silent: [bool; 2],
    /// These are at their end.
    pub(crate) finished: [bool; 2],
}

impl Mode {
    /// Whether nothing passes in a direction.
    pub(crate) fn stops(&self, direction: Direction) -> bool {
        self.held || self.silent[direction.index()]
    }
}

#[derive(Debug)]
pub(crate) struct Conductor {
    schedule: Schedule,
    since: Control,
    cut_by: Cut,
    hole: bool,
    mode: Mode,
}

impl Conductor {
    /// For a connection that begins now.
    pub(crate) fn new(faults: &Faults, seed: u64, connection: u64, since: Control) -> Self {
        Self {
            schedule: Schedule::new(faults, seed, connection),
            since,
            cut_by: faults.cut_by,
            hole: false,
            mode: Mode::default(),
        }
    }

    /// What the connection may carry now; the way in which it is to be cut, if it is.
    pub(crate) fn update(
        &mut self,
        now: Duration,
        control: &Control,
        mut report: impl FnMut(Option<Direction>, Fault),
    ) -> Result<Mode, Cut> {
        let mut cut = (control.cuts != self.since.cuts).then_some(control.cut_by);
        let mut mode = self.mode;
        for direction in Direction::BOTH.map(Direction::index) {
            mode.finished[direction] |= control.half_closes[direction] != self.since.half_closes[direction];
            mode.silent[direction] |= control.silences[direction] != self.since.silences[direction];
        }
        while cut.is_none()
            && let Some(fault) = self.schedule.due(now)
        {
            match fault {
                Timed::Cut => cut = Some(self.cut_by),
                Timed::HalfClose(direction) => mode.finished[direction.index()] = true,
                Timed::Silence(direction) => mode.silent[direction.index()] = true,
                Timed::BlackHole => self.hole = true,
                Timed::LetGo => self.hole = false,
            }
        }
        if let Some(cut) = cut {
            report(None, Fault::Cut(cut));
            return Err(cut);
        }
        mode.held = self.hole || control.black_hole;
        if mode.held != self.mode.held {
            report(None, if mode.held { Fault::BlackHole } else { Fault::LetGo });
        }
        for direction in Direction::BOTH {
            let index = direction.index();
            if mode.finished[index] && !self.mode.finished[index] {
                report(Some(direction), Fault::HalfClose);
            }
            if mode.silent[index] && !self.mode.silent[index] {
                report(Some(direction), Fault::Silence);
            }
        }
        self.mode = mode;
        Ok(mode)
    }

    /// When there is something to do, whatever is wanted.
    pub(crate) fn next(&self) -> Option<Duration> {
        self.schedule.next()
    }
}
