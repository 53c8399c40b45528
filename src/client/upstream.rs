//! The application's handle of an upstream.

use std::sync::Arc;
use std::sync::atomic::AtomicBool;
use std::sync::atomic::Ordering::Relaxed;
use std::time::{Duration, Instant};

use uuid::Uuid;

use super::awaited::Awaited;
use super::completion::Completion;
use super::connection::{Command, Connection};
use super::options::FullPolicy;
use super::spool::{Deferred, Kept, Pump};
use crate::core::{
    DataIdIndex, FlushLevel, OpenedUpstream, SharedBuffer, StreamKey, UpstreamCounters, UpstreamState,
};
use crate::error::{Error, Result, Status};
use crate::message::DataId;

/// An open upstream. Dropping it closes it in the background: what was written is still sent.
pub struct Upstream {
    pub(super) connection: Connection,
    pub(super) key: StreamKey,
    pub(super) buffer: Arc<SharedBuffer>,
    pub(super) full: FullPolicy,
    close_timeout: Duration,
    /// What keeps the points on disk, if anything does.
    pub(super) kept: Option<Arc<Kept>>,
    pub(super) awaited: Arc<Awaited>,
    closed: AtomicBool,
}

impl Upstream {
    pub(super) fn new(
        connection: Connection,
        opened: OpenedUpstream,
        (full, close_timeout): (FullPolicy, Duration),
        kept: Option<Arc<Kept>>,
        awaited: Arc<Awaited>,
    ) -> Self {
        let OpenedUpstream { key, buffer, .. } = opened;
        Self { connection, key, buffer, full, close_timeout, kept, awaited, closed: AtomicBool::new(false) }
    }

    /// Handle of a data id, for [`Upstream::write`]; the same for the same name and type.
    ///
    /// # Errors
    /// `TooLarge` when the stream has too many data ids, `Spool` when it cannot be kept.
    pub fn data_id(&self, data_id: DataId) -> Result<DataIdIndex> {
        let Some(kept) = &self.kept else { return self.buffer.lock().data_id(data_id) };
        // Under its lock, or the two tables might differ.
        let mut state = kept.lock();
        let index = self.buffer.lock().data_id(data_id.clone())?;
        state.declare(&data_id)?;
        Ok(index)
    }

    pub(super) fn pump(&self, kept: &Arc<Kept>) -> Pump {
        let shared = self.connection.shared().clone();
        Pump { shared, key: self.key, buffer: self.buffer.clone(), kept: kept.clone() }
    }

    /// Lets an operation wait until the buffer has what the journal has, or gives it back.
    ///
    /// # Errors
    /// Why the buffer will not have it; closing is given back all the same.
    fn defer(&self, deferred: Deferred) -> Result<Option<Deferred>> {
        let Some(kept) = &self.kept else { return Ok(Some(deferred)) };
        let mut state = kept.lock();
        let closes = matches!(deferred, Deferred::Close { .. });
        if closes {
            kept.begin_closing(&mut state);
        }
        match &state.given_up {
            _ if !state.backlog => return Ok(Some(deferred)),
            Some(_) if closes => return Ok(Some(deferred)),
            Some(error) => return Err(error.clone()),
            None => state.deferred.push(deferred),
        }
        Ok(None)
    }

    /// Sends everything written before; `done` when `level` is reached. Points that the buffer policy drops
    /// meanwhile are not waited for.
    ///
    /// # Errors
    /// `Closed`; `done` is then dropped.
    pub fn flush(&self, level: FlushLevel, timeout: Duration, done: Completion<()>) -> Result<()> {
        let deadline = Instant::now() + timeout;
        match self.defer(Deferred::Flush { level, deadline, done })? {
            Some(Deferred::Flush { done, .. }) => {
                self.connection.shared().send(Command::Flush(self.key, level, timeout, done))
            }
            _ => Ok(()),
        }
    }

    /// Sends everything written, waits for its acknowledgement and closes the stream, and the session
    /// if asked to.
    ///
    /// # Errors
    /// `Closed`; `done` is then dropped.
    pub fn close(&self, close_session: bool, done: Completion<()>) -> Result<()> {
        if self.closed.swap(true, Relaxed) {
            return Err(Error::new(Status::Closed, "the upstream is closed"));
        }
        self.close_when_it_may(close_session, done)
    }

    fn close_when_it_may(&self, close_session: bool, done: Completion<()>) -> Result<()> {
        let deadline = Instant::now() + self.close_timeout;
        match self.defer(Deferred::Close { close_session, deadline, done })? {
            Some(Deferred::Close { done, .. }) => {
                self.buffer.lock().close(Status::Closed);
                self.buffer.space.notify_all();
                self.connection.shared().send(Command::CloseUpstream(self.key, close_session, done))
            }
            _ => Ok(()),
        }
    }

    /// Id the server gave the stream; another one once it had to be opened anew.
    pub fn stream_id(&self) -> Uuid {
        self.buffer.identity().stream_id
    }

    /// The server's clock when the stream was opened, nanoseconds since the Unix epoch.
    pub fn server_time_ns(&self) -> i64 {
        self.buffer.identity().server_time_ns
    }

    /// Numbers about the stream.
    pub fn counters(&self) -> &UpstreamCounters {
        &self.buffer.counters
    }

    /// Where the stream stands.
    pub fn state(&self) -> UpstreamState {
        match self.buffer.state() {
            // The connection may not have been told yet.
            UpstreamState::Open | UpstreamState::Resuming if self.closed.load(Relaxed) => {
                UpstreamState::Closing
            }
            state => state,
        }
    }

    /// Data ids for which the server gave aliases.
    pub fn aliases(&self) -> usize {
        self.buffer.lock().aliased()
    }

    /// Points that were dropped because the buffer was full.
    pub fn dropped(&self) -> u64 {
        self.buffer.lock().dropped()
    }

    /// Points and wire bytes that wait to be sent.
    pub fn buffered(&self) -> (u64, usize) {
        let buffer = self.buffer.lock();
        (buffer.points(), buffer.bytes())
    }

    /// The connection the stream belongs to.
    pub fn connection(&self) -> &Connection {
        &self.connection
    }
}

impl Drop for Upstream {
    fn drop(&mut self) {
        if !self.closed.load(Relaxed) {
            let _ = self.close_when_it_may(false, Completion::ignore());
        }
    }
}
