//! What compression of messages two sides agree on.

/// Compression of a connection (docs/protocol/transport.md §6).
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
        /// The dictionary holds two to the power of this many bytes, 0 to 15.
        window_bits: u8,
    },
}

impl Compression {
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
