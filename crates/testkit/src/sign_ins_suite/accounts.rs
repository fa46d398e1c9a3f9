//! Whose sign-in it is, once it is approved.

use tombolo_core::{EmailAddress, Name, ProjectId, Purpose, Role, SignInId};
use tombolo_storage::{
    Added, Answered, Approved, Invited, MemberAdded, MemberChanged, NewCredential, NewInvitation, NewProject,
    NewSignIn, SignUp, Store, Who,
};

use super::{END_SECS, NOW, begin, by_request, new};
use crate::projects_suite::{add_project, add_user, email, later};

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
