//! Tests of the compression of messages.

use std::collections::VecDeque;
use std::task::Waker;

use super::*;

const LIMIT: usize = 4 << 20;

fn per_message(level: u8) -> Compression {
    Compression::PerMessage { level }
}

fn context(level: u8, window_bits: u8) -> Compression {
    Compression::ContextTakeover { level, window_bits }
}

fn codec(compression: Compression) -> Codec {
    Codec::new(compression, LIMIT).unwrap()
}

/// A small generator, so that a failure shows the same again.
struct Random(u64);

impl Random {
    fn next(&mut self) -> u64 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        self.0
    }

    fn below(&mut self, limit: u64) -> usize {
        usize::try_from(self.next() % limit).unwrap()
    }

    /// A message as they are: small or large, repetitive or noise, often like an earlier one.
    fn message(&mut self, earlier: &[Vec<u8>]) -> Vec<u8> {
        let length = match self.below(8) {
            0 => 1,
            1..=4 => 1 + self.below(200),
            5 | 6 => self.below(20_000),
            _ => self.below(60_000),
        };
        match self.below(3) {
            0 => (0..length).map(|_| self.next() as u8).collect(),
            1 if !earlier.is_empty() => {
                let mut message = earlier[self.below(earlier.len() as u64)].clone();
                let at = self.below(message.len() as u64 + 1);
                message.insert(at, self.next() as u8);
                message
            }
            _ => b"temperature=21.5;".iter().copied().cycle().take(length.max(1)).collect(),
        }
    }
}

fn every_compression() -> impl Iterator<Item = Compression> {
    let levels = 1..=9;
    let context = levels.clone().flat_map(|level| (0..=15).map(move |bits| context(level, bits)));
    levels.map(per_message).chain(context)
}

#[test]
fn what_one_side_compresses_the_other_inflates_whatever_the_parameters() {
    for (seed, compression) in every_compression().enumerate() {
        let mut random = Random(0x9e37_79b9 + seed as u64);
        let (mut sender, mut receiver) = (codec(compression), codec(compression));
        let mut messages: Vec<Vec<u8>> = Vec::new();
        for _ in 0..8 {
            let message = random.message(&messages);
            let packed = sender.compress(&message).unwrap();
            assert_eq!(receiver.inflate(&packed).as_deref(), Ok(&message[..]), "{compression}");
            messages.push(message);
        }
    }
}

#[test]
fn the_two_directions_and_other_connections_do_not_mix() {
    let mut random = Random(7);
    let mut pairs: Vec<_> = [context(6, 9), context(1, 15), per_message(9), context(6, 15), context(6, 9)]
        .into_iter()
        .map(|compression| (codec(compression), codec(compression)))
        .collect();
    let mut messages = Vec::new();
    for _ in 0..200 {
        let (client, server) = &mut pairs[random.below(5)];
        let (sender, receiver) = if random.below(2) == 0 { (client, server) } else { (server, client) };
        let message = random.message(&messages);
        let packed = sender.compress(&message).unwrap();
        assert_eq!(receiver.inflate(&packed).as_deref(), Ok(&message[..]));
        messages.truncate(20);
        messages.push(message);
    }
}

#[test]
fn a_sender_stays_within_the_window_it_announced() {
    // Noise that comes again at a distance: only a wider window can use it.
    let mut random = Random(3);
    let noise: Vec<u8> = (0..2000).map(|_| random.next() as u8).collect();
    let message = [&noise[..], &noise[..]].concat();
    let narrow = codec(context(9, 9)).compress(&message).unwrap();
    let wide = codec(context(9, 15)).compress(&message).unwrap();
    assert!(wide.len() < 2200 && narrow.len() > 3900, "{} {}", wide.len(), narrow.len());
    // A decoder with only that window can read it.
    let mut inflate = Decompress::new_with_window_bits(false, 9);
    let mut out = Vec::with_capacity(message.len());
    // In small steps, which make the decoder depend on its own window.
    for part in narrow.chunks(100) {
        inflate.decompress_vec(part, &mut out, FlushDecompress::None).unwrap();
    }
    assert_eq!(out, message);
}

#[test]
fn the_context_makes_similar_messages_small() {
    let mut sender = codec(context(6, 15));
    let first = sender.compress(b"temperature=21.5").unwrap();
    let second = sender.compress(b"temperature=21.6").unwrap();
    assert!(first.len() > 15 && second.len() < 8, "{} {}", first.len(), second.len());
}

/// Streams of the official clients (docs/protocol/transport.md §6.1, §6.4, §11.3).
#[test]
fn streams_of_the_official_clients_are_read() {
    let mut plain = codec(per_message(6));
    for stream in ["000600f9ff1a0412024f4b000000ffff0300", "92621162f2f706040000ffff", "93621162f2f70600"] {
        assert_eq!(plain.inflate(&bytes(stream)).as_deref(), Ok(&bytes("1a0412024f4b")[..]), "{stream}");
    }
    for stream in ["000000ffff0300", "010000ffff", "0300", ""] {
        assert_eq!(plain.inflate(&bytes(stream)).as_deref(), Ok(&b""[..]), "{stream}");
    }
    for stream in ["cb48cdc9c90700", "010500faff68656c6c6f"] {
        assert_eq!(plain.inflate(&bytes(stream)).as_deref(), Ok(&b"hello"[..]), "{stream}");
    }
    for pair in [
        ["2b49cd2d482d4a2c292d4ab53532d4330500", "2b41e59b0100"],
        ["2a49cd2d482d4a2c292d4ab53532d43305000000ffff0300", "42e39b01000000ffff0300"],
    ] {
        let mut receiver = codec(context(6, 15));
        let read: Vec<_> = pair.iter().map(|stream| receiver.inflate(&bytes(stream)).unwrap()).collect();
        assert_eq!(read, [&b"temperature=21.5"[..], b"temperature=21.6"]);
    }
}

#[test]
fn what_is_broken_truncated_or_too_large_is_an_error() {
    let mut sender = codec(per_message(6));
    let packed = sender.compress(&[b'x'; 5000]).unwrap();
    for end in 1..packed.len() {
        let error = codec(per_message(6)).inflate(&packed[..end]);
        assert_eq!(error, Err(InflateError::Truncated), "{end} of {}", packed.len());
    }
    // The way permessage-deflate ends a message: without a final block.
    let unfinished = codec(per_message(6)).inflate(&bytes("ca48cdc9c907000000ffff"));
    assert_eq!(unfinished, Err(InflateError::Truncated));
    for broken in ["ffffffff", "06", "2b41e59b0100"] {
        let read = codec(per_message(6)).inflate(&bytes(broken));
        assert!(read.is_err(), "{broken}: {read:?}");
    }
    assert_eq!(Codec::new(per_message(1), 5000).unwrap().inflate(&packed).map(|all| all.len()), Ok(5000));
    assert_eq!(Codec::new(per_message(1), 4999).unwrap().inflate(&packed), Err(InflateError::TooLarge(4999)));
}

#[test]
fn a_bomb_takes_no_more_memory_than_the_limit() {
    let bomb = codec(per_message(9)).compress(&vec![0; LIMIT]).unwrap();
    assert!(bomb.len() < LIMIT / 200);
    let limit = 64 * 1024;
    let mut receiver = Codec::new(per_message(6), limit).unwrap();
    assert_eq!(receiver.inflate(&bomb), Err(InflateError::TooLarge(limit)));
    let held = POOL.with_borrow(|pool| pool.buffer.capacity());
    assert!(held <= KEPT_BUFFER.max(2 * limit), "{held}");
    // The next message is read as if nothing had been.
    let small = codec(per_message(6)).compress(b"small").unwrap();
    assert_eq!(receiver.inflate(&small).as_deref(), Ok(&b"small"[..]));
}

#[test]
fn what_a_message_took_to_be_made_is_not_kept_with_it() {
    let kept = || POOL.with_borrow(|pool| pool.buffer.capacity());
    // A failed message leaves nothing large behind.
    let bomb = codec(per_message(9)).compress(&vec![0; LIMIT]).unwrap();
    assert!(codec(per_message(6)).inflate(&bomb[..bomb.len() - 1]).is_err());
    assert!(kept() <= KEPT_BUFFER, "{}", kept());
    // Neither does a message that is small once it is compressed, or whose room was larger than itself.
    for (what, message) in
        [("compressed", bomb), ("inflated", codec(per_message(1)).inflate(&empty_blocks(100_000)).unwrap())]
    {
        let (len, room) = (message.len(), room(message));
        assert!(room <= 2 * len, "{what}: {len} bytes in {room}");
        assert!(kept() <= KEPT_BUFFER, "{what}: {}", kept());
    }
}

/// Stored blocks of nothing, with `small` in the last.
fn empty_blocks(count: usize) -> Vec<u8> {
    let mut stream = bytes("000000ffff").repeat(count);
    stream.extend(bytes("010500faff"));
    stream.extend(b"small");
    stream
}

/// Memory that a message keeps.
fn room(message: Bytes) -> usize {
    message.try_into_mut().expect("nobody else's").capacity()
}

fn bytes(hex: &str) -> Vec<u8> {
    hex.as_bytes()
        .chunks(2)
        .map(|pair| u8::from_str_radix(std::str::from_utf8(pair).unwrap(), 16).unwrap())
        .collect()
}

/// A transport that hands back what was sent.
#[derive(Default)]
struct Loopback(VecDeque<Received>);

impl Transport for Loopback {
    fn poll_recv(&mut self, _: &mut Context<'_>) -> Poll<Option<Result<Received, TransportError>>> {
        Poll::Ready(self.0.pop_front().map(Ok))
    }

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), TransportError>> {
        Poll::Ready(Ok(()))
    }

    fn send(&mut self, bytes: Bytes) -> Result<(), TransportError> {
        self.0.push_back(Received { bytes, channel: Channel::Reliable });
        Ok(())
    }

    fn send_unreliable(&mut self, bytes: Bytes) -> Result<bool, TransportError> {
        self.0.push_back(Received { bytes, channel: Channel::Unreliable });
        Ok(true)
    }

    fn poll_flush(&mut self, _: &mut Context<'_>) -> Poll<Result<(), TransportError>> {
        Poll::Ready(Ok(()))
    }

    fn bytes_written(&self) -> u64 {
        0
    }

    fn poll_close(&mut self, _: &mut Context<'_>) -> Poll<Result<(), TransportError>> {
        Poll::Ready(Ok(()))
    }
}

fn receive(transport: &mut impl Transport) -> Option<Result<Received, TransportError>> {
    match transport.poll_recv(&mut Context::from_waker(Waker::noop())) {
        Poll::Ready(received) => received,
        Poll::Pending => panic!("nothing there"),
    }
}

#[test]
fn a_broken_datagram_is_dropped_and_a_broken_message_ends_the_connection() {
    let mut inner = Loopback::default();
    inner.send_unreliable(Bytes::from_static(b"\xff\xff")).unwrap();
    let mut transport = Compressed::new(inner, codec(per_message(6)));
    transport.send_unreliable(Bytes::from_static(b"lossy")).unwrap();
    let received = receive(&mut transport).unwrap().unwrap();
    assert_eq!((&received.bytes[..], received.channel), (&b"lossy"[..], Channel::Unreliable));

    transport.inner.send(Bytes::from_static(b"\xff\xff")).unwrap();
    let error = receive(&mut transport).unwrap().unwrap_err();
    assert!(matches!(&error, TransportError::Malformed(why) if why.contains("broken")), "{error:?}");
}

#[test]
fn the_first_message_tells_what_level_0_meant() {
    // Stored blocks, as the official Rust client sends at level 0.
    let mut inner = Loopback::default();
    inner.send(bytes("010500faff68656c6c6f").into()).unwrap();
    let mut transport = Compressed::undecided(inner, codec(per_message(6)));
    assert_eq!(receive(&mut transport).unwrap().unwrap().bytes, "hello");
    transport.send(Bytes::from_static(b"answer")).unwrap();
    assert_ne!(transport.inner.0[0].bytes, "answer");
    assert_eq!(receive(&mut transport).unwrap().unwrap().bytes, "answer");

    let mut inner = Loopback::default();
    inner.send(Bytes::from_static(b"\x0aplain")).unwrap();
    let mut transport = Compressed::undecided(inner, codec(per_message(6)));
    assert_eq!(receive(&mut transport).unwrap().unwrap().bytes, "\x0aplain");
    transport.send(Bytes::from_static(b"answer")).unwrap();
    assert_eq!(transport.inner.0[0].bytes, "answer");
}
