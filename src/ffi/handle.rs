//! Handles: what an opaque pointer of the C API points to.
//!
//! A handle is a *shell*: a header with a magic word, and the object. Shells are never given back to
//! the allocator, only reused for objects of the same type after a while. So a call with a stale
//! handle always reads valid memory and can answer `ISCP_ERR_BAD_HANDLE`, and two threads may free
//! and use the same handle at once without undefined behaviour. A shell that was reused meanwhile is
//! not told apart: detection is best effort, as the header says.
//!
//! Every call takes a reference first ([`enter`]), so an object outlives the calls in progress.

use std::cell::UnsafeCell;
use std::collections::VecDeque;
use std::ops::Deref;
use std::ptr;
use std::sync::atomic::AtomicU64;
use std::sync::atomic::Ordering::{AcqRel, Acquire, Relaxed, Release};
use std::sync::{Mutex, PoisonError};

use super::fork;
use crate::error::Status;

/// Freed shells of a type that wait before the oldest is used again.
const QUARANTINE: usize = 256;

/// One owner, in the upper half of the reference word; calls in progress are in the lower half.
const OWNER: u64 = 1 << 32;

/// An opaque type of the C API.
pub(super) trait Handle: Sized + 'static {
    /// Tells the type apart from the others.
    const MAGIC: u64;
    /// What the type's documentation calls a handle, for messages.
    const NAME: &'static str;
    /// The object behind the handle.
    type Object: Send + Sync;
    /// The type's freed shells.
    fn pool() -> &'static Pool<Self::Object>;
    /// Called when the last owner freed the handle, while calls on other threads may be in progress:
    /// those that wait are to end.
    fn orphaned(object: &Self::Object);
}

/// Implements [`Handle`] for an opaque type.
macro_rules! handle {
    ($type:ident, $magic:literal, $name:literal, $object:ty) => {
        $crate::ffi::handle::handle!($type, $magic, $name, $object, |_| {});
    };
    ($type:ident, $magic:literal, $name:literal, $object:ty, $orphaned:expr) => {
        impl $crate::ffi::handle::Handle for $type {
            const MAGIC: u64 = u64::from_be_bytes(*$magic);
            const NAME: &'static str = $name;
            type Object = $object;
            fn pool() -> &'static $crate::ffi::handle::Pool<$object> {
                static POOL: $crate::ffi::handle::Pool<$object> = $crate::ffi::handle::Pool::new();
                &POOL
            }
            fn orphaned(object: &$object) {
                let orphaned: fn(&$object) = $orphaned;
                orphaned(object);
            }
        }
    };
}
pub(super) use handle;

#[repr(C)]
pub(super) struct Shell<O> {
    /// Of the type; the same for the life of the memory.
    magic: u64,
    /// Owners and calls in progress. Without an owner no call begins; without either the object is
    /// dropped.
    refs: AtomicU64,
    /// Process that made the object (see [`fork`]). Written while nobody else has the pointer.
    generation: AtomicU64,
    object: UnsafeCell<Option<O>>,
}

/// Freed shells of one type.
pub(super) struct Pool<O>(Mutex<VecDeque<ShellPtr<O>>>);

struct ShellPtr<O>(*mut Shell<O>);

// SAFETY: the pointer is to leaked memory whose object was dropped; whoever takes it out of the pool
// is its only user.
unsafe impl<O: Send> Send for ShellPtr<O> {}

impl<O> Pool<O> {
    pub(super) const fn new() -> Self {
        Self(Mutex::new(VecDeque::new()))
    }

    fn take(&self) -> Option<*mut Shell<O>> {
        let mut shells = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if shells.len() > QUARANTINE { shells.pop_front().map(|shell| shell.0) } else { None }
    }

    fn put(&self, shell: *mut Shell<O>) {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).push_back(ShellPtr(shell));
    }
}

/// Makes a handle with one owner.
pub(super) fn new<T: Handle>(object: T::Object) -> *mut T {
    // In a forked child another thread of the parent may have held the pool's lock for ever.
    let reused = if fork::generation() == 0 { T::pool().take() } else { None };
    let shell = reused.unwrap_or_else(|| {
        Box::into_raw(Box::new(Shell {
            magic: T::MAGIC,
            refs: AtomicU64::new(0),
            generation: AtomicU64::new(0),
            object: UnsafeCell::new(None),
        }))
    });
    // SAFETY: the shell is fresh or came out of the pool: no owner, no call in progress, so nobody
    // else touches the object until the reference word below says there is an owner.
    unsafe {
        *(*shell).object.get() = Some(object);
        (*shell).generation.store(fork::generation(), Relaxed);
        (*shell).refs.store(OWNER, Release);
    }
    shell.cast()
}

/// The shell behind a handle, if it looks like one of this type.
///
/// # Safety
/// `handle` is NULL, or points to a live or stale handle of any type of this library. For anything
/// else the answer is best effort.
unsafe fn shell<T: Handle>(handle: *const T) -> Result<*mut Shell<T::Object>, Status> {
    if handle.is_null() {
        return Err(Status::NullArgument);
    }
    let shell: *mut Shell<T::Object> = handle.cast_mut().cast();
    if !shell.is_aligned() {
        return Err(Status::BadHandle);
    }
    // SAFETY: shells are never freed and all begin with the magic word, whatever their type.
    let magic = unsafe { ptr::read_volatile(ptr::addr_of!((*shell).magic)) };
    if magic == T::MAGIC { Ok(shell) } else { Err(Status::BadHandle) }
}

/// Changes the reference word unless there is no owner or the object belongs to another process.
fn change<O>(shell: &Shell<O>, change: impl Fn(u64) -> u64) -> Result<u64, Status> {
    let mut refs = shell.refs.load(Relaxed);
    loop {
        if refs < OWNER {
            return Err(Status::BadHandle);
        }
        if shell.generation.load(Relaxed) != fork::generation() {
            return Err(Status::Forked);
        }
        match shell.refs.compare_exchange_weak(refs, change(refs), AcqRel, Relaxed) {
            Ok(before) => return Ok(change(before)),
            Err(now) => refs = now,
        }
    }
}

/// A reference to the object behind a handle, for one call.
pub(super) struct Entered<T: Handle>(*mut Shell<T::Object>);

impl<T: Handle> Deref for Entered<T> {
    type Target = T::Object;

    #[inline]
    fn deref(&self) -> &T::Object {
        // SAFETY: a call in progress keeps the object in place, and it is only changed while there
        // is neither an owner nor a call.
        match unsafe { &*(*self.0).object.get() } {
            Some(object) => object,
            None => unreachable!("a shell with references holds an object"),
        }
    }
}

impl<T: Handle> Drop for Entered<T> {
    #[inline]
    fn drop(&mut self) {
        // SAFETY: the shell is never freed.
        if unsafe { (*self.0).refs.fetch_sub(1, AcqRel) } == 1 {
            dispose::<T>(self.0);
        }
    }
}

/// Begins a call on a handle.
///
/// # Safety
/// As for [`shell`].
#[inline]
pub(super) unsafe fn enter<T: Handle>(handle: *const T) -> Result<Entered<T>, Status> {
    // SAFETY: the caller's promise.
    let shell = unsafe { shell(handle)? };
    // SAFETY: the shell is never freed.
    change(unsafe { &*shell }, |refs| refs + 1)?;
    Ok(Entered(shell))
}

/// Adds an owner.
///
/// # Safety
/// As for [`shell`].
pub(super) unsafe fn add_owner<T: Handle>(handle: *const T) -> Result<(), Status> {
    // SAFETY: the caller's promise; the shell is never freed.
    change(unsafe { &*shell(handle)? }, |refs| refs + OWNER).map(drop)
}

/// Takes an owner away; the last one ends the handle. Nothing happens to NULL, to a handle that has
/// no owner any more, or in a forked child, where objects are only leaked.
///
/// # Safety
/// As for [`shell`].
pub(super) unsafe fn free<T: Handle>(handle: *const T) {
    // SAFETY: the caller's promise.
    let Ok(shell) = (unsafe { shell(handle) }) else {
        return;
    };
    // The last owner becomes a call, so that the object is still there when it is told.
    let left = |refs| {
        if refs < 2 * OWNER { refs - OWNER + 1 } else { refs - OWNER }
    };
    // SAFETY: the shell is never freed.
    if change(unsafe { &*shell }, left).is_ok_and(|refs| refs < OWNER) {
        let last = Entered::<T>(shell);
        T::orphaned(&last);
    }
}

/// Drops the object of a shell that has no references left, and keeps the shell for later.
fn dispose<T: Handle>(shell: *mut Shell<T::Object>) {
    // Orders everything done through other references before the drop.
    // SAFETY: the shell is never freed; whoever made the reference word zero is the only one here,
    // since without an owner no call can begin.
    let object = unsafe {
        (*shell).refs.load(Acquire);
        (*(*shell).object.get()).take()
    };
    // Not in a forked child, as above: the shell is lost there.
    if fork::generation() == 0 {
        T::pool().put(shell);
    }
    drop(object);
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;
    use std::thread;

    use super::*;

    struct Number;
    handle!(Number, b"testnumb", "number", Arc<u64>);
    struct Other;
    handle!(Other, b"testothr", "other", u8);

    #[test]
    fn a_handle_answers_until_it_is_freed() {
        let object = Arc::new(7);
        let handle = new::<Number>(object.clone());
        // SAFETY: live and stale handles of this library.
        unsafe {
            assert_eq!(**enter(handle).unwrap(), 7);
            add_owner(handle).unwrap();
            free(handle);
            assert_eq!(**enter(handle).unwrap(), 7);
            free(handle);
            assert_eq!(enter(handle).map(drop), Err(Status::BadHandle));
            free(handle);
            assert_eq!(enter(ptr::null::<Number>()).map(drop), Err(Status::NullArgument));
        }
        assert_eq!(Arc::strong_count(&object), 1);
    }

    #[test]
    fn a_handle_of_another_type_is_refused() {
        let handle = new::<Other>(1);
        // SAFETY: a live handle of this library.
        unsafe {
            assert_eq!(enter(handle.cast::<Number>()).map(drop), Err(Status::BadHandle));
            free(handle);
        }
    }

    #[test]
    fn freeing_during_a_call_leaves_the_call_its_object() {
        let object = Arc::new(7);
        let handle = new::<Number>(object.clone());
        // SAFETY: live and stale handles of this library.
        unsafe {
            let call = enter(handle).unwrap();
            free(handle);
            assert_eq!(**call, 7);
            assert_eq!(Arc::strong_count(&object), 2);
            drop(call);
            assert_eq!(Arc::strong_count(&object), 1);
        }
    }

    /// A handle that threads share.
    struct Shared(*const Number);
    // SAFETY: handles may be used from any thread.
    unsafe impl Sync for Shared {}

    #[test]
    fn many_threads_may_use_and_free_a_handle_at_once() {
        // Miri takes a minute for what takes a millisecond.
        let (rounds, calls) = if cfg!(miri) { (5, 5) } else { (100, 100) };
        for _ in 0..rounds {
            let object = Arc::new(7);
            let shared = &Shared(new::<Number>(object.clone()));
            thread::scope(|scope| {
                for user in 0..4 {
                    scope.spawn(move || {
                        let handle = shared.0;
                        for _ in 0..calls {
                            // SAFETY: a live or stale handle of this library.
                            if let Ok(number) = unsafe { enter(handle) } {
                                assert_eq!(**number, 7);
                            }
                        }
                        if user == 0 {
                            // SAFETY: as above.
                            unsafe { free(handle) };
                        }
                    });
                }
            });
            assert_eq!(Arc::strong_count(&object), 1);
        }
    }

    #[test]
    #[cfg(not(miri))]
    fn a_forked_child_frees_what_it_made_whatever_other_threads_did() {
        use std::time::{Duration, Instant};

        struct Busy;
        handle!(Busy, b"testbusy", "busy", u8);
        fork::watch();
        // As a thread does that puts a shell away while another one forks.
        let held = Busy::pool().0.lock().unwrap();
        // SAFETY: the child only makes and frees a handle.
        let child = unsafe { libc::fork() };
        if child == 0 {
            // SAFETY: a live handle of this process.
            unsafe {
                free(new::<Busy>(1));
                libc::_exit(0);
            }
        }
        drop(held);
        let (deadline, mut status) = (Instant::now() + Duration::from_secs(20), -1);
        // SAFETY: the child made above, and a writable place.
        while unsafe { libc::waitpid(child, &raw mut status, libc::WNOHANG) } == 0 {
            if Instant::now() > deadline {
                // SAFETY: the child made above.
                unsafe { libc::kill(child, libc::SIGKILL) };
                panic!("the child waits for a lock that nobody will release");
            }
            thread::sleep(Duration::from_millis(5));
        }
        assert_eq!(status, 0);
    }
}
