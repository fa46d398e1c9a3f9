//! What a sign-in that was approved gives out.

use tombolo_core::{Name, Purpose, SignInId, limits};
use tombolo_storage::{Approved, NewCredential, Redeemed, SignUp, Store};

use super::{END_SECS, NOW, begin, by_request, key, key_names, sign_in};
use crate::projects_suite::{add_user, later};

/// A key is given out once, after the approval and before the end.
pub async fn a_key_is_given_out_once(store: &dyn Store) {
    let ann = add_user(store, "ann").await;
    let sign_in = begin(store, 1, "ann").await;
    let redeem = async |id, prefix: &str, secs| store.redeem_sign_in(id, key(prefix), later(secs)).await.unwrap();
    assert_eq!(redeem(sign_in, "a", 1).await, Redeemed::Waiting);
    assert_eq!(redeem(sign_in, "a", END_SECS).await, Redeemed::Expired);
    assert_eq!(redeem(SignInId::new(999), "a", 1).await, Redeemed::Expired);
    store.approve_sign_in(sign_in, SignUp::Closed, later(2)).await.unwrap();
    assert_eq!(redeem(sign_in, "a", END_SECS).await, Redeemed::Expired);
    assert_eq!(store.credentials(None).await.unwrap(), []);
    let Redeemed::Key { credential, user } = redeem(sign_in, "a", 3).await else { panic!("it is approved") };
    assert_eq!(user, ann);
    let found = store.find_credential("a").await.unwrap().unwrap();
    assert_eq!((found.id, found.user, found.purpose, found.hash.as_str()), (credential, ann, Purpose::Td, ""));
    assert_eq!(found.expires_at, Some(later(1_000_000)));
    let listed = store.credentials(Some(ann)).await.unwrap();
    assert_eq!((listed[0].created_at, listed[0].last_used_at, listed[0].name.as_str()), (later(3), None, "laptop"));
    assert_eq!(redeem(sign_in, "b", 4).await, Redeemed::Consumed);
    assert_eq!(redeem(sign_in, "b", END_SECS).await, Redeemed::Consumed);
    assert_eq!(store.approve_sign_in(sign_in, SignUp::Closed, later(4)).await.unwrap(), Approved::Already);
    assert_eq!(by_request(store, 1).await.unwrap().consumed_at, Some(later(3)));
    assert_eq!(store.credentials(None).await.unwrap().len(), 1);

    let second = begin(store, 2, "ann").await;
    store.approve_sign_in(second, SignUp::Closed, later(5)).await.unwrap();
    store.disable_user(&Name::parse("ann").unwrap(), later(5)).await.unwrap();
    assert_eq!(redeem(second, "b", 6).await, Redeemed::Expired);
}

/// A name that the user has is numbered, also where another protocol's token has it.
pub async fn keys_of_one_name_are_numbered(store: &dyn Store) {
    let ann = add_user(store, "ann").await;
    let token = NewCredential {
        user: ann,
        name: Name::parse("laptop (2)").unwrap(),
        purpose: Purpose::Tickit,
        prefix: "tickit".to_owned(),
        hash: "h".to_owned(),
        created_at: NOW,
        expires_at: Some(NOW),
    };
    store.add_credential(token).await.unwrap();
    for n in 1..=3 {
        sign_in(store, n, n, 1_000).await;
    }
    assert_eq!(key_names(store).await, ["laptop (2)", "laptop", "laptop (3)", "laptop (4)"]);
    assert!(store.revoke_credential(ann, &Name::parse("laptop").unwrap()).await.unwrap());
    sign_in(store, 4, 4, 1_000).await;
    assert_eq!(key_names(store).await, ["laptop (2)", "laptop (3)", "laptop (4)", "laptop"]);
}

/// A user has so many keys and no more: what ended is swept away, then the one longest unused goes; other protocols'
/// tokens are left alone.
pub async fn keys_are_bounded(store: &dyn Store) {
    let ann = add_user(store, "ann").await;
    let token = NewCredential {
        user: ann,
        name: Name::parse("phone").unwrap(),
        purpose: Purpose::Tickit,
        prefix: "tickit".to_owned(),
        hash: "h".to_owned(),
        created_at: NOW,
        expires_at: Some(NOW),
    };
    store.add_credential(token).await.unwrap();
    let max = limits::KEYS_MAX as u64;
    // The second one ends early.
    for n in 1..=max {
        sign_in(store, n, n, if n == 2 { 500 } else { 100_000 }).await;
    }
    assert_eq!(store.credentials(None).await.unwrap().len(), limits::KEYS_MAX + 1);
    sign_in(store, max + 1, 600, 100_000).await;
    assert_eq!(store.find_credential("key-2").await.unwrap(), None);
    assert!(store.find_credential("key-1").await.unwrap().is_some(), "one that ended made room");
    // The first is in use; of the others, the third is the oldest.
    let first = store.find_credential("key-1").await.unwrap().unwrap().id;
    store.touch_credentials(&[(first, later(601))]).await.unwrap();
    sign_in(store, max + 2, 602, 100_000).await;
    assert_eq!(store.find_credential("key-3").await.unwrap(), None);
    for kept in ["key-1", "key-4", "tickit"] {
        assert!(store.find_credential(kept).await.unwrap().is_some(), "{kept}");
    }
    assert_eq!(store.credentials(None).await.unwrap().len(), limits::KEYS_MAX + 1);
}
