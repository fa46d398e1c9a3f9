//! Who is asked to belong to a project.

use tombolo_core::{EmailAddress, InvitationId, Role, limits};
use tombolo_storage::{Answered, Invitation, InvitationStatus, Invited, Member, NewInvitation, Restored, Store};

use super::{NOW, WEEK, add_project, add_user, disable, invitation, invite, join, later, roles};

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
