//! How many of something each key, or each user, has at once.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use tombolo_core::{CredentialId, UserId};

/// Who has seats.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) enum Holder {
    /// A key.
    Key(CredentialId),
    /// A user who came without one.
    User(UserId),
}

/// A number of seats for each holder. Who has none costs nothing.
#[derive(Debug)]
pub(crate) struct Seats {
    of_each_max: usize,
    taken: Mutex<HashMap<Holder, usize>>,
}

impl Seats {
    pub(crate) fn new(of_each_max: usize) -> Arc<Self> {
        Arc::new(Self { of_each_max, taken: Mutex::default() })
    }

    /// Takes one of a holder's seats; `None` when all are taken.
    pub(crate) fn take(self: &Arc<Self>, holder: Holder) -> Option<Seat> {
        let mut taken = self.taken();
        let count = taken.entry(holder).or_default();
        if *count >= self.of_each_max {
            return None;
        }
        *count += 1;
        drop(taken);
        Some(Seat { holder, seats: Arc::clone(self) })
    }

    fn taken(&self) -> MutexGuard<'_, HashMap<Holder, usize>> {
        self.taken.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// One of a holder's seats; free again when it is dropped.
#[derive(Debug)]
pub struct Seat {
    holder: Holder,
    seats: Arc<Seats>,
}

impl Drop for Seat {
    fn drop(&mut self) {
        let mut taken = self.seats.taken();
        if let Some(count) = taken.get_mut(&self.holder) {
            *count -= 1;
            if *count == 0 {
                taken.remove(&self.holder);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_holder_has_its_own_seats_and_gets_them_back() {
        let seats = Seats::new(2);
        let (one, other) = (Holder::Key(CredentialId::new(1)), Holder::User(UserId::new(1)));
        let held = [seats.take(one).unwrap(), seats.take(one).unwrap()];
        assert!(seats.take(one).is_none());
        assert!(seats.take(other).is_some());
        drop(held);
        assert!(seats.taken().is_empty());
        assert!(seats.take(one).is_some());
    }
}
