//! From the generated types to JSON.
//!
//! As in reading, a generated type says no more than what its members are; how they are written is there once.

use std::collections::BTreeMap;
use std::io;

use base64::display::Base64Display;
use base64::prelude::BASE64_STANDARD;
use bytes::Bytes;
use serde::ser::{Serialize, SerializeMap, SerializeSeq, Serializer};
use serde_json::ser::Formatter;

use crate::encoding::Schema;
use crate::encoding::typed::field::Entry;

/// A message: the object that its fields are the members of.
pub(super) trait Object {
    /// Writes the fields that the reader knows, in the order of their declaration.
    fn write(&self, members: &mut Members<'_>);
}

/// An enum of the schema.
pub(super) trait Enumeration {
    /// The name of a number, if the reader knows it.
    fn name(number: i32, schema: Schema) -> Option<&'static str>;
}

/// A value of which the type says how it is written.
pub(super) trait Value {
    /// The value with the way it is written.
    fn json(&self) -> Json<'_>;
}

/// The text of a message.
pub(super) fn to_vec<T: Object>(message: &T, schema: Schema) -> Vec<u8> {
    let mut text = Vec::new();
    let mut serializer = serde_json::Serializer::with_formatter(&mut text, GoFormatter);
    let message = ForReader { json: message.json(), schema };
    message.serialize(&mut serializer).expect("neither memory nor a value of a message fails to be written");
    text
}

/// A value with the way it is written.
pub(super) enum Json<'a> {
    Null,
    Bool(bool),
    I32(i32),
    U32(u32),
    U64(u64),
    I64(i64),
    String(&'a str),
    Bytes(&'a Bytes),
    Object(&'a dyn Object),
    List(&'a dyn List),
    Map(&'a dyn Map),
}

/// The items of an array.
pub(super) trait List {
    /// Takes each item to `write`.
    fn write(&self, write: &mut dyn FnMut(Json<'_>));
}

/// The entries of a map.
pub(super) trait Map {
    /// Takes each entry to `write`, in the order of their keys. A missing part of an entry is its default, and
    /// of several entries with a key the last one counts.
    fn write(&self, write: &mut dyn FnMut(u32, Json<'_>));
}

/// The members of an object that is being written.
pub(super) struct Members<'a> {
    write: &'a mut dyn FnMut(&str, Json<'_>),
    schema: Schema,
}

impl Members<'_> {
    /// What the reader knows.
    pub(super) fn schema(&self) -> Schema {
        self.schema
    }

    /// Writes a field of which the type says how it is written.
    pub(super) fn value(&mut self, key: &str, value: &impl Value) {
        (self.write)(key, value.json());
    }

    /// Writes the name of an enum's number, or the number if it has none.
    pub(super) fn enumeration<E: Enumeration>(&mut self, key: &str, number: i32) {
        (self.write)(key, E::name(number, self.schema).map_or(Json::I32(number), Json::String));
    }

    /// Writes a map.
    pub(super) fn map(&mut self, key: &str, map: &impl Map) {
        (self.write)(key, Json::Map(map));
    }
}

/// A value for a reader of a schema.
struct ForReader<'a> {
    json: Json<'a>,
    schema: Schema,
}

impl Serialize for ForReader<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let schema = self.schema;
        // The first error; what comes after it is not written.
        let mut result = Ok(());
        match self.json {
            Json::Null => serializer.serialize_none(),
            Json::Bool(value) => serializer.serialize_bool(value),
            Json::I32(number) => serializer.serialize_i32(number),
            Json::U32(number) => serializer.serialize_u32(number),
            Json::U64(number) => serializer.collect_str(&number),
            Json::I64(number) => serializer.collect_str(&number),
            Json::String(text) => serializer.serialize_str(text),
            Json::Bytes(bytes) => serializer.collect_str(&Base64Display::new(bytes, &BASE64_STANDARD)),
            Json::Object(object) => {
                let mut map = serializer.serialize_map(None)?;
                let mut write = |key: &str, json: Json<'_>| {
                    if result.is_ok() {
                        result = map.serialize_entry(key, &ForReader { json, schema });
                    }
                };
                object.write(&mut Members { write: &mut write, schema });
                result?;
                map.end()
            }
            Json::List(list) => {
                let mut seq = serializer.serialize_seq(None)?;
                list.write(&mut |json| {
                    if result.is_ok() {
                        result = seq.serialize_element(&ForReader { json, schema });
                    }
                });
                result?;
                seq.end()
            }
            Json::Map(entries) => {
                let mut map = serializer.serialize_map(None)?;
                entries.write(&mut |key, json| {
                    if result.is_ok() {
                        result = map.serialize_entry(&key, &ForReader { json, schema });
                    }
                });
                result?;
                map.end()
            }
        }
    }
}

impl<T: Object> Value for T {
    fn json(&self) -> Json<'_> {
        Json::Object(self)
    }
}

impl<T: Object> Value for Option<T> {
    fn json(&self) -> Json<'_> {
        self.as_ref().map_or(Json::Null, Value::json)
    }
}

impl<T: Value> Value for Vec<T> {
    fn json(&self) -> Json<'_> {
        Json::List(self)
    }
}

impl<T: Value> List for Vec<T> {
    fn write(&self, write: &mut dyn FnMut(Json<'_>)) {
        self.iter().for_each(|item| write(item.json()));
    }
}

impl<E: Entry<Value: Value>> Map for Vec<E> {
    fn write(&self, write: &mut dyn FnMut(u32, Json<'_>)) {
        let default = E::Value::default();
        let mut entries = BTreeMap::<u32, &dyn Value>::new();
        for (key, value) in self.iter().map(Entry::parts) {
            entries.insert(key.unwrap_or_default(), value.unwrap_or(&default));
        }
        entries.into_iter().for_each(|(key, value)| write(key, value.json()));
    }
}

impl Value for u32 {
    fn json(&self) -> Json<'_> {
        Json::U32(*self)
    }
}

impl Value for u64 {
    fn json(&self) -> Json<'_> {
        Json::U64(*self)
    }
}

impl Value for i64 {
    fn json(&self) -> Json<'_> {
        Json::I64(*self)
    }
}

impl Value for bool {
    fn json(&self) -> Json<'_> {
        Json::Bool(*self)
    }
}

impl Value for String {
    fn json(&self) -> Json<'_> {
        Json::String(self)
    }
}

impl Value for Bytes {
    fn json(&self) -> Json<'_> {
        if self.is_empty() { Json::Null } else { Json::Bytes(self) }
    }
}

/// Escapes what Go's encoder escapes and others do not: what could end a script element in HTML, and the
/// two characters that end a line in JavaScript alone.
struct GoFormatter;

impl Formatter for GoFormatter {
    fn write_string_fragment<W: ?Sized + io::Write>(
        &mut self,
        writer: &mut W,
        fragment: &str,
    ) -> io::Result<()> {
        let mut rest = fragment;
        while let Some(at) = rest.find(['<', '>', '&', '\u{2028}', '\u{2029}']) {
            let (plain, special) = rest.split_at(at);
            writer.write_all(plain.as_bytes())?;
            let mut characters = special.chars();
            if let Some(character) = characters.next() {
                write!(writer, "\\u{:04x}", u32::from(character))?;
            }
            rest = characters.as_str();
        }
        writer.write_all(rest.as_bytes())
    }
}
