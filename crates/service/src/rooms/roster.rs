//! Who is in a room, on any node.

use std::sync::Arc;

use tombolo_core::{NodeId, PeerName};

use super::codec::PeerInfo;
use super::live::ConnectionId;

/// Where a peer is connected.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Place {
    /// Here, by this connection.
    Here(ConnectionId),
    /// On another node, by one connection or several.
    There(NodeId),
}

impl Place {
    const fn is_here(self) -> bool {
        matches!(self, Self::Here(_))
    }
}

/// The peers of a room: each name once, for as long as anything is connected under it anywhere.
#[derive(Default)]
pub(super) struct Roster {
    /// By when they joined, and then by who came first. It is searched from end to end, which for all that a room takes
    /// costs less than writing down once who is there.
    peers: Vec<Peer>,
}

struct Peer {
    /// What others see.
    info: PeerInfo,
    /// Where it is connected, and what it says of itself there. What it said last comes last.
    voices: Vec<Voice>,
}

struct Voice {
    place: Place,
    metadata: Option<Arc<str>>,
}

impl Roster {
    /// A peer is connected at `place`, and says this of itself; it may have said something else there before. Says
    /// whether nothing was connected under its name: then others are to be told [`Self::info`].
    pub(super) fn add(&mut self, place: Place, said: PeerInfo) -> bool {
        let metadata = said.metadata.clone();
        let Some(at) = self.position(&said.id) else {
            self.insert(Peer { info: said, voices: vec![Voice { place, metadata }] });
            return true;
        };
        let peer = &mut self.peers[at];
        let says_the_same = |voice: &Voice| voice.place == place && voice.metadata == metadata;
        // A node says again what it said when it is asked; a connection that joins again is the newest.
        if place.is_here() || !peer.voices.iter().any(says_the_same) {
            peer.voices.retain(|voice| voice.place != place);
            peer.voices.push(Voice { place, metadata: metadata.clone() });
            peer.info.metadata = metadata;
        }
        // It joined there first, which is heard here only now.
        if said.joined_at < peer.info.joined_at {
            let mut peer = self.peers.remove(at);
            peer.info.joined_at = said.joined_at;
            self.insert(peer);
        }
        false
    }

    /// A peer is not connected at `place` any more. Says whether nothing is under its name: then others are to be told
    /// that it left.
    pub(super) fn remove(&mut self, place: Place, id: &PeerName) -> bool {
        let Some(at) = self.position(id) else { return false };
        let is_left = !self.peers[at].keep(|other| other != place);
        if is_left {
            self.peers.remove(at);
        }
        is_left
    }

    /// A peer as others see it.
    pub(super) fn info(&self, id: &PeerName) -> Option<&PeerInfo> {
        self.position(id).map(|at| &self.peers[at].info)
    }

    /// A peer as this node knows it by its own connections; `None` when it has none here.
    pub(super) fn own(&self, id: &PeerName) -> Option<PeerInfo> {
        self.position(id).and_then(|at| self.peers[at].own())
    }

    /// All peers, in the order in which they joined.
    pub(super) fn all(&self) -> Vec<PeerInfo> {
        self.peers.iter().map(|peer| peer.info.clone()).collect()
    }

    /// All peers with connections here.
    pub(super) fn all_own(&self) -> Vec<PeerInfo> {
        self.peers.iter().filter_map(Peer::own).collect()
    }

    /// Those with connections on `node`.
    pub(super) fn of_node(&self, node: NodeId) -> Vec<PeerName> {
        let is_there = |peer: &&Peer| peer.voices.iter().any(|voice| voice.place == Place::There(node));
        self.peers.iter().filter(is_there).map(|peer| peer.info.id.clone()).collect()
    }

    /// Connections here, and peers on other nodes, each once for each node.
    pub(super) fn count(&self) -> usize {
        self.peers.iter().map(|peer| peer.voices.len()).sum()
    }

    /// Forgets all of this node.
    pub(super) fn clear_here(&mut self) {
        self.peers.retain_mut(|peer| peer.keep(|place| !place.is_here()));
    }

    fn position(&self, id: &PeerName) -> Option<usize> {
        self.peers.iter().position(|peer| peer.info.id == *id)
    }

    fn insert(&mut self, peer: Peer) {
        let before = |other: &Peer| other.info.joined_at <= peer.info.joined_at;
        let at = self.peers.iter().rposition(before).map_or(0, |last| last + 1);
        self.peers.insert(at, peer);
    }
}

impl Peer {
    /// Forgets where it is not connected any more, and what it said of itself there; `false` when it is nowhere.
    fn keep(&mut self, is_kept: impl Fn(Place) -> bool) -> bool {
        self.voices.retain(|voice| is_kept(voice.place));
        let newest = self.voices.last();
        self.info.metadata = newest.and_then(|newest| newest.metadata.clone());
        newest.is_some()
    }

    fn own(&self) -> Option<PeerInfo> {
        let newest = self.voices.iter().rfind(|voice| voice.place.is_here())?;
        Some(PeerInfo { metadata: newest.metadata.clone(), ..self.info.clone() })
    }
}
