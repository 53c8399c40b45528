//! Keep-alive: our pings, and the peer's silence.

use std::time::{Duration, Instant};

/// Decides when to ping and when the peer is gone.
#[derive(Debug)]
pub(super) struct KeepAlive {
    interval: Duration,
    timeout: Duration,
    next_ping: Instant,
    /// The ping that waits for its answer.
    outstanding: Option<Outstanding>,
    round_trip: Option<Duration>,
}

#[derive(Debug)]
struct Outstanding {
    request_id: u32,
    /// When it left; before that it waits for a transport that takes nothing.
    sent: Option<Instant>,
    /// When the peer was last known to be there.
    alive: Instant,
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
        Self { interval, timeout, next_ping: now + interval, outstanding: None, round_trip: None }
    }

    pub(super) fn next_timeout(&self) -> Instant {
        self.outstanding.as_ref().map_or(self.next_ping, |ping| ping.alive + self.timeout)
    }

    pub(super) fn due(&self, now: Instant) -> Option<Due> {
        (self.next_timeout() <= now).then_some(if self.outstanding.is_some() {
            Due::PeerGone
        } else {
            Due::Ping
        })
    }

    pub(super) fn pinged(&mut self, request_id: u32, now: Instant) {
        self.outstanding = Some(Outstanding { request_id, sent: None, alive: now });
        self.next_ping = now + self.interval;
    }

    /// A ping left.
    pub(super) fn sent(&mut self, request_id: u32, now: Instant) {
        if let Some(ping) = self.outstanding.as_mut().filter(|ping| ping.request_id == request_id) {
            ping.sent.get_or_insert(now);
            ping.alive = now;
        }
    }

    /// The peer is there: it sent something, or took something of what the ping waits behind.
    pub(super) fn heard(&mut self, now: Instant) {
        if let Some(ping) = &mut self.outstanding {
            ping.alive = now;
        }
    }

    pub(super) fn pong(&mut self, request_id: u32, now: Instant) {
        if let Some(ping) = self.outstanding.take_if(|ping| ping.request_id == request_id) {
            self.round_trip = ping.sent.map(|sent| now.saturating_duration_since(sent));
        }
    }

    /// A ping of the application took this long.
    pub(super) fn measured(&mut self, round_trip: Duration) {
        self.round_trip = Some(round_trip);
    }

    pub(super) fn round_trip(&self) -> Option<Duration> {
        self.round_trip
    }
}
