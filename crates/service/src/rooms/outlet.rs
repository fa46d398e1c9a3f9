//! What one connection is still to be sent.

mod heavy;
#[cfg(test)]
mod tests;

use std::collections::VecDeque;
use std::future::poll_fn;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Poll, Waker};

use bytes::Bytes;

use super::printer::{Printer, Waiting};
pub(super) use heavy::Heavy;

/// What a parcel is, as far as it matters to the queue.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ParcelKind {
    /// A whole document: a later one says all that it says.
    Document,
    /// Anything else: it must arrive.
    Other,
}

/// A message as it goes over the wire, shared by all connections that it waits for.
#[derive(Clone, Debug)]
pub struct Parcel {
    /// What goes over the wire.
    pub bytes: Bytes,
    /// What it is.
    pub kind: ParcelKind,
    /// Counts the message among those that wait, until the last of its parcels is dropped.
    waiting: Arc<Waiting>,
}

impl Parcel {
    pub(super) const fn new(bytes: Bytes, kind: ParcelKind, waiting: Arc<Waiting>) -> Self {
        Self { bytes, kind, waiting }
    }

    /// What of it is freed, about, when one that it waits for does not wait any more.
    fn share(&self) -> usize {
        self.bytes.len() / Arc::strong_count(&self.waiting)
    }
}

/// Why a connection is closed by the server.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum CloseReason {
    /// It said that it leaves.
    Left,
    /// What let it in is no more.
    Revoked,
    /// It did more than it may.
    Limited,
    /// It does not keep to the protocol of its connection.
    Protocol,
    /// Its text is none.
    NotText,
    /// What it sent is too large.
    TooBig,
    /// It does not read as fast as it is written to.
    TooSlow,
    /// It did not answer for too long.
    Gone,
    /// The server has no room for it.
    Busy,
    /// The server stops.
    Stopping,
}

impl CloseReason {
    /// All of them.
    pub const ALL: [Self; 10] = [
        Self::Left,
        Self::Revoked,
        Self::Limited,
        Self::Protocol,
        Self::NotText,
        Self::TooBig,
        Self::TooSlow,
        Self::Gone,
        Self::Busy,
        Self::Stopping,
    ];
}

/// What was taken from an outlet.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Taken {
    /// Parcels, to be written; there may be more.
    Some,
    /// These are the last: they end with what the peer is told of it. The connection is then to be closed, saying why.
    Last(CloseReason),
}

/// Parcels that are taken at once at most: they go out in one vectored write, and systems take no more than 1,024
/// pieces in one. What was taken is not counted in the queue any more, so it is kept small.
const TAKEN_COUNT_MAX: usize = 64;
/// Bytes that are taken at once, unless one parcel alone is larger.
const TAKEN_BYTES_MAX: usize = 1 << 20;
/// What a connection may have before it when the node has too much waiting altogether. Those with more are known, so
/// that they are found then.
const WHEN_SHORT_BYTES_MAX: usize = 1 << 20;
/// Places for parcels that an empty queue keeps: some hundred bytes. Whoever had more gives them back, or each burst
/// would stay with each of ten thousand idle connections.
const PLACES_KEPT_MAX: usize = 8;

/// What is told to who reads too slowly.
const TOO_SLOW: &str = "You are reading too slowly: reconnect to go on";

/// What one connection is still to be sent, in order and within bounds. Whoever pushes never waits.
///
/// One task takes; any may push.
pub struct Outlet {
    printer: Arc<Printer>,
    queue: Mutex<Queue>,
}

#[derive(Default)]
struct Queue {
    parcels: VecDeque<Parcel>,
    /// Bytes of `parcels`.
    bytes: usize,
    /// Documents among them.
    documents: usize,
    /// Whether it is known to be one that holds much.
    is_heavy: bool,
    /// Documents that were ever pushed, also those that were dropped.
    pushed: u64,
    /// Up to which of them the client was asked whether it has read them.
    asked: u64,
    /// Set once: nothing is pushed any more.
    closing: Option<CloseReason>,
    /// Whoever waits for something to take. It is only there while there is nothing.
    taker: Option<Waker>,
    /// Whoever waits for it to be closed.
    watcher: Option<Waker>,
}

impl Outlet {
    /// An empty one. It takes some 100 bytes until something is pushed.
    pub(super) fn new(printer: Arc<Printer>) -> Self {
        Self { printer, queue: Mutex::default() }
    }

    /// Puts a parcel at the end; ignored when the connection is being closed.
    ///
    /// Where that is more than may wait, superseded documents are dropped; if that is not enough, so is everything, and
    /// the connection is told that it reads too slowly, and closed.
    pub(super) fn push(self: &Arc<Self>, parcel: Parcel) {
        let mut queue = self.queue();
        queue.pushed += u64::from(parcel.kind == ParcelKind::Document);
        if queue.closing.is_some() {
            return;
        }
        self.add(&mut queue, parcel);
        if self.is_overfull(&queue) {
            self.relieve(&mut queue);
        }
        if queue.bytes > WHEN_SHORT_BYTES_MAX && !queue.is_heavy {
            queue.is_heavy = true;
            self.printer.heavy().enter(self);
        }
        Self::wake(queue);
    }

    /// Which document was pushed last: they are counted from 1.
    pub(super) fn pushed(&self) -> u64 {
        self.queue().pushed
    }

    /// Up to which document the client is to be asked now whether it has read them, where that matters: whatever was taken
    /// was written, and nothing waits. Whatever answers it was sent after them. Once for each.
    #[must_use]
    pub fn to_ask(&self) -> Option<u64> {
        let mut queue = self.queue();
        let is_due = self.printer.asks && queue.pushed > queue.asked;
        if !is_due || !queue.parcels.is_empty() || queue.closing.is_some() {
            return None;
        }
        queue.asked = queue.pushed;
        Some(queue.asked)
    }

    /// Whether the client was asked whether it has read this document.
    pub(super) fn has_asked(&self, ordinal: u64) -> bool {
        ordinal <= self.queue().asked
    }

    /// Ends the queue: what is in it is still sent, then `last`, and then the connection is closed. The first reason
    /// stays, and nothing is pushed after it.
    ///
    /// Of a connection that is revoked or gone, what waits is dropped: it may be read slowly, or not at all.
    pub(super) fn close(&self, reason: CloseReason, last: Option<Parcel>) {
        let mut queue = self.queue();
        if queue.closing.is_some() {
            return;
        }
        if matches!(reason, CloseReason::Revoked | CloseReason::Gone) {
            self.clear(&mut queue);
        }
        self.end(&mut queue, reason, last);
        Self::wake(queue);
    }

    /// What of what waits on the node is freed when this one is given up: of a message that waits for others as well,
    /// its share.
    fn share(&self) -> usize {
        self.queue().parcels.iter().map(Parcel::share).sum()
    }

    /// Gives the connection up for others, if it still holds much without the documents that are superseded. One that is
    /// being closed already is not sent what waits for it either.
    fn give_up(&self) {
        let mut queue = self.queue();
        self.drop_superseded(&mut queue);
        if !queue.is_heavy {
            return;
        }
        self.clear(&mut queue);
        if queue.closing.is_none() {
            self.end(&mut queue, CloseReason::TooSlow, Some(self.printer.last_words(TOO_SLOW)));
        }
        Self::wake(queue);
    }

    /// Whether the connection is being closed: what its client still sends does not matter any more.
    #[must_use]
    pub fn is_closing(&self) -> bool {
        self.queue().closing.is_some()
    }

    /// Waits until there is something to write, and moves it to the end of `into`: at most 64 parcels or 1 MiB, or one
    /// larger one. Asked again after the last, it says so again.
    ///
    /// May be dropped midway: nothing is lost by it. Only one may wait at a time.
    pub async fn take(&self, into: &mut Vec<Parcel>) -> Taken {
        poll_fn(|context| {
            let mut queue = self.queue();
            if queue.parcels.is_empty() && queue.closing.is_none() {
                queue.taker = Some(context.waker().clone());
                return Poll::Pending;
            }
            self.hand_out(&mut queue, into);
            match queue.closing {
                Some(reason) if queue.parcels.is_empty() => Poll::Ready(Taken::Last(reason)),
                _ => Poll::Ready(Taken::Some),
            }
        })
        .await
    }

    /// Waits until the connection is being closed, and says why. May be dropped midway. Only one task may wait at a time,
    /// in as many places as it likes.
    pub async fn closing(&self) -> CloseReason {
        poll_fn(|context| {
            let mut queue = self.queue();
            if let Some(reason) = queue.closing {
                return Poll::Ready(reason);
            }
            queue.watcher = Some(context.waker().clone());
            Poll::Pending
        })
        .await
    }

    /// Unlocks, and wakes whoever waits for what has happened.
    fn wake(mut queue: MutexGuard<'_, Queue>) {
        let taker = queue.taker.take();
        let watcher = if queue.closing.is_some() { queue.watcher.take() } else { None };
        drop(queue);
        taker.into_iter().chain(watcher).for_each(Waker::wake);
    }

    fn hand_out(&self, queue: &mut Queue, into: &mut Vec<Parcel>) {
        let (mut count, mut bytes) = (0, 0);
        while let Some(parcel) = queue.parcels.front() {
            let size = parcel.bytes.len();
            if count > 0 && (count == TAKEN_COUNT_MAX || bytes + size > TAKEN_BYTES_MAX) {
                break;
            }
            (count, bytes) = (count + 1, bytes + size);
            queue.documents -= usize::from(parcel.kind == ParcelKind::Document);
            into.extend(queue.parcels.pop_front());
        }
        self.forget_bytes(queue, bytes);
        if queue.parcels.is_empty() && queue.parcels.capacity() > PLACES_KEPT_MAX {
            queue.parcels = VecDeque::new();
        }
    }

    fn add(&self, queue: &mut Queue, parcel: Parcel) {
        self.printer.tally().queued(parcel.bytes.len());
        queue.bytes += parcel.bytes.len();
        queue.documents += usize::from(parcel.kind == ParcelKind::Document);
        queue.parcels.push_back(parcel);
    }

    /// Whether more waits than may. One parcel alone is never too much for an empty queue, however large: it could not
    /// be delivered to anybody.
    fn is_overfull(&self, queue: &Queue) -> bool {
        let Printer { queue_count_max, queue_bytes_max, .. } = *self.printer;
        let count = queue.parcels.len();
        count > queue_count_max.max(1) || (queue.bytes > queue_bytes_max && count > 1)
    }

    /// Drops documents that are superseded, and gives the connection up where that does not help.
    fn relieve(&self, queue: &mut Queue) {
        self.drop_superseded(queue);
        if self.is_overfull(queue) {
            self.clear(queue);
            self.end(queue, CloseReason::TooSlow, Some(self.printer.last_words(TOO_SLOW)));
        }
    }

    fn drop_superseded(&self, queue: &mut Queue) {
        let mut bytes = 0;
        let mut documents = queue.documents;
        queue.parcels.retain(|parcel| {
            let is_document = parcel.kind == ParcelKind::Document;
            let is_kept = !is_document || documents == 1;
            documents -= usize::from(is_document);
            bytes += if is_kept { 0 } else { parcel.bytes.len() };
            is_kept
        });
        queue.documents = queue.documents.min(1);
        self.forget_bytes(queue, bytes);
    }

    fn end(&self, queue: &mut Queue, reason: CloseReason, last: Option<Parcel>) {
        last.into_iter().for_each(|last| self.add(queue, last));
        queue.closing = Some(reason);
        self.printer.tally().closed(reason);
    }

    fn clear(&self, queue: &mut Queue) {
        queue.parcels = VecDeque::new();
        queue.documents = 0;
        self.forget_bytes(queue, queue.bytes);
    }

    fn forget_bytes(&self, queue: &mut Queue, bytes: usize) {
        queue.bytes -= bytes;
        if queue.is_heavy && queue.bytes <= WHEN_SHORT_BYTES_MAX {
            queue.is_heavy = false;
            self.printer.heavy().leave(self);
        }
        self.printer.tally().unqueued(bytes);
    }

    fn queue(&self) -> MutexGuard<'_, Queue> {
        self.queue.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Drop for Outlet {
    fn drop(&mut self) {
        let mut queue = self.queue();
        self.clear(&mut queue);
    }
}
