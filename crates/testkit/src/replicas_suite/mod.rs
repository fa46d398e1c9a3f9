//! What every store must do for replicas that bring and take in two requests. Each function is one case on an empty
//! store; those of two nodes get the same store twice where there is only one.

#![expect(clippy::unwrap_used, reason = "a test that panics has failed, which is what it is for")]

mod app;
mod bases;
mod cursors;
mod deletions;
mod diary;
mod histories;
mod paging;
mod races;
mod registering;
mod telling;
mod unsaid;

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use tombolo_core::{
    Instant, Op, Origin, Policy, Purpose, RecordKey, RecordVersion, ReplicaName, Seq, ServerTime, SpaceCursor, UserId,
    Verdict,
};
use tombolo_storage::{
    Download, Downloaded, Fate, LoggedChange, NamedBase, Present, Reading, SpaceAddress, Store, Upload, Uploaded, Write,
};

use crate::notes::{NOTE, Note, delete, key, put};
use crate::{TestEnv, at};

pub use self::app::{App, settle};
pub use self::bases::*;
pub use self::cursors::*;
pub use self::deletions::*;
pub use self::diary::Diary;
pub use self::histories::*;
pub use self::paging::*;
pub use self::races::*;
pub use self::registering::*;
pub use self::telling::*;
pub use self::unsaid::*;

/// How diaries are read.
#[must_use]
pub fn reading() -> Reading {
    Reading::of_records(Purpose::Wellbeing, Arc::new(Diary))
}

/// One user's diary in a store, with the clock of its server, an hour after [`TestEnv::START`] at first.
pub struct Book<'s> {
    store: &'s dyn Store,
    address: SpaceAddress,
    micros: AtomicU64,
}

/// A page, as a device gets it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Pulled {
    /// What changed.
    pub records: Vec<Present>,
    /// Where to go on.
    pub cursor: SpaceCursor,
    /// Whether more is waiting.
    pub more: bool,
}

impl<'s> Book<'s> {
    /// The diary of a new user.
    ///
    /// # Panics
    /// When there is such a user.
    pub async fn of(store: &'s dyn Store, user: &str) -> Self {
        Self::on(store, crate::projects_suite::add_user(store, user).await)
    }

    /// The diary of a user who is there.
    #[must_use]
    pub fn on(store: &'s dyn Store, owner: UserId) -> Self {
        let address = SpaceAddress::only(owner, Purpose::Wellbeing);
        Self { store, address, micros: AtomicU64::new(3_600_000_000) }
    }

    /// Whose it is.
    #[must_use]
    pub const fn owner(&self) -> UserId {
        self.address.owner
    }

    /// The server's time: a little later with each request.
    fn now(&self) -> ServerTime {
        TestEnv::START.plus(Duration::from_micros(self.micros.fetch_add(10_000, Ordering::Relaxed)))
    }

    /// What the next request finds the server's clock at, in seconds after the beginning.
    #[must_use]
    pub fn secs(&self) -> i64 {
        i64::try_from(self.micros.load(Ordering::Relaxed) / 1_000_000).unwrap()
    }

    /// Lets time pass.
    pub fn wait(&self, secs: u64) {
        self.micros.fetch_add(secs * 1_000_000, Ordering::Relaxed);
    }

    /// What becomes of writes.
    ///
    /// # Panics
    /// When the store fails.
    pub async fn try_upload(&self, device: &str, presented: Option<SpaceCursor>, writes: Vec<Write>) -> Uploaded {
        let upload = Upload {
            space: self.address,
            replica: ReplicaName::parse(device).unwrap(),
            presented,
            writes,
            refused: Vec::new(),
            policy: policy(),
            now: self.now(),
        };
        self.store.upload(upload).await.unwrap()
    }

    /// The same of writes that are stored.
    ///
    /// # Panics
    /// When they are not.
    pub async fn upload(
        &self,
        device: &str,
        presented: Option<SpaceCursor>,
        writes: Vec<Write>,
    ) -> (Vec<Fate>, SpaceCursor) {
        match self.try_upload(device, presented, writes).await {
            Uploaded::Done { fates, cursor } => (fates, cursor),
            other => panic!("{device} may upload: {other:?}"),
        }
    }

    /// What became of one write.
    ///
    /// # Panics
    /// When it was not judged.
    pub async fn write(&self, device: &str, presented: Option<SpaceCursor>, write: Write) -> Judged {
        let (mut fates, cursor) = self.upload(device, presented, vec![write]).await;
        match fates.pop() {
            Some(Fate::Judged { verdict, version, present }) if fates.is_empty() => {
                Judged { verdict, version, present, cursor }
            }
            other => panic!("one write was judged: {other:?}"),
        }
    }

    /// A page of at most so many records.
    ///
    /// # Panics
    /// When the store fails.
    pub async fn try_page(&self, device: &str, since: Option<SpaceCursor>, bounds: (usize, usize)) -> Downloaded {
        let download = Download {
            space: self.address,
            replica: ReplicaName::parse(device).unwrap(),
            since,
            count_max: bounds.0,
            page_bytes_max: bounds.1,
            delivery_overhead_bytes: 10,
            policy: policy(),
            now: self.now(),
        };
        self.store.download(download).await.unwrap()
    }

    /// The same of a device that may go on.
    ///
    /// # Panics
    /// When it may not.
    pub async fn page(&self, device: &str, since: Option<SpaceCursor>, count_max: usize) -> Pulled {
        match self.try_page(device, since, (count_max, 1_000_000)).await {
            Downloaded::Page { records, cursor, more } => Pulled { records, cursor, more },
            other => panic!("{device} may download: {other:?}"),
        }
    }

    /// All that changed.
    ///
    /// # Panics
    /// When the device may not go on, or it is more than one page.
    pub async fn pull(&self, device: &str, since: Option<SpaceCursor>) -> Pulled {
        let pulled = self.page(device, since, 10_000).await;
        assert!(!pulled.more);
        pulled
    }

    /// The whole log.
    ///
    /// # Panics
    /// When the store fails.
    pub async fn log(&self) -> Vec<LoggedChange> {
        self.store.changes(self.address, &policy(), Seq::ZERO, 1_000_000).await.unwrap()
    }

    /// The log's length.
    pub async fn len(&self) -> usize {
        self.log().await.len()
    }

    /// Whether nothing was ever written.
    pub async fn is_empty(&self) -> bool {
        self.len().await == 0
    }

    /// The change that is a note's present state.
    pub async fn head(&self, id: &str) -> Option<LoggedChange> {
        let is_head = |change: &LoggedChange| {
            change.key == note(id) && (change.origin != Origin::Replica || change.verdict == Verdict::Applied)
        };
        self.log().await.into_iter().rfind(is_head)
    }

    /// A note as the server has it; `None` when it is not there.
    ///
    /// # Panics
    /// When it does not read.
    pub async fn note(&self, id: &str) -> Option<Note> {
        let head = self.head(id).await.filter(|head| head.op == Op::Put)?;
        Some(Note::parse(&head.payload).unwrap())
    }

    /// That a check of everything finds nothing.
    ///
    /// # Panics
    /// When it finds something.
    pub async fn is_whole(&self) {
        let found = self.store.check(vec![reading()], Box::new(|_, _| {})).await.unwrap().faults;
        assert_eq!(found, Vec::<String>::new());
    }
}

/// What became of one write, and the cursor that came with it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Judged {
    /// How it was judged.
    pub verdict: Verdict,
    /// What the device has in hand.
    pub version: RecordVersion,
    /// What the record is, where it lost.
    pub present: Option<Present>,
    /// Where the device resumes.
    pub cursor: SpaceCursor,
}

fn policy() -> Arc<dyn Policy> {
    Arc::new(Diary)
}

fn note(id: &str) -> RecordKey {
    key(NOTE, id)
}

/// `x` and `y` of a note, written so many seconds after the beginning.
fn says(id: &str, x: &str, y: &str, secs: i64) -> Write {
    put(id, &Note::new(x, y), at(secs))
}

/// The deletion of a note.
fn gone(id: &str, secs: i64) -> Write {
    delete(note(id), at(secs))
}

/// The write of a device that had `version` in hand.
fn on(version: RecordVersion, write: Write) -> Write {
    Write { base: NamedBase::Version(version), ..write }
}

/// The write of a device to which the record is new.
fn anew(write: Write) -> Write {
    Write { base: NamedBase::Nothing, ..write }
}

/// A note as it was delivered; `None` when it was not, or as a deletion.
fn told(records: &[Present], id: &str) -> Option<Note> {
    let found = records.iter().find(|record| record.key == note(id) && record.op == Op::Put)?;
    Some(Note::parse(&found.payload).unwrap())
}

fn version_of(records: &[Present], id: &str) -> RecordVersion {
    records.iter().find(|record| record.key == note(id)).unwrap().version
}

fn pair(x: &str, y: &str) -> Option<Note> {
    Some(Note::new(x, y))
}

/// A note n of 1 and 1 that device a wrote at second 10, which a and b have: their cursors, and its version.
async fn given(book: &Book<'_>) -> (SpaceCursor, RecordVersion) {
    let first = book.write("a", None, anew(says("n", "1", "1", 10))).await;
    assert_eq!(first.verdict, Verdict::Applied);
    let a = book.pull("a", Some(first.cursor)).await;
    let b = book.pull("b", None).await;
    assert_eq!((a.cursor, version_of(&b.records, "n")), (b.cursor, first.version));
    // They have it for good.
    book.pull("a", Some(a.cursor)).await;
    book.pull("b", Some(b.cursor)).await;
    (b.cursor, first.version)
}

fn instant(text: &str) -> Instant {
    Instant::parse(text).unwrap()
}
