//! A reader that sleeps while much more than memory is sent to it.

use std::sync::atomic::Ordering::Relaxed;
use std::thread;
use std::time::{Duration, Instant};

use iscp::client::ConnectOptions;
use iscp::core::{FlushLevel, FlushPolicy};
use iscp::message::DataId;
use iscp::transport::Scheme;
use iscp_broker::{Listener, Server, ServerConfig};

use crate::support::{LIMIT, connect, downstream_options, full, most_resident, upstream_options, wait};

const POINT: usize = 64 << 10;

/// Payload of a point, of which every byte tells its number.
fn payload(number: u64) -> Vec<u8> {
    (0..POINT as u64).map(|at| (number * 31 + at) as u8).collect()
}

#[test]
fn a_sleeping_reader_loses_nothing_and_costs_no_memory() {
    let (sleep, points) =
        if full() { (30, (2 << 30) / POINT as u64) } else { (3, (512 << 20) / POINT as u64) };
    let mut config = ServerConfig {
        listeners: vec![Listener::new(Scheme::Ws, ([127, 0, 0, 1], 0))],
        ..ServerConfig::default()
    };
    config.core.timing.hold = LIMIT;
    let broker = Server::start(config).unwrap();
    let options = || ConnectOptions { url: broker.url(Scheme::Ws), ..ConnectOptions::default() };
    let (source, reader) = (connect(options(), "source"), connect(options(), "reader"));
    let downstream = wait(|done| reader.open_downstream(downstream_options("source"), done)).unwrap();
    let upstream = wait(|done| {
        source.open_upstream(upstream_options(FlushPolicy::Interval(Duration::from_millis(5))), done)
    })
    .unwrap();
    let id = upstream.data_id(DataId::new("0", "frame")).unwrap();
    let before = most_resident();
    let writer = thread::spawn(move || {
        for number in 0..points {
            upstream.write(id, number as i64, &payload(number)).unwrap();
        }
        wait(|done| upstream.flush(FlushLevel::Acknowledged, LIMIT, done)).unwrap();
    });
    // What the test is about, and nothing that waits for something.
    thread::sleep(Duration::from_secs(sleep));
    assert!(!writer.is_finished(), "the writer was held up");
    let started = Instant::now();
    let mut number = 0;
    while number < points {
        let chunk = downstream.next_chunk(Some(LIMIT)).unwrap();
        for point in chunk.groups.iter().flat_map(|group| group.points.iter()) {
            assert!(
                point.elapsed_time == number as i64 && point.payload == payload(number),
                "point {number}"
            );
            number += 1;
        }
    }
    writer.join().unwrap();
    let grown = most_resident() - before;
    let losses = source.counters().losses.load(Relaxed) + reader.counters().losses.load(Relaxed);
    println!(
        "a reader that slept {sleep} s: {} MiB, each point once and in order, read in {:.0} s; memory of client and \
         broker grew by {} MiB at most; {} connections lost",
        (points * POINT as u64) >> 20,
        started.elapsed().as_secs_f64(),
        grown >> 20,
        losses
    );
    // Buffers and windows of both connections and of the broker, see docs/flow.md. Without `full` other tests use
    // the memory of the process meanwhile.
    assert!(!full() || grown < 224 << 20, "{grown} bytes");
    assert_eq!(losses, 0, "keep-alive works meanwhile");
}
