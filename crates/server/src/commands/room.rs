//! `tombolo room`

use anyhow::{Context as _, bail};
use serde::Serialize;
use tombolo_core::{Env as _, RoomCode, Seq};
use tombolo_storage::{Document, DocumentPut, DocumentStored, Room, RoomOverview, User, Version};

use super::{Answers, Desk, OWNER, explain, quoted, show};
use crate::cli::{RoomCommand, Whose};
use crate::env::SystemEnv;
use crate::output;

/// Versions that a complaint names: those that somebody most likely meant.
const NAMED_MAX: usize = 5;

pub(super) async fn run(desk: &Desk<'_>, command: RoomCommand, how: Answers) -> anyhow::Result<()> {
    match command {
        RoomCommand::List { whose } => list(desk, &whose, how).await,
        RoomCommand::History { code, whose } => history(desk, &find(desk, &code, &whose).await?, how).await,
        RoomCommand::Show { code, version, whose } => {
            let version = version.as_deref().map(parse_version).transpose()?;
            show_document(desk, &find(desk, &code, &whose).await?, version, how).await
        }
        RoomCommand::Restore { code, version, whose } => {
            let version = parse_version(&version)?;
            restore(desk, &find(desk, &code, &whose).await?, version, how).await
        }
    }
}

async fn list(desk: &Desk<'_>, whose: &Whose, how: Answers) -> anyhow::Result<()> {
    #[derive(Serialize)]
    struct Item {
        code: String,
        created_at: String,
        used_at: String,
        open: bool,
        version: Option<u64>,
        bytes: u64,
    }
    let user = holder(desk, whose).await?;
    let rooms = match &user {
        Some(user) => desk.store.rooms(Some(user.id)).await.map_err(explain)?,
        None => Vec::new(),
    };
    if how.json {
        let item = |RoomOverview { room, used_at, is_open, newest }| Item {
            code: room.code.to_string(),
            created_at: room.created_at.to_string(),
            used_at: used_at.to_string(),
            open: is_open,
            version: newest.map(|version| version.version.get()),
            bytes: newest.map_or(0, |version| version.bytes),
        };
        return output::say_json(&rooms.into_iter().map(item).collect::<Vec<_>>());
    }
    let row = |RoomOverview { room, used_at, is_open, newest }: &RoomOverview| {
        let used = if *is_open { "now".to_owned() } else { used_at.to_string() };
        let version = newest.map_or_else(|| "none".to_owned(), |version| version.version.to_string());
        let size = newest.map_or_else(String::new, |version| size(version.bytes));
        [room.code.to_string(), room.created_at.to_string(), used, version, size]
    };
    let rows: Vec<_> = rows_of(&rooms, row);
    let name = whose.user.as_deref().unwrap_or(OWNER);
    let nothing = match others(desk, None, user.as_ref()).await?.as_slice() {
        [] => format!("{name} has no rooms yet. Make a link to them with: tombolo token --for rooms --name board"),
        users => format!("{name} has no rooms; there are some of {}", with_flags(users)),
    };
    output::say_table(["CODE", "CREATED", "LAST USED", "VERSION", "SIZE"], &rows, &nothing);
    Ok(())
}

async fn history(desk: &Desk<'_>, room: &Room, how: Answers) -> anyhow::Result<()> {
    #[derive(Serialize)]
    struct Answer {
        room: String,
        versions: Vec<Item>,
    }
    #[derive(Serialize)]
    struct Item {
        version: u64,
        at: String,
        bytes: u64,
    }
    let versions = desk.store.versions(room.space()).await.map_err(explain)?;
    if how.json {
        let item = |Version { version, at, bytes }| Item { version: version.get(), at: at.to_string(), bytes };
        let versions = versions.into_iter().map(item).collect();
        return output::say_json(&Answer { room: room.code.to_string(), versions });
    }
    let row = |version: &Version| [version.version.to_string(), show(Some(version.at)), size(version.bytes)];
    let nothing = format!("The room {} has no document yet.", room.code);
    output::say_table(["VERSION", "STORED", "SIZE"], &rows_of(&versions, row), &nothing);
    Ok(())
}

async fn show_document(desk: &Desk<'_>, room: &Room, version: Option<Seq>, how: Answers) -> anyhow::Result<()> {
    #[derive(Serialize)]
    struct Answer {
        room: String,
        version: u64,
        at: String,
        document: String,
    }
    let Document { version, at, text } = document(desk, room, version).await?;
    if how.json {
        let (room, at) = (room.code.to_string(), at.to_string());
        return output::say_json(&Answer { room, version: version.get(), at, document: text });
    }
    output::hand_over(&text).context("the document could not be written")
}

async fn restore(desk: &Desk<'_>, room: &Room, version: Seq, how: Answers) -> anyhow::Result<()> {
    #[derive(Serialize)]
    struct Answer {
        room: String,
        restored: u64,
        version: u64,
        changed: bool,
    }
    let Document { at, text, .. } = document(desk, room, Some(version)).await?;
    let kept = desk.config.rooms.options.versions;
    let put = DocumentPut { space: room.space(), text, after: None, kept, now: SystemEnv.now() };
    let (new, changed) = match desk.store.put_document(put).await.map_err(explain)? {
        DocumentStored::Stored(new) => (new, true),
        DocumentStored::Unchanged(newest) => (newest, false),
        // It was not asked for what is there.
        DocumentStored::Moved(_) => bail!("the room {} was written to at the same moment; try again", room.code),
        DocumentStored::NoRoom => bail!("the room {} has just ended", room.code),
    };
    if how.json {
        let room = room.code.to_string();
        return output::say_json(&Answer { room, restored: version.get(), version: new.get(), changed });
    }
    if changed {
        output::say(format_args!("Restored version {version} of {}, of {at}: it is version {new} now.", room.code));
    } else {
        output::say(format_args!("The newest version of {}, {new}, says what version {version} says.", room.code));
    }
    Ok(())
}

/// A version of a room's document, or the newest.
async fn document(desk: &Desk<'_>, room: &Room, version: Option<Seq>) -> anyhow::Result<Document> {
    if let Some(document) = desk.store.document(room.space(), version).await.map_err(explain)? {
        return Ok(document);
    }
    let code = &room.code;
    let versions = desk.store.versions(room.space()).await.map_err(explain)?;
    let Some(version) = version.filter(|_| !versions.is_empty()) else { bail!("the room {code} has no document yet") };
    let named: Vec<_> = versions.iter().take(NAMED_MAX).map(|version| version.version.to_string()).collect();
    let more = if versions.len() > NAMED_MAX { ", and older ones" } else { "" };
    bail!(
        "the room {code} has no version {version} (any more); there are {}{more}: tombolo room history {code}",
        named.join(", ")
    )
}

/// The room that is meant, which must exist.
async fn find(desk: &Desk<'_>, text: &str, whose: &Whose) -> anyhow::Result<Room> {
    let code = RoomCode::parse(text).with_context(|| format!("\"{text}\" is no room's code"))?;
    let user = holder(desk, whose).await?;
    if let Some(user) = &user
        && let Some((room, _)) = desk.store.room(user.id, &code).await.map_err(explain)?
    {
        return Ok(room);
    }
    let name = whose.user.as_deref().unwrap_or(OWNER);
    match others(desk, Some(&code), user.as_ref()).await?.as_slice() {
        [] => bail!("{name} has no room {code}; tombolo room list shows which there are"),
        users => bail!("{name} has no room {code}; there is one of {}", with_flags(users)),
    }
}

/// Whose rooms are meant; `None` for the owner, where there is none yet.
async fn holder(desk: &Desk<'_>, whose: &Whose) -> anyhow::Result<Option<User>> {
    match whose.user.as_deref().filter(|name| *name != OWNER) {
        Some(name) => desk.user(name).await.map(Some),
        None => desk.store.user(&super::parse_name("user", OWNER)?).await.map_err(explain),
    }
}

/// The other users who have a room of this code, or any.
async fn others(desk: &Desk<'_>, code: Option<&RoomCode>, user: Option<&User>) -> anyhow::Result<Vec<User>> {
    let mut rooms = desk.store.rooms(None).await.map_err(explain)?;
    rooms.retain(|room| code.is_none_or(|code| room.room.code == *code));
    let mut users = desk.store.users().await.map_err(explain)?;
    let is_other = |other: &User| user.is_none_or(|user| user.id != other.id);
    users.retain(|other| is_other(other) && rooms.iter().any(|room| room.room.owner == other.id));
    Ok(users)
}

fn with_flags(users: &[User]) -> String {
    let named = users.iter().take(NAMED_MAX).map(|user| format!("{} (--user {})", user.name, quoted(&user.name)));
    named.collect::<Vec<_>>().join(", ")
}

fn rows_of<T, const N: usize>(items: &[T], row: impl Fn(&T) -> [String; N]) -> Vec<[String; N]> {
    items.iter().map(row).collect()
}

fn parse_version(text: &str) -> anyhow::Result<Seq> {
    let number = text.parse::<i64>().ok().filter(|number| *number > 0);
    number.map(|number| Seq::new(number.unsigned_abs())).with_context(|| {
        format!("\"{text}\" is no version's number, such as 7; tombolo room history CODE shows which there are")
    })
}

/// How much a text takes, for people.
fn size(bytes: u64) -> String {
    const KIB: u64 = 1 << 10;
    const MIB: u64 = 1 << 20;
    match bytes {
        ..KIB => format!("{bytes} B"),
        KIB..MIB => format!("{}.{} KiB", bytes / KIB, bytes % KIB * 10 / KIB),
        _ => format!("{}.{} MiB", bytes / MIB, bytes % MIB * 10 / MIB),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_size_is_shown_in_its_unit() {
        let check = |bytes: u64, expected: &str| assert_eq!(size(bytes), expected);
        check(0, "0 B");
        check(1_023, "1023 B");
        check(1_024, "1.0 KiB");
        check(1_536, "1.5 KiB");
        check((1 << 20) - 1, "1023.9 KiB");
        check(33_554_432, "32.0 MiB");
    }

    #[test]
    fn a_version_is_a_number_from_1() {
        assert_eq!(parse_version("7").unwrap().get(), 7);
        for bad in ["", "0", "-1", "newest", "1.5", "9223372036854775808"] {
            assert!(parse_version(bad).unwrap_err().to_string().contains("room history"), "{bad}");
        }
    }
}
