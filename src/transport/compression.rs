//! What compression of messages two sides agree on (docs/protocol/transport.md §6).

use std::fmt;
use std::str::FromStr;

/// Compression of a connection.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Compression {
    /// Messages travel as they are.
    #[default]
    Off,
    /// Each message is compressed on its own.
    PerMessage {
        /// DEFLATE level of the sender, 1 to 9.
        level: u8,
    },
    /// What was sent before is the dictionary of the next message.
    ContextTakeover {
        /// DEFLATE level of the sender, 1 to 9.
        level: u8,
        /// The dictionary holds two to the power of this many bytes: 9 to 15 for clients of this library,
        /// 0 to 15 for others.
        window_bits: u8,
    },
}

impl Compression {
    /// Level where none is given (docs/protocol/transport.md §1.3).
    pub const DEFAULT_LEVEL: u8 = 6;

    /// Largest window DEFLATE has, as an exponent of two.
    pub const MAX_WINDOW_BITS: u8 = 15;

    /// What the mode becomes on transports whose messages may be lost or overtake each other
    /// (docs/protocol/transport.md §6.2).
    #[must_use]
    pub fn without_context(self) -> Self {
        match self {
            Self::ContextTakeover { level, .. } => Self::PerMessage { level },
            other => other,
        }
    }
}

impl fmt::Display for Compression {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Off => f.write_str("none"),
            Self::PerMessage { level } => write!(f, "per-message:{level}"),
            Self::ContextTakeover { level, window_bits } => {
                write!(f, "context-takeover:{level}:{window_bits}")
            }
        }
    }
}

impl FromStr for Compression {
    type Err = String;

    /// Reads what a user chose: `none`, `per-message`, `per-message:LEVEL`, `context-takeover`,
    /// `context-takeover:LEVEL` or `context-takeover:LEVEL:WINDOW_BITS`.
    fn from_str(text: &str) -> Result<Self, String> {
        let mut parts = text.split(':');
        let mode = parts.next().unwrap_or_default();
        let mut number = |what: &str, least: u8, most: u8, default: u8| match parts.next() {
            None => Ok(default),
            Some(part) => {
                part.parse().ok().filter(|number| (least..=most).contains(number)).ok_or_else(|| {
                    format!("{what} {part:?} of the compression is no number from {least} to {most}")
                })
            }
        };
        let compression = match mode {
            "none" => Self::Off,
            "per-message" => Self::PerMessage { level: number("level", 1, 9, Self::DEFAULT_LEVEL)? },
            "context-takeover" => Self::ContextTakeover {
                level: number("level", 1, 9, Self::DEFAULT_LEVEL)?,
                window_bits: number("window", 9, Self::MAX_WINDOW_BITS, Self::MAX_WINDOW_BITS)?,
            },
            _ => {
                return Err(format!("{mode:?} is no compression; use none, per-message or context-takeover"));
            }
        };
        match parts.next() {
            None => Ok(compression),
            Some(rest) => Err(format!("{rest:?} has no meaning behind {compression}")),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_a_user_writes_is_read_and_shown() {
        for (text, shown) in [
            ("none", "none"),
            ("per-message", "per-message:6"),
            ("per-message:1", "per-message:1"),
            ("context-takeover", "context-takeover:6:15"),
            ("context-takeover:9", "context-takeover:9:15"),
            ("context-takeover:9:9", "context-takeover:9:9"),
        ] {
            assert_eq!(text.parse::<Compression>().map(|read| read.to_string()).as_deref(), Ok(shown));
        }
    }

    #[test]
    fn what_makes_no_sense_is_named() {
        for (text, culprit) in [
            ("", "\"\""),
            ("zip", "zip"),
            ("none:1", "\"1\""),
            ("per-message:0", "\"0\""),
            ("per-message:10", "\"10\""),
            ("per-message:x", "\"x\""),
            ("per-message:6:15", "\"15\""),
            ("context-takeover:6:8", "\"8\""),
            ("context-takeover:6:16", "\"16\""),
            ("context-takeover:6:15:1", "\"1\""),
        ] {
            let error = text.parse::<Compression>().unwrap_err();
            assert!(error.contains(culprit), "{text}: {error}");
        }
    }
}
