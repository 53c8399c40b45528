//! How points get into the buffer of an upstream, and into its journal.

use std::iter::once;
use std::sync::{Arc, MutexGuard, PoisonError};
use std::time::Instant;

use super::awaited::Place;
use super::completion::Completion;
use super::connection::Command;
use super::options::FullPolicy;
use super::spool::Kept;
use super::threads;
use super::upstream::Upstream;
use crate::core::{DataIdIndex, LARGE, Pushed, WriteBuffer};
use crate::error::{Error, Result, Status};
use crate::message::{Points, PointsBuf, max_wire_len};

/// Bytes after which one record of a journal ends and the next begins.
const RECORD: usize = 1 << 20;

/// A point to be written: data id, elapsed time in nanoseconds, payload.
pub type NewPoint<'a> = (DataIdIndex, i64, &'a [u8]);

/// What became of a write that succeeded.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Written {
    Buffered,
    /// The buffer was full and the policy is to drop.
    Dropped,
}

/// Somebody who waits for the outcome of a point.
type Waiter = Option<(Completion<()>, Place)>;

impl Upstream {
    /// Writes a point of `elapsed_time` nanoseconds.
    ///
    /// # Errors
    /// `InvalidArgument` for an `id` not from [`Upstream::data_id`], `TooLarge` for a payload that is,
    /// `WouldBlock` or `Timeout` when the buffer stays full, `Closed`; `Spool` when it cannot be kept.
    #[inline]
    pub fn write(&self, id: DataIdIndex, elapsed_time: i64, payload: &[u8]) -> Result<(), Status> {
        if let Some(kept) = &self.kept {
            return self.write_kept(kept, once((id, elapsed_time, payload)), false, &mut None);
        }
        let size = || (max_wire_len(payload.len()), 1);
        if payload.len() >= LARGE
            && let Some(mut point) = self.put_together(id, elapsed_time, payload)?
        {
            return self.put(size, |buffer| buffer.push_made(id, &mut point));
        }
        self.put(size, |buffer| buffer.push(id, elapsed_time, payload))
    }

    /// Copies a large payload while nobody waits for the lock. Not when there is no room for it: what is done then may be not
    /// to take it, and who waits for room should not hold a copy meanwhile.
    ///
    /// # Errors
    /// As [`Upstream::write`].
    #[cold]
    fn put_together(
        &self,
        id: DataIdIndex,
        elapsed_time: i64,
        payload: &[u8],
    ) -> Result<Option<PointsBuf>, Status> {
        let memory = self.buffer.lock().memory_for(id, elapsed_time, payload)?;
        Ok(memory.map(|memory| {
            let mut point = PointsBuf::in_memory(memory);
            point.push(elapsed_time, payload);
            point
        }))
    }

    /// Lets `push` fill the buffer, now or when there is room. The points have so many wire bytes, at most, and are so many.
    #[inline]
    fn put(
        &self,
        size: impl FnOnce() -> (usize, u64),
        mut push: impl FnMut(&mut WriteBuffer) -> Result<Pushed, Status>,
    ) -> Result<(), Status> {
        let pushed = push(&mut self.buffer.lock());
        match pushed {
            Ok(Pushed::Quiet) => Ok(()),
            Ok(Pushed::Wake) => {
                self.wake();
                Ok(())
            }
            Err(Status::WouldBlock) => self.write_when_full(size(), push).map(drop),
            Err(status) => Err(status),
        }
    }

    /// Writes several points, all of them or none. `together` keeps them in one chunk; points that waited in a
    /// spool for room in the buffer may be in several all the same.
    ///
    /// # Errors
    /// As [`Upstream::write`]; `TooLarge` too for points that can never fit together.
    pub fn write_all<'a>(
        &self,
        points: impl Iterator<Item = NewPoint<'a>> + Clone,
        together: bool,
    ) -> Result<(), Status> {
        if let Some(kept) = &self.kept {
            return self.write_kept(kept, points, together, &mut None);
        }
        let size = || {
            points.clone().fold((0, 0), |(bytes, count), (_, _, payload)| {
                (bytes + max_wire_len(payload.len()), count + 1)
            })
        };
        self.put(size, |buffer| buffer.push_all(points.clone(), together))
    }

    /// Writes a point; `done` when the server acknowledged the chunk that holds it, or why it will not.
    ///
    /// # Errors
    /// As [`Upstream::write`]; `WouldBlock` too when [`MAX_AWAITED`](super::MAX_AWAITED) writes are awaited. `done`
    /// is then dropped.
    pub fn write_acknowledged(
        &self,
        id: DataIdIndex,
        elapsed_time: i64,
        payload: &[u8],
        done: Completion<()>,
    ) -> Result<()> {
        let place = self.awaited.admit()?;
        let mut waiter = Some((done, place));
        let refused = |status: Status| {
            let why = match status {
                Status::TooLarge => format!("payload: {} bytes are too many", payload.len()),
                Status::InvalidArgument => "data_id: it is not one of the upstream".to_owned(),
                Status::WouldBlock | Status::Timeout => "write: the buffer is full".to_owned(),
                Status::Closed => "the upstream is closed".to_owned(),
                other => format!("write: {}", other.text()),
            };
            Error::new(status, why)
        };
        if let Some(kept) = &self.kept {
            let point = once((id, elapsed_time, payload));
            return self.write_kept(kept, point, false, &mut waiter).map_err(refused);
        }
        let mut push = |buffer: &mut WriteBuffer| {
            let pushed = buffer.push(id, elapsed_time, payload)?;
            self.await_point(buffer, buffer.written() - 1, &mut waiter);
            Ok(pushed)
        };
        let pushed = push(&mut self.buffer.lock());
        let written = match pushed {
            Err(Status::WouldBlock) => {
                self.write_when_full((max_wire_len(payload.len()), 1), push).map_err(refused)?
            }
            Err(status) => return Err(refused(status)),
            Ok(pushed) => {
                if pushed == Pushed::Wake {
                    self.wake();
                }
                Written::Buffered
            }
        };
        if let (Written::Dropped, Some((done, place))) = (written, waiter) {
            let error = Error::new(Status::Overflow, "the point was dropped: too many waited to be sent");
            return self.connection.shared().send(Command::Fail(done.holding(place), error));
        }
        Ok(())
    }

    /// Under the lock of the buffer.
    fn await_point(&self, buffer: &mut WriteBuffer, number: u64, waiter: &mut Waiter) {
        if let Some((done, place)) = waiter.take() {
            buffer.await_point(number);
            self.awaited.insert(number, done, place);
        }
    }

    #[cold]
    fn wake(&self) {
        // A connection that is gone has closed the buffer: the next write says so.
        let _ = self.connection.shared().send(Command::Attend(self.key));
    }

    /// Does what the policy says for points of so many wire bytes, at most, and their number.
    #[cold]
    fn write_when_full(
        &self,
        (most, count): (usize, u64),
        mut push: impl FnMut(&mut WriteBuffer) -> Result<Pushed, Status>,
    ) -> Result<Written, Status> {
        let mut buffer = self.buffer.lock();
        self.ask_for_relief(&mut buffer);
        let (outcome, tell) = match self.full {
            FullPolicy::Block(timeout) if !threads::on_library_thread() => {
                let deadline = Instant::now() + timeout;
                let (still, pushed) = self.push_until(deadline, buffer, &mut push);
                buffer = still;
                (pushed, false)
            }
            FullPolicy::Block(_) | FullPolicy::Fail => (Err(Status::WouldBlock), false),
            // There may be room by now, or the stream may be closed: what it has then is still delivered.
            FullPolicy::DropOldest | FullPolicy::DropNewest => match push(&mut buffer) {
                Err(Status::WouldBlock) if self.full == FullPolicy::DropNewest => {
                    buffer.drop_newest(count);
                    return Ok(Written::Dropped);
                }
                Err(Status::WouldBlock) => {
                    let tell = buffer.make_room(most);
                    (push(&mut buffer), tell)
                }
                pushed => (pushed, false),
            },
        };
        drop(buffer);
        if tell || outcome == Ok(Pushed::Wake) {
            self.wake();
        }
        outcome.map(|_| Written::Buffered)
    }

    /// Waits for room.
    fn push_until<'a>(
        &'a self,
        deadline: Instant,
        mut buffer: MutexGuard<'a, WriteBuffer>,
        push: &mut impl FnMut(&mut WriteBuffer) -> Result<Pushed, Status>,
    ) -> (MutexGuard<'a, WriteBuffer>, Result<Pushed, Status>) {
        loop {
            let pushed = push(&mut buffer);
            if pushed != Err(Status::WouldBlock) {
                return (buffer, pushed);
            }
            let left = deadline.saturating_duration_since(Instant::now());
            if left.is_zero() {
                return (buffer, Err(Status::Timeout));
            }
            buffer.waiters += 1;
            buffer = self.buffer.space.wait_timeout(buffer, left).unwrap_or_else(PoisonError::into_inner).0;
            buffer.waiters -= 1;
            if buffer.bytes() > 0 {
                // Others filled it again: it stays due until there was space for everybody.
                self.ask_for_relief(&mut buffer);
            }
        }
    }

    /// Writes to the journal, and to the buffer unless that has a backlog.
    #[cold]
    fn write_kept<'a>(
        &self,
        kept: &Arc<Kept>,
        points: impl Iterator<Item = NewPoint<'a>> + Clone,
        together: bool,
        waiter: &mut Waiter,
    ) -> Result<(), Status> {
        let deadline = match self.full {
            FullPolicy::Block(timeout) if !threads::on_library_thread() => Some(Instant::now() + timeout),
            _ => None,
        };
        let state = kept.lock();
        if state.closing {
            return Err(Status::Closed);
        }
        if self.buffer.lock().check(points.clone(), together)? == 0 {
            return Ok(());
        }
        let spool = self.connection.shared().spool.as_ref().ok_or(Status::Internal)?;
        let runs = runs(points.clone());
        let (mut state, unsynced) =
            kept.append(state, &runs, deadline, &spool.counters, || self.buffer.lock().written())?;
        let last = state.written().saturating_sub(1);
        let awaited = waiter.is_some();
        let mut buffer = self.buffer.lock();
        self.await_point(&mut buffer, last, waiter);
        let pushed = if state.backlog { Ok(Pushed::Quiet) } else { buffer.push_all(points, together) };
        drop(buffer);
        state.backlog |= pushed.is_err();
        drop(state);
        match pushed {
            Ok(Pushed::Quiet) => {}
            Ok(Pushed::Wake) => self.wake(),
            Err(_) => self.pump(kept).start(),
        }
        // Who was told of the point already is not told again that it is not kept.
        kept.sync(unsynced)
            .or_else(|status| if awaited && !self.awaited.withdraw(last) { Ok(()) } else { Err(status) })
    }

    /// Tells the connection that the buffer is full, unless it knows.
    fn ask_for_relief(&self, buffer: &mut WriteBuffer) {
        if buffer.want_relief() {
            let _ = self.connection.shared().send(Command::Relieve(self.key));
        }
    }
}

/// Points as a journal keeps them: in runs of one data id, in the order in which they were written.
fn runs<'a>(points: impl Iterator<Item = NewPoint<'a>>) -> Vec<(DataIdIndex, Points)> {
    let mut runs = Vec::new();
    let mut run = PointsBuf::default();
    let mut of = 0;
    for (id, elapsed_time, payload) in points {
        if !run.is_empty() && (id != of || run.wire_bytes() > RECORD) {
            runs.push((of, run.take()));
        }
        of = id;
        run.push(elapsed_time, payload);
    }
    if !run.is_empty() {
        runs.push((of, run.take()));
    }
    runs
}
