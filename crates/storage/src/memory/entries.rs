//! Logs that are only appended to, in memory.

use std::sync::PoisonError;

use tombolo_core::{Digest, Refusal, Seq};

use super::accounts::Register;
use super::ledger::Space;
use super::rooms::Row;
use super::{Memory, space_key};
use crate::entries::check_keys;
use crate::entries::plan::{Plan, is_outdated};
use crate::told::Told;
use crate::{
    Append, Appended, Entries, Entry, EntryPage, Guard, LogEnd, Message, NotAppended, PageBounds, Place, Reply,
    SpaceAddress, StoreError, Totals,
};

type Ruled<T> = Result<T, NotAppended>;

/// What a request came to.
struct Outcome {
    answers: Vec<Appended>,
    grown: Option<(SpaceAddress, Seq)>,
    /// Whether it changed who gets in.
    is_told: bool,
}

impl Memory {
    /// Works on copies, which take the place of what they were made from when all of it can be.
    fn append_on(&self, append: &Append) -> Result<Ruled<Outcome>, StoreError> {
        // Held until it is done, so that whoever is removed appends nothing afterwards.
        let mut present = self.register();
        let mut spaces = self.spaces.lock().unwrap_or_else(PoisonError::into_inner);
        let mut register = present.clone();
        let address = match admitted(&mut register, append.guard) {
            Ok(address) => address,
            Err(refusal) => return Ok(Err(refusal.into())),
        };
        let mut space = spaces.get(&space_key(address)).cloned().unwrap_or_default();
        if let Guard::Rules { ruling, .. } = append.guard
            && is_outdated(ruling, space.last_ruling())
        {
            return Ok(Err(NotAppended::Outdated));
        }
        let Plan { answers, new, end, clash } = space.plan(append)?;
        let mut is_told = false;
        for (index, effect) in append.effects(&new) {
            if let Err(unfit) = register.carry_out(address.purpose, effect, append.now)? {
                return Ok(Err(NotAppended::Unfit(index, unfit)));
            }
            is_told |= effect.is_told();
        }
        if let Some(index) = clash {
            return Ok(Err(NotAppended::Clash(index)));
        }
        if new.is_empty() {
            return Ok(Ok(Outcome { answers, grown: None, is_told }));
        }
        space.append_entries(append, &new)?;
        spaces.insert(space_key(address), space);
        *present = register;
        Ok(Ok(Outcome { answers, grown: Some((address, end.seq)), is_told }))
    }

    /// What a space holds; nothing where there is none.
    fn read<T: Default>(
        &self,
        address: SpaceAddress,
        read: impl FnOnce(&Space) -> Result<T, StoreError>,
    ) -> Result<T, StoreError> {
        let spaces = self.spaces.lock().unwrap_or_else(PoisonError::into_inner);
        spaces.get(&space_key(address)).map_or_else(|| Ok(T::default()), read)
    }
}

/// Where is appended to, if whoever does may.
fn admitted(register: &mut Register, guard: Guard) -> Result<SpaceAddress, Refusal> {
    match guard {
        Guard::Member { project, user } => register.ruled(project, user, Guard::ACT).map(|project| project.space()),
        Guard::Rules { space, user, .. } => register.is_enabled(user).then_some(space).ok_or(Refusal::NotMember),
    }
}

impl Entries for Memory {
    fn append(&self, append: Append) -> Reply<'_, Ruled<Vec<Appended>>> {
        Box::pin(async move {
            append.check()?;
            Ok(self.append_on(&append)?.map(|Outcome { answers, grown, is_told }| {
                if let Some((address, head)) = grown {
                    self.bus.tell(Message::Grew(address, head));
                }
                if is_told {
                    self.bus.tell(Message::Accounts);
                }
                answers
            }))
        })
    }

    fn find_entries<'a>(&'a self, address: SpaceAddress, keys: &'a [Digest]) -> Reply<'a, Vec<Option<Entry>>> {
        Box::pin(async move {
            check_keys(keys)?;
            let found = self.read(address, |space| space.find_entries(keys))?;
            Ok(if found.is_empty() { vec![None; keys.len()] } else { found })
        })
    }

    fn rulings(&self, address: SpaceAddress, after: Seq, bounds: PageBounds) -> Reply<'_, Vec<Entry>> {
        Box::pin(async move { self.read(address, |space| space.rulings(after, bounds)) })
    }

    fn timeline(&self, address: SpaceAddress, after: Place, upto: Seq, bounds: PageBounds) -> Reply<'_, Vec<Entry>> {
        Box::pin(async move { self.read(address, |space| space.timeline(after, upto, bounds)) })
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
            let rooms = self.room_rows();
            let heads = spaces.values().map(Space::head).chain(rooms.iter().map(Row::head));
            Ok(Totals { spaces: (spaces.len() + rooms.len()) as u64, changes: heads.map(Seq::get).sum() })
        })
    }
}
