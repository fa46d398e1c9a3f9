//! What a check looks for, whatever the store.

use tombolo_core::{Digest, Instant, Policy};

use crate::columns::{checksum_of, whole_millis};
use crate::ledger::NO_RECORD;
use crate::{CheckReport, IsRuling, Reading, StoreError};

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
/// The rulings that are no entries, with their spaces.
pub(crate) const RULINGS_WITHOUT_ENTRY: &str = "SELECT r.space, r.seq FROM rulings r
    WHERE NOT EXISTS (SELECT 1 FROM changes c JOIN spaces s ON s.id = c.space
        WHERE c.space = r.space AND c.seq = r.seq AND c.record = 0)
    ORDER BY r.space, r.seq";
/// The order of writing: space, time and place, and when the entry there was written.
pub(crate) const TIMELINE: &str = "SELECT t.space, t.millis, t.seq, c.written_at FROM timeline t
    LEFT JOIN changes c ON c.space = t.space AND c.seq = t.seq AND c.record = 0
        AND EXISTS (SELECT 1 FROM spaces s WHERE s.id = t.space)
    ORDER BY t.space, t.millis, t.seq";
/// The entries of a space under rules that are missing in the order of writing. All at once: the order is not kept by
/// their places, so that none can be looked up by its own.
pub(crate) const ENTRIES_WITHOUT_TIME: &str = "SELECT seq FROM changes WHERE space = $1 AND record = 0
    EXCEPT SELECT seq FROM timeline WHERE space = $1
    ORDER BY 1";
/// The entries of a space under rules, and whether each is kept as a ruling.
pub(crate) const ENTRIES_AND_RULINGS: &str = "SELECT c.seq, c.payload, r.seq IS NOT NULL FROM changes c
    LEFT JOIN rulings r ON r.space = c.space AND r.seq = c.seq
    WHERE c.space = $1 AND c.record = 0 ORDER BY c.seq";

/// The rooms that have no space, or one that is no room's.
const ROOMS_WITHOUT_SPACE: &str = "SELECT r.space FROM rooms r
    WHERE NOT EXISTS (SELECT 1 FROM spaces s WHERE s.id = r.space AND s.owner = r.owner AND s.purpose = 'rooms')
    ORDER BY r.space";
/// The spaces of rooms that have no room.
const SPACES_WITHOUT_ROOM: &str = "SELECT s.id FROM spaces s
    WHERE s.purpose = 'rooms' AND NOT EXISTS (SELECT 1 FROM rooms r WHERE r.space = s.id)
    ORDER BY s.id";
/// What leases are of that is no room.
const LEASES_WITHOUT_ROOM: &str = "SELECT DISTINCT l.space FROM room_leases l
    WHERE NOT EXISTS (SELECT 1 FROM rooms r WHERE r.space = l.space)
    ORDER BY l.space";
/// The spaces of rooms whose document is not the newest version.
const ROOMS_WITHOUT_HEAD: &str = "SELECT s.id FROM spaces s
    WHERE s.purpose = 'rooms' AND s.head_seq <> coalesce((SELECT max(r.seq) FROM records r WHERE r.space = s.id), 0)
    ORDER BY s.id";
/// What is said of a space that one of these queries finds.
type OfSpace = fn(&mut Findings, i64);
/// What may be wrong between rooms and spaces.
pub(crate) const OF_ROOMS: [(&str, OfSpace); 4] = [
    (ROOMS_WITHOUT_SPACE, Findings::room_without_space),
    (SPACES_WITHOUT_ROOM, Findings::space_without_room),
    (LEASES_WITHOUT_ROOM, Findings::lease_without_room),
    (ROOMS_WITHOUT_HEAD, Findings::room_without_head),
];
/// The versions of a document, with their digests.
pub(crate) const VERSIONS: &str = "SELECT seq, digest, payload FROM changes WHERE space = $1 ORDER BY seq";

/// How what a purpose stores is read, as far as that is known: nothing may be missing in a log of which it is not.
#[derive(Clone, Copy, Default)]
pub(crate) struct How<'r> {
    pub(crate) policy: Option<&'r dyn Policy>,
    pub(crate) is_ruling: Option<IsRuling>,
    pub(crate) is_thinned: bool,
}

impl<'r> How<'r> {
    pub(crate) fn of(readings: &'r [Reading], purpose: &str) -> Self {
        let reading = readings.iter().find(|reading| reading.purpose.as_str() == purpose);
        reading.map_or_else(Self::default, |Reading { policy, is_ruling, is_thinned, .. }| Self {
            policy: policy.as_deref(),
            is_ruling: *is_ruling,
            is_thinned: *is_thinned,
        })
    }
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

    /// A ruling of which the log says that it is none: rules would be asked for that are not there.
    pub(crate) fn ruling_without_entry(&mut self, space: i64, seq: i64) {
        self.fault(format!("space {space}: the rules name change {seq}, which is no entry"));
    }

    /// An entry that says of itself whether it `is` a ruling, and of which the log says whether it is `kept` as one: a
    /// rule that is not kept would no longer be asked for.
    pub(crate) fn ruling(&mut self, (space, seq): (i64, i64), is: bool, kept: bool) {
        match (is, kept) {
            (true, false) => self.fault(format!("space {space}, change {seq}: it is missing among the rules")),
            (false, true) => self.fault(format!("space {space}: the rules name change {seq}, which says none")),
            _ => {}
        }
    }

    /// A place in the order of writing, with when the entry there was written, if there is one.
    pub(crate) fn time(&mut self, (space, millis, seq): (i64, i64, i64), written_at: Option<&[u8]>) {
        let Some(written_at) = written_at else {
            self.fault(format!("space {space}: the order of writing names change {seq}, which is no entry"));
            return;
        };
        let written_at = written_at.try_into().ok().and_then(Instant::from_bytes);
        if written_at.map(whole_millis) != Some(millis) {
            self.fault(format!("space {space}, change {seq}: it is not where it was written in the order of writing"));
        }
    }

    /// An entry that whoever reads in the order of writing is not shown.
    pub(crate) fn entry_without_time(&mut self, space: i64, seq: i64) {
        self.fault(format!("space {space}, change {seq}: it is missing in the order of writing"));
    }

    /// A room that nobody finds, or whose documents would be somebody else's.
    fn room_without_space(&mut self, space: i64) {
        self.fault(format!("space {space}: there is a room of it, and it is not the space of one"));
    }

    /// A room's log that nobody finds.
    fn space_without_room(&mut self, space: i64) {
        self.fault(format!("space {space}: it is the space of a room, and there is none"));
    }

    /// A lease of a room that is gone.
    fn lease_without_room(&mut self, space: i64) {
        self.fault(format!("space {space}: it is leased as a room, and there is none"));
    }

    /// A room that would be shown with an older document than its newest, or without one.
    fn room_without_head(&mut self, space: i64) {
        self.fault(format!("space {space}: its document is not the newest version"));
    }

    /// A version is a text, and has the digest that it is stored under.
    pub(crate) fn version(&mut self, (space, seq): (i64, i64), digest: &[u8], payload: Option<&[u8]>) {
        let Some(text) = payload.filter(|payload| std::str::from_utf8(payload).is_ok()) else {
            self.fault(format!("space {space}, change {seq}: its content is no text"));
            return;
        };
        if Digest::of(text).to_bytes() != digest {
            self.fault(format!("space {space}, change {seq}: its digest is not that of its content"));
        }
    }

    /// A put's content reads, and has the digest that it is stored under; or it was taken, by a deletion that follows.
    pub(crate) fn content(&mut self, row: &ContentRow<'_>, policy: &dyn Policy) {
        let ContentRow { space, seq, collection, digest, payload, is_head } = *row;
        if policy.erases() && payload.is_none() && digest == Digest::DELETED.to_bytes() {
            if is_head {
                self.fault(format!("space {space}, change {seq}: its content was taken, and its record is there"));
            }
            return;
        }
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

/// A put as the check of contents sees it.
pub(crate) struct ContentRow<'r> {
    pub(crate) space: i64,
    pub(crate) seq: i64,
    pub(crate) collection: &'r str,
    pub(crate) digest: &'r [u8],
    pub(crate) payload: Option<&'r [u8]>,
    /// Whether it is its record's present state.
    pub(crate) is_head: bool,
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

/// The log of one space: dense, unless it lets go of changes, in order of time, each content as it was written, each
/// chain leading back.
pub(crate) struct LogCheck {
    space: i64,
    is_thinned: bool,
    pub(crate) last: i64,
    last_time: i64,
    has_entries: bool,
}

impl LogCheck {
    pub(crate) fn new(space: i64, how: How<'_>) -> Self {
        Self { space, is_thinned: how.is_thinned, last: 0, last_time: i64::MIN, has_entries: false }
    }

    /// Looks at the next change, and tells the progress now and then.
    pub(crate) fn change(&mut self, row: &LogRow<'_>, findings: &mut Findings, progress: &mut dyn FnMut(u64)) {
        let Self { space, is_thinned, last, last_time, .. } = *self;
        let LogRow { seq, record, committed_at, prev, checksum, payload } = *row;
        if seq != last + 1 && !is_thinned {
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
