//! Messages as raw DEFLATE, on any transport (docs/protocol/transport.md §6).
//!
//! Every message is a DEFLATE stream of its own; what context takeover carries over is only the
//! dictionary. So a connection owns nothing but what was said last, and all connections of a thread
//! share one set of compressors.

use std::cell::RefCell;
use std::collections::BTreeMap;
use std::sync::Arc;
use std::task::{Context, Poll, ready};

use bytes::Bytes;
use flate2::{Compress, CompressError, Decompress, FlushCompress, FlushDecompress, Status};

use super::path::Path;
use super::{Channel, Compression, Received, Transport, TransportError};

/// Smallest window that the compressor can be limited to, as an exponent of two.
const MIN_WINDOW_BITS: u8 = 9;

/// Memory that the buffers of a thread keep for the next message.
const KEPT_BUFFER: usize = 256 * 1024;

/// What is inflated before there is another look at the size.
const MIN_STEP: usize = 4096;

/// Compressors of one thread.
struct Pool {
    deflate: BTreeMap<(u8, u8), Compress>,
    inflate: Decompress,
    buffer: Vec<u8>,
}

thread_local! {
    static POOL: RefCell<Pool> = RefCell::new(Pool {
        deflate: BTreeMap::new(),
        // A peer may use distances of 32 KiB whatever window was agreed.
        inflate: Decompress::new_with_window_bits(false, Compression::MAX_WINDOW_BITS),
        buffer: Vec::new(),
    });
}

/// Why bytes could not be inflated.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum InflateError {
    /// Not DEFLATE, or a reference to what was never said.
    #[error("a compressed message is broken")]
    Broken,
    /// The message does not end.
    #[error("a compressed message is truncated")]
    Truncated,
    /// The message is larger than the limit.
    #[error("a compressed message inflates to more than {0} bytes")]
    TooLarge(usize),
}

/// The last bytes said in one direction.
#[derive(Debug, Default)]
struct History {
    bytes: Vec<u8>,
    limit: usize,
}

impl History {
    fn new(compression: Compression) -> Self {
        let limit = match compression {
            Compression::ContextTakeover { window_bits, .. } => 1 << window_bits,
            _ => 0,
        };
        Self { bytes: Vec::new(), limit }
    }

    /// Remembers `message` behind what was said before, as far as there is room.
    fn push(&mut self, message: &[u8]) {
        let new = &message[message.len().saturating_sub(self.limit)..];
        let excess = (self.bytes.len() + new.len()).saturating_sub(self.limit);
        self.bytes.drain(..excess);
        self.bytes.extend_from_slice(new);
    }
}

/// Compresses and inflates the messages of one connection.
#[derive(Debug)]
pub struct Codec {
    level: u8,
    window_bits: u8,
    sent: History,
    received: History,
    limit: usize,
}

impl Codec {
    /// A codec for messages that inflate to at most `limit` bytes; `None` when `compression` is off.
    pub fn new(compression: Compression, limit: usize) -> Option<Self> {
        let (level, window_bits) = match compression {
            Compression::Off => return None,
            Compression::PerMessage { level } => (level, Compression::MAX_WINDOW_BITS),
            Compression::ContextTakeover { level, window_bits } => (level, window_bits.max(MIN_WINDOW_BITS)),
        };
        Some(Self {
            level,
            window_bits,
            sent: History::new(compression),
            received: History::new(compression),
            limit,
        })
    }

    /// Allows messages of up to `limit` bytes from now on.
    pub fn set_limit(&mut self, limit: usize) {
        self.limit = limit;
    }

    /// Compresses one message. The messages must reach the peer in this order.
    ///
    /// # Errors
    /// A defect of the compressor; nothing can be sent behind it under context takeover.
    pub fn compress(&mut self, message: &[u8]) -> Result<Bytes, CompressError> {
        POOL.with_borrow_mut(|pool| {
            let (level, window_bits) = (self.level, self.window_bits);
            let deflate = pool.deflate.entry((level, window_bits)).or_insert_with(|| {
                Compress::new_with_window_bits(flate2::Compression::new(level.into()), false, window_bits)
            });
            deflate.reset();
            if !self.sent.bytes.is_empty() {
                deflate.set_dictionary(&self.sent.bytes)?;
            }
            let out = &mut pool.buffer;
            out.clear();
            // Room for incompressible messages, whose blocks are stored with a few bytes each.
            out.reserve(message.len() + message.len() / 1024 + 64);
            loop {
                let consumed = usize::try_from(deflate.total_in()).unwrap_or(message.len());
                match deflate.compress_vec(&message[consumed..], out, FlushCompress::Finish)? {
                    Status::StreamEnd => break,
                    Status::Ok | Status::BufError => out.reserve(out.len().max(MIN_STEP)),
                }
            }
            self.sent.push(message);
            Ok(take(out))
        })
    }

    /// Inflates one message.
    ///
    /// # Errors
    /// What is wrong with it. Under context takeover nothing can be read behind it.
    pub fn inflate(&mut self, compressed: &[u8]) -> Result<Bytes, InflateError> {
        // An empty message of zlib, on a fresh compressor.
        if compressed.is_empty() {
            return Ok(Bytes::new());
        }
        POOL.with_borrow_mut(|pool| {
            let inflated = self.inflate_into(&mut pool.inflate, &mut pool.buffer, compressed);
            match inflated {
                Ok(()) => {
                    self.received.push(&pool.buffer);
                    Ok(take(&mut pool.buffer))
                }
                Err(error) => {
                    let_go(&mut pool.buffer);
                    Err(error)
                }
            }
        })
    }

    fn inflate_into(
        &self,
        inflate: &mut Decompress,
        out: &mut Vec<u8>,
        compressed: &[u8],
    ) -> Result<(), InflateError> {
        inflate.reset(false);
        if !self.received.bytes.is_empty() {
            inflate.set_dictionary(&self.received.bytes).map_err(|_| InflateError::Broken)?;
        }
        out.clear();
        loop {
            let before = (inflate.total_in(), inflate.total_out());
            let consumed = usize::try_from(before.0).unwrap_or(compressed.len());
            if out.len() == out.capacity() {
                let step = out.len().max(compressed.len().saturating_mul(2)).max(MIN_STEP);
                // One more than allowed tells a message that is too large.
                out.reserve(step.min((self.limit + 1).saturating_sub(out.len())).max(1));
            }
            let status = inflate
                .decompress_vec(&compressed[consumed..], out, FlushDecompress::None)
                .map_err(|_| InflateError::Broken)?;
            if out.len() > self.limit {
                return Err(InflateError::TooLarge(self.limit));
            }
            match status {
                Status::StreamEnd => return Ok(()),
                Status::Ok | Status::BufError => {
                    let after = (inflate.total_in(), inflate.total_out());
                    if after == before && out.len() < out.capacity() {
                        return Err(InflateError::Truncated);
                    }
                }
            }
        }
    }
}

/// The content of a buffer, which keeps its memory for the next message unless that is much. What is
/// handed out holds hardly more memory than it has bytes: who keeps it counts those.
fn take(buffer: &mut Vec<u8>) -> Bytes {
    if buffer.len() > KEPT_BUFFER && buffer.len() > buffer.capacity() / 2 {
        return Bytes::from(std::mem::take(buffer));
    }
    let bytes = Bytes::copy_from_slice(buffer);
    let_go(buffer);
    bytes
}

/// Gives back the memory of a buffer if it is much.
fn let_go(buffer: &mut Vec<u8>) {
    if buffer.capacity() > KEPT_BUFFER {
        *buffer = Vec::new();
    }
}

/// What is known of the compression of a connection.
enum State {
    Off,
    On(Codec),
    /// The first message of the peer tells which of the two.
    Undecided(Codec),
}

/// A transport whose messages are compressed.
pub struct Compressed<T> {
    inner: T,
    state: State,
    /// Largest message of a peer that is admitted.
    limit: usize,
}

/// Largest message of a peer that has not said yet who it is.
const STRANGER: usize = 64 * 1024;

impl<T: Transport> Compressed<T> {
    /// Compresses and inflates the messages of `inner`.
    pub fn new(inner: T, mut codec: Codec) -> Self {
        let limit = codec.limit;
        codec.set_limit(limit.min(STRANGER));
        Self { inner, state: State::On(codec), limit }
    }

    /// Does so if the first message of the peer is compressed.
    pub fn undecided(inner: T, mut codec: Codec) -> Self {
        let limit = codec.limit;
        codec.set_limit(limit.min(STRANGER));
        Self { inner, state: State::Undecided(codec), limit }
    }

    fn pack(&mut self, message: Bytes) -> Result<Bytes, TransportError> {
        match &mut self.state {
            State::On(codec) => codec
                .compress(&message)
                .map_err(|error| TransportError::Lost(format!("cannot compress a message: {error}"))),
            // Nobody is spoken to before a first message.
            State::Off | State::Undecided(_) => Ok(message),
        }
    }

    fn unpack(&mut self, bytes: Bytes) -> Result<Bytes, InflateError> {
        if let State::Undecided(_) = self.state
            && let State::Undecided(codec) = std::mem::replace(&mut self.state, State::Off)
            // Such a byte starts a stored block, but no message of either encoding
            // (docs/protocol/transport.md §1.6).
            && matches!(bytes.first(), Some(0 | 1))
        {
            self.state = State::On(codec);
        }
        match &mut self.state {
            State::On(codec) => codec.inflate(&bytes),
            State::Off | State::Undecided(_) => Ok(bytes),
        }
    }
}

impl<T: Transport> Transport for Compressed<T> {
    fn poll_recv(&mut self, cx: &mut Context<'_>) -> Poll<Option<Result<Received, TransportError>>> {
        loop {
            let received = match ready!(self.inner.poll_recv(cx)) {
                Some(Ok(received)) => received,
                other => return Poll::Ready(other),
            };
            let Received { bytes, channel } = received;
            match self.unpack(bytes) {
                // Compressors of peers may make one of nothing.
                Ok(bytes) if bytes.is_empty() => {}
                Ok(bytes) => return Poll::Ready(Some(Ok(Received { bytes, channel }))),
                Err(error) if channel == Channel::Unreliable => {
                    tracing::debug!("dropped a message that came by datagram: {error}");
                }
                Err(error) => return Poll::Ready(Some(Err(TransportError::Malformed(error.to_string())))),
            }
        }
    }

    fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), TransportError>> {
        self.inner.poll_ready(cx)
    }

    fn send(&mut self, message: Bytes) -> Result<(), TransportError> {
        let packed = self.pack(message)?;
        self.inner.send(packed)
    }

    fn send_unreliable(&mut self, message: Bytes) -> Result<bool, TransportError> {
        let packed = self.pack(message)?;
        self.inner.send_unreliable(packed)
    }

    fn poll_flush(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), TransportError>> {
        self.inner.poll_flush(cx)
    }

    fn datagram_limit(&self) -> usize {
        // What does not shrink grows, by a few bytes for each block.
        let limit = self.inner.datagram_limit();
        limit - (limit / 256).max(64).min(limit)
    }

    fn bytes_written(&self) -> u64 {
        self.inner.bytes_written()
    }

    fn describe(&self) -> Vec<Arc<Path>> {
        self.inner.describe()
    }

    fn admit(&mut self) {
        if let State::On(codec) = &mut self.state {
            codec.set_limit(self.limit);
        }
        self.inner.admit();
    }

    fn poll_close(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), TransportError>> {
        self.inner.poll_close(cx)
    }
}

#[cfg(test)]
#[path = "deflate_tests.rs"]
mod tests;
