//! The broker as a state machine, without input or output of its own.

mod config;

pub use config::{Config, Limits, Timing};
