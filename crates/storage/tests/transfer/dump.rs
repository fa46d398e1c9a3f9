//! All that a database holds, read without any of the code under test.

use std::collections::BTreeSet;
use std::fmt::Write as _;
use std::path::Path;

use rusqlite::types::ValueRef;
use tombolo_core::Digest;

use crate::rig::Move;

/// Tables with their columns, those of the space first where SQLite has none; and where it has it.
const TABLES: [(&str, &str, &str); 28] = [
    ("generations", "ordinal, id, started_at", ""),
    ("users", "id, name, email, email_key, created_at, confirmed_at, disabled_at, deleted_at", ""),
    ("credentials", "id, user_id, name, purpose, prefix, hash, created_at, last_used_at, expires_at", ""),
    ("refusals", "user_id, device, record, kind, reason, at", ""),
    ("spaces", "id, owner, purpose, number, head_seq, head_time, generation, created_at", ""),
    ("rooms", "space, owner, code_key, code, id, host, created_at, used_at", ""),
    ("projects", "id, purpose, name, description, slug, created_by, created_at, updated_at, deleted_at", ""),
    ("memberships", "project, user_id, role, invited_by, created_at", ""),
    ("invitations", "id, project, email, email_key, role, invited_by, status, created_at, expires_at, accepted_at", ""),
    (
        "sign_ins",
        "id, request, flow, email, email_key, device, device_code, user_code, challenge, link, links, linked_at, \
         created_at, expires_at, approved_at, user_id, consumed_at",
        "",
    ),
    ("identities", "user_id, purpose, subject, username, password, created_at", ""),
    ("setup_tokens", "user_id, purpose, hash, expires_at", ""),
    ("tickets", "hash, user_id, credential, ends_at, form, expires_at", ""),
    ("secrets", "name, value", ""),
    ("forks", "space, generation, seq", ""),
    (
        "changes",
        "space, seq, record, prev, base, committed_at, written_at, stamp_at, public_at, actor, replica, op, origin, \
         verdict, digest, checksum, payload",
        "",
    ),
    ("records", "space, id, collection, name, rank, seq", ""),
    ("replicas", "space, id, name, home, floor, added_at, acknowledged, given", ""),
    ("replica_spaces", "purpose, name, space", ""),
    ("erased_spaces", "space, owner, purpose, erased_at", ""),
    ("cursors", "replica, token, parent, alias, polled, complete, snapshot, pages", "replicas p ON p.id = t.replica"),
    (
        "traffic",
        "replica, record, greatest, last, held, held_under, tombstone, upload, upload_under",
        "replicas p ON p.id = t.replica",
    ),
    ("refs", "source, target", "records p ON p.id = t.source"),
    ("aliases", "space, collection, name, canonical, ordinal", ""),
    ("uniques", "space, collection, value, record", ""),
    ("idempotency_keys", "space, key, seq", ""),
    ("rulings", "space, seq", ""),
    ("timeline", "space, millis, seq", ""),
];

/// Everything in the file, a line for each row, as PostgreSQL should have it.
pub(crate) fn dump_sqlite(file: &Path) -> BTreeSet<String> {
    let connection = rusqlite::Connection::open(file).unwrap();
    let mut lines = BTreeSet::new();
    for (table, columns, owner) in TABLES {
        let columns = columns.replace(", ", ", t.");
        let sql = if owner.is_empty() {
            format!("SELECT t.{columns} FROM {table} t")
        } else {
            format!("SELECT p.space, t.{columns} FROM {table} t JOIN {owner}")
        };
        let mut select = connection.prepare(&sql).unwrap();
        let count = select.column_count();
        let mut rows = select.query([]).unwrap();
        while let Some(row) = rows.next().unwrap() {
            let mut line = table.to_owned();
            for column in 0..count {
                match row.get_ref(column).unwrap() {
                    ValueRef::Null => line += "|~",
                    ValueRef::Integer(int) => write!(line, "|{int}").unwrap(),
                    ValueRef::Text(text) => {
                        let text = std::str::from_utf8(text).unwrap().replace('\0', "\u{fffd}");
                        write!(line, "|{}", hex(text.as_bytes())).unwrap();
                    }
                    ValueRef::Blob(blob) if table == "uniques" && blob.len() > 1_024 => {
                        write!(line, "|{}", hex(&Digest::of(blob).to_bytes())).unwrap();
                    }
                    ValueRef::Blob(blob) => write!(line, "|{}", hex(blob)).unwrap(),
                    ValueRef::Real(_) => unreachable!("no table has a real number"),
                }
            }
            lines.insert(line);
        }
    }
    lines
}

pub(crate) fn dump_postgres(one: &Move) -> BTreeSet<String> {
    let mut lines = BTreeSet::new();
    for (table, columns, owner) in TABLES {
        let space = if owner.is_empty() { "" } else { "space, " };
        let columns = format!("{space}{columns}");
        let types = one.sql(&format!(
            "SELECT column_name, data_type FROM information_schema.columns WHERE table_name = '{table}'"
        ));
        let show = |column: &str| match types.lines().find_map(|line| line.strip_prefix(&format!("{column}|"))) {
            Some("text") => format!("encode(convert_to({column}, 'UTF8'), 'hex')"),
            Some("bytea") => format!("encode({column}, 'hex')"),
            Some("bigint") => format!("{column}::text"),
            other => panic!("{table}.{column} is {other:?}"),
        };
        let shown: Vec<_> = columns.split(", ").map(|column| format!("coalesce({}, '~')", show(column))).collect();
        let rows = one.sql(&format!("SELECT concat_ws('|', '{table}', {}) FROM {table}", shown.join(", ")));
        lines.extend(rows.lines().filter(|line| !line.is_empty()).map(str::to_owned));
    }
    lines
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().fold(String::new(), |mut text, byte| {
        write!(text, "{byte:02x}").unwrap();
        text
    })
}
