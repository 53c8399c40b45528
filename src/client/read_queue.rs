//! Chunks and metadata on their way from the connection to the application.

use std::collections::VecDeque;
use std::os::fd::RawFd;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use super::options::Handler;
use super::pull::{self, Descriptor};
use crate::core::{ReceivedChunk, ReceivedMetadata, StreamIdentity, TakenAck};
use crate::error::{Error, Result, Status};

/// Chunks taken by the application after which they are acknowledged without waiting for the ack
/// interval: a quarter of the window that brokers keep towards a reader
/// (docs/protocol/behaviour.md §11.7 item 75).
const URGENT_ACKS: usize = 128;

/// Metadata that may wait for the application. Older ones are dropped and counted.
const METADATA_LIMIT: usize = 4096;

/// The same in bytes: names are as long as the server lets them be.
const METADATA_BYTES: usize = 8 << 20;

/// Bytes that a chunk, and each of its groups, occupies beside its points.
const CHUNK_OVERHEAD: usize = 256;
const GROUP_OVERHEAD: usize = 128;

/// What arrives at a downstream, until the application takes it.
pub(super) struct ReadQueue {
    state: Mutex<State>,
    arrived: Condvar,
}

struct State {
    chunks: VecDeque<(u64, ReceivedChunk)>,
    metadata: VecDeque<(u64, ReceivedMetadata)>,
    metadata_bytes: usize,
    /// Arrivals so far: keeps chunks and metadata in order for handlers.
    arrivals: u64,
    bytes: usize,
    limit: usize,
    reliable: bool,
    taken: Vec<TakenAck>,
    taken_metadata: Vec<ReceivedMetadata>,
    end: Option<Option<Error>>,
    chunk_handler: Option<Arc<Handler<ReceivedChunk>>>,
    metadata_handler: Option<Arc<Handler<ReceivedMetadata>>>,
    /// A job that runs the handlers is on its way.
    dispatching: bool,
    descriptor: Descriptor,
    counters: DownstreamCounters,
    identity: StreamIdentity,
}

/// Numbers about a downstream.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct DownstreamCounters {
    /// Chunks received.
    pub chunks: u64,
    /// Points received.
    pub points: u64,
    /// Chunks dropped because the application did not take them in time.
    pub dropped_chunks: u64,
    /// Points in them.
    pub dropped_points: u64,
    /// Metadata dropped because the application did not take them.
    pub dropped_metadata: u64,
    /// Chunks waiting for the application.
    pub buffered_chunks: u64,
}

/// What the caller has to tell the connection.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Notice {
    Nothing,
    /// Chunks were taken: acknowledge within the ack interval.
    Taken,
    /// Many were: acknowledge now.
    Urgent,
}

enum Item {
    Chunk(Arc<Handler<ReceivedChunk>>, ReceivedChunk),
    Metadata(Arc<Handler<ReceivedMetadata>>, ReceivedMetadata),
}

impl ReadQueue {
    pub(super) fn new(limit: usize, reliable: bool) -> Self {
        Self {
            state: Mutex::new(State {
                chunks: VecDeque::new(),
                metadata: VecDeque::new(),
                metadata_bytes: 0,
                arrivals: 0,
                bytes: 0,
                limit,
                reliable,
                taken: Vec::new(),
                taken_metadata: Vec::new(),
                end: None,
                chunk_handler: None,
                metadata_handler: None,
                dispatching: false,
                descriptor: Descriptor::default(),
                counters: DownstreamCounters::default(),
                identity: StreamIdentity::default(),
            }),
            arrived: Condvar::new(),
        }
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// What the server gave the stream.
    pub(super) fn identity(&self) -> StreamIdentity {
        self.lock().identity
    }

    // The connection's side.

    /// The stream was opened, or opened anew.
    pub(super) fn identify(&self, identity: StreamIdentity) {
        self.lock().identity = identity;
    }

    /// Queues a chunk. Says whether a dispatch job is needed.
    ///
    /// # Errors
    /// `Overflow` when a RELIABLE stream's queue is full: the stream cannot go on.
    pub(super) fn push_chunk(&self, chunk: ReceivedChunk) -> Result<bool> {
        let mut state = self.lock();
        let size = chunk_size(&chunk);
        let points = chunk_points(&chunk);
        while state.bytes + size > state.limit && !state.chunks.is_empty() {
            if state.reliable {
                return Err(Error::new(
                    Status::Overflow,
                    format!(
                        "downstream: {} chunks ({} bytes) wait for the application, which does not take them",
                        state.chunks.len(),
                        state.bytes
                    ),
                ));
            }
            state.drop_oldest();
        }
        state.counters.chunks += 1;
        state.counters.points += points;
        state.bytes += size;
        let at = state.next_arrival();
        state.chunks.push_back((at, chunk));
        Ok(self.announce(state))
    }

    /// Queues metadata. Says whether a dispatch job is needed.
    pub(super) fn push_metadata(&self, metadata: ReceivedMetadata) -> bool {
        let mut state = self.lock();
        state.metadata_bytes += metadata_size(&metadata);
        while state.metadata.len() >= METADATA_LIMIT || state.metadata_bytes > METADATA_BYTES {
            let Some((_, dropped)) = state.metadata.pop_front() else { break };
            state.metadata_bytes -= metadata_size(&dropped);
            state.counters.dropped_metadata += 1;
        }
        let at = state.next_arrival();
        state.metadata.push_back((at, metadata));
        self.announce(state)
    }

    fn announce(&self, mut state: MutexGuard<'_, State>) -> bool {
        let dispatch = state.wants_dispatch();
        state.dispatching |= dispatch;
        state.signal();
        drop(state);
        self.arrived.notify_all();
        dispatch
    }

    /// What the application took since the last call.
    pub(super) fn collect(&self) -> Vec<TakenAck> {
        std::mem::take(&mut self.lock().taken)
    }

    /// Metadata the application took since the last call.
    pub(super) fn collect_metadata(&self) -> Vec<ReceivedMetadata> {
        std::mem::take(&mut self.lock().taken_metadata)
    }

    /// Nothing arrives any more. What is queued stays readable.
    pub(super) fn end(&self, error: Option<Error>) {
        let mut state = self.lock();
        state.end.get_or_insert(error);
        state.signal();
        drop(state);
        self.arrived.notify_all();
    }

    /// Whether anything is handed to a handler.
    pub(super) fn has_handlers(&self) -> bool {
        let state = self.lock();
        state.chunk_handler.is_some() || state.metadata_handler.is_some()
    }

    /// Gives up the handlers, to be dropped where no lock is held.
    pub(super) fn take_handlers(&self) -> impl Send + 'static {
        let mut state = self.lock();
        (state.chunk_handler.take(), state.metadata_handler.take())
    }

    // The application's side.

    /// Hands every chunk, queued ones included, to a handler from now on. Says whether a dispatch
    /// job is needed.
    pub(super) fn set_chunk_handler(&self, handler: Handler<ReceivedChunk>) -> Result<bool> {
        let mut state = self.lock();
        state.check_handler(state.chunk_handler.is_some(), "chunks")?;
        state.chunk_handler = Some(Arc::new(handler));
        Ok(self.announce(state))
    }

    /// Hands all metadata to a handler from now on. Says whether a dispatch job is needed.
    pub(super) fn set_metadata_handler(&self, handler: Handler<ReceivedMetadata>) -> Result<bool> {
        let mut state = self.lock();
        state.check_handler(state.metadata_handler.is_some(), "metadata")?;
        state.metadata_handler = Some(Arc::new(handler));
        Ok(self.announce(state))
    }

    /// Next chunk, waiting at most `timeout`; `None` waits until there is one or the stream ends.
    pub(super) fn next_chunk(&self, timeout: Option<Duration>) -> Result<(ReceivedChunk, Notice)> {
        self.next(timeout, |state| {
            if state.chunk_handler.is_some() { Err(handler_exists("chunks")) } else { Ok(state.take_chunk()) }
        })
    }

    /// Next metadata, waiting at most `timeout`; `None` waits until there is one or the stream ends.
    pub(super) fn next_metadata(&self, timeout: Option<Duration>) -> Result<(ReceivedMetadata, Notice)> {
        self.next(timeout, |state| {
            if state.metadata_handler.is_some() {
                Err(handler_exists("metadata"))
            } else {
                Ok(state.take_metadata())
            }
        })
    }

    fn next<T>(
        &self,
        timeout: Option<Duration>,
        mut take: impl FnMut(&mut State) -> Result<Option<T>>,
    ) -> Result<T> {
        pull::wait(&self.state, &self.arrived, timeout, "the downstream has nothing to read", |state| {
            if let Some(item) = take(state)? {
                state.signal();
                return Ok(Some(item));
            }
            state.end.as_ref().map_or(Ok(None), |end| Err(pull::ended(end.as_ref(), "downstream")))
        })
    }

    /// Runs the handlers on what is queued by now. `notify` tells the connection. Says whether more has
    /// come meanwhile: then another run is needed, behind the connection's other callbacks.
    pub(super) fn dispatch(&self, notify: impl Fn(Notice)) -> bool {
        let until = self.lock().arrivals;
        loop {
            let mut state = self.lock();
            let Some((item, notice)) = state.take_for_handler(until) else {
                state.dispatching = state.has_for_handler();
                return state.dispatching;
            };
            state.signal();
            drop(state);
            notify(notice);
            let run = AssertUnwindSafe(|| match item {
                Item::Chunk(handler, chunk) => handler(chunk),
                Item::Metadata(handler, metadata) => handler(metadata),
            });
            if catch_unwind(run).is_err() {
                tracing::error!("a handler of a downstream panicked");
            }
        }
    }

    /// A descriptor that is readable while there is something to take or the stream has ended.
    pub(super) fn pollable(&self) -> Result<RawFd> {
        let mut state = self.lock();
        let descriptor = state.descriptor.open("downstream")?;
        state.signal();
        Ok(descriptor)
    }

    pub(super) fn counters(&self) -> DownstreamCounters {
        let state = self.lock();
        DownstreamCounters { buffered_chunks: state.chunks.len() as u64, ..state.counters }
    }
}

impl State {
    fn next_arrival(&mut self) -> u64 {
        self.arrivals += 1;
        self.arrivals
    }

    /// A handler can be set once, while the stream is open.
    fn check_handler(&self, exists: bool, what: &str) -> Result<()> {
        match &self.end {
            _ if exists => Err(handler_exists(what)),
            Some(end) => Err(pull::ended(end.as_ref(), "downstream")),
            None => Ok(()),
        }
    }

    fn wants_dispatch(&self) -> bool {
        !self.dispatching && self.has_for_handler()
    }

    fn has_for_handler(&self) -> bool {
        self.chunk_handler.is_some() && !self.chunks.is_empty()
            || self.metadata_handler.is_some() && !self.metadata.is_empty()
    }

    /// The oldest item that goes to a handler and arrived before `until`.
    fn take_for_handler(&mut self, until: u64) -> Option<(Item, Notice)> {
        let arrived = |at: &u64| *at <= until;
        let chunk = self.chunk_handler.as_ref().and(self.chunks.front()).map(|(at, _)| *at).filter(arrived);
        let metadata =
            self.metadata_handler.as_ref().and(self.metadata.front()).map(|(at, _)| *at).filter(arrived);
        let chunk_first = match (chunk, metadata) {
            (None, None) => return None,
            (Some(chunk), Some(metadata)) => chunk < metadata,
            (chunk, _) => chunk.is_some(),
        };
        if chunk_first {
            let handler = self.chunk_handler.clone()?;
            self.take_chunk().map(|(chunk, notice)| (Item::Chunk(handler, chunk), notice))
        } else {
            let handler = self.metadata_handler.clone()?;
            self.take_metadata().map(|(metadata, notice)| (Item::Metadata(handler, metadata), notice))
        }
    }

    fn drop_oldest(&mut self) {
        if let Some((_, chunk)) = self.chunks.pop_front() {
            self.bytes -= chunk_size(&chunk);
            self.counters.dropped_chunks += 1;
            self.counters.dropped_points += chunk_points(&chunk);
        }
    }

    fn take_chunk(&mut self) -> Option<(ReceivedChunk, Notice)> {
        let (_, chunk) = self.chunks.pop_front()?;
        self.bytes -= chunk_size(&chunk);
        self.taken
            .push(TakenAck { upstream: chunk.upstream.stream_id, sequence_number: chunk.sequence_number });
        let notice = match self.taken.len() {
            1 => Notice::Taken,
            URGENT_ACKS => Notice::Urgent,
            _ => Notice::Nothing,
        };
        Some((chunk, notice))
    }

    fn take_metadata(&mut self) -> Option<(ReceivedMetadata, Notice)> {
        let (_, metadata) = self.metadata.pop_front()?;
        self.metadata_bytes -= metadata_size(&metadata);
        self.taken_metadata.push(metadata.clone());
        Some((metadata, Notice::Taken))
    }

    /// Makes the descriptor say what is true.
    fn signal(&self) {
        // What goes to a handler is not there to be taken.
        self.descriptor.set(
            self.chunk_handler.is_none() && !self.chunks.is_empty()
                || self.metadata_handler.is_none() && !self.metadata.is_empty()
                || self.end.is_some(),
        );
    }
}

fn handler_exists(what: &str) -> Error {
    Error::new(Status::InvalidState, format!("downstream: {what} already go to a handler"))
}

fn metadata_size(metadata: &ReceivedMetadata) -> usize {
    metadata.source_node_id.len() + metadata.metadata.size()
}

fn chunk_size(chunk: &ReceivedChunk) -> usize {
    CHUNK_OVERHEAD
        + chunk.groups.iter().map(|group| GROUP_OVERHEAD + group.points.as_bytes().len()).sum::<usize>()
}

fn chunk_points(chunk: &ReceivedChunk) -> u64 {
    chunk.groups.iter().map(|group| group.points.len() as u64).sum()
}
