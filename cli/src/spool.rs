//! `iscp spool`.

use std::io::{self, BufWriter, ErrorKind, Write};
use std::path::Path;
use std::sync::Arc;

use crossbeam_channel::{select, unbounded};
use iscp::client::{ConnectOptions, SpoolOutcome};
use iscp::core::{ReceivedChunk, ReceivedGroup};
use iscp::message::UpstreamInfo;
use iscp::spool::{Cursor, Damage, Journal, Leftover, Spool, SpoolConfig, SyncPolicy};
use serde_json::json;
use uuid::Uuid;

use crate::args::{SpoolArgs, SpoolCommand, SpoolSendArgs};
use crate::client::Client;
use crate::failure::Failure;
use crate::interrupt::Interrupt;
use crate::output::Printer;

/// Lists, prints, delivers or removes what a spool holds.
pub(crate) fn run(args: &SpoolArgs, interrupt: &Interrupt) -> Result<(), Failure> {
    let mut output = BufWriter::new(io::stdout().lock());
    let done = match &args.command {
        SpoolCommand::Ls(ls) => list(&open(&ls.dir, None)?, ls.json, &mut output),
        SpoolCommand::Cat(cat) => print(&open(&cat.dir, cat.id)?, cat.json, output)?,
        SpoolCommand::Send(send) => return deliver(send, interrupt),
        SpoolCommand::Rm(rm) => return remove(open(&rm.dir, rm.id)?),
    };
    match done {
        Err(error) if error.kind() != ErrorKind::BrokenPipe => {
            Err(Failure::new(format!("cannot write to standard output: {error}")))
        }
        _ => Ok(()),
    }
}

/// The journals of a spool, or the one of an id.
fn open(dir: &Path, id: Option<Uuid>) -> Result<Vec<Leftover>, Failure> {
    if !dir.is_dir() {
        return Err(Failure::new(format!("spool {}: no such directory", dir.display())));
    }
    if !Spool::is_spool(dir) {
        return Err(Failure::new(format!("spool {}: this directory is no spool", dir.display())));
    }
    let config = SpoolConfig { dir: dir.to_owned(), limit: u64::MAX, sync: SyncPolicy::Process };
    let (_, mut leftovers) = Spool::open(config).map_err(Failure::new)?;
    if let Some(id) = id {
        leftovers.retain(|leftover| leftover.journal.id() == id);
        if leftovers.is_empty() {
            return Err(Failure::new(format!("spool {}: it holds nothing with the id {id}", dir.display())));
        }
    }
    for Leftover { journal, damage } in &leftovers {
        warn(journal, *damage);
    }
    Ok(leftovers)
}

fn warn(journal: &Journal, Damage { torn_bytes, missing_points }: Damage) {
    if missing_points > 0 {
        Failure::new(format!("{}: {missing_points} points are damaged and left out", journal.id())).report();
    } else if torn_bytes > 0 {
        tracing::info!("{}: {torn_bytes} bytes of an unfinished write are left out", journal.id());
    }
}

fn list(leftovers: &[Leftover], json: bool, output: &mut impl Write) -> io::Result<()> {
    if !json && !leftovers.is_empty() {
        writeln!(output, "{:36}  {:>10}  {:>12}  NODE  SESSION", "ID", "POINTS", "BYTES")?;
    }
    for Leftover { journal, damage } in leftovers {
        let (id, stream, bytes) = (journal.id(), journal.stream(), journal.bytes());
        let points = journal.written() - journal.settled() - damage.missing_points;
        if json {
            let line = json!({
                "id": id.to_string(),
                "source_node_id": stream.node_id,
                "session_id": stream.session_id,
                "stream_id": journal.attachment().map(|attachment| attachment.stream_id.to_string()),
                "points": points,
                "missing_points": damage.missing_points,
                "bytes": bytes,
            });
            writeln!(output, "{line}")?;
        } else {
            writeln!(output, "{id}  {points:>10}  {bytes:>12}  {}  {}", stream.node_id, stream.session_id)?;
        }
    }
    output.flush()
}

fn print(leftovers: &[Leftover], json: bool, output: impl Write) -> Result<io::Result<()>, Failure> {
    let mut printer = Printer::new(output, json);
    for Leftover { journal, .. } in leftovers {
        let stream = journal.stream();
        let upstream = Arc::new(UpstreamInfo {
            session_id: stream.session_id.clone(),
            source_node_id: stream.node_id.clone(),
            stream_id: journal.attachment().map(|attachment| attachment.stream_id).unwrap_or_default(),
        });
        let mut cursor = Cursor::new(journal.settled());
        while let Some(run) = journal.read(&mut cursor).map_err(Failure::new)? {
            // Points of which no chunk was made have the number 0, which chunks do not have.
            let chunk = journal.cuts().find(|cut| (cut.first_point..cut.end).contains(&run.first_point));
            let Some(data_id) = journal.data_ids().get(run.data_id as usize) else { continue };
            let group = ReceivedGroup {
                data_id: Arc::new(data_id.clone()),
                points: run.points,
                filter_references: Vec::new(),
            };
            let chunk = ReceivedChunk {
                upstream: upstream.clone(),
                sequence_number: chunk.map_or(0, |cut| cut.sequence_number),
                groups: vec![group],
            };
            if let Err(error) = printer.chunk(&chunk, u64::MAX) {
                return Ok(Err(error));
            }
        }
    }
    Ok(printer.flush())
}

fn deliver(args: &SpoolSendArgs, interrupt: &Interrupt) -> Result<(), Failure> {
    let node = &args.connect.node;
    let ours = |leftover: &&Leftover| leftover.journal.stream().node_id == *node;
    let streams = open(&args.dir, None)?.iter().filter(ours).count();
    let (outcomes, told) = unbounded();
    let spooled = |options: &mut ConnectOptions| {
        options.spool.dir.clone_from(&args.dir);
        options.on_spool = Some(Arc::new(move |outcome| drop(outcomes.send(outcome))));
    };
    let Some(client) = Client::connect_with(&args.connect, interrupt, spooled)? else {
        return Ok(());
    };
    let mut points = 0;
    for _ in 0..streams {
        let outcome = select! {
            recv(told) -> outcome => outcome,
            recv(interrupt.channel()) -> _ => return client.close().map_err(|error| client.failure(&error)),
        };
        let outcome =
            outcome.map_err(|_| Failure::new("the connection ended; the rest stays in the spool"))?;
        log(&outcome);
        if let Some(error) = outcome.error {
            return Err(client.failure(&error));
        }
        points += outcome.points;
    }
    client.close().map_err(|error| client.failure(&error))?;
    println!("delivered {points} points of {streams} streams");
    Ok(())
}

/// Says what became of points that an earlier process left.
pub(crate) fn log(outcome: &SpoolOutcome) {
    let SpoolOutcome { session_id, points, missing_points, error, .. } = outcome;
    match error {
        None => tracing::info!(
            "spool: {points} points of session {session_id} delivered, {missing_points} damaged"
        ),
        Some(error) => tracing::warn!("spool: points of session {session_id} stay there: {error}"),
    }
}

fn remove(leftovers: Vec<Leftover>) -> Result<(), Failure> {
    for Leftover { journal, .. } in leftovers {
        journal.remove().map_err(Failure::new)?;
    }
    Ok(())
}
