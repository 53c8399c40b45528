//! Numbers of messages: what must be sent again, and what must wait for its turn.

use std::collections::{BTreeMap, BTreeSet, VecDeque};

use bytes::Bytes;

/// Bytes of messages that are sent and not acknowledged, from which on no more are taken.
pub(super) const UNACKED_LIMIT: usize = 8 << 20;
/// The same for messages, whatever their size.
const UNACKED_MESSAGES: usize = 1 << 16;
/// What a message costs beside its bytes.
const OVERHEAD: usize = 64;

/// Messages that were sent and may have to be sent again.
#[derive(Debug, Default)]
pub(super) struct SendLog {
    /// Number of the first one.
    first: u64,
    /// With the member that carried each last.
    entries: VecDeque<(u64, Bytes)>,
    bytes: usize,
    /// Numbers of those that are lost with their member.
    lost: BTreeSet<u64>,
}

impl SendLog {
    /// Number of the next new message.
    pub(super) fn next(&self) -> u64 {
        self.first + self.entries.len() as u64
    }

    /// Whether a new message may be taken.
    pub(super) fn has_room(&self) -> bool {
        self.bytes < UNACKED_LIMIT && self.entries.len() < UNACKED_MESSAGES
    }

    /// A new message goes by a member.
    pub(super) fn push(&mut self, member: u64, message: Bytes) {
        self.bytes += message.len() + OVERHEAD;
        self.entries.push_back((member, message));
    }

    /// The peer has everything below a number; tells what each member had carried. False for a number that
    /// was never given.
    pub(super) fn acknowledge(&mut self, below: u64, mut carried: impl FnMut(u64, usize)) -> bool {
        if below > self.next() {
            return false;
        }
        while self.first < below
            && let Some((member, message)) = self.entries.pop_front()
        {
            self.bytes -= message.len() + OVERHEAD;
            if !self.lost.remove(&self.first) {
                carried(member, message.len());
            }
            self.first += 1;
        }
        true
    }

    /// What a member carried must be sent again.
    pub(super) fn lose(&mut self, member: u64) {
        for (number, (by, _)) in (self.first..).zip(&self.entries) {
            if *by == member {
                self.lost.insert(number);
            }
        }
    }

    /// Whether something must be sent again.
    pub(super) fn has_lost(&self) -> bool {
        !self.lost.is_empty()
    }

    /// The first message to be sent again.
    pub(super) fn first_lost(&self) -> Option<(u64, Bytes)> {
        let number = *self.lost.first()?;
        let (_, message) = self.entries.get(usize::try_from(number - self.first).ok()?)?;
        Some((number, message.clone()))
    }

    /// It goes by a member.
    pub(super) fn resent(&mut self, number: u64, member: u64) {
        self.lost.remove(&number);
        if let Ok(at) = usize::try_from(number - self.first)
            && let Some((by, _)) = self.entries.get_mut(at)
        {
            *by = member;
        }
    }

    /// Whether everything is acknowledged.
    pub(super) fn is_empty(&self) -> bool {
        self.entries.is_empty()
    }
}

/// Messages that came before their turn.
#[derive(Debug)]
pub(super) struct Reorder {
    next: u64,
    waiting: BTreeMap<u64, Bytes>,
    bytes: usize,
    limit: usize,
}

impl Reorder {
    /// Keeps so many bytes.
    pub(super) fn new(limit: usize) -> Self {
        Self { next: 0, waiting: BTreeMap::new(), bytes: 0, limit }
    }

    /// Keeps so many bytes from now on. A peer has [`UNACKED_LIMIT`] under way, and one message above it.
    pub(super) fn allow(&mut self, limit: usize) {
        self.limit = limit.saturating_add(OVERHEAD);
    }

    /// All below this number have come.
    pub(super) fn next(&self) -> u64 {
        self.next
    }

    /// Takes a message; gives it back if it is its turn.
    ///
    /// # Errors
    /// The peer sends more than it may.
    pub(super) fn take(&mut self, number: u64, message: Bytes) -> Result<Option<Bytes>, &'static str> {
        if number < self.next || self.waiting.contains_key(&number) {
            return Ok(None);
        }
        if number == self.next {
            self.next += 1;
            return Ok(Some(message));
        }
        self.bytes += message.len() + OVERHEAD;
        if self.bytes > self.limit || number - self.next > UNACKED_MESSAGES as u64 {
            return Err("more messages are under way than may be");
        }
        self.waiting.insert(number, message);
        Ok(None)
    }

    /// A message whose turn has come since.
    pub(super) fn due(&mut self) -> Option<Bytes> {
        let message = self.waiting.remove(&self.next)?;
        self.bytes -= message.len() + OVERHEAD;
        self.next += 1;
        Some(message)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn message(number: u64) -> Bytes {
        Bytes::copy_from_slice(&number.to_be_bytes())
    }

    #[test]
    fn what_a_lost_member_carried_is_sent_again_unless_it_came() {
        let mut log = SendLog::default();
        for number in 0..6 {
            assert_eq!(log.next(), number);
            log.push(number % 2, message(number));
        }
        let mut carried = Vec::new();
        assert!(log.acknowledge(2, |member, bytes| carried.push((member, bytes))));
        assert_eq!(carried, [(0, 8), (1, 8)]);
        log.lose(1);
        assert_eq!(log.first_lost(), Some((3, message(3))));
        log.resent(3, 0);
        assert!(log.acknowledge(4, |_, _| {}));
        assert_eq!(log.first_lost(), Some((5, message(5))));
        log.resent(5, 0);
        assert!(!log.has_lost());
        log.lose(0);
        assert_eq!(log.first_lost(), Some((4, message(4))));
        // It had come, as it turns out.
        assert!(log.acknowledge(6, |_, _| panic!("nobody knows who carried it")));
        assert!(log.is_empty() && !log.has_lost());
        assert!(!log.acknowledge(7, |_, _| {}));
    }

    #[test]
    fn what_is_under_way_is_bounded_on_both_sides() {
        let mut log = SendLog::default();
        let mut reorder = Reorder::new(8);
        assert!(reorder.take(1, message(1)).is_err());
        let mut reorder = Reorder::new(0);
        reorder.allow(UNACKED_LIMIT + (1 << 20));
        let large = Bytes::from(vec![0; 1 << 20]);
        while log.has_room() {
            log.push(0, large.clone());
        }
        assert_eq!(log.next(), 8);
        for number in 1..log.next() {
            assert_eq!(reorder.take(number, large.clone()), Ok(None));
        }
        assert!(reorder.take(8, large.clone()).is_ok());
        assert!(reorder.take(9, large).is_err());
        assert!(Reorder::new(1000).take(1 << 17, message(0)).is_err());
    }

    #[test]
    fn messages_come_in_order_and_once() {
        let mut reorder = Reorder::new(1000);
        assert_eq!(reorder.take(1, message(1)), Ok(None));
        assert_eq!(reorder.take(1, message(1)), Ok(None));
        assert_eq!(reorder.due(), None);
        assert_eq!(reorder.take(0, message(0)), Ok(Some(message(0))));
        assert_eq!(reorder.due(), Some(message(1)));
        assert_eq!((reorder.due(), reorder.next()), (None, 2));
        assert_eq!(reorder.take(1, message(1)), Ok(None));
        assert_eq!(reorder.bytes, 0);
    }
}
