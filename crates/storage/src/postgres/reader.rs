//! Reading a space in as many steps as its decisions turn out to need.

use std::ops::ControlFlow;

use sqlx::postgres::PgConnection;
use tombolo_core::{Policy, SpaceId};

use super::Postgres;
use super::found::Found;
use super::generation::Present;
use super::load::{Bounds, load};
use super::loaded::{Loaded, SpaceRow};
use super::wants::Wants;
use crate::{Exchange, StoreError};

/// Changes that a page may have to look at and still be read with the push that it answers. A larger one is read after
/// it, from a snapshot of its own, so that nobody has to decide anew because it took long.
pub(super) const INLINE_SPAN: u64 = 2_000;
/// How often a decision may show that something more has to be read. What it asks for grows with each time.
const ROUNDS_MAX: u32 = 64;

/// What records need that may be found missing in the first round before it is read.
const SCOUTED_MAX: usize = 10_000;

/// Reads a space in as many steps as its decisions turn out to need.
pub(super) struct Reader<'a> {
    store: &'a Postgres,
    pub(super) connection: &'a mut PgConnection,
    space: SpaceId,
    policy: &'a dyn Policy,
    present: Present,
    pub(super) bounds: Bounds,
    /// Whether what this node kept of the space may stand for what is read of it.
    pub(super) is_kept_used: bool,
    rounds: u32,
}

/// What a space was met as.
pub(super) enum Met<T> {
    /// It is there.
    There(T),
    /// It is not: it was erased, or never was.
    Gone,
    /// The database is not what it was taken for.
    Elsewhere,
}

impl<'a> Reader<'a> {
    pub(super) fn new(
        store: &'a Postgres,
        connection: &'a mut PgConnection,
        space: SpaceId,
        policy: &'a dyn Policy,
        present: Present,
    ) -> Self {
        let bounds = Bounds { chain: 16, contents: 1, head_rows: 10_000, head_bytes: 1 << 20 };
        Self { store, connection, space, policy, present, bounds, is_kept_used: true, rounds: 0 }
    }

    /// How much a decision may show to be missing before it is read: more each time, so that the largest request is
    /// decided in some rounds.
    pub(super) fn scouted_max(&self) -> usize {
        SCOUTED_MAX * usize::try_from(self.rounds + 1).unwrap_or(1)
    }

    /// Reads what is wanted first, but for what this node kept of the space, if that still holds.
    pub(super) async fn begin(&mut self, wants: &Wants) -> Result<Met<Loaded>, StoreError> {
        if let Some(kept) = self.store.kept.trusted(self.space).filter(|_| self.is_kept_used) {
            let rest = kept.without(wants);
            let (space, rows) = match self.read(&rest).await? {
                Met::There(read) => read,
                Met::Gone => return Ok(Met::Gone),
                Met::Elsewhere => return Ok(Met::Elsewhere),
            };
            if space == kept.space {
                let mut loaded = Loaded::new(space);
                kept.seed(&mut loaded);
                loaded.absorb(&rest, self.bounds, rows);
                return Ok(Met::There(loaded));
            }
            self.store.kept.forget(self.space);
        }
        Ok(match self.read(wants).await? {
            Met::There((space, rows)) => {
                let mut loaded = Loaded::new(space);
                loaded.absorb(wants, self.bounds, rows);
                Met::There(loaded)
            }
            Met::Gone => Met::Gone,
            Met::Elsewhere => Met::Elsewhere,
        })
    }

    async fn read(&mut self, wants: &Wants) -> Result<Met<(SpaceRow, Vec<Found>)>, StoreError> {
        let (space, run, rows) = load(self.connection, self.space, self.policy, wants, self.bounds).await?;
        if run != self.present.run {
            self.store.forget();
            return Ok(Met::Elsewhere);
        }
        let Some(space) = space else {
            self.store.forget_space(self.space);
            return Ok(Met::Gone);
        };
        Ok(Met::There((space, rows)))
    }

    /// Reads what else is wanted. It breaks when the space has changed since the beginning.
    pub(super) async fn go_on(
        &mut self,
        loaded: &mut Loaded,
        mut wants: Wants,
        exchanges: &[&Exchange],
    ) -> Result<ControlFlow<()>, StoreError> {
        self.rounds += 1;
        if self.rounds > ROUNDS_MAX {
            return Err(StoreError::Internal("a decision asks for ever more".to_owned()));
        }
        if !wants.chains.is_empty() {
            self.bounds.chain = (self.bounds.chain * 4).min(10_000);
        }
        if !wants.payloads.is_empty() {
            self.bounds.contents = (self.bounds.contents * 2).min(512);
        }
        widen(&mut wants, loaded, exchanges);
        let is_cascade = !wants.referrers.is_empty();
        loop {
            let (space, run, rows) = load(self.connection, self.space, self.policy, &wants, self.bounds).await?;
            if space != Some(loaded.space) || run != self.present.run {
                return Ok(ControlFlow::Break(()));
            }
            loaded.absorb(&wants, self.bounds, rows);
            // What refers to a record that goes is written anew: what it leads to is going to be asked for.
            let mut next = Wants::default();
            if is_cascade {
                let contents = loaded.live_contents();
                contents.for_each(|(collection, payload)| next.foresee_content(self.policy, collection, payload));
                next.uniques.clear();
                next.keys.retain(|key| !loaded.records.contains_key(key));
            }
            if next.is_empty() {
                return Ok(ControlFlow::Continue(()));
            }
            wants = next;
        }
    }
}

/// What one request of a group is going to be told, the others are too: it is read for all of them at once.
fn widen(wants: &mut Wants, loaded: &Loaded, requests: &[&Exchange]) {
    if wants.heads.is_empty() && wants.traffic.is_empty() {
        return;
    }
    for request in requests {
        let Some(Some(replica)) = loaded.replicas.get(&request.replica) else { continue };
        wants.readers.insert(replica.row);
        let cursors = loaded.cursors.get(&replica.row);
        let presented = request.presented.and_then(|time| cursors?.known.get(&time));
        let Some(resume) = presented.map(|cursor| cursor.coverage.resume()) else { continue };
        for (rank, after) in resume.into_iter().enumerate() {
            let is_near = loaded.space.end.seq.get().saturating_sub(after.get()) <= INLINE_SPAN;
            // Where nothing was read yet: what is known already is only gone on with.
            let is_first = !loaded.heads.contains_key(&rank);
            if is_near && is_first && after < loaded.space.end.seq {
                let from = wants.heads.entry(rank).or_insert(after);
                *from = after.min(*from);
            }
        }
    }
    let records: Vec<_> = wants.traffic.iter().map(|(_, record)| *record).collect();
    wants.traffic.extend(wants.readers.iter().flat_map(|reader| records.iter().map(|record| (*reader, *record))));
}
