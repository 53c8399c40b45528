//! From JSON to the generated types.
//!
//! A generated type says at which [`Place`] the value of a key belongs; all else is written once, for places
//! of every kind. With code for every type this reader would be the largest part of the library.

use std::borrow::Cow;
use std::collections::BTreeMap;
use std::collections::btree_map;
use std::fmt;
use std::mem;

use base64::Engine;
use base64::alphabet::{STANDARD, URL_SAFE};
use base64::engine::{DecodePaddingMode, GeneralPurpose, GeneralPurposeConfig};
use bytes::Bytes;
use serde::de::{
    Deserialize, DeserializeSeed, Deserializer, Error, MapAccess, SeqAccess, Unexpected, Visitor,
};

use crate::encoding::typed::field::Entry;
use crate::encoding::{DecodeError, shortened};

/// A message: the object that its fields are the members of.
pub(super) trait Object {
    /// The field of a key; `None` if the schema does not know the key.
    fn field(&mut self, key: &str) -> Option<Field<'_>>;
}

/// An enum of the schema.
pub(super) trait Enumeration {
    /// Its name, for errors.
    const NAME: &str;

    /// The number that a name stands for.
    fn number(name: &str) -> Option<i32>;
}

/// A value of which the type says how it is written.
pub(super) trait Value {
    /// The place that the value is read into.
    fn place(&mut self) -> Place<'_>;
}

/// Reads a text that is one message.
pub(super) fn from_str<T: Object + Default>(text: &str) -> Result<T, DecodeError> {
    let mut message = T::default();
    let mut path = Path::default();
    let mut deserializer = serde_json::Deserializer::from_str(text);
    let reader = Reader { place: Place::Object(&mut message), path: &mut path };
    match reader.deserialize(&mut deserializer).and_then(|()| deserializer.end()) {
        Ok(()) => Ok(message),
        Err(error) => Err(DecodeError::new(format!("{}{error}", path.prefix()))),
    }
}

/// A field of a message.
pub(super) struct Field<'a> {
    /// Its number among the fields of the message, from 0.
    index: u32,
    place: Place<'a>,
    /// The oneof that it is an arm of, if that has an arm already.
    second_of: Option<&'static str>,
}

/// A place for a value, which says how the value is written. It holds the default before.
pub(super) enum Place<'a> {
    Bool(&'a mut bool),
    U32(&'a mut u32),
    U64(&'a mut u64),
    I64(&'a mut i64),
    String(&'a mut String),
    Bytes(&'a mut Bytes),
    Enumeration(&'a mut i32, Names),
    Object(&'a mut dyn Object),
    List(&'a mut dyn List),
    Map(&'a mut dyn Map),
    /// One that is made when there is a value for it.
    Absent(Box<dyn FnOnce() -> Place<'a> + 'a>),
}

/// The names of an enum.
pub(super) struct Names {
    /// Name of the enum itself.
    enumeration: &'static str,
    number: fn(&str) -> Option<i32>,
}

/// The items of an array.
pub(super) trait List {
    /// Place of one more item.
    fn push(&mut self) -> Place<'_>;
}

/// The entries of a map.
pub(super) trait Map {
    /// Place for the value of one more entry.
    fn push(&mut self, key: u32) -> Place<'_>;

    /// Puts the entries into an order, given by where they are.
    fn reorder(&mut self, order: &mut dyn Iterator<Item = usize>);
}

/// A field of which the type says how it is written.
pub(super) fn value(index: u32, field: &mut impl Value) -> Field<'_> {
    Field { index, place: field.place(), second_of: None }
}

/// A field with the number of an enum.
pub(super) fn enumeration<E: Enumeration>(index: u32, field: &mut i32) -> Field<'_> {
    let names = Names { enumeration: E::NAME, number: E::number };
    Field { index, place: Place::Enumeration(field, names), second_of: None }
}

/// A field that is a map, whose entries are sorted by their keys.
pub(super) fn map(index: u32, field: &mut impl Map) -> Field<'_> {
    Field { index, place: Place::Map(field), second_of: None }
}

/// A field that is an arm of a oneof; `null` is an arm that is not set. `default` makes the arm.
pub(super) fn arm<'a, O: Value>(
    index: u32,
    field: &'a mut Option<O>,
    oneof: &'static str,
    default: fn() -> O,
) -> Field<'a> {
    let second_of = field.is_some().then_some(oneof);
    let place = Place::Absent(Box::new(move || field.insert(default()).place()));
    Field { index, place, second_of }
}

impl Value for bool {
    fn place(&mut self) -> Place<'_> {
        Place::Bool(self)
    }
}

impl Value for u32 {
    fn place(&mut self) -> Place<'_> {
        Place::U32(self)
    }
}

impl Value for u64 {
    fn place(&mut self) -> Place<'_> {
        Place::U64(self)
    }
}

impl Value for i64 {
    fn place(&mut self) -> Place<'_> {
        Place::I64(self)
    }
}

impl Value for String {
    fn place(&mut self) -> Place<'_> {
        Place::String(self)
    }
}

impl Value for Bytes {
    fn place(&mut self) -> Place<'_> {
        Place::Bytes(self)
    }
}

impl<T: Object> Value for T {
    fn place(&mut self) -> Place<'_> {
        Place::Object(self)
    }
}

impl<T: Object + Default> Value for Option<T> {
    fn place(&mut self) -> Place<'_> {
        Place::Absent(Box::new(|| self.insert(T::default()).place()))
    }
}

impl<T: Value + Default> Value for Vec<T> {
    fn place(&mut self) -> Place<'_> {
        Place::List(self)
    }
}

impl<T: Value + Default> List for Vec<T> {
    fn push(&mut self) -> Place<'_> {
        let index = self.len();
        self.push(T::default());
        self[index].place()
    }
}

impl<E: Entry<Value: Value> + Default> Map for Vec<E> {
    fn push(&mut self, key: u32) -> Place<'_> {
        let index = self.len();
        self.push(E::new(key, E::Value::default()));
        self[index].value_mut().place()
    }

    fn reorder(&mut self, order: &mut dyn Iterator<Item = usize>) {
        let mut entries = mem::take(self);
        self.extend(order.map(|at| mem::take(&mut entries[at])));
    }
}

/// Where reading failed: the parts of the path, innermost first.
#[derive(Default)]
struct Path(Vec<String>);

impl Path {
    /// A path through unknown keys may be long, and the reason stands behind it.
    const MOST: usize = 200;

    /// Adds that it was in the member of a key.
    #[cold]
    fn add_key(&mut self, key: &str) {
        self.0.push(shortened(format!(".{key}"), 1 + Self::MOST));
    }

    /// Adds that it was in an item of an array.
    #[cold]
    fn add_index(&mut self, index: usize) {
        self.0.push(format!("[{index}]"));
    }

    /// What stands before the reason of an error.
    fn prefix(&self) -> String {
        let path: String = self.0.iter().rev().map(String::as_str).collect();
        if path.is_empty() {
            return path;
        }
        let path = path.strip_prefix('.').map(str::to_owned).unwrap_or(path);
        shortened(path, Self::MOST) + ": "
    }
}

/// Reads what belongs at a place.
struct Reader<'a, 'p> {
    place: Place<'a>,
    path: &'p mut Path,
}

impl<'de> DeserializeSeed<'de> for Reader<'_, '_> {
    type Value = ();

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<(), D::Error> {
        let path = self.path;
        match self.place {
            Place::Bool(place) => *place = bool::deserialize(deserializer)?,
            Place::U32(place) => *place = deserializer.deserialize_any(Integer::U32)? as u32,
            Place::U64(place) => *place = deserializer.deserialize_any(Integer::U64)? as u64,
            Place::I64(place) => *place = deserializer.deserialize_any(Integer::I64)? as i64,
            Place::String(place) => *place = String::deserialize(deserializer)?,
            Place::Bytes(place) => *place = deserializer.deserialize_str(Base64)?,
            Place::Enumeration(place, names) => *place = deserializer.deserialize_any(names)?,
            Place::Object(object) => deserializer.deserialize_map(ObjectVisitor { object, path })?,
            Place::List(list) => deserializer.deserialize_seq(ListVisitor { list, path })?,
            Place::Map(map) => deserializer.deserialize_map(MapVisitor { map, path })?,
            Place::Absent(insert) => return Reader { place: insert(), path }.deserialize(deserializer),
        }
        Ok(())
    }
}

/// Reads what belongs at a place unless it is `null`; tells whether it was not.
struct Nullable<'a, 'p>(Reader<'a, 'p>);

impl<'de> DeserializeSeed<'de> for Nullable<'_, '_> {
    type Value = bool;

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<bool, D::Error> {
        deserializer.deserialize_option(self)
    }
}

impl<'de> Visitor<'de> for Nullable<'_, '_> {
    type Value = bool;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a value or null")
    }

    fn visit_unit<E: Error>(self) -> Result<bool, E> {
        Ok(false)
    }

    fn visit_none<E: Error>(self) -> Result<bool, E> {
        Ok(false)
    }

    fn visit_some<D: Deserializer<'de>>(self, deserializer: D) -> Result<bool, D::Error> {
        self.0.deserialize(deserializer)?;
        Ok(true)
    }
}

/// Reads the members of an object.
struct ObjectVisitor<'a, 'p> {
    object: &'a mut dyn Object,
    path: &'p mut Path,
}

impl<'de> Visitor<'de> for ObjectVisitor<'_, '_> {
    type Value = ();

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("an object")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut members: A) -> Result<(), A::Error> {
        // Fields that had a member already, one bit each.
        let mut seen = 0_u64;
        while let Some(key) = members.next_key_seed(Key)? {
            let path = &mut *self.path;
            let Some(Field { index, place, second_of }) = self.object.field(&key) else {
                members.next_value_seed(Skip(path)).inspect_err(|_| self.path.add_key(&key))?;
                continue;
            };
            let bit = 1 << index;
            if seen & bit != 0 {
                return Err(Error::custom(format_args!("the field of the key {key:?} is given twice")));
            }
            seen |= bit;
            let is_set = members
                .next_value_seed(Nullable(Reader { place, path }))
                .inspect_err(|_| self.path.add_key(&key))?;
            if is_set && let Some(oneof) = second_of {
                return Err(Error::custom(format_args!("{key:?} is a second arm of the oneof `{oneof}`")));
            }
        }
        Ok(())
    }
}

/// Reads the items of an array.
struct ListVisitor<'a, 'p> {
    list: &'a mut dyn List,
    path: &'p mut Path,
}

impl<'de> Visitor<'de> for ListVisitor<'_, '_> {
    type Value = ();

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("an array")
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut items: A) -> Result<(), A::Error> {
        let (list, path) = (self.list, self.path);
        for index in 0.. {
            let item = items.next_element_seed(Item { list, path });
            if item.inspect_err(|_| path.add_index(index))?.is_none() {
                break;
            }
        }
        Ok(())
    }
}

/// Reads one more item of an array.
struct Item<'a, 'p> {
    list: &'a mut dyn List,
    path: &'p mut Path,
}

impl<'de> DeserializeSeed<'de> for Item<'_, '_> {
    type Value = ();

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<(), D::Error> {
        Reader { place: self.list.push(), path: self.path }.deserialize(deserializer)
    }
}

/// Reads the entries of a map from `uint32`.
struct MapVisitor<'a, 'p> {
    map: &'a mut dyn Map,
    path: &'p mut Path,
}

impl<'de> Visitor<'de> for MapVisitor<'_, '_> {
    type Value = ();

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("an object")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut members: A) -> Result<(), A::Error> {
        let (map, path) = (self.map, self.path);
        // Where the entry of each key is.
        let mut entries = BTreeMap::new();
        while let Some(key) = members.next_key_seed(Key)? {
            let Some(number) = Integer::U32.parse(&key) else {
                return Err(Error::invalid_value(Unexpected::Str(&key), &Integer::U32.expected));
            };
            let number = number as u32;
            let count = entries.len();
            match entries.entry(number) {
                btree_map::Entry::Vacant(place) => place.insert(count),
                btree_map::Entry::Occupied(_) => {
                    return Err(Error::custom(format_args!("the key {key:?} is given twice")));
                }
            };
            let reader = Reader { place: map.push(number), path };
            members.next_value_seed(reader).inspect_err(|_| path.add_key(&key))?;
        }
        map.reorder(&mut entries.into_values());
        Ok(())
    }
}

/// A key, borrowed from the text unless it has escapes.
struct Key;

impl<'de> DeserializeSeed<'de> for Key {
    type Value = Cow<'de, str>;

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<Self::Value, D::Error> {
        deserializer.deserialize_str(self)
    }
}

impl<'de> Visitor<'de> for Key {
    type Value = Cow<'de, str>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a key")
    }

    fn visit_borrowed_str<E: Error>(self, text: &'de str) -> Result<Self::Value, E> {
        Ok(Cow::Borrowed(text))
    }

    fn visit_str<E: Error>(self, text: &str) -> Result<Self::Value, E> {
        Ok(Cow::Owned(text.to_owned()))
    }
}

/// Bytes in base64.
struct Base64;

impl Visitor<'_> for Base64 {
    type Value = Bytes;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a string of base64")
    }

    fn visit_str<E: Error>(self, text: &str) -> Result<Bytes, E> {
        const CONFIG: GeneralPurposeConfig = GeneralPurposeConfig::new()
            .with_decode_padding_mode(DecodePaddingMode::Indifferent)
            .with_decode_allow_trailing_bits(true);
        const STANDARD_ENGINE: GeneralPurpose = GeneralPurpose::new(&STANDARD, CONFIG);
        const URL_SAFE_ENGINE: GeneralPurpose = GeneralPurpose::new(&URL_SAFE, CONFIG);

        let mut text = Cow::Borrowed(text);
        if text.contains(['\r', '\n']) {
            text = Cow::Owned(text.replace(['\r', '\n'], ""));
        }
        let engine = if text.contains(['-', '_']) { URL_SAFE_ENGINE } else { STANDARD_ENGINE };
        match engine.decode(&*text) {
            Ok(bytes) => Ok(bytes.into()),
            Err(error) => Err(E::custom(format_args!("invalid base64: {error}"))),
        }
    }
}

/// A kind of integers of the schema, in quotes or not.
struct Integer {
    least: i128,
    most: i128,
    /// What is expected, for errors.
    expected: &'static str,
}

impl Integer {
    const U32: Self = Self { least: 0, most: u32::MAX as i128, expected: "an unsigned number of 32 bits" };
    const U64: Self = Self { least: 0, most: u64::MAX as i128, expected: "an unsigned number of 64 bits" };
    const I64: Self =
        Self { least: i64::MIN as i128, most: i64::MAX as i128, expected: "a number of 64 bits" };
    const I32: Self =
        Self { least: i32::MIN as i128, most: i32::MAX as i128, expected: "a number of 32 bits" };

    /// The number in a string, which is written as it would be without quotes.
    fn parse(&self, text: &str) -> Option<i128> {
        let digits = if self.least < 0 { text.strip_prefix('-').unwrap_or(text) } else { text };
        let canonical = digits == "0" || digits.starts_with(|first: char| matches!(first, '1'..='9'));
        if canonical { text.parse().ok().and_then(|number| self.check(number)) } else { None }
    }

    /// The number, if it is one of the kind.
    fn check(&self, number: i128) -> Option<i128> {
        (self.least..=self.most).contains(&number).then_some(number)
    }
}

impl Visitor<'_> for Integer {
    type Value = i128;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.expected)
    }

    fn visit_u64<E: Error>(self, number: u64) -> Result<i128, E> {
        self.check(number.into()).ok_or_else(|| E::invalid_value(Unexpected::Unsigned(number), &self))
    }

    fn visit_i64<E: Error>(self, number: i64) -> Result<i128, E> {
        self.check(number.into()).ok_or_else(|| E::invalid_value(Unexpected::Signed(number), &self))
    }

    /// Takes forms such as `1.0` and `1e2`, as long as they say exactly which number is meant.
    fn visit_f64<E: Error>(self, number: f64) -> Result<i128, E> {
        /// Up to here every whole number has a value of its own.
        const EXACT: f64 = (1_i64 << 53) as f64;
        if number.fract() == 0.0 && number.abs() < EXACT {
            return self.visit_i64(number as i64);
        }
        Err(E::invalid_value(Unexpected::Float(number), &self))
    }

    fn visit_str<E: Error>(self, text: &str) -> Result<i128, E> {
        self.parse(text).ok_or_else(|| E::invalid_value(Unexpected::Str(text), &self))
    }
}

/// A value of an enum: its name or its number.
impl Visitor<'_> for Names {
    type Value = i32;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "a name or number of the enum {}", self.enumeration)
    }

    fn visit_str<E: Error>(self, text: &str) -> Result<i32, E> {
        (self.number)(text).ok_or_else(|| E::invalid_value(Unexpected::Str(text), &self))
    }

    fn visit_u64<E: Error>(self, number: u64) -> Result<i32, E> {
        Integer::I32.visit_u64(number).map(|number| number as i32)
    }

    fn visit_i64<E: Error>(self, number: i64) -> Result<i32, E> {
        Integer::I32.visit_i64(number).map(|number| number as i32)
    }

    fn visit_f64<E: Error>(self, number: f64) -> Result<i32, E> {
        Integer::I32.visit_f64(number).map(|number| number as i32)
    }
}

/// Any value, which is dropped.
///
/// Unlike [`serde::de::IgnoredAny`] it counts levels, by way of `deserialize_any`: a value that is nested
/// more deeply than serde_json's limit is refused.
struct Skip<'p>(&'p mut Path);

impl<'de> DeserializeSeed<'de> for Skip<'_> {
    type Value = ();

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<(), D::Error> {
        deserializer.deserialize_any(self)
    }
}

impl<'de> Visitor<'de> for Skip<'_> {
    type Value = ();

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("any value")
    }

    fn visit_bool<E: Error>(self, _: bool) -> Result<(), E> {
        Ok(())
    }

    fn visit_u64<E: Error>(self, _: u64) -> Result<(), E> {
        Ok(())
    }

    fn visit_i64<E: Error>(self, _: i64) -> Result<(), E> {
        Ok(())
    }

    fn visit_f64<E: Error>(self, _: f64) -> Result<(), E> {
        Ok(())
    }

    fn visit_str<E: Error>(self, _: &str) -> Result<(), E> {
        Ok(())
    }

    fn visit_unit<E: Error>(self) -> Result<(), E> {
        Ok(())
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut items: A) -> Result<(), A::Error> {
        let path = self.0;
        for index in 0.. {
            let item = items.next_element_seed(Skip(path));
            if item.inspect_err(|_| path.add_index(index))?.is_none() {
                break;
            }
        }
        Ok(())
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<(), A::Error> {
        let path = self.0;
        while let Some(key) = map.next_key_seed(Key)? {
            map.next_value_seed(Skip(path)).inspect_err(|_| path.add_key(&key))?;
        }
        Ok(())
    }
}
