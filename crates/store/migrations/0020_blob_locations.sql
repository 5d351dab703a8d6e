-- Where the bytes of a blob are: a row for each location that has them. A key is of one row alone, so
-- that removing one never touches another.
CREATE TABLE blob_locations (
    digest TEXT NOT NULL REFERENCES blobs (digest),
    location TEXT NOT NULL,
    blob_key TEXT NOT NULL,
    -- What is wrong with the bytes; they are not handed out then.
    damage TEXT,
    verified_at BIGINT NOT NULL,
    PRIMARY KEY (digest, location)
);
CREATE INDEX blob_locations_verified ON blob_locations (verified_at);

INSERT INTO blob_locations (digest, location, blob_key, damage, verified_at)
    SELECT digest, 'folder', substr(digest, 1, 2) || '/' || digest, NULL, created_at FROM blobs;

-- Since when nothing names a blob; none where something does, or nobody has looked yet.
ALTER TABLE blobs ADD COLUMN unused_since BIGINT;

-- Uploads under way: written down before there are bytes, so that none are left without a name.
CREATE TABLE uploads (
    project_id TEXT NOT NULL REFERENCES projects (id),
    digest TEXT NOT NULL,
    size BIGINT NOT NULL,
    location TEXT NOT NULL,
    staged TEXT NOT NULL,
    -- Raised by each request that goes on with it: an older one cannot write it down any more.
    fence BIGINT NOT NULL,
    created_at BIGINT NOT NULL,
    updated_at BIGINT NOT NULL,
    PRIMARY KEY (project_id, digest)
);
CREATE INDEX uploads_updated ON uploads (updated_at);

-- Bytes that nobody needs any more, to be removed from their location; the row goes after them.
CREATE TABLE blob_garbage (
    location TEXT NOT NULL,
    blob_key TEXT NOT NULL,
    staged TEXT NOT NULL,
    created_at BIGINT NOT NULL,
    PRIMARY KEY (location, blob_key)
);
