//! When a lost connection is made anew, and when it is given up.

use std::time::{Duration, Instant};

use super::config::ReconnectConfig;
use crate::error::{Error, Status};
use crate::message::ResultCode;

/// Times in a row that the server may refuse the credentials, fetched anew each time, until they are
/// taken to be wrong (docs/protocol/behaviour.md §12.5 item 13).
const MAX_UNAUTHORIZED: u32 = 3;

/// Attempts to reconnect: their number and the waits before them.
#[derive(Debug)]
pub(super) struct Backoff {
    config: ReconnectConfig,
    random: u64,
    /// How far the waits have grown. Outlives a connection that did not last, so that one which is lost as
    /// soon as it is made does not lead to a storm of attempts.
    level: u32,
    attempts: u32,
    unauthorized: u32,
    up_since: Option<Instant>,
    down_since: Option<Instant>,
}

impl Backoff {
    pub(super) fn new(config: ReconnectConfig) -> Self {
        Self {
            random: config.seed,
            config,
            level: 0,
            attempts: 0,
            unauthorized: 0,
            up_since: None,
            down_since: None,
        }
    }

    /// Whether there will be an attempt after a failure of this kind.
    pub(super) fn recovers_from(&self, error: &Error) -> bool {
        self.config.enabled && !is_final(error)
    }

    /// The connection is up.
    pub(super) fn up(&mut self, now: Instant) {
        self.up_since = Some(now);
        self.down_since = None;
        self.attempts = 0;
        self.unauthorized = 0;
    }

    /// The connection was lost, or an attempt failed: number of the next attempt and the wait before it.
    ///
    /// # Errors
    /// Why there is no further attempt.
    pub(super) fn next(&mut self, error: &Error, now: Instant) -> Result<(u32, Duration), Error> {
        if self.up_since.take().is_some_and(|up| now - up >= self.config.max_interval) {
            self.level = 0;
        }
        let began = *self.down_since.get_or_insert(now);
        if error.status() == Status::Unauthorized {
            self.unauthorized += 1;
        }
        let gives_up = is_final(error)
            || self.unauthorized >= MAX_UNAUTHORIZED
            || self.config.attempts > 0 && self.attempts >= self.config.attempts
            || self.gives_up_at().is_some_and(|at| at <= now);
        if gives_up {
            return Err(self.given_up(error, now - began));
        }
        self.attempts += 1;
        self.level += 1;
        Ok((self.attempts, self.delay(self.level)))
    }

    /// When the outage has taken too long.
    pub(super) fn gives_up_at(&self) -> Option<Instant> {
        Some(self.down_since? + self.config.total?)
    }

    /// The outage has taken too long.
    pub(super) fn out_of_time(&self, last: &Error) -> Error {
        self.given_up(last, self.config.total.unwrap_or_default())
    }

    fn given_up(&self, error: &Error, outage: Duration) -> Error {
        let attempts = self.attempts;
        error.clone().context(format!("reconnect: given up after {attempts} attempts in {outage:?}"))
    }

    /// A wait between the shortest and one that doubles with the level up to the longest.
    pub(super) fn delay(&mut self, level: u32) -> Duration {
        let ReconnectConfig { min_interval, max_interval, .. } = self.config;
        let doubled = 1_u32.checked_shl(level).and_then(|factor| min_interval.checked_mul(factor));
        let span = doubled.unwrap_or(max_interval).min(max_interval).saturating_sub(min_interval);
        let micros = u64::try_from(span.as_micros()).unwrap_or(u64::MAX - 1);
        min_interval + Duration::from_micros(self.random() % (micros + 1))
    }

    /// SplitMix64.
    fn random(&mut self) -> u64 {
        self.random = self.random.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.random;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }
}

/// Whether the same attempt would fail in the same way for ever.
fn is_final(error: &Error) -> bool {
    matches!(error.status(), Status::IncompatibleVersion | Status::InvalidOption | Status::Unsupported)
        || matches!(
            error.result_code(),
            Some(
                ResultCode::INCOMPATIBLE_VERSION
                    | ResultCode::NO_NODE_ID
                    | ResultCode::TOO_LONG_PING_TIMEOUT
                    | ResultCode::TOO_SHORT_PING_INTERVAL
                    | ResultCode::TOO_SHORT_PING_TIMEOUT
            )
        )
}

#[cfg(test)]
mod tests {
    use super::*;

    fn lost() -> Error {
        Error::new(Status::ConnectionLost, "gone")
    }

    fn config(seed: u64) -> ReconnectConfig {
        ReconnectConfig { seed, ..ReconnectConfig::default() }
    }

    #[test]
    fn waits_grow_at_random_between_their_limits() {
        let now = Instant::now();
        let mut longest = [Duration::ZERO; 10];
        for seed in 0..200 {
            let mut backoff = Backoff::new(config(seed));
            for (at, longest) in longest.iter_mut().enumerate() {
                let (attempt, delay) = backoff.next(&lost(), now).unwrap();
                assert_eq!(attempt as usize, at + 1);
                assert!((100..=5000).contains(&delay.as_millis()), "{delay:?}");
                assert!(delay <= Duration::from_millis(100 << attempt), "{attempt}: {delay:?}");
                *longest = delay.max(*longest);
            }
        }
        assert!(longest[0] > Duration::from_millis(180) && longest[9] > Duration::from_millis(4500));
    }

    #[test]
    fn a_level_beyond_all_bounds_waits_the_longest_at_most() {
        let mut backoff = Backoff::new(config(1));
        for level in [31, 32, 1000, u32::MAX] {
            assert!(backoff.delay(level) <= Duration::from_secs(5));
        }
    }

    #[test]
    fn a_connection_that_does_not_last_does_not_shorten_the_waits() {
        let mut now = Instant::now();
        let mut backoff = Backoff::new(config(3));
        for _ in 0..6 {
            backoff.next(&lost(), now).unwrap();
        }
        backoff.up(now);
        now += Duration::from_millis(10);
        assert_eq!(backoff.next(&lost(), now).unwrap().0, 1, "another outage");
        assert_eq!(backoff.level, 7);
        backoff.up(now);
        now += Duration::from_secs(5);
        backoff.next(&lost(), now).unwrap();
        assert_eq!(backoff.level, 1);
    }

    #[test]
    fn attempts_and_time_of_an_outage_are_limited() {
        let now = Instant::now();
        let mut backoff = Backoff::new(ReconnectConfig { attempts: 2, ..config(0) });
        assert!(backoff.next(&lost(), now).is_ok() && backoff.next(&lost(), now).is_ok());
        let error = backoff.next(&lost(), now).unwrap_err();
        assert_eq!(error.status(), Status::ConnectionLost);
        assert!(error.message().contains("2 attempts"), "{error}");

        let total = Some(Duration::from_secs(7));
        let mut backoff = Backoff::new(ReconnectConfig { total, ..config(0) });
        assert!(backoff.next(&lost(), now).is_ok());
        assert_eq!(backoff.gives_up_at(), Some(now + Duration::from_secs(7)));
        assert!(backoff.next(&lost(), now + Duration::from_secs(6)).is_ok());
        assert!(backoff.next(&lost(), now + Duration::from_secs(7)).is_err());
        backoff.up(now);
        assert_eq!(backoff.gives_up_at(), None);
    }

    #[test]
    fn what_cannot_succeed_is_not_repeated_for_ever() {
        let now = Instant::now();
        let refused = |code| Error::refused("connect", code, "");
        let mut backoff = Backoff::new(config(0));
        assert!(!backoff.recovers_from(&refused(ResultCode::INCOMPATIBLE_VERSION)));
        assert!(backoff.next(&refused(ResultCode::NO_NODE_ID), now).is_err());
        assert!(backoff.next(&refused(ResultCode::RATE_LIMIT_REACHED), now).is_ok());
        let unauthorized = refused(ResultCode::AUTH_FAILED);
        assert!(backoff.next(&unauthorized, now).is_ok() && backoff.next(&unauthorized, now).is_ok());
        assert_eq!(backoff.next(&unauthorized, now).unwrap_err().status(), Status::Unauthorized);
    }
}
