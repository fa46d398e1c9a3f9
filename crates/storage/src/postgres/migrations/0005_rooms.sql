-- Rooms; the tables are those of SQLite. The log of each is the versions of its document, of which old ones are let go;
-- it goes with the room.
CREATE TABLE rooms (
    space BIGINT PRIMARY KEY,
    owner BIGINT NOT NULL REFERENCES users (id),
    -- The code in capitals: two that differ in their spelling only are one.
    code_key TEXT COLLATE "C" NOT NULL,
    code TEXT COLLATE "C" NOT NULL,
    id BYTEA NOT NULL,
    host TEXT COLLATE "C" NOT NULL,
    created_at BIGINT NOT NULL,
    -- Until when somebody was known to be in it.
    used_at BIGINT NOT NULL,
    UNIQUE (owner, code_key)
);

CREATE INDEX rooms_by_use ON rooms (used_at);

-- Who has a room open. A server that was killed gives nothing back: then they run out.
CREATE TABLE room_leases (
    space BIGINT NOT NULL,
    lease BIGINT NOT NULL,
    node BIGINT NOT NULL,
    until BIGINT NOT NULL,
    PRIMARY KEY (space, lease)
);
