//! What a replica takes that resumes by a cursor which says everything.

use tombolo_core::merge::State;
use tombolo_core::{Digest, Instant, Op, RecordKey, RecordVersion, Seq};

use super::upload::{Here, Refusal, admit};
use crate::ledger::{HeadRow, HeadVisitor, Ledger, RecordRow, Replica};
use crate::{Download, Downloaded, Present, StoreError};

/// What a request that only reads came to.
pub(crate) enum Taken {
    /// The replica is not known here: [`register`] it in a transaction that writes, and read again.
    Unknown,
    /// The answer, and what is to be remembered of it, if that is anything new. It need not wait for the disk: only a
    /// replica that presents nothing is judged by it, and [`Progress`] says what that comes to when it is lost.
    Page(Downloaded, Option<Progress>),
}

/// How far a replica said that it is, and what it was given: for [`Ledger::set_progress`], never falling in the first.
///
/// When it is lost, a replica that presents nothing and does not name its bases is taken for one that has less: a field
/// that it took since, and sends as it took it, looks like an edit. It is told what became of its writes nevertheless.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Progress {
    pub(crate) replica: Replica,
    pub(crate) acknowledged: Seq,
    pub(crate) given: Seq,
}

/// Every collection of a protocol whose replicas resume so is sent in one rank.
const RANK: usize = 0;

/// Makes the replica known. `None` when it is now; otherwise the answer, and nothing was written.
pub(crate) fn register(ledger: &mut dyn Ledger, request: &Download) -> Result<Option<Downloaded>, StoreError> {
    match admit(ledger, &request.replica, request.since)? {
        Ok(Some(_)) => Ok(None),
        Ok(None) => {
            ledger.bind(&request.replica)?;
            ledger.add_replica(&request.replica, request.now)?;
            Ok(None)
        }
        Err(refusal) => Ok(Some(turned_away(refusal))),
    }
}

fn turned_away(refusal: Refusal) -> Downloaded {
    match refusal {
        Refusal::Others => Downloaded::OthersReplica,
        Refusal::Stale(stale) => Downloaded::Stale(stale),
    }
}

/// Reads a page, without writing.
pub(crate) fn download(ledger: &mut dyn Ledger, here: Here, request: &Download) -> Result<Taken, StoreError> {
    let replica = match admit(ledger, &request.replica, request.since)? {
        Ok(Some(replica)) => replica,
        Ok(None) => return Ok(Taken::Unknown),
        Err(refusal) => return Ok(Taken::Page(turned_away(refusal), None)),
    };
    let end = ledger.end()?.seq;
    let (complete, resume) = request.since.map_or((Seq::ZERO, Seq::ZERO), |since| (since.complete, since.resume));
    let mut page = Filling { request, records: Vec::new(), bytes: 0, end: resume, is_full: false };
    ledger.heads_after(RANK, resume, &mut page)?;
    let Filling { records, end: upto, is_full: more, .. } = page;
    let cursor = if more { here.cursor(complete, upto) } else { here.cursor(end, end) };
    let acknowledged = complete.max(replica.acknowledged);
    let is_new = (acknowledged, cursor.resume) != (replica.acknowledged, replica.given);
    let progress = is_new.then_some(Progress { replica, acknowledged, given: cursor.resume });
    Ok(Taken::Page(Downloaded::Page { records, cursor, more }, progress))
}

/// Collects the heads of one page.
struct Filling<'a> {
    request: &'a Download,
    records: Vec<Present>,
    bytes: usize,
    /// The last head that was taken.
    end: Seq,
    /// Whether the next one did not fit.
    is_full: bool,
}

impl HeadVisitor for Filling<'_> {
    fn wants(&mut self, _: RecordRow, _: Seq, _: Op, _: Digest) -> bool {
        true
    }

    fn visit(&mut self, head: HeadRow) -> Result<bool, StoreError> {
        let Download { count_max, page_bytes_max, delivery_overhead_bytes, .. } = self.request;
        let bytes = self.bytes + head.payload.len() + head.key.name.as_str().len() + delivery_overhead_bytes;
        // One record always fits: a page that brings nothing would never end.
        self.is_full = !self.records.is_empty() && (self.records.len() >= *count_max || bytes > *page_bytes_max);
        if !self.is_full {
            (self.bytes, self.end) = (bytes, head.seq);
            let HeadRow { key, seq, op, written_at, public_at, digest, payload, .. } = head;
            let (version, at) = (RecordVersion::new(seq, digest), shown(written_at, public_at));
            let payload = if op == Op::Delete { Vec::new() } else { payload };
            self.records.push(Present { key, op, payload, version, at });
        }
        Ok(!self.is_full)
    }
}

/// A state of a record, on its way to a replica.
pub(super) fn present(key: RecordKey, state: &State, payload: Vec<u8>) -> Present {
    let version = RecordVersion::new(state.seq, state.digest);
    let payload = if state.op == Op::Delete { Vec::new() } else { payload };
    Present { key, op: state.op, payload, version, at: shown(state.written_at, state.public_at) }
}

/// When a state was written, as replicas are told: exactly as sent, where that is what goes out in whole milliseconds.
fn shown(written_at: Instant, public_at: Instant) -> Instant {
    if written_at.ceil_to_millis() == public_at { written_at } else { public_at }
}
