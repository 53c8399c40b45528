//! Sockets: where they are bound, and which address of a host is taken.

use std::fmt;
use std::future::Future;
use std::io;
use std::net::{IpAddr, SocketAddr, UdpSocket};
use std::os::fd::{AsFd, AsRawFd, RawFd};
use std::time::Duration;

use futures_util::StreamExt;
use futures_util::stream::FuturesUnordered;
use socket2::{Domain, Protocol, SockRef, Socket, Type};
use tokio::net::{TcpSocket, TcpStream};
use tokio::time::sleep;

use super::{TransportError, tcp_info};

/// How long one address has the field for itself before the next is tried too (RFC 8305 §5).
const STAGGER: Duration = Duration::from_millis(250);

/// Bytes of datagrams that the system may hold until they are read.
const UDP_RECEIVE_BUFFER: usize = 4 << 20;

/// Bytes the system may hold that it has not begun to send.
const UNSENT_LIMIT: u32 = 128 * 1024;

/// Bytes of the name of an interface at most, the `IFNAMSIZ` of the system without its end.
const MAX_INTERFACE: usize = 15;

/// Where sockets are bound. By default the system chooses.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct SocketOptions {
    /// Address of this machine from which to connect. Only addresses of its family are tried.
    pub local_address: Option<IpAddr>,
    /// Network interface that everything takes, whatever the routes say. Linux only.
    pub interface: Option<String>,
    /// Use Multipath TCP for TCP where the system and the peer have it. Linux only.
    pub multipath: bool,
}

/// What is known of a connected socket.
#[derive(Clone, Copy, Debug)]
pub struct SocketFacts {
    /// The socket, as long as its owner keeps it open.
    pub(super) descriptor: RawFd,
    /// "tcp" or "mptcp".
    pub protocol: &'static str,
    /// Its end here.
    pub local: Option<SocketAddr>,
    /// Its other end.
    pub peer: Option<SocketAddr>,
}

impl SocketFacts {
    /// Asks a connected socket.
    pub fn of(stream: &TcpStream) -> Self {
        Self {
            descriptor: stream.as_raw_fd(),
            protocol: if tcp_info::is_multipath(stream.as_fd()) { "mptcp" } else { "tcp" },
            local: stream.local_addr().ok(),
            peer: stream.peer_addr().ok(),
        }
    }
}

impl SocketOptions {
    /// Takes a local address from text; empty for any.
    ///
    /// # Errors
    /// It is no address.
    pub fn set_local_address(&mut self, text: &str) -> Result<(), String> {
        self.local_address = match text {
            "" => None,
            text => Some(text.parse().map_err(|_| format!("{text:?} is no IP address"))?),
        };
        Ok(())
    }

    /// Takes an interface by name; empty for any.
    ///
    /// # Errors
    /// No name is that long.
    pub fn set_interface(&mut self, name: &str) -> Result<(), String> {
        if name.len() > MAX_INTERFACE {
            return Err(format!("{} bytes are too long", name.len()));
        }
        self.interface = (!name.is_empty()).then(|| name.to_owned());
        Ok(())
    }

    /// Connects to the first of several addresses of a host that answers; see [`race`].
    ///
    /// # Errors
    /// Says what was wrong with every address.
    pub async fn tcp(&self, addresses: Vec<SocketAddr>) -> Result<TcpStream, TransportError> {
        let stream = race(self.usable(addresses)?, |address| self.tcp_to(address)).await?;
        // Chunks are batched above; a delay here would only add to their latency.
        let _ = stream.set_nodelay(true);
        // What the system holds unsent can no longer be overtaken by a pong.
        let _ = SockRef::from(&stream).set_tcp_notsent_lowat(UNSENT_LIMIT);
        Ok(stream)
    }

    async fn tcp_to(&self, address: SocketAddr) -> Result<TcpStream, String> {
        let socket = self.tcp_socket(address).map_err(|error| error.to_string())?;
        self.bind(&SockRef::from(&socket), address)?;
        socket.connect(address).await.map_err(|error| error.to_string())
    }

    fn tcp_socket(&self, address: SocketAddr) -> io::Result<TcpSocket> {
        if self.multipath {
            match tcp_info::multipath_socket(address) {
                Ok(socket) => return Ok(socket),
                Err(error) => {
                    tracing::warn!("this system has no Multipath TCP, plain TCP is used: {error}");
                }
            }
        }
        match address {
            SocketAddr::V4(_) => TcpSocket::new_v4(),
            SocketAddr::V6(_) => TcpSocket::new_v6(),
        }
    }

    /// A socket for datagrams to `remote`, bound and not blocking.
    ///
    /// # Errors
    /// Names the local address or interface that cannot be had.
    pub fn udp(&self, remote: SocketAddr) -> Result<UdpSocket, TransportError> {
        self.usable(vec![remote])?;
        let open = || -> Result<UdpSocket, String> {
            let text = |error: io::Error| error.to_string();
            let socket =
                Socket::new(Domain::for_address(remote), Type::DGRAM, Some(Protocol::UDP)).map_err(text)?;
            // What arrives in a burst, as the datagrams of a large chunk do, must find room; the system's own
            // limit applies.
            let _ = socket.set_recv_buffer_size(UDP_RECEIVE_BUFFER);
            self.bind(&SockRef::from(&socket), remote)?;
            if self.local_address.is_none() {
                let any: IpAddr = if remote.is_ipv4() { [0; 4].into() } else { [0; 16].into() };
                socket.bind(&SocketAddr::new(any, 0).into()).map_err(text)?;
            }
            socket.set_nonblocking(true).map_err(text)?;
            Ok(socket.into())
        };
        open().map_err(|why| TransportError::Connect(format!("{remote}: {why}")))
    }

    /// Binds a socket for `remote` to what is set.
    fn bind(&self, socket: &SockRef<'_>, remote: SocketAddr) -> Result<(), String> {
        if let Some(interface) = &self.interface {
            #[cfg(target_os = "linux")]
            socket
                .bind_device(Some(interface.as_bytes()))
                .map_err(|error| format!("interface {interface}: {error}"))?;
            #[cfg(not(target_os = "linux"))]
            return Err(format!("interface {interface}: not supported on this system"));
        }
        if let Some(local) = self.local_address
            && local.is_ipv4() == remote.is_ipv4()
        {
            socket
                .bind(&SocketAddr::new(local, 0).into())
                .map_err(|error| format!("local address {local}: {error}"))?;
        }
        Ok(())
    }

    /// The addresses that can be reached from the local address.
    ///
    /// # Errors
    /// Names the local address when there are none.
    pub fn usable(&self, mut addresses: Vec<SocketAddr>) -> Result<Vec<SocketAddr>, TransportError> {
        if let Some(local) = self.local_address {
            let all = list(&addresses);
            addresses.retain(|address| address.is_ipv4() == local.is_ipv4());
            if addresses.is_empty() {
                let why =
                    format!("none can be reached from the local address {local}, which is of another family");
                return Err(TransportError::Connect(format!("{all}: {why}")));
            }
        }
        Ok(addresses)
    }
}

/// Tries addresses as RFC 8305 ("happy eyeballs") does: in the order of the resolver but with families in
/// turn, the next one [`STAGGER`] after the one before or as soon as that failed. The first that succeeds
/// wins; the attempts that are still running are dropped.
///
/// # Errors
/// Says what was wrong with every address.
pub async fn race<T, E, F>(
    addresses: Vec<SocketAddr>,
    attempt: impl Fn(SocketAddr) -> F,
) -> Result<T, TransportError>
where
    E: fmt::Display,
    F: Future<Output = Result<T, E>>,
{
    let mut waiting = interleave(addresses).into_iter();
    let mut running = FuturesUnordered::new();
    let mut failures: Vec<String> = Vec::new();
    loop {
        if let Some(address) = waiting.next() {
            let attempt = attempt(address);
            running.push(async move { (address, attempt.await) });
        }
        tokio::select! {
            Some((address, outcome)) = running.next() => match outcome {
                Ok(connected) => return Ok(connected),
                Err(why) => failures.push(format!("{address}: {why}")),
            },
            () = sleep(STAGGER), if waiting.len() > 0 => {}
            else => return Err(TransportError::Connect(failures.join("; "))),
        }
    }
}

/// Families in turn, beginning with that of the first address.
fn interleave(addresses: Vec<SocketAddr>) -> Vec<SocketAddr> {
    let Some(first) = addresses.first() else { return addresses };
    let (one, other): (Vec<_>, Vec<_>) = {
        let ipv4 = first.is_ipv4();
        addresses.into_iter().partition(|address| address.is_ipv4() == ipv4)
    };
    let mut other = other.into_iter();
    let mut order = Vec::new();
    for address in one {
        order.push(address);
        order.extend(other.next());
    }
    order.extend(other);
    order
}

fn list(addresses: &[SocketAddr]) -> String {
    addresses.iter().map(SocketAddr::to_string).collect::<Vec<_>>().join(", ")
}

#[cfg(test)]
mod tests {
    use std::cell::RefCell;
    use std::future::pending;
    use std::net::{Ipv4Addr, Ipv6Addr};
    use std::time::Instant;

    use tokio::net::TcpListener;

    use super::*;

    fn run<T>(future: impl Future<Output = T>) -> T {
        tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap().block_on(future)
    }

    fn v4(last: u8) -> SocketAddr {
        ([192, 0, 2, last], 1).into()
    }

    fn v6(last: u16) -> SocketAddr {
        ([0x2001, 0xdb8, 0, 0, 0, 0, 0, last], 1).into()
    }

    #[test]
    fn families_take_turns() {
        assert_eq!(interleave(vec![v6(1), v6(2), v6(3), v4(1)]), [v6(1), v4(1), v6(2), v6(3)]);
        assert_eq!(interleave(vec![v4(1), v6(1), v6(2), v6(3)]), [v4(1), v6(1), v6(2), v6(3)]);
        assert_eq!(interleave(vec![v4(1), v4(2)]), [v4(1), v4(2)]);
        assert_eq!(interleave(vec![]), []);
    }

    #[test]
    fn an_address_that_does_not_answer_holds_up_nobody() {
        let tried = RefCell::new(Vec::new());
        let began = Instant::now();
        let won = run(race(vec![v6(1), v6(2), v4(1)], |address| {
            tried.borrow_mut().push(address);
            async move {
                if address.is_ipv6() {
                    return pending().await;
                }
                Ok::<_, String>(address)
            }
        }));
        assert_eq!(won, Ok(v4(1)));
        assert_eq!(*tried.borrow(), [v6(1), v4(1)]);
        assert!(began.elapsed() >= STAGGER);
    }

    #[test]
    fn the_next_address_is_tried_at_once_when_one_fails_and_the_error_names_all() {
        let began = Instant::now();
        let lost: Result<(), _> = run(race(vec![v4(1), v6(1), v4(2)], |address| async move {
            Err(format!("refused by {}", address.ip()))
        }));
        let error = lost.unwrap_err().to_string();
        for address in [v4(1), v6(1), v4(2)] {
            assert!(error.contains(&format!("{address}: refused by {}", address.ip())), "{error}");
        }
        assert!(began.elapsed() < STAGGER);
    }

    #[test]
    fn a_slow_address_still_wins_when_the_others_fail() {
        let won = run(race(vec![v4(1), v4(2)], |address| async move {
            if address == v4(2) {
                return Err("refused");
            }
            sleep(STAGGER * 2).await;
            Ok(address)
        }));
        assert_eq!(won, Ok(v4(1)));
    }

    /// A listener that takes one connection into its queue and then ignores everybody, as a machine behind
    /// a firewall does.
    fn deaf() -> (Socket, SocketAddr, Vec<std::net::TcpStream>) {
        let socket = Socket::new(Domain::IPV4, Type::STREAM, None).unwrap();
        socket.bind(&SocketAddr::from(([127, 0, 0, 1], 0)).into()).unwrap();
        socket.listen(0).unwrap();
        let address = socket.local_addr().unwrap().as_socket().unwrap();
        let mut taken = Vec::new();
        while let Ok(stream) = std::net::TcpStream::connect_timeout(&address, Duration::from_millis(100)) {
            taken.push(stream);
            assert!(taken.len() < 100, "the queue has no end");
        }
        (socket, address, taken)
    }

    #[test]
    fn sockets_win_over_a_deaf_listener() {
        let (_socket, deaf, _taken) = deaf();
        run(async {
            let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await.unwrap();
            let alive = listener.local_addr().unwrap();
            let stream = SocketOptions::default().tcp(vec![deaf, alive]).await.unwrap();
            assert_eq!(stream.peer_addr().unwrap(), alive);
        });
    }

    #[test]
    fn both_families_connect_from_the_address_and_interface_that_are_set() {
        let localhosts: [IpAddr; 2] = [Ipv4Addr::LOCALHOST.into(), Ipv6Addr::LOCALHOST.into()];
        run(async {
            for local in localhosts {
                let listener = TcpListener::bind((local, 0)).await.unwrap();
                let address = listener.local_addr().unwrap();
                let options = SocketOptions {
                    local_address: Some(local),
                    interface: Some("lo".to_owned()),
                    ..SocketOptions::default()
                };
                let stream = options.tcp(vec![v4(1), v6(1), address][2..].to_vec()).await.unwrap();
                let (_, peer) = listener.accept().await.unwrap();
                assert_eq!(stream.local_addr().unwrap(), peer);
                assert_eq!(peer.ip(), local);
                assert_eq!(SockRef::from(&stream).device().unwrap().as_deref(), Some(&b"lo"[..]));
                let datagrams = options.udp(address).unwrap();
                assert_eq!(datagrams.local_addr().unwrap().ip(), local);
                assert_eq!(SockRef::from(&datagrams).device().unwrap().as_deref(), Some(&b"lo"[..]));
            }
        });
        // Another address of this machine than the system would choose.
        run(async {
            let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await.unwrap();
            let local: IpAddr = [127, 0, 0, 5].into();
            let options = SocketOptions { local_address: Some(local), ..SocketOptions::default() };
            let _stream = options.tcp(vec![listener.local_addr().unwrap()]).await.unwrap();
            assert_eq!(listener.accept().await.unwrap().1.ip(), local);
        });
    }

    #[test]
    fn what_cannot_be_bound_is_named() {
        let elsewhere =
            SocketOptions { local_address: Some([192, 0, 2, 1].into()), ..SocketOptions::default() };
        let unknown = SocketOptions { interface: Some("no-such-if".to_owned()), ..SocketOptions::default() };
        for (options, culprit) in [(elsewhere, "local address 192.0.2.1"), (unknown, "interface no-such-if")]
        {
            let target = SocketAddr::from(([127, 0, 0, 1], 9));
            let error = run(options.tcp(vec![target])).unwrap_err().to_string();
            assert!(error.contains(culprit) && error.contains("127.0.0.1:9"), "{error}");
            let error = options.udp(target).unwrap_err().to_string();
            assert!(error.contains(culprit) && error.contains("127.0.0.1:9"), "{error}");
        }
    }

    #[test]
    fn a_local_address_leaves_out_the_other_family() {
        let options =
            SocketOptions { local_address: Some(Ipv4Addr::LOCALHOST.into()), ..SocketOptions::default() };
        assert_eq!(options.usable(vec![v6(1), v4(1)]), Ok(vec![v4(1)]));
        for error in [run(options.tcp(vec![v6(1)])).unwrap_err(), options.udp(v6(1)).unwrap_err()] {
            assert!(error.to_string().contains("127.0.0.1"), "{error}");
        }
    }

    #[test]
    fn without_a_choice_datagrams_leave_from_anywhere() {
        for remote in [v4(1), v6(1)] {
            let socket = SocketOptions::default().udp(remote).unwrap();
            let local = socket.local_addr().unwrap();
            assert!(local.ip().is_unspecified() && local.port() != 0 && local.is_ipv4() == remote.is_ipv4());
        }
    }
}
