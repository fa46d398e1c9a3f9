//! What two nodes do to one sign-in at once.

use tombolo_core::Name;
use tombolo_storage::{Approved, NewKey, Redeemed, SignUp, Store};

use super::{LINK, NOW, begin, key, key_names, secret};
use crate::projects_suite::add_user;

/// How often each race is run.
const ROUNDS: u64 = 8;

/// A sign-in that is redeemed twice at once gives out one key.
pub async fn a_key_is_asked_for_twice_at_once([one, two]: [&dyn Store; 2]) {
    add_user(one, "ann").await;
    for n in 1..=ROUNDS {
        let id = begin(one, n, "ann").await;
        one.approve_sign_in(id, SignUp::Closed, NOW).await.unwrap();
        // Names of their own, so that they do not meet there.
        let named = |name: String| NewKey { name: Name::parse(&name).unwrap(), ..key(&name) };
        let (first, second) = tokio::join!(
            one.redeem_sign_in(id, named(format!("first-{n}")), NOW),
            two.redeem_sign_in(id, named(format!("second-{n}")), NOW)
        );
        let answers = [first.unwrap(), second.unwrap()];
        assert!(answers.contains(&Redeemed::Consumed), "{answers:?}");
        assert!(answers.iter().any(|answer| matches!(answer, Redeemed::Key { .. })), "{answers:?}");
        assert_eq!(one.credentials(None).await.unwrap().len() as u64, n);
    }
}

/// Two sign-ins of a new address that are approved at once make one account.
pub async fn a_new_address_is_approved_twice_at_once([one, two]: [&dyn Store; 2]) {
    for n in 1..=ROUNDS {
        let local = format!("new{n}");
        let ids = [begin(one, 2 * n, &local).await, begin(one, 2 * n + 1, &local).await];
        let (first, second) = tokio::join!(
            one.approve_sign_in(ids[0], SignUp::Open, NOW),
            two.approve_sign_in(ids[1], SignUp::Open, NOW)
        );
        let (first, second) = (first.unwrap(), second.unwrap());
        let (Approved::Done { user, is_new }, Approved::Done { user: other, is_new: other_is_new }) = (first, second)
        else {
            panic!("{first:?} {second:?}");
        };
        assert_eq!((user, is_new), (other, !other_is_new));
        assert_eq!(one.users().await.unwrap().len() as u64, n);
    }
}

/// Keys that are made at once have names that differ.
pub async fn keys_made_at_once_differ([one, two]: [&dyn Store; 2]) {
    add_user(one, "ann").await;
    for n in 1..=ROUNDS {
        let ids = [begin(one, 2 * n, "ann").await, begin(one, 2 * n + 1, "ann").await];
        for id in ids {
            one.approve_sign_in(id, SignUp::Closed, NOW).await.unwrap();
        }
        let (first, second) = tokio::join!(
            one.redeem_sign_in(ids[0], key(&format!("first-{n}")), NOW),
            two.redeem_sign_in(ids[1], key(&format!("second-{n}")), NOW)
        );
        assert!(matches!((first.unwrap(), second.unwrap()), (Redeemed::Key { .. }, Redeemed::Key { .. })));
    }
    assert_eq!(key_names(one).await.len() as u64, 2 * ROUNDS);
}

/// Links that are offered at once count each other.
pub async fn links_offered_at_once_are_counted([one, two]: [&dyn Store; 2]) {
    for n in 1..=ROUNDS {
        let local = format!("new{n}");
        let ids = [begin(one, 2 * n, &local).await, begin(one, 2 * n + 1, &local).await];
        let (first, second) = tokio::join!(
            one.offer_link(ids[0], secret(LINK, 2 * n), 1, NOW, NOW),
            two.offer_link(ids[1], secret(LINK, 2 * n + 1), 1, NOW, NOW)
        );
        assert_ne!(first.unwrap(), second.unwrap());
    }
}
