//! Connections that break in every way, again and again.

use std::thread;
use std::time::{Duration, Instant};

use iscp::client::ConnectOptions;
use iscp::transport::Scheme;
use iscp::transport::tls::certificates;
use iscp_broker::{Listener, Server, ServerConfig, ServerHandle, TlsIdentity};
use iscp_chaos::{Config, Cut, Direction, Proxy};

use crate::support::{LIMIT, Random, Reader, Writer, connect, full, resident, seed};

const STREAMS: usize = 3;

/// A broker, and a proxy before it for the node that writes and one for the node that reads.
struct World {
    broker: ServerHandle,
    proxies: [Proxy; 2],
    options: [ConnectOptions; 2],
    scheme: Scheme,
}

impl World {
    fn new(scheme: Scheme) -> Self {
        let mut config = ServerConfig {
            listeners: vec![Listener::new(scheme, ([127, 0, 0, 1], 0))],
            ..ServerConfig::default()
        };
        let names = ["127.0.0.1".to_owned()];
        let certificate = rcgen::generate_simple_self_signed(names).unwrap();
        let (pem, key) = (certificate.cert.pem(), certificate.signing_key.serialize_pem());
        if scheme == Scheme::Quic {
            config.tls = Some(TlsIdentity::from_pem(pem.as_bytes(), key.as_bytes()).unwrap());
        }
        let broker = Server::start(config).unwrap();
        let address = broker.address(scheme).unwrap().to_string();
        let proxies = [(); 2].map(|()| {
            let udp = scheme == Scheme::Quic;
            Proxy::start(Config { tcp: !udp, udp, ..Config::new(address.clone()) }).unwrap()
        });
        let options = [0, 1].map(|at| {
            let url = broker.url(scheme).replace(&address, &proxies[at].address().to_string());
            let mut options = ConnectOptions { url, ..ConnectOptions::default() };
            // Outages that come faster than connections last would make the waits as long as they get.
            options.config.reconnect.max_interval = Duration::from_millis(200);
            options.dial.tls.ca = Some(certificates(pem.as_bytes()).unwrap());
            options
        });
        Self { broker, proxies, options, scheme }
    }

    /// Does something to the connections of a proxy that they do not survive. Returns what it was.
    fn break_connections(&self, proxy: &Proxy, random: &mut Random) -> &'static str {
        if self.scheme == Scheme::Quic {
            proxy.cut(Cut::Reset);
            return "lost";
        }
        // Silence is found by keep-alive, after seconds, and so chosen seldom.
        match random.below(24) {
            0 => {
                proxy.silence(Direction::Up);
                "silent up"
            }
            1 => {
                proxy.silence(Direction::Down);
                "silent down"
            }
            2..=4 => {
                proxy.half_close(Direction::Up);
                "half closed up"
            }
            5..=7 => {
                proxy.half_close(Direction::Down);
                "half closed down"
            }
            8..=14 => {
                proxy.cut(Cut::Finish);
                "finished"
            }
            _ => {
                proxy.cut(Cut::Reset);
                "reset"
            }
        }
    }
}

/// Breaks connections `count` times while points are written and read.
fn outages(scheme: Scheme, count: u64) {
    let world = World::new(scheme);
    let mut random = Random(seed());
    let source = connect(world.options[0].clone(), "source");
    let reader = connect(world.options[1].clone(), "reader");
    let readers: Vec<_> = (0..STREAMS).map(|_| Reader::start(&reader, "source")).collect();
    let writers: Vec<_> = (0..STREAMS).map(|number| Writer::start(&source, number)).collect();

    let started = Instant::now();
    let mut memory = Vec::new();
    for outage in 0..count {
        let proxy = &world.proxies[random.below(2) as usize];
        let before = proxy.accepted();
        let what = world.break_connections(proxy, &mut random);
        // Some are broken again before their streams are back.
        let hurry = random.below(5) == 0;
        let deadline = Instant::now() + LIMIT;
        let read: Vec<_> = readers.iter().map(Reader::read).collect();
        let is_back = || {
            let flows = readers.iter().zip(&read).all(|(reader, read)| reader.read() > *read);
            proxy.accepted() > before && (hurry || flows)
        };
        while !is_back() {
            assert!(Instant::now() < deadline, "outage {outage}, {what}: the connection does not come back");
            thread::sleep(Duration::from_millis(1));
        }
        thread::sleep(Duration::from_millis(random.below(30)));
        memory.push(resident());
    }
    let lasted = started.elapsed();

    let written: Vec<_> = writers.into_iter().map(Writer::finish).collect();
    let total = written.iter().sum();
    for reader in readers {
        let read = reader.finish(total);
        for (number, written) in written.iter().enumerate() {
            assert_eq!(read.get(&number.to_string()), Some(written), "stream {number}");
        }
    }
    let (early, late) = (memory[memory.len() / 10], memory[memory.len() - 1]);
    println!(
        "{}: {count} outages in {:.0} s, {total} points from {STREAMS} upstreams to {STREAMS} downstreams, each once \
         and in order; resident memory {} MiB after a tenth, {} MiB at the end",
        scheme.name(),
        lasted.as_secs_f64(),
        early >> 20,
        late >> 20,
    );
    // Otherwise other tests use the memory of the process meanwhile.
    assert!(!full() || late < early + (48 << 20), "memory grew from {early} to {late} bytes");
    drop((source, reader));
    world.broker.shutdown(Duration::from_secs(5));
}

#[test]
fn websockets_break_and_nothing_is_lost_or_twice() {
    outages(Scheme::Ws, if full() { 900 } else { 40 });
}

#[test]
fn quic_connections_break_and_nothing_is_lost_or_twice() {
    outages(Scheme::Quic, if full() { 100 } else { 3 });
}
