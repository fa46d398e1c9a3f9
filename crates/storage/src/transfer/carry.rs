//! The sequence of steps: copy, catch up, compare, pause, copy and compare the rest.

use std::collections::{BTreeMap, BTreeSet, HashSet};
use std::time::Duration;

use tombolo_core::Env;

use super::source::{Source, present};
use super::tables::{self, CHANGES, LOG, Row, TABLES, TABLES_AND_LOG, Tally, Value};
use super::target::Target;
use super::{Event, Report, Step, TableReport, TransferError, compare};
use crate::StoreError;

/// Changes and changed rows that may be missing when the server pauses: they take a fraction of a second.
const MISSING_MAX: u64 = 1_000;
/// Rounds of catching up. Each copies what came during the one before; where that does not get less, the disk or the
/// network is slower than the server's clients.
const ROUNDS_MAX: usize = 1_000;

/// The tables that give out numbers, and give none out twice.
const COUNTED: [&str; 8] =
    ["generations", "users", "credentials", "refusals", "spaces", "invitations", "sign_ins", "replicas"];

pub(super) struct Carry<'a> {
    source: &'a Source,
    target: &'a mut Target,
    progress: &'a mut dyn FnMut(Event),
    /// Of each space, the last change that was copied.
    copied: BTreeMap<i64, i64>,
    /// The last entry of the journal that was carried out.
    journal: i64,
    /// What was compared so far, if everything was once: from then on, what is copied is compared at once.
    compared: Option<Compared>,
}

struct Compared {
    tables: [Tally; TABLES_AND_LOG],
    /// Rows that the journal named since.
    named: HashSet<(usize, Row)>,
}

impl<'a> Carry<'a> {
    pub(super) fn new(source: &'a Source, target: &'a mut Target, progress: &'a mut dyn FnMut(Event)) -> Self {
        Self { source, target, progress, copied: BTreeMap::new(), journal: 0, compared: None }
    }

    pub(super) async fn all(mut self, identity: &str, shown: &str, env: &dyn Env) -> Result<Report, TransferError> {
        self.begin(identity).await?;
        self.step(Step::Copy);
        self.copy().await?;
        self.step(Step::CatchUp);
        self.catch_up().await?;
        self.target.analyze().await.map_err(TransferError::Target)?;
        self.step(Step::Compare);
        self.compare().await?;
        self.step(Step::Pause);
        let paused_at = env.now();
        self.source.mark(shown, paused_at).map_err(TransferError::Source)?;
        self.step(Step::Rest);
        self.rest().await?;
        self.step(Step::Finish);
        self.target.finish(identity).await.map_err(TransferError::Unknown)?;
        let pause = env.now().micros().saturating_sub(paused_at.micros());
        let pause = Duration::from_micros(u64::try_from(pause).unwrap_or(0));
        Ok(Report { tables: self.report(), pause, was_done_already: false })
    }

    fn step(&mut self, step: Step) {
        (self.progress)(Event::Step(step));
    }

    fn report(&self) -> Vec<TableReport> {
        let tallies = self.compared.as_ref().map_or_else(Default::default, |compared| compared.tables);
        tables::all()
            .zip(tallies)
            .map(|(table, tally)| TableReport { name: table.name, count: tally.count, digest: tally.digest() })
            .collect()
    }

    /// Claims the database, and finds out what an earlier run left there.
    async fn begin(&mut self, identity: &str) -> Result<(), TransferError> {
        self.target.begin(identity).await.map_err(TransferError::Target)?;
        let heads: BTreeMap<_, _> = self.source.heads().map_err(TransferError::Source)?.into_iter().collect();
        let spaces: Vec<i64> = heads.keys().copied().collect();
        self.target.forget_erased(&spaces).await.map_err(TransferError::Target)?;
        self.copied = self.target.positions().await.map_err(TransferError::Target)?;
        let is_there = |(space, seq): (&i64, &i64)| heads.get(space).is_some_and(|head| head >= seq);
        if self.copied.iter().all(is_there) {
            return Ok(());
        }
        let text = "an earlier run copied changes that the file does not hold: give an empty database";
        Err(TransferError::Refused(text.to_owned()))
    }

    /// Copies what is there, while the journal notes what changes.
    async fn copy(&mut self) -> Result<(), TransferError> {
        let heads = self.source.heads().map_err(TransferError::Source)?;
        let mut all = total(heads.iter().map(|(_, head)| *head)) - total(self.copied.values().copied());
        for table in &TABLES {
            all += self.source.count(table).map_err(TransferError::Source)?;
        }
        let mut done = 0;
        let mut last_user = 0;
        for table in &TABLES {
            let mut next = None;
            loop {
                let mut page = self.source.page(table, next.as_ref()).map_err(TransferError::Source)?;
                // Who was added since is in the journal, with all that is theirs.
                if let Some(user) = table.user {
                    page.rows.retain(|row| row[user] <= Value::Int(last_user));
                }
                self.target.put(table, &page.rows).await.map_err(TransferError::Target)?;
                if table.name == "users" {
                    last_user = page.rows.last().and_then(|row| row[0].int()).unwrap_or(last_user);
                }
                done += page.rows.len() as u64;
                (self.progress)(Event::Progress { done, all });
                next = page.next;
                if next.is_none() {
                    break;
                }
            }
        }
        self.copy_changes(&heads, (done, all)).await
    }

    /// Copies each log up to the given head.
    async fn copy_changes(&mut self, heads: &[(i64, i64)], (mut done, all): (u64, u64)) -> Result<(), TransferError> {
        for (space, head) in heads {
            let mut after = self.copied.get(space).copied().unwrap_or(0);
            while after < *head {
                let page = self.source.changes(*space, after).map_err(TransferError::Source)?;
                let Some(last) = page.rows.last().and_then(|row| row[1].int()) else {
                    let text = format!("space {space}, after change {after}: it is missing");
                    return Err(TransferError::Source(StoreError::Corrupt(text)));
                };
                self.target.put(&CHANGES, &page.rows).await.map_err(TransferError::Target)?;
                if let Some(compared) = &mut self.compared {
                    let (tally, mut differences) = (&mut compared.tables[LOG], Vec::new());
                    compare::changes(self.target, *space, after, &page.rows, tally, &mut differences).await?;
                    differences.first().map_or(Ok(()), |fault| Err(fault.error()))?;
                }
                after = last;
                self.copied.insert(*space, after);
                done += page.rows.len() as u64;
                (self.progress)(Event::Progress { done, all: all.max(done) });
            }
        }
        Ok(())
    }

    /// How much is missing.
    fn missing(&self) -> Result<(Vec<(i64, i64)>, u64), TransferError> {
        let heads = self.source.heads().map_err(TransferError::Source)?;
        let ahead = |(space, head): &(i64, i64)| head - self.copied.get(space).copied().unwrap_or(0);
        let changes = total(heads.iter().map(ahead));
        let entries = self.source.journal_head().map_err(TransferError::Source)? - self.journal;
        Ok((heads, changes + total([entries])))
    }

    async fn catch_up(&mut self) -> Result<(), TransferError> {
        self.catch_up_to(MISSING_MAX, 0).await
    }

    /// Copies what changed, until less than `enough` is missing and the journal was carried out up to `entry`.
    async fn catch_up_to(&mut self, enough: u64, entry: i64) -> Result<(), TransferError> {
        for _ in 0..ROUNDS_MAX {
            let (heads, missing) = self.missing()?;
            if missing < enough && self.journal >= entry {
                return Ok(());
            }
            let mut done = 0;
            let end = self.source.journal_head().map_err(TransferError::Source)?;
            while self.journal < end {
                done += self.apply().await? as u64;
                (self.progress)(Event::Progress { done, all: missing.max(done) });
            }
            self.copy_changes(&heads, (done, missing)).await?;
        }
        let text = "more is written to the file than can be copied: run it again when the server has less to do";
        Err(TransferError::Refused(text.to_owned()))
    }

    /// Brings the rows that the journal's next entries name into the state that they have now.
    async fn apply(&mut self) -> Result<usize, TransferError> {
        let entries = self.source.journal(self.journal).map_err(TransferError::Source)?;
        let Some(last) = entries.last().map(|entry| entry.id) else { return Ok(0) };
        let count = entries.len();
        let mut keys: [BTreeSet<Row>; TABLES_AND_LOG] = Default::default();
        // What belongs to a replica that is gone belongs to no space, and was never copied.
        for entry in entries.into_iter().filter(|entry| !entry.key.contains(&Value::Null)) {
            // A change that is still to be copied is going to be read as it is then.
            if entry.table != LOG || self.is_copied(&entry.key) {
                keys[entry.table].insert(entry.key);
            }
        }
        // One snapshot of all: what must be unique is, only at one time.
        let found = self.source.find_all(&keys).map_err(TransferError::Source)?;
        let mut named = Vec::with_capacity(TABLES_AND_LOG);
        for ((table, keys), rows) in tables::all().zip(keys).zip(&found) {
            let mut keys: Vec<Row> = keys.into_iter().collect();
            keys.iter_mut().for_each(|key| present(table, key));
            named.push((table, keys, rows));
        }
        // What is gone makes room before anything comes.
        for (at, (table, keys, rows)) in named.iter().enumerate() {
            self.forget(at, keys).await?;
            let there: HashSet<_> = rows.iter().map(|row| &row[..table.key_len]).collect();
            let gone: Vec<_> = keys.iter().filter(|key| !there.contains(key.as_slice())).cloned().collect();
            self.target.remove(table, &gone).await.map_err(TransferError::Target)?;
        }
        for (at, (table, keys, rows)) in named.into_iter().enumerate() {
            let replaced = self.target.put(table, rows).await.map_err(TransferError::Target)?;
            self.learn(at, keys, rows, &replaced).await?;
        }
        self.journal = last;
        Ok(count)
    }

    fn is_copied(&self, change: &Row) -> bool {
        let space = change[0].int().unwrap_or(0);
        self.copied.get(&space).is_some_and(|copied| change[1] <= Value::Int(*copied))
    }

    /// Takes rows that are going to change out of what was compared.
    async fn forget(&mut self, at: usize, keys: &[Row]) -> Result<(), TransferError> {
        let Some(compared) = &mut self.compared else { return Ok(()) };
        let before = self.target.find(tables::at(at), keys).await.map_err(TransferError::Target)?;
        before.iter().for_each(|row| compared.tables[at].remove(row));
        Ok(())
    }

    /// Compares rows that were just written, and takes them into what was compared.
    async fn learn(
        &mut self,
        at: usize,
        keys: Vec<Row>,
        written: &[Row],
        replaced: &[Row],
    ) -> Result<(), TransferError> {
        let Some(compared) = &mut self.compared else { return Ok(()) };
        let after = self.target.find(tables::at(at), &keys).await.map_err(TransferError::Target)?;
        compare::rows(at, written, &after)?;
        after.iter().for_each(|row| compared.tables[at].add(row));
        for row in replaced {
            let key = tables::at(at).key(row);
            // One that the journal names as well was taken out before.
            if !keys.contains(&key) {
                compared.tables[at].remove(row);
                compared.named.insert((at, key));
            }
        }
        compared.named.extend(keys.into_iter().map(|key| (at, key)));
        Ok(())
    }

    /// Compares everything that was copied, while the server goes on.
    async fn compare(&mut self) -> Result<(), TransferError> {
        let (mut tables, mut differences) = ([Tally::default(); TABLES_AND_LOG], Vec::new());
        let log = &mut tables[LOG];
        let all = total(self.copied.values().copied());
        for (space, head) in self.copied.clone() {
            let mut after = 0;
            while after < head {
                let mut page = self.source.changes(space, after).map_err(TransferError::Source)?;
                page.rows.retain(|row| row[1] <= Value::Int(head));
                compare::changes(self.target, space, after, &page.rows, log, &mut differences).await?;
                let Some(last) = page.rows.last().and_then(|row| row[1].int()) else { break };
                after = last;
                (self.progress)(Event::Progress { done: log.count, all });
            }
        }
        for (at, tally) in tables.iter_mut().enumerate().take(LOG) {
            *tally = compare::table(self.source, self.target, at, &mut differences).await?;
        }
        self.compared = Some(Compared { tables, named: HashSet::new() });
        // What differs because the server changed it is in the journal by now.
        let entry = self.source.journal_head().map_err(TransferError::Source)?;
        self.catch_up_to(MISSING_MAX, entry).await?;
        let Some(compared) = &mut self.compared else { return Ok(()) };
        let fault = differences.into_iter().find(|one| !compared.named.contains(&(one.table, one.key.clone())));
        // It was needed for this only.
        compared.named.clear();
        fault.map_or(Ok(()), |fault| Err(fault.error()))
    }

    /// Copies and compares what is missing, now that nothing is added.
    async fn rest(&mut self) -> Result<(), TransferError> {
        self.catch_up_to(1, 0).await?;
        let mut greatest = Vec::new();
        for table in COUNTED {
            greatest.push((table, self.source.greatest(table).map_err(TransferError::Source)?));
        }
        self.target.settle(&greatest).await.map_err(TransferError::Target)?;
        // All rows were compared one by one; that there are no others is a matter of milliseconds.
        let tallies = self.compared.as_ref().map_or_else(Default::default, |compared| compared.tables);
        for (table, tally) in TABLES.iter().zip(tallies) {
            let here = self.target.count(table).await.map_err(TransferError::Target)?;
            let there = self.source.count(table).map_err(TransferError::Source)?;
            // Refusals that are the same in PostgreSQL are one there.
            let is_whole = here == there || (table.name == "refusals" && here <= there);
            if !is_whole || here != tally.count {
                let text = format!("{} has {here} rows instead of {there}", table.name);
                return Err(TransferError::Differs(text));
            }
        }
        match self.target.other_ends().await.map_err(TransferError::Target)?.first() {
            Some(space) => Err(TransferError::Differs(format!("the log of space {space} ends elsewhere"))),
            None => Ok(()),
        }
    }
}

fn total(numbers: impl IntoIterator<Item = i64>) -> u64 {
    numbers.into_iter().map(|number| u64::try_from(number).unwrap_or(0)).sum()
}
