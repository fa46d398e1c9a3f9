//! What nodes tell each other of a room, as bytes.
//!
//! A layout of our own: all numbers big-endian, a text or a list behind its length or count in 32 bits. It never leaves
//! the database's nodes, which may for the length of an update be of two versions: a frame of another version is none.

use bytes::{Buf, BufMut, Bytes};
use tombolo_core::{NodeId, PeerName, Purpose, ServerTime, SpaceNumber, UserId};
use tombolo_storage::{FRAME_BYTES_MAX, SpaceAddress};

use crate::rooms::codec::PeerInfo;

/// The layout that this file describes.
const VERSION: u8 = 1;
/// Version, node, number, and which part it is.
const HEAD_BYTES: usize = 1 + 8 + 8 + 1;
/// What one frame carries beside its head: a bus takes more, but what it holds for slow listeners is bounded, and a
/// large frame would hold up small ones for long.
pub(super) const BODY_BYTES_MAX: usize = (1 << 20) - HEAD_BYTES;
const _: () = assert!(HEAD_BYTES + BODY_BYTES_MAX <= FRAME_BYTES_MAX);
/// Bytes of a message that came in parts: more than a peer may pass on, or all peers of a full room say of themselves.
pub(super) const MESSAGE_BYTES_MAX: usize = 64 << 20;

/// Something that a node tells of a room.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Note {
    /// The room.
    pub(super) space: SpaceAddress,
    /// What of it.
    pub(super) what: What,
}

/// What a node tells of a room.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum What {
    /// A peer has its first connection there now, or says something else of itself.
    Joined(PeerInfo),
    /// A peer has no connection there any more.
    Left(PeerName),
    /// What a peer passes on.
    Data {
        /// From whom.
        from: PeerName,
        /// What.
        data: String,
    },
    /// It has the room open now, and asks who else has.
    Opened,
    /// It asks who has the room open, and does not itself.
    WhoIsThere,
    /// It has the room open, and these peers are there: all of them, whatever was told before.
    Here(Vec<PeerInfo>),
    /// It has the room open no more, and nobody is there.
    Closed,
    /// Something that it should have told of the room is lost.
    Missed,
}

/// Which part of the notes of a node a frame carries.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Part {
    /// Whole notes.
    Whole,
    /// The first piece of one note.
    First,
    /// A further piece of it.
    Further,
    /// The last piece of it.
    Last,
}

/// A frame as it came.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Envelope<'a> {
    /// Who sent it.
    pub(super) node: NodeId,
    /// Which of that node's frames it is, counted from one.
    pub(super) number: u64,
    /// What of its notes it carries.
    pub(super) part: Part,
    /// The notes.
    pub(super) body: &'a [u8],
}

impl Envelope<'_> {
    /// The frame as it crosses.
    pub(super) fn encode(&self) -> Vec<u8> {
        let mut bytes = Vec::with_capacity(HEAD_BYTES + self.body.len());
        bytes.put_u8(VERSION);
        bytes.put_i64(self.node.get());
        bytes.put_u64(self.number);
        bytes.put_u8(match self.part {
            Part::Whole => 0,
            Part::First => 1,
            Part::Further => 2,
            Part::Last => 3,
        });
        bytes.put_slice(self.body);
        bytes
    }

    /// The frame that crossed as `bytes`; `None` when no version of this one wrote it.
    pub(super) fn decode(mut bytes: &[u8]) -> Option<Envelope<'_>> {
        if bytes.try_get_u8().ok()? != VERSION {
            return None;
        }
        let node = NodeId::new(bytes.try_get_i64().ok()?);
        let number = bytes.try_get_u64().ok()?;
        let part = match bytes.try_get_u8().ok()? {
            0 => Part::Whole,
            1 => Part::First,
            2 => Part::Further,
            3 => Part::Last,
            _ => return None,
        };
        Some(Envelope { node, number, part, body: bytes })
    }
}

impl Note {
    /// The note as it stands in a frame; `None` when it is too large to be told.
    pub(super) fn encode(&self) -> Option<Bytes> {
        let mut bytes = Vec::new();
        let kind = match &self.what {
            What::Joined(_) => 1,
            What::Left(_) => 2,
            What::Data { .. } => 3,
            What::Opened => 4,
            What::WhoIsThere => 5,
            What::Here(_) => 6,
            What::Closed => 7,
            What::Missed => 8,
        };
        bytes.put_u8(kind);
        bytes.put_i64(self.space.owner.get());
        bytes.put_i64(self.space.number.get());
        match &self.what {
            What::Joined(peer) => put_peer(&mut bytes, peer)?,
            What::Left(peer) => put_text(&mut bytes, peer.as_str())?,
            What::Data { from, data } => {
                put_text(&mut bytes, from.as_str())?;
                put_text(&mut bytes, data)?;
            }
            What::Here(peers) => {
                bytes.put_u32(u32::try_from(peers.len()).ok()?);
                peers.iter().try_for_each(|peer| put_peer(&mut bytes, peer))?;
            }
            What::Opened | What::WhoIsThere | What::Closed | What::Missed => {}
        }
        (bytes.len() <= MESSAGE_BYTES_MAX).then(|| bytes.into())
    }

    /// The notes of a frame; `None` when anything of it cannot be read.
    pub(super) fn decode_all(mut bytes: &[u8]) -> Option<Vec<Self>> {
        let mut notes = Vec::new();
        while bytes.has_remaining() {
            notes.push(Self::decode(&mut bytes)?);
        }
        Some(notes)
    }

    fn decode(bytes: &mut &[u8]) -> Option<Self> {
        let kind = bytes.try_get_u8().ok()?;
        let owner = UserId::new(bytes.try_get_i64().ok()?);
        let number = SpaceNumber::new(bytes.try_get_i64().ok()?);
        let what = match kind {
            1 => What::Joined(take_peer(bytes)?),
            2 => What::Left(take_name(bytes)?),
            3 => What::Data { from: take_name(bytes)?, data: take_text(bytes)?.to_owned() },
            4 => What::Opened,
            5 => What::WhoIsThere,
            6 => {
                // Nothing is set aside for as many as it claims: each is read before it takes memory.
                let count = bytes.try_get_u32().ok()?;
                What::Here((0..count).map(|_| take_peer(bytes)).collect::<Option<_>>()?)
            }
            7 => What::Closed,
            8 => What::Missed,
            _ => return None,
        };
        Some(Self { space: SpaceAddress { owner, purpose: Purpose::Rooms, number }, what })
    }
}

fn put_text(bytes: &mut Vec<u8>, text: &str) -> Option<()> {
    bytes.put_u32(u32::try_from(text.len()).ok()?);
    bytes.put_slice(text.as_bytes());
    Some(())
}

fn put_peer(bytes: &mut Vec<u8>, peer: &PeerInfo) -> Option<()> {
    put_text(bytes, peer.id.as_str())?;
    bytes.put_i64(peer.joined_at.micros());
    bytes.put_u8(u8::from(peer.is_host) | u8::from(peer.metadata.is_some()) << 1);
    peer.metadata.as_deref().map_or(Some(()), |metadata| put_text(bytes, metadata))
}

fn take_text<'a>(bytes: &mut &'a [u8]) -> Option<&'a str> {
    let len = usize::try_from(bytes.try_get_u32().ok()?).ok()?;
    let (text, rest) = bytes.split_at_checked(len)?;
    *bytes = rest;
    std::str::from_utf8(text).ok()
}

fn take_name(bytes: &mut &[u8]) -> Option<PeerName> {
    // The limit is that of the node where the peer is.
    PeerName::parse(take_text(bytes)?, usize::MAX)
}

fn take_peer(bytes: &mut &[u8]) -> Option<PeerInfo> {
    let id = take_name(bytes)?;
    let joined_at = ServerTime::from_micros(bytes.try_get_i64().ok()?);
    let flags = bytes.try_get_u8().ok().filter(|flags| *flags < 4)?;
    let metadata = if flags & 2 != 0 { Some(take_text(bytes)?.into()) } else { None };
    Some(PeerInfo { id, joined_at, is_host: flags & 1 != 0, metadata })
}

#[cfg(test)]
mod tests {
    use proptest::collection::vec;
    use proptest::prelude::*;

    use super::*;

    fn name() -> impl Strategy<Value = PeerName> {
        "\\PC{1,12}".prop_map(|text| PeerName::parse(&text, 100).unwrap())
    }

    fn peer() -> impl Strategy<Value = PeerInfo> {
        (name(), any::<i64>(), any::<bool>(), proptest::option::of("\\PC{0,20}")).prop_map(
            |(id, micros, is_host, metadata)| PeerInfo {
                id,
                joined_at: ServerTime::from_micros(micros),
                is_host,
                metadata: metadata.map(Into::into),
            },
        )
    }

    fn note() -> impl Strategy<Value = Note> {
        let what = prop_oneof![
            peer().prop_map(What::Joined),
            name().prop_map(What::Left),
            (name(), "\\PC{0,40}").prop_map(|(from, data)| What::Data { from, data }),
            Just(What::Opened),
            Just(What::WhoIsThere),
            vec(peer(), 0..4).prop_map(What::Here),
            Just(What::Closed),
            Just(What::Missed),
        ];
        (any::<i64>(), any::<i64>(), what).prop_map(|(owner, number, what)| {
            let (owner, number) = (UserId::new(owner), SpaceNumber::new(number));
            Note { space: SpaceAddress { owner, purpose: Purpose::Rooms, number }, what }
        })
    }

    fn joined(notes: &[Note]) -> Vec<u8> {
        notes.iter().flat_map(|note| note.encode().unwrap()).collect()
    }

    proptest! {
        #[test]
        fn what_is_written_is_read(notes in vec(note(), 0..6)) {
            prop_assert_eq!(Note::decode_all(&joined(&notes)), Some(notes));
        }

        #[test]
        fn what_was_cut_off_is_not_read(notes in vec(note(), 1..3), cut in 1_usize..20) {
            let bytes = joined(&notes);
            let last = notes.last().unwrap().encode().unwrap().len();
            prop_assert_eq!(Note::decode_all(&bytes[..bytes.len() - cut.min(last - 1)]), None);
        }

        #[test]
        fn any_bytes_are_read_or_refused(bytes in vec(any::<u8>(), 0..200)) {
            if let Some(notes) = Note::decode_all(&bytes) {
                prop_assert_eq!(&joined(&notes), &bytes);
            }
            let _ = Envelope::decode(&bytes);
        }

        #[test]
        fn what_was_changed_on_the_way_is_read_or_refused(
            notes in vec(note(), 1..4),
            changes in vec((any::<prop::sample::Index>(), any::<u8>()), 1..4),
        ) {
            let mut bytes = joined(&notes);
            for (at, byte) in changes {
                *at.get_mut(&mut bytes) = byte;
            }
            if let Some(notes) = Note::decode_all(&bytes) {
                prop_assert_eq!(&joined(&notes), &bytes);
            }
        }

        #[test]
        fn a_frame_is_read_as_it_was_written(node in any::<i64>(), number in any::<u64>(), body in vec(any::<u8>(), 0..40)) {
            for part in [Part::Whole, Part::First, Part::Further, Part::Last] {
                let envelope = Envelope { node: NodeId::new(node), number, part, body: &body };
                let bytes = envelope.encode();
                prop_assert_eq!(Envelope::decode(&bytes), Some(envelope));
            }
        }
    }

    #[test]
    fn a_list_that_claims_to_be_long_takes_no_memory_before_it_is_read() {
        let mut bytes = vec![6];
        bytes.extend([0; 16]);
        bytes.extend(u32::MAX.to_be_bytes());
        assert_eq!(Note::decode_all(&bytes), None);
        // A text likewise.
        bytes[0] = 2;
        assert_eq!(Note::decode_all(&bytes), None);
    }

    #[test]
    fn a_frame_of_another_version_is_none() {
        let mut bytes = Envelope { node: NodeId::new(1), number: 1, part: Part::Whole, body: &[] }.encode();
        bytes[0] = 2;
        assert_eq!(Envelope::decode(&bytes), None);
    }
}
