//! Messages on their way, in and out.

use std::sync::PoisonError;
use std::sync::atomic::Ordering::Relaxed;
use std::task::{Context, Poll};
use std::time::Instant;

use super::{Driver, TURN};
use crate::client::dialer::transport_error;
use crate::error::{Error, Status};
use crate::message::Message;
use crate::transport::{Channel, Received, Transport, TransportError};

impl Driver<'_> {
    pub(super) fn receive(&mut self, cx: &mut Context<'_>, now: Instant) -> bool {
        for _ in 0..TURN {
            let Some(transport) = self.transport.as_mut().filter(|_| !self.core.is_closed()) else {
                return false;
            };
            match transport.poll_recv(cx) {
                Poll::Pending => return false,
                Poll::Ready(Some(Ok(received))) => self.handle_received(received, now),
                Poll::Ready(Some(Err(error))) => {
                    self.lose(&transport_error(&error).context("connection"), now);
                    return false;
                }
                Poll::Ready(None) => {
                    self.lose(&Error::new(Status::ConnectionLost, "connection: the server closed it"), now);
                    return false;
                }
            }
        }
        true
    }

    fn handle_received(&mut self, received: Received, now: Instant) {
        let counters = &self.shared.counters;
        counters.messages_received.fetch_add(1, Relaxed);
        counters.bytes_received.fetch_add(received.bytes.len() as u64, Relaxed);
        match (self.encoding.decode(received.bytes), received.channel) {
            // Only chunks come by datagram; whatever else does, or cannot be read, is dropped alone
            // (docs/protocol/transport.md §5.5, §5.6).
            (Ok(message), Channel::Unreliable) if !matches!(message, Message::DownstreamChunk(_)) => {
                tracing::debug!("dropped a {} that came by datagram", message.name());
            }
            (Err(error), Channel::Unreliable) => {
                tracing::debug!("dropped a malformed message that came by datagram: {error}");
            }
            (Err(error), Channel::Reliable) => self.core.handle_malformed(&error.to_string(), now),
            (Ok(message), _) => {
                counters.received_by_kind[message.index()].fetch_add(1, Relaxed);
                if let Message::DownstreamChunk(chunk) = &message {
                    counters.points_received.fetch_add(chunk.chunk.points(), Relaxed);
                }
                let pong = matches!(message, Message::Pong(_));
                self.core.handle_message(message, now);
                if let (true, Some(took)) = (pong, self.core.round_trip()) {
                    let nanos = u64::try_from(took.as_nanos()).unwrap_or(u64::MAX);
                    counters.round_trip_ns.store(nanos, Relaxed);
                }
            }
        }
    }

    pub(super) fn lose(&mut self, error: &Error, now: Instant) {
        self.transport = None;
        self.core.transport_lost(error, now);
    }

    pub(super) fn transmit(&mut self, cx: &mut Context<'_>, now: Instant) -> bool {
        self.note_paths();
        let Some(mut transport) = self.transport.take() else {
            return false;
        };
        match self.try_transmit(&mut *transport, cx, now) {
            Ok(more) => {
                self.transport = Some(transport);
                more
            }
            Err(error) => {
                self.lose(&transport_error(&error).context("connection"), now);
                false
            }
        }
    }

    /// Tells the application what the connection travels on.
    pub(super) fn note_paths(&mut self) {
        let transport = self.transport.as_ref();
        let (paths, stamp) =
            transport.map_or((0, 0), |transport| (transport.paths(), transport.path_stamp()));
        self.shared.counters.paths.store(paths as u64, Relaxed);
        if stamp != self.path_stamp {
            self.path_stamp = stamp;
            let paths = transport.map_or_else(Vec::new, |transport| transport.describe());
            *self.shared.paths.lock().unwrap_or_else(PoisonError::into_inner) = paths;
        }
    }

    fn try_transmit(
        &mut self,
        transport: &mut dyn Transport,
        cx: &mut Context<'_>,
        now: Instant,
    ) -> Result<bool, TransportError> {
        let mut sent = 0;
        let mut full = false;
        while sent < TURN {
            full = transport.poll_ready(cx)?.is_pending();
            if full {
                break;
            }
            let Some(message) = self.core.poll_transmit(now) else {
                break;
            };
            self.send(transport, &message)?;
            sent += 1;
        }
        // Datagrams need not wait for the peer to take what is on the stream.
        while full
            && sent < TURN
            && let Some(message) = self.core.poll_datagram(transport.datagram_limit(), now)
        {
            self.send(transport, &message)?;
            sent += 1;
        }
        // Pending or not: what could not be written now is written when the socket says so.
        full |= transport.poll_flush(cx)?.is_pending();
        let written = transport.bytes_written();
        if self.full_at.is_some_and(|before| written > before) {
            self.core.transport_progressed(now);
        }
        self.full_at = full.then_some(written);
        Ok(sent == TURN)
    }

    fn send(&mut self, transport: &mut dyn Transport, message: &Message) -> Result<(), TransportError> {
        if self.shows_chunks {
            self.show_chunk(message);
        }
        let bytes = self.encoding.encode(message, self.schema);
        let counters = &self.shared.counters;
        counters.messages_sent.fetch_add(1, Relaxed);
        counters.sent_by_kind[message.index()].fetch_add(1, Relaxed);
        if let Message::UpstreamChunk(chunk) = message {
            counters.points_sent.fetch_add(chunk.chunk.points(), Relaxed);
        }
        counters.bytes_sent.fetch_add(bytes.len() as u64, Relaxed);
        if !self.core.is_unreliable(message) {
            return transport.send(bytes);
        }
        if !transport.send_unreliable(bytes)? {
            counters.messages_dropped.fetch_add(1, Relaxed);
        }
        Ok(())
    }
}
