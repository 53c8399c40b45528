//! The threads that carry connections.

use std::io;
use std::net;
use std::sync::Arc;
use std::thread::{self, JoinHandle};

use tokio::net::TcpStream;
use tokio::runtime::{Builder, Handle, Runtime};
use tokio::sync::watch;
use tracing::warn;

/// Turns of tasks after which the system is asked for what has come on other sockets, while some always have
/// something to do. A turn is bounded: see [`READ_BURST`](super::connection::READ_BURST).
pub(super) const EVENT_INTERVAL: u32 = 8;

/// A runtime of one thread. Of the library for several threads every future would be compiled a second time, into
/// programs that never have more than one as well.
pub(super) fn runtime() -> io::Result<Runtime> {
    Builder::new_current_thread().event_interval(EVENT_INTERVAL).enable_all().build()
}

/// Threads with a runtime each, or the runtime that is running when there is one only. Dropping them ends the tasks that
/// are left, and waits for it.
pub(super) struct Workers {
    workers: Vec<Worker>,
    threads: Vec<JoinHandle<()>>,
    /// Its end is theirs.
    stop: Option<watch::Sender<()>>,
}

struct Worker {
    handle: Handle,
    /// One more owner for each connection.
    load: Arc<()>,
}

/// A connection's place on a thread, for as long as it lives.
pub(super) struct Place {
    pub(super) handle: Handle,
    pub(super) load: Arc<()>,
}

impl Workers {
    /// Starts so many, named `iscp-broker-1` and so on.
    pub(super) fn start(threads: usize) -> io::Result<Self> {
        let (stop, stopped) = watch::channel(());
        let mut workers = Self { workers: Vec::new(), threads: Vec::new(), stop: Some(stop) };
        if threads == 1 {
            workers.add(Handle::current());
            return Ok(workers);
        }
        for number in 1..=threads {
            let runtime = runtime()?;
            let handle = runtime.handle().clone();
            let mut stopped = stopped.clone();
            // As the system shows them, which cuts longer names off.
            let thread = thread::Builder::new().name(format!("iscp-broker-{number}"));
            let thread =
                thread.spawn(move || runtime.block_on(async { while stopped.changed().await.is_ok() {} }))?;
            workers.add(handle);
            workers.threads.push(thread);
        }
        Ok(workers)
    }

    fn add(&mut self, handle: Handle) {
        self.workers.push(Worker { handle, load: Arc::new(()) });
    }

    /// A place on the thread that carries the fewest connections.
    pub(super) fn place(&self) -> Place {
        let least = self.workers.iter().min_by_key(|worker| Arc::strong_count(&worker.load));
        let Worker { handle, load } = least.expect("there is at least one");
        Place { handle: handle.clone(), load: Arc::clone(load) }
    }
}

impl Drop for Workers {
    fn drop(&mut self) {
        self.stop = None;
        for thread in self.threads.drain(..) {
            // A task that panics does not end its thread.
            let _ = thread.join();
        }
    }
}

/// A connection on its way from the thread that took it to the one that will carry it.
pub(super) struct HandedOver(io::Result<net::TcpStream>);

impl HandedOver {
    pub(super) fn new(stream: TcpStream) -> Self {
        Self(stream.into_std())
    }

    /// Has the runtime of the calling task watch the socket.
    pub(super) fn take(self) -> Option<TcpStream> {
        match self.0.and_then(TcpStream::from_std) {
            Ok(stream) => Some(stream),
            Err(error) => {
                warn!(%error, "cannot carry a connection");
                None
            }
        }
    }
}
