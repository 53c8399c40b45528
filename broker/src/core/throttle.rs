//! Holds back clients that come again and again with a wrong token: Go, Rust and TypeScript retry
//! for ever (docs/protocol/behaviour.md §11 item 10).

use std::collections::HashMap;
use std::net::IpAddr;
use std::time::{Duration, Instant};

/// Refusals an address gets without delay.
const FREE: u32 = 5;
/// How long an address must behave to start afresh.
const MEMORY: Duration = Duration::from_secs(60);
/// Addresses remembered.
const MAX_ADDRESSES: usize = 4096;

#[derive(Debug, Default)]
pub(super) struct Throttle {
    refusals: HashMap<IpAddr, (u32, Instant)>,
}

impl Throttle {
    /// Counts a refusal. Returns whether it should be delayed.
    pub(super) fn refuse(&mut self, address: IpAddr, now: Instant) -> bool {
        if self.refusals.len() >= MAX_ADDRESSES && !self.refusals.contains_key(&address) {
            self.refusals.retain(|_, (_, last)| now.saturating_duration_since(*last) < MEMORY);
            if self.refusals.len() >= MAX_ADDRESSES {
                return true;
            }
        }
        let (count, last) = self.refusals.entry(address).or_insert((0, now));
        if now.saturating_duration_since(*last) >= MEMORY {
            *count = 0;
        }
        *count = count.saturating_add(1);
        *last = now;
        *count > FREE
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_address_is_held_back_after_several_refusals_and_forgiven_later() {
        let mut throttle = Throttle::default();
        let now = Instant::now();
        let address = IpAddr::from([10, 0, 0, 1]);
        for _ in 0..FREE {
            assert!(!throttle.refuse(address, now));
        }
        assert!(throttle.refuse(address, now));
        assert!(!throttle.refuse(IpAddr::from([10, 0, 0, 2]), now));
        assert!(!throttle.refuse(address, now + MEMORY));
    }
}
