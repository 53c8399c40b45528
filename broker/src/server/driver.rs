//! What runs a server: its threads, listeners and timers, and the core that all connections share.
//!
//! Every connection is a task, and so is every listener. One thread runs them all, or as many as the configuration
//! says. The tasks read, decrypt, inflate and decode on their own; the core, which puts everything in order, is
//! behind one lock that is held for as long as one message takes to be queued or built; what leaves is encoded,
//! deflated, encrypted and written on their own again. So the order of an upstream is that of its connection, whose
//! task is never run by two threads at a time, and the core sees what it would see on one thread.

use std::collections::HashMap;
use std::future::{Future, poll_fn};
use std::io;
use std::net::SocketAddr;
use std::pin::pin;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, mpsc};
use std::task::{Poll, Waker};
use std::time::{Duration, Instant};

use iscp::transport::Scheme;
#[cfg(feature = "full")]
use iscp::transport::{self, TransportError};
use tokio::net::{TcpListener, TcpSocket, TcpStream};
use tokio::runtime::{Builder, Runtime};
use tokio::sync::{Notify, watch};
use tokio::task::JoinSet;
#[cfg(feature = "full")]
use tokio_rustls::TlsAcceptor;
use tracing::{error, info, warn};

use super::connection::{self, Accepted};
use super::group::Groups;
#[cfg(feature = "full")]
use super::oauth2::TokenEndpoint;
use super::{Endpoint, Listener, ServerConfig, StartError, Started, state, websocket};
#[cfg(feature = "full")]
use super::{quic, webtransport};
use crate::core::{Broker, ConnId, SystemEnvironment, TokenCheck};

/// Connections the system may hold ready for us: many clients reconnect in the same moment.
const BACKLOG: u32 = 4096;
/// Sockets beyond the limit of connections, so that the excess can be told why it is refused.
const SPARE_SOCKETS: usize = 256;
/// What the system may hold of what we sent. More would only make a Pong wait longer behind data on a
/// slow link.
const SEND_BUFFER: u32 = 256 * 1024;
/// Turns of tasks after which the system is asked for what has come on other sockets, while some always have
/// something to do. A turn is bounded: see [`connection::READ_BURST`].
pub(super) const EVENT_INTERVAL: u32 = 8;
/// How long the library gets at the end to tell the clients of QUIC that their connections are closed, and what it
/// gets when no time is left. Some have read it long before, but only silence shows that.
#[cfg(feature = "full")]
const LAST_PACKETS: (Duration, Duration) = (Duration::from_millis(500), Duration::from_millis(100));
/// Pause after a failure to accept, which is nearly always a lack of file descriptors.
const ACCEPT_PAUSE: Duration = Duration::from_millis(50);

/// Takes the tokens that one of two takes.
#[derive(Debug)]
struct Either(Arc<dyn TokenCheck>, Arc<dyn TokenCheck>);

impl TokenCheck for Either {
    fn accepts(&self, token: &str, now: Instant) -> bool {
        self.0.accepts(token, now) || self.1.accepts(token, now)
    }
}

/// What the tasks of a server share.
pub(super) struct Shared {
    pub(super) config: ServerConfig,
    pub(super) groups: Groups,
    state: Mutex<State>,
    last_conn: AtomicU64,
}

/// The core, and how to wake those who wait for something from it. One lock for both: whoever looks for something
/// to do and finds nothing is known as soon as another can look.
struct State {
    core: Broker,
    wakers: HashMap<ConnId, Waker>,
    /// The task of the timers, and when it wakes without being told.
    timer: Option<(Option<Instant>, Waker)>,
    ready: Vec<ConnId>,
}

impl Shared {
    fn new(config: ServerConfig, issued: Option<Arc<dyn TokenCheck>>) -> Result<Self, StartError> {
        let mut core = config.core.clone();
        core.tokens.extend_from_slice(&config.tokens);
        core.token_check = match (core.token_check.take(), issued) {
            (Some(own), Some(issued)) => Some(Arc::new(Either(own, issued))),
            (own, issued) => own.or(issued),
        };
        let restored = match &config.state {
            Some(path) => state::load(path, &core, Instant::now())?,
            None => None,
        };
        let broker = restored.unwrap_or_else(|| Broker::new(core, Box::new(SystemEnvironment)));
        Ok(Self::around(broker, config))
    }

    /// What the tasks of a server with this core share.
    pub(super) fn around(core: Broker, config: ServerConfig) -> Self {
        let state = State { core, wakers: HashMap::new(), timer: None, ready: Vec::new() };
        Self { config, groups: Groups::default(), state: Mutex::new(state), last_conn: AtomicU64::new(0) }
    }

    /// What panicked under the lock has ended its connection; the others go on.
    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Does something with the core. Everybody else waits meanwhile: messages are decoded before and encoded after.
    pub(super) fn with_core<T>(&self, work: impl FnOnce(&mut Broker) -> T) -> T {
        work(&mut self.lock().core)
    }

    /// Whether there is no room for another client.
    pub(super) fn is_full(&self) -> bool {
        self.with_core(|core| core.stats().connections) >= self.config.core.limits.connections
    }

    pub(super) fn next_conn(&self) -> ConnId {
        ConnId(self.last_conn.fetch_add(1, Ordering::Relaxed) + 1)
    }

    /// Notes how the task of a connection is woken.
    pub(super) fn register(&self, conn: ConnId, waker: &Waker) {
        self.lock().wakers.insert(conn, waker.clone());
    }

    pub(super) fn forget(&self, conn: ConnId) {
        self.lock().wakers.remove(&conn);
    }

    /// Wakes whoever has something to do after the core was fed. `current` polls the core itself.
    pub(super) fn wake_others(&self, current: Option<ConnId>) {
        let mut woken = Vec::new();
        {
            let State { core, wakers, timer, ready } = &mut *self.lock();
            core.take_ready(ready);
            let others = ready.drain(..).filter(|conn| Some(*conn) != current);
            woken.extend(others.filter_map(|conn| wakers.get(&conn).cloned()));
            if let Some((set, waker)) = timer
                && let Some(next) = core.next_timeout()
                && set.is_none_or(|set| next < set)
            {
                woken.push(waker.clone());
            }
        }
        // Not under the lock, which is the first thing that they want.
        woken.into_iter().for_each(Waker::wake);
    }

    /// Calls the core when its timers are due.
    pub(super) async fn run_timers(&self) {
        let mut sleep = pin!(tokio::time::sleep(Duration::ZERO));
        poll_fn(|cx| -> Poll<()> {
            loop {
                let next = {
                    let mut state = self.lock();
                    let next = state.core.next_timeout();
                    state.timer = Some((next, cx.waker().clone()));
                    next
                };
                let Some(next) = next else { return Poll::Pending };
                sleep.as_mut().reset(next.into());
                if sleep.as_mut().poll(cx).is_pending() {
                    return Poll::Pending;
                }
                self.with_core(|core| core.handle_timeout(Instant::now()));
                self.wake_others(None);
            }
        })
        .await;
    }
}

/// The runtime of a server: that of the calling thread, or several threads beside it.
pub(super) fn runtime(threads: usize) -> io::Result<Runtime> {
    let mut builder = match threads {
        1 => Builder::new_current_thread(),
        _ => Builder::new_multi_thread(),
    };
    if threads > 1 {
        let started = AtomicUsize::new(0);
        // As the system shows them, which cuts longer names off.
        let name = move || format!("iscp-broker-{}", started.fetch_add(1, Ordering::Relaxed) + 1);
        builder.worker_threads(threads).thread_name_fn(name);
    }
    builder.event_interval(EVENT_INTERVAL).enable_all().build()
}

/// Runs the server until told to stop.
pub(super) fn run(
    config: ServerConfig,
    commands: watch::Receiver<Option<Instant>>,
    report: &mpsc::Sender<Result<Started, StartError>>,
) {
    let runtime = match runtime(config.threads) {
        Ok(runtime) => runtime,
        Err(error) => {
            let _ = report.send(Err(StartError::Thread(error)));
            return;
        }
    };
    runtime.block_on(async {
        let opened: Result<Vec<_>, _> =
            config.listeners.iter().map(|at| Acceptor::open(at, &config)).collect();
        let acceptors = match opened {
            Ok(acceptors) => acceptors,
            Err(error) => {
                let _ = report.send(Err(error));
                return;
            }
        };
        #[cfg(feature = "full")]
        let token_endpoint = match config.oauth2.as_ref().map(|oauth2| TokenEndpoint::open(oauth2, &config)) {
            None => None,
            Some(Ok(endpoint)) => Some(endpoint),
            Some(Err(error)) => {
                let _ = report.send(Err(error));
                return;
            }
        };
        let endpoints: Vec<_> = acceptors.iter().map(|(endpoint, _)| *endpoint).collect();
        for endpoint in &endpoints {
            info!("listening on {endpoint}");
        }
        let mut token_url = None;
        let mut issued: Option<Arc<dyn TokenCheck>> = None;
        #[cfg(feature = "full")]
        if let Some(endpoint) = token_endpoint {
            let url = endpoint.url();
            info!("access tokens at {url}");
            token_url = Some(url);
            issued = Some(endpoint.issued());
            // Ends with the runtime.
            tokio::spawn(endpoint.run());
        }
        // Not before the addresses are had: the file may be that of a server which still runs.
        let shared = match Shared::new(config, issued.take()) {
            Ok(shared) => Arc::new(shared),
            Err(error) => {
                let _ = report.send(Err(error));
                return;
            }
        };
        let _ = report.send(Ok(Started { endpoints, token_url: token_url.take() }));
        serve(Arc::clone(&shared), acceptors, commands).await;
        if let Some(path) = &shared.config.state {
            let snapshot = shared.with_core(|core| core.snapshot(Instant::now()));
            state::save(path, &snapshot);
        }
        info!("stopped");
    });
}

/// What takes new connections of one listener.
enum Acceptor {
    Ws(TcpListener),
    #[cfg(feature = "full")]
    Wss(TcpListener, TlsAcceptor),
    #[cfg(feature = "full")]
    Quic(quinn::Endpoint),
    #[cfg(feature = "full")]
    WebTransport(quinn::Endpoint),
}

impl Acceptor {
    /// Listens at the first address that can be had.
    fn open(listener: &Listener, config: &ServerConfig) -> Result<(Endpoint, Self), StartError> {
        let scheme = listener.scheme;
        let (address, acceptor) = match scheme {
            Scheme::Ws => {
                first(&listener.addresses, listen).map(|(address, socket)| (address, Self::Ws(socket)))?
            }
            _ => Self::open_secure(listener, config)?,
        };
        Ok((Endpoint { scheme, address }, acceptor))
    }

    #[cfg(not(feature = "full"))]
    fn open_secure(listener: &Listener, _: &ServerConfig) -> Result<(SocketAddr, Self), StartError> {
        Err(StartError::Unsupported(listener.scheme))
    }

    #[cfg(feature = "full")]
    fn open_secure(listener: &Listener, config: &ServerConfig) -> Result<(SocketAddr, Self), StartError> {
        let scheme = listener.scheme;
        let tls = |alpn: &[&[u8]]| {
            let identity = config.tls.as_ref().ok_or(StartError::NoCertificate(scheme))?;
            identity.server_config(alpn)
        };
        let max = config.core.limits.message_bytes;
        let udp = |settings: Result<quinn::ServerConfig, TransportError>| {
            let settings = settings.map_err(|error| StartError::Certificate(error.to_string()))?;
            first(&listener.addresses, |address| quic::listen(address, &settings))
        };
        match scheme {
            Scheme::Ws | Scheme::Wss => {
                let tls = TlsAcceptor::from(Arc::new(tls(&[b"http/1.1"])?));
                first(&listener.addresses, listen).map(|(address, socket)| (address, Self::Wss(socket, tls)))
            }
            Scheme::Quic => {
                let settings = transport::quic::server_config(tls(&[transport::quic::ALPN])?, max);
                udp(settings).map(|(address, endpoint)| (address, Self::Quic(endpoint)))
            }
            Scheme::WebTransport => {
                let settings =
                    transport::webtransport::server_config(tls(&[transport::webtransport::ALPN])?, max);
                udp(settings).map(|(address, endpoint)| (address, Self::WebTransport(endpoint)))
            }
        }
    }

    /// What carries connections that end later than their tasks.
    #[cfg(feature = "full")]
    fn endpoint(&self) -> Option<quinn::Endpoint> {
        match self {
            Self::Ws(_) | Self::Wss(..) => None,
            Self::Quic(endpoint) | Self::WebTransport(endpoint) => Some(endpoint.clone()),
        }
    }

    /// Takes connections for ever, each in a task of its own.
    async fn run(self, shared: Arc<Shared>, spawner: Spawner) {
        match self {
            Self::Ws(listener) => loop {
                let (stream, address) = accept(&listener).await;
                let handshake = {
                    let shared = Arc::clone(&shared);
                    async move { websocket::accept(&shared, stream, address, false).await }
                };
                spawner.spawn(address, handshake);
            },
            #[cfg(feature = "full")]
            Self::Wss(listener, tls) => loop {
                let (stream, address) = accept(&listener).await;
                let handshake = {
                    let (shared, tls) = (Arc::clone(&shared), tls.clone());
                    async move {
                        match super::tls::accept(&tls, stream).await {
                            Ok(stream) => websocket::accept(&shared, stream, address, true).await,
                            Err(error) => {
                                info!(%address, %error, "TLS handshake failed");
                                None
                            }
                        }
                    }
                };
                spawner.spawn(address, handshake);
            },
            #[cfg(feature = "full")]
            Self::Quic(endpoint) => {
                let handshakes = quic::Handshakes::new(spawner.max);
                while let Some(incoming) = endpoint.accept().await {
                    let Some((incoming, handshake)) = handshakes.admit(incoming) else { continue };
                    let shared = Arc::clone(&shared);
                    let address = incoming.remote_address();
                    // The library refuses what is dropped.
                    spawner.spawn(address, async move {
                        let accepted = quic::accept(&shared, incoming).await;
                        drop(handshake);
                        accepted
                    });
                }
            }
            #[cfg(feature = "full")]
            Self::WebTransport(endpoint) => {
                let handshakes = quic::Handshakes::new(spawner.max);
                while let Some(incoming) = endpoint.accept().await {
                    let Some((incoming, handshake)) = handshakes.admit(incoming) else { continue };
                    let shared = Arc::clone(&shared);
                    let address = incoming.remote_address();
                    spawner.spawn(address, async move {
                        let accepted = webtransport::accept(&shared, incoming).await;
                        drop(handshake);
                        accepted
                    });
                }
            }
        }
    }
}

/// The first of several addresses that can be had.
pub(super) fn first<T>(
    addresses: &[SocketAddr],
    open: impl Fn(SocketAddr) -> io::Result<(SocketAddr, T)>,
) -> Result<(SocketAddr, T), StartError> {
    let mut failure = StartError::NoAddress;
    for &address in addresses {
        match open(address) {
            Ok(opened) => return Ok(opened),
            Err(source) => failure = StartError::Listen { address, source },
        }
    }
    Err(failure)
}

pub(super) fn listen(address: SocketAddr) -> io::Result<(SocketAddr, TcpListener)> {
    let socket = if address.is_ipv4() { TcpSocket::new_v4()? } else { TcpSocket::new_v6()? };
    socket.set_reuseaddr(true)?;
    // Accepted sockets inherit it. Failing to set it is no reason not to serve.
    let _ = socket.set_send_buffer_size(SEND_BUFFER);
    socket.bind(address)?;
    let listener = socket.listen(BACKLOG)?;
    Ok((listener.local_addr()?, listener))
}

/// Next TCP connection.
pub(super) async fn accept(listener: &TcpListener) -> (TcpStream, SocketAddr) {
    loop {
        match listener.accept().await {
            Ok((stream, address)) => {
                // Messages are batched above; a delay here would only add to their latency.
                let _ = stream.set_nodelay(true);
                return (stream, address);
            }
            Err(error) => {
                warn!(%error, "cannot accept a connection");
                tokio::time::sleep(ACCEPT_PAUSE).await;
            }
        }
    }
}

/// Starts the tasks of connections.
struct Spawner {
    shared: Arc<Shared>,
    connections: Arc<Mutex<JoinSet<()>>>,
    spawned: Arc<Notify>,
    stop: watch::Receiver<Option<Instant>>,
    max: usize,
}

impl Spawner {
    fn spawn(&self, address: SocketAddr, handshake: impl Future<Output = Option<Accepted>> + Send + 'static) {
        let mut connections = lock(&self.connections);
        if connections.len() >= self.max {
            warn!(%address, "too many connections");
            return;
        }
        let (shared, stop) = (Arc::clone(&self.shared), self.stop.clone());
        connections.spawn(connection::run(shared, address, handshake, stop));
        self.spawned.notify_one();
    }
}

async fn serve(
    shared: Arc<Shared>,
    acceptors: Vec<(Endpoint, Acceptor)>,
    mut commands: watch::Receiver<Option<Instant>>,
) {
    let timers = tokio::spawn({
        let shared = Arc::clone(&shared);
        async move { shared.run_timers().await }
    });
    let connections = Arc::new(Mutex::new(JoinSet::new()));
    let spawned = Arc::new(Notify::new());
    #[cfg(feature = "full")]
    let endpoints: Vec<_> = acceptors.iter().filter_map(|(_, acceptor)| acceptor.endpoint()).collect();
    let mut accepting = JoinSet::new();
    for (_, acceptor) in acceptors {
        let spawner = Spawner {
            shared: Arc::clone(&shared),
            connections: Arc::clone(&connections),
            spawned: Arc::clone(&spawned),
            stop: commands.clone(),
            max: shared.config.core.limits.connections.saturating_add(SPARE_SOCKETS),
        };
        accepting.spawn(acceptor.run(Arc::clone(&shared), spawner));
    }
    loop {
        let ended = poll_fn(|cx| match lock(&connections).poll_join_next(cx) {
            Poll::Ready(Some(ended)) => Poll::Ready(ended),
            // Asked again once there is one.
            Poll::Ready(None) | Poll::Pending => Poll::Pending,
        });
        tokio::select! {
            _ = commands.changed() => break,
            () = spawned.notified() => {}
            ended = ended => report_panic(ended),
        }
    }
    // Closes the listeners, and with them the last other owners of the connections.
    accepting.shutdown().await;
    let mut connections = std::mem::take(&mut *lock(&connections));
    // Without a handle there is nobody left to wait.
    let now = Instant::now();
    let mut deadline = commands.borrow_and_update().unwrap_or(now);
    let drain = shared.config.core.timing.drain.min(deadline.saturating_duration_since(now) / 2);
    if shared.config.state.is_some() {
        shared.with_core(|core| core.suspend(now, now + drain));
    } else {
        shared.with_core(|core| core.drain(now, now + drain));
    }
    shared.wake_others(None);
    while !connections.is_empty() {
        tokio::select! {
            Some(ended) = connections.join_next() => report_panic(ended),
            Ok(()) = commands.changed() => {
                deadline = commands.borrow_and_update().unwrap_or(deadline);
            }
            () = tokio::time::sleep_until(deadline.into()) => {
                info!(connections = connections.len(), "connections cut off at the end");
                break;
            }
        }
    }
    timers.abort();
    connections.shutdown().await;
    #[cfg(feature = "full")]
    {
        let (most, least) = LAST_PACKETS;
        let limit = deadline.saturating_duration_since(Instant::now()).clamp(least, most);
        let idle = endpoints.iter().map(quinn::Endpoint::wait_idle);
        let _ = tokio::time::timeout(limit, futures_util::future::join_all(idle)).await;
    }
}

fn lock(connections: &Mutex<JoinSet<()>>) -> MutexGuard<'_, JoinSet<()>> {
    connections.lock().unwrap_or_else(PoisonError::into_inner)
}

fn report_panic(ended: Result<(), tokio::task::JoinError>) {
    if let Err(failure) = ended
        && failure.is_panic()
    {
        error!(%failure, "the task of a connection panicked");
    }
}
