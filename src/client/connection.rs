//! The application's handle of a connection.

use std::os::fd::RawFd;
use std::sync::atomic::Ordering::Relaxed;
use std::sync::atomic::{AtomicU8, AtomicU64};
use std::sync::{Arc, Mutex, OnceLock, PoisonError};
use std::time::Duration;

use tokio::sync::mpsc::{UnboundedSender, unbounded_channel};

use super::calls::{Admission, Outgoing};
use super::completion::Completion;
use super::credentials;
use super::dialer::transport_error;
use super::downstream::Downstream;
use super::driver;
use super::events::{Dated, EventQueue};
use super::inbox::Inbox;
use super::options::{ConnectOptions, DownstreamOptions, FullPolicy, UpstreamOptions};
use super::read_queue::Notice;
use super::runtime::{self, Closable};
use super::spool::{Kept, SpoolCounters, SpoolOutcome, SpoolSide};
use super::upstream::Upstream;
use crate::core::{FlushLevel, Keeper, OpenedUpstream, RestoredUpstream, StreamKey, UpstreamConfig};
use crate::encoding::Encoding;
use crate::error::{Error, Result, Status};
use crate::message::{BaseTime, DownstreamCall, Message, Qos, UpstreamCall};
use crate::transport::Target;
use crate::transport::path::Path;

/// What the application asks of the connection's task.
pub(super) enum Command {
    /// The connection keeps itself open until the stream is.
    OpenUpstream(Box<UpstreamOptions>, Option<Arc<Kept>>, Connection, Completion<Upstream>),
    /// Brings back an upstream of an earlier process.
    RestoreUpstream(Box<UpstreamConfig>, Box<RestoredUpstream>, Completion<OpenedUpstream>),
    /// What became of the points of an earlier process.
    Recovered(Box<SpoolOutcome>),
    /// An operation that did not get as far as the connection has failed.
    Fail(Completion<()>, Error),
    OpenDownstream(Box<DownstreamOptions>, Connection, Completion<Downstream>),
    SendBaseTime(Box<BaseTime>, bool, Completion<()>),
    Ping(Completion<Duration>),
    SendCall(Box<UpstreamCall>, Admission, Completion<()>),
    Call(Box<UpstreamCall>, Duration, Admission, Completion<DownstreamCall>),
    /// Calls or replies got a handler.
    DispatchCalls,
    /// An upstream's buffer wants attention.
    Attend(StreamKey),
    /// An upstream's buffer is full.
    Relieve(StreamKey),
    Flush(StreamKey, FlushLevel, Duration, Completion<()>),
    CloseUpstream(StreamKey, bool, Completion<()>),
    /// A downstream got a handler.
    Dispatch(StreamKey),
    /// The application took something of a downstream.
    Taken {
        key: StreamKey,
        urgent: bool,
    },
    CloseDownstream(StreamKey, Completion<()>),
    Close(Duration, Completion<()>),
}

impl Command {
    /// Ends the command when the connection has.
    pub(super) fn refuse(self, error: &Error, dispatcher: &super::dispatcher::Dispatcher) {
        let error = error.clone();
        match self {
            Self::OpenUpstream(options, _, _, done) => {
                done.complete(Err(error), dispatcher);
                // With the application's callbacks: not on the runtime thread, and after the outcome.
                dispatcher.post(move || drop(options));
            }
            Self::OpenDownstream(options, _, done) => {
                done.complete(Err(error), dispatcher);
                dispatcher.post(move || drop(options));
            }
            Self::RestoreUpstream(_, _, done) => done.complete(Err(error), dispatcher),
            Self::Fail(done, error) => done.complete(Err(error), dispatcher),
            Self::Ping(done) => done.complete(Err(error), dispatcher),
            Self::Call(_, _, _, done) => done.complete(Err(error), dispatcher),
            Self::SendBaseTime(_, _, done)
            | Self::SendCall(_, _, done)
            | Self::Flush(_, _, _, done)
            | Self::CloseUpstream(_, _, done)
            | Self::CloseDownstream(_, done)
            | Self::Close(_, done) => done.complete(Err(error), dispatcher),
            Self::Recovered(_)
            | Self::Attend(_)
            | Self::Relieve(_)
            | Self::Dispatch(_)
            | Self::DispatchCalls
            | Self::Taken { .. } => {}
        }
    }
}

/// Where a connection stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
pub enum ConnectionState {
    /// The server has not accepted yet.
    Connecting = 0,
    /// In use.
    Connected = 1,
    /// Ended, in order or not.
    Closed = 2,
    /// Lost, and about to be made anew.
    Reconnecting = 3,
}

/// Numbers about a connection, from any thread.
#[derive(Debug, Default)]
pub struct ConnectionCounters {
    /// Messages sent.
    pub messages_sent: AtomicU64,
    /// Messages received.
    pub messages_received: AtomicU64,
    /// Bytes of the messages sent, without the transport's framing.
    pub bytes_sent: AtomicU64,
    /// Bytes of the messages received, without the transport's framing.
    pub bytes_received: AtomicU64,
    /// Messages sent, by [kind](Message::index).
    pub sent_by_kind: [AtomicU64; Message::NAMES.len()],
    /// Messages received that could be read, by kind.
    pub received_by_kind: [AtomicU64; Message::NAMES.len()],
    /// Points sent, those that were sent again included.
    pub points_sent: AtomicU64,
    /// Points received, those that came again included.
    pub points_received: AtomicU64,
    /// Messages of UNRELIABLE streams that were dropped because datagrams left too slowly.
    pub messages_dropped: AtomicU64,
    /// Times the connection was lost and was to be made anew.
    pub losses: AtomicU64,
    /// Times it was.
    pub reconnects: AtomicU64,
    /// Transports of which it consists at present, those that go silent aside.
    pub paths: AtomicU64,
    /// Time the last ping took, in nanoseconds; 0 before the first.
    pub round_trip_ns: AtomicU64,
}

/// What the application's handles and the connection's task share.
pub(super) struct Shared {
    commands: UnboundedSender<Command>,
    state: AtomicU8,
    pub(super) protocol_version: OnceLock<String>,
    pub(super) counters: ConnectionCounters,
    pub(super) url: String,
    close_timeout: Duration,
    pub(super) reply_timeout: Duration,
    pub(super) events: EventQueue,
    /// What the connection travels on at present.
    pub(super) paths: Mutex<Vec<Arc<Path>>>,
    transport: &'static str,
    encoding: Encoding,
    pub(super) calls: Inbox,
    pub(super) replies: Inbox,
    pub(super) outgoing: Arc<Outgoing>,
    pub(super) spool: Option<SpoolSide>,
}

impl Shared {
    pub(super) fn send(&self, command: Command) -> Result<()> {
        self.commands.send(command).map_err(|_| Error::new(Status::Closed, "the connection is closed"))
    }

    /// Tells the connection what the application took of a downstream.
    pub(super) fn tell(&self, key: StreamKey, notice: Notice) {
        if notice != Notice::Nothing {
            // Nothing to acknowledge to once the connection is gone.
            let _ = self.send(Command::Taken { key, urgent: notice == Notice::Urgent });
        }
    }

    pub(super) fn set_state(&self, state: ConnectionState) {
        self.state.store(state as u8, Relaxed);
    }
}

impl Closable for Shared {
    fn close(&self) {
        // Already gone is what was wanted.
        let _ = self.send(Command::Close(self.close_timeout, Completion::ignore()));
    }
}

/// Closes the connection when the last handle of it or of its streams is gone.
struct LastHandle(Arc<Shared>);

impl Drop for LastHandle {
    fn drop(&mut self) {
        self.0.close();
    }
}

/// A connection. Clones are handles of the same one; it is closed when the last is dropped, handles
/// of its streams included.
#[derive(Clone)]
pub struct Connection(Arc<LastHandle>);

impl Connection {
    pub(super) fn new(shared: Arc<Shared>) -> Self {
        Self(Arc::new(LastHandle(shared)))
    }

    pub(super) fn shared(&self) -> &Arc<Shared> {
        &self.0.0
    }

    /// Connects.
    ///
    /// # Errors
    /// At once when the options are unusable or the runtime thread cannot be started; `done` is then
    /// dropped. Everything later is the outcome of `done`.
    pub fn connect(mut options: ConnectOptions, done: Completion<Self>) -> Result<()> {
        let target = options.target()?;
        check_options(&options, &target)?;
        let spool = open_spool(&options)?;
        let (commands, receiver) = unbounded_channel();
        let shared = Arc::new(Shared {
            commands,
            state: AtomicU8::new(ConnectionState::Connecting as u8),
            protocol_version: OnceLock::new(),
            counters: ConnectionCounters::default(),
            url: if options.address.is_empty() { options.url.clone() } else { target.to_string() },
            close_timeout: options.close_timeout,
            reply_timeout: options.calls.reply_timeout,
            paths: Mutex::default(),
            transport: options.dial.name(&target),
            encoding: options.dial.negotiation.encoding,
            events: EventQueue::new(options.event_queue_limit, options.on_event.take()),
            calls: Inbox::new("calls", options.calls.queue_limit, options.calls.queue_bytes),
            replies: Inbox::new("replies", options.calls.queue_limit, options.calls.queue_bytes),
            outgoing: Outgoing::new(options.calls.send_limit),
            spool,
        });
        let closable: Arc<dyn Closable> = shared.clone();
        let registration = runtime::register(Arc::downgrade(&closable))?;
        let runtime = registration.handle.clone();
        runtime.spawn(driver::run(shared, target, options, done, receiver, registration));
        Ok(())
    }

    /// Connects and waits for it.
    ///
    /// # Errors
    /// As [`Connection::connect`], and everything that can go wrong later.
    pub fn connect_wait(options: ConnectOptions, timeout: Option<Duration>) -> Result<Self> {
        let (done, waiter) = Completion::waiter()?;
        Self::connect(options, done)?;
        waiter.wait(timeout)
    }

    /// Opens an upstream.
    ///
    /// # Errors
    /// `Closed`, `InvalidOption` when points of a RELIABLE stream would be dropped, or `Spool` when they cannot be
    /// kept; `done` is then dropped.
    pub fn open_upstream(&self, options: UpstreamOptions, done: Completion<Upstream>) -> Result<()> {
        let mut options = options;
        options.config.drop_oldest = options.full == FullPolicy::DropOldest;
        if let (Qos::Reliable, Some(policy)) = (options.config.qos, options.full.drops()) {
            let text = format!("open upstream: option buffer_policy: {policy} is not for RELIABLE upstreams");
            return Err(Error::new(Status::InvalidOption, text));
        }
        let kept = match &self.shared().spool {
            Some(spool) => spool.keep(&options)?.map(Arc::new),
            None => None,
        };
        options.config.keeper = kept.clone().map(|kept| kept as Arc<dyn Keeper>);
        self.shared().send(Command::OpenUpstream(Box::new(options), kept, self.clone(), done))
    }

    /// Opens a downstream.
    ///
    /// # Errors
    /// `Closed`, or `InvalidOption` for options that contradict each other; `done` is then dropped.
    pub fn open_downstream(&self, options: DownstreamOptions, done: Completion<Downstream>) -> Result<()> {
        let options = options.settled()?;
        self.shared().send(Command::OpenDownstream(Box::new(options), self.clone(), done))
    }

    /// Sends a base time; `persist` asks the server to store it in the session.
    ///
    /// # Errors
    /// `Closed`; `done` is then dropped.
    pub fn send_base_time(&self, base_time: BaseTime, persist: bool, done: Completion<()>) -> Result<()> {
        self.shared().send(Command::SendBaseTime(Box::new(base_time), persist, done))
    }

    /// Asks the server for a sign of life, and measures how long that takes.
    ///
    /// # Errors
    /// `Closed`; `done` is then dropped.
    pub fn ping(&self, done: Completion<Duration>) -> Result<()> {
        self.shared().send(Command::Ping(done))
    }

    /// Flushes and closes every stream, says goodbye and closes the transport.
    ///
    /// # Errors
    /// `Closed`; `done` is then dropped.
    pub fn close(&self, done: Completion<()>) -> Result<()> {
        self.shared().send(Command::Close(self.shared().close_timeout, done))
    }

    /// The next event of the connection and its streams, waiting at most `timeout`; `None` waits until there
    /// is one or the connection ends.
    ///
    /// # Errors
    /// `WouldBlock`, `Timeout`; once every event was taken `Closed`, or why the connection ended;
    /// `InvalidState` when events go to a handler; `InCallback`.
    pub fn next_event(&self, timeout: Option<Duration>) -> Result<Dated> {
        self.shared().events.next(timeout)
    }

    /// A descriptor that polls readable while there is an event to take or the connection has ended. It is
    /// level-triggered, and is not to be read.
    ///
    /// # Errors
    /// `Resource` when the system has none.
    pub fn event_pollable(&self) -> Result<RawFd> {
        self.shared().events.pollable()
    }

    /// Events dropped because the application did not take them.
    pub fn dropped_events(&self) -> u64 {
        self.shared().events.dropped()
    }

    /// Waits until the connection has ended.
    ///
    /// # Errors
    /// Why it ended, unless the application closed it; `WouldBlock`, `Timeout` while it has not;
    /// `InCallback`.
    pub fn wait_closed(&self, timeout: Option<Duration>) -> Result<()> {
        self.shared().events.wait_closed(timeout)
    }

    /// Nobody will take calls, replies or events any more: whoever waits for them, or for the end, is told.
    pub fn abandon(&self) {
        self.shared().calls.abandon();
        self.shared().replies.abandon();
        self.shared().events.abandon();
    }

    /// Where the connection stands.
    pub fn state(&self) -> ConnectionState {
        match self.shared().state.load(Relaxed) {
            0 => ConnectionState::Connecting,
            1 => ConnectionState::Connected,
            3 => ConnectionState::Reconnecting,
            _ => ConnectionState::Closed,
        }
    }

    /// Protocol version that was agreed when the server first accepted.
    pub fn protocol_version(&self) -> &str {
        self.shared().protocol_version.get().map_or("", String::as_str)
    }

    /// Address the connection was made to.
    pub fn url(&self) -> &str {
        &self.shared().url
    }

    /// Name of the transport: "websocket", "quic", "webtransport", or "multi" for a connection over several.
    pub fn transport_name(&self) -> &'static str {
        self.shared().transport
    }

    /// Encoding of the messages.
    pub fn encoding(&self) -> Encoding {
        self.shared().encoding
    }

    /// What the connection travels on at present; nothing while it is lost.
    pub fn paths(&self) -> Vec<Arc<Path>> {
        self.shared().paths.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// Numbers about the spool of the connection and the bytes it takes on disk, if it has one.
    pub fn spool(&self) -> Option<(&SpoolCounters, u64)> {
        self.shared().spool.as_ref().map(|spool| (&spool.counters, spool.used()))
    }

    /// Numbers about the connection.
    pub fn counters(&self) -> &ConnectionCounters {
        &self.shared().counters
    }
}

fn open_spool(options: &ConnectOptions) -> Result<Option<SpoolSide>> {
    let config = &options.config;
    if options.spool.dir.as_os_str().is_empty() {
        return Ok(None);
    }
    SpoolSide::open(&options.spool, &config.node_id, config.project_uuid).map(Some)
}

fn check_options(options: &ConnectOptions, target: &Target) -> Result<()> {
    options.dial.check(target).map_err(|error| transport_error(&error).context("connect"))?;
    credentials::check(options, target)?;
    let config = &options.config;
    for (name, value) in [("ping interval", config.ping_interval), ("ping timeout", config.ping_timeout)] {
        // Both are announced in whole seconds (docs/protocol/behaviour.md §0.3).
        if value < Duration::from_secs(1) {
            return Err(Error::new(Status::InvalidOption, format!("{name} {value:?}: at least one second")));
        }
    }
    let (least, most) = (config.reconnect.min_interval, config.reconnect.max_interval);
    if least > most {
        let message =
            format!("connect: reconnect_min_interval {least:?} exceeds reconnect_max_interval {most:?}");
        return Err(Error::new(Status::InvalidOption, message));
    }
    Ok(())
}
