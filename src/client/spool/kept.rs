//! The points of one upstream that are on disk.

use std::sync::atomic::Ordering::Relaxed;
use std::sync::{Condvar, Mutex, MutexGuard, PoisonError};
use std::time::Instant;

use uuid::Uuid;

use super::{SpoolCounters, SpoolFull, spool_error};
use crate::client::completion::Completion;
use crate::client::dispatcher::Dispatcher;
use crate::core::FlushLevel;
use crate::core::{DataIdIndex, Keeper};
use crate::error::{Error, Result, Status};
use crate::message::{DataId, Points};
use crate::spool::{Attachment, Cursor, Journal, Run, SpoolError, Unsynced};

/// What the application asked for while the journal was ahead of the buffer.
pub(in crate::client) enum Deferred {
    Flush { level: FlushLevel, deadline: Instant, done: Completion<()> },
    Close { close_session: bool, deadline: Instant, done: Completion<()> },
}

impl Deferred {
    pub(super) fn deadline(&self) -> Instant {
        let (Self::Flush { deadline, .. } | Self::Close { deadline, .. }) = self;
        *deadline
    }

    pub(in crate::client) fn into_done(self) -> Completion<()> {
        let (Self::Flush { done, .. } | Self::Close { done, .. }) = self;
        done
    }
}

/// What those are told who wait for points that are for the next process.
pub(super) fn left_behind() -> Error {
    Error::new(Status::Closed, "the upstream is closed; its points stay in the spool")
}

/// The journal of an upstream, and how far its buffer is.
pub(in crate::client) struct Kept {
    state: Mutex<State>,
    /// Something was settled.
    room: Condvar,
    full: SpoolFull,
}

pub(in crate::client) struct State {
    /// Until the stream ended.
    pub(super) journal: Option<Journal>,
    /// The buffer does not have all that the journal has.
    pub(in crate::client) backlog: bool,
    /// Number of the first point that was not read back yet, to be put into the buffer.
    pub(super) read: u64,
    /// Why the buffer will not get the rest.
    pub(in crate::client) given_up: Option<Error>,
    /// Nothing is written any more.
    pub(in crate::client) closing: bool,
    pub(in crate::client) deferred: Vec<Deferred>,
}

impl Kept {
    pub(super) fn new(journal: Journal, full: SpoolFull) -> Self {
        let state = State {
            journal: Some(journal),
            backlog: false,
            read: 0,
            given_up: None,
            closing: false,
            deferred: Vec::new(),
        };
        Self { state: Mutex::new(state), room: Condvar::new(), full }
    }

    pub(in crate::client) fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Takes a data id into the table; the buffer gives it the same number.
    pub(in crate::client) fn declare(&self, data_id: &DataId) -> Result<()> {
        self.lock().declare(data_id)
    }

    /// Keeps points, waiting for room until `deadline` if there is one. What is given back is for [`Kept::sync`].
    /// `buffered` tells the number of the first point that the buffer does not have: those before are delivered
    /// also when the disk has them no longer.
    pub(in crate::client) fn append<'a>(
        &'a self,
        mut state: MutexGuard<'a, State>,
        runs: &[(DataIdIndex, Points)],
        deadline: Option<Instant>,
        counters: &SpoolCounters,
        buffered: impl Fn() -> u64,
    ) -> Result<(MutexGuard<'a, State>, Option<Unsynced>), Status> {
        loop {
            let journal = state.journal.as_mut().ok_or(Status::Closed)?;
            match journal.append_all(runs) {
                Ok(unsynced) => return Ok((state, unsynced)),
                Err(SpoolError::Full) => {}
                Err(error) => {
                    tracing::error!("{error}");
                    return Err(Status::Spool);
                }
            }
            if self.full == SpoolFull::DropOldest {
                let dropped = journal.drop_oldest().map_err(|_| Status::Spool)?;
                if !dropped.is_empty() {
                    let first = dropped.start.max(buffered()).max(state.read);
                    counters.dropped_points.fetch_add(dropped.end.saturating_sub(first), Relaxed);
                    continue;
                }
            }
            let Some(deadline) = deadline else { return Err(Status::WouldBlock) };
            let left = deadline.saturating_duration_since(Instant::now());
            if left.is_zero() {
                return Err(Status::Timeout);
            }
            state = self.room.wait_timeout(state, left).unwrap_or_else(PoisonError::into_inner).0;
            if state.closing {
                return Err(Status::Closed);
            }
        }
    }

    /// Nothing is written any more, not by those who wait for room either.
    pub(in crate::client) fn begin_closing(&self, state: &mut State) {
        state.closing = true;
        self.room.notify_all();
    }

    /// The buffer does not get the rest: what waits for that goes to `refuse`, under the lock, and nothing waits from
    /// now on.
    pub(in crate::client) fn give_up(&self, error: &Error, refuse: impl FnMut(Deferred)) {
        let mut state = self.lock();
        state.given_up.get_or_insert_with(|| error.clone());
        std::mem::take(&mut state.deferred).into_iter().for_each(refuse);
    }

    /// The upstream has ended; what it did not deliver is for the next process. What waits is told.
    pub(in crate::client) fn leave(&self, dispatcher: &Dispatcher) {
        let error = left_behind();
        self.give_up(&error, |deferred| deferred.into_done().complete(Err(error.clone()), dispatcher));
    }

    /// Waits until the disk has what was appended. The lock is not held, because the connection's thread takes it.
    pub(in crate::client) fn sync(&self, unsynced: Option<Unsynced>) -> Result<(), Status> {
        unsynced.map_or(Ok(()), |unsynced| unsynced.sync()).map_err(|error| {
            tracing::error!("{error}");
            if let Some(journal) = &mut self.lock().journal {
                journal.abandon_segment();
            }
            Status::Spool
        })
    }

    /// What a failure on the disk means: the points are still delivered as long as the process lives.
    fn note(result: Result<(), SpoolError>) {
        if let Err(error) = result {
            tracing::error!("{error}");
        }
    }

    /// Removes a journal of which nothing is left; what is left of another is for the next process.
    fn end(&self) {
        if let Some(journal) = self.lock().journal.take()
            && journal.settled() >= journal.written()
        {
            Self::note(journal.remove());
        }
        self.room.notify_all();
    }
}

impl State {
    pub(in crate::client) fn declare(&mut self, data_id: &DataId) -> Result<()> {
        let Some(journal) = &mut self.journal else {
            return Err(Error::new(Status::Closed, "the upstream is closed"));
        };
        if journal.data_ids().contains(data_id) {
            return Ok(());
        }
        journal.declare(data_id).map(drop).map_err(|error| spool_error(&error))
    }

    /// Reads what is next at the cursor.
    pub(super) fn read(&self, cursor: &mut Cursor) -> Result<Option<Run>, SpoolError> {
        self.journal.as_ref().map_or(Ok(None), |journal| journal.read(cursor))
    }

    /// A cursor before the point `from`.
    pub(super) fn cursor(&self, from: u64) -> Cursor {
        Cursor::new(from)
    }

    /// Points that were ever written.
    pub(in crate::client) fn written(&self) -> u64 {
        self.journal.as_ref().map_or(0, Journal::written)
    }

    /// Points that are not settled.
    pub(super) fn unsettled(&self) -> u64 {
        self.journal.as_ref().map_or(0, |journal| journal.written() - journal.settled())
    }
}

impl Keeper for Kept {
    fn attached(&self, stream_id: Uuid, alias: u32, resume_token: &str, first_point: u64) {
        if let Some(journal) = &mut self.lock().journal {
            let attachment =
                Attachment { stream_id, alias, resume_token: resume_token.to_owned(), first_point };
            Self::note(journal.attach(attachment));
        }
    }

    fn cut(&self, sequence_number: u32, end: u64) {
        if let Some(journal) = &mut self.lock().journal {
            Self::note(journal.cut(sequence_number, end));
        }
    }

    fn settled(&self, end: u64) {
        if let Some(journal) = &mut self.lock().journal {
            Self::note(journal.settle(end));
        }
        self.room.notify_all();
    }

    fn ended(&self) {
        self.end();
    }
}

impl std::fmt::Debug for Kept {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Kept").finish_non_exhaustive()
    }
}

impl Drop for Kept {
    fn drop(&mut self) {
        self.end();
    }
}
