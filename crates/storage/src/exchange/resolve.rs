//! From the time that a client presents to the cursor that it stands for.

use tombolo_core::{Coverage, Instant, RANKS, Seq, limits};

use crate::ledger::{IssuedCursor, Ledger, Replica};
use crate::{Exchange, StoreError};

/// What a request's presented time stands for.
#[derive(Clone, Debug)]
pub(crate) struct Presented {
    /// The cursor whose coverage says what the replica holds; its writes are judged against it.
    pub(crate) cursor: Option<IssuedCursor>,
    /// What it holds if the reply after `cursor` arrived, where the request does not say whether it did.
    pub(crate) unconfirmed: Option<Coverage>,
    /// Whether it is sent everything, from the beginning.
    pub(crate) full: bool,
    /// Other replies that may have been the last to arrive: the replica is sent what is new since any of them.
    resume: Option<[Seq; RANKS]>,
    /// Whether the cursor was presented now, not only assumed.
    acknowledges: bool,
}

impl Presented {
    /// What the replica holds.
    pub(crate) fn coverage(&self) -> Option<&Coverage> {
        self.cursor.as_ref().map(|cursor| &cursor.coverage)
    }

    /// The time of the cursor that writes are made under.
    pub(crate) fn under(&self) -> Option<Instant> {
        self.cursor.as_ref().map(|cursor| cursor.token)
    }

    /// For each rank, the place after which the replica is sent what is there.
    pub(crate) fn starts(&self) -> [Seq; RANKS] {
        match (&self.cursor, self.full) {
            (Some(cursor), false) => self.resume.unwrap_or_else(|| cursor.coverage.resume()),
            _ => [Seq::ZERO; RANKS],
        }
    }

    /// The cursor as it is once this request is known to have presented it as `time`.
    pub(crate) fn acknowledged(&self, time: Option<Instant>) -> Option<IssuedCursor> {
        let cursor = self.cursor.clone().filter(|_| self.acknowledges)?;
        let alias = time.filter(|time| *time != cursor.token).or(cursor.alias);
        Some(IssuedCursor { alias, polled: true, ..cursor })
    }
}

/// Finds the cursor that `time` stands for.
///
/// - One that was given out, or that the client's clock made of one: that one.
/// - None, or one later than any that was given out: everything is sent. What the replica holds is at least what the
///   last cursor that it acknowledged says; at most, what the newest says.
/// - A time that was never given out, below one that was: some clients store the earlier of the server's time and their
///   own clock's. When it is later than the last such time, it answers a reply that was not acknowledged yet. Of several
///   the newest says what the replica holds, since a client sends again until a reply arrives; but it is sent what is
///   new since any of them, since to send again costs nothing, and to leave out would.
/// - When it is earlier, the device's clock was set back: the same, but everything is sent, once. Only where cursors were
///   forgotten, and it may be one of them, nothing is known of what the replica holds.
pub(crate) fn resolve(
    ledger: &mut dyn Ledger,
    replica: Option<&Replica>,
    request: &Exchange,
) -> Result<Presented, StoreError> {
    let mut presented = find(ledger, replica, request.presented)?;
    // A time of which nothing is known stands for nothing from now on: when the reply is lost and it comes again, it is
    // not one that the client's clock made of that reply.
    let unknown = request.presented.filter(|time| presented.cursor.is_none() && *time <= request.now.to_instant());
    if let Some(time) = unknown {
        let (token, coverage) = (time.ceil_to_millis(), Coverage::complete(Seq::ZERO));
        presented.cursor = Some(IssuedCursor { token, parent: None, alias: None, polled: false, coverage });
        presented.acknowledges = true;
    }
    Ok(presented)
}

fn find(ledger: &mut dyn Ledger, replica: Option<&Replica>, time: Option<Instant>) -> Result<Presented, StoreError> {
    let everything = |cursor| Presented { cursor, unconfirmed: None, full: true, resume: None, acknowledges: false };
    let Some(replica) = replica else { return Ok(everything(None)) };
    if let Some(time) = time
        && let Some(cursor) = ledger.cursor(replica.row, time)?
    {
        return Ok(Presented {
            cursor: Some(cursor),
            unconfirmed: None,
            full: false,
            resume: None,
            acknowledges: true,
        });
    }
    let newest = ledger.newest_cursor(replica.row)?;
    let acknowledged = last_acknowledged(ledger, replica, newest.as_ref())?;
    let Some(time) = time.filter(|time| newest.as_ref().is_some_and(|newest| *time < newest.token)) else {
        let unconfirmed = newest.map(|newest| newest.coverage);
        return Ok(Presented { unconfirmed, ..everything(acknowledged) });
    };
    let all = ledger.cursors(replica.row)?;
    let after_last = acknowledged.as_ref().is_none_or(|last| time > last.alias.unwrap_or(last.token));
    let parent = acknowledged.as_ref().map(|last| last.token);
    let is_open = |cursor: &IssuedCursor| {
        let goes_on = !cursor.polled && all.iter().all(|other| other.parent != Some(cursor.token));
        goes_on && cursor.parent == parent && cursor.token > time
    };
    let resume = all.iter().filter(|cursor| is_open(cursor)).map(|cursor| cursor.coverage.resume()).reduce(earlier);
    let open = all.iter().rfind(|cursor| is_open(cursor)).cloned();
    let may_be_forgotten = all.len() >= limits::CURSORS_MAX && all.first().is_some_and(|oldest| time < oldest.token);
    match open {
        Some(cursor) if after_last => {
            Ok(Presented { cursor: Some(cursor), unconfirmed: None, full: false, resume, acknowledges: true })
        }
        _ if !after_last && may_be_forgotten => Ok(everything(None)),
        open => {
            let cursor = open.or(acknowledged);
            Ok(Presented { acknowledges: !after_last && cursor.is_some(), ..everything(cursor) })
        }
    }
}

fn earlier(left: [Seq; RANKS], right: [Seq; RANKS]) -> [Seq; RANKS] {
    std::array::from_fn(|rank| left[rank].min(right[rank]))
}

/// The cursor that the replica's newest request presented, or the newest itself when a poll presented it.
fn last_acknowledged(
    ledger: &mut dyn Ledger,
    replica: &Replica,
    newest: Option<&IssuedCursor>,
) -> Result<Option<IssuedCursor>, StoreError> {
    match newest {
        Some(newest) if newest.polled => Ok(Some(newest.clone())),
        Some(IssuedCursor { parent: Some(parent), .. }) => ledger.cursor(replica.row, *parent),
        _ => Ok(None),
    }
}
