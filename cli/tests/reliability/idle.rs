//! Many clients that are connected and do nothing.

use std::sync::mpsc;

use iscp::client::{Completion, ConnectOptions, Connection};
use nix::sys::resource::{Resource, getrlimit, setrlimit};

use crate::restarts::Broker;
use crate::support::{LIMIT, full};

#[test]
fn idle_connections_cost_a_broker_little() {
    let count: usize = if full() { 5000 } else { 200 };
    // For the broker, which inherits it, and for the clients.
    let (_, most) = getrlimit(Resource::RLIMIT_NOFILE).unwrap();
    assert!(most as usize > count + 100, "the system allows {most} descriptors");
    setrlimit(Resource::RLIMIT_NOFILE, most, most).unwrap();
    let broker = Broker::start(None);
    let before = broker.resident();
    let (sender, connected) = mpsc::channel();
    for number in 0..count {
        let mut options = broker.options();
        options.config.node_id = format!("node-{number}");
        let sender = sender.clone();
        let done = Completion::call(move |outcome: iscp::error::Result<Connection>| {
            sender.send(outcome.unwrap()).unwrap();
        });
        Connection::connect(ConnectOptions { connect_timeout: LIMIT, ..options }, done).unwrap();
    }
    let connections: Vec<_> = (0..count).map(|_| connected.recv_timeout(LIMIT).unwrap()).collect();
    let each = (broker.resident() - before) / count as u64;
    println!("{} idle connections: {each} bytes of the broker's memory each", connections.len());
    assert!(each < 64 << 10, "{each} bytes");
}
