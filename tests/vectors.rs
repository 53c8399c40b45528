//! The vectors of docs/protocol/messages.md §14 against the protobuf encoding.

use bytes::Bytes;
use iscp::encoding::protobuf::{decode, encode, generated};
use prost::Message as _;
use serde_json::Value;
use uuid::Uuid;

/// Arms whose extension block has content that is always written.
const WRITTEN_BLOCKS: [&str; 3] = ["upstream_open_request", "upstream_close_request", "upstream_metadata"];

fn entries(text: &str) -> Vec<Value> {
    serde_json::from_str(text).unwrap()
}

fn messages() -> Vec<Value> {
    entries(include_str!("vectors/messages.json"))
}

fn proto_entries(text: &str) -> impl Iterator<Item = Value> {
    entries(text).into_iter().filter(|entry| entry["encoding"] == "proto")
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
fn with_sorted_maps(wire: Bytes) -> Vec<u8> {
    use generated::message::Message as Arm;
    let mut message = generated::Message::decode(wire).unwrap();
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
    message.encode_to_vec()
}

#[test]
fn generated_types_reproduce_every_message() {
    for entry in messages() {
        let wire = bytes(&entry, "proto_hex");
        let message = generated::Message::decode(wire.clone()).unwrap();
        assert_eq!(message.encode_to_vec(), wire, "{}", text(&entry, "name"));
    }
}

#[test]
fn typed_messages() {
    let (mut accepted, mut rejected, mut exact, mut unsorted) = (0, 0, 0, 0);
    for entry in messages() {
        let name = text(&entry, "name");
        let wire = bytes(&entry, "proto_hex");
        let decoded = decode(wire.clone());
        if text(&entry, "typed").starts_with("reject") {
            let error = decoded.expect_err(name);
            assert!(!error.to_string().is_empty(), "{name}");
            rejected += 1;
            continue;
        }
        // `either` is an unknown enum number, which is kept, or a missing chunk, which is empty.
        let message = decoded.unwrap_or_else(|error| panic!("{name}: {error}"));
        accepted += 1;
        let message_type = text(&entry, "message_type");
        assert_eq!(message.name(), message_type, "{name}");

        let encoded = encode(&message);
        assert_eq!(decode(encoded.clone()).as_ref(), Ok(&message), "{name}");
        let canonical = generated::Message::decode(encoded.clone()).unwrap();
        assert_eq!(canonical.encode_to_vec(), encoded, "{name}: not canonical");

        let json = entry.get("json_3_0_0").unwrap_or(&entry["json"]);
        let (arm, body) = json.as_object().unwrap().iter().next().unwrap();
        let sorted = with_sorted_maps(wire.clone());
        if sorted != wire {
            unsorted += 1;
        }
        if is_lossless(body, arm) {
            assert_eq!(encoded, sorted, "{name}");
            exact += 1;
        } else {
            assert_ne!(encoded, sorted, "{name}: nothing is lost after all");
        }
    }
    println!("{accepted} accepted, {exact} of them byte for byte; {rejected} rejected; {unsorted} unsorted");
    assert_eq!((accepted, rejected), (258, 18));
    assert!(exact >= 120, "only {exact} compared byte for byte");
}

#[test]
fn unusual_messages_are_taken() {
    let mut taken = 0;
    for entry in proto_entries(include_str!("vectors/accept.json")) {
        let name = text(&entry, "name");
        let meant = decode(bytes(&entry, "proto_hex")).unwrap_or_else(|error| panic!("{name}: {error}"));
        // Entries with `optional`, for which tolerance is only recommended, are taken too.
        assert_eq!(decode(bytes(&entry, "hex")), Ok(meant), "{name}");
        taken += 1;
    }
    assert_eq!(taken, 23);
}

#[test]
fn malformed_messages_are_refused() {
    let mut refused = 0;
    for entry in proto_entries(include_str!("vectors/malformed.json")) {
        let name = text(&entry, "name");
        let wire = bytes(&entry, "hex");
        let error = decode(wire.clone()).expect_err(name);
        assert!(!error.to_string().is_empty(), "{name}");
        // The codec refuses broken bytes, the typed layer what they must not mean.
        let layer = if generated::Message::decode(wire).is_ok() { "model" } else { "wire" };
        assert_eq!(layer, text(&entry, "layer"), "{name}");
        refused += 1;
    }
    assert_eq!(refused, 140);
}
