//! Who may do what with a project.

use tombolo_core::{Act, InvitationId, ProjectId, Refusal, Role, UserId, allows};
use tombolo_storage::{ProjectChange, Ruled, Store, Who};

use super::{add_project, add_user, disable, email, invitation, join, later, roles};

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
