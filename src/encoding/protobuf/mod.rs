//! Protobuf encoding (docs/protocol/messages.md §7).
//!
//! Chunks, the two messages that carry data, have a codec of their own (`chunk`) that neither
//! copies nor allocates for a data point. All other messages, and chunks written in a way no encoder
//! writes them, go through the types that prost generates from `proto/` (`generated`); the modules
//! named after the messages say which generated field becomes which typed one (`field`).

mod chunk;
mod common;
mod connection;
mod field;
#[doc(hidden)]
#[rustfmt::skip]
pub mod generated;
mod metadata;
mod stream;
#[cfg(test)]
mod tests;
mod wire;

use bytes::Bytes;
use prost::Message as _;

use self::field::Field;
use self::generated as pb;
use super::DecodeError;
use crate::message::Message;

macro_rules! arms {
    ($($arm:ident)+) => {
        fn typed(arm: pb::message::Message) -> Result<Message, DecodeError> {
            Ok(match arm {
                $(pb::message::Message::$arm(wire) => Message::$arm(Field::read(wire, stringify!($arm))?),)+
            })
        }

        fn arm(message: &Message) -> pb::message::Message {
            match message {
                $(Message::$arm(typed) => pb::message::Message::$arm(Field::write(typed)),)+
            }
        }
    };
}

arms! {
    ConnectRequest ConnectResponse Disconnect
    UpstreamOpenRequest UpstreamOpenResponse UpstreamResumeRequest UpstreamResumeResponse
    UpstreamCloseRequest UpstreamCloseResponse
    UpstreamChunk UpstreamChunkAck UpstreamMetadata UpstreamMetadataAck
    DownstreamOpenRequest DownstreamOpenResponse DownstreamResumeRequest DownstreamResumeResponse
    DownstreamCloseRequest DownstreamCloseResponse
    DownstreamChunk DownstreamChunkAck DownstreamChunkAckComplete DownstreamMetadata DownstreamMetadataAck
    Ping Pong
    UpstreamCall UpstreamCallAck DownstreamCall
}

/// Encodes one message: fields in ascending number, zero scalars left out, arms of oneofs and both
/// parts of map entries always written, maps sorted.
pub fn encode(message: &Message) -> Bytes {
    match message {
        Message::UpstreamChunk(chunk) => chunk::encode_upstream(chunk),
        Message::DownstreamChunk(chunk) => chunk::encode_downstream(chunk),
        other => encode_generated(other),
    }
}

/// Decodes one message. Payloads and runs of data points share the memory of `bytes`.
///
/// Tolerant where the official decoders are: unknown fields and unknown enum numbers are taken, of
/// several values of a field the last one counts, a missing `stream_chunk` is an empty chunk.
///
/// # Errors
/// Names the field that is wrong and what is wrong with it.
pub fn decode(bytes: Bytes) -> Result<Message, DecodeError> {
    match chunk::decode(&bytes) {
        Some(result) => result,
        None => decode_generated(bytes),
    }
}

/// Encodes by way of the generated types.
fn encode_generated(message: &Message) -> Bytes {
    let message = pb::Message { message: Some(arm(message)) };
    message.encode_to_vec().into()
}

/// Decodes by way of the generated types.
fn decode_generated(bytes: Bytes) -> Result<Message, DecodeError> {
    let message = pb::Message::decode(bytes).map_err(|error| DecodeError::new(error.to_string()))?;
    typed(message.message.ok_or_else(|| field::not_set("Message.message"))?)
}
