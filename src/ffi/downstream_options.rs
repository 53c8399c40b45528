//! Options of a downstream.

use std::collections::HashMap;
use std::ffi::{c_char, c_void};
use std::sync::Arc;

use super::boundary::ffi;
use super::convert::{self, Callback};
use super::error::{self, iscp_error_t};
use super::event::{self, StreamFunction};
use super::fork;
use super::handle::{self, handle};
use super::options::{
    Collected, Refusal, Settings, Spec, boolean, bounded, data_filter, data_id, milliseconds, number, qos,
    set_by_key, set_text, set_typed, whole_seconds,
};
use super::status::iscp_status_t;
use super::upstream_options::iscp_qos_t;
use crate::client::{BufferPolicy, DownstreamOptions};
use crate::core::{ChunkOrder, DownstreamConfig};
use crate::message::{DownstreamFilter, FilterReference};

/// Settings of a downstream, collected before `iscp_downstream_open`, which copies them.
#[allow(non_camel_case_types)]
pub struct iscp_downstream_options_t {
    _opaque: [u8; 0],
}

/// The filter that every data id matches.
const EVERYTHING: &str = "#:#";

handle!(iscp_downstream_options_t, b"iscp.dop", "downstream options object", Collected<DownstreamSettings>);

type ClosedFunction = unsafe extern "C" fn(*const iscp_error_t, *mut c_void);

/// What was collected, in a form that can be used for several streams.
pub(super) struct DownstreamSettings {
    config: DownstreamConfig,
    filter_numbers: FilterNumbers,
    buffer_limit: usize,
    buffer_policy: Option<BufferPolicy>,
    pub(super) on_event: Option<Arc<Callback<StreamFunction>>>,
    pub(super) on_closed: Option<Arc<Callback<ClosedFunction>>>,
}

/// Where each filter stands in the request → its number in the order in which they were added, which is
/// how the application knows them.
#[derive(Clone, Debug, Default)]
pub(super) struct FilterNumbers(HashMap<(u32, u32), u32>);

impl FilterNumbers {
    fn add(&mut self, place: (usize, usize)) {
        // More than the numbers of the protocol can count do not fit into any message.
        if let (Ok(filter), Ok(data_filter), Ok(number)) =
            (u32::try_from(place.0), u32::try_from(place.1), u32::try_from(self.0.len()))
        {
            self.0.insert((filter, data_filter), number);
        }
    }

    /// Number of a filter; `None` for one that was not in the request.
    pub(super) fn get(&self, reference: &FilterReference) -> Option<u32> {
        self.0.get(&(reference.downstream_filter_index, reference.data_filter_index)).copied()
    }
}

impl Default for DownstreamSettings {
    fn default() -> Self {
        let DownstreamOptions { config, buffer_limit, .. } = DownstreamOptions::default();
        Self {
            config,
            filter_numbers: FilterNumbers::default(),
            buffer_limit,
            buffer_policy: None,
            on_event: None,
            on_closed: None,
        }
    }
}

impl DownstreamSettings {
    /// Adds a pattern to what is wanted of a node.
    fn add_filter(&mut self, node: &str, filter: &str) -> Result<(), Refusal> {
        let place = add_filter(&mut self.config.filters, node, filter)?;
        self.filter_numbers.add(place);
        Ok(())
    }

    /// Numbers of the filters, for the chunks of one more downstream.
    pub(super) fn filter_numbers(&self) -> Arc<FilterNumbers> {
        Arc::new(self.filter_numbers.clone())
    }

    /// Options of one more downstream.
    pub(super) fn to_options(&self) -> DownstreamOptions {
        DownstreamOptions {
            config: self.config.clone(),
            buffer_limit: self.buffer_limit,
            buffer_policy: self.buffer_policy,
            on_event: self
                .on_event
                .clone()
                .map(|callback| Box::new(move |event| event::tell_stream(&callback, event)) as _),
            on_closed: self.on_closed.clone().map(|callback| {
                Box::new(move |ended| {
                    // SAFETY: the application promised a function of this type.
                    error::with_borrowed(ended, |error| unsafe {
                        (callback.function)(error, callback.user_data.0);
                    });
                }) as _
            }),
        }
    }
}

/// Adds a pattern to what is wanted of a node, and says where it stands.
fn add_filter(
    filters: &mut Vec<DownstreamFilter>,
    node: &str,
    filter: &str,
) -> Result<(usize, usize), Refusal> {
    let node = bounded(node, 1024)?;
    if node.is_empty() {
        return Err(Refusal::from("the source node id is empty".to_owned()));
    }
    let filter = data_filter(filter)?;
    // One filter a node: readers of the protocol match metadata by node.
    match filters.iter_mut().enumerate().find(|(_, known)| known.source_node_id == node) {
        Some((at, known)) => {
            known.data_filters.push(filter);
            Ok((at, known.data_filters.len() - 1))
        }
        None => {
            filters.push(DownstreamFilter { source_node_id: node, data_filters: vec![filter] });
            Ok((filters.len() - 1, 0))
        }
    }
}

impl Settings for DownstreamSettings {
    type Held = ();

    fn held(&self) {}
}

/// Every option that has a value a text can hold.
pub(super) const OPTIONS: &[Spec<DownstreamSettings>] = &[
    Spec {
        key: "filter",
        range: "source node id, a space, and type:name, added to those given before",
        set: |options, value| match value.rsplit_once(' ') {
            Some((node, filter)) => options.add_filter(node, filter),
            None => Err(format!("{value:?} is not a node id, a space and type:name").into()),
        },
    },
    Spec {
        key: "node",
        range: "source node id, added to those given before",
        set: |options, node| options.add_filter(node, EVERYTHING),
    },
    Spec {
        key: "qos",
        range: "unreliable, reliable or partial",
        set: |options, value| qos(value).map(|value| options.config.qos = value),
    },
    Spec {
        key: "expiry_interval_ms",
        range: "a multiple of 1000, 0 to 3600000",
        set: |options, value| {
            whole_seconds(value, 0, 3_600_000).map(|value| options.config.expiry_interval = value)
        },
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
        key: "ack_interval_ms",
        range: "1 to 60000",
        set: |options, value| milliseconds(value, 1, 60_000).map(|value| options.config.ack_interval = value),
    },
    Spec {
        key: "omit_empty_chunk",
        range: "true or false",
        set: |options, value| boolean(value).map(|value| options.config.omit_empty_chunk = value),
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
        set: |options, value| number(value, 1024, 1 << 30).map(|value| options.buffer_limit = value),
    },
    Spec {
        key: "buffer_policy",
        range: "auto, pause, fail, drop_oldest or drop_newest",
        set: |options, value| {
            options.buffer_policy = match value {
                "auto" => None,
                "pause" => Some(BufferPolicy::Pause),
                "fail" => Some(BufferPolicy::Fail),
                "drop_oldest" => Some(BufferPolicy::DropOldest),
                "drop_newest" => Some(BufferPolicy::DropNewest),
                _ => return Err(format!("{value:?} is no buffer policy").into()),
            };
            Ok(())
        },
    },
    Spec {
        key: "chunk_order",
        range: "as_received, best_effort or strict",
        set: |options, value| {
            options.config.chunk_order = match value {
                "as_received" => ChunkOrder::AsReceived,
                "best_effort" => ChunkOrder::BestEffort,
                "strict" => ChunkOrder::Strict,
                _ => return Err(format!("{value:?} is no order of chunks").into()),
            };
            Ok(())
        },
    },
    Spec {
        key: "reorder_limit",
        range: "1 to 65536",
        set: |options, value| number(value, 1, 65_536).map(|value| options.config.reorder_limit = value),
    },
    Spec {
        key: "reorder_wait_ms",
        range: "1 to 3600000",
        set: |options, value| {
            milliseconds(value, 1, 3_600_000).map(|value| options.config.reorder_wait = value)
        },
    },
    Spec {
        key: "reopen",
        range: "true or false",
        set: |options, value| boolean(value).map(|value| options.config.reopen = value),
    },
];

/// Makes downstream options with every option at its default.
///
/// @return new options, to be freed with `iscp_downstream_options_free`; never NULL
///
/// Thread: any. Blocking: no. Lifetime: owned by the caller. Since: 0.1.0.
#[unsafe(no_mangle)]
pub extern "C" fn iscp_downstream_options_new() -> *mut iscp_downstream_options_t {
    ffi!(std::ptr::null_mut(); {
        fork::watch();
        Ok(handle::new(Collected::new(DownstreamSettings::default())))
    })
}

/// Frees options. What was opened with them is not affected. Nothing happens for NULL.
///
/// @param options the options, or NULL
///
/// Thread: any, one at a time. Blocking: no. Lifetime: the options end here. Since: 0.1.0.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn iscp_downstream_options_free(options: *mut iscp_downstream_options_t) {
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
pub unsafe extern "C" fn iscp_downstream_options_set(
    options: *mut iscp_downstream_options_t,
    key: *const c_char,
    value: *const c_char,
    out_error: *mut *mut iscp_error_t,
) -> iscp_status_t {
    // SAFETY: the caller passes options of this library and strings.
    ffi!(out_error => { unsafe { set_by_key(options, OPTIONS, key, value) } })
}

/// Adds a filter: points of a node whose data id matches. May be called several times; a point is
/// received once, however many filters match it. By key it is the option "filter", whose value is the
/// node id, a space and the pattern.
///
/// `/` separates the levels of names and types; `+` stands for one level, `#` for the rest, and alone
/// for everything (docs/protocol/behaviour.md, section 6.2). Metadata of the node is received too.
///
/// @param options        the options
/// @param source_node_id id of the node whose data is wanted
/// @param filter         pattern as text, `type:name`; "#:#" for everything of the node
/// @param out_error      receives the detail of a failure, or NULL
/// @return `ISCP_OK`; `ISCP_ERR_INVALID_OPTION` for a pattern of another form; `ISCP_ERR_NULL_ARGUMENT`,
///         `ISCP_ERR_BAD_HANDLE`, `ISCP_ERR_INVALID_UTF8`
///
/// Thread: any, one at a time. Blocking: no. Lifetime: borrows the texts for the call. Since: 0.1.0.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn iscp_downstream_options_add_filter(
    options: *mut iscp_downstream_options_t,
    source_node_id: *const c_char,
    filter: *const c_char,
    out_error: *mut *mut iscp_error_t,
) -> iscp_status_t {
    ffi!(out_error => {
        // SAFETY: the caller passes options of this library and strings.
        let (options, node, filter) = unsafe {
            (
                convert::object(options, "options")?,
                convert::text(source_node_id, "source_node_id")?,
                convert::text(filter, "filter")?,
            )
        };
        options
            .lock()
            .add_filter(node, filter)
            .map_err(|refusal| refusal.into_error("filter"))?;
        Ok(())
    })
}

/// Adds a filter for everything of a node, as `iscp_downstream_options_add_filter` does with "#:#". By key it is the
/// option "node".
///
/// @param options   the options
/// @param node      id of the node whose data is wanted
/// @param out_error receives the detail of a failure, or NULL
/// @return `ISCP_OK`; `ISCP_ERR_INVALID_OPTION` when the id is empty or too long; `ISCP_ERR_NULL_ARGUMENT`,
///         `ISCP_ERR_BAD_HANDLE`, `ISCP_ERR_INVALID_UTF8`
///
/// Thread: any, one at a time. Blocking: no. Lifetime: borrows the text for the call. Since: 0.1.0.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn iscp_downstream_options_add_node(
    options: *mut iscp_downstream_options_t,
    node: *const c_char,
    out_error: *mut *mut iscp_error_t,
) -> iscp_status_t {
    // SAFETY: the caller passes options of this library and a string.
    ffi!(out_error => { unsafe { set_text(options, OPTIONS, "node", node) } })
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
pub unsafe extern "C" fn iscp_downstream_options_set_qos(
    options: *mut iscp_downstream_options_t,
    qos: iscp_qos_t,
    out_error: *mut *mut iscp_error_t,
) -> iscp_status_t {
    // SAFETY: the caller passes options of this library.
    ffi!(out_error => { unsafe { set_typed(options, OPTIONS, "qos", qos) } })
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
pub unsafe extern "C" fn iscp_downstream_options_set_expiry_interval_ms(
    options: *mut iscp_downstream_options_t,
    expiry_interval_ms: u32,
    out_error: *mut *mut iscp_error_t,
) -> iscp_status_t {
    // SAFETY: the caller passes options of this library.
    ffi!(out_error => { unsafe { set_typed(options, OPTIONS, "expiry_interval_ms", expiry_interval_ms) } })
}

/// Announces a data id when the stream is opened, so that the server uses an alias for it from the
/// start. May be called several times.
///
/// @param options   the options
/// @param data_id   the data id as text, `type:name`
/// @param out_error receives the detail of a failure, or NULL
/// @return `ISCP_OK`; `ISCP_ERR_INVALID_OPTION` for a value out of range; `ISCP_ERR_NULL_ARGUMENT`,
///         `ISCP_ERR_BAD_HANDLE`, `ISCP_ERR_INVALID_UTF8`
///
/// Thread: any, one at a time. Blocking: no. Lifetime: borrows the text for the call. Since: 0.1.0.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn iscp_downstream_options_add_data_id(
    options: *mut iscp_downstream_options_t,
    data_id: *const c_char,
    out_error: *mut *mut iscp_error_t,
) -> iscp_status_t {
    // SAFETY: the caller passes options of this library and a string.
    ffi!(out_error => { unsafe { set_text(options, OPTIONS, "data_id", data_id) } })
}

/// Sets how often chunks that the application took are acknowledged. Default: 100.
///
/// @param options         the options
/// @param ack_interval_ms milliseconds, 1 to 60000
/// @param out_error       receives the detail of a failure, or NULL
/// @return `ISCP_OK`; `ISCP_ERR_INVALID_OPTION` for a value out of range; `ISCP_ERR_NULL_ARGUMENT`,
///         `ISCP_ERR_BAD_HANDLE`
///
/// Thread: any, one at a time. Blocking: no. Lifetime: plain values. Since: 0.1.0.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn iscp_downstream_options_set_ack_interval_ms(
    options: *mut iscp_downstream_options_t,
    ack_interval_ms: u32,
    out_error: *mut *mut iscp_error_t,
) -> iscp_status_t {
    // SAFETY: the caller passes options of this library.
    ffi!(out_error => { unsafe { set_typed(options, OPTIONS, "ack_interval_ms", ack_interval_ms) } })
}

/// Sets whether the server leaves out chunks of which no point matches. Default: false.
///
/// Then nobody can tell what is missing: it contradicts every `chunk_order` but `as_received`.
///
/// @param options          the options
/// @param omit_empty_chunk whether it does
/// @param out_error        receives the detail of a failure, or NULL
/// @return `ISCP_OK`; `ISCP_ERR_INVALID_OPTION` for a value out of range; `ISCP_ERR_NULL_ARGUMENT`,
///         `ISCP_ERR_BAD_HANDLE`
///
/// Thread: any, one at a time. Blocking: no. Lifetime: plain values. Since: 0.1.0.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn iscp_downstream_options_set_omit_empty_chunk(
    options: *mut iscp_downstream_options_t,
    omit_empty_chunk: bool,
    out_error: *mut *mut iscp_error_t,
) -> iscp_status_t {
    // SAFETY: the caller passes options of this library.
    ffi!(out_error => { unsafe { set_typed(options, OPTIONS, "omit_empty_chunk", omit_empty_chunk) } })
}

/// Sets how long closing waits for the last acknowledgement to be confirmed. Default: 10000.
///
/// @param options          the options
/// @param close_timeout_ms milliseconds, 1 to 3600000
/// @param out_error        receives the detail of a failure, or NULL
/// @return `ISCP_OK`; `ISCP_ERR_INVALID_OPTION` for a value out of range; `ISCP_ERR_NULL_ARGUMENT`,
///         `ISCP_ERR_BAD_HANDLE`
///
/// Thread: any, one at a time. Blocking: no. Lifetime: plain values. Since: 0.1.0.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn iscp_downstream_options_set_close_timeout_ms(
    options: *mut iscp_downstream_options_t,
    close_timeout_ms: u32,
    out_error: *mut *mut iscp_error_t,
) -> iscp_status_t {
    // SAFETY: the caller passes options of this library.
    ffi!(out_error => { unsafe { set_typed(options, OPTIONS, "close_timeout_ms", close_timeout_ms) } })
}

/// Sets whether the stream is opened anew when the server has forgotten it: because it was restarted, or because
/// the connection was lost for longer than the expiry interval. Default: false, the stream then ends.
///
/// The new stream has the same filters and another id. What was sent to readers meanwhile is not received.
///
/// @param options   the options
/// @param reopen whether it is
/// @param out_error receives the detail of a failure, or NULL
/// @return `ISCP_OK`; `ISCP_ERR_INVALID_OPTION` for a value out of range; `ISCP_ERR_NULL_ARGUMENT`,
///         `ISCP_ERR_BAD_HANDLE`
///
/// Thread: any, one at a time. Blocking: no. Lifetime: plain values. Since: 0.1.0.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn iscp_downstream_options_set_reopen(
    options: *mut iscp_downstream_options_t,
    reopen: bool,
    out_error: *mut *mut iscp_error_t,
) -> iscp_status_t {
    // SAFETY: the caller passes options of this library.
    ffi!(out_error => { unsafe { set_typed(options, OPTIONS, "reopen", reopen) } })
}
