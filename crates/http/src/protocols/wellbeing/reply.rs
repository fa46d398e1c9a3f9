//! The answers to an upload and to a download, spliced into one buffer: the stored payloads are not parsed.

use std::collections::HashMap;
use std::io::Write as _;

use serde_json::json;
use tombolo_core::{Op, RecordVersion, SpaceCursor, Verdict};
use tombolo_service::{Fate, Present, Refused, ServiceError, StoreError};
use tombolo_wellbeing::normal::{self, Envelope};

use super::error::SyncError;
use super::upload::Sent;
use super::{kinds, limits};

/// What an id takes in an upload's answer: twice among those that were applied, and once with its version.
const ID_BYTES: usize = 160;

/// The answer to a download.
///
/// # Errors
/// When what is stored does not read.
pub(super) fn downloaded(records: &[Present], cursor: SpaceCursor, more: bool) -> Result<Vec<u8>, SyncError> {
    let bytes: usize = records.iter().map(|record| record.payload.len() + limits::RECORD_OVERHEAD_BYTES).sum();
    let mut reply = Vec::with_capacity(bytes + 200);
    begin(&mut reply, cursor);
    reply.extend_from_slice(br#","changes":["#);
    for (n, record) in records.iter().enumerate() {
        separate(&mut reply, n);
        change(&mut reply, record)?;
    }
    reply.extend_from_slice(br#"],"has_more":"#);
    reply.extend_from_slice(if more { b"true}" } else { b"false}" });
    Ok(reply)
}

/// The answer to an upload that was stored; `fates` says what became of those of `sent` that are writes.
///
/// # Errors
/// When what is stored does not read.
pub(super) fn uploaded(sent: &[Sent], fates: &[Fate], cursor: SpaceCursor) -> Result<Vec<u8>, SyncError> {
    let outcomes = outcomes(sent, fates);
    let mut reply = Vec::with_capacity(outcomes.len() * ID_BYTES + 300);
    begin(&mut reply, cursor);
    for list in [br#","applied_ids":["#.as_slice(), br#","applied":["#.as_slice()] {
        reply.extend_from_slice(list);
        for (n, (id, _)) in outcomes.iter().filter(|(_, outcome)| outcome.is_applied).enumerate() {
            separate(&mut reply, n);
            put(&mut reply, format_args!("\"{id}\""));
        }
        reply.push(b']');
    }
    reply.extend_from_slice(br#","versions":{"#);
    let versions = outcomes.iter().filter_map(|(id, outcome)| Some((id, outcome.version?)));
    for (n, (id, version)) in versions.enumerate() {
        separate(&mut reply, n);
        put(&mut reply, format_args!("\"{id}\":\"{version}\""));
    }
    reply.extend_from_slice(br#"},"conflicts":["#);
    conflicts(&mut reply, sent, fates)?;
    reply.extend_from_slice(b"]}");
    Ok(reply)
}

/// What became of all that was sent under one id.
struct Outcome<'a> {
    kind: &'a str,
    /// Whether nothing of it is among the conflicts.
    is_applied: bool,
    /// What the device has in hand by the last of it; `None` where records of two kinds have the id, since it would be
    /// taken for either's.
    version: Option<RecordVersion>,
}

/// By id, in the order in which they were sent first.
fn outcomes<'a>(sent: &'a [Sent], fates: &[Fate]) -> Vec<(&'a str, Outcome<'a>)> {
    let mut outcomes: Vec<(&str, Outcome<'_>)> = Vec::with_capacity(sent.len());
    let mut places: HashMap<&str, usize> = HashMap::with_capacity(sent.len());
    let mut fates = fates.iter();
    for sent in sent {
        let (kind, id, judged) = match sent {
            Sent::Refused(Refused { record, kind, .. }) => (kind.as_str(), record.as_str(), None),
            Sent::Write(key) => {
                let (kind, id) = kinds::shown(key);
                let judged = match fates.next() {
                    Some(Fate::Judged { verdict, version, .. }) => Some((*verdict, *version)),
                    _ => None,
                };
                (kind, id, judged)
            }
        };
        let is_applied = judged.is_some_and(|(verdict, _)| verdict != Verdict::Superseded);
        let version = judged.map(|(_, version)| version);
        let place = *places.entry(id).or_insert(outcomes.len());
        match outcomes.get_mut(place) {
            None => outcomes.push((id, Outcome { kind, is_applied, version })),
            Some((_, known)) if known.kind == kind => {
                known.is_applied &= is_applied;
                known.version = version.or(known.version);
            }
            Some((_, known)) => {
                known.is_applied &= is_applied;
                known.version = None;
            }
        }
    }
    outcomes
}

/// What was refused, and what lost with the record as it is now, in the order in which they were sent.
fn conflicts(reply: &mut Vec<u8>, sent: &[Sent], fates: &[Fate]) -> Result<(), SyncError> {
    let mut count = 0;
    let mut fates = fates.iter();
    for sent in sent {
        let key = match sent {
            Sent::Refused(Refused { record, kind, reason }) => {
                separate(reply, count);
                refused(reply, kind, record, reason);
                count += 1;
                continue;
            }
            Sent::Write(key) => key,
        };
        let (kind, id) = kinds::shown(key);
        match fates.next() {
            Some(Fate::Refused(reason)) => {
                separate(reply, count);
                refused(reply, kind, id, reason);
            }
            Some(Fate::Judged { verdict: Verdict::Superseded, present, .. }) => {
                separate(reply, count);
                put(reply, format_args!(r#"{{"entity_type":"{kind}","id":"{id}","reason":"server_newer""#));
                if let Some(present) = present {
                    reply.extend_from_slice(br#","server":"#);
                    change(reply, present)?;
                }
                reply.push(b'}');
            }
            _ => continue,
        }
        count += 1;
    }
    Ok(())
}

fn refused(reply: &mut Vec<u8>, kind: &str, id: &str, reason: &str) {
    let conflict = json!({ "entity_type": kind, "id": id, "reason": format_args!("invalid: {reason}").to_string() });
    reply.extend_from_slice(conflict.to_string().as_bytes());
}

/// A record as it is now.
fn change(reply: &mut Vec<u8>, present: &Present) -> Result<(), SyncError> {
    let (kind, id) = kinds::shown(&present.key);
    let updated_at = present.at.to_string();
    // One by one: to format them takes a tenth of a page's time.
    for part in [r#"{"entity_type":""#, kind, r#"","id":""#, id, r#"","updated_at":""#, &updated_at, r#"","deleted":"#]
    {
        reply.extend_from_slice(part.as_bytes());
    }
    match present.op {
        Op::Put => {
            reply.extend_from_slice(br#"false,"data":"#);
            let payload = std::str::from_utf8(&present.payload).map_err(|_| damaged())?;
            let envelope = Envelope { id, updated_at: &updated_at };
            normal::present_to(reply, &kinds::of(present.key.collection), payload, envelope);
        }
        Op::Delete => reply.extend_from_slice(br#"true,"data":null"#),
    }
    put(reply, format_args!(r#","version":"{}"}}"#, present.version));
    Ok(())
}

fn begin(reply: &mut Vec<u8>, cursor: SpaceCursor) {
    put(reply, format_args!(r#"{{"server_cursor":"{cursor}""#));
}

fn separate(reply: &mut Vec<u8>, n: usize) {
    if n > 0 {
        reply.push(b',');
    }
}

fn put(reply: &mut Vec<u8>, text: std::fmt::Arguments<'_>) {
    // Writing to a vector cannot fail.
    let _ = reply.write_fmt(text);
}

fn damaged() -> SyncError {
    SyncError::failed(&ServiceError::Store(StoreError::Corrupt("a stored record is no text".to_owned())))
}
