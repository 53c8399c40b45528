//! One transport of a bundle.

use std::collections::VecDeque;
use std::convert::Infallible;
use std::task::{Context, Poll};
use std::time::{Duration, Instant};

use tokio::sync::oneshot;

use super::bundle::Joining;
use super::control::Control;
use super::path::Path;
use crate::transport::{Transport, TransportError};

/// Pings whose answer is waited for.
const PINGS: usize = 8;
/// Control messages that wait to be sent. A peer that wants more answers gets none.
const OUTBOX: usize = 64;
/// Shortest silence after a ping that makes a member suspect.
const SUSPECT: Duration = Duration::from_secs(1);
/// Round trips of silence that make a member suspect.
const SUSPECT_ROUND_TRIPS: u32 = 4;

pub(super) struct Member {
    pub(super) id: u64,
    pub(super) slot: String,
    pub(super) name: String,
    pub(super) transport: Box<dyn Transport>,
    pub(super) path: Path,
    /// The peer has shown that it belongs to the same connection.
    pub(super) greeted: bool,
    /// Nothing came since a ping that should have been answered: others are to carry the messages.
    pub(super) suspect: bool,
    /// It has said goodbye.
    pub(super) closed: bool,
    /// Number that the peer takes the next message for.
    pub(super) outgoing: u64,
    /// Number of the next message that comes.
    pub(super) incoming: u64,
    outbox: VecDeque<Control>,
    pings: VecDeque<(u32, Instant)>,
    last_ping: u32,
    next_ping: Instant,
    /// When the first ping was sent behind the last sign of life.
    silent_since: Option<Instant>,
    /// Dropped with the member, which tells whoever brought it.
    _gone: oneshot::Sender<Infallible>,
}

/// What time makes of a member.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Verdict {
    Alive,
    /// It has become suspect just now.
    Suspect,
    Dead,
}

impl Member {
    pub(super) fn new(id: u64, joining: Joining, next_ping: Instant) -> Self {
        let Joining { slot, name, transport, gone } = joining;
        Self {
            id,
            slot,
            name,
            transport,
            path: Path::new(),
            greeted: false,
            suspect: false,
            closed: false,
            outgoing: 0,
            incoming: 0,
            outbox: VecDeque::new(),
            pings: VecDeque::new(),
            last_ping: 0,
            next_ping,
            silent_since: None,
            _gone: gone,
        }
    }

    /// A control message is to be sent, before any other message.
    pub(super) fn tell(&mut self, control: Control) {
        if self.outbox.len() < OUTBOX {
            self.outbox.push_back(control);
        }
    }

    /// The next ping goes at once.
    pub(super) fn ping_now(&mut self, now: Instant) {
        self.next_ping = now;
    }

    /// Sends control messages; ready when none is left.
    pub(super) fn poll_control(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), TransportError>> {
        while let Some(control) = self.outbox.front() {
            match self.transport.poll_ready(cx) {
                Poll::Ready(Ok(())) => self.transport.send(control.encode())?,
                other => return other,
            }
            self.outbox.pop_front();
        }
        Poll::Ready(Ok(()))
    }

    /// Whether a message of the protocol is taken now.
    pub(super) fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), TransportError>> {
        match self.poll_control(cx) {
            Poll::Ready(Ok(())) => self.transport.poll_ready(cx),
            other => other,
        }
    }

    /// The same, for the message with a number, which the peer is told if it expects another.
    pub(super) fn poll_ready_for(
        &mut self,
        cx: &mut Context<'_>,
        number: u64,
    ) -> Poll<Result<(), TransportError>> {
        match self.poll_ready(cx) {
            Poll::Ready(Ok(())) if self.outgoing != number => {
                self.transport.send(Control::Next(number).encode())?;
                self.outgoing = number;
                self.transport.poll_ready(cx)
            }
            other => other,
        }
    }

    /// Whether it may carry datagrams, in a connection whose messages are numbered or not.
    pub(super) fn takes_datagrams(&self, numbered: bool) -> bool {
        !self.suspect && (self.greeted || !numbered)
    }

    /// Something came.
    pub(super) fn heard(&mut self) {
        self.silent_since = None;
        self.suspect = false;
    }

    /// A ping was answered.
    pub(super) fn ponged(&mut self, number: u32, now: Instant) {
        while let Some((ping, sent)) = self.pings.pop_front() {
            if ping == number {
                self.path.measured(now.saturating_duration_since(sent));
                return;
            }
        }
    }

    /// Sends pings, and judges the silence.
    pub(super) fn tick(&mut self, now: Instant, interval: Duration, limit: Duration) -> Verdict {
        if now >= self.next_ping {
            self.last_ping = self.last_ping.wrapping_add(1);
            self.next_ping = now + interval;
            self.tell(Control::Ping(self.last_ping));
            if self.pings.len() == PINGS {
                self.pings.pop_front();
            }
            self.pings.push_back((self.last_ping, now));
            self.silent_since.get_or_insert(now);
        }
        match self.silent_since {
            Some(since) if now >= since + limit => Verdict::Dead,
            Some(since) if !self.suspect && now >= since + self.suspicion() => {
                self.suspect = true;
                Verdict::Suspect
            }
            _ => Verdict::Alive,
        }
    }

    /// When [`Member::tick`] has something to do.
    pub(super) fn deadline(&self, limit: Duration) -> Instant {
        let judged = self.silent_since.map(|since| match self.suspect {
            true => since + limit,
            false => since + self.suspicion().min(limit),
        });
        judged.into_iter().fold(self.next_ping, Instant::min)
    }

    fn suspicion(&self) -> Duration {
        SUSPECT.max(self.path.round_trip() * SUSPECT_ROUND_TRIPS)
    }
}
