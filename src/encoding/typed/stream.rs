//! Messages of upstreams and downstreams.

use super::field::{Field, entries, mirror, not_set};
use crate::encoding::DecodeError;
use crate::encoding::protobuf::generated as pb;
use crate::message::{
    DownstreamChunk, DownstreamChunkAck, DownstreamChunkAckComplete, DownstreamChunkResult,
    DownstreamCloseRequest, DownstreamOpenRequest, DownstreamOpenResponse, DownstreamResumeRequest,
    DownstreamResumeResponse, OrAlias, Reply, UpstreamChunk, UpstreamChunkAck, UpstreamChunkResult,
    UpstreamCloseRequest, UpstreamInfo, UpstreamOpenRequest, UpstreamOpenResponse, UpstreamResumeRequest,
    UpstreamResumeResponse,
};

mirror! {
    UpstreamOpenRequest {
        request_id, session_id, ack_interval => ack_interval_ms, expiry_interval => expiry_interval_s,
        data_ids, qos, extension_fields => persist,
    }
    UpstreamOpenResponse {
        request_id, assigned_stream_id => stream_id, assigned_stream_id_alias => stream_id_alias,
        data_id_aliases, server_time => server_time_ns, result_code, result_string, resume_token;
        extension_fields
    }
    UpstreamResumeRequest { request_id, stream_id, resume_token; extension_fields }
    UpstreamResumeResponse {
        request_id, assigned_stream_id_alias => stream_id_alias, result_code, result_string, resume_token;
        extension_fields
    }
    UpstreamCloseRequest {
        request_id, stream_id, total_data_points, final_sequence_number, extension_fields => close_session,
    }
    UpstreamChunk { stream_id_alias, stream_chunk => chunk, data_ids; extension_fields }
    UpstreamChunkAck { stream_id_alias, results, data_id_aliases; extension_fields }
    UpstreamChunkResult { sequence_number, result_code, result_string; extension_fields }
    DownstreamOpenRequest {
        request_id, desired_stream_id_alias, downstream_filters => filters,
        expiry_interval => expiry_interval_s, data_id_aliases, qos, omit_empty_chunk;
        extension_fields
    }
    DownstreamOpenResponse {
        request_id, assigned_stream_id => stream_id, server_time => server_time_ns, result_code,
        result_string, resume_token;
        extension_fields
    }
    DownstreamResumeRequest {
        request_id, stream_id, desired_stream_id_alias, resume_token;
        extension_fields
    }
    DownstreamResumeResponse { request_id, result_code, result_string, resume_token; extension_fields }
    DownstreamCloseRequest { request_id, stream_id; extension_fields }
    DownstreamChunk {
        stream_id_alias, upstream_or_alias => upstream, stream_chunk => chunk,
        downstream_filter_references => filter_references;
        extension_fields
    }
    DownstreamChunkAck {
        stream_id_alias, ack_id, results, upstream_aliases, data_id_aliases;
        extension_fields
    }
    DownstreamChunkResult {
        stream_id_of_upstream => upstream_stream_id,
        sequence_number_in_upstream => upstream_sequence_number, result_code, result_string;
        extension_fields
    }
    DownstreamChunkAckComplete { stream_id_alias, ack_id, result_code, result_string; extension_fields }
    Reply as UpstreamCloseResponse { request_id, result_code, result_string; extension_fields }
    Reply as UpstreamMetadataAck { request_id, result_code, result_string; extension_fields }
    Reply as DownstreamCloseResponse { request_id, result_code, result_string; extension_fields }
    Reply as DownstreamMetadataAck { request_id, result_code, result_string; extension_fields }
}

entries! {
    pb::upstream_open_response::DataIdAliasesEntry => pb::DataId;
    pb::upstream_chunk_ack::DataIdAliasesEntry => pb::DataId;
    pb::downstream_open_request::DataIdAliasesEntry => pb::DataId;
    pb::downstream_chunk_ack::DataIdAliasesEntry => pb::DataId;
    pb::downstream_chunk_ack::UpstreamAliasesEntry => pb::UpstreamInfo;
}

/// Implements [`Field`] for the one flag of an extension block. The block is always written, as
/// every client does for the request that opens an upstream; absent, it reads as `false`.
macro_rules! flag_blocks {
    ($($block:ident.$flag:ident)+) => {
        $(impl Field<Option<pb::extensions::$block>> for bool {
            fn read(wire: Option<pb::extensions::$block>, _: &str) -> Result<Self, DecodeError> {
                Ok(wire.is_some_and(|block| block.$flag))
            }

            fn write(&self) -> Option<pb::extensions::$block> {
                Some(pb::extensions::$block { $flag: *self })
            }
        })+
    };
}

flag_blocks! {
    UpstreamOpenRequestExtensionFields.persist
    UpstreamCloseRequestExtensionFields.close_session
    UpstreamMetadataExtensionFields.persist
}

impl Field<Option<pb::downstream_chunk::UpstreamOrAlias>> for OrAlias<UpstreamInfo> {
    fn read(wire: Option<pb::downstream_chunk::UpstreamOrAlias>, name: &str) -> Result<Self, DecodeError> {
        use pb::downstream_chunk::UpstreamOrAlias;
        Ok(match wire.ok_or_else(|| not_set(name))? {
            UpstreamOrAlias::UpstreamInfo(info) => Self::Full(UpstreamInfo::read(info, name)?),
            UpstreamOrAlias::UpstreamAlias(alias) => Self::Alias(alias),
        })
    }

    fn write(&self) -> Option<pb::downstream_chunk::UpstreamOrAlias> {
        use pb::downstream_chunk::UpstreamOrAlias;
        Some(match self {
            Self::Full(info) => UpstreamOrAlias::UpstreamInfo(info.write()),
            Self::Alias(alias) => UpstreamOrAlias::UpstreamAlias(*alias),
        })
    }
}
