//! What lives: the runtime thread, connections over sockets, dispatcher threads and the handles of the
//! application.
//!
//! One task per connection on the process's one runtime thread drives a [`crate::core::Connection`]
//! over a transport. Application threads talk to it through a queue of commands and, on the hot
//! path, through the buffers they share with it. Callbacks run on the connection's dispatcher
//! thread, never on the runtime thread and never under a lock.

mod address;
mod awaited;
mod calls;
mod completion;
mod connection;
mod credentials;
mod dialer;
mod dispatcher;
mod downstream;
mod driver;
mod events;
mod inbox;
#[cfg(feature = "oauth2")]
mod oauth2;
mod options;
mod pull;
mod read_queue;
mod runtime;
mod spool;
mod threads;
mod token;
mod upstream;
mod writing;

pub use address::Address;
pub use awaited::MAX_AWAITED;
pub use calls::OutgoingCall;
pub use completion::{Completion, Waiter};
pub use connection::{Connection, ConnectionCounters, ConnectionState};
pub(crate) use credentials::check_header_token_name;
pub use downstream::{Downstream, DownstreamState};
pub use events::{ConnectionEvent, Dated, StreamEvent};
pub use inbox::InboxCounters;
#[cfg(feature = "oauth2")]
pub use oauth2::{OAuth2, OAuth2Settings};
pub use options::{
    BufferPolicy, CallOptions, ConnectOptions, ConnectionHandler, DownstreamOptions, FullPolicy, Handler,
    SpoolHandler, UpstreamOptions,
};
pub use read_queue::DownstreamCounters;
pub use runtime::shutdown;
pub use spool::{SpoolCounters, SpoolFull, SpoolOptions, SpoolOutcome};
pub use threads::{
    Ending, RuntimeOptions, ThreadHooks, ThreadKind, configure, on_library_thread, spawn_ending, wait_until,
};
pub use token::{TokenRequest, TokenSource};
pub use upstream::Upstream;
pub use writing::NewPoint;
