//! `iscp pub`.

use std::io::{Write, stderr};
use std::os::fd::AsFd;
use std::os::unix::net::UnixStream;
use std::sync::atomic::Ordering::Relaxed;
use std::sync::{Arc, OnceLock};
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use iscp::client::{Completion, ConnectOptions, FullPolicy, Upstream, UpstreamOptions};
use iscp::core::{DataIdIndex, FlushLevel, MAX_PAYLOAD, UpstreamConfig, UpstreamEnd};
use iscp::error::{Error, Status};
use iscp::message::{BaseTime, DataId};
use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
use tracing::{debug, info};
use uuid::Uuid;

use crate::args::{PubArgs, QosArg, WhenFull};
use crate::client::Client;
use crate::failure::Failure;
use crate::interrupt::Interrupt;
use crate::lines::{Input, Lines, hex_bytes};
use crate::progress::Progress;
use crate::spool;

/// Name and priority of the base time, those of a clock of the device itself.
const CLOCK: &str = "edge_rtc";
const CLOCK_PRIORITY: u32 = 20;

/// Bytes of points that may wait to be sent; the largest point fits.
const BUFFER_LIMIT: usize = 32 << 20;

/// How long a server may leave everything unacknowledged.
const STALL_LIMIT: Duration = Duration::from_secs(10);

/// How long a write waits for space before it looks around.
const WRITE_WAIT: Duration = Duration::from_millis(250);

/// Publishes standard input.
pub(crate) fn run(args: &PubArgs, interrupt: &Interrupt, quiet: bool) -> Result<(), Failure> {
    if args.when_full != WhenFull::Wait && args.stream.qos == QosArg::Reliable {
        return Err(Failure::new("--when-full: to drop points needs --qos unreliable or --qos partial"));
    }
    let start = Instant::now();
    let time_of_day = SystemTime::now();
    let spooled = |options: &mut ConnectOptions| {
        options.spool.dir = args.spool.clone().unwrap_or_default();
        options.on_spool = Some(Arc::new(|outcome| spool::log(&outcome)));
    };
    let Some(client) = Client::connect_with(&args.connect, interrupt, spooled)? else {
        return Ok(());
    };
    let session = args.session.clone().unwrap_or_else(|| Uuid::new_v4().to_string());
    let Some(publisher) = Publisher::open(&client, args, &session, interrupt, start)? else {
        return Ok(());
    };
    let base_time = BaseTime {
        session_id: session,
        name: CLOCK.to_owned(),
        priority: CLOCK_PRIORITY,
        elapsed_time_ns: 0,
        base_time_ns: nanoseconds_since_epoch(time_of_day),
    };
    let sent = client.wait(|done| client.connection.send_base_time(base_time, false, done))?;
    let progress = Progress::start("published", quiet);
    let outcome = match sent {
        Some(()) => publisher.publish_input(&progress),
        None => Ok(()),
    };
    // What was read before a bad line, or before a signal, is delivered.
    let delivered = publisher.finish();
    let closed = client.close();
    debug!("closed: {closed:?}");
    progress.finish();
    let dropped = publisher.upstream.dropped();
    if dropped > 0 {
        // Nowhere to tell it when this fails.
        let _ = writeln!(stderr(), "{dropped} points were dropped: the network took them too slowly");
    }
    delivered.and(outcome)
}

fn nanoseconds_since_epoch(time: SystemTime) -> i64 {
    let since = time.duration_since(UNIX_EPOCH).unwrap_or_default();
    i64::try_from(since.as_nanos()).unwrap_or(i64::MAX)
}

/// An open upstream with one data id.
struct Publisher<'a> {
    client: &'a Client<'a>,
    interrupt: &'a Interrupt,
    upstream: Upstream,
    data_id: DataIdIndex,
    hex: bool,
    /// Origin of the elapsed times.
    start: Instant,
    ended: Ended,
}

/// Tells how the stream ended.
struct Ended {
    end: Arc<OnceLock<UpstreamEnd>>,
    /// Polls readable from then on.
    socket: UnixStream,
}

impl Ended {
    /// How the stream ended, waiting at most `timeout` for it.
    fn wait(&self, timeout: PollTimeout) -> Option<&UpstreamEnd> {
        // A signal only makes the wait shorter.
        let _ = poll(&mut [PollFd::new(self.socket.as_fd(), PollFlags::POLLIN)], timeout);
        self.end.get()
    }
}

impl<'a> Publisher<'a> {
    fn open(
        client: &'a Client<'a>,
        args: &PubArgs,
        session: &str,
        interrupt: &'a Interrupt,
        start: Instant,
    ) -> Result<Option<Self>, Failure> {
        let data_id = DataId::new(&args.name, &args.kind);
        let end = Arc::new(OnceLock::new());
        let told = end.clone();
        let (theirs, socket) =
            UnixStream::pair().map_err(|error| Failure::new(format!("cannot make a socket: {error}")))?;
        let options = UpstreamOptions {
            config: UpstreamConfig {
                session_id: session.to_owned(),
                qos: args.stream.qos.into(),
                data_ids: vec![data_id.clone()],
                close_timeout: STALL_LIMIT,
                buffer_limit: BUFFER_LIMIT,
                ..UpstreamConfig::default()
            },
            full: match args.when_full {
                WhenFull::Wait => FullPolicy::Block(WRITE_WAIT),
                WhenFull::DropOldest => FullPolicy::DropOldest,
                WhenFull::DropNewest => FullPolicy::DropNewest,
            },
            on_ack: None,
            on_chunk: None,
            on_event: None,
            on_closed: Some(Box::new(move |end| {
                // Called once. Nobody listens when it was this program that closed the stream.
                let _ = told.set(end);
                let _ = (&theirs).write_all(&[0]);
            })),
        };
        let Some(upstream) = client.wait(|done| client.connection.open_upstream(options, done))? else {
            return Ok(None);
        };
        info!("publishing {data_id} in session {session}");
        let data_id = upstream.data_id(data_id).map_err(|error| client.failure(&error))?;
        Ok(Some(Self {
            client,
            interrupt,
            upstream,
            data_id,
            hex: args.hex,
            start,
            ended: Ended { end, socket },
        }))
    }

    /// Publishes every line until standard input ends, or a signal comes and what was read is published.
    fn publish_input(&self, progress: &Progress) -> Result<(), Failure> {
        let mut lines = Lines::stdin(self.longest_line())?;
        let stop = [self.interrupt.fd(), self.ended.socket.as_fd()];
        loop {
            match lines.read(&stop, |number, line| self.line(number, line, progress))? {
                Input::More => {}
                Input::End => return Ok(()),
                Input::Stopped => return self.lost_or_interrupted(),
            }
        }
    }

    fn lost_or_interrupted(&self) -> Result<(), Failure> {
        self.ended.end.get().map_or(Ok(()), |end| Err(self.lost(end)))
    }

    /// Publishes a line, which is missing if it is too long.
    fn line(&self, number: u64, line: Option<&[u8]>, progress: &Progress) -> Result<(), Failure> {
        let line = line.ok_or_else(|| too_long(number))?;
        if self.hex {
            let payload = hex_bytes(line)
                .map_err(|why| Failure::new(format!("standard input, line {number}: {why}")))?;
            self.point(number, &payload)?;
        } else {
            self.point(number, line)?;
        }
        progress.add(1);
        Ok(())
    }

    /// Writes a point, waiting for space as long as the connection lives, though not for ever once a
    /// signal came.
    fn point(&self, line: u64, payload: &[u8]) -> Result<(), Failure> {
        let elapsed = i64::try_from(self.start.elapsed().as_nanos()).unwrap_or(i64::MAX);
        let mut deadline = None;
        loop {
            match self.upstream.write(self.data_id, elapsed, payload) {
                Ok(()) => return Ok(()),
                Err(Status::Timeout | Status::WouldBlock) => {}
                Err(Status::TooLarge) => return Err(too_long(line)),
                Err(status) => {
                    return Err(self.failure(&Error::new(status, status.text())));
                }
            }
            if self.interrupt.raised()
                && Instant::now() > *deadline.get_or_insert(Instant::now() + STALL_LIMIT)
            {
                let stalled = "interrupted while the server takes no data";
                return Err(self.client.failure(&Error::new(Status::Timeout, stalled)));
            }
        }
    }

    /// Waits until everything published is acknowledged and closes the stream. There is no limit of time
    /// as long as it goes forward.
    fn finish(&self) -> Result<(), Failure> {
        loop {
            let before = self.outstanding();
            let Err(error) = self.flush() else { break };
            if error.status() != Status::Timeout || self.outstanding() == before {
                return Err(self.failure(&error));
            }
        }
        let close = || {
            let (done, waiter) = Completion::waiter()?;
            self.upstream.close(false, done)?;
            waiter.wait(None)
        };
        close().map_err(|error| self.failure(&error))
    }

    fn flush(&self) -> Result<(), Error> {
        let (done, waiter) = Completion::waiter()?;
        self.upstream.flush(FlushLevel::Acknowledged, STALL_LIMIT, done)?;
        waiter.wait(None)
    }

    /// What changes whenever something was sent or acknowledged.
    fn outstanding(&self) -> (u64, u64) {
        let counters = self.upstream.counters();
        (counters.total_points.load(Relaxed), counters.in_flight_bytes.load(Relaxed))
    }

    /// Why finishing failed; the end of the stream says it best.
    fn failure(&self, error: &Error) -> Failure {
        // It is told a moment after operations begin to fail, unless the stream goes on.
        let moment = PollTimeout::from(1000u16);
        match self.ended.wait(moment) {
            Some(end) => self.lost(end),
            None => self.client.failure(error),
        }
    }

    fn lost(&self, end: &UpstreamEnd) -> Failure {
        let error = end.error.clone().unwrap_or_else(|| Error::new(Status::Closed, "the stream was closed"));
        let lost = match end.undelivered_points {
            0 => String::new(),
            1 => " (1 point was not acknowledged)".to_owned(),
            points => format!(" ({points} points were not acknowledged)"),
        };
        self.client.failure(&Error::new(error.status(), format!("{error}{lost}")))
    }

    fn longest_line(&self) -> usize {
        if self.hex {
            // Two digits and some white space a byte.
            4 * MAX_PAYLOAD
        } else {
            MAX_PAYLOAD
        }
    }
}

fn too_long(line: u64) -> Failure {
    Failure::new(format!("standard input, line {line}: longer than {MAX_PAYLOAD} bytes"))
}
