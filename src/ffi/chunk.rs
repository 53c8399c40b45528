//! Received chunks.

use std::ffi::{CString, c_char};

use super::boundary::ffi;
use super::convert::{self, c_text};
use super::downstream_options::FilterNumbers;
use super::handle::{self, handle};
use super::status::iscp_status_t;
use super::types::{iscp_data_point_t, iscp_uuid_t};
use crate::core::ReceivedChunk;
use crate::error::Status;

/// A received chunk: points of one upstream that travelled together, grouped by data id.
///
/// A chunk never changes and may be read from any thread. Everything read from it, payloads included,
/// is valid until it is freed.
#[allow(non_camel_case_types)]
pub struct iscp_chunk_t {
    _opaque: [u8; 0],
}

/// A chunk in the form in which C reads it.
pub(super) struct Object {
    /// Owns the payloads that the points below refer to.
    chunk: ReceivedChunk,
    source_node_id: CString,
    session_id: CString,
    groups: Vec<Group>,
    points: Vec<iscp_data_point_t>,
    /// Numbers of the filters that the groups matched.
    filters: Vec<u32>,
}

struct Group {
    name: CString,
    kind: CString,
    /// Of `points`.
    first: usize,
    count: usize,
    /// Of `filters`.
    first_filter: usize,
    filter_count: usize,
}

handle!(iscp_chunk_t, b"iscp.chk", "chunk", Object);

/// A chunk object with one owner.
pub(super) fn new(chunk: ReceivedChunk, filter_numbers: &FilterNumbers) -> *mut iscp_chunk_t {
    let mut filters = Vec::new();
    let mut points = Vec::with_capacity(chunk.groups.iter().map(|group| group.points.len()).sum());
    let mut groups = Vec::with_capacity(chunk.groups.len());
    for group in &chunk.groups {
        let first = points.len();
        let bytes = group.points.as_bytes();
        points.extend(group.points.spans().map(|span| iscp_data_point_t {
            elapsed_time_ns: span.elapsed_time,
            // Stays where it is: `chunk` keeps the reference-counted bytes.
            payload: convert::start_of(&bytes[span.offset..span.offset + span.len]),
            payload_len: span.len,
        }));
        let first_filter = filters.len();
        filters.extend(group.filter_references.iter().filter_map(|place| filter_numbers.get(place)));
        groups.push(Group {
            name: c_text(&group.data_id.name),
            kind: c_text(&group.data_id.kind),
            first,
            count: points.len() - first,
            first_filter,
            filter_count: filters.len() - first_filter,
        });
    }
    handle::new(Object {
        source_node_id: c_text(&chunk.upstream.source_node_id),
        session_id: c_text(&chunk.upstream.session_id),
        groups,
        points,
        filters,
        chunk,
    })
}

/// Number of a chunk in its upstream.
///
/// @param chunk the chunk
/// @return the sequence number, from 1; 0 for something that is no chunk
///
/// Thread: any, callbacks included. Blocking: no. Lifetime: plain value. Since: 0.1.0.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn iscp_chunk_sequence_number(chunk: *const iscp_chunk_t) -> u32 {
    // SAFETY: the caller passes a chunk of this library.
    ffi!(0; { unsafe { handle::enter(chunk) }.map(|chunk| chunk.chunk.sequence_number) })
}

/// Node that sent a chunk.
///
/// @param chunk the chunk
/// @return its id; "" for something that is no chunk; never NULL
///
/// Thread: any, callbacks included. Blocking: no. Lifetime: valid as long as the chunk. Since: 0.1.0.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn iscp_chunk_source_node_id(chunk: *const iscp_chunk_t) -> *const c_char {
    // SAFETY: the caller passes a chunk of this library.
    ffi!(c"".as_ptr(); { unsafe { handle::enter(chunk) }.map(|chunk| chunk.source_node_id.as_ptr()) })
}

/// Session that a chunk belongs to.
///
/// @param chunk the chunk
/// @return its id; "" for something that is no chunk; never NULL
///
/// Thread: any, callbacks included. Blocking: no. Lifetime: valid as long as the chunk. Since: 0.1.0.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn iscp_chunk_session_id(chunk: *const iscp_chunk_t) -> *const c_char {
    // SAFETY: the caller passes a chunk of this library.
    ffi!(c"".as_ptr(); { unsafe { handle::enter(chunk) }.map(|chunk| chunk.session_id.as_ptr()) })
}

/// Upstream that a chunk belongs to.
///
/// @param chunk the chunk
/// @return id of the upstream; all zero for something that is no chunk
///
/// Thread: any, callbacks included. Blocking: no. Lifetime: plain value. Since: 0.1.0.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn iscp_chunk_upstream_id(chunk: *const iscp_chunk_t) -> iscp_uuid_t {
    // SAFETY: the caller passes a chunk of this library.
    ffi!(iscp_uuid_t::default(); { unsafe { handle::enter(chunk) }.map(|chunk| chunk.chunk.upstream.stream_id.into()) })
}

/// Number of groups in a chunk: one for each run of points of a data id. 0 for an empty chunk.
///
/// @param chunk the chunk
/// @return the number; 0 for something that is no chunk too
///
/// Thread: any, callbacks included. Blocking: no. Lifetime: plain value. Since: 0.1.0.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn iscp_chunk_group_count(chunk: *const iscp_chunk_t) -> usize {
    // SAFETY: the caller passes a chunk of this library.
    ffi!(0; { unsafe { handle::enter(chunk) }.map(|chunk| chunk.groups.len()) })
}

/// Number of points in all groups of a chunk.
///
/// @param chunk the chunk
/// @return the number; 0 for something that is no chunk too
///
/// Thread: any, callbacks included. Blocking: no. Lifetime: plain value. Since: 0.1.0.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn iscp_chunk_point_count(chunk: *const iscp_chunk_t) -> usize {
    // SAFETY: the caller passes a chunk of this library.
    ffi!(0; { unsafe { handle::enter(chunk) }.map(|chunk| chunk.points.len()) })
}

/// One group of a chunk: its data id and its points.
///
/// @param chunk           the chunk
/// @param group           number of the group, from 0
/// @param out_name        receives the name of the data id, or NULL; NULL on failure
/// @param out_type        receives the type of the data id, or NULL; NULL on failure
/// @param out_points      receives an array of points in the sender's order, or NULL; NULL on failure
/// @param out_point_count receives how many there are, or NULL; 0 on failure
/// @return `ISCP_OK`; `ISCP_ERR_INVALID_ARGUMENT` when there is no such group;
///         `ISCP_ERR_NULL_ARGUMENT`, `ISCP_ERR_BAD_HANDLE`, `ISCP_ERR_FORKED`
///
/// Thread: any, callbacks included. Blocking: no. Lifetime: texts, points and their payloads are valid
/// as long as the chunk. Since: 0.1.0.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn iscp_chunk_group(
    chunk: *const iscp_chunk_t,
    group: usize,
    out_name: *mut *const c_char,
    out_type: *mut *const c_char,
    out_points: *mut *const iscp_data_point_t,
    out_point_count: *mut usize,
) -> iscp_status_t {
    ffi!({
        // SAFETY: the caller passes a chunk of this library and writable places.
        unsafe {
            convert::set(out_name, std::ptr::null());
            convert::set(out_type, std::ptr::null());
            convert::set(out_points, std::ptr::null());
            convert::set(out_point_count, 0);
            let chunk = handle::enter(chunk)?;
            let group = chunk.groups.get(group).ok_or(Status::InvalidArgument)?;
            convert::set(out_name, group.name.as_ptr());
            convert::set(out_type, group.kind.as_ptr());
            let points = &chunk.points[group.first..group.first + group.count];
            convert::set(out_points, convert::start_of(points));
            convert::set(out_point_count, group.count);
        }
        Ok(())
    })
}

/// Filters that one group of a chunk matched.
///
/// A filter is told by its number: 0 for the first that was added to the options of the downstream with
/// `iscp_downstream_options_add_filter`, 1 for the next, and so on. Servers below protocol version 3.0.0
/// do not say which filters matched.
///
/// @param chunk            the chunk
/// @param group            number of the group, from 0
/// @param out_filters      receives an array of numbers, or NULL when there are none; NULL on failure
/// @param out_filter_count receives how many there are; 0 when the server does not say, and on failure
/// @return `ISCP_OK`; `ISCP_ERR_INVALID_ARGUMENT` when there is no such group;
///         `ISCP_ERR_NULL_ARGUMENT`, `ISCP_ERR_BAD_HANDLE`, `ISCP_ERR_FORKED`
///
/// Thread: any, callbacks included. Blocking: no. Lifetime: the array is valid as long as the chunk.
/// Since: 0.1.0.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn iscp_chunk_group_filters(
    chunk: *const iscp_chunk_t,
    group: usize,
    out_filters: *mut *const u32,
    out_filter_count: *mut usize,
) -> iscp_status_t {
    ffi!({
        // SAFETY: the caller passes a chunk of this library and writable places.
        let (filters, count, chunk) = unsafe {
            (
                convert::output(out_filters, std::ptr::null(), "out_filters").map_err(|e| e.status())?,
                convert::output(out_filter_count, 0, "out_filter_count").map_err(|e| e.status())?,
                handle::enter(chunk)?,
            )
        };
        let group = chunk.groups.get(group).ok_or(Status::InvalidArgument)?;
        if group.filter_count > 0 {
            filters.set(chunk.filters[group.first_filter..].as_ptr());
            count.set(group.filter_count);
        }
        Ok(())
    })
}

/// Adds an owner to a chunk: it then takes one more `iscp_chunk_free`. Keeps a chunk beyond the
/// callback that received it.
///
/// @param chunk the chunk
/// @return the same chunk; NULL for NULL and for something that is no chunk
///
/// Thread: any, callbacks included. Blocking: no. Lifetime: the new owner frees it. Since: 0.1.0.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn iscp_chunk_ref(chunk: *const iscp_chunk_t) -> *mut iscp_chunk_t {
    // SAFETY: the caller passes a chunk of this library.
    ffi!(std::ptr::null_mut(); { unsafe { handle::add_owner(chunk) }.map(|()| chunk.cast_mut()) })
}

/// Frees a chunk. Nothing happens for NULL.
///
/// @param chunk a chunk from `iscp_downstream_next_chunk_wait` or `iscp_chunk_ref`, or NULL; not one
///              that a callback was given
///
/// Thread: any, callbacks included. Blocking: never. Lifetime: everything read from it ends with its
/// last owner. Since: 0.1.0.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn iscp_chunk_free(chunk: *mut iscp_chunk_t) {
    // SAFETY: the caller passes a chunk of this library.
    ffi!((); { unsafe { handle::free(chunk) }; Ok(()) });
}
