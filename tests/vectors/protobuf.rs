//! The encoding protobuf.

use iscp::encoding::protobuf::{decode, encode, generated};
use prost::Message as _;

use crate::{ACCEPT, MALFORMED, bytes, entries_of, is_lossless, messages, text, with_sorted_maps};

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
        let sorted = with_sorted_maps(generated::Message::decode(wire.clone()).unwrap()).encode_to_vec();
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
    for entry in entries_of("proto", ACCEPT) {
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
    for entry in entries_of("proto", MALFORMED) {
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
