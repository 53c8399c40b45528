//! Status codes of the C API.

use std::ffi::{CStr, c_char};

use super::boundary::ffi;
use crate::error::Status;
use crate::message::ResultCode;

/// Outcome of a function: `ISCP_OK` or one of the negative `ISCP_ERR_…` codes.
///
/// The codes come in families, and no number is ever given a second meaning: usage (-1 …), state
/// (-100 …), input and output (-200 …), protocol (-300 …), answers of the server (-400 …), defects
/// (-900 …).
#[allow(non_camel_case_types)]
pub type iscp_status_t = i32;

/// Success.
pub const ISCP_OK: iscp_status_t = 0;
/// An argument has a value the function does not take.
pub const ISCP_ERR_INVALID_ARGUMENT: iscp_status_t = -1;
/// A pointer that must not be NULL is NULL.
pub const ISCP_ERR_NULL_ARGUMENT: iscp_status_t = -2;
/// The handle is not, or no longer, a live handle of the type the function takes.
pub const ISCP_ERR_BAD_HANDLE: iscp_status_t = -3;
/// A text is not valid UTF-8.
pub const ISCP_ERR_INVALID_UTF8: iscp_status_t = -4;
/// There is no option of this name.
pub const ISCP_ERR_UNKNOWN_OPTION: iscp_status_t = -5;
/// An option's value cannot be used.
pub const ISCP_ERR_INVALID_OPTION: iscp_status_t = -6;
/// A value exceeds a limit of the library.
pub const ISCP_ERR_TOO_LARGE: iscp_status_t = -7;
/// A blocking function was called on one of the library's threads.
pub const ISCP_ERR_IN_CALLBACK: iscp_status_t = -8;
/// The process was forked; the handle belongs to the parent.
pub const ISCP_ERR_FORKED: iscp_status_t = -9;
/// The library was built without this feature.
pub const ISCP_ERR_UNSUPPORTED: iscp_status_t = -10;
/// The operation would have to wait.
pub const ISCP_ERR_WOULD_BLOCK: iscp_status_t = -100;
/// The time-out passed.
pub const ISCP_ERR_TIMEOUT: iscp_status_t = -101;
/// The connection or stream is closed.
pub const ISCP_ERR_CLOSED: iscp_status_t = -102;
/// The operation was cancelled.
pub const ISCP_ERR_CANCELLED: iscp_status_t = -103;
/// A buffer reached its limit.
pub const ISCP_ERR_OVERFLOW: iscp_status_t = -104;
/// The operation does not fit the state of the object.
pub const ISCP_ERR_INVALID_STATE: iscp_status_t = -105;
/// The sequence numbers of the stream are used up.
pub const ISCP_ERR_SEQUENCE_EXHAUSTED: iscp_status_t = -106;
/// Chunks of an upstream are missing, or came in another order than was promised.
pub const ISCP_ERR_OUT_OF_ORDER: iscp_status_t = -107;
/// The host name was not found.
pub const ISCP_ERR_RESOLVE: iscp_status_t = -200;
/// No connection to the server could be made.
pub const ISCP_ERR_CONNECT_FAILED: iscp_status_t = -201;
/// The server refused the transport's handshake.
pub const ISCP_ERR_HANDSHAKE: iscp_status_t = -202;
/// The connection was lost.
pub const ISCP_ERR_CONNECTION_LOST: iscp_status_t = -203;
/// The peer stopped answering keep-alive messages.
pub const ISCP_ERR_KEEP_ALIVE_TIMEOUT: iscp_status_t = -204;
/// TLS failed: a certificate is not trusted, or not usable.
pub const ISCP_ERR_TLS: iscp_status_t = -205;
/// The spool on disk cannot be used: another process has it, or the system refuses it.
pub const ISCP_ERR_SPOOL: iscp_status_t = -206;
/// The peer sent something that is not a valid message.
pub const ISCP_ERR_MALFORMED_MESSAGE: iscp_status_t = -300;
/// The peer broke the rules of the protocol.
pub const ISCP_ERR_PROTOCOL_VIOLATION: iscp_status_t = -301;
/// The peers have no protocol version in common.
pub const ISCP_ERR_INCOMPATIBLE_VERSION: iscp_status_t = -302;
/// The server refused the request.
pub const ISCP_ERR_REFUSED: iscp_status_t = -400;
/// The server refused the credentials.
pub const ISCP_ERR_UNAUTHORIZED: iscp_status_t = -401;
/// The server ended the connection.
pub const ISCP_ERR_DISCONNECTED: iscp_status_t = -402;
/// The token source failed.
pub const ISCP_ERR_TOKEN_FAILED: iscp_status_t = -403;
/// A defect of the library; please report it.
pub const ISCP_ERR_INTERNAL: iscp_status_t = -900;
/// A panic was caught; please report it.
pub const ISCP_ERR_PANIC: iscp_status_t = -901;
/// The system refused a thread, memory or a descriptor.
pub const ISCP_ERR_RESOURCE: iscp_status_t = -902;

/// Every status with its name and text, in the order of the header.
const TABLE: &[(iscp_status_t, &CStr, &CStr)] = &[
    (ISCP_OK, c"ISCP_OK", c"success"),
    (
        ISCP_ERR_INVALID_ARGUMENT,
        c"ISCP_ERR_INVALID_ARGUMENT",
        c"an argument has a value the function does not take",
    ),
    (ISCP_ERR_NULL_ARGUMENT, c"ISCP_ERR_NULL_ARGUMENT", c"a pointer that must not be NULL is NULL"),
    (ISCP_ERR_BAD_HANDLE, c"ISCP_ERR_BAD_HANDLE", c"not a live handle of the type the function takes"),
    (ISCP_ERR_INVALID_UTF8, c"ISCP_ERR_INVALID_UTF8", c"a text is not valid UTF-8"),
    (ISCP_ERR_UNKNOWN_OPTION, c"ISCP_ERR_UNKNOWN_OPTION", c"there is no option of this name"),
    (ISCP_ERR_INVALID_OPTION, c"ISCP_ERR_INVALID_OPTION", c"an option's value cannot be used"),
    (ISCP_ERR_TOO_LARGE, c"ISCP_ERR_TOO_LARGE", c"a value exceeds a limit of the library"),
    (ISCP_ERR_IN_CALLBACK, c"ISCP_ERR_IN_CALLBACK", c"a blocking function was called inside a callback"),
    (ISCP_ERR_FORKED, c"ISCP_ERR_FORKED", c"the handle belongs to the parent process"),
    (ISCP_ERR_UNSUPPORTED, c"ISCP_ERR_UNSUPPORTED", c"the library was built without this feature"),
    (ISCP_ERR_WOULD_BLOCK, c"ISCP_ERR_WOULD_BLOCK", c"the operation would have to wait"),
    (ISCP_ERR_TIMEOUT, c"ISCP_ERR_TIMEOUT", c"the time-out passed"),
    (ISCP_ERR_CLOSED, c"ISCP_ERR_CLOSED", c"the connection or stream is closed"),
    (ISCP_ERR_CANCELLED, c"ISCP_ERR_CANCELLED", c"the operation was cancelled"),
    (ISCP_ERR_OVERFLOW, c"ISCP_ERR_OVERFLOW", c"a buffer reached its limit"),
    (
        ISCP_ERR_INVALID_STATE,
        c"ISCP_ERR_INVALID_STATE",
        c"the operation does not fit the state of the object",
    ),
    (
        ISCP_ERR_SEQUENCE_EXHAUSTED,
        c"ISCP_ERR_SEQUENCE_EXHAUSTED",
        c"the sequence numbers of the stream are used up",
    ),
    (ISCP_ERR_OUT_OF_ORDER, c"ISCP_ERR_OUT_OF_ORDER", c"chunks of an upstream are missing or out of order"),
    (ISCP_ERR_RESOLVE, c"ISCP_ERR_RESOLVE", c"the host name was not found"),
    (ISCP_ERR_CONNECT_FAILED, c"ISCP_ERR_CONNECT_FAILED", c"no connection to the server could be made"),
    (ISCP_ERR_HANDSHAKE, c"ISCP_ERR_HANDSHAKE", c"the server refused the transport's handshake"),
    (ISCP_ERR_CONNECTION_LOST, c"ISCP_ERR_CONNECTION_LOST", c"the connection was lost"),
    (
        ISCP_ERR_KEEP_ALIVE_TIMEOUT,
        c"ISCP_ERR_KEEP_ALIVE_TIMEOUT",
        c"the peer stopped answering keep-alive messages",
    ),
    (ISCP_ERR_TLS, c"ISCP_ERR_TLS", c"TLS failed"),
    (ISCP_ERR_SPOOL, c"ISCP_ERR_SPOOL", c"the spool cannot be used"),
    (
        ISCP_ERR_MALFORMED_MESSAGE,
        c"ISCP_ERR_MALFORMED_MESSAGE",
        c"the peer sent something that is not a valid message",
    ),
    (
        ISCP_ERR_PROTOCOL_VIOLATION,
        c"ISCP_ERR_PROTOCOL_VIOLATION",
        c"the peer broke the rules of the protocol",
    ),
    (
        ISCP_ERR_INCOMPATIBLE_VERSION,
        c"ISCP_ERR_INCOMPATIBLE_VERSION",
        c"the peers have no protocol version in common",
    ),
    (ISCP_ERR_REFUSED, c"ISCP_ERR_REFUSED", c"the server refused the request"),
    (ISCP_ERR_UNAUTHORIZED, c"ISCP_ERR_UNAUTHORIZED", c"the server refused the credentials"),
    (ISCP_ERR_DISCONNECTED, c"ISCP_ERR_DISCONNECTED", c"the server ended the connection"),
    (ISCP_ERR_TOKEN_FAILED, c"ISCP_ERR_TOKEN_FAILED", c"the token source failed"),
    (ISCP_ERR_INTERNAL, c"ISCP_ERR_INTERNAL", c"a defect of the library"),
    (ISCP_ERR_PANIC, c"ISCP_ERR_PANIC", c"a panic was caught inside the library"),
    (ISCP_ERR_RESOURCE, c"ISCP_ERR_RESOURCE", c"the system refused a resource"),
];

fn find(status: iscp_status_t) -> Option<&'static (iscp_status_t, &'static CStr, &'static CStr)> {
    TABLE.iter().find(|(number, ..)| *number == status)
}

/// Name of a status, such as `ISCP_ERR_TIMEOUT`.
///
/// @param status a status
/// @return the name, or "ISCP_ERR_UNKNOWN" for a number that is no status; never NULL
///
/// Thread: any. Blocking: no. Lifetime: static text. Since: 0.1.0.
#[unsafe(no_mangle)]
pub extern "C" fn iscp_status_name(status: iscp_status_t) -> *const c_char {
    ffi!(c"ISCP_ERR_UNKNOWN".as_ptr(); { find(status).map(|(_, name, _)| name.as_ptr()).ok_or(Status::InvalidArgument) })
}

/// One sentence about a status, without a capital and a period.
///
/// @param status a status
/// @return the text, or "unknown status" for a number that is no status; never NULL
///
/// Thread: any. Blocking: no. Lifetime: static text. Since: 0.1.0.
#[unsafe(no_mangle)]
pub extern "C" fn iscp_status_text(status: iscp_status_t) -> *const c_char {
    ffi!(c"unknown status".as_ptr(); { find(status).map(|(_, _, text)| text.as_ptr()).ok_or(Status::InvalidArgument) })
}

macro_rules! result_code_names {
    ($($code:ident),+ $(,)?) => {
        /// Names of the result codes, NUL-terminated.
        fn result_code_name(code: ResultCode) -> Option<&'static CStr> {
            match code {
                $(ResultCode::$code => {
                    const NAME: &CStr = match CStr::from_bytes_with_nul(concat!(stringify!($code), "\0").as_bytes()) {
                        Ok(name) => name,
                        Err(_) => c"",
                    };
                    Some(NAME)
                })+
                _ => None,
            }
        }
    };
}

result_code_names! {
    SUCCEEDED, INCOMPATIBLE_VERSION, MAXIMUM_DATA_ID_ALIAS, MAXIMUM_UPSTREAM_ALIAS,
    UNSPECIFIED_ERROR, NO_NODE_ID, AUTH_FAILED, CONNECT_TIMEOUT,
    MALFORMED_MESSAGE, PROTOCOL_ERROR, ACK_TIMEOUT, INVALID_PAYLOAD,
    INVALID_DATA_ID, INVALID_DATA_ID_ALIAS, INVALID_DATA_FILTER, STREAM_NOT_FOUND,
    RESUME_REQUEST_CONFLICT, PROCESS_FAILED, DESIRED_QOS_NOT_SUPPORTED, PING_TIMEOUT,
    TOO_LARGE_MESSAGE_SIZE, TOO_MANY_DATA_ID_ALIASES, TOO_MANY_STREAMS, TOO_LONG_ACK_INTERVAL,
    TOO_MANY_DOWNSTREAM_FILTERS, TOO_MANY_DATA_FILTERS, TOO_LONG_EXPIRY_INTERVAL, TOO_LONG_PING_TIMEOUT,
    TOO_SHORT_PING_INTERVAL, TOO_SHORT_PING_TIMEOUT, RATE_LIMIT_REACHED, TOO_LARGE_FEED_ID,
    TOO_MANY_TARGET_NODES, FEED_NOT_FOUND, INVALID_RESUME_TOKEN, NODE_ID_MISMATCH,
    SESSION_NOT_FOUND, SESSION_ALREADY_CLOSED, SESSION_CANNOT_CLOSED,
}

/// Name of a result code of the protocol, such as `AUTH_FAILED`.
///
/// @param result_code a result code, as in `iscp_error_result_code` and `iscp_ack_cb`
/// @return the name in the protocol's schema (docs/protocol/messages.md, section 3), or "UNKNOWN" for
///         a number the protocol does not assign; never NULL
///
/// Thread: any. Blocking: no. Lifetime: static text. Since: 0.1.0.
#[unsafe(no_mangle)]
pub extern "C" fn iscp_result_code_name(result_code: i32) -> *const c_char {
    ffi!(c"UNKNOWN".as_ptr(); {
        result_code_name(ResultCode(result_code)).map(CStr::as_ptr).ok_or(Status::InvalidArgument)
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_table_says_what_the_errors_of_the_library_say() {
        assert_eq!(TABLE.len(), Status::ALL.len() + 1);
        for (status, (number, _, text)) in Status::ALL.iter().zip(&TABLE[1..]) {
            assert_eq!((status.number(), status.text()), (*number, text.to_str().unwrap()));
        }
    }

    #[test]
    fn every_result_code_has_the_name_of_the_schema() {
        for code in ResultCode::ALL {
            assert_eq!(result_code_name(*code).map(|name| name.to_str().unwrap()), code.name());
        }
        // SAFETY: a static text.
        let unknown = unsafe { CStr::from_ptr(iscp_result_code_name(12_345)) };
        assert_eq!(unknown, c"UNKNOWN");
    }
}
