//! A model of two rooms that says, of every step, what each connection must have been told.
//!
//! It is as plain as it can be: what is true of a room is worked out anew from all connections that there are.

use std::collections::BTreeMap;

use proptest::prelude::*;

use super::*;
use crate::rooms::codec::{Notice, RoomCodec as _};

const CONNECTIONS: u64 = 5;
const PEERS: [&str; 3] = ["host", "ann", "bo"];
const SAID: [&str; 3] = ["", "x", "y"];
const TEXTS: [&str; 3] = ["", "one", "two"];
const NODES: [i64; 2] = [7, 8];

#[derive(Clone, Debug)]
enum Op {
    Join { connection: u64, room: usize, peer: usize, claims_host: bool, says: usize },
    Leave { connection: u64 },
    Release { connection: u64 },
    Request { connection: u64 },
    Data { connection: u64 },
    Document { connection: u64, text: usize },
    Store { room: usize, missed: Option<usize> },
    StoredElsewhere { room: usize, text: usize },
    Here { room: usize, node: usize, peers: Vec<(usize, usize)> },
    JoinedAt { room: usize, node: usize, peer: usize, says: usize, ago: i64 },
    LeftAt { room: usize, node: usize, peer: usize },
    Forget { room: usize, node: usize },
    DataFrom { room: usize, peer: usize },
    Evict { room: usize },
}

fn op() -> impl Strategy<Value = Op> {
    let (connection, room, node) = (0..CONNECTIONS, 0..2_usize, 0..NODES.len());
    let (peer, says, text) = (0..PEERS.len(), 0..SAID.len(), 0..TEXTS.len());
    let join = (connection.clone(), room.clone(), peer.clone(), any::<bool>(), says.clone());
    let list = proptest::collection::vec((peer.clone(), says.clone()), 0..3);
    let joined_at = (room.clone(), node.clone(), peer.clone(), says, 0..9_i64);
    prop_oneof![
        8 => join.prop_map(|(connection, room, peer, claims_host, says)| {
            Op::Join { connection, room, peer, claims_host, says }
        }),
        4 => connection.clone().prop_map(|connection| Op::Leave { connection }),
        2 => connection.clone().prop_map(|connection| Op::Release { connection }),
        1 => connection.clone().prop_map(|connection| Op::Request { connection }),
        2 => connection.clone().prop_map(|connection| Op::Data { connection }),
        4 => (connection, text.clone()).prop_map(|(connection, text)| Op::Document { connection, text }),
        2 => (room.clone(), proptest::option::of(text.clone())).prop_map(|(room, missed)| Op::Store { room, missed }),
        2 => (room.clone(), text).prop_map(|(room, text)| Op::StoredElsewhere { room, text }),
        2 => (room.clone(), node.clone(), list).prop_map(|(room, node, peers)| Op::Here { room, node, peers }),
        3 => joined_at.prop_map(|(room, node, peer, says, ago)| Op::JoinedAt { room, node, peer, says, ago }),
        2 => (room.clone(), node.clone(), peer.clone()).prop_map(|(room, node, peer)| Op::LeftAt { room, node, peer }),
        1 => (room.clone(), node).prop_map(|(room, node)| Op::Forget { room, node }),
        1 => (room.clone(), peer).prop_map(|(room, peer)| Op::DataFrom { room, peer }),
        1 => room.prop_map(|room| Op::Evict { room }),
    ]
}

/// Somebody in a room: by a connection of this node, or on another node.
#[derive(Clone, Debug)]
struct Someone {
    connection: Option<u64>,
    node: Option<i64>,
    peer: &'static str,
    says: &'static str,
    is_withheld: bool,
}

impl Someone {
    fn is(&self, node: i64, peer: &str) -> bool {
        self.node == Some(node) && self.peer == peer
    }
}

#[derive(Clone, Debug, Default)]
struct ModelRoom {
    number: i64,
    /// Who said last what it says comes last.
    there: Vec<Someone>,
    /// When each peer joined that is there.
    since: BTreeMap<&'static str, i64>,
    document: Option<String>,
    is_dirty: bool,
    version: u64,
    /// The newest version that was shown, or is the document.
    shown: u64,
    /// Whether another document than this was shown after it.
    is_covered: bool,
    is_ended: bool,
}

/// What each connection must have been told.
type Told = BTreeMap<u64, Vec<String>>;

fn line(notice: Notice<'_>) -> String {
    String::from_utf8(Lines.encode(notice).to_vec()).unwrap()
}

impl ModelRoom {
    fn infos(&self) -> Vec<PeerInfo> {
        let mut peers: Vec<(&str, i64)> = self.since.iter().map(|(peer, at)| (*peer, *at)).collect();
        peers.sort_by_key(|peer| peer.1);
        let says = |peer: &str| self.there.iter().rfind(|one| one.peer == peer).unwrap().says;
        peers.into_iter().map(|(peer, at)| there(peer, at, says(peer))).collect()
    }

    fn info(&self, peer: &str) -> PeerInfo {
        self.infos().into_iter().find(|info| info.id.as_str() == peer).unwrap()
    }

    /// What this node says of a peer, by its own connections.
    fn own(&self, peer: &str) -> Option<PeerInfo> {
        let newest = self.there.iter().rfind(|one| one.peer == peer && one.connection.is_some())?;
        Some(there(peer, self.since[peer], newest.says))
    }

    fn news(&self, peer: &str, before: Option<PeerInfo>) -> Option<News> {
        match (before, self.own(peer)) {
            (Some(_), None) => Some(News::Gone(name(peer))),
            (before, Some(after)) if before.as_ref().map(|it| &it.metadata) != Some(&after.metadata) => {
                Some(News::Here(after))
            }
            _ => None,
        }
    }

    fn tell(&self, told: &mut Told, line: &str, is_told: impl Fn(&Someone) -> bool) {
        for one in self.there.iter().filter(|one| is_told(one)) {
            if let Some(connection) = one.connection {
                told.entry(connection).or_default().push(line.to_owned());
            }
        }
    }

    /// Whoever it is comes, at the end.
    fn come(&mut self, told: &mut Told, someone: Someone, at: i64) {
        let peer = someone.peer;
        let is_new = !self.since.contains_key(peer);
        let since = self.since.entry(peer).or_insert(at);
        *since = at.min(*since);
        self.there.push(someone);
        if is_new {
            let joined = line(Notice::PeerJoined(&self.info(peer)));
            let newcomer = self.there.last().unwrap().connection;
            self.tell(told, &joined, |one| one.connection != newcomer);
        }
    }

    fn go(&mut self, told: &mut Told, is_it: impl Fn(&Someone) -> bool) {
        let gone: Vec<Someone> = self.there.iter().filter(|one| is_it(one)).cloned().collect();
        self.there.retain(|one| !is_it(one));
        for one in gone {
            if self.there.iter().all(|left| left.peer != one.peer) && self.since.remove(one.peer).is_some() {
                self.tell(told, &line(Notice::PeerLeft(&name(one.peer))), |_| true);
            }
        }
    }

    fn find(&self, connection: u64) -> Option<usize> {
        self.there.iter().position(|one| one.connection == Some(connection))
    }

    fn show(&mut self, told: &mut Told, but: Option<u64>) {
        let document = format!("document {}", self.document.as_ref().unwrap());
        self.tell(told, &document, |one| !one.is_withheld && (but.is_none() || one.connection != but));
    }

    /// Others stored a document, and this one is stored after it, or to be.
    fn cover(&mut self, told: &mut Told, text: &str) {
        if self.document.as_deref() != Some(text) {
            self.is_covered = true;
            self.tell(told, &format!("document {text}"), |one| !one.is_withheld);
        }
    }

    fn join(&mut self, told: &mut Told, someone: Someone, at: i64) -> Result<Arrival, NotJoined> {
        if self.is_ended {
            return Err(NotJoined::Shut);
        }
        let (connection, peer, is_withheld) = (someone.connection.unwrap(), someone.peer, someone.is_withheld);
        let mut news = Vec::new();
        if let Some(before) = self.find(connection) {
            let before = self.there[before].peer;
            if before != peer {
                news.extend(self.leave(told, connection).flatten());
            }
        }
        let own = self.own(peer);
        self.there.retain(|one| one.connection != Some(connection));
        self.come(told, someone, at);
        news.extend(self.news(peer, own));
        let room = room(self.number);
        let (code, host) = (&room.code, &room.host);
        let lines = told.entry(connection).or_default();
        lines.push(line(Notice::RoomInfo { code, host, peers: &self.infos() }));
        lines.push(line(Notice::Connected { peer: &name(peer), code }));
        lines.extend(self.document.iter().filter(|_| !is_withheld).map(|text| format!("document {text}")));
        lines.push(line(Notice::PeerJoined(&self.info(peer))));
        Ok(Arrival { is_withheld, news })
    }

    fn leave(&mut self, told: &mut Told, connection: u64) -> Option<Option<News>> {
        let peer = self.there[self.find(connection)?].peer;
        let own = self.own(peer);
        self.go(told, |one| one.connection == Some(connection));
        Some(self.news(peer, own))
    }
}

/// Rooms and their model.
struct Run {
    common: Arc<Common>,
    env: Arc<TestEnv>,
    rooms: Vec<LiveRoom>,
    models: Vec<ModelRoom>,
    outlets: Vec<Arc<Outlet>>,
    now: i64,
}

impl Run {
    fn new() -> Self {
        let env = Arc::new(TestEnv::new(1));
        let common = Common::new(Arc::new(Lines), env.clone(), &RoomOptions::default());
        let open = |number: i64| {
            let document = (number == 2).then(|| document(1, "stored"));
            let opened = OpenedRoom { room: room(number), document, others: vec![] };
            LiveRoom::open(opened, Arc::clone(&common), at(0)).unwrap()
        };
        let model = |number: i64| ModelRoom {
            number,
            document: (number == 2).then(|| "stored".to_owned()),
            version: u64::from(number == 2),
            shown: u64::from(number == 2),
            ..ModelRoom::default()
        };
        let outlets = (0..CONNECTIONS).map(|_| Arc::new(Outlet::new(Arc::clone(&common.printer)))).collect();
        Self { rooms: vec![open(1), open(2)], models: vec![model(1), model(2)], common, env, outlets, now: 0 }
    }

    fn room_of(&self, connection: u64) -> Option<usize> {
        self.models.iter().position(|model| model.find(connection).is_some())
    }

    /// A peer of another node as it is told; no two joined at the same time.
    fn far(&self, peer: usize, says: usize, ago: i64) -> PeerInfo {
        there(PEERS[peer], (self.now - ago) * 1_000 + self.now, SAID[says])
    }

    fn step(&mut self, op: &Op) {
        self.now += 1;
        let now = at(self.now * 1_000);
        self.env.set(now);
        let mut told = Told::new();
        match *op {
            Op::Join { .. } | Op::Leave { .. } => self.come_and_go(op, now, &mut told),
            Op::Release { .. } | Op::Request { .. } | Op::Data { .. } | Op::Document { .. } => {
                self.send(op, &mut told);
            }
            Op::Store { .. } | Op::StoredElsewhere { .. } | Op::Evict { .. } => self.keep(op, &mut told),
            _ => self.hear(op, &mut told),
        }
        for connection in 0..CONNECTIONS {
            let read = drain(&self.outlets[usize::try_from(connection).unwrap()]);
            assert_eq!(read, told.remove(&connection).unwrap_or_default(), "connection {connection} after {op:?}");
        }
        for (room, model) in self.rooms.iter().zip(&self.models) {
            assert_eq!(room.peers(), model.infos());
            assert_eq!(
                room.own_peers(),
                model.infos().iter().filter_map(|info| model.own(info.id.as_str())).collect::<Vec<_>>()
            );
            let is_empty = model.there.iter().all(|one| one.connection.is_none());
            assert_eq!(room.empty_since().is_some(), is_empty);
            assert_eq!((room.is_dirty(), room.version()), (model.is_dirty, Seq::new(model.version)));
        }
    }

    fn come_and_go(&mut self, op: &Op, now: ServerTime, told: &mut Told) {
        match *op {
            Op::Join { connection, room, peer, claims_host, says } => {
                let before = self.room_of(connection).filter(|before| *before != room);
                let metadata = (!SAID[says].is_empty()).then(|| SAID[says].into());
                let outlet = Arc::clone(&self.outlets[usize::try_from(connection).unwrap()]);
                let (connection_id, peer) = (ConnectionId(connection), PEERS[peer]);
                let new = NewMember { connection: connection_id, peer: name(peer), metadata, claims_host, outlet, now };
                let joined = self.rooms[room].join(new);
                let is_withheld = claims_host && peer == "host";
                let someone = Someone { connection: Some(connection), node: None, peer, says: SAID[says], is_withheld };
                let expected = self.models[room].join(told, someone, now.micros());
                assert_eq!(joined, expected);
                // It moves: as whoever keeps the rooms does it.
                if let Some(before) = before.filter(|_| joined.is_ok()) {
                    let left = self.rooms[before].leave(connection_id, now);
                    assert_eq!(left, self.models[before].leave(told, connection));
                }
            }
            Op::Leave { connection } => {
                for (room, model) in self.rooms.iter().zip(&mut self.models) {
                    assert_eq!(room.leave(ConnectionId(connection), now), model.leave(told, connection));
                }
            }
            _ => unreachable!(),
        }
    }

    fn send(&mut self, op: &Op, told: &mut Told) {
        for (room, model) in self.rooms.iter().zip(&mut self.models) {
            match *op {
                Op::Release { connection } => {
                    room.release(ConnectionId(connection));
                    if let Some(found) = model.find(connection).filter(|found| model.there[*found].is_withheld) {
                        model.there[found].is_withheld = false;
                        let lines = told.entry(connection).or_default();
                        lines.extend(model.document.iter().map(|text| format!("document {text}")));
                    }
                }
                Op::Request { connection } => {
                    let found = model.find(connection);
                    assert_eq!(room.request(ConnectionId(connection)), found.is_some());
                    if let Some(found) = found {
                        model.there[found].is_withheld = false;
                        let text = model.document.clone().unwrap_or_default();
                        told.entry(connection).or_default().push(format!("document {text}"));
                    }
                }
                Op::Data { connection } => {
                    let peer = model.find(connection).map(|found| model.there[found].peer);
                    assert_eq!(room.data(ConnectionId(connection), "hi"), peer.map(name));
                    if let Some(peer) = peer {
                        model.tell(told, &format!("data {peer}: hi"), |one| one.connection != Some(connection));
                    }
                }
                Op::Document { connection, text } => {
                    let written = room.document_from(ConnectionId(connection), TEXTS[text]);
                    let Some(found) = model.find(connection) else {
                        assert_eq!(written, Written::NotHere);
                        continue;
                    };
                    model.there[found].is_withheld = false;
                    let is_same = model.document.as_deref() == Some(TEXTS[text]);
                    assert_eq!(written, if is_same { Written::Unchanged } else { Written::Dirty });
                    model.is_dirty |= !is_same;
                    model.is_covered = false;
                    model.document = Some(TEXTS[text].to_owned());
                    model.show(told, Some(connection));
                }
                _ => unreachable!(),
            }
        }
    }

    fn keep(&mut self, op: &Op, told: &mut Told) {
        match *op {
            Op::Store { room, missed } => {
                let (room, model) = (&self.rooms[room], &mut self.models[room]);
                let to_store = room.to_store();
                assert_eq!(to_store.is_some(), model.is_dirty);
                if let Some(to_store) = to_store {
                    assert_eq!(Some(&*to_store.text), model.document.as_deref());
                    let before = model.shown + 1;
                    model.version = before + u64::from(missed.is_some());
                    model.shown = model.version;
                    let expected = missed.map(|_| Seq::new(before));
                    assert_eq!(room.stored(to_store.turn, Seq::new(model.version)), expected);
                    if let Some(text) = missed.map(|text| TEXTS[text]) {
                        room.missed(Some(document(before, text)));
                        model.cover(told, text);
                    }
                    model.is_dirty = false;
                    if std::mem::take(&mut model.is_covered) {
                        model.show(told, None);
                    }
                }
            }
            Op::StoredElsewhere { room, text } => {
                let (room, model) = (&self.rooms[room], &mut self.models[room]);
                model.shown += 1;
                let is_dirty = room.stored_elsewhere(document(model.shown, TEXTS[text]));
                assert_eq!(is_dirty, model.is_dirty);
                if is_dirty {
                    model.cover(told, TEXTS[text]);
                } else {
                    model.version = model.shown;
                    let before = model.document.replace(TEXTS[text].to_owned());
                    if before != model.document {
                        model.show(told, None);
                    }
                }
            }
            Op::Evict { room } => {
                let (room, model) = (&self.rooms[room], &mut self.models[room]);
                room.evict_all("gone");
                model.tell(told, "error gone", |_| true);
                model.there.retain(|one| one.connection.is_none());
                let there = &model.there;
                model.since.retain(|peer, _| there.iter().any(|one| one.peer == *peer));
                (model.is_ended, model.is_dirty) = (true, false);
            }
            _ => unreachable!(),
        }
    }

    fn hear(&mut self, op: &Op, told: &mut Told) {
        let far = |node: i64, peer: usize, says: usize| Someone {
            connection: None,
            node: Some(node),
            peer: PEERS[peer],
            says: SAID[says],
            is_withheld: false,
        };
        match *op {
            Op::Here { room, node, ref peers } => {
                let list: Vec<PeerInfo> =
                    (0..).zip(peers).map(|(ago, (peer, says))| self.far(*peer, *says, ago)).collect();
                self.rooms[room].here(NodeId::new(NODES[node]), list.clone());
                let (model, node) = (&mut self.models[room], NODES[node]);
                let named = |one: &Someone| peers.iter().any(|(peer, _)| PEERS[*peer] == one.peer);
                // In the order in which they are listed, each is told by itself.
                for info in model.infos() {
                    model.go(told, |one| one.is(node, info.id.as_str()) && !named(one));
                }
                for ((peer, says), info) in peers.iter().zip(list) {
                    said(model, told, far(node, *peer, *says), info.joined_at.micros());
                }
            }
            Op::JoinedAt { room, node, peer, says, ago } => {
                let info = self.far(peer, says, ago);
                self.rooms[room].joined_at(NodeId::new(NODES[node]), info.clone());
                said(&mut self.models[room], told, far(NODES[node], peer, says), info.joined_at.micros());
            }
            Op::LeftAt { room, node, peer } => {
                self.rooms[room].left_at(NodeId::new(NODES[node]), &name(PEERS[peer]));
                self.models[room].go(told, |one| one.is(NODES[node], PEERS[peer]));
            }
            Op::Forget { room, node } => {
                self.rooms[room].forget(NodeId::new(NODES[node]));
                for info in self.models[room].infos() {
                    self.models[room].go(told, |one| one.is(NODES[node], info.id.as_str()));
                }
            }
            Op::DataFrom { room, peer } => {
                self.rooms[room].data_from(&name(PEERS[peer]), "far");
                self.models[room].tell(told, &format!("data {}: far", PEERS[peer]), |_| true);
            }
            _ => unreachable!(),
        }
    }
}

/// A node says something of a peer; if that is what it said before, it is no news.
fn said(model: &mut ModelRoom, told: &mut Told, someone: Someone, at: i64) {
    let before = model.there.iter().position(|one| one.is(someone.node.unwrap(), someone.peer));
    if let Some(before) = before.map(|before| model.there[before].clone()) {
        if before.says == someone.says {
            let since = model.since.get_mut(someone.peer).unwrap();
            *since = at.min(*since);
            return;
        }
        model.there.retain(|one| !one.is(someone.node.unwrap(), someone.peer));
    }
    model.come(told, someone, at);
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(512))]

    #[test]
    fn everybody_is_told_what_the_model_says(ops in proptest::collection::vec(op(), 1..60)) {
        let mut run = Run::new();
        ops.iter().for_each(|op| run.step(op));
        let tally = run.common.printer.tally();
        let joined = run.models.iter().flat_map(|model| &model.there).filter(|one| one.connection.is_some()).count();
        let held = run.models.iter().filter_map(|model| model.document.as_ref()).map(|text| "document ".len() + text.len());
        prop_assert_eq!(tally.held_bytes(), held.sum::<usize>());
        prop_assert_eq!(tally.read(0).peers, joined as u64);
        prop_assert_eq!((tally.read(0).queue_bytes, tally.waiting_bytes()), (0, 0));
    }
}
