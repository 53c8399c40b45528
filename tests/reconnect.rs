//! Connections that are lost and made anew, over sockets: a broker behind a proxy that cuts.

mod support;

use std::net::SocketAddr;
use std::sync::atomic::Ordering::Relaxed;
use std::sync::{Arc, Mutex, mpsc};
use std::thread;
use std::time::{Duration, Instant};

use iscp::client::{
    ConnectOptions, Connection, ConnectionEvent, ConnectionState, Dated, Downstream, DownstreamOptions,
    OutgoingCall, StreamEvent, TokenSource, Upstream, UpstreamOptions,
};
use iscp::core::{FlushLevel, FlushPolicy, UpstreamEnd};
use iscp::error::{Error, Status};
use iscp::message::{BaseTime, DataFilter, DataId, DownstreamFilter, Qos};
use iscp::transport::Scheme;
use iscp_broker::core::Limits;
use iscp_broker::{Listener, Server, ServerConfig, ServerHandle};
use iscp_chaos::{Cut, Proxy};
use support::{LIMIT, broker, connect, wait};

/// A broker behind a proxy.
struct World {
    broker: ServerHandle,
    proxy: Proxy,
}

impl World {
    fn new() -> Self {
        let broker = broker(Limits::default());
        let address = broker.address(Scheme::Ws).unwrap();
        Self { broker, proxy: Proxy::tcp(address.to_string()).unwrap() }
    }

    fn options(&self, node: &str) -> ConnectOptions {
        let mut options =
            ConnectOptions { url: format!("ws://{}", self.proxy.address()), ..ConnectOptions::default() };
        options.config.node_id = node.to_owned();
        options.config.reconnect.min_interval = Duration::from_millis(10);
        options.config.reconnect.max_interval = Duration::from_millis(100);
        options
    }

    fn connect(&self, node: &str) -> Connection {
        connect(&self.broker, node, |options| *options = self.options(node))
    }
}

/// What a connection tells.
fn watch(options: &mut ConnectOptions) -> mpsc::Receiver<ConnectionEvent> {
    let (sender, events) = mpsc::channel();
    options.on_event = Some(Arc::new(move |Dated { event, .. }| {
        // Streams have handlers of their own here.
        if !matches!(event, ConnectionEvent::Upstream(_) | ConnectionEvent::Downstream(_)) {
            drop(sender.send(event));
        }
    }));
    events
}

fn upstream_options(reopen: bool) -> UpstreamOptions {
    let mut options = UpstreamOptions::default();
    options.config.qos = Qos::Reliable;
    options.config.flush_policy = FlushPolicy::Immediate;
    options.config.reopen = reopen;
    options
}

fn reader(connection: &Connection, source: &str, options: DownstreamOptions) -> Downstream {
    let mut options = options;
    options.config.qos = Qos::Reliable;
    options.config.filters = vec![DownstreamFilter {
        source_node_id: source.to_owned(),
        data_filters: vec![DataFilter { name: "#".to_owned(), kind: "#".to_owned() }],
    }];
    wait(|done| connection.open_downstream(options, done)).unwrap()
}

#[track_caller]
fn eventually(what: &str, mut done: impl FnMut() -> bool) {
    let deadline = Instant::now() + LIMIT;
    while !done() {
        assert!(Instant::now() < deadline, "{what}");
        thread::sleep(Duration::from_millis(1));
    }
}

/// Elapsed times of the points read until there are so many.
fn read(downstream: &Downstream, count: usize) -> Vec<i64> {
    let mut times = Vec::new();
    while times.len() < count {
        let chunk = downstream.next_chunk(Some(LIMIT)).unwrap();
        times
            .extend(chunk.groups.iter().flat_map(|group| group.points.spans().map(|span| span.elapsed_time)));
    }
    times
}

#[test]
fn reliable_points_arrive_once_and_in_order_however_often_the_connection_is_cut() {
    const POINTS: i64 = 3000;
    let world = World::new();
    let mut options = world.options("source");
    let tokens = Arc::new(Mutex::new(0));
    let asked = tokens.clone();
    options.token = TokenSource::Callback(Arc::new(move |request| {
        *asked.lock().unwrap() += 1;
        request.resolve("token".to_owned());
    }));
    let events = watch(&mut options);
    let source = Connection::connect_wait(options, Some(LIMIT)).unwrap();
    let sink = world.connect("sink");
    let down = reader(&sink, "source", DownstreamOptions::default());
    let (ended, ends) = mpsc::channel();
    let mut options = upstream_options(false);
    options.on_closed = Some(Box::new(move |end| ended.send(end).unwrap()));
    let up: Upstream = wait(|done| source.open_upstream(options, done)).unwrap();
    let reading = thread::spawn(move || read(&down, POINTS as usize));
    let id = up.data_id(DataId::new("n", "t")).unwrap();
    for time in 0..POINTS {
        up.write(id, time, b"0123456789").unwrap();
        if time % 250 == 100 {
            let by = if time % 500 == 100 { Cut::Reset } else { Cut::Finish };
            eventually("the connection", || source.state() == ConnectionState::Connected);
            let losses = source.counters().losses.load(Relaxed);
            world.proxy.cut(by);
            eventually("a loss", || source.counters().losses.load(Relaxed) > losses);
        }
    }
    let stream_id = up.stream_id();
    wait(|done| up.close(false, done)).unwrap();
    assert_eq!(ends.recv_timeout(LIMIT).unwrap(), UpstreamEnd::default());
    assert_eq!(up.stream_id(), stream_id);
    assert_eq!(reading.join().unwrap(), (0..POINTS).collect::<Vec<_>>());
    let (losses, reconnects) =
        (source.counters().losses.load(Relaxed), source.counters().reconnects.load(Relaxed));
    assert_eq!((losses, source.state()), (reconnects, ConnectionState::Connected));
    assert!(losses >= 12, "{losses}");
    wait(|done| source.close(done)).unwrap();
    let mut connected = false;
    for event in &events {
        match event {
            ConnectionEvent::Connected => assert!(!std::mem::replace(&mut connected, true)),
            ConnectionEvent::Disconnected(_) => assert!(std::mem::replace(&mut connected, false)),
            ConnectionEvent::Reconnecting { attempt, .. } => assert!(attempt >= 1 && !connected),
            ConnectionEvent::Reconnected => connected = true,
            ConnectionEvent::Closed(error) => {
                assert!(error.is_none(), "{error:?}");
                break;
            }
            ConnectionEvent::UpstreamClosed { end, .. } => assert_eq!(end, UpstreamEnd::default()),
            other => panic!("{other:?}"),
        }
    }
    assert!(events.try_recv().is_err(), "events after the end");
    assert!(*tokens.lock().unwrap() > reconnects, "a token for each attempt");
}

#[test]
fn a_network_that_swallows_everything_is_noticed_by_pings() {
    let world = World::new();
    let mut options = world.options("node");
    options.config.ping_interval = Duration::from_secs(1);
    let events = watch(&mut options);
    let node = Connection::connect_wait(options, Some(LIMIT)).unwrap();
    assert!(matches!(events.recv_timeout(LIMIT).unwrap(), ConnectionEvent::Connected));
    world.proxy.black_hole();
    match events.recv_timeout(LIMIT).unwrap() {
        ConnectionEvent::Disconnected(error) => assert_eq!(error.status(), Status::KeepAliveTimeout),
        other => panic!("{other:?}"),
    }
    // Waits for the connection, which comes back before its time-out.
    let (done, waiter) = iscp::client::Completion::waiter().unwrap();
    node.send_base_time(BaseTime::default(), false, done).unwrap();
    world.proxy.let_go();
    waiter.wait(Some(LIMIT)).unwrap();
    assert_eq!(node.state(), ConnectionState::Connected);
}

#[test]
fn operations_wait_while_the_connection_is_lost_and_fail_in_time() {
    let world = World::new();
    let mut options = world.options("node");
    options.config.response_timeout = Duration::from_millis(300);
    let node = Connection::connect_wait(options, Some(LIMIT)).unwrap();
    let up: Upstream = wait(|done| node.open_upstream(upstream_options(false), done)).unwrap();
    let id = up.data_id(DataId::new("n", "t")).unwrap();
    world.proxy.refuse(true);
    world.proxy.cut(Cut::Reset);
    eventually("the loss", || node.state() == ConnectionState::Reconnecting);
    up.write(id, 1, b"buffered").unwrap();
    let error = wait(|done| node.send_base_time(BaseTime::default(), false, done)).unwrap_err();
    assert_eq!(error.status(), Status::Timeout);
    let error = wait(|done| node.open_upstream(upstream_options(false), done)).map(drop).unwrap_err();
    assert_eq!(error.status(), Status::Timeout);
    let error = wait(|done| node.send_call(OutgoingCall::new("node", "n", "t", ""), done)).unwrap_err();
    assert_eq!(error.status(), Status::Timeout);
    let flush = |limit| wait(|done| up.flush(FlushLevel::Acknowledged, limit, done));
    assert_eq!(flush(Duration::from_millis(50)).unwrap_err().status(), Status::Timeout);
    world.proxy.refuse(false);
    flush(LIMIT).unwrap();
    assert!(node.counters().reconnects.load(Relaxed) > 0);
}

#[test]
fn a_restarted_broker_gets_new_streams_where_that_is_wanted() {
    let start = |address: SocketAddr| {
        Server::start(ServerConfig {
            listeners: vec![Listener::new(Scheme::Ws, address)],
            ..ServerConfig::default()
        })
    };
    let first = start(([127, 0, 0, 1], 0).into()).unwrap();
    let address = first.address(Scheme::Ws).unwrap();
    let mut options = ConnectOptions { url: first.url(Scheme::Ws), ..ConnectOptions::default() };
    options.config.node_id = "node".to_owned();
    options.config.reconnect.max_interval = Duration::from_millis(200);
    let node = Connection::connect_wait(options, Some(LIMIT)).unwrap();
    let (told, events) = mpsc::channel();
    let (ended, ends) = mpsc::channel();
    let telling = |name: &'static str| {
        let told = told.clone();
        Box::new(move |event: StreamEvent| told.send((name, event)).unwrap())
    };
    let mut lasting = upstream_options(true);
    lasting.on_event = Some(telling("up"));
    let lasting: Upstream = wait(|done| node.open_upstream(lasting, done)).unwrap();
    let mut ending = upstream_options(false);
    ending.on_event = Some(telling("ending"));
    ending.on_closed = Some(Box::new(move |end: UpstreamEnd| ended.send(end).unwrap()));
    let ending: Upstream = wait(|done| node.open_upstream(ending, done)).unwrap();
    let mut options = DownstreamOptions { on_event: Some(telling("down")), ..DownstreamOptions::default() };
    options.config.reopen = true;
    let down = reader(&node, "node", options);
    let former = [lasting.stream_id(), down.stream_id()];
    let ids = [&lasting, &ending].map(|up| up.data_id(DataId::new("n", "t")).unwrap());
    lasting.write(ids[0], 1, b"").unwrap();
    assert_eq!(read(&down, 1), [1]);
    drop(first);
    eventually("the loss", || node.state() == ConnectionState::Reconnecting);
    lasting.write(ids[0], 2, b"").unwrap();
    ending.write(ids[1], 3, b"").unwrap();
    let mut second = None;
    eventually("the port", || {
        second = start(address).ok();
        second.is_some()
    });
    let mut reopened = Vec::new();
    for _ in 0..2 {
        match events.recv_timeout(LIMIT).unwrap() {
            (name, StreamEvent::Reopened { former, stream_id }) => reopened.push((name, former, stream_id)),
            other => panic!("{other:?}"),
        }
    }
    reopened.sort_unstable();
    assert_eq!(
        reopened,
        [("down", former[1], down.stream_id()), ("up", former[0], lasting.stream_id())],
        "the handles have the new ids"
    );
    let end = ends.recv_timeout(LIMIT).unwrap();
    assert_eq!((end.undelivered_points, end.error.unwrap().status()), (1, Status::Refused));
    assert_eq!(ending.write(ids[1], 4, b""), Err(Status::Closed));
    // The reader may have come back after the point that waited.
    wait(|done| lasting.flush(FlushLevel::Acknowledged, LIMIT, done)).unwrap();
    lasting.write(ids[0], 5, b"").unwrap();
    while read(&down, 1) != [5] {}
    wait(|done| lasting.close(false, done)).unwrap();
}

#[test]
fn closing_is_bounded_whatever_the_connection_is_doing() {
    type Disturb = fn(&World);
    let disturbances: [(&str, Disturb); 2] = [
        ("waiting and dialling", |world| world.proxy.refuse(true)),
        ("connecting", |world| world.proxy.black_hole()),
    ];
    for (what, disturb) in disturbances {
        for owed in [false, true] {
            let world = World::new();
            let mut options = world.options("node");
            options.close_timeout = Duration::from_millis(500);
            let events = watch(&mut options);
            let node = Connection::connect_wait(options, Some(LIMIT)).unwrap();
            let up: Upstream = wait(|done| node.open_upstream(upstream_options(false), done)).unwrap();
            let id = up.data_id(DataId::new("n", "t")).unwrap();
            disturb(&world);
            world.proxy.cut(Cut::Reset);
            eventually("the loss", || node.state() == ConnectionState::Reconnecting);
            if owed {
                up.write(id, 1, b"owed").unwrap();
            }
            let closed = wait(|done| node.close(done));
            match owed {
                false => closed.unwrap(),
                true => assert_eq!(closed.unwrap_err().status(), Status::Timeout, "{what}"),
            }
            assert_eq!(node.state(), ConnectionState::Closed, "{what}");
            assert!(events.iter().any(|event| matches!(event, ConnectionEvent::Closed(_))), "{what}");
            assert_eq!(up.write(id, 2, b""), Err(Status::Closed), "{what}");
        }
    }
}

#[test]
fn handles_that_are_dropped_while_a_token_is_waited_for_end_the_connection() {
    let world = World::new();
    let mut options = world.options("node");
    let requests = Arc::new(Mutex::new(Vec::new()));
    let kept = requests.clone();
    options.token = TokenSource::Callback(Arc::new(move |request| {
        let mut requests = kept.lock().unwrap();
        // Only the first is answered.
        match requests.is_empty() {
            true => {
                requests.push(None);
                request.resolve(String::new());
            }
            false => requests.push(Some(request)),
        }
    }));
    let events = watch(&mut options);
    let node = Connection::connect_wait(options, Some(LIMIT)).unwrap();
    world.proxy.cut(Cut::Finish);
    eventually("the question for a token", || requests.lock().unwrap().len() == 2);
    assert_eq!(world.proxy.accepted(), 1, "no attempt without a token");
    drop(node);
    let end = events.iter().find_map(|event| match event {
        ConnectionEvent::Closed(error) => Some(error),
        _ => None,
    });
    assert!(end.unwrap().is_none());
}

#[test]
fn an_outage_without_end_is_given_up_as_the_options_say() {
    let world = World::new();
    let mut options = world.options("node");
    options.config.reconnect.attempts = 3;
    let events = watch(&mut options);
    let node = Connection::connect_wait(options, Some(LIMIT)).unwrap();
    let down = reader(&node, "nobody", DownstreamOptions::default());
    world.proxy.refuse(true);
    world.proxy.cut(Cut::Reset);
    let error = down.next_chunk(Some(LIMIT)).unwrap_err();
    assert_eq!(error.status(), Status::ConnectFailed, "{error}");
    assert!(error.message().contains("3 attempts"), "{error}");
    let mut attempts = Vec::new();
    let end: Option<Error> = events
        .iter()
        .find_map(|event| match event {
            ConnectionEvent::Reconnecting { attempt, .. } => {
                attempts.push(attempt);
                None
            }
            ConnectionEvent::Closed(error) => Some(error),
            _ => None,
        })
        .unwrap();
    assert_eq!((attempts, end.unwrap().status()), (vec![1, 2, 3], Status::ConnectFailed));
    assert_eq!(node.state(), ConnectionState::Closed);
}

#[test]
fn the_first_connection_is_not_attempted_twice() {
    let world = World::new();
    world.proxy.refuse(true);
    let error = Connection::connect_wait(world.options("node"), Some(LIMIT)).map(drop).unwrap_err();
    assert_eq!(error.status(), Status::ConnectFailed);
    let mut options = world.options("node");
    options.config.reconnect.min_interval = Duration::from_secs(1);
    let error = Connection::connect_wait(options, Some(LIMIT)).map(drop).unwrap_err();
    assert!(error.message().contains("reconnect_min_interval"), "{error}");
    drop(world.broker);
}
