//! The JSON mapping. Written by `cargo run -p iscp-proto-codegen` from `proto/`: do not edit.

use super::read::{self, Field, Place, Value};
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
    fn field(&mut self, key: &str) -> Option<Field<'_>> {
        Some(match key {
            "name" => read::value(0, &mut self.name),
            "type" => read::value(1, &mut self.r#type),
            _ => return None,
        })
    }
}

impl write::Object for pb::DataId {
    fn write(&self, members: &mut Members<'_>) {
        members.value("name", &self.name);
        members.value("type", &self.r#type);
    }
}

impl read::Object for pb::DataFilter {
    fn field(&mut self, key: &str) -> Option<Field<'_>> {
        Some(match key {
            "name" => read::value(0, &mut self.name),
            "type" => read::value(1, &mut self.r#type),
            _ => return None,
        })
    }
}

impl write::Object for pb::DataFilter {
    fn write(&self, members: &mut Members<'_>) {
        members.value("name", &self.name);
        members.value("type", &self.r#type);
    }
}

impl read::Object for pb::DownstreamFilter {
    fn field(&mut self, key: &str) -> Option<Field<'_>> {
        Some(match key {
            "source_node_id" | "sourceNodeId" => read::value(0, &mut self.source_node_id),
            "data_filters" | "dataFilters" => read::value(1, &mut self.data_filters),
            _ => return None,
        })
    }
}

impl write::Object for pb::DownstreamFilter {
    fn write(&self, members: &mut Members<'_>) {
        members.value("source_node_id", &self.source_node_id);
        members.value("data_filters", &self.data_filters);
    }
}

impl read::Object for pb::DataPoint {
    fn field(&mut self, key: &str) -> Option<Field<'_>> {
        Some(match key {
            "elapsed_time" | "elapsedTime" => read::value(0, &mut self.elapsed_time),
            "payload" => read::value(1, &mut self.payload),
            _ => return None,
        })
    }
}

impl write::Object for pb::DataPoint {
    fn write(&self, members: &mut Members<'_>) {
        members.value("elapsed_time", &self.elapsed_time);
        members.value("payload", &self.payload);
    }
}

impl read::Object for pb::DataPointGroup {
    fn field(&mut self, key: &str) -> Option<Field<'_>> {
        Some(match key {
            "data_id" | "dataId" => read::arm(0, &mut self.data_id_or_alias, "data_id_or_alias", || pb::data_point_group::DataIdOrAlias::DataId(Default::default())),
            "data_id_alias" | "dataIdAlias" => read::arm(1, &mut self.data_id_or_alias, "data_id_or_alias", || pb::data_point_group::DataIdOrAlias::DataIdAlias(Default::default())),
            "data_points" | "dataPoints" => read::value(2, &mut self.data_points),
            "data_filter_ids" | "dataFilterIds" => read::value(3, &mut self.data_filter_ids),
            _ => return None,
        })
    }
}

impl write::Object for pb::DataPointGroup {
    fn write(&self, members: &mut Members<'_>) {
        match &self.data_id_or_alias {
            Some(pb::data_point_group::DataIdOrAlias::DataId(arm)) => members.value("data_id", arm),
            Some(pb::data_point_group::DataIdOrAlias::DataIdAlias(arm)) => members.value("data_id_alias", arm),
            None => {}
        }
        members.value("data_points", &self.data_points);
        if members.schema() >= Schema::V3 {
            members.value("data_filter_ids", &self.data_filter_ids);
        }
    }
}

impl Value for pb::data_point_group::DataIdOrAlias {
    fn place(&mut self) -> Place<'_> {
        match self {
            pb::data_point_group::DataIdOrAlias::DataId(arm) => arm.place(),
            pb::data_point_group::DataIdOrAlias::DataIdAlias(arm) => arm.place(),
        }
    }
}

impl read::Object for pb::StreamChunk {
    fn field(&mut self, key: &str) -> Option<Field<'_>> {
        Some(match key {
            "sequence_number" | "sequenceNumber" => read::value(0, &mut self.sequence_number),
            "data_point_groups" | "dataPointGroups" => read::value(1, &mut self.data_point_groups),
            _ => return None,
        })
    }
}

impl write::Object for pb::StreamChunk {
    fn write(&self, members: &mut Members<'_>) {
        members.value("sequence_number", &self.sequence_number);
        members.value("data_point_groups", &self.data_point_groups);
    }
}

impl read::Object for pb::DownstreamFilterReference {
    fn field(&mut self, key: &str) -> Option<Field<'_>> {
        Some(match key {
            "downstream_filter_index" | "downstreamFilterIndex" => read::value(0, &mut self.downstream_filter_index),
            "data_filter_index" | "dataFilterIndex" => read::value(1, &mut self.data_filter_index),
            _ => return None,
        })
    }
}

impl write::Object for pb::DownstreamFilterReference {
    fn write(&self, members: &mut Members<'_>) {
        members.value("downstream_filter_index", &self.downstream_filter_index);
        members.value("data_filter_index", &self.data_filter_index);
    }
}

impl read::Object for pb::DownstreamFilterReferences {
    fn field(&mut self, key: &str) -> Option<Field<'_>> {
        Some(match key {
            "references" => read::value(0, &mut self.references),
            _ => return None,
        })
    }
}

impl write::Object for pb::DownstreamFilterReferences {
    fn write(&self, members: &mut Members<'_>) {
        members.value("references", &self.references);
    }
}

impl read::Object for pb::UpstreamInfo {
    fn field(&mut self, key: &str) -> Option<Field<'_>> {
        Some(match key {
            "session_id" | "sessionId" => read::value(0, &mut self.session_id),
            "stream_id" | "streamId" => read::value(1, &mut self.stream_id),
            "source_node_id" | "sourceNodeId" => read::value(2, &mut self.source_node_id),
            _ => return None,
        })
    }
}

impl write::Object for pb::UpstreamInfo {
    fn write(&self, members: &mut Members<'_>) {
        members.value("session_id", &self.session_id);
        members.value("stream_id", &self.stream_id);
        members.value("source_node_id", &self.source_node_id);
    }
}

impl read::Object for pb::extensions::UpstreamCallExtensionFields {
    fn field(&mut self, _: &str) -> Option<Field<'_>> {
        None
    }
}

impl write::Object for pb::extensions::UpstreamCallExtensionFields {
    fn write(&self, _: &mut Members<'_>) {
    }
}

impl read::Object for pb::extensions::UpstreamCallAckExtensionFields {
    fn field(&mut self, _: &str) -> Option<Field<'_>> {
        None
    }
}

impl write::Object for pb::extensions::UpstreamCallAckExtensionFields {
    fn write(&self, _: &mut Members<'_>) {
    }
}

impl read::Object for pb::extensions::DownstreamCallExtensionFields {
    fn field(&mut self, _: &str) -> Option<Field<'_>> {
        None
    }
}

impl write::Object for pb::extensions::DownstreamCallExtensionFields {
    fn write(&self, _: &mut Members<'_>) {
    }
}

impl read::Object for pb::UpstreamCall {
    fn field(&mut self, key: &str) -> Option<Field<'_>> {
        Some(match key {
            "call_id" | "callId" => read::value(0, &mut self.call_id),
            "request_call_id" | "requestCallId" => read::value(1, &mut self.request_call_id),
            "destination_node_id" | "destinationNodeId" => read::value(2, &mut self.destination_node_id),
            "name" => read::value(3, &mut self.name),
            "type" => read::value(4, &mut self.r#type),
            "payload" => read::value(5, &mut self.payload),
            "extension_fields" | "extensionFields" => read::value(6, &mut self.extension_fields),
            _ => return None,
        })
    }
}

impl write::Object for pb::UpstreamCall {
    fn write(&self, members: &mut Members<'_>) {
        members.value("call_id", &self.call_id);
        members.value("request_call_id", &self.request_call_id);
        members.value("destination_node_id", &self.destination_node_id);
        members.value("name", &self.name);
        members.value("type", &self.r#type);
        members.value("payload", &self.payload);
        members.value("extension_fields", &self.extension_fields);
    }
}

impl read::Object for pb::UpstreamCallAck {
    fn field(&mut self, key: &str) -> Option<Field<'_>> {
        Some(match key {
            "call_id" | "callId" => read::value(0, &mut self.call_id),
            "result_code" | "resultCode" => read::enumeration::<pb::ResultCode>(1, &mut self.result_code),
            "result_string" | "resultString" => read::value(2, &mut self.result_string),
            "extension_fields" | "extensionFields" => read::value(3, &mut self.extension_fields),
            _ => return None,
        })
    }
}

impl write::Object for pb::UpstreamCallAck {
    fn write(&self, members: &mut Members<'_>) {
        members.value("call_id", &self.call_id);
        members.enumeration::<pb::ResultCode>("result_code", self.result_code);
        members.value("result_string", &self.result_string);
        members.value("extension_fields", &self.extension_fields);
    }
}

impl read::Object for pb::DownstreamCall {
    fn field(&mut self, key: &str) -> Option<Field<'_>> {
        Some(match key {
            "call_id" | "callId" => read::value(0, &mut self.call_id),
            "request_call_id" | "requestCallId" => read::value(1, &mut self.request_call_id),
            "source_node_id" | "sourceNodeId" => read::value(2, &mut self.source_node_id),
            "name" => read::value(3, &mut self.name),
            "type" => read::value(4, &mut self.r#type),
            "payload" => read::value(5, &mut self.payload),
            "extension_fields" | "extensionFields" => read::value(6, &mut self.extension_fields),
            _ => return None,
        })
    }
}

impl write::Object for pb::DownstreamCall {
    fn write(&self, members: &mut Members<'_>) {
        members.value("call_id", &self.call_id);
        members.value("request_call_id", &self.request_call_id);
        members.value("source_node_id", &self.source_node_id);
        members.value("name", &self.name);
        members.value("type", &self.r#type);
        members.value("payload", &self.payload);
        members.value("extension_fields", &self.extension_fields);
    }
}

impl read::Object for pb::extensions::ConnectRequestExtensionFields {
    fn field(&mut self, key: &str) -> Option<Field<'_>> {
        Some(match key {
            "access_token" | "accessToken" => read::value(0, &mut self.access_token),
            "intdash" => read::value(1, &mut self.intdash),
            _ => return None,
        })
    }
}

impl write::Object for pb::extensions::ConnectRequestExtensionFields {
    fn write(&self, members: &mut Members<'_>) {
        members.value("access_token", &self.access_token);
        members.value("intdash", &self.intdash);
    }
}

impl read::Object for pb::extensions::IntdashExtensionFields {
    fn field(&mut self, key: &str) -> Option<Field<'_>> {
        Some(match key {
            "project_uuid" | "projectUuid" => read::value(0, &mut self.project_uuid),
            _ => return None,
        })
    }
}

impl write::Object for pb::extensions::IntdashExtensionFields {
    fn write(&self, members: &mut Members<'_>) {
        members.value("project_uuid", &self.project_uuid);
    }
}

impl read::Object for pb::extensions::ConnectResponseExtensionFields {
    fn field(&mut self, _: &str) -> Option<Field<'_>> {
        None
    }
}

impl write::Object for pb::extensions::ConnectResponseExtensionFields {
    fn write(&self, _: &mut Members<'_>) {
    }
}

impl read::Object for pb::extensions::DisconnectExtensionFields {
    fn field(&mut self, _: &str) -> Option<Field<'_>> {
        None
    }
}

impl write::Object for pb::extensions::DisconnectExtensionFields {
    fn write(&self, _: &mut Members<'_>) {
    }
}

impl read::Object for pb::extensions::PingExtensionFields {
    fn field(&mut self, _: &str) -> Option<Field<'_>> {
        None
    }
}

impl write::Object for pb::extensions::PingExtensionFields {
    fn write(&self, _: &mut Members<'_>) {
    }
}

impl read::Object for pb::extensions::PongExtensionFields {
    fn field(&mut self, _: &str) -> Option<Field<'_>> {
        None
    }
}

impl write::Object for pb::extensions::PongExtensionFields {
    fn write(&self, _: &mut Members<'_>) {
    }
}

impl read::Object for pb::ConnectRequest {
    fn field(&mut self, key: &str) -> Option<Field<'_>> {
        Some(match key {
            "request_id" | "requestId" => read::value(0, &mut self.request_id),
            "protocol_version" | "protocolVersion" => read::value(1, &mut self.protocol_version),
            "node_id" | "nodeId" => read::value(2, &mut self.node_id),
            "ping_interval" | "pingInterval" => read::value(3, &mut self.ping_interval),
            "ping_timeout" | "pingTimeout" => read::value(4, &mut self.ping_timeout),
            "extension_fields" | "extensionFields" => read::value(5, &mut self.extension_fields),
            "connection_id" | "connectionId" => read::value(6, &mut self.connection_id),
            "connection_group_id" | "connectionGroupId" => read::value(7, &mut self.connection_group_id),
            "expiry_interval" | "expiryInterval" => read::value(8, &mut self.expiry_interval),
            _ => return None,
        })
    }
}

impl write::Object for pb::ConnectRequest {
    fn write(&self, members: &mut Members<'_>) {
        members.value("request_id", &self.request_id);
        members.value("protocol_version", &self.protocol_version);
        members.value("node_id", &self.node_id);
        members.value("ping_interval", &self.ping_interval);
        members.value("ping_timeout", &self.ping_timeout);
        members.value("extension_fields", &self.extension_fields);
        if members.schema() >= Schema::V3 {
            members.value("connection_id", &self.connection_id);
        }
        if members.schema() >= Schema::V3 {
            members.value("connection_group_id", &self.connection_group_id);
        }
        if members.schema() >= Schema::V3 {
            members.value("expiry_interval", &self.expiry_interval);
        }
    }
}

impl read::Object for pb::ConnectResponse {
    fn field(&mut self, key: &str) -> Option<Field<'_>> {
        Some(match key {
            "request_id" | "requestId" => read::value(0, &mut self.request_id),
            "protocol_version" | "protocolVersion" => read::value(1, &mut self.protocol_version),
            "result_code" | "resultCode" => read::enumeration::<pb::ResultCode>(2, &mut self.result_code),
            "result_string" | "resultString" => read::value(3, &mut self.result_string),
            "extension_fields" | "extensionFields" => read::value(4, &mut self.extension_fields),
            "connection_id" | "connectionId" => read::value(5, &mut self.connection_id),
            "connection_group_id" | "connectionGroupId" => read::value(6, &mut self.connection_group_id),
            _ => return None,
        })
    }
}

impl write::Object for pb::ConnectResponse {
    fn write(&self, members: &mut Members<'_>) {
        members.value("request_id", &self.request_id);
        members.value("protocol_version", &self.protocol_version);
        members.enumeration::<pb::ResultCode>("result_code", self.result_code);
        members.value("result_string", &self.result_string);
        members.value("extension_fields", &self.extension_fields);
        if members.schema() >= Schema::V3 {
            members.value("connection_id", &self.connection_id);
        }
        if members.schema() >= Schema::V3 {
            members.value("connection_group_id", &self.connection_group_id);
        }
    }
}

impl read::Object for pb::Disconnect {
    fn field(&mut self, key: &str) -> Option<Field<'_>> {
        Some(match key {
            "result_code" | "resultCode" => read::enumeration::<pb::ResultCode>(0, &mut self.result_code),
            "result_string" | "resultString" => read::value(1, &mut self.result_string),
            "extension_fields" | "extensionFields" => read::value(2, &mut self.extension_fields),
            _ => return None,
        })
    }
}

impl write::Object for pb::Disconnect {
    fn write(&self, members: &mut Members<'_>) {
        members.enumeration::<pb::ResultCode>("result_code", self.result_code);
        members.value("result_string", &self.result_string);
        members.value("extension_fields", &self.extension_fields);
    }
}

impl read::Object for pb::Ping {
    fn field(&mut self, key: &str) -> Option<Field<'_>> {
        Some(match key {
            "request_id" | "requestId" => read::value(0, &mut self.request_id),
            "extension_fields" | "extensionFields" => read::value(1, &mut self.extension_fields),
            _ => return None,
        })
    }
}

impl write::Object for pb::Ping {
    fn write(&self, members: &mut Members<'_>) {
        members.value("request_id", &self.request_id);
        members.value("extension_fields", &self.extension_fields);
    }
}

impl read::Object for pb::Pong {
    fn field(&mut self, key: &str) -> Option<Field<'_>> {
        Some(match key {
            "request_id" | "requestId" => read::value(0, &mut self.request_id),
            "extension_fields" | "extensionFields" => read::value(1, &mut self.extension_fields),
            _ => return None,
        })
    }
}

impl write::Object for pb::Pong {
    fn write(&self, members: &mut Members<'_>) {
        members.value("request_id", &self.request_id);
        members.value("extension_fields", &self.extension_fields);
    }
}

impl read::Object for pb::extensions::DownstreamOpenRequestExtensionFields {
    fn field(&mut self, _: &str) -> Option<Field<'_>> {
        None
    }
}

impl write::Object for pb::extensions::DownstreamOpenRequestExtensionFields {
    fn write(&self, _: &mut Members<'_>) {
    }
}

impl read::Object for pb::extensions::DownstreamOpenResponseExtensionFields {
    fn field(&mut self, _: &str) -> Option<Field<'_>> {
        None
    }
}

impl write::Object for pb::extensions::DownstreamOpenResponseExtensionFields {
    fn write(&self, _: &mut Members<'_>) {
    }
}

impl read::Object for pb::extensions::DownstreamResumeRequestExtensionFields {
    fn field(&mut self, _: &str) -> Option<Field<'_>> {
        None
    }
}

impl write::Object for pb::extensions::DownstreamResumeRequestExtensionFields {
    fn write(&self, _: &mut Members<'_>) {
    }
}

impl read::Object for pb::extensions::DownstreamResumeResponseExtensionFields {
    fn field(&mut self, _: &str) -> Option<Field<'_>> {
        None
    }
}

impl write::Object for pb::extensions::DownstreamResumeResponseExtensionFields {
    fn write(&self, _: &mut Members<'_>) {
    }
}

impl read::Object for pb::extensions::DownstreamCloseRequestExtensionFields {
    fn field(&mut self, _: &str) -> Option<Field<'_>> {
        None
    }
}

impl write::Object for pb::extensions::DownstreamCloseRequestExtensionFields {
    fn write(&self, _: &mut Members<'_>) {
    }
}

impl read::Object for pb::extensions::DownstreamCloseResponseExtensionFields {
    fn field(&mut self, _: &str) -> Option<Field<'_>> {
        None
    }
}

impl write::Object for pb::extensions::DownstreamCloseResponseExtensionFields {
    fn write(&self, _: &mut Members<'_>) {
    }
}

impl read::Object for pb::extensions::DownstreamChunkExtensionFields {
    fn field(&mut self, _: &str) -> Option<Field<'_>> {
        None
    }
}

impl write::Object for pb::extensions::DownstreamChunkExtensionFields {
    fn write(&self, _: &mut Members<'_>) {
    }
}

impl read::Object for pb::extensions::DownstreamChunkAckExtensionFields {
    fn field(&mut self, _: &str) -> Option<Field<'_>> {
        None
    }
}

impl write::Object for pb::extensions::DownstreamChunkAckExtensionFields {
    fn write(&self, _: &mut Members<'_>) {
    }
}

impl read::Object for pb::extensions::DownstreamChunkResultExtensionFields {
    fn field(&mut self, _: &str) -> Option<Field<'_>> {
        None
    }
}

impl write::Object for pb::extensions::DownstreamChunkResultExtensionFields {
    fn write(&self, _: &mut Members<'_>) {
    }
}

impl read::Object for pb::extensions::DownstreamChunkAckCompleteExtensionFields {
    fn field(&mut self, _: &str) -> Option<Field<'_>> {
        None
    }
}

impl write::Object for pb::extensions::DownstreamChunkAckCompleteExtensionFields {
    fn write(&self, _: &mut Members<'_>) {
    }
}

impl read::Object for pb::DownstreamOpenRequest {
    fn field(&mut self, key: &str) -> Option<Field<'_>> {
        Some(match key {
            "request_id" | "requestId" => read::value(0, &mut self.request_id),
            "desired_stream_id_alias" | "desiredStreamIdAlias" => read::value(1, &mut self.desired_stream_id_alias),
            "downstream_filters" | "downstreamFilters" => read::value(2, &mut self.downstream_filters),
            "expiry_interval" | "expiryInterval" => read::value(3, &mut self.expiry_interval),
            "data_id_aliases" | "dataIdAliases" => read::map(4, &mut self.data_id_aliases),
            "qos" => read::enumeration::<pb::QoS>(5, &mut self.qos),
            "extension_fields" | "extensionFields" => read::value(6, &mut self.extension_fields),
            "omit_empty_chunk" | "omitEmptyChunk" => read::value(7, &mut self.omit_empty_chunk),
            _ => return None,
        })
    }
}

impl write::Object for pb::DownstreamOpenRequest {
    fn write(&self, members: &mut Members<'_>) {
        members.value("request_id", &self.request_id);
        members.value("desired_stream_id_alias", &self.desired_stream_id_alias);
        members.value("downstream_filters", &self.downstream_filters);
        members.value("expiry_interval", &self.expiry_interval);
        members.map("data_id_aliases", &self.data_id_aliases);
        members.enumeration::<pb::QoS>("qos", self.qos);
        members.value("extension_fields", &self.extension_fields);
        members.value("omit_empty_chunk", &self.omit_empty_chunk);
    }
}

impl read::Object for pb::DownstreamOpenResponse {
    fn field(&mut self, key: &str) -> Option<Field<'_>> {
        Some(match key {
            "request_id" | "requestId" => read::value(0, &mut self.request_id),
            "assigned_stream_id" | "assignedStreamId" => read::value(1, &mut self.assigned_stream_id),
            "server_time" | "serverTime" => read::value(2, &mut self.server_time),
            "result_code" | "resultCode" => read::enumeration::<pb::ResultCode>(3, &mut self.result_code),
            "result_string" | "resultString" => read::value(4, &mut self.result_string),
            "extension_fields" | "extensionFields" => read::value(5, &mut self.extension_fields),
            "resume_token" | "resumeToken" => read::value(6, &mut self.resume_token),
            _ => return None,
        })
    }
}

impl write::Object for pb::DownstreamOpenResponse {
    fn write(&self, members: &mut Members<'_>) {
        members.value("request_id", &self.request_id);
        members.value("assigned_stream_id", &self.assigned_stream_id);
        members.value("server_time", &self.server_time);
        members.enumeration::<pb::ResultCode>("result_code", self.result_code);
        members.value("result_string", &self.result_string);
        members.value("extension_fields", &self.extension_fields);
        if members.schema() >= Schema::V3 {
            members.value("resume_token", &self.resume_token);
        }
    }
}

impl read::Object for pb::DownstreamResumeRequest {
    fn field(&mut self, key: &str) -> Option<Field<'_>> {
        Some(match key {
            "request_id" | "requestId" => read::value(0, &mut self.request_id),
            "stream_id" | "streamId" => read::value(1, &mut self.stream_id),
            "desired_stream_id_alias" | "desiredStreamIdAlias" => read::value(2, &mut self.desired_stream_id_alias),
            "extension_fields" | "extensionFields" => read::value(3, &mut self.extension_fields),
            "resume_token" | "resumeToken" => read::value(4, &mut self.resume_token),
            _ => return None,
        })
    }
}

impl write::Object for pb::DownstreamResumeRequest {
    fn write(&self, members: &mut Members<'_>) {
        members.value("request_id", &self.request_id);
        members.value("stream_id", &self.stream_id);
        members.value("desired_stream_id_alias", &self.desired_stream_id_alias);
        members.value("extension_fields", &self.extension_fields);
        if members.schema() >= Schema::V3 {
            members.value("resume_token", &self.resume_token);
        }
    }
}

impl read::Object for pb::DownstreamResumeResponse {
    fn field(&mut self, key: &str) -> Option<Field<'_>> {
        Some(match key {
            "request_id" | "requestId" => read::value(0, &mut self.request_id),
            "result_code" | "resultCode" => read::enumeration::<pb::ResultCode>(1, &mut self.result_code),
            "result_string" | "resultString" => read::value(2, &mut self.result_string),
            "extension_fields" | "extensionFields" => read::value(3, &mut self.extension_fields),
            "resume_token" | "resumeToken" => read::value(4, &mut self.resume_token),
            _ => return None,
        })
    }
}

impl write::Object for pb::DownstreamResumeResponse {
    fn write(&self, members: &mut Members<'_>) {
        members.value("request_id", &self.request_id);
        members.enumeration::<pb::ResultCode>("result_code", self.result_code);
        members.value("result_string", &self.result_string);
        members.value("extension_fields", &self.extension_fields);
        if members.schema() >= Schema::V3 {
            members.value("resume_token", &self.resume_token);
        }
    }
}

impl read::Object for pb::DownstreamCloseRequest {
    fn field(&mut self, key: &str) -> Option<Field<'_>> {
        Some(match key {
            "request_id" | "requestId" => read::value(0, &mut self.request_id),
            "stream_id" | "streamId" => read::value(1, &mut self.stream_id),
            "extension_fields" | "extensionFields" => read::value(2, &mut self.extension_fields),
            _ => return None,
        })
    }
}

impl write::Object for pb::DownstreamCloseRequest {
    fn write(&self, members: &mut Members<'_>) {
        members.value("request_id", &self.request_id);
        members.value("stream_id", &self.stream_id);
        members.value("extension_fields", &self.extension_fields);
    }
}

impl read::Object for pb::DownstreamCloseResponse {
    fn field(&mut self, key: &str) -> Option<Field<'_>> {
        Some(match key {
            "request_id" | "requestId" => read::value(0, &mut self.request_id),
            "result_code" | "resultCode" => read::enumeration::<pb::ResultCode>(1, &mut self.result_code),
            "result_string" | "resultString" => read::value(2, &mut self.result_string),
            "extension_fields" | "extensionFields" => read::value(3, &mut self.extension_fields),
            _ => return None,
        })
    }
}

impl write::Object for pb::DownstreamCloseResponse {
    fn write(&self, members: &mut Members<'_>) {
        members.value("request_id", &self.request_id);
        members.enumeration::<pb::ResultCode>("result_code", self.result_code);
        members.value("result_string", &self.result_string);
        members.value("extension_fields", &self.extension_fields);
    }
}

impl read::Object for pb::DownstreamChunk {
    fn field(&mut self, key: &str) -> Option<Field<'_>> {
        Some(match key {
            "stream_id_alias" | "streamIdAlias" => read::value(0, &mut self.stream_id_alias),
            "upstream_info" | "upstreamInfo" => read::arm(1, &mut self.upstream_or_alias, "upstream_or_alias", || pb::downstream_chunk::UpstreamOrAlias::UpstreamInfo(Default::default())),
            "upstream_alias" | "upstreamAlias" => read::arm(2, &mut self.upstream_or_alias, "upstream_or_alias", || pb::downstream_chunk::UpstreamOrAlias::UpstreamAlias(Default::default())),
            "stream_chunk" | "streamChunk" => read::value(3, &mut self.stream_chunk),
            "extension_fields" | "extensionFields" => read::value(4, &mut self.extension_fields),
            "downstream_filter_references" | "downstreamFilterReferences" => read::value(5, &mut self.downstream_filter_references),
            _ => return None,
        })
    }
}

impl write::Object for pb::DownstreamChunk {
    fn write(&self, members: &mut Members<'_>) {
        members.value("stream_id_alias", &self.stream_id_alias);
        match &self.upstream_or_alias {
            Some(pb::downstream_chunk::UpstreamOrAlias::UpstreamInfo(arm)) => members.value("upstream_info", arm),
            Some(pb::downstream_chunk::UpstreamOrAlias::UpstreamAlias(arm)) => members.value("upstream_alias", arm),
            None => {}
        }
        members.value("stream_chunk", &self.stream_chunk);
        members.value("extension_fields", &self.extension_fields);
        if members.schema() >= Schema::V3 {
            members.value("downstream_filter_references", &self.downstream_filter_references);
        }
    }
}

impl Value for pb::downstream_chunk::UpstreamOrAlias {
    fn place(&mut self) -> Place<'_> {
        match self {
            pb::downstream_chunk::UpstreamOrAlias::UpstreamInfo(arm) => arm.place(),
            pb::downstream_chunk::UpstreamOrAlias::UpstreamAlias(arm) => arm.place(),
        }
    }
}

impl read::Object for pb::DownstreamChunkAck {
    fn field(&mut self, key: &str) -> Option<Field<'_>> {
        Some(match key {
            "stream_id_alias" | "streamIdAlias" => read::value(0, &mut self.stream_id_alias),
            "ack_id" | "ackId" => read::value(1, &mut self.ack_id),
            "results" => read::value(2, &mut self.results),
            "upstream_aliases" | "upstreamAliases" => read::map(3, &mut self.upstream_aliases),
            "data_id_aliases" | "dataIdAliases" => read::map(4, &mut self.data_id_aliases),
            "extension_fields" | "extensionFields" => read::value(5, &mut self.extension_fields),
            _ => return None,
        })
    }
}

impl write::Object for pb::DownstreamChunkAck {
    fn write(&self, members: &mut Members<'_>) {
        members.value("stream_id_alias", &self.stream_id_alias);
        members.value("ack_id", &self.ack_id);
        members.value("results", &self.results);
        members.map("upstream_aliases", &self.upstream_aliases);
        members.map("data_id_aliases", &self.data_id_aliases);
        members.value("extension_fields", &self.extension_fields);
    }
}

impl read::Object for pb::DownstreamChunkResult {
    fn field(&mut self, key: &str) -> Option<Field<'_>> {
        Some(match key {
            "stream_id_of_upstream" | "streamIdOfUpstream" => read::value(0, &mut self.stream_id_of_upstream),
            "sequence_number_in_upstream" | "sequenceNumberInUpstream" => read::value(1, &mut self.sequence_number_in_upstream),
            "result_code" | "resultCode" => read::enumeration::<pb::ResultCode>(2, &mut self.result_code),
            "result_string" | "resultString" => read::value(3, &mut self.result_string),
            "extension_fields" | "extensionFields" => read::value(4, &mut self.extension_fields),
            _ => return None,
        })
    }
}

impl write::Object for pb::DownstreamChunkResult {
    fn write(&self, members: &mut Members<'_>) {
        members.value("stream_id_of_upstream", &self.stream_id_of_upstream);
        members.value("sequence_number_in_upstream", &self.sequence_number_in_upstream);
        members.enumeration::<pb::ResultCode>("result_code", self.result_code);
        members.value("result_string", &self.result_string);
        members.value("extension_fields", &self.extension_fields);
    }
}

impl read::Object for pb::DownstreamChunkAckComplete {
    fn field(&mut self, key: &str) -> Option<Field<'_>> {
        Some(match key {
            "stream_id_alias" | "streamIdAlias" => read::value(0, &mut self.stream_id_alias),
            "ack_id" | "ackId" => read::value(1, &mut self.ack_id),
            "result_code" | "resultCode" => read::enumeration::<pb::ResultCode>(2, &mut self.result_code),
            "result_string" | "resultString" => read::value(3, &mut self.result_string),
            "extension_fields" | "extensionFields" => read::value(4, &mut self.extension_fields),
            _ => return None,
        })
    }
}

impl write::Object for pb::DownstreamChunkAckComplete {
    fn write(&self, members: &mut Members<'_>) {
        members.value("stream_id_alias", &self.stream_id_alias);
        members.value("ack_id", &self.ack_id);
        members.enumeration::<pb::ResultCode>("result_code", self.result_code);
        members.value("result_string", &self.result_string);
        members.value("extension_fields", &self.extension_fields);
    }
}

impl read::Object for pb::extensions::UpstreamMetadataExtensionFields {
    fn field(&mut self, key: &str) -> Option<Field<'_>> {
        Some(match key {
            "persist" => read::value(0, &mut self.persist),
            _ => return None,
        })
    }
}

impl write::Object for pb::extensions::UpstreamMetadataExtensionFields {
    fn write(&self, members: &mut Members<'_>) {
        members.value("persist", &self.persist);
    }
}

impl read::Object for pb::extensions::UpstreamMetadataAckExtensionFields {
    fn field(&mut self, _: &str) -> Option<Field<'_>> {
        None
    }
}

impl write::Object for pb::extensions::UpstreamMetadataAckExtensionFields {
    fn write(&self, _: &mut Members<'_>) {
    }
}

impl read::Object for pb::extensions::DownstreamMetadataExtensionFields {
    fn field(&mut self, _: &str) -> Option<Field<'_>> {
        None
    }
}

impl write::Object for pb::extensions::DownstreamMetadataExtensionFields {
    fn write(&self, _: &mut Members<'_>) {
    }
}

impl read::Object for pb::extensions::DownstreamMetadataAckExtensionFields {
    fn field(&mut self, _: &str) -> Option<Field<'_>> {
        None
    }
}

impl write::Object for pb::extensions::DownstreamMetadataAckExtensionFields {
    fn write(&self, _: &mut Members<'_>) {
    }
}

impl read::Object for pb::UpstreamMetadata {
    fn field(&mut self, key: &str) -> Option<Field<'_>> {
        Some(match key {
            "request_id" | "requestId" => read::value(0, &mut self.request_id),
            "base_time" | "baseTime" => read::arm(1, &mut self.metadata, "metadata", || pb::upstream_metadata::Metadata::BaseTime(Default::default())),
            "extension_fields" | "extensionFields" => read::value(2, &mut self.extension_fields),
            _ => return None,
        })
    }
}

impl write::Object for pb::UpstreamMetadata {
    fn write(&self, members: &mut Members<'_>) {
        members.value("request_id", &self.request_id);
        match &self.metadata {
            Some(pb::upstream_metadata::Metadata::BaseTime(arm)) => members.value("base_time", arm),
            None => {}
        }
        members.value("extension_fields", &self.extension_fields);
    }
}

impl Value for pb::upstream_metadata::Metadata {
    fn place(&mut self) -> Place<'_> {
        match self {
            pb::upstream_metadata::Metadata::BaseTime(arm) => arm.place(),
        }
    }
}

impl read::Object for pb::UpstreamMetadataAck {
    fn field(&mut self, key: &str) -> Option<Field<'_>> {
        Some(match key {
            "request_id" | "requestId" => read::value(0, &mut self.request_id),
            "result_code" | "resultCode" => read::enumeration::<pb::ResultCode>(1, &mut self.result_code),
            "result_string" | "resultString" => read::value(2, &mut self.result_string),
            "extension_fields" | "extensionFields" => read::value(3, &mut self.extension_fields),
            _ => return None,
        })
    }
}

impl write::Object for pb::UpstreamMetadataAck {
    fn write(&self, members: &mut Members<'_>) {
        members.value("request_id", &self.request_id);
        members.enumeration::<pb::ResultCode>("result_code", self.result_code);
        members.value("result_string", &self.result_string);
        members.value("extension_fields", &self.extension_fields);
    }
}

impl read::Object for pb::DownstreamMetadata {
    fn field(&mut self, key: &str) -> Option<Field<'_>> {
        Some(match key {
            "request_id" | "requestId" => read::value(0, &mut self.request_id),
            "stream_id_alias" | "streamIdAlias" => read::value(1, &mut self.stream_id_alias),
            "base_time" | "baseTime" => read::arm(2, &mut self.metadata, "metadata", || pb::downstream_metadata::Metadata::BaseTime(Default::default())),
            "upstream_open" | "upstreamOpen" => read::arm(3, &mut self.metadata, "metadata", || pb::downstream_metadata::Metadata::UpstreamOpen(Default::default())),
            "upstream_abnormal_close" | "upstreamAbnormalClose" => read::arm(4, &mut self.metadata, "metadata", || pb::downstream_metadata::Metadata::UpstreamAbnormalClose(Default::default())),
            "upstream_resume" | "upstreamResume" => read::arm(5, &mut self.metadata, "metadata", || pb::downstream_metadata::Metadata::UpstreamResume(Default::default())),
            "upstream_normal_close" | "upstreamNormalClose" => read::arm(6, &mut self.metadata, "metadata", || pb::downstream_metadata::Metadata::UpstreamNormalClose(Default::default())),
            "downstream_open" | "downstreamOpen" => read::arm(7, &mut self.metadata, "metadata", || pb::downstream_metadata::Metadata::DownstreamOpen(Default::default())),
            "downstream_abnormal_close" | "downstreamAbnormalClose" => read::arm(8, &mut self.metadata, "metadata", || pb::downstream_metadata::Metadata::DownstreamAbnormalClose(Default::default())),
            "downstream_resume" | "downstreamResume" => read::arm(9, &mut self.metadata, "metadata", || pb::downstream_metadata::Metadata::DownstreamResume(Default::default())),
            "downstream_normal_close" | "downstreamNormalClose" => read::arm(10, &mut self.metadata, "metadata", || pb::downstream_metadata::Metadata::DownstreamNormalClose(Default::default())),
            "source_node_id" | "sourceNodeId" => read::value(11, &mut self.source_node_id),
            "extension_fields" | "extensionFields" => read::value(12, &mut self.extension_fields),
            _ => return None,
        })
    }
}

impl write::Object for pb::DownstreamMetadata {
    fn write(&self, members: &mut Members<'_>) {
        members.value("request_id", &self.request_id);
        members.value("stream_id_alias", &self.stream_id_alias);
        match &self.metadata {
            Some(pb::downstream_metadata::Metadata::BaseTime(arm)) => members.value("base_time", arm),
            Some(pb::downstream_metadata::Metadata::UpstreamOpen(arm)) => members.value("upstream_open", arm),
            Some(pb::downstream_metadata::Metadata::UpstreamAbnormalClose(arm)) => members.value("upstream_abnormal_close", arm),
            Some(pb::downstream_metadata::Metadata::UpstreamResume(arm)) => members.value("upstream_resume", arm),
            Some(pb::downstream_metadata::Metadata::UpstreamNormalClose(arm)) => members.value("upstream_normal_close", arm),
            Some(pb::downstream_metadata::Metadata::DownstreamOpen(arm)) => members.value("downstream_open", arm),
            Some(pb::downstream_metadata::Metadata::DownstreamAbnormalClose(arm)) => members.value("downstream_abnormal_close", arm),
            Some(pb::downstream_metadata::Metadata::DownstreamResume(arm)) => members.value("downstream_resume", arm),
            Some(pb::downstream_metadata::Metadata::DownstreamNormalClose(arm)) => members.value("downstream_normal_close", arm),
            None => {}
        }
        members.value("source_node_id", &self.source_node_id);
        members.value("extension_fields", &self.extension_fields);
    }
}

impl Value for pb::downstream_metadata::Metadata {
    fn place(&mut self) -> Place<'_> {
        match self {
            pb::downstream_metadata::Metadata::BaseTime(arm) => arm.place(),
            pb::downstream_metadata::Metadata::UpstreamOpen(arm) => arm.place(),
            pb::downstream_metadata::Metadata::UpstreamAbnormalClose(arm) => arm.place(),
            pb::downstream_metadata::Metadata::UpstreamResume(arm) => arm.place(),
            pb::downstream_metadata::Metadata::UpstreamNormalClose(arm) => arm.place(),
            pb::downstream_metadata::Metadata::DownstreamOpen(arm) => arm.place(),
            pb::downstream_metadata::Metadata::DownstreamAbnormalClose(arm) => arm.place(),
            pb::downstream_metadata::Metadata::DownstreamResume(arm) => arm.place(),
            pb::downstream_metadata::Metadata::DownstreamNormalClose(arm) => arm.place(),
        }
    }
}

impl read::Object for pb::DownstreamMetadataAck {
    fn field(&mut self, key: &str) -> Option<Field<'_>> {
        Some(match key {
            "request_id" | "requestId" => read::value(0, &mut self.request_id),
            "result_code" | "resultCode" => read::enumeration::<pb::ResultCode>(1, &mut self.result_code),
            "result_string" | "resultString" => read::value(2, &mut self.result_string),
            "extension_fields" | "extensionFields" => read::value(3, &mut self.extension_fields),
            _ => return None,
        })
    }
}

impl write::Object for pb::DownstreamMetadataAck {
    fn write(&self, members: &mut Members<'_>) {
        members.value("request_id", &self.request_id);
        members.enumeration::<pb::ResultCode>("result_code", self.result_code);
        members.value("result_string", &self.result_string);
        members.value("extension_fields", &self.extension_fields);
    }
}

impl read::Object for pb::BaseTime {
    fn field(&mut self, key: &str) -> Option<Field<'_>> {
        Some(match key {
            "session_id" | "sessionId" => read::value(0, &mut self.session_id),
            "name" => read::value(1, &mut self.name),
            "priority" => read::value(2, &mut self.priority),
            "elapsed_time" | "elapsedTime" => read::value(3, &mut self.elapsed_time),
            "base_time" | "baseTime" => read::value(4, &mut self.base_time),
            _ => return None,
        })
    }
}

impl write::Object for pb::BaseTime {
    fn write(&self, members: &mut Members<'_>) {
        members.value("session_id", &self.session_id);
        members.value("name", &self.name);
        members.value("priority", &self.priority);
        members.value("elapsed_time", &self.elapsed_time);
        members.value("base_time", &self.base_time);
    }
}

impl read::Object for pb::UpstreamOpen {
    fn field(&mut self, key: &str) -> Option<Field<'_>> {
        Some(match key {
            "stream_id" | "streamId" => read::value(0, &mut self.stream_id),
            "session_id" | "sessionId" => read::value(1, &mut self.session_id),
            "qos" => read::enumeration::<pb::QoS>(2, &mut self.qos),
            _ => return None,
        })
    }
}

impl write::Object for pb::UpstreamOpen {
    fn write(&self, members: &mut Members<'_>) {
        members.value("stream_id", &self.stream_id);
        members.value("session_id", &self.session_id);
        members.enumeration::<pb::QoS>("qos", self.qos);
    }
}

impl read::Object for pb::UpstreamAbnormalClose {
    fn field(&mut self, key: &str) -> Option<Field<'_>> {
        Some(match key {
            "stream_id" | "streamId" => read::value(0, &mut self.stream_id),
            "session_id" | "sessionId" => read::value(1, &mut self.session_id),
            _ => return None,
        })
    }
}

impl write::Object for pb::UpstreamAbnormalClose {
    fn write(&self, members: &mut Members<'_>) {
        members.value("stream_id", &self.stream_id);
        members.value("session_id", &self.session_id);
    }
}

impl read::Object for pb::UpstreamResume {
    fn field(&mut self, key: &str) -> Option<Field<'_>> {
        Some(match key {
            "stream_id" | "streamId" => read::value(0, &mut self.stream_id),
            "session_id" | "sessionId" => read::value(1, &mut self.session_id),
            "qos" => read::enumeration::<pb::QoS>(2, &mut self.qos),
            _ => return None,
        })
    }
}

impl write::Object for pb::UpstreamResume {
    fn write(&self, members: &mut Members<'_>) {
        members.value("stream_id", &self.stream_id);
        members.value("session_id", &self.session_id);
        members.enumeration::<pb::QoS>("qos", self.qos);
    }
}

impl read::Object for pb::UpstreamNormalClose {
    fn field(&mut self, key: &str) -> Option<Field<'_>> {
        Some(match key {
            "stream_id" | "streamId" => read::value(0, &mut self.stream_id),
            "session_id" | "sessionId" => read::value(1, &mut self.session_id),
            "total_data_points" | "totalDataPoints" => read::value(2, &mut self.total_data_points),
            "final_sequence_number" | "finalSequenceNumber" => read::value(3, &mut self.final_sequence_number),
            _ => return None,
        })
    }
}

impl write::Object for pb::UpstreamNormalClose {
    fn write(&self, members: &mut Members<'_>) {
        members.value("stream_id", &self.stream_id);
        members.value("session_id", &self.session_id);
        members.value("total_data_points", &self.total_data_points);
        members.value("final_sequence_number", &self.final_sequence_number);
    }
}

impl read::Object for pb::DownstreamOpen {
    fn field(&mut self, key: &str) -> Option<Field<'_>> {
        Some(match key {
            "stream_id" | "streamId" => read::value(0, &mut self.stream_id),
            "downstream_filters" | "downstreamFilters" => read::value(1, &mut self.downstream_filters),
            "qos" => read::enumeration::<pb::QoS>(2, &mut self.qos),
            _ => return None,
        })
    }
}

impl write::Object for pb::DownstreamOpen {
    fn write(&self, members: &mut Members<'_>) {
        members.value("stream_id", &self.stream_id);
        members.value("downstream_filters", &self.downstream_filters);
        members.enumeration::<pb::QoS>("qos", self.qos);
    }
}

impl read::Object for pb::DownstreamAbnormalClose {
    fn field(&mut self, key: &str) -> Option<Field<'_>> {
        Some(match key {
            "stream_id" | "streamId" => read::value(0, &mut self.stream_id),
            _ => return None,
        })
    }
}

impl write::Object for pb::DownstreamAbnormalClose {
    fn write(&self, members: &mut Members<'_>) {
        members.value("stream_id", &self.stream_id);
    }
}

impl read::Object for pb::DownstreamResume {
    fn field(&mut self, key: &str) -> Option<Field<'_>> {
        Some(match key {
            "stream_id" | "streamId" => read::value(0, &mut self.stream_id),
            "downstream_filters" | "downstreamFilters" => read::value(1, &mut self.downstream_filters),
            "qos" => read::enumeration::<pb::QoS>(2, &mut self.qos),
            _ => return None,
        })
    }
}

impl write::Object for pb::DownstreamResume {
    fn write(&self, members: &mut Members<'_>) {
        members.value("stream_id", &self.stream_id);
        members.value("downstream_filters", &self.downstream_filters);
        members.enumeration::<pb::QoS>("qos", self.qos);
    }
}

impl read::Object for pb::DownstreamNormalClose {
    fn field(&mut self, key: &str) -> Option<Field<'_>> {
        Some(match key {
            "stream_id" | "streamId" => read::value(0, &mut self.stream_id),
            _ => return None,
        })
    }
}

impl write::Object for pb::DownstreamNormalClose {
    fn write(&self, members: &mut Members<'_>) {
        members.value("stream_id", &self.stream_id);
    }
}

impl read::Object for pb::extensions::UpstreamOpenRequestExtensionFields {
    fn field(&mut self, key: &str) -> Option<Field<'_>> {
        Some(match key {
            "persist" => read::value(0, &mut self.persist),
            _ => return None,
        })
    }
}

impl write::Object for pb::extensions::UpstreamOpenRequestExtensionFields {
    fn write(&self, members: &mut Members<'_>) {
        members.value("persist", &self.persist);
    }
}

impl read::Object for pb::extensions::UpstreamOpenResponseExtensionFields {
    fn field(&mut self, _: &str) -> Option<Field<'_>> {
        None
    }
}

impl write::Object for pb::extensions::UpstreamOpenResponseExtensionFields {
    fn write(&self, _: &mut Members<'_>) {
    }
}

impl read::Object for pb::extensions::UpstreamResumeRequestExtensionFields {
    fn field(&mut self, _: &str) -> Option<Field<'_>> {
        None
    }
}

impl write::Object for pb::extensions::UpstreamResumeRequestExtensionFields {
    fn write(&self, _: &mut Members<'_>) {
    }
}

impl read::Object for pb::extensions::UpstreamResumeResponseExtensionFields {
    fn field(&mut self, _: &str) -> Option<Field<'_>> {
        None
    }
}

impl write::Object for pb::extensions::UpstreamResumeResponseExtensionFields {
    fn write(&self, _: &mut Members<'_>) {
    }
}

impl read::Object for pb::extensions::UpstreamCloseRequestExtensionFields {
    fn field(&mut self, key: &str) -> Option<Field<'_>> {
        Some(match key {
            "close_session" | "closeSession" => read::value(0, &mut self.close_session),
            _ => return None,
        })
    }
}

impl write::Object for pb::extensions::UpstreamCloseRequestExtensionFields {
    fn write(&self, members: &mut Members<'_>) {
        members.value("close_session", &self.close_session);
    }
}

impl read::Object for pb::extensions::UpstreamCloseResponseExtensionFields {
    fn field(&mut self, _: &str) -> Option<Field<'_>> {
        None
    }
}

impl write::Object for pb::extensions::UpstreamCloseResponseExtensionFields {
    fn write(&self, _: &mut Members<'_>) {
    }
}

impl read::Object for pb::extensions::UpstreamChunkExtensionFields {
    fn field(&mut self, _: &str) -> Option<Field<'_>> {
        None
    }
}

impl write::Object for pb::extensions::UpstreamChunkExtensionFields {
    fn write(&self, _: &mut Members<'_>) {
    }
}

impl read::Object for pb::extensions::UpstreamChunkAckExtensionFields {
    fn field(&mut self, _: &str) -> Option<Field<'_>> {
        None
    }
}

impl write::Object for pb::extensions::UpstreamChunkAckExtensionFields {
    fn write(&self, _: &mut Members<'_>) {
    }
}

impl read::Object for pb::extensions::UpstreamChunkResultExtensionFields {
    fn field(&mut self, _: &str) -> Option<Field<'_>> {
        None
    }
}

impl write::Object for pb::extensions::UpstreamChunkResultExtensionFields {
    fn write(&self, _: &mut Members<'_>) {
    }
}

impl read::Object for pb::UpstreamOpenRequest {
    fn field(&mut self, key: &str) -> Option<Field<'_>> {
        Some(match key {
            "request_id" | "requestId" => read::value(0, &mut self.request_id),
            "session_id" | "sessionId" => read::value(1, &mut self.session_id),
            "ack_interval" | "ackInterval" => read::value(2, &mut self.ack_interval),
            "expiry_interval" | "expiryInterval" => read::value(3, &mut self.expiry_interval),
            "data_ids" | "dataIds" => read::value(4, &mut self.data_ids),
            "qos" => read::enumeration::<pb::QoS>(5, &mut self.qos),
            "extension_fields" | "extensionFields" => read::value(6, &mut self.extension_fields),
            _ => return None,
        })
    }
}

impl write::Object for pb::UpstreamOpenRequest {
    fn write(&self, members: &mut Members<'_>) {
        members.value("request_id", &self.request_id);
        members.value("session_id", &self.session_id);
        members.value("ack_interval", &self.ack_interval);
        members.value("expiry_interval", &self.expiry_interval);
        members.value("data_ids", &self.data_ids);
        members.enumeration::<pb::QoS>("qos", self.qos);
        members.value("extension_fields", &self.extension_fields);
    }
}

impl read::Object for pb::UpstreamOpenResponse {
    fn field(&mut self, key: &str) -> Option<Field<'_>> {
        Some(match key {
            "request_id" | "requestId" => read::value(0, &mut self.request_id),
            "assigned_stream_id" | "assignedStreamId" => read::value(1, &mut self.assigned_stream_id),
            "assigned_stream_id_alias" | "assignedStreamIdAlias" => read::value(2, &mut self.assigned_stream_id_alias),
            "data_id_aliases" | "dataIdAliases" => read::map(3, &mut self.data_id_aliases),
            "server_time" | "serverTime" => read::value(4, &mut self.server_time),
            "result_code" | "resultCode" => read::enumeration::<pb::ResultCode>(5, &mut self.result_code),
            "result_string" | "resultString" => read::value(6, &mut self.result_string),
            "extension_fields" | "extensionFields" => read::value(7, &mut self.extension_fields),
            "resume_token" | "resumeToken" => read::value(8, &mut self.resume_token),
            _ => return None,
        })
    }
}

impl write::Object for pb::UpstreamOpenResponse {
    fn write(&self, members: &mut Members<'_>) {
        members.value("request_id", &self.request_id);
        members.value("assigned_stream_id", &self.assigned_stream_id);
        members.value("assigned_stream_id_alias", &self.assigned_stream_id_alias);
        members.map("data_id_aliases", &self.data_id_aliases);
        members.value("server_time", &self.server_time);
        members.enumeration::<pb::ResultCode>("result_code", self.result_code);
        members.value("result_string", &self.result_string);
        members.value("extension_fields", &self.extension_fields);
        if members.schema() >= Schema::V3 {
            members.value("resume_token", &self.resume_token);
        }
    }
}

impl read::Object for pb::UpstreamResumeRequest {
    fn field(&mut self, key: &str) -> Option<Field<'_>> {
        Some(match key {
            "request_id" | "requestId" => read::value(0, &mut self.request_id),
            "stream_id" | "streamId" => read::value(1, &mut self.stream_id),
            "extension_fields" | "extensionFields" => read::value(2, &mut self.extension_fields),
            "resume_token" | "resumeToken" => read::value(3, &mut self.resume_token),
            _ => return None,
        })
    }
}

impl write::Object for pb::UpstreamResumeRequest {
    fn write(&self, members: &mut Members<'_>) {
        members.value("request_id", &self.request_id);
        members.value("stream_id", &self.stream_id);
        members.value("extension_fields", &self.extension_fields);
        if members.schema() >= Schema::V3 {
            members.value("resume_token", &self.resume_token);
        }
    }
}

impl read::Object for pb::UpstreamResumeResponse {
    fn field(&mut self, key: &str) -> Option<Field<'_>> {
        Some(match key {
            "request_id" | "requestId" => read::value(0, &mut self.request_id),
            "assigned_stream_id_alias" | "assignedStreamIdAlias" => read::value(1, &mut self.assigned_stream_id_alias),
            "result_code" | "resultCode" => read::enumeration::<pb::ResultCode>(2, &mut self.result_code),
            "result_string" | "resultString" => read::value(3, &mut self.result_string),
            "extension_fields" | "extensionFields" => read::value(4, &mut self.extension_fields),
            "resume_token" | "resumeToken" => read::value(5, &mut self.resume_token),
            _ => return None,
        })
    }
}

impl write::Object for pb::UpstreamResumeResponse {
    fn write(&self, members: &mut Members<'_>) {
        members.value("request_id", &self.request_id);
        members.value("assigned_stream_id_alias", &self.assigned_stream_id_alias);
        members.enumeration::<pb::ResultCode>("result_code", self.result_code);
        members.value("result_string", &self.result_string);
        members.value("extension_fields", &self.extension_fields);
        if members.schema() >= Schema::V3 {
            members.value("resume_token", &self.resume_token);
        }
    }
}

impl read::Object for pb::UpstreamCloseRequest {
    fn field(&mut self, key: &str) -> Option<Field<'_>> {
        Some(match key {
            "request_id" | "requestId" => read::value(0, &mut self.request_id),
            "stream_id" | "streamId" => read::value(1, &mut self.stream_id),
            "total_data_points" | "totalDataPoints" => read::value(2, &mut self.total_data_points),
            "final_sequence_number" | "finalSequenceNumber" => read::value(3, &mut self.final_sequence_number),
            "extension_fields" | "extensionFields" => read::value(4, &mut self.extension_fields),
            _ => return None,
        })
    }
}

impl write::Object for pb::UpstreamCloseRequest {
    fn write(&self, members: &mut Members<'_>) {
        members.value("request_id", &self.request_id);
        members.value("stream_id", &self.stream_id);
        members.value("total_data_points", &self.total_data_points);
        members.value("final_sequence_number", &self.final_sequence_number);
        members.value("extension_fields", &self.extension_fields);
    }
}

impl read::Object for pb::UpstreamCloseResponse {
    fn field(&mut self, key: &str) -> Option<Field<'_>> {
        Some(match key {
            "request_id" | "requestId" => read::value(0, &mut self.request_id),
            "result_code" | "resultCode" => read::enumeration::<pb::ResultCode>(1, &mut self.result_code),
            "result_string" | "resultString" => read::value(2, &mut self.result_string),
            "extension_fields" | "extensionFields" => read::value(3, &mut self.extension_fields),
            _ => return None,
        })
    }
}

impl write::Object for pb::UpstreamCloseResponse {
    fn write(&self, members: &mut Members<'_>) {
        members.value("request_id", &self.request_id);
        members.enumeration::<pb::ResultCode>("result_code", self.result_code);
        members.value("result_string", &self.result_string);
        members.value("extension_fields", &self.extension_fields);
    }
}

impl read::Object for pb::UpstreamChunk {
    fn field(&mut self, key: &str) -> Option<Field<'_>> {
        Some(match key {
            "stream_id_alias" | "streamIdAlias" => read::value(0, &mut self.stream_id_alias),
            "stream_chunk" | "streamChunk" => read::value(1, &mut self.stream_chunk),
            "data_ids" | "dataIds" => read::value(2, &mut self.data_ids),
            "extension_fields" | "extensionFields" => read::value(3, &mut self.extension_fields),
            _ => return None,
        })
    }
}

impl write::Object for pb::UpstreamChunk {
    fn write(&self, members: &mut Members<'_>) {
        members.value("stream_id_alias", &self.stream_id_alias);
        members.value("stream_chunk", &self.stream_chunk);
        members.value("data_ids", &self.data_ids);
        members.value("extension_fields", &self.extension_fields);
    }
}

impl read::Object for pb::UpstreamChunkAck {
    fn field(&mut self, key: &str) -> Option<Field<'_>> {
        Some(match key {
            "stream_id_alias" | "streamIdAlias" => read::value(0, &mut self.stream_id_alias),
            "results" => read::value(1, &mut self.results),
            "data_id_aliases" | "dataIdAliases" => read::map(2, &mut self.data_id_aliases),
            "extension_fields" | "extensionFields" => read::value(3, &mut self.extension_fields),
            _ => return None,
        })
    }
}

impl write::Object for pb::UpstreamChunkAck {
    fn write(&self, members: &mut Members<'_>) {
        members.value("stream_id_alias", &self.stream_id_alias);
        members.value("results", &self.results);
        members.map("data_id_aliases", &self.data_id_aliases);
        members.value("extension_fields", &self.extension_fields);
    }
}

impl read::Object for pb::UpstreamChunkResult {
    fn field(&mut self, key: &str) -> Option<Field<'_>> {
        Some(match key {
            "sequence_number" | "sequenceNumber" => read::value(0, &mut self.sequence_number),
            "result_code" | "resultCode" => read::enumeration::<pb::ResultCode>(1, &mut self.result_code),
            "result_string" | "resultString" => read::value(2, &mut self.result_string),
            "extension_fields" | "extensionFields" => read::value(3, &mut self.extension_fields),
            _ => return None,
        })
    }
}

impl write::Object for pb::UpstreamChunkResult {
    fn write(&self, members: &mut Members<'_>) {
        members.value("sequence_number", &self.sequence_number);
        members.enumeration::<pb::ResultCode>("result_code", self.result_code);
        members.value("result_string", &self.result_string);
        members.value("extension_fields", &self.extension_fields);
    }
}

impl read::Object for pb::Message {
    fn field(&mut self, key: &str) -> Option<Field<'_>> {
        Some(match key {
            "connect_request" | "connectRequest" => read::arm(0, &mut self.message, "message", || pb::message::Message::ConnectRequest(Default::default())),
            "connect_response" | "connectResponse" => read::arm(1, &mut self.message, "message", || pb::message::Message::ConnectResponse(Default::default())),
            "disconnect" => read::arm(2, &mut self.message, "message", || pb::message::Message::Disconnect(Default::default())),
            "upstream_open_request" | "upstreamOpenRequest" => read::arm(3, &mut self.message, "message", || pb::message::Message::UpstreamOpenRequest(Default::default())),
            "upstream_open_response" | "upstreamOpenResponse" => read::arm(4, &mut self.message, "message", || pb::message::Message::UpstreamOpenResponse(Default::default())),
            "upstream_resume_request" | "upstreamResumeRequest" => read::arm(5, &mut self.message, "message", || pb::message::Message::UpstreamResumeRequest(Default::default())),
            "upstream_resume_response" | "upstreamResumeResponse" => read::arm(6, &mut self.message, "message", || pb::message::Message::UpstreamResumeResponse(Default::default())),
            "upstream_close_request" | "upstreamCloseRequest" => read::arm(7, &mut self.message, "message", || pb::message::Message::UpstreamCloseRequest(Default::default())),
            "upstream_close_response" | "upstreamCloseResponse" => read::arm(8, &mut self.message, "message", || pb::message::Message::UpstreamCloseResponse(Default::default())),
            "upstream_chunk" | "upstreamChunk" => read::arm(9, &mut self.message, "message", || pb::message::Message::UpstreamChunk(Default::default())),
            "upstream_chunk_ack" | "upstreamChunkAck" => read::arm(10, &mut self.message, "message", || pb::message::Message::UpstreamChunkAck(Default::default())),
            "upstream_metadata" | "upstreamMetadata" => read::arm(11, &mut self.message, "message", || pb::message::Message::UpstreamMetadata(Default::default())),
            "upstream_metadata_ack" | "upstreamMetadataAck" => read::arm(12, &mut self.message, "message", || pb::message::Message::UpstreamMetadataAck(Default::default())),
            "downstream_open_request" | "downstreamOpenRequest" => read::arm(13, &mut self.message, "message", || pb::message::Message::DownstreamOpenRequest(Default::default())),
            "downstream_open_response" | "downstreamOpenResponse" => read::arm(14, &mut self.message, "message", || pb::message::Message::DownstreamOpenResponse(Default::default())),
            "downstream_resume_request" | "downstreamResumeRequest" => read::arm(15, &mut self.message, "message", || pb::message::Message::DownstreamResumeRequest(Default::default())),
            "downstream_resume_response" | "downstreamResumeResponse" => read::arm(16, &mut self.message, "message", || pb::message::Message::DownstreamResumeResponse(Default::default())),
            "downstream_close_request" | "downstreamCloseRequest" => read::arm(17, &mut self.message, "message", || pb::message::Message::DownstreamCloseRequest(Default::default())),
            "downstream_close_response" | "downstreamCloseResponse" => read::arm(18, &mut self.message, "message", || pb::message::Message::DownstreamCloseResponse(Default::default())),
            "downstream_chunk" | "downstreamChunk" => read::arm(19, &mut self.message, "message", || pb::message::Message::DownstreamChunk(Default::default())),
            "downstream_chunk_ack" | "downstreamChunkAck" => read::arm(20, &mut self.message, "message", || pb::message::Message::DownstreamChunkAck(Default::default())),
            "downstream_chunk_ack_complete" | "downstreamChunkAckComplete" => read::arm(21, &mut self.message, "message", || pb::message::Message::DownstreamChunkAckComplete(Default::default())),
            "downstream_metadata" | "downstreamMetadata" => read::arm(22, &mut self.message, "message", || pb::message::Message::DownstreamMetadata(Default::default())),
            "downstream_metadata_ack" | "downstreamMetadataAck" => read::arm(23, &mut self.message, "message", || pb::message::Message::DownstreamMetadataAck(Default::default())),
            "ping" => read::arm(24, &mut self.message, "message", || pb::message::Message::Ping(Default::default())),
            "pong" => read::arm(25, &mut self.message, "message", || pb::message::Message::Pong(Default::default())),
            "upstream_call" | "upstreamCall" => read::arm(26, &mut self.message, "message", || pb::message::Message::UpstreamCall(Default::default())),
            "upstream_call_ack" | "upstreamCallAck" => read::arm(27, &mut self.message, "message", || pb::message::Message::UpstreamCallAck(Default::default())),
            "downstream_call" | "downstreamCall" => read::arm(28, &mut self.message, "message", || pb::message::Message::DownstreamCall(Default::default())),
            _ => return None,
        })
    }
}

impl write::Object for pb::Message {
    fn write(&self, members: &mut Members<'_>) {
        match &self.message {
            Some(pb::message::Message::ConnectRequest(arm)) => members.value("connect_request", arm),
            Some(pb::message::Message::ConnectResponse(arm)) => members.value("connect_response", arm),
            Some(pb::message::Message::Disconnect(arm)) => members.value("disconnect", arm),
            Some(pb::message::Message::UpstreamOpenRequest(arm)) => members.value("upstream_open_request", arm),
            Some(pb::message::Message::UpstreamOpenResponse(arm)) => members.value("upstream_open_response", arm),
            Some(pb::message::Message::UpstreamResumeRequest(arm)) => members.value("upstream_resume_request", arm),
            Some(pb::message::Message::UpstreamResumeResponse(arm)) => members.value("upstream_resume_response", arm),
            Some(pb::message::Message::UpstreamCloseRequest(arm)) => members.value("upstream_close_request", arm),
            Some(pb::message::Message::UpstreamCloseResponse(arm)) => members.value("upstream_close_response", arm),
            Some(pb::message::Message::UpstreamChunk(arm)) => members.value("upstream_chunk", arm),
            Some(pb::message::Message::UpstreamChunkAck(arm)) => members.value("upstream_chunk_ack", arm),
            Some(pb::message::Message::UpstreamMetadata(arm)) => members.value("upstream_metadata", arm),
            Some(pb::message::Message::UpstreamMetadataAck(arm)) => members.value("upstream_metadata_ack", arm),
            Some(pb::message::Message::DownstreamOpenRequest(arm)) => members.value("downstream_open_request", arm),
            Some(pb::message::Message::DownstreamOpenResponse(arm)) => members.value("downstream_open_response", arm),
            Some(pb::message::Message::DownstreamResumeRequest(arm)) => members.value("downstream_resume_request", arm),
            Some(pb::message::Message::DownstreamResumeResponse(arm)) => members.value("downstream_resume_response", arm),
            Some(pb::message::Message::DownstreamCloseRequest(arm)) => members.value("downstream_close_request", arm),
            Some(pb::message::Message::DownstreamCloseResponse(arm)) => members.value("downstream_close_response", arm),
            Some(pb::message::Message::DownstreamChunk(arm)) => members.value("downstream_chunk", arm),
            Some(pb::message::Message::DownstreamChunkAck(arm)) => members.value("downstream_chunk_ack", arm),
            Some(pb::message::Message::DownstreamChunkAckComplete(arm)) => members.value("downstream_chunk_ack_complete", arm),
            Some(pb::message::Message::DownstreamMetadata(arm)) => members.value("downstream_metadata", arm),
            Some(pb::message::Message::DownstreamMetadataAck(arm)) => members.value("downstream_metadata_ack", arm),
            Some(pb::message::Message::Ping(arm)) => members.value("ping", arm),
            Some(pb::message::Message::Pong(arm)) => members.value("pong", arm),
            Some(pb::message::Message::UpstreamCall(arm)) => members.value("upstream_call", arm),
            Some(pb::message::Message::UpstreamCallAck(arm)) => members.value("upstream_call_ack", arm),
            Some(pb::message::Message::DownstreamCall(arm)) => members.value("downstream_call", arm),
            None => {}
        }
    }
}

impl Value for pb::message::Message {
    fn place(&mut self) -> Place<'_> {
        match self {
            pb::message::Message::ConnectRequest(arm) => arm.place(),
            pb::message::Message::ConnectResponse(arm) => arm.place(),
            pb::message::Message::Disconnect(arm) => arm.place(),
            pb::message::Message::UpstreamOpenRequest(arm) => arm.place(),
            pb::message::Message::UpstreamOpenResponse(arm) => arm.place(),
            pb::message::Message::UpstreamResumeRequest(arm) => arm.place(),
            pb::message::Message::UpstreamResumeResponse(arm) => arm.place(),
            pb::message::Message::UpstreamCloseRequest(arm) => arm.place(),
            pb::message::Message::UpstreamCloseResponse(arm) => arm.place(),
            pb::message::Message::UpstreamChunk(arm) => arm.place(),
            pb::message::Message::UpstreamChunkAck(arm) => arm.place(),
            pb::message::Message::UpstreamMetadata(arm) => arm.place(),
            pb::message::Message::UpstreamMetadataAck(arm) => arm.place(),
            pb::message::Message::DownstreamOpenRequest(arm) => arm.place(),
            pb::message::Message::DownstreamOpenResponse(arm) => arm.place(),
            pb::message::Message::DownstreamResumeRequest(arm) => arm.place(),
            pb::message::Message::DownstreamResumeResponse(arm) => arm.place(),
            pb::message::Message::DownstreamCloseRequest(arm) => arm.place(),
            pb::message::Message::DownstreamCloseResponse(arm) => arm.place(),
            pb::message::Message::DownstreamChunk(arm) => arm.place(),
            pb::message::Message::DownstreamChunkAck(arm) => arm.place(),
            pb::message::Message::DownstreamChunkAckComplete(arm) => arm.place(),
            pb::message::Message::DownstreamMetadata(arm) => arm.place(),
            pb::message::Message::DownstreamMetadataAck(arm) => arm.place(),
            pb::message::Message::Ping(arm) => arm.place(),
            pb::message::Message::Pong(arm) => arm.place(),
            pb::message::Message::UpstreamCall(arm) => arm.place(),
            pb::message::Message::UpstreamCallAck(arm) => arm.place(),
            pb::message::Message::DownstreamCall(arm) => arm.place(),
        }
    }
}
