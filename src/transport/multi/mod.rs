//! Several transports as one connection (docs/protocol/transport.md §7, §8; docs/multi-transport.md).
//!
//! A [`Bundle`] joins transports into one. Toward a peer that numbers messages it keeps the promises of any
//! [`Transport`](super::Transport): in order, each once, whatever happens to its members as long as there is one.

mod bundle;
mod control;
#[cfg(feature = "multi")]
pub mod dial;
mod member;
mod order;
mod path;
mod scheduler;
#[cfg(test)]
mod tests;

pub use bundle::{Bundle, Entrance, Joining, Numbering, Settings};
pub use control::Control;
pub use scheduler::Scheduler;
