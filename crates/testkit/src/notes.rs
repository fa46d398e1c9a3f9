//! A small record protocol, for exercising stores: folders and labels, and notes that refer to both.

use std::borrow::Cow;
use std::collections::BTreeSet;

use tombolo_core::{CollectionName, Digest, Fields, Instant, Policy, PolicyError, RecordKey, RecordName, Unique};
use tombolo_storage::{Action, NamedBase, Write};

/// What notes lie in; sent first.
pub const FOLDER: CollectionName = CollectionName::new("folder");
/// What notes bear; sent first. No two live ones have one name, however it is capitalised.
pub const LABEL: CollectionName = CollectionName::new("label");
/// The notes; sent last.
pub const NOTE: CollectionName = CollectionName::new("note");
/// The server's id of the folder that every replica makes for itself.
pub const INBOX: &str = "inbox";

/// The record `name` of `collection`.
///
/// # Panics
/// When `name` is no name.
#[must_use]
pub fn key(collection: CollectionName, name: &str) -> RecordKey {
    RecordKey::new(collection, RecordName::parse(name).expect("a test's names are names"))
}

/// A note's content. Its payload is one `name=value` line per field.
///
/// `every` and `days` are one field, `repeat`: half of the one and half of the other make no sense. An `x` of "bad"
/// with a `y` of "worse" fails validation.
#[derive(Clone, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub struct Note {
    /// A plain field.
    pub x: String,
    /// Another.
    pub y: String,
    /// Grouped with `days`.
    pub every: String,
    /// Grouped with `every`.
    pub days: String,
    /// The folder's id.
    pub folder: String,
    /// The labels' ids, a set.
    pub labels: BTreeSet<String>,
}

impl Note {
    /// A note in the inbox, without labels.
    #[must_use]
    pub fn new(x: &str, y: &str) -> Self {
        Self { x: x.to_owned(), y: y.to_owned(), folder: INBOX.to_owned(), ..Self::default() }
    }

    /// The same with other labels.
    #[must_use]
    pub fn labelled<const N: usize>(mut self, labels: [&str; N]) -> Self {
        self.labels = labels.into_iter().map(str::to_owned).collect();
        self
    }

    /// The same in another folder.
    #[must_use]
    pub fn within(mut self, folder: &str) -> Self {
        folder.clone_into(&mut self.folder);
        self
    }

    /// The same with another repetition.
    #[must_use]
    pub fn repeating(mut self, every: &str, days: &str) -> Self {
        every.clone_into(&mut self.every);
        days.clone_into(&mut self.days);
        self
    }

    /// The payload.
    #[must_use]
    pub fn to_payload(&self) -> Vec<u8> {
        let Self { x, y, every, days, folder, labels } = self;
        let labels = labels.iter().map(String::as_str).collect::<Vec<_>>().join(",");
        format!("x={x}\ny={y}\nevery={every}\ndays={days}\nfolder={folder}\nlabels={labels}").into_bytes()
    }

    /// Reads what [`Self::to_payload`] wrote.
    ///
    /// # Errors
    /// [`PolicyError`] for anything else.
    pub fn parse(payload: &[u8]) -> Result<Self, PolicyError> {
        let text = text(NOTE, payload)?;
        let value = |name| value(NOTE, text, name).map(str::to_owned);
        Ok(Self {
            x: value("x")?,
            y: value("y")?,
            every: value("every")?,
            days: value("days")?,
            folder: value("folder")?,
            labels: elements(&value("labels")?),
        })
    }
}

fn text(collection: CollectionName, payload: &[u8]) -> Result<&str, PolicyError> {
    std::str::from_utf8(payload)
        .map_err(|_| PolicyError { collection: collection.as_str(), reason: "it is no text".to_owned() })
}

fn value<'a>(collection: CollectionName, text: &'a str, name: &str) -> Result<&'a str, PolicyError> {
    let found = text.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix('='));
    found.ok_or_else(|| PolicyError { collection: collection.as_str(), reason: format!("it has no {name}") })
}

fn elements(set: &str) -> BTreeSet<String> {
    set.split(',').filter(|element| !element.is_empty()).map(str::to_owned).collect()
}

/// How notes are taken apart, compared and put together. Its clients re-stamp what they apply.
#[derive(Clone, Copy, Debug, Default)]
pub struct Notes;

const NOTE_FIELDS: [&str; 5] = ["x", "y", "repeat", "folder", "labels"];

fn fields_of(collection: CollectionName) -> &'static [&'static str] {
    match collection {
        FOLDER => &["name"],
        LABEL => &["name", "born"],
        _ => &NOTE_FIELDS,
    }
}

impl Policy for Notes {
    fn collections(&self) -> &'static [CollectionName] {
        &[FOLDER, LABEL, NOTE]
    }

    fn rank(&self, collection: CollectionName) -> usize {
        usize::from(collection == NOTE)
    }

    fn split<'a>(&self, collection: CollectionName, payload: &'a [u8]) -> Result<Fields<'a>, PolicyError> {
        let text = text(collection, payload)?;
        let field = |name: &&'static str| {
            let value = match *name {
                "repeat" => {
                    let (every, days) = (value(collection, text, "every")?, value(collection, text, "days")?);
                    Cow::Owned(format!("{every};{days}").into_bytes())
                }
                name => Cow::Borrowed(value(collection, text, name)?.as_bytes()),
            };
            Ok((Cow::Borrowed(*name), value))
        };
        fields_of(collection).iter().map(field).collect()
    }

    fn join(&self, collection: CollectionName, fields: &Fields<'_>) -> Option<Vec<u8>> {
        let mut lines = Vec::new();
        for (name, value) in fields {
            let value = std::str::from_utf8(value).ok()?;
            match name.as_ref() {
                "repeat" => {
                    let (every, days) = value.split_once(';')?;
                    lines.extend([format!("every={every}"), format!("days={days}")]);
                }
                name => lines.push(format!("{name}={value}")),
            }
        }
        let joined = lines.join("\n").into_bytes();
        if collection != NOTE {
            return Some(joined);
        }
        let note = Note::parse(&joined).ok()?;
        (note.x != "bad" || note.y != "worse").then(|| note.to_payload())
    }

    fn same(&self, _: CollectionName, field: &str, left: &[u8], right: &[u8]) -> bool {
        let set = |bytes| std::str::from_utf8(bytes).map(elements);
        left == right || (field == "labels" && set(left) == set(right))
    }

    fn merge_set(&self, _: CollectionName, field: &str, base: &[u8], left: &[u8], right: &[u8]) -> Option<Vec<u8>> {
        if field != "labels" {
            return None;
        }
        let set = |bytes| std::str::from_utf8(bytes).map(elements).ok();
        let (base, left, right) = (set(base)?, set(left)?, set(right)?);
        let stays =
            |element: &&String| !base.contains(*element) || (left.contains(*element) && right.contains(*element));
        let merged: Vec<&str> = left.union(&right).filter(stays).map(String::as_str).collect();
        Some(merged.join(",").into_bytes())
    }

    fn digest(&self, collection: CollectionName, payload: &[u8]) -> Result<Digest, PolicyError> {
        if collection != NOTE {
            return text(collection, payload).map(|text| Digest::of(text.as_bytes()));
        }
        Ok(Digest::of(&Note::parse(payload)?.to_payload()))
    }

    fn references(&self, collection: CollectionName, payload: &[u8]) -> Result<Vec<RecordKey>, PolicyError> {
        if collection != NOTE {
            return Ok(Vec::new());
        }
        let note = Note::parse(payload)?;
        let mut targets = vec![key(FOLDER, &note.folder)];
        targets.extend(note.labels.iter().map(|label| key(LABEL, label)));
        Ok(targets)
    }

    fn redirect(
        &self,
        collection: CollectionName,
        payload: &[u8],
        from: &RecordKey,
        to: Option<&RecordKey>,
    ) -> Result<Vec<u8>, PolicyError> {
        if collection != NOTE {
            return Ok(payload.to_vec());
        }
        let mut note = Note::parse(payload)?;
        if from.collection == FOLDER && note.folder == from.name.as_str() {
            note.folder = to.map_or(INBOX, |to| to.name.as_str()).to_owned();
        }
        if from.collection == LABEL && note.labels.remove(from.name.as_str()) {
            note.labels.extend(to.map(|to| to.name.as_str().to_owned()));
        }
        Ok(note.to_payload())
    }

    fn attach(
        &self,
        collection: CollectionName,
        payload: &[u8],
        target: &RecordKey,
    ) -> Result<Option<Vec<u8>>, PolicyError> {
        if collection != NOTE || target.collection != LABEL {
            return Ok(None);
        }
        let mut note = Note::parse(payload)?;
        note.labels.insert(target.name.as_str().to_owned());
        Ok(Some(note.to_payload()))
    }

    fn unique(&self, collection: CollectionName, payload: &[u8]) -> Result<Option<Unique>, PolicyError> {
        if collection != LABEL {
            return Ok(None);
        }
        let text = text(collection, payload)?;
        let born = value(collection, text, "born")?.parse::<i64>().ok();
        let age = born.map(crate::env::at).ok_or_else(|| PolicyError {
            collection: collection.as_str(),
            reason: "it was born at no time".to_owned(),
        })?;
        Ok(Some(Unique { key: value(collection, text, "name")?.to_lowercase().into_bytes(), age: age.to_bytes() }))
    }

    fn clients_restamp(&self) -> bool {
        true
    }

    fn home(&self) -> Option<RecordKey> {
        Some(key(FOLDER, INBOX))
    }
}

fn write(key: RecordKey, payload: Vec<u8>, written_at: Instant) -> Write {
    Write { key, action: Action::Put(payload), written_at, is_home: false, base: NamedBase::Unsaid }
}

/// The write of a note.
#[must_use]
pub fn put(id: &str, note: &Note, written_at: Instant) -> Write {
    write(key(NOTE, id), note.to_payload(), written_at)
}

/// The write of a folder.
#[must_use]
pub fn folder(id: &str, name: &str, written_at: Instant) -> Write {
    write(key(FOLDER, id), format!("name={name}").into_bytes(), written_at)
}

/// The write of a replica's own inbox.
#[must_use]
pub fn home(id: &str, written_at: Instant) -> Write {
    Write { is_home: true, ..folder(id, "Inbox", written_at) }
}

/// The write of a label that was made at second `born`.
#[must_use]
pub fn label(id: &str, name: &str, born: i64, written_at: Instant) -> Write {
    write(key(LABEL, id), format!("name={name}\nborn={born}").into_bytes(), written_at)
}

/// The deletion of a record.
#[must_use]
pub fn delete(key: RecordKey, written_at: Instant) -> Write {
    Write { key, action: Action::Delete, written_at, is_home: false, base: NamedBase::Unsaid }
}
