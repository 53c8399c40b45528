//! The task of one connection: drives the protocol core over a transport.

use std::collections::{HashMap, VecDeque};
use std::future::poll_fn;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::Ordering::Relaxed;
use std::task::{Context, Poll, Waker};
use std::time::{Duration, Instant};

use tokio::sync::mpsc::UnboundedReceiver;
use tokio::time::{Sleep, sleep_until, timeout};
use uuid::Uuid;

use super::awaited::Awaited;
use super::calls::Admission;
use super::completion::Completion;
use super::connection::{Command, Connection, ConnectionState, Shared};
use super::dialer::{Dialer, Established, transport_error};
use super::dispatcher::Dispatcher;
use super::downstream::Downstream;
use super::inbox::Inbox;
use super::options::{
    ConnectOptions, ConnectionEvent, ConnectionHandler, FullPolicy, Handler, SpoolHandler, StreamEvent,
};
use super::read_queue::ReadQueue;
use super::runtime::Registration;
use super::spool::{self, Kept};
use super::upstream::Upstream;
use crate::core::{
    self, ChunkOutcome, Event, OpId, OpenedDownstream, OpenedUpstream, Output, ReceivedChunk, SharedBuffer,
    StreamIdentity, StreamKey, UpstreamEnd,
};
use crate::encoding::{Encoding, Schema};
use crate::error::{Error, Result, Status};
use crate::message::{DownstreamCall, Message, Qos};
use crate::transport::{Channel, Received, Target, Transport, TransportError};

/// Messages read, commands taken and messages sent in one turn before other connections get theirs.
const TURN: usize = 64;

/// How long the transport's own goodbye may take.
const GOODBYE: Duration = Duration::from_secs(2);

/// An operation of the application, until it ends.
enum Op {
    Connect(Completion<Connection>),
    OpenUpstream(Box<OpeningUpstream>, Completion<Upstream>),
    RestoreUpstream(Completion<OpenedUpstream>),
    OpenDownstream {
        connection: Connection,
        limit: usize,
        reliable: bool,
        handlers: DownstreamHandlers,
        done: Completion<Downstream>,
    },
    SendCall {
        done: Completion<()>,
        _under_way: Admission,
    },
    Call {
        done: Completion<DownstreamCall>,
        _under_way: Admission,
    },
    Simple(Completion<()>),
    Close(Completion<()>),
}

struct OpeningUpstream {
    /// What a write does when the buffer is full, and how long closing may take.
    manners: (FullPolicy, Duration),
    kept: Option<Arc<Kept>>,
    connection: Connection,
    handlers: UpstreamHandlers,
}

#[derive(Default)]
struct UpstreamHandlers {
    on_ack: Option<Arc<Handler<ChunkOutcome>>>,
    on_chunk: Option<Arc<Handler<ReceivedChunk>>>,
    on_event: Option<Arc<Handler<StreamEvent>>>,
    on_closed: Option<Handler<UpstreamEnd>>,
}

struct DownstreamHandlers {
    on_event: Option<Arc<Handler<StreamEvent>>>,
    on_closed: Option<Handler<Option<Error>>>,
}

struct UpstreamSide {
    stream_id: Uuid,
    handlers: UpstreamHandlers,
    buffer: Arc<SharedBuffer>,
    awaited: Arc<Awaited>,
}

impl UpstreamSide {
    fn new(opened: &OpenedUpstream, handlers: UpstreamHandlers) -> Self {
        let (buffer, awaited) = (opened.buffer.clone(), Arc::default());
        Self { stream_id: opened.stream_id, handlers, buffer, awaited }
    }
}

struct DownstreamSide {
    stream_id: Uuid,
    queue: Arc<ReadQueue>,
    handlers: DownstreamHandlers,
}

/// Connects, then drives the connection until it ended.
pub(super) async fn run(
    shared: Arc<Shared>,
    target: Target,
    mut options: ConnectOptions,
    done: Completion<Connection>,
    mut commands: UnboundedReceiver<Command>,
    registration: Registration,
) {
    let dispatcher = Dispatcher::new();
    let on_closed = options.on_closed.take();
    let on_event = options.on_event.take();
    let on_spool = options.on_spool.take();
    let dialer = Dialer::new(target, &mut options, dispatcher.clone());
    let established = tokio::select! {
        established = dialer.clone().establish() => established,
        closing = close_requested(&mut commands) => {
            closing.complete(Ok(()), &dispatcher);
            Err(Error::new(Status::Cancelled, "connect: the connection was closed meanwhile"))
        }
    };
    let ended = match established {
        Ok(established) => {
            let way = (dialer.clone(), established);
            let mut driver = Driver::new(
                &shared,
                options,
                way,
                (on_event.clone(), on_spool.clone()),
                done,
                commands,
                dispatcher.clone(),
            );
            poll_fn(|cx| driver.poll_guarded(cx)).await;
            driver.finish().await
        }
        Err(error) => {
            tracing::info!("not connected to {}: {error}", shared.url);
            shared.set_state(ConnectionState::Closed);
            done.complete(Err(error.clone()), &dispatcher);
            let closed = Error::new(Status::Closed, "the connection is closed");
            refuse_rest(&mut commands, &closed, &dispatcher).await;
            Some(error)
        }
    };
    if on_closed.is_some() || on_event.is_some() || on_spool.is_some() || dialer.asks_application() {
        let accepted = shared.protocol_version.get().is_some();
        dispatcher.post(move || {
            // A connection that never was did not end either; whoever asked for it was told.
            if let (Some(on_event), true) = (&on_event, accepted) {
                on_event(ConnectionEvent::Closed(ended.clone()));
            }
            if let (Some(on_closed), true) = (&on_closed, accepted) {
                on_closed(ended);
            }
            // Dropped here, so that the application is not called on the runtime thread.
            drop((on_event, on_spool, on_closed, dialer));
        });
    }
    drop(registration);
}

/// Ends every command that was accepted and not handled, those being sent right now included.
async fn refuse_rest(commands: &mut UnboundedReceiver<Command>, error: &Error, dispatcher: &Dispatcher) {
    commands.close();
    while let Some(command) = commands.recv().await {
        command.refuse(error, dispatcher);
    }
}

/// Waits until the application closes a connection that is not established yet.
async fn close_requested(commands: &mut UnboundedReceiver<Command>) -> Completion<()> {
    loop {
        match commands.recv().await {
            Some(Command::Close(_, done)) => return done,
            Some(_) => {}
            // The task itself holds a sender.
            None => std::future::pending().await,
        }
    }
}

struct Driver<'a> {
    shared: &'a Arc<Shared>,
    core: core::Connection,
    dialer: Arc<Dialer>,
    /// None while the connection is lost, and once the transport cannot even carry a goodbye any more.
    transport: Option<Box<dyn Transport>>,
    /// The attempt to establish another; there is never more than one.
    dialling: Option<Dialling>,
    /// What the transport was introduced with.
    #[cfg(feature = "oauth2")]
    token: String,
    on_event: Option<ConnectionHandler>,
    on_spool: Option<SpoolHandler>,
    encoding: Encoding,
    schema: Schema,
    commands: UnboundedReceiver<Command>,
    ops: HashMap<OpId, Op>,
    next_op: u64,
    upstreams: HashMap<StreamKey, UpstreamSide>,
    downstreams: HashMap<StreamKey, DownstreamSide>,
    dispatcher: Dispatcher,
    /// Whether any upstream has a handler for its chunks.
    shows_chunks: bool,
    timer: Option<(Instant, Pin<Box<Sleep>>)>,
    events: VecDeque<Event>,
    /// Bytes written when the transport last refused to take more.
    full_at: Option<u64>,
    /// Completed once the transport has said goodbye too.
    closing: Vec<(Completion<()>, Result<()>)>,
    ended: Option<Option<Error>>,
}

impl<'a> Driver<'a> {
    fn new(
        shared: &'a Arc<Shared>,
        options: ConnectOptions,
        (dialer, Established { transport, token }): (Arc<Dialer>, Established),
        (on_event, on_spool): (Option<ConnectionHandler>, Option<SpoolHandler>),
        done: Completion<Connection>,
        commands: UnboundedReceiver<Command>,
        dispatcher: Dispatcher,
    ) -> Self {
        let op = OpId(0);
        let encoding = options.dial.negotiation.encoding;
        let mut config = options.config;
        config.reconnect.seed = Uuid::new_v4().as_u64_pair().0;
        #[cfg(feature = "oauth2")]
        let shown = token.clone();
        let mut core = core::Connection::new(config, token, op, Instant::now());
        if transport.has_datagrams() {
            core.use_datagrams();
        }
        Self {
            shared,
            core,
            dialer,
            transport: Some(transport),
            dialling: None,
            #[cfg(feature = "oauth2")]
            token: shown,
            on_event,
            on_spool,
            encoding,
            schema: Schema::default(),
            commands,
            ops: HashMap::from([(op, Op::Connect(done))]),
            next_op: 1,
            upstreams: HashMap::new(),
            downstreams: HashMap::new(),
            dispatcher,
            shows_chunks: false,
            timer: None,
            events: VecDeque::new(),
            full_at: None,
            closing: Vec::new(),
            ended: None,
        }
    }

    /// A panic ends this connection, not the process and not other connections.
    fn poll_guarded(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        catch_unwind(AssertUnwindSafe(|| self.poll(cx))).unwrap_or_else(|panic| {
            let what = panic
                .downcast_ref::<&str>()
                .map(|text| (*text).to_owned())
                .or_else(|| panic.downcast_ref::<String>().cloned())
                .unwrap_or_default();
            let error = Error::new(Status::Panic, format!("connection: a panic was caught: {what}")).fatal();
            tracing::error!("{error}");
            self.transport = None;
            let end = || {
                self.core.abort(&error);
                self.handle_events();
            };
            if catch_unwind(AssertUnwindSafe(end)).is_err() {
                tracing::error!("connection: it could not be ended in order after a panic");
            }
            self.ended.get_or_insert(Some(error));
            Poll::Ready(())
        })
    }

    /// One turn: everything that is ready, within bounds.
    fn poll(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        loop {
            let now = Instant::now();
            let mut more = self.take_commands(cx, now);
            let congested = self.core.is_congested();
            more |= !congested && self.receive(cx, now);
            if self.core.next_timeout().is_some_and(|at| at <= now) {
                self.core.handle_timeout(now);
            }
            self.handle_events();
            more |= self.transmit(cx, now);
            // Reading goes on once enough of the answers are on their way.
            more |= congested && !self.core.is_congested();
            // Sending a chunk or the last message of all may have ended something.
            self.handle_events();
            if self.ended.is_some() {
                return Poll::Ready(());
            }
            more |= self.poll_dial(cx, now);
            if more {
                // The others of this thread first.
                cx.waker().wake_by_ref();
                return Poll::Pending;
            }
            if !self.timer_due(cx) {
                return Poll::Pending;
            }
        }
    }

    fn timer_due(&mut self, cx: &mut Context<'_>) -> bool {
        let Some(at) = self.core.next_timeout() else {
            return false;
        };
        match &mut self.timer {
            Some((armed, _)) if *armed == at => {}
            Some((armed, sleep)) => {
                *armed = at;
                sleep.as_mut().reset(at.into());
            }
            None => self.timer = Some((at, Box::pin(sleep_until(at.into())))),
        }
        self.timer.as_mut().is_some_and(|(_, sleep)| sleep.as_mut().poll(cx).is_ready())
    }

    fn take_commands(&mut self, cx: &mut Context<'_>, now: Instant) -> bool {
        for _ in 0..TURN {
            match self.commands.poll_recv(cx) {
                Poll::Ready(Some(command)) => self.handle_command(command, now),
                _ => return false,
            }
        }
        true
    }

    /// Goes on with the attempt to establish a transport. Says whether it ended.
    fn poll_dial(&mut self, cx: &mut Context<'_>, now: Instant) -> bool {
        let Some(dialling) = &mut self.dialling else { return false };
        let Poll::Ready(outcome) = dialling.as_mut().poll(cx) else { return false };
        self.dialling = None;
        match outcome {
            Ok(Established { transport, token }) => {
                #[cfg(feature = "oauth2")]
                self.token.clone_from(&token);
                self.schema = Schema::default();
                self.full_at = None;
                self.core.transport_established(token, transport.has_datagrams(), now);
                self.transport = Some(transport);
            }
            Err(error) => self.core.dial_failed(&error, now),
        }
        true
    }

    fn receive(&mut self, cx: &mut Context<'_>, now: Instant) -> bool {
        for _ in 0..TURN {
            let Some(transport) = self.transport.as_mut().filter(|_| !self.core.is_closed()) else {
                return false;
            };
            match transport.poll_recv(cx) {
                Poll::Pending => return false,
                Poll::Ready(Some(Ok(received))) => self.handle_received(received, now),
                Poll::Ready(Some(Err(error))) => {
                    self.lose(&transport_error(&error).context("connection"), now);
                    return false;
                }
                Poll::Ready(None) => {
                    self.lose(&Error::new(Status::ConnectionLost, "connection: the server closed it"), now);
                    return false;
                }
            }
        }
        true
    }

    fn handle_received(&mut self, received: Received, now: Instant) {
        let counters = &self.shared.counters;
        counters.messages_received.fetch_add(1, Relaxed);
        counters.bytes_received.fetch_add(received.bytes.len() as u64, Relaxed);
        match (self.encoding.decode(received.bytes), received.channel) {
            // Only chunks come by datagram; whatever else does, or cannot be read, is dropped alone
            // (docs/protocol/transport.md §5.5, §5.6).
            (Ok(message), Channel::Unreliable) if !matches!(message, Message::DownstreamChunk(_)) => {
                tracing::debug!("dropped a {} that came by datagram", message.name());
            }
            (Err(error), Channel::Unreliable) => {
                tracing::debug!("dropped a malformed message that came by datagram: {error}");
            }
            (Err(error), Channel::Reliable) => self.core.handle_malformed(&error.to_string(), now),
            (Ok(message), _) => {
                let pong = matches!(message, Message::Pong(_));
                self.core.handle_message(message, now);
                if let (true, Some(took)) = (pong, self.core.round_trip()) {
                    let nanos = u64::try_from(took.as_nanos()).unwrap_or(u64::MAX);
                    counters.round_trip_ns.store(nanos, Relaxed);
                }
            }
        }
    }

    fn lose(&mut self, error: &Error, now: Instant) {
        self.transport = None;
        self.core.transport_lost(error, now);
    }

    fn transmit(&mut self, cx: &mut Context<'_>, now: Instant) -> bool {
        let paths = self.transport.as_ref().map_or(0, |transport| transport.paths());
        self.shared.counters.paths.store(paths as u64, Relaxed);
        let Some(mut transport) = self.transport.take() else {
            return false;
        };
        match self.try_transmit(&mut *transport, cx, now) {
            Ok(more) => {
                self.transport = Some(transport);
                more
            }
            Err(error) => {
                self.lose(&transport_error(&error).context("connection"), now);
                false
            }
        }
    }

    fn try_transmit(
        &mut self,
        transport: &mut dyn Transport,
        cx: &mut Context<'_>,
        now: Instant,
    ) -> Result<bool, TransportError> {
        let mut sent = 0;
        let mut full = false;
        while sent < TURN {
            full = transport.poll_ready(cx)?.is_pending();
            if full {
                break;
            }
            let Some(message) = self.core.poll_transmit(now) else {
                break;
            };
            self.send(transport, &message)?;
            sent += 1;
        }
        // Datagrams need not wait for the peer to take what is on the stream.
        while full
            && sent < TURN
            && let Some(message) = self.core.poll_datagram(transport.datagram_limit(), now)
        {
            self.send(transport, &message)?;
            sent += 1;
        }
        // Pending or not: what could not be written now is written when the socket says so.
        full |= transport.poll_flush(cx)?.is_pending();
        let written = transport.bytes_written();
        if self.full_at.is_some_and(|before| written > before) {
            self.core.transport_progressed(now);
        }
        self.full_at = full.then_some(written);
        Ok(sent == TURN)
    }

    fn send(&mut self, transport: &mut dyn Transport, message: &Message) -> Result<(), TransportError> {
        if self.shows_chunks {
            self.show_chunk(message);
        }
        let bytes = self.encoding.encode(message, self.schema);
        let counters = &self.shared.counters;
        counters.messages_sent.fetch_add(1, Relaxed);
        counters.bytes_sent.fetch_add(bytes.len() as u64, Relaxed);
        if !self.core.is_unreliable(message) {
            return transport.send(bytes);
        }
        if !transport.send_unreliable(bytes)? {
            counters.messages_dropped.fetch_add(1, Relaxed);
        }
        Ok(())
    }

    // Commands.

    fn new_op(&mut self, op: Op) -> OpId {
        let id = OpId(self.next_op);
        self.next_op += 1;
        self.ops.insert(id, op);
        id
    }

    fn handle_command(&mut self, command: Command, now: Instant) {
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
                    limit: options.buffer_limit,
                    reliable: options.config.qos == Qos::Reliable,
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
                let op = self.new_op(Op::Simple(done));
                self.core.close_downstream(Some(op), key, now);
            }
            Command::Close(timeout, done) => {
                let op = self.new_op(Op::Close(done));
                self.core.close(Some(op), now, timeout);
            }
        }
    }

    // Events.

    fn handle_events(&mut self) {
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
                self.tell_downstream(key, |stream_id| StreamEvent::Resumed { stream_id });
            }
            Event::DownstreamReopened { key, former, stream_id, server_time_ns } => {
                if let Some(side) = self.downstreams.get_mut(&key) {
                    side.stream_id = stream_id;
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
            Event::UpstreamClosed(key, end) => {
                let side = self.upstreams.remove(&key);
                if let Some(side) = &side {
                    log_end("upstream", &side.stream_id, end.error.as_ref());
                    let closed = || Error::new(Status::Closed, "the upstream is closed");
                    side.awaited.end(&end.error.clone().unwrap_or_else(closed), &self.dispatcher);
                }
                if let Some(side) = side
                    && side.handlers.any()
                {
                    self.dispatcher.post(move || {
                        if let Some(on_closed) = &side.handlers.on_closed {
                            on_closed(end);
                        }
                    });
                }
            }
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
        if let Some(on_event) = self.on_event.clone() {
            self.dispatcher.post(move || on_event(event));
        }
    }

    fn tell_upstream(&self, key: StreamKey, event: impl FnOnce(Uuid) -> StreamEvent) {
        if let Some(side) = self.upstreams.get(&key) {
            tell_stream(&self.dispatcher, "upstream", &side.handlers.on_event, event(side.stream_id));
        }
    }

    fn tell_downstream(&self, key: StreamKey, event: impl FnOnce(Uuid) -> StreamEvent) {
        if let Some(side) = self.downstreams.get(&key) {
            tell_stream(&self.dispatcher, "downstream", &side.handlers.on_event, event(side.stream_id));
        }
    }

    fn handle_done(&mut self, op: OpId, outcome: Result<Output>) {
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
                let side = UpstreamSide::new(&opened, handlers);
                let awaited = side.awaited.clone();
                self.upstreams.insert(opened.key, side);
                let upstream = Upstream::new(connection, opened, manners, kept, awaited);
                done.complete(Ok(upstream), &dispatcher);
            }
            (Op::RestoreUpstream(done), Ok(Output::Upstream(opened))) => {
                self.upstreams.insert(opened.key, UpstreamSide::new(&opened, UpstreamHandlers::default()));
                done.complete(Ok(opened), &dispatcher);
            }
            (Op::RestoreUpstream(done), outcome) => done.complete(Err(failure(outcome)), &dispatcher),
            (
                Op::OpenDownstream { connection, limit, reliable, handlers, done },
                Ok(Output::Downstream(opened)),
            ) => {
                tracing::info!("downstream {} opened", opened.stream_id);
                let queue = Arc::new(ReadQueue::new(limit, reliable));
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
            (Op::Call { done, .. }, Ok(Output::Reply(reply))) => done.complete(Ok(*reply), &dispatcher),
            (Op::Call { done, .. }, outcome) => done.complete(Err(failure(outcome)), &dispatcher),
            (Op::SendCall { done, .. } | Op::Simple(done), outcome) => {
                done.complete(outcome.map(drop), &dispatcher);
            }
            // The transport's goodbye comes first.
            (Op::Close(done), outcome) => self.closing.push((done, outcome.map(drop))),
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
    fn show_chunk(&mut self, message: &Message) {
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

    fn dispatch(&self, key: StreamKey) {
        let Some(side) = self.downstreams.get(&key) else {
            return;
        };
        dispatch(self.dispatcher.clone(), side.queue.clone(), self.shared.clone(), key);
    }

    fn dispatch_inbox(&self, inbox: fn(&Shared) -> &Inbox) {
        dispatch_inbox(self.dispatcher.clone(), self.shared.clone(), inbox);
    }

    fn end_downstream(&mut self, key: StreamKey, error: Option<Error>) {
        let Some(side) = self.downstreams.remove(&key) else {
            return;
        };
        log_end("downstream", &side.stream_id, error.as_ref());
        side.queue.end(error.clone());
        let DownstreamHandlers { on_event, on_closed } = side.handlers;
        if on_event.is_none() && on_closed.is_none() && !side.queue.has_handlers() {
            return;
        }
        let queue = side.queue;
        self.dispatcher.post(move || {
            // Nothing more comes, so this ends.
            while queue.dispatch(|_| {}) {}
            if let Some(on_closed) = &on_closed {
                on_closed(error);
            }
            drop((queue.take_handlers(), on_event));
        });
    }

    // The end.

    /// Says goodbye, completes what waits for the end, and returns why it came.
    async fn finish(mut self) -> Option<Error> {
        if let Some(mut transport) = self.transport.take() {
            // Whatever the core still wants to say, then the transport's own goodbye.
            let goodbye = poll_fn(|cx| {
                while transport.poll_ready(cx)?.is_ready() {
                    let Some(message) = self.core.poll_transmit(Instant::now()) else {
                        return transport.poll_close(cx);
                    };
                    transport.send(self.encoding.encode(&message, self.schema))?;
                }
                Poll::Pending
            });
            // A peer that does not answer the goodbye is left alone.
            let _ = timeout(GOODBYE, goodbye).await;
        }
        let ended = self.ended.take().flatten();
        let closed = Error::new(Status::Closed, "the connection is closed");
        // The core answers for every operation; should it not, the application must not wait for ever.
        for op in self.ops.keys().copied().collect::<Vec<_>>() {
            self.handle_done(op, Err(closed.clone()));
        }
        for side in self.upstreams.values() {
            side.awaited.end(&closed, &self.dispatcher);
        }
        for (done, outcome) in self.closing.drain(..) {
            done.complete(outcome, &self.dispatcher);
        }
        let reason = ended.as_ref().unwrap_or(&closed);
        refuse_rest(&mut self.commands, reason, &self.dispatcher).await;
        self.end_inboxes(ended.as_ref());
        ended
    }

    /// Nothing arrives any more: runs the handlers a last time and gives them up.
    fn end_inboxes(&self, ended: Option<&Error>) {
        // Both, before a handler of either tells the application by its release that the connection is gone.
        for inbox in [calls, replies] {
            inbox(self.shared).end(ended.cloned());
        }
        for inbox in [calls, replies] {
            if inbox(self.shared).has_handler() {
                let shared = self.shared.clone();
                self.dispatcher.post(move || {
                    while inbox(&shared).dispatch() {}
                    drop(inbox(&shared).take_handler());
                });
            }
        }
    }
}

fn calls(shared: &Shared) -> &Inbox {
    &shared.calls
}

fn replies(shared: &Shared) -> &Inbox {
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

impl UpstreamHandlers {
    fn any(&self) -> bool {
        self.on_ack.is_some()
            || self.on_chunk.is_some()
            || self.on_event.is_some()
            || self.on_closed.is_some()
    }
}

type Dialling = Pin<Box<dyn Future<Output = Result<Established>> + Send>>;

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

fn failure(outcome: Result<Output>) -> Error {
    outcome.err().unwrap_or_else(|| Error::new(Status::Internal, "an operation yielded something else"))
}
