//! Memory of points that were sent, to be written to again.

use crate::message::WORTH_KEEPING;

/// Bytes that may wait: what a server acknowledges at a time, at high rates.
const LIMIT: usize = 4 << 20;

/// Bytes of the largest memory that is kept: the one of a chunk of many points, and what a vector grows beyond it.
const LARGEST: usize = 256 * 1024;

/// Memory that waits to be written to.
#[derive(Debug, Default)]
pub(super) struct Spare {
    memory: Vec<Vec<u8>>,
    bytes: usize,
}

impl Spare {
    /// Keeps memory; gives it back when there is enough, half of `buffer_limit` at most, or when it is not worth it.
    pub(super) fn put(&mut self, memory: Vec<u8>, buffer_limit: usize) -> Option<Vec<u8>> {
        let size = memory.capacity();
        if !(WORTH_KEEPING..=LARGEST).contains(&size) || self.bytes + size > LIMIT.min(buffer_limit / 2) {
            return Some(memory);
        }
        self.bytes += size;
        self.memory.push(memory);
        None
    }

    /// Memory for so many bytes, at most twice as large: what is in flight is counted by what was written.
    pub(super) fn take(&mut self, needed: usize) -> Option<Vec<u8>> {
        if needed < WORTH_KEEPING {
            return None;
        }
        let fits = |memory: &Vec<u8>| (needed..=2 * needed).contains(&memory.capacity());
        let at = self.memory.iter().rposition(fits)?;
        let memory = self.memory.swap_remove(at);
        self.bytes -= memory.capacity();
        Some(memory)
    }

    /// All of it.
    pub(super) fn into_memory(self) -> Vec<Vec<u8>> {
        self.memory
    }
}
