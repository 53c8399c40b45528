//! The client's API against the broker.

use std::net::UdpSocket;
use std::sync::atomic::Ordering::Relaxed;
use std::sync::mpsc;
use std::thread;
use std::time::{Duration, Instant};

use iscp::client::{ConnectOptions, Connection, ConnectionState};
use iscp::core::FlushLevel;
use iscp::error::Status;
use iscp::message::Qos;
use iscp::transport::Scheme;
use iscp::transport::dial::Congestion;
use iscp_broker::{Listener, Server, ServerConfig};

use crate::support::{
    LIMIT, Pki, SCHEMES, World, downstream, id, next_points, payload, refused, upstream, wait,
};

#[test]
fn reliable_points_of_every_size_arrive_intact_and_in_order() {
    for scheme in SCHEMES {
        let world = World::new();
        let (source, reader) = (world.connect(scheme, "source"), world.connect(scheme, "reader"));
        let down = downstream(&reader, "source", Qos::Reliable);
        let up = upstream(&source, Qos::Reliable);
        let data_id = up.data_id(id()).unwrap();
        let sizes = [0, 1, 1_000, 1_180, 1_200, 16_384, 65_536, 1 << 20, 5, 3 << 20, 100];
        let sent: Vec<_> =
            (0..22).map(|number| payload(number, sizes[number as usize % sizes.len()])).collect();
        for (number, payload) in sent.iter().enumerate() {
            up.write(data_id, number as i64, payload).unwrap();
        }
        let mut received = Vec::new();
        while received.len() < sent.len() {
            received.extend(next_points(&down, LIMIT).unwrap());
        }
        let expected: Vec<_> = sent.into_iter().enumerate().map(|(number, p)| (number as i64, p)).collect();
        assert!(received == expected, "{scheme:?}");
        wait(|done| up.close(false, done)).unwrap();
        wait(|done| down.close(done)).unwrap();
        for connection in [source, reader] {
            wait(|done| connection.close(done)).unwrap();
        }
    }
}

#[test]
fn unreliable_points_arrive_whole_or_not_at_all() {
    for scheme in SCHEMES {
        let world = World::new();
        let (source, reader) = (world.connect(scheme, "source"), world.connect(scheme, "reader"));
        let down = downstream(&reader, "source", Qos::Unreliable);
        let up = upstream(&source, Qos::Unreliable);
        let data_id = up.data_id(id()).unwrap();
        // One datagram, several, many, and more than go by datagram.
        for (number, size) in (0..).zip([10, 3_000, 100_000, 2 << 20]) {
            let deadline = Instant::now() + LIMIT;
            'sent: loop {
                assert!(Instant::now() < deadline, "{scheme:?}: nothing of {size} bytes arrived");
                up.write(data_id, number, &payload(number, size)).unwrap();
                // Lost ones are not sent again by anybody else.
                while let Ok(points) = next_points(&down, Duration::from_millis(500)) {
                    for (at, received) in points {
                        let size = [10, 3_000, 100_000, 2 << 20][at as usize];
                        assert!(received == payload(at, size), "{scheme:?}: a point of {size} bytes");
                        if at == number {
                            break 'sent;
                        }
                    }
                }
            }
        }
        wait(|done| source.close(done)).unwrap();
    }
}

#[test]
fn a_flood_of_unreliable_points_leaves_the_connection_alone() {
    for scheme in SCHEMES {
        let world = World::new();
        let (source, reader) = (world.connect(scheme, "source"), world.connect(scheme, "reader"));
        let down = downstream(&reader, "source", Qos::Unreliable);
        let flood = upstream(&source, Qos::Unreliable);
        let reliable = upstream(&source, Qos::Reliable);
        let (flood_id, reliable_id) = (flood.data_id(id()).unwrap(), reliable.data_id(id()).unwrap());
        let large = payload(1, 200_000);
        let deadline = Instant::now() + LIMIT;
        while source.counters().messages_dropped.load(Relaxed) == 0 {
            assert!(Instant::now() < deadline, "nothing was too much");
            for _ in 0..50 {
                flood.write(flood_id, 1, &large).unwrap();
            }
            wait(|done| flood.flush(FlushLevel::Sent, LIMIT, done)).unwrap();
        }
        reliable.write(reliable_id, 1_000, b"through").unwrap();
        wait(|done| reliable.flush(FlushLevel::Acknowledged, LIMIT, done)).unwrap();
        let mut numbers = Vec::new();
        while let Ok(points) = next_points(&down, LIMIT) {
            for (number, received) in points {
                if number == 1_000 {
                    assert_eq!(received, b"through");
                } else {
                    assert!(received == large);
                }
                numbers.push(number);
            }
            if numbers.contains(&1_000) {
                break;
            }
        }
        assert_eq!(source.state(), ConnectionState::Connected);
        wait(|done| source.close(done)).unwrap();
    }
}

#[test]
fn a_server_is_believed_only_with_a_trusted_certificate_for_its_name() {
    for scheme in SCHEMES {
        let world = World::new();
        let stranger = Pki::new();
        let mut options = world.options(scheme, "node");
        options.dial.tls = stranger.trust();
        let error = refused(options);
        assert_eq!(error.status(), Status::Tls, "{scheme:?}: {error}");
        assert!(error.message().contains("certificate"), "{error}");

        // The address is no name of the certificate.
        let mut options = world.options(scheme, "node");
        options.dial.tls.server_name = None;
        let error = refused(options);
        assert_eq!(error.status(), Status::Tls, "{scheme:?}: {error}");

        let mut options = world.options(scheme, "node");
        options.dial.tls = Default::default();
        assert_eq!(refused(options).status(), Status::Tls);

        let mut options = world.options(scheme, "node");
        options.dial.tls = Default::default();
        options.dial.tls.insecure = true;
        Connection::connect_wait(options, Some(LIMIT)).unwrap();
    }
}

#[test]
fn a_server_may_demand_a_certificate_of_the_client() {
    for scheme in SCHEMES {
        let clients = Pki::new();
        let world = World::with(|config| {
            let identity = config.tls.take().unwrap();
            config.tls = Some(identity.require_clients(clients.ca.as_bytes()).unwrap());
        });
        let error = refused(world.options(scheme, "node"));
        assert_eq!(error.status(), Status::Tls, "{scheme:?}: {error}");

        let mut options = world.options(scheme, "node");
        let identity =
            iscp::transport::tls::Identity::from_pem(clients.chain.as_bytes(), clients.key.as_bytes());
        let identity = identity.unwrap();
        options.dial.tls.chain = Some(identity.chain);
        options.dial.tls.key = Some(identity.key.into());
        Connection::connect_wait(options, Some(LIMIT)).unwrap();
    }
}

#[test]
fn where_nobody_answers_connecting_ends_in_time() {
    let world = World::new();
    // A socket that never says anything.
    let silent = UdpSocket::bind("127.0.0.1:0").unwrap();
    for scheme in SCHEMES {
        let mut options = world.options(scheme, "node");
        options.url = format!("{}://{}", scheme.name(), silent.local_addr().unwrap());
        options.connect_timeout = Duration::from_millis(300);
        let url = options.url.clone();
        let error = refused(options);
        assert_eq!(error.status(), Status::Timeout, "{error}");
        assert!(error.message().contains(&url), "{error}");
    }
}

#[test]
fn every_address_of_a_name_is_tried() {
    // `localhost` has an IPv6 address first on most systems; the broker listens at the other one.
    let world = World::new();
    for scheme in SCHEMES {
        let mut options = world.options(scheme, "node");
        options.url =
            format!("{}://localhost:{}", scheme.name(), world.broker.address(scheme).unwrap().port());
        options.dial.tls.server_name = None;
        Connection::connect_wait(options, Some(LIMIT)).unwrap();
    }
}

#[test]
fn ipv6_addresses_are_served() {
    for scheme in SCHEMES {
        let world = World::with(|config| {
            config.listeners = vec![Listener::new(scheme, (std::net::Ipv6Addr::LOCALHOST, 0))];
        });
        world.connect(scheme, "node");
    }
}

#[test]
fn every_congestion_control_and_size_of_datagrams_carries_data() {
    for scheme in SCHEMES {
        let world = World::new();
        let reader = world.connect(scheme, "reader");
        for (congestion, size) in Congestion::ALL.into_iter().zip([0, 100, 1_000]) {
            let mut options = world.options(scheme, congestion.name());
            options.dial.quic_congestion = congestion;
            options.dial.quic_datagram_size = size;
            let source = Connection::connect_wait(options, Some(LIMIT)).unwrap();
            let down = downstream(&reader, congestion.name(), Qos::Unreliable);
            let up = upstream(&source, Qos::Unreliable);
            let data_id = up.data_id(id()).unwrap();
            let sent = payload(1, 5_000);
            let deadline = Instant::now() + LIMIT;
            let received = loop {
                assert!(Instant::now() < deadline, "{scheme:?}: nothing arrived");
                up.write(data_id, 1, &sent).unwrap();
                if let Ok(points) = next_points(&down, Duration::from_millis(500)) {
                    break points;
                }
            };
            assert!(received[0].1 == sent);
        }
    }
}

/// What would take more small datagrams than are ever held goes the reliable way.
#[test]
fn small_datagrams_do_not_lose_large_points() {
    for scheme in SCHEMES {
        let world = World::new();
        let mut options = world.options(scheme, "source");
        options.dial.quic_datagram_size = 64;
        let source = Connection::connect_wait(options, Some(LIMIT)).unwrap();
        let reader = world.connect(scheme, "reader");
        let down = downstream(&reader, "source", Qos::Reliable);
        let up = upstream(&source, Qos::Unreliable);
        let sent = payload(1, 700_000);
        up.write(up.data_id(id()).unwrap(), 1, &sent).unwrap();
        assert!(next_points(&down, LIMIT).unwrap() == [(1, sent)]);
        assert_eq!(source.counters().messages_dropped.load(Relaxed), 0);
    }
}

#[test]
fn an_orderly_close_delivers_everything() {
    for scheme in SCHEMES {
        let world = World::new();
        let (source, reader) = (world.connect(scheme, "source"), world.connect(scheme, "reader"));
        let down = downstream(&reader, "source", Qos::Reliable);
        let up = upstream(&source, Qos::Reliable);
        let data_id = up.data_id(id()).unwrap();
        for number in 0..2_000 {
            up.write(data_id, number, &payload(number, 1_000)).unwrap();
        }
        wait(|done| source.close(done)).unwrap();
        let mut received = 0;
        while received < 2_000 {
            for (number, bytes) in next_points(&down, LIMIT).unwrap() {
                assert_eq!(number, received);
                assert!(bytes == payload(number, 1_000));
                received += 1;
            }
        }
    }
}

#[test]
fn a_broker_that_stops_closes_its_connections() {
    for scheme in SCHEMES {
        let world = World::new();
        let (ended, ends) = mpsc::channel();
        let connections: Vec<_> = (0..3)
            .map(|number| {
                let mut options = world.options(scheme, &number.to_string());
                options.config.reconnect.enabled = false;
                let ended = ended.clone();
                options.on_closed = Some(std::sync::Arc::new(move |error| ended.send(error).unwrap()));
                Connection::connect_wait(options, Some(LIMIT)).unwrap()
            })
            .collect();
        let began = Instant::now();
        world.broker.shutdown(LIMIT);
        assert!(world.broker.is_stopped());
        for _ in &connections {
            let error = ends.recv_timeout(LIMIT).unwrap().unwrap();
            assert_eq!(error.status(), Status::ConnectionLost, "{error}");
        }
        // Told, rather than found out by a ping or an idle timeout.
        assert!(began.elapsed() < Duration::from_secs(9), "{:?}", began.elapsed());
    }
}

#[test]
fn a_broker_that_stops_delivers_what_it_took() {
    // More than may be under way without an acknowledgement.
    const CHUNKS: i64 = 1_000;
    for scheme in SCHEMES {
        let world = World::with(|config| config.core.timing.drain = LIMIT);
        let (source, reader) = (world.connect(scheme, "source"), world.connect(scheme, "reader"));
        let down = downstream(&reader, "source", Qos::Reliable);
        let up = upstream(&source, Qos::Reliable);
        let data_id = up.data_id(id()).unwrap();
        for number in 0..CHUNKS {
            up.write(data_id, number, &payload(number, 100)).unwrap();
        }
        wait(|done| up.flush(FlushLevel::Acknowledged, LIMIT, done)).unwrap();
        thread::scope(|scope| {
            scope.spawn(|| world.broker.shutdown(2 * LIMIT));
            let mut received = 0;
            while received < CHUNKS {
                for (number, bytes) in next_points(&down, LIMIT).unwrap() {
                    assert_eq!(number, received);
                    assert!(bytes == payload(number, 100));
                    received += 1;
                }
            }
        });
        assert!(world.broker.is_stopped());
    }
}

#[test]
fn a_full_broker_refuses() {
    for scheme in SCHEMES {
        let world = World::with(|config| config.core.limits.connections = 1);
        let _first = world.connect(scheme, "first");
        let error = refused(world.options(scheme, "second"));
        assert_eq!(error.status(), Status::Handshake, "{scheme:?}: {error}");
    }
}

#[test]
fn a_wrong_token_is_refused_in_words() {
    for scheme in SCHEMES {
        let world = World::with(|config| config.tokens = vec!["right".to_owned()]);
        let mut options = world.options(scheme, "node");
        options.token = iscp::client::TokenSource::Static("wrong".to_owned());
        let error = refused(options);
        assert_eq!(error.status(), Status::Unauthorized, "{scheme:?}: {error}");
    }
}

#[test]
fn a_listener_without_certificate_does_not_start() {
    for scheme in SCHEMES {
        let listeners = vec![Listener::new(scheme, ([127, 0, 0, 1], 0))];
        let error = Server::start(ServerConfig { listeners, ..ServerConfig::default() }).unwrap_err();
        assert!(error.to_string().contains(scheme.name()), "{error}");
    }
}

#[test]
fn addresses_say_which_part_is_wrong() {
    let options = ConnectOptions { url: "quic://host/else/where".to_owned(), ..ConnectOptions::default() };
    let error = refused(options);
    assert_eq!(error.status(), Status::InvalidOption);
    assert_eq!(Scheme::Quic.transport(), "quic");
}

#[test]
fn a_web_page_needs_a_permission_for_webtransport() {
    let from = |world: &World, origin: &'static str| {
        let mut options = world.options(Scheme::WebTransport, "node");
        options.dial.headers.insert(http::header::ORIGIN, http::HeaderValue::from_static(origin));
        options
    };
    let world = World::with(|config| config.allowed_origins = vec!["https://page.example".to_owned()]);
    let error = refused(from(&world, "https://other.example"));
    assert_eq!(error.status(), Status::Handshake, "{error}");
    assert!(error.message().contains("403") && error.message().contains("https://other.example"), "{error}");
    Connection::connect_wait(from(&world, "https://page.example"), Some(LIMIT)).unwrap();
}
