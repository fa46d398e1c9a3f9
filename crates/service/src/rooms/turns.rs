//! Doing what belongs to one thing one after the other, and what belongs to others meanwhile.

use std::collections::HashMap;
use std::hash::Hash;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use tokio::sync::OwnedMutexGuard;

/// Turns at things that are named by a key. What nobody waits for takes no memory.
pub(super) struct Turns<K: Clone + Eq + Hash> {
    places: Mutex<HashMap<K, Arc<tokio::sync::Mutex<()>>>>,
}

impl<K: Clone + Eq + Hash> Default for Turns<K> {
    fn default() -> Self {
        Self { places: Mutex::default() }
    }
}

/// A turn at something; the next one begins when it is dropped.
pub(super) struct Turn<'a, K: Clone + Eq + Hash> {
    /// Dropped before `_place`, which looks for who is left.
    _held: OwnedMutexGuard<()>,
    _place: Place<'a, K>,
}

/// That somebody has a turn at something, or waits for it.
struct Place<'a, K: Clone + Eq + Hash> {
    turns: &'a Turns<K>,
    key: K,
    /// There until it is dropped.
    line: Option<Arc<tokio::sync::Mutex<()>>>,
}

impl<K: Clone + Eq + Hash> Turns<K> {
    /// Waits for a turn at `key`, in the order of asking. May be dropped midway.
    pub(super) async fn take(&self, key: K) -> Turn<'_, K> {
        let line = Arc::clone(self.places().entry(key.clone()).or_default());
        let place = Place { turns: self, key, line: Some(Arc::clone(&line)) };
        let held = line.lock_owned().await;
        Turn { _held: held, _place: place }
    }

    fn places(&self) -> MutexGuard<'_, HashMap<K, Arc<tokio::sync::Mutex<()>>>> {
        self.places.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl<K: Clone + Eq + Hash> Drop for Place<'_, K> {
    fn drop(&mut self) {
        let mut places = self.turns.places();
        // Under the lock, so that of two who go at once the second sees that the first is gone.
        self.line = None;
        if places.get(&self.key).is_some_and(|line| Arc::strong_count(line) == 1) {
            places.remove(&self.key);
        }
    }
}

#[cfg(test)]
mod tests {
    use futures_util::FutureExt as _;

    use super::*;

    #[test]
    fn one_after_the_other_and_others_meanwhile() {
        let turns = Turns::default();
        let first = turns.take("a").now_or_never().unwrap();
        assert!(turns.take("b").now_or_never().is_some());
        let mut second = Box::pin(turns.take("a"));
        assert!(second.as_mut().now_or_never().is_none());
        assert!(turns.take("a").now_or_never().is_none(), "and it was dropped midway");
        drop(first);
        assert!(second.now_or_never().is_some());
        assert!(turns.places().is_empty());
    }

    /// A key of which all are equal, and with which somebody goes.
    struct Key(#[expect(dead_code, reason = "it is there to be dropped")] Option<Box<Place<'static, Self>>>);

    impl Clone for Key {
        fn clone(&self) -> Self {
            Self(None)
        }
    }

    impl PartialEq for Key {
        fn eq(&self, _: &Self) -> bool {
            true
        }
    }

    impl Eq for Key {}

    impl Hash for Key {
        fn hash<H: std::hash::Hasher>(&self, _: &mut H) {}
    }

    #[test]
    fn who_goes_while_another_one_is_going_leaves_nothing_behind() {
        let turns: &'static Turns<Key> = Box::leak(Box::default());
        let line = Arc::default();
        turns.places().insert(Key(None), Arc::clone(&line));
        let second = Place { turns, key: Key(None), line: Some(Arc::clone(&line)) };
        // Dropped between the look that the first one takes and its end.
        drop(Place { turns, key: Key(Some(Box::new(second))), line: Some(line) });
        assert!(turns.places().is_empty());
    }
}
