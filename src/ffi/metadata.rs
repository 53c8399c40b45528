//! Received metadata.

use std::ffi::{CString, c_char};

use uuid::Uuid;

use super::boundary::ffi;
use super::convert::c_text;
use super::handle::{self, handle};
use super::types::iscp_uuid_t;
use super::upstream_options::iscp_qos_t;
use crate::core::ReceivedMetadata;
use crate::message::Metadata;

/// Received metadata: what happened to a node, a session or a stream beside its data.
///
/// Which accessors mean something depends on the kind; the others answer 0, "" or an all-zero id.
/// Metadata never changes and may be read from any thread.
#[allow(non_camel_case_types)]
pub struct iscp_metadata_t {
    _opaque: [u8; 0],
}

/// Kind of metadata: one of the `ISCP_METADATA_…` constants.
#[allow(non_camel_case_types)]
pub type iscp_metadata_kind_t = i32;

/// The node sent a base time: session, name, priority, elapsed time and base time.
pub const ISCP_METADATA_BASE_TIME: iscp_metadata_kind_t = 1;
/// An upstream was opened: stream, session and QoS.
pub const ISCP_METADATA_UPSTREAM_OPEN: iscp_metadata_kind_t = 2;
/// An upstream ended without being closed: stream and session.
pub const ISCP_METADATA_UPSTREAM_ABNORMAL_CLOSE: iscp_metadata_kind_t = 3;
/// An upstream was resumed: stream, session and QoS.
pub const ISCP_METADATA_UPSTREAM_RESUME: iscp_metadata_kind_t = 4;
/// An upstream was closed: stream, session, total points and final sequence number.
pub const ISCP_METADATA_UPSTREAM_NORMAL_CLOSE: iscp_metadata_kind_t = 5;
/// The node opened a downstream: stream and QoS.
pub const ISCP_METADATA_DOWNSTREAM_OPEN: iscp_metadata_kind_t = 6;
/// A downstream of the node ended without being closed: stream.
pub const ISCP_METADATA_DOWNSTREAM_ABNORMAL_CLOSE: iscp_metadata_kind_t = 7;
/// A downstream of the node was resumed: stream and QoS.
pub const ISCP_METADATA_DOWNSTREAM_RESUME: iscp_metadata_kind_t = 8;
/// A downstream of the node was closed: stream.
pub const ISCP_METADATA_DOWNSTREAM_NORMAL_CLOSE: iscp_metadata_kind_t = 9;

/// Metadata in the form in which C reads it.
#[derive(Default)]
pub(super) struct Object {
    kind: iscp_metadata_kind_t,
    source_node_id: CString,
    session_id: CString,
    stream_id: Uuid,
    qos: iscp_qos_t,
    name: CString,
    priority: u32,
    elapsed_time_ns: i64,
    base_time_ns: i64,
    total_points: u64,
    final_sequence_number: u32,
}

handle!(iscp_metadata_t, b"iscp.met", "metadata", Object);

/// A metadata object with one owner.
pub(super) fn new(received: ReceivedMetadata) -> *mut iscp_metadata_t {
    let source_node_id = c_text(&received.source_node_id);
    let base = Object { source_node_id, ..Object::default() };
    handle::new(match received.metadata {
        Metadata::BaseTime(time) => Object {
            kind: ISCP_METADATA_BASE_TIME,
            session_id: c_text(&time.session_id),
            name: c_text(&time.name),
            priority: time.priority,
            elapsed_time_ns: i64::try_from(time.elapsed_time_ns).unwrap_or(i64::MAX),
            base_time_ns: time.base_time_ns,
            ..base
        },
        Metadata::UpstreamOpen { stream_id, session_id, qos } => Object {
            kind: ISCP_METADATA_UPSTREAM_OPEN,
            stream_id,
            session_id: c_text(&session_id),
            qos: qos.number(),
            ..base
        },
        Metadata::UpstreamAbnormalClose { stream_id, session_id } => Object {
            kind: ISCP_METADATA_UPSTREAM_ABNORMAL_CLOSE,
            stream_id,
            session_id: c_text(&session_id),
            ..base
        },
        Metadata::UpstreamResume { stream_id, session_id, qos } => Object {
            kind: ISCP_METADATA_UPSTREAM_RESUME,
            stream_id,
            session_id: c_text(&session_id),
            qos: qos.number(),
            ..base
        },
        Metadata::UpstreamNormalClose { stream_id, session_id, total_data_points, final_sequence_number } => {
            Object {
                kind: ISCP_METADATA_UPSTREAM_NORMAL_CLOSE,
                stream_id,
                session_id: c_text(&session_id),
                total_points: total_data_points,
                final_sequence_number,
                ..base
            }
        }
        Metadata::DownstreamOpen { stream_id, qos, .. } => {
            Object { kind: ISCP_METADATA_DOWNSTREAM_OPEN, stream_id, qos: qos.number(), ..base }
        }
        Metadata::DownstreamAbnormalClose { stream_id } => {
            Object { kind: ISCP_METADATA_DOWNSTREAM_ABNORMAL_CLOSE, stream_id, ..base }
        }
        Metadata::DownstreamResume { stream_id, qos, .. } => {
            Object { kind: ISCP_METADATA_DOWNSTREAM_RESUME, stream_id, qos: qos.number(), ..base }
        }
        Metadata::DownstreamNormalClose { stream_id } => {
            Object { kind: ISCP_METADATA_DOWNSTREAM_NORMAL_CLOSE, stream_id, ..base }
        }
    })
}

/// Kind of metadata.
///
/// @param metadata the metadata
/// @return one of the `ISCP_METADATA_…` constants, or one of a later version; 0 for something that is
///         no metadata
///
/// Thread: any, callbacks included. Blocking: no. Lifetime: plain value. Since: 0.1.0.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn iscp_metadata_kind(metadata: *const iscp_metadata_t) -> iscp_metadata_kind_t {
    // SAFETY: the caller passes metadata of this library.
    ffi!(0; { unsafe { handle::enter(metadata) }.map(|metadata| metadata.kind) })
}

/// Node that metadata is about.
///
/// @param metadata the metadata
/// @return its id; never NULL
///
/// Thread: any, callbacks included. Blocking: no. Lifetime: valid as long as the metadata. Since: 0.1.0.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn iscp_metadata_source_node_id(metadata: *const iscp_metadata_t) -> *const c_char {
    // SAFETY: the caller passes metadata of this library.
    ffi!(c"".as_ptr(); { unsafe { handle::enter(metadata) }.map(|metadata| metadata.source_node_id.as_ptr()) })
}

/// Session that metadata is about.
///
/// @param metadata the metadata
/// @return its id, for base times and upstreams; never NULL
///
/// Thread: any, callbacks included. Blocking: no. Lifetime: valid as long as the metadata. Since: 0.1.0.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn iscp_metadata_session_id(metadata: *const iscp_metadata_t) -> *const c_char {
    // SAFETY: the caller passes metadata of this library.
    ffi!(c"".as_ptr(); { unsafe { handle::enter(metadata) }.map(|metadata| metadata.session_id.as_ptr()) })
}

/// Stream that metadata is about.
///
/// @param metadata the metadata
/// @return its id, for upstreams and downstreams
///
/// Thread: any, callbacks included. Blocking: no. Lifetime: plain value. Since: 0.1.0.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn iscp_metadata_stream_id(metadata: *const iscp_metadata_t) -> iscp_uuid_t {
    // SAFETY: the caller passes metadata of this library.
    ffi!(iscp_uuid_t::default(); { unsafe { handle::enter(metadata) }.map(|metadata| metadata.stream_id.into()) })
}

/// QoS of the stream that metadata is about.
///
/// @param metadata the metadata
/// @return the QoS, for opened and resumed streams
///
/// Thread: any, callbacks included. Blocking: no. Lifetime: plain value. Since: 0.1.0.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn iscp_metadata_qos(metadata: *const iscp_metadata_t) -> iscp_qos_t {
    // SAFETY: the caller passes metadata of this library.
    ffi!(0; { unsafe { handle::enter(metadata) }.map(|metadata| metadata.qos) })
}

/// Name of the clock of a base time.
///
/// @param metadata the metadata
/// @return the name; never NULL
///
/// Thread: any, callbacks included. Blocking: no. Lifetime: valid as long as the metadata. Since: 0.1.0.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn iscp_metadata_name(metadata: *const iscp_metadata_t) -> *const c_char {
    // SAFETY: the caller passes metadata of this library.
    ffi!(c"".as_ptr(); { unsafe { handle::enter(metadata) }.map(|metadata| metadata.name.as_ptr()) })
}

/// Priority of a base time among those of its session.
///
/// @param metadata the metadata
/// @return the priority
///
/// Thread: any, callbacks included. Blocking: no. Lifetime: plain value. Since: 0.1.0.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn iscp_metadata_priority(metadata: *const iscp_metadata_t) -> u32 {
    // SAFETY: the caller passes metadata of this library.
    ffi!(0; { unsafe { handle::enter(metadata) }.map(|metadata| metadata.priority) })
}

/// Elapsed time that corresponds to a base time.
///
/// @param metadata the metadata
/// @return nanoseconds since the time origin of the session
///
/// Thread: any, callbacks included. Blocking: no. Lifetime: plain value. Since: 0.1.0.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn iscp_metadata_elapsed_time_ns(metadata: *const iscp_metadata_t) -> i64 {
    // SAFETY: the caller passes metadata of this library.
    ffi!(0; { unsafe { handle::enter(metadata) }.map(|metadata| metadata.elapsed_time_ns) })
}

/// The clock of a base time.
///
/// @param metadata the metadata
/// @return nanoseconds since the Unix epoch
///
/// Thread: any, callbacks included. Blocking: no. Lifetime: plain value. Since: 0.1.0.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn iscp_metadata_base_time_ns(metadata: *const iscp_metadata_t) -> i64 {
    // SAFETY: the caller passes metadata of this library.
    ffi!(0; { unsafe { handle::enter(metadata) }.map(|metadata| metadata.base_time_ns) })
}

/// Points that the sender of a closed upstream counted.
///
/// @param metadata the metadata
/// @return the number
///
/// Thread: any, callbacks included. Blocking: no. Lifetime: plain value. Since: 0.1.0.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn iscp_metadata_total_points(metadata: *const iscp_metadata_t) -> u64 {
    // SAFETY: the caller passes metadata of this library.
    ffi!(0; { unsafe { handle::enter(metadata) }.map(|metadata| metadata.total_points) })
}

/// Last sequence number of a closed upstream.
///
/// @param metadata the metadata
/// @return the number; 0 when it sent no chunk
///
/// Thread: any, callbacks included. Blocking: no. Lifetime: plain value. Since: 0.1.0.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn iscp_metadata_final_sequence_number(metadata: *const iscp_metadata_t) -> u32 {
    // SAFETY: the caller passes metadata of this library.
    ffi!(0; { unsafe { handle::enter(metadata) }.map(|metadata| metadata.final_sequence_number) })
}

/// Name of a kind of metadata, such as "upstream_open".
///
/// @param kind a kind
/// @return the name, or "unknown"; never NULL
///
/// Thread: any, callbacks included. Blocking: no. Lifetime: static text. Since: 0.1.0.
#[unsafe(no_mangle)]
pub extern "C" fn iscp_metadata_kind_name(kind: iscp_metadata_kind_t) -> *const c_char {
    match kind {
        ISCP_METADATA_BASE_TIME => c"base_time",
        ISCP_METADATA_UPSTREAM_OPEN => c"upstream_open",
        ISCP_METADATA_UPSTREAM_ABNORMAL_CLOSE => c"upstream_abnormal_close",
        ISCP_METADATA_UPSTREAM_RESUME => c"upstream_resume",
        ISCP_METADATA_UPSTREAM_NORMAL_CLOSE => c"upstream_normal_close",
        ISCP_METADATA_DOWNSTREAM_OPEN => c"downstream_open",
        ISCP_METADATA_DOWNSTREAM_ABNORMAL_CLOSE => c"downstream_abnormal_close",
        ISCP_METADATA_DOWNSTREAM_RESUME => c"downstream_resume",
        ISCP_METADATA_DOWNSTREAM_NORMAL_CLOSE => c"downstream_normal_close",
        _ => c"unknown",
    }
    .as_ptr()
}

/// Adds an owner to metadata: it then takes one more `iscp_metadata_free`. Keeps metadata beyond the
/// callback that received it.
///
/// @param metadata the metadata
/// @return the same metadata; NULL for NULL and for something that is no metadata
///
/// Thread: any, callbacks included. Blocking: no. Lifetime: the new owner frees it. Since: 0.1.0.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn iscp_metadata_ref(metadata: *const iscp_metadata_t) -> *mut iscp_metadata_t {
    // SAFETY: the caller passes metadata of this library.
    ffi!(std::ptr::null_mut(); { unsafe { handle::add_owner(metadata) }.map(|()| metadata.cast_mut()) })
}

/// Frees metadata. Nothing happens for NULL.
///
/// @param metadata metadata from `iscp_downstream_next_metadata_wait` or `iscp_metadata_ref`, or NULL;
///                 not that which a callback was given
///
/// Thread: any, callbacks included. Blocking: never. Lifetime: everything read from it ends with its
/// last owner. Since: 0.1.0.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn iscp_metadata_free(metadata: *mut iscp_metadata_t) {
    // SAFETY: the caller passes metadata of this library.
    ffi!((); { unsafe { handle::free(metadata) }; Ok(()) });
}
