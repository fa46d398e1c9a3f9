//! A user who is deleted, with all that is his alone.

use std::time::Duration;

use tombolo_core::{LeaseId, Purpose, SpaceNumber, UserId};
use tombolo_storage::{
    Added, Flow, Identity, IdentityAdded, IdentityChange, IdentityKey, NewIdentity, NewSignIn, RoomAdded, SecretHash,
    SignInKey, SignUp, SpaceAddress, Store, StoreError, Ticket, UserDeleted, Username,
};

use super::{add_key, add_user, all, bring, delete, diary, exchange, heads, later, name, refuse, try_bring, upload};
use crate::projects_suite::email;
use crate::rooms_suite;

const SHARED: Purpose = Purpose::SimpleSync;

/// Gives a user something of everything that is his alone.
async fn settle(store: &dyn Store, user: UserId, called: &str, n: u8) {
    bring(store, diary(user), &format!("phone of {called}"), &["a", "b"]).await;
    refuse(store, diary(user), &format!("phone of {called}")).await;
    store.exchange(exchange(SpaceAddress::only(user, Purpose::Tickit), "task")).await.unwrap();
    let room = rooms_suite::made(store, rooms_suite::a_room(user, n, "board")).await;
    rooms_suite::put(store, &room, "what was said", 20).await;
    rooms_suite::open(store, &room, rooms_suite::lease(i64::from(n), 10, 90), 30).await.unwrap();
    add_key(store, user, "laptop", Purpose::Wellbeing).await;
    add_key(store, user, "tablet", Purpose::Tickit).await;
    known(store, called).await;
    let ticket = Ticket { user, credential: None, ends_at: None, form: 1 };
    store.keep_ticket(SecretHash([n; 32]), ticket, later(0), later(1_000_000)).await.unwrap();
    sign_in(store, called, n).await;
}

/// Has somebody sign in to simple-sync with a password.
async fn known(store: &dyn Store, called: &str) -> UserId {
    let new = NewIdentity {
        purpose: SHARED,
        subject: name(called),
        username: Username::Named(name(&format!("{called}-signs-in"))),
        password: Some("$argon2id$x".to_owned()),
    };
    match store.add_identity(new, later(0)).await.unwrap() {
        IdentityAdded::New(user) => user,
        other => panic!("{called} was not known: {other:?}"),
    }
}

/// Begins a sign-in and approves it.
async fn sign_in(store: &dyn Store, called: &str, n: u8) {
    let new = NewSignIn {
        request: format!("R{n}"),
        flow: Flow::Code,
        email: email(called),
        device: "laptop".to_owned(),
        device_code: SecretHash([n; 32]),
        user_code: None,
        challenge: None,
        link: None,
        now: later(0),
        expires_at: later(0).plus(Duration::from_secs(900)),
    };
    let id = store.begin_sign_in(new).await.unwrap();
    store.approve_sign_in(id, SignUp::Closed, later(1)).await.unwrap();
}

async fn identity(store: &dyn Store, key: IdentityKey) -> Option<Identity> {
    store.identity(SHARED, key).await.unwrap()
}

/// What is there of a user, in words: a list of what is not empty.
async fn left(store: &dyn Store, user: UserId, n: u8) -> Vec<&'static str> {
    let spaces = [diary(user), SpaceAddress::only(user, Purpose::Tickit), room_of(user, n)];
    let heads = heads(store, &spaces).await;
    let ticket = store.use_ticket(SecretHash([n; 32]), later(2)).await.unwrap();
    let there = [
        ("diary", heads[0] > 0),
        ("tasks", heads[1] > 0),
        ("document", heads[2] > 0),
        ("rooms", !store.rooms(Some(user)).await.unwrap().is_empty()),
        ("keys", !store.credentials(Some(user)).await.unwrap().is_empty()),
        ("refusals", !store.refusals(Some(user)).await.unwrap().is_empty()),
        ("sign-in", store.find_sign_in(SignInKey::Request(format!("R{n}"))).await.unwrap().is_some()),
        ("ticket", ticket.is_some()),
        ("account", store.user_by_id(user).await.unwrap().is_some()),
    ];
    there.into_iter().filter(|(_, is_there)| *is_there).map(|(what, _)| what).collect()
}

fn room_of(user: UserId, n: u8) -> SpaceAddress {
    rooms_suite::a_room(user, n, "board").space()
}

const EVERYTHING: [&str; 9] =
    ["diary", "tasks", "document", "rooms", "keys", "refusals", "sign-in", "ticket", "account"];

/// All that is his alone goes with him; of others, nothing does.
pub async fn a_user_goes_with_all_that_is_his_alone(store: &dyn Store) {
    let (ann, bob) = (add_user(store, "ann").await, add_user(store, "bob").await);
    settle(store, ann, "ann", 1).await;
    settle(store, bob, "bob", 2).await;
    let totals = store.totals().await.unwrap();
    assert_eq!(delete(store, "ann").await, UserDeleted::Gone);
    assert_eq!(left(store, ann, 1).await, Vec::<&str>::new());
    assert_eq!(left(store, bob, 2).await, EVERYTHING);
    let after = store.totals().await.unwrap();
    assert_eq!(after.changes * 2, totals.changes);
    let names: Vec<_> = store.users().await.unwrap().into_iter().map(|user| user.name).collect();
    assert_eq!(names, [name("bob")]);
    assert_eq!(store.user(&name("ann")).await.unwrap(), None);
    assert_eq!(store.credentials(None).await.unwrap().len(), 2);
    assert_eq!(store.refusals(None).await.unwrap().len(), 1);
    assert_eq!(store.find_credential(&format!("{ann}-laptop")).await.unwrap(), None);
    assert_eq!(rooms_suite::find(store, &rooms_suite::a_room(ann, 1, "board")).await, None);
}

/// What nobody is called is not deleted; what was deleted is not there to be deleted again.
pub async fn who_is_not_there_is_not_deleted(store: &dyn Store) {
    add_user(store, "ann").await;
    assert_eq!(delete(store, "bob").await, UserDeleted::Unknown);
    assert_eq!(delete(store, "ann").await, UserDeleted::Gone);
    assert_eq!(delete(store, "ann").await, UserDeleted::Unknown);
    assert!(!store.disable_user(&name("ann"), later(9)).await.unwrap());
    // One who is disabled can be deleted, too.
    add_user(store, "cleo").await;
    assert!(store.disable_user(&name("cleo"), later(5)).await.unwrap());
    assert_eq!(delete(store, "cleo").await, UserDeleted::Gone);
}

/// Name and address are free, and whoever gets them gets nothing with them.
pub async fn a_name_is_free_and_nothing_comes_with_it(store: &dyn Store) {
    let ann = add_user(store, "ann").await;
    settle(store, ann, "ann", 1).await;
    assert_eq!(delete(store, "ann").await, UserDeleted::Gone);
    let other = add_user(store, "ann").await;
    assert_ne!(other, ann);
    assert_eq!(left(store, other, 1).await, ["account"]);
    assert!(all(store, diary(other), "phone of ann").await.is_empty(), "the device is free, too");
    bring(store, diary(other), "phone of ann", &["c"]).await;
    assert_eq!(heads(store, &[diary(ann)]).await, [0]);
    let of_old = rooms_suite::a_room(ann, 1, "board");
    assert_eq!(rooms_suite::find(store, &of_old).await, None);
    // By the same name for the third time.
    assert_eq!(delete(store, "ann").await, UserDeleted::Gone);
    add_user(store, "ann").await;
}

/// In a log that all share, what he wrote stays under his subject, and that stays taken: whoever is called so next is not
/// taken for him. What he signed in with is free.
pub async fn a_subject_stays_taken(store: &dyn Store) {
    let ann = add_user(store, "ann").await;
    known(store, "ann").await;
    assert_eq!(delete(store, "ann").await, UserDeleted::Gone);
    let stays = identity(store, IdentityKey::Subject(name("ann"))).await.unwrap();
    let expected = Identity { user: ann, subject: name("ann"), username: None, password: None, is_disabled: true };
    assert_eq!(stays, expected);
    assert_eq!(identity(store, IdentityKey::Username(name("ann-signs-in"))).await, None);
    let other = add_user(store, "ann").await;
    let new = NewIdentity { purpose: SHARED, subject: name("ann"), username: Username::Subject, password: None };
    assert_eq!(store.add_identity(new.clone(), later(9)).await.unwrap(), IdentityAdded::Known(ann));
    assert_eq!(identity(store, IdentityKey::User(other)).await, None);
    let bob = NewIdentity { subject: name("bob"), username: Username::Named(name("ann-signs-in")), ..new };
    assert!(matches!(store.add_identity(bob, later(9)).await.unwrap(), IdentityAdded::New(_)));
    let change = IdentityChange { username: Some(name("bob")), password: None };
    store.change_identity(SHARED, other, change).await.unwrap();
}

/// The log of simple-sync is everybody's: it stays, even where whoever it is stored with goes.
pub async fn a_log_that_all_share_stays(store: &dyn Store) {
    let root = add_user(store, "root").await;
    let shared = SpaceAddress::only(root, SHARED);
    store.exchange(exchange(shared, "event")).await.unwrap();
    let before = heads(store, &[shared]).await;
    assert!(before[0] > 0);
    assert_eq!(delete(store, "root").await, UserDeleted::Gone);
    assert_eq!(heads(store, &[shared]).await, before);
}

/// Whoever was let in a moment before he was deleted begins no log of his afterwards, and gets no key.
pub async fn nothing_begins_of_one_who_was_deleted(store: &dyn Store) {
    let ann = add_user(store, "ann").await;
    bring(store, diary(ann), "phone", &["a"]).await;
    store.exchange(exchange(SpaceAddress::only(ann, Purpose::Tickit), "task")).await.unwrap();
    assert_eq!(delete(store, "ann").await, UserDeleted::Gone);
    let late = try_bring(store, upload(diary(ann), "phone", None, &["b"])).await;
    assert!(matches!(late, Err(StoreError::NoSuchUser)), "{late:?}");
    let late = store.exchange(exchange(SpaceAddress::only(ann, Purpose::Tickit), "task")).await;
    assert!(matches!(late, Err(StoreError::NoSuchUser)), "{:?}", late.err());
    let late =
        store.add_room(tombolo_storage::NewRoom { room: rooms_suite::a_room(ann, 1, "board"), of_owner_max: 10 });
    let late: Result<RoomAdded, StoreError> = late.await;
    assert!(matches!(late, Err(StoreError::NoSuchUser)), "{late:?}");
    let key = tombolo_storage::NewCredential {
        user: ann,
        name: name("late"),
        purpose: Purpose::Td,
        prefix: "late".to_owned(),
        hash: String::new(),
        created_at: later(9),
        expires_at: None,
    };
    let late: Result<Added<_>, StoreError> = store.add_credential(key).await;
    assert!(late.is_err(), "{late:?}");
    let spaces = [Purpose::Wellbeing, Purpose::Tickit].map(|purpose| SpaceAddress::only(ann, purpose));
    assert_eq!(heads(store, &spaces).await, [0, 0]);
    assert_eq!(store.totals().await.unwrap().changes, 0);
    let room = SpaceAddress { number: SpaceNumber::new(1), ..room_of(ann, 1) };
    store.close_rooms(&[(room, LeaseId::new(1), later(9))]).await.unwrap();
}
