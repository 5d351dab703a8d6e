-- What guests are told: SSH keys as they were when the instance was told of them (JSON), and user data,
-- apart from the instances, so that lists do not read it.

ALTER TABLE instances ADD COLUMN ssh_keys TEXT NOT NULL DEFAULT '[]';

CREATE TABLE user_data (
    instance_id TEXT PRIMARY KEY REFERENCES instances (id),
    text TEXT NOT NULL
);
