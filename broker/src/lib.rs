//! Open iSCP broker.
//!
//! [`core`] is the broker itself: a state machine without sockets, clocks or threads. [`server`]
//! drives it over its transports, on a thread of its own or several ([`ServerConfig::threads`]):
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
//!
//! # Threads
//!
//! Every connection is a task, which one thread runs at a time: it reads, decrypts, inflates and decodes messages,
//! gives them to the core, and encodes, deflates, encrypts and writes what the core has for its client. The core is
//! behind one lock, held while one message is taken in or made. So more threads change how fast things are done, not
//! what is done: the core is fed with one message after the other, those of each connection in their order.

pub mod core;
pub mod server;

pub use server::{Endpoint, Listener, Server, ServerConfig, ServerHandle, StartError};
#[cfg(feature = "full")]
pub use server::{OAuth2Config, TlsIdentity};
