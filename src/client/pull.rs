//! What the queues that an application can read have in common: waiting for something to take, and the
//! descriptor that says that there is something.

use std::os::fd::{AsFd, AsRawFd, RawFd};
use std::sync::{Condvar, Mutex, PoisonError};
use std::time::{Duration, Instant};

use nix::sys::eventfd::{EfdFlags, EventFd};

use super::runtime;
use crate::error::{Error, Result, Status};

/// Takes something out of a queue, waiting at most `timeout`; `None` waits until there is something or
/// `take` says that nothing comes any more. A zero time-out does not wait.
///
/// # Errors
/// What `take` says; `WouldBlock` for a zero time-out and `Timeout` for another, with the message
/// `nothing`; `InCallback` on a thread of the library, unless the time-out is zero.
pub(super) fn wait<S, T>(
    queue: &Mutex<S>,
    arrived: &Condvar,
    timeout: Option<Duration>,
    nothing: &str,
    mut take: impl FnMut(&mut S) -> Result<Option<T>>,
) -> Result<T> {
    let try_only = timeout.is_some_and(|timeout| timeout.is_zero());
    if !try_only {
        runtime::refuse_on_library_thread()?;
    }
    let deadline = timeout.map(|timeout| Instant::now() + timeout);
    let mut state = queue.lock().unwrap_or_else(PoisonError::into_inner);
    loop {
        if let Some(item) = take(&mut state)? {
            return Ok(item);
        }
        state = match deadline {
            None => arrived.wait(state).unwrap_or_else(PoisonError::into_inner),
            Some(deadline) => {
                let left = deadline.saturating_duration_since(Instant::now());
                if left.is_zero() {
                    let status = if try_only { Status::WouldBlock } else { Status::Timeout };
                    return Err(Error::new(status, nothing));
                }
                arrived.wait_timeout(state, left).unwrap_or_else(PoisonError::into_inner).0
            }
        };
    }
}

/// Why there is nothing more to take: the error that ended it, or that it was closed.
pub(super) fn ended(end: Option<&Error>, what: &str) -> Error {
    end.cloned().unwrap_or_else(|| Error::new(Status::Closed, format!("the {what} is closed")))
}

/// A descriptor that polls readable while it is set, made when it is asked for.
#[derive(Default)]
pub(super) struct Descriptor(Option<EventFd>);

impl Descriptor {
    /// The descriptor; it must then be [set](Self::set) to what is true.
    ///
    /// # Errors
    /// `Resource` when the system has none.
    pub(super) fn open(&mut self, what: &str) -> Result<RawFd> {
        let event = match self.0.take() {
            Some(event) => event,
            None => {
                let flags = EfdFlags::EFD_CLOEXEC | EfdFlags::EFD_NONBLOCK;
                EventFd::from_value_and_flags(0, flags).map_err(|error| {
                    Error::new(Status::Resource, format!("{what}: no event descriptor: {error}"))
                })?
            }
        };
        Ok(self.0.insert(event).as_fd().as_raw_fd())
    }

    /// Makes the descriptor readable or not. It counts at most one, so that it never blocks.
    pub(super) fn set(&self, readable: bool) {
        let Some(event) = &self.0 else { return };
        let _ = event.read();
        if readable {
            let _ = event.write(1);
        }
    }
}
