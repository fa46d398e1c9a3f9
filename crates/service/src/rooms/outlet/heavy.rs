//! The queues that hold much, which are given up when a node has too much waiting.

use std::cmp::Reverse;
use std::collections::HashMap;
use std::sync::{Arc, Mutex, Weak};

use super::Outlet;
use crate::rooms::lock::lock;

/// Queues that are given up for one message at most: where that is not enough, the next one gives up more.
const GIVEN_UP_MAX: usize = 16;

/// The outlets of a node that hold so much that they may be given up. Most outlets never do: they are found here, or
/// all of a node's would have to be looked at.
///
/// Its lock is taken while an outlet's is held, and no other while it is.
#[derive(Default)]
pub(in crate::rooms) struct Heavy {
    /// By where they are.
    outlets: Mutex<HashMap<usize, Weak<Outlet>>>,
}

impl Heavy {
    pub(super) fn enter(&self, outlet: &Arc<Outlet>) {
        lock(&self.outlets).insert(Arc::as_ptr(outlet).addr(), Arc::downgrade(outlet));
    }

    pub(super) fn leave(&self, outlet: &Outlet) {
        lock(&self.outlets).remove(&std::ptr::from_ref(outlet).addr());
    }

    #[cfg(test)]
    pub(super) fn count(&self) -> usize {
        lock(&self.outlets).len()
    }

    /// Gives up those whose end frees most, until it is enough. Not to be called while an outlet is locked.
    pub(in crate::rooms) fn relieve(&self, is_enough: impl Fn() -> bool) {
        let outlets: Vec<Arc<Outlet>> = lock(&self.outlets).values().filter_map(Weak::upgrade).collect();
        let mut shares: Vec<_> = outlets.iter().map(|outlet| (outlet.share(), outlet)).collect();
        shares.sort_unstable_by_key(|(share, _)| Reverse(*share));
        for (_, outlet) in shares.into_iter().take(GIVEN_UP_MAX) {
            if is_enough() {
                break;
            }
            outlet.give_up();
        }
    }
}
