//! Names and ids: one newtype each, so that no two are confused.

use std::fmt;
use std::sync::Arc;

use crate::limits;

macro_rules! row_id {
    ($(#[$doc:meta])* $name:ident) => {
        $(#[$doc])*
        #[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
        pub struct $name(i64);

        impl $name {
            /// The id that a store keeps as `value`.
            #[must_use]
            pub const fn new(value: i64) -> Self {
                Self(value)
            }

            /// The number that a store keeps.
            #[must_use]
            pub const fn get(self) -> i64 {
                self.0
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                self.0.fmt(f)
            }
        }
    };
}

row_id!(
    /// One space of one store. Never given to a client, never reused.
    SpaceId
);
row_id!(
    /// One user of one store.
    UserId
);
row_id!(
    /// One credential of one store.
    CredentialId
);

row_id!(
    /// One sign-in of one store.
    SignInId
);
row_id!(
    /// One invitation of one store.
    InvitationId
);
row_id!(
    /// One project of one store: a random number, so that nothing follows from it.
    ProjectId
);
row_id!(
    /// Which of a user's spaces of one protocol.
    SpaceNumber
);

impl SpaceNumber {
    /// Where a user has one space of a protocol.
    pub const ONLY: Self = Self(0);
}

/// Why a text is no name.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum NameError {
    /// Nothing is left of it.
    #[error("it is empty")]
    Empty,
    /// Longer than the limit.
    #[error("it is longer than {max} bytes")]
    TooLong {
        /// The limit, in bytes.
        max: usize,
    },
    /// It holds a control character, or space where none may be.
    #[error("it may hold no control characters, and no space at its ends")]
    Characters,
}

fn check(text: &str, bytes_max: usize) -> Result<(), NameError> {
    if text.is_empty() {
        return Err(NameError::Empty);
    }
    if text.len() > bytes_max {
        return Err(NameError::TooLong { max: bytes_max });
    }
    if text.chars().any(char::is_control) || text.trim() != text {
        return Err(NameError::Characters);
    }
    Ok(())
}

macro_rules! text_id {
    ($(#[$doc:meta])* $name:ident, $max:expr) => {
        $(#[$doc])*
        #[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
        pub struct $name(Arc<str>);

        impl $name {
            /// The name spelt `text`.
            ///
            /// # Errors
            /// [`NameError`] when it is empty, too long, or holds control characters.
            pub fn parse(text: &str) -> Result<Self, NameError> {
                check(text, $max)?;
                Ok(Self(text.into()))
            }

            /// The name as text.
            #[must_use]
            pub fn as_str(&self) -> &str {
                &self.0
            }
        }

        impl fmt::Debug for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                fmt::Debug::fmt(&self.0, f)
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str(&self.0)
            }
        }
    };
}

text_id!(
    /// A user's or a token's name, as people type it.
    Name,
    limits::NAME_BYTES_MAX
);
text_id!(
    /// One device's copy of a space: whatever id the device gives itself. A hint, never a proof: a copied device brings
    /// its id along.
    ReplicaName,
    limits::REPLICA_NAME_BYTES_MAX
);
text_id!(
    /// A record's id inside its collection, in the protocol's normal form.
    RecordName,
    limits::RECORD_NAME_BYTES_MAX
);

/// A kind of record, named by its protocol.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct CollectionName(&'static str);

impl CollectionName {
    /// The collection called `name`. Names are the protocols' own constants, never a client's text.
    #[must_use]
    pub const fn new(name: &'static str) -> Self {
        Self(name)
    }

    /// The name as text.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        self.0
    }
}

/// What a change writes to: a record of a collection.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct RecordKey {
    /// The kind of record.
    pub collection: CollectionName,
    /// Its id among its kind.
    pub name: RecordName,
}

impl RecordKey {
    /// The record `name` of `collection`.
    #[must_use]
    pub const fn new(collection: CollectionName, name: RecordName) -> Self {
        Self { collection, name }
    }
}

impl fmt::Display for RecordKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", self.collection.as_str(), self.name)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_is_bounded_and_printable() {
        let check = |text: &str, expected: Result<(), NameError>| {
            assert_eq!(Name::parse(text).map(|_| ()), expected, "{text:?}");
        };
        check("laptop", Ok(()));
        check("Großmutters Telefon", Ok(()));
        check("", Err(NameError::Empty));
        check(" laptop", Err(NameError::Characters));
        check("lap\ntop", Err(NameError::Characters));
        check(&"x".repeat(limits::NAME_BYTES_MAX + 1), Err(NameError::TooLong { max: limits::NAME_BYTES_MAX }));
    }
}
