//! What is erased at the wish of whom it is about.

use tombolo_core::{Name, Purpose, ServerTime, UserId};

use crate::{Reply, SpaceAddress};

/// Logs of one user and one purpose of which it is remembered one by one that they were erased, the newest: whoever erases
/// again and again must not fill the disk with that. Once there are as many, a cursor of this database is taken to be of
/// one of his that was erased if its log has a lower number than these and is none that there is: it may have been another
/// user's, whose device is told with that to stop as well.
pub(crate) const ERASED_KEPT: usize = 100;

/// The protocols whose logs each belong to one person. They go with him, and no new one is begun for him afterwards.
pub(crate) const ONE_PERSONS: [Purpose; 3] = [Purpose::Tickit, Purpose::Rooms, Purpose::Wellbeing];

/// What a user is called who was deleted: what nobody else can be called, since no name begins with a space.
pub(crate) fn name_of_deleted(user: UserId) -> String {
    format!(" deleted-{user}")
}

/// What became of a user who was to be deleted.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum UserDeleted {
    /// He is gone, with his keys and the logs that were his alone.
    Gone,
    /// There is no such user.
    Unknown,
    /// Nothing was changed: he is the last owner of these projects, by name.
    LastOwner(Vec<String>),
}

/// Erasing.
///
/// # Contract
/// When a method returns `Ok`, what it erased is gone from the database, history included, and, where the store keeps a
/// file, from that file and its log of writes. Copies that others made (backups) are not reached.
pub trait Erasure: Send + Sync {
    /// Erases a log with everything that belongs to it: its changes, records, replicas, and what was refused of them. A
    /// cursor of it is [`crate::Stale::Erased`] from then on. `false` when there was none, which is no fault.
    ///
    /// # Errors
    /// [`StoreError::Busy`](crate::StoreError::Busy) while the database is being moved, or when what is left of the log in
    /// the file could not be overwritten yet. After any failure it is asked again: what was begun is then finished.
    fn erase_space(&self, space: SpaceAddress, now: ServerTime) -> Reply<'_, bool>;

    /// Deletes a user: his keys, sessions and sign-ins, his memberships and invitations, and the logs that are his
    /// alone. Deleted projects that have no other owner go too, so that nobody brings them back. What he wrote to logs that
    /// others share stays in them, under his number, or the subject that he had there: that one stays taken, so that
    /// nobody else is taken for him. The name and the e-mail address are free again.
    ///
    /// # Errors
    /// As for [`Self::erase_space`].
    fn delete_user<'a>(&'a self, name: &'a Name, now: ServerTime) -> Reply<'a, UserDeleted>;
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nobody_can_be_called_as_one_who_was_deleted() {
        assert!(Name::parse(&name_of_deleted(UserId::new(7))).is_err());
    }
}
