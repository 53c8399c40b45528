//! What a subscriber prints.

use std::io::{self, Write};

use base64::Engine;
use base64::prelude::BASE64_STANDARD;
use iscp::core::{ReceivedChunk, ReceivedMetadata};
use iscp::message::{DownstreamFilter, Metadata, Qos};
use serde::Serialize;
use serde_json::{Value, json};

/// Prints points and metadata.
#[derive(Debug)]
pub(crate) struct Printer<W> {
    writer: W,
    json: bool,
}

/// A point as a JSON object.
#[derive(Serialize)]
struct Point<'a> {
    source_node_id: &'a str,
    session_id: &'a str,
    name: &'a str,
    r#type: &'a str,
    elapsed_ns: i64,
    sequence_number: u32,
    #[serde(flatten)]
    payload: Payload<'a>,
}

#[derive(Serialize)]
enum Payload<'a> {
    #[serde(rename = "payload")]
    Text(&'a str),
    #[serde(rename = "payload_base64")]
    Bytes(String),
}

/// Metadata as a JSON object.
#[derive(Serialize)]
struct MetadataLine<'a> {
    metadata: &'a str,
    source_node_id: &'a str,
    #[serde(flatten)]
    fields: Value,
}

impl<W: Write> Printer<W> {
    /// Prints to a buffered writer: payloads, or JSON objects.
    pub(crate) fn new(writer: W, json: bool) -> Self {
        Self { writer, json }
    }

    /// Prints the points of a chunk, at most `limit` of them, and says how many.
    pub(crate) fn chunk(&mut self, chunk: &ReceivedChunk, limit: u64) -> io::Result<u64> {
        let mut printed = 0;
        for group in &chunk.groups {
            for span in group.points.spans() {
                if printed == limit {
                    return Ok(printed);
                }
                let payload = &group.points.as_bytes()[span.offset..span.offset + span.len];
                if self.json {
                    let point = Point {
                        source_node_id: &chunk.upstream.source_node_id,
                        session_id: &chunk.upstream.session_id,
                        name: &group.data_id.name,
                        r#type: &group.data_id.kind,
                        elapsed_ns: span.elapsed_time,
                        sequence_number: chunk.sequence_number,
                        payload: match std::str::from_utf8(payload) {
                            Ok(text) => Payload::Text(text),
                            Err(_) => Payload::Bytes(BASE64_STANDARD.encode(payload)),
                        },
                    };
                    serde_json::to_writer(&mut self.writer, &point)?;
                } else {
                    self.writer.write_all(payload)?;
                }
                self.writer.write_all(b"\n")?;
                printed += 1;
            }
        }
        Ok(printed)
    }

    /// Prints metadata, which have no place among plain payloads.
    pub(crate) fn metadata(&mut self, metadata: &ReceivedMetadata) -> io::Result<()> {
        if !self.json {
            return Ok(());
        }
        let line = MetadataLine {
            metadata: kind(&metadata.metadata),
            source_node_id: &metadata.source_node_id,
            fields: fields(&metadata.metadata),
        };
        serde_json::to_writer(&mut self.writer, &line)?;
        self.writer.write_all(b"\n")
    }

    /// Hands everything printed to the system.
    pub(crate) fn flush(&mut self) -> io::Result<()> {
        self.writer.flush()
    }
}

/// Name of a kind of metadata.
pub(crate) fn kind(metadata: &Metadata) -> &'static str {
    match metadata {
        Metadata::BaseTime(_) => "base_time",
        Metadata::UpstreamOpen { .. } => "upstream_open",
        Metadata::UpstreamAbnormalClose { .. } => "upstream_abnormal_close",
        Metadata::UpstreamResume { .. } => "upstream_resume",
        Metadata::UpstreamNormalClose { .. } => "upstream_normal_close",
        Metadata::DownstreamOpen { .. } => "downstream_open",
        Metadata::DownstreamAbnormalClose { .. } => "downstream_abnormal_close",
        Metadata::DownstreamResume { .. } => "downstream_resume",
        Metadata::DownstreamNormalClose { .. } => "downstream_normal_close",
    }
}

fn fields(metadata: &Metadata) -> Value {
    match metadata {
        Metadata::BaseTime(time) => json!({
            "session_id": time.session_id,
            "name": time.name,
            "priority": time.priority,
            "elapsed_ns": time.elapsed_time_ns,
            "base_time_ns": time.base_time_ns,
        }),
        Metadata::UpstreamOpen { stream_id, session_id, qos }
        | Metadata::UpstreamResume { stream_id, session_id, qos } => json!({
            "stream_id": stream_id.to_string(),
            "session_id": session_id,
            "qos": qos_value(*qos),
        }),
        Metadata::UpstreamAbnormalClose { stream_id, session_id } => json!({
            "stream_id": stream_id.to_string(),
            "session_id": session_id,
        }),
        Metadata::UpstreamNormalClose { stream_id, session_id, total_data_points, final_sequence_number } => {
            json!({
                "stream_id": stream_id.to_string(),
                "session_id": session_id,
                "total_data_points": total_data_points,
                "final_sequence_number": final_sequence_number,
            })
        }
        Metadata::DownstreamOpen { stream_id, filters, qos }
        | Metadata::DownstreamResume { stream_id, filters, qos } => json!({
            "stream_id": stream_id.to_string(),
            "filters": filters.iter().map(filter_value).collect::<Vec<_>>(),
            "qos": qos_value(*qos),
        }),
        Metadata::DownstreamAbnormalClose { stream_id } | Metadata::DownstreamNormalClose { stream_id } => {
            json!({ "stream_id": stream_id.to_string() })
        }
    }
}

/// Name of a QoS, or the number of one without a name.
fn qos_value(qos: Qos) -> Value {
    match qos {
        Qos::Unreliable => "unreliable".into(),
        Qos::Reliable => "reliable".into(),
        Qos::Partial => "partial".into(),
        Qos::Unknown(number) => number.into(),
    }
}

fn filter_value(filter: &DownstreamFilter) -> Value {
    let data_filters: Vec<_> =
        filter.data_filters.iter().map(|filter| format!("{}:{}", filter.kind, filter.name)).collect();
    json!({
        "source_node_id": filter.source_node_id,
        "data_filters": data_filters,
    })
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use iscp::core::ReceivedGroup;
    use iscp::message::{DataId, UpstreamInfo};

    use super::*;

    fn chunk() -> ReceivedChunk {
        ReceivedChunk {
            upstream: Arc::new(UpstreamInfo {
                session_id: "s".to_owned(),
                stream_id: uuid::Uuid::nil(),
                source_node_id: "n".to_owned(),
            }),
            sequence_number: 7,
            groups: vec![ReceivedGroup {
                data_id: Arc::new(DataId::new("name", "type")),
                points: [(-1, &b"a\"b"[..]), (2, b""), (3, b"\xff")].into_iter().collect(),
                filter_references: Vec::new(),
            }],
        }
    }

    fn print(json: bool, limit: u64) -> (u64, Vec<u8>) {
        let mut bytes = Vec::new();
        let printed = Printer::new(&mut bytes, json).chunk(&chunk(), limit).unwrap();
        (printed, bytes)
    }

    #[test]
    fn plain_payloads_are_printed_as_they_are() {
        assert_eq!(print(false, 9), (3, b"a\"b\n\n\xff\n".to_vec()));
        assert_eq!(print(false, 1), (1, b"a\"b\n".to_vec()));
    }

    #[test]
    fn json_points_have_their_keys_in_order() {
        let (_, bytes) = print(true, 9);
        let start = r#"{"source_node_id":"n","session_id":"s","name":"name","type":"type","elapsed_ns":"#;
        let expected = [
            format!("{start}-1,\"sequence_number\":7,\"payload\":\"a\\\"b\"}}\n"),
            format!("{start}2,\"sequence_number\":7,\"payload\":\"\"}}\n"),
            format!("{start}3,\"sequence_number\":7,\"payload_base64\":\"/w==\"}}\n"),
        ];
        assert_eq!(String::from_utf8(bytes).unwrap(), expected.concat());
    }
}
