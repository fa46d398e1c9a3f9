//! What those in a room have before them: changing it, and storing it.

use std::sync::{Arc, MutexGuard};

use tombolo_core::Seq;
use tombolo_storage::Document;

use super::{ConnectionId, LiveRoom, State, ToStore, Written};
use crate::rooms::bases::{Base, Recent};
use crate::rooms::codec::Notice;
use crate::rooms::printer::Sheet;

/// How often something is worked out without the lock for a document that is another one by then; after that, with it.
const TRIES_UNLOCKED: usize = 3;

/// What a document became that came.
struct Outcome {
    sheet: Sheet,
    text: Arc<str>,
    /// What the one that came was made of, where that is known.
    base: Option<Base>,
    /// Whether the sender is told too: it may be about to take in what it did not know of.
    is_merged: bool,
}

impl LiveRoom {
    /// Makes `text` the document, or brings it together with the present one where that is wished, and sends it to the
    /// other connections; what was brought together goes to the sender as well.
    pub(in crate::rooms) fn document_from(&self, connection: ConnectionId, text: &str) -> Written {
        let sent: Arc<str> = text.into();
        // What it had before it when this came, whatever it is sent while this is merged.
        let recent = self.state().member(connection).map(|member| member.recent.clone());
        let merging = |state: &State| state.board.merging(recent.as_ref()?, &sent);
        let now = self.common.env.now();
        let (state, outcome) = if self.common.merge {
            self.work_out(merging, |merging| {
                let codec = self.printer().codec();
                match merging.and_then(|merging| merging.merge(&sent, now, codec)) {
                    Some((base, merged)) => self.outcome(&sent, Some(base), merged),
                    None => self.outcome(&sent, None, None),
                }
            })
        } else {
            let outcome = self.outcome(&sent, None, None);
            (self.state(), outcome)
        };
        self.put_from(state, connection, &sent, outcome)
    }

    /// Sends the document to one connection, or an empty one where there is none; `false` when it is not in the room.
    pub(in crate::rooms) fn request(&self, connection: ConnectionId) -> bool {
        let mut state = self.state();
        let Some(at) = state.position(connection) else { return false };
        if !self.show(&mut state, at) {
            state.members[at].outlet.push(self.printer().parcel(Notice::Document("")));
        }
        true
    }

    /// The client of a connection has read all documents that it was sent, up to this one.
    pub(in crate::rooms) fn has_read(&self, connection: ConnectionId, ordinal: u64) {
        let now = self.common.env.now();
        let mut state = self.state();
        if let Some(at) = state.position(connection) {
            state.members[at].recent.has_read(ordinal, now);
        }
    }

    /// Whether its document is to be stored.
    pub(in crate::rooms) fn is_dirty(&self) -> bool {
        self.state().board.is_dirty()
    }

    /// The document that is to be stored, if any is.
    pub(in crate::rooms) fn to_store(&self) -> Option<ToStore> {
        self.state().board.begin_storing()
    }

    /// The document of [`ToStore::turn`] is stored as `version`, or that version says the same. The room is still dirty
    /// when another one has come since; if not, it is shown again where another was shown after it.
    ///
    /// Says which version others stored just before it that was not shown here: it is to be read, for [`Self::missed`].
    pub(in crate::rooms) fn stored(&self, turn: u64, version: Seq) -> Option<Seq> {
        let mut state = self.state();
        state.is_failing = false;
        let missed = state.board.stored(turn, version);
        if missed.is_none() {
            self.uncover(&mut state);
        }
        missed
    }

    /// Others stored this just before the room's own: it is shown before that, unless it is there no more.
    pub(in crate::rooms) fn missed(&self, document: Option<Document>) {
        let sheet = document.map(|document| (self.printer().sheet(&document.text), document.version));
        let mut state = self.state();
        if let Some((sheet, version)) = sheet {
            self.cover(&mut state, sheet, version);
        }
        self.uncover(&mut state);
    }

    /// Storing failed: all connections here are told `text`, once until it succeeds again.
    pub(in crate::rooms) fn store_failed(&self, text: &str) {
        let parcel = self.printer().error(text);
        let mut state = self.state();
        if !state.is_failing {
            state.is_failing = true;
            state.tell(&parcel, |_| true);
        }
    }

    /// Another document is stored by now than what the present one was made of: they are brought together, or the
    /// present one wins. Says whether anything is still to be stored.
    pub(in crate::rooms) fn moved(&self, document: Document) -> bool {
        let theirs: Arc<str> = document.text.into();
        let merging = |state: &State| state.board.merging_stored(&theirs);
        let (mut state, outcome) = self.work_out(merging, |merging| {
            let codec = self.printer().codec();
            let merged = merging.and_then(|(base, mine)| codec.merge(&base, &theirs, &mine))?;
            let sheet = self.printer().sheet(&merged);
            Some((sheet, Arc::<str>::from(merged)))
        });
        if document.version <= state.board.version() {
            return state.board.is_dirty();
        }
        state.board.know(document.version, Some(&theirs));
        if let Some((sheet, merged)) = outcome {
            if state.board.put(sheet, Arc::clone(&merged)) {
                self.show_all_but(&mut state, None);
            }
            if merged == theirs {
                state.board.settle();
            }
        }
        state.board.is_dirty()
    }

    /// The version that is known to be stored; zero where none is.
    #[cfg(test)]
    pub(in crate::rooms) fn version(&self) -> Seq {
        self.state().board.version()
    }

    /// Others stored `version`: [`Self::is_behind`] says what follows.
    pub(in crate::rooms) fn hear_of(&self, version: Seq) {
        self.state().board.hear_of(version);
    }

    /// Whether others stored a newer version than is known or was shown here, which is to be read for
    /// [`Self::stored_elsewhere`]. Not while the room's own document is to be stored and documents are merged, which
    /// storing it does. To be asked after [`Self::hear_of`] and after [`Self::stored`], and not while the room's document
    /// is stored: its own version is not known before.
    pub(in crate::rooms) fn is_behind(&self) -> bool {
        self.state().board.is_behind()
    }

    /// Another node, or the command line, stored this: it becomes the document here, and all connections are sent it,
    /// unless something newer is known. While the room's own is to be stored, that stays the document, since it will be
    /// stored after this; connections are sent this all the same, unless documents are merged, and the room's own again
    /// when it is stored. Says whether the room's own is to be stored.
    pub(in crate::rooms) fn stored_elsewhere(&self, document: Document) -> bool {
        let sheet = self.printer().sheet(&document.text);
        let text: Arc<str> = document.text.into();
        let mut state = self.state();
        state.board.hear_of(document.version);
        let is_dirty = state.board.is_dirty();
        let is_newer = document.version > state.board.version();
        match (is_newer, is_dirty) {
            (true, false) => {
                if state.board.take_over(sheet, &text, document.version) {
                    self.show_all_but(&mut state, None);
                }
            }
            (true, true) => self.cover(&mut state, sheet, document.version),
            (false, _) => {}
        }
        is_dirty
    }

    /// Sends a document that others stored to all from whom none is withheld, though it is not the room's.
    fn cover(&self, state: &mut State, mut sheet: Sheet, version: Seq) {
        if state.board.cover(&sheet, version) {
            state.tell(&sheet.parcel(self.printer()), |member| !member.is_withheld);
        }
    }

    /// Sends the document to all again to whom another was shown after it, if it is what is stored.
    fn uncover(&self, state: &mut State) {
        if state.board.uncover() {
            self.show_all_but(state, None);
        }
    }

    /// Sends the document to one member, from whom none is withheld any more; `false` when there is none.
    pub(super) fn show(&self, state: &mut State, at: usize) -> bool {
        let State { members, board, .. } = state;
        let member = &mut members[at];
        member.is_withheld = false;
        let Some(parcel) = board.parcel(self.printer()) else { return false };
        member.outlet.push(parcel);
        if let Some(text) = board.text() {
            member.recent.was_sent(text, member.outlet.pushed(), self.common.env.now());
        }
        true
    }

    /// Sends the document to all from whom it is not withheld, but for one.
    fn show_all_but(&self, state: &mut State, but: Option<ConnectionId>) {
        let State { members, board, .. } = state;
        let Some(parcel) = board.parcel(self.printer()) else { return };
        let text = board.text().map(|text| (text, self.common.env.now()));
        for member in members.iter_mut().filter(|member| !member.is_withheld && Some(member.connection) != but) {
            member.outlet.push(parcel.clone());
            if let Some((text, now)) = text {
                member.recent.was_sent(text, member.outlet.pushed(), now);
            }
        }
    }

    fn put_from(
        &self,
        mut state: MutexGuard<'_, State>,
        connection: ConnectionId,
        sent: &Arc<str>,
        outcome: Outcome,
    ) -> Written {
        let Some(at) = state.position(connection) else { return Written::NotHere };
        let Outcome { sheet, text, base, is_merged } = outcome;
        if !state.board.has_room(&sheet, self.printer().held_bytes_max) {
            return Written::NoRoom;
        }
        let mergeable = state.board.mergeable(sent);
        let member = &mut state.members[at];
        member.is_withheld = false;
        match mergeable {
            Some(sent) => member.recent.has_sent(sent, base.as_ref()),
            // It is too large: the peer is left with nothing that it could have made another of.
            None => member.recent = Recent::default(),
        }
        let is_new = state.board.put(sheet, text);
        self.show_all_but(&mut state, (!is_merged).then_some(connection));
        if is_new { Written::Dirty } else { Written::Unchanged }
    }

    fn outcome(&self, sent: &Arc<str>, base: Option<Base>, merged: Option<Arc<str>>) -> Outcome {
        let is_merged = merged.is_some();
        let text = merged.unwrap_or_else(|| Arc::clone(sent));
        Outcome { sheet: self.printer().sheet(&text), text, base, is_merged }
    }

    /// Works something out of what is there, without the lock as long as that does not change meanwhile: merging takes
    /// long, and nobody else is to wait for it. What `work` makes of what `look` sees holds while the lock is held.
    fn work_out<P, R>(&self, look: impl Fn(&State) -> P, work: impl Fn(P) -> R) -> (MutexGuard<'_, State>, R) {
        for _ in 0..TRIES_UNLOCKED {
            let (moment, seen) = {
                let state = self.state();
                (state.board.moment(), look(&state))
            };
            let outcome = work(seen);
            let state = self.state();
            if state.board.moment() == moment {
                return (state, outcome);
            }
        }
        let state = self.state();
        let seen = look(&state);
        let outcome = work(seen);
        (state, outcome)
    }
}
