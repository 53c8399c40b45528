//! The end of the broker, without loss for those who read on (docs/protocol/behaviour.md §11 item 20).

use std::time::Instant;

use iscp::message::{Message, Qos};
use tracing::debug;

use super::connection::{Phase, Session};
use super::timers::Timer;
use super::{Broker, ConnId};

impl Broker {
    /// Prepares the end: takes no more connections, requests and data, acknowledges what was taken, and
    /// delivers what waits in RELIABLE downstreams to the clients that go on reading. A connection is to be
    /// closed as soon as its own is delivered, and all at `until`, as by [`Broker::shutdown`].
    pub fn drain(&mut self, now: Instant, until: Instant) {
        self.begin_end(now, until);
    }

    /// As [`Broker::drain`], for a broker of which [`Broker::snapshot`] is taken afterwards: chunks of RELIABLE
    /// upstreams go on waiting for those before them, and no stream is closed of which something is missing.
    pub fn suspend(&mut self, now: Instant, until: Instant) {
        self.suspends = true;
        self.begin_end(now, until);
    }

    fn begin_end(&mut self, now: Instant, until: Instant) {
        self.shutting_down = true;
        let mut upstreams: Vec<_> = self.upstream_ids.values().copied().collect();
        upstreams.sort_unstable();
        for key in upstreams {
            if self.suspends {
                self.forget_close(key);
            }
            if !self.waits_for_restart(key) {
                // What was acknowledged is forwarded, whatever is still missing before it.
                while self.skip_gap(key) {}
            }
            self.send_acks(key, now);
            // Not answered: what is missing would be taken for lost on the way.
            self.timers.clear(Timer::UpstreamClose(key));
        }
        let mut connections: Vec<_> = self.connections.keys().copied().collect();
        connections.sort_unstable();
        for conn in connections {
            if self.is_admitted(conn) {
                if let Some(connection) = self.connections.get_mut(&conn) {
                    connection.wake(conn, &mut self.ready);
                }
            } else {
                self.hang_up(conn, now);
            }
        }
        self.timers.set(Timer::Drain, until);
        self.settle(now);
    }

    /// Whether a message is still taken. What is ignored is not acknowledged, so its sender does not take it
    /// for delivered.
    pub(super) fn takes_while_draining(&self, conn: ConnId, message: &Message) -> bool {
        let taken = matches!(
            message,
            Message::Ping(_)
                | Message::Pong(_)
                | Message::DownstreamChunkAck(_)
                | Message::DownstreamMetadataAck(_)
                | Message::DownstreamCloseRequest(_)
                | Message::Disconnect(_)
        );
        if !taken {
            debug!(conn = conn.0, message = message.name(), "ignored at the end");
        }
        taken
    }

    /// Whether everything is delivered that a connection is kept for.
    pub(super) fn is_drained(&self, session: &Session) -> bool {
        session
            .downstreams
            .values()
            .filter_map(|key| self.downstreams.get(*key))
            .all(|downstream| downstream.qos() != Qos::Reliable || downstream.is_idle())
    }

    /// Whether the connection is to be closed once [`Broker::poll_transmit`] gives nothing more.
    pub fn is_closing(&self, conn: ConnId) -> bool {
        match self.connections.get(&conn).map(|connection| &connection.phase) {
            None | Some(Phase::Closing) => true,
            Some(Phase::Open(session)) => self.shutting_down && self.is_drained(session),
            Some(_) => false,
        }
    }
}
