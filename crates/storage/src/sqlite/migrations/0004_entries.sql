-- What is only appended: changes that write to no record, whose record is 0. Each is stored once under its key, which
-- its change has as its digest.
CREATE TABLE idempotency_keys (
    space INTEGER NOT NULL,
    key BLOB NOT NULL,
    seq INTEGER NOT NULL,
    PRIMARY KEY (space, key)
) STRICT, WITHOUT ROWID;
