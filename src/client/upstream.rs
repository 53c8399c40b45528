//! The application's handle of an upstream.

use std::sync::Arc;
use std::sync::atomic::AtomicBool;
use std::sync::atomic::Ordering::Relaxed;
use std::time::{Duration, Instant};

use uuid::Uuid;

use super::completion::Completion;
use super::connection::{Command, Connection};
use super::options::FullPolicy;
use super::spool::{Deferred, Kept, Pump};
use super::threads;
use crate::core::{
    DataIdIndex, FlushLevel, OpenedUpstream, Pushed, SharedBuffer, StreamKey, UpstreamCounters, WriteBuffer,
};
use crate::error::{Error, Result, Status};
use crate::message::DataId;

/// An open upstream. Dropping it closes it in the background: what was written is still sent.
pub struct Upstream {
    connection: Connection,
    key: StreamKey,
    buffer: Arc<SharedBuffer>,
    full: FullPolicy,
    close_timeout: Duration,
    /// What keeps the points on disk, if anything does.
    kept: Option<Arc<Kept>>,
    closed: AtomicBool,
}

impl Upstream {
    pub(super) fn new(
        connection: Connection,
        opened: OpenedUpstream,
        (full, close_timeout): (FullPolicy, Duration),
        kept: Option<Arc<Kept>>,
    ) -> Self {
        let OpenedUpstream { key, buffer, .. } = opened;
        Self { connection, key, buffer, full, close_timeout, kept, closed: AtomicBool::new(false) }
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

    /// Writes a point of `elapsed_time` nanoseconds.
    ///
    /// # Errors
    /// `InvalidArgument` for an `id` not from [`Upstream::data_id`], `TooLarge` for a payload that is,
    /// `WouldBlock` or `Timeout` when the buffer stays full, `Closed`; `Spool` when it cannot be kept.
    #[inline]
    pub fn write(&self, id: DataIdIndex, elapsed_time: i64, payload: &[u8]) -> Result<(), Status> {
        if let Some(kept) = &self.kept {
            return self.write_kept(kept, id, elapsed_time, payload);
        }
        let pushed = self.buffer.lock().push(id, elapsed_time, payload);
        match pushed {
            Ok(Pushed::Quiet) => Ok(()),
            Ok(Pushed::Wake) => {
                self.wake();
                Ok(())
            }
            Err(Status::WouldBlock) => self.write_when_there_is_space(id, elapsed_time, payload),
            Err(status) => Err(status),
        }
    }

    #[cold]
    fn wake(&self) {
        // A connection that is gone has closed the buffer: the next write says so.
        let _ = self.connection.shared().send(Command::Attend(self.key));
    }

    #[cold]
    fn write_when_there_is_space(
        &self,
        id: DataIdIndex,
        elapsed_time: i64,
        payload: &[u8],
    ) -> Result<(), Status> {
        self.ask_for_relief(&mut self.buffer.lock());
        let FullPolicy::Block(timeout) = self.full else {
            return Err(Status::WouldBlock);
        };
        if threads::on_library_thread() {
            return Err(Status::WouldBlock);
        }
        let deadline = Instant::now() + timeout;
        let mut buffer = self.buffer.lock();
        loop {
            match buffer.push(id, elapsed_time, payload) {
                Err(Status::WouldBlock) => {}
                Ok(pushed) => {
                    drop(buffer);
                    if pushed == Pushed::Wake {
                        self.wake();
                    }
                    return Ok(());
                }
                Err(status) => return Err(status),
            }
            let left = deadline.saturating_duration_since(Instant::now());
            if left.is_zero() {
                return Err(Status::Timeout);
            }
            buffer.waiters += 1;
            buffer = self
                .buffer
                .space
                .wait_timeout(buffer, left)
                .unwrap_or_else(std::sync::PoisonError::into_inner)
                .0;
            buffer.waiters -= 1;
            if buffer.bytes() > 0 {
                // Others filled it again: it stays due until there was space for everybody.
                self.ask_for_relief(&mut buffer);
            }
        }
    }

    /// Writes to the journal, and to the buffer unless that has a backlog.
    #[cold]
    fn write_kept(
        &self,
        kept: &Arc<Kept>,
        id: DataIdIndex,
        elapsed_time: i64,
        payload: &[u8],
    ) -> Result<(), Status> {
        let deadline = match self.full {
            FullPolicy::Block(timeout) if !threads::on_library_thread() => Some(Instant::now() + timeout),
            _ => None,
        };
        let points = std::iter::once((elapsed_time, payload)).collect();
        let state = kept.lock();
        if state.closing {
            return Err(Status::Closed);
        }
        self.buffer.lock().check(id, payload.len())?;
        let spool = self.connection.shared().spool.as_ref().ok_or(Status::Internal)?;
        let (mut state, unsynced) = kept.append(state, id, &points, deadline, &spool.counters)?;
        let pushed = if state.backlog {
            Ok(Pushed::Quiet)
        } else {
            self.buffer.lock().push(id, elapsed_time, payload)
        };
        state.backlog |= pushed.is_err();
        drop(state);
        match pushed {
            Ok(Pushed::Quiet) => {}
            Ok(Pushed::Wake) => self.wake(),
            Err(_) => self.pump(kept).start(),
        }
        kept.sync(unsynced)
    }

    fn pump(&self, kept: &Arc<Kept>) -> Pump {
        let shared = self.connection.shared().clone();
        Pump { shared, key: self.key, buffer: self.buffer.clone(), kept: kept.clone() }
    }

    /// Lets an operation wait until the buffer has what the journal has, or gives it back.
    fn defer(&self, deferred: Deferred) -> Option<Deferred> {
        let Some(kept) = &self.kept else { return Some(deferred) };
        let mut state = kept.lock();
        state.closing |= matches!(deferred, Deferred::Close { .. });
        if !state.backlog {
            return Some(deferred);
        }
        state.deferred.push(deferred);
        None
    }

    /// Tells the connection that the buffer is full, unless it knows.
    fn ask_for_relief(&self, buffer: &mut WriteBuffer) {
        if buffer.want_relief() {
            let _ = self.connection.shared().send(Command::Relieve(self.key));
        }
    }

    /// Sends everything written before; `done` when `level` is reached.
    ///
    /// # Errors
    /// `Closed`; `done` is then dropped.
    pub fn flush(&self, level: FlushLevel, timeout: Duration, done: Completion<()>) -> Result<()> {
        let deadline = Instant::now() + timeout;
        match self.defer(Deferred::Flush { level, deadline, done }) {
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
        match self.defer(Deferred::Close { close_session, deadline, done }) {
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
