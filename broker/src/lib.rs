//! Open iSCP broker.
//!
//! [`core`] is the broker itself: a state machine without sockets, clocks or threads. [`server`]
//! drives it over its transports, on one thread of its own:
//!
//! ```no_run
//! use iscp::transport::Scheme;
//! use iscp_broker::{Listener, Server, ServerConfig};
//! use std::time::Duration;
//!
//! # fn main() -> Result<(), iscp_broker::StartError> {
//! let handle = Server::start(ServerConfig {
//!     listeners: vec![Listener::new(Scheme::Ws, ([127, 0, 0, 1], 0))],
//!     ..ServerConfig::default()
//! })?;
//! println!("{}", handle.url(Scheme::Ws));
//! handle.shutdown(Duration::from_secs(5));
//! # Ok(())
//! # }
//! ```

pub mod core;
pub mod server;

pub use server::{Endpoint, Listener, Server, ServerConfig, ServerHandle, StartError};
#[cfg(feature = "full")]
pub use server::{OAuth2Config, TlsIdentity};
