//! Received calls and replies.

use std::ffi::{CString, c_char};

use super::boundary::ffi;
use super::convert::{self, c_text};
use super::handle::{self, handle};
use super::status::iscp_status_t;
use crate::message::DownstreamCall;

/// A received call, or a reply to one.
///
/// It never changes and may be read from any thread. Everything read from it, the payload included, is
/// valid until it is freed.
#[allow(non_camel_case_types)]
pub struct iscp_call_t {
    _opaque: [u8; 0],
}

/// A call in the form in which C reads it.
pub(super) struct Object {
    /// Owns the payload; replies are addressed by what stands in here.
    pub(super) call: DownstreamCall,
    id: CString,
    request_call_id: CString,
    source_node_id: CString,
    name: CString,
    kind: CString,
}

handle!(iscp_call_t, b"iscp.cal", "call", Object);

/// A call object with one owner.
pub(super) fn new(call: DownstreamCall) -> *mut iscp_call_t {
    handle::new(Object {
        id: c_text(&call.call_id),
        request_call_id: c_text(&call.request_call_id),
        source_node_id: c_text(&call.source_node_id),
        name: c_text(&call.name),
        kind: c_text(&call.kind),
        call,
    })
}

/// Id of a call, chosen by its sender.
///
/// @param call the call
/// @return the id, usually a UUID as text; "" for something that is no call; never NULL
///
/// Thread: any, callbacks included. Blocking: no. Lifetime: valid as long as the call. Since: 0.1.0.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn iscp_call_id(call: *const iscp_call_t) -> *const c_char {
    // SAFETY: the caller passes a call of this library.
    ffi!(c"".as_ptr(); { unsafe { handle::enter(call) }.map(|call| call.id.as_ptr()) })
}

/// Id of the call to which this is the reply.
///
/// @param call the reply
/// @return the id that `iscp_conn_send_call` gave; "" for a call and for something that is none; never
///         NULL
///
/// Thread: any, callbacks included. Blocking: no. Lifetime: valid as long as the reply. Since: 0.1.0.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn iscp_call_request_call_id(call: *const iscp_call_t) -> *const c_char {
    // SAFETY: the caller passes a call of this library.
    ffi!(c"".as_ptr(); { unsafe { handle::enter(call) }.map(|call| call.request_call_id.as_ptr()) })
}

/// Node that sent a call.
///
/// @param call the call
/// @return its id; "" for something that is no call; never NULL
///
/// Thread: any, callbacks included. Blocking: no. Lifetime: valid as long as the call. Since: 0.1.0.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn iscp_call_source_node_id(call: *const iscp_call_t) -> *const c_char {
    // SAFETY: the caller passes a call of this library.
    ffi!(c"".as_ptr(); { unsafe { handle::enter(call) }.map(|call| call.source_node_id.as_ptr()) })
}

/// Name of a call, such as that of a procedure. What it means is between the two nodes.
///
/// @param call the call
/// @return the name; "" for something that is no call; never NULL
///
/// Thread: any, callbacks included. Blocking: no. Lifetime: valid as long as the call. Since: 0.1.0.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn iscp_call_name(call: *const iscp_call_t) -> *const c_char {
    // SAFETY: the caller passes a call of this library.
    ffi!(c"".as_ptr(); { unsafe { handle::enter(call) }.map(|call| call.name.as_ptr()) })
}

/// Type of a call, such as that of its payload. What it means is between the two nodes.
///
/// @param call the call
/// @return the type; "" for something that is no call; never NULL
///
/// Thread: any, callbacks included. Blocking: no. Lifetime: valid as long as the call. Since: 0.1.0.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn iscp_call_type(call: *const iscp_call_t) -> *const c_char {
    // SAFETY: the caller passes a call of this library.
    ffi!(c"".as_ptr(); { unsafe { handle::enter(call) }.map(|call| call.kind.as_ptr()) })
}

/// Payload of a call.
///
/// @param call            the call
/// @param out_payload     receives the bytes, which are not NULL; NULL on failure
/// @param out_payload_len receives how many there are; 0 on failure
/// @return `ISCP_OK`; `ISCP_ERR_NULL_ARGUMENT`, `ISCP_ERR_BAD_HANDLE`, `ISCP_ERR_FORKED`
///
/// Thread: any, callbacks included. Blocking: no. Lifetime: the bytes are valid as long as the call.
/// Since: 0.1.0.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn iscp_call_payload(
    call: *const iscp_call_t,
    out_payload: *mut *const u8,
    out_payload_len: *mut usize,
) -> iscp_status_t {
    ffi!({
        // SAFETY: the caller passes a call of this library and writable places.
        let (payload, len, call) = unsafe {
            (
                convert::output(out_payload, std::ptr::null(), "out_payload").map_err(|e| e.status())?,
                convert::output(out_payload_len, 0, "out_payload_len").map_err(|e| e.status())?,
                handle::enter(call)?,
            )
        };
        payload.set(convert::start_of(&call.call.payload));
        len.set(call.call.payload.len());
        Ok(())
    })
}

/// Adds an owner to a call: it then takes one more `iscp_call_free`. Keeps a call beyond the callback
/// that received it, to reply later.
///
/// @param call the call
/// @return the same call; NULL for NULL and for something that is no call
///
/// Thread: any, callbacks included. Blocking: no. Lifetime: the new owner frees it. Since: 0.1.0.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn iscp_call_ref(call: *const iscp_call_t) -> *mut iscp_call_t {
    // SAFETY: the caller passes a call of this library.
    ffi!(std::ptr::null_mut(); { unsafe { handle::add_owner(call) }.map(|()| call.cast_mut()) })
}

/// Frees a call. Nothing happens for NULL.
///
/// @param call a call from one of the `_wait` functions or `iscp_call_ref`, or NULL; not one that a
///             callback was given
///
/// Thread: any, callbacks included. Blocking: never. Lifetime: everything read from it ends with its
/// last owner. Since: 0.1.0.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn iscp_call_free(call: *mut iscp_call_t) {
    // SAFETY: the caller passes a call of this library.
    ffi!((); { unsafe { handle::free(call) }; Ok(()) });
}
