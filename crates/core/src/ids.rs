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
row_id!(
    /// One run of a server: a random number.
    NodeId
);
row_id!(
    /// That a node has a room open, from once it opened it until it closed it: a random number.
    LeaseId
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

macro_rules! public_id {
    ($name:ident, $mark:literal) => {
        impl $name {
            /// The id as people and clients see it: a mark and sixteen hexadecimal digits.
            #[must_use]
            pub fn public(self) -> String {
                format!(concat!($mark, "{:016x}"), self.0)
            }

            /// The id that is seen as `text`; `None` for what [`Self::public`] cannot have written.
            #[must_use]
            pub fn parse_public(text: &str) -> Option<Self> {
                number(text.strip_prefix($mark)?).map(Self)
            }
        }
    };
}

public_id!(UserId, "u_");
public_id!(ProjectId, "p_");
public_id!(CredentialId, "ak_");
public_id!(InvitationId, "inv_");

fn number(digits: &str) -> Option<i64> {
    let is_plain = digits.len() == 16 && digits.bytes().all(|byte| matches!(byte, b'0'..=b'9' | b'a'..=b'f'));
    // Stores give no negative ones, which have digits that are too large to be read.
    is_plain.then(|| i64::from_str_radix(digits, 16).ok()).flatten()
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
    fn public_ids_are_written_and_read() {
        let id = ProjectId::new(0x7fff_0000_0000_00ab);
        assert_eq!(id.public(), "p_7fff0000000000ab");
        assert_eq!(ProjectId::parse_public("p_7fff0000000000ab"), Some(id));
        assert_eq!(UserId::new(1).public(), "u_0000000000000001");
        assert_eq!(CredentialId::new(1).public(), "ak_0000000000000001");
        assert_eq!(InvitationId::parse_public("inv_0000000000000001"), Some(InvitationId::new(1)));
        for text in [
            "",
            "p_",
            "p_1",
            "p_7FFF0000000000AB",
            "p_ffff0000000000ab",
            "p_+fff0000000000ab",
            "7fff0000000000ab",
            "u_7fff0000000000ab",
        ] {
            assert_eq!(ProjectId::parse_public(text), None, "{text}");
        }
    }

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
