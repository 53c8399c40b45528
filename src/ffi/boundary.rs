//! The boundary that every exported function is.

use std::any::Any;

use super::error::{self, iscp_error_t};
use super::status::iscp_status_t;
use crate::error::{Error, Status};

/// The body of every exported function: no panic leaves it, whatever happens becomes a status.
///
/// - `ffi!(out_error => { … })`: a control function. The body is a `Result<(), Error>`; `*out_error`
///   is NULL on success and the detail on failure.
/// - `ffi!({ … })`: a hot-path function without detail. The body is a `Result<(), Status>`.
/// - `ffi!(fallback; { … })`: an accessor. The body is a `Result<T, Status>`, and every failure
///   yields the fallback.
macro_rules! ffi {
    ($out_error:ident => $body:block) => {{
        let run = || -> $crate::error::Result<()> { $body };
        // SAFETY: the function's contract: `out_error` is NULL or writable.
        unsafe { $crate::ffi::boundary::control($out_error, run) }
    }};
    ($body:block) => {{
        let run = || -> Result<(), $crate::error::Status> { $body };
        match std::panic::catch_unwind(std::panic::AssertUnwindSafe(run)) {
            Ok(Ok(())) => $crate::ffi::status::ISCP_OK,
            Ok(Err(status)) => status.number(),
            Err(_) => $crate::error::Status::Panic.number(),
        }
    }};
    ($fallback:expr; $body:block) => {{
        let run = || -> Result<_, $crate::error::Status> { $body };
        match std::panic::catch_unwind(std::panic::AssertUnwindSafe(run)) {
            Ok(Ok(value)) => value,
            _ => $fallback,
        }
    }};
}
pub(super) use ffi;

/// Runs a control function's body.
///
/// # Safety
/// `out_error` is NULL or writable.
pub(super) unsafe fn control(
    out_error: *mut *mut iscp_error_t,
    run: impl FnOnce() -> crate::error::Result<()>,
) -> iscp_status_t {
    let outcome = std::panic::catch_unwind(std::panic::AssertUnwindSafe(run))
        .unwrap_or_else(|panic| Err(panicked(&*panic)));
    let status = outcome.as_ref().err().map_or(super::status::ISCP_OK, |error| error.status().number());
    if !out_error.is_null() {
        let detail = outcome.err().map_or(std::ptr::null_mut(), error::new);
        // SAFETY: the caller's promise.
        unsafe { out_error.write(detail) };
    }
    status
}

fn panicked(panic: &(dyn Any + Send)) -> Error {
    let text = panic
        .downcast_ref::<&str>()
        .copied()
        .or_else(|| panic.downcast_ref::<String>().map(String::as_str))
        .unwrap_or("no message");
    Error::new(Status::Panic, format!("a panic was caught at the boundary: {text}"))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ffi::error::{iscp_error_free, iscp_error_message};

    #[test]
    fn no_panic_crosses_the_boundary() {
        let mut detail = std::ptr::null_mut();
        let out_error = &raw mut detail;
        let status = ffi!(out_error => { panic!("on purpose") });
        assert_eq!(status, Status::Panic.number());
        // SAFETY: an error object the boundary made.
        unsafe {
            let message = std::ffi::CStr::from_ptr(iscp_error_message(detail)).to_str().unwrap();
            assert!(message.contains("on purpose"), "{message}");
            iscp_error_free(detail);
        }
        assert_eq!(ffi!({ panic!("on purpose") }), Status::Panic.number());
        assert_eq!(ffi!(7; { panic!("on purpose") }), 7);
    }
}
