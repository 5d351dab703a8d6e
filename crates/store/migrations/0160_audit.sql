-- Who did what: entries are appended in the transaction of the change, and sealed a moment later, when they
-- get a number in their chain. Nothing that all writers share is touched by appending.
CREATE TABLE audit_entries (
    id TEXT PRIMARY KEY,
    -- 'site', or the id of a project, which may be gone.
    chain TEXT NOT NULL,
    time BIGINT NOT NULL,
    -- All but its seal, as JSON.
    entry TEXT NOT NULL,
    number BIGINT,
    hash TEXT
);
CREATE UNIQUE INDEX audit_entries_sealed ON audit_entries (chain, number) WHERE number IS NOT NULL;
CREATE INDEX audit_entries_unsealed ON audit_entries (chain, id) WHERE number IS NULL;

-- Written by whoever seals, and by who drops what is old.
CREATE TABLE audit_chains (
    id TEXT PRIMARY KEY,
    -- The project's name, kept when it is gone.
    project TEXT,
    -- The last entry that is sealed.
    number BIGINT NOT NULL,
    hash TEXT NOT NULL,
    -- The last entry that was dropped.
    dropped BIGINT NOT NULL,
    dropped_hash TEXT NOT NULL,
    ended BIGINT NOT NULL DEFAULT 0
);

-- The entry of the change that led to a job.
ALTER TABLE jobs ADD COLUMN cause TEXT;
