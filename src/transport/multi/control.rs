//! Messages between the transports themselves (docs/protocol/transport.md §7.2).

use bytes::{BufMut, Bytes, BytesMut};

/// First byte, with which no message of the protocol begins.
const MARK: u8 = 0xFF;
const PING: u8 = 0x00;
const PONG: u8 = 0x01;
/// From here on a second byte makes it data.
const DATA: u8 = 0x10;
/// Bytes that every reader looks at.
const PLAIN: usize = 6;

/// Kinds of what this library adds behind a ping, which other readers ignore (docs/multi-transport.md).
const HELLO: u8 = 1;
const NEXT: u8 = 2;
const RECEIVED: u8 = 3;

/// A message between transports.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Control {
    /// Wants a pong with the same number.
    Ping(u32),
    /// The answer.
    Pong(u32),
    /// The server numbers messages, too. Tells the connection from one that had the same ids before.
    Hello(u64),
    /// The number of the next message on this transport.
    Next(u64),
    /// All messages below this number have come.
    Received(u64),
}

impl Control {
    /// Reads a message. `Ok(None)` is data.
    ///
    /// # Errors
    /// It is neither.
    pub fn parse(message: &[u8]) -> Result<Option<Self>, &'static str> {
        if message.first() != Some(&MARK) {
            return Ok(None);
        }
        let kind = match message.get(1) {
            Some(kind) if *kind < DATA => *kind,
            _ if message.len() >= PLAIN => return Ok(None),
            _ => return Err("a control message of a transport is too short"),
        };
        let Some(number) = message.get(2..PLAIN).and_then(|bytes| bytes.try_into().ok()) else {
            return Err("a control message of a transport is too short");
        };
        let number = u32::from_be_bytes(number);
        match kind {
            PING => Ok(Some(Self::addition(&message[PLAIN..]).unwrap_or(Self::Ping(number)))),
            PONG => Ok(Some(Self::Pong(number))),
            _ => Err("a control message of a transport is of an unknown kind"),
        }
    }

    fn addition(bytes: &[u8]) -> Option<Self> {
        let (kind, value) = bytes.split_first()?;
        let value = u64::from_be_bytes(value.try_into().ok()?);
        match *kind {
            HELLO => Some(Self::Hello(value)),
            NEXT => Some(Self::Next(value)),
            RECEIVED => Some(Self::Received(value)),
            _ => None,
        }
    }

    /// The bytes of the message.
    pub fn encode(self) -> Bytes {
        let mut bytes = BytesMut::with_capacity(PLAIN + 9);
        bytes.put_u8(MARK);
        let (kind, number, addition) = match self {
            Self::Ping(number) => (PING, number, None),
            Self::Pong(number) => (PONG, number, None),
            Self::Hello(value) => (PING, 0, Some((HELLO, value))),
            Self::Next(value) => (PING, 0, Some((NEXT, value))),
            Self::Received(value) => (PING, 0, Some((RECEIVED, value))),
        };
        bytes.put_u8(kind);
        bytes.put_u32(number);
        if let Some((kind, value)) = addition {
            bytes.put_u8(kind);
            bytes.put_u64(value);
        }
        bytes.freeze()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_written_is_read() {
        for control in [
            Control::Ping(42),
            Control::Pong(u32::MAX),
            Control::Hello(u64::MAX),
            Control::Next(0),
            Control::Received(1 << 40),
        ] {
            assert_eq!(Control::parse(&control.encode()), Ok(Some(control)));
        }
        assert_eq!(&Control::Ping(42).encode()[..], b"\xff\x00\x00\x00\x00\x2a");
        assert_eq!(&Control::Pong(42).encode()[..], b"\xff\x01\x00\x00\x00\x2a");
    }

    #[test]
    fn others_are_understood_as_they_are_specified() {
        for data in [&b""[..], b"\x0a\x00", b"{}", b"\xff\x10\0\0\0\0"] {
            assert_eq!(Control::parse(data), Ok(None), "{data:?}");
        }
        assert_eq!(Control::parse(b"\xff\x00\0\0\0\x07more"), Ok(Some(Control::Ping(7))));
        assert_eq!(Control::parse(b"\xff\x01\0\0\0\x07more"), Ok(Some(Control::Pong(7))));
        for broken in [&b"\xff"[..], b"\xff\x00", b"\xff\x01\0\0\0", b"\xff\x02\0\0\0\0", b"\xff\x10"] {
            assert!(Control::parse(broken).is_err(), "{broken:?}");
        }
    }
}
