//! Telling a forked child from the process that made an object.
//!
//! The child has none of the library's threads, so nothing can work there. Asking the system for the
//! process id would cost a system call at every call; the system tells us instead.

use std::sync::Once;
use std::sync::atomic::AtomicU64;
use std::sync::atomic::Ordering::Relaxed;

use crate::error::{Error, Result, Status};

static GENERATION: AtomicU64 = AtomicU64::new(0);

extern "C" fn in_child() {
    GENERATION.fetch_add(1, Relaxed);
}

/// Number of forks between the process that first used the library and this one.
#[inline]
pub(super) fn generation() -> u64 {
    GENERATION.load(Relaxed)
}

/// Starts watching for forks, once per process.
pub(super) fn watch() {
    static WATCH: Once = Once::new();
    WATCH.call_once(|| {
        // SAFETY: the handler only increments an atomic, which is safe in a forked child.
        let failed = unsafe { libc::pthread_atfork(None, None, Some(in_child)) };
        if failed != 0 {
            tracing::warn!("forked children will not be detected: error {failed}");
        }
    });
}

/// Refuses to make anything in a forked child.
pub(super) fn refuse_in_child(what: &str) -> Result<()> {
    watch();
    if generation() == 0 {
        return Ok(());
    }
    Err(Error::new(
        Status::Forked,
        format!(
            "{what}: the process was forked after it used the library; use the library in the child only after exec"
        ),
    ))
}
