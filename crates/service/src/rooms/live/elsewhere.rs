//! What other nodes tell of a room that they have open too.
//!
//! They keep the bounds on peers, and on what those say of themselves, before they tell.

use std::collections::HashSet;

use tombolo_core::{NodeId, PeerName};

use super::{LiveRoom, Other, State};
use crate::rooms::codec::{Notice, PeerInfo};
use crate::rooms::roster::Place;

impl LiveRoom {
    /// The other nodes that have the room open.
    pub(in crate::rooms) fn others(&self) -> Vec<NodeId> {
        self.state().others.iter().map(|other| other.node).collect()
    }

    /// Those of them that have not said yet who is there.
    pub(in crate::rooms) fn unanswered(&self) -> Vec<NodeId> {
        self.state().others.iter().filter(|other| !other.has_answered).map(|other| other.node).collect()
    }

    /// A node has the room open; `true` if that is new.
    pub(in crate::rooms) fn meet(&self, node: NodeId) -> bool {
        let mut state = self.state();
        let is_new = state.others.iter().all(|other| other.node != node);
        state.other(node);
        is_new
    }

    /// These peers, and no others, have connections on `node`.
    pub(in crate::rooms) fn here(&self, node: NodeId, peers: Vec<PeerInfo>) {
        let mut state = self.state();
        state.other(node).has_answered = true;
        let there: HashSet<&PeerName> = peers.iter().map(|peer| &peer.id).collect();
        let gone: Vec<PeerName> = state.roster.of_node(node).into_iter().filter(|peer| !there.contains(peer)).collect();
        gone.iter().for_each(|peer| self.remove(&mut state, node, peer));
        peers.into_iter().for_each(|peer| self.add(&mut state, node, peer));
    }

    /// A peer has a connection on `node`, or says something else of itself.
    pub(in crate::rooms) fn joined_at(&self, node: NodeId, peer: PeerInfo) {
        let mut state = self.state();
        state.other(node);
        self.add(&mut state, node, peer);
    }

    /// The last connection of a peer on `node` has gone.
    pub(in crate::rooms) fn left_at(&self, node: NodeId, peer: &PeerName) {
        self.remove(&mut self.state(), node, peer);
    }

    /// A node does not have the room open any more.
    pub(in crate::rooms) fn forget(&self, node: NodeId) {
        let mut state = self.state();
        state.others.retain(|other| other.node != node);
        let gone = state.roster.of_node(node);
        gone.iter().for_each(|peer| self.remove(&mut state, node, peer));
    }

    /// Passes on what a peer of another node said.
    pub(in crate::rooms) fn data_from(&self, from: &PeerName, data: &str) {
        let parcel = self.printer().parcel(Notice::Data { from, data });
        self.state().tell(&parcel, |_| true);
    }

    fn add(&self, state: &mut State, node: NodeId, peer: PeerInfo) {
        let id = peer.id.clone();
        if state.roster.add(Place::There(node), peer) {
            let parcel = state.roster.info(&id).map(|peer| self.printer().parcel(Notice::PeerJoined(peer)));
            parcel.iter().for_each(|parcel| state.tell(parcel, |_| true));
        }
    }

    fn remove(&self, state: &mut State, node: NodeId, peer: &PeerName) {
        if state.roster.remove(Place::There(node), peer) {
            let parcel = self.printer().parcel(Notice::PeerLeft(peer));
            state.tell(&parcel, |_| true);
        }
    }
}

impl State {
    /// What is known of a node that has the room open.
    fn other(&mut self, node: NodeId) -> &mut Other {
        let at = self.others.iter().position(|other| other.node == node).unwrap_or_else(|| {
            self.others.push(Other { node, has_answered: false });
            self.others.len() - 1
        });
        &mut self.others[at]
    }
}
