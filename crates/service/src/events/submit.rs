//! Submitting: what the rules let is appended, under those very rules.

use std::collections::HashSet;
use std::ops::Range;
use std::sync::Arc;

use tombolo_core::{Digest, Purpose, Seq, UserId, limits};
use tombolo_storage::{Append, Appended, Effect, Entry, Guard, NewEntry, NotAppended, SpaceAddress, Unfit, Weight};

use super::{Events, Rulebook};
use crate::{AccessChanges, Keyring, ServiceError};

/// Entries that are compared with stored ones at a time: few sent ones may have many bytes stored under their keys, and
/// the first that differs ends it.
const LOOKED_UP_MAX: usize = 16;

/// Entries that are judged before others come in between: rules that are made to be slow take a tenth of a millisecond
/// for each.
const JUDGED_AT_ONCE: usize = 16;

/// What somebody submits: all of it is stored, or nothing.
#[derive(Clone, Debug, Default)]
pub struct Submission {
    /// In this order.
    pub entries: Vec<NewEntry>,
    /// What they are, in their order; those without one weigh nothing.
    pub weights: Vec<Weight>,
}

/// What became of a submission; places are those of entries. What the rules deny comes before what the log cannot take;
/// of several entries that are at fault in one of these ways, the first one counts.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Submitted<D> {
    /// Each is stored, or was.
    Done(Vec<Appended>),
    /// The rules do not let the entry at this place, and it is not stored already.
    Denied(usize, D),
    /// Something else is stored under the key of the entry at this place.
    Clash(usize),
    /// What the entry at this place does cannot be done.
    Unfit(usize, Unfit),
    /// Whoever submits it may do nothing any more.
    Disabled,
}

impl Events {
    /// Appends what somebody submits, each entry once, if `judge` lets each that is not stored already: it is asked
    /// with the rules that are in force when the submission is committed, in the order of the entries, perhaps several
    /// times.
    ///
    /// All or nothing, and durable when it returns [`Submitted::Done`]. Dropped midway it is done or not done.
    ///
    /// # Errors
    /// [`ServiceError::Busy`] when the rules were changed faster than it could be judged; [`ServiceError::Store`].
    pub async fn submit<D>(
        &self,
        by: UserId,
        submission: Submission,
        judge: impl Fn(&Rulebook, usize) -> Result<(), D>,
    ) -> Result<Submitted<D>, ServiceError> {
        if submission.entries.is_empty() {
            return Ok(Submitted::Done(Vec::new()));
        }
        // Places of entries that are stored already: a retry is answered as the first try was, whatever the rules are
        // by now.
        let mut stored = HashSet::new();
        // Perhaps not those in force: if they let everything, the store says so.
        let mut rules = self.rules_then();
        for _ in 0..limits::JUDGED_MAX {
            let ruling = rules.ruling;
            match self.judge(rules, &submission.entries, &mut stored, &judge).await? {
                Judged::Allowed => {}
                Judged::Denied(place, denial) => return Ok(Submitted::Denied(place, denial)),
                Judged::Outdated(newer) => {
                    rules = newer;
                    continue;
                }
            }
            let space = self.space_or_new().await?;
            match self.append(space, by, &submission, ruling).await? {
                Ok(appended) => return Ok(Submitted::Done(appended)),
                Err(NotAppended::Refused(_)) => return Ok(Submitted::Disabled),
                Err(NotAppended::Clash(place)) => return Ok(Submitted::Clash(place)),
                Err(NotAppended::Unfit(place, unfit)) => return Ok(Submitted::Unfit(place, unfit)),
                Err(NotAppended::Outdated) => {}
            }
            rules = self.rules_now(space).await?;
            if rules.ruling == ruling {
                // Those that are remembered are of another history: they are read from the beginning.
                self.rules.forget();
                rules = self.rules_now(space).await?;
            }
        }
        Err(ServiceError::Busy)
    }

    /// Judges entries, but of those that are known to be stored; adds those that turn out to be.
    async fn judge<D>(
        &self,
        rules: Arc<Rulebook>,
        entries: &[NewEntry],
        stored: &mut HashSet<usize>,
        judge: &impl Fn(&Rulebook, usize) -> Result<(), D>,
    ) -> Result<Judged<D>, ServiceError> {
        let mut left = 0..entries.len();
        let mut is_in_force = false;
        loop {
            let denied = some_denied(&rules, &mut left, stored, judge).await;
            if denied.is_empty() {
                return Ok(Judged::Allowed);
            }
            if !is_in_force {
                let now = self.rulebook().await?;
                if now.ruling != rules.ruling {
                    return Ok(Judged::Outdated(now));
                }
                is_in_force = true;
            }
            match self.first_not_stored(entries, denied).await? {
                Ok(places) => stored.extend(places),
                Err((place, denial)) => return Ok(Judged::Denied(place, denial)),
            }
        }
    }

    async fn append(
        &self,
        space: SpaceAddress,
        user: UserId,
        submission: &Submission,
        ruling: Seq,
    ) -> Result<Result<Vec<Appended>, NotAppended>, ServiceError> {
        let Submission { entries, weights } = submission.clone();
        // Whatever becomes of the answer: what was done may not be remembered otherwise.
        let _forgetting = weights.iter().any(ends_keys).then(|| Forgetting {
            keyring: &self.keyring,
            changes: &self.changes,
            purpose: self.codec.purpose,
        });
        let (guard, is_same) = (Guard::Rules { space, user, ruling }, Some(self.codec.is_same));
        Ok(self.store.append(Append { guard, entries, weights, is_same, now: self.env.now() }).await?)
    }

    /// The first of some denied entries that is not stored already, as it is; the places of all, when each is.
    async fn first_not_stored<D>(
        &self,
        entries: &[NewEntry],
        denied: Vec<(usize, D)>,
    ) -> Result<Result<Vec<usize>, (usize, D)>, ServiceError> {
        let keys: Vec<Digest> = denied.iter().map(|(place, _)| entries[*place].key).collect();
        let found = match self.space().await? {
            Some(space) => self.store.find_entries(space, &keys).await?,
            None => vec![None; keys.len()],
        };
        let mut places = Vec::with_capacity(denied.len());
        for ((place, denial), known) in denied.into_iter().zip(found) {
            let is_same = |known: Entry| (self.codec.is_same)(&known.payload, &entries[place].payload);
            if !known.is_some_and(is_same) {
                return Ok(Err((place, denial)));
            }
            places.push(place);
        }
        Ok(Ok(places))
    }
}

/// What the rules say of all entries.
enum Judged<D> {
    /// They let each, or it is stored already.
    Allowed,
    /// They do not let this one, which is not stored.
    Denied(usize, D),
    /// They do not let one, and are not those in force.
    Outdated(Arc<Rulebook>),
}

/// The next entries that the rules deny, as many as are looked up at a time, but of what is stored. What comes behind
/// them is left.
async fn some_denied<D>(
    rules: &Rulebook,
    left: &mut Range<usize>,
    stored: &HashSet<usize>,
    judge: &impl Fn(&Rulebook, usize) -> Result<(), D>,
) -> Vec<(usize, D)> {
    let mut denied = Vec::new();
    for place in left.by_ref() {
        if place > 0 && place % JUDGED_AT_ONCE == 0 {
            tokio::task::yield_now().await;
        }
        if !stored.contains(&place)
            && let Err(denial) = judge(rules, place)
        {
            denied.push((place, denial));
            if denied.len() == LOOKED_UP_MAX {
                break;
            }
        }
    }
    denied
}

/// Whether keys may end by it: some are revoked, or the longest unused one makes room for another.
fn ends_keys(weight: &Weight) -> bool {
    matches!(weight.effect, Some(Effect::RevokeKeys { .. } | Effect::UseSetupToken { .. }))
}

/// Lets the keyring forget the keys of a protocol, and what stays connected ask again, when this is dropped.
struct Forgetting<'a> {
    keyring: &'a Keyring,
    changes: &'a AccessChanges,
    purpose: Purpose,
}

impl Drop for Forgetting<'_> {
    fn drop(&mut self) {
        self.keyring.forget_all_of(self.purpose);
        self.changes.tell();
    }
}

#[cfg(test)]
mod tests {
    use std::cell::RefCell;

    use tombolo_core::acl::Rules;
    use tombolo_storage::memory::Memory;
    use tombolo_storage::{Identities as _, IdentityAdded, NewIdentity, Username};
    use tombolo_testkit::{TestEnv, wait};

    use super::*;
    use crate::{EventCodec, ROOT, Ruling, Watchers};

    #[test]
    fn rules_that_are_remembered_of_another_history_are_read_anew() {
        let (store, env) = (Arc::new(Memory::new()), Arc::new(TestEnv::new(1)));
        let (purpose, subject) = (Purpose::SimpleSync, tombolo_core::Name::parse(ROOT).unwrap());
        let root = NewIdentity { purpose, subject, username: Username::Subject, password: None };
        let Ok(IdentityAdded::New(root)) = wait(store.add_identity(root, TestEnv::START)) else {
            panic!("nobody is there yet");
        };
        let ruling = |_: &[u8]| Some(Ruling::Add(Vec::new()));
        let codec = EventCodec { purpose, ruling, write: |_, _, _| (), is_same: |a, b| a == b };
        let keyring = Arc::new(Keyring::new(store.clone(), env.clone()));
        let watchers = Arc::new(Watchers::new(store.clone()));
        let events = Events::new(store, env, keyring, watchers, Arc::default(), codec, 0);
        let submit = |name: &[u8]| {
            let (key, written_at) = (Digest::of(name), TestEnv::START.to_instant());
            let entries = vec![NewEntry { key, written_at, payload: name.to_vec() }];
            let submission = Submission { entries, weights: vec![Weight { is_ruling: true, effect: None }] };
            let judged_by = RefCell::new(Vec::new());
            let judge = |rules: &Rulebook, _| {
                judged_by.borrow_mut().push(rules.ruling.get());
                Ok::<(), ()>(())
            };
            let submitted = wait(events.submit(root, submission, judge)).unwrap();
            assert!(matches!(submitted, Submitted::Done(_)), "{submitted:?}");
            judged_by.into_inner()
        };
        assert_eq!(submit(b"a"), [0]);
        // Nothing that is newer than these will be found.
        let (age, ()) = events.rules.look(|_| ());
        let foreign = Rulebook { ruling: Seq::new(9), rules: Rules::default(), list: None };
        events.rules.change(age, |rules| *rules = Arc::new(foreign)).unwrap();
        assert_eq!(submit(b"b"), [9, 1]);
    }
}
