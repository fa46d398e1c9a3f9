-- Replicas that resume by a cursor which says everything: how far they said that they are, and what they were last given.
ALTER TABLE replicas ADD COLUMN acknowledged BIGINT NOT NULL DEFAULT 0;
ALTER TABLE replicas ADD COLUMN given BIGINT NOT NULL DEFAULT 0;

-- Whose such a replica is: its name opens no other user's log of that protocol.
CREATE TABLE replica_spaces (
    purpose TEXT NOT NULL,
    name TEXT COLLATE "C" NOT NULL,
    space BIGINT NOT NULL,
    PRIMARY KEY (purpose, name)
);

CREATE INDEX replica_spaces_by_space ON replica_spaces (space);

-- Logs that were erased at the wish of their owner, so that whoever comes back with a cursor of one is told.
CREATE TABLE erased_spaces (
    space BIGINT PRIMARY KEY,
    owner BIGINT NOT NULL,
    purpose TEXT NOT NULL,
    erased_at BIGINT NOT NULL
);

CREATE INDEX erased_spaces_by_owner ON erased_spaces (owner, purpose, space);

-- A user who was deleted stays as a number, where logs of others say that he wrote.
ALTER TABLE users ADD COLUMN deleted_at BIGINT;
