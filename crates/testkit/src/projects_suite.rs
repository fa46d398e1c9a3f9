//! What every store's projects must do. Each function is one case on an empty store; those of two nodes get the same
//! store twice where there is only one.

#![expect(clippy::unwrap_used, reason = "a test that panics has failed, which is what it is for")]

use std::sync::Arc;
use std::time::Duration;

use tombolo_core::{
    Act, EmailAddress, InvitationId, Name, ProjectId, Purpose, Refusal, ReplicaName, Role, ServerTime, UserId, allows,
    limits,
};
use tombolo_storage::{
    Added, Answered, Exchange, Invitation, InvitationStatus, Invited, Member, MemberAdded, MemberChanged,
    NewInvitation, NewProject, Project, ProjectChange, Restored, Ruled, SpaceAddress, Store, Who,
};

use crate::notes::{Note, Notes, put};

const NOW: ServerTime = crate::TestEnv::START;
const WEEK: Duration = Duration::from_secs(7 * 24 * 3_600);

/// The time so many seconds after the beginning.
#[must_use]
pub fn later(secs: u64) -> ServerTime {
    NOW.plus(Duration::from_secs(secs))
}

/// An address at example.org.
///
/// # Panics
/// When that is none.
#[must_use]
pub fn email(local: &str) -> EmailAddress {
    EmailAddress::parse(&format!("{local}@example.org")).unwrap()
}

/// Adds a user with an address at example.org.
///
/// # Panics
/// When name or address are taken.
pub async fn add_user(store: &dyn Store, name: &str) -> UserId {
    match store.add_user(&Name::parse(name).unwrap(), Some(&email(name)), NOW).await.unwrap() {
        Added::New(id) => id,
        taken => panic!("{name} was free: {taken:?}"),
    }
}

async fn disable(store: &dyn Store, name: &str) {
    assert!(store.disable_user(&Name::parse(name).unwrap(), later(5)).await.unwrap());
}

fn new_project(id: i64, created_by: UserId, slug: &str) -> NewProject {
    NewProject {
        id: ProjectId::new(id),
        purpose: Purpose::Td,
        name: format!("Project {id}"),
        description: "for tests".to_owned(),
        slug: slug.to_owned(),
        created_by,
        now: NOW,
    }
}

/// Makes the project under a number, of `owner`.
///
/// # Panics
/// When the number is taken.
pub async fn add_project(store: &dyn Store, id: i64, owner: UserId) -> ProjectId {
    store.add_project(new_project(id, owner, &format!("p{id}"))).await.unwrap().unwrap().id
}

/// Has `by` add a user to a project, by his address.
///
/// # Panics
/// When he has none, or cannot be added.
pub async fn join(store: &dyn Store, project: ProjectId, by: UserId, user: UserId, role: Role) -> Member {
    let address = store.user_by_id(user).await.unwrap().unwrap().email.unwrap();
    let who = Who::Address(EmailAddress::parse(&address).unwrap());
    match store.add_member(project, by, who, role, later(1)).await.unwrap().unwrap() {
        MemberAdded::Added(member) => member,
        other => panic!("{user} could be added: {other:?}"),
    }
}

async fn roles(store: &dyn Store, project: ProjectId, by: UserId) -> Vec<(UserId, Role)> {
    let members = store.members(project, by).await.unwrap().unwrap();
    members.into_iter().map(|member| (member.user, member.role)).collect()
}

fn invitation(project: ProjectId, by: UserId, to: &str) -> NewInvitation {
    NewInvitation { project, email: email(to), role: Role::Writer, by, now: NOW, expires_at: NOW.plus(WEEK) }
}

async fn invite(store: &dyn Store, new: NewInvitation) -> Invitation {
    match store.invite(new).await.unwrap().unwrap() {
        Invited::Made(invitation) => invitation,
        other => panic!("an invitation could be made: {other:?}"),
    }
}

/// Who makes a project owns it; its slug is free among his, and stays when its name changes.
pub async fn projects_are_made_and_renamed(store: &dyn Store) {
    let (ann, bob) = (add_user(store, "ann").await, add_user(store, "bob").await);
    let made = store.add_project(new_project(7, ann, "app")).await.unwrap().unwrap();
    let expected = Project {
        id: ProjectId::new(7),
        purpose: Purpose::Td,
        name: "Project 7".to_owned(),
        description: "for tests".to_owned(),
        slug: "app".to_owned(),
        created_by: ann,
        created_at: NOW,
        updated_at: NOW,
        deleted_at: None,
    };
    assert_eq!(made, expected);
    assert_eq!(store.project(made.id, ann, Act::Delete).await.unwrap(), Ok(expected.clone()));
    let slug = async |id, by| store.add_project(new_project(id, by, "app")).await.unwrap().unwrap().slug;
    assert_eq!([slug(3, ann).await, slug(5, ann).await, slug(9, bob).await], ["app-2", "app-3", "app"]);
    assert!(store.add_project(new_project(7, bob, "other")).await.is_err(), "a number stands for one");
    let member = Member {
        user: ann,
        email: Some("ann@example.org".to_owned()),
        role: Role::Owner,
        invited_by: None,
        created_at: NOW,
    };
    assert_eq!(store.members(made.id, ann).await.unwrap(), Ok(vec![member]));

    let change = ProjectChange { name: Some("App".to_owned()), description: None };
    let renamed = Project { name: "App".to_owned(), updated_at: later(9), ..expected };
    assert_eq!(store.change_project(made.id, ann, change, later(9)).await.unwrap(), Ok(renamed.clone()));
    let change = ProjectChange { name: None, description: Some(String::new()) };
    let described = Project { description: String::new(), updated_at: later(10), ..renamed };
    assert_eq!(store.change_project(made.id, ann, change, later(10)).await.unwrap(), Ok(described.clone()));
    let nothing = ProjectChange::default();
    assert_eq!(store.change_project(made.id, ann, nothing, later(11)).await.unwrap(), Ok(described.clone()));
    assert_eq!(store.project(made.id, ann, Act::View).await.unwrap(), Ok(described));
    disable(store, "bob").await;
    assert_eq!(store.add_project(new_project(11, bob, "late")).await.unwrap(), None);
}

/// The list is everyone's own, by the time that the projects were made, without deleted ones.
pub async fn projects_are_listed_for_their_members(store: &dyn Store) {
    let (ann, bob) = (add_user(store, "ann").await, add_user(store, "bob").await);
    for (id, secs) in [(8, 2), (9, 1), (4, 1), (6, 3)] {
        let new = NewProject { now: later(secs), ..new_project(id, ann, "app") };
        assert!(store.add_project(new).await.unwrap().is_some());
    }
    join(store, ProjectId::new(6), ann, bob, Role::Reader).await;
    join(store, ProjectId::new(9), ann, bob, Role::Writer).await;
    let list = async |user| -> Vec<(i64, Role)> {
        let projects = store.projects_of(user).await.unwrap();
        projects.into_iter().map(|(project, role)| (project.id.get(), role)).collect()
    };
    assert_eq!(list(ann).await, [(4, Role::Owner), (9, Role::Owner), (8, Role::Owner), (6, Role::Owner)]);
    assert_eq!(list(bob).await, [(9, Role::Writer), (6, Role::Reader)]);
    store.delete_project(ProjectId::new(9), ann, later(4)).await.unwrap().unwrap();
    assert_eq!(list(ann).await, [(4, Role::Owner), (8, Role::Owner), (6, Role::Owner)]);
    assert_eq!(list(bob).await, [(6, Role::Reader)]);
    assert_eq!(list(UserId::new(999)).await, []);
}

/// What somebody tries to do with a project.
#[derive(Clone, Copy, Debug)]
enum Deed {
    Ask(Act),
    Rename,
    Delete,
    ListMembers,
    AddMember,
    ChangeRole,
    RemoveMember,
    Leave,
    Invite,
    ListInvitations,
    Withdraw,
}

impl Deed {
    const ALL: [Self; 14] = [
        Self::Ask(Act::View),
        Self::Ask(Act::Push),
        Self::Ask(Act::Pull),
        Self::Ask(Act::Delete),
        Self::Rename,
        Self::Delete,
        Self::ListMembers,
        Self::AddMember,
        Self::ChangeRole,
        Self::RemoveMember,
        Self::Leave,
        Self::Invite,
        Self::ListInvitations,
        Self::Withdraw,
    ];

    fn act(self) -> Act {
        match self {
            Self::Ask(act) => act,
            Self::Rename => Act::Rename,
            Self::Delete => Act::Delete,
            Self::ListMembers => Act::ListMembers,
            Self::AddMember => Act::AddMember,
            Self::ChangeRole => Act::ChangeRole,
            Self::RemoveMember => Act::RemoveMember,
            Self::Leave => Act::Leave,
            Self::Invite | Self::ListInvitations | Self::Withdraw => Act::Invite,
        }
    }

    async fn done(self, store: &dyn Store, project: ProjectId, by: UserId, other: UserId) -> Ruled<()> {
        let now = later(3);
        match self {
            Self::Ask(act) => store.project(project, by, act).await.unwrap().map(drop),
            Self::Rename => {
                let change = ProjectChange { name: Some("Other".to_owned()), description: None };
                store.change_project(project, by, change, now).await.unwrap().map(drop)
            }
            Self::Delete => store.delete_project(project, by, now).await.unwrap(),
            Self::ListMembers => store.members(project, by).await.unwrap().map(drop),
            Self::AddMember => {
                let who = Who::Address(email("new"));
                store.add_member(project, by, who, Role::Reader, now).await.unwrap().map(drop)
            }
            Self::ChangeRole => store.change_role(project, by, other, Role::Writer).await.unwrap().map(drop),
            Self::RemoveMember => store.remove_member(project, by, other).await.unwrap().map(drop),
            Self::Leave => store.remove_member(project, by, by).await.unwrap().map(drop),
            Self::Invite => store.invite(invitation(project, by, "guest")).await.unwrap().map(drop),
            Self::ListInvitations => store.invitations(project, by).await.unwrap().map(drop),
            Self::Withdraw => store.withdraw_invitation(project, by, InvitationId::new(999)).await.unwrap().map(drop),
        }
    }
}

/// Every role, nobody and a disabled user, with every method, in a project that is there, that was deleted, and that
/// never was: what `core` says of each, and what was refused changed nothing.
pub async fn each_may_do_what_the_table_says(store: &dyn Store) {
    let (ann, sam, tom) = (add_user(store, "ann").await, add_user(store, "sam").await, add_user(store, "tom").await);
    let mut id = 0;
    let tested: std::collections::HashSet<Act> = Deed::ALL.map(Deed::act).into();
    assert_eq!(tested.len(), Act::ALL.len(), "no act is left out");
    for deed in Deed::ALL {
        for role in [None, Some(Role::Reader), Some(Role::Writer), Some(Role::Owner)] {
            for is_deleted in [false, true] {
                id += 1;
                let project = add_project(store, id, ann).await;
                join(store, project, ann, tom, Role::Reader).await;
                if let Some(role) = role {
                    join(store, project, ann, sam, role).await;
                }
                if is_deleted {
                    store.delete_project(project, ann, later(2)).await.unwrap().unwrap();
                }
                let before = overview(store, project).await;
                let found = deed.done(store, project, sam, tom).await;
                let case = format!("{role:?} {deed:?} deleted: {is_deleted}");
                assert_eq!(found, allows(role, is_deleted, deed.act()).map(drop), "{case}");
                let is_the_same = overview(store, project).await == before;
                assert!(found.is_ok() || is_the_same, "{case}");
            }
        }
        let nowhere = ProjectId::new(999_999);
        assert_eq!(deed.done(store, nowhere, sam, tom).await, Err(Refusal::NotMember), "{deed:?}");
    }
    let project = add_project(store, 500_000, sam).await;
    join(store, project, sam, tom, Role::Owner).await;
    disable(store, "sam").await;
    for deed in Deed::ALL {
        assert_eq!(deed.done(store, project, sam, tom).await, Err(Refusal::NotMember), "{deed:?}");
    }
    assert_eq!(roles(store, project, tom).await, [(sam, Role::Owner), (tom, Role::Owner)], "he stays in lists");
}

async fn overview(store: &dyn Store, project: ProjectId) -> impl PartialEq + use<> {
    store.all_projects().await.unwrap().into_iter().find(|one| one.project.id == project)
}

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

/// A deleted project is gone for its members, and can be brought back for a while, as it was.
pub async fn a_deleted_project_comes_back(store: &dyn Store) {
    let ann = add_user(store, "ann").await;
    let project = add_project(store, 1, ann).await;
    let restore = async |id, since| store.restore_project(ProjectId::new(id), since, later(20)).await.unwrap();
    assert_eq!(restore(1, NOW).await, Restored::NotDeleted);
    assert_eq!(restore(2, NOW).await, Restored::Unknown);
    assert_eq!(store.delete_project(project, ann, later(10)).await.unwrap(), Ok(()));
    assert_eq!(store.project(project, ann, Act::View).await.unwrap(), Err(Refusal::Deleted));
    assert!(!store.remove_project(project, later(11)).await.unwrap(), "it is deleted already");
    assert!(!store.remove_project(ProjectId::new(2), later(11)).await.unwrap());
    let [one] = store.all_projects().await.unwrap().try_into().unwrap();
    assert_eq!((one.project.deleted_at, one.project.updated_at), (Some(later(10)), later(10)));
    assert_eq!(restore(1, later(11)).await, Restored::TooLate);
    assert_eq!(restore(1, later(10)).await, Restored::Done);
    let back = store.project(project, ann, Act::View).await.unwrap().unwrap();
    assert_eq!((back.deleted_at, back.updated_at, back.slug.as_str()), (None, later(20), "p1"));
    assert!(store.remove_project(project, later(30)).await.unwrap(), "by the server's owner");
    assert_eq!(store.project(project, ann, Act::View).await.unwrap(), Err(Refusal::Deleted));
    assert_eq!(store.add_project(new_project(3, ann, "p1")).await.unwrap().unwrap().slug, "p1-2");
}

/// Writes a note to a log.
///
/// # Panics
/// When the store fails.
pub async fn write_note(store: &dyn Store, space: SpaceAddress, note: &str) {
    let request = Exchange {
        space,
        replica: ReplicaName::parse("phone").unwrap(),
        presented: None,
        writes: vec![put(note, &Note::new("1", "1"), NOW.to_instant())],
        refused: Vec::new(),
        policy: Arc::new(Notes),
        now: NOW,
        page_bytes_max: 1_000_000,
        delivery_overhead_bytes: 10,
    };
    store.exchange(request).await.unwrap();
}

/// Each project has a log of its own, and the server's owner sees how long it is.
pub async fn each_project_has_a_log_of_its_own(store: &dyn Store) {
    let (ann, bob) = (add_user(store, "ann").await, add_user(store, "bob").await);
    let (first, second) = (add_project(store, 1, ann).await, add_project(store, 2, ann).await);
    join(store, second, ann, bob, Role::Reader).await;
    let space = async |project| store.project(project, ann, Act::Push).await.unwrap().unwrap().space();
    let spaces = [space(first).await, space(second).await];
    write_note(store, spaces[0], "a").await;
    write_note(store, spaces[0], "b").await;
    write_note(store, spaces[1], "c").await;
    let heads = store.heads(&[spaces[1], spaces[0]]).await.unwrap();
    // Each note brings its home along.
    assert_eq!(heads.iter().map(|head| head.get()).collect::<Vec<_>>(), [2, 4]);
    store.delete_project(second, ann, later(5)).await.unwrap().unwrap();
    let all = store.all_projects().await.unwrap();
    let shown: Vec<_> = all.iter().map(|one| (one.project.id.get(), one.members, one.changes)).collect();
    assert_eq!(shown, [(1, 1, 4), (2, 2, 2)]);
}

/// An invitation is for whoever has the address, is answered once, and says who invited.
pub async fn invitations_are_answered_once(store: &dyn Store) {
    let (ann, bob) = (add_user(store, "ann").await, add_user(store, "bob").await);
    let cem = add_user(store, "cem").await;
    let project = add_project(store, 1, ann).await;
    let made = invite(
        store,
        NewInvitation { email: EmailAddress::parse("Bob@example.org").unwrap(), ..invitation(project, ann, "x") },
    )
    .await;
    let expected = Invitation {
        id: made.id,
        project,
        project_name: "Project 1".to_owned(),
        email: "Bob@example.org".to_owned(),
        role: Role::Writer,
        invited_by: ann,
        status: InvitationStatus::Pending,
        created_at: NOW,
        expires_at: NOW.plus(WEEK),
        accepted_at: None,
    };
    assert_eq!(made, expected);
    assert_eq!(store.invitations(project, ann).await.unwrap(), Ok(vec![expected.clone()]));
    assert_eq!(store.invitations_for(bob, NOW).await.unwrap(), std::slice::from_ref(&expected));
    assert_eq!(store.invitations_for(cem, NOW).await.unwrap(), []);
    let answer = async |id, user, accept| store.answer_invitation(id, user, accept, later(3)).await.unwrap();
    assert_eq!(answer(made.id, cem, true).await, Answered::Unknown, "it is another's");
    assert_eq!(answer(InvitationId::new(999), bob, true).await, Answered::Unknown);
    assert_eq!(store.invite(invitation(project, ann, "bob")).await.unwrap(), Ok(Invited::Already));
    assert_eq!(store.invite(invitation(project, ann, "ann")).await.unwrap(), Ok(Invited::Already));
    let member = Member {
        user: bob,
        email: Some("bob@example.org".to_owned()),
        role: Role::Writer,
        invited_by: Some(ann),
        created_at: later(3),
    };
    assert_eq!(answer(made.id, bob, true).await, Answered::Accepted { project: made.project, member: member.clone() });
    assert_eq!(answer(made.id, bob, true).await, Answered::Conflict);
    assert_eq!(answer(made.id, bob, false).await, Answered::Conflict);
    assert_eq!(store.members(project, bob).await.unwrap().unwrap()[1], member);
    assert_eq!(store.invitations_for(bob, NOW).await.unwrap(), []);
    let accepted = Invitation { status: InvitationStatus::Accepted, accepted_at: Some(later(3)), ..expected };
    assert_eq!(store.invitations(project, ann).await.unwrap(), Ok(vec![accepted]));
    assert_eq!(store.invite(invitation(project, ann, "bob")).await.unwrap(), Ok(Invited::Already), "he is a member");

    let to_cem = invite(store, invitation(project, ann, "cem")).await;
    assert_eq!(answer(to_cem.id, cem, false).await, Answered::Declined);
    assert_eq!(answer(to_cem.id, cem, true).await, Answered::Conflict);
    assert_eq!(roles(store, project, ann).await.len(), 2);
    // Who came in otherwise cannot accept any more, and may still decline.
    let again = invite(store, invitation(project, ann, "cem")).await;
    join(store, project, ann, cem, Role::Reader).await;
    assert_eq!(answer(again.id, cem, true).await, Answered::Conflict);
    assert_eq!(answer(again.id, cem, false).await, Answered::Declined);
    assert_eq!(roles(store, project, ann).await[1..], [(cem, Role::Reader), (bob, Role::Writer)]);
}

/// An invitation ends by itself, when it is taken back, and while its project is deleted; for a disabled user there is
/// none.
pub async fn invitations_end(store: &dyn Store) {
    let (ann, bob) = (add_user(store, "ann").await, add_user(store, "bob").await);
    let (first, second) = (add_project(store, 1, ann).await, add_project(store, 2, ann).await);
    let of_first = invite(store, invitation(first, ann, "bob")).await;
    let of_second = invite(store, invitation(second, ann, "bob")).await;
    let waiting = async |now| -> Vec<_> {
        store.invitations_for(bob, now).await.unwrap().into_iter().map(|invitation| invitation.id).collect()
    };
    assert_eq!(waiting(NOW).await, [of_first.id, of_second.id]);
    let end = NOW.plus(WEEK);
    assert_eq!(waiting(end).await, []);
    assert_eq!(store.answer_invitation(of_first.id, bob, true, end).await.unwrap(), Answered::Expired);
    let again = invite(store, NewInvitation { now: end, expires_at: end.plus(WEEK), ..invitation(first, ann, "bob") });
    assert_ne!(again.await.id, of_first.id, "one that ended is in nobody's way");

    store.delete_project(second, ann, later(1)).await.unwrap().unwrap();
    assert!(!waiting(NOW).await.contains(&of_second.id));
    assert_eq!(store.answer_invitation(of_second.id, bob, true, NOW).await.unwrap(), Answered::Unknown);
    assert_eq!(store.restore_project(second, NOW, later(2)).await.unwrap(), Restored::Done);
    let withdraw = async |project, id| store.withdraw_invitation(project, ann, id).await.unwrap().unwrap();
    assert!(!withdraw(first, of_second.id).await, "it is of the other project");
    assert!(withdraw(second, of_second.id).await);
    assert!(!withdraw(second, of_second.id).await);
    assert_eq!(store.answer_invitation(of_second.id, bob, true, NOW).await.unwrap(), Answered::Unknown);
    assert_eq!(store.invitations(second, ann).await.unwrap(), Ok(Vec::new()));
    let last = invite(store, invitation(second, ann, "bob")).await;
    assert!(last.id > of_second.id, "a number is given out once");
    disable(store, "bob").await;
    assert_eq!(store.answer_invitation(last.id, bob, true, NOW).await.unwrap(), Answered::Unknown);
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

/// A user belongs to so many projects and no more. Deleted ones count for as long as they can be brought back.
pub async fn projects_are_bounded(store: &dyn Store) {
    let (ann, bob) = (add_user(store, "ann").await, add_user(store, "bob").await);
    let new = |n: usize| new_project(i64::try_from(n).unwrap(), ann, &format!("p{n}"));
    for n in 1..=limits::PROJECTS_MAX {
        assert!(store.add_project(new(n)).await.unwrap().is_some(), "{n}");
    }
    let next = limits::PROJECTS_MAX + 1;
    assert_eq!(store.add_project(new(next)).await.unwrap(), None);
    let of_bob = add_project(store, 5_000, bob).await;
    let to_bob = async |who, now| store.add_member(of_bob, bob, who, Role::Reader, now).await.unwrap().unwrap();
    let add = async |now| to_bob(Who::Address(email("ann")), now).await;
    assert_eq!(add(NOW).await, MemberAdded::Full);
    let to_ann = invite(store, invitation(of_bob, bob, "ann")).await;
    assert_eq!(store.answer_invitation(to_ann.id, ann, true, NOW).await.unwrap(), Answered::Conflict);
    store.delete_project(ProjectId::new(1), ann, NOW).await.unwrap().unwrap();
    assert_eq!(store.add_project(new(next)).await.unwrap(), None);
    let much_later = NOW.plus(limits::PROJECT_KEPT).plus(Duration::from_secs(1));
    assert!(store.add_project(NewProject { now: much_later, ..new(next) }).await.unwrap().is_some());
    assert_eq!(add(much_later).await, MemberAdded::Full);
}

/// So many invitations of a project wait and no more; those that were answered make room.
pub async fn invitations_are_bounded(store: &dyn Store) {
    let (ann, bob) = (add_user(store, "ann").await, add_user(store, "bob").await);
    let project = add_project(store, 1, ann).await;
    let declined = invite(store, invitation(project, ann, "bob")).await;
    assert_eq!(store.answer_invitation(declined.id, bob, false, NOW).await.unwrap(), Answered::Declined);
    let ended = NewInvitation { expires_at: NOW, ..invitation(project, ann, "cem") };
    invite(store, ended).await;
    let to = |n: usize| invitation(project, ann, &format!("m{n}"));
    for n in 1..limits::INVITATIONS_MAX {
        invite(store, to(n)).await;
    }
    let all = async || store.invitations(project, ann).await.unwrap().unwrap();
    assert_eq!(all().await.len(), limits::INVITATIONS_MAX);
    assert_eq!(all().await[0].email, "cem@example.org", "the oldest that does not wait went first");
    invite(store, to(limits::INVITATIONS_MAX)).await;
    assert_eq!(all().await.len(), limits::INVITATIONS_MAX);
    assert_eq!(all().await[0].email, "m1@example.org");
    assert_eq!(store.invite(to(0)).await.unwrap(), Ok(Invited::Full));
    assert_eq!(store.invite(to(1)).await.unwrap(), Ok(Invited::Already));
}

/// How often each race is run.
const ROUNDS: i64 = 8;

/// Two owners who make each other less at once: one of them stays what he is.
pub async fn two_owners_demote_each_other([one, two]: [&dyn Store; 2]) {
    let (ann, bob) = (add_user(one, "ann").await, add_user(one, "bob").await);
    for id in 1..=ROUNDS {
        let project = add_project(one, id, ann).await;
        join(one, project, ann, bob, Role::Owner).await;
        let (of_ann, of_bob) = tokio::join!(
            one.change_role(project, ann, bob, Role::Reader),
            two.change_role(project, bob, ann, Role::Reader)
        );
        let mut answers = [of_ann.unwrap(), of_bob.unwrap()];
        answers.sort_by_key(Result::is_ok);
        let lacks = Refusal::Lacks { have: Role::Reader, need: Role::Owner };
        assert_eq!(answers, [Err(lacks), Ok(MemberChanged::Done)]);
        let owners = roles(one, project, ann).await.into_iter().filter(|(_, role)| *role == Role::Owner);
        assert_eq!(owners.count(), 1);
    }
}

/// Two owners who leave at once: one of them stays.
pub async fn two_owners_leave_at_once([one, two]: [&dyn Store; 2]) {
    let (ann, bob) = (add_user(one, "ann").await, add_user(one, "bob").await);
    for id in 1..=ROUNDS {
        let project = add_project(one, id, ann).await;
        join(one, project, ann, bob, Role::Owner).await;
        let (of_ann, of_bob) = tokio::join!(one.remove_member(project, ann, ann), two.remove_member(project, bob, bob));
        let answers = [of_ann.unwrap().unwrap(), of_bob.unwrap().unwrap()];
        assert!(answers.contains(&MemberChanged::Done), "{answers:?}");
        assert!(answers.contains(&MemberChanged::LastOwner), "{answers:?}");
    }
}

/// An unknown address that is added to two projects at once, and twice to one: one account, a member once.
pub async fn an_address_is_added_twice_at_once([one, two]: [&dyn Store; 2]) {
    let (ann, bob) = (add_user(one, "ann").await, add_user(one, "bob").await);
    for n in 1..=ROUNDS {
        let (of_ann, of_bob) = (add_project(one, 2 * n, ann).await, add_project(one, 2 * n + 1, bob).await);
        let who = || Who::Address(email(&format!("new{n}")));
        let add = async |store: &dyn Store, project, by| {
            store.add_member(project, by, who(), Role::Reader, NOW).await.unwrap().unwrap()
        };
        let (first, again, other) = tokio::join!(add(one, of_ann, ann), add(two, of_ann, ann), add(two, of_bob, bob));
        let added: Vec<UserId> = [&first, &again, &other]
            .into_iter()
            .filter_map(|added| if let MemberAdded::Added(member) = added { Some(member.user) } else { None })
            .collect();
        assert_eq!(added.len(), 2, "{first:?} {again:?} {other:?}");
        assert_eq!(added[0], added[1]);
        assert!([first, again].contains(&MemberAdded::AlreadyMember));
    }
    assert_eq!(one.users().await.unwrap().len(), 2 + usize::try_from(ROUNDS).unwrap());
}

/// Two who add each other at once, each to a project of his own: both come in.
pub async fn two_add_each_other_at_once([one, two]: [&dyn Store; 2]) {
    let (ann, bob) = (add_user(one, "ann").await, add_user(one, "bob").await);
    for n in 1..=2 {
        let (of_ann, of_bob) = (add_project(one, 2 * n, ann).await, add_project(one, 2 * n + 1, bob).await);
        tokio::join!(join(one, of_ann, ann, bob, Role::Reader), join(two, of_bob, bob, ann, Role::Reader));
    }
}

/// Two projects of one creator that are made at once have two slugs.
pub async fn slugs_made_at_once_differ([one, two]: [&dyn Store; 2]) {
    let ann = add_user(one, "ann").await;
    for n in 1..=ROUNDS {
        let slug = format!("app{n}");
        let (first, second) = tokio::join!(
            one.add_project(new_project(2 * n, ann, &slug)),
            two.add_project(new_project(2 * n + 1, ann, &slug))
        );
        let mut slugs = [first.unwrap().unwrap().slug, second.unwrap().unwrap().slug];
        slugs.sort();
        assert_eq!(slugs, [slug.clone(), format!("{slug}-2")]);
    }
}

/// An invitation that is accepted twice at once makes one member.
pub async fn an_invitation_is_accepted_twice_at_once([one, two]: [&dyn Store; 2]) {
    let (ann, bob) = (add_user(one, "ann").await, add_user(one, "bob").await);
    for id in 1..=ROUNDS {
        let project = add_project(one, id, ann).await;
        let to_bob = invite(one, invitation(project, ann, "bob")).await.id;
        let (first, second) =
            tokio::join!(one.answer_invitation(to_bob, bob, true, NOW), two.answer_invitation(to_bob, bob, true, NOW));
        let answers = [first.unwrap(), second.unwrap()];
        assert!(answers.contains(&Answered::Conflict), "{answers:?}");
        assert!(answers.iter().any(|answer| matches!(answer, Answered::Accepted { .. })), "{answers:?}");
    }
}
