//! The files beside the database, which only their owner may read.

use std::ffi::OsString;
use std::fs::{self, File, OpenOptions, TryLockError};
use std::io::{self, Read, Write};
use std::path::{Path, PathBuf};
use std::time::Duration;

use crate::{Error, platform};

/// More than any of these files holds.
const BYTES_MAX: u64 = 64 * 1024;

/// A process that is being started holds all files of its parent for a moment, and a lock with them: a quarter of a second
/// is longer than that.
const LOCK_POLLS: usize = 25;
const LOCK_POLL: Duration = Duration::from_millis(10);

/// Where the files of one database are.
#[derive(Debug)]
pub(crate) struct Files {
    /// What was configured, with the key: not in the database, so that a copy of it holds no key and is no clone.
    pub(crate) settings: PathBuf,
    /// How the last syncs went: apart, so that it is written without touching the key.
    pub(crate) history: PathBuf,
    lock: PathBuf,
}

/// One sync at a time, over all processes, while this lives.
#[derive(Debug)]
pub(crate) struct Lock {
    _file: File,
}

impl Files {
    /// Those of the database at `path`, which is there.
    pub(crate) fn beside(path: &Path) -> io::Result<Self> {
        // Two ways to one database are to meet at one lock.
        let path = fs::canonicalize(path)?;
        let with = |suffix: &str| {
            let mut name = OsString::from(path.as_os_str());
            name.push(suffix);
            PathBuf::from(name)
        };
        Ok(Self { settings: with(".sync.json"), history: with(".sync-status.json"), lock: with(".sync.lock") })
    }

    /// Takes the lock, if nobody has it; the system frees it when its holder ends, however that was.
    ///
    /// # Errors
    /// [`Error::Busy`] when somebody has it, and still has it a quarter of a second later.
    pub(crate) fn try_lock(&self) -> Result<Lock, Error> {
        self.lock_pausing(platform::pause)
    }

    fn lock_pausing(&self, mut pause: impl FnMut(Duration)) -> Result<Lock, Error> {
        let file = private().create(true).truncate(false).open(&self.lock).map_err(Error::Settings)?;
        for _ in 0..LOCK_POLLS {
            match file.try_lock() {
                Ok(()) => return Ok(Lock { _file: file }),
                Err(TryLockError::WouldBlock) => pause(LOCK_POLL),
                Err(TryLockError::Error(error)) => return Err(Error::Settings(error)),
            }
        }
        Err(Error::Busy)
    }
}

/// What the file at `path` says; `None` when there is none. One that others may read is closed to them.
pub(crate) fn read(path: &Path) -> io::Result<Option<Vec<u8>>> {
    let file = match File::open(path) {
        Ok(file) => file,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
        Err(error) => return Err(error),
    };
    close_to_others(&file)?;
    let mut bytes = Vec::new();
    file.take(BYTES_MAX).read_to_end(&mut bytes)?;
    Ok(Some(bytes))
}

/// Replaces the file at `path` as a whole: whoever reads it, or restarts after a crash, finds the old text or the new.
pub(crate) fn write(path: &Path, bytes: &[u8]) -> io::Result<()> {
    let mut new = OsString::from(path.as_os_str());
    new.push(".new");
    let new = PathBuf::from(new);
    // One that a crash left; made anew, so that its mode is ours.
    remove(&new)?;
    let mut file = private().create_new(true).open(&new)?;
    file.write_all(bytes)?;
    file.sync_all()?;
    fs::rename(&new, path)?;
    sync_folder(path)
}

/// Removes the file at `path`, if it is there.
pub(crate) fn remove(path: &Path) -> io::Result<()> {
    match fs::remove_file(path) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => Err(error),
        _ => Ok(()),
    }
}

fn private() -> OpenOptions {
    let mut options = OpenOptions::new();
    options.write(true);
    #[cfg(unix)]
    std::os::unix::fs::OpenOptionsExt::mode(&mut options, 0o600);
    options
}

#[cfg(unix)]
fn close_to_others(file: &File) -> io::Result<()> {
    use std::os::unix::fs::PermissionsExt;
    let mode = file.metadata()?.permissions().mode();
    if mode & 0o077 == 0 { Ok(()) } else { file.set_permissions(fs::Permissions::from_mode(0o600)) }
}

#[cfg(not(unix))]
fn close_to_others(_file: &File) -> io::Result<()> {
    Ok(())
}

/// Makes the rename last: a key that was forgotten must not come back with the power.
#[cfg(unix)]
fn sync_folder(path: &Path) -> io::Result<()> {
    path.parent().map_or(Ok(()), |folder| File::open(folder)?.sync_all())
}

#[cfg(not(unix))]
fn sync_folder(_path: &Path) -> io::Result<()> {
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn files() -> (tempfile::TempDir, Files) {
        let folder = tempfile::tempdir().unwrap();
        fs::write(folder.path().join("app.db"), "").unwrap();
        let files = Files::beside(&folder.path().join("app.db")).unwrap();
        (folder, files)
    }

    #[cfg(unix)]
    fn mode(path: &Path) -> u32 {
        use std::os::unix::fs::PermissionsExt;
        fs::metadata(path).unwrap().permissions().mode() & 0o777
    }

    #[test]
    #[cfg(unix)]
    fn what_is_written_is_for_its_owner_only_and_stays_so() {
        use std::os::unix::fs::PermissionsExt;
        let (folder, files) = files();
        // As a crash might have left it, and a careless umask.
        let leftover = folder.path().join("app.db.sync.json.new");
        fs::write(&leftover, "torn").unwrap();
        fs::set_permissions(&leftover, fs::Permissions::from_mode(0o644)).unwrap();
        assert_eq!(read(&files.settings).unwrap(), None);
        write(&files.settings, b"one").unwrap();
        assert_eq!((mode(&files.settings), leftover.exists()), (0o600, false));
        fs::set_permissions(&files.settings, fs::Permissions::from_mode(0o644)).unwrap();
        assert_eq!(read(&files.settings).unwrap().unwrap(), b"one");
        assert_eq!(mode(&files.settings), 0o600);
        write(&files.settings, b"two").unwrap();
        assert_eq!(read(&files.settings).unwrap().unwrap(), b"two");
        remove(&files.settings).unwrap();
        remove(&files.settings).unwrap();
        assert_eq!(read(&files.settings).unwrap(), None);
    }

    #[test]
    fn the_lock_is_had_by_one() {
        let (_folder, files) = files();
        let lock = files.try_lock().unwrap();
        assert!(matches!(files.try_lock(), Err(Error::Busy)));
        drop(lock);
        files.try_lock().unwrap();
    }

    #[test]
    fn a_lock_that_a_child_inherited_for_a_moment_is_waited_for() {
        let (_folder, files) = files();
        let mut inherited = Some(private().create(true).truncate(false).open(&files.lock).unwrap());
        inherited.as_ref().unwrap().lock().unwrap();
        files.lock_pausing(|_| drop(inherited.take())).unwrap();
    }

    #[test]
    #[cfg(unix)]
    fn two_ways_to_one_database_have_one_lock() {
        let (folder, files) = files();
        let other = folder.path().join("other.db");
        std::os::unix::fs::symlink(folder.path().join("app.db"), &other).unwrap();
        let _lock = files.try_lock().unwrap();
        assert!(matches!(Files::beside(&other).unwrap().try_lock(), Err(Error::Busy)));
    }
}
