//! What was injected.

use std::fmt;
use std::time::Duration;

use crate::faults::Cut;

/// A direction of a connection.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Direction {
    /// From the client to the server.
    Up,
    /// From the server to the client.
    Down,
}

impl Direction {
    /// Both directions.
    pub const BOTH: [Self; 2] = [Self::Up, Self::Down];

    /// The other one.
    #[must_use]
    pub fn opposite(self) -> Self {
        match self {
            Self::Up => Self::Down,
            Self::Down => Self::Up,
        }
    }

    pub(crate) fn index(self) -> usize {
        self as usize
    }
}

/// A fault of a connection.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Fault {
    /// The connection was cut; of UDP, nothing passes any more.
    Cut(Cut),
    /// A direction ended.
    HalfClose,
    /// Nothing is forwarded in a direction any more.
    Silence,
    /// Nothing is forwarded until [`Fault::LetGo`].
    BlackHole,
    /// A black hole ended.
    LetGo,
    /// A byte was changed.
    Corrupt,
    /// A datagram was lost.
    Drop,
    /// A datagram comes twice.
    Duplicate,
    /// A datagram is overtaken by others.
    Reorder,
    /// A new connection was turned away by [`Proxy::refuse`](crate::Proxy::refuse), or since there are
    /// [`MAX_CONNECTIONS`](crate::MAX_CONNECTIONS).
    Refuse,
    /// No connection to the server could be made, and the client's was reset. Says why.
    Unreachable(String),
}

impl fmt::Display for Fault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Cut(Cut::Reset) => "cut by reset",
            Self::Cut(Cut::Finish) => "cut by finish",
            Self::HalfClose => "half-close",
            Self::Silence => "silence",
            Self::BlackHole => "black hole",
            Self::LetGo => "let go",
            Self::Corrupt => "corrupt",
            Self::Drop => "drop",
            Self::Duplicate => "duplicate",
            Self::Reorder => "reorder",
            Self::Refuse => "refuse",
            Self::Unreachable(why) => return write!(f, "unreachable: {why}"),
        })
    }
}

/// A fault that was injected. Printed in one line.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Injected {
    /// Since the proxy started.
    pub at: Duration,
    /// Number of the connection, the first one being 1. For UDP, all datagrams from and to one address of a client
    /// are a connection; TCP and UDP are counted apart.
    pub connection: u64,
    /// Which direction it is about, where it is not about both.
    pub direction: Option<Direction>,
    /// Bytes of TCP, or datagrams, that passed in that direction before.
    pub offset: Option<u64>,
    /// What was done.
    pub fault: Fault,
}

impl fmt::Display for Injected {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:.3} connection {}", self.at.as_secs_f64(), self.connection)?;
        match self.direction {
            Some(Direction::Up) => f.write_str(" up")?,
            Some(Direction::Down) => f.write_str(" down")?,
            None => {}
        }
        if let Some(offset) = self.offset {
            write!(f, " at {offset}")?;
        }
        write!(f, ": {}", self.fault)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_fault_is_one_line() {
        let mut injected = Injected {
            at: Duration::from_millis(1500),
            connection: 2,
            direction: Some(Direction::Up),
            offset: Some(77),
            fault: Fault::Corrupt,
        };
        assert_eq!(injected.to_string(), "1.500 connection 2 up at 77: corrupt");
        (injected.direction, injected.offset, injected.fault) = (None, None, Fault::Cut(Cut::Reset));
        assert_eq!(injected.to_string(), "1.500 connection 2: cut by reset");
    }
}
