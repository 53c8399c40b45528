//! Messages that go out by datagrams, and when they do.

use std::collections::VecDeque;
use std::future::Future;
use std::pin::Pin;
use std::task::{Context, Poll, ready};
use std::time::{Duration, Instant};

use bytes::Bytes;
use quinn::{Connection, SendDatagramError};
use tokio::time::{Sleep, sleep};

use super::failure::{closed, describe_end};
use crate::transport::TransportError;
use crate::transport::segments::{Cut, HEADER, MAX_SEGMENTS, Segmenter};

/// Datagrams that wait to be sent: one message of the largest size, or many small ones.
pub(super) const SEND_BUFFER: usize = 5 << 18;
/// Messages up to this size go by datagram. One that needs more of them hardly ever arrives whole, and
/// is better sent reliably.
const MAX_MESSAGE: usize = 1 << 20;
/// What is counted for a datagram besides its content.
const OVERHEAD: usize = 64;
/// What the library says is taken when it holds nothing, at most.
const NOTHING: usize = 64;

/// Datagrams handed to the library at a time, at least. They are 0.25 s of a link with 1 Mbit/s.
const MIN_BATCH: usize = 32 * 1024;
/// What part of that remains while the message stream has more to send than the library takes.
const SHARE: usize = 4;
/// Bytes that the stream sends in a frame when it has many.
const FRAME: usize = 1024;
/// How often it is looked whether the library is done, and how long it is given to send something of the
/// stream, beside a round trip.
const TICK: (Duration, Duration) = (Duration::from_millis(1), Duration::from_millis(10));

/// Messages on their way out by datagrams.
///
/// The library sends all datagrams that it holds before anything of a stream, so a flood of them would keep
/// back everything else. They wait here instead, and leave in batches of what the path takes in a round trip:
/// the next follows when the library has sent the last, and then something of the stream if that waits. A
/// stream may wait because the peer takes no more of it, so the datagrams are held back for a round trip at
/// most.
pub(super) struct Outgoing {
    segmenter: Segmenter,
    prefix: Bytes,
    /// Bytes of a datagram at most, 0 for what the path takes.
    size: usize,
    queue: VecDeque<Bytes>,
    queued: usize,
    /// Bytes of the batch that are still to be handed over.
    batch: usize,
    /// STREAM frames that are to have been sent before the next batch.
    due: u64,
    /// When the library had sent the last batch.
    sent: Option<Instant>,
    tick: Option<Pin<Box<Sleep>>>,
}

impl Outgoing {
    /// Puts `prefix` before datagrams, which then have at most `size` bytes, or what the path takes for 0.
    pub(super) fn new(prefix: Bytes, size: usize) -> Self {
        Self {
            segmenter: Segmenter::default(),
            prefix,
            size,
            queue: VecDeque::new(),
            queued: 0,
            batch: 0,
            due: 0,
            sent: None,
            tick: None,
        }
    }

    pub(super) fn prefix(&self) -> &[u8] {
        &self.prefix
    }

    /// Bytes of the largest message that can go by datagrams at present; 0 when none can.
    pub(super) fn limit(&self, connection: &Connection) -> usize {
        let Some(part) = self.datagram_size(connection).checked_sub(HEADER) else { return 0 };
        let segments = (SEND_BUFFER / (part + self.overhead())).min(MAX_SEGMENTS);
        (segments * part).min(MAX_MESSAGE)
    }

    /// Takes a message within the [limit](Self::limit), unless too much is waiting.
    pub(super) fn push(&mut self, connection: &Connection, message: &Bytes) -> bool {
        let Some(cut) = Cut::new(message.len(), self.datagram_size(connection)) else { return false };
        let needed = message.len() + cut.count * self.overhead();
        // Half a message would be of no use.
        if self.queued + needed > SEND_BUFFER {
            return false;
        }
        self.queued += needed;
        self.queue.extend(self.segmenter.cut(message, cut, &self.prefix));
        true
    }

    /// Notes that the library took something for the stream, when it had sent so many STREAM frames.
    pub(super) fn stream_written(&mut self, frames: u64) {
        self.due = self.due.max(frames + 1);
    }

    /// Hands over what may leave now; ready when that is everything. `crowded` if the stream has more than
    /// the library takes.
    pub(super) fn poll(
        &mut self,
        connection: &Connection,
        crowded: bool,
        cx: &mut Context<'_>,
    ) -> Poll<Result<(), TransportError>> {
        while let Some(next) = self.queue.front() {
            let needed = next.len() + OVERHEAD;
            if self.batch == 0
                && let Err(wait) = self.begin_batch(connection, crowded)
            {
                ready!(self.wait(wait, cx));
                continue;
            }
            if connection.datagram_send_buffer_space() < needed {
                // The rest of the batch does not matter.
                self.batch = 0;
                continue;
            }
            self.batch = self.batch.saturating_sub(needed);
            let Some(datagram) = self.queue.pop_front() else { break };
            self.queued -= datagram.len() + OVERHEAD;
            match connection.send_datagram(datagram) {
                // The path may have become narrower since the message was cut.
                Ok(()) | Err(SendDatagramError::TooLarge) => {}
                Err(SendDatagramError::ConnectionLost(reason)) => {
                    return Poll::Ready(Err(describe_end(reason).unwrap_or_else(closed)));
                }
                Err(error) => return Poll::Ready(Err(TransportError::Lost(error.to_string()))),
            }
        }
        // The memory of a burst is given back.
        if self.queue.capacity() > 1024 {
            self.queue = VecDeque::new();
        }
        self.tick = None;
        Poll::Ready(Ok(()))
    }

    /// Begins a batch, or tells when to ask again.
    fn begin_batch(&mut self, connection: &Connection, crowded: bool) -> Result<(), Duration> {
        let stats = connection.stats();
        let tick = (stats.path.rtt / 4).clamp(TICK.0, TICK.1);
        if connection.datagram_send_buffer_space() < SEND_BUFFER - NOTHING {
            return Err(tick);
        }
        let sent = *self.sent.get_or_insert_with(Instant::now);
        let frames = stats.frame_tx.stream;
        if frames < self.due && sent.elapsed() < stats.path.rtt + TICK.0 {
            return Err(tick);
        }
        let window = usize::try_from(stats.path.cwnd).unwrap_or(usize::MAX).max(MIN_BATCH);
        self.batch = if crowded { window / SHARE } else { window };
        if crowded {
            self.due = frames + (self.batch / FRAME) as u64;
        }
        self.sent = None;
        Ok(())
    }

    fn wait(&mut self, duration: Duration, cx: &mut Context<'_>) -> Poll<()> {
        let tick = self.tick.get_or_insert_with(|| Box::pin(sleep(duration)));
        let elapsed = tick.as_mut().poll(cx);
        if elapsed.is_ready() {
            self.tick = None;
        }
        elapsed
    }

    /// Bytes of a datagram behind the prefix.
    fn datagram_size(&self, connection: &Connection) -> usize {
        let path = connection.max_datagram_size().unwrap_or(0);
        let size = if self.size == 0 { path } else { path.min(self.size) };
        size.saturating_sub(self.prefix.len())
    }

    /// What is counted for a segment besides its part of the message.
    fn overhead(&self) -> usize {
        self.prefix.len() + HEADER + OVERHEAD
    }
}
