-- How a user is known in one protocol; the tables are those of SQLite. The subject never changes, whatever becomes of the
-- user's name; the username is what he signs in with, together with the password.
CREATE TABLE identities (
    user_id BIGINT NOT NULL REFERENCES users (id),
    purpose TEXT COLLATE "C" NOT NULL,
    subject TEXT COLLATE "C" NOT NULL,
    username TEXT COLLATE "C",
    password TEXT COLLATE "C",
    created_at BIGINT NOT NULL,
    PRIMARY KEY (user_id, purpose),
    UNIQUE (purpose, subject),
    UNIQUE (purpose, username)
);

-- What is exchanged once for a key, by its SHA-256: one for each identity, the last that was given out.
CREATE TABLE setup_tokens (
    user_id BIGINT NOT NULL REFERENCES users (id),
    purpose TEXT COLLATE "C" NOT NULL,
    hash BYTEA NOT NULL UNIQUE,
    expires_at BIGINT NOT NULL,
    PRIMARY KEY (user_id, purpose)
);

-- What stands in for a key once, by its SHA-256.
CREATE TABLE tickets (
    hash BYTEA PRIMARY KEY NOT NULL,
    user_id BIGINT NOT NULL REFERENCES users (id),
    credential BIGINT,
    ends_at BIGINT,
    form BIGINT NOT NULL,
    expires_at BIGINT NOT NULL
);

CREATE INDEX tickets_by_user ON tickets (user_id, expires_at);
CREATE INDEX tickets_by_end ON tickets (expires_at);

-- The server's own secrets.
CREATE TABLE secrets (
    name TEXT COLLATE "C" PRIMARY KEY NOT NULL,
    value BYTEA NOT NULL
);

-- Entries that change the rules of their log.
CREATE TABLE rulings (
    space BIGINT NOT NULL,
    seq BIGINT NOT NULL,
    PRIMARY KEY (space, seq)
);

-- The order of writing of a log that is read in it, in milliseconds since 1970.
CREATE TABLE timeline (
    space BIGINT NOT NULL,
    millis BIGINT NOT NULL,
    seq BIGINT NOT NULL,
    PRIMARY KEY (space, millis, seq)
);
