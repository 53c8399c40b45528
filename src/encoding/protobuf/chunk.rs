//! Codec of the two messages that carry data, `UpstreamChunk` and `DownstreamChunk`.
//!
//! It works on the wire form itself: a run of data points is a slice of the frame it came in
//! ([`Points`]) and is copied once into the frame it leaves in. What it takes and refuses, and the
//! values it makes, are those of the generated types; the tests compare the two.

use bytes::Bytes;

use super::wire::{Reader, Writer, bytes_len, message_len, uint32_arm_len, uint32_len};
use crate::encoding::DecodeError;
use crate::encoding::typed::field::stream_id;
use crate::message::points::record::{self, KEY_POINT};
use crate::message::{
    DataId, DataPointGroup, DownstreamChunk, FilterReference, Message, OrAlias, Points, StreamChunk,
    UpstreamChunk, UpstreamInfo,
};

/// Number of the arm `upstream_chunk`.
const UPSTREAM_CHUNK: u32 = 70;
/// Number of the arm `downstream_chunk`.
const DOWNSTREAM_CHUNK: u32 = 134;

/// Decodes a frame that is exactly one chunk; `None` when it is anything else.
pub(super) fn decode(frame: &Bytes) -> Option<Result<Message, DecodeError>> {
    let mut reader = Reader::new(frame, "Message");
    let key = reader.key().ok()??;
    let name = match key.number {
        UPSTREAM_CHUNK => "UpstreamChunk",
        DOWNSTREAM_CHUNK => "DownstreamChunk",
        _ => return None,
    };
    let chunk = reader.message(key, "message", name).ok()?;
    if !reader.is_empty() {
        return None;
    }
    Some(if key.number == UPSTREAM_CHUNK {
        upstream_chunk(chunk, frame).map(Message::UpstreamChunk)
    } else {
        downstream_chunk(chunk, frame).map(Message::DownstreamChunk)
    })
}

fn upstream_chunk(mut reader: Reader<'_>, frame: &Bytes) -> Result<UpstreamChunk, DecodeError> {
    let mut message = UpstreamChunk::default();
    while let Some(key) = reader.key()? {
        match key.number {
            1 => message.stream_id_alias = reader.uint32(key, "stream_id_alias")?,
            2 => {
                let inner = reader.message(key, "stream_chunk", "StreamChunk")?;
                stream_chunk(inner, frame, &mut message.chunk)?;
            }
            3 => {
                let mut id = DataId::default();
                data_id(reader.message(key, "data_ids", "DataID")?, &mut id)?;
                message.data_ids.push(id);
            }
            4 => reader.ignore_message(key, "extension_fields")?,
            _ => reader.skip(key)?,
        }
    }
    Ok(message)
}

fn downstream_chunk(mut reader: Reader<'_>, frame: &Bytes) -> Result<DownstreamChunk, DecodeError> {
    let mut stream_id_alias = 0;
    let mut upstream = None;
    let mut chunk = StreamChunk::default();
    let mut filter_references = Vec::new();
    while let Some(key) = reader.key()? {
        match key.number {
            1 => stream_id_alias = reader.uint32(key, "stream_id_alias")?,
            2 => {
                // The same arm again is merged into the first, as any message that occurs twice.
                let mut info = match upstream {
                    Some(OrAlias::Full(info)) => info,
                    _ => RawUpstreamInfo::default(),
                };
                info.merge(reader.message(key, "upstream_info", "UpstreamInfo")?)?;
                upstream = Some(OrAlias::Full(info));
            }
            3 => upstream = Some(OrAlias::Alias(reader.uint32(key, "upstream_alias")?)),
            4 => {
                let inner = reader.message(key, "stream_chunk", "StreamChunk")?;
                stream_chunk(inner, frame, &mut chunk)?;
            }
            5 => reader.ignore_message(key, "extension_fields")?,
            6 => filter_references.push(references(reader.message(
                key,
                "downstream_filter_references",
                "DownstreamFilterReferences",
            )?)?),
            _ => reader.skip(key)?,
        }
    }
    Ok(DownstreamChunk {
        stream_id_alias,
        upstream: match upstream.ok_or_else(|| reader.error("upstream_or_alias", "not set"))? {
            OrAlias::Full(info) => OrAlias::Full(info.check()?),
            OrAlias::Alias(alias) => OrAlias::Alias(alias),
        },
        chunk,
        filter_references,
    })
}

/// An `UpstreamInfo` whose stream id is not checked yet: it may still be merged or overridden.
#[derive(Default)]
struct RawUpstreamInfo<'a> {
    session_id: String,
    stream_id: &'a [u8],
    source_node_id: String,
}

impl<'a> RawUpstreamInfo<'a> {
    fn merge(&mut self, mut reader: Reader<'a>) -> Result<(), DecodeError> {
        while let Some(key) = reader.key()? {
            match key.number {
                1 => self.session_id = reader.string(key, "session_id")?,
                2 => self.stream_id = reader.bytes(key, "stream_id")?,
                3 => self.source_node_id = reader.string(key, "source_node_id")?,
                _ => reader.skip(key)?,
            }
        }
        Ok(())
    }

    fn check(self) -> Result<UpstreamInfo, DecodeError> {
        Ok(UpstreamInfo {
            stream_id: stream_id(self.stream_id, "UpstreamInfo.stream_id")?,
            session_id: self.session_id,
            source_node_id: self.source_node_id,
        })
    }
}

fn data_id(mut reader: Reader<'_>, id: &mut DataId) -> Result<(), DecodeError> {
    while let Some(key) = reader.key()? {
        match key.number {
            1 => id.name = reader.string(key, "name")?,
            2 => id.kind = reader.string(key, "type")?,
            _ => reader.skip(key)?,
        }
    }
    Ok(())
}

fn stream_chunk(mut reader: Reader<'_>, frame: &Bytes, chunk: &mut StreamChunk) -> Result<(), DecodeError> {
    while let Some(key) = reader.key()? {
        match key.number {
            1 => chunk.sequence_number = reader.uint32(key, "sequence_number")?,
            2 => {
                let inner = reader.message(key, "data_point_groups", "DataPointGroup")?;
                chunk.groups.push(group(inner, frame)?);
            }
            _ => reader.skip(key)?,
        }
    }
    Ok(())
}

fn group(mut reader: Reader<'_>, frame: &Bytes) -> Result<DataPointGroup, DecodeError> {
    let mut id = None;
    let mut run = Run::default();
    loop {
        let (end, count, payload_bytes) = record::scan(reader.frame(), reader.position());
        if count > 0 {
            run.append(frame, reader.position(), end, (count, payload_bytes));
            reader.advance(end);
        }
        let Some(key) = reader.key()? else { break };
        match key.number {
            1 => {
                let inner = reader.message(key, "data_id", "DataID")?;
                let mut full = match id {
                    Some(OrAlias::Full(full)) => full,
                    _ => DataId::default(),
                };
                data_id(inner, &mut full)?;
                id = Some(OrAlias::Full(full));
            }
            2 => id = Some(OrAlias::Alias(reader.uint32(key, "data_id_alias")?)),
            3 => {
                let payload_bytes = record::check(reader.bytes(key, "data_points")?)
                    .map_err(|problem| reader.error("data_points", problem))?;
                run.append(frame, key.start, reader.position(), (1, payload_bytes));
            }
            4 => reader.ignore_uint32s(key, "data_filter_ids")?,
            _ => reader.skip(key)?,
        }
    }
    Ok(DataPointGroup {
        data_id: id.ok_or_else(|| reader.error("data_id_or_alias", "not set"))?,
        points: run.finish(frame),
    })
}

/// The records of data points of a group, gathered while its fields are read.
#[derive(Default)]
struct Run {
    /// Earlier records, if they do not lie side by side with the current ones.
    scattered: Vec<u8>,
    /// Where the current records lie in the frame.
    start: usize,
    end: usize,
    count: usize,
    payload_bytes: usize,
}

impl Run {
    /// Appends the records from `start` to `end`: so many, with so many bytes of payload.
    fn append(&mut self, frame: &[u8], start: usize, end: usize, (count, payload_bytes): (usize, usize)) {
        if start != self.end || frame[start] != KEY_POINT {
            self.scattered.extend_from_slice(&frame[self.start..self.end]);
            self.start = start;
            if frame[start] != KEY_POINT {
                // A key with needless bytes: the canonical one takes its place.
                self.scattered.push(KEY_POINT);
                self.start = end_of_varint(frame, start);
            }
        }
        self.end = end;
        self.count += count;
        self.payload_bytes += payload_bytes;
    }

    fn finish(mut self, frame: &Bytes) -> Points {
        let bytes = if self.scattered.is_empty() {
            frame.slice(self.start..self.end)
        } else {
            self.scattered.extend_from_slice(&frame[self.start..self.end]);
            self.scattered.into()
        };
        Points::checked(bytes, self.count, self.payload_bytes)
    }
}

/// End of the varint at `start`, which has been read before.
fn end_of_varint(bytes: &[u8], start: usize) -> usize {
    let continued = bytes[start..].iter().take_while(|byte| **byte >= 0x80).count();
    start + continued + 1
}

fn references(mut reader: Reader<'_>) -> Result<Vec<FilterReference>, DecodeError> {
    let mut references = Vec::new();
    while let Some(key) = reader.key()? {
        match key.number {
            1 => {
                let inner = reader.message(key, "references", "DownstreamFilterReference")?;
                references.push(reference(inner)?);
            }
            _ => reader.skip(key)?,
        }
    }
    Ok(references)
}

fn reference(mut reader: Reader<'_>) -> Result<FilterReference, DecodeError> {
    let mut reference = FilterReference::default();
    while let Some(key) = reader.key()? {
        match key.number {
            1 => reference.downstream_filter_index = reader.uint32(key, "downstream_filter_index")?,
            2 => reference.data_filter_index = reader.uint32(key, "data_filter_index")?,
            _ => reader.skip(key)?,
        }
    }
    Ok(reference)
}

/// Encodes an `UpstreamChunk` as a frame.
pub(super) fn encode_upstream(message: &UpstreamChunk) -> Bytes {
    let chunk_len = stream_chunk_len(&message.chunk);
    let data_ids_len: usize = message.data_ids.iter().map(|id| message_len(3, data_id_len(id))).sum();
    let len = uint32_len(1, message.stream_id_alias) + message_len(2, chunk_len) + data_ids_len;

    let mut writer = Writer::with_capacity(message_len(UPSTREAM_CHUNK, len));
    writer.message(UPSTREAM_CHUNK, len);
    writer.uint32(1, message.stream_id_alias);
    writer.message(2, chunk_len);
    write_stream_chunk(&mut writer, &message.chunk);
    for id in &message.data_ids {
        write_data_id(&mut writer, 3, id);
    }
    writer.into_bytes().into()
}

/// Encodes a `DownstreamChunk` as a frame.
pub(super) fn encode_downstream(message: &DownstreamChunk) -> Bytes {
    let chunk_len = stream_chunk_len(&message.chunk);
    let upstream_len = match &message.upstream {
        OrAlias::Full(info) => message_len(2, upstream_info_len(info)),
        OrAlias::Alias(alias) => uint32_arm_len(3, *alias),
    };
    let all_references_len: usize =
        message.filter_references.iter().map(|references| message_len(6, references_len(references))).sum();
    let len = uint32_len(1, message.stream_id_alias)
        + upstream_len
        + message_len(4, chunk_len)
        + all_references_len;

    let mut writer = Writer::with_capacity(message_len(DOWNSTREAM_CHUNK, len));
    writer.message(DOWNSTREAM_CHUNK, len);
    writer.uint32(1, message.stream_id_alias);
    match &message.upstream {
        OrAlias::Full(info) => {
            writer.message(2, upstream_info_len(info));
            writer.bytes(1, info.session_id.as_bytes());
            writer.bytes(2, info.stream_id.as_bytes());
            writer.bytes(3, info.source_node_id.as_bytes());
        }
        OrAlias::Alias(alias) => writer.uint32_arm(3, *alias),
    }
    writer.message(4, chunk_len);
    write_stream_chunk(&mut writer, &message.chunk);
    for references in &message.filter_references {
        writer.message(6, references_len(references));
        for reference in references {
            writer.message(1, reference_len(reference));
            writer.uint32(1, reference.downstream_filter_index);
            writer.uint32(2, reference.data_filter_index);
        }
    }
    writer.into_bytes().into()
}

fn stream_chunk_len(chunk: &StreamChunk) -> usize {
    let groups: usize = chunk.groups.iter().map(|group| message_len(2, group_len(group))).sum();
    uint32_len(1, chunk.sequence_number) + groups
}

fn write_stream_chunk(writer: &mut Writer, chunk: &StreamChunk) {
    writer.uint32(1, chunk.sequence_number);
    for group in &chunk.groups {
        writer.message(2, group_len(group));
        match &group.data_id {
            OrAlias::Full(id) => write_data_id(writer, 1, id),
            OrAlias::Alias(alias) => writer.uint32_arm(2, *alias),
        }
        writer.raw(group.points.as_bytes());
    }
}

fn group_len(group: &DataPointGroup) -> usize {
    let id_len = match &group.data_id {
        OrAlias::Full(id) => message_len(1, data_id_len(id)),
        OrAlias::Alias(alias) => uint32_arm_len(2, *alias),
    };
    id_len + group.points.as_bytes().len()
}

fn data_id_len(id: &DataId) -> usize {
    bytes_len(1, id.name.as_bytes()) + bytes_len(2, id.kind.as_bytes())
}

fn write_data_id(writer: &mut Writer, number: u32, id: &DataId) {
    writer.message(number, data_id_len(id));
    writer.bytes(1, id.name.as_bytes());
    writer.bytes(2, id.kind.as_bytes());
}

fn upstream_info_len(info: &UpstreamInfo) -> usize {
    bytes_len(1, info.session_id.as_bytes())
        + bytes_len(2, info.stream_id.as_bytes())
        + bytes_len(3, info.source_node_id.as_bytes())
}

fn references_len(references: &[FilterReference]) -> usize {
    references.iter().map(|reference| message_len(1, reference_len(reference))).sum()
}

fn reference_len(reference: &FilterReference) -> usize {
    uint32_len(1, reference.downstream_filter_index) + uint32_len(2, reference.data_filter_index)
}
