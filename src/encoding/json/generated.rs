//! The JSON mapping. Written by `cargo run -p iscp-proto-codegen` from `proto/`: do not edit.

use serde::de::MapAccess;
use serde::ser::SerializeMap;

use super::read::{self, Fields};
use super::write::{self, Members};
use crate::encoding::Schema;
use crate::encoding::protobuf::generated as pb;

impl read::Enumeration for pb::QoS {
    const NAME: &str = "QoS";

    fn number(name: &str) -> Option<i32> {
        Some(match name {
            "UNRELIABLE" => 0,
            "RELIABLE" => 1,
            "PARTIAL" => 2,
            _ => return None,
        })
    }
}

impl write::Enumeration for pb::QoS {
    fn name(number: i32, _: Schema) -> Option<&'static str> {
        Self::try_from(number).ok().map(|value| value.as_str_name())
    }
}

impl read::Enumeration for pb::ResultCode {
    const NAME: &str = "ResultCode";

    fn number(name: &str) -> Option<i32> {
        Some(match name {
            "SUCCEEDED" => 0,
            "NORMAL_CLOSURE" => 0,
            "INCOMPATIBLE_VERSION" => 1,
            "MAXIMUM_DATA_ID_ALIAS" => 2,
            "MAXIMUM_UPSTREAM_ALIAS" => 3,
            "UNSPECIFIED_ERROR" => 64,
            "NO_NODE_ID" => 65,
            "AUTH_FAILED" => 66,
            "CONNECT_TIMEOUT" => 67,
            "MALFORMED_MESSAGE" => 68,
            "PROTOCOL_ERROR" => 69,
            "ACK_TIMEOUT" => 70,
            "INVALID_PAYLOAD" => 71,
            "INVALID_DATA_ID" => 72,
            "INVALID_DATA_ID_ALIAS" => 73,
            "INVALID_DATA_FILTER" => 74,
            "STREAM_NOT_FOUND" => 75,
            "RESUME_REQUEST_CONFLICT" => 76,
            "PROCESS_FAILED" => 77,
            "DESIRED_QOS_NOT_SUPPORTED" => 78,
            "PING_TIMEOUT" => 79,
            "TOO_LARGE_MESSAGE_SIZE" => 80,
            "TOO_MANY_DATA_ID_ALIASES" => 81,
            "TOO_MANY_STREAMS" => 82,
            "TOO_LONG_ACK_INTERVAL" => 83,
            "TOO_MANY_DOWNSTREAM_FILTERS" => 84,
            "TOO_MANY_DATA_FILTERS" => 85,
            "TOO_LONG_EXPIRY_INTERVAL" => 86,
            "TOO_LONG_PING_TIMEOUT" => 87,
            "TOO_SHORT_PING_INTERVAL" => 88,
            "TOO_SHORT_PING_TIMEOUT" => 89,
            "RATE_LIMIT_REACHED" => 90,
            "TOO_LARGE_FEED_ID" => 91,
            "TOO_MANY_TARGET_NODES" => 92,
            "FEED_NOT_FOUND" => 93,
            "INVALID_RESUME_TOKEN" => 94,
            "NODE_ID_MISMATCH" => 128,
            "SESSION_NOT_FOUND" => 129,
            "SESSION_ALREADY_CLOSED" => 130,
            "SESSION_CANNOT_CLOSED" => 131,
            _ => return None,
        })
    }
}

impl write::Enumeration for pb::ResultCode {
    fn name(number: i32, schema: Schema) -> Option<&'static str> {
        if schema < Schema::V3 && [91, 92, 93, 94].contains(&number) {
            return None;
        }
        Self::try_from(number).ok().map(|value| value.as_str_name())
    }
}

impl read::Object for pb::DataId {
    fn read<'de, A: MapAccess<'de>>(&mut self, fields: &mut Fields<'de, A>) -> Result<(), A::Error> {
        match fields.key() {
            "name" => fields.value(0, &mut self.name),
            "type" => fields.value(1, &mut self.r#type),
            _ => fields.skip(),
        }
    }
}

impl write::Object for pb::DataId {
    fn write<S: SerializeMap>(&self, members: &mut Members<S>) -> Result<(), S::Error> {
        members.value("name", &self.name)?;
        members.value("type", &self.r#type)?;
        Ok(())
    }
}

impl read::Object for pb::DataFilter {
    fn read<'de, A: MapAccess<'de>>(&mut self, fields: &mut Fields<'de, A>) -> Result<(), A::Error> {
        match fields.key() {
            "name" => fields.value(0, &mut self.name),
            "type" => fields.value(1, &mut self.r#type),
            _ => fields.skip(),
        }
    }
}

impl write::Object for pb::DataFilter {
    fn write<S: SerializeMap>(&self, members: &mut Members<S>) -> Result<(), S::Error> {
        members.value("name", &self.name)?;
        members.value("type", &self.r#type)?;
        Ok(())
    }
}

impl read::Object for pb::DownstreamFilter {
    fn read<'de, A: MapAccess<'de>>(&mut self, fields: &mut Fields<'de, A>) -> Result<(), A::Error> {
        match fields.key() {
            "source_node_id" | "sourceNodeId" => fields.value(0, &mut self.source_node_id),
            "data_filters" | "dataFilters" => fields.value(1, &mut self.data_filters),
            _ => fields.skip(),
        }
    }
}

impl write::Object for pb::DownstreamFilter {
    fn write<S: SerializeMap>(&self, members: &mut Members<S>) -> Result<(), S::Error> {
        members.value("source_node_id", &self.source_node_id)?;
        members.value("data_filters", &self.data_filters)?;
        Ok(())
    }
}

impl read::Object for pb::DataPoint {
    fn read<'de, A: MapAccess<'de>>(&mut self, fields: &mut Fields<'de, A>) -> Result<(), A::Error> {
        match fields.key() {
            "elapsed_time" | "elapsedTime" => fields.value(0, &mut self.elapsed_time),
            "payload" => fields.value(1, &mut self.payload),
            _ => fields.skip(),
        }
    }
}

impl write::Object for pb::DataPoint {
    fn write<S: SerializeMap>(&self, members: &mut Members<S>) -> Result<(), S::Error> {
        members.value("elapsed_time", &self.elapsed_time)?;
        members.value("payload", &self.payload)?;
        Ok(())
    }
}

impl read::Object for pb::DataPointGroup {
    fn read<'de, A: MapAccess<'de>>(&mut self, fields: &mut Fields<'de, A>) -> Result<(), A::Error> {
        match fields.key() {
            "data_id" | "dataId" => fields.arm(0, &mut self.data_id_or_alias, "data_id_or_alias", pb::data_point_group::DataIdOrAlias::DataId),
            "data_id_alias" | "dataIdAlias" => fields.arm(1, &mut self.data_id_or_alias, "data_id_or_alias", pb::data_point_group::DataIdOrAlias::DataIdAlias),
            "data_points" | "dataPoints" => fields.value(2, &mut self.data_points),
            "data_filter_ids" | "dataFilterIds" => fields.value(3, &mut self.data_filter_ids),
            _ => fields.skip(),
        }
    }
}

impl write::Object for pb::DataPointGroup {
    fn write<S: SerializeMap>(&self, members: &mut Members<S>) -> Result<(), S::Error> {
        match &self.data_id_or_alias {
            Some(pb::data_point_group::DataIdOrAlias::DataId(arm)) => members.value("data_id", arm)?,
            Some(pb::data_point_group::DataIdOrAlias::DataIdAlias(arm)) => members.value("data_id_alias", arm)?,
            None => {}
        }
        members.value("data_points", &self.data_points)?;
        if members.schema() >= Schema::V3 {
            members.value("data_filter_ids", &self.data_filter_ids)?;
        }
        Ok(())
    }
}

impl read::Object for pb::StreamChunk {
    fn read<'de, A: MapAccess<'de>>(&mut self, fields: &mut Fields<'de, A>) -> Result<(), A::Error> {
        match fields.key() {
            "sequence_number" | "sequenceNumber" => fields.value(0, &mut self.sequence_number),
            "data_point_groups" | "dataPointGroups" => fields.value(1, &mut self.data_point_groups),
            _ => fields.skip(),
        }
    }
}

impl write::Object for pb::StreamChunk {
    fn write<S: SerializeMap>(&self, members: &mut Members<S>) -> Result<(), S::Error> {
        members.value("sequence_number", &self.sequence_number)?;
        members.value("data_point_groups", &self.data_point_groups)?;
        Ok(())
    }
}

impl read::Object for pb::DownstreamFilterReference {
    fn read<'de, A: MapAccess<'de>>(&mut self, fields: &mut Fields<'de, A>) -> Result<(), A::Error> {
        match fields.key() {
            "downstream_filter_index" | "downstreamFilterIndex" => fields.value(0, &mut self.downstream_filter_index),
            "data_filter_index" | "dataFilterIndex" => fields.value(1, &mut self.data_filter_index),
            _ => fields.skip(),
        }
    }
}

impl write::Object for pb::DownstreamFilterReference {
    fn write<S: SerializeMap>(&self, members: &mut Members<S>) -> Result<(), S::Error> {
        members.value("downstream_filter_index", &self.downstream_filter_index)?;
        members.value("data_filter_index", &self.data_filter_index)?;
        Ok(())
    }
}

impl read::Object for pb::DownstreamFilterReferences {
    fn read<'de, A: MapAccess<'de>>(&mut self, fields: &mut Fields<'de, A>) -> Result<(), A::Error> {
        match fields.key() {
            "references" => fields.value(0, &mut self.references),
            _ => fields.skip(),
        }
    }
}

impl write::Object for pb::DownstreamFilterReferences {
    fn write<S: SerializeMap>(&self, members: &mut Members<S>) -> Result<(), S::Error> {
        members.value("references", &self.references)?;
        Ok(())
    }
}

impl read::Object for pb::UpstreamInfo {
    fn read<'de, A: MapAccess<'de>>(&mut self, fields: &mut Fields<'de, A>) -> Result<(), A::Error> {
        match fields.key() {
            "session_id" | "sessionId" => fields.value(0, &mut self.session_id),
            "stream_id" | "streamId" => fields.value(1, &mut self.stream_id),
            "source_node_id" | "sourceNodeId" => fields.value(2, &mut self.source_node_id),
            _ => fields.skip(),
        }
    }
}

impl write::Object for pb::UpstreamInfo {
    fn write<S: SerializeMap>(&self, members: &mut Members<S>) -> Result<(), S::Error> {
        members.value("session_id", &self.session_id)?;
        members.value("stream_id", &self.stream_id)?;
        members.value("source_node_id", &self.source_node_id)?;
        Ok(())
    }
}

impl read::Object for pb::extensions::UpstreamCallExtensionFields {
    fn read<'de, A: MapAccess<'de>>(&mut self, fields: &mut Fields<'de, A>) -> Result<(), A::Error> {
        fields.skip()
    }
}

impl write::Object for pb::extensions::UpstreamCallExtensionFields {
    fn write<S: SerializeMap>(&self, _: &mut Members<S>) -> Result<(), S::Error> {
        Ok(())
    }
}

impl read::Object for pb::extensions::UpstreamCallAckExtensionFields {
    fn read<'de, A: MapAccess<'de>>(&mut self, fields: &mut Fields<'de, A>) -> Result<(), A::Error> {
        fields.skip()
    }
}

impl write::Object for pb::extensions::UpstreamCallAckExtensionFields {
    fn write<S: SerializeMap>(&self, _: &mut Members<S>) -> Result<(), S::Error> {
        Ok(())
    }
}

impl read::Object for pb::extensions::DownstreamCallExtensionFields {
    fn read<'de, A: MapAccess<'de>>(&mut self, fields: &mut Fields<'de, A>) -> Result<(), A::Error> {
        fields.skip()
    }
}

impl write::Object for pb::extensions::DownstreamCallExtensionFields {
    fn write<S: SerializeMap>(&self, _: &mut Members<S>) -> Result<(), S::Error> {
        Ok(())
    }
}

impl read::Object for pb::UpstreamCall {
    fn read<'de, A: MapAccess<'de>>(&mut self, fields: &mut Fields<'de, A>) -> Result<(), A::Error> {
        match fields.key() {
            "call_id" | "callId" => fields.value(0, &mut self.call_id),
            "request_call_id" | "requestCallId" => fields.value(1, &mut self.request_call_id),
            "destination_node_id" | "destinationNodeId" => fields.value(2, &mut self.destination_node_id),
            "name" => fields.value(3, &mut self.name),
            "type" => fields.value(4, &mut self.r#type),
            "payload" => fields.value(5, &mut self.payload),
            "extension_fields" | "extensionFields" => fields.value(6, &mut self.extension_fields),
            _ => fields.skip(),
        }
    }
}

impl write::Object for pb::UpstreamCall {
    fn write<S: SerializeMap>(&self, members: &mut Members<S>) -> Result<(), S::Error> {
        members.value("call_id", &self.call_id)?;
        members.value("request_call_id", &self.request_call_id)?;
        members.value("destination_node_id", &self.destination_node_id)?;
        members.value("name", &self.name)?;
        members.value("type", &self.r#type)?;
        members.value("payload", &self.payload)?;
        members.value("extension_fields", &self.extension_fields)?;
        Ok(())
    }
}

impl read::Object for pb::UpstreamCallAck {
    fn read<'de, A: MapAccess<'de>>(&mut self, fields: &mut Fields<'de, A>) -> Result<(), A::Error> {
        match fields.key() {
            "call_id" | "callId" => fields.value(0, &mut self.call_id),
            "result_code" | "resultCode" => fields.enumeration::<pb::ResultCode>(1, &mut self.result_code),
            "result_string" | "resultString" => fields.value(2, &mut self.result_string),
            "extension_fields" | "extensionFields" => fields.value(3, &mut self.extension_fields),
            _ => fields.skip(),
        }
    }
}

impl write::Object for pb::UpstreamCallAck {
    fn write<S: SerializeMap>(&self, members: &mut Members<S>) -> Result<(), S::Error> {
        members.value("call_id", &self.call_id)?;
        members.enumeration::<pb::ResultCode>("result_code", self.result_code)?;
        members.value("result_string", &self.result_string)?;
        members.value("extension_fields", &self.extension_fields)?;
        Ok(())
    }
}

impl read::Object for pb::DownstreamCall {
    fn read<'de, A: MapAccess<'de>>(&mut self, fields: &mut Fields<'de, A>) -> Result<(), A::Error> {
        match fields.key() {
            "call_id" | "callId" => fields.value(0, &mut self.call_id),
            "request_call_id" | "requestCallId" => fields.value(1, &mut self.request_call_id),
            "source_node_id" | "sourceNodeId" => fields.value(2, &mut self.source_node_id),
            "name" => fields.value(3, &mut self.name),
            "type" => fields.value(4, &mut self.r#type),
            "payload" => fields.value(5, &mut self.payload),
            "extension_fields" | "extensionFields" => fields.value(6, &mut self.extension_fields),
            _ => fields.skip(),
        }
    }
}

impl write::Object for pb::DownstreamCall {
    fn write<S: SerializeMap>(&self, members: &mut Members<S>) -> Result<(), S::Error> {
        members.value("call_id", &self.call_id)?;
        members.value("request_call_id", &self.request_call_id)?;
        members.value("source_node_id", &self.source_node_id)?;
        members.value("name", &self.name)?;
        members.value("type", &self.r#type)?;
        members.value("payload", &self.payload)?;
        members.value("extension_fields", &self.extension_fields)?;
        Ok(())
    }
}

impl read::Object for pb::extensions::ConnectRequestExtensionFields {
    fn read<'de, A: MapAccess<'de>>(&mut self, fields: &mut Fields<'de, A>) -> Result<(), A::Error> {
        match fields.key() {
            "access_token" | "accessToken" => fields.value(0, &mut self.access_token),
            "intdash" => fields.value(1, &mut self.intdash),
            _ => fields.skip(),
        }
    }
}

impl write::Object for pb::extensions::ConnectRequestExtensionFields {
    fn write<S: SerializeMap>(&self, members: &mut Members<S>) -> Result<(), S::Error> {
        members.value("access_token", &self.access_token)?;
        members.value("intdash", &self.intdash)?;
        Ok(())
    }
}

impl read::Object for pb::extensions::IntdashExtensionFields {
    fn read<'de, A: MapAccess<'de>>(&mut self, fields: &mut Fields<'de, A>) -> Result<(), A::Error> {
        match fields.key() {
            "project_uuid" | "projectUuid" => fields.value(0, &mut self.project_uuid),
            _ => fields.skip(),
        }
    }
}

impl write::Object for pb::extensions::IntdashExtensionFields {
    fn write<S: SerializeMap>(&self, members: &mut Members<S>) -> Result<(), S::Error> {
        members.value("project_uuid", &self.project_uuid)?;
        Ok(())
    }
}

impl read::Object for pb::extensions::ConnectResponseExtensionFields {
    fn read<'de, A: MapAccess<'de>>(&mut self, fields: &mut Fields<'de, A>) -> Result<(), A::Error> {
        fields.skip()
    }
}

impl write::Object for pb::extensions::ConnectResponseExtensionFields {
    fn write<S: SerializeMap>(&self, _: &mut Members<S>) -> Result<(), S::Error> {
        Ok(())
    }
}

impl read::Object for pb::extensions::DisconnectExtensionFields {
    fn read<'de, A: MapAccess<'de>>(&mut self, fields: &mut Fields<'de, A>) -> Result<(), A::Error> {
        fields.skip()
    }
}

impl write::Object for pb::extensions::DisconnectExtensionFields {
    fn write<S: SerializeMap>(&self, _: &mut Members<S>) -> Result<(), S::Error> {
        Ok(())
    }
}

impl read::Object for pb::extensions::PingExtensionFields {
    fn read<'de, A: MapAccess<'de>>(&mut self, fields: &mut Fields<'de, A>) -> Result<(), A::Error> {
        fields.skip()
    }
}

impl write::Object for pb::extensions::PingExtensionFields {
    fn write<S: SerializeMap>(&self, _: &mut Members<S>) -> Result<(), S::Error> {
        Ok(())
    }
}

impl read::Object for pb::extensions::PongExtensionFields {
    fn read<'de, A: MapAccess<'de>>(&mut self, fields: &mut Fields<'de, A>) -> Result<(), A::Error> {
        fields.skip()
    }
}

impl write::Object for pb::extensions::PongExtensionFields {
    fn write<S: SerializeMap>(&self, _: &mut Members<S>) -> Result<(), S::Error> {
        Ok(())
    }
}

impl read::Object for pb::ConnectRequest {
    fn read<'de, A: MapAccess<'de>>(&mut self, fields: &mut Fields<'de, A>) -> Result<(), A::Error> {
        match fields.key() {
            "request_id" | "requestId" => fields.value(0, &mut self.request_id),
            "protocol_version" | "protocolVersion" => fields.value(1, &mut self.protocol_version),
            "node_id" | "nodeId" => fields.value(2, &mut self.node_id),
            "ping_interval" | "pingInterval" => fields.value(3, &mut self.ping_interval),
            "ping_timeout" | "pingTimeout" => fields.value(4, &mut self.ping_timeout),
            "extension_fields" | "extensionFields" => fields.value(5, &mut self.extension_fields),
            "connection_id" | "connectionId" => fields.value(6, &mut self.connection_id),
            "connection_group_id" | "connectionGroupId" => fields.value(7, &mut self.connection_group_id),
            "expiry_interval" | "expiryInterval" => fields.value(8, &mut self.expiry_interval),
            _ => fields.skip(),
        }
    }
}

impl write::Object for pb::ConnectRequest {
    fn write<S: SerializeMap>(&self, members: &mut Members<S>) -> Result<(), S::Error> {
        members.value("request_id", &self.request_id)?;
        members.value("protocol_version", &self.protocol_version)?;
        members.value("node_id", &self.node_id)?;
        members.value("ping_interval", &self.ping_interval)?;
        members.value("ping_timeout", &self.ping_timeout)?;
        members.value("extension_fields", &self.extension_fields)?;
        if members.schema() >= Schema::V3 {
            members.value("connection_id", &self.connection_id)?;
        }
        if members.schema() >= Schema::V3 {
            members.value("connection_group_id", &self.connection_group_id)?;
        }
        if members.schema() >= Schema::V3 {
            members.value("expiry_interval", &self.expiry_interval)?;
        }
        Ok(())
    }
}

impl read::Object for pb::ConnectResponse {
    fn read<'de, A: MapAccess<'de>>(&mut self, fields: &mut Fields<'de, A>) -> Result<(), A::Error> {
        match fields.key() {
            "request_id" | "requestId" => fields.value(0, &mut self.request_id),
            "protocol_version" | "protocolVersion" => fields.value(1, &mut self.protocol_version),
            "result_code" | "resultCode" => fields.enumeration::<pb::ResultCode>(2, &mut self.result_code),
            "result_string" | "resultString" => fields.value(3, &mut self.result_string),
            "extension_fields" | "extensionFields" => fields.value(4, &mut self.extension_fields),
            "connection_id" | "connectionId" => fields.value(5, &mut self.connection_id),
            "connection_group_id" | "connectionGroupId" => fields.value(6, &mut self.connection_group_id),
            _ => fields.skip(),
        }
    }
}

impl write::Object for pb::ConnectResponse {
    fn write<S: SerializeMap>(&self, members: &mut Members<S>) -> Result<(), S::Error> {
        members.value("request_id", &self.request_id)?;
        members.value("protocol_version", &self.protocol_version)?;
        members.enumeration::<pb::ResultCode>("result_code", self.result_code)?;
        members.value("result_string", &self.result_string)?;
        members.value("extension_fields", &self.extension_fields)?;
        if members.schema() >= Schema::V3 {
            members.value("connection_id", &self.connection_id)?;
        }
        if members.schema() >= Schema::V3 {
            members.value("connection_group_id", &self.connection_group_id)?;
        }
        Ok(())
    }
}

impl read::Object for pb::Disconnect {
    fn read<'de, A: MapAccess<'de>>(&mut self, fields: &mut Fields<'de, A>) -> Result<(), A::Error> {
        match fields.key() {
            "result_code" | "resultCode" => fields.enumeration::<pb::ResultCode>(0, &mut self.result_code),
            "result_string" | "resultString" => fields.value(1, &mut self.result_string),
            "extension_fields" | "extensionFields" => fields.value(2, &mut self.extension_fields),
            _ => fields.skip(),
        }
    }
}

impl write::Object for pb::Disconnect {
    fn write<S: SerializeMap>(&self, members: &mut Members<S>) -> Result<(), S::Error> {
        members.enumeration::<pb::ResultCode>("result_code", self.result_code)?;
        members.value("result_string", &self.result_string)?;
        members.value("extension_fields", &self.extension_fields)?;
        Ok(())
    }
}

impl read::Object for pb::Ping {
    fn read<'de, A: MapAccess<'de>>(&mut self, fields: &mut Fields<'de, A>) -> Result<(), A::Error> {
        match fields.key() {
            "request_id" | "requestId" => fields.value(0, &mut self.request_id),
            "extension_fields" | "extensionFields" => fields.value(1, &mut self.extension_fields),
            _ => fields.skip(),
        }
    }
}

impl write::Object for pb::Ping {
    fn write<S: SerializeMap>(&self, members: &mut Members<S>) -> Result<(), S::Error> {
        members.value("request_id", &self.request_id)?;
        members.value("extension_fields", &self.extension_fields)?;
        Ok(())
    }
}

impl read::Object for pb::Pong {
    fn read<'de, A: MapAccess<'de>>(&mut self, fields: &mut Fields<'de, A>) -> Result<(), A::Error> {
        match fields.key() {
            "request_id" | "requestId" => fields.value(0, &mut self.request_id),
            "extension_fields" | "extensionFields" => fields.value(1, &mut self.extension_fields),
            _ => fields.skip(),
        }
    }
}

impl write::Object for pb::Pong {
    fn write<S: SerializeMap>(&self, members: &mut Members<S>) -> Result<(), S::Error> {
        members.value("request_id", &self.request_id)?;
        members.value("extension_fields", &self.extension_fields)?;
        Ok(())
    }
}

impl read::Object for pb::extensions::DownstreamOpenRequestExtensionFields {
    fn read<'de, A: MapAccess<'de>>(&mut self, fields: &mut Fields<'de, A>) -> Result<(), A::Error> {
        fields.skip()
    }
}

impl write::Object for pb::extensions::DownstreamOpenRequestExtensionFields {
    fn write<S: SerializeMap>(&self, _: &mut Members<S>) -> Result<(), S::Error> {
        Ok(())
    }
}

impl read::Object for pb::extensions::DownstreamOpenResponseExtensionFields {
    fn read<'de, A: MapAccess<'de>>(&mut self, fields: &mut Fields<'de, A>) -> Result<(), A::Error> {
        fields.skip()
    }
}

impl write::Object for pb::extensions::DownstreamOpenResponseExtensionFields {
    fn write<S: SerializeMap>(&self, _: &mut Members<S>) -> Result<(), S::Error> {
        Ok(())
    }
}

impl read::Object for pb::extensions::DownstreamResumeRequestExtensionFields {
    fn read<'de, A: MapAccess<'de>>(&mut self, fields: &mut Fields<'de, A>) -> Result<(), A::Error> {
        fields.skip()
    }
}

impl write::Object for pb::extensions::DownstreamResumeRequestExtensionFields {
    fn write<S: SerializeMap>(&self, _: &mut Members<S>) -> Result<(), S::Error> {
        Ok(())
    }
}

impl read::Object for pb::extensions::DownstreamResumeResponseExtensionFields {
    fn read<'de, A: MapAccess<'de>>(&mut self, fields: &mut Fields<'de, A>) -> Result<(), A::Error> {
        fields.skip()
    }
}

impl write::Object for pb::extensions::DownstreamResumeResponseExtensionFields {
    fn write<S: SerializeMap>(&self, _: &mut Members<S>) -> Result<(), S::Error> {
        Ok(())
    }
}

impl read::Object for pb::extensions::DownstreamCloseRequestExtensionFields {
    fn read<'de, A: MapAccess<'de>>(&mut self, fields: &mut Fields<'de, A>) -> Result<(), A::Error> {
        fields.skip()
    }
}

impl write::Object for pb::extensions::DownstreamCloseRequestExtensionFields {
    fn write<S: SerializeMap>(&self, _: &mut Members<S>) -> Result<(), S::Error> {
        Ok(())
    }
}

impl read::Object for pb::extensions::DownstreamCloseResponseExtensionFields {
    fn read<'de, A: MapAccess<'de>>(&mut self, fields: &mut Fields<'de, A>) -> Result<(), A::Error> {
        fields.skip()
    }
}

impl write::Object for pb::extensions::DownstreamCloseResponseExtensionFields {
    fn write<S: SerializeMap>(&self, _: &mut Members<S>) -> Result<(), S::Error> {
        Ok(())
    }
}

impl read::Object for pb::extensions::DownstreamChunkExtensionFields {
    fn read<'de, A: MapAccess<'de>>(&mut self, fields: &mut Fields<'de, A>) -> Result<(), A::Error> {
        fields.skip()
    }
}

impl write::Object for pb::extensions::DownstreamChunkExtensionFields {
    fn write<S: SerializeMap>(&self, _: &mut Members<S>) -> Result<(), S::Error> {
        Ok(())
    }
}

impl read::Object for pb::extensions::DownstreamChunkAckExtensionFields {
    fn read<'de, A: MapAccess<'de>>(&mut self, fields: &mut Fields<'de, A>) -> Result<(), A::Error> {
        fields.skip()
    }
}

impl write::Object for pb::extensions::DownstreamChunkAckExtensionFields {
    fn write<S: SerializeMap>(&self, _: &mut Members<S>) -> Result<(), S::Error> {
        Ok(())
    }
}

impl read::Object for pb::extensions::DownstreamChunkResultExtensionFields {
    fn read<'de, A: MapAccess<'de>>(&mut self, fields: &mut Fields<'de, A>) -> Result<(), A::Error> {
        fields.skip()
    }
}

impl write::Object for pb::extensions::DownstreamChunkResultExtensionFields {
    fn write<S: SerializeMap>(&self, _: &mut Members<S>) -> Result<(), S::Error> {
        Ok(())
    }
}

impl read::Object for pb::extensions::DownstreamChunkAckCompleteExtensionFields {
    fn read<'de, A: MapAccess<'de>>(&mut self, fields: &mut Fields<'de, A>) -> Result<(), A::Error> {
        fields.skip()
    }
}

impl write::Object for pb::extensions::DownstreamChunkAckCompleteExtensionFields {
    fn write<S: SerializeMap>(&self, _: &mut Members<S>) -> Result<(), S::Error> {
        Ok(())
    }
}

impl read::Object for pb::DownstreamOpenRequest {
    fn read<'de, A: MapAccess<'de>>(&mut self, fields: &mut Fields<'de, A>) -> Result<(), A::Error> {
        match fields.key() {
            "request_id" | "requestId" => fields.value(0, &mut self.request_id),
            "desired_stream_id_alias" | "desiredStreamIdAlias" => fields.value(1, &mut self.desired_stream_id_alias),
            "downstream_filters" | "downstreamFilters" => fields.value(2, &mut self.downstream_filters),
            "expiry_interval" | "expiryInterval" => fields.value(3, &mut self.expiry_interval),
            "data_id_aliases" | "dataIdAliases" => fields.map(4, &mut self.data_id_aliases),
            "qos" => fields.enumeration::<pb::QoS>(5, &mut self.qos),
            "extension_fields" | "extensionFields" => fields.value(6, &mut self.extension_fields),
            "omit_empty_chunk" | "omitEmptyChunk" => fields.value(7, &mut self.omit_empty_chunk),
            _ => fields.skip(),
        }
    }
}

impl write::Object for pb::DownstreamOpenRequest {
    fn write<S: SerializeMap>(&self, members: &mut Members<S>) -> Result<(), S::Error> {
        members.value("request_id", &self.request_id)?;
        members.value("desired_stream_id_alias", &self.desired_stream_id_alias)?;
        members.value("downstream_filters", &self.downstream_filters)?;
        members.value("expiry_interval", &self.expiry_interval)?;
        members.map("data_id_aliases", &self.data_id_aliases)?;
        members.enumeration::<pb::QoS>("qos", self.qos)?;
        members.value("extension_fields", &self.extension_fields)?;
        members.value("omit_empty_chunk", &self.omit_empty_chunk)?;
        Ok(())
    }
}

impl read::Object for pb::DownstreamOpenResponse {
    fn read<'de, A: MapAccess<'de>>(&mut self, fields: &mut Fields<'de, A>) -> Result<(), A::Error> {
        match fields.key() {
            "request_id" | "requestId" => fields.value(0, &mut self.request_id),
            "assigned_stream_id" | "assignedStreamId" => fields.value(1, &mut self.assigned_stream_id),
            "server_time" | "serverTime" => fields.value(2, &mut self.server_time),
            "result_code" | "resultCode" => fields.enumeration::<pb::ResultCode>(3, &mut self.result_code),
            "result_string" | "resultString" => fields.value(4, &mut self.result_string),
            "extension_fields" | "extensionFields" => fields.value(5, &mut self.extension_fields),
            "resume_token" | "resumeToken" => fields.value(6, &mut self.resume_token),
            _ => fields.skip(),
        }
    }
}

impl write::Object for pb::DownstreamOpenResponse {
    fn write<S: SerializeMap>(&self, members: &mut Members<S>) -> Result<(), S::Error> {
        members.value("request_id", &self.request_id)?;
        members.value("assigned_stream_id", &self.assigned_stream_id)?;
        members.value("server_time", &self.server_time)?;
        members.enumeration::<pb::ResultCode>("result_code", self.result_code)?;
        members.value("result_string", &self.result_string)?;
        members.value("extension_fields", &self.extension_fields)?;
        if members.schema() >= Schema::V3 {
            members.value("resume_token", &self.resume_token)?;
        }
        Ok(())
    }
}

impl read::Object for pb::DownstreamResumeRequest {
    fn read<'de, A: MapAccess<'de>>(&mut self, fields: &mut Fields<'de, A>) -> Result<(), A::Error> {
        match fields.key() {
            "request_id" | "requestId" => fields.value(0, &mut self.request_id),
            "stream_id" | "streamId" => fields.value(1, &mut self.stream_id),
            "desired_stream_id_alias" | "desiredStreamIdAlias" => fields.value(2, &mut self.desired_stream_id_alias),
            "extension_fields" | "extensionFields" => fields.value(3, &mut self.extension_fields),
            "resume_token" | "resumeToken" => fields.value(4, &mut self.resume_token),
            _ => fields.skip(),
        }
    }
}

impl write::Object for pb::DownstreamResumeRequest {
    fn write<S: SerializeMap>(&self, members: &mut Members<S>) -> Result<(), S::Error> {
        members.value("request_id", &self.request_id)?;
        members.value("stream_id", &self.stream_id)?;
        members.value("desired_stream_id_alias", &self.desired_stream_id_alias)?;
        members.value("extension_fields", &self.extension_fields)?;
        if members.schema() >= Schema::V3 {
            members.value("resume_token", &self.resume_token)?;
        }
        Ok(())
    }
}

impl read::Object for pb::DownstreamResumeResponse {
    fn read<'de, A: MapAccess<'de>>(&mut self, fields: &mut Fields<'de, A>) -> Result<(), A::Error> {
        match fields.key() {
            "request_id" | "requestId" => fields.value(0, &mut self.request_id),
            "result_code" | "resultCode" => fields.enumeration::<pb::ResultCode>(1, &mut self.result_code),
            "result_string" | "resultString" => fields.value(2, &mut self.result_string),
            "extension_fields" | "extensionFields" => fields.value(3, &mut self.extension_fields),
            "resume_token" | "resumeToken" => fields.value(4, &mut self.resume_token),
            _ => fields.skip(),
        }
    }
}

impl write::Object for pb::DownstreamResumeResponse {
    fn write<S: SerializeMap>(&self, members: &mut Members<S>) -> Result<(), S::Error> {
        members.value("request_id", &self.request_id)?;
        members.enumeration::<pb::ResultCode>("result_code", self.result_code)?;
        members.value("result_string", &self.result_string)?;
        members.value("extension_fields", &self.extension_fields)?;
        if members.schema() >= Schema::V3 {
            members.value("resume_token", &self.resume_token)?;
        }
        Ok(())
    }
}

impl read::Object for pb::DownstreamCloseRequest {
    fn read<'de, A: MapAccess<'de>>(&mut self, fields: &mut Fields<'de, A>) -> Result<(), A::Error> {
        match fields.key() {
            "request_id" | "requestId" => fields.value(0, &mut self.request_id),
            "stream_id" | "streamId" => fields.value(1, &mut self.stream_id),
            "extension_fields" | "extensionFields" => fields.value(2, &mut self.extension_fields),
            _ => fields.skip(),
        }
    }
}

impl write::Object for pb::DownstreamCloseRequest {
    fn write<S: SerializeMap>(&self, members: &mut Members<S>) -> Result<(), S::Error> {
        members.value("request_id", &self.request_id)?;
        members.value("stream_id", &self.stream_id)?;
        members.value("extension_fields", &self.extension_fields)?;
        Ok(())
    }
}

impl read::Object for pb::DownstreamCloseResponse {
    fn read<'de, A: MapAccess<'de>>(&mut self, fields: &mut Fields<'de, A>) -> Result<(), A::Error> {
        match fields.key() {
            "request_id" | "requestId" => fields.value(0, &mut self.request_id),
            "result_code" | "resultCode" => fields.enumeration::<pb::ResultCode>(1, &mut self.result_code),
            "result_string" | "resultString" => fields.value(2, &mut self.result_string),
            "extension_fields" | "extensionFields" => fields.value(3, &mut self.extension_fields),
            _ => fields.skip(),
        }
    }
}

impl write::Object for pb::DownstreamCloseResponse {
    fn write<S: SerializeMap>(&self, members: &mut Members<S>) -> Result<(), S::Error> {
        members.value("request_id", &self.request_id)?;
        members.enumeration::<pb::ResultCode>("result_code", self.result_code)?;
        members.value("result_string", &self.result_string)?;
        members.value("extension_fields", &self.extension_fields)?;
        Ok(())
    }
}

impl read::Object for pb::DownstreamChunk {
    fn read<'de, A: MapAccess<'de>>(&mut self, fields: &mut Fields<'de, A>) -> Result<(), A::Error> {
        match fields.key() {
            "stream_id_alias" | "streamIdAlias" => fields.value(0, &mut self.stream_id_alias),
            "upstream_info" | "upstreamInfo" => fields.arm(1, &mut self.upstream_or_alias, "upstream_or_alias", pb::downstream_chunk::UpstreamOrAlias::UpstreamInfo),
            "upstream_alias" | "upstreamAlias" => fields.arm(2, &mut self.upstream_or_alias, "upstream_or_alias", pb::downstream_chunk::UpstreamOrAlias::UpstreamAlias),
            "stream_chunk" | "streamChunk" => fields.value(3, &mut self.stream_chunk),
            "extension_fields" | "extensionFields" => fields.value(4, &mut self.extension_fields),
            "downstream_filter_references" | "downstreamFilterReferences" => fields.value(5, &mut self.downstream_filter_references),
            _ => fields.skip(),
        }
    }
}

impl write::Object for pb::DownstreamChunk {
    fn write<S: SerializeMap>(&self, members: &mut Members<S>) -> Result<(), S::Error> {
        members.value("stream_id_alias", &self.stream_id_alias)?;
        match &self.upstream_or_alias {
            Some(pb::downstream_chunk::UpstreamOrAlias::UpstreamInfo(arm)) => members.value("upstream_info", arm)?,
            Some(pb::downstream_chunk::UpstreamOrAlias::UpstreamAlias(arm)) => members.value("upstream_alias", arm)?,
            None => {}
        }
        members.value("stream_chunk", &self.stream_chunk)?;
        members.value("extension_fields", &self.extension_fields)?;
        if members.schema() >= Schema::V3 {
            members.value("downstream_filter_references", &self.downstream_filter_references)?;
        }
        Ok(())
    }
}

impl read::Object for pb::DownstreamChunkAck {
    fn read<'de, A: MapAccess<'de>>(&mut self, fields: &mut Fields<'de, A>) -> Result<(), A::Error> {
        match fields.key() {
            "stream_id_alias" | "streamIdAlias" => fields.value(0, &mut self.stream_id_alias),
            "ack_id" | "ackId" => fields.value(1, &mut self.ack_id),
            "results" => fields.value(2, &mut self.results),
            "upstream_aliases" | "upstreamAliases" => fields.map(3, &mut self.upstream_aliases),
            "data_id_aliases" | "dataIdAliases" => fields.map(4, &mut self.data_id_aliases),
            "extension_fields" | "extensionFields" => fields.value(5, &mut self.extension_fields),
            _ => fields.skip(),
        }
    }
}

impl write::Object for pb::DownstreamChunkAck {
    fn write<S: SerializeMap>(&self, members: &mut Members<S>) -> Result<(), S::Error> {
        members.value("stream_id_alias", &self.stream_id_alias)?;
        members.value("ack_id", &self.ack_id)?;
        members.value("results", &self.results)?;
        members.map("upstream_aliases", &self.upstream_aliases)?;
        members.map("data_id_aliases", &self.data_id_aliases)?;
        members.value("extension_fields", &self.extension_fields)?;
        Ok(())
    }
}

impl read::Object for pb::DownstreamChunkResult {
    fn read<'de, A: MapAccess<'de>>(&mut self, fields: &mut Fields<'de, A>) -> Result<(), A::Error> {
        match fields.key() {
            "stream_id_of_upstream" | "streamIdOfUpstream" => fields.value(0, &mut self.stream_id_of_upstream),
            "sequence_number_in_upstream" | "sequenceNumberInUpstream" => fields.value(1, &mut self.sequence_number_in_upstream),
            "result_code" | "resultCode" => fields.enumeration::<pb::ResultCode>(2, &mut self.result_code),
            "result_string" | "resultString" => fields.value(3, &mut self.result_string),
            "extension_fields" | "extensionFields" => fields.value(4, &mut self.extension_fields),
            _ => fields.skip(),
        }
    }
}

impl write::Object for pb::DownstreamChunkResult {
    fn write<S: SerializeMap>(&self, members: &mut Members<S>) -> Result<(), S::Error> {
        members.value("stream_id_of_upstream", &self.stream_id_of_upstream)?;
        members.value("sequence_number_in_upstream", &self.sequence_number_in_upstream)?;
        members.enumeration::<pb::ResultCode>("result_code", self.result_code)?;
        members.value("result_string", &self.result_string)?;
        members.value("extension_fields", &self.extension_fields)?;
        Ok(())
    }
}

impl read::Object for pb::DownstreamChunkAckComplete {
    fn read<'de, A: MapAccess<'de>>(&mut self, fields: &mut Fields<'de, A>) -> Result<(), A::Error> {
        match fields.key() {
            "stream_id_alias" | "streamIdAlias" => fields.value(0, &mut self.stream_id_alias),
            "ack_id" | "ackId" => fields.value(1, &mut self.ack_id),
            "result_code" | "resultCode" => fields.enumeration::<pb::ResultCode>(2, &mut self.result_code),
            "result_string" | "resultString" => fields.value(3, &mut self.result_string),
            "extension_fields" | "extensionFields" => fields.value(4, &mut self.extension_fields),
            _ => fields.skip(),
        }
    }
}

impl write::Object for pb::DownstreamChunkAckComplete {
    fn write<S: SerializeMap>(&self, members: &mut Members<S>) -> Result<(), S::Error> {
        members.value("stream_id_alias", &self.stream_id_alias)?;
        members.value("ack_id", &self.ack_id)?;
        members.enumeration::<pb::ResultCode>("result_code", self.result_code)?;
        members.value("result_string", &self.result_string)?;
        members.value("extension_fields", &self.extension_fields)?;
        Ok(())
    }
}

impl read::Object for pb::extensions::UpstreamMetadataExtensionFields {
    fn read<'de, A: MapAccess<'de>>(&mut self, fields: &mut Fields<'de, A>) -> Result<(), A::Error> {
        match fields.key() {
            "persist" => fields.value(0, &mut self.persist),
            _ => fields.skip(),
        }
    }
}

impl write::Object for pb::extensions::UpstreamMetadataExtensionFields {
    fn write<S: SerializeMap>(&self, members: &mut Members<S>) -> Result<(), S::Error> {
        members.value("persist", &self.persist)?;
        Ok(())
    }
}

impl read::Object for pb::extensions::UpstreamMetadataAckExtensionFields {
    fn read<'de, A: MapAccess<'de>>(&mut self, fields: &mut Fields<'de, A>) -> Result<(), A::Error> {
        fields.skip()
    }
}

impl write::Object for pb::extensions::UpstreamMetadataAckExtensionFields {
    fn write<S: SerializeMap>(&self, _: &mut Members<S>) -> Result<(), S::Error> {
        Ok(())
    }
}

impl read::Object for pb::extensions::DownstreamMetadataExtensionFields {
    fn read<'de, A: MapAccess<'de>>(&mut self, fields: &mut Fields<'de, A>) -> Result<(), A::Error> {
        fields.skip()
    }
}

impl write::Object for pb::extensions::DownstreamMetadataExtensionFields {
    fn write<S: SerializeMap>(&self, _: &mut Members<S>) -> Result<(), S::Error> {
        Ok(())
    }
}

impl read::Object for pb::extensions::DownstreamMetadataAckExtensionFields {
    fn read<'de, A: MapAccess<'de>>(&mut self, fields: &mut Fields<'de, A>) -> Result<(), A::Error> {
        fields.skip()
    }
}

impl write::Object for pb::extensions::DownstreamMetadataAckExtensionFields {
    fn write<S: SerializeMap>(&self, _: &mut Members<S>) -> Result<(), S::Error> {
        Ok(())
    }
}

impl read::Object for pb::UpstreamMetadata {
    fn read<'de, A: MapAccess<'de>>(&mut self, fields: &mut Fields<'de, A>) -> Result<(), A::Error> {
        match fields.key() {
            "request_id" | "requestId" => fields.value(0, &mut self.request_id),
            "base_time" | "baseTime" => fields.arm(1, &mut self.metadata, "metadata", pb::upstream_metadata::Metadata::BaseTime),
            "extension_fields" | "extensionFields" => fields.value(2, &mut self.extension_fields),
            _ => fields.skip(),
        }
    }
}

impl write::Object for pb::UpstreamMetadata {
    fn write<S: SerializeMap>(&self, members: &mut Members<S>) -> Result<(), S::Error> {
        members.value("request_id", &self.request_id)?;
        match &self.metadata {
            Some(pb::upstream_metadata::Metadata::BaseTime(arm)) => members.value("base_time", arm)?,
            None => {}
        }
        members.value("extension_fields", &self.extension_fields)?;
        Ok(())
    }
}

impl read::Object for pb::UpstreamMetadataAck {
    fn read<'de, A: MapAccess<'de>>(&mut self, fields: &mut Fields<'de, A>) -> Result<(), A::Error> {
        match fields.key() {
            "request_id" | "requestId" => fields.value(0, &mut self.request_id),
            "result_code" | "resultCode" => fields.enumeration::<pb::ResultCode>(1, &mut self.result_code),
            "result_string" | "resultString" => fields.value(2, &mut self.result_string),
            "extension_fields" | "extensionFields" => fields.value(3, &mut self.extension_fields),
            _ => fields.skip(),
        }
    }
}

impl write::Object for pb::UpstreamMetadataAck {
    fn write<S: SerializeMap>(&self, members: &mut Members<S>) -> Result<(), S::Error> {
        members.value("request_id", &self.request_id)?;
        members.enumeration::<pb::ResultCode>("result_code", self.result_code)?;
        members.value("result_string", &self.result_string)?;
        members.value("extension_fields", &self.extension_fields)?;
        Ok(())
    }
}

impl read::Object for pb::DownstreamMetadata {
    fn read<'de, A: MapAccess<'de>>(&mut self, fields: &mut Fields<'de, A>) -> Result<(), A::Error> {
        match fields.key() {
            "request_id" | "requestId" => fields.value(0, &mut self.request_id),
            "stream_id_alias" | "streamIdAlias" => fields.value(1, &mut self.stream_id_alias),
            "base_time" | "baseTime" => fields.arm(2, &mut self.metadata, "metadata", pb::downstream_metadata::Metadata::BaseTime),
            "upstream_open" | "upstreamOpen" => fields.arm(3, &mut self.metadata, "metadata", pb::downstream_metadata::Metadata::UpstreamOpen),
            "upstream_abnormal_close" | "upstreamAbnormalClose" => fields.arm(4, &mut self.metadata, "metadata", pb::downstream_metadata::Metadata::UpstreamAbnormalClose),
            "upstream_resume" | "upstreamResume" => fields.arm(5, &mut self.metadata, "metadata", pb::downstream_metadata::Metadata::UpstreamResume),
            "upstream_normal_close" | "upstreamNormalClose" => fields.arm(6, &mut self.metadata, "metadata", pb::downstream_metadata::Metadata::UpstreamNormalClose),
            "downstream_open" | "downstreamOpen" => fields.arm(7, &mut self.metadata, "metadata", pb::downstream_metadata::Metadata::DownstreamOpen),
            "downstream_abnormal_close" | "downstreamAbnormalClose" => fields.arm(8, &mut self.metadata, "metadata", pb::downstream_metadata::Metadata::DownstreamAbnormalClose),
            "downstream_resume" | "downstreamResume" => fields.arm(9, &mut self.metadata, "metadata", pb::downstream_metadata::Metadata::DownstreamResume),
            "downstream_normal_close" | "downstreamNormalClose" => fields.arm(10, &mut self.metadata, "metadata", pb::downstream_metadata::Metadata::DownstreamNormalClose),
            "source_node_id" | "sourceNodeId" => fields.value(11, &mut self.source_node_id),
            "extension_fields" | "extensionFields" => fields.value(12, &mut self.extension_fields),
            _ => fields.skip(),
        }
    }
}

impl write::Object for pb::DownstreamMetadata {
    fn write<S: SerializeMap>(&self, members: &mut Members<S>) -> Result<(), S::Error> {
        members.value("request_id", &self.request_id)?;
        members.value("stream_id_alias", &self.stream_id_alias)?;
        match &self.metadata {
            Some(pb::downstream_metadata::Metadata::BaseTime(arm)) => members.value("base_time", arm)?,
            Some(pb::downstream_metadata::Metadata::UpstreamOpen(arm)) => members.value("upstream_open", arm)?,
            Some(pb::downstream_metadata::Metadata::UpstreamAbnormalClose(arm)) => members.value("upstream_abnormal_close", arm)?,
            Some(pb::downstream_metadata::Metadata::UpstreamResume(arm)) => members.value("upstream_resume", arm)?,
            Some(pb::downstream_metadata::Metadata::UpstreamNormalClose(arm)) => members.value("upstream_normal_close", arm)?,
            Some(pb::downstream_metadata::Metadata::DownstreamOpen(arm)) => members.value("downstream_open", arm)?,
            Some(pb::downstream_metadata::Metadata::DownstreamAbnormalClose(arm)) => members.value("downstream_abnormal_close", arm)?,
            Some(pb::downstream_metadata::Metadata::DownstreamResume(arm)) => members.value("downstream_resume", arm)?,
            Some(pb::downstream_metadata::Metadata::DownstreamNormalClose(arm)) => members.value("downstream_normal_close", arm)?,
            None => {}
        }
        members.value("source_node_id", &self.source_node_id)?;
        members.value("extension_fields", &self.extension_fields)?;
        Ok(())
    }
}

impl read::Object for pb::DownstreamMetadataAck {
    fn read<'de, A: MapAccess<'de>>(&mut self, fields: &mut Fields<'de, A>) -> Result<(), A::Error> {
        match fields.key() {
            "request_id" | "requestId" => fields.value(0, &mut self.request_id),
            "result_code" | "resultCode" => fields.enumeration::<pb::ResultCode>(1, &mut self.result_code),
            "result_string" | "resultString" => fields.value(2, &mut self.result_string),
            "extension_fields" | "extensionFields" => fields.value(3, &mut self.extension_fields),
            _ => fields.skip(),
        }
    }
}

impl write::Object for pb::DownstreamMetadataAck {
    fn write<S: SerializeMap>(&self, members: &mut Members<S>) -> Result<(), S::Error> {
        members.value("request_id", &self.request_id)?;
        members.enumeration::<pb::ResultCode>("result_code", self.result_code)?;
        members.value("result_string", &self.result_string)?;
        members.value("extension_fields", &self.extension_fields)?;
        Ok(())
    }
}

impl read::Object for pb::BaseTime {
    fn read<'de, A: MapAccess<'de>>(&mut self, fields: &mut Fields<'de, A>) -> Result<(), A::Error> {
        match fields.key() {
            "session_id" | "sessionId" => fields.value(0, &mut self.session_id),
            "name" => fields.value(1, &mut self.name),
            "priority" => fields.value(2, &mut self.priority),
            "elapsed_time" | "elapsedTime" => fields.value(3, &mut self.elapsed_time),
            "base_time" | "baseTime" => fields.value(4, &mut self.base_time),
            _ => fields.skip(),
        }
    }
}

impl write::Object for pb::BaseTime {
    fn write<S: SerializeMap>(&self, members: &mut Members<S>) -> Result<(), S::Error> {
        members.value("session_id", &self.session_id)?;
        members.value("name", &self.name)?;
        members.value("priority", &self.priority)?;
        members.value("elapsed_time", &self.elapsed_time)?;
        members.value("base_time", &self.base_time)?;
        Ok(())
    }
}

impl read::Object for pb::UpstreamOpen {
    fn read<'de, A: MapAccess<'de>>(&mut self, fields: &mut Fields<'de, A>) -> Result<(), A::Error> {
        match fields.key() {
            "stream_id" | "streamId" => fields.value(0, &mut self.stream_id),
            "session_id" | "sessionId" => fields.value(1, &mut self.session_id),
            "qos" => fields.enumeration::<pb::QoS>(2, &mut self.qos),
            _ => fields.skip(),
        }
    }
}

impl write::Object for pb::UpstreamOpen {
    fn write<S: SerializeMap>(&self, members: &mut Members<S>) -> Result<(), S::Error> {
        members.value("stream_id", &self.stream_id)?;
        members.value("session_id", &self.session_id)?;
        members.enumeration::<pb::QoS>("qos", self.qos)?;
        Ok(())
    }
}

impl read::Object for pb::UpstreamAbnormalClose {
    fn read<'de, A: MapAccess<'de>>(&mut self, fields: &mut Fields<'de, A>) -> Result<(), A::Error> {
        match fields.key() {
            "stream_id" | "streamId" => fields.value(0, &mut self.stream_id),
            "session_id" | "sessionId" => fields.value(1, &mut self.session_id),
            _ => fields.skip(),
        }
    }
}

impl write::Object for pb::UpstreamAbnormalClose {
    fn write<S: SerializeMap>(&self, members: &mut Members<S>) -> Result<(), S::Error> {
        members.value("stream_id", &self.stream_id)?;
        members.value("session_id", &self.session_id)?;
        Ok(())
    }
}

impl read::Object for pb::UpstreamResume {
    fn read<'de, A: MapAccess<'de>>(&mut self, fields: &mut Fields<'de, A>) -> Result<(), A::Error> {
        match fields.key() {
            "stream_id" | "streamId" => fields.value(0, &mut self.stream_id),
            "session_id" | "sessionId" => fields.value(1, &mut self.session_id),
            "qos" => fields.enumeration::<pb::QoS>(2, &mut self.qos),
            _ => fields.skip(),
        }
    }
}

impl write::Object for pb::UpstreamResume {
    fn write<S: SerializeMap>(&self, members: &mut Members<S>) -> Result<(), S::Error> {
        members.value("stream_id", &self.stream_id)?;
        members.value("session_id", &self.session_id)?;
        members.enumeration::<pb::QoS>("qos", self.qos)?;
        Ok(())
    }
}

impl read::Object for pb::UpstreamNormalClose {
    fn read<'de, A: MapAccess<'de>>(&mut self, fields: &mut Fields<'de, A>) -> Result<(), A::Error> {
        match fields.key() {
            "stream_id" | "streamId" => fields.value(0, &mut self.stream_id),
            "session_id" | "sessionId" => fields.value(1, &mut self.session_id),
            "total_data_points" | "totalDataPoints" => fields.value(2, &mut self.total_data_points),
            "final_sequence_number" | "finalSequenceNumber" => fields.value(3, &mut self.final_sequence_number),
            _ => fields.skip(),
        }
    }
}

impl write::Object for pb::UpstreamNormalClose {
    fn write<S: SerializeMap>(&self, members: &mut Members<S>) -> Result<(), S::Error> {
        members.value("stream_id", &self.stream_id)?;
        members.value("session_id", &self.session_id)?;
        members.value("total_data_points", &self.total_data_points)?;
        members.value("final_sequence_number", &self.final_sequence_number)?;
        Ok(())
    }
}

impl read::Object for pb::DownstreamOpen {
    fn read<'de, A: MapAccess<'de>>(&mut self, fields: &mut Fields<'de, A>) -> Result<(), A::Error> {
        match fields.key() {
            "stream_id" | "streamId" => fields.value(0, &mut self.stream_id),
            "downstream_filters" | "downstreamFilters" => fields.value(1, &mut self.downstream_filters),
            "qos" => fields.enumeration::<pb::QoS>(2, &mut self.qos),
            _ => fields.skip(),
        }
    }
}

impl write::Object for pb::DownstreamOpen {
    fn write<S: SerializeMap>(&self, members: &mut Members<S>) -> Result<(), S::Error> {
        members.value("stream_id", &self.stream_id)?;
        members.value("downstream_filters", &self.downstream_filters)?;
        members.enumeration::<pb::QoS>("qos", self.qos)?;
        Ok(())
    }
}

impl read::Object for pb::DownstreamAbnormalClose {
    fn read<'de, A: MapAccess<'de>>(&mut self, fields: &mut Fields<'de, A>) -> Result<(), A::Error> {
        match fields.key() {
            "stream_id" | "streamId" => fields.value(0, &mut self.stream_id),
            _ => fields.skip(),
        }
    }
}

impl write::Object for pb::DownstreamAbnormalClose {
    fn write<S: SerializeMap>(&self, members: &mut Members<S>) -> Result<(), S::Error> {
        members.value("stream_id", &self.stream_id)?;
        Ok(())
    }
}

impl read::Object for pb::DownstreamResume {
    fn read<'de, A: MapAccess<'de>>(&mut self, fields: &mut Fields<'de, A>) -> Result<(), A::Error> {
        match fields.key() {
            "stream_id" | "streamId" => fields.value(0, &mut self.stream_id),
            "downstream_filters" | "downstreamFilters" => fields.value(1, &mut self.downstream_filters),
            "qos" => fields.enumeration::<pb::QoS>(2, &mut self.qos),
            _ => fields.skip(),
        }
    }
}

impl write::Object for pb::DownstreamResume {
    fn write<S: SerializeMap>(&self, members: &mut Members<S>) -> Result<(), S::Error> {
        members.value("stream_id", &self.stream_id)?;
        members.value("downstream_filters", &self.downstream_filters)?;
        members.enumeration::<pb::QoS>("qos", self.qos)?;
        Ok(())
    }
}

impl read::Object for pb::DownstreamNormalClose {
    fn read<'de, A: MapAccess<'de>>(&mut self, fields: &mut Fields<'de, A>) -> Result<(), A::Error> {
        match fields.key() {
            "stream_id" | "streamId" => fields.value(0, &mut self.stream_id),
            _ => fields.skip(),
        }
    }
}

impl write::Object for pb::DownstreamNormalClose {
    fn write<S: SerializeMap>(&self, members: &mut Members<S>) -> Result<(), S::Error> {
        members.value("stream_id", &self.stream_id)?;
        Ok(())
    }
}

impl read::Object for pb::extensions::UpstreamOpenRequestExtensionFields {
    fn read<'de, A: MapAccess<'de>>(&mut self, fields: &mut Fields<'de, A>) -> Result<(), A::Error> {
        match fields.key() {
            "persist" => fields.value(0, &mut self.persist),
            _ => fields.skip(),
        }
    }
}

impl write::Object for pb::extensions::UpstreamOpenRequestExtensionFields {
    fn write<S: SerializeMap>(&self, members: &mut Members<S>) -> Result<(), S::Error> {
        members.value("persist", &self.persist)?;
        Ok(())
    }
}

impl read::Object for pb::extensions::UpstreamOpenResponseExtensionFields {
    fn read<'de, A: MapAccess<'de>>(&mut self, fields: &mut Fields<'de, A>) -> Result<(), A::Error> {
        fields.skip()
    }
}

impl write::Object for pb::extensions::UpstreamOpenResponseExtensionFields {
    fn write<S: SerializeMap>(&self, _: &mut Members<S>) -> Result<(), S::Error> {
        Ok(())
    }
}

impl read::Object for pb::extensions::UpstreamResumeRequestExtensionFields {
    fn read<'de, A: MapAccess<'de>>(&mut self, fields: &mut Fields<'de, A>) -> Result<(), A::Error> {
        fields.skip()
    }
}

impl write::Object for pb::extensions::UpstreamResumeRequestExtensionFields {
    fn write<S: SerializeMap>(&self, _: &mut Members<S>) -> Result<(), S::Error> {
        Ok(())
    }
}

impl read::Object for pb::extensions::UpstreamResumeResponseExtensionFields {
    fn read<'de, A: MapAccess<'de>>(&mut self, fields: &mut Fields<'de, A>) -> Result<(), A::Error> {
        fields.skip()
    }
}

impl write::Object for pb::extensions::UpstreamResumeResponseExtensionFields {
    fn write<S: SerializeMap>(&self, _: &mut Members<S>) -> Result<(), S::Error> {
        Ok(())
    }
}

impl read::Object for pb::extensions::UpstreamCloseRequestExtensionFields {
    fn read<'de, A: MapAccess<'de>>(&mut self, fields: &mut Fields<'de, A>) -> Result<(), A::Error> {
        match fields.key() {
            "close_session" | "closeSession" => fields.value(0, &mut self.close_session),
            _ => fields.skip(),
        }
    }
}

impl write::Object for pb::extensions::UpstreamCloseRequestExtensionFields {
    fn write<S: SerializeMap>(&self, members: &mut Members<S>) -> Result<(), S::Error> {
        members.value("close_session", &self.close_session)?;
        Ok(())
    }
}

impl read::Object for pb::extensions::UpstreamCloseResponseExtensionFields {
    fn read<'de, A: MapAccess<'de>>(&mut self, fields: &mut Fields<'de, A>) -> Result<(), A::Error> {
        fields.skip()
    }
}

impl write::Object for pb::extensions::UpstreamCloseResponseExtensionFields {
    fn write<S: SerializeMap>(&self, _: &mut Members<S>) -> Result<(), S::Error> {
        Ok(())
    }
}

impl read::Object for pb::extensions::UpstreamChunkExtensionFields {
    fn read<'de, A: MapAccess<'de>>(&mut self, fields: &mut Fields<'de, A>) -> Result<(), A::Error> {
        fields.skip()
    }
}

impl write::Object for pb::extensions::UpstreamChunkExtensionFields {
    fn write<S: SerializeMap>(&self, _: &mut Members<S>) -> Result<(), S::Error> {
        Ok(())
    }
}

impl read::Object for pb::extensions::UpstreamChunkAckExtensionFields {
    fn read<'de, A: MapAccess<'de>>(&mut self, fields: &mut Fields<'de, A>) -> Result<(), A::Error> {
        fields.skip()
    }
}

impl write::Object for pb::extensions::UpstreamChunkAckExtensionFields {
    fn write<S: SerializeMap>(&self, _: &mut Members<S>) -> Result<(), S::Error> {
        Ok(())
    }
}

impl read::Object for pb::extensions::UpstreamChunkResultExtensionFields {
    fn read<'de, A: MapAccess<'de>>(&mut self, fields: &mut Fields<'de, A>) -> Result<(), A::Error> {
        fields.skip()
    }
}

impl write::Object for pb::extensions::UpstreamChunkResultExtensionFields {
    fn write<S: SerializeMap>(&self, _: &mut Members<S>) -> Result<(), S::Error> {
        Ok(())
    }
}

impl read::Object for pb::UpstreamOpenRequest {
    fn read<'de, A: MapAccess<'de>>(&mut self, fields: &mut Fields<'de, A>) -> Result<(), A::Error> {
        match fields.key() {
            "request_id" | "requestId" => fields.value(0, &mut self.request_id),
            "session_id" | "sessionId" => fields.value(1, &mut self.session_id),
            "ack_interval" | "ackInterval" => fields.value(2, &mut self.ack_interval),
            "expiry_interval" | "expiryInterval" => fields.value(3, &mut self.expiry_interval),
            "data_ids" | "dataIds" => fields.value(4, &mut self.data_ids),
            "qos" => fields.enumeration::<pb::QoS>(5, &mut self.qos),
            "extension_fields" | "extensionFields" => fields.value(6, &mut self.extension_fields),
            _ => fields.skip(),
        }
    }
}

impl write::Object for pb::UpstreamOpenRequest {
    fn write<S: SerializeMap>(&self, members: &mut Members<S>) -> Result<(), S::Error> {
        members.value("request_id", &self.request_id)?;
        members.value("session_id", &self.session_id)?;
        members.value("ack_interval", &self.ack_interval)?;
        members.value("expiry_interval", &self.expiry_interval)?;
        members.value("data_ids", &self.data_ids)?;
        members.enumeration::<pb::QoS>("qos", self.qos)?;
        members.value("extension_fields", &self.extension_fields)?;
        Ok(())
    }
}

impl read::Object for pb::UpstreamOpenResponse {
    fn read<'de, A: MapAccess<'de>>(&mut self, fields: &mut Fields<'de, A>) -> Result<(), A::Error> {
        match fields.key() {
            "request_id" | "requestId" => fields.value(0, &mut self.request_id),
            "assigned_stream_id" | "assignedStreamId" => fields.value(1, &mut self.assigned_stream_id),
            "assigned_stream_id_alias" | "assignedStreamIdAlias" => fields.value(2, &mut self.assigned_stream_id_alias),
            "data_id_aliases" | "dataIdAliases" => fields.map(3, &mut self.data_id_aliases),
            "server_time" | "serverTime" => fields.value(4, &mut self.server_time),
            "result_code" | "resultCode" => fields.enumeration::<pb::ResultCode>(5, &mut self.result_code),
            "result_string" | "resultString" => fields.value(6, &mut self.result_string),
            "extension_fields" | "extensionFields" => fields.value(7, &mut self.extension_fields),
            "resume_token" | "resumeToken" => fields.value(8, &mut self.resume_token),
            _ => fields.skip(),
        }
    }
}

impl write::Object for pb::UpstreamOpenResponse {
    fn write<S: SerializeMap>(&self, members: &mut Members<S>) -> Result<(), S::Error> {
        members.value("request_id", &self.request_id)?;
        members.value("assigned_stream_id", &self.assigned_stream_id)?;
        members.value("assigned_stream_id_alias", &self.assigned_stream_id_alias)?;
        members.map("data_id_aliases", &self.data_id_aliases)?;
        members.value("server_time", &self.server_time)?;
        members.enumeration::<pb::ResultCode>("result_code", self.result_code)?;
        members.value("result_string", &self.result_string)?;
        members.value("extension_fields", &self.extension_fields)?;
        if members.schema() >= Schema::V3 {
            members.value("resume_token", &self.resume_token)?;
        }
        Ok(())
    }
}

impl read::Object for pb::UpstreamResumeRequest {
    fn read<'de, A: MapAccess<'de>>(&mut self, fields: &mut Fields<'de, A>) -> Result<(), A::Error> {
        match fields.key() {
            "request_id" | "requestId" => fields.value(0, &mut self.request_id),
            "stream_id" | "streamId" => fields.value(1, &mut self.stream_id),
            "extension_fields" | "extensionFields" => fields.value(2, &mut self.extension_fields),
            "resume_token" | "resumeToken" => fields.value(3, &mut self.resume_token),
            _ => fields.skip(),
        }
    }
}

impl write::Object for pb::UpstreamResumeRequest {
    fn write<S: SerializeMap>(&self, members: &mut Members<S>) -> Result<(), S::Error> {
        members.value("request_id", &self.request_id)?;
        members.value("stream_id", &self.stream_id)?;
        members.value("extension_fields", &self.extension_fields)?;
        if members.schema() >= Schema::V3 {
            members.value("resume_token", &self.resume_token)?;
        }
        Ok(())
    }
}

impl read::Object for pb::UpstreamResumeResponse {
    fn read<'de, A: MapAccess<'de>>(&mut self, fields: &mut Fields<'de, A>) -> Result<(), A::Error> {
        match fields.key() {
            "request_id" | "requestId" => fields.value(0, &mut self.request_id),
            "assigned_stream_id_alias" | "assignedStreamIdAlias" => fields.value(1, &mut self.assigned_stream_id_alias),
            "result_code" | "resultCode" => fields.enumeration::<pb::ResultCode>(2, &mut self.result_code),
            "result_string" | "resultString" => fields.value(3, &mut self.result_string),
            "extension_fields" | "extensionFields" => fields.value(4, &mut self.extension_fields),
            "resume_token" | "resumeToken" => fields.value(5, &mut self.resume_token),
            _ => fields.skip(),
        }
    }
}

impl write::Object for pb::UpstreamResumeResponse {
    fn write<S: SerializeMap>(&self, members: &mut Members<S>) -> Result<(), S::Error> {
        members.value("request_id", &self.request_id)?;
        members.value("assigned_stream_id_alias", &self.assigned_stream_id_alias)?;
        members.enumeration::<pb::ResultCode>("result_code", self.result_code)?;
        members.value("result_string", &self.result_string)?;
        members.value("extension_fields", &self.extension_fields)?;
        if members.schema() >= Schema::V3 {
            members.value("resume_token", &self.resume_token)?;
        }
        Ok(())
    }
}

impl read::Object for pb::UpstreamCloseRequest {
    fn read<'de, A: MapAccess<'de>>(&mut self, fields: &mut Fields<'de, A>) -> Result<(), A::Error> {
        match fields.key() {
            "request_id" | "requestId" => fields.value(0, &mut self.request_id),
            "stream_id" | "streamId" => fields.value(1, &mut self.stream_id),
            "total_data_points" | "totalDataPoints" => fields.value(2, &mut self.total_data_points),
            "final_sequence_number" | "finalSequenceNumber" => fields.value(3, &mut self.final_sequence_number),
            "extension_fields" | "extensionFields" => fields.value(4, &mut self.extension_fields),
            _ => fields.skip(),
        }
    }
}

impl write::Object for pb::UpstreamCloseRequest {
    fn write<S: SerializeMap>(&self, members: &mut Members<S>) -> Result<(), S::Error> {
        members.value("request_id", &self.request_id)?;
        members.value("stream_id", &self.stream_id)?;
        members.value("total_data_points", &self.total_data_points)?;
        members.value("final_sequence_number", &self.final_sequence_number)?;
        members.value("extension_fields", &self.extension_fields)?;
        Ok(())
    }
}

impl read::Object for pb::UpstreamCloseResponse {
    fn read<'de, A: MapAccess<'de>>(&mut self, fields: &mut Fields<'de, A>) -> Result<(), A::Error> {
        match fields.key() {
            "request_id" | "requestId" => fields.value(0, &mut self.request_id),
            "result_code" | "resultCode" => fields.enumeration::<pb::ResultCode>(1, &mut self.result_code),
            "result_string" | "resultString" => fields.value(2, &mut self.result_string),
            "extension_fields" | "extensionFields" => fields.value(3, &mut self.extension_fields),
            _ => fields.skip(),
        }
    }
}

impl write::Object for pb::UpstreamCloseResponse {
    fn write<S: SerializeMap>(&self, members: &mut Members<S>) -> Result<(), S::Error> {
        members.value("request_id", &self.request_id)?;
        members.enumeration::<pb::ResultCode>("result_code", self.result_code)?;
        members.value("result_string", &self.result_string)?;
        members.value("extension_fields", &self.extension_fields)?;
        Ok(())
    }
}

impl read::Object for pb::UpstreamChunk {
    fn read<'de, A: MapAccess<'de>>(&mut self, fields: &mut Fields<'de, A>) -> Result<(), A::Error> {
        match fields.key() {
            "stream_id_alias" | "streamIdAlias" => fields.value(0, &mut self.stream_id_alias),
            "stream_chunk" | "streamChunk" => fields.value(1, &mut self.stream_chunk),
            "data_ids" | "dataIds" => fields.value(2, &mut self.data_ids),
            "extension_fields" | "extensionFields" => fields.value(3, &mut self.extension_fields),
            _ => fields.skip(),
        }
    }
}

impl write::Object for pb::UpstreamChunk {
    fn write<S: SerializeMap>(&self, members: &mut Members<S>) -> Result<(), S::Error> {
        members.value("stream_id_alias", &self.stream_id_alias)?;
        members.value("stream_chunk", &self.stream_chunk)?;
        members.value("data_ids", &self.data_ids)?;
        members.value("extension_fields", &self.extension_fields)?;
        Ok(())
    }
}

impl read::Object for pb::UpstreamChunkAck {
    fn read<'de, A: MapAccess<'de>>(&mut self, fields: &mut Fields<'de, A>) -> Result<(), A::Error> {
        match fields.key() {
            "stream_id_alias" | "streamIdAlias" => fields.value(0, &mut self.stream_id_alias),
            "results" => fields.value(1, &mut self.results),
            "data_id_aliases" | "dataIdAliases" => fields.map(2, &mut self.data_id_aliases),
            "extension_fields" | "extensionFields" => fields.value(3, &mut self.extension_fields),
            _ => fields.skip(),
        }
    }
}

impl write::Object for pb::UpstreamChunkAck {
    fn write<S: SerializeMap>(&self, members: &mut Members<S>) -> Result<(), S::Error> {
        members.value("stream_id_alias", &self.stream_id_alias)?;
        members.value("results", &self.results)?;
        members.map("data_id_aliases", &self.data_id_aliases)?;
        members.value("extension_fields", &self.extension_fields)?;
        Ok(())
    }
}

impl read::Object for pb::UpstreamChunkResult {
    fn read<'de, A: MapAccess<'de>>(&mut self, fields: &mut Fields<'de, A>) -> Result<(), A::Error> {
        match fields.key() {
            "sequence_number" | "sequenceNumber" => fields.value(0, &mut self.sequence_number),
            "result_code" | "resultCode" => fields.enumeration::<pb::ResultCode>(1, &mut self.result_code),
            "result_string" | "resultString" => fields.value(2, &mut self.result_string),
            "extension_fields" | "extensionFields" => fields.value(3, &mut self.extension_fields),
            _ => fields.skip(),
        }
    }
}

impl write::Object for pb::UpstreamChunkResult {
    fn write<S: SerializeMap>(&self, members: &mut Members<S>) -> Result<(), S::Error> {
        members.value("sequence_number", &self.sequence_number)?;
        members.enumeration::<pb::ResultCode>("result_code", self.result_code)?;
        members.value("result_string", &self.result_string)?;
        members.value("extension_fields", &self.extension_fields)?;
        Ok(())
    }
}

impl read::Object for pb::Message {
    fn read<'de, A: MapAccess<'de>>(&mut self, fields: &mut Fields<'de, A>) -> Result<(), A::Error> {
        match fields.key() {
            "connect_request" | "connectRequest" => fields.arm(0, &mut self.message, "message", pb::message::Message::ConnectRequest),
            "connect_response" | "connectResponse" => fields.arm(1, &mut self.message, "message", pb::message::Message::ConnectResponse),
            "disconnect" => fields.arm(2, &mut self.message, "message", pb::message::Message::Disconnect),
            "upstream_open_request" | "upstreamOpenRequest" => fields.arm(3, &mut self.message, "message", pb::message::Message::UpstreamOpenRequest),
            "upstream_open_response" | "upstreamOpenResponse" => fields.arm(4, &mut self.message, "message", pb::message::Message::UpstreamOpenResponse),
            "upstream_resume_request" | "upstreamResumeRequest" => fields.arm(5, &mut self.message, "message", pb::message::Message::UpstreamResumeRequest),
            "upstream_resume_response" | "upstreamResumeResponse" => fields.arm(6, &mut self.message, "message", pb::message::Message::UpstreamResumeResponse),
            "upstream_close_request" | "upstreamCloseRequest" => fields.arm(7, &mut self.message, "message", pb::message::Message::UpstreamCloseRequest),
            "upstream_close_response" | "upstreamCloseResponse" => fields.arm(8, &mut self.message, "message", pb::message::Message::UpstreamCloseResponse),
            "upstream_chunk" | "upstreamChunk" => fields.arm(9, &mut self.message, "message", pb::message::Message::UpstreamChunk),
            "upstream_chunk_ack" | "upstreamChunkAck" => fields.arm(10, &mut self.message, "message", pb::message::Message::UpstreamChunkAck),
            "upstream_metadata" | "upstreamMetadata" => fields.arm(11, &mut self.message, "message", pb::message::Message::UpstreamMetadata),
            "upstream_metadata_ack" | "upstreamMetadataAck" => fields.arm(12, &mut self.message, "message", pb::message::Message::UpstreamMetadataAck),
            "downstream_open_request" | "downstreamOpenRequest" => fields.arm(13, &mut self.message, "message", pb::message::Message::DownstreamOpenRequest),
            "downstream_open_response" | "downstreamOpenResponse" => fields.arm(14, &mut self.message, "message", pb::message::Message::DownstreamOpenResponse),
            "downstream_resume_request" | "downstreamResumeRequest" => fields.arm(15, &mut self.message, "message", pb::message::Message::DownstreamResumeRequest),
            "downstream_resume_response" | "downstreamResumeResponse" => fields.arm(16, &mut self.message, "message", pb::message::Message::DownstreamResumeResponse),
            "downstream_close_request" | "downstreamCloseRequest" => fields.arm(17, &mut self.message, "message", pb::message::Message::DownstreamCloseRequest),
            "downstream_close_response" | "downstreamCloseResponse" => fields.arm(18, &mut self.message, "message", pb::message::Message::DownstreamCloseResponse),
            "downstream_chunk" | "downstreamChunk" => fields.arm(19, &mut self.message, "message", pb::message::Message::DownstreamChunk),
            "downstream_chunk_ack" | "downstreamChunkAck" => fields.arm(20, &mut self.message, "message", pb::message::Message::DownstreamChunkAck),
            "downstream_chunk_ack_complete" | "downstreamChunkAckComplete" => fields.arm(21, &mut self.message, "message", pb::message::Message::DownstreamChunkAckComplete),
            "downstream_metadata" | "downstreamMetadata" => fields.arm(22, &mut self.message, "message", pb::message::Message::DownstreamMetadata),
            "downstream_metadata_ack" | "downstreamMetadataAck" => fields.arm(23, &mut self.message, "message", pb::message::Message::DownstreamMetadataAck),
            "ping" => fields.arm(24, &mut self.message, "message", pb::message::Message::Ping),
            "pong" => fields.arm(25, &mut self.message, "message", pb::message::Message::Pong),
            "upstream_call" | "upstreamCall" => fields.arm(26, &mut self.message, "message", pb::message::Message::UpstreamCall),
            "upstream_call_ack" | "upstreamCallAck" => fields.arm(27, &mut self.message, "message", pb::message::Message::UpstreamCallAck),
            "downstream_call" | "downstreamCall" => fields.arm(28, &mut self.message, "message", pb::message::Message::DownstreamCall),
            _ => fields.skip(),
        }
    }
}

impl write::Object for pb::Message {
    fn write<S: SerializeMap>(&self, members: &mut Members<S>) -> Result<(), S::Error> {
        match &self.message {
            Some(pb::message::Message::ConnectRequest(arm)) => members.value("connect_request", arm)?,
            Some(pb::message::Message::ConnectResponse(arm)) => members.value("connect_response", arm)?,
            Some(pb::message::Message::Disconnect(arm)) => members.value("disconnect", arm)?,
            Some(pb::message::Message::UpstreamOpenRequest(arm)) => members.value("upstream_open_request", arm)?,
            Some(pb::message::Message::UpstreamOpenResponse(arm)) => members.value("upstream_open_response", arm)?,
            Some(pb::message::Message::UpstreamResumeRequest(arm)) => members.value("upstream_resume_request", arm)?,
            Some(pb::message::Message::UpstreamResumeResponse(arm)) => members.value("upstream_resume_response", arm)?,
            Some(pb::message::Message::UpstreamCloseRequest(arm)) => members.value("upstream_close_request", arm)?,
            Some(pb::message::Message::UpstreamCloseResponse(arm)) => members.value("upstream_close_response", arm)?,
            Some(pb::message::Message::UpstreamChunk(arm)) => members.value("upstream_chunk", arm)?,
            Some(pb::message::Message::UpstreamChunkAck(arm)) => members.value("upstream_chunk_ack", arm)?,
            Some(pb::message::Message::UpstreamMetadata(arm)) => members.value("upstream_metadata", arm)?,
            Some(pb::message::Message::UpstreamMetadataAck(arm)) => members.value("upstream_metadata_ack", arm)?,
            Some(pb::message::Message::DownstreamOpenRequest(arm)) => members.value("downstream_open_request", arm)?,
            Some(pb::message::Message::DownstreamOpenResponse(arm)) => members.value("downstream_open_response", arm)?,
            Some(pb::message::Message::DownstreamResumeRequest(arm)) => members.value("downstream_resume_request", arm)?,
            Some(pb::message::Message::DownstreamResumeResponse(arm)) => members.value("downstream_resume_response", arm)?,
            Some(pb::message::Message::DownstreamCloseRequest(arm)) => members.value("downstream_close_request", arm)?,
            Some(pb::message::Message::DownstreamCloseResponse(arm)) => members.value("downstream_close_response", arm)?,
            Some(pb::message::Message::DownstreamChunk(arm)) => members.value("downstream_chunk", arm)?,
            Some(pb::message::Message::DownstreamChunkAck(arm)) => members.value("downstream_chunk_ack", arm)?,
            Some(pb::message::Message::DownstreamChunkAckComplete(arm)) => members.value("downstream_chunk_ack_complete", arm)?,
            Some(pb::message::Message::DownstreamMetadata(arm)) => members.value("downstream_metadata", arm)?,
            Some(pb::message::Message::DownstreamMetadataAck(arm)) => members.value("downstream_metadata_ack", arm)?,
            Some(pb::message::Message::Ping(arm)) => members.value("ping", arm)?,
            Some(pb::message::Message::Pong(arm)) => members.value("pong", arm)?,
            Some(pb::message::Message::UpstreamCall(arm)) => members.value("upstream_call", arm)?,
            Some(pb::message::Message::UpstreamCallAck(arm)) => members.value("upstream_call_ack", arm)?,
            Some(pb::message::Message::DownstreamCall(arm)) => members.value("downstream_call", arm)?,
            None => {}
        }
        Ok(())
    }
}
