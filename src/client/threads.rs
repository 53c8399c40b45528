//! How the library's threads are started: known as such, with signals blocked, and as the application wants
//! them.

use std::cell::Cell;
use std::fmt;
use std::io;
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::thread::{self, JoinHandle};
use std::time::Instant;

use nix::sys::signal::{SigSet, Signal};

use crate::error::{Error, Result, Status};

thread_local! {
    static LIBRARY_THREAD: Cell<bool> = const { Cell::new(false) };
}

/// What a thread of the library does.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ThreadKind {
    /// Drives every connection.
    Runtime,
    /// Runs the callbacks of a connection.
    Dispatcher,
    /// Asks the system for the addresses of a name.
    Resolver,
    /// Reads what an earlier process left in a spool, or what the buffer has no room for.
    Spool,
    /// Hands over log messages.
    Log,
}

impl ThreadKind {
    /// What its name ends with; nine bytes at most, of the fifteen that Linux keeps.
    fn suffix(self) -> &'static str {
        match self {
            Self::Runtime => "runtime",
            Self::Dispatcher => "dispatch",
            Self::Resolver => "resolve",
            Self::Spool => "spool",
            Self::Log => "log",
        }
    }
}

/// Called on every thread of the library.
pub trait ThreadHooks: Send + Sync {
    /// It has started, and does nothing else before.
    fn started(&self, kind: ThreadKind);
    /// It is about to end, and does nothing else afterwards.
    fn stopping(&self, kind: ThreadKind);
}

/// Settings of the library's threads.
#[derive(Clone)]
pub struct RuntimeOptions {
    /// What their names begin with.
    pub thread_name: String,
    /// Bytes of their stacks; 0 for two mebibytes.
    pub stack_size: usize,
    /// Told of them.
    pub hooks: Option<Arc<dyn ThreadHooks>>,
}

impl Default for RuntimeOptions {
    fn default() -> Self {
        Self { thread_name: "iscp".to_owned(), stack_size: 0, hooks: None }
    }
}

impl fmt::Debug for RuntimeOptions {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("RuntimeOptions")
            .field("thread_name", &self.thread_name)
            .field("stack_size", &self.stack_size)
            .finish_non_exhaustive()
    }
}

impl RuntimeOptions {
    fn name(&self, kind: ThreadKind) -> String {
        format!("{}-{}", self.thread_name, kind.suffix())
    }

    fn started(&self, kind: ThreadKind) {
        LIBRARY_THREAD.set(true);
        if let Some(hooks) = &self.hooks {
            hooks.started(kind);
        }
    }

    fn stopping(&self, kind: ThreadKind) {
        if let Some(hooks) = &self.hooks {
            hooks.stopping(kind);
        }
    }

    /// Prepares the threads that a runtime starts by itself: they ask for addresses.
    pub(super) fn prepare(self: &Arc<Self>, runtime: &mut tokio::runtime::Builder) {
        const KIND: ThreadKind = ThreadKind::Resolver;
        let (start, stop) = (self.clone(), self.clone());
        runtime
            .thread_name(self.name(KIND))
            .on_thread_start(move || start.started(KIND))
            .on_thread_stop(move || stop.stopping(KIND));
        if self.stack_size > 0 {
            runtime.thread_stack_size(self.stack_size);
        }
    }
}

#[derive(Default)]
struct Setup {
    options: Option<Arc<RuntimeOptions>>,
    /// Threads that have not ended, except resolvers, which a runtime may leave behind.
    running: usize,
}

static SETUP: Mutex<Setup> = Mutex::new(Setup { options: None, running: 0 });

fn setup() -> MutexGuard<'static, Setup> {
    SETUP.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Settings for the threads that are started from now on.
pub(super) fn options() -> Arc<RuntimeOptions> {
    setup().options.get_or_insert_default().clone()
}

/// Sets how threads are started.
///
/// # Errors
/// `InvalidState` while one runs.
pub fn configure(options: RuntimeOptions) -> Result<()> {
    let mut setup = setup();
    let running = setup.running;
    if running > 0 {
        let message = format!(
            "runtime: {running} threads of the library run already; configure it before anything else or \
             after a shutdown"
        );
        return Err(Error::new(Status::InvalidState, message));
    }
    let former = setup.options.replace(Arc::new(options));
    drop(setup);
    // The application is told, which may use the library.
    drop(former);
    Ok(())
}

/// Whether the current thread belongs to the library.
pub fn on_library_thread() -> bool {
    LIBRARY_THREAD.get()
}

/// Counts a thread that runs.
struct Counted;

impl Counted {
    fn new() -> Self {
        setup().running += 1;
        Self
    }
}

impl Drop for Counted {
    fn drop(&mut self) {
        setup().running -= 1;
    }
}

/// A thread between its hooks. What it holds is given up after the last hook, in this order.
struct Running<G> {
    options: Arc<RuntimeOptions>,
    kind: ThreadKind,
    _counted: Counted,
    _guard: G,
}

impl<G> Drop for Running<G> {
    fn drop(&mut self) {
        self.options.stopping(self.kind);
    }
}

/// Every signal but those that a thread causes itself: a fault in a callback must not go unnoticed.
fn blocked_signals() -> SigSet {
    let mut signals = SigSet::all();
    for own in
        [Signal::SIGSEGV, Signal::SIGBUS, Signal::SIGFPE, Signal::SIGILL, Signal::SIGTRAP, Signal::SIGSYS]
    {
        signals.remove(own);
    }
    signals
}

/// Starts a library thread: known as one, and with every signal blocked so that the application's
/// handlers run on the application's threads. `guard` is dropped when the thread has nothing more to do.
pub(super) fn spawn<G: Send + 'static>(
    kind: ThreadKind,
    guard: G,
    body: impl FnOnce() + Send + 'static,
) -> io::Result<JoinHandle<()>> {
    let counted = Counted::new();
    let options = options();
    let mut thread = thread::Builder::new().name(options.name(kind));
    if options.stack_size > 0 {
        thread = thread.stack_size(options.stack_size);
    }
    // Blocked here too while the thread is made, since it inherits the mask.
    let before = SigSet::thread_get_mask();
    let _ = blocked_signals().thread_block();
    let thread = thread.spawn(move || {
        options.started(kind);
        let _running = Running { options, kind, _counted: counted, _guard: guard };
        body();
    });
    if let Ok(before) = before {
        let _ = before.thread_set_mask();
    }
    thread
}

/// Waits as long as `waits` says, until `deadline` at most.
pub fn wait_until<'a, T>(
    changed: &Condvar,
    guard: MutexGuard<'a, T>,
    deadline: Option<Instant>,
    waits: impl FnMut(&mut T) -> bool,
) -> MutexGuard<'a, T> {
    let Some(deadline) = deadline else {
        return changed.wait_while(guard, waits).unwrap_or_else(PoisonError::into_inner);
    };
    let left = deadline.saturating_duration_since(Instant::now());
    changed.wait_timeout_while(guard, left, waits).unwrap_or_else(PoisonError::into_inner).0
}

/// A thread that will end, as one can wait for with a deadline.
pub struct Ending {
    end: Arc<End>,
    thread: JoinHandle<()>,
}

/// Whether a thread has nothing more to do.
#[derive(Default)]
pub struct End {
    reached: Mutex<bool>,
    changed: Condvar,
}

impl End {
    /// Waits for it. Says whether it was reached before the deadline.
    pub fn wait(&self, deadline: Option<Instant>) -> bool {
        let reached = self.reached.lock().unwrap_or_else(PoisonError::into_inner);
        *wait_until(&self.changed, reached, deadline, |reached| !*reached)
    }
}

/// Held by the thread.
struct EndGuard(Arc<End>);

impl Drop for EndGuard {
    fn drop(&mut self) {
        *self.0.reached.lock().unwrap_or_else(PoisonError::into_inner) = true;
        self.0.changed.notify_all();
    }
}

impl Ending {
    /// What to wait for.
    pub fn end(&self) -> Arc<End> {
        self.end.clone()
    }

    /// Cleans up after the thread if it has reached its end, and gives it back otherwise.
    pub fn join(self) -> Option<Self> {
        if !self.end.wait(Some(Instant::now())) {
            return Some(self);
        }
        // It needs nothing any more for which it would have to wait.
        let _ = self.thread.join();
        None
    }
}

/// Starts a library thread that whoever starts it ends, and waits for.
pub fn spawn_ending(kind: ThreadKind, body: impl FnOnce() + Send + 'static) -> io::Result<Ending> {
    let end = Arc::new(End::default());
    let thread = spawn(kind, EndGuard(end.clone()), body)?;
    Ok(Ending { end, thread })
}
