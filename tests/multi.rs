//! Connections over several transports, each of them behind a proxy that injects faults.

mod support;

use std::sync::atomic::Ordering::Relaxed;
use std::sync::mpsc;
use std::time::{Duration, Instant};

use iscp::client::{
    ConnectOptions, Connection, ConnectionEvent, ConnectionState, Downstream, DownstreamOptions, Upstream,
    UpstreamOptions,
};
use iscp::core::{FlushLevel, FlushPolicy};
use iscp::error::{Error, Status};
use iscp::message::{DataFilter, DataId, DownstreamFilter, Qos};
use iscp::transport::multi::Scheduler;
use iscp::transport::multi::dial::PathOptions;
use iscp::transport::{Scheme, Target};
use iscp_broker::core::Limits;
use iscp_broker::{Listener, Server, ServerConfig, ServerHandle};
use iscp_chaos::{Config, Cut, Direction, Faults, Proxy};

use support::{LIMIT, broker, connect, wait};

/// Paths to a broker.
struct Paths(Vec<Proxy>);

impl Paths {
    fn new(broker: &ServerHandle, count: usize) -> Self {
        let to = broker.address(Scheme::Ws).unwrap().to_string();
        Self((0..count).map(|_| Proxy::tcp(to.clone()).unwrap()).collect())
    }

    /// Dials again fast, so that tests are short.
    fn set(&self, options: &mut ConnectOptions) {
        let multi = &mut options.dial.multi;
        let path = |proxy: &Proxy| PathOptions {
            target: Some(Target::parse(&format!("ws://{}", proxy.address())).unwrap()),
            ..PathOptions::default()
        };
        multi.paths = self.0.iter().map(path).collect();
        multi.redial_interval = Duration::from_millis(20);
        // What the paths do not bring about themselves must not be mended by a new connection.
        options.config.reconnect.enabled = false;
    }

    #[track_caller]
    fn wait_for(&self, what: &str, done: impl Fn(&Proxy) -> bool) {
        let deadline = Instant::now() + LIMIT;
        while !self.0.iter().all(&done) {
            assert!(Instant::now() < deadline, "{what}");
            std::thread::sleep(Duration::from_millis(1));
        }
    }
}

/// A connection by several paths, all of which are up; what comes tells its end.
fn connect_by(
    broker: &ServerHandle,
    node: &str,
    paths: &Paths,
    adjust: impl FnOnce(&mut ConnectOptions),
) -> (Connection, mpsc::Receiver<Option<Error>>) {
    let (sender, ended) = mpsc::channel();
    let connection = connect(broker, node, |options| {
        paths.set(options);
        options.on_closed = Some(std::sync::Arc::new(move |error| drop(sender.send(error))));
        adjust(options);
    });
    paths.wait_for("a path is not connected", |proxy| proxy.connections() == 1);
    (connection, ended)
}

fn upstream(connection: &Connection, qos: Qos) -> Upstream {
    let mut options = UpstreamOptions::default();
    options.config.qos = qos;
    options.config.flush_policy = FlushPolicy::Immediate;
    options.config.session_id = "session".to_owned();
    wait(|done| connection.open_upstream(options, done)).unwrap()
}

fn downstream(connection: &Connection, node: &str) -> Downstream {
    let mut options = DownstreamOptions::default();
    options.config.qos = Qos::Reliable;
    options.config.filters = vec![DownstreamFilter {
        source_node_id: node.to_owned(),
        data_filters: vec![DataFilter { name: "#".to_owned(), kind: "#".to_owned() }],
    }];
    wait(|done| connection.open_downstream(options, done)).unwrap()
}

/// Reads points whose elapsed times count up, until `count` have come.
#[track_caller]
fn read(downstream: &Downstream, from: i64, count: i64) {
    let mut next = from;
    while next < from + count {
        let chunk = downstream.next_chunk(Some(LIMIT)).unwrap();
        for point in chunk.groups.iter().flat_map(|group| group.points.iter()) {
            assert_eq!(point.elapsed_time, next);
            assert_eq!(&point.payload[..8], &next.to_be_bytes());
            next += 1;
        }
    }
}

/// Writes points from a thread, a thousand each time it is told to.
fn write(up: Upstream) -> (mpsc::Sender<()>, std::thread::JoinHandle<Upstream>) {
    let (go, going) = mpsc::channel();
    let writer = std::thread::spawn(move || {
        let id = up.data_id(DataId::new("n", "t")).unwrap();
        let mut next = 0_i64;
        while going.recv().is_ok() {
            for _ in 0..1000 {
                let mut payload = [0; 500];
                payload[..8].copy_from_slice(&next.to_be_bytes());
                up.write(id, next, &payload).unwrap();
                next += 1;
            }
        }
        up
    });
    (go, writer)
}

type PathFault = (&'static str, fn(&Proxy));

/// What happens to one path while the others hold.
const FAULTS: [PathFault; 3] = [
    ("reset", |path| path.cut(Cut::Reset)),
    ("finish", |path| path.cut(Cut::Finish)),
    ("half-close", |path| path.half_close(Direction::Down)),
];

#[test]
fn nothing_is_lost_and_all_is_in_order_when_paths_break_one_at_a_time() {
    for scheduler in Scheduler::ALL {
        let broker = broker(Limits::default());
        let paths = [Paths::new(&broker, 2), Paths::new(&broker, 3)];
        let set = |options: &mut ConnectOptions| options.dial.multi.scheduler = scheduler;
        let (source, source_end) = connect_by(&broker, "source", &paths[0], set);
        let (reader, reader_end) = connect_by(&broker, "reader", &paths[1], set);
        let down = downstream(&reader, "source");
        let (go, writer) = write(upstream(&source, Qos::Reliable));
        let mut read_so_far = 0;
        for round in 0..6 {
            for paths in &paths {
                let path = &paths.0[round % paths.0.len()];
                let (name, fault) = FAULTS[round % FAULTS.len()];
                let before = path.accepted();
                go.send(()).unwrap();
                fault(path);
                go.send(()).unwrap();
                read(&down, read_so_far, 2000);
                read_so_far += 2000;
                // Before the next one breaks.
                paths.wait_for(name, |other| {
                    other.connections() >= 1
                        && (other.address() != path.address() || other.accepted() > before)
                });
            }
        }
        drop(go);
        let up = writer.join().unwrap();
        wait(|done| up.close(false, done)).unwrap();
        wait(|done| down.close(done)).unwrap();
        for (connection, end) in [(source, source_end), (reader, reader_end)] {
            assert_eq!(connection.state(), ConnectionState::Connected, "{scheduler:?}");
            wait(|done| connection.close(done)).unwrap();
            assert!(end.recv().unwrap().is_none());
        }
    }
}

#[test]
fn a_path_that_goes_silent_holds_nothing_up_for_long() {
    let broker = broker(Limits::default());
    let paths = Paths::new(&broker, 2);
    let (source, _end) = connect_by(&broker, "source", &paths, |options| {
        options.dial.multi.ping_interval = Duration::from_millis(50);
        options.dial.multi.silence_limit = Duration::from_secs(3);
        options.dial.multi.scheduler = Scheduler::RoundRobin;
    });
    let reader = connect(&broker, "reader", |_| {});
    let down = downstream(&reader, "source");
    let (go, writer) = write(upstream(&source, Qos::Reliable));
    go.send(()).unwrap();
    read(&down, 0, 1000);
    // It carries a part of what follows, which goes by the other one in the end.
    paths.0[0].black_hole();
    go.send(()).unwrap();
    read(&down, 1000, 1000);
    // It is given up and dialled again, to no avail.
    paths.wait_for("it is dialled again", |path| {
        path.address() != paths.0[0].address() || path.accepted() > 1
    });
    go.send(()).unwrap();
    read(&down, 2000, 1000);
    paths.0[0].let_go();
    // Now it must hold.
    paths.wait_for("it is back", |path| path.connections() == 1);
    paths.0[1].refuse(true);
    paths.0[1].cut(Cut::Reset);
    go.send(()).unwrap();
    read(&down, 3000, 1000);
    drop(go);
    let up = writer.join().unwrap();
    wait(|done| up.flush(FlushLevel::Acknowledged, LIMIT, done)).unwrap();
    wait(|done| source.close(done)).unwrap();
}

#[test]
fn slow_paths_carry_their_part() {
    for scheduler in Scheduler::ALL {
        let broker = broker(Limits::default());
        let to = broker.address(Scheme::Ws).unwrap().to_string();
        let path = |rate: &str, delay| {
            let faults = Faults {
                rate: Some(rate.parse().unwrap()),
                delay: Duration::from_millis(delay),
                ..Faults::default()
            };
            Proxy::start(Config { faults, ..Config::new(to.clone()) }).unwrap()
        };
        let paths = Paths(vec![path("4M", 5), path("2M", 30)]);
        let (source, _end) =
            connect_by(&broker, "source", &paths, |options| options.dial.multi.scheduler = scheduler);
        let reader = connect(&broker, "reader", |_| {});
        let down = downstream(&reader, "source");
        let (go, writer) = write(upstream(&source, Qos::Reliable));
        for _ in 0..4 {
            go.send(()).unwrap();
        }
        read(&down, 0, 4000);
        drop(go);
        writer.join().unwrap();
        wait(|done| source.close(done)).unwrap();
    }
}

#[test]
fn the_connection_ends_with_its_last_path() {
    let broker = broker(Limits::default());
    let paths = Paths::new(&broker, 2);
    let (source, end) = connect_by(&broker, "source", &paths, |options| {
        options.dial.multi.grace = Duration::from_millis(200)
    });
    for path in &paths.0 {
        path.refuse(true);
        path.cut(Cut::Reset);
    }
    let error = end.recv_timeout(LIMIT).unwrap().unwrap();
    assert_eq!(error.status(), Status::ConnectionLost);
    assert!(error.message().contains("no transport is left"), "{error}");
    assert_eq!(source.state(), ConnectionState::Closed);
}

#[test]
fn a_connection_that_has_lost_all_paths_is_made_anew() {
    let broker = broker(Limits::default());
    let paths = Paths::new(&broker, 2);
    let (sender, events) = mpsc::channel();
    let (source, _end) = connect_by(&broker, "source", &paths, |options| {
        options.config.reconnect.enabled = true;
        options.dial.multi.grace = Duration::from_millis(1);
        options.on_event = Some(std::sync::Arc::new(move |dated| drop(sender.send(dated.event))));
    });
    let reader = connect(&broker, "reader", |_| {});
    let down = downstream(&reader, "source");
    let (go, writer) = write(upstream(&source, Qos::Reliable));
    go.send(()).unwrap();
    read(&down, 0, 1000);
    for path in &paths.0 {
        path.refuse(true);
        path.cut(Cut::Reset);
    }
    let until = |wanted: fn(&ConnectionEvent) -> bool| while !wanted(&events.recv_timeout(LIMIT).unwrap()) {};
    until(|event| matches!(event, ConnectionEvent::Disconnected(_)));
    go.send(()).unwrap();
    for path in &paths.0 {
        path.refuse(false);
    }
    until(|event| matches!(event, ConnectionEvent::Reconnected));
    read(&down, 1000, 1000);
    drop(go);
    writer.join().unwrap();
    wait(|done| source.close(done)).unwrap();
}

#[test]
fn all_paths_may_be_gone_for_a_while() {
    let broker = broker(Limits::default());
    let paths = Paths::new(&broker, 2);
    let (source, _end) = connect_by(&broker, "source", &paths, |_| {});
    let reader = connect(&broker, "reader", |_| {});
    let down = downstream(&reader, "source");
    let (go, writer) = write(upstream(&source, Qos::Reliable));
    go.send(()).unwrap();
    read(&down, 0, 1000);
    for path in &paths.0 {
        path.refuse(true);
        path.cut(Cut::Reset);
    }
    paths.wait_for("the paths are gone", |path| path.connections() == 0);
    go.send(()).unwrap();
    for path in &paths.0 {
        path.refuse(false);
    }
    read(&down, 1000, 1000);
    drop(go);
    writer.join().unwrap();
    wait(|done| source.close(done)).unwrap();
}

#[test]
fn a_path_that_is_down_joins_later() {
    let broker = broker(Limits::default());
    let paths = Paths::new(&broker, 2);
    paths.0[0].refuse(true);
    let connection = connect(&broker, "node", |options| paths.set(options));
    assert_eq!((paths.0[0].accepted(), paths.0[1].connections()), (0, 1));
    let up = || connection.counters().paths.load(Relaxed);
    paths.0[0].refuse(false);
    paths.wait_for("the other path joins", |path| path.connections() == 1 && up() == 2);
    // It carries the connection alone.
    paths.0[1].refuse(true);
    paths.0[1].cut(Cut::Reset);
    paths.wait_for("the first is lost", |_| up() == 1);
    let up = upstream(&connection, Qos::Reliable);
    wait(|done| up.close(false, done)).unwrap();
    wait(|done| connection.close(done)).unwrap();
}

#[test]
fn without_any_path_every_failure_is_told() {
    let broker = broker(Limits::default());
    let paths = Paths::new(&broker, 2);
    paths.0.iter().for_each(|path| path.refuse(true));
    let mut options = ConnectOptions { url: broker.url(Scheme::Ws), ..ConnectOptions::default() };
    paths.set(&mut options);
    let Err(error) = Connection::connect_wait(options, Some(LIMIT)) else { panic!("connected") };
    assert_eq!(error.status(), Status::ConnectFailed);
    for path in &paths.0 {
        assert!(error.message().contains(&path.address().to_string()), "{error}");
    }
}

#[test]
fn a_server_that_has_forgotten_the_connection_is_noticed() {
    let broker = Server::start(ServerConfig {
        listeners: vec![Listener::new(Scheme::Ws, ([127, 0, 0, 1], 0))],
        group_grace: Duration::ZERO,
        ..ServerConfig::default()
    })
    .unwrap();
    let paths = Paths::new(&broker, 2);
    let (_source, end) = connect_by(&broker, "source", &paths, |_| {});
    for path in &paths.0 {
        path.refuse(true);
        path.cut(Cut::Reset);
    }
    paths.wait_for("the paths are gone", |path| path.connections() == 0);
    // The broker has to see that, too, which a connection of another client behind it shows.
    let other = connect(&broker, "other", |_| {});
    wait(|done| other.close(done)).unwrap();
    for path in &paths.0 {
        path.refuse(false);
    }
    let error = end.recv_timeout(LIMIT).unwrap().unwrap();
    assert_eq!(error.status(), Status::ConnectionLost);
    assert!(error.message().contains("forgotten"), "{error}");
}
