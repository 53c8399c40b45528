//! The task of one connection: drives the protocol core over a transport.

mod events;
mod io;
mod ops;

use std::collections::{HashMap, VecDeque};
use std::future::poll_fn;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::{Duration, Instant};

use tokio::sync::mpsc::UnboundedReceiver;
use tokio::time::{Sleep, sleep_until, timeout};
use uuid::Uuid;

use super::completion::Completion;
use super::connection::{Command, Connection, ConnectionState, Shared};
use super::dialer::{Dialer, Established};
use super::dispatcher::Dispatcher;
use super::events::ConnectionEvent;
use super::options::{ConnectOptions, SpoolHandler};
use super::runtime::Registration;
use super::spool;
use crate::core::{self, Event, OpId, StreamKey, UpstreamEnd};
use crate::encoding::{Encoding, Schema};
use crate::error::{Error, Result, Status};
use crate::transport::{Target, Transport};
use events::{calls, replies};
use ops::{DownstreamSide, Op, UpstreamSide};

/// Messages read, commands taken and messages sent in one turn before other connections get theirs.
const TURN: usize = 64;

/// How long the transport's own goodbye may take.
const GOODBYE: Duration = Duration::from_secs(2);

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
            let mut driver =
                Driver::new(&shared, options, way, on_spool.clone(), done, commands, dispatcher.clone());
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
    // A connection that never was did not end either; whoever asked for it was told.
    let accepted = shared.protocol_version.get().is_some();
    if accepted {
        shared.events.push(ConnectionEvent::Closed(ended.clone()));
    }
    shared.events.end(ended.clone());
    let told = shared.events.has_handler();
    if on_closed.is_some() || told || on_spool.is_some() || dialer.asks_application() {
        dispatcher.post(move || {
            shared.events.dispatch();
            if let (Some(on_closed), true) = (&on_closed, accepted) {
                on_closed(ended);
            }
            // Dropped here, so that the application is not called on the runtime thread.
            drop((shared.events.take_handler(), on_spool, on_closed, dialer));
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
    /// Of what the application knows to be the paths; 0 for none.
    path_stamp: u64,
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
        on_spool: Option<SpoolHandler>,
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
            path_stamp: 0,
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
                self.path_stamp = 0;
                self.core.transport_established(token, transport.has_datagrams(), now);
                self.transport = Some(transport);
            }
            Err(error) => self.core.dial_failed(&error, now),
        }
        true
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
        self.note_paths();
        let ended = self.ended.take().flatten();
        let closed = Error::new(Status::Closed, "the connection is closed");
        // The core answers for every operation; should it not, the application must not wait for ever.
        for op in self.ops.keys().copied().collect::<Vec<_>>() {
            self.handle_done(op, Err(closed.clone()));
        }
        let reason = ended.clone().unwrap_or(closed);
        self.end_streams(&reason);
        for (done, outcome) in self.closing.drain(..) {
            done.complete(outcome, &self.dispatcher);
        }
        refuse_rest(&mut self.commands, &reason, &self.dispatcher).await;
        self.end_inboxes(ended.as_ref());
        ended
    }

    /// The core ends every stream; should it not, after a panic, nobody must wait for one for ever.
    fn end_streams(&mut self, reason: &Error) {
        self.shared.set_state(ConnectionState::Closed);
        let (upstreams, downstreams): (Vec<_>, Vec<_>) =
            (self.upstreams.keys().copied().collect(), self.downstreams.keys().copied().collect());
        for key in upstreams {
            let Some(buffer) = self.upstreams.get(&key).map(|side| side.buffer.clone()) else { continue };
            buffer.end();
            let end = UpstreamEnd {
                error: Some(reason.clone()),
                undelivered_points: buffer.lock().points(),
                undelivered_chunks: Vec::new(),
            };
            let _ = catch_unwind(AssertUnwindSafe(|| self.end_upstream(key, end)));
        }
        for key in downstreams {
            let _ = catch_unwind(AssertUnwindSafe(|| self.end_downstream(key, Some(reason.clone()))));
        }
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

type Dialling = Pin<Box<dyn Future<Output = Result<Established>> + Send>>;
