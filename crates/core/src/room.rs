//! Rooms: their codes, and who is in them.

use std::fmt;
use std::sync::Arc;

use crate::FriendlyCode;

/// A room's code that the server makes: six letters, 30 bits. Whoever looks for one by trying is counted.
pub type MadeRoomCode = FriendlyCode<6>;

/// Letters of a code that a client wishes, at least: shorter ones are found by trying.
const CODE_BYTES_MIN: usize = 4;
/// Letters of a code at most: a UUID has 36.
const CODE_BYTES_MAX: usize = 64;

/// What a room is called: 4 to 64 letters, digits and hyphens.
///
/// Two codes are the same that differ in the case of their letters only: clients put what people type into capitals.
#[derive(Clone, Debug)]
pub struct RoomCode(Arc<str>);

/// A text that is no room's code.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("a room's code has {CODE_BYTES_MIN} to {CODE_BYTES_MAX} letters (A to Z), digits and hyphens")]
pub struct RoomCodeError;

impl RoomCode {
    /// The code spelt `text`.
    ///
    /// # Errors
    /// [`RoomCodeError`] when it is none.
    pub fn parse(text: &str) -> Result<Self, RoomCodeError> {
        let is_one = |byte: u8| byte.is_ascii_alphanumeric() || byte == b'-';
        let fits = (CODE_BYTES_MIN..=CODE_BYTES_MAX).contains(&text.len()) && text.bytes().all(is_one);
        fits.then(|| Self(text.into())).ok_or(RoomCodeError)
    }

    /// The code as it was first spelt.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// What is the same for all spellings of it.
    #[must_use]
    pub fn key(&self) -> String {
        self.0.to_ascii_uppercase()
    }
}

impl PartialEq for RoomCode {
    fn eq(&self, other: &Self) -> bool {
        self.0.eq_ignore_ascii_case(&other.0)
    }
}

impl Eq for RoomCode {}

impl fmt::Display for RoomCode {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// A room of one store: a random number, so that nothing follows from it. It is shown as a UUID.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct RoomId([u8; 16]);

impl RoomId {
    /// Makes one of `randomness`, as a UUID of version 4.
    #[must_use]
    pub const fn make(mut randomness: [u8; 16]) -> Self {
        randomness[6] = randomness[6] & 0x0f | 0x40;
        randomness[8] = randomness[8] & 0x3f | 0x80;
        Self(randomness)
    }

    /// The id that a store keeps as `bytes`.
    #[must_use]
    pub const fn from_bytes(bytes: [u8; 16]) -> Self {
        Self(bytes)
    }

    /// What a store keeps.
    #[must_use]
    pub const fn to_bytes(self) -> [u8; 16] {
        self.0
    }
}

impl fmt::Display for RoomId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (index, byte) in self.0.iter().enumerate() {
            let hyphen = if matches!(index, 4 | 6 | 8 | 10) { "-" } else { "" };
            write!(f, "{hyphen}{byte:02x}")?;
        }
        Ok(())
    }
}

/// What a peer of a room calls itself. It proves nothing.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct PeerName(Arc<str>);

impl PeerName {
    /// The name spelt `text`; `None` when it is empty or longer than `bytes_max`, or holds a zero byte, which the texts
    /// of PostgreSQL cannot.
    #[must_use]
    pub fn parse(text: &str, bytes_max: usize) -> Option<Self> {
        (!text.is_empty() && text.len() <= bytes_max && !text.contains('\0')).then(|| Self(text.into()))
    }

    /// The name as text.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_a_code() {
        for good in ["ABCD", "abcd", "2MH9JC", "a-b-", &"x".repeat(64), "6f9619ff-8b86-4d01-b42d-00cf4fc964ff"] {
            assert_eq!(RoomCode::parse(good).unwrap().as_str(), good);
        }
        for bad in ["", "ABC", "a b c", "AB/CD", "กขคง", "AB_CD", &"x".repeat(65)] {
            assert!(RoomCode::parse(bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn codes_are_the_same_in_any_case() {
        let code = |text| RoomCode::parse(text).unwrap();
        assert_eq!(code("2mh9jc"), code("2MH9JC"));
        assert_eq!(code("2mh9jc").key(), code("2MH9jc").key());
        assert_ne!(code("2mh9jc"), code("2mh9jd"));
    }

    #[test]
    fn what_is_a_peers_name() {
        let is_one = |text| PeerName::parse(text, 9).is_some_and(|name| name.as_str() == text);
        for good in ["a", "peer_abc1", "กขค", " \n"] {
            assert!(is_one(good), "{good:?}");
        }
        for bad in ["", "peer_abc12", "กขคง", "a\0b"] {
            assert!(!is_one(bad), "{bad:?}");
        }
    }

    #[test]
    fn an_id_reads_as_a_uuid_of_version_4() {
        let id = RoomId::make([0xff; 16]);
        assert_eq!(id.to_string(), "ffffffff-ffff-4fff-bfff-ffffffffffff");
        assert_eq!(RoomId::from_bytes(id.to_bytes()), id);
    }
}
