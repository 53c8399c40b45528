//! Runs of data points, which are read and written where they lie.

use bytes::Bytes;
use iscp::encoding::Encoding;
use iscp::message::{Message, OrAlias, Points, PointsBuf, max_wire_len};

use crate::memory::memory_of;

/// Memory of a chunk besides its points: a small frame, and what its parts take.
const OVERHEAD: usize = 2048;

/// Checks a run, alone and as the group of a chunk.
pub fn check(bytes: &[u8]) {
    let run = Points::from_wire(Bytes::copy_from_slice(bytes));
    let frame = chunk(bytes);
    crate::message(Encoding::Protobuf, &frame);
    keeps_little(&frame);
    let run = match run {
        Ok(run) => run,
        Err(problem) => return assert!(!problem.is_empty()),
    };

    assert_eq!(run.as_bytes(), bytes);
    assert_eq!(run.iter().count(), run.len());
    assert_eq!(run.is_empty(), bytes.is_empty());
    let (mut written, mut most) = (PointsBuf::default(), 0);
    for (span, point) in run.spans().zip(run.iter()) {
        assert_eq!(bytes[span.offset..span.offset + span.len], point.payload);
        assert_eq!(span.elapsed_time, point.elapsed_time);
        written.push(point.elapsed_time, &point.payload);
        most += max_wire_len(span.len);
        assert!(written.wire_bytes() <= most);
    }
    assert_eq!((written.len(), written.payload_bytes()), (run.len(), run.payload_bytes()));
    let written = written.take();
    assert_eq!(written, run);
    assert_eq!(Points::from_wire(written.as_bytes().clone()).as_ref(), Ok(&run));

    let Ok(Message::UpstreamChunk(chunk)) = Encoding::Protobuf.decode(frame.into()) else {
        panic!("a run is good, but not in a chunk");
    };
    assert_eq!(chunk.chunk.groups[0].points, run);
}

/// Checks that a chunk keeps no memory of its frame beyond what its points are worth.
fn keeps_little(frame: &[u8]) {
    let (decoded, memory) = memory_of(|| Encoding::Protobuf.decode(Bytes::copy_from_slice(frame)));
    let Ok(Message::UpstreamChunk(chunk)) = decoded else { return };
    let used: usize = chunk
        .chunk
        .groups
        .iter()
        .map(|group| match &group.data_id {
            OrAlias::Full(id) => id.name.len() + id.kind.len() + group.points.as_bytes().len(),
            OrAlias::Alias(_) => group.points.as_bytes().len(),
        })
        .sum();
    assert!(memory.kept <= (2 * used + OVERHEAD).cast_signed(), "{used} bytes keep {}", memory.kept);
}

/// An `UpstreamChunk` with one group, which has an alias and `run` (docs/protocol/messages.md §4.1).
fn chunk(run: &[u8]) -> Vec<u8> {
    let group = [b"\x10\x01", run].concat();
    let chunk = field(b"\x12", &group);
    field(b"\xb2\x04", &field(b"\x12", &chunk))
}

/// A field of bytes.
fn field(key: &[u8], value: &[u8]) -> Vec<u8> {
    let mut field = key.to_vec();
    let mut len = value.len();
    while len >= 0x80 {
        field.push(len as u8 | 0x80);
        len >>= 7;
    }
    field.push(len as u8);
    field.extend_from_slice(value);
    field
}
