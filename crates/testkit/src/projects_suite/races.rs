//! What two nodes do to one project at once.

use tombolo_core::{Refusal, Role, UserId};
use tombolo_storage::{Answered, MemberAdded, MemberChanged, Store, Who};

use super::{NOW, add_project, add_user, email, invitation, invite, join, new_project, roles};

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
