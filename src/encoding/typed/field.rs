//! How a field of a generated type becomes a field of a typed message and back.

use std::collections::BTreeMap;

use bytes::Bytes;
use uuid::Uuid;

use crate::encoding::DecodeError;
use crate::message::{Aliases, Qos, ResultCode};

/// A typed value that travels as a `W`.
pub(super) trait Field<W>: Sized {
    /// Checks a decoded value and takes it over. `name` is what errors call it.
    fn read(wire: W, name: &str) -> Result<Self, DecodeError>;

    /// The value to encode.
    fn write(&self) -> W;
}

/// Implements [`Field`] for a message whose fields stand for themselves.
///
/// `typed ⇄ generated { field, …, generated_field => typed_field, … }`; a closing `extension_fields`
/// after a semicolon means a block without content, which is never written.
macro_rules! mirror {
    ($($typed:ident $(as $wire:ident)? {
        $($field:ident $(=> $typed_field:ident)?),* $(,)? $(; $block:ident)?
    })+) => {
        $($crate::encoding::typed::field::mirror! {
            @one $typed, [$($wire)? $typed], {$($field [$($typed_field)? $field])*}, {$($block)?}
        })+
    };
    (@one $typed:ident, [$wire:ident $($rest:ident)?],
     {$($field:ident [$typed_field:ident $($unused:ident)?])*}, {$($block:ident)?}) => {
        impl Field<pb::$wire> for $typed {
            fn read(wire: pb::$wire, _: &str) -> Result<Self, DecodeError> {
                Ok(Self {
                    $($typed_field: Field::read(
                        wire.$field,
                        concat!(stringify!($wire), ".", stringify!($field)),
                    )?,)*
                })
            }

            fn write(&self) -> pb::$wire {
                pb::$wire {
                    $($field: Field::write(&self.$typed_field),)*
                    $($block: None,)?
                }
            }
        }
    };
}

pub(super) use mirror;

/// The error for a oneof without an arm.
pub(super) fn not_set(name: &str) -> DecodeError {
    DecodeError::new(format!("{name}: not set"))
}

/// A stream id of the 16 bytes it must have.
pub(in crate::encoding) fn stream_id(bytes: &[u8], name: &str) -> Result<Uuid, DecodeError> {
    Uuid::from_slice(bytes)
        .map_err(|_| DecodeError::new(format!("{name}: {} bytes instead of 16", bytes.len())))
}

macro_rules! same {
    ($($scalar:ty)+) => {
        $(impl Field<$scalar> for $scalar {
            fn read(wire: $scalar, _: &str) -> Result<Self, DecodeError> {
                Ok(wire)
            }

            fn write(&self) -> $scalar {
                self.clone()
            }
        })+
    };
}

same! { u32 u64 i64 bool String Bytes }

impl Field<Bytes> for Uuid {
    fn read(wire: Bytes, name: &str) -> Result<Self, DecodeError> {
        stream_id(&wire, name)
    }

    fn write(&self) -> Bytes {
        Bytes::copy_from_slice(self.as_bytes())
    }
}

impl Field<i32> for ResultCode {
    fn read(wire: i32, _: &str) -> Result<Self, DecodeError> {
        Ok(Self(wire))
    }

    fn write(&self) -> i32 {
        self.0
    }
}

impl Field<i32> for Qos {
    fn read(wire: i32, _: &str) -> Result<Self, DecodeError> {
        Ok(Self::from_number(wire))
    }

    fn write(&self) -> i32 {
        self.number()
    }
}

impl<W, T: Field<W>> Field<Vec<W>> for Vec<T> {
    fn read(wire: Vec<W>, name: &str) -> Result<Self, DecodeError> {
        wire.into_iter().map(|item| T::read(item, name)).collect()
    }

    fn write(&self) -> Vec<W> {
        self.iter().map(Field::write).collect()
    }
}

/// Entry of a map, which the generated types hold as a list.
pub(in crate::encoding) trait Entry {
    /// Generated type of the values.
    type Value: Default;

    /// An entry with both parts.
    fn new(key: u32, value: Self::Value) -> Self;

    /// Key and value; either may be missing on the wire.
    #[cfg(feature = "json")]
    fn parts(&self) -> (Option<u32>, Option<&Self::Value>);

    /// The value, which is there from now on.
    #[cfg(feature = "json")]
    fn value_mut(&mut self) -> &mut Self::Value;

    /// Key and value, taken out.
    fn into_parts(self) -> (Option<u32>, Option<Self::Value>);
}

macro_rules! entries {
    ($($entry:path => $value:ty;)+) => {
        $(impl $crate::encoding::typed::field::Entry for $entry {
            type Value = $value;

            fn new(key: u32, value: $value) -> Self {
                Self { key: Some(key), value: Some(value) }
            }

            #[cfg(feature = "json")]
            fn parts(&self) -> (Option<u32>, Option<&$value>) {
                (self.key, self.value.as_ref())
            }

            #[cfg(feature = "json")]
            fn value_mut(&mut self) -> &mut $value {
                self.value.get_or_insert_default()
            }

            fn into_parts(self) -> (Option<u32>, Option<$value>) {
                (self.key, self.value)
            }
        })+
    };
}

pub(super) use entries;

/// The entries of a map by their keys. A missing part of an entry is its default, and of several entries
/// with a key the last one counts.
fn by_key<E: Entry>(entries: Vec<E>) -> BTreeMap<u32, E::Value> {
    let parts = entries.into_iter().map(E::into_parts);
    let mut values = BTreeMap::new();
    // Not collected, which would bring a sorting algorithm into the library for every type.
    values.extend(parts.map(|(key, value)| (key.unwrap_or_default(), value.unwrap_or_default())));
    values
}

/// Brings a map into the form that [`Field::write`] gives it.
pub(super) fn sort_map<E: Entry>(entries: &mut Vec<E>) {
    let sorted = by_key(std::mem::take(entries));
    *entries = sorted.into_iter().map(|(key, value)| E::new(key, value)).collect();
}

impl<E: Entry, T: Field<E::Value>> Field<Vec<E>> for Aliases<T> {
    fn read(wire: Vec<E>, name: &str) -> Result<Self, DecodeError> {
        // The last entry is chosen before any is checked: those it replaces do not count.
        let mut aliases = Self::new();
        for (key, value) in by_key(wire) {
            aliases.insert(key, T::read(value, name)?);
        }
        Ok(aliases)
    }

    fn write(&self) -> Vec<E> {
        self.iter().map(|(key, value)| E::new(*key, value.write())).collect()
    }
}
