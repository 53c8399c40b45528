//! The built program, run as a user runs it.

mod bench;
mod brokers;
mod calls;
mod chaos;
mod codec;
mod errors;
mod network;
mod restarts;
mod signals;
mod spool;
mod streams;
mod support;
