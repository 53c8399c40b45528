//! Messages with all that they carry on the wire.

use bytes::Bytes;
use prost::Message as _;

use super::protobuf::generated as pb;
use super::{DecodeError, Encoding, Schema, typed};

/// A valid message that keeps what a [`Message`](crate::message::Message) leaves out: whether an extension
/// block without content is present, `data_filter_ids`, the spelling of a UUID.
///
/// For tools that turn one encoding into another. Fields that the schema does not know are dropped.
#[derive(Clone, Debug, PartialEq)]
pub struct RawMessage(pb::Message);

impl RawMessage {
    /// The message in one transport message.
    ///
    /// # Errors
    /// As for [`Encoding::decode`]: names the field that is wrong and what is wrong with it.
    pub fn decode(encoding: Encoding, bytes: Bytes) -> Result<Self, DecodeError> {
        let mut message = match encoding {
            Encoding::Protobuf => super::protobuf::read_generated(bytes)?,
            #[cfg(feature = "json")]
            Encoding::Json => super::json::read_generated(&bytes)?,
        };
        typed::read(message.clone())?;
        typed::sort_maps(&mut message);
        Ok(Self(message))
    }

    /// The message as the bytes of one transport message, for a reader that knows `schema`.
    ///
    /// The form is canonical: fields in the order of the schema, maps sorted, no needless bytes.
    #[cfg_attr(not(feature = "json"), expect(unused_variables, reason = "only JSON depends on the schema"))]
    pub fn encode(&self, encoding: Encoding, schema: Schema) -> Bytes {
        match encoding {
            Encoding::Protobuf => self.0.encode_to_vec().into(),
            #[cfg(feature = "json")]
            Encoding::Json => super::json::write_generated(&self.0, schema).into(),
        }
    }
}
