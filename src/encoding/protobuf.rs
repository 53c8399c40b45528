//! Protobuf encoding.

use bytes::Bytes;

use super::DecodeError;
use crate::message::Message;

/// Encodes one message.
pub fn encode(_message: &Message) -> Bytes {
    unimplemented!()
}

/// Decodes one message.
///
/// # Errors
/// Says what is wrong.
pub fn decode(_bytes: Bytes) -> Result<Message, DecodeError> {
    unimplemented!()
}
