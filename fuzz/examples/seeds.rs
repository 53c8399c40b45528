//! Writes what the fuzzer starts from: `corpus/TARGET/`, a file for every seed, and
//! `dictionaries/TARGET`, words that it puts in.

use std::collections::BTreeSet;
use std::fs;
use std::path::Path;

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
            let bytes = |key: &str| text(key).map(|hex| hex::decode(hex).expect("vectors are hexadecimal"));
            let is_json = entry["encoding"] == "json";
            protobuf.extend(bytes("proto_hex"));
            let form = if is_json { &mut json } else { &mut protobuf };
            form.extend(bytes("hex"));
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
    let words =
        ["enc", "proto", "json", "comp", "clevel", "cwinbits", "per-message", "context-takeover", "tgid"];
    write_dictionary("negotiation", &words.map(str::to_owned).into());
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
    for query in [
        "clevel=0&comp=context-takeover&cwinbits=0&enc=proto&tgid=a&tid=b",
        "enc=json&comp=per-message&clevel=-1",
        "enc=%70roto&something+else=%ff&=1",
    ] {
        seeds.push(query.into());
    }
    seeds
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
