//! What the nodes that have a room open tell each other.
//!
//! Documents cross through the store: each that is stored is told on the bus as a log that grew, and whoever has the
//! room open and knows less reads it. Everything else crosses in frames, while another node has the room open: who comes
//! and goes, and what peers pass on. A node that opens a room asks who is there before anybody joins.

mod ears;
mod hearing;
mod pump;
#[cfg(test)]
mod tests;
mod wire;

use std::collections::{HashMap, HashSet};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use tokio::sync::{Notify, Semaphore};
use tokio::time::timeout;
use tombolo_core::{NodeId, PeerName};
use tombolo_storage::{Bus, Listener, SpaceAddress};

use self::pump::Pump;
use self::wire::What;
use super::codec::PeerInfo;
use super::hub::OpenRoom;
use super::keeping::AT_ONCE_MAX;
use super::live::News;
use super::lock::lock;

/// What frames of rooms belong to.
const TOPIC: &str = "rooms";
/// How long other nodes are waited for before somebody joins: one that was killed says nothing.
const ANSWER_MAX: Duration = Duration::from_secs(1);
/// How long they are waited for when somebody only asks who is there.
const LOOK_MAX: Duration = Duration::from_millis(300);

/// What this node tells the others, and whether it listens to them.
pub(super) struct Crossing {
    pub(super) pump: Pump,
    interest: Mutex<Interest>,
    /// Told when there is a listener to be taken.
    begun: Notify,
    asks: Mutex<HashMap<SpaceAddress, Vec<Arc<Ask>>>>,
    /// Places of those who read what others stored.
    reading: Semaphore,
}

/// Who listens. What others say is asked for on the database only where somebody hears it.
#[derive(Default)]
struct Interest {
    /// Rooms that are open, and questions that are.
    count: usize,
    listening: Listening,
}

#[derive(Default)]
enum Listening {
    /// Nobody does.
    #[default]
    No,
    /// It has begun, and is kept until somebody hears it.
    Begun(Listener),
    /// Somebody does.
    Yes,
}

/// That somebody wishes to hear what others tell; dropped, not any more.
pub(super) struct Attention(Arc<Crossing>);

impl Drop for Attention {
    fn drop(&mut self) {
        lock(&self.0.interest).count -= 1;
    }
}

/// A question who is in a room, asked by a node that does not have it open.
struct Ask {
    answers: Mutex<Answers>,
    answered: Notify,
}

/// That somebody waits for the answers to a question.
struct Asked<'a> {
    crossing: &'a Crossing,
    space: SpaceAddress,
    ask: Arc<Ask>,
}

struct Answers {
    awaited: HashSet<NodeId>,
    peers: Vec<PeerInfo>,
}

impl Crossing {
    pub(super) fn new(node: NodeId) -> Arc<Self> {
        Arc::new(Self {
            pump: Pump::new(node),
            interest: Mutex::default(),
            begun: Notify::new(),
            asks: Mutex::default(),
            reading: Semaphore::new(AT_ONCE_MAX),
        })
    }

    /// Listens from now on, for as long as what this returns is there.
    pub(super) fn attend(self: &Arc<Self>, bus: &dyn Bus) -> Attention {
        let mut interest = lock(&self.interest);
        interest.count += 1;
        if matches!(interest.listening, Listening::No) {
            interest.listening = Listening::Begun(bus.listen());
            self.begun.notify_one();
        }
        drop(interest);
        Attention(Arc::clone(self))
    }

    /// Tells others who came and who went.
    pub(super) fn tell_news(&self, room: &OpenRoom, news: impl IntoIterator<Item = News>) {
        for news in news {
            let what = match news {
                News::Here(peer) => What::Joined(peer),
                News::Gone(peer) => What::Left(peer),
            };
            self.pump.tell(room.space, what);
        }
    }

    /// Tells others what a peer passes on.
    pub(super) fn tell_data(&self, room: &OpenRoom, from: PeerName, data: &str) {
        if !room.live.others().is_empty() {
            self.pump.tell(room.space, What::Data { from, data: data.to_owned() });
        }
    }

    /// Tells others that a room is open here no more.
    pub(super) fn tell_closed(&self, room: &OpenRoom) {
        if !room.live.others().is_empty() {
            self.pump.tell(room.space, What::Closed);
        }
    }

    /// Tells others that a room is open here, who is in it, and asks the same of them.
    pub(super) fn ask_again(&self, room: &OpenRoom) {
        let _telling = lock(&room.telling);
        self.pump.tell(room.space, What::Opened);
        self.pump.tell(room.space, What::Here(room.live.own_peers()));
    }

    /// Asks the nodes that have a room open who is there, and waits until they have said so, or for a second. May be
    /// dropped midway, and begun again.
    pub(super) async fn meet_others(&self, room: &OpenRoom) {
        if room.live.unanswered().is_empty() {
            return;
        }
        self.ask_again(room);
        let all_answer = async {
            while !room.live.unanswered().is_empty() {
                room.answered.notified().await;
            }
        };
        if timeout(ANSWER_MAX, all_answer).await.is_err() {
            tracing::debug!("another node that has a room open did not say who is there");
        }
    }

    /// Who is in a room that `nodes` have open and this one has not, as far as they say so in time.
    pub(super) async fn who_is_there(
        self: &Arc<Self>,
        bus: &dyn Bus,
        space: SpaceAddress,
        nodes: Vec<NodeId>,
    ) -> Vec<PeerInfo> {
        let awaited: HashSet<NodeId> = nodes.into_iter().filter(|node| *node != self.pump.node()).collect();
        if awaited.is_empty() {
            return Vec::new();
        }
        let _attention = self.attend(bus);
        let asked = self.ask(space, awaited);
        self.pump.tell(space, What::WhoIsThere);
        let all_answer = async {
            while !lock(&asked.ask.answers).awaited.is_empty() {
                asked.ask.answered.notified().await;
            }
        };
        if timeout(LOOK_MAX, all_answer).await.is_err() {
            tracing::debug!("another node did not say in time who is in a room");
        }
        in_order(std::mem::take(&mut lock(&asked.ask.answers).peers))
    }

    fn ask(&self, space: SpaceAddress, awaited: HashSet<NodeId>) -> Asked<'_> {
        let answers = Mutex::new(Answers { awaited, peers: Vec::new() });
        let ask = Arc::new(Ask { answers, answered: Notify::new() });
        lock(&self.asks).entry(space).or_default().push(Arc::clone(&ask));
        Asked { crossing: self, space, ask }
    }

    /// Passes an answer on to those who asked.
    fn answer(&self, node: NodeId, space: SpaceAddress, peers: &[PeerInfo]) {
        let asks = lock(&self.asks).get(&space).cloned().unwrap_or_default();
        for ask in asks {
            let mut answers = lock(&ask.answers);
            if answers.awaited.remove(&node) {
                answers.peers.extend_from_slice(peers);
            }
            drop(answers);
            ask.answered.notify_one();
        }
    }
}

impl Drop for Asked<'_> {
    fn drop(&mut self) {
        let mut asks = lock(&self.crossing.asks);
        if let Some(those) = asks.get_mut(&self.space) {
            those.retain(|ask| !Arc::ptr_eq(ask, &self.ask));
            if those.is_empty() {
                asks.remove(&self.space);
            }
        }
    }
}

/// Peers in the order in which they joined, each once, as of its first connection.
fn in_order(mut peers: Vec<PeerInfo>) -> Vec<PeerInfo> {
    peers.sort_by(|one, other| (one.joined_at, &one.id).cmp(&(other.joined_at, &other.id)));
    let mut seen = HashSet::new();
    peers.retain(|peer| seen.insert(peer.id.clone()));
    peers
}
