//! Calls between nodes, on a connection.

use std::ffi::{c_char, c_void};

use bytes::Bytes;

use super::boundary::ffi;
use super::call::{self, iscp_call_t};
use super::conn::iscp_conn_t;
use super::convert::{self, UserData};
use super::error::{self, iscp_error_t};
use super::handle;
use super::status::iscp_status_t;
use super::{completion, iscp_done_cb};
use crate::client::{Completion, Connection, OutgoingCall};
use crate::core::MAX_PAYLOAD;
use crate::error::{Error, Result, Status};
use crate::message::DownstreamCall;

/// Bytes of the text of a call id of this library, its terminating NUL included.
pub const ISCP_CALL_ID_SIZE: usize = 37;

/// Told how a call ended.
///
/// Called once on the connection's dispatcher thread. On success `error` is NULL and `reply` is valid
/// until the callback returns; `iscp_call_ref` keeps it longer. On failure `reply` is NULL and `error`
/// is valid until the callback returns.
#[allow(non_camel_case_types)]
pub type iscp_reply_cb = Option<
    unsafe extern "C" fn(reply: *const iscp_call_t, error: *const iscp_error_t, user_data: *mut c_void),
>;

/// The arguments that every call has.
struct Content {
    name: String,
    kind: String,
    payload: Bytes,
}

/// Reads the arguments of a call.
///
/// # Safety
/// The texts are strings or NULL, `payload` is NULL or points to `payload_len` readable bytes.
unsafe fn content(
    name: *const c_char,
    kind: *const c_char,
    payload: *const u8,
    payload_len: usize,
) -> Result<Content> {
    // Before it is copied: a length that is wrong by mistake is usually far too large.
    if payload_len > MAX_PAYLOAD {
        let text = format!("payload: a call of {payload_len} bytes; at most {MAX_PAYLOAD} can be sent");
        return Err(Error::new(Status::TooLarge, text));
    }
    // SAFETY: the caller's promise.
    unsafe {
        Ok(Content {
            name: convert::text(name, "name")?.to_owned(),
            kind: convert::text(kind, "type")?.to_owned(),
            payload: convert::bytes(payload, payload_len).map(Bytes::copy_from_slice).map_err(|status| {
                Error::new(status, format!("payload: {payload_len} bytes: {}", status.text()))
            })?,
        })
    }
}

/// Makes a call and tells its id.
///
/// # Safety
/// As for [`content`]; `out_call_id` is NULL or has room for [`ISCP_CALL_ID_SIZE`] bytes.
unsafe fn outgoing(
    destination_node_id: *const c_char,
    content: Content,
    out_call_id: *mut c_char,
) -> Result<OutgoingCall> {
    // SAFETY: the caller's promise.
    let destination = unsafe { convert::text(destination_node_id, "destination_node_id")? };
    let call = OutgoingCall::new(destination, content.name, content.kind, content.payload);
    let id = call.id().as_bytes();
    debug_assert_eq!(id.len() + 1, ISCP_CALL_ID_SIZE);
    if !out_call_id.is_null() {
        // SAFETY: the caller's promise; the id is a UUID as text.
        unsafe {
            std::ptr::copy_nonoverlapping(id.as_ptr(), out_call_id.cast(), id.len());
            out_call_id.add(id.len()).write(0);
        }
    }
    Ok(call)
}

/// Ends the text where a call id goes, so that it has a defined value on failure.
///
/// # Safety
/// `out_call_id` is NULL or writable.
unsafe fn no_id(out_call_id: *mut c_char) {
    if !out_call_id.is_null() {
        // SAFETY: the caller's promise.
        unsafe { out_call_id.write(0) };
    }
}

/// Sends a call to another node and does not wait for a reply. A reply that comes is received as others
/// are, see `iscp_conn_set_reply_handler`.
///
/// Success means that the server has passed the call on. What the other node does with it, it does not
/// say: an application that wants to know waits for a reply, most simply with `iscp_conn_call_wait`.
///
/// @param conn                the connection
/// @param destination_node_id node to call
/// @param name                name of the call, for the other node
/// @param type                type of the call, for the other node
/// @param payload             the bytes, or NULL with a length of 0
/// @param payload_len         how many there are; with the texts at most `ISCP_MAX_PAYLOAD`
/// @param out_call_id         receives the id of the call, with which the reply names it: a text of
///                            `ISCP_CALL_ID_SIZE` bytes with the NUL at its end; "" on failure; or NULL
/// @param callback            told whether the server took it, or NULL
/// @param user_data           handed to the callback
/// @param out_error           receives the detail of a failure to begin, or NULL
/// @return `ISCP_OK` when it began, and the callback is called once; otherwise it is not called:
///         `ISCP_ERR_WOULD_BLOCK` when too much waits to be sent (`call_send_limit`),
///         `ISCP_ERR_TOO_LARGE`, `ISCP_ERR_CLOSED`, `ISCP_ERR_NULL_ARGUMENT`,
///         `ISCP_ERR_INVALID_UTF8`, `ISCP_ERR_BAD_HANDLE`, `ISCP_ERR_FORKED`
///
/// Thread: any, callbacks included. Blocking: no. Lifetime: borrows texts and payload for the call.
/// Since: 0.1.0.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn iscp_conn_send_call(
    conn: *mut iscp_conn_t,
    destination_node_id: *const c_char,
    name: *const c_char,
    r#type: *const c_char,
    payload: *const u8,
    payload_len: usize,
    out_call_id: *mut c_char,
    callback: iscp_done_cb,
    user_data: *mut c_void,
    out_error: *mut *mut iscp_error_t,
) -> iscp_status_t {
    // SAFETY: the caller passes a connection of this library, strings, bytes and room for an id.
    unsafe {
        start_call(out_call_id, out_error, conn, |conn| {
            let content = content(name, r#type, payload, payload_len)?;
            let call = outgoing(destination_node_id, content, out_call_id)?;
            conn.send_call(call, completion::done(callback, user_data))
        })
    }
}

/// Sends a call and waits until the server took it, as `iscp_conn_send_call` does without waiting.
///
/// @param conn                the connection
/// @param destination_node_id node to call
/// @param name                name of the call, for the other node
/// @param type                type of the call, for the other node
/// @param payload             the bytes, or NULL with a length of 0
/// @param payload_len         how many there are; with the texts at most `ISCP_MAX_PAYLOAD`
/// @param timeout_ms          milliseconds to wait; -1 as long as the response time-out allows
/// @param out_call_id         receives the id of the call, as for `iscp_conn_send_call`; or NULL
/// @param out_error           receives the detail of a failure, or NULL
/// @return `ISCP_OK`; what `iscp_conn_send_call` returns; `ISCP_ERR_IN_CALLBACK`; `ISCP_ERR_TIMEOUT`;
///         `ISCP_ERR_REFUSED`, for example when there is no such node; `ISCP_ERR_CONNECTION_LOST`
///
/// Thread: any but the library's own. Blocking: yes. Lifetime: borrows texts and payload for the call.
/// Since: 0.1.0.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn iscp_conn_send_call_wait(
    conn: *mut iscp_conn_t,
    destination_node_id: *const c_char,
    name: *const c_char,
    r#type: *const c_char,
    payload: *const u8,
    payload_len: usize,
    timeout_ms: i32,
    out_call_id: *mut c_char,
    out_error: *mut *mut iscp_error_t,
) -> iscp_status_t {
    // SAFETY: the caller passes a connection of this library, strings, bytes and room for an id.
    unsafe {
        start_call(out_call_id, out_error, conn, |conn| {
            let content = content(name, r#type, payload, payload_len)?;
            let call = outgoing(destination_node_id, content, out_call_id)?;
            completion::wait(timeout_ms, |done| conn.send_call(call, done))
        })
    }
}

/// Body of a function that makes a call and tells its id.
///
/// # Safety
/// `out_call_id` is NULL or writable, `out_error` too; `conn` is a handle of this library or NULL.
unsafe fn start_call(
    out_call_id: *mut c_char,
    out_error: *mut *mut iscp_error_t,
    conn: *mut iscp_conn_t,
    start: impl FnOnce(&Connection) -> Result<()>,
) -> iscp_status_t {
    ffi!(out_error => {
        // SAFETY: the caller's promise.
        let conn = unsafe {
            no_id(out_call_id);
            convert::object(conn, "conn")?
        };
        // SAFETY: the caller's promise.
        start(&conn.connection).inspect_err(|_| unsafe { no_id(out_call_id) })
    })
}

/// Replies to a call.
///
/// @param conn        the connection, usually the one that received the call
/// @param call        the call; its sender gets the reply
/// @param name        name of the reply, for the other node
/// @param type        type of the reply, for the other node
/// @param payload     the bytes, or NULL with a length of 0
/// @param payload_len how many there are; with the texts at most `ISCP_MAX_PAYLOAD`
/// @param callback    told whether the server took it, or NULL
/// @param user_data   handed to the callback
/// @param out_error   receives the detail of a failure to begin, or NULL
/// @return `ISCP_OK` when it began, and the callback is called once; otherwise it is not called:
///         `ISCP_ERR_WOULD_BLOCK` when too much waits to be sent (`call_send_limit`),
///         `ISCP_ERR_TOO_LARGE`, `ISCP_ERR_CLOSED`, `ISCP_ERR_INVALID_ARGUMENT` for a
///         call without an id or a source, `ISCP_ERR_NULL_ARGUMENT`,
///         `ISCP_ERR_INVALID_UTF8`, `ISCP_ERR_BAD_HANDLE`, `ISCP_ERR_FORKED`
///
/// Thread: any, callbacks included. Blocking: no. Lifetime: borrows the call, texts and payload for the
/// call. Since: 0.1.0.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn iscp_conn_send_reply(
    conn: *mut iscp_conn_t,
    call: *const iscp_call_t,
    name: *const c_char,
    r#type: *const c_char,
    payload: *const u8,
    payload_len: usize,
    callback: iscp_done_cb,
    user_data: *mut c_void,
    out_error: *mut *mut iscp_error_t,
) -> iscp_status_t {
    ffi!(out_error => {
        // SAFETY: the caller passes handles of this library, strings and bytes.
        let (conn, reply) = unsafe {
            (convert::object(conn, "conn")?, reply(call, name, r#type, payload, payload_len)?)
        };
        conn.connection.send_call(reply, completion::done(callback, user_data))
    })
}

/// Replies to a call and waits until the server took the reply, as `iscp_conn_send_reply` does without
/// waiting.
///
/// @param conn        the connection, usually the one that received the call
/// @param call        the call; its sender gets the reply
/// @param name        name of the reply, for the other node
/// @param type        type of the reply, for the other node
/// @param payload     the bytes, or NULL with a length of 0
/// @param payload_len how many there are; with the texts at most `ISCP_MAX_PAYLOAD`
/// @param timeout_ms  milliseconds to wait; -1 as long as the response time-out allows
/// @param out_error   receives the detail of a failure, or NULL
/// @return `ISCP_OK`; what `iscp_conn_send_reply` returns; `ISCP_ERR_IN_CALLBACK`; `ISCP_ERR_TIMEOUT`;
///         `ISCP_ERR_REFUSED`, for example when the caller has gone; `ISCP_ERR_CONNECTION_LOST`
///
/// Thread: any but the library's own. Blocking: yes. Lifetime: borrows the call, texts and payload for
/// the call. Since: 0.1.0.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn iscp_conn_send_reply_wait(
    conn: *mut iscp_conn_t,
    call: *const iscp_call_t,
    name: *const c_char,
    r#type: *const c_char,
    payload: *const u8,
    payload_len: usize,
    timeout_ms: i32,
    out_error: *mut *mut iscp_error_t,
) -> iscp_status_t {
    ffi!(out_error => {
        // SAFETY: the caller passes handles of this library, strings and bytes.
        let (conn, reply) = unsafe {
            (convert::object(conn, "conn")?, reply(call, name, r#type, payload, payload_len)?)
        };
        completion::wait(timeout_ms, |done| conn.connection.send_call(reply, done))
    })
}

/// Makes the reply to a call.
///
/// # Safety
/// As for [`content`]; `call` is a handle of this library or NULL.
unsafe fn reply(
    call: *const iscp_call_t,
    name: *const c_char,
    kind: *const c_char,
    payload: *const u8,
    payload_len: usize,
) -> Result<OutgoingCall> {
    // SAFETY: the caller's promise.
    let (call, content) =
        unsafe { (convert::object(call, "call")?, content(name, kind, payload, payload_len)?) };
    OutgoingCall::reply(&call.call, content.name, content.kind, content.payload)
}

/// Calls another node and waits for its reply in the background.
///
/// The reply is given to the callback and to nobody else. One that comes after the time-out is received
/// as replies are for which nobody waits, see `iscp_conn_set_reply_handler`.
///
/// @param conn                the connection
/// @param destination_node_id node to call
/// @param name                name of the call, for the other node
/// @param type                type of the call, for the other node
/// @param payload             the bytes, or NULL with a length of 0
/// @param payload_len         how many there are; with the texts at most `ISCP_MAX_PAYLOAD`
/// @param timeout_ms          milliseconds to wait for the reply; -1 as long as the reply time-out of the options
/// @param callback            receives the reply, or the reason why there is none; must not be NULL
/// @param user_data           handed to the callback
/// @param out_error           receives the detail of a failure to begin, or NULL
/// @return `ISCP_OK` when it began, and the callback is called once; otherwise it is not called:
///         `ISCP_ERR_WOULD_BLOCK` when too much waits to be sent (`call_send_limit`),
///         `ISCP_ERR_TOO_LARGE`, `ISCP_ERR_CLOSED`, `ISCP_ERR_INVALID_ARGUMENT`,
///         `ISCP_ERR_NULL_ARGUMENT`, `ISCP_ERR_INVALID_UTF8`, `ISCP_ERR_BAD_HANDLE`,
///         `ISCP_ERR_FORKED`
///
/// Thread: any, callbacks included. Blocking: no. Lifetime: borrows texts and payload for the call.
/// Since: 0.1.0.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn iscp_conn_call(
    conn: *mut iscp_conn_t,
    destination_node_id: *const c_char,
    name: *const c_char,
    r#type: *const c_char,
    payload: *const u8,
    payload_len: usize,
    timeout_ms: i32,
    callback: iscp_reply_cb,
    user_data: *mut c_void,
    out_error: *mut *mut iscp_error_t,
) -> iscp_status_t {
    ffi!(out_error => {
        // SAFETY: the caller passes a connection of this library, strings and bytes.
        let (conn, call) = unsafe {
            let conn = convert::object(conn, "conn")?;
            let content = content(name, r#type, payload, payload_len)?;
            (conn, outgoing(destination_node_id, content, std::ptr::null_mut())?)
        };
        let timeout = convert::timeout(timeout_ms)?;
        let callback = callback.ok_or_else(|| convert::null("callback"))?;
        let user_data = UserData(user_data);
        conn.connection.call(call, timeout, Completion::call(move |outcome| {
            let user_data = user_data;
            match outcome {
                // SAFETY: the application promised a function of this type.
                Ok(reply) => with_borrowed(reply, |reply| unsafe {
                    callback(reply, std::ptr::null(), user_data.0);
                }),
                // SAFETY: as above.
                Err(error) => error::with_borrowed(Some(error), |error| unsafe {
                    callback(std::ptr::null(), error, user_data.0);
                }),
            }
        }))
    })
}

/// Calls another node and waits for its reply, as `iscp_conn_call` does without waiting.
///
/// @param conn                the connection
/// @param destination_node_id node to call
/// @param name                name of the call, for the other node
/// @param type                type of the call, for the other node
/// @param payload             the bytes, or NULL with a length of 0
/// @param payload_len         how many there are; with the texts at most `ISCP_MAX_PAYLOAD`
/// @param timeout_ms          milliseconds to wait for the reply; -1 as long as the reply time-out of the options
/// @param out_reply           receives the reply, to be freed with `iscp_call_free`; NULL on failure
/// @param out_error           receives the detail of a failure, or NULL
/// @return `ISCP_OK`; what `iscp_conn_call` returns; `ISCP_ERR_IN_CALLBACK`; `ISCP_ERR_TIMEOUT` when no
///         reply came; `ISCP_ERR_REFUSED`, for example when there is no such node;
///         `ISCP_ERR_CONNECTION_LOST`
///
/// Thread: any but the library's own. Blocking: yes. Lifetime: the reply is owned by the caller.
/// Since: 0.1.0.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn iscp_conn_call_wait(
    conn: *mut iscp_conn_t,
    destination_node_id: *const c_char,
    name: *const c_char,
    r#type: *const c_char,
    payload: *const u8,
    payload_len: usize,
    timeout_ms: i32,
    out_reply: *mut *mut iscp_call_t,
    out_error: *mut *mut iscp_error_t,
) -> iscp_status_t {
    ffi!(out_error => {
        // SAFETY: the caller passes a connection of this library, strings, bytes and a writable place.
        let (out, conn, call) = unsafe {
            let out = convert::output(out_reply, std::ptr::null_mut(), "out_reply")?;
            let conn = convert::object(conn, "conn")?;
            let content = content(name, r#type, payload, payload_len)?;
            (out, conn, outgoing(destination_node_id, content, std::ptr::null_mut())?)
        };
        let timeout = convert::timeout(timeout_ms)?;
        // The core keeps the time, and says what it waited for; the caller waits as long as it takes. It gives its
        // reference to the connection back before: whoever frees the connection ends the wait.
        let reply = completion::wait(-1, move |done| conn.connection.call(call, timeout, done))?;
        out.set(call::new(reply));
        Ok(())
    })
}

/// Hands a call to a callback.
/// A call object for the duration of a callback.
pub(super) fn with_borrowed(call: DownstreamCall, callback: impl FnOnce(*const iscp_call_t)) {
    let object = call::new(call);
    callback(object);
    // SAFETY: made above.
    unsafe { handle::free(object) };
}
