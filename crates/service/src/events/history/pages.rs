//! A log read page by page while it is sent, for what is not kept.

use std::sync::Arc;

use bytes::Bytes;
use futures_util::stream::{self, StreamExt as _};
use tombolo_core::{Cursor, Resume, Seq};
use tombolo_storage::{Entries, Entry, Logs, PageBounds, Place, SpaceAddress};

use super::super::{Form, Since};
use super::segments::place;
use super::{Encoding, Parts, Shown};
use crate::ServiceError;

/// What is read at a time, and is in memory once for each reader: it takes a fraction of a millisecond to encode, and
/// is as much as a slow reader takes in a second.
pub(super) const PAGE: PageBounds = PageBounds { count_max: 1_000, bytes_max: 256 * 1024 };

/// In which order a log is read, and behind what.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Order {
    /// That of writing.
    Writing(Place),
    /// That of arrival.
    Arrival(Seq),
}

/// A log, and how its entries are sent.
pub(in super::super) struct Log<S: ?Sized> {
    pub(in super::super) store: Arc<S>,
    pub(in super::super) space: SpaceAddress,
    pub(in super::super) form: Form,
    /// Writes an entry behind what is there already.
    pub(in super::super) write: fn(&[u8], Form, &mut Vec<u8>),
}

impl<S: ?Sized> Clone for Log<S> {
    fn clone(&self) -> Self {
        Self { store: Arc::clone(&self.store), ..*self }
    }
}

impl<S: ?Sized> Log<S> {
    pub(super) fn encode(&self, payload: &[u8], text: &mut Vec<u8>) {
        (self.write)(payload, self.form, text);
    }
}

impl<S: Logs + Entries + ?Sized + 'static> Log<S> {
    /// What came after a cursor; after the beginning, where there is none.
    ///
    /// # Errors
    /// [`ServiceError::Store`].
    pub(in super::super) async fn since(&self, after: Option<Cursor>) -> Result<Since, ServiceError> {
        let after = match after {
            None => Seq::ZERO,
            Some(cursor) => match self.store.resume(self.space, cursor).await? {
                Resume::From(seq) => seq,
                Resume::Reset => return Ok(Since::Unknown),
            },
        };
        let head = self.store.head(self.space).await?;
        Ok(Since::News(self.show(Order::Arrival(after), head).await?))
    }
}

impl<S: Entries + ?Sized + 'static> Log<S> {
    /// Shows what lies behind a place, as far as the log goes at `end`. What is read later is read as it was then:
    /// entries stay as they are. The first page is read at once, so that a store that fails is told of, if it can be.
    pub(super) async fn show(&self, order: Order, end: Cursor) -> Result<Shown, ServiceError> {
        let mut pages = Pages { log: self.clone(), order, upto: end.seq, has_begun: false, has_ended: false };
        let first = pages.next().await?.unwrap_or_default();
        let bytes = pages.has_ended.then_some(first.len() as u64);
        Ok(Shown { cursor: end, encoding: Encoding::Identity, bytes, parts: pages.parts(first) })
    }
}

struct Pages<S: ?Sized> {
    log: Log<S>,
    order: Order,
    upto: Seq,
    has_begun: bool,
    has_ended: bool,
}

impl<S: Entries + ?Sized + 'static> Pages<S> {
    fn parts(self, first: Bytes) -> Parts {
        let rest = stream::unfold(Some(self), |pages| async {
            let mut pages = pages?;
            match pages.next().await {
                Ok(page) => page.map(|page| (Ok(page), Some(pages))),
                // Whoever reads finds that the array has no end.
                Err(error) => Some((Err(error), None)),
            }
        });
        Box::pin(stream::once(async { Ok(first) }).chain(rest))
    }

    /// The next part of the array; `None` after its end.
    async fn next(&mut self) -> Result<Option<Bytes>, ServiceError> {
        if self.has_ended {
            return Ok(None);
        }
        let entries = self.read().await?;
        let mut text = Vec::new();
        for entry in &entries {
            text.push(if self.has_begun { b',' } else { b'[' });
            self.has_begun = true;
            self.log.encode(&entry.payload, &mut text);
        }
        if self.has_ended {
            text.extend_from_slice(if self.has_begun { b"]" } else { b"[]" });
        }
        Ok(Some(text.into()))
    }

    async fn read(&mut self) -> Result<Vec<Entry>, ServiceError> {
        let (store, space) = (&self.log.store, self.log.space);
        let mut entries = match self.order {
            Order::Writing(after) => store.timeline(space, after, self.upto, PAGE).await?,
            Order::Arrival(after) if after >= self.upto => Vec::new(),
            Order::Arrival(after) => store.entries(space, after, PAGE).await?.entries,
        };
        entries.retain(|entry| entry.seq <= self.upto);
        self.has_ended = match (&mut self.order, entries.last()) {
            (Order::Writing(after), Some(last)) => {
                *after = place(last);
                false
            }
            (Order::Arrival(after), Some(last)) => {
                *after = last.seq;
                last.seq == self.upto
            }
            (Order::Writing(_), None) => true,
            (Order::Arrival(after), None) if *after >= self.upto => true,
            (Order::Arrival(_), None) => {
                return Err(ServiceError::Internal("a log ends before its end".to_owned()));
            }
        };
        Ok(entries)
    }
}
