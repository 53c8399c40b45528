//! Tests over random messages, and of what readers tolerate.

use serde_json::Value;

use super::{decode, encode, read_generated, write_generated};
use crate::encoding::protobuf;
use crate::encoding::random::Random;
use crate::encoding::{Encoding, RawMessage, Schema};
use crate::message::{Disconnect, Message, ResultCode, UpstreamCall};

/// Removes the keys that protocol 2.x does not know.
fn without_v3_keys(value: &mut Value, in_connect_request: bool) {
    match value {
        Value::Array(items) => items.iter_mut().for_each(|item| without_v3_keys(item, false)),
        Value::Object(members) => {
            for key in [
                "connection_id",
                "connection_group_id",
                "data_filter_ids",
                "downstream_filter_references",
                "resume_token",
            ] {
                members.remove(key);
            }
            if in_connect_request {
                // Requests that open a stream have had one from the beginning.
                members.remove("expiry_interval");
            }
            for (key, value) in members {
                without_v3_keys(value, key == "connect_request");
            }
        }
        _ => {}
    }
}

/// The JSON text of a message.
fn text(message: &Message, schema: Schema) -> String {
    String::from_utf8(encode(message, schema).into()).unwrap()
}

/// The error in reading a text.
#[track_caller]
fn error(text: &str) -> String {
    decode(text.as_bytes()).expect_err(text).to_string()
}

#[test]
fn random_messages_survive() {
    let mut random = Random::new(1);
    for _ in 0..100 {
        for kind in 0..Random::KINDS {
            let message = random.message(kind);
            let json = encode(&message, Schema::V3);
            assert_eq!(decode(&json).as_ref(), Ok(&message), "{message:?}");
            // From one encoding to the other and back, without the typed layer.
            let wire = protobuf::encode(&message);
            let raw = RawMessage::decode(Encoding::Protobuf, wire.clone()).unwrap();
            assert_eq!(RawMessage::decode(Encoding::Json, json.clone()).as_ref(), Ok(&raw));
            assert_eq!(raw.encode(Encoding::Json, Schema::V3), json);
            assert_eq!(raw.encode(Encoding::Protobuf, Schema::V3), wire);
        }
    }
}

#[test]
fn texts_of_2_x_lack_the_keys_of_3_0() {
    let mut random = Random::new(2);
    for _ in 0..50 {
        for kind in 0..Random::KINDS {
            let message = random.message(kind);
            let v2 = text(&message, Schema::V2);
            let mut expected: Value = serde_json::from_slice(&encode(&message, Schema::V3)).unwrap();
            without_v3_keys(&mut expected, false);
            // Names of new codes differ too; they have a test of their own.
            if !["TOO_LARGE_FEED_ID", "TOO_MANY_TARGET_NODES", "FEED_NOT_FOUND", "INVALID_RESUME_TOKEN"]
                .iter()
                .any(|name| expected.to_string().contains(name))
            {
                assert_eq!(serde_json::from_str::<Value>(&v2).unwrap(), expected);
            }
            // What was left out reads as its default.
            let read = decode(v2.as_bytes()).unwrap();
            assert_eq!(text(&read, Schema::V2), v2);
        }
    }
}

#[test]
fn readers_of_2_x_get_the_numbers_of_new_codes() {
    for (code, name) in [(90, "\"RATE_LIMIT_REACHED\""), (94, "\"INVALID_RESUME_TOKEN\""), (9999, "9999")] {
        let message = Message::Disconnect(Disconnect { result_code: ResultCode(code), ..Default::default() });
        let disconnect = |code: &str| {
            format!(r#"{{"disconnect":{{"result_code":{code},"result_string":"","extension_fields":null}}}}"#)
        };
        assert_eq!(text(&message, Schema::V3), disconnect(name));
        let old = if code == 94 { "94" } else { name };
        assert_eq!(text(&message, Schema::V2), disconnect(old));
    }
}

#[test]
fn damaged_texts_do_no_harm() {
    const PIECES: [&str; 12] = ["\"", "{", "}", "[", "]", ",", ":", "null", "0", "-1e9", "\\u", "\"ping\":"];
    let mut random = Random::new(3);
    let (mut taken, mut refused) = (0, 0);
    for _ in 0..60 {
        for kind in 0..Random::KINDS {
            let json = encode(&random.message(kind), Schema::V3).to_vec();
            for _ in 0..3 {
                let mut damaged = json.clone();
                let at = random.below(damaged.len());
                match random.below(4) {
                    0 => damaged.truncate(at),
                    1 => damaged[at] = random.next() as u8,
                    2 => drop(damaged.remove(at)),
                    _ => drop(damaged.splice(at..at, PIECES[random.below(PIECES.len())].bytes())),
                }
                match decode(&damaged) {
                    // What is taken is a message like any other.
                    Ok(message) => {
                        assert_eq!(decode(&encode(&message, Schema::V3)), Ok(message));
                        taken += 1;
                    }
                    Err(error) => {
                        assert!(!error.to_string().is_empty());
                        refused += 1;
                    }
                }
            }
        }
    }
    assert!(taken > 200 && refused > 2_000, "{taken} taken, {refused} refused");
}

#[test]
fn numbers_have_several_forms() {
    let ping = |id: &str| decode(format!(r#"{{"ping":{{"request_id":{id}}}}}"#).as_bytes());
    for (id, number) in
        [("7", 7), ("\"7\"", 7), ("7.0", 7), ("1e2", 100), ("4294967295", u32::MAX), ("-0", 0), ("null", 0)]
    {
        assert_eq!(ping(id), Ok(Message::Ping(number)), "{id}");
    }
    for id in
        ["-1", "7.5", "\"7.0\"", "\"07\"", "\"+7\"", "\" 7\"", "\"\"", "\"-\"", "4294967296", "1e300", "[7]"]
    {
        let error = ping(id).unwrap_err().to_string();
        assert!(error.starts_with("ping.request_id: ") && error.contains("32 bits"), "{id}: {error}");
    }
    let time = |number: &str| {
        let text = format!(
            r#"{{"upstream_metadata":{{"base_time":{{"base_time":{number},"elapsed_time":"18446744073709551615"}}}}}}"#
        );
        decode(text.as_bytes()).map(|message| match message {
            Message::UpstreamMetadata(metadata) => metadata.base_time.base_time_ns,
            other => panic!("{other:?}"),
        })
    };
    assert_eq!(time("-9223372036854775808"), Ok(i64::MIN));
    assert_eq!(time("\"9223372036854775807\""), Ok(i64::MAX));
    // A float of that size stands for many numbers.
    assert!(time("9007199254740993.0").is_err() && time("9007199254740991.0").is_ok());
}

#[test]
fn base64_has_several_forms() {
    let payload = |text: &str| {
        decode(format!(r#"{{"upstream_call":{{"payload":{text}}}}}"#).as_bytes()).map(|message| match message
        {
            Message::UpstreamCall(UpstreamCall { payload, .. }) => payload.to_vec(),
            other => panic!("{other:?}"),
        })
    };
    for text in ["\"+/8=\"", "\"+/8\"", "\"-_8=\"", "\"-_8\"", r#""+\r\n/8\n=""#, "\"\\u002b/8=\""] {
        assert_eq!(payload(text), Ok(vec![0xfb, 0xff]), "{text}");
    }
    for text in ["null", "\"\""] {
        assert_eq!(payload(text), Ok(vec![]), "{text}");
    }
    for text in ["\"+_8=\"", "\"+/8=+/8=\"", "\"+/8 \"", "\"A\"", "[251,255]", "7"] {
        let error = payload(text).unwrap_err().to_string();
        assert!(error.starts_with("upstream_call.payload: ") && error.contains("base64"), "{text}: {error}");
    }
}

#[test]
fn null_is_an_arm_that_is_not_set() {
    assert_eq!(decode(br#"{"ping":null,"pong":{"request_id":3}}"#), Ok(Message::Pong(3)));
    assert_eq!(error(r#"{"ping":null}"#), "Message.message: not set");
    assert!(error(r#"{"ping":null,"ping":null}"#).contains("given twice"));
}

#[test]
fn unknown_keys_are_skipped() {
    let unknown = r#""new":[{"a":[1,-2,0.5,"x",true,null,{}]},[]],"r\u0065quest_id":9"#;
    assert_eq!(decode(format!(r#"{{"new":7,"ping":{{{unknown}}}}}"#).as_bytes()), Ok(Message::Ping(9)));
    // Other letter cases are other keys.
    assert_eq!(decode(br#"{"ping":{"RequestId":9,"Request_id":9}}"#), Ok(Message::Ping(0)));
    let nested = |depth| format!(r#"{{"ping":{{"new":{}{}}}}}"#, "[".repeat(depth), "]".repeat(depth));
    assert_eq!(decode(nested(100).as_bytes()), Ok(Message::Ping(0)));
    for depth in [200, 1_000_000] {
        assert!(error(&nested(depth)).contains(" …: recursion limit exceeded"));
    }
}

#[test]
fn errors_name_the_path() {
    for (text, expected) in [
        ("", "EOF while parsing a value at line 1 column 0"),
        ("[]", "invalid type: sequence, expected an object at line 1 column 0"),
        (r#"{"ping":{}} x"#, "trailing characters at line 1 column 13"),
        (r#"{"ping":[]}"#, "ping: invalid type: sequence, expected an object at line 1 column 8"),
        (
            r#"{"upstreamChunkAck":{"results":[{},{"resultCode":"NO"}]}}"#,
            "upstreamChunkAck.results[1].resultCode: invalid value: string \"NO\", \
             expected a name or number of the enum ResultCode at line 1 column 53",
        ),
        (
            r#"{"upstream_chunk_ack":{"data_id_aliases":{"7":{"name":1}}}}"#,
            "upstream_chunk_ack.data_id_aliases.7.name: invalid type: integer `1`, expected a string \
             at line 1 column 55",
        ),
        (
            r#"{"upstream_chunk_ack":{"data_id_aliases":{"7":{},"x":{}}}}"#,
            "upstream_chunk_ack.data_id_aliases: invalid value: string \"x\", \
             expected an unsigned number of 32 bits at line 1 column 52",
        ),
        (
            r#"{"upstream_chunk_ack":{"data_id_aliases":{"7":{},"7":{}}}}"#,
            "upstream_chunk_ack.data_id_aliases: the key \"7\" is given twice at line 1 column 52",
        ),
        (
            r#"{"ping":{"request_id":1,"requestId":1}}"#,
            "ping: the field of the key \"requestId\" is given twice at line 1 column 35",
        ),
        (r#"{"ping":{},"pong":{}}"#, "\"pong\" is a second arm of the oneof `message` at line 1 column 21"),
        (
            r#"{"upstream_open_request":{"data_ids":[null]}}"#,
            "upstream_open_request.data_ids[0]: invalid type: null, expected an object at line 1 column 42",
        ),
        (
            r#"{"upstream_resume_request":{"stream_id":"QQ=="}}"#,
            "UpstreamResumeRequest.stream_id: 1 bytes instead of 16",
        ),
    ] {
        assert_eq!(error(text), expected, "{text}");
    }
    let long = error(&format!(r#"{{"disconnect":{{"result_code":"{}"}}}}"#, "é".repeat(1_000_000)));
    assert!(long.starts_with("disconnect.result_code: invalid value: string \"éé") && long.len() < 600);
    assert_eq!(decode(b"{\"ping\":\xff}").unwrap_err().to_string(), "not UTF-8 at byte 8");
}

#[test]
fn strings_are_escaped_as_go_does() {
    let all: String =
        (0..0x250).chain(0x2020..0x2030).chain(0xfff0..0xffff).filter_map(char::from_u32).collect();
    let message = Message::Disconnect(Disconnect { result_string: all, ..Default::default() });
    let json = text(&message, Schema::V3);
    assert_eq!(decode(json.as_bytes()).as_ref(), Ok(&message));
    for escaped in [
        r"\u0000",
        r"\u0007\b\t\n\u000b\f\r\u000e",
        r"\u001f !\u0022",
        r"\u0026",
        r"\u003c=\u003e",
        "\u{7f}\u{80}",
    ] {
        let escaped = escaped.replace(r"\u0022", "\\\"");
        assert!(json.contains(&escaped), "{escaped}");
    }
    assert!(
        json.contains("\u{2027}\\u2028\\u2029\u{202a}") && json.contains("./0") && json.contains("[\\\\]")
    );
}

#[test]
fn what_typed_messages_leave_out_is_kept() {
    let json = br#"{"upstream_chunk":{"stream_id_alias":0,"stream_chunk":{"sequence_number":0,"data_point_groups":[{"data_id_alias":7,"data_points":[],"data_filter_ids":[1,2]}]},"data_ids":[],"extension_fields":{}}}"#;
    let message = read_generated(json).unwrap();
    assert_eq!(write_generated(&message, Schema::V3), json);
    let raw = RawMessage::decode(Encoding::Json, json.to_vec().into()).unwrap();
    let wire = raw.encode(Encoding::Protobuf, Schema::V3);
    let again = RawMessage::decode(Encoding::Protobuf, wire).unwrap();
    assert_eq!(again.encode(Encoding::Json, Schema::V3), &json[..]);
    // Valid JSON of the schema, but no valid message.
    let no_id = br#"{"upstream_chunk":{"stream_chunk":{"data_point_groups":[{}]}}}"#;
    assert!(read_generated(no_id).is_ok());
    let error = RawMessage::decode(Encoding::Json, no_id[..].into()).unwrap_err().to_string();
    assert_eq!(error, "DataPointGroup.data_id_or_alias: not set");
}
