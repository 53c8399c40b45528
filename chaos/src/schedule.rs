//! Faults that come by time: a state machine without a clock.

use std::time::Duration;

use crate::faults::{Between, Faults};
use crate::random::{Purpose, Random};
use crate::report::Direction;

/// A fault whose time has come.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Timed {
    Cut,
    HalfClose(Direction),
    Silence(Direction),
    BlackHole,
    LetGo,
}

/// One kind of fault of a connection.
#[derive(Clone, Debug)]
struct Track {
    random: Random,
    every: Between<Duration>,
    /// When the next one comes, since the beginning of the connection.
    next: Option<Duration>,
    kind: Kind,
}

#[derive(Clone, Copy, Debug)]
enum Kind {
    Cut,
    /// What is left of two directions, and which is next.
    HalfClose(u8, Direction),
    Silence(u8, Direction),
    BlackHole {
        lasts: Option<Between<Duration>>,
        on: bool,
    },
}

/// The timed faults of one connection, in their order.
#[derive(Clone, Debug)]
pub(crate) struct Schedule {
    tracks: Vec<Track>,
}

impl Schedule {
    pub(crate) fn new(faults: &Faults, seed: u64, connection: u64) -> Self {
        let mut tracks = Vec::new();
        let mut add = |every: Option<_>, purpose, kind: &dyn Fn(&mut Random) -> Kind| {
            if let Some(every) = every {
                let mut random = Random::new(seed, connection, purpose, 0);
                let kind = kind(&mut random);
                let next = Some(random.duration(every));
                tracks.push(Track { random, every, next, kind });
            }
        };
        add(faults.cut_every, Purpose::Cut, &|_| Kind::Cut);
        add(faults.half_close_every, Purpose::HalfClose, &|random| Kind::HalfClose(2, direction(random)));
        add(faults.silence_every, Purpose::Silence, &|random| Kind::Silence(2, direction(random)));
        let lasts = faults.black_hole_for;
        add(faults.black_hole_every, Purpose::BlackHole, &|_| Kind::BlackHole { lasts, on: false });
        Self { tracks }
    }

    /// When the next fault comes.
    pub(crate) fn next(&self) -> Option<Duration> {
        self.tracks.iter().filter_map(|track| track.next).min()
    }

    /// The next fault, if its time has come.
    pub(crate) fn due(&mut self, now: Duration) -> Option<Timed> {
        let next = self.next().filter(|next| *next <= now)?;
        self.tracks.iter_mut().find(|track| track.next == Some(next)).map(|track| track.fire(next))
    }
}

fn direction(random: &mut Random) -> Direction {
    Direction::BOTH[random.up_to(1) as usize]
}

impl Track {
    /// What comes `at` a time; plans what comes next, from that time whenever it is asked for.
    fn fire(&mut self, at: Duration) -> Timed {
        let (fault, wait) = match &mut self.kind {
            Kind::Cut => (Timed::Cut, None),
            Kind::HalfClose(left, side) => {
                let fault = Timed::HalfClose(*side);
                *side = side.opposite();
                *left -= 1;
                (fault, (*left > 0).then_some(self.every))
            }
            Kind::Silence(left, side) => {
                let fault = Timed::Silence(*side);
                *side = side.opposite();
                *left -= 1;
                (fault, (*left > 0).then_some(self.every))
            }
            Kind::BlackHole { lasts, on } => {
                *on = !*on;
                if *on { (Timed::BlackHole, *lasts) } else { (Timed::LetGo, Some(self.every)) }
            }
        };
        self.next = wait.map(|wait| at + self.random.duration(wait));
        fault
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn faults() -> Faults {
        let range = |text: &str| Some(text.parse().unwrap());
        Faults {
            cut_every: range("20s..30s"),
            half_close_every: range("5s..15s"),
            silence_every: range("1s..9s"),
            black_hole_every: range("100ms..2s"),
            black_hole_for: range("10ms..500ms"),
            ..Faults::default()
        }
    }

    /// Everything within half a minute, looked at every so often.
    fn sequence(seed: u64, connection: u64, step: Duration) -> Vec<Timed> {
        let mut schedule = Schedule::new(&faults(), seed, connection);
        let mut now = Duration::ZERO;
        let mut sequence = Vec::new();
        while now < Duration::from_secs(30) {
            now = (now + step).min(Duration::from_secs(30));
            while let Some(fault) = schedule.due(now) {
                sequence.push(fault);
            }
        }
        sequence
    }

    #[test]
    fn the_seed_decides_whatever_the_timing() {
        let exact = sequence(1, 1, Duration::from_millis(1));
        assert_eq!(exact, sequence(1, 1, Duration::from_millis(777)));
        assert_eq!(exact, sequence(1, 1, Duration::from_secs(30)));
        assert_ne!(exact, sequence(2, 1, Duration::from_millis(1)));
        assert_ne!(exact, sequence(1, 2, Duration::from_millis(1)));
    }

    #[test]
    fn every_fault_comes_as_often_as_it_should() {
        for seed in 0..50 {
            let sequence = sequence(seed, 1, Duration::from_millis(100));
            let count = |fault| sequence.iter().filter(|other| **other == fault).count();
            assert_eq!(count(Timed::Cut), 1);
            for direction in Direction::BOTH {
                assert_eq!(count(Timed::Silence(direction)), 1);
            }
            assert!((12..270).contains(&count(Timed::BlackHole)), "{sequence:?}");
            let holes: Vec<_> =
                sequence.iter().filter(|fault| matches!(fault, Timed::BlackHole | Timed::LetGo)).collect();
            for (index, fault) in holes.into_iter().enumerate() {
                assert_eq!(*fault, if index % 2 == 0 { Timed::BlackHole } else { Timed::LetGo });
            }
        }
    }

    #[test]
    fn a_black_hole_without_an_end_stays() {
        let faults = Faults { black_hole_for: None, cut_every: None, ..faults() };
        let mut schedule = Schedule::new(&faults, 1, 1);
        let mut holes = Vec::new();
        while let Some(fault) = schedule.due(Duration::from_secs(100)) {
            holes.push(fault);
        }
        assert_eq!(holes.iter().filter(|fault| **fault == Timed::BlackHole).count(), 1);
        assert!(!holes.contains(&Timed::LetGo) && schedule.next().is_none());
    }

    #[test]
    fn without_faults_there_is_nothing_to_wait_for() {
        assert_eq!(Schedule::new(&Faults::default(), 1, 1).next(), None);
    }
}
