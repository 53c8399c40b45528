//! How messages become bytes and back.

#[cfg(feature = "json")]
pub mod json;
pub mod protobuf;
#[cfg(test)]
mod random;
mod raw;
mod typed;

use bytes::Bytes;

pub use self::raw::RawMessage;
use crate::message::Message;

/// Encoding of a connection, agreed in the transport's negotiation (docs/protocol/transport.md §1.3).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Encoding {
    /// Protocol buffers, the default.
    #[default]
    Protobuf,
    /// JSON; needs the feature `json` of this crate.
    #[cfg(feature = "json")]
    Json,
}

impl Encoding {
    /// All encodings of this build.
    pub const ALL: &[Self] = &[
        Self::Protobuf,
        #[cfg(feature = "json")]
        Self::Json,
    ];

    /// Value of the negotiation key `enc`.
    pub fn name(self) -> &'static str {
        match self {
            Self::Protobuf => "proto",
            #[cfg(feature = "json")]
            Self::Json => "json",
        }
    }

    /// Name for people and options, which is another than that of the negotiation.
    pub fn option_name(self) -> &'static str {
        match self {
            Self::Protobuf => "protobuf",
            #[cfg(feature = "json")]
            Self::Json => "json",
        }
    }

    /// Encoding for a value of the negotiation key `enc`.
    pub fn from_name(name: &str) -> Option<Self> {
        Self::ALL.iter().copied().find(|encoding| encoding.name() == name)
    }

    /// One message as the bytes of one transport message, for a reader that knows `schema`.
    #[cfg_attr(not(feature = "json"), expect(unused_variables, reason = "only JSON depends on the schema"))]
    pub fn encode(self, message: &Message, schema: Schema) -> Bytes {
        match self {
            // Readers of protobuf skip what they do not know.
            Self::Protobuf => protobuf::encode(message),
            #[cfg(feature = "json")]
            Self::Json => json::encode(message, schema),
        }
    }

    /// The message in one transport message. Payloads share the memory of `bytes` where the
    /// encoding allows it and they are most of it.
    ///
    /// # Errors
    /// Names the field that is wrong and what is wrong with it.
    pub fn decode(self, bytes: Bytes) -> Result<Message, DecodeError> {
        match self {
            Self::Protobuf => protobuf::decode(bytes),
            #[cfg(feature = "json")]
            Self::Json => json::decode(&bytes),
        }
    }
}

/// Fields that the reader of a message knows. Readers of JSON refuse what they do not know, those of
/// protobuf skip it (docs/protocol/messages.md §8.3).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
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
        // A pre-release sorts below its version (docs/protocol/messages.md §13).
        let below_3 = ["2.", "3.0.0-"].iter().any(|start| protocol_version.starts_with(start));
        if below_3 || protocol_version == "2" { Self::V2 } else { Self::V3 }
    }
}

/// Bytes that are no valid message.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub struct DecodeError(String);

impl DecodeError {
    /// An error with a reason, which is cut off where it quotes too much of what is wrong.
    pub fn new(reason: impl Into<String>) -> Self {
        Self(shortened(reason.into(), 500))
    }
}

/// A text of about `most` bytes at most.
fn shortened(mut text: String, most: usize) -> String {
    if text.len() > most {
        let end = (0..=most).rev().find(|at| text.is_char_boundary(*at));
        text.truncate(end.unwrap_or_default());
        text.push_str(" …");
    }
    text
}

#[cfg(test)]
mod version_tests {
    use super::*;

    #[test]
    fn a_peer_knows_the_fields_of_its_version() {
        for (version, schema) in [
            ("2", Schema::V2),
            ("2.0.0", Schema::V2),
            ("2.9.9", Schema::V2),
            ("3.0.0-rc.1", Schema::V2),
            ("3", Schema::V3),
            ("3.0", Schema::V3),
            ("3.0.0", Schema::V3),
            ("3.0.1-rc.1", Schema::V3),
        ] {
            assert_eq!(Schema::of(version), schema, "{version}");
        }
    }
}
