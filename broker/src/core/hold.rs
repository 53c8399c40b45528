//! Slow readers of RELIABLE data that hold up the senders, if the operator wants it (docs/flow.md).
//!
//! A chunk that goes to the end of a queue which is too long already is taken, and an acknowledgement withheld for it
//! until some chunk of the same upstream leaves the queue. A sender that bounds what it has in flight sends no faster
//! than the reader reads, then. Only numbers of chunks are kept: a sender needs room in its window, and whichever
//! acknowledgement gives it that.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Instant;

use super::Broker;
use super::arena::Key;
use super::timers::Timer;

/// Part of the limit of a queue above which it holds up those who fill it. The rest has to take what the senders
/// have in flight by then: the window of one client of this library, twice as large as that part, and what its chunks
/// count for beside their points.
const PART: usize = 4;

/// What a downstream holds up.
#[derive(Debug, Default)]
pub(super) struct Holds {
    /// How many acknowledgements are withheld, by upstream.
    chunks: BTreeMap<Key, usize>,
    /// Upstreams of which chunks have left the queue since anybody looked.
    eased: BTreeSet<Key>,
    /// Without a connection it held up somebody for as long as it may.
    gave_in: bool,
}

impl Holds {
    /// Withholds one more, and returns how many these are.
    fn add(&mut self, upstream: Key) -> usize {
        let chunks = self.chunks.entry(upstream).or_default();
        *chunks += 1;
        *chunks
    }

    /// Takes note that a chunk of an upstream leaves the queue.
    pub(super) fn ease(&mut self, upstream: Key) {
        if let Some(chunks) = self.chunks.get_mut(&upstream) {
            *chunks -= 1;
            if *chunks == 0 {
                self.chunks.remove(&upstream);
            }
            self.eased.insert(upstream);
        }
    }

    /// Forgets an upstream that has ended.
    fn forget(&mut self, upstream: Key) {
        self.chunks.remove(&upstream);
        self.eased.remove(&upstream);
    }

    /// Has a connection again, and may hold up senders as others may.
    pub(super) fn resume(&mut self) {
        self.gave_in = false;
    }
}

impl Broker {
    /// Length of a queue in bytes above which chunks of an upstream are held, if they ever are.
    pub(super) fn hold_above(&self, upstream: Key) -> Option<usize> {
        let holds = !self.config.timing.hold.is_zero() && !self.shutting_down;
        let reliable = self.upstreams.get(upstream).is_some_and(|upstream| upstream.is_reliable());
        (holds && reliable).then_some(self.config.limits.reliable_queue_bytes / PART)
    }

    /// Withholds the acknowledgement of the chunk that an upstream has just put into the queue of a downstream.
    pub(super) fn hold(&mut self, upstream: Key, downstream: Key, above: usize) {
        let (Some(source), Some(reader)) =
            (self.upstreams.get_mut(upstream), self.downstreams.get_mut(downstream))
        else {
            return;
        };
        if !reader.holds.gave_in && reader.is_longer_than(above) {
            source.holders.insert(downstream, reader.holds.add(upstream));
            self.held.push(downstream);
        }
    }

    /// Starts the time of downstreams that hold up somebody now, and acknowledges what is no longer held.
    pub(super) fn settle_holds(&mut self, now: Instant) {
        while let Some(downstream) = self.held.pop() {
            if !self.timers.is_set(Timer::DownstreamHold(downstream)) {
                self.restart_hold(downstream, now);
            }
        }
        while let Some(upstream) = self.eased.pop() {
            if self.upstreams.get(upstream).is_some_and(|upstream| upstream.has_acks()) {
                self.schedule_ack(upstream, false, now);
            }
        }
    }

    /// Acknowledges as many chunks as have left the queue of a downstream: the reader goes on.
    pub(super) fn ease(&mut self, downstream: Key, now: Instant) {
        let Some(reader) = self.downstreams.get_mut(downstream) else { return };
        let eased = std::mem::take(&mut reader.holds.eased);
        if eased.is_empty() {
            return;
        }
        for upstream in eased {
            if let Some(source) = self.upstreams.get_mut(upstream) {
                match reader.holds.chunks.get(&upstream) {
                    Some(chunks) => source.holders.insert(downstream, *chunks),
                    None => source.holders.remove(&downstream),
                };
                self.eased.push(upstream);
            }
        }
        self.restart_hold(downstream, now);
    }

    /// From now on a downstream may keep others waiting for as long as it may, if it does.
    fn restart_hold(&mut self, downstream: Key, now: Instant) {
        let timer = Timer::DownstreamHold(downstream);
        if self.downstreams.get(downstream).is_some_and(|reader| !reader.holds.chunks.is_empty()) {
            self.timers.set(timer, now + self.config.timing.hold);
        } else {
            self.timers.clear(timer);
        }
    }

    /// Acknowledges all that is withheld: the connection of an upstream ends. Not before a restart, after which its
    /// client would have its whole window again, and the queue no room for that.
    pub(super) fn let_go(&mut self, upstream: Key) {
        if !self.suspends
            && let Some(source) = self.upstreams.get_mut(upstream)
        {
            source.holders.clear();
        }
    }

    /// Withholds what a downstream withheld before the broker was restarted: what its upstreams send again is not
    /// queued again, and would be acknowledged otherwise.
    pub(super) fn restore_holds(&mut self, downstream: Key) {
        let Some(reader) = self.downstreams.get(downstream) else { return };
        for upstream in reader.queued_behind(self.config.limits.reliable_queue_bytes / PART) {
            if let Some(above) = self.hold_above(upstream) {
                self.hold(upstream, downstream, above);
            }
        }
    }

    /// The client of an upstream is back, and waits from now on.
    pub(super) fn restart_holds(&mut self, upstream: Key, now: Instant) {
        let Some(source) = self.upstreams.get(upstream) else { return };
        for downstream in source.holders.keys().copied().collect::<Vec<_>>() {
            self.restart_hold(downstream, now);
        }
    }

    /// A downstream holds up nobody any more.
    pub(super) fn release_all(&mut self, downstream: Key, holds: &mut Holds) {
        let upstreams = std::mem::take(&mut holds.chunks).into_keys().chain(std::mem::take(&mut holds.eased));
        for upstream in upstreams {
            if let Some(source) = self.upstreams.get_mut(upstream) {
                source.holders.remove(&downstream);
                self.eased.push(upstream);
            }
        }
        self.timers.clear(Timer::DownstreamHold(downstream));
    }

    /// An upstream has ended, which these held up.
    pub(super) fn forget_holders(&mut self, upstream: Key, holders: BTreeMap<Key, usize>) {
        for downstream in holders.into_keys() {
            if let Some(reader) = self.downstreams.get_mut(downstream) {
                reader.holds.forget(upstream);
                if reader.holds.chunks.is_empty() {
                    self.timers.clear(Timer::DownstreamHold(downstream));
                }
            }
        }
    }

    /// A downstream kept others waiting for as long as it may, unless it let something out of its queue meanwhile.
    pub(super) fn hold_timeout(&mut self, downstream: Key, now: Instant) {
        let Some(reader) = self.downstreams.get_mut(downstream) else { return };
        if self.shutting_down {
            return;
        }
        if !reader.holds.eased.is_empty() {
            return self.ease(downstream, now);
        }
        let waits =
            |upstream: &Key| self.upstreams.get(*upstream).is_some_and(|upstream| upstream.is_waiting());
        if !reader.holds.chunks.keys().any(waits) {
            // Nobody is there who could be held up.
            self.restart_hold(downstream, now);
        } else if reader.tie.connection.is_some() {
            let text =
                format!("downstream {}: RELIABLE data is not read, and senders wait for it", reader.id);
            self.overrun.push((downstream, text));
        } else {
            // It goes on collecting, as long as there is room.
            let mut holds = std::mem::replace(&mut reader.holds, Holds { gave_in: true, ..Holds::default() });
            self.release_all(downstream, &mut holds);
        }
    }
}
