//! Nodes on one store, and peers that connect to them.

use std::net::IpAddr;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use futures_util::FutureExt as _;
use tokio::task::JoinSet;
use tombolo_core::{Name, RoomCode, UserId};
use tombolo_service::{
    AccessChanges, CloseReason, Connection, Entrant, JoinWish, Joined, Notice, RoomCodec, RoomMade, RoomOptions,
    RoomWish, Rooms, Taken,
};
use tombolo_storage::memory::Memory;
use tombolo_storage::{Added, Document, Store};
use tombolo_testkit::TestEnv;

use crate::faulty::Faulty;

/// Writes a line for each notice. A document is a set of words; one with an exclamation mark cannot be read, and at one
/// with a question mark it panics.
struct Lines;

impl RoomCodec for Lines {
    fn encode(&self, notice: Notice<'_>) -> Bytes {
        let line = match notice {
            Notice::RoomInfo { code, host, peers } => {
                let peers: Vec<&str> = peers.iter().map(|peer| peer.id.as_str()).collect();
                format!("room {code} of {}: {}", host.as_str(), peers.join(" "))
            }
            Notice::Connected { peer, code } => format!("connected {} {code}", peer.as_str()),
            Notice::PeerJoined(peer) => format!("joined {}", peer.id.as_str()),
            Notice::PeerLeft(peer) => format!("left {}", peer.as_str()),
            Notice::Document(text) => format!("document {text}"),
            Notice::Data { from, data } => format!("data {} {data}", from.as_str()),
            Notice::Error(text) => format!("error {text}"),
            Notice::Pong => "pong".to_owned(),
        };
        line.into()
    }

    fn merge(&self, base: &str, theirs: &str, mine: &str) -> Option<String> {
        let [base, theirs, mine] = [base, theirs, mine].map(words);
        let (base, theirs, mut merged) = (base?, theirs?, mine?);
        merged.retain(|word| theirs.contains(word) || !base.contains(word));
        merged.extend(theirs.iter().filter(|word| !base.contains(word)));
        merged.sort_unstable();
        merged.dedup();
        Some(merged.join(" "))
    }

    fn taken_in(&self, _: &str) -> Option<String> {
        None
    }

    fn distance(&self, one: &str, other: &str) -> Option<usize> {
        let (one, other) = (words(one)?, words(other)?);
        let alone = |these: &[&str], those: &[&str]| these.iter().filter(|word| !those.contains(word)).count();
        Some(alone(&one, &other) + alone(&other, &one))
    }
}

fn words(text: &str) -> Option<Vec<&str>> {
    assert!(!text.contains('?'), "the codec has a fault");
    (!text.contains('!')).then(|| text.split_whitespace().collect())
}

pub(crate) const HOME: &str = "192.0.2.1";

/// A world in which some nodes serve one database.
pub(crate) struct World {
    pub(crate) memory: Arc<dyn Store>,
    pub(crate) env: Arc<TestEnv>,
    pub(crate) owner: UserId,
}

impl World {
    pub(crate) async fn new() -> Self {
        Self::on(Arc::new(Memory::new())).await
    }

    pub(crate) async fn on(memory: Arc<dyn Store>) -> Self {
        let env = Arc::new(TestEnv::new(7));
        let added = memory.add_user(&Name::parse("owner").unwrap(), None, TestEnv::START).await.unwrap();
        let Added::New(owner) = added else { panic!("the name is free") };
        Self { memory, env, owner }
    }

    pub(crate) fn node(&self) -> Node {
        self.node_with(RoomOptions::default())
    }

    pub(crate) fn node_with(&self, options: RoomOptions) -> Node {
        let node = self.deaf_node(options);
        node.run()
    }

    /// One for which nobody does what has to be done beside.
    pub(crate) fn deaf_node(&self, options: RoomOptions) -> Node {
        let store = Faulty::new(self.memory.clone());
        let changes = Arc::new(AccessChanges::default());
        let rooms = Arc::new(Rooms::new(store.clone(), self.env.clone(), changes.clone(), Arc::new(Lines), options));
        Node { rooms, store, changes, owner: self.owner, tasks: JoinSet::new() }
    }

    /// Lets time pass, for those who wait and on the clock.
    pub(crate) async fn pass(&self, span: Duration) {
        self.env.advance(span);
        tokio::time::sleep(span).await;
        settle().await;
    }

    pub(crate) async fn document(&self, code: &str) -> Option<String> {
        let (room, _) = self.memory.room(self.owner, &RoomCode::parse(code).unwrap()).await.unwrap()?;
        self.memory.document(room.space(), None).await.unwrap().map(|document: Document| document.text)
    }
}

/// Lets everybody else go on until they wait for time to pass.
pub(crate) async fn settle() {
    tokio::time::sleep(Duration::from_millis(1)).await;
}

pub(crate) struct Node {
    pub(crate) rooms: Arc<Rooms>,
    pub(crate) store: Arc<Faulty>,
    pub(crate) changes: Arc<AccessChanges>,
    owner: UserId,
    pub(crate) tasks: JoinSet<()>,
}

impl Node {
    pub(crate) fn run(mut self) -> Self {
        let rooms = self.rooms.clone();
        self.tasks.spawn(async move { rooms.hear().await });
        let rooms = self.rooms.clone();
        self.tasks.spawn(async move { rooms.store_what_is_due().await });
        let rooms = self.rooms.clone();
        self.tasks.spawn(async move { rooms.watch_access().await });
        self
    }

    pub(crate) fn entrant(&self, address: &str) -> Entrant {
        let address: IpAddr = address.parse().unwrap();
        Entrant { owner: self.owner, credential: None, expires_at: None, address }
    }

    pub(crate) async fn make(&self, code: &str) {
        let wish = RoomWish { code: Some(code), host: Some("host") };
        let made = self.rooms.make(self.entrant(HOME), wish).await.unwrap();
        assert!(matches!(made, RoomMade::New(_)), "{made:?}");
    }

    pub(crate) fn connect(&self) -> Peer {
        Peer(self.rooms.connect(self.entrant(HOME)).unwrap())
    }

    /// A peer that has joined as a guest, and has read what it was told.
    pub(crate) async fn guest(&self, code: &str, name: &str) -> Peer {
        let mut peer = self.connect();
        peer.join(code, name).await;
        let lines = peer.lines();
        assert!(lines.contains(&format!("connected {name} {code}")), "{lines:?}");
        peer
    }

    /// The node is gone from one moment to the next.
    pub(crate) async fn kill(mut self) {
        self.tasks.shutdown().await;
    }
}

pub(crate) struct Peer(pub(crate) Connection);

impl Peer {
    pub(crate) async fn join(&mut self, code: &str, peer: &str) -> Joined {
        self.0.join(JoinWish { code, peer, claims_host: false, metadata: None }).await.unwrap()
    }

    /// What it was sent since this was called last.
    pub(crate) fn lines(&self) -> Vec<String> {
        self.read().0
    }

    /// The lines, and why it is being closed.
    pub(crate) fn read(&self) -> (Vec<String>, Option<CloseReason>) {
        let mut lines = Vec::new();
        loop {
            let mut parcels = Vec::new();
            let taken = self.0.outlet().take(&mut parcels).now_or_never();
            lines.extend(parcels.iter().map(|parcel| String::from_utf8(parcel.bytes.to_vec()).unwrap()));
            match taken {
                Some(Taken::Some) => {}
                Some(Taken::Last(reason)) => return (lines, Some(reason)),
                None => return (lines, None),
            }
        }
    }
}
