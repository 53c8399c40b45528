//! What RELIABLE upstreams keep on disk until the server acknowledged it, so that it survives the process.
//!
//! A [`Spool`] is a directory that one process uses at a time. Every upstream has a [`Journal`] in it, a
//! directory of its own with numbered segment files. Points are appended to the newest segment before a write
//! returns; the oldest segments are removed once all of their points are acknowledged. A segment is never
//! written again after it was read by another process: what was torn by a crash stays at the end of a file.
//!
//! Points are numbered from 0 in the order in which they were written. The journal remembers which of them went
//! into which chunk ([`Journal::cut`]), because a chunk that is sent again must be the same chunk: that is how
//! the server recognises it (docs/protocol/behaviour.md §11.2, item 37).
//!
//! ```text
//! DIR/lock                          held by the process that uses the spool
//! DIR/<journal id>/00000001.seg     magic, then records: length, CRC-32, record (record.rs)
//! DIR/<journal id>/00000002.seg     every segment begins with all that is needed to understand it alone
//! ```

mod cursor;
mod directory;
mod journal;
mod record;
mod segment;
#[cfg(test)]
mod tests;

use std::fmt;
use std::io;
use std::path::Path;

use uuid::Uuid;

use crate::message::Qos;

pub use cursor::{Cursor, Run};
pub use directory::{Leftover, Spool, SpoolConfig};
pub use journal::{Cut, Damage, Journal};
pub use segment::Unsynced;

/// When a write is on disk.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum SyncPolicy {
    /// A write that succeeded survives the process, however it ends, but not a power cut: the system writes it to
    /// disk when it likes.
    #[default]
    Process,
    /// A write that succeeded survives a power cut: it waits for the disk (fdatasync).
    Disk,
}

/// What it takes to send the points of a journal: the stream they belong to.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct StreamDescription {
    /// Node that wrote them.
    pub node_id: String,
    /// Project of its connection.
    pub project_uuid: Option<Uuid>,
    /// Session they belong to.
    pub session_id: String,
    /// How long the server keeps the stream after a loss, in seconds.
    pub expiry_interval_s: u32,
    /// How often the server acknowledges, in milliseconds.
    pub ack_interval_ms: u32,
    /// QoS of the stream.
    pub qos: Qos,
    /// Whether the server stores the data in the session.
    pub persist: bool,
}

/// What the server said of the stream the points were last sent on.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Attachment {
    /// Id of the stream.
    pub stream_id: Uuid,
    /// Alias of the stream.
    pub alias: u32,
    /// Secret to resume it with; empty below protocol 3.0.0.
    pub resume_token: String,
    /// Number of the first point that was sent on it.
    pub first_point: u64,
}

/// Why something cannot be kept.
#[derive(Debug)]
pub enum SpoolError {
    /// The spool holds as much as it may.
    Full,
    /// Another process uses the spool.
    InUse(String),
    /// The system refused an operation on a file.
    Io(String, io::Error),
}

impl SpoolError {
    fn at(path: &Path) -> impl FnOnce(io::Error) -> Self + '_ {
        move |error| Self::Io(path.display().to_string(), error)
    }
}

impl fmt::Display for SpoolError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Full => f.write_str("the spool is full"),
            Self::InUse(path) => write!(f, "spool {path}: another process uses it"),
            Self::Io(path, error) => write!(f, "spool {path}: {error}"),
        }
    }
}

impl std::error::Error for SpoolError {}
