//! A proxy for TCP and UDP that injects faults, as a library and as `iscp chaos`.
//!
//! What goes wrong is decided by a seed: the nth connection of two runs with the same seed is cut at the same
//! byte, goes silent after the same time, and loses the same datagrams, whatever the timing of what it carries.
//! Besides, a test can give commands while the proxy runs:
//!
//! ```no_run
//! use iscp_chaos::{Cut, Proxy};
//!
//! # fn main() -> Result<(), iscp_chaos::StartError> {
//! let proxy = Proxy::tcp("127.0.0.1:8080")?;
//! println!("clients connect to {}", proxy.address());
//! proxy.cut(Cut::Reset);
//! proxy.refuse(true);
//! # Ok(())
//! # }
//! ```

mod conductor;
mod datagrams;
mod faults;
mod proxy;
mod random;
mod report;
mod schedule;
mod stream;
mod tcp;
mod udp;

pub use faults::{Between, Chance, Cut, Faults, ParseError, Quantity, Size};
pub use proxy::{Config, MAX_CONNECTIONS, OnFault, Proxy, StartError};
pub use report::{Direction, Fault, Injected};
