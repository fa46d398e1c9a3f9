-- How a user is known in one protocol. The subject never changes, whatever becomes of the user's name; the username is
-- what he signs in with, together with the password.
CREATE TABLE identities (
    user_id INTEGER NOT NULL REFERENCES users (id),
    purpose TEXT NOT NULL,
    subject TEXT NOT NULL,
    username TEXT,
    password TEXT,
    created_at INTEGER NOT NULL,
    PRIMARY KEY (user_id, purpose),
    UNIQUE (purpose, subject),
    UNIQUE (purpose, username)
) STRICT, WITHOUT ROWID;

-- What is exchanged once for a key, by its SHA-256: one for each identity, the last that was given out.
CREATE TABLE setup_tokens (
    user_id INTEGER NOT NULL REFERENCES users (id),
    purpose TEXT NOT NULL,
    hash BLOB NOT NULL UNIQUE,
    expires_at INTEGER NOT NULL,
    PRIMARY KEY (user_id, purpose)
) STRICT, WITHOUT ROWID;

-- What stands in for a key once, by its SHA-256.
CREATE TABLE tickets (
    hash BLOB PRIMARY KEY NOT NULL,
    user_id INTEGER NOT NULL REFERENCES users (id),
    credential INTEGER,
    ends_at INTEGER,
    form INTEGER NOT NULL,
    expires_at INTEGER NOT NULL
) STRICT, WITHOUT ROWID;

CREATE INDEX tickets_by_user ON tickets (user_id, expires_at);
CREATE INDEX tickets_by_end ON tickets (expires_at);

-- The server's own secrets.
CREATE TABLE secrets (
    name TEXT PRIMARY KEY NOT NULL,
    value BLOB NOT NULL
) STRICT, WITHOUT ROWID;

-- Entries that change the rules of their log.
CREATE TABLE rulings (
    space INTEGER NOT NULL,
    seq INTEGER NOT NULL,
    PRIMARY KEY (space, seq)
) STRICT, WITHOUT ROWID;

-- The order of writing of a log that is read in it, in milliseconds since 1970.
CREATE TABLE timeline (
    space INTEGER NOT NULL,
    millis INTEGER NOT NULL,
    seq INTEGER NOT NULL,
    PRIMARY KEY (space, millis, seq)
) STRICT, WITHOUT ROWID;
