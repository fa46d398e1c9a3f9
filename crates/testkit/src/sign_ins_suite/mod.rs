//! What every store's sign-ins must do. Each function is one case on an empty store; those of two nodes get the same
//! store twice where there is only one.

#![expect(clippy::unwrap_used, reason = "a test that panics has failed, which is what it is for")]

mod accounts;
mod bounds;
mod keys;
mod races;

use std::time::Duration;

use tombolo_core::{EmailAddress, Name, Purpose, ServerTime, SignInId, UserId};
use tombolo_storage::{Approved, Flow, NewKey, NewSignIn, Redeemed, SecretHash, SignIn, SignInKey, SignUp, Store};

use crate::projects_suite::{add_user, email, later};

pub use self::accounts::*;
pub use self::bounds::*;
pub use self::keys::*;
pub use self::races::*;

const NOW: ServerTime = crate::TestEnv::START;

/// When a sign-in that begins at [`NOW`] ends.
const END_SECS: u64 = 900;

/// The secret of a kind, of the sign-in called `n`.
fn secret(kind: u8, n: u64) -> SecretHash {
    let mut hash = [kind; 32];
    hash[..8].copy_from_slice(&n.to_be_bytes());
    SecretHash(hash)
}

const DEVICE_CODE: u8 = 1;

const USER_CODE: u8 = 2;

const CHALLENGE: u8 = 3;

const LINK: u8 = 4;

fn new(n: u64, email: EmailAddress, now: ServerTime) -> NewSignIn {
    NewSignIn {
        request: format!("R{n:07}"),
        flow: Flow::Code,
        email,
        device: "laptop".to_owned(),
        device_code: secret(DEVICE_CODE, n),
        user_code: Some(secret(USER_CODE, n)),
        challenge: None,
        link: None,
        now,
        expires_at: now.plus(Duration::from_secs(END_SECS)),
    }
}

async fn begin(store: &dyn Store, n: u64, local: &str) -> SignInId {
    store.begin_sign_in(new(n, email(local), NOW)).await.unwrap()
}

async fn find(store: &dyn Store, key: SignInKey) -> Option<SignIn> {
    store.find_sign_in(key).await.unwrap()
}

async fn by_request(store: &dyn Store, n: u64) -> Option<SignIn> {
    find(store, SignInKey::Request(format!("R{n:07}"))).await
}

fn key(prefix: &str) -> NewKey {
    NewKey {
        name: Name::parse("laptop").unwrap(),
        purpose: Purpose::Td,
        prefix: prefix.to_owned(),
        hash: String::new(),
        expires_at: Some(later(1_000_000)),
    }
}

/// Signs `ann` in for the time `secs`, with a key that ends `ends_after` later.
async fn sign_in(store: &dyn Store, n: u64, secs: u64, ends_after: u64) -> (SignInId, UserId) {
    let now = later(secs);
    let id = store.begin_sign_in(new(n, email("ann"), now)).await.unwrap();
    store.approve_sign_in(id, SignUp::Closed, now).await.unwrap();
    let key = NewKey { expires_at: Some(later(secs + ends_after)), ..key(&format!("key-{n}")) };
    let Redeemed::Key { user, .. } = store.redeem_sign_in(id, key, now).await.unwrap() else { panic!("{n}") };
    (id, user)
}

async fn key_names(store: &dyn Store) -> Vec<String> {
    let mut keys = store.credentials(None).await.unwrap();
    keys.sort_by_key(|key| key.id);
    keys.into_iter().map(|key| key.name.to_string()).collect()
}

/// What is given comes back, under whatever finds it; a secret of another kind finds nothing.
pub async fn a_sign_in_is_found_by_what_it_knows(store: &dyn Store) {
    let full = NewSignIn {
        flow: Flow::Verifier,
        email: EmailAddress::parse("Ann@Example.org").unwrap(),
        challenge: Some(secret(CHALLENGE, 1)),
        link: Some(secret(LINK, 1)),
        ..new(1, email("x"), NOW)
    };
    let id = store.begin_sign_in(full).await.unwrap();
    let expected = SignIn {
        id,
        request: "R0000001".to_owned(),
        flow: Flow::Verifier,
        email: EmailAddress::parse("Ann@Example.org").unwrap(),
        device: "laptop".to_owned(),
        challenge: Some(secret(CHALLENGE, 1)),
        created_at: NOW,
        expires_at: later(END_SECS),
        approved: None,
        consumed_at: None,
        links: 1,
    };
    let web = NewSignIn { flow: Flow::Web, user_code: None, ..new(2, email("bob"), later(1)) };
    let second = store.begin_sign_in(web).await.unwrap();
    assert!(second > id);
    assert_eq!(by_request(store, 1).await.as_ref(), Some(&expected));
    for key in [
        SignInKey::DeviceCode(secret(DEVICE_CODE, 1)),
        SignInKey::UserCode(secret(USER_CODE, 1)),
        SignInKey::Link(secret(LINK, 1)),
    ] {
        assert_eq!(find(store, key.clone()).await.as_ref(), Some(&expected), "{key:?}");
    }
    let other = find(store, SignInKey::DeviceCode(secret(DEVICE_CODE, 2))).await.unwrap();
    assert_eq!((other.id, other.flow, other.links, other.challenge), (second, Flow::Web, 0, None));
    for key in [
        SignInKey::Request("r0000001".to_owned()),
        SignInKey::Request("\0".to_owned()),
        SignInKey::DeviceCode(secret(USER_CODE, 1)),
        SignInKey::UserCode(secret(USER_CODE, 2)),
        SignInKey::Link(secret(LINK, 2)),
    ] {
        assert_eq!(find(store, key.clone()).await, None, "{key:?}");
    }
    assert!(store.begin_sign_in(new(1, email("bob"), NOW)).await.is_err(), "a device's code finds one");
}

/// Of several with one short code, the newest that waits is meant.
pub async fn a_user_code_means_the_newest_that_waits(store: &dyn Store) {
    let ann = add_user(store, "ann").await;
    let same = |n| NewSignIn { user_code: Some(secret(USER_CODE, 9)), ..new(n, email("ann"), NOW) };
    let first = store.begin_sign_in(same(1)).await.unwrap();
    let second = store.begin_sign_in(same(2)).await.unwrap();
    let found = async || find(store, SignInKey::UserCode(secret(USER_CODE, 9))).await.unwrap();
    assert_eq!(found().await.id, second);
    let done = Approved::Done { user: ann, is_new: false };
    assert_eq!(store.approve_sign_in(second, SignUp::Closed, later(1)).await.unwrap(), done);
    assert_eq!(found().await.id, first);
    assert_eq!(store.approve_sign_in(first, SignUp::Closed, later(1)).await.unwrap(), done);
    assert_eq!(found().await.id, second);
}

/// The server's owner sees those that wait, the oldest first.
pub async fn those_that_wait_are_listed(store: &dyn Store) {
    add_user(store, "ann").await;
    let ids = [begin(store, 1, "ann").await, begin(store, 2, "bob").await, begin(store, 3, "ann").await];
    let listed = async |now| -> Vec<SignInId> {
        store.sign_ins(now).await.unwrap().into_iter().map(|sign_in| sign_in.id).collect()
    };
    assert_eq!(listed(NOW).await, ids);
    store.approve_sign_in(ids[0], SignUp::Closed, NOW).await.unwrap();
    assert_eq!(listed(later(END_SECS - 1)).await, ids[1..]);
    assert_eq!(listed(later(END_SECS)).await, []);
}
