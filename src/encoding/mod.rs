//! How messages become bytes and back.

pub mod protobuf;

use bytes::Bytes;

use crate::message::Message;

/// Encoding of a connection, agreed in the transport's negotiation (docs/protocol/transport.md §1.3).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Encoding {
    /// Protocol buffers, the default.
    #[default]
    Protobuf,
}

impl Encoding {
    /// Value of the negotiation key `enc`.
    pub fn name(self) -> &'static str {
        match self {
            Self::Protobuf => "proto",
        }
    }

    /// Encoding for a value of the negotiation key `enc`.
    pub fn from_name(name: &str) -> Option<Self> {
        (name == Self::Protobuf.name()).then_some(Self::Protobuf)
    }

    /// One message as the bytes of one transport message, for a reader that knows `schema`.
    pub fn encode(self, message: &Message, _schema: Schema) -> Bytes {
        match self {
            Self::Protobuf => protobuf::encode(message),
        }
    }

    /// The message in one transport message. Payloads share the memory of `bytes`.
    ///
    /// # Errors
    /// Names the field that is wrong and what is wrong with it.
    pub fn decode(self, bytes: Bytes) -> Result<Message, DecodeError> {
        match self {
            Self::Protobuf => protobuf::decode(bytes),
        }
    }
}

/// Fields that the reader of a message knows. Readers of JSON refuse what they do not know, those of
/// protobuf skip it (docs/protocol/messages.md §8.3).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Schema {
    /// Protocol 2.x, and what is sent before a version is agreed.
    #[default]
    V2,
    /// Protocol 3.0.
    V3,
}

impl Schema {
    /// Fields that a peer knows which speaks `protocol_version`.
    pub fn of(protocol_version: &str) -> Self {
        if protocol_version.starts_with("2.") || protocol_version == "2" { Self::V2 } else { Self::V3 }
    }
}

/// Bytes that are no valid message.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub struct DecodeError(String);

impl DecodeError {
    /// An error with a reason.
    pub fn new(reason: impl Into<String>) -> Self {
        Self(reason.into())
    }
}
