//! JSON encoding (docs/protocol/messages.md §8): what the official Go client writes, byte for byte.
//!
//! The generated types of the protobuf encoding have a JSON form too. Which key belongs to which of their
//! fields is generated from the schema (`generated`); how the values of each kind are read and written is
//! in `read` and `write`, over serde_json.

#[rustfmt::skip]
#[allow(clippy::use_self, reason = "written by a program")]
mod generated;
mod read;
#[cfg(test)]
mod tests;
mod write;

use bytes::Bytes;

use super::protobuf::generated as pb;
use super::{DecodeError, Schema, typed};
use crate::message::Message;

/// Encodes one message for a reader that knows `schema`: every field the reader knows, set or not, in the
/// order of the schema, in one line.
///
/// Empty bytes are written as `null`, the form of bytes that are absent: in protobuf the two are one.
pub fn encode(message: &Message, schema: Schema) -> Bytes {
    write_generated(&typed::write(message), schema).into()
}

/// Decodes one message.
///
/// Tolerant where the official decoders are (docs/protocol/messages.md §8.3): names in `snake_case` or
/// `lowerCamelCase`, numbers with and without quotes, base64 of either alphabet with or without padding,
/// `null` for any default. Unknown keys are skipped, so that the next version can add some; keys given
/// twice and two arms of a oneof are refused.
///
/// # Errors
/// Names the path of the field that is wrong and what is wrong with it.
pub fn decode(bytes: &[u8]) -> Result<Message, DecodeError> {
    typed::read(read_generated(bytes)?)
}

/// The JSON form of a generated message.
#[doc(hidden)]
pub fn write_generated(message: &pb::Message, schema: Schema) -> Vec<u8> {
    write::to_vec(message, schema)
}

/// The generated message in a JSON text, which need not be a valid iSCP message.
#[doc(hidden)]
pub fn read_generated(text: &[u8]) -> Result<pb::Message, DecodeError> {
    let text = std::str::from_utf8(text)
        .map_err(|error| DecodeError::new(format!("not UTF-8 at byte {}", error.valid_up_to())))?;
    read::from_str(text)
}
