//! The directory of a spool.

use std::fs::{self, File, OpenOptions, TryLockError};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::AtomicU64;
use std::sync::atomic::Ordering::Relaxed;

use uuid::Uuid;

use super::journal::{Damage, Journal, remove_dir};
use super::{SpoolError, StreamDescription, SyncPolicy};

/// Segments are not larger than this, but for a last record.
const MAX_SEGMENT: u64 = 4 << 20;

/// The file that shows a spool.
const LOCK: &str = "lock";

/// Settings of a spool.
#[derive(Clone, Debug)]
pub struct SpoolConfig {
    /// Its directory, which is created if necessary.
    pub dir: PathBuf,
    /// Most bytes that it may take on disk.
    pub limit: u64,
    /// When a write is on disk.
    pub sync: SyncPolicy,
}

/// A directory in which journals are kept. One process uses it at a time.
#[derive(Debug)]
pub struct Spool {
    shared: Arc<Shared>,
}

/// What an earlier process left.
#[derive(Debug)]
pub struct Leftover {
    /// The journal.
    pub journal: Journal,
    /// What of it was unreadable.
    pub damage: Damage,
}

/// What the journals of a spool have in common.
#[derive(Debug)]
pub(super) struct Shared {
    pub(super) dir: PathBuf,
    pub(super) sync: SyncPolicy,
    pub(super) segment_bytes: u64,
    /// Names the time from one start of the system to the next; empty where the system does not tell.
    pub(super) boot_id: String,
    limit: u64,
    used: AtomicU64,
    /// Locked as long as it is open.
    _lock: File,
}

impl Shared {
    /// Takes room for points.
    pub(super) fn reserve(&self, bytes: u64) -> Result<(), SpoolError> {
        let reserved = self.used.fetch_update(Relaxed, Relaxed, |used| {
            used.checked_add(bytes).filter(|used| *used <= self.limit)
        });
        reserved.map(|_| ()).map_err(|_| SpoolError::Full)
    }

    /// Takes room that is taken in any case.
    pub(super) fn use_bytes(&self, bytes: u64) {
        self.used.fetch_add(bytes, Relaxed);
    }

    pub(super) fn release(&self, bytes: u64) {
        let _ = self.used.fetch_update(Relaxed, Relaxed, |used| Some(used.saturating_sub(bytes)));
    }
}

impl Spool {
    /// Opens a spool and reads what is in it. Journals of which everything is settled are removed.
    ///
    /// # Errors
    /// `InUse`, or what the system says.
    pub fn open(config: SpoolConfig) -> Result<(Self, Vec<Leftover>), SpoolError> {
        let boot_id = fs::read_to_string("/proc/sys/kernel/random/boot_id").unwrap_or_default();
        Self::open_since(config, boot_id.trim())
    }

    /// As [`Spool::open`], with the name of the time since the system was started.
    pub(crate) fn open_since(
        config: SpoolConfig,
        boot_id: &str,
    ) -> Result<(Self, Vec<Leftover>), SpoolError> {
        let dir = config.dir;
        fs::create_dir_all(&dir).map_err(SpoolError::at(&dir))?;
        let lock = lock(&dir)?;
        if let (SyncPolicy::Disk, Some(parent)) =
            (config.sync, dir.canonicalize().ok().as_deref().and_then(Path::parent))
        {
            // The directory may be new. One that may not be opened was there before us.
            let _ = File::open(parent).and_then(|parent| parent.sync_all());
        }
        let shared = Arc::new(Shared {
            sync: config.sync,
            boot_id: boot_id.to_owned(),
            // A full spool has many segments, so that settling or dropping the oldest makes room.
            segment_bytes: (config.limit / 16).min(MAX_SEGMENT),
            limit: config.limit,
            used: AtomicU64::new(0),
            _lock: lock,
            dir,
        });
        let mut leftovers = Vec::new();
        for (id, dir) in journals(&shared.dir)? {
            let (journal, damage) = Journal::open(shared.clone(), id, dir.clone())?;
            if journal.settled() >= journal.written() {
                shared.release(journal.bytes());
                remove_dir(&dir)?;
            } else {
                leftovers.push(Leftover { journal, damage });
            }
        }
        Ok((Self { shared }, leftovers))
    }

    /// Whether `dir` has been used as a spool.
    pub fn is_spool(dir: &Path) -> bool {
        dir.join(LOCK).is_file()
    }

    /// Begins a journal for a stream.
    ///
    /// # Errors
    /// What the system says.
    pub fn create(&self, stream: StreamDescription) -> Result<Journal, SpoolError> {
        Journal::create(self.shared.clone(), stream)
    }

    /// Bytes on disk.
    pub fn used(&self) -> u64 {
        self.shared.used.load(Relaxed)
    }
}

fn lock(dir: &Path) -> Result<File, SpoolError> {
    let path = dir.join(LOCK);
    let file = OpenOptions::new().write(true).create(true).truncate(false).open(&path);
    let file = file.map_err(SpoolError::at(&path))?;
    match file.try_lock() {
        Ok(()) => Ok(file),
        Err(TryLockError::WouldBlock) => Err(SpoolError::InUse(dir.display().to_string())),
        Err(TryLockError::Error(error)) => Err(SpoolError::at(&path)(error)),
    }
}

/// Directories of journals, the oldest first.
fn journals(dir: &Path) -> Result<Vec<(Uuid, PathBuf)>, SpoolError> {
    let mut found = Vec::new();
    for entry in fs::read_dir(dir).map_err(SpoolError::at(dir))? {
        let entry = entry.map_err(SpoolError::at(dir))?;
        let path = entry.path();
        let id = entry.file_name().to_str().and_then(|name| Uuid::parse_str(name).ok());
        if let (Some(id), true) = (id, path.is_dir()) {
            let began = entry.metadata().and_then(|metadata| metadata.created()).ok();
            found.push((began, id, path));
        }
    }
    found.sort();
    Ok(found.into_iter().map(|(_, id, path)| (id, path)).collect())
}
