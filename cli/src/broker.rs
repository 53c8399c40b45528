//! `iscp broker`.

use std::io::{self, ErrorKind, Write};
use std::net::{SocketAddr, ToSocketAddrs};
use std::sync::Arc;
use std::thread;
use std::time::Duration;

use crossbeam_channel::{bounded, select};
use iscp_broker::{Server, ServerConfig, ServerHandle};
use tracing::info;

use crate::args::BrokerArgs;
use crate::failure::Failure;
use crate::interrupt::Interrupt;

/// How long the clients may take to say goodbye.
const SHUTDOWN_LIMIT: Duration = Duration::from_secs(5);

/// Runs a broker until a signal.
pub(crate) fn run(args: &BrokerArgs, interrupt: &Interrupt) -> Result<(), Failure> {
    let server = Arc::new(start(args)?);
    announce(&server.ws_url())?;
    info!("listening on {}", server.ws_url());

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

/// Listens on the first address of the host that can be had.
fn start(args: &BrokerArgs) -> Result<ServerHandle, Failure> {
    let cannot = |why: &dyn std::fmt::Display| Failure::new(format!("cannot listen on {}: {why}", args.ws));
    let addresses: Vec<SocketAddr> = args
        .ws
        .to_socket_addrs()
        .map_err(|error| match error.kind() {
            ErrorKind::InvalidInput => cannot(&"not of the form HOST:PORT"),
            _ => cannot(&error),
        })?
        .collect();
    let mut failure = cannot(&"the host has no address");
    for address in addresses {
        let config =
            ServerConfig { ws: Some(address), tokens: args.token.clone(), ..ServerConfig::default() };
        match Server::start(config) {
            Ok(server) => return Ok(server),
            Err(error) => failure = Failure::new(error),
        }
    }
    Err(failure)
}

fn announce(url: &str) -> Result<(), Failure> {
    let mut stdout = io::stdout().lock();
    match writeln!(stdout, "listening {url}").and_then(|()| stdout.flush()) {
        // Whoever started the broker need not want to know.
        Err(error) if error.kind() != ErrorKind::BrokenPipe => {
            Err(Failure::new(format!("cannot write to standard output: {error}")))
        }
        _ => Ok(()),
    }
}
