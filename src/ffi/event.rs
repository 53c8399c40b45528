//! What happens to connections and streams, for C.

use std::ffi::{CStr, c_char, c_void};
use std::time::UNIX_EPOCH;

use uuid::Uuid;

use super::boundary::ffi;
use super::convert::Callback;
use super::error::{self, iscp_error_t};
use super::handle::{self, handle};
use super::types::iscp_uuid_t;
use crate::client::{ConnectionEvent, Dated, StreamEvent};
use crate::error::Error;

/// Something that happened to a connection or to a stream of it.
///
/// Which accessors mean something depends on the kind; the others answer 0, NULL or an all-zero id. An event
/// never changes and may be read from any thread. Everything read from it is valid until it is freed.
#[allow(non_camel_case_types)]
pub struct iscp_event_t {
    _opaque: [u8; 0],
}

/// An event in the form in which C reads it.
#[derive(Default)]
pub(super) struct Object {
    kind: iscp_event_kind_t,
    time_ns: i64,
    error: Option<OwnedError>,
    attempt: u32,
    delay_ms: u32,
    stream_id: Uuid,
    former_stream_id: Uuid,
    undelivered_points: u64,
    undelivered_chunks: Vec<u32>,
    dropped: u64,
}

handle!(iscp_event_t, b"iscp.evt", "event", Object);

/// The only owner of an error object.
struct OwnedError(*const iscp_error_t);

// SAFETY: an error object is a handle, which any thread may use.
unsafe impl Send for OwnedError {}
// SAFETY: as above; error objects never change.
unsafe impl Sync for OwnedError {}

impl Drop for OwnedError {
    fn drop(&mut self) {
        // SAFETY: made by `error::new`, and freed here only.
        unsafe { handle::free(self.0) };
    }
}

impl From<Error> for OwnedError {
    fn from(error: Error) -> Self {
        Self(error::new(error))
    }
}

/// What an event says: one of the `ISCP_EVENT_…` constants. Later versions may have more.
#[allow(non_camel_case_types)]
pub type iscp_event_kind_t = i32;

/// The server accepted the connection for the first time.
pub const ISCP_EVENT_CONNECTED: iscp_event_kind_t = 1;
/// The connection was lost; the error says why. There will be attempts to make it anew.
pub const ISCP_EVENT_DISCONNECTED: iscp_event_kind_t = 2;
/// There will be an attempt to make the connection anew: see `iscp_event_attempt` and
/// `iscp_event_delay_ms`. The error says why it was lost, or why the attempt before failed.
pub const ISCP_EVENT_RECONNECTING: iscp_event_kind_t = 3;
/// The server accepted the connection again. Its streams come back afterwards, each with an event of its
/// own.
pub const ISCP_EVENT_RECONNECTED: iscp_event_kind_t = 4;
/// The connection ended: the error says why, and is NULL when the application closed it. Nothing follows but
/// the callback of `iscp_conn_options_set_closed_callback`.
pub const ISCP_EVENT_CLOSED: iscp_event_kind_t = 5;
/// An upstream goes on after the connection was lost.
pub const ISCP_EVENT_UPSTREAM_RESUMED: iscp_event_kind_t = 6;
/// The server had forgotten an upstream, and another was opened in its place.
pub const ISCP_EVENT_UPSTREAM_REOPENED: iscp_event_kind_t = 7;
/// An upstream ended: the error says why, and is NULL as that of `iscp_upstream_closed_cb` is. What was not
/// delivered is counted.
pub const ISCP_EVENT_UPSTREAM_CLOSED: iscp_event_kind_t = 8;
/// A downstream goes on after the connection was lost.
pub const ISCP_EVENT_DOWNSTREAM_RESUMED: iscp_event_kind_t = 9;
/// The server had forgotten a downstream, and another was opened in its place.
pub const ISCP_EVENT_DOWNSTREAM_REOPENED: iscp_event_kind_t = 10;
/// A downstream ended: the error says why, and is NULL when the application closed it.
pub const ISCP_EVENT_DOWNSTREAM_CLOSED: iscp_event_kind_t = 11;
/// Events before the next one were dropped, because more than `event_queue_limit` waited for the application:
/// see `iscp_event_dropped`.
pub const ISCP_EVENT_DROPPED: iscp_event_kind_t = 12;

/// Told what happens to a connection and its streams.
///
/// Called on the connection's dispatcher thread. `event` is valid until the callback returns;
/// `iscp_event_ref` keeps it longer.
#[allow(non_camel_case_types)]
pub type iscp_event_cb = Option<unsafe extern "C" fn(event: *const iscp_event_t, user_data: *mut c_void)>;

/// What happened to a stream: one of the `ISCP_STREAM_EVENT_…` constants.
#[allow(non_camel_case_types)]
pub type iscp_stream_event_t = i32;

/// The stream goes on after the connection was lost.
pub const ISCP_STREAM_EVENT_RESUMED: iscp_stream_event_t = 1;
/// The server had forgotten the stream, and another was opened in its place.
pub const ISCP_STREAM_EVENT_REOPENED: iscp_stream_event_t = 2;

/// Told what happened to a stream whose connection had been lost.
///
/// Called on the connection's dispatcher thread. `event` is one of the `ISCP_STREAM_EVENT_…` constants; later
/// versions may have more. `stream_id` is the id the stream has now and `former_stream_id` the one it had,
/// the same unless it was opened anew; both are valid until the callback returns.
#[allow(non_camel_case_types)]
pub type iscp_stream_event_cb = Option<
    unsafe extern "C" fn(
        event: iscp_stream_event_t,
        stream_id: *const iscp_uuid_t,
        former_stream_id: *const iscp_uuid_t,
        user_data: *mut c_void,
    ),
>;

pub(super) type ConnectionFunction = unsafe extern "C" fn(*const iscp_event_t, *mut c_void);
pub(super) type StreamFunction =
    unsafe extern "C" fn(iscp_stream_event_t, *const iscp_uuid_t, *const iscp_uuid_t, *mut c_void);

/// An event object with one owner.
pub(super) fn new(Dated { at, event }: Dated) -> *mut iscp_event_t {
    let since = at.duration_since(UNIX_EPOCH).unwrap_or_default();
    let time_ns = i64::try_from(since.as_nanos()).unwrap_or(i64::MAX);
    handle::new(Object { time_ns, ..Object::from(event) })
}

impl From<ConnectionEvent> for Object {
    fn from(event: ConnectionEvent) -> Self {
        let plain = |kind| Self { kind, ..Self::default() };
        let because = |kind, error: Option<Error>| Self { error: error.map(OwnedError::from), ..plain(kind) };
        let stream = |resumed, reopened, event| match event {
            StreamEvent::Resumed { stream_id } => {
                Self { stream_id, former_stream_id: stream_id, ..plain(resumed) }
            }
            StreamEvent::Reopened { former, stream_id } => {
                Self { stream_id, former_stream_id: former, ..plain(reopened) }
            }
        };
        match event {
            ConnectionEvent::Connected => plain(ISCP_EVENT_CONNECTED),
            ConnectionEvent::Disconnected(error) => because(ISCP_EVENT_DISCONNECTED, Some(error)),
            ConnectionEvent::Reconnecting { attempt, delay, error } => {
                let delay_ms = u32::try_from(delay.as_millis()).unwrap_or(u32::MAX);
                Self { attempt, delay_ms, ..because(ISCP_EVENT_RECONNECTING, Some(error)) }
            }
            ConnectionEvent::Reconnected => plain(ISCP_EVENT_RECONNECTED),
            ConnectionEvent::Closed(error) => because(ISCP_EVENT_CLOSED, error),
            ConnectionEvent::Upstream(event) => {
                stream(ISCP_EVENT_UPSTREAM_RESUMED, ISCP_EVENT_UPSTREAM_REOPENED, event)
            }
            ConnectionEvent::UpstreamClosed { stream_id, end } => Self {
                stream_id,
                former_stream_id: stream_id,
                undelivered_points: end.undelivered_points,
                undelivered_chunks: end.undelivered_chunks,
                ..because(ISCP_EVENT_UPSTREAM_CLOSED, end.error)
            },
            ConnectionEvent::Downstream(event) => {
                stream(ISCP_EVENT_DOWNSTREAM_RESUMED, ISCP_EVENT_DOWNSTREAM_REOPENED, event)
            }
            ConnectionEvent::DownstreamClosed { stream_id, error } => Self {
                stream_id,
                former_stream_id: stream_id,
                ..because(ISCP_EVENT_DOWNSTREAM_CLOSED, error)
            },
            ConnectionEvent::Dropped(dropped) => Self { dropped, ..plain(ISCP_EVENT_DROPPED) },
        }
    }
}

pub(super) fn tell_connection(callback: &Callback<ConnectionFunction>, event: Dated) {
    let event = new(event);
    // SAFETY: the application promised a function of this type; the event was made above.
    unsafe {
        (callback.function)(event, callback.user_data.0);
        handle::free(event);
    }
}

pub(super) fn tell_stream(callback: &Callback<StreamFunction>, event: StreamEvent) {
    let (number, stream_id, former): (_, Uuid, Uuid) = match event {
        StreamEvent::Resumed { stream_id } => (ISCP_STREAM_EVENT_RESUMED, stream_id, stream_id),
        StreamEvent::Reopened { former, stream_id } => (ISCP_STREAM_EVENT_REOPENED, stream_id, former),
    };
    let (stream_id, former) = (iscp_uuid_t::from(stream_id), iscp_uuid_t::from(former));
    // SAFETY: the application promised a function of this type.
    unsafe { (callback.function)(number, &raw const stream_id, &raw const former, callback.user_data.0) };
}

/// What an event says.
///
/// @param event the event
/// @return one of the `ISCP_EVENT_…` constants; 0 for something that is no event
///
/// Thread: any, callbacks included. Blocking: no. Lifetime: plain value. Since: 0.1.0.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn iscp_event_kind(event: *const iscp_event_t) -> iscp_event_kind_t {
    // SAFETY: the caller passes an event of this library.
    ffi!(0; { unsafe { handle::enter(event) }.map(|event| event.kind) })
}

/// When an event happened, by the clock of this machine.
///
/// @param event the event
/// @return nanoseconds since the Unix epoch; 0 for something that is no event
///
/// Thread: any, callbacks included. Blocking: no. Lifetime: plain value. Since: 0.1.0.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn iscp_event_time_ns(event: *const iscp_event_t) -> i64 {
    // SAFETY: the caller passes an event of this library.
    ffi!(0; { unsafe { handle::enter(event) }.map(|event| event.time_ns) })
}

/// Why it happened.
///
/// @param event the event
/// @return an error of the event, which is not to be freed; NULL when there is none, as the kind says, and for
///         something that is no event
///
/// Thread: any, callbacks included. Blocking: no. Lifetime: valid as long as the event. Since: 0.1.0.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn iscp_event_error(event: *const iscp_event_t) -> *const iscp_error_t {
    // SAFETY: the caller passes an event of this library.
    ffi!(std::ptr::null(); { unsafe { handle::enter(event) }.map(|event| event.error.as_ref().map_or(std::ptr::null(), |error| error.0)) })
}

/// Which attempt to connect will follow, with `ISCP_EVENT_RECONNECTING`.
///
/// @param event the event
/// @return its number in this outage, from 1; 0 for other kinds and for something that is no event
///
/// Thread: any, callbacks included. Blocking: no. Lifetime: plain value. Since: 0.1.0.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn iscp_event_attempt(event: *const iscp_event_t) -> u32 {
    // SAFETY: the caller passes an event of this library.
    ffi!(0; { unsafe { handle::enter(event) }.map(|event| event.attempt) })
}

/// How long the connection waits before the attempt, with `ISCP_EVENT_RECONNECTING`.
///
/// @param event the event
/// @return milliseconds; 0 for other kinds and for something that is no event
///
/// Thread: any, callbacks included. Blocking: no. Lifetime: plain value. Since: 0.1.0.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn iscp_event_delay_ms(event: *const iscp_event_t) -> u32 {
    // SAFETY: the caller passes an event of this library.
    ffi!(0; { unsafe { handle::enter(event) }.map(|event| event.delay_ms) })
}

/// Stream that an event of a stream is about.
///
/// @param event the event
/// @return the id it has, or had when it ended; all zero for other kinds and for something that is no event
///
/// Thread: any, callbacks included. Blocking: no. Lifetime: plain value. Since: 0.1.0.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn iscp_event_stream_id(event: *const iscp_event_t) -> iscp_uuid_t {
    // SAFETY: the caller passes an event of this library.
    ffi!(iscp_uuid_t::default(); { unsafe { handle::enter(event) }.map(|event| iscp_uuid_t::from(event.stream_id)) })
}

/// Id that the stream had before.
///
/// @param event the event
/// @return the former id of a stream that was opened anew, otherwise the same as `iscp_event_stream_id`
///
/// Thread: any, callbacks included. Blocking: no. Lifetime: plain value. Since: 0.1.0.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn iscp_event_former_stream_id(event: *const iscp_event_t) -> iscp_uuid_t {
    // SAFETY: the caller passes an event of this library.
    ffi!(iscp_uuid_t::default(); { unsafe { handle::enter(event) }.map(|event| iscp_uuid_t::from(event.former_stream_id)) })
}

/// How many points were not delivered, with `ISCP_EVENT_UPSTREAM_CLOSED`.
///
/// @param event the event
/// @return points whose delivery the server did not confirm; 0 for other kinds and for something that is no
///         event
///
/// Thread: any, callbacks included. Blocking: no. Lifetime: plain value. Since: 0.1.0.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn iscp_event_undelivered_points(event: *const iscp_event_t) -> u64 {
    // SAFETY: the caller passes an event of this library.
    ffi!(0; { unsafe { handle::enter(event) }.map(|event| event.undelivered_points) })
}

/// How many chunks were sent and not confirmed, with `ISCP_EVENT_UPSTREAM_CLOSED`.
///
/// @param event the event
/// @return their number; 0 for other kinds and for something that is no event
///
/// Thread: any, callbacks included. Blocking: no. Lifetime: plain value. Since: 0.1.0.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn iscp_event_undelivered_chunk_count(event: *const iscp_event_t) -> usize {
    // SAFETY: the caller passes an event of this library.
    ffi!(0; { unsafe { handle::enter(event) }.map(|event| event.undelivered_chunks.len()) })
}

/// Sequence numbers of the chunks that were sent and not confirmed, with `ISCP_EVENT_UPSTREAM_CLOSED`.
///
/// @param event the event
/// @return `iscp_event_undelivered_chunk_count` numbers, in order; NULL when there are none
///
/// Thread: any, callbacks included. Blocking: no. Lifetime: valid as long as the event. Since: 0.1.0.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn iscp_event_undelivered_chunks(event: *const iscp_event_t) -> *const u32 {
    // SAFETY: the caller passes an event of this library.
    ffi!(std::ptr::null(); { unsafe { handle::enter(event) }.map(|event| match &*event.undelivered_chunks { [] => std::ptr::null(), chunks => chunks.as_ptr() }) })
}

/// How many events were dropped, with `ISCP_EVENT_DROPPED`.
///
/// @param event the event
/// @return their number; 0 for other kinds and for something that is no event
///
/// Thread: any, callbacks included. Blocking: no. Lifetime: plain value. Since: 0.1.0.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn iscp_event_dropped(event: *const iscp_event_t) -> u64 {
    // SAFETY: the caller passes an event of this library.
    ffi!(0; { unsafe { handle::enter(event) }.map(|event| event.dropped) })
}

/// Name of a kind of events, for messages.
///
/// @param kind one of the `ISCP_EVENT_…` constants
/// @return its name, such as "upstream resumed"; "unknown event" for another number; never NULL
///
/// Thread: any, callbacks included. Blocking: no. Lifetime: static text. Since: 0.1.0.
#[unsafe(no_mangle)]
pub extern "C" fn iscp_event_kind_name(kind: iscp_event_kind_t) -> *const c_char {
    let name: &'static CStr = match kind {
        ISCP_EVENT_CONNECTED => c"connected",
        ISCP_EVENT_DISCONNECTED => c"disconnected",
        ISCP_EVENT_RECONNECTING => c"reconnecting",
        ISCP_EVENT_RECONNECTED => c"reconnected",
        ISCP_EVENT_CLOSED => c"closed",
        ISCP_EVENT_UPSTREAM_RESUMED => c"upstream resumed",
        ISCP_EVENT_UPSTREAM_REOPENED => c"upstream reopened",
        ISCP_EVENT_UPSTREAM_CLOSED => c"upstream closed",
        ISCP_EVENT_DOWNSTREAM_RESUMED => c"downstream resumed",
        ISCP_EVENT_DOWNSTREAM_REOPENED => c"downstream reopened",
        ISCP_EVENT_DOWNSTREAM_CLOSED => c"downstream closed",
        ISCP_EVENT_DROPPED => c"events dropped",
        _ => c"unknown event",
    };
    name.as_ptr()
}

/// Adds an owner to an event, also to one that a callback was given: it then takes one more
/// `iscp_event_free`.
///
/// @param event the event
/// @return the same event; NULL for NULL and for something that is no event
///
/// Thread: any, callbacks included. Blocking: no. Lifetime: the new owner frees it. Since: 0.1.0.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn iscp_event_ref(event: *const iscp_event_t) -> *mut iscp_event_t {
    // SAFETY: the caller passes an event of this library.
    ffi!(std::ptr::null_mut(); { unsafe { handle::add_owner(event) }.map(|()| event.cast_mut()) })
}

/// Frees an event. Nothing happens for NULL.
///
/// @param event the event, or NULL; not one that a callback was given, unless it was kept with
///              `iscp_event_ref`
///
/// Thread: any, callbacks included. Blocking: no. Lifetime: the event and what was read from it end here.
/// Since: 0.1.0.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn iscp_event_free(event: *mut iscp_event_t) {
    // SAFETY: the caller passes an event of this library.
    ffi!((); { unsafe { handle::free(event) }; Ok(()) });
}
