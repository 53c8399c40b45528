//! Messages on a byte stream: however it is cut, the decoder finds what a look at all of it finds.

use arbitrary::{Result, Unstructured};
use bytes::{BufMut, Bytes};
use iscp::transport::framing::Decoder;

use crate::memory::memory_of;

/// What the decoder asks for at once, and twice as much for a buffer that grows.
const READ: usize = 3 * 16 * 1024;
/// Memory of a message besides its bytes.
const OVERHEAD: usize = 128;

/// What a stream holds up to `end`; `None` is a message longer than allowed, with which it ends.
struct Event<'a> {
    end: usize,
    message: Option<&'a [u8]>,
}

/// Checks a stream: a limit, how the stream is cut, which messages the application keeps, and its bytes.
pub fn check(input: &mut Unstructured<'_>) -> Result<()> {
    let limit = input.arbitrary::<u32>()? as usize;
    // More bytes than the fuzzer would write itself.
    let (filler, fill) = (input.arbitrary::<u8>()?, usize::from(input.arbitrary::<u16>()?) * 4);
    let kept = input.arbitrary::<u8>()?;
    let sizes = usize::from(input.arbitrary::<u8>()?).min(input.len());
    let sizes = input.bytes(sizes)?;
    let mut stream = input.bytes(input.len())?.to_vec();
    stream.resize(stream.len() + fill, filler);

    let expected = events(&stream, limit);
    let mut expected = expected.iter();
    let mut next = expected.next();
    let mut decoder = Decoder::new(limit);
    let (mut fed, mut taken, mut longest) = (0, 0, 0);
    let (mut messages, mut allowed, mut held): (Vec<Bytes>, _, _) = (Vec::new(), 0, 0);
    let mut sizes = sizes.iter().copied().cycle();
    'stream: while fed < stream.len() {
        let size = piece(sizes.next().unwrap_or(u8::MAX)).min(stream.len() - fed);
        let (size, memory) = memory_of(|| {
            let room = decoder.room();
            let size = size.min(room.capacity() - room.len());
            room.put_slice(&stream[fed..fed + size]);
            size
        });
        assert!(size > 0, "no room");
        held += memory.kept;
        fed += size;
        longest = longest.max(fed - taken);
        loop {
            let (result, memory) = memory_of(|| decoder.take());
            held += memory.kept;
            let event = next.filter(|event| event.end <= fed);
            match result {
                Ok(None) => break assert!(event.is_none(), "a message is late"),
                Ok(Some(message)) => {
                    let event = event.expect("a message is complete");
                    assert_eq!(Some(&message[..]), event.message);
                    taken = event.end;
                    if kept & 1 << (taken % 8) == 0 {
                        held += memory_of(|| drop(message)).1.kept;
                    } else {
                        allowed += 2 * message.len() + OVERHEAD;
                        messages.push(message);
                    }
                    next = expected.next();
                }
                Err(error) => {
                    assert!(event.is_some_and(|event| event.message.is_none()), "{error}");
                    held += memory_of(|| drop(error)).1.kept;
                    assert!(decoder.take().is_err(), "nothing can be read behind it");
                    break 'stream;
                }
            }
        }
        assert_eq!(decoder.is_between_messages(), taken == fed);
        let most = 4 * longest + READ + allowed;
        assert!(held <= most.cast_signed(), "{held} bytes held, {longest} arrived, {allowed} kept");
    }
    let unfinished = next.is_some_and(|event| event.message.is_some());
    assert!(!unfinished, "a message is missing");
    held += memory_of(|| drop(decoder)).1.kept;
    assert!(held <= allowed.cast_signed(), "messages of {allowed} bytes keep {held} alive");
    Ok(())
}

/// Everything in a stream of which all is there.
fn events(stream: &[u8], limit: usize) -> Vec<Event<'_>> {
    let mut events = Vec::new();
    let mut rest = stream;
    while let Some((prefix, behind)) = rest.split_first_chunk() {
        let len = u32::from_be_bytes(*prefix) as usize;
        if len > limit {
            events.push(Event { end: stream.len() - behind.len(), message: None });
            break;
        }
        let Some((message, behind)) = behind.split_at_checked(len) else { break };
        rest = behind;
        events.push(Event { end: stream.len() - rest.len(), message: Some(message) });
    }
    events
}

/// Bytes that arrive together: few or many.
fn piece(size: u8) -> usize {
    match size {
        0..0x80 => usize::from(size) + 1,
        0x80.. => (usize::from(size & 0x7f) + 1) * 512,
    }
}
