//! Logs that are only appended to, in memory.

use std::sync::PoisonError;

use tombolo_core::{Digest, Seq};

use super::{Memory, space_key};
use crate::{
    Append, Appended, Entries, Entry, EntryPage, Guard, LogEnd, Message, NotAppended, PageBounds, Place, Reply,
    SpaceAddress, StoreError, Totals,
};

impl Entries for Memory {
    fn append(&self, append: Append) -> Reply<'_, Result<Vec<Appended>, NotAppended>> {
        Box::pin(async move {
            append.check()?;
            let Guard::Member { project, user } = append.guard else { return unbuilt() };
            // Held until it is done, so that whoever is removed appends nothing afterwards.
            let mut register = self.register();
            let address = match register.ruled(project, user, Guard::ACT) {
                Ok(project) => project.space(),
                Err(refusal) => return Ok(Err(refusal.into())),
            };
            if append.entries.is_empty() {
                return Ok(Ok(Vec::new()));
            }
            let (answers, before, head) = self.space(address, |space| {
                let before = space.head();
                Ok((space.append_entries(&append.entries, append.now)?, before, space.head()))
            })?;
            if head > before {
                self.bus.tell(Message::Grew(address, head));
            }
            Ok(Ok(answers))
        })
    }

    fn find_entries<'a>(&'a self, _: SpaceAddress, _: &'a [Digest]) -> Reply<'a, Vec<Option<Entry>>> {
        Box::pin(async { unbuilt() })
    }

    fn rulings(&self, _: SpaceAddress, _: Seq, _: PageBounds) -> Reply<'_, Vec<Entry>> {
        Box::pin(async { unbuilt() })
    }

    fn timeline(&self, _: SpaceAddress, _: Place, _: Seq, _: PageBounds) -> Reply<'_, Vec<Entry>> {
        Box::pin(async { unbuilt() })
    }

    fn entries(&self, address: SpaceAddress, after: Seq, bounds: PageBounds) -> Reply<'_, EntryPage> {
        Box::pin(async move {
            let spaces = self.spaces.lock().unwrap_or_else(PoisonError::into_inner);
            let empty = || Ok(EntryPage { entries: Vec::new(), head: Seq::ZERO });
            spaces.get(&space_key(address)).map_or_else(empty, |space| space.entries(after, bounds))
        })
    }

    fn log_end(&self, address: SpaceAddress) -> Reply<'_, LogEnd> {
        Box::pin(async move {
            let spaces = self.spaces.lock().unwrap_or_else(PoisonError::into_inner);
            let empty = LogEnd { head: Seq::ZERO, committed_at: None };
            Ok(spaces.get(&space_key(address)).map_or(empty, super::ledger::Space::log_end))
        })
    }

    fn totals(&self) -> Reply<'_, Totals> {
        Box::pin(async move {
            let spaces = self.spaces.lock().unwrap_or_else(PoisonError::into_inner);
            let changes = spaces.values().map(|space| space.head().get()).sum();
            Ok(Totals { spaces: spaces.len() as u64, changes })
        })
    }
}

/// Not built yet.
fn unbuilt<T>() -> Result<T, StoreError> {
    Err(StoreError::Internal("not built yet".to_owned()))
}
