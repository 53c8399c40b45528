//! Which chunks of an upstream were received already.

/// Ranges of numbers that are kept apart. A sender that leaves more gaps is not known by the oldest.
const MAX_RANGES: usize = 64;

/// Positions of chunks, which are their numbers without the wrap, as ranges in ascending order that do not touch.
#[derive(Debug, Default)]
pub(super) struct Seen(Vec<(u64, u64)>);

impl Seen {
    /// Adds a number. False when it was there already.
    pub(super) fn insert(&mut self, number: u64) -> bool {
        // Numbers usually come in order, behind the last range.
        let at = match self.0.last() {
            Some((_, last)) if number > *last => self.0.len(),
            _ => self.0.partition_point(|(first, _)| *first <= number),
        };
        let before = at.checked_sub(1).map(|before| self.0[before]);
        if before.is_some_and(|(_, last)| number <= last) {
            return false;
        }
        let joins_before = before.is_some_and(|(_, last)| number - last == 1);
        let joins_after = self.0.get(at).is_some_and(|(first, _)| first - number == 1);
        match (joins_before, joins_after) {
            (true, true) => {
                let (_, last) = self.0.remove(at);
                self.0[at - 1].1 = last;
            }
            (true, false) => self.0[at - 1].1 = number,
            (false, true) => self.0[at].0 = number,
            (false, false) => {
                self.0.insert(at, (number, number));
                if self.0.len() > MAX_RANGES {
                    self.0.remove(0);
                }
            }
        }
        true
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_number_is_new_once_in_any_order() {
        let numbers = [5, 1, 2, 4, 9, 7, 8, 3, u64::MAX, 0, 6];
        let mut seen = Seen::default();
        for number in numbers {
            assert!(seen.insert(number), "{number}");
            assert!(!seen.insert(number), "{number} again");
        }
        assert_eq!(seen.0, [(0, 9), (u64::MAX, u64::MAX)]);
        assert!(numbers.iter().all(|number| !seen.insert(*number)));
    }

    #[test]
    fn gaps_without_end_take_no_memory_without_end() {
        let mut seen = Seen::default();
        for number in (0..10_000).map(|number| number * 2) {
            assert!(seen.insert(number));
        }
        assert_eq!(seen.0.len(), MAX_RANGES);
        assert!(!seen.insert(19_998));
    }
}
