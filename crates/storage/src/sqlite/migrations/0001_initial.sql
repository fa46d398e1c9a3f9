-- Times are microseconds since 1970, UTC, by the server's clock. What clients say of time is kept in twelve bytes that
-- sort (core: Instant::to_bytes), or, where it is bounded by the server's time, in nanoseconds or milliseconds.

CREATE TABLE generations (
    ordinal INTEGER PRIMARY KEY AUTOINCREMENT,
    id BLOB NOT NULL UNIQUE,
    started_at INTEGER NOT NULL
) STRICT;

CREATE TABLE users (
    id INTEGER PRIMARY KEY AUTOINCREMENT,
    name TEXT NOT NULL UNIQUE,
    email TEXT,
    created_at INTEGER NOT NULL,
    disabled_at INTEGER
) STRICT;

CREATE TABLE credentials (
    id INTEGER PRIMARY KEY AUTOINCREMENT,
    user_id INTEGER NOT NULL REFERENCES users (id),
    name TEXT NOT NULL,
    purpose TEXT NOT NULL,
    prefix TEXT NOT NULL UNIQUE,
    hash TEXT NOT NULL,
    created_at INTEGER NOT NULL,
    last_used_at INTEGER,
    expires_at INTEGER,
    UNIQUE (user_id, name)
) STRICT;

CREATE TABLE refusals (
    id INTEGER PRIMARY KEY AUTOINCREMENT,
    user_id INTEGER NOT NULL REFERENCES users (id),
    device TEXT NOT NULL,
    record TEXT NOT NULL,
    kind TEXT NOT NULL,
    reason TEXT NOT NULL,
    at INTEGER NOT NULL,
    UNIQUE (user_id, device, record, kind, reason)
) STRICT;

CREATE TABLE spaces (
    id INTEGER PRIMARY KEY AUTOINCREMENT,
    owner INTEGER NOT NULL REFERENCES users (id),
    purpose TEXT NOT NULL,
    head_seq INTEGER NOT NULL DEFAULT 0,
    head_time INTEGER NOT NULL DEFAULT 0,
    -- The generation that last wrote here: when another takes over, the place is noted in forks.
    generation INTEGER NOT NULL DEFAULT 0,
    created_at INTEGER NOT NULL,
    UNIQUE (owner, purpose)
) STRICT;

CREATE TABLE forks (
    space INTEGER NOT NULL,
    generation INTEGER NOT NULL,
    seq INTEGER NOT NULL,
    PRIMARY KEY (space, generation)
) STRICT, WITHOUT ROWID;

-- The log. prev is the record's preceding change: a record's history is a chain from its head and needs no index.
CREATE TABLE changes (
    space INTEGER NOT NULL,
    seq INTEGER NOT NULL,
    record INTEGER NOT NULL,
    prev INTEGER,
    base INTEGER,
    committed_at INTEGER NOT NULL,
    written_at BLOB NOT NULL,
    stamp_at INTEGER NOT NULL,
    public_at INTEGER NOT NULL,
    actor INTEGER NOT NULL,
    replica INTEGER,
    op INTEGER NOT NULL,
    origin INTEGER NOT NULL,
    verdict INTEGER NOT NULL,
    digest BLOB NOT NULL,
    checksum INTEGER NOT NULL,
    payload BLOB,
    PRIMARY KEY (space, seq)
) STRICT, WITHOUT ROWID;

-- A record and its head: the change that is its present state.
CREATE TABLE records (
    id INTEGER PRIMARY KEY,
    space INTEGER NOT NULL,
    collection TEXT NOT NULL,
    name TEXT NOT NULL,
    rank INTEGER NOT NULL,
    seq INTEGER NOT NULL,
    UNIQUE (space, collection, name)
) STRICT;

CREATE INDEX records_by_head ON records (space, rank, seq);

CREATE TABLE replicas (
    id INTEGER PRIMARY KEY AUTOINCREMENT,
    space INTEGER NOT NULL,
    name TEXT NOT NULL,
    home TEXT,
    -- The instant under which the later replies of its first download sent what was older.
    floor INTEGER,
    added_at INTEGER NOT NULL,
    UNIQUE (space, name)
) STRICT;

-- The times that were given out as cursors, in milliseconds, with what they cover.
CREATE TABLE cursors (
    replica INTEGER NOT NULL,
    token INTEGER NOT NULL,
    parent INTEGER,
    alias BLOB,
    polled INTEGER NOT NULL,
    complete INTEGER NOT NULL,
    snapshot INTEGER NOT NULL,
    pages BLOB,
    PRIMARY KEY (replica, token)
) STRICT, WITHOUT ROWID;

-- What was exchanged with one replica for one record, where the log does not say it already.
CREATE TABLE traffic (
    replica INTEGER NOT NULL,
    record INTEGER NOT NULL,
    greatest BLOB NOT NULL,
    last BLOB NOT NULL,
    held BLOB,
    held_under INTEGER,
    tombstone BLOB,
    upload INTEGER,
    upload_under INTEGER,
    PRIMARY KEY (replica, record)
) STRICT, WITHOUT ROWID;

CREATE TABLE refs (
    source INTEGER NOT NULL,
    target INTEGER NOT NULL,
    PRIMARY KEY (source, target)
) STRICT, WITHOUT ROWID;

CREATE INDEX refs_by_target ON refs (target);

CREATE TABLE aliases (
    space INTEGER NOT NULL,
    collection TEXT NOT NULL,
    name TEXT NOT NULL,
    canonical TEXT NOT NULL,
    ordinal INTEGER NOT NULL,
    PRIMARY KEY (space, collection, name)
) STRICT, WITHOUT ROWID;

-- Values that only one live record of a collection may have.
CREATE TABLE uniques (
    space INTEGER NOT NULL,
    collection TEXT NOT NULL,
    value BLOB NOT NULL,
    record INTEGER NOT NULL,
    PRIMARY KEY (space, collection, value)
) STRICT, WITHOUT ROWID;

CREATE INDEX uniques_by_record ON uniques (record);
