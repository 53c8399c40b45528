//! The application's handle of a downstream.

use std::os::fd::RawFd;
use std::sync::Arc;
use std::sync::atomic::AtomicBool;
use std::sync::atomic::Ordering::Relaxed;
use std::time::Duration;

use uuid::Uuid;

use super::completion::Completion;
use super::connection::{Command, Connection};
use super::options::Handler;
use super::read_queue::{DownstreamCounters, ReadQueue};
use crate::core::{OpenedDownstream, ReceivedChunk, ReceivedMetadata, StreamKey};
use crate::error::{Error, Result, Status};

/// An open downstream. Dropping it closes it in the background.
pub struct Downstream {
    connection: Connection,
    key: StreamKey,
    queue: Arc<ReadQueue>,
    closed: AtomicBool,
}

impl Downstream {
    pub(super) fn new(connection: Connection, opened: &OpenedDownstream, queue: Arc<ReadQueue>) -> Self {
        Self { connection, key: opened.key, queue, closed: AtomicBool::new(false) }
    }

    /// Next chunk, waiting at most `timeout`; `None` waits until there is one or the stream ends. A
    /// chunk counts as received, towards the server, when it is taken.
    ///
    /// # Errors
    /// `Timeout`, or `WouldBlock` for a zero time-out; `Closed` or why the stream ended, once
    /// everything queued was taken; `InvalidState` when there is a handler; `InCallback` unless the
    /// time-out is zero.
    pub fn next_chunk(&self, timeout: Option<Duration>) -> Result<ReceivedChunk> {
        let (chunk, notice) = self.queue.next_chunk(timeout)?;
        self.connection.shared().tell(self.key, notice);
        Ok(chunk)
    }

    /// Next metadata; as [`Downstream::next_chunk`].
    ///
    /// # Errors
    /// As [`Downstream::next_chunk`].
    pub fn next_metadata(&self, timeout: Option<Duration>) -> Result<ReceivedMetadata> {
        let (metadata, notice) = self.queue.next_metadata(timeout)?;
        self.connection.shared().tell(self.key, notice);
        Ok(metadata)
    }

    /// Hands every chunk to a handler, those queued already first.
    ///
    /// # Errors
    /// `InvalidState` when there is a handler, `Closed` or why the stream ended.
    pub fn on_chunk(&self, handler: Handler<ReceivedChunk>) -> Result<()> {
        let dispatch = self.queue.set_chunk_handler(handler)?;
        self.dispatch(dispatch);
        Ok(())
    }

    /// Hands all metadata to a handler, those queued already first.
    ///
    /// # Errors
    /// As [`Downstream::on_chunk`].
    pub fn on_metadata(&self, handler: Handler<ReceivedMetadata>) -> Result<()> {
        let dispatch = self.queue.set_metadata_handler(handler)?;
        self.dispatch(dispatch);
        Ok(())
    }

    fn dispatch(&self, wanted: bool) {
        if wanted {
            // A connection that ends meanwhile runs the handlers a last time itself.
            let _ = self.connection.shared().send(Command::Dispatch(self.key));
        }
    }

    /// A descriptor that polls readable while there is something to take or the stream has ended. It
    /// belongs to the stream and must not be read or closed.
    ///
    /// # Errors
    /// `Resource` when the system has none.
    pub fn pollable(&self) -> Result<RawFd> {
        self.queue.pollable()
    }

    /// Acknowledges what was taken and closes the stream. What is queued stays readable.
    ///
    /// # Errors
    /// `Closed`; `done` is then dropped.
    pub fn close(&self, done: Completion<()>) -> Result<()> {
        if self.closed.swap(true, Relaxed) {
            return Err(Error::new(Status::Closed, "the downstream is closed"));
        }
        self.connection.shared().send(Command::CloseDownstream(self.key, done))
    }

    /// Id the server gave the stream; another one once it had to be opened anew.
    pub fn stream_id(&self) -> Uuid {
        self.queue.identity().stream_id
    }

    /// The server's clock when the stream was opened, nanoseconds since the Unix epoch.
    pub fn server_time_ns(&self) -> i64 {
        self.queue.identity().server_time_ns
    }

    /// Numbers about the stream.
    pub fn counters(&self) -> DownstreamCounters {
        self.queue.counters()
    }

    /// The connection the stream belongs to.
    pub fn connection(&self) -> &Connection {
        &self.connection
    }
}

impl Drop for Downstream {
    fn drop(&mut self) {
        if !self.closed.load(Relaxed) {
            let _ = self.connection.shared().send(Command::CloseDownstream(self.key, Completion::ignore()));
        }
    }
}
