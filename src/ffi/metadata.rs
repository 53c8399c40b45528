//! Received metadata.

use std::ffi::{CStr, CString, c_char};
use std::sync::Arc;

use uuid::Uuid;

use super::boundary::ffi;
use super::convert::{self, c_text};
use super::handle::{self, handle};
use super::status::iscp_status_t;
use super::types::iscp_uuid_t;
use super::upstream_options::iscp_qos_t;
use crate::core::ReceivedMetadata;
use crate::error::Status;
use crate::message::{DownstreamFilter, Metadata};

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
/// The node opened a downstream: stream, filters and QoS.
pub const ISCP_METADATA_DOWNSTREAM_OPEN: iscp_metadata_kind_t = 6;
/// A downstream of the node ended without being closed: stream.
pub const ISCP_METADATA_DOWNSTREAM_ABNORMAL_CLOSE: iscp_metadata_kind_t = 7;
/// A downstream of the node was resumed: stream, filters and QoS.
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
    filters: Vec<Filter>,
}

/// One pattern for the data of one node.
struct Filter {
    /// Of all patterns of the node.
    source_node_id: Arc<CStr>,
    name: CString,
    kind: CString,
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
        Metadata::DownstreamOpen { stream_id, filters, qos } => Object {
            kind: ISCP_METADATA_DOWNSTREAM_OPEN,
            stream_id,
            qos: qos.number(),
            filters: patterns(&filters),
            ..base
        },
        Metadata::DownstreamAbnormalClose { stream_id } => {
            Object { kind: ISCP_METADATA_DOWNSTREAM_ABNORMAL_CLOSE, stream_id, ..base }
        }
        Metadata::DownstreamResume { stream_id, filters, qos } => Object {
            kind: ISCP_METADATA_DOWNSTREAM_RESUME,
            stream_id,
            qos: qos.number(),
            filters: patterns(&filters),
            ..base
        },
        Metadata::DownstreamNormalClose { stream_id } => {
            Object { kind: ISCP_METADATA_DOWNSTREAM_NORMAL_CLOSE, stream_id, ..base }
        }
    })
}

/// The patterns of filters, one by one, as `iscp_downstream_options_add_filter` takes them.
fn patterns(filters: &[DownstreamFilter]) -> Vec<Filter> {
    let mut all = Vec::new();
    for filter in filters {
        let source_node_id: Arc<CStr> = c_text(&filter.source_node_id).into();
        all.extend(filter.data_filters.iter().map(|data| Filter {
            source_node_id: source_node_id.clone(),
            name: c_text(&data.name),
            kind: c_text(&data.kind),
        }));
    }
    all
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

/// Number of filters of an opened or resumed downstream: patterns for the data of a node.
///
/// @param metadata the metadata
/// @return the number; 0 for other kinds too
///
/// Thread: any, callbacks included. Blocking: no. Lifetime: plain value. Since: 0.1.0.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn iscp_metadata_filter_count(metadata: *const iscp_metadata_t) -> usize {
    // SAFETY: the caller passes metadata of this library.
    ffi!(0; { unsafe { handle::enter(metadata) }.map(|metadata| metadata.filters.len()) })
}

/// One filter of an opened or resumed downstream.
///
/// @param metadata           the metadata
/// @param filter             number of the filter, from 0
/// @param out_source_node_id receives the node whose data the downstream receives; NULL on failure
/// @param out_name           receives the pattern for the name; NULL on failure
/// @param out_type           receives the pattern for the type; NULL on failure
/// @return `ISCP_OK`; `ISCP_ERR_INVALID_ARGUMENT` when there is no such filter;
///         `ISCP_ERR_NULL_ARGUMENT`, `ISCP_ERR_BAD_HANDLE`, `ISCP_ERR_FORKED`
///
/// Thread: any, callbacks included. Blocking: no. Lifetime: the texts are valid as long as the metadata.
/// Since: 0.1.0.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn iscp_metadata_filter(
    metadata: *const iscp_metadata_t,
    filter: usize,
    out_source_node_id: *mut *const c_char,
    out_name: *mut *const c_char,
    out_type: *mut *const c_char,
) -> iscp_status_t {
    ffi!({
        let text = |out, argument| {
            // SAFETY: the caller passes writable places.
            unsafe { convert::output(out, std::ptr::null(), argument) }.map_err(|error| error.status())
        };
        let source_node_id = text(out_source_node_id, "out_source_node_id")?;
        let name = text(out_name, "out_name")?;
        let kind = text(out_type, "out_type")?;
        // SAFETY: the caller passes metadata of this library.
        let metadata = unsafe { handle::enter(metadata)? };
        let filter = metadata.filters.get(filter).ok_or(Status::InvalidArgument)?;
        source_node_id.set(filter.source_node_id.as_ptr());
        name.set(filter.name.as_ptr());
        kind.set(filter.kind.as_ptr());
        Ok(())
    })
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

#[cfg(test)]
mod tests {
    use super::*;
    use crate::core::ReceivedMetadata;
    use crate::message::{BaseTime, DataFilter, Qos};

    const STREAM: Uuid = Uuid::from_u128(0x0123_4567_89ab_cdef);

    fn filters() -> Vec<DownstreamFilter> {
        let data = |name: &str, kind: &str| DataFilter { name: name.to_owned(), kind: kind.to_owned() };
        vec![
            DownstreamFilter {
                source_node_id: "a".to_owned(),
                data_filters: vec![data("x", "#"), data("y", "t")],
            },
            DownstreamFilter { source_node_id: "nothing".to_owned(), data_filters: vec![] },
            DownstreamFilter { source_node_id: "b".to_owned(), data_filters: vec![data("+", "u")] },
        ]
    }

    /// Everything that C can read of metadata.
    #[derive(Debug, PartialEq)]
    struct Read {
        kind: i32,
        texts: [String; 3],
        stream_id: [u8; 16],
        qos: i32,
        numbers: (u32, i64, i64, u64, u32),
        filters: Vec<[String; 3]>,
    }

    fn read(metadata: Metadata) -> Read {
        let metadata = new(ReceivedMetadata::for_test("source", metadata));
        let text = |text: *const c_char| {
            // SAFETY: the accessors return strings.
            unsafe { CStr::from_ptr(text) }.to_str().unwrap().to_owned()
        };
        // SAFETY: metadata made above, and writable places.
        unsafe {
            let filters = (0..iscp_metadata_filter_count(metadata)).map(|i| {
                let (mut node, mut name, mut kind) = (std::ptr::null(), std::ptr::null(), std::ptr::null());
                let status = iscp_metadata_filter(metadata, i, &raw mut node, &raw mut name, &raw mut kind);
                assert_eq!(status, 0);
                [text(node), text(name), text(kind)]
            });
            let filters = filters.collect();
            let mut outside = [std::ptr::dangling(); 3];
            let [node, name, kind] = &mut outside;
            assert_eq!(iscp_metadata_filter(metadata, 3, node, name, kind), Status::InvalidArgument.number());
            assert_eq!(outside, [std::ptr::null(); 3]);
            let read = Read {
                kind: iscp_metadata_kind(metadata),
                texts: [
                    text(iscp_metadata_source_node_id(metadata)),
                    text(iscp_metadata_session_id(metadata)),
                    text(iscp_metadata_name(metadata)),
                ],
                stream_id: iscp_metadata_stream_id(metadata).bytes,
                qos: iscp_metadata_qos(metadata),
                numbers: (
                    iscp_metadata_priority(metadata),
                    iscp_metadata_elapsed_time_ns(metadata),
                    iscp_metadata_base_time_ns(metadata),
                    iscp_metadata_total_points(metadata),
                    iscp_metadata_final_sequence_number(metadata),
                ),
                filters,
            };
            iscp_metadata_free(metadata);
            read
        }
    }

    /// What has nothing but a kind, a source and, unless it is a base time, a stream.
    fn bare(kind: i32) -> Read {
        let stream_id = if kind == ISCP_METADATA_BASE_TIME { [0; 16] } else { *STREAM.as_bytes() };
        Read {
            kind,
            texts: ["source".to_owned(), String::new(), String::new()],
            stream_id,
            qos: 0,
            numbers: (0, 0, 0, 0, 0),
            filters: vec![],
        }
    }

    fn of_session(read: Read) -> Read {
        let [source, _, name] = read.texts;
        Read { texts: [source, "session".to_owned(), name], ..read }
    }

    #[test]
    fn every_field_of_every_kind_can_be_read() {
        let session_id = || "session".to_owned();
        let base_time = BaseTime {
            session_id: session_id(),
            name: "edge_rtc".to_owned(),
            priority: 100_000,
            elapsed_time_ns: 7,
            base_time_ns: -5,
        };
        let mut expected = of_session(bare(1));
        expected.texts[2] = "edge_rtc".to_owned();
        expected.numbers = (100_000, 7, -5, 0, 0);
        assert_eq!(read(Metadata::BaseTime(base_time.clone())), expected);
        // More than C can be told with a sign.
        expected.numbers.1 = i64::MAX;
        let elapsed_time_ns = u64::MAX;
        assert_eq!(read(Metadata::BaseTime(BaseTime { elapsed_time_ns, ..base_time })), expected);

        let (stream_id, qos) = (STREAM, Qos::Reliable);
        let with_qos = |read: Read| Read { qos: 1, ..read };
        let open = Metadata::UpstreamOpen { stream_id, session_id: session_id(), qos };
        assert_eq!(read(open), with_qos(of_session(bare(2))));
        let abnormal = Metadata::UpstreamAbnormalClose { stream_id, session_id: session_id() };
        assert_eq!(read(abnormal), of_session(bare(3)));
        let resume = Metadata::UpstreamResume { stream_id, session_id: session_id(), qos };
        assert_eq!(read(resume), with_qos(of_session(bare(4))));
        let normal = Metadata::UpstreamNormalClose {
            stream_id,
            session_id: session_id(),
            total_data_points: u64::MAX,
            final_sequence_number: u32::MAX,
        };
        let closed = Read { numbers: (0, 0, 0, u64::MAX, u32::MAX), ..of_session(bare(5)) };
        assert_eq!(read(normal), closed);

        let patterns = [["a", "x", "#"], ["a", "y", "t"], ["b", "+", "u"]];
        let patterns = patterns.map(|pattern| pattern.map(str::to_owned)).to_vec();
        let with_filters = |read: Read| Read { qos: 1, filters: patterns.clone(), ..read };
        let open = Metadata::DownstreamOpen { stream_id, filters: filters(), qos };
        assert_eq!(read(open), with_filters(bare(6)));
        assert_eq!(read(Metadata::DownstreamAbnormalClose { stream_id }), bare(7));
        let resume = Metadata::DownstreamResume { stream_id, filters: filters(), qos };
        assert_eq!(read(resume), with_filters(bare(8)));
        assert_eq!(read(Metadata::DownstreamNormalClose { stream_id }), bare(9));
    }
}
