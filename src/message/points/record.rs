//! One data point in its wire form: a record of `DataPointGroup.data_points`.
//!
//! Points of sensors are small and come by the million, so records of up to 127 bytes are put together, and taken apart,
//! in registers. Everything else takes the general way, byte by byte; the tests compare the two.

use std::ptr;

use super::PointSpan;

/// Key byte of `DataPointGroup.data_points`.
pub(crate) const KEY_POINT: u8 = 0x1a;
/// Key byte of `DataPoint.elapsed_time`.
const KEY_ELAPSED: u8 = 0x08;
/// Key byte of `DataPoint.payload`.
const KEY_PAYLOAD: u8 = 0x12;

/// Room for all that stands before the payload of a point: three keys and three varints, of which the
/// two lengths are lengths of slices.
pub(super) const HEAD: usize = 48;

/// Room for the same in a short record.
const SHORT_HEAD: usize = 16;

/// Largest payload of a short record: with all the rest of it, its length still takes one byte.
const SHORT_PAYLOAD: usize = 0x7f - 11;

/// Times above need more than eight bytes as a varint, which a short record has no room for.
const SHORT_TIME: u64 = 1 << 56;

/// The top bit of every byte: in a varint, that it goes on.
const GOES_ON: u64 = 0x8080_8080_8080_8080;

/// Appends a record.
#[inline]
pub(super) fn put(bytes: &mut Vec<u8>, elapsed_time: i64, payload: &[u8]) {
    let zigzag = ((elapsed_time << 1) ^ (elapsed_time >> 63)) as u64;
    if zigzag.wrapping_sub(1) >= SHORT_TIME - 1 || payload.len().wrapping_sub(1) >= SHORT_PAYLOAD {
        return put_any(bytes, zigzag, payload);
    }
    let time_len = varint_len(zigzag);
    let len = 1 + time_len + 2 + payload.len();
    bytes.reserve(SHORT_HEAD + payload.len());
    let start = bytes.len();
    // Parts that overlap, each of a size that is known: what one writes too much the next writes over.
    // SAFETY: from `start` on `SHORT_HEAD` bytes and those of the payload are reserved. The writes before the payload end
    // at 4, at 3 + 8 and, as a short time takes eight bytes at most, at 5 + 8, all within `SHORT_HEAD`; the payload ends at
    // 5 + time_len + its length. The new length ends there too, and all bytes before it were written. The payload is
    // borrowed while `bytes` is borrowed mutably, so they do not overlap.
    unsafe {
        let record = bytes.as_mut_ptr().add(start);
        record.cast::<[u8; 4]>().write([KEY_POINT, len as u8, KEY_ELAPSED, 0]);
        record.add(3).cast::<[u8; 8]>().write(spread(zigzag, time_len).to_le_bytes());
        record.add(3 + time_len).cast::<[u8; 2]>().write([KEY_PAYLOAD, payload.len() as u8]);
        ptr::copy_nonoverlapping(payload.as_ptr(), record.add(5 + time_len), payload.len());
        bytes.set_len(start + 5 + time_len + payload.len());
    }
}

/// Appends a record of any size.
fn put_any(bytes: &mut Vec<u8>, zigzag: u64, payload: &[u8]) {
    let time_len = if zigzag == 0 { 0 } else { 1 + varint_len(zigzag) };
    let payload_len = match payload.len() {
        0 => 0,
        len => 1 + varint_len(len as u64) + len,
    };
    bytes.reserve(HEAD + payload.len());
    bytes.push(KEY_POINT);
    put_varint(bytes, (time_len + payload_len) as u64);
    if zigzag != 0 {
        bytes.push(KEY_ELAPSED);
        put_varint(bytes, zigzag);
    }
    if !payload.is_empty() {
        bytes.push(KEY_PAYLOAD);
        put_varint(bytes, payload.len() as u64);
        bytes.extend_from_slice(payload);
    }
}

fn put_varint(bytes: &mut Vec<u8>, mut value: u64) {
    while value >= 0x80 {
        bytes.push(value as u8 | 0x80);
        value >>= 7;
    }
    bytes.push(value as u8);
}

#[inline]
fn varint_len(value: u64) -> usize {
    (70 - (value | 1).leading_zeros() as usize) / 7
}

/// The varint of a value below [`SHORT_TIME`]: seven bits to a byte, halves first, then their halves.
#[inline]
fn spread(value: u64, len: usize) -> u64 {
    let value = (value & 0x00ff_ffff_f000_0000) << 4 | value & 0x0fff_ffff;
    let value = (value & 0x0fff_c000_0fff_c000) << 2 | value & 0x0000_3fff_0000_3fff;
    let value = (value & 0x3f80_3f80_3f80_3f80) << 1 | value & 0x007f_007f_007f_007f;
    // Every byte but the last goes on.
    value | GOES_ON & !(u64::MAX << (8 * (len - 1)))
}

/// The value of a varint of eight bytes at most, without the bits that say where it ends.
#[inline]
fn gather(value: u64) -> u64 {
    let value = (value & 0x7f00_7f00_7f00_7f00) >> 1 | value & 0x007f_007f_007f_007f;
    let value = (value & 0xffff_0000_ffff_0000) >> 2 | value & 0x0000_ffff_0000_ffff;
    (value & 0xffff_ffff_0000_0000) >> 4 | value & 0x0000_0000_ffff_ffff
}

/// A short record at `at` and where it ends, if it is one as [`put`] writes it and [`SHORT_HEAD`] bytes follow.
/// Offsets count from the start of `bytes`.
#[inline]
pub(super) fn short(bytes: &[u8], at: usize) -> Option<(PointSpan, usize)> {
    let head = u128::from_le_bytes(*bytes.get(at..)?.first_chunk()?);
    let len = usize::from((head >> 8) as u8);
    if head as u8 != KEY_POINT || len >= 0x80 || (head >> 16) as u8 != KEY_ELAPSED {
        return None;
    }
    let time = (head >> 24) as u64;
    let ends = !time & GOES_ON;
    if ends == 0 {
        return None;
    }
    let time_len = ends.trailing_zeros() as usize / 8 + 1;
    let after_time = (head >> (24 + 8 * time_len)) as u16;
    let payload_len = usize::from(after_time >> 8);
    let end = at + 2 + len;
    if after_time as u8 != KEY_PAYLOAD || len != 3 + time_len + payload_len || end > bytes.len() {
        return None;
    }
    let zigzag = gather(time & (u64::MAX >> (64 - 8 * time_len)) & !GOES_ON);
    let elapsed_time = (zigzag >> 1) as i64 ^ -((zigzag & 1) as i64);
    Some((PointSpan { elapsed_time, offset: end - payload_len, len: payload_len }, end))
}

/// Short records that lie side by side from `at` on: where they end, how many they are, and the sum of the lengths of
/// their payloads.
#[inline]
pub(crate) fn scan(bytes: &[u8], mut at: usize) -> (usize, usize, usize) {
    let (mut count, mut payload_bytes) = (0, 0);
    while let Some((span, end)) = short(bytes, at) {
        at = end;
        count += 1;
        payload_bytes += span.len;
    }
    (at, count, payload_bytes)
}

/// Checks the fields of a record, all that follows its length. Gives the length of the payload.
///
/// # Errors
/// Says what is not well formed.
pub(crate) fn check(fields: &[u8]) -> Result<usize, &'static str> {
    Cursor { bytes: fields, at: 0 }.fields(fields.len()).map(|span| span.len)
}

/// Reads the records of a run.
pub(super) struct Cursor<'a> {
    pub(super) bytes: &'a [u8],
    pub(super) at: usize,
}

impl Cursor<'_> {
    pub(super) fn is_empty(&self) -> bool {
        self.at >= self.bytes.len()
    }

    /// The next record.
    #[inline]
    pub(super) fn point(&mut self) -> Result<PointSpan, &'static str> {
        match short(self.bytes, self.at) {
            Some((span, end)) => {
                self.at = end;
                Ok(span)
            }
            None => self.any_point(),
        }
    }

    fn any_point(&mut self) -> Result<PointSpan, &'static str> {
        if self.byte()? != KEY_POINT {
            return Err("data point record with an unexpected key");
        }
        let len = self.take_len(self.bytes.len())?;
        self.fields(self.at + len)
    }

    /// The fields of a record, which ends at `end`.
    pub(super) fn fields(&mut self, end: usize) -> Result<PointSpan, &'static str> {
        let mut span = PointSpan { elapsed_time: 0, offset: 0, len: 0 };
        while self.at < end {
            match self.varint()? {
                key if key == u64::from(KEY_ELAPSED) => {
                    let zigzag = self.varint()?;
                    span.elapsed_time = (zigzag >> 1) as i64 ^ -((zigzag & 1) as i64);
                }
                key if key == u64::from(KEY_PAYLOAD) => {
                    span.len = self.take_len(end)?;
                    span.offset = self.at;
                    self.at += span.len;
                }
                key if key >> 3 == 1 || key >> 3 == 2 => {
                    return Err("field of a data point with the wrong wire type");
                }
                key => self.skip(key, end, 0)?,
            }
        }
        if self.at != end {
            return Err("field past the end of a data point");
        }
        Ok(span)
    }

    #[inline]
    fn byte(&mut self) -> Result<u8, &'static str> {
        let byte = *self.bytes.get(self.at).ok_or("data point ends in the middle of a field")?;
        self.at += 1;
        Ok(byte)
    }

    #[inline]
    fn varint(&mut self) -> Result<u64, &'static str> {
        let first = self.byte()?;
        if first < 0x80 {
            return Ok(u64::from(first));
        }
        let mut value = u64::from(first & 0x7f);
        for shift in 1..10 {
            let byte = self.byte()?;
            value |= u64::from(byte & 0x7f) << (7 * shift);
            if byte < 0x80 {
                return if shift == 9 && byte > 1 {
                    Err("varint above 64 bits in a data point")
                } else {
                    Ok(value)
                };
            }
        }
        Err("varint of more than ten bytes in a data point")
    }

    #[inline]
    fn take_len(&mut self, end: usize) -> Result<usize, &'static str> {
        let len = self.varint()?;
        if len > (end.saturating_sub(self.at)) as u64 {
            return Err("length past the end of a data point");
        }
        Ok(len as usize)
    }

    /// Skips the value of an unknown field.
    fn skip(&mut self, key: u64, end: usize, depth: u32) -> Result<(), &'static str> {
        const MAX_DEPTH: u32 = 100;
        if key >> 3 == 0 || key > u64::from(u32::MAX) {
            return Err("invalid field number in a data point");
        }
        match key & 7 {
            0 => self.varint().map(drop)?,
            1 => self.at += 8,
            2 => self.at += self.take_len(end)?,
            5 => self.at += 4,
            3 if depth < MAX_DEPTH => loop {
                let inner = self.varint()?;
                if inner & 7 == 4 {
                    if inner >> 3 != key >> 3 {
                        return Err("group ended by another number in a data point");
                    }
                    break;
                }
                self.skip(inner, end, depth + 1)?;
            },
            3 => return Err("groups nested too deeply in a data point"),
            _ => return Err("invalid wire type in a data point"),
        }
        if self.at > end { Err("unknown field past the end of a data point") } else { Ok(()) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Times and sizes on both sides of every border.
    fn points() -> impl Iterator<Item = (i64, usize)> {
        let times = (0..63)
            .map(|bit| 1_i64 << bit)
            .flat_map(|time| [time, time - 1, -time, 1 - time])
            .chain([i64::MIN, i64::MAX]);
        times.flat_map(|time| [0, 1, 2, 32, 110, 115, 116, 117, 127, 128, 300].map(|len| (time, len)))
    }

    #[test]
    fn short_records_are_written_as_any() {
        for (time, len) in points() {
            let payload = vec![0xff; len];
            let (mut quick, mut general) = (vec![0xee], vec![0xee]);
            put(&mut quick, time, &payload);
            put_any(&mut general, ((time << 1) ^ (time >> 63)) as u64, &payload);
            assert_eq!(quick, general, "{time} {len}");
        }
    }

    #[test]
    fn short_records_are_read_as_any() {
        let mut read = 0;
        for (time, len) in points() {
            let mut bytes = vec![0xee];
            put(&mut bytes, time, &vec![0xff; len]);
            let end = bytes.len();
            bytes.extend_from_slice(&[0xff; SHORT_HEAD]);
            let mut cursor = Cursor { bytes: &bytes, at: 1 };
            let general = cursor.any_point().map(|span| (span, cursor.at));
            assert_eq!(general.map(|(span, end)| (span.elapsed_time, span.len, end)), Ok((time, len, end)));
            if let Some(quick) = short(&bytes, 1) {
                assert_eq!(Ok(quick), general);
                read += 1;
            }
        }
        assert!(read > 1000, "only {read} records were short");
    }

    /// Every change of a byte, and every end, is seen as the general way sees it, or left to it.
    #[test]
    fn damage_is_left_to_the_general_way() {
        let mut good = Vec::new();
        put(&mut good, 123_456_789, &[0xff; 20]);
        put(&mut good, -5, &[1; 3]);
        for at in 0..good.len() {
            for byte in 0..=255 {
                let mut bad = good.clone();
                bad[at] = byte;
                for cut in [bad.len(), at + 1, SHORT_HEAD.min(bad.len())] {
                    let mut cursor = Cursor { bytes: &bad[..cut], at: 0 };
                    if let Some(quick) = short(&bad[..cut], 0) {
                        assert_eq!(Ok(quick), cursor.any_point().map(|span| (span, cursor.at)), "{bad:x?}");
                    }
                }
            }
        }
    }
}
