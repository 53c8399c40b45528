//! The proxy between sockets of the system.

use std::io::{ErrorKind, Read, Write};
use std::net::{TcpListener, TcpStream, UdpSocket};
use std::sync::{Arc, Mutex};
use std::thread;
use std::time::{Duration, Instant};

use iscp_chaos::{Config, Cut, Direction, Fault, Faults, Injected, MAX_CONNECTIONS, Proxy, Size, StartError};

/// Longer than anything here takes on a busy machine.
const DEADLINE: Duration = Duration::from_secs(60);
/// Long enough to notice what should not come.
const MOMENT: Duration = Duration::from_millis(100);

/// What the proxy injected so far.
type Log = Arc<Mutex<Vec<Injected>>>;

fn start(config: Config) -> (Proxy, Log) {
    let log = Log::default();
    let theirs = Arc::clone(&log);
    let on_fault = Arc::new(move |injected: &Injected| theirs.lock().unwrap().push(injected.clone()));
    (Proxy::start(Config { on_fault: Some(on_fault), ..config }).unwrap(), log)
}

/// What is the same in two runs.
fn events(log: &Log) -> Vec<(u64, Option<Direction>, Option<u64>, Fault)> {
    let log = log.lock().unwrap();
    log.iter().map(|one| (one.connection, one.direction, one.offset, one.fault.clone())).collect()
}

#[track_caller]
fn wait(what: &str, mut done: impl FnMut() -> bool) {
    let deadline = Instant::now() + DEADLINE;
    while !done() {
        assert!(Instant::now() < deadline, "{what}");
        thread::sleep(Duration::from_millis(1));
    }
}

fn faults(set: impl FnOnce(&mut Faults)) -> Faults {
    let mut faults = Faults::default();
    set(&mut faults);
    faults
}

/// A server for TCP behind a proxy, and both ends of connections.
struct Tcp {
    listener: TcpListener,
    proxy: Proxy,
    log: Log,
}

impl Tcp {
    fn start(set: impl FnOnce(&mut Faults)) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let to = listener.local_addr().unwrap().to_string();
        let (proxy, log) = start(Config { faults: faults(set), seed: 5, ..Config::new(to) });
        Self { listener, proxy, log }
    }

    fn dial(&self) -> TcpStream {
        let client = TcpStream::connect(self.proxy.address()).unwrap();
        client.set_read_timeout(Some(DEADLINE)).unwrap();
        client
    }

    fn connect(&self) -> (TcpStream, TcpStream) {
        let client = self.dial();
        let (server, _) = self.listener.accept().unwrap();
        server.set_read_timeout(Some(DEADLINE)).unwrap();
        (client, server)
    }
}

#[track_caller]
fn passes(from: &mut TcpStream, to: &mut TcpStream) {
    from.write_all(b"hello").unwrap();
    let mut read = [0; 5];
    to.read_exact(&mut read).unwrap();
    assert_eq!(&read, b"hello");
}

#[track_caller]
fn is_silent(stream: &mut TcpStream) {
    stream.set_read_timeout(Some(MOMENT)).unwrap();
    let kind = stream.read(&mut [0; 9]).unwrap_err().kind();
    assert!(matches!(kind, ErrorKind::WouldBlock | ErrorKind::TimedOut), "{kind}");
    stream.set_read_timeout(Some(DEADLINE)).unwrap();
}

#[track_caller]
fn is_reset(stream: &mut TcpStream) {
    assert_eq!(stream.read_to_end(&mut Vec::new()).unwrap_err().kind(), ErrorKind::ConnectionReset);
}

#[test]
fn without_faults_everything_passes() {
    let tcp = Tcp::start(|_| {});
    let (mut client, mut server) = tcp.connect();
    passes(&mut client, &mut server);
    passes(&mut server, &mut client);
    let sent: Vec<u8> = (0..5_000_000u32).map(|number| (number / 7) as u8).collect();
    let writer = thread::spawn({
        let sent = sent.clone();
        move || {
            client.write_all(&sent).unwrap();
            client.shutdown(std::net::Shutdown::Write).unwrap();
            client
        }
    });
    let mut received = Vec::new();
    server.read_to_end(&mut received).unwrap();
    assert!(received == sent);
    // A half-closed connection goes on in the other direction.
    let mut client = writer.join().unwrap();
    passes(&mut server, &mut client);
    drop(server);
    assert_eq!(client.read(&mut [0; 9]).unwrap(), 0);
    wait("the connection ends", || tcp.proxy.connections() == 0);
    assert_eq!((tcp.proxy.accepted(), events(&tcp.log)), (1, vec![]));
}

#[test]
fn a_connection_that_a_peer_broke_is_broken_for_the_other() {
    let tcp = Tcp::start(|_| {});
    let (mut client, mut server) = tcp.connect();
    passes(&mut client, &mut server);
    client.write_all(b"unread").unwrap();
    server.peek(&mut [0; 1]).unwrap();
    // The system resets when something was not read.
    drop(server);
    is_reset(&mut client);
}

#[test]
fn connections_are_cut_by_command() {
    let tcp = Tcp::start(|_| {});
    let (mut client, mut server) = tcp.connect();
    passes(&mut client, &mut server);
    tcp.proxy.cut(Cut::Reset);
    is_reset(&mut client);
    is_reset(&mut server);
    let (mut client, mut server) = tcp.connect();
    passes(&mut client, &mut server);
    tcp.proxy.cut(Cut::Finish);
    assert_eq!(client.read(&mut [0; 9]).unwrap(), 0);
    assert_eq!(server.read(&mut [0; 9]).unwrap(), 0);
    let cut = |number, by| (number, None, None, Fault::Cut(by));
    assert_eq!(events(&tcp.log), [cut(1, Cut::Reset), cut(2, Cut::Finish)]);
}

#[test]
fn a_black_hole_keeps_everything_until_it_lets_go() {
    let tcp = Tcp::start(|_| {});
    let (mut client, mut server) = tcp.connect();
    passes(&mut client, &mut server);
    tcp.proxy.black_hole();
    wait("the black hole", || events(&tcp.log).len() == 1);
    client.write_all(b"late").unwrap();
    is_silent(&mut server);
    let mut second = tcp.dial();
    second.write_all(b"second").unwrap();
    is_silent(&mut second);
    tcp.proxy.let_go();
    let mut read = [0; 4];
    server.read_exact(&mut read).unwrap();
    assert_eq!(&read, b"late");
    let (mut server, _) = tcp.listener.accept().unwrap();
    let mut read = [0; 6];
    server.read_exact(&mut read).unwrap();
    assert_eq!(&read, b"second");
}

#[test]
fn one_direction_ends_or_goes_silent_by_command() {
    let tcp = Tcp::start(|_| {});
    let (mut client, mut server) = tcp.connect();
    passes(&mut client, &mut server);
    tcp.proxy.half_close(Direction::Down);
    assert_eq!(client.read(&mut [0; 9]).unwrap(), 0);
    passes(&mut client, &mut server);
    let (mut client, mut server) = tcp.connect();
    passes(&mut client, &mut server);
    tcp.proxy.silence(Direction::Up);
    wait("the silence", || events(&tcp.log).len() >= 2);
    client.write_all(b"lost").unwrap();
    passes(&mut server, &mut client);
    is_silent(&mut server);
}

#[test]
fn a_server_that_is_down_refuses() {
    let tcp = Tcp::start(|_| {});
    let (mut client, mut server) = tcp.connect();
    for _ in 0..3 {
        tcp.proxy.refuse(true);
        let refused = TcpStream::connect(tcp.proxy.address()).unwrap_err();
        assert_eq!(refused.kind(), ErrorKind::ConnectionRefused);
        passes(&mut client, &mut server);
        tcp.proxy.refuse(false);
        let (mut client, mut server) = tcp.connect();
        passes(&mut client, &mut server);
    }
}

#[test]
fn a_server_that_is_not_there_resets() {
    let tcp = Tcp::start(|_| {});
    let Tcp { listener, proxy, log } = tcp;
    drop(listener);
    let mut client = TcpStream::connect(proxy.address()).unwrap();
    is_reset(&mut client);
    let events = events(&log);
    assert!(matches!(&events[..], [(1, None, None, Fault::Unreachable(why))] if why.contains("refused")));
}

#[test]
fn more_connections_than_the_limit_are_refused() {
    let server = TcpListener::bind("127.0.0.1:0").unwrap();
    let (proxy, log) = start(Config::new(server.local_addr().unwrap().to_string()));
    proxy.black_hole();
    let held: Vec<_> = (0..MAX_CONNECTIONS).map(|_| TcpStream::connect(proxy.address()).unwrap()).collect();
    wait("they are accepted", || proxy.connections() == held.len());
    is_reset(&mut TcpStream::connect(proxy.address()).unwrap());
    let refused = events(&log).into_iter().filter(|event| event.3 == Fault::Refuse).count();
    assert_eq!(refused, 1);
}

#[test]
fn a_connection_is_cut_at_a_byte() {
    let run = |seed, chunk| {
        let tcp = Tcp::start(|_| {});
        let faults = faults(|faults| {
            faults.cut_after_bytes = Some("1k..60k".parse().unwrap());
            faults.cut_by = Cut::Finish;
        });
        let to = tcp.listener.local_addr().unwrap().to_string();
        let (proxy, log) = start(Config { faults, seed, ..Config::new(to) });
        let mut client = TcpStream::connect(proxy.address()).unwrap();
        let (mut server, _) = tcp.listener.accept().unwrap();
        let writer = thread::spawn(move || {
            // Fails once it is cut.
            for chunk in vec![1; 60_000].chunks(chunk) {
                if client.write_all(chunk).is_err() {
                    break;
                }
            }
        });
        let mut received = Vec::new();
        server.read_to_end(&mut received).unwrap();
        drop(server);
        writer.join().unwrap();
        let cut = (1, Some(Direction::Up), Some(received.len() as u64), Fault::Cut(Cut::Finish));
        assert_eq!(events(&log), [cut]);
        received.len()
    };
    let length = run(1, 60_000);
    assert_eq!(length, run(1, 999));
    assert_ne!(length, run(2, 999));
}

#[test]
fn bytes_are_corrupted_where_the_log_says() {
    let tcp = Tcp::start(|faults| faults.corrupt_every_bytes = Some("1k..5k".parse().unwrap()));
    let (mut client, mut server) = tcp.connect();
    client.write_all(&[0; 20_000]).unwrap();
    let mut received = vec![0; 20_000];
    server.read_exact(&mut received).unwrap();
    let changed: Vec<_> =
        (0..).zip(received).filter(|(_, byte)| *byte != 0).map(|(at, _)| Some(at)).collect();
    assert!((4..=20).contains(&changed.len()), "{changed:?}");
    assert_eq!(changed, events(&tcp.log).into_iter().map(|event| event.2).collect::<Vec<_>>());
}

#[test]
fn timed_faults_come_to_every_connection() {
    let tcp = Tcp::start(|faults| {
        faults.cut_every = Some("300ms".parse().unwrap());
        faults.silence_every = Some("100ms".parse().unwrap());
    });
    let (mut client, mut server) = tcp.connect();
    let (mut second, _server) = tcp.connect();
    is_reset(&mut client);
    is_reset(&mut server);
    is_reset(&mut second);
    for connection in [1, 2] {
        let of: Vec<_> = events(&tcp.log).into_iter().filter(|event| event.0 == connection).collect();
        assert!(of.len() == 3 && of[0].1 == of[1].1.map(Direction::opposite), "{of:?}");
        assert_eq!((&of[0].3, &of[2].3), (&Fault::Silence, &Fault::Cut(Cut::Reset)));
    }
}

#[test]
fn half_closes_come_to_both_directions() {
    let tcp = Tcp::start(|faults| faults.half_close_every = Some("10ms".parse().unwrap()));
    let (mut client, mut server) = tcp.connect();
    assert_eq!(client.read(&mut [0; 9]).unwrap(), 0);
    assert_eq!(server.read(&mut [0; 9]).unwrap(), 0);
    wait("the log", || events(&tcp.log).len() == 2);
}

#[test]
fn scheduled_black_holes_end() {
    let tcp = Tcp::start(|faults| {
        faults.black_hole_every = Some("20ms".parse().unwrap());
        faults.black_hole_for = Some("30ms".parse().unwrap());
    });
    let (mut client, mut server) = tcp.connect();
    wait("several of them", || {
        passes(&mut client, &mut server);
        events(&tcp.log).len() >= 4
    });
    let kinds: Vec<_> = events(&tcp.log).into_iter().take(4).map(|event| event.3).collect();
    assert_eq!(kinds, [Fault::BlackHole, Fault::LetGo, Fault::BlackHole, Fault::LetGo]);
}

#[test]
fn delay_and_rate_take_their_time() {
    let tcp = Tcp::start(|faults| {
        faults.delay = Duration::from_millis(100);
        faults.rate = Some(Size(100_000));
    });
    let (mut client, mut server) = tcp.connect();
    let begun = Instant::now();
    client.write_all(&[7; 20_000]).unwrap();
    server.read_exact(&mut [0; 20_000]).unwrap();
    let took = begun.elapsed();
    assert!(took >= Duration::from_millis(295), "{took:?}");
}

/// A server for UDP behind a proxy that returns everything.
struct Udp {
    proxy: Proxy,
    log: Log,
}

impl Udp {
    fn start(seed: u64, set: impl FnOnce(&mut Faults)) -> Self {
        let server = UdpSocket::bind("127.0.0.1:0").unwrap();
        let to = server.local_addr().unwrap().to_string();
        thread::spawn(move || {
            let mut buffer = [0; 2000];
            while let Ok((length, from)) = server.recv_from(&mut buffer) {
                let _ = server.send_to(&buffer[..length], from);
            }
        });
        let (proxy, log) =
            start(Config { tcp: false, udp: true, seed, faults: faults(set), ..Config::new(to) });
        Self { proxy, log }
    }

    fn client(&self) -> UdpSocket {
        let client = UdpSocket::bind("127.0.0.1:0").unwrap();
        client.connect(self.proxy.address()).unwrap();
        client.set_read_timeout(Some(DEADLINE)).unwrap();
        client
    }
}

#[track_caller]
fn returns(client: &UdpSocket) {
    client.send(b"hello").unwrap();
    let mut buffer = [0; 9];
    assert_eq!(client.recv(&mut buffer).unwrap(), 5);
    assert_eq!(&buffer[..5], b"hello");
}

#[track_caller]
fn is_lost(client: &UdpSocket) {
    client.send(b"lost").unwrap();
    client.set_read_timeout(Some(MOMENT)).unwrap();
    assert!(client.recv(&mut [0; 9]).is_err());
    client.set_read_timeout(Some(DEADLINE)).unwrap();
}

#[test]
fn datagrams_pass_for_each_client() {
    let udp = Udp::start(0, |_| {});
    let clients = [udp.client(), udp.client()];
    clients.iter().for_each(returns);
    assert_eq!((udp.proxy.connections(), udp.proxy.accepted()), (2, 2));
}

#[test]
fn flows_are_cut_held_and_refused_by_command() {
    let udp = Udp::start(0, |_| {});
    let client = udp.client();
    returns(&client);
    udp.proxy.black_hole();
    is_lost(&client);
    udp.proxy.let_go();
    wait("the end of the black hole", || events(&udp.log).len() == 2);
    returns(&client);
    udp.proxy.cut(Cut::Reset);
    wait("the cut", || events(&udp.log).len() == 3);
    is_lost(&client);
    let client = udp.client();
    returns(&client);
    udp.proxy.refuse(true);
    is_lost(&udp.client());
    returns(&client);
    udp.proxy.silence(Direction::Up);
    wait("the silence", || events(&udp.log).len() == 4);
    is_lost(&client);
}

#[test]
fn the_fate_of_datagrams_depends_on_the_seed_alone() {
    let run = |seed| {
        let udp = Udp::start(seed, |faults| {
            faults.drop = "10%".parse().unwrap();
            faults.duplicate = "10%".parse().unwrap();
            faults.reorder = "10%".parse().unwrap();
            faults.corrupt = "10%".parse().unwrap();
        });
        let client = udp.client();
        let events_up = || {
            let mut events = events(&udp.log);
            events.retain(|event| event.1 == Some(Direction::Up));
            events
        };
        for number in 0..200u8 {
            client.send(&[number]).unwrap();
            thread::yield_now();
        }
        // More come than are needed: what the system loses must not matter.
        client.set_read_timeout(Some(MOMENT)).unwrap();
        while client.recv(&mut [0; 9]).is_ok() {}
        events_up().into_iter().filter(|event| event.2 < Some(100)).collect::<Vec<_>>()
    };
    let first = run(1);
    assert_eq!(first, run(1));
    assert_ne!(first, run(2));
    for fault in [Fault::Drop, Fault::Duplicate, Fault::Reorder, Fault::Corrupt] {
        assert!(first.iter().any(|event| event.3 == fault), "{fault}");
    }
}

#[test]
fn tcp_and_udp_share_a_port() {
    let server = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = server.local_addr().unwrap();
    let datagrams = UdpSocket::bind(address).unwrap();
    datagrams.set_read_timeout(Some(DEADLINE)).unwrap();
    let (proxy, _) = start(Config { udp: true, ..Config::new(address.to_string()) });
    let mut client = TcpStream::connect(proxy.address()).unwrap();
    passes(&mut client, &mut server.accept().unwrap().0);
    let client = UdpSocket::bind("127.0.0.1:0").unwrap();
    client.send_to(b"hello", proxy.address()).unwrap();
    assert_eq!(datagrams.recv(&mut [0; 9]).unwrap(), 5);
}

#[test]
fn what_cannot_be_started_is_named() {
    let fails = |config| Proxy::start(config).unwrap_err();
    let none = Config { tcp: false, ..Config::new("127.0.0.1:1") };
    assert!(matches!(fails(none), StartError::NoProtocol));
    for to in ["127.0.0.1", "no-such-host.invalid:1"] {
        assert!(fails(Config::new(to)).to_string().contains(to));
    }
    let taken = TcpListener::bind("127.0.0.1:0").unwrap();
    let listen = taken.local_addr().unwrap();
    let error = fails(Config { listen, ..Config::new("127.0.0.1:1") }).to_string();
    assert!(error.contains(&listen.to_string()), "{error}");
}

#[test]
fn dropping_the_proxy_resets_what_there_is() {
    let tcp = Tcp::start(|_| {});
    let (mut client, mut server) = tcp.connect();
    passes(&mut client, &mut server);
    let address = tcp.proxy.address();
    drop(tcp.proxy);
    is_reset(&mut client);
    is_reset(&mut server);
    assert_eq!(TcpStream::connect(address).unwrap_err().kind(), ErrorKind::ConnectionRefused);
}
