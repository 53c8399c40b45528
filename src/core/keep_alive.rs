//! Keep-alive: our pings, and the peer's silence.

use std::time::{Duration, Instant};

/// Decides when to ping and when the peer is gone.
#[derive(Debug)]
pub(super) struct KeepAlive {
    interval: Duration,
    timeout: Duration,
    next_ping: Instant,
    /// The ping on its way and when it is given up.
    outstanding: Option<(u32, Instant)>,
    sent_at: Option<Instant>,
    round_trip: Option<Duration>,
}

/// What a passed deadline means.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Due {
    /// Send a ping.
    Ping,
    /// The peer did not answer.
    PeerGone,
}

impl KeepAlive {
    pub(super) fn new(interval: Duration, timeout: Duration, now: Instant) -> Self {
        Self {
            interval,
            timeout,
            next_ping: now + interval,
            outstanding: None,
            sent_at: None,
            round_trip: None,
        }
    }

    pub(super) fn next_timeout(&self) -> Instant {
        self.outstanding.map_or(self.next_ping, |(_, deadline)| deadline)
    }

    pub(super) fn due(&self, now: Instant) -> Option<Due> {
        (self.next_timeout() <= now).then_some(if self.outstanding.is_some() {
            Due::PeerGone
        } else {
            Due::Ping
        })
    }

    pub(super) fn pinged(&mut self, request_id: u32, now: Instant) {
        self.outstanding = Some((request_id, now + self.timeout));
        self.sent_at = Some(now);
        self.next_ping = now + self.interval;
    }

    /// Any message shows that the peer is there: a pong may be stuck behind a large chunk.
    pub(super) fn heard(&mut self, now: Instant) {
        if let Some((_, deadline)) = &mut self.outstanding {
            *deadline = now + self.timeout;
        }
    }

    pub(super) fn pong(&mut self, request_id: u32, now: Instant) {
        if self
            .outstanding
            .is_some_and(|(expected, _)| expected == request_id)
        {
            self.outstanding = None;
            self.round_trip = self.sent_at.map(|sent| now.saturating_duration_since(sent));
        }
    }

    pub(super) fn round_trip(&self) -> Option<Duration> {
        self.round_trip
    }
}
