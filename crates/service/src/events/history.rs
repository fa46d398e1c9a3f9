//! The whole of a log in the order of writing, encoded once, and shared by all who read it.

#[cfg(test)]
mod fake_log;
mod gzip;
mod meter;
mod pages;
mod reply;
mod segments;
mod shelves;
#[cfg(test)]
mod tests;

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use bytes::Bytes;
use futures_util::stream::BoxStream;
use tokio::sync::{Semaphore, SemaphorePermit};
use tombolo_core::{Cursor, Env, Resume, Seq};
use tombolo_storage::{Entries, Logs, Place, StoreError};

use self::meter::Meter;
use self::pages::{Order, PAGE};
use self::segments::{Run, Segment, Segments};
use self::shelves::{Extent, Kept, Shelves, Snapshot};
use super::Form;
use crate::ServiceError;

pub(super) use self::pages::Log;

/// Segments that are compressed for one reader, at some milliseconds each. Where more are not yet, as after a start, he
/// is sent the text, and whoever comes next goes on.
const PACKED_AT_ONCE_MAX: usize = 32;

/// How the bytes of a reply are encoded.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Encoding {
    /// As they are.
    Identity,
    /// As one member of gzip (RFC 1952).
    Gzip,
}

/// Which history is asked for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Asked {
    /// In which form.
    pub form: Form,
    /// How the reader takes it; what is streamed from the store comes as it is.
    pub encoding: Encoding,
    /// Only what was written then or later, in milliseconds since 1970.
    pub from_millis: Option<i64>,
    /// What the reader has already: if it is all, nothing is sent.
    pub known: Option<Cursor>,
}

/// The pieces of a JSON array, in order.
pub type Parts = BoxStream<'static, Result<Bytes, ServiceError>>;

/// An answer.
pub enum History {
    /// The reader has all of it.
    Unchanged(Cursor),
    /// Here it is.
    Shown(Shown),
}

/// A history on its way.
pub struct Shown {
    /// Where the log ended when it was taken: it holds all up to there, and nothing after it.
    pub cursor: Cursor,
    /// How the pieces are encoded.
    pub encoding: Encoding,
    /// How many bytes they are together, where that is known.
    pub bytes: Option<u64>,
    /// The pieces.
    pub parts: Parts,
}

/// Histories that are kept in memory, each as of the last time when somebody asked for it.
///
/// Whoever asks reads where the log ends, and what came since. One at a time does so for all who wait, since they would
/// all read the same; another may go on where he stopped, should he go away. Nothing is locked meanwhile but his turn.
pub(super) struct HistoryCache {
    shelves: Mutex<Shelves>,
    /// Text of segments, of those too that were replaced and that readers still hold.
    meter: Meter,
    /// Text that may be in memory, as long as readers are shown what is kept.
    held_bytes_max: usize,
    env: Arc<dyn Env>,
    /// Whose turn it is to read, by form.
    reading: [Semaphore; 2],
    /// Whose turn it is to compress, by form.
    packing: [Semaphore; 2],
}

impl HistoryCache {
    /// A cache of that size, the texts of both forms and what is compressed of them taken together.
    pub(super) fn new(bytes_max: usize, env: Arc<dyn Env>) -> Self {
        let turns = || [Semaphore::new(1), Semaphore::new(1)];
        // What slow readers hold of histories that went on may be as much again.
        let (meter, held_bytes_max) = (Meter::default(), bytes_max.saturating_mul(2));
        let shelves = Mutex::new(Shelves::new(bytes_max));
        Self { shelves, meter, held_bytes_max, env, reading: turns(), packing: turns() }
    }

    /// Forgets everything: another database may be longer, and fit nevertheless.
    pub(super) fn forget(&self) {
        [Form::Today, Form::First].into_iter().for_each(|form| self.shelves().clear(form));
    }

    /// Shows the history of a log, with all that is in it when this is called. May be dropped midway.
    ///
    /// # Errors
    /// [`ServiceError::Store`].
    pub(super) async fn show<S>(&self, log: &Log<S>, asked: Asked) -> Result<History, ServiceError>
    where
        S: Logs + Entries + ?Sized + 'static,
    {
        let head = log.store.head(log.space).await?;
        if let Some(known) = asked.known
            && known.seq == head.seq
            && (known == head || log.store.resume(log.space, known).await? == Resume::From(head.seq))
        {
            return Ok(History::Unchanged(head));
        }
        // Each reader of a history that changes may hold another one: beyond a bound, nobody is given one to hold.
        let snapshot = self.present(log, asked, head).await?.filter(|_| self.meter.bytes() <= self.held_bytes_max);
        let Some(snapshot) = snapshot else {
            // No entry has the number zero: what was written in that millisecond comes behind it.
            let before = Place { millis: asked.from_millis.unwrap_or(i64::MIN), seq: Seq::ZERO };
            return Ok(History::Shown(log.show(Order::Writing(before), head).await?));
        };
        let Some(start) = snapshot.segments.seek(asked.from_millis) else {
            return Ok(History::Shown(reply::nothing(snapshot.cursor)));
        };
        let shown = &snapshot.segments.list()[start.segment..];
        if asked.encoding == Encoding::Gzip && self.pack(asked.form, shown).await? {
            return Ok(History::Shown(reply::packed(snapshot, start)));
        }
        Ok(History::Shown(reply::plain(snapshot, start)))
    }

    /// The history up to `head`, or a little further; `None` when there is no room to keep it.
    async fn present<S>(&self, log: &Log<S>, asked: Asked, head: Cursor) -> Result<Option<Snapshot>, ServiceError>
    where
        S: Logs + Entries + ?Sized + 'static,
    {
        let is_present = |kept: &Kept| {
            let is_read = kept.extent != Extent::Part && kept.snapshot.cursor.seq == head.seq;
            is_read && kept.snapshot.space == log.space && kept.snapshot.cursor.generation == head.generation
        };
        let whole = |kept: Kept| (kept.extent == Extent::Whole).then_some(kept.snapshot);
        if let Some(kept) = self.shelves().get(asked.form, asked.encoding).filter(is_present) {
            return Ok(whole(kept));
        }
        let _turn = turn(&self.reading[asked.form as usize]).await?;
        let kept = self.shelves().get(asked.form, asked.encoding);
        if let Some(kept) = kept.clone().filter(is_present) {
            return Ok(whole(kept));
        }
        let kept = match kept {
            Some(kept) if is_resumable(log, &kept.snapshot, head).await? => kept,
            _ => {
                // Also what is compressed, and that it had no room.
                self.shelves().clear(asked.form);
                Kept { snapshot: empty(log, head, self.meter.clone()), extent: Extent::Part }
            }
        };
        let mut kept = if kept.extent == Extent::Part { self.load(log, asked.form, kept).await? } else { kept };
        // Whoever came later may have read further already.
        if kept.snapshot.cursor.seq <= head.seq {
            kept = self.catch_up(log, asked.form, kept, head).await?;
        }
        Ok(whole(kept))
    }

    /// Reads the whole history, up to the cursor of what there is of it.
    async fn load<S>(&self, log: &Log<S>, form: Form, mut kept: Kept) -> Result<Kept, ServiceError>
    where
        S: Entries + ?Sized,
    {
        let upto = kept.snapshot.cursor.seq;
        while kept.extent == Extent::Part && kept.snapshot.segments.count() < upto.get() {
            let after = kept.snapshot.segments.last().unwrap_or(Place { millis: i64::MIN, seq: Seq::ZERO });
            let entries = log.store.timeline(log.space, after, upto, PAGE).await?;
            if entries.is_empty() {
                let what = "entries of a log are missing in the order of writing";
                return Err(StoreError::Corrupt(what.to_owned()).into());
            }
            let run = Run::of(entries, |payload, text| log.encode(payload, text));
            kept.snapshot.segments = Arc::new(kept.snapshot.segments.with(&run).await);
            kept = self.shelves().put(form, kept);
            // A store in memory answers at once, and others have to come in between.
            tokio::task::yield_now().await;
        }
        if kept.extent == Extent::Part {
            kept = self.shelves().put(form, Kept { extent: Extent::Whole, ..kept });
        }
        Ok(kept)
    }

    /// Reads what came since, up to `head`.
    async fn catch_up<S>(&self, log: &Log<S>, form: Form, mut kept: Kept, head: Cursor) -> Result<Kept, ServiceError>
    where
        S: Entries + ?Sized,
    {
        while kept.extent == Extent::Whole && kept.snapshot.cursor.seq < head.seq {
            let mut entries = log.store.entries(log.space, kept.snapshot.cursor.seq, PAGE).await?.entries;
            entries.retain(|entry| entry.seq <= head.seq);
            let Some(last) = entries.last() else {
                return Err(ServiceError::Internal("a log ends before its end".to_owned()));
            };
            kept.snapshot.cursor = Cursor { seq: last.seq, ..head };
            let run = Run::of(entries, |payload, text| log.encode(payload, text));
            kept.snapshot.segments = Arc::new(kept.snapshot.segments.with(&run).await);
            kept = self.shelves().put(form, kept);
            tokio::task::yield_now().await;
        }
        if kept.snapshot.cursor != head {
            kept.snapshot.cursor = head;
            kept = self.shelves().put(form, kept);
        }
        Ok(kept)
    }

    /// Compresses what of a history is not yet; `false` when there is no room for that, or too much is left.
    async fn pack(&self, form: Form, segments: &[Segment]) -> Result<bool, ServiceError> {
        let is_left = |segment: &&Segment| segment.packed().is_none();
        let is_much = segments.iter().filter(is_left).nth(PACKED_AT_ONCE_MAX).is_some();
        let turns = &self.packing[form as usize];
        let _turn = match is_much {
            // Somebody is at it: whoever waited for him would do so in vain.
            true => match turns.try_acquire() {
                Ok(turn) => turn,
                Err(_) => return Ok(false),
            },
            false if segments.iter().any(|segment| is_left(&segment)) => turn(turns).await?,
            false => return Ok(true),
        };
        for segment in segments.iter().filter(is_left).take(PACKED_AT_ONCE_MAX) {
            if !self.shelves().has_room_packed(form) {
                return Ok(false);
            }
            let packed = segment.pack();
            if !self.shelves().keep_packed(form, segment, packed) {
                return Ok(false);
            }
            tokio::task::yield_now().await;
        }
        Ok(segments.iter().all(|segment| segment.packed().is_some()))
    }

    fn shelves(&self) -> MutexGuard<'_, Shelves> {
        // Each change is whole after every statement, so a panic elsewhere under the lock leaves it usable.
        let mut shelves = self.shelves.lock().unwrap_or_else(PoisonError::into_inner);
        shelves.look_at_clock(self.env.now());
        shelves
    }
}

async fn turn(turns: &Semaphore) -> Result<SemaphorePermit<'_>, ServiceError> {
    turns.acquire().await.map_err(|_| ServiceError::Internal("turns are never closed".to_owned()))
}

fn empty<S: ?Sized>(log: &Log<S>, upto: Cursor, meter: Meter) -> Snapshot {
    Snapshot { space: log.space, cursor: upto, segments: Arc::new(Segments::empty(meter)) }
}

/// Whether what is kept is of the same log, and that was not set back.
async fn is_resumable<S>(log: &Log<S>, kept: &Snapshot, head: Cursor) -> Result<bool, ServiceError>
where
    S: Logs + ?Sized,
{
    let cursor = kept.cursor;
    // In one run of history a log only grows: what a push asks for need not be asked of the store.
    let is_before = cursor.generation == head.generation && cursor.seq <= head.seq;
    let is_same = kept.space == log.space;
    Ok(is_same && (is_before || log.store.resume(log.space, cursor).await? == Resume::From(cursor.seq)))
}
