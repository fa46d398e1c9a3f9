//! Who of a group may append: decided under the lock of the space.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use sqlx::Row as _;
use sqlx::postgres::PgConnection;
use tombolo_core::{ProjectId, Refusal, Role, Seq, SpaceId, UserId};

use super::super::connection::failed;
use super::super::statement::Statement;
use super::int_at;
use super::locked::{Locked, Target};
use crate::columns::{int, seq_of};
use crate::entries::Standing;
use crate::entries::plan::is_outdated;
use crate::{Append, Guard, NotAppended, StoreError};

/// What decides it.
pub(super) enum Admitted {
    /// How members stand to their project.
    Members(BTreeMap<UserId, Standing>),
    /// Whose rules hold.
    Ruled {
        /// Users who are not disabled.
        enabled: BTreeSet<UserId>,
        /// The last ruling, the group's own included.
        in_force: Seq,
    },
}

impl Admitted {
    /// Reads it, and locks what says so until the transaction ends: whoever is removed or disabled has appended before
    /// that, or not at all.
    pub(super) async fn read(
        connection: &mut PgConnection,
        target: Target,
        locked: &Locked,
        jobs: &[Arc<Append>],
    ) -> Result<Self, StoreError> {
        let users: BTreeSet<i64> = jobs.iter().map(|job| Target::of(job).1.get()).collect();
        let users = users.into_iter().collect();
        match target {
            Target::Project(project) => standings(connection, project, locked, users).await.map(Self::Members),
            Target::Ruled(_) => enabled(connection, locked.space, users).await,
        }
    }

    /// Whether a request of the group may append; nothing else of it was looked at.
    pub(super) fn admit(&self, job: &Append) -> Result<(), NotAppended> {
        match (self, job.guard) {
            (Self::Members(standings), Guard::Member { user, .. }) => {
                Standing::admit(standings.get(&user).copied()).map(drop).map_err(NotAppended::from)
            }
            (Self::Ruled { enabled, in_force }, Guard::Rules { user, ruling, .. }) => {
                if !enabled.contains(&user) {
                    return Err(Refusal::NotMember.into());
                }
                if is_outdated(ruling, *in_force) { Err(NotAppended::Outdated) } else { Ok(()) }
            }
            // Who waits in a line was put there by its guard.
            _ => Err(Refusal::NotMember.into()),
        }
    }

    /// Notes a ruling of the group: whoever was judged before it is outdated.
    pub(super) fn ruled(&mut self, seq: Seq) {
        if let Self::Ruled { in_force, .. } = self {
            *in_force = seq;
        }
    }
}

/// How those who append stand to the project, as far as they belong to it; the project is locked first, as whoever
/// changes its members does.
async fn standings(
    connection: &mut PgConnection,
    project: ProjectId,
    locked: &Locked,
    users: Vec<i64>,
) -> Result<BTreeMap<UserId, Standing>, StoreError> {
    let mut statement = Statement::default();
    let (id, users) = (statement.bind(project.get())?, statement.bind(users)?);
    statement.push(&format!(
        "WITH p AS MATERIALIZED (SELECT id, deleted_at IS NOT NULL AS is_deleted FROM projects
             WHERE id = {id} FOR SHARE)
         SELECT m.user_id, m.role, p.is_deleted FROM p CROSS JOIN unnest({users}) n(id)
         CROSS JOIN LATERAL (SELECT * FROM memberships k WHERE k.project = p.id AND k.user_id = n.id FOR SHARE) m
         CROSS JOIN LATERAL (SELECT FROM users k WHERE k.id = n.id AND k.disabled_at IS NULL FOR SHARE) u"
    ));
    let rows = statement.rows(connection, |row| {
        let role: &str = row.try_get(1).map_err(failed)?;
        let role = Role::parse(role).map_err(|_| StoreError::Corrupt("a member's role is none".to_owned()))?;
        let is_deleted = row.try_get(2).map_err(failed)?;
        Ok((UserId::new(int_at(&row, 0)?), Standing { space: locked.address, is_deleted, role: Some(role) }))
    });
    Ok(rows.await?.into_iter().collect())
}

/// Which of the users are enabled, and the last ruling: this begins after the space was locked, so it sees whatever was
/// ruled before, and nothing is ruled until the transaction ends.
async fn enabled(connection: &mut PgConnection, space: SpaceId, users: Vec<i64>) -> Result<Admitted, StoreError> {
    let mut statement = Statement::default();
    let (id, users) = (statement.bind(space.get())?, statement.bind(users)?);
    statement.push(&format!(
        "SELECT r.seq, u.id FROM (SELECT coalesce(max(seq), {zero}) AS seq FROM rulings WHERE space = {id}) r
         CROSS JOIN unnest({users}) n(id)
         CROSS JOIN LATERAL (SELECT k.id FROM users k WHERE k.id = n.id AND k.disabled_at IS NULL FOR SHARE) u",
        zero = int(Seq::ZERO)
    ));
    let rows = statement.rows(connection, |row| {
        let ruling =
            seq_of(int_at(&row, 0)?).ok_or_else(|| StoreError::Corrupt("a ruling's place is negative".to_owned()));
        Ok((ruling?, UserId::new(int_at(&row, 1)?)))
    });
    let rows = rows.await?;
    let in_force = rows.first().map_or(Seq::ZERO, |(ruling, _)| *ruling);
    Ok(Admitted::Ruled { enabled: rows.into_iter().map(|(_, user)| user).collect(), in_force })
}
