//! The one end of every asynchronous operation: a callback or a parked caller.

use std::sync::{Arc, Condvar, Mutex, PoisonError};
use std::time::{Duration, Instant};

use super::dispatcher::Dispatcher;
use super::runtime;
use crate::error::{Error, Result, Status};

/// What to do with the outcome of an operation.
///
/// Exactly one thing happens to it: the callback runs on the connection's dispatcher thread, or the
/// waiter wakes up. The exception is an operation that could not be started, whose caller is told by
/// the function that would have started it.
pub struct Completion<T: Send + 'static>(Kind<T>);

enum Kind<T> {
    Ignore,
    Call(Box<dyn FnOnce(Result<T>) + Send>),
    Wake(Arc<Slot<T>>),
}

impl<T: Send + 'static> Completion<T> {
    /// Nobody wants to know.
    pub fn ignore() -> Self {
        Self(Kind::Ignore)
    }

    /// Calls back on the connection's dispatcher thread.
    pub fn call(callback: impl FnOnce(Result<T>) + Send + 'static) -> Self {
        Self(Kind::Call(Box::new(callback)))
    }

    /// A completion and the waiter it wakes.
    ///
    /// # Errors
    /// `InCallback` on a thread of the library, where waiting would stop what is waited for.
    pub fn waiter() -> Result<(Self, Waiter<T>)> {
        runtime::refuse_on_library_thread()?;
        let slot = Arc::new(Slot { outcome: Mutex::new(None), ready: Condvar::new() });
        Ok((Self(Kind::Wake(slot.clone())), Waiter(slot)))
    }

    /// Drops `held` once whoever wants the outcome was told.
    pub(super) fn holding(mut self, held: impl Send + 'static) -> Self {
        match std::mem::replace(&mut self.0, Kind::Ignore) {
            Kind::Call(callback) => Self::call(move |outcome| {
                callback(outcome);
                drop(held);
            }),
            kind => Self(kind),
        }
    }

    pub(super) fn complete(mut self, outcome: Result<T>, dispatcher: &Dispatcher) {
        match std::mem::replace(&mut self.0, Kind::Ignore) {
            Kind::Ignore => {}
            Kind::Call(callback) => dispatcher.post(move || callback(outcome)),
            Kind::Wake(slot) => slot.fill(outcome),
        }
    }
}

/// Nobody waits for ever, even if the library forgot about the operation.
impl<T: Send + 'static> Drop for Completion<T> {
    fn drop(&mut self) {
        if let Kind::Wake(slot) = &self.0 {
            slot.fill(Err(Error::new(Status::Cancelled, "the operation was given up")));
        }
    }
}

impl<T> Slot<T> {
    fn fill(&self, outcome: Result<T>) {
        self.outcome.lock().unwrap_or_else(PoisonError::into_inner).get_or_insert(outcome);
        self.ready.notify_one();
    }
}

struct Slot<T> {
    outcome: Mutex<Option<Result<T>>>,
    ready: Condvar,
}

/// Waits for the outcome of an operation.
pub struct Waiter<T>(Arc<Slot<T>>);

impl<T> Waiter<T> {
    /// Parks the thread until the operation ended; `None` waits as long as the operation takes.
    ///
    /// # Errors
    /// That of the operation, or `Timeout`. After a time-out the operation goes on, and what it
    /// yields is dropped.
    pub fn wait(self, timeout: Option<Duration>) -> Result<T> {
        let deadline = timeout.map(|timeout| Instant::now() + timeout);
        let mut outcome = self.0.outcome.lock().unwrap_or_else(PoisonError::into_inner);
        loop {
            if let Some(outcome) = outcome.take() {
                return outcome;
            }
            outcome = match deadline {
                None => self.0.ready.wait(outcome).unwrap_or_else(PoisonError::into_inner),
                Some(deadline) => {
                    let left = deadline.saturating_duration_since(Instant::now());
                    if left.is_zero() {
                        return Err(Error::new(
                            Status::Timeout,
                            "the operation took longer than the time-out",
                        ));
                    }
                    self.0.ready.wait_timeout(outcome, left).unwrap_or_else(PoisonError::into_inner).0
                }
            };
        }
    }
}
