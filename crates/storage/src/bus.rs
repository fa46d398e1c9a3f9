//! What the nodes on one database tell each other.

use std::sync::Arc;

use tokio::sync::broadcast;
use tombolo_core::Seq;

use crate::{Reply, SpaceAddress, StoreError};

/// Messages that a listener may be behind before it is told that it missed some.
const BEHIND_MAX: usize = 1_024;
/// Bytes of a frame: more than any protocol's largest message.
pub const FRAME_BYTES_MAX: usize = 1 << 20;
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
    pub payload: Arc<[u8]>,
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
#[derive(Clone, Debug)]
pub struct LocalBus(broadcast::Sender<Message>);

impl Default for LocalBus {
    fn default() -> Self {
        Self(broadcast::channel(BEHIND_MAX).0)
    }
}

impl LocalBus {
    /// Tells everyone in this process. Nobody may be there.
    pub(crate) fn tell(&self, message: Message) {
        drop(self.0.send(message));
    }

    pub(crate) fn has_listeners(&self) -> bool {
        self.0.receiver_count() > 0
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
        Listener(self.0.subscribe())
    }
}
