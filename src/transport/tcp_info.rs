//! What the system knows of a TCP connection, and Multipath TCP.

use std::io;
use std::net::SocketAddr;
use std::os::fd::BorrowedFd;

use tokio::net::TcpSocket;

use super::path::PathMetrics;

#[cfg(target_os = "linux")]
mod linux {
    use std::time::Duration;

    use nix::sys::socket::getsockopt;
    use nix::{getsockopt_impl, sockopt_impl};
    use socket2::{Domain, Protocol, Socket, Type};

    use super::*;

    /// `SOL_MPTCP` and `MPTCP_INFO` of linux/mptcp.h.
    const SOL_MPTCP: libc::c_int = 284;
    const MPTCP_INFO: libc::c_int = 1;

    /// The part of `struct tcp_info` (linux/tcp.h) that every kernel has; it only ever grew at its end.
    #[repr(C)]
    #[derive(Clone, Copy, Debug)]
    #[allow(unreachable_pub, reason = "the macro below makes a public type that mentions it")]
    pub struct TcpInfo {
        state: u8,
        ca_state: u8,
        retransmits: u8,
        probes: u8,
        backoff: u8,
        options: u8,
        window_scales: u8,
        flags: u8,
        rto: u32,
        ato: u32,
        snd_mss: u32,
        rcv_mss: u32,
        unacked: u32,
        sacked: u32,
        lost: u32,
        retrans: u32,
        fackets: u32,
        last_data_sent: u32,
        last_ack_sent: u32,
        last_data_recv: u32,
        last_ack_recv: u32,
        pmtu: u32,
        rcv_ssthresh: u32,
        rtt: u32,
        rttvar: u32,
        snd_ssthresh: u32,
        snd_cwnd: u32,
        advmss: u32,
        reordering: u32,
        rcv_rtt: u32,
        rcv_space: u32,
        total_retrans: u32,
    }

    sockopt_impl!(Info, GetOnly, libc::IPPROTO_TCP, libc::TCP_INFO, TcpInfo);
    // The first numbers of `struct mptcp_info`; that there are any is what counts.
    sockopt_impl!(MultipathInfo, GetOnly, SOL_MPTCP, MPTCP_INFO, u32);

    pub(super) fn metrics(socket: BorrowedFd<'_>) -> Option<PathMetrics> {
        let info = getsockopt(&socket, Info).ok()?;
        Some(PathMetrics {
            round_trip: Duration::from_micros(info.rtt.into()),
            variance: Some(Duration::from_micros(info.rttvar.into())),
            least_round_trip: None,
            congestion_window: u64::from(info.snd_cwnd) * u64::from(info.snd_mss),
            unacknowledged: Some(info.unacked.into()),
            retransmitted: Some(info.total_retrans.into()),
            lost: None,
            congestion_events: None,
            sent: None,
            mtu: info.pmtu.into(),
        })
    }

    pub(super) fn is_multipath(socket: BorrowedFd<'_>) -> bool {
        getsockopt(&socket, MultipathInfo).is_ok()
    }

    pub(super) fn multipath_socket(address: SocketAddr) -> io::Result<TcpSocket> {
        let socket = Socket::new(Domain::for_address(address), Type::STREAM, Some(Protocol::MPTCP))?;
        socket.set_nonblocking(true)?;
        Ok(TcpSocket::from_std_stream(socket.into()))
    }
}

#[cfg(not(target_os = "linux"))]
mod linux {
    use super::*;

    pub(super) fn metrics(_: BorrowedFd<'_>) -> Option<PathMetrics> {
        None
    }

    pub(super) fn is_multipath(_: BorrowedFd<'_>) -> bool {
        false
    }

    pub(super) fn multipath_socket(_: SocketAddr) -> io::Result<TcpSocket> {
        Err(io::ErrorKind::Unsupported.into())
    }
}

/// How a connected socket does; `None` where the system does not tell.
pub(crate) fn metrics(socket: BorrowedFd<'_>) -> Option<PathMetrics> {
    linux::metrics(socket)
}

/// Whether both ends of a connected socket speak Multipath TCP.
pub(super) fn is_multipath(socket: BorrowedFd<'_>) -> bool {
    linux::is_multipath(socket)
}

/// A socket for Multipath TCP.
pub(super) fn multipath_socket(address: SocketAddr) -> io::Result<TcpSocket> {
    linux::multipath_socket(address)
}

#[cfg(all(test, target_os = "linux"))]
mod tests {
    use std::net::Ipv4Addr;
    use std::os::fd::AsFd;

    use socket2::{Domain, Protocol, Socket, Type};
    use tokio::io::{AsyncReadExt, AsyncWriteExt};
    use tokio::net::TcpListener;

    use crate::transport::socket::{SocketFacts, SocketOptions};

    fn run<T>(future: impl Future<Output = T>) -> T {
        tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap().block_on(future)
    }

    /// A listener of Multipath TCP, where the system has that.
    fn multipath_listener() -> Option<TcpListener> {
        let socket = Socket::new(Domain::IPV4, Type::STREAM, Some(Protocol::MPTCP)).ok()?;
        socket.bind(&std::net::SocketAddr::from((Ipv4Addr::LOCALHOST, 0)).into()).unwrap();
        socket.listen(1).unwrap();
        socket.set_nonblocking(true).unwrap();
        Some(TcpListener::from_std(socket.into()).unwrap())
    }

    async fn connect(listener: &TcpListener, multipath: bool) -> (SocketFacts, super::PathMetrics) {
        let options = SocketOptions { multipath, ..SocketOptions::default() };
        let address = listener.local_addr().unwrap();
        let mut stream = options.tcp(vec![address]).await.unwrap();
        let (mut accepted, peer) = listener.accept().await.unwrap();
        stream.write_all(b"there").await.unwrap();
        accepted.read_exact(&mut [0; 5]).await.unwrap();
        accepted.write_all(b"back").await.unwrap();
        stream.read_exact(&mut [0; 4]).await.unwrap();
        let facts = SocketFacts::of(&stream);
        assert_eq!((facts.local, facts.peer), (Some(peer), Some(address)));
        (facts, super::metrics(stream.as_fd()).expect("Linux tells"))
    }

    #[test]
    fn the_system_tells_how_a_connection_does() {
        run(async {
            let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await.unwrap();
            let (facts, metrics) = connect(&listener, false).await;
            assert_eq!(facts.protocol, "tcp");
            assert!(!metrics.round_trip.is_zero() && metrics.congestion_window > 0, "{metrics:?}");
            assert!(metrics.mtu >= 1280 && metrics.retransmitted == Some(0), "{metrics:?}");
        });
    }

    /// With and without Multipath TCP in the system, and at the peer.
    #[test]
    fn multipath_tcp_falls_back_to_tcp() {
        run(async {
            let plain = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await.unwrap();
            assert_eq!(connect(&plain, true).await.0.protocol, "tcp");
            if let Some(multipath) = multipath_listener() {
                assert_eq!(connect(&multipath, true).await.0.protocol, "mptcp");
                assert_eq!(connect(&multipath, false).await.0.protocol, "tcp");
            }
        });
    }
}
