//! Rooms in PostgreSQL.
//!
//! A document is stored as an exchange is: decided on what was read, and written in one statement if the space is still
//! at the version that was read. So no lock is held while a large text is on its way. Whoever opens a room locks its row
//! against its end, and against nothing else; whoever puts off the end of leases, or gives them back, against others who
//! do so too; who ends rooms locks the rows of the space and of the room, in this order, waits for neither, and looks
//! again at what he was told before.

mod documents;
mod ending;
mod leases;
mod storing;

use sqlx::postgres::{PgConnection, PgRow};
use sqlx::{AssertSqlSafe, Connection as _, Row as _};
use tokio::time::timeout;
use tombolo_core::{LeaseId, NodeId, RoomCode, Seq, ServerTime, SpaceId, SpaceNumber, UserId};

use super::connection::{WAIT_FOR_DISK, acquire, failed};
use super::pending::without_zero;
use super::people::lock_users;
use super::statement::Statement;
use super::tries::{ATTEMPT_MAX, LOCKED_SETTINGS, Lane, REQUEST_MAX, Retries, Try};
use super::{Postgres, is_deleted};
use crate::columns::{peer_of, room_code_of, room_id_of, seq_of};
use crate::{
    Document, DocumentPut, DocumentStored, IdleRooms, Lease, NewRoom, OpenedRoom, Reply, Room, RoomAdded, RoomOverview,
    Rooms, SpaceAddress, StoreError, Version,
};

type Done<T> = Result<T, StoreError>;

/// What [`read_room`] reads, of a room `r` and its space `s`.
const COLUMNS: &str = "r.space, s.owner, s.number, r.code, r.id, r.host, r.created_at";
/// How many they are.
const COLUMN_COUNT: usize = 7;

impl Rooms for Postgres {
    fn add_room(&self, new: NewRoom) -> Reply<'_, RoomAdded> {
        Box::pin(self.change_rooms(async move |connection| add(connection, &new).await))
    }

    fn room<'a>(&'a self, owner: UserId, code: &'a RoomCode) -> Reply<'a, Option<(Room, Vec<NodeId>)>> {
        self.note_call();
        Box::pin(self.look_at(async move |connection| {
            let Some((space, room)) = find(connection, owner, code, "").await? else { return Ok(None) };
            Ok(Some((room, leases::nodes(connection, space).await?)))
        }))
    }

    fn rooms(&self, owner: Option<UserId>) -> Reply<'_, Vec<RoomOverview>> {
        Box::pin(async move { list(&mut *acquire(&self.pool).await?, owner).await })
    }

    fn room_count(&self, owner: Option<UserId>) -> Reply<'_, u64> {
        Box::pin(async move { count_rooms(&mut *acquire(&self.pool).await?, owner).await })
    }

    fn open_room<'a>(
        &'a self,
        owner: UserId,
        code: &'a RoomCode,
        lease: Lease,
        now: ServerTime,
    ) -> Reply<'a, Option<OpenedRoom>> {
        self.note_call();
        let code = code.clone();
        Box::pin(self.change_rooms(async move |connection| leases::open(connection, owner, &code, lease, now).await))
    }

    fn renew_leases<'a>(
        &'a self,
        leases: &'a [(SpaceAddress, Lease)],
        now: ServerTime,
    ) -> Reply<'a, Vec<Option<Vec<NodeId>>>> {
        let leases = leases.to_vec();
        Box::pin(self.change_rooms(async move |connection| leases::renew(connection, &leases, now).await))
    }

    fn close_rooms<'a>(&'a self, closed: &'a [(SpaceAddress, LeaseId, ServerTime)]) -> Reply<'a, ()> {
        let closed = closed.to_vec();
        Box::pin(self.change_rooms(async move |connection| leases::close(connection, &closed).await))
    }

    fn put_document(&self, put: DocumentPut) -> Reply<'_, DocumentStored> {
        self.note_call();
        Box::pin(self.store_document(put))
    }

    fn document(&self, space: SpaceAddress, version: Option<Seq>) -> Reply<'_, Option<Document>> {
        self.note_call();
        Box::pin(self.tried(async move |connection| documents::read(connection, space, version).await.map(Try::Done)))
    }

    fn versions(&self, space: SpaceAddress) -> Reply<'_, Vec<Version>> {
        self.note_call();
        Box::pin(self.tried(async move |connection| documents::versions(connection, space).await.map(Try::Done)))
    }

    fn end_rooms(&self, idle: IdleRooms) -> Reply<'_, u64> {
        Box::pin(self.end_idle_rooms(idle))
    }
}

impl Postgres {
    /// Decides and changes something in one transaction, again when others were in the way or the database failed. A
    /// try that failed may have been committed all the same: `change` comes to the same when it is made twice.
    async fn change_rooms<T>(&self, change: impl AsyncFn(&mut PgConnection) -> Done<T>) -> Done<T> {
        let run = async {
            let mut retries = Retries::default();
            loop {
                let tried = match Lane::of(&self.pool).await {
                    Ok(mut lane) => {
                        let tried = timeout(ATTEMPT_MAX, change_on(&mut lane.connection, &change)).await;
                        lane.settle(tried)
                    }
                    Err(error) => Err(error),
                };
                if let Some(changed) = retries.weigh(tried.map(Try::Done)).await? {
                    return Ok(changed);
                }
            }
        };
        timeout(REQUEST_MAX, run).await.unwrap_or(Err(StoreError::Busy))
    }
}

async fn change_on<T>(connection: &mut PgConnection, change: &impl AsyncFn(&mut PgConnection) -> Done<T>) -> Done<T> {
    let begin = AssertSqlSafe(format!("BEGIN; {LOCKED_SETTINGS}"));
    let mut transaction = connection.begin_with(begin).await.map_err(failed)?;
    let changed = change(&mut transaction).await?;
    let select = sqlx::query(AssertSqlSafe(format!("SELECT {WAIT_FOR_DISK}")));
    select.execute(&mut *transaction).await.map_err(failed)?;
    transaction.commit().await.map_err(failed)?;
    Ok(changed)
}

async fn add(connection: &mut PgConnection, NewRoom { room, of_owner_max }: &NewRoom) -> Done<RoomAdded> {
    // One after the other for each owner: what he has is counted, and his codes are looked at.
    lock_users(connection, &[room.owner]).await?;
    if let Some((_, found)) = find(connection, room.owner, &room.code, "").await? {
        // Of this id only if a try that failed had made it.
        return Ok(if found.id == room.id { RoomAdded::New } else { RoomAdded::Exists(found) });
    }
    if count_rooms(connection, Some(room.owner)).await? >= u64::try_from(*of_owner_max).unwrap_or(u64::MAX) {
        return Ok(RoomAdded::Full);
    }
    let address = room.space();
    if is_deleted(connection, room.owner).await? {
        return Err(StoreError::NoSuchUser);
    }
    let sql = "WITH s AS (INSERT INTO spaces (owner, purpose, number, created_at) VALUES ($1, $2, $3, $4) RETURNING id)
               INSERT INTO rooms (space, owner, code_key, code, id, host, created_at, used_at)
               SELECT s.id, $1, $5, $6, $7, $8, $4, $4 FROM s";
    let insert = sqlx::query(sql).bind(address.owner.get()).bind(address.purpose.as_str()).bind(address.number.get());
    let insert = insert.bind(room.created_at.micros()).bind(room.code.key()).bind(room.code.as_str());
    let insert = insert.bind(room.id.to_bytes().to_vec()).bind(without_zero(room.host.as_str()));
    insert.execute(connection).await.map_err(failed)?;
    Ok(RoomAdded::New)
}

/// The room of a code, and its space; locked as `lock` says.
async fn find(
    connection: &mut PgConnection,
    owner: UserId,
    code: &RoomCode,
    lock: &str,
) -> Done<Option<(SpaceId, Room)>> {
    let mut statement = Statement::default();
    let (owner, key) = (statement.bind(owner.get())?, statement.bind(code.key())?);
    statement.push(&format!(
        "SELECT {COLUMNS} FROM rooms r JOIN spaces s ON s.id = r.space WHERE r.owner = {owner} AND r.code_key = {key}
         {lock}"
    ));
    let rows = statement.rows(connection, |row| Ok((SpaceId::new(int(&row, 0)?), read_room(&row)?)));
    Ok(rows.await?.pop())
}

async fn list(connection: &mut PgConnection, owner: Option<UserId>) -> Done<Vec<RoomOverview>> {
    let mut statement = Statement::default();
    let of_owner = match owner {
        Some(owner) => format!("WHERE r.owner = {}", statement.bind(owner.get())?),
        None => String::new(),
    };
    statement.push(&format!(
        "SELECT {COLUMNS}, r.used_at, EXISTS (SELECT FROM room_leases l WHERE l.space = r.space),
             c.seq, c.committed_at, octet_length(c.payload)
         FROM rooms r JOIN spaces s ON s.id = r.space
         LEFT JOIN LATERAL (SELECT * FROM changes k WHERE k.space = s.id AND k.seq = s.head_seq OFFSET 0) c ON true
         {of_owner} ORDER BY r.owner, r.code_key"
    ));
    statement.rows(connection, |row| read_overview(&row)).await
}

async fn count_rooms(connection: &mut PgConnection, owner: Option<UserId>) -> Done<u64> {
    let select = match owner {
        Some(owner) => sqlx::query("SELECT count(*) FROM rooms WHERE owner = $1").bind(owner.get()),
        None => sqlx::query("SELECT count(*) FROM rooms"),
    };
    let row = select.fetch_one(connection).await.map_err(failed)?;
    Ok(u64::try_from(int(&row, 0)?).expect("a count is not negative"))
}

fn read_room(row: &PgRow) -> Done<Room> {
    Ok(Room {
        owner: UserId::new(int(row, 1)?),
        number: SpaceNumber::new(int(row, 2)?),
        code: room_code_of(row.try_get(3).map_err(failed)?)?,
        id: room_id_of(row.try_get(4).map_err(failed)?)?,
        host: peer_of(row.try_get(5).map_err(failed)?)?,
        created_at: ServerTime::from_micros(int(row, 6)?),
    })
}

fn read_overview(row: &PgRow) -> Done<RoomOverview> {
    let newest = match row.try_get::<Option<i64>, _>(COLUMN_COUNT + 2).map_err(failed)? {
        Some(_) => Some(documents::read_version(row, COLUMN_COUNT + 2)?),
        None => None,
    };
    Ok(RoomOverview {
        room: read_room(row)?,
        used_at: ServerTime::from_micros(int(row, COLUMN_COUNT)?),
        is_open: row.try_get(COLUMN_COUNT + 1).map_err(failed)?,
        newest,
    })
}

fn int(row: &PgRow, at: usize) -> Done<i64> {
    row.try_get(at).map_err(failed)
}

fn seq(row: &PgRow, at: usize) -> Done<Seq> {
    seq_of(int(row, at)?).ok_or_else(|| StoreError::Corrupt("a place in a log is negative".to_owned()))
}
