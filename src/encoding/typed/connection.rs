//! Connection messages, keep-alive and calls.

use uuid::Uuid;

use super::field::{Field, mirror};
use crate::encoding::DecodeError;
use crate::encoding::protobuf::generated as pb;
use crate::message::{
    ConnectRequest, ConnectResponse, Disconnect, DownstreamCall, UpstreamCall, UpstreamCallAck,
};

mirror! {
    ConnectResponse {
        request_id, protocol_version, result_code, result_string, connection_id, connection_group_id;
        extension_fields
    }
    Disconnect { result_code, result_string; extension_fields }
    UpstreamCall {
        call_id, request_call_id, destination_node_id, name, r#type => kind, payload;
        extension_fields
    }
    UpstreamCallAck { call_id, result_code, result_string; extension_fields }
    DownstreamCall {
        call_id, request_call_id, source_node_id, name, r#type => kind, payload;
        extension_fields
    }
}

impl Field<pb::ConnectRequest> for ConnectRequest {
    fn read(wire: pb::ConnectRequest, _: &str) -> Result<Self, DecodeError> {
        let block = wire.extension_fields.unwrap_or_default();
        Ok(Self {
            request_id: wire.request_id,
            protocol_version: wire.protocol_version,
            node_id: wire.node_id,
            ping_interval_s: wire.ping_interval,
            ping_timeout_s: wire.ping_timeout,
            access_token: block.access_token,
            project_uuid: block.intdash.map(|intdash| project(&intdash)).transpose()?,
            connection_id: wire.connection_id,
            connection_group_id: wire.connection_group_id,
            expiry_interval_s: wire.expiry_interval,
        })
    }

    fn write(&self) -> pb::ConnectRequest {
        let intdash = self.project_uuid.map(|project| pb::extensions::IntdashExtensionFields {
            project_uuid: project.hyphenated().to_string(),
        });
        let block = pb::extensions::ConnectRequestExtensionFields {
            access_token: self.access_token.clone(),
            intdash,
        };
        pb::ConnectRequest {
            request_id: self.request_id,
            protocol_version: self.protocol_version.clone(),
            node_id: self.node_id.clone(),
            ping_interval: self.ping_interval_s,
            ping_timeout: self.ping_timeout_s,
            extension_fields: (block != Default::default()).then_some(block),
            connection_id: self.connection_id.clone(),
            connection_group_id: self.connection_group_id.clone(),
            expiry_interval: self.expiry_interval_s,
        }
    }
}

/// Any of the four spellings of a UUID, in any case; an empty text is none of them.
fn project(intdash: &pb::extensions::IntdashExtensionFields) -> Result<Uuid, DecodeError> {
    Uuid::try_parse(&intdash.project_uuid).map_err(|_| {
        DecodeError::new(format!(
            "IntdashExtensionFields.project_uuid: {:?} is no UUID",
            intdash.project_uuid
        ))
    })
}

macro_rules! keep_alive {
    ($($wire:ident)+) => {
        $(impl Field<pb::$wire> for u32 {
            fn read(wire: pb::$wire, _: &str) -> Result<Self, DecodeError> {
                Ok(wire.request_id)
            }

            fn write(&self) -> pb::$wire {
                pb::$wire { request_id: *self, extension_fields: None }
            }
        })+
    };
}

keep_alive! { Ping Pong }
