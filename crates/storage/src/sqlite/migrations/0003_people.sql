-- People who share: projects, who belongs to them, and how somebody signs in.

-- What an address is found by: its ASCII letters in lower case. Of several users who had the same one, it finds the
-- first.
ALTER TABLE users ADD COLUMN email_key TEXT;
-- Since when it is somebody's. NULL while nobody signed in with an address that was added to a project.
ALTER TABLE users ADD COLUMN confirmed_at INTEGER;
UPDATE users SET confirmed_at = created_at;
UPDATE users SET email_key = lower(email) WHERE id IN (SELECT min(id) FROM users GROUP BY lower(email));
CREATE UNIQUE INDEX users_by_email ON users (email_key);

-- A user has many spaces of one protocol where each project is one: they are told apart by a number. A unique key cannot
-- be changed, so the small table is made anew; no number of a space is ever given out again.
CREATE TABLE numbered_spaces (
    id INTEGER PRIMARY KEY AUTOINCREMENT,
    owner INTEGER NOT NULL REFERENCES users (id),
    purpose TEXT NOT NULL,
    number INTEGER NOT NULL DEFAULT 0,
    head_seq INTEGER NOT NULL DEFAULT 0,
    head_time INTEGER NOT NULL DEFAULT 0,
    -- The generation that last wrote here: when another takes over, the place is noted in forks.
    generation INTEGER NOT NULL DEFAULT 0,
    created_at INTEGER NOT NULL,
    UNIQUE (owner, purpose, number)
) STRICT;
INSERT INTO numbered_spaces (id, owner, purpose, head_seq, head_time, generation, created_at)
    SELECT id, owner, purpose, head_seq, head_time, generation, created_at FROM spaces;
DELETE FROM sqlite_sequence WHERE name = 'numbered_spaces';
INSERT INTO sqlite_sequence (name, seq) SELECT 'numbered_spaces', seq FROM sqlite_sequence WHERE name = 'spaces';
DROP TABLE spaces;
ALTER TABLE numbered_spaces RENAME TO spaces;

-- A project; its log is the space of its creator and its number. One that was deleted stays, to be restored.
CREATE TABLE projects (
    id INTEGER PRIMARY KEY,
    purpose TEXT NOT NULL,
    name TEXT NOT NULL,
    description TEXT NOT NULL,
    slug TEXT NOT NULL,
    created_by INTEGER NOT NULL REFERENCES users (id),
    created_at INTEGER NOT NULL,
    updated_at INTEGER NOT NULL,
    deleted_at INTEGER,
    UNIQUE (created_by, slug)
) STRICT;

CREATE TABLE memberships (
    project INTEGER NOT NULL,
    user_id INTEGER NOT NULL REFERENCES users (id),
    role TEXT NOT NULL,
    -- NULL for the creator.
    invited_by INTEGER,
    created_at INTEGER NOT NULL,
    PRIMARY KEY (project, user_id)
) STRICT, WITHOUT ROWID;

CREATE INDEX memberships_by_user ON memberships (user_id);

CREATE TABLE invitations (
    id INTEGER PRIMARY KEY AUTOINCREMENT,
    project INTEGER NOT NULL,
    email TEXT NOT NULL,
    email_key TEXT NOT NULL,
    role TEXT NOT NULL,
    invited_by INTEGER NOT NULL,
    status TEXT NOT NULL,
    created_at INTEGER NOT NULL,
    expires_at INTEGER NOT NULL,
    accepted_at INTEGER
) STRICT;

CREATE INDEX invitations_by_project ON invitations (project, id);
CREATE INDEX invitations_by_email ON invitations (email_key, id);

-- Sign-ins that wait for their approval, and for a while those that ended. Secrets are here by their SHA-256 only.
CREATE TABLE sign_ins (
    id INTEGER PRIMARY KEY AUTOINCREMENT,
    request TEXT NOT NULL UNIQUE,
    flow TEXT NOT NULL,
    email TEXT NOT NULL,
    email_key TEXT NOT NULL,
    device TEXT NOT NULL,
    device_code BLOB NOT NULL UNIQUE,
    user_code BLOB,
    challenge BLOB,
    link BLOB UNIQUE,
    -- Links that were mailed for it, and when the last one was.
    links INTEGER NOT NULL,
    linked_at INTEGER,
    created_at INTEGER NOT NULL,
    expires_at INTEGER NOT NULL,
    approved_at INTEGER,
    user_id INTEGER REFERENCES users (id),
    consumed_at INTEGER
) STRICT;

CREATE INDEX sign_ins_by_user_code ON sign_ins (user_code, id);
CREATE INDEX sign_ins_by_email ON sign_ins (email_key, id);
CREATE INDEX sign_ins_by_end ON sign_ins (coalesce(consumed_at, expires_at));
