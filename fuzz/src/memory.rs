//! What the library allocates while a target looks.

use peak_alloc::PeakAlloc;

#[global_allocator]
static ALLOCATOR: PeakAlloc = PeakAlloc;

/// Bytes that some work allocated.
pub struct Memory {
    /// At most, beyond what was before.
    pub most: usize,
    /// More than before when it was done; negative if it gave back more than it took.
    pub kept: isize,
}

/// What `work` returns, and what it allocates.
pub fn memory_of<T>(work: impl FnOnce() -> T) -> (T, Memory) {
    let before = ALLOCATOR.current_usage();
    ALLOCATOR.reset_peak_usage();
    let result = work();
    let memory = Memory {
        most: ALLOCATOR.peak_usage().saturating_sub(before),
        kept: ALLOCATOR.current_usage().cast_signed() - before.cast_signed(),
    };
    (result, memory)
}
