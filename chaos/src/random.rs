//! Random numbers from a seed.

use std::time::Duration;

use crate::faults::{Between, Chance, Size};

/// splitmix64. What a connection's faults need is a sequence per purpose, which no other use of the seed
/// changes.
#[derive(Clone, Debug)]
pub(crate) struct Random(u64);

/// What a sequence is for.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Purpose {
    Cut,
    CutBytes,
    HalfClose,
    Silence,
    BlackHole,
    Corrupt,
    Jitter,
    Datagrams,
}

impl Random {
    /// The sequence of a connection for a purpose; `part` tells its directions apart.
    pub(crate) fn new(seed: u64, connection: u64, purpose: Purpose, part: u64) -> Self {
        let mut random = Self(seed);
        for key in [connection, purpose as u64, part] {
            random.0 = random.next() ^ key;
        }
        random.next();
        random
    }

    pub(crate) fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut value = self.0;
        value = (value ^ (value >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        value = (value ^ (value >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        value ^ (value >> 31)
    }

    /// A number from 0 up to and including `last`.
    pub(crate) fn up_to(&mut self, last: u64) -> u64 {
        let value = self.next();
        if last == u64::MAX { value } else { value % (last + 1) }
    }

    pub(crate) fn chance(&mut self, chance: Chance) -> bool {
        // 53 bits are what a double holds.
        ((self.next() >> 11) as f64) < chance.fraction() * (1u64 << 53) as f64
    }

    pub(crate) fn size(&mut self, between: Between<Size>) -> u64 {
        between.from().0 + self.up_to(between.to().0 - between.from().0)
    }

    pub(crate) fn duration(&mut self, between: Between<Duration>) -> Duration {
        between.from() + self.at_most(between.to() - between.from())
    }

    pub(crate) fn at_most(&mut self, last: Duration) -> Duration {
        Duration::from_nanos(self.up_to(u64::try_from(last.as_nanos()).unwrap_or(u64::MAX - 1)))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_sequence_belongs_to_its_seed_connection_and_purpose() {
        let first = |seed, connection, purpose, part| Random::new(seed, connection, purpose, part).next();
        let one = first(1, 1, Purpose::Cut, 0);
        assert_eq!(one, first(1, 1, Purpose::Cut, 0));
        for other in [
            first(2, 1, Purpose::Cut, 0),
            first(1, 2, Purpose::Cut, 0),
            first(1, 1, Purpose::Corrupt, 0),
            first(1, 1, Purpose::Cut, 1),
        ] {
            assert_ne!(one, other);
        }
    }

    #[test]
    fn chances_are_kept() {
        let mut random = Random::new(7, 1, Purpose::Datagrams, 0);
        let mut count = |text: &str| {
            let chance = text.parse().unwrap();
            (0..10_000).filter(|_| random.chance(chance)).count()
        };
        assert_eq!(count("0%"), 0);
        assert_eq!(count("100%"), 10_000);
        assert!((800..1200).contains(&count("10%")));
    }
}
