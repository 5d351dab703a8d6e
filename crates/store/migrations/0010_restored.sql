-- Whether what a component has on its host may be compared with this database: not after a restore from
-- a copy, until somebody has confirmed what is on it.
ALTER TABLE components ADD COLUMN settled BIGINT NOT NULL DEFAULT 1;
