//! What the protocol core reports, and telling the application.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::sync::atomic::Ordering::Relaxed;
use std::task::{Context, Poll, Waker};

use uuid::Uuid;

use super::Driver;
use super::ops::{DownstreamHandlers, UpstreamSide};
use crate::client::connection::{Command, ConnectionState, Shared};
use crate::client::dispatcher::Dispatcher;
use crate::client::events::{ConnectionEvent, StreamEvent};
use crate::client::inbox::Inbox;
use crate::client::options::Handler;
use crate::client::read_queue::ReadQueue;
use crate::core::{ChunkOutcome, Event, ReceivedChunk, StreamIdentity, StreamKey, UpstreamEnd};
use crate::encoding::Schema;
use crate::error::{Error, Status};
use crate::message::Message;

impl Driver<'_> {
    pub(super) fn handle_events(&mut self) {
        loop {
            self.events.extend(self.core.take_events());
            // Taken one by one: should handling one panic, the others are not lost with it.
            let Some(event) = self.events.pop_front() else {
                return;
            };
            self.handle_event(event);
        }
    }

    fn handle_event(&mut self, event: Event) {
        match event {
            Event::Connected { protocol_version } => {
                tracing::info!("connected to {}, protocol {protocol_version}", self.shared.url);
                self.schema = Schema::of(&protocol_version);
                let _ = self.shared.protocol_version.set(protocol_version);
                self.admitted(ConnectionEvent::Connected);
            }
            Event::Disconnected(error, goodbye) => self.disconnected(error, goodbye),
            Event::Reconnecting { attempt, delay, error } => {
                tracing::info!("{}: attempt {attempt} to reconnect in {delay:?}: {error}", self.shared.url);
                self.transport = None;
                self.note_refusal(&error);
                self.tell(ConnectionEvent::Reconnecting { attempt, delay, error });
            }
            Event::Dial => self.dialling = Some(Box::pin(self.dialer.clone().establish())),
            Event::Reconnected { protocol_version } => {
                tracing::info!("connected to {} again, protocol {protocol_version}", self.shared.url);
                self.schema = Schema::of(&protocol_version);
                self.shared.counters.reconnects.fetch_add(1, Relaxed);
                self.admitted(ConnectionEvent::Reconnected);
            }
            Event::UpstreamResumed(key) => {
                self.tell_upstream(key, |stream_id| StreamEvent::Resumed { stream_id })
            }
            Event::UpstreamReopened { key, former, stream_id } => {
                if let Some(side) = self.upstreams.get_mut(&key) {
                    side.stream_id = stream_id;
                }
                self.tell_upstream(key, |stream_id| StreamEvent::Reopened { former, stream_id });
            }
            Event::DownstreamResumed(key) => {
                if let Some(side) = self.downstreams.get(&key) {
                    side.queue.attach(true);
                }
                self.tell_downstream(key, |stream_id| StreamEvent::Resumed { stream_id });
            }
            Event::DownstreamReopened { key, former, stream_id, server_time_ns } => {
                if let Some(side) = self.downstreams.get_mut(&key) {
                    side.stream_id = stream_id;
                    side.queue.attach(true);
                    side.queue.identify(StreamIdentity { stream_id, server_time_ns });
                }
                self.tell_downstream(key, |stream_id| StreamEvent::Reopened { former, stream_id });
            }
            Event::Done(op, outcome) => self.handle_done(op, outcome),
            Event::ChunkAcked(key, outcome) => self.report_ack(key, outcome),
            Event::PointsSettled(key, points, outcome) => {
                if let Some(side) = self.upstreams.get(&key) {
                    side.awaited.settle(&points, &outcome, &self.dispatcher);
                }
            }
            Event::UpstreamClosed(key, end) => self.end_upstream(key, end),
            Event::Chunk(key, chunk) => self.deliver(key, chunk),
            Event::Metadata(key, metadata) => {
                if let Some(side) = self.downstreams.get(&key)
                    && side.queue.push_metadata(metadata)
                {
                    self.dispatch(key);
                }
            }
            Event::Call(call) => {
                if self.shared.calls.push(call) {
                    self.dispatch_inbox(calls);
                }
            }
            Event::Reply(reply) => {
                if self.shared.replies.push(reply) {
                    self.dispatch_inbox(replies);
                }
            }
            Event::CollectAcks(key) => {
                if let Some(side) = self.downstreams.get(&key) {
                    self.core.acknowledge(key, side.queue.collect());
                }
            }
            Event::DownstreamClosed(key, error) => self.end_downstream(key, error),
            Event::Closed(error) => {
                // A peer that does not answer pings does not answer a goodbye either.
                if error.as_ref().is_some_and(|error| error.status() == Status::KeepAliveTimeout) {
                    self.transport = None;
                }
                if let Some(error) = &error {
                    self.note_refusal(error);
                }
                self.shared.set_state(ConnectionState::Closed);
                log_end("connection to", &self.shared.url, error.as_ref());
                self.ended = Some(error);
            }
        }
    }

    /// The server accepted the connection.
    fn admitted(&mut self, event: ConnectionEvent) {
        if let Some(transport) = &mut self.transport {
            transport.admit();
        }
        self.shared.set_state(ConnectionState::Connected);
        self.tell(event);
    }

    /// The connection is lost and will be made anew.
    fn disconnected(&mut self, error: Error, goodbye: Option<Message>) {
        tracing::warn!("connection to {} lost: {error}", self.shared.url);
        self.shared.counters.losses.fetch_add(1, Relaxed);
        self.shared.set_state(ConnectionState::Reconnecting);
        for side in self.downstreams.values() {
            side.queue.attach(false);
        }
        if let (Some(mut transport), Some(goodbye)) = (self.transport.take(), goodbye) {
            // What the transport does not take at once is not worth a wait.
            let mut cx = Context::from_waker(Waker::noop());
            if let Poll::Ready(Ok(())) = transport.poll_ready(&mut cx)
                && transport.send(self.encoding.encode(&goodbye, self.schema)).is_ok()
            {
                let _ = transport.poll_flush(&mut cx);
            }
        }
        self.tell(ConnectionEvent::Disconnected(error));
    }

    /// A token that the server did not take is not shown again.
    fn note_refusal(&self, error: &Error) {
        #[cfg(feature = "oauth2")]
        if error.status() == Status::Unauthorized {
            self.dialer.refused(&self.token);
        }
        let _ = error;
    }

    fn tell(&self, event: ConnectionEvent) {
        if self.shared.events.push(event) {
            let shared = self.shared.clone();
            self.dispatcher.post(move || shared.events.dispatch());
        }
    }

    fn tell_upstream(&self, key: StreamKey, event: impl FnOnce(Uuid) -> StreamEvent) {
        if let Some(side) = self.upstreams.get(&key) {
            let event = event(side.stream_id);
            tell_stream(&self.dispatcher, "upstream", &side.handlers.on_event, event);
            if !side.recovering {
                self.tell(ConnectionEvent::Upstream(event));
            }
        }
    }

    fn tell_downstream(&self, key: StreamKey, event: impl FnOnce(Uuid) -> StreamEvent) {
        if let Some(side) = self.downstreams.get(&key) {
            let event = event(side.stream_id);
            tell_stream(&self.dispatcher, "downstream", &side.handlers.on_event, event);
            self.tell(ConnectionEvent::Downstream(event));
        }
    }

    fn report_ack(&self, key: StreamKey, outcome: ChunkOutcome) {
        let Some(side) = self.upstreams.get(&key) else {
            return;
        };
        if let Some(on_ack) = side.handlers.on_ack.clone() {
            self.tell_of_chunk(key, side, 0, move || on_ack(outcome));
        }
    }

    /// Shows the chunk that a message carries before it is sent.
    pub(super) fn show_chunk(&mut self, message: &Message) {
        let Some((key, chunk, bytes)) = self.core.take_to_show(message) else { return };
        let Some(side) = self.upstreams.get(&key) else { return };
        if let Some(on_chunk) = side.handlers.on_chunk.clone() {
            self.tell_of_chunk(key, side, bytes, move || on_chunk(chunk));
        }
    }

    /// Calls a handler that the stream waits for when it lags too far behind.
    fn tell_of_chunk(
        &self,
        key: StreamKey,
        side: &UpstreamSide,
        bytes: usize,
        tell: impl FnOnce() + Send + 'static,
    ) {
        let buffer = side.buffer.clone();
        let shared = self.shared.clone();
        self.dispatcher.post(move || {
            let ran = catch_unwind(AssertUnwindSafe(tell));
            if ran.is_err() {
                tracing::error!("a handler of chunks panicked");
            }
            if buffer.told(bytes) {
                // Chunks were held back until the application caught up.
                let _ = shared.send(Command::Attend(key));
            }
        });
    }

    fn deliver(&mut self, key: StreamKey, chunk: ReceivedChunk) {
        let Some(side) = self.downstreams.get(&key) else {
            return;
        };
        match side.queue.push_chunk(chunk) {
            Ok(true) => self.dispatch(key),
            Ok(false) => {}
            Err(error) => self.core.fail_downstream(key, &error),
        }
    }

    pub(super) fn dispatch(&self, key: StreamKey) {
        let Some(side) = self.downstreams.get(&key) else {
            return;
        };
        dispatch(self.dispatcher.clone(), side.queue.clone(), self.shared.clone(), key);
    }

    pub(super) fn dispatch_inbox(&self, inbox: fn(&Shared) -> &Inbox) {
        dispatch_inbox(self.dispatcher.clone(), self.shared.clone(), inbox);
    }

    pub(super) fn end_upstream(&mut self, key: StreamKey, end: UpstreamEnd) {
        let Some(side) = self.upstreams.remove(&key) else { return };
        let why = end.error.clone();
        let closed = || Error::new(Status::Closed, "the upstream is closed");
        side.end(&end.error.clone().unwrap_or_else(closed), &self.dispatcher);
        let UpstreamSide { stream_id, handlers, recovering, .. } = side;
        let told = (!recovering).then(|| ConnectionEvent::UpstreamClosed { stream_id, end: end.clone() });
        if handlers.any() {
            self.dispatcher.post(move || {
                if let Some(on_closed) = &handlers.on_closed {
                    on_closed(end);
                }
                // All of them, so that the application is not called on the runtime thread.
                drop(handlers);
            });
        }
        told.into_iter().for_each(|event| self.tell(event));
        log_end("upstream", &stream_id, why.as_ref());
    }

    pub(super) fn end_downstream(&mut self, key: StreamKey, error: Option<Error>) {
        let Some(side) = self.downstreams.remove(&key) else {
            return;
        };
        let (stream_id, why) = (side.stream_id, error.clone());
        side.queue.end(error.clone());
        let told = ConnectionEvent::DownstreamClosed { stream_id, error: error.clone() };
        let DownstreamHandlers { on_event, on_closed } = side.handlers;
        let queue = side.queue;
        if on_event.is_some() || on_closed.is_some() || queue.has_handlers() {
            self.dispatcher.post(move || {
                // Nothing more comes, so this ends.
                while queue.dispatch(|_| {}) {}
                if let Some(on_closed) = &on_closed {
                    on_closed(error);
                }
                drop((queue.take_handlers(), on_event));
            });
        }
        self.tell(told);
        log_end("downstream", &stream_id, why.as_ref());
    }
}

pub(super) fn calls(shared: &Shared) -> &Inbox {
    &shared.calls
}

pub(super) fn replies(shared: &Shared) -> &Inbox {
    &shared.replies
}

/// Runs the handler of calls or replies behind the connection's other callbacks, and again while more
/// comes.
fn dispatch_inbox(dispatcher: Dispatcher, shared: Arc<Shared>, inbox: fn(&Shared) -> &Inbox) {
    let again = dispatcher.clone();
    dispatcher.post(move || {
        if inbox(&shared).dispatch() {
            dispatch_inbox(again, shared, inbox);
        }
    });
}

/// Runs a downstream's handlers behind the connection's other callbacks, and again while more comes.
fn dispatch(dispatcher: Dispatcher, queue: Arc<ReadQueue>, shared: Arc<Shared>, key: StreamKey) {
    let again = dispatcher.clone();
    dispatcher.post(move || {
        if queue.dispatch(|notice| shared.tell(key, notice)) {
            dispatch(again, queue, shared, key);
        }
    });
}

fn tell_stream(
    dispatcher: &Dispatcher,
    what: &str,
    on_event: &Option<Arc<Handler<StreamEvent>>>,
    event: StreamEvent,
) {
    match event {
        StreamEvent::Resumed { stream_id } => tracing::info!("{what} {stream_id} resumed"),
        StreamEvent::Reopened { former, stream_id } => {
            tracing::info!("{what} {former} opened anew as {stream_id}")
        }
    }
    if let Some(on_event) = on_event.clone() {
        dispatcher.post(move || on_event(event));
    }
}

fn log_end(what: &str, which: &dyn std::fmt::Display, error: Option<&Error>) {
    match error {
        None => tracing::info!("{what} {which} closed"),
        Some(error) => tracing::info!("{what} {which} ended: {error}"),
    }
}
