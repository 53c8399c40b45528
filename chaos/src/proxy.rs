//! The proxy as a whole: its thread, and commands to it.

use std::fmt;
use std::io;
use std::net::{SocketAddr, ToSocketAddrs};
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering::SeqCst};
use std::sync::{Arc, Condvar, Mutex, PoisonError};
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

use tokio::net::{TcpListener, TcpSocket, UdpSocket};
use tokio::sync::watch;

use crate::conductor::Control;
use crate::faults::{Cut, Faults};
use crate::report::{Direction, Fault, Injected};
use crate::{tcp, udp};

/// Connections that there can be at once, of TCP and of UDP each. More are refused.
pub const MAX_CONNECTIONS: usize = 1024;

/// How often a port is looked for that is free for both TCP and UDP.
const PORTS: usize = 32;
/// Connections that wait to be accepted.
const BACKLOG: u32 = 1024;
/// How long a command may take to have its effect.
const COMMAND_LIMIT: Duration = Duration::from_secs(10);

/// Is told of every fault, on the thread of the proxy.
pub type OnFault = Arc<dyn Fn(&Injected) + Send + Sync>;

/// Settings of a proxy.
#[derive(Clone)]
pub struct Config {
    /// Where clients connect to; port 0 takes a free one, the same for TCP and UDP.
    pub listen: SocketAddr,
    /// The server, HOST:PORT.
    pub to: String,
    /// Whether TCP connections are forwarded.
    pub tcp: bool,
    /// Whether datagrams are forwarded.
    pub udp: bool,
    /// Decides what goes wrong.
    pub seed: u64,
    /// What may go wrong.
    pub faults: Faults,
    /// Is told of every fault.
    pub on_fault: Option<OnFault>,
}

impl Config {
    /// A proxy for TCP on a free port of this machine, without faults.
    pub fn new(to: impl Into<String>) -> Self {
        Self {
            listen: ([127, 0, 0, 1], 0).into(),
            to: to.into(),
            tcp: true,
            udp: false,
            seed: 0,
            faults: Faults::default(),
            on_fault: None,
        }
    }
}

impl fmt::Debug for Config {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Config")
            .field("listen", &self.listen)
            .field("to", &self.to)
            .field("tcp", &self.tcp)
            .field("udp", &self.udp)
            .field("seed", &self.seed)
            .field("faults", &self.faults)
            .finish_non_exhaustive()
    }
}

/// Why a proxy did not start.
#[derive(Debug, thiserror::Error)]
pub enum StartError {
    /// There is nothing to forward.
    #[error("neither TCP nor UDP is to be forwarded")]
    NoProtocol,
    /// The server has no address.
    #[error("cannot forward to {to}: {source}")]
    Resolve {
        /// The server.
        to: String,
        /// What the system said.
        source: io::Error,
    },
    /// An address could not be taken.
    #[error("cannot listen on {address}: {source}")]
    Listen {
        /// The address.
        address: SocketAddr,
        /// What the system said.
        source: io::Error,
    },
    /// The thread could not be set up.
    #[error("cannot start the proxy's thread: {0}")]
    Thread(#[source] io::Error),
}

/// A running proxy, on a thread of its own. Dropping it resets every connection and ends it.
#[derive(Debug)]
pub struct Proxy {
    address: SocketAddr,
    control: watch::Sender<Control>,
    shared: Arc<Shared>,
    thread: Option<JoinHandle<()>>,
}

impl Proxy {
    /// Starts a proxy.
    ///
    /// # Errors
    /// Says which address cannot be used.
    pub fn start(config: Config) -> Result<Self, StartError> {
        if !config.tcp && !config.udp {
            return Err(StartError::NoProtocol);
        }
        let unresolved = |source| StartError::Resolve { to: config.to.clone(), source };
        let to: Vec<_> = config.to.to_socket_addrs().map_err(unresolved)?.collect();
        if to.is_empty() {
            return Err(unresolved(io::Error::other("the host has no address")));
        }
        let runtime =
            tokio::runtime::Builder::new_current_thread().enable_all().build().map_err(StartError::Thread)?;
        let guard = runtime.enter();
        let (address, listener, socket) =
            listen(&config).map_err(|source| StartError::Listen { address: config.listen, source })?;
        drop(guard);

        let (control, wanted) = watch::channel(Control::default());
        let shared = Arc::new(Shared {
            config,
            to,
            started: Instant::now(),
            live: AtomicUsize::new(0),
            accepted: AtomicU64::new(0),
            refusing: (Mutex::new(false), Condvar::new()),
        });
        let thread = thread::Builder::new()
            .name("iscp-chaos".to_owned())
            .spawn({
                let shared = Arc::clone(&shared);
                move || runtime.block_on(serve(shared, address, listener, socket, wanted))
            })
            .map_err(StartError::Thread)?;
        Ok(Self { address, control, shared, thread: Some(thread) })
    }

    /// A proxy for TCP without faults: they come by command.
    ///
    /// # Errors
    /// As [`Proxy::start`].
    pub fn tcp(to: impl Into<String>) -> Result<Self, StartError> {
        Self::start(Config::new(to))
    }

    /// The same for UDP.
    ///
    /// # Errors
    /// As [`Proxy::start`].
    pub fn udp(to: impl Into<String>) -> Result<Self, StartError> {
        Self::start(Config { tcp: false, udp: true, ..Config::new(to) })
    }

    /// Where clients connect to.
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// Connections that there are.
    pub fn connections(&self) -> usize {
        self.shared.live.load(SeqCst)
    }

    /// Connections that there have been so far, those that there are among them.
    pub fn accepted(&self) -> u64 {
        self.shared.accepted.load(SeqCst)
    }

    /// Cuts every connection that there is. Of UDP nothing passes any more from and to the clients' addresses.
    pub fn cut(&self, by: Cut) {
        self.control.send_modify(|control| {
            control.cuts += 1;
            control.cut_by = by;
        });
    }

    /// Ends a direction of every TCP connection that there is.
    pub fn half_close(&self, direction: Direction) {
        self.control.send_modify(|control| control.half_closes[direction.index()] += 1);
    }

    /// Forwards nothing any more in a direction of every connection that there is.
    pub fn silence(&self, direction: Direction) {
        self.control.send_modify(|control| control.silences[direction.index()] += 1);
    }

    /// Forwards nothing until it is let go, also of new connections, which stay open. What TCP carries is late
    /// then, datagrams are lost.
    pub fn black_hole(&self) {
        self.control.send_modify(|control| control.black_hole = true);
    }

    /// Ends [`Proxy::black_hole`].
    pub fn let_go(&self) {
        self.control.send_modify(|control| control.black_hole = false);
    }

    /// Takes no new connections, as if the server did not run, or takes them again. Returns when it is so. Those
    /// that there are stay.
    pub fn refuse(&self, refuse: bool) {
        self.control.send_modify(|control| control.refuse = refuse);
        if !self.shared.config.tcp {
            // Asked with every datagram.
            return;
        }
        let (refusing, changed) = &self.shared.refusing;
        let refusing = refusing.lock().unwrap_or_else(PoisonError::into_inner);
        let waited = changed.wait_timeout_while(refusing, COMMAND_LIMIT, |now| *now != refuse);
        let (refusing, _) = waited.unwrap_or_else(PoisonError::into_inner);
        assert_eq!(*refusing, refuse, "the proxy does not answer, or its port was taken meanwhile");
    }
}

impl Drop for Proxy {
    fn drop(&mut self) {
        self.control.send_modify(|control| control.stop = true);
        if let Some(thread) = self.thread.take() {
            // A panic there was printed; another one here would hide it.
            let _ = thread.join();
        }
    }
}

/// What the tasks of a proxy have in common.
#[derive(Debug)]
pub(crate) struct Shared {
    pub(crate) config: Config,
    pub(crate) to: Vec<SocketAddr>,
    started: Instant,
    live: AtomicUsize,
    accepted: AtomicU64,
    /// Whether no new TCP connections are taken at present.
    refusing: (Mutex<bool>, Condvar),
}

impl Shared {
    pub(crate) fn report(
        &self,
        connection: u64,
        direction: Option<Direction>,
        offset: Option<u64>,
        fault: Fault,
    ) {
        if let Some(on_fault) = &self.config.on_fault {
            on_fault(&Injected { at: self.started.elapsed(), connection, direction, offset, fault });
        }
    }

    /// Counts a connection until the result is dropped.
    pub(crate) fn count(self: &Arc<Self>) -> Counted {
        self.live.fetch_add(1, SeqCst);
        self.accepted.fetch_add(1, SeqCst);
        Counted(Arc::clone(self))
    }

    pub(crate) fn set_refusing(&self, refusing: bool) {
        *self.refusing.0.lock().unwrap_or_else(PoisonError::into_inner) = refusing;
        self.refusing.1.notify_all();
    }
}

/// One of the connections that there are.
pub(crate) struct Counted(Arc<Shared>);

impl Drop for Counted {
    fn drop(&mut self) {
        self.0.live.fetch_sub(1, SeqCst);
    }
}

/// A socket for TCP that holds the port and does not listen yet.
pub(crate) fn bind(address: SocketAddr) -> io::Result<TcpSocket> {
    let socket = if address.is_ipv4() { TcpSocket::new_v4()? } else { TcpSocket::new_v6()? };
    // Connections that were cut would hold the port for a minute.
    socket.set_reuseaddr(true)?;
    socket.bind(address)?;
    Ok(socket)
}

pub(crate) fn listen_on(socket: TcpSocket) -> io::Result<TcpListener> {
    socket.listen(BACKLOG)
}

type Sockets = (SocketAddr, Option<TcpListener>, Option<UdpSocket>);

fn listen(config: &Config) -> io::Result<Sockets> {
    let udp = |address| {
        let socket = std::net::UdpSocket::bind(address)?;
        socket.set_nonblocking(true)?;
        UdpSocket::from_std(socket)
    };
    if !config.tcp {
        let socket = udp(config.listen)?;
        return Ok((socket.local_addr()?, None, Some(socket)));
    }
    for attempt in 1.. {
        let listener = listen_on(bind(config.listen)?)?;
        let address = listener.local_addr()?;
        if !config.udp {
            return Ok((address, Some(listener), None));
        }
        match udp(address) {
            Ok(socket) => return Ok((address, Some(listener), Some(socket))),
            // The port that is free for one may be taken for the other.
            Err(_) if config.listen.port() == 0 && attempt < PORTS => {}
            Err(error) => return Err(error),
        }
    }
    unreachable!("the last attempt returns")
}

async fn serve(
    shared: Arc<Shared>,
    address: SocketAddr,
    listener: Option<TcpListener>,
    socket: Option<UdpSocket>,
    wanted: watch::Receiver<Control>,
) {
    let mut stop = wanted.clone();
    let tcp = async {
        if let Some(listener) = listener {
            tcp::serve(&shared, address, listener, &wanted).await;
        }
    };
    let udp = async {
        if let Some(socket) = socket {
            tokio::select! {
                // Fails when the proxy was dropped, which is as good.
                _ = stop.wait_for(|control| control.stop) => {}
                () = udp::serve(&shared, socket, &wanted) => {}
            }
        }
    };
    tokio::join!(tcp, udp);
}
