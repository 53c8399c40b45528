//! A server that is away for long.

use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering::Relaxed};
use std::thread;
use std::time::{Duration, Instant};

use iscp::client::{ConnectOptions, ConnectionEvent};
use iscp::transport::Scheme;
use iscp_broker::{Listener, Server, ServerConfig};
use iscp_chaos::{Cut, Proxy};

use crate::support::{LIMIT, Reader, Writer, connect, full, resident, threads_and_descriptors};

#[test]
fn attempts_that_fail_leave_nothing_behind() {
    let attempts = if full() { 10_000 } else { 500 };
    let broker = Server::start(ServerConfig {
        listeners: vec![Listener::new(Scheme::Ws, ([127, 0, 0, 1], 0))],
        ..ServerConfig::default()
    })
    .unwrap();
    let address = broker.address(Scheme::Ws).unwrap().to_string();
    let proxy = Proxy::tcp(address.clone()).unwrap();
    let reader =
        connect(ConnectOptions { url: broker.url(Scheme::Ws), ..ConnectOptions::default() }, "reader");
    let reader = Reader::start(&reader, "source");

    let attempt = Arc::new(AtomicU32::new(0));
    let told = attempt.clone();
    let url = broker.url(Scheme::Ws).replace(&address, &proxy.address().to_string());
    let mut options = ConnectOptions { url, ..ConnectOptions::default() };
    options.config.reconnect.min_interval = Duration::from_millis(1);
    options.config.reconnect.max_interval = Duration::from_millis(1);
    options.on_event = Some(Arc::new(move |dated| {
        if let ConnectionEvent::Reconnecting { attempt, .. } = dated.event {
            told.store(attempt, Relaxed);
        }
    }));
    let source = connect(options, "source");
    let writer = Writer::start(&source, 0);

    proxy.refuse(true);
    proxy.cut(Cut::Reset);
    let until = |number: u32| {
        let deadline = Instant::now() + LIMIT;
        while attempt.load(Relaxed) < number {
            assert!(Instant::now() < deadline, "{} of {number} attempts", attempt.load(Relaxed));
            thread::sleep(Duration::from_millis(1));
        }
        (resident(), threads_and_descriptors())
    };
    // The buffer of the stream is full by then, and the allocator has what it wants.
    let (memory, early) = until(attempts / 5);
    let (memory_late, late) = until(attempts);
    println!(
        "{attempts} failed attempts: {memory} then {memory_late} bytes; threads, descriptors {early:?}, {late:?}"
    );
    if full() {
        // Otherwise other tests use memory, threads and descriptors of the process meanwhile.
        assert!(memory_late < memory + (16 << 20), "memory grew from {memory} to {memory_late} bytes");
        // A socket of an attempt may be open at either moment.
        assert!(late.0 <= early.0 && late.1 <= early.1 + 1, "{early:?}, then {late:?}");
    }

    proxy.refuse(false);
    let written = writer.finish();
    assert_eq!(reader.finish(written)["0"], written);
}
