//! Simulated transports: one ordered pipe per direction that may be slow, stall, or go dead.

use std::collections::VecDeque;
use std::time::Duration;

use bytes::Bytes;

use crate::world::Rng;

/// Longest time that a message may take through an undisturbed pipe beside its latency. Below half
/// of the shortest ping time-out, so that an undisturbed connection never ends by keep-alive.
const TRANSFER: Duration = Duration::from_millis(200);

/// How a pipe behaves.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Profile {
    latency: Duration,
    jitter: Duration,
    bytes_per_second: Option<u64>,
    /// Bytes that wait in the pipe above which its sender is not ready.
    capacity: usize,
}

impl Profile {
    /// A profile that carries messages of up to `largest` bytes within [`TRANSFER`].
    pub(crate) fn choose(rng: &mut Rng, largest: usize) -> Self {
        let capacity = *rng.pick(&[1, 500, 4000, 60_000]);
        let slowest = (capacity + largest) as u64 * 1000 / TRANSFER.as_millis() as u64;
        Self {
            latency: rng.duration(Duration::ZERO, Duration::from_millis(60)),
            jitter: *rng.pick(&[Duration::ZERO, Duration::from_millis(1), Duration::from_millis(40)]),
            bytes_per_second: rng.chance(60).then(|| slowest * rng.range(1, 20)),
            capacity,
        }
    }
}

/// What travels through a pipe.
#[derive(Clone, Debug)]
pub(crate) enum Parcel {
    /// One transport message.
    Message(Bytes),
    /// The sender closed its end.
    End,
}

impl Parcel {
    fn len(&self) -> usize {
        match self {
            Self::Message(bytes) => bytes.len(),
            Self::End => 0,
        }
    }
}

/// One direction of a link.
#[derive(Debug)]
pub(crate) struct Pipe {
    profile: Profile,
    backlog: VecDeque<Parcel>,
    backlog_bytes: usize,
    serving: bool,
    stalled_until: Duration,
    last_arrival: Duration,
    departures: u64,
    dead: bool,
}

impl Pipe {
    pub(crate) fn new(profile: Profile) -> Self {
        Self {
            profile,
            backlog: VecDeque::new(),
            backlog_bytes: 0,
            serving: false,
            stalled_until: Duration::ZERO,
            last_arrival: Duration::ZERO,
            departures: 0,
            dead: false,
        }
    }

    /// Whether the sender may put in another message.
    pub(crate) fn ready(&self) -> bool {
        self.backlog_bytes < self.profile.capacity
    }

    /// Parcels that left so far: whether a blocked pipe moves at all.
    pub(crate) fn departures(&self) -> u64 {
        self.departures
    }

    /// Takes a parcel. Gives the time of the next departure if it was not planned yet.
    pub(crate) fn send(&mut self, parcel: Parcel, now: Duration) -> Option<Duration> {
        self.backlog_bytes += parcel.len();
        self.backlog.push_back(parcel);
        self.plan(now)
    }

    fn plan(&mut self, now: Duration) -> Option<Duration> {
        if self.serving || self.dead {
            return None;
        }
        let front = self.backlog.front()?;
        self.serving = true;
        let transfer = self
            .profile
            .bytes_per_second
            .map_or(Duration::ZERO, |rate| Duration::from_nanos(front.len() as u64 * 1_000_000_000 / rate));
        Some(now.max(self.stalled_until) + transfer)
    }

    /// The planned departure: what leaves and when it arrives, and when the next one leaves.
    pub(crate) fn depart(
        &mut self,
        now: Duration,
        rng: &mut Rng,
    ) -> (Option<(Parcel, Duration)>, Option<Duration>) {
        self.serving = false;
        if self.dead {
            return (None, None);
        }
        if now < self.stalled_until {
            self.serving = true;
            return (None, Some(self.stalled_until));
        }
        let Some(parcel) = self.backlog.pop_front() else {
            return (None, None);
        };
        self.backlog_bytes -= parcel.len();
        self.departures += 1;
        let delay = self.profile.latency + rng.duration(Duration::ZERO, self.profile.jitter);
        self.last_arrival = self.last_arrival.max(now + delay);
        (Some((parcel, self.last_arrival)), self.plan(now))
    }

    /// Nothing leaves before `until`.
    pub(crate) fn stall(&mut self, until: Duration) {
        self.stalled_until = self.stalled_until.max(until);
    }

    /// Nothing leaves or arrives any more, and nobody is told.
    pub(crate) fn kill(&mut self) {
        self.dead = true;
    }

    pub(crate) fn is_dead(&self) -> bool {
        self.dead
    }
}
