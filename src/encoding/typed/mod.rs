//! The layer between the generated types and the typed messages, which all encodings share.
//!
//! The modules named after the messages say which generated field becomes which typed one; `field` says
//! how. Reading checks what docs/protocol/messages.md §9 asks of a typed layer.

mod common;
mod connection;
pub(super) mod field;
mod metadata;
mod stream;

use self::field::Field;
use super::DecodeError;
use super::protobuf::generated as pb;
use crate::message::Message;

macro_rules! arms {
    ($($arm:ident)+) => {
        fn read_arm(arm: pb::message::Message) -> Result<Message, DecodeError> {
            Ok(match arm {
                $(pb::message::Message::$arm(wire) => Message::$arm(Field::read(wire, stringify!($arm))?),)+
            })
        }

        fn write_arm(message: &Message) -> pb::message::Message {
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

/// The typed message in a decoded one.
///
/// # Errors
/// Names the field that is wrong and what is wrong with it.
pub(super) fn read(message: pb::Message) -> Result<Message, DecodeError> {
    read_arm(message.message.ok_or_else(|| field::not_set("Message.message"))?)
}

/// The generated message to encode.
pub(super) fn write(message: &Message) -> pb::Message {
    pb::Message { message: Some(write_arm(message)) }
}

/// Brings the entries of maps into the order of their keys; of several with one key the last one stays.
pub(super) fn sort_maps(message: &mut pb::Message) {
    use pb::message::Message as Arm;
    match message.message.as_mut() {
        Some(Arm::UpstreamOpenResponse(response)) => field::sort_map(&mut response.data_id_aliases),
        Some(Arm::UpstreamChunkAck(ack)) => field::sort_map(&mut ack.data_id_aliases),
        Some(Arm::DownstreamOpenRequest(request)) => field::sort_map(&mut request.data_id_aliases),
        Some(Arm::DownstreamChunkAck(ack)) => {
            field::sort_map(&mut ack.upstream_aliases);
            field::sort_map(&mut ack.data_id_aliases);
        }
        _ => {}
    }
}
