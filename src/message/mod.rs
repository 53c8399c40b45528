//! The typed messages of iSCP (docs/protocol/messages.md).
//!
//! A value of these types satisfies what §9 of that page asks of the typed layer: stream ids are
//! UUIDs, every oneof is set. How messages become bytes is the business of [`crate::encoding`].

mod code;
mod connection;
mod metadata;
pub(crate) mod points;
mod stream;

pub use code::{Qos, ResultCode};
pub use connection::{
    ConnectRequest, ConnectResponse, Disconnect, DownstreamCall, UpstreamCall, UpstreamCallAck,
};
pub use metadata::{BaseTime, DownstreamMetadata, Metadata, UpstreamMetadata};
pub(crate) use points::WORTH_KEEPING;
pub use points::{DataPoint, PointSpan, Points, PointsBuf, max_wire_len};
pub use stream::{
    Aliases, DataFilter, DataId, DataPointGroup, DownstreamChunk, DownstreamChunkAck,
    DownstreamChunkAckComplete, DownstreamChunkResult, DownstreamCloseRequest, DownstreamFilter,
    DownstreamOpenRequest, DownstreamOpenResponse, DownstreamResumeRequest, DownstreamResumeResponse,
    FilterReference, OrAlias, Reply, StreamChunk, UpstreamChunk, UpstreamChunkAck, UpstreamChunkResult,
    UpstreamCloseRequest, UpstreamInfo, UpstreamOpenRequest, UpstreamOpenResponse, UpstreamResumeRequest,
    UpstreamResumeResponse,
};

macro_rules! messages {
    ($($(#[$doc:meta])* $arm:ident($payload:ty),)+) => {
        /// One message of the protocol.
        #[derive(Clone, Debug, PartialEq, Eq)]
        pub enum Message {
            $($(#[$doc])* $arm($payload),)+
        }

        impl Message {
            /// Names of all messages.
            pub const NAMES: [&'static str; [$(stringify!($arm)),+].len()] = [$(stringify!($arm)),+];

            /// Place of the message's name among [all](Self::NAMES).
            pub fn index(&self) -> usize {
                enum Index {
                    $($arm,)+
                }
                match self {
                    $(Self::$arm(_) => Index::$arm as usize,)+
                }
            }

            /// Name of the message in the protocol.
            pub fn name(&self) -> &'static str {
                match self {
                    $(Self::$arm(_) => stringify!($arm),)+
                }
            }
        }
    };
}

messages! {
    /// First message of a connection, client to broker.
    ConnectRequest(ConnectRequest),
    /// Answer to `ConnectRequest`.
    ConnectResponse(ConnectResponse),
    /// End of the connection, either way.
    Disconnect(Disconnect),
    /// Opens an upstream.
    UpstreamOpenRequest(UpstreamOpenRequest),
    /// Answer to `UpstreamOpenRequest`.
    UpstreamOpenResponse(UpstreamOpenResponse),
    /// Resumes an upstream on a new connection.
    UpstreamResumeRequest(UpstreamResumeRequest),
    /// Answer to `UpstreamResumeRequest`.
    UpstreamResumeResponse(UpstreamResumeResponse),
    /// Closes an upstream.
    UpstreamCloseRequest(UpstreamCloseRequest),
    /// Answer to `UpstreamCloseRequest`.
    UpstreamCloseResponse(Reply),
    /// Data, client to broker.
    UpstreamChunk(UpstreamChunk),
    /// Outcome of upstream chunks.
    UpstreamChunkAck(UpstreamChunkAck),
    /// Metadata, client to broker.
    UpstreamMetadata(UpstreamMetadata),
    /// Answer to `UpstreamMetadata`.
    UpstreamMetadataAck(Reply),
    /// Opens a downstream.
    DownstreamOpenRequest(DownstreamOpenRequest),
    /// Answer to `DownstreamOpenRequest`.
    DownstreamOpenResponse(DownstreamOpenResponse),
    /// Resumes a downstream on a new connection.
    DownstreamResumeRequest(DownstreamResumeRequest),
    /// Answer to `DownstreamResumeRequest`.
    DownstreamResumeResponse(DownstreamResumeResponse),
    /// Closes a downstream.
    DownstreamCloseRequest(DownstreamCloseRequest),
    /// Answer to `DownstreamCloseRequest`.
    DownstreamCloseResponse(Reply),
    /// Data, broker to client.
    DownstreamChunk(DownstreamChunk),
    /// Outcome of downstream chunks, and new aliases.
    DownstreamChunkAck(DownstreamChunkAck),
    /// Answer to `DownstreamChunkAck`.
    DownstreamChunkAckComplete(DownstreamChunkAckComplete),
    /// Metadata, broker to client.
    DownstreamMetadata(DownstreamMetadata),
    /// Answer to `DownstreamMetadata`.
    DownstreamMetadataAck(Reply),
    /// Keep-alive question with its request id.
    Ping(u32),
    /// Keep-alive answer with the id of the question.
    Pong(u32),
    /// End-to-end call or reply, client to broker.
    UpstreamCall(UpstreamCall),
    /// The broker's answer to `UpstreamCall`.
    UpstreamCallAck(UpstreamCallAck),
    /// End-to-end call or reply, broker to client.
    DownstreamCall(DownstreamCall),
}
