//! `iscp sub`.

use std::io::{self, BufWriter, ErrorKind};
use std::thread;
use std::time::Duration;

use crossbeam_channel::{Receiver, Sender, bounded, never, select};
use iscp::client::{Downstream, DownstreamOptions, Handler};
use iscp::core::{DownstreamConfig, ReceivedChunk, ReceivedMetadata};
use iscp::error::{Error, Status};
use iscp::message::DownstreamFilter;
use tracing::{debug, info};

use crate::args::{OrderArg, SubArgs};
use crate::client::Client;
use crate::failure::Failure;
use crate::interrupt::Interrupt;
use crate::output::{self, Printer};
use crate::progress::Progress;

/// Chunks and metadata between the connection and the printer. While it is full the connection keeps
/// what arrives, and does not acknowledge it.
const QUEUE: usize = 64;

/// How long printing what has arrived may take after a signal: nobody may be reading.
const PRINT_LIMIT: Duration = Duration::from_secs(1);

/// What happens to the stream, in order.
enum Item {
    Chunk(ReceivedChunk),
    Metadata(ReceivedMetadata),
    Ended(Option<Error>),
}

/// Why printing ended.
enum End {
    /// As many points as asked for.
    Count,
    /// Nobody reads standard output any more.
    OutputClosed,
    /// Standard output cannot be written to.
    Output(io::Error),
    /// The stream ended.
    Stream(Option<Error>),
}

/// Prints what arrives from a node.
pub(crate) fn run(args: &SubArgs, interrupt: &Interrupt, quiet: bool) -> Result<(), Failure> {
    let Some(client) = Client::connect(&args.connect, interrupt)? else {
        return Ok(());
    };
    let (items, received) = bounded(QUEUE);
    // Held for the life of the stream.
    let Some(_downstream) = open(&client, args, items)? else {
        return Ok(());
    };
    info!("subscribed to {}", args.source);

    let progress = Progress::start("received", quiet);
    let (ended, end) = bounded(1);
    let (json, limit) = (args.json, args.count.unwrap_or(u64::MAX));
    let drawn = progress.clone();
    thread::Builder::new()
        .name("iscp-print".to_owned())
        .spawn(move || {
            let _ = ended.send(print(&received, json, limit, &drawn));
        })
        .map_err(|error| Failure::new(format!("cannot start a thread: {error}")))?;

    let outcome = select! {
        recv(end) -> end => end.ok(),
        recv(interrupt.channel()) -> _ => None,
    };
    let closed = client.close();
    debug!("closed: {closed:?}");
    // After a signal, what has arrived is still printed.
    let late = outcome.is_none().then(|| crossbeam_channel::after(PRINT_LIMIT));
    let outcome = outcome.or_else(|| {
        select! {
            recv(end) -> end => end.ok(),
            recv(late.unwrap_or_else(never)) -> _ => None,
        }
    });
    progress.finish();
    match outcome {
        Some(End::Output(error)) => Err(Failure::new(format!("cannot write to standard output: {error}"))),
        Some(End::Stream(Some(error))) if !interrupt.raised() => Err(client.failure(&error)),
        Some(End::Stream(None)) if !interrupt.raised() => {
            Err(client.failure(&Error::new(Status::Closed, "the stream was closed")))
        }
        _ => Ok(()),
    }
}

/// Opens the stream. The handlers are set on the thread that will run them, before anything can be
/// handed to one of them only: so chunks and metadata stay in the order of their arrival.
fn open(client: &Client<'_>, args: &SubArgs, items: Sender<Item>) -> Result<Option<Downstream>, Failure> {
    let options = DownstreamOptions {
        config: DownstreamConfig {
            filters: vec![DownstreamFilter {
                source_node_id: args.source.clone(),
                data_filters: args.filter.clone(),
            }],
            qos: args.stream.qos.into(),
            // Chunks in which nothing matches would only be thrown away here, but belong to the order.
            omit_empty_chunk: args.chunk_order == OrderArg::AsReceived,
            chunk_order: args.chunk_order.into(),
            ..DownstreamConfig::default()
        },
        buffer_limit: args.buffer_limit as usize,
        buffer_policy: args.buffer_policy.map(Into::into),
        on_closed: Some(hand_over(&items, Item::Ended)),
        ..DownstreamOptions::default()
    };
    client.wait_then(
        |done| client.connection.open_downstream(options, done),
        move |downstream: Downstream| {
            downstream.on_metadata(hand_over(&items, Item::Metadata))?;
            downstream.on_chunk(hand_over(&items, Item::Chunk))?;
            Ok(downstream)
        },
    )
}

/// A handler that waits for the printer to have room.
fn hand_over<E>(items: &Sender<Item>, item: fn(E) -> Item) -> Handler<E>
where
    E: 'static,
{
    let items = items.clone();
    // Once the printer has ended, what still arrives is of no interest.
    Box::new(move |event| drop(items.send(item(event))))
}

fn print(received: &Receiver<Item>, json: bool, limit: u64, progress: &Progress) -> End {
    let output = BufWriter::with_capacity(1 << 16, io::stdout().lock());
    let mut printer = Printer::new(output, json);
    let mut left = limit;
    loop {
        let Ok(item) = received.recv() else {
            return End::Stream(None);
        };
        let printed: io::Result<u64> = progress.suspend(|| {
            let points = match &item {
                Item::Chunk(chunk) => printer.chunk(chunk, left)?,
                Item::Metadata(metadata) => {
                    debug!("{} of {}", output::kind(&metadata.metadata), metadata.source_node_id);
                    printer.metadata(metadata)?;
                    0
                }
                Item::Ended(_) => 0,
            };
            if received.is_empty() || points == left || matches!(item, Item::Ended(_)) {
                printer.flush()?;
            }
            Ok(points)
        });
        match printed {
            Ok(points) => {
                progress.add(points);
                left -= points;
            }
            Err(error) if error.kind() == ErrorKind::BrokenPipe => return End::OutputClosed,
            Err(error) => return End::Output(error),
        }
        if let Item::Ended(error) = item {
            return End::Stream(error);
        }
        if left == 0 {
            return End::Count;
        }
    }
}
