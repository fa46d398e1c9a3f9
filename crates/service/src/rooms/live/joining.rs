//! Who is in a room: joining and leaving.

use tombolo_core::{PeerName, ServerTime};

use super::{Arrival, ConnectionId, LiveRoom, Member, NewMember, News, NotJoined, State};
use crate::rooms::bases::Recent;
use crate::rooms::codec::{Notice, PeerInfo};
use crate::rooms::roster::Place;

impl LiveRoom {
    /// Joins: the connection is told who is there, and the others that it came, unless a peer of its name was there
    /// already. A connection that is in the room leaves it first under its old name; under the same name others hear
    /// nothing, and it is told everything again.
    pub(in crate::rooms) fn join(&self, new: NewMember) -> Result<Arrival, NotJoined> {
        let mut state = self.state();
        if let Some(refused) = state.refuses(new.connection, self.common.peers_max) {
            return Err(refused);
        }
        let before = state.position(new.connection);
        let mut news = Vec::new();
        if before.is_some_and(|at| state.members[at].peer != new.peer) {
            news.extend(self.take_out(&mut state, new.connection, new.now).flatten());
        }
        let own = state.roster.own(&new.peer);
        let info = self.info(&new);
        let is_first = state.roster.add(Place::Here(new.connection), info);
        let joined = state.roster.info(&new.peer).cloned().expect("it was added just now");
        news.extend(news_of(&new.peer, own, state.roster.own(&new.peer)));
        let is_withheld = new.claims_host && joined.is_host;
        self.welcome(&mut state, &new, &joined, (is_first, is_withheld));
        self.put_in(&mut state, new, is_withheld);
        Ok(Arrival { is_withheld, news })
    }

    /// Why this connection cannot join, as it is now.
    pub(in crate::rooms) fn refuses(&self, connection: ConnectionId) -> Option<NotJoined> {
        self.state().refuses(connection, self.common.peers_max)
    }

    /// Leaves; `None` when it was not in the room. Says what other nodes are to be told. The connection itself is told
    /// nothing.
    pub(in crate::rooms) fn leave(&self, connection: ConnectionId, now: ServerTime) -> Option<Option<News>> {
        self.take_out(&mut self.state(), connection, now)
    }

    /// Sends the document that was withheld from a connection, if it still is.
    pub(in crate::rooms) fn release(&self, connection: ConnectionId) {
        let mut state = self.state();
        let withheld = state.position(connection).filter(|at| state.members[*at].is_withheld);
        if let Some(at) = withheld {
            self.show(&mut state, at);
        }
    }

    /// All peers on all nodes, in the order in which they joined.
    pub(in crate::rooms) fn peers(&self) -> Vec<PeerInfo> {
        self.state().roster.all()
    }

    /// The peers with connections here: what other nodes are told.
    pub(in crate::rooms) fn own_peers(&self) -> Vec<PeerInfo> {
        self.state().roster.all_own()
    }

    /// Since when no connection of this node is in it; `None` while one is.
    pub(in crate::rooms) fn empty_since(&self) -> Option<ServerTime> {
        self.state().empty_since()
    }

    /// Lets go of the room, if nobody here is in it since `since` or before, and nothing is to be stored. Says when it
    /// was left. Nobody joins any more; to be taken out of where rooms are looked for.
    pub(in crate::rooms) fn shut(&self, since: ServerTime) -> Option<ServerTime> {
        let mut state = self.state();
        let left = state.empty_since().filter(|left| *left <= since && !state.board.is_dirty())?;
        state.is_shut = true;
        Some(left)
    }

    fn info(&self, new: &NewMember) -> PeerInfo {
        let is_host = new.peer == self.room.host;
        PeerInfo { id: new.peer.clone(), joined_at: new.now, is_host, metadata: new.metadata.clone() }
    }

    /// Tells a connection that joins, and the others if it `is_first` of its name.
    fn welcome(&self, state: &mut State, new: &NewMember, joined: &PeerInfo, (is_first, is_withheld): (bool, bool)) {
        let (printer, code) = (self.printer(), &self.room.code);
        let peers = state.roster.all();
        new.outlet.push(printer.parcel(Notice::RoomInfo { code, host: &self.room.host, peers: &peers }));
        new.outlet.push(printer.parcel(Notice::Connected { peer: &new.peer, code }));
        if !is_withheld && let Some(document) = state.board.parcel(printer) {
            new.outlet.push(document);
        }
        let arrival = printer.parcel(Notice::PeerJoined(joined));
        if is_first {
            state.tell(&arrival, |_| true);
        }
        new.outlet.push(arrival);
    }

    fn put_in(&self, state: &mut State, new: NewMember, is_withheld: bool) {
        let recent = self.recent(state, &new, is_withheld);
        let NewMember { connection, peer, outlet, .. } = new;
        let member = Member { connection, peer, outlet, is_withheld, recent };
        if let Some(at) = state.position(connection) {
            state.members[at] = member;
        } else {
            state.members.push(member);
            self.printer().tally().joined();
        }
    }

    /// What a connection may have before it that joins. One that a network cut may still be there when its peer
    /// comes again by another.
    fn recent(&self, state: &State, new: &NewMember, is_withheld: bool) -> Recent {
        if !self.common.merge {
            return Recent::default();
        }
        let before = state.members.iter().rfind(|member| member.peer == new.peer).map(|member| member.recent.clone());
        let before = before.unwrap_or_else(|| self.common.bases.recall(self.room.id, &new.peer, new.now));
        let mut recent = before.come_again();
        if let Some(text) = state.board.text().filter(|_| !is_withheld) {
            recent.was_sent(text, new.outlet.pushed(), new.now);
        }
        recent
    }

    fn take_out(&self, state: &mut State, connection: ConnectionId, now: ServerTime) -> Option<Option<News>> {
        let at = state.position(connection)?;
        let Member { peer, recent, .. } = state.members.remove(at);
        self.printer().tally().left(1);
        let before = state.roster.own(&peer);
        if state.roster.remove(Place::Here(connection), &peer) {
            let parcel = self.printer().parcel(Notice::PeerLeft(&peer));
            state.tell(&parcel, |_| true);
        }
        let after = state.roster.own(&peer);
        if after.is_none() && !recent.is_empty() {
            self.common.bases.keep(self.room.id, peer.clone(), recent, now);
        }
        if state.members.is_empty() {
            state.empty_since = now;
            // A burst of two thousand leaves nothing behind.
            state.members = Vec::new();
        }
        Some(news_of(&peer, before, after))
    }
}

impl State {
    fn refuses(&self, connection: ConnectionId, peers_max: usize) -> Option<NotJoined> {
        let others = self.roster.count() - usize::from(self.position(connection).is_some());
        if self.is_shut {
            return Some(NotJoined::Shut);
        }
        (others >= peers_max).then_some(NotJoined::Full)
    }

    fn empty_since(&self) -> Option<ServerTime> {
        self.members.is_empty().then_some(self.empty_since)
    }
}

/// What other nodes are to be told of a peer that had, and has now, these connections here.
fn news_of(peer: &PeerName, before: Option<PeerInfo>, after: Option<PeerInfo>) -> Option<News> {
    match (before, after) {
        (Some(_), None) => Some(News::Gone(peer.clone())),
        (Some(before), Some(after)) if before.metadata == after.metadata => None,
        (_, after) => after.map(News::Here),
    }
}
