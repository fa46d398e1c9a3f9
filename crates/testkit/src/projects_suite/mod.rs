//! What every store's projects must do. Each function is one case on an empty store; those of two nodes get the same
//! store twice where there is only one.

#![expect(clippy::unwrap_used, reason = "a test that panics has failed, which is what it is for")]

mod invitations;
mod members;
mod races;
mod roles;

use std::sync::Arc;
use std::time::Duration;

use tombolo_core::{
    Act, EmailAddress, Name, ProjectId, Purpose, Refusal, ReplicaName, Role, ServerTime, UserId, limits,
};
use tombolo_storage::{
    Added, Answered, Exchange, Invitation, Invited, Member, MemberAdded, NewInvitation, NewProject, Project,
    ProjectChange, Restored, SpaceAddress, Store, Who,
};

use crate::notes::{Note, Notes, put};

pub use self::invitations::*;
pub use self::members::*;
pub use self::races::*;
pub use self::roles::*;

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
