//! The reply to a sync, written so that the strictest client reads it: every key is always there, in the form that it
//! expects.

use std::io::Write as _;

use tombolo_core::{Op, RecordName};
use tombolo_service::{Delivery, Exchanged, Refused};

use super::policy::{LIST, TAG, TASK, inbox};
use super::{limits, normal};

/// The list of a task in the inbox, for a device whose own inbox is not known, where nobody has one.
const NO_LIST: &str = "00000000-0000-0000-0000-000000000000";

/// Writes the reply.
///
/// Lists and tags come before the tasks that refer to them, deletions last: one of the clients applies them in this
/// order.
pub(super) fn write(exchanged: &Exchanged, conflicts: &[&RecordName], refused: &[&Refused]) -> Vec<u8> {
    let bytes: usize = exchanged.deliveries.iter().map(|delivery| delivery.payload.len() + 200).sum();
    let mut reply = Vec::with_capacity(bytes + conflicts.len() * 39 + refused.len() * 300 + 200);
    reply.extend_from_slice(br#"{"server_time":""#);
    reply.extend_from_slice(exchanged.cursor.to_string().as_bytes());
    reply.extend_from_slice(br#"","changes":["#);
    write_changes(&mut reply, exchanged);
    reply.extend_from_slice(br#"],"conflicts":["#);
    separated(&mut reply, conflicts.iter().take(limits::CONFLICTS_MAX), |reply, id| {
        quoted(reply, id.as_str());
    });
    reply.extend_from_slice(br#"],"refused":["#);
    separated(&mut reply, refused.iter().take(limits::REFUSED_MAX), |reply, refused| {
        let entry = serde_json::json!({ "id": refused.record, "type": refused.kind, "reason": refused.reason });
        reply.extend_from_slice(entry.to_string().as_bytes());
    });
    reply.extend_from_slice(br#"],"more":"#);
    reply.extend_from_slice(if exchanged.more { b"true}" } else { b"false}" });
    reply
}

fn write_changes(reply: &mut Vec<u8>, exchanged: &Exchanged) {
    let home = exchanged.home.as_ref().map_or(NO_LIST, RecordName::as_str);
    let inbox = inbox();
    // The inbox of another device is nothing to this one.
    let known = exchanged.deliveries.iter().filter(|delivery| exchanged.home_is_own || delivery.key != inbox);
    let mut passes = Vec::with_capacity(exchanged.deliveries.len());
    for pass in [Some(LIST), Some(TAG), Some(TASK), None] {
        let belongs = |delivery: &&Delivery| match delivery.op {
            Op::Put => pass == Some(delivery.key.collection),
            Op::Delete => pass.is_none(),
        };
        passes.extend(known.clone().filter(belongs));
    }
    separated(reply, passes.into_iter(), |reply, delivery| {
        let id = if delivery.key == inbox { home } else { delivery.key.name.as_str() };
        match delivery.op {
            Op::Put => write_record(reply, delivery, id, home),
            Op::Delete => write_deleted(reply, delivery, id),
        }
    });
}

fn separated<T>(reply: &mut Vec<u8>, items: impl Iterator<Item = T>, mut write: impl FnMut(&mut Vec<u8>, T)) {
    for (n, item) in items.enumerate() {
        if n > 0 {
            reply.push(b',');
        }
        write(reply, item);
    }
}

fn write_record(reply: &mut Vec<u8>, delivery: &Delivery, id: &str, home: &str) {
    begin(reply, delivery.key.collection.as_str(), id);
    reply.extend_from_slice(br#","updated_at":""#);
    instant(reply, delivery);
    reply.extend_from_slice(b"\",");
    let payload = delivery.payload.as_slice();
    match payload.strip_prefix(normal::IN_INBOX) {
        Some(rest) => {
            reply.extend_from_slice(br#""list_id":"#);
            quoted(reply, home);
            reply.extend_from_slice(rest);
        }
        None => reply.extend_from_slice(payload.get(1..).unwrap_or_default()),
    }
}

fn write_deleted(reply: &mut Vec<u8>, delivery: &Delivery, id: &str) {
    begin(reply, "deleted", id);
    reply.extend_from_slice(br#","record_type":""#);
    reply.extend_from_slice(delivery.key.collection.as_str().as_bytes());
    reply.extend_from_slice(br#"","deleted_at":""#);
    instant(reply, delivery);
    reply.extend_from_slice(b"\"}");
}

fn instant(reply: &mut Vec<u8>, delivery: &Delivery) {
    // Writing to a vector cannot fail.
    let _ = write!(reply, "{}", delivery.instant);
}

fn quoted(reply: &mut Vec<u8>, id: &str) {
    reply.push(b'"');
    reply.extend_from_slice(id.as_bytes());
    reply.push(b'"');
}

fn begin(reply: &mut Vec<u8>, kind: &str, id: &str) {
    reply.extend_from_slice(br#"{"type":""#);
    reply.extend_from_slice(kind.as_bytes());
    reply.extend_from_slice(br#"","id":"#);
    quoted(reply, id);
}
