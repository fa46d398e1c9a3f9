//! What a process remembers of the database, until it may be another one.

use std::sync::{Mutex, MutexGuard, PoisonError};

/// Counts how often everything was forgotten: what was looked up before is not remembered afterwards.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Age(u64);

/// Something that is remembered. Each method is one step under one lock, which is never held across an `.await`.
#[derive(Debug, Default)]
pub(crate) struct Known<T>(Mutex<State<T>>);

#[derive(Debug, Default)]
struct State<T> {
    age: u64,
    value: T,
}

impl<T: Default> Known<T> {
    /// Looks at it; the age is for what is looked up because of what was seen.
    pub(crate) fn look<R>(&self, look: impl FnOnce(&T) -> R) -> (Age, R) {
        let state = self.state();
        (Age(state.age), look(&state.value))
    }

    /// Changes it by what was looked up at `age`; `None`, and nothing is changed, when it was forgotten since.
    pub(crate) fn change<R>(&self, age: Age, change: impl FnOnce(&mut T) -> R) -> Option<R> {
        let mut state = self.state();
        (state.age == age.0).then(|| change(&mut state.value))
    }

    /// Forgets it, and what is just being looked up.
    pub(crate) fn forget(&self) {
        let mut state = self.state();
        state.age += 1;
        state.value = T::default();
    }

    fn state(&self) -> MutexGuard<'_, State<T>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_was_looked_up_before_it_was_forgotten_is_not_remembered() {
        let known = Known::<Option<u8>>::default();
        let (age, value) = known.look(|value| *value);
        assert_eq!(value, None);
        known.forget();
        assert_eq!(known.change(age, |value| *value = Some(1)), None);
        let (age, value) = known.look(|value| *value);
        assert_eq!(value, None);
        assert_eq!(known.change(age, |value| value.replace(2)), Some(None));
        assert_eq!(known.look(|value| *value).1, Some(2));
        known.forget();
        assert_eq!(known.look(|value| *value).1, None);
    }
}
