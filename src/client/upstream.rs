//! The application's handle of an upstream.

use std::sync::Arc;
use std::sync::atomic::AtomicBool;
use std::sync::atomic::Ordering::Relaxed;
use std::time::{Duration, Instant};

use uuid::Uuid;

use super::completion::Completion;
use super::connection::{Command, Connection};
use super::options::FullPolicy;
use super::runtime;
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
    closed: AtomicBool,
}

impl Upstream {
    pub(super) fn new(connection: Connection, opened: OpenedUpstream, full: FullPolicy) -> Self {
        Self { connection, key: opened.key, buffer: opened.buffer, full, closed: AtomicBool::new(false) }
    }

    /// Handle of a data id, for [`Upstream::write`]; the same for the same name and type.
    ///
    /// # Errors
    /// `TooLarge` when the stream has too many data ids.
    pub fn data_id(&self, data_id: DataId) -> Result<DataIdIndex> {
        self.buffer.lock().data_id(data_id)
    }

    /// Writes a point of `elapsed_time` nanoseconds.
    ///
    /// # Errors
    /// `InvalidArgument` for an `id` not from [`Upstream::data_id`], `TooLarge` for a payload that is,
    /// `WouldBlock` or `Timeout` when the buffer stays full, `Closed`.
    #[inline]
    pub fn write(&self, id: DataIdIndex, elapsed_time: i64, payload: &[u8]) -> Result<(), Status> {
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
        if runtime::on_library_thread() {
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
        self.connection.shared().send(Command::Flush(self.key, level, timeout, done))
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
        self.buffer.lock().close(Status::Closed);
        self.buffer.space.notify_all();
        self.connection.shared().send(Command::CloseUpstream(self.key, close_session, done))
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
            let _ =
                self.connection.shared().send(Command::CloseUpstream(self.key, false, Completion::ignore()));
        }
    }
}
