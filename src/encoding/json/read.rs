//! From JSON to the generated types.

use std::borrow::Cow;
use std::collections::BTreeMap;
use std::collections::btree_map;
use std::fmt;
use std::marker::PhantomData;
use std::str::FromStr;

use base64::Engine;
use base64::alphabet::{STANDARD, URL_SAFE};
use base64::engine::{DecodePaddingMode, GeneralPurpose, GeneralPurposeConfig};
use bytes::Bytes;
use serde::de::{DeserializeSeed, Deserializer, Error, MapAccess, SeqAccess, Unexpected, Visitor};
use serde_path_to_error::Track;

use crate::encoding::typed::field::Entry;
use crate::encoding::{DecodeError, shortened};

/// A message: the object that its fields are the members of.
pub(super) trait Object: Default {
    /// Reads the field whose key is [`Fields::key`].
    fn read<'de, A: MapAccess<'de>>(&mut self, fields: &mut Fields<'de, A>) -> Result<(), A::Error>;
}

/// An enum of the schema.
pub(super) trait Enumeration {
    /// Its name, for errors.
    const NAME: &str;

    /// The number that a name stands for.
    fn number(name: &str) -> Option<i32>;
}

/// A value of which the type says how it is written.
pub(super) trait Value: Sized {
    /// Reads the value, which is not `null`.
    fn read<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error>;
}

/// Reads a text that is one message.
pub(super) fn from_str<T: Object>(text: &str) -> Result<T, DecodeError> {
    let mut deserializer = serde_json::Deserializer::from_str(text);
    // Keeping track of the path costs an allocation a key, so it is left to the second attempt.
    let result = T::read_from(&mut deserializer).and_then(|value| deserializer.end().map(|()| value));
    result.map_err(|error| {
        let mut track = Track::new();
        let mut again = serde_json::Deserializer::from_str(text);
        let tracked = serde_path_to_error::Deserializer::new(&mut again, &mut track);
        if T::read_from(tracked).is_ok() {
            return DecodeError::new(error.to_string());
        }
        let path = track.path();
        if path.iter().next().is_none() {
            return DecodeError::new(error.to_string());
        }
        // A path through unknown keys may be long, and the reason stands behind it.
        let path = shortened(path.to_string(), 200);
        DecodeError::new(format!("{path}: {error}"))
    })
}

/// The members of an object, one at a time.
pub(super) struct Fields<'de, A> {
    map: A,
    key: Cow<'de, str>,
    /// Fields that had a member already, one bit each.
    seen: u64,
}

impl<'de, A: MapAccess<'de>> Fields<'de, A> {
    /// Key of the current member.
    pub(super) fn key(&self) -> &str {
        &self.key
    }

    /// Reads a field of which the type says how it is written.
    pub(super) fn value<T: Value + Default>(&mut self, index: u32, field: &mut T) -> Result<(), A::Error> {
        *field = self.nullable(index, Plain::<T>::new())?.unwrap_or_default();
        Ok(())
    }

    /// Reads the number of an enum.
    pub(super) fn enumeration<E: Enumeration>(
        &mut self,
        index: u32,
        field: &mut i32,
    ) -> Result<(), A::Error> {
        *field = self.nullable(index, Number::<E>(PhantomData))?.unwrap_or_default();
        Ok(())
    }

    /// Reads a map, whose entries are sorted by their keys.
    pub(super) fn map<E: Entry<Value: Value>>(
        &mut self,
        index: u32,
        field: &mut Vec<E>,
    ) -> Result<(), A::Error> {
        let entries = self.nullable(index, Map::<E::Value>(PhantomData))?.unwrap_or_default();
        *field = entries.into_iter().map(|(key, value)| E::new(key, value)).collect();
        Ok(())
    }

    /// Reads an arm of a oneof; `null` is an arm that is not set.
    pub(super) fn arm<T: Value, O>(
        &mut self,
        index: u32,
        field: &mut Option<O>,
        name: &str,
        arm: impl FnOnce(T) -> O,
    ) -> Result<(), A::Error> {
        let Some(value) = self.nullable(index, Plain::<T>::new())? else {
            return Ok(());
        };
        if field.is_some() {
            return Err(Error::custom(format_args!("{:?} is a second arm of the oneof `{name}`", self.key)));
        }
        *field = Some(arm(value));
        Ok(())
    }

    /// Skips a member that the schema does not know.
    pub(super) fn skip(&mut self) -> Result<(), A::Error> {
        self.map.next_value_seed(Skip)
    }

    /// The value of the current member; `None` for `null`.
    fn nullable<S: DeserializeSeed<'de>>(
        &mut self,
        index: u32,
        seed: S,
    ) -> Result<Option<S::Value>, A::Error> {
        let bit = 1 << index;
        if self.seen & bit != 0 {
            return Err(Error::custom(format_args!("the field of the key {:?} is given twice", self.key)));
        }
        self.seen |= bit;
        self.map.next_value_seed(Nullable(seed))
    }
}

/// Extends [`Object`] by what all messages do alike.
trait ReadFrom: Sized {
    fn read_from<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error>;
}

impl<T: Object> ReadFrom for T {
    fn read_from<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct ObjectVisitor<T>(PhantomData<T>);

        impl<'de, T: Object> Visitor<'de> for ObjectVisitor<T> {
            type Value = T;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("an object")
            }

            fn visit_map<A: MapAccess<'de>>(self, map: A) -> Result<T, A::Error> {
                let mut object = T::default();
                let mut fields = Fields { map, key: Cow::Borrowed(""), seen: 0 };
                while let Some(key) = fields.map.next_key_seed(Key)? {
                    fields.key = key;
                    object.read(&mut fields)?;
                }
                Ok(object)
            }
        }

        deserializer.deserialize_map(ObjectVisitor(PhantomData))
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

/// A value or `null`.
struct Nullable<S>(S);

impl<'de, S: DeserializeSeed<'de>> DeserializeSeed<'de> for Nullable<S> {
    type Value = Option<S::Value>;

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<Self::Value, D::Error> {
        deserializer.deserialize_option(self)
    }
}

impl<'de, S: DeserializeSeed<'de>> Visitor<'de> for Nullable<S> {
    type Value = Option<S::Value>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a value or null")
    }

    fn visit_unit<E: Error>(self) -> Result<Self::Value, E> {
        Ok(None)
    }

    fn visit_none<E: Error>(self) -> Result<Self::Value, E> {
        Ok(None)
    }

    fn visit_some<D: Deserializer<'de>>(self, deserializer: D) -> Result<Self::Value, D::Error> {
        self.0.deserialize(deserializer).map(Some)
    }
}

/// A [`Value`].
struct Plain<T>(PhantomData<T>);

impl<T> Plain<T> {
    fn new() -> Self {
        Self(PhantomData)
    }
}

impl<'de, T: Value> DeserializeSeed<'de> for Plain<T> {
    type Value = T;

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<T, D::Error> {
        T::read(deserializer)
    }
}

impl<T: Object> Value for T {
    fn read<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        T::read_from(deserializer)
    }
}

impl<T: Object> Value for Option<T> {
    fn read<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        T::read_from(deserializer).map(Some)
    }
}

impl<T: Value> Value for Vec<T> {
    fn read<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct ListVisitor<T>(PhantomData<T>);

        impl<'de, T: Value> Visitor<'de> for ListVisitor<T> {
            type Value = Vec<T>;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("an array")
            }

            fn visit_seq<A: SeqAccess<'de>>(self, mut items: A) -> Result<Vec<T>, A::Error> {
                let mut list = Vec::new();
                while let Some(item) = items.next_element_seed(Plain::new())? {
                    list.push(item);
                }
                Ok(list)
            }
        }

        deserializer.deserialize_seq(ListVisitor(PhantomData))
    }
}

impl Value for bool {
    fn read<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        serde::Deserialize::deserialize(deserializer)
    }
}

impl Value for String {
    fn read<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        serde::Deserialize::deserialize(deserializer)
    }
}

impl Value for Bytes {
    fn read<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_str(Base64)
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

/// An integer of the schema.
trait Integer: TryFrom<u64> + TryFrom<i64> + FromStr {
    /// What is expected, for errors.
    const EXPECTED: &str;
}

impl Integer for u32 {
    const EXPECTED: &str = "an unsigned number of 32 bits";
}

impl Integer for u64 {
    const EXPECTED: &str = "an unsigned number of 64 bits";
}

impl Integer for i64 {
    const EXPECTED: &str = "a number of 64 bits";
}

impl Integer for i32 {
    const EXPECTED: &str = "a number of 32 bits";
}

macro_rules! integers {
    ($($integer:ty)+) => {
        $(impl Value for $integer {
            fn read<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
                deserializer.deserialize_any(IntegerVisitor(PhantomData))
            }
        })+
    };
}

integers! { u32 u64 i64 }

/// An integer, in quotes or not.
struct IntegerVisitor<T>(PhantomData<T>);

impl<T: Integer> Visitor<'_> for IntegerVisitor<T> {
    type Value = T;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(T::EXPECTED)
    }

    fn visit_u64<E: Error>(self, number: u64) -> Result<T, E> {
        T::try_from(number).map_err(|_| E::invalid_value(Unexpected::Unsigned(number), &self))
    }

    fn visit_i64<E: Error>(self, number: i64) -> Result<T, E> {
        T::try_from(number).map_err(|_| E::invalid_value(Unexpected::Signed(number), &self))
    }

    /// Takes forms such as `1.0` and `1e2`, as long as they say exactly which number is meant.
    fn visit_f64<E: Error>(self, number: f64) -> Result<T, E> {
        /// Up to here every whole number has a value of its own.
        const EXACT: f64 = (1_i64 << 53) as f64;
        if number.fract() == 0.0 && number.abs() < EXACT {
            return self.visit_i64(number as i64);
        }
        Err(E::invalid_value(Unexpected::Float(number), &self))
    }

    fn visit_str<E: Error>(self, text: &str) -> Result<T, E> {
        integer(text).ok_or_else(|| E::invalid_value(Unexpected::Str(text), &self))
    }
}

/// The number in a string, which is written as it would be without quotes.
fn integer<T: FromStr>(text: &str) -> Option<T> {
    let digits = text.strip_prefix('-').unwrap_or(text);
    let canonical = digits == "0" || digits.starts_with(|first: char| matches!(first, '1'..='9'));
    if canonical { text.parse().ok() } else { None }
}

/// A value of an enum: its name or its number.
struct Number<E>(PhantomData<E>);

impl<'de, T: Enumeration> DeserializeSeed<'de> for Number<T> {
    type Value = i32;

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<i32, D::Error> {
        deserializer.deserialize_any(self)
    }
}

impl<T: Enumeration> Visitor<'_> for Number<T> {
    type Value = i32;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "a name or number of the enum {}", T::NAME)
    }

    fn visit_str<E: Error>(self, text: &str) -> Result<i32, E> {
        T::number(text).ok_or_else(|| E::invalid_value(Unexpected::Str(text), &self))
    }

    fn visit_u64<E: Error>(self, number: u64) -> Result<i32, E> {
        IntegerVisitor(PhantomData).visit_u64(number)
    }

    fn visit_i64<E: Error>(self, number: i64) -> Result<i32, E> {
        IntegerVisitor(PhantomData).visit_i64(number)
    }

    fn visit_f64<E: Error>(self, number: f64) -> Result<i32, E> {
        IntegerVisitor(PhantomData).visit_f64(number)
    }
}

/// A map from `uint32`.
struct Map<T>(PhantomData<T>);

impl<'de, T: Value> DeserializeSeed<'de> for Map<T> {
    type Value = BTreeMap<u32, T>;

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<Self::Value, D::Error> {
        deserializer.deserialize_map(self)
    }
}

impl<'de, T: Value> Visitor<'de> for Map<T> {
    type Value = BTreeMap<u32, T>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("an object")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Self::Value, A::Error> {
        let mut entries = BTreeMap::new();
        while let Some(key) = map.next_key_seed(Key)? {
            let Some(number) = integer(&key) else {
                return Err(Error::invalid_value(Unexpected::Str(&key), &u32::EXPECTED));
            };
            match entries.entry(number) {
                btree_map::Entry::Vacant(place) => place.insert(map.next_value_seed(Plain::new())?),
                btree_map::Entry::Occupied(_) => {
                    return Err(Error::custom(format_args!("the key {key:?} is given twice")));
                }
            };
        }
        Ok(entries)
    }
}

/// Any value, which is dropped.
///
/// Unlike [`serde::de::IgnoredAny`] it counts levels, by way of `deserialize_any`: a value that is nested
/// more deeply than serde_json's limit is refused.
struct Skip;

impl<'de> DeserializeSeed<'de> for Skip {
    type Value = ();

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<(), D::Error> {
        deserializer.deserialize_any(self)
    }
}

impl<'de> Visitor<'de> for Skip {
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
        while items.next_element_seed(Self)?.is_some() {}
        Ok(())
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<(), A::Error> {
        while map.next_key_seed(Key)?.is_some() {
            map.next_value_seed(Self)?;
        }
        Ok(())
    }
}
