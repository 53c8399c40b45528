//! What happens to connections and streams, for C.

use std::ffi::c_void;

use uuid::Uuid;

use super::convert::Callback;
use super::error::{self, iscp_error_t};
use super::types::iscp_uuid_t;
use crate::client::{ConnectionEvent, StreamEvent};
use crate::error::Error;

/// What happened to a connection: one of the `ISCP_CONN_EVENT_…` constants.
#[allow(non_camel_case_types)]
pub type iscp_conn_event_t = i32;

/// The server accepted the connection for the first time.
pub const ISCP_CONN_EVENT_CONNECTED: iscp_conn_event_t = 1;
/// The connection was lost; the error says why. There will be attempts to make it anew.
pub const ISCP_CONN_EVENT_DISCONNECTED: iscp_conn_event_t = 2;
/// There will be an attempt to make the connection anew; the error says why it was lost, or why the attempt
/// before failed.
pub const ISCP_CONN_EVENT_RECONNECTING: iscp_conn_event_t = 3;
/// The server accepted the connection again. Its streams come back afterwards, each with an event of its
/// own.
pub const ISCP_CONN_EVENT_RECONNECTED: iscp_conn_event_t = 4;
/// The connection ended: the error says why, and is NULL when the application closed it. Nothing follows but
/// the callback of `iscp_conn_options_set_closed_callback`.
pub const ISCP_CONN_EVENT_CLOSED: iscp_conn_event_t = 5;

/// Told what happened to a connection.
///
/// Called on the connection's dispatcher thread. `event` is one of the `ISCP_CONN_EVENT_…` constants; later
/// versions may have more. With `ISCP_CONN_EVENT_RECONNECTING`, `attempt` is the number of the attempt in this
/// outage, from 1, and `delay_ms` how long the connection waits before it; otherwise both are 0. `error`
/// is NULL unless the constant says otherwise, and valid until the callback returns.
#[allow(non_camel_case_types)]
pub type iscp_conn_event_cb = Option<
    unsafe extern "C" fn(
        event: iscp_conn_event_t,
        attempt: u32,
        delay_ms: u32,
        error: *const iscp_error_t,
        user_data: *mut c_void,
    ),
>;

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

pub(super) type ConnectionFunction =
    unsafe extern "C" fn(iscp_conn_event_t, u32, u32, *const iscp_error_t, *mut c_void);
pub(super) type StreamFunction =
    unsafe extern "C" fn(iscp_stream_event_t, *const iscp_uuid_t, *const iscp_uuid_t, *mut c_void);

pub(super) fn tell_connection(callback: &Callback<ConnectionFunction>, event: ConnectionEvent) {
    let (number, attempt, delay, error): (_, _, _, Option<Error>) = match event {
        ConnectionEvent::Connected => (ISCP_CONN_EVENT_CONNECTED, 0, 0, None),
        ConnectionEvent::Disconnected(error) => (ISCP_CONN_EVENT_DISCONNECTED, 0, 0, Some(error)),
        ConnectionEvent::Reconnecting { attempt, delay, error } => {
            let delay = u32::try_from(delay.as_millis()).unwrap_or(u32::MAX);
            (ISCP_CONN_EVENT_RECONNECTING, attempt, delay, Some(error))
        }
        ConnectionEvent::Reconnected => (ISCP_CONN_EVENT_RECONNECTED, 0, 0, None),
        ConnectionEvent::Closed(error) => (ISCP_CONN_EVENT_CLOSED, 0, 0, error),
    };
    // SAFETY: the application promised a function of this type.
    error::with_borrowed(error, |error| unsafe {
        (callback.function)(number, attempt, delay, error, callback.user_data.0);
    });
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
