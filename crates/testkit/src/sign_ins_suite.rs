//! What every store's sign-ins must do. Each function is one case on an empty store; those of two nodes get the same
//! store twice where there is only one.

#![expect(clippy::unwrap_used, reason = "a test that panics has failed, which is what it is for")]

use std::time::Duration;

use tombolo_core::{EmailAddress, Name, ProjectId, Purpose, Role, ServerTime, SignInId, UserId, limits};
use tombolo_storage::{
    Added, Answered, Approved, Flow, Invited, MemberAdded, MemberChanged, NewCredential, NewInvitation, NewKey,
    NewProject, NewSignIn, Redeemed, SecretHash, SignIn, SignInKey, SignUp, Store, Who,
};

use crate::projects_suite::{add_project, add_user, email, later};

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

/// An address with an account is let in; without one only where sign-up is open; a disabled user is not.
pub async fn an_approval_needs_an_account_or_makes_one(store: &dyn Store) {
    let ann = add_user(store, "ann").await;
    let bob = add_user(store, "bob").await;
    let approve = async |id, sign_up, secs| store.approve_sign_in(id, sign_up, later(secs)).await.unwrap();
    let of_ann = begin(store, 1, "ANN").await;
    assert_eq!(approve(of_ann, SignUp::Closed, 5).await, Approved::Done { user: ann, is_new: false });
    assert_eq!(approve(of_ann, SignUp::Closed, 6).await, Approved::Already);
    assert_eq!(by_request(store, 1).await.unwrap().approved, Some((later(5), ann)));
    assert_eq!(approve(SignInId::new(999), SignUp::Open, 5).await, Approved::Expired);

    let of_new = begin(store, 2, "new").await;
    assert_eq!(approve(of_new, SignUp::Closed, 5).await, Approved::NoAccount);
    assert!(!store.has_account(&email("new"), NOW).await.unwrap());
    let Approved::Done { user, is_new: true } = approve(of_new, SignUp::Open, 5).await else {
        panic!("an account is made");
    };
    let made = store.user_by_id(user).await.unwrap().unwrap();
    assert_eq!((made.name.as_str(), made.email.as_deref()), ("new@example.org", Some("new@example.org")));
    assert_eq!((made.created_at, made.confirmed_at), (later(5), Some(later(5))));
    assert!(store.has_account(&email("NEW"), NOW).await.unwrap());

    assert!(store.disable_user(&Name::parse("bob").unwrap(), NOW).await.unwrap());
    assert!(!store.has_account(&email("bob"), NOW).await.unwrap());
    let of_bob = begin(store, 3, "bob").await;
    assert_eq!(approve(of_bob, SignUp::Open, 5).await, Approved::NoAccount);
    assert_eq!(store.user_by_id(bob).await.unwrap().unwrap().disabled_at, Some(NOW));
    let late = begin(store, 4, "ann").await;
    assert_eq!(approve(late, SignUp::Closed, END_SECS).await, Approved::Expired);
    assert_eq!(by_request(store, 4).await.unwrap().approved, None);
}

/// A pending account becomes real when its address signs in, although sign-up is closed.
pub async fn a_pending_account_becomes_real(store: &dyn Store) {
    let ann = add_user(store, "ann").await;
    let project = NewProject {
        id: ProjectId::new(1),
        purpose: Purpose::Td,
        name: "App".to_owned(),
        description: String::new(),
        slug: "app".to_owned(),
        created_by: ann,
        now: NOW,
    };
    let project = store.add_project(project).await.unwrap().unwrap().id;
    let who = Who::Address(email("new"));
    let added = store.add_member(project, ann, who, Role::Writer, NOW).await.unwrap().unwrap();
    let MemberAdded::Added(member) = added else { panic!("{added:?}") };
    assert!(store.has_account(&email("new"), NOW).await.unwrap(), "mail that lets it in may be sent");
    let sign_in = begin(store, 1, "New").await;
    let confirmed = async || store.user_by_id(member.user).await.unwrap().unwrap().confirmed_at;
    assert_eq!(confirmed().await, None);
    let approved = store.approve_sign_in(sign_in, SignUp::Closed, later(7)).await.unwrap();
    assert_eq!(approved, Approved::Done { user: member.user, is_new: false });
    assert_eq!(confirmed().await, Some(later(7)));
    let again = begin(store, 2, "new").await;
    store.approve_sign_in(again, SignUp::Closed, later(8)).await.unwrap();
    assert_eq!(confirmed().await, Some(later(7)), "the first time counts");
}

async fn is_pending(store: &dyn Store, n: u64, local: &str, secs: u64) -> bool {
    let address = email(local);
    let has_account = store.has_account(&address, later(secs)).await.unwrap();
    let new = NewSignIn { expires_at: later(secs + 1), ..new(n, address, later(secs)) };
    let id = store.begin_sign_in(new).await.unwrap();
    if !has_account {
        let approved = store.approve_sign_in(id, SignUp::Closed, later(secs)).await.unwrap();
        assert_eq!(approved, Approved::NoAccount, "mail and approval agree");
    }
    has_account
}

/// A pending account lets nobody in once nobody wants him any more, and is gone when nothing refers to it.
pub async fn a_pending_account_ends_with_what_made_it(store: &dyn Store) {
    let ann = add_user(store, "ann").await;
    let (first, second) = (add_project(store, 1, ann).await, add_project(store, 2, ann).await);
    let add = async |project, local| {
        let who = Who::Address(email(local));
        let added = store.add_member(project, ann, who, Role::Writer, NOW).await.unwrap().unwrap();
        let MemberAdded::Added(member) = added else { panic!("{added:?}") };
        member.user
    };
    let remove = async |project, user| {
        assert_eq!(store.remove_member(project, ann, user).await.unwrap(), Ok(MemberChanged::Done));
    };
    let is_there = async |user| store.user_by_id(user).await.unwrap().is_some();
    let invite = async |project, local| {
        let (email, expires_at) = (email(local), later(100));
        let new = NewInvitation { project, email, role: Role::Reader, by: ann, now: NOW, expires_at };
        match store.invite(new).await.unwrap().unwrap() {
            Invited::Made(invitation) => invitation.id,
            other => panic!("{local}: {other:?}"),
        }
    };
    let of_address = async |local| {
        let users = store.users().await.unwrap();
        users.into_iter().find(|user| user.email == Some(email(local).as_str().to_owned())).map(|user| user.id)
    };
    // By membership.
    let new = add(first, "new").await;
    assert_eq!(add(second, "new").await, new);
    remove(first, new).await;
    assert!(is_there(new).await && is_pending(store, 1, "new", 1).await);
    store.delete_project(second, ann, NOW).await.unwrap().unwrap();
    assert!(!is_pending(store, 2, "new", 1).await, "the project is deleted");
    assert!(is_there(new).await, "and may come back");
    store.restore_project(second, NOW, NOW).await.unwrap();
    assert!(is_pending(store, 3, "new", 1).await);
    remove(second, new).await;
    assert!(!is_there(new).await && !is_pending(store, 4, "new", 1).await);
    // By invitation.
    let to_guest = invite(first, "guest").await;
    let guest = of_address("guest").await.unwrap();
    assert!(guest > new, "a number is given out once");
    assert!(is_pending(store, 5, "guest", 99).await);
    assert!(!is_pending(store, 6, "guest", 100).await, "the invitation ended");
    let again = invite(second, "guest").await;
    assert_eq!(store.withdraw_invitation(first, ann, to_guest).await.unwrap(), Ok(true));
    assert!(is_there(guest).await, "there is another invitation");
    assert_eq!(store.answer_invitation(again, guest, false, NOW).await.unwrap(), Answered::Declined);
    assert_eq!(of_address("guest").await, None);
    let last = invite(first, "guest").await;
    assert_eq!(store.withdraw_invitation(first, ann, last).await.unwrap(), Ok(true));
    assert_eq!(of_address("guest").await, None);
    // What is somebody's stays, and so does what a token refers to, or who is disabled.
    let bob = add_user(store, "bob").await;
    add(first, "bob").await;
    let [with_token, disabled] = [add(first, "token").await, add(first, "disabled").await];
    let token = NewCredential {
        user: with_token,
        name: Name::parse("phone").unwrap(),
        purpose: Purpose::Td,
        prefix: "token".to_owned(),
        hash: String::new(),
        created_at: NOW,
        expires_at: None,
    };
    store.add_credential(token).await.unwrap();
    store.disable_user(&Name::parse("disabled@example.org").unwrap(), NOW).await.unwrap();
    for user in [bob, with_token, disabled] {
        remove(first, user).await;
        assert!(is_there(user).await);
    }
    assert!(is_pending(store, 7, "bob", 1).await, "he has an account");
    assert!(!is_pending(store, 8, "token", 1).await);
}

/// Whoever adds a user with the address of a pending account makes it his.
pub async fn a_pending_account_is_adopted(store: &dyn Store) {
    let ann = add_user(store, "ann").await;
    let project = add_project(store, 1, ann).await;
    let add = async |local| {
        let added = store.add_member(project, ann, Who::Address(email(local)), Role::Writer, NOW).await;
        let MemberAdded::Added(member) = added.unwrap().unwrap() else { panic!("{local} is new") };
        member.user
    };
    let bob = add("bob").await;
    let address = EmailAddress::parse("Bob@Example.org").unwrap();
    let name = |text| Name::parse(text).unwrap();
    let add_user = async |text| store.add_user(&name(text), Some(&address), later(5)).await.unwrap();
    assert_eq!(add_user("ann").await, Added::NameTaken);
    assert_eq!(store.user_by_id(bob).await.unwrap().unwrap().confirmed_at, None);
    assert_eq!(add_user("bob").await, Added::New(bob));
    let known = store.user_by_id(bob).await.unwrap().unwrap();
    assert_eq!((known.name.as_str(), known.email.as_deref()), ("bob", Some("Bob@Example.org")));
    assert_eq!(known.confirmed_at, Some(later(5)));
    assert_eq!(store.projects_of(bob).await.unwrap().len(), 1, "he keeps what he belongs to");
    assert_eq!(add_user("bob").await, Added::NameTaken);
    assert_eq!(add_user("other").await, Added::EmailTaken, "it is somebody's now");
    // Under the name that it has already.
    let cem = add("cem").await;
    let added = store.add_user(&name("cem@example.org"), Some(&email("cem")), later(6)).await.unwrap();
    assert_eq!(added, Added::New(cem));
    // One that the server's owner disabled stays so.
    add("dan").await;
    store.disable_user(&name("dan@example.org"), NOW).await.unwrap();
    assert_eq!(store.add_user(&name("dan"), Some(&email("dan")), NOW).await.unwrap(), Added::EmailTaken);
}

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
