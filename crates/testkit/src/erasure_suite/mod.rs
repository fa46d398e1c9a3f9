//! What every store must do when somebody wants to be forgotten. Each function is one case on an empty store; those of
//! two nodes get the same store twice where there is only one.

#![expect(clippy::unwrap_used, reason = "a test that panics has failed, which is what it is for")]

mod logs;
mod races;
mod sharing;
mod users;

use std::sync::Arc;

use tombolo_core::{CredentialId, Name, Purpose, ReplicaName, SpaceCursor, UserId};
use tombolo_storage::{
    Added, Download, Downloaded, Exchange, Fate, NamedBase, NewCredential, Present, Refused, SpaceAddress, Store,
    StoreError, Upload, Uploaded, UserDeleted, Write,
};

use crate::notes::{FOLDER, Note, Notes, folder, key, put};
use crate::projects_suite::{add_user, later};
use crate::replicas_suite::Diary;

pub use self::logs::*;
pub use self::races::*;
pub use self::sharing::*;
pub use self::users::*;

/// More than any case stores.
const MANY: usize = 1_000;

fn name(text: &str) -> Name {
    Name::parse(text).unwrap()
}

fn replica(text: &str) -> ReplicaName {
    ReplicaName::parse(text).unwrap()
}

/// The log of a user's diary.
#[must_use]
pub const fn diary(owner: UserId) -> SpaceAddress {
    SpaceAddress::only(owner, Purpose::Wellbeing)
}

/// What `device` brings: a record for each text.
fn upload(space: SpaceAddress, device: &str, presented: Option<SpaceCursor>, texts: &[&str]) -> Upload {
    let write = |text: &&str| Write {
        base: NamedBase::Nothing,
        ..folder(&format!("note-{text}"), text, later(1).to_instant())
    };
    Upload {
        space,
        replica: replica(device),
        presented,
        writes: texts.iter().map(write).collect(),
        refused: Vec::new(),
        policy: Arc::new(Diary),
        now: later(1),
    }
}

async fn try_bring(store: &dyn Store, upload: Upload) -> Result<Uploaded, StoreError> {
    store.upload(upload).await
}

/// Brings notes, which must be new, and says where the device resumes.
async fn bring(store: &dyn Store, space: SpaceAddress, device: &str, texts: &[&str]) -> SpaceCursor {
    match try_bring(store, upload(space, device, None, texts)).await.unwrap() {
        Uploaded::Done { fates, cursor } => {
            let is_judged = |fate: &Fate| matches!(fate, Fate::Judged { .. });
            assert!(fates.len() == texts.len() && fates.iter().all(is_judged), "{fates:?}");
            cursor
        }
        other => panic!("{device} may bring {texts:?}: {other:?}"),
    }
}

async fn take(store: &dyn Store, space: SpaceAddress, device: &str, since: Option<SpaceCursor>) -> Downloaded {
    try_take(store, space, device, since).await.unwrap()
}

async fn try_take(
    store: &dyn Store,
    space: SpaceAddress,
    device: &str,
    since: Option<SpaceCursor>,
) -> Result<Downloaded, StoreError> {
    let download = Download {
        space,
        replica: replica(device),
        since,
        count_max: MANY,
        page_bytes_max: 1_000_000,
        delivery_overhead_bytes: 10,
        policy: Arc::new(Diary),
        now: later(2),
    };
    store.download(download).await
}

/// All that a device is given which begins.
async fn all(store: &dyn Store, space: SpaceAddress, device: &str) -> Vec<Present> {
    match take(store, space, device, None).await {
        Downloaded::Page { records, more: false, .. } => records,
        other => panic!("{device} is given everything: {other:?}"),
    }
}

/// Has the store note that a write of a device was refused.
async fn refuse(store: &dyn Store, space: SpaceAddress, device: &str) {
    let refused = Refused { record: "r".to_owned(), kind: "k".to_owned(), reason: "no reason".to_owned() };
    let request = Upload { refused: vec![refused], ..upload(space, device, None, &[]) };
    assert!(matches!(try_bring(store, request).await.unwrap(), Uploaded::Done { .. }));
}

/// What a device of an older protocol writes.
fn exchange(space: SpaceAddress, note: &str) -> Exchange {
    Exchange {
        space,
        replica: replica("tablet"),
        presented: None,
        writes: vec![put(note, &Note::new("1", "1"), later(1).to_instant())],
        refused: Vec::new(),
        policy: Arc::new(Notes),
        now: later(1),
        page_bytes_max: 1_000_000,
        delivery_overhead_bytes: 10,
    }
}

async fn add_key(store: &dyn Store, user: UserId, key: &str, purpose: Purpose) -> CredentialId {
    let new = NewCredential {
        user,
        name: name(key),
        purpose,
        prefix: format!("{user}-{key}"),
        hash: String::new(),
        created_at: later(0),
        expires_at: None,
    };
    match store.add_credential(new).await.unwrap() {
        Added::New(id) => id,
        other => panic!("{key} is free: {other:?}"),
    }
}

async fn delete(store: &dyn Store, user: &str) -> UserDeleted {
    store.delete_user(&name(user), later(9)).await.unwrap()
}

async fn heads(store: &dyn Store, spaces: &[SpaceAddress]) -> Vec<u64> {
    store.heads(spaces).await.unwrap().into_iter().map(tombolo_core::Seq::get).collect()
}

/// Fills a store with the logs of two users, each with some contents that bear a mark, and says who they are.
///
/// # Panics
/// When the store does not take them.
pub async fn two_diaries(store: &dyn Store, marks: [&str; 2], count: usize) -> [UserId; 2] {
    let users = [add_user(store, "ann").await, add_user(store, "bob").await];
    for n in 0..count {
        // In turn, so that what belongs to one lies beside what belongs to the other; of all sizes up to some pages.
        for (user, mark) in users.into_iter().zip(marks) {
            let text = format!("{mark}-{n}-{}", format!("{mark}.").repeat(n * n % 400));
            let write = folder(&format!("note-{n}"), &text, later(1).to_instant());
            let write = Write { base: NamedBase::Nothing, ..write };
            let request = Upload { writes: vec![write], ..upload(diary(user), &format!("phone-{user}"), None, &[]) };
            assert!(matches!(try_bring(store, request).await.unwrap(), Uploaded::Done { .. }));
        }
    }
    users
}

/// Erases the diary of a user of [`two_diaries`].
///
/// # Panics
/// When the store fails, or there is none.
pub async fn erase_diary(store: &dyn Store, user: UserId) {
    assert!(store.erase_space(diary(user), later(9)).await.unwrap());
}

/// The diary of the second of [`two_diaries`] is all there, and goes on.
///
/// # Panics
/// When it is not.
pub async fn every_diary_is_whole(store: &dyn Store, count: usize) {
    let bob = store.user(&name("bob")).await.unwrap().unwrap().id;
    assert_eq!(all(store, diary(bob), &format!("another-{bob}")).await.len(), count);
    bring(store, diary(bob), &format!("another-{bob}"), &["more"]).await;
    assert_eq!(all(store, diary(bob), &format!("another-{bob}")).await.len(), count + 1);
}

/// Deletes each record of the first of [`two_diaries`] by itself.
///
/// # Panics
/// When the store does not take that.
pub async fn delete_one_by_one(store: &dyn Store, user: UserId, count: usize) {
    for n in 0..count {
        let gone = crate::notes::delete(key(FOLDER, &format!("note-{n}")), later(5).to_instant());
        let request = Upload { writes: vec![gone], ..upload(diary(user), &format!("phone-{user}"), None, &[]) };
        assert!(matches!(try_bring(store, request).await.unwrap(), Uploaded::Done { .. }));
    }
    assert!(all(store, diary(user), &format!("another-{user}")).await.iter().all(|record| record.payload.is_empty()));
}
