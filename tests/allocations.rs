//! What writing points allocates: nothing, once the buffers have grown.

use std::alloc::{GlobalAlloc, Layout, System};
use std::cell::Cell;
use std::time::Duration;

use iscp::client::{Completion, ConnectOptions, Connection, FullPolicy, Upstream, UpstreamOptions};
use iscp::core::{FlushLevel, FlushPolicy};
use iscp::message::{DataId, Qos};
use iscp::transport::Scheme;
use iscp_broker::{Listener, Server, ServerConfig};

const LIMIT: Duration = Duration::from_secs(20);

thread_local! {
    static ALLOCATIONS: Cell<u64> = const { Cell::new(0) };
}

/// Counts the allocations of each thread.
struct Counting;

#[global_allocator]
static GLOBAL: Counting = Counting;

// SAFETY: everything is handed to the system's allocator unchanged.
unsafe impl GlobalAlloc for Counting {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        ALLOCATIONS.set(ALLOCATIONS.get() + 1);
        // SAFETY: the caller's promise is handed on.
        unsafe { System.alloc(layout) }
    }

    unsafe fn dealloc(&self, pointer: *mut u8, layout: Layout) {
        // SAFETY: the caller's promise is handed on.
        unsafe { System.dealloc(pointer, layout) }
    }

    unsafe fn realloc(&self, pointer: *mut u8, layout: Layout, size: usize) -> *mut u8 {
        ALLOCATIONS.set(ALLOCATIONS.get() + 1);
        // SAFETY: the caller's promise is handed on.
        unsafe { System.realloc(pointer, layout, size) }
    }
}

fn wait<T: Send + 'static>(start: impl FnOnce(Completion<T>) -> iscp::error::Result<()>) -> T {
    let (done, waiter) = Completion::waiter().unwrap();
    start(done).unwrap();
    waiter.wait(Some(LIMIT)).unwrap()
}

/// Allocations of this thread in the second of two equal rounds of writes.
fn second_round(upstream: &Upstream, write: impl Fn(i64)) -> u64 {
    let mut counts = [0; 2];
    for count in &mut counts {
        let before = ALLOCATIONS.get();
        (0..1000).for_each(&write);
        *count = ALLOCATIONS.get() - before;
        wait(|done| upstream.flush(FlushLevel::Acknowledged, LIMIT, done));
    }
    assert!(counts[0] > 0, "buffers grow in the first round, so allocations are counted");
    counts[1]
}

#[test]
fn writes_do_not_allocate_in_steady_state() {
    let broker = Server::start(ServerConfig {
        listeners: vec![Listener::new(Scheme::Ws, ([127, 0, 0, 1], 0))],
        ..ServerConfig::default()
    })
    .unwrap();
    let options = ConnectOptions { url: broker.url(Scheme::Ws), ..ConnectOptions::default() };
    let connection = Connection::connect_wait(options, Some(LIMIT)).unwrap();
    for (qos, full) in [
        (Qos::Reliable, FullPolicy::Block(LIMIT)),
        (Qos::Unreliable, FullPolicy::Fail),
        (Qos::Unreliable, FullPolicy::DropOldest),
        (Qos::Unreliable, FullPolicy::DropNewest),
    ] {
        let mut options =
            UpstreamOptions { full, on_chunk: Some(Box::new(drop)), ..UpstreamOptions::default() };
        options.config.qos = qos;
        options.config.flush_policy = FlushPolicy::None;
        let upstream = wait(|done| connection.open_upstream(options, done));
        let [a, b, c] = ["a", "b", "c"].map(|name| upstream.data_id(DataId::new(name, "t")).unwrap());
        let one = second_round(&upstream, |time| upstream.write(a, time, &[7; 32]).unwrap());
        let many = second_round(&upstream, |time| {
            let points = [(b, time, &[7; 32][..]), (b, time + 1, b"")];
            upstream.write_all(points.into_iter(), false).unwrap();
        });
        let together = second_round(&upstream, |time| {
            let points = [(a, time, &[7; 32][..]), (c, time, &[7; 64])];
            upstream.write_all(points.into_iter(), true).unwrap();
        });
        // The first of a round tells the connection that there is something, by a queue that grows in blocks.
        assert!(one <= 1 && many <= 1 && together <= 1, "{full:?}: {one} {many} {together} in 1000 writes");
        assert_eq!(upstream.dropped(), 0);
        wait(|done| upstream.close(false, done));
    }
}
