//! The thread of the server: listener, timers, and the core that all connections share.

use std::cell::{Cell, RefCell};
use std::collections::HashMap;
use std::future::{Future, poll_fn};
use std::io;
use std::net::SocketAddr;
use std::pin::pin;
use std::rc::Rc;
use std::sync::{Arc, mpsc};
use std::task::{Context, Poll, Waker};
use std::time::{Duration, Instant};

use iscp::transport::Scheme;
#[cfg(feature = "full")]
use iscp::transport::{self, TransportError};
use tokio::net::{TcpListener, TcpSocket, TcpStream};
use tokio::sync::{Notify, watch};
use tokio::task::{JoinSet, LocalSet};
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
    pub(super) core: RefCell<Broker>,
    pub(super) groups: Groups,
    wakers: RefCell<HashMap<ConnId, Waker>>,
    timer: RefCell<Option<(Option<Instant>, Waker)>>,
    ready: RefCell<Vec<ConnId>>,
    last_conn: Cell<u64>,
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
        Ok(Self {
            core: RefCell::new(broker),
            config,
            groups: Groups::default(),
            wakers: RefCell::default(),
            timer: RefCell::default(),
            ready: RefCell::default(),
            last_conn: Cell::new(0),
        })
    }

    /// Whether there is no room for another client.
    pub(super) fn is_full(&self) -> bool {
        self.core.borrow().stats().connections >= self.config.core.limits.connections
    }

    pub(super) fn next_conn(&self) -> ConnId {
        self.last_conn.set(self.last_conn.get() + 1);
        ConnId(self.last_conn.get())
    }

    /// Notes how the task of a connection is woken.
    pub(super) fn register(&self, conn: ConnId, cx: &Context<'_>) {
        let mut wakers = self.wakers.borrow_mut();
        match wakers.get_mut(&conn) {
            Some(waker) => waker.clone_from(cx.waker()),
            None => {
                wakers.insert(conn, cx.waker().clone());
            }
        }
    }

    pub(super) fn forget(&self, conn: ConnId) {
        self.wakers.borrow_mut().remove(&conn);
    }

    /// Wakes whoever has something to do after the core was fed. `current` polls the core itself.
    pub(super) fn wake_others(&self, current: Option<ConnId>) {
        let mut ready = self.ready.borrow_mut();
        self.core.borrow_mut().take_ready(&mut ready);
        let wakers = self.wakers.borrow();
        for conn in ready.drain(..) {
            if Some(conn) != current
                && let Some(waker) = wakers.get(&conn)
            {
                waker.wake_by_ref();
            }
        }
        let next = self.core.borrow().next_timeout();
        if let Some((set, waker)) = self.timer.borrow().as_ref()
            && let Some(next) = next
            && set.is_none_or(|set| next < set)
        {
            waker.wake_by_ref();
        }
    }

    /// Calls the core when its timers are due.
    async fn run_timers(&self) {
        let mut sleep = pin!(tokio::time::sleep(Duration::ZERO));
        poll_fn(|cx| -> Poll<()> {
            loop {
                let next = self.core.borrow().next_timeout();
                *self.timer.borrow_mut() = Some((next, cx.waker().clone()));
                let Some(next) = next else { return Poll::Pending };
                sleep.as_mut().reset(next.into());
                if sleep.as_mut().poll(cx).is_pending() {
                    return Poll::Pending;
                }
                self.core.borrow_mut().handle_timeout(Instant::now());
                self.wake_others(None);
            }
        })
        .await;
    }
}

/// Runs the server until told to stop.
pub(super) fn run(
    config: ServerConfig,
    commands: watch::Receiver<Option<Instant>>,
    report: &mpsc::Sender<Result<Started, StartError>>,
) {
    let runtime = match tokio::runtime::Builder::new_current_thread().enable_all().build() {
        Ok(runtime) => runtime,
        Err(error) => {
            let _ = report.send(Err(StartError::Thread(error)));
            return;
        }
    };
    let tasks = LocalSet::new();
    tasks.block_on(&runtime, async {
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
            // Ends with the tasks of the server.
            tokio::task::spawn_local(endpoint.run());
        }
        // Not before the addresses are had: the file may be that of a server which still runs.
        let shared = match Shared::new(config, issued.take()) {
            Ok(shared) => Rc::new(shared),
            Err(error) => {
                let _ = report.send(Err(error));
                return;
            }
        };
        let _ = report.send(Ok(Started { endpoints, token_url: token_url.take() }));
        serve(Rc::clone(&shared), acceptors, commands).await;
        if let Some(path) = &shared.config.state {
            let snapshot = shared.core.borrow_mut().snapshot(Instant::now());
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

    /// Takes connections for ever, each in a task of its own.
    async fn run(self, shared: Rc<Shared>, spawner: Spawner) {
        match self {
            Self::Ws(listener) => loop {
                let (stream, address) = accept(&listener).await;
                let handshake = {
                    let shared = Rc::clone(&shared);
                    async move { websocket::accept(&shared, stream, address, false).await }
                };
                spawner.spawn(address, handshake);
            },
            #[cfg(feature = "full")]
            Self::Wss(listener, tls) => loop {
                let (stream, address) = accept(&listener).await;
                let handshake = {
                    let (shared, tls) = (Rc::clone(&shared), tls.clone());
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
                    let shared = Rc::clone(&shared);
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
                    let shared = Rc::clone(&shared);
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
    shared: Rc<Shared>,
    connections: Rc<RefCell<JoinSet<()>>>,
    spawned: Rc<Notify>,
    stop: watch::Receiver<Option<Instant>>,
    max: usize,
}

impl Spawner {
    fn spawn(&self, address: SocketAddr, handshake: impl Future<Output = Option<Accepted>> + 'static) {
        let mut connections = self.connections.borrow_mut();
        if connections.len() >= self.max {
            warn!(%address, "too many connections");
            return;
        }
        let (shared, stop) = (Rc::clone(&self.shared), self.stop.clone());
        connections.spawn_local(connection::run(shared, address, handshake, stop));
        self.spawned.notify_one();
    }
}

async fn serve(
    shared: Rc<Shared>,
    acceptors: Vec<(Endpoint, Acceptor)>,
    mut commands: watch::Receiver<Option<Instant>>,
) {
    let timers = tokio::task::spawn_local({
        let shared = Rc::clone(&shared);
        async move { shared.run_timers().await }
    });
    let connections = Rc::new(RefCell::new(JoinSet::new()));
    let spawned = Rc::new(Notify::new());
    let mut accepting = JoinSet::new();
    for (_, acceptor) in acceptors {
        let spawner = Spawner {
            shared: Rc::clone(&shared),
            connections: Rc::clone(&connections),
            spawned: Rc::clone(&spawned),
            stop: commands.clone(),
            max: shared.config.core.limits.connections.saturating_add(SPARE_SOCKETS),
        };
        accepting.spawn_local(acceptor.run(Rc::clone(&shared), spawner));
    }
    loop {
        let ended = poll_fn(|cx| match connections.borrow_mut().poll_join_next(cx) {
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
    let mut connections = connections.take();
    // Without a handle there is nobody left to wait.
    let now = Instant::now();
    let mut deadline = commands.borrow_and_update().unwrap_or(now);
    let drain = shared.config.core.timing.drain.min(deadline.saturating_duration_since(now) / 2);
    if shared.config.state.is_some() {
        shared.core.borrow_mut().suspend(now, now + drain);
    } else {
        shared.core.borrow_mut().drain(now, now + drain);
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
}

fn report_panic(ended: Result<(), tokio::task::JoinError>) {
    if let Err(failure) = ended
        && failure.is_panic()
    {
        error!(%failure, "the task of a connection panicked");
    }
}
