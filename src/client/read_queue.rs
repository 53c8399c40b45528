//! Chunks and metadata on their way from the connection to the application.

use std::collections::VecDeque;
use std::os::fd::RawFd;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::atomic::Ordering::Relaxed;
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use super::options::{BufferPolicy, Handler};
use super::pull::{self, Descriptor};
use crate::core::{ReceiveCounters, ReceivedChunk, ReceivedMetadata, StreamIdentity, TakenAck, URGENT_ACKS};
use crate::error::{Error, Result, Status};

/// Metadata that may wait for the application. Older ones are dropped and counted.
const METADATA_LIMIT: usize = 4096;

/// The same in bytes: names are as long as the server lets them be.
const METADATA_BYTES: usize = 8 << 20;

/// What arrives at a downstream, until the application takes it.
pub(super) struct ReadQueue {
    state: Mutex<State>,
    arrived: Condvar,
    /// What the core counts.
    received: Arc<ReceiveCounters>,
}

struct State {
    chunks: VecDeque<(u64, ReceivedChunk)>,
    metadata: VecDeque<(u64, ReceivedMetadata)>,
    metadata_bytes: usize,
    /// Arrivals so far: keeps chunks and metadata in order for handlers.
    arrivals: u64,
    bytes: usize,
    limit: usize,
    policy: BufferPolicy,
    /// Whether the server has the stream on the present connection.
    attached: bool,
    taken: Vec<TakenAck>,
    taken_metadata: Vec<ReceivedMetadata>,
    end: Option<Option<Error>>,
    chunk_handler: Option<Arc<Handler<ReceivedChunk>>>,
    metadata_handler: Option<Arc<Handler<ReceivedMetadata>>>,
    /// A job that runs the handlers is on its way.
    dispatching: bool,
    descriptor: Descriptor,
    /// Once it was asked for, metadata show there alone.
    metadata_descriptor: Option<Descriptor>,
    counters: DownstreamCounters,
    identity: StreamIdentity,
}

/// Numbers about a downstream.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct DownstreamCounters {
    /// Chunks received, those that were dropped included.
    pub chunks: u64,
    /// Points received.
    pub points: u64,
    /// Bytes of their payloads.
    pub bytes: u64,
    /// Metadata received, those that were dropped included.
    pub metadata: u64,
    /// Chunks dropped because the application did not take them in time.
    pub dropped_chunks: u64,
    /// Points in them.
    pub dropped_points: u64,
    /// Metadata dropped because the application did not take them.
    pub dropped_metadata: u64,
    /// Chunks waiting for the application.
    pub buffered_chunks: u64,
    /// Bytes that they occupy.
    pub buffered_bytes: u64,
    /// Metadata waiting for the application.
    pub buffered_metadata: u64,
    /// Chunks that came again and were not delivered a second time.
    pub duplicate_chunks: u64,
    /// Numbers left out below the highest of their upstream that have not come by now.
    pub missing_chunks: u64,
    /// Chunks that came before an earlier one of their upstream and waited for it.
    pub reordered_chunks: u64,
    /// Chunks that wait for an earlier one of their upstream.
    pub waiting_chunks: u64,
    /// Missing numbers that were waited for in vain.
    pub given_up_chunks: u64,
    /// Chunks that came after later ones of their upstream had been delivered.
    pub late_chunks: u64,
    /// Late ones that were dropped for the sake of the order.
    pub late_dropped_chunks: u64,
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
    pub(super) fn new(limit: usize, policy: BufferPolicy, received: Arc<ReceiveCounters>) -> Self {
        Self {
            received,
            state: Mutex::new(State {
                chunks: VecDeque::new(),
                metadata: VecDeque::new(),
                metadata_bytes: 0,
                arrivals: 0,
                bytes: 0,
                limit,
                policy,
                attached: true,
                taken: Vec::new(),
                taken_metadata: Vec::new(),
                end: None,
                chunk_handler: None,
                metadata_handler: None,
                dispatching: false,
                descriptor: Descriptor::default(),
                metadata_descriptor: None,
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

    /// The server has the stream on the present connection, or not any more.
    pub(super) fn attach(&self, attached: bool) {
        self.lock().attached = attached;
    }

    /// Whether the server has the stream on the present connection; `None` once it ended.
    pub(super) fn is_attached(&self) -> Option<bool> {
        let state = self.lock();
        state.end.is_none().then_some(state.attached)
    }

    /// Queues a chunk. Says whether a dispatch job is needed.
    ///
    /// # Errors
    /// `Overflow` when it does not fit and nothing may be dropped: the stream cannot go on.
    pub(super) fn push_chunk(&self, chunk: ReceivedChunk) -> Result<bool> {
        let mut state = self.lock();
        let size = chunk.footprint();
        // One that is larger than the limit is taken alone.
        let is_full = |state: &State| state.bytes + size > state.limit && !state.chunks.is_empty();
        let mut keep = true;
        if is_full(&state) {
            match state.policy {
                BufferPolicy::Pause | BufferPolicy::Fail => return Err(state.overflow()),
                BufferPolicy::DropNewest => keep = false,
                BufferPolicy::DropOldest => {
                    while is_full(&state) {
                        state.drop_oldest();
                    }
                }
            }
        }
        state.counters.chunks += 1;
        state.counters.points += chunk.points() as u64;
        state.counters.bytes += chunk.payload_bytes() as u64;
        if !keep {
            state.count_dropped(&chunk);
            return Ok(false);
        }
        state.bytes += size;
        let at = state.next_arrival();
        state.chunks.push_back((at, chunk));
        Ok(self.announce(state))
    }

    /// Queues metadata. Says whether a dispatch job is needed.
    pub(super) fn push_metadata(&self, metadata: ReceivedMetadata) -> bool {
        let mut state = self.lock();
        state.counters.metadata += 1;
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

    /// The same for metadata; the other one is from now on for chunks only.
    pub(super) fn metadata_pollable(&self) -> Result<RawFd> {
        let mut state = self.lock();
        let mut own = state.metadata_descriptor.take().unwrap_or_default();
        let descriptor = own.open("downstream")?;
        state.metadata_descriptor = Some(own);
        state.signal();
        Ok(descriptor)
    }

    pub(super) fn counters(&self) -> DownstreamCounters {
        let received = &self.received;
        let state = self.lock();
        DownstreamCounters {
            buffered_chunks: state.chunks.len() as u64,
            buffered_bytes: state.bytes as u64,
            buffered_metadata: state.metadata.len() as u64,
            duplicate_chunks: received.duplicate_chunks.load(Relaxed),
            missing_chunks: received.missing_chunks.load(Relaxed),
            reordered_chunks: received.reordered_chunks.load(Relaxed),
            waiting_chunks: received.waiting_chunks.load(Relaxed),
            given_up_chunks: received.given_up_chunks.load(Relaxed),
            late_chunks: received.late_chunks.load(Relaxed),
            late_dropped_chunks: received.late_dropped_chunks.load(Relaxed),
            ..state.counters
        }
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
            self.bytes -= chunk.footprint();
            self.count_dropped(&chunk);
        }
    }

    fn count_dropped(&mut self, chunk: &ReceivedChunk) {
        self.counters.dropped_chunks += 1;
        self.counters.dropped_points += chunk.points() as u64;
        let (dropped, stream_id) = (self.counters.dropped_chunks, self.identity.stream_id);
        // A line for each power of two: a reader that is too slow goes on being so.
        if dropped.is_power_of_two() {
            tracing::warn!(
                "downstream {stream_id}: chunks wait for the application beyond buffer_limit {} and are \
                 dropped; dropped so far: {dropped}",
                self.limit
            );
        }
    }

    fn overflow(&self) -> Error {
        let (chunks, bytes, limit) = (self.chunks.len(), self.bytes, self.limit);
        let why = match self.policy {
            BufferPolicy::Pause => "the server sends more than fits without an acknowledgement",
            _ => "there is no room for another",
        };
        let text = format!(
            "downstream: {chunks} chunks ({bytes} bytes, buffer_limit {limit}) wait for the application, which \
             does not take them, and {why}"
        );
        Error::new(Status::Overflow, text)
    }

    fn take_chunk(&mut self) -> Option<(ReceivedChunk, Notice)> {
        let (_, chunk) = self.chunks.pop_front()?;
        self.bytes -= chunk.footprint();
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

    /// Makes the descriptors say what is true.
    fn signal(&self) {
        // What goes to a handler is not there to be taken.
        let chunks = self.chunk_handler.is_none() && !self.chunks.is_empty();
        let metadata = self.metadata_handler.is_none() && !self.metadata.is_empty();
        let ended = self.end.is_some();
        match &self.metadata_descriptor {
            Some(descriptor) => {
                descriptor.set(metadata || ended);
                self.descriptor.set(chunks || ended);
            }
            None => self.descriptor.set(chunks || metadata || ended),
        }
    }
}

fn handler_exists(what: &str) -> Error {
    Error::new(Status::InvalidState, format!("downstream: {what} already go to a handler"))
}

fn metadata_size(metadata: &ReceivedMetadata) -> usize {
    metadata.source_node_id.len() + metadata.metadata.size()
}

#[cfg(test)]
#[path = "read_queue_tests.rs"]
mod tests;
