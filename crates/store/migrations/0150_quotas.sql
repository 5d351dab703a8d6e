-- How much a project may have; what is not in the spec, or has no row, is not limited.
CREATE TABLE quotas (
    project_id TEXT PRIMARY KEY REFERENCES projects (id),
    generation BIGINT NOT NULL,
    spec TEXT NOT NULL,
    updated_at BIGINT NOT NULL
);

-- The size of each instance's disk, 0 where it has none. Instances from before have nothing here: theirs is read out of
-- their specs and formats.
ALTER TABLE instances ADD COLUMN disk BIGINT;

-- What is used is summed over these alone, without reading the rows themselves.
CREATE INDEX instances_project ON instances (project_id, cpus, memory, disk);
CREATE INDEX tokens_project ON tokens (project_id);
