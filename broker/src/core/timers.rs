//! What is to happen when.

use std::collections::BTreeSet;
use std::time::Instant;

use super::ConnId;
use super::arena::Key;
use super::numbers::NumberMap;

/// What a deadline is for. Each has at most one.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub(super) enum Timer {
    /// Handshake, delayed refusal, next ping or missing pong: what a connection waits for.
    Connection(ConnId),
    /// The acks an upstream gathered are to be sent.
    UpstreamAck(Key),
    /// Chunks of an upstream have waited long enough for earlier ones.
    UpstreamReorder(Key),
    /// The close of an upstream has waited long enough for missing chunks.
    UpstreamClose(Key),
    /// A lost upstream is given up.
    UpstreamExpiry(Key),
    /// A new downstream may be sent to.
    DownstreamOpen(Key),
    /// A lost downstream is given up.
    DownstreamExpiry(Key),
    /// A downstream held up senders for as long as it may.
    DownstreamHold(Key),
    /// What could be delivered before the end of the broker is.
    Drain,
}

#[derive(Debug, Default)]
pub(super) struct Timers {
    queue: BTreeSet<(Instant, Timer)>,
    deadlines: NumberMap<Timer, Instant>,
}

impl Timers {
    pub(super) fn set(&mut self, timer: Timer, at: Instant) {
        if let Some(old) = self.deadlines.insert(timer, at) {
            self.queue.remove(&(old, timer));
        }
        self.queue.insert((at, timer));
    }

    pub(super) fn clear(&mut self, timer: Timer) {
        if let Some(old) = self.deadlines.remove(&timer) {
            self.queue.remove(&(old, timer));
        }
    }

    pub(super) fn is_set(&self, timer: Timer) -> bool {
        self.deadlines.contains_key(&timer)
    }

    /// When a timer is due, if it is set.
    pub(super) fn deadline(&self, timer: Timer) -> Option<Instant> {
        self.deadlines.get(&timer).copied()
    }

    #[cfg(test)]
    pub(super) fn len(&self) -> usize {
        self.queue.len()
    }

    pub(super) fn next(&self) -> Option<Instant> {
        self.queue.first().map(|(at, _)| *at)
    }

    /// Takes a timer that is due.
    pub(super) fn pop(&mut self, now: Instant) -> Option<Timer> {
        let (at, timer) = *self.queue.first()?;
        if at > now {
            return None;
        }
        self.queue.pop_first();
        self.deadlines.remove(&timer);
        Some(timer)
    }
}
