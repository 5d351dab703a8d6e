-- Texts and 64-bit integers only: the same statements run on SQLite and PostgreSQL. Times are
-- milliseconds since 1970, ids are UUIDs as text, booleans are 0 and 1, specs are JSON.

CREATE TABLE site (
    name TEXT PRIMARY KEY,
    value TEXT NOT NULL
);

CREATE TABLE projects (
    id TEXT PRIMARY KEY,
    name TEXT NOT NULL UNIQUE,
    generation BIGINT NOT NULL,
    created_at BIGINT NOT NULL,
    updated_at BIGINT NOT NULL
);

CREATE TABLE api_tokens (
    hash TEXT PRIMARY KEY,
    name TEXT NOT NULL,
    role TEXT NOT NULL,
    created_at BIGINT NOT NULL
);

CREATE TABLE components (
    id TEXT PRIMARY KEY,
    name TEXT NOT NULL UNIQUE,
    kind TEXT NOT NULL,
    generation BIGINT NOT NULL,
    spec TEXT NOT NULL,
    facts TEXT NOT NULL,
    version TEXT,
    cpus BIGINT NOT NULL,
    memory BIGINT NOT NULL,
    session BIGINT NOT NULL,
    connected BIGINT NOT NULL,
    revoked_at BIGINT,
    last_seen BIGINT,
    created_at BIGINT NOT NULL,
    updated_at BIGINT NOT NULL
);

CREATE TABLE certificates (
    serial TEXT PRIMARY KEY,
    component_id TEXT NOT NULL REFERENCES components (id) ON DELETE CASCADE,
    not_after BIGINT NOT NULL,
    created_at BIGINT NOT NULL
);
CREATE INDEX certificates_component ON certificates (component_id);

CREATE TABLE join_tokens (
    hash TEXT PRIMARY KEY,
    kind TEXT,
    name TEXT,
    expires_at BIGINT NOT NULL,
    used_at BIGINT,
    created_at BIGINT NOT NULL
);

CREATE TABLE blobs (
    digest TEXT PRIMARY KEY,
    size BIGINT NOT NULL,
    format TEXT,
    refusal TEXT,
    created_at BIGINT NOT NULL
);

-- Which project has shown that it has a blob: the others cannot name it.
CREATE TABLE project_blobs (
    project_id TEXT NOT NULL REFERENCES projects (id) ON DELETE CASCADE,
    digest TEXT NOT NULL REFERENCES blobs (digest),
    PRIMARY KEY (project_id, digest)
);

CREATE TABLE images (
    id TEXT PRIMARY KEY,
    project_id TEXT NOT NULL REFERENCES projects (id),
    name TEXT NOT NULL,
    generation BIGINT NOT NULL,
    spec TEXT NOT NULL,
    digest TEXT NOT NULL REFERENCES blobs (digest),
    initrd TEXT REFERENCES blobs (digest),
    format TEXT NOT NULL,
    size BIGINT NOT NULL,
    created_at BIGINT NOT NULL,
    updated_at BIGINT NOT NULL,
    UNIQUE (project_id, name)
);
CREATE INDEX images_digest ON images (digest);

CREATE TABLE networks (
    id TEXT PRIMARY KEY,
    project_id TEXT NOT NULL REFERENCES projects (id),
    name TEXT NOT NULL,
    generation BIGINT NOT NULL,
    spec TEXT NOT NULL,
    router_id TEXT NOT NULL REFERENCES components (id),
    ipv4 TEXT NOT NULL,
    ipv4_first BIGINT NOT NULL,
    ipv4_last BIGINT NOT NULL,
    ipv6 TEXT NOT NULL,
    egress BIGINT NOT NULL,
    mtu BIGINT NOT NULL,
    port BIGINT NOT NULL,
    deleting BIGINT NOT NULL,
    created_at BIGINT NOT NULL,
    updated_at BIGINT NOT NULL,
    UNIQUE (project_id, name),
    UNIQUE (router_id, port)
);
CREATE INDEX networks_ipv4 ON networks (ipv4_first, ipv4_last);
CREATE INDEX networks_ipv6 ON networks (ipv6);

CREATE TABLE peers (
    id TEXT PRIMARY KEY,
    project_id TEXT NOT NULL REFERENCES projects (id),
    name TEXT NOT NULL,
    generation BIGINT NOT NULL,
    spec TEXT NOT NULL,
    public_key TEXT NOT NULL,
    ipv4 TEXT NOT NULL UNIQUE,
    ipv6 TEXT NOT NULL UNIQUE,
    deleting BIGINT NOT NULL,
    created_at BIGINT NOT NULL,
    updated_at BIGINT NOT NULL,
    UNIQUE (project_id, name),
    UNIQUE (project_id, public_key)
);

CREATE TABLE peer_networks (
    peer_id TEXT NOT NULL REFERENCES peers (id) ON DELETE CASCADE,
    network_id TEXT NOT NULL REFERENCES networks (id),
    PRIMARY KEY (peer_id, network_id)
);
CREATE INDEX peer_networks_network ON peer_networks (network_id);

CREATE TABLE instances (
    id TEXT PRIMARY KEY,
    project_id TEXT NOT NULL REFERENCES projects (id),
    name TEXT NOT NULL,
    generation BIGINT NOT NULL,
    spec TEXT NOT NULL,
    component_id TEXT NOT NULL REFERENCES components (id),
    image TEXT NOT NULL,
    digest TEXT NOT NULL REFERENCES blobs (digest),
    initrd TEXT REFERENCES blobs (digest),
    format TEXT NOT NULL,
    command_line TEXT NOT NULL,
    cpus BIGINT NOT NULL,
    memory BIGINT NOT NULL,
    "placing" TEXT NOT NULL,
    deleting BIGINT NOT NULL,
    created_at BIGINT NOT NULL,
    updated_at BIGINT NOT NULL,
    UNIQUE (project_id, name)
);
CREATE INDEX instances_component ON instances (component_id);
CREATE INDEX instances_digest ON instances (digest);
CREATE INDEX instances_initrd ON instances (initrd);

CREATE TABLE leases (
    id TEXT PRIMARY KEY,
    network_id TEXT NOT NULL REFERENCES networks (id),
    instance_id TEXT NOT NULL REFERENCES instances (id),
    position BIGINT NOT NULL,
    mac TEXT NOT NULL UNIQUE,
    ipv4 TEXT NOT NULL,
    ipv6 TEXT NOT NULL,
    UNIQUE (network_id, ipv4),
    UNIQUE (network_id, ipv6),
    UNIQUE (instance_id, position)
);

CREATE TABLE ssh_keys (
    id TEXT PRIMARY KEY,
    project_id TEXT NOT NULL REFERENCES projects (id),
    name TEXT NOT NULL,
    generation BIGINT NOT NULL,
    spec TEXT NOT NULL,
    fingerprint TEXT NOT NULL,
    created_at BIGINT NOT NULL,
    updated_at BIGINT NOT NULL,
    UNIQUE (project_id, name)
);

-- A resource's part on one component. network_id is '' where there is none, so that UNIQUE counts it.
CREATE TABLE placements (
    id TEXT PRIMARY KEY,
    project_id TEXT REFERENCES projects (id),
    component_id TEXT NOT NULL REFERENCES components (id),
    kind TEXT NOT NULL,
    resource_id TEXT NOT NULL,
    resource_name TEXT NOT NULL,
    network_id TEXT NOT NULL,
    wanted BIGINT NOT NULL,
    generation BIGINT NOT NULL,
    spec TEXT,
    observed_generation BIGINT NOT NULL,
    observed TEXT,
    state TEXT NOT NULL,
    reason TEXT NOT NULL,
    message TEXT NOT NULL,
    since BIGINT NOT NULL,
    asked_at BIGINT NOT NULL,
    applied_at BIGINT,
    UNIQUE (component_id, kind, resource_id, network_id)
);
CREATE INDEX placements_resource ON placements (resource_id);
CREATE INDEX placements_network ON placements (network_id);

-- The first is made after the second is there, and the second removed after the first is gone.
CREATE TABLE placement_needs (
    placement_id TEXT NOT NULL REFERENCES placements (id) ON DELETE CASCADE,
    needs_id TEXT NOT NULL REFERENCES placements (id),
    PRIMARY KEY (placement_id, needs_id)
);
CREATE INDEX placement_needs_needs ON placement_needs (needs_id);

CREATE TABLE jobs (
    id TEXT PRIMARY KEY,
    project_id TEXT,
    component_id TEXT NOT NULL,
    placement_id TEXT NOT NULL,
    kind TEXT NOT NULL,
    resource_id TEXT NOT NULL,
    resource_name TEXT NOT NULL,
    network_id TEXT NOT NULL,
    verb TEXT NOT NULL,
    action TEXT,
    generation BIGINT NOT NULL,
    state TEXT NOT NULL,
    fence BIGINT NOT NULL,
    attempts BIGINT NOT NULL,
    session BIGINT NOT NULL,
    lease_until BIGINT NOT NULL,
    not_before BIGINT NOT NULL,
    step TEXT,
    done BIGINT,
    whole BIGINT,
    failure_kind TEXT,
    failure_message TEXT,
    output TEXT,
    created_at BIGINT NOT NULL,
    finished_at BIGINT
);
CREATE INDEX jobs_queue ON jobs (component_id, state, not_before);
CREATE INDEX jobs_placement ON jobs (placement_id, state);
CREATE INDEX jobs_resource ON jobs (resource_id);
CREATE INDEX jobs_finished ON jobs (finished_at);

CREATE TABLE events (
    id BIGINT PRIMARY KEY,
    time BIGINT NOT NULL,
    project_id TEXT,
    project TEXT,
    resource_kind TEXT NOT NULL,
    resource_id TEXT NOT NULL,
    resource_name TEXT NOT NULL,
    what TEXT NOT NULL,
    message TEXT NOT NULL
);
CREATE INDEX events_project ON events (project_id, id);

CREATE TABLE idempotency (
    caller TEXT NOT NULL,
    idempotency_key TEXT NOT NULL,
    request_hash TEXT NOT NULL,
    status BIGINT,
    etag TEXT,
    body TEXT,
    created_at BIGINT NOT NULL,
    PRIMARY KEY (caller, idempotency_key)
);
CREATE INDEX idempotency_created ON idempotency (created_at);
