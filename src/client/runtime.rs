//! The library's threads: one runtime thread per process, and the dispatcher threads.

use std::io;
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use tokio::runtime::{Builder, Handle};
use tokio::sync::Notify;

use super::threads::{self, Ending, ThreadKind, on_library_thread, wait_until};
use crate::error::{Error, Result, Status};

/// Something that must be ended before the runtime can stop.
pub(super) trait Closable: Send + Sync {
    /// Asks for the end, without waiting.
    fn close(&self);
}

struct Runtime {
    handle: Handle,
    stop: Arc<Notify>,
    ending: Ending,
}

#[derive(Default)]
struct Process {
    runtime: Option<Runtime>,
    /// Runtimes that were told to stop.
    ending: Vec<Ending>,
    /// Connections, by number, that live on the runtime.
    connections: Vec<(u64, std::sync::Weak<dyn Closable>)>,
    next_connection: u64,
    /// Tasks and threads that have not ended.
    active: usize,
    /// Calls of [`shutdown`] in progress.
    shutdowns: usize,
}

static PROCESS: Mutex<Process> = Mutex::new(Process {
    runtime: None,
    ending: Vec::new(),
    connections: Vec::new(),
    next_connection: 0,
    active: 0,
    shutdowns: 0,
});
static CHANGED: Condvar = Condvar::new();

fn process() -> MutexGuard<'static, Process> {
    PROCESS.lock().unwrap_or_else(PoisonError::into_inner)
}

pub(super) fn refuse_on_library_thread() -> Result<()> {
    if on_library_thread() {
        return Err(Error::new(
            Status::InCallback,
            "a blocking function was called inside a callback; use its asynchronous twin",
        ));
    }
    Ok(())
}

/// Keeps the runtime from stopping as long as it lives.
pub(super) struct ThreadGuard(());

impl Drop for ThreadGuard {
    fn drop(&mut self) {
        process().active -= 1;
        CHANGED.notify_all();
    }
}

/// Starts a library thread that [`shutdown`] waits for.
pub(super) fn spawn_thread(
    kind: ThreadKind,
    body: impl FnOnce() + Send + 'static,
) -> io::Result<JoinHandle<()>> {
    process().active += 1;
    threads::spawn(kind, ThreadGuard(()), body)
}

/// A connection's place on the runtime; gives it up when dropped.
pub(super) struct Registration {
    pub(super) handle: Handle,
    number: u64,
    _guard: ThreadGuard,
}

impl Drop for Registration {
    fn drop(&mut self) {
        process().connections.retain(|(number, _)| *number != self.number);
    }
}

/// Starts the runtime if need be and registers a connection on it.
pub(super) fn register(connection: std::sync::Weak<dyn Closable>) -> Result<Registration> {
    let mut process = process();
    if process.shutdowns > 0 {
        return Err(Error::new(Status::InvalidState, "connect: the library is shutting down"));
    }
    if process.runtime.is_none() {
        process.runtime = Some(start().map_err(|error| {
            Error::new(Status::Resource, format!("connect: the runtime thread could not be started: {error}"))
        })?);
    }
    let number = process.next_connection;
    process.next_connection += 1;
    process.active += 1;
    process.connections.push((number, connection));
    let Some(runtime) = &process.runtime else { unreachable!("started above") };
    Ok(Registration { handle: runtime.handle.clone(), number, _guard: ThreadGuard(()) })
}

fn start() -> io::Result<Runtime> {
    let mut runtime = Builder::new_current_thread();
    threads::options().prepare(runtime.enable_all());
    let runtime = runtime.build()?;
    let handle = runtime.handle().clone();
    let stop = Arc::new(Notify::new());
    let stopped = stop.clone();
    let ending = threads::spawn_ending(ThreadKind::Runtime, move || {
        runtime.block_on(stopped.notified());
        // A look-up of a name may hang for long; nobody waits for its answer any more.
        runtime.shutdown_background();
    })?;
    Ok(Runtime { handle, stop, ending })
}

/// Closes every connection, waits until they and their callbacks have ended, and stops the runtime.
/// The next connection starts it again.
///
/// # Errors
/// `InCallback` on a thread of the library; `Timeout` when something has not ended, in which case
/// the runtime goes on and the call may be repeated.
pub fn shutdown(timeout: Option<Duration>) -> Result<()> {
    refuse_on_library_thread()?;
    let deadline = timeout.map(|timeout| Instant::now() + timeout);
    let mut state = process();
    state.shutdowns += 1;
    let connections: Vec<_> = state.connections.iter().filter_map(|(_, weak)| weak.upgrade()).collect();
    drop(state);
    for connection in connections {
        connection.close();
    }
    let mut state = wait_until(&CHANGED, process(), deadline, |state| state.active > 0);
    if state.active > 0 {
        state.shutdowns -= 1;
        let active = state.active;
        return Err(Error::new(
            Status::Timeout,
            format!("shutdown: {active} connections or callbacks have not ended"),
        ));
    }
    if let Some(Runtime { stop, ending, .. }) = state.runtime.take() {
        stop.notify_one();
        state.ending.push(ending);
    }
    let ends: Vec<_> = state.ending.iter().map(Ending::end).collect();
    drop(state);
    // The application's hook on the thread may hold it up.
    let ended = ends.iter().all(|end| end.wait(deadline));
    let mut state = process();
    state.shutdowns -= 1;
    if !ended {
        return Err(Error::new(Status::Timeout, "shutdown: the runtime's thread has not ended"));
    }
    state.ending = std::mem::take(&mut state.ending).into_iter().filter_map(Ending::join).collect();
    Ok(())
}
