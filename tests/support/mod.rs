//! What several integration tests need.

use std::time::Duration;

use iscp::client::{Completion, ConnectOptions, Connection};
use iscp::error::Result;
use iscp::transport::Scheme;
use iscp_broker::core::Limits;
use iscp_broker::{Listener, Server, ServerConfig, ServerHandle};

/// Longer than anything takes on a busy machine.
pub(crate) const LIMIT: Duration = Duration::from_secs(20);

/// A broker on a port of its own.
pub(crate) fn broker(limits: Limits) -> ServerHandle {
    let mut config = ServerConfig {
        listeners: vec![Listener::new(Scheme::Ws, ([127, 0, 0, 1], 0))],
        ..ServerConfig::default()
    };
    config.core.limits = limits;
    Server::start(config).unwrap()
}

/// A connection as a node, with something more to set.
pub(crate) fn connect(
    broker: &ServerHandle,
    node: &str,
    adjust: impl FnOnce(&mut ConnectOptions),
) -> Connection {
    let mut options = ConnectOptions { url: broker.url(Scheme::Ws), ..ConnectOptions::default() };
    options.config.node_id = node.to_owned();
    adjust(&mut options);
    Connection::connect_wait(options, Some(LIMIT)).unwrap()
}

/// Waits for the end of an operation.
pub(crate) fn wait<T: Send + 'static>(start: impl FnOnce(Completion<T>) -> Result<()>) -> Result<T> {
    let (done, waiter) = Completion::waiter()?;
    start(done)?;
    waiter.wait(Some(LIMIT))
}
