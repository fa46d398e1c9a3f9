//! What a check looks for, whatever the store.

use tombolo_core::{Policy, Purpose};

use crate::columns::checksum_of;
use crate::ledger::NO_RECORD;
use crate::{CheckReport, Policies, StoreError};

/// Faults that are named; a database with more is not read line by line.
const FAULTS_MAX: usize = 1_000;
/// Changes between two calls of the progress.
const PROGRESS_EVERY: u64 = 1_000;

/// The entries of a space whose key is missing, in either SQL.
pub(crate) const ENTRIES_WITHOUT_KEY: &str = "SELECT c.seq FROM changes c WHERE c.space = $1 AND c.record = 0
    AND NOT EXISTS (SELECT 1 FROM idempotency_keys k WHERE k.space = c.space AND k.key = c.digest AND k.seq = c.seq)
    ORDER BY c.seq";
/// The keys whose entry is not there, with their spaces.
pub(crate) const KEYS_WITHOUT_ENTRY: &str = "SELECT k.space, k.seq FROM idempotency_keys k
    WHERE NOT EXISTS (SELECT 1 FROM changes c JOIN spaces s ON s.id = c.space
        WHERE c.space = k.space AND c.seq = k.seq AND c.record = 0 AND c.digest = k.key)
    ORDER BY k.space, k.seq";

/// How the payloads of a purpose are read, if that is known.
pub(crate) fn policy_of<'p>(policies: &'p Policies, purpose: &str) -> Option<&'p dyn Policy> {
    policies.iter().find(|(known, _)| Purpose::as_str(*known) == purpose).map(|(_, policy)| &**policy)
}

/// What was found so far.
#[derive(Default)]
pub(crate) struct Findings {
    pub(crate) report: CheckReport,
}

impl Findings {
    pub(crate) fn fault(&mut self, what: String) {
        if self.report.faults.len() < FAULTS_MAX {
            self.report.faults.push(what);
        }
    }

    /// Damage that ends the reading of one `place` is a fault like any other: what lies elsewhere is read on. A disk
    /// that fails is none, and ends the check.
    pub(crate) fn note<T>(&mut self, place: &str, read: Result<T, StoreError>) -> Result<Option<T>, StoreError> {
        match read {
            Ok(read) => Ok(Some(read)),
            Err(StoreError::Corrupt(what)) => {
                self.fault(format!("{place}: {what}"));
                Ok(None)
            }
            Err(error) => Err(error),
        }
    }

    /// A record whose head is the change `seq`, which is of the record `of`, if it is there.
    pub(crate) fn head(&mut self, space: i64, record: i64, seq: i64, of: Option<i64>) {
        self.report.records += 1;
        if of != Some(record) {
            self.fault(format!("space {space}, record {record}: its head, change {seq}, is none of its changes"));
        }
    }

    /// An entry of which the log does not know that it has it: sent again, it would be stored twice.
    pub(crate) fn entry_without_key(&mut self, space: i64, seq: i64) {
        self.fault(format!("space {space}, change {seq}: its key is missing"));
    }

    /// A key whose entry is not where it is said to be.
    pub(crate) fn key_without_entry(&mut self, space: i64, seq: i64) {
        self.fault(format!("space {space}: a key names change {seq}, which is not its entry"));
    }

    /// A put's content reads, and has the digest that it is stored under.
    pub(crate) fn content(
        &mut self,
        (space, seq): (i64, i64),
        collection: &str,
        digest: &[u8],
        payload: Option<&[u8]>,
        policy: &dyn Policy,
    ) {
        let known = policy.collections().iter().find(|known| known.as_str() == collection);
        let Some(collection) = known else {
            self.fault(format!("space {space}, change {seq}: its record is of an unknown kind"));
            return;
        };
        match policy.digest(*collection, payload.unwrap_or_default()) {
            Ok(found) if found.to_bytes() == digest => {}
            Ok(_) => self.fault(format!("space {space}, change {seq}: its digest is not that of its content")),
            Err(error) => self.fault(format!("space {space}, change {seq}: {error}")),
        }
    }
}

/// A change as the check of the log sees it.
pub(crate) struct LogRow<'r> {
    pub(crate) seq: i64,
    pub(crate) record: i64,
    pub(crate) committed_at: i64,
    pub(crate) prev: Option<i64>,
    pub(crate) checksum: i64,
    pub(crate) payload: Option<&'r [u8]>,
}

/// The log of one space: dense, in order of time, each content as it was written, each chain leading back.
pub(crate) struct LogCheck {
    space: i64,
    pub(crate) last: i64,
    last_time: i64,
    has_entries: bool,
}

impl LogCheck {
    pub(crate) fn new(space: i64) -> Self {
        Self { space, last: 0, last_time: i64::MIN, has_entries: false }
    }

    /// Looks at the next change, and tells the progress now and then.
    pub(crate) fn change(&mut self, row: &LogRow<'_>, findings: &mut Findings, progress: &mut dyn FnMut(u64)) {
        let Self { space, last, last_time, .. } = *self;
        let LogRow { seq, record, committed_at, prev, checksum, payload } = *row;
        if seq != last + 1 {
            findings.fault(format!("space {space}: changes {} to {} are missing", last + 1, seq - 1));
        }
        if committed_at <= last_time {
            findings.fault(format!("space {space}, change {seq}: it was committed before the one below it"));
        }
        if prev.is_some_and(|prev| prev >= seq || prev < 1) {
            findings.fault(format!("space {space}, change {seq}: its record's history does not lead back"));
        }
        if checksum != i64::from(checksum_of(payload)) {
            findings.fault(format!("space {space}, change {seq}: its content is not what was written"));
        }
        if record == NO_RECORD.0 {
            self.has_entries = true;
            if prev.is_some() {
                findings.fault(format!("space {space}, change {seq}: it writes to no record, and has its history"));
            }
        }
        (self.last, self.last_time) = (seq, committed_at);
        findings.report.changes += 1;
        if findings.report.changes.is_multiple_of(PROGRESS_EVERY) {
            progress(findings.report.changes);
        }
    }

    /// Whether anything was met that was only appended.
    pub(crate) const fn has_entries(&self) -> bool {
        self.has_entries
    }

    pub(crate) fn end(&self, head: i64, findings: &mut Findings) {
        if self.last != head {
            findings.fault(format!("space {}: its log ends at {}, its head says {head}", self.space, self.last));
        }
    }
}
