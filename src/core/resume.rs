//! How a stream comes back after the connection was lost: resumed, or opened anew.

use std::time::{Duration, Instant};

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Phase {
    /// The stream is in use on the connection.
    Attached,
    /// To be asked for as soon as there is a connection.
    Due,
    /// Asked for.
    Asked,
    /// To be asked for again.
    RetryAt(Instant),
}

/// How to ask for a stream.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Ask {
    /// The stream itself.
    Resume,
    /// Another one in its place.
    Reopen,
}

/// Whether a stream is attached to the connection, and what brings it back if not.
#[derive(Debug)]
pub(super) struct Attachment {
    phase: Phase,
    ask: Ask,
    /// Secret to resume with. The server may take an old one as long as it has not seen the newest used
    /// (docs/protocol/behaviour.md §9), so it is kept until another is given.
    token: String,
    /// When the server has dropped the stream.
    expires: Option<Instant>,
    retries: u32,
}

impl Attachment {
    pub(super) fn new(token: String) -> Self {
        Self { phase: Phase::Attached, ask: Ask::Resume, token, expires: None, retries: 0 }
    }

    pub(super) fn is_attached(&self) -> bool {
        self.phase == Phase::Attached
    }

    pub(super) fn token(&self) -> &str {
        &self.token
    }

    /// The connection was lost. False when the stream ends with it.
    pub(super) fn lost(&mut self, expiry: Duration, reopen: bool, now: Instant) -> bool {
        // A request that was under way may have attached the stream.
        let renewed = matches!(self.phase, Phase::Attached | Phase::Asked);
        self.retries = 0;
        self.phase = Phase::Due;
        if renewed && self.ask == Ask::Resume {
            self.expires = Some(now + expiry);
            return !expiry.is_zero() || self.forgotten(reopen);
        }
        true
    }

    /// The server does not have the stream any more. False when the stream ends with that.
    pub(super) fn forgotten(&mut self, reopen: bool) -> bool {
        self.expires = None;
        self.retries = 0;
        self.ask = Ask::Reopen;
        self.phase = Phase::Due;
        reopen
    }

    /// Whether the server has dropped the stream by now. While it is asked its answer counts.
    pub(super) fn is_expired(&self, now: Instant) -> bool {
        self.phase != Phase::Asked && self.is_past(now)
    }

    /// Whether the time is over in which the server keeps the stream.
    pub(super) fn is_past(&self, now: Instant) -> bool {
        self.expires.is_some_and(|at| at <= now)
    }

    pub(super) fn is_due(&self, now: Instant) -> bool {
        match self.phase {
            Phase::Due => true,
            Phase::RetryAt(at) => at <= now,
            Phase::Attached | Phase::Asked => false,
        }
    }

    /// Says how to ask, and that it is being done.
    pub(super) fn ask(&mut self) -> Ask {
        self.phase = Phase::Asked;
        self.ask
    }

    /// The server did not answer, or wants to be asked again. `delay` gives the wait before a retry.
    pub(super) fn retry(&mut self, now: Instant, delay: impl FnOnce(u32) -> Duration) {
        self.retries += 1;
        self.phase = Phase::RetryAt(now + delay(self.retries));
    }

    /// The stream is in use again.
    pub(super) fn attached(&mut self, token: String) {
        *self = Self::new(token);
    }

    /// When something is to be done. Nothing can be asked for without a connection.
    pub(super) fn next_timeout(&self, connected: bool) -> Option<Instant> {
        match self.phase {
            Phase::Attached | Phase::Asked => None,
            Phase::RetryAt(at) if connected => Some(self.expires.map_or(at, |expires| expires.min(at))),
            Phase::RetryAt(_) | Phase::Due => self.expires,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const EXPIRY: Duration = Duration::from_secs(10);

    #[test]
    fn a_stream_expires_from_the_loss_on_unless_the_server_may_have_resumed_it() {
        let start = Instant::now();
        let at = |seconds| start + Duration::from_secs(seconds);
        let mut attachment = Attachment::new("t".to_owned());
        assert!(!attachment.is_expired(at(100)));
        assert!(attachment.lost(EXPIRY, false, at(0)));
        assert!(attachment.lost(EXPIRY, false, at(5)), "lost again before anything was asked");
        assert!(!attachment.is_expired(at(9)) && attachment.is_expired(at(10)));
        assert_eq!(attachment.ask(), Ask::Resume);
        assert!(!attachment.is_expired(at(11)), "the answer counts");
        assert!(attachment.lost(EXPIRY, false, at(11)));
        assert!(!attachment.is_expired(at(20)) && attachment.is_expired(at(21)));
        assert_eq!(attachment.token(), "t");
    }

    #[test]
    fn a_stream_without_expiry_ends_with_the_connection_or_is_opened_anew() {
        let now = Instant::now();
        let mut attachment = Attachment::new(String::new());
        assert!(!attachment.lost(Duration::ZERO, false, now));
        let mut attachment = Attachment::new(String::new());
        assert!(attachment.lost(Duration::ZERO, true, now));
        assert_eq!(attachment.ask(), Ask::Reopen);
        assert!(attachment.lost(Duration::ZERO, true, now));
        assert_eq!(attachment.ask(), Ask::Reopen, "the response may be lost");
        assert_eq!(attachment.next_timeout(true), None);
    }
}
