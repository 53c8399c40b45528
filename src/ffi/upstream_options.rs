//! Options of an upstream.

use std::ffi::c_char;
use std::sync::Arc;
use std::time::Duration;

use super::boundary::ffi;
use super::convert::Callback;
use super::error::iscp_error_t;
use super::event::{self, StreamFunction};
use super::fork;
use super::handle::{self, handle};
use super::options::{
    Collected, Settings, Spec, boolean, bounded, data_id, milliseconds, number, qos, set_by_key, set_text,
    set_typed, whole_seconds,
};
use super::status::iscp_status_t;
use super::upstream_handlers::{
    AckFunction, BeforeSendFunction, ClosedFunction, report_ack, report_end, show_chunk,
};
use crate::client::{FullPolicy, UpstreamOptions};
use crate::core::{FlushPolicy, UpstreamConfig};

/// QoS of a stream: one of the `ISCP_QOS_…` constants.
#[allow(non_camel_case_types)]
pub type iscp_qos_t = i32;

/// Points may be lost; datagrams where the transport has them.
pub const ISCP_QOS_UNRELIABLE: iscp_qos_t = 0;
/// The server confirms every point; one that could not be delivered is reported.
pub const ISCP_QOS_RELIABLE: iscp_qos_t = 1;
/// The reliable channel, but nothing is sent again after a loss of the connection.
pub const ISCP_QOS_PARTIAL: iscp_qos_t = 2;

/// Settings of an upstream, collected before `iscp_upstream_open`, which copies them.
#[allow(non_camel_case_types)]
pub struct iscp_upstream_options_t {
    _opaque: [u8; 0],
}

handle!(iscp_upstream_options_t, b"iscp.uop", "upstream options object", Collected<UpstreamSettings>);

/// What was collected, in a form that can be used for several streams.
#[derive(Default)]
pub(super) struct UpstreamSettings {
    config: UpstreamConfig,
    flush_interval: Option<Duration>,
    flush_size: Option<usize>,
    policy: Policy,
    write_timeout: Option<Duration>,
    full: Full,
    pub(super) on_ack: Option<Arc<Callback<AckFunction>>>,
    pub(super) before_send: Option<Arc<Callback<BeforeSendFunction>>>,
    pub(super) on_event: Option<Arc<Callback<StreamFunction>>>,
    pub(super) on_closed: Option<Arc<Callback<ClosedFunction>>>,
}

/// What a write does when the buffer is full.
#[derive(Clone, Copy, Default)]
enum Full {
    #[default]
    Block,
    WouldBlock,
    DropOldest,
    DropNewest,
}

#[derive(Clone, Copy, Default)]
enum Policy {
    #[default]
    IntervalOrSize,
    Interval,
    Size,
    Immediate,
    None,
}

/// How long a write waits for space unless the application says otherwise.
const WRITE_TIMEOUT: Duration = Duration::from_secs(10);

impl UpstreamSettings {
    /// Options of one more upstream.
    pub(super) fn to_options(&self) -> UpstreamOptions {
        let mut config = self.config.clone();
        config.flush_policy = self.flush_policy();
        UpstreamOptions {
            config,
            full: match self.full {
                Full::Block => FullPolicy::Block(self.write_timeout.unwrap_or(WRITE_TIMEOUT)),
                Full::WouldBlock => FullPolicy::Fail,
                Full::DropOldest => FullPolicy::DropOldest,
                Full::DropNewest => FullPolicy::DropNewest,
            },
            on_ack: self.on_ack.clone().map(|callback| Box::new(move |ack| report_ack(&callback, &ack)) as _),
            on_chunk: self
                .before_send
                .clone()
                .map(|callback| Box::new(move |chunk| show_chunk(&callback, chunk)) as _),
            on_event: self
                .on_event
                .clone()
                .map(|callback| Box::new(move |event| event::tell_stream(&callback, event)) as _),
            on_closed: self
                .on_closed
                .clone()
                .map(|callback| Box::new(move |end| report_end(&callback, end)) as _),
        }
    }

    fn flush_policy(&self) -> FlushPolicy {
        let default = FlushPolicy::default();
        let interval = self.flush_interval.or(default.interval()).unwrap_or_default();
        let size = self.flush_size.or(default.size()).unwrap_or_default();
        match self.policy {
            Policy::IntervalOrSize => FlushPolicy::IntervalOrSize(interval, size),
            Policy::Interval => FlushPolicy::Interval(interval),
            Policy::Size => FlushPolicy::Size(size),
            Policy::Immediate => FlushPolicy::Immediate,
            Policy::None => FlushPolicy::None,
        }
    }
}

impl Settings for UpstreamSettings {
    type Held = ();

    fn held(&self) {}
}

/// Every option that has a value a text can hold.
pub(super) const OPTIONS: &[Spec<UpstreamSettings>] = &[
    Spec {
        key: "session_id",
        range: "text of at most 1024 bytes",
        set: |options, value| bounded(value, 1024).map(|value| options.config.session_id = value),
    },
    Spec {
        key: "qos",
        range: "unreliable, reliable or partial",
        set: |options, value| qos(value).map(|value| options.config.qos = value),
    },
    Spec {
        key: "ack_interval_ms",
        range: "0 to 60000",
        set: |options, value| milliseconds(value, 0, 60_000).map(|value| options.config.ack_interval = value),
    },
    Spec {
        key: "expiry_interval_ms",
        range: "a multiple of 1000, 0 to 3600000",
        set: |options, value| {
            whole_seconds(value, 0, 3_600_000).map(|value| options.config.expiry_interval = value)
        },
    },
    Spec {
        key: "persist",
        range: "true or false",
        set: |options, value| boolean(value).map(|value| options.config.persist = value),
    },
    Spec {
        key: "data_id",
        range: "type:name, added to those given before",
        set: |options, value| {
            let data_id = data_id(value)?;
            if !options.config.data_ids.contains(&data_id) {
                options.config.data_ids.push(data_id);
            }
            Ok(())
        },
    },
    Spec {
        key: "flush_policy",
        range: "none, interval, size, interval_or_size or immediate",
        set: |options, value| {
            options.policy = match value {
                "interval_or_size" => Policy::IntervalOrSize,
                "interval" => Policy::Interval,
                "size" => Policy::Size,
                "immediate" => Policy::Immediate,
                "none" => Policy::None,
                _ => return Err(format!("{value:?} is no flush policy").into()),
            };
            Ok(())
        },
    },
    Spec {
        key: "flush_interval_ms",
        range: "1 to 3600000",
        set: |options, value| {
            milliseconds(value, 1, 3_600_000).map(|value| options.flush_interval = Some(value))
        },
    },
    Spec {
        key: "flush_size",
        range: "1 to 1073741824",
        set: |options, value| number(value, 1, 1 << 30).map(|value| options.flush_size = Some(value)),
    },
    Spec {
        key: "close_timeout_ms",
        range: "1 to 3600000",
        set: |options, value| {
            milliseconds(value, 1, 3_600_000).map(|value| options.config.close_timeout = value)
        },
    },
    Spec {
        key: "buffer_limit",
        range: "1024 to 1073741824",
        set: |options, value| number(value, 1024, 1 << 30).map(|value| options.config.buffer_limit = value),
    },
    Spec {
        key: "in_flight_limit",
        range: "1024 to 1073741824",
        set: |options, value| {
            number(value, 1024, 1 << 30).map(|value| options.config.in_flight_limit = value)
        },
    },
    Spec {
        key: "ack_timeout_ms",
        range: "0 to 3600000",
        set: |options, value| {
            let limit = milliseconds(value, 0, 3_600_000)?;
            options.config.ack_timeout = (!limit.is_zero()).then_some(limit);
            Ok(())
        },
    },
    Spec {
        key: "reopen",
        range: "true or false",
        set: |options, value| boolean(value).map(|value| options.config.reopen = value),
    },
    Spec {
        key: "buffer_policy",
        range: "block, would_block, drop_oldest or drop_newest",
        set: |options, value| {
            options.full = match value {
                "block" => Full::Block,
                "would_block" => Full::WouldBlock,
                "drop_oldest" => Full::DropOldest,
                "drop_newest" => Full::DropNewest,
                _ => return Err(format!("{value:?} is no buffer policy").into()),
            };
            Ok(())
        },
    },
    Spec {
        key: "points_sorted",
        range: "true or false",
        set: |options, value| boolean(value).map(|value| options.config.points_sorted = value),
    },
    Spec {
        key: "write_timeout_ms",
        range: "1 to 3600000",
        set: |options, value| {
            milliseconds(value, 1, 3_600_000).map(|value| options.write_timeout = Some(value))
        },
    },
];

/// Makes upstream options with every option at its default.
///
/// @return new options, to be freed with `iscp_upstream_options_free`; never NULL
///
/// Thread: any. Blocking: no. Lifetime: owned by the caller. Since: 0.1.0.
#[unsafe(no_mangle)]
pub extern "C" fn iscp_upstream_options_new() -> *mut iscp_upstream_options_t {
    ffi!(std::ptr::null_mut(); {
        fork::watch();
        Ok(handle::new(Collected::new(UpstreamSettings::default())))
    })
}

/// Frees options. What was opened with them is not affected. Nothing happens for NULL.
///
/// @param options the options, or NULL
///
/// Thread: any, one at a time. Blocking: no. Lifetime: the options end here. Since: 0.1.0.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn iscp_upstream_options_free(options: *mut iscp_upstream_options_t) {
    // SAFETY: the caller passes options of this library.
    ffi!((); { unsafe { handle::free(options) }; Ok(()) });
}

/// Sets an option by its name, as the typed setters do: for configuration files and bindings.
///
/// The name is that of the typed setter after `set_`; numbers are decimal, booleans `true` or `false`.
///
/// @param options   the options
/// @param key       name of the option, such as "qos"
/// @param value     its value as text
/// @param out_error receives the detail of a failure, or NULL
/// @return `ISCP_OK`; `ISCP_ERR_UNKNOWN_OPTION` when there is no such option; `ISCP_ERR_INVALID_OPTION`
///         for a value it does not take; `ISCP_ERR_NULL_ARGUMENT`, `ISCP_ERR_BAD_HANDLE`,
///         `ISCP_ERR_INVALID_UTF8`
///
/// Thread: any, one at a time. Blocking: no. Lifetime: borrows the texts for the call. Since: 0.1.0.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn iscp_upstream_options_set(
    options: *mut iscp_upstream_options_t,
    key: *const c_char,
    value: *const c_char,
    out_error: *mut *mut iscp_error_t,
) -> iscp_status_t {
    // SAFETY: the caller passes options of this library and strings.
    ffi!(out_error => { unsafe { set_by_key(options, OPTIONS, key, value) } })
}

/// Sets the session the data belongs to. Default: empty.
///
/// @param options    the options
/// @param session_id the id, usually a UUID as text
/// @param out_error  receives the detail of a failure, or NULL
/// @return `ISCP_OK`; `ISCP_ERR_INVALID_OPTION` for a value out of range; `ISCP_ERR_NULL_ARGUMENT`,
///         `ISCP_ERR_BAD_HANDLE`, `ISCP_ERR_INVALID_UTF8`
///
/// Thread: any, one at a time. Blocking: no. Lifetime: borrows the text for the call. Since: 0.1.0.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn iscp_upstream_options_set_session_id(
    options: *mut iscp_upstream_options_t,
    session_id: *const c_char,
    out_error: *mut *mut iscp_error_t,
) -> iscp_status_t {
    // SAFETY: the caller passes options of this library and a string.
    ffi!(out_error => { unsafe { set_text(options, OPTIONS, "session_id", session_id) } })
}

/// Sets the QoS. Default: `ISCP_QOS_UNRELIABLE`, as in every other client of the protocol.
///
/// @param options   the options
/// @param qos       `ISCP_QOS_UNRELIABLE`, `ISCP_QOS_RELIABLE` or `ISCP_QOS_PARTIAL`
/// @param out_error receives the detail of a failure, or NULL
/// @return `ISCP_OK`; `ISCP_ERR_INVALID_OPTION` for a value out of range; `ISCP_ERR_NULL_ARGUMENT`,
///         `ISCP_ERR_BAD_HANDLE`
///
/// Thread: any, one at a time. Blocking: no. Lifetime: plain values. Since: 0.1.0.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn iscp_upstream_options_set_qos(
    options: *mut iscp_upstream_options_t,
    qos: iscp_qos_t,
    out_error: *mut *mut iscp_error_t,
) -> iscp_status_t {
    // SAFETY: the caller passes options of this library.
    ffi!(out_error => { unsafe { set_typed(options, OPTIONS, "qos", qos) } })
}

/// Sets how often the server acknowledges. Default: 100.
///
/// @param options         the options
/// @param ack_interval_ms milliseconds, 0 to 60000; 0 for an acknowledgement of every chunk at
///                        once
/// @param out_error       receives the detail of a failure, or NULL
/// @return `ISCP_OK`; `ISCP_ERR_INVALID_OPTION` for a value out of range; `ISCP_ERR_NULL_ARGUMENT`,
///         `ISCP_ERR_BAD_HANDLE`
///
/// Thread: any, one at a time. Blocking: no. Lifetime: plain values. Since: 0.1.0.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn iscp_upstream_options_set_ack_interval_ms(
    options: *mut iscp_upstream_options_t,
    ack_interval_ms: u32,
    out_error: *mut *mut iscp_error_t,
) -> iscp_status_t {
    // SAFETY: the caller passes options of this library.
    ffi!(out_error => { unsafe { set_typed(options, OPTIONS, "ack_interval_ms", ack_interval_ms) } })
}

/// Sets how long the server keeps the stream after the connection was lost. Default: 60000.
///
/// @param options            the options
/// @param expiry_interval_ms milliseconds, a multiple of 1000, at most 3600000
/// @param out_error          receives the detail of a failure, or NULL
/// @return `ISCP_OK`; `ISCP_ERR_INVALID_OPTION` for a value out of range; `ISCP_ERR_NULL_ARGUMENT`,
///         `ISCP_ERR_BAD_HANDLE`
///
/// Thread: any, one at a time. Blocking: no. Lifetime: plain values. Since: 0.1.0.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn iscp_upstream_options_set_expiry_interval_ms(
    options: *mut iscp_upstream_options_t,
    expiry_interval_ms: u32,
    out_error: *mut *mut iscp_error_t,
) -> iscp_status_t {
    // SAFETY: the caller passes options of this library.
    ffi!(out_error => { unsafe { set_typed(options, OPTIONS, "expiry_interval_ms", expiry_interval_ms) } })
}

/// Sets whether the server stores the data in the session. Default: false.
///
/// @param options   the options
/// @param persist   whether it does
/// @param out_error receives the detail of a failure, or NULL
/// @return `ISCP_OK`; `ISCP_ERR_INVALID_OPTION` for a value out of range; `ISCP_ERR_NULL_ARGUMENT`,
///         `ISCP_ERR_BAD_HANDLE`
///
/// Thread: any, one at a time. Blocking: no. Lifetime: plain values. Since: 0.1.0.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn iscp_upstream_options_set_persist(
    options: *mut iscp_upstream_options_t,
    persist: bool,
    out_error: *mut *mut iscp_error_t,
) -> iscp_status_t {
    // SAFETY: the caller passes options of this library.
    ffi!(out_error => { unsafe { set_typed(options, OPTIONS, "persist", persist) } })
}

/// Announces a data id when the stream is opened, so that the server gives it an alias from the start.
/// May be called several times; data ids that are not announced may be written all the same.
///
/// @param options   the options
/// @param data_id   the data id as text, `type:name`
/// @param out_error receives the detail of a failure, or NULL
/// @return `ISCP_OK`; `ISCP_ERR_INVALID_OPTION` for a value out of range; `ISCP_ERR_NULL_ARGUMENT`,
///         `ISCP_ERR_BAD_HANDLE`, `ISCP_ERR_INVALID_UTF8`
///
/// Thread: any, one at a time. Blocking: no. Lifetime: borrows the text for the call. Since: 0.1.0.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn iscp_upstream_options_add_data_id(
    options: *mut iscp_upstream_options_t,
    data_id: *const c_char,
    out_error: *mut *mut iscp_error_t,
) -> iscp_status_t {
    // SAFETY: the caller passes options of this library and a string.
    ffi!(out_error => { unsafe { set_text(options, OPTIONS, "data_id", data_id) } })
}

/// Sets how long closing waits for outstanding acknowledgements. Default: 10000.
///
/// @param options          the options
/// @param close_timeout_ms milliseconds, 1 to 3600000
/// @param out_error        receives the detail of a failure, or NULL
/// @return `ISCP_OK`; `ISCP_ERR_INVALID_OPTION` for a value out of range; `ISCP_ERR_NULL_ARGUMENT`,
///         `ISCP_ERR_BAD_HANDLE`
///
/// Thread: any, one at a time. Blocking: no. Lifetime: plain values. Since: 0.1.0.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn iscp_upstream_options_set_close_timeout_ms(
    options: *mut iscp_upstream_options_t,
    close_timeout_ms: u32,
    out_error: *mut *mut iscp_error_t,
) -> iscp_status_t {
    // SAFETY: the caller passes options of this library.
    ffi!(out_error => { unsafe { set_typed(options, OPTIONS, "close_timeout_ms", close_timeout_ms) } })
}
