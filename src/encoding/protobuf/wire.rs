//! The protobuf wire format: just what the codec of chunks needs.

use crate::encoding::DecodeError;

/// How many unknown groups may lie inside each other. The nesting of known
/// messages is that of the schema, which has no cycles.
const MAX_GROUP_DEPTH: u32 = 100;

/// Wire types (docs/protocol/messages.md §7; 3 and 4 delimit groups).
const VARINT: u8 = 0;
const FIXED64: u8 = 1;
const LEN: u8 = 2;
const GROUP_START: u8 = 3;
const GROUP_END: u8 = 4;
const FIXED32: u8 = 5;

/// Key of a field that was read.
#[derive(Clone, Copy, Debug)]
pub(super) struct Key {
    /// Field number.
    pub(super) number: u32,
    /// Where the key starts in the frame.
    pub(super) start: usize,
    wire_type: u8,
}

/// Reads one message inside a frame.
///
/// The slice ends where the message does, so nothing reads past that; positions count from the
/// start of the frame, so they can be used to share its memory.
#[derive(Debug)]
pub(super) struct Reader<'a> {
    bytes: &'a [u8],
    at: usize,
    /// Name of the message, for errors.
    message: &'static str,
}

impl<'a> Reader<'a> {
    /// Reads a message that is the whole frame.
    pub(super) fn new(frame: &'a [u8], message: &'static str) -> Self {
        Self { bytes: frame, at: 0, message }
    }

    /// Position in the frame.
    pub(super) fn position(&self) -> usize {
        self.at
    }

    /// The frame up to the end of the message.
    pub(super) fn frame(&self) -> &'a [u8] {
        self.bytes
    }

    /// Goes on at a position in the message, whose fields up to there were read.
    pub(super) fn advance(&mut self, position: usize) {
        self.at = position;
    }

    /// Whether the message has been read to its end.
    pub(super) fn is_empty(&self) -> bool {
        self.at >= self.bytes.len()
    }

    /// Key of the next field; `None` at the end of the message.
    #[inline]
    pub(super) fn key(&mut self) -> Result<Option<Key>, DecodeError> {
        if self.is_empty() {
            return Ok(None);
        }
        let key = self.raw_key().map_err(|problem| self.error("", problem))?;
        Ok(Some(key))
    }

    /// A `uint32`: the low 32 bits of a varint.
    #[inline]
    pub(super) fn uint32(&mut self, key: Key, field: &str) -> Result<u32, DecodeError> {
        self.expect(key, VARINT, field)?;
        let value = self.varint().map_err(|problem| self.error(field, problem))?;
        Ok(value as u32)
    }

    /// A `string`.
    pub(super) fn string(&mut self, key: Key, field: &str) -> Result<String, DecodeError> {
        let bytes = self.bytes(key, field)?;
        match std::str::from_utf8(bytes) {
            Ok(text) => Ok(text.to_owned()),
            Err(_) => Err(self.error(field, "not UTF-8")),
        }
    }

    /// A length-delimited value.
    #[inline]
    pub(super) fn bytes(&mut self, key: Key, field: &str) -> Result<&'a [u8], DecodeError> {
        self.expect(key, LEN, field)?;
        let len = self.len().map_err(|problem| self.error(field, problem))?;
        let start = self.at;
        self.at += len;
        Ok(&self.bytes[start..self.at])
    }

    /// A message inside this one, as a reader of its own.
    #[inline]
    pub(super) fn message(
        &mut self,
        key: Key,
        field: &str,
        message: &'static str,
    ) -> Result<Self, DecodeError> {
        let len = self.bytes(key, field)?.len();
        Ok(Self { bytes: &self.bytes[..self.at], at: self.at - len, message })
    }

    /// Checks a list of `uint32`, packed or not, and drops it.
    pub(super) fn ignore_uint32s(&mut self, key: Key, field: &'static str) -> Result<(), DecodeError> {
        if key.wire_type != LEN {
            return self.uint32(key, field).map(drop);
        }
        let mut packed = self.message(key, field, self.message)?;
        while !packed.is_empty() {
            packed.varint().map_err(|problem| packed.error(field, problem))?;
        }
        Ok(())
    }

    /// Checks a message of which no field matters.
    pub(super) fn ignore_message(&mut self, key: Key, field: &'static str) -> Result<(), DecodeError> {
        let mut block = self.message(key, field, field)?;
        while let Some(key) = block.key()? {
            block.skip(key)?;
        }
        Ok(())
    }

    /// Skips the value of an unknown field.
    pub(super) fn skip(&mut self, key: Key) -> Result<(), DecodeError> {
        self.skip_value(key, 0)
            .map_err(|problem| self.error("", &format!("unknown field {}: {problem}", key.number)))
    }

    /// An error at a field of this message, or at the message itself.
    pub(super) fn error(&self, field: &str, problem: &str) -> DecodeError {
        let dot = if field.is_empty() { "" } else { "." };
        DecodeError::new(format!("{}{dot}{field}: {problem}", self.message))
    }

    #[inline]
    fn expect(&self, key: Key, wire_type: u8, field: &str) -> Result<(), DecodeError> {
        if key.wire_type == wire_type {
            Ok(())
        } else {
            let problem = format!("wire type {} instead of {wire_type}", key.wire_type);
            Err(self.error(field, &problem))
        }
    }

    #[inline]
    fn raw_key(&mut self) -> Result<Key, &'static str> {
        let start = self.at;
        let key = u32::try_from(self.varint()?).map_err(|_| "key above 32 bits")?;
        if key >> 3 == 0 {
            return Err("field number 0");
        }
        Ok(Key { number: key >> 3, start, wire_type: (key & 7) as u8 })
    }

    #[inline]
    fn varint(&mut self) -> Result<u64, &'static str> {
        let rest = &self.bytes[self.at..];
        let mut value = 0;
        for (index, byte) in rest.iter().take(10).enumerate() {
            value |= u64::from(byte & 0x7f) << (7 * index);
            if *byte < 0x80 {
                if index == 9 && *byte > 1 {
                    return Err("varint above 64 bits");
                }
                self.at += index + 1;
                return Ok(value);
            }
        }
        Err(if rest.len() < 10 { "varint cut off" } else { "varint of more than ten bytes" })
    }

    /// Length of what follows, which lies inside the message.
    #[inline]
    fn len(&mut self) -> Result<usize, &'static str> {
        let len = self.varint()?;
        match usize::try_from(len) {
            Ok(len) if len <= self.bytes.len() - self.at => Ok(len),
            _ => Err("length past the end of the message"),
        }
    }

    fn skip_value(&mut self, key: Key, depth: u32) -> Result<(), &'static str> {
        let len = match key.wire_type {
            VARINT => return self.varint().map(drop),
            FIXED64 => 8,
            FIXED32 => 4,
            LEN => self.len()?,
            GROUP_START if depth < MAX_GROUP_DEPTH => loop {
                let inner = self.raw_key()?;
                if inner.wire_type != GROUP_END {
                    self.skip_value(inner, depth + 1)?;
                } else if inner.number == key.number {
                    return Ok(());
                } else {
                    return Err("group ended by another number");
                }
            },
            GROUP_START => return Err("groups nested too deeply"),
            GROUP_END => return Err("end of a group that was not started"),
            _ => return Err("invalid wire type"),
        };
        if len > self.bytes.len() - self.at {
            return Err("value past the end of the message");
        }
        self.at += len;
        Ok(())
    }
}

/// Writes fields in the order they are given. Scalars that are zero are left out where proto3
/// leaves them out; the sizes of messages have to be known before.
#[derive(Debug)]
pub(super) struct Writer(Vec<u8>);

impl Writer {
    /// A writer for a frame of `len` bytes.
    pub(super) fn with_capacity(len: usize) -> Self {
        Self(Vec::with_capacity(len))
    }

    /// The frame.
    pub(super) fn into_bytes(self) -> Vec<u8> {
        self.0
    }

    /// A `uint32` that is left out when zero.
    pub(super) fn uint32(&mut self, number: u32, value: u32) {
        if value != 0 {
            self.uint32_arm(number, value);
        }
    }

    /// A `uint32` that is the arm of a oneof.
    pub(super) fn uint32_arm(&mut self, number: u32, value: u32) {
        self.key(number, VARINT);
        self.varint(u64::from(value));
    }

    /// A `string` or `bytes` that is left out when empty.
    pub(super) fn bytes(&mut self, number: u32, value: &[u8]) {
        if !value.is_empty() {
            self.message(number, value.len());
            self.0.extend_from_slice(value);
        }
    }

    /// Key and length of a message; its fields have to follow.
    pub(super) fn message(&mut self, number: u32, len: usize) {
        self.key(number, LEN);
        self.varint(len as u64);
    }

    /// Fields that are encoded already.
    pub(super) fn raw(&mut self, fields: &[u8]) {
        self.0.extend_from_slice(fields);
    }

    fn key(&mut self, number: u32, wire_type: u8) {
        self.varint(u64::from(number) << 3 | u64::from(wire_type));
    }

    fn varint(&mut self, mut value: u64) {
        while value >= 0x80 {
            self.0.push(value as u8 | 0x80);
            value >>= 7;
        }
        self.0.push(value as u8);
    }
}

/// Size of what [`Writer::uint32`] writes.
pub(super) fn uint32_len(number: u32, value: u32) -> usize {
    if value == 0 { 0 } else { uint32_arm_len(number, value) }
}

/// Size of what [`Writer::uint32_arm`] writes.
pub(super) fn uint32_arm_len(number: u32, value: u32) -> usize {
    key_len(number) + varint_len(u64::from(value))
}

/// Size of what [`Writer::bytes`] writes.
pub(super) fn bytes_len(number: u32, value: &[u8]) -> usize {
    if value.is_empty() { 0 } else { message_len(number, value.len()) }
}

/// Size of a message with its key and length.
pub(super) fn message_len(number: u32, len: usize) -> usize {
    key_len(number) + varint_len(len as u64) + len
}

fn key_len(number: u32) -> usize {
    varint_len(u64::from(number) << 3)
}

fn varint_len(value: u64) -> usize {
    (70 - (value | 1).leading_zeros() as usize) / 7
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn varints() {
        for value in [0, 1, 127, 128, 16_383, 16_384, u64::from(u32::MAX), u64::MAX] {
            let mut writer = Writer::with_capacity(10);
            writer.varint(value);
            let bytes = writer.into_bytes();
            assert_eq!(bytes.len(), varint_len(value));
            let mut reader = Reader::new(&bytes, "M");
            assert_eq!(reader.varint(), Ok(value));
            assert!(reader.is_empty());
            let mut cut = Reader::new(&bytes[..bytes.len() - 1], "M");
            assert_eq!(cut.varint(), Err("varint cut off"));
        }
        let long = [0xff; 11];
        assert_eq!(Reader::new(&long, "M").varint(), Err("varint of more than ten bytes"));
        let large = [0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 2];
        assert_eq!(Reader::new(&large, "M").varint(), Err("varint above 64 bits"));
    }

    /// The text of the error that skipping everything ends in.
    fn skip_all(bytes: &[u8]) -> Result<(), String> {
        let mut reader = Reader::new(bytes, "M");
        while let Some(key) = reader.key().map_err(|error| error.to_string())? {
            reader.skip(key).map_err(|error| error.to_string())?;
        }
        Ok(())
    }

    #[test]
    fn unknown_fields_are_skipped() {
        for good in [
            &b""[..],
            b"\x08\x96\x01",
            b"\x09\x01\x02\x03\x04\x05\x06\x07\x08",
            b"\x0a\x02\xff\xff",
            b"\x0b\x10\x01\x1b\x1c\x0c",
            b"\x0d\x01\x02\x03\x04",
        ] {
            assert_eq!(skip_all(good), Ok(()), "{good:x?}");
        }
        let nested = |depth| [vec![0x0b; depth], vec![0x0c; depth]].concat();
        assert_eq!(skip_all(&nested(100)), Ok(()));
        assert!(skip_all(&nested(101)).unwrap_err().contains("nested too deeply"));
        assert!(skip_all(&nested(100_000)).unwrap_err().contains("nested too deeply"));
    }

    #[test]
    fn damage_is_named() {
        for (bad, reason) in [
            (&b"\x00"[..], "M: field number 0"),
            (b"\x82\x80\x80\x80\x80\x01\x00", "M: key above 32 bits"),
            (b"\x0e\x00", "M: unknown field 1: invalid wire type"),
            (b"\x0c", "M: unknown field 1: end of a group that was not started"),
            (b"\x0b\x14", "M: unknown field 1: group ended by another number"),
            (b"\x0b\x08", "M: unknown field 1: varint cut off"),
            (b"\x0a\x02\x00", "M: unknown field 1: length past the end of the message"),
            (
                b"\x0a\xff\xff\xff\xff\xff\xff\xff\xff\xff\x01",
                "M: unknown field 1: length past the end of the message",
            ),
            (b"\x0d\x00", "M: unknown field 1: value past the end of the message"),
        ] {
            assert_eq!(skip_all(bad).unwrap_err(), reason);
        }
    }
}
