//! Writing points.

use std::ffi::c_void;

use super::boundary::ffi;
use super::completion;
use super::convert;
use super::error::iscp_error_t;
use super::handle::{self, Entered};
use super::iscp_done_cb;
use super::status::iscp_status_t;
use super::types::{iscp_data_point_t, iscp_upstream_point_t};
use super::upstream::{iscp_data_id_t, iscp_upstream_t};
use crate::client::{Completion, NewPoint};
use crate::error::{Error, Result, Status};

/// Most bytes of points that `iscp_upstream_write_together` writes: each point counts its payload and 23
/// bytes.
pub const ISCP_MAX_TOGETHER: usize = 524_288;

/// What a point counts beside its payload.
const LEAST_BYTES: usize = crate::message::max_wire_len(0);

/// What `buffer_limit` can be set to.
const LARGEST_BUFFER: usize = 1 << 30;

/// What the core calls a data id.
#[inline]
fn index(data_id: iscp_data_id_t) -> Result<u32, Status> {
    data_id.checked_sub(1).ok_or(Status::InvalidArgument)
}

/// Writes a point. It is sent when the flush policy says so.
///
/// @param upstream        the upstream
/// @param data_id         what the point belongs to, from `iscp_upstream_data_id` of this upstream
/// @param elapsed_time_ns nanoseconds since the time origin of the session; may be negative
/// @param payload         the bytes; NULL only when there are none
/// @param payload_len     how many there are, at most `ISCP_MAX_PAYLOAD`
/// @return `ISCP_OK` when the point is in the buffer; `ISCP_ERR_WOULD_BLOCK` or `ISCP_ERR_TIMEOUT` when
///         the buffer is full and stays so, by the buffer policy; `ISCP_ERR_INVALID_ARGUMENT` for an
///         unknown data id; `ISCP_ERR_TOO_LARGE`; `ISCP_ERR_CLOSED`; `ISCP_ERR_SEQUENCE_EXHAUSTED`;
///         `ISCP_ERR_SPOOL` when it could not be kept on disk (option `spool_dir`); `ISCP_ERR_NULL_ARGUMENT`,
///         `ISCP_ERR_BAD_HANDLE`, `ISCP_ERR_FORKED`
///
/// Thread: any, callbacks included. Blocking: only when the buffer is full, by the buffer policy; never
/// inside a callback. Lifetime: the payload is copied. Since: 0.1.0.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn iscp_upstream_write(
    upstream: *mut iscp_upstream_t,
    data_id: iscp_data_id_t,
    elapsed_time_ns: i64,
    payload: *const u8,
    payload_len: usize,
) -> iscp_status_t {
    ffi!({
        // SAFETY: the caller passes a handle of this library and readable bytes.
        let (upstream, payload) =
            unsafe { (handle::enter(upstream)?, convert::bytes(payload, payload_len)?) };
        upstream.write(index(data_id)?, elapsed_time_ns, payload)
    })
}

/// A point that the library writes.
///
/// # Safety
/// The payload has as many readable bytes as the point says.
unsafe fn new_point<'a>(data_id: iscp_data_id_t, point: &iscp_data_point_t) -> Result<NewPoint<'a>, Status> {
    // SAFETY: the caller's promise.
    let payload = unsafe { convert::bytes(point.payload, point.payload_len)? };
    Ok((index(data_id)?, point.elapsed_time_ns, payload))
}

/// Writes points whose arguments were all looked at first, so that it is all of them or none.
///
/// # Safety
/// `points` is NULL or points to so many readable points, of which `data_point` makes what is written.
unsafe fn write_all<P>(
    upstream: *mut iscp_upstream_t,
    points: *const P,
    point_count: usize,
    together: bool,
    new_point: impl Fn(&P) -> Result<NewPoint<'_>, Status> + Copy,
) -> Result<(), Status> {
    // SAFETY: the caller passes a handle of this library.
    let upstream = unsafe { handle::enter(upstream)? };
    // Before they are read: a number that is wrong by mistake is usually far too large.
    let most = if together { ISCP_MAX_TOGETHER } else { LARGEST_BUFFER };
    if point_count > most / LEAST_BYTES {
        return Err(Status::TooLarge);
    }
    // SAFETY: the caller passes readable points.
    let points = unsafe { convert::items(points, point_count)? };
    for point in points {
        new_point(point)?;
    }
    upstream.write_all(points.iter().filter_map(move |point| new_point(point).ok()), together)
}

/// Writes several points of one data id, in order: all of them or, when it fails, none.
///
/// Together they may take as much as the buffer of the upstream has room for (option `buffer_limit`). They may
/// travel in several chunks.
///
/// @param upstream    the upstream
/// @param data_id     what the points belong to, from `iscp_upstream_data_id` of this upstream
/// @param points      the points; NULL only when there are none
/// @param point_count how many there are
/// @return as `iscp_upstream_write`; `ISCP_ERR_TOO_LARGE` too when the buffer can never hold all of them
///
/// Thread: any, callbacks included. Blocking: as `iscp_upstream_write`. Lifetime: the payloads are
/// copied. Since: 0.1.0.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn iscp_upstream_write_points(
    upstream: *mut iscp_upstream_t,
    data_id: iscp_data_id_t,
    points: *const iscp_data_point_t,
    point_count: usize,
) -> iscp_status_t {
    ffi!({
        // SAFETY: the caller passes a handle of this library, readable points and their bytes.
        unsafe { write_all(upstream, points, point_count, false, move |point| new_point(data_id, point)) }
    })
}

/// Writes several points, each with its data id, in order: all of them into one chunk or, when it fails, none.
///
/// What is measured at one moment so stays together. Only points that waited in a spool (option `spool_dir`)
/// for room in the buffer may travel in several chunks.
///
/// @param upstream    the upstream
/// @param points      the points; NULL only when there are none
/// @param point_count how many there are
/// @return as `iscp_upstream_write`; `ISCP_ERR_TOO_LARGE` too when several points take more than
///         `ISCP_MAX_TOGETHER` bytes, or more than the buffer of the upstream can ever hold
///
/// Thread: any, callbacks included. Blocking: as `iscp_upstream_write`. Lifetime: the payloads are
/// copied. Since: 0.1.0.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn iscp_upstream_write_together(
    upstream: *mut iscp_upstream_t,
    points: *const iscp_upstream_point_t,
    point_count: usize,
) -> iscp_status_t {
    ffi!({
        // SAFETY: the caller passes a handle of this library, readable points and their bytes.
        unsafe {
            write_all(upstream, points, point_count, true, |point: &iscp_upstream_point_t| {
                new_point(point.data_id, &point.point)
            })
        }
    })
}

/// Writes a point and tells when it is delivered. It is sent when the flush policy says so, like any other.
///
/// The callback is called once: with NULL when the server acknowledged the chunk that holds the point, otherwise
/// with the reason why that is not known or will not happen: `ISCP_ERR_REFUSED` when the server refused the chunk,
/// `ISCP_ERR_TIMEOUT` when its acknowledgement did not come in time (option `ack_timeout_ms`, or the time-out of
/// closing) or the chunk was lost as the QoS allows, `ISCP_ERR_OVERFLOW` when the point was dropped because
/// the buffer was full (options `buffer_policy`, `spool_full`), `ISCP_ERR_CLOSED` or the error of the connection
/// when the stream ended first. A RELIABLE point waits through an outage.
///
/// It costs more than `iscp_upstream_write`: at most 65536 points of an upstream are waited for at a time, those
/// included whose callback has not returned. To know that all points up to some moment are delivered,
/// `iscp_upstream_flush` is enough.
///
/// @param upstream        the upstream
/// @param data_id         what the point belongs to, from `iscp_upstream_data_id` of this upstream
/// @param elapsed_time_ns nanoseconds since the time origin of the session; may be negative
/// @param payload         the bytes; NULL only when there are none
/// @param payload_len     how many there are, at most `ISCP_MAX_PAYLOAD`
/// @param callback        told what became of the point; NULL for nobody
/// @param user_data       handed to the callback
/// @param out_error       receives the detail of a failure to begin, or NULL
/// @return `ISCP_OK` when the point was taken, and the callback is called once; otherwise it is not called: as
///         `iscp_upstream_write`; `ISCP_ERR_WOULD_BLOCK` too when 65536 points are waited for
///
/// Thread: any, callbacks included. Blocking: as `iscp_upstream_write`. Lifetime: the payload is copied.
/// Since: 0.1.0.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn iscp_upstream_write_acknowledged(
    upstream: *mut iscp_upstream_t,
    data_id: iscp_data_id_t,
    elapsed_time_ns: i64,
    payload: *const u8,
    payload_len: usize,
    callback: iscp_done_cb,
    user_data: *mut c_void,
    out_error: *mut *mut iscp_error_t,
) -> iscp_status_t {
    ffi!(out_error => {
        let point = iscp_data_point_t { elapsed_time_ns, payload, payload_len };
        // SAFETY: the caller passes a handle of this library and readable bytes.
        let (upstream, point) = unsafe { acknowledged(upstream, data_id, &point)? };
        let (id, elapsed_time, payload) = point;
        upstream.write_acknowledged(id, elapsed_time, payload, completion::done(callback, user_data))
    })
}

/// Writes a point and waits until it is delivered, as `iscp_upstream_write_acknowledged` does without waiting.
///
/// The point is sent when the flush policy says so: with the policy `none` somebody has to flush meanwhile.
///
/// @param upstream        the upstream
/// @param data_id         what the point belongs to, from `iscp_upstream_data_id` of this upstream
/// @param elapsed_time_ns nanoseconds since the time origin of the session; may be negative
/// @param payload         the bytes; NULL only when there are none
/// @param payload_len     how many there are, at most `ISCP_MAX_PAYLOAD`
/// @param timeout_ms      milliseconds to wait for the acknowledgement; then it fails with `ISCP_ERR_TIMEOUT`,
///                        and the point stays on its way; -1 as long as the stream lives
/// @param out_error       receives the detail of a failure, or NULL
/// @return `ISCP_OK` when the server acknowledged it; what `iscp_upstream_write_acknowledged` returns, or tells its
///         callback; `ISCP_ERR_IN_CALLBACK`, and the point is not written
///
/// Thread: any but the library's own. Blocking: yes. Lifetime: the payload is copied. Since: 0.1.0.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn iscp_upstream_write_acknowledged_wait(
    upstream: *mut iscp_upstream_t,
    data_id: iscp_data_id_t,
    elapsed_time_ns: i64,
    payload: *const u8,
    payload_len: usize,
    timeout_ms: i32,
    out_error: *mut *mut iscp_error_t,
) -> iscp_status_t {
    ffi!(out_error => {
        let point = iscp_data_point_t { elapsed_time_ns, payload, payload_len };
        // SAFETY: the caller passes a handle of this library and readable bytes.
        let (upstream, point) = unsafe { acknowledged(upstream, data_id, &point)? };
        let (id, elapsed_time, payload) = point;
        completion::wait(timeout_ms, |done: Completion<()>| {
            upstream.write_acknowledged(id, elapsed_time, payload, done)
        })
    })
}

/// The arguments of a write with detail of its failure.
///
/// # Safety
/// `upstream` is a handle of this library or NULL; the payload has as many readable bytes as the point says.
unsafe fn acknowledged<'a>(
    upstream: *mut iscp_upstream_t,
    data_id: iscp_data_id_t,
    point: &iscp_data_point_t,
) -> Result<(Entered<iscp_upstream_t>, NewPoint<'a>)> {
    // SAFETY: the caller's promise.
    unsafe {
        let upstream = convert::object(upstream, "upstream")?;
        let payload = convert::bytes(point.payload, point.payload_len)
            .map_err(|status| Error::new(status, format!("payload: {}", status.text())))?;
        let id = index(data_id).map_err(|status| Error::new(status, "data_id: 0 is none"))?;
        Ok((upstream, (id, point.elapsed_time_ns, payload)))
    }
}

const _: () = assert!(ISCP_MAX_TOGETHER == crate::core::CHUNK_LIMIT);
const _: () = assert!(LEAST_BYTES == 23);
