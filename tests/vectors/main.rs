//! The vectors of docs/protocol/messages.md §14.

#[cfg(feature = "json")]
mod json;
mod protobuf;

use bytes::Bytes;
use iscp::encoding::protobuf::generated;
use serde_json::Value;
use uuid::Uuid;

const MESSAGES: &str = include_str!("messages.json");
const ACCEPT: &str = include_str!("accept.json");
const MALFORMED: &str = include_str!("malformed.json");

/// Arms whose extension block has content that is always written.
const WRITTEN_BLOCKS: [&str; 3] = ["upstream_open_request", "upstream_close_request", "upstream_metadata"];

fn entries(text: &str) -> Vec<Value> {
    serde_json::from_str(text).unwrap()
}

fn messages() -> Vec<Value> {
    entries(MESSAGES)
}

/// The entries of an encoding.
fn entries_of(encoding: &'static str, text: &str) -> impl Iterator<Item = Value> {
    entries(text).into_iter().filter(move |entry| entry["encoding"] == encoding)
}

fn text<'a>(entry: &'a Value, key: &str) -> &'a str {
    entry[key].as_str().unwrap_or_else(|| panic!("no {key} in {entry}"))
}

fn bytes(entry: &Value, key: &str) -> Bytes {
    let hex = text(entry, key).as_bytes();
    assert!(hex.len().is_multiple_of(2));
    hex.chunks(2)
        .map(|digits| u8::from_str_radix(std::str::from_utf8(digits).unwrap(), 16).unwrap())
        .collect()
}

/// Whether the typed message holds everything the vector does, so that its encoding must give the
/// same bytes. What typed messages do not hold: whether an extension block without content was
/// present, `data_filter_ids`, whether an empty `stream_chunk` was present, the spelling of a UUID.
fn is_lossless(value: &Value, arm: &str) -> bool {
    match value {
        Value::Array(items) => items.iter().all(|item| is_lossless(item, arm)),
        Value::Object(fields) => fields.iter().all(|(key, value)| match key.as_str() {
            "extension_fields" if arm == "connect_request" => is_canonical_connect_block(value),
            "extension_fields" => WRITTEN_BLOCKS.contains(&arm) == value.is_object(),
            "data_filter_ids" => value.as_array().is_some_and(Vec::is_empty),
            "stream_chunk" => value.is_object() && is_lossless(value, arm),
            _ => is_lossless(value, arm),
        }),
        _ => true,
    }
}

fn is_canonical_connect_block(block: &Value) -> bool {
    let project = &block["intdash"]["project_uuid"];
    let spelled =
        project.as_str().is_none_or(|text| Uuid::parse_str(text).is_ok_and(|uuid| uuid.to_string() == text));
    block.is_null() || (spelled && (project.is_string() || block["access_token"] != ""))
}

/// The message with the entries of its maps in ascending order: many vectors hold them in the order
/// of a hash table.
fn with_sorted_maps(mut message: generated::Message) -> generated::Message {
    use generated::message::Message as Arm;
    match message.message.as_mut() {
        Some(Arm::UpstreamOpenResponse(response)) => response.data_id_aliases.sort_by_key(|entry| entry.key),
        Some(Arm::UpstreamChunkAck(ack)) => ack.data_id_aliases.sort_by_key(|entry| entry.key),
        Some(Arm::DownstreamOpenRequest(request)) => request.data_id_aliases.sort_by_key(|entry| entry.key),
        Some(Arm::DownstreamChunkAck(ack)) => {
            ack.upstream_aliases.sort_by_key(|entry| entry.key);
            ack.data_id_aliases.sort_by_key(|entry| entry.key);
        }
        _ => {}
    }
    message
}
