//! What a transport travels on: addresses, what was agreed, and what the system knows of its state.

use std::net::SocketAddr;
use std::os::fd::RawFd;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use super::socket::SocketFacts;
use super::{Compression, DialOptions, Target};
use crate::encoding::Encoding;
use crate::error::Status;

/// What TLS agreed on.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct TlsFacts {
    /// Its version, such as "TLSv1.3".
    pub version: String,
    /// The cipher suite; empty where the library does not tell.
    pub cipher: String,
    /// The protocol that was agreed for what is inside.
    pub alpn: String,
}

/// What does not change for the life of a path.
#[derive(Clone, Debug)]
pub struct About {
    /// Where it leads.
    pub target: Target,
    /// What carries it: "tcp", "mptcp" or "udp".
    pub protocol: &'static str,
    /// Its end here.
    pub local: Option<SocketAddr>,
    /// Its other end: the server, or the proxy.
    pub peer: Option<SocketAddr>,
    /// What TLS agreed on, if there is TLS.
    pub tls: Option<TlsFacts>,
    /// Encoding of the messages.
    pub encoding: Encoding,
    /// Compression of the messages.
    pub compression: Compression,
}

/// How a path does.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct PathMetrics {
    /// Estimate of the round-trip time.
    pub round_trip: Duration,
    /// How much the round-trip time varies.
    pub variance: Option<Duration>,
    /// Shortest round-trip time.
    pub least_round_trip: Option<Duration>,
    /// Bytes that may be under way.
    pub congestion_window: u64,
    /// Packets that are under way.
    pub unacknowledged: Option<u64>,
    /// Packets that were sent again.
    pub retransmitted: Option<u64>,
    /// Packets that were lost.
    pub lost: Option<u64>,
    /// Times the path was found congested.
    pub congestion_events: Option<u64>,
    /// Packets that were sent.
    pub sent: Option<u64>,
    /// Bytes of the largest packet.
    pub mtu: u64,
}

/// Where the state of a path can be asked for.
enum Source {
    /// The transport has ended.
    Gone,
    /// Open as long as it stands here.
    Tcp(RawFd),
    #[cfg(feature = "quic")]
    Quic(quinn::Connection),
}

/// A path, for whoever wants to know.
pub struct Path {
    about: About,
    source: Mutex<Source>,
}

impl Path {
    /// What does not change.
    pub fn about(&self) -> &About {
        &self.about
    }

    fn lock(&self) -> MutexGuard<'_, Source> {
        self.source.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// How it does now. `tcp` asks a socket, which stays open during the call.
    ///
    /// # Errors
    /// `Closed` once it has ended; `Unsupported` where the system does not tell.
    pub fn metrics(&self, tcp: impl FnOnce(RawFd) -> Option<PathMetrics>) -> Result<PathMetrics, Status> {
        match &*self.lock() {
            Source::Gone => Err(Status::Closed),
            Source::Tcp(socket) => tcp(*socket).ok_or(Status::Unsupported),
            #[cfg(feature = "quic")]
            Source::Quic(connection) => Ok(quic_metrics(connection)),
        }
    }
}

#[cfg(feature = "quic")]
fn quic_metrics(connection: &quinn::Connection) -> PathMetrics {
    let path = connection.stats().path;
    PathMetrics {
        round_trip: path.rtt,
        variance: None,
        least_round_trip: Some(path.min_rtt),
        congestion_window: path.cwnd,
        unacknowledged: None,
        retransmitted: None,
        lost: Some(path.lost_packets),
        congestion_events: Some(path.congestion_events),
        sent: Some(path.sent_packets),
        mtu: path.current_mtu.into(),
    }
}

/// A path in the hands of its transport, with which it ends. It must go before the socket does.
pub struct PathOwner(Arc<Path>);

impl PathOwner {
    /// A path over TCP. `socket` is that of the transport.
    pub(super) fn tcp(
        target: &Target,
        options: &DialOptions,
        socket: &SocketFacts,
        tls: Option<TlsFacts>,
    ) -> Self {
        let SocketFacts { descriptor, protocol, local, peer } = *socket;
        Self::new(target, options, (protocol, local, peer), tls, Source::Tcp(descriptor))
    }

    /// A path over QUIC.
    #[cfg(feature = "quic")]
    pub(super) fn quic(target: &Target, options: &DialOptions, connection: &quinn::Connection) -> Self {
        let alpn = connection
            .handshake_data()
            .and_then(|data| data.downcast::<quinn::crypto::rustls::HandshakeData>().ok())
            .and_then(|data| data.protocol)
            .unwrap_or_default();
        let alpn = String::from_utf8_lossy(&alpn).into_owned();
        // The only version that QUIC allows (RFC 9001 §4.2); the cipher suite is not told.
        let tls = TlsFacts { version: "TLSv1.3".to_owned(), cipher: String::new(), alpn };
        let peer = Some(connection.remote_address());
        Self::new(target, options, ("udp", None, peer), Some(tls), Source::Quic(connection.clone()))
    }

    fn new(
        target: &Target,
        options: &DialOptions,
        (protocol, local, peer): (&'static str, Option<SocketAddr>, Option<SocketAddr>),
        tls: Option<TlsFacts>,
        source: Source,
    ) -> Self {
        let about = About {
            target: target.clone(),
            protocol,
            local,
            peer,
            tls,
            encoding: options.negotiation.encoding,
            compression: options.negotiation.compression,
        };
        Self(Arc::new(Path { about, source: Mutex::new(source) }))
    }

    /// For whoever wants to know.
    pub fn path(&self) -> Arc<Path> {
        self.0.clone()
    }
}

impl Drop for PathOwner {
    fn drop(&mut self) {
        *self.0.lock() = Source::Gone;
    }
}
