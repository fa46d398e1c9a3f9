//! Data read into a record, and a record written as data.

use serde::Serialize;
use serde::de::DeserializeOwned;
use serde_json::value::RawValue;
use uuid::Uuid;

use super::{Extra, Metadata};
use crate::normal::{self, CREATED_AT, Envelope, METADATA};
use crate::shape::Shape;
use crate::text::unescaped;
use crate::walk::Members;
use crate::{EntityType, Invalid, Timestamp};

/// The data of a known kind, valid and in their normal form.
pub(super) struct Reader<'a> {
    shape: &'static Shape,
    normal: &'a str,
    updated_at: Timestamp,
}

impl<'a> Reader<'a> {
    /// `None` of a kind that has no fields.
    pub(super) fn new(kind: &EntityType, normal: &'a str, updated_at: Timestamp) -> Option<Self> {
        Shape::of(kind).map(|shape| Self { shape, normal, updated_at })
    }

    fn raw(&self, name: &str) -> Option<&'a str> {
        Members::of(self.normal).flatten().find(|(known, _)| *known == name).map(|(_, value)| value)
    }

    /// What a field says; `None` where it is not there, or `null`.
    pub(super) fn optional<T: DeserializeOwned>(&self, name: &str) -> Option<T> {
        serde_json::from_str(self.raw(name)?).ok().flatten()
    }

    /// What a field says that must be there.
    pub(super) fn required<T: DeserializeOwned>(&self, name: &'static str) -> Result<T, Invalid> {
        self.optional(name).ok_or_else(|| Invalid::new(name, "is missing"))
    }

    /// What a field's text means.
    pub(super) fn parsed<T: std::str::FromStr<Err = Invalid>>(&self, name: &'static str) -> Result<T, Invalid> {
        self.required::<String>(name)?.parse()
    }

    /// What is not known.
    pub(super) fn extra(&self) -> Extra {
        let mut extra = Extra::default();
        for (name, value) in Members::of(self.normal).flatten() {
            if name != METADATA && self.shape.place(name).is_none() {
                extra.push_raw(name, value);
            }
        }
        extra
    }

    /// The metadata, with the envelope's time; a record without a time of creation was made then.
    pub(super) fn metadata(&self) -> Metadata {
        let mut metadata = Metadata::new(self.updated_at);
        for (name, value) in self.raw(METADATA).into_iter().flat_map(Members::of).flatten() {
            match serde_json::from_str(value) {
                Ok(created_at) if name == CREATED_AT => metadata.created_at = created_at,
                _ => metadata.extra.push_raw(name, value),
            }
        }
        metadata
    }
}

/// Data that are being written.
pub(super) struct Writer {
    text: String,
}

impl Writer {
    pub(super) fn new() -> Self {
        Self { text: "{".to_owned() }
    }

    fn raw(&mut self, name: &str, value: &str) {
        if !self.text.ends_with('{') {
            self.text.push(',');
        }
        for part in ["\"", name, "\":", value] {
            self.text.push_str(part);
        }
    }

    /// Writes a field.
    pub(super) fn field(&mut self, name: &str, value: impl Serialize) {
        // None of the values of a record is a map with keys that are no text, which alone fails.
        let value = serde_json::to_string(&value).unwrap_or_default();
        self.raw(name, &value);
    }

    /// Writes a field that is there; nothing where it is not.
    pub(super) fn optional(&mut self, name: &str, value: Option<impl Serialize>) {
        if let Some(value) = value {
            self.field(name, value);
        }
    }

    /// Writes what is not known, and the metadata, and validates the whole.
    pub(super) fn end(
        mut self,
        kind: &EntityType,
        id: Uuid,
        metadata: &Metadata,
        extra: &Extra,
    ) -> Result<Box<RawValue>, Invalid> {
        let is_reserved = |(name, _): (&str, &str)| {
            unescaped(name).is_some_and(|name| matches!(&*name, METADATA | normal::ENCRYPTED | "id"))
        };
        if extra.raw().any(is_reserved) {
            return Err(Invalid::new("data", "must not have id, enc or metadata as a member that is not known"));
        }
        for (name, value) in extra.raw() {
            self.raw(name, value);
        }
        let mut kept = Self::new();
        kept.field(CREATED_AT, metadata.created_at);
        for (name, value) in metadata.extra.raw() {
            kept.raw(name, value);
        }
        self.raw(METADATA, &(kept.text + "}"));
        let data = json(self.text + "}")?;
        let normal = normal::normalise(kind, &data)?;
        let (id, updated_at) = (id.as_hyphenated().to_string(), metadata.updated_at.to_string());
        json(normal::present(kind, &normal, Envelope { id: &id, updated_at: &updated_at }))
    }
}

fn json(text: String) -> Result<Box<RawValue>, Invalid> {
    RawValue::from_string(text).map_err(|_| Invalid::new("data", "must be JSON"))
}
