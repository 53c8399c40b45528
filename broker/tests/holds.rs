//! Clients of this library whose readers are slower than their senders, and a broker that lets the senders wait
//! (docs/flow.md).

mod support;

use std::thread;
use std::time::Duration;

use iscp::client::{
    Completion, ConnectOptions, Connection, Downstream, DownstreamOptions, FullPolicy, Upstream,
    UpstreamOptions,
};
use iscp::core::FlushLevel;
use iscp::error::Status;
use iscp::message::{DataFilter, DataId, DownstreamFilter, Qos};
use iscp::transport::Scheme;
use iscp_broker::ServerHandle;
use support::{PATIENCE, start};

const POINT: usize = 16 * 1024;
const POINTS: i64 = 1_000;

fn connect(server: &ServerHandle, node: &str) -> Connection {
    let mut options = ConnectOptions { url: server.url(Scheme::Ws), ..ConnectOptions::default() };
    options.config.node_id = node.to_owned();
    options.config.reconnect.enabled = false;
    Connection::connect_wait(options, Some(PATIENCE)).unwrap()
}

fn reader(connection: &Connection) -> Downstream {
    let mut options = DownstreamOptions::default();
    options.config.qos = Qos::Reliable;
    options.config.filters = vec![DownstreamFilter {
        source_node_id: "sender".to_owned(),
        data_filters: vec![DataFilter { name: "#".to_owned(), kind: "#".to_owned() }],
    }];
    let (done, waiter) = Completion::waiter().unwrap();
    connection.open_downstream(options, done).unwrap();
    waiter.wait(Some(PATIENCE)).unwrap()
}

fn sender(connection: &Connection, wait: Duration) -> Upstream {
    let mut options = UpstreamOptions { full: FullPolicy::Block(wait), ..UpstreamOptions::default() };
    options.config.qos = Qos::Reliable;
    options.config.buffer_limit = 1 << 20;
    options.config.in_flight_limit = 1 << 20;
    let (done, waiter) = Completion::waiter().unwrap();
    connection.open_upstream(options, done).unwrap();
    waiter.wait(Some(PATIENCE)).unwrap()
}

#[test]
fn writes_wait_for_a_reader_that_pauses_and_nothing_is_lost() {
    let server = start(|config| {
        config.core.timing.hold = Duration::from_secs(600);
        config.core.limits.reliable_queue_bytes = 4 << 20;
        config.core.limits.reliable_window_bytes = 256 << 10;
    });
    let (sending, reading) = (connect(&server, "sender"), connect(&server, "reader"));
    let reader = reader(&reading);
    let sender = sender(&sending, Duration::from_millis(500));
    let id = sender.data_id(DataId::new("name", "type")).unwrap();
    let payload = vec![7; POINT];
    // Nobody reads, so there comes a write that finds no space.
    let mut next = 0;
    let full = loop {
        match sender.write(id, next, &payload) {
            Ok(()) => next += 1,
            Err(status) => break status,
        }
        assert!(next < POINTS, "everything was taken, far more than there is room for");
    };
    assert_eq!(full, Status::Timeout);
    let writer = thread::spawn(move || {
        while next < POINTS {
            match sender.write(id, next, &payload) {
                Ok(()) => next += 1,
                Err(status) => assert_eq!(status, Status::Timeout),
            }
        }
        let (done, waiter) = Completion::waiter().unwrap();
        sender.flush(FlushLevel::Acknowledged, PATIENCE, done).unwrap();
        waiter.wait(Some(PATIENCE)).unwrap();
    });
    let mut received = 0;
    while received < POINTS {
        let chunk = reader.next_chunk(Some(PATIENCE)).unwrap();
        for point in chunk.groups.iter().flat_map(|group| group.points.iter()) {
            assert_eq!((point.elapsed_time, point.payload.len()), (received, POINT));
            received += 1;
        }
    }
    writer.join().unwrap();
}
