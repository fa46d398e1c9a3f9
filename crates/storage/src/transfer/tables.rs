//! What is carried over: the tables, and rows of them, as both databases know them.
//!
//! Both have the same tables and columns, with one difference: what belongs to a replica or a record has its space
//! beside it in PostgreSQL, and not in SQLite.

use std::fmt;

use tombolo_core::Digest;

/// A value of either database.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(super) enum Value {
    Null,
    Int(i64),
    Text(String),
    Blob(Vec<u8>),
}

/// A row, in the order of its table's columns; or only the first of them, which are its key.
pub(super) type Row = Vec<Value>;

impl Value {
    pub(super) fn int(&self) -> Option<i64> {
        if let Self::Int(int) = self { Some(*int) } else { None }
    }

    /// What it takes in memory and on the wire, about.
    pub(super) fn size_bytes(&self) -> usize {
        match self {
            Self::Null | Self::Int(_) => 8,
            Self::Text(text) => text.len(),
            Self::Blob(blob) => blob.len(),
        }
    }

    fn write(&self, into: &mut Vec<u8>) {
        let number;
        let (tag, bytes) = match self {
            Self::Null => (0, [].as_slice()),
            Self::Int(int) => {
                number = int.to_be_bytes();
                (1, number.as_slice())
            }
            Self::Text(text) => (2, text.as_bytes()),
            Self::Blob(blob) => (3, blob.as_slice()),
        };
        into.push(tag);
        into.extend((bytes.len() as u64).to_be_bytes());
        into.extend(bytes);
    }
}

impl fmt::Display for Value {
    /// A value of a key, without what a person wrote.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Null => f.write_str("nothing"),
            Self::Int(int) => int.fmt(f),
            Self::Text(text) => text.escape_debug().fmt(f),
            Self::Blob(blob) => write!(f, "a value of {} bytes", blob.len()),
        }
    }
}

/// How many rows, and what is in them, whatever their order: so that it follows when a row comes or goes.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Tally {
    pub(super) count: u64,
    sum: u128,
}

impl Tally {
    pub(super) fn add(&mut self, row: &Row) {
        self.count = self.count.wrapping_add(1);
        self.sum = self.sum.wrapping_add(digest(row));
    }

    pub(super) fn remove(&mut self, row: &Row) {
        self.count = self.count.wrapping_sub(1);
        self.sum = self.sum.wrapping_sub(digest(row));
    }

    /// The sum of the rows' digests, in hexadecimal digits.
    pub(super) fn digest(&self) -> String {
        format!("{:032x}", self.sum)
    }
}

fn digest(row: &Row) -> u128 {
    let mut bytes = Vec::with_capacity(row.iter().map(|value| value.size_bytes() + 9).sum());
    row.iter().for_each(|value| value.write(&mut bytes));
    u128::from_be_bytes(Digest::of(&bytes).to_bytes())
}

/// The type of a column.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Kind {
    Int,
    Text,
    Blob,
}

/// A column, under its name in both databases.
#[derive(Clone, Copy, Debug)]
pub(super) struct Column {
    pub(super) name: &'static str,
    pub(super) kind: Kind,
}

/// A table.
#[derive(Debug)]
pub(super) struct Table {
    pub(super) name: &'static str,
    /// Those of the key in PostgreSQL first.
    pub(super) columns: &'static [Column],
    /// How many columns the key has.
    pub(super) key_len: usize,
    /// The columns along which it is read from one end to the other: those of an index of SQLite.
    pub(super) walk: &'static [usize],
    /// Other columns of which no two rows have the same values.
    pub(super) uniques: &'static [&'static [usize]],
    /// Where SQLite has its space: in which table, under which of its columns.
    pub(super) space_in: Option<(&'static str, &'static str)>,
    /// The column that names a user, who has to be there before.
    pub(super) user: Option<usize>,
    /// The column of which PostgreSQL keeps a digest where it is long.
    pub(super) shortened: Option<usize>,
}

const fn int(name: &'static str) -> Column {
    Column { name, kind: Kind::Int }
}

const fn text(name: &'static str) -> Column {
    Column { name, kind: Kind::Text }
}

const fn blob(name: &'static str) -> Column {
    Column { name, kind: Kind::Blob }
}

const fn table(name: &'static str, columns: &'static [Column], key_len: usize, walk: &'static [usize]) -> Table {
    Table { name, columns, key_len, walk, uniques: &[], space_in: None, user: None, shortened: None }
}

/// The log. It only grows while a migration is under way: rooms let go of no version meanwhile, none ends, and no log is
/// erased. What was copied of it stays as it is, but for contents that a deletion takes with it, which the journal names.
pub(super) static CHANGES: Table = table(
    "changes",
    &[
        int("space"),
        int("seq"),
        int("record"),
        int("prev"),
        int("base"),
        int("committed_at"),
        blob("written_at"),
        int("stamp_at"),
        int("public_at"),
        int("actor"),
        int("replica"),
        int("op"),
        int("origin"),
        int("verdict"),
        blob("digest"),
        int("checksum"),
        blob("payload"),
    ],
    2,
    &[0, 1],
);

/// Everything else, of which every row may change: in an order in which each refers only to those before it.
pub(super) static TABLES: [Table; 27] = [
    table("generations", &[int("ordinal"), blob("id"), int("started_at")], 1, &[0]),
    table(
        "users",
        &[
            int("id"),
            text("name"),
            text("email"),
            text("email_key"),
            int("created_at"),
            int("confirmed_at"),
            int("disabled_at"),
            int("deleted_at"),
        ],
        1,
        &[0],
    ),
    Table {
        uniques: &[&[4], &[1, 2]],
        user: Some(1),
        ..table(
            "credentials",
            &[
                int("id"),
                int("user_id"),
                text("name"),
                text("purpose"),
                text("prefix"),
                text("hash"),
                int("created_at"),
                int("last_used_at"),
                int("expires_at"),
            ],
            1,
            &[0],
        )
    },
    Table {
        uniques: &[&[1, 2, 3, 4, 5]],
        user: Some(1),
        ..table(
            "refusals",
            &[int("id"), int("user_id"), text("device"), text("record"), text("kind"), text("reason"), int("at")],
            1,
            &[0],
        )
    },
    Table {
        user: Some(1),
        ..table(
            "spaces",
            &[
                int("id"),
                int("owner"),
                text("purpose"),
                int("number"),
                int("head_seq"),
                int("head_time"),
                int("generation"),
                int("created_at"),
            ],
            1,
            &[0],
        )
    },
    // Whoever has one open has it open on the old server: leases stay behind.
    Table {
        uniques: &[&[1, 2]],
        user: Some(1),
        ..table(
            "rooms",
            &[
                int("space"),
                int("owner"),
                text("code_key"),
                text("code"),
                blob("id"),
                text("host"),
                int("created_at"),
                int("used_at"),
            ],
            1,
            &[0],
        )
    },
    Table {
        uniques: &[&[5, 4]],
        user: Some(5),
        ..table(
            "projects",
            &[
                int("id"),
                text("purpose"),
                text("name"),
                text("description"),
                text("slug"),
                int("created_by"),
                int("created_at"),
                int("updated_at"),
                int("deleted_at"),
            ],
            1,
            &[0],
        )
    },
    Table {
        user: Some(1),
        ..table(
            "memberships",
            &[int("project"), int("user_id"), text("role"), int("invited_by"), int("created_at")],
            2,
            &[0, 1],
        )
    },
    table(
        "invitations",
        &[
            int("id"),
            int("project"),
            text("email"),
            text("email_key"),
            text("role"),
            int("invited_by"),
            text("status"),
            int("created_at"),
            int("expires_at"),
            int("accepted_at"),
        ],
        1,
        &[0],
    ),
    // The user is nobody until the sign-in is approved.
    Table {
        uniques: &[&[1], &[6], &[9]],
        user: Some(15),
        ..table(
            "sign_ins",
            &[
                int("id"),
                text("request"),
                text("flow"),
                text("email"),
                text("email_key"),
                text("device"),
                blob("device_code"),
                blob("user_code"),
                blob("challenge"),
                blob("link"),
                int("links"),
                int("linked_at"),
                int("created_at"),
                int("expires_at"),
                int("approved_at"),
                int("user_id"),
                int("consumed_at"),
            ],
            1,
            &[0],
        )
    },
    Table {
        uniques: &[&[1, 2], &[1, 3]],
        user: Some(0),
        ..table(
            "identities",
            &[int("user_id"), text("purpose"), text("subject"), text("username"), text("password"), int("created_at")],
            2,
            &[0, 1],
        )
    },
    Table {
        uniques: &[&[2]],
        user: Some(0),
        ..table("setup_tokens", &[int("user_id"), text("purpose"), blob("hash"), int("expires_at")], 2, &[0, 1])
    },
    // They live for a minute, and so may the move.
    Table {
        user: Some(1),
        ..table(
            "tickets",
            &[blob("hash"), int("user_id"), int("credential"), int("ends_at"), int("form"), int("expires_at")],
            1,
            &[0],
        )
    },
    table("secrets", &[text("name"), blob("value")], 1, &[0]),
    table("forks", &[int("space"), int("generation"), int("seq")], 2, &[0, 1]),
    table("records", &[int("space"), int("id"), text("collection"), text("name"), int("rank"), int("seq")], 2, &[1]),
    Table {
        uniques: &[&[0, 2]],
        ..table(
            "replicas",
            &[
                int("space"),
                int("id"),
                text("name"),
                text("home"),
                int("floor"),
                int("added_at"),
                int("acknowledged"),
                int("given"),
            ],
            2,
            &[1],
        )
    },
    table("replica_spaces", &[text("purpose"), text("name"), int("space")], 2, &[0, 1]),
    table("erased_spaces", &[int("space"), int("owner"), text("purpose"), int("erased_at")], 1, &[0]),
    Table {
        space_in: Some(("replicas", "replica")),
        ..table(
            "cursors",
            &[
                int("space"),
                int("replica"),
                int("token"),
                int("parent"),
                blob("alias"),
                int("polled"),
                int("complete"),
                int("snapshot"),
                blob("pages"),
            ],
            3,
            &[1, 2],
        )
    },
    Table {
        space_in: Some(("replicas", "replica")),
        ..table(
            "traffic",
            &[
                int("space"),
                int("replica"),
                int("record"),
                blob("greatest"),
                blob("last"),
                blob("held"),
                int("held_under"),
                blob("tombstone"),
                int("upload"),
                int("upload_under"),
            ],
            3,
            &[1, 2],
        )
    },
    Table {
        space_in: Some(("records", "source")),
        ..table("refs", &[int("space"), int("source"), int("target")], 3, &[1, 2])
    },
    table(
        "aliases",
        &[int("space"), text("collection"), text("name"), text("canonical"), int("ordinal")],
        3,
        &[0, 1, 2],
    ),
    table("idempotency_keys", &[int("space"), blob("key"), int("seq")], 2, &[0, 1]),
    table("rulings", &[int("space"), int("seq")], 2, &[0, 1]),
    table("timeline", &[int("space"), int("millis"), int("seq")], 3, &[0, 1, 2]),
    // A record has one value at most: digests of values are in another order than the values.
    Table {
        shortened: Some(2),
        ..table("uniques", &[int("space"), text("collection"), blob("value"), int("record")], 3, &[3])
    },
];

/// The place of [`CHANGES`] behind those of [`TABLES`], where all tables are numbered.
pub(super) const LOG: usize = TABLES.len();
/// How many tables there are with it.
pub(super) const TABLES_AND_LOG: usize = LOG + 1;

/// All tables, in the order of their places.
pub(super) fn all() -> impl Iterator<Item = &'static Table> {
    TABLES.iter().chain([&CHANGES])
}

/// The table of a place.
pub(super) fn at(place: usize) -> &'static Table {
    TABLES.get(place).unwrap_or(&CHANGES)
}

impl Table {
    /// The names of columns, with `before` before and `between` between them.
    pub(super) fn names(&self, columns: impl IntoIterator<Item = usize>, before: &str, between: &str) -> String {
        let name = |column: usize| format!("{before}{}", self.columns[column].name);
        columns.into_iter().map(name).collect::<Vec<_>>().join(between)
    }

    /// The key of a row.
    pub(super) fn key(&self, row: &Row) -> Row {
        row[..self.key_len].to_vec()
    }

    /// The place of a row on the walk along the table.
    pub(super) fn place(&self, row: &Row) -> Row {
        self.walk.iter().map(|column| row[*column].clone()).collect()
    }

    /// A row, in words that hold nothing a person wrote.
    pub(super) fn describe(&self, key: &Row) -> String {
        let part = |(column, value): (&Column, &Value)| format!("{} {value}", column.name);
        let key = self.columns.iter().zip(&key[..self.key_len]).map(part).collect::<Vec<_>>().join(", ");
        format!("{}: {key}", self.name)
    }
}
