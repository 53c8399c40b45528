//! A broker on several threads: the tests of one on one thread once more, and that the threads share the work.

#![allow(clippy::duplicate_mod, reason = "each of these is a test program too, with what it needs")]

#[path = "groups.rs"]
mod groups;
#[path = "holds.rs"]
mod holds;
#[path = "websocket.rs"]
mod websocket;

mod support;

use std::collections::BTreeMap;
use std::fs;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use iscp::message::{Message, Qos};
use support::{Client, PATIENCE, chunk, open_upstream, run, start};

/// Connections that send without a pause.
const SENDERS: usize = 4;
/// What a thread does for connections, at least, to count as one that carries some: far more than to be started,
/// or woken in vain.
const WORK: Duration = Duration::from_millis(20);

/// How long each thread of the process with a name that begins with `prefix` has run so far.
fn running(prefix: &str) -> BTreeMap<String, Duration> {
    let threads = fs::read_dir("/proc/self/task").unwrap();
    let threads = threads.filter_map(|thread| {
        let path = thread.unwrap().path();
        let name = fs::read_to_string(path.join("comm")).ok()?.trim().to_owned();
        // Nanoseconds on a processor come first.
        let schedule = fs::read_to_string(path.join("schedstat")).ok()?;
        let ran = schedule.split_whitespace().next()?.parse().ok()?;
        Some((name, Duration::from_nanos(ran)))
    });
    threads.filter(|(name, _)| name.starts_with(prefix)).collect()
}

#[test]
fn every_thread_carries_connections() {
    const THREADS: usize = 3;
    let server = start(|config| config.threads = THREADS);
    let stop = AtomicBool::new(false);
    thread::scope(|scope| {
        for sender in 0..SENDERS {
            let (server, stop) = (&server, &stop);
            scope.spawn(move || {
                run(async {
                    let mut client = Client::connect(server, &format!("sender-{sender}")).await;
                    let alias = open_upstream(&mut client, Qos::Reliable).await.stream_id_alias;
                    let mut number = 0;
                    while !stop.load(Ordering::Relaxed) {
                        for _ in 0..50 {
                            number += 1;
                            client.send(chunk(alias, number, &[7; 1000])).await;
                        }
                        let mut acknowledged = 0;
                        while acknowledged < 50 {
                            if let Message::UpstreamChunkAck(ack) = client.next().await.unwrap() {
                                acknowledged += ack.results.len();
                            }
                        }
                    }
                });
            });
        }
        // Other brokers of this process may have more threads, of which one number can be taken for another's.
        let deadline = Instant::now() + PATIENCE;
        let worked = loop {
            let worked: Vec<_> = (1..=THREADS)
                .filter(|number| running(&format!("iscp-broker-{number}")).values().any(|ran| *ran >= WORK))
                .collect();
            if worked.len() == THREADS || Instant::now() > deadline {
                break worked;
            }
            thread::sleep(Duration::from_millis(10));
        };
        stop.store(true, Ordering::Relaxed);
        assert_eq!(worked, [1, 2, 3]);
    });
}
