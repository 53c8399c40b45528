//! What the fuzz targets check beyond "no panic, no error of memory".

use std::time::{Duration, Instant};

use bytes::{BufMut, Bytes};
use iscp::encoding::{Encoding, RawMessage, Schema};
use iscp::transport::framing::Decoder;
use iscp::transport::segments::{Cut, Limits, Reassembler, Segmenter};
use iscp::transport::{Compression, Negotiation};

/// Checks one transport message: both layers agree whether it is valid, and what is taken survives every
/// encoding.
pub fn message(encoding: Encoding, bytes: &[u8]) {
    let bytes = Bytes::copy_from_slice(bytes);
    let typed = encoding.decode(bytes.clone());
    let raw = RawMessage::decode(encoding, bytes);
    let (message, raw) = match (typed, raw) {
        (Ok(message), Ok(raw)) => (message, raw),
        (Err(typed), Err(raw)) => {
            assert!(!typed.to_string().is_empty() && !raw.to_string().is_empty());
            return;
        }
        (typed, raw) => panic!("the layers disagree: {typed:?}, {raw:?}"),
    };
    for &other in Encoding::ALL {
        let encoded = raw.encode(other, Schema::V3);
        assert_eq!(RawMessage::decode(other, encoded.clone()).as_ref(), Ok(&raw), "{other:?}");
        assert_eq!(other.decode(encoded).as_ref(), Ok(&message), "{other:?}");

        let encoded = other.encode(&message, Schema::V3);
        assert_eq!(other.decode(encoded.clone()).as_ref(), Ok(&message), "{other:?}");
        // The canonical form means the same. It need not be the same: what a point brought along that
        // the schema does not know is passed on.
        let canonical = RawMessage::decode(other, encoded).expect("just decoded").encode(other, Schema::V3);
        assert_eq!(other.decode(canonical).as_ref(), Ok(&message), "{other:?}");

        // Fields that are left out for readers of protocol 2.x are all that is lost.
        let old = other.encode(&message, Schema::V2);
        let read = other.decode(old.clone()).expect("as good as the newest");
        assert_eq!(other.encode(&read, Schema::V2), old, "{other:?}");
    }
}

/// Checks a negotiation in both of its forms: what a server understood can be announced to another.
pub fn negotiation(bytes: &[u8]) {
    let query = std::str::from_utf8(bytes).ok().map(Negotiation::from_query);
    for read in [Some(Negotiation::from_bytes(bytes)), query].into_iter().flatten() {
        match read {
            Ok(negotiation) => {
                let announced = Negotiation { ambiguous: Compression::Off, ..negotiation };
                assert_eq!(Negotiation::from_query(&announced.to_query()).as_ref(), Ok(&announced));
                assert_eq!(Negotiation::from_bytes(&announced.to_bytes()).as_ref(), Ok(&announced));
            }
            Err(error) => assert!(!error.to_string().is_empty()),
        }
    }
}

/// Checks messages on a stream, of which the first byte says how it is cut: the pieces make no difference,
/// and what is kept is bounded by what came.
pub fn framing(input: &[u8]) {
    const MAX: usize = 1 << 16;
    let Some((&size, stream)) = input.split_first() else { return };
    let decode = |size: usize| {
        let mut decoder = Decoder::new(MAX);
        let (mut messages, mut came) = (Vec::new(), 0);
        for mut piece in stream.chunks(size.max(1)) {
            while !piece.is_empty() {
                let room = decoder.room();
                let (now, rest) = piece.split_at(piece.len().min(room.capacity() - room.len()));
                room.put_slice(now);
                (piece, came) = (rest, came + now.len());
                assert!(decoder.memory() <= 64 * 1024 + 4 * came);
                loop {
                    match decoder.take() {
                        Ok(Some(message)) => messages.push(message),
                        Ok(None) => break,
                        Err(error) => return (messages, Some(error)),
                    }
                }
            }
        }
        (messages, None)
    };
    let whole = decode(stream.len());
    assert_eq!(decode(size.into()), whole);
    let framed: Vec<u8> = whole
        .0
        .iter()
        .flat_map(|message| (message.len() as u32).to_be_bytes().into_iter().chain(message.iter().copied()))
        .collect();
    assert!(stream.starts_with(&framed));
}

/// Checks datagrams: each behind its length in a byte. Whatever came before, what is held is bounded, and
/// a message that is sent after it arrives.
pub fn segments(mut input: &[u8]) {
    let limits = Limits { message: 4096, held: 16 * 1024, partials: 8, age: Duration::from_secs(5) };
    let mut reassembler = Reassembler::new(limits);
    let mut now = Instant::now();
    while let Some((&length, rest)) = input.split_first() {
        let (datagram, rest) = rest.split_at(rest.len().min(length.into()));
        if let Some(message) = reassembler.receive(datagram, now) {
            assert!(message.len() <= limits.message);
        }
        assert!(reassembler.held() <= limits.held);
        now += Duration::from_millis(datagram.len() as u64);
        input = rest;
    }
    reassembler.expire(now + limits.age);
    assert_eq!(reassembler.held(), 0);
    let message: Vec<u8> = (0..1_000).map(|at| at as u8).collect();
    let cut = Cut::new(message.len(), 100).expect("few segments");
    let complete: Vec<_> = Segmenter::default()
        .cut(&message, cut, &[])
        .filter_map(|datagram| reassembler.receive(&datagram, now + limits.age))
        .collect();
    assert_eq!(complete, [&message[..]]);
}
