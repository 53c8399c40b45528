//! Protobuf encoding (docs/protocol/messages.md §7).
//!
//! Chunks, the two messages that carry data, have a codec of their own (`chunk`) that neither
//! copies nor allocates for a data point. All other messages, and chunks written in a way no encoder
//! writes them, go through the types that prost generates from `proto/` (`generated`); the modules
//! named after the messages say which generated field becomes which typed one (`field`).

mod chunk;
#[doc(hidden)]
#[rustfmt::skip]
pub mod generated;
mod shared;
#[cfg(test)]
mod tests;
mod wire;

use bytes::Bytes;
use prost::Message as _;

use self::generated as pb;
use super::{DecodeError, typed};
use crate::message::Message;

/// Encodes one message: fields in ascending number, zero scalars left out, arms of oneofs and both
/// parts of map entries always written, maps sorted.
pub fn encode(message: &Message) -> Bytes {
    match message {
        Message::UpstreamChunk(chunk) => chunk::encode_upstream(chunk),
        Message::DownstreamChunk(chunk) => chunk::encode_downstream(chunk),
        other => encode_generated(other),
    }
}

/// Decodes one message. Payloads and runs of data points share the memory of `bytes`, unless that is mostly
/// something else.
///
/// Tolerant where the official decoders are: unknown fields and unknown enum numbers are taken, of
/// several values of a field the last one counts, a missing `stream_chunk` is an empty chunk.
///
/// # Errors
/// Names the field that is wrong and what is wrong with it.
pub fn decode(bytes: Bytes) -> Result<Message, DecodeError> {
    let frame = bytes.len();
    let mut message = match chunk::decode(&bytes) {
        Some(result) => result?,
        None => decode_generated(bytes)?,
    };
    shared::release(&mut message, frame);
    Ok(message)
}

/// Encodes by way of the generated types.
fn encode_generated(message: &Message) -> Bytes {
    typed::write(message).encode_to_vec().into()
}

/// Decodes by way of the generated types.
fn decode_generated(bytes: Bytes) -> Result<Message, DecodeError> {
    typed::read(read_generated(bytes)?)
}

/// The generated message in a frame, which need not be a valid iSCP message.
pub(super) fn read_generated(bytes: Bytes) -> Result<pb::Message, DecodeError> {
    pb::Message::decode(bytes).map_err(|error| DecodeError::new(error.to_string()))
}
