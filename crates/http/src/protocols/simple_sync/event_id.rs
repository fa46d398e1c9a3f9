//! The uuid of an event: its forms, and the time that stands in it.

use tombolo_core::{Digest, Env};
use uuid::{Builder, Uuid};

/// From the beginning of the time that older uuids count, in 1582, to 1970, in units of 100 ns.
const TICKS_BEFORE_1970: u64 = 122_192_928_000_000_000;
const TICKS_PER_MILLI: u64 = 10_000;
/// How a URN of one begins, in any case.
const URN: &str = "urn:uuid:";

/// A uuid as it was sent, and what it is, if it is one.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct EventId<'a> {
    pub(super) text: &'a str,
    uuid: Option<Uuid>,
}

impl<'a> EventId<'a> {
    /// Reads any text: plain, in braces, as a URN, or without hyphens it is a uuid, in any case.
    pub(super) fn read(text: &'a str) -> Self {
        let bare = match text.get(..URN.len()) {
            Some(begin) if begin.eq_ignore_ascii_case(URN) => text.get(URN.len()..).filter(|rest| rest.len() == 36),
            _ => Some(text),
        };
        Self { text, uuid: bare.and_then(|bare| Uuid::try_parse(bare).ok()) }
    }

    pub(super) const fn is_uuid(&self) -> bool {
        self.uuid.is_some()
    }

    pub(super) fn is_v7(&self) -> bool {
        self.uuid.is_some_and(|uuid| uuid.get_version_num() == 7)
    }

    /// What tells the event apart from others: the spelling of a uuid does not count.
    pub(super) fn key(&self) -> Digest {
        match self.uuid {
            Some(uuid) => Digest::of(&[b"uuid:".as_slice(), uuid.as_bytes()].concat()),
            None => Digest::of(&[b"text:", self.text.as_bytes()].concat()),
        }
    }

    /// When it was made, in milliseconds since 1970: as a version 7 or 6 says it; any other is read as a version 1.
    pub(super) fn millis(&self) -> Option<u64> {
        let (high, _) = self.uuid?.as_u64_pair();
        let ticks = match self.uuid?.get_version_num() {
            7 => return Some(high >> 16),
            6 => (high >> 32) << 28 | (high >> 16 & 0xffff) << 12 | high & 0xfff,
            _ => (high & 0xfff) << 48 | (high >> 16 & 0xffff) << 32 | high >> 32,
        };
        Some(ticks.checked_sub(TICKS_BEFORE_1970)? / TICKS_PER_MILLI)
    }
}

/// A new uuid of version 7.
pub(super) fn fresh(env: &dyn Env) -> Uuid {
    let millis = u64::try_from(env.now().micros() / 1_000).unwrap_or(0);
    let mut random = [0; 10];
    env.fill_random(&mut random);
    Builder::from_unix_timestamp_millis(millis, &random).into_uuid()
}

#[cfg(test)]
mod tests {
    use super::*;

    const V7: &str = "018bcfe5-687b-7abc-8def-0123456789ab";

    #[test]
    fn a_uuid_is_the_same_in_all_its_forms() {
        let key = EventId::read(V7).key();
        let upper = V7.to_uppercase();
        let bare = V7.replace('-', "");
        for text in [&upper, &bare, &format!("{{{V7}}}"), &format!("urn:uuid:{V7}"), &format!("URN:UUID:{upper}")] {
            let id = EventId::read(text);
            assert!(id.is_uuid() && id.is_v7(), "{text}");
            assert_eq!((id.key(), id.text), (key, text.as_str()), "{text}");
        }
    }

    #[test]
    fn any_other_text_is_itself() {
        for text in
            ["x", "", "018bcfe5", "018bcfe5-687b-7abc-8def-0123456789ag", "urn:uuid:018bcfe5687b7abc8def0123456789ab"]
        {
            assert!(!EventId::read(text).is_uuid(), "{text}");
            assert_eq!(EventId::read(text).millis(), None, "{text}");
        }
        assert_ne!(EventId::read("a").key(), EventId::read("A").key());
        // A text that looks like the bytes of a uuid is not that uuid.
        assert_ne!(
            EventId::read("0123456789abcdef").key(),
            EventId::read("30313233-3435-3637-3839-616263646566").key()
        );
    }

    #[test]
    fn the_time_that_stands_in_a_uuid() {
        let check = |text: &str, millis: Option<u64>| assert_eq!(EventId::read(text).millis(), millis, "{text}");
        check(V7, Some(0x018b_cfe5_687b));
        // RFC 9562, appendix A: both say 2022-02-22T19:22:22Z, as does its version 7.
        check("C232AB00-9414-11EC-B3C8-9F6BDECED846", Some(1_645_557_742_000));
        check("1EC9414C-232A-6B00-B3C8-9F6BDECED846", Some(1_645_557_742_000));
        check("017F22E2-79B0-7CC3-98C4-DC0C0C07398F", Some(1_645_557_742_000));
        // Whatever a random one holds is read as a version 1.
        check("c232ab00-9414-41ec-b3c8-9f6bdeced846", Some(1_645_557_742_000));
        check("00000000-0000-1000-8000-000000000000", None);
        check("00000000-03e7-7000-8000-000000000000", Some(0x03e7));
    }
}
