-- What is only appended: changes that write to no record, whose record is 0. Each is stored once under its key, which
-- its change has as its digest.
CREATE TABLE idempotency_keys (
    space BIGINT NOT NULL,
    key BYTEA NOT NULL,
    seq BIGINT NOT NULL,
    PRIMARY KEY (space, key)
);
