//! How an application gets what a downstream receives: handed to callbacks, or pulled.

use std::ffi::c_void;

use super::boundary::ffi;
use super::chunk::{self, iscp_chunk_t};
use super::convert::{self, Callback, iscp_release_cb};
use super::downstream::iscp_downstream_t;
use super::error::iscp_error_t;
use super::handle;
use super::metadata::{self, iscp_metadata_t};
use super::status::iscp_status_t;

/// Receives chunks.
///
/// Called on the connection's dispatcher thread, for one chunk at a time and in the order of `chunk_order`. A chunk may be
/// empty: unless told otherwise by `iscp_downstream_options_set_omit_empty_chunk`, the server sends one
/// for every chunk of the node of which no point matches. `chunk` is valid until the callback returns;
/// `iscp_chunk_ref` keeps it longer.
#[allow(non_camel_case_types)]
pub type iscp_chunk_cb = Option<unsafe extern "C" fn(chunk: *const iscp_chunk_t, user_data: *mut c_void)>;

/// Receives metadata.
///
/// Called on the connection's dispatcher thread, in order with the chunks if they go to a callback
/// too. `metadata` is valid until the callback returns; `iscp_metadata_ref` keeps it longer.
#[allow(non_camel_case_types)]
pub type iscp_metadata_cb =
    Option<unsafe extern "C" fn(metadata: *const iscp_metadata_t, user_data: *mut c_void)>;

/// Hands chunks to a callback from now on, beginning with those received before. Can be set once.
///
/// @param downstream the downstream
/// @param callback   receives the chunks
/// @param user_data  handed to the callback
/// @param release    called with `user_data` after the last chunk, or NULL
/// @param out_error  receives the detail of a failure, or NULL
/// @return `ISCP_OK`; `ISCP_ERR_INVALID_STATE` when there is a callback already; `ISCP_ERR_CLOSED`, or
///         why the stream ended, in which case what was received before can still be pulled;
///         `ISCP_ERR_NULL_ARGUMENT`, `ISCP_ERR_BAD_HANDLE`, `ISCP_ERR_FORKED`
///
/// Thread: any, callbacks included. Blocking: no. Lifetime: `user_data` is needed until `release` is
/// called, also on failure. Since: 0.1.0.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn iscp_downstream_read(
    downstream: *mut iscp_downstream_t,
    callback: iscp_chunk_cb,
    user_data: *mut c_void,
    release: iscp_release_cb,
    out_error: *mut *mut iscp_error_t,
) -> iscp_status_t {
    ffi!(out_error => {
        let callback = Callback::new(callback, user_data, release);
        let function = callback.function.ok_or_else(|| convert::null("callback"))?;
        // SAFETY: the caller passes a downstream of this library.
        let downstream = unsafe { convert::object(downstream, "downstream")? };
        let filter_numbers = downstream.filter_numbers.clone();
        downstream.on_chunk(Box::new(move |received| {
            let object = chunk::new(received, &filter_numbers);
            // SAFETY: the application promised a function of this type; the object was made here.
            unsafe {
                function(object, callback.user_data.0);
                handle::free(object);
            }
        }))
    })
}

/// Hands metadata to a callback from now on, beginning with that received before. Can be set once.
///
/// @param downstream the downstream
/// @param callback   receives the metadata
/// @param user_data  handed to the callback
/// @param release    called with `user_data` after the last metadata, or NULL
/// @param out_error  receives the detail of a failure, or NULL
/// @return `ISCP_OK`; `ISCP_ERR_INVALID_STATE` when there is a callback already; `ISCP_ERR_CLOSED`, or
///         why the stream ended, in which case what was received before can still be pulled;
///         `ISCP_ERR_NULL_ARGUMENT`, `ISCP_ERR_BAD_HANDLE`, `ISCP_ERR_FORKED`
///
/// Thread: any, callbacks included. Blocking: no. Lifetime: `user_data` is needed until `release` is
/// called, also on failure. Since: 0.1.0.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn iscp_downstream_read_metadata(
    downstream: *mut iscp_downstream_t,
    callback: iscp_metadata_cb,
    user_data: *mut c_void,
    release: iscp_release_cb,
    out_error: *mut *mut iscp_error_t,
) -> iscp_status_t {
    ffi!(out_error => {
        let callback = Callback::new(callback, user_data, release);
        let function = callback.function.ok_or_else(|| convert::null("callback"))?;
        // SAFETY: the caller passes a downstream of this library.
        let downstream = unsafe { convert::object(downstream, "downstream")? };
        downstream.on_metadata(Box::new(move |received| {
            let object = metadata::new(received);
            // SAFETY: the application promised a function of this type; the object was made here.
            unsafe {
                function(object, callback.user_data.0);
                handle::free(object);
            }
        }))
    })
}

/// Takes the next chunk.
///
/// @param downstream   the downstream
/// @param timeout_ms   milliseconds to wait; -1 until there is one or the stream ends; 0 to try
/// @param out_chunk receives the chunk, to be freed with `iscp_chunk_free`; NULL on failure
/// @param out_error    receives the detail of a failure, or NULL
/// @return `ISCP_OK`; `ISCP_ERR_WOULD_BLOCK` when there is nothing and `timeout_ms` is 0;
///         `ISCP_ERR_TIMEOUT`; once everything received was taken, `ISCP_ERR_CLOSED` or why the stream
///         ended; `ISCP_ERR_INVALID_STATE` when there is a callback; `ISCP_ERR_IN_CALLBACK` unless
///         `timeout_ms` is 0; `ISCP_ERR_INVALID_ARGUMENT`, `ISCP_ERR_NULL_ARGUMENT`,
///         `ISCP_ERR_BAD_HANDLE`, `ISCP_ERR_FORKED`
///
/// Thread: any; inside a callback only with `timeout_ms` 0. Blocking: as `timeout_ms` says. Lifetime:
/// the chunk is owned by the caller. Since: 0.1.0.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn iscp_downstream_next_chunk_wait(
    downstream: *mut iscp_downstream_t,
    timeout_ms: i32,
    out_chunk: *mut *mut iscp_chunk_t,
    out_error: *mut *mut iscp_error_t,
) -> iscp_status_t {
    ffi!(out_error => {
        // SAFETY: the caller passes a downstream of this library and a writable place.
        let (out, downstream) = unsafe {
            (
                convert::output(out_chunk, std::ptr::null_mut(), "out_chunk")?,
                convert::object(downstream, "downstream")?,
            )
        };
        let received = downstream.next_chunk(convert::timeout(timeout_ms)?)?;
        out.set(chunk::new(received, &downstream.filter_numbers));
        Ok(())
    })
}

/// Takes the next metadata.
///
/// @param downstream   the downstream
/// @param timeout_ms   milliseconds to wait; -1 until there is some or the stream ends; 0 to try
/// @param out_metadata receives the metadata, to be freed with `iscp_metadata_free`; NULL on failure
/// @param out_error    receives the detail of a failure, or NULL
/// @return `ISCP_OK`; `ISCP_ERR_WOULD_BLOCK` when there is nothing and `timeout_ms` is 0;
///         `ISCP_ERR_TIMEOUT`; once everything received was taken, `ISCP_ERR_CLOSED` or why the stream
///         ended; `ISCP_ERR_INVALID_STATE` when there is a callback; `ISCP_ERR_IN_CALLBACK` unless
///         `timeout_ms` is 0; `ISCP_ERR_INVALID_ARGUMENT`, `ISCP_ERR_NULL_ARGUMENT`,
///         `ISCP_ERR_BAD_HANDLE`, `ISCP_ERR_FORKED`
///
/// Thread: any; inside a callback only with `timeout_ms` 0. Blocking: as `timeout_ms` says. Lifetime:
/// the metadata is owned by the caller. Since: 0.1.0.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn iscp_downstream_next_metadata_wait(
    downstream: *mut iscp_downstream_t,
    timeout_ms: i32,
    out_metadata: *mut *mut iscp_metadata_t,
    out_error: *mut *mut iscp_error_t,
) -> iscp_status_t {
    ffi!(out_error => {
        // SAFETY: the caller passes a downstream of this library and a writable place.
        let (out, downstream) = unsafe {
            (
                convert::output(out_metadata, std::ptr::null_mut(), "out_metadata")?,
                convert::object(downstream, "downstream")?,
            )
        };
        out.set(metadata::new(downstream.next_metadata(convert::timeout(timeout_ms)?)?));
        Ok(())
    })
}

/// A descriptor for `poll`, `select`, `epoll` and event loops: readable while there is a chunk or
/// metadata to take, or the stream has ended.
///
/// It is level-triggered and belongs to the stream: never read, write or close it. When it is
/// readable, take chunks and metadata with a `timeout_ms` of 0 until both answer
/// `ISCP_ERR_WOULD_BLOCK` or that the stream has ended. Once `iscp_downstream_metadata_pollable` was
/// called, metadata make that descriptor readable and not this one.
///
/// @param downstream the downstream
/// @param out_fd     receives the descriptor, the same at every call; -1 on failure
/// @param out_error  receives the detail of a failure, or NULL
/// @return `ISCP_OK`; `ISCP_ERR_RESOURCE` when the system has no descriptor left;
///         `ISCP_ERR_NULL_ARGUMENT`, `ISCP_ERR_BAD_HANDLE`, `ISCP_ERR_FORKED`
///
/// Thread: any, callbacks included. Blocking: no. Lifetime: valid as long as the downstream is not
/// freed. Since: 0.1.0.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn iscp_downstream_pollable(
    downstream: *mut iscp_downstream_t,
    out_fd: *mut i32,
    out_error: *mut *mut iscp_error_t,
) -> iscp_status_t {
    ffi!(out_error => {
        // SAFETY: the caller passes a downstream of this library and a writable place.
        unsafe { convert::descriptor(downstream, "downstream", out_fd, |downstream| downstream.pollable()) }
    })
}

/// Makes a file descriptor that polls readable (`POLLIN`) as long as there is metadata to take, or the stream has
/// ended. The descriptor of `iscp_downstream_pollable` is for chunks only from then on.
///
/// It is level-triggered and belongs to the stream: never read, write or close it. When it is
/// readable, take metadata with a `timeout_ms` of 0 until the answer is `ISCP_ERR_WOULD_BLOCK` or that the
/// stream has ended.
///
/// @param downstream the downstream
/// @param out_fd     receives the descriptor, the same at every call; -1 on failure
/// @param out_error  receives the detail of a failure, or NULL
/// @return `ISCP_OK`; `ISCP_ERR_RESOURCE` when the system has no descriptor left;
///         `ISCP_ERR_NULL_ARGUMENT`, `ISCP_ERR_BAD_HANDLE`, `ISCP_ERR_FORKED`
///
/// Thread: any, callbacks included. Blocking: no. Lifetime: valid as long as the downstream is not
/// freed. Since: 0.1.0.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn iscp_downstream_metadata_pollable(
    downstream: *mut iscp_downstream_t,
    out_fd: *mut i32,
    out_error: *mut *mut iscp_error_t,
) -> iscp_status_t {
    ffi!(out_error => {
        // SAFETY: the caller passes a downstream of this library and a writable place.
        unsafe { convert::descriptor(downstream, "downstream", out_fd, |downstream| downstream.metadata_pollable()) }
    })
}
