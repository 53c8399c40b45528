//! iSCP (intdash Stream Control Protocol) client library.
//!
//! The product of this crate is the C library `libiscp`; its interface is `include/iscp/iscp.h`. The
//! Rust modules are public for the programs of this repository and carry no stability promise.
//!
//! Layers point one way: `ffi` → [`client`] → [`core`] → [`message`]; `client` → [`transport`],
//! [`encoding`] → `message`.

pub mod client;
pub mod core;
pub mod encoding;
pub mod error;
pub mod features;
mod ffi;
pub mod message;
pub mod spool;
pub mod transport;
