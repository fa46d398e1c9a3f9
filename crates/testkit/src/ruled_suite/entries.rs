//! Entries: what makes one, and how they are found.

use tombolo_core::{Digest, Seq, UserId, limits};
use tombolo_storage::{Append, NotAppended, Place, SAME_SLACK_BYTES, SpaceAddress, Store, StoreError, Totals, Unfit};

use super::{PURPOSE, Shared, at, new, plain, redeem, repeats};
use crate::team::ALL;

/// What is the same is stored once, in whatever spelling; another under the same key is refused with all beside it.
pub async fn one_key_is_one_entry(store: &dyn Store) {
    let log = Shared::new(store).await;
    assert_eq!(log.push(0, vec![plain("a"), at("b", 6, "bee")]).await, Ok(new(1..=2)));
    assert_eq!(
        log.push(0, vec![at("b", 9, "BEE"), plain("a"), plain("c")]).await,
        Ok([repeats([2, 1]), new([3])].concat())
    );
    assert_eq!(log.push(0, vec![plain("d"), at("d", 1, "D!")]).await, Ok([new([4]), repeats([4])].concat()));
    for (sent, clash) in [
        (vec![at("a", 5, "other")], 0),
        (vec![plain("e"), at("b", 5, "b")], 1),
        (vec![plain("e"), plain("a"), at("e", 5, "other")], 2),
        (vec![plain("e"), at("a", 5, "other"), at("b", 5, "other")], 1),
    ] {
        assert_eq!(log.push(0, sent).await, Err(NotAppended::Clash(clash)));
    }
    assert_eq!(log.logged().await, ["a", "bee", "c", "d"]);
    // Without anything to compare with, the key says it all.
    let unlike = Append { is_same: None, ..log.request(log.root, 0, vec![at("a", 5, "other"), plain("e")]) };
    assert_eq!(log.send(unlike).await, Ok([repeats([1]), new([5])].concat()));
    log.is_whole().await;
}

/// What is compared is not much longer than what was sent, so that a small request never reads much.
pub async fn what_is_far_longer_is_another(store: &dyn Store) {
    let log = Shared::new(store).await;
    let long = format!("x{}", "-".repeat(SAME_SLACK_BYTES + 1));
    assert_eq!(log.push(0, vec![at("a", 5, &long)]).await, Ok(new([1])));
    assert_eq!(log.push(0, vec![at("a", 5, "x")]).await, Err(NotAppended::Clash(0)));
    assert_eq!(log.push(0, vec![at("a", 5, "x-")]).await, Ok(repeats([1])));
    assert_eq!(log.push(0, vec![at("a", 5, &format!("{long}{long}"))]).await, Err(NotAppended::Clash(0)));
    assert_eq!(log.push(0, vec![at("a", 5, &long.repeat(3).replacen('x', "", 2))]).await, Ok(repeats([1])));
}

/// Entries are found under their keys, in the order of the keys; an unknown space holds nothing.
pub async fn entries_are_found_by_their_keys(store: &dyn Store) {
    let log = Shared::new(store).await;
    let key = |text: &str| Digest::of(text.as_bytes());
    let keys = ["b", "x", "a", "b"].map(key);
    assert_eq!(store.find_entries(log.space, &keys).await.unwrap(), vec![None; 4]);
    log.push(0, vec![plain("a"), at("b", 7, "bee")]).await.unwrap();
    let entries = store.entries(log.space, Seq::ZERO, ALL).await.unwrap().entries;
    let [a, b] = [Some(entries[0].clone()), Some(entries[1].clone())];
    assert_eq!(store.find_entries(log.space, &keys).await.unwrap(), [b.clone(), None, a, b]);
    assert_eq!(store.find_entries(log.space, &[]).await.unwrap(), []);
    let elsewhere = SpaceAddress::only(UserId::new(99_999), PURPOSE);
    assert_eq!(store.find_entries(elsewhere, &keys).await.unwrap(), vec![None; 4]);
    assert_eq!(store.rulings(elsewhere, Seq::ZERO, ALL).await.unwrap(), []);
    let nowhere = Place { millis: i64::MIN, seq: Seq::ZERO };
    assert_eq!(store.timeline(elsewhere, nowhere, Seq::new(9), ALL).await.unwrap(), []);
    let many = vec![key("a"); limits::ENTRIES_MAX + 1];
    assert!(matches!(store.find_entries(log.space, &many).await, Err(StoreError::Internal(_))));
    assert_eq!(store.find_entries(log.space, &many[1..]).await.unwrap().len(), limits::ENTRIES_MAX);
}

/// What is refused before anything was stored leaves no space behind.
pub async fn a_refused_first_request_leaves_nothing(store: &dyn Store) {
    let log = Shared::new(store).await;
    assert_eq!(log.does("1", redeem(1, "p")).await, Err(NotAppended::Unfit(0, Unfit::Spent)));
    assert_eq!(log.push(0, vec![plain("a"), at("a", 5, "other")]).await, Err(NotAppended::Clash(1)));
    assert_eq!(log.push(0, vec![]).await, Ok(vec![]));
    assert_eq!(store.totals().await.unwrap(), Totals { spaces: 0, changes: 0 });
    assert_eq!(log.logged().await, [""; 0]);
}
