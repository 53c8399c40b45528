//! The C ABI and nothing else: check arguments, convert, call the client, hold callbacks.
//!
//! `include/iscp/iscp.h` is generated from this module, doc comments included: they are written for
//! the C reader. Every exported function is [`boundary::ffi`]: no panic leaves it, and every failure
//! is a status.

// Each function's contract is its documentation for C, and what it exports is for C: not reachable
// from Rust.
#![allow(clippy::missing_safety_doc, unreachable_pub)]

mod boundary;
mod call;
mod chunk;
mod completion;
mod conn;
mod conn_address_options;
mod conn_calls;
mod conn_credential_options;
mod conn_events;
mod conn_limit_options;
mod conn_network_options;
mod conn_option_table;
mod conn_options;
mod conn_path_options;
mod conn_ping;
mod conn_received_calls;
mod conn_reconnect_options;
mod conn_spool_options;
mod conn_timing_options;
mod conn_tls_options;
mod convert;
mod data_id;
#[cfg(test)]
mod documents;
mod downstream;
mod downstream_flow_options;
mod downstream_handlers;
mod downstream_options;
mod downstream_read;
mod error;
mod event;
mod fork;
mod handle;
mod handler;
mod library;
mod log;
mod metadata;
mod options;
mod path;
mod runtime_options;
mod status;
mod token;
mod types;
mod upstream;
mod upstream_buffer_options;
mod upstream_handlers;
mod upstream_options;
mod upstream_outage_options;
mod upstream_write;

use completion::{iscp_closed_cb, iscp_done_cb};
