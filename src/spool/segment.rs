//! A segment: one file of records.

use std::fs::{self, File, OpenOptions};
use std::io::{self, ErrorKind, Write};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::AtomicBool;
use std::sync::atomic::Ordering::{Acquire, Release};

use super::SpoolError;
use super::record::{Body, MAGIC, decode};

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

/// A segment that is being written. What is written survives the process at once, and a power cut after
/// [`Unsynced::sync`].
#[derive(Debug)]
pub(super) struct Writer {
    file: Arc<File>,
    path: Arc<Path>,
    length: u64,
    /// The directories are on disk that lead to the file.
    entered: Arc<AtomicBool>,
}

impl Writer {
    /// Begins a segment with `head`.
    pub(super) fn create(dir: &Path, number: u32, head: &[u8]) -> Result<Self, SpoolError> {
        let path: Arc<Path> = path(dir, number).into();
        let file = OpenOptions::new().append(true).create_new(true).open(&path);
        let file = Arc::new(file.map_err(SpoolError::at(&path))?);
        let mut writer = Self { file, path, length: 0, entered: Arc::default() };
        let begun = writer.append(&[&MAGIC[..], head].concat());
        if begun.is_err() {
            let _ = fs::remove_file(&writer.path);
        }
        begun.map(|()| writer)
    }

    /// Appends records: all of them, or none when it fails.
    pub(super) fn append(&mut self, records: &[u8]) -> Result<(), SpoolError> {
        (&*self.file).write_all(records).map_err(|error| self.cut_back(error))?;
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

    /// What was written so far.
    pub(super) fn unsynced(&self) -> Unsynced {
        Unsynced { file: self.file.clone(), path: self.path.clone(), entered: self.entered.clone() }
    }
}

/// Records that a power cut may still take.
#[derive(Debug)]
#[must_use = "they are not on disk"]
pub struct Unsynced {
    file: Arc<File>,
    path: Arc<Path>,
    entered: Arc<AtomicBool>,
}

impl Unsynced {
    /// Waits until they are on disk. Nothing may be locked meanwhile that the connection's thread needs: a disk can
    /// take seconds.
    ///
    /// # Errors
    /// What the system says. It does not say it twice: after that, nothing in this file counts as safe.
    pub fn sync(&self) -> Result<(), SpoolError> {
        self.file.sync_data().map_err(SpoolError::at(&self.path))?;
        if !self.entered.load(Acquire) {
            // Or the file itself might be gone after a power cut, or the directory of the journal.
            for dir in self.path.ancestors().skip(1).take(2) {
                match File::open(dir).and_then(|dir| dir.sync_all()) {
                    // The journal was removed: all in it is delivered.
                    Err(error) if error.kind() == ErrorKind::NotFound => {}
                    synced => synced.map_err(SpoolError::at(dir))?,
                }
            }
            self.entered.store(true, Release);
        }
        Ok(())
    }
}
