-- Rooms. The log of each is the versions of its document, of which old ones are let go; it goes with the room.
CREATE TABLE rooms (
    space INTEGER PRIMARY KEY,
    owner INTEGER NOT NULL REFERENCES users (id),
    -- The code in capitals: two that differ in their spelling only are one.
    code_key TEXT NOT NULL,
    code TEXT NOT NULL,
    id BLOB NOT NULL,
    host TEXT NOT NULL,
    created_at INTEGER NOT NULL,
    -- Until when somebody was known to be in it.
    used_at INTEGER NOT NULL,
    UNIQUE (owner, code_key)
) STRICT;

CREATE INDEX rooms_by_use ON rooms (used_at);

-- Who has a room open. A server that was killed gives nothing back: then they run out.
CREATE TABLE room_leases (
    space INTEGER NOT NULL,
    lease INTEGER NOT NULL,
    node INTEGER NOT NULL,
    until INTEGER NOT NULL,
    PRIMARY KEY (space, lease)
) STRICT, WITHOUT ROWID;
