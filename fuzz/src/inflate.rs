//! Compressed messages of one connection, compared with an inflater by others that gets the history of
//! docs/protocol/transport.md §6.4 written out.

use arbitrary::{Result, Unstructured};
use bytes::Bytes;
use flate2::{Decompress, FlushDecompress, Status};
use iscp::transport::Compression;
use iscp::transport::deflate::{Codec, InflateError};
use miniz_oxide::inflate::TINFLStatus;
use miniz_oxide::inflate::core::inflate_flags::TINFL_FLAG_USING_NON_WRAPPING_OUTPUT_BUF;
use miniz_oxide::inflate::core::{DecompressorOxide, decompress};

use crate::memory::memory_of;

/// What a connection, and the buffer that it shares with others, keep from one message to the next.
const KEPT: usize = 256 * 1024 + 2 * 32 * 1024 + 1024;

/// Checks a sequence of messages: some as a peer sends them that knows what it does, others as they are.
pub fn check(input: &mut Unstructured<'_>) -> Result<()> {
    let [level, window_bits, limit]: [u8; 3] = input.arbitrary()?;
    let level = level % 9 + 1;
    let compression = match window_bits % 17 {
        16 => Compression::PerMessage { level },
        window_bits => Compression::ContextTakeover { level, window_bits },
    };
    let limit = 1 << (limit % 21);
    let codec = || Codec::new(compression, limit).expect("compression is on");
    let mut connection = Connection { compression, limit, peer: codec(), own: codec(), history: Vec::new() };
    // The buffer that messages share is there from now on.
    connection.own.inflate(b"\x03\0").expect("an empty message");
    while !input.is_empty() {
        let [kind, len]: [u8; 2] = input.arbitrary()?;
        let len = usize::from(len) << (kind >> 5);
        let bytes = input.bytes(len.min(input.len()))?;
        if kind & 1 == 0 {
            connection.receive(bytes);
        } else {
            let times = 1 << (kind >> 1 & 0xf);
            if !connection.round_trip(&bytes.repeat(times)) {
                break;
            }
        }
    }
    Ok(())
}

/// One direction of a connection.
struct Connection {
    compression: Compression,
    limit: usize,
    peer: Codec,
    own: Codec,
    /// What the messages so far are to the next.
    history: Vec<u8>,
}

impl Connection {
    /// Sends a message; `false` when the receiver knows another history from now on.
    fn round_trip(&mut self, message: &[u8]) -> bool {
        let packed = self.peer.compress(message).expect("anything can be compressed");
        self.stays_within_its_window(&packed, message);
        let read = self.inflate(&packed);
        if message.len() > self.limit {
            assert_eq!(read, Err(InflateError::TooLarge(self.limit)));
            return matches!(self.compression, Compression::PerMessage { .. });
        }
        assert_eq!(read.as_deref(), Ok(message));
        self.remember(message);
        true
    }

    /// Receives anything.
    fn receive(&mut self, packed: &[u8]) {
        let read = self.inflate(packed);
        match (read, plain(packed, &self.history, self.limit)) {
            (Ok(message), Plain::Message(expected)) => {
                assert_eq!(message, expected);
                self.remember(&message);
                self.peer.compress(&message).expect("anything can be compressed");
            }
            (Err(InflateError::TooLarge(_)), Plain::TooLarge)
            | (Err(InflateError::Truncated), Plain::Truncated)
            | (Err(InflateError::Broken), Plain::Broken) => {}
            // One of the two found what is wrong further behind.
            (Err(InflateError::Broken), Plain::TooLarge | Plain::Truncated)
            | (Err(InflateError::Truncated), Plain::Broken) => {}
            (read, plain) => panic!("{read:?} instead of {plain:?}"),
        }
    }

    fn inflate(&mut self, packed: &[u8]) -> Result<Bytes, InflateError> {
        let (read, memory) = memory_of(|| self.own.inflate(packed));
        assert!(memory.most <= 4 * self.limit + 4 * packed.len() + KEPT, "{} bytes at once", memory.most);
        let len = read.as_ref().map_or(0, Bytes::len);
        assert!(memory.kept <= (2 * len + KEPT).cast_signed(), "{len} bytes keep {}", memory.kept);
        read
    }

    fn remember(&mut self, message: &[u8]) {
        self.history.extend_from_slice(message);
        let limit = match self.compression {
            Compression::ContextTakeover { window_bits, .. } => 1 << window_bits,
            _ => 0,
        };
        self.history.drain(..self.history.len().saturating_sub(limit));
    }

    /// Inflates with no more than the window that was announced, in steps too small to hide it.
    fn stays_within_its_window(&self, packed: &[u8], message: &[u8]) {
        let window_bits = match self.compression {
            Compression::ContextTakeover { window_bits, .. } => window_bits.max(9),
            _ => Compression::MAX_WINDOW_BITS,
        };
        let mut inflate = Decompress::new_with_window_bits(false, window_bits);
        if !self.history.is_empty() {
            inflate.set_dictionary(&self.history).expect("a dictionary");
        }
        let (mut status, mut rest) = (Status::Ok, message);
        while status != Status::StreamEnd {
            let (read, written) = (inflate.total_in() as usize, inflate.total_out());
            let mut step = [0; 100];
            status = inflate.decompress(&packed[read..], &mut step, FlushDecompress::None).expect("valid");
            let written = (inflate.total_out() - written) as usize;
            let (expected, behind) = rest.split_at(written);
            assert_eq!(&step[..written], expected);
            rest = behind;
        }
        assert!(rest.is_empty());
    }
}

/// What the other inflater says.
#[derive(Debug)]
enum Plain {
    Message(Vec<u8>),
    TooLarge,
    Truncated,
    Broken,
}

fn plain(packed: &[u8], history: &[u8], limit: usize) -> Plain {
    if packed.is_empty() {
        return Plain::Message(Vec::new());
    }
    let most = history.len() + limit + 1;
    let mut out = history.to_vec();
    let (mut read, mut written) = (0, history.len());
    let mut inflate = DecompressorOxide::new();
    loop {
        out.resize(most.min(2 * out.len() + 1024), 0);
        let flags = TINFL_FLAG_USING_NON_WRAPPING_OUTPUT_BUF;
        let (status, more_read, more_written) =
            decompress(&mut inflate, &packed[read..], &mut out, written, flags);
        read += more_read;
        written += more_written;
        match status {
            _ if written == most => return Plain::TooLarge,
            TINFLStatus::Done => return Plain::Message(out[history.len()..written].to_vec()),
            TINFLStatus::HasMoreOutput => {}
            TINFLStatus::FailedCannotMakeProgress => return Plain::Truncated,
            _ => return Plain::Broken,
        }
    }
}
