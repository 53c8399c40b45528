//! Connections over several paths, of different transports and with datagrams.

use std::time::{Duration, Instant};

use iscp::client::{ConnectOptions, Connection, ConnectionState};
use iscp::message::Qos;
use iscp::transport::Scheme;
use iscp::transport::multi::Scheduler;
use iscp::transport::multi::dial::PathOptions;
use iscp_chaos::{Config, Cut, Faults, Proxy};

use crate::support::{LIMIT, World, downstream, id, next_points, payload, upstream, wait};

/// A proxy in front of a listener for datagrams.
fn proxy(world: &World, scheme: Scheme, faults: Faults) -> Proxy {
    let to = world.broker.address(scheme).unwrap().to_string();
    Proxy::start(Config { tcp: false, udp: true, faults, ..Config::new(to) }).unwrap()
}

fn options(world: &World, paths: &[(Scheme, &Proxy)]) -> ConnectOptions {
    let mut options = world.options(Scheme::Quic, "source");
    let path = |(scheme, proxy): &(Scheme, &Proxy)| {
        PathOptions::new(&format!("{}://{}", scheme.name(), proxy.address()), "", "").unwrap()
    };
    options.dial.multi.paths = paths.iter().map(path).collect();
    options.dial.multi.redial_interval = Duration::from_millis(20);
    // What the paths do not bring about themselves must not be mended by a new connection.
    options.config.reconnect.enabled = false;
    options
}

/// Waits until every path has been dialled.
fn connect(options: ConnectOptions, proxies: &[&Proxy]) -> Connection {
    let connection = Connection::connect_wait(options, Some(LIMIT)).unwrap();
    let deadline = Instant::now() + LIMIT;
    while proxies.iter().any(|proxy| proxy.accepted() == 0) {
        assert!(Instant::now() < deadline, "a path was not dialled");
        std::thread::sleep(Duration::from_millis(1));
    }
    connection
}

#[test]
fn paths_of_different_transports_are_one_connection() {
    for scheduler in Scheduler::ALL {
        let world = World::new();
        let bad = Faults {
            drop: "1%".parse().unwrap(),
            duplicate: "2%".parse().unwrap(),
            reorder: "5%".parse().unwrap(),
            delay: Duration::from_millis(2),
            ..Faults::default()
        };
        let quic = proxy(&world, Scheme::Quic, bad);
        let webtransport = proxy(&world, Scheme::WebTransport, Faults::default());
        let mut options = options(&world, &[(Scheme::Quic, &quic), (Scheme::WebTransport, &webtransport)]);
        options.dial.multi.scheduler = scheduler;
        options.dial.multi.ping_interval = Duration::from_millis(50);
        options.dial.multi.silence_limit = Duration::from_secs(1);
        let source = connect(options, &[&quic, &webtransport]);
        let reader = world.connect(Scheme::WebTransport, "reader");
        let down = downstream(&reader, "source", Qos::Reliable);
        let up = upstream(&source, Qos::Reliable);
        let data_id = up.data_id(id()).unwrap();
        let mut received = Vec::new();
        for round in 0..3 {
            for number in round * 200..(round + 1) * 200 {
                up.write(data_id, number, &payload(number, 3000)).unwrap();
                if number == round * 200 + 100 {
                    // Nobody is told: what was under way there comes by the other in the end.
                    [&quic, &webtransport, &quic][round as usize].cut(Cut::Reset);
                }
            }
            while received.len() < (round as usize + 1) * 200 {
                received.extend(next_points(&down, LIMIT).unwrap());
            }
            // Each is there again before the other is cut.
            let deadline = Instant::now() + LIMIT;
            let again = [&quic, &webtransport, &quic][round as usize];
            while again.accepted() < 2 {
                assert!(Instant::now() < deadline, "a path was not dialled again");
                std::thread::sleep(Duration::from_millis(1));
            }
        }
        for (number, (at, payload)) in (0..).zip(received) {
            assert!(
                at == number && payload == crate::support::payload(number, 3000),
                "{scheduler:?}: {number}"
            );
        }
        assert_eq!(source.state(), ConnectionState::Connected);
        wait(|done| source.close(done)).unwrap();
    }
}

#[test]
fn unreliable_points_go_by_datagram() {
    let world = World::new();
    let lossy = || Faults { drop: "20%".parse().unwrap(), ..Faults::default() };
    let (one, other) = (proxy(&world, Scheme::Quic, lossy()), proxy(&world, Scheme::Quic, lossy()));
    let source = connect(options(&world, &[(Scheme::Quic, &one), (Scheme::Quic, &other)]), &[&one, &other]);
    let reader = world.connect(Scheme::Quic, "reader");
    let down = downstream(&reader, "source", Qos::Unreliable);
    let up = upstream(&source, Qos::Unreliable);
    let data_id = up.data_id(id()).unwrap();
    let mut received = 0;
    for number in 0..200 {
        up.write(data_id, number, b"point").unwrap();
        while next_points(&down, Duration::from_millis(2)).is_ok() {
            received += 1;
        }
    }
    while next_points(&down, Duration::from_millis(500)).is_ok() {
        received += 1;
    }
    // On a stream nothing would be lost.
    assert!((50..200).contains(&received), "{received}");
    wait(|done| source.close(done)).unwrap();
}
