//! The encoding JSON.

use iscp::encoding::json::{decode, encode, read_generated, write_generated};
use iscp::encoding::{Schema, protobuf};
use prost::Message as _;
use serde_json::Value;

use crate::{ACCEPT, MALFORMED, bytes, entries_of, generated, is_lossless, messages, text, with_sorted_maps};

/// The text of a vector in the newest schema.
fn newest(entry: &Value) -> &str {
    let key = if entry["json_3_0_0_text"].is_string() { "json_3_0_0_text" } else { "json_text" };
    text(entry, key)
}

/// The bytes of a malformed text: some are no text at all.
fn raw(entry: &Value) -> Vec<u8> {
    match entry["text"].as_str() {
        Some(text) => text.into(),
        None => bytes(entry, "hex").into(),
    }
}

#[test]
fn texts_are_those_of_the_go_encoder() {
    let mut of_v2 = 0;
    for entry in messages() {
        let name = text(&entry, "name");
        let message = generated::Message::decode(bytes(&entry, "proto_hex")).unwrap();
        let written = |schema| String::from_utf8(write_generated(&message, schema)).unwrap();
        assert_eq!(written(Schema::V3), newest(&entry), "{name}");
        if entry["schema"] == "2.x" {
            assert_eq!(written(Schema::V2), text(&entry, "json_text"), "{name}");
            of_v2 += 1;
        }
    }
    assert_eq!(of_v2, 239);
}

#[test]
fn texts_of_both_versions_are_read() {
    for entry in messages() {
        let name = text(&entry, "name");
        let message = generated::Message::decode(bytes(&entry, "proto_hex")).unwrap();
        let message = with_sorted_maps(message);
        for text in [newest(&entry), text(&entry, "json_text")] {
            assert_eq!(read_generated(text.as_bytes()), Ok(message.clone()), "{name}");
        }
    }
}

#[test]
fn typed_messages() {
    let (mut accepted, mut rejected, mut exact) = (0, 0, 0);
    for entry in messages() {
        let name = text(&entry, "name");
        let expected = newest(&entry);
        let decoded = decode(expected.as_bytes());
        // The typed layer is the same for all encodings, down to its errors.
        assert_eq!(decoded, protobuf::decode(bytes(&entry, "proto_hex")), "{name}");
        let Ok(message) = decoded else {
            assert!(text(&entry, "typed").starts_with("reject"), "{name}");
            rejected += 1;
            continue;
        };
        accepted += 1;
        let written = encode(&message, Schema::V3);
        assert_eq!(decode(&written).as_ref(), Ok(&message), "{name}");
        let json: Value = serde_json::from_str(expected).unwrap();
        let (arm, body) = json.as_object().unwrap().iter().next().unwrap();
        if is_lossless(body, arm) {
            assert_eq!(str::from_utf8(&written).unwrap(), expected, "{name}");
            exact += 1;
        }
    }
    assert_eq!((accepted, rejected), (258, 18));
    assert!(exact >= 120, "only {exact} compared byte for byte");
}

#[test]
fn unusual_texts_are_taken() {
    let mut taken = 0;
    for entry in entries_of("json", ACCEPT) {
        let name = text(&entry, "name");
        let meant =
            protobuf::decode(bytes(&entry, "proto_hex")).unwrap_or_else(|error| panic!("{name}: {error}"));
        // The one entry with `optional`, an unknown key, is taken too.
        assert_eq!(decode(text(&entry, "text").as_bytes()), Ok(meant), "{name}");
        taken += 1;
    }
    assert_eq!(taken, 17);
}

#[test]
fn malformed_texts_are_refused() {
    let mut refused = 0;
    for entry in entries_of("json", MALFORMED) {
        let name = text(&entry, "name");
        let error = decode(&raw(&entry)).expect_err(name);
        assert!(!error.to_string().is_empty(), "{name}");
        // The codec refuses what is no message, the typed layer what a message must not mean.
        let layer = if read_generated(&raw(&entry)).is_ok() { "model" } else { "wire" };
        assert_eq!(layer, text(&entry, "layer"), "{name}: {error}");
        refused += 1;
    }
    assert_eq!(refused, 85);
}
