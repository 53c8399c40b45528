//! The file in which streams survive from the end of a server to the start of the next.
//!
//! ```text
//! magic, 16 bytes | version, 4 bytes, big endian | SHA-256 of what follows | core::Broker::snapshot
//! ```

use std::ffi::OsString;
use std::fs::{self, File, OpenOptions};
use std::io::{self, Read, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};
use std::time::Instant;

use sha2::{Digest, Sha256};
use tracing::{error, info};

use super::StartError;
use crate::core::{Broker, Config, SystemEnvironment};

const MAGIC: &[u8; 16] = b"iscp-broker\0stat";
const VERSION: u32 = 1;

/// Why a file was not used.
#[derive(Debug)]
enum Unusable {
    Rejected(String),
    Io(io::Error),
}

impl From<io::Error> for Unusable {
    fn from(error: io::Error) -> Self {
        match error.kind() {
            io::ErrorKind::UnexpectedEof => Self::Rejected("it is cut off".to_owned()),
            _ => Self::Io(error),
        }
    }
}

/// A broker with the streams in the file, which is gone then; `None` if there is no file that can be used.
///
/// # Errors
/// The file cannot be read or removed, or none could be written later.
pub(super) fn load(path: &Path, core: &Config, now: Instant) -> Result<Option<Broker>, StartError> {
    let failed = |source| StartError::State { path: path.to_owned(), source };
    // Found out now, while somebody looks, not at the end.
    create(&beside(path, ".new")).and_then(|_| fs::remove_file(beside(path, ".new"))).map_err(failed)?;
    let restored = read(path).and_then(|snapshot| {
        Broker::restore(core.clone(), Box::new(SystemEnvironment), snapshot, now)
            .map_err(|error| Unusable::Rejected(error.to_string()))
    });
    match restored {
        Ok(broker) => {
            // What happens from now on is not in it.
            fs::remove_file(path).and_then(|()| sync_directory(path)).map_err(failed)?;
            info!(file = %path.display(), streams = broker.stats().detached, "streams restored");
            Ok(Some(broker))
        }
        Err(Unusable::Io(error)) if error.kind() == io::ErrorKind::NotFound => Ok(None),
        Err(Unusable::Io(error)) => Err(failed(error)),
        Err(Unusable::Rejected(reason)) => {
            let kept = beside(path, ".rejected");
            fs::rename(path, &kept).map_err(failed)?;
            error!(
                file = %path.display(), %reason, kept = %kept.display(),
                "file with streams not usable, started without them"
            );
            Ok(None)
        }
    }
}

/// The snapshot in a file.
fn read(path: &Path) -> Result<Vec<u8>, Unusable> {
    let mut file = File::open(path)?;
    if !file.metadata()?.is_file() {
        return Err(Unusable::Io(io::Error::other("not a regular file")));
    }
    let (mut magic, mut version, mut checksum) = ([0; MAGIC.len()], [0; 4], [0; 32]);
    file.read_exact(&mut magic)?;
    if magic != *MAGIC {
        return Err(Unusable::Rejected("a broker did not write it".to_owned()));
    }
    file.read_exact(&mut version)?;
    let version = u32::from_be_bytes(version);
    if version != VERSION {
        let text = format!("it has version {version}, and this broker reads version {VERSION}");
        return Err(Unusable::Rejected(text));
    }
    file.read_exact(&mut checksum)?;
    let mut snapshot = Vec::new();
    file.read_to_end(&mut snapshot)?;
    if Sha256::digest(&snapshot)[..] != checksum {
        return Err(Unusable::Rejected("its checksum is wrong".to_owned()));
    }
    Ok(snapshot)
}

/// Writes a snapshot, whole or not at all.
pub(super) fn save(path: &Path, snapshot: &[u8]) {
    match write(path, snapshot) {
        Ok(()) => info!(file = %path.display(), bytes = snapshot.len(), "streams kept"),
        Err(error) => error!(file = %path.display(), %error, "streams lost: the file cannot be written"),
    }
}

fn write(path: &Path, snapshot: &[u8]) -> io::Result<()> {
    let new = beside(path, ".new");
    let written = create(&new).and_then(|mut file| {
        file.write_all(MAGIC)?;
        file.write_all(&VERSION.to_be_bytes())?;
        file.write_all(&Sha256::digest(snapshot))?;
        file.write_all(snapshot)?;
        file.sync_all()?;
        fs::rename(&new, path)?;
        sync_directory(path)
    });
    if written.is_err() {
        // It may not be there, or not to be removed either.
        let _ = fs::remove_file(&new);
    }
    written
}

/// Makes a file that nobody else may read, in place of any other.
fn create(path: &Path) -> io::Result<File> {
    match fs::remove_file(path) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
        _ => {}
    }
    OpenOptions::new().write(true).create_new(true).mode(0o600).open(path)
}

/// Makes what was renamed or removed stay so.
fn sync_directory(path: &Path) -> io::Result<()> {
    let parent = path.parent().filter(|parent| !parent.as_os_str().is_empty());
    File::open(parent.unwrap_or(Path::new(".")))?.sync_all()
}

/// A file in the same directory, with something behind its name.
fn beside(path: &Path, suffix: &str) -> PathBuf {
    let mut name = OsString::from(path);
    name.push(suffix);
    name.into()
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt;

    use super::*;

    /// A directory for one test.
    struct Directory(PathBuf);

    impl Directory {
        fn new() -> Self {
            let name = format!("iscp-broker-state-{}", uuid::Uuid::new_v4());
            let path = std::env::temp_dir().join(name);
            fs::create_dir(&path).unwrap();
            Self(path)
        }

        /// Names of the files in it.
        fn files(&self) -> Vec<String> {
            let names = fs::read_dir(&self.0).unwrap();
            let mut names: Vec<_> =
                names.map(|entry| entry.unwrap().file_name().into_string().unwrap()).collect();
            names.sort();
            names
        }
    }

    impl Drop for Directory {
        fn drop(&mut self) {
            let _ = fs::remove_dir_all(&self.0);
        }
    }

    fn load_now(path: &Path) -> Result<Option<Broker>, StartError> {
        load(path, &Config::default(), Instant::now())
    }

    fn snapshot() -> Vec<u8> {
        Broker::new(Config::default(), Box::new(SystemEnvironment)).snapshot(Instant::now())
    }

    #[test]
    fn a_file_is_for_its_owner_and_gone_once_it_is_read() {
        let directory = Directory::new();
        let path = directory.0.join("state");
        assert!(load_now(&path).unwrap().is_none());
        assert_eq!(directory.files(), [""; 0]);
        fs::write(directory.0.join("state.new"), "left over, for all to read").unwrap();
        save(&path, &snapshot());
        assert_eq!(directory.files(), ["state"]);
        assert_eq!(fs::metadata(&path).unwrap().permissions().mode() & 0o777, 0o600);
        assert!(load_now(&path).unwrap().is_some());
        assert_eq!(directory.files(), [""; 0]);
    }

    #[test]
    fn a_file_that_is_damaged_foreign_or_newer_is_kept_under_another_name() {
        let directory = Directory::new();
        let path = directory.0.join("state");
        save(&path, b"no snapshot, with a checksum that is right");
        let no_snapshot = fs::read(&path).unwrap();
        save(&path, &snapshot());
        let good = fs::read(&path).unwrap();
        let changed = |at: usize| {
            let mut bytes = good.clone();
            bytes[at] ^= 1;
            bytes
        };
        let mut longer = good.clone();
        longer.push(0);
        let cut = good[..30].to_vec();
        for (bytes, reason) in [
            (Vec::new(), "cut off"),
            (cut, "cut off"),
            (changed(0), "a broker did not write it"),
            (changed(19), "version 0"),
            (changed(20), "checksum"),
            (longer, "checksum"),
            (no_snapshot, ""),
        ] {
            fs::write(&path, &bytes).unwrap();
            match read(&path) {
                Err(Unusable::Rejected(text)) => assert!(text.contains(reason), "{text}"),
                other => assert!(reason.is_empty(), "{reason}: {other:?}"),
            }
            assert!(load_now(&path).unwrap().is_none(), "{reason}");
            assert_eq!(directory.files(), ["state.rejected"]);
            assert_eq!(fs::read(directory.0.join("state.rejected")).unwrap(), bytes);
        }
    }

    #[test]
    fn a_server_does_not_start_with_a_file_that_it_could_not_write() {
        let directory = Directory::new();
        let path = directory.0.join("missing").join("state");
        let error = load_now(&path).err().unwrap().to_string();
        assert!(error.contains(path.to_str().unwrap()) && error.contains("not found"), "{error}");
        let error = load_now(&directory.0).err().unwrap().to_string();
        assert!(error.contains("regular file"), "{error}");
    }
}
