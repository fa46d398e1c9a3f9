//! A codec whose messages are lines that tests read.

use std::collections::BTreeSet;
use std::pin::pin;
use std::sync::Arc;
use std::task::{Context, Poll, Waker};

use bytes::Bytes;

use super::codec::{Notice, PeerInfo, RoomCodec};
use super::outlet::{Outlet, Parcel, Taken};

/// Writes lines. A document is a set of words between commas; one with a `!` cannot be read. Clients do not take in words
/// with a `?`.
pub(super) struct Lines;

impl RoomCodec for Lines {
    fn encode(&self, notice: Notice<'_>) -> Bytes {
        let line = match notice {
            Notice::RoomInfo { code, host, peers } => {
                let peers: Vec<String> = peers.iter().map(peer).collect();
                format!("room {code} of {}: {}", host.as_str(), peers.join(" "))
            }
            Notice::Connected { peer, code } => format!("connected {} to {code}", peer.as_str()),
            Notice::PeerJoined(info) => format!("joined {}", peer(info)),
            Notice::PeerLeft(id) => format!("left {}", id.as_str()),
            Notice::Document(text) => format!("document {text}"),
            Notice::Data { from, data } => format!("data {}: {data}", from.as_str()),
            Notice::Error(text) => format!("error {text}"),
            Notice::Pong => "pong".to_owned(),
        };
        line.into()
    }

    fn merge(&self, base: &str, theirs: &str, mine: &str) -> Option<String> {
        let (base, theirs, mine) = (words(base)?, words(theirs)?, words(mine)?);
        let kept = theirs.iter().filter(|word| !base.contains(*word) || mine.contains(*word));
        let added = mine.iter().filter(|word| !base.contains(*word));
        let merged: BTreeSet<&str> = kept.chain(added).copied().collect();
        Some(merged.into_iter().collect::<Vec<_>>().join(","))
    }

    fn taken_in(&self, sent: &str) -> Option<String> {
        let taken_in = || sent.split(',').filter(|word| !word.contains('?')).collect::<Vec<_>>().join(",");
        sent.contains('?').then(taken_in)
    }

    fn distance(&self, one: &str, other: &str) -> Option<usize> {
        Some(words(one)?.symmetric_difference(&words(other)?).count())
    }
}

fn words(text: &str) -> Option<BTreeSet<&str>> {
    (!text.contains('!')).then(|| text.split(',').filter(|word| !word.is_empty()).collect())
}

/// `name@7`, with a star if it is the host, and what it says of itself.
fn peer(info: &PeerInfo) -> String {
    let star = if info.is_host { "*" } else { "" };
    let metadata = info.metadata.as_ref().map(|metadata| format!("({metadata})")).unwrap_or_default();
    format!("{}{star}@{}{metadata}", info.id.as_str(), info.joined_at.micros())
}

/// Takes once, if there is something to take.
pub(super) fn take(outlet: &Outlet, into: &mut Vec<Parcel>) -> Option<Taken> {
    match pin!(outlet.take(into)).poll(&mut Context::from_waker(Waker::noop())) {
        Poll::Ready(taken) => Some(taken),
        Poll::Pending => None,
    }
}

/// Everything that waits, as lines; the last says why it is closed, if it is.
pub(super) fn drain(outlet: &Arc<Outlet>) -> Vec<String> {
    let mut lines = Vec::new();
    loop {
        let mut parcels = Vec::new();
        let taken = take(outlet, &mut parcels);
        lines.extend(parcels.iter().map(|parcel| String::from_utf8_lossy(&parcel.bytes).into_owned()));
        match taken {
            Some(Taken::Some) => {}
            Some(Taken::Last(reason)) => {
                lines.push(format!("closed {reason:?}"));
                return lines;
            }
            None => return lines,
        }
    }
}
