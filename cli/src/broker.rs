//! `iscp broker`.

use std::io::{self, ErrorKind, Write};
use std::net::{SocketAddr, ToSocketAddrs};
use std::sync::Arc;
use std::thread;
use std::time::Duration;

use crossbeam_channel::{bounded, select};
use iscp::transport::Scheme;
use iscp_broker::{Endpoint, Listener, Server, ServerConfig, ServerHandle};
use tracing::info;

use crate::args::BrokerArgs;
use crate::failure::Failure;
use crate::interrupt::Interrupt;

/// How long the clients may take to say goodbye.
const SHUTDOWN_LIMIT: Duration = Duration::from_secs(5);

/// Runs a broker until a signal.
pub(crate) fn run(args: &BrokerArgs, interrupt: &Interrupt) -> Result<(), Failure> {
    let server = Arc::new(start(args)?);
    announce(server.endpoints())?;
    info!("ready");

    let (ended, end) = bounded::<()>(0);
    let watched = server.clone();
    thread::Builder::new()
        .name("iscp-watch".to_owned())
        .spawn(move || {
            watched.join();
            drop(ended);
        })
        .map_err(|error| Failure::new(format!("cannot start a thread: {error}")))?;
    select! {
        recv(interrupt.channel()) -> _ => {}
        recv(end) -> _ => return Err(Failure::new("the broker ended unexpectedly")),
    }
    info!("ending");
    server.shutdown(SHUTDOWN_LIMIT);
    Ok(())
}

/// Listens at every address of the command line.
fn start(args: &BrokerArgs) -> Result<ServerHandle, Failure> {
    let listeners = vec![Listener { scheme: Scheme::Ws, addresses: resolve(&args.ws)? }];
    let config = ServerConfig { listeners, tokens: args.token.clone(), ..ServerConfig::default() };
    Server::start(config).map_err(Failure::new)
}

fn resolve(address: &str) -> Result<Vec<SocketAddr>, Failure> {
    let cannot = |why: &dyn std::fmt::Display| Failure::new(format!("cannot listen on {address}: {why}"));
    let addresses: Vec<SocketAddr> = address
        .to_socket_addrs()
        .map_err(|error| match error.kind() {
            ErrorKind::InvalidInput => cannot(&"not of the form HOST:PORT"),
            _ => cannot(&error),
        })?
        .collect();
    if addresses.is_empty() {
        return Err(cannot(&"the host has no address"));
    }
    Ok(addresses)
}

fn announce(endpoints: &[Endpoint]) -> Result<(), Failure> {
    let mut stdout = io::stdout().lock();
    let written = endpoints.iter().try_for_each(|endpoint| writeln!(stdout, "listening {endpoint}"));
    match written.and_then(|()| stdout.flush()) {
        // Whoever started the broker need not want to know.
        Err(error) if error.kind() != ErrorKind::BrokenPipe => {
            Err(Failure::new(format!("cannot write to standard output: {error}")))
        }
        _ => Ok(()),
    }
}
