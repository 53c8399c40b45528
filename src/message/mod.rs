//! The typed messages of iSCP (docs/protocol/messages.md).
//!
//! A value of these types satisfies what §9 of that page asks of the typed layer: stream ids are
//! UUIDs, every oneof is set. How messages become bytes is the business of [`crate::encoding`].

mod code;
mod connection;
mod metadata;
mod points;
mod stream;

use bytes::Bytes;

pub use code::{Qos, ResultCode};
pub use connection::{
    ConnectRequest, ConnectResponse, Disconnect, DownstreamCall, UpstreamCall, UpstreamCallAck,
};
pub use metadata::{BaseTime, DownstreamMetadata, Metadata, UpstreamMetadata};
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

/// Frames up to this size may be held by whatever is left of them.
const SMALL_FRAME: usize = 1024;

impl Message {
    /// Copies the payloads of a message that was decoded from a frame of `frame` bytes when they are less
    /// than half of it. Who keeps a message counts its payloads, and must not hold many times as much.
    pub(crate) fn detach(&mut self, frame: usize) {
        if frame <= SMALL_FRAME {
            return;
        }
        let groups = match self {
            Self::UpstreamChunk(chunk) => &mut chunk.chunk.groups,
            Self::DownstreamChunk(chunk) => &mut chunk.chunk.groups,
            Self::UpstreamCall(call) => return detach_payload(&mut call.payload, frame),
            Self::DownstreamCall(call) => return detach_payload(&mut call.payload, frame),
            _ => return,
        };
        let kept: usize = groups.iter().map(|group| group.points.as_bytes().len()).sum();
        if kept < frame / 2 {
            for group in groups {
                group.points.detach();
            }
        }
    }
}

fn detach_payload(payload: &mut Bytes, frame: usize) {
    if payload.len() < frame / 2 {
        *payload = Bytes::copy_from_slice(payload);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn chunk(frame: &Bytes, points: std::ops::Range<usize>) -> Message {
        let group = DataPointGroup {
            data_id: OrAlias::Alias(1),
            points: Points::from_wire(frame.slice(points)).unwrap(),
        };
        Message::UpstreamChunk(UpstreamChunk {
            chunk: StreamChunk { sequence_number: 1, groups: vec![group] },
            ..UpstreamChunk::default()
        })
    }

    fn holds(message: &Message, frame: &Bytes) -> bool {
        let Message::UpstreamChunk(chunk) = message else { panic!("{message:?}") };
        frame.as_ptr_range().contains(&chunk.chunk.groups[0].points.as_bytes().as_ptr())
    }

    #[test]
    fn a_small_part_of_a_large_frame_does_not_hold_the_frame() {
        let points: Points = [(1, &[7; 100][..])].into_iter().collect();
        let used = points.as_bytes().len();
        for (size, held) in [(4000, false), (used * 2 + 2, true), (SMALL_FRAME, true)] {
            let mut frame = points.as_bytes().to_vec();
            frame.resize(size, 0);
            let frame = Bytes::from(frame);
            let mut message = chunk(&frame, 0..used);
            let before = message.clone();
            message.detach(frame.len());
            assert_eq!(holds(&message, &frame), held, "{size}");
            assert_eq!(message, before);
        }
    }

    #[test]
    fn so_does_the_payload_of_a_call() {
        let frame = Bytes::from(vec![1; 4000]);
        let mut message =
            Message::UpstreamCall(UpstreamCall { payload: frame.slice(0..100), ..UpstreamCall::default() });
        message.detach(frame.len());
        let Message::UpstreamCall(call) = &message else { panic!("{message:?}") };
        assert!(!frame.as_ptr_range().contains(&call.payload.as_ptr()));
    }
}
