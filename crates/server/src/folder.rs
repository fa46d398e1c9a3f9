//! The data folder: readable by its owner only, served by one server at a time.

use std::fs::{DirBuilder, File, OpenOptions, TryLockError};
use std::io::Write as _;
use std::path::Path;

use anyhow::{Context as _, bail};

/// The file whose lock a server holds while it runs.
const LOCK_NAME: &str = "tombolo.lock";

/// Makes the data folder if it is missing, for its owner only. One that exists keeps its mode.
///
/// # Errors
/// When the folder cannot be made.
pub(crate) fn make(folder: &Path) -> anyhow::Result<()> {
    if folder.is_dir() {
        return Ok(());
    }
    let mut builder = DirBuilder::new();
    builder.recursive(true);
    #[cfg(unix)]
    std::os::unix::fs::DirBuilderExt::mode(&mut builder, 0o700);
    builder.create(folder).with_context(|| format!("cannot make the data folder {}", folder.display()))
}

/// Writes a new file for its owner only; `false`, and nothing is changed, when there is one already.
///
/// # Errors
/// When the file cannot be made or written.
pub(crate) fn write_new(path: &Path, content: &str) -> anyhow::Result<bool> {
    let mut options = private();
    let mut file = match options.create_new(true).open(path) {
        Ok(file) => file,
        Err(error) if error.kind() == std::io::ErrorKind::AlreadyExists => return Ok(false),
        Err(error) => return Err(error).with_context(|| format!("cannot make {}", path.display())),
    };
    file.write_all(content.as_bytes())
        .and_then(|()| file.sync_all())
        .with_context(|| format!("cannot write {}", path.display()))?;
    Ok(true)
}

/// The right to serve a data folder; given up when dropped, also when the process is killed.
#[derive(Debug)]
pub(crate) struct Lock(#[expect(dead_code, reason = "it is the open file that holds the lock")] File);

impl Lock {
    /// Takes the lock of `folder`.
    ///
    /// # Errors
    /// When another server holds it, or the folder cannot be written to.
    pub(crate) fn take(folder: &Path) -> anyhow::Result<Self> {
        let path = folder.join(LOCK_NAME);
        let file = private()
            .create(true)
            .truncate(false)
            .open(&path)
            .with_context(|| format!("cannot write to the data folder {}", folder.display()))?;
        match file.try_lock() {
            Ok(()) => Ok(Self(file)),
            Err(TryLockError::WouldBlock) => bail!(
                "another tombolo serves the data folder {} already; stop it first, or choose another folder with --data",
                folder.display()
            ),
            Err(TryLockError::Error(error)) => Err(error).with_context(|| format!("cannot lock {}", path.display())),
        }
    }
}

fn private() -> OpenOptions {
    let mut options = OpenOptions::new();
    options.write(true);
    #[cfg(unix)]
    std::os::unix::fs::OpenOptionsExt::mode(&mut options, 0o600);
    options
}
