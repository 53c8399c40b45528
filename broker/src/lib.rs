//! Open iSCP broker.
//!
//! [`core`] is the broker itself: a state machine without sockets, clocks or threads. [`server`]
//! drives it over WebSockets, on one thread of its own:
//!
//! ```no_run
//! use iscp_broker::{Server, ServerConfig};
//! use std::time::Duration;
//!
//! # fn main() -> Result<(), iscp_broker::StartError> {
//! let handle = Server::start(ServerConfig {
//!     ws: Some(([127, 0, 0, 1], 0).into()),
//!     ..ServerConfig::default()
//! })?;
//! println!("{}", handle.ws_url());
//! handle.shutdown(Duration::from_secs(5));
//! # Ok(())
//! # }
//! ```

pub mod core;
pub mod server;

pub use server::{Server, ServerConfig, ServerHandle, StartError};
