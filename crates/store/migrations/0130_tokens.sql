-- Tokens of projects beside the site's own: what they may is their role's, where and how long.
CREATE TABLE tokens (
    id TEXT PRIMARY KEY,
    hash TEXT NOT NULL UNIQUE,
    project_id TEXT REFERENCES projects (id),
    -- The project's id, or nothing for the site's: no two of one owner have the same name.
    owner TEXT NOT NULL,
    name TEXT NOT NULL,
    role TEXT NOT NULL,
    generation BIGINT NOT NULL,
    created_at BIGINT NOT NULL,
    updated_at BIGINT NOT NULL,
    expires_at BIGINT,
    last_used_at BIGINT
);
CREATE UNIQUE INDEX tokens_name ON tokens (owner, name);
-- There was one at most, the administrator's.
INSERT INTO tokens (id, hash, owner, name, role, generation, created_at, updated_at)
    SELECT '00000000-0000-4000-8000-000000000001', hash, '', name, role, 1, created_at, created_at FROM api_tokens;
DROP TABLE api_tokens;
