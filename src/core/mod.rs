//! The protocol without I/O.
//!
//! State machines whose inputs are messages, commands and the time, and whose outputs are messages,
//! deadlines and events. There are no sockets, no clocks, no threads and no async here, so that
//! client and broker can be run against each other on fake time.

mod calls;
mod config;
mod connection;
mod downstream;
mod event;
mod keep_alive;
mod keeper;
mod reconnect;
mod resume;
mod sent;
mod shared_buffer;
mod spare;
mod upstream;
mod version;
mod write_buffer;

#[cfg(test)]
mod tests;

pub use config::{
    ChunkOrder, ConnectionConfig, DownstreamConfig, FlushPolicy, PROTOCOL_VERSION, ReconnectConfig,
    UpstreamConfig,
};
pub use connection::Connection;
pub use downstream::{ReceiveCounters, TakenAck, URGENT_ACKS};
pub use event::{
    ChunkOutcome, Event, OpId, OpenedDownstream, OpenedUpstream, Output, ReceivedChunk, ReceivedGroup,
    ReceivedMetadata, StreamKey, UpstreamEnd,
};
pub use keeper::{Keeper, RestoredChunk, RestoredStream, RestoredUpstream};
pub use shared_buffer::{MAX_UNREPORTED, SharedBuffer, StreamIdentity, UpstreamCounters, UpstreamState};
pub use upstream::FlushLevel;
pub use write_buffer::{CHUNK_LIMIT, DataIdIndex, LARGE, MAX_DATA_IDS, MAX_PAYLOAD, Pushed, WriteBuffer};
