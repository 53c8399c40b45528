//! Brings points from a journal to the buffer of its upstream.

use std::ops::ControlFlow;
use std::sync::{Arc, PoisonError};
use std::time::{Duration, Instant};

use super::kept::{Deferred, Kept, left_behind};
use super::spool_error;
use crate::client::completion::Completion;
use crate::client::connection::{Command, Shared};
use crate::client::runtime::spawn_thread;
use crate::client::threads::ThreadKind;
use crate::core::{Pushed, SharedBuffer, StreamKey};
use crate::error::{Error, Status};
use crate::message::DataPoint;
use crate::spool::Run;

/// How often a pump that waits for room looks whether something else is due.
const LOOK: Duration = Duration::from_millis(100);

/// One upstream, to whoever moves its points.
#[derive(Clone)]
pub(in crate::client) struct Pump {
    pub(in crate::client) shared: Arc<Shared>,
    pub(in crate::client) key: StreamKey,
    pub(in crate::client) buffer: Arc<SharedBuffer>,
    pub(in crate::client) kept: Arc<Kept>,
}

impl Pump {
    /// Starts a thread that brings over what the buffer does not have. The caller set `backlog`.
    pub(in crate::client) fn start(self) {
        let pump = self.clone();
        if let Err(error) = spawn_thread(ThreadKind::Spool, move || self.run()) {
            // Everything is on disk, and stays there.
            tracing::error!("spool: cannot start a thread: {error}");
            pump.give_up(&Error::new(Status::Resource, format!("spool: no thread can be started: {error}")));
        }
    }

    /// Brings points over until the buffer has all of them, or the stream ended.
    pub(super) fn run(&self) {
        let mut cursor = None;
        loop {
            let mut state = self.kept.lock();
            let next = self.buffer.lock().written();
            let cursor = cursor.get_or_insert_with(|| state.cursor(next));
            match state.read(cursor) {
                Ok(Some(run)) => {
                    state.read = run.first_point + run.points.len() as u64;
                    drop(state);
                    if run.first_point > next {
                        // Dropped, or damaged.
                        self.buffer.lock().skip(run.first_point - next);
                    }
                    if self.push(&run).is_break() {
                        return self.give_up(&left_behind());
                    }
                }
                Ok(None) => {
                    state.backlog = false;
                    // Under the lock, as everything that is taken from there: the connection, which can still be told,
                    // looks there when it ends the stream.
                    std::mem::take(&mut state.deferred)
                        .into_iter()
                        .for_each(|deferred| self.carry_out(deferred));
                    return;
                }
                Err(error) => {
                    tracing::error!("{error}");
                    drop(state);
                    return self.give_up(&spool_error(&error));
                }
            }
        }
    }

    fn push(&self, run: &Run) -> ControlFlow<()> {
        for point in run.points.iter() {
            self.push_point(run.data_id, &point)?;
        }
        ControlFlow::Continue(())
    }

    fn push_point(&self, id: u32, point: &DataPoint) -> ControlFlow<()> {
        loop {
            let mut buffer = self.buffer.lock();
            match buffer.push(id, point.elapsed_time, &point.payload) {
                Ok(pushed) => {
                    drop(buffer);
                    if pushed == Pushed::Wake {
                        let _ = self.shared.send(Command::Attend(self.key));
                    }
                    return ControlFlow::Continue(());
                }
                Err(Status::WouldBlock) => {}
                Err(_) => return ControlFlow::Break(()),
            }
            if buffer.want_relief() && self.shared.send(Command::Relieve(self.key)).is_err() {
                return ControlFlow::Break(());
            }
            buffer.waiters += 1;
            buffer = self.buffer.space.wait_timeout(buffer, LOOK).unwrap_or_else(PoisonError::into_inner).0;
            buffer.waiters -= 1;
            drop(buffer);
            self.expire();
        }
    }

    /// Carries out what must not wait any longer for the rest of the points.
    fn expire(&self) {
        let now = Instant::now();
        let mut state = self.kept.lock();
        let left = state.unsettled();
        let (expired, waiting): (Vec<_>, _) =
            std::mem::take(&mut state.deferred).into_iter().partition(|deferred| deferred.deadline() <= now);
        state.deferred = waiting;
        for deferred in expired {
            let what = if matches!(deferred, Deferred::Close { .. }) { "close" } else { "flush" };
            let text = format!("{what}: {left} points were not delivered in time and stay in the spool");
            self.refuse(deferred, Error::new(Status::Timeout, text));
        }
    }

    /// Closes without the rest of the points, if that is what is waited for, and tells who waits.
    fn refuse(&self, deferred: Deferred, error: Error) {
        if let Deferred::Close { close_session, .. } = deferred {
            self.close(close_session, Completion::ignore());
        }
        let _ = self.shared.send(Command::Fail(deferred.into_done(), error));
    }

    fn carry_out(&self, deferred: Deferred) {
        match deferred {
            Deferred::Flush { level, deadline, done } => {
                let left = deadline.saturating_duration_since(Instant::now());
                let _ = self.shared.send(Command::Flush(self.key, level, left, done));
            }
            Deferred::Close { close_session, done, .. } => self.close(close_session, done),
        }
    }

    fn close(&self, close_session: bool, done: Completion<()>) {
        self.buffer.lock().close(Status::Closed);
        self.buffer.space.notify_all();
        let _ = self.shared.send(Command::CloseUpstream(self.key, close_session, done));
    }

    /// The buffer takes nothing any more, or the journal cannot be read.
    fn give_up(&self, error: &Error) {
        self.kept.give_up(error, |deferred| self.refuse(deferred, error.clone()));
    }
}
