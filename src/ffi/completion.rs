//! The ends of asynchronous operations, for C.

use std::ffi::c_void;

use super::convert::{self, UserData};
use super::error::{self, iscp_error_t};
use crate::client::Completion;
use crate::error::Result;

/// Told how an operation ended.
///
/// Called once on the connection's dispatcher thread. `error` is NULL on success and otherwise valid
/// until the callback returns.
#[allow(non_camel_case_types)]
pub type iscp_done_cb = Option<unsafe extern "C" fn(error: *const iscp_error_t, user_data: *mut c_void)>;

/// Told that a connection or stream has ended.
///
/// Called once on the connection's dispatcher thread, and never for one that could not be opened.
/// `error` is NULL when the application closed it and otherwise says why it ended; it is valid until
/// the callback returns.
#[allow(non_camel_case_types)]
pub type iscp_closed_cb = Option<unsafe extern "C" fn(error: *const iscp_error_t, user_data: *mut c_void)>;

/// A completion that calls back, or nobody who wants to know.
pub(super) fn done(callback: iscp_done_cb, user_data: *mut c_void) -> Completion<()> {
    let Some(callback) = callback else {
        return Completion::ignore();
    };
    let user_data = UserData(user_data);
    Completion::call(move |outcome: Result<()>| {
        let user_data = user_data;
        // SAFETY: the application promised a function of this type.
        error::with_borrowed(outcome.err(), |error| unsafe { callback(error, user_data.0) });
    })
}

/// Starts an operation and waits for its end.
pub(super) fn wait<T: Send + 'static>(
    timeout_ms: i32,
    start: impl FnOnce(Completion<T>) -> Result<()>,
) -> Result<T> {
    let timeout = convert::timeout(timeout_ms)?;
    let (completion, waiter) = Completion::waiter()?;
    start(completion)?;
    waiter.wait(timeout)
}

/// Hands an opened object to a callback, or the reason why there is none.
pub(super) fn opened<O, T>(
    outcome: Result<O>,
    new: impl FnOnce(O) -> *mut T,
    call: impl FnOnce(*mut T, *const iscp_error_t),
) {
    match outcome {
        Ok(object) => call(new(object), std::ptr::null()),
        Err(error) => error::with_borrowed(Some(error), |error| call(std::ptr::null_mut(), error)),
    }
}
