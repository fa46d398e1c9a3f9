//! A log in memory that counts who asks, can fail, and can be set back.

use std::sync::atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard};

use tombolo_core::{Cursor, Digest, Fork, Generation, Instant, Policy, Resume, Seq, ServerTime, resume};
use tombolo_storage::{
    Append, Appended, Entries, Entry, EntryPage, Exchange, Exchanged, LogEnd, LoggedChange, Logs, NotAppended,
    PageBounds, Place, Reply, SpaceAddress, StoreError, Totals,
};

use super::segments::place;

pub(super) struct FakeLog {
    state: Mutex<State>,
    /// Pages that were read in the order of writing, and in that of arrival.
    pub(super) timelines: AtomicUsize,
    pub(super) pages: AtomicUsize,
    /// Pages that are read until one fails.
    failing_in: AtomicU64,
    /// Whether others push while a page is read.
    pub(super) is_busy: AtomicBool,
}

struct State {
    entries: Vec<Entry>,
    line: Vec<Fork>,
}

impl FakeLog {
    pub(super) fn new() -> Self {
        let first = Fork { generation: Generation::from_bytes([0; 16]), seq: Seq::ZERO };
        let state = State { entries: Vec::new(), line: vec![first] };
        let (timelines, pages) = (AtomicUsize::new(0), AtomicUsize::new(0));
        let (failing_in, is_busy) = (AtomicU64::new(u64::MAX), AtomicBool::new(false));
        Self { state: Mutex::new(state), timelines, pages, failing_in, is_busy }
    }

    pub(super) fn push(&self, millis: i64, bytes: usize) {
        let mut state = self.state();
        let seq = Seq::new(state.entries.len() as u64 + 1);
        let written_at = Instant::from_nanos(i128::from(millis) * 1_000_000).unwrap();
        let run = state.line.len();
        let payload = format!("{run}/{millis}/{seq}/{}", "x".repeat(bytes)).into_bytes();
        state.entries.push(Entry { seq, committed_at: ServerTime::from_micros(0), written_at, payload });
    }

    pub(super) fn entries(&self) -> Vec<Entry> {
        self.state().entries.clone()
    }

    /// Goes on under another generation, as after a restart.
    pub(super) fn restart(&self) {
        let mut state = self.state();
        let run = u8::try_from(state.line.len()).unwrap();
        let seq = Seq::new(state.entries.len() as u64);
        state.line.push(Fork { generation: Generation::from_bytes([run; 16]), seq });
    }

    /// Goes on from an older copy.
    pub(super) fn set_back(&self, count: usize) {
        self.state().entries.truncate(count);
        let seq = Seq::new(count as u64);
        self.state().line.iter_mut().for_each(|fork| fork.seq = fork.seq.min(seq));
        self.restart();
    }

    pub(super) fn fail_in(&self, pages: u64) {
        self.failing_in.store(pages, Ordering::Relaxed);
    }

    /// Each page takes a while, in which others come in between.
    async fn page(&self, count: &AtomicUsize) -> Result<(), StoreError> {
        tokio::task::yield_now().await;
        if self.is_busy.load(Ordering::Relaxed) {
            [5, 500_000, 50_000_000].into_iter().for_each(|millis| self.push(millis, 100));
        }
        count.fetch_add(1, Ordering::Relaxed);
        let left = self.failing_in.load(Ordering::Relaxed);
        self.failing_in.store(left.checked_sub(1).unwrap_or(u64::MAX), Ordering::Relaxed);
        if left == 0 { Err(StoreError::Busy) } else { Ok(()) }
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap()
    }
}

fn bounded(entries: impl Iterator<Item = Entry>, bounds: PageBounds) -> Vec<Entry> {
    let mut bytes = 0;
    let has_room = |(index, entry): &(usize, Entry)| {
        bytes += entry.payload.len();
        *index == 0 || bytes <= bounds.bytes_max
    };
    entries.take(bounds.count_max).enumerate().take_while(has_room).map(|(_, entry)| entry).collect()
}

impl Entries for FakeLog {
    fn append(&self, _: Append) -> Reply<'_, Result<Vec<Appended>, NotAppended>> {
        unreachable!("a history appends nothing")
    }

    fn find_entries<'a>(&'a self, _: SpaceAddress, _: &'a [Digest]) -> Reply<'a, Vec<Option<Entry>>> {
        unreachable!("a history looks for no keys")
    }

    fn rulings(&self, _: SpaceAddress, _: Seq, _: PageBounds) -> Reply<'_, Vec<Entry>> {
        unreachable!("a history knows no rules")
    }

    fn timeline(&self, _: SpaceAddress, after: Place, upto: Seq, bounds: PageBounds) -> Reply<'_, Vec<Entry>> {
        Box::pin(async move {
            self.page(&self.timelines).await?;
            let mut entries = self.entries();
            entries.sort_by_key(place);
            let wanted = |entry: &Entry| place(entry) > after && entry.seq <= upto;
            Ok(bounded(entries.into_iter().filter(wanted), bounds))
        })
    }

    fn entries(&self, _: SpaceAddress, after: Seq, bounds: PageBounds) -> Reply<'_, EntryPage> {
        Box::pin(async move {
            self.page(&self.pages).await?;
            let entries = self.entries();
            let head = Seq::new(entries.len() as u64);
            Ok(EntryPage { entries: bounded(entries.into_iter().filter(|entry| entry.seq > after), bounds), head })
        })
    }

    fn log_end(&self, _: SpaceAddress) -> Reply<'_, LogEnd> {
        unreachable!("a history asks for a cursor")
    }

    fn totals(&self) -> Reply<'_, Totals> {
        unreachable!("a history counts nothing")
    }
}

impl Logs for FakeLog {
    fn exchange(&self, _: Exchange) -> Reply<'_, Exchanged> {
        unreachable!("a history exchanges nothing")
    }

    fn changes<'a>(
        &'a self,
        _: SpaceAddress,
        _: &'a Arc<dyn Policy>,
        _: Seq,
        _: usize,
    ) -> Reply<'a, Vec<LoggedChange>> {
        unreachable!("a history has no records")
    }

    fn heads<'a>(&'a self, _: &'a [SpaceAddress]) -> Reply<'a, Vec<Seq>> {
        unreachable!("a history asks for a cursor")
    }

    fn head(&self, _: SpaceAddress) -> Reply<'_, Cursor> {
        Box::pin(async {
            tokio::task::yield_now().await;
            let state = self.state();
            let generation = state.line.last().unwrap().generation;
            Ok(Cursor { generation, seq: Seq::new(state.entries.len() as u64) })
        })
    }

    fn resume(&self, _: SpaceAddress, cursor: Cursor) -> Reply<'_, Resume> {
        Box::pin(async move {
            tokio::task::yield_now().await;
            let state = self.state();
            Ok(resume(cursor, &state.line, Seq::new(state.entries.len() as u64)))
        })
    }
}
