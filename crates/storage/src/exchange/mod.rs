//! One request of a replica, written once for all stores: find its cursor, judge its writes, read what is new to it,
//! give out the next cursor.

mod download;
mod judge;
mod land;
mod page;
mod past;
mod resolve;
mod upload;

use std::collections::HashMap;
use std::time::Duration;

use tombolo_core::{Digest, Instant, Op, RecordKey, RecordName, Seq, limits};

use crate::ledger::{IssuedCursor, Ledger, RecordRow, Replica};
use crate::{Answer, Exchange, Exchanged, Refused, StoreError};

pub(crate) use download::{Progress, Taken, download, register};
pub(crate) use page::{Page, read as read_page};
pub(crate) use resolve::{Presented, resolve};
pub(crate) use upload::{Here, upload};

/// What the replica has in hand of the records that it sent in this request; none where that cannot be told.
pub(crate) type Sent = HashMap<RecordRow, Option<(Op, Digest)>>;

/// How long a first download that takes several replies is expected to take: its floor lies this far above its first
/// cursor. What takes longer is remembered record by record. Less than the margin, so that the floor has passed by then.
const FIRST_DOWNLOAD: Duration = Duration::from_secs(60);

/// What the writes of a request came to, before its page is read.
#[derive(Clone)]
pub(crate) struct Judged {
    pub(crate) replica: Replica,
    /// Whether it was never heard of before this request.
    pub(crate) is_new: bool,
    pub(crate) presented: Presented,
    pub(crate) answers: Vec<Answer>,
    pub(crate) sent: Sent,
}

impl Judged {
    /// The place after which its page begins.
    pub(crate) fn oldest_start(&self) -> Seq {
        self.presented.starts().into_iter().min().unwrap_or_default()
    }
}

/// The answer to a request that brings nothing, when there is nothing for it either; otherwise `None`, and nothing is
/// lost by running the request in full.
pub(crate) struct NothingNew {
    pub(crate) exchanged: Exchanged,
    /// The cursor that the request acknowledged, with what the client's clock made of it.
    pub(crate) acknowledged: Option<(Replica, IssuedCursor)>,
}

/// Reads, without writing, whether there is anything for a request that brings nothing.
pub(crate) fn poll(ledger: &mut dyn Ledger, request: &Exchange) -> Result<Option<NothingNew>, StoreError> {
    debug_assert!(request.writes.is_empty() && request.refused.is_empty());
    let replica = ledger.replica(&request.replica)?;
    let presented = resolve(ledger, replica.as_ref(), request)?;
    if page::has_news(ledger, request, replica.as_ref(), &presented)? {
        return Ok(None);
    }
    let acknowledged = replica.zip(presented.acknowledged(request.presented));
    // What was noted already need not be noted again.
    let acknowledged = acknowledged.filter(|(_, cursor)| presented.cursor.as_ref() != Some(cursor));
    Ok(Some(NothingNew { exchanged: nothing_exchanged(request), acknowledged }))
}

/// The answer to a request that brings nothing to a space that nothing was ever written to.
pub(crate) fn nothing(request: &Exchange) -> NothingNew {
    NothingNew { exchanged: nothing_exchanged(request), acknowledged: None }
}

fn nothing_exchanged(request: &Exchange) -> Exchanged {
    Exchanged {
        answers: Vec::new(),
        deliveries: Vec::new(),
        home: None,
        home_is_own: false,
        cursor: request.presented.unwrap_or_else(|| margin_before(request)),
        more: false,
    }
}

/// Judges the writes of a request and stores them.
pub(crate) fn push(ledger: &mut dyn Ledger, request: &Exchange) -> Result<Judged, StoreError> {
    let known = ledger.replica(&request.replica)?;
    let presented = resolve(ledger, known.as_ref(), request)?;
    let is_new = known.is_none();
    let mut replica = match known {
        Some(replica) => replica,
        None => ledger.add_replica(&request.replica, request.now)?,
    };
    if let Some(acknowledged) = presented.acknowledged(request.presented)
        && presented.cursor.as_ref() != Some(&acknowledged)
    {
        ledger.put_cursor(replica.row, &acknowledged)?;
    }
    let mut sent = HashMap::new();
    let mut answers = Vec::with_capacity(request.writes.len());
    if !request.writes.is_empty() {
        let mut judge = judge::Judge::new(ledger, request, &mut replica, &presented)?;
        let mut missing = Ok(());
        for write in &request.writes {
            match judge.judge(write) {
                Ok(answer) => answers.push(answer),
                Err(error) if judge.is_scouting() => missing = Err(error),
                Err(error) => return Err(error),
            }
        }
        missing?;
        sent = judge.into_sent();
    }
    let mut refused = request.refused.clone();
    for (write, answer) in request.writes.iter().zip(&answers) {
        if let Answer::Refused(reason) = answer {
            let (record, kind) = (write.key.name.to_string(), write.kind().to_owned());
            refused.push(Refused { record, kind, reason: (*reason).to_owned() });
        }
    }
    if !refused.is_empty() {
        ledger.add_refusals(&request.replica, &refused, request.now)?;
    }
    Ok(Judged { replica, is_new, presented, answers, sent })
}

/// Notes what goes out and gives out the next cursor.
pub(crate) fn issue(
    ledger: &mut dyn Ledger,
    request: &Exchange,
    judged: Judged,
    page: Page,
) -> Result<Exchanged, StoreError> {
    let Judged { replica, presented, answers, .. } = judged;
    for (record, traffic) in &page.traffic {
        ledger.put_traffic(replica.row, *record, traffic)?;
    }
    let newest = ledger.newest_cursor(replica.row)?;
    let token = next_token(request, newest.as_ref());
    let parent = presented.under();
    let more = !page.coverage.pages().is_empty();
    if more && replica.floor.is_none() && presented.cursor.is_none() {
        let floor = Instant::from_nanos(token.nanos() + FIRST_DOWNLOAD.as_nanos().cast_signed()).unwrap_or(token);
        ledger.set_floor(replica.row, floor)?;
    }
    let cursor = IssuedCursor { token, parent, alias: None, polled: false, coverage: page.coverage };
    ledger.put_cursor(replica.row, &cursor)?;
    let home_is_own = replica.home.is_some();
    let home = match replica.home {
        Some(home) => Some(home),
        None => first_home(ledger, request.policy.home())?,
    };
    Ok(Exchanged { answers, deliveries: page.deliveries, home, home_is_own, cursor: token, more })
}

fn first_home(ledger: &mut dyn Ledger, home: Option<RecordKey>) -> Result<Option<RecordName>, StoreError> {
    let Some(home) = home else { return Ok(None) };
    let mut aliases = ledger.aliases()?.into_iter();
    Ok(aliases
        .find(|alias| alias.of == home.name && alias.key.collection == home.collection)
        .map(|alias| alias.key.name))
}

/// The next time to give out: behind the clock by the margin, and above all that this replica was given or presents.
fn next_token(request: &Exchange, newest: Option<&IssuedCursor>) -> Instant {
    let now = request.now.to_instant();
    let presented = request.presented.filter(|presented| *presented <= now);
    let above = newest.map(|cursor| cursor.token).max(presented).map(Instant::millisecond_later);
    above.map_or_else(|| margin_before(request), |above| above.max(margin_before(request)))
}

fn margin_before(request: &Exchange) -> Instant {
    request.now.minus(limits::CURSOR_MARGIN).to_instant().ceil_to_millis()
}
