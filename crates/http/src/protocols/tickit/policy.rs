//! How Tickit's records are taken apart, compared and put together.

use std::borrow::Cow;

use tombolo_core::{CollectionName, Digest, Fields, Instant, Policy, PolicyError, RecordKey, RecordName, Unique};

use super::{due, normal};

pub(super) const LIST: CollectionName = CollectionName::new("list");
pub(super) const TAG: CollectionName = CollectionName::new("tag");
pub(super) const TASK: CollectionName = CollectionName::new("task");

/// The one inbox of a space, whatever each device calls its own.
const INBOX: &str = "inbox";

/// The policy of Tickit's records.
///
/// | collection | fields | compared | merged |
/// | --- | --- | --- | --- |
/// | task | list, title, description, url, priority | by value | whole |
/// | task | tags | as a set | by element |
/// | task | completion: `completed` with `completed_at` | by `completed`: one client never sends the time | together |
/// | task | due | as a moment | whole |
/// | list | name, description, icon, color, order | by value | whole |
/// | tag | name, color | by value | whole; one tag per name |
/// | all | created | never differs | the server's |
#[derive(Clone, Copy, Debug, Default)]
pub struct TickitPolicy;

pub(super) fn inbox() -> RecordKey {
    RecordKey::new(LIST, RecordName::parse(INBOX).expect("the constant is a name"))
}

fn unreadable(collection: CollectionName) -> PolicyError {
    PolicyError { collection: collection.as_str(), reason: "it is not in the normal form".to_owned() }
}

fn task(payload: &[u8]) -> Result<[&[u8]; 10], PolicyError> {
    normal::read(normal::TASK, payload).ok_or_else(|| unreadable(TASK))
}

/// `true` or `false`, of a completion such as `true,"completed_at":null`.
fn is_completed(completion: &[u8]) -> bool {
    completion.starts_with(b"true")
}

const COMPLETED_AT: &[u8] = br#","completed_at":"#;

impl TickitPolicy {
    fn hash(parts: &[&[u8]]) -> Digest {
        // A separator that no JSON text holds.
        Digest::of(&parts.join(&0))
    }

    fn key(collection: CollectionName, id: &str) -> Result<RecordKey, PolicyError> {
        RecordName::parse(id).map(|name| RecordKey::new(collection, name)).map_err(|_| unreadable(collection))
    }
}

impl Policy for TickitPolicy {
    fn collections(&self) -> &'static [CollectionName] {
        &[LIST, TAG, TASK]
    }

    fn rank(&self, collection: CollectionName) -> usize {
        usize::from(collection == TASK)
    }

    fn split<'a>(&self, collection: CollectionName, payload: &'a [u8]) -> Result<Fields<'a>, PolicyError> {
        let bad = || unreadable(collection);
        let names: &[&'static str] = match collection {
            TASK => {
                let [list, tags, title, description, url, priority, completed, completed_at, due, created] =
                    task(payload)?;
                let completion = [completed, COMPLETED_AT, completed_at].concat();
                let plain = [
                    ("list", list),
                    ("tags", tags),
                    ("title", title),
                    ("description", description),
                    ("url", url),
                    ("priority", priority),
                    ("due", due),
                    ("created", created),
                ];
                let mut fields: Fields<'a> =
                    plain.map(|(name, value)| (Cow::Borrowed(name), Cow::Borrowed(value))).to_vec();
                fields.push((Cow::Borrowed("completion"), Cow::Owned(completion)));
                return Ok(fields);
            }
            LIST => &["name", "description", "icon", "color", "inbox", "order", "created"],
            _ => &["name", "color", "created"],
        };
        let values: Vec<&'a [u8]> = match collection {
            LIST => normal::read(normal::LIST, payload).ok_or_else(bad)?.to_vec(),
            _ => normal::read(normal::TAG, payload).ok_or_else(bad)?.to_vec(),
        };
        Ok(names.iter().copied().map(Cow::Borrowed).zip(values.into_iter().map(Cow::Borrowed)).collect())
    }

    fn join(&self, collection: CollectionName, fields: &Fields<'_>) -> Option<Vec<u8>> {
        let field = |name: &str| fields.iter().find(|(field, _)| field == name).map(|(_, value)| value.as_ref());
        Some(match collection {
            TASK => {
                let completion = field("completion")?;
                let comma = completion.iter().position(|byte| *byte == b',')?;
                let (completed, rest) = completion.split_at(comma);
                let completed_at = rest.strip_prefix(COMPLETED_AT)?;
                let values = [
                    field("list")?,
                    field("tags")?,
                    field("title")?,
                    field("description")?,
                    field("url")?,
                    field("priority")?,
                    completed,
                    completed_at,
                    field("due")?,
                    field("created")?,
                ];
                normal::write(normal::TASK, values)
            }
            LIST => normal::write(
                normal::LIST,
                [
                    field("name")?,
                    field("description")?,
                    field("icon")?,
                    field("color")?,
                    field("inbox")?,
                    field("order")?,
                    field("created")?,
                ],
            ),
            _ => normal::write(normal::TAG, [field("name")?, field("color")?, field("created")?]),
        })
    }

    fn same(&self, _: CollectionName, field: &str, left: &[u8], right: &[u8]) -> bool {
        match field {
            // A field that is missing on one side differs: there was nothing yet.
            _ if left.is_empty() || right.is_empty() => left.is_empty() == right.is_empty(),
            "created" | "inbox" => true,
            "completion" => is_completed(left) == is_completed(right),
            "due" => due::same(left, right),
            _ => left == right,
        }
    }

    fn merge_set(&self, _: CollectionName, field: &str, base: &[u8], left: &[u8], right: &[u8]) -> Option<Vec<u8>> {
        if field != "tags" {
            return None;
        }
        let has = |set: &[u8], id: &str| normal::ids(set).any(|other| other == id);
        let all = normal::ids(left).chain(normal::ids(right));
        let kept = all.filter(|id| !has(base, id) || (has(left, id) && has(right, id)));
        Some(normal::set(kept))
    }

    fn digest(&self, collection: CollectionName, payload: &[u8]) -> Result<Digest, PolicyError> {
        let bad = || unreadable(collection);
        Ok(match collection {
            TASK => {
                let [list, tags, title, description, url, priority, completed, _, due, _] = task(payload)?;
                let moment = due::moment(due).map(|moment| moment.unix_timestamp_nanos().to_be_bytes());
                let due = moment.as_ref().map_or(b"null".as_slice(), |moment| moment.as_slice());
                Self::hash(&[list, tags, title, description, url, priority, completed, due])
            }
            LIST => {
                let [name, description, icon, color, _, order, _] =
                    normal::read(normal::LIST, payload).ok_or_else(bad)?;
                Self::hash(&[name, description, icon, color, order])
            }
            _ => {
                let [name, color, _] = normal::read(normal::TAG, payload).ok_or_else(bad)?;
                Self::hash(&[name, color])
            }
        })
    }

    fn references(&self, collection: CollectionName, payload: &[u8]) -> Result<Vec<RecordKey>, PolicyError> {
        if collection != TASK {
            return Ok(Vec::new());
        }
        // Asked several times a write, and they come first: the rest is not read.
        let ([list, tags], _) = normal::begin(["list_id", "tag_ids"], payload).ok_or_else(|| unreadable(TASK))?;
        let list = normal::id(list).map(|id| Self::key(LIST, id));
        list.into_iter().chain(normal::ids(tags).map(|id| Self::key(TAG, id))).collect()
    }

    fn redirect(
        &self,
        collection: CollectionName,
        payload: &[u8],
        from: &RecordKey,
        to: Option<&RecordKey>,
    ) -> Result<Vec<u8>, PolicyError> {
        if collection != TASK {
            return Ok(payload.to_vec());
        }
        let mut values = task(payload)?;
        let from_id = from.name.as_str();
        let changed = match from.collection {
            // A task without its list is in the inbox.
            LIST if normal::id(values[0]) == Some(from_id) => match to.filter(|to| **to != inbox()) {
                Some(to) => normal::quoted(to.name.as_str()),
                None => b"null".to_vec(),
            },
            TAG => {
                let kept = normal::ids(values[1]).filter(|id| *id != from_id);
                let had = normal::ids(values[1]).any(|id| id == from_id);
                normal::set(kept.chain(to.filter(|_| had).map(|to| to.name.as_str())))
            }
            _ => return Ok(payload.to_vec()),
        };
        values[usize::from(from.collection == TAG)] = &changed;
        Ok(normal::write(normal::TASK, values))
    }

    fn attach(
        &self,
        collection: CollectionName,
        payload: &[u8],
        target: &RecordKey,
    ) -> Result<Option<Vec<u8>>, PolicyError> {
        if collection != TASK || target.collection != TAG {
            return Ok(None);
        }
        let mut values = task(payload)?;
        let tags = normal::set(normal::ids(values[1]).chain([target.name.as_str()]));
        values[1] = &tags;
        Ok(Some(normal::write(normal::TASK, values)))
    }

    fn unique(&self, collection: CollectionName, payload: &[u8]) -> Result<Option<Unique>, PolicyError> {
        if collection != TAG {
            return Ok(None);
        }
        let [name, _, created] = normal::read(normal::TAG, payload).ok_or_else(|| unreadable(TAG))?;
        let name: String = serde_json::from_slice(name).map_err(|_| unreadable(TAG))?;
        let created = normal::id(created).and_then(|text| Instant::parse(text).ok()).ok_or_else(|| unreadable(TAG))?;
        Ok(Some(Unique { key: name.trim().to_lowercase().into_bytes(), age: created.to_bytes() }))
    }

    fn clients_restamp(&self) -> bool {
        true
    }

    fn home(&self) -> Option<RecordKey> {
        Some(inbox())
    }
}
