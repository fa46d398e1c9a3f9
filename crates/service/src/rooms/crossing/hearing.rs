//! What follows from what other nodes tell.

use std::ops::{Deref, DerefMut};
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::Ordering::Relaxed;

use futures_util::StreamExt as _;
use futures_util::stream::FuturesUnordered;
use tombolo_core::{NodeId, Purpose};
use tombolo_storage::{Frame, Listener, Message, SpaceAddress};

use super::ears::{Ears, Heard};
use super::wire::{Note, What};
use super::{Crossing, Listening, TOPIC};
use crate::rooms::Rooms;
use crate::rooms::hub::OpenRoom;
use crate::rooms::lock::lock;
use crate::rooms::outlet::CloseReason;

/// What is told where something of other nodes is lost.
const LOST: &str = "Some messages of other peers may be lost: reload to be sure";

/// What is read while others are heard.
type Reading<'a> = FuturesUnordered<Pin<Box<dyn Future<Output = ()> + Send + 'a>>>;

/// A listener that is given back when whoever hears it is dropped midway.
struct Held<'a> {
    crossing: &'a Crossing,
    listener: Option<Listener>,
}

/// The one who reads what others stored in a room, until it is dropped, midway or at its end.
struct Reader(Arc<OpenRoom>);

impl Reader {
    /// `None` where there is one already.
    fn begin(room: Arc<OpenRoom>) -> Option<Self> {
        (!room.is_reading.swap(true, Relaxed)).then(|| Self(room))
    }
}

impl Drop for Reader {
    fn drop(&mut self) {
        self.0.is_reading.store(false, Relaxed);
    }
}

impl Crossing {
    /// Waits until there is something to be listened to.
    async fn listener(&self) -> Held<'_> {
        loop {
            {
                let mut interest = lock(&self.interest);
                match std::mem::take(&mut interest.listening) {
                    Listening::Begun(listener) => {
                        interest.listening = Listening::Yes;
                        return Held { crossing: self, listener: Some(listener) };
                    }
                    other => interest.listening = other,
                }
            }
            self.begun.notified().await;
        }
    }
}

impl Held<'_> {
    /// Stops listening if nobody is interested any more.
    fn ends(&mut self) -> bool {
        let mut interest = lock(&self.crossing.interest);
        if interest.count > 0 {
            return false;
        }
        interest.listening = Listening::No;
        self.listener = None;
        true
    }
}

impl Deref for Held<'_> {
    type Target = Listener;

    fn deref(&self) -> &Listener {
        self.listener.as_ref().expect("it is there until it ends")
    }
}

impl DerefMut for Held<'_> {
    fn deref_mut(&mut self) -> &mut Listener {
        self.listener.as_mut().expect("it is there until it ends")
    }
}

impl Drop for Held<'_> {
    fn drop(&mut self) {
        if let Some(listener) = self.listener.take() {
            lock(&self.crossing.interest).listening = Listening::Begun(listener);
            self.crossing.begun.notify_one();
        }
    }
}

impl Rooms {
    /// Hears what other nodes tell while rooms are open, until the store is gone, and tells them what waits for them.
    pub(in crate::rooms) async fn hear_and_tell(&self) {
        tokio::select! {
            () = self.hear_others() => {}
            () = self.crossing.pump.run(self.store.bus()) => {}
        }
    }

    async fn hear_others(&self) {
        loop {
            let mut listener = self.crossing.listener().await;
            let mut ears = Ears::new(self.crossing.pump.node());
            let mut reading = Reading::new();
            while !listener.ends() {
                tokio::select! {
                    message = listener.next() => match message {
                        Some(message) => self.hear_one(message, &mut ears, &reading),
                        None => return,
                    },
                    Some(()) = reading.next() => {}
                }
            }
        }
    }

    fn hear_one<'a>(&'a self, message: Message, ears: &mut Ears, reading: &Reading<'a>) {
        match message {
            Message::Grew(space, head) if space.purpose == Purpose::Rooms => {
                if let Some(room) = self.hub.at(space) {
                    room.live.hear_of(head);
                    self.read_if_behind(room, reading);
                }
            }
            Message::Frame(Frame { topic, payload }) if &*topic == TOPIC => match ears.hear(&payload) {
                Heard::Notes(node, notes) => self.take_notes(node, notes),
                Heard::NotesAfterGap(node, notes) => {
                    self.lose(|room| room.live.others().contains(&node));
                    self.take_notes(node, notes);
                }
                Heard::Nothing => {}
            },
            Message::Gap => {
                ears.know_of_gap();
                self.lose(|room| !room.live.others().is_empty());
                reading.push(Box::pin(async {
                    if let Err(error) = self.look().await {
                        tracing::debug!(%error, "what others stored could not be read; it is tried again");
                    }
                }));
            }
            Message::Grew(..) | Message::Accounts | Message::Frame(_) => {}
        }
    }

    /// Reads what others stored, beside what is heard meanwhile. One reader for each room, and few at once; the others
    /// wait, of which there are no more than rooms.
    fn read_if_behind<'a>(&'a self, room: Arc<OpenRoom>, reading: &Reading<'a>) {
        let Some(reader) = room.live.is_behind().then(|| Reader::begin(room)).flatten() else { return };
        reading.push(Box::pin(async move {
            let _place = self.crossing.reading.acquire().await.expect("it is never closed");
            if let Err(error) = self.catch_up(&reader.0).await {
                tracing::debug!(%error, "what others stored could not be read; it is tried again");
            }
        }));
    }

    fn take_notes(&self, node: NodeId, notes: Vec<Note>) {
        for Note { space, what } in notes {
            match self.hub.at(space) {
                Some(room) => self.take_note(node, &room, what),
                None => self.pass_answer(node, space, &what),
            }
        }
    }

    fn pass_answer(&self, node: NodeId, space: SpaceAddress, what: &What) {
        match what {
            What::Here(peers) => self.crossing.answer(node, space, peers),
            What::Closed => self.crossing.answer(node, space, &[]),
            _ => {}
        }
    }

    fn take_note(&self, node: NodeId, room: &OpenRoom, what: What) {
        self.pass_answer(node, room.space, &what);
        if matches!(what, What::WhoIsThere) {
            let _telling = lock(&room.telling);
            self.crossing.pump.tell(room.space, What::Here(room.live.own_peers()));
            return;
        }
        if matches!(what, What::Closed) {
            room.live.forget(node);
            room.answered.notify_one();
            return;
        }
        // Whatever else it tells, it has the room open.
        lock(&room.met).insert(node);
        room.live.meet(node);
        match what {
            What::Joined(peer) => room.live.joined_at(node, peer),
            What::Left(peer) => room.live.left_at(node, &peer),
            What::Data { from, data } => {
                room.has_data.store(true, Relaxed);
                room.live.data_from(&from, &data);
            }
            What::Opened => {
                let _telling = lock(&room.telling);
                self.crossing.pump.tell(room.space, What::Here(room.live.own_peers()));
            }
            What::Here(peers) => {
                room.live.here(node, peers);
                room.answered.notify_one();
            }
            What::Missed => self.lose_of(room),
            What::WhoIsThere | What::Closed => {}
        }
    }

    fn lose(&self, is_lost: impl Fn(&OpenRoom) -> bool) {
        for room in self.hub.all() {
            if is_lost(&room) {
                self.lose_of(&room);
            }
        }
    }

    /// Something of other nodes is lost: peers are told, and who is there is asked anew. Where data are passed on that
    /// come but once, peers had better come again.
    fn lose_of(&self, room: &OpenRoom) {
        if room.has_data.load(Relaxed) {
            room.live.close_all(CloseReason::Busy, LOST);
        } else {
            room.live.tell_all(LOST);
        }
        self.crossing.ask_again(room);
    }
}
