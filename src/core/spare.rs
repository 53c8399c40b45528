//! Memory of points that were sent, to be written to again.

use crate::message::{Points, PointsBuf, WORTH_KEEPING};

/// Bytes at most: what a server acknowledges at a time, at high rates.
const LIMIT: usize = 4 << 20;

/// Memory that waits to be written to.
#[derive(Debug, Default)]
pub(super) struct Spare {
    memory: Vec<Vec<u8>>,
    bytes: usize,
}

impl Spare {
    /// Keeps memory; gives it back when there is enough, half of `buffer_limit` at most.
    pub(super) fn put(&mut self, memory: Vec<u8>, buffer_limit: usize) -> Option<Vec<u8>> {
        if memory.capacity() < WORTH_KEEPING || self.bytes + memory.capacity() > LIMIT.min(buffer_limit / 2) {
            return Some(memory);
        }
        self.bytes += memory.capacity();
        self.memory.push(memory);
        None
    }

    /// Memory to write to, or none.
    pub(super) fn take(&mut self) -> Option<Vec<u8>> {
        let memory = self.memory.pop()?;
        self.bytes -= memory.capacity();
        Some(memory)
    }

    /// Takes a run out of `open` and leaves it memory as large: waiting memory, if it is worth it.
    pub(super) fn take_run(&mut self, open: &mut PointsBuf) -> Points {
        let next = if open.wire_bytes() < WORTH_KEEPING { None } else { self.take() };
        match next {
            Some(next) => open.take_leaving(next),
            None => open.take(),
        }
    }
}
