//! What every store must do with a log that is guarded by its own rules. Each function is one case on an empty store;
//! those of two nodes get the same store twice where there is only one.

#![expect(clippy::unwrap_used, reason = "a test that panics has failed, which is what it is for")]

mod damage;
mod effects;
mod entries;
mod keys;
mod races;
mod rulings;
mod timeline;

use tombolo_core::{Digest, Instant, Purpose, Seq, ServerTime, UserId};
use tombolo_storage::{
    Append, Appended, Effect, Entry, Guard, NewEntry, NewKey, NotAppended, PageBounds, Place, Reading, SecretHash,
    SpaceAddress, Store, Weight,
};

use crate::identities_suite::{make_known, name, new_identity};
use crate::projects_suite::later;
use crate::team::ALL;

pub use self::damage::*;
pub use self::effects::*;
pub use self::entries::*;
pub use self::keys::*;
pub use self::races::*;
pub use self::rulings::*;
pub use self::timeline::*;

const NOW: ServerTime = crate::TestEnv::START;
const PURPOSE: Purpose = Purpose::SimpleSync;

/// The shared log of a store, and who owns it.
struct Shared<'s> {
    store: &'s dyn Store,
    root: UserId,
    space: SpaceAddress,
}

/// An entry, and what it is.
type Sent = (NewEntry, Weight);

/// An entry whose key is `key`, written in the millisecond `millis`.
fn at(key: &str, millis: i64, payload: &str) -> Sent {
    let written_at = Instant::from_nanos(i128::from(millis) * 1_000_000).unwrap();
    let entry = NewEntry { key: Digest::of(key.as_bytes()), written_at, payload: payload.as_bytes().to_vec() };
    (entry, Weight::default())
}

/// An entry that says what its key is.
fn plain(key: &str) -> Sent {
    at(key, 5, key)
}

/// A ruling, which a check recognises by its content: see [`reading`].
fn ruling(key: &str) -> Sent {
    let (entry, weight) = plain(key);
    assert!(is_ruling(&entry.payload), "{key} would be taken for no ruling");
    (entry, Weight { is_ruling: true, ..weight })
}

fn is_ruling(payload: &[u8]) -> bool {
    payload.starts_with(b"r")
}

/// How a check reads what this suite stores.
#[must_use]
pub fn reading() -> Reading {
    Reading::of_rules(PURPOSE, is_ruling)
}

fn doing(key: &str, effect: Effect) -> Sent {
    (plain(key).0, Weight { is_ruling: false, effect: Some(effect) })
}

fn new(places: impl IntoIterator<Item = u64>) -> Vec<Appended> {
    places.into_iter().map(|place| Appended::New(Seq::new(place))).collect()
}

fn repeats(places: impl IntoIterator<Item = u64>) -> Vec<Appended> {
    places.into_iter().map(|place| Appended::Repeat(Seq::new(place))).collect()
}

/// The letters are the same, in whatever case, and what is not a letter counts for nothing.
fn is_same(stored: &[u8], sent: &[u8]) -> bool {
    let letters = |text: &[u8]| {
        text.iter().filter(|byte| byte.is_ascii_alphabetic()).map(u8::to_ascii_lowercase).collect::<Vec<_>>()
    };
    letters(stored) == letters(sent)
}

impl<'s> Shared<'s> {
    async fn new(store: &'s dyn Store) -> Self {
        Self::of(store, make_known(store, ".root").await)
    }

    fn of(store: &'s dyn Store, root: UserId) -> Self {
        Self { store, root, space: SpaceAddress::only(root, PURPOSE) }
    }

    fn request(&self, by: UserId, ruling: u64, sent: Vec<Sent>) -> Append {
        let (entries, weights) = sent.into_iter().unzip();
        let guard = Guard::Rules { space: self.space, user: by, ruling: Seq::new(ruling) };
        Append { guard, entries, weights, is_same: Some(is_same), now: NOW }
    }

    async fn send(&self, append: Append) -> Result<Vec<Appended>, NotAppended> {
        self.store.append(append).await.unwrap()
    }

    /// What the owner sends under the last ruling `ruling`.
    async fn push(&self, ruling: u64, sent: Vec<Sent>) -> Result<Vec<Appended>, NotAppended> {
        self.send(self.request(self.root, ruling, sent)).await
    }

    /// What is done as an entry of its own, and answered.
    async fn does(&self, key: &str, effect: Effect) -> Result<Vec<Appended>, NotAppended> {
        self.push(0, vec![doing(key, effect)]).await
    }

    async fn logged(&self) -> Vec<String> {
        let page = self.store.entries(self.space, Seq::ZERO, ALL).await.unwrap();
        assert_eq!(page.head.get(), page.entries.len() as u64);
        texts(page.entries)
    }

    async fn timeline(&self, after: Place, upto: u64, bounds: PageBounds) -> Vec<Entry> {
        self.store.timeline(self.space, after, Seq::new(upto), bounds).await.unwrap()
    }

    async fn keys_of(&self, user: UserId) -> Vec<String> {
        let all = self.store.credentials(Some(user)).await.unwrap();
        all.into_iter().map(|key| format!("{} for {}", key.name, key.purpose)).collect()
    }

    /// Everything is where it is said to be.
    async fn is_whole(&self) {
        let report = self.store.check(vec![reading()], Box::new(|_, _| {})).await.unwrap();
        assert_eq!(report.faults, Vec::<String>::new());
    }
}

fn texts(entries: Vec<Entry>) -> Vec<String> {
    entries.into_iter().map(|entry| String::from_utf8(entry.payload).unwrap()).collect()
}

fn secret(n: u8) -> SecretHash {
    SecretHash([n; 32])
}

fn give(subject: &str, token: u8, secs: u64) -> Effect {
    Effect::GiveSetupToken { subject: name(subject), token: secret(token), expires_at: later(secs) }
}

fn redeem(token: u8, prefix: &str) -> Effect {
    Effect::UseSetupToken { token: secret(token), key: key(prefix) }
}

fn key(prefix: &str) -> NewKey {
    NewKey { name: name("key"), purpose: PURPOSE, prefix: prefix.to_owned(), hash: String::new(), expires_at: None }
}

fn revoke(subject: &str) -> Effect {
    Effect::RevokeKeys { subject: name(subject) }
}

fn add(subject: &str) -> Effect {
    Effect::AddIdentity(new_identity(subject))
}
