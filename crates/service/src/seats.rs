//! How many of something each key has at once.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use tombolo_core::CredentialId;

/// A number of seats for each key. What has none costs nothing.
#[derive(Debug)]
pub(crate) struct Seats {
    of_each_max: usize,
    taken: Mutex<HashMap<CredentialId, usize>>,
}

impl Seats {
    pub(crate) fn new(of_each_max: usize) -> Arc<Self> {
        Arc::new(Self { of_each_max, taken: Mutex::default() })
    }

    /// Takes one of a key's seats; `None` when all are taken.
    pub(crate) fn take(self: &Arc<Self>, key: CredentialId) -> Option<Seat> {
        let mut taken = self.taken();
        let count = taken.entry(key).or_default();
        if *count >= self.of_each_max {
            return None;
        }
        *count += 1;
        drop(taken);
        Some(Seat { key, seats: Arc::clone(self) })
    }

    fn taken(&self) -> MutexGuard<'_, HashMap<CredentialId, usize>> {
        self.taken.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// One of a key's seats; free again when it is dropped.
#[derive(Debug)]
pub struct Seat {
    key: CredentialId,
    seats: Arc<Seats>,
}

impl Drop for Seat {
    fn drop(&mut self) {
        let mut taken = self.seats.taken();
        if let Some(count) = taken.get_mut(&self.key) {
            *count -= 1;
            if *count == 0 {
                taken.remove(&self.key);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_key_has_its_own_seats_and_gets_them_back() {
        let seats = Seats::new(2);
        let (one, other) = (CredentialId::new(1), CredentialId::new(2));
        let held = [seats.take(one).unwrap(), seats.take(one).unwrap()];
        assert!(seats.take(one).is_none());
        assert!(seats.take(other).is_some());
        drop(held);
        assert!(seats.taken().is_empty());
        assert!(seats.take(one).is_some());
    }
}
