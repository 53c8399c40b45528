//! Error objects.

use std::ffi::{CString, c_char};

use super::boundary::ffi;
use super::convert::c_text;
use super::handle::{self, handle};
use super::status::{ISCP_OK, iscp_status_t};
use crate::error::{Error, Status};

/// What went wrong, in detail.
///
/// Functions with an `out_error` parameter store a new object there when they fail; the caller owns
/// it and frees it with `iscp_error_free`. Objects given to callbacks belong to the library and are
/// valid until the callback returns. Passing NULL for `out_error` means that nobody wants to know.
#[allow(non_camel_case_types)]
pub struct iscp_error_t {
    _opaque: [u8; 0],
}

pub(super) struct Detail {
    error: Error,
    message: CString,
    result_string: CString,
}

handle!(iscp_error_t, b"iscp.err", "error", Detail);

/// An error object with one owner.
pub(super) fn new(error: Error) -> *mut iscp_error_t {
    let message = c_text(error.message());
    let result_string = c_text(error.result_string().unwrap_or_default());
    handle::new(Detail { error, message, result_string })
}

/// An error object for the duration of a callback; NULL for success.
pub(super) fn with_borrowed<R>(error: Option<Error>, call: impl FnOnce(*const iscp_error_t) -> R) -> R {
    let Some(error) = error else {
        return call(std::ptr::null());
    };
    let object = new(error);
    let value = call(object);
    // SAFETY: made above.
    unsafe { handle::free(object) };
    value
}

/// Status of the error, the same that the function returned.
///
/// @param error an error, or NULL
/// @return the status; `ISCP_OK` for NULL, `ISCP_ERR_BAD_HANDLE` for something that is no error,
///         `ISCP_ERR_FORKED` for an error of the process that forked this one
///
/// Thread: any, one at a time. Blocking: no. Lifetime: plain value. Since: 0.1.0.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn iscp_error_code(error: *const iscp_error_t) -> iscp_status_t {
    if error.is_null() {
        return ISCP_OK;
    }
    let status = |detail: handle::Entered<iscp_error_t>| detail.error.status().number();
    // SAFETY: the caller passes an error of this library.
    ffi!(Status::Panic.number(); { Ok(unsafe { handle::enter(error) }.map_or_else(Status::number, status)) })
}

/// Message that names the culprit: the option, the address, the stream, what the server said.
///
/// @param error an error, or NULL
/// @return the message in English, UTF-8; "" for NULL; never NULL
///
/// Thread: any, one at a time. Blocking: no. Lifetime: valid as long as the error. Since: 0.1.0.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn iscp_error_message(error: *const iscp_error_t) -> *const c_char {
    // SAFETY: the caller passes an error of this library.
    ffi!(c"".as_ptr(); { unsafe { handle::enter(error) }.map(|detail| detail.message.as_ptr()) })
}

/// Result code of the server, if it was the server that refused.
///
/// @param error an error, or NULL
/// @return the protocol's result code (docs/protocol/messages.md, section 3), or -1 when the error
///         does not come from an answer of the server
///
/// Thread: any, one at a time. Blocking: no. Lifetime: plain value. Since: 0.1.0.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn iscp_error_result_code(error: *const iscp_error_t) -> i32 {
    // SAFETY: the caller passes an error of this library.
    ffi!(-1; { unsafe { handle::enter(error) }.map(|detail| detail.error.result_code().map_or(-1, |code| code.0)) })
}

/// What the server said besides its result code.
///
/// @param error an error, or NULL
/// @return the server's text; "" when there is none; never NULL
///
/// Thread: any, one at a time. Blocking: no. Lifetime: valid as long as the error. Since: 0.1.0.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn iscp_error_result_string(error: *const iscp_error_t) -> *const c_char {
    // SAFETY: the caller passes an error of this library.
    ffi!(c"".as_ptr(); { unsafe { handle::enter(error) }.map(|detail| detail.result_string.as_ptr()) })
}

/// Whether the same call may succeed later.
///
/// @param error an error, or NULL
/// @return true for time-outs, lost and refused connections, full buffers; false otherwise and for NULL
///
/// Thread: any, one at a time. Blocking: no. Lifetime: plain value. Since: 0.1.0.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn iscp_error_is_retriable(error: *const iscp_error_t) -> bool {
    // SAFETY: the caller passes an error of this library.
    ffi!(false; { unsafe { handle::enter(error) }.map(|detail| detail.error.is_retriable()) })
}

/// Whether the error ended the connection or stream it is about, which must then be opened anew.
///
/// @param error an error, or NULL
/// @return true when it did; false otherwise and for NULL
///
/// Thread: any, one at a time. Blocking: no. Lifetime: plain value. Since: 0.1.0.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn iscp_error_is_fatal(error: *const iscp_error_t) -> bool {
    // SAFETY: the caller passes an error of this library.
    ffi!(false; { unsafe { handle::enter(error) }.map(|detail| detail.error.is_fatal()) })
}

/// Frees an error. Nothing happens for NULL.
///
/// @param error an error that a function stored in `out_error`; not one that a callback was given
///
/// Thread: any, one at a time. Blocking: no. Lifetime: the error and its texts end here. Since: 0.1.0.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn iscp_error_free(error: *mut iscp_error_t) {
    // SAFETY: the caller passes an error of this library.
    ffi!((); { unsafe { handle::free(error) }; Ok(()) });
}
