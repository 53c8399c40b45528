//! A segment: one file of records.

use std::fs::{self, File, OpenOptions};
use std::io::{self, Write};
use std::path::{Path, PathBuf};

use super::record::{Body, MAGIC, decode};
use super::{SpoolError, SyncPolicy};

const EXTENSION: &str = "seg";

/// What is known of a segment.
#[derive(Clone, Copy, Debug)]
pub(super) struct Segment {
    pub(super) number: u32,
    pub(super) first_point: u64,
    pub(super) points: u64,
    pub(super) bytes: u64,
}

impl Segment {
    /// Number of the point after the last one.
    pub(super) fn end(&self) -> u64 {
        self.first_point + self.points
    }
}

/// File of a segment.
pub(super) fn path(dir: &Path, number: u32) -> PathBuf {
    dir.join(format!("{number:08}.{EXTENSION}"))
}

/// Numbers of the segments in a directory, in order.
pub(super) fn list(dir: &Path) -> Result<Vec<u32>, SpoolError> {
    let mut numbers = Vec::new();
    for entry in fs::read_dir(dir).map_err(SpoolError::at(dir))? {
        let path = entry.map_err(SpoolError::at(dir))?.path();
        let number = path.file_stem().and_then(|stem| stem.to_str()).and_then(|stem| stem.parse().ok());
        if let (Some(number), true) = (number, path.extension().is_some_and(|ext| ext == EXTENSION)) {
            numbers.push(number);
        }
    }
    numbers.sort_unstable();
    Ok(numbers)
}

/// Hands the records of a segment to `each`, up to the first that is not whole. Returns how many bytes the file
/// has and how many of them are behind the last whole record.
pub(super) fn scan(path: &Path, mut each: impl FnMut(Body)) -> Result<(u64, u64), SpoolError> {
    let bytes = fs::read(path).map_err(SpoolError::at(path))?;
    let mut good = 0;
    let mut rest = bytes.strip_prefix(&MAGIC).inspect(|_| good = MAGIC.len()).unwrap_or_default();
    while let Some((body, length)) = decode(rest) {
        each(body);
        rest = &rest[length..];
        good += length;
    }
    Ok((bytes.len() as u64, (bytes.len() - good) as u64))
}

/// A segment that is being written.
#[derive(Debug)]
pub(super) struct Writer {
    file: File,
    path: PathBuf,
    length: u64,
    sync: SyncPolicy,
}

impl Writer {
    /// Begins a segment with `head`, which is on disk before anything else is if the policy says so.
    pub(super) fn create(dir: &Path, number: u32, sync: SyncPolicy, head: &[u8]) -> Result<Self, SpoolError> {
        let path = path(dir, number);
        let file =
            OpenOptions::new().append(true).create_new(true).open(&path).map_err(SpoolError::at(&path))?;
        let mut writer = Self { file, path, length: 0, sync };
        let begun = writer.append(&[&MAGIC[..], head].concat()).and_then(|()| match sync {
            SyncPolicy::Process => Ok(()),
            // Or the file itself might be gone after a power cut.
            SyncPolicy::Disk => File::open(dir).and_then(|dir| dir.sync_all()).map_err(SpoolError::at(dir)),
        });
        if begun.is_err() {
            let _ = fs::remove_file(&writer.path);
        }
        begun.map(|()| writer)
    }

    /// Appends records: all of them, or none when it fails.
    pub(super) fn append(&mut self, records: &[u8]) -> Result<(), SpoolError> {
        self.append_lazily(records)?;
        match self.sync {
            SyncPolicy::Process => Ok(()),
            SyncPolicy::Disk => self.file.sync_data().map_err(|error| {
                self.length -= records.len() as u64;
                self.cut_back(error)
            }),
        }
    }

    /// As [`Writer::append`], for what may get lost: nobody is told that it is on disk.
    pub(super) fn append_lazily(&mut self, records: &[u8]) -> Result<(), SpoolError> {
        self.file.write_all(records).map_err(|error| self.cut_back(error))?;
        self.length += records.len() as u64;
        Ok(())
    }

    /// Half a record would hide everything behind it. If not even this works, the next record fails too or is
    /// hidden: what was promised before is safe.
    fn cut_back(&self, error: io::Error) -> SpoolError {
        let _ = self.file.set_len(self.length);
        SpoolError::at(&self.path)(error)
    }

    pub(super) fn length(&self) -> u64 {
        self.length
    }
}
