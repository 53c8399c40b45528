//! `iscp call --serve`.

use std::time::Duration;

use crossbeam_channel::{bounded, select};
use iscp::client::{Completion, OutgoingCall};
use iscp::error::{Error, Status};
use iscp::message::DownstreamCall;
use tracing::{debug, info};

use crate::args::CallArgs;
use crate::client::Client;
use crate::failure::Failure;
use crate::interrupt::Interrupt;
use crate::shell::{self, Shell};

/// Type of a reply that says why there is no other.
pub(crate) const ERROR_TYPE: &str = "error";

/// Answers calls until a signal.
pub(crate) fn run(args: &CallArgs, command: Option<&str>, interrupt: &Interrupt) -> Result<(), Failure> {
    let Some(client) = Client::connect(&args.connect, interrupt)? else {
        return Ok(());
    };
    // While it is full the connection keeps what arrives, and counts what it cannot keep.
    let (sender, calls) = bounded(1);
    client
        .connection
        .on_call(Box::new(move |call| drop(sender.send(call))))
        .map_err(|error| client.failure(&error))?;
    info!("serving calls as {}", args.connect.node);
    loop {
        select! {
            recv(interrupt.channel()) -> _ => break,
            recv(calls) -> call => match call {
                Ok(call) => answer(&client, &call, command, args.timeout, interrupt),
                // The handler has gone with the connection, which now says why.
                Err(_) => return Err(ended(&client)),
            },
        }
    }
    // Nobody takes calls any more: lets go of the handler that waits to hand one over.
    drop(calls);
    let closed = client.close();
    debug!("closed: {closed:?}");
    Ok(())
}

fn ended(client: &Client<'_>) -> Failure {
    match client.connection.next_call(Some(Duration::ZERO)) {
        Err(error) => client.failure(&error),
        Ok(_) => client.failure(&Error::new(Status::Closed, "the connection is closed")),
    }
}

/// Replies to a call, with the reason if there is nothing else to reply.
fn answer(
    client: &Client<'_>,
    call: &DownstreamCall,
    command: Option<&str>,
    timeout: Duration,
    interrupt: &Interrupt,
) {
    info!("call {:?} of {}, {} bytes", call.name, call.source_node_id, call.payload.len());
    let outcome = match command {
        None => Ok(call.payload.to_vec()),
        Some(command) => run_command(command, call, timeout, interrupt),
    };
    let sent = match outcome {
        Ok(payload) => reply(client, call, &call.kind, payload),
        Err(reason) => Err(reason),
    };
    let Err(reason) = sent else { return };
    Failure::new(format!("call {:?} of node {:?}: {reason}", call.name, call.source_node_id)).report();
    // What could not be said, the caller has to do without: it may have gone.
    if let Err(reason) = reply(client, call, ERROR_TYPE, reason.into_bytes()) {
        info!("no reply to {}: {reason}", call.source_node_id);
    }
}

fn run_command(
    command: &str,
    call: &DownstreamCall,
    timeout: Duration,
    interrupt: &Interrupt,
) -> Result<Vec<u8>, String> {
    let shell = Shell {
        command,
        environment: &[
            ("ISCP_CALL_NAME", &call.name),
            ("ISCP_CALL_TYPE", &call.kind),
            ("ISCP_CALL_SOURCE", &call.source_node_id),
        ],
        input: call.payload.clone(),
        timeout,
    };
    shell::run(shell, interrupt).map_err(|failure| failure.to_string())
}

/// Sends a reply and waits until the server took it.
fn reply(client: &Client<'_>, call: &DownstreamCall, kind: &str, payload: Vec<u8>) -> Result<(), String> {
    let reply =
        OutgoingCall::reply(call, call.name.as_str(), kind, payload).map_err(|error| error.to_string())?;
    let (done, waiter) = Completion::waiter().map_err(|error| error.to_string())?;
    client.connection.send_call(reply, done).map_err(|error| error.to_string())?;
    waiter.wait(None).map_err(|error| error.to_string())
}
