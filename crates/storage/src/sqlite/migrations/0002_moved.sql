-- A row as soon as everything was moved to another database: from then on nothing is written here.
CREATE TABLE moved (
    id INTEGER PRIMARY KEY CHECK (id = 1),
    at INTEGER NOT NULL,
    -- Host and database, as they may be shown.
    target TEXT NOT NULL
) STRICT;
