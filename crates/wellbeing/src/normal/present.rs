//! The normal form as it goes out.

use super::{CREATED_AT, ENCRYPTED, METADATA, spelt};
use crate::EntityType;
use crate::shape::Shape;
use crate::walk::Members;

/// What the envelope of a record says of it, which goes out in its data as well.
#[derive(Clone, Copy, Debug)]
pub struct Envelope<'a> {
    /// The record's id, as text.
    pub id: &'a str,
    /// When it was written, as text.
    pub updated_at: &'a str,
}

/// Where the metadata of a known kind lie.
struct Placed<'a> {
    /// What stands before them, the brace that opens the data included, without the comma behind.
    before: &'a str,
    /// The time of creation.
    created_at: Option<&'a str>,
    /// What else they hold, without the braces.
    others: &'a str,
}

impl<'a> Placed<'a> {
    /// `None` of data that have no metadata of their own: of an unknown kind, encrypted, or not in the normal form.
    fn find(kind: &EntityType, normal: &'a str) -> Option<Self> {
        Shape::of(kind)?;
        let mut walk = Members::of(normal);
        let mut before_end = 1;
        let mut metadata = None;
        while let Some(member) = walk.next() {
            let (name, value) = member?;
            // In the normal form they come last; what is encrypted is kept as it came, and its names as they are spelt.
            if metadata.is_some() || spelt(name).as_deref() == Some(ENCRYPTED) {
                return None;
            }
            match name {
                METADATA => metadata = Some(value),
                _ => before_end = walk.at(),
            }
        }
        let before = normal.get(..before_end)?;
        match metadata {
            Some(metadata) => Self::take(before, metadata),
            None => Some(Self { before, created_at: None, others: "" }),
        }
    }

    fn take(before: &'a str, metadata: &'a str) -> Option<Self> {
        let mut walk = Members::of(metadata);
        let inner_end = metadata.len().checked_sub(1)?;
        match walk.next()?? {
            (CREATED_AT, value) => {
                let start = if walk.at() < inner_end { walk.at() + 1 } else { inner_end };
                Some(Self { before, created_at: Some(value), others: metadata.get(start..inner_end)? })
            }
            _ => Some(Self { before, created_at: None, others: metadata.get(1..inner_end)? }),
        }
    }
}

/// What tells one content from another: all but the time of creation, which never differs.
#[must_use]
pub fn without_created_at<'a>(kind: &EntityType, normal: &'a str) -> (&'a str, &'a str) {
    Placed::find(kind, normal).map_or((normal, ""), |placed| (placed.before, placed.others))
}

/// The data as they go out: of a known kind with their id and all of their metadata, otherwise as they are.
#[must_use]
pub fn present(kind: &EntityType, normal: &str, envelope: Envelope<'_>) -> String {
    presented(kind, normal, envelope).concat()
}

/// Appends what [`present`] returns to `out`.
pub fn present_to(out: &mut Vec<u8>, kind: &EntityType, normal: &str, envelope: Envelope<'_>) {
    for part in presented(kind, normal, envelope) {
        out.extend_from_slice(part.as_bytes());
    }
}

fn presented<'a>(kind: &EntityType, normal: &'a str, envelope: Envelope<'a>) -> [&'a str; 13] {
    let Some(Placed { before, created_at, others }) = Placed::find(kind, normal) else {
        return [normal, "", "", "", "", "", "", "", "", "", "", "", ""];
    };
    let body = &before[1..];
    // A time that is JSON already has its quotes.
    let (quote, created_at) = created_at.map_or(("\"", envelope.updated_at), |given| ("", given));
    [
        "{\"id\":\"",
        envelope.id,
        if body.is_empty() { "\"" } else { "\"," },
        body,
        ",\"metadata\":{\"created_at\":",
        quote,
        created_at,
        quote,
        ",\"updated_at\":\"",
        envelope.updated_at,
        if others.is_empty() { "\"" } else { "\"," },
        others,
        "}}",
    ]
}
