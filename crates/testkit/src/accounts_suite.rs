//! What every store's accounts must do. Each function is one case on an empty store.

#![expect(clippy::unwrap_used, reason = "a test that panics has failed, which is what it is for")]

use std::time::Duration;

use tombolo_core::{CredentialId, EmailAddress, Name, Purpose, ServerTime, UserId};
use tombolo_storage::{Accounts, Added, NewCredential};

const NOW: ServerTime = crate::TestEnv::START;

fn name(text: &str) -> Name {
    Name::parse(text).unwrap()
}

fn email(text: &str) -> EmailAddress {
    EmailAddress::parse(text).unwrap()
}

fn later(secs: u64) -> ServerTime {
    NOW.plus(Duration::from_secs(secs))
}

fn credential(user: UserId, of: &str, prefix: &str) -> NewCredential {
    NewCredential {
        user,
        name: name(of),
        purpose: Purpose::Tickit,
        prefix: prefix.to_owned(),
        hash: format!("hash of {prefix}"),
        created_at: NOW,
        expires_at: None,
    }
}

async fn add_user(store: &dyn Accounts, text: &str) -> UserId {
    match store.add_user(&name(text), None, NOW).await.unwrap() {
        Added::New(id) => id,
        taken => panic!("{text} was free: {taken:?}"),
    }
}

async fn add_credential(store: &dyn Accounts, new: NewCredential) -> CredentialId {
    match store.add_credential(new).await.unwrap() {
        Added::New(id) => id,
        taken => panic!("the name was free: {taken:?}"),
    }
}

/// A user's name is its own, and the list is in its order.
pub async fn users_have_unique_names(store: &dyn Accounts) {
    assert_eq!(store.user(&name("zoe")).await.unwrap(), None);
    let zoe = add_user(store, "zoe").await;
    let added = store.add_user(&name("ann"), Some(&email("Ann@example.org")), later(1)).await.unwrap();
    assert!(matches!(added, Added::New(ann) if ann != zoe));
    let taken = store.add_user(&name("zoe"), Some(&email("other@example.org")), later(2)).await.unwrap();
    assert_eq!(taken, Added::NameTaken);
    let users = store.users().await.unwrap();
    assert_eq!(users.iter().map(|user| user.name.as_str()).collect::<Vec<_>>(), ["ann", "zoe"]);
    assert_eq!((users[0].email.as_deref(), users[0].created_at), (Some("Ann@example.org"), later(1)));
    assert_eq!((users[1].email.as_deref(), users[1].disabled_at), (None, None));
    assert_eq!(users.iter().map(|user| user.confirmed_at).collect::<Vec<_>>(), [Some(later(1)), Some(NOW)]);
    assert_eq!(store.user(&name("ann")).await.unwrap().as_ref(), Some(&users[0]));
    assert_eq!(store.user_by_id(zoe).await.unwrap().as_ref(), Some(&users[1]));
    assert_eq!(store.user_by_id(UserId::new(999)).await.unwrap(), None);
}

/// An address is one user's, whatever the case of its letters; nobody's is not an address.
pub async fn users_have_unique_addresses(store: &dyn Accounts) {
    let add = async |text: &str, address: Option<&str>| {
        let address = address.map(email);
        store.add_user(&name(text), address.as_ref(), NOW).await.unwrap()
    };
    assert!(matches!(add("ann", Some("Ann@example.org")).await, Added::New(_)));
    assert_eq!(add("bob", Some("ann@EXAMPLE.org")).await, Added::EmailTaken);
    assert_eq!(add("ann", Some("ann@example.org")).await, Added::NameTaken);
    assert!(matches!(add("bob", None).await, Added::New(_)));
    assert!(matches!(add("cem", None).await, Added::New(_)));
    assert!(matches!(add("eve", Some("ann@example.com")).await, Added::New(_)));
    assert_eq!(store.users().await.unwrap().len(), 4);
}

/// A disabled user keeps its first time, and its credentials open nothing.
pub async fn a_disabled_user_has_no_live_credentials(store: &dyn Accounts) {
    let (ann, bob) = (add_user(store, "ann").await, add_user(store, "bob").await);
    let of_ann = add_credential(store, credential(ann, "laptop", "aaaaaaaa")).await;
    let of_bob = add_credential(store, credential(bob, "laptop", "bbbbbbbb")).await;
    assert_eq!(store.live_credentials(&[of_ann, of_bob]).await.unwrap(), [of_ann, of_bob]);
    assert!(store.disable_user(&name("ann"), later(1)).await.unwrap());
    assert!(store.disable_user(&name("ann"), later(2)).await.unwrap());
    assert!(!store.disable_user(&name("nobody"), later(2)).await.unwrap());
    assert_eq!(store.user(&name("ann")).await.unwrap().unwrap().disabled_at, Some(later(1)));
    assert_eq!(store.find_credential("aaaaaaaa").await.unwrap(), None);
    assert!(store.find_credential("bbbbbbbb").await.unwrap().is_some());
    assert_eq!(store.live_credentials(&[of_ann, of_bob]).await.unwrap(), [of_bob]);
    assert_eq!(store.credentials(None).await.unwrap().len(), 2);
}

/// A credential is found by its prefix, and its name is unique among its user's.
pub async fn credentials_are_found_by_prefix(store: &dyn Accounts) {
    let (zoe, ann) = (add_user(store, "zoe").await, add_user(store, "ann").await);
    let expiring = NewCredential { expires_at: Some(later(60)), ..credential(zoe, "laptop", "zzzzzzzz") };
    let id = add_credential(store, expiring).await;
    add_credential(store, credential(zoe, "desk", "yyyyyyyy")).await;
    add_credential(store, credential(ann, "laptop", "aaaaaaaa")).await;
    assert_eq!(store.add_credential(credential(zoe, "laptop", "xxxxxxxx")).await.unwrap(), Added::NameTaken);
    let found = store.find_credential("zzzzzzzz").await.unwrap().unwrap();
    assert_eq!((found.id, found.user, found.purpose), (id, zoe, Purpose::Tickit));
    assert_eq!((found.hash.as_str(), found.expires_at), ("hash of zzzzzzzz", Some(later(60))));
    for unknown in ["", "zzzzzzz", "ZZZZZZZZ", "xxxxxxxx"] {
        assert_eq!(store.find_credential(unknown).await.unwrap(), None, "{unknown}");
    }
    let listed = store.credentials(None).await.unwrap();
    let names: Vec<_> = listed.iter().map(|one| (one.user.as_str(), one.name.as_str())).collect();
    assert_eq!(names, [("ann", "laptop"), ("zoe", "desk"), ("zoe", "laptop")]);
    assert_eq!(store.credentials(Some(ann)).await.unwrap(), listed[..1]);
    assert!(store.add_credential(credential(ann, "copy", "zzzzzzzz")).await.is_err(), "a prefix finds one");
}

/// A revoked credential is gone, and its number never stands for another.
pub async fn a_revoked_credential_is_gone(store: &dyn Accounts) {
    let (ann, bob) = (add_user(store, "ann").await, add_user(store, "bob").await);
    let first = add_credential(store, credential(ann, "laptop", "aaaaaaaa")).await;
    assert!(!store.revoke_credential(bob, &name("laptop")).await.unwrap());
    assert!(store.revoke_credential(ann, &name("laptop")).await.unwrap());
    assert!(!store.revoke_credential(ann, &name("laptop")).await.unwrap());
    assert_eq!(store.find_credential("aaaaaaaa").await.unwrap(), None);
    assert_eq!(store.live_credentials(&[first]).await.unwrap(), []);
    let second = add_credential(store, credential(ann, "laptop", "aaaaaaaa")).await;
    assert_ne!(first, second);
    assert_eq!(store.live_credentials(&[first, second]).await.unwrap(), [second]);
}

/// A credential is revoked by its number only by its user, and only for the protocol that it opens.
pub async fn a_credential_is_revoked_by_its_number(store: &dyn Accounts) {
    let (ann, bob) = (add_user(store, "ann").await, add_user(store, "bob").await);
    let id = add_credential(store, credential(ann, "laptop", "aaaaaaaa")).await;
    assert!(!store.revoke_credential_by_id(bob, id, Purpose::Tickit).await.unwrap());
    assert!(!store.revoke_credential_by_id(ann, id, Purpose::Td).await.unwrap());
    assert!(!store.revoke_credential_by_id(ann, CredentialId::new(999), Purpose::Tickit).await.unwrap());
    assert!(store.find_credential("aaaaaaaa").await.unwrap().is_some());
    assert!(store.revoke_credential_by_id(ann, id, Purpose::Tickit).await.unwrap());
    assert!(!store.revoke_credential_by_id(ann, id, Purpose::Tickit).await.unwrap());
    assert_eq!(store.live_credentials(&[id]).await.unwrap(), []);
}

/// The time of last use never goes back, and nobody's is no fault.
pub async fn a_time_of_use_never_goes_back(store: &dyn Accounts) {
    let ann = add_user(store, "ann").await;
    let id = add_credential(store, credential(ann, "laptop", "aaaaaaaa")).await;
    let used = async || store.credentials(Some(ann)).await.unwrap()[0].last_used_at;
    assert_eq!(used().await, None);
    store.touch_credentials(&[(id, later(60)), (CredentialId::new(999), later(60))]).await.unwrap();
    assert_eq!(used().await, Some(later(60)));
    store.touch_credentials(&[(id, later(0))]).await.unwrap();
    assert_eq!(used().await, Some(later(60)));
    store.touch_credentials(&[]).await.unwrap();
}

/// Where nothing was refused there is nothing to show.
pub async fn no_refusals_at_first(store: &dyn Accounts) {
    let ann = add_user(store, "ann").await;
    assert_eq!(store.refusals(None).await.unwrap(), []);
    assert_eq!(store.refusals(Some(ann)).await.unwrap(), []);
}
