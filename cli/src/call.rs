//! `iscp call --to`.

use std::io::{self, ErrorKind, IsTerminal, Write};

use iscp::client::OutgoingCall;
use tracing::debug;

use crate::args::CallArgs;
use crate::client::Client;
use crate::failure::Failure;
use crate::interrupt::Interrupt;
use crate::serve::ERROR_TYPE;

/// Calls a node and prints the reply.
pub(crate) fn run(args: &CallArgs, to: &str, interrupt: &Interrupt) -> Result<(), Failure> {
    let Some(client) = Client::connect(&args.connect, interrupt)? else {
        return Ok(());
    };
    let call = OutgoingCall::new(to, args.name.as_str(), args.kind.as_str(), args.payload.clone());
    let Some(reply) = client.wait(|done| client.connection.call(call, Some(args.timeout), done))? else {
        return Ok(());
    };
    let closed = client.close();
    debug!("closed: {closed:?}");
    if reply.kind == ERROR_TYPE {
        let reason = String::from_utf8_lossy(&reply.payload);
        return Err(Failure::new(format!("node {to:?} replied with an error: {reason}")));
    }
    match print(&reply.payload) {
        // Whoever wanted to read it has gone.
        Err(error) if error.kind() != ErrorKind::BrokenPipe => {
            Err(Failure::new(format!("cannot write to standard output: {error}")))
        }
        _ => Ok(()),
    }
}

fn print(payload: &[u8]) -> io::Result<()> {
    let mut stdout = io::stdout().lock();
    stdout.write_all(payload)?;
    // For people only: a program gets the bytes and nothing else.
    if stdout.is_terminal() && !payload.ends_with(b"\n") {
        stdout.write_all(b"\n")?;
    }
    stdout.flush()
}
