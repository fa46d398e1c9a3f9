//! What the nodes on one database tell each other.

use std::fmt;
use std::ops::Deref;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use tokio::sync::broadcast;
use tombolo_core::Seq;

use crate::{Reply, SpaceAddress, StoreError};

/// Messages that a listener may be behind before it is told that it missed some.
const BEHIND_MAX: usize = 1_024;
/// Bytes that the frames may hold together which wait for those who listen in this process. As many frames as a
/// listener may be behind would otherwise be some gigabytes.
const WAITING_BYTES_MAX: usize = 64 << 20;
/// Bytes of a frame: a message of rooms may be configured up to 16 MiB, and is wrapped.
pub const FRAME_BYTES_MAX: usize = 17 << 20;
/// Bytes of the name of what a frame belongs to.
pub const TOPIC_BYTES_MAX: usize = 200;

/// Something that happened on one of the nodes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Message {
    /// A space's log grew, up to here at least.
    Grew(SpaceAddress, Seq),
    /// What lets people in was changed.
    Accounts,
    /// A frame that is passed on and not stored.
    Frame(Frame),
    /// Messages may have been missed: whoever relies on them looks for himself.
    Gap,
}

/// What is passed on to those who listen now, and not stored.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Frame {
    /// What it belongs to, in its protocol's words: at most [`TOPIC_BYTES_MAX`].
    pub topic: Arc<str>,
    /// What it says: at most [`FRAME_BYTES_MAX`].
    pub payload: Payload,
}

/// What a frame says. Those who hold it share it.
#[derive(Clone)]
pub struct Payload {
    bytes: Arc<Vec<u8>>,
    /// Its place among what waits, which is given back by the last who holds it; none before it was told.
    _waiting: Option<Arc<Waiting>>,
}

impl From<Vec<u8>> for Payload {
    fn from(bytes: Vec<u8>) -> Self {
        Self { bytes: bytes.into(), _waiting: None }
    }
}

impl Deref for Payload {
    type Target = [u8];

    fn deref(&self) -> &[u8] {
        &self.bytes
    }
}

impl PartialEq for Payload {
    fn eq(&self, other: &Self) -> bool {
        self.bytes == other.bytes
    }
}

impl Eq for Payload {}

impl fmt::Debug for Payload {
    /// How long it is: what it says is somebody's.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} bytes", self.bytes.len())
    }
}

/// A part of the bytes that may wait.
struct Waiting {
    bytes: usize,
    all: Arc<AtomicUsize>,
}

impl Waiting {
    /// Takes a place for so many; `None` when there is none left.
    fn take(all: &Arc<AtomicUsize>, bytes: usize) -> Option<Arc<Self>> {
        let more = |waiting: usize| waiting.checked_add(bytes).filter(|waiting| *waiting <= WAITING_BYTES_MAX);
        all.fetch_update(Ordering::Relaxed, Ordering::Relaxed, more).ok()?;
        Some(Arc::new(Self { bytes, all: Arc::clone(all) }))
    }
}

impl Drop for Waiting {
    fn drop(&mut self) {
        self.all.fetch_sub(self.bytes, Ordering::Relaxed);
    }
}

impl Frame {
    pub(crate) fn check(&self) -> Result<(), StoreError> {
        let is_within = self.payload.len() <= FRAME_BYTES_MAX && self.topic.len() <= TOPIC_BYTES_MAX;
        let too_large = || StoreError::Internal("a frame is too large for the bus".to_owned());
        is_within.then_some(()).ok_or_else(too_large)
    }
}

/// Between the nodes on one database, and inside each.
///
/// # Contract
/// Every message reaches everyone who listens on any node, once, those of one node in their order; or
/// [`Message::Gap`] does in its place. A node hears its own messages without a detour. Nothing is kept for who listens
/// later, and no message says more than the database: a lost one only delays.
pub trait Bus: Send + Sync {
    /// Passes a frame on. Returns when it is on its way, not when it has arrived.
    ///
    /// # Errors
    /// [`StoreError::Internal`] when it is too large: nobody has it. Any other when the other nodes cannot be reached:
    /// those who listen on this one have it.
    fn publish(&self, frame: Frame) -> Reply<'_, ()>;

    /// Listens from now on.
    fn listen(&self) -> Listener;
}

/// One who listens.
#[derive(Debug)]
pub struct Listener(broadcast::Receiver<Message>);

impl Listener {
    /// The next message; `None` when the store is gone. May be dropped midway: nothing is lost by it.
    pub async fn next(&mut self) -> Option<Message> {
        match self.0.recv().await {
            Ok(message) => Some(message),
            Err(broadcast::error::RecvError::Lagged(_)) => Some(Message::Gap),
            Err(broadcast::error::RecvError::Closed) => None,
        }
    }
}

/// The bus inside one process: all there is where only one uses the database.
///
/// A frame for which there is no room beside those that wait is told as a gap: one who does not hear what he listens to
/// costs the others frames, and nobody memory. Those who listen are tasks of this process that do nothing else.
#[derive(Clone, Debug)]
pub struct LocalBus {
    all: broadcast::Sender<Message>,
    /// Bytes of the frames that somebody still has to hear, or holds; each counted once.
    waiting_bytes: Arc<AtomicUsize>,
}

impl Default for LocalBus {
    fn default() -> Self {
        Self { all: broadcast::channel(BEHIND_MAX).0, waiting_bytes: Arc::default() }
    }
}

impl LocalBus {
    /// Tells everyone in this process. Nobody may be there.
    pub(crate) fn tell(&self, message: Message) {
        let message = match message {
            Message::Frame(_) if !self.has_listeners() => return,
            Message::Frame(frame) => self.counted(frame).map_or(Message::Gap, Message::Frame),
            other => other,
        };
        drop(self.all.send(message));
    }

    fn counted(&self, Frame { topic, payload }: Frame) -> Option<Frame> {
        let waiting = Waiting::take(&self.waiting_bytes, payload.len())?;
        Some(Frame { topic, payload: Payload { bytes: payload.bytes, _waiting: Some(waiting) } })
    }

    pub(crate) fn has_listeners(&self) -> bool {
        self.all.receiver_count() > 0
    }
}

impl Bus for LocalBus {
    fn publish(&self, frame: Frame) -> Reply<'_, ()> {
        Box::pin(async move {
            frame.check()?;
            self.tell(Message::Frame(frame));
            Ok(())
        })
    }

    fn listen(&self) -> Listener {
        Listener(self.all.subscribe())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const MIB: usize = 1 << 20;

    fn frame(mib: usize) -> Frame {
        Frame { topic: "t".into(), payload: vec![7; mib * MIB].into() }
    }

    fn heard(listener: &mut Listener) -> Option<Message> {
        match listener.0.try_recv() {
            Ok(message) => Some(message),
            Err(broadcast::error::TryRecvError::Empty) => None,
            Err(error) => panic!("it is neither behind nor closed: {error}"),
        }
    }

    fn waiting_mib(bus: &LocalBus) -> usize {
        let bytes = bus.waiting_bytes.load(Ordering::Relaxed);
        assert_eq!(bytes % MIB, 0, "whole frames");
        bytes / MIB
    }

    fn tell(bus: &LocalBus, mib: usize) {
        bus.tell(Message::Frame(frame(mib)));
    }

    #[test]
    fn frames_that_wait_are_counted_once_and_bounded() {
        let bus = LocalBus::default();
        let mut listeners = [bus.listen(), bus.listen(), bus.listen()];
        (0..4).for_each(|_| tell(&bus, 16));
        assert_eq!(waiting_mib(&bus), 64);
        tell(&bus, 1);
        bus.tell(Message::Accounts);
        tell(&bus, 0);
        for listener in &mut listeners {
            assert_eq!(waiting_mib(&bus), 64, "somebody has still to hear them");
            for _ in 0..4 {
                assert_eq!(heard(listener), Some(Message::Frame(frame(16))));
            }
            assert_eq!(heard(listener), Some(Message::Gap), "there was no room for it");
            assert_eq!(heard(listener), Some(Message::Accounts), "what is no frame needs none");
            assert_eq!(heard(listener), Some(Message::Frame(frame(0))));
            assert_eq!(heard(listener), None);
        }
        assert_eq!(waiting_mib(&bus), 0);
        tell(&bus, 1);
        for listener in &mut listeners {
            assert_eq!(heard(listener), Some(Message::Frame(frame(1))), "there is room again");
        }
    }

    #[test]
    fn what_somebody_holds_is_counted_until_the_last_lets_go() {
        let bus = LocalBus::default();
        tell(&bus, 17);
        assert_eq!(waiting_mib(&bus), 0, "nobody listens");
        let mut listener = bus.listen();
        tell(&bus, 17);
        let held = heard(&mut listener);
        let also = held.clone();
        drop(held);
        assert_eq!(waiting_mib(&bus), 17);
        drop(also);
        assert_eq!(waiting_mib(&bus), 0);
        // Told on by who heard it, it is counted for itself.
        tell(&bus, 17);
        let Some(Message::Frame(one)) = heard(&mut listener) else { panic!("there is room") };
        bus.tell(Message::Frame(one));
        assert_eq!(waiting_mib(&bus), 17);
        drop(listener);
        assert_eq!(waiting_mib(&bus), 0, "nobody is left to hear it");
    }

    /// One who never listens costs the others frames, and not for good.
    #[test]
    fn frames_too_old_to_be_heard_make_room() {
        let bus = LocalBus::default();
        let (idle, mut quick) = (bus.listen(), bus.listen());
        let mut hears_frame = || {
            tell(&bus, 1);
            heard(&mut quick) == Some(Message::Frame(frame(1)))
        };
        assert!((0..64).all(|_| hears_frame()));
        assert!(!(64..BEHIND_MAX).any(|_| hears_frame()), "they are kept for who may still come to hear them");
        assert!((0..64).any(|_| hears_frame()));
        drop(idle);
        assert!(hears_frame());
    }

    #[test]
    fn what_a_frame_says_is_not_shown() {
        assert_eq!(format!("{:?}", Payload::from(b"secret".to_vec())), "6 bytes");
    }
}
