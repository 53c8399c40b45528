//! Arguments in, values out.

use std::ffi::{CStr, CString, c_char, c_void};
use std::os::fd::RawFd;
use std::sync::Arc;
use std::time::Duration;

use super::handle::{self, Entered, Handle};
use crate::error::{Error, Result, Status};

/// Begins a call on a handle argument.
///
/// # Safety
/// As for [`handle::enter`].
pub(super) unsafe fn object<T: Handle>(pointer: *const T, argument: &str) -> Result<Entered<T>> {
    // SAFETY: the caller's promise.
    unsafe { handle::enter(pointer) }.map_err(|status| handle_error::<T>(status, argument))
}

/// Says what is wrong with a handle argument.
pub(super) fn handle_error<T: Handle>(status: Status, argument: &str) -> Error {
    let name = T::NAME;
    let message = match status {
        Status::NullArgument => format!("{argument}: NULL where {name} is needed"),
        Status::Forked => format!("{argument}: the {name} belongs to the parent process"),
        _ => format!("{argument}: no {name}, or one that was freed"),
    };
    Error::new(status, message)
}

/// A text argument.
///
/// # Safety
/// `text` is NULL or a NUL-terminated string.
pub(super) unsafe fn text<'a>(text: *const c_char, argument: &str) -> Result<&'a str> {
    if text.is_null() {
        return Err(null(argument));
    }
    // SAFETY: the caller's promise.
    unsafe { CStr::from_ptr(text) }
        .to_str()
        .map_err(|error| Error::new(Status::InvalidUtf8, format!("{argument}: not UTF-8: {error}")))
}

/// A bytes argument: NULL is allowed for no bytes only.
///
/// # Safety
/// `data` is NULL or points to `len` readable bytes.
#[inline]
pub(super) unsafe fn bytes<'a>(data: *const u8, len: usize) -> Result<&'a [u8], Status> {
    if len == 0 {
        return Ok(&[]);
    }
    if data.is_null() {
        return Err(Status::NullArgument);
    }
    if len > isize::MAX as usize {
        return Err(Status::TooLarge);
    }
    // SAFETY: the caller's promise.
    Ok(unsafe { std::slice::from_raw_parts(data, len) })
}

/// An array argument: NULL is allowed for no items only.
///
/// # Safety
/// `items` is NULL or points to `count` readable items.
pub(super) unsafe fn items<'a, T>(items: *const T, count: usize) -> Result<&'a [T], Status> {
    if count == 0 {
        return Ok(&[]);
    }
    if items.is_null() {
        return Err(Status::NullArgument);
    }
    if !items.is_aligned() {
        return Err(Status::InvalidArgument);
    }
    if count > isize::MAX as usize / size_of::<T>() {
        return Err(Status::TooLarge);
    }
    // SAFETY: the caller's promise.
    Ok(unsafe { std::slice::from_raw_parts(items, count) })
}

/// Where an array for C begins; for an empty one too it is an address, since not every language takes a pointer
/// that dangles. Go ends a program that has one on its stack.
pub(super) fn start_of<T>(items: &[T]) -> *const T {
    static NOTHING: u64 = 0;
    const { assert!(align_of::<T>() <= align_of::<u64>()) };
    if items.is_empty() { (&raw const NOTHING).cast() } else { items.as_ptr() }
}

/// A time-out argument: −1 waits for ever, 0 does not wait.
pub(super) fn timeout(timeout_ms: i32) -> Result<Option<Duration>> {
    match timeout_ms {
        -1 => Ok(None),
        0.. => Ok(Some(Duration::from_millis(timeout_ms.unsigned_abs().into()))),
        _ => Err(Error::new(
            Status::InvalidArgument,
            format!("timeout_ms: {timeout_ms} instead of -1 (for ever), 0 (try) or milliseconds"),
        )),
    }
}

/// Where an output goes; it is set to `initial` at once, so that it has a defined value on failure.
///
/// # Safety
/// `out` is NULL or writable.
pub(super) unsafe fn output<T>(out: *mut T, initial: T, argument: &str) -> Result<Output<T>> {
    if out.is_null() {
        return Err(null(argument));
    }
    // SAFETY: the caller's promise.
    unsafe { out.write(initial) };
    Ok(Output(out))
}

/// A place for an output.
pub(super) struct Output<T>(*mut T);

impl<T> Output<T> {
    pub(super) fn set(self, value: T) {
        // SAFETY: `output` was promised that the place is writable for the duration of the call.
        unsafe { self.0.write(value) };
    }
}

/// Body of a function that gives a descriptor to be polled, such as `open` makes it.
///
/// # Safety
/// As for [`handle::enter`]; `out_fd` is NULL or writable.
pub(super) unsafe fn descriptor<T: Handle>(
    pointer: *const T,
    argument: &str,
    out_fd: *mut i32,
    open: impl FnOnce(&T::Object) -> Result<RawFd>,
) -> Result<()> {
    // SAFETY: the caller's promise.
    let (out, object) = unsafe { (output(out_fd, -1, "out_fd")?, object(pointer, argument)?) };
    out.set(open(&object)?);
    Ok(())
}

/// Sets an output that the caller may not want.
///
/// # Safety
/// `out` is NULL or writable.
pub(super) unsafe fn set<T>(out: *mut T, value: T) {
    if !out.is_null() {
        // SAFETY: the caller's promise.
        unsafe { out.write(value) };
    }
}

/// A NULL where a pointer must be.
pub(super) fn null(argument: &str) -> Error {
    Error::new(Status::NullArgument, format!("{argument}: NULL"))
}

/// A text for C. What follows a NUL inside it cannot be seen in C; peers have no reason to send one.
pub(super) fn c_text(text: &str) -> CString {
    CString::new(text).unwrap_or_else(|error| {
        let end = error.nul_position();
        CString::new(&text[..end]).unwrap_or_default()
    })
}

/// The application's pointer, handed back as it was given.
#[derive(Clone, Copy)]
pub(super) struct UserData(pub(super) *mut c_void);

// SAFETY: the library never looks behind the pointer. That it may travel to the dispatcher thread is
// part of the contract of every callback.
unsafe impl Send for UserData {}
// SAFETY: as above.
unsafe impl Sync for UserData {}

/// Tells the application that its pointer is not needed any more.
///
/// Called exactly once, after the last callback that was given the pointer has returned, also when
/// the operation the callback was meant for failed. NULL when there is nothing to release.
///
/// Called on the connection's dispatcher thread when a stream or connection was the last to need the
/// pointer, on the library's log thread or by `iscp_log_set` for a log callback, and otherwise by the
/// call that freed the options or failed.
#[allow(non_camel_case_types)]
pub type iscp_release_cb = Option<unsafe extern "C" fn(user_data: *mut c_void)>;

/// A long-lived callback: the function, the application's pointer, and its release.
pub(super) struct Callback<F> {
    pub(super) function: F,
    pub(super) user_data: UserData,
    release: iscp_release_cb,
}

impl<F> Callback<F> {
    /// Shared by the options that hold it and every stream opened with them; released with the last.
    pub(super) fn new(function: F, user_data: *mut c_void, release: iscp_release_cb) -> Arc<Self> {
        Arc::new(Self { function, user_data: UserData(user_data), release })
    }
}

impl<F> Drop for Callback<F> {
    fn drop(&mut self) {
        if let Some(release) = self.release {
            // SAFETY: the application promised a function that takes its pointer.
            unsafe { release(self.user_data.0) };
        }
    }
}

/// Where a statistic goes.
///
/// # Safety
/// `out_value` is NULL or writable.
pub(super) unsafe fn stat(out_value: *mut u64) -> Result<Output<u64>, Status> {
    // SAFETY: the caller's promise.
    unsafe { output(out_value, 0, "out_value") }.map_err(|error| error.status())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ffi::types::iscp_data_point_t;

    #[test]
    fn an_empty_array_begins_somewhere() {
        // What is below is never mapped, and used for pointers that dangle.
        const LOWEST: usize = 4096;
        assert!(start_of::<u8>(&[]).addr() >= LOWEST);
        let points = start_of::<iscp_data_point_t>(&[]);
        assert!(points.addr() >= LOWEST && points.is_aligned());
        let array = [1_u32, 2];
        assert_eq!(start_of(&array), array.as_ptr());
    }
}
