//! Questions of the library for an access token.

use std::ffi::{c_char, c_void};
use std::sync::{Mutex, PoisonError};

use super::boundary::ffi;
use super::convert;
use super::error::iscp_error_t;
use super::handle::{self, handle};
use super::status::iscp_status_t;
use crate::client::TokenRequest;
use crate::error::{Error, Status};

/// A question for an access token.
///
/// The application answers it once, with `iscp_token_request_resolve` or `iscp_token_request_reject`,
/// inside the callback or later from any thread. The answer ends the object.
#[allow(non_camel_case_types)]
pub struct iscp_token_request_t {
    _opaque: [u8; 0],
}

handle!(iscp_token_request_t, b"iscp.tok", "token request", Mutex<Option<TokenRequest>>);

/// Asked for an access token before every attempt to connect.
///
/// Called on the connection's dispatcher thread. `request` is the application's from now on and must
/// be answered; the attempt fails when `token_timeout_ms` passes first. `user_data` is as given to
/// `iscp_conn_options_set_token_callback` or `iscp_conn_options_set_header_token_callback`.
#[allow(non_camel_case_types)]
pub type iscp_token_cb =
    Option<unsafe extern "C" fn(request: *mut iscp_token_request_t, user_data: *mut c_void)>;

pub(super) fn new(request: TokenRequest) -> *mut iscp_token_request_t {
    handle::new(Mutex::new(Some(request)))
}

/// Takes the question out of its handle and ends the handle.
///
/// # Safety
/// `request` is a handle of this library or NULL.
unsafe fn take(request: *mut iscp_token_request_t) -> Result<TokenRequest, Error> {
    // SAFETY: the caller's promise.
    let question = unsafe { convert::object(request, "request")? };
    let taken = question.lock().unwrap_or_else(PoisonError::into_inner).take();
    // SAFETY: as above.
    unsafe { handle::free(request) };
    taken.ok_or_else(|| Error::new(Status::BadHandle, "request: it was answered already"))
}

/// Answers with a token.
///
/// @param request   the question; freed by this call
/// @param token     the access token, without a scheme word such as "Bearer"
/// @param out_error receives the detail of a failure, or NULL
/// @return `ISCP_OK`; `ISCP_ERR_BAD_HANDLE` when it was answered already; `ISCP_ERR_NULL_ARGUMENT`,
///         `ISCP_ERR_INVALID_UTF8` for the token, in which case the question is still open
///
/// Thread: any, callbacks included. Blocking: no. Lifetime: borrows `token` for the call; the request
/// ends. Since: 0.1.0.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn iscp_token_request_resolve(
    request: *mut iscp_token_request_t,
    token: *const c_char,
    out_error: *mut *mut iscp_error_t,
) -> iscp_status_t {
    ffi!(out_error => {
        // SAFETY: the caller passes a string and a handle.
        let (token, request) = unsafe { (convert::text(token, "token")?, take(request)?) };
        request.resolve(token.to_owned());
        Ok(())
    })
}

/// Answers that there is no token. The attempt to connect fails with `ISCP_ERR_TOKEN_FAILED`.
///
/// @param request   the question; freed by this call
/// @param reason    why, for the error message
/// @param out_error receives the detail of a failure, or NULL
/// @return `ISCP_OK`; `ISCP_ERR_BAD_HANDLE` when it was answered already; `ISCP_ERR_NULL_ARGUMENT`,
///         `ISCP_ERR_INVALID_UTF8` for the reason, in which case the question is still open
///
/// Thread: any, callbacks included. Blocking: no. Lifetime: borrows `reason` for the call; the
/// request ends. Since: 0.1.0.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn iscp_token_request_reject(
    request: *mut iscp_token_request_t,
    reason: *const c_char,
    out_error: *mut *mut iscp_error_t,
) -> iscp_status_t {
    ffi!(out_error => {
        // SAFETY: the caller passes a string and a handle.
        let (reason, request) = unsafe { (convert::text(reason, "reason")?, take(request)?) };
        request.reject(reason);
        Ok(())
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    /// As the second of two threads that answer at once finds it.
    #[test]
    fn a_question_that_was_answered_meanwhile_is_no_handle_any_more() {
        let request = handle::new::<iscp_token_request_t>(Mutex::new(None));
        // SAFETY: a handle of this library and strings.
        unsafe {
            let status = iscp_token_request_resolve(request, c"token".as_ptr(), std::ptr::null_mut());
            assert_eq!(status, Status::BadHandle.number());
            let status = iscp_token_request_reject(request, c"reason".as_ptr(), std::ptr::null_mut());
            assert_eq!(status, Status::BadHandle.number());
        }
    }
}
