//! Which member carries the next message.

use std::time::{Duration, Instant};

use super::path::Path;

/// How messages are spread over the members (docs/protocol/transport.md §8.5).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Scheduler {
    /// Each member in its turn.
    RoundRobin,
    /// The member with the shortest round trip that takes a message now.
    #[default]
    MinRtt,
    /// The member by which the message will have come first, waiting for it if it takes none now.
    Ecf,
}

impl Scheduler {
    /// Every scheduler.
    pub const ALL: [Self; 3] = [Self::RoundRobin, Self::MinRtt, Self::Ecf];

    /// Name for people and options.
    pub fn name(self) -> &'static str {
        match self {
            Self::RoundRobin => "round-robin",
            Self::MinRtt => "min-rtt",
            Self::Ecf => "ecf",
        }
    }
}

/// A member that may be chosen.
pub(super) struct Candidate<'a> {
    pub(super) id: u64,
    /// It takes a message now.
    pub(super) ready: bool,
    pub(super) path: &'a Path,
}

/// Who is to carry a message.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Choice {
    Member(u64),
    /// One that takes none now will be sooner; wait until this time at most.
    Until(Instant),
    /// Nobody takes one.
    Nobody,
}

/// The state of a scheduler.
#[derive(Debug, Default)]
pub(super) struct Selector {
    scheduler: Scheduler,
    last: u64,
    waiting_until: Option<Instant>,
}

impl Selector {
    pub(super) fn new(scheduler: Scheduler) -> Self {
        Self { scheduler, ..Self::default() }
    }

    /// Chooses for a message of about so many bytes.
    pub(super) fn choose(&mut self, candidates: &[Candidate<'_>], bytes: usize, now: Instant) -> Choice {
        let ready = || candidates.iter().filter(|candidate| candidate.ready);
        let chosen = match self.scheduler {
            Scheduler::RoundRobin => {
                let later = ready().filter(|candidate| candidate.id > self.last);
                later
                    .min_by_key(|candidate| candidate.id)
                    .or_else(|| ready().min_by_key(|candidate| candidate.id))
            }
            Scheduler::MinRtt => ready().min_by_key(|candidate| candidate.path.round_trip()),
            Scheduler::Ecf => {
                let first = ready().min_by_key(|candidate| candidate.path.completion(bytes));
                if let Some(first) = first
                    && let Some(until) = self.worth_waiting(candidates, first, bytes, now)
                {
                    return Choice::Until(until);
                }
                first
            }
        };
        self.waiting_until = None;
        match chosen {
            Some(candidate) => {
                self.last = candidate.id;
                Choice::Member(candidate.id)
            }
            None => Choice::Nobody,
        }
    }

    /// Until when to wait for a member that takes no message now rather than use `second`: never longer than a
    /// round trip of it at a time, since what it carries may stand still.
    fn worth_waiting(
        &mut self,
        candidates: &[Candidate<'_>],
        second: &Candidate<'_>,
        bytes: usize,
        now: Instant,
    ) -> Option<Instant> {
        let busy = candidates.iter().filter(|candidate| !candidate.ready);
        let first = busy.min_by_key(|candidate| candidate.path.completion(bytes))?;
        let margin = first.path.variation().max(second.path.variation());
        if first.path.completion(bytes) + margin >= second.path.completion(bytes) {
            return None;
        }
        let longest = first.path.round_trip().max(Duration::from_millis(1));
        let until = *self.waiting_until.get_or_insert(now + longest);
        (now < until).then_some(until)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn path(round_trip: u64, unacked: u64) -> Path {
        let mut path = Path::new();
        path.measured(Duration::from_millis(round_trip));
        path.measured(Duration::from_millis(round_trip));
        path.unacked = unacked;
        path
    }

    fn candidate(id: u64, ready: bool, path: &Path) -> Candidate<'_> {
        Candidate { id, ready, path }
    }

    #[test]
    fn each_takes_its_turn() {
        let path = path(10, 0);
        let mut selector = Selector::new(Scheduler::RoundRobin);
        let now = Instant::now();
        let mut turns = |ready: [bool; 3]| {
            let candidates = [1, 2, 3].map(|id| candidate(id, ready[id as usize - 1], &path));
            selector.choose(&candidates, 100, now)
        };
        let mut three = || [(); 3].map(|()| turns([true; 3]));
        assert_eq!(three(), [1, 2, 3].map(Choice::Member));
        assert_eq!(three(), [1, 2, 3].map(Choice::Member));
        assert_eq!(turns([false, true, true]), Choice::Member(2));
        assert_eq!(turns([true, true, false]), Choice::Member(1));
        assert_eq!(turns([false; 3]), Choice::Nobody);
    }

    #[test]
    fn the_shortest_round_trip_wins_if_it_is_free() {
        let (fast, slow) = (path(10, 0), path(50, 0));
        let mut selector = Selector::new(Scheduler::MinRtt);
        let mut choose = |ready| {
            selector.choose(&[candidate(1, true, &slow), candidate(2, ready, &fast)], 100, Instant::now())
        };
        assert_eq!(choose(true), Choice::Member(2));
        assert_eq!(choose(false), Choice::Member(1));
    }

    #[test]
    fn the_earliest_completion_is_waited_for_but_not_for_ever() {
        let (fast, slow) = (path(20, 0), path(400, 0));
        let now = Instant::now();
        let mut selector = Selector::new(Scheduler::Ecf);
        let mut choose = |ready, slow, at| {
            selector.choose(&[candidate(1, true, slow), candidate(2, ready, &fast)], 100, at)
        };
        assert_eq!(choose(true, &slow, now), Choice::Member(2));
        let until = now + Duration::from_millis(20);
        assert_eq!(choose(false, &slow, now), Choice::Until(until));
        assert_eq!(choose(false, &slow, now + Duration::from_millis(5)), Choice::Until(until));
        assert_eq!(choose(false, &slow, until), Choice::Member(1));
        // Little slower is good enough.
        assert_eq!(choose(false, &path(25, 0), now), Choice::Member(1));
        // The fast one has so much under way that it is not the first.
        let busy = path(20, 1 << 20);
        let choice = selector.choose(&[candidate(1, true, &slow), candidate(2, true, &busy)], 100, now);
        assert_eq!(choice, Choice::Member(1));
    }
}
