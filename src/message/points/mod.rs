//! Runs of data points, kept as they travel.
//!
//! A data point is written once, into the bytes that go on the wire, and read from the bytes that
//! came from it: nothing in between holds it in another form. The bytes are the protobuf records of
//! `DataPointGroup.data_points` one after the other (docs/protocol/messages.md §4.1):
//! `1a len (08 zigzag(elapsed_time))? (12 len payload)?`.

pub(crate) mod record;

use bytes::{Bytes, BytesMut};

use record::{Cursor, HEAD};

/// Bytes from which on the memory of a run is worth keeping: the system gives new memory by the page and clears it, which
/// takes longer than to fill it.
pub(crate) const WORTH_KEEPING: usize = 32 * 1024;

/// One data point.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DataPoint {
    /// Nanoseconds since the time origin of the session; may be negative.
    pub elapsed_time: i64,
    /// Bytes of the application.
    pub payload: Bytes,
}

/// An immutable run of data points in wire form.
///
/// Cheap to clone. The bytes are well formed by construction: they come from a [`PointsBuf`] or
/// passed [`Points::from_wire`].
#[derive(Clone, Debug, Default)]
pub struct Points {
    bytes: Bytes,
    count: usize,
    payload_bytes: usize,
}

/// Where a data point lies in the bytes of its run.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct PointSpan {
    /// Nanoseconds since the time origin of the session.
    pub elapsed_time: i64,
    /// Offset of the payload in [`Points::as_bytes`]; 0 for an empty payload.
    pub offset: usize,
    /// Length of the payload.
    pub len: usize,
}

impl Points {
    /// Checks a run of wire records and takes it over without copying.
    ///
    /// # Errors
    /// Says what is wrong with the first record that is not well formed.
    pub fn from_wire(bytes: Bytes) -> Result<Self, &'static str> {
        let mut count = 0;
        let mut payload_bytes = 0;
        let mut rest = Cursor { bytes: &bytes, at: 0 };
        while !rest.is_empty() {
            let span = rest.point()?;
            count += 1;
            payload_bytes += span.len;
        }
        Ok(Self { bytes, count, payload_bytes })
    }

    /// A run of so many records that were checked when they were counted.
    pub(crate) fn checked(bytes: Bytes, count: usize, payload_bytes: usize) -> Self {
        debug_assert!(Self::from_wire(bytes.clone()).is_ok_and(|run| run.count == count));
        Self { bytes, count, payload_bytes }
    }

    /// Number of points.
    pub fn len(&self) -> usize {
        self.count
    }

    /// Whether the run holds no point.
    pub fn is_empty(&self) -> bool {
        self.count == 0
    }

    /// Sum of the lengths of the payloads.
    pub fn payload_bytes(&self) -> usize {
        self.payload_bytes
    }

    /// The wire records.
    pub fn as_bytes(&self) -> &Bytes {
        &self.bytes
    }

    /// The same run at the end of `room`, which it takes with it.
    pub(crate) fn copy_into(&self, room: &mut BytesMut) -> Self {
        room.extend_from_slice(&self.bytes);
        Self { bytes: room.split().freeze(), ..*self }
    }

    /// The memory of a large run, empty, if nobody else holds it.
    pub(crate) fn into_memory(self) -> Option<Vec<u8>> {
        if self.bytes.len() < WORTH_KEEPING {
            return None;
        }
        let mut bytes = self.bytes.try_into_mut().ok()?;
        // What is in it would be moved, be it to where it is.
        bytes.clear();
        Some(bytes.into())
    }

    /// Sorts the points by their elapsed times. Those of one time keep their order.
    pub(crate) fn sort(&mut self) {
        if self.spans().is_sorted_by_key(|span| span.elapsed_time) {
            return;
        }
        let mut rest = Cursor { bytes: &self.bytes, at: 0 };
        let mut records = Vec::with_capacity(self.count);
        while let Some(start) = (!rest.is_empty()).then_some(rest.at)
            && let Ok(span) = rest.point()
        {
            records.push((span.elapsed_time, start..rest.at));
        }
        records.sort_by_key(|(elapsed_time, _)| *elapsed_time);
        let mut bytes = Vec::with_capacity(self.bytes.len());
        for (_, record) in records {
            bytes.extend_from_slice(&self.bytes[record]);
        }
        self.bytes = Bytes::from(bytes);
    }

    /// The points in order, payloads as offsets into [`Points::as_bytes`].
    pub fn spans(&self) -> impl Iterator<Item = PointSpan> + '_ {
        let mut rest = Cursor { bytes: &self.bytes, at: 0 };
        std::iter::from_fn(move || if rest.is_empty() { None } else { rest.point().ok() })
    }

    /// The points in order, payloads as slices that share the run's memory.
    pub fn iter(&self) -> impl Iterator<Item = DataPoint> + '_ {
        self.spans().map(|span| DataPoint {
            elapsed_time: span.elapsed_time,
            payload: self.bytes.slice(span.offset..span.offset + span.len),
        })
    }
}

/// Runs are equal when their points are, however they were written.
impl PartialEq for Points {
    fn eq(&self, other: &Self) -> bool {
        self.count == other.count && self.iter().eq(other.iter())
    }
}

impl Eq for Points {}

impl<P: AsRef<[u8]>> FromIterator<(i64, P)> for Points {
    fn from_iter<I: IntoIterator<Item = (i64, P)>>(points: I) -> Self {
        let mut run = PointsBuf::default();
        for (elapsed_time, payload) in points {
            run.push(elapsed_time, payload.as_ref());
        }
        run.take()
    }
}

/// A run of data points being written.
#[derive(Debug, Default)]
pub struct PointsBuf {
    bytes: Vec<u8>,
    count: usize,
    payload_bytes: usize,
}

impl PointsBuf {
    /// Appends a point. Allocates only when the run outgrows the capacity of earlier ones.
    #[inline]
    pub fn push(&mut self, elapsed_time: i64, payload: &[u8]) {
        record::put(&mut self.bytes, elapsed_time, payload);
        self.count += 1;
        self.payload_bytes += payload.len();
    }

    /// An empty run in memory that is empty, too.
    pub(crate) fn in_memory(memory: Vec<u8>) -> Self {
        debug_assert!(memory.is_empty());
        Self { bytes: memory, count: 0, payload_bytes: 0 }
    }

    /// Moves the points of `other` behind those here, without copying if there are none. Returns the memory that is left.
    pub(crate) fn append(&mut self, mut other: Self) -> Vec<u8> {
        if self.is_empty() {
            std::mem::swap(self, &mut other);
        } else {
            self.bytes.append(&mut other.bytes);
            self.count += other.count;
            self.payload_bytes += other.payload_bytes;
        }
        other.bytes
    }

    /// Number of points.
    pub fn len(&self) -> usize {
        self.count
    }

    /// Whether the run holds no point.
    pub fn is_empty(&self) -> bool {
        self.count == 0
    }

    /// Size of the wire records.
    pub fn wire_bytes(&self) -> usize {
        self.bytes.len()
    }

    /// Sum of the lengths of the payloads.
    pub fn payload_bytes(&self) -> usize {
        self.payload_bytes
    }

    /// Takes the run and leaves an empty one with the same capacity, so that the next writes need
    /// not allocate.
    pub fn take(&mut self) -> Points {
        self.take_leaving(Self::memory(self.bytes.len()))
    }

    /// New memory for a run of so many bytes.
    pub(crate) fn memory(bytes: usize) -> Vec<u8> {
        Vec::with_capacity(bytes + HEAD)
    }

    /// Takes the run and leaves an empty one in memory that is empty, too.
    pub(crate) fn take_leaving(&mut self, next: Vec<u8>) -> Points {
        debug_assert!(next.is_empty());
        Points {
            bytes: Bytes::from(std::mem::replace(&mut self.bytes, next)),
            count: std::mem::take(&mut self.count),
            payload_bytes: std::mem::take(&mut self.payload_bytes),
        }
    }
}

/// Largest bytes a point of `payload_len` bytes takes in a run.
pub const fn max_wire_len(payload_len: usize) -> usize {
    // Key and length of the point, key and value of the time, key and length of the payload.
    payload_len + 2 * (1 + 5) + 11
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn points_survive_the_wire_form() {
        let written = [(0, &b""[..]), (1, b"a"), (-1, b"bc"), (i64::MAX, &[7; 300]), (i64::MIN, b"")];
        let run: Points = written.into_iter().collect();
        let read = Points::from_wire(run.as_bytes().clone()).unwrap();
        assert_eq!(read.len(), written.len());
        assert_eq!(read.payload_bytes(), 303);
        let points: Vec<_> = read.iter().map(|point| (point.elapsed_time, point.payload)).collect();
        for ((elapsed, payload), (written_elapsed, written_payload)) in points.iter().zip(written) {
            assert_eq!((*elapsed, &payload[..]), (written_elapsed, written_payload));
        }
    }

    #[test]
    fn taking_a_run_keeps_its_capacity() {
        let mut run = PointsBuf::default();
        (0..1000).for_each(|i| run.push(i, &[0; 32]));
        let size = run.wire_bytes();
        assert_eq!(run.take().len(), 1000);
        assert!(run.is_empty() && run.bytes.capacity() >= size);
    }

    #[test]
    fn memory_of_a_large_run_can_be_had_once_nobody_reads_it() {
        let run = |size: usize| Points::from_iter([(0, vec![0; size])]);
        assert_eq!(run(WORTH_KEEPING / 2).into_memory(), None);
        let large = run(WORTH_KEEPING);
        let reader = large.clone();
        assert_eq!(large.into_memory(), None);
        let at = reader.as_bytes().as_ptr();
        let memory = reader.into_memory().unwrap();
        assert!(memory.is_empty() && memory.capacity() > WORTH_KEEPING && memory.as_ptr() == at);
    }

    #[test]
    fn sorting_is_stable_and_leaves_what_is_sorted() {
        let mut run: Points = [(3, "a"), (-1, "b"), (3, "c"), (0, ""), (-1, "d")].into_iter().collect();
        let before = run.clone();
        run.sort();
        assert_eq!(run, [(-1, "b"), (-1, "d"), (0, ""), (3, "a"), (3, "c")].into_iter().collect());
        assert_eq!((run.len(), run.payload_bytes()), (before.len(), before.payload_bytes()));
        assert!(Points::from_wire(run.as_bytes().clone()).is_ok());
        let memory = run.as_bytes().as_ptr();
        run.sort();
        assert_eq!(run.as_bytes().as_ptr(), memory);
    }

    #[test]
    fn max_wire_len_is_an_upper_bound() {
        for len in [0, 1, 127, 128, 70_000] {
            for elapsed in [0, 1, i64::MIN] {
                let mut run = PointsBuf::default();
                run.push(elapsed, &vec![0; len]);
                assert!(run.wire_bytes() <= max_wire_len(len));
            }
        }
    }

    #[test]
    fn damaged_runs_are_refused() {
        for damaged in [
            &b"\x1a"[..],
            b"\x1a\x05\x08",
            b"\x1a\x02\x08\x80",
            b"\x1a\x02\x12\x05",
            b"\x12\x00",
            b"\x1a\x02\x0a\x00",
            b"\x1a\x01\x00",
            b"\x1a\x02\x19\x00",
            b"\x1a\x01\x23",
        ] {
            assert!(Points::from_wire(Bytes::copy_from_slice(damaged)).is_err(), "{damaged:x?}");
        }
    }

    #[test]
    fn unknown_fields_are_skipped() {
        let run = Points::from_wire(Bytes::from_static(b"\x1a\x08\x08\x02\x23\x18\x01\x24\x12\x00")).unwrap();
        assert_eq!(run.spans().next().unwrap().elapsed_time, 1);
    }
}
