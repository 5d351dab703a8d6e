-- People, who log in; what they are in projects; how they come in and go.
CREATE TABLE users (
    id TEXT PRIMARY KEY,
    name TEXT NOT NULL UNIQUE,
    -- What their issuer calls them; nothing for people of the site's own.
    issuer TEXT,
    subject TEXT,
    display_name TEXT NOT NULL,
    -- By the issuer's claims, at their latest login.
    site_role TEXT,
    disabled_at BIGINT,
    generation BIGINT NOT NULL,
    created_at BIGINT NOT NULL,
    updated_at BIGINT NOT NULL,
    last_login_at BIGINT
);
CREATE UNIQUE INDEX users_subject ON users (issuer, subject);

CREATE TABLE members (
    project_id TEXT NOT NULL REFERENCES projects (id),
    user_id TEXT NOT NULL REFERENCES users (id),
    -- A role by invitation, and one by the issuer's claims: the larger one counts.
    invited TEXT,
    claimed TEXT,
    generation BIGINT NOT NULL,
    created_at BIGINT NOT NULL,
    updated_at BIGINT NOT NULL,
    PRIMARY KEY (project_id, user_id)
);
CREATE INDEX members_user ON members (user_id);

-- One a device that somebody logged in on.
CREATE TABLE sessions (
    id TEXT PRIMARY KEY,
    user_id TEXT NOT NULL REFERENCES users (id),
    hash TEXT NOT NULL UNIQUE,
    created_at BIGINT NOT NULL,
    expires_at BIGINT NOT NULL,
    last_used_at BIGINT,
    -- How much longer each use makes it; nothing where it ends when it ends.
    extended_by BIGINT
);
CREATE INDEX sessions_user ON sessions (user_id);

-- Good once.
CREATE TABLE invitations (
    id TEXT PRIMARY KEY,
    project_id TEXT NOT NULL REFERENCES projects (id),
    name TEXT NOT NULL,
    hash TEXT NOT NULL UNIQUE,
    role TEXT NOT NULL,
    generation BIGINT NOT NULL,
    created_at BIGINT NOT NULL,
    updated_at BIGINT NOT NULL,
    expires_at BIGINT NOT NULL,
    UNIQUE (project_id, name)
);

-- What somebody lost who left a project or was disabled, and when each endpoint has confirmed that it knows their peers no
-- longer.
CREATE TABLE revocations (
    project_id TEXT NOT NULL REFERENCES projects (id),
    user_name TEXT NOT NULL,
    cause TEXT NOT NULL,
    revoked_at BIGINT NOT NULL,
    tokens BIGINT NOT NULL,
    sessions BIGINT NOT NULL,
    PRIMARY KEY (project_id, user_name)
);
CREATE TABLE revoked_peers (
    placement_id TEXT PRIMARY KEY,
    project_id TEXT NOT NULL REFERENCES projects (id),
    user_name TEXT NOT NULL,
    peer TEXT NOT NULL,
    network TEXT NOT NULL,
    confirmed_at BIGINT
);
CREATE INDEX revoked_peers_of ON revoked_peers (project_id, user_name);

-- Whose a device is, and who made a token.
ALTER TABLE peers ADD COLUMN user_id TEXT;
CREATE INDEX peers_user ON peers (user_id);
ALTER TABLE tokens ADD COLUMN user_id TEXT;
CREATE INDEX tokens_user ON tokens (user_id);
