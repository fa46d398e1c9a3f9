//! What is new to a replica, up to what one reply can carry.

use tombolo_core::{Coverage, Digest, Instant, Op, RANKS, Seq, Verdict};

use super::{Judged, Presented, Sent};
use crate::ledger::{HeadRow, HeadVisitor, Ledger, RecordRow, Replica, Traffic};
use crate::{Answer, Delivery, Exchange, StoreError};

/// What one reply delivers, and what the replica holds once it took it.
#[derive(Clone)]
pub(crate) struct Page {
    pub(crate) deliveries: Vec<Delivery>,
    /// What has to be remembered of the instants that go out.
    pub(crate) traffic: Vec<(RecordRow, Traffic)>,
    pub(crate) coverage: Coverage,
}

/// Whether a request that brings nothing would be given anything.
pub(crate) fn has_news(
    ledger: &mut dyn Ledger,
    request: &Exchange,
    replica: Option<&Replica>,
    presented: &Presented,
) -> Result<bool, StoreError> {
    let mut news = News { is_new: replica.is_none() && request.presented.is_none(), found: false };
    for (rank, start) in presented.starts().into_iter().enumerate() {
        ledger.heads_after(rank, start, &mut news)?;
        if news.found {
            break;
        }
    }
    Ok(news.found)
}

/// Looks for the first head that would be delivered.
struct News {
    /// A new device need not hear of what is gone.
    is_new: bool,
    found: bool,
}

impl HeadVisitor for News {
    fn wants(&mut self, _: RecordRow, _: Seq, op: Op, _: Digest) -> bool {
        !(self.is_new && op == Op::Delete)
    }

    fn visit(&mut self, _: HeadRow) -> Result<bool, StoreError> {
        self.found = true;
        Ok(false)
    }
}

/// Collects the heads of one page.
struct Collector<'a> {
    request: &'a Exchange,
    presented: &'a Presented,
    sent: &'a Sent,
    heads: Vec<HeadRow>,
    bytes: usize,
    /// Whether the next one did not fit.
    is_full: bool,
    /// The last head that was dealt with.
    end: Seq,
}

impl HeadVisitor for Collector<'_> {
    fn wants(&mut self, record: RecordRow, seq: Seq, op: Op, digest: Digest) -> bool {
        let has_it = !self.presented.full && self.sent.get(&record) == Some(&Some((op, digest)));
        if has_it {
            self.end = seq;
        }
        !has_it
    }

    fn visit(&mut self, head: HeadRow) -> Result<bool, StoreError> {
        let size = head.payload.len() + head.key.name.as_str().len() + self.request.delivery_overhead_bytes;
        self.is_full = self.bytes + size > self.request.page_bytes_max;
        if !self.is_full {
            self.bytes += size;
            self.end = head.seq;
            self.heads.push(head);
        }
        Ok(!self.is_full)
    }
}

/// Reads the page that follows what was presented, in one snapshot: the writer's transaction, or a later one.
pub(crate) fn read(ledger: &mut dyn Ledger, request: &Exchange, judged: &Judged) -> Result<Page, StoreError> {
    let Judged { replica, is_new, presented, sent, .. } = judged;
    let snapshot = ledger.end()?.seq;
    let starts = presented.starts();
    let mut ends = starts;
    let mut page = Collector { request, presented, sent, heads: Vec::new(), bytes: 0, is_full: false, end: Seq::ZERO };
    let ranks = if is_all_its_own(judged, starts, snapshot) {
        ends = [snapshot; RANKS];
        0..0
    } else {
        0..RANKS
    };
    for rank in ranks {
        page.end = starts[rank];
        ledger.heads_after(rank, starts[rank], &mut page)?;
        ends[rank] = if page.is_full { page.end } else { snapshot };
        if page.is_full {
            break;
        }
    }
    let heads = page.heads;
    // Also when it is sent everything anew, what it was given before is in its hands until then.
    let before = presented.coverage().cloned().unwrap_or_else(|| Coverage::complete(Seq::ZERO));
    let coverage = before.after(starts, snapshot, ends);
    let has_traffic = ledger.has_traffic(replica.row)?;
    let has_nothing = presented.full && presented.cursor.is_none() && request.presented.is_none();
    let mut page = Page { deliveries: Vec::with_capacity(heads.len()), traffic: Vec::new(), coverage };
    for head in heads {
        // With a new replica nothing was exchanged but what it sent now.
        let may_know = has_traffic && (!is_new || sent.contains_key(&head.record));
        let before = if may_know { ledger.traffic(replica.row, head.record)? } else { None };
        // A device that never had a record need not hear that it is gone.
        if head.op == Op::Delete && has_nothing && before.is_none() {
            continue;
        }
        deliver(&mut page, request, judged, head, before);
    }
    Ok(page)
}

/// Whether all that came since is what the replica brought in this request, as it brought it: then there is nothing to
/// look for. So it is with most pushes.
fn is_all_its_own(judged: &Judged, starts: [Seq; RANKS], snapshot: Seq) -> bool {
    let Judged { presented, answers, sent, .. } = judged;
    let applied = answers.iter().filter(|answer| **answer == Answer::Judged(Verdict::Applied)).count() as u64;
    // Whatever else is written, an outcome or a cascade, makes the log longer than by what was applied.
    let only_applied = starts.iter().all(|start| snapshot.get() == start.get() + applied);
    !presented.full && only_applied && sent.values().all(Option::is_some)
}

/// Whether the replica is in the midst of its first download: it holds nothing but the pages that it was given.
fn is_first_download(presented: &Presented) -> bool {
    presented.coverage().is_some_and(|held| held.complete_to() == Seq::ZERO && !held.pages().is_empty())
        && !presented.full
}

/// Clients that apply only what is newer than their own take a record when its instant is above the greatest ever
/// exchanged with them for it; and no more than that, or their own next edit would look older. It is also above the
/// time that the client presented, below which it would never upload its own edit of the record.
fn deliver(page: &mut Page, request: &Exchange, judged: &Judged, head: HeadRow, before: Option<Traffic>) {
    let Judged { replica, presented, .. } = judged;
    let presented_time = request.presented.filter(|time| *time <= request.now.to_instant());
    // What went out under the floor is not remembered: whatever follows it is above the floor.
    let (least, usual) = match replica.floor {
        // The first reply was lost: it goes out again as it was.
        _ if head.is_first && presented.cursor.is_none() && presented_time.is_none() => (None, head.public_at),
        Some(floor)
            if head.is_first && is_first_download(presented) && presented_time.is_none_or(|time| time < floor) =>
        {
            (None, head.public_at.max(floor))
        }
        floor => (presented_time.max(floor), head.public_at),
    };
    let instant = match &before {
        Some(traffic) => traffic.greatest.max(presented_time.unwrap_or(traffic.greatest)).millisecond_later(),
        None => usual.max(least.map_or(usual, Instant::millisecond_later)),
    };
    // A put that goes out under its usual instant, to a replica that never exchanged the record, need not be
    // remembered: the log says it.
    if before.is_some() || instant != usual || head.op == Op::Delete {
        let held_under = presented.under();
        let held = before.as_ref().map(|traffic| {
            let is_again = traffic.held_under == held_under;
            traffic.held.filter(|_| is_again).unwrap_or(traffic.last)
        });
        let (tombstone, upload) = before.map_or((None, None), |traffic| (traffic.tombstone, traffic.upload));
        let tombstone = if head.op == Op::Delete { Some(instant) } else { tombstone };
        let traffic = Traffic { greatest: instant, last: instant, held, held_under, tombstone, upload };
        page.traffic.push((head.record, traffic));
    }
    let HeadRow { key, op, payload, .. } = head;
    let payload = if op == Op::Delete { Vec::new() } else { payload };
    page.deliveries.push(Delivery { key, op, payload, instant });
}
