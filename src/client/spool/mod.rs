//! Points of RELIABLE upstreams that are kept on disk until the server acknowledged them.
//!
//! A write appends to the journal of its upstream before it succeeds, and then goes to the upstream's buffer as
//! without a spool. When the buffer is full the journal is ahead of it: a thread of the upstream's own then brings
//! the points over as there is room, and writes only append. What an earlier process left is brought back by one
//! more thread, stream by stream.
//!
//! Locks are taken in this order: that of a [`Kept`], then that of the upstream's buffer.

mod kept;
mod pump;
mod recovery;

use std::fmt;
use std::path::PathBuf;
use std::sync::Mutex;
use std::sync::atomic::AtomicU64;

use uuid::Uuid;

use super::options::UpstreamOptions;
use crate::error::{Error, Result, Status};
use crate::message::Qos;
use crate::spool::{Leftover, Spool, SpoolConfig, SpoolError, StreamDescription, SyncPolicy};

pub(super) use kept::{Deferred, Kept};
pub(super) use pump::Pump;
pub(super) use recovery::recover;

/// Where and how points are kept.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SpoolOptions {
    /// Directory of the spool; empty for none. One connection of one process uses it at a time.
    pub dir: PathBuf,
    /// Most bytes it may take on disk.
    pub limit: u64,
    /// What a write that succeeded survives.
    pub sync: SyncPolicy,
    /// What happens when it is full.
    pub full: SpoolFull,
}

impl Default for SpoolOptions {
    fn default() -> Self {
        Self {
            dir: PathBuf::new(),
            limit: 256 << 20,
            sync: SyncPolicy::default(),
            full: SpoolFull::default(),
        }
    }
}

/// What happens when a spool is full.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum SpoolFull {
    /// Writes wait or fail, as they do when the write buffer is full.
    #[default]
    Refuse,
    /// The oldest points of the upstream that were not yet sent are given up and counted.
    DropOldest,
}

/// Numbers about a spool.
#[derive(Debug, Default)]
pub struct SpoolCounters {
    /// Points that were given up because it was full.
    pub dropped_points: AtomicU64,
    /// Points of earlier processes that were delivered.
    pub recovered_points: AtomicU64,
}

/// What became of the points that an earlier process left.
#[derive(Clone, Debug)]
pub struct SpoolOutcome {
    /// Session they belong to.
    pub session_id: String,
    /// Stream they were last sent on; nil if they never were.
    pub former: Uuid,
    /// Stream on which they were delivered; the former if the server still had it.
    pub stream_id: Uuid,
    /// How many were delivered.
    pub points: u64,
    /// Points that were unreadable.
    pub missing_points: u64,
    /// Why the rest stays in the spool.
    pub error: Option<Error>,
}

/// The spool of a connection.
pub(super) struct SpoolSide {
    spool: Spool,
    full: SpoolFull,
    node_id: String,
    project_uuid: Option<Uuid>,
    leftovers: Mutex<Vec<Leftover>>,
    pub(super) counters: SpoolCounters,
}

impl SpoolSide {
    /// Opens the spool and looks what earlier processes left for this node.
    pub(super) fn open(options: &SpoolOptions, node_id: &str, project_uuid: Option<Uuid>) -> Result<Self> {
        let config = SpoolConfig { dir: options.dir.clone(), limit: options.limit, sync: options.sync };
        let (spool, mut leftovers) =
            Spool::open(config).map_err(|error| spool_error(&error).context("connect"))?;
        // Those of others wait for a connection that speaks for them.
        leftovers.retain(|leftover| {
            let stream = leftover.journal.stream();
            stream.node_id == node_id && stream.project_uuid == project_uuid
        });
        Ok(Self {
            spool,
            full: options.full,
            node_id: node_id.to_owned(),
            project_uuid,
            leftovers: Mutex::new(leftovers),
            counters: SpoolCounters::default(),
        })
    }

    /// What keeps the points of a new upstream, if it is one whose points are kept.
    pub(super) fn keep(&self, options: &UpstreamOptions) -> Result<Option<Kept>> {
        let config = &options.config;
        if config.qos != Qos::Reliable {
            return Ok(None);
        }
        let stream = StreamDescription {
            node_id: self.node_id.clone(),
            project_uuid: self.project_uuid,
            session_id: config.session_id.clone(),
            expiry_interval_s: u32::try_from(config.expiry_interval.as_secs()).unwrap_or(u32::MAX),
            ack_interval_ms: u32::try_from(config.ack_interval.as_millis()).unwrap_or(u32::MAX),
            qos: config.qos,
            persist: config.persist,
        };
        let journal =
            self.spool.create(stream).map_err(|error| spool_error(&error).context("open upstream"))?;
        let kept = Kept::new(journal, self.full);
        for data_id in &config.data_ids {
            kept.declare(data_id)?;
        }
        Ok(Some(kept))
    }

    /// Bytes on disk.
    pub(super) fn used(&self) -> u64 {
        self.spool.used()
    }
}

impl fmt::Debug for SpoolSide {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("SpoolSide").field("spool", &self.spool).finish_non_exhaustive()
    }
}

fn spool_error(error: &SpoolError) -> Error {
    let status = match error {
        SpoolError::Full => Status::Overflow,
        SpoolError::InUse(_) | SpoolError::Io(..) => Status::Spool,
    };
    Error::new(status, error.to_string())
}
