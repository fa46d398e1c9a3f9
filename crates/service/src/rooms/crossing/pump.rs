//! What a node still has to tell the others, in order and within bounds.

use std::collections::{HashSet, VecDeque};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use bytes::{BufMut, Bytes};
use tokio::sync::Notify;
use tokio::time::sleep;
use tombolo_core::NodeId;
use tombolo_storage::{Bus, Frame, Payload, SpaceAddress, StoreError};

use super::TOPIC;
use super::wire::{BODY_BYTES_MAX, Envelope, Note, Part, What};

/// Notes that wait: what a busy node tells in a second or two, while the database does not answer.
const WAITING_COUNT_MAX: usize = 10_000;
/// Bytes of them.
const WAITING_BYTES_MAX: usize = 64 << 20;
/// Before a frame that could not be sent is tried again.
const AGAIN_AFTER: Duration = Duration::from_secs(1);

/// The one place through which everything leaves that a node tells of its rooms.
pub(in crate::rooms) struct Pump {
    node: NodeId,
    waiting: Mutex<Waiting>,
    wake: Notify,
    /// Held while frames are sent, so that they leave one after the other.
    sending: tokio::sync::Mutex<Sending>,
}

#[derive(Default)]
struct Waiting {
    notes: VecDeque<Bytes>,
    bytes: usize,
    /// Rooms of which something could not be kept. Nothing more of them is, until the others are told.
    missed: HashSet<SpaceAddress>,
}

#[derive(Default)]
struct Sending {
    /// Frames that were made.
    count: u64,
    /// One that was made, and is perhaps not sent: the others take it once, by its number.
    unsent: Option<Payload>,
    /// What is left of a note that does not fit one frame.
    rest: Bytes,
}

impl Pump {
    pub(super) fn new(node: NodeId) -> Self {
        Self { node, waiting: Mutex::default(), wake: Notify::new(), sending: tokio::sync::Mutex::default() }
    }

    /// Who speaks through it.
    pub(in crate::rooms) const fn node(&self) -> NodeId {
        self.node
    }

    /// Tells the others. What does not fit is lost, and they are told so.
    pub(super) fn tell(&self, space: SpaceAddress, what: What) {
        let note = Note { space, what }.encode();
        self.waiting().keep(space, note);
        self.wake.notify_one();
    }

    /// Sends for ever what waits. May be dropped midway: nothing is lost by it.
    pub(super) async fn run(&self, bus: &dyn Bus) {
        loop {
            match self.send_all(bus).await {
                Ok(()) => self.wake.notified().await,
                Err(error) => {
                    tracing::debug!(%error, "other nodes could not be told of rooms; it is tried again");
                    sleep(AGAIN_AFTER).await;
                }
            }
        }
    }

    /// Sends what waits now. May be dropped midway: nothing is lost by it.
    ///
    /// # Errors
    /// What the bus says; the frame is sent again next time.
    pub(in crate::rooms) async fn send_all(&self, bus: &dyn Bus) -> Result<(), StoreError> {
        let mut sending = self.sending.lock().await;
        loop {
            if sending.unsent.is_none() {
                sending.unsent = self.next_frame(&mut sending);
            }
            let Some(payload) = sending.unsent.clone() else { return Ok(()) };
            bus.publish(Frame { topic: TOPIC.into(), payload }).await?;
            sending.unsent = None;
        }
    }

    fn next_frame(&self, sending: &mut Sending) -> Option<Payload> {
        let (part, body) = if sending.rest.is_empty() {
            let notes = self.waiting().take();
            let first = notes.first()?;
            if first.len() > BODY_BYTES_MAX {
                sending.rest = first.clone();
                (Part::First, sending.rest.split_to(BODY_BYTES_MAX))
            } else {
                (Part::Whole, join(&notes))
            }
        } else {
            let len = sending.rest.len().min(BODY_BYTES_MAX);
            let part = if len == sending.rest.len() { Part::Last } else { Part::Further };
            (part, sending.rest.split_to(len))
        };
        sending.count += 1;
        Some(Envelope { node: self.node, number: sending.count, part, body: &body }.encode().into())
    }

    /// Whoever tells something waits until this is dropped.
    #[cfg(test)]
    pub(in crate::rooms) fn hold(&self) -> impl Drop + '_ {
        self.waiting()
    }

    fn waiting(&self) -> MutexGuard<'_, Waiting> {
        self.waiting.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Waiting {
    fn keep(&mut self, space: SpaceAddress, note: Option<Bytes>) {
        if self.missed.contains(&space) {
            return;
        }
        let fits = |note: &Bytes| self.bytes + note.len() <= WAITING_BYTES_MAX && self.notes.len() < WAITING_COUNT_MAX;
        match note.filter(fits) {
            Some(note) => {
                self.bytes += note.len();
                self.notes.push_back(note);
            }
            None => {
                self.missed.insert(space);
            }
        }
    }

    /// As many notes as fit one frame, or one that does not.
    fn take(&mut self) -> Vec<Bytes> {
        if self.notes.is_empty() {
            // Only now: it stands where the first one would have stood that was lost.
            let told = self.missed.drain().filter_map(|space| Note { space, what: What::Missed }.encode());
            self.notes.extend(told);
            self.bytes = self.notes.iter().map(Bytes::len).sum();
        }
        let (mut taken, mut bytes) = (Vec::new(), 0);
        while let Some(note) = self.notes.pop_front_if(|note| taken.is_empty() || bytes + note.len() <= BODY_BYTES_MAX)
        {
            bytes += note.len();
            taken.push(note);
        }
        self.bytes -= bytes;
        taken
    }
}

fn join(notes: &[Bytes]) -> Bytes {
    let mut body = Vec::with_capacity(notes.iter().map(Bytes::len).sum());
    notes.iter().for_each(|note| body.put_slice(note));
    body.into()
}
