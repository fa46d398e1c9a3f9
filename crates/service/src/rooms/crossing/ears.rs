//! What a node hears of the others, brought back into notes.

use std::collections::HashMap;

use tombolo_core::NodeId;

use super::wire::{Envelope, MESSAGE_BYTES_MAX, Note, Part};

/// Nodes that are told apart. There are never more than a few; beyond it all are heard as for the first time.
const NODES_MAX: usize = 1_000;

/// How far each other node was heard.
pub(super) struct Ears {
    own: NodeId,
    nodes: HashMap<NodeId, Ear>,
}

#[derive(Default)]
struct Ear {
    number: u64,
    /// Whether it is known already that something may be missing before the next frame.
    is_gap_known: bool,
    /// A note of which the last piece has not come yet.
    begun: Option<Vec<u8>>,
}

/// What was heard.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Heard {
    /// These notes, perhaps none.
    Notes(NodeId, Vec<Note>),
    /// These notes, and something before them is lost.
    NotesAfterGap(NodeId, Vec<Note>),
    /// Nothing that concerns this node, or that it can read.
    Nothing,
}

impl Ears {
    pub(super) fn new(own: NodeId) -> Self {
        Self { own, nodes: HashMap::new() }
    }

    /// The bus says that frames may be missing: nobody needs to be told again that they are.
    pub(super) fn know_of_gap(&mut self) {
        self.nodes.values_mut().for_each(|ear| ear.is_gap_known = true);
    }

    /// Hears a frame.
    pub(super) fn hear(&mut self, payload: &[u8]) -> Heard {
        let Some(Envelope { node, number, part, body }) = Envelope::decode(payload) else { return Heard::Nothing };
        if node == self.own {
            return Heard::Nothing;
        }
        if self.nodes.len() >= NODES_MAX && !self.nodes.contains_key(&node) {
            self.nodes.clear();
        }
        let ear = self.nodes.entry(node).or_default();
        if number <= ear.number {
            // Sent again by one who did not know that it had arrived.
            return Heard::Nothing;
        }
        let is_missing = ear.number != 0 && number != ear.number + 1;
        ear.number = number;
        if is_missing {
            ear.begun = None;
        }
        let is_after_gap = is_missing && !ear.is_gap_known;
        ear.is_gap_known = false;
        match ear.read(part, body) {
            Some(notes) if !is_after_gap => Heard::Notes(node, notes),
            // What cannot be read is as good as lost.
            notes => Heard::NotesAfterGap(node, notes.unwrap_or_default()),
        }
    }
}

impl Ear {
    fn read(&mut self, part: Part, body: &[u8]) -> Option<Vec<Note>> {
        match part {
            Part::Whole => {
                self.begun = None;
                Note::decode_all(body)
            }
            Part::First => {
                self.begun = Some(body.to_vec());
                Some(Vec::new())
            }
            Part::Further | Part::Last => {
                // Whoever began to listen in the midst of a note has no use for the rest of it.
                let Some(mut begun) = self.begun.take().filter(|begun| begun.len() + body.len() <= MESSAGE_BYTES_MAX)
                else {
                    return Some(Vec::new());
                };
                begun.extend_from_slice(body);
                if part == Part::Last {
                    return Note::decode_all(&begun);
                }
                self.begun = Some(begun);
                Some(Vec::new())
            }
        }
    }
}
