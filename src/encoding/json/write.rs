//! From the generated types to JSON.

use std::collections::BTreeMap;
use std::io;

use base64::display::Base64Display;
use base64::prelude::BASE64_STANDARD;
use bytes::Bytes;
use serde::ser::{Serialize, SerializeMap, Serializer};
use serde_json::ser::Formatter;

use crate::encoding::Schema;
use crate::encoding::typed::field::Entry;

/// A message: the object that its fields are the members of.
pub(super) trait Object {
    /// Writes the fields that the reader knows, in the order of their declaration.
    fn write<S: SerializeMap>(&self, members: &mut Members<S>) -> Result<(), S::Error>;
}

/// An enum of the schema.
pub(super) trait Enumeration {
    /// The name of a number, if the reader knows it.
    fn name(number: i32, schema: Schema) -> Option<&'static str>;
}

/// A value of which the type says how it is written.
pub(super) trait Value {
    /// Writes the value.
    fn write<S: Serializer>(&self, schema: Schema, serializer: S) -> Result<S::Ok, S::Error>;
}

/// The text of a message.
pub(super) fn to_vec<T: Object>(message: &T, schema: Schema) -> Vec<u8> {
    let mut text = Vec::new();
    let mut serializer = serde_json::Serializer::with_formatter(&mut text, GoFormatter);
    let message = Json { value: message, schema };
    message.serialize(&mut serializer).expect("neither memory nor a value of a message fails to be written");
    text
}

/// The members of an object that is being written.
pub(super) struct Members<S> {
    map: S,
    schema: Schema,
}

impl<S: SerializeMap> Members<S> {
    /// What the reader knows.
    pub(super) fn schema(&self) -> Schema {
        self.schema
    }

    /// Writes a field of which the type says how it is written.
    pub(super) fn value<T: Value>(&mut self, key: &str, value: &T) -> Result<(), S::Error> {
        self.map.serialize_entry(key, &Json { value, schema: self.schema })
    }

    /// Writes the name of an enum's number, or the number if it has none.
    pub(super) fn enumeration<E: Enumeration>(&mut self, key: &str, number: i32) -> Result<(), S::Error> {
        match E::name(number, self.schema) {
            Some(name) => self.map.serialize_entry(key, name),
            None => self.map.serialize_entry(key, &number),
        }
    }

    /// Writes a map.
    pub(super) fn map<E: Entry<Value: Value>>(&mut self, key: &str, entries: &[E]) -> Result<(), S::Error> {
        self.map.serialize_entry(key, &Json { value: &Map(entries), schema: self.schema })
    }
}

/// A value with the schema it is written in.
struct Json<'a, T> {
    value: &'a T,
    schema: Schema,
}

impl<T: Value> Serialize for Json<'_, T> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        self.value.write(self.schema, serializer)
    }
}

impl<T: Object> Value for T {
    fn write<S: Serializer>(&self, schema: Schema, serializer: S) -> Result<S::Ok, S::Error> {
        let mut members = Members { map: serializer.serialize_map(None)?, schema };
        Object::write(self, &mut members)?;
        members.map.end()
    }
}

impl<T: Object> Value for Option<T> {
    fn write<S: Serializer>(&self, schema: Schema, serializer: S) -> Result<S::Ok, S::Error> {
        match self {
            Some(message) => Value::write(message, schema, serializer),
            None => serializer.serialize_none(),
        }
    }
}

impl<T: Value> Value for Vec<T> {
    fn write<S: Serializer>(&self, schema: Schema, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_seq(self.iter().map(|value| Json { value, schema }))
    }
}

/// The entries of a map, in the order of their keys. A missing part of an entry is its default, and of
/// several entries with a key the last one counts.
struct Map<'a, E>(&'a [E]);

impl<E: Entry<Value: Value>> Value for Map<'_, E> {
    fn write<S: Serializer>(&self, schema: Schema, serializer: S) -> Result<S::Ok, S::Error> {
        let default = E::Value::default();
        let mut entries = BTreeMap::new();
        for (key, value) in self.0.iter().map(Entry::parts) {
            entries.insert(key.unwrap_or_default(), Json { value: value.unwrap_or(&default), schema });
        }
        serializer.collect_map(entries)
    }
}

impl Value for u32 {
    fn write<S: Serializer>(&self, _: Schema, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_u32(*self)
    }
}

impl Value for u64 {
    fn write<S: Serializer>(&self, _: Schema, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl Value for i64 {
    fn write<S: Serializer>(&self, _: Schema, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl Value for bool {
    fn write<S: Serializer>(&self, _: Schema, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_bool(*self)
    }
}

impl Value for String {
    fn write<S: Serializer>(&self, _: Schema, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(self)
    }
}

impl Value for Bytes {
    fn write<S: Serializer>(&self, _: Schema, serializer: S) -> Result<S::Ok, S::Error> {
        if self.is_empty() {
            return serializer.serialize_none();
        }
        serializer.collect_str(&Base64Display::new(self, &BASE64_STANDARD))
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
