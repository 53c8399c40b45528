//! Connections over QUIC and WebTransport that are lost and made anew.

use std::sync::atomic::Ordering::Relaxed;
use std::thread;
use std::time::{Duration, Instant};

use iscp::client::{Connection, ConnectionState};
use iscp::core::FlushLevel;
use iscp::message::Qos;
use iscp_chaos::{Cut, Proxy};

use crate::support::{LIMIT, SCHEMES, World, downstream, id, next_points, upstream, wait};

#[test]
fn streams_go_on_over_another_connection() {
    for scheme in SCHEMES {
        let world = World::new();
        let proxy = Proxy::udp(world.broker.address(scheme).unwrap().to_string()).unwrap();
        let connect = |node: &str| {
            let mut options = world.options(scheme, node);
            options.url = options
                .url
                .replace(&world.broker.address(scheme).unwrap().to_string(), &proxy.address().to_string());
            options.config.ping_interval = Duration::from_secs(1);
            options.config.ping_timeout = Duration::from_secs(1);
            Connection::connect_wait(options, Some(LIMIT)).unwrap()
        };
        let (source, sink) = (connect("source"), connect("sink"));
        let down = downstream(&sink, "source", Qos::Reliable);
        let up = upstream(&source, Qos::Reliable);
        let lossy = upstream(&source, Qos::Unreliable);
        let ids = [&up, &lossy].map(|up| up.data_id(id()).unwrap());
        up.write(ids[0], 1, b"before").unwrap();
        assert_eq!(next_points(&down, LIMIT).unwrap(), [(1, b"before".to_vec())]);
        proxy.cut(Cut::Reset);
        up.write(ids[0], 2, b"meanwhile").unwrap();
        let deadline = Instant::now() + LIMIT;
        let back = |connection: &Connection| {
            connection.counters().reconnects.load(Relaxed) > 0
                && connection.state() == ConnectionState::Connected
        };
        while !back(&source) || !back(&sink) {
            assert!(Instant::now() < deadline, "{scheme:?}: the connections do not come back");
            thread::sleep(Duration::from_millis(1));
        }
        up.write(ids[0], 3, b"after").unwrap();
        let mut points = Vec::new();
        while points.len() < 2 {
            points.extend(next_points(&down, LIMIT).unwrap());
        }
        assert_eq!(points, [(2, b"meanwhile".to_vec()), (3, b"after".to_vec())], "{scheme:?}");
        // By datagram, as before.
        lossy.write(ids[1], 4, b"datagram").unwrap();
        wait(|done| lossy.flush(FlushLevel::Acknowledged, LIMIT, done)).unwrap();
        assert_eq!(next_points(&down, LIMIT).unwrap(), [(4, b"datagram".to_vec())]);
        wait(|done| up.close(false, done)).unwrap();
    }
}
