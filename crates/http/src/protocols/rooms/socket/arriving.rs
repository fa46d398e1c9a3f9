//! How much of messages has arrived that are not done with, on all sockets of a node.
//!
//! When that is more than there is room for, somebody gives way: of the address from which most has arrived, the message
//! that began first. Refusing the newest would be simpler, but whoever begins messages and never ends them would have
//! all others refused; so would a share for each address, taken by a few addresses, or by all who come through one proxy.

use std::collections::{BTreeMap, HashMap};
use std::net::IpAddr;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use tokio::sync::Notify;

/// Bytes of a message that are not counted: nearly all messages are smaller, and those of all connections together are
/// what the server has memory for.
const UNCOUNTED_BYTES: usize = 64 << 10;

/// Bytes of large messages that have arrived, until they are done with: of all sockets of a node.
#[derive(Clone, Debug, Default)]
pub struct Arriving(Arc<Mutex<Pool>>);

#[derive(Debug, Default)]
struct Pool {
    bytes: usize,
    next: u64,
    /// Messages that are not whole yet, in the order in which they became large: no more than there are sockets.
    unfinished: BTreeMap<u64, Unfinished>,
}

#[derive(Debug)]
struct Unfinished {
    from: IpAddr,
    bytes: usize,
    gives_way: Arc<Notify>,
}

impl Arriving {
    /// Bytes that are counted now.
    #[must_use]
    pub fn bytes(&self) -> usize {
        self.pool().bytes
    }

    /// Counts a message from `from` of which nothing has arrived, among `bytes_max` of all.
    pub(super) fn message(&self, from: IpAddr, bytes_max: usize) -> Arrived {
        Arrived { arriving: self.clone(), from, bytes: 0, bytes_max, unfinished: None }
    }

    fn pool(&self) -> MutexGuard<'_, Pool> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Pool {
    /// Counts `more` bytes of the unfinished message `id`; `false` when it has given way, or does so now. Others that do
    /// are not counted any more: they let go of what they have as soon as they are told.
    fn grow(&mut self, id: u64, more: usize, bytes_max: usize) -> bool {
        let Some(message) = self.unfinished.get_mut(&id) else { return false };
        message.bytes += more;
        self.bytes += more;
        while self.bytes > bytes_max {
            let gives_way = self.who_gives_way().unwrap_or(id);
            let Some(message) = self.unfinished.remove(&gives_way) else { return false };
            self.bytes -= message.bytes;
            message.gives_way.notify_one();
            if gives_way == id {
                return false;
            }
        }
        true
    }

    /// The message that began first, of the address that has most; of several such addresses, the one that began first.
    fn who_gives_way(&self) -> Option<u64> {
        let mut by_address: HashMap<IpAddr, (usize, u64)> = HashMap::new();
        for (id, message) in &self.unfinished {
            by_address.entry(message.from).or_insert((0, *id)).0 += message.bytes;
        }
        by_address.into_values().max_by_key(|(bytes, id)| (*bytes, std::cmp::Reverse(*id))).map(|(_, id)| id)
    }
}

/// What is counted of one message, until this is dropped.
#[derive(Debug)]
pub(super) struct Arrived {
    arriving: Arriving,
    from: IpAddr,
    bytes: usize,
    bytes_max: usize,
    /// Its place among those that are not whole, if it is large and one of them; and where it is told to give way.
    unfinished: Option<(u64, Arc<Notify>)>,
}

impl Arrived {
    /// Counts that `bytes` of the message are there now; `false` when it has to give way.
    pub(super) fn grow_to(&mut self, bytes: usize) -> bool {
        let more = bytes.saturating_sub(UNCOUNTED_BYTES).saturating_sub(self.bytes);
        if more == 0 {
            return true;
        }
        self.bytes += more;
        let mut pool = self.arriving.pool();
        let (id, _) = self.unfinished.get_or_insert_with(|| {
            let (id, gives_way) = (pool.next, Arc::new(Notify::new()));
            pool.next += 1;
            pool.unfinished.insert(id, Unfinished { from: self.from, bytes: 0, gives_way: Arc::clone(&gives_way) });
            (id, gives_way)
        });
        pool.grow(*id, more, self.bytes_max)
    }

    /// Waits until it has to give way. May be dropped midway.
    pub(super) fn gives_way(&self) -> impl Future<Output = ()> + Send + use<> {
        let gives_way = self.unfinished.as_ref().map(|(_, gives_way)| Arc::clone(gives_way));
        async move {
            match gives_way {
                Some(gives_way) => gives_way.notified().await,
                None => std::future::pending().await,
            }
        }
    }

    /// What is counted, for the message that is whole and taken now: it does not give way. The next one begins at nothing.
    pub(super) fn take(&mut self) -> Self {
        if let Some((id, _)) = self.unfinished.take()
            && self.arriving.pool().unfinished.remove(&id).is_none()
        {
            // It was to give way at this very moment, and is not counted; it is done with soon.
            self.bytes = 0;
        }
        let next = self.arriving.message(self.from, self.bytes_max);
        std::mem::replace(self, next)
    }
}

impl Drop for Arrived {
    fn drop(&mut self) {
        if self.bytes == 0 {
            return;
        }
        let mut pool = self.arriving.pool();
        let is_counted = self.unfinished.take().is_none_or(|(id, _)| pool.unfinished.remove(&id).is_some());
        if is_counted {
            pool.bytes -= self.bytes;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn from(last: u8) -> IpAddr {
        [192, 0, 2, last].into()
    }

    #[test]
    fn what_arrives_is_counted_until_it_is_done_with() {
        let arriving = Arriving::default();
        let mut one = arriving.message(from(1), 100);
        assert!(one.grow_to(UNCOUNTED_BYTES));
        assert_eq!(arriving.bytes(), 0);
        assert!(one.grow_to(UNCOUNTED_BYTES + 60));
        let taken = one.take();
        assert!(one.grow_to(UNCOUNTED_BYTES + 40));
        assert_eq!(arriving.bytes(), 100);
        // What is whole does not give way, but what grows does.
        assert!(!one.grow_to(UNCOUNTED_BYTES + 41));
        assert_eq!(arriving.bytes(), 60);
        assert!(!one.grow_to(UNCOUNTED_BYTES + 42));
        drop(one);
        assert_eq!(arriving.bytes(), 60);
        drop(taken);
        assert_eq!(arriving.bytes(), 0);
        assert!(arriving.pool().unfinished.is_empty());
    }

    #[test]
    fn of_the_address_that_has_most_the_first_gives_way() {
        let arriving = Arriving::default();
        let mut messages: Vec<Arrived> = [1, 2, 2, 3].map(|last| arriving.message(from(last), 100)).into();
        for (message, bytes) in messages.iter_mut().zip([30, 20, 20, 30]) {
            assert!(message.grow_to(UNCOUNTED_BYTES + bytes));
        }
        let places = || arriving.pool().unfinished.keys().copied().collect::<Vec<_>>();
        assert!(messages[3].grow_to(UNCOUNTED_BYTES + 31));
        assert_eq!((places(), arriving.bytes()), (vec![0, 2, 3], 81));
        assert!(!messages[1].grow_to(UNCOUNTED_BYTES + 21));
        assert!(messages[2].grow_to(UNCOUNTED_BYTES + 31));
        assert_eq!((places(), arriving.bytes()), (vec![0, 2, 3], 92));
        // Two have as much: the one that began first.
        assert!(messages[0].grow_to(UNCOUNTED_BYTES + 31));
        assert!(!messages[2].grow_to(UNCOUNTED_BYTES + 39));
        assert_eq!((places(), arriving.bytes()), (vec![0, 3], 62));
        drop(messages);
        assert_eq!((places(), arriving.bytes()), (vec![], 0));
    }

    #[test]
    fn what_is_whole_when_it_is_to_give_way_is_not_counted_twice() {
        let arriving = Arriving::default();
        let (mut one, mut other) = (arriving.message(from(1), 100), arriving.message(from(2), 100));
        assert!(one.grow_to(UNCOUNTED_BYTES + 60) && other.grow_to(UNCOUNTED_BYTES + 50));
        assert_eq!(arriving.bytes(), 50);
        drop(one.take());
        assert_eq!(arriving.bytes(), 50);
        drop((one, other));
        assert_eq!(arriving.bytes(), 0);
    }
}
