//! Messages on a byte stream: each behind its length in four bytes (docs/protocol/transport.md §3.3).

use std::collections::VecDeque;
use std::io;
use std::pin::{Pin, pin};
use std::task::{Context, Poll, ready};

use bytes::{Buf, BufMut, Bytes, BytesMut};
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite};

use super::TransportError;

/// Bytes of the length before a message.
const PREFIX: usize = 4;

/// Bytes asked for at once. A message is not given more memory than this beyond what arrived of it.
const READ_STEP: usize = 16 * 1024;

/// Room below which there is made more, unless the message needs no more.
const SMALLEST_READ: usize = 4 * 1024;

/// Messages up to this size are copied behind each other so that they share one write.
const COPY_LIMIT: usize = 4 * 1024;

/// Bytes to be written before more is taken only if the stream takes some.
const WRITE_STEP: usize = 16 * 1024;

/// Takes messages out of a byte stream.
#[derive(Debug)]
pub struct Decoder {
    buffer: BytesMut,
    /// Memory of the buffer, with what was taken out of it.
    allocated: usize,
    max_message_size: usize,
}

impl Decoder {
    /// Takes messages of at most `max_message_size` bytes.
    pub fn new(max_message_size: usize) -> Self {
        Self { buffer: BytesMut::new(), allocated: 0, max_message_size }
    }

    /// Where the bytes of the stream are put, with room for some more.
    ///
    /// A length alone gives a message no memory: the room grows with what arrived.
    pub fn room(&mut self) -> &mut BytesMut {
        let missing = self.message_len().map_or(0, |len| (PREFIX + len).saturating_sub(self.buffer.len()));
        let spare = self.buffer.capacity() - self.buffer.len();
        if spare >= SMALLEST_READ || (missing > 0 && spare >= missing) {
            // Growing at every read would copy a message as often as there are pieces of it.
            return &mut self.buffer;
        }
        let room = missing.clamp(READ_STEP, self.buffer.len().max(READ_STEP));
        // Not `reserve`, which may take along the memory of what was taken out.
        if !self.buffer.try_reclaim(room) {
            let mut buffer = BytesMut::with_capacity(self.buffer.len() + room);
            buffer.extend_from_slice(&self.buffer);
            self.allocated = buffer.capacity();
            self.buffer = buffer;
        }
        &mut self.buffer
    }

    /// Next complete message.
    ///
    /// # Errors
    /// The message is longer than allowed. Nothing can be read behind it.
    pub fn take(&mut self) -> Result<Option<Bytes>, TransportError> {
        let Some(len) = self.message_len() else { return Ok(None) };
        if len > self.max_message_size {
            return Err(TransportError::Malformed(format!(
                "a message of {len} bytes is longer than the limit of {} bytes",
                self.max_message_size
            )));
        }
        if self.buffer.len() < PREFIX + len {
            return Ok(None);
        }
        self.buffer.advance(PREFIX);
        Ok(Some(if len >= self.allocated / 2 {
            self.buffer.split_to(len).freeze()
        } else {
            // A small message must not keep the whole buffer alive while it waits to be read.
            let message = Bytes::copy_from_slice(&self.buffer[..len]);
            self.buffer.advance(len);
            message
        }))
    }

    /// Whether the stream may end here.
    pub fn is_between_messages(&self) -> bool {
        self.buffer.is_empty()
    }

    /// Bytes of memory in use.
    pub fn memory(&self) -> usize {
        self.buffer.capacity()
    }

    /// Gives back what is not needed while nothing arrives.
    fn rest(&mut self) {
        if self.buffer.is_empty() {
            self.buffer = BytesMut::new();
        }
    }

    fn message_len(&self) -> Option<usize> {
        let (prefix, _) = self.buffer.split_first_chunk::<PREFIX>()?;
        Some(usize::try_from(u32::from_be_bytes(*prefix)).unwrap_or(usize::MAX))
    }
}

/// Reads messages.
#[derive(Debug)]
pub struct MessageReader<R> {
    stream: R,
    decoder: Decoder,
}

impl<R: AsyncRead + Unpin> MessageReader<R> {
    /// Reads messages of at most `max_message_size` bytes.
    pub fn new(stream: R, max_message_size: usize) -> Self {
        Self { stream, decoder: Decoder::new(max_message_size) }
    }

    /// Next message; `None` when the stream ended behind one.
    ///
    /// # Errors
    /// `Malformed` for a message that is too long, `Lost` when the stream ended within one, else what
    /// the stream said.
    pub fn poll_next(&mut self, cx: &mut Context<'_>) -> Poll<Option<Result<Bytes, ReadError>>> {
        loop {
            match self.decoder.take() {
                Ok(None) => {}
                Ok(Some(message)) => return Poll::Ready(Some(Ok(message))),
                Err(error) => return Poll::Ready(Some(Err(ReadError::Message(error)))),
            }
            let read = pin!(self.stream.read_buf(self.decoder.room())).poll(cx);
            if read.is_pending() {
                self.decoder.rest();
            }
            match ready!(read) {
                Ok(0) if self.decoder.is_between_messages() => return Poll::Ready(None),
                Ok(0) => {
                    let error = TransportError::Lost("the stream ended within a message".to_owned());
                    return Poll::Ready(Some(Err(ReadError::Message(error))));
                }
                Ok(_) => {}
                Err(error) => return Poll::Ready(Some(Err(ReadError::Stream(error)))),
            }
        }
    }
}

/// Why no message can be read.
#[derive(Debug)]
pub enum ReadError {
    /// What was read is no message.
    Message(TransportError),
    /// The stream failed.
    Stream(io::Error),
}

/// Writes messages.
#[derive(Debug)]
pub struct MessageWriter<W> {
    stream: W,
    /// Prefixes and small messages at the end of the queue.
    tail: BytesMut,
    queue: VecDeque<Bytes>,
    queued: usize,
    /// The stream took nothing the last time.
    blocked: bool,
    written: u64,
}

impl<W: AsyncWrite + Unpin> MessageWriter<W> {
    /// Has nothing to write yet.
    pub fn new(stream: W) -> Self {
        Self { stream, tail: BytesMut::new(), queue: VecDeque::new(), queued: 0, blocked: false, written: 0 }
    }

    /// The stream.
    pub fn stream_mut(&mut self) -> &mut W {
        &mut self.stream
    }

    /// Bytes the stream took so far.
    pub fn written(&self) -> u64 {
        self.written
    }

    /// Whether nothing is to be written.
    pub fn is_empty(&self) -> bool {
        self.queued == 0
    }

    /// Whether [`poll_flush`](Self::poll_flush) comes before the next message: enough is waiting, or the
    /// stream takes no more. Until then messages are collected to share one write.
    pub fn is_waiting(&self) -> bool {
        self.blocked || self.queued >= WRITE_STEP
    }

    /// Takes a message.
    ///
    /// # Errors
    /// `Malformed` for one whose length cannot be expressed.
    pub fn send(&mut self, message: Bytes) -> Result<(), TransportError> {
        let len = u32::try_from(message.len())
            .map_err(|_| TransportError::Malformed("a message is longer than 4 GiB".to_owned()))?;
        self.tail.put_u32(len);
        self.queued += PREFIX + message.len();
        if message.len() <= COPY_LIMIT {
            self.tail.put_slice(&message);
        } else {
            self.queue.push_back(std::mem::take(&mut self.tail).freeze());
            self.queue.push_back(message);
        }
        Ok(())
    }

    /// Ready when the stream took everything.
    pub fn poll_flush(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        loop {
            if self.queue.is_empty() {
                if self.tail.is_empty() {
                    self.blocked = false;
                    return Poll::Ready(Ok(()));
                }
                self.queue.push_back(std::mem::take(&mut self.tail).freeze());
            }
            let Some(front) = self.queue.front_mut() else { continue };
            let written = Pin::new(&mut self.stream).poll_write(cx, front);
            self.blocked = written.is_pending();
            let written = ready!(written)?;
            if written == 0 {
                return Poll::Ready(Err(io::ErrorKind::WriteZero.into()));
            }
            front.advance(written);
            if front.is_empty() {
                self.queue.pop_front();
            }
            self.queued -= written;
            self.written += written as u64;
        }
    }
}

#[cfg(test)]
mod tests {
    use std::task::Waker;

    use super::*;

    const MAX: usize = 1 << 20;

    fn framed(messages: &[&[u8]]) -> Vec<u8> {
        let mut bytes = Vec::new();
        for message in messages {
            bytes.extend_from_slice(&(message.len() as u32).to_be_bytes());
            bytes.extend_from_slice(message);
        }
        bytes
    }

    /// What a decoder makes of bytes that come piece by piece.
    fn decode<'a>(pieces: impl IntoIterator<Item = &'a [u8]>) -> (Vec<Bytes>, Decoder) {
        let mut decoder = Decoder::new(MAX);
        let mut messages = Vec::new();
        for mut piece in pieces {
            while !piece.is_empty() {
                let room = decoder.room();
                let fits = piece.len().min(room.capacity() - room.len());
                room.put_slice(&piece[..fits]);
                piece = &piece[fits..];
                while let Some(message) = decoder.take().unwrap() {
                    messages.push(message);
                }
            }
        }
        (messages, decoder)
    }

    #[test]
    fn messages_survive_every_split() {
        let messages: [&[u8]; 4] = [b"HELLO", b"", b"x", &[7; 40]];
        let bytes = framed(&messages);
        assert_eq!(&bytes[..9], b"\0\0\0\x05HELLO");
        for first in 0..=bytes.len() {
            for second in first..=bytes.len() {
                let pieces = [&bytes[..first], &bytes[first..second], &bytes[second..]];
                let (decoded, decoder) = decode(pieces);
                assert_eq!(decoded, messages, "{first} {second}");
                assert!(decoder.is_between_messages());
            }
        }
        let (decoded, _) = decode(bytes.chunks(1));
        assert_eq!(decoded, messages);
    }

    #[test]
    fn large_messages_arrive_whole() {
        let large: Vec<u8> = (0..MAX).map(|at| at as u8).collect();
        let bytes = framed(&[&large, b"next", &large[1..]]);
        for size in [1_000, 16 * 1024, 100_000, bytes.len()] {
            let (decoded, _) = decode(bytes.chunks(size));
            assert_eq!(decoded, [&large[..], b"next", &large[1..]], "{size}");
        }
    }

    #[test]
    fn a_message_is_not_copied_for_every_piece_of_it() {
        let bytes = framed(&[&vec![7; MAX]]);
        let mut decoder = Decoder::new(MAX);
        let (mut place, mut moves) = (std::ptr::null(), 0);
        for piece in bytes.chunks(100) {
            decoder.room().put_slice(piece);
            moves += u32::from(place != decoder.buffer.as_ptr());
            place = decoder.buffer.as_ptr();
        }
        assert_eq!(decoder.take().unwrap().map(|message| message.len()), Some(MAX));
        assert!(moves <= MAX.ilog2(), "{moves}");
    }

    #[test]
    fn a_length_alone_costs_no_memory() {
        let mut decoder = Decoder::new(MAX);
        decoder.room().put_slice(&[0xff; PREFIX]);
        let error = decoder.take().unwrap_err();
        assert!(matches!(&error, TransportError::Malformed(why) if why.contains("4294967295")), "{error}");
        assert!(decoder.memory() <= READ_STEP);

        // Allowed, but nothing of it arrives.
        let mut decoder = Decoder::new(usize::MAX);
        decoder.room().put_slice(&[0xff; PREFIX]);
        assert_eq!(decoder.take().unwrap(), None);
        decoder.room();
        assert!(decoder.memory() <= 2 * READ_STEP, "{}", decoder.memory());
        for arrived in 1..100 {
            decoder.room().put_slice(&[0; 1024]);
            assert_eq!(decoder.take().unwrap(), None);
            assert!(decoder.memory() <= 4 * arrived * 1024 + 2 * READ_STEP, "{}", decoder.memory());
        }
    }

    #[test]
    fn a_message_at_the_limit_is_taken_and_one_byte_more_is_not() {
        let mut decoder = Decoder::new(3);
        decoder.room().put_slice(&framed(&[b"abc", b"abcd"]));
        assert_eq!(decoder.take().unwrap(), Some(Bytes::from("abc")));
        assert!(decoder.take().is_err());
    }

    #[test]
    fn a_small_message_does_not_keep_a_large_buffer_alive() {
        let mut decoder = Decoder::new(MAX);
        decoder.room().put_slice(&framed(&[b"small", &[0; 3000]]));
        let before = decoder.buffer.as_ptr_range();
        let message = decoder.take().unwrap().unwrap();
        assert!(!before.contains(&message.as_ptr()));

        // Nor one that fills what is left of the buffer.
        let mut decoder = Decoder::new(MAX);
        let large = vec![0; READ_STEP - 2 * PREFIX - 5];
        let bytes = framed(&[&large, b"small"]);
        let room = decoder.room();
        assert_eq!(room.capacity(), bytes.len());
        room.put_slice(&bytes);
        let buffer = decoder.buffer.as_ptr_range();
        assert!(buffer.contains(&decoder.take().unwrap().unwrap().as_ptr()));
        assert!(!buffer.contains(&decoder.take().unwrap().unwrap().as_ptr()));
    }

    /// A stream with little room, of which the other end is the test itself.
    #[derive(Default)]
    struct Narrow {
        room: usize,
        taken: Vec<u8>,
        writes: usize,
    }

    impl AsyncWrite for Narrow {
        fn poll_write(
            mut self: Pin<&mut Self>,
            _: &mut Context<'_>,
            bytes: &[u8],
        ) -> Poll<io::Result<usize>> {
            let taken = bytes.len().min(self.room);
            if taken == 0 {
                return Poll::Pending;
            }
            self.room -= taken;
            self.writes += 1;
            self.taken.extend_from_slice(&bytes[..taken]);
            Poll::Ready(Ok(taken))
        }

        fn poll_flush(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
            Poll::Ready(Ok(()))
        }

        fn poll_shutdown(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
            Poll::Ready(Ok(()))
        }
    }

    #[test]
    fn small_messages_share_a_write_and_large_ones_are_not_copied() {
        let mut cx = Context::from_waker(Waker::noop());
        let mut writer = MessageWriter::new(Narrow { room: usize::MAX, ..Narrow::default() });
        let large = vec![1; 100_000];
        for message in [&b"a"[..], b"bc", b"", &large] {
            assert!(!writer.is_waiting());
            writer.send(Bytes::copy_from_slice(message)).unwrap();
        }
        assert!(writer.is_waiting());
        assert!(writer.poll_flush(&mut cx).is_ready());
        assert!(!writer.is_waiting() && writer.is_empty());
        writer.send(Bytes::from_static(b"d")).unwrap();
        assert!(writer.poll_flush(&mut cx).is_ready());
        let expected = framed(&[b"a", b"bc", b"", &large, b"d"]);
        assert_eq!(writer.stream.taken, expected);
        assert_eq!(writer.written(), expected.len() as u64);
        assert_eq!(writer.stream.writes, 3);
    }

    #[test]
    fn a_stream_that_takes_nothing_holds_messages_back() {
        let mut cx = Context::from_waker(Waker::noop());
        let mut writer = MessageWriter::new(Narrow::default());
        writer.send(Bytes::from_static(b"first")).unwrap();
        assert!(!writer.is_waiting(), "little is queued");
        assert!(writer.poll_flush(&mut cx).is_pending());
        assert!(writer.is_waiting());
        writer.stream.room = 3;
        assert!(writer.poll_flush(&mut cx).is_pending());
        assert_eq!(writer.written(), 3);
        writer.stream.room = 100;
        assert!(writer.poll_flush(&mut cx).is_ready());
        assert!(!writer.is_waiting());
        assert_eq!(writer.stream.taken, framed(&[b"first"]));
    }

    #[tokio::test]
    async fn a_stream_is_read_to_its_end() {
        async fn next(reader: &mut MessageReader<&[u8]>) -> Option<Result<Bytes, ReadError>> {
            std::future::poll_fn(|cx| reader.poll_next(cx)).await
        }
        let mut reader = MessageReader::new(&b"\0\0\0\x02ab\0\0\0\0"[..], MAX);
        assert_eq!(next(&mut reader).await.unwrap().unwrap(), "ab");
        assert_eq!(next(&mut reader).await.unwrap().unwrap(), "");
        assert!(next(&mut reader).await.is_none());

        let mut reader = MessageReader::new(&b"\0\0\0\x02a"[..], MAX);
        let end = next(&mut reader).await.unwrap();
        assert!(matches!(end, Err(ReadError::Message(TransportError::Lost(_)))));
    }
}
