//! Order of an upstream's chunks: which have come, which come twice, which must wait
//! (docs/protocol/behaviour.md §11 items 36 to 38).

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use super::snapshot::{SnapshotError, form};

/// Ranges of missing numbers kept apart. A client that leaves out more than this can have an old
/// chunk delivered twice, never lost.
const MAX_GAPS: usize = 4096;

/// Stands for sequence number 0, far from the ends so that numbers that wrap at 2^32, as Python and
/// TypeScript let them, go on rising.
const ORIGIN: u64 = 1 << 40;

/// What is known of a chunk's number.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Receipt {
    /// The number without its wrap at 2^32.
    pub(super) position: u64,
    /// A chunk with the number came before.
    pub(super) duplicate: bool,
    /// A chunk with a higher number came before.
    pub(super) late: bool,
}

/// Numbers received so far.
#[derive(Debug)]
pub(super) struct Received {
    highest: u64,
    /// Missing below `highest`: first → last.
    gaps: BTreeMap<u64, u64>,
    /// Below this the gaps are forgotten.
    floor: u64,
}

impl Default for Received {
    fn default() -> Self {
        Self { highest: ORIGIN, gaps: BTreeMap::new(), floor: 0 }
    }
}

impl Received {
    /// The position of `number` that lies nearest to what came last.
    fn position(&self, number: u32) -> u64 {
        let distance = number.wrapping_sub(self.highest as u32) as i32;
        self.highest.wrapping_add_signed(i64::from(distance))
    }

    /// Takes note of a chunk.
    pub(super) fn insert(&mut self, number: u32) -> Receipt {
        let position = self.position(number);
        if position > self.highest {
            if position > self.highest + 1 {
                self.gaps.insert(self.highest + 1, position - 1);
                self.forget_oldest();
            }
            self.highest = position;
            return Receipt { position, duplicate: false, late: false };
        }
        let gap = self.gaps.range(..=position).next_back().map(|(first, last)| (*first, *last));
        let missing = match gap {
            Some((first, last)) if position <= last => {
                self.gaps.remove(&first);
                if first < position {
                    self.gaps.insert(first, position - 1);
                }
                if position < last {
                    self.gaps.insert(position + 1, last);
                }
                true
            }
            // Number 0 and what lies before it never belong to a conforming client.
            _ => position < self.floor || position <= ORIGIN,
        };
        Receipt { position, duplicate: !missing, late: true }
    }

    pub(super) fn save(&self) -> form::Received {
        form::Received {
            highest: self.highest,
            gaps: self.gaps.iter().map(|(first, last)| form::Gap { first: *first, last: *last }).collect(),
            floor: self.floor,
        }
    }

    pub(super) fn load(saved: form::Received) -> Result<Self, SnapshotError> {
        let gaps: BTreeMap<_, _> = saved.gaps.iter().map(|gap| (gap.first, gap.last)).collect();
        // The positions lie far from the ends: what is computed with them does not overflow.
        let is_sound = (ORIGIN..ORIGIN << 20).contains(&saved.highest)
            && saved.floor <= saved.highest
            && gaps.len() <= MAX_GAPS
            && gaps.iter().all(|(first, last)| first <= last && *last < saved.highest);
        if !is_sound {
            return Err(SnapshotError::new("sequence numbers of an upstream"));
        }
        Ok(Self { highest: saved.highest, gaps, floor: saved.floor })
    }

    fn forget_oldest(&mut self) {
        if self.gaps.len() > MAX_GAPS
            && let Some((_, last)) = self.gaps.pop_first()
        {
            self.floor = last + 1;
        }
    }

    /// Whether every number up to `number` has come.
    pub(super) fn complete_up_to(&self, number: u32) -> bool {
        let position = self.position(number);
        position <= self.highest && self.gaps.first_key_value().is_none_or(|(first, _)| *first > position)
    }
}

/// Holds chunks back until those with lower numbers have come, for a while.
#[derive(Debug)]
pub(super) struct Reorder<T> {
    next: u64,
    waiting: BTreeMap<u64, Waiting<T>>,
    bytes: usize,
}

#[derive(Debug)]
struct Waiting<T> {
    chunk: T,
    bytes: usize,
    since: Instant,
}

impl<T> Default for Reorder<T> {
    fn default() -> Self {
        Self { next: ORIGIN + 1, waiting: BTreeMap::new(), bytes: 0 }
    }
}

impl<T> Reorder<T> {
    /// Takes a chunk that is no duplicate; gives it back when it need not wait.
    pub(super) fn push(&mut self, position: u64, chunk: T, bytes: usize, now: Instant) -> Option<T> {
        if position > self.next {
            self.bytes += bytes;
            self.waiting.insert(position, Waiting { chunk, bytes, since: now });
            return None;
        }
        // A chunk below the next one was given up on before; late is better than never.
        if position == self.next {
            self.next += 1;
        }
        Some(chunk)
    }

    /// Number whose chunk is next, and the chunks that wait for it.
    pub(super) fn waiting(&self) -> (u64, impl Iterator<Item = (u64, &T)>) {
        (self.next, self.waiting.iter().map(|(position, waiting)| (*position, &waiting.chunk)))
    }

    /// One in which the chunk at `next` is the next one.
    pub(super) fn starting_at(next: u64) -> Result<Self, SnapshotError> {
        if !(ORIGIN..ORIGIN << 20).contains(&next) {
            return Err(SnapshotError::new("order of an upstream"));
        }
        Ok(Self { next, ..Self::default() })
    }

    /// Takes the next chunk if it has come.
    pub(super) fn pop_in_order(&mut self) -> Option<T> {
        let entry = self.waiting.first_entry()?;
        if *entry.key() != self.next {
            return None;
        }
        let waiting = entry.remove();
        self.next += 1;
        self.bytes -= waiting.bytes;
        Some(waiting.chunk)
    }

    /// Gives up on what lies below the first waiting chunk, if any waits.
    pub(super) fn skip_gap(&mut self) -> bool {
        match self.waiting.first_key_value() {
            Some((position, _)) => {
                self.next = *position;
                true
            }
            None => false,
        }
    }

    /// Whether more waits than may.
    pub(super) fn is_over(&self, chunks: usize, bytes: usize) -> bool {
        self.waiting.len() > chunks || self.bytes > bytes
    }

    /// When the longest waiting chunk has waited `wait`.
    pub(super) fn deadline(&self, wait: Duration) -> Option<Instant> {
        // At most a few hundred wait, and only while a number is missing.
        self.waiting.values().map(|waiting| waiting.since + wait).min()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn receive(received: &mut Received, number: u32) -> (bool, bool) {
        let receipt = received.insert(number);
        (receipt.duplicate, receipt.late)
    }

    #[test]
    fn duplicates_are_told_from_late_chunks() {
        let mut received = Received::default();
        assert_eq!(receive(&mut received, 1), (false, false));
        assert_eq!(receive(&mut received, 5), (false, false));
        assert_eq!(receive(&mut received, 3), (false, true));
        assert_eq!(receive(&mut received, 3), (true, true));
        assert_eq!(receive(&mut received, 1), (true, true));
        assert_eq!(receive(&mut received, 5), (true, true));
        assert!(!received.complete_up_to(5) && received.complete_up_to(1));
        assert_eq!(receive(&mut received, 2), (false, true));
        assert_eq!(receive(&mut received, 4), (false, true));
        assert!(received.complete_up_to(5) && !received.complete_up_to(6));
    }

    #[test]
    fn nothing_sent_is_complete() {
        assert!(Received::default().complete_up_to(0));
    }

    #[test]
    fn numbers_go_on_after_they_wrapped() {
        let mut received = Received::default();
        for number in [1, 0x7fff_0000, 0xfffe_0000, u32::MAX, 0, 1] {
            assert_eq!(receive(&mut received, number), (false, false), "{number}");
        }
        assert_eq!(receive(&mut received, u32::MAX), (true, true));
    }

    #[test]
    fn the_number_of_gaps_is_bounded_and_nothing_is_lost() {
        let mut received = Received::default();
        for i in 1..=2 * MAX_GAPS as u32 {
            received.insert(2 * i);
        }
        assert_eq!(received.gaps.len(), MAX_GAPS);
        assert_eq!(receive(&mut received, 1), (false, true));
        assert_eq!(receive(&mut received, 4 * MAX_GAPS as u32 - 1), (false, true));
    }

    #[test]
    fn chunks_leave_in_order() {
        let now = Instant::now();
        let mut reorder = Reorder::default();
        let at = |n: u64| ORIGIN + n;
        assert_eq!(reorder.push(at(1), 1, 10, now), Some(1));
        assert_eq!(reorder.push(at(3), 3, 10, now), None);
        assert_eq!(reorder.push(at(4), 4, 10, now), None);
        assert_eq!(reorder.pop_in_order(), None);
        assert_eq!(reorder.push(at(2), 2, 10, now), Some(2));
        assert_eq!(reorder.pop_in_order(), Some(3));
        assert_eq!(reorder.pop_in_order(), Some(4));
        assert_eq!(reorder.pop_in_order(), None);
        assert!(!reorder.skip_gap());
    }
}
