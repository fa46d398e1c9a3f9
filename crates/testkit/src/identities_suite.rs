//! What every store's identities must do. Each function is one case on an empty store; those of two nodes get the same
//! store twice where there is only one.

#![expect(clippy::unwrap_used, reason = "a test that panics has failed, which is what it is for")]

use std::time::Duration;

use tombolo_core::{CredentialId, Name, ProjectId, Purpose, Role, ServerTime, UserId, limits};
use tombolo_storage::{
    Added, Identity, IdentityAdded, IdentityChange, IdentityChanged, IdentityKey, MemberChanged, NewCredential,
    NewIdentity, SecretHash, Store, Ticket, Username,
};

use crate::projects_suite::{add_project, add_user, email, later};

const NOW: ServerTime = crate::TestEnv::START;
const PURPOSE: Purpose = Purpose::SimpleSync;

pub(crate) fn name(text: &str) -> Name {
    Name::parse(text).unwrap()
}

pub(crate) fn new_identity(subject: &str) -> NewIdentity {
    NewIdentity { purpose: PURPOSE, subject: name(subject), username: Username::Subject, password: None }
}

/// Makes somebody known who was not.
pub(crate) async fn make_known(store: &dyn Store, subject: &str) -> UserId {
    match store.add_identity(new_identity(subject), NOW).await.unwrap() {
        IdentityAdded::New(user) => user,
        other => panic!("{subject} was not known: {other:?}"),
    }
}

pub(crate) async fn known(store: &dyn Store, subject: &str) -> Option<Identity> {
    store.identity(PURPOSE, IdentityKey::Subject(name(subject))).await.unwrap()
}

/// What is made is found by its subject, its username and its user, in its protocol.
pub async fn an_identity_is_found_by_what_it_has(store: &dyn Store) {
    let new = NewIdentity {
        username: Username::Named(name("annie")),
        password: Some("$argon2id$x".to_owned()),
        ..new_identity("ann")
    };
    assert_eq!(known(store, "ann").await, None);
    let IdentityAdded::New(user) = store.add_identity(new, NOW).await.unwrap() else { panic!("she is new") };
    let expected = Identity {
        user,
        subject: name("ann"),
        username: Some(name("annie")),
        password: Some("$argon2id$x".to_owned()),
        is_disabled: false,
    };
    for key in [IdentityKey::Subject(name("ann")), IdentityKey::Username(name("annie")), IdentityKey::User(user)] {
        assert_eq!(store.identity(PURPOSE, key.clone()).await.unwrap().as_ref(), Some(&expected), "{key:?}");
        assert_eq!(store.identity(Purpose::Td, key.clone()).await.unwrap(), None, "{key:?}");
    }
    let nobody = UserId::new(user.get() + 1);
    for key in [IdentityKey::Subject(name("annie")), IdentityKey::Username(name("ann")), IdentityKey::User(nobody)] {
        assert_eq!(store.identity(PURPOSE, key.clone()).await.unwrap(), None, "{key:?}");
    }
    // What is known here only is pending: nobody elsewhere.
    let row = store.user_by_id(user).await.unwrap().unwrap();
    assert_eq!((row.name.as_str(), row.email, row.confirmed_at, row.created_at), ("ann", None, None, NOW));
    assert!(store.disable_user(&name("ann"), NOW).await.unwrap());
    assert!(known(store, "ann").await.unwrap().is_disabled);
}

/// One who is known stays as he is; whoever has the name already is the one who becomes known.
pub async fn a_subject_is_known_once(store: &dyn Store) {
    let bob = add_user(store, "bob").await;
    assert_eq!(make_known(store, "bob").await, bob);
    assert_eq!(store.user_by_id(bob).await.unwrap().unwrap().confirmed_at, Some(NOW), "he is somebody still");
    let other = NewIdentity {
        username: Username::Named(name("robert")),
        password: Some("p".to_owned()),
        ..new_identity("bob")
    };
    assert_eq!(store.add_identity(other, NOW).await.unwrap(), IdentityAdded::Known(bob));
    let found = known(store, "bob").await.unwrap();
    assert_eq!((found.username, found.password), (Some(name("bob")), None));
    // Disabled or not, and in each protocol for itself.
    let cem = add_user(store, "cem").await;
    assert!(store.disable_user(&name("cem"), NOW).await.unwrap());
    assert_eq!(make_known(store, "cem").await, cem);
    assert!(known(store, "cem").await.unwrap().is_disabled);
    let elsewhere = NewIdentity { purpose: Purpose::Td, ..new_identity("bob") };
    assert_eq!(store.add_identity(elsewhere, NOW).await.unwrap(), IdentityAdded::New(bob));
    // A user has one subject, also when his name was changed since.
    let pending = join_by_address(store, "dee").await;
    assert_eq!(make_known(store, "dee@example.org").await, pending);
    assert_eq!(store.add_user(&name("dee"), Some(&email("dee")), NOW).await.unwrap(), Added::New(pending));
    assert_eq!(store.add_identity(new_identity("dee"), NOW).await.unwrap(), IdentityAdded::Known(pending));
    assert_eq!(known(store, "dee").await, None);
    assert_eq!(store.users().await.unwrap().len(), 4, "with the owner of a project");
}

/// Has an address added to a project, which makes its account, pending.
async fn join_by_address(store: &dyn Store, local: &str) -> UserId {
    let owner = add_user(store, "owner").await;
    let project = add_project(store, 1, owner).await;
    let who = tombolo_storage::Who::Address(email(local));
    let added = store.add_member(project, owner, who, Role::Writer, NOW).await.unwrap().unwrap();
    let tombolo_storage::MemberAdded::Added(member) = added else { panic!("{added:?}") };
    member.user
}

/// Usernames are unique in a protocol, and one that is only wished for gives way.
pub async fn usernames_are_unique(store: &dyn Store) {
    let named = |subject: &str, username: &str| NewIdentity {
        username: Username::Named(name(username)),
        ..new_identity(subject)
    };
    let IdentityAdded::New(ann) = store.add_identity(named("ann", "bob"), NOW).await.unwrap() else {
        panic!("she is new")
    };
    assert_eq!(store.add_identity(named("cem", "bob"), NOW).await.unwrap(), IdentityAdded::UsernameTaken);
    assert_eq!(known(store, "cem").await, None);
    assert!(store.user(&name("cem")).await.unwrap().is_none(), "nothing is left of him");
    let bob = make_known(store, "bob").await;
    assert_eq!(known(store, "bob").await.unwrap().username, None, "his own name is taken");
    let elsewhere = NewIdentity { purpose: Purpose::Td, ..named("cem", "bob") };
    assert!(matches!(store.add_identity(elsewhere, NOW).await.unwrap(), IdentityAdded::New(_)));

    let change = async |user, username: Option<&str>, password: Option<&str>| {
        let change = IdentityChange { username: username.map(name), password: password.map(str::to_owned) };
        store.change_identity(PURPOSE, user, change).await.unwrap()
    };
    assert_eq!(change(bob, Some("bob"), Some("p")).await, IdentityChanged::UsernameTaken);
    assert_eq!(known(store, "bob").await.unwrap().password, None, "nothing was changed");
    assert_eq!(change(ann, Some("bob"), Some("p")).await, IdentityChanged::Done, "it is hers");
    assert_eq!(change(ann, Some("ann"), None).await, IdentityChanged::Done);
    let found = known(store, "ann").await.unwrap();
    assert_eq!((found.username, found.password.as_deref()), (Some(name("ann")), Some("p")));
    assert_eq!(change(bob, Some("bob"), Some("q")).await, IdentityChanged::Done);
    assert_eq!(change(bob, None, None).await, IdentityChanged::Done);
    let found = store.identity(PURPOSE, IdentityKey::Username(name("bob"))).await.unwrap().unwrap();
    assert_eq!((found.subject, found.password.as_deref()), (name("bob"), Some("q")));
    let nobody = UserId::new(99_999);
    assert_eq!(change(nobody, Some("zoe"), None).await, IdentityChanged::Unknown);
    assert_eq!(change(nobody, Some("bob"), None).await, IdentityChanged::Unknown);
    assert_eq!(change(nobody, None, None).await, IdentityChanged::Unknown);
}

/// Whoever is known in one protocol only becomes somebody when a user of his name is added, and stays who he is.
pub async fn one_who_is_known_is_adopted(store: &dyn Store) {
    let (ann, bob, cem) =
        (make_known(store, "ann").await, make_known(store, "bob").await, make_known(store, "cem").await);
    assert_eq!(store.add_user(&name("ann"), Some(&email("ann")), later(5)).await.unwrap(), Added::New(ann));
    assert_eq!(store.add_user(&name("bob"), None, later(6)).await.unwrap(), Added::New(bob));
    let row = async |user| {
        let user = store.user_by_id(user).await.unwrap().unwrap();
        (user.email, user.confirmed_at)
    };
    assert_eq!(row(ann).await, (Some("ann@example.org".to_owned()), Some(later(5))));
    assert_eq!(row(bob).await, (None, Some(later(6))));
    assert_eq!(known(store, "ann").await.unwrap().user, ann);
    // Once.
    assert_eq!(store.add_user(&name("ann"), None, later(7)).await.unwrap(), Added::NameTaken);
    assert_eq!(store.add_user(&name("bob"), Some(&email("bob")), later(7)).await.unwrap(), Added::NameTaken);
    // Not with an address that is somebody's, be he pending or disabled, nor one who is disabled.
    assert_eq!(store.add_user(&name("cem"), Some(&email("ANN")), later(7)).await.unwrap(), Added::EmailTaken);
    let pending = join_by_address(store, "dee").await;
    assert_eq!(store.add_user(&name("cem"), Some(&email("dee")), later(7)).await.unwrap(), Added::EmailTaken);
    let dee = store.user_by_id(pending).await.unwrap().unwrap().name;
    assert!(store.disable_user(&dee, NOW).await.unwrap());
    assert_eq!(store.add_user(&name("cem"), Some(&email("dee")), later(7)).await.unwrap(), Added::EmailTaken);
    assert_eq!(row(cem).await, (None, None));
    assert!(store.disable_user(&name("cem"), NOW).await.unwrap());
    assert_eq!(store.add_user(&name("cem"), Some(&email("cem")), later(7)).await.unwrap(), Added::NameTaken);
    assert_eq!(row(cem).await, (None, None));
    assert_eq!(store.add_user(&name("dan"), Some(&email("Ann")), later(7)).await.unwrap(), Added::EmailTaken);
    assert_eq!(store.users().await.unwrap().len(), 5, "they, who is pending, and whoever invited her");
}

/// A pending account does not end with what made it while it is known in a protocol.
pub async fn a_pending_account_that_is_known_stays(store: &dyn Store) {
    let pending = join_by_address(store, "dee").await;
    assert_eq!(make_known(store, "dee@example.org").await, pending);
    let owner = store.user(&name("owner")).await.unwrap().unwrap().id;
    let removed = store.remove_member(ProjectId::new(1), owner, pending).await.unwrap();
    assert_eq!(removed, Ok(MemberChanged::Done));
    assert_eq!(known(store, "dee@example.org").await.unwrap().user, pending);
    assert!(store.user_by_id(pending).await.unwrap().is_some());
}

/// The hash of the ticket called `n`.
fn ticket_hash(n: u8) -> SecretHash {
    SecretHash([n; 32])
}

const TICKET_SECS: u64 = 60;

async fn keep(store: &dyn Store, n: u8, ticket: Ticket, secs: u64) {
    store.keep_ticket(ticket_hash(n), ticket, later(secs), later(secs + TICKET_SECS)).await.unwrap();
}

async fn used(store: &dyn Store, n: u8, secs: u64) -> Option<Ticket> {
    store.use_ticket(ticket_hash(n), later(secs)).await.unwrap()
}

/// A ticket is good once, until it ends, and for as long as what it stands for.
pub async fn a_ticket_is_used_once(store: &dyn Store) {
    let (ann, bob) = (make_known(store, "ann").await, make_known(store, "bob").await);
    let plain = Ticket { user: ann, credential: None, ends_at: None, form: 7 };
    keep(store, 1, plain.clone(), 0).await;
    assert_eq!(used(store, 2, 1).await, None);
    assert_eq!(used(store, 1, TICKET_SECS - 1).await, Some(plain.clone()));
    assert_eq!(used(store, 1, TICKET_SECS - 1).await, None);
    // It ends by itself.
    keep(store, 3, plain.clone(), 0).await;
    assert_eq!(used(store, 3, TICKET_SECS).await, None);
    // With what it stands for, be it that this ends or is revoked.
    let ending = Ticket { ends_at: Some(later(30)), ..plain.clone() };
    keep(store, 4, ending.clone(), 0).await;
    keep(store, 5, ending.clone(), 0).await;
    assert_eq!(used(store, 4, 29).await, Some(ending));
    assert_eq!(used(store, 5, 30).await, None);
    let credential = add_credential(store, ann, "phone").await;
    let of_key = Ticket { credential: Some(credential), ..plain.clone() };
    for n in [6, 7] {
        keep(store, n, of_key.clone(), 0).await;
    }
    keep(store, 8, Ticket { user: bob, ..of_key.clone() }, 0).await;
    assert_eq!(used(store, 6, 1).await, Some(of_key));
    assert_eq!(used(store, 8, 1).await, None, "the key is not his");
    assert!(store.revoke_credential(ann, &name("phone")).await.unwrap());
    assert_eq!(used(store, 7, 1).await, None);
    // Of one who is disabled.
    for (n, user) in [(9, ann), (10, bob)] {
        keep(store, n, Ticket { user, ..plain.clone() }, 0).await;
    }
    assert!(store.disable_user(&name("ann"), NOW).await.unwrap());
    assert_eq!(used(store, 9, 1).await, None);
    assert_eq!(used(store, 10, 1).await.map(|ticket| ticket.user), Some(bob));
}

async fn add_credential(store: &dyn Store, user: UserId, text: &str) -> CredentialId {
    let new = NewCredential {
        user,
        name: name(text),
        purpose: PURPOSE,
        prefix: format!("prefix of {text}"),
        hash: String::new(),
        created_at: NOW,
        expires_at: None,
    };
    match store.add_credential(new).await.unwrap() {
        Added::New(credential) => credential,
        other => panic!("{other:?}"),
    }
}

/// The oldest of a user's tickets gives way to one too many, and no other's.
pub async fn tickets_are_bounded(store: &dyn Store) {
    let (ann, bob) = (make_known(store, "ann").await, make_known(store, "bob").await);
    let of = |user| Ticket { user, credential: None, ends_at: None, form: 0 };
    let count = u8::try_from(limits::TICKETS_MAX).unwrap();
    keep(store, 200, of(bob), 0).await;
    for n in 0..=count {
        keep(store, n, of(ann), u64::from(n) / 2).await;
    }
    assert_eq!(used(store, 200, 20).await, Some(of(bob)));
    let mut left = Vec::new();
    for n in 0..=count {
        left.extend(used(store, n, 20).await.map(|_| n));
    }
    assert_eq!(left.len(), limits::TICKETS_MAX);
    assert!(left[1..].iter().copied().eq(2..=count), "one of the two oldest gave way: {left:?}");
    // What ended takes no room.
    for n in 0..count {
        keep(store, n, of(ann), 0).await;
    }
    keep(store, 100, of(ann), TICKET_SECS).await;
    for n in 0..count {
        assert_eq!(used(store, n, 0).await, None, "it was swept away");
    }
    assert_eq!(used(store, 100, TICKET_SECS).await, Some(of(ann)));
}

/// A secret is made once and stays.
pub async fn a_secret_stays(store: &dyn Store) {
    let secret = async |name: &'static str, fresh: &'static [u8]| store.secret(name, fresh).await.unwrap();
    assert_eq!(secret("a", b"one\0").await, b"one\0");
    assert_eq!(secret("a", b"two").await, b"one\0");
    assert_eq!(secret("b", b"two").await, b"two");
}

const ROUNDS: u64 = 8;

/// One subject that is made known twice at once is known once.
pub async fn a_subject_is_made_known_twice_at_once([one, two]: [&dyn Store; 2]) {
    for n in 1..=ROUNDS {
        let new = || new_identity(&format!("ann{n}"));
        let (first, second) = tokio::join!(one.add_identity(new(), NOW), two.add_identity(new(), NOW));
        match (first.unwrap(), second.unwrap()) {
            (IdentityAdded::New(user), IdentityAdded::Known(same))
            | (IdentityAdded::Known(same), IdentityAdded::New(user)) => assert_eq!(user, same),
            other => panic!("{other:?}"),
        }
        assert_eq!(one.users().await.unwrap().len() as u64, n);
    }
}

/// A user who is added while he is made known is one.
pub async fn a_user_is_added_and_made_known_at_once([one, two]: [&dyn Store; 2]) {
    for n in 1..=ROUNDS {
        let text = format!("ann{n}");
        let (name, email) = (name(&text), email(&text));
        let (added, known) =
            tokio::join!(one.add_user(&name, Some(&email), NOW), two.add_identity(new_identity(&text), NOW));
        match (added.unwrap(), known.unwrap()) {
            (Added::New(user), IdentityAdded::New(same)) => assert_eq!(user, same),
            other => panic!("{other:?}"),
        }
        let user = one.user(&name).await.unwrap().unwrap();
        assert!(user.confirmed_at.is_some() && user.email.is_some(), "{user:?}");
        assert_eq!(one.users().await.unwrap().len() as u64, n);
    }
}

/// One username that two are given at once is one's.
pub async fn a_username_is_given_twice_at_once([one, two]: [&dyn Store; 2]) {
    let (ann, bob) = (make_known(one, "ann").await, make_known(one, "bob").await);
    for n in 1..=ROUNDS {
        let change = || IdentityChange { username: Some(name(&format!("name{n}"))), password: None };
        let (first, second) =
            tokio::join!(one.change_identity(PURPOSE, ann, change()), two.change_identity(PURPOSE, bob, change()));
        let answers = [first.unwrap(), second.unwrap()];
        assert!(answers.contains(&IdentityChanged::Done), "{answers:?}");
        assert!(answers.contains(&IdentityChanged::UsernameTaken), "{answers:?}");
    }
}

/// One ticket that is used twice at once is good once.
pub async fn a_ticket_is_used_twice_at_once([one, two]: [&dyn Store; 2]) {
    let user = make_known(one, "ann").await;
    for n in 1..=ROUNDS {
        let n = u8::try_from(n).unwrap();
        keep(one, n, Ticket { user, credential: None, ends_at: None, form: 0 }, 0).await;
        let (first, second) = tokio::join!(used(one, n, 1), used(two, n, 1));
        assert_ne!(first.is_some(), second.is_some());
    }
}

/// A secret that two wish for at once is one.
pub async fn a_secret_is_made_twice_at_once([one, two]: [&dyn Store; 2]) {
    for n in 1..=ROUNDS {
        let name = format!("secret {n}");
        let (first, second) = tokio::join!(one.secret(&name, b"one"), two.secret(&name, b"two"));
        assert_eq!(first.unwrap(), second.unwrap());
    }
}

/// What a ticket keeps of time is kept to the microsecond.
pub async fn a_ticket_ends_to_the_microsecond(store: &dyn Store) {
    let user = make_known(store, "ann").await;
    let end = later(1).plus(Duration::from_micros(7));
    let ticket = Ticket { user, credential: None, ends_at: Some(end), form: i64::MAX };
    for n in [1, 2] {
        keep(store, n, ticket.clone(), 0).await;
    }
    let last = end.minus(Duration::from_micros(1));
    assert_eq!(store.use_ticket(ticket_hash(1), last).await.unwrap(), Some(ticket));
    assert_eq!(store.use_ticket(ticket_hash(2), end).await.unwrap(), None);
}
