//! Random typed messages from a seed.

use uuid::Uuid;

use crate::message::{
    Aliases, BaseTime, ConnectRequest, ConnectResponse, DataFilter, DataId, DataPointGroup, Disconnect,
    DownstreamCall, DownstreamChunk, DownstreamChunkAck, DownstreamChunkAckComplete, DownstreamChunkResult,
    DownstreamCloseRequest, DownstreamFilter, DownstreamMetadata, DownstreamOpenRequest,
    DownstreamOpenResponse, DownstreamResumeRequest, DownstreamResumeResponse, FilterReference, Message,
    Metadata, OrAlias, Points, Qos, Reply, ResultCode, StreamChunk, UpstreamCall, UpstreamCallAck,
    UpstreamChunk, UpstreamChunkAck, UpstreamChunkResult, UpstreamCloseRequest, UpstreamInfo,
    UpstreamMetadata, UpstreamOpenRequest, UpstreamOpenResponse, UpstreamResumeRequest,
    UpstreamResumeResponse,
};

/// Source of random values: splitmix64.
pub(in crate::encoding) struct Random(u64);

impl Random {
    /// Number of kinds of messages.
    pub(in crate::encoding) const KINDS: usize = 29;

    pub(in crate::encoding) fn new(seed: u64) -> Self {
        Self(seed)
    }

    pub(in crate::encoding) fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut value = self.0;
        value = (value ^ (value >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        value = (value ^ (value >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        value ^ (value >> 31)
    }

    /// A number below `end`.
    pub(in crate::encoding) fn below(&mut self, end: usize) -> usize {
        (self.next() % end as u64) as usize
    }

    fn bool(&mut self) -> bool {
        self.below(2) == 0
    }

    /// Any size of number with the same probability, zero often.
    pub(in crate::encoding) fn u64(&mut self) -> u64 {
        match self.below(4) {
            0 => 0,
            _ => self.next() >> self.below(64),
        }
    }

    fn u32(&mut self) -> u32 {
        self.u64() as u32
    }

    fn i64(&mut self) -> i64 {
        self.u64() as i64
    }

    fn text(&mut self) -> String {
        let len = [0, 0, 1, 5, 130][self.below(5)];
        (0..len).map(|_| ['a', '/', '"', '\0', 'é', '語', '🛰'][self.below(7)]).collect()
    }

    fn bytes(&mut self) -> Vec<u8> {
        let len = [0, 1, 5, 200][self.below(4)];
        (0..len).map(|_| self.next() as u8).collect()
    }

    fn uuid(&mut self) -> Uuid {
        Uuid::from_u64_pair(self.u64(), self.u64())
    }

    fn list<T>(&mut self, mut item: impl FnMut(&mut Self) -> T) -> Vec<T> {
        (0..[0, 1, 2, 4][self.below(4)]).map(|_| item(self)).collect()
    }

    fn aliases<T>(&mut self, mut item: impl FnMut(&mut Self) -> T) -> Aliases<T> {
        self.list(|random| (random.u32(), item(random))).into_iter().collect()
    }

    fn code(&mut self) -> ResultCode {
        match self.below(4) {
            0 => ResultCode(self.u32() as i32),
            _ => ResultCode::ALL[self.below(ResultCode::ALL.len())],
        }
    }

    fn qos(&mut self) -> Qos {
        Qos::from_number([0, 1, 2, 3, -1][self.below(5)])
    }

    fn data_id(&mut self) -> DataId {
        DataId::new(self.text(), self.text())
    }

    fn filter(&mut self) -> DownstreamFilter {
        DownstreamFilter {
            source_node_id: self.text(),
            data_filters: self.list(|random| DataFilter { name: random.text(), kind: random.text() }),
        }
    }

    fn info(&mut self) -> UpstreamInfo {
        UpstreamInfo { session_id: self.text(), stream_id: self.uuid(), source_node_id: self.text() }
    }

    fn or_alias<T>(&mut self, full: impl FnOnce(&mut Self) -> T) -> OrAlias<T> {
        if self.bool() { OrAlias::Full(full(self)) } else { OrAlias::Alias(self.u32()) }
    }

    fn points(&mut self) -> Points {
        self.list(|random| (random.i64(), random.bytes())).into_iter().collect()
    }

    fn chunk(&mut self) -> StreamChunk {
        StreamChunk {
            sequence_number: self.u32(),
            groups: self.list(|random| DataPointGroup {
                data_id: random.or_alias(Self::data_id),
                points: random.points(),
            }),
        }
    }

    fn base_time(&mut self) -> BaseTime {
        BaseTime {
            session_id: self.text(),
            name: self.text(),
            priority: self.u32(),
            elapsed_time_ns: self.u64(),
            base_time_ns: self.i64(),
        }
    }

    fn metadata(&mut self) -> Metadata {
        let stream_id = self.uuid();
        let session_id = self.text();
        let qos = self.qos();
        let filters = self.list(Self::filter);
        match self.below(9) {
            0 => Metadata::BaseTime(self.base_time()),
            1 => Metadata::UpstreamOpen { stream_id, session_id, qos },
            2 => Metadata::UpstreamAbnormalClose { stream_id, session_id },
            3 => Metadata::UpstreamResume { stream_id, session_id, qos },
            4 => Metadata::UpstreamNormalClose {
                stream_id,
                session_id,
                total_data_points: self.u64(),
                final_sequence_number: self.u32(),
            },
            5 => Metadata::DownstreamOpen { stream_id, filters, qos },
            6 => Metadata::DownstreamAbnormalClose { stream_id },
            7 => Metadata::DownstreamResume { stream_id, filters, qos },
            _ => Metadata::DownstreamNormalClose { stream_id },
        }
    }

    fn reply(&mut self) -> Reply {
        Reply { request_id: self.u32(), result_code: self.code(), result_string: self.text() }
    }

    /// A message of one of the two kinds that carry data.
    pub(in crate::encoding) fn chunk_message(&mut self) -> Message {
        if self.bool() {
            Message::UpstreamChunk(UpstreamChunk {
                stream_id_alias: self.u32(),
                chunk: self.chunk(),
                data_ids: self.list(Self::data_id),
            })
        } else {
            Message::DownstreamChunk(DownstreamChunk {
                stream_id_alias: self.u32(),
                upstream: self.or_alias(Self::info),
                chunk: self.chunk(),
                filter_references: self.list(|random| {
                    random.list(|random| FilterReference {
                        downstream_filter_index: random.u32(),
                        data_filter_index: random.u32(),
                    })
                }),
            })
        }
    }

    /// A message of one of the [`Self::KINDS`] kinds.
    pub(in crate::encoding) fn message(&mut self, kind: usize) -> Message {
        match kind {
            0 | 1 => self.chunk_message(),
            2..=7 => self.connection_message(kind),
            8..=16 => self.upstream_message(kind),
            17..=24 => self.downstream_message(kind),
            _ => self.metadata_message(kind),
        }
    }

    fn connection_message(&mut self, kind: usize) -> Message {
        match kind {
            2 => Message::ConnectRequest(ConnectRequest {
                request_id: self.u32(),
                protocol_version: self.text(),
                node_id: self.text(),
                ping_interval_s: self.u32(),
                ping_timeout_s: self.u32(),
                access_token: self.text(),
                project_uuid: self.bool().then(|| self.uuid()),
                connection_id: self.text(),
                connection_group_id: self.text(),
                expiry_interval_s: self.u32(),
            }),
            3 => Message::ConnectResponse(ConnectResponse {
                request_id: self.u32(),
                protocol_version: self.text(),
                result_code: self.code(),
                result_string: self.text(),
                connection_id: self.text(),
                connection_group_id: self.text(),
            }),
            4 => Message::Disconnect(Disconnect { result_code: self.code(), result_string: self.text() }),
            5 if self.bool() => Message::Ping(self.u32()),
            5 => Message::Pong(self.u32()),
            6 => Message::UpstreamCall(UpstreamCall {
                call_id: self.text(),
                request_call_id: self.text(),
                destination_node_id: self.text(),
                name: self.text(),
                kind: self.text(),
                payload: self.bytes().into(),
            }),
            _ => Message::DownstreamCall(DownstreamCall {
                call_id: self.text(),
                request_call_id: self.text(),
                source_node_id: self.text(),
                name: self.text(),
                kind: self.text(),
                payload: self.bytes().into(),
            }),
        }
    }

    fn upstream_message(&mut self, kind: usize) -> Message {
        match kind {
            8 => Message::UpstreamOpenRequest(UpstreamOpenRequest {
                request_id: self.u32(),
                session_id: self.text(),
                ack_interval_ms: self.u32(),
                expiry_interval_s: self.u32(),
                data_ids: self.list(Self::data_id),
                qos: self.qos(),
                persist: self.bool(),
            }),
            9 => Message::UpstreamOpenResponse(UpstreamOpenResponse {
                request_id: self.u32(),
                stream_id: self.uuid(),
                stream_id_alias: self.u32(),
                data_id_aliases: self.aliases(Self::data_id),
                server_time_ns: self.i64(),
                result_code: self.code(),
                result_string: self.text(),
                resume_token: self.text(),
            }),
            10 => Message::UpstreamResumeRequest(UpstreamResumeRequest {
                request_id: self.u32(),
                stream_id: self.uuid(),
                resume_token: self.text(),
            }),
            11 => Message::UpstreamResumeResponse(UpstreamResumeResponse {
                request_id: self.u32(),
                stream_id_alias: self.u32(),
                result_code: self.code(),
                result_string: self.text(),
                resume_token: self.text(),
            }),
            12 => Message::UpstreamCloseRequest(UpstreamCloseRequest {
                request_id: self.u32(),
                stream_id: self.uuid(),
                total_data_points: self.u64(),
                final_sequence_number: self.u32(),
                close_session: self.bool(),
            }),
            13 => Message::UpstreamCloseResponse(self.reply()),
            14 => Message::UpstreamChunkAck(UpstreamChunkAck {
                stream_id_alias: self.u32(),
                results: self.list(|random| UpstreamChunkResult {
                    sequence_number: random.u32(),
                    result_code: random.code(),
                    result_string: random.text(),
                }),
                data_id_aliases: self.aliases(Self::data_id),
            }),
            15 => Message::UpstreamCallAck(UpstreamCallAck {
                call_id: self.text(),
                result_code: self.code(),
                result_string: self.text(),
            }),
            _ => Message::UpstreamMetadata(UpstreamMetadata {
                request_id: self.u32(),
                base_time: self.base_time(),
                persist: self.bool(),
            }),
        }
    }

    fn downstream_message(&mut self, kind: usize) -> Message {
        match kind {
            17 => Message::DownstreamOpenRequest(DownstreamOpenRequest {
                request_id: self.u32(),
                desired_stream_id_alias: self.u32(),
                filters: self.list(Self::filter),
                expiry_interval_s: self.u32(),
                data_id_aliases: self.aliases(Self::data_id),
                qos: self.qos(),
                omit_empty_chunk: self.bool(),
            }),
            18 => Message::DownstreamOpenResponse(DownstreamOpenResponse {
                request_id: self.u32(),
                stream_id: self.uuid(),
                server_time_ns: self.i64(),
                result_code: self.code(),
                result_string: self.text(),
                resume_token: self.text(),
            }),
            19 => Message::DownstreamResumeRequest(DownstreamResumeRequest {
                request_id: self.u32(),
                stream_id: self.uuid(),
                desired_stream_id_alias: self.u32(),
                resume_token: self.text(),
            }),
            20 => Message::DownstreamResumeResponse(DownstreamResumeResponse {
                request_id: self.u32(),
                result_code: self.code(),
                result_string: self.text(),
                resume_token: self.text(),
            }),
            21 => Message::DownstreamCloseRequest(DownstreamCloseRequest {
                request_id: self.u32(),
                stream_id: self.uuid(),
            }),
            22 => Message::DownstreamCloseResponse(self.reply()),
            23 => Message::DownstreamChunkAck(DownstreamChunkAck {
                stream_id_alias: self.u32(),
                ack_id: self.u32(),
                results: self.list(|random| DownstreamChunkResult {
                    upstream_stream_id: random.uuid(),
                    upstream_sequence_number: random.u32(),
                    result_code: random.code(),
                    result_string: random.text(),
                }),
                upstream_aliases: self.aliases(Self::info),
                data_id_aliases: self.aliases(Self::data_id),
            }),
            _ => Message::DownstreamChunkAckComplete(DownstreamChunkAckComplete {
                stream_id_alias: self.u32(),
                ack_id: self.u32(),
                result_code: self.code(),
                result_string: self.text(),
            }),
        }
    }

    fn metadata_message(&mut self, kind: usize) -> Message {
        match kind {
            25 => Message::UpstreamMetadataAck(self.reply()),
            26 => Message::DownstreamMetadataAck(self.reply()),
            _ => Message::DownstreamMetadata(DownstreamMetadata {
                request_id: self.u32(),
                stream_id_alias: self.u32(),
                source_node_id: self.text(),
                metadata: self.metadata(),
            }),
        }
    }
}
