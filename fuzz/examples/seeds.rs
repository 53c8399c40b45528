//! Writes what the fuzzer starts from: `corpus/TARGET/`, a file for every seed, and
//! `dictionaries/TARGET`, words that it puts in.

use std::collections::BTreeSet;
use std::fs;
use std::path::Path;

use iscp::message::Points;
use iscp::transport::multi::Control;
use iscp::transport::{Compression, Negotiation};
use serde_json::Value;

/// The vectors of docs/protocol/messages.md §14.
const VECTORS: [&str; 3] = [
    include_str!("../../tests/vectors/messages.json"),
    include_str!("../../tests/vectors/accept.json"),
    include_str!("../../tests/vectors/malformed.json"),
];

fn main() {
    let (mut protobuf, mut json) = (Vec::new(), Vec::new());
    for vectors in VECTORS {
        let entries: Vec<Value> = serde_json::from_str(vectors).expect("vectors are JSON");
        for entry in entries {
            let text = |key: &str| entry[key].as_str();
            let is_json = entry["encoding"] == "json";
            protobuf.extend(text("proto_hex").map(bytes));
            let form = if is_json { &mut json } else { &mut protobuf };
            form.extend(text("hex").map(bytes));
            json.extend(
                ["text", "json_text", "json_3_0_0_text"].into_iter().filter_map(text).map(Into::into),
            );
        }
    }
    let words = words(&json);
    write_corpus("protobuf", protobuf);
    write_corpus("json", json);
    write_dictionary("json", &words);

    write_corpus("negotiation", negotiations());
    let words = [
        "enc",
        "proto",
        "json",
        "comp",
        "clevel",
        "cwinbits",
        "per-message",
        "context-takeover",
        "tgid",
        "tid",
        "iscp-numbered",
    ];
    write_dictionary("negotiation", &words.map(str::to_owned).into());

    let controls =
        [Control::Ping(1), Control::Pong(2), Control::Hello(3), Control::Next(4), Control::Received(5)];
    write_corpus("control", controls.map(|control| control.encode().to_vec()).into());

    write_corpus("framing", streams());
    write_corpus("segments", datagrams());
    write_corpus("inflate", compressed());
    write_corpus("points", runs());
}

/// Negotiations in both of their forms.
fn negotiations() -> Vec<Vec<u8>> {
    let mut seeds = Vec::new();
    for compression in [
        Compression::Off,
        Compression::PerMessage { level: 6 },
        Compression::ContextTakeover { level: 9, window_bits: 15 },
    ] {
        let negotiation = Negotiation { compression, ..Negotiation::default() };
        seeds.push(negotiation.to_query().into_bytes());
        seeds.push(negotiation.to_bytes());
    }
    for stream in [
        "0003656e63000570726f746f",
        "0006636c6576656c0001360004636f6d70000b7065722d6d6573736167650003656e63000570726f746f",
    ] {
        seeds.push(bytes(stream));
    }
    for query in [
        "clevel=0&comp=context-takeover&cwinbits=0&enc=proto&tgid=a&tid=b",
        "enc=json&comp=per-message&clevel=-1",
        "enc=%70roto&something+else=%ff&=1",
    ] {
        seeds.push(query.into());
    }
    seeds
}

/// Streams of docs/protocol/transport.md §11.3, cut in different ways, and larger ones.
fn streams() -> Vec<Vec<u8>> {
    // Limit, filler, how often (times four), which are kept, how the stream is cut, the stream.
    let seed = |limit: u32, filler: u8, fill: u16, kept: u8, sizes: &[u8], stream: &str| {
        let mut seed = limit.to_le_bytes().to_vec();
        seed.push(filler);
        seed.extend(fill.to_le_bytes());
        seed.extend([kept, sizes.len() as u8]);
        seed.extend(sizes);
        seed.extend(bytes(stream));
        seed
    };
    let hello = "0000000548454c4c4f";
    let several = [hello, "00000000", hello, "0000000178"].concat();
    vec![
        seed(5, 0, 0, 0xff, &[], hello),
        seed(4, 0, 0, 0xff, &[], hello),
        seed(100, 0, 0, 0xff, &[0], &several),
        seed(100, 0, 0, 0x55, &[2, 6, 0], &several),
        seed(100, 0, 0x1000, 0x55, &[0xff], &several),
        // One large message, and small ones behind it.
        seed(1 << 20, 1, 0x4000, 0xff, &[0xff, 7], "0000f000"),
        seed(u32::MAX, 0, 0x4000, 0xff, &[0x80, 0x90], "0000e0000000000548454c4c4f"),
        seed(u32::MAX, 0, 0x4000, 0, &[], "ffffffff"),
    ]
}

/// Datagrams of docs/protocol/transport.md §11.3 and of senders of messages.
fn datagrams() -> Vec<Vec<u8>> {
    // Limits of a message, of all, of their number and age; then steps.
    let seed = |genuine: bool, limits: [u8; 6], steps: &[&[u8]]| {
        let mut seed = vec![u8::from(!genuine)];
        seed.extend(limits);
        seed.extend(steps.concat());
        seed
    };
    let roomy = [0xff, 0xff, 0xff, 0xff, 31, 0xff];
    let narrow = [0, 1, 0, 8, 3, 20];
    let raw = |hex: &str| {
        let datagram = bytes(hex);
        [&[0, datagram.len() as u8], &datagram[..]].concat()
    };
    let (first, second) = (raw("00000001000100000001020304050607"), raw("000000010001000108"));
    let mut seeds = vec![
        seed(false, roomy, &[&first, &second]),
        seed(false, narrow, &[&second, &first, &second, &second]),
        // Sequence number, largest index, index, length of the part.
        seed(false, roomy, &[&[1, 7, 2, 0, 9], &[1, 7, 2, 2, 0], &[9, 7, 2, 1, 100], &[9, 7, 0, 0, 5]]),
        seed(false, narrow, &[&[1, 7, 255, 255, 9], &[1, 8, 1, 1, 255], &[0xf9, 8, 1, 0, 0]]),
    ];
    // Two messages, of which all comes in order, backwards, twice, or not.
    let (one, other): (&[u8], &[u8]) = (&[0, 200, 0, 16], &[0, 0, 4, 100]);
    let steps: [&[&[u8]]; 4] = [
        &[one, other, &[4, 0, 31]],
        &[one, other, &[5, 23, 31]],
        &[one, other, &[2, 3, 0], &[0x47, 5, 31], &[4, 0, 31]],
        &[one, &[1, 3, 3], other, &[4, 0, 31], &[0xff, 0, 31]],
    ];
    for steps in steps {
        seeds.push(seed(true, roomy, steps));
        seeds.push(seed(true, narrow, steps));
    }
    seeds
}

/// Streams of docs/protocol/transport.md §6.1, §6.4 and §11.3, and messages to be compressed.
fn compressed() -> Vec<Vec<u8>> {
    const STREAMS: [&[&str]; 6] = [
        &["000600f9ff1a0412024f4b000000ffff0300", "92621162f2f706040000ffff", "93621162f2f70600"],
        &["000000ffff0300", "010000ffff", "0300", ""],
        &["cb48cdc9c90700", "010500faff68656c6c6f"],
        &["2b49cd2d482d4a2c292d4ab53532d4330500", "2b41e59b0100"],
        &["2a49cd2d482d4a2c292d4ab53532d43305000000ffff0300", "42e39b01000000ffff0300"],
        // Broken, and one without an end.
        &["ffffffff", "06", "ca48cdc9c907000000ffff"],
    ];
    // How often a message is repeated stands above the lowest bit, as a power of two.
    let plain = |times: u8, message: &[u8]| [&[times << 1 | 1, message.len() as u8], message].concat();
    let mut messages: Vec<Vec<u8>> = STREAMS
        .into_iter()
        .map(|streams| {
            let mut steps = Vec::new();
            for stream in streams {
                let stream = bytes(stream);
                steps.extend([0, stream.len() as u8]);
                steps.extend(stream);
            }
            steps
        })
        .collect();
    messages.push([plain(0, b"temperature=21.5"), plain(0, b"temperature=21.6"), plain(5, b"ab")].concat());
    // Larger than what is kept, and small behind it.
    messages.push([plain(15, b"0123456789abcdef"), plain(0, b"small")].concat());
    let mut seeds = Vec::new();
    for messages in messages {
        // Level, window (16 is none), limit as a power of two.
        for mode in [[5, 16, 20], [8, 15, 20], [0, 9, 12], [5, 0, 4]] {
            seeds.push([&mode[..], &messages].concat());
        }
    }
    seeds
}

/// Runs of data points (docs/protocol/messages.md §4.1).
fn runs() -> Vec<Vec<u8>> {
    let mut seeds: Vec<Vec<u8>> = [
        "",
        "1a00",
        "1a0408021200",
        "1a0712056162636465",
        // With unknown fields of every wire type.
        "1a0c1801250000000029000000000000000000",
        "1a0a1b2001232a0161241c12001a0012",
    ]
    .map(bytes)
    .into();
    let points: Points =
        [(0, &b""[..]), (-1, b"x"), (i64::MIN, b"yz"), (i64::MAX, &[7; 200])].into_iter().collect();
    seeds.push(points.as_bytes().to_vec());
    // Much that is no point, where the group of a chunk may have it.
    seeds.push([&bytes("1a021200ba3eb817")[..], &[0; 3000]].concat());
    seeds
}

fn bytes(text: &str) -> Vec<u8> {
    hex::decode(text).expect("hexadecimal")
}

/// Keys and names of the messages among JSON texts.
fn words(texts: &[Vec<u8>]) -> BTreeSet<String> {
    fn collect(value: &Value, words: &mut BTreeSet<String>) {
        match value {
            Value::Array(items) => items.iter().for_each(|item| collect(item, words)),
            Value::Object(members) => members.iter().for_each(|(key, value)| {
                words.insert(key.clone());
                collect(value, words);
            }),
            Value::String(text) => drop(words.insert(text.clone())),
            _ => {}
        }
    }
    let mut words = BTreeSet::new();
    for text in texts {
        if let Ok(value) = serde_json::from_slice(text) {
            collect(&value, &mut words);
        }
    }
    let is_name =
        |word: &String| !word.is_empty() && word.bytes().all(|c| c.is_ascii_alphabetic() || c == b'_');
    words.retain(is_name);
    words
}

fn write_corpus(target: &str, seeds: Vec<Vec<u8>>) {
    let directory = Path::new(env!("CARGO_MANIFEST_DIR")).join("corpus").join(target);
    fs::create_dir_all(&directory).expect("the corpus can be written");
    for (index, seed) in seeds.iter().enumerate() {
        fs::write(directory.join(format!("seed-{index:04}")), seed).expect("the corpus can be written");
    }
}

/// Writes the words in the form that libFuzzer reads.
fn write_dictionary(target: &str, words: &BTreeSet<String>) {
    let directory = Path::new(env!("CARGO_MANIFEST_DIR")).join("dictionaries");
    fs::create_dir_all(&directory).expect("the dictionaries can be written");
    let lines: String = words.iter().map(|word| format!("\"{word}\"\n")).collect();
    fs::write(directory.join(target), lines).expect("the dictionaries can be written");
}
