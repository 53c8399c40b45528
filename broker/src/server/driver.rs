//! The thread of the server: listener, timers, and the core that all connections share.

use std::cell::{Cell, RefCell};
use std::collections::HashMap;
use std::future::{Future, poll_fn};
use std::io;
use std::net::SocketAddr;
use std::pin::pin;
use std::rc::Rc;
use std::sync::mpsc;
use std::task::{Context, Poll, Waker};
use std::time::{Duration, Instant};

use tokio::net::{TcpListener, TcpSocket};
use tokio::sync::watch;
use tokio::task::{JoinSet, LocalSet};
use tracing::{error, info, warn};

use super::connection;
use super::{ServerConfig, StartError};
use crate::core::{Broker, ConnId, SystemEnvironment};

/// Connections the system may hold ready for us: many clients reconnect in the same moment.
const BACKLOG: u32 = 4096;
/// Sockets beyond the limit of connections, so that the excess can be told why it is refused.
const SPARE_SOCKETS: usize = 256;
/// What the system may hold of what we sent. More would only make a Pong wait longer behind data on a
/// slow link.
const SEND_BUFFER: u32 = 256 * 1024;
/// Pause after a failure to accept, which is nearly always a lack of file descriptors.
const ACCEPT_PAUSE: Duration = Duration::from_millis(50);

/// What the tasks of a server share.
pub(super) struct Shared {
    pub(super) config: ServerConfig,
    pub(super) core: RefCell<Broker>,
    wakers: RefCell<HashMap<ConnId, Waker>>,
    timer: RefCell<Option<(Option<Instant>, Waker)>>,
    ready: RefCell<Vec<ConnId>>,
    last_conn: Cell<u64>,
}

impl Shared {
    fn new(mut config: ServerConfig) -> Self {
        let mut core = config.core.clone();
        core.tokens.append(&mut config.tokens);
        Self {
            core: RefCell::new(Broker::new(core, Box::new(SystemEnvironment))),
            config,
            wakers: RefCell::default(),
            timer: RefCell::default(),
            ready: RefCell::default(),
            last_conn: Cell::new(0),
        }
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
    report: &mpsc::Sender<Result<SocketAddr, StartError>>,
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
        let Some(address) = config.ws else { return };
        let listener = match listen(address) {
            Ok(listener) => listener,
            Err(source) => {
                let _ = report.send(Err(StartError::Listen { address, source }));
                return;
            }
        };
        let address = listener.local_addr().unwrap_or(address);
        info!(%address, "listening for WebSockets");
        let _ = report.send(Ok(address));
        serve(Rc::new(Shared::new(config)), listener, commands).await;
        info!(%address, "stopped");
    });
}

fn listen(address: SocketAddr) -> io::Result<TcpListener> {
    let socket = if address.is_ipv4() { TcpSocket::new_v4()? } else { TcpSocket::new_v6()? };
    socket.set_reuseaddr(true)?;
    // Accepted sockets inherit it. Failing to set it is no reason not to serve.
    let _ = socket.set_send_buffer_size(SEND_BUFFER);
    socket.bind(address)?;
    socket.listen(BACKLOG)
}

async fn serve(shared: Rc<Shared>, listener: TcpListener, mut commands: watch::Receiver<Option<Instant>>) {
    let timers = tokio::task::spawn_local({
        let shared = Rc::clone(&shared);
        async move { shared.run_timers().await }
    });
    let max_sockets = shared.config.core.limits.connections.saturating_add(SPARE_SOCKETS);
    let mut connections = JoinSet::new();
    loop {
        tokio::select! {
            _ = commands.changed() => break,
            Some(ended) = connections.join_next() => report_panic(ended),
            accepted = listener.accept() => match accepted {
                Ok((socket, peer)) if connections.len() < max_sockets => {
                    let stop = commands.clone();
                    connections.spawn_local(connection::run(Rc::clone(&shared), socket, peer, stop));
                }
                Ok((_, peer)) => warn!(%peer, "too many connections"),
                Err(error) => {
                    warn!(%error, "cannot accept a connection");
                    tokio::time::sleep(ACCEPT_PAUSE).await;
                }
            },
        }
    }
    drop(listener);
    shared.core.borrow_mut().shutdown(Instant::now());
    shared.wake_others(None);
    // Without a handle there is nobody left to wait.
    let mut deadline = commands.borrow_and_update().unwrap_or_else(Instant::now);
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
