//! Connecting, and waiting for the server without being deaf to signals.

use std::time::Duration;

use crossbeam_channel::{bounded, never, select};
use iscp::client::{Completion, ConnectOptions, Connection, ConnectionState};
use iscp::error::{Error, Result as IscpResult};
use iscp::transport::redacted;
use tracing::{debug, info};

use crate::connect_args::ConnectArgs;
use crate::failure::Failure;
use crate::interrupt::Interrupt;

/// How long a server may take to end a connection once the program has what it wants.
const CLOSE_TIMEOUT: Duration = Duration::from_secs(5);

/// The same once something went wrong.
const GOODBYE: Duration = Duration::from_secs(1);

/// What the library gets beyond a time-out that it has too, so that it can say what took so long.
const MARGIN: Duration = Duration::from_millis(500);

/// A connection to the server of the command line.
pub(crate) struct Client<'a> {
    url: &'a str,
    interrupt: &'a Interrupt,
    /// The connection.
    pub(crate) connection: Connection,
}

impl<'a> Client<'a> {
    /// Connects; `None` when a signal came first.
    pub(crate) fn connect(args: &'a ConnectArgs, interrupt: &'a Interrupt) -> Result<Option<Self>, Failure> {
        Self::connect_with(args, interrupt, |_| {})
    }

    /// As [`Client::connect`], with something more to set.
    pub(crate) fn connect_with(
        args: &'a ConnectArgs,
        interrupt: &'a Interrupt,
        set: impl FnOnce(&mut ConnectOptions),
    ) -> Result<Option<Self>, Failure> {
        let mut options = ConnectOptions { close_timeout: CLOSE_TIMEOUT, ..args.options()? };
        set(&mut options);
        let connecting = wait(
            &args.url,
            interrupt,
            Some(args.connect_timeout),
            |done| Connection::connect(options, done),
            Ok,
        )?;
        Ok(connecting.map(|connection| {
            info!("connected to {} as {}, protocol {}", args.url, args.node, connection.protocol_version());
            Self { url: &args.url, interrupt, connection }
        }))
    }

    /// Starts an operation and waits for its end, which the library bounds; `None` when a signal came
    /// first.
    pub(crate) fn wait<T: Send + 'static>(
        &self,
        start: impl FnOnce(Completion<T>) -> IscpResult<()>,
    ) -> Result<Option<T>, Failure> {
        self.wait_then(start, Ok)
    }

    /// As [`Client::wait`], with something to do before anything else happens to what was made: it runs
    /// where the callbacks run.
    pub(crate) fn wait_then<T: Send + 'static, U: Send + 'static>(
        &self,
        start: impl FnOnce(Completion<T>) -> IscpResult<()>,
        then: impl FnOnce(T) -> IscpResult<U> + Send + 'static,
    ) -> Result<Option<U>, Failure> {
        wait(self.url, self.interrupt, None, start, then)
    }

    /// A failure that names the server.
    pub(crate) fn failure(&self, error: &Error) -> Failure {
        failure(self.url, error)
    }

    /// Closes every stream and the connection, and waits for it.
    pub(crate) fn close(&self) -> IscpResult<()> {
        self.close_within(None)
    }

    fn close_within(&self, timeout: Option<Duration>) -> IscpResult<()> {
        let (done, waiter) = Completion::waiter()?;
        self.connection.close(done)?;
        waiter.wait(timeout)
    }
}

impl Drop for Client<'_> {
    /// Says goodbye to the server when something went wrong, too.
    fn drop(&mut self) {
        if self.connection.state() == ConnectionState::Connected
            && let Err(error) = self.close_within(Some(GOODBYE))
        {
            debug!("closing: {error}");
        }
    }
}

/// Names the server in front of what went wrong with it, unless the message does already.
fn failure(url: &str, error: &Error) -> Failure {
    let url = redacted(url);
    if error.message().contains(&*url) {
        Failure::new(error)
    } else {
        Failure::new(format!("{url}: {error}"))
    }
}

fn wait<T: Send + 'static, U: Send + 'static>(
    url: &str,
    interrupt: &Interrupt,
    timeout: Option<Duration>,
    start: impl FnOnce(Completion<T>) -> IscpResult<()>,
    then: impl FnOnce(T) -> IscpResult<U> + Send + 'static,
) -> Result<Option<U>, Failure> {
    let (sender, outcome) = bounded(1);
    let done = Completion::call(move |result: IscpResult<T>| {
        // Nobody listens any more after a signal or the time-out.
        let _ = sender.send(result.and_then(then));
    });
    start(done).map_err(|error| failure(url, &error))?;
    let late = timeout.map_or_else(never, |limit| crossbeam_channel::after(limit + MARGIN));
    select! {
        recv(outcome) -> outcome => match outcome {
            Ok(Ok(value)) => Ok(Some(value)),
            Ok(Err(error)) => Err(failure(url, &error)),
            Err(_) => Err(Failure::new(format!("{url}: the connection is closed"))),
        },
        recv(interrupt.channel()) -> _ => Ok(None),
        recv(late) -> _ => Err(Failure::new(format!(
            "{url}: no answer from the server within {:?}",
            timeout.unwrap_or_default()
        ))),
    }
}
