//! What lives: the runtime thread, connections over sockets, dispatcher threads and the handles of the
//! application.
//!
//! One task per connection on the process's one runtime thread drives a [`crate::core::Connection`]
//! over a transport. Application threads talk to it through a queue of commands and, on the hot
//! path, through the buffers they share with it. Callbacks run on the connection's dispatcher
//! thread, never on the runtime thread and never under a lock.

mod completion;
mod connection;
mod dispatcher;
mod downstream;
mod driver;
mod options;
mod read_queue;
mod runtime;
mod token;
mod upstream;

pub use completion::{Completion, Waiter};
pub use connection::{Connection, ConnectionCounters, ConnectionState};
pub use downstream::Downstream;
pub use options::{ConnectOptions, DownstreamOptions, FullPolicy, Handler, UpstreamOptions};
pub use read_queue::DownstreamCounters;
pub use runtime::{on_library_thread, shutdown, spawn_detached};
pub use token::{TokenRequest, TokenSource};
pub use upstream::Upstream;
