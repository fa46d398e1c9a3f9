//! A reply, made of what is kept: nothing of it is copied, and it stays as it is while it is sent.

use bytes::Bytes;
use futures_util::stream::{self, StreamExt as _};

use tombolo_core::Cursor;

use super::gzip::{Member, Packed};
use super::segments::{Segment, Start};
use super::shelves::Snapshot;
use super::{Encoding, Parts, Shown};

const BEGIN: Bytes = Bytes::from_static(b"[");
const END: Bytes = Bytes::from_static(b"]");
const EMPTY: Bytes = Bytes::from_static(b"[]");

/// The history from `start` on, as it is.
pub(super) fn plain(snapshot: Snapshot, start: Start) -> Shown {
    let Snapshot { cursor, segments, .. } = snapshot;
    let shown = &segments.list()[start.segment..];
    let text: usize = shown.iter().map(|segment| segment.text().len()).sum();
    let bytes = (BEGIN.len() + text - start.byte + END.len()) as u64;
    let first = shown[0].text().slice(start.byte..);
    let rest = start.segment + 1..segments.list().len();
    let rest = rest.map(move |index| segments.list()[index].text().clone());
    let parts = pieces([BEGIN, first].into_iter().chain(rest).chain([END]));
    Shown { cursor, encoding: Encoding::Identity, bytes: Some(bytes), parts }
}

/// The history from `start` on in one member of gzip; all of it was compressed.
pub(super) fn packed(snapshot: Snapshot, start: Start) -> Shown {
    let Snapshot { cursor, segments, .. } = snapshot;
    let shown = &segments.list()[start.segment..];
    let (mut member, begin) = Member::begin();
    let first = member.first(shown[0].text(), start.byte, packed_of(&shown[0]));
    shown[1..].iter().for_each(|segment| member.add(packed_of(segment)));
    let (end, bytes) = member.end();
    let rest = start.segment + 1..segments.list().len();
    let rest = rest.map(move |index| packed_of(&segments.list()[index]).blocks().clone());
    let parts = pieces([begin, first].into_iter().chain(rest).chain([end]));
    Shown { cursor, encoding: Encoding::Gzip, bytes: Some(bytes), parts }
}

/// What there is when there is nothing.
pub(super) fn nothing(cursor: Cursor) -> Shown {
    let parts = pieces([EMPTY].into_iter());
    Shown { cursor, encoding: Encoding::Identity, bytes: Some(EMPTY.len() as u64), parts }
}

fn packed_of(segment: &Segment) -> &Packed {
    segment.packed().expect("all of it was compressed before it is sent so, and stays")
}

fn pieces(pieces: impl Iterator<Item = Bytes> + Send + 'static) -> Parts {
    stream::iter(pieces.map(Ok)).boxed()
}
