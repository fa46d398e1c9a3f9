//! Carrying everything from a SQLite file to PostgreSQL while a server runs on the file.
//!
//! The log only grows, and is copied by its numbers. Of all other tables, triggers in the file note in a journal which
//! rows change, and of the log those whose contents a deletion takes with it; what it names is read and written again, in
//! its final state, so that order does not matter and nothing is harmed when it is done twice. When little is missing, and all that was copied was compared, the file is marked as
//! moved: the server writes no more. What is left is copied and compared, and the database may be opened.
//!
//! The logs of rooms let go of old versions, and end; logs are erased at the wish of their owners. None of it happens
//! while there is a journal: the store looks for it in the same transaction.
//!
//! Every failure before that takes the mark back, so that the server goes on. A run that was killed is run again.

mod carry;
mod compare;
mod journal;
mod source;
mod tables;
mod target;

use std::path::Path;
use std::time::Duration;

use tombolo_core::Env;

use crate::StoreError;
use crate::postgres::Url;
use carry::Carry;
pub(crate) use journal::JOURNAL;
use source::Source;
use target::{State, Target};

/// Why nothing was moved.
#[derive(Debug, thiserror::Error)]
pub enum TransferError {
    /// It must not be done, for the reason given.
    #[error("{0}")]
    Refused(String),
    /// The copy is not what was copied; the text names the first difference, and holds no content.
    #[error("the copy is not the same as the file: {0}")]
    Differs(String),
    /// The file failed.
    #[error("the file cannot be read or written: {0}")]
    Source(#[source] StoreError),
    /// The database failed.
    #[error("the database failed: {0}")]
    Target(#[source] StoreError),
    /// The last step was not answered, so that it may have been done. Nothing is served until it is known.
    #[error("the database did not say whether the last step was done ({0}): run the same command again at once")]
    Unknown(#[source] StoreError),
    /// After a failure, the file could not be given back to its server.
    #[error("{0}; and the mark on the file could not be taken back: run 'tombolo migrate --undo'")]
    StillMarked(Box<Self>),
}

/// A step, as it begins.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Step {
    /// What is there is copied.
    Copy,
    /// What changed meanwhile is copied.
    CatchUp,
    /// What was copied is compared.
    Compare,
    /// The server pauses.
    Pause,
    /// It was said that the file is moved; the rest is copied and compared.
    Rest,
    /// All is there and was compared.
    Finish,
    /// It is done; what the migration needed in the file is removed.
    CleanUp,
}

/// What happens, for who watches.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Event {
    /// A step begins.
    Step(Step),
    /// So many rows were gone through in this step, of about so many.
    Progress {
        /// Those gone through.
        done: u64,
        /// About how many there are.
        all: u64,
    },
}

/// One table, as it is on both sides.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TableReport {
    /// Its name.
    pub name: &'static str,
    /// Its rows.
    pub count: u64,
    /// The sum of its rows' digests, in hexadecimal digits.
    pub digest: String,
}

/// What was done.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Report {
    /// The tables; none when it was done before.
    pub tables: Vec<TableReport>,
    /// How long nothing was served, until a server could be started on the database.
    pub pause: Duration,
    /// It was done by an earlier run.
    pub was_done_already: bool,
}

/// Carries everything from the file `source` to the database `target`.
///
/// It reads the file on the calling thread, between the answers of the database: for a runtime that does nothing else.
/// It may be dropped or killed at any time, and run again.
///
/// # Errors
/// Nothing was moved then, and the server of the file goes on; except after [`TransferError::Unknown`] and
/// [`TransferError::StillMarked`].
pub async fn run(
    source: &Path,
    target: &Url,
    env: &dyn Env,
    progress: &mut dyn FnMut(Event),
) -> Result<Report, TransferError> {
    let shown = target.to_string();
    let source = open(source)?;
    let Some(identity) = source.identity().map_err(TransferError::Source)? else {
        return Err(TransferError::Refused("there is nothing in the file: no server ever ran on it".to_owned()));
    };
    let mut target = Target::open(target).await.map_err(TransferError::Target)?;
    let done = match admit(&source, &mut target, &identity, &shown).await {
        Ok(Admitted::Done) => {
            // A run that was killed after the last step left it behind.
            source.end_journal().map_err(TransferError::Source)?;
            Ok(Report { tables: Vec::new(), pause: Duration::ZERO, was_done_already: true })
        }
        Ok(Admitted::ToCopy) => carry(&source, &mut target, &identity, &shown, env, progress).await,
        Err(error) => Err(error),
    };
    target.close().await;
    done
}

/// Gives a moved file back to its server, and says whether there was something to give back: for as long as nothing was
/// written to the other database. What an interrupted migration left in the file is removed.
///
/// # Errors
/// When the file cannot be written.
pub fn undo(source: &Path) -> Result<bool, TransferError> {
    let source = open(source)?;
    source.end_journal().and_then(|()| source.unmark()).map_err(TransferError::Source)
}

fn open(source: &Path) -> Result<Source, TransferError> {
    let opened = Source::open(source).map_err(TransferError::Source)?;
    opened.ok_or_else(|| TransferError::Refused("a migration of this file is under way".to_owned()))
}

enum Admitted {
    ToCopy,
    Done,
}

/// Whether the file may go into the database: only into an empty one, or on with what an earlier run began.
async fn admit(source: &Source, target: &mut Target, identity: &str, shown: &str) -> Result<Admitted, TransferError> {
    let refuse = |text: String| Err(TransferError::Refused(text));
    if !target.lock().await.map_err(TransferError::Target)? {
        return refuse(format!("a migration into {shown} is under way"));
    }
    let moved = source.moved().map_err(TransferError::Source)?;
    match (target.state().await.map_err(TransferError::Target)?, moved) {
        (State::Done(of), Some(_)) if of == identity => return Ok(Admitted::Done),
        (State::Done(of), None) if of == identity => {
            return refuse(format!(
                "{shown} holds an earlier migration of this file, which was undone: give an empty database"
            ));
        }
        (State::InUse | State::Done(_), _) => {
            return refuse(format!("{shown} is in use already: give an empty database"));
        }
        (State::Copying(of), _) if of != identity => {
            return refuse(format!("the migration of another file into {shown} is not finished"));
        }
        (State::Empty, Some(elsewhere)) => {
            return refuse(format!(
                "the file was moved to {elsewhere} already; if nothing was written there, 'tombolo migrate --undo' \
                 gives it back"
            ));
        }
        (State::Copying(_) | State::Empty, _) => {}
    }
    if target.is_served().await.map_err(TransferError::Target)? {
        return refuse(format!("a server runs on {shown} already: stop it until the migration is done"));
    }
    // An earlier run was interrupted before it ended, so that no server ever ran there: the old one goes on meanwhile.
    source.unmark().map_err(TransferError::Source)?;
    Ok(Admitted::ToCopy)
}

/// Does it, and gives the file back to its server if it fails.
async fn carry(
    source: &Source,
    target: &mut Target,
    identity: &str,
    shown: &str,
    env: &dyn Env,
    progress: &mut dyn FnMut(Event),
) -> Result<Report, TransferError> {
    source.begin_journal().map_err(TransferError::Source)?;
    let carried = Carry::new(source, target, progress).all(identity, shown, env).await;
    match carried {
        Ok(report) => {
            progress(Event::Step(Step::CleanUp));
            // It is done, whether or not this is: nothing is written to the file any more.
            if let Err(error) = source.end_journal() {
                tracing::warn!(%error, "the journal of the migration stays in the old file, which does no harm");
            }
            Ok(report)
        }
        // Whether a server may run there is not known, so none may run here.
        Err(error @ TransferError::Unknown(_)) => Err(error),
        Err(error) => match source.unmark().and_then(|_| source.end_journal()) {
            Ok(()) => Err(error),
            Err(_) => Err(TransferError::StillMarked(Box::new(error))),
        },
    }
}
