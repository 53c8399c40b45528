//! The client against the broker over real sockets.

use std::io::{Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::os::fd::{BorrowedFd, RawFd};
use std::sync::{Arc, Barrier, mpsc};
use std::time::{Duration, Instant};

use iscp::client::{
    Completion, ConnectOptions, Connection, Downstream, DownstreamOptions, OutgoingCall, Upstream,
    UpstreamOptions,
};
use iscp::core::{FlushLevel, FlushPolicy};
use iscp::error::{Result, Status};
use iscp::message::{BaseTime, DataFilter, DataId, DownstreamFilter, Metadata, Qos};
use iscp::transport::Scheme;
use iscp_broker::{Listener, Server, ServerConfig, ServerHandle};
use nix::poll::{PollFd, PollFlags, PollTimeout};
use socket2::SockRef;

const LIMIT: Duration = Duration::from_secs(20);

fn broker() -> ServerHandle {
    Server::start(ServerConfig {
        listeners: vec![Listener::new(Scheme::Ws, ([127, 0, 0, 1], 0))],
        ..ServerConfig::default()
    })
    .unwrap()
}

fn options(broker: &ServerHandle, node: &str) -> ConnectOptions {
    let mut options = ConnectOptions { url: broker.url(Scheme::Ws), ..ConnectOptions::default() };
    options.config.node_id = node.to_owned();
    options
}

fn connect(broker: &ServerHandle, node: &str) -> Connection {
    Connection::connect_wait(options(broker, node), Some(LIMIT)).unwrap()
}

fn wait<T: Send + 'static>(start: impl FnOnce(Completion<T>) -> Result<()>) -> Result<T> {
    let (done, waiter) = Completion::waiter()?;
    start(done)?;
    waiter.wait(Some(LIMIT))
}

fn upstream(connection: &Connection, qos: Qos, flush_policy: FlushPolicy) -> Upstream {
    let mut options = UpstreamOptions::default();
    options.config.qos = qos;
    options.config.flush_policy = flush_policy;
    options.config.session_id = "session".to_owned();
    wait(|done| connection.open_upstream(options, done)).unwrap()
}

fn downstream(connection: &Connection, node: &str, qos: Qos) -> Downstream {
    let mut options = DownstreamOptions::default();
    options.config.qos = qos;
    options.config.filters = vec![DownstreamFilter {
        source_node_id: node.to_owned(),
        data_filters: vec![DataFilter { name: "#".to_owned(), kind: "#".to_owned() }],
    }];
    wait(|done| connection.open_downstream(options, done)).unwrap()
}

/// Reads until `count` points have arrived: data id, elapsed time and payload of each, in order.
fn read_points(downstream: &Downstream, count: usize) -> Vec<(DataId, i64, Vec<u8>)> {
    let mut points = Vec::new();
    while points.len() < count {
        let chunk = downstream.next_chunk(Some(LIMIT)).unwrap();
        for group in &chunk.groups {
            for point in group.points.iter() {
                points.push(((*group.data_id).clone(), point.elapsed_time, point.payload.to_vec()));
            }
        }
    }
    points
}

#[test]
fn points_arrive_intact_and_in_order_with_every_qos_and_flush_policy() {
    let broker = broker();
    let (source, reader) = (connect(&broker, "source"), connect(&broker, "reader"));
    let policies = [
        FlushPolicy::None,
        FlushPolicy::Interval(Duration::from_millis(5)),
        FlushPolicy::Size(100),
        FlushPolicy::IntervalOrSize(Duration::from_millis(5), 100),
        FlushPolicy::Immediate,
    ];
    for qos in [Qos::Unreliable, Qos::Reliable, Qos::Partial] {
        for policy in policies {
            let down = downstream(&reader, "source", qos);
            let up = upstream(&source, qos, policy);
            let id = up.data_id(DataId::new("n", "t")).unwrap();
            for i in 0..100_i64 {
                up.write(id, i - 50, format!("payload {i}").as_bytes()).unwrap();
            }
            wait(|done| up.flush(FlushLevel::Acknowledged, LIMIT, done)).unwrap();
            let points = read_points(&down, 100);
            for (i, point) in (0..).zip(&points) {
                assert_eq!(*point, (DataId::new("n", "t"), i - 50, format!("payload {i}").into_bytes()));
            }
            wait(|done| up.close(false, done)).unwrap();
            wait(|done| down.close(done)).unwrap();
        }
    }
    wait(|done| source.close(done)).unwrap();
    assert_eq!(source.state(), iscp::client::ConnectionState::Closed);
}

#[test]
fn metadata_tells_of_streams_and_base_times() {
    let broker = broker();
    let (source, reader) = (connect(&broker, "source"), connect(&broker, "reader"));
    let down = downstream(&reader, "source", Qos::Reliable);
    let up = upstream(&source, Qos::Reliable, FlushPolicy::Immediate);
    let base_time = BaseTime {
        session_id: "session".to_owned(),
        name: "edge_rtc".to_owned(),
        priority: 1000,
        elapsed_time_ns: 5,
        base_time_ns: 1_700_000_000_000_000_000,
    };
    wait(|done| source.send_base_time(base_time.clone(), true, done)).unwrap();
    wait(|done| up.close(true, done)).unwrap();
    let next = || down.next_metadata(Some(LIMIT)).unwrap();
    assert!(
        matches!(next().metadata, Metadata::UpstreamOpen { stream_id, .. } if stream_id == up.stream_id())
    );
    let received = next();
    assert_eq!(
        (received.source_node_id.as_str(), received.metadata),
        ("source", Metadata::BaseTime(base_time))
    );
    assert!(matches!(next().metadata, Metadata::UpstreamNormalClose { total_data_points: 0, .. }));
}

#[test]
fn a_burst_is_carried_within_the_buffer_limit() {
    let broker = broker();
    let (source, reader) = (connect(&broker, "source"), connect(&broker, "reader"));
    let down = downstream(&reader, "source", Qos::Reliable);
    let up = upstream(&source, Qos::Reliable, FlushPolicy::default());
    let id = up.data_id(DataId::new("n", "t")).unwrap();
    let writer = std::thread::spawn(move || {
        for i in 0..500_000_i64 {
            up.write(id, i, &[7; 32]).unwrap();
        }
        wait(|done| up.close(false, done)).unwrap();
    });
    let mut next = 0;
    while next < 500_000 {
        for group in &down.next_chunk(Some(LIMIT)).unwrap().groups {
            for span in group.points.spans() {
                assert_eq!((span.elapsed_time, span.len), (next, 32));
                next += 1;
            }
        }
    }
    writer.join().unwrap();
}

/// Around the size from which points are put together before they come into the buffer, with little room in it.
#[test]
fn points_of_every_size_keep_their_order_when_several_threads_write() {
    const SIZES: [usize; 7] = [0, 300_000, 10, 65_535, 65_536, 32_768, 65_537];
    const EACH: i64 = 140;
    let broker = broker();
    let (source, reader) = (connect(&broker, "source"), connect(&broker, "reader"));
    let down = downstream(&reader, "source", Qos::Reliable);
    let mut options = UpstreamOptions::default();
    options.config.qos = Qos::Reliable;
    options.config.buffer_limit = 400_000;
    let up = Arc::new(wait(|done| source.open_upstream(options, done)).unwrap());
    let payload = |writer: u8, i: i64| vec![writer ^ i as u8; SIZES[i as usize % SIZES.len()]];
    let writers = [0, 1, 2].map(|writer| {
        let up = up.clone();
        // Two of them write points of the same data id.
        let id = up.data_id(DataId::new((writer / 2).to_string(), "t")).unwrap();
        std::thread::spawn(move || {
            for i in 0..EACH {
                up.write(id, i64::from(writer) * EACH + i, &payload(writer, i)).unwrap();
            }
        })
    });
    let points = read_points(&down, 3 * EACH as usize);
    for writer in writers {
        writer.join().unwrap();
    }
    let mut next = [0; 3];
    for (id, elapsed_time, bytes) in points {
        let (writer, i) = ((elapsed_time / EACH) as u8, elapsed_time % EACH);
        assert_eq!((i, id), (next[usize::from(writer)], DataId::new((writer / 2).to_string(), "t")));
        assert!(bytes == payload(writer, i), "point {i} of writer {writer}, {} bytes", bytes.len());
        next[usize::from(writer)] += 1;
    }
    assert_eq!(next, [EACH; 3]);
}

#[test]
fn everything_ends_with_the_broker_unless_the_connection_is_made_anew() {
    let broker = broker();
    let [source, reader] = ["source", "reader"].map(|node| {
        let mut options = options(&broker, node);
        options.config.reconnect.enabled = false;
        Connection::connect_wait(options, Some(LIMIT)).unwrap()
    });
    let down = downstream(&reader, "source", Qos::Reliable);
    let up = upstream(&source, Qos::Reliable, FlushPolicy::None);
    let id = up.data_id(DataId::new("n", "t")).unwrap();
    up.write(id, 1, b"never sent").unwrap();
    drop(broker);
    let error = down.next_chunk(Some(LIMIT)).unwrap_err();
    assert_eq!(error.status(), Status::ConnectionLost, "{error}");
    let error = wait(|done| up.flush(FlushLevel::Acknowledged, LIMIT, done)).unwrap_err();
    assert!(matches!(error.status(), Status::ConnectionLost | Status::Closed), "{error}");
    assert_eq!(up.write(id, 2, b"x"), Err(Status::Closed));
}

#[test]
fn a_slow_handler_does_not_starve_the_other_callbacks_of_its_connection() {
    let broker = broker();
    let (source, reader) = (connect(&broker, "source"), connect(&broker, "reader"));
    let down = downstream(&reader, "source", Qos::Unreliable);
    let (arrived, handled) = mpsc::channel();
    let gate = Arc::new(Barrier::new(2));
    let inside = gate.clone();
    down.on_chunk(Box::new(move |_| {
        let _ = arrived.send(());
        inside.wait();
    }))
    .unwrap();
    let up = upstream(&source, Qos::Reliable, FlushPolicy::Immediate);
    let id = up.data_id(DataId::new("n", "t")).unwrap();
    let write = |time| {
        up.write(id, time, b"x").unwrap();
        wait(|done| up.flush(FlushLevel::Acknowledged, LIMIT, done)).unwrap();
    };
    write(0);
    handled.recv_timeout(LIMIT).unwrap();
    // The handler is busy. A completion queues up behind it, and more chunks behind that.
    let (told, answer) = mpsc::channel();
    let report = Completion::call(move |outcome| drop(told.send(outcome)));
    reader.send_base_time(BaseTime::default(), false, report).unwrap();
    let mut time = 0;
    let outcome = loop {
        time += 1;
        write(time);
        gate.wait();
        if let Ok(outcome) = answer.try_recv() {
            break outcome;
        }
        assert!(time < 1000, "a chunk always came first");
        handled.recv_timeout(LIMIT).unwrap();
    };
    outcome.unwrap();
    // Let the handler run out of chunks.
    drop(broker);
    while handled.recv_timeout(LIMIT).is_ok() {
        gate.wait();
    }
}

/// Whether a descriptor polls readable at this moment.
fn is_readable(descriptor: RawFd) -> bool {
    // SAFETY: the descriptor belongs to a downstream that outlives the borrow.
    let descriptor = unsafe { BorrowedFd::borrow_raw(descriptor) };
    let mut poll = [PollFd::new(descriptor, PollFlags::POLLIN)];
    nix::poll::poll(&mut poll, PollTimeout::ZERO).unwrap() == 1
}

#[test]
fn the_descriptor_is_quiet_when_chunks_go_to_a_handler() {
    let broker = broker();
    let (source, reader) = (connect(&broker, "source"), connect(&broker, "reader"));
    let down = downstream(&reader, "source", Qos::Reliable);
    let (arrived, handled) = mpsc::channel();
    down.on_chunk(Box::new(move |chunk| drop(arrived.send(chunk)))).unwrap();
    let descriptor = down.pollable().unwrap();
    let up = upstream(&source, Qos::Reliable, FlushPolicy::Immediate);
    let metadata = down.next_metadata(Some(LIMIT)).unwrap();
    assert!(matches!(metadata.metadata, Metadata::UpstreamOpen { .. }));
    let id = up.data_id(DataId::new("n", "t")).unwrap();
    up.write(id, 0, b"x").unwrap();
    handled.recv_timeout(LIMIT).unwrap();
    assert!(!is_readable(descriptor));
    wait(|done| up.close(false, done)).unwrap();
    let deadline = Instant::now() + LIMIT;
    while !is_readable(descriptor) {
        assert!(Instant::now() < deadline, "the metadata of the close does not show");
        std::thread::yield_now();
    }
}

/// Carries a connection to `target` whose uplink takes `rate` bytes a second.
fn slow_uplink(target: SocketAddr, rate: usize) -> SocketAddr {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    // Small, so that what the link has not carried yet stays with the sender.
    SockRef::from(&listener).set_recv_buffer_size(32 * 1024).unwrap();
    let address = listener.local_addr().unwrap();
    std::thread::spawn(move || {
        let (mut client, _) = listener.accept().unwrap();
        let mut server = TcpStream::connect(target).unwrap();
        let (mut down, mut back) = (server.try_clone().unwrap(), client.try_clone().unwrap());
        std::thread::spawn(move || drop(std::io::copy(&mut down, &mut back)));
        let mut buffer = vec![0; rate / 50];
        while let Ok(length @ 1..) = client.read(&mut buffer) {
            if server.write_all(&buffer[..length]).is_err() {
                return;
            }
            // What makes the link slow, not a wait for something.
            std::thread::sleep(Duration::from_secs_f64(length as f64 / rate as f64));
        }
    });
    address
}

#[test]
fn a_saturated_uplink_is_not_taken_for_a_dead_connection() {
    let broker = broker();
    let link = slow_uplink(broker.address(Scheme::Ws).unwrap(), 300_000);
    let mut options = ConnectOptions { url: format!("ws://{link}"), ..ConnectOptions::default() };
    options.config.node_id = "source".to_owned();
    options.config.ping_interval = Duration::from_secs(1);
    options.config.ping_timeout = Duration::from_secs(1);
    let source = Connection::connect_wait(options, Some(LIMIT)).unwrap();
    let up = upstream(&source, Qos::Reliable, FlushPolicy::None);
    let id = up.data_id(DataId::new("n", "t")).unwrap();
    for time in 0..10 {
        up.write(id, time, &[7; 100_000]).unwrap();
    }
    // Two chunks, each of which takes longer than the ping time-out: nothing is heard meanwhile.
    wait(|done| up.close(false, done)).unwrap();
}

#[test]
fn a_handler_that_panics_ends_nothing() {
    let broker = broker();
    let (source, reader) = (connect(&broker, "source"), connect(&broker, "reader"));
    let down = downstream(&reader, "source", Qos::Reliable);
    let (told, handled) = mpsc::channel();
    let arrived = told.clone();
    down.on_chunk(Box::new(move |chunk| {
        arrived.send(chunk.sequence_number.to_string()).unwrap();
        panic!("on purpose");
    }))
    .unwrap();
    reader
        .on_call(Box::new(move |call| {
            told.send(call.name).unwrap();
            panic!("on purpose");
        }))
        .unwrap();
    let up = upstream(&source, Qos::Reliable, FlushPolicy::Immediate);
    let id = up.data_id(DataId::new("n", "t")).unwrap();
    for number in 1..=3 {
        up.write(id, number, b"x").unwrap();
        assert_eq!(handled.recv_timeout(LIMIT).unwrap(), number.to_string());
        wait(|done| source.send_call(OutgoingCall::new("reader", "name", "t", ""), done)).unwrap();
        assert_eq!(handled.recv_timeout(LIMIT).unwrap(), "name");
    }
    wait(|done| reader.send_base_time(BaseTime::default(), false, done)).unwrap();
    wait(|done| down.close(done)).unwrap();
    wait(|done| reader.close(done)).unwrap();
}

#[test]
fn a_read_that_times_out_ends_nothing() {
    let broker = broker();
    let (source, reader) = (connect(&broker, "source"), connect(&broker, "reader"));
    let down = downstream(&reader, "source", Qos::Reliable);
    let short = Some(Duration::from_millis(5));
    for _ in 0..2 {
        assert_eq!(down.next_chunk(short).unwrap_err().status(), Status::Timeout);
        assert_eq!(down.next_metadata(short).unwrap_err().status(), Status::Timeout);
    }
    let up = upstream(&source, Qos::Reliable, FlushPolicy::Immediate);
    let id = up.data_id(DataId::new("n", "t")).unwrap();
    up.write(id, 1, b"x").unwrap();
    assert_eq!(read_points(&down, 1).len(), 1);
    down.next_metadata(Some(LIMIT)).unwrap();
}
