//! What a user who is deleted shared with others.

use tombolo_core::{ProjectId, Role, Seq, UserId};
use tombolo_storage::{
    Append, Guard, InvitationStatus, Invited, NewEntry, NewInvitation, PageBounds, Restored, SpaceAddress, Store,
    UserDeleted,
};

use super::{add_user, delete, later};
use crate::projects_suite::{add_project, email, join, write_note};
use crate::team::{ALL, entry};

async fn push(store: &dyn Store, project: ProjectId, by: UserId, what: &str) {
    let guard = Guard::Member { project, user: by };
    let entries: Vec<NewEntry> = vec![entry(what)];
    let append = Append { guard, entries, weights: Vec::new(), is_same: None, now: later(2) };
    store.append(append).await.unwrap().unwrap();
}

async fn invite(store: &dyn Store, project: ProjectId, by: UserId, to: &str) {
    let new =
        NewInvitation { project, email: email(to), role: Role::Writer, by, now: later(0), expires_at: later(1_000) };
    assert!(matches!(store.invite(new).await.unwrap().unwrap(), Invited::Made(_)));
}

async fn log(store: &dyn Store, space: SpaceAddress) -> usize {
    const BOUNDS: PageBounds = ALL;
    store.entries(space, Seq::ZERO, BOUNDS).await.unwrap().entries.len()
}

async fn space_of(store: &dyn Store, project: ProjectId) -> Option<SpaceAddress> {
    let all = store.all_projects().await.unwrap();
    all.into_iter().find(|one| one.project.id == project).map(|one| one.project.space())
}

/// The last owner of projects stays until each has another: nothing is changed, and he is told which they are.
pub async fn the_last_owner_is_not_deleted(store: &dyn Store) {
    let (ann, bob) = (add_user(store, "ann").await, add_user(store, "bob").await);
    let cleo = add_user(store, "cleo").await;
    let [first, second, third] =
        [add_project(store, 1, ann).await, add_project(store, 2, ann).await, add_project(store, 3, bob).await];
    join(store, first, ann, bob, Role::Writer).await;
    join(store, second, ann, bob, Role::Owner).await;
    join(store, third, bob, ann, Role::Owner).await;
    super::bring(store, super::diary(ann), "phone", &["a"]).await;
    assert_eq!(delete(store, "ann").await, UserDeleted::LastOwner(vec!["Project 1".to_owned()]));
    assert_eq!(super::all(store, super::diary(ann), "phone").await.len(), 1, "nothing was changed");
    // One who is disabled does not count, nor one who may only write.
    assert!(store.disable_user(&super::name("bob"), later(5)).await.unwrap());
    let expected = ["Project 1", "Project 2", "Project 3"].map(str::to_owned).to_vec();
    assert_eq!(delete(store, "ann").await, UserDeleted::LastOwner(expected));
    assert_eq!(store.members(first, ann).await.unwrap().unwrap().len(), 2);
    for project in [first, second, third] {
        join(store, project, ann, cleo, Role::Owner).await;
    }
    assert_eq!(delete(store, "ann").await, UserDeleted::Gone);
    for project in [first, second, third] {
        let owners = store.members(project, cleo).await.unwrap().unwrap();
        assert!(owners.iter().all(|member| member.user != ann), "{project}");
    }
}

/// A project that somebody else owns stays whole, whoever made it, and goes on; only he is gone from it.
pub async fn a_project_with_another_owner_stays(store: &dyn Store) {
    let (ann, bob) = (add_user(store, "ann").await, add_user(store, "bob").await);
    let project = add_project(store, 1, ann).await;
    let quiet = add_project(store, 2, ann).await;
    join(store, project, ann, bob, Role::Owner).await;
    join(store, quiet, ann, bob, Role::Owner).await;
    push(store, project, ann, "of ann").await;
    push(store, project, bob, "of bob").await;
    let space = space_of(store, project).await.unwrap();
    assert_eq!(delete(store, "ann").await, UserDeleted::Gone);
    assert_eq!(log(store, space).await, 2);
    push(store, project, bob, "more").await;
    assert_eq!(log(store, space).await, 3);
    // Its log begins only now.
    push(store, quiet, bob, "first").await;
    assert_eq!(log(store, space_of(store, quiet).await.unwrap()).await, 1);
    let members = store.members(project, bob).await.unwrap().unwrap();
    assert_eq!(members.iter().map(|member| (member.user, member.role)).collect::<Vec<_>>(), [(bob, Role::Owner)]);
    assert_eq!(store.projects_of(ann).await.unwrap(), []);
    // Whoever is called so next does not belong to it.
    let other = add_user(store, "ann").await;
    assert_eq!(store.projects_of(other).await.unwrap(), []);
    assert!(store.project(project, other, tombolo_core::Act::View).await.unwrap().is_err());
}

/// A deleted project that nobody else owns cannot be brought back, and its log is gone, with the accounts that were there
/// for it only.
pub async fn a_deleted_project_of_his_goes_with_him(store: &dyn Store) {
    let (ann, bob) = (add_user(store, "ann").await, add_user(store, "bob").await);
    let [own, shared, of_bob] =
        [add_project(store, 1, ann).await, add_project(store, 2, ann).await, add_project(store, 3, bob).await];
    join(store, own, ann, bob, Role::Writer).await;
    join(store, shared, ann, bob, Role::Owner).await;
    join(store, of_bob, bob, ann, Role::Owner).await;
    store.remove_member(of_bob, bob, bob).await.unwrap().unwrap();
    invite(store, own, ann, "guest").await;
    assert_eq!(store.users().await.unwrap().len(), 3, "one is pending");
    for project in [own, shared, of_bob] {
        push(store, project, ann, "text").await;
    }
    let spaces = [space_of(store, own).await.unwrap(), space_of(store, of_bob).await.unwrap()];
    for project in [own, shared, of_bob] {
        store.delete_project(project, ann, later(3)).await.unwrap().unwrap();
    }
    assert_eq!(delete(store, "ann").await, UserDeleted::Gone);
    for space in spaces {
        assert_eq!(log(store, space).await, 0);
    }
    let left: Vec<_> = store.all_projects().await.unwrap().into_iter().map(|one| one.project.id).collect();
    assert_eq!(left, [shared]);
    assert_eq!(store.restore_project(own, later(0), later(9)).await.unwrap(), Restored::Unknown);
    assert_eq!(store.restore_project(shared, later(0), later(9)).await.unwrap(), Restored::Done);
    let names: Vec<_> = store.users().await.unwrap().into_iter().map(|user| user.name.to_string()).collect();
    assert_eq!(names, ["bob"], "nobody waits for the guest any more");
}

/// Invitations to his address go; those that he made to others stay.
pub async fn invitations_to_him_go(store: &dyn Store) {
    let (ann, bob) = (add_user(store, "ann").await, add_user(store, "bob").await);
    let project = add_project(store, 1, bob).await;
    let other = add_project(store, 2, bob).await;
    join(store, project, bob, ann, Role::Owner).await;
    invite(store, other, bob, "ann").await;
    invite(store, project, ann, "guest").await;
    assert_eq!(delete(store, "ann").await, UserDeleted::Gone);
    assert_eq!(store.invitations(other, bob).await.unwrap().unwrap(), []);
    let [stays] = store.invitations(project, bob).await.unwrap().unwrap().try_into().unwrap();
    assert_eq!((stays.status, stays.invited_by), (InvitationStatus::Pending, ann));
    let again = add_user(store, "ann").await;
    assert_eq!(store.invitations_for(again, later(9)).await.unwrap(), []);
}

/// Everything is whole afterwards.
pub async fn a_store_is_whole_after_erasing(store: &dyn Store) {
    let users = super::two_diaries(store, ["of-ann", "of-bob"], 20).await;
    let project = add_project(store, 1, users[0]).await;
    join(store, project, users[0], users[1], Role::Owner).await;
    write_note(store, space_of(store, project).await.unwrap(), "a").await;
    super::erase_diary(store, users[1]).await;
    assert_eq!(delete(store, "ann").await, UserDeleted::Gone);
    let report = store.check(Vec::new(), Box::new(|_, _| {})).await.unwrap();
    assert_eq!(report.faults, Vec::<String>::new());
}
