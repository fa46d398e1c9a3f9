//! From the time that a client presents to the cursor that it stands for.

use tombolo_core::{Coverage, Instant, RANKS, Seq};

use crate::StoreError;
use crate::ledger::{IssuedCursor, Ledger, Replica};

/// What a request's presented time stands for.
#[derive(Clone, Debug)]
pub(crate) struct Presented {
    /// The cursor whose coverage says what the replica holds; its writes are judged against it.
    pub(crate) cursor: Option<IssuedCursor>,
    /// Whether it is sent everything, from the beginning.
    pub(crate) full: bool,
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
            (Some(cursor), false) => cursor.coverage.resume(),
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
///   last cursor that it acknowledged says.
/// - A time below one that was given out: some clients store the earlier of the server's time and their own clock's, so
///   with a slow clock they present a time that nobody gave out. It answers the oldest reply that was not acknowledged
///   yet; the oldest, because too little assumed only sends again what is there already.
/// - A time before what was last acknowledged: the device was set back; the newest cursor below it stands for it.
pub(crate) fn resolve(
    ledger: &mut dyn Ledger,
    replica: Option<&Replica>,
    time: Option<Instant>,
) -> Result<Presented, StoreError> {
    let everything = |cursor| Presented { cursor, full: true, acknowledges: false };
    let Some(replica) = replica else { return Ok(everything(None)) };
    if let Some(time) = time
        && let Some(cursor) = ledger.cursor(replica.row, time)?
    {
        return Ok(Presented { cursor: Some(cursor), full: false, acknowledges: true });
    }
    let newest = ledger.newest_cursor(replica.row)?;
    let acknowledged = last_acknowledged(ledger, replica, newest.as_ref())?;
    let Some(time) = time.filter(|time| newest.as_ref().is_some_and(|newest| *time < newest.token)) else {
        return Ok(everything(acknowledged));
    };
    let all = ledger.cursors(replica.row)?;
    let after_last = acknowledged.as_ref().is_none_or(|last| time > last.alias.unwrap_or(last.token));
    let parent = acknowledged.as_ref().map(|last| last.token);
    let answered = all.iter().find(|cursor| cursor.parent == parent && cursor.token > time && !cursor.polled);
    if let Some(cursor) = answered.filter(|_| after_last) {
        return Ok(Presented { cursor: Some(cursor.clone()), full: false, acknowledges: true });
    }
    let below = all.into_iter().rfind(|cursor| cursor.alias.unwrap_or(cursor.token) <= time);
    Ok(below.map_or_else(
        || everything(None),
        |cursor| Presented { cursor: Some(cursor), full: false, acknowledges: false },
    ))
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
