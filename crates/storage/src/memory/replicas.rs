//! Replicas that bring and take in two requests.

use std::sync::PoisonError;

use tombolo_core::{ReplicaName, Seq, SpaceCursor, SpaceId};

use super::ledger::{Space, Visit};
use super::{Memory, space_key};
use crate::erasure::ERASED_KEPT;
use crate::exchange::{self, Here, Progress, Taken};
use crate::ledger::Ledger as _;
use crate::{Download, Downloaded, Message, Replicas, Reply, SpaceAddress, StoreError, Upload, Uploaded};

impl Memory {
    /// Runs a request of `replica` that presents `cursor`, in a transaction that is kept if `is_kept` says so of its
    /// answer. Returns the log's end before and after it as well.
    fn visited<T>(
        &self,
        (address, replica, cursor): (SpaceAddress, &ReplicaName, Option<SpaceCursor>),
        run: impl FnOnce(&mut Space, Here) -> Result<T, StoreError>,
        is_kept: impl FnOnce(&T) -> bool,
    ) -> Result<(T, Seq, Seq), StoreError> {
        self.refuse_deleted(address)?;
        let (key, owner, purpose) = (space_key(address), address.owner.get(), address.purpose.as_str());
        let erased = self.erased.lock().unwrap_or_else(PoisonError::into_inner).clone();
        let mut spaces = self.spaces.lock().unwrap_or_else(PoisonError::into_inner);
        let is_others =
            |(key, space): (&super::SpaceKey, &Space)| key.1 == purpose && key.0 != owner && space.knows(replica);
        let visit = Visit {
            generation: self.generation,
            is_others: spaces.iter().any(is_others),
            was_erased_long_ago: cursor.is_some_and(|cursor| {
                let of_owner = || erased.iter().filter(|(_, one)| *one == address.owner).map(|(space, _)| *space);
                let is_older = of_owner().count() >= ERASED_KEPT && of_owner().all(|space| space > cursor.space);
                is_older && !spaces.values().any(|space| space.id == Some(cursor.space))
            }),
            was_erased: cursor.is_some_and(|cursor| erased.contains(&(cursor.space, address.owner))),
        };
        let given = spaces.values().filter_map(|space| space.id).chain(erased.iter().map(|(space, _)| *space));
        let next = SpaceId::new(given.map(SpaceId::get).max().unwrap_or(0) + 1);
        let mut copy = spaces.get(&key).cloned().unwrap_or_default();
        let before = copy.head();
        copy.visit = Some(visit);
        // Until its first request is kept, the log has the number that no cursor can be of.
        let here = Here { space: copy.id.unwrap_or(next), generation: self.generation };
        let done = run(&mut copy, here)?;
        copy.id = Some(here.space);
        let after = copy.head();
        if is_kept(&done) {
            spaces.insert(key, copy);
        }
        Ok((done, before, after))
    }
}

/// A page, and what is remembered of it.
fn take(space: &mut Space, here: Here, request: &Download) -> Result<Downloaded, StoreError> {
    if let Some(refusal) = exchange::register(space, request)? {
        return Ok(refusal);
    }
    match exchange::download(space, here, request)? {
        Taken::Page(page, progress) => {
            if let Some(Progress { replica, acknowledged, given }) = progress {
                space.set_progress(replica.row, acknowledged, given)?;
            }
            Ok(page)
        }
        Taken::Unknown => Err(StoreError::Internal("a replica vanished".to_owned())),
    }
}

impl Replicas for Memory {
    fn upload(&self, request: Upload) -> Reply<'_, Uploaded> {
        Box::pin(async move {
            let visitor = (request.space, &request.replica, request.presented);
            let run = |space: &mut Space, here| exchange::upload(space, here, &request);
            let (uploaded, before, head) = self.visited(visitor, run, |it| matches!(it, Uploaded::Done { .. }))?;
            if head > before {
                self.bus.tell(Message::Grew(request.space, head));
            }
            Ok(uploaded)
        })
    }

    fn download(&self, request: Download) -> Reply<'_, Downloaded> {
        Box::pin(async move {
            let visitor = (request.space, &request.replica, request.since);
            let run = |space: &mut Space, here| take(space, here, &request);
            Ok(self.visited(visitor, run, |it| matches!(it, Downloaded::Page { .. }))?.0)
        })
    }
}
