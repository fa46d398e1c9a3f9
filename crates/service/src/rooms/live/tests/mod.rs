//! What those in a room are told, in which order, and what becomes of their document.

mod documents;
mod elsewhere;
mod joining;
mod model;

use std::sync::Arc;
use std::time::Duration;

use tombolo_core::{Env as _, NodeId, PeerName, RoomCode, RoomId, Seq, ServerTime, SpaceNumber, UserId};
use tombolo_storage::{Document, OpenedRoom, Room};
use tombolo_testkit::TestEnv;

use super::{Arrival, Common, ConnectionId, LiveRoom, NewMember, News, NotJoined, Written};
use crate::rooms::codec::PeerInfo;
use crate::rooms::lines::{Lines, drain};
use crate::rooms::options::RoomOptions;
use crate::rooms::outlet::Outlet;

/// Some connections before one room whose host is `host`. Connections are told apart by their number, from 1.
struct Scene {
    common: Arc<Common>,
    env: Arc<TestEnv>,
    room: LiveRoom,
    outlets: Vec<Arc<Outlet>>,
}

const THERE: NodeId = NodeId::new(7);

fn at(micros: i64) -> ServerTime {
    ServerTime::from_micros(micros)
}

fn name(text: &str) -> PeerName {
    PeerName::parse(text, 100).unwrap()
}

fn document(version: u64, text: &str) -> Document {
    Document { version: Seq::new(version), at: at(0), text: text.to_owned() }
}

fn room(number: i64) -> Room {
    Room {
        owner: UserId::new(1),
        number: SpaceNumber::new(number),
        code: RoomCode::parse(&format!("ROOM{number}")).unwrap(),
        id: RoomId::from_bytes([u8::try_from(number).unwrap(); 16]),
        host: name("host"),
        created_at: at(0),
    }
}

fn there(id: &str, joined_at: i64, metadata: &str) -> PeerInfo {
    let metadata = (!metadata.is_empty()).then(|| metadata.into());
    PeerInfo { id: name(id), joined_at: at(joined_at), is_host: id == "host", metadata }
}

impl Scene {
    fn new(text: Option<&str>) -> Self {
        Self::with(RoomOptions::default(), text)
    }

    fn merging(text: Option<&str>) -> Self {
        Self::with(RoomOptions { merge: true, ..RoomOptions::default() }, text)
    }

    fn with(options: RoomOptions, text: Option<&str>) -> Self {
        let env = Arc::new(TestEnv::new(1));
        env.set(at(0));
        let common = Common::new(Arc::new(Lines), env.clone(), &options);
        let document = text.map(|text| document(1, text));
        let opened = OpenedRoom { room: room(1), document, others: vec![] };
        let outlets = (0..5).map(|_| Arc::new(Outlet::new(Arc::clone(&common.printer)))).collect();
        Self { room: LiveRoom::open(opened, Arc::clone(&common), at(0)).unwrap(), common, env, outlets }
    }

    /// The next moment.
    fn tick(&self) -> ServerTime {
        self.env.advance(Duration::from_micros(1));
        self.env.now()
    }

    fn outlet(&self, number: u64) -> &Arc<Outlet> {
        &self.outlets[usize::try_from(number).unwrap()]
    }

    /// Joins as `peer`, which claims to be the host if it begins with a star, and says of itself what stands in brackets.
    fn join(&self, number: u64, peer: &str) -> Result<Arrival, NotJoined> {
        let (peer, claims_host) = peer.strip_prefix('*').map_or((peer, false), |peer| (peer, true));
        let (peer, metadata) =
            peer.split_once('(').map_or((peer, None), |(peer, rest)| (peer, Some(rest.trim_end_matches(')').into())));
        self.room.join(NewMember {
            connection: ConnectionId(number),
            peer: name(peer),
            metadata,
            claims_host,
            outlet: Arc::clone(self.outlet(number)),
            now: self.tick(),
        })
    }

    /// Joins, and reads what it is told of it.
    fn enter(&self, number: u64, peer: &str) -> Vec<String> {
        self.join(number, peer).unwrap();
        self.read(number)
    }

    fn leave(&self, number: u64) -> Option<Option<News>> {
        self.room.leave(ConnectionId(number), self.tick())
    }

    fn send(&self, number: u64, text: &str) -> Written {
        self.room.document_from(ConnectionId(number), text)
    }

    fn read(&self, number: u64) -> Vec<String> {
        drain(self.outlet(number))
    }

    /// Reads what it is told, and answers that it did.
    fn read_and_say_so(&self, number: u64) -> Vec<String> {
        let read = self.read(number);
        if let Some(ordinal) = self.outlet(number).to_ask() {
            self.room.has_read(ConnectionId(number), ordinal);
        }
        read
    }

    /// Stores what is to be stored, as `version`.
    fn store(&self, version: u64) -> String {
        let to_store = self.room.to_store().unwrap();
        self.room.stored(to_store.turn, Seq::new(version));
        to_store.text.to_string()
    }

    fn peers(&self) -> Vec<String> {
        self.room.peers().iter().map(|peer| peer.id.as_str().to_owned()).collect()
    }
}
