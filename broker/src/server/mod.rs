//! The broker on the network.

mod connection;
mod driver;
mod group;
#[cfg(feature = "full")]
mod oauth2;
mod origin;
#[cfg(feature = "full")]
mod quic;
mod state;
#[cfg(test)]
mod tests;
#[cfg(feature = "full")]
mod tls;
mod websocket;
#[cfg(feature = "full")]
mod webtransport;

use std::fmt;
use std::io;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::{Arc, Condvar, Mutex, PoisonError, mpsc};
use std::thread;
use std::time::{Duration, Instant};

use iscp::transport::Scheme;
use tokio::sync::watch;

#[cfg(feature = "full")]
pub use oauth2::OAuth2Config;
#[cfg(feature = "full")]
pub use tls::TlsIdentity;

use crate::core;

/// Settings of a server.
#[derive(Clone)]
pub struct ServerConfig {
    /// Where to listen.
    pub listeners: Vec<Listener>,
    /// Certificate and key, without which there is no `wss`, `quic` and `webtransport`.
    #[cfg(feature = "full")]
    pub tls: Option<TlsIdentity>,
    /// Access tokens, in addition to those of `core`. None in either, and no `oauth2`: everyone may
    /// connect.
    pub tokens: Vec<String>,
    /// A token endpoint of the server's own, for development.
    #[cfg(feature = "full")]
    pub oauth2: Option<OAuth2Config>,
    /// From the first sign of a client to the end of the transport's handshake. Default 10 s.
    pub handshake_timeout: Duration,
    /// How long a connection over several transports (docs/multi-transport.md) may have none. Default 30 s.
    pub group_grace: Duration,
    /// Origins of web pages, `SCHEME://HOST[:PORT]` as browsers send them, that may connect, `*` for all. Others
    /// may not, except by WebSocket those of the host and port that they connect to. Where a token or a client
    /// certificate is demanded all may.
    pub allowed_origins: Vec<String>,
    /// File in which the streams survive from the end of a server to the start of the next. It is read at the
    /// start, and removed then; at the end it is written, for its owner only, since it holds resume tokens. A file
    /// that cannot be used is kept under its name with `.rejected` behind it, and an error is logged. `None`: all
    /// streams end with the server.
    pub state: Option<PathBuf>,
    /// Threads that carry connections, 1 to [`ServerConfig::MAX_THREADS`]. With 1, the thread of the server does
    /// everything; with more, that one only starts and ends the server. What a client notices is the same. Default
    /// 1: it costs least for each message, and carries millions of points a second.
    pub threads: usize,
    /// Settings of the broker itself.
    pub core: core::Config,
}

impl ServerConfig {
    /// Most threads a server can have.
    pub const MAX_THREADS: usize = 256;
}

impl fmt::Debug for ServerConfig {
    /// Leaves out the tokens.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut shown = f.debug_struct("ServerConfig");
        shown.field("listeners", &self.listeners);
        #[cfg(feature = "full")]
        shown.field("tls", &self.tls).field("oauth2", &self.oauth2);
        shown
            .field("tokens", &self.tokens.len())
            .field("handshake_timeout", &self.handshake_timeout)
            .field("group_grace", &self.group_grace)
            .field("allowed_origins", &self.allowed_origins)
            .field("state", &self.state)
            .field("threads", &self.threads)
            .field("core", &self.core)
            .finish()
    }
}

impl Default for ServerConfig {
    fn default() -> Self {
        Self {
            listeners: Vec::new(),
            #[cfg(feature = "full")]
            tls: None,
            tokens: Vec::new(),
            #[cfg(feature = "full")]
            oauth2: None,
            handshake_timeout: Duration::from_secs(10),
            group_grace: Duration::from_secs(30),
            allowed_origins: Vec::new(),
            state: None,
            threads: 1,
            core: core::Config::default(),
        }
    }
}

/// One place to listen at.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Listener {
    /// Transport of the clients.
    pub scheme: Scheme,
    /// Addresses of which the first that can be had is taken; port 0 takes a free one.
    pub addresses: Vec<SocketAddr>,
}

impl Listener {
    /// A listener at one address.
    pub fn new(scheme: Scheme, address: impl Into<SocketAddr>) -> Self {
        Self { scheme, addresses: vec![address.into()] }
    }
}

/// Why a server did not start.
#[derive(Debug, thiserror::Error)]
pub enum StartError {
    /// The configuration names no address.
    #[error("no address to listen on")]
    NoAddress,
    /// So many threads are not possible.
    #[error("{0} threads: from 1 to {most} are possible", most = ServerConfig::MAX_THREADS)]
    Threads(usize),
    /// An access token is empty, which would protect nothing.
    #[error("an access token is empty")]
    EmptyToken,
    /// An id or a secret of a client of the token endpoint is empty.
    #[error("the id or the secret of an OAuth2 client is empty")]
    EmptyClient,
    /// A transport needs a certificate and there is none.
    #[error("{}:// needs a certificate and a key", .0.name())]
    NoCertificate(Scheme),
    /// The certificate or its key cannot be used.
    #[error("cannot use the certificate: {0}")]
    Certificate(String),
    /// The broker was built without the feature `full`, which the transport needs.
    #[error("this build has no transport for {}://", .0.name())]
    Unsupported(Scheme),
    /// An address could not be taken.
    #[error("cannot listen on {address}: {}", describe(source))]
    Listen {
        /// The address.
        address: SocketAddr,
        /// What the system said.
        source: io::Error,
    },
    /// The file for the streams cannot be read, written or removed.
    #[error("cannot keep streams in {}: {}", path.display(), describe(source))]
    State {
        /// The file.
        path: PathBuf,
        /// What the system said.
        source: io::Error,
    },
    /// The threads of the server could not be set up.
    #[error("cannot start the broker's threads: {}", describe(.0))]
    Thread(#[source] io::Error),
}

/// Text for an I/O error without the system's number, where there is one.
fn describe(error: &io::Error) -> String {
    let kind = error.kind().to_string();
    if error.kind() == io::ErrorKind::Other || kind.starts_with("uncategorized") {
        error.to_string()
    } else {
        kind
    }
}

/// The open broker.
#[derive(Debug)]
pub struct Server(());

impl Server {
    /// Starts a broker on threads of its own ([`ServerConfig::threads`]).
    ///
    /// # Errors
    /// The address that could not be taken and why, or what is missing in the configuration.
    pub fn start(config: ServerConfig) -> Result<ServerHandle, StartError> {
        if config.listeners.iter().all(|listener| listener.addresses.is_empty()) {
            return Err(StartError::NoAddress);
        }
        if !(1..=ServerConfig::MAX_THREADS).contains(&config.threads) {
            return Err(StartError::Threads(config.threads));
        }
        let mut tokens = config.tokens.iter().chain(&config.core.tokens);
        if tokens.any(String::is_empty) {
            return Err(StartError::EmptyToken);
        }
        let keeps_state = config.state.is_some();
        let (command, commands) = watch::channel(None);
        let (report, started) = mpsc::channel();
        let stopped = Arc::new(Stopped::default());
        let signal = StopSignal(Arc::clone(&stopped));
        thread::Builder::new()
            .name("iscp-broker".to_owned())
            .spawn(move || {
                let _signal = signal;
                driver::run(config, commands, &report);
            })
            .map_err(StartError::Thread)?;
        let started = started.recv().unwrap_or_else(|_| {
            Err(StartError::Thread(io::Error::other("the broker's thread ended early")))
        })?;
        Ok(ServerHandle { started, keeps_state, command, stopped })
    }
}

/// Where a running server listens. Printed as a URL for clients.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Endpoint {
    /// Transport of the clients.
    pub scheme: Scheme,
    /// The address, with the port that was taken.
    pub address: SocketAddr,
}

impl fmt::Display for Endpoint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}://{}", self.scheme.name(), self.address)
    }
}

/// What is known once a server runs.
#[derive(Debug)]
struct Started {
    endpoints: Vec<Endpoint>,
    token_url: Option<String>,
}

/// A running server. Dropping the handle stops it.
#[derive(Debug)]
pub struct ServerHandle {
    started: Started,
    keeps_state: bool,
    command: watch::Sender<Option<Instant>>,
    stopped: Arc<Stopped>,
}

impl ServerHandle {
    /// Time a dropped handle grants the connections to close.
    const DROP_LIMIT: Duration = Duration::from_secs(1);
    /// Time beyond its own limit that the driver needs to drop what is left.
    const END_LIMIT: Duration = Duration::from_millis(500);
    /// Time it takes at most to write down the streams.
    const STATE_LIMIT: Duration = Duration::from_secs(30);

    /// Where the server listens, in the order of [`ServerConfig::listeners`].
    pub fn endpoints(&self) -> &[Endpoint] {
        &self.started.endpoints
    }

    /// URL of the token endpoint, if there is one.
    pub fn token_url(&self) -> Option<&str> {
        self.started.token_url.as_deref()
    }

    /// First address at which the server takes clients with `scheme`.
    pub fn address(&self, scheme: Scheme) -> Option<SocketAddr> {
        self.started
            .endpoints
            .iter()
            .find(|endpoint| endpoint.scheme == scheme)
            .map(|endpoint| endpoint.address)
    }

    /// URL for clients, `SCHEME://HOST:PORT`, of the first address for `scheme`; empty when there is
    /// none. Any path does.
    pub fn url(&self, scheme: Scheme) -> String {
        let endpoint = self.started.endpoints.iter().find(|endpoint| endpoint.scheme == scheme);
        endpoint.map(Endpoint::to_string).unwrap_or_default()
    }

    /// Stops taking connections and data, acknowledges what was taken, delivers RELIABLE data to clients that
    /// read it for [`Timing::drain`](core::Timing::drain) or half of `limit` at most, closes the connections,
    /// and returns when the server has ended, at the latest after `limit`. Clients see their WebSocket close
    /// and may connect again; they get no iSCP Disconnect, from which some would not come back
    /// (docs/protocol/behaviour.md §3.2).
    ///
    /// With [`ServerConfig::state`] it returns once the file is written, which may take up to 30 s more on a slow
    /// disk.
    pub fn shutdown(&self, limit: Duration) {
        let deadline = Instant::now() + limit;
        // An earlier, shorter limit stays in force.
        self.command.send_if_modified(|at| {
            let sooner = at.is_none_or(|at| deadline < at);
            if sooner {
                *at = Some(deadline);
            }
            sooner
        });
        let more = if self.keeps_state { Self::STATE_LIMIT } else { Self::END_LIMIT };
        self.stopped.wait(Some(deadline + more));
    }

    /// Waits until the server has ended, which only [`ServerHandle::shutdown`] from another thread
    /// brings about.
    pub fn join(&self) {
        self.stopped.wait(None);
    }

    /// Whether the server has ended.
    pub fn is_stopped(&self) -> bool {
        *self.stopped.flag.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Drop for ServerHandle {
    fn drop(&mut self) {
        self.shutdown(Self::DROP_LIMIT);
    }
}

/// Tells when the server's thread has ended.
#[derive(Debug, Default)]
struct Stopped {
    flag: Mutex<bool>,
    changed: Condvar,
}

impl Stopped {
    fn wait(&self, deadline: Option<Instant>) {
        let mut stopped = self.flag.lock().unwrap_or_else(PoisonError::into_inner);
        while !*stopped {
            stopped = match deadline {
                None => self.changed.wait(stopped).unwrap_or_else(PoisonError::into_inner),
                Some(deadline) => {
                    let left = deadline.saturating_duration_since(Instant::now());
                    if left.is_zero() {
                        return;
                    }
                    self.changed.wait_timeout(stopped, left).unwrap_or_else(PoisonError::into_inner).0
                }
            };
        }
    }
}

/// Sets [`Stopped`] when dropped, so also when the thread panics.
struct StopSignal(Arc<Stopped>);

impl Drop for StopSignal {
    fn drop(&mut self) {
        *self.0.flag.lock().unwrap_or_else(PoisonError::into_inner) = true;
        self.0.changed.notify_all();
    }
}

#[cfg(test)]
mod configuration {
    use super::*;

    #[test]
    fn a_start_error_names_the_address_and_the_reason() {
        let error = StartError::Listen {
            address: ([127, 0, 0, 1], 80).into(),
            source: io::Error::from_raw_os_error(13),
        };
        assert_eq!(error.to_string(), "cannot listen on 127.0.0.1:80: permission denied");
    }

    #[test]
    fn a_server_without_address_or_with_an_empty_token_does_not_start() {
        let mut config = ServerConfig::default();
        assert!(matches!(Server::start(config.clone()), Err(StartError::NoAddress)));
        config.listeners = vec![Listener::new(Scheme::Ws, ([127, 0, 0, 1], 0))];
        config.tokens = vec![String::new()];
        assert!(matches!(Server::start(config.clone()), Err(StartError::EmptyToken)));
    }

    #[cfg(feature = "full")]
    #[test]
    fn a_token_endpoint_whose_client_has_no_secret_does_not_start() {
        let config = ServerConfig {
            listeners: vec![Listener::new(Scheme::Ws, ([127, 0, 0, 1], 0))],
            oauth2: Some(OAuth2Config {
                clients: vec![("id".to_owned(), String::new())],
                ..OAuth2Config::default()
            }),
            ..ServerConfig::default()
        };
        assert!(matches!(Server::start(config), Err(StartError::EmptyClient)));
    }

    #[test]
    fn tokens_are_not_shown() {
        let mut config = ServerConfig { tokens: vec!["s3cr3t".to_owned()], ..ServerConfig::default() };
        config.core.tokens = vec!["s3cr3t".to_owned()];
        let peer = core::PeerInfo { address: None, authorization: Some("Bearer s3cr3t".to_owned()) };
        let shown = format!("{config:?} {peer:?}");
        assert!(shown.contains("tokens: 1") && !shown.contains("s3cr3t"), "{shown}");
    }

    #[cfg(not(feature = "full"))]
    #[test]
    fn a_transport_that_is_not_built_in_is_named() {
        let config = ServerConfig {
            listeners: vec![Listener::new(Scheme::Quic, ([127, 0, 0, 1], 0))],
            ..ServerConfig::default()
        };
        assert_eq!(Server::start(config).unwrap_err().to_string(), "this build has no transport for quic://");
    }
}
