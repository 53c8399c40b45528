//! The application's handle of a downstream.

use std::os::fd::RawFd;
use std::sync::Arc;
use std::sync::atomic::AtomicBool;
use std::sync::atomic::Ordering::Relaxed;
use std::time::Duration;

use uuid::Uuid;

use super::completion::Completion;
use super::connection::{Command, Connection};
use super::options::{BufferPolicy, DownstreamOptions, Handler};
use super::read_queue::{DownstreamCounters, ReadQueue};
use crate::core::{ChunkOrder, OpenedDownstream, ReceivedChunk, ReceivedMetadata, StreamKey};
use crate::error::{Error, Result, Status};
use crate::message::Qos;

/// Where a downstream stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum DownstreamState {
    /// In use.
    Open,
    /// Its connection was lost, and it did not come back yet.
    Resuming,
    /// The application closes it.
    Closing,
    /// Ended, by the application or otherwise. What was received can still be taken.
    Closed,
}

impl DownstreamOptions {
    /// What happens beyond the limit of the buffer.
    pub(super) fn policy(&self) -> BufferPolicy {
        let reliable = self.config.qos == Qos::Reliable;
        self.buffer_policy.unwrap_or(if reliable { BufferPolicy::Pause } else { BufferPolicy::DropOldest })
    }

    /// Checks what fits together, and sets what follows.
    ///
    /// # Errors
    /// `InvalidOption`.
    pub(super) fn settled(mut self) -> Result<Self> {
        let reliable = self.config.qos == Qos::Reliable;
        let policy = self.policy();
        let refused = match policy {
            BufferPolicy::Pause if !reliable => Some((
                "buffer_policy",
                "pause needs the qos reliable: of other streams the server waits for no acknowledgement",
            )),
            BufferPolicy::DropOldest | BufferPolicy::DropNewest if reliable => {
                Some(("buffer_policy", "a stream of the qos reliable drops nothing; use pause or fail"))
            }
            _ if self.config.omit_empty_chunk && self.config.chunk_order != ChunkOrder::AsReceived => Some((
                "chunk_order",
                "chunks that omit_empty_chunk leaves out cannot be told from missing ones; use as_received",
            )),
            _ => None,
        };
        if let Some((option, why)) = refused {
            return Err(Error::new(Status::InvalidOption, format!("option {option}: {why}")));
        }
        self.config.reorder_bytes = self.buffer_limit;
        self.config.ack_on_arrival = policy == BufferPolicy::Fail;
        Ok(self)
    }
}

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

    /// A descriptor as that of [`Downstream::pollable`], for metadata only. From now on the other one is for chunks
    /// only.
    ///
    /// # Errors
    /// As [`Downstream::pollable`].
    pub fn metadata_pollable(&self) -> Result<RawFd> {
        self.queue.metadata_pollable()
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

    /// Where the stream stands.
    pub fn state(&self) -> DownstreamState {
        match self.queue.is_attached() {
            None => DownstreamState::Closed,
            Some(_) if self.closed.load(Relaxed) => DownstreamState::Closing,
            Some(true) => DownstreamState::Open,
            Some(false) => DownstreamState::Resuming,
        }
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
