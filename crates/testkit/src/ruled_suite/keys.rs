//! Setup tokens, and keys.

use tombolo_core::{Purpose, limits};
use tombolo_storage::{Append, NotAppended, Store, Unfit};

use super::{NOW, PURPOSE, Shared, doing, give, new, redeem, repeats, revoke, secret};
use crate::identities_suite::{make_known, name};
use crate::projects_suite::later;

/// A setup token is good once, until it ends or another is given out, for one who is known and not disabled.
pub async fn a_setup_token_is_used_once(store: &dyn Store) {
    let log = Shared::new(store).await;
    let (ann, bob) = (make_known(store, "ann").await, make_known(store, "bob").await);
    let spent = Err(NotAppended::Unfit(0, Unfit::Spent));
    let good = async |token: u8, secs: u64| {
        let found = store.setup_token(PURPOSE, secret(token), later(secs)).await.unwrap();
        found.map(|identity| identity.user)
    };
    assert_eq!(log.does("1", give("zoe", 1, 100)).await, Err(NotAppended::Unfit(0, Unfit::Unknown)));
    assert_eq!(log.does("1", redeem(1, "one")).await, spent);
    log.does("1", give("ann", 1, 100)).await.unwrap();
    log.does("2", give("bob", 2, 100)).await.unwrap();
    assert_eq!(
        (good(1, 99).await, good(1, 100).await, good(2, 0).await, good(3, 0).await),
        (Some(ann), None, Some(bob), None)
    );
    assert_eq!(store.setup_token(Purpose::Td, secret(1), NOW).await.unwrap(), None);
    // It is there until it is used.
    assert_eq!(good(1, 99).await, Some(ann));
    log.does("3", redeem(1, "one")).await.unwrap();
    assert_eq!(store.find_credential("one").await.unwrap().map(|key| (key.user, key.purpose)), Some((ann, PURPOSE)));
    assert_eq!(log.does("3", redeem(1, "one")).await, Ok(repeats([3])));
    assert_eq!(log.does("4", redeem(1, "two")).await, spent);
    assert_eq!(good(1, 0).await, None);
    assert_eq!(log.keys_of(ann).await, ["key for simple-sync"]);
    assert_eq!(good(2, 0).await, Some(bob), "his is another");
    // Another ends the one before it, and keys of one name are numbered.
    log.does("4", give("ann", 3, 100)).await.unwrap();
    log.does("5", give("ann", 4, 100)).await.unwrap();
    assert_eq!((good(3, 0).await, good(4, 0).await), (None, Some(ann)));
    assert_eq!(log.does("6", redeem(3, "two")).await, spent);
    log.does("6", redeem(4, "two")).await.unwrap();
    assert_eq!(log.keys_of(ann).await, ["key for simple-sync", "key (2) for simple-sync"]);
    // It ends by itself, and with its user.
    log.does("7", give("ann", 5, 100)).await.unwrap();
    let late = Append { now: later(100), ..log.request(log.root, 0, vec![doing("8", redeem(5, "late"))]) };
    assert_eq!(log.send(late).await, spent);
    assert!(store.disable_user(&name("bob"), NOW).await.unwrap());
    assert_eq!(good(2, 0).await, None);
    assert_eq!(log.does("8", redeem(2, "three")).await, spent);
    assert_eq!(log.does("8", give("bob", 6, 100)).await, Err(NotAppended::Unfit(0, Unfit::Unknown)));
    assert_eq!(log.keys_of(bob).await, [""; 0]);
    log.is_whole().await;
}

/// All keys of one user end at once, for this protocol only; of one who is not known there is nothing to end.
pub async fn keys_are_revoked_together(store: &dyn Store) {
    let log = Shared::new(store).await;
    let (ann, bob) = (make_known(store, "ann").await, make_known(store, "bob").await);
    let add_key = async |user, text: &str, purpose| {
        let new = tombolo_storage::NewCredential {
            user,
            name: name(text),
            purpose,
            prefix: format!("{user}-{text}"),
            hash: String::new(),
            created_at: NOW,
            expires_at: None,
        };
        assert!(matches!(store.add_credential(new).await.unwrap(), tombolo_storage::Added::New(_)));
    };
    for (user, text, purpose) in
        [(ann, "a", PURPOSE), (ann, "b", PURPOSE), (ann, "c", Purpose::Td), (bob, "a", PURPOSE)]
    {
        add_key(user, text, purpose).await;
    }
    log.does("1", revoke("ann")).await.unwrap();
    assert_eq!(log.keys_of(ann).await, ["c for td"]);
    assert_eq!(log.keys_of(bob).await, ["a for simple-sync"]);
    // Sent again it does nothing, though there is something to do again.
    add_key(ann, "d", PURPOSE).await;
    assert_eq!(log.does("1", revoke("ann")).await, Ok(repeats([1])));
    assert_eq!(log.keys_of(ann).await, ["c for td", "d for simple-sync"]);
    assert_eq!(log.does("2", revoke("zoe")).await, Ok(new([2])));
    assert!(store.disable_user(&name("bob"), NOW).await.unwrap());
    log.does("3", revoke("bob")).await.unwrap();
    assert_eq!(log.keys_of(bob).await, [""; 0], "also of one who is disabled");
}

/// Keys of one user are bounded: the one longest unused gives way.
pub async fn keys_from_setup_tokens_are_bounded(store: &dyn Store) {
    let log = Shared::new(store).await;
    let ann = make_known(store, "ann").await;
    for n in 0..=limits::KEYS_MAX {
        log.does(&format!("give {n}"), give("ann", 1, 100)).await.unwrap();
        let append = log.request(log.root, 0, vec![doing(&format!("use {n}"), redeem(1, &format!("key {n}")))]);
        let now = later(n as u64 / 2);
        log.send(Append { now, ..append }).await.unwrap();
    }
    assert_eq!(log.keys_of(ann).await.len(), limits::KEYS_MAX);
    assert!(store.find_credential(&format!("key {}", limits::KEYS_MAX)).await.unwrap().is_some());
    assert!(store.find_credential("key 0").await.unwrap().is_none());
}
