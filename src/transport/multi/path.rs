//! What is known of the way that a member takes.

use std::time::{Duration, Instant};

/// Round trip before anything is known (docs/protocol/transport.md §8.4).
const FIRST_ROUND_TRIP: Duration = Duration::from_millis(100);
/// Bytes that a path carries in a round trip before anything is known (docs/protocol/transport.md §8.4).
const FIRST_WINDOW: f64 = 14_600.0;
/// Shortest time over which a rate is measured.
const RATE_WINDOW: Duration = Duration::from_millis(50);

/// Measurements of a path.
#[derive(Clone, Debug)]
pub(super) struct Path {
    /// Smoothed round trip and its variation (RFC 6298 §2), once measured.
    round_trip: Option<(Duration, Duration)>,
    /// Bytes a second.
    rate: Option<f64>,
    window: Option<(Instant, u64)>,
    /// Bytes sent that are not known to have come.
    pub(super) unacked: u64,
}

impl Path {
    pub(super) fn new() -> Self {
        Self { round_trip: None, rate: None, window: None, unacked: 0 }
    }

    /// A ping took so long.
    pub(super) fn measured(&mut self, took: Duration) {
        self.round_trip = Some(match self.round_trip {
            None => (took, took / 2),
            Some((smoothed, variation)) => {
                ((smoothed * 7 + took) / 8, (variation * 3 + smoothed.abs_diff(took)) / 4)
            }
        });
    }

    /// Bytes were handed to the member.
    pub(super) fn sent(&mut self, bytes: usize, now: Instant) {
        if self.unacked == 0 {
            // What was idle says nothing about the rate.
            self.window = Some((now, 0));
        }
        self.unacked += bytes as u64;
    }

    /// Some of them have come.
    pub(super) fn came(&mut self, bytes: usize, now: Instant) {
        self.unacked = self.unacked.saturating_sub(bytes as u64);
        let Some((since, came)) = &mut self.window else { return };
        *came += bytes as u64;
        let took = now.saturating_duration_since(*since);
        if took >= RATE_WINDOW.max(self.round_trip.map_or(RATE_WINDOW, |(smoothed, _)| smoothed)) {
            let sample = *came as f64 / took.as_secs_f64();
            // An application that sends less than it could makes samples too small, never too large.
            self.rate = Some(self.rate.map_or(sample, |rate| sample.max(rate * 0.9 + sample * 0.1)));
            self.window = Some((now, 0));
        }
    }

    pub(super) fn round_trip(&self) -> Duration {
        self.round_trip.map_or(FIRST_ROUND_TRIP, |(smoothed, _)| smoothed)
    }

    pub(super) fn variation(&self) -> Duration {
        self.round_trip.map_or(FIRST_ROUND_TRIP / 2, |(_, variation)| variation)
    }

    /// When the last of what is under way and of so many bytes more will have come.
    pub(super) fn completion(&self, bytes: usize) -> Duration {
        let round_trip = self.round_trip();
        let rate = self.rate.unwrap_or(FIRST_WINDOW / round_trip.as_secs_f64().max(1e-6));
        let transfer = (self.unacked + bytes as u64) as f64 / rate.max(1.0);
        round_trip / 2 + Duration::try_from_secs_f64(transfer).unwrap_or(Duration::MAX / 4)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn measurements_are_smoothed() {
        let mut path = Path::new();
        assert_eq!((path.round_trip(), path.variation()), (FIRST_ROUND_TRIP, FIRST_ROUND_TRIP / 2));
        path.measured(Duration::from_millis(80));
        assert_eq!(
            (path.round_trip(), path.variation()),
            (Duration::from_millis(80), Duration::from_millis(40))
        );
        path.measured(Duration::from_millis(160));
        assert_eq!(
            (path.round_trip(), path.variation()),
            (Duration::from_millis(90), Duration::from_millis(50))
        );
    }

    #[test]
    fn the_rate_is_what_came_while_something_was_under_way() {
        let mut path = Path::new();
        let begun = Instant::now();
        path.measured(Duration::from_millis(100));
        path.sent(1_000_000, begun);
        path.came(100_000, begun + Duration::from_millis(100));
        // 1 MB/s: the rest and 100 KB more take a second, and half a round trip.
        assert_eq!(path.completion(100_000), Duration::from_millis(1050));
        path.came(900_000, begun + Duration::from_secs(1));
        assert_eq!(path.unacked, 0);
    }
}
