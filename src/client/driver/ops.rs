//! What the application asks for, from the command to the outcome.

use std::sync::Arc;
use std::time::{Duration, Instant};

use uuid::Uuid;

use super::events::{calls, replies};
use super::{Driver, spool};
use crate::client::awaited::Awaited;
use crate::client::calls::Admission;
use crate::client::completion::Completion;
use crate::client::connection::{Command, Connection};
use crate::client::dispatcher::Dispatcher;
use crate::client::downstream::Downstream;
use crate::client::events::StreamEvent;
use crate::client::options::{BufferPolicy, FullPolicy, Handler};
use crate::client::read_queue::ReadQueue;
use crate::client::spool::Kept;
use crate::client::upstream::Upstream;
use crate::core::{
    ChunkOutcome, OpId, OpenedDownstream, OpenedUpstream, Output, ReceivedChunk, SharedBuffer,
    StreamIdentity, StreamKey, UpstreamEnd,
};
use crate::error::{Error, Result, Status};
use crate::message::DownstreamCall;

/// An operation of the application, until it ends.
pub(super) enum Op {
    Connect(Completion<Connection>),
    OpenUpstream(Box<OpeningUpstream>, Completion<Upstream>),
    RestoreUpstream(Completion<OpenedUpstream>),
    OpenDownstream {
        connection: Connection,
        buffer: (usize, BufferPolicy),
        handlers: DownstreamHandlers,
        done: Completion<Downstream>,
    },
    CloseDownstream(StreamKey, Completion<()>),
    SendCall {
        done: Completion<()>,
        _under_way: Admission,
    },
    Call {
        done: Completion<DownstreamCall>,
        _under_way: Admission,
    },
    Ping(Completion<Duration>),
    Simple(Completion<()>),
    Close(Completion<()>),
}

pub(super) struct OpeningUpstream {
    /// What a write does when the buffer is full, and how long closing may take.
    pub(super) manners: (FullPolicy, Duration),
    pub(super) kept: Option<Arc<Kept>>,
    pub(super) connection: Connection,
    pub(super) handlers: UpstreamHandlers,
}

#[derive(Default)]
pub(super) struct UpstreamHandlers {
    pub(super) on_ack: Option<Arc<Handler<ChunkOutcome>>>,
    pub(super) on_chunk: Option<Arc<Handler<ReceivedChunk>>>,
    pub(super) on_event: Option<Arc<Handler<StreamEvent>>>,
    pub(super) on_closed: Option<Handler<UpstreamEnd>>,
}

pub(super) struct DownstreamHandlers {
    pub(super) on_event: Option<Arc<Handler<StreamEvent>>>,
    pub(super) on_closed: Option<Handler<Option<Error>>>,
}

pub(super) struct UpstreamSide {
    pub(super) stream_id: Uuid,
    pub(super) handlers: UpstreamHandlers,
    /// Delivers what an earlier process left; not a stream that the application knows.
    pub(super) recovering: bool,
    pub(super) buffer: Arc<SharedBuffer>,
    pub(super) awaited: Arc<Awaited>,
    /// What keeps the points on disk of a stream that the application knows.
    kept: Option<Arc<Kept>>,
}

impl UpstreamSide {
    fn new(opened: &OpenedUpstream, handlers: UpstreamHandlers, kept: Option<Arc<Kept>>) -> Self {
        let (buffer, awaited) = (opened.buffer.clone(), Arc::default());
        Self { stream_id: opened.stream_id, handlers, recovering: false, buffer, awaited, kept }
    }

    fn recovering(opened: &OpenedUpstream) -> Self {
        Self { recovering: true, ..Self::new(opened, UpstreamHandlers::default(), None) }
    }

    /// Tells those who wait for points, or to flush or close the stream, that it has ended.
    pub(super) fn end(&self, error: &Error, dispatcher: &Dispatcher) {
        self.awaited.end(error, dispatcher);
        if let Some(kept) = &self.kept {
            kept.leave(dispatcher);
        }
    }
}

pub(super) struct DownstreamSide {
    pub(super) stream_id: Uuid,
    pub(super) queue: Arc<ReadQueue>,
    pub(super) handlers: DownstreamHandlers,
}

impl UpstreamHandlers {
    pub(super) fn any(&self) -> bool {
        self.on_ack.is_some()
            || self.on_chunk.is_some()
            || self.on_event.is_some()
            || self.on_closed.is_some()
    }
}

impl Driver<'_> {
    fn new_op(&mut self, op: Op) -> OpId {
        let id = OpId(self.next_op);
        self.next_op += 1;
        self.ops.insert(id, op);
        id
    }

    pub(super) fn handle_command(&mut self, command: Command, now: Instant) {
        match command {
            Command::RestoreUpstream(config, restored, done) => {
                let op = self.new_op(Op::RestoreUpstream(done));
                self.core.restore_upstream(op, *config, *restored, now);
            }
            Command::Recovered(outcome) => {
                if let Some(on_spool) = self.on_spool.clone() {
                    self.dispatcher.post(move || on_spool(*outcome));
                }
            }
            Command::Fail(done, error) => done.complete(Err(error), &self.dispatcher),
            Command::OpenUpstream(options, kept, connection, done) => {
                let mut config = options.config;
                config.report_acks = options.on_ack.is_some();
                config.report_chunks = options.on_chunk.is_some();
                self.shows_chunks |= config.report_chunks;
                let handlers = UpstreamHandlers {
                    on_ack: options.on_ack.map(Arc::new),
                    on_chunk: options.on_chunk.map(Arc::new),
                    on_event: options.on_event.map(Arc::new),
                    on_closed: options.on_closed,
                };
                let manners = (options.full, config.close_timeout);
                let opening = OpeningUpstream { manners, kept, connection, handlers };
                let op = self.new_op(Op::OpenUpstream(Box::new(opening), done));
                self.core.open_upstream(op, config, now);
            }
            Command::OpenDownstream(options, connection, done) => {
                let op = self.new_op(Op::OpenDownstream {
                    connection,
                    buffer: (options.buffer_limit, options.policy()),
                    handlers: DownstreamHandlers {
                        on_event: options.on_event.map(Arc::new),
                        on_closed: options.on_closed,
                    },
                    done,
                });
                self.core.open_downstream(op, options.config, now);
            }
            Command::SendBaseTime(base_time, persist, done) => {
                let op = self.new_op(Op::Simple(done));
                self.core.send_base_time(op, *base_time, persist, now);
            }
            Command::Ping(done) => {
                let op = self.new_op(Op::Ping(done));
                self.core.ping(op, now);
            }
            Command::SendCall(call, admission, done) => {
                let op = self.new_op(Op::SendCall { done, _under_way: admission });
                self.core.send_call(op, *call, now);
            }
            Command::Call(call, timeout, admission, done) => {
                let op = self.new_op(Op::Call { done, _under_way: admission });
                self.core.call(op, *call, timeout, now);
            }
            Command::DispatchCalls => {
                self.dispatch_inbox(calls);
                self.dispatch_inbox(replies);
            }
            Command::Attend(key) => self.core.attend_upstream(key, now),
            Command::Relieve(key) => self.core.relieve_upstream(key),
            Command::Flush(key, level, timeout, done) => {
                let op = self.new_op(Op::Simple(done));
                self.core.flush_upstream(op, key, level, now, timeout);
            }
            Command::CloseUpstream(key, close_session, done) => {
                let op = self.new_op(Op::Simple(done));
                self.core.close_upstream(Some(op), key, close_session, now);
            }
            Command::Dispatch(key) => self.dispatch(key),
            Command::Taken { key, urgent } => {
                if let Some(side) = self.downstreams.get(&key) {
                    for metadata in side.queue.collect_metadata() {
                        self.core.acknowledge_metadata(&metadata);
                    }
                }
                self.core.want_ack(key, urgent, now);
            }
            Command::CloseDownstream(key, done) => {
                let op = self.new_op(Op::CloseDownstream(key, done));
                self.core.close_downstream(Some(op), key, now);
            }
            Command::Close(timeout, done) => {
                let op = self.new_op(Op::Close(done));
                self.core.close(Some(op), now, timeout);
            }
        }
    }

    pub(super) fn handle_done(&mut self, op: OpId, outcome: Result<Output>) {
        let Some(op) = self.ops.remove(&op) else { return };
        let dispatcher = self.dispatcher.clone();
        match (op, outcome) {
            (Op::Connect(done), outcome) => {
                if outcome.is_ok() {
                    spool::recover(self.shared);
                }
                let outcome = outcome.map(|_| Connection::new(self.shared.clone()));
                done.complete(outcome, &dispatcher);
            }
            (Op::OpenUpstream(opening, done), Ok(Output::Upstream(opened))) => {
                tracing::info!("upstream {} opened", opened.stream_id);
                let OpeningUpstream { manners, kept, connection, handlers } = *opening;
                let side = UpstreamSide::new(&opened, handlers, kept.clone());
                let awaited = side.awaited.clone();
                self.upstreams.insert(opened.key, side);
                let upstream = Upstream::new(connection, opened, manners, kept, awaited);
                done.complete(Ok(upstream), &dispatcher);
            }
            (Op::RestoreUpstream(done), Ok(Output::Upstream(opened))) => {
                self.upstreams.insert(opened.key, UpstreamSide::recovering(&opened));
                done.complete(Ok(opened), &dispatcher);
            }
            (Op::RestoreUpstream(done), outcome) => done.complete(Err(failure(outcome)), &dispatcher),
            (
                Op::OpenDownstream { connection, buffer: (limit, policy), handlers, done },
                Ok(Output::Downstream(opened)),
            ) => {
                tracing::info!("downstream {} opened", opened.stream_id);
                let queue = Arc::new(ReadQueue::new(limit, policy, opened.counters.clone()));
                let OpenedDownstream { stream_id, server_time_ns, .. } = opened;
                queue.identify(StreamIdentity { stream_id, server_time_ns });
                self.downstreams.insert(
                    opened.key,
                    DownstreamSide { stream_id: opened.stream_id, queue: queue.clone(), handlers },
                );
                done.complete(Ok(Downstream::new(connection, &opened, queue)), &dispatcher);
            }
            (Op::OpenUpstream(opening, done), outcome) => {
                done.complete(Err(failure(outcome)), &dispatcher);
                dispatcher.post(move || drop(opening));
            }
            (Op::OpenDownstream { handlers, done, .. }, outcome) => {
                done.complete(Err(failure(outcome)), &dispatcher);
                dispatcher.post(move || drop(handlers));
            }
            (Op::CloseDownstream(key, done), outcome) => {
                // Whoever waited for this sees that the stream has ended.
                if let (Ok(_), Some(side)) = (&outcome, self.downstreams.get(&key)) {
                    side.queue.end(None);
                }
                done.complete(outcome.map(drop), &dispatcher);
            }
            (Op::Call { done, .. }, Ok(Output::Reply(reply))) => done.complete(Ok(*reply), &dispatcher),
            (Op::Call { done, .. }, outcome) => done.complete(Err(failure(outcome)), &dispatcher),
            (Op::Ping(done), Ok(Output::RoundTrip(took))) => done.complete(Ok(took), &dispatcher),
            (Op::Ping(done), outcome) => done.complete(Err(failure(outcome)), &dispatcher),
            (Op::SendCall { done, .. } | Op::Simple(done), outcome) => {
                done.complete(outcome.map(drop), &dispatcher);
            }
            // The transport's goodbye comes first.
            (Op::Close(done), outcome) => self.closing.push((done, outcome.map(drop))),
        }
    }
}

fn failure(outcome: Result<Output>) -> Error {
    outcome.err().unwrap_or_else(|| Error::new(Status::Internal, "an operation yielded something else"))
}
