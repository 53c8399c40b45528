//! What a broker needs from the world beside messages and the monotonic clock.

use std::time::{Instant, SystemTime, UNIX_EPOCH};

use uuid::{Builder, Uuid};

/// Source of wall-clock time and randomness. A test gives one that repeats.
pub trait Environment: Send {
    /// Wall-clock time at `now`, nanoseconds since the Unix epoch.
    fn unix_time_ns(&mut self, now: Instant) -> i64;

    /// 16 bytes that nobody can guess.
    fn random(&mut self) -> [u8; 16];
}

/// The system's clock and random numbers.
#[derive(Clone, Copy, Debug, Default)]
pub struct SystemEnvironment;

impl Environment for SystemEnvironment {
    fn unix_time_ns(&mut self, _now: Instant) -> i64 {
        SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |since| since.as_nanos() as i64)
    }

    fn random(&mut self) -> [u8; 16] {
        // Six bits of a version 4 UUID are fixed; two of them make 16 bytes of full strength.
        let (a, b) = (*Uuid::new_v4().as_bytes(), *Uuid::new_v4().as_bytes());
        std::array::from_fn(|i| a[i] ^ b[15 - i])
    }
}

/// An environment that repeats: its clock follows the `now` it is given, its random numbers the seed.
/// For tests and simulations only.
#[derive(Clone, Debug)]
pub struct SeededEnvironment {
    state: u64,
    start: Instant,
    start_unix_ns: i64,
}

impl SeededEnvironment {
    /// An environment whose wall clock shows `start_unix_ns` at `start`.
    pub fn new(seed: u64, start: Instant, start_unix_ns: i64) -> Self {
        Self { state: seed, start, start_unix_ns }
    }

    /// SplitMix64.
    fn next(&mut self) -> u64 {
        self.state = self.state.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.state;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }
}

impl Environment for SeededEnvironment {
    fn unix_time_ns(&mut self, now: Instant) -> i64 {
        self.start_unix_ns + now.saturating_duration_since(self.start).as_nanos() as i64
    }

    fn random(&mut self) -> [u8; 16] {
        let mut bytes = [0; 16];
        bytes[..8].copy_from_slice(&self.next().to_be_bytes());
        bytes[8..].copy_from_slice(&self.next().to_be_bytes());
        bytes
    }
}

/// A new id: always version 4, the only kind every client accepts
/// (docs/protocol/behaviour.md §11 item 22).
pub(super) fn new_uuid(environment: &mut dyn Environment) -> Uuid {
    Builder::from_random_bytes(environment.random()).into_uuid()
}
