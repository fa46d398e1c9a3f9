//! How many sign-ins and links there are, and what gives way to one more.

use tombolo_core::{SignInId, limits};
use tombolo_storage::{Redeemed, SignInKey, SignUp, Store};

use super::{END_SECS, LINK, NOW, begin, by_request, find, key, new, secret, sign_in};
use crate::projects_suite::{add_user, email, later};

/// A link stands in for the one before, and so many are mailed to an address and no more, for whatever sign-in.
pub async fn links_are_bounded(store: &dyn Store) {
    add_user(store, "ann").await;
    let (first, second) = (begin(store, 1, "ann").await, begin(store, 2, "Ann").await);
    let other = begin(store, 3, "bob").await;
    let offer = async |id, n, secs, since: u64| {
        store.offer_link(id, secret(LINK, n), 3, later(since), later(secs)).await.unwrap()
    };
    assert!(offer(first, 1, 10, 0).await);
    assert!(offer(first, 2, 20, 0).await);
    assert_eq!(find(store, SignInKey::Link(secret(LINK, 1))).await, None, "another stands in its place");
    assert_eq!(find(store, SignInKey::Link(secret(LINK, 2))).await.map(|one| (one.id, one.links)), Some((first, 2)));
    assert!(offer(second, 3, 30, 0).await);
    assert!(!offer(second, 4, 40, 0).await);
    assert!(!offer(first, 4, 40, 0).await);
    assert_eq!(find(store, SignInKey::Link(secret(LINK, 3))).await.map(|one| one.id), Some(second), "it still counts");
    assert!(offer(other, 5, 40, 0).await, "another address has its own");
    assert!(offer(second, 6, 50, 21).await, "what is long ago does not count");
    // What does not wait gets none.
    store.approve_sign_in(first, SignUp::Closed, later(60)).await.unwrap();
    assert!(!offer(first, 7, 61, 60).await);
    assert!(!offer(second, 7, END_SECS, END_SECS).await);
    assert!(!offer(SignInId::new(999), 7, 61, 60).await);
    assert_eq!(find(store, SignInKey::Link(secret(LINK, 7))).await, None);
}

/// Whoever begins many sign-ins of an address pushes out those that ended, then the oldest, and last those for which a
/// link was mailed.
pub async fn sign_ins_of_one_address_are_bounded(store: &dyn Store) {
    add_user(store, "ann").await;
    let max = limits::SIGN_INS_PER_ADDRESS_MAX as u64;
    let other = begin(store, 1_000, "bob").await;
    let mailed = begin(store, 1, "ann").await;
    assert!(store.offer_link(mailed, secret(LINK, 1), 9, NOW, NOW).await.unwrap());
    for n in 2..=max {
        begin(store, n, "ann").await;
    }
    // The fifth is used up.
    let fifth = by_request(store, 5).await.unwrap().id;
    store.approve_sign_in(fifth, SignUp::Closed, NOW).await.unwrap();
    store.redeem_sign_in(fifth, key("fifth"), NOW).await.unwrap();
    let gone = async |n| by_request(store, n).await.is_none();
    begin(store, max + 1, "ANN").await;
    assert!(gone(5).await && !gone(2).await, "one that ended goes first");
    begin(store, max + 2, "ann").await;
    assert!(gone(2).await && !gone(3).await, "then the oldest");
    for n in 3..3 * max {
        begin(store, max + n, "ann").await;
    }
    assert!(!gone(1).await, "the one that was mailed stays");
    assert!(!gone(1_000).await, "so does another's: {other}");
    assert_eq!(store.sign_ins(NOW).await.unwrap().len(), limits::SIGN_INS_PER_ADDRESS_MAX + 1);
}

/// One that was approved is not pushed out before its device came for its key, however many others begin.
pub async fn an_approved_sign_in_is_not_pushed_out(store: &dyn Store) {
    add_user(store, "ann").await;
    let approved = begin(store, 1, "ann").await;
    store.approve_sign_in(approved, SignUp::Closed, NOW).await.unwrap();
    let max = limits::SIGN_INS_PER_ADDRESS_MAX as u64;
    for n in 2..=max + 10 {
        let id = begin(store, n, "ANN").await;
        // Those for which a link was mailed do not push it out either.
        assert!(store.offer_link(id, secret(LINK, n), u64::MAX, NOW, NOW).await.unwrap());
    }
    let redeemed = store.redeem_sign_in(approved, key("a"), NOW).await.unwrap();
    assert!(matches!(redeemed, Redeemed::Key { .. }), "{redeemed:?}");
    // Used up or ended, it is like any other.
    let ended = begin(store, 100, "ann").await;
    store.approve_sign_in(ended, SignUp::Closed, NOW).await.unwrap();
    for n in 0..max {
        store.begin_sign_in(new(200 + n, email("ann"), later(END_SECS))).await.unwrap();
    }
    assert!(by_request(store, 100).await.is_none(), "{ended}");
}

/// One that ended is found for an hour, so that its device is told, and swept away by those that begin later.
pub async fn what_ended_is_swept_away(store: &dyn Store) {
    add_user(store, "ann").await;
    let used = sign_in(store, 1, 0, 100_000).await.0;
    begin(store, 2, "ann").await;
    let kept = async || [by_request(store, 1).await.is_some(), by_request(store, 2).await.is_some()];
    store.begin_sign_in(new(3, email("bob"), later(3_599))).await.unwrap();
    assert_eq!(kept().await, [true, true], "{used}");
    store.begin_sign_in(new(4, email("bob"), later(3_600))).await.unwrap();
    assert_eq!(kept().await, [false, true], "an hour after it was used up");
    store.begin_sign_in(new(5, email("bob"), later(END_SECS + 3_600))).await.unwrap();
    assert_eq!(kept().await, [false, false], "an hour after it ended");
    assert_eq!(store.credentials(None).await.unwrap().len(), 1, "the key is not swept away with it");
}

/// Fills the store up to its bound, and shows what gives way to one more. `fill` makes sign-ins that wait, of other
/// addresses, called `R` and the numbers that it is given in seven digits.
///
/// # Panics
/// When something else gives way.
pub async fn sign_ins_are_bounded(store: &dyn Store, fill: impl AsyncFnOnce(std::ops::Range<u64>)) {
    add_user(store, "ann").await;
    let mailed = begin(store, 1, "ann").await;
    assert!(store.offer_link(mailed, secret(LINK, 1), 9, NOW, NOW).await.unwrap());
    let max = limits::SIGN_INS_MAX as u64;
    let approved = begin(store, 2, "ann").await;
    store.approve_sign_in(approved, SignUp::Closed, NOW).await.unwrap();
    fill(3..max).await;
    let used = begin(store, max, "ann").await;
    assert_eq!(store.sign_ins(NOW).await.unwrap().len(), limits::SIGN_INS_MAX - 1);
    store.approve_sign_in(used, SignUp::Closed, NOW).await.unwrap();
    store.redeem_sign_in(used, key("used"), NOW).await.unwrap();
    let gone = async |n| by_request(store, n).await.is_none();
    begin(store, max + 1, "zoe").await;
    assert!(gone(max).await && !gone(3).await, "one that ended goes first");
    begin(store, max + 2, "zoe").await;
    assert!(gone(3).await && !gone(4).await && !gone(1).await, "then the oldest for which nothing was mailed");
    assert!(!gone(2).await, "one that was approved stays");
    assert_eq!(store.sign_ins(NOW).await.unwrap().len(), limits::SIGN_INS_MAX - 1);
}

/// Begins the sign-ins of these numbers, of an address each.
pub async fn begin_many(store: &dyn Store, numbers: std::ops::Range<u64>) {
    for n in numbers {
        begin(store, n, &format!("m{n}")).await;
    }
}
