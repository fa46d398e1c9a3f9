//! What goes out: the next changes to send, and what becomes of them.

use std::collections::{HashMap, HashSet};

use tombolo_wellbeing::{Base, SyncChange, SyncUploadResponse, Timestamp};
use uuid::Uuid;

use super::outbox::{Held, Key, Pending};
use super::record::compose;
use super::row::Row;
use super::shape::{Shape, quoted};
use super::{BatchBounds, LocalError, Work, foreign, raw, read_change, step, times, write_change};

/// A refusal is kept up to this many characters, and none that steers a terminal: it is a sentence.
const REASON_CHARS_MAX: usize = 500;

/// What a record's edit comes to.
enum Draft {
    Send(SyncChange),
    /// It cannot be sent as it is.
    Refuse(String),
    /// There is nothing to send: nobody else ever heard of the record, and it is gone.
    Drop,
}

/// The changes on their way or, when there are none, the next ones, which are from now on.
pub(super) fn next(work: &Work<'_>, bounds: BatchBounds) -> Result<Vec<SyncChange>, LocalError> {
    let again = on_their_way(work, bounds)?;
    if !again.is_empty() {
        return Ok(again);
    }
    let mut has_swept = false;
    // Each round sends, refuses or drops what it finds, so the rounds end with the outbox.
    loop {
        let keys = candidates(work, bounds)?;
        if keys.is_empty() && (has_swept || sweep(work)? == 0) {
            return Ok(Vec::new());
        }
        has_swept |= keys.is_empty();
        let batch = draft_all(work, keys, bounds)?;
        if !batch.is_empty() {
            return Ok(batch);
        }
    }
}

fn on_their_way(work: &Work<'_>, bounds: BatchBounds) -> Result<Vec<SyncChange>, LocalError> {
    let mut sent = work.db.prepare_cached("SELECT change FROM tombolo_sent ORDER BY entity_type, id LIMIT ?1")?;
    let mut rows = sent.query([bounds.rows_max()])?;
    let mut fill = Fill::new(bounds);
    while let Some(row) = rows.next()? {
        let change = read_change("tombolo_sent", row.get_ref(0)?.as_str().map_err(rusqlite::Error::from)?)?;
        if !fill.has_room(&change) {
            break;
        }
        fill.add(change);
    }
    Ok(fill.batch)
}

fn candidates(work: &Work<'_>, bounds: BatchBounds) -> Result<Vec<Key>, LocalError> {
    let mut statement =
        work.db.prepare_cached("SELECT entity_type, id FROM tombolo_outbox WHERE refused IS NULL LIMIT ?1")?;
    let keys = statement.query_map([bounds.rows_max()], |row| Ok(Key { entity_type: row.get(0)?, id: row.get(1)? }))?;
    Ok(keys.collect::<Result<_, _>>()?)
}

fn draft_all(work: &Work<'_>, keys: Vec<Key>, bounds: BatchBounds) -> Result<Vec<SyncChange>, LocalError> {
    let mut fill = Fill::new(bounds);
    for key in keys {
        let Some(pending) = Pending::load(work.db, &key)? else { continue };
        match draft(work, &key, &pending)? {
            Draft::Send(change) => {
                if !fill.has_room(&change) {
                    break;
                }
                // The answer names records by their ids alone, so those of one batch differ.
                if fill.ids.contains(&change.id) {
                    continue;
                }
                step("a change is about to be on its way");
                let mut sent = work.db.prepare_cached("INSERT INTO tombolo_sent VALUES (?1, ?2, ?3, ?4)")?;
                sent.execute((&key.entity_type, &key.id, pending.revision, write_change(&change)?))?;
                fill.add(change);
            }
            Draft::Refuse(reason) => refuse(work, &key, pending.revision, &reason)?,
            Draft::Drop => Pending::remove(work.db, &key)?,
        }
    }
    Ok(fill.batch)
}

/// A batch as it grows.
struct Fill {
    batch: Vec<SyncChange>,
    ids: HashSet<Uuid>,
    bytes: usize,
    bounds: BatchBounds,
}

impl Fill {
    fn new(bounds: BatchBounds) -> Self {
        Self { batch: Vec::new(), ids: HashSet::new(), bytes: 0, bounds }
    }

    /// A change that is larger than a whole batch goes alone.
    fn has_room(&self, change: &SyncChange) -> bool {
        let is_within = self.batch.len() < self.bounds.changes_max
            && self.bytes.saturating_add(bytes(change)) <= self.bounds.bytes_max;
        self.batch.is_empty() || is_within
    }

    fn add(&mut self, change: SyncChange) {
        self.bytes = self.bytes.saturating_add(bytes(&change));
        self.ids.insert(change.id);
        self.batch.push(change);
    }
}

fn bytes(change: &SyncChange) -> usize {
    change.data.as_ref().map_or(0, |data| data.get().len())
}

fn draft(work: &Work<'_>, key: &Key, pending: &Pending) -> Result<Draft, LocalError> {
    let base = pending.base.clone().map_or(Base::Nothing, Base::Version);
    let Some(shape) = work.shape(&key.entity_type) else {
        let kept = foreign::load(work.db, key)?;
        let refused = || Draft::Refuse("its table is no longer declared".to_owned());
        return Ok(kept.map_or_else(refused, |kept| Draft::Send(SyncChange { base, version: None, ..kept })));
    };
    let held = Held::load(work.db, key)?;
    let row = Row::load(work.db, shape, &key.id)?;
    if row.is_none() && held.is_none() {
        return Ok(Draft::Drop);
    }
    let id = Uuid::parse_str(&key.id).ok().filter(|id| id.as_hyphenated().to_string() == key.id);
    let Some(id) = id else { return Ok(Draft::Refuse("its id is no UUID in lower case with hyphens".to_owned())) };
    let own_time = row.as_ref().filter(|_| pending.own_time).and_then(Row::written_at);
    let Some(updated_at) = own_time.or_else(|| times::read(&pending.changed_at)) else {
        return Ok(Draft::Refuse("it does not say when it was edited".to_owned()));
    };
    if row.is_none() {
        Held::blank(work.db, key)?;
    }
    let held = held.and_then(|held| held.data);
    Ok(say(shape, row.as_ref(), held.as_deref(), id, updated_at, base))
}

fn say(shape: &Shape, row: Option<&Row>, held: Option<&str>, id: Uuid, updated_at: Timestamp, base: Base) -> Draft {
    let live = row.filter(|row| !row.is_deleted);
    let data = match live.map(|row| compose(shape, &row.cells, held).and_then(raw)).transpose() {
        Ok(data) => data,
        Err(reason) => return Draft::Refuse(reason),
    };
    let (entity_type, deleted) = (shape.entity_type.clone(), data.is_none());
    Draft::Send(SyncChange { entity_type, id, updated_at, deleted, data, base, version: None })
}

/// Looks for rows that went without a trigger, as one does that makes way for another by `OR REPLACE`. How many.
fn sweep(work: &Work<'_>) -> Result<usize, LocalError> {
    let mut found = 0;
    for shape in work.shapes {
        let (table, id) = (quoted(&shape.table), quoted(&shape.id));
        let sql = format!(
            "INSERT INTO tombolo_outbox (entity_type, id, revision, base, changed_at, own_time, removed)
             SELECT r.entity_type, r.id, 1, r.version, {now}, 0, 1 FROM tombolo_rows r
             WHERE r.entity_type = ?1 AND NOT r.gone AND NOT EXISTS (SELECT 1 FROM main.{table} t WHERE t.{id} = r.id)
             ON CONFLICT DO NOTHING",
            now = super::outbox::NOW,
        );
        found += work.db.prepare_cached(&sql)?.execute([shape.entity_type.as_str()])?;
    }
    Ok(found)
}

/// Takes the answer to what is on its way.
pub(super) fn settle(work: &Work<'_>, answer: &SyncUploadResponse) -> Result<(), LocalError> {
    let applied: HashSet<Uuid> = answer.applied_ids.iter().chain(&answer.applied).copied().collect();
    let conflicts: HashMap<(&str, Uuid), &str> = answer
        .conflicts
        .iter()
        .filter_map(|conflict| {
            let id = Uuid::parse_str(&conflict.id).ok()?;
            Some(((conflict.entity_type.as_str(), id), conflict.reason.as_str()))
        })
        .collect();
    let mut sent = work.db.prepare_cached("SELECT entity_type, id, revision, change FROM tombolo_sent")?;
    let sent = sent.query_map([], |row| {
        Ok((Key { entity_type: row.get(0)?, id: row.get(1)? }, row.get::<_, i64>(2)?, row.get::<_, String>(3)?))
    })?;
    for (key, revision, change) in sent.collect::<Result<Vec<_>, _>>()? {
        let change = read_change("tombolo_sent", &change)?;
        let version = answer.versions.get(&change.id);
        match conflicts.get(&(key.entity_type.as_str(), change.id)) {
            // It lost against another's change, but it is stored, and what won comes with the next download.
            Some(&reason) if reason == "server_newer" || version.is_some() => {}
            Some(reason) => {
                refuse(work, &key, revision, reason)?;
                forget_sent(work, &key)?;
                continue;
            }
            None if applied.contains(&change.id) => {}
            // It was not in this request, which was smaller than the one before.
            None => continue,
        }
        step("an answer is about to be noted");
        acknowledge(work, &key, revision, change, version)?;
    }
    Ok(())
}

fn acknowledge(
    work: &Work<'_>,
    key: &Key,
    revision: i64,
    change: SyncChange,
    version: Option<&String>,
) -> Result<(), LocalError> {
    forget_sent(work, key)?;
    let mut cleared =
        work.db.prepare_cached("DELETE FROM tombolo_outbox WHERE entity_type = ?1 AND id = ?2 AND revision = ?3")?;
    if cleared.execute((&key.entity_type, &key.id, revision))? == 0 {
        // It was edited while this was on its way: what was stored is what that edit was made on.
        let sql = "UPDATE tombolo_outbox SET base = ?3 WHERE entity_type = ?1 AND id = ?2";
        work.db.prepare_cached(sql)?.execute((&key.entity_type, &key.id, version))?;
    }
    // Whatever was refused here before, the server tells of it again, if it is not what was sent.
    let sql = "DELETE FROM tombolo_set_aside WHERE entity_type = ?1 AND id = ?2";
    work.db.prepare_cached(sql)?.execute((&key.entity_type, &key.id))?;
    if work.shape(&key.entity_type).is_none() && foreign::load(work.db, key)?.is_some() {
        return foreign::store(work.db, key, &SyncChange { base: Base::Unsaid, version: version.cloned(), ..change });
    }
    let held = Held {
        version: version.cloned(),
        written_at: times::write(change.updated_at),
        data: change.data.map(|data| data.get().to_owned()),
        gone: change.deleted,
    };
    Ok(held.store(work.db, key)?)
}

fn forget_sent(work: &Work<'_>, key: &Key) -> rusqlite::Result<()> {
    let mut statement = work.db.prepare_cached("DELETE FROM tombolo_sent WHERE entity_type = ?1 AND id = ?2")?;
    statement.execute((&key.entity_type, &key.id))?;
    Ok(())
}

/// Sets the record aside until it is edited again.
fn refuse(work: &Work<'_>, key: &Key, revision: i64, reason: &str) -> Result<(), LocalError> {
    let reason: String = reason.chars().filter(|char| !char.is_control()).take(REASON_CHARS_MAX).collect();
    let sql = "UPDATE tombolo_outbox SET refused = ?4 WHERE entity_type = ?1 AND id = ?2 AND revision = ?3";
    work.db.prepare_cached(sql)?.execute((&key.entity_type, &key.id, revision, reason))?;
    Ok(())
}
