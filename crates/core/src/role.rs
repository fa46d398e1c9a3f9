//! Who may do what in a project that several people share: one table.

use std::fmt;

/// What a member is in a project. Each may do what those before it may.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Role {
    /// Reads.
    Reader,
    /// Reads and writes.
    Writer,
    /// Does everything, and decides who belongs to it.
    Owner,
}

/// A text that names no role.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("a role is owner, writer or reader")]
pub struct UnknownRole;

impl Role {
    /// All roles, the least first.
    pub const ALL: [Self; 3] = [Self::Reader, Self::Writer, Self::Owner];

    /// The role spelt `text`.
    ///
    /// # Errors
    /// [`UnknownRole`] names those that are known.
    pub fn parse(text: &str) -> Result<Self, UnknownRole> {
        Self::ALL.into_iter().find(|role| role.as_str() == text).ok_or(UnknownRole)
    }

    /// Its name, as typed and stored.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Reader => "reader",
            Self::Writer => "writer",
            Self::Owner => "owner",
        }
    }
}

impl fmt::Display for Role {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// What can be done with a project.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Act {
    /// See the project's name and description.
    View,
    /// Change them.
    Rename,
    /// Delete the project.
    Delete,
    /// See who belongs to it.
    ListMembers,
    /// Add a member.
    AddMember,
    /// Change a member's role.
    ChangeRole,
    /// Remove somebody else.
    RemoveMember,
    /// Remove oneself.
    Leave,
    /// Invite, list invitations, and take them back.
    Invite,
    /// Write to the log.
    Push,
    /// Read the log, or what is said of it.
    Pull,
}

impl Act {
    /// All of them.
    pub const ALL: [Self; 11] = [
        Self::View,
        Self::Rename,
        Self::Delete,
        Self::ListMembers,
        Self::AddMember,
        Self::ChangeRole,
        Self::RemoveMember,
        Self::Leave,
        Self::Invite,
        Self::Push,
        Self::Pull,
    ];

    /// The least role that may do it: the one place where this is decided.
    #[must_use]
    pub const fn least_role(self) -> Role {
        match self {
            Self::View | Self::ListMembers | Self::Leave | Self::Pull => Role::Reader,
            Self::Rename | Self::Push => Role::Writer,
            Self::Delete | Self::AddMember | Self::ChangeRole | Self::RemoveMember | Self::Invite => Role::Owner,
        }
    }
}

/// Why somebody may not do something with a project.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Refusal {
    /// He does not belong to it, or there is no such project: the two look alike.
    NotMember,
    /// It was deleted. Only its members learn that.
    Deleted,
    /// His role does not suffice.
    Lacks {
        /// His role.
        have: Role,
        /// The least that would do.
        need: Role,
    },
}

/// Decides whether somebody may do something.
///
/// `role` is his in the project, `None` when he has none or there is no such project.
///
/// # Errors
/// [`Refusal`] says why not.
pub fn allows(role: Option<Role>, is_deleted: bool, act: Act) -> Result<Role, Refusal> {
    let have = role.ok_or(Refusal::NotMember)?;
    if is_deleted {
        return Err(Refusal::Deleted);
    }
    let need = act.least_role();
    if have >= need { Ok(have) } else { Err(Refusal::Lacks { have, need }) }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The whole table, so that a change of it is seen: may a reader, a writer, an owner do it?
    #[test]
    fn who_may_do_what() {
        let table = [
            (Act::View, [true, true, true]),
            (Act::Rename, [false, true, true]),
            (Act::Delete, [false, false, true]),
            (Act::ListMembers, [true, true, true]),
            (Act::AddMember, [false, false, true]),
            (Act::ChangeRole, [false, false, true]),
            (Act::RemoveMember, [false, false, true]),
            (Act::Leave, [true, true, true]),
            (Act::Invite, [false, false, true]),
            (Act::Push, [false, true, true]),
            (Act::Pull, [true, true, true]),
        ];
        assert_eq!(table.map(|(act, _)| act), Act::ALL);
        for (act, expected) in table {
            for (role, expected) in Role::ALL.into_iter().zip(expected) {
                assert_eq!(allows(Some(role), false, act).is_ok(), expected, "{role} {act:?}");
                assert_eq!(allows(Some(role), true, act), Err(Refusal::Deleted), "{role} {act:?}");
            }
            assert_eq!(allows(None, false, act), Err(Refusal::NotMember), "{act:?}");
            assert_eq!(allows(None, true, act), Err(Refusal::NotMember), "{act:?}");
        }
        let lacks = Refusal::Lacks { have: Role::Reader, need: Role::Writer };
        assert_eq!(allows(Some(Role::Reader), false, Act::Push), Err(lacks));
    }

    #[test]
    fn roles_are_read_and_written() {
        for role in Role::ALL {
            assert_eq!(Role::parse(role.as_str()), Ok(role));
        }
        for text in ["", "Owner", "admin", "owner "] {
            assert_eq!(Role::parse(text), Err(UnknownRole), "{text:?}");
        }
    }
}
