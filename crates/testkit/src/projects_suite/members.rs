//! Who belongs to a project.

use tombolo_core::{EmailAddress, Name, Refusal, Role, UserId, limits};
use tombolo_storage::{Added, Answered, Member, MemberAdded, MemberChanged, Restored, Store, Who};

use super::{NOW, add_project, add_user, disable, email, invitation, invite, join, later, roles};

/// A member is added once, whoever he is named by; a disabled or unknown user is not.
pub async fn members_are_added_once(store: &dyn Store) {
    let (ann, bob) = (add_user(store, "ann").await, add_user(store, "bob").await);
    let cem = add_user(store, "cem").await;
    let project = add_project(store, 1, ann).await;
    let add = async |who| store.add_member(project, ann, who, Role::Writer, later(2)).await.unwrap().unwrap();
    let expected = Member {
        user: bob,
        email: Some("bob@example.org".to_owned()),
        role: Role::Writer,
        invited_by: Some(ann),
        created_at: later(2),
    };
    assert_eq!(add(Who::Address(EmailAddress::parse("BOB@example.org").unwrap())).await, MemberAdded::Added(expected));
    assert_eq!(add(Who::User(bob)).await, MemberAdded::AlreadyMember);
    assert_eq!(add(Who::Address(email("bob"))).await, MemberAdded::AlreadyMember);
    assert_eq!(add(Who::Address(email("ann"))).await, MemberAdded::AlreadyMember);
    assert_eq!(add(Who::User(UserId::new(999))).await, MemberAdded::NoSuchUser);
    disable(store, "cem").await;
    assert_eq!(add(Who::User(cem)).await, MemberAdded::NoSuchUser);
    let added = add(Who::Address(email("cem"))).await;
    assert!(matches!(added, MemberAdded::Added(_)), "an address does not tell of whom it is: {added:?}");
    assert_eq!(store.remove_member(project, ann, cem).await.unwrap(), Ok(MemberChanged::Done));
    assert_eq!(roles(store, project, bob).await, [(ann, Role::Owner), (bob, Role::Writer)]);
    let of = async |member| store.change_role(project, ann, member, Role::Reader).await.unwrap().unwrap();
    assert_eq!(of(bob).await, MemberChanged::Done);
    assert_eq!(of(UserId::new(999)).await, MemberChanged::NotMember);
    assert_eq!(roles(store, project, bob).await, [(ann, Role::Owner), (bob, Role::Reader)]);
    let away = async |member| store.remove_member(project, ann, member).await.unwrap().unwrap();
    assert_eq!(away(bob).await, MemberChanged::Done);
    assert_eq!(away(bob).await, MemberChanged::NotMember);
    assert_eq!(roles(store, project, ann).await, [(ann, Role::Owner)]);
}

/// An address that nobody has makes an account that is nobody's yet, once, named as the address where that is a name.
pub async fn an_unknown_address_makes_a_pending_account(store: &dyn Store) {
    let ann = add_user(store, "ann").await;
    let project = add_project(store, 1, ann).await;
    let add = async |project, text: &str| {
        let who = Who::Address(EmailAddress::parse(text).unwrap());
        match store.add_member(project, ann, who, Role::Reader, later(2)).await.unwrap().unwrap() {
            MemberAdded::Added(member) => store.user_by_id(member.user).await.unwrap().unwrap(),
            other => panic!("{text}: {other:?}"),
        }
    };
    let new = add(project, "New@example.org").await;
    assert_eq!((new.name.as_str(), new.email.as_deref()), ("New@example.org", Some("New@example.org")));
    assert_eq!((new.created_at, new.confirmed_at, new.disabled_at), (later(2), None, None));
    let second = add_project(store, 2, ann).await;
    assert_eq!(add(second, "new@EXAMPLE.org").await, new);
    // The name is taken by somebody of another address, or too long.
    let taken = Name::parse("other@example.org").unwrap();
    assert!(matches!(store.add_user(&taken, None, NOW).await.unwrap(), Added::New(_)));
    let other = add(project, "other@example.org").await;
    assert_eq!(other.name.as_str(), format!("account-{}", other.id));
    let long = add(project, &format!("{}@{}.example", "a".repeat(60), "b".repeat(60))).await;
    assert_eq!(long.name.as_str(), format!("account-{}", long.id));
    let users = store.users().await.unwrap();
    assert_eq!(users.iter().filter(|user| user.confirmed_at.is_none()).count(), 3);
}

/// Whoever is the only owner can neither go nor be less, by his own doing either.
pub async fn the_last_owner_stays(store: &dyn Store) {
    let (ann, bob) = (add_user(store, "ann").await, add_user(store, "bob").await);
    let project = add_project(store, 1, ann).await;
    join(store, project, ann, bob, Role::Writer).await;
    let leave = async |who| store.remove_member(project, who, who).await.unwrap().unwrap();
    let change = async |by, who, role| store.change_role(project, by, who, role).await.unwrap().unwrap();
    assert_eq!(leave(ann).await, MemberChanged::LastOwner);
    assert_eq!(change(ann, ann, Role::Writer).await, MemberChanged::LastOwner);
    assert_eq!(change(ann, ann, Role::Owner).await, MemberChanged::Done, "that changes nothing");
    assert_eq!(change(ann, bob, Role::Owner).await, MemberChanged::Done);
    assert_eq!(change(bob, ann, Role::Reader).await, MemberChanged::Done);
    assert_eq!(leave(bob).await, MemberChanged::LastOwner);
    assert_eq!(leave(ann).await, MemberChanged::Done, "a reader may go by himself");
    assert_eq!(roles(store, project, bob).await, [(bob, Role::Owner)]);
    assert_eq!(store.members(project, ann).await.unwrap(), Err(Refusal::NotMember));
}

/// Only those can be added by their number who share a project with whoever adds them, while that is not deleted.
pub async fn a_number_means_only_who_is_known(store: &dyn Store) {
    let (ann, bob) = (add_user(store, "ann").await, add_user(store, "bob").await);
    let (common, own) = (add_project(store, 1, bob).await, add_project(store, 2, ann).await);
    let add = async || store.add_member(own, ann, Who::User(bob), Role::Reader, later(2)).await.unwrap().unwrap();
    assert_eq!(add().await, MemberAdded::NoSuchUser, "they share nothing");
    join(store, common, bob, ann, Role::Reader).await;
    store.delete_project(common, bob, later(2)).await.unwrap().unwrap();
    assert_eq!(add().await, MemberAdded::NoSuchUser, "what they share is deleted");
    assert_eq!(store.restore_project(common, NOW, later(3)).await.unwrap(), Restored::Done);
    assert!(matches!(add().await, MemberAdded::Added(_)));
    assert_eq!(add().await, MemberAdded::AlreadyMember);
}

/// An owner who is disabled is none to be left with.
pub async fn a_disabled_owner_is_no_last_owner(store: &dyn Store) {
    let (ann, bob) = (add_user(store, "ann").await, add_user(store, "bob").await);
    let project = add_project(store, 1, ann).await;
    join(store, project, ann, bob, Role::Owner).await;
    disable(store, "bob").await;
    assert_eq!(store.remove_member(project, ann, ann).await.unwrap(), Ok(MemberChanged::LastOwner));
    assert_eq!(store.change_role(project, ann, ann, Role::Writer).await.unwrap(), Ok(MemberChanged::LastOwner));
    assert_eq!(store.change_role(project, ann, bob, Role::Writer).await.unwrap(), Ok(MemberChanged::Done));
    assert_eq!(store.change_role(project, ann, bob, Role::Owner).await.unwrap(), Ok(MemberChanged::Done));
    assert_eq!(store.remove_member(project, ann, bob).await.unwrap(), Ok(MemberChanged::Done));
    assert_eq!(roles(store, project, ann).await, [(ann, Role::Owner)]);
}

/// A project takes so many members and no more, and none beyond it makes an account.
pub async fn members_are_bounded(store: &dyn Store) {
    let ann = add_user(store, "ann").await;
    let bob = add_user(store, "bob").await;
    let project = add_project(store, 1, ann).await;
    let to_bob = invite(store, invitation(project, ann, "bob")).await;
    let add = async |n: usize| {
        let who = Who::Address(email(&format!("m{n}")));
        store.add_member(project, ann, who, Role::Reader, NOW).await.unwrap().unwrap()
    };
    for n in 1..limits::MEMBERS_MAX {
        assert!(matches!(add(n).await, MemberAdded::Added(_)), "{n}");
    }
    assert_eq!(add(limits::MEMBERS_MAX).await, MemberAdded::Full);
    assert_eq!(add(1).await, MemberAdded::AlreadyMember);
    assert_eq!(store.answer_invitation(to_bob.id, bob, true, NOW).await.unwrap(), Answered::Conflict);
    assert_eq!(store.users().await.unwrap().len(), limits::MEMBERS_MAX + 1);
    assert_eq!(store.members(project, ann).await.unwrap().unwrap().len(), limits::MEMBERS_MAX);
    let [one] = store.invitations_for(bob, NOW).await.unwrap().try_into().unwrap();
    assert_eq!(one.id, to_bob.id, "it waits for room");
}
