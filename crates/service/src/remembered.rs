//! What the process remembers of tokens, so that each is verified once.

use std::collections::{HashMap, HashSet, VecDeque};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use sha2::{Digest as _, Sha256};
use tombolo_core::{CredentialId, Purpose, ServerTime, limits};

use crate::Caller;

const MINUTE: Duration = Duration::from_secs(60);

/// The SHA-256 of a presented token. It stands for the token in memory: the token itself is not kept.
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
pub(crate) struct Fingerprint([u8; 32]);

impl Fingerprint {
    pub(crate) fn of(presented: &str) -> Self {
        Self(Sha256::digest(presented.as_bytes()).into())
    }
}

/// What a right token opens.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Right {
    pub(crate) caller: Caller,
    pub(crate) purpose: Purpose,
}

/// What is remembered of a presented token.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Recollection {
    Right(Right),
    Wrong,
}

/// Counts the times at which the store may have changed: what was looked up in an earlier epoch is not remembered in
/// a later one, or a token revoked in between would live on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Epoch(u64);

/// The memory itself. Each method is one step under one lock, which is never held across an `.await`.
#[derive(Default)]
pub(crate) struct Remembered {
    state: Mutex<State>,
}

#[derive(Default)]
struct State {
    epoch: u64,
    right: HashMap<Fingerprint, Kept>,
    wrong: HashSet<Fingerprint>,
    /// The members of `wrong`, oldest first.
    wrong_by_age: VecDeque<Fingerprint>,
    /// When credentials were last used, as far as the store does not know it yet.
    used: HashMap<CredentialId, ServerTime>,
}

struct Kept {
    right: Right,
    /// To the minute; `None` until its first use.
    used_at: Option<ServerTime>,
}

impl Remembered {
    pub(crate) fn epoch(&self) -> Epoch {
        Epoch(self.state().epoch)
    }

    pub(crate) fn recall(&self, fingerprint: Fingerprint) -> Option<Recollection> {
        let state = self.state();
        if let Some(kept) = state.right.get(&fingerprint) {
            return Some(Recollection::Right(kept.right));
        }
        state.wrong.contains(&fingerprint).then_some(Recollection::Wrong)
    }

    /// Keeps a verified token; `false`, and nothing is kept, when `epoch` has passed.
    pub(crate) fn keep_right(&self, fingerprint: Fingerprint, right: Right, epoch: Epoch) -> bool {
        let mut state = self.state();
        if state.epoch != epoch.0 {
            return false;
        }
        if state.right.len() >= limits::RIGHT_TOKENS_MAX {
            state.forget_longest_unused();
        }
        state.right.insert(fingerprint, Kept { right, used_at: None });
        true
    }

    /// Keeps a wrong secret. No epoch is asked for: a secret that does not fit its hash never will.
    pub(crate) fn keep_wrong(&self, fingerprint: Fingerprint) {
        let mut state = self.state();
        if !state.wrong.insert(fingerprint) {
            return;
        }
        state.wrong_by_age.push_back(fingerprint);
        if state.wrong_by_age.len() > limits::WRONG_TOKENS_MAX
            && let Some(oldest) = state.wrong_by_age.pop_front()
        {
            state.wrong.remove(&oldest);
        }
    }

    /// Notes that a token let someone in at `now`, to the minute.
    pub(crate) fn note_use(&self, fingerprint: Fingerprint, credential: CredentialId, now: ServerTime) {
        let minute = floor_to_minute(now);
        let mut state = self.state();
        if let Some(kept) = state.right.get_mut(&fingerprint) {
            if kept.used_at >= Some(minute) {
                return;
            }
            kept.used_at = Some(minute);
        }
        state.merge_used(credential, minute);
    }

    /// Takes the noted uses, for the store.
    pub(crate) fn take_used(&self) -> Vec<(CredentialId, ServerTime)> {
        std::mem::take(&mut self.state().used).into_iter().collect()
    }

    /// Puts uses back that the store could not take.
    pub(crate) fn put_back_used(&self, used: Vec<(CredentialId, ServerTime)>) {
        let mut state = self.state();
        for (credential, at) in used {
            state.merge_used(credential, at);
        }
    }

    /// Begins a new epoch, forgets the wrong tokens, and lists the credentials that are remembered.
    pub(crate) fn begin_epoch(&self) -> Vec<CredentialId> {
        let mut state = self.state();
        state.epoch += 1;
        state.wrong.clear();
        state.wrong_by_age.clear();
        let credentials: HashSet<CredentialId> =
            state.right.values().map(|kept| kept.right.caller.credential).collect();
        credentials.into_iter().collect()
    }

    /// Forgets the right tokens of `dead` credentials.
    pub(crate) fn forget(&self, dead: &HashSet<CredentialId>) {
        self.state().right.retain(|_, kept| !dead.contains(&kept.right.caller.credential));
    }

    /// Forgets the right tokens that open a protocol.
    pub(crate) fn forget_all_of(&self, purpose: Purpose) {
        self.state().right.retain(|_, kept| kept.right.purpose != purpose);
    }

    fn state(&self) -> MutexGuard<'_, State> {
        // Each change is whole after every statement, so a panic elsewhere under the lock leaves it usable.
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl State {
    /// Walks all tokens, some ten thousand: tens of microseconds, for a token that is seen for the first time.
    fn forget_longest_unused(&mut self) {
        let longest = self.right.iter().min_by_key(|(_, kept)| kept.used_at).map(|(fingerprint, _)| *fingerprint);
        if let Some(fingerprint) = longest {
            self.right.remove(&fingerprint);
        }
    }

    fn merge_used(&mut self, credential: CredentialId, at: ServerTime) {
        if self.used.len() >= limits::RIGHT_TOKENS_MAX && !self.used.contains_key(&credential) {
            // The store has been failing for long; a time for people is not worth the memory.
            return;
        }
        let noted = self.used.entry(credential).or_insert(at);
        *noted = at.max(*noted);
    }
}

fn floor_to_minute(time: ServerTime) -> ServerTime {
    let minute_micros = i64::try_from(MINUTE.as_micros()).expect("a minute is 60,000,000 microseconds");
    ServerTime::from_micros(time.micros() - time.micros().rem_euclid(minute_micros))
}

#[cfg(test)]
mod tests {
    use tombolo_core::UserId;

    use super::*;

    fn right(n: i64) -> Right {
        let caller = Caller { credential: CredentialId::new(n), user: UserId::new(1), expires_at: None };
        Right { caller, purpose: Purpose::Tickit }
    }

    fn print(n: impl ToString) -> Fingerprint {
        Fingerprint::of(&n.to_string())
    }

    #[test]
    fn what_was_looked_up_before_the_store_changed_is_not_kept() {
        let remembered = Remembered::default();
        let epoch = remembered.epoch();
        remembered.begin_epoch();
        assert!(!remembered.keep_right(print(1), right(1), epoch));
        assert_eq!(remembered.recall(print(1)), None);
        assert!(remembered.keep_right(print(1), right(1), remembered.epoch()));
        assert_eq!(remembered.recall(print(1)), Some(Recollection::Right(right(1))));
    }

    #[test]
    fn the_memory_is_bounded_and_loses_the_longest_unused() {
        let remembered = Remembered::default();
        let max = i64::try_from(limits::RIGHT_TOKENS_MAX).unwrap();
        for n in 0..max {
            remembered.keep_right(print(n), right(n), remembered.epoch());
            let hours = Duration::from_secs(3_600 * u64::try_from(n + 1).unwrap());
            remembered.note_use(print(n), CredentialId::new(n), ServerTime::from_micros(0).plus(hours));
        }
        remembered.keep_right(print(max), right(max), remembered.epoch());
        assert_eq!(remembered.recall(print(0)), None);
        assert!(remembered.recall(print(1)).is_some());
        assert_eq!(remembered.state().right.len(), limits::RIGHT_TOKENS_MAX);
    }

    #[test]
    fn wrong_tokens_are_bounded_and_lose_the_oldest() {
        let remembered = Remembered::default();
        for n in 0..=limits::WRONG_TOKENS_MAX {
            remembered.keep_wrong(print(n));
        }
        assert_eq!(remembered.recall(print(0)), None);
        assert_eq!(remembered.recall(print(1)), Some(Recollection::Wrong));
        remembered.begin_epoch();
        assert_eq!(remembered.recall(print(1)), None);
    }

    #[test]
    fn uses_are_noted_once_a_minute() {
        let remembered = Remembered::default();
        remembered.keep_right(print(1), right(1), remembered.epoch());
        let at = |secs| ServerTime::from_micros(0).plus(Duration::from_secs(secs));
        remembered.note_use(print(1), CredentialId::new(1), at(61));
        assert_eq!(remembered.take_used(), [(CredentialId::new(1), at(60))]);
        remembered.note_use(print(1), CredentialId::new(1), at(119));
        assert_eq!(remembered.take_used(), []);
        remembered.put_back_used(vec![(CredentialId::new(1), at(60))]);
        remembered.note_use(print(1), CredentialId::new(1), at(120));
        assert_eq!(remembered.take_used(), [(CredentialId::new(1), at(120))]);
    }
}
