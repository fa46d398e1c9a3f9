//! Locking, whoever panicked.

use std::sync::{Mutex, MutexGuard, PoisonError};

/// Locks what is plain data, of which each change is whole after every statement.
pub(super) fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
